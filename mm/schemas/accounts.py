"""Accounts and log-ins."""

from typing import Literal

from msgspec import Struct


class Account(Struct):
    id: str
    email: str
    username: str
    created_at: float
    is_active: bool


class ManagedAccount(Struct):
    """An account as administrators see it."""

    id: str
    email: str
    username: str
    created_at: float
    is_active: bool
    is_admin: bool
    backup_enabled: bool


class Credentials(Struct):
    email: str
    password: str


class AdminCredentials(Struct):
    """`token` is the server's ADMIN_TOKEN."""

    token: str


class Token(Struct):
    access_token: str
    token_type: Literal["bearer"] = "bearer"


class LogIn(Struct):
    access_token: str
    user: Account
    token_type: Literal["bearer"] = "bearer"


class NewAccount(Struct):
    email: str
    username: str
    password: str
    is_admin: bool = False


class AccountChange(Struct):
    """Fields that are left out or null stay as they are."""

    is_active: bool | None = None
    is_admin: bool | None = None
    password: str | None = None


class RemovedAccount(Struct):
    """`backups`: the folder on the server where the account's backups stay, or null if it had
    none."""

    backups: str | None


class PasswordChange(Struct):
    current: str
    new: str
