"""Taking over the file that waits, once somebody has seen what it holds and confirmed it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from mm import locks, log
from mm.errors import ConflictError, InvalidError
from mm.models import Job, User
from mm.schemas import Problem
from mm.schemas.first_run import TakenOver
from mm.services import accounts
from mm.services.server import archive_files, archive_uploads, restore
from mm.services.server.first_run import (
    adopt,
    all_users_import,
    code,
    found,
    kept,
    library,
    outcome,
)
from mm.services.server.first_run.kept import Kept

BUSY = "Somebody else is setting up the server right now. Try again in a minute."
CHOOSE_ADMINISTRATOR = "Choose who becomes the administrator."


def create_administrator(email: str, username: str, password: str) -> User:
    """Of a server that begins anew. Raises InvalidError, and ConflictError where there is an
    account by now."""
    with _alone():
        user = accounts.create_first(email, username, password)
        kept.forget()
        code.forget()
    return user


def take_over(waiting: Kept, typed: Mapping[str, str]) -> str:
    """Returns the token of `outcome`. `typed`: `admin`, the id of the original's user who becomes
    administrator; `email`, `username` and `password` of whom one user's library is for.

    Raises InvalidError for what was typed, UnusableFileError, and ConflictError where there is an
    account by now; nothing is then changed."""
    token = outcome.new_token()
    with _alone():
        # Within the transaction: nobody comes without the sentences about what was left out.
        taken = _taken(waiting, typed, lambda taken: outcome.store(taken, token))
        log.warning("setup.imported", kind=waiting.found.kind, users=len(taken.users))
        # What came of the settings, which follow the accounts.
        with log.isolated("setup.outcome"):
            if outcome.read(token) != taken:
                outcome.store(taken, token)
        kept.forget()
        code.forget()
    return token


def begin_restore(waiting: Kept) -> tuple[Job, str]:
    """Of an archive: the job, which the caller enqueues, and the token of `restore.outcome`."""
    with _alone():
        path = waiting.file
        if path.parent != archive_files.folder():
            path = archive_files.path_of(archive_uploads.add(path).timestamp)
        timestamp = archive_files.timestamp_of(path.name) or ""
        job, token = restore.request(timestamp)
        log.warning("setup.restore_requested", archive=timestamp)
        kept.forget()
    return job, token


def _taken(waiting: Kept, typed: Mapping[str, str], last: Callable[[TakenOver], None]) -> TakenOver:
    path, name = waiting.file, waiting.found.source
    match waiting.found.kind:
        case "all-users":
            return all_users_import.take_over(path, last=last)
        case "original":
            if not typed["admin"]:
                problem = Problem("admin", CHOOSE_ADMINISTRATOR)
                raise InvalidError(CHOOSE_ADMINISTRATOR, [problem])
            beside = found.backups_beside(path)
            return adopt.adopt(path, typed["admin"], beside, last=last)
        case _:
            account = typed["email"], typed["username"], typed["password"]
            user_id = waiting.user_id
            return library.take_over(path, name, *account, user_id=user_id, last=last)


@contextmanager
def _alone() -> Iterator[None]:
    with locks.hold("setup", BUSY):
        if accounts.exist():
            raise ConflictError(accounts.SET_UP_MEANWHILE)
        yield
