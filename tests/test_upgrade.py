"""Databases of older versions come to the current schema with everything that was in them.

On PostgreSQL their rows are copied into the tables that the same migrations make there.
"""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace

import pytest

from mm import clock, config, models, schema
from mm.database import connect, db
from mm.models import CustomList, ListFilm, Movie, SavedView, Setting, UndoStep, User, Watch
from mm.services import portable
from mm.services.sync import feed
from tests.support import older, postgres
from tests.test_schema import shape

# The migration that changes what older versions wrote, and those after it.
THIRD = "0003_notes_and_several_lists"
LAST = "0007_list_shares"
JSON_COLUMNS = {"filters", "genres", "directors", "cast", "tmdb_body", "omdb_body", "params"}
PAGES = (
    "/",
    "/?status=all&filters=1",
    "/?list=list-1",
    *(f"/movies/tt{number:07d}" for number in (1, 4, 9, 10)),
    "/people",
    "/lists",
    "/add",
    "/account",
    "/backup",
    "/api/movies",
    "/api/movies/tt0000005",
    "/api/people",
    "/api/lists",
    "/api/ranking",
    "/api/sync/changes?since=0",
    "/api/backup/export",
    "/api/backup/list",
)
FILMS = 20_000
# Films like Ann's first, on her first list and watched once.
GROW = """
CREATE TEMP TABLE numbers AS WITH RECURSIVE counted (n) AS
    (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < {films}) SELECT n FROM counted;
INSERT INTO title (imdb_id, genres, directors, "cast", search_text, tmdb_state, tmdb_attempts,
    omdb_state, omdb_attempts)
    SELECT 'tt9' || printf('%06d', n), '[]', '[]', '[]', '', 'stub', 0, 'stub', 0 FROM numbers;
INSERT INTO movie (user_id, imdb_id, status, custom_list_pk, date_added, last_modified, updated_at)
    SELECT user_id, 'tt9' || printf('%06d', n), 'custom', pk, 1.6e9 - n, 1.6e9, updated_at
    FROM numbers, custom_list WHERE name = 'Favourites';
INSERT INTO watch (movie_id, date_watched, my_rating)
    SELECT id, 1.5e9, 7.5 FROM movie WHERE imdb_id LIKE 'tt9%';
"""
# Runs the upgrade, and is killed right after the first statement that begins so.
UPGRADE_KILLED_AFTER = """
import os, signal, sys
from mm import config, schema
from mm.database import connect, db

connect(config.use(config.from_environ()).database)
execute_sql = type(db.obj).execute_sql

def execute_and_be_killed(self, sql, *values, **more):
    result = execute_sql(self, sql, *values, **more)
    if sql.lstrip().startswith(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    return result

type(db.obj).execute_sql = execute_and_be_killed
schema.upgrade()
"""


@pytest.fixture
def folder(tmp_path):
    settings = config.use(config.Config(data_dir=tmp_path / "data"))
    config.prepare(settings)
    yield settings.data_dir
    if not db.is_closed():
        db.close()


@pytest.fixture(params=older.VERSIONS)
def version(request):
    return request.param


@pytest.fixture
def old(version, engine, folder, monkeypatch):
    """The database of an older version, at its own schema; {table: (columns, rows)} of it."""
    tables = older.tables(older.database_of(version))
    if engine == "sqlite":
        shutil.copyfile(older.database_of(version), folder / "mm.db")
        connect(config.current.database)
        yield tables
        return
    postgres.require()
    name = postgres.create()
    try:
        connect(config.use(replace(config.current, database_url=postgres.url_of(name))).database)
        with monkeypatch.context() as then:
            then.setattr(schema, "MIGRATIONS", migrations_until(version, folder))
            schema.upgrade()
        with db.connection_context():
            copy_rows(tables)
        yield tables
    finally:
        db.close()
        postgres.drop(name)


def migrations_until(version, folder):
    """Those that the version had."""
    with closing(sqlite3.connect(older.database_of(version))) as database:
        names = [name for (name,) in database.execute("SELECT name FROM schema_migration")]
    target = folder / "migrations"
    target.mkdir()
    for name in names:
        shutil.copy(schema.MIGRATIONS / f"{name}.py", target)
    return target


