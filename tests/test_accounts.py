"""Accounts as the services change them; what administrators ask for is tested with the API."""

import pytest

from mm.services import accounts


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
