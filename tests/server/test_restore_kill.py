"""A restore killed with SIGKILL at any moment: afterwards the old data or the new, whole, and said.

`MM_TEST_KILLS` sets the number of kills at random moments; the suite's few are seeded.
"""

import itertools
import os
import random
import signal
import time
from pathlib import Path

import pytest

from mm import config, locks, maintenance, stored_settings
from mm.database import db
from mm.errors import InvalidError
from mm.models import CustomList, Job, Movie, Person, User
from mm.schemas import ArchiveSchedule
from mm.services import accounts, jobs
from mm.services import settings as server_settings
from mm.services.server import (
    archive_files,
    archives,
    live_database,
    restore,
    restore_state,
    restore_steps,
)
from tests.support.archived import poster_files, put_poster, rows
from tests.support.libraries import custom_list, document, many, person, put
from tests.support.processes import running

KILLS = int(os.environ.get("MM_TEST_KILLS", "2"))
BEFORE_LOAD = ("check", "prepare", "pause", "save", "keep")
FROM_LOAD = ("load", "swap_posters", "put_settings", "verify", "resume", "finish")


def disconnect():
    if not db.is_closed():
        db.close()
    db.obj.release()


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def killed(work):
    """Do it in a process of its own; whether that was killed."""
    disconnect()
    process = os.fork()
    if not process:
        try:
            work()
        finally:
            os._exit(3)
    _, status = os.waitpid(process, 0)
    return os.WIFSIGNALED(status)


@pytest.fixture
def server(app, alice, bob):
    """(timestamp, old, new): what it has now, and what the archive brings: rows and posters."""
    with db.connection_context():
        put(alice, many(150, 2))
        put_poster("a.jpg")
        timestamp = archives.create(posters=True).timestamp
        new = rows(), poster_files()
        put(bob, many(60, 2, start=500))
        put_poster("a.jpg", b"of now")
        put_poster("b.jpg")
        old = rows(), poster_files()
    yield timestamp, old, new
    disconnect()


def test_what_was_written_since_work_resumed_is_never_taken_back(server, monkeypatch):
    timestamp, *_ = server
    with db.connection_context():
        job, _ = restore.request(timestamp)
    with monkeypatch.context() as patch:
        arm(patch, "resume", "after")
        assert killed(lambda: do_job(job.id))
    with db.connection_context():
        put(User.get(User.username == "alice"), many(7, start=8000))
    written = rows()
    restore.recover()
    assert rows() == written
    require_nothing_left(job, is_new=True)


def require_nothing_left(job, is_new):
    record = restore_state.read()
    assert record.shown.state == ("done" if is_new else "failed")
    assert record.shown.message
    assert not maintenance.is_on()
    assert not locks.is_held("server")
    assert list(config.current.tmp_dir.glob("restore-*")) == []
    with db.connection_context():
        assert Job.get_by_id(job.id).state == record.shown.state
        assert jobs.recover() == ([], [])
        assert db.execute_sql("PRAGMA integrity_check").fetchone() == ("ok",)
        # Work goes on.
        User.update(is_active=True).execute()
    assert restore.recover() is None


def do_job(job_id):
    with db.connection_context():
        jobs.run(job_id, restore.run)


def arm(monkeypatch, step, moment):
    """Die before or after that step, or where it does its work."""
    if moment in ("before", "after"):
        for name in ("BEFORE_LOAD", "FROM_LOAD", "AT_LAST"):
            steps = []
            for each in getattr(restore_steps, name):
                if each.__name__ == step and moment == "before":
                    steps.append(lambda report: die())
                steps.append(each)
                if each.__name__ == step and moment == "after":
                    steps.append(lambda report: die())
            monkeypatch.setattr(restore_steps, name, tuple(steps))
        return
    if step == "load":
        monkeypatch.setattr(live_database, "PAGES_A_STEP", 5)
        real = restore_state.Reporter.progress

        def progress(self, done, total, message):
            real(self, done, total, message)
            if message == "Loading the database" and done > total / 2:
                die()

        monkeypatch.setattr(restore_state.Reporter, "progress", progress)
    elif step == "loaded":
        monkeypatch.setattr(live_database, "_empty_log", lambda live: die())
    elif step == "swap_posters":
        real_rename = Path.rename

        def rename(self, target):
            real_rename(self, target)
            die()

        monkeypatch.setattr(Path, "rename", rename)
    elif step == "keep":
        monkeypatch.setattr(restore_steps.staging, "_end_jobs", lambda staged, own: die())
    elif step == "pause":
        monkeypatch.setattr(live_database, "take_write_lock", die)
    elif step == "save":
        monkeypatch.setattr(archive_files, "publish", lambda *args: die())
    elif step == "check":
        monkeypatch.setattr(restore_steps.effective, "read", lambda path: die())


