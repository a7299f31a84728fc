"""Films over HTTP: both spellings, whole libraries at once, and what a client must not be able to
do."""

import gzip
import json

import pytest
from playhouse.test_utils import count_queries

from mm import config, models, streaming
from mm.database import db
from mm.models import Job, Movie, Title
from mm.schemas import MovieFilters
from mm.services.enrichment import queue as enrichment_queue
from mm.services.library import lists, movies, people, serializers
from tests.support import standin as stand
from tests.support.libraries import exported, hard_document, many, put
from tests.support.refusals import location

FILM, OTHER = "tt0111161", "tt0068646"
URL = f"/api/movies/{FILM}"
# What every film has.
BOTH_KINDS = {
    "imdb_id",
    "user_id",
    "tmdb_data",
    "omdb_data",
    "media_type",
    "status",
    "custom_list_id",
    "date_added",
    "last_modified",
    "recommendations",
    "watch_history",
    "list_ids",
    "note",
}


def fill(imdb_id, provider, body):
    """What the worker does when an answer has come."""
    with db.atomic():
        enrichment_queue.fill(provider, imdb_id, body)
        Movie.update(updated_at=models.next_update(db.obj)).where(Movie.title == imdb_id).execute()


class TestAdding:
    def test_a_film_is_added_with_several_recommenders(self, phone, alice):
        body = {
            "imdb_id": FILM,
            "media_type": "movie",
            "recommenders": ["Eve", "Oscar Winner/Nominee"],
            "recommender": "Kim",
        }
        answer = phone.post("/api/movies", json=body)
        assert answer.status_code == 201
        movie = answer.json
        assert movie.keys() == BOTH_KINDS
        assert (movie["imdb_id"], movie["user_id"], movie["status"]) == (FILM, alice.id, "toWatch")
        assert [vote["person_name"] for vote in movie["recommendations"]] == [
            "Eve",
            "Oscar Winner/Nominee",
            "Kim",
        ]
        vote = movie["recommendations"][0]
        assert vote.keys() == {
            "id",
            "imdb_id",
            "user_id",
            "person_id",
            "person_name",
            "person",
            "date_recommended",
            "vote_type",
        }
        assert (vote["person"], vote["vote_type"]) == ("Eve", True)
        assert phone.get(URL).json == movie

    def test_a_clients_data_on_a_film_is_never_stored_or_shown(self, phone):
        lies = {
            "tmdb_data": {"title": "Mine!", "tmdbId": 1},
            "omdb_data": {"title": "Mine!"},
            "tmdb_id": 99,
        }
        for path in ("/api/movies", f"{URL}/recommendations"):
            assert (
                phone.post(path, json={"imdb_id": FILM, "person": "Eve", **lies}).status_code == 201
            )
        movie = phone.get(URL)
        assert (movie.json["tmdb_data"], movie.json["omdb_data"]) == (None, None)
        assert "Mine!" not in movie.text
        assert Title.get_by_id(FILM).title is None

    @pytest.mark.parametrize("imdb_id", ["TT0111161", "%20tt0111161%20"])
    def test_an_address_may_have_upper_case_and_spaces(self, phone, imdb_id):
        phone.post("/api/movies", json={"imdb_id": " TT0111161 "})
        assert phone.get(f"/api/movies/{imdb_id}").json["imdb_id"] == FILM

    @pytest.mark.parametrize(
        "body, loc",
        [
            ({}, ["imdb_id"]),
            ({"imdb_id": "0111161"}, ["imdb_id"]),
            ({"imdb_id": 111161}, ["imdb_id"]),
            ({"imdb_id": FILM, "status": "seen"}, ["status"]),
            ({"imdb_id": FILM, "status": "custom"}, ["custom_list_id"]),
            ({"imdb_id": FILM, "recommenders": ["Eve", 7]}, ["recommenders", 1]),
            ({"imdb_id": FILM, "recommenders": ["Eve", "."]}, ["recommenders", 1]),
            ({"imdb_id": FILM, "recommender": ".."}, ["recommender"]),
            ({"tmdb_id": 0}, ["imdb_id"]),
            ({"tmdb_id": -(2**31)}, ["tmdb_id"]),
            ({"imdb_id": FILM, "media_type": "x" * 501}, ["media_type"]),
        ],
    )
    def test_an_invalid_film_is_refused_with_the_field(self, phone, body, loc):
        assert location(phone.post("/api/movies", json=body)) == loc
        assert phone.get("/api/movies").json == []

    def test_without_a_key_a_tmdb_id_alone_is_not_enough(self, phone):
        answer = phone.post("/api/movies", json={"tmdb_id": 5000})
        assert (answer.status_code, answer.json) == (503, {"detail": "TMDB API key not configured"})


