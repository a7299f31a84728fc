"""What a user does with films: each verb is one transaction over several tables.

`at` is when the user did it by a client's own clock, now where it is left out.
An `imdb_id` may be in upper case or have spaces around it. A voter is given by
id, or by a name, and a person is created for an unknown name. All raise
InvalidError for invalid values; the verbs that need a film in the library raise
NotFoundError without it.
"""

from collections.abc import Iterable, Sequence

from msgspec import UNSET, UnsetType
from peewee import Expression, OperationalError

from mm import log, models
from mm.database import db, waiting_at_most
from mm.errors import InvalidError, NotFoundError
from mm.maintenance import MaintenanceError
from mm.models import CustomList, Movie, Person, Ranking, Recommendation, Title, Watch
from mm.schemas import NAMES_MAX, Problem, Refreshed
from mm.services import shown_titles, validation
from mm.services.enrichment import offline_titles
from mm.services.enrichment import queue as enrichment_queue
from mm.services.enrichment.refresh import fill_from_cache, refresh_title
from mm.services.library import list_films, lists, people, watches
from mm.services.library.changes import (
    Write,
    add_tombstones,
    later,
    mark_lists_changed,
    mark_people_changed,
    mark_voters_changed,
    remove_tombstones,
    require_room,
    write,
)

# How long `prioritize` waits for other writers.
PRIORITIZE_SECONDS = 1


def find(user_id: str, imdb_id: str) -> Movie:
    """Raises NotFoundError, also for what cannot be an imdb_id."""
    movie = _get_or_none(user_id, validation.imdb_id_or_404(imdb_id))
    if movie is None:
        raise NotFoundError("Movie not found")
    return movie


def add(
    user_id: str,
    imdb_id: str,
    media_type: str | None = None,
    status: str | None = None,
    recommenders: Iterable[str | int] = (),
    custom_list_id: str | None = None,
    at: float | None = None,
) -> Movie:
    """A film that is in the library already gets the recommenders, NAMES_MAX at
    most, and the status where one is given; a deleted one comes back. Whoever voted
    on it before, up or down, keeps that vote."""
    persons = _usable(recommenders, "recommenders", "recommenders[{}]")
    with write(user_id, at) as change:
        movie = _get_or_create(change, imdb_id, media_type)
        if persons:
            _vote(change, movie, people.get_or_create(change, persons))
        if status is not None:
            custom_list = _list_for(movie, status, custom_list_id)
            _set_status(change, movie, validation.status(status), custom_list)
        return _touch(change, movie)


def set_status(
    user_id: str,
    imdb_id: str,
    status: str,
    custom_list_id: str | None = None,
    at: float | None = None,
) -> Movie:
    """`custom` needs a list, or keeps the one that the film has with it; with another
    list the film moves there. With every other status it stays on its lists."""
    with write(user_id, at) as change:
        movie = find(user_id, imdb_id)
        custom_list = _list_for(movie, status, custom_list_id)
        _set_status(change, movie, validation.status(status), custom_list)
        return _touch(change, movie)


def watch(
    user_id: str,
    imdb_id: str,
    date_watched: float | str | None = None,
    my_rating: float | UnsetType | None = UNSET,
    again: bool | None = None,
    at: float | None = None,
    note: str | UnsetType | None = UNSET,
    day_known: bool | None = None,
) -> Watch:
    """Change the latest watch, or add one where `again` is true. Where `again` is
    not given, a film of status watched has its latest watch changed and any other
    film gets a new one: marking it as watched once more must not overwrite the
    rating of years ago.

    What is not given stays as it is; a new watch is now, without rating and note, and
    its day is known. None clears a rating or a note; `day_known` is false for a watch
    that was some day, nobody knows when. A film that is not in the library is added.
    The film becomes watched, and stays on its lists.
    """
    imdb_id = validation.imdb_id_or_404(imdb_id)
    date = validation.moment(date_watched, "date_watched")
    values: dict[str, object] = {}
    if my_rating is not UNSET:
        values["my_rating"] = validation.rating(my_rating)
    if note is not UNSET:
        values["note"] = validation.typed_note(note)
    if day_known is not None or date is not None:
        # Whoever gives a day knows it.
        values["day_known"] = day_known is not False
    with write(user_id, at) as change:
        movie = _get_or_none(user_id, imdb_id) or _get_or_create(change, imdb_id, None)
        if again is None:
            again = movie.status != "watched"
        latest = None if again else watches.find(movie)
        if latest is None:
            watched = _put_watch(movie, change.at if date is None else date, values)
        elif date is None or date == latest.date_watched:
            watched = _put_values(latest, values)
        else:
            watched = _move_watch(latest, date, values)
        _set_status(change, movie, "watched", None)
        _touch(change, movie)
        return watched


