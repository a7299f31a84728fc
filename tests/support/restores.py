"""An archive of the database, and a restore of the whole server from it."""

import shutil
import sqlite3

from mm import clock
from mm.models import CLOCK_STEP
from mm.services.server import databases

MARKED = {"person": "id", "custom_list": "pk", "movie": "id", "tombstone": "id", "saved_view": "pk"}


def archive(folder):
    """The database as it is now, in a file of `folder`."""
    path = folder / f"archive-{len(list(folder.glob('archive-*')))}.db"
    databases.copy(path)
    return path


def restore(path):
    """Bring the database of an archive into the file in use, as a restore does."""
    staging = path.with_name(f"staging-{path.name}")
    shutil.copy(path, staging)
    with databases.opened(databases.live_path()) as live, databases.opened(staging) as staged:
        live_users = live.execute("SELECT id, token_version, library_version FROM user")
        for user_id, token_version, library_version in live_users.fetchall():
            staged.execute(
                "UPDATE user SET token_version = MAX(token_version, ?),"
                " library_version = MAX(library_version, ?) + 1 WHERE id = ?",
                (token_version, library_version, user_id),
            )
        staged.execute("UPDATE user SET token_version = token_version + 1")
        epoch = max(clock.now(), _clock(live), _clock(staged)) + CLOCK_STEP
        mark = epoch
        for table, key in MARKED.items():
            rows = staged.execute(f"SELECT {key} FROM {table} ORDER BY updated_at, {key}")
            for (row_key,) in rows.fetchall():
                mark += CLOCK_STEP
                staged.execute(
                    f"UPDATE {table} SET updated_at = ? WHERE {key} = ?", (mark, row_key)
                )
        staged.execute("DELETE FROM undo_step")
        for name, value in (("epoch", epoch), ("clock", mark)):
            staged.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (name, repr(value)))
        [version] = live.execute("PRAGMA user_version").fetchone()
        staged.execute(f"PRAGMA user_version = {version + 1}")
        staged.backup(live)
    staging.unlink()


def _clock(connection: sqlite3.Connection) -> float:
    row = connection.execute("SELECT value FROM setting WHERE key = 'clock'").fetchone()
    return float(row[0]) if row else 0.0
