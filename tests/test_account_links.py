"""Links of an invitation or for a new password: good once, for some time, and for nobody who
guesses or reads a copy of the database."""

import json
import threading

import pytest

from mm import config
from mm.clock import DAY
from mm.database import db
from mm.errors import ConflictError, InvalidError, NotFoundError, UserError
from mm.models import AccountLink, Job, User
from mm.services import account_links, accounts, tidying
from mm.services.server import all_users
from tests.conftest import PASSWORD

OTHER = "another good password"


def accept(token, name="dora"):
    return account_links.accept(token, f"{name}@example.org", name, PASSWORD)


def is_gone(token, kind):
    with pytest.raises(NotFoundError, match="no longer valid"):
        account_links.find(token, kind)
    return True


def at_once(*functions):
    """What each returned or raised, called at the same moment in a thread of its own."""
    barrier, outcomes = threading.Barrier(len(functions)), []

    def call(function):
        with db.connection_context():
            barrier.wait()
            try:
                outcomes.append(function())
            except UserError as error:
                outcomes.append(error)

    threads = [threading.Thread(target=call, args=[function]) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


class TestInvitations:
    def test_one_creates_an_account_once(self, database):
        token = account_links.invite("Dora")
        user = accept(token)
        assert (user.username, user.is_admin) == ("dora", False)
        assert accounts.log_in("dora", PASSWORD) == user
        assert is_gone(token, "invite")
        with pytest.raises(NotFoundError):
            accept(token, "eve")
        assert account_links.open_invites() == []

    def test_one_may_be_for_an_administrator(self, database):
        assert accept(account_links.invite(is_admin=True)).is_admin

    def test_a_name_in_use_leaves_the_link_usable(self, database, alice):
        token = account_links.invite()
        with pytest.raises(UserError, match="already"):
            accept(token, "alice")
        with pytest.raises(InvalidError):
            account_links.accept(token, "dora@example.org", "dora", "short")
        assert accept(token).username == "dora"

    def test_of_two_who_use_one_at_once_only_one_gets_an_account(self, database):
        token = account_links.invite()
        outcomes = at_once(lambda: accept(token, "dora"), lambda: accept(token, "eve"))
        assert {type(outcome) for outcome in outcomes} == {User, NotFoundError}
        assert User.select().count() == 1

    def test_one_is_good_for_7_days(self, database, frozen_clock):
        token = account_links.invite()
        frozen_clock.move(7 * DAY - 1)
        assert account_links.find(token, "invite")
        assert len(account_links.open_invites()) == 1
        frozen_clock.move(1)
        assert is_gone(token, "invite")
        assert account_links.open_invites() == []
        with pytest.raises(NotFoundError):
            accept(token)

    def test_a_guessed_one_is_worth_nothing(self, database):
        digest = account_links.digest_of(account_links.invite())
        for guess in ("", "x", digest, "\udcff", "é" * 5000):
            assert is_gone(guess, "invite")

    def test_one_sets_no_password_and_a_reset_creates_no_account(self, database, alice):
        invite, reset = account_links.invite(), account_links.reset(alice)
        with pytest.raises(NotFoundError):
            account_links.use_reset(invite, OTHER)
        with pytest.raises(NotFoundError):
            accept(reset)

    def test_a_revoked_one_is_worth_nothing(self, database, alice):
        token, stays = account_links.invite("Dora"), account_links.invite("Eve")
        reset = account_links.reset(alice)
        account_links.revoke(account_links.digest_of(token))
        assert is_gone(token, "invite")
        assert [link.note for link in account_links.open_invites()] == ["Eve"]
        for digest in (account_links.digest_of(token), account_links.digest_of(reset), ""):
            with pytest.raises(NotFoundError, match="already"):
                account_links.revoke(digest)
        assert account_links.find(stays, "invite")
        assert account_links.find(reset, "reset")

    @pytest.mark.parametrize("note", ["x" * 101, "a\nb", "\x1b[2J", "\u202egro.elpmaxe"])
    def test_a_note_is_short_and_plain(self, database, note):
        with pytest.raises(InvalidError) as raised:
            account_links.invite(note)
        assert raised.value.errors[0].path == "note"
        assert AccountLink.select().count() == 0


class TestResets:
    def test_one_sets_a_password_once_and_ends_all_sessions(self, database, alice):
        token = account_links.reset(alice)
        user = account_links.use_reset(token, OTHER)
        assert user.token_version == alice.token_version + 1
        assert accounts.log_in("alice", OTHER) == alice
        assert accounts.log_in("alice", PASSWORD) is None
        assert is_gone(token, "reset")

    def test_a_password_that_cannot_be_one_leaves_it_usable(self, database, alice):
        token = account_links.reset(alice)
        with pytest.raises(InvalidError):
            account_links.use_reset(token, "short")
        assert account_links.use_reset(token, OTHER)

    def test_of_two_who_use_one_at_once_only_one_sets_a_password(self, database, alice):
        token = account_links.reset(alice)
        outcomes = at_once(
            lambda: account_links.use_reset(token, OTHER),
            lambda: account_links.use_reset(token, OTHER + "!"),
        )
        assert {type(outcome) for outcome in outcomes} == {User, NotFoundError}
        assert accounts.get(alice.id).token_version == alice.token_version + 1

    def test_one_is_good_for_24_hours(self, database, alice, frozen_clock):
        token = account_links.reset(alice)
        frozen_clock.move(DAY - 1)
        assert account_links.find(token, "reset").user == alice
        frozen_clock.move(1)
        assert is_gone(token, "reset")

    def test_a_new_one_replaces_the_older_one_of_that_account_only(self, database, alice, bob):
        older, bobs = account_links.reset(alice), account_links.reset(bob)
        newer = account_links.reset(alice)
        assert is_gone(older, "reset")
        assert account_links.find(newer, "reset")
        assert account_links.find(bobs, "reset")

    @pytest.mark.parametrize(
        "change",
        [
            lambda user: accounts.set_password(user, OTHER),
            lambda user: accounts.change(user, password=OTHER),
            lambda user: accounts.change(user, is_active=False),
            accounts.remove,
        ],
        ids=["a new password", "one by an administrator", "deactivated", "deleted"],
    )
    def test_one_ends_with_the_password_or_the_account(self, database, alice, bob, change):
        token, bobs = account_links.reset(alice), account_links.reset(bob)
        change(alice)
        assert is_gone(token, "reset")
        with pytest.raises(NotFoundError):
            account_links.use_reset(token, OTHER)
        assert account_links.find(bobs, "reset")

    def test_activating_an_account_again_brings_no_old_link_back(self, database, alice):
        token = account_links.reset(alice)
        accounts.change(alice, is_active=False)
        accounts.change(alice, is_active=True)
        assert is_gone(token, "reset")

    def test_a_deactivated_account_gets_none(self, database, alice):
        accounts.change(alice, is_active=False)
        with pytest.raises(ConflictError, match="Activate it first"):
            account_links.reset(alice)

    def test_other_changes_of_the_account_leave_it_alone(self, database, alice):
        token = account_links.reset(alice)
        accounts.rename(alice, "alicia")
        accounts.change(alice, is_admin=True)
        accounts.log_in("alicia", PASSWORD)
        assert account_links.find(token, "reset").user.username == "alicia"


@pytest.mark.parametrize(
    "dismiss",
    [
        lambda user: accounts.change(user, is_admin=False),
        lambda user: accounts.change(user, is_active=False),
        accounts.remove,
    ],
    ids=["made ordinary", "deactivated", "deleted"],
)
def test_a_former_administrator_keeps_no_link_that_gives_power(
    database, alice, bob, carol, dismiss
):
    """They may have kept what they made: only an ordinary invitation stays good."""
    accounts.change(bob, is_admin=True)
    reset, powerful = account_links.reset(alice), account_links.invite(is_admin=True)
    ordinary = account_links.invite()
    dismiss(carol)
    assert is_gone(reset, "reset")
    assert is_gone(powerful, "invite")
    assert account_links.find(ordinary, "invite")


def test_links_outlive_the_end_of_an_ordinary_account(database, alice, bob):
    reset, powerful = account_links.reset(alice), account_links.invite(is_admin=True)
    accounts.remove(bob)
    assert account_links.find(reset, "reset")
    assert account_links.find(powerful, "invite")


@pytest.mark.sqlite
def test_the_database_and_exports_hold_no_token(database, settings, alice):
    tokens = [account_links.invite("Dora"), account_links.reset(alice)]
    parts = []
    all_users.write_to(parts.append)
    database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    kept = b"".join(parts) + (config.current.data_dir / "mm.db").read_bytes()
    assert json.loads(b"".join(parts))
    assert [token for token in tokens if token.encode() in kept] == []


def test_the_night_forgets_links_that_ran_out(database, alice, frozen_clock):
    account_links.invite("ran out")
    account_links.reset(alice)
    frozen_clock.move(2 * DAY)
    stays = account_links.invite()
    frozen_clock.move(5 * DAY)
    tidying.run(Job())
    assert [link.digest for link in AccountLink.select()] == [account_links.digest_of(stays)]
