"""What is wrong with the rows of an archive's database, whose tables are those of this version.

A restored server must work, and be able to restore another archive, whatever the rows hold.
Accounts and films whose ids lead elsewhere are refused. Settings and jobs that this version cannot
use are left out. Of other rows it is only said where values of a wrong kind stand: they cost the
pages that show them.
"""

import re
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from peewee import Field

from mm import log
from mm.database import Table
from mm.models import EPOCH, TABLES, Job, Setting, Title, TitleJson, UndoStep, User
from mm.schemas import ArchiveSchedule, CatalogueChoice
from mm.services import jobs, settings
from mm.services.backup.files import USER_ID
from mm.services.enrichment import posters, queue, title_json
from mm.services.server import databases
from mm.services.server.archive_format.zip_reading import corrupted


class Renewal(Struct):
    """The setting of enrichment/queue."""

    language: str
    before: float | None


# Those whose values have a form. Of the others, a restore keeps this server's own.
SETTINGS: dict[str, Any] = {
    settings.ARCHIVES: ArchiveSchedule,
    queue.RENEWAL: Renewal | None,
    posters.MARK: tuple[float, str] | None,
    posters.RETRY_AT: float | None,
    title_json.ALL_BUILT: str | None,
    "deletions_forgotten": dict[str, float],
    "catalogue": CatalogueChoice,
    EPOCH: float,
}
JOB_STATES = (*jobs.ACTIVE, "waiting", "done", "failed")
NUMBERS = ("AUTO", "INT", "DOUBLE", "BOOL")
# Long, and made or read one by one: what is wrong with them costs no page.
LONG = {Title.tmdb_body.name, Title.omdb_body.name, TitleJson.tmdb.name, TitleJson.omdb.name}
# Columns of a title.
LISTS = {Title.genres.name, Title.directors.name, Title.cast.name}
# Further ids are no whole numbers in the JSON of clients, and SQLite may find no next one.
ID_MAX = 2**53
UNUSABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
LEFT_OUT = "Settings of the archive that this version cannot use were left out: "
KNOWN = re.compile(r"[a-z_.]{1,60}")


def examine(path: Path) -> list[str]:
    """Leave out what can be left out of the file, which nobody has open; returns warnings. Raises
    InvalidError for what cannot be restored, and sqlite3.Error."""
    with databases.opened(path, read_only=True) as connection:
        _refuse_accounts(connection)
        _refuse_ids(connection)
        left_out = [key for key, value in _raw(connection, Setting) if not _is_setting(key, value)]
        bad_jobs = [row[0] for row in _raw(connection, Job) if not _is_job(row)]
        warnings = list(_wrong_kinds(connection))
    if left_out or bad_jobs:
        with databases.opened(path) as connection:
            connection.execute("PRAGMA trusted_schema = off")
            connection.execute("PRAGMA synchronous = off")
            _delete(connection, Setting, left_out)
            _delete(connection, Job, bad_jobs)
    if left_out:
        names = {_shown(key) for key in left_out}
        warnings.append(f"{LEFT_OUT}{', '.join(sorted(names))}.")
    if bad_jobs:
        count = len(bad_jobs)
        warnings.append(f"Left out: {count:,} record{'s' * (count > 1)} of finished work.")
    if warnings:
        log.warning("archive.rows", warnings=warnings)
    return warnings


def _refuse_accounts(connection: sqlite3.Connection) -> None:
    if _fault_of(connection, User):
        raise corrupted("an account of database.db has values of a wrong kind")
    for (user_id,) in connection.execute("SELECT id FROM user"):
        if not USER_ID.fullmatch(user_id):
            raise corrupted("an account of database.db has an id that is none")


def _refuse_ids(connection: sqlite3.Connection) -> None:
    """An IMDb id, and what stands for it at TMDB, become parts of the addresses that are asked with
    the server's keys."""
    odd = "imdb_id = '' OR imdb_id GLOB '*[^A-Za-z0-9]*' OR typeof(imdb_id) <> 'text'"
    if connection.execute(f"SELECT 1 FROM title WHERE {odd}").fetchone():  # noqa: S608
        raise corrupted("a film of database.db has an IMDb id that is none")
    odd = "media_type NOT IN ('movie', 'tv') OR typeof(tmdb_id) <> 'integer' OR tmdb_id < 1"
    if connection.execute(f"SELECT 1 FROM tmdb_link WHERE {odd}").fetchone():  # noqa: S608
        raise corrupted("a film of database.db has a number at TMDB that is none")
    if connection.execute("SELECT 1 FROM person WHERE id > ?", (ID_MAX,)).fetchone():
        raise corrupted("a person of database.db has an id that is too large")


