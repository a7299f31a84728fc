"""A test restore: the only thing that `verified` means."""

from peewee import Database

from mm import models
from mm.database import fold, insert_rows
from mm.errors import UserError
from mm.models import QUICK_RECOMMENDERS, Person, User
from mm.schemas import Counts
from mm.services import portable
from mm.services.portable import Incoming

SCRATCH_USER = "scratch"
DIFFERS = "a test restore gives a different library"


def problem_of(data: bytes, expected: Counts, own: bool, exact: bool) -> str | None:
    """Why a backup file is not good, or None. Restores it into an empty database and exports that
    again.

    `own`: written by this server. `exact`: and in the format of this version, so the export must
    equal the file. What an older version or another program wrote need only be stable: every row
    is taken, and a second round changes nothing. `expected` are those of the file's sidecar.
    """
    try:
        incoming = portable.read(data, own)
    except UserError as error:
        return error.message
    if incoming.errors:
        first = incoming.errors[0]
        return f"{len(incoming.errors)} rows cannot be restored, first {first.path}: {first.reason}"
    if counts_of(incoming) != expected:
        return "films, people or lists are missing from it"
    restored = _restore_and_export(incoming)
    if exact and restored != data:
        return DIFFERS
    if not exact and _restore_and_export(portable.read(restored, own=True)) != restored:
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
    scratch = models.scratch()
    try:
        _add_account(scratch)
        plan = portable.plan(SCRATCH_USER, incoming, database=scratch)
        portable.apply(plan, database=scratch)
        return portable.encode(
            portable.dump(SCRATCH_USER, database=scratch, exported_at=incoming.exported_at)
        )
    finally:
        scratch.close()


def _add_account(scratch: Database) -> None:
    """A fresh account as `accounts.create` makes it, without the slow password."""
    insert_rows(
        scratch,
        (
            User.id,
            User.email,
            User.email_key,
            User.username,
            User.username_key,
            User.password_hash,
            User.created_at,
            User.is_active,
            User.is_admin,
            User.backup_enabled,
            User.token_version,
            User.library_version,
            User.failed_tries,
        ),
        [(SCRATCH_USER, "", "", "", "", "", 0.0, True, False, False, 0, 0, 0)],
    )
    insert_rows(
        scratch,
        (
            Person.user,
            Person.name,
            Person.name_key,
            Person.is_trusted,
            Person.color,
            Person.emoji,
            Person.quick_key,
            Person.last_modified,
            Person.updated_at,
        ),
        (
            (SCRATCH_USER, name, fold(name), False, color, emoji, quick_key, 0.0, 0.0)
            for quick_key, name, color, emoji in QUICK_RECOMMENDERS
        ),
    )
