"""Server, Limits: how much room backups may take, and what new accounts begin with."""

from flask import Blueprint, Response, request, url_for

from mm import auth, config, htmx
from mm.errors import UserError
from mm.routes import setting_fields
from mm.routes.forms import problems_of
from mm.services import settings

VARIABLES = ("MANUAL_BACKUPS_MAX", "MANUAL_BACKUPS_MB", "MM_ARCHIVE_MAX", "BACKUP_BY_DEFAULT")

bp = Blueprint("admin_limits", __name__, url_prefix="/admin/limits")


@bp.get("")
@auth.admin_required
def index() -> Response:
    return _page()


@bp.post("")
@auth.admin_required
def save() -> Response:
    typed = setting_fields.typed(VARIABLES)
    # A box that is not ticked is not sent.
    is_ticked = config.VARIABLES["BACKUP_BY_DEFAULT"] in request.form
    typed["BACKUP_BY_DEFAULT"] = "1" if is_ticked else "0"
    try:
        changed = settings.save(typed)
    except UserError as error:
        return _page(typed, problems_of(error, ""), error.status)
    if changed:
        auth.log_action("settings.changed", names=", ".join(sorted(changed)))
    htmx.toast("Saved. It takes effect at once." if changed else "Nothing has changed.")
    return htmx.go(url_for(".index"))


def _page(
    typed: dict[str, str] | None = None,
    problems: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    return htmx.render(
        "admin/limits.html",
        status=status,
        fields=setting_fields.of(VARIABLES, typed),
        problems=problems or setting_fields.fault(),
    )
