"""Look-ups for somebody who waits: what is found, what is kept, what is shared with the worker, and
what fails how."""

import itertools
import re
import threading
import time

import pytest
from msgspec import UNSET
from playhouse.test_utils import count_queries

from mm import clock, locks, log, models
from mm.database import db
from mm.errors import ProviderError, UnavailableError
from mm.models import Movie, Title
from mm.providers import cache, client, limits
from mm.services import heartbeat, jobs
from mm.services.enrichment import lookup_slots, lookups, pauses
from mm.services.enrichment import queue as enrichment_queue
from mm.services.enrichment import runner as enrichment_runner
from mm.services.library import movies
from tests.support import standin as stand
from tests.support.enriching import DAY, FILM, HOUR, brisk, change, hold, run, settings, states  # noqa: F401

TITLE = stand.FILMS[0][0]


@pytest.fixture(autouse=True)
def brisk_here(monkeypatch, brisk):  # noqa: F811
    monkeypatch.setattr(limits, "tmdb_interactive", limits.RateLimiter(2000, ceiling=2000))
    monkeypatch.setattr(limits, "omdb_interactive", limits.RateLimiter(2000, ceiling=2000))
    monkeypatch.setattr(lookups, "SHARE_SECONDS", 20)
    monkeypatch.setattr(lookup_slots, "WHOLE_SECONDS", 30)
    lookups.cache.clear()
    lookup_slots.silence.clear()


# Searching.


def test_a_search_finds_films_series_and_people(standin):
    [film] = lookups.search("lighthouse")
    assert (film.id, film.title, film.year, film.mediaType) == (5000, TITLE, 1994, "movie")
    assert film.poster == f"{standin.url}/t/p/w500/{FILM}.png"
    assert film.posterSmall == f"{standin.url}/t/p/w185/{FILM}.png"

    assert [row.mediaType for row in lookups.search("meanwhile")] == ["tv"]
    [person] = lookups.search("Dora")
    assert (person.mediaType, person.title, person.knownFor) == ("person", "Dora Fenn", [TITLE])


def test_a_year_narrows_a_search_and_no_film_comes_twice():
    assert [row.title for row in lookups.search("the", 1999)] == ["The Third Umbrella"]
    assert lookups.search("the", 1901) == []


def test_a_person_that_is_found_has_a_name_beside_the_title():
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
def test_films_are_found_by_any_part_of_one_or_several_genres(text, genres):
    assert {row.title for row in lookups.by_genre(text)} == of_genres(*genres)


def test_a_whole_name_of_a_genre_is_that_genre_alone(standin, monkeypatch):
    monkeypatch.setitem(stand.GENRES, "Musical", 99)
    assert {row.title for row in lookups.by_genre("music")} == of_genres("Music")


@pytest.mark.parametrize("text", ["Cookery", "", " , "])
def test_no_genre_has_no_films(text):
    assert lookups.by_genre(text) == []


def test_films_are_found_by_actor():
    assert "Left Luggage at Platform Zero" in {row.title for row in lookups.by_person("Kofi Mars")}
    assert lookups.by_person("Nobody At All") == []


def test_a_directors_films_are_those_they_directed_the_popular_ones_first():
    found = [row.title for row in lookups.by_person("Kofi Mars", "director")]
    assert found == ["Please Do Not Feed the Robots", "The Accordion Heist"]
    assert lookups.by_person("Dora Fenn", "director") == []


@pytest.mark.parametrize("kind", ["popular", "now_playing", "top_rated", "coming_soon", "trending"])
def test_each_list_of_films_is_a_list(kind):
    assert {row.mediaType for row in lookups.listed(kind)} == {"movie"}


def test_people_and_series_on_a_list_of_films_are_left_out(monkeypatch):
    rows = [*stand._search("multi", {"query": "m"}), stand.summary(FILM)]
    assert {row["media_type"] for row in rows[:-1]} == {"movie", "tv", "person"}
    monkeypatch.setattr(stand, "lists", lambda *_: {"results": rows})
    for found in (lookups.listed("trending"), lookups.listed("popular")):
        assert {row.mediaType for row in found} == {"movie"}


