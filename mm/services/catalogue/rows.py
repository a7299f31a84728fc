r"""The lines of IMDb's datasets: fields between tabs, nothing is quoted, \N stands for nothing.

What is no row, or no value, costs that row or value and is counted.
"""

import functools
import operator
import re
from collections import Counter
from collections.abc import Sequence

from mm.services.catalogue.store import BETWEEN_NAMES

NOTHING = r"\N"
# The types that are kept. As bytes: they are looked at before a line is decoded.
KINDS = {
    b"movie": "movie",
    b"tvMovie": "movie",
    b"tvSpecial": "movie",
    b"short": "movie",
    b"tvShort": "movie",
    b"video": "movie",
    b"tvSeries": "tv",
    b"tvMiniSeries": "tv",
    b"tvPilot": "tv",
}
KINDS_OF_TEXT = {name.decode(): kind for name, kind in KINDS.items()}
# Most of them nobody has seen.
KEPT_WITH_VOTES = (b"short", b"tvShort", b"video")
# Nearly four fifths of all lines: found before a line is taken apart.
EPISODE = b"\ttvEpisode\t"
# The columns that are read of each dataset.
COLUMNS = {
    "title.basics": (
        "tconst",
        "titleType",
        "primaryTitle",
        "originalTitle",
        "isAdult",
        "startYear",
        "endYear",
        "runtimeMinutes",
        "genres",
    ),
    "title.ratings": ("tconst", "averageRating", "numVotes"),
    "title.akas": ("titleId", "title"),
    "title.crew": ("tconst", "directors"),
    "name.basics": ("nconst", "primaryName"),
}
# Bytes. The longest line of a real file has a few thousand.
LONGEST_LINE = 2**16
LONGEST_TITLE = 1000
# IMDb gives a title three genres at most.
LONGEST_GENRES, MOST_GENRES = 200, 10
# What is not seen but changes what is: control characters, and those that turn the direction of all
# that follows. Not the joiners, without which some scripts are misspelt.
UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u200b\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]"
)
# IMDb has come to 40 million, and adds 4 million a year.
HIGHEST_NUMBER = 2**28 - 1
# What a year may be: looked up, because there are millions of them.
YEARS = {NOTHING: None} | {str(year): year for year in range(1870, 2101)}
# The longest film takes 857 hours.
LONGEST_MINUTES = 60_000
MOST_VOTES = 2**28 - 1
# A rating is from 1 to 10, with one decimal or none.
TENTHS = {f"{tenths / 10:g}".encode(): tenths for tenths in range(10, 101)}
TENTHS |= {f"{tenths / 10:.1f}".encode(): tenths for tenths in range(10, 101)}
ZERO = ord("0")


# As in store.NewFilm: kind, title, original title, year, end year, runtime and genres.
Title = tuple[str, str, str | None, int | None, int | None, int | None, str | None]


class Reader:
    """Takes the lines of one dataset apart. `counts`: how many rows and values were left out, by
    what was wrong."""

    def __init__(self, header: bytes, name: str):
        """Raises ValueError where the header lacks a column that is needed."""
        columns = header.decode().rstrip("\r\n").split("\t")
        self.places = [columns.index(column) for column in COLUMNS[name]]
        self.width = len(columns)
        self.pick = operator.itemgetter(*self.places)
        self.runtimes = _runtimes()
        self.counts: Counter[str] = Counter()

    def fields(self, line: bytes) -> tuple[str, ...] | None:
        """Those of COLUMNS, in that order. None for what is no row."""
        try:
            fields = line.decode().split("\t")
        except UnicodeDecodeError:
            fields = []
        if len(fields) != self.width or len(line) > LONGEST_LINE or b"\0" in line:
            self.counts["rows"] += 1
            return None
        return self.pick(fields)

    def parts(self, line: bytes) -> tuple[bytes, ...] | None:
        """As `fields`, without looking at what is text."""
        parts = line.split(b"\t")
        if len(parts) != self.width or len(line) > LONGEST_LINE:
            self.counts["rows"] += 1
            return None
        return self.pick(parts)

    def title(self, fields: Sequence[str]) -> Title | None:
        """Of a row of title.basics that is kept. None for what is no title."""
        _, type_name, primary, original, _, year, end_year, runtime, genres = fields
        title = clean(primary)
        if title is None:
            self.counts["rows"] += 1
            return None
        original_title = clean(original) if original != primary else None
        if original_title == title:
            original_title = None
        try:
            numbers = YEARS[year], YEARS[end_year], self.runtimes[runtime]
        except KeyError:
            years = self.number(year, YEARS), self.number(end_year, YEARS)
            numbers = *years, self.number(runtime, self.runtimes)
        known_genres = genres_of(genres) if len(genres) <= LONGEST_GENRES else None
        return KINDS_OF_TEXT[type_name], title, original_title, *numbers, known_genres

    def number(self, text: str, allowed: dict[str, int | None]) -> int | None:
        """None for nothing, and for what cannot be."""
        if text not in allowed:
            self.counts["values"] += 1
        return allowed.get(text)

    def rating(self, parts: Sequence[bytes]) -> tuple[int, int, int] | None:
        """The number of the title, the votes and the tenths of the rating. None for what is
        none."""
        imdb_id, average, votes = parts
        tconst = number_of(imdb_id, b"tt")
        count = int(votes) if votes.isdigit() and len(votes) < 10 else 0
        tenths = TENTHS.get(average)
        if tconst is None or tenths is None or not 0 < count <= MOST_VOTES:
            self.counts["rows"] += 1
            return None
        return tconst, count, tenths


@functools.cache
def _runtimes() -> dict[str, int | None]:
    """What a number of minutes may be, to look it up as a year. Made for the first file, not for
    every command."""
    return {NOTHING: None} | {str(minutes): minutes for minutes in range(1, LONGEST_MINUTES)}


def number_of(text: bytes, letters: bytes) -> int | None:
    """ "tt0133093" -> 133093; `letters` are tt or nm. None for what IMDb does not write so."""
    digits, size = text[2:], len(text)
    if not digits.isdigit() or text[:2] != letters:
        return None
    is_written_so = size == 9 or (9 < size <= 12 and digits[0] != ZERO)
    number = int(digits) if is_written_so else 0
    return number if 0 < number <= HIGHEST_NUMBER else None


def numbers_of(text: str, letters: bytes) -> list[int]:
    """ "nm0905154,nm0905152" -> [905154, 905152]; without what is no id."""
    if text == NOTHING:
        return []
    numbers = (number_of(part.encode(), letters) for part in text.split(","))
    return [number for number in numbers if number is not None]


def clean(text: str) -> str | None:
    """In one line, with single spaces and without what is UNSEEN. None for nothing, and what is too
    long to be a name."""
    if not text.isprintable():
        text = UNSEEN.sub("", text)
    words = " ".join(text.split())
    return words if words and text != NOTHING and len(words) <= LONGEST_TITLE else None


@functools.lru_cache(maxsize=10_000)
def genres_of(text: str) -> str | None:
    """Of a few thousand combinations: "Action,Sci-Fi"."""
    genres = [] if text == NOTHING else text.split(",")
    return ",".join(filter(None, map(clean, genres[:MOST_GENRES]))) or None


def joined(names: Sequence[str]) -> str | None:
    return BETWEEN_NAMES.join(names) or None
