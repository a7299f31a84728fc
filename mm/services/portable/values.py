"""The columns that a user owns of one row, in a file, in a library or in a plan.

They are small structs, because a library has hundreds of thousands of rows, and a dict takes four
times the memory. Each has the columns of its table in `models.OWNED`, in that order.

Of a row in a file, a column is None where the file says null, and UNSET where the file does not
name it. A merge treats both the same: nothing is given. A replace takes null for what it says.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import UNSET, structs

from mm.database import Table
from mm.models import (
    OWNED,
    CustomList,
    Movie,
    Person,
    Recommendation,
    SavedView,
    Watch,
    new_values,
    owned_names,
)

# One for all rows that stay the same.
NOTHING: Mapping[str, list] = MappingProxyType({})


def _struct(table: type[Table]) -> Any:
    fields = [(name, Any, UNSET) for name in owned_names(table)]
    return msgspec.defstruct(f"{table.__name__}Values", fields, gc=False)


VALUES = {table: _struct(table) for table in OWNED}
DEFAULTS = {table: VALUES[table](**new_values(table, {})) for table in OWNED}
_MAY_BE_EMPTY = {VALUES[table]: [column.null for column in OWNED[table]] for table in OWNED}
MovieValues = VALUES[Movie]
WatchValues = VALUES[Watch]
VoteValues = VALUES[Recommendation]
PersonValues = VALUES[Person]
ListValues = VALUES[CustomList]
ViewValues = VALUES[SavedView]


def is_given(value: object) -> bool:
    return value is not None and value is not UNSET


def from_file(kind: Any, row: dict, **given) -> Any:
    """The values of a row that a file holds. `given` are those that could be read, None for what
    the file does not give."""
    for name, value in given.items():
        if value is None and name not in row:
            given[name] = UNSET
    return kind(**given)


def of_new_row(table: type[Table], given: Any, **defaults) -> Any:
    """What a new row holds: what is given, else these defaults, else the columns' own."""
    return merged(structs.replace(DEFAULTS[table], **defaults), given)


def merged(mine: Any, given: Any) -> Any:
    """`mine` with the values that are given: null never clears anything."""
    pairs = zip(structs.astuple(mine), structs.astuple(given), strict=True)
    values = type(mine)(*(old if new is None or new is UNSET else new for old, new in pairs))
    # Most rows are the same in the file: one of them serves for both.
    if values == mine:
        return mine
    return given if values == given else values


def replaced(mine: Any, given: Any) -> Any:
    """`mine` with the values that the file names: null clears what can be empty."""
    triples = zip(
        structs.astuple(mine), structs.astuple(given), _MAY_BE_EMPTY[type(mine)], strict=True
    )
    values = type(mine)(
        *(
            old if new is UNSET or (new is None and not may_be_empty) else new
            for old, new, may_be_empty in triples
        )
    )
    return mine if values == mine else values


def differences(mine: Any, final: Any) -> Mapping[str, list]:
    """{name: [from, to]}"""
    if mine is final:
        return NOTHING
    pairs = zip(mine.__struct_fields__, structs.astuple(mine), structs.astuple(final), strict=True)
    return {name: [old, new] for name, old, new in pairs if old != new}
