"""Which watch of a film counts: its latest one, and for the rating the latest that has one."""

from peewee import Field, ModelSelect

from mm.models import Movie, Watch


def find(movie: Movie, date_watched: float | None = None) -> Watch | None:
    """The latest watch, or that of a date: a film has at most one of each."""
    watches = Watch.select().where(Watch.movie == movie.id)
    if date_watched is not None:
        watches = watches.where(Watch.date_watched == date_watched)
    return watches.order_by(Watch.date_watched.desc()).first()


def of_latest(column: Field) -> ModelSelect:
    """This column of a film's latest watch, null without one: a subquery
    of a query of films."""
    return (
        Watch.select(column)
        .where(Watch.movie == Movie.id)
        .order_by(Watch.date_watched.desc())
        .limit(1)
    )


def of_last_rated(column: Field) -> ModelSelect:
    """As `of_latest`, of the latest watch that has a rating."""
    return of_latest(column).where(Watch.my_rating.is_null(False))


def rating_given() -> ModelSelect:
    """The film's rating: the one that was given last. Watching it again without a rating does not
    empty it. Null where there is none; a subquery of a query of films."""
    return of_last_rated(Watch.my_rating)