def _raw(connection: sqlite3.Connection, table: type[Table]) -> Iterator[tuple]:
    """All rows, with their texts as bytes: they may be none."""
    names = ", ".join(f'"{field.column_name}"' for field in table._meta.sorted_fields)
    connection.text_factory = bytes
    try:
        yield from connection.execute(f'SELECT {names} FROM "{table._meta.table_name}"')  # noqa: S608
    finally:
        connection.text_factory = str


def _is_setting(key: Any, value: Any) -> bool:
    try:
        msgspec.json.decode(value, type=SETTINGS.get(key.decode(), Any))
    except (*UNUSABLE, TypeError, AttributeError):
        return False
    return True


def _is_job(row: tuple) -> bool:
    values = dict(zip((field.name for field in Job._meta.sorted_fields), row, strict=True))
    try:
        msgspec.json.decode(values["params"], type=dict[str, Any])
        msgspec.json.decode(values["result"] or b"null", type=dict[str, Any] | None)
        texts = [values[name].decode() for name in ("id", "kind", "state", "message")]
    except (*UNUSABLE, TypeError, AttributeError):
        return False
    numbers = [values[name] for name in ("done", "total", "starts", "created_at")]
    numbers += [values[name] or 0 for name in ("started_at", "finished_at", "tried_at")]
    are_numbers = all(isinstance(number, int | float) for number in numbers)
    return are_numbers and texts[1] in jobs.KINDS and texts[2] in JOB_STATES


def _delete(connection: sqlite3.Connection, table: type[Table], keys: Iterable) -> None:
    key = table._meta.primary_key.column_name
    # A key that is a text was read as bytes, which are another value.
    condition = f'CAST("{key}" AS BLOB) = CAST(? AS BLOB)'
    connection.executemany(
        f'DELETE FROM "{table._meta.table_name}" WHERE {condition}',  # noqa: S608
        [(value,) for value in keys],
    )


def _shown(key: object) -> str:
    text = key.decode(errors="replace") if isinstance(key, bytes) else ""
    return text if KNOWN.fullmatch(text) else "unknown ones"


def _wrong_kinds(connection: sqlite3.Connection) -> Iterator[str]:
    for table in TABLES:
        # The first was looked at, the others are left out.
        if table in (User, Setting, Job, UndoStep):
            continue
        if columns := _fault_of(connection, table):
            yield (
                f"Values of a wrong kind in the table {table._meta.table_name} ({columns}): "
                "pages that show them may fail."
            )


def _fault_of(connection: sqlite3.Connection, table: type[Table]) -> str | None:
    """The columns whose values this program cannot have written, "text" where some cannot be read
    at all; None where all is well."""
    fields = [field for field in table._meta.sorted_fields if field.name not in LONG]
    name = table._meta.table_name
    # In one pass: reading the texts is what tells whether they are texts.
    texts = [f'"{field.column_name}"' for field in fields if not _is_number(field)]
    is_wrong = " OR ".join(map(_is_wrong, fields))
    rows = connection.execute(f'SELECT {", ".join([*texts, is_wrong])} FROM "{name}"')  # noqa: S608
    try:
        if not any(row[-1] for row in rows):
            return None
    except sqlite3.OperationalError as error:
        if "decode" not in str(error):
            raise
        return "text"
    counts = ", ".join(f"TOTAL({_is_wrong(field)})" for field in fields)
    [totals] = connection.execute(f'SELECT {counts} FROM "{name}"').fetchall()  # noqa: S608
    wrong = (field.column_name for field, total in zip(fields, totals, strict=True) if total)
    return ", ".join(wrong)


def _is_number(field: Field) -> bool:
    return getattr(field, "rel_field", field).field_type in NUMBERS


def _is_wrong(field: Field) -> str:
    column = f'"{field.column_name}"'
    if _is_number(field):
        return f"typeof({column}) IN ('text', 'blob')"
    if field.model is Title and field.name in LISTS:
        # The type of what is no JSON cannot be asked for.
        return f"NOT json_valid({column}) OR substr(ltrim({column}), 1, 1) <> '['"
    if field.field_type == "JSON":
        return f"NOT json_valid({column})"
    return f"typeof({column}) NOT IN ('text', 'null')"
