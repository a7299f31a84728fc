"""An archive of the whole server and its restore, on a real server, beside the bare work: `cp` and
fsync of the database, and `sqlite3 .backup; gzip -1; sha256sum`.

python -m tests.bench.bench_archives [--megabytes 100] [--folder FOLDER] [--rounds 1]

Meanwhile others read and write: their 99th percentile is told with and without the work, and the
peak of the worker's memory. `--folder` keeps the database that is made for the next run.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import requests

from mm import clock, config, models, schema
from mm.database import connect, db, insert_rows
from mm.models import Movie, Person, Recommendation, Title, TitleJson, User, Watch
from mm.services import accounts
from mm.services.enrichment import title_json
from tests.support import processes, whole_server
from tests.support.whole_server import PASSWORD, Api

USERS, PEOPLE = 5, 40
BATCH = 2000
# Within so many times the bare copy, with so little memory, and so quick for everybody else.
MOST_TIMES, MOST_MB, MOST_MS = 3, 150, 100
PAUSE_SECONDS = 0.05
QUIET_SECONDS = 10


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mm-bench-", dir=args.folder) as folder:
        made = database_of(args.megabytes, args.folder or Path(folder))
        print(f"database: {made.stat().st_size / 1e6:,.0f} MB")
        for number in range(args.rounds):
            measure(made, Path(folder, str(number)))


def measure(made, folder):
    data_dir = folder / "data"
    data_dir.mkdir(mode=0o700, parents=True)
    shutil.copy(made, data_dir / "mm.db")
    copied = bare_copy(made, folder)
    zipped = bare_archive(made, folder)
    print(f"cp + fsync: {copied:.2f} s; sqlite3 .backup; gzip -1; sha256sum: {zipped:.2f} s")
    # The server's log is not of interest here.
    with contextlib.redirect_stdout(sys.stderr), processes.running(data_dir) as server:
        server.start("web", "worker")
        wait_for_the_night(server)
        with Others(server) as others:
            time.sleep(QUIET_SECONDS)
            others.report("nothing else")
            api = Api(server.url, "user0")
            with Peak(server) as peak:
                timestamp, spent = archive(api)
            report("archive, verified", spent, copied, zipped, peak)
            size = (data_dir / "backups/server" / api.entry(timestamp)["filename"]).stat().st_size
            print(f"  {size / 1e6:,.0f} MB", file=sys.__stdout__)
            others.report("archive")
            with Peak(server) as peak:
                spent = restore(server, api, timestamp)
            report("restore, with its safety archive", spent, copied, zipped, peak)
            others.report("restore")
            for line in server.log("worker").read_text().splitlines():
                if "restore.step" in line:
                    print(f"  {line}", file=sys.__stdout__)


def wait_for_the_night(server):
    """Until the worker has done what it does every night, and finds due in a new database."""
    while server.query("SELECT 1 FROM job WHERE state IN ('queued', 'running')"):
        time.sleep(0.5)


def archive(api):
    started = time.perf_counter()
    entry = api.archive()
    assert entry["state"] == "verified", entry
    return entry["timestamp"], time.perf_counter() - started


def restore(server, api, timestamp):
    started = time.perf_counter()
    found = whole_server.outcome(api.restore(timestamp), server.url)
    assert found["state"] == "done", found
    return time.perf_counter() - started


def report(what, spent, copied, zipped, peak):
    print(
        f"{what}: {spent:.2f} s, {spent / copied:.1f} times cp + fsync (must be under {MOST_TIMES})"
        f", {spent / zipped:.2f} times backup and gzip; at most {peak.most} MB after {peak.before} "
        f"MB (must be under {MOST_MB})",
        file=sys.__stdout__,
    )


def bare_copy(made, folder):
    target = folder / "copy.db"
    started = time.perf_counter()
    subprocess.run(["cp", made, target], check=True)
    descriptor = os.open(target, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    spent = time.perf_counter() - started
    target.unlink()
    return spent


def bare_archive(made, folder):
    target = folder / "backup.db"
    started = time.perf_counter()
    with (
        contextlib.closing(sqlite3.connect(made)) as source,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
    subprocess.run(["gzip", "-1", target], check=True)
    zipped = target.with_name("backup.db.gz")
    subprocess.run(["sha256sum", zipped], check=True, stdout=subprocess.DEVNULL)
    spent = time.perf_counter() - started
    zipped.unlink()
    return spent


class Peak:
    """The largest resident size of the worker within the block, and its size before, as the kernel
    counts them in MB. What earlier work used is not given back at once."""

    def __init__(self, server):
        self.folder = Path("/proc", str(server.processes["worker"].pid))

    def __enter__(self):
        # The largest one from now on.
        (self.folder / "clear_refs").write_text("5")
        self.before = self.megabytes("VmRSS")
        return self

    def __exit__(self, *_):
        self.most = self.megabytes("VmHWM")

    def megabytes(self, name):
        lines = (self.folder / "status").read_text().splitlines()
        [line] = [line for line in lines if line.startswith(f"{name}:")]
        return int(line.split()[1]) // 1024


class Others:
    """A page, a phone and somebody who rates, each asking twenty times a second at most."""

    def __init__(self, server):
        self.url = server.url
        self.times = {}
        self.refused = 0
        self.stopped = threading.Event()
        self.threads = [
            threading.Thread(target=self.work, args=(name, *asked), daemon=True)
            for name, asked in {
                "GET /": ("user1", self.page),
                "GET /api/sync/changes": ("user2", self.changes),
                "PUT rating": ("user3", self.rate),
            }.items()
        ]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join(30)

    def work(self, name, user, ask):
        session = requests.Session()
        while not self.stopped.is_set():
            try:
                started = time.perf_counter()
                answer = ask(session)
                spent = (time.perf_counter() - started) * 1000
            except requests.RequestException as error:
                print(f"{name}: {error}", file=sys.__stdout__)
                continue
            if answer.status_code in (302, 303, 401):
                self.log_in(session, user)
            else:
                self.times.setdefault(name, []).append(spent)
                self.refused += answer.status_code == 503
                if answer.status_code not in (200, 503):
                    print(f"{name}: {answer.status_code}", file=sys.__stdout__)
            self.stopped.wait(PAUSE_SECONDS)

    def log_in(self, session, user):
        session.headers["Sec-Fetch-Site"] = "same-origin"
        session.cookies.clear()
        form = {"email": user, "password": PASSWORD}
        session.post(f"{self.url}/login", data=form, timeout=60, allow_redirects=False)
        body = {"email": user, "password": PASSWORD}
        answer = requests.post(f"{self.url}/api/auth/login", json=body, timeout=60)
        if answer.ok:
            session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def page(self, session):
        return session.get(f"{self.url}/", timeout=60, allow_redirects=False)

    def changes(self, session):
        since = clock.now() - random.random()
        address = f"{self.url}/api/sync/changes?since={since}&limit=100"
        return session.get(address, timeout=60)

    def rate(self, session):
        film = f"tt{random.randrange(1, 500):07}"
        body = {"my_rating": random.randint(1, 10)}
        return session.put(f"{self.url}/api/movies/{film}/watch", json=body, timeout=60)

    def report(self, beside):
        """What was measured since the last time."""
        times, self.times = self.times, {}
        refused, self.refused = self.refused, 0
        for name, spent in sorted(times.items()):
            worst = statistics.quantiles(spent, n=100)[98] if len(spent) > 1 else spent[0]
            print(
                f"  {name} beside {beside}: median {statistics.median(spent):.0f} ms, p99 "
                f"{worst:.0f} ms of {len(spent)} (must be under {MOST_MS})",
                file=sys.__stdout__,
            )
        if refused:
            print(f"  {refused} writes were asked to wait (503)", file=sys.__stdout__)


def database_of(megabytes, folder):
    """A database of about so many MB, made where the folder has none yet."""
    path = folder / f"bench-{megabytes}.db"
    if path.exists():
        return path
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="mm-bench-", dir=folder) as draft:
        settings = config.use(config.Config(data_dir=Path(draft, "data")))
        config.prepare(settings)
        database = connect(settings.database)
        schema.upgrade()
        with db.connection_context():
            fill(settings.data_dir / "mm.db", megabytes)
            db.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        database.release()
        (settings.data_dir / "mm.db").rename(path)
    print(f"made a database in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return path


def fill(path, megabytes):
    dice = random.Random(1)
    users = [
        accounts.create(f"user{number}@example.org", f"user{number}", PASSWORD, number == 0)
        for number in range(USERS)
    ]
    with db.atomic():
        people = {user.id: people_of(user) for user in users}
    # Its bodies are JSON of words that repeat, as the providers' are: they pack to about a quarter.
    words = [made_up(dice) for _ in range(4000)]
    number = 0
    while size_of(path) < megabytes * 1e6:
        numbers = range(number + 1, number + BATCH + 1)
        with db.atomic():
            insert_titles(dice, words, numbers)
            for user in users:
                insert_films(dice, words, user, people[user.id], numbers)
        number += BATCH


def size_of(path):
    """With its log."""
    return sum(file.stat().st_size for file in path.parent.glob("mm.db*"))


def people_of(user):
    now = clock.now()
    names = [f"Person {number}" for number in range(PEOPLE)]
    fields = (
        Person.user,
        Person.name,
        Person.name_key,
        Person.is_trusted,
        Person.color,
        Person.last_modified,
        Person.updated_at,
    )
    updated_at = models.next_update(db.obj)
    rows = ((user.id, name, name.casefold(), 0, "#0a84ff", now, updated_at) for name in names)
    insert_rows(db, fields, rows)
    return [row_id for (row_id,) in Person.select(Person.id).where(Person.user == user.id).tuples()]


def made_up(dice):
    length = dice.randint(2, 5)
    return "".join(dice.choice("bcdfglmnprstvz") + dice.choice("aeiou") for _ in range(length))


def insert_titles(dice, words, numbers):
    now = clock.now()
    fields = (
        Title.imdb_id,
        Title.tmdb_id,
        Title.title,
        Title.year,
        Title.genres,
        Title.directors,
        Title.cast,
        Title.overview,
        Title.search_text,
        Title.tmdb_state,
        Title.tmdb_attempts,
        Title.tmdb_fetched_at,
        Title.omdb_state,
        Title.omdb_attempts,
        Title.omdb_fetched_at,
        Title.tmdb_body,
        Title.omdb_body,
    )
    rows = []
    for number in numbers:
        name = " ".join(dice.sample(words, 3)).title()
        overview = " ".join(dice.choices(words, k=60))
        bodies = tmdb_body(dice, words, number, name, overview), omdb_body(dice, name, overview)
        state = ("ready", 1, now)
        year = dice.randint(1930, 2026)
        lists = ('["Drama"]', "[]", "[]")
        texts = (overview, f"{name.lower()} drama")
        row = (f"tt{number:07}", number, name, year, *lists, *texts, *state, *state, *bodies)
        rows.append(row)
    insert_rows(db, fields, rows)
    shown = ((row[0], title_json.version(), row[-2][:1500], row[-1][:600]) for row in rows)
    insert_rows(db, (TitleJson.title, TitleJson.version, TitleJson.tmdb, TitleJson.omdb), shown)


def tmdb_body(dice, words, number, name, overview):
    cast = [
        {
            "adult": False,
            "gender": dice.randint(0, 2),
            "id": dice.randrange(10**6),
            "known_for_department": "Acting",
            "name": " ".join(dice.sample(words, 2)).title(),
            "popularity": round(dice.random() * 20, 3),
            "profile_path": f"/{dice.getrandbits(120):x}.jpg",
            "character": dice.choice(words).title(),
            "credit_id": f"{dice.getrandbits(96):x}",
            "order": order,
        }
        for order in range(20)
    ]
    return json.dumps(
        {
            "id": number,
            "title": name,
            "original_title": name,
            "overview": overview,
            "genres": [{"id": 18, "name": "Drama"}],
            "poster_path": None,
            "vote_average": round(dice.random() * 10, 1),
            "credits": {"cast": cast},
        }
    )


def omdb_body(dice, name, overview):
    ratings = [
        {"Source": source, "Value": f"{dice.randint(10, 99)}%"}
        for source in ("Internet Movie Database", "Rotten Tomatoes", "Metacritic")
    ]
    return json.dumps({"Title": name, "Plot": overview, "Ratings": ratings, "Response": "True"})


def insert_films(dice, words, user, people, numbers):
    now = clock.now()
    updated_at = models.next_update(db.obj)
    fields = (
        Movie.user,
        Movie.title,
        Movie.media_type,
        Movie.status,
        Movie.date_added,
        Movie.last_modified,
        Movie.updated_at,
        Movie.note,
    )
    insert_rows(
        db,
        fields,
        (
            (
                user.id,
                f"tt{number:07}",
                "movie",
                "watched" if number % 2 else "toWatch",
                now - number,
                now,
                updated_at + number * 1e-6,
                " ".join(dice.choices(words, k=15)) if number % 5 == 0 else None,
            )
            for number in numbers
        ),
    )
    ids = [
        row
        for (row,) in Movie.select(Movie.id)
        .where((Movie.user == user.id) & (Movie.updated_at >= updated_at))
        .tuples()
    ]
    watched = (Watch.movie, Watch.date_watched, Watch.my_rating, Watch.day_known)
    insert_rows(db, watched, ((row, now - row, dice.randint(1, 10), 1) for row in ids[::2]))
    vote = (
        Recommendation.movie,
        Recommendation.person,
        Recommendation.date_recommended,
        Recommendation.vote_type,
    )
    votes = ((row, person, now, 1) for row in ids for person in dice.sample(people, 2))
    insert_rows(db, vote, votes)
    User.update(library_version=User.library_version + 1).where(User.id == user.id).execute()


if __name__ == "__main__":
    main()
