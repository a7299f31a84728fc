"""Locks of the operating system: one holder, freed by the death of its process, and no files left
behind."""

import os
import subprocess
import sys
import threading

import pytest

from mm import config, locks
from mm.database import db

pytestmark = pytest.mark.usefixtures("app")

HOLD = """
import pathlib, sys
from mm import config, locks
from mm.database import connect
config.use(config.Config(data_dir=pathlib.Path(sys.argv[1])))
connect(sys.argv[2])
with locks.hold("work"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other_process(settings):
    """A process that holds the lock `work`."""
    command = [sys.executable, "-c", HOLD, str(settings.data_dir), config.current.database]
    with subprocess.Popen(
        command, cwd=config.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_lock_has_one_holder():
    with (
        locks.hold("work"),
        pytest.raises(locks.BusyError, match="come back later"),
        locks.hold("work", "come back later"),
    ):
        pass
    assert not locks.is_held("work")


def test_a_killed_process_frees_its_lock(other_process):
    assert locks.is_held("work")
    other_process.kill()
    other_process.wait()
    # PostgreSQL needs a moment to see that its client is gone.
    with locks.wait_for("work", 10):
        pass
    assert not locks.is_held("work")


def test_who_waits_gets_it_when_it_is_free(other_process):
    threading.Timer(0.3, other_process.stdin.close).start()
    with locks.wait_for("work", 10):
        assert locks.is_held("work")


def test_who_waits_too_long_is_told(other_process):
    with pytest.raises(locks.BusyError), locks.wait_for("work", 0.3):
        pass


@pytest.mark.sqlite
def test_no_files_are_left_behind(settings):
    for number in range(20):
        with locks.hold(f"job-{number}"):
            pass
    assert os.listdir(settings.locks_dir) == []


@pytest.mark.sqlite
def test_a_folder_of_locks_that_was_removed_is_made_again(settings):
    settings.locks_dir.rmdir()
    with locks.hold("work"):
        assert locks.is_held("work")
    assert settings.locks_dir.stat().st_mode & 0o777 == 0o700


@pytest.mark.sqlite
def test_a_name_cannot_leave_the_folder(settings):
    with locks.hold("../../etc/passwd"):
        assert os.listdir(settings.locks_dir) == [".._.._etc_passwd.lock"]


@pytest.mark.slow
def test_many_at_once_never_hold_it_together():
    inside, most, turns = [], [], []

    def work():
        while len(turns) < 2000:
            try:
                with locks.hold("work"):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
                    turns.append(1)
            except locks.BusyError:
                continue

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1


def test_looking_at_a_lock_never_keeps_anybody_from_taking_it():
    stop = threading.Event()

    def look():
        with db.connection_context():
            while not stop.is_set():
                locks.is_held("work")

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(300):
            with locks.hold("work"):
                pass
    finally:
        stop.set()
        for looker in lookers:
            looker.join()


def test_two_who_look_at_once_both_find_the_lock_free():
    with locks.hold("other"):
        found = []

        def look():
            with db.connection_context():
                found.extend(locks.is_held("work") for _ in range(300))

        lookers = [threading.Thread(target=look) for _ in range(3)]
        for looker in lookers:
            looker.start()
        for looker in lookers:
            looker.join()
    assert found == [False] * 900
