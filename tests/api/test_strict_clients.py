"""Every answer that the existing clients read, decoded as strictly as they do."""

import pytest

from mm import config, models
from mm.database import db
from mm.models import Movie, Tombstone
from mm.providers import limits
from mm.services.enrichment import interactive, offline_titles
from mm.services.enrichment import queue as enrichment_queue
from mm.services.library import lists, movies, saved_views
from tests.conftest import PASSWORD
from tests.support import catalogue
from tests.support import standin as stand
from tests.support import strict_clients as strict
from tests.support.libraries import T, custom_list, document, film, person, put, ranking, seen, vote
from tests.support.phones import require_rules, server_library
from tests.support.strict_clients import CLIENTS, PHONES, REACT, MismatchError, array, decode

FULL, SECOND = stand.FILM_IDS[:2]
OF_CATALOGUE, SERIES_OF_CATALOGUE = "tt0133093", "tt0903747"
STUB, DOWNVOTED, LISTED, GONE = "tt0000001", "tt0000002", "tt0000003", "tt0000004"
# Watched without a rating, by the status that the film has now.
UNRATED = {
    "watched": "tt0000011",
    "toWatch": "tt0000012",
    "custom": "tt0000013",
    "deleted": "tt0000014",
}


@pytest.fixture
def settings(tmp_path, standin):
    return config.Config(data_dir=tmp_path / "data", **standin.config())


@pytest.fixture
def phone(frozen_clock, monkeypatch, as_user, alice):
    """Alice's library: films with all that the providers tell, a series, one with every field
    empty, one that OMDb alone knows, one of the catalogue, a stub; votes up and down; a watch with
    a rating, also of films that were moved on."""
    monkeypatch.setattr("mm.providers.client.sleep", lambda _: None)
    for name in ("tmdb_interactive", "omdb_interactive"):
        monkeypatch.setattr(limits, name, limits.RateLimiter(2000, ceiling=2000))
    interactive.cache.clear()
    kept = {"status": "custom", "custom_list_id": "list-1"}
    films = [
        named(seen(1, rating=8), FULL, recommendations=[vote("Eve"), vote("Mum", up=False)]),
        named(seen(1, rating=9.5), SECOND, recommendations=[vote("Eve")]),
        named(film(1), stand.SERIES_ID, media_type="tv"),
        named(film(1), stand.EMPTY_ID),
        named(film(1), stand.OMDB_ONLY_ID),
        named(film(1), OF_CATALOGUE),
        named(film(1), SERIES_OF_CATALOGUE, media_type="tv"),
        film(1, media_type=None),
        film(2, recommendations=[vote("Eve", up=False)]),
        seen(3, rating=3, **kept, recommendations=[vote("Eve")]),
        seen(4, status="deleted", recommendations=[vote("Eve")]),
    ]
    people = [person("Eve", emoji="🎬", is_trusted=True), person("Mum")]
    places = [{**ranking(), "imdb_id": FULL}, {**ranking(1, 1, False), "imdb_id": SECOND}]
    put(alice, document(films, people, [custom_list()], rankings=places[:1]))
    fill_titles()
    return as_user(alice)


def fill_titles():
    """What the worker would have done by now."""
    catalogue.put()
    tmdb = {
        FULL: stand.tmdb_film(FULL) | {"media_type": "movie"},
        SECOND: stand.tmdb_film(SECOND) | {"media_type": "movie"},
        stand.SERIES_ID: stand.SERIES | {"media_type": "tv"},
        stand.EMPTY_ID: stand.EMPTY | {"media_type": "movie"},
    }
    with db.atomic():
        for imdb_id, body in tmdb.items():
            enrichment_queue.fill("tmdb", imdb_id, body)
        offline_titles.fill([OF_CATALOGUE, SERIES_OF_CATALOGUE])
        for imdb_id in (FULL, SECOND, stand.OMDB_ONLY_ID):
            enrichment_queue.fill("omdb", imdb_id, stand.omdb_body(imdb_id))


