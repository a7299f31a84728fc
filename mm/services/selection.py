"""One thing done to several films at once, with one undo."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

from mm import models
from mm.errors import Invalid, NotFound
from mm.services import library, lists, undo, values

STATUSES = ("toWatch", "watched", "deleted")
FILMS_MAX = 1000


@dataclass(frozen=True)
class Done:
    """`changed` films, and so many `gone` that were not there any more; `token` takes it back."""

    changed: int
    gone: int
    token: str | None


def set_status(user_id: str, imdb_ids: Iterable[str], status: str) -> Done:
    """Raises Invalid for a status that is none, or for too few or too many films, as the verbs below."""
    if status not in STATUSES:
        raise Invalid("Choose what to do with these films.")
    return _each(user_id, imdb_ids, lambda imdb_id: library.set_status(user_id, imdb_id, status))


def put_on_list(user_id: str, imdb_ids: Iterable[str], list_id: str) -> Done:
    """Raises NotFound for a list that is gone."""
    lists.find(user_id, list_id)
    return _each(user_id, imdb_ids, lambda imdb_id: library.set_status(user_id, imdb_id, "custom", list_id))


def recommend(user_id: str, imdb_ids: Iterable[str], person_name: str) -> Done:
    """Makes the person where there is none."""
    name = values.name(person_name, "person_name")

    def add_vote(imdb_id: str) -> None:
        library.find(user_id, imdb_id)
        library.recommend(user_id, imdb_id, name)

    return _each(user_id, imdb_ids, add_vote)


def delete(user_id: str, imdb_ids: Iterable[str]) -> Done:
    """Gone with votes and watches; the status `deleted` keeps them."""
    return _each(user_id, imdb_ids, lambda imdb_id: library.delete(user_id, imdb_id))


def _each(user_id: str, imdb_ids: Iterable[str], act) -> Done:
    wanted = list(dict.fromkeys(values.imdb_id(imdb_id) for imdb_id in imdb_ids))
    if not wanted:
        raise Invalid("Choose some films first.")
    if len(wanted) > FILMS_MAX:
        raise Invalid(f"That are {len(wanted):,} films; {FILMS_MAX:,} at once is the most.")
    changed = 0
    with undo.step(user_id, wanted) as step:
        for imdb_id in wanted:
            with contextlib.suppress(NotFound), models.db.atomic():
                act(imdb_id)
                changed += 1
    return Done(changed, len(wanted) - changed, step.token)
