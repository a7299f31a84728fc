"""Replace: the library becomes what the file says; what the file cannot say stays."""

import json

import pytest

from mm.errors import ConflictError, UnusableFileError
from mm.models import CustomList, Movie, Title, Watch
from mm.services import portable
from mm.services.library import movies, undo
from tests.support.libraries import (
    T,
    as_before,
    as_bytes,
    custom_list,
    document,
    export,
    exported,
    film,
    hard_document,
    listed,
    person,
    put,
    ranking,
    reload,
    seen,
    view,
    vote,
    watch,
)

pytestmark = pytest.mark.usefixtures("database")
DAY = 86400


def planned(user, library, mode="replace", left_out=(), fixes=None):
    incoming = portable.read(as_bytes(library), fixes=fixes)
    return portable.plan(user.id, incoming, mode=mode, left_out=frozenset(left_out))


def replace(user, library, left_out=(), fixes=None):
    plan = planned(user, library, left_out=left_out, fixes=fixes)
    portable.apply(plan)
    return plan


def rows(plan, kind, outcome=None):
    return [
        row
        for row in portable.view(plan).changes
        if row.kind == kind and outcome in (None, row.outcome)
    ]


def test_the_hard_library_comes_back_exactly_after_everything_was_changed(alice):
    put(alice, hard_document())
    before = export(alice)
    other = document(
        [seen(1, note="Mine", recommendations=[vote("Zoe"), vote("Bob", up=False)]), film(50)],
        [person("Zoe"), person("Somebody", quick_key="google")],
        [custom_list("list-9", "Favourites", films=listed(50, 1))],
        views=[view("Later", {"person": "Zoe"}), view("Mine")],
        rankings=[ranking(1)],
    )
    replace(alice, other)
    assert {*exported(alice)["movies"]} == {"tt0000001", "tt0000050"}
    replace(alice, json.loads(before))
    assert export(alice) == before
    assert planned(alice, json.loads(before)).is_empty()


def test_what_came_later_goes_and_null_clears(alice):
    put(
        alice,
        document(
            [
                seen(1, note="Old", watches=[watch(T - DAY), watch(T)], media_type="tv"),
                film(2, recommendations=[vote("Ann"), vote("Bo")]),
                film(3),
            ],
            [person("Ann", emoji="🎬"), person("Bo")],
            [custom_list(films=listed(1, 2, tt0000001="Why"), description="Mine")],
        ),
    )
    file = document(
        [
            seen(1, note=None, media_type=None, watches=[watch(T, None)], watch_history=None),
            film(2, recommendations=[vote("Ann")]),
        ],
        [person("Ann")],
        [custom_list(films=listed(1))],
    )
    plan = replace(alice, file)
    assert [(row.key, row.label) for row in rows(plan, "vote")] == [
        ("tt0000002/bo", "Bo · tt0000002")
    ]
    assert [row.key for row in rows(plan, "watch", "removed")] == [f"tt0000001/{T - DAY!r}"]
    assert [row.key for row in rows(plan, "list_film", "removed")] == ["list-1/tt0000002"]
    assert [row.key for row in rows(plan, "person", "removed")] == ["bo"]
    library = exported(alice)
    assert {*library["movies"]} == {"tt0000001", "tt0000002"}
    first = library["movies"]["tt0000001"]
    assert (first["note"], first["media_type"], first["watch_history"]["my_rating"]) == (
        None,
        None,
        None,
    )
    assert library["people"]["Ann"]["emoji"] is None
    assert library["lists"]["list-1"]["films"] == listed(1)


def test_values_are_the_files_though_the_librarys_are_newer(alice):
    put(alice, document([film(1, status="deleted", last_modified=T + 9)]))
    replace(alice, document([film(1, last_modified=T - 9)]))
    row = exported(alice)["movies"]["tt0000001"]
    assert (row["status"], row["last_modified"]) == ("toWatch", T - 9)


def test_a_file_of_the_version_before_clears_nothing_that_it_could_not_say(alice):
    library = document(
        [
            seen(1, note="Noted", watches=[watch(T - DAY, note="First"), watch(T, note="Again")]),
            seen(2, title="Known as", year=1999),
            film(3, status="custom", custom_list_id="list-1"),
        ],
        [person("Ann")],
        [custom_list(films=listed(2, 3, 1, tt0000001="Why"), description="Mine")],
        views=[view("Theirs", {"person": "Bo"})],
        rankings=[ranking(2), ranking(1, 2)],
    )
    library["people"].append(person("Bo"))
    put(alice, library)
    before = json.loads(export(alice))
    old = as_before(before)
    for section in ("views", "rankings"):
        del old[section]
    plan = replace(alice, old)
    assert plan.is_empty()
    # Without a person whom a view names, and without one of the films.
    old["people"] = [row for row in old["people"] if row["name"] != "Bo"]
    old["movies"] = old["movies"][1:]
    plan = replace(alice, old)
    [bo] = rows(plan, "person", "kept")
    assert (bo.label, bo.reason) == ("Bo", "something that stays needs it")
    after = json.loads(export(alice))
    assert after["movies"] == before["movies"][1:]
    assert after["lists"][0]["films"] == listed(2, 3)
    assert (after["views"], after["people"]) == (before["views"], before["people"])
    assert after["rankings"] == [ranking(2)]


