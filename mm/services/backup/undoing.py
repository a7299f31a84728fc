"""Taking back an import, a restore or an undo, for 7 days: the library becomes what the copy from
right before it holds.

The copies say themselves what they were made for, so this outlives the database. It is not the
undo of single steps (services/library/undo), which is kept for ten minutes.
"""

from collections.abc import Iterator
from typing import NamedTuple

from mm import clock, config, files, models
from mm.clock import DAY
from mm.errors import InvalidError, NotFoundError
from mm.models import Job, User
from mm.schemas import Before, ImportResult, Undoable
from mm.services import portable
from mm.services.backup import backups, changed_since, imports, large_files, ledger, uploads
from mm.services.backup import files as backup_files
from mm.services.backup.safety import KINDS
from mm.services.portable import Plan

KEPT_SECONDS = 7 * DAY
NOTHING = (
    "There is nothing to undo: no import, restore or undo of the last 7 days has left a copy from "
    "before it. An empty library needs none."
)
TOO_OLD = "This can no longer be undone: more than 7 days have passed."
GONE = "The copy from before it is gone, so this can’t be undone."
LAST_GONE = (
    "The copy from before the last import, restore or undo is gone, so that can’t be undone. An "
    "earlier one can be chosen by its name."
)
LAST_WITHOUT = (
    "The last import went into an empty library and left no copy from before it, so it can’t be "
    "undone. An earlier one can be chosen by its name."
)
DAMAGED = "The copy from before it is damaged, so this can’t be undone. Choose another backup."
NO_SAFETY_COPY = (
    "{} wasn’t made before an import or a restore, so there is nothing to undo with it. To go back "
    "to it, restore it."
)
UNKNOWN = "It isn’t known what {} was made for. To go back to it, restore it."
NOT_DONE = "What {} was made for was never done, so there is nothing to undo."
NOT_IN_LIBRARY = (
    "The whole server was restored since {} was made, so what it was made for is not in this "
    "library. To go back to it, restore it."
)


class _Copy(NamedTuple):
    """A safety copy that says what it was made for. `done_at`: when that was done, None where it
    never was."""

    filename: str
    before: Before
    done_at: float | None
    library_version: int
    is_damaged: bool

    def written_at(self) -> float:
        return self.done_at or self.before.at

    def is_old(self) -> bool:
        return clock.now() - self.before.at > KEPT_SECONDS


def available(user: User) -> list[Undoable]:
    """What can be taken back, the newest first. Raises UnavailableError where the folder of the
    backups may not be read."""
    with backups.folder_in_reach(user.id):
        return [
            Undoable(
                filename=copy.filename,
                action=copy.before.action,
                mode=copy.before.mode,
                source=copy.before.source,
                at=copy.before.at,
                films=copy.before.films,
                until=copy.before.at + KEPT_SECONDS,
            )
            for copy in _recent(user)
            if not copy.is_damaged
        ]


# Each takes the name of a safety copy, by default that of what was done last. Each raises
# NotFoundError with the reason where there is nothing to undo, or where the copy is gone, damaged
# or too old.


def plan(user: User, filename: str | None = None) -> Plan:
    """What an undo would do now. Its warnings name what was done since, which it undoes too."""
    copy, data = _read(user, filename)
    incoming = large_files.read(data, user.id, trusted=True)
    planned = portable.plan(user.id, incoming, mode="replace")
    planned.warnings += _since(user, copy)
    return planned


def request(user: User, filename: str | None = None) -> Job:
    """A job that waits, with its stored plan, for its user's confirmation, as a restore does. Its
    params have `undone`, what it takes back: action, source and when."""
    copy, data = _read(user, filename)
    files.require_room(config.current.tmp_dir, len(data))
    undone = {"action": copy.before.action, "source": copy.before.source, "at": copy.before.at}
    since = {"moment": copy.written_at(), "copied_version": copy.library_version}
    params = {"filename": copy.filename, "source": copy.filename, "undone": undone}
    job = uploads.keep(user, data, "undo", {**params, "since": since})
    imports.prepare(job)
    return job


