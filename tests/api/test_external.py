"""What the providers know, and the refresh of one film, over the API."""

import pytest

from mm import clock, config
from mm.models import Title
from mm.services.enrichment import interactive
from mm.services.library import movies
from tests.support import catalogue
from tests.support import standin as stand
from tests.support.enriching import HOUR

FILM = stand.FILM_IDS[0]


@pytest.fixture
def settings(tmp_path, standin):
    return config.Config(data_dir=tmp_path / "data", **standin.config())


@pytest.fixture
def client(frozen_clock, monkeypatch, as_user, alice):
    """Alice's."""
    monkeypatch.setattr("mm.providers.client.sleep", lambda _: None)
    monkeypatch.setattr("mm.providers.limits.RateLimiter.hold_back", lambda *_: None)
    interactive.cache.clear()
    return as_user(alice)


def detail(answer):
    return answer.status_code, answer.json["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "tmdb/search?q=lighthouse",
        "tmdb/search?q=lighthouse&year=1994",
        "tmdb/discover/genre?q=comedy",
        "tmdb/discover/person?q=omar&role=actor",
        "tmdb/discover/list?kind=popular&region=us",
        "tmdb/discover/list?kind=coming_soon&days=90",
        "tmdb/discover/list?kind=trending&time_window=week",
    ],
)
def test_search_results_have_the_keys_that_clients_read(client, path):
    answer = client.get(f"/api/external/{path}")
    assert answer.status_code == 200
    for row in answer.json:
        assert row.keys() >= {
            "id",
            "title",
            "year",
            "mediaType",
            "poster",
            "posterSmall",
            "overview",
            "voteAverage",
            "voteCount",
        }


def test_a_film_a_series_and_ratings_have_the_keys_that_clients_read(client):
    film = client.get("/api/external/tmdb/movie/5000").json
    assert (film["tmdbId"], film["imdbId"], film["title"]) == (5000, FILM, stand.FILMS[0][0])
    assert "numberOfSeasons" not in film
    assert client.get("/api/external/tmdb/tv/7001").json["numberOfSeasons"] == 3
    ratings = client.get(f"/api/external/omdb/movie/{FILM.upper()}").json
    assert (ratings["imdbRating"], ratings["rtRating"], ratings["boxOffice"]) == (8.1, 81, None)


def test_the_cache_info_has_its_sizes(client):
    client.get("/api/external/tmdb/movie/5000")
    answer = client.get("/api/external/cache/info")
    assert answer.json == {"current_size": 2, "max_size": 500, "ttl": 3600}


@pytest.mark.parametrize(
    "path, name",
    [
        ("tmdb/search", ""),
        ("tmdb/search?q=", "q"),
        ("tmdb/search?q=x&year=soon", "year"),
        ("tmdb/discover/list?kind=worst", "kind"),
        ("tmdb/discover/list?kind=popular&days=91", "days"),
        ("tmdb/discover/list?kind=popular&region=USA", "region"),
        ("tmdb/discover/person?q=x&role=gaffer", "role"),
    ],
)
def test_an_invalid_parameter_is_refused_by_name(client, standin, path, name):
    answer = client.get(f"/api/external/{path}")
    assert answer.status_code == 422
    assert answer.json["detail"][0]["loc"] == ([name] if name else [])
    assert standin.tmdb.asked == []


def test_what_the_provider_answers_is_told_with_its_status(client, standin):
    assert detail(client.get("/api/external/tmdb/movie/1")) == (502, "TMDB API error: 404")
    assert detail(client.get(f"/api/external/omdb/movie/{stand.UNKNOWN_ID}")) == (
        502,
        "OMDb says: Error getting data.",
    )
    assert client.get("/api/external/omdb/movie/tt1").status_code == 404
    standin.tmdb.fault = "wrong_key"
    assert detail(client.get("/api/external/tmdb/search?q=x")) == (502, "TMDB API error: 401")


def test_huge_and_negative_ids_are_not_found(client):
    assert client.get(f"/api/external/tmdb/movie/{10**30}").status_code == 502
    assert client.get("/api/external/tmdb/movie/-1").status_code == 404


