"""Files in the form of IMDb's datasets at their real size, made up: the shares of types, of titles
that are equal, and of votes are about IMDb's.

python -m tests.bench.datasets FOLDER [--titles 11800000] [--real FILE] [--akas] [--directors]

`--real`: lines of JSON with the fields `tmdb` (id, imdb_id, title, original_title, release_date,
genres, runtime, vote_average, vote_count). These films are mixed in under their own ids, and the
words of their titles are those that the others are made of.
"""

import argparse
import gzip
import heapq
import json
import random
from collections import Counter
from contextlib import ExitStack
from itertools import accumulate, islice
from pathlib import Path
from typing import NamedTuple

from isal import igzip

from mm.services.catalogue.checking import KNOWN

TITLES = 11_800_000
NAMES = 14_500_000
HIGHEST_TCONST = 38_000_000
# Ids of seven digits come between those of eight: the files are in the order of their letters.
SEVEN_DIGITS = 10**7
SEED = 20260301
BATCH = 20_000
HEADERS = {
    "title.basics": "tconst titleType primaryTitle originalTitle isAdult startYear endYear "
    "runtimeMinutes genres",
    "title.ratings": "tconst averageRating numVotes",
    "title.akas": "titleId ordering title region language types attributes isOriginalTitle",
    "title.crew": "tconst directors writers",
    "name.basics": "nconst primaryName birthYear deathYear primaryProfession knownForTitles",
}


class Type(NamedTuple):
    """The share of all titles that are of it, and the share of those that have votes."""

    share: float
    rated: float
    minutes: int


TYPES = {
    "tvEpisode": Type(0.770, 0.09, 30),
    "short": Type(0.090, 0.16, 12),
    "movie": Type(0.060, 0.46, 95),
    "video": Type(0.026, 0.18, 60),
    "tvSeries": Type(0.024, 0.37, 40),
    "tvMovie": Type(0.013, 0.37, 85),
    "tvMiniSeries": Type(0.005, 0.35, 45),
    "tvSpecial": Type(0.004, 0.30, 60),
    "videoGame": Type(0.003, 0.45, 0),
    "tvShort": Type(0.001, 0.25, 10),
}
GENRES = "Drama Comedy Documentary Romance Action Crime Thriller Horror Adventure Family Animation"
GENRES += " Reality-TV Music Mystery Fantasy Sci-Fi History Biography Musical Sport War Western"
# The most frequent first, as in real titles.
COMMON = """the of a in and to my love la man night day life girl with on house world story el i
dead last black for new blood war dark me one lost woman king city red big death you time no little
home secret from white at road your game good heart boy white la de le les und der die das dream
dreams men women wild water summer is it not we he she they blue green great star fire moon sun sea
land island river mountain street war peace hope faith devil angel ghost monster doctor lady queen
prince princess family father mother brother sister son daughter child children school college
american christmas murder killer detective police train ship space alien robot machine dragon wolf
tiger lion dog cat horse bird toy matrix return revenge rise fall end beginning first second third
two three seven forever never always beyond under over behind between before after into out up down
"""
SYLLABLES = (
    "ba be bo ca ce co da de do fa fe go ha he ka ki ko la le lo ma me mo na ne no pa pe ra re ro "
    "sa se so ta te to va ve vo wa ya zo"
)
ENDINGS = ["", "n", "r", "s", "l", "ck", "nd", "rt", "sh"]
INVENTED_WORDS = 150_000
REGIONS = ["US", "DE", "FR", "JP", "IT", "ES", "PT", "RU", "IN", "GB"]
# Directors of this many titles are among the names.
DIRECTORS_SHARE = 0.08


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--titles", type=int, default=TITLES)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--akas", action="store_true")
    parser.add_argument("--directors", action="store_true")
    options = parser.parse_args()
    write(options.folder, options.titles, options.real, options.akas, options.directors)


