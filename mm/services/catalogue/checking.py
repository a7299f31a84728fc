"""Whether a new catalogue is plausible: complete, and about as large as the one in use."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec

from mm.errors import InvalidError
from mm.services.catalogue import store

# Titles that IMDb's datasets certainly have, with kind and year of release.
KNOWN = {
    "tt0034583": ("movie", 1942),
    "tt0068646": ("movie", 1972),
    "tt0078748": ("movie", 1979),
    "tt0108052": ("movie", 1993),
    "tt0110912": ("movie", 1994),
    "tt0111161": ("movie", 1994),
    "tt0114709": ("movie", 1995),
    "tt0133093": ("movie", 1999),
    "tt0211915": ("movie", 2001),
    "tt0468569": ("movie", 2008),
    "tt0903747": ("tv", 2008),
    "tt0944947": ("tv", 2011),
}
# Release dates are corrected now and then.
YEARS_OFF = 2
# A catalogue of more films covers all of IMDb and has all of KNOWN; a smaller one is a sample.
LARGE = 500_000
# Of the counts of the catalogue in use.
LEAST_SHARE = 0.7
DAMAGED = "The new catalogue cannot be read, so it is not used: {}."
TOO_FEW = (
    "The new catalogue has only {:,} {}, and the one in use has {:,}. So the new one is not used."
)


def check(new: Path, old: Path | None, must_stop: Callable[[], bool] = lambda: False) -> None:
    """Raises InvalidError, with the reason, for a catalogue that must not take the place of `old`,
    or become the first one where that is None; and jobs.StoppedError once it `must_stop`."""
    try:
        with closing(_opened(new)) as database, store.ending(database, must_stop):
            _require_intact(database)
            counts = _counts(database)
            _require_whole(database, counts["films and series"])
            _require_known(database, counts["films and series"])
    except (sqlite3.DatabaseError, msgspec.DecodeError) as error:
        raise InvalidError(DAMAGED.format(error)) from error
    for what in ("films and series", "ratings"):
        if counts[what] == 0:
            raise InvalidError(f"The new catalogue has no {what}, so it is not used.")
    if before := _counts_of_old(old, new):
        for what, count in before.items():
            if counts[what] < count * LEAST_SHARE:
                raise InvalidError(TOO_FEW.format(counts[what], what, count))


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)


def _require_intact(database: sqlite3.Connection) -> None:
    [problem] = database.execute("PRAGMA integrity_check(1)").fetchone()
    if problem != "ok":
        raise InvalidError(DAMAGED.format(problem))


def _require_whole(database: sqlite3.Connection, films: int) -> None:
    """`films`: how many films and series it holds."""
    about = store.about(database)
    if about.films + about.series != films:
        said = about.films + about.series
        raise InvalidError(DAMAGED.format(f"it claims to have {said:,} films, but has {films:,}"))
    # The search finds both the first film that was written and the last.
    for rank in {1, films} if films else ():
        [year] = database.execute("SELECT year FROM film WHERE rank = ?", (rank,)).fetchone()
        found = database.execute(
            "SELECT 1 FROM search WHERE search MATCH ? AND rowid = ?",
            (f'"{store.YEAR_MARK}{year}"', rank),
        )
        if year and not found.fetchone():
            raise InvalidError(DAMAGED.format("its search finds nothing"))


def _counts(database: sqlite3.Connection) -> dict[str, int]:
    [films, ratings] = database.execute("SELECT COUNT(*), COUNT(votes) FROM film").fetchone()
    return {"films and series": films, "ratings": ratings}


def _counts_of_old(old: Path | None, new: Path) -> dict[str, int] | None:
    """None if there is nothing to compare with: no old catalogue, one that cannot be read, or one
    that was built with other options."""
    if old is None:
        return None
    try:
        with closing(_opened(old)) as database, closing(_opened(new)) as other:
            # Neither other languages nor directors change how many films there are.
            if store.about(database).choice.adult != store.about(other).choice.adult:
                return None
            return _counts(database)
    except (sqlite3.DatabaseError, msgspec.DecodeError):
        return None


def _require_known(database: sqlite3.Connection, films: int) -> None:
    found = store.find(database, KNOWN)
    if films >= LARGE and len(found) < len(KNOWN):
        missing = next(imdb_id for imdb_id in KNOWN if imdb_id not in found)
        raise InvalidError(
            f"The new catalogue lacks {missing}, which IMDb certainly has, so it is not used."
        )
    for imdb_id, film in found.items():
        kind, year = KNOWN[imdb_id]
        if film.kind != kind or abs((film.year or 0) - year) > YEARS_OFF:
            raise InvalidError(
                f"The new catalogue lists {imdb_id} as a {film.kind} from {film.year} instead of a "
                f"{kind} from {year}, so it is not used."
            )
