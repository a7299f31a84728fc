"""The database engines, SQLite and PostgreSQL: connecting, snapshots, and writing many rows."""

import contextlib
import sqlite3
import threading
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

from mm import caches, disk, maintenance

BUSY_SECONDS = 15
# PostgreSQL's code for a lock that was not granted in time, and the advisory lock of all writers.
LOCK_NOT_AVAILABLE = "55P03"
WRITE_LOCK_KEY = 0x6D6D_7772_6974_65
# How a statement that writes begins; migrations have others of their own.
WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")
# SQLite takes 32,766 parameters in one statement; PostgreSQL 65,535.
IN_CHUNK = 10_000
db = DatabaseProxy()


class Table(Model):
    class Meta:
        database = db
        legacy_table_names = False


class AutoIncrementField(AutoField):
    """An id that is never used twice, as PostgreSQL's are. SQLite would use the largest one again
    after its row is deleted, while clients still know it as somebody else's.

    Playhouse's field of this name makes a statement that PostgreSQL refuses.
    """

    def ddl(self, ctx):
        column = super().ddl(ctx)
        if isinstance(db.obj, SqliteDatabase):
            return NodeList((column, SQL("AUTOINCREMENT")))
        return column


class PersistentSqliteDatabase(SqliteDatabase):
    """SQLite with one connection that this process keeps open from the first use on.

    SQLite deletes its log with the last connection, and the next one has to create it again: on a
    full disk nothing could even be read then. A full disk raises disk.DiskFullError.

    A restore of the whole server replaces all rows at once, and raises `user_version`. Each
    connection remembers that number from its beginning, so that no request or job goes on with
    some rows from before and some from after: it gets a maintenance.RestoredError instead.
    """

    _keeper: sqlite3.Connection | None = None

    def __init__(self, *args, **kwargs):
        self._begun = threading.local()
        super().__init__(*args, **kwargs)

    def release(self) -> None:
        """Close the connection that is kept open."""
        if self._keeper:
            self._keeper.close()
            self._keeper = None

    def accept_restored(self) -> None:
        """This thread knows that the data was replaced, and holds nothing that it read before."""
        if not self.is_closed():
            self._begun.user_version = _user_version(self.connection())

    def execute_sql(self, sql, params=None):
        if self.connection().in_transaction:
            return self._execute(sql, params)
        if sql.lstrip()[:7].rstrip().upper() in WRITES:
            # In a transaction, whose beginning looks whether anything may be written.
            with self.atomic():
                return self._execute(sql, params)
        cursor = self._execute(sql, params)
        # While rows are left to read, this reads the data that the statement saw.
        self._require_same_data()
        return cursor

    def begin(self, lock_type=None):
        try:
            super().begin(lock_type)
            self._require_same_data()
            if lock_type != "DEFERRED":
                maintenance.require_off()
        except DatabaseError as error:
            disk.raise_if_full(error)
            raise
        except maintenance.MaintenanceError:
            self.rollback()
            raise

    def commit(self):
        try:
            super().commit()
        except DatabaseError as error:
            disk.raise_if_full(error)
            raise

    def rollback(self):
        """On some errors, a full disk among them, SQLite has rolled back already: a second attempt
        would fail and hide the error itself."""
        if self.is_closed() or self.connection().in_transaction:
            super().rollback()

    def _execute(self, sql, params):
        try:
            return super().execute_sql(sql, params)
        except DatabaseError as error:
            disk.raise_if_full(error)
            raise

    def _require_same_data(self) -> None:
        if _user_version(self.connection()) != self._begun.user_version:
            raise maintenance.RestoredError

    def _connect(self):
        try:
            connection = super()._connect()
            self._begun.user_version = _user_version(connection)
            caches.clear_if_restored((self.database, self._begun.user_version))
            if not self._keeper:
                # It may be closed by another thread.
                keeper = sqlite3.connect(
                    self.database, timeout=BUSY_SECONDS, check_same_thread=False
                )
                # SQLite opens the log with the first query.
                keeper.execute("SELECT 1 FROM sqlite_schema").close()
                self._keeper = keeper
        except sqlite3.Error as error:
            disk.raise_if_full(error)
            raise
        return connection


def data_version(database: Database) -> int | None:
    """The number that each restore of the whole server raises, as this thread's connection met it;
    None with PostgreSQL. Opens a connection where there is none."""
    if not isinstance(database, PersistentSqliteDatabase):
        return None
    database.connect(reuse_if_open=True)
    return database._begun.user_version


def _user_version(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]


class SingleWriterPostgresDatabase(PostgresqlDatabase):
    """PostgreSQL with one writing transaction at a time, as SQLite has it: services read before
    they write, and rely on nobody else writing in between. Reads are not held up.

    Waiting longer than BUSY_SECONDS for another write raises an OperationalError.
    """

    def begin(self, isolation_level=None):
        super().begin(isolation_level)
        if isolation_level is None:
            try:
                self.execute_sql("SELECT pg_advisory_xact_lock(%s)", (WRITE_LOCK_KEY,))
            except DatabaseError:
                self.rollback()
                raise

    def _connect(self):
        connection = super()._connect()
        connection.execute(f"SET lock_timeout = '{BUSY_SECONDS}s'")
        return connection


