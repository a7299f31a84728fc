"""One film: what it is, who recommended it, when it was watched, and where it stands."""

from flask import Blueprint, Response, request, url_for
from flask_login import current_user, login_required
from msgspec import UNSET, UnsetType

from mm import clock, config, htmx, tasks
from mm.errors import InvalidError
from mm.models import Watch
from mm.routes.contexts import sources_context, today
from mm.routes.filters import plural, status_label
from mm.schemas import Problem
from mm.services import validation
from mm.services.enrichment import pauses
from mm.services.enrichment.refresh import refresh_title
from mm.services.library import browse, film_details, lists, movies, people, undo
from mm.services.library.film_details import FilmDetails

# A rating below it asks what else was recommended by the same people.
DISAPPOINTING = 6

bp = Blueprint("movies", __name__, url_prefix="/movies/<imdb_id>")


@bp.get("")
@login_required
def show(imdb_id: str) -> Response:
    film = film_details.find(current_user.id, imdb_id)
    return htmx.render("movies/show.html", "movies/_movie.html", **_context(film))


@bp.post("/want")
@login_required
def want(imdb_id: str) -> Response:
    """The page of a film that was never looked up asks for its details to be fetched next."""
    film = film_details.find(current_user.id, imdb_id)
    if movies.prioritize(film.title):
        tasks.start_enrichment()
    return htmx.nothing(_home(film))


@bp.get("/about")
@login_required
def about(imdb_id: str) -> Response:
    """Asked for again by a film whose details are on their way."""
    film = film_details.find(current_user.id, imdb_id)
    context = {"film": film, "filling": _is_filling(film), **sources_context()}
    return htmx.fragment("movies/_about.html", _home(film), **context)


@bp.get("/card")
@login_required
def card(imdb_id: str) -> Response:
    """As the grid shows it, which may show a tab that the film has left. `waiting`: nothing while
    it lacks that."""
    query = browse.parse(request.args.to_dict(flat=False))
    found = browse.card(current_user.id, validation.imdb_id_or_404(imdb_id))
    if found and found.lacks and found.lacks == request.args.get("waiting"):
        return Response(status=204)
    home = url_for(".show", imdb_id=imdb_id)
    return htmx.fragment(
        "library/_card.html", home, card=found, query=query, part=True, **sources_context()
    )


@bp.post("/status")
@login_required
def set_status(imdb_id: str) -> Response:
    """`to`: a status, or `list:` and the list's id."""
    status, _, list_id = request.form.get("to", "").partition(":")
    if status == "list":
        status, name = "custom", lists.find(current_user.id, list_id).name
    else:
        name = status_label(status)
    with _undoable(imdb_id) as step:
        movies.set_status(current_user.id, imdb_id, status, list_id or None)
    htmx.toast("Moved to {name}.", undo=step.token, name=name)
    return _changed(imdb_id)


@bp.post("/watch")
@login_required
def watch(imdb_id: str) -> Response:
    """Only what the form sends is changed; a date that is still the same keeps its time of day."""
    film = film_details.find(current_user.id, imdb_id)
    again = "again" in request.form
    # The stars alone say that it was watched: once more, where it waits to be watched again. The
    # form with the date changes the watch that it shows.
    adds = again if again or "date_watched" in request.form else None
    shown = None if again else film.latest_watch
    note = _unless_untouched(request.form.get("note", UNSET), shown and shown.note)
    try:
        date, day_known = _day(shown)
        rating = _unless_untouched(_rating(), shown and shown.my_rating)
        with _undoable(imdb_id) as step:
            movies.watch(
                current_user.id, imdb_id, date, rating, adds, note=note, day_known=day_known
            )
    except InvalidError as problem:
        return _changed(imdb_id, "again" if again else "watch", problem)
    if again:
        words = "Logged another watch."
    else:
        words = f"Rated {rating:g}." if isinstance(rating, float) else "Saved."
    htmx.toast(words, undo=step.token)
    low = isinstance(rating, float) and rating < DISAPPOINTING
    others = film_details.more_by_recommenders(current_user.id, film) if low else None
    form = "stars" if "note" not in request.form else "again" if again else "watch"
    return _changed(imdb_id, form, others=others)


@bp.post("/unwatch")
@login_required
def unwatch(imdb_id: str) -> Response:
    with _undoable(imdb_id) as step:
        movies.unwatch(current_user.id, imdb_id, request.form.get("date_watched", type=float))
    htmx.toast("Watch removed.", undo=step.token)
    return _changed(imdb_id, "watch")


@bp.post("/note")
@login_required
def set_note(imdb_id: str) -> Response:
    try:
        with _undoable(imdb_id) as step:
            movie = movies.set_note(current_user.id, imdb_id, request.form.get("note"))
    except InvalidError as problem:
        return _changed(imdb_id, "note", problem)
    htmx.toast("Note saved." if movie.note else "Note removed.", undo=step.token)
    return _changed(imdb_id, "note")


