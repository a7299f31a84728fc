"""All accounts, for administrators."""

from flask import Blueprint
from flask_login import current_user

from mm import auth, log
from mm.api.openapi import answers, api
from mm.models import User
from mm.schemas import AccountChange, ManagedAccount, NewAccount, RemovedAccount
from mm.services import accounts

bp = Blueprint("accounts", __name__, url_prefix="/auth/admin/users")


@bp.get("")
@auth.admin_required
@api.validate(resp=answers(401, 403, 503, HTTP_200=list[ManagedAccount]), tags=["Accounts"])
def listing():
    """All accounts, oldest first."""
    return [_answer(user) for user in accounts.listing()]


@bp.post("")
@auth.admin_required
@api.validate(
    resp=answers(400, 401, 403, 413, 415, 503, HTTP_201=ManagedAccount), tags=["Accounts"]
)
def create(json: NewAccount):
    """A new account, with the four quick recommenders."""
    return _answer(accounts.create(json.email, json.username, json.password, json.is_admin)), 201


@bp.put("/<user_id>")
@auth.admin_required
@api.validate(
    resp=answers(401, 403, 404, 409, 413, 415, 503, HTTP_200=ManagedAccount), tags=["Accounts"]
)
def change(user_id: str, json: AccountChange):
    """Change an account.

    A new password and a deactivation end its sessions and tokens. 409 for the last active
    administrator.
    """
    user = accounts.get(user_id)
    return _answer(accounts.change(user, json.is_active, json.is_admin, json.password))


@bp.delete("/<user_id>")
@auth.admin_required
@api.validate(resp=answers(401, 403, 404, 409, 503, HTTP_200=RemovedAccount), tags=["Accounts"])
def remove(user_id: str):
    """Remove an account and its library. The answer says where on the server its backups stay."""
    folder = accounts.remove(accounts.get(user_id))
    log.warning("account.removed", user=user_id, by=current_user.id or auth.ADMINISTRATOR)
    return RemovedAccount(str(folder) if folder else None)


def _answer(user: User) -> ManagedAccount:
    return ManagedAccount(
        id=user.id,
        email=user.email,
        username=user.username,
        created_at=user.created_at,
        is_active=user.is_active,
        is_admin=user.is_admin,
        backup_enabled=user.backup_enabled,
    )
