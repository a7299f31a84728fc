"""A worker killed with SIGKILL while it fetches, builds and swaps: after the next start the
catalogue is whole, and nothing is left behind.

`MM_TEST_KILLS` sets the number of kills; the suite's few are seeded.
"""

import os
import random
import time

import pytest

from mm import config
from mm.database import db
from mm.services.catalogue import checking, store, updates
from tests.support import datasets as standins
from tests.support.processes import running

pytestmark = [pytest.mark.slow, pytest.mark.processes, pytest.mark.timeout(3600)]
KILLS = int(os.environ.get("MM_TEST_KILLS", "2"))
FILMS = 40_000
RECOVERY_SECONDS = 120
# Of the time that an update takes where nobody kills it, so that some kills come after its end.
LATEST_KILL = 1.2
ACTIVE = "SELECT state FROM job WHERE kind = 'catalogue' AND state IN ('queued', 'running')"


def many_rows(generation):
    """The stand-in's titles, and as many that make the work take its time."""
    made = [
        standins.title(
            f"tt{8_000_000 + number:07}",
            f"Made Up {number} Part {generation}",
            1950 + number % 70,
            rating=5.5,
            votes=10 + number % 900,
        )
        for number in range(FILMS)
    ]
    return standins.rows_of([*standins._titles(), *made])


@pytest.fixture
def host():
    with standins.running() as host:
        host.put(many_rows(0))
        yield host


@pytest.fixture
def server(tmp_path, host):
    with running(tmp_path / "data", IMDB_DATASETS_URL=host.url) as server:
        yield server


def title_in_use():
    """The catalogue is whole whenever it is there."""
    if not store.is_there():
        return None
    checking.check(config.current.catalogue_file, None)
    with store.reading() as connection:
        return store.find(connection, ["tt8000007"])["tt8000007"].title


def wait_until_done(server):
    deadline = time.monotonic() + RECOVERY_SECONDS
    while server.query(ACTIVE) or not store.is_there():
        assert time.monotonic() < deadline, server.query("SELECT state, message FROM job")
        time.sleep(0.1)


def left(server):
    found = [path.name for path in server.data_dir.glob("catalogue.db?*")]
    folder = server.data_dir / "datasets"
    return found + [path.name for path in folder.glob("*")]


def require_nothing_left(server):
    """A tick deletes what is left."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    while left(server):
        assert time.monotonic() < deadline, left(server)
        time.sleep(0.2)


def test_a_worker_that_is_killed_leaves_the_old_catalogue_or_the_new_and_nothing_else(server, host):
    random.seed(20260307)
    with db.connection_context():
        updates.choose(akas=False, directors=False, adult=False)
    started = time.monotonic()
    server.start("worker")
    wait_until_done(server)
    seconds = time.monotonic() - started
    for generation in range(1, KILLS + 1):
        host.put(many_rows(generation))
        before = title_in_use()
        server.stop("worker")
        with db.connection_context():
            updates.start()
        server.start("worker")
        time.sleep(random.uniform(0, min(seconds * LATEST_KILL, 6)))
        server.kill("worker")
        after = title_in_use()
        assert after in (before, f"Made Up 7 Part {generation}")
        server.start("worker")
        wait_until_done(server)
        require_nothing_left(server)
        assert title_in_use() == f"Made Up 7 Part {generation}"
