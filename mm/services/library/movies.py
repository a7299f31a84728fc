"""What a user does with films: each verb is one transaction over several tables.

`at` is when the user did it by a client's own clock; left out it is now. An `imdb_id` may be in
upper case or have spaces around it. All raise InvalidError for values that cannot be used; those that
need a film in the library raise NotFoundError without it.
"""

from collections.abc import Iterable, Sequence

from msgspec import UNSET, UnsetType
from peewee import Expression, OperationalError

from mm import clock, log, models
from mm.database import db, waiting_at_most
from mm.errors import InvalidError, NotFoundError
from mm.models import CustomList, Movie, Person, Ranking, Recommendation, Title, Watch
from mm.schemas import NAMES_MAX, Problem
from mm.services import validation
from mm.services.enrichment import lookups
from mm.services.library import lists, people
from mm.services.library.changes import Write, bury, later, require_room, unbury, write

# How long `want` waits for other writers.
WANT_SECONDS = 1


def find(user_id: str, imdb_id: str) -> Movie:
    """Raises NotFoundError, also for what cannot be an imdb_id."""
    movie = _mine(user_id, validation.imdb_id_or_404(imdb_id))
    if movie is None:
        raise NotFoundError("Movie not found")
    return movie


def add(
    user_id: str,
    imdb_id: str,
    media_type: str | None = None,
    status: str | None = None,
    recommenders: Iterable[str] = (),
    custom_list_id: str | None = None,
    at: float | None = None,
) -> Movie:
    """A film that is there gets the recommenders, NAMES_MAX at most, and, where given, the status;
    a deleted one comes back. Whoever voted on it before, up or down, keeps that vote."""
    recommenders = list(recommenders)
    _refuse_too_many("recommenders", len(recommenders))
    names = [
        validation.name(name, f"recommenders[{place}]") for place, name in enumerate(recommenders)
    ]
    with write(user_id, at) as made:
        movie = _obtain(made, imdb_id, media_type)
        if names:
            _vote(made, movie, list(people.obtain(made, names).values()))
        if status is not None:
            _set_status(
                made, movie, validation.status(status), _list_for(movie, status, custom_list_id)
            )
        return _touch(made, movie)


def set_status(
    user_id: str,
    imdb_id: str,
    status: str,
    custom_list_id: str | None = None,
    at: float | None = None,
) -> Movie:
    """`custom` needs a list, or the one that the film is on; every other status takes it off its
    list."""
    with write(user_id, at) as made:
        movie = find(user_id, imdb_id)
        _set_status(
            made, movie, validation.status(status), _list_for(movie, status, custom_list_id)
        )
        return _touch(made, movie)


def watch(
    user_id: str,
    imdb_id: str,
    date_watched: float | str | None = None,
    my_rating: float | UnsetType | None = UNSET,
    again: bool | None = None,
    at: float | None = None,
) -> Watch:
    """Change the latest watch, or with `again` add one. Where `again` is not given, the latest
    watch of a film that is watched is changed, and any other film gets one more: whoever marks it
    as watched has seen it once more, and must not lose the rating of years ago.

    Left out, the values of a watch stay, or are now and not rated; None as `my_rating` clears it.
    The film is added where it is missing, becomes watched, and is on no list.
    """
    imdb_id = validation.imdb_id_or_404(imdb_id)
    moment = validation.moment(date_watched, "date_watched")
    rating = my_rating if my_rating is UNSET else validation.rating(my_rating)
    with write(user_id, at) as made:
        movie = _mine(user_id, imdb_id) or _obtain(made, imdb_id, None)
        if again is None:
            again = movie.status != "watched"
        latest = None if again else latest_watch(movie)
        if latest is None:
            seen = _put_watch(movie, made.at if moment is None else moment, rating)
        else:
            seen = _change_watch(movie, latest, moment, rating)
        _set_status(made, movie, "watched", None)
        _touch(made, movie)
        return seen


def rate(user_id: str, imdb_id: str, my_rating: float | None, at: float | None = None) -> Movie:
    """Change the rating of the latest watch and nothing else. Raises NotFoundError where the film was
    never watched."""
    rating = validation.rating(my_rating)
    with write(user_id, at) as made:
        movie = find(user_id, imdb_id)
        seen = latest_watch(movie)
        if seen is None:
            raise NotFoundError("Movie is not watched")
        _rate(seen, rating)
        return _touch(made, movie)


def unwatch(
    user_id: str, imdb_id: str, date_watched: float | None = None, at: float | None = None
) -> Movie:
    """Take back the latest watch, or that of `date_watched`; after the last one the film is to be
    watched again. Raises NotFoundError where there is none to take back."""
    with write(user_id, at) as made:
        movie = find(user_id, imdb_id)
        seen = latest_watch(movie, date_watched)
        if seen is None and (movie.status != "watched" or date_watched is not None):
            raise NotFoundError("Movie is not watched")
        if seen is not None:
            seen.delete_instance()
        if movie.status == "watched" and latest_watch(movie) is None:
            _set_status(made, movie, "toWatch", None)
        return _touch(made, movie)


