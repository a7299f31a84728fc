"""Replace: the library becomes exactly what the file says, and what the file cannot say stays."""

import json
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mm.database import fold
from mm.models import CustomList, Movie, Person, SavedView, Title, Tombstone, User
from mm.services import portable
from tests.support.any_library import documents
from tests.support.libraries import as_bytes, export, fresh_account, put

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.slow]
some = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
KINDS = ("movie", "person", "list", "view", "vote", "watch", "ranking", "list_film")
WRITTEN = ("new", "changed", "removed")


def replace(user, data, left_out=frozenset(), trusted=True):
    """The plan, which was applied."""
    incoming = portable.read(data, trusted)
    plan = portable.plan(user.id, incoming, mode="replace", left_out=left_out)
    portable.apply(plan)
    return plan


@pytest.fixture
def account():
    """Makes accounts; the tables are empty before the first one of each example."""

    def make(name="one"):
        if name == "one":
            User.delete().execute()
            Title.delete().execute()
        return fresh_account(name)

    return make


def library_of(account, name, library):
    user = account(name)
    put(user, library)
    return user, export(user)


# The rows of an export, so that two of them can be compared.


def rows_of(data):
    """{kind: {key: values}}."""
    document = json.loads(data)
    who = {row["name"]: row["quick_key"] or fold(row["name"]) for row in document["people"]}
    rows = {kind: {} for kind in KINDS}
    for film in document["movies"]:
        key = film.pop("imdb_id")
        votes = film.pop("recommendations")
        watches = film.pop("watches", None) or [film.pop("watch_history")]
        film.pop("watch_history", None)
        # Taking a hint is no change.
        del film["title"], film["year"]
        rows["vote"] |= {(key, who[vote.pop("person_name")]): vote for vote in votes}
        rows["watch"] |= {(key, watch["date_watched"]): watch for watch in watches if watch}
        rows["movie"][key] = film
    for person in document["people"]:
        rows["person"][who[person["name"]]] = person
    for row in document["lists"]:
        for place, film in enumerate(row.pop("films")):
            rows["list_film"][row["id"], film.pop("imdb_id")] = film | {"place": place}
        rows["list"][row["id"]] = row
    for view in document["views"]:
        for name in ("person", "not_person"):
            texts = view["filters"].pop(name, [])
            texts = [texts] if isinstance(texts, str) else texts
            if texts:
                view["filters"][name] = sorted(who[text] for text in texts)
        rows["view"][fold(view["name"])] = view
    rows["ranking"] = {row["imdb_id"]: row for row in document["rankings"]}
    return rows


def placed(mine, others):
    """The films of lists with their places among those that both have."""
    places, found = Counter(), {}
    for key, film in mine.items():
        if key in others:
            place = places[key[0]]
            places[key[0]] += 1
            found[key] = film | {"place": place}
        else:
            found[key] = film
    return found


def differences(before, after):
    """{kind: Counter of outcomes} that lead from one export to the other."""
    before, after = rows_of(before), rows_of(after)
    counts = {kind: Counter() for kind in KINDS}
    touched = set()
    for kind in KINDS:
        old, new = before[kind], after[kind]
        if kind == "list_film":
            old, new = placed(old, after[kind]), placed(new, before[kind])
        for key in old.keys() | new.keys():
            if key not in old:
                outcome = "new"
            elif key not in new:
                outcome = "removed"
            else:
                outcome = "same" if old[key] == new[key] else "changed"
            counts[kind][outcome] += 1
            if kind in ("vote", "watch") and outcome != "same":
                touched.add(key[0])
    for key in touched & before["movie"].keys() & after["movie"].keys():
        if before["movie"][key] == after["movie"][key]:
            counts["movie"]["same"] -= 1
            counts["movie"]["changed"] += 1
    return {kind: +tally for kind, tally in counts.items()}