def copy_rows(tables):
    """Into the empty tables of PostgreSQL, parents before children."""
    order = [
        table for table in ("user", "title", "custom_list", "movie", "person") if table in tables
    ]
    for name in (*order, *(table for table in tables if table not in order)):
        columns, rows = tables[name]
        types = {column.name: column.data_type for column in db.get_columns(name)}
        marks = ", ".join(["%s"] * len(columns))
        quoted = ", ".join(f'"{column}"' for column in columns)
        for row in rows:
            values = [
                bool(value) if types[column] == "boolean" else value
                for column, value in zip(columns, row, strict=True)
            ]
            db.execute_sql(f'INSERT INTO "{name}" ({quoted}) VALUES ({marks})', values)


def as_read(columns, row):
    """Whichever engine it is from."""
    return {
        column: json.loads(value) if column in JSON_COLUMNS and isinstance(value, str) else value
        for column, value in zip(columns, row, strict=True)
    }


def rows_now(table, columns):
    quoted = ", ".join(f'"{column}"' for column in columns)
    rows = db.execute_sql(f'SELECT {quoted} FROM "{table}" ORDER BY 1').fetchall()
    return [as_read(columns, row) for row in rows]


def require_all(tables):
    """Each row of the older version is there, and no other, with all that it held."""
    for table, (columns, rows) in tables.items():
        expected = [as_read(columns, row) for row in rows]
        found = rows_now(table, columns)
        if table == "setting":
            expected, found = (
                [row for row in each if row["key"] != "clock"] for each in (expected, found)
            )
        assert found == expected, table


def test_everything_in_an_older_database_is_in_the_upgraded_one(old):
    assert schema.upgrade()[-1] == LAST
    with db.connection_context():
        require_all(old)
        assert len(old["movie"][1]) == 14
        assert Watch.select().where(~Watch.day_known | Watch.note.is_null(False)).count() == 0


def test_films_of_status_custom_are_on_their_list_in_the_order_they_were_added(old):
    schema.upgrade()
    with db.connection_context():
        rows = (
            ListFilm.select(User.username, CustomList.id, Movie.title, ListFilm.position)
            .join(CustomList)
            .join(User)
            .join_from(ListFilm, Movie)
            .order_by(User.username, CustomList.id, ListFilm.position)
            .tuples()
        )
        assert list(rows) == [
            # Two were added at the same moment.
            ("ann", "list-1", "tt0000007", 0),
            ("ann", "list-1", "tt0000008", 1),
            ("ann", "list-1", "tt0000006", 2),
            ("ann", "list-1", "tt0000005", 3),
            ("ann", "list-2", "tt0000009", 0),
            ("ben", "list-1", "tt0000001", 0),
        ]


def test_a_client_that_was_up_to_date_before_the_upgrade_is_sent_the_views(old):
    """They are new in its feed, so each counts as changed by the upgrade."""
    newest = max(
        row[columns.index("updated_at")]
        for columns, rows in old.values()
        if "updated_at" in columns
        for row in rows
    )
    schema.upgrade()
    with db.connection_context():
        ann = User.get(User.username == "ann")
        changes = feed.everything_since(ann.id, newest + 1e-6)
        sent = [(view.name, view.filters) for view in changes.feed.views]
        assert sent == [
            ("Unseen drama", {"status": "toWatch", "q": "a&b=ü", "genre": "Drama"}),
            ("Favourites by year", {"list": "list-1", "sort": "year"}),
            ("From Alice", {"person": changes.feed.views[2].filters["person"]}),
        ]
        moments = [row.updated_at for row in SavedView.select().order_by(SavedView.pk)]
        assert len(set(moments)) == 4
        assert max(moments) <= float(Setting.get_by_id("clock").value)


def test_an_older_library_is_exported_as_that_version_exported_it(old, version):
    """With more keys in each row, and with nothing that the older version could not have known."""
    schema.upgrade()
    with db.connection_context():
        ann = User.get(User.username == "ann")
        now = json.loads(portable.encode(portable.dump(ann.id)))
    then = json.loads((older.FOLDER / version / "backups" / older.SCHEDULED).read_bytes())
    for rows in ("movies", "people", "lists", "views", "rankings"):
        if rows in then:
            assert [restricted(new, old) for new, old in pairs(now[rows], then[rows])] == then[rows]
    assert {row["title"] for row in now["movies"]} == {"The Third Man", "Amélie", "PlayTime", None}
    assert {row["note"] for row in now["movies"]} == {None}