@pytest.fixture
def unrated(phone, alice):
    """The same, with a film in each status whose latest watch has no rating."""
    votes = [vote("Eve")]
    films = [
        seen(11, rating=None, recommendations=votes),
        seen(12, rating=None, recommendations=votes, status="toWatch"),
        seen(13, None, recommendations=votes, status="custom", custom_list_id="list-1"),
        seen(14, rating=None, recommendations=votes, status="deleted"),
    ]
    put(alice, document(films, lists=[custom_list()]))
    movies.watch(alice.id, SECOND, again=True)
    return phone


@pytest.fixture
def rich(unrated, alice):
    """The same, with what these clients have never heard of: notes, several lists a film, hints,
    days that nobody knows, descriptions, views."""
    user = alice.id
    lists.change(user, "list-1", {"description": "For rainy days"})
    other = lists.create(user, "Other", list_id="list-2", description="With Mum")
    for imdb_id in (FULL, SECOND, STUB, LISTED, *UNRATED.values()):
        movies.set_note(user, imdb_id, "In French")
    for imdb_id in (FULL, SECOND, STUB, DOWNVOTED, LISTED, UNRATED["watched"]):
        movies.add_to_list(user, imdb_id, other.id, "At night")
        movies.add_to_list(user, imdb_id, "list-1")
    movies.watch(user, FULL, note="With Mum", day_known=False)
    movies.watch(user, SECOND, note="Alone", day_known=False, again=True)
    hinted = (STUB, DOWNVOTED, LISTED, *UNRATED.values())
    Movie.update(hint_title="As they say", hint_year=1994).where(Movie.title.in_(hinted)).execute()
    filters = {"genre": ["Crime", "Drama"], "not_genre": ["Horror", "War"], "status": "toWatch"}
    saved_views.create(user, "Unseen", filters)
    return unrated


def named(row, imdb_id, **values):
    return {**row, "imdb_id": imdb_id, **values}


PLACES = {
    "the films": ("/api/movies", lambda client: client.films),
    "those of a status": ("/api/movies?status=watched", lambda client: client.films),
    "a watched film": (f"/api/movies/{FULL}", lambda client: client.film),
    "a series": (f"/api/movies/{stand.SERIES_ID}", lambda client: client.film),
    "a film with every field empty": (f"/api/movies/{stand.EMPTY_ID}", lambda client: client.film),
    "a film of the catalogue": (f"/api/movies/{OF_CATALOGUE}", lambda client: client.film),
    "a series of it": (f"/api/movies/{SERIES_OF_CATALOGUE}", lambda client: client.film),
    "a stub": (f"/api/movies/{STUB}", lambda client: client.film),
    "a person's films": ("/api/people/Eve/stats", lambda client: client.stats),
    "a list's films": ("/api/lists/list-1/movies", lambda client: client.films),
    "the feed": ("/api/sync?since=0", lambda client: client.feed),
    "a page of the feed": ("/api/sync/changes?since=0&limit=500", lambda client: client.feed),
    "one row of the feed": ("/api/sync/changes?since=0&limit=1", lambda client: client.feed),
}


@pytest.mark.parametrize("client", CLIENTS, ids=repr)
def test_every_client_decodes_films_in_every_answer(phone, client):
    for path, kind in PLACES.values():
        decode(phone.get(path), kind(client))


def test_the_library_of_these_tests_has_every_difficult_film(phone):
    """Else they would prove little."""
    films = {row["imdb_id"]: row for row in phone.get("/api/movies").json}
    assert films[FULL]["omdb_data"]["year"] == 1994
    assert films[stand.SERIES_ID]["tmdb_data"]["numberOfSeasons"] == 3
    assert films[stand.EMPTY_ID]["tmdb_data"]["poster"] is None
    assert films[stand.OMDB_ONLY_ID]["tmdb_data"] is None
    assert films[OF_CATALOGUE]["tmdb_data"]["title"] == "The Matrix"
    assert films[OF_CATALOGUE]["tmdb_data"]["tmdbId"] is None
    assert films[SERIES_OF_CATALOGUE]["tmdb_data"]["numberOfSeasons"] is None
    assert films[stand.OMDB_ONLY_ID]["omdb_data"]["year"] == 1949
    assert (films[STUB]["tmdb_data"], films[STUB]["media_type"]) == (None, None)
    assert films[DOWNVOTED]["recommendations"][0]["vote_type"] is False
    assert films[LISTED]["watch_history"]["my_rating"] == 3


