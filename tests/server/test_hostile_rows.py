"""Whatever the rows of an archive hold, the server that was restored from it works, and can be
restored from another one."""

import json
import sqlite3
from contextlib import closing

import pytest

from mm import clock, config, maintenance, models, tasks
from mm.clock import DAY
from mm.database import db
from mm.errors import InvalidError
from mm.models import Person, User
from mm.services import health, jobs
from mm.services.library import people
from mm.services.server import archive_files, archive_limits, archives, restore
from mm.services.server.archive_format import unpacking
from tests.server.archives import members_of, write
from tests.support.libraries import many, put

pytestmark = pytest.mark.sqlite
LEFT_OUT = "Settings of the archive that this version cannot use were left out"


@pytest.fixture(autouse=True)
def many_archives(monkeypatch):
    monkeypatch.setattr(archive_limits, "MOST_AN_HOUR", 1000)


@pytest.fixture
def hostile(app, alice, tmp_path):
    """hostile(statement): an archive of this server whose rows the statement changed."""
    User.update(is_admin=True).execute()
    put(alice, many(3, 1))
    made = archives.create("manual")
    members = members_of(archive_files.path_of(made.timestamp))

    def change(*statements):
        path = tmp_path / "changed.db"
        path.write_bytes(members["database.db"])
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute("PRAGMA foreign_keys = OFF")
            for statement in statements:
                database.execute(statement)
            rows = json.loads(members["metadata.json"])["rows"]
            for table in rows:
                [(rows[table],)] = database.execute(f'SELECT COUNT(*) FROM "{table}"')
        changed = members | {"database.db": path.read_bytes()}
        return write(tmp_path / "hostile.zip", changed, {"rows": rows})

    yield change
    db.close()


def restored(path):
    db.close()
    shown = restore.at_once(path, progress=lambda text: None)
    db.close()
    assert (shown.state, maintenance.is_on()) == ("done", False)
    return shown


def works(client):
    """The worker's minute, health, the administrator's page, and the way back."""
    for part, (_what, work) in tasks.PARTS.items():
        if part not in ("queue", "lost"):
            work()
    health.check()
    db.close()
    sent = {"email": "alice", "password": "correct horse battery"}
    assert client.post("/login", data=sent, headers={"Origin": "http://localhost"}).status_code in (
        302,
        303,
    )
    for address in ("/admin", "/", "/backup", "/api/health"):
        assert client.get(address).status_code == 200, address
    archives.listing()
    made = archives.create("manual")
    db.close()
    assert restored(archive_files.path_of(made.timestamp)).safety


SETTINGS = {
    "server.archives": ["[]", '{"time": 5}', '{"keep_last": -1}', "{", ""],
    "tmdb.renewal": ["[]", '"x"', '{"language": 1}', "{"],
    "posters.mark": ["{}", "[1]", '["a", 1]', '"x"', "nonsense"],
    "posters.retry_at": ['"x"', "[]", "{"],
    "title_json.all_made": ["[]", "{"],
    "deletions_forgotten": ["[]", '{"a": "x"}', "5", "{"],
    "clock": ["x", "[]", '"9e999"', "1e999", "1e300", "Infinity", "NaN"],
    "epoch": ["x", "[]", "1e300"],
    "worker_seen_at": ['"x"', "{"],
    "tidied_at": ['"x"', "{"],
    "problem.evil": ["[]", "{}", '{"text": 5}', "{"],
    "provider.tmdb": ["[]", "5", '{"key": 1}', "{"],
    "omdb.calls": ["[]", "5", "{"],
    "rechecks.damaged": ["5", '[["../../../etc", "passwd"]]', "[5]", "{"],
    "archives.failed": ["5", "[]", '["a", "b"]', "{"],
    "archives.completed_at": ['"x"', "{"],
    "archives.tested_at": ['"x"', "{"],
    "unknown": ["{", "[" * 50_000],
}


@pytest.mark.slow
@pytest.mark.parametrize("key", SETTINGS)
def test_a_setting_of_a_wrong_kind_stops_nothing(hostile, client, key):
    for value in SETTINGS[key]:
        restored(hostile(with_setting(key, value)))
        works(client)


@pytest.mark.slow
@pytest.mark.parametrize("turn", range(max(map(len, SETTINGS.values()))))
def test_settings_of_a_wrong_kind_stop_nothing_where_the_servers_own_are_lost(
    hostile, client, turn
):
    """One of each setting at a time: which of them it was, the failure shows."""
    values = {key: odd[turn] for key, odd in SETTINGS.items() if turn < len(odd)}
    path = hostile(*(with_setting(key, value) for key, value in values.items()))
    db.close()
    db.obj.release()
    for ending in ("", "-wal", "-shm"):
        (config.current.data_dir / f"mm.db{ending}").unlink(missing_ok=True)
    restored(path)
    works(client)


def with_setting(key, value):
    return f"INSERT OR REPLACE INTO setting VALUES ('{key}', '{value}')"


def test_a_setting_that_is_left_out_is_named(hostile):
    path = hostile("INSERT INTO setting VALUES ('server.archives', '[]')")
    assert any(LEFT_OUT in text for text in unpacking.check(path).warnings)
    assert any("server.archives" in text for text in restored(path).warnings)


JOB = (
    "INSERT INTO job (id, kind, state, done, total, message, params, starts, created_at, result, "
    "user_id) VALUES "
)


