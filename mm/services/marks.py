"""When the user last changed a row, as far as this server can know."""

from typing import Protocol


class Marked(Protocol):
    """A film, a person or a list, or as much of it as is needed here."""

    @property
    def last_modified(self) -> float: ...

    @property
    def updated_at(self) -> float: ...


def changed_at(row: Marked) -> float:
    """A file may say that it was changed tomorrow; it was not, after the server wrote it down."""
    return min(row.last_modified, row.updated_at)


def later(at: float, row: Marked) -> float:
    """The last_modified of a row that is changed by what was done `at`. It never goes back, though clocks differ."""
    return max(at, changed_at(row))
