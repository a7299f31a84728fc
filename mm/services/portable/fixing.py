"""Values that were typed in place of those a file holds."""

import re
from collections import defaultdict
from typing import Any

_ROW = re.compile(r"(\w+\[\d+\])(.*)", re.DOTALL)
_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")

# By the row's path: the way to the value below it, and the value.
Fixes = dict[str, list[tuple[list[int | str], Any]]]


def by_row(fixes: dict[str, Any] | None) -> Fixes:
    """`fixes` by path, as in `movies[3].watch_history.my_rating`; others are ignored."""
    found: Fixes = defaultdict(list)
    for path, value in (fixes or {}).items():
        if match := _ROW.fullmatch(path):
            steps = [int(index) if index else name for index, name in _STEP.findall(match[2])]
            found[match[1]].append((steps, value))
    return dict(found)


def mended(row: Any, fixes: list[tuple[list[int | str], Any]]) -> Any:
    """The row with these values in it. A way that leads nowhere changes nothing."""
    for steps, value in fixes:
        if not steps:
            row = value
            continue
        holder = row
        for step in steps[:-1]:
            holder = _below(holder, step)
        last = steps[-1]
        if (isinstance(holder, dict) and isinstance(last, str)) or _has(holder, last):
            holder[last] = value
    return row


def _below(holder: Any, step: int | str) -> Any:
    if isinstance(holder, dict):
        return holder.get(step)
    return holder[step] if _has(holder, step) else None


def _has(holder: Any, step: int | str) -> bool:
    return isinstance(holder, list) and isinstance(step, int) and step < len(holder)
