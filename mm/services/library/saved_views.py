"""Saved views: named addresses of the library, as `{query parameter: text}`."""

from mm.database import chunks, fold
from mm.errors import ConflictError, NotFoundError
from mm.models import SavedView
from mm.schemas import LibraryView
from mm.services import validation
from mm.services.library import browse
from mm.services.library.changes import add_tombstones, next_position, require_room, write


def listing(user_id: str) -> list[SavedView]:
    """By position."""
    rows = SavedView.select().where(SavedView.user == user_id)
    return list(rows.order_by(SavedView.position, SavedView.name))


def view(row: SavedView) -> LibraryView:
    return LibraryView(row.id, row.user_id, row.name, row.filters, row.position, row.last_modified)


def views(user_id: str, keys: list[int]) -> list[LibraryView]:
    """Those of this user's views that have these keys, in the order of the keys."""
    rows = SavedView.select().where(SavedView.user == user_id)
    batches = (rows.where(SavedView.pk.in_(batch)) for batch in chunks(keys))
    found = {row.pk: view(row) for batch in batches for row in batch}
    return [found[pk] for pk in keys if pk in found]


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
    filters = validation.filters(query.params())
    with write(user_id) as change:
        _require_free(user_id, name)
        require_room(user_id, SavedView, "saved views")
        position = next_position(user_id, SavedView)
        return SavedView.create(
            user=user_id,
            name=name,
            filters=filters,
            position=position,
            last_modified=change.at,
            updated_at=change.updated_at,
        )


def rename(user_id: str, view_id: str, name: str) -> SavedView:
    """Raises NotFoundError, InvalidError or ConflictError."""
    name = validation.name(name)
    with write(user_id) as change:
        saved = find(user_id, view_id)
        _require_free(user_id, name, besides=saved.id)
        saved.name = name
        saved.last_modified, saved.updated_at = change.at, change.updated_at
        saved.save()
        return saved


def remove(user_id: str, view_id: str) -> None:
    """Raises NotFoundError."""
    with write(user_id) as change:
        saved = find(user_id, view_id)
        saved.delete_instance()
        add_tombstones(change, "view", saved.id)


def _require_free(user_id: str, name: str, besides: str = "") -> None:
    rows = SavedView.select(SavedView.id, SavedView.name).where(SavedView.user == user_id).tuples()
    if any(fold(taken) == fold(name) and view_id != besides for view_id, taken in rows):
        raise ConflictError("You already have a view with this name. Choose another name.")
