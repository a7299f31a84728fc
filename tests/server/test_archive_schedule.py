"""Scheduled archives: when one is due, what is caught up, and what follows a failure."""

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from mm import config, files, models, tasks
from mm.clock import DAY, HOUR, MINUTE
from mm.errors import UserError
from mm.models import Job
from mm.schemas import ArchiveSchedule
from mm.services import health, jobs, problems, settings
from mm.services.server import archive_files, archive_schedule, archives, databases
from mm.services.validation import FieldError

pytestmark = pytest.mark.usefixtures("database", "frozen_clock")
BERLIN = ZoneInfo("Europe/Berlin")


def at(text, zone=BERLIN):
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


@pytest.fixture
def now(frozen_clock, monkeypatch):
    """now("2026-03-02 05:00"): set the clock, in Berlin."""
    config.use(replace(config.current, timezone="Europe/Berlin"))

    def move(text):
        frozen_clock.moment = at(text)
        return frozen_clock.moment

    return move


def due():
    return [job.kind for job in archive_schedule.due_jobs() if job.kind == "archive"]


def work():
    """What a worker does with the archives that are queued; the job's row."""
    [job] = Job.select().where((Job.kind == "archive") & (Job.state == "queued"))
    tasks.run_job.call_local(job.id, job.kind)
    return Job.get_by_id(job.id)


def make_due_archives():
    return [work().state for _ in due()]


# The schedule.


def test_it_is_off_until_somebody_turns_it_on(now):
    now("2026-03-02 12:00")
    assert settings.archives() == ArchiveSchedule()
    assert archive_schedule.next_run() is None
    assert due() == []


def test_switched_on_the_first_archive_is_made_at_once_and_the_next_at_its_time(now):
    moment = now("2026-03-02 12:00")
    archive_schedule.save(ArchiveSchedule(enabled=True, include_posters=True))
    assert archive_schedule.next_run() == moment
    assert due() == ["archive"]
    assert due() == []
    job = work()
    assert (job.state, job.params["posters"]) == ("done", True)
    assert archives.listing()[0].kind == "scheduled"
    assert archive_schedule.last_run() == moment
    assert archive_schedule.next_run() == at("2026-03-03 04:00")
    now("2026-03-03 03:59")
    assert due() == []
    now("2026-03-03 04:00")
    assert due() == ["archive"]


def test_a_missed_one_is_caught_up_once(now):
    now("2026-03-02 04:00")
    archive_schedule.save(ArchiveSchedule(enabled=True))
    make_due_archives()
    moment = now("2026-03-09 15:00")
    assert archive_schedule.next_run() == moment
    assert make_due_archives() == ["done"]
    assert due() == []
    assert archive_schedule.next_run() == at("2026-03-10 04:00")


def test_it_is_made_on_the_chosen_days_only(now):
    now("2026-03-02 05:00")  # a Monday
    archive_schedule.save(ArchiveSchedule(enabled=True, time="22:30", days=["sun", "wed"]))
    make_due_archives()
    assert archive_schedule.next_run() == at("2026-03-04 22:30")
    now("2026-03-04 22:30")
    assert make_due_archives() == ["done"]
    now("2026-03-08 22:29")
    assert due() == []
    assert archive_schedule.next_run() == at("2026-03-08 22:30")


def test_a_time_that_the_change_of_clocks_skips_or_repeats_comes_once(now):
    archive_schedule.save(ArchiveSchedule(enabled=True, time="02:30"))
    now("2026-03-28 12:00")
    make_due_archives()
    # The clocks go from 02:00 to 03:00.
    assert archive_schedule.next_run() == at("2026-03-29 03:30")
    now("2026-03-29 03:29")
    assert due() == []
    now("2026-03-29 03:30")
    assert make_due_archives() == ["done"]
    assert archive_schedule.next_run() == at("2026-03-30 02:30")
    now("2026-10-24 12:00")
    make_due_archives()
    # And from 03:00 to 02:00.
    moment = archive_schedule.next_run()
    assert moment == at("2026-10-25 02:30")
    archive_schedule.clock.now.moment = moment
    assert make_due_archives() == ["done"]
    archive_schedule.clock.now.moment = moment + HOUR
    assert due() == []


def test_a_completion_far_in_the_future_says_nothing(now):
    moment = now("2026-03-02 12:00")
    archive_schedule.save(ArchiveSchedule(enabled=True))
    models.put_setting(archive_schedule.COMPLETED, moment + 400 * DAY)
    models.put_setting(archive_schedule.FAILED, [1, moment + 400 * DAY])
    assert archive_schedule.next_run() == moment
    assert due() == ["archive"]


def test_one_made_by_hand_is_waited_for(now):
    now("2026-03-02 12:00")
    archive_schedule.save(ArchiveSchedule(enabled=True))
    archives.request()
    assert due() == []


# Failures.