# A watch without a rating: the phone cannot decode it, and knows a flat film instead.

FLAT_KEYS = {
    "id",
    "title",
    "tmdb_id",
    "poster_path",
    "overview",
    "release_date",
    "vote_average",
    "imdb_rating",
    "rotten_tomatoes_rating",
    "metacritic_score",
    "actors",
    "date_watched",
}
WITH_UNRATED = (
    "the films",
    "those of a status",
    "a person's films",
    "a list's films",
    "the feed",
    "a page of the feed",
)


def films_everywhere(phone):
    """The films of each answer that has many, by imdb_id."""
    yield from (
        {row["imdb_id"]: row for row in rows}
        for rows in (
            phone.get("/api/movies").json,
            phone.get("/api/people/Eve/stats").json["movies"],
            phone.get("/api/sync?since=0").json["movies"],
            phone.get("/api/sync/changes?since=0&limit=500").json["movies"],
        )
    )


@pytest.mark.parametrize("client", PHONES, ids=repr)
def test_a_phone_decodes_the_films_when_some_have_no_rating(unrated, client):
    for path, kind in map(PLACES.get, WITH_UNRATED):
        decode(unrated.get(path), kind(client))


@pytest.mark.parametrize("client", PHONES, ids=repr)
def test_a_phone_decodes_a_single_film_without_a_rating(unrated, client):
    for imdb_id in (SECOND, *UNRATED.values()):
        decode(unrated.get(f"/api/movies/{imdb_id}"), client.film)


def test_the_web_client_decodes_the_films_when_some_have_no_rating(unrated):
    for path, kind in map(PLACES.get, WITH_UNRATED):
        decode(unrated.get(path), kind(REACT))


def test_a_watched_film_without_a_rating_shows_its_watch_and_no_zero(unrated):
    """The web client sorts by the date; both clients would show 0 as a rating."""
    for films in films_everywhere(unrated):
        watch = films[UNRATED["watched"]]["watch_history"]
        assert (watch["date_watched"], watch["my_rating"]) == (T, None)
        assert films[SECOND]["watch_history"]["my_rating"] is None


def test_a_film_of_another_status_shows_no_watch_without_a_rating(unrated):
    """The phone would take a flat film for a watched one."""
    for films in films_everywhere(unrated):
        for status in ("toWatch", "custom"):
            row = films[UNRATED[status]]
            assert row["watch_history"] is None
            assert not FLAT_KEYS & row.keys()
    listed = unrated.get("/api/lists/list-1/movies").json
    watches = {row["imdb_id"]: row["watch_history"] for row in listed}
    assert watches[UNRATED["custom"]] is None
    assert watches[LISTED]["my_rating"] == 3


def test_a_deleted_film_shows_no_watch_without_a_rating_either(unrated):
    row = unrated.get(f"/api/movies/{UNRATED['deleted']}").json
    assert row["watch_history"] is None
    assert not FLAT_KEYS & row.keys()


def test_only_watched_films_without_a_rating_carry_the_flat_keys(unrated):
    for films in films_everywhere(unrated):
        flat = {imdb_id for imdb_id, row in films.items() if FLAT_KEYS & row.keys()}
        assert flat == {SECOND, UNRATED["watched"]}
        assert all(films[imdb_id].keys() >= FLAT_KEYS for imdb_id in flat)


def test_a_watch_without_a_rating_counts_as_watched_though_it_is_not_shown(unrated):
    """All of Eve's films but the one that she warns of have a watch, whatever their status is."""
    stats = unrated.get("/api/people/Eve/stats").json
    assert (stats["total_movies"], stats["watched_movies"]) == (7, 6)


