"""What a client did while it was offline: actions with the time at which the user did them.

The last write wins: an action that is older than the film is refused as a conflict. Every answer is kept, so that a
queue that is sent twice changes nothing the second time.
"""

import hashlib
from collections.abc import Iterable

import msgspec

from mm import clock, models
from mm.documents import SyncAction, SyncAnswer
from mm.errors import Invalid, UserError
from mm.models import Movie, Tombstone, db
from mm.services import actions, feed, films, values

CONFLICT = "Conflict: server has a newer version of this movie"
# Clocks of phones and servers differ by as much.
TOLERANCE = 1.0


def perform(user_id: str, action: SyncAction) -> SyncAnswer:
    """Do an action, or answer what was answered to it before. Raises Invalid for a malformed one, which is not kept."""
    perform_it, concerns_film = actions.ACTIONS[action.action]
    at = min(values.moment(action.timestamp, "timestamp") or 0.0, clock.now())
    imdb_id = values.imdb_id(action.data.get("imdb_id")) if concerns_film else None
    with db.atomic():
        # From here to the commit nobody else writes, so that an action sent twice at once is done once.
        models.next_update(db.obj)
        this_one = (models.SyncAction.user == user_id) & (models.SyncAction.action_key == _key(action))
        if known := models.SyncAction.get_or_none(this_one):
            return msgspec.convert(known.answer, SyncAnswer)
        conflict = _conflict(user_id, imdb_id, at) if imdb_id else None
        answer = conflict or _outcome(perform_it, user_id, action.data, at)
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


def _outcome(perform_it: actions.Perform, user_id: str, data: dict, at: float) -> SyncAnswer:
    try:
        with db.atomic():
            perform_it(user_id, data, at)
    except Invalid:
        raise
    except UserError as error:
        return SyncAnswer(False, error=error.message)
    return SyncAnswer(True, last_modified=at)


def _conflict(user_id: str, imdb_id: str, at: float) -> SyncAnswer | None:
    movie = Movie.get_or_none((Movie.user == user_id) & (Movie.title == imdb_id))
    changed_at = _changed_at(movie) if movie else _deleted_at(user_id, imdb_id)
    if changed_at is None or at >= changed_at - TOLERANCE:
        return None
    state = films.one(user_id, imdb_id) if movie else None
    return SyncAnswer(False, last_modified=changed_at, error=CONFLICT, conflict=True, server_state=state)


def _changed_at(movie: Movie) -> float:
    """A file may say that a film was last changed tomorrow; it was not, after the server wrote it down."""
    return max(min(movie.last_modified, movie.updated_at), movie.imported_at or 0.0)


def _deleted_at(user_id: str, imdb_id: str) -> float | None:
    return (
        Tombstone.select(Tombstone.deleted_at)
        .where(Tombstone.user == user_id)
        .where((Tombstone.kind == "movie") & (Tombstone.key == imdb_id))
        .scalar()
    )


def _key(action: SyncAction) -> str:
    if action.id is not None:
        return f"id:{action.id}"
    said = msgspec.json.encode([action.action, action.data, action.timestamp], order="deterministic")
    return hashlib.sha256(said).hexdigest()