class TestWithProviders:
    @pytest.fixture
    def settings(self, tmp_path, standin):
        return config.Config(data_dir=tmp_path / "data", **standin.config())

    def test_a_tmdb_id_is_looked_up_and_its_film_shown_at_once(self, phone):
        answer = phone.post("/api/movies", json={"tmdb_id": 5000})
        assert answer.status_code == 201
        assert answer.json["imdb_id"] == stand.FILM_IDS[0]
        assert answer.json["tmdb_data"]["title"] == stand.tmdb_film(stand.FILM_IDS[0])["title"]
        assert answer.json["media_type"] == "movie"

    def test_a_series_says_that_it_is_one(self, phone):
        movie = phone.post("/api/movies", json={"tmdb_id": 7001, "media_type": "tv"}).json
        assert movie["imdb_id"] == stand.SERIES_ID
        assert movie["tmdb_data"]["numberOfSeasons"] == 3

    def test_a_film_without_an_imdb_id_cannot_be_added(self, phone):
        assert location(phone.post("/api/movies", json={"tmdb_id": 7002})) == ["tmdb_id"]

    def test_an_unknown_tmdb_id_is_the_providers_error(self, phone):
        answer = phone.post("/api/movies", json={"tmdb_id": 123456789})
        assert (answer.status_code, answer.json) == (502, {"detail": "TMDB API error: 404"})


class TestVotes:
    @pytest.mark.parametrize(
        "spelling",
        [{"person_name": "Eve"}, {"person": "Eve"}, {"person_name": "eve ", "person": "x"}],
    )
    def test_the_person_may_be_sent_under_several_names(self, phone, spelling):
        phone.post("/api/people", json={"name": "Eve"})
        answer = phone.post(f"{URL}/recommendations", json=spelling)
        assert (answer.status_code, answer.json["person_name"]) == (201, "Eve")

    def test_the_person_may_be_sent_by_id(self, phone, bob):
        person_id = phone.post("/api/people", json={"name": "Eve"}).json["id"]
        assert (
            phone.post(f"{URL}/recommendations", json={"person_id": person_id}).json["person_name"]
            == "Eve"
        )
        foreign = people.create(bob.id, "Bob's friend").id
        answer = phone.post(f"{URL}/recommendations", json={"person_id": foreign})
        assert (answer.status_code, answer.json) == (404, {"detail": "Person not found"})

    @pytest.mark.parametrize(
        "value, is_up",
        [
            (True, True),
            (False, False),
            ("upvote", True),
            ("downvote", False),
            ("DOWNVOTE", False),
            (1, True),
            (0, False),
            ("1", True),
            (None, True),
        ],
    )
    def test_a_vote_may_be_written_in_several_ways(self, phone, value, is_up):
        answer = phone.post(f"{URL}/recommendations", json={"person": "Eve", "vote_type": value})
        assert answer.json["vote_type"] is is_up

    @pytest.mark.parametrize(
        "body, loc",
        [
            ({}, ["person_name"]),
            ({"person": "."}, ["person_name"]),
            ({"person": ""}, ["person_name"]),
            ({"person": "Eve", "vote_type": "maybe"}, ["vote_type"]),
            ({"person": "Eve", "vote_type": 2}, ["vote_type"]),
            ({"person": "Eve", "date_recommended": -1e13}, ["date_recommended"]),
            ({"person": "Eve", "date_recommended": "soon"}, ["date_recommended"]),
            ({"person_id": "7"}, ["person_id"]),
        ],
    )
    def test_an_invalid_vote_is_refused_with_the_field(self, phone, body, loc):
        assert location(phone.post(f"{URL}/recommendations", json=body)) == loc
        assert phone.get(URL).status_code == 404

    def test_a_date_in_milliseconds_is_accepted(self, phone):
        body = {"person": "Eve", "date_recommended": 1_700_000_000_000}
        assert (
            phone.post(f"{URL}/recommendations", json=body).json["date_recommended"]
            == 1_700_000_000
        )

    def test_votes_of_several_people_are_answered_in_the_order_sent(self, phone):
        eve = phone.post("/api/people", json={"name": "Eve"}).json["id"]
        body = {
            "person_ids": [eve],
            "people": ["Zoe", "Ann"],
            "recommenders": ["eve"],
            "vote_type": "downvote",
        }
        answer = phone.post(f"{URL}/recommendations/bulk", json=body)
        assert answer.status_code == 201
        assert [(vote["person"], vote["vote_type"]) for vote in answer.json] == [
            ("Eve", False),
            ("Zoe", False),
            ("Ann", False),
        ]
        nobody = phone.post(f"{URL}/recommendations/bulk", json={"people": []})
        assert location(nobody) == ["people"]

    def test_a_vote_is_taken_back_by_name_and_else_by_id(self, phone):
        ids = {}
        for name in ("Eve", "007"):
            body = {"person": name}
            vote = phone.post(f"{URL}/recommendations", json=body).json
            ids[name] = vote["person_id"]
        assert phone.delete(f"{URL}/recommendations/007").status_code == 204
        assert phone.delete(f"{URL}/recommendations/{ids['Eve']}").status_code == 204
        for name, words in (("007", "Recommendation not found"), ("Nobody", "Person not found")):
            answer = phone.delete(f"{URL}/recommendations/{name}")
            assert (answer.status_code, answer.json) == (404, {"detail": words})
        answer = phone.delete("/api/movies/tt9999999/recommendations/Nobody")
        assert answer.json == {"detail": "Movie not found"}

    def test_a_vote_can_be_deleted_once(self, phone):
        phone.post(f"{URL}/recommendations", json={"person": "a/b"})
        assert phone.delete(f"{URL}/recommendations/a%2Fb").status_code == 204
        answer = phone.delete(f"{URL}/recommendations/a/b")
        assert (answer.status_code, answer.json) == (404, {"detail": "Recommendation not found"})


