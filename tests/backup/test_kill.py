"""A worker killed with SIGKILL while it writes backups, tests and deletes them, imports, restores
and undoes: nothing half, nothing lost, all of it made good, and the history says what was done.

`MM_TEST_KILLS` sets the number of kills; the suite's few are seeded.
"""

import io
import os
import random
import time

import pytest
from msgspec import structs

from mm import clock, config, files, models
from mm.clock import DAY
from mm.database import db
from mm.models import Job, Watch
from mm.services import accounts, jobs
from mm.services.backup import (
    backups,
    imports,
    nightly,
    policies,
    retention,
    undoing,
    uploads,
)
from mm.services.backup import files as backup_files
from tests.support.libraries import as_bytes, document, export, many, put, seen
from tests.support.processes import running

pytestmark = [pytest.mark.slow, pytest.mark.processes]
KILLS = int(os.environ.get("MM_TEST_KILLS", "3"))
USERS = 4
# Longer than the worker needs for its backups after its first look, so that some kills come before,
# some after.
WINDOW_SECONDS = 0.6
RECOVERY_SECONDS = 120


@pytest.fixture
def server(tmp_path):
    with running(tmp_path / "data") as server, db.connection_context():
        yield server


def people(count=USERS):
    users = [
        accounts.create(f"user{n}@example.org", f"user{n}", "correct horse battery")
        for n in range(count)
    ]
    for user in users:
        put(user, many(1500, 1))
    return users


def queue_a_backup_for_each(users):
    """As they are found by a starting worker: rows whose task was lost."""
    for user in users:
        Watch.update(my_rating=random.randint(10, 100) / 10).where(
            Watch.movie_id % 7 == 1
        ).execute()
        models.touch_library(db.obj, user.id)
        job = jobs.create("backup", user.id, {"kind": "manual"})
        Job.update(created_at=job.created_at - 100).where(Job.id == job.id).execute()


def made_an_hour_ago(users):
    """Or there would be too many in an hour, with many kills."""
    for user in users:
        for entry in backups.listing(user.id):
            path = backup_files.folder_of(user.id) / entry.filename
            sidecar = backup_files.read_sidecar(path)
            if sidecar:
                sidecar.created_at -= 3600
                backup_files.write_sidecar(path, sidecar)


def good_files(users):
    """{path: sha256} of what the list calls verified; fails on anything half-written."""
    found = {}
    for user in users:
        for entry in backups.listing(user.id):
            path = backup_files.folder_of(user.id) / entry.filename
            assert entry.state in ("verified", "unverified"), entry
            assert files.sha256(path) == (entry.sha256 or files.sha256(path))
            if entry.state == "verified":
                found[path] = entry.sha256
    return found


def wait_for_jobs(seconds):
    deadline = time.monotonic() + seconds
    while Job.select().where(Job.state.in_(jobs.ACTIVE)).exists():
        assert time.monotonic() < deadline, list(
            Job.select().where(Job.state.in_(jobs.ACTIVE)).dicts()
        )
        time.sleep(0.2)


def test_a_worker_killed_while_it_writes_backups_leaves_none_half_and_loses_none(server):
    random.seed(20260301)
    users = people()
    known, queued = {}, 0
    for _ in range(KILLS):
        # With many kills they would pile up, and more than ten an hour are refused.
        if Job.select().where(Job.state.in_(jobs.ACTIVE)).count() < 5 * len(users):
            queue_a_backup_for_each(users)
            queued += len(users)
        server.start("worker")
        time.sleep(random.uniform(0, WINDOW_SECONDS))
        server.kill("worker")
        now = good_files(users)
        assert known.items() <= now.items(), "a good backup was lost or changed"
        known = now
        made_an_hour_ago(users)
    server.start("worker")
    wait_for_jobs(RECOVERY_SECONDS)
    assert {row.state for row in Job.select().where(Job.kind == "backup")} == {"done"}
    done = {row.result["filename"] for row in Job.select().where(Job.kind == "backup")}
    now = good_files(users)
    assert known.items() <= now.items()
    assert done <= {path.name for path in now}
    assert Job.select().where((Job.kind == "backup") & (Job.state == "done")).count() == queued
    for user in users:
        left = [
            path.name
            for path in backup_files.folder_of(user.id).iterdir()
            if path.name.startswith(".")
        ]
        assert left == []
        assert all(
            backups.verify(user, entry.filename).state == "verified"
            for entry in backups.listing(user.id)[:2]
        )


def test_the_night_of_a_killed_worker_is_made_up_after_its_restart(server):
    [user] = people(1)
    nightly.enable(user, True)
    server.start("worker")
    server.kill("worker")
    server.start("worker")
    deadline = time.monotonic() + RECOVERY_SECONDS
    while not any(
        entry.kind == "scheduled" and entry.state == "verified"
        for entry in backups.listing(user.id)
    ):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_an_import_whose_worker_is_killed_is_done_once_and_wholly(server):
    random.seed(7)
    [user] = people(1)
    job = uploads.receive(user, io.BytesIO(as_bytes(many(6000, 2, start=10_000))))
    imports.confirm(job, imports.prepare(job).plan_id)
    Job.update(created_at=Job.created_at - 100).execute()
    for _ in range(3):
        server.start("worker")
        time.sleep(random.uniform(0, 0.6))
        server.kill("worker")
        assert models.Movie.select().count() in (1500, 7500)
    server.start("worker")
    wait_for_jobs(RECOVERY_SECONDS)
    assert models.Movie.select().count() == 7500
    assert Job.get_by_id(job.id).result["movies_imported"] == 6000
    assert models.User.get_by_id(user.id).library_version == 2


