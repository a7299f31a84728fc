"""Settings that change while titles are looked up: a run goes on with the new ones."""

import dataclasses
import threading
import time

import pytest

from mm import config, models, stored_settings
from mm.models import Title
from mm.providers import limits
from mm.services.enrichment import language, pauses
from mm.services.enrichment import queue as enrichment_queue
from mm.services.enrichment import runner as enrichment_runner
from tests.support import standin as stand
from tests.support.enriching import *  # noqa: F403
from tests.support.enriching import hold, run


@pytest.fixture
def settings(tmp_path, standin):
    """The environment sets no key."""
    return config.from_environ({**standin.environ, "MM_DATA_DIR": str(tmp_path / "data")})


@pytest.fixture
def at_store(monkeypatch):
    """at_store(n, do): call `do` once, before the answers of the n-th batch are stored."""
    real, plan = enrichment_runner._store, {}

    def store(provider_run, counts):
        plan["batch"] = plan.get("batch", 0) + 1
        if plan["batch"] == plan.get("when"):
            plan["do"]()
        real(provider_run, counts)

    monkeypatch.setattr(enrichment_runner, "_store", store)
    return lambda when, do: plan.update(when=when, do=do)


def ready():
    return Title.select().where(Title.tmdb_state == "ready").count()


def test_a_key_that_changes_in_the_middle_loses_no_title(alice, standin, at_store):
    stored_settings.write({"TMDB_API_KEY": "the-first-key"})
    hold(alice, *stand.FILM_IDS)
    at_store(1, lambda: stored_settings.write({"TMDB_API_KEY": "the-second-key"}))
    run()
    assert ready() == len(stand.FILM_IDS)
    time.sleep(0.3)
    names = [thread.name for thread in threading.enumerate()]
    assert [name for name in names if name.startswith("tmdb-")] == []


def test_a_right_key_lifts_the_stop_for_a_wrong_one_within_the_same_run(alice, standin, at_store):
    stored_settings.write({"TMDB_API_KEY": "bad", "OMDB_API_KEY": "a-key-of-omdb"})
    hold(alice, *stand.FILM_IDS)
    at_store(1, lambda: stored_settings.write({"TMDB_API_KEY": "a-right-key"}))
    run()
    assert ready() == len(stand.FILM_IDS)
    assert pauses.in_force() == {}


@pytest.mark.slow
def test_a_late_answer_to_the_old_key_does_not_stop_the_new_one(alice, standin, at_store):
    # Several are on their way when the first is refused.
    standin.tmdb.latency = 0.2
    stored_settings.write({"TMDB_API_KEY": "bad"})
    hold(alice, *stand.FILM_IDS)
    at_store(1, lambda: stored_settings.write({"TMDB_API_KEY": "the-second-key"}))
    run()
    assert "tmdb" not in pauses.in_force()
    assert ready() == len(stand.FILM_IDS)


def test_a_key_that_is_taken_away_ends_that_provider_only(alice, standin, at_store):
    stored_settings.write({"TMDB_API_KEY": "a-key-of-tmdb", "OMDB_API_KEY": "a-key-of-omdb"})
    hold(alice, *stand.FILM_IDS)
    standin.omdb.latency = 0.2
    at_store(1, lambda: stored_settings.write({"OMDB_API_KEY": None}))
    run()
    assert ready() == len(stand.FILM_IDS)
    assert Title.select().where(Title.omdb_state == "stub").count() > 0


def test_a_language_that_changes_in_the_middle_reaches_every_title(
    alice, standin, at_store, frozen_clock, monkeypatch
):
    real = enrichment_runner._follow_settings
    monkeypatch.setattr(
        enrichment_runner, "_follow_settings", lambda runs: frozen_clock.move(1) or real(runs)
    )
    stored_settings.write({"TMDB_API_KEY": "a-key-of-tmdb"})
    enrichment_queue.check_language()
    hold(alice, *stand.FILM_IDS)
    done = []

    def change_language():
        language.change("de-DE", again=True)
        done.extend(standin.tmdb.asked)

    at_store(1, change_language)
    run()
    assert ready() == len(stand.FILM_IDS)
    asked_again = {path.rsplit("/", 1)[-1] for path in standin.tmdb.asked[len(done) :]}
    assert set(stand.FILM_IDS) <= asked_again
    assert models.setting(enrichment_queue.RENEWAL)["language"] == "de-DE"


def test_a_damaged_settings_file_is_no_change_of_the_language(
    alice, standin, at_store, frozen_clock, settings
):
    config.use(dataclasses.replace(settings, tmdb_api_key="a-key-of-tmdb"))
    stored_settings.write({"TMDB_LANGUAGE": "de-DE"})
    enrichment_queue.check_language()
    before = models.setting(enrichment_queue.RENEWAL)
    hold(alice, *stand.FILM_IDS)
    frozen_clock.move(1)
    at_store(1, lambda: config.base.settings_file.write_text("{"))
    run()
    enrichment_runner.start_if_due()
    assert stored_settings.fault()
    assert models.setting(enrichment_queue.RENEWAL) == before


def test_the_pace_is_that_of_the_settings(database, standin, monkeypatch):
    limiter = limits.RateLimiter(36, ceiling=37)
    monkeypatch.setattr(limits, "tmdb_worker", limiter)
    for pace in (5, 36):
        stored_settings.write({"TMDB_PACE": str(pace)})
        enrichment_runner._follow_settings([])
        assert (limiter._gap, limiter._ceiling) == (1 / pace, pace + 1)


def test_who_waits_for_a_slot_with_the_old_key_does_not_hold_up_the_new_one(database):
    limiter = limits.RateLimiter(0.2, ceiling=50)
    outcomes = []

    def ask():
        try:
            with limiter.slot():
                outcomes.append("asked")
        except limits.NoSlotError:
            outcomes.append("sent away")

    ask()
    ask()
    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    started = time.monotonic()
    limiter.send_away()
    limiter.set_pace(100)
    for thread in threads:
        thread.join()
    ask()
    assert time.monotonic() - started < 1
    assert outcomes == ["asked", "asked", *["sent away"] * 5, "asked"]
    assert limiter._in_flight == 0


def test_a_higher_limit_lets_omdb_be_asked_for_more(alice, standin, at_store):
    reserve = pauses.OMDB_RESERVED
    stored_settings.write({"OMDB_API_KEY": "a-key", "OMDB_DAILY_LIMIT": str(reserve + 5)})
    hold(alice, *stand.FILM_IDS)
    run()
    assert Title.select().where(Title.omdb_state == "ready").count() == 5
    assert "omdb" in pauses.in_force()
    stored_settings.write({"OMDB_DAILY_LIMIT": str(reserve + 500)})
    run()
    assert Title.select().where(Title.omdb_state == "ready").count() == len(stand.FILM_IDS)
