"""Accounts as the services change them; what administrators ask for is tested with the API."""

from dataclasses import replace

import pytest

from mm import config
from mm.database import db
from mm.services import accounts
from tests.conftest import PASSWORD, QUICK_HASH


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


class TestAutomaticBackups:
    """Clients of the original expect an account without them."""

    @pytest.fixture
    def create(self, app, as_user, carol, monkeypatch):
        """create("api") or create("cli") -> the new account."""

        def with_the_api():
            new = {"email": "dan@example.org", "username": "dan", "password": PASSWORD}
            assert as_user(carol).post("/api/auth/admin/users", json=new).status_code == 201

        def with_the_command_line():
            monkeypatch.setenv("MM_PASSWORD", PASSWORD)
            command = ["user", "create", "dan@example.org", "dan"]
            app.test_cli_runner().invoke(args=command, catch_exceptions=False)

        def create(surface):
            {"api": with_the_api, "cli": with_the_command_line}[surface]()
            with db.connection_context():
                return accounts.find("dan")

        return create

    @pytest.mark.parametrize("surface", ["api", "cli"])
    def test_are_off_for_a_new_account(self, create, surface):
        assert not create(surface).backup_enabled

    @pytest.mark.parametrize("surface", ["api", "cli"])
    def test_are_on_where_the_server_is_set_so(self, create, surface, monkeypatch):
        settings = replace(config.current, backup_by_default=True)
        monkeypatch.setattr(config, "current", settings)
        assert create(surface).backup_enabled