def test_a_flat_film_says_what_the_providers_say(unrated):
    row = unrated.get(f"/api/movies/{SECOND}").json
    assert isinstance(row["id"], int)
    assert (row["title"], row["tmdb_id"]) == (stand.FILMS[1][0], 5001)
    assert row["poster_path"] == row["tmdb_data"]["poster"]
    assert row["overview"] == row["tmdb_data"]["plot"]
    assert row["release_date"].startswith("2003")
    assert row["vote_average"] == 7.1
    assert row["imdb_rating"] == row["omdb_data"]["imdbRating"]
    assert row["rotten_tomatoes_rating"] == row["omdb_data"]["rtRating"]
    assert row["metacritic_score"] == row["omdb_data"]["metascore"]
    # The frozen clock's moment, at which the film was watched again.
    assert row["date_watched"] == "2026-03-01T12:00:00.000Z"


def test_a_flat_film_without_a_title_is_titled_by_its_imdb_id(unrated):
    row = unrated.get(f"/api/movies/{UNRATED['watched']}").json
    assert row["title"] == UNRATED["watched"]
    assert isinstance(row["id"], int)


@pytest.mark.parametrize("client", PHONES, ids=repr)
def test_a_phone_decodes_the_state_of_a_conflict_about_a_film_without_a_rating(unrated, client):
    late = {"action": "markWatched", "data": {"imdb_id": SECOND}, "timestamp": T}
    answer = decode(unrated.post("/api/sync", json=late), client.answer)
    assert answer["server_state"]["imdb_id"] == SECOND


# What came later than these clients.


@pytest.mark.parametrize("client", CLIENTS, ids=repr)
def test_every_client_decodes_a_library_that_has_all_there_is(rich, client):
    for path, kind in PLACES.values():
        decode(rich.get(path), kind(client))
    for imdb_id in (FULL, SECOND, STUB, LISTED, *UNRATED.values()):
        decode(rich.get(f"/api/movies/{imdb_id}"), client.film)
    assert decode(rich.get("/api/lists"), array(strict.LIST))
    decode(rich.get("/api/lists/list-2"), strict.LIST)
    assert decode(rich.get("/api/ranking"), array(strict.RANKING))
    assert decode(rich.get("/api/ranking/unranked"), array(strict.UNRANKED))


def test_that_library_has_all_there_is(rich):
    """Else it would prove little."""
    films = {row["imdb_id"]: row for row in rich.get("/api/movies").json}
    assert films[FULL]["list_ids"] == ["list-1", "list-2"]
    assert films[FULL]["note"] == "In French"
    seen = films[FULL]["watch_history"]
    assert (seen["note"], seen["day_known"], seen["my_rating"]) == ("With Mum", False, 8)
    assert films[STUB]["tmdb_data"]["title"] == "As they say"
    assert films[UNRATED["watched"]]["title"] == "As they say"
    assert rich.get("/api/sync").json["views"][0]["filters"]["not_genre"] == ["Horror", "War"]
    assert len(rich.get("/api/lists/list-2").json["films"]) == 6


@pytest.mark.parametrize("client", CLIENTS, ids=repr)
def test_every_client_decodes_the_answers_to_changes_of_lists_and_notes(rich, client):
    decode(rich.put(f"/api/movies/{SECOND}/note", json={"note": "x"}), client.film)
    actions = [
        ("updateNote", {"imdb_id": SECOND, "note": "Late"}, T - 9e6),
        ("updateNote", {"imdb_id": STUB, "note": "Late"}, T - 9e6),
        ("addToList", {"imdb_id": UNRATED["deleted"], "list_id": "list-1"}, T - 9e6),
        ("updateList", {"id": "list-1", "description": "Late"}, T - 9e6),
        ("reorderList", {"id": "list-1", "imdb_ids": [STUB]}, T - 9e6),
        ("removeFromList", {"imdb_id": STUB, "list_id": "list-1"}, T - 9e6),
    ]
    sent = [{"action": name, "data": data, "timestamp": at} for name, data, at in actions]
    answers = decode(rich.post("/api/sync/batch", json={"actions": sent}), client.answers)
    conflicts = [answer["conflict"] for answer in answers["results"]]
    assert conflicts == [True] * 4 + [False] * 2


