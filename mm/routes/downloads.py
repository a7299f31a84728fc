"""Tables that a user takes along: what an import leaves out, as CSV for people and JSON for
programs."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable

from flask import Response

from mm import htmx
from mm.errors import NotFoundError
from mm.routes.filters import field_label

# A spreadsheet takes a cell that begins so for a formula, and what it says may come from a
# stranger's file.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
COLUMNS = ("what", "name", "row", "problem", "path")
PATH = re.compile(r"([a-z]+)\[(\d+)\]")
SECTIONS = {
    "movies": "Film",
    "people": "Person",
    "lists": "List",
    "views": "Saved view",
    "rankings": "Ranking",
}


def of_rows(rows: Iterable[dict], name: str, form: str) -> Response:
    """The file NAME.csv with the COLUMNS of each row, or NAME.json with all there is. Raises
    NotFoundError for another form."""
    if form not in ("csv", "json"):
        raise NotFoundError("This list comes as CSV and as JSON.")
    if form == "csv":
        content, mimetype = _csv(rows), "text/csv"
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


def _csv(rows: Iterable[dict]) -> str:
    """With a byte order mark, without which a spreadsheet misreads what is not ASCII."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows({name: _harmless(row.get(name)) for name in COLUMNS} for row in rows)
    return "\ufeff" + text.getvalue()


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
