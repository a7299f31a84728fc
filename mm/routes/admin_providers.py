"""Server, Providers: the keys of TMDB and OMDb, how fast they are asked, the language of titles."""

from flask import Blueprint, Response, abort, request, url_for

from mm import auth, config, htmx, tasks
from mm.errors import UserError
from mm.routes import catalogue_contexts, key_forms, setting_fields
from mm.routes.forms import problems_of
from mm.services.enrichment import language, pauses, queue
from mm.services.enrichment.keys import KeyTest

# The variables of each provider's form.
FORMS = {
    "tmdb": ("TMDB_API_KEY", "TMDB_PACE"),
    "omdb": ("OMDB_API_KEY", "OMDB_DAILY_LIMIT", "OMDB_PACE"),
}
LANGUAGE = "TMDB_LANGUAGE"
LANGUAGE_FIELD = config.VARIABLES[LANGUAGE]
# What stands on the page beside the keys.
OTHERS = ("TMDB_PACE", "OMDB_DAILY_LIMIT", "OMDB_PACE", LANGUAGE)

bp = Blueprint("admin_providers", __name__, url_prefix="/admin/providers")


@bp.get("")
@auth.admin_required
def index() -> Response:
    return _page()


@bp.post("/<provider>")
@auth.admin_required
def save(provider: str) -> Response:
    _require_known(provider)
    try:
        changed = key_forms.save_typed(*FORMS[provider])
    except UserError as error:
        return _page(problems=problems_of(error, ""), status=error.status)
    htmx.toast("Saved. It takes effect at once." if changed else "Nothing has changed.")
    return htmx.go(url_for(".index"))


@bp.post("/<provider>/test")
@auth.admin_required
def test(provider: str) -> Response:
    result = key_forms.test_typed(provider)
    if htmx.wants_partial():
        return htmx.render("admin/_key_test.html", card=key_forms.card(provider, result))
    return _page({provider: result})


@bp.post("/<provider>/try-again")
@auth.admin_required
def try_again(provider: str) -> Response:
    _require_known(provider)
    pauses.lift(provider)
    auth.log_action("provider.tried_again", provider=provider)
    tasks.start_enrichment()
    htmx.toast(f"{pauses.NAMES[provider]} is asked again.")
    return htmx.go(url_for(".index"))


@bp.post("/language")
@auth.admin_required
def save_language() -> Response:
    typed = request.form.get(LANGUAGE_FIELD, "")
    try:
        changed = language.change(typed, again="again" in request.form)
    except UserError as error:
        return _page(problems=problems_of(error, ""), status=error.status)
    if changed:
        auth.log_action("settings.changed", names=LANGUAGE)
        tasks.start_enrichment()
    htmx.toast("Saved. It takes effect at once." if changed else "Nothing has changed.")
    return htmx.go(url_for(".index"))


def _page(
    results: dict[str, KeyTest] | None = None,
    problems: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    """With what was typed. `results`: of a key's test, by provider."""
    results = results or {}
    return htmx.render(
        "admin/providers.html",
        status=status,
        cards=[key_forms.card(provider, results.get(provider)) for provider in pauses.PROVIDERS],
        fields=setting_fields.of(OTHERS, setting_fields.typed(OTHERS)),
        problems=problems or setting_fields.fault(),
        pauses=pauses.in_force(),
        calls=pauses.omdb_calls(),
        limit=config.current.omdb_daily_limit,
        filled=queue.filled(),
        languages=language.COMMON,
        again="again" in request.form or LANGUAGE_FIELD not in request.form,
        **catalogue_contexts.card_context(),
    )


def _require_known(provider: str) -> None:
    if provider not in FORMS:
        abort(404)
