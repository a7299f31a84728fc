"""Export and import beside the bare work: the same SELECTs, JSON, rows and transaction without us.

python -m tests.bench.bench_portable [--films 5000] [--votes 2] [--rounds 7]
"""

import argparse
import contextlib
import json
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

import msgspec

from mm import config, models, schema
from mm.database import connect, db
from mm.models import User
from mm.services import portable
from tests.support.libraries import as_bytes, document, seen, vote

TABLES = ("user", "title", "custom_list", "movie", "watch", "person", "recommendation")
PEOPLE = 50


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--films", type=int, default=5000)
    parser.add_argument("--votes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    data = as_bytes(library(args.films, args.votes))
    with tempfile.TemporaryDirectory(prefix="mm-bench-") as folder:
        open_database(Path(folder))
        with db.connection_context():
            report("import", *measure_import(data, Path(folder), args.rounds), limit=4)
            report("export", *measure_export(Path(folder), args.rounds), limit=3)


def library(films, votes):
    names = [f"Person {number:02}" for number in range(PEOPLE)]
    rows = [
        seen(
            number,
            recommendations=[vote(names[(number + index * 7) % PEOPLE]) for index in range(votes)],
        )
        for number in range(1, films + 1)
    ]
    return document(rows)


def open_database(folder):
    now = config.use(config.Config(data_dir=folder / "data"))
    config.prepare(now)
    connect(now.database)
    schema.upgrade()


def report(name, ours, floor, limit):
    print(
        f"{name}: {ours * 1000:.0f} ms, bare {floor * 1000:.0f} ms: {ours / floor:.2f} times "
        f"(must be within {limit})"
    )


def measure_import(data, folder, rounds):
    """Each round imports into a fresh account of a server that knows none of the films."""
    ours, floor, rows = [], [], None
    for number in range(rounds):
        forget_films()
        user = User.create(
            id=str(number),
            email=number,
            email_key=number,
            username=number,
            username_key=number,
            password_hash="",
        )
        start = time.perf_counter()
        portable.apply(portable.plan(user.id, portable.read(data)))
        ours.append(time.perf_counter() - start)
        rows = rows or taken_rows()
        floor.append(bare_import(data, rows, folder / f"bare{number}.db"))
    return statistics.median(ours), statistics.median(floor)


def forget_films():
    for table in (models.Recommendation, models.Watch, models.Movie, models.Person, models.Title):
        table.delete().execute()


def taken_rows():
    """{table: rows}, just as our import has written them."""
    return {table: db.execute_sql(f'SELECT * FROM "{table}"').fetchall() for table in TABLES}


def bare_import(data, rows, path):
    """Parse, then one executemany a table in one transaction, into the same tables with the same
    pragmas."""
    statements = db.execute_sql("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")
    ddl = [sql for (sql,) in statements if "sqlite_" not in sql]
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as bare:
        for pragma in ("journal_mode=wal", "synchronous=full", "foreign_keys=1"):
            bare.execute(f"PRAGMA {pragma}")
        for statement in ddl:
            bare.execute(statement)
        start = time.perf_counter()
        json.loads(data)
        bare.execute("BEGIN IMMEDIATE")
        for table in TABLES:
            if rows[table]:
                marks = ",".join("?" * len(rows[table][0]))
                bare.executemany(f'INSERT INTO "{table}" VALUES ({marks})', rows[table])
        bare.execute("COMMIT")
        return time.perf_counter() - start


def measure_export(folder, rounds):
    ours, floor = [], []
    user = User.select().join(models.Movie).get()
    for _ in range(rounds):
        start = time.perf_counter()
        portable.encode(portable.dump(user.id))
        ours.append(time.perf_counter() - start)
        finished = portable.dump(user.id)
        start = time.perf_counter()
        bare_selects(user.id)
        msgspec.json.encode(finished)
        floor.append(time.perf_counter() - start)
    return statistics.median(ours), statistics.median(floor)


def bare_selects(user_id):
    for sql in (
        "id, imdb_id, media_type, status, custom_list_pk, date_added, last_modified FROM movie",
        "movie_id, date_watched, my_rating FROM watch JOIN movie ON movie.id = movie_id",
        "movie_id, name, date_recommended, vote_type FROM recommendation "
        "JOIN person ON person.id = person_id",
        "name, is_trusted, color, emoji, quick_key, last_modified FROM person",
        "id, name, color, icon, position, created_at, last_modified FROM custom_list",
    ):
        db.execute_sql(f"SELECT {sql} WHERE user_id = ?", (user_id,)).fetchall()


if __name__ == "__main__":
    main()
