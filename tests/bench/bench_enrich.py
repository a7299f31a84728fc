"""How fast titles are filled, beside the rate that TMDB permits.

    python -m tests.bench.bench_enrich --library FILE.v2.json --base-url URL [--data-dir DIR]

The base URL is that of a server that answers as TMDB and OMDb do, `python -m
tests.support.standin` for one. With a data directory of an earlier run that was stopped or killed,
it goes on from there.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import requests
from peewee import fn

from mm import clock, config, models, schema
from mm.database import connect, db, insert_rows
from mm.models import Movie, Title, User
from mm.providers import limits
from mm.services import jobs
from mm.services.enrichment import pauses
from mm.services.enrichment import runner as enrichment_runner

PERMITTED = 40
PACE = 36


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--data-dir", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mm-bench-") as scratch:
        prepare(args.data_dir or Path(scratch), args.base_url.rstrip("/"))
        with db.connection_context():
            add_films([row["imdb_id"] for row in json.loads(args.library.read_text())["movies"]])
            measure()
        db.obj.close()
    print("server:", requests.get(f"{args.base_url.rstrip('/')}/__stats__", timeout=5).json())


def prepare(data_dir, base_url):
    values = {
        "tmdb_api_key": "bench-tmdb-key",
        "omdb_api_key": "bench-omdb-key",
        "tmdb_base_url": f"{base_url}/3",
        "omdb_base_url": f"{base_url}/omdb/",
    }
    now = config.use(config.Config(data_dir=data_dir, **values))
    config.prepare(now)
    connect(now.database)
    schema.upgrade()


def add_films(imdb_ids):
    """One user who holds all of them; nothing new on a second run."""
    user, _ = User.get_or_create(
        username_key="bench",
        defaults={
            "email": "bench@example.org",
            "email_key": "bench@example.org",
            "username": "bench",
            "password_hash": "",
        },
    )
    with db.atomic():
        models.ensure_titles(db.obj, imdb_ids)
        fields = [
            Movie.user,
            Movie.title,
            Movie.status,
            Movie.date_added,
            Movie.last_modified,
            Movie.updated_at,
        ]
        now = clock.now()
        rows = [(user.id, imdb_id, "watched", now, now, now) for imdb_id in imdb_ids]
        insert_rows(db.obj, fields, rows, ignore=True)


def measure():
    before = states("tmdb").get("ready", 0)
    print(f"{before} of {Title.select().count()} titles are filled already", flush=True)
    started = time.monotonic()
    counts = enrichment_runner.run(jobs.create("enrich"))
    seconds = time.monotonic() - started
    rate = limits.tmdb_worker.started / seconds
    print(f"result: {counts}")
    print(f"{seconds:.1f} s, {limits.tmdb_worker.started} requests to TMDB: {rate:.1f} a second")
    print(
        f"ratio to the {PERMITTED} permitted: {rate / PERMITTED:.2f}; "
        f"to the rate limit of {PACE}: {rate / PACE:.2f}"
    )
    print(
        f"states: TMDB {states('tmdb')}, OMDb {states('omdb')}, "
        f"OMDb calls counted: {pauses.omdb_calls()}"
    )
    print("notices:", *pauses.notices(), sep="\n  ")


def states(provider):
    state = Title._meta.fields[f"{provider}_state"]
    return dict(Title.select(state, fn.COUNT(Title.imdb_id)).group_by(state).tuples())


if __name__ == "__main__":
    main()
