"""Finding films by what somebody types, while they type it.

Films with exactly that title come first, then those whose title begins with it, then those with
all the words or words that begin with them. Within each group the most voted come first.
"""

import heapq
import re
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from mm.services.catalogue import folding, store
from mm.services.catalogue.store import Film

# Nobody types more to find a film.
TEXT_MAX, WORDS_MAX = 200, 12
YEAR = re.compile(r"(?:18|19|20)\d{0,2}")
CENTURY = re.compile(r"[12]")
# SQLite splits words at these letters and Python does not. A quoted word must be one for both.
PARTED = re.compile("[\u19b0-\u19c0\u19c8\u19c9\u1cf2\u1cf3]")
ARTICLE_BEGINNINGS = {"a", "an", "t", "th", "the"}
# More titles than this with the same beginning take too long to sort. The beginning is then so
# common that enough of them are among the first READ_MAX films with the most votes.
SORTED_MAX, READ_MAX = 2000, 3000
SAME_TITLE_MAX = 200
# Films that are this many times better known come before an exact title: Toy Story before The Toy.
BETTER_KNOWN, BETTER_KNOWN_MAX = 25, 5
HIT = "rank, folded_title, title, year, votes"


class Hit(NamedTuple):
    rank: int
    folded_title: str
    title: str
    year: int | None
    votes: int | None


class Asked(NamedTuple):
    """One way to read a text. `title` is folded; `years`: possible beginnings of the year; `last`:
    digits after the title that are either a year or another word of the title."""

    title: str
    years: tuple[str, ...] = ()
    last: str = ""

    @property
    def titles(self) -> set[str]:
        return {self.title, f"{self.title} {self.last}".rstrip()}

    @property
    def has_article(self) -> bool:
        return folding.without_article(self.title) != self.title


def search(text: str, year: int | None = None, limit: int = 20) -> list[Film]:
    """With `year` only films of that year, or else of the one before or after it; a year may also
    end the text. Raises UnavailableError without a catalogue."""
    with store.reading() as connection:
        return search_in(connection, text, year, limit)


def search_in(
    connection: sqlite3.Connection, text: str, year: int | None = None, limit: int = 20
) -> list[Film]:
    """As `search`, in an open catalogue."""
    for asked in _readings(text, year):
        if ranks := _best(connection, asked, limit):
            marks = ",".join("?" * len(ranks))
            query = f"SELECT rank, {store.COLUMNS} FROM film WHERE rank IN ({marks})"  # noqa: S608
            films = {rank: store.film_of(row) for rank, *row in connection.execute(query, ranks)}
            return [films[rank] for rank in ranks]
    return []


def same_title(
    connection: sqlite3.Connection, title: str, year: int | None = None, limit: int = 20
) -> list[Film]:
    """Only films with exactly this title, ignoring case, accents, punctuation and a leading
    article. Thousands of titles take a second."""
    bare = folding.without_article(folding.folded(title))
    query = (
        f"SELECT {store.COLUMNS} FROM film WHERE folded_title = ?1 AND (?2 IS NULL OR year = ?2)"  # noqa: S608
        " ORDER BY rank LIMIT ?3"
    )
    return [store.film_of(row) for row in connection.execute(query, (bare, year, limit))]


def _readings(text: str, year: int | None) -> Iterator[Asked]:
    """The ways to read a text. Each is tried only if those before it found nothing."""
    words = PARTED.sub(" ", folding.folded(text[:TEXT_MAX])).split()[:WORDS_MAX]
    if not words or (year is not None and not 1000 < year < 9999):
        return
    whole, last = " ".join(words), words[-1] if len(words) > 1 else ""
    if year is not None:
        yield Asked(whole, (str(year),))
        yield Asked(whole, (str(year - 1), str(year + 1)))
    elif YEAR.fullmatch(last):
        title = " ".join(words[:-1])
        yield Asked(title, (last,), last)
        if len(last) == 4:
            yield Asked(title, (str(int(last) - 1), str(int(last) + 1)))
    else:
        yield Asked(whole)
        if CENTURY.fullmatch(last):
            yield Asked(" ".join(words[:-1]), (last,))
    bare = folding.without_article(whole)
    if bare != whole:
        yield from _readings(bare, year)


def _best(connection: sqlite3.Connection, asked: Asked, limit: int) -> list[int]:
    """The ranks of the films to show, the best first. If an article was typed, a title without it
    counts only as one that begins with the text."""
    alike = _alike(connection, asked)
    beginning, having = _beginning_and_having(connection, asked, limit)
    same = alike
    if asked.has_article:
        same = [hit for hit in alike if folding.folded(hit.title) in asked.titles]
    better = _better_known(same, beginning, having, asked) if same else []
    begun = sorted({*alike, *beginning})
    ranks = dict.fromkeys(hit.rank for hit in [*better, *same, *begun, *having])
    return list(ranks)[:limit]


