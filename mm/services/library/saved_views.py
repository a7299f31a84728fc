"""Saved views: named addresses of the library, as `{query parameter: text}`."""

from mm.database import chunks, fold
from mm.errors import ConflictError, NotFoundError
from mm.models import SavedView
from mm.schemas import LibraryView
from mm.schemas.portable import FilterValue
from mm.services import validation
from mm.services.library.changes import add_tombstones, later, next_position, require_room, write


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


def create(
    user_id: str, name: str, filters: dict[str, FilterValue], position: int | None = None
) -> SavedView:
    """The last of the views where no position is given. Raises InvalidError for invalid values, and
    ConflictError for a name in use, whatever its case."""
    name = validation.name(name)
    filters = validation.filters(filters)
    position = validation.whole_number(position, "position")
    with write(user_id) as change:
        _require_free(user_id, name)
        require_room(user_id, SavedView, "saved views")
        return SavedView.create(
            user=user_id,
            name=name,
            filters=filters,
            position=next_position(user_id, SavedView) if position is None else position,
            last_modified=change.at,
            updated_at=change.updated_at,
        )


def change(user_id: str, view_id: str, changes: dict) -> SavedView:
    """Set those of name, filters and position that `changes` has and that are not None; the filters
    as a whole. Raises NotFoundError, InvalidError or ConflictError."""
    given = {field: value for field, value in changes.items() if value is not None}
    rules = {
        "name": validation.name,
        "filters": validation.filters,
        "position": lambda value: validation.whole_number(value, "position"),
    }
    values = {field: rule(given[field]) for field, rule in rules.items() if field in given}
    with write(user_id) as change:
        saved = find(user_id, view_id)
        if "name" in values:
            _require_free(user_id, values["name"], besides=saved.id)
        for field, value in values.items():
            setattr(saved, field, value)
        saved.last_modified, saved.updated_at = later(change.at, saved), change.updated_at
        saved.save()
        return saved


def rename(user_id: str, view_id: str, name: str) -> SavedView:
    """As `change`."""
    return change(user_id, view_id, {"name": name})


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
