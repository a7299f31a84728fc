"""Server, Users: who has an account, who was invited, and what an administrator may do about it.

A link that is made here is shown once, in the answer itself: only its digest is kept."""

from flask import Blueprint, Response, request, url_for
from flask_login import current_user

from mm import auth, htmx
from mm.errors import ConflictError, UserError
from mm.models import User
from mm.routes.filters import dates_of_reader
from mm.routes.forms import problems_of
from mm.services import account_links, accounts
from mm.services.backup import files, overview
from mm.services.library import lists

PAGE_SIZE = 100

bp = Blueprint("admin_users", __name__, url_prefix="/admin/users")


@bp.get("")
@auth.admin_required
def index() -> Response:
    return _page()


@bp.post("/invites")
@auth.admin_required
def invite() -> Response:
    note, is_admin = request.form.get("note", ""), "is_admin" in request.form
    try:
        token = account_links.invite(note, is_admin)
    except UserError as error:
        return _page(error, note=note, is_admin=is_admin)
    auth.log_action("invite.made", admin=is_admin)
    return _page(new_link=url_for("links.show_invite", token=token, _external=True))


@bp.post("/invites/<digest>/revoke")
@auth.admin_required
def revoke(digest: str) -> Response:
    account_links.revoke(digest)
    auth.log_action("invite.revoked")
    htmx.toast("Invitation revoked. Its link no longer works.")
    return _done()


@bp.post("/<user_id>/reset-link")
@auth.admin_required
def make_reset_link(user_id: str) -> Response:
    user = accounts.get(user_id)
    try:
        token = account_links.reset(user)
    except ConflictError as error:
        return _page(error)
    auth.log_action("reset_link.made", user=user.id)
    link = url_for("links.show_reset", token=token, _external=True)
    return _page(new_link=link, reset_of=user)


@bp.post("/<user_id>/role")
@auth.admin_required
def change_role(user_id: str) -> Response:
    """Set to what the form says, so that a double click does what it looks like."""
    is_admin = request.form.get("admin") == "1"
    try:
        user = accounts.change(accounts.get(user_id), is_admin=is_admin)
    except ConflictError as error:
        return _page(error)
    auth.log_action("account.promoted" if is_admin else "account.demoted", user=user.id)
    if user.id == current_user.id and not is_admin:
        htmx.toast("You are no longer an administrator.")
        return htmx.go(url_for("library.index"))
    now = "is an administrator" if is_admin else "is no longer an administrator"
    htmx.toast("{name} " + now + ".", name=user.username)
    return _done()


@bp.post("/<user_id>/active")
@auth.admin_required
def set_active(user_id: str) -> Response:
    """Set to what the form says."""
    is_active = request.form.get("active") == "1"
    try:
        user = accounts.change(accounts.get(user_id), is_active=is_active)
    except ConflictError as error:
        return _page(error)
    auth.log_action("account.activated" if is_active else "account.deactivated", user=user.id)
    if user.id == current_user.id and not is_active:
        auth.log_out()
        htmx.toast("Your account is deactivated. Another administrator can activate it again.")
        return htmx.go(url_for("session.log_in"))
    if is_active:
        htmx.toast("{name} can log in again.", name=user.username)
    else:
        htmx.toast("{name} is deactivated and was logged out everywhere.", name=user.username)
    return _done()


@bp.get("/<user_id>/delete")
@auth.admin_required
def confirm_delete(user_id: str) -> Response:
    return _delete_page(accounts.get(user_id))


@bp.post("/<user_id>/delete")
@auth.admin_required
def delete(user_id: str) -> Response:
    """The answer says where the backups stay. Whoever deletes themselves is logged out."""
    user = accounts.get(user_id)
    if request.form.get("confirm", "").strip() != user.username:
        return _delete_page(user, {"confirm": f"Type {user.username} to delete this account."})
    try:
        folder = accounts.remove(user)
    except ConflictError as error:
        return _delete_page(user, {"account": error.message}, error.status)
    auth.log_action("account.removed", user=user.id)
    if user.id == current_user.id:
        auth.log_out()
    return htmx.render("admin/user_deleted.html", user=user, folder=folder)


def _page(
    error: UserError | None = None,
    new_link: str | None = None,
    reset_of: User | None = None,
    note: str = "",
    is_admin: bool = False,
) -> Response:
    """`new_link`: one that was made just now, for a new password of `reset_of` or an invitation.
    `note` and `is_admin`: what was typed, where it cannot be used."""
    everybody = sorted(accounts.listing(), key=lambda user: user.username_key)
    pages = max(1, -(-len(everybody) // PAGE_SIZE))
    number = _number(pages)
    users = everybody[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]
    return htmx.render(
        "admin/users.html",
        "admin/_users.html",
        status=error.status if error else 200,
        rows=list(zip(users, overview.of(users, dates_of_reader()), strict=True)),
        count=len(everybody),
        number=number,
        pages=pages,
        invites=account_links.open_invites(),
        problems=problems_of(error, "account") if error else {},
        problem=error.message if isinstance(error, ConflictError) else None,
        new_link=new_link,
        reset_of=reset_of,
        note=note,
        is_admin=is_admin,
    )


def _done() -> Response:
    """After a change: the page anew, or without htmx a redirect to it."""
    if htmx.wants_partial():
        return _page()
    return htmx.go(url_for(".index", page=_number() if _number() > 1 else None))


def _number(pages: int | None = None) -> int:
    number = max(request.args.get("page", 1, type=int), 1)
    return min(number, pages) if pages else number


def _delete_page(user: User, problems: dict[str, str] | None = None, status: int = 422) -> Response:
    return htmx.render(
        "admin/user_delete.html",
        status=status if problems else 200,
        user=user,
        backups=overview.of([user], dates_of_reader())[0],
        lists=len(lists.listing(user.id)),
        folder=files.folder_of(user.id),
        problems=problems or {},
    )
