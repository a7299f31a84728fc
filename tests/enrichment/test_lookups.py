"""Look-ups for somebody who waits: what is found, what is cached, and how failures are reported."""

import threading
import time

import pytest
from msgspec import UNSET

from mm.database import db
from mm.errors import NotFoundError, ProviderError, UnavailableError
from mm.providers import cache, client, limits
from mm.services.enrichment import interactive, lookup_slots, lookups, pauses
from mm.services.enrichment.refresh import refresh_title
from tests.support import catalogue
from tests.support import standin as stand
from tests.support.enriching import (  # noqa: F401
    DAY,
    FILM,
    HOUR,
    brisk,
    brisk_lookups,
    change,
    hold,
    run,
    settings,
    states,
)

pytestmark = pytest.mark.usefixtures("brisk_lookups")
TITLE = stand.FILMS[0][0]


# Searching.


def test_a_search_finds_films_series_and_people(standin):
    [film] = lookups.search("lighthouse")
    assert (film.id, film.title, film.year, film.mediaType) == (5000, TITLE, 1994, "movie")
    assert film.poster == f"{standin.url}/t/p/w500/{FILM}.png"
    assert film.posterSmall == f"{standin.url}/t/p/w185/{FILM}.png"

    assert [row.mediaType for row in lookups.search("meanwhile")] == ["tv"]
    [person] = lookups.search("Dora")
    assert (person.mediaType, person.title, person.knownFor) == ("person", "Dora Fenn", [TITLE])


def test_the_catalogue_is_asked_only_for_what_tmdb_does_not_find(standin):
    catalogue.put([*catalogue.FILMS, catalogue.film(1, TITLE, 1994)])
    assert [film.id for film in lookups.search("lighthouse")] == [5000]
    assert [film.id for film in lookups.search("reloaded")] == [-234215]
    assert [film.imdb_id for film in lookups.search("alien", 1979)] == ["tt0078748"]
    assert lookups.find("lighthouse").films == {}


def test_of_a_search_that_fails_the_catalogue_finds_what_it_can(standin):
    catalogue.put()
    standin.tmdb.fault = "wrong_key"
    found = lookups.find("reloaded")
    assert [film.title for film in found.films.values()] == ["The Matrix Reloaded"]
    assert isinstance(found.problem, ProviderError)
    with pytest.raises(ProviderError):
        lookups.find("nosuchfilm")


def test_people_are_not_what_somebody_looks_for_in_the_catalogue():
    catalogue.put([catalogue.film(1, "Dora and Her Sister")])
    assert [row.mediaType for row in lookups.search("Dora")] == ["person", "movie"]


def test_an_id_of_the_catalogue_is_not_asked_of_tmdb(standin):
    catalogue.put()
    assert lookups.movie(-133093).title == "The Matrix"
    assert lookups.imdb_id_of(-903747, "tv") == "tt0903747"
    with pytest.raises(NotFoundError):
        lookups.series(-1)
    assert standin.tmdb.asked == []


def test_a_year_narrows_a_search_and_no_film_is_listed_twice():
    assert [row.title for row in lookups.search("the", 1999)] == ["The Third Umbrella"]
    assert lookups.search("the", 1901) == []


def test_only_a_person_has_a_name_beside_the_title():
    [person] = lookups.search("Dora")
    assert person.name == person.title == "Dora Fenn"
    [film] = lookups.search("lighthouse")
    assert film.name is UNSET


def of_genres(*names):
    return {film[0] for film in stand.FILMS if set(names) & set(film[5].split(", "))}


@pytest.mark.parametrize(
    "text, genres",
    [
        ("horror", ["Horror"]),
        ("horr", ["Horror"]),
        ("FICTION", ["Science Fiction"]),
        ("horror, fiction", ["Horror", "Science Fiction"]),
        ("mys,animation,", ["Mystery", "Animation"]),
        ("y", ["Comedy", "Documentary", "Family", "Mystery"]),
        ("film-noir,horror,cookery", ["Film-Noir", "Horror"]),
    ],
)
def test_films_are_found_by_part_of_a_genres_name_or_several(text, genres):
    assert {row.title for row in lookups.by_genre(text)} == of_genres(*genres)


def test_the_whole_name_of_a_genre_matches_only_that_genre(standin, monkeypatch):
    monkeypatch.setitem(stand.GENRES, "Musical", 99)
    assert {row.title for row in lookups.by_genre("music")} == of_genres("Music")


@pytest.mark.parametrize("text", ["Cookery", "", " , "])
def test_an_unknown_or_empty_genre_has_no_films(text):
    assert lookups.by_genre(text) == []


def test_films_are_found_by_actor():
    assert "Left Luggage at Platform Zero" in {row.title for row in lookups.by_person("Kofi Mars")}
    assert lookups.by_person("Nobody At All") == []


def test_films_are_found_by_director_the_popular_ones_first():
    found = [row.title for row in lookups.by_person("Kofi Mars", "director")]
    assert found == ["Please Do Not Feed the Robots", "The Accordion Heist"]
    assert lookups.by_person("Dora Fenn", "director") == []


