"""Health and errors."""

from typing import Literal

from msgspec import Struct


class Health(Struct):
    """`degraded`: something in `problems` needs looking at, and requests are served."""

    status: Literal["healthy", "degraded"]
    timestamp: float
    database: Literal["ok"]
    worker: Literal["ok", "late"]
    last_backup: float | None
    problems: list[str]


class ErrorDetail(Struct):
    detail: str


class FieldProblem(Struct):
    """`loc` leads to the field, as in ["movies", 3, "status"]; empty for the body as a whole."""

    loc: list[str | int]
    msg: str
    type: str


class ValidationDetail(Struct):
    """One sentence where a rule refuses a value or a whole document; a list for a body or query of
    the wrong shape."""

    detail: list[FieldProblem] | str
