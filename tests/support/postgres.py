"""PostgreSQL for tests: a database of the run's own on the server of this machine, emptied before
each test. Where no server answers, the tests are left out, and the end of the run says so.

The tests of MODULES run on it a second time, as `test_x[postgres]`.
"""

import functools
import os
import secrets

import pytest

from mm import models, schema
from mm.database import connect

try:
    import psycopg
except ImportError:
    psycopg = None

HOST, PORT = "127.0.0.1", 5432
USER = os.environ.get("PGUSER", "postgres")
PASSWORD = os.environ.get("PGPASSWORD", "")
CONNECT_SECONDS = 3
LEFT_OUT = f"No PostgreSQL answers on {HOST}:{PORT}: left out"
MODULES = {
    "api.test_sync",
    "backup.test_backups",
    "backup.test_imports",
    "backup.test_older_versions",
    "backup.test_schedule",
    "backup.test_state",
    "collections.test_views",
    "deployment.test_health",
    "enrichment.test_offline_at_random",
    "enrichment.test_offline_titles",
    "enrichment.test_runner",
    "enrichment.test_sweeps",
    "enrichment.test_title_json",
    "library.test_browse",
    "library.test_list_films",
    "library.test_lists",
    "library.test_movies",
    "library.test_people",
    "library.test_rankings",
    "library.test_recommenders",
    "library.test_saved_views",
    "library.test_table",
    "library.test_undo",
    "portable.test_notes_and_lists",
    "portable.test_portable",
    "portable.test_replace",
    "server.test_adopt",
    "sync.test_live",
    "sync.test_queue",
    "sync.test_replace_feed",
    "test_account_links",
    "test_jobs",
    "test_locks",
    "test_tasks",
    "test_upgrade",
    "test_user_settings",
}
# Their queries are tried by others as well, and they take seconds.
LONG = {
    "test_a_clock_that_was_in_the_future_for_a_night_does_not_stop_the_schedule",
    "test_a_disk_that_fills_up_while_a_backup_is_written_leaves_what_was_there",
    "test_a_file_that_cannot_be_read_does_not_keep_the_others_from_their_check",
    "test_a_file_that_somebody_removed_does_not_stop_the_nights",
    "test_a_job_whose_library_is_in_use_for_ten_minutes_has_one_task",
    "test_a_seventh_of_the_distinct_contents_is_due_each_night_the_longest_unchecked_first",
    "test_a_strange_sidecar_neither_hangs_nor_fails_the_listing_a_backup_or_a_night",
    "test_each_column_of_the_library_has_its_key_in_an_export",
    "test_looking_at_a_lock_never_keeps_anybody_from_taking_it",
    "test_marking_films_while_scrolling_skips_none_and_repeats_none",
    "test_scrolling_shows_each_film_once_in_order",
    "test_strange_leftovers_neither_hang_nor_fail_a_backup_or_the_start",
    "test_twenty_nights_leave_the_files_of_the_last_fifteen_days_with_their_reasons",
    "test_two_phones_replay_their_queues_and_both_end_with_the_library_of_the_server",
    "test_what_was_taken_in_comes_out_and_goes_in_again_the_same",
}
# What takes long takes as long there, and what is about SQLite itself has nothing to show.
NOT_REPEATED = ("slow", "processes", "browser", "sqlite")


@functools.cache
def answers() -> bool:
    if psycopg is None:
        return False
    try:
        _command("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def require() -> None:
    if not answers():
        pytest.skip(LEFT_OUT)


def url_of(name: str) -> str:
    password = f":{PASSWORD}" if PASSWORD else ""
    return f"postgresql://{USER}{password}@{HOST}:{PORT}/{name}"


def create() -> str:
    """A new, empty database; returns its name. Nothing in it has to survive a power cut."""
    name = f"mm_test_{secrets.token_hex(6)}"
    # Ordered as SQLite does, whatever the server's own language is.
    order = "ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
    _command(f"CREATE DATABASE {name} TEMPLATE template0 {order}")
    _command(f"ALTER DATABASE {name} SET synchronous_commit = off")
    return name


def drop(name: str) -> None:
    _command(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def empty(database) -> None:
    """Leaves the tables, and begins their ids at 1 again. Of few rows a DELETE is far quicker than
    a TRUNCATE."""
    database.execute_sql("SET lock_timeout = '5s'")
    for table in reversed(models.TABLES):
        database.execute_sql(f'DELETE FROM "{table._meta.table_name}"')
    database.execute_sql("SELECT setval(sequencename::regclass, 1, false) FROM pg_sequences")


@pytest.fixture(scope="session")
def postgres_url():
    """Of a database at the current schema."""
    require()
    name = create()
    connect(url_of(name))
    schema.upgrade()
    yield url_of(name)
    drop(name)


def query(url: str, sql: str, values: tuple) -> list[tuple]:
    with psycopg.connect(url, connect_timeout=CONNECT_SECONDS) as connection:
        cursor = connection.execute(sql, values)
        return cursor.fetchall() if cursor.description else []


def repeat(metafunc) -> None:
    """Run a test of MODULES on both engines."""
    module = metafunc.module.__name__.removeprefix("tests.")
    if module not in MODULES or "engine" not in metafunc.fixturenames:
        return
    if metafunc.function.__name__ in LONG:
        return
    if any(metafunc.definition.get_closest_marker(name) for name in NOT_REPEATED):
        return
    on_postgres = pytest.param("postgres", marks=pytest.mark.postgres)
    metafunc.parametrize("engine", ["sqlite", on_postgres], indirect=True)


def say_what_was_left_out(reporter) -> None:
    skipped = reporter.stats.get("skipped", ())
    count = sum(LEFT_OUT in str(report.longrepr) for report in skipped)
    if count:
        reporter.write_line(f"{LEFT_OUT} {count} tests", yellow=True)


def _command(sql: str) -> None:
    url = url_of("postgres")
    with psycopg.connect(url, connect_timeout=CONNECT_SECONDS, autocommit=True) as connection:
        connection.execute(sql)