def test_a_worker_that_is_asked_to_stop_finishes_or_hands_back_what_it_does(server):
    users = people()
    queue_a_backup_for_each(users)
    server.start("worker")
    server.stop("worker")
    states = {row.state for row in Job.select().where(Job.kind == "backup")}
    assert states <= {"done", "queued"}
    backed_up = (Job.kind == "backup") & (Job.state == "done")
    done = {row.user_id for row in Job.select().where(backed_up)}
    assert {path.parent.name for path in good_files(users)} == done
    server.start("worker")
    wait_for_jobs(RECOVERY_SECONDS)
    assert {path.parent.name for path in good_files(users)} == {user.id for user in users}


def give_to_a_worker(job):
    """As a starting worker finds it: a row whose task was lost."""
    Job.update(created_at=job.created_at - 100).where(Job.id == job.id).execute()
    return job.id


def require_true_history(user, asked):
    """What can be undone is what was done; each has its own copy of what was there before, and
    what was not done is not told."""
    done = Job.select().where(Job.id.in_(asked) & (Job.state == "done"))
    copies = {job.result["safety_backup"] for job in done}
    assert len(copies) == len(done)
    there = {entry.filename for entry in backups.listing(user.id)}
    # At most so many safety copies stay.
    assert copies <= there or len(copies) > retention.SAFETY_MOST
    assert {undoable.filename for undoable in undoing.available(user)} == copies & there
    for entry in backups.listing(user.id):
        assert entry.state in ("verified", "unverified"), entry


def test_a_restore_or_an_undo_that_is_killed_leaves_one_library_or_the_other(server):
    random.seed(20260302)
    [user] = people(1)
    entry = backups.create(user)
    wanted = export(user)
    put(user, many(600, 1, start=5000))
    put(user, document([seen(number, 3) for number in range(1, 200)]))
    wrecked = export(user)
    asked = []
    for _ in range(KILLS):
        if not jobs.active("restore", user.id) and not jobs.active("undo", user.id):
            if export(user) == wrecked:
                job, target = uploads.copy_backup(user, entry.filename), wanted
            else:
                job, target = undoing.request(user), wrecked
            queued = imports.confirm(job, imports.shown(job).plan_id)
            asked.append(give_to_a_worker(queued))
        server.start("worker")
        time.sleep(random.uniform(0, WINDOW_SECONDS))
        server.kill("worker")
        found = export(user)
        assert found in (wanted, wrecked)
        assert jobs.is_done(asked[-1]) == (found == target)
        require_true_history(user, asked)
    server.start("worker")
    wait_for_jobs(RECOVERY_SECONDS)
    assert {job.state for job in Job.select().where(Job.id.in_(asked))} == {"done"}
    assert export(user) == target
    require_true_history(user, asked)
    undoing.at_once(user)
    assert export(user) == (wrecked if target == wanted else wanted)


def old_nights(user, template, count=6):
    """The scheduled backups of so many nights, of which retention keeps the newest."""
    sidecar, data = backup_files.read_sidecar(template), template.read_bytes()
    for night in range(count):
        moment = time.time() - (1 + night) * DAY
        path = template.with_name(f"{clock.local(moment, config.current.zone):%Y-%m-%d}.json")
        path.write_bytes(data)
        described = structs.replace(sidecar, kind="scheduled", created_at=moment)
        backup_files.write_sidecar(path, described)


def test_a_worker_killed_while_it_tests_and_deletes_backups_leaves_the_promised_ones(server):
    random.seed(20260303)
    users = people(2)
    for user in users:
        policies.save(user, policies.changed(policies.of(user), daily=0))
    templates = {
        user.id: backup_files.folder_of(user.id) / backups.create(user).filename for user in users
    }
    for _ in range(KILLS):
        made_an_hour_ago(users)
        for user in users:
            old_nights(user, templates[user.id])
            # There may be 50 of them.
            for entry in backups.listing(user.id):
                if entry.kind == "manual" and entry.filename != templates[user.id].name:
                    backups.delete(user, entry.filename)
        promised = {
            path: digest
            for path, digest in good_files(users).items()
            if path in newest_nights(users) or path in templates.values()
        }
        queue_a_backup_for_each(user for user in users if not jobs.active("backup", user.id))
        for user in users:
            checking = jobs.create("verify", user.id, {"filename": templates[user.id].name})
            give_to_a_worker(checking)
        server.start("worker")
        time.sleep(random.uniform(0, WINDOW_SECONDS))
        server.kill("worker")
        assert promised.items() <= good_files(users).items()
    server.start("worker")
    wait_for_jobs(RECOVERY_SECONDS)
    assert {job.state for job in Job.select()} == {"done"}
    assert {job.result["state"] for job in Job.select().where(Job.kind == "verify")} == {"verified"}
    for user in users:
        backups.prune(user)
        nights = [entry for entry in backups.listing(user.id) if entry.kind == "scheduled"]
        assert len(nights) == 3
        left = [path.name for path in backup_files.folder_of(user.id).iterdir()]
        assert [name for name in left if name.startswith(".")] == []


def newest_nights(users):
    paths = set()
    for user in users:
        nights = [entry for entry in backups.listing(user.id) if entry.kind == "scheduled"]
        folder = backup_files.folder_of(user.id)
        paths |= {folder / entry.filename for entry in nights[:3]}
    return paths
