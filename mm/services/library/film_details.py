"""One film with all that its own page shows: its title, list, watches and votes."""

from dataclasses import dataclass

from peewee import JOIN, fn

from mm.database import db, snapshot
from mm.errors import NotFoundError
from mm.models import CustomList, Movie, Person, Recommendation, Title, Watch
from mm.services import validation

# Not the providers' bodies, which are long.
TITLE = (
    Title.imdb_id,
    Title.tmdb_id,
    Title.media_type,
    Title.title,
    Title.original_title,
    Title.year,
    Title.runtime,
    Title.genres,
    Title.directors,
    Title.cast,
    Title.overview,
    Title.poster_path,
    Title.imdb_rating,
    Title.imdb_votes,
    Title.rotten_tomatoes,
    Title.metacritic,
    Title.tmdb_state,
    Title.tmdb_reason,
    Title.tmdb_retry_at,
    Title.tmdb_fetched_at,
    Title.omdb_state,
    Title.omdb_reason,
    Title.source,
)


@dataclass(frozen=True)
class FilmDetails:
    """`movie` with its title and list; watches with the latest first, votes
    with their persons."""

    movie: Movie
    watches: list[Watch]
    votes: list[Recommendation]

    @property
    def title(self) -> Title:
        return self.movie.title

    @property
    def shown_title(self) -> str | None:
        """The user's own while the server knows none, as in `shown_titles`."""
        return self.title.title or self.movie.hint_title

    @property
    def shown_year(self) -> int | None:
        return self.title.year or self.movie.hint_year

    @property
    def name(self) -> str:
        return self.shown_title or self.title.imdb_id

    @property
    def rating_given(self) -> float | None:
        """As `watches.rating_given`."""
        ratings = (watch.my_rating for watch in self.watches)
        return next((rating for rating in ratings if rating is not None), None)

    @property
    def latest_watch(self) -> Watch | None:
        return self.watches[0] if self.watches else None


def find(user_id: str, imdb_id: str) -> FilmDetails:
    """Three queries, of the same data whoever writes meanwhile. Raises NotFoundError."""
    with snapshot(db.obj):
        return _read(user_id, validation.imdb_id_or_404(imdb_id))


def _read(user_id: str, imdb_id: str) -> FilmDetails:
    movie = (
        Movie.select(Movie, CustomList, *TITLE)
        .join(Title)
        .switch(Movie)
        .join(CustomList, JOIN.LEFT_OUTER)
        .where((Movie.user == user_id) & (Movie.title == imdb_id))
        .first()
    )
    if movie is None:
        raise NotFoundError(
            "This film isn’t in your library. It may have been deleted in another tab."
        )
    watches = Watch.select().where(Watch.movie == movie.id).order_by(Watch.date_watched.desc())
    votes = (
        Recommendation.select(Recommendation, Person)
        .join(Person)
        .where(Recommendation.movie == movie.id)
        .order_by(
            Recommendation.vote_type.desc(), Recommendation.date_recommended, Recommendation.id
        )
    )
    return FilmDetails(movie, list(watches), list(votes))


def more_by_recommenders(user_id: str, film: FilmDetails) -> list[tuple[Person, int]]:
    """Who recommended this film, each with how many other films of theirs are still
    to be watched; without those who have none. One query."""
    people = [vote.person for vote in film.votes if vote.vote_type]
    rows = (
        Recommendation.select(Recommendation.person, fn.COUNT(Movie.id))
        .join(Movie)
        .where(
            Recommendation.person.in_([person.id for person in people])
            & Recommendation.vote_type
            & (Movie.user == user_id)
            & (Movie.status == "toWatch")
            & (Movie.id != film.movie.id)
        )
        .group_by(Recommendation.person)
    )
    counts = dict(db.execute(rows)) if people else {}
    return [(person, counts[person.id]) for person in people if person.id in counts]
