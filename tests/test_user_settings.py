"""A user's own settings of the pages."""

import pytest

from mm.models import UserSetting
from mm.services import accounts, user_settings
from tests.support.libraries import export, reload

pytestmark = pytest.mark.usefixtures("database")


@pytest.mark.parametrize("value", ["l", 3, None, False, ["title", "Grüße"], {"sort": "year"}])
def test_a_setting_is_kept_as_it_was_put(alice, value):
    user_settings.put(alice.id, "grid", "before")
    user_settings.put(alice.id, "grid", value)
    assert user_settings.get(alice.id, "grid", "default") == value
    assert UserSetting.select().count() == 1


def test_each_user_has_settings_of_their_own(alice, bob):
    user_settings.put(alice.id, "size", "l")
    assert user_settings.get(bob.id, "size") is None
    assert user_settings.get(bob.id, "size", "m") == "m"


def test_a_setting_is_no_part_of_the_library(alice):
    before = export(alice)
    user_settings.put(alice.id, "size", "l")
    assert reload(alice).library_version == alice.library_version
    assert export(alice) == before


def test_settings_are_deleted_with_the_account(alice, carol):
    user_settings.put(alice.id, "size", "l")
    user_settings.put(carol.id, "size", "s")
    accounts.remove(alice)
    assert [row.user_id for row in UserSetting.select()] == [carol.id]
