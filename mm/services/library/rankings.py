"""A user's own order of the films they watched: the liked ones, and apart
from them the others."""

import contextlib
from collections import Counter
from typing import NamedTuple

from peewee import JOIN, Desc, fn

from mm.database import db, snapshot
from mm.errors import NotFoundError, UserError
from mm.models import Movie, Ranking, Title, Watch
from mm.schemas import RankingView, UnrankedView
from mm.services import ranking_order
from mm.services.enrichment import mapping
from mm.services.library import movies, watches
from mm.services.library.changes import write
from mm.services.ranking_order import Ranked

# Where the server knows no title, as the user's file or the user named it.
TITLE = (
    fn.COALESCE(Title.title, Movie.hint_title),
    Title.poster_path,
    fn.COALESCE(Title.year, Movie.hint_year),
)


class Summary(NamedTuple):
    """A title as the clients show it in a ranking: always with a title,
    and the year as text."""

    title: str
    poster_path: str | None
    year: str | None


def listing(user_id: str) -> list[RankingView]:
    """Liked films first, then the others, each group by position."""
    with snapshot(db.obj):
        order = ranking_order.read(db.obj, user_id)
        rows = (
            Movie.select(Movie.title, *TITLE)
            .join(Title)
            .switch(Movie)
            .join(Ranking)
            .where(Movie.user == user_id)
        )
        summaries = {imdb_id: _summary(imdb_id, *title) for imdb_id, *title in db.execute(rows)}
    sizes = Counter(film.liked for film in order)
    return [_view(film, sizes[film.liked], summaries[film.imdb_id]) for film in order]


def unranked(user_id: str) -> list[UnrankedView]:
    """The watched films that are not ranked, the last watched first."""
    watched_at = watches.of_latest(Watch.date_watched)
    rows = (
        Movie.select(Movie.title, *TITLE)
        .join(Title)
        .switch(Movie)
        .join(Ranking, JOIN.LEFT_OUTER)
        .where((Movie.user == user_id) & (Movie.status == "watched") & Ranking.movie.is_null())
        .order_by(Desc(watched_at, nulls="LAST"), Movie.title)
    )
    return [
        UnrankedView(imdb_id, *_summary(imdb_id, *title)) for imdb_id, *title in db.execute(rows)
    ]


def insert(
    user_id: str,
    imdb_id: str,
    position: int,
    liked: bool,
    at: float | None = None,
) -> RankingView:
    """Rank a watched film; those from its position on move down by one.
    `position` counts from 1 within the group; past its end means last, and
    below 1 means first.

    Raises NotFoundError, or UserError for a film that is not watched or
    is ranked already.
    """
    with write(user_id, at) as change:
        movie = movies.find(user_id, imdb_id)
        if movie.status != "watched":
            raise UserError("Only watched movies can be ranked")
        if Ranking.select().where(Ranking.movie == movie.id).exists():
            raise UserError("Movie is already ranked")
        of_user = Movie.select(Movie.id).where(Movie.user == user_id)
        in_group = Ranking.movie.in_(of_user) & (Ranking.liked == liked)
        group = Ranking.select(Ranking.position).where(in_group).order_by(Ranking.position)
        size = group.count()
        position = max(1, min(position, size + 1))
        # The stored positions have holes, see `ranking_order`: take that of the
        # film which is at this position now, or the one after the last.
        stored = group.offset(position - 1).limit(1).scalar()
        if stored is None:
            stored = (group.order_by(Ranking.position.desc()).limit(1).scalar() or 0) + 1
        else:
            from_here_on = in_group & (Ranking.position >= stored)
            Ranking.update(position=Ranking.position + 1).where(from_here_on).execute()
        Ranking.create(movie=movie, liked=liked, position=stored, ranked_at=change.at)
        title = Movie.select(*TITLE).join(Title).where(Movie.id == movie.id).tuples().get()
        summary = _summary(movie.imdb_id, *title)
        return _view(Ranked(movie.imdb_id, liked, position, change.at), size + 1, summary)


def remove(user_id: str, imdb_id: str, at: float | None = None) -> None:
    """The film stays watched. Raises NotFoundError where it is not ranked."""
    with write(user_id, at):
        with contextlib.suppress(NotFoundError):
            movie = movies.find(user_id, imdb_id)
            if Ranking.delete().where(Ranking.movie == movie.id).execute():
                return
        raise NotFoundError("Ranking not found")


def _summary(imdb_id: str, title: str | None, poster_path: str | None, year: int | None) -> Summary:
    poster = mapping.poster_url(poster_path)
    return Summary(title or imdb_id, poster, None if year is None else str(year))


def _view(film: Ranked, group_size: int, summary: Summary) -> RankingView:
    """The score goes down in even steps, from 10 for liked films and
    from 5 for the others."""
    above = (film.position - 1) / group_size
    score = round(10 - above * 5 if film.liked else 5 - above * 4, 1)
    return RankingView(film.imdb_id, film.position, score, film.liked, film.ranked_at, *summary)
