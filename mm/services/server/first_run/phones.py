"""What phones remember of a server that is not there any more."""

from peewee import SqliteDatabase

from mm import models
from mm.database import db
from mm.models import Person


def begin_anew() -> None:
    """From here on the feed of changes sends phones everything, and no person gets an id that a
    phone knows as somebody else's. Call inside the transaction that fills an empty server, before
    its first row."""
    epoch = models.next_update(db.obj)
    models.put_setting(models.EPOCH, epoch)
    # Nobody knows how far the ids of the other server went: the seconds of the clock are further.
    if isinstance(db.obj, SqliteDatabase):
        table = Person._meta.table_name
        last = "SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = ?"
        [seq] = db.execute_sql(last, (table,)).fetchone()
        db.execute_sql("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        row = (table, max(int(epoch), seq))
        db.execute_sql("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", row)
    else:
        sequence = "pg_get_serial_sequence('person', 'id')"
        known = f"SELECT setval({sequence}, GREATEST(nextval({sequence}), %s))"
        db.execute_sql(known, (int(epoch),))