def recommend(
    user_id: str,
    imdb_id: str,
    person: str | int,
    vote_type: bool | int | str | None = None,
    date_recommended: float | str | None = None,
    media_type: str | None = None,
    at: float | None = None,
) -> Recommendation:
    """Set the vote of a person. Where not given, a vote that is there stays as it is, and a new one
    is up. `person`: a name, or an id as a number. Makes the film and a named person where missing;
    raises NotFoundError for an unknown id."""
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
    """As `recommend`, of several people in one transaction, NAMES_MAX at most; each of them once,
    in the order given. A constant number of queries."""
    persons = list(persons)
    _refuse_too_many("people", len(persons))
    is_up = None if vote_type is None else validation.vote(vote_type)
    moment = validation.moment(date_recommended, "date_recommended")
    who = [
        validation.name(person, "person_name") if isinstance(person, str) else person
        for person in persons
    ]
    with write(user_id, at) as made:
        movie = _obtain(made, imdb_id, media_type)
        known = people.with_ids(user_id, [person for person in who if isinstance(person, int)])
        named = people.obtain(made, [person for person in who if isinstance(person, str)])
        votes = _vote(made, movie, [(named | known)[person] for person in who], is_up, moment)
        _touch(made, movie)
        return votes


def change_vote(
    user_id: str,
    imdb_id: str,
    person_id: int,
    vote_type: bool | int | str,
    date_recommended: float | str | None = None,
    at: float | None = None,
) -> Recommendation:
    """Change a vote that is there and nothing else: a deleted film stays deleted. Raises NotFoundError."""
    is_up = validation.vote(vote_type)
    moment = validation.moment(date_recommended, "date_recommended")
    with write(user_id, at) as made:
        movie = find(user_id, imdb_id)
        voter = people.by_id(user_id, person_id)
        if not Recommendation.select().where(_vote_of(movie, voter)).exists():
            raise NotFoundError("Recommendation not found")
        _touch(made, movie)
        return _vote(made, movie, [voter], is_up, moment)[0]


def unrecommend(user_id: str, imdb_id: str, person: str | int, at: float | None = None) -> Movie:
    """`person`: a name or else an id, or an id as a number. Raises NotFoundError where there is no such
    vote."""
    with write(user_id, at) as made:
        movie = find(user_id, imdb_id)
        voter = (
            people.by_name_or_id(user_id, person)
            if isinstance(person, str)
            else people.by_id(user_id, person)
        )
        if not Recommendation.delete().where(_vote_of(movie, voter)).execute():
            raise NotFoundError("Recommendation not found")
        people.recount(made, Person.id == voter.id)
        return _touch(made, movie)


def delete(user_id: str, imdb_id: str, at: float | None = None) -> None:
    """Gone with its votes and watches; the status `deleted` is the way to keep them."""
    with write(user_id, at) as made:
        movie = find(user_id, imdb_id)
        people.recount(made, _voted_on(movie))
        Movie.delete().where(Movie.id == movie.id).execute()
        bury(made, "movie", movie.imdb_id)


def want(title: Title) -> bool:
    """Put a title that was never looked up at the head of the queue, because somebody looks at it;
    whether that was done. Not while the database is busy: the queue gets there all the same."""
    if title.tmdb_state != "stub":
        return False
    try:
        with waiting_at_most(db.obj, WANT_SECONDS), db.atomic():
            Title.update(wanted_at=clock.now()).where(Title.imdb_id == title.imdb_id).execute()
    except OperationalError as error:
        log.warning("title.not_moved_up", reason=str(error))
        return False
    return True


def latest_watch(movie: Movie, date_watched: float | None = None) -> Watch | None:
    """Or that of `date_watched`."""
    watches = Watch.select().where(Watch.movie == movie.id)
    if date_watched is not None:
        watches = watches.where(Watch.date_watched == date_watched)
    return watches.order_by(Watch.date_watched.desc()).first()


# The parts. All run inside the transaction of a verb.


def _mine(user_id: str, imdb_id: str) -> Movie | None:
    return Movie.get_or_none((Movie.user == user_id) & (Movie.title == imdb_id))


