"""Failures of the worker's regular work: kept until the work succeeds, and named by /api/health."""

import hashlib
import json
import sqlite3
from collections.abc import Callable
from typing import TypeVar

from peewee import DatabaseError, InterfaceError

from mm import log, models
from mm.database import db
from mm.maintenance import MaintenanceError
from mm.models import Setting

PREFIX = "problem."
Result = TypeVar("Result")


def attempt(part: str, what: str, work: Callable[[], Result]) -> Result | None:
    """Do one part of the regular work; returns its result, None when it failed.

    A failure is logged once, with a code, and kept as a problem until the part succeeds again.
    `what` begins the sentence that health shows, as in "Deleting old uploads". While the whole
    server is restored nothing can be kept: MaintenanceError is raised.
    """
    with log.caught(besides=(MaintenanceError,)) as failure:
        result = work()
        clear(part)
        return result
    if failure.error:
        _keep(part, what, failure.error)
    return None


def put(part: str, text: str, **more: object) -> None:
    """Keep a problem; `text` is a sentence that strangers may read: no path, name or account."""
    with db.atomic():
        models.put_setting(PREFIX + part, {"text": text, **more})


def clear(part: str) -> None:
    if models.setting(PREFIX + part) is not None:
        with db.atomic():
            Setting.delete().where(Setting.key == PREFIX + part).execute()
        log.info("problem.over", part=part)


def texts() -> list[str]:
    rows = Setting.select().where(Setting.key.startswith(PREFIX)).order_by(Setting.key)
    return [json.loads(row.value)["text"] for row in rows]


def _keep(part: str, what: str, error: Exception) -> None:
    try:
        digest = hashlib.sha256(repr(error).encode()).hexdigest()
        earlier = models.setting(PREFIX + part) or {}
        # The same failure every minute would fill the log.
        if earlier.get("error") != digest:
            code = log.unexpected("problem.found", error, part=part)
            put(part, f"{what} does not work. The log has the reason (code {code}).", error=digest)
    except (DatabaseError, InterfaceError, sqlite3.Error) as problem:
        # Then health finds the database itself at fault.
        log.unexpected("problem.not_kept", problem, part=part, because=repr(error))