db_url.register_database(PersistentSqliteDatabase, "sqlite")
db_url.register_database(SingleWriterPostgresDatabase, "postgres", "postgresql")


def connect(url: str) -> Database:
    """Bind every model to the database of `url`; returns it, not yet open."""
    if isinstance(db.obj, PersistentSqliteDatabase):
        db.obj.release()
    if url.startswith("sqlite"):
        pragmas = {"journal_mode": "wal", "synchronous": "full", "foreign_keys": 1}
        database = db_url.connect(url, pragmas=pragmas, timeout=BUSY_SECONDS, lock_type="IMMEDIATE")
    else:
        # As libpq reads a URL: a character such as @ in a password is written %40.
        unquote = {"unquote_user": True, "unquote_password": True}
        database = db_url.connect(url, **unquote, prefer_psycopg3=True)
    db.initialize(database)
    return database


@contextlib.contextmanager
def separate_connection() -> Iterator[Database]:
    """The PostgreSQL database in use, on another connection than this thread's."""
    database = SingleWriterPostgresDatabase(
        db.obj.database, **db.obj.connect_params, prefer_psycopg3=True
    )
    with database.connection_context():
        yield database


def insert_rows(
    database: Database, fields: Sequence[Field], rows: Iterable[Sequence], ignore: bool = False
) -> None:
    """Insert tuples of column values, as the driver takes them, with one executemany.

    Peewee's insert_many, which builds Python nodes for every row, would take 1.5 times as long as
    a whole import may. `ignore`: leave rows that exist as they are.
    """
    names = ", ".join(f'"{field.column_name}"' for field in fields)
    params = ", ".join([database.param] * len(fields))
    on_conflict = " ON CONFLICT DO NOTHING" if ignore else ""
    table = fields[0].model._meta.table_name
    sql = f'INSERT INTO "{table}" ({names}) VALUES ({params}){on_conflict}'  # noqa: S608
    _execute_many(database, sql, rows)


def update_rows(
    database: Database, fields: Sequence[Field], key: Sequence[Field], rows: Iterable[Sequence]
) -> None:
    """Set `fields` of the rows found by `key`. Each of `rows` has the values of the fields first,
    then those of the key."""
    values = ", ".join(f'"{field.column_name}" = {database.param}' for field in fields)
    where = " AND ".join(f'"{field.column_name}" = {database.param}' for field in key)
    sql = f'UPDATE "{fields[0].model._meta.table_name}" SET {values} WHERE {where}'  # noqa: S608
    _execute_many(database, sql, rows)


def delete_rows(database: Database, key: Sequence[Field], rows: Iterable[Sequence]) -> None:
    """Delete the rows found by `key`."""
    where = " AND ".join(f'"{field.column_name}" = {database.param}' for field in key)
    sql = f'DELETE FROM "{key[0].model._meta.table_name}" WHERE {where}'  # noqa: S608
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
    """A read transaction: all queries in it see the same data, and writers are not held up."""
    if isinstance(database, SqliteDatabase):
        with database.atomic("DEFERRED"):
            yield
    else:
        with database.atomic(isolation_level="REPEATABLE READ"):
            yield


@contextlib.contextmanager
def waiting_at_most(database: Database, seconds: float) -> Iterator[None]:
    """Writes in this block wait for other writers at most so long, instead of BUSY_SECONDS, and
    then raise OperationalError."""
    is_sqlite = isinstance(database, SqliteDatabase)
    setting = "PRAGMA busy_timeout" if is_sqlite else "SET lock_timeout"
    database.execute_sql(f"{setting} = {round(seconds * 1000)}")
    try:
        yield
    finally:
        database.execute_sql(f"{setting} = {BUSY_SECONDS * 1000}")


def is_busy(error: BaseException) -> bool:
    """Whether the database gave up waiting for another writer."""
    # Peewee keeps the driver's error in `orig`.
    code = getattr(getattr(error, "orig", None), "sqlstate", None)
    return code == LOCK_NOT_AVAILABLE or "database is locked" in str(error)


def chunks(keys: Iterable, size: int = IN_CHUNK) -> Iterable[list]:
    """`keys` in lists short enough for one IN (...)."""
    keys = list(keys)
    return (keys[start : start + size] for start in range(0, len(keys), size))


def literal(ids: Iterable[int]) -> SQL:
    """Ids from the database as one list: as parameters, Peewee would take longer to put a thousand
    of them into a statement than the database takes to answer it."""
    return SQL(f"({','.join(map(str, ids))})")


def fold(text: str) -> str:
    """The form in which names, email addresses and searches are compared; SQLite's own lower() is
    ASCII only."""
    return unicodedata.normalize("NFC", text.strip()).casefold()
