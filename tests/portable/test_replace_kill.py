"""A replace killed with SIGKILL at any statement leaves the old library, whole.

`MM_TEST_KILLS` sets the number of kills; the suite's few are seeded.
"""

import os
import random
import signal
import subprocess
import sys

import pytest

from mm import config
from mm.models import Tombstone, User
from tests.support.libraries import (
    as_bytes,
    document,
    export,
    hard_document,
    many,
    person,
    put,
    view,
    vote,
)
from tests.support.libraries import film as one_film

pytestmark = [pytest.mark.slow, pytest.mark.processes, pytest.mark.sqlite]
KILLS = int(os.environ.get("MM_TEST_KILLS", "5"))
# Applies the replace and kills itself at the statement of this number; with 0 prints how many there
# are and takes them back.
CHILD = """
import os, signal, sys
from mm import config
from mm.database import connect, db
from mm.services import portable
url, user_id, file, last = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
config.use(config.Config())
connect(url)
plan_of = portable.read(open(file, "rb").read(), trusted=True)
count = 0
def statement(sql):
    global count
    count += 1
    if count == last:
        os.kill(os.getpid(), signal.SIGKILL)
with db.connection_context():
    plan = portable.plan(user_id, plan_of, mode="replace")
    db.connection().set_trace_callback(statement)
    with db.atomic() as transaction:
        portable.apply(plan)
        if not last:
            transaction.rollback()
            print(count)
"""


def run(user, path, last):
    url = config.current.database
    return subprocess.run(
        [sys.executable, "-c", CHILD, url, user.id, str(path), str(last)],
        capture_output=True,
        text=True,
        cwd=config.ROOT,
        check=False,
    )


def test_a_replace_killed_at_any_statement_leaves_the_old_library_whole(database, alice, tmp_path):
    random.seed(20261121)
    put(alice, many(300, 2))
    put(alice, hard_document())
    before, version = export(alice), User.get_by_id(alice.id).library_version
    wanted = document([one_film(n, recommendations=[vote("Zoe")]) for n in range(200, 400)])
    wanted |= {"people": [person("Zoe")], "views": [view("New")], "rankings": []}
    path = tmp_path / "file.json"
    path.write_bytes(as_bytes(wanted))
    counted = run(alice, path, 0)
    assert counted.returncode == 0, counted.stderr
    # Without those that took it back.
    total = int(counted.stdout) - 5
    assert total > 1000
    for last in [1, total, *(random.randint(2, total - 1) for _ in range(KILLS))]:
        killed = run(alice, path, last)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert export(alice) == before
        assert not Tombstone.select().exists()
        assert User.get_by_id(alice.id).library_version == version
    assert run(alice, path, total + 10).returncode == 0
    assert export(alice) != before
