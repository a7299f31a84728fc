"""One user's library as the v2 document. Everything a user can enter is in it; nothing of the
providers is."""

import json
from collections.abc import Iterator

import msgspec
from peewee import Database

from mm import clock, config
from mm.database import db, snapshot
from mm.models import CustomList, Movie, Person, Recommendation, SavedView, Watch
from mm.schemas import (
    VERSION,
    Document,
    ListEntry,
    MovieEntry,
    PersonEntry,
    RankingEntry,
    ViewEntry,
    Vote,
    WatchEntry,
)
from mm.services import ranking_order, validation


def dump(
    user_id: str, database: Database | None = None, exported_at: float | None = None
) -> Document:
    """The library as of one moment. Sorted here, because databases sort text each in their own way."""
    database = database or db.obj
    with snapshot(database):
        return Document(
            version=VERSION,
            exported_at=clock.now() if exported_at is None else exported_at,
            movies=sorted(_movies(database, user_id), key=lambda movie: movie.imdb_id),
            people=sorted(_people(database, user_id), key=lambda person: person.name),
            lists=sorted(_lists(database, user_id), key=lambda entry: (entry.position, entry.id)),
            views=sorted(_views(database, user_id), key=lambda view: (view.position, view.name)),
            rankings=[RankingEntry(*film) for film in ranking_order.read(database, user_id)],
        )


def export_file(user_id: str) -> tuple[str, bytes]:
    """The library as a file to download: its name, with today's date in the server's time zone, and
    its content, indented for people who open it."""
    today = clock.local(clock.now(), config.current.zone).date()
    return f"moviemanager-export-{today}.json", encode(dump(user_id), indent=True)


def encode(document: Document, indent: bool = False) -> bytes:
    """`indent` for what a person may open, unless that would make it too large to import; compact
    for the server's own files."""
    data = msgspec.json.encode(document)
    pretty = msgspec.json.format(data, indent=2) + b"\n" if indent else data
    return data if len(pretty) > validation.FILE_MAX else pretty


def _movies(database: Database, user_id: str) -> Iterator[MovieEntry]:
    votes = _votes(database, user_id)
    watches = _watches(database, user_id)
    rows = database.execute(
        Movie.select(
            Movie.id,
            Movie.title,
            Movie.media_type,
            Movie.status,
            CustomList.id,
            Movie.date_added,
            Movie.last_modified,
        )
        .left_outer_join(CustomList)
        .where(Movie.user == user_id)
    )
    for movie_id, imdb_id, media_type, status, list_id, date_added, last_modified in rows:
        seen = watches.get(movie_id)
        entry = MovieEntry(
            imdb_id,
            media_type,
            status,
            list_id,
            date_added,
            last_modified,
            votes.get(movie_id, []),
            seen[-1] if seen else None,
        )
        if seen and len(seen) > 1:
            entry.watches = seen
        yield entry


def _votes(database: Database, user_id: str) -> dict[int, list[Vote]]:
    rows = database.execute(
        Recommendation.select(
            Recommendation.movie,
            Person.name,
            Recommendation.date_recommended,
            Recommendation.vote_type,
        )
        .join(Person)
        .where(Person.user == user_id)
    )
    found: dict[int, list[Vote]] = {}
    for movie_id, name, date_recommended, vote_type in sorted(rows, key=lambda row: row[1]):
        found.setdefault(movie_id, []).append(Vote(name, date_recommended, bool(vote_type)))
    return found


def _watches(database: Database, user_id: str) -> dict[int, list[WatchEntry]]:
    rows = database.execute(
        Watch.select(Watch.movie, Watch.date_watched, Watch.my_rating)
        .join(Movie)
        .where(Movie.user == user_id)
        .order_by(Watch.date_watched)
    )
    found: dict[int, list[WatchEntry]] = {}
    for movie_id, date_watched, my_rating in rows:
        found.setdefault(movie_id, []).append(WatchEntry(date_watched, my_rating))
    return found


def _people(database: Database, user_id: str) -> Iterator[PersonEntry]:
    columns = (
        Person.name,
        Person.is_trusted,
        Person.color,
        Person.emoji,
        Person.quick_key,
        Person.last_modified,
    )
    rows = database.execute(Person.select(*columns).where(Person.user == user_id))
    for name, is_trusted, *rest in rows:
        yield PersonEntry(name, bool(is_trusted), *rest)


def _lists(database: Database, user_id: str) -> Iterator[ListEntry]:
    rows = database.execute(
        CustomList.select(
            CustomList.id,
            CustomList.name,
            CustomList.color,
            CustomList.icon,
            CustomList.position,
            CustomList.created_at,
            CustomList.last_modified,
        ).where(CustomList.user == user_id)
    )
    return (ListEntry(*row) for row in rows)


def _views(database: Database, user_id: str) -> Iterator[ViewEntry]:
    people = dict(
        database.execute(Person.select(Person.id, Person.name).where(Person.user == user_id))
    )
    lists = {
        list_id
        for (list_id,) in database.execute(
            CustomList.select(CustomList.id).where(CustomList.user == user_id)
        )
    }
    columns = (SavedView.name, SavedView.filters, SavedView.position, SavedView.last_modified)
    for name, filters, *rest in database.execute(
        SavedView.select(*columns).where(SavedView.user == user_id)
    ):
        # PostgreSQL's driver has read the JSON already.
        given = json.loads(filters) if isinstance(filters, str) else filters
        yield ViewEntry(name, _portable(given, people, lists), *rest)


def _portable(filters: dict[str, str], people: dict[int, str], lists: set[str]) -> dict[str, str]:
    """A person by name, because ids mean nothing elsewhere; without a person or list that is gone."""
    named = dict(sorted(filters.items()))
    if "person" in named:
        named["person"] = people.get(int(named["person"]), "")
    if named.get("list") not in lists:
        named.pop("list", None)
    return {name: value for name, value in named.items() if value}