def test_a_phone_that_knows_one_list_a_film_leaves_the_rules_true(rich):
    """It moves films by their status, marks them as watched, and deletes the list."""
    for imdb_id in (STUB, FULL, LISTED):
        body = {"status": "custom", "custom_list_id": "list-2"}
        decode(rich.put(f"/api/movies/{imdb_id}/status", json=body), strict.STATUS)
        require_rules(whole(rich))
    rich.put(f"/api/movies/{STUB}/watch", json={"my_rating": 8})
    require_rules(whole(rich))
    shown = rich.get(f"/api/movies/{STUB}").json
    assert (shown["status"], shown["custom_list_id"]) == ("watched", None)
    assert shown["list_ids"] == ["list-1", "list-2"]

    assert rich.delete("/api/lists/list-2").status_code == 204
    require_rules(whole(rich))
    # It stays with its other list where it has one.
    shown = rich.get(f"/api/movies/{FULL}").json
    assert (shown["status"], shown["custom_list_id"]) == ("custom", "list-1")
    assert rich.delete("/api/lists/list-1").status_code == 204
    require_rules(whole(rich))
    statuses = {row["imdb_id"]: row["status"] for row in rich.get("/api/movies").json}
    assert (statuses[STUB], statuses[FULL], statuses[LISTED]) == ("watched",) * 3
    assert statuses[DOWNVOTED] == "toWatch"


def test_a_queue_of_such_a_phone_leaves_the_rules_true(rich, frozen_clock):
    steps = [
        ("updateStatus", {"imdb_id": STUB, "status": "custom", "custom_list_id": "list-2"}),
        ("markWatched", {"imdb_id": STUB, "rating": 8}),
        ("updateStatus", {"imdb_id": FULL, "status": "custom", "custom_list_id": "list-1"}),
        ("updateStatus", {"imdb_id": FULL, "status": "deleted"}),
        ("updateStatus", {"imdb_id": SECOND, "status": "custom", "custom_list_id": "list-1"}),
        ("deleteList", {"id": "list-1"}),
    ]
    frozen_clock.move(60)
    for number, (name, data) in enumerate(steps):
        action = {"action": name, "data": data, "timestamp": frozen_clock() - 30 + number}
        assert rich.post("/api/sync", json=action).json["success"], name
        require_rules(whole(rich))
    shown = rich.get(f"/api/movies/{SECOND}").json
    assert (shown["status"], shown["custom_list_id"]) == ("custom", "list-2")


def whole(phone):
    return server_library(
        lambda method, path, json: phone.open(path, method=method, json=json).json
    )


# All the rest.


@pytest.mark.parametrize("client", CLIENTS, ids=repr)
def test_every_client_decodes_the_answers_to_its_changes_of_a_film(phone, client):
    decode(phone.post("/api/movies", json={"imdb_id": "tt0000099"}), client.film, 201)
    url = f"/api/movies/{FULL}"
    body = {"person": "Dad", "vote_type": "downvote"}
    decode(phone.post(f"{url}/recommendations", json=body), strict.RECOMMENDATION, 201)
    both = array(strict.RECOMMENDATION)
    body = {"people": ["Dad", "Aunt"], "vote_type": "upvote"}
    decode(phone.post(f"{url}/recommendations/bulk", json=body), both, 201)
    watch = {"date_watched": 1_771_000_000, "my_rating": 8}
    decode(phone.put(f"{url}/watch", json=watch), client.watch)
    decode(phone.put(f"{url}/status", json={"status": "toWatch"}), strict.STATUS)
    decode(phone.post(f"{url}/refresh", json={}), strict.REFRESHED)
    decode(phone.get(f"{url}/refresh"), strict.REFRESHED)


def test_the_web_client_decodes_a_watch_that_it_set_without_a_rating(phone):
    body = {"date_watched": 1_771_000_000, "my_rating": None}
    decode(phone.put(f"/api/movies/{STUB}/watch", json=body), REACT.watch)


