"""Whether a worker is running: it writes the time into a setting every minute."""

from mm import clock, maintenance, models
from mm.database import db

# In seconds: two beats were missed, with half a minute to spare.
WORKER_LATE_AFTER = 150
# The key of the setting; stored data, so it keeps its name.
WORKER_HEARTBEAT = "worker_seen_at"


def beat() -> None:
    """Called by the worker each time it has looked for work, also while the whole server is
    restored."""
    with maintenance.exempt(), db.atomic():
        models.put_setting(WORKER_HEARTBEAT, clock.now())


def last_beat() -> float | None:
    return models.setting(WORKER_HEARTBEAT)


def worker_is_late() -> bool:
    """True after WORKER_LATE_AFTER seconds without a beat. A beat in the future does not count: the
    clock was ahead then."""
    return abs(clock.now() - (last_beat() or 0)) > WORKER_LATE_AFTER
