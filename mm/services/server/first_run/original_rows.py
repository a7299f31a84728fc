"""A user's rows in the original's database as a v2 document, so that they go the way of every
import.

What can be kept of a row is kept: a rating that cannot be used does not take its film along.
Whatever is left out is told with its table and the number of its row.
"""

import re
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec import Struct

from mm.models import STATUSES
from mm.schemas import VERSION, Problem
from mm.services import validation
from mm.services.server.first_run.original_users import IDS
from mm.services.validation import FieldError

# A place in the document, in a problem or in a warning.
PLACE = re.compile(
    r"(?:movies|people|lists|rankings)\[\d+\](?:\.(?:recommendations|films)\[\d+\])?"
)
# Characters of a name that a sentence repeats.
LABEL_MAX = 100
Row = dict[str, Any]


class Library(Struct):
    """`places`: the table and row of each entry of the document, by its path there."""

    document: bytes
    places: dict[str, str]
    problems: list[Problem]

    def told(self, problem: Problem) -> Problem:
        """A problem of the document, as one of the row that it came from."""
        match = PLACE.match(problem.path)
        below = problem.path[match.end() :].lstrip(".") if match else ""
        reason = self.in_words(f"{below}: {problem.reason}" if below else problem.reason)
        return Problem(self.in_words(match[0] if match else problem.path), reason)

    def in_words(self, text: str) -> str:
        return PLACE.sub(lambda match: self.places.get(match[0], match[0]), text)


class _Making(Struct):
    """What is gathered on the way. `films` by imdb_id, `people` their names and `lists` the rows of
    the document, both by their ids in the tables."""

    exported_at: float
    films: dict[str, Row] = {}
    film_places: dict[str, str] = {}
    people: dict[Any, str] = {}
    lists: dict[Any, Row] = {}
    places: dict[str, str] = {}
    problems: list[Problem] = []

    def problem(self, place: str, reason: str) -> None:
        self.problems.append(Problem(place, reason))

    def value(self, place: str, row: Row, key: str, convert: Callable, left: str = "") -> Any:
        """The row's value, None where it cannot be used, which is told. `left`: what came of the
        row, for who reads it."""
        try:
            return convert(row[key], key)
        except FieldError as error:
            self.problem(place, f"{key}: {error.reason}; {left or 'it is left empty'}")
            return None

    def film_of(self, place: str, row: Row) -> Row | None:
        """The document's film that a row is about."""
        try:
            film = self.films.get(validation.imdb_id(row["imdb_id"]))
        except FieldError as error:
            self.problem(place, f"imdb_id: {error.reason}")
            return None
        if film is None:
            self.problem(place, f"{_short(row['imdb_id'])} is not among this user’s movies")
        return film


def library(tables: dict[str, list[Row]], exported_at: float) -> Library:
    """`tables`: the user's rows by table, as `original.read` has them."""
    making = _Making(exported_at)
    people = list(_people(making, tables.get("people", ())))
    lists = list(_lists(making, tables.get("custom_lists", ())))
    movies = list(_movies(making, tables.get("movies", ())))
    _add_watches(making, tables.get("watch_history", ()))
    _add_votes(making, tables.get("recommendations", ()))
    _add_statuses(making, tables.get("movie_status", ()))
    rankings = list(_rankings(making, tables.get("movie_rankings", ())))
    document = {
        "version": VERSION,
        "exported_at": exported_at,
        "movies": movies,
        "people": people,
        "lists": lists,
        "rankings": rankings,
    }
    _place_votes(making, movies)
    return Library(msgspec.json.encode(document), making.places, making.problems)


def _people(making: _Making, rows: Iterable[Row]) -> Iterable[Row]:
    for index, row in enumerate(rows):
        place = _place("people", row, row["name"])
        name = _name(making, place, row, "Person")
        making.people[row["id"]] = name
        making.places[f"people[{index}]"] = place
        yield {
            "name": name,
            "is_trusted": making.value(place, row, "is_trusted", validation.flag),
            "color": making.value(place, row, "color", _color),
            "emoji": making.value(place, row, "emoji", validation.text),
            "quick_key": making.value(place, row, "quick_key", validation.text),
            "last_modified": making.value(place, row, "last_modified", validation.moment),
        }


def _lists(making: _Making, rows: Iterable[Row]) -> Iterable[Row]:
    for index, row in enumerate(rows):
        place = _place("custom_lists", row, row["name"])
        try:
            list_id = validation.identifier(row["id"])
        except FieldError as error:
            list_id = str(uuid.uuid5(IDS, repr(row["id"])))
            making.problem(place, f"id: {error.reason}; the list has a new one")
        making.lists[row["id"]] = {
            "id": list_id,
            "name": _name(making, place, row, "List"),
            "color": making.value(place, row, "color", _color),
            "icon": making.value(place, row, "icon", validation.text),
            "position": making.value(place, row, "position", validation.whole_number),
            "created_at": making.value(place, row, "created_at", validation.moment),
            "last_modified": making.value(place, row, "last_modified", validation.moment),
        }
        making.places[f"lists[{index}]"] = place
        yield making.lists[row["id"]]


