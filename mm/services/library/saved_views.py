"""Saved views: named addresses of the library, as `{query parameter: text}`."""

from peewee import fn

from mm.database import fold
from mm.errors import ConflictError, NotFoundError
from mm.models import SavedView
from mm.services import validation
from mm.services.library import browse
from mm.services.library.changes import require_room, write
from mm.services.validation import NUMBER_MAX


def listing(user_id: str) -> list[SavedView]:
    """By position."""
    mine = SavedView.select().where(SavedView.user == user_id)
    return list(mine.order_by(SavedView.position, SavedView.name))


def find(user_id: str, view_id: str) -> SavedView:
    """Raises NotFoundError."""
    found = SavedView.get_or_none((SavedView.user == user_id) & (SavedView.id == view_id))
    if found is None:
        raise NotFoundError("That view is gone.")
    return found


def create(user_id: str, name: str, view: browse.View) -> SavedView:
    """The last of the views. Raises InvalidError for what cannot be a name, and ConflictError for one in use,
    in any case."""
    name = validation.name(name)
    filters = validation.texts(view.params(), "filters")
    with write(user_id) as made:
        _require_free(user_id, name)
        require_room(user_id, SavedView, "saved views")
        last = (
            SavedView.select(fn.MAX(SavedView.position)).where(SavedView.user == user_id).scalar()
        )
        position = 0 if last is None else min(last + 1, NUMBER_MAX)
        return SavedView.create(
            user=user_id, name=name, filters=filters, position=position, last_modified=made.at
        )


def rename(user_id: str, view_id: str, name: str) -> SavedView:
    """Raises NotFoundError, InvalidError or ConflictError."""
    name = validation.name(name)
    with write(user_id) as made:
        found = find(user_id, view_id)
        _require_free(user_id, name, besides=found.id)
        found.name, found.last_modified = name, made.at
        found.save()
        return found


def remove(user_id: str, view_id: str) -> None:
    """Raises NotFoundError."""
    with write(user_id):
        find(user_id, view_id).delete_instance()


def _require_free(user_id: str, name: str, besides: str = "") -> None:
    rows = SavedView.select(SavedView.id, SavedView.name).where(SavedView.user == user_id).tuples()
    if any(fold(taken) == fold(name) and view_id != besides for view_id, taken in rows):
        raise ConflictError(
            "There is a view of that name already. Choose another name, or delete that one first."
        )
