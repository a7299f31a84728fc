"""Numbers and times as people say them. `now` is when they are read, `zone` where, and `style` is
how their reader wants dates to look. A weekday that stands for a date ("on Friday") is a word of
the sentence, and English."""

from datetime import datetime, timedelta, tzinfo

import humanize

from mm import clock
from mm.clock import DAY, HOUR, MINUTE
from mm.dates import PLAIN, Style

EVENING, MORNING = 18, 6


def plural(count: int, one: str, many: str | None = None) -> str:
    """1204, "film" -> "1,204 films"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """Such as "5 seconds", "an hour", "3 days"."""
    return humanize.naturaldelta(seconds, months=False)


def day(moment: float, zone: tzinfo, style: Style = PLAIN) -> str:
    return style.short(clock.local(moment, zone))


def ago(moment: float, now: float, zone: tzinfo, style: Style = PLAIN) -> str:
    """Such as "3 hours ago"; past a month, the date."""
    passed = now - moment
    if passed < MINUTE:
        return "just now"
    if _days_back(moment, now, zone) == 1 and passed > 12 * HOUR:
        return "yesterday"
    return f"{duration(passed)} ago" if passed < 30 * DAY else day(moment, zone, style)


def past_day(moment: float, now: float, zone: tzinfo, style: Style = PLAIN) -> str:
    """Such as "today", "yesterday", "Tuesday", "3 March", "3 March 2025"."""
    local = clock.local(moment, zone)
    back = _days_back(moment, now, zone)
    if back < 2:
        return "yesterday" if back == 1 else "today"
    if back < 7:
        return f"{local:%A}"
    same_year = local.year == clock.local(now, zone).year
    return style.yearless(local) if same_year else style.long(local)


def is_date(past_day: str) -> bool:
    """Whether it is a date, and not a word such as "yesterday" or "Tuesday"."""
    return any(map(str.isdigit, past_day))


def is_last_night(moment: float, now: float, zone: tzinfo) -> bool:
    """Whether it was in the small hours of today."""
    return _days_back(moment, now, zone) == 0 and clock.local(moment, zone).hour < MORNING


def due(moment: float, now: float, zone: tzinfo, style: Style = PLAIN) -> str:
    """Such as "in 12 minutes", "tonight at 03:00", "on Friday at 03:00"."""
    left = moment - now
    if left < MINUTE:
        return "within a minute"
    if left < HOUR:
        return f"in {duration(left)}"
    then = clock.local(moment, zone)
    return f"{_day_ahead(then, clock.local(now, zone), style)} at {then:%H:%M}"


def _days_back(moment: float, now: float, zone: tzinfo) -> int:
    return (clock.local(now, zone).date() - clock.local(moment, zone).date()).days


def _day_ahead(then: datetime, today: datetime, style: Style) -> str:
    days = (then.date() - today.date()).days
    night = then.hour < MORNING and days == 1 and today.hour >= EVENING
    if night or (days == 0 and then.hour >= EVENING):
        return "tonight"
    if days < 2:
        return ("today", "tomorrow")[days]
    return f"on {then:%A}" if then - today < timedelta(days=6) else f"on {style.yearless(then)}"