def _better_known(
    same: list[Hit], beginning: list[Hit], having: list[Hit], asked: Asked
) -> list[Hit]:
    """Films that come before those with exactly this title: their title begins with it, or has all
    its words in full."""
    votes = BETTER_KNOWN * (1 + max(hit.votes or 0 for hit in same))
    words = set(asked.title.split())
    known = [hit for hit in beginning if not asked.has_article or _begins(hit, asked)]
    if not asked.has_article:
        known += [hit for hit in having if words <= set(hit.folded_title.split())]
    better = {hit for hit in known if (hit.votes or 0) + 1 > votes}
    return sorted(better - set(same))[:BETTER_KNOWN_MAX]


def _alike(connection: sqlite3.Connection, asked: Asked) -> list[Hit]:
    """Films with exactly this title, ignoring a leading article."""
    query = f"SELECT {HIT} FROM film WHERE folded_title = ? ORDER BY rank LIMIT {SAME_TITLE_MAX}"  # noqa: S608
    found = []
    for title in sorted(asked.titles, reverse=True):
        rows = map(Hit._make, connection.execute(query, (folding.without_article(title),)))
        found += [hit for hit in rows if title != asked.title or _is_of(hit, asked.years)]
    return found


def _beginning_and_having(
    connection: sqlite3.Connection, asked: Asked, limit: int
) -> tuple[list[Hit], list[Hit]]:
    """Of the films that have all words: those whose title begins with the text, and the most voted.
    At most `limit` of each."""
    rare = _rarely_begun(connection, asked, limit)
    is_complete, beginning = rare is not None, rare or []
    having: list[Hit] = []
    query = (
        "SELECT film.rank, folded_title, title, year, votes FROM search"
        " JOIN film ON film.rank = search.rowid"
        " WHERE search MATCH ? ORDER BY search.rowid LIMIT ?"
    )
    for hit in map(Hit._make, connection.execute(query, (_match(asked), READ_MAX))):
        if len(having) < limit:
            having.append(hit)
        elif is_complete or len(beginning) == limit:
            break
        if not is_complete and len(beginning) < limit and _begins(hit, asked):
            beginning.append(hit)
    return beginning, having


def _rarely_begun(connection: sqlite3.Connection, asked: Asked, limit: int) -> list[Hit] | None:
    """The films whose title begins with the text, the most voted first; None if there are too many
    to sort, or if the index of bare titles is not enough to tell."""
    if asked.years or asked.has_article or asked.title in ARTICLE_BEGINNINGS:
        return None
    ends = (asked.title, f"{asked.title}\U0010ffff", SORTED_MAX + 1)
    query = "SELECT rank FROM film WHERE folded_title >= ? AND folded_title < ? LIMIT ?"
    ranks = [rank for [rank] in connection.execute(query, ends)]
    if len(ranks) > SORTED_MAX:
        return None
    first = heapq.nsmallest(limit, ranks)
    marks = ",".join("?" * len(first))
    query = f"SELECT {HIT} FROM film WHERE rank IN ({marks}) ORDER BY rank"  # noqa: S608
    return list(map(Hit._make, connection.execute(query, first)))


def _begins(hit: Hit, asked: Asked) -> bool:
    """Whether its title begins with the text, including the article if one was typed."""
    title = hit.folded_title
    if asked.has_article or asked.title in ARTICLE_BEGINNINGS:
        title = folding.folded(hit.title)
    whole = f"{asked.title} {asked.last}"
    return title.startswith(asked.title) and (_is_of(hit, asked.years) or title.startswith(whole))


def _is_of(hit: Hit, years: tuple[str, ...]) -> bool:
    return not years or str(hit.year).startswith(years)


def _match(asked: Asked) -> str:
    """In FTS5's language. Words of a title are in quotes, so that none is taken for an operator."""
    terms = [f'"{word}"*' for word in dict.fromkeys(asked.title.split())]
    years = [term for year in asked.years for term in _year_terms(year)]
    if asked.last:
        years.append(f'"{asked.last}"*')
    if years:
        terms.append(f"({' OR '.join(years)})")
    return " AND ".join(terms)


def _year_terms(beginning: str) -> list[str]:
    """The index has beginnings of up to three characters; a longer one would be put together from
    all films of its years before the first is read."""
    word = f"{store.YEAR_MARK}{beginning}"
    if len(word) == 4:
        return [f'"{word}{digit}"' for digit in range(10)]
    return [f'"{word}"*' if len(word) < 4 else f'"{word}"']
