"""Logging in, and what everybody may do with the own account."""

from flask import Blueprint
from flask_login import login_required

from mm import auth
from mm.api.openapi import answers, api
from mm.models import User
from mm.schemas import Account, AdminCredentials, Credentials, LogIn, PasswordChange, Token
from mm.services import accounts

bp = Blueprint("auth", __name__, url_prefix="/auth")


@bp.post("/login")
@api.validate(resp=answers(401, 413, 415, 429, 503, HTTP_200=LogIn), tags=["Auth"], security=[])
def log_in(json: Credentials):
    """A token for 30 days.

    `email` may be the user name as well. 429 with Retry-After after 10 failures in 15 minutes from
    one address, or 50 at one account; and when too many log in at the same moment.
    """
    return _log_in_answer(auth.attempt_log_in(json.email, json.password))


@bp.post("/admin/login")
@api.validate(resp=answers(401, 413, 415, 429, 503, HTTP_200=Token), tags=["Auth"], security=[])
def log_in_as_administrator(json: AdminCredentials):
    """A token for 12 hours with the rights of an administrator. 503 where the server has no
    ADMIN_TOKEN."""
    return Token(auth.issue_admin_token(json.token))


@bp.get("/me")
@login_required
@api.validate(resp=answers(401, 403, 503, HTTP_200=Account), tags=["Auth"])
def me():
    """Your account."""
    return account_answer(auth.account())


@bp.post("/logout-all")
@login_required
@api.validate(resp=answers(401, 403, 503, HTTP_204=None), tags=["Auth"])
def log_out_everywhere():
    """End every session and token of your account, this one included."""
    accounts.end_sessions(auth.account())
    return "", 204


@bp.put("/password")
@login_required
@api.validate(resp=answers(400, 401, 403, 413, 415, 429, 503, HTTP_200=LogIn), tags=["Auth"])
def change_password(json: PasswordChange):
    """Change your password. Ends every session and token of your account; the answer has a new one."""
    user = auth.account()
    auth.confirm_password(user, json.current)
    accounts.check_new_password(json.new, "new")
    return _log_in_answer(accounts.change(user, password=json.new))


def account_answer(user: User) -> Account:
    return Account(user.id, user.email, user.username, user.created_at, user.is_active)


def _log_in_answer(user: User) -> LogIn:
    return LogIn(auth.issue_token(user), account_answer(user))
