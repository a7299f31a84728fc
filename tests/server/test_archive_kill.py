"""A worker killed with SIGKILL while it makes, tests and deletes archives, and a process while it
receives one: none is half, none is lost, and nothing is left in data/tmp.

`MM_TEST_KILLS` sets the number of kills; the suite's few are seeded.
"""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from mm import clock, config, files
from mm.clock import DAY
from mm.database import db
from mm.models import Job
from mm.schemas import ArchiveSchedule
from mm.services import accounts, jobs, settings
from mm.services.server import archive_files, archive_uploads, archives
from tests.support.libraries import many, put
from tests.support.processes import running

pytestmark = [pytest.mark.slow, pytest.mark.processes]
KILLS = int(os.environ.get("MM_TEST_KILLS", "2"))
# Longer than the worker needs for an archive after its first look, so that some kills come before,
# some after.
WINDOW_SECONDS = 0.6
RECOVERY_SECONDS = 120
KEPT = 3


@pytest.fixture
def server(tmp_path):
    with running(tmp_path / "data") as server, db.connection_context():
        for number in range(3):
            user = accounts.create(f"u{number}@example.org", f"u{number}", "correct horse battery")
            put(user, many(1500, 1))
        settings.put_archives(ArchiveSchedule(keep_last=KEPT))
        yield server


def queue_an_archive():
    """As it is found by a starting worker: a row whose task was lost."""
    job = archives.new_job(archives.params("scheduled"))
    Job.update(created_at=job.created_at - 100).where(Job.id == job.id).execute()
    return job


def good_archives():
    """{path: sha256}, the oldest first; fails on anything half-written."""
    found = {}
    for entry in reversed(archives.listing()):
        assert entry.state == "verified", entry
        path = archive_files.path_of(entry.timestamp)
        assert files.sha256(path) == entry.sha256
        found[path] = entry.sha256
    return found


def wait_for_jobs(seconds=RECOVERY_SECONDS):
    deadline = time.monotonic() + seconds
    while Job.select().where(Job.state.in_(jobs.ACTIVE)).exists():
        assert time.monotonic() < deadline, list(Job.select().dicts())
        time.sleep(0.2)


def require_nothing_left():
    archives.sweep()
    archive_uploads.sweep()
    assert list(config.current.tmp_dir.iterdir()) == []
    assert [path.name for path in archive_files.folder().iterdir() if path.name[0] == "."] == []


def newest(found, count=KEPT):
    return dict([*found.items()][-count:])


def test_a_worker_killed_while_it_makes_archives_leaves_none_half_and_loses_none(server):
    random.seed(20260401)
    known, asked = {}, []
    for _ in range(KILLS):
        if not jobs.active("archive"):
            asked.append(queue_an_archive())
        server.start("worker")
        time.sleep(random.uniform(0, WINDOW_SECONDS))
        server.kill("worker")
        now = good_archives()
        # One more was made at most, and took the place of the oldest.
        assert newest(known, KEPT - 1).items() <= now.items(), "a good archive was lost or changed"
        known = now
    server.start("worker")
    wait_for_jobs()
    assert {row.state for row in Job.select().where(Job.kind == "archive")} == {"done"}
    promised = [job.params["timestamp"] for job in asked]
    results = [Job.get_by_id(job.id).result["timestamp"] for job in asked]
    assert results == promised
    # Each job made one, and the newest of them stay.
    assert [path.name for path in good_archives()] == [
        archive_files.filename_of(timestamp) for timestamp in promised[-KEPT:]
    ]
    assert archives.verify(promised[-1]).state == "verified"
    require_nothing_left()


def test_a_worker_killed_while_it_tests_and_deletes_archives_leaves_the_promised_ones(server):
    random.seed(20260402)
    for _ in range(KILLS):
        # More than stay, and tested yesterday.
        settings.put_archives(ArchiveSchedule(keep_last=0))
        while len(archives.listing()) < KEPT + 3:
            path = archive_files.path_of(archives.create(kind="scheduled").timestamp)
            sidecar = archive_files.read_sidecar(path)
            sidecar.verified_at -= DAY
            archive_files.write_sidecar(path, sidecar)
        promised = newest(good_archives())
        settings.put_archives(ArchiveSchedule(keep_last=KEPT))
        if not jobs.active("archives"):
            job = jobs.create("archives")
            Job.update(created_at=clock.now() - 100).where(Job.id == job.id).execute()
        server.start("worker")
        time.sleep(random.uniform(0, WINDOW_SECONDS))
        server.kill("worker")
        assert promised.items() <= good_archives().items()
    server.start("worker")
    wait_for_jobs()
    assert good_archives() == promised
    require_nothing_left()


ADDING = """
import sys
from pathlib import Path
from mm import config
from mm.database import connect, db
from mm.services.server import archive_uploads
config.use(config.from_environ())
connect(config.current.database)
with db.connection_context(), archive_uploads.receiving() as upload:
    data = Path(sys.argv[1]).read_bytes()
    print("begun", flush=True)
    for start in range(0, len(data), 2**16):
        upload.write(data[start:start + 2**16])
    archive_uploads.add(upload.path)
    print("added", flush=True)
"""


def test_a_process_killed_while_it_receives_and_adds_an_archive_adds_it_wholly_or_not(
    server, tmp_path
):
    random.seed(20260403)
    made = archives.create()
    archive = tmp_path / "archive.zip"
    archive_files.path_of(made.timestamp).rename(archive)
    archives.delete(made.timestamp)
    for _ in range(KILLS):
        command = [sys.executable, "-c", ADDING, str(archive)]
        process = subprocess.Popen(
            command, env=server.environment, cwd=config.ROOT, stdout=subprocess.PIPE
        )
        assert process.stdout.readline() == b"begun\n"
        time.sleep(random.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        is_added = process.communicate()[0] == b"added\n"
        require_nothing_left()
        found = good_archives()
        assert len(found) == 1 or not is_added
        for path in found:
            assert path.read_bytes() == archive.read_bytes()
            archives.delete(archive_files.timestamp_of(path.name))
