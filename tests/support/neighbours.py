"""Another process that writes to the same database, as a second worker does."""

import contextlib

from mm import config, models
from mm.database import SingleWriterPostgresDatabase, db, insert_rows, separate_connection


@contextlib.contextmanager
def somebody_writes():
    """Holds up other writes for as long as the block runs, and writes nothing."""
    with _connection() as other, other.atomic() as transaction:
        yield
        transaction.rollback()


def somebody_wrote():
    """Commits one row."""
    with _connection() as other:
        fields = [models.Setting.key, models.Setting.value]
        insert_rows(other, fields, [("neighbour", "1")], ignore=True)


@contextlib.contextmanager
def _connection():
    if isinstance(db.obj, SingleWriterPostgresDatabase):
        with separate_connection() as other:
            yield other
    else:
        other = models.SqliteDatabase(config.current.data_dir / "mm.db", lock_type="IMMEDIATE")
        with other.connection_context():
            yield other
