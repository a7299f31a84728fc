"""What a user's library opens with, among their settings: the size of its posters and its order.

They count for an address without any query. Every other address says what it shows, also by what it
leaves out, so that a saved view or a link looks the same to everybody.
"""

from typing import NamedTuple

from mm.errors import InvalidError
from mm.schemas import Problem
from mm.services import user_settings
from mm.services.library import browse
from mm.services.library.browse import DEFAULT, LibraryQuery

KEY = "library"


class Usual(NamedTuple):
    """One of browse.SIZES and one of browse.SORTS."""

    size: str = DEFAULT.size
    sort: str = DEFAULT.sort


def of(user_id: str) -> Usual:
    """What is stored and unknown here, as another version may have written it, counts as not
    chosen."""
    stored = user_settings.get(user_id, KEY)
    if not isinstance(stored, dict):
        return Usual()
    size, sort = str(stored.get("size")), str(stored.get("sort"))
    return Usual(
        size if size in browse.SIZES else DEFAULT.size,
        sort if sort in browse.SORTS else DEFAULT.sort,
    )


def query(user_id: str) -> LibraryQuery:
    """What an address without a query asks for."""
    return DEFAULT.changed(**of(user_id)._asdict())


def choose(user_id: str, usual: Usual) -> None:
    """Raises InvalidError, with problems at `size` and `sort`."""
    problems = []
    if usual.size not in browse.SIZES:
        problems.append(Problem("size", "Choose one of these sizes."))
    if usual.sort not in browse.SORTS:
        problems.append(Problem("sort", "Choose one of these orders."))
    if problems:
        raise InvalidError(problems[0].reason, problems)
    user_settings.put(user_id, KEY, usual._asdict())


def words(usual: Usual) -> str:
    """Such as "large posters, sorted by Title"."""
    size, sort = browse.SIZE_LABELS[usual.size], browse.SORT_LABELS[usual.sort]
    return f"{size.lower()} posters, sorted by {sort}"
