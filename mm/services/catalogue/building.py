"""A catalogue out of IMDb's datasets, in one pass over each file and in memory that does not grow
with them.

The titles that are kept lie in a file without a name until all votes are known, and are then
written in the order of these.
"""

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from mm import clock, config, disk, files, log
from mm.schemas import CatalogueAbout, CatalogueChoice
from mm.services.catalogue import folding, rows, store
from mm.services.catalogue.dataset_files import Progress, UnreadableError, Watch, read
from mm.services.catalogue.gathering import Numbers, NumberSet, Shelf, require_few
from mm.services.catalogue.rows import MOST_VOTES

__all__ = ["UnreadableError", "build"]

# Votes and the tenths of a rating are one number.
TENTHS_BITS = 7
# What a line that is kept begins with.
TENTHS = [b"%d\t" % tenths for tenths in range(2**TENTHS_BITS)]
# What is gathered of one title before it is put away.
MOST_TITLES = 200
# Of one title: what was put away of its titles, and directors. Real ones stay far below.
MOST_PARTS = 5
MOST_DIRECTORS = 100


def build(
    sources: Mapping[str, Path],
    target: Path,
    choice: CatalogueChoice,
    etags: dict[str, str],
    progress: Progress,
    must_stop: Callable[[], bool],
) -> CatalogueAbout:
    """Write the catalogue `target`, which must not exist, out of these files by name (title.basics
    …), and wait for the disk. Where this fails, nothing is left of it.

    Raises UnreadableError, NoRoomError, and jobs.StoppedError once it must stop.
    """
    watch = Watch(progress, must_stop)
    with _only_whole(target), contextlib.ExitStack() as stack:
        files.make_folder(config.current.datasets_dir)
        gathered = Gathered(sources, choice, etags, watch, stack)
        gathered.read()
        store.write(target, gathered.films(), gathered.about, must_stop)
        files.sync_file(target)
    return gathered.about()


@contextlib.contextmanager
def _only_whole(target: Path) -> Iterator[None]:
    is_whole = False
    try:
        yield
        is_whole = True
    except (OSError, sqlite3.Error) as error:
        if not disk.is_full(error, target.parent):
            raise
        target.unlink(missing_ok=True)
        raise disk.full(target.parent) from error
    finally:
        if not is_whole:
            target.unlink(missing_ok=True)


