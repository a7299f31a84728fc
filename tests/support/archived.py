"""What a restore of the whole server must bring back: rows and posters."""

import sqlite3

from mm import config

# Tables whose rows a restore changes on purpose, and columns of the others.
OWN_TABLES = ("job", "undo_step", "setting")
OWN_COLUMNS = ("token_version", "updated_at")
POSTER = b"\xff\xd8\xff" + b"poster" * 100


def rows(path=None):
    """{table: its rows} of the database in use, or of the file `path`, but for what a restore
    changes on purpose."""
    database = sqlite3.connect(path or config.current.data_dir / "mm.db")
    database.row_factory = sqlite3.Row
    tables = [
        name
        for (name,) in database.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
        if name not in OWN_TABLES
    ]
    found = {
        table: sorted(
            repr({key: row[key] for key in row.keys() if key not in OWN_COLUMNS})  # noqa: SIM118
            for row in database.execute(f'SELECT * FROM "{table}"')
        )
        for table in tables
    }
    database.close()
    return found


def put_poster(name, data=POSTER):
    path = config.current.posters_dir / "w342" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def poster_files():
    folder = config.current.posters_dir
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