def _movies(making: _Making, rows: Iterable[Row]) -> Iterable[Row]:
    index = 0
    for row in rows:
        place = _place("movies", row, row["title"] or row["imdb_id"])
        try:
            imdb_id = validation.imdb_id(row["imdb_id"])
        except FieldError as error:
            making.problem(place, f"imdb_id: {error.reason}")
            continue
        if imdb_id in making.films:
            first = making.film_places[imdb_id]
            making.problem(place, f"the same film as {first}, which is used")
            continue
        film: Row = {
            "imdb_id": imdb_id,
            "title": row["title"],
            "year": row["year"],
            "media_type": making.value(place, row, "media_type", validation.text),
            "last_modified": making.value(place, row, "last_modified", validation.moment),
            "recommendations": [],
        }
        making.films[imdb_id] = film
        making.film_places[imdb_id] = making.places[f"movies[{index}]"] = place
        index += 1
        yield film


def _add_watches(making: _Making, rows: Iterable[Row]) -> None:
    for row in rows:
        place = _place("watch_history", row, row["imdb_id"])
        film = making.film_of(place, row)
        if film is None:
            continue
        if "watch_history" in film:
            making.problem(place, "the film has another watch already, which is used")
            continue
        rated = making.value(
            place, row, "my_rating", lambda value, _: validation.rating(value), "it has no rating"
        )
        unknown = "the film is watched, on a day that is not known"
        date_watched = making.value(place, row, "date_watched", validation.moment, unknown)
        if date_watched is None and row["date_watched"] is None:
            making.problem(place, f"date_watched: is missing; {unknown}")
        film["watch_history"] = {"date_watched": date_watched, "my_rating": rated}
        if date_watched is None:
            film["watch_history"] |= {
                "date_watched": film["last_modified"] or making.exported_at,
                "day_known": False,
            }


def _add_votes(making: _Making, rows: Iterable[Row]) -> None:
    for row in rows:
        place = _place("recommendations", row, row["imdb_id"])
        film = making.film_of(place, row)
        if film is None:
            continue
        name = making.people.get(row["person_id"])
        if name is None:
            making.problem(
                place, f"person_id: {_short(row['person_id'])} is none of this user’s people"
            )
            continue
        try:
            vote_type = validation.vote(row["vote_type"])
        except FieldError as error:
            making.problem(place, f"vote_type: {error.reason}")
            continue
        film["recommendations"].append(
            {
                "person_name": name,
                "date_recommended": making.value(place, row, "date_recommended", validation.moment),
                "vote_type": vote_type,
                # For `_place_votes`, which takes it out again.
                "place": place,
            }
        )


def _add_statuses(making: _Making, rows: Iterable[Row]) -> None:
    """Without a row of its own a film is watched where it has a watch, else to be watched."""
    for row in rows:
        place = _place("movie_status", row, row["imdb_id"])
        film = making.film_of(place, row)
        if film is None:
            continue
        if "status" in film:
            making.problem(place, "the film has another status already, which is used")
            continue
        instead = "watched" if "watch_history" in film else "toWatch"
        status = making.value(place, row, "status", _status, f"the film is kept as {instead}")
        on_list = making.lists.get(row["custom_list_id"]) if row["custom_list_id"] else None
        if row["custom_list_id"] and on_list is None:
            making.problem(
                place, f"custom_list_id: the user has no list {_short(row['custom_list_id'])}"
            )
        if status == "custom" and on_list is None:
            making.problem(
                place, f"status: is custom, but without a list; the film is kept as {instead}"
            )
            status = instead
        film["status"] = status or instead
        if on_list is not None and film["status"] == "custom":
            film["custom_list_id"] = on_list["id"]
        elif on_list is not None:
            # Here a film may be on a list whatever its status is.
            on_list.setdefault("films", []).append({"imdb_id": film["imdb_id"]})


def _rankings(making: _Making, rows: Iterable[Row]) -> Iterable[Row]:
    index = 0
    for row in rows:
        place = _place("movie_rankings", row, row["imdb_id"])
        film = making.film_of(place, row)
        if film is None:
            continue
        try:
            liked = validation.required(validation.flag(row["liked"], "liked"), "liked")
        except FieldError as error:
            making.problem(place, f"liked: {error.reason}")
            continue
        making.places[f"rankings[{index}]"] = place
        index += 1
        last = "it comes last"
        yield {
            "imdb_id": film["imdb_id"],
            "liked": liked,
            "position": making.value(place, row, "position", validation.whole_number, last),
            "ranked_at": making.value(place, row, "ranked_at", validation.moment),
        }


def _place_votes(making: _Making, movies: list[Row]) -> None:
    for index, film in enumerate(movies):
        for number, vote in enumerate(film["recommendations"]):
            path = f"movies[{index}].recommendations[{number}]"
            making.places[path] = vote.pop("place")


def _place(table: str, row: Row, label: object) -> str:
    return f"{table} row {row['rowid']} ({_short(label)})"


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return " ".join(text.split())[:LABEL_MAX]


def _name(making: _Making, place: str, row: Row, noun: str) -> str:
    """Of a person or a list. One that cannot be used is mended, so that what hangs on it stays."""
    try:
        return validation.name(row["name"])
    except FieldError as error:
        text = row["name"] if isinstance(row["name"], str) else ""
        mended = " ".join(validation.CONTROL.sub(" ", text).split())[: validation.TEXT_MAX].strip()
        if mended in ("", ".", ".."):
            mended = f"{noun} {row['rowid']}"
        making.problem(place, f"name: {error.reason}; the name is now {_short(mended)}")
        return mended


def _color(value: object, _key: str) -> str | None:
    return validation.color(value)


def _status(value: object, key: str) -> str | None:
    return validation.one_of(value, key, STATUSES)
