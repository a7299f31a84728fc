"""Files that a user takes along: a tab of the library as CSV, a collection, and what an import
leaves out as CSV for people and JSON for programs."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from urllib.parse import quote

from flask import Response

from mm import clock, config, htmx, spreadsheets, streaming
from mm.errors import NotFoundError
from mm.routes.filters import field_label
from mm.services.library.table import COLUMNS as FILM_COLUMNS
from mm.services.library.table import Table

COLUMNS = ("what", "name", "row", "problem", "path")
PATH = re.compile(r"([a-z]+)\[(\d+)\]")
# What stands for itself in the name of a file on every system.
UNSAFE = re.compile(r"[\s\\/:*?\"<>|%;,.'`~$&#]+")
NAME_MAX = 60
SECTIONS = {
    "movies": "Film",
    "people": "Person",
    "lists": "List",
    "views": "Saved view",
    "rankings": "Ranking",
}


def of_library(table: Table) -> Response:
    """`library-2026-03-01.csv`, of a list or a saved view `library-Horror-2026-03-01.csv`."""
    today = clock.today(config.current.zone).isoformat()
    name = "-".join(filter(None, ("library", _in_file_name(table.name), today)))
    response = streaming.in_pieces(spreadsheets.csv_of(FILM_COLUMNS, table.batches), "text/csv")
    response.headers["Content-Disposition"] = _attachment(f"{name}.csv")
    return htmx.private(response)


def of_collection(name: str, content: bytes) -> Response:
    """The file of people, lists, views or settings, or of a list that is shown by a link."""
    headers = {"Content-Disposition": f"attachment; filename={name}"}
    return htmx.private(Response(content, mimetype="application/json", headers=headers))


def of_rows(rows: Iterable[dict], name: str, form: str) -> Response:
    """The file NAME.csv with the COLUMNS of each row, or NAME.json with all there is. Raises
    NotFoundError for another form."""
    if form not in ("csv", "json"):
        raise NotFoundError("This list comes as CSV and as JSON.")
    content: str | bytes
    if form == "csv":
        cells = ([row.get(column) for column in COLUMNS] for row in rows)
        content, mimetype = b"".join(spreadsheets.csv_of(COLUMNS, [cells])), "text/csv"
    else:
        content = json.dumps(list(rows), ensure_ascii=False, indent=2)
        mimetype = "application/json"
    headers = {"Content-Disposition": f"attachment; filename={name}.{form}"}
    return htmx.private(Response(content, mimetype=mimetype, headers=headers))


def of_problems(problems: Iterable[dict], name: str, form: str) -> Response:
    """As `of_rows`, of what an import that is done has left out: rows of path and reason."""
    rows = []
    for problem in problems:
        path, reason = problem.get("path"), problem.get("reason")
        what, row = place_of(path) or (None, None)
        words = problem_words(path, reason)
        row_of = {"what": what, "row": row, "problem": words, "path": path, "reason": reason}
        rows.append(row_of)
    return of_rows(rows, name, form)


def reasons_of(problems: Iterable[dict]) -> list[tuple[str, int]]:
    """Each problem in words, and how many rows have it, the most frequent first."""
    words = (problem_words(row.get("path"), row.get("reason")) for row in problems)
    return Counter(words).most_common()


def place_of(path: str | None) -> tuple[str, int] | None:
    """("Film", 4) for movies[3].imdb_id."""
    found = PATH.match(path or "")
    return (SECTIONS.get(found[1], found[1]), int(found[2]) + 1) if found else None


def problem_words(path: str | None, reason: str | None) -> str:
    """ "rating: 11 is above 10" of movies[3].watch_history.my_rating."""
    _, dot, field = (path or "").rpartition(".")
    label = field_label(field.partition("[")[0])
    return f"{label}: {reason}" if dot else reason or ""


def _attachment(name: str) -> str:
    """The header that names a file. Headers are ASCII, so another name stands there as RFC 5987
    writes it, behind one for old programs."""
    if name.isascii():
        return f'attachment; filename="{name}"'
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _in_file_name(name: str) -> str:
    """ "Best of: 2020" -> "Best-of-2020"; without what cannot be seen or turns text round."""
    words = UNSAFE.sub(" ", name)
    return "-".join("".join(filter(str.isprintable, words)).split())[:NAME_MAX].strip("-")
