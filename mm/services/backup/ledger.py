"""What is known of a user's backups beside the files: the last attempt that failed, and when they
chose whether there is a backup every night.

It also knows which imports, restores and undos were really written: a safety copy is made before
that, and its sidecar can only be completed afterwards.

Of a failure, `User.last_error` is the sentence: null means that none stands. When and what was
tried are settings of the user.
"""

from collections.abc import Iterable
from typing import NamedTuple

from mm import clock
from mm.clock import DAY
from mm.database import db
from mm.models import User
from mm.services import user_settings

FAILED = "backup.failed"
CHOSEN = "backup.chosen"
WRITTEN = "backup.written"
WRITTEN_KEPT_SECONDS = 8 * DAY
# In place of a safety copy's name: what was written into an empty library has none.
NO_COPY = ""
# Version 0.1 kept the text of an unforeseen error, which may name a path of the server.
UNFORESEEN = "Unexpected error:"
REASON_IN_THE_LOG = (
    "Something went wrong on the server. Ask whoever runs this server: the log has the reason."
)


class Failure(NamedTuple):
    """`kind` of the backup that failed. `at` is None for one that version 0.1 noted."""

    message: str
    kind: str
    at: float | None


class Remembered(NamedTuple):
    """`chosen_at`: when the user last switched automatic backups on or off; None: they never
    did."""

    failure: Failure | None
    chosen_at: float | None


def record_failure(user_id: str, kind: str, message: str) -> None:
    with db.atomic():
        User.update(last_error=message).where(User.id == user_id).execute()
        user_settings.put(user_id, FAILED, {"kind": kind, "at": clock.now()})


def record_choice(user_id: str) -> None:
    user_settings.put(user_id, CHOSEN, clock.now())


def record_written(user_id: str, safety_copy: str, at: float) -> None:
    """Call in the transaction that writes the library after this copy of it was made."""
    recent = {
        name: moment
        for name, moment in written(user_id).items()
        if abs(at - moment) < WRITTEN_KEPT_SECONDS
    }
    user_settings.put(user_id, WRITTEN, {**recent, safety_copy: at})


def written(user_id: str) -> dict[str, float]:
    """When the library was written, by the name of the safety copy from right before."""
    return user_settings.get(user_id, WRITTEN, {})


def of(users: Iterable[User]) -> dict[str, Remembered]:
    """By user id, for each of `users`."""
    users = list(users)
    kept = user_settings.of_users((user.id for user in users), (FAILED, CHOSEN))
    return {
        user.id: Remembered(_failure(user, kept), kept.get((user.id, CHOSEN))) for user in users
    }


def has_chosen(user: User) -> bool:
    return of([user])[user.id].chosen_at is not None


def _failure(user: User, kept: dict) -> Failure | None:
    if user.last_error is None:
        return None
    message = user.last_error
    if message.startswith(UNFORESEEN):
        message = REASON_IN_THE_LOG
    noted = kept.get((user.id, FAILED), {})
    at = noted.get("at")
    # A time in the future was written while the clock was wrong, and says nothing.
    if at is not None and at > clock.now() + DAY:
        at = None
    return Failure(message, noted.get("kind", "scheduled"), at)