def test_after_a_failure_it_is_tried_again_in_15_minutes_in_an_hour_and_at_its_time(
    now, frozen_clock, monkeypatch
):
    now("2026-03-02 04:00")
    archive_schedule.save(ArchiveSchedule(enabled=True))
    with monkeypatch.context() as patched:
        patched.setattr(databases, "fault_of", lambda path: "page 3 is never used")
        for wait in (15 * MINUTE, HOUR):
            assert make_due_archives() == ["failed"]
            assert archive_schedule.next_run() == frozen_clock.moment + wait
            frozen_clock.move(wait - 1)
            assert due() == []
            frozen_clock.move(1)
        assert make_due_archives() == ["failed"]
        assert archive_schedule.next_run() == at("2026-03-03 04:00")
        [sentence] = health.check()["problems"][-1:]
        assert sentence.startswith("The scheduled archive of the server failed. ")
        assert "page 3 is never used" in sentence
        now("2026-03-03 04:00")
        assert make_due_archives() == ["failed"]
        assert archive_schedule.next_run() == frozen_clock.moment + 15 * MINUTE
    frozen_clock.move(15 * MINUTE)
    assert make_due_archives() == ["done"]
    assert problems.texts() == []
    assert archive_schedule.next_run() == at("2026-03-04 04:00")


def test_a_failed_one_is_no_problem_any_more_once_the_schedule_is_off(now, monkeypatch):
    now("2026-03-02 04:00")
    archive_schedule.save(ArchiveSchedule(enabled=True))
    with monkeypatch.context() as patched:
        patched.setattr(databases, "fault_of", lambda path: "broken")
        make_due_archives()
    assert problems.texts()
    archive_schedule.save(ArchiveSchedule(enabled=False))
    assert problems.texts() == []


def test_a_scheduled_one_that_was_made_twice_counts_once(now):
    now("2026-03-02 04:00")
    archive_schedule.save(ArchiveSchedule(enabled=True))
    [job] = archive_schedule.due_jobs()
    archives.run(job)
    # Killed before it could say so.
    Job.update(starts=1).execute()
    assert work().state == "done"
    assert archive_schedule.last_run() == at("2026-03-02 04:00")
    assert len(archives.listing()) == 1


# What may be entered.


def test_what_is_saved_is_in_order():
    saved = archive_schedule.save(
        ArchiveSchedule(enabled=True, time="4:05", days=["sun", "mon", "sun"], keep_last=0)
    )
    assert saved == ArchiveSchedule(enabled=True, time="04:05", days=["mon", "sun"], keep_last=0)
    assert settings.archives() == saved


@pytest.mark.parametrize(
    ("values", "path", "reason"),
    [
        ({"time": "24:00"}, "time", "write a time of day such as 04:00"),
        ({"time": ""}, "time", "write a time of day such as 04:00"),
        ({"time": "٠٤:00"}, "time", "write a time of day such as 04:00"),
        ({"days": []}, "days", "choose at least one day"),
        ({"days": ["Monday"]}, "days", "Monday is not one of mon, tue"),
        ({"keep_last": -1}, "keep_last", "can be 0 to 1000; 0 keeps all"),
        ({"keep_last": 1001}, "keep_last", "can be 0 to 1000; 0 keeps all"),
        ({"keep_last": None}, "keep_last", ""),
    ],
)
def test_what_cannot_be_used_is_refused_in_words_and_nothing_is_saved(values, path, reason):
    with pytest.raises(FieldError) as refused:
        archive_schedule.save(ArchiveSchedule(enabled=True, **values))
    assert refused.value.path == path
    assert reason in refused.value.reason
    assert settings.archives() == ArchiveSchedule()


def test_with_postgresql_archives_cannot_be_turned_on(monkeypatch):
    monkeypatch.setattr(databases, "is_sqlite", lambda: False)
    with pytest.raises(UserError, match="need SQLite"):
        archive_schedule.save(ArchiveSchedule(enabled=True))
    archive_schedule.save(ArchiveSchedule())
    settings.put_archives(ArchiveSchedule(enabled=True))
    files.make_folder(archive_files.folder())
    assert archive_schedule.due_jobs() == []


# The nightly test.


def test_archives_are_tested_once_a_night_where_there_are_any(now):
    now("2026-03-02 12:00")
    assert archive_schedule.due_jobs() == []
    archives.create()
    assert [job.kind for job in archive_schedule.due_jobs()] == ["archives"]
    assert archive_schedule.due_jobs() == []
    now("2026-03-03 02:59")
    assert archive_schedule.due_jobs() == []
    now("2026-03-03 03:00")
    [job] = archive_schedule.due_jobs()
    tasks.run_job.call_local(job.id, job.kind)
    assert Job.get_by_id(job.id).state == "done"


def test_what_kept_the_nightly_test_from_running_is_named_until_it_works(now, monkeypatch):
    now("2026-03-02 12:00")
    archives.create()
    with monkeypatch.context() as patched:
        patched.setattr(archives, "sweep_held", lambda: 1 / 0)
        job = jobs.create("archives")
        with pytest.raises(ZeroDivisionError):
            tasks.run_job.call_local(job.id, job.kind)
    assert "The nightly test of an archive failed." in problems.texts()[0]
    job = jobs.create("archives")
    tasks.run_job.call_local(job.id, job.kind)
    assert problems.texts() == []


def test_the_minute_looks_after_archives(now):
    now("2026-03-02 12:00")
    entry = archives.create(keep=False)
    now("2026-03-02 13:00")
    tasks.tick.call_local()
    assert entry.filename not in [each.filename for each in archives.listing()]
