"""One user's films as the library page lists them."""

from dataclasses import dataclass

from peewee import JOIN, fn

from mm.models import CustomList, Movie, Title, Watch

VISIBLE = ("toWatch", "watched", "custom")


@dataclass(frozen=True)
class Page:
    """`counts` by status, of the whole library; `total` of the films that were asked for; each film with its latest
    watch."""

    counts: dict[str, int]
    total: int
    films: list[tuple[Movie, Watch | None]]


def page(user_id: str, status: str | None, offset: int, limit: int) -> Page:
    """Films of one status, or of all but the deleted; the last added first."""
    counts = _counts(user_id)
    movies = list(_films(user_id, status).offset(offset).limit(limit))
    watches = _latest_watches([movie.id for movie in movies])
    total = sum(counts.get(shown, 0) for shown in ([status] if status else VISIBLE))
    return Page(counts, total, [(movie, watches.get(movie.id)) for movie in movies])


def _counts(user_id: str) -> dict[str, int]:
    rows = (
        Movie.select(Movie.status, fn.COUNT(Movie.id))
        .where(Movie.user == user_id)
        .group_by(Movie.status)
        .tuples()
    )  # fmt: skip
    return dict(rows)


def _films(user_id: str, status: str | None):
    """Without the providers' bodies, which are long."""
    title = (Title.imdb_id, Title.title, Title.year, Title.runtime, Title.genres, Title.directors, Title.imdb_rating,
             Title.tmdb_state, Title.tmdb_reason)  # fmt: skip
    return (
        Movie.select(Movie, CustomList.name, *title)
        .join(Title)
        .switch(Movie)
        .join(CustomList, JOIN.LEFT_OUTER)
        .where(Movie.user == user_id)
        .where(Movie.status == status if status else Movie.status.in_(VISIBLE))
        .order_by(Movie.date_added.desc(), Movie.title)
    )


def _latest_watches(movie_ids: list[int]) -> dict[int, Watch]:
    """Ordered by date, so that the last one of a film stays in the dict."""
    watches = Watch.select().where(Watch.movie.in_(movie_ids)).order_by(Watch.date_watched)
    return {watch.movie_id: watch for watch in watches}
