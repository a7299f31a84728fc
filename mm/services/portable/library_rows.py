"""The library that a file is compared with, read as a whole."""

import json

from peewee import Database

from mm.database import fold
from mm.models import (
    OWNED,
    CustomList,
    Movie,
    Person,
    Recommendation,
    SavedView,
    Title,
    Watch,
)
from mm.services import ranking_order
from mm.services.portable import list_films
from mm.services.portable.plans import (
    NO_HINT,
    Hint,
    Library,
    LibraryFilm,
    LibraryList,
    LibraryPerson,
    LibraryView,
)
from mm.services.portable.values import (
    ListValues,
    MovieValues,
    PersonValues,
    ViewValues,
    VoteValues,
    WatchValues,
)

# SQLite stores truth as 0 and 1; PostgreSQL's driver has decoded JSON already.


def read(database: Database, user_id: str) -> Library:
    """Call inside a snapshot: it takes several queries."""
    votes, watches = _votes_and_watches(database, user_id)
    return Library(
        people=_people(database, user_id),
        lists=_lists(database, user_id),
        views=_views(database, user_id),
        films=_films(database, user_id),
        votes=votes,
        watches=watches,
        list_films=list_films.read(database, user_id),
        rankings={film.imdb_id: film for film in ranking_order.read(database, user_id)},
    )


def _people(database: Database, user_id: str) -> dict[int, LibraryPerson]:
    people = {}
    columns = (Person.id, Person.name_key, Person.quick_key, *OWNED[Person])
    rows = Person.select(*columns).where(Person.user == user_id)
    for person_id, key, quick_key, *owned in database.execute(rows):
        values = PersonValues(*owned)
        values.is_trusted = bool(values.is_trusted)
        people[person_id] = LibraryPerson(person_id, key, quick_key, values)
    return people


def _lists(database: Database, user_id: str) -> dict[int, LibraryList]:
    """In their order."""
    rows = CustomList.select(CustomList.pk, CustomList.id, *OWNED[CustomList])
    rows = rows.where(CustomList.user == user_id).order_by(CustomList.position, CustomList.id)
    return {
        pk: LibraryList(pk, list_id, ListValues(*owned))
        for pk, list_id, *owned in database.execute(rows)
    }


def _views(database: Database, user_id: str) -> dict[str, LibraryView]:
    views = {}
    rows = SavedView.select(SavedView.id, *OWNED[SavedView]).where(SavedView.user == user_id)
    for view_id, *owned in database.execute(rows):
        values = ViewValues(*owned)
        if isinstance(values.filters, str):
            values.filters = json.loads(values.filters)
        views[fold(values.name)] = LibraryView(view_id, values)
    return views


def _films(database: Database, user_id: str) -> dict[str, LibraryFilm]:
    films = {}
    is_known = (Title.title.is_null(False), Title.year.is_null(False))
    columns = (Movie.id, Movie.title, CustomList.id, Movie.hint_title, Movie.hint_year, *is_known)
    rows = (
        Movie.select(*columns, *OWNED[Movie])
        .left_outer_join(CustomList)
        .join_from(Movie, Title)
        .where(Movie.user == user_id)
    )
    for row in database.execute(rows):
        movie_id, imdb_id, list_id, title, year, has_title, has_year, *owned = row
        hint = NO_HINT if title is None and year is None else Hint(title, year)
        films[imdb_id] = LibraryFilm(
            movie_id, MovieValues(*owned), list_id, hint, bool(has_title), bool(has_year)
        )
    return films


def _votes_and_watches(database: Database, user_id: str) -> tuple[dict, dict]:
    """Both by movie id."""
    votes: dict[int, list[tuple]] = {}
    columns = (Recommendation.movie, Recommendation.person, *OWNED[Recommendation])
    rows = Recommendation.select(*columns).join(Movie).where(Movie.user == user_id)
    for movie_id, person_id, *owned in database.execute(rows):
        vote = VoteValues(*owned)
        vote.vote_type = bool(vote.vote_type)
        votes.setdefault(movie_id, []).append((person_id, vote))
    watches: dict[int, list] = {}
    rows = Watch.select(Watch.movie, *OWNED[Watch]).join(Movie).where(Movie.user == user_id)
    for movie_id, *owned in database.execute(rows):
        watch = WatchValues(*owned)
        watch.day_known = bool(watch.day_known)
        watches.setdefault(movie_id, []).append(watch)
    return votes, watches
