"""`mm.tasks` for a consumer whose jobs do nothing for minutes, and whose minute is two seconds."""

import time

from mm import tasks
from mm.tasks import huey  # noqa: F401

LONG = 300


def _long(job):
    time.sleep(LONG)


tasks.WORK = dict.fromkeys(tasks.WORK, (_long, None))
tasks.Ticker.periodic_task_seconds = 2