class Gathered:
    """What was read of the datasets."""

    def __init__(
        self,
        sources: Mapping[str, Path],
        choice: CatalogueChoice,
        etags: dict[str, str],
        watch: Watch,
        stack: contextlib.ExitStack,
    ):
        self.sources = sources
        self.choice = choice
        self.etags = etags
        self.watch = watch
        self.built_at = clock.now()
        self.kinds: Counter[str] = Counter()
        self.kept = NumberSet()
        folder = config.current.datasets_dir
        # Half of all titles have no votes: one part, too large to be sorted.
        self.titles = Shelf(folder, "title.basics", part_bits=0)
        self.words, self.crew, self.names = (
            Shelf(folder, name) for name in ("title.akas", "title.crew", "name.basics")
        )
        for shelf in (self.titles, self.words, self.crew, self.names):
            stack.enter_context(contextlib.closing(shelf))

    def read(self) -> None:
        """Raises UnreadableError and jobs.StoppedError."""
        self._titles(self._ratings())
        if self.choice.akas:
            self._words()
        if self.choice.directors:
            self._directors()
        self.watch.tell("Numbering", 0, 1)
        for shelf in (self.titles, self.words, self.crew, self.names):
            shelf.sort()

    def films(self) -> Iterator[store.NewFilm]:
        """The most voted first. Raises jobs.StoppedError."""
        reader, total = self.titles_reader, len(self.titles.places)
        for number, (key, kept) in enumerate(self.titles.lines()):
            if number % store.BATCH == 0:
                self.watch.tell("Building the search", number, total)
            tenths, _, line = kept.partition(b"\t")
            fields = reader.fields(line)
            if fields and (title := reader.title(fields)):
                self.kinds[title[0]] += 1
                tconst, votes = int(fields[0][2:]), MOST_VOTES - key or None
                rating = int(tenths) / 10 if votes else None
                directors = self._directors_of(tconst) if self.choice.directors else None
                words = self._words_of(tconst) if self.choice.akas else ""
                yield store.NewFilm(tconst, *title, rating, votes, directors, words)
        self.watch.tell("Building the search", total, total)
        self._count("title.basics", reader)

    def about(self) -> CatalogueAbout:
        """Once all films were given."""
        return CatalogueAbout(
            built_at=self.built_at,
            films=self.kinds["movie"],
            series=self.kinds["tv"],
            choice=self.choice,
            etags=self.etags,
        )

    def _words_of(self, tconst: int) -> str:
        return " ".join(words.decode() for words in islice(self.words.of(tconst), MOST_PARTS))

    def _directors_of(self, tconst: int) -> str | None:
        found = [
            name.decode()
            for ids in islice(self.crew.of(tconst), 1)
            for number in rows.numbers_of(ids.decode(), b"nm")[:MOST_DIRECTORS]
            for name in islice(self.names.of(number), 1)
        ]
        return rows.joined(found)

    def _ratings(self) -> Numbers:
        """The votes and the tenths of the rating in one number, by that of the title."""
        reader, blocks = self._open("title.ratings", "Reading ratings")
        found = Numbers()
        for lines in blocks:
            for line in lines:
                parts = reader.parts(line)
                if parts and (row := reader.rating(parts)):
                    tconst, votes, tenths = row
                    found.put(tconst, votes << TENTHS_BITS | tenths)
            require_few("title.ratings", len(found))
        self._count("title.ratings", reader)
        found.sort()
        return found

    def _titles(self, ratings: Numbers) -> None:
        """The lines of those that are kept, which are taken apart when they are written."""
        reader, blocks = self._open("title.basics", "Reading titles")
        self.titles_reader, width = reader, reader.width
        id_at, type_at, adult_at = (reader.places[place] for place in (0, 1, 4))
        adult = b"" if self.choice.adult else b"1"
        for lines in blocks:
            for line in [line for line in lines if rows.EPISODE not in line]:
                parts = line.split(b"\t")
                if len(parts) != width:
                    reader.counts["rows"] += 1
                    continue
                type_name = parts[type_at]
                if type_name not in rows.KINDS or parts[adult_at] == adult:
                    continue
                tconst = rows.number_of(parts[id_at], b"tt")
                if tconst is None:
                    reader.counts["rows"] += 1
                elif (rating := ratings.first(tconst)) or type_name not in rows.KEPT_WITH_VOTES:
                    self._keep(line, tconst, rating)

    def _keep(self, line: bytes, tconst: int, rating: int) -> None:
        if not self.kept.add(tconst):
            self.titles_reader.counts["twice"] += 1
            return
        # The lowest number is the first one.
        place = MOST_VOTES - (rating >> TENTHS_BITS)
        self.titles.put(place, TENTHS[rating & 2**TENTHS_BITS - 1] + line)

    def _words(self) -> None:
        """Those of all titles of a film; its titles stand one below the other."""
        last = 0
        titles: list[str] = []
        doing = "Reading titles in other languages"
        for tconst, (_, title) in self._wanted("title.akas", doing, b"tt", self.kept):
            if tconst != last or len(titles) >= MOST_TITLES:
                self.words.put(last, folding.words(*titles).encode())
                last, titles = tconst, []
            if cleaned := rows.clean(title):
                titles.append(cleaned)
        self.words.put(last, folding.words(*titles).encode())

    def _directors(self) -> None:
        wanted = NumberSet()
        doing = "Reading directors"
        for tconst, (_, ids) in self._wanted("title.crew", doing, b"tt", self.kept):
            if numbers := rows.numbers_of(ids, b"nm")[:MOST_DIRECTORS]:
                self.crew.put(tconst, ids.encode())
                for number in numbers:
                    wanted.add(number)
        doing = "Reading names of directors"
        for number, (_, name) in self._wanted("name.basics", doing, b"nm", wanted):
            if cleaned := rows.clean(name):
                self.names.put(number, cleaned.encode())

    def _wanted(
        self, name: str, doing: str, letters: bytes, wanted: NumberSet
    ) -> Iterator[tuple[int, tuple[str, ...]]]:
        """The rows whose first column names one of them. Most lines are none, and are not taken
        apart."""
        reader, blocks = self._open(name, doing)
        place = reader.places[0]
        last, number = b"", 0
        is_wanted = False
        for lines in blocks:
            for line in lines:
                parts = line.split(b"\t", place + 1)
                text = parts[place] if len(parts) > place else b""
                if text != last:
                    last = text
                    number = rows.number_of(text, letters) or 0
                    is_wanted = number in wanted
                if is_wanted and (fields := reader.fields(line)):
                    yield number, fields
        self._count(name, reader)

    def _open(self, name: str, doing: str) -> tuple[rows.Reader, Iterator[list[bytes]]]:
        return read(name, self.sources[name], doing, self.watch)

    def _count(self, name: str, reader: rows.Reader) -> None:
        if reader.counts:
            log.warning("catalogue.left_out", dataset=name, **reader.counts)
