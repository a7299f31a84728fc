"""Providers that may not be asked: wrong keys, daily limits, outages, no keys at all."""

import hashlib
import json

import pytest

from mm import clock, models
from mm.database import db
from mm.models import Title
from mm.providers import client, limits
from mm.services.enrichment import pauses
from mm.services.enrichment import runner as enrichment_runner
from tests.support import standin as stand
from tests.support.enriching import DAY, FILM, HOUR, brisk, change, hold, run, settings, states  # noqa: F401


def test_a_wrong_tmdb_key_stops_only_tmdb_and_shows_a_notice(alice, standin):
    hold(alice, *stand.FILM_IDS)
    standin.tmdb.fault = "wrong_key"

    assert run() == {"omdb_ready": len(stand.FILM_IDS)}
    assert len(standin.tmdb.asked) <= limits.CONNECTIONS
    assert {states(imdb_id) for imdb_id in stand.FILM_IDS} == {("stub", "ready")}
    [notice] = enrichment_runner.progress(alice.id).notices
    assert notice.startswith(
        "TMDB was stopped on 1 March 2026, 12:00: TMDB rejected the key: Invalid API key"
    )
    assert "standin-tmdb-key" not in notice + str(models.setting("provider.tmdb"))
    assert enrichment_runner.start_if_due() is None


def test_what_the_database_keeps_of_a_key_cannot_be_tried_out(alice, standin):
    """OMDb's keys have eight characters: whoever has a copy of the database, such as an archive,
    could compute the digests of all of them."""
    change(omdb_api_key="1a2b3c4d")
    with db.atomic():
        pauses.count_omdb_calls(3)
        pauses.pause("omdb", "Over the limit", 60)
    kept = json.dumps([models.setting("omdb.calls"), models.setting("provider.omdb")])
    assert pauses.omdb_calls() == 3
    for name in hashlib.algorithms_guaranteed - {"shake_128", "shake_256"}:
        assert hashlib.new(name, b"1a2b3c4d").hexdigest()[:8] not in kept


def test_a_changed_key_is_used_at_once(alice, standin, frozen_clock):
    hold(alice, FILM)
    standin.tmdb.fault = standin.omdb.fault = "wrong_key"
    run()
    frozen_clock.move(100 * DAY)
    assert not enrichment_runner.anything_due()

    standin.tmdb.fault = standin.omdb.fault = ""
    change(tmdb_api_key="another", omdb_api_key="another")
    assert enrichment_runner.anything_due()
    run()
    assert states() == ("ready", "ready")


def test_omdb_pauses_until_five_past_midnight_at_its_limit_while_tmdb_continues(
    alice, standin, frozen_clock
):
    hold(alice, *stand.FILM_IDS)
    standin.omdb.quota = 10

    counts = run()
    assert (counts["tmdb_ready"], counts["omdb_ready"]) == (len(stand.FILM_IDS), 10)
    [notice] = enrichment_runner.progress(alice.id).notices
    assert notice == "OMDb is paused until 2 March 2026, 00:05: OMDb says: Request limit reached."
    frozen_clock.move(12 * HOUR + 299)
    assert not enrichment_runner.anything_due()
    frozen_clock.move(1)
    assert enrichment_runner.anything_due()
    standin.omdb.quota = 0
    assert run() == {"omdb_ready": len(stand.FILM_IDS) - 10}


def test_notices_give_times_in_the_servers_time_zone(alice, standin):
    change(timezone="Europe/Berlin")
    hold(alice, FILM)
    standin.omdb.fault = "over_quota"
    run()

    assert "paused until 2 March 2026, 01:05" in enrichment_runner.progress(alice.id).notices[0]


def test_omdb_calls_are_counted_by_day_and_fifty_are_kept_in_reserve(alice, standin, frozen_clock):
    change(omdb_daily_limit=60)
    hold(alice, *stand.FILM_IDS)
    run()

    assert (len(standin.omdb.asked), pauses.omdb_calls()) == (10, 10)
    [notice] = enrichment_runner.progress(alice.id).notices
    assert notice.startswith("OMDb is paused until 2 March 2026, 00:05: its 60 calls for today")
    frozen_clock.move(DAY)
    assert pauses.omdb_calls() == 0
    run()
    assert len(standin.omdb.asked) == 20


