"""Tables that a user takes along: what an import leaves out, as CSV for people and JSON for
programs."""

import csv
import io
import json
from collections.abc import Iterable

from flask import Response

from mm import htmx

# A spreadsheet takes a cell that begins so for a formula, and what it says may come from a
# stranger's file.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
COLUMNS = ("what", "name", "row", "problem", "path")


def of_rows(rows: Iterable[dict], name: str, form: str) -> Response:
    """The file NAME.csv or NAME.json, with the COLUMNS of each row."""
    kept = [{column: row.get(column) for column in COLUMNS} for row in rows]
    if form == "csv":
        content, mimetype = _csv(kept), "text/csv"
    else:
        content, mimetype = json.dumps(kept, ensure_ascii=False, indent=2), "application/json"
    headers = {"Content-Disposition": f"attachment; filename={name}.{form}"}
    return htmx.private(Response(content, mimetype=mimetype, headers=headers))


def _csv(rows: list[dict]) -> str:
    """With a byte order mark, without which a spreadsheet misreads what is not ASCII."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows({key: _harmless(value) for key, value in row.items()} for row in rows)
    return "\ufeff" + text.getvalue()


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
