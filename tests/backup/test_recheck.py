"""The nightly check of old backups: one that fails costs itself, and nobody is always left out."""

import json
import shutil

import pytest

from mm import locks
from mm.errors import NoRoomError
from mm.models import Job
from mm.services import health, heartbeat
from mm.services.backup import backups, nightly, policies, recheck
from mm.services.backup import files as backup_files
from mm.services.backup.retention import Policy
from tests.support.libraries import many, put

pytestmark = pytest.mark.usefixtures("database", "frozen_clock")
DAY = 86400


@pytest.fixture
def three(alice, bob, carol, frozen_clock):
    """Three users with a backup each, in the order of their folders; the second's checked last."""
    users = sorted((alice, bob, carol), key=lambda user: user.id)
    for user in users:
        put(user, many(2))
        backups.create(user)
        frozen_clock.move(60)
    backups.verify(users[1], only_file(users[1]))
    frozen_clock.move(DAY)
    return users


def only_file(user):
    [entry] = backups.listing(user.id)
    return entry.filename


def path_of(user):
    return backup_files.folder_of(user.id) / only_file(user)


def run():
    return recheck.run(Job.create(kind="recheck"))


def checked_lately(users, frozen_clock):
    return [backups.listing(user.id)[0].verified_at == frozen_clock.moment for user in users]


def problems():
    heartbeat.beat()
    return health.check()["problems"]


@pytest.mark.parametrize(
    "error", [NoRoomError("No room."), OSError(5, "I/O"), RuntimeError("a bug")]
)
def test_a_file_that_cannot_be_checked_costs_itself(three, frozen_clock, monkeypatch, lines, error):
    verify = backups.verify_held

    def broken(user_id, filename):
        if user_id == three[0].id:
            raise error
        return verify(user_id, filename)

    with monkeypatch.context() as patched:
        patched.setattr(backups, "verify_held", broken)
        assert run() == {"checked": 2, "damaged": [], "failed": 1}
    assert checked_lately(three, frozen_clock) == [False, True, True]
    [line] = [line for line in lines() if " recheck.failed " in line]
    assert f"user={three[0].id} file={only_file(three[0])}" in line
    assert problems() == ["Last night 1 old backup could not be checked. The log says why."]
    assert run()["failed"] == 0
    assert problems() == []


def test_a_folder_that_cannot_be_read_costs_that_folder(three, frozen_clock, monkeypatch):
    listing = backups.listing

    def broken(user_id):
        if user_id == three[0].id:
            raise PermissionError(13, "Permission denied")
        return listing(user_id)

    with monkeypatch.context() as patched:
        patched.setattr(backups, "listing", broken)
        patched.setattr(backups, "entry_of", lambda user_id, name: listing(user_id)[0])
        assert run() == {"checked": 2, "damaged": [], "failed": 1}
    assert checked_lately(three, frozen_clock) == [False, True, True]


def test_a_file_deleted_while_the_check_runs_is_no_failure(three, monkeypatch):
    verify = backups.verify_held

    def delete_first(user_id, filename):
        shutil.rmtree(backup_files.folder_of(three[0].id), ignore_errors=True)
        return verify(user_id, filename)

    monkeypatch.setattr(backups, "verify_held", delete_first)
    assert run() == {"checked": 2, "damaged": [], "failed": 0}


def test_a_backup_whose_first_test_was_cut_off_is_tested_first(three, frozen_clock, monkeypatch):
    path = path_of(three[1])
    sidecar = backup_files.read_sidecar(path)
    sidecar.verified_at = None
    backup_files.write_sidecar(path, sidecar)
    order = []
    verify = backups.verify_held

    def record(user_id, filename):
        order.append(user_id)
        return verify(user_id, filename)

    monkeypatch.setattr(backups, "verify_held", record)
    assert run() == {"checked": 3, "damaged": [], "failed": 0}
    assert order == [three[1].id, three[0].id, three[2].id]
    assert backups.listing(three[1].id)[0].state == "verified"


# Retention of those whom no night looks after.


def nights(user, count, frozen_clock):
    for _ in range(count):
        nightly.run_scheduled(user.id)
        frozen_clock.move(DAY)


def names(user):
    return [entry.filename for entry in backups.listing(user.id)]


def keep_none(user):
    policies.save(user, Policy(0))


def test_retention_runs_where_automatic_backups_are_off(alice, bob, frozen_clock):
    nights(alice, 8, frozen_clock)
    frozen_clock.move(-8 * DAY)
    nights(bob, 8, frozen_clock)
    nightly.enable(bob, True)
    for user in (alice, bob):
        keep_none(user)
    run()
    assert names(alice) == [f"2026-03-{day:02}.json" for day in (8, 7, 6, 5, 4)]
    run()
    assert names(alice) == [f"2026-03-{day:02}.json" for day in (8, 7, 6)]
    assert len(names(bob)) == 8


def test_it_deletes_nothing_of_who_made_no_backup_for_weeks(alice, frozen_clock):
    nights(alice, 8, frozen_clock)
    frozen_clock.move(20 * DAY)
    keep_none(alice)
    run()
    assert len(names(alice)) == 8


@pytest.mark.parametrize("error", [NoRoomError("No room."), RuntimeError("a bug")])
def test_an_error_there_ends_neither_the_others_nor_the_check(
    three, frozen_clock, monkeypatch, lines, error
):
    prune, pruned = backups.prune, []

    def broken(user):
        if user.id == three[0].id:
            raise error
        pruned.append(user.id)
        return prune(user)

    monkeypatch.setattr(backups, "prune", broken)
    assert run() == {"checked": 3, "damaged": [], "failed": 0}
    assert sorted(pruned) == sorted(user.id for user in three[1:])
    [line] = [line for line in lines() if " retention.failed " in line]
    assert f"user={three[0].id}" in line


def test_a_library_in_use_is_left_for_another_night(three):
    with locks.hold(f"library-{three[0].id}"):
        assert run() == {"checked": 2, "damaged": [], "failed": 0}


def test_with_little_time_the_longest_unchecked_come_first(three, frozen_clock, monkeypatch):
    """Of all users: else the last of them are never reached."""
    order = []
    verify = backups.verify_held

    def spend(user_id, filename):
        order.append(user_id)
        monkeypatch.setattr(recheck, "BUDGET_SECONDS", -1)
        return verify(user_id, filename)

    monkeypatch.setattr(backups, "verify_held", spend)
    for _ in range(3):
        monkeypatch.setattr(recheck, "BUDGET_SECONDS", 60)
        run()
        frozen_clock.move(DAY)
    assert order == [three[0].id, three[2].id, three[1].id]


def test_what_is_found_damaged_is_logged_and_named_until_it_is_gone(three, lines):
    path = path_of(three[1])
    path.write_bytes(path.read_bytes().replace(b'"version"', b'"Version"'))
    name = f"{three[1].id}/{path.name}"
    assert run() == {"checked": 3, "damaged": [name], "failed": 0}
    [line] = [line for line in lines() if " ERROR backup.damaged " in line]
    assert f"user={three[1].id} file={path.name}" in line
    expected = ["1 backup is damaged. The page Data & Backup of the account says which."]
    assert problems() == expected
    assert run()["damaged"] == []
    assert problems() == expected
    backups.delete(three[1], path.name)
    assert problems() == []


def test_a_backup_that_was_found_damaged_before_is_still_named(three):
    sidecar = backup_files.sidecar_path(path_of(three[0]))
    described = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({**described, "problem": "it cannot be read"}))
    run()
    assert problems()[0].startswith("1 backup is damaged.")