def rate(user_id: str, imdb_id: str, my_rating: float | None, at: float | None = None) -> Movie:
    """Change the rating of the latest watch and nothing else. Raises NotFoundError
    where the film was never watched."""
    rating = validation.rating(my_rating)
    with write(user_id, at) as change:
        movie = find(user_id, imdb_id)
        latest = watches.find(movie)
        if latest is None:
            raise NotFoundError("Movie is not watched")
        _put_values(latest, {"my_rating": rating})
        return _touch(change, movie)


def set_note(user_id: str, imdb_id: str, note: str | None, at: float | None = None) -> Movie:
    """The user's own note on the film; None or a blank one removes it."""
    note = validation.typed_note(note)
    with write(user_id, at) as change:
        movie = find(user_id, imdb_id)
        movie.note = note
        movie.search_text = shown_titles.search_text(movie.hint_title, note)
        return _touch(change, movie)


def add_to_list(
    user_id: str,
    imdb_id: str,
    list_id: str,
    note: str | UnsetType | None = UNSET,
    at: float | None = None,
) -> Movie:
    """Put the film at the end of one more list, or leave it where it is on it. Its
    status stays, but one of status deleted comes back. `note`: the list's own on the
    film. Raises NotFoundError for an unknown film or list."""
    note = note if note is UNSET else validation.typed_note(note)
    with write(user_id, at) as change:
        movie = find(user_id, imdb_id)
        found = lists.find(user_id, list_id)
        if movie.status == "deleted":
            _restore(change, movie)
            _touch(change, movie)
        list_films.add(change, found.pk, [movie.id], note)
        return Movie.get_by_id(movie.id)


def remove_from_list(user_id: str, imdb_id: str, list_id: str, at: float | None = None) -> Movie:
    """Where its status was custom with this list, it gets that of its next list, or goes
    back to watched or to watch. Raises NotFoundError for an unknown film or list."""
    with write(user_id, at) as change:
        movie = find(user_id, imdb_id)
        list_films.remove(change, lists.find(user_id, list_id).pk, [movie.id])
        return Movie.get_by_id(movie.id)


def set_lists(
    user_id: str, imdb_id: str, list_ids: Iterable[str], at: float | None = None
) -> Movie:
    """Put the film on exactly these lists, with what `add_to_list` and `remove_from_list`
    do to its status. An id that is no list's any more is ignored."""
    with write(user_id, at) as change:
        movie = find(user_id, imdb_id)
        pks = lists.keys(user_id, list_ids)
        if movie.status == "deleted" and not list_films.ids_of_film(movie.id).issuperset(pks):
            _restore(change, movie)
            _touch(change, movie)
        list_films.set_lists(change, movie.id, pks)
        models.spread_updates(db.obj, user_id, change.updated_at)
        return Movie.get_by_id(movie.id)


def unwatch(
    user_id: str, imdb_id: str, date_watched: float | None = None, at: float | None = None
) -> Movie:
    """Remove the latest watch, or that of `date_watched`; after the last one the
    film is to be watched again. Raises NotFoundError where there is none to remove."""
    with write(user_id, at) as change:
        movie = find(user_id, imdb_id)
        removed = watches.find(movie, date_watched)
        if removed is not None:
            removed.delete_instance()
        elif movie.status != "watched" or date_watched is not None:
            raise NotFoundError("Movie is not watched")
        if movie.status == "watched" and watches.find(movie) is None:
            _set_status(change, movie, "toWatch", None)
        return _touch(change, movie)


def recommend(
    user_id: str,
    imdb_id: str,
    person: str | int,
    vote_type: bool | int | str | None = None,
    date_recommended: float | str | None = None,
    media_type: str | None = None,
    at: float | None = None,
) -> Recommendation:
    """Set the vote of a person: without a `vote_type` an existing vote stays as it
    is, and a new one is up. Adds the film where it is missing. Raises NotFoundError
    for an unknown id."""
    [vote] = recommend_many(user_id, imdb_id, [person], vote_type, date_recommended, media_type, at)
    return vote


