"""What PostgreSQL needs of us beyond what tests/support/postgres.py repeats: its schema, its locks,
its way to wait, its driver, and both processes on it."""

import re
import sys
import threading
import time

import pytest
import requests
from peewee import DatabaseError, OperationalError

from mm import config, locks, models, schema
from mm.database import (
    connect,
    db,
    insert_rows,
    is_busy,
    separate_connection,
    snapshot,
    waiting_at_most,
)
from mm.models import Job, Person, Setting
from mm.services import accounts
from mm.services.backup import nightly
from mm.services.library import people
from mm.services.server import all_users
from mm.services.server.first_run import all_users_import
from tests.conftest import PASSWORD
from tests.support import postgres
from tests.support.libraries import many, put
from tests.support.neighbours import somebody_writes
from tests.support.processes import running

needs_postgres = pytest.mark.postgres


@pytest.fixture
def engine():
    return "postgres"


@pytest.fixture
def new_url():
    """Of an empty database, without tables."""
    postgres.require()
    name = postgres.create()
    yield postgres.url_of(name)
    if not db.is_closed():
        db.close()
    postgres.drop(name)


# Its schema.


def shape(table):
    name = table._meta.table_name
    columns = {(column.name, column.data_type, column.null) for column in db.get_columns(name)}
    indexes = {(tuple(index.columns), index.unique) for index in db.get_indexes(name)}
    keys = {(key.column, key.dest_table, key.dest_column) for key in db.get_foreign_keys(name)}
    return columns, indexes, keys


@needs_postgres
def test_the_migrations_make_what_the_models_say(new_url):
    connect(new_url)
    assert schema.upgrade() != []
    assert schema.upgrade() == []
    schema.require_current()
    with db.connection_context():
        migrated = {table: shape(table) for table in models.TABLES}
        db.drop_tables(models.TABLES)
        db.create_tables(models.TABLES)
        assert migrated == {table: shape(table) for table in models.TABLES}


@needs_postgres
def test_a_failing_migration_leaves_the_database_as_it_was(new_url, tmp_path, monkeypatch):
    connect(new_url)
    bad = "def up(migrator, db):\n    db.execute_sql('CREATE TABLE half (a int)')\n    1 / 0\n"
    (tmp_path / "0001_bad.py").write_text(bad)
    monkeypatch.setattr(schema, "MIGRATIONS", tmp_path)
    with pytest.raises(ZeroDivisionError):
        schema.upgrade()
    with db.connection_context():
        assert "half" not in db.get_tables()


@needs_postgres
def test_upgrades_at_once_make_one_database(new_url):
    connect(new_url)
    made, threads = [], []
    for _ in range(3):
        threads.append(threading.Thread(target=lambda: made.append(schema.upgrade())))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, made)) == [0, 0, len(list(schema.MIGRATIONS.glob("0*.py")))]


# One writes at a time, as on SQLite.


