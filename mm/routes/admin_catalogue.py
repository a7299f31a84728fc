"""Server, Providers: IMDb's catalogue, fetched when an administrator asks for it."""

from flask import Blueprint, Response, request, url_for

from mm import auth, htmx, tasks
from mm.errors import ConflictError
from mm.routes import catalogue_contexts
from mm.services.catalogue import updates

bp = Blueprint("admin_catalogue", __name__, url_prefix="/admin/catalogue")


@bp.get("")
@auth.admin_required
def show() -> Response:
    """How far the update is; `admin/_catalogue.html` asks again by itself."""
    context = catalogue_contexts.card_context()
    return htmx.fragment("admin/_catalogue.html", _home(), **context)


@bp.get("/needs")
@auth.admin_required
def needs() -> Response:
    """What the ticked options need."""
    context = catalogue_contexts.needs_context(catalogue_contexts.typed())
    return htmx.fragment("admin/_catalogue_needs.html", _home(), **context)


@bp.post("/update")
@auth.admin_required
def update() -> Response:
    """The press of "Get the catalogue" is the consent, so its form sends the options too."""
    if "chosen" in request.form:
        _choose()
    _start("The catalogue is being fetched.")
    return htmx.go(_home())


@bp.post("/options")
@auth.admin_required
def options() -> Response:
    if updates.choice() is None:
        htmx.toast("The catalogue has been removed in the meantime.", "bad")
    elif not _choose():
        htmx.toast("Nothing has changed.")
    else:
        _start("Saved. A catalogue with these options is being fetched.")
    return htmx.go(_home())


@bp.get("/remove")
@auth.admin_required
def confirm_removal() -> Response:
    return htmx.render("admin/catalogue_remove.html", catalogue=updates.status())


@bp.post("/remove")
@auth.admin_required
def remove() -> Response:
    updates.remove()
    auth.log_action("catalogue.removed")
    htmx.toast("The catalogue was removed.")
    return htmx.go(_home())


def begin() -> None:
    """Fetch it for the first time, with the options of the form."""
    _choose()
    _start("The catalogue is being fetched. You can carry on in the meantime.")


def _choose() -> bool:
    """Whether that changes anything."""
    wanted, before = catalogue_contexts.typed(), updates.choice()
    options = {option: getattr(wanted, option) for option in catalogue_contexts.OPTIONS}
    if before and all(getattr(before, name) == value for name, value in options.items()):
        return False
    updates.choose(**options)
    auth.log_action("catalogue.chosen", **options)
    return True


def _start(message: str) -> None:
    try:
        job = updates.start()
    except ConflictError as error:
        htmx.toast(error.message, "bad")
    else:
        tasks.enqueue(job)
        htmx.toast(message)


def _home() -> str:
    return url_for("admin_providers.index", _anchor="catalogue")