class TestWithoutKeys:
    @pytest.fixture
    def settings(self, tmp_path):
        return config.Config(data_dir=tmp_path / "data")

    def test_every_look_up_answers_503(self, client, alice):
        movies.add(alice.id, FILM)
        missing = (503, "TMDB API key not configured")
        assert detail(client.get("/api/external/tmdb/search?q=x")) == missing
        assert detail(client.get("/api/external/tmdb/movie/550")) == missing
        assert detail(client.post(f"/api/movies/{FILM}/refresh")) == missing
        assert detail(client.get(f"/api/external/omdb/movie/{FILM}")) == (
            503,
            "OMDb API key not configured",
        )
        assert client.get("/api/external/cache/info").status_code == 200

    def test_the_catalogue_answers_where_there_is_one(self, client, alice):
        catalogue.put()
        Title.create(imdb_id="tt0114709", poster_path="/toys.png")
        toy_story, the_toy = client.get("/api/external/tmdb/search?q=toy").json
        assert the_toy == {
            "id": -84809,
            "imdb_id": "tt0084809",
            "title": "The Toy",
            "year": 1982,
            "mediaType": "movie",
            "poster": None,
            "posterSmall": None,
            "overview": None,
            "voteAverage": 5.9,
            "voteCount": 18000,
        }
        assert toy_story["posterSmall"].endswith("/w185/toys.png")
        assert client.get("/api/external/tmdb/search?q=nosuchfilm").json == []
        assert [film["year"] for film in search(client, "matrix", 1993)] == [1993]

    def test_a_hit_of_the_catalogue_is_shown_and_added_by_its_id(self, client):
        catalogue.put()
        film = client.get("/api/external/tmdb/movie/-133093").json
        assert (film["tmdbId"], film["imdbId"], film["poster"]) == (None, "tt0133093", None)
        assert (film["title"], film["runtime"], film["voteAverage"]) == ("The Matrix", 136, 8.7)
        assert film["director"] == "Lana Wachowski, Lilly Wachowski"
        series = client.get("/api/external/tmdb/tv/-903747").json
        assert (series["mediaType"], series["numberOfSeasons"]) == ("tv", None)
        for wrong in ("movie/-903747", "tv/-133093", "movie/-1", f"tv/-{10**30}"):
            assert client.get(f"/api/external/tmdb/{wrong}").status_code == 404

        added = client.post("/api/movies", json={"tmdb_id": -903747, "media_type": "tv"})
        assert (added.status_code, added.json["imdb_id"]) == (201, "tt0903747")
        both = client.post("/api/movies", json={"tmdb_id": -903747, "imdb_id": "tt0133093"})
        assert (both.status_code, both.json["imdb_id"]) == (201, "tt0133093")

    def test_lists_of_films_stay_tmdbs(self, client):
        catalogue.put()
        answer = client.get("/api/external/tmdb/discover/genre?q=comedy")
        assert detail(answer) == (503, "TMDB API key not configured")


def search(client, text, year):
    return client.get("/api/external/tmdb/search", query_string={"q": text, "year": year}).json


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_refresh_fills_a_stub_and_keeps_last_modified(client, alice, frozen_clock, method):
    movies.add(alice.id, FILM)
    added = clock.now()
    frozen_clock.move(HOUR)

    answer = getattr(client, method)(f"/api/movies/{FILM}/refresh")
    assert answer.json == {
        "success": True,
        "updated": {"tmdb": True, "omdb": True},
        "last_modified": added,
    }
    shown = client.get(f"/api/movies/{FILM}").json
    assert shown["tmdb_data"]["title"] == stand.FILMS[0][0]
    assert shown["omdb_data"]["imdbRating"] == 8.1
    assert shown["last_modified"] == added


def test_a_film_of_another_user_is_not_refreshed(client, bob):
    movies.add(bob.id, FILM)
    assert detail(client.post(f"/api/movies/{FILM}/refresh")) == (404, "Movie not found")
    assert detail(client.post("/api/movies/nonsense/refresh")) == (404, "Movie not found")
    assert Title.get_by_id(FILM).tmdb_state == "stub"


def test_a_refresh_that_no_provider_answers_says_why(client, alice, standin):
    movies.add(alice.id, FILM)
    standin.tmdb.fault = standin.omdb.fault = "error"
    assert detail(client.post(f"/api/movies/{FILM}/refresh")) == (502, "TMDB API error: 500")
    assert Title.get_by_id(FILM).tmdb_state == "failed"


def test_a_film_that_was_just_looked_up_is_complete_when_it_is_added(client):
    client.get("/api/external/tmdb/movie/5000")
    client.get(f"/api/external/omdb/movie/{FILM}")
    added = client.post(
        f"/api/movies/{FILM}/recommendations",
        json={
            "person": "Ann",
            "vote_type": "upvote",
            "tmdb_data": {"title": "A lie"},
            "omdb_data": {"title": "A lie"},
        },
    )
    assert added.status_code == 201
    shown = client.get(f"/api/movies/{FILM}").json
    assert shown["tmdb_data"]["title"] == shown["omdb_data"]["title"] == stand.FILMS[0][0]


def test_a_film_is_added_by_its_tmdb_id(client):
    answer = client.post(
        "/api/movies", json={"tmdb_id": 7001, "media_type": "tv", "recommender": "Ann"}
    )
    assert (answer.status_code, answer.json["imdb_id"]) == (201, stand.SERIES_ID)
    assert answer.json["tmdb_data"]["mediaType"] == "tv"
    assert client.post("/api/movies", json={"tmdb_id": 7002}).status_code == 422
