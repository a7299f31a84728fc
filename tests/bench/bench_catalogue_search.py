"""The search in a catalogue as one types, beside a scan of all titles (LIKE '%…%').

python -m tests.bench.bench_catalogue_search CATALOGUE.db [--titles FILE] [--prefixes 2000]

The prefixes are the beginnings of real titles, of 2 letters and more, the more often the better
known: by default titles of the catalogue; `--titles`: a file with one a line. Each search opens the
file again, as the server does. Times in milliseconds. Last: how many whole titles with their years
are found a second, as they are looked up when the films of another program are matched.
"""

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

from mm import config
from mm.services.catalogue import search, store

COMMON = (
    *("the", "man", "of the", "the man", "the l", "a", "of", "in the", "and the", "love", "life"),
    *("the of", "the of and", "day of the", "la", "de la", "story", "the story of", "new", "my"),
    *("alien 1979", "love 2010", "the 19", "the man 199", "man 2", "film", "the film", "show"),
)
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
# Of every 10 prefixes so many come from the best known titles.
KNOWN_OF_TEN, KNOWN = 5, 20_000
SCANS = 20
MATCHED = 2500


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("catalogue", type=Path)
    parser.add_argument("--titles", type=Path)
    parser.add_argument("--prefixes", type=int, default=2000)
    args = parser.parse_args()
    measure(args.catalogue, args.titles, args.prefixes)


def measure(path, file=None, count=2000):
    random.seed(1)
    with tempfile.TemporaryDirectory(prefix="mm-bench-") as folder:
        config.use(config.Config(data_dir=Path(folder)))
        config.current.catalogue_file.symlink_to(path.resolve())
        typed = prefixes(titles(file), count)
        report("prefixes of titles", typed, searched)
        report("common words", COMMON * 5, searched)
        report("single letters", LETTERS, searched)
        whole = random.sample(typed, SCANS)
        report("scan of all titles", whole, scanned)
        match(MATCHED)


def titles(file):
    """The best known first."""
    if file:
        return file.read_text().splitlines()
    with store.reading() as connection:
        rows = connection.execute("SELECT title FROM film ORDER BY rank LIMIT 1000000")
        return [title for [title] in rows]


def prefixes(titles, count):
    known = titles[:KNOWN]
    made = []
    while len(made) < count:
        title = random.choice(known if random.randrange(10) < KNOWN_OF_TEN else titles)
        if len(title) > 1:
            made.append(title[: random.randint(2, min(len(title), 25))])
    return made


def searched(text):
    search.search(text)


def scanned(text):
    with store.reading() as connection:
        query = "SELECT * FROM film WHERE title LIKE ? ORDER BY votes DESC LIMIT 20"
        connection.execute(query, (f"%{text}%",)).fetchall()


def match(count):
    with store.reading() as connection:
        query = "SELECT title, year FROM film WHERE rank % 500 = 7 LIMIT ?"
        rows = connection.execute(query, (count,)).fetchall()
        worked = time.process_time()
        for title, year in rows:
            assert search.same_title(connection, title, year)
        seconds = time.process_time() - worked
    print(f"titles matched: {len(rows) / seconds:,.0f} a second of the processor")


def report(name, texts, do):
    """The times of the processor say what a search costs where other programs use it too."""
    spent = []
    for text in texts:
        started, worked = time.perf_counter(), time.process_time()
        do(text)
        spent.append((time.perf_counter() - started, time.process_time() - worked, text))
    slowest = ", ".join(repr(text) for *_, text in sorted(spent, key=lambda row: -row[1])[:3])
    print(f"{name}: {len(spent)}, slowest {slowest}")
    for kind, seconds in (("elapsed", 0), ("processor", 1)):
        times = sorted(row[seconds] * 1000 for row in spent)
        cuts = statistics.quantiles(times, n=100, method="inclusive")
        shown = f"p50 {cuts[49]:7.2f}  p95 {cuts[94]:7.2f}  p99 {cuts[98]:7.2f}"
        print(f"  {kind:10} {shown}  max {times[-1]:7.2f}")


if __name__ == "__main__":
    main()