@pytest.mark.parametrize("kind", ["popular", "now_playing", "top_rated", "coming_soon", "trending"])
def test_each_kind_of_list_has_films(kind):
    assert {row.mediaType for row in lookups.film_list(kind)} == {"movie"}


def test_people_and_series_on_a_list_of_films_are_left_out(monkeypatch):
    rows = [*stand._search("multi", {"query": "m"}), stand.summary(FILM)]
    assert {row["media_type"] for row in rows[:-1]} == {"movie", "tv", "person"}
    monkeypatch.setattr(stand, "lists", lambda *_: {"results": rows})
    for found in (lookups.film_list("trending"), lookups.film_list("popular")):
        assert {row.mediaType for row in found} == {"movie"}


def test_coming_soon_is_sorted_by_release_date():
    years = [row.year for row in lookups.film_list("coming_soon")]
    assert years == sorted(years)
    assert years != [row.year for row in lookups.film_list("popular")]


def test_days_narrow_the_lists_of_releases():
    assert (
        lookups.film_list("coming_soon", days=30) == lookups.film_list("now_playing", days=30) == []
    )


# Details.


def test_a_film_and_a_series_are_described_by_their_tmdb_ids():
    film, series = lookups.movie(5000), lookups.series(7001)
    assert (film.imdbId, film.title, film.runtime, film.director) == (
        FILM,
        TITLE,
        101,
        "Ilse Brandt",
    )
    assert (film.cast, film.genres, film.voteAverage) == (
        ["Omar Quist", "Dora Fenn"],
        ["Drama"],
        7.1,
    )
    assert (series.mediaType, series.numberOfSeasons, series.numberOfEpisodes) == ("tv", 3, 30)
    assert len(series.cast) == 10
    assert lookups.imdb_id_of(7001, "tv") == stand.SERIES_ID


def test_a_film_without_an_imdb_id_has_none():
    assert lookups.imdb_id_of(7002) is None


def test_ratings_are_numbers():
    found = lookups.ratings(FILM)
    assert (found.imdbRating, found.rtRating, found.metascore, found.year) == (8.1, 81, 81, 1994)
    assert (found.actors, found.rated) == (["Omar Quist", "Dora Fenn"], None)


# What is kept.


def test_answers_are_cached_for_an_hour(standin, frozen_clock):
    for _ in range(3):
        lookups.search("umbrella")
        lookups.movie(5000)
    assert len(standin.tmdb.asked) == 2

    frozen_clock.move(HOUR)
    lookups.movie(5000)
    assert len(standin.tmdb.asked) == 3


def test_failures_are_not_cached(standin):
    with pytest.raises(ProviderError):
        lookups.movie(123)
    with pytest.raises(ProviderError):
        lookups.movie(123)
    assert len(standin.tmdb.asked) == 2


def test_a_full_cache_drops_the_least_recently_used_answer(frozen_clock):
    kept = cache.Cache(size=3, seconds=60)
    for key in "abc":
        kept.put(key, key)
    kept.get("a")
    kept.put("d", "d")
    assert [kept.get(key) for key in "abcd"] == ["a", None, "c", "d"]
    assert len(kept) == 3
    frozen_clock.move(60)
    assert len(kept) == 0


def test_the_cache_reports_its_size():
    lookups.search("umbrella")
    info = lookups.cache_info()
    assert (info.current_size, info.max_size, info.ttl) == (1, 500, 3600)


# Failures.


@pytest.mark.parametrize(
    "fault, error, words",
    [
        ("wrong_key", ProviderError, "TMDB API error: 401"),
        ("busy", ProviderError, "TMDB API error: 429"),
        ("error", ProviderError, "TMDB API error: 500"),
        ("html", ProviderError, "not with JSON"),
        ("truncated", UnavailableError, "broke off"),
    ],
)
def test_each_failure_of_a_provider_has_its_own_error(standin, fault, error, words):
    standin.tmdb.fault = fault
    with pytest.raises(error, match=words):
        lookups.search("umbrella")
    assert len(standin.tmdb.asked) <= interactive.TRIES


def test_a_provider_that_does_not_answer_is_unavailable(standin, monkeypatch):
    monkeypatch.setattr("mm.providers.client.READ_SECONDS", 0.1)
    standin.tmdb.fault = "hang"
    with pytest.raises(UnavailableError, match="TMDB did not answer in time"):
        lookups.movie(5000)


