"""One user's films as the API shows them: four queries for each piece."""

from collections.abc import Iterable, Iterator
from statistics import mean

from peewee import JOIN, SQL, Desc, ModelSelect, fn

from mm.database import db, snapshot
from mm.models import CustomList, Movie, Person, Recommendation, Title, User, Watch
from mm.schemas import MovieFilters, MovieView, PersonStats, RecommendationView, WatchView
from mm.services.enrichment import title_json
from mm.services.library import movies
from mm.services.library.browse import search_words

# Films read at once: an answer of any length takes the memory of one piece.
PIECE = 2500
COLUMNS = (
    Movie.id,
    Movie.title,
    fn.COALESCE(Movie.media_type, Title.media_type),
    Movie.status,
    CustomList.id,
    Movie.date_added,
    Movie.last_modified,
)


def one(user_id: str, imdb_id: str) -> MovieView:
    """Raises NotFoundError, also for what cannot be an imdb_id."""
    movie = movies.find(user_id, imdb_id)
    return _piece(user_id, [movie.id])[0]


def chosen(user_id: str, filters: MovieFilters) -> list[int]:
    """The keys of the films that the filters leave, in the order asked for: for `in_pieces`. Of
    every status where none is asked for, the deleted ones included."""
    mine = Movie.select(Movie.id).join(Title).where(Movie.user == user_id)
    rows = _ordered(_filtered(mine, filters), filters.sort).limit(filters.limit)
    if filters.offset:
        rows = rows.offset(filters.offset)
    return [key for (key,) in db.execute(rows)]


def voted_by(person: Person) -> list[int]:
    """The keys of the films with a vote of this person, up or down, that are not deleted."""
    rows = (
        Movie.select(Movie.id)
        .join(Recommendation)
        .where((Recommendation.person == person.id) & (Movie.status != "deleted"))
        .order_by(Movie.updated_at, Movie.id)
    )
    return [key for (key,) in db.execute(rows)]


def in_pieces(user_id: str, keys: list[int]) -> Iterator[list[MovieView]]:
    """The films of these keys in their order, PIECE at a time, each piece as of one moment; without
    those that were deleted since the keys were read."""
    for start in range(0, len(keys), PIECE):
        yield _piece(user_id, keys[start : start + PIECE])


def stats(person: Person) -> PersonStats:
    """How the films that have a vote of this person, up or down, turned out; the deleted ones left
    out. `movies` is empty: they are those of `voted_by`."""
    voted = Recommendation.select(Recommendation.movie).where(Recommendation.person == person.id)
    rows = (
        Movie.select(Movie.status, _of_latest_watch(Watch.id), _of_latest_watch(Watch.my_rating))
        .where(Movie.id.in_(voted) & (Movie.status != "deleted"))
        .tuples()
    )
    found = list(rows)
    ratings = [rating for _, _, rating in found if rating is not None]
    watched = sum(status == "watched" or watch is not None for status, watch, _ in found)
    average = round(mean(ratings), 1) if ratings else None
    return PersonStats(
        person.id,
        person.name,
        person.is_trusted,
        len(found),
        watched,
        average,
        [],
        person.color,
        person.emoji,
        person.quick_key,
    )


def vote_view(vote: Recommendation) -> RecommendationView:
    movie, person = vote.movie, vote.person
    return RecommendationView(
        vote.id,
        movie.imdb_id,
        movie.user_id,
        person.id,
        person.name,
        person.name,
        vote.date_recommended,
        vote.vote_type,
    )


def watch_view(seen: Watch) -> WatchView:
    return WatchView(seen.movie.imdb_id, seen.movie.user_id, seen.date_watched, seen.my_rating)


def state(user_id: str) -> str:
    """Another text whenever what the films' JSON shows has changed: the user's own writes are
    counted, deletions included, a look-up gives its films a new updated_at, and other addresses of
    posters another version."""
    newest = Movie.select(fn.MAX(Movie.updated_at)).where(Movie.user == user_id)
    row = User.select(User.library_version, newest).where(User.id == user_id).tuples().get()
    return "-".join(map(str, (user_id, title_json.version(), *row)))


def _filtered(chosen: ModelSelect, filters: MovieFilters) -> ModelSelect:
    if filters.status is not None:
        chosen = chosen.where(Movie.status == filters.status)
    if filters.list is not None:
        chosen = chosen.join_from(Movie, CustomList).where(CustomList.id == filters.list)
    for word in search_words((filters.q or "").replace("\0", " ")):
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
    )


def _piece(user_id: str, keys: list[int]) -> list[MovieView]:
    with snapshot(db.obj):
        rows = (
            title_json.joined(Movie.select(*COLUMNS, *title_json.columns()).join(Title))
            .join_from(Movie, CustomList, JOIN.LEFT_OUTER)
            .where((Movie.user == user_id) & Movie.id.in_(_listed(keys)))
        )
        found = {row[0]: row for row in db.execute(rows)}
        if not found:
            return []
        votes, watches = _votes(user_id, found), _watches(found)
    return [
        _view(user_id, found[key], votes[key], watches.get(key)) for key in keys if key in found
    ]


def _listed(keys: Iterable[int]) -> SQL:
    """Keys of the database's own as one list: as parameters, Peewee would take longer to put a
    thousand of them into a statement than the database takes to answer it."""
    return SQL(f"({','.join(map(str, keys))})")


def _view(
    user_id: str, row: tuple, votes: list[RecommendationView], watch: tuple | None
) -> MovieView:
    _, imdb_id, media_type, status, list_id, date_added, last_modified, *texts = row
    tmdb_data, omdb_data = title_json.raw(imdb_id, *texts)
    seen = None if watch is None else WatchView(imdb_id, user_id, *watch)
    return MovieView(
        imdb_id,
        user_id,
        tmdb_data,  # type: ignore[arg-type]
        omdb_data,  # type: ignore[arg-type]
        media_type,
        status,
        list_id,
        date_added,
        last_modified,
        votes,
        seen,
    )


def _votes(user_id: str, found: dict[int, tuple]) -> dict[int, list[RecommendationView]]:
    """Of each film, oldest first. `found`: {key: row}, a row's second value is the imdb_id."""
    rows = (
        Recommendation.select(
            Recommendation.movie,
            Recommendation.id,
            Recommendation.person,
            Recommendation.date_recommended,
            Recommendation.vote_type,
        )
        .where(Recommendation.movie.in_(_listed(found)))
        .order_by(Recommendation.date_recommended, Recommendation.id)
    )
    given = list(db.execute(rows))
    # A name once for each person: joined, it would come with each of their votes.
    named = Person.select(Person.id, Person.name)
    people = {row[2] for row in given}
    names = dict(db.execute(named.where(Person.id.in_(_listed(people))))) if people else {}
    votes: dict[int, list[RecommendationView]] = {key: [] for key in found}
    for key, vote_id, person_id, date, is_up in given:
        name = names[person_id]
        votes[key].append(
            RecommendationView(
                vote_id, found[key][1], user_id, person_id, name, name, date, bool(is_up)
            )
        )
    return votes


def _watches(keys: Iterable[int]) -> dict[int, tuple]:
    """The latest of each film: ordered by date, the last one stays in the dict."""
    rows = (
        Watch.select(Watch.movie, Watch.date_watched, Watch.my_rating)
        .where(Watch.movie.in_(_listed(keys)))
        .order_by(Watch.date_watched)
    )
    return {row[0]: row[1:] for row in db.execute(rows)}
