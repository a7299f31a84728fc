"""Accounts as the services change them; what administrators ask for is tested with the API."""

import contextlib
import hashlib
import itertools
import sqlite3
from dataclasses import replace

import pytest
from werkzeug.security import check_password_hash, generate_password_hash

from mm import config, disk, maintenance
from mm.database import db
from mm.errors import ConflictError, InvalidError
from mm.models import Person, User
from mm.services import accounts
from tests.conftest import PASSWORD, QUICK_HASH, put_in_force


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
        put_in_force(monkeypatch, settings)
        assert create(surface).backup_enabled


class TestAnAccountOfAnotherServer:
    GIVEN = {
        "user_id": "8d1a8c9e-2f0f-4a43-9a58-1b1c3f0c7d11",
        "email": "Dan@example.org",
        "username": "Dan",
        "password_hash": QUICK_HASH("dan's password"),
        "created_at": 1_700_000_000.0,
    }

    def test_comes_as_it_was_with_the_quick_recommenders(self, database):
        flags = {"is_active": False, "is_admin": True, "backup_enabled": True}
        accounts.add(**self.GIVEN, **flags)
        user = accounts.find("dan@EXAMPLE.org")
        assert {name: getattr(user, name) for name in flags} == flags
        assert (user.id, user.username) == (self.GIVEN["user_id"], "Dan")
        assert user.password_hash == self.GIVEN["password_hash"]
        assert user.created_at == self.GIVEN["created_at"]
        assert Person.select().where(Person.user == user).count() == 4

    @pytest.mark.parametrize(
        ("taken", "message"),
        [
            ({"email": "dAN@example.org"}, "The account 'Dan': The email address dAN@"),
            ({"username": "DAN"}, "The account 'DAN': The username is already in use"),
            ({"user_id": GIVEN["user_id"]}, "The account 'Dan': Its id is already in use"),
        ],
    )
    def test_is_refused_where_something_of_it_is_taken(self, database, taken, message):
        accounts.add(**self.GIVEN)
        own = {
            "user_id": "8d1a8c9e-2f0f-4a43-9a58-1b1c3f0c7d12",
            "email": "other@example.org",
            "username": "Dan" if "user_id" in taken or "email" in taken else "other",
        }
        with pytest.raises(ConflictError, match=message):
            accounts.add(**self.GIVEN | own | taken)
        assert User.select().count() == 1

    @pytest.mark.parametrize(
        "wrong",
        [
            {"user_id": "../../etc/passwd"},
            {"user_id": "8D1A8C9E-2F0F-4A43-9A58-1B1C3F0C7D11"},
            {"email": "nobody"},
            {"username": "d@n"},
            {"username": "dan\x1b[2J"},
            {"created_at": float("nan")},
            {"created_at": 1e300},
            {"created_at": -1.0},
        ],
    )
    def test_is_refused_and_named_where_it_could_not_be_one_here(self, database, wrong):
        with pytest.raises(InvalidError, match=r"The account '"):
            accounts.add(**self.GIVEN | wrong)
        assert not User.select().exists()

    def test_has_none_of_the_sessions_it_had_there(self, database):
        versions = set()
        for number in range(10):
            own = {"user_id": f"{number:08d}-0000-4000-8000-000000000000"}
            own |= {"email": f"{number}@example.org", "username": f"dan {number}"}
            versions.add(accounts.add(**self.GIVEN | own).token_version)
        assert len(versions) == 10

    def test_cannot_log_in_with_a_hash_that_is_not_usable(self, app, client, database):
        hostile = "scrypt:1048576:64:16$salt$" + "0" * 128
        user = accounts.add(**self.GIVEN | {"password_hash": hostile})
        assert User.get_by_id(user.id).password_hash == ""
        for password in ("", "dan's password", "another"):
            assert accounts.log_in("dan", password) is None


class TestAUsableHash:
    @pytest.mark.parametrize(
        "text",
        [
            generate_password_hash("x"),
            generate_password_hash("x", method="pbkdf2"),
            generate_password_hash("x", method="pbkdf2:sha512:210000"),
            "scrypt$salt$" + "0" * 128,
            "0" * 64 + "$" + "f" * 64,
        ],
    )
    def test_is_one_of_ours_or_of_the_original(self, text):
        assert accounts.usable_hash(text)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "plain",
            "sha256$salt$" + "0" * 64,
            "md5$salt$" + "0" * 32,
            "0" * 64 + "$" + "f" * 63,
            "G" * 64 + "$" + "f" * 64,
            "0" * 64 + "$" + "f" * 64 + "\n",
            "scrypt:1048576:64:16$salt$" + "0" * 128,
            "scrypt:131072:16:1$salt$" + "0" * 128,
            "scrypt:32769:8:1$salt$" + "0" * 128,
            "scrypt:32768:0:1$salt$" + "0" * 128,
            "scrypt:32768:8:0$salt$" + "0" * 128,
            "scrypt:131072:1:1$salt$" + "0" * 128,
            "scrypt:64:1:1$salt$" + "0" * 128,
            "scrypt:99999999999999999999:8:1$salt$" + "0" * 128,
            "scrypt:٣٢٧٦٨:8:1$salt$" + "0" * 128,
            "pbkdf2:sha256:9999999$salt$" + "0" * 64,
            "pbkdf2:sha512:4000000$salt$" + "0" * 128,
            "pbkdf2:sha256:0$salt$" + "0" * 64,
            "pbkdf2:md5:1000$salt$" + "0" * 64,
            "pbkdf2:sha256:1000$" + "s" * 101 + "$" + "0" * 64,
        ],
    )
    def test_costs_no_more_than_a_log_in_should(self, text):
        assert not accounts.usable_hash(text)

    @pytest.mark.parametrize("n", accounts.SCRYPT_N)
    def test_can_always_be_checked(self, n):
        for r, p in itertools.product((1, 2, 8, 99), (1, 2, 16, 99)):
            text = f"scrypt:{n}:{r}:{p}$salt$" + "0" * 128
            if accounts.usable_hash(text) and n * r * p <= 2**17:
                assert not check_password_hash(text, "password")


