"""The filters of a saved view that name other rows: people and lists. Their ids mean nothing in
another library, so a file has a person's name there, and a list's own id."""

from collections.abc import Callable, Iterable

from mm.schemas import FilterValue
from mm.services import validation

OF_PEOPLE = ("person", "not_person")
OF_LISTS = ("list", "not_list")


def texts(value: FilterValue) -> list[str]:
    """The texts of a value, which may be one or several."""
    return [value] if isinstance(value, str) else list(value)


def replaced(
    filters: dict[str, FilterValue],
    names: Iterable[str],
    find: Callable[[str], str | None],
    missing: Callable[[str, str], None] = lambda name, text: None,
) -> dict[str, FilterValue]:
    """The filters with each text of those in `names` replaced by what `find` gives for it; where
    that is None it is left out, and `missing` is told the filter's name and the text."""
    changed = dict(filters)
    for name in names:
        if name not in filters:
            continue
        changed[name] = found = []
        for text in texts(filters[name]):
            if (other := find(text)) is not None:
                found.append(other)
            else:
                missing(name, text)
    # An empty value would filter nothing.
    # A folded name may be longer than what a file may hold, so nothing is checked again.
    several = {name: validation.one_or_several(texts(changed[name])) for name in sorted(changed)}
    return {name: value for name, value in several.items() if value}