def recommend_many(
    user_id: str,
    imdb_id: str,
    persons: Iterable[str | int],
    vote_type: bool | int | str | None = None,
    date_recommended: float | str | None = None,
    media_type: str | None = None,
    at: float | None = None,
) -> list[Recommendation]:
    """As `recommend`, of several people, NAMES_MAX at most: one vote for each of
    them, in the order given. A constant number of queries."""
    persons = _usable(persons, "people", "person_name")
    is_up = None if vote_type is None else validation.vote(vote_type)
    date = validation.moment(date_recommended, "date_recommended")
    with write(user_id, at) as change:
        movie = _get_or_create(change, imdb_id, media_type)
        votes = _vote(change, movie, people.get_or_create(change, persons), is_up, date)
        _touch(change, movie)
        return votes


def change_vote(
    user_id: str,
    imdb_id: str,
    person_id: int,
    vote_type: bool | int | str,
    date_recommended: float | str | None = None,
    at: float | None = None,
) -> Recommendation:
    """Change an existing vote and nothing else: a deleted film stays deleted.
    Raises NotFoundError."""
    is_up = validation.vote(vote_type)
    date = validation.moment(date_recommended, "date_recommended")
    with write(user_id, at) as change:
        movie = find(user_id, imdb_id)
        voter = people.by_id(user_id, person_id)
        if not Recommendation.select().where(_vote_of(movie, voter)).exists():
            raise NotFoundError("Recommendation not found")
        _touch(change, movie)
        return _vote(change, movie, [voter], is_up, date)[0]


def unrecommend(user_id: str, imdb_id: str, person_id: int, at: float | None = None) -> Movie:
    """Remove a person's vote. Raises NotFoundError where there is none."""
    with write(user_id, at) as change:
        movie = find(user_id, imdb_id)
        voter = people.by_id(user_id, person_id)
        if not Recommendation.delete().where(_vote_of(movie, voter)).execute():
            raise NotFoundError("Recommendation not found")
        mark_people_changed(change, Person.id == voter.id)
        return _touch(change, movie)


def delete(user_id: str, imdb_id: str, at: float | None = None) -> None:
    """Remove the film with its votes and watches; the status `deleted` is
    the way to keep them."""
    with write(user_id, at) as change:
        movie = find(user_id, imdb_id)
        mark_lists_changed(change, [movie])
        mark_voters_changed(change, [movie])
        Movie.delete().where(Movie.id == movie.id).execute()
        add_tombstones(change, "movie", movie.imdb_id)


def refresh(user_id: str, imdb_id: str) -> Refreshed:
    """Look a film of the library up at TMDB and OMDb now. Raises ProviderError or UnavailableError
    when neither has it."""
    movie = find(user_id, imdb_id)
    updated = refresh_title(movie.imdb_id, user_id)
    return Refreshed(success=True, updated=updated, last_modified=movie.last_modified)


def prioritize(title: Title) -> bool:
    """Move a title that was never looked up to the head of the queue, because somebody
    looks at it. Returns whether it was moved: while the database is busy it is not,
    and its turn comes anyway. The page is shown, also while the whole server is restored."""
    if title.tmdb_state != "stub":
        return False
    try:
        with waiting_at_most(db.obj, PRIORITIZE_SECONDS), db.atomic():
            enrichment_queue.prioritize(title.imdb_id)
    except (OperationalError, MaintenanceError) as error:
        log.warning("title.not_moved_up", reason=str(error))
        return False
    return True


# The functions below run inside the transaction of a verb.


def _get_or_none(user_id: str, imdb_id: str) -> Movie | None:
    return Movie.get_or_none((Movie.user == user_id) & (Movie.title == imdb_id))


def _get_or_create(change: Write, imdb_id: str, media_type: str | None) -> Movie:
    """A film of status deleted comes back. The title goes to the front of the
    queue."""
    imdb_id = validation.imdb_id(imdb_id)
    media_type = validation.trimmed_text(media_type, "media_type")
    models.ensure_titles(db.obj, [imdb_id])
    enrichment_queue.prioritize(imdb_id)
    # First, for the rating: what the cache has describes the film better.
    offline_titles.fill([imdb_id])
    if fill_from_cache(imdb_id):
        Movie.update(updated_at=change.updated_at).where(Movie.title == imdb_id).execute()
    movie = _get_or_none(change.user_id, imdb_id)
    if movie is None:
        require_room(change.user_id, Movie, "films")
        remove_tombstones(change, "movie", imdb_id)
        return Movie.create(
            user=change.user_id,
            title=imdb_id,
            media_type=media_type,
            date_added=change.at,
            last_modified=change.at,
            updated_at=change.updated_at,
        )
    if movie.status == "deleted":
        _restore(change, movie)
    return movie