class TestAPasswordOfTheOriginal:
    SALT = "5a" * 32
    PASSWORD = "pässwort"

    @pytest.fixture
    def dan(self, app):
        found = hashlib.pbkdf2_hmac("sha256", self.PASSWORD.encode(), self.SALT.encode(), 100_000)
        given = {"password_hash": f"{self.SALT}${found.hex()}", "is_admin": True}
        with db.connection_context():
            return accounts.add(**TestAnAccountOfAnotherServer.GIVEN | given)

    def test_works_and_is_hashed_as_ours_at_the_first_log_in(self, database, dan):
        assert accounts.log_in("dan", "wrong") is None
        assert User.get_by_id(dan.id).password_hash == dan.password_hash
        assert accounts.log_in("dan", self.PASSWORD).id == dan.id
        after = User.get_by_id(dan.id)
        assert after.password_hash.startswith("pbkdf2:sha256:1$")
        assert (after.token_version, after.library_version) == (dan.token_version, 0)
        assert accounts.log_in("dan", self.PASSWORD).id == dan.id
        assert accounts.log_in("dan", "wrong") is None

    def test_ends_no_session_of_its_account(self, client, dan):
        def token():
            sent = {"email": "dan", "password": self.PASSWORD}
            return client.post("/api/auth/login", json=sent).json["access_token"]

        for each in [token(), token()]:
            headers = {"Authorization": f"Bearer {each}"}
            assert client.get("/api/auth/me", headers=headers).status_code == 200

    @pytest.mark.parametrize("name", ["dan", "alice", "nobody"])
    def test_costs_every_log_in_the_same_work_while_it_is_there(
        self, database, dan, alice, name, monkeypatch
    ):
        done = []
        check, check_original = accounts.check_password_hash, accounts._is_original_password
        monkeypatch.setattr(
            accounts, "check_password_hash", lambda *given: done.append("ours") or check(*given)
        )
        monkeypatch.setattr(
            accounts,
            "_is_original_password",
            lambda *given: done.append("original") or check_original(*given),
        )
        assert accounts.log_in(name, "wrong") is None
        assert done == ["ours", "original"]
        accounts.log_in("dan", self.PASSWORD)
        done.clear()
        assert accounts.log_in(name, "wrong") is None
        assert done == ["ours"]

    def test_logs_in_also_where_nothing_can_be_written(self, database, dan, settings, lines):
        with contextlib.closing(sqlite3.connect(settings.data_dir / "mm.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            accounts_before = dan.password_hash
            assert accounts.log_in("dan", self.PASSWORD).id == dan.id
            other.rollback()
        assert User.get_by_id(dan.id).password_hash == accounts_before
        [line] = [line for line in lines() if "password.not_rehashed" in line]
        assert f"user={dan.id}" in line
        assert dan.password_hash not in line

    def test_logs_in_during_maintenance(self, database, dan):
        maintenance.begin("restore")
        maintenance.close("restore")
        assert accounts.log_in("dan", self.PASSWORD).id == dan.id
        maintenance.end()
        assert User.get_by_id(dan.id).password_hash == dan.password_hash

    def test_logs_in_on_a_full_disk(self, database, dan, monkeypatch):
        def full(*_):
            raise disk.DiskFullError(disk.FULL)

        monkeypatch.setattr(type(db.obj), "commit", full)
        assert accounts.log_in("dan", self.PASSWORD).id == dan.id

    def test_does_not_replace_one_that_was_changed_meanwhile(self, database, dan, monkeypatch):
        def slow(password):
            monkeypatch.setattr(accounts, "generate_password_hash", QUICK_HASH)
            accounts.set_password(accounts.get(dan.id), "changed meanwhile")
            return QUICK_HASH(password)

        monkeypatch.setattr(accounts, "generate_password_hash", slow)
        accounts.log_in("dan", self.PASSWORD)
        assert accounts.log_in("dan", "changed meanwhile").id == dan.id

    def test_of_an_inactive_account_does_not_log_in(self, database, dan, carol):
        accounts.change(dan, is_active=False)
        assert accounts.log_in("dan", self.PASSWORD) is None
