"""Numbers, sizes and times as people say them, in the server's time zone: the filters of the
templates."""

from datetime import datetime, timedelta
from operator import mul

from flask import Flask

from mm import clock, config
from mm.clock import DAY, HOUR, MINUTE

EVENING, MORNING = 18, 6
# 58 minutes are said as an hour.
NEARLY = 0.95
# The luminance at which both inks have the same contrast.
DARK_INK_FROM = 0.18
DATES = (
    "date_added",
    "last_modified",
    "date_watched",
    "date_recommended",
    "created_at",
    "ranked_at",
)
FIELDS = {
    "custom_list_id": "list",
    "vote_type": "vote",
    "my_rating": "rating",
    "is_trusted": "trusted",
    "media_type": "kind",
    "date_added": "added",
    "last_modified": "changed",
    "date_watched": "watched",
    "date_recommended": "recommended",
    "ranked_at": "ranked",
}
STATUSES = {
    "toWatch": "To watch",
    "watched": "Watched",
    "custom": "On a list",
    "deleted": "Deleted",
}


def init_app(app: Flask) -> None:
    filters = (
        number,
        plural,
        size,
        ago,
        due,
        exact,
        day,
        stamp,
        iso,
        duration,
        field,
        value,
        hue,
        ink_on,
    )
    app.jinja_env.filters.update({function.__name__: function for function in filters})


def number(count: int) -> str:
    """1204 -> "1,204"."""
    return f"{count:,}"


def plural(count: int, one: str, many: str | None = None) -> str:
    """1204, "film" -> "1,204 films"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def size(count: int) -> str:
    """Bytes, in steps of a thousand as file managers count."""
    amount, unit = float(count), "bytes"
    for larger in ("KB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if amount >= 10 or unit == "bytes" else f"{amount:.1f} {unit}"


def duration(seconds: float) -> str:
    """A length of time in its largest unit, such as "3 hours"."""
    if seconds < 50:
        return "a few seconds" if seconds < 20 else "under a minute"
    if seconds < HOUR * NEARLY:
        return plural(max(1, round(seconds / MINUTE)), "minute")
    if seconds < DAY * NEARLY:
        return plural(max(1, round(seconds / HOUR)), "hour")
    return plural(max(1, round(seconds / DAY)), "day")


def ago(moment: float) -> str:
    """Such as "3 hours ago"; past a month, the date."""
    passed = clock.now() - moment
    if passed < MINUTE:
        return "just now"
    if (clock.today(config.current.zone) - _local(moment).date()).days == 1 and passed > 12 * HOUR:
        return "yesterday"
    return f"{duration(passed)} ago" if passed < 30 * DAY else day(moment)


def due(moment: float) -> str:
    """Such as "in 12 minutes", "tonight at 03:00", "on Friday at 03:00"."""
    left = moment - clock.now()
    if left < MINUTE:
        return "within a minute"
    if left < HOUR:
        return f"in {duration(left)}"
    return f"{_day_ahead(_local(moment), _local(clock.now()))} at {_local(moment):%H:%M}"


def exact(moment: float) -> str:
    local = _local(moment)
    return f"{local:%A} {local.day} {local:%B %Y, %H:%M:%S %Z}"


def day(moment: float) -> str:
    local = _local(moment)
    return f"{local.day} {local:%b %Y}"


def stamp(moment: float) -> str:
    """The date and the minute, short: for lists."""
    local = _local(moment)
    return f"{local:%a} {local.day} {local:%b %Y, %H:%M}"


def iso(moment: float) -> str:
    return _local(moment).isoformat(timespec="seconds")


def field(name: str) -> str:
    """A field of the document in words."""
    return FIELDS.get(name, name.replace("_", " "))


def value(content: object, name: str = "") -> str:
    """What a field holds, in words; `name` tells a time from a number."""
    if content is None or content == "":
        return "nothing"
    if isinstance(content, bool):
        words = ("up", "down") if name == "vote_type" else ("yes", "no")
        return words[0] if content else words[1]
    if isinstance(content, int | float):
        return day(content) if name in DATES else f"{content:g}"
    return STATUSES.get(content, content) if isinstance(content, str) else str(content)


def hue(text: str) -> int:
    """One of eight colours, the same each time, for a film without a picture."""
    return sum(text.encode()) % 8


def ink_on(color: str) -> str:
    """Black or white, whichever is read better on a colour like #0a84ff."""
    linear = [(int(color[start : start + 2], 16) / 255) ** 2.2 for start in (1, 3, 5)]
    return (
        "#1b1611" if sum(map(mul, (0.2126, 0.7152, 0.0722), linear)) > DARK_INK_FROM else "#ffffff"
    )


def _day_ahead(then: datetime, today: datetime) -> str:
    days = (then.date() - today.date()).days
    night = then.hour < MORNING and days == 1 and today.hour >= EVENING
    if night or (days == 0 and then.hour >= EVENING):
        return "tonight"
    if days < 2:
        return ("today", "tomorrow")[days]
    return f"on {then:%A}" if then - today < timedelta(days=6) else f"on {then.day} {then:%B}"


def _local(moment: float) -> datetime:
    return clock.local(moment, config.current.zone)
