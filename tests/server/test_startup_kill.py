"""`kill -9` inside an upgrade, and inside the way back: the old database or the new one, whole, and
the copy too. MM_TEST_KILLS says how often."""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from mm import config, schema
from mm.database import connect, db
from mm.services.server import databases, startup_copies
from tests.support import older, whole_server
from tests.test_upgrade import GROW

pytestmark = [pytest.mark.slow, pytest.mark.processes]
KILLS = int(os.environ.get("MM_TEST_KILLS", "1"))
FILMS = 4_000
FIRST = "0001_first_tables"
# Says when the command itself begins: starting Python takes longer than most of it.
COMMAND = """
import sys
from mm import create_app
app = create_app()
print("begun", flush=True)
app.cli(sys.argv[1:])
"""


@pytest.fixture
def folder(tmp_path):
    settings = config.use(config.Config(data_dir=tmp_path / "data"))
    config.prepare(settings)
    connect(settings.database)
    yield settings.data_dir
    db.obj.release()


@pytest.fixture
def old(folder, tmp_path):
    """A database of 0.1.0 with FILMS films more, as a file to put in place."""
    path = tmp_path / "old.db"
    shutil.copyfile(older.database_of("0.1.0"), path)
    with closing(sqlite3.connect(path)) as database:
        database.executescript(GROW.format(films=FILMS))
        database.commit()
    return path


def begin(folder, *arguments):
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=config.ROOT,
        env={"MM_DATA_DIR": str(folder), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "begun\n"
    return process


def seconds_of(folder, *arguments):
    """How long it takes from its beginning when nobody kills it."""
    process = begin(folder, *arguments)
    begun = time.monotonic()
    process.communicate()
    assert process.returncode == 0
    return time.monotonic() - begun


def kill_within(folder, seconds, *arguments):
    process = begin(folder, *arguments)
    time.sleep(random.uniform(0, seconds))
    process.send_signal(signal.SIGKILL)
    process.communicate()


def put_in_place(old, folder):
    for path in startup_copies.parts_of(folder / "mm.db"):
        path.unlink()
    shutil.rmtree(config.current.startup_dir, ignore_errors=True)
    shutil.copyfile(old, folder / "mm.db")


def integrity(path):
    """As who starts next would find it."""
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = database.execute("SELECT name FROM schema_migration ORDER BY name").fetchall()
        films = database.execute("SELECT COUNT(*) FROM movie").fetchone()[0]
        return [name for (name,) in rows], films


def rows_but_moments(path):
    """Without when each migration was applied."""
    rows = whole_server.rows_of(path)
    rows["schema_migration"] = [json.loads(row)["name"] for row in rows["schema_migration"]]
    return rows


def test_an_upgrade_killed_at_any_moment_can_be_repeated_and_its_copy_is_whole(folder, old):
    put_in_place(old, folder)
    before, films = older.tables(old), integrity(old)[1]
    seconds = seconds_of(folder, "upgrade")
    never_killed = rows_but_moments(folder / "mm.db")
    for _ in range(KILLS):
        put_in_place(old, folder)
        kill_within(folder, seconds, "upgrade")
        applied, found = integrity(folder / "mm.db")
        assert applied[0] == FIRST
        assert found == films
        copies = startup_copies.listing()
        # No migration begins before there is a copy.
        assert copies or applied == [FIRST]
        seconds_of(folder, "upgrade")
        for copy in startup_copies.listing():
            assert databases.fault_of(copy.path) is None
        first = startup_copies.listing()[-1]
        assert first.schema == "0001"
        assert older.tables(first.path) == before
        applied, found = integrity(folder / "mm.db")
        assert (len(applied), found) == (len(list(schema.MIGRATIONS.glob("0*.py"))), films)
        assert rows_but_moments(folder / "mm.db") == never_killed
        left = [path.name for path in config.current.startup_dir.iterdir() if path.name[0] == "."]
        assert left == []


def test_a_way_back_killed_at_any_moment_leaves_one_of_the_two_databases(folder, old, tmp_path):
    put_in_place(old, folder)
    films = integrity(old)[1]
    seconds_of(folder, "upgrade")
    new = tmp_path / "new.db"
    databases.copy(new)
    copy = startup_copies.listing()[-1].path
    shutil.copyfile(copy, tmp_path / copy.name)
    go_back = ("restore-startup", "--yes", copy.name)
    seconds = seconds_of(folder, *go_back)
    assert integrity(folder / "mm.db") == ([FIRST], films)
    for _ in range(KILLS):
        put_in_place(new, folder)
        copy.parent.mkdir()
        shutil.copyfile(tmp_path / copy.name, copy)
        kill_within(folder, seconds, *go_back)
        applied, found = integrity(folder / "mm.db")
        assert applied in ([FIRST], [name.stem for name in sorted(schema.MIGRATIONS.glob("0*.py"))])
        assert found == films
        seconds_of(folder, *go_back)
        assert integrity(folder / "mm.db") == ([FIRST], films)
