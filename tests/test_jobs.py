"""Job rows: the queue that survives a crash."""

import pytest

from mm import locks
from mm.errors import NoRoomError, NotFoundError
from mm.models import Job
from mm.services import jobs

pytestmark = pytest.mark.usefixtures("database", "frozen_clock")


def state_of(job):
    return Job.get_by_id(job.id).state


def test_a_job_ends_with_its_result(alice):
    job = jobs.create("backup", alice.id)
    jobs.run(job.id, lambda job: {"filename": "x"})
    assert (state_of(job), jobs.get(job.id, alice.id).result) == ("done", {"filename": "x"})


def test_a_user_error_ends_the_job_with_its_own_message(alice):
    job, told = jobs.create("backup", alice.id), []

    def full(job):
        raise NoRoomError("Not enough disk space: 2 MB needed, 1 MB free.")

    jobs.run(job.id, full, lambda job, message: told.append(message))
    assert (state_of(job), told) == ("failed", ["Not enough disk space: 2 MB needed, 1 MB free."])


def test_an_unexpected_error_is_shown_in_plain_words_with_the_code_of_its_log_line(alice, lines):
    job = jobs.create("backup", alice.id)

    def broken(job):
        raise PermissionError(13, "Permission denied", "/srv/secret/place")

    with pytest.raises(PermissionError):
        jobs.run(job.id, broken)
    message = jobs.get(job.id, alice.id).message
    assert message == jobs.went_wrong("backup", message[-7:-2])
    assert message.startswith(
        "The server could not write the backup. Your earlier backups are safe."
    )
    assert "/srv" not in message
    [line] = [line for line in lines() if " ERROR backup.failed " in line]
    assert f"code={message[-7:-2]} user={alice.id}" in line


def test_a_job_that_recorded_its_success_stays_done_when_tidying_up_fails(alice):
    job = jobs.create("import", alice.id)

    def import_and_stumble(job):
        Job.update(state="done", result={"movies_imported": 1}).where(Job.id == job.id).execute()
        raise OSError("the uploaded file cannot be deleted")

    with pytest.raises(OSError):
        jobs.run(job.id, import_and_stumble)
    assert state_of(job) == "done"


def test_only_one_of_two_copies_of_a_waiting_task_retries(alice, frozen_clock):
    job = jobs.create("backup", alice.id)
    assert jobs.may_retry(job.id)
    frozen_clock.move(1)
    assert not jobs.may_retry(job.id)
    frozen_clock.move(2)
    assert jobs.may_retry(job.id)


def test_a_row_that_a_task_retries_does_not_count_as_lost(alice, frozen_clock):
    job = jobs.create("backup", alice.id)
    frozen_clock.move(61)
    jobs.may_retry(job.id)
    assert jobs.waiting_for_a_worker() == []
    frozen_clock.move(61)
    assert [found.id for found in jobs.waiting_for_a_worker()] == [job.id]


def test_a_clock_that_was_ahead_does_not_hide_a_row(alice, frozen_clock):
    job = jobs.create("backup", alice.id)
    frozen_clock.move(86400)
    jobs.may_retry(job.id)
    frozen_clock.move(-86400 + 61)
    assert [found.id for found in jobs.waiting_for_a_worker()] == [job.id]


def test_a_task_delivered_twice_runs_once(alice):
    job, runs = jobs.create("backup", alice.id), []
    for _ in range(2):
        jobs.run(job.id, lambda job: runs.append(job.id))
    assert len(runs) == 1


def test_a_job_that_another_process_runs_is_left_to_it(alice):
    job = jobs.create("backup", alice.id)
    Job.update(state="running").execute()
    with locks.hold(f"job-{job.id}"):
        assert not jobs.run(job.id, lambda job: pytest.fail("ran twice"))
    assert state_of(job) == "running"


def test_a_job_that_was_only_looked_at_is_still_to_be_done(alice):
    job = jobs.create("backup", alice.id)
    with locks.hold(f"job-{job.id}"):
        assert jobs.run(job.id, lambda job: pytest.fail("ran beside"))
    assert state_of(job) == "queued"


def test_a_running_job_whose_process_died_is_queued_again(alice):
    job = jobs.create("backup", alice.id)
    Job.update(state="running").execute()
    with locks.hold(f"job-{job.id}"):
        assert jobs.recover() == ([], [])
    lost, given_up = jobs.recover()
    assert ([found.id for found in lost], given_up) == ([job.id], [])
    assert state_of(job) == "queued"


def test_a_job_that_ends_while_it_is_looked_at_stays_done(alice, monkeypatch):
    job = jobs.create("backup", alice.id)
    Job.update(state="running").execute()
    hold = locks.hold

    def end_first(name):
        Job.update(state="done").execute()
        return hold(name)

    monkeypatch.setattr(locks, "hold", end_first)
    assert jobs.recover() == ([], [])
    assert state_of(job) == "done"


def test_a_job_that_crashes_its_process_each_time_is_given_up(alice):
    job = jobs.create("import", alice.id)
    Job.update(state="running", starts=jobs.STARTS).execute()
    lost, given_up = jobs.recover()
    assert (lost, [found.id for found in given_up]) == ([], [job.id])
    assert (state_of(job), "Gave up" in jobs.get(job.id, alice.id).message) == ("failed", True)


def test_a_job_stopped_by_a_shut_down_goes_back_to_the_queue_and_that_start_does_not_count(alice):
    job = jobs.create("enrich", alice.id)

    def stop(job):
        raise jobs.StoppedError

    jobs.run(job.id, stop)
    assert (state_of(job), Job.get_by_id(job.id).starts) == ("queued", 0)


def test_a_task_that_was_lost_is_found_after_a_minute(alice, frozen_clock):
    job = jobs.create("backup", alice.id)
    assert jobs.waiting_for_a_worker() == []
    frozen_clock.move(61)
    assert [found.id for found in jobs.waiting_for_a_worker()] == [job.id]


def test_no_user_sees_the_job_of_another(alice, bob):
    job = jobs.create("backup", alice.id)
    with pytest.raises(NotFoundError):
        jobs.get(job.id, bob.id)


def test_finished_jobs_are_dropped_after_a_week(alice, frozen_clock):
    job = jobs.create("backup", alice.id)
    jobs.run(job.id, lambda job: None)
    frozen_clock.move(8 * 86400)
    jobs.sweep()
    assert Job.select().count() == 0