@bp.post("/lists")
@login_required
def set_lists(imdb_id: str) -> Response:
    """`list`: the id of each list that the film is to be on. Its status changes where that was
    `custom` with a list that it leaves."""
    before = movies.find(current_user.id, imdb_id)
    with _undoable(imdb_id) as step:
        movie = movies.set_lists(current_user.id, imdb_id, request.form.getlist("list"))
    count = len(lists.of_film(movie))
    words = f"On {plural(count, 'list')} now." if count else "On no list now."
    name = movie.custom_list.name if movie.custom_list else status_label(movie.status)
    if (movie.status, movie.custom_list_pk) != (before.status, before.custom_list_pk):
        words += " Moved to {name}."
    htmx.toast(words, undo=step.token, name=name)
    return _changed(imdb_id)


@bp.post("/votes")
@login_required
def vote(imdb_id: str) -> Response:
    name, is_up = request.form.get("person", "").strip(), request.form.get("vote") != "down"
    try:
        validation.name(name, "person")
        with _undoable(imdb_id) as step:
            movies.find(current_user.id, imdb_id)
            movies.recommend(current_user.id, imdb_id, name, is_up)
    except InvalidError as problem:
        return _changed(imdb_id, "votes", problem)
    words = "{name} recommends this film." if is_up else "{name} says skip this film."
    htmx.toast(words, undo=step.token, name=name)
    return _changed(imdb_id)


@bp.post("/votes/<int:person_id>/delete")
@login_required
def remove_vote(imdb_id: str, person_id: int) -> Response:
    person = people.by_id(current_user.id, person_id)
    with _undoable(imdb_id) as step:
        movies.unrecommend(current_user.id, imdb_id, person_id)
    htmx.toast("Removed {name}’s recommendation.", undo=step.token, name=person.name)
    return _changed(imdb_id)


@bp.post("/refresh")
@login_required
def refresh(imdb_id: str) -> Response:
    film = film_details.find(current_user.id, imdb_id)
    updated = refresh_title(film.title.imdb_id, current_user.id)
    names = [pauses.NAMES[provider] for provider in pauses.PROVIDERS if getattr(updated, provider)]
    htmx.toast(f"Details updated from {' and '.join(names)}.")
    return _changed(imdb_id)


@bp.post("/delete")
@login_required
def delete(imdb_id: str) -> Response:
    film = film_details.find(current_user.id, imdb_id)
    with _undoable(imdb_id) as step:
        movies.delete(current_user.id, imdb_id)
    htmx.toast("{name} was deleted permanently.", undo=step.token, name=film.name)
    return htmx.go(url_for("library.index"))


def _undoable(imdb_id: str):
    return undo.step(current_user.id, [validation.imdb_id_or_404(imdb_id)])


def _changed(
    imdb_id: str,
    form: str = "",
    problem: InvalidError | None = None,
    others: list | None = None,
) -> Response:
    """The film as it is now; the grid and its counts hear of it. A `problem` stands at its field of
    this form, with what was typed. What was typed into other forms and not sent yet stays."""
    film = film_details.find(current_user.id, imdb_id)
    context = _context(film) | {"form": form}
    if problem is None:
        htmx.changed("film")
        return htmx.fragment("movies/_movie.html", _home(film), **context, others=others)
    return htmx.render(
        "movies/show.html",
        "movies/_movie.html",
        problem.status,
        **context,
        problem=problem.message,
        field=problem.errors[0].path if problem.errors else "",
        typed=request.form,
    )


def _context(film: FilmDetails) -> dict:
    return {
        "film": film,
        "lists": lists.listing(current_user.id),
        "on_lists": {row.id for row in lists.of_film(film.movie)},
        "people": people.by_last_use(current_user.id),
        "filling": _is_filling(film),
        **sources_context(),
        "today": today(),
    }


def _home(film: FilmDetails) -> str:
    return url_for(".show", imdb_id=film.title.imdb_id)


def _is_filling(film: FilmDetails) -> bool:
    return film.title.tmdb_state == "stub" and "tmdb" in pauses.askable()


def _day(shown: Watch | None) -> tuple[str | None, bool | None]:
    """The date to set and whether the day is known, None for what stays as it is. `shown`: the
    watch that the form changes; a date that is still the same keeps its time of day."""
    date = request.form.get("date_watched")
    if date is None:
        return None, None
    date = date.strip()
    # The form leaves a day that is not known empty: a date there was typed, and counts.
    was_typed = bool(date) and shown is not None and not shown.day_known
    if "day_unknown" in request.form and not was_typed:
        return None, False
    if not date:
        reason = "choose a date, or tick “I don’t know when”"
        raise InvalidError(f"date_watched: {reason}", [Problem("date_watched", reason)])
    if shown and date == clock.local(shown.date_watched, config.current.zone).date().isoformat():
        return None, True
    return date, True


def _unless_untouched(sent, shown):
    """A field that was empty and still is says nothing: there may be a watch of that day already,
    whose rating and note stay."""
    return UNSET if sent in (None, "") and not shown else sent


def _rating() -> float | UnsetType | None:
    """Not sent: as it is. Sent empty: none."""
    text = request.form.get("my_rating")
    if text is None:
        return UNSET
    try:
        return float(text.replace(",", ".")) if text.strip() else None
    except ValueError:
        reason = f"{text[:20]!r} is not a number from 1 to 10"
        raise InvalidError(f"my_rating: {reason}", [Problem("my_rating", reason)]) from None
