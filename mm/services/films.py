"""One user's films as the API shows them: three queries, however many there are."""

from statistics import mean

import msgspec
from peewee import JOIN, Desc, Expression, ModelSelect, fn

from mm import models
from mm.documents import MovieFilters, MovieView, OmdbData, PersonStats, RecommendationView, TmdbData, WatchView
from mm.models import CustomList, Movie, Person, Recommendation, Title, User, Watch, db, fold
from mm.services import described, library

# Of more films than these, the votes and watches are read with all others of the library, and not by the films' ids.
FEW = 500
# As text: Peewee would decode every body to the last name.
COLUMNS = (Movie.id, Movie.title, Title.tmdb_body.cast("TEXT"), Title.omdb_body.cast("TEXT"),
           fn.COALESCE(Movie.media_type, Title.media_type), Movie.status, CustomList.id, Movie.date_added,
           Movie.last_modified)  # fmt: skip


def one(user_id: str, imdb_id: str) -> MovieView:
    """Raises NotFound, also for what cannot be an imdb_id."""
    movie = library.find(user_id, imdb_id)
    return views(user_id, Movie.id == movie.id)[0]


def listing(user_id: str, filters: MovieFilters) -> list[MovieView]:
    """Of every status where none is asked for, the deleted ones included."""
    chosen = _ordered(_filtered(_all(user_id), filters), filters.sort).limit(filters.limit)
    return _views(user_id, chosen.offset(filters.offset) if filters.offset else chosen)


def views(user_id: str, where: Expression) -> list[MovieView]:
    """Those of this user's films for which `where` holds, the ones that changed last at the end."""
    return _views(user_id, _all(user_id).where(where).order_by(Movie.updated_at, Movie.id))


def stats(person: Person) -> PersonStats:
    """How the films that have a vote of this person, up or down, turned out; the deleted ones left out."""
    voted = Recommendation.select(Recommendation.movie).where(Recommendation.person == person.id)
    movies = views(person.user_id, Movie.id.in_(voted) & (Movie.status != "deleted"))
    watches = [movie.watch_history for movie in movies if movie.watch_history]
    ratings = [watch.my_rating for watch in watches if watch.my_rating is not None]
    watched = sum(movie.watch_history is not None or movie.status == "watched" for movie in movies)
    return PersonStats(person.id, person.name, person.is_trusted, len(movies), watched,
                       mean(ratings) if ratings else None, movies, person.color, person.emoji,
                       person.quick_key)  # fmt: skip


def vote_view(vote: Recommendation) -> RecommendationView:
    movie, person = vote.movie, vote.person
    return RecommendationView(vote.id, movie.imdb_id, movie.user_id, person.id, person.name, person.name,
                              vote.date_recommended, vote.vote_type)  # fmt: skip


def watch_view(seen: Watch) -> WatchView:
    return WatchView(seen.movie.imdb_id, seen.movie.user_id, seen.date_watched, seen.my_rating)


def state(user_id: str) -> str:
    """Another text whenever what the films' JSON shows has changed: the user's own writes are counted, deletions
    included, and a look-up gives its films a new updated_at."""
    newest = Movie.select(fn.MAX(Movie.updated_at)).where(Movie.user == user_id)
    row = User.select(User.library_version, newest).where(User.id == user_id).tuples().get()
    return "-".join(map(str, (user_id, *row)))


def _all(user_id: str) -> ModelSelect:
    return (
        Movie.select(*COLUMNS)
        .join(Title)
        .switch(Movie)
        .join(CustomList, JOIN.LEFT_OUTER)
        .where(Movie.user == user_id)
    )  # fmt: skip


def _filtered(chosen: ModelSelect, filters: MovieFilters) -> ModelSelect:
    if filters.status is not None:
        chosen = chosen.where(Movie.status == filters.status)
    if filters.list is not None:
        chosen = chosen.where(CustomList.id == filters.list)
    for word in fold((filters.q or "").replace("\0", " ")).split():
        chosen = chosen.where(Title.search_text.contains(word) | (Title.imdb_id == word))
    return chosen


def _ordered(chosen: ModelSelect, sort: str) -> ModelSelect:
    """The latest and the best first; what has no value for it last."""
    orders = {
        "added": [Movie.date_added.desc()],
        "modified": [Movie.last_modified.desc()],
        "watched": [Desc(_of_latest_watch(Watch.date_watched), nulls="LAST")],
        "my_rating": [Desc(_of_latest_watch(Watch.my_rating), nulls="LAST")],
        "imdb_rating": [Title.imdb_rating.desc(nulls="LAST")],
        "year": [Title.year.desc(nulls="LAST")],
        # The folded text begins with the title.
        "title": [Title.title.is_null(), Title.search_text],
    }
    return chosen.order_by(*orders[sort], Movie.title)


def _of_latest_watch(column) -> ModelSelect:
    return (
        Watch.select(column)
        .where(Watch.movie == Movie.id)
        .order_by(Watch.date_watched.desc())
        .limit(1)
    )  # fmt: skip


def _views(user_id: str, chosen: ModelSelect) -> list[MovieView]:
    with models.snapshot(db.obj):
        rows = list(db.execute(chosen))
        ids = [row[0] for row in rows]
        votes, watches = _votes(user_id, ids), _watches(user_id, ids)
    return [_view(user_id, row, votes.get(row[0], []), watches.get(row[0])) for row in rows]


def _view(user_id: str, row: tuple, votes: list[tuple], watch: tuple | None) -> MovieView:
    _, imdb_id, tmdb_body, omdb_body, media_type, status, list_id, date_added, last_modified = row
    return MovieView(
        imdb_id, user_id, _tmdb_data(tmdb_body, imdb_id), _omdb_data(omdb_body), media_type, status, list_id,
        date_added, last_modified,
        [RecommendationView(vote_id, imdb_id, user_id, person_id, name, name, date, bool(is_up))
         for vote_id, person_id, name, date, is_up in votes],
        None if watch is None else WatchView(imdb_id, user_id, *watch),
    )  # fmt: skip


def _tmdb_data(body: str | None, imdb_id: str) -> TmdbData | None:
    return None if body is None else described.tmdb_data(msgspec.json.decode(body), imdb_id)


def _omdb_data(body: str | None) -> OmdbData | None:
    return None if body is None else described.omdb_data(msgspec.json.decode(body))


def _votes(user_id: str, ids: list[int]) -> dict[int, list[tuple]]:
    """Of each film, oldest first: id, person's id and name, date, up or not."""
    found: dict[int, list[tuple]] = {}
    rows = (
        Recommendation.select(Recommendation.movie, Recommendation.id, Person.id, Person.name,
                              Recommendation.date_recommended, Recommendation.vote_type)
        .join(Person)
        .where(Recommendation.movie.in_(ids) if len(ids) <= FEW else Person.user == user_id)
        .order_by(Recommendation.date_recommended, Recommendation.id)
    )  # fmt: skip
    for movie_id, *vote in db.execute(rows):
        found.setdefault(movie_id, []).append(tuple(vote))
    return found


def _watches(user_id: str, ids: list[int]) -> dict[int, tuple]:
    """The latest of each film: ordered by date, the last one stays in the dict."""
    rows = (
        Watch.select(Watch.movie, Watch.date_watched, Watch.my_rating)
        .join(Movie)
        .where(Watch.movie.in_(ids) if len(ids) <= FEW else Movie.user == user_id)
        .order_by(Watch.date_watched)
    )
    return {movie_id: tuple(watch) for movie_id, *watch in db.execute(rows)}