def test_what_comes_soon_is_told_by_its_date():
    years = [row.year for row in lookups.listed("coming_soon")]
    assert years == sorted(years)
    assert years != [row.year for row in lookups.listed("popular")]


def test_days_narrow_what_comes_out():
    assert lookups.listed("coming_soon", days=30) == lookups.listed("now_playing", days=30) == []


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


def test_a_film_without_an_imdb_id_says_so():
    assert lookups.imdb_id_of(7002) is None


def test_ratings_are_numbers():
    found = lookups.ratings(FILM)
    assert (found.imdbRating, found.rtRating, found.metascore, found.year) == (8.1, 81, 81, 1994)
    assert (found.actors, found.rated) == (["Omar Quist", "Dora Fenn"], None)


# What is kept.


def test_what_was_asked_is_not_asked_again_for_an_hour(standin, frozen_clock):
    for _ in range(3):
        lookups.search("umbrella")
        lookups.movie(5000)
    assert len(standin.tmdb.asked) == 2

    frozen_clock.move(HOUR)
    lookups.movie(5000)
    assert len(standin.tmdb.asked) == 3


def test_a_failure_is_not_kept(standin):
    with pytest.raises(ProviderError):
        lookups.movie(123)
    with pytest.raises(ProviderError):
        lookups.movie(123)
    assert len(standin.tmdb.asked) == 2


def test_of_501_answers_the_one_asked_for_longest_ago_goes(frozen_clock):
    kept = cache.Cache(size=3, seconds=60)
    for key in "abc":
        kept.put(key, key)
    kept.get("a")
    kept.put("d", "d")
    assert [kept.get(key) for key in "abcd"] == ["a", None, "c", "d"]
    assert len(kept) == 3
    frozen_clock.move(60)
    assert len(kept) == 0


def test_the_cache_tells_its_size():
    lookups.search("umbrella")
    info = lookups.cache_info()
    assert (info.current_size, info.max_size, info.ttl) == (1, 500, 3600)


def test_a_film_that_was_just_looked_at_is_filled_when_it_is_added(alice, standin):
    lookups.movie(5000)
    lookups.ratings(FILM)
    hold(alice, FILM, stand.FILM_IDS[1])
    asked = len(standin.tmdb.asked)

    with db.atomic():
        assert lookups.fill_from_cache(FILM)
        assert not lookups.fill_from_cache(stand.FILM_IDS[1])
    assert states() == ("ready", "ready")
    assert Title.get_by_id(FILM).title == TITLE
    assert len(standin.tmdb.asked) == asked


# Refreshing.


def test_a_stub_is_filled_at_once_and_its_films_are_in_the_feed_again(alice):
    hold(alice, FILM)
    before = Movie.get().updated_at

    assert lookups.refresh(FILM) == lookups.Updated(tmdb=True, omdb=True)
    assert Title.get_by_id(FILM).title == TITLE
    assert Movie.get().updated_at > before
    assert Movie.get().last_modified == clock.now()


def test_what_was_fetched_within_the_hour_is_answered_from_the_store(alice, standin, frozen_clock):
    hold(alice, FILM)
    lookups.refresh(FILM)
    asked = len(standin.tmdb.asked), len(standin.omdb.asked)
    frozen_clock.move(HOUR - 1)
    assert lookups.refresh(FILM).tmdb
    assert (len(standin.tmdb.asked), len(standin.omdb.asked)) == asked

    frozen_clock.move(1)
    lookups.refresh(FILM)
    assert len(standin.tmdb.asked) > asked[0]


