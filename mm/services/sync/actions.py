"""The actions of the sync API, each by the verb of the service that pages and
other clients use.

Clients name a person by id, or as person_name or person, and a rating my_rating or
rating. Doing again what is done already is no error.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from msgspec import UNSET

from mm.database import fold
from mm.errors import InvalidError, NotFoundError
from mm.models import CustomList, Movie, Person
from mm.schemas import Problem
from mm.services import validation
from mm.services.library import lists, movies, people

PERSON_FIELDS = ("is_trusted", "color", "emoji")
LIST_FIELDS = ("name", "color", "icon", "position", "description")


class Subject(NamedTuple):
    """What an action is about, as it is now: `row` is None where it does not exist.
    `kind` and `key` are those of its tombstone; `name_key` is too, of a person whom
    the action names without an id."""

    kind: str
    key: str | None
    row: Movie | Person | CustomList | None
    name_key: str | None = None


class Action(NamedTuple):
    """Both functions get the user's id and the action's data; `perform`
    also when it was done.

    `has_time` is false for what has no last_modified of its own: it conflicts with the
    deletion of a subject only, never with another change of it.
    """

    perform: Callable[[str, dict[str, Any], float], object]
    find: Callable[[str, dict[str, Any]], Sequence[Subject]]
    deletes: bool = False
    has_time: bool = True


ACTIONS: dict[str, Action] = {}


def _performs(
    *names: str,
    find: Callable[[str, dict], Subject] | Sequence[Callable[[str, dict], Subject]],
    deletes: bool = False,
    has_time: bool = True,
) -> Callable:
    """Register what performs the actions of these names, which are about
    what `find` finds: one subject, or several."""
    finders = [find] if callable(find) else find

    def find_all(user_id: str, data: dict) -> list[Subject]:
        return [find_one(user_id, data) for find_one in finders]

    def register(perform: Callable) -> Callable:
        ACTIONS.update(dict.fromkeys(names, Action(perform, find_all, deletes, has_time)))
        return perform

    return register


def _find_film(user_id: str, data: dict) -> Subject:
    imdb_id = validation.imdb_id(data.get("imdb_id"))
    row = Movie.get_or_none((Movie.user == user_id) & (Movie.title == imdb_id))
    return Subject("movie", imdb_id, row)


def _find_person(user_id: str, data: dict) -> Subject:
    """A person who does not exist has the key of the action's id, and none without
    one: the name may be somebody else's by now."""
    try:
        person = _person(user_id, data)
    except NotFoundError:
        return Subject("person", None if data.get("id") is None else str(data["id"]), None)
    return Subject("person", str(person.id), person)


def _find_new_person(user_id: str, data: dict) -> Subject:
    """By the name alone: an id beside it is one that the client made up."""
    name = validation.name(data.get("name"))
    return _find_person(user_id, {"name": name})._replace(name_key=fold(name))


def _find_list(user_id: str, data: dict) -> Subject:
    return _list_subject(user_id, _list_id(data))


def _find_named_list(user_id: str, data: dict) -> Subject:
    return _list_subject(user_id, _named_list(data))


def _list_subject(user_id: str, list_id: str | None) -> Subject:
    row = CustomList.get_or_none((CustomList.user == user_id) & (CustomList.id == list_id))
    return Subject("list", list_id, row)


@_performs("addMovie", find=_find_film)
def _add_movie(user_id: str, data: dict, at: float) -> None:
    names = data.get("recommenders") or []
    if not isinstance(names, list):
        raise _invalid("recommenders", "is not a list of names")
    if data.get("recommender") is not None:
        names = [*names, validation.name(data["recommender"], "recommender")]
    movies.add(
        user_id,
        data["imdb_id"],
        _media_type(data),
        data.get("status"),
        [validation.name(name, f"recommenders[{place}]") for place, name in enumerate(names)],
        data.get("custom_list_id"),
        at,
    )


