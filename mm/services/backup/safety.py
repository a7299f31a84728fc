"""The backup that an import or a restore leaves behind: the library as it was right before."""

import contextlib
from collections.abc import Iterator
from typing import Protocol

from mm import clock, config, files, log
from mm.errors import ConflictError, NoRoomError
from mm.models import CustomList, Movie, Person, SavedView, User
from mm.schemas import Action, BackupKind, Before, Mode
from mm.services.backup import backups, ledger, quotas
from mm.services.backup import files as backup_files

KINDS: dict[Action, BackupKind] = {
    "import": "before-import",
    "restore": "before-restore",
    "undo": "before-restore",
}
# Of the file: what its rows take in the database and, for a while, once more in its log.
DATABASE_ROOM = 3


class AnyPlan(Protocol):
    """Of a whole library, or of a collection."""

    mode: Mode

    def is_empty(self) -> bool: ...

    def films_written(self) -> int: ...


class BackUp(Protocol):
    def __call__(self, plan: AnyPlan, verify_later: bool = False) -> str | None: ...


@contextlib.contextmanager
def backed_up(
    user: User, action: Action, size_bytes: int, source: str | None = None
) -> Iterator[BackUp]:
    """Yields `back_up(plan)`: call it right before a plan of the import is applied. It returns the
    backup's file name, None where nothing can be lost. Where an import is planned anew, its newer
    copy takes the place of the one before.

    `verify_later`: within a transaction, which other writers wait for: the test restore follows
    after the block, and the copy before, which is verified, stays until then. `size_bytes`: of the
    file that is imported, `source` its name. `back_up` raises UnavailableError, or NoRoomError when
    the disk cannot take both backup and import.
    """
    names: list[str] = []
    unverified = False

    def back_up(plan: AnyPlan, verify_later: bool = False) -> str | None:
        nonlocal unverified
        if plan.is_empty():
            # An earlier plan may have had a copy: there is nothing to undo with it.
            drop_all()
        elif _is_needed(user, action, size_bytes):
            beside = DATABASE_ROOM * size_bytes
            before = Before(action, plan.mode, source, clock.now(), plan.films_written())
            if verify_later:
                names.append(backups.keep_held(user, KINDS[action], beside, before))
            else:
                names.append(backups.create_held(user, KINDS[action], beside, before)[0])
                drop_former()
            unverified = verify_later
        return names[-1] if names else None

    def drop_all() -> None:
        while names:
            backups.delete_held(user.id, names.pop())

    def drop_former() -> None:
        while len(names) > 1:
            backups.delete_held(user.id, names[0])
            del names[0]

    try:
        yield back_up
    except (NoRoomError, ConflictError) as refused:
        # The disk may fill up in spite of all care, or the library change. Nothing was written
        # then, so the backup is taken back: with each try there would be one more, less room, and
        # one less of the copies that an undo needs.
        drop_all()
        if isinstance(refused, NoRoomError):
            log.warning("import.no_room", user=user.id)
        raise
    if unverified:
        # The import is done, and nothing that happens here undoes it.
        with log.isolated("safety_backup.not_verified", user=user.id):
            if backups.verify_held(user.id, names[-1]).state == "verified":
                drop_former()


def _is_needed(user: User, action: Action, size_bytes: int) -> bool:
    needed = DATABASE_ROOM * size_bytes
    files.require_room(config.current.data_dir, needed)
    # An import leaves the reserve to the nightly backups; a restore may use it.
    if action == "import":
        quotas.require_reserve(config.current.data_dir, needed)
    return not is_empty(user)


def is_empty(user: User) -> bool:
    """Whether the library holds nothing but the quick recommenders that every account is born with,
    as they were born."""
    changed = Person.quick_key.is_null() | (Person.last_modified != user.created_at)
    rows = (
        Movie.select().where(Movie.user == user.id),
        CustomList.select().where(CustomList.user == user.id),
        Person.select().where((Person.user == user.id) & changed),
        SavedView.select().where(SavedView.user == user.id),
    )
    return not any(select.exists() for select in rows)


def complete(user_id: str, safety_backup: str | None) -> None:
    """After what the copy was made for: tell its sidecar what the transaction has noted in the
    ledger. The files also outlive the database."""
    if safety_backup is None:
        return
    with log.isolated("safety_backup.not_completed", user=user_id):
        path = backup_files.path_of(user_id, safety_backup)
        sidecar = backup_files.read_sidecar(path)
        done_at = ledger.written(user_id).get(path.name)
        if sidecar and sidecar.before and done_at:
            sidecar.before.done_at = done_at
            backup_files.write_sidecar(path, sidecar)