class TestWatching:
    def test_a_watch_without_a_body_is_now_and_not_rated(self, phone):
        phone.post("/api/movies", json={"imdb_id": FILM})
        for answer in (
            phone.put(f"{URL}/watch"),
            phone.put(f"{URL}/watch", data=b"", content_type="application/json"),
        ):
            assert (answer.status_code, answer.json["my_rating"]) == (200, None)
        assert phone.get(URL).json["status"] == "watched"

    def test_a_watch_is_added_rated_and_deleted(self, phone, alice):
        phone.post("/api/movies", json={"imdb_id": FILM})
        first = phone.put(f"{URL}/watch", json={"date_watched": 1.7e9, "my_rating": 8.5})
        assert first.json == {
            "imdb_id": FILM,
            "user_id": alice.id,
            "date_watched": 1.7e9,
            "my_rating": 8.5,
            "note": None,
            "day_known": True,
        }
        assert phone.put(f"{URL}/watch", json={"my_rating": None}).json["my_rating"] is None
        assert (
            phone.put(f"{URL}/watch", json={"date_watched": 1.71e9, "again": True}).json[
                "date_watched"
            ]
            == 1.71e9
        )
        movie = phone.get(URL).json
        assert (movie["status"], movie["watch_history"]["date_watched"]) == ("watched", 1.71e9)
        assert [phone.delete(f"{URL}/watch").status_code for _ in range(3)] == [204, 204, 404]
        assert phone.get(URL).json["status"] == "toWatch"

    def test_watching_a_film_again_keeps_the_earlier_watch(self, phone, alice):
        """The web client sends a rating of null with it."""
        movies.watch(alice.id, FILM, 1.6e9, 9)
        for status in ("toWatch", "deleted"):
            phone.put(f"{URL}/status", json={"status": status})
            moment = 1.7e9 if status == "toWatch" else 1.71e9
            answer = phone.put(f"{URL}/watch", json={"date_watched": moment, "my_rating": None})
            assert (answer.json["date_watched"], answer.json["my_rating"]) == (moment, None)
        watches = exported(alice)["movies"][FILM]["watches"]
        assert [(seen["date_watched"], seen["my_rating"]) for seen in watches] == [
            (1.6e9, 9),
            (1.7e9, None),
            (1.71e9, None),
        ]

    def test_a_film_that_is_not_in_the_library_is_added_when_it_is_watched(self, phone):
        answer = phone.put(f"/api/movies/{OTHER}/watch", json={"my_rating": 8})
        assert (answer.status_code, answer.json["my_rating"]) == (200, 8)
        assert phone.get(f"/api/movies/{OTHER}").json["status"] == "watched"
        assert phone.put("/api/movies/nonsense/watch").status_code == 404

    @pytest.mark.parametrize(
        "body, loc",
        [
            ({"my_rating": 0}, "my_rating"),
            ({"my_rating": 10.5}, "my_rating"),
            ({"my_rating": "8"}, "my_rating"),
            ({"date_watched": -1e13}, "date_watched"),
            ({"date_watched": 1e300}, "date_watched"),
            ({"again": "yes"}, "again"),
        ],
    )
    def test_an_invalid_watch_is_refused_with_the_field(self, phone, body, loc):
        phone.post("/api/movies", json={"imdb_id": FILM})
        assert location(phone.put(f"{URL}/watch", json=body)) == [loc]

    def test_status_moves_a_film_onto_a_list_and_off_it(self, phone):
        phone.post("/api/movies", json={"imdb_id": FILM})
        shelf = phone.post("/api/lists", json={"name": "Favourites"}).json["id"]
        answer = phone.put(f"{URL}/status", json={"status": "custom", "custom_list_id": shelf})
        assert answer.json == {
            "imdb_id": FILM,
            "status": "custom",
            "custom_list_id": shelf,
            "last_modified": phone.get(URL).json["last_modified"],
        }
        assert phone.put(f"{URL}/status", json={"status": "watched"}).json["custom_list_id"] is None
        assert location(phone.put(f"{URL}/status", json={"status": "seen"})) == ["status"]
        unknown = phone.put(f"{URL}/status", json={"status": "custom", "custom_list_id": "none"})
        assert (unknown.status_code, unknown.json) == (404, {"detail": "List not found"})

    def test_a_deleted_film_is_not_found(self, phone):
        phone.post("/api/movies", json={"imdb_id": FILM})
        assert phone.delete(URL).status_code == 204
        answer = phone.get(URL)
        assert (answer.status_code, answer.json) == (404, {"detail": "Movie not found"})


