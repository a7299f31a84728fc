"""A library of 10,000 films as CSV, beside a bare SELECT of as many columns with csv.writer.

python -m tests.bench.bench_table [--films 10000] [--rounds 5]
"""

import argparse
import csv
import io
import statistics
import tempfile
import time
from pathlib import Path

from mm import config, schema, spreadsheets
from mm.database import connect, db
from mm.services import accounts, portable
from mm.services.library import browse, table
from tests.support.libraries import as_bytes, many

# The last watch and the names of the people of each film by a look-up of its own, as one writes it
# who needs the table once.
BARE = """
SELECT t.title, t.original_title, t.year, t.media_type, m.status, t.genres, t.directors, t.runtime,
  w.my_rating, w.date_watched, m.date_added, t.imdb_rating, t.rotten_tomatoes, t.metacritic, m.note,
  t.imdb_id, t.tmdb_id, (
    SELECT group_concat(p.name) FROM recommendation r JOIN person p ON p.id = r.person_id
    WHERE r.movie_id = m.id
  )
FROM movie m JOIN title t ON t.imdb_id = m.imdb_id LEFT JOIN watch w ON w.movie_id = m.id
WHERE m.user_id = ? AND m.status != 'deleted' ORDER BY m.date_added DESC
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--films", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mm-bench-") as folder:
        settings = config.use(config.Config(data_dir=Path(folder)))
        config.prepare(settings)
        connect(settings.database)
        schema.upgrade()
        with db.connection_context():
            user = accounts.create("ann@example.org", "ann", "correct horse battery")
            data = as_bytes(many(args.films, votes_each=2))
            portable.apply(portable.plan(user.id, portable.read(data)))
            measure(user.id, args.films, args.rounds)


def measure(user_id, films, rounds):
    ours, bare = [], []
    for _ in range(rounds):
        ours.append(seconds(write_table, user_id, films))
        bare.append(seconds(write_bare, user_id, films))
    for name, times in (("table", ours), ("bare table", bare)):
        print(f"{name}: {statistics.median(times) * 1000:.0f} ms, {films:,} films")
    print(f"  {statistics.median(ours) / statistics.median(bare):.2f} times")


def write_table(user_id, films):
    rows = table.of(user_id, browse.parse({"status": "all"}))
    parts = list(spreadsheets.csv_of(table.COLUMNS, rows.batches))
    require_all(b"".join(parts).count(b"\r\n"), films)


def write_bare(user_id, films):
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["column"] * 18)
    writer.writerows(db.execute_sql(BARE, (user_id,)))
    require_all(text.getvalue().count("\r\n"), films)


def require_all(lines, films):
    if lines != films + 1:
        raise SystemExit(f"{lines - 1:,} rows for {films:,} films")


def seconds(work, *values):
    start = time.perf_counter()
    work(*values)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
