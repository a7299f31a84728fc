"""Undo: what was done is taken back whole, or not at all."""

import pytest
from playhouse.test_utils import count_queries

from mm.errors import ConflictError, NotFoundError
from mm.models import CustomList, Movie, Person, Tombstone, UndoStep
from mm.services.library import bulk, lists, movies, people, rankings, undo
from tests.support.libraries import (
    T,
    custom_list,
    document,
    export,
    exported,
    film,
    many,
    person,
    put,
    reload,
    seen,
    vote,
)

FILM, TWO, THREE = (f"tt{number:07}" for number in (1, 2, 3))


@pytest.fixture
def home(frozen_clock, alice):
    """Alice's: a film that has everything, and two that have their status with a list."""
    films = [
        seen(1, rating=9.5, recommendations=[vote("Bob"), vote("Zoe", up=False)]),
        film(2, recommendations=[vote("Bob")]),
        seen(3),
    ]
    put(
        alice,
        document(
            films,
            [person("Bob", emoji="🎬"), person("Zoe")],
            [custom_list(), custom_list("list-2")],
        ),
    )
    movies.watch(alice.id, FILM, T - 1, again=True, note="In the rain", day_known=False)
    movies.set_note(alice.id, FILM, "Bring\ncake")
    Movie.update(hint_title="The Hint", hint_year=1950).where(Movie.title == FILM).execute()
    movies.add_to_list(alice.id, FILM, "list-2", "Last")
    movies.add_to_list(alice.id, FILM, "list-1", "First")
    for imdb_id in (TWO, THREE):
        movies.set_status(alice.id, imdb_id, "custom", "list-1")
    lists.change(alice.id, "list-1", {"description": "The best"})
    frozen_clock.move(60)
    return alice


def bob(home):
    return people.find(home.id, "Bob")


def do(home, verb, *arguments, **of):
    with undo.step(home.id, **of) as step:
        verb(home.id, *arguments)
    return step.token


def unrecommend(user_id, imdb_id, name):
    movies.unrecommend(user_id, imdb_id, people.find(user_id, name).id)


def edit_watch(user_id, note, day_known):
    movies.watch(user_id, FILM, note=note, day_known=day_known)


VERBS = {
    "delete a film": (movies.delete, [FILM], {"imdb_ids": [FILM]}),
    "add a film": (movies.add, ["tt0000009"], {"imdb_ids": ["tt0000009"]}),
    "change a status": (movies.set_status, [FILM, "deleted"], {"imdb_ids": [FILM]}),
    "rate": (movies.rate, [FILM, 2.0], {"imdb_ids": [FILM]}),
    "watch again": (movies.watch, [FILM, None, 3.0, True], {"imdb_ids": [FILM]}),
    "take a watch back": (movies.unwatch, [FILM], {"imdb_ids": [FILM]}),
    "turn a vote round": (movies.recommend, [FILM, "Bob", False], {"imdb_ids": [FILM]}),
    "take a vote away": (unrecommend, [FILM, "Zoe"], {"imdb_ids": [FILM]}),
    "leave the status custom": (movies.set_status, [TWO, "toWatch"], {"imdb_ids": [TWO]}),
    "move to another list": (movies.set_status, [TWO, "custom", "list-2"], {"imdb_ids": [TWO]}),
    "put on a list": (movies.add_to_list, [TWO, "list-2", "Why not"], {"imdb_ids": [TWO]}),
    "take off a list": (movies.remove_from_list, [TWO, "list-1"], {"imdb_ids": [TWO]}),
    "take off a second list": (movies.remove_from_list, [FILM, "list-1"], {"imdb_ids": [FILM]}),
    "choose other lists": (movies.set_lists, [FILM, []], {"imdb_ids": [FILM]}),
    "note on a list": (movies.add_to_list, [FILM, "list-1", "Not so good"], {"imdb_ids": [FILM]}),
    "note": (movies.set_note, [FILM, "Other"], {"imdb_ids": [FILM]}),
    "note on a watch": (edit_watch, ["Dull", False], {"imdb_ids": [FILM]}),
    "delete a film of a list": (movies.delete, [TWO], {"imdb_ids": [TWO]}),
    "delete a list": (lists.delete, ["list-1"], {"list_id": "list-1"}),
    "rename a list": (lists.change, ["list-1", {"name": "Other"}], {"list_id": "list-1"}),
    "describe a list": (lists.change, ["list-1", {"description": ""}], {"list_id": "list-1"}),
    "make a list": (lists.create, ["New", None, None, None, "list-9"], {"list_id": "list-9"}),
    "put films in order": (lists.reorder_films, ["list-1", [THREE]], {"list_id": "list-1"}),
}


