"""A long list put in another order, beside the bare UPDATEs, and the sync feed after that.

python -m tests.bench.bench_lists [--films 10000] [--rounds 7]
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import msgspec

from mm import config, schema
from mm.database import connect, db
from mm.models import CustomList
from mm.services import accounts, portable
from mm.services.library import bulk, lists, serializers
from mm.services.sync import feed
from tests.support.libraries import as_bytes, custom_list, document, film

LIST = "list-1"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--films", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mm-bench-") as folder:
        settings = config.use(config.Config(data_dir=Path(folder)))
        config.prepare(settings)
        connect(settings.database)
        schema.upgrade()
        with db.connection_context():
            user = accounts.create("ann@example.org", "ann", "correct horse battery")
            measure(user.id, args.films, args.rounds)


def measure(user_id, films, rounds):
    rows = [film(number) for number in range(1, films + 1)]
    data = as_bytes(document(rows, lists=[custom_list(LIST)]))
    portable.apply(portable.plan(user_id, portable.read(data)))
    order = [row["imdb_id"] for row in rows]
    say("put on a list", [seconds(put_on_list, user_id, order)], films)
    [everything] = [seconds(read_feed, user_id, 0.0)]
    say("feed of all", [everything], films)
    reorders, bare, feeds = [], [], []
    for _ in range(rounds):
        order.reverse()
        since = feed.newest(user_id) + 1e-6
        reorders.append(seconds(lists.reorder_films, user_id, LIST, order))
        feeds.append(seconds(read_feed, user_id, since))
        changes = feed.everything_since(user_id, since)
        bare.append(seconds(bare_reorders, user_id) / 2)
    say("reorder", reorders, films)
    say("bare reorder", bare, films)
    print(f"  {statistics.median(reorders) / statistics.median(bare):.2f} times")
    say("feed after a reorder", feeds, len(changes.film_ids))
    print(f"  {len(changes.film_ids)} films and {len(changes.feed.lists)} lists in it")
    say("the list with its films", [seconds(read_list, user_id) for _ in range(rounds)], films)


def seconds(work, *values):
    start = time.perf_counter()
    work(*values)
    return time.perf_counter() - start


def say(name, times, films):
    print(f"{name}: {statistics.median(times) * 1000:.0f} ms, {films:,} films")


def put_on_list(user_id, imdb_ids):
    for start in range(0, len(imdb_ids), bulk.FILMS_MAX):
        bulk.put_on_list(user_id, imdb_ids[start : start + bulk.FILMS_MAX], LIST)


def read_feed(user_id, since):
    """As an answer of the API."""
    changes = feed.everything_since(user_id, since)
    msgspec.json.encode(changes.feed)
    for batch in serializers.in_batches(user_id, changes.film_ids):
        msgspec.json.encode(batch)


def read_list(user_id):
    msgspec.json.encode(lists.details(lists.find(user_id, LIST)))


def bare_reorders(user_id):
    """Back and forth, by a statement for each row, each time in one transaction."""
    pk = CustomList.get((CustomList.user == user_id) & (CustomList.id == LIST)).pk
    there = "SELECT position, id FROM list_film WHERE custom_list_pk = ? ORDER BY position"
    rows = db.execute_sql(there, (pk,)).fetchall()
    back = [(len(rows) - place, key) for place, (_, key) in enumerate(rows)]
    for order in (back, rows):
        with db.atomic():
            db.cursor().executemany("UPDATE list_film SET position = ? WHERE id = ?", order)


if __name__ == "__main__":
    main()
