"""The build of a catalogue of real size beside unpacking the largest dataset and storing the same
films without a search.

python -m tests.bench.bench_catalogue [--titles 11800000] [--datasets FOLDER] [--real FILE]
    [--akas] [--directors]

`--datasets` has files that tests.bench.datasets made; without it they are made first. The build may
take three times as long as the reference, 200 MB of memory, and without other languages and
directors 450 MB on the disk. At last its search, as tests.bench.bench_catalogue_search.
"""

import argparse
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from mm import config
from mm.schemas import CatalogueChoice
from mm.services.catalogue import building, checking, store
from tests.bench import bench_catalogue_search, datasets

SHARE = 3
MEMORY_MB = 200
DISK_MB = 450
BASICS = "title.basics.tsv.gz"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--titles", type=int, default=datasets.TITLES)
    parser.add_argument("--datasets", type=Path)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--akas", action="store_true")
    parser.add_argument("--directors", action="store_true")
    parser.add_argument("--build-here", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.build_here:
        build_here(options)
        return
    with tempfile.TemporaryDirectory(prefix="mm-bench-") as folder:
        target = Path(folder, "catalogue.db")
        if options.datasets is None:
            options.datasets = Path(folder, "datasets")
            timed("make datasets", lambda: make_datasets(options))
        built = timed("build", lambda: build(options, target))
        reference = timed("  unpack basics", lambda: unpack(options.datasets / BASICS))
        reference += timed("  store the films", lambda: store_films(target))
        say("build, of the reference", f"{built / reference:9.2f} x", built <= reference * SHARE)
        size = target.stat().st_size / 1e6
        is_small = size < DISK_MB or options.akas or options.directors
        say("on the disk", f"{size:9.1f} MB", is_small)
        timed("check", lambda: checking.check(target, None))
        bench_catalogue_search.measure(target)


def make_datasets(options):
    datasets.write(options.datasets, options.titles, options.real, options.akas, options.directors)


def build(options, target):
    """In a process of its own, whose memory is measured."""
    command = [sys.executable, "-m", "tests.bench.bench_catalogue", "--build-here", target]
    command += ["--datasets", options.datasets]
    command += ["--akas"] * options.akas + ["--directors"] * options.directors
    subprocess.run(command, check=True)


def build_here(options):
    names = ["title.basics", "title.ratings"] + ["title.akas"] * options.akas
    names += ["title.crew", "name.basics"] * options.directors
    target = options.build_here
    config.prepare(config.use(config.Config(data_dir=target.parent / "data")))
    building.build(
        {name: options.datasets / f"{name}.tsv.gz" for name in names},
        target,
        CatalogueChoice(0.0, akas=options.akas, directors=options.directors),
        {},
        lambda *_: None,
        lambda: False,
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    say("memory at most", f"{peak:9.1f} MB", peak < MEMORY_MB)


def unpack(path):
    with subprocess.Popen(["zcat", path], stdout=subprocess.PIPE) as zcat:
        subprocess.run(["wc", "-l"], stdin=zcat.stdout, stdout=subprocess.DEVNULL, check=True)


def store_films(target):
    """The same films in a table alone."""
    plain = target.with_name("plain.db")
    with closing(sqlite3.connect(target)) as old, closing(sqlite3.connect(plain)) as new:
        new.execute(f"CREATE TABLE film ({store.COLUMNS})")
        rows = old.execute(f"SELECT {store.COLUMNS} FROM film")
        marks = ", ".join("?" * len(rows.description))
        new.executemany(f"INSERT INTO film VALUES ({marks})", rows)
        new.commit()
    plain.unlink()


def timed(what, work):
    """Seconds. The processor's beside them: the clock's mean little while others use it too."""
    begun, before = time.perf_counter(), processor_seconds()
    work()
    seconds = time.perf_counter() - begun
    used = processor_seconds() - before
    print(f"{what:24}{seconds:9.2f} s   {used:9.2f} s of the processor", flush=True)
    return seconds


def processor_seconds():
    return sum(os.times()[:4])


def say(what, measured, is_enough):
    print(f"{what:24}{measured}  {'ok' if is_enough else 'TOO MUCH'}", flush=True)


if __name__ == "__main__":
    main()