@needs_postgres
def test_two_who_look_before_they_write_do_not_both_find_nothing(database, alice):
    """Two requests count what is there, and write the next number."""
    together = threading.Barrier(8)

    def count_up():
        with db.connection_context():
            together.wait()
            with db.atomic():
                models.put_setting("count", (models.setting("count") or 0) + 1)

    threads = [threading.Thread(target=count_up) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert models.setting("count") == 8


@needs_postgres
def test_reads_go_on_beside_a_write(database, alice):
    with somebody_writes(), snapshot(db.obj):
        assert models.User.select().count() == 1


@needs_postgres
def test_a_snapshot_sees_one_moment(database, alice):
    with snapshot(db.obj):
        before = Setting.select().count()
        with separate_connection() as other, other.atomic():
            fields = [Setting.key, Setting.value]
            insert_rows(other, fields, [("meanwhile", "1")])
        assert Setting.select().count() == before
    assert Setting.select().count() == before + 1


@needs_postgres
def test_who_waits_too_long_for_anothers_write_gives_up_and_can_go_on(database, alice):
    with somebody_writes():
        with (
            pytest.raises(OperationalError) as given_up,
            waiting_at_most(db.obj, 0.1),
            db.atomic(),
        ):
            raise AssertionError("it did not wait")
        assert is_busy(given_up.value)
        assert models.User.select().count() == 1
    people.create(alice.id, "Eve")


@needs_postgres
def test_many_rows_that_fail_are_an_error_of_the_database_like_any_other(database, alice):
    fields = [Setting.key, Setting.value]
    with pytest.raises(DatabaseError):
        insert_rows(db.obj, fields, [("a", "1"), ("a", "2")])
    assert Setting.select().where(Setting.key == "a").count() in (0, 1)


# Its locks.


@needs_postgres
def test_a_lock_outlives_the_connection_of_the_thread(app):
    with locks.hold("work"):
        with db.connection_context():
            assert locks.is_held("work")
        with pytest.raises(locks.BusyError), locks.hold("work"):
            pass
    assert not locks.is_held("work")


@needs_postgres
def test_a_lock_whose_connection_is_lost_ends_without_an_error(database):
    kill = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
    with locks.hold("work"):
        db.execute_sql(kill)
    assert not locks.is_held("work")


# Its driver, which is an extra.


@pytest.mark.parametrize("name", ["DATABASE_URL", "HUEY_URL"])
@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_without_its_driver_the_start_says_what_to_install(monkeypatch, name, scheme):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(config.ConfigError) as refused:
        config.from_environ({name: f"{scheme}://movies:secret@db.example/movies"})
    assert str(refused.value) == (
        f'{name} names PostgreSQL, which needs psycopg: .venv/bin/pip install "{config.PSYCOPG}"'
    )


def test_the_driver_it_names_is_the_one_that_is_tested():
    assert config.PSYCOPG in (config.ROOT / "requirements.txt").read_text().splitlines()
    assert config.PSYCOPG in (config.ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", ["DATABASE_URL", "HUEY_URL"])
def test_an_address_of_another_engine_is_refused_without_naming_its_password(name):
    with pytest.raises(config.ConfigError, match=f"{name} begins with mysql://") as refused:
        config.from_environ({name: "mysql://movies:secret@db.example/movies"})
    assert "secret" not in str(refused.value)


def test_an_ordinary_address_is_read_as_libpq_reads_it():
    before = db.obj
    try:
        database = connect("postgresql://mo%40vies:p%2Fw@db.example:5433/movies")
        expected = {"user": "mo@vies", "password": "p/w", "host": "db.example", "port": 5433}
        assert (database.database, database.connect_params) == ("movies", expected)
    finally:
        db.initialize(before)


# Both processes on it.


FILM = "tt0078748"


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "It did not happen in time."
        time.sleep(0.05)
    return found


@pytest.fixture
def browser():
    with requests.Session() as browser:
        browser.headers["Sec-Fetch-Site"] = "same-origin"
        yield browser


@pytest.mark.processes
@needs_postgres
def test_server_and_worker_on_it_back_up_and_restore(new_url, tmp_path, browser):
    with running(tmp_path / "data", DATABASE_URL=new_url, HUEY_URL=new_url) as server:
        alice = accounts.create("alice@example.org", "alice", PASSWORD)
        db.close()
        server.start("web", "worker")

        def post(path, **data):
            answer = browser.post(server.url + path, data=data, timeout=30)
            assert answer.status_code in (200, 201), answer.text
            return answer

        post("/login", email="alice@example.org", password=PASSWORD)
        token = requests.post(
            f"{server.url}/api/auth/login",
            json={"email": "alice@example.org", "password": PASSWORD},
            timeout=30,
        ).json()["access_token"]
        browser.headers["Authorization"] = f"Bearer {token}"
        answer = browser.post(f"{server.url}/api/movies", json={"imdb_id": FILM}, timeout=30)
        assert answer.status_code == 201
        post("/backup/now")
        states = "SELECT state FROM job WHERE kind = 'backup'"
        wait_for(lambda: server.query(states) == [("done",)])
        assert server.query("SELECT count(*) FROM huey_task") == [(0,)]
        [made] = browser.get(f"{server.url}/api/backup/list", timeout=30).json()["backups"]
        assert (made["counts"]["movies"], made["state"]) == (1, "verified")
        server.query("DELETE FROM movie")
        assert post(f"/api/backup/restore/{made['filename']}").status_code == 200
        [(user_id, film)] = server.query("SELECT user_id, imdb_id FROM movie")
        assert (user_id, film) == (alice.id, FILM)
        health = browser.get(f"{server.url}/api/health", timeout=30).json()
        assert (health["status"], health["worker"]) == ("healthy", "ok")
        assert not list(server.data_dir.glob("*.db*"))


@pytest.mark.processes
@needs_postgres
def test_two_workers_at_once_make_one_job_each_and_do_it_once(new_url, tmp_path):
    with running(tmp_path / "data", DATABASE_URL=new_url, HUEY_URL=new_url) as server:
        with db.connection_context():
            for name in "abcdef":
                user = accounts.create(f"{name}@example.org", name, PASSWORD)
                put(user, many(20))
                nightly.enable(user, True)
            Job.delete().execute()
        server.start("worker")
        server.processes["other"] = server.processes.pop("worker")
        server.start("worker")
        unfinished = "SELECT count(*) FROM job WHERE state NOT IN ('done', 'failed')"
        of_a_kind = "SELECT kind, state, sum(starts), count(*) FROM job GROUP BY kind, state"
        wait_for(lambda: server.query("SELECT count(*) FROM job WHERE kind = 'backup'") == [(6,)])
        wait_for(lambda: server.query(unfinished) == [(0,)])
        found = {kind: rest for kind, *rest in server.query(of_a_kind)}
        assert found["backup"] == ["done", 6, 6]
        assert all(rest == ["done", 1, 1] for kind, rest in found.items() if kind != "backup")


@needs_postgres
def test_everybody_comes_back_from_an_export_of_all_libraries(database, bob, carol, tmp_path):
    put(bob, many(30, votes_each=1))
    put(carol, many(20, start=20))
    path, again = tmp_path / "all.json", tmp_path / "again.json"
    all_users.write(path)
    postgres.empty(db.obj)
    taken = all_users_import.take_over(path)
    assert [(user.films, user.problems) for user in taken.users] == [(30, []), (20, [])]
    assert Person.select().order_by(Person.id).first().id > models.epoch() > 0
    all_users.write(again)
    before, after = (
        re.sub(rb'"exported_at":[0-9.]+', b"", each.read_bytes()) for each in (path, again)
    )
    assert after == before
    assert accounts.log_in("bob", PASSWORD).id == bob.id