@pytest.mark.slow
@pytest.mark.sqlite
def test_each_page_and_each_answer_of_the_api_is_there_after_the_upgrade(app, settings, version):
    shutil.copyfile(older.database_of(version), settings.data_dir / "mm.db")
    schema.upgrade()
    browser = app.test_client()
    browser.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    login = {"email": "ann@example.org", "password": older.PASSWORD}
    assert browser.post("/login", data=login).status_code == 303
    token = browser.post("/api/auth/login", json=login).json["access_token"]
    browser.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    for address in PAGES:
        assert browser.get(address).status_code == 200, address
    # The others need parameters, or are parts of a page.
    for rule in app.url_map.iter_rules():
        if "GET" in rule.methods and not rule.arguments:
            with browser.get(rule.rule) as answer:
                assert answer.status_code < 500, rule.rule
    assert browser.post("/api/people", json={"name": "Somebody new"}).status_code == 201


def pairs(new, old):
    assert len(new) == len(old)
    return zip(new, old, strict=True)


def restricted(new, old):
    """The keys that the older row has, at each depth."""
    if isinstance(old, dict):
        return {key: restricted(new[key], old[key]) for key in old}
    if isinstance(old, list):
        return [restricted(*pair) for pair in pairs(new, old)]
    return new


def test_the_upgrade_forgets_undo_steps_that_the_older_version_kept(old):
    """They lack what is compared now."""
    with db.connection_context():
        # Not the whole row: the older table has fewer columns.
        ann = User.select(User.id).where(User.username == "ann").get()
        UndoStep.create(token="t", user=ann, rows={}, after="x", created_at=clock.now())
    schema.upgrade()
    with db.connection_context():
        assert UndoStep.select().count() == 0


@pytest.mark.sqlite
def test_the_upgraded_database_has_the_models_tables_and_no_loose_ends(old):
    schema.upgrade()
    scratch = models.scratch()
    with db.connection_context():
        assert shape(db) == shape(scratch)
        assert db.execute_sql("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute_sql("PRAGMA foreign_key_check").fetchall() == []
        assert db.execute_sql("PRAGMA foreign_keys").fetchone() == (1,)
    scratch.close()


def test_a_third_migration_that_fails_at_its_end_leaves_the_older_database(
    old, folder, monkeypatch
):
    copy = folder / "failing"
    shutil.copytree(schema.MIGRATIONS, copy)
    text = (copy / f"{THIRD}.py").read_text()
    (copy / f"{THIRD}.py").write_text(f'{text}    raise RuntimeError("half-way")\n')
    with monkeypatch.context() as failing:
        failing.setattr(schema, "MIGRATIONS", copy)
        with pytest.raises(RuntimeError, match="half-way"):
            schema.upgrade()
    with db.connection_context():
        require_older(old)
    schema.upgrade()
    with db.connection_context():
        require_all(old)


def require_older(tables):
    """As before the third migration; the second one may have been applied."""
    assert schema.pending() == [THIRD, "0004_retention", "0005_links", "0006_sources", LAST]
    assert not {"list_film", "user_setting"} & set(db.get_tables())
    new = {"note", "hint_title", "hint_year", "day_known", "description", "pk"}
    for table in ("movie", "watch", "saved_view"):
        assert not new & {column.name for column in db.get_columns(table)}
    require_all(tables)


# Killed half-way.


def make_large(folder):
    """An older database of FILMS films more, as a file; {table: (columns, rows)} of it."""
    path = folder / "mm.db"
    shutil.copyfile(older.database_of("0.2.0-0002"), path)
    with closing(sqlite3.connect(path)) as database:
        database.executescript(GROW.format(films=FILMS))
        database.commit()
    return older.tables(path)


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM undo_step",
        "ALTER TABLE",
        "DROP TABLE",
        "INSERT INTO list_film",
        'INSERT INTO "schema',
    ],
)
def test_an_upgrade_killed_half_way_leaves_the_older_database_whole(folder, statement):
    tables = make_large(folder)
    environment = {"MM_DATA_DIR": str(folder), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", UPGRADE_KILLED_AFTER, statement]
    killed = subprocess.run(command, cwd=config.ROOT, env=environment)
    assert killed.returncode == -signal.SIGKILL
    connect(config.current.database)
    with db.connection_context():
        require_older(tables)
        assert db.execute_sql("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert schema.upgrade() == [THIRD, "0004_retention", "0005_links", "0006_sources", LAST]
    with db.connection_context():
        require_all(tables)
        assert ListFilm.select().count() == FILMS + 6