def _obtain(made: Write, imdb_id: str, media_type: str | None) -> Movie:
    """The film, new where there is none, and back where it was deleted. Its title goes to the front
    of the queue."""
    imdb_id = validation.imdb_id(imdb_id)
    media_type = validation.trimmed_text(media_type, "media_type")
    models.ensure_titles(db.obj, [imdb_id])
    Title.update(wanted_at=clock.now()).where(Title.imdb_id == imdb_id).execute()
    if lookups.fill_from_cache(imdb_id):
        Movie.update(updated_at=made.updated_at).where(Movie.title == imdb_id).execute()
    movie = _mine(made.user_id, imdb_id)
    if movie is None:
        require_room(made.user_id, Movie, "films")
        unbury(made, "movie", imdb_id)
        return Movie.create(
            user=made.user_id,
            title=imdb_id,
            media_type=media_type,
            date_added=made.at,
            last_modified=made.at,
            updated_at=made.updated_at,
        )
    if movie.status == "deleted":
        _set_status(made, movie, "watched" if latest_watch(movie) else "toWatch", None)
    return movie


def _list_for(movie: Movie, status: str, list_id: str | None) -> CustomList | None:
    if status != "custom":
        return None
    if list_id is not None:
        return lists.find(movie.user_id, list_id)
    if movie.custom_list_pk is None:
        reason = "is missing, and the status is custom"
        raise InvalidError(f"custom_list_id: {reason}", [Problem("custom_list_id", reason)])
    return movie.custom_list


def _set_status(made: Write, movie: Movie, status: str, custom_list: CustomList | None) -> None:
    if (status == "deleted") != (movie.status == "deleted"):
        people.recount(made, _voted_on(movie))
    if movie.status == "watched" and status != "watched":
        Ranking.delete().where(Ranking.movie == movie.id).execute()
    movie.status, movie.custom_list = status, custom_list


def _touch(made: Write, movie: Movie) -> Movie:
    movie.last_modified, movie.updated_at = later(made.at, movie), made.updated_at
    movie.save()
    return movie


def _vote_of(movie: Movie, person: Person) -> Expression:
    return (Recommendation.movie == movie.id) & (Recommendation.person == person.id)


def _voted_on(movie: Movie) -> Expression:
    return Person.id.in_(
        Recommendation.select(Recommendation.person).where(Recommendation.movie == movie.id)
    )


def _refuse_too_many(field: str, count: int) -> None:
    if count > NAMES_MAX:
        reason = f"names {count:,} people; {NAMES_MAX:,} at once is the most"
        raise InvalidError(f"{field}: {reason}", [Problem(field, reason)])


def _vote(
    made: Write,
    movie: Movie,
    persons: Sequence[Person],
    is_up: bool | None = None,
    moment: float | None = None,
) -> list[Recommendation]:
    """Their votes on the film, as `recommend_many` sets them."""
    by_id = {person.id: person for person in persons}
    theirs = (Recommendation.movie == movie.id) & Recommendation.person.in_(list(by_id))
    voted = Recommendation.select(Recommendation.person).where(theirs)
    before = {person_id for (person_id,) in voted.tuples()}
    changes = {"vote_type": is_up, "date_recommended": moment}
    changes = {field: value for field, value in changes.items() if value is not None}
    if before and changes:
        Recommendation.update(**changes).where(theirs).execute()
    if new := [person_id for person_id in by_id if person_id not in before]:
        _require_room_for_votes(movie, len(new))
        first = {"movie": movie.id, "date_recommended": made.at, **changes}
        Recommendation.insert_many([{**first, "person": person_id} for person_id in new]).execute()
        people.recount(made, Person.id.in_(new))
    votes = {vote.person_id: vote for vote in Recommendation.select().where(theirs)}
    for person_id, vote in votes.items():
        vote.movie, vote.person = movie, by_id[person_id]
    return [votes[person_id] for person_id in by_id]


def _require_room_for_votes(movie: Movie, more: int) -> None:
    there = Recommendation.select().where(Recommendation.movie == movie.id).count()
    most = validation.VOTES_MAX
    if there + more > most:
        raise InvalidError(f"A film takes {most:,} recommendations at most; it has {there:,}.")


def _change_watch(
    movie: Movie, seen: Watch, moment: float | None, rating: float | UnsetType | None
) -> Watch:
    if moment is None or moment == seen.date_watched:
        return _rate(seen, rating)
    # Another watch may have that date: the two become one, and keep a rating where one of them has
    # any.
    seen.delete_instance()
    if rating is UNSET and seen.my_rating is not None:
        rating = seen.my_rating
    return _put_watch(movie, moment, rating)


def _put_watch(movie: Movie, moment: float, rating: float | UnsetType | None) -> Watch:
    seen = latest_watch(movie, moment) or Watch(movie=movie, date_watched=moment)
    return _rate(seen, rating)


def _rate(seen: Watch, rating: float | UnsetType | None) -> Watch:
    if rating is not UNSET:
        seen.my_rating = rating
    seen.save()
    return seen
