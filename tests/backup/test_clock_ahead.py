"""The clock was ahead for a while and is right again: what was written then blocks nothing."""

import contextlib

import pytest

from mm import clock, models
from mm.errors import NotFoundError
from mm.models import Job, Title, UndoStep, User
from mm.providers.cache import Cache
from mm.services import heartbeat, jobs
from mm.services.backup import schedule, uploads
from mm.services.enrichment import lookup_slots, pauses, posters
from mm.services.enrichment import queue as enrichment_queue
from mm.services.enrichment.refresh import refresh_title
from mm.services.library import undo
from tests.support import standin as stand
from tests.support.enriching import DAY, FILM, brisk, hold, run, settings, states  # noqa: F401

DAYS = 400


@pytest.fixture
def ahead(frozen_clock, monkeypatch):
    """with ahead(): the clock is 400 days ahead. The monotonic one stands still."""
    monkeypatch.setattr(clock, "monotonic", lambda: 1000.0)

    @contextlib.contextmanager
    def moved():
        frozen_clock.move(DAYS * DAY)
        yield
        frozen_clock.move(-DAYS * DAY)

    return moved


# Providers.


@pytest.mark.parametrize(
    "stop",
    [
        lambda: pauses.pause("tmdb", "it is tired", 600),
        lambda: pauses.pause_until_next_day("tmdb", "it is tired"),
        lambda: pauses.stop("tmdb", "it refuses the key"),
    ],
    ids=["pause", "until the next day", "stop"],
)
def test_a_pause_set_by_a_clock_that_was_ahead_does_not_last(ahead, standin, stop):
    with ahead():
        stop()
        assert "tmdb" in pauses.in_force()
    assert pauses.in_force() == {}
    assert pauses.refusal("tmdb") is None


def test_a_pause_holds_though_the_clock_goes_back_by_a_few_seconds(frozen_clock, standin):
    pauses.pause_until_next_day("omdb", "its limit")
    frozen_clock.move(-10)
    assert "omdb" in pauses.in_force()


@pytest.mark.parametrize("fault", ["", "missing", "error"])
def test_titles_looked_up_then_are_due_now(ahead, alice, standin, fault):
    hold(alice, FILM)
    with ahead():
        match fault:
            case "":
                run()
            case "missing":
                enrichment_queue.mark_missing("tmdb", FILM, "not there")
            case "error":
                enrichment_queue.mark_failed("tmdb", enrichment_queue.get("tmdb", FILM), "broken")
        assert FILM not in ids_due()
    assert FILM in ids_due()
    run()
    assert FILM not in ids_due()
    assert states() == ("ready", "ready")
    assert Title.get_by_id(FILM).tmdb_fetched_at == clock.now()


def ids_due():
    return [title.imdb_id for title in enrichment_queue.all_due("tmdb")]


def test_titles_are_not_due_because_the_clock_goes_back_by_a_few_seconds(
    frozen_clock, alice, standin
):
    hold(alice, FILM)
    run()
    frozen_clock.move(-10)
    assert ids_due() == []


def test_a_renewal_asked_for_then_ends(ahead, alice, standin):
    """Each title was older than it, also when it had just been looked up."""
    hold(alice, FILM)
    run()
    with ahead():
        enrichment_queue.renew_all()
    enrichment_queue.check_language()
    run()
    assert ids_due() == []


@pytest.mark.slow
def test_opening_a_title_looked_up_in_the_future_looks_it_up_again(ahead, alice, standin):
    hold(alice, FILM, stand.FILM_IDS[1])
    with ahead():
        run()
        enrichment_queue.mark_missing("tmdb", stand.FILM_IDS[1], "not there")
    for imdb_id in (FILM, stand.FILM_IDS[1]):
        asked = len(standin.tmdb.asked)
        assert refresh_title(imdb_id).tmdb
        assert len(standin.tmdb.asked) > asked


def test_posters_are_fetched_again_after_what_was_marked_then(ahead, alice, standin):
    hold(alice, FILM)
    with ahead():
        run()
        assert posters.run(jobs.create("posters"))["fetched"] == 1
        models.put_setting(posters.RETRY_AT, clock.now() + posters.RETRY_SECONDS)
    Job.delete().execute()
    # Looked up again, it has its poster already; the next one has not.
    hold(alice, stand.FILM_IDS[1])
    run()
    Job.delete().execute()
    job = posters.start_if_due()
    assert posters.run(job)["fetched"] == 1
    Job.delete().execute()
    assert posters.start_if_due() is None


def test_titles_looked_up_then_do_not_keep_the_posters_job_running(ahead, alice, standin):
    hold(alice, FILM)
    with ahead():
        run()
        posters.run(jobs.create("posters"))
    Job.delete().execute()
    assert posters.start_if_due() is None


def test_what_was_remembered_then_is_remembered_no_longer_than_usual(ahead, monkeypatch):
    cache, silent = Cache(5, 60), lookup_slots.SilentProviders()
    with ahead():
        cache.put("a", 1)
        silent.remember("http://tmdb", "It does not answer.")
        assert cache.get("a") == 1
        assert silent.message("http://tmdb")
    assert silent.message("http://tmdb") is None
    assert silent.claim_retry("http://tmdb") is None
    monkeypatch.setattr(clock, "monotonic", lambda: 1060.0)
    assert (cache.get("a"), len(cache)) == (None, 0)


# The worker.


def test_a_worker_seen_then_and_gone_since_is_late(ahead):
    with ahead():
        heartbeat.beat()
        assert not heartbeat.worker_is_late()
    assert heartbeat.worker_is_late()


@pytest.mark.parametrize("kind", ["recheck", "tidying"])
def test_a_nightly_check_made_by_a_wrong_clock_does_not_take_the_place_of_tonights(ahead, kind):
    with ahead():
        assert kind in [job.kind for job in schedule.due_jobs()]
    assert kind in [job.kind for job in schedule.due_jobs()]


def test_an_account_made_then_is_late_when_it_has_no_backup(ahead, alice):
    with ahead():
        User.update(created_at=clock.now(), backup_enabled=True).execute()
    assert schedule.late_accounts() == 1


def test_a_job_queued_then_is_queued_again(ahead, alice):
    with ahead():
        job = jobs.create("backup", alice.id)
    assert [found.id for found in jobs.waiting_for_a_worker()] == [job.id]


def test_jobs_finished_then_and_uploads_made_then_are_swept(ahead, alice, bob, settings):  # noqa: F811
    with ahead():
        done = jobs.create("backup", alice.id)
        jobs.run(done.id, lambda job: None)
        waiting = jobs.create("import", bob.id, state=uploads.WAITING)
    running = jobs.create("backup", alice.id)
    jobs.sweep()
    uploads.sweep()
    assert [job.id for job in Job.select()] == [running.id]
    assert waiting.id != running.id


# Undo.


def test_an_undo_step_dated_in_the_future_cannot_be_undone_and_is_swept(ahead, alice):
    with ahead():
        UndoStep.create(token="t", user=alice, rows={}, after="", created_at=clock.now())
    with pytest.raises(NotFoundError, match="ten minutes"):
        undo.back(alice.id, "t")
    undo.sweep()
    assert not UndoStep.select().exists()
