"""A user's own order of the films they watched: the liked ones, and apart from them the others."""

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
from mm.services.library import movies
from mm.services.library.changes import write
from mm.services.ranking_order import Ranked


class Shown(NamedTuple):
    """What a ranking shows of a title."""

    title: str
    poster_path: str | None
    year: str | None


def listing(user_id: str) -> list[RankingView]:
    """Liked films first, then the others, each group by position."""
    with snapshot(db.obj):
        order = ranking_order.read(db.obj, user_id)
        rows = (
            Movie.select(Movie.title, Title.title, Title.poster_path, Title.year)
            .join(Title)
            .switch(Movie)
            .join(Ranking)
            .where(Movie.user == user_id)
        )
        shown = {imdb_id: _shown(imdb_id, *about) for imdb_id, *about in db.execute(rows)}
    sizes = Counter(film.liked for film in order)
    return [_view(film, sizes[film.liked], shown[film.imdb_id]) for film in order]


def unranked(user_id: str) -> list[UnrankedView]:
    """The watched films that have no place yet, the last watched first."""
    watched_at = Watch.select(fn.MAX(Watch.date_watched)).where(Watch.movie == Movie.id)
    rows = (
        Movie.select(Movie.title, Title.title, Title.poster_path, Title.year)
        .join(Title)
        .switch(Movie)
        .join(Ranking, JOIN.LEFT_OUTER)
        .where((Movie.user == user_id) & (Movie.status == "watched") & Ranking.movie.is_null())
        .order_by(Desc(watched_at, nulls="LAST"), Movie.title)
    )
    return [UnrankedView(imdb_id, *_shown(imdb_id, *about)) for imdb_id, *about in db.execute(rows)]


def insert(
    user_id: str,
    imdb_id: str,
    position: int,
    liked: bool,
    at: float | None = None,
) -> RankingView:
    """Give a watched film a place; those from there on move down by one. `position` counts from 1
    within the group; past its end means last, and below 1 means first.

    Raises NotFoundError, or UserError for a film that is not watched or has a place already.
    """
    with write(user_id, at) as made:
        movie = movies.find(user_id, imdb_id)
        if movie.status != "watched":
            raise UserError("Only watched movies can be ranked")
        if Ranking.select().where(Ranking.movie == movie.id).exists():
            raise UserError("Movie is already ranked")
        before = _group(user_id, liked).count()
        place = max(1, min(position, before + 1))
        room = _make_room(user_id, liked, place)
        Ranking.create(movie=movie, liked=liked, position=room, ranked_at=made.at)
        title = movie.title
        shown = _shown(movie.imdb_id, title.title, title.poster_path, title.year)
        return _view(Ranked(movie.imdb_id, liked, place, made.at), before + 1, shown)


def remove(user_id: str, imdb_id: str, at: float | None = None) -> None:
    """The film stays watched. Raises NotFoundError where it has no place."""
    with write(user_id, at):
        with contextlib.suppress(NotFoundError):
            movie = movies.find(user_id, imdb_id)
            if Ranking.delete().where(Ranking.movie == movie.id).execute():
                return
        raise NotFoundError("Ranking not found")


def _group(user_id: str, liked: bool):
    return (
        Ranking.select(Ranking.position)
        .join(Movie)
        .where((Movie.user == user_id) & (Ranking.liked == liked))
        .order_by(Ranking.position)
    )


def _make_room(user_id: str, liked: bool, place: int) -> int:
    """The value of `position` with which a row comes `place`-th: see `ranking_order` on holes."""
    group = _group(user_id, liked)
    there = group.offset(place - 1).limit(1).scalar()
    if there is None:
        last = group.order_by(Ranking.position.desc()).limit(1).scalar()
        return (last or 0) + 1
    mine = Ranking.movie.in_(Movie.select(Movie.id).where(Movie.user == user_id))
    (
        Ranking.update(position=Ranking.position + 1)
        .where(mine & (Ranking.liked == liked) & (Ranking.position >= there))
        .execute()
    )
    return there


def _shown(imdb_id: str, title: str | None, poster_path: str | None, year: int | None) -> Shown:
    """Both existing clients want a title always and the year as text."""
    poster = mapping.poster(poster_path)
    return Shown(title or imdb_id, poster, None if year is None else str(year))


def _view(film: Ranked, group_size: int, shown: Shown) -> RankingView:
    score = _score(film.position, group_size, film.liked)
    return RankingView(film.imdb_id, film.position, score, film.liked, film.ranked_at, *shown)


def _score(position: int, group_size: int, liked: bool) -> float:
    """From 10 or 5 downwards in even steps, to one decimal."""
    passed = (position - 1) / group_size
    return round(10 - passed * 5 if liked else 5 - passed * 4, 1)
