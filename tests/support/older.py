"""What older versions wrote, kept in tests/fixtures: their databases, and one user's backups."""

import sqlite3
from contextlib import closing
from pathlib import Path

from mm import config
from mm.services.backup.files import folder_of

FOLDER = config.ROOT / "tests" / "fixtures"
VERSIONS = ("0.1.0", "0.2.0-0002")
SCHEDULED = "2026-02-03.json"
PASSWORD = "only for fixtures"


def database_of(version: str) -> Path:
    return FOLDER / version / "mm.db"


def copy_backups(version: str, user_id: str) -> list[str]:
    """Put that version's backups among the user's own; returns their names, the scheduled one
    first."""
    target = folder_of(user_id)
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in (FOLDER / version / "backups").iterdir():
        # Not copyfile's mode: the program writes them for their owner only.
        (target / path.name).touch(mode=0o600)
        (target / path.name).write_bytes(path.read_bytes())
    return sorted(
        (path.name for path in target.iterdir() if not path.name.endswith(".meta.json")), key=len
    )


def tables(path: Path) -> dict[str, tuple[list[str], list[tuple]]]:
    """{table: (columns, rows by the first column)}; without SQLite's own tables and the list of
    migrations."""
    with closing(sqlite3.connect(path)) as database:
        names = database.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' "
            "AND name <> 'schema_migration'"
        ).fetchall()
        found = {}
        for (name,) in names:
            rows = database.execute(f'SELECT * FROM "{name}" ORDER BY 1')
            found[name] = ([column[0] for column in rows.description], rows.fetchall())
    return found