@pytest.mark.parametrize("name", VERBS)
def test_a_step_taken_back_leaves_the_library_as_it_was(home, name):
    before = export(home)
    verb, arguments, of = VERBS[name]
    token = do(home, verb, *arguments, **of)
    assert export(home) != before
    undo.back(home.id, token)
    assert export(home) == before


@pytest.mark.parametrize(
    "verb", [people.delete, lambda user_id, key: people.change(user_id, key, {"name": "Rob"})]
)
def test_a_person_comes_back_with_their_votes_under_the_same_id(home, verb):
    before, person_id = exported(home), bob(home).id
    undo.back(home.id, do(home, verb, person_id, person_id=person_id))
    assert exported(home) == before
    assert bob(home).id == person_id


def test_several_films_are_taken_back_at_once_in_few_queries(home):
    put(home, many(300, votes_each=2, start=100))
    before, ids = exported(home), [f"tt{number:07}" for number in range(100, 400)]
    with undo.step(home.id, imdb_ids=ids) as step:
        for imdb_id in ids[:200]:
            movies.set_status(home.id, imdb_id, "custom", "list-2")
    with count_queries() as counter:
        undo.back(home.id, step.token)
    assert exported(home) == before
    assert counter.count < 40


def test_the_sync_feed_sees_what_was_taken_back(home):
    version, updated_at = reload(home).library_version, Movie.get(Movie.title == FILM).updated_at
    token = do(home, movies.delete, FILM, imdb_ids=[FILM])
    assert Tombstone.select().where(Tombstone.key == FILM).exists()
    undo.back(home.id, token)
    assert not Tombstone.select().where(Tombstone.key == FILM).exists()
    assert Movie.get(Movie.title == FILM).updated_at > updated_at
    assert reload(home).library_version == version + 2


@pytest.mark.parametrize(
    "verb, arguments, counted",
    [
        (movies.delete, [FILM], {"Bob", "Zoe"}),
        (movies.set_status, [FILM, "deleted"], {"Bob", "Zoe"}),
        (unrecommend, [FILM, "Zoe"], {"Zoe"}),
        (movies.recommend, [FILM, "Google Search"], {"Google Search"}),
        (movies.recommend, [FILM, "Bob", False], set()),
        (movies.set_status, [FILM, "toWatch"], set()),
    ],
)
def test_the_feed_tells_again_of_the_people_whose_counts_are_taken_back(
    home, verb, arguments, counted
):
    token = do(home, verb, *arguments, imdb_ids=[FILM])
    before = {person.name: person.updated_at for person in Person.select()}
    undo.back(home.id, token)
    after = {person.name: person.updated_at for person in Person.select()}
    assert {name for name in after if after[name] > before[name]} == counted


def test_a_list_is_kept_without_the_watches_and_votes_of_its_films(home):
    do(home, lists.delete, "list-1", list_id="list-1")
    [kept] = UndoStep.select()
    assert set(kept.rows["places"]) == {TWO, THREE}
    assert kept.rows["movies"] == {}


def test_a_list_comes_back_without_the_film_that_was_deleted_since(home):
    token = do(home, lists.delete, "list-1", list_id="list-1")
    movies.delete(home.id, TWO)
    with pytest.raises(ConflictError):
        undo.back(home.id, token)


def test_what_was_added_is_buried_when_it_is_taken_back(home):
    undo.back(home.id, do(home, movies.add, "tt0000009", imdb_ids=["tt0000009"]))
    assert Tombstone.select().where(Tombstone.key == "tt0000009").exists()


def test_what_was_changed_since_stays_as_it_is_now(home):
    token = do(home, movies.rate, FILM, 2.0, imdb_ids=[FILM])
    movies.rate(home.id, FILM, 4.0)
    now = exported(home)
    with pytest.raises(ConflictError):
        undo.back(home.id, token)
    assert exported(home) == now


def test_a_look_up_in_between_is_no_change(home):
    token = do(home, movies.rate, FILM, 2.0, imdb_ids=[FILM])
    Movie.update(updated_at=Movie.updated_at + 1).execute()
    undo.back(home.id, token)
    assert exported(home)["movies"][FILM]["watch_history"]["my_rating"] == 9.5


def test_a_step_is_taken_back_once_and_for_ten_minutes(home, frozen_clock):
    token = do(home, movies.rate, FILM, 2.0, imdb_ids=[FILM])
    undo.back(home.id, token)
    with pytest.raises(NotFoundError):
        undo.back(home.id, token)
    token = do(home, movies.rate, FILM, 3.0, imdb_ids=[FILM])
    frozen_clock.move(601)
    with pytest.raises(NotFoundError):
        undo.back(home.id, token)
    do(home, movies.rate, FILM, 4.0, imdb_ids=[FILM])
    assert UndoStep.select().count() == 1


