"""IMDb's datasets as files, of a few rows each."""

import gzip

from tests.support.datasets import HEADERS

NOTHING = r"\N"


def basics(
    imdb_id,
    title,
    year=1999,
    kind="movie",
    original=None,
    adult=0,
    end_year=NOTHING,
    runtime=100,
    genres="Drama",
):
    return (imdb_id, kind, title, original or title, adult, year, end_year, runtime, genres)


def rating(imdb_id, average, votes):
    return (imdb_id, average, votes)


def aka(imdb_id, title, ordering=1):
    return (imdb_id, ordering, title, "DE", NOTHING, "imdbDisplay", NOTHING, 0)


def text_of(name, rows, header=None):
    lines = [(header or HEADERS[name]).replace(" ", "\t")]
    lines += [row if isinstance(row, str) else "\t".join(map(str, row)) for row in rows]
    return "".join(f"{line}\n" for line in lines).encode()


def put(folder, **rows):
    """The files by name; `title_basics=[basics(…), …]`, and what is no list is the file's bytes.
    The datasets that are not given are empty but for their headers."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name in HEADERS:
        paths[name] = folder / f"{name}.tsv.gz"
        given = rows.get(name.replace(".", "_"), [])
        is_file = isinstance(given, bytes)
        paths[name].write_bytes(given if is_file else gzip.compress(text_of(name, given)))
    return paths