class TestDetails:
    def test_both_providers_words_are_shown_as_the_server_has_them(self, phone, standin):
        phone.post("/api/movies", json={"imdb_id": FILM})
        fill(FILM, "tmdb", stand.tmdb_film(stand.FILM_IDS[0]) | {"media_type": "movie"})
        fill(
            FILM,
            "omdb",
            {
                "Title": "X",
                "imdbID": FILM,
                "imdbRating": "8.1",
                "Metascore": "N/A",
                "Type": "movie",
            },
        )
        movie = phone.get(URL).json
        assert movie["media_type"] == "movie"
        tmdb, omdb = movie["tmdb_data"], movie["omdb_data"]
        assert (tmdb["imdbId"], tmdb["title"], tmdb["year"]) == (
            FILM,
            "The Lighthouse Keeper's Tax Return",
            1994,
        )
        assert tmdb["poster"].startswith("https://image.tmdb.org/t/p/")
        assert (omdb["imdbRating"], omdb["metascore"]) == (8.1, None)

    def test_the_users_own_media_type_is_kept(self, phone):
        phone.post("/api/movies", json={"imdb_id": FILM, "media_type": "tv"})
        fill(FILM, "tmdb", stand.tmdb_film(stand.FILM_IDS[0]) | {"media_type": "movie"})
        assert phone.get(URL).json["media_type"] == "tv"

    def test_opening_a_film_writes_nothing(self, phone, alice):
        put(alice, many(2))
        phone.get("/api/movies/tt0000002")
        assert not Title.select().where(Title.wanted_at.is_null(False)).exists()
        assert not Job.select().exists()

    def test_a_search_may_have_any_number_of_words(self, phone, alice):
        put(alice, many(2))
        answer = phone.get("/api/movies", query_string={"q": "tt0000002 " * 50})
        assert [movie["imdb_id"] for movie in answer.json] == ["tt0000002"]
        many_words = " ".join(str(number) for number in range(90))
        assert phone.get("/api/movies", query_string={"q": many_words}).json == []


