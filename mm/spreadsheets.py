"""Tables as CSV that Excel, LibreOffice and others open as they are meant."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

# A spreadsheet takes a cell that begins so for a formula, and what it says may come from a
# stranger's file. Some pass over spaces and what cannot be seen; some read the wide signs too.
UNSEEN = "\ufeff\u200b-\u200f\u202a-\u202e\u2060-\u2069"
FORMULA = re.compile(rf"[\s{UNSEEN}]*[\t\r\n=+\-@＝＋－＠]")
Row = Sequence[object]


def csv_of(columns: Sequence[str], batches: Iterable[Iterable[Row]]) -> Iterator[bytes]:
    """The header, then each batch of rows. None is an empty cell, a number stays one, and a text
    that could be taken for a formula begins with an apostrophe."""
    # Without this mark a spreadsheet misreads what is not ASCII.
    yield "\ufeff".encode() + _lines([columns])
    for rows in batches:
        yield _lines(rows)


def _lines(rows: Iterable[Row]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([_harmless(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value
