"""A user's own settings of the pages, such as the size of the posters: any JSON value by its key.

They are no part of the library: no export has them, and writing one does not raise library_version.
They are deleted with the account.
"""

import json
from typing import Any

from mm.database import db
from mm.models import UserSetting


def get(user_id: str, key: str, default: Any = None) -> Any:
    """`default` where the user has no such setting."""
    row = UserSetting.get_or_none((UserSetting.user == user_id) & (UserSetting.key == key))
    return default if row is None else json.loads(row.value)


def put(user_id: str, key: str, value: Any) -> None:
    """Set it, or replace its value."""
    text = json.dumps(value, ensure_ascii=False)
    with db.atomic():
        UserSetting.insert(user=user_id, key=key, value=text).on_conflict(
            conflict_target=[UserSetting.user, UserSetting.key], update={UserSetting.value: text}
        ).execute()
