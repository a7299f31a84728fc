"""What a client did while it was offline: actions with the time at which the user did them.

The last write wins: an action that is older than the film, person or list is refused as a conflict. Every answer is
kept, so that a queue that is sent twice changes nothing the second time.
"""

import hashlib
from collections.abc import Iterable

import msgspec

from mm import clock, models
from mm.documents import SyncAction, SyncAnswer
from mm.errors import Invalid, UserError
from mm.models import CustomList, Movie, Person, Tombstone, db
from mm.services import actions, feed, films, lists, people, values
from mm.services.actions import Action, Subject
from mm.services.marks import changed_at, later

CONFLICT = "Conflict: server has a newer version of this {kind}"
# Clocks of phones and servers differ by as much.
TOLERANCE = 1.0


def perform(user_id: str, action: SyncAction) -> SyncAnswer:
    """Do an action, or answer what was answered to it before. Raises Invalid for a malformed one, which is not kept."""
    kind = actions.ACTIONS[action.action]
    at = min(values.moment(action.timestamp, "timestamp") or 0.0, clock.now())
    with db.atomic():
        # From here to the commit nobody else writes, so that an action sent twice at once is done once.
        models.next_update(db.obj)
        this_one = (models.SyncAction.user == user_id) & (models.SyncAction.action_key == _key(action))
        if known := models.SyncAction.get_or_none(this_one):
            return msgspec.convert(known.answer, SyncAnswer)
        subject = kind.find(user_id, action.data)
        conflict = _conflict(user_id, kind, subject, at)
        answer = conflict or _outcome(user_id, kind, subject, action.data, at)
        models.SyncAction.create(
            user=user_id, action_key=_key(action), answer=msgspec.to_builtins(answer), created_at=clock.now()
        )
    return answer


def perform_all(user_id: str, sent: Iterable) -> list[SyncAnswer]:
    """In order, each by itself; a malformed one is answered with its error."""
    return [_perform_one(user_id, item) for item in sent]


def sweep() -> None:
    """Answers that nobody will ask for again, and deletions that are no longer told."""
    feed.sweep()
    old = models.SyncAction.created_at < clock.now() - feed.KEEP_SECONDS
    if models.SyncAction.select().where(old).exists():
        with db.atomic():
            models.SyncAction.delete().where(old).execute()


def _perform_one(user_id: str, item: object) -> SyncAnswer:
    try:
        return perform(user_id, msgspec.convert(item, SyncAction))
    except msgspec.ValidationError as error:
        return SyncAnswer(False, error=str(error))
    except Invalid as error:
        return SyncAnswer(False, error=error.message)


def _outcome(user_id: str, kind: Action, subject: Subject, data: dict, at: float) -> SyncAnswer:
    try:
        with db.atomic():
            kind.perform(user_id, data, at)
    except Invalid:
        raise
    except UserError as error:
        return SyncAnswer(False, error=error.message)
    return SyncAnswer(True, last_modified=later(at, subject.row) if subject.row else at)


def _conflict(user_id: str, kind: Action, subject: Subject, at: float) -> SyncAnswer | None:
    if kind.deletes and subject.row is None:
        return None
    newest = _newest(subject.row) if subject.row else _deleted_at(user_id, subject)
    if newest is None or at >= newest - TOLERANCE:
        return None
    error = CONFLICT.format(kind=subject.kind)
    return SyncAnswer(False, last_modified=newest, error=error, conflict=True, server_state=_state(subject.row))


def _newest(row: Movie | Person | CustomList) -> float:
    """An import or an undo brings a film's old last_modified back, and is newer than that."""
    return max(changed_at(row), row.imported_at or 0.0) if isinstance(row, Movie) else changed_at(row)


def _deleted_at(user_id: str, subject: Subject) -> float | None:
    return (
        Tombstone.select(Tombstone.deleted_at)
        .where(Tombstone.user == user_id)
        .where((Tombstone.kind == subject.kind) & (Tombstone.key == subject.key))
        .scalar()
    )


def _state(row: Movie | Person | CustomList | None) -> dict | None:
    if isinstance(row, Movie):
        return msgspec.to_builtins(films.one(row.user_id, row.imdb_id))
    if isinstance(row, Person):
        return msgspec.to_builtins(people.view(row))
    return None if row is None else msgspec.to_builtins(lists.view(row))


def _key(action: SyncAction) -> str:
    if action.id is not None:
        return f"id:{action.id}"
    said = msgspec.json.encode([action.action, action.data, action.timestamp], order="deterministic")
    return hashlib.sha256(said).hexdigest()
