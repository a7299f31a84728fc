"""One user's library as the v2 document. Everything a user can enter is in it;
nothing of the providers is."""

import json
from collections.abc import Iterator
from operator import itemgetter

import msgspec
from msgspec import UNSET
from peewee import Database

from mm import clock, config
from mm.database import db, snapshot
from mm.models import (
    OWNED,
    CustomList,
    Movie,
    Person,
    Recommendation,
    SavedView,
    Title,
    Watch,
    owned_names,
)
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
from mm.services import ranking_order, shown_titles, validation
from mm.services.portable import filters, list_films

# By their names in the document. Title and year make a film readable: as the server knows them,
# else as the user's file or the user did.
MOVIE_COLUMNS = {
    "imdb_id": Movie.title,
    "title": shown_titles.TITLE,
    "year": shown_titles.YEAR,
    "custom_list_id": CustomList.id,
}


def dump(
    user_id: str, database: Database | None = None, exported_at: float | None = None
) -> Document:
    """The library as of one moment. Sorted here, because databases sort text
    differently."""
    database = database or db.obj
    with snapshot(database):
        exported_at = clock.now() if exported_at is None else exported_at
        movies = sorted(_movies(database, user_id), key=lambda movie: movie.imdb_id)
        columns = (Person.quick_key, *OWNED[Person])
        names = owned_names(Person)
        rows = Person.select(*columns).where(Person.user == user_id)
        people = []
        for quick_key, *values in database.execute(rows):
            person = PersonEntry(quick_key=quick_key, **dict(zip(names, values, strict=True)))
            # SQLite stores 0 and 1.
            person.is_trusted = bool(person.is_trusted)
            people.append(person)
        columns = (CustomList.id, *OWNED[CustomList])
        rows = CustomList.select(*columns).where(CustomList.user == user_id)
        films = list_films.read(database, user_id)
        lists = [ListEntry(*(*row, films.get(row[0], []))) for row in database.execute(rows)]
        return Document(
            version=VERSION,
            exported_at=exported_at,
            movies=movies,
            people=sorted(people, key=lambda person: person.name),
            lists=sorted(lists, key=lambda entry: (entry.position, entry.id)),
            views=sorted(_views(database, user_id), key=lambda view: (view.position, view.name)),
            rankings=[RankingEntry(*film) for film in ranking_order.read(database, user_id)],
        )


def export_file(user_id: str) -> tuple[str, bytes]:
    """The library as a file to download: its name, with today's date in the
    server's time zone, and its content, indented for people who open it."""
    today = clock.local(clock.now(), config.current.zone).date()
    return f"moviemanager-export-{today}.json", encode(dump(user_id), indent=True)


def encode(document: Document, indent: bool = False) -> bytes:
    """`indent` for what a person may open, unless that would make it too large to
    import; compact for the server's own files."""
    data = msgspec.json.encode(document)
    pretty = msgspec.json.format(data, indent=2) + b"\n" if indent else data
    return data if len(pretty) > validation.FILE_MAX else pretty


def _movies(database: Database, user_id: str) -> Iterator[MovieEntry]:
    rows = (
        Recommendation.select(Recommendation.movie, Person.name, *OWNED[Recommendation])
        .join(Person)
        .where(Person.user == user_id)
    )
    votes: dict[int, list[Vote]] = {}
    by_name = sorted(database.execute(rows), key=itemgetter(1))
    for movie_id, name, date_recommended, vote_type in by_name:
        votes.setdefault(movie_id, []).append(Vote(name, date_recommended, bool(vote_type)))
    rows = (
        Watch.select(Watch.movie, *OWNED[Watch])
        .join(Movie)
        .where(Movie.user == user_id)
        .order_by(Watch.date_watched)
    )
    watches: dict[int, list[WatchEntry]] = {}
    for movie_id, *values in database.execute(rows):
        watch = WatchEntry(*values)
        watch.day_known = bool(watch.day_known)
        watches.setdefault(movie_id, []).append(watch)
    # In the order of the entry's own fields, because naming each of them takes its time.
    columns = MOVIE_COLUMNS | {column.name: column for column in OWNED[Movie]}
    fields = MovieEntry.__struct_fields__[: len(columns)]
    rows = (
        Movie.select(Movie.id, *(columns[field] for field in fields))
        .left_outer_join(CustomList)
        .join_from(Movie, Title)
        .where(Movie.user == user_id)
    )
    for movie_id, *values in database.execute(rows):
        watched = watches.get(movie_id, [])
        values += votes.get(movie_id, []), watched[-1] if watched else None
        movie = MovieEntry(*values)
        movie.watches = watched if len(watched) > 1 else UNSET
        # A provider's title may be one that no file may hold.
        movie.title = validation.hint_title(movie.title)
        movie.year = validation.hint_year(movie.year)
        yield movie


def _views(database: Database, user_id: str) -> Iterator[ViewEntry]:
    people = Person.select(Person.id, Person.name).where(Person.user == user_id)
    names = {str(person_id): name for person_id, name in database.execute(people)}
    lists = CustomList.select(CustomList.id).where(CustomList.user == user_id)
    list_ids = {list_id: list_id for (list_id,) in database.execute(lists)}
    rows = SavedView.select(*OWNED[SavedView]).where(SavedView.user == user_id)
    for row in database.execute(rows):
        view = ViewEntry(*row)
        # PostgreSQL's driver has decoded the JSON already.
        found = json.loads(view.filters) if isinstance(view.filters, str) else view.filters
        # A person's id means nothing elsewhere, their name does; a person or a list
        # that was deleted is left out.
        found = filters.replaced(found, filters.OF_PEOPLE, names.get)
        view.filters = filters.replaced(found, filters.OF_LISTS, list_ids.get)
        yield view
