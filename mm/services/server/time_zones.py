"""The time zones that one can choose from."""

import functools
from zoneinfo import available_timezones

# The first to choose from: those where most people live, from west to east.
COMMON = (
    "UTC",
    "America/Los_Angeles",
    "America/Denver",
    "America/Chicago",
    "America/New_York",
    "America/Sao_Paulo",
    "Europe/London",
    "Europe/Madrid",
    "Europe/Paris",
    "Europe/Berlin",
    "Europe/Vienna",
    "Europe/Zurich",
    "Europe/Rome",
    "Europe/Warsaw",
    "Europe/Athens",
    "Europe/Istanbul",
    "Africa/Lagos",
    "Africa/Johannesburg",
    "Asia/Dubai",
    "Asia/Kolkata",
    "Asia/Singapore",
    "Asia/Shanghai",
    "Asia/Tokyo",
    "Australia/Sydney",
    "Pacific/Auckland",
)
# Names of other forms are old ones, or no place.
REGIONS = (
    "Africa",
    "America",
    "Antarctica",
    "Asia",
    "Atlantic",
    "Australia",
    "Europe",
    "Indian",
    "Pacific",
)


def common() -> list[str]:
    """Those of COMMON that this machine knows."""
    return [name for name in COMMON if name in _known()]


@functools.cache
def by_region() -> dict[str, list[str]]:
    """The places of each region, sorted."""
    return {
        region: sorted(name for name in _known() if name.startswith(f"{region}/"))
        for region in REGIONS
    }


@functools.cache
def _known() -> frozenset[str]:
    # Reads the beginning of six hundred files.
    return frozenset(available_timezones()) | {"UTC"}
