"""The one clock. Tests move it by replacing `now`; nothing else may call `time.time`."""

import time
from datetime import datetime, tzinfo


def now() -> float:
    """Unix seconds, UTC."""
    return time.time()


def local(moment: float, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(moment, zone)
