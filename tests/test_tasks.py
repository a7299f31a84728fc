"""The tick, the queue and its jobs: with a real SQLite queue, without a consumer."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta

import pytest

from mm import clock, config, locks, models, tasks
from mm.database import db
from mm.models import Job
from mm.services import health, heartbeat, jobs, portable, problems
from mm.services.backup import backups, nightly, schedule, uploads
from mm.services.enrichment import runner as enrichment_runner
from tests.support.libraries import many, put, reload
from tests.support.neighbours import somebody_wrote

pytestmark = pytest.mark.usefixtures("database")
HOURS = 3600
# Jobs of the server's own, in the order in which they are looked for.
NIGHTLY = ["recheck", "tidying", "all-users"]


@pytest.fixture
def clean_queue(app):
    """The queue of this test's data folder; nothing works on it."""
    yield tasks.huey
    tasks.huey.close()


@pytest.fixture
def worker(clean_queue, monkeypatch):
    """worker(): does what is queued, and what was scheduled for later as well."""
    monkeypatch.setattr(enrichment_runner, "stopping", threading.Event())

    def work_off():
        for task in clean_queue.read_schedule(datetime.now() + timedelta(days=1)):
            task.eta = None
            clean_queue.enqueue(task)
        while task := clean_queue.dequeue():
            clean_queue.execute(task)

    return work_off


def tick():
    tasks.tick.call_local()


def tell(lines, event):
    return [line for line in lines() if f" {event} " in f"{line} "]


def break_part(monkeypatch, part, error):
    def fail():
        raise error

    monkeypatch.setitem(tasks.PARTS, part, (tasks.PARTS[part][0], fail))


def kept_files(settings):
    return sorted(path.name for path in settings.tmp_dir.iterdir())


def age(path, hours=48):
    old = time.time() - hours * HOURS
    os.utime(path, (old, old), follow_symlinks=False)
    return path


# The tick.


def test_a_stray_folder_among_the_uploads_does_not_stop_the_night(alice, settings, clean_queue):
    nightly.enable(alice, True)
    Job.delete().execute()
    (settings.tmp_dir / "@eaDir").mkdir()
    age(settings.tmp_dir / "@eaDir")
    tick()
    assert {task.args[1] for task in clean_queue.pending()} == {"backup", *NIGHTLY}
    assert not heartbeat.worker_is_late()
    assert health.check()["status"] == "healthy"


@pytest.mark.parametrize("part", list(tasks.PARTS))
def test_a_part_of_the_tick_that_fails_is_named_by_health_and_the_others_go_on(
    part, alice, clean_queue, monkeypatch, lines
):
    done = []
    for other, (what, _) in tasks.PARTS.items():
        monkeypatch.setitem(tasks.PARTS, other, (what, lambda other=other: done.append(other)))
    with monkeypatch.context() as patched:
        break_part(patched, part, OSError(13, "Permission denied", "/srv/data/tmp/x"))
        for _ in range(3):
            tick()
    assert done == [other for other in tasks.PARTS if other != part] * 3
    assert not heartbeat.worker_is_late()
    found = health.check()
    assert found["status"] == "degraded"
    [problem] = found["problems"]
    what = tasks.PARTS[part][0]
    assert problem.startswith(f"{what} does not work. The log has the reason (code ")
    assert "/srv" not in problem
    # Three failures of one kind are one line.
    [line] = tell(lines, "problem.found")
    assert f"code={problem[-7:-2]} part={part}" in line
    tick()
    assert health.check()["status"] == "healthy"
    assert len(tell(lines, "problem.over")) == 1


def test_each_kind_of_job_has_its_work_and_its_words():
    assert tasks.WORK.keys() == jobs.KINDS.keys()
    # Those with a page say there that they failed; health names the others.
    named = {kind for kind, (_, failed) in tasks.WORK.items() if failed == tasks._name_failure}
    assert named == jobs.KINDS.keys() - {*jobs.OF_A_USER, *jobs.OF_THE_SERVER}


