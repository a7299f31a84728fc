"""The database that replaces the one in use, made ready as a file of its own with what stays of
that one.

Everything here is plain SQL on a file that nobody else has open, so that what runs meanwhile is not
held up, and the load itself stays one copy. What `take_over` does suits every older schema too: a
copy that was made at a start is put back as it is.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from mm import clock, files, models
from mm.models import CLOCK_STEP
from mm.services import heartbeat, jobs
from mm.services.backup import recheck, schedule
from mm.services.enrichment import posters
from mm.services.server import databases
from mm.services.server.live_database import Kept

# Settings that tell of this server and its files, not of its libraries.
KEPT_SETTINGS = (
    heartbeat.WORKER_HEARTBEAT,
    "omdb.calls",
    schedule.RECHECKED,
    schedule.TIDIED,
    recheck.DAMAGED,
)
KEPT_PREFIXES = ("provider.", "problem.", "archives.", "catalogue.")
# The server's own settings, of which an archive may bring others.
SETTINGS_PREFIX = "server."
CLOCK = "clock"
ENDED = "Ended when the whole server was restored from an archive."
USER_VERSION_MAX = 2**31 - 1
# In the year 2096. Above it, two times that are a CLOCK_STEP apart would be equal.
CLOCK_MAX = 4e9
# Above it no id is left to be given.
PERSON_MAX = 2**53


def fit_pages(path: Path, page_size: int) -> None:
    """SQLite loads only what has the pages of the database in use. One file, nothing beside it."""
    with databases.opened(path) as staged:
        staged.execute("PRAGMA trusted_schema = off")
        staged.execute("PRAGMA journal_mode = delete")
        if staged.execute("PRAGMA page_size").fetchone()[0] != page_size:
            staged.execute(f"PRAGMA page_size = {page_size}")
            staged.execute("VACUUM")


@contextlib.contextmanager
def changing(path: Path) -> Iterator[sqlite3.Connection]:
    """For the writes that make a staged file ready; on the disk at the end of the block."""
    with databases.opened(path) as staged:
        staged.execute("PRAGMA trusted_schema = off")
        # A file that is not ready when the machine stops is thrown away.
        staged.execute("PRAGMA synchronous = off")
        staged.execute("PRAGMA journal_mode = off")
        staged.execute("BEGIN")
        yield staged
        staged.execute("COMMIT")
    files.sync_file(path)
    files.sync_folder(path.parent)


def take_over(staged: sqlite3.Connection, kept: Kept) -> int:
    """End everybody's log-ins, and the links that may have been used or revoked since; let phones
    and every process see that the data is another. Returns the new user_version."""
    _end_sessions(staged, kept.token_versions)
    # Who was invited, or may set a new password, may have changed since the archive.
    if _columns(staged, "account_link"):
        staged.execute("DELETE FROM account_link")
    _keep_shares(staged, kept)
    epoch = _mark_anew(staged, kept.settings)
    _use_no_id_again(staged, kept.last_person, epoch)
    version = kept.user_version % USER_VERSION_MAX + 1
    staged.execute(f"PRAGMA user_version = {version}")
    return version


def keep_live_values(
    path: Path, kept: Kept, job: dict | None, with_settings: bool, with_posters: bool
) -> int:
    """Write into the staged database what stays of the one in use, and take over from it. `job` is
    the row of the restore's own job. Returns the new user_version."""
    with changing(path) as staged:
        _keep_settings(staged, kept.settings, with_settings)
        if not with_posters:
            # Posters of restored titles may not be there: they are looked for again.
            staged.execute("DELETE FROM setting WHERE key = ?", (posters.MARK,))
        _end_jobs(staged, job)
        staged.execute("DELETE FROM undo_step")
        return take_over(staged, kept)


def identity(path: Path) -> tuple[int, int]:
    """(size, modification time), by which a staged file is known to be as it was made ready."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _keep_settings(staged: sqlite3.Connection, live: dict[str, str], with_settings: bool) -> None:
    """Where the database that knew this server's own is lost, they begin anew."""
    has_own = with_settings or not live
    prefixes = KEPT_PREFIXES if has_own else (*KEPT_PREFIXES, SETTINGS_PREFIX)

    def stays(key: str) -> bool:
        return key in KEPT_SETTINGS or key.startswith(prefixes)

    theirs = [key for (key,) in staged.execute("SELECT key FROM setting") if stays(key)]
    staged.executemany("DELETE FROM setting WHERE key = ?", [(key,) for key in theirs])
    staged.executemany(
        "INSERT INTO setting (key, value) VALUES (?, ?)",
        [(key, value) for key, value in live.items() if stays(key)],
    )


