"""The one clock. Tests move it by replacing `now` and `monotonic`; nothing else may call
`time.time`."""

import time
from datetime import date, datetime, tzinfo

# In seconds.
MINUTE, HOUR, DAY = 60, 3600, 86400


def now() -> float:
    """Unix seconds, UTC."""
    return time.time()


def monotonic() -> float:
    """Seconds that never jump, whoever sets the system's clock: for how long something is kept."""
    return time.monotonic()


def local(moment: float, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(moment, zone)


def today(zone: tzinfo) -> date:
    return local(now(), zone).date()