@_performs("addRecommendation", find=_find_film)
def _add_recommendation(user_id: str, data: dict, at: float) -> None:
    movies.recommend(
        user_id,
        data["imdb_id"],
        _id_or_name(user_id, data),
        data.get("vote_type"),
        data.get("date_recommended"),
        _media_type(data),
        at,
    )


@_performs("removeRecommendation", find=_find_film)
def _remove_recommendation(user_id: str, data: dict, at: float) -> None:
    with contextlib.suppress(NotFoundError):
        movies.unrecommend(user_id, data["imdb_id"], _voter_id(user_id, data), at)


@_performs("updateRecommendationVote", find=_find_film)
def _change_vote(user_id: str, data: dict, at: float) -> None:
    if data.get("vote_type") is None:
        raise _invalid("vote_type", "is missing")
    person_id = _voter_id(user_id, data)
    vote_type, date = data["vote_type"], data.get("date_recommended")
    movies.change_vote(user_id, data["imdb_id"], person_id, vote_type, date, at)


@_performs("watchMovie", "markWatched", find=_find_film)
def _watch(user_id: str, data: dict, at: float) -> None:
    _require_film(user_id, data, at)
    movies.watch(
        user_id,
        data["imdb_id"],
        data.get("date_watched"),
        _rating(data),
        validation.flag(data.get("again"), "again") or None,
        at,
        data.get("note", UNSET),
        validation.flag(data.get("day_known"), "day_known"),
    )


@_performs("updateRating", find=_find_film)
def _rate(user_id: str, data: dict, at: float) -> None:
    rating = _rating(data)
    if rating is UNSET:
        raise _invalid("my_rating", "is missing")
    movies.rate(user_id, data["imdb_id"], rating, at)


@_performs("updateNote", find=_find_film)
def _set_note(user_id: str, data: dict, at: float) -> None:
    if "note" not in data:
        raise _invalid("note", "is missing")
    movies.set_note(user_id, data["imdb_id"], data["note"], at)


@_performs("updateMovieStatus", "updateStatus", find=_find_film)
def _set_status(user_id: str, data: dict, at: float) -> None:
    status = validation.status(data.get("status"))
    if status == "deleted":
        with contextlib.suppress(NotFoundError):
            movies.set_status(user_id, data["imdb_id"], status, at=at)
        return
    _require_film(user_id, data, at)
    movies.set_status(user_id, data["imdb_id"], status, _list_id(data, "custom_list_id"), at)


@_performs("addPerson", find=_find_new_person)
def _add_person(user_id: str, data: dict, at: float) -> None:
    """Two phones may have added the same person."""
    name = validation.name(data.get("name"))
    try:
        person = people.find(user_id, name)
    except NotFoundError:
        people.create(
            user_id, name, data.get("is_trusted"), data.get("color"), data.get("emoji"), at
        )
    else:
        people.change(user_id, person.id, _only(data, PERSON_FIELDS), at)


@_performs("updatePerson", find=_find_person)
def _change_person(user_id: str, data: dict, at: float) -> None:
    """`new_name` is a rename, and so is a `name` beside an `id`."""
    person = _person(user_id, data)
    changes = _only(data, PERSON_FIELDS)
    new_name = data.get("new_name", data.get("name") if data.get("id") is not None else None)
    if new_name:
        changes["name"] = new_name
    people.change(user_id, person.id, changes, at)


@_performs("updatePersonTrust", find=_find_person)
def _trust_person(user_id: str, data: dict, at: float) -> None:
    is_trusted = validation.flag(data.get("is_trusted"), "is_trusted")
    if is_trusted is None:
        raise _invalid("is_trusted", "is missing")
    people.change(user_id, _person(user_id, data).id, {"is_trusted": is_trusted}, at)


@_performs("deletePerson", find=_find_person, deletes=True)
def _delete_person(user_id: str, data: dict, at: float) -> None:
    with contextlib.suppress(NotFoundError):
        people.delete(user_id, _person(user_id, data).id, at)


