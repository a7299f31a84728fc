"""Web and worker killed with SIGKILL in the middle of archives and restores: after the next start
the data is what it was before or what it was to become, whole, and the server says which.

`MM_TEST_KILLS` sets the number of kills; the suite's few are seeded.
"""

import json
import os
import random
import subprocess
import time

import pytest

from mm import config
from mm.database import db
from mm.services import accounts
from tests.support import whole_server
from tests.support.processes import BIN, running
from tests.support.whole_server import PASSWORD, Api, world_of

pytestmark = [pytest.mark.slow, pytest.mark.processes, pytest.mark.timeout(3600)]
KILLS = int(os.environ.get("MM_TEST_KILLS", "4"))
FILMS = 3000
RECOVERY_SECONDS = 60
# Of the time that the work takes where nobody kills it, so that some kills come after its end.
LATEST_KILL = 1.2
START_SECONDS = 1.5


@pytest.fixture
def server(tmp_path):
    with running(tmp_path / "data") as server:
        with db.connection_context():
            ann = accounts.create("ann@example.org", "ann", PASSWORD, is_admin=True)
            whole_server.make_generations([ann], FILMS)
        server.ann = ann
        yield server


def kill(server):
    for name in ("web", "worker"):
        server.kill(name)


def start_again(server):
    """As `make run` does; what the upgrade said."""
    upgraded = server.flask("upgrade")
    assert upgraded.returncode == 0, upgraded.stderr + upgraded.stdout
    server.start("web", "worker")
    return upgraded.stdout + upgraded.stderr


def start_and_kill(server):
    """A start that is killed as well, while it takes up what was left."""
    process = start_upgrade(server.environment)
    time.sleep(random.uniform(0, START_SECONDS))
    process.kill()
    process.wait()


def start_upgrade(environment):
    return subprocess.Popen(
        [BIN / "flask", "--app", "mm", "upgrade"],
        cwd=config.ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def made_an_hour_ago(server):
    """Or there would be too many in an hour."""
    for path in (server.data_dir / "backups/server").glob("*.meta.json"):
        sidecar = json.loads(path.read_text())
        sidecar["created_at"] -= 3600
        path.write_text(json.dumps(sidecar))


def wait_until_done(server):
    """Until what was interrupted is done again or given up."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    while is_at_work(server):
        assert time.monotonic() < deadline, (server.query(ACTIVE), is_at_work(server))
        time.sleep(0.1)


ACTIVE = """SELECT kind, state, message FROM job WHERE state IN ('queued', 'running')
            AND kind IN ('archive', 'archive-check', 'server-restore')"""


def is_at_work(server):
    folder = server.data_dir
    return (folder / "maintenance").exists() or server.query(ACTIVE) != []


def require_whole(server):
    assert whole_server.fault_of(server.data_dir / "mm.db") == "ok"
    assert not (server.data_dir / "maintenance").exists()
    deadline = time.monotonic() + 10
    while left := whole_server.left_in_tmp(server.data_dir):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    assert whole_server.drafts_in(server.data_dir / "backups/server") == []
    for entry in Api(server.url, "ann").archives():
        assert entry["state"] == "verified", entry


def test_an_archive_that_is_killed_leaves_nothing_half_and_costs_no_data(server):
    random.seed(20260301)
    world = world_of(server.data_dir / "mm.db")
    start_again(server)
    api = Api(server.url, "ann")
    seconds = time_of(api.archive)
    for _ in range(share_of(KILLS)):
        Api(server.url, "ann").ask("POST", "/v1/system/backup", 202, json={})
        time.sleep(random.uniform(0, seconds * LATEST_KILL))
        kill(server)
        start_again(server)
        wait_until_done(server)
        require_whole(server)
        assert world_of(server.data_dir / "mm.db") == world
        made_an_hour_ago(server)


def test_a_restore_that_is_killed_leaves_the_old_data_or_the_new_and_says_which(server):
    random.seed(20260302)
    start_again(server)
    timestamps, worlds = [], []
    for generation in (1, 2):
        with db.connection_context():
            whole_server.write_generation([server.ann], generation)
        timestamps.append(Api(server.url, "ann").archive()["timestamp"])
        worlds.append(world_of(server.data_dir / "mm.db"))
    assert worlds[0] != worlds[1]
    accepted = Api(server.url, "ann").restore(timestamps[1])
    seconds = time_of(lambda: whole_server.outcome(accepted, server.url))
    now = 1
    for number in range(share_of(KILLS)):
        wanted = 1 - now
        accepted = Api(server.url, "ann").restore(timestamps[wanted])
        time.sleep(random.uniform(0, seconds * LATEST_KILL))
        kill(server)
        if number % 2:
            start_and_kill(server)
        start_again(server)
        wait_until_done(server)
        said = whole_server.outcome(accepted, server.url)
        assert said["message"], said
        found = world_of(server.data_dir / "mm.db")
        assert found == worlds[wanted if said["state"] == "done" else now], said
        now = wanted if said["state"] == "done" else now
        require_whole(server)
        made_an_hour_ago(server)


def time_of(work):
    started = time.monotonic()
    work()
    return time.monotonic() - started


def share_of(kills):
    """Of each of the two tests."""
    return max(1, kills // 2)
