"""What a client did while it was offline: actions with the time at which
the user did them.

The last write wins: an action that is older than the film, person or list is
refused as a conflict. Being on a list has no time of its own, so what changes only
that conflicts with a newer deletion of the film or the list, and with nothing else.
Every answer is stored, so that a queue that is sent twice changes nothing the second
time.
"""

import hashlib
import time
from collections.abc import Sequence

import msgspec
from peewee import fn

from mm import clock, models
from mm.database import db
from mm.errors import InvalidError, UnavailableError, UserError
from mm.models import CustomList, Movie, Person, Tombstone
from mm.schemas import ACTIONS_MAX, ListView, MovieView, PersonView, Problem, SyncAction, SyncAnswer
from mm.services import validation
from mm.services.library import lists, people, serializers, undo
from mm.services.library.changes import changed_at, later
from mm.services.sync import actions, feed
from mm.services.sync.actions import Action, Subject

CONFLICT = "Conflict: server has a newer version of this {kind}"
# The clocks of phones and servers may differ by this much.
TOLERANCE = 1.0
# Another writer that waits for the database looks only every tenth of a second
# whether it is free, and hardly ever meets the moment between two actions. So a
# batch rests after so much work, for longer than that.
WORK_SECONDS = 0.4
REST_SECONDS = 0.15


def perform(user_id: str, action: SyncAction) -> SyncAnswer:
    """Do an action, or answer what was answered to it before. Raises InvalidError
    for a malformed one, whose answer is not stored."""
    kind = actions.ACTIONS[action.action]
    at = min(validation.moment(action.timestamp, "timestamp") or 0.0, clock.now())
    with db.atomic():
        # From here to the commit nobody else writes, so that an action sent twice
        # at once is done once.
        models.next_update(db.obj)
        # Two phones may both number from 1, so an id alone names no action.
        content: list = [action.action, action.data, action.timestamp]
        if action.id is not None:
            content.append(str(action.id))
        key = hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()
        stored = _stored(user_id, key)
        if stored is None and action.id is not None:
            # Earlier versions stored the answer, for 90 days, under the id alone: it belongs to
            # this action only where it has its time. Any other action can be done again: one that
            # failed did nothing, and a film is watched once at a time.
            by_id = _stored(user_id, f"id:{action.id}")
            stored = by_id if by_id and by_id.success and by_id.last_modified == at else None
        if stored and not stored.conflict:
            return stored
        subjects = kind.find(user_id, action.data)
        conflict = stored or _conflict(user_id, kind, subjects, at)
        answer = conflict or _outcome(user_id, kind, subjects, action.data, at)
        if stored is None:
            # Without the server's state, which may be long and is read anew for a replay.
            values = {name: value for name, value in msgspec.to_builtins(answer).items() if value}
            models.SyncAction.create(
                user=user_id,
                action_key=key,
                answer={"success": answer.success, **values},
                created_at=clock.now(),
            )
        if answer.conflict:
            # A stored answer says in its words alone what the conflict is about.
            about = (each for each in subjects if answer.error == CONFLICT.format(kind=each.kind))
            answer.server_state = _state(next(about, subjects[0]).row)
    return answer


def perform_all(user_id: str, batch: Sequence) -> list[SyncAnswer]:
    """In order, each by itself; a malformed action is answered with its error.

    Raises InvalidError for more than ACTIONS_MAX.
    """
    if len(batch) > ACTIONS_MAX:
        reason = f"{len(batch):,} actions; send at most {ACTIONS_MAX:,} at once"
        raise InvalidError(f"actions: {reason}", [Problem("actions", reason)])
    answers = []
    rested_at = time.monotonic()
    for item in batch:
        if time.monotonic() - rested_at > WORK_SECONDS:
            time.sleep(REST_SECONDS)
            rested_at = time.monotonic()
        try:
            answer = perform(user_id, msgspec.convert(item, SyncAction))
        except msgspec.ValidationError as error:
            answer = SyncAnswer(False, error=str(error))
        except InvalidError as error:
            answer = SyncAnswer(False, error=error.message)
        answers.append(answer)
    return answers


def sweep() -> None:
    """Delete what is needed no longer: old answers, tombstones, and steps that can
    no longer be undone."""
    feed.sweep()
    undo.sweep()
    old = models.SyncAction.created_at < clock.now() - feed.KEEP_SECONDS
    if models.SyncAction.select().where(old).exists():
        with db.atomic():
            models.SyncAction.delete().where(old).execute()


def _outcome(
    user_id: str, kind: Action, subjects: Sequence[Subject], data: dict, at: float
) -> SyncAnswer:
    try:
        with db.atomic():
            kind.perform(user_id, data, at)
    except (InvalidError, UnavailableError):
        # An answer would be final, and the phone would forget what can be done in a minute.
        raise
    except UserError as error:
        return SyncAnswer(False, error=error.message)
    row = subjects[0].row
    return SyncAnswer(True, last_modified=later(at, row) if row and kind.has_time else at)


def _conflict(
    user_id: str, kind: Action, subjects: Sequence[Subject], at: float
) -> SyncAnswer | None:
    for subject in subjects:
        newest = _newest(user_id, kind, subject)
        if newest is not None and at < newest - TOLERANCE:
            error = CONFLICT.format(kind=subject.kind)
            return SyncAnswer(False, last_modified=newest, error=error, conflict=True)
    return None


def _newest(user_id: str, kind: Action, subject: Subject) -> float | None:
    """When that which the action must not be older than was done; None where there is nothing."""
    row = subject.row
    if row is None:
        return None if kind.deletes else _deleted_at(user_id, subject)
    is_deleted = isinstance(row, Movie) and row.status == "deleted"
    if not kind.has_time and not is_deleted:
        return None
    # An import or an undo brings an old last_modified back, and is newer than that.
    return max(changed_at(row), row.imported_at or 0.0)


def _deleted_at(user_id: str, subject: Subject) -> float | None:
    if subject.name_key is None:
        is_subject = Tombstone.key == subject.key
    else:
        # Several people may have had one name, one after the other.
        is_subject = Tombstone.name_key == subject.name_key
    return (
        Tombstone.select(fn.MAX(Tombstone.deleted_at))
        .where(Tombstone.user == user_id)
        .where((Tombstone.kind == subject.kind) & is_subject)
        .scalar()
    )


def _state(row: Movie | Person | CustomList | None) -> MovieView | PersonView | ListView | None:
    if isinstance(row, Movie):
        return serializers.movie_view(row.user_id, row.imdb_id)
    if isinstance(row, Person):
        return people.view(row)
    return None if row is None else lists.view(row)


def _stored(user_id: str, key: str) -> SyncAnswer | None:
    row = models.SyncAction.get_or_none(
        (models.SyncAction.user == user_id) & (models.SyncAction.action_key == key)
    )
    return None if row is None else msgspec.convert(row.answer, SyncAnswer)
