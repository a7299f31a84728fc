"""A library out and in again: round trips, the rules of a merge, and what a plan says."""

import hashlib
import json
import time

import msgspec
import pytest
from msgspec import UNSET

from mm import models
from mm.database import db
from mm.errors import ConflictError
from mm.models import (
    OWNED,
    CustomList,
    ListFilm,
    Movie,
    Person,
    Ranking,
    Recommendation,
    SavedView,
    Title,
    Tombstone,
    Watch,
    owned_names,
)
from mm.schemas import FORMAT, ListEntry, RankingEntry, ViewEntry, Vote, WatchEntry
from mm.schemas.portable import Document
from mm.services import portable
from mm.services.backup import backups
from tests.support import libraries
from tests.support.libraries import (
    T,
    custom_list,
    document,
    export,
    exported,
    film,
    hard_document,
    many,
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


def test_an_export_comes_back_byte_for_byte_in_another_account(alice, bob):
    put(alice, hard_document())
    before = export(alice)
    plan = portable.plan(bob.id, portable.read(before))
    portable.apply(plan)
    assert plan.errors == []
    assert export(bob) == before


def test_the_hard_library_loses_nothing_on_its_way_in(alice):
    library = hard_document()
    put(alice, library)
    written = json.loads(export(alice))
    assert written["movies"] == sorted(library["movies"], key=lambda row: row["imdb_id"])
    assert written["people"] == library["people"]
    assert written["lists"] == library["lists"]
    assert written["views"] == library["views"]
    assert written["rankings"] == library["rankings"]


def test_importing_ones_own_export_again_changes_nothing(alice):
    put(alice, hard_document())
    before = export(alice)
    counts = portable.count(portable.plan(alice.id, portable.read(before)))
    assert {outcome for kind in counts.values() for outcome in kind} == {"same"}
    put(alice, json.loads(before))
    assert export(alice) == before


# FORMAT, and what its document looks like. Where the test below fails, the document was changed:
# raise FORMAT in mm/schemas/portable.py and put both new values here. Else every backup that was
# written before would be compared with an export that looks different.
DOCUMENT_OF_FORMAT = (3, "ca051da7cb28e505")


def test_a_changed_document_is_a_new_format():
    schema = json.dumps(without_descriptions(msgspec.json.schema(Document)), sort_keys=True)
    assert (FORMAT, hashlib.sha256(schema.encode()).hexdigest()[:16]) == DOCUMENT_OF_FORMAT


def without_descriptions(schema):
    """Docstrings may be reworded."""
    if isinstance(schema, list):
        return [without_descriptions(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: part for key, part in schema.items() if not is_description(key, part)}
    return {key: without_descriptions(part) for key, part in kept.items()}


def is_description(key, part):
    """A field of that name has an object there."""
    return key == "description" and isinstance(part, str)


def test_lists_of_one_name_stay_two(alice):
    put(alice, document(lists=[custom_list("one"), custom_list("two")]))
    assert {row["name"] for row in exported(alice)["lists"].values()} == {"Favourites"}
    assert len(exported(alice)["lists"]) == 2


def test_a_list_joins_an_existing_one_by_name_and_keeps_its_id(alice):
    put(alice, document(lists=[custom_list("mine", "Horror")]))
    put(
        alice,
        document(
            [film(1, status="custom", custom_list_id="theirs")],
            lists=[custom_list("theirs", "horror")],
        ),
    )
    assert list(exported(alice)["lists"]) == ["mine"]
    assert exported(alice)["movies"]["tt0000001"]["custom_list_id"] == "mine"


def test_a_list_joins_by_id_before_another_takes_it_by_name(alice):
    put(alice, document(lists=[custom_list("a", "Horror")]))
    put(alice, document(lists=[custom_list("b", "Horror"), custom_list("a", "Scary")]))
    assert {key: row["name"] for key, row in exported(alice)["lists"].items()} == {
        "a": "Scary",
        "b": "Horror",
    }


def test_lists_of_one_name_are_joined_one_to_one_in_their_order(alice):
    mine = [custom_list("a"), custom_list("b", position=1), custom_list("c", "Mine")]
    put(alice, document(lists=mine))
    theirs = [custom_list("x", position=5), custom_list("b", position=6)]
    theirs += [custom_list("y"), custom_list("z")]
    plan = put(alice, document(lists=theirs))
    assert [(step.id, step.outcome) for step in plan.lists] == [
        ("a", "changed"),
        ("b", "changed"),
        ("y", "new"),
        ("z", "new"),
    ]


@pytest.mark.slow
def test_a_file_of_20_000_lists_is_planned_in_a_moment(alice):
    """It took seconds while the work grew with the square of their number."""
    rows = [custom_list(f"list-{number}") for number in range(20_000)]
    put(alice, document(lists=rows))
    others = [custom_list(f"other-{number}", icon="x") for number in range(20_000)]
    for file, outcome in ((rows, "same"), (others, "changed")):
        incoming = portable.read(libraries.as_bytes(document(lists=file)))
        start = time.process_time()
        plan = portable.plan(alice.id, incoming)
        assert time.process_time() - start < 1
        assert portable.count(plan)["list"] == {outcome: 20_000}


def test_two_accounts_keep_lists_of_one_id_apart(alice, bob):
    put(alice, document(lists=[custom_list("same", "Hers")]))
    put(bob, document(lists=[custom_list("same", "His")]))
    assert exported(alice)["lists"]["same"]["name"] == "Hers"


def test_people_that_differ_in_case_only_are_one_with_both_rows_votes(alice):
    rows = [film(1, recommendations=[vote("Bob")]), film(2, recommendations=[vote("BOB")])]
    plan = put(alice, document(rows, [person("bob"), person("BOB")]))
    assert "people[1] and people[0] are the same person and were combined." in plan.warnings
    assert [row["name"] for row in exported(alice)["people"].values() if not row["quick_key"]] == [
        "bob"
    ]
    assert Recommendation.select().join(Person).where(Person.name_key == "bob").count() == 2


def test_people_named_only_by_votes_are_created(alice):
    put(alice, document([film(1, recommendations=[vote("Zoë", up=False)])]))
    assert exported(alice)["people"]["Zoë"]["color"] == "#0a84ff"
    assert exported(alice)["movies"]["tt0000001"]["recommendations"] == [vote("Zoë", up=False)]


def test_a_renamed_quick_recommender_is_found_by_its_key(alice):
    put(alice, document(people=[person("My channel", quick_key="youtube")]))
    people = exported(alice)["people"]
    assert people["My channel"]["quick_key"] == "youtube"
    assert len(people) == 4


def test_a_file_cannot_make_somebody_a_quick_recommender(alice):
    plan = put(alice, document(people=[person("Eve", quick_key="admin")]))
    assert exported(alice)["people"]["Eve"]["quick_key"] is None
    assert "People whose unknown quick_key was ignored: 1." in plan.warnings


def test_a_rename_onto_another_persons_name_is_not_done_but_reported(alice):
    put(alice, document(people=[person("Bob")]))
    rows = [film(1, recommendations=[vote("bob")])]
    plan = put(alice, document(rows, [person("Bob", quick_key="google", color="#000000")]))
    google = Person.get((Person.user == alice.id) & (Person.quick_key == "google"))
    assert (google.name, google.color) == ("Google Search", "#000000")
    assert any("'Google Search' keeps this name" in warning for warning in plan.warnings)
    # In the file, Bob is the quick recommender: the vote is theirs.
    assert Recommendation.get().person_id == google.id


def test_skipping_a_swap_of_names_joins_votes_to_whoever_holds_the_name(alice):
    put(alice, hard_document(), "skip")
    names = {row["name"] for row in exported(alice)["people"].values()}
    assert {"Random YouTube Video", "Oscar Winner/Nominee", "Random Person"} <= names
    assert Person.select().where(Person.user == alice.id).count() == 4 + len(libraries.HARD_NAMES)


def test_overwrite_takes_the_files_values_and_null_clears_nothing(alice):
    put(alice, document([seen(1, rating=4.0, media_type="movie", last_modified=T + 50)]))
    plan = put(alice, document([film(1, media_type=None, status="toWatch")]))
    row = exported(alice)["movies"]["tt0000001"]
    assert (row["status"], row["media_type"], row["last_modified"]) == ("toWatch", "movie", T)
    assert row["watch_history"] == watch(rating=4.0)
    assert plan.films[0].fields == {"status": ["watched", "toWatch"], "last_modified": [T + 50, T]}


def test_newest_takes_what_is_newer_and_only_adds_votes_to_what_is_not(alice):
    put(alice, document([film(1, recommendations=[vote("Ann")]), film(2)]))
    older = film(
        1,
        status="deleted",
        last_modified=T - 1,
        recommendations=[vote("Ann", up=False), vote("Ben")],
    )
    newer = seen(2, last_modified=T + 1)
    plan = put(alice, document([older, newer]), "newest")
    movies = exported(alice)["movies"]
    assert movies["tt0000001"]["status"] == "toWatch"
    assert movies["tt0000001"]["recommendations"] == [vote("Ann"), vote("Ben")]
    assert movies["tt0000001"]["last_modified"] == T
    assert movies["tt0000002"]["status"] == "watched"
    assert portable.count(plan)["vote"] == {"new": 1}


def test_skip_leaves_existing_rows_and_adds_the_others(alice):
    put(alice, document([film(1, recommendations=[vote("Ann")])], [person("Ann", color="#111111")]))
    file = document(
        [seen(1, recommendations=[vote("Ben")]), film(2)], [person("Ann", color="#222222")]
    )
    plan = put(alice, file, "skip")
    assert exported(alice)["movies"]["tt0000001"] == film(1, recommendations=[vote("Ann")])
    assert exported(alice)["people"]["Ann"]["color"] == "#111111"
    assert portable.count(plan)["movie"] == {"kept": 1, "new": 1}


def test_a_saved_view_joins_by_its_name(alice):
    put(alice, document(views=[view("Funny", {"genre": "Comedy"})]))
    put(alice, document(views=[view("FUNNY", {"genre": "Farce"}), view("Old")]))
    assert [(row.name, row.filters) for row in SavedView.select().order_by(SavedView.name)] == [
        ("FUNNY", {"genre": "Farce"}),
        ("Old", {}),
    ]


def test_a_view_of_a_persons_films_finds_that_person_wherever_it_goes(alice, bob):
    put(bob, document(people=[person("Somebody"), person("Else")]))
    for user in (alice, bob):
        put(
            user,
            document(people=[person("Ann")], views=[view("Hers", {"person": "ANN", "q": "x"})]),
        )
        ann = Person.get((Person.user == user.id) & (Person.name == "Ann"))
        assert SavedView.get(SavedView.user == user.id).filters == {"person": str(ann.id), "q": "x"}
    assert json.loads(export(alice))["views"][0]["filters"] == {"person": "Ann", "q": "x"}


def test_a_view_of_somebody_who_is_gone_is_exported_without_them(alice):
    put(
        alice,
        document(
            people=[person("Ann")],
            lists=[custom_list("one")],
            views=[view("Hers", {"person": "Ann", "list": "one"})],
        ),
    )
    Person.delete().where(Person.name == "Ann").execute()
    CustomList.delete().execute()
    assert json.loads(export(alice))["views"][0]["filters"] == {}
    assert backups.create(alice).state == "verified"


def test_a_view_of_an_unknown_person_is_imported_without_that_filter(alice):
    plan = put(
        alice, document(views=[view("Theirs", {"person": "Nobody", "list": "none", "q": "x"})])
    )
    assert SavedView.get().filters == {"q": "x"}
    assert len(plan.warnings) == 2


def test_the_order_of_a_views_filters_does_not_matter_to_a_backup(alice):
    SavedView.create(
        user=alice,
        name="Mine",
        filters={"status": "watched", "genre": ["Drama", "Comedy"]},
        last_modified=T,
        updated_at=T,
    )
    assert backups.create(alice).state == "verified"


@pytest.mark.parametrize("conflicts", ["overwrite", "newest", "skip"])
def test_two_names_of_a_file_that_are_one_person_here_vote_once(alice, conflicts):
    put(alice, document(people=[person("Bob", quick_key="youtube", last_modified=T + 9)]))
    people = [person("Random YouTube Video", quick_key="youtube"), person("Bob")]
    rows = [film(1, recommendations=[vote("Random YouTube Video"), vote("Bob", up=False)])]
    plan = put(alice, document(rows, people), conflicts)
    votes = exported(alice)["movies"]["tt0000001"]["recommendations"]
    assert len(votes) == (2 if conflicts == "overwrite" else 1)
    if conflicts != "overwrite":
        assert "the same person in your library" in plan.errors[0].reason


@pytest.mark.parametrize("conflicts", ["overwrite", "newest", "skip"])
def test_a_second_plan_of_the_same_file_leaves_out_as_much_as_the_first(alice, conflicts):
    """An import plans again when the library changed in between."""
    put(alice, document(people=[person("Bob", quick_key="youtube", last_modified=T + 9)]))
    people = [person("Random YouTube Video", quick_key="youtube"), person("Bob")]
    rows = [film(1, recommendations=[vote("Random YouTube Video"), vote("Bob", up=False)])]
    incoming = portable.read(libraries.as_bytes(document(rows, people)))
    first = portable.view(portable.plan(alice.id, incoming, conflicts))
    assert portable.view(portable.plan(alice.id, incoming, conflicts)) == first


def test_skipping_creates_no_person_whose_votes_are_skipped(alice):
    put(alice, document([film(1)]))
    put(alice, document([film(1, recommendations=[vote("Zoë")])]), "skip")
    assert "Zoë" not in exported(alice)["people"]


def test_a_file_imported_twice_finds_the_same_of_two_lists_of_one_name(alice):
    put(alice, document(lists=[custom_list("b", "Horror"), custom_list("a", "Horror")]))
    file = document(
        [film(1, status="custom", custom_list_id="c")], lists=[custom_list("c", "horror")]
    )
    found = set()
    for _ in range(3):
        put(alice, file)
        found.add(exported(alice)["movies"]["tt0000001"]["custom_list_id"])
    assert found == {"a"}


def test_watches_are_united_by_date(alice):
    put(alice, document([seen(1, rating=5.0, date=T - 10)]))
    put(alice, document([seen(1, rating=7.0, date=T)]))
    row = exported(alice)["movies"]["tt0000001"]
    assert [watch["my_rating"] for watch in row["watches"]] == [5.0, 7.0]
    assert row["watch_history"] == watch(rating=7.0)


def test_an_unrated_watch_does_not_clear_a_rating(alice):
    put(alice, document([seen(1, rating=5.0)]))
    put(alice, document([seen(1, rating=None)]))
    assert exported(alice)["movies"]["tt0000001"]["watch_history"]["my_rating"] == 5.0


def test_a_plan_is_refused_when_the_library_has_changed_since(alice):
    plan = portable.plan(alice.id, portable.read(libraries.as_bytes(document([film(1)]))))
    put(alice, document([film(2)]))
    before = export(alice)
    with pytest.raises(ConflictError):
        portable.apply(plan)
    assert export(alice) == before


def test_each_apply_counts_one_write_and_wakes_what_it_changed(alice):
    version = reload(alice).library_version
    put(alice, document([film(1), film(2)]))
    first = {row.imdb_id: row.updated_at for row in Movie.select()}
    put(alice, document([seen(2)]))
    second = {row.imdb_id: row.updated_at for row in Movie.select()}
    assert reload(alice).library_version == version + 2
    assert first["tt0000001"] == second["tt0000001"]
    assert first["tt0000002"] < second["tt0000002"]


def test_the_rows_of_an_import_are_told_apart_in_the_sync_feed(alice):
    put(alice, many(50, 1))
    stamps = [row.updated_at for row in Movie.select()]
    assert len(set(stamps)) == 50
    assert models.next_update(db.obj) > max(stamps)
    put(alice, document(people=[person("Person 7", color="#123456")]))
    put(alice, document(people=[person("The web", quick_key="google")]))
    assert len({row.updated_at for row in Movie.select()}) == 50


def test_a_vote_that_comes_in_wakes_the_person_whose_count_it_changes(alice):
    put(alice, document(people=[person("Ann"), person("Ben")]))
    before = {row.name: row.updated_at for row in Person.select()}
    put(alice, document([film(1, recommendations=[vote("Ann")])]))
    after = {row.name: row.updated_at for row in Person.select()}
    assert after["Ann"] > before["Ann"]
    assert after["Ben"] == before["Ben"]


def test_a_persons_id_is_never_given_to_somebody_else(alice, bob):
    put(alice, document(people=[person("Ann")]))
    gone = Person.get(Person.name == "Ann")
    gone.delete_instance()
    put(bob, document(people=[person("Ben")]))
    assert Person.get(Person.name == "Ben").id > gone.id


def test_renaming_a_person_wakes_the_films_they_voted_for(alice):
    put(alice, document([film(1, recommendations=[vote("Google Search")]), film(2)]))
    before = {row.imdb_id: row.updated_at for row in Movie.select()}
    put(alice, document(people=[person("The web", quick_key="google")]))
    after = {row.imdb_id: row.updated_at for row in Movie.select()}
    assert after["tt0000001"] > before["tt0000001"]
    assert after["tt0000002"] == before["tt0000002"]


def test_what_comes_back_is_no_longer_deleted(alice):
    Tombstone.create(user=alice, kind="movie", key="tt0000001", deleted_at=T, updated_at=T)
    Tombstone.create(user=alice, kind="movie", key="tt0000009", deleted_at=T, updated_at=T)
    put(alice, document([film(1)]))
    assert [row.key for row in Tombstone.select()] == ["tt0000009"]


def test_an_import_creates_a_stub_for_each_new_film_and_leaves_existing_titles(alice):
    Title.create(imdb_id="tt0000001", title="Known", tmdb_state="ready")
    plan = put(alice, document([film(1), film(2)]))
    assert {row.imdb_id: row.tmdb_state for row in Title.select()} == {
        "tt0000001": "ready",
        "tt0000002": "stub",
    }
    assert portable.result(plan, None).imdb_ids_needing_enrichment == ["tt0000002"]


def test_one_users_import_touches_nothing_of_another(alice, bob):
    put(bob, hard_document())
    before = export(bob)
    put(alice, many(30, 2))
    put(alice, hard_document())
    assert export(bob) == before


def test_the_view_names_each_change_with_from_and_to(alice):
    put(alice, document([seen(1, rating=4.0, recommendations=[vote("Ann")])]))
    file = document(
        [seen(1, rating=6.0, recommendations=[vote("Ann", up=False)]), film(2), {"imdb_id": "x"}]
    )
    view = portable.view(portable.plan(alice.id, portable.read(libraries.as_bytes(file))))
    rows = {(change.kind, change.outcome): change for change in view.changes}
    assert rows["watch", "changed"].fields == {"my_rating": [4.0, 6.0]}
    assert rows["vote", "changed"].fields == {"vote_type": [True, False]}
    assert rows["movie", "new"].label == "tt0000002"
    assert rows["movie", "rejected"].path == "movies[2].imdb_id"
    assert view.counts["movie"] == {"changed": 1, "new": 1, "rejected": 1}


def test_an_export_names_no_ids_of_users_or_people_and_no_provider_data(alice):
    put(alice, hard_document())
    text = export(alice).decode()
    assert alice.id not in text
    for word in ("user_id", "person_id", "tmdb", "omdb"):
        assert word not in text


def ranked(user):
    return [(row["imdb_id"][-1], row["liked"]) for row in json.loads(export(user))["rankings"]]


def test_a_ranking_comes_in_packed_however_its_positions_are(alice):
    rows = [ranking(1, 7), ranking(2, 7), ranking(3, -1), ranking(4, 2, liked=False)]
    late = {"imdb_id": "tt0000005", "liked": True}
    file = document([seen(number) for number in range(1, 6)], rankings=[late, *rows])
    put(alice, file)
    assert json.loads(export(alice))["rankings"] == [
        ranking(3, 1),
        ranking(1, 2),
        ranking(2, 3),
        ranking(5, 4),
        ranking(4, 1, liked=False),
    ]
    plan = put(alice, file)
    assert portable.count(plan)["ranking"] == {"same": 5}


@pytest.mark.parametrize(
    ("conflicts", "order"),
    [
        ("overwrite", [("4", True), ("2", True), ("1", True), ("3", False)]),
        ("newest", [("1", True), ("2", True), ("4", True), ("3", False)]),
        ("skip", [("1", True), ("2", True), ("4", True), ("3", False)]),
    ],
)
def test_two_rankings_are_joined_by_the_rule(alice, conflicts, order):
    films = [seen(number) for number in range(1, 5)]
    put(alice, document(films, rankings=[ranking(1), ranking(2, 2), ranking(3, liked=False)]))
    put(alice, document(films, rankings=[ranking(4), ranking(2, 2)]), conflicts)
    assert ranked(alice) == order
    before = export(alice)
    put(alice, json.loads(before), conflicts)
    assert export(alice) == before


def test_a_file_that_knows_no_rankings_leaves_them_alone(alice):
    put(alice, document([seen(1)], rankings=[ranking(1)]))
    put(alice, document([seen(1), seen(2)]))
    assert ranked(alice) == [("1", True)]


def test_a_film_of_the_library_alone_can_be_ranked_by_a_file(alice):
    put(alice, document([seen(1)]))
    put(alice, {"version": 2, "rankings": [ranking(1)]})
    assert ranked(alice) == [("1", True)]


def test_what_cannot_be_ranked_is_left_out_with_its_reason(alice):
    bad = [
        ranking(2),
        ranking(9),
        {**ranking(1), "imdb_id": "x"},
        {"imdb_id": "tt0000001"},
        ranking(1, 1.5),
        {**ranking(1), "ranked_at": "soon"},
        ranking(3),
        ranking(3, 5),
        "best",
    ]
    plan = put(alice, document([seen(1), film(2), seen(3)], rankings=bad))
    assert {problem.path: problem.reason for problem in plan.errors} == {
        "rankings[0].imdb_id": "tt0000002 is not watched, and only watched films are ranked",
        "rankings[1].imdb_id": "tt0000009 is in neither the file nor the library",
        "rankings[2].imdb_id": "'x' is not an IMDb title ID",
        "rankings[3].liked": "is missing",
        "rankings[4].position": "1.5 is not a whole number",
        "rankings[5].ranked_at": "'soon' is not a time",
        "rankings[7]": "the same as rankings[6], which is used",
        "rankings[8]": "expected an object",
    }
    assert portable.count(plan)["ranking"] == {"new": 1, "rejected": 8}
    assert ranked(alice) == [("3", True)]


def test_a_film_that_stays_unwatched_here_is_kept_out_of_the_ranking_without_blame(alice):
    put(alice, document([film(1)]))
    plan = put(alice, document([seen(1)], rankings=[ranking(1)]), "skip")
    assert (plan.errors, portable.count(plan)["ranking"]) == ([], {"kept": 1})
    assert ranked(alice) == []


def test_the_view_of_a_plan_names_each_change_of_the_ranking(alice):
    films = [seen(1), seen(2), seen(3)]
    put(alice, document(films, rankings=[ranking(1), ranking(2, 2), ranking(3, 3)]))
    places = [ranking(2), ranking(1, 2), ranking(4, 3)]
    file = document([seen(1), seen(2), film(3), seen(4)], rankings=places)
    view = portable.view(portable.plan(alice.id, portable.read(libraries.as_bytes(file))))
    rows = [change for change in view.changes if change.kind == "ranking"]
    assert {(row.label, row.outcome): row.fields for row in rows} == {
        ("tt0000002", "changed"): {"position": [2, 1]},
        ("tt0000001", "changed"): {"position": [1, 2]},
        ("tt0000004", "new"): {
            "liked": [None, True],
            "position": [None, 3],
            "ranked_at": [None, T],
        },
        ("tt0000003", "removed"): {},
    }
    put(alice, file)
    assert ranked(alice) == [("2", True), ("1", True), ("4", True)]


# Each column of a library is declared as its user's own (models.OWNED), or it is one of these that
# the document names in another way, or it stands here with those that are not in the document.
NOT_IN_THE_DOCUMENT = {
    "list_film.id",
    "movie.id",
    "movie.user",
    "movie.updated_at",
    "movie.imported_at",
    # Made of the hint and the note.
    "movie.search_text",
    "person.imported_at",
    "custom_list.imported_at",
    "watch.id",
    "watch.movie",
    "person.id",
    "person.user",
    "person.name_key",
    "person.updated_at",
    "recommendation.id",
    "recommendation.movie",
    "custom_list.pk",
    "custom_list.user",
    "custom_list.updated_at",
    "saved_view.pk",
    "saved_view.id",
    "saved_view.user",
    "saved_view.updated_at",
}
BY_ANOTHER_NAME = {
    "movie.title": "imdb_id",
    "movie.hint_title": "title",
    "movie.hint_year": "year",
    "movie.custom_list": "custom_list_id",
    "person.quick_key": "quick_key",
    "recommendation.person": "person_name",
    "custom_list.id": "id",
    "ranking.movie": "imdb_id",
    # A list holds its films in their order.
    "list_film.custom_list": "films",
    "list_film.position": "films",
    "list_film.movie": "imdb_id",
    "list_film.note": "note",
}
IN_THE_DOCUMENT = BY_ANOTHER_NAME | {
    f"{table._meta.table_name}.{name}": name for table in OWNED for name in owned_names(table)
}
# The values of such rows are passed by their order.
ENTRIES = {
    Watch: WatchEntry,
    Recommendation: Vote,
    CustomList: ListEntry,
    SavedView: ViewEntry,
    Ranking: RankingEntry,
}
# Tables that are not the library: accounts, what the providers say, the sync machinery, work in
# progress.
NOT_THE_LIBRARY = {
    "account_link",
    "list_share",
    "tmdb_link",
    "user",
    "user_setting",
    "title",
    "title_json",
    "tombstone",
    "sync_action",
    "setting",
    "job",
    "undo_step",
    "ended_session",
}


def test_every_column_that_a_user_owns_is_in_the_document_or_excluded_by_name():
    library = [table for table in models.TABLES if table._meta.table_name not in NOT_THE_LIBRARY]
    assert set(library) == {*OWNED, ListFilm}
    columns = {
        f"{table._meta.table_name}.{name}" for table in library for name in table._meta.fields
    }
    assert columns == NOT_IN_THE_DOCUMENT | set(IN_THE_DOCUMENT)


@pytest.mark.parametrize("table", ENTRIES, ids=lambda table: table._meta.table_name)
def test_owned_columns_are_in_the_order_of_the_documents_fields(table):
    fields = ENTRIES[table].__struct_fields__
    assert [name for name in fields if name in owned_names(table)] == owned_names(table)
    # Before them stands who or what it is, and last in a list its films.
    fields = fields[:-1] if table is CustomList else fields
    assert fields[-len(OWNED[table]) :] == tuple(owned_names(table))


def test_each_owned_column_of_a_file_is_read(alice):
    put(alice, hard_document())
    incoming = portable.read(export(alice))
    rows = {
        Movie: incoming.films,
        Person: incoming.people,
        CustomList: incoming.lists,
        SavedView: incoming.views,
        Recommendation: [vote for film in incoming.films for vote in film.votes],
    }
    values = {table: [row.values for row in rows[table]] for table in rows}
    values[Watch] = [watch for film in incoming.films for watch in film.watches]
    values[Ranking] = incoming.rankings
    for table in OWNED:
        for name in owned_names(table):
            assert all(getattr(row, name) is not UNSET for row in values[table]), name
            assert any(getattr(row, name) is not None for row in values[table]), name


@pytest.mark.parametrize("column, key", IN_THE_DOCUMENT.items())
def test_each_column_of_the_library_has_its_key_in_an_export(alice, column, key):
    put(alice, hard_document())
    written = json.loads(export(alice))
    places = {
        "movie": written["movies"],
        "watch": [row["watch_history"] for row in written["movies"] if row["watch_history"]],
        "person": written["people"],
        "recommendation": [row for movie in written["movies"] for row in movie["recommendations"]],
        "custom_list": written["lists"],
        "saved_view": written["views"],
        "ranking": written["rankings"],
        "list_film": written["lists"]
        if key == "films"
        else [film for row in written["lists"] for film in row["films"]],
    }
    assert all(key in row for row in places[column.partition(".")[0]])