class TestListing:
    @pytest.fixture
    def library_of_three(self, phone, alice):
        """Added in this order; the second is watched, the third on a list, the fourth deleted."""
        shelf = lists.create(alice.id, "Favourites")
        for number, (title, year) in enumerate(
            [("Émile's Boat", 1990), ("Zoo", 1980), ("apple 100%", 2000)], 1
        ):
            imdb_id = f"tt000000{number}"
            movies.add(alice.id, imdb_id, at=1.7e9 + number)
            body = {
                "id": number,
                "title": title,
                "release_date": f"{year}-01-01",
                "media_type": "movie",
                "credits": {"cast": [{"name": f"Actor {number}"}]},
            }
            fill(imdb_id, "tmdb", body)
        fill("tt0000001", "omdb", {"imdbRating": "5.0"})
        movies.watch(alice.id, "tt0000002", 1.6e9, 9)
        movies.set_status(alice.id, "tt0000003", "custom", shelf.id)
        movies.add(alice.id, "tt0000004", at=1.7e9 + 4)
        movies.set_status(alice.id, "tt0000004", "deleted")
        return shelf

    @pytest.mark.parametrize(
        "query, found",
        [
            ("", "4321"),
            ("status=watched", "2"),
            ("status=toWatch", "1"),
            ("status=deleted", "4"),
            ("q=émile", "1"),
            ("q=E%CC%81MILE", "1"),
            ("q=actor", "321"),
            ("q=actor 2", "2"),
            ("q=2 actor", "2"),
            ("q=100%25", "3"),
            ("q=%25", "3"),
            ("q=_", ""),
            ("q=TT0000004", "4"),
            ("q=%00", "4321"),
            ("q=", "4321"),
            ("q=' or 1=1", ""),
            ("sort=added", "4321"),
            ("sort=title", "3214"),
            ("sort=year", "3124"),
            ("sort=imdb_rating", "1234"),
            ("sort=my_rating", "2134"),
            ("sort=watched", "2134"),
            ("limit=2", "43"),
            ("limit=2&offset=1", "32"),
            ("offset=3", "1"),
            ("status=&list=&q=&sort=&limit=&offset=", "4321"),
            ("limit=2147483647&offset=2147483647", ""),
            ("status=watched&q=zoo&sort=title&limit=1", "2"),
            ("list=nothing", ""),
        ],
    )
    def test_the_server_filters_sorts_and_pages(self, phone, library_of_three, query, found):
        answer = phone.get(f"/api/movies?{query}")
        assert answer.status_code == 200
        assert "".join(movie["imdb_id"][-1] for movie in answer.json) == found

    def test_a_lists_films_are_the_same_by_filter_and_by_path(self, phone, library_of_three):
        by_filter = phone.get(f"/api/movies?list={library_of_three.id}").json
        assert phone.get(f"/api/lists/{library_of_three.id}/movies").json == by_filter
        assert [movie["imdb_id"] for movie in by_filter] == ["tt0000003"]

    @pytest.mark.parametrize(
        "query",
        [
            "status=seen",
            "sort=none",
            "limit=0",
            "limit=-1",
            "limit=x",
            "offset=-1",
            f"limit={10**30}",
            f"q={'x' * 501}",
        ],
    )
    def test_an_invalid_filter_is_refused_by_name(self, phone, query):
        assert location(phone.get(f"/api/movies?{query}")) == [query.partition("=")[0]]

    def test_nobody_sees_anothers_films(self, as_user, bob, library_of_three):
        assert as_user(bob).get("/api/movies").json == []
        assert as_user(bob).get(f"/api/movies?list={library_of_three.id}").json == []

    def test_every_difficult_value_of_a_library_is_shown(self, phone, alice):
        put(alice, hard_document())
        movies = {movie["imdb_id"]: movie for movie in phone.get("/api/movies").json}
        for row in hard_document()["movies"]:
            movie = movies[row["imdb_id"]]
            assert movie["custom_list_id"] == row["custom_list_id"]
            assert movie["status"] == row["status"]
            votes = {(vote["person_name"], vote["vote_type"]) for vote in movie["recommendations"]}
            assert votes == {
                (vote["person_name"], vote["vote_type"]) for vote in row["recommendations"]
            }
            watch = movie["watch_history"]
            shown = watch and {key: watch[key] for key in row["watch_history"]}
            assert shown == row["watch_history"]
            assert movie["note"] == row["note"]

    @pytest.mark.parametrize("count, selects", [(1, 6), (700, 6), (1700, 11)])
    def test_a_library_takes_five_queries_a_batch(
        self, alice, database, count, selects, monkeypatch
    ):
        put(alice, many(count, votes_each=2))
        monkeypatch.setattr(serializers, "BATCH_SIZE", 1000)
        with count_queries() as counter:
            pieces = serializers.in_batches(
                alice.id, serializers.matching_ids(alice.id, MovieFilters())
            )
            assert sum(map(len, pieces)) == count
        asked = [query.msg[0] for query in counter.get_queries()]
        assert len([sql for sql in asked if sql.startswith("SELECT")]) == selects

    def test_paging_shows_the_same_films_as_the_whole_list(self, phone, alice):
        put(alice, many(700, votes_each=3))
        whole = phone.get("/api/movies").json
        assert phone.get("/api/movies?limit=20&offset=650").json == whole[650:670]