def test_every_client_decodes_people_and_lists(phone):
    names = [row["name"] for row in decode(phone.get("/api/people"), array(strict.PERSON))]
    assert {"Eve", "Mum", "Google Search"} <= set(names)
    decode(phone.post("/api/people", json={"name": "Zoë/Bob"}), strict.PERSON, 201)
    decode(phone.put("/api/people/Eve", json={"emoji": None}), strict.PERSON)
    assert decode(phone.get("/api/lists"), array(strict.LIST))
    made = decode(phone.post("/api/lists", json={"name": "Best"}), strict.LIST, 201)
    decode(phone.put(f"/api/lists/{made['id']}", json={"name": "Very best"}), strict.LIST)


def test_every_client_decodes_the_ranking(phone):
    assert decode(phone.get("/api/ranking"), array(strict.RANKING))
    assert decode(phone.get("/api/ranking/unranked"), array(strict.UNRANKED))
    movies.watch(models.user_by_name("alice").id, STUB)
    for imdb_id in (SECOND, STUB):
        body = {"imdb_id": imdb_id, "position": 1, "liked": False}
        decode(phone.post("/api/ranking/insert", json=body), strict.RANKING, 201)
    shown = decode(phone.get("/api/ranking"), array(strict.RANKING))
    # The phone crashes on a film that is there twice.
    assert len({row["imdb_id"] for row in shown}) == len(shown) == 3
    assert decode(phone.get("/api/ranking/unranked"), array(strict.UNRANKED)) == []


@pytest.mark.parametrize("client", CLIENTS, ids=repr)
def test_every_client_decodes_the_answers_to_its_queue(phone, client):
    actions = [
        {"action": "addMovie", "data": {"imdb_id": "tt0000050"}, "timestamp": T + 9e6},
        {"action": "watchMovie", "data": {"imdb_id": FULL, "rating": 7}, "timestamp": T - 9e6},
        {"action": "updatePerson", "data": {"name": "Eve", "emoji": "x"}, "timestamp": T - 9e6},
        {"action": "updateList", "data": {"id": "list-1", "name": "x"}, "timestamp": T - 9e6},
        {"action": "updateRating", "data": {"imdb_id": STUB, "rating": 7}, "timestamp": T + 9e6},
        {"action": "explode", "data": {}, "timestamp": T},
        7,
    ]
    for action in actions[:5]:
        decode(phone.post("/api/sync", json=action), client.answer)
    answers = decode(phone.post("/api/sync/batch", json={"actions": actions}), client.answers)
    assert [answer["success"] for answer in answers["results"]] == [True] + [False] * 6
    conflicts = [answer["conflict"] for answer in answers["results"]]
    assert conflicts == [False] + [True] * 3 + [False] * 3


@pytest.mark.parametrize("client", CLIENTS, ids=repr)
def test_every_client_decodes_deletions_in_the_feed(phone, alice, client):
    phone.delete(f"/api/movies/{DOWNVOTED}")
    phone.delete("/api/people/Mum")
    phone.delete("/api/lists/list-1")
    assert Tombstone.select().count() == 3
    feed = decode(phone.get("/api/sync?since=0"), client.feed)
    assert set(feed["deleted_movie_ids"]) == {DOWNVOTED, GONE}
    assert (len(feed["deleted_people"]), feed["deleted_lists"]) == (1, ["list-1"])


PROVIDERS = {
    "tmdb/search?q=lighthouse": array(strict.SEARCH_RESULT),
    "tmdb/search?q=a": array(strict.SEARCH_RESULT),
    "tmdb/discover/genre?q=comedy": array(strict.SEARCH_RESULT),
    "tmdb/discover/person?q=Kofi%20Mars&role=director": array(strict.SEARCH_RESULT),
    "tmdb/discover/list?kind=trending&time_window=day": array(strict.SEARCH_RESULT),
    "tmdb/discover/list?kind=coming_soon&days=30": array(strict.SEARCH_RESULT),
    "tmdb/movie/5000": strict.TMDB,
    "tmdb/movie/7002": strict.TMDB,
    "tmdb/tv/7001": strict.TMDB,
    f"omdb/movie/{FULL}": strict.OMDB,
    f"omdb/movie/{stand.OMDB_ONLY_ID}": strict.OMDB,
}


