"""Rankings: a user's own order of the films they watched, and how films leave it."""

import time

import pytest
from playhouse.test_utils import count_queries

from mm.database import db, insert_rows
from mm.models import Movie, Ranking, Title, User
from mm.services.backup import imports
from mm.services.library import bulk, lists, movies, rankings, undo
from tests.support.libraries import T, as_bytes, custom_list, document, film, many, put, seen

URL = "/api/ranking"
ONE, TWO, THREE, FOUR = (f"tt{number:07d}" for number in range(1, 5))


@pytest.fixture
def phone(as_user, alice):
    """Alice's, with four watched films and one to watch."""
    put(alice, document([*(seen(number, date=T + number) for number in range(1, 5)), film(5)]))
    return as_user(alice)


@pytest.fixture
def ranked(phone):
    """ONE, TWO and THREE are liked, in this order; FOUR is not."""
    for position, imdb_id in enumerate((ONE, TWO, THREE), start=1):
        rank(phone, imdb_id, position)
    rank(phone, FOUR, 1, liked=False)
    return phone


def rank(phone, imdb_id, position, liked=True):
    body = {"imdb_id": imdb_id, "position": position, "liked": liked}
    return phone.post(f"{URL}/insert", json=body)


def order(phone):
    return [(row["imdb_id"], row["liked"], row["position"]) for row in phone.get(URL).json]


def ids(phone):
    return [row["imdb_id"] for row in phone.get(URL).json]


def test_an_entry_has_the_shape_that_both_clients_decode(phone, frozen_clock):
    poster = {"title": "The Lighthouse", "poster_path": "/light.jpg", "year": 2019}
    Title.update(**poster).where(Title.imdb_id == ONE).execute()
    answer = rank(phone, ONE, 7)
    assert answer.status_code == 201
    assert answer.json == {
        "imdb_id": ONE,
        "position": 1,
        "score": 10.0,
        "liked": True,
        "ranked_at": frozen_clock.moment,
        "title": "The Lighthouse",
        "year": "2019",
        "poster_path": "https://image.tmdb.org/t/p/w500/light.jpg",
    }
    assert phone.get(URL).json == [answer.json]
    unknown = rank(phone, TWO, 1, liked=False).json
    assert (unknown["title"], unknown["poster_path"], unknown["year"]) == (TWO, None, None)


def test_a_film_without_a_title_is_shown_with_what_its_user_calls_it(phone):
    hint = {"hint_title": "The Lighthouse", "hint_year": 2019}
    Movie.update(**hint).where(Movie.title.in_([ONE, TWO])).execute()
    Title.update(title="The Light").where(Title.imdb_id == TWO).execute()
    assert rank(phone, ONE, 1).json.items() >= {"title": "The Lighthouse", "year": "2019"}.items()
    titles = {row["imdb_id"]: (row["title"], row["year"]) for row in phone.get(URL).json}
    assert titles == {ONE: ("The Lighthouse", "2019")}
    left = {
        row["imdb_id"]: (row["title"], row["year"]) for row in phone.get(f"{URL}/unranked").json
    }
    assert left[TWO] == ("The Light", "2019")


def test_unranked_films_are_listed_with_the_last_watched_first(phone):
    rank(phone, TWO, 1)
    assert phone.get(f"{URL}/unranked").json == [
        {"imdb_id": imdb_id, "title": imdb_id, "poster_path": None, "year": None}
        for imdb_id in (FOUR, THREE, ONE)
    ]


def test_liked_films_come_first_and_each_group_counts_from_one(ranked):
    assert order(ranked) == [(ONE, True, 1), (TWO, True, 2), (THREE, True, 3), (FOUR, False, 1)]


def test_a_film_inserted_in_the_middle_moves_the_others_down(phone):
    for imdb_id, position in ((ONE, 1), (TWO, 1), (THREE, 2), (FOUR, 99)):
        rank(phone, imdb_id, position)
    assert ids(phone) == [TWO, THREE, ONE, FOUR]
    assert [row["position"] for row in phone.get(URL).json] == [1, 2, 3, 4]