def test_an_empty_section_clears_and_an_absent_one_does_not(alice):
    library = document([seen(1)], lists=[custom_list()], views=[view()], rankings=[ranking(1)])
    put(alice, library)
    kept = replace(alice, {"version": 2, "movies": [seen(1)], "lists": None, "rankings": []})
    assert [row.reason for row in rows(kept, "view")] == ["the file does not say"]
    left = json.loads(export(alice))
    assert [len(left[name]) for name in ("lists", "rankings", "views")] == [0, 0, 1]


def test_a_film_that_cannot_be_read_stays_with_all_it_needs(alice):
    own = film(
        1, status="custom", custom_list_id="list-1", recommendations=[vote("Ann")], note="Mine"
    )
    put(alice, document([own, film(2)], [person("Ann")], [custom_list(films=listed(2, 1))]))
    broken = seen(1, title="Heat", watch_history={"date_watched": T, "my_rating": 11})
    plan = replace(alice, document([broken, film(3)]))
    [row] = rows(plan, "movie", "kept")
    assert (row.key, row.reason) == ("tt0000001", "unreadable in the file")
    [rejected] = rows(plan, "movie", "rejected")
    assert (rejected.label, rejected.row, rejected.reason) == ("Heat", 1, "11 is above 10")
    library = exported(alice)
    assert library["movies"] == {"tt0000001": own, "tt0000003": film(3)}
    assert "Ann" in library["people"]
    assert library["lists"]["list-1"]["films"] == listed(1)


def test_people_lists_and_views_that_cannot_be_read_stay(alice):
    library = document(
        [film(1, recommendations=[vote("Ann")])],
        [person("Ann"), person("Bo"), person("Ted", quick_key="google")],
        [custom_list(films=listed(1)), custom_list("list-2", "Other")],
        views=[view("A", {"person": "Bo"}), view("B")],
    )
    put(alice, library)
    before = json.loads(export(alice))
    file = document(
        [film(1)],
        [person("Ann", color="blue"), person(7, quick_key="google")],
        [custom_list(color="blue")],
        views=[view("A", 3)],
    )
    plan = replace(alice, file)
    after = json.loads(export(alice))
    assert [row["name"] for row in after["people"]] == [row["name"] for row in before["people"]]
    assert after["lists"] == before["lists"][:1]
    assert after["views"] == before["views"][:1]
    assert {row.reason for row in rows(plan, "list", "kept")} == {"unreadable in the file"}


def test_a_vote_that_cannot_be_read_keeps_that_vote_or_all_where_it_names_nobody(alice):
    votes = [vote("Ann"), vote("Bo"), vote("Cy")]
    put(alice, document([film(1, recommendations=votes), film(2, recommendations=votes)]))
    named = film(1, recommendations=[{"person_name": "Bo", "vote_type": 7}])
    unnamed = film(2, recommendations=[{"person_name": None}, vote("Ann")])
    plan = replace(alice, document([named, unnamed]))
    assert [row.key for row in rows(plan, "vote", "kept")] == [
        "tt0000001/bo",
        "tt0000002/bo",
        "tt0000002/cy",
    ]
    left = exported(alice)["movies"]
    assert [len(left[key]["recommendations"]) for key in ("tt0000001", "tt0000002")] == [1, 3]


def test_a_row_that_names_nothing_stops_a_replace_until_it_is_left_out_or_corrected(alice):
    put(alice, document([film(1), film(2)]))
    before = export(alice)
    file = document([film(1), {"title": "Heat"}, film(imdb_id="heat", note="New")])
    with pytest.raises(UnusableFileError, match=r"2 rows .* First: movies\[1\]: is missing") as no:
        planned(alice, file)
    assert [problem.path for problem in no.value.errors] == ["movies[1]", "movies[2]"]
    with pytest.raises(UnusableFileError, match="1 row "):
        planned(alice, file, left_out=["row:movies[1]"])
    assert export(alice) == before
    replace(alice, file, ["row:movies[1]"], {"movies[2].imdb_id": "tt0000003"})
    assert exported(alice)["movies"]["tt0000003"]["note"] == "New"
    assert {*exported(alice)["movies"]} == {"tt0000001", "tt0000003"}