def test_every_client_decodes_what_the_providers_know(phone):
    for path, kind in PROVIDERS.items():
        decode(phone.get(f"/api/external/{path}"), kind)


def test_every_client_decodes_backups_and_imports(phone, alice):
    decode(phone.get("/api/backup/settings"), strict.BACKUP_SETTINGS)
    turned_off = phone.put("/api/backup/settings", json={"backup_enabled": False})
    decode(turned_off, strict.BACKUP_SETTINGS)
    made = decode(phone.post("/api/backup/create"), strict.BACKUP, 201)
    (config.current.backups_dir / alice.id / "notes.txt").write_text("Not ours")
    backups = decode(phone.get("/api/backup/list"), strict.BACKUPS)["backups"]
    assert {row["filename"] for row in backups} == {made["filename"], "notes.txt"}
    exported = phone.get("/api/backup/export").json
    assert decode(phone.post("/api/backup/import", json=exported), strict.IMPORTED)["success"]
    restored = phone.post(f"/api/backup/restore/{made['filename']}")
    assert decode(restored, strict.IMPORTED)["success"]


def test_every_client_decodes_an_import_with_rejected_rows(phone):
    file = document([film(20), {"imdb_id": "nonsense"}, film(21, status="seen")])
    answer = decode(phone.post("/api/backup/import", json=file), strict.IMPORTED)
    assert len(answer["errors"]) == 2


def test_every_client_decodes_logging_in_and_its_account(client, phone, alice):
    body = {"email": alice.email, "password": PASSWORD}
    decode(client.post("/api/auth/login", json=body), strict.LOG_IN)
    decode(phone.get("/api/auth/me"), strict.ACCOUNT)


ERRORS = [
    ("POST", "/api/auth/login", {"email": "a@example.org", "password": "wrong"}, 401),
    ("GET", "/api/movies/tt7777777", None, 404),
    ("DELETE", "/api/ranking/tt7777777", None, 404),
    ("POST", "/api/ranking/insert", {"imdb_id": STUB, "position": 1, "liked": True}, 400),
    ("POST", "/api/people", {"name": "eve"}, 409),
    ("POST", "/api/people", {"name": "x" * 501}, 422),
    ("POST", "/api/lists", {"name": "Best", "color": "red"}, 422),
    ("POST", "/api/backup/import", {"version": 3, "movies": []}, 422),
    ("POST", "/api/backup/import", ["a list"], 422),
    ("DELETE", "/api/people/Google Search", None, 400),
    ("GET", "/api/external/tmdb/movie/1", None, 502),
]


def test_every_client_shows_an_error_as_text(phone):
    for method, path, body, status in ERRORS:
        decode(phone.open(path, method=method, json=body), strict.ERROR, status)


class TestStrictness:
    """Of these decoders: what Swift refuses, they refuse."""

    @pytest.mark.parametrize(
        ("kind", "value"),
        [
            (strict.integer, 1.5),
            (strict.integer, True),
            (strict.integer, "1"),
            (strict.integer, None),
            (strict.double, "1"),
            (strict.double, None),
            (strict.double, False),
            (strict.text, 1994),
            (strict.text, None),
            (strict.boolean, 1),
            (array(strict.text), None),
            (array(strict.text), ["a", None]),
            (strict.LIST, {}),
            (strict.iso_date, "2026-03-01"),
            (strict.iso_date, "2026-03-01T12:00:00Z"),
        ],
    )
    def test_the_decoders_refuse_another_type_and_null(self, kind, value):
        with pytest.raises(MismatchError):
            kind(value, "")

    @pytest.mark.parametrize(
        ("kind", "value"),
        [
            (strict.integer, 3.0),
            (strict.double, 3),
            (strict.optional(strict.text), None),
            (strict.UNRANKED, {"imdb_id": "tt1", "title": "A", "more": 1}),
            (strict.iso_date, "2026-03-01T12:00:00.000Z"),
        ],
    )
    def test_the_decoders_accept_what_swift_accepts(self, kind, value):
        kind(value, "")