class TestNotes:
    def test_a_note_is_written_and_removed(self, phone, alice):
        movies.add(alice.id, FILM, at=1.7e9)
        text = "Ask Eve.\nIn French."
        answer = phone.put(f"{URL}/note", json={"note": f"  {text}\r\n"})
        assert (answer.status_code, answer.json["note"]) == (200, text)
        assert answer.json == phone.get(URL).json
        assert answer.json["last_modified"] > 1.7e9
        assert phone.put(f"{URL}/note", json={"note": None}).json["note"] is None
        phone.put(f"{URL}/note", json={"note": text})
        assert phone.put(f"{URL}/note", json={"note": " \n"}).json["note"] is None

    def test_a_watch_has_a_note_of_its_own(self, phone, alice):
        movies.add(alice.id, FILM)
        seen = phone.put(f"{URL}/watch", json={"my_rating": 8, "note": "With Mum"}).json
        assert seen["note"] == "With Mum"
        # Left out, it stays; null removes it.
        assert phone.put(f"{URL}/watch", json={"my_rating": 9}).json["note"] == "With Mum"
        movie = phone.get(URL).json
        assert (movie["note"], movie["watch_history"]["note"]) == (None, "With Mum")
        assert phone.put(f"{URL}/watch", json={"note": None}).json["note"] is None

    def test_a_watch_of_an_unknown_day_says_so(self, phone, alice, frozen_clock):
        seen = phone.put(f"{URL}/watch", json={"my_rating": 8, "day_known": False}).json
        assert (seen["day_known"], seen["date_watched"]) == (False, frozen_clock())
        assert phone.get(URL).json["watch_history"] == seen
        # Whoever gives a day knows it.
        seen = phone.put(f"{URL}/watch", json={"date_watched": 1.7e9}).json
        assert (seen["day_known"], seen["date_watched"], seen["my_rating"]) == (True, 1.7e9, 8)

    @pytest.mark.parametrize(
        "body, loc",
        [
            ({"note": "x" * 10_001}, ["note"]),
            ({"note": "a\0b"}, ["note"]),
            ({"note": 7}, ["note"]),
            ({}, []),
        ],
    )
    def test_a_note_that_cannot_be_kept_is_refused_and_the_old_one_stays(
        self, phone, alice, body, loc
    ):
        movies.add(alice.id, FILM)
        movies.set_note(alice.id, FILM, "Mine")
        assert location(phone.put(f"{URL}/note", json=body)) == loc
        if loc:
            assert location(phone.put(f"{URL}/watch", json=body)) == loc
        assert phone.get(URL).json["note"] == "Mine"
        assert phone.get(URL).json["status"] == "toWatch"

    def test_a_note_may_have_ten_thousand_characters(self, phone, alice):
        movies.add(alice.id, FILM)
        note = "x" * 9_999 + "\U0001f3ac"
        assert phone.put(f"{URL}/note", json={"note": note}).json["note"] == note

    def test_a_film_that_is_not_in_the_library_has_no_note(self, phone, as_user, alice, bob):
        assert phone.put(f"{URL}/note", json={"note": "Mine"}).status_code == 404
        movies.add(alice.id, FILM)
        answer = as_user(bob).put(f"{URL}/note", json={"note": "Mine"})
        assert (answer.status_code, answer.json) == (404, {"detail": "Movie not found"})


def hint(user, imdb_id, title, year=None):
    """As an import of a file that knows the film leaves it."""
    mine = (Movie.user == user.id) & (Movie.title == imdb_id)
    values = {"hint_title": title, "hint_year": year, "updated_at": models.next_update(db.obj)}
    Movie.update(**values).where(mine).execute()


