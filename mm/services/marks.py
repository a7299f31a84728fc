"""When the user last changed a row, as far as this server can know."""

from mm.models import CustomList, Movie, Person


def changed_at(row: Movie | Person | CustomList) -> float:
    """A file may say that it was changed tomorrow; it was not, after the server wrote it down."""
    return min(row.last_modified, row.updated_at)


def later(at: float, row: Movie | Person | CustomList) -> float:
    """The last_modified of a row that is changed by what was done `at`. It never goes back, though clocks differ."""
    return max(at, changed_at(row))
