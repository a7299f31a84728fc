"""Collections of 100 items of each kind, and a list of 10,000 films: exported, previewed and
imported, each beside the bare alternative: a SELECT written as JSON, and the file parsed and its
rows inserted.

python -m tests.bench.bench_collections [--items 100] [--films 10000] [--rounds 5]

Each kind must take less than a second in all, the list less than five.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from mm import config, schema
from mm.database import connect, db
from mm.services import accounts
from mm.services.collections import envelope, importing, plans

SECONDS, LIST_SECONDS = 1, 5
KEPT = ("keep_daily", "keep_weekly", "keep_monthly", "keep_yearly")
# A table of the bare rows of each kind: as many columns as an item has.
BARE = "CREATE TEMP TABLE bare (id INTEGER PRIMARY KEY, a, b, c, d, e)"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--films", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mm-bench-") as folder:
        settings = config.use(config.Config(data_dir=Path(folder)))
        config.prepare(settings)
        connect(settings.database)
        schema.upgrade()
        with db.connection_context():
            for kind, items in several(args.items).items():
                measure(kind, items, kind, SECONDS, args.rounds)
            measure("lists", [long_list(args.films)], "a long list", LIST_SECONDS, args.rounds)


def several(count):
    """So many items of each kind; of settings there are only these."""
    numbers = range(count)
    lists = [{"name": f"List {number}", "films": films(10, number)} for number in numbers]
    return {
        "people": [person(number) for number in numbers],
        "lists": lists,
        "views": [view(number) for number in numbers],
        "settings": [
            {"name": "retention", "value": dict.fromkeys(KEPT, 2)},
            {"name": "dates", "value": {"format": "iso", "language": "de"}},
            {"name": "library", "value": {"size": "l", "sort": "title"}},
        ],
    }


def person(number):
    return {"name": f"Person {number}", "is_trusted": True, "color": "#0a84ff", "emoji": "🦊"}


def view(number):
    """Of somebody whom the account knows, and of somebody whom it does not."""
    people = ["Person -1", f"Person {number}"]
    return {"name": f"View {number}", "filters": {"person": people, "decade": "1990", "q": "war"}}


def long_list(count):
    return {"name": "Long", "films": films(count)}


def films(count, start=0):
    return [
        {"imdb_id": f"tt{number:07}", "title": f"Film {number}", "year": 1990, "note": "Good"}
        for number in range(start + 1, start + count + 1)
    ]


def measure(kind, items, name, limit, rounds):
    """Into accounts that hold somebody already, so that a safety backup is made."""
    times = {step: [] for step in ("preview", "import", "export", "bare import", "bare export")}
    for number in range(rounds):
        owner = f"{name.replace(' ', '-')}-{number}"
        user = accounts.create(f"{owner}@example.org", owner, "correct horse battery")
        importing.at_once(user, envelope.read("people", data_of("people", [person(-1)])))
        data = data_of(kind, items)
        times["preview"].append(seconds(preview, user, kind, data))
        times["import"].append(seconds(take, user, kind, data))
        times["export"].append(seconds(export, user, kind))
        times["bare import"].append(seconds(bare_import, data))
        times["bare export"].append(seconds(bare_export))
    medians = {step: statistics.median(values) for step, values in times.items()}
    for step in ("preview", "import", "export"):
        bare = medians["bare export" if step == "export" else "bare import"]
        print(f"{name}: {step} {medians[step] * 1000:.0f} ms, {medians[step] / bare:.1f} times")
    total = sum(medians[step] for step in ("preview", "import", "export"))
    verdict = "ok" if total < limit else "TOO SLOW"
    print(f"{name}: {total:.2f} s in all, of {limit} s: {verdict}")


def data_of(kind, items):
    metadata = {"version": "1.0.0", "export_type": kind, "item_count": len(items)}
    return json.dumps({"metadata": metadata, "items": items}).encode()


def preview(user, kind, data):
    plans.preview(plans.plan(user.id, envelope.read(kind, data)))


def take(user, kind, data):
    result = importing.at_once(user, envelope.read(kind, data))
    if result.imported != result.total_items:
        raise SystemExit(f"{kind}: {result.error_details}")


def export(user, kind):
    envelope.encode(envelope.written(kind, plans.KINDS[kind].export(user.id, None)))


def bare_import(data):
    """The file parsed, and a row for each item and each film."""
    with db.atomic():
        db.execute_sql("DROP TABLE IF EXISTS bare")
        db.execute_sql(BARE)
        rows = []
        for item in json.loads(data)["items"]:
            for row in (item, *item.get("films", [])):
                values = [
                    bare_value(value) for value in row.values() if not isinstance(value, list)
                ]
                rows.append((values + [None] * 5)[:5])
        sql = "INSERT INTO bare (a, b, c, d, e) VALUES (?, ?, ?, ?, ?)"
        db.cursor().executemany(sql, rows)


def bare_value(value):
    return json.dumps(value) if isinstance(value, dict) else value


def bare_export():
    rows = db.execute_sql("SELECT a, b, c, d, e FROM bare ORDER BY id").fetchall()
    json.dumps([dict(zip("abcde", row, strict=True)) for row in rows]).encode()


def seconds(work, *values):
    start = time.perf_counter()
    work(*values)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
