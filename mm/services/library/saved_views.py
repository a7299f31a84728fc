"""Saved views: named addresses of the library, as `{query parameter: text}`."""

from mm.database import fold
from mm.errors import ConflictError, NotFoundError
from mm.models import SavedView
from mm.services import validation
from mm.services.library import browse
from mm.services.library.changes import next_position, require_room, write


def listing(user_id: str) -> list[SavedView]:
    """By position."""
    rows = SavedView.select().where(SavedView.user == user_id)
    return list(rows.order_by(SavedView.position, SavedView.name))


def find(user_id: str, view_id: str) -> SavedView:
    """Raises NotFoundError."""
    saved = SavedView.get_or_none((SavedView.user == user_id) & (SavedView.id == view_id))
    if saved is None:
        raise NotFoundError("This view no longer exists.")
    return saved


def create(user_id: str, name: str, query: browse.LibraryQuery) -> SavedView:
    """The last of the views. Raises InvalidError for what cannot be a name, and
    ConflictError for one in use, whatever its case."""
    name = validation.name(name)
    filters = validation.texts(query.params(), "filters")
    with write(user_id) as change:
        _require_free(user_id, name)
        require_room(user_id, SavedView, "saved views")
        position = next_position(user_id, SavedView)
        return SavedView.create(
            user=user_id, name=name, filters=filters, position=position, last_modified=change.at
        )


def rename(user_id: str, view_id: str, name: str) -> SavedView:
    """Raises NotFoundError, InvalidError or ConflictError."""
    name = validation.name(name)
    with write(user_id) as change:
        saved = find(user_id, view_id)
        _require_free(user_id, name, besides=saved.id)
        saved.name, saved.last_modified = name, change.at
        saved.save()
        return saved


def remove(user_id: str, view_id: str) -> None:
    """Raises NotFoundError."""
    with write(user_id):
        find(user_id, view_id).delete_instance()


def _require_free(user_id: str, name: str, besides: str = "") -> None:
    rows = SavedView.select(SavedView.id, SavedView.name).where(SavedView.user == user_id).tuples()
    if any(fold(taken) == fold(name) and view_id != besides for view_id, taken in rows):
        raise ConflictError("You already have a view with this name. Choose another name.")
