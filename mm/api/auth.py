"""Logging in, and what users may do with their own account."""

from flask import Blueprint

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
    return _log_in(auth.attempt_log_in(json.email, json.password))


@bp.post("/admin/login")
@api.validate(resp=answers(401, 413, 415, 429, 503, HTTP_200=Token), tags=["Auth"], security=[])
def log_in_as_administrator(json: AdminCredentials):
    """A token for 12 hours with the rights of an administrator. 503 where the server has no
    ADMIN_TOKEN."""
    return Token(auth.issue_admin_token(json.token))


@bp.get("/me")
@auth.account_required
@api.validate(resp=answers(401, 403, 503, HTTP_200=Account), tags=["Auth"])
def me():
    """Your account."""
    return _account(auth.account())


@bp.post("/logout-all")
@auth.account_required
@api.validate(resp=answers(401, 403, 503, HTTP_204=None), tags=["Auth"])
def log_out_everywhere():
    """End every session and token of your account, this one included."""
    accounts.end_sessions(auth.account())
    return "", 204


@bp.put("/password")
@auth.account_required
@api.validate(resp=answers(400, 401, 403, 413, 415, 429, 503, HTTP_200=LogIn), tags=["Auth"])
def change_password(json: PasswordChange):
    """Change your password. This ends all your sessions and tokens; the answer has a new token."""
    user = auth.account()
    auth.confirm_password(user, json.current)
    accounts.check_new_password(json.new, "new")
    return _log_in(accounts.change(user, password=json.new))


def _account(user: User) -> Account:
    return Account(
        id=user.id,
        email=user.email,
        username=user.username,
        created_at=user.created_at,
        is_active=user.is_active,
    )


def _log_in(user: User) -> LogIn:
    return LogIn(access_token=auth.issue_token(user), user=_account(user))