def _restore(change: Write, movie: Movie) -> None:
    """Bring back a film of status deleted."""
    _set_status(change, movie, "watched" if watches.find(movie) else "toWatch", None)


def _list_for(movie: Movie, status: str, list_id: str | None) -> CustomList | None:
    if status != "custom":
        return None
    if list_id is not None:
        return lists.find(movie.user_id, list_id)
    if movie.custom_list_pk is None:
        reason = "is missing, and the status is custom"
        raise InvalidError(f"custom_list_id: {reason}", [Problem("custom_list_id", reason)])
    return movie.custom_list


def _set_status(change: Write, movie: Movie, status: str, custom_list: CustomList | None) -> None:
    if (status == "deleted") != (movie.status == "deleted"):
        mark_lists_changed(change, [movie])
        mark_voters_changed(change, [movie])
    if custom_list is not None:
        list_films.make_custom(change, custom_list.pk, [movie.id])
    elif status != "watched":
        Ranking.delete().where(Ranking.movie == movie.id).execute()
    movie.status, movie.custom_list = status, custom_list


def _touch(change: Write, movie: Movie) -> Movie:
    """Save the film with the time stamps of a change."""
    movie.last_modified, movie.updated_at = later(change.at, movie), change.updated_at
    movie.save()
    return movie


def _put_watch(movie: Movie, date: float, values: dict) -> Watch:
    return _put_values(watches.find(movie, date) or Watch(movie=movie, date_watched=date), values)


def _move_watch(watched: Watch, date: float, values: dict) -> Watch:
    """Another watch may have that date: the two become one, which keeps a rating and a
    note where either has one."""
    watched.delete_instance()
    own = {"my_rating": watched.my_rating, "note": watched.note}
    kept = {name: value for name, value in own.items() if value is not None}
    return _put_watch(watched.movie, date, kept | values)


def _put_values(watched: Watch, values: dict) -> Watch:
    for name, value in values.items():
        setattr(watched, name, value)
    watched.save()
    return watched


def _usable(persons: Iterable[str | int], field: str, path: str) -> list[str | int]:
    """The ids, and the names as they are stored. Raises InvalidError for more than
    NAMES_MAX of them, named `field`, and for a bad name; `path` is that name's,
    with its place at {}."""
    persons = list(persons)
    if len(persons) > NAMES_MAX:
        reason = f"names {len(persons):,} people; the limit is {NAMES_MAX:,} at once"
        raise InvalidError(f"{field}: {reason}", [Problem(field, reason)])
    return [
        person if isinstance(person, int) else validation.name(person, path.format(place))
        for place, person in enumerate(persons)
    ]


def _vote_of(movie: Movie, person: Person) -> Expression:
    return (Recommendation.movie == movie.id) & (Recommendation.person == person.id)


def _vote(
    change: Write,
    movie: Movie,
    persons: Sequence[Person],
    is_up: bool | None = None,
    date: float | None = None,
) -> list[Recommendation]:
    """Set the vote of each person once, as `recommend_many` does."""
    by_id = {person.id: person for person in persons}
    of_movie = Recommendation.movie == movie.id
    of_them = of_movie & Recommendation.person.in_(list(by_id))
    voted = {vote.person_id for vote in Recommendation.select().where(of_them)}
    given = {"vote_type": is_up, "date_recommended": date}
    given = {field: value for field, value in given.items() if value is not None}
    if voted and given:
        Recommendation.update(**given).where(of_them).execute()
    if new := [person_id for person_id in by_id if person_id not in voted]:
        count, most = Recommendation.select().where(of_movie).count(), validation.VOTES_MAX
        if count + len(new) > most:
            raise InvalidError(f"A film can have {most:,} recommendations; this one has {count:,}.")
        values = {"movie": movie.id, "date_recommended": change.at, **given}
        rows = [{**values, "person": person_id} for person_id in new]
        Recommendation.insert_many(rows).execute()
        mark_people_changed(change, Person.id.in_(new))
    votes = {vote.person_id: vote for vote in Recommendation.select().where(of_them)}
    for person_id, vote in votes.items():
        vote.movie, vote.person = movie, by_id[person_id]
    return [votes[person_id] for person_id in by_id]
