"""Saved views: named addresses of the library, as `{query parameter: value or values}`."""

from collections.abc import Mapping

from peewee import ModelSelect

from mm.database import chunks, db, fold
from mm.errors import ConflictError, NotFoundError
from mm.models import CustomList, Person, SavedView
from mm.schemas import FilterValue, LibraryView
from mm.services import validation
from mm.services.library import browse
from mm.services.library.browse import LibraryQuery
from mm.services.library.changes import (
    add_tombstones,
    later,
    next_position,
    require_room,
    write,
)
from mm.services.validation import FieldError


def listing(user_id: str) -> list[SavedView]:
    """By position."""
    rows = SavedView.select().where(SavedView.user == user_id)
    return list(rows.order_by(SavedView.position, SavedView.name))


def name_of(user_id: str, query: browse.LibraryQuery) -> str:
    """The first of this user's views that leads to the query; empty where none does."""
    params = query.params()
    rows = listing(user_id)
    return next((row.name for row in rows if browse.parse(row.filters).params() == params), "")


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
    user_id: str, name: str, filters: Mapping[str, object], position: int | None = None
) -> SavedView:
    """The last of the views where no position is given. Raises ConflictError for a name
    in use, whatever its case, and InvalidError for what cannot be a name, or a filter
    that the library does not have, cannot use, or that names nobody's id."""
    name = validation.name(name)
    place = validation.whole_number(position, "position")
    with write(user_id) as change:
        _require_free(user_id, name)
        require_room(user_id, SavedView, "saved views")
        return SavedView.create(
            user=user_id,
            name=name,
            filters=_checked(user_id, filters),
            position=next_position(user_id, SavedView) if place is None else place,
            last_modified=change.at,
            updated_at=change.updated_at,
        )


def change(user_id: str, view_id: str, changes: Mapping) -> SavedView:
    """Set those of name, filters and position that `changes` has and that are not None;
    the filters as a whole. Raises NotFoundError, and errors as `create`."""
    given = {field: value for field, value in changes.items() if value is not None}
    with write(user_id) as change:
        saved = find(user_id, view_id)
        if "name" in given:
            saved.name = validation.name(given["name"])
            _require_free(user_id, saved.name, besides=saved.id)
        # A client may send back what it got, which an older version or a file has left there.
        if "filters" in given and given["filters"] != saved.filters:
            saved.filters = _checked(user_id, given["filters"])
        if "position" in given:
            saved.position = validation.whole_number(given["position"], "position")
        saved.last_modified, saved.updated_at = later(change.at, saved), change.updated_at
        saved.save()
        return saved


def remove(user_id: str, view_id: str) -> None:
    """Raises NotFoundError."""
    with write(user_id) as change:
        saved = find(user_id, view_id)
        saved.delete_instance()
        add_tombstones(change, "view", saved.id)


def unused(query: LibraryQuery, name: str, value: FilterValue) -> set[str]:
    """The texts of a filter, from which the query was parsed, that it does not have: the library
    cannot use them."""
    texts = {text.strip() for text in ([value] if isinstance(value, str) else value)}
    used = getattr(query, name)
    return texts - {"", *([used] if isinstance(used, str) else used)}


def _checked(user_id: str, filters: object) -> dict[str, str | list[str]]:
    """As they will be stored. An address may hold anything, but nothing that a client asks
    to keep is dropped in silence."""
    given = validation.filters(filters)
    query = browse.parse(given)
    for name, value in given.items():
        if name not in browse.ALLOWED:
            raise FieldError(f"filters.{name}", "the library has no such filter")
        if lost := unused(query, name, value):
            raise FieldError(f"filters.{name}", f"“{min(lost)}” cannot be used here")
    people = Person.select(Person.id).where(Person.user == user_id)
    _require_known({*query.person, *query.not_person}, "person", people)
    lists = CustomList.select(CustomList.id).where(CustomList.user == user_id)
    _require_known({query.list, *query.not_list} - {""}, "list", lists)
    return validation.filters(query.params())


def _require_known(ids: set[str], noun: str, rows: ModelSelect) -> None:
    """`rows` of one column: the ids that there are."""
    if ids and (unknown := ids - {str(key) for (key,) in db.execute(rows)}):
        raise FieldError(f"filters.{noun}", f"there is no {noun} with the id {min(unknown)}")


def _require_free(user_id: str, name: str, besides: str = "") -> None:
    rows = SavedView.select(SavedView.id, SavedView.name).where(SavedView.user == user_id).tuples()
    if any(fold(taken) == fold(name) and view_id != besides for view_id, taken in rows):
        raise ConflictError("You already have a view with this name. Choose another name.")
