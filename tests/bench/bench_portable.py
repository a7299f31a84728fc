"""Export and import beside the bare work: the same SELECTs, JSON, rows and transaction without us.

python -m tests.bench.bench_portable [--films 5000] [--votes 2] [--rounds 7]
                                     [--forms first second] [--memory 60000] [--cpu]
                                     [--replace 60000]

The first form is a file as versions before 0.2.0 wrote it; the second has all that a library can
hold. To compare with an older commit, run this file in a checkout of it too, with `--forms first`.
`--replace`: going back from a library of so many films, of which half are others and half of the
rest have changed, beside the import of the same file into an empty account.
On a busy machine compare the least of CPU time, which leaves out waiting for others and the disk.
"""

import argparse
import contextlib
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from mm import config, schema
from mm.database import connect, db
from mm.models import Movie, User
from mm.services import portable

# Parents before children; those that the commit has.
TABLES = (
    "user",
    "title",
    "custom_list",
    "movie",
    "list_film",
    "watch",
    "ranking",
    "person",
    "recommendation",
    "saved_view",
)
FORMS = ("first", "second")
PEOPLE = 50
LISTS = 20
VIEWS = 20
T = 1_771_000_000.0
MEMORY_FILE = "memory.json"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--films", type=int, default=5000)
    parser.add_argument("--votes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS)
    parser.add_argument("--memory", type=int, default=60_000, help="films; 0 leaves it out")
    parser.add_argument("--replace", type=int, default=60_000, help="films; 0 leaves it out")
    parser.add_argument("--cpu", action="store_true", help="CPU time instead of the clock's")
    parser.add_argument("--measure-memory-in", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure_memory_in:
        measure_memory(args.measure_memory_in)
        return
    with tempfile.TemporaryDirectory(prefix="mm-bench-") as folder:
        for form in args.forms:
            measure(form, args, Path(folder, form))
        if args.replace:
            measure_replace(args, Path(folder, "replace"))


def measure(form, args, folder):
    now = time.process_time if args.cpu else time.perf_counter
    data = library(form, args.films, args.votes)
    open_database(folder)
    with db.connection_context():
        report(f"import, {form} form", *measure_import(data, folder, args.rounds, now), limit=4)
        report(f"export, {form} form", *measure_export(args.rounds, now), limit=3)
        print(f"  {len(data) / 1e6:.1f} MB; rows: {counted_rows()}")
    db.close()
    if args.memory:
        report_memory(form, args.memory, args.votes, folder / "memory")


def library(form, films, votes):
    """The file."""
    names = [f"Person {number:02}" for number in range(PEOPLE)]
    movies = []
    for number in range(1, films + 1):
        voters = [names[(number + index * 7) % PEOPLE] for index in range(votes)]
        movies.append(
            {
                "imdb_id": f"tt{number:07d}",
                "media_type": "movie",
                "status": "watched",
                "custom_list_id": None,
                "date_added": T,
                "last_modified": T,
                "recommendations": [
                    {"person_name": name, "date_recommended": T, "vote_type": True}
                    for name in voters
                ],
                "watch_history": {"date_watched": T, "my_rating": 8.5},
            }
        )
    document = {"version": 2, "exported_at": T, "movies": movies, "people": [], "lists": []}
    if form == "second":
        extend(document)
    return json.dumps(document).encode()


def extend(document):
    """Hints, notes, two watches a film, each film on two lists, views, and half of the films
    ranked."""
    movies = document["movies"]
    for number, film in enumerate(movies):
        film |= {"title": f"Film number {number}", "year": 1900 + number % 120}
        film["note"] = f"Seen with friends, number {number}"
        last = film["watch_history"] | {"note": "Even better", "day_known": True}
        first = {"date_watched": T - 1e6, "my_rating": 7.0, "note": None, "day_known": False}
        film |= {"watch_history": last, "watches": [first, last]}
    document["lists"] = [
        {
            "id": f"list-{place}",
            "name": f"List {place}",
            "color": "#ff0000",
            "icon": "star",
            "position": place,
            "created_at": T,
            "last_modified": T,
            "description": "Films for a rainy day",
            "films": [
                {"imdb_id": film["imdb_id"], "note": "For later" if number % 2 else None}
                for number, film in enumerate(movies)
                if place in (number % LISTS, (number + 7) % LISTS)
            ],
        }
        for place in range(LISTS)
    ]
    document["views"] = [
        {
            "name": f"View {place}",
            "filters": {"genre": ["Comedy", "Drama"], "not_genre": "Horror", "q": "x"},
            "position": place,
            "last_modified": T,
        }
        for place in range(VIEWS)
    ]
    document["rankings"] = [
        {"imdb_id": film["imdb_id"], "liked": True, "position": place + 1, "ranked_at": T}
        for place, film in enumerate(movies[::2])
    ]


def open_database(folder):
    settings = config.use(config.Config(data_dir=folder / "data"))
    config.prepare(settings)
    connect(settings.database)
    schema.upgrade()


def report(name, ours, floor, limit):
    """Both are lists of seconds, one of each round."""
    middle, bare = statistics.median(ours), statistics.median(floor)
    print(
        f"{name}: {middle * 1000:.0f} ms (least {min(ours) * 1000:.0f}), bare {bare * 1000:.0f} ms "
        f"(least {min(floor) * 1000:.0f}): {middle / bare:.2f} times (must be within {limit})"
    )


def counted_rows():
    counts = {name: rows for name in tables() if (rows := count_of(name))}
    return ", ".join(f"{name} {rows:,}" for name, rows in counts.items())


def count_of(table):
    return db.execute_sql(f'SELECT COUNT(*) FROM "{table}"').fetchone()[0]


def tables():
    there = set(db.get_tables())
    return [name for name in TABLES if name in there]


def new_user(number):
    names = ("email", "email_key", "username", "username_key")
    return User.create(id=str(number), password_hash="", **dict.fromkeys(names, str(number)))


def measure_import(data, folder, rounds, now):
    """Each round imports into a fresh account of a server that knows none of the films."""
    ours, floor, rows = [], [], None
    for number in range(rounds):
        forget_films()
        user = new_user(number)
        start = now()
        portable.apply(portable.plan(user.id, portable.read(data)))
        ours.append(now() - start)
        rows = rows or taken_rows()
        floor.append(bare_import(data, rows, folder / f"bare{number}.db", now))
    return ours, floor


def forget_films():
    for table in reversed(tables()):
        db.execute_sql(f'DELETE FROM "{table}"')


def taken_rows():
    """{table: rows}, just as our import has written them."""
    return {name: db.execute_sql(f'SELECT * FROM "{name}"').fetchall() for name in tables()}


def bare_import(data, rows, path, now):
    """Parse, then one executemany a table in one transaction, into the same tables with the same
    pragmas."""
    statements = db.execute_sql("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")
    ddl = [sql for (sql,) in statements if "sqlite_" not in sql]
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as bare:
        for pragma in ("journal_mode=wal", "synchronous=full", "foreign_keys=1"):
            bare.execute(f"PRAGMA {pragma}")
        for statement in ddl:
            bare.execute(statement)
        start = now()
        json.loads(data)
        bare.execute("BEGIN IMMEDIATE")
        for table, taken in rows.items():
            if taken:
                marks = ",".join("?" * len(taken[0]))
                bare.executemany(f'INSERT INTO "{table}" VALUES ({marks})', taken)
        bare.execute("COMMIT")
        return now() - start


def measure_export(rounds, now):
    ours, floor = [], []
    user = User.select().join(Movie).get()
    for _ in range(rounds):
        start = now()
        portable.encode(portable.dump(user.id))
        ours.append(now() - start)
        finished = portable.dump(user.id)
        start = now()
        bare_selects(user.id)
        msgspec.json.encode(finished)
        floor.append(now() - start)
    return ours, floor


def bare_selects(user_id):
    """The columns that an export reads, of the tables and columns that the commit has."""
    there = tables()
    on_movie = "JOIN movie ON movie.id = movie_id"
    if "list_film" in there:
        selects = [
            "movie.id, movie.imdb_id, movie.media_type, status, custom_list_pk, date_added, "
            "last_modified, note, hint_title, hint_year, title.title, title.year FROM movie "
            "JOIN title ON title.imdb_id = movie.imdb_id",
            f"movie_id, date_watched, my_rating, watch.note, day_known FROM watch {on_movie}",
            f"list_film.custom_list_pk, imdb_id, list_film.note FROM list_film {on_movie}",
            "id, name, color, icon, position, created_at, last_modified, description "
            "FROM custom_list",
        ]
    else:
        selects = [
            "id, imdb_id, media_type, status, custom_list_pk, date_added, last_modified FROM movie",
            f"movie_id, date_watched, my_rating FROM watch {on_movie}",
            "id, name, color, icon, position, created_at, last_modified FROM custom_list",
        ]
    if "ranking" in there:
        selects.append(f"imdb_id, liked, position, ranked_at FROM ranking {on_movie}")
    selects += [
        "movie_id, name, date_recommended, vote_type FROM recommendation "
        "JOIN person ON person.id = person_id",
        "name, is_trusted, color, emoji, quick_key, last_modified FROM person",
        "name, filters, position, last_modified FROM saved_view",
    ]
    for sql in selects:
        db.execute_sql(f"SELECT {sql} WHERE user_id = ?", (user_id,)).fetchall()


def measure_replace(args, folder):
    now = time.process_time if args.cpu else time.perf_counter
    data = library("second", args.replace, args.votes)
    later = changed(data)
    open_database(folder)
    with db.connection_context():
        user = new_user("replace")
        for name, file, mode in (
            ("import", data, "merge"),
            ("what came later", later, "replace"),
            ("back", data, "replace"),
            ("once more", data, "replace"),
        ):
            incoming, start = portable.read(file, trusted=True), now()
            plan = portable.plan(user.id, incoming, mode=mode)
            planned = now()
            portable.apply(plan)
            print(
                f"replace of {args.replace:,} films, {name}: plan {planned - start:.2f} s, "
                f"apply {now() - planned:.2f} s, {peak_megabytes():.0f} MB at most"
            )
    db.close()


def changed(data):
    """The file with other films in its first half, and every second of the rest changed."""
    document = json.loads(data)
    half = len(document["movies"]) // 2
    others = {film["imdb_id"]: f"tt9{film['imdb_id'][2:]}" for film in document["movies"][:half]}
    for number, film in enumerate(document["movies"]):
        film["imdb_id"] = others.get(film["imdb_id"], film["imdb_id"])
        if number % 2 and number > half:
            film["note"] = "Changed"
            film["watches"].pop(0)
            film["recommendations"].pop()
    for row in [film for entry in document["lists"] for film in entry["films"]]:
        row["imdb_id"] = others.get(row["imdb_id"], row["imdb_id"])
    for row in document["rankings"]:
        row["imdb_id"] = others.get(row["imdb_id"], row["imdb_id"])
    return json.dumps(document).encode()


def report_memory(form, films, votes, folder):
    data = library(form, films, votes)
    folder.mkdir()
    (folder / MEMORY_FILE).write_bytes(data)
    command = [sys.executable, "-m", "tests.bench.bench_portable"]
    child = subprocess.run(
        [*command, "--measure-memory-in", folder], check=True, capture_output=True, text=True
    )
    size = f"{films:,} films, {len(data) / 1e6:.1f} MB"
    print(f"import, {form} form, memory of {size}: {child.stdout.strip()}")


def measure_memory(folder):
    open_database(folder)
    with db.connection_context():
        user = new_user("memory")
        before = peak_megabytes()
        data = (folder / MEMORY_FILE).read_bytes()
        portable.apply(portable.plan(user.id, portable.read(data)))
    print(f"{peak_megabytes():.0f} MB at most, {before:.0f} MB before it")


def peak_megabytes():
    """Of this process alone: a child's getrusage begins with the peak of its parent."""
    [line] = [
        line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line
    ]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
