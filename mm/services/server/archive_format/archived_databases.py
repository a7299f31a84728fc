"""What is wrong with the database of an archive, and bringing it to the current schema.

Its file may have been made to do harm: what its schema could make SQLite run is refused before
anything is written to it.
"""

import re
import sqlite3
from pathlib import Path
from typing import Any

from peewee import PeeweeException

from mm import schema
from mm.errors import InvalidError
from mm.schemas import Metadata
from mm.services.server import databases
from mm.services.server.archive_format import archived_rows
from mm.services.server.archive_format.zip_reading import corrupted

MAGIC = b"SQLite format 3\0"
HEADER_BYTES = 100
# Section 1.3 of https://www.sqlite.org/fileformat2.html
ENCODING = slice(56, 60)
UTF8 = 1
WORD = re.compile(r"\w+")
# What makes SQLite compute something, and no table or index of this program has.
RULES = {"VIRTUAL", "CHECK", "GENERATED", "AS"}
# Of the tables, by the names of the migrations that make them.
_shapes: dict[tuple[str, ...], dict[str, Any]] = {}
FOREIGN = "database.db is not a database of Movie Manager"


def newer(app_version: str) -> str:
    return (
        f"This backup was made by a newer version of Movie Manager ({_shown(app_version)}). "
        "Upgrade this server first."
    )


def _shown(app_version: str) -> str:
    short = app_version[:40]
    return short if short.isprintable() else ascii(short)


def refuse_newer(metadata: Metadata) -> None:
    """Raises InvalidError for a schema that this version does not know."""
    if metadata.schema not in schema.names():
        raise InvalidError(newer(metadata.app_version))


def is_older(metadata: Metadata) -> bool:
    return metadata.schema != schema.names()[-1]


def examine(path: Path, metadata: Metadata) -> tuple[list[str], list[str]]:
    """Check the file, which nobody has open, and bring it to the current schema; returns the
    migrations that were applied for that, and warnings. Raises InvalidError."""
    try:
        _refuse_header(path)
        applied = databases.migrations_of(path)
        _refuse_what_runs(path)
        if fault := databases.fault_of(path):
            raise corrupted(f"database.db is damaged ({fault})")
        _refuse_other_migrations(applied, metadata)
        if databases.rows_of(path) != metadata.rows:
            raise corrupted("database.db has other rows than metadata.json says")
        migrations = schema.upgrade_file(path)
        if _shape(path) != _shape_of_this_version(path):
            raise corrupted("the tables of database.db are not those of Movie Manager")
        warnings = archived_rows.examine(path)
    except (sqlite3.Error, PeeweeException) as error:
        raise corrupted(f"database.db is damaged ({error})") from error
    return migrations, warnings


def _refuse_header(path: Path) -> None:
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES or not header.startswith(MAGIC):
        raise corrupted(FOREIGN)
    # A restore would bring it into the database in use, whose text is UTF-8.
    if int.from_bytes(header[ENCODING], "big") != UTF8:
        raise corrupted("database.db has another encoding than UTF-8")


def _refuse_what_runs(path: Path) -> None:
    """Raises InvalidError for triggers, views, tables of extensions and columns that are computed:
    this program has none, and whoever planted one wants it to run."""
    with databases.opened(path, read_only=True) as connection:
        kinds = {kind for (kind,) in connection.execute("SELECT DISTINCT type FROM sqlite_schema")}
        for kind in sorted(kinds - {"table", "index"}):
            raise corrupted(f"database.db holds a {kind}")
        for name, sql in connection.execute(
            "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"
        ):
            if RULES & set(WORD.findall(sql.upper())):
                raise corrupted(f"database.db holds a rule of its own on {name[:40]}")


def _refuse_other_migrations(applied: list[str], metadata: Metadata) -> None:
    if not applied:
        raise corrupted(FOREIGN)
    known = schema.names()
    if not set(applied) <= set(known):
        raise InvalidError(newer(metadata.app_version))
    if applied != known[: len(applied)] or applied[-1] != metadata.schema:
        raise corrupted("database.db has another schema than metadata.json says")


def _shape(path: Path) -> dict[str, Any]:
    """{table: its columns, references and indexes}; not the text that made them, which other
    versions of Peewee or SQLite write differently."""
    with databases.opened(path, read_only=True) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
        return {table: _shape_of(connection, table) for (table,) in tables}


def _shape_of(connection: sqlite3.Connection, table: str) -> tuple[set, set, set]:
    columns = {row[1:] for row in connection.execute(f'PRAGMA table_xinfo("{table}")')}
    keys = {row[2:] for row in connection.execute(f'PRAGMA foreign_key_list("{table}")')}
    indexes = set()
    for _, name, *kind in connection.execute(f'PRAGMA index_list("{table}")').fetchall():
        parts = connection.execute(f'PRAGMA index_xinfo("{name}")').fetchall()
        is_named = kind[1] == "c"
        indexes.add((name if is_named else "", *kind, tuple(row[2:] for row in parts)))
    return columns, keys, indexes


def _shape_of_this_version(path: Path) -> dict[str, Any]:
    """Found once in a process, from a database that is made beside `path`: applying all migrations
    takes as long as the rest of an examination."""
    names = tuple(schema.names())
    if names not in _shapes:
        fresh = path.with_name(f"{path.name}-fresh")
        try:
            schema.upgrade_file(fresh)
            _shapes[names] = _shape(fresh)
        finally:
            fresh.unlink(missing_ok=True)
    return _shapes[names]
