"""Server, Schedule: when the nightly backups are made."""

from flask import Blueprint, Response, url_for

from mm import auth, htmx
from mm.errors import UserError
from mm.routes import setting_fields
from mm.routes.forms import problems_of
from mm.routes.schedule_contexts import time_context, time_words
from mm.services import accounts
from mm.services.backup import schedule
from mm.services.server import archive_schedule, backup_time, databases

bp = Blueprint("admin_schedule", __name__, url_prefix="/admin/schedule")


@bp.get("")
@auth.admin_required
def index() -> Response:
    return _page()


@bp.post("")
@auth.admin_required
def save() -> Response:
    typed = setting_fields.typed(backup_time.VARIABLES)
    try:
        changed = backup_time.save(typed)
    except UserError as error:
        return _page(typed, problems_of(error, ""), error.status)
    if changed:
        auth.log_action("settings.changed", names=", ".join(sorted(changed)))
    htmx.toast(f"Saved: backups are made every night at {time_words()}.")
    return htmx.go(url_for(".index"))


def _page(
    typed: dict[str, str] | None = None,
    problems: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    return htmx.render(
        "admin/schedule.html",
        status=status,
        enabled=schedule.enabled_accounts(),
        accounts=len(accounts.listing()),
        has_archives=databases.is_sqlite(),
        next_archive=archive_schedule.next_run() if databases.is_sqlite() else None,
        **time_context(typed, problems or setting_fields.fault()),
    )
