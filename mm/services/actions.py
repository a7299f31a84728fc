"""The actions of the sync API, each by the verb of the service that pages and other clients use.

Clients name a person by id, or as person_name or person, and a rating my_rating or rating. Doing again what is done
already is no error.
"""

import contextlib
from collections.abc import Callable
from typing import Any

from msgspec import UNSET

from mm.documents import Problem
from mm.errors import Invalid, NotFound
from mm.models import CustomList, Person, Recommendation
from mm.services import library, lists, people, values

Perform = Callable[[str, dict[str, Any], float], object]
PERSON_FIELDS = ("is_trusted", "color", "emoji")
LIST_FIELDS = ("name", "color", "icon", "position")


def _add_movie(user_id: str, data: dict, at: float) -> None:
    names = data.get("recommenders") or []
    if not isinstance(names, list):
        raise _missing("recommenders", "is not a list of names")
    recommender = data.get("recommender")
    library.add(user_id, data["imdb_id"], _media_type(data), data.get("status"),
                names if recommender is None else [*names, recommender], data.get("custom_list_id"), at)  # fmt: skip


def _add_recommendation(user_id: str, data: dict, at: float) -> None:
    library.recommend(user_id, data["imdb_id"], _who(user_id, data), data.get("vote_type"),
                      data.get("date_recommended"), _media_type(data), at)  # fmt: skip


def _remove_recommendation(user_id: str, data: dict, at: float) -> None:
    with contextlib.suppress(NotFound):
        library.unrecommend(user_id, data["imdb_id"], _voter(user_id, data).name, at)


def _change_vote(user_id: str, data: dict, at: float) -> None:
    movie, person = library.find(user_id, data["imdb_id"]), _voter(user_id, data)
    votes = Recommendation.select().where(Recommendation.movie == movie.id)
    if not votes.where(Recommendation.person == person.id).exists():
        raise NotFound("Recommendation not found")
    library.recommend(user_id, movie.imdb_id, person.id, data.get("vote_type"), data.get("date_recommended"), at=at)


def _watch(user_id: str, data: dict, at: float) -> None:
    _require_film(user_id, data, at)
    again = values.flag(data.get("again"), "again") or False
    library.watch(user_id, data["imdb_id"], data.get("date_watched"), _rating(data), again, at)


def _rate(user_id: str, data: dict, at: float) -> None:
    rating = _rating(data)
    if rating is UNSET:
        raise _missing("my_rating")
    library.rate(user_id, data["imdb_id"], rating, at)


def _set_status(user_id: str, data: dict, at: float) -> None:
    status = values.status(data.get("status"))
    _require_film(user_id, data, at)
    library.set_status(user_id, data["imdb_id"], status, _list_id(data, "custom_list_id"), at)


def _add_person(user_id: str, data: dict, at: float) -> None:
    """Two phones may have added the same person."""
    name = values.name(data.get("name"))
    try:
        known = people.find(user_id, name)
    except NotFound:
        people.create(user_id, name, data.get("is_trusted"), data.get("color"), data.get("emoji"), at)
        return
    if known.last_modified <= at:
        people.change(user_id, known.name, _given(data, PERSON_FIELDS), at)


def _change_person(user_id: str, data: dict, at: float) -> None:
    """`new_name` is a rename, and so is a `name` beside an `id`."""
    person = _person(user_id, data)
    new_name = data.get("new_name", data.get("name") if data.get("id") is not None else None)
    people.change(user_id, person.name, _given(data, PERSON_FIELDS) | ({"name": new_name} if new_name else {}), at)


def _trust_person(user_id: str, data: dict, at: float) -> None:
    is_trusted = values.flag(data.get("is_trusted"), "is_trusted")
    if is_trusted is None:
        raise _missing("is_trusted")
    people.change(user_id, _person(user_id, data).name, {"is_trusted": is_trusted}, at)


def _delete_person(user_id: str, data: dict, at: float) -> None:
    with contextlib.suppress(NotFound):
        people.delete(user_id, _person(user_id, data).name, at)


def _add_list(user_id: str, data: dict, at: float) -> None:
    list_id = _list_id(data)
    known = (CustomList.user == user_id) & (CustomList.id == list_id)
    if list_id is not None and CustomList.select().where(known).exists():
        lists.change(user_id, list_id, _given(data, LIST_FIELDS), at)
    else:
        name, color, icon, position = (data.get(field) for field in LIST_FIELDS)
        lists.create(user_id, name, color, icon, position, list_id, at)  # type: ignore[arg-type]


def _change_list(user_id: str, data: dict, at: float) -> None:
    lists.change(user_id, _required_list_id(data), _given(data, LIST_FIELDS), at)


def _delete_list(user_id: str, data: dict, at: float) -> None:
    with contextlib.suppress(NotFound):
        lists.delete(user_id, _required_list_id(data), at)


# What does it, and whether it is about one film.
ACTIONS: dict[str, tuple[Perform, bool]] = {
    "addMovie": (_add_movie, True),
    "addRecommendation": (_add_recommendation, True),
    "removeRecommendation": (_remove_recommendation, True),
    "updateRecommendationVote": (_change_vote, True),
    "watchMovie": (_watch, True),
    "markWatched": (_watch, True),
    "updateRating": (_rate, True),
    "updateMovieStatus": (_set_status, True),
    "updateStatus": (_set_status, True),
    "addPerson": (_add_person, False),
    "updatePerson": (_change_person, False),
    "updatePersonTrust": (_trust_person, False),
    "deletePerson": (_delete_person, False),
    "addList": (_add_list, False),
    "updateList": (_change_list, False),
    "deleteList": (_delete_list, False),
}


def _require_film(user_id: str, data: dict, at: float) -> None:
    """A client may know a film that another one has deleted since; it was used later than that, so it is back."""
    try:
        library.find(user_id, data["imdb_id"])
    except NotFound:
        library.add(user_id, data["imdb_id"], _media_type(data), at=at)


def _who(user_id: str, data: dict) -> str | int:
    """An id that is gone gives way to the name beside it, where there is one."""
    name = data.get("person_name") or data.get("person")
    if data.get("person_id") is not None:
        with contextlib.suppress(NotFound):
            return people.by_id(user_id, data["person_id"]).id
        if name is None:
            raise NotFound("Person not found")
    return values.name(name, "person_name")


def _voter(user_id: str, data: dict) -> Person:
    who = _who(user_id, data)
    return people.find(user_id, who) if isinstance(who, str) else people.by_id(user_id, who)


def _person(user_id: str, data: dict) -> Person:
    if data.get("id") is not None:
        return people.by_id(user_id, data["id"])
    return people.find(user_id, values.name(data.get("name")))


def _rating(data: dict):
    return data.get("my_rating", data.get("rating", UNSET))


def _media_type(data: dict) -> str | None:
    return values.text(data.get("media_type", data.get("mediaType")), "media_type")


def _list_id(data: dict, key: str = "id") -> str | None:
    return None if data.get(key) is None else values.identifier(data[key], key)


def _required_list_id(data: dict) -> str:
    return values.identifier(data.get("id"))


def _given(data: dict, names: tuple[str, ...]) -> dict:
    return {name: data[name] for name in names if name in data}


def _missing(field: str, reason: str = "is missing") -> Invalid:
    return Invalid(f"{field}: {reason}", [Problem(field, reason)])
