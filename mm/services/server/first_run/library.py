"""One user's file becomes the library of a new administrator."""

from collections.abc import Callable
from pathlib import Path

from mm import log
from mm.database import db
from mm.schemas import Problem
from mm.schemas.first_run import TakenOver, TakenUser
from mm.services import accounts, portable
from mm.services.portable.report import ROW
from mm.services.server.first_run import found, phones


def take_over(
    path: Path,
    name: str,
    email: str,
    username: str,
    password: str,
    user_id: str | None = None,
    last: Callable[[TakenOver], None] | None = None,
) -> TakenOver:
    """Create the account and its library, both or neither. `name` of the file. `user_id`: of the
    account whose folder of backups the file lies in, which belongs to the new one then. `last` is
    called at the end of the transaction.

    Raises UnusableFileError, InvalidError for the account, and ConflictError where there is an
    account by now."""
    incoming = found.read_library(path, name)
    with db.atomic():
        phones.begin_anew()
        user = accounts.create_first(email, username, password, user_id)
        plan = portable.plan(user.id, incoming, "overwrite")
        portable.apply(plan)
        warnings = portable.result(plan, None).warnings
        films = sum(film.values.status != "deleted" for film in incoming.films)
        problems = [_named(plan, problem) for problem in plan.errors]
        whose = TakenUser(user.username, user.email, films, problems=problems, warnings=warnings)
        taken = TakenOver(users=[whose])
        if last:
            last(taken)
    log.info("setup.library_imported", user=user.id, films=films, left_out=len(plan.errors))
    return taken


def _named(plan: portable.Plan, problem: Problem) -> Problem:
    """With what the row is called, where it says so."""
    row = ROW.match(problem.path)
    label = plan.labels.get(row[0]) if row else None
    return Problem(f"{label} ({problem.path})", problem.reason) if label else problem