@_performs("addList", find=_find_list)
def _add_list(user_id: str, data: dict, at: float) -> None:
    subject = _find_list(user_id, data)
    if subject.row is not None:
        lists.change(user_id, subject.row.id, _only(data, LIST_FIELDS), at)
    else:
        name, color, icon, position, description = (data.get(field) for field in LIST_FIELDS)
        lists.create(
            user_id,
            name,  # type: ignore[arg-type]
            color,
            icon,
            position,
            subject.key,
            at,
            description,
        )


@_performs("updateList", find=_find_list)
def _change_list(user_id: str, data: dict, at: float) -> None:
    lists.change(user_id, validation.identifier(data.get("id")), _only(data, LIST_FIELDS), at)


@_performs("deleteList", find=_find_list, deletes=True)
def _delete_list(user_id: str, data: dict, at: float) -> None:
    with contextlib.suppress(NotFoundError):
        lists.delete(user_id, validation.identifier(data.get("id")), at)


@_performs("addToList", find=(_find_film, _find_named_list), has_time=False)
def _add_to_list(user_id: str, data: dict, at: float) -> None:
    lists.find(user_id, _named_list(data))
    _require_film(user_id, data, at)
    note = data.get("note", UNSET)
    movies.add_to_list(user_id, data["imdb_id"], _named_list(data), note, at)


@_performs("removeFromList", find=(_find_film, _find_named_list), has_time=False)
def _remove_from_list(user_id: str, data: dict, at: float) -> None:
    with contextlib.suppress(NotFoundError):
        movies.remove_from_list(user_id, data["imdb_id"], _named_list(data), at)


@_performs("reorderList", find=_find_named_list, has_time=False)
def _reorder_list(user_id: str, data: dict, at: float) -> None:
    imdb_ids = data.get("imdb_ids")
    if not isinstance(imdb_ids, list):
        raise _invalid("imdb_ids", "is not a list of IMDb ids")
    lists.reorder_films(user_id, _named_list(data), imdb_ids, at)


def _require_film(user_id: str, data: dict, at: float) -> None:
    """A film that another client has deleted since comes back: it was
    used later than that."""
    try:
        movies.find(user_id, data["imdb_id"])
    except NotFoundError:
        movies.add(user_id, data["imdb_id"], _media_type(data), at=at)


def _id_or_name(user_id: str, data: dict) -> int | str:
    """The id of the voter, or else a name that may be nobody's yet."""
    name = data.get("person_name") or data.get("person")
    if data.get("person_id") is not None:
        with contextlib.suppress(NotFoundError):
            return people.by_id(user_id, data["person_id"]).id
        if name is None:
            raise NotFoundError("Person not found")
    return validation.name(name, "person_name")


def _voter_id(user_id: str, data: dict) -> int:
    voter = _id_or_name(user_id, data)
    return voter if isinstance(voter, int) else people.find(user_id, voter).id


def _person(user_id: str, data: dict) -> Person:
    if data.get("id") is not None:
        return people.by_id(user_id, data["id"])
    return people.find(user_id, validation.name(data.get("name")))


def _rating(data: dict):
    return data.get("my_rating", data.get("rating", UNSET))


def _media_type(data: dict) -> str | None:
    return validation.trimmed_text(data.get("media_type", data.get("mediaType")), "media_type")


def _list_id(data: dict, key: str = "id") -> str | None:
    return None if data.get(key) is None else validation.identifier(data[key], key)


def _named_list(data: dict) -> str:
    """Of an action on the films of a list, which clients name by `list_id` or `id`."""
    named = data.get("list_id")
    return validation.identifier(data.get("id") if named is None else named, "list_id")


def _only(data: dict, fields: tuple[str, ...]) -> dict:
    return {field: data[field] for field in fields if field in data}


def _invalid(field: str, reason: str) -> InvalidError:
    return InvalidError(f"{field}: {reason}", [Problem(field, reason)])
