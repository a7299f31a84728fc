"""The link that shows a list to others: made, changed and revoked by the list's owner."""

from flask import Blueprint, Response, request, url_for
from flask_login import current_user, login_required

from mm import htmx
from mm.errors import InvalidError
from mm.models import CustomList
from mm.routes.forms import problems_of, typed
from mm.services.library import lists, shares

bp = Blueprint("shares", __name__, url_prefix="/lists")


@bp.get("/<list_id>/share")
@login_required
def show(list_id: str) -> Response:
    return _page(lists.find(current_user.id, list_id))


@bp.post("/<list_id>/share")
@login_required
def change(list_id: str) -> Response:
    row = lists.find(current_user.id, list_id)
    if request.form.get("do") == "revoke":
        shares.revoke(current_user.id, list_id)
        htmx.toast("Link revoked. Whoever has it can’t open “{name}” any more.", name=row.name)
        return htmx.go(url_for(".show", list_id=row.id))
    had_link = shares.of_list(row) is not None
    try:
        shares.share(
            current_user.id, list_id, request.form.get("until", ""), "notes" in request.form
        )
    except InvalidError as error:
        return _page(row, error)
    htmx.toast("Saved. The link stays the same." if had_link else "The link is ready.")
    return htmx.go(url_for(".show", list_id=row.id))


def _page(row: CustomList, error: InvalidError | None = None) -> Response:
    shared = shares.of_list(row)
    form: dict = {**typed("until"), "notes": "notes" in request.form}
    if shared and not error:
        form = {"until": shares.last_day(shared), "notes": shared.shows_notes}
    return htmx.render(
        "lists/share.html",
        status=error.status if error else 200,
        list=row,
        link=shared and url_for("shared.show", token=shared.token, _external=True),
        until=shared and shared.expires_at,
        form=form,
        problems=problems_of(error, "until") if error else {},
    )