def test_no_other_user_can_undo_a_step(home, carol):
    token = do(home, movies.delete, FILM, imdb_ids=[FILM])
    with pytest.raises(NotFoundError):
        undo.back(carol.id, token)


def test_what_changed_nothing_has_nothing_to_undo(home):
    with undo.step(home.id, imdb_ids=[FILM], person_id=bob(home).id, list_id="list-1") as step:
        pass
    assert step.token is None


def delete_twice(user_id):
    movies.delete(user_id, FILM)
    movies.delete(user_id, FILM)


def test_a_failure_inside_leaves_nothing(home):
    before = exported(home)
    with pytest.raises(NotFoundError):
        do(home, delete_twice, imdb_ids=[FILM])
    assert exported(home) == before
    assert UndoStep.select().count() == 0


def test_a_film_comes_back_without_the_people_and_the_list_that_went_meanwhile(home):
    token = do(home, movies.delete, TWO, imdb_ids=[TWO])
    lists.delete(home.id, "list-1")
    people.delete(home.id, bob(home).id)
    undo.back(home.id, token)
    movie = exported(home)["movies"][TWO]
    assert (movie["status"], movie["custom_list_id"], movie["recommendations"]) == (
        "toWatch",
        None,
        [],
    )


def test_a_person_comes_back_under_an_id_that_nobody_else_was_given(home):
    last = people.create(home.id, "Last")
    token = do(home, people.delete, last.id, person_id=last.id)
    assert people.create(home.id, "New").id != last.id
    undo.back(home.id, token)
    assert people.find(home.id, "Last").id == last.id


def test_a_person_does_not_come_back_beside_a_namesake(home):
    person_id = bob(home).id
    token = do(home, people.delete, person_id, person_id=person_id)
    people.create(home.id, "BOB")
    with pytest.raises(ConflictError, match="Somebody else is called Bob"):
        undo.back(home.id, token)


def test_a_list_comes_back_only_where_its_films_are_as_it_left_them(home):
    token = do(home, lists.delete, "list-1", list_id="list-1")
    movies.set_status(home.id, TWO, "custom", "list-2")
    with pytest.raises(ConflictError):
        undo.back(home.id, token)
    assert not CustomList.select().where(CustomList.id == "list-1").exists()


def test_a_list_does_not_come_back_over_a_ranking_that_was_made_since(home):
    token = do(home, lists.delete, "list-1", list_id="list-1")
    rankings.insert(home.id, THREE, 1, True)
    with pytest.raises(ConflictError, match="changed again since"):
        undo.back(home.id, token)
    assert [row.imdb_id for row in rankings.listing(home.id)] == [THREE]


def test_a_list_comes_back_beside_rankings_of_other_films(home):
    before = exported(home)
    token = do(home, lists.delete, "list-1", list_id="list-1")
    rankings.insert(home.id, FILM, 1, True)
    undo.back(home.id, token)
    assert exported(home) == before
    assert [row.imdb_id for row in rankings.listing(home.id)] == [FILM]


@pytest.mark.parametrize("more", [(), ("rankings", "places", "has_votes")])
def test_a_step_that_an_older_version_kept_can_no_longer_be_taken_back(home, frozen_clock, more):
    rows = {part: {} for part in ("films", "people", "lists", *more)}
    old = {"token": "old", "user": home.id, "rows": rows, "after": "x"}
    UndoStep.create(**old, created_at=frozen_clock.moment)
    with pytest.raises(NotFoundError, match="the server was updated since"):
        undo.back(home.id, "old")


# Lists and their films.


def films_of(home, list_id):
    """The imdb_ids with the list's notes, in order."""
    films = exported(home)["lists"][list_id]["films"]
    return [(row["imdb_id"], row["note"]) for row in films]


def statuses(home):
    films = exported(home)["movies"].values()
    return {row["imdb_id"]: (row["status"], row["custom_list_id"]) for row in films}


def test_a_deleted_list_comes_back_with_its_films_in_order_and_their_notes(home):
    lists.reorder_films(home.id, "list-1", [THREE, FILM, TWO])
    token = do(home, lists.delete, "list-1", list_id="list-1")
    assert statuses(home)[TWO] == ("toWatch", None)
    undo.back(home.id, token)
    assert films_of(home, "list-1") == [(THREE, None), (FILM, "First"), (TWO, None)]
    assert statuses(home) == {
        FILM: ("watched", None),
        TWO: ("custom", "list-1"),
        THREE: ("custom", "list-1"),
    }