def at_once(
    user: User, filename: str | None = None, library_version: int | None = None
) -> ImportResult:
    """For the API and the command line. Raises as `imports.restore_backup` does, too."""
    copy, data = _read(user, filename)
    since = _since(user, copy)
    name = copy.filename
    result = imports.at_once(user, data, "undo", "overwrite", "replace", name, library_version)
    result.warnings += since
    return result


def _read(user: User, filename: str | None) -> tuple[_Copy, bytes]:
    with backups.folder_in_reach(user.id), uploads.refusal_logged(user.id, "undo"):
        copy = _named(user, filename) if filename is not None else _last(user)
        if copy.is_damaged and backup_files.is_there(user.id, copy.filename):
            raise NotFoundError(DAMAGED)
        try:
            return copy, backup_files.read(user.id, copy.filename)
        except NotFoundError as error:
            raise NotFoundError(GONE) from error
        except InvalidError as error:
            raise NotFoundError(DAMAGED) from error


def _last(user: User) -> _Copy:
    """Of what was done last. Where that has left no copy, or its copy is gone, an older one would
    take back more than was asked for."""
    copy = next(_recent(user), None)
    if copy is None:
        raise NotFoundError(NOTHING)
    written = ledger.written(user.id)
    last = max(written, key=lambda name: written[name], default=copy.filename)
    if written.get(last, 0) > copy.written_at():
        raise NotFoundError(LAST_GONE if last else LAST_WITHOUT)
    return copy


def _recent(user: User) -> Iterator[_Copy]:
    """The newest first, the damaged ones included."""
    names = [entry.filename for entry in backup_files.entries(user.id)]
    written = ledger.written(user.id)
    copies = [copy for name in names if (copy := _copy(user, name, written))]
    done = [
        copy
        for copy in copies
        if copy.done_at is not None and not copy.is_old() and _is_in_library(copy, written)
    ]
    return iter(sorted(done, key=lambda copy: (copy.done_at, copy.filename), reverse=True))


def _copy(user: User, filename: str, written: dict[str, float]) -> _Copy | None:
    """None where nobody knows what the file was made for. `written` is the ledger's."""
    if backup_files.kind_of(filename) not in KINDS.values():
        return None
    path = backup_files.folder_of(user.id) / filename
    sidecar = backup_files.read_sidecar(path)
    if sidecar is None or sidecar.before is None:
        return None
    # A process that was killed right after the library was written has not told the sidecar.
    done_at = sidecar.before.done_at or written.get(filename)
    is_damaged = backup_files.entry(path).state == "damaged"
    version = sidecar.library_version or 0
    return _Copy(filename, sidecar.before, done_at, version, is_damaged)


def _named(user: User, filename: str) -> _Copy:
    kind = backup_files.kind_of(filename)
    if kind is None:
        raise NotFoundError(backup_files.NOT_FOUND)
    copy = _copy(user, filename, ledger.written(user.id))
    if copy is None:
        if not backup_files.is_there(user.id, filename):
            raise NotFoundError(GONE if kind in KINDS.values() else backup_files.NOT_FOUND)
        why = UNKNOWN if kind in KINDS.values() else NO_SAFETY_COPY
        raise NotFoundError(why.format(filename))
    if copy.is_old():
        raise NotFoundError(TOO_OLD)
    if copy.done_at is None:
        raise NotFoundError(NOT_DONE.format(filename))
    if not _is_in_library(copy, ledger.written(user.id)):
        raise NotFoundError(NOT_IN_LIBRARY.format(filename))
    return copy


def _is_in_library(copy: _Copy, written: dict[str, float]) -> bool:
    """False for what was done after the archive that the server was restored from: the files know
    of it, the database does not."""
    return copy.written_at() >= models.epoch() or copy.filename in written


def _since(user: User, copy: _Copy) -> list[str]:
    """For the warnings of a plan or a result."""
    sentence = changed_since.also_undone(user.id, copy.written_at(), copy.library_version)
    return [sentence] if sentence else []