def write(folder, titles=TITLES, real=None, akas=False, directors=False):
    """The files by name. The same arguments make the same files."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ["title.basics", "title.ratings"]
    names += ["title.akas"] * akas + ["title.crew", "name.basics"] * directors
    paths = {name: folder / f"{name}.tsv.gz" for name in names}
    films = real_films(real) if real else {}
    with ExitStack() as stack:
        files = {}
        for name, path in paths.items():
            files[name] = stack.enter_context(igzip.open(path, "wb", compresslevel=2))
            files[name].write((HEADERS[name].replace(" ", "\t") + "\n").encode())
        write_titles(files, titles, films)
        if directors:
            write_names(files["name.basics"], int(titles / TITLES * NAMES))
    return paths


def write_titles(files, titles, films):
    maker = Maker(films, int(titles / TITLES * NAMES), set(files))
    numbers = numbers_of(titles, films)
    while batch := list(islice(numbers, BATCH)):
        for name, lines in maker.lines_of(batch).items():
            files[name].write("".join(lines).encode())


def numbers_of(titles, films):
    """In the order of IMDb's files."""
    rng = random.Random(SEED)
    step = HIGHEST_TCONST / titles
    made = [1 + int((place + rng.random()) * step) for place in range(titles)]
    known = {*films, *known_films()}
    made = sorted({*made, *known})
    split = next((at for at, number in enumerate(made) if number >= SEVEN_DIGITS), len(made))
    return heapq.merge(made[:split], made[split:], key=lambda number: f"{number:07}")


class Maker:
    def __init__(self, films, names, wanted):
        """`wanted`: the files' names."""
        self.wanted = wanted
        self.films = known_films() | films
        self.names = max(names, 1)
        self.rng = random.Random(SEED + 1)
        # Of their own, so that the titles are the same with and without them.
        self.other_rng = random.Random(SEED + 2)
        self.words, self.word_weights = vocabulary(self.rng, films)
        self.types = list(TYPES)
        self.type_weights = list(accumulate(TYPES[name].share for name in self.types))
        self.genres = GENRES.split()
        self.years = list(range(1900, 2027))
        self.year_weights = list(accumulate(1.045**place for place in range(len(self.years))))
        self.episodes = [self.title(3) for _ in range(BATCH)]

    def lines_of(self, numbers):
        lines = {name: [] for name in self.wanted - {"name.basics"}}
        rng, count = self.rng, len(numbers)
        types = rng.choices(self.types, cum_weights=self.type_weights, k=count)
        years = rng.choices(self.years, cum_weights=self.year_weights, k=count)
        for number, type_name, year in zip(numbers, types, years, strict=True):
            tconst = f"tt{number:07}"
            if film := self.films.get(number):
                basics, rating, titles = film
            elif type_name == "tvEpisode":
                basics, rating, titles = self.episode(year)
            else:
                basics, rating, titles = self.film(type_name, year)
            lines["title.basics"].append(f"{tconst}\t{basics}\n")
            if rating:
                lines["title.ratings"].append(f"{tconst}\t{rating}\n")
            if "title.akas" in lines:
                lines["title.akas"] += self.akas(tconst, titles)
            if "title.crew" in lines:
                lines["title.crew"].append(f"{tconst}\t{self.directors()}\t\\N\n")
        return lines

    def episode(self, year):
        rng = self.rng
        if rng.random() < 0.4:
            title = f"Episode #{int(rng.random() * 9) + 1}.{int(rng.random() * 200) + 1}"
        else:
            title = self.episodes[int(rng.random() * BATCH)]
        minutes = "\\N" if rng.random() < 0.6 else int(rng.random() * 40) + 15
        basics = f"tvEpisode\t{title}\t{title}\t0\t{year}\t\\N\t{minutes}\tDrama"
        rating = self.rating() if rng.random() < TYPES["tvEpisode"].rated else None
        return basics, rating, (title,)

    def film(self, type_name, year):
        rng, kind = self.rng, TYPES[type_name]
        title = self.title(1 + int(rng.random() ** 1.5 * 6))
        original = title if rng.random() < 0.9 else self.title(1 + int(rng.random() * 5))
        adult = 1 if rng.random() < 0.02 else 0
        end = year + int(rng.random() * 8) if type_name.endswith("Series") else "\\N"
        known = rng.random() < 0.66
        minutes = max(1, int(rng.gauss(kind.minutes, kind.minutes / 4))) if known else "\\N"
        genres = ",".join(sorted({*rng.choices(self.genres[:14], k=1 + int(rng.random() * 3))}))
        start = year if rng.random() < 0.93 else "\\N"
        basics = f"{type_name}\t{title}\t{original}\t{adult}\t{start}\t{end}\t{minutes}\t{genres}"
        rating = self.rating() if rng.random() < kind.rated else None
        return basics, rating, (title, original)

    def title(self, words):
        chosen = self.rng.choices(self.words, cum_weights=self.word_weights, k=words)
        return " ".join(chosen)

    def rating(self):
        votes = min(2_900_000, int(5 * (1 - self.rng.random()) ** (-1 / 0.6)))
        return f"{min(10.0, max(1.0, self.rng.gauss(6.7, 1.3))):.1f}\t{votes}"

    def akas(self, tconst, titles):
        rng = self.other_rng
        lines = [f"{tconst}\t1\t{titles[-1]}\t\\N\t\\N\toriginal\t\\N\t1\n"]
        for order in range(2, 2 + int(rng.random() * 7)):
            title = titles[0] if rng.random() < 0.5 else self.episodes[int(rng.random() * BATCH)]
            region = REGIONS[int(rng.random() * len(REGIONS))]
            lines.append(f"{tconst}\t{order}\t{title}\t{region}\t\\N\timdbDisplay\t\\N\t0\n")
        return lines

    def directors(self):
        rng = self.other_rng
        count = int(rng.random() * 2.3)
        chosen = [1 + int(rng.random() * self.names * DIRECTORS_SHARE) for _ in range(count)]
        return ",".join(f"nm{number:07}" for number in chosen) or "\\N"