def test_a_section_that_is_no_list_stops_it_too_and_removes_nothing(alice):
    put(alice, document([film(1)], lists=[custom_list()]))
    file = {"version": 2, "movies": [film(1)], "lists": {"id": "list-1"}}
    with pytest.raises(UnusableFileError, match="First: lists: expected a list"):
        planned(alice, file)
    assert replace(alice, file, ["row:lists"]).is_empty()


def test_values_typed_instead_are_read_wherever_they_belong():
    file = document(
        [
            seen(1, rating=11),
            film(2, recommendations=[vote("Ann"), vote("Bo", up="perhaps")]),
            7,
            film(4, watch_history={"date_watched": None}),
        ],
        [person("Ann", color="blue")],
        [custom_list(films=[{"imdb_id": "x"}])],
    )
    fixes = {
        "movies[0].watch_history.my_rating": 1.5,
        "movies[1].recommendations[1].vote_type": False,
        "movies[2]": film(3),
        "movies[3].watch_history": None,
        "people[0].color": "#123456",
        "lists[0].films[0].imdb_id": "tt0000001",
        # These lead nowhere.
        "movies[9].status": "watched",
        "movies[0].watches[3].my_rating": 3,
        "movies": [],
        "nonsense[0].x": 1,
    }
    incoming = portable.read(as_bytes(file), fixes=fixes)
    assert incoming.errors == []
    assert [row.imdb_id[-1] for row in incoming.films] == ["1", "2", "3", "4"]
    assert incoming.films[0].watches[0].my_rating == 1.5
    assert incoming.films[1].votes[1].values.vote_type is False


def test_quick_recommenders_stay_and_take_what_the_file_gives(alice):
    put(alice, document(people=[person("Tube", quick_key="youtube", color="#111111")]))
    put(alice, document([film(1, recommendations=[vote("Oscar Winner/Nominee")])]))
    plan = replace(alice, document(people=[person("Searched", quick_key="google")]))
    names = {row["quick_key"]: row["name"] for row in exported(alice)["people"].values()}
    assert names == {
        "google": "Searched",
        "oscar": "Oscar Winner/Nominee",
        "random_person": "Random Person",
        "youtube": "Tube",
    }
    assert not rows(plan, "person", "removed")


def test_a_list_of_the_same_name_and_another_id_is_another_list(alice):
    put(alice, document([film(1)], lists=[custom_list("mine", films=listed(1))]))
    replace(alice, document([film(1)], lists=[custom_list("theirs")]))
    assert [row.id for row in CustomList.select()] == ["theirs"]


def test_watches_are_the_same_only_at_the_same_moment(alice):
    noon = 1_770_984_000.0
    put(alice, document([seen(1, date=noon)]))
    replace(alice, document([seen(1, date=noon + 3600)]))
    assert [row.date_watched for row in Watch.select()] == [noon + 3600]


def test_the_films_hint_becomes_the_files_where_the_server_knows_nothing(alice):
    put(alice, document([film(n, title="Mine", year=1990) for n in (1, 2, 3)]))
    Title.update(title="Known").where(Title.imdb_id == "tt0000003").execute()
    file = document([film(1, title="Theirs", year=None), film(2, title=None), film(3)])
    del file["movies"][1]["year"]
    plan = replace(alice, file)
    assert portable.count(plan)["movie"] == {"same": 3}
    hints = Movie.select(Movie.hint_title, Movie.hint_year).order_by(Movie.title)
    assert list(hints.tuples()) == [("Theirs", None), (None, 1990), ("Mine", None)]


def test_the_result_counts_what_was_written_and_what_was_removed(alice):
    put(alice, document([film(1), film(2), film(3)], [person("Ann")], [custom_list()]))
    plan = replace(alice, document([film(1, note="New"), film(4)]))
    result = portable.result(plan, None)
    assert (result.movies_imported, result.removed_counts.movies) == (2, 2)
    assert (result.removed_counts.people, result.removed_counts.lists) == (1, 1)
    assert result.imdb_ids_needing_enrichment == ["tt0000001", "tt0000004"]


def test_a_replace_of_a_library_that_changed_since_is_refused(alice):
    put(alice, document([film(1)]))
    plan = planned(alice, document([film(2)]))
    movies.add(alice.id, "tt0000009")
    before = export(alice)
    with pytest.raises(ConflictError, match="has changed"):
        portable.apply(plan)
    assert export(alice) == before