def _end_sessions(staged: sqlite3.Connection, live: dict[str, int]) -> None:
    if "token_version" not in _columns(staged, "user"):
        return
    staged.execute("UPDATE user SET token_version = token_version + 1")
    staged.executemany(
        "UPDATE user SET token_version = MAX(token_version, ? + 1) WHERE id = ?",
        [(version, user_id) for user_id, version in live.items()],
    )
    # Of others nobody knows how far theirs went since: the seconds of the clock are further.
    ids = [user_id for (user_id,) in staged.execute("SELECT id FROM user") if user_id not in live]
    staged.executemany(
        "UPDATE user SET token_version = MAX(token_version, ?) WHERE id = ?",
        [(int(clock.now()), user_id) for user_id in ids],
    )


def _keep_shares(staged: sqlite3.Connection, kept: Kept) -> None:
    """A link to a list stays where the database in use has it too, as its owner chose last: nobody
    sees again what was hidden since. And it stays where that one does not know its account: this is
    another server then."""
    if not _columns(staged, "list_share"):
        return
    shares = staged.execute(
        "SELECT token, user_id FROM list_share JOIN custom_list ON pk = custom_list_pk"
    ).fetchall()
    ended = [
        (token,)
        for token, user_id in shares
        if kept.shares is None or (user_id in kept.token_versions and token not in kept.shares)
    ]
    staged.executemany("DELETE FROM list_share WHERE token = ?", ended)
    staged.executemany(
        "UPDATE list_share SET shows_notes = ?, expires_at = ? WHERE token = ?",
        [(*choices, token) for token, choices in (kept.shares or {}).items()],
    )


def _end_jobs(staged: sqlite3.Connection, own: dict | None) -> None:
    staged.execute(
        "UPDATE job SET state = 'failed', message = ?, finished_at = ? "
        "WHERE state IN (?, ?, 'waiting')",
        (ENDED, clock.now(), *jobs.ACTIVE),
    )
    if own:
        staged.execute("DELETE FROM job WHERE id = ?", (own["id"],))
        names = ", ".join(f'"{name}"' for name in own)
        places = ", ".join("?" * len(own))
        staged.execute(f"INSERT INTO job ({names}) VALUES ({places})", tuple(own.values()))  # noqa: S608


def _use_no_id_again(staged: sqlite3.Connection, live: int, epoch: float) -> None:
    """A phone may still send what it did with a person who came after the archive: their id must
    never become another person's. Where the database that knew them is lost, nobody knows how far
    they went: the seconds of the clock are further."""
    if not _columns(staged, "sqlite_sequence"):
        return
    rows = staged.execute(
        "SELECT seq FROM sqlite_sequence WHERE name = 'person' UNION SELECT MAX(id) FROM person"
    )
    known = [seq for (seq,) in rows if isinstance(seq, int)]
    last = max(int(epoch), *(number for number in (live, *known) if 0 <= number <= PERSON_MAX))
    staged.execute("DELETE FROM sqlite_sequence WHERE name = 'person'")
    staged.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('person', ?)", (last,))


def _mark_anew(staged: sqlite3.Connection, live: dict[str, str]) -> float:
    """Give every row that clients know an `updated_at` above all that they were ever told, in the
    old order: the pages of an answer that is begun again then follow each other. Returns the
    epoch."""
    theirs = dict(staged.execute("SELECT key, value FROM setting WHERE key = ?", (CLOCK,)))
    epoch = max(clock.now(), _number(live.get(CLOCK)), _number(theirs.get(CLOCK))) + CLOCK_STEP
    tables = [name for name in _tables(staged) if "updated_at" in _columns(staged, name)]
    union = " UNION ".join(f'SELECT updated_at FROM "{name}"' for name in tables)  # noqa: S608
    staged.execute(
        "CREATE TEMP TABLE mark AS "  # noqa: S608
        f"SELECT updated_at AS old, ROW_NUMBER() OVER (ORDER BY updated_at) AS place FROM ({union})"
    )
    staged.execute("CREATE UNIQUE INDEX temp.by_old ON mark (old)")
    for name in tables:
        staged.execute(
            f'UPDATE "{name}" SET updated_at = ? + ? * '  # noqa: S608
            f'(SELECT place FROM mark WHERE old = "{name}".updated_at)',
            (epoch, CLOCK_STEP),
        )
    [(count,)] = staged.execute("SELECT COUNT(*) FROM mark")
    staged.execute("DROP TABLE mark")
    staged.executemany(
        "INSERT OR REPLACE INTO setting (key, value) VALUES (?, ?)",
        [
            (models.EPOCH, json.dumps(epoch)),
            (CLOCK, repr(epoch + (count + 1) * CLOCK_STEP)),
        ],
    )
    return epoch


def _tables(staged: sqlite3.Connection) -> list[str]:
    rows = staged.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    )
    return [name for (name,) in rows.fetchall()]


def _columns(staged: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in staged.execute(f'PRAGMA table_info("{table}")')}


def _number(text: str | None) -> float:
    """A clock; 0 for one that cannot be: it would never go on from there."""
    try:
        number = float(text or 0)
    except ValueError:
        return 0.0
    return number if 0 <= number < CLOCK_MAX else 0.0