MOMENTS = [
    *((step, moment) for step in BEFORE_LOAD + FROM_LOAD for moment in ("before", "after")),
    *((step, "within") for step in ("check", "pause", "save", "keep", "load", "loaded")),
    ("swap_posters", "within"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("step", "moment"), MOMENTS, ids=lambda text: text)
def test_killed_in_a_step_it_is_abandoned_or_finished(server, step, moment, monkeypatch):
    timestamp, old, new = server
    with db.connection_context():
        job, _token = restore.request(timestamp)
    with monkeypatch.context() as patch:
        arm(patch, step, moment)
        assert killed(lambda: do_job(job.id))
    is_new = step in FROM_LOAD or step == "loaded"
    # Said to have begun by the step's own first words.
    if (step, moment) in (("load", "before"), ("check", "before")):
        is_new = False
    was_begun = (step, moment) != ("check", "before")
    said = restore.recover()
    if was_begun and (step, moment) != ("finish", "after"):
        assert "interrupted" in said
    if not was_begun:
        with db.connection_context():
            assert Job.get_by_id(job.id).state == "running"
            [lost], _ = jobs.recover()
            assert lost.id == job.id
        assert (rows(), poster_files()) == old
        return
    if (step, moment) == ("finish", "after"):
        # All that is left is to say so on the job's row, which its second start does.
        with db.connection_context():
            jobs.recover()
            jobs.run(job.id, restore.run)
    assert (rows(), poster_files()) == (new if is_new else old)
    require_nothing_left(job, is_new)


@pytest.fixture
def changed_settings(app, alice):
    """(timestamp): the archive has other settings than the server has now."""
    with db.connection_context():
        stored_settings.write({"OMDB_DAILY_LIMIT": "500"})
        server_settings.put_archives(ArchiveSchedule(keep_last=3))
        timestamp = archives.create().timestamp
        stored_settings.write({"OMDB_DAILY_LIMIT": "900", "TZ": "Asia/Tokyo"})
        server_settings.put_archives(ArchiveSchedule(keep_last=9))
    yield timestamp
    disconnect()


def settings_now():
    with db.connection_context():
        return stored_settings.read(), server_settings.archives().keep_last


OLD_SETTINGS = ({"OMDB_DAILY_LIMIT": "900", "TZ": "Asia/Tokyo"}, 9)
NEW_SETTINGS = ({"OMDB_DAILY_LIMIT": "500", "TZ": "Asia/Tokyo"}, 3)


def refuse(report):
    raise InvalidError("It is not as it should be.")


@pytest.mark.parametrize("database", [True, False])
@pytest.mark.parametrize("killed_first", [True, False])
def test_a_restore_that_fails_takes_the_settings_back(
    changed_settings, database, killed_first, monkeypatch
):
    """`killed_first`: what takes it up after that fails."""
    with db.connection_context():
        job, _ = restore.request(changed_settings, database=database, posters=False)
    with monkeypatch.context() as patch:
        if killed_first:
            arm(patch, "put_settings", "after")
            assert killed(lambda: do_job(job.id))
            assert settings_now()[0] == NEW_SETTINGS[0]
    steps = [*restore_steps.FROM_LOAD[:-1], refuse]
    monkeypatch.setattr(restore_steps, "FROM_LOAD", tuple(steps))
    if killed_first:
        restore.recover()
    else:
        do_job(job.id)
    assert settings_now() == OLD_SETTINGS
    require_nothing_left(job, is_new=False)


@pytest.mark.parametrize("moment", ["before", "within", "after"])
@pytest.mark.parametrize("database", [True, False])
def test_settings_of_a_restore_that_was_killed_are_put_by_what_takes_it_up(
    changed_settings, database, moment, monkeypatch
):
    with db.connection_context():
        job, _ = restore.request(changed_settings, database=database, posters=False)
    with monkeypatch.context() as patch:
        if moment == "within":
            patch.setattr(stored_settings, "write", lambda texts: die())
        else:
            arm(patch, "put_settings", moment)
        assert killed(lambda: do_job(job.id))
    restore.recover()
    assert settings_now() == NEW_SETTINGS
    require_nothing_left(job, is_new=True)


@pytest.mark.parametrize("again", ["load", "swap_posters", "verify", "finish"])
def test_what_takes_it_up_may_be_killed_too(server, again, monkeypatch):
    timestamp, _, new = server
    with db.connection_context():
        job, _ = restore.request(timestamp)
    with monkeypatch.context() as patch:
        arm(patch, "load", "within")
        assert killed(lambda: do_job(job.id))
    with monkeypatch.context() as patch:
        arm(patch, again, "before")
        assert killed(restore.recover)
    restore.recover()
    assert (rows(), poster_files()) == new
    require_nothing_left(job, is_new=True)


@pytest.mark.parametrize(("step", "moment"), [("prepare", "after"), ("swap_posters", "within")])
def test_the_next_restore_takes_up_the_killed_one_first(server, step, moment, monkeypatch):
    timestamp, *_ = server
    with db.connection_context():
        job, _ = restore.request(timestamp)
    with monkeypatch.context() as patch:
        arm(patch, step, moment)
        assert killed(lambda: do_job(job.id))
    # Sessions end in the first, so the second restores the posters only.
    path = archive_files.path_of(timestamp)
    left = restore_state.read()
    restore.at_once(path, database=False, settings=False, progress=lambda text: None)
    assert not left.folder.exists()
    assert poster_files() == server[2][1]
    assert rows() == (server[1][0] if step == "prepare" else server[2][0])
    with db.connection_context():
        assert Job.get_by_id(job.id).state == ("failed" if step == "prepare" else "done")


def test_nothing_new_is_asked_for_until_the_killed_one_is_taken_up(server, monkeypatch):
    timestamp, *_ = server
    with db.connection_context():
        job, _ = restore.request(timestamp)
    with monkeypatch.context() as patch:
        arm(patch, "prepare", "after")
        assert killed(lambda: do_job(job.id))
    with db.connection_context():
        Job.delete().execute()
        with pytest.raises(locks.BusyError):
            restore.request(timestamp)
        restore.recover()
        restore.request(timestamp)


def test_a_staged_database_that_rotted_meanwhile_is_not_loaded(server, monkeypatch):
    timestamp, old, _ = server
    with db.connection_context():
        job, _ = restore.request(timestamp)
    with monkeypatch.context() as patch:
        arm(patch, "load", "within")
        assert killed(lambda: do_job(job.id))
    [folder] = config.current.tmp_dir.glob("restore-*")
    with (folder / "database.db").open("r+b") as file:
        file.seek(5 * 4096)
        file.write(b"rot")
    said = restore.recover()
    assert "could not be finished" in said
    assert (rows(), poster_files()) == old
    require_nothing_left(job, is_new=False)


def test_a_database_that_is_gone_meanwhile_is_not_made_anew(server, monkeypatch):
    """An empty one would pass for the server's own."""
    with db.connection_context():
        job, _ = restore.request(server[0])
    with monkeypatch.context() as patch:
        arm(patch, "prepare", "after")
        assert killed(lambda: do_job(job.id))
    (config.current.data_dir / "mm.db").unlink()
    assert restore.recover() == restore.TAKEN_BACK
    assert not (config.current.data_dir / "mm.db").exists()


def test_what_is_being_restored_is_left_alone(server):
    with db.connection_context():
        restore.request(server[0])
    record = restore_state.read()
    record.shown.state = "running"
    restore_state.write(record)
    maintenance.begin(record.id)
    with locks.hold("server"):
        assert restore.recover() is None
        assert maintenance.is_on()
    assert restore.recover() == restore.TAKEN_BACK
    assert not maintenance.is_on()


def test_what_a_killed_process_left_beside_the_database_goes_after_an_hour(app):
    old, new, foreign = (
        config.current.data_dir / name
        for name in (f".tmp-{'0' * 16}-journal", f".tmp-{'1' * 16}", ".tmp-of-another-program")
    )
    for path in (old, new, foreign):
        path.write_bytes(b"x")
    for path in (old, foreign):
        os.utime(path, (time.time() - 4000,) * 2)
    restore.recover()
    assert [path.exists() for path in (old, new, foreign)] == [False, True, True]


def test_maintenance_that_nobody_needs_ends(app):
    maintenance.begin("nobody")
    restore.recover()
    assert not maintenance.is_on()


def lettered(letter):
    return document(
        [],
        people=[person(f"{letter}{number}") for number in range(5)],
        lists=[custom_list(f"{letter}", f"{letter}-list")],
    )


def read_until_told(go_on, answers):
    """Reads several tables as a request does, each in a statement of its own. Writes one letter for
    each reading that was whole: a or b, r for one that was told to come again, x for a mix."""
    while go_on():
        try:
            with db.connection_context():
                people = {row.name[0] for row in Person.select() if row.quick_key is None}
                movies = {row.note for row in Movie.select(Movie.note)}
                lists = {row.name[0] for row in CustomList.select()}
            seen = people | movies | lists
            answer = seen.pop() if len(seen) == 1 else "x"
        except maintenance.RestoredError:
            answer = "r"
        os.write(answers, answer.encode())


def test_a_reader_of_another_process_sees_the_old_rows_or_the_new_never_a_mix(app, alice):
    archived = {}
    with db.connection_context():
        for letter in "ab":
            put(alice, many(200))
            Movie.update(note=letter).execute()
            Person.delete().where(Person.quick_key.is_null()).execute()
            CustomList.delete().execute()
            put(alice, lettered(letter))
            entry = archives.create()
            archived[letter] = archive_files.path_of(entry.timestamp)
    disconnect()
    stop = config.current.data_dir / "stop"
    readable, writable = os.pipe()
    reader = os.fork()
    if not reader:
        try:
            read_until_told(lambda: not stop.exists(), writable)
        finally:
            os._exit(0)
    os.close(writable)
    try:
        for letter in "abababab":
            restore.at_once(archived[letter], progress=lambda text: None)
    finally:
        stop.touch()
        with os.fdopen(readable, "rb") as answers:
            seen = answers.read().decode()
        os.waitpid(reader, 0)
        disconnect()
    assert "x" not in seen
    assert {"a", "b"} <= set(seen)
    # Each restore in its turn, and nothing that was gone came back.
    turns = [letter for letter, _ in itertools.groupby(seen.replace("r", ""))]
    assert len(turns) <= 9


@pytest.mark.slow
@pytest.mark.processes
def test_a_worker_killed_while_it_restores_leaves_old_or_new_whole(tmp_path):
    random.seed(11)
    with running(tmp_path / "data") as server:
        with db.connection_context():
            alice = accounts.create("alice@example.org", "alice", "correct horse battery")
            put(alice, many(1500, 2))
            put_poster("a.jpg")
            timestamp = archives.create(posters=True).timestamp
            new = rows()
        for number in range(KILLS):
            with db.connection_context():
                put(alice, many(30, 1, start=5000 + 100 * number))
                old = rows()
                job, _ = restore.request(timestamp)
                Job.update(created_at=job.created_at - 100).where(Job.id == job.id).execute()
            server.start("worker")
            time.sleep(random.uniform(0, 1.2))
            server.kill("worker")
            server.start("worker")
            deadline = time.monotonic() + 60
            while restore_state.read().shown.state in ("queued", "running"):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            time.sleep(0.3)
            state = restore_state.read().shown.state
            server.kill("worker")
            assert not maintenance.is_on()
            assert rows() == (new if state == "done" else old)
            assert server.query("PRAGMA integrity_check") == [("ok",)]
