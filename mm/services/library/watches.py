"""Which watch of a film counts: its latest one."""

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
