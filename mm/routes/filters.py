"""Numbers, sizes, times and values as people say them, in the server's time zone: the filters of
the templates."""

from datetime import datetime
from operator import mul
from zoneinfo import ZoneInfo

import humanize
from flask import Flask

from mm import clock, config, spoken
from mm.models import User
from mm.services.backup import history, policies
from mm.services.library.browse import STATUS_LABELS
from mm.spoken import duration, plural

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
FIELD_LABELS = {
    "imdb_id": "IMDb ID",
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
    "day_known": "day known",
}
DETAILS_LABELS = {"missing": "Not on TMDB", "failed": "Retrying later"}
# A note may be much longer than the row of a plan.
VALUE_MAX = 200


def init_app(app: Flask) -> None:
    filters = (
        number,
        plural,
        size,
        ago,
        due,
        exact,
        clock_in,
        day,
        stamp,
        iso,
        duration,
        runtime,
        percent,
        field_label,
        value_label,
        status_label,
        place_label,
        details_label,
        backup_label,
        retained,
        sentence,
        hue,
        ink_on,
    )
    app.jinja_env.filters.update({function.__name__: function for function in filters})


def number(count: int) -> str:
    """1204 -> "1,204"."""
    return f"{count:,}"


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %"


def size(count: int) -> str:
    """Bytes, in steps of a thousand as file managers count: "61.2 kB"."""
    return humanize.naturalsize(count)


def runtime(minutes: int) -> str:
    """135 -> "2 h 15 min"."""
    hours, rest = divmod(minutes, 60)
    return " ".join(f"{count} {unit}" for count, unit in ((hours, "h"), (rest, "min")) if count)


def ago(moment: float) -> str:
    return spoken.ago(moment, clock.now(), config.current.zone)


def due(moment: float) -> str:
    return spoken.due(moment, clock.now(), config.current.zone)


def exact(moment: float) -> str:
    local = _local(moment)
    return f"{local:%A} {local.day} {local:%B %Y, %H:%M:%S %Z}"


def clock_in(moment: float, zone: str) -> str:
    """What a clock in this time zone shows: "14:05"."""
    return f"{clock.local(moment, ZoneInfo(zone)):%H:%M}"


def day(moment: float, is_known: bool = True) -> str:
    """ "13 Sep 2020"; "some day" for a watch whose day nobody knows."""
    if not is_known:
        return "some day"
    return spoken.day(moment, config.current.zone)


def stamp(moment: float) -> str:
    """The date and the minute, short: for lists."""
    local = _local(moment)
    return f"{local:%a} {local.day} {local:%b %Y, %H:%M}"


def iso(moment: float) -> str:
    return _local(moment).isoformat(timespec="seconds")


def field_label(name: str) -> str:
    """A field of an export in words."""
    return FIELD_LABELS.get(name, name.replace("_", " "))


def value_label(content: object, name: str = "") -> str:
    """What a field of an export holds, in words; its name tells a time from a number."""
    if content is None or content == "":
        return "none"
    if isinstance(content, bool):
        words = ("up", "down") if name == "vote_type" else ("yes", "no")
        return words[0] if content else words[1]
    if isinstance(content, int | float):
        return day(content) if name in DATES else f"{content:g}"
    text = status_label(str(content)) if name == "status" else str(content)
    return text if len(text) <= VALUE_MAX else f"{text[:VALUE_MAX].rstrip()}…"


def status_label(status: str) -> str:
    return STATUS_LABELS.get(status, status)


def place_label(film) -> str:
    """Where a film is in the library: the name of its list, or its status."""
    return film.list_name or status_label(film.status)


def details_label(tmdb_state: str) -> str:
    """Why a film has no title."""
    return DETAILS_LABELS.get(tmdb_state, "No details yet")


def backup_label(kind: str | None) -> str:
    return history.LABELS.get(kind or "", "Unknown kind")


def retained(user: User) -> str:
    """How many of their automatic backups are kept: "14 days and 12 months"."""
    return policies.words(policies.of(user))


def sentence(text: str) -> str:
    """ "the file is gone" -> "The file is gone."."""
    return text[:1].upper() + text[1:].rstrip(".") + "."


def hue(text: str) -> int:
    """One of eight colours, the same each time, for a film without a picture."""
    return sum(text.encode()) % 8


def ink_on(color: str) -> str:
    """Black or white, whichever is read better on a colour like #0a84ff."""
    linear = [(int(color[start : start + 2], 16) / 255) ** 2.2 for start in (1, 3, 5)]
    luminance = sum(map(mul, (0.2126, 0.7152, 0.0722), linear))
    return "#1b1611" if luminance > DARK_INK_FROM else "#ffffff"


def _local(moment: float) -> datetime:
    return clock.local(moment, config.current.zone)