def write_names(file, count):
    rng = random.Random(SEED + 3)
    words, weights = invented(rng, 40_000), None
    for start in range(1, count + 1, BATCH):
        numbers = range(start, min(start + BATCH, count + 1))
        chosen = rng.choices(words, weights, k=2 * len(numbers))
        lines = [
            f"nm{number:07}\t{first} {last}\t\\N\t\\N\tactor,director\ttt0000001,tt0000002\n"
            for number, first, last in zip(numbers, chosen[::2], chosen[1::2], strict=True)
        ]
        file.write("".join(lines).encode())


def vocabulary(rng, films):
    """Words and their weights, added up: those of real titles, or the common ones, and behind them
    many that are rare."""
    counts = Counter()
    for _, _, titles in films.values():
        counts.update(word for title in titles for word in title.split())
    words = [word for word, _ in counts.most_common()] or [word.title() for word in COMMON.split()]
    words += invented(rng, INVENTED_WORDS)
    return words, list(accumulate(1 / (place + 2) for place in range(len(words))))


def invented(rng, count):
    made, syllables_of_all = {}, SYLLABLES.split()
    while len(made) < count:
        syllables = rng.choices(syllables_of_all, k=rng.choice((2, 2, 3, 3, 4)))
        made["".join(syllables).title() + rng.choice(ENDINGS)] = None
    return list(made)


def known_films():
    """Without these a catalogue of this size would be refused."""
    return {
        int(imdb_id[2:]): (
            f"{'movie' if kind == 'movie' else 'tvSeries'}\tKnown {imdb_id}\tKnown {imdb_id}\t0"
            f"\t{year}\t\\N\t120\tDrama",
            "8.5\t1500000",
            (f"Known {imdb_id}",),
        )
        for imdb_id, (kind, year) in KNOWN.items()
    }


def real_films(path):
    with gzip.open(path, "rt") as lines:
        rows = [json.loads(line)["tmdb"] for line in lines]
    return {int(row["imdb_id"][2:]): real_film(row) for row in rows if row.get("imdb_id")}


def real_film(row):
    title, original = (" ".join(row[name].split()) for name in ("title", "original_title"))
    genres = [genre["name"].replace("Science Fiction", "Sci-Fi") for genre in row["genres"][:3]]
    year = (row["release_date"] or "")[:4] or "\\N"
    minutes, genres = row["runtime"] or "\\N", ",".join(genres) or "\\N"
    basics = f"movie\t{title}\t{original}\t0\t{year}\t\\N\t{minutes}\t{genres}"
    # TMDB counts about a two-hundredth of IMDb's votes.
    rating = f"{row['vote_average']}\t{row['vote_count'] * 200}" if row["vote_count"] else None
    return basics, rating, (title, original)


if __name__ == "__main__":
    main()
