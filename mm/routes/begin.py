"""What an administrator decides right after the first account was created: keys, backups, then the
catalogue. Then the first film."""

from flask import Blueprint, Response, request, url_for

from mm import auth, htmx, tasks
from mm.errors import UserError
from mm.routes import admin_catalogue, catalogue_contexts, key_forms, setting_fields
from mm.routes.forms import problems_of
from mm.routes.schedule_contexts import time_context, time_words
from mm.services.catalogue import updates
from mm.services.enrichment.keys import KeyTest
from mm.services.server import backup_time, databases

bp = Blueprint("begin", __name__, url_prefix="/admin/begin")


@bp.get("/keys")
@auth.admin_required
def keys() -> Response:
    return _keys_page()


@bp.post("/keys")
@auth.admin_required
def save_keys() -> Response:
    try:
        key_forms.save_typed(*key_forms.KEYS.values())
    except UserError as error:
        return _keys_page(problems=problems_of(error, ""), status=error.status)
    return htmx.go(url_for(".schedule"))


@bp.post("/keys/<provider>/test")
@auth.admin_required
def test_key(provider: str) -> Response:
    result = key_forms.test_typed(provider)
    if htmx.wants_partial():
        return htmx.render("admin/_key_test.html", card=key_forms.card(provider, result))
    return _keys_page({provider: result})


@bp.get("/schedule")
@auth.admin_required
def schedule() -> Response:
    library, archives = backup_time.offered(auth.account())
    return _schedule_page(library, archives)


@bp.post("/schedule")
@auth.admin_required
def finish() -> Response:
    typed = setting_fields.typed(backup_time.VARIABLES)
    library, archives = "library" in request.form, "archives" in request.form
    try:
        changed, job = backup_time.begin(auth.account(), typed, library, archives)
    except UserError as error:
        return _schedule_page(library, archives, typed, problems_of(error, ""), error.status)
    if job:
        tasks.enqueue(job)
    auth.log_action("server.begun", names=", ".join(sorted(changed)), archives=archives)
    if library:
        htmx.toast(f"Your library is backed up every night at {time_words()}.")
    return htmx.go(url_for(".catalogue"))


@bp.get("/catalogue")
@auth.admin_required
def catalogue() -> Response:
    context = catalogue_contexts.choice_context(updates.choice())
    return htmx.render("begin/catalogue.html", **context)


@bp.post("/catalogue")
@auth.admin_required
def get_catalogue() -> Response:
    admin_catalogue.begin()
    return htmx.go(url_for("add.index"))


def _keys_page(
    results: dict[str, KeyTest] | None = None,
    problems: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    """With what was typed. `results`: of a key's test, by provider."""
    tested = results or {}
    return htmx.render(
        "begin/keys.html",
        status=status,
        cards=[key_forms.card(provider, tested.get(provider)) for provider in key_forms.KEYS],
        problems=problems or {},
    )


def _schedule_page(
    library: bool,
    archives: bool,
    typed: dict[str, str] | None = None,
    problems: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    return htmx.render(
        "begin/schedule.html",
        status=status,
        library=library,
        archives=archives,
        has_archives=databases.is_sqlite(),
        **time_context(typed, problems),
    )
