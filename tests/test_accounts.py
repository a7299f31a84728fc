"""Accounts as the services change them; what administrators ask for is tested with the API."""

import pytest

from mm.database import db
from mm.services import accounts
from tests.conftest import QUICK_HASH


class TestTheLastAdministrator:
    def test_is_neither_removed_nor_deactivated_nor_demoted(self, database, carol):
        for oversight in (
            lambda: accounts.remove(carol),
            lambda: accounts.change(carol, is_active=False),
            lambda: accounts.change(carol, is_admin=False),
        ):
            with pytest.raises(accounts.ConflictError, match="last active administrator"):
                oversight()
        assert accounts.get(carol.id).is_admin

    def test_may_go_once_there_is_another(self, database, carol, alice):
        accounts.change(alice, is_admin=True)
        accounts.remove(carol)
        assert [user.username for user in accounts.listing()] == ["alice"]

    def test_an_inactive_administrator_does_not_count(self, database, carol, alice):
        accounts.change(alice, is_admin=True, is_active=False)
        with pytest.raises(accounts.ConflictError):
            accounts.remove(carol)


def test_the_password_is_hashed_before_the_database_is_locked(database, alice, monkeypatch):
    locked = []

    def hashed(password, **how):
        locked.append(db.in_transaction())
        return QUICK_HASH(password)

    monkeypatch.setattr(accounts, "generate_password_hash", hashed)
    accounts.set_password(alice, "another horse battery")
    assert locked == [False]