@pytest.mark.parametrize(
    "values",
    [
        "('x', 'archive', 'queued', 0, 0, '', '{', 0, 1e10, NULL, NULL)",
        "('x', 'archive', 'running', 0, 0, '', '[]', 0, 1e10, NULL, NULL)",
        "('x', 'nonsense', 'queued', 0, 0, '', '{}', 0, 1e10, NULL, NULL)",
        "('x', 'nonsense', 'RUNNING', 0, 0, '', '{', 0, 1e10, '{', NULL)",
        "('../../x', 'backup', 'done', 0, 0, '', '{', 0, 1e10, '{', (SELECT id FROM user))",
        "('x', 'import', 'done', 'a', x'ff', x'ff', '5', 0, 1e10, '5', (SELECT id FROM user))",
        "('x', 'backup', 'failed', 0, 0, CAST(x'ff' AS TEXT), '5', 0, 1e10, '5', "
        "(SELECT id FROM user))",
    ],
)
def test_a_job_that_is_none_stops_nothing(hostile, client, values):
    restored(hostile(JOB + values))
    works(client)
    db.connect(reuse_if_open=True)
    assert jobs.active_of_server() is None


@pytest.mark.parametrize(
    "change",
    [
        "id = '../../../tmp/evil'",
        "id = ''",
        "id = x'00'",
        "id = 'ABCDEF00-0000-4000-8000-000000000000'",
        "username = x'ff'",
        "email = CAST(x'ff' AS TEXT)",
        "created_at = 'yesterday'",
        "token_version = 'x'",
        "library_version = 'x'",
        "is_admin = 'x'",
        "keep_daily = x'00'",
    ],
)
def test_an_account_that_is_none_is_refused(hostile, change):
    """Its id names the folder of its backups, and its log-in must work."""
    path = hostile(
        "DELETE FROM movie",
        "DELETE FROM person",
        "DELETE FROM user_setting",
        "DELETE FROM tombstone",
        "DELETE FROM job",
        f"UPDATE user SET {change}",
    )
    with pytest.raises(InvalidError, match=r"^Backup file is corrupted: "):
        unpacking.check(path)


@pytest.mark.parametrize("imdb_id", ["../3/configuration?x=", "tt1/../..", "", "tt 1", "tt1\n"])
def test_a_film_whose_imdb_id_is_none_is_refused(hostile, imdb_id):
    """It becomes part of addresses that are asked with the server's keys."""
    first = "(SELECT MIN(imdb_id) FROM title)"
    path = hostile(
        *(f"DELETE FROM {table}" for table in ("watch", "recommendation", "movie", "title_json")),
        f"UPDATE title SET imdb_id = '{imdb_id}' WHERE imdb_id = {first}",
    )
    with pytest.raises(InvalidError, match="IMDb"):
        unpacking.check(path)


@pytest.mark.parametrize(
    "values", ["'../account', 550", "'movie', '550/../../3'", "'movie', 0", "x'ff', 550"]
)
def test_a_number_at_tmdb_that_is_none_is_refused(hostile, values):
    kind, number = values.split(", ")
    path = hostile(
        "INSERT INTO tmdb_link (imdb_id, tmdb_id, media_type) "
        f"SELECT MIN(imdb_id), {number}, {kind} FROM title"
    )
    with pytest.raises(InvalidError, match="number at TMDB"):
        unpacking.check(path)


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("UPDATE movie SET note = x'ff'", "movie"),
        ("UPDATE movie SET date_added = 'yesterday'", "movie"),
        ("UPDATE title SET genres = '{'", "title"),
        ("UPDATE title SET genres = '{\"a\": 1}'", "title"),
        ("UPDATE title SET title = CAST(x'ff' AS TEXT)", "title"),
        ("UPDATE person SET name = x'00'", "person"),
        ("UPDATE person SET updated_at = 'x'", "person"),
    ],
)
def test_values_of_a_wrong_kind_are_named_before_they_are_restored(
    hostile, client, statement, table
):
    path = hostile(statement)
    assert any(f"table {table}" in text for text in unpacking.check(path).warnings)
    restored(path)


def test_what_is_right_has_no_warning(hostile):
    assert unpacking.check(hostile("SELECT 1")).warnings == []


@pytest.mark.parametrize("number", ["9223372036854775807", "'x'", "-5", "1e300"])
def test_the_ids_of_people_do_not_end(hostile, alice, number):
    """SQLite gives no id beyond the largest, and each restore keeps how far they went."""
    for statement in (
        f"UPDATE sqlite_sequence SET seq = {number} WHERE name = 'person'",
        f"INSERT INTO sqlite_sequence (name, seq) VALUES ('person', {number})",
    ):
        path = hostile(statement)
        for _ in range(2):
            restored(path)
            with db.connection_context():
                people.create(User.get(), "Dora")
                assert Person.select().where(Person.name == "Dora").get().id < 2**40


@pytest.mark.parametrize("clock_value", ["1e300", "4e9", "Infinity", "NaN", "-1"])
def test_the_clock_of_phones_goes_on(hostile, clock_value):
    """From a time that cannot be, it would not: each row would have the same mark for ever."""
    path = hostile(f"INSERT OR REPLACE INTO setting VALUES ('clock', '{clock_value}')")
    restored(path)
    with db.atomic():
        first, second = models.next_update(db.obj), models.next_update(db.obj)
    assert first < second < clock.now() + DAY
