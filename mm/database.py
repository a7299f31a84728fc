"""The tables, one-table queries and row verbs. All times are float Unix seconds, UTC.

Three marks, never mixed up: `last_modified` is when the user changed a row (it travels in exports);
`updated_at` is when this server last changed its JSON (strictly increasing, drives the sync feed);
`user.library_version` counts the user's own writes (plans and nightly backups compare it).
"""

import contextlib
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from peewee import (
    SQL,
    AutoField,
    Database,
    DatabaseError,
    DatabaseProxy,
    Field,
    Model,
    NodeList,
    PostgresqlDatabase,
    SqliteDatabase,
    __exception_wrapper__,
)
from playhouse import db_url

from mm import disk

BUSY_SECONDS = 15
# PostgreSQL's code for a lock that was not given in time, and the key of the writers' lock.
LOCK_NOT_AVAILABLE = "55P03"
WRITING = 0x6D6D_7772_6974_65
# SQLite takes 32,766 parameters in one statement; PostgreSQL 65,535.
IN_CHUNK = 10_000
db = DatabaseProxy()


class Table(Model):
    class Meta:
        database = db
        legacy_table_names = False


class NeverAgain(AutoField):
    """SQLite gives the largest id out again when its row is deleted; clients still know that id as
    somebody else's."""

    def ddl(self, ctx):
        made = super().ddl(ctx)
        return (
            NodeList((made, SQL("AUTOINCREMENT"))) if isinstance(db.obj, SqliteDatabase) else made
        )


class KeptOpen(SqliteDatabase):
    """A database of which this process always has one connection open, from its first use on.

    SQLite deletes its log with the last connection, and the next one has to create it again: on a
    full disk nothing could even be read then. A write that finds the disk full is disk.DiskFullError.
    """

    _keeper: sqlite3.Connection | None = None

    def release(self) -> None:
        """Close the connection that is kept open."""
        if self._keeper:
            self._keeper.close()
            self._keeper = None

    def execute_sql(self, sql, params=None):
        try:
            return super().execute_sql(sql, params)
        except DatabaseError as error:
            disk.raise_if_full(error)
            raise

    def begin(self, lock_type=None):
        try:
            super().begin(lock_type)
        except DatabaseError as error:
            disk.raise_if_full(error)
            raise

    def commit(self):
        try:
            super().commit()
        except DatabaseError as error:
            disk.raise_if_full(error)
            raise

    def rollback(self):
        """On some errors, a full disk among them, SQLite has ended the transaction already: to say
        so would hide the error itself."""
        if self.is_closed() or self.connection().in_transaction:
            super().rollback()

    def _connect(self):
        try:
            connection = super()._connect()
            self._keeper = self._keeper or self._keep_open()
        except sqlite3.Error as error:
            disk.raise_if_full(error)
            raise
        return connection

    def _keep_open(self) -> sqlite3.Connection:
        """Any thread may be the first."""
        keeper = sqlite3.connect(self.database, timeout=BUSY_SECONDS, check_same_thread=False)
        # The log is opened with the first look into the file.
        keeper.execute("SELECT 1 FROM sqlite_schema").close()
        return keeper


class OneWriter(PostgresqlDatabase):
    """PostgreSQL on which one transaction writes at a time, as on SQLite: the services look before
    they write, and rely on it that nobody else writes in between. Reads go on beside it.

    Who waits longer than BUSY_SECONDS for another's write gets an OperationalError.
    """

    def begin(self, isolation_level=None):
        super().begin(isolation_level)
        if isolation_level is None:
            try:
                self.execute_sql("SELECT pg_advisory_xact_lock(%s)", (WRITING,))
            except DatabaseError:
                self.rollback()
                raise

    def _connect(self):
        connection = super()._connect()
        connection.execute(f"SET lock_timeout = '{BUSY_SECONDS}s'")
        return connection


db_url.register_database(KeptOpen, "sqlite")


db_url.register_database(OneWriter, "postgres", "postgresql")