def test_where_one_kind_of_due_work_cannot_be_found_the_others_are(alice, clean_queue, monkeypatch):
    nightly.enable(alice, True)
    Job.delete().execute()
    monkeypatch.setattr(jobs, "recover", lambda: 1 // 0)
    tick()
    kinds = [job.kind for job in Job.select().order_by(Job.created_at)]
    assert kinds == ["backup", *NIGHTLY]
    assert "Taking up interrupted jobs" in health.check()["problems"][0]


def test_a_job_of_the_servers_own_that_is_given_up_is_named_by_health(clean_queue):
    job = jobs.create("recheck")
    Job.update(state="running", starts=jobs.STARTS).where(Job.id == job.id).execute()
    tick()
    [problem] = problems.texts()
    assert problem.startswith("The check of old backups failed. Gave up")


def test_the_worker_is_seen_only_once_the_tick_is_through(clean_queue, monkeypatch):
    def look():
        assert heartbeat.worker_is_late()

    monkeypatch.setitem(tasks.PARTS, "sweep.jobs", ("x", look))
    tick()
    assert problems.texts() == []
    assert not heartbeat.worker_is_late()


def test_two_workers_that_look_at_once_make_one_job_each(app, alice, bob, monkeypatch):
    for user in (alice, bob):
        nightly.enable(user, True)
        put(user, many(2))
    Job.delete().execute()
    together = threading.Barrier(2)
    anything_due = schedule._anything_due

    def both_find_something():
        found = anything_due()
        together.wait(10)
        return found

    def look():
        with db.connection_context():
            schedule.due_jobs()

    monkeypatch.setattr(schedule, "_anything_due", both_find_something)
    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(job.kind for job in Job.select()) == sorted(["backup", "backup", *NIGHTLY])


def test_many_that_start_the_look_up_of_titles_at_once_make_one_job(app, monkeypatch):
    together = threading.Barrier(8)

    def all_find_something():
        together.wait(10)
        return True

    def look():
        with db.connection_context():
            enrichment_runner.start_if_due()

    monkeypatch.setattr(enrichment_runner, "anything_due", all_find_something)
    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [job.kind for job in Job.select()] == ["enrich"]


def test_the_start_of_a_worker_goes_on_where_one_sweep_fails(alice, clean_queue, monkeypatch):
    jobs.create("backup", alice.id, {"kind": "manual"})
    monkeypatch.setattr(tasks, "_taking_over", threading.Lock())
    monkeypatch.setattr(backups, "sweep", lambda: 1 // 0)
    tasks.take_over()
    tasks.take_over()
    assert clean_queue.pending_count() == 1
    assert "Tidying the backup folders" in problems.texts()[0]


# Uploads that nobody confirmed.


def test_only_old_files_with_the_names_of_uploads_and_drafts_are_swept(alice, settings):
    job_id = jobs.create("import", alice.id).id
    Job.delete().execute()
    gone = [f"{job_id}.json", ".tmp-0123456789abcdef"]
    kept = ["notes.json", ".tmp-", "x", "mm.db"]
    for name in [*gone, *kept]:
        (settings.tmp_dir / name).touch()
        age(settings.tmp_dir / name)
    (settings.tmp_dir / ".tmp-00").symlink_to(settings.tmp_dir / "x")
    age(settings.tmp_dir / ".tmp-00")
    (settings.tmp_dir / ".tmp-01").mkdir()
    age(settings.tmp_dir / ".tmp-01")
    os.mkfifo(settings.tmp_dir / ".tmp-02")
    age(settings.tmp_dir / ".tmp-02")
    uploads.sweep()
    assert kept_files(settings) == sorted([*kept, ".tmp-00", ".tmp-01", ".tmp-02"])


def test_an_upload_that_cannot_be_deleted_does_not_keep_the_others(alice, settings, monkeypatch):
    for number in range(3):
        (settings.tmp_dir / f".tmp-{number}").touch()
        age(settings.tmp_dir / f".tmp-{number}")
    unlink = type(settings.tmp_dir).unlink

    def stuck(path, **options):
        if path.name == ".tmp-1":
            raise PermissionError(13, "Permission denied")
        unlink(path, **options)

    monkeypatch.setattr(type(settings.tmp_dir), "unlink", stuck)
    with pytest.raises(PermissionError):
        uploads.sweep()
    assert kept_files(settings) == [".tmp-1"]


# Jobs that wait.


@pytest.mark.slow
def test_a_job_whose_library_is_in_use_for_ten_minutes_has_one_task(alice, worker, frozen_clock):
    job = jobs.create("backup", alice.id, {"kind": "manual"})
    for _ in range(3):
        tasks.enqueue(job)
    most = 0
    with locks.hold(f"library-{alice.id}"):
        for second in range(0, 600, 3):
            worker()
            if second % 60 == 0:
                tick()
            frozen_clock.move(3)
            waiting = [task for task in tasks.huey.scheduled() if task.args[0] == job.id]
            most = max(most, len(waiting)) if second else 0
    assert (len(waiting), most) == (1, 1)
    worker()
    assert Job.get_by_id(job.id).state == "done"


def test_a_task_that_was_lost_while_it_waited_is_queued_again(alice, worker, frozen_clock):
    job = jobs.create("backup", alice.id, {"kind": "manual"})
    tasks.enqueue(job)
    with locks.hold(f"library-{alice.id}"):
        worker()
    tasks.huey.flush()
    frozen_clock.move(61)
    tick()
    worker()
    assert Job.get_by_id(job.id).state == "done"


def test_long_work_leaves_a_thread_to_what_somebody_waits_for(alice, clean_queue, monkeypatch):
    begun, end = [], threading.Event()

    def long(job):
        begun.append(job.id)
        assert end.wait(10)

    monkeypatch.setitem(tasks.WORK, "recheck", (long, None))
    monkeypatch.setattr(enrichment_runner, "stopping", threading.Event())
    tasks._allow_long_work(3)
    queued = [jobs.create("recheck") for _ in range(3)]
    run = tasks.run_job.call_local
    threads = [threading.Thread(target=run, args=(job.id, job.kind)) for job in queued]
    for thread in threads[:2]:
        thread.start()
    while len(begun) < 2:
        time.sleep(0.01)
    threads[2].start()
    threads[2].join(5)
    assert not threads[2].is_alive()
    assert Job.get_by_id(queued[2].id).state == "queued"
    end.set()
    for thread in threads:
        thread.join()
    # It need not wait for the next minute.
    assert {task.args[0] for task in clean_queue.pending()} == {queued[2].id}
    tasks.run_job.call_local(queued[2].id, "recheck")
    assert {job.state for job in Job.select()} == {"done"}


def test_what_somebody_waits_for_goes_before_the_night(alice, clean_queue):
    kinds = [
        ("recheck", {}),
        ("backup", {"kind": "scheduled"}),
        ("backup", {"kind": "manual"}),
        ("import", {}),
    ]
    for kind, params in kinds:
        tasks.enqueue(jobs.create(kind, alice.id, params))
    order = [clean_queue.dequeue().args[0] for _ in kinds]
    created = {job.id: (job.kind, job.params) for job in Job.select()}
    assert [created[job_id] for job_id in order] == [kinds[2], kinds[3], kinds[1], kinds[0]]


# Beside another process that writes all the time.


@pytest.fixture
def busy_neighbour(app, monkeypatch):
    """Another process commits each time a lock is taken."""
    hold = locks.hold

    def commit_first(name, *message):
        somebody_wrote()
        return hold(name, *message)

    monkeypatch.setattr(locks, "hold", commit_first)


def test_interrupted_jobs_are_taken_up_while_another_process_writes(alice, busy_neighbour):
    for _ in range(5):
        jobs.create("backup", alice.id)
    Job.update(state="running").execute()
    lost, _ = jobs.recover()
    assert len(lost) == 5


def test_a_night_without_changes_is_settled_while_another_process_writes(
    alice, bob, carol, worker, frozen_clock, busy_neighbour
):
    users = (alice, bob, carol)
    for user in users:
        put(user, many(2))
        nightly.enable(user, True)
    for job in list(Job.select()):
        tasks.enqueue(job)
    worker()
    frozen_clock.move(24 * HOURS)
    # Of the second night none can be linked, so each account is written while the others are read.
    models.User.update(last_completed_at=frozen_clock.moment - 20 * HOURS).execute()
    tick()
    worker()
    assert {job.state for job in Job.select()} == {"done"}
    assert [reload(user).saved_version for user in users] == [None] * 3


# Jobs of the server's own.


def test_a_failed_job_of_the_servers_own_is_named_by_health_until_one_succeeds(
    clean_queue, monkeypatch, lines
):
    def broken(job):
        raise PermissionError(13, "Permission denied", "/srv/data")

    with monkeypatch.context() as patched:
        patched.setitem(tasks.WORK, "posters", (broken, tasks.WORK["posters"][1]))
        with pytest.raises(PermissionError):
            tasks.run_job.call_local(jobs.create("posters").id, "posters")
    [problem] = problems.texts()
    assert problem.startswith("The download of posters failed. Something went wrong on the server.")
    assert "/srv" not in problem
    assert len(tell(lines, "posters.failed")) == 1
    tasks.run_job.call_local(jobs.create("posters").id, "posters")
    assert problems.texts() == []


def test_a_look_up_that_runs_in_a_terminal_makes_the_workers_wait(clean_queue, monkeypatch):
    monkeypatch.setattr(enrichment_runner, "stopping", threading.Event())
    job = jobs.create("enrich")
    with locks.hold("enrich"):
        tasks.run_job.call_local(job.id, "enrich")
    assert Job.get_by_id(job.id).state == "queued"
    assert problems.texts() == []


# The queue's file.


def damage(path):
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    path.write_bytes(b"not a database at all" * 1000)


def set_aside(settings):
    return [path for path in settings.data_dir.iterdir() if ".damaged-" in path.name]


def test_a_damaged_queue_makes_room_for_a_new_one(alice, settings, clean_queue, lines):
    damage(settings.queue_file)
    tasks.enqueue(jobs.create("backup", alice.id, {"kind": "manual"}))
    assert clean_queue.pending_count() == 1
    [aside] = set_aside(settings)
    assert aside.read_bytes().startswith(b"not a database")
    [line] = tell(lines, "queue.damaged")
    assert aside.name in line


def test_a_queue_damaged_while_it_is_used_is_replaced_and_its_jobs_are_found_again(
    alice, settings, worker, frozen_clock
):
    job = jobs.create("backup", alice.id, {"kind": "manual"})
    tasks.enqueue(job)
    tasks.huey.storage.close()
    with settings.queue_file.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (settings.queue_file.stat().st_size - 4096))
    frozen_clock.move(61)
    tick()
    worker()
    assert Job.get_by_id(job.id).state == "done"
    assert len(set_aside(settings)) >= 1


def test_a_process_that_has_the_old_file_open_finds_the_new_one(alice, settings, clean_queue):
    other = tasks.Queue("mm")
    assert other.pending_count() == 0
    tasks._set_aside(settings.queue_file, "seen by another process")
    tasks.enqueue(jobs.create("backup", alice.id, {"kind": "manual"}))
    assert other.pending_count() == 1
    other.close()


@pytest.mark.slow
def test_a_locked_queue_fails_nothing_that_was_saved(alice, settings, clean_queue, lines):
    assert clean_queue.pending_count() == 0
    job = jobs.create("backup", alice.id, {"kind": "manual"})
    blocker = sqlite3.connect(settings.queue_file, isolation_level=None)
    blocker.execute("begin exclusive")
    tasks.enqueue(job)
    blocker.close()
    [line] = tell(lines, "queue.unreachable")
    assert "database is locked" in line
    assert set_aside(settings) == []


def test_a_queue_that_cannot_be_opened_fails_nothing(alice, settings, clean_queue, lines):
    settings.queue_file.mkdir()
    tasks.enqueue(jobs.create("backup", alice.id, {"kind": "manual"}))
    assert len(tell(lines, "queue.unreachable")) == 1


def test_importing_the_tasks_opens_no_file(clean_queue, settings):
    clean_queue.close()
    assert not settings.queue_file.exists()


@pytest.mark.slow
def test_the_queue_lies_where_the_configuration_of_the_app_says(tmp_path):
    script = """
import pathlib, sys, tempfile
from mm import config, create_app
create_app(config.Config(data_dir=pathlib.Path(sys.argv[1])))
from mm import tasks
assert tasks.huey.pending_count() == 0
print(tempfile.gettempdir())
"""
    environment = {**os.environ, "MM_DATA_DIR": str(tmp_path / "environment")}
    command = [sys.executable, "-c", script, str(tmp_path / "own")]
    told = subprocess.check_output(command, cwd=config.ROOT, env=environment, text=True)
    assert told.strip() == str(tmp_path / "own" / "tmp")
    assert (tmp_path / "own" / "queue.db").is_file()
    assert not (tmp_path / "environment").exists()


# The night, as the log tells it.


def test_the_log_of_a_night_says_who_was_backed_up_and_who_was_not(
    alice, bob, carol, worker, frozen_clock, monkeypatch, lines
):
    for user in (alice, bob, carol):
        put(user, many(2))
        nightly.enable(user, True)
    for job in Job.select():
        tasks.enqueue(job)
    worker()
    put(alice, many(1, start=50))
    put(bob, many(1, start=50))
    dump = portable.dump

    def broken(user_id, *scratch, **more):
        if user_id == bob.id:
            raise PermissionError(13, "Permission denied", "/srv/data/backups")
        return dump(user_id, *scratch, **more)

    monkeypatch.setattr(portable, "dump", broken)
    frozen_clock.move(24 * HOURS)
    lines()
    tick()
    worker()
    found = [line.split(" ", 3)[1:] for line in lines() if not line.startswith(" ")]
    events = {(level, event) for level, event, _ in found}
    assert {
        ("INFO", "backup.made"),
        ("INFO", "backup.linked"),
        ("INFO", "backup.checked"),
        ("INFO", "recheck.done"),
        ("ERROR", "all_users.left_out"),
        ("ERROR", "backup.not_written"),
        ("WARNING", "backup.failed"),
        ("WARNING", "backup.postponed"),
    } == events
    [made] = [fields for _, event, fields in found if event == "backup.made"]
    assert f"user={alice.id} file=2026-03-02.json" in made
    [failed] = [fields for _, event, fields in found if event == "backup.failed"]
    assert f"user={bob.id}" in failed
    [linked] = [fields for _, event, fields in found if event == "backup.linked"]
    assert f"user={carol.id}" in linked
    told = reload(bob).last_error
    assert told.startswith("The server could not write the backup. Your earlier backups are safe.")
    assert "/srv" not in told
    [folder] = [fields for _, event, fields in found if event == "backup.not_written"]
    assert f"code={told[-7:-2]}" in folder
    assert clock.now() < schedule.next_run(reload(bob))
