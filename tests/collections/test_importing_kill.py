"""An import of a collection whose process is killed: the library is as before or as the preview
said, never between, and the worker does what is left, once.

`MM_TEST_KILLS` sets the number of kills; the suite's few are seeded.
"""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from mm import config, tasks
from mm.database import db
from mm.models import Job, User
from mm.services import accounts, jobs
from mm.services.backup import undoing
from mm.services.collections import plans
from mm.services.library import people
from tests.collections.test_importing import KINDS, confirmed, make_first_of_each
from tests.support.libraries import export, many, put, reload
from tests.support.processes import running

pytestmark = [pytest.mark.slow, pytest.mark.processes]
KILLS = int(os.environ.get("MM_TEST_KILLS", "3"))
RECOVERY_SECONDS = 60
# Does the job as a web process does, and kills itself at the statement of this number; with 0 it
# prints how many there are, and does not kill itself.
CHILD = """
import os, pathlib, signal, sys
from mm import config
from mm.database import connect, db
data_dir, database_url, job_id, last = *sys.argv[1:4], int(sys.argv[4])
settings = config.use(config.Config(data_dir=pathlib.Path(data_dir), database_url=database_url))
connect(settings.database)
from mm import tasks
from mm.services import jobs
count = 0
def statement(sql):
    global count
    count += 1
    if count == last:
        os.kill(os.getpid(), signal.SIGKILL)
with db.connection_context():
    db.connection().set_trace_callback(statement)
    jobs.run(job_id, *tasks.WORK["collection"])
    print(count)
"""
number = iter(range(10_000))


def do_until(job, last):
    """The process that was to do it, killed at this statement."""
    settings = config.current
    arguments = [str(settings.data_dir), settings.database_url, job.id, str(last)]
    return subprocess.run(
        [sys.executable, "-c", CHILD, *arguments],
        capture_output=True,
        text=True,
        cwd=config.ROOT,
        check=False,
    )


def somebody(films=30):
    """Each with the same library."""
    name = f"user{next(number)}"
    user = accounts.create(f"{name}@example.org", name, "correct horse battery")
    put(user, many(films, 1))
    make_first_of_each(user)
    return reload(user)


def collected(user, kind):
    return plans.KINDS[kind].export(user.id, None)


def as_the_preview_says(kind, films=30):
    """What is here after an import that nobody disturbs."""
    user = somebody(films)
    jobs.run(confirmed(user, kind).id, *tasks.WORK["collection"])
    return collected(user, kind)


def require_done_once(user, job, before, version):
    """And it can be undone, as a whole."""
    job = Job.get_by_id(job.id)
    assert (job.state, job.result["imported"]) == ("done", 1)
    assert reload(user).library_version == version + 1
    [undoable, *_] = undoing.available(reload(user))
    assert undoable.filename == job.result["safety_backup"]
    undoing.at_once(reload(user), undoable.filename)
    assert export(user) == before


@pytest.mark.sqlite
@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_any_statement_the_library_is_as_before_or_as_the_preview_said(database, kind):
    random.seed(20261122)
    counted = do_until(confirmed(somebody(), kind), 0)
    assert counted.returncode == 0, counted.stderr
    total = int(counted.stdout)
    assert total > 50
    wanted = as_the_preview_says(kind)
    seen = []
    # Right at the end the import is done, and so is the job.
    for last in [2, total, total - 3, *(random.randint(3, total - 4) for _ in range(KILLS))]:
        user = somebody()
        before, version = export(user), user.library_version
        job = confirmed(user, kind)
        killed = do_until(job, last)
        assert killed.returncode == -signal.SIGKILL, (last, total, killed.stderr)
        is_done = Job.get_by_id(job.id).state == "done"
        seen.append(is_done)
        if is_done:
            assert collected(user, kind) == wanted
        else:
            assert export(user) == before
            assert reload(user).library_version == version
            assert undoing.available(reload(user))[1:] == []
        tasks.take_up_interrupted()
        jobs.run(job.id, *tasks.WORK["collection"])
        assert collected(user, kind) == wanted
        require_done_once(user, job, before, version)
    assert {True, False} == set(seen)


@pytest.fixture
def server(tmp_path):
    with running(tmp_path / "data") as server, db.connection_context():
        yield server


def wait_for(job):
    deadline = time.monotonic() + RECOVERY_SECONDS
    while Job.get_by_id(job.id).state in jobs.ACTIVE:
        assert time.monotonic() < deadline, Job.get_by_id(job.id).state
        time.sleep(0.1)


def lost(job):
    """As the worker's tick finds it: nobody has tried it for a while."""
    Job.update(created_at=Job.created_at - 100).where(Job.id == job.id).execute()
    return Job.get_by_id(job.id)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("has_begun", [False, True])
def test_what_a_web_process_left_behind_is_done_by_the_worker_once(server, kind, has_begun):
    user = somebody()
    before, version = export(user), user.library_version
    job = lost(confirmed(user, kind))
    if has_begun:
        assert do_until(job, 40).returncode == -signal.SIGKILL
        assert Job.get_by_id(job.id).state == "running"
    assert export(user) == before
    server.start("worker")
    wait_for(job)
    # Its next tick, and whatever else might deliver it, finds it done.
    time.sleep(2)
    assert collected(user, kind) == as_the_preview_says(kind)
    assert list(config.current.tmp_dir.glob("*.json")) == []
    require_done_once(user, job, before, version)


def test_a_worker_killed_at_any_moment_does_it_once(server):
    random.seed(7)
    user = somebody(films=2000)
    before, version = export(user), user.library_version
    everybody = {person.name for person in people.listing(user.id)}
    job = lost(confirmed(user))
    for _ in range(KILLS):
        server.start("worker")
        time.sleep(random.uniform(0, 0.5))
        server.kill("worker")
        here = {person.name for person in people.listing(user.id)}
        is_done = Job.get_by_id(job.id).state == "done"
        assert here - everybody == ({"Finn"} if is_done else set())
    server.start("worker")
    wait_for(job)
    assert User.get_by_id(user.id).library_version == version + 1
    require_done_once(user, job, before, version)
