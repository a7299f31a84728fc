"""A plan beside the import of the same file: made in both modes, stored, opened, read back, and
applied as a replace.

python -m tests.bench.bench_plans [--films 50000]

The library has other ratings for every tenth film, and as many films again that the file has not,
so that a replace changes, adds and removes. The first page of a stored plan must open within 150
ms.
"""

import argparse
import tempfile
import time
from pathlib import Path

from mm import config, schema
from mm.database import connect, db
from mm.models import Job
from mm.services import accounts, portable
from mm.services.backup import imports, stored_plans, uploads
from tests.support.libraries import as_bytes, document, seen, vote

PAGE = 50
LIMIT = 0.150


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--films", type=int, default=50_000)
    films = parser.parse_args().films
    with tempfile.TemporaryDirectory(prefix="mm-bench-") as folder:
        settings = config.use(config.Config(data_dir=Path(folder, "data")))
        config.prepare(settings)
        connect(settings.database)
        schema.upgrade()
        with db.connection_context():
            measure(films)


def measure(films):
    user = accounts.create("a@example.org", "alice", "correct horse battery")
    wanted = as_bytes(library(range(1, films + 1), 8.5))
    mine = as_bytes(library(range(films // 10 * 9, films * 2), 3.0))
    incoming = timed("read a file", lambda: portable.read(wanted))
    plan = timed("plan an import", lambda: portable.plan(user.id, portable.read(mine)))
    timed("import", lambda: portable.apply(plan))
    timed("plan a merge", lambda: portable.plan(user.id, incoming))
    timed("plan a replace", lambda: portable.plan(user.id, incoming, mode="replace"))
    job = uploads.keep(user, wanted, "import", {})
    timed("both, and store them", lambda: imports.prepare(job, "replace"))
    job = Job.get_by_id(job.id)
    begun = time.perf_counter()
    stored_plans.summary(job)
    for kind, outcome in (("movie", "new"), ("movie", "changed"), ("movie", "removed")):
        stored_plans.rows(job, kind, outcome, 0, PAGE)
    seconds = time.perf_counter() - begun
    verdict = "ok" if seconds < LIMIT else "TOO SLOW"
    print(f"{'open the first page':24}{seconds * 1000:9.1f} ms  {verdict}")
    stored = timed("read it back", lambda: stored_plans.load(job))
    timed("replace", lambda: portable.apply(stored))
    sizes = [uploads.path_of(job, suffix).stat().st_size for suffix in (".json", ".plan", ".rows")]
    print("file, plan and rows: " + ", ".join(f"{size / 1e6:.1f} MB" for size in sizes))


def library(numbers, rating):
    rows = [
        seen(number, rating, recommendations=[vote("Ann"), vote("Ben")], last_modified=1e9)
        for number in numbers
    ]
    return document(rows)


def timed(what, work):
    begun = time.perf_counter()
    done = work()
    print(f"{what:24}{time.perf_counter() - begun:9.2f} s")
    return done


if __name__ == "__main__":
    main()
