"""A worker killed with SIGKILL while it writes backups and imports: nothing half, nothing lost, all
of it made good.

`MM_TEST_KILLS` sets the number of kills; the suite's few are seeded.
"""

import io
import os
import random
import time

import pytest

from mm import files, models
from mm.database import db
from mm.models import Job, Watch
from mm.services import accounts, jobs
from mm.services.backup import backups, imports, nightly, uploads
from mm.services.backup import files as backup_files
from tests.support.libraries import as_bytes, many, put
from tests.support.processes import running

pytestmark = [pytest.mark.slow, pytest.mark.processes]
KILLS = int(os.environ.get("MM_TEST_KILLS", "5"))
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
