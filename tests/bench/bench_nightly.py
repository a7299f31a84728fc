"""The nightly run with few changed libraries beside one where every library has changed.

python -m tests.bench.bench_nightly [--users 1000] [--films 1000] [--changed 0.01]
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

from mm import clock, models, tasks
from mm.database import db
from mm.models import Job, User, Watch
from mm.services import jobs, portable
from mm.services.backup import schedule
from tests.bench.bench_portable import open_database
from tests.support.libraries import as_bytes, many

DAY = 86400


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--films", type=int, default=1000)
    parser.add_argument("--changed", type=float, default=0.01)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mm-bench-") as folder:
        open_database(Path(folder))
        with db.connection_context():
            users = make_users(args.users, args.films)
            before = memory()
            full = night(users)
            print(
                f"full run: {full:.1f} s, {full / args.users * 1000:.1f} ms a user, "
                f"+{memory() - before} MB at most"
            )
            change(users[: max(1, int(args.users * args.changed))])
            few = night(users)
            print(
                f"{args.changed:.0%} changed: {few:.2f} s, {100 * few / full:.1f} % "
                "of the full run (must be under 5)"
            )


def make_users(count, films):
    incoming = portable.read(as_bytes(many(films, 1)))
    users = []
    for number in range(count):
        name = f"user{number}"
        user = User.create(
            email=name,
            email_key=name,
            username=name,
            username_key=name,
            password_hash="",
            backup_enabled=True,
        )
        models.add_quick_recommenders(db.obj, user.id, user.created_at, models.next_update(db.obj))
        portable.apply(portable.plan(user.id, incoming))
        users.append(user)
    return users


def night(users):
    """What the worker does: one look, then a task a user. Each call is a night later."""
    real_now = clock.now
    offset = night.nights * DAY
    clock.now = lambda: real_now() + offset
    night.nights += 1
    try:
        start = time.perf_counter()
        for job in schedule.due_jobs():
            if job.kind != "recheck":
                jobs.run(job.id, *tasks.WORK[job.kind])
        spent = time.perf_counter() - start
    finally:
        clock.now = real_now
    states = Job.select(Job.state).where(Job.kind == "backup").distinct().tuples()
    assert list(states) == [("done",)], list(states)
    return spent


night.nights = 1


def change(users):
    for user in users:
        Watch.update(my_rating=5.5).where(
            Watch.movie == models.Movie.get(models.Movie.user == user.id)
        ).execute()
        models.touch_library(db.obj, user.id)


def memory():
    """The largest resident size so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