def connect(url: str) -> Database:
    """Point every model at the database of `url` and return it, not yet open."""
    if isinstance(db.obj, KeptOpen):
        db.obj.release()
    if url.startswith("sqlite"):
        pragmas = {"journal_mode": "wal", "synchronous": "full", "foreign_keys": 1}
        database = db_url.connect(url, pragmas=pragmas, timeout=BUSY_SECONDS, lock_type="IMMEDIATE")
    else:
        # As libpq reads an address: a sign such as @ in a password is written %40.
        reading = {"unquote_user": True, "unquote_password": True}
        database = db_url.connect(url, **reading, prefer_psycopg3=True)
    db.initialize(database)
    return database


@contextlib.contextmanager
def own_connection() -> Iterator[Database]:
    """The PostgreSQL database in use on a new connection, beside that of this thread."""
    own = OneWriter(db.obj.database, **db.obj.connect_params, prefer_psycopg3=True)
    with own.connection_context():
        yield own


def insert_rows(
    database: Database, fields: Sequence[Field], rows: Iterable[Sequence], ignore: bool = False
) -> None:
    """Insert tuples of column values, as the database takes them, with one executemany.

    Peewee's insert_many builds every row as Python nodes and was 1.5 times slower than the whole
    import may be. `ignore`: leave rows alone that are there.
    """
    names = ", ".join(f'"{field.column_name}"' for field in fields)
    marks = ", ".join([database.param] * len(fields))
    ending = " ON CONFLICT DO NOTHING" if ignore else ""
    table = fields[0].model._meta.table_name
    sql = f'INSERT INTO "{table}" ({names}) VALUES ({marks}){ending}'  # noqa: S608
    _execute_many(database, sql, rows)


def update_rows(
    database: Database, fields: Sequence[Field], key: Sequence[Field], rows: Iterable[Sequence]
) -> None:
    """Set `fields` of the rows found by `key`: each row is the values of the fields, then those of
    the key."""
    values = ", ".join(f'"{field.column_name}" = {database.param}' for field in fields)
    where = " AND ".join(f'"{field.column_name}" = {database.param}' for field in key)
    sql = f'UPDATE "{fields[0].model._meta.table_name}" SET {values} WHERE {where}'  # noqa: S608
    _execute_many(database, sql, rows)


def _execute_many(database: Database, sql: str, rows: Iterable[Sequence]) -> None:
    try:
        with __exception_wrapper__:
            database.cursor().executemany(sql, rows)
    except DatabaseError as error:
        disk.raise_if_full(error)
        raise


@contextlib.contextmanager
def snapshot(database: Database) -> Iterator[None]:
    """One read transaction: every query inside sees the same moment, and writers are not held up."""
    if isinstance(database, SqliteDatabase):
        with database.atomic("DEFERRED"):
            yield
    else:
        with database.atomic(isolation_level="REPEATABLE READ"):
            yield


@contextlib.contextmanager
def waiting_at_most(database: Database, seconds: float) -> Iterator[None]:
    """Around a write that may as well not happen: OperationalError after so long behind others, and
    not after BUSY_SECONDS."""
    _wait_at_most(database, seconds)
    try:
        yield
    finally:
        _wait_at_most(database, BUSY_SECONDS)


def _wait_at_most(database: Database, seconds: float) -> None:
    milliseconds = round(seconds * 1000)
    if isinstance(database, SqliteDatabase):
        database.execute_sql(f"PRAGMA busy_timeout = {milliseconds}")
    else:
        database.execute_sql(f"SET lock_timeout = {milliseconds}")


def is_busy(error: BaseException) -> bool:
    """Whether the database gave up waiting for another one's write."""
    # Peewee keeps the driver's own error there.
    code = getattr(getattr(error, "orig", None), "sqlstate", None)
    return code == LOCK_NOT_AVAILABLE or "database is locked" in str(error)


def chunks(keys: Iterable, size: int = IN_CHUNK) -> Iterable[list]:
    """Keys in lists short enough for one IN (...)."""
    keys = list(keys)
    return (keys[start : start + size] for start in range(0, len(keys), size))


def fold(text: str) -> str:
    """The form in which names, e-mail addresses and searches are compared; SQLite's own lower() is
    ASCII only."""
    return unicodedata.normalize("NFC", text.strip()).casefold()