class TestHints:
    """What a file says of a film stands in for what the providers have not said yet."""

    def test_a_hint_is_shown_as_what_tmdb_will_say(self, phone, alice):
        movies.add(alice.id, FILM, media_type="movie")
        hint(alice, FILM, "The Redemption", 1994)
        shown = phone.get(URL).json["tmdb_data"]
        assert shown == {
            "tmdbId": None,
            "imdbId": FILM,
            "title": "The Redemption",
            "year": 1994,
            "mediaType": "movie",
            "poster": None,
            "posterSmall": None,
            "plot": None,
            "genres": [],
            "cast": [],
            "director": None,
            "runtime": None,
            "voteAverage": None,
            "voteCount": None,
        }
        assert [row["tmdb_data"] for row in phone.get("/api/sync").json["movies"]] == [shown]

    def test_what_a_provider_says_takes_its_place(self, phone, alice):
        movies.add(alice.id, FILM)
        hint(alice, FILM, "The Redemption", 1900)
        fill(FILM, "tmdb", {"id": 278, "title": "Redemption", "media_type": "movie"})
        shown = phone.get(URL).json["tmdb_data"]
        assert (shown["tmdbId"], shown["title"], shown["year"]) == (278, "Redemption", None)

    def test_a_title_that_omdb_alone_knows_is_no_hint(self, phone, alice):
        movies.add(alice.id, FILM)
        hint(alice, FILM, "Mine", 1994)
        fill(FILM, "omdb", {"Title": "Theirs", "Year": "1995"})
        movie = phone.get(URL).json
        assert (movie["tmdb_data"], movie["omdb_data"]["title"]) == (None, "Theirs")

    def test_a_film_that_tmdb_has_without_a_title_gets_that_of_the_hint(self, phone, alice):
        movies.add(alice.id, FILM)
        hint(alice, FILM, "Mine", 1994)
        fill(FILM, "tmdb", {"id": 278, "overview": "Two men.", "media_type": "movie"})
        shown = phone.get(URL).json["tmdb_data"]
        assert (shown["tmdbId"], shown["title"], shown["year"]) == (278, "Mine", 1994)
        assert shown["plot"] == "Two men."

    def test_another_user_does_not_see_it(self, as_user, alice, bob):
        for user in (alice, bob):
            movies.add(user.id, FILM)
        hint(alice, FILM, "Mine")
        assert as_user(bob).get(URL).json["tmdb_data"] is None

    def test_a_film_without_a_rating_is_titled_by_its_hint(self, phone, alice):
        movies.watch(alice.id, FILM)
        hint(alice, FILM, "Mine", 1994)
        movie = phone.get(URL).json
        assert (movie["title"], movie["release_date"], movie["tmdb_id"]) == ("Mine", "1994", None)

    def test_the_ranking_shows_it(self, phone, alice):
        movies.watch(alice.id, FILM)
        hint(alice, FILM, "Mine", 1994)
        [unranked] = phone.get("/api/ranking/unranked").json
        body = {"imdb_id": FILM, "position": 1, "liked": True}
        made = phone.post("/api/ranking/insert", json=body).json
        [ranked] = phone.get("/api/ranking").json
        for row in (unranked, made, ranked):
            assert (row["title"], row["year"]) == ("Mine", "1994")


class TestTransfer:
    def changes(self, alice):
        """One after another; each must be seen by a client that asks with the ETag of before."""
        yield lambda: movies.watch(alice.id, FILM, my_rating=5)
        yield lambda: movies.watch(alice.id, FILM, my_rating=6)
        yield lambda: people.change(alice.id, people.find(alice.id, "Eve").id, {"name": "Eva"})
        yield lambda: movies.unrecommend(alice.id, FILM, people.find(alice.id, "Eva").id)
        yield lambda: fill(FILM, "tmdb", {"id": 1, "title": "Filled", "media_type": "movie"})
        yield lambda: fill(FILM, "omdb", {"imdbRating": "5.0"})
        yield lambda: put(alice, many(1))
        yield lambda: movies.delete(alice.id, "tt0000001")
        yield lambda: movies.delete(alice.id, FILM)

    def test_an_etag_is_answered_with_304_until_something_changes(self, phone, alice):
        movies.add(alice.id, FILM, recommenders=["Eve"])
        seen = set()
        for change in self.changes(alice):
            first = phone.get("/api/movies")
            assert first.headers["Cache-Control"] == "private, no-cache"
            known = phone.get("/api/movies", headers={"If-None-Match": first.headers["ETag"]})
            assert (known.status_code, known.data, known.headers["ETag"]) == (
                304,
                b"",
                first.headers["ETag"],
            )
            seen.add(first.headers["ETag"])
            change()
            assert (
                phone.get(
                    "/api/movies", headers={"If-None-Match": first.headers["ETag"]}
                ).status_code
                == 200
            )
        assert len(seen) == 9

    def test_changes_of_another_user_do_not_change_the_etag(self, phone, alice, bob):
        movies.add(alice.id, FILM)
        etag = phone.get("/api/movies").headers["ETag"]
        movies.add(bob.id, OTHER)
        assert phone.get("/api/movies", headers={"If-None-Match": etag}).status_code == 304

    def test_a_large_answer_is_compressed_for_clients_that_accept_it(self, phone, alice):
        put(alice, many(50))
        plain = phone.get("/api/movies")
        packed = phone.get("/api/movies", headers={"Accept-Encoding": "br, gzip"})
        assert packed.headers["Content-Encoding"] == "gzip"
        assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data) / 5
        assert json.loads(gzip.decompress(packed.data)) == plain.json
        assert packed.headers["ETag"] == plain.headers["ETag"]
        for answer in (plain, packed):
            assert "Accept-Encoding" in answer.headers["Vary"]
        assert "Content-Encoding" not in plain.headers

    def test_a_long_answer_is_sent_in_pieces_and_is_the_same(self, phone, alice, monkeypatch):
        put(alice, many(300, votes_each=2))
        whole = phone.get("/api/movies").json
        monkeypatch.setattr(serializers, "BATCH_SIZE", 40)
        monkeypatch.setattr(streaming, "STREAM_FROM", 1000)
        plain, packed = (
            phone.get("/api/movies", headers={"Accept-Encoding": encoding}, buffered=True)
            for encoding in ("identity", "gzip")
        )
        assert "Content-Length" not in plain.headers
        assert plain.json == whole
        assert packed.headers["Content-Encoding"] == "gzip"
        assert json.loads(gzip.decompress(packed.data)) == whole

    def test_a_film_deleted_while_an_answer_is_sent_is_left_out_of_the_rest(
        self, alice, monkeypatch
    ):
        put(alice, many(6))
        monkeypatch.setattr(serializers, "BATCH_SIZE", 2)
        pieces = serializers.in_batches(
            alice.id, serializers.matching_ids(alice.id, MovieFilters(sort="title"))
        )
        first = next(pieces)
        movies.delete(alice.id, "tt0000003")
        rest = [movie.imdb_id for piece in pieces for movie in piece]
        assert len(first) == 2
        assert rest == ["tt0000004", "tt0000005", "tt0000006"]

    def test_small_answers_and_other_encodings_are_not_compressed(self, phone, alice):
        assert (
            "Content-Encoding"
            not in phone.get("/api/movies", headers={"Accept-Encoding": "gzip"}).headers
        )
        put(alice, many(50))
        assert (
            "Content-Encoding"
            not in phone.get("/api/movies", headers={"Accept-Encoding": "gzip;q=0"}).headers
        )


