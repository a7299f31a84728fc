"""GET /api/movies of a large library: time and bytes, and how both grow.

    python -m tests.bench.bench_movies [--films 1000 10000] [--votes 2] [--rounds 5] [--stream 0]
                                       [--titles FILE.jsonl.gz]

Every film has both providers' bodies: those of the file, a line each ({"tmdb": …, "omdb": …}), or
made-up ones; where the file has no cast or no OMDb body, that is made up too.
"""

import argparse
import gc
import gzip
import itertools
import json
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

from mm import auth, config, create_app, models, schema
from mm.database import chunks, db, insert_rows
from mm.models import TitleJson
from mm.services import accounts, portable
from mm.services.enrichment import queue as enrichment_queue
from tests.support.libraries import as_bytes, many

WORDS = [
    f"{first}{second}"
    for first in ("ba", "ke", "lo", "mi", "tu")
    for second in ("ran", "ste", "vil", "dor")
]
PEOPLE = 2000


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--films", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--votes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--stream", type=int, default=0, help="films of one long answer")
    parser.add_argument("--titles", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mm-bench-") as folder:
        app = create_app(config.Config(data_dir=Path(folder) / "data"))
        schema.upgrade()
        with db.connection_context():
            fill_titles(max(args.films), args.titles)
        previous = None
        for films in args.films:
            previous = report(films, measure(app, films, args.votes, args.rounds), previous)
        if args.stream:
            stream(app, args.stream, args.votes)


def fill_titles(count, file):
    """A body of each provider for the films that `many` numbers from 1."""
    rows = itertools.chain(read_titles(file) if file else (), itertools.repeat({}))
    with db.atomic():
        models.ensure_titles(db.obj, (f"tt{number:07d}" for number in range(1, count + 1)))
        for number, row in zip(range(1, count + 1), rows, strict=False):
            made_up = random.Random(number)
            enrichment_queue.fill(
                "tmdb", f"tt{number:07d}", tmdb_body(made_up, number, row.get("tmdb") or {})
            )
            enrichment_queue.fill(
                "omdb", f"tt{number:07d}", row.get("omdb") or omdb_body(made_up, number)
            )


def read_titles(file):
    with gzip.open(file, "rt") as lines:
        yield from map(json.loads, lines)


def tmdb_body(made_up, number, known):
    names = [name(made_up) for _ in range(16)]
    cast = [
        {"id": number * 100 + order, "name": who, "character": words(made_up, 2), "order": order}
        for order, who in enumerate(names[:10])
    ]
    crew = [
        {
            "id": number * 100 + order,
            "name": who,
            "job": "Director" if order == 10 else "Writer",
            "department": "Directing" if order == 10 else "Writing",
        }
        for order, who in enumerate(names[10:], 10)
    ]
    return {
        "id": number,
        "title": words(made_up, 3).title(),
        "release_date": "1995-10-30",
        "runtime": 100,
        "genres": [{"id": 1, "name": "Drama"}, {"id": 2, "name": "Comedy"}],
        "overview": words(made_up, 50),
        "poster_path": f"/{made_up.randbytes(14).hex()}.jpg",
        "vote_average": 7.1,
        "vote_count": 1234,
        **known,
        "media_type": "movie",
        "credits": {"cast": cast, "crew": crew},
    }


def omdb_body(made_up, number):
    texts = {"Title": 3, "Writer": 6, "Plot": 30, "Awards": 8, "Production": 2}
    return {
        **{key: words(made_up, count).capitalize() for key, count in texts.items()},
        "Year": "1995",
        "Rated": "PG-13",
        "Released": "30 Oct 1995",
        "Runtime": "100 min",
        "Genre": "Drama, Comedy",
        "Director": name(made_up),
        "Actors": ", ".join(name(made_up) for _ in range(4)),
        "Language": "English",
        "Country": "United States",
        "Poster": f"https://m.media-amazon.com/images/M/{made_up.randbytes(40).hex()}.jpg",
        "Ratings": [
            {"Source": "Internet Movie Database", "Value": "7.1/10"},
            {"Source": "Rotten Tomatoes", "Value": "80%"},
            {"Source": "Metacritic", "Value": "70/100"},
        ],
        "Metascore": "70",
        "imdbRating": "7.1",
        "imdbVotes": "12,345",
        "imdbID": f"tt{number:07d}",
        "Type": "movie",
        "BoxOffice": "$1,234,567",
        "Website": "N/A",
        "Response": "True",
    }


def words(made_up, count):
    return " ".join(made_up.choices(WORDS, k=count))


def name(made_up):
    person = random.Random(made_up.randrange(PEOPLE))
    return words(person, 2).title()


def measure(app, films, votes, rounds):
    client = app.test_client()
    with db.connection_context(), app.app_context():
        user = accounts.create(f"user{films}@example.org", f"user{films}", "correct horse battery")
        portable.apply(portable.plan(user.id, portable.read(as_bytes(many(films, votes)))))
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {auth.issue_token(user)}"
    plain, seconds = ask(client, rounds)
    zipped, zipped_seconds = ask(client, rounds, {"Accept-Encoding": "gzip"})
    known, known_seconds = ask(client, rounds, {"If-None-Match": plain.headers["ETag"]})
    page, page_seconds = ask(client, rounds, path="/api/movies?limit=60&sort=my_rating")
    assert (plain.status_code, zipped.status_code, known.status_code, page.status_code) == (
        200,
        200,
        304,
        200,
    )
    rows = plain.json
    assert len(rows) == films
    dumped = statistics.median(timed(lambda: json.dumps(rows)) for _ in range(rounds))
    return {
        "json.dumps of the same rows": (dumped, 0),
        "all": (seconds, len(plain.data)),
        "gzip": (zipped_seconds, len(zipped.data)),
        "304": (known_seconds, 0),
        "60 by rating": (page_seconds, len(page.data)),
    }


def timed(action):
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def stream(app, films, votes):
    """How much memory an answer of any length takes: the process's growth while it is sent."""
    with db.connection_context(), app.app_context():
        user = accounts.create("stream@example.org", "stream", "correct horse battery")
        whole = many(films, votes)
        # A file takes 64 MiB at most.
        for movies in chunks(whole["movies"], 50_000):
            part = as_bytes({**whole, "movies": movies})
            portable.apply(portable.plan(user.id, portable.read(part)))
        del whole, movies, part
        copy_json(films)
        authorization = {"Authorization": f"Bearer {auth.issue_token(user)}"}
    gc.collect()
    for encoding in ("identity", "gzip"):
        before, size, peak = resident(), 0, 0
        start = time.perf_counter()
        headers = {**authorization, "Accept-Encoding": encoding}
        answer = app.test_client().get("/api/movies", headers=headers)
        for part in answer.iter_encoded():
            size += len(part)
            peak = max(peak, resident())
        spent = time.perf_counter() - start
        grown = (peak - before) / 1e6
        print(
            f"{films:,} films, {encoding}: {size:,} bytes in {spent:.1f} s, "
            f"{grown:.0f} MB more memory"
        )


def copy_json(films):
    """The JSON of the first title for all, because filling so many takes many minutes."""
    row = TitleJson.select().tuples().first()
    known = {imdb_id for (imdb_id,) in TitleJson.select(TitleJson.title).tuples()}
    names = (f"tt{number:07d}" for number in range(1, films + 1))
    fields = [TitleJson.title, TitleJson.version, TitleJson.tmdb, TitleJson.omdb]
    with db.atomic():
        rows = ((name, *row[1:]) for name in names if name not in known)
        insert_rows(db.obj, fields, rows)


def resident():
    """Bytes of memory that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def ask(client, rounds, headers=None, path="/api/movies"):
    spent = []
    for _ in range(rounds):
        start = time.perf_counter()
        answer = client.get(path, headers=headers)
        # A long answer is made while it is read.
        assert answer.data is not None
        spent.append(time.perf_counter() - start)
    return answer, statistics.median(spent)


def report(films, measured, previous):
    print(f"{films:,} films:")
    for label, (seconds, size) in measured.items():
        growth = (
            f", {seconds / previous[label][0]:.1f} times the time of before" if previous else ""
        )
        print(f"  {label}: {seconds * 1000:.1f} ms, {size:,} bytes{growth}")
    return measured


if __name__ == "__main__":
    main()