@pytest.mark.parametrize("fault", ["hang", "trickle"])
def test_a_stalling_provider_costs_one_deadline_and_is_then_left_alone_for_a_minute(
    standin, monkeypatch, frozen_clock, fault
):
    monkeypatch.setattr(lookup_slots, "DEADLINE_SECONDS", 0.3)
    monkeypatch.setattr(client, "DEADLINE_MARGIN_SECONDS", 0)
    standin.tmdb.fault = fault
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="TMDB did not answer in time"):
        lookups.search("umbrella")
    assert time.monotonic() - began < 4
    for ask in (lambda: lookups.search("goose"), lambda: lookups.movie(5000)):
        with pytest.raises(UnavailableError, match=r"TMDB did not answer in time\. Try again in"):
            ask()
    assert len(standin.tmdb.asked) == 1

    standin.tmdb.fault = ""
    monkeypatch.setattr(lookup_slots, "DEADLINE_SECONDS", 30)
    frozen_clock.move(lookup_slots.SILENT_SECONDS)
    assert lookups.search("umbrella") != []
    assert lookups.search("goose") != []


def test_after_a_minute_one_look_up_retries_and_the_others_are_still_refused(standin, frozen_clock):
    url = f"{standin.url}/3"
    lookup_slots.silent_providers.remember(url, "Silent.")
    frozen_clock.move(lookup_slots.SILENT_SECONDS - 1)
    assert (
        lookup_slots.silent_providers.claim_retry(url)
        == lookup_slots.silent_providers.message(url)
        == "Silent."
    )
    frozen_clock.move(1)
    assert lookup_slots.silent_providers.claim_retry(url) is None
    assert lookup_slots.silent_providers.claim_retry(url) == "Silent."
    lookup_slots.silent_providers.forget(url)
    assert lookup_slots.silent_providers.claim_retry(url) is None


def test_a_provider_that_answers_with_errors_is_still_asked(standin):
    standin.tmdb.fault = "error"
    for text in ("umbrella", "goose"):
        with pytest.raises(ProviderError, match="TMDB API error: 500"):
            lookups.search(text)


@pytest.mark.parametrize("url", [f"http://{'a' * 64}.example/3", "http:///3", "tmdb"])
def test_an_unusable_address_is_reported_with_its_variable(alice, url):
    change(tmdb_base_url=url, omdb_base_url=url)
    hold(alice, FILM)
    for ask in (lambda: lookups.search("umbrella"), lambda: refresh_title(FILM)):
        with pytest.raises(
            UnavailableError, match="TMDB cannot be asked: TMDB_BASE_URL is no usable"
        ):
            ask()


def test_without_a_key_nothing_is_asked(alice):
    change(tmdb_api_key="", omdb_api_key="")
    hold(alice, FILM)
    for ask in (
        lambda: lookups.search("x"),
        lambda: lookups.movie(1),
        lambda: refresh_title(FILM),
    ):
        with pytest.raises(UnavailableError, match="TMDB API key not configured"):
            ask()
    with pytest.raises(UnavailableError, match="OMDb API key not configured"):
        lookups.ratings(FILM)


def test_a_paused_provider_is_not_asked_and_the_error_says_until_when(standin):
    pauses.pause("tmdb", "Too many requests to TMDB.", HOUR)
    with pytest.raises(UnavailableError, match="TMDB is paused until 1 March 2026, 13:00"):
        lookups.search("umbrella")
    assert standin.tmdb.asked == []


# OMDb's day.


def test_users_may_use_and_are_counted_against_omdbs_reserve(alice, standin):
    change(omdb_daily_limit=pauses.OMDB_RESERVED + 1)
    hold(alice, *stand.FILM_IDS[:3])
    run()
    assert pauses.omdb_calls() == 1
    assert "omdb" not in pauses.askable()

    assert lookups.ratings(stand.FILM_IDS[5]).imdbRating == 7.0
    assert pauses.omdb_calls() == 2


def test_omdb_is_not_asked_once_the_daily_limit_is_used_up(standin):
    change(omdb_daily_limit=1)
    lookups.ratings(FILM)
    with pytest.raises(UnavailableError, match="OMDb's 1 calls for today are used up"):
        lookups.ratings(stand.FILM_IDS[1])
    assert len(standin.omdb.asked) == 1


def test_failed_tries_count_as_omdb_calls(standin):
    standin.omdb.fault = "error"
    with pytest.raises(ProviderError, match="OMDb API error: 500"):
        lookups.ratings(FILM)
    assert pauses.omdb_calls() == len(standin.omdb.asked) == interactive.TRIES


# The pace.


@pytest.mark.slow
def test_five_lists_requested_at_once_are_all_answered(app, standin, monkeypatch):
    monkeypatch.setattr(limits, "tmdb_interactive", limits.RateLimiter(4, ceiling=3))
    standin.tmdb.latency = 0.2
    found = {}

    def open_list(kind):
        with db.connection_context():
            found[kind] = lookups.film_list(kind, user_id="alice")

    kinds = [*lookups.LIST_PATHS, "trending"]
    threads = [threading.Thread(target=open_list, args=(kind,)) for kind in kinds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[kind] for kind in kinds)


def test_worker_and_pages_together_stay_below_40_requests_a_second(standin, monkeypatch):
    monkeypatch.undo()
    ceilings = [limiter._ceiling for limiter in (limits.tmdb_worker, limits.tmdb_interactive)]
    assert sum(ceilings) <= 40
    assert ceilings[0] >= 0.85 * 40