class TestUnratedWatches:
    """The iOS client reads `my_rating` as a number: one null would empty its library."""

    def paths(self, person="Eve"):
        return ("/api/movies", URL, f"/api/people/{person}/stats", "/api/sync", "/api/sync/changes")

    def shown(self, phone, path):
        answer = phone.get(path).json
        films = answer if isinstance(answer, list) else answer.get("movies", [answer])
        return next(film for film in films if film["imdb_id"] == FILM)

    def test_a_watched_film_without_a_rating_also_has_the_flat_fields(self, phone, alice):
        movies.add(alice.id, FILM, recommenders=["Eve"])
        movies.watch(alice.id, FILM, date_watched=1771000000.25)
        fill(
            FILM,
            "tmdb",
            {
                "id": 278,
                "title": "Heat",
                "media_type": "movie",
                "overview": "Two men.",
                "release_date": "1995-12-15",
                "poster_path": "/heat.jpg",
                "vote_average": 7.9,
                "credits": {"cast": [{"name": "Al"}, {"name": "Bob"}]},
            },
        )
        fill(
            FILM,
            "omdb",
            {
                "imdbRating": "8.3",
                "Metascore": "76",
                "Ratings": [{"Source": "Rotten Tomatoes", "Value": "83%"}],
            },
        )
        for path in self.paths():
            film = self.shown(phone, path)
            assert film["watch_history"]["my_rating"] is None, path
            assert {key: film[key] for key in film if key not in BOTH_KINDS} == {
                "id": 111161,
                "title": "Heat",
                "tmdb_id": 278,
                "overview": "Two men.",
                "poster_path": "https://image.tmdb.org/t/p/w500/heat.jpg",
                "release_date": "1995",
                "vote_average": 7.9,
                "imdb_rating": 8.3,
                "rotten_tomatoes_rating": 83,
                "metacritic_score": 76,
                "actors": ["Al", "Bob"],
                "date_watched": "2026-02-13T16:26:40.250Z",
            }

    def test_an_unrated_film_without_a_title_is_titled_by_its_id(self, phone, alice):
        movies.add(alice.id, FILM, recommenders=["Eve"])
        movies.watch(alice.id, FILM)
        for path in self.paths():
            film = self.shown(phone, path)
            assert (film["title"], film["actors"], film["tmdb_id"]) == (FILM, [], None)

    @pytest.mark.parametrize("status", ["toWatch", "custom"])
    def test_an_unrated_watch_is_left_out_for_any_other_status(self, phone, alice, status):
        listed = lists.create(alice.id, "Later")
        movies.add(alice.id, FILM, recommenders=["Eve"])
        movies.watch(alice.id, FILM)
        movies.set_status(alice.id, FILM, status, listed.id if status == "custom" else None)
        for path in self.paths():
            film = self.shown(phone, path)
            assert film["watch_history"] is None
            assert film.keys() == BOTH_KINDS

    def test_a_rated_watch_is_shown(self, phone, alice):
        movies.add(alice.id, FILM, recommenders=["Eve"])
        movies.watch(alice.id, FILM, my_rating=7)
        for path in self.paths():
            film = self.shown(phone, path)
            assert film["watch_history"]["my_rating"] == 7
            assert film.keys() == BOTH_KINDS
