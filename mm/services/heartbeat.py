"""Whether a worker runs: it writes down each minute that it does."""

from mm import clock, models
from mm.database import db

# In seconds: two minutes were missed, with half a minute to spare.
WORKER_LATE_AFTER = 150
# The key of the setting; stored data, so it keeps its name.
WORKER_HEARTBEAT = "worker_seen_at"


def beat() -> None:
    """A worker looked for work, and this is how far it came."""
    with db.atomic():
        models.put_setting(WORKER_HEARTBEAT, clock.now())


def worker_is_late() -> bool:
    """No worker has looked for work in the last two and a half minutes. One seen in the future was
    seen while the clock was ahead."""
    return abs(clock.now() - (models.setting(WORKER_HEARTBEAT) or 0)) > WORKER_LATE_AFTER