def test_a_position_past_the_end_means_last_however_large(phone):
    assert rank(phone, ONE, 10**30).json["position"] == 1
    assert rank(phone, TWO, 2**31).json["position"] == 2


def test_scores_go_down_in_even_steps_to_one_decimal(ranked):
    assert [row["score"] for row in ranked.get(URL).json] == [10.0, 8.3, 6.7, 5.0]
    movies.watch(User.get().id, "tt0000005")
    rank(ranked, "tt0000005", 2, liked=False)
    assert [row["score"] for row in ranked.get(URL).json][3:] == [5.0, 3.0]


def test_films_that_cannot_be_ranked_are_refused(ranked):
    for imdb_id, expected in (
        ("tt0000005", (400, "Only watched movies can be ranked")),
        (ONE, (400, "Movie is already ranked")),
        ("tt0000099", (404, "Movie not found")),
        ("nonsense", (404, "Movie not found")),
    ):
        answer = rank(ranked, imdb_id, 1)
        assert (answer.status_code, answer.json["detail"]) == expected
    for position in (1.5, None):
        assert rank(ranked, ONE, position).status_code == 422
    assert ids(ranked) == [ONE, TWO, THREE, FOUR]


@pytest.mark.parametrize("position", [0, -1, -(10**30)])
def test_a_position_before_the_first_means_first(ranked, position):
    movies.watch(User.get().id, "tt0000005")
    answer = rank(ranked, "tt0000005", position)
    assert (answer.status_code, answer.json["position"]) == (201, 1)
    assert ids(ranked) == ["tt0000005", ONE, TWO, THREE, FOUR]


def test_a_removed_film_can_be_ranked_again(ranked):
    assert ranked.delete(f"{URL}/{TWO}").status_code == 204
    assert order(ranked) == [(ONE, True, 1), (THREE, True, 2), (FOUR, False, 1)]
    for imdb_id in (TWO, "tt0000099", "nonsense"):
        answer = ranked.delete(f"{URL}/{imdb_id}")
        assert (answer.status_code, answer.json["detail"]) == (404, "Ranking not found")
    assert rank(ranked, TWO, 2).json["position"] == 2
    assert ids(ranked) == [ONE, TWO, THREE, FOUR]


def test_each_user_has_a_ranking_of_their_own(ranked, as_user, bob):
    other = as_user(bob)
    assert (other.get(URL).json, other.get(f"{URL}/unranked").json) == ([], [])
    assert other.delete(f"{URL}/{ONE}").status_code == 404
    put(bob, document([seen(1)]))
    assert rank(other, ONE, 1).json["position"] == 1
    assert ids(ranked) == [ONE, TWO, THREE, FOUR]


def test_ranking_counts_as_a_write_and_a_refusal_does_not(phone, alice):
    def version():
        return User.get_by_id(alice.id).library_version

    before = version()
    rank(phone, ONE, 1)
    assert version() == before + 1
    rank(phone, ONE, 1)
    phone.delete(f"{URL}/{TWO}")
    assert version() == before + 1
    phone.delete(f"{URL}/{ONE}")
    assert version() == before + 2


LISTED = document([film(2, status="custom", custom_list_id="list-1")], lists=[custom_list()])


def move(status):
    return lambda phone, _: phone.put(f"/api/movies/{TWO}/status", json={"status": status})


def put_on_a_list(_, user):
    movies.set_status(user.id, TWO, "custom", lists.create(user.id, "Best").id)


def act(phone, _):
    data = {"imdb_id": TWO, "status": "toWatch"}
    action = {"action": "updateStatus", "data": data, "timestamp": time.time()}
    assert phone.post("/api/sync", json=action).json["success"]