def test_two_who_refresh_the_same_film_share_one_look_up(app, alice, standin):
    hold(alice, FILM)
    answers = []

    def refresh():
        with db.connection_context():
            answers.append(lookups.refresh(FILM))

    threads = [threading.Thread(target=refresh) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [lookups.Updated(tmdb=True, omdb=True)] * 6
    assert standin.asked_twice() == []


def test_a_queued_film_goes_to_the_front_and_the_workers_look_up_serves_here_too(
    app, alice, standin
):
    hold(alice, FILM)
    beat()
    job = jobs.create("enrich")
    begun = threading.Event()

    def work():
        with db.connection_context(), locks.hold(f"job-{job.id}"):
            models.Job.update(state="running").execute()
            begun.set()
            while not Title.select().where(Title.wanted_at == clock.now()).exists():
                pass
            enrichment_runner.run(job)

    worker = threading.Thread(target=work)
    worker.start()
    assert begun.wait(20)
    updated = lookups.refresh(FILM)
    worker.join()
    assert updated.tmdb
    assert standin.asked_twice() == []


def beat():
    """The worker was seen just now."""
    models.put_setting(heartbeat.WORKER_HEARTBEAT, clock.now())


def test_a_worker_that_died_is_not_waited_for(alice, monkeypatch, frozen_clock):
    hold(alice, FILM)
    jobs.create("enrich", state="running")
    beat()
    frozen_clock.move(heartbeat.WORKER_LATE_AFTER + 1)
    monkeypatch.setattr(lookups.time, "sleep", lambda _: pytest.fail("waited"))
    assert lookups.refresh(FILM).tmdb


def test_each_look_for_the_workers_answer_is_one_query_and_takes_no_lock(alice, monkeypatch):
    hold(alice, FILM)
    job = jobs.create("enrich", state="running")
    beat()
    counts = []

    def look(seconds):
        if seconds == lookups.LOOK_AGAIN:
            counts.append(len(counter.get_queries()))

    monkeypatch.setattr(locks, "hold", lambda *_: pytest.fail("took a lock"))
    with count_queries() as counter:
        monkeypatch.setattr(lookups.time, "sleep", look)
        monkeypatch.setattr(lookups, "SHARE_SECONDS", 0.05)
        assert lookups.refresh(FILM).tmdb
    assert len(counts) > 2
    assert {after - before for before, after in itertools.pairwise(counts)} == {1}
    assert models.Job.get_by_id(job.id).state == "running"


def test_a_film_that_tmdb_does_not_know_is_missing_and_what_omdb_knows_is_taken(alice):
    hold(alice, stand.OMDB_ONLY_ID, stand.UNKNOWN_ID)
    assert lookups.refresh(stand.OMDB_ONLY_ID) == lookups.Updated(tmdb=False, omdb=True)
    assert Title.get_by_id(stand.OMDB_ONLY_ID).title == "Somewhere a Kettle"

    with pytest.raises(ProviderError, match="TMDB has no film"):
        lookups.refresh(stand.UNKNOWN_ID)
    assert states(stand.UNKNOWN_ID) == ("missing", "missing")


def test_what_was_found_missing_within_the_hour_is_not_asked_for_again(
    alice, standin, frozen_clock
):
    hold(alice, stand.OMDB_ONLY_ID, stand.UNKNOWN_ID)
    lookups.refresh(stand.OMDB_ONLY_ID)
    with pytest.raises(ProviderError) as first:
        lookups.refresh(stand.UNKNOWN_ID)
    asked = len(standin.tmdb.asked), len(standin.omdb.asked)

    frozen_clock.move(HOUR - 1)
    assert lookups.refresh(stand.OMDB_ONLY_ID) == lookups.Updated(tmdb=False, omdb=True)
    with pytest.raises(ProviderError, match=f"^{re.escape(first.value.message)}$"):
        lookups.refresh(stand.UNKNOWN_ID)
    assert (len(standin.tmdb.asked), len(standin.omdb.asked)) == asked

    frozen_clock.move(1)
    with pytest.raises(ProviderError):
        lookups.refresh(stand.UNKNOWN_ID)
    assert len(standin.tmdb.asked) > asked[0]


def test_a_refresh_that_fails_leaves_a_filled_title_as_it_was(alice, standin, frozen_clock):
    hold(alice, FILM)
    lookups.refresh(FILM)
    frozen_clock.move(DAY)
    standin.tmdb.fault = standin.omdb.fault = "error"
    with pytest.raises(ProviderError, match="TMDB API error: 500"):
        lookups.refresh(FILM)
    assert states() == ("ready", "ready")
    assert Title.get_by_id(FILM).title == TITLE


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
def test_each_failure_of_a_provider_is_told_as_what_it_is(standin, fault, error, words):
    standin.tmdb.fault = fault
    with pytest.raises(error, match=words):
        lookups.search("umbrella")
    assert len(standin.tmdb.asked) <= lookups.TRIES


def test_an_answer_that_cannot_be_stored_is_told_with_a_code(alice, monkeypatch):
    monkeypatch.setattr(log, "unexpected", lambda *_, **__: "AB234")
    monkeypatch.setattr(enrichment_queue, "fill", lambda *_: 1 / 0)
    lookups.movie(5000)
    movies.add(alice.id, FILM)
    assert states() == ("failed", "stub")

    words = r"TMDB's answer cannot be stored \(code AB234 in the log\)"
    with pytest.raises(ProviderError, match=words):
        lookups.refresh(FILM)
    assert states() == ("failed", "failed")


def test_a_provider_that_does_not_answer_is_unavailable(standin, monkeypatch):
    monkeypatch.setattr("mm.providers.client.READ_SECONDS", 0.1)
    standin.tmdb.fault = "hang"
    with pytest.raises(UnavailableError, match="TMDB did not answer in time"):
        lookups.movie(5000)


@pytest.mark.parametrize("fault", ["hang", "trickle"])
def test_a_provider_that_stalls_costs_one_deadline_and_then_nothing_for_a_minute(
    standin, monkeypatch, frozen_clock, fault
):
    monkeypatch.setattr(lookup_slots, "WHOLE_SECONDS", 0.3)
    monkeypatch.setattr(client, "FAIR_SECONDS", 0)
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
    monkeypatch.setattr(lookup_slots, "WHOLE_SECONDS", 30)
    frozen_clock.move(lookup_slots.SILENT_SECONDS)
    assert lookups.search("umbrella") != []
    assert lookups.search("goose") != []


def test_after_a_minute_one_look_up_tries_and_the_others_are_still_refused(standin, frozen_clock):
    url = f"{standin.url}/3"
    lookup_slots.silence.remember(url, "Silent.")
    frozen_clock.move(lookup_slots.SILENT_SECONDS - 1)
    assert lookup_slots.silence.claim(url) == lookup_slots.silence.words(url) == "Silent."
    frozen_clock.move(1)
    assert lookup_slots.silence.claim(url) is None
    assert lookup_slots.silence.claim(url) == "Silent."
    lookup_slots.silence.forget(url)
    assert lookup_slots.silence.claim(url) is None


def test_an_answer_that_is_an_error_is_no_silence(standin):
    standin.tmdb.fault = "error"
    for text in ("umbrella", "goose"):
        with pytest.raises(ProviderError, match="TMDB API error: 500"):
            lookups.search(text)


@pytest.mark.parametrize("url", [f"http://{'a' * 64}.example/3", "http:///3", "tmdb"])
def test_an_address_that_cannot_be_used_is_told_in_words(alice, url):
    change(tmdb_base_url=url, omdb_base_url=url)
    hold(alice, FILM)
    for ask in (lambda: lookups.search("umbrella"), lambda: lookups.refresh(FILM)):
        with pytest.raises(
            UnavailableError, match="TMDB cannot be asked: TMDB_BASE_URL is no usable"
        ):
            ask()


def test_a_refresh_ends_at_its_deadline_and_takes_what_omdb_knows(alice, standin, monkeypatch):
    monkeypatch.setattr(lookup_slots, "WHOLE_SECONDS", 3.4)
    monkeypatch.setattr(lookups, "SPARE_SECONDS", 3)
    monkeypatch.setattr(client, "FAIR_SECONDS", 0)
    hold(alice, FILM)
    standin.tmdb.fault = "hang"
    began = time.monotonic()
    assert lookups.refresh(FILM) == lookups.Updated(tmdb=False, omdb=True)
    assert time.monotonic() - began < 4
    # For the worker, which waits for longer.
    assert states() == ("stub", "ready")


def test_a_refresh_for_which_there_is_no_time_blames_no_film(alice, monkeypatch):
    hold(alice, FILM)
    for name in ("tmdb_interactive", "omdb_interactive"):
        limiter = limits.RateLimiter(1, ceiling=1)
        limiter._held_until = time.monotonic() + 60
        monkeypatch.setattr(limits, name, limiter)
    with pytest.raises(UnavailableError, match="TMDB is slow right now"):
        lookups.refresh(FILM)
    assert states() == ("stub", "stub")


def test_without_a_key_nothing_is_asked(alice):
    change(tmdb_api_key="", omdb_api_key="")
    hold(alice, FILM)
    for ask in (
        lambda: lookups.search("x"),
        lambda: lookups.movie(1),
        lambda: lookups.refresh(FILM),
    ):
        with pytest.raises(UnavailableError, match="TMDB API key not configured"):
            ask()
    with pytest.raises(UnavailableError, match="OMDb API key not configured"):
        lookups.ratings(FILM)


def test_a_paused_provider_is_left_alone_and_says_until_when(standin):
    pauses.pause("tmdb", "Too many requests to TMDB.", HOUR)
    with pytest.raises(UnavailableError, match="TMDB is paused until 1 March 2026, 13:00"):
        lookups.search("umbrella")
    assert standin.tmdb.asked == []


# OMDb's day.


def test_what_is_reserved_of_omdbs_day_is_there_for_who_waits_and_counted(alice, standin):
    change(omdb_daily_limit=pauses.OMDB_RESERVED + 1)
    hold(alice, *stand.FILM_IDS[:3])
    run()
    assert pauses.omdb_calls() == 1
    assert "omdb" not in pauses.askable()

    assert lookups.ratings(stand.FILM_IDS[5]).imdbRating == 7.0
    assert pauses.omdb_calls() == 2


def test_when_the_day_is_used_up_omdb_is_not_asked(standin):
    change(omdb_daily_limit=1)
    lookups.ratings(FILM)
    with pytest.raises(UnavailableError, match="OMDb's 1 calls for today are used up"):
        lookups.ratings(stand.FILM_IDS[1])
    assert len(standin.omdb.asked) == 1


def test_tries_that_failed_count_too(standin):
    standin.omdb.fault = "error"
    with pytest.raises(ProviderError, match="OMDb API error: 500"):
        lookups.ratings(FILM)
    assert pauses.omdb_calls() == len(standin.omdb.asked) == lookups.TRIES


# The pace.


@pytest.mark.slow
def test_five_lists_that_a_client_opens_at_once_all_come(app, standin, monkeypatch):
    monkeypatch.setattr(limits, "tmdb_interactive", limits.RateLimiter(4, ceiling=3))
    standin.tmdb.latency = 0.2
    found = {}

    def open_list(kind):
        with db.connection_context():
            found[kind] = lookups.listed(kind, user_id="alice")

    kinds = [*lookups.PATHS, "trending"]
    threads = [threading.Thread(target=open_list, args=(kind,)) for kind in kinds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[kind] for kind in kinds)


def test_worker_and_pages_together_never_show_the_provider_more_than_40_a_second(
    standin, monkeypatch
):
    monkeypatch.undo()
    ceilings = [limiter._ceiling for limiter in (limits.tmdb_worker, limits.tmdb_interactive)]
    assert sum(ceilings) <= 40
    assert ceilings[0] >= 0.85 * 40