def test_failed_tries_of_the_worker_count_as_omdb_calls(alice, standin):
    hold(alice, FILM)
    standin.omdb.fault, standin.omdb.times = "error", 2
    run()

    assert pauses.omdb_calls() == 3


def test_a_daily_limit_below_the_reserve_pauses_omdb_without_a_call(alice, standin):
    change(omdb_daily_limit=50)
    hold(alice, FILM)
    run()

    assert standin.omdb.asked == []
    assert not enrichment_runner.anything_due()


def test_a_long_retry_after_pauses_tmdb_and_fails_no_title(alice, standin, frozen_clock):
    hold(alice, *stand.FILM_IDS[:3])
    standin.tmdb.fault, standin.tmdb.retry_after = "busy", "7200"
    run()

    assert [states(imdb_id)[0] for imdb_id in stand.FILM_IDS[:3]] == ["stub"] * 3
    assert enrichment_runner.progress(alice.id).notices == [
        "TMDB is paused until 1 March 2026, 14:00: Too many requests to TMDB."
    ]
    standin.tmdb.fault = ""
    frozen_clock.move(7200)
    run()
    assert states()[0] == "ready"


def test_no_pause_is_longer_than_a_day(alice, standin):
    hold(alice, FILM)
    standin.tmdb.fault, standin.tmdb.retry_after = "busy", "99999999999"
    run()

    assert pauses.in_force()["tmdb"]["paused_until"] == clock.now() + DAY


def test_an_outage_pauses_the_provider_instead_of_failing_every_title(
    alice, standin, frozen_clock, monkeypatch
):
    monkeypatch.setattr(enrichment_runner, "OUTAGE_AFTER", 3)
    monkeypatch.setattr(enrichment_runner, "DISPATCHED", 4)
    hold(alice, *stand.FILM_IDS)
    standin.tmdb.fault = "html"
    run()

    failed = Title.select().where(Title.tmdb_state == "failed").count()
    assert 3 <= failed < len(stand.FILM_IDS)
    assert (
        "TMDB is paused until 1 March 2026, 12:10"
        in enrichment_runner.progress(alice.id).notices[0]
    )
    standin.tmdb.fault = ""
    frozen_clock.move(HOUR)
    run()
    assert {title.tmdb_state for title in Title.select()} == {"ready"}


def test_retrying_makes_failed_titles_due_and_lifts_stops(alice, standin):
    hold(alice, *stand.FILM_IDS[:3])
    standin.tmdb.fault, standin.omdb.fault = "error", "wrong_key"
    run()
    assert not enrichment_runner.anything_due()
    standin.tmdb.fault = standin.omdb.fault = ""

    assert enrichment_runner.retry_failed() == 3
    assert run() == {"tmdb_ready": 3, "omdb_ready": 3}
    assert enrichment_runner.retry_failed() == 0


# Without keys.


def test_without_keys_nothing_is_asked_and_the_notices_say_what_a_key_would_add(alice, standin):
    change(tmdb_api_key="", omdb_api_key="")
    hold(alice, FILM)

    assert (enrichment_runner.anything_due(), enrichment_runner.start_if_due(), run()) == (
        False,
        None,
        {},
    )
    assert (standin.tmdb.asked, standin.omdb.asked) == ([], [])
    notices = enrichment_runner.progress(alice.id).notices
    assert [notice.split(" key is set")[0] for notice in notices] == ["No TMDB", "No OMDb"]
    assert "adds titles" in notices[0]


@pytest.mark.slow
def test_no_film_is_lost_to_a_rate_limit_without_retry_after(alice, standin, monkeypatch):
    """The pace is far over what the server allows, so that it refuses again and again."""
    monkeypatch.undo()
    monkeypatch.setattr(limits, "tmdb_worker", limits.RateLimiter(100, ceiling=100))
    monkeypatch.setattr(client, "BACKOFF_SECONDS", (1, 1, 1))
    standin.tmdb.rate = 25
    hold(alice, *stand.FILM_IDS)

    assert run()["tmdb_ready"] == len(stand.FILM_IDS)
    assert standin.tmdb.refused > 0
