"""A test restore: the only thing that `verified` means."""

from collections.abc import Iterator
from contextlib import contextmanager

from peewee import Database

from mm import models
from mm.database import insert_rows
from mm.errors import UserError
from mm.models import User
from mm.schemas import Counts
from mm.services import portable
from mm.services.portable import Incoming

SCRATCH_USER = "scratch"
DIFFERS = "a test restore gives a different library"


def problem_of(data: bytes, expected: Counts, trusted: bool, exact: bool) -> str | None:
    """Why a backup file is not good, or None. Restores it into an empty database and exports that
    again.

    `trusted`: written by this server. `exact`: and in the format of this version, so the export
    must equal the file. What an older version or another program wrote need only be stable: every
    row is taken, and a second round changes nothing. `expected` are the counts of the file's
    sidecar.
    """
    try:
        incoming = portable.read(data, trusted)
    except UserError as error:
        return error.message
    if incoming.errors:
        first = incoming.errors[0]
        return f"{len(incoming.errors)} rows can’t be restored, first {first.path}: {first.reason}"
    if counts_of(incoming) != expected:
        return "films, people or lists are missing from it"
    restored = _restore_and_export(incoming)
    if exact and restored != data:
        return DIFFERS
    if not exact and _restore_and_export(portable.read(restored, trusted=True)) != restored:
        return "two test restores give different libraries"
    return None


def counts(data: bytes) -> Counts | None:
    """Of a file without a sidecar; None where it cannot be read."""
    try:
        return counts_of(portable.read(data))
    except UserError:
        return None


def counts_of(incoming: Incoming) -> Counts:
    return Counts(
        movies=len(incoming.films), people=len(incoming.people), lists=len(incoming.lists)
    )


def _restore_and_export(incoming: Incoming) -> bytes:
    with restored_library(incoming) as scratch:
        exported_at = incoming.exported_at
        return portable.encode(
            portable.dump(SCRATCH_USER, database=scratch, exported_at=exported_at)
        )


@contextmanager
def restored_library(incoming: Incoming, user_id: str = SCRATCH_USER) -> Iterator[Database]:
    """A database in memory with nothing but this library, whose owner has `user_id` there."""
    scratch = models.scratch()
    try:
        # A fresh account as `accounts.create` makes it, without the slow password.
        user = User(
            id=user_id,
            email="",
            email_key="",
            username="",
            username_key="",
            password_hash="",
        ).__data__
        columns = [User._meta.fields[name] for name in user]
        insert_rows(scratch, columns, [tuple(user.values())])
        models.add_quick_recommenders(scratch, user_id, last_modified=0.0, updated_at=0.0)
        plan = portable.plan(user_id, incoming, database=scratch)
        portable.apply(plan, database=scratch)
        yield scratch
    finally:
        scratch.close()
