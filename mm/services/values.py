"""What users enter, by the rules that hold for the files they import: the same words, limits and spellings."""

import contextlib
from collections.abc import Iterator

from mm.documents import Problem
from mm.errors import Invalid, NotFound
from mm.models import STATUSES
from mm.services.portable import fields
from mm.services.portable.fields import Bad


@contextlib.contextmanager
def checked() -> Iterator[None]:
    """Around calls of the rules in `portable.fields`: what breaks one raises Invalid with the field's path."""
    try:
        yield
    except Bad as bad:
        raise Invalid(f"{bad.path}: {bad.reason}", [Problem(bad.path, bad.reason)]) from bad


def imdb_id(value: object) -> str:
    """In lower case, without spaces. Raises Invalid."""
    with checked():
        return fields.imdb_id({"imdb_id": value})


def imdb_id_or_404(value: object) -> str:
    """Of an address: what cannot be an id is no film's."""
    try:
        return imdb_id(value)
    except Invalid as error:
        raise NotFound("Movie not found") from error


def name(value: object, key: str = "name") -> str:
    with checked():
        return fields.name({key: value}, key)


def text(value: object, key: str) -> str | None:
    """Stripped; what is empty is None."""
    with checked():
        return (fields.text({key: value}, key) or "").strip() or None


def texts(value: object, key: str) -> dict[str, str]:
    """A few named texts, sorted by name."""
    with checked():
        return fields.texts({key: value}, key)


def color(value: object) -> str | None:
    with checked():
        return fields.color({"color": value})


def status(value: object) -> str:
    with checked():
        return fields.required(fields.one_of({"status": value}, "status", STATUSES), "status")


def moment(value: object, key: str) -> float | None:
    """Unix seconds; see `fields.moment` for what else is taken for a time."""
    with checked():
        return fields.moment({key: value}, key)


def rating(value: object) -> float | None:
    """1.0 to 10.0, or None for watched and not rated."""
    with checked():
        return fields.rating({"my_rating": value})


def vote(value: object) -> bool:
    """True is up."""
    with checked():
        return fields.vote({"vote_type": value})


def flag(value: object, key: str) -> bool | None:
    with checked():
        return fields.flag({key: value}, key)


def whole_number(value: object, key: str) -> int | None:
    with checked():
        return fields.whole_number({key: value}, key)


def identifier(value: object, key: str = "id") -> str:
    with checked():
        return fields.identifier({key: value}, key)
