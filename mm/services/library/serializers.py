"""One user's films as the API shows them: five queries for each batch."""

from collections.abc import Iterable, Iterator
from statistics import mean

from peewee import JOIN, Asc, Desc, fn

from mm import models
from mm.database import db, literal, snapshot
from mm.models import (
    CustomList,
    ListFilm,
    Movie,
    Person,
    Recommendation,
    Setting,
    Title,
    User,
    Watch,
)
from mm.schemas import MovieFilters, MovieView, PersonStats, RecommendationView, WatchView
from mm.services import shown_titles
from mm.services.enrichment import title_json
from mm.services.library import browse, list_films, movies, watches

# Films read at once: an answer of any length takes the memory of one batch.
BATCH_SIZE = 2500
COLUMNS = (
    Movie.id,
    Movie.title,
    fn.COALESCE(Movie.media_type, Title.media_type),
    Movie.status,
    CustomList.id,
    Movie.date_added,
    Movie.last_modified,
    Movie.note,
)
# The providers' title, the one of the film's hint, and the year.
HINT = (Title.title, Movie.hint_title, fn.COALESCE(Title.year, Movie.hint_year))


def movie_view(user_id: str, imdb_id: str) -> MovieView:
    """Raises NotFoundError, also for what cannot be an imdb_id."""
    movie = movies.find(user_id, imdb_id)
    return _batch(user_id, [movie.id])[0]


def matching_ids(user_id: str, filters: MovieFilters) -> list[int]:
    """The ids of the films that the filters leave, in the order asked for: for
    `in_batches`. Of every status where none is asked for, deleted films included."""
    rows = Movie.select(Movie.id).join(Title).where(Movie.user == user_id)
    if filters.status is not None:
        rows = rows.where(Movie.status == filters.status)
    if filters.list is not None:
        rows = rows.join_from(Movie, ListFilm).join(CustomList)
        rows = rows.where((CustomList.id == filters.list) & (Movie.status != "deleted"))
    rows = browse.search(rows, (filters.q or "").replace("\0", " "))
    # The latest and the best first; the films without a value last.
    orders = {
        "added": [Movie.date_added.desc()],
        "modified": [Movie.last_modified.desc()],
        "watched": [Desc(watches.of_latest(Watch.date_watched), nulls="LAST")],
        "my_rating": [Desc(watches.rating_given(), nulls="LAST")],
        "imdb_rating": [Title.imdb_rating.desc(nulls="LAST")],
        "year": [Desc(shown_titles.YEAR, nulls="LAST")],
        "title": [Asc(shown_titles.FOLDED, nulls="LAST")],
    }
    rows = rows.order_by(*orders[filters.sort], Movie.title).limit(filters.limit)
    if filters.offset:
        rows = rows.offset(filters.offset)
    return [movie_id for (movie_id,) in db.execute(rows)]


def ids_on_list(list_pk: int) -> list[int]:
    """The ids of the films on a list in its own order, without deleted ones."""
    return [movie_id for (movie_id,) in db.execute(list_films.of_list(list_pk).select(Movie.id))]


def ids_voted_by(person: Person) -> list[int]:
    """The ids of the films with a vote of this person, up or down,
    that are not deleted."""
    rows = (
        Movie.select(Movie.id)
        .join(Recommendation)
        .where((Recommendation.person == person.id) & (Movie.status != "deleted"))
        .order_by(Movie.updated_at, Movie.id)
    )
    return [movie_id for (movie_id,) in db.execute(rows)]


def in_batches(user_id: str, ids: list[int]) -> Iterator[list[MovieView]]:
    """The films of these ids in their order, BATCH_SIZE at a time, each batch as of
    one moment; without those that were deleted since the ids were read."""
    for start in range(0, len(ids), BATCH_SIZE):
        yield _batch(user_id, ids[start : start + BATCH_SIZE])


def person_stats(person: Person) -> PersonStats:
    """How the films turned out that have a vote of this person, up or down, and are
    not deleted. `movies` is empty: they are those of `ids_voted_by`."""
    voted = Recommendation.select(Recommendation.movie).where(Recommendation.person == person.id)
    latest = watches.of_latest(Watch.id), watches.rating_given()
    rows = (
        Movie.select(Movie.status, *latest)
        .where(Movie.id.in_(voted) & (Movie.status != "deleted"))
        .tuples()
    )
    films = list(rows)
    ratings = [rating for _, _, rating in films if rating is not None]
    watched = sum(status == "watched" or watch_id is not None for status, watch_id, _ in films)
    return PersonStats(
        person.id,
        person.name,
        person.is_trusted,
        len(films),
        watched,
        round(mean(ratings), 1) if ratings else None,
        [],
        person.color,
        person.emoji,
        person.quick_key,
    )


def recommendation_view(vote: Recommendation) -> RecommendationView:
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


