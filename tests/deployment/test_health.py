"""What /api/health answers: from a database that is only busy to one that is damaged."""

import contextlib
import shutil
import sqlite3
import threading

import pytest

from mm import disk, models
from mm.database import BUSY_SECONDS, db
from mm.errors import UnavailableError
from mm.models import Job, User
from mm.services import accounts, health, heartbeat, problems
from mm.services.backup import backups, recheck
from tests.support.libraries import many, put
from tests.support.neighbours import somebody_writes

pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture(autouse=True)
def fresh_probe(monkeypatch):
    monkeypatch.setattr(health, "_last_probe", None)


@pytest.fixture
def file(settings):
    return settings.data_dir / "mm.db"


def named():
    heartbeat.beat()
    return health.check()["problems"]


@pytest.mark.sqlite
def test_asking_writes_nothing(client, file):
    with contextlib.closing(sqlite3.connect(file)) as watching:
        before = watching.execute("pragma data_version").fetchone(), file.read_bytes()
        assert client.get("/api/health").status_code == 200
        assert (watching.execute("pragma data_version").fetchone(), file.read_bytes()) == before


def test_a_database_busy_with_a_long_write_is_no_failure(client):
    heartbeat.beat()
    with somebody_writes():
        answer = client.get("/api/health")
    assert (answer.status_code, answer.json["status"]) == (200, "healthy")


def test_many_who_ask_at_once_share_one_look(app, monkeypatch):
    looks = []
    wait = health.waiting_at_most
    monkeypatch.setattr(health, "waiting_at_most", lambda *args: (looks.append(1), wait(*args))[1])
    with somebody_writes():
        ask = app.test_client().get
        threads = [threading.Thread(target=ask, args=("/api/health",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(looks) == 1


def test_a_wait_for_another_write_is_as_long_as_before_once_health_was_asked():
    on_sqlite = isinstance(db.obj, models.SqliteDatabase)
    ask = "pragma busy_timeout" if on_sqlite else "show lock_timeout"
    health.check()
    waits = BUSY_SECONDS * 1000 if on_sqlite else f"{BUSY_SECONDS}s"
    assert db.execute_sql(ask).fetchone() == (waits,)


@pytest.mark.sqlite
def test_a_database_that_cannot_be_read_is_a_failure(client, file):
    file.write_bytes(b"not a database" * 1000)
    assert client.get("/api/health").status_code == 503


def test_a_full_disk_is_a_failure_and_a_nearly_full_one_a_problem(monkeypatch):
    monkeypatch.setattr(disk, "free_bytes", lambda _: 42_300_000)
    assert named() == ["Only 42.3 MB are free in the data folder. Make room for backups."]
    monkeypatch.setattr(health, "_last_probe", None)
    monkeypatch.setattr(disk, "free_bytes", lambda _: 4096)
    with pytest.raises(UnavailableError, match="full"):
        health.check()


def test_an_empty_database_beside_backups_is_named_and_logged(alice, lines, settings):
    put(alice, many(2))
    backups.create(alice)
    assert named() == []
    accounts.remove(alice)
    [problem] = named()
    assert problem.startswith("The database holds no account, but there are backups of 1 account.")
    assert health.lost_accounts() == problem
    assert "WARNING database.empty_beside_backups folders=1" in lines()[-1]
    shutil.rmtree(settings.backups_dir / alice.id)
    assert named() == []


def test_a_new_server_without_accounts_is_healthy():
    assert named() == []
    assert health.lost_accounts() is None


def check_tonight():
    return recheck.run(Job.create(kind="recheck"))


@pytest.fixture
def damaged_database(file):
    """One page of a table is overwritten, as a bad disk does; the rest can be read."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("create table t (a)")
        database.execute("insert into t values (1), (2)")
        [(page,)] = database.execute("select rootpage from sqlite_schema where name = 't'")
        [(size,)] = database.execute("pragma page_size")
    with file.open("r+b") as raw:
        raw.seek((page - 1) * size)
        raw.write(b"\xff" * 100)


@pytest.mark.sqlite
def test_a_damaged_database_is_found_in_the_night_and_named(damaged_database, lines):
    assert named() == []
    check_tonight()
    assert named() == [recheck.DATABASE_DAMAGED]
    [line] = [line for line in lines() if " ERROR database.damaged " in line]
    assert "faults=" in line


@pytest.mark.sqlite
def test_a_whole_database_ends_the_problem():
    problems.put("database.damaged", recheck.DATABASE_DAMAGED)
    check_tonight()
    assert named() == []


def test_problems_are_named_until_they_are_over():
    problems.put("b", "Second.")
    problems.put("a", "First.")
    assert named() == ["First.", "Second."]
    problems.clear("a")
    assert named() == ["Second."]


def test_accounts_without_a_recent_backup_are_counted(frozen_clock, alice, bob):
    User.update(backup_enabled=True).execute()
    frozen_clock.move(3 * 86400)
    assert named() == ["Automatic backups of 2 accounts are older than two days."]


def test_the_upgrade_before_a_start_says_that_backups_have_no_account(app, alice):
    backups.create(alice)
    accounts.remove(alice)
    db.close()
    said = app.test_cli_runner().invoke(args=["upgrade"]).output
    assert "The database holds no account, but there are backups of 1 account." in said