def assert_true(plan, before, after):
    """The plan's numbers and its rows are what happened."""
    happened = differences(before, after)
    counts = portable.count(plan)
    changes = list(portable.changes(plan))
    told = {kind: Counter() for kind in KINDS}
    for change in changes:
        told[change.kind][change.outcome] += 1
    keys = Counter((change.kind, change.key) for change in changes)
    assert max(keys.values(), default=1) == 1, keys.most_common(3)
    not_taken = Counter(row.kind for row in plan.not_taken)
    for kind in KINDS:
        written = {name: number for name, number in happened[kind].items() if name in WRITTEN}
        assert {
            name: number for name, number in counts[kind].items() if name in WRITTEN
        } == written, (kind, changes)
        assert {
            name: number for name, number in told[kind].items() if name in WRITTEN
        } == written, kind
        stayed = counts[kind].get("same", 0) + counts[kind].get("kept", 0) - not_taken[kind]
        assert stayed == happened[kind]["same"], (kind, counts[kind], happened[kind])


@some
@given(library=documents(), file=documents())
def test_replace_gives_exactly_the_file_and_undo_exactly_what_was(account, library, file):
    _, wanted = library_of(account, "one", file)
    user, before = library_of(account, "two", library)
    plan = replace(user, wanted)
    assert plan.errors == []
    assert rows_of(export(user)) == rows_of(wanted)
    assert export(user) == wanted
    assert_true(plan, before, wanted)
    assert portable.plan(user.id, portable.read(wanted), mode="replace").is_empty()
    undo = replace(user, before)
    assert rows_of(export(user)) == rows_of(before)
    assert export(user) == before
    assert_true(undo, wanted, before)


@some
@given(library=documents(), file=documents())
def test_a_merge_removes_nothing(account, library, file):
    user, before = library_of(account, "one", library)
    plan = put(user, file)
    removed = {kind: tally.get("removed", 0) for kind, tally in portable.count(plan).items()}
    # But a film that is no longer watched leaves the ranking.
    assert {kind for kind, number in removed.items() if number} <= {"ranking"}
    old, new = rows_of(before), rows_of(export(user))
    assert all(old[kind].keys() <= new[kind].keys() for kind in KINDS if kind != "ranking")


SPOILED = {
    "movies": [("watch_history", {"date_watched": "soon"}), ("status", 7), ("date_added", "x")],
    "people": [("color", "blue"), ("is_trusted", "often")],
    "lists": [("color", "blue"), ("position", 0.5)],
    "views": [("filters", 3), ("position", "first")],
    "rankings": [("liked", None)],
}


@some
@given(library=documents(), file=documents(), data=st.data())
def test_a_row_that_cannot_be_read_removes_nothing(account, library, file, data):
    _, wanted = library_of(account, "one", file)
    user, before = library_of(account, "two", library)
    document = json.loads(wanted)
    spoiled = []
    for section, ways in SPOILED.items():
        # One row stays good: a file without any is no library.
        for row in document[section][section == "people" :]:
            if data.draw(st.integers(0, 2)) == 0:
                name, value = data.draw(st.sampled_from(ways))
                row[name] = value
                spoiled.append((section, row))
    for film in document["movies"]:
        for vote in film["recommendations"]:
            if data.draw(st.integers(0, 3)) == 0:
                vote["vote_type"] = "perhaps"
                spoiled.append(("votes", (film["imdb_id"], vote["person_name"])))
    for row in document["lists"]:
        for entry in row["films"]:
            if data.draw(st.integers(0, 3)) == 0:
                entry["note"] = 5
                spoiled.append(("list_films", (row["id"], entry["imdb_id"])))
    plan = replace(user, as_bytes(document))
    after = export(user)
    assert_true(plan, before, after)
    old, new = rows_of(before), rows_of(after)
    names = {row["name"]: row["quick_key"] or fold(row["name"]) for row in document["people"]}
    for section, row in spoiled:
        if section == "movies" and (key := row["imdb_id"]) in old["movie"]:
            assert new["movie"][key] == old["movie"][key]
            assert of_film(new["vote"], key) == of_film(old["vote"], key)
            assert of_film(new["watch"], key) == of_film(old["watch"], key)
        elif section == "people":
            key = row["quick_key"] or fold(row["name"])
            assert new["person"].get(key) == old["person"].get(key) or key not in old["person"]
        elif section == "lists" and row["id"] in old["list"]:
            assert new["list"][row["id"]] == old["list"][row["id"]]
        elif section == "views" and fold(row["name"]) in old["view"]:
            assert new["view"][fold(row["name"])] == old["view"][fold(row["name"])]
        elif section == "rankings" and row["imdb_id"] in old["ranking"]:
            film = new["movie"].get(row["imdb_id"])
            if film and film["status"] == "watched":
                assert row["imdb_id"] in new["ranking"]
        elif section == "votes":
            key = (row[0], names[row[1]])
            if key in old["vote"] and row[0] in new["movie"]:
                assert new["vote"][key] == old["vote"][key]
        elif section == "list_films" and row in old["list_film"]:
            assert row in new["list_film"] or row[1] not in new["movie"]
    again = portable.plan(user.id, portable.read(as_bytes(document)), mode="replace")
    assert again.is_empty(), portable.view(again).changes