def watch_view(watch: Watch) -> WatchView:
    movie = watch.movie
    own = (watch.date_watched, watch.my_rating, watch.note, watch.day_known)
    return WatchView(movie.imdb_id, movie.user_id, *own)


def state(user_id: str) -> str:
    """A text that changes whenever the JSON of the user's films does: the user's
    own writes are counted, deletions included, a look-up gives its films a new
    updated_at, other addresses of posters give another version, and a restore of the
    whole server, which may bring an earlier count back, another epoch."""
    newest = Movie.select(fn.MAX(Movie.updated_at)).where(Movie.user == user_id)
    epoch = Setting.select(Setting.value).where(Setting.key == models.EPOCH)
    row = User.select(User.library_version, newest, epoch).where(User.id == user_id).tuples().get()
    return "-".join(map(str, (user_id, title_json.version(), *row)))


def _batch(user_id: str, ids: list[int]) -> list[MovieView]:
    with snapshot(db.obj):
        rows = (
            title_json.join_current(
                Movie.select(*COLUMNS, *HINT, *title_json.columns()).join(Title)
            )
            .join_from(Movie, CustomList, JOIN.LEFT_OUTER)
            .where((Movie.user == user_id) & Movie.id.in_(literal(ids)))
        )
        by_id = {movie_id: row for movie_id, *row in db.execute(rows)}
        if not by_id:
            return []
        imdb_ids = {movie_id: imdb_id for movie_id, (imdb_id, *_) in by_id.items()}
        votes = _votes(user_id, imdb_ids)
        latest, list_ids = _latest_watches(by_id), _list_ids(by_id)
    views = []
    for movie_id in ids:
        if movie_id not in by_id:
            continue
        imdb_id, media_type, status, list_id, added, modified, note, *titles = by_id[movie_id]
        title, hint, year, *texts = titles
        tmdb_data, omdb_data = title_json.from_row(imdb_id, *texts)
        if hint and title is None:
            tmdb_data = title_json.with_hint(tmdb_data, imdb_id, media_type, hint, year)
        watch = latest.get(movie_id)
        views.append(
            MovieView(
                imdb_id,
                user_id,
                tmdb_data,  # type: ignore[arg-type]
                omdb_data,  # type: ignore[arg-type]
                media_type,
                status,
                list_id,
                added,
                modified,
                votes[movie_id],
                None if watch is None else WatchView(imdb_id, user_id, *watch),
                list_ids.get(movie_id, []),
                note,
            )
        )
    return views


def _latest_watches(movie_ids: Iterable[int]) -> dict[int, tuple]:
    """{film's id: (date_watched, my_rating, note, day_known)}, without those never watched."""
    columns = (Watch.movie, Watch.date_watched, Watch.my_rating, Watch.note, Watch.day_known)
    dated = (
        Watch.select(*columns)
        .where(Watch.movie.in_(literal(movie_ids)))
        .order_by(Watch.date_watched)
    )
    # Ordered by date, so that the last one stays in the dict.
    return {movie_id: (*watch, bool(known)) for movie_id, *watch, known in db.execute(dated)}


def _list_ids(movie_ids: Iterable[int]) -> dict[int, list[str]]:
    """{film's id: the lists it is on, by id}, without those on none. Not in the lists' order: films
    are not read anew when lists are put in another order."""
    rows = (
        ListFilm.select(ListFilm.movie, CustomList.id)
        .join(CustomList)
        .where(ListFilm.movie.in_(literal(movie_ids)))
        .order_by(CustomList.id)
    )
    list_ids: dict[int, list[str]] = {}
    for movie_id, list_id in db.execute(rows):
        list_ids.setdefault(movie_id, []).append(list_id)
    return list_ids


def _votes(user_id: str, imdb_ids: dict[int, str]) -> dict[int, list[RecommendationView]]:
    """{film's id: its votes, oldest first} of the films {id: imdb_id}."""
    rows = (
        Recommendation.select(
            Recommendation.movie,
            Recommendation.id,
            Recommendation.person,
            Recommendation.date_recommended,
            Recommendation.vote_type,
        )
        .where(Recommendation.movie.in_(literal(imdb_ids)))
        .order_by(Recommendation.date_recommended, Recommendation.id)
    )
    found = list(db.execute(rows))
    # Each name is read once: joined, it would come with every vote of the person.
    voters = {person_id for _, _, person_id, *_ in found}
    people = Person.select(Person.id, Person.name).where(Person.id.in_(literal(voters)))
    names = dict(db.execute(people)) if voters else {}
    votes: dict[int, list[RecommendationView]] = {movie_id: [] for movie_id in imdb_ids}
    for movie_id, vote_id, person_id, date, is_up in found:
        imdb_id, name = imdb_ids[movie_id], names[person_id]
        votes[movie_id].append(
            RecommendationView(vote_id, imdb_id, user_id, person_id, name, name, date, bool(is_up))
        )
    return votes