LEAVING = {
    "another status": move("toWatch"),
    "the status deleted": move("deleted"),
    "a list": put_on_a_list,
    "its only watch taken back": lambda phone, _: phone.delete(f"/api/movies/{TWO}/watch"),
    "deletion": lambda phone, _: phone.delete(f"/api/movies/{TWO}"),
    "a selection": lambda _, user: bulk.set_status(user.id, [TWO], "toWatch"),
    "an action of a phone": act,
    "an import": lambda _, user: imports.import_bytes(user, as_bytes(document([film(2)]))),
    "an import onto a list": lambda _, user: imports.import_bytes(user, as_bytes(LISTED)),
}


@pytest.mark.parametrize("way", LEAVING)
def test_a_film_that_is_no_longer_watched_leaves_no_hole(ranked, alice, way):
    LEAVING[way](ranked, alice)
    assert order(ranked) == [(ONE, True, 1), (THREE, True, 2), (FOUR, False, 1)]
    assert TWO not in [row["imdb_id"] for row in ranked.get(f"{URL}/unranked").json]
    movies.add(alice.id, TWO)
    movies.watch(alice.id, TWO, again=True)
    assert ids(ranked) == [ONE, THREE, FOUR]


def test_a_film_watched_again_or_still_watched_keeps_its_place(ranked, alice):
    movies.watch(alice.id, TWO, again=True)
    movies.unwatch(alice.id, TWO)
    movies.rate(alice.id, TWO, 3.0)
    assert ids(ranked) == [ONE, TWO, THREE, FOUR]


class TestUndo:
    def test_undo_brings_films_back_to_their_positions(self, ranked, alice):
        before = ranked.get(URL).json
        done = bulk.set_status(alice.id, [THREE, ONE, FOUR], "toWatch")
        assert ids(ranked) == [TWO]
        undo.back(alice.id, done.undo_token)
        assert ranked.get(URL).json == before

    def test_undo_brings_a_deleted_film_back_to_its_position(self, ranked, alice):
        before = ranked.get(URL).json
        with undo.step(alice.id, [TWO]) as step:
            movies.delete(alice.id, TWO)
        undo.back(alice.id, step.token)
        assert ranked.get(URL).json == before

    def test_undo_works_after_other_films_were_ranked(self, ranked, alice):
        with undo.step(alice.id, [TWO, THREE]) as step:
            movies.set_status(alice.id, TWO, "toWatch")
        movies.watch(alice.id, "tt0000005")
        rank(ranked, "tt0000005", 1)
        undo.back(alice.id, step.token)
        assert ids(ranked) == ["tt0000005", TWO, ONE, THREE, FOUR]

    def test_undo_refuses_a_film_whose_ranking_changed_since(self, ranked, alice):
        with undo.step(alice.id, [TWO]) as step:
            movies.rate(alice.id, TWO, 2.0)
        ranked.delete(f"{URL}/{TWO}")
        with pytest.raises(undo.ConflictError):
            undo.back(alice.id, step.token)


@pytest.mark.slow
def test_inserting_at_the_top_of_ten_thousand_takes_few_queries(alice):
    put(alice, many(10_001))
    Movie.update(status="watched").execute()
    keys = [row for (row,) in Movie.select(Movie.id).order_by(Movie.id).tuples()]
    columns = (Ranking.movie, Ranking.liked, Ranking.position, Ranking.ranked_at)
    rows = ((key, True, place, T) for place, key in enumerate(keys[1:], start=1))
    insert_rows(db.obj, columns, rows)
    began = time.process_time()
    with count_queries() as counter:
        rankings.insert(alice.id, ONE, 1, True)
    assert time.process_time() - began < 0.7
    assert counter.count < 20
    began = time.process_time()
    with count_queries() as counter:
        assert [row.imdb_id for row in rankings.listing(alice.id)][:2] == [ONE, TWO]
    assert time.process_time() - began < 1
    assert counter.count < 5