def of_film(rows, imdb_id):
    return {key: row for key, row in rows.items() if key[0] == imdb_id}


REQUIRED = {
    "movies": {"imdb_id"},
    "people": {"name", "quick_key"},
    "lists": {"id", "name"},
    "views": {"name"},
}


@some
@given(library=documents(), file=documents(), data=st.data())
def test_what_the_file_does_not_name_stays(account, library, file, data):
    _, wanted = library_of(account, "one", file)
    user, before = library_of(account, "two", library)
    document = json.loads(wanted)
    for section, required in REQUIRED.items():
        names = sorted({name for row in document[section] for name in row} - required)
        # A film's status and its list are said together, as are its watches.
        together = {"status": ["custom_list_id"], "watches": ["watch_history"]}
        names = [name for name in names if name not in ("custom_list_id", "watch_history")]
        absent = data.draw(st.sets(st.sampled_from(names))) if names else set()
        absent |= {name for key in absent for name in together.get(key, [])}
        for row in document[section]:
            for name in absent:
                row.pop(name, None)
    gone = data.draw(st.sets(st.sampled_from(["movies", "people", "lists", "views", "rankings"])))
    if len(gone) == 5:
        gone.pop()
    for section in gone:
        del document[section]
    plan = replace(user, as_bytes(document))
    after = export(user)
    assert_true(plan, before, after)
    old, new = json.loads(before), json.loads(after)
    id_of = {"movies": "imdb_id", "people": "quick_key", "lists": "id", "views": "name"}
    for section in gone - {"rankings"}:
        kept = {json.dumps([row[id_of[section]], row.get("name")]) for row in old[section]}
        there = {json.dumps([row[id_of[section]], row.get("name")]) for row in new[section]}
        if section != "people":
            assert kept <= there
        else:
            assert len(old[section]) <= len(new[section])
    for section, key in id_of.items():
        if section in gone or section == "people":
            continue
        mine = {row[key]: row for row in old[section]}
        theirs = {row[key]: row for row in new[section]}
        for row in document[section]:
            if row[key] not in mine or row[key] not in theirs:
                continue
            for name in mine[row[key]].keys() - row.keys() - {"films", "title", "year", "watches"}:
                if name in ("recommendations", "filters"):
                    continue
                assert theirs[row[key]][name] == mine[row[key]][name], (section, name)
    again = portable.plan(user.id, portable.read(as_bytes(document)), mode="replace")
    assert again.is_empty(), portable.view(again).changes


@some
@given(library=documents(), file=documents(), data=st.data())
def test_rows_left_out_by_hand_stay_as_they_are(account, library, file, data):
    _, wanted = library_of(account, "one", file)
    user, before = library_of(account, "two", library)
    incoming = portable.read(wanted)
    plan = portable.plan(user.id, incoming, mode="replace")
    keys = [f"{row.kind}:{row.key}" for row in portable.changes(plan) if row.outcome in WRITTEN]
    left_out = frozenset(data.draw(st.sets(st.sampled_from(keys)))) if keys else frozenset()
    assert_true(replace(user, wanted, left_out), before, export(user))
    old, new = rows_of(before), rows_of(export(user))
    for key in left_out:
        kind, _, name = key.partition(":")
        if kind == "movie":
            assert new["movie"].get(name) == old["movie"].get(name)
            assert of_film(new["vote"], name) == of_film(old["vote"], name)
        if kind == "list" and name in old["list"]:
            assert new["list"][name] == old["list"][name]
        if kind == "view":
            assert new["view"].get(name) == old["view"].get(name)


def everything():
    return {
        table: sorted(map(repr, table.select().tuples()))
        for table in (Movie, Person, CustomList, SavedView, Tombstone)
    }
