"""A user's own settings, and what is remembered about a user: any JSON value by its key.

They are no part of the library: no export has them, and writing one does not raise library_version.
They are deleted with the account.
"""

import json
from collections.abc import Iterable
from typing import Any

from mm.database import db
from mm.models import UserSetting


def get(user_id: str, key: str, default: Any = None) -> Any:
    """`default` where the user has no such setting."""
    row = UserSetting.get_or_none((UserSetting.user == user_id) & (UserSetting.key == key))
    return default if row is None else json.loads(row.value)


def of_users(user_ids: Iterable[str], keys: Iterable[str]) -> dict[tuple[str, str], Any]:
    """By user id and key, those of these settings that there are."""
    rows = UserSetting.select().where(
        UserSetting.user.in_(list(user_ids)) & UserSetting.key.in_(list(keys))
    )
    return {(row.user_id, row.key): json.loads(row.value) for row in rows}


def put(user_id: str, key: str, value: Any) -> None:
    """Set it, or replace its value."""
    text = json.dumps(value, ensure_ascii=False)
    with db.atomic():
        UserSetting.insert(user=user_id, key=key, value=text).on_conflict(
            conflict_target=[UserSetting.user, UserSetting.key], update={UserSetting.value: text}
        ).execute()