def test_a_step_of_before_cannot_be_undone_where_a_replace_wrote_since(alice):
    put(alice, document([film(1), film(2)]))
    before = json.loads(export(alice))
    with undo.step(alice.id, imdb_ids=["tt0000001"]) as step:
        movies.delete(alice.id, "tt0000001")
    replace(alice, before)
    with pytest.raises(ConflictError, match="changed again since"):
        undo.back(alice.id, step.token)
    assert json.loads(export(alice)) == before


def test_an_empty_replace_is_no_write(alice):
    put(alice, hard_document())
    version = reload(alice).library_version
    assert replace(alice, json.loads(export(alice))).is_empty()
    assert reload(alice).library_version == version


@pytest.mark.parametrize("mode", ["merge", "replace"])
def test_rows_left_out_by_hand_stay_as_they_are(alice, mode):
    library = document(
        [film(1), seen(2, recommendations=[vote("Ann")])],
        [person("Ann")],
        [custom_list(films=listed(1))],
        views=[view("Mine")],
        rankings=[],
    )
    put(alice, library)
    before = json.loads(export(alice))
    file = document(
        [
            film(1, note="New"),
            seen(2, recommendations=[vote("Ann", up=False), vote("Bo"), vote("Cy")], rating=1),
            film(3, status="custom", custom_list_id="list-2"),
            film(4),
        ],
        [person("Ann", color="#123456"), person("Bo"), person("Cy")],
        [custom_list(films=listed(1, 4, 2), color="#00ff00"), custom_list("list-2", "New")],
        views=[view("MINE", position=4), view("New")],
        rankings=[ranking(2)],
    )
    left_out = {
        "movie:tt0000001",
        "movie:tt0000004",
        "vote:tt0000002/ann",
        "vote:tt0000002/cy",
        f"watch:tt0000002/{T!r}",
        "person:ann",
        "person:bo",
        "list:list-2",
        "list_film:list-1/tt0000002",
        "view:mine",
        "view:new",
        "ranking:tt0000002",
    }
    plan = planned(alice, file, mode, left_out)
    portable.apply(plan)
    assert plan.errors == []
    after = json.loads(export(alice))
    assert after["movies"][:2] == before["movies"]
    assert [row["imdb_id"] for row in after["movies"][2:]] == ["tt0000003"]
    assert after["movies"][2]["status"] == "toWatch"
    assert {row["name"] for row in after["people"]} - {row["name"] for row in before["people"]} == {
        "Cy"
    }
    assert after["lists"] == [before["lists"][0] | {"color": "#00ff00"}]
    assert (after["views"], after["rankings"]) == (before["views"], [])
    told = {f"{row.kind}:{row.key}" for row in portable.view(plan).changes if row.reason}
    assert left_out <= told


def test_what_would_be_removed_can_be_left_in(alice):
    library = document(
        [film(1, recommendations=[vote("Ann"), vote("Bo")]), film(2), film(3)],
        [person("Ann"), person("Bo")],
        [custom_list(films=listed(1, 2)), custom_list("list-2")],
        views=[view("A"), view("B")],
    )
    put(alice, library)
    left_out = ["movie:tt0000002", "vote:tt0000001/ann", "list_film:list-1/tt0000002", "view:a"]
    replace(alice, document([film(1)], views=[]), left_out)
    library = exported(alice)
    assert {*library["movies"]} == {"tt0000001", "tt0000002"}
    names = [row["person_name"] for row in library["movies"]["tt0000001"]["recommendations"]]
    assert names == ["Ann"]
    assert "Bo" not in library["people"]
    # A list that stays keeps its films.
    assert {key: row["films"] for key, row in library["lists"].items()} == {"list-1": listed(1, 2)}
    assert [row["name"] for row in json.loads(export(alice))["views"]] == ["A"]


def test_rows_that_are_rejected_say_which_film_they_are_about(alice):
    file = document(
        [
            film(1, title="Heat", recommendations=[{"person_name": "Ann", "vote_type": 7}]),
            film(2, title="Ran", status="custom", custom_list_id="nowhere"),
            film(1),
        ],
        lists=[custom_list(films=listed(9))],
    )
    plan = planned(alice, file, "merge")
    told = [(row.kind, row.label, row.row, row.path) for row in rows_rejected(plan)]
    assert told == [
        ("vote", "Heat", 1, "movies[0].recommendations[0].vote_type"),
        ("movie", "tt0000001", 3, "movies[2]"),
        ("movie", "Ran", 2, "movies[1].custom_list_id"),
        ("list_film", "Favourites", 1, "lists[0].films[0]"),
    ]


def rows_rejected(plan):
    return [row for row in portable.view(plan).changes if row.outcome == "rejected"]
