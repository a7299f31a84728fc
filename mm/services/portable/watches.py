"""Which watch of the library one of a file is, and what becomes of it.

Watches are united by date. One that is known only by its day stands at noon in the zone of the
server that noted it down, so it is the same as one within twelve hours, and a changed zone doubles
nothing.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import structs

from mm import clock, config
from mm.clock import HOUR
from mm.models import Watch
from mm.services.portable.plans import WatchStep
from mm.services.portable.values import NOTHING, differences, merged, of_new_row

NEAR = 12 * HOUR


def plan_watches(mine: Sequence[Any], theirs: Sequence[Any]) -> tuple[WatchStep, ...]:
    """The steps of one film. A watch of the library keeps its date."""
    joined = _joined(mine, theirs) if mine else {}
    steps = []
    for watch in theirs:
        existing = joined.get(watch.date_watched)
        if existing is None:
            steps.append(WatchStep("new", of_new_row(Watch, watch), NOTHING))
            continue
        final = merged(existing, structs.replace(watch, date_watched=existing.date_watched))
        fields = differences(existing, final)
        steps.append(WatchStep("changed" if fields else "same", final, fields))
    return tuple(steps)


def _joined(mine: Sequence[Any], theirs: Sequence[Any]) -> dict[float, Any]:
    """The watch of the library that each of the file is, by the date of the latter; each is joined
    once at most."""
    by_date = {watch.date_watched: watch for watch in mine}
    joined = {}
    others = []
    for watch in theirs:
        existing = by_date.pop(watch.date_watched, None)
        if existing is None:
            others.append(watch)
        else:
            joined[watch.date_watched] = existing
    for watch in others:
        near = [existing for existing in by_date.values() if _is_same(existing, watch)]
        if near:
            date = watch.date_watched
            nearest = min((abs(row.date_watched - date), row.date_watched) for row in near)[1]
            joined[date] = by_date.pop(nearest)
    return joined


def _is_same(mine: Any, other: Any) -> bool:
    is_near = abs(mine.date_watched - other.date_watched) <= NEAR
    # Of a watch on some day, the date says nothing.
    some_day = mine.day_known is False or other.day_known is False
    return is_near and not some_day and (_is_noon(mine) or _is_noon(other))


def _is_noon(watch: Any) -> bool:
    moment = clock.local(watch.date_watched, config.current.zone)
    return (moment.hour, moment.minute, moment.second, moment.microsecond) == (12, 0, 0, 0)