def test_a_deleted_list_comes_back_without_a_film_that_is_no_longer_in_the_library(home):
    token = do(home, lists.delete, "list-1", list_id="list-1")
    movies.delete(home.id, FILM)
    undo.back(home.id, token)
    assert films_of(home, "list-1") == [(TWO, None), (THREE, None)]


def test_a_film_goes_back_to_its_place_on_a_list_whose_other_films_were_moved_since(home):
    for number in (4, 5):
        movies.add(home.id, f"tt{number:07}")
        movies.add_to_list(home.id, f"tt{number:07}", "list-1")
    token = do(home, movies.delete, TWO, imdb_ids=[TWO])
    lists.reorder_films(home.id, "list-1", ["tt0000005", "tt0000004"])
    undo.back(home.id, token)
    assert [imdb_id for imdb_id, _ in films_of(home, "list-1")] == [
        "tt0000005",
        "tt0000004",
        TWO,
        FILM,
        THREE,
    ]


def test_a_film_stays_where_its_list_was_put_in_order_since(home):
    token = do(home, movies.rate, FILM, 2.0, imdb_ids=[FILM])
    lists.reorder_films(home.id, "list-1", [THREE, TWO, FILM])
    undo.back(home.id, token)
    assert [imdb_id for imdb_id, _ in films_of(home, "list-1")] == [THREE, TWO, FILM]


def test_a_film_whose_list_was_deleted_since_comes_back_with_the_status_of_its_next_list(home):
    movies.add_to_list(home.id, TWO, "list-2")
    token = do(home, movies.delete, TWO, imdb_ids=[TWO])
    lists.delete(home.id, "list-1")
    undo.back(home.id, token)
    assert statuses(home)[TWO] == ("custom", "list-2")
    assert (TWO, None) in films_of(home, "list-2")


def test_another_name_of_a_list_is_taken_back_whatever_became_of_its_films(home):
    token = do(home, lists.change, "list-1", {"name": "Other"}, list_id="list-1")
    movies.remove_from_list(home.id, FILM, "list-1")
    undo.back(home.id, token)
    assert exported(home)["lists"]["list-1"]["name"] == "Favourites"
    assert films_of(home, "list-1") == [(TWO, None), (THREE, None)]


def test_an_order_is_not_taken_back_when_the_films_of_the_list_are_others_by_now(home):
    token = do(home, lists.reorder_films, "list-1", [THREE], list_id="list-1")
    movies.remove_from_list(home.id, FILM, "list-1")
    with pytest.raises(ConflictError):
        undo.back(home.id, token)


def test_a_film_that_left_watched_for_a_list_is_ranked_again(home):
    movies.add(home.id, "tt0000004", status="watched")
    rankings.insert(home.id, FILM, 1, True)
    rankings.insert(home.id, "tt0000004", 2, True)
    before = export(home)
    tokens = [
        bulk.put_on_list(home.id, [FILM, "tt0000004"], "list-2").undo_token,
        do(home, movies.set_status, FILM, "custom", "list-1", imdb_ids=[FILM]),
    ]
    assert rankings.listing(home.id) == []
    for token in reversed(tokens):
        undo.back(home.id, token)
    assert export(home) == before


def test_the_feed_tells_again_of_the_lists_that_a_film_is_back_on(home):
    token = do(home, movies.delete, FILM, imdb_ids=[FILM])
    before = CustomList.get(CustomList.id == "list-2").updated_at
    undo.back(home.id, token)
    assert CustomList.get(CustomList.id == "list-2").updated_at > before


def test_films_on_lists_count_among_the_rows_that_can_be_taken_back(home, monkeypatch):
    monkeypatch.setattr(undo, "ROWS_MAX", 5)
    assert do(home, lists.delete, "list-1", list_id="list-1")
    monkeypatch.setattr(undo, "ROWS_MAX", 4)
    assert do(home, lists.delete, "list-2", list_id="list-2")
    # The film, two watches and two votes.
    assert do(home, movies.delete, FILM, imdb_ids=[FILM]) is None


# Its button.


def test_the_button_leads_back_to_where_it_was(page, home):
    last_modified = movies.find(home.id, FILM).last_modified
    token = do(home, movies.delete, FILM, imdb_ids=[FILM])
    answer = page.post(f"/undo/{token}", headers={"Referer": "http://localhost/?status=watched#x"})
    assert (answer.status_code, answer.location) == (303, "/?status=watched")
    assert "Undone." in page.get("/").text
    assert movies.find(home.id, FILM).last_modified == last_modified


@pytest.mark.parametrize("referer", ["http://localhost//evil.example/", "nonsense", ""])
def test_the_button_leads_nowhere_else(home, page, referer):
    assert page.post("/undo/none", headers={"Referer": referer}).location == "/"
    assert "no longer be undone" in page.get("/").text
