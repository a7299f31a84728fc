"""The pages of an invitation and of a link for a new password: public, good once, and slow to
guess."""

import threading
from types import SimpleNamespace

import limits.storage.memory
import pytest

from mm.clock import DAY, MINUTE
from mm.database import db
from mm.models import AccountLink, User
from mm.services import account_links, accounts
from tests.conftest import PASSWORD

OTHER = "another good password"
NEW = {"email": "dora@example.org", "username": "dora", "password": PASSWORD}
HOSTILE = [
    "<script>alert(1)</script>",
    "{{ 7 * 7 }}",
    "'; DROP TABLE user; --",
    "\u202eadmin",
    "💥",
]
NO_LONGER = "This link is no longer valid. Ask whoever sent it for a new one."


@pytest.fixture(autouse=True)
def set_up(carol):
    """Carol has an account: a server without any shows nothing but its set-up."""


@pytest.fixture
def browser(app):
    """browser(): a browser of its own, in which nobody is logged in."""

    def new():
        client = app.test_client()
        client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
        return client

    return new


@pytest.fixture
def moving_clock(frozen_clock, monkeypatch):
    """Also moves the limiter, which keeps its own time."""
    monkeypatch.setattr(limits.storage.memory, "time", SimpleNamespace(time=frozen_clock))
    return frozen_clock


def invite(**values):
    with db.connection_context():
        return f"/invite/{account_links.invite(**values)}"


def reset_of(user):
    with db.connection_context():
        return f"/reset/{account_links.reset(user)}"


def is_logged_in(client):
    return client.get("/login").status_code == 303


def names():
    with db.connection_context():
        return [user.username for user in accounts.listing() if user.username != "carol"]


def links():
    with db.connection_context():
        return AccountLink.select().count()


class TestInvitation:
    def test_somebody_invited_gets_an_account_is_logged_in_and_welcomed(self, browser):
        client, address = browser(), invite()
        assert "You’re invited" in client.get(address).text
        answer = client.post(address, data=NEW)
        assert (answer.status_code, answer.location) == (303, "/")
        text = client.get("/").text
        assert "Welcome, dora!" in text
        with db.connection_context():
            assert not accounts.find("dora").is_admin
            assert accounts.log_in("dora", PASSWORD)

    def test_an_administrator_is_told_so_and_becomes_one(self, browser):
        client, address = browser(), invite(is_admin=True)
        assert "You will be an administrator" in client.get(address).text
        client.post(address, data={**NEW, "is_admin": "1"})
        assert client.get("/admin").status_code == 200

    def test_nobody_makes_themselves_an_administrator(self, browser):
        client, address = browser(), invite()
        assert "administrator" not in client.get(address).text
        client.post(address, data={**NEW, "is_admin": "1", "admin": "1"})
        assert client.get("/admin").status_code == 403

    def test_looking_at_it_does_not_use_it_up(self, browser):
        address = invite()
        for _ in range(20):
            assert browser().get(address).status_code == 200
            assert browser().head(address).status_code == 200
        assert browser().post(address, data=NEW).status_code == 303

    def test_it_is_good_once(self, browser):
        address = invite()
        browser().post(address, data=NEW)
        second = {"email": "eve@example.org", "username": "eve", "password": PASSWORD}
        for answer in (browser().get(address), browser().post(address, data=second)):
            assert answer.status_code == 404
            assert NO_LONGER in answer.text
        assert names() == ["dora"]

    def test_of_two_browsers_at_once_one_gets_the_account(self, browser):
        address, barrier, statuses = invite(), threading.Barrier(2), []

        def submit(name):
            client = browser()
            barrier.wait()
            form = {"email": f"{name}@example.org", "username": name, "password": PASSWORD}
            statuses.append(client.post(address, data=form).status_code)

        threads = [threading.Thread(target=submit, args=[name]) for name in ("dora", "eve")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [303, 404]
        assert len(names()) == 1

    @pytest.mark.parametrize(
        ("wrong", "status", "said"),
        [
            ({"username": "ALICE"}, 400, "This name is already taken."),
            ({"email": "Alice@example.org"}, 400, "There is an account with this email address"),
            ({"email": "nobody"}, 422, "is not an email address"),
            ({"username": ""}, 422, "1 to 100 printable characters"),
            ({"username": "a@b"}, 422, "no @"),
            ({"password": "short"}, 422, "A password has 8 to 500 characters."),
            ({"password": "x" * 501}, 422, "A password has 8 to 500 characters."),
        ],
    )
    def test_what_is_wrong_is_said_at_its_field_and_the_link_stays_good(
        self, browser, alice, wrong, status, said
    ):
        client, address = browser(), invite()
        answer = client.post(address, data={**NEW, **wrong})
        assert answer.status_code == status
        [field] = wrong
        assert said in answer.text.partition(f'id="wrong-{field}"')[2].partition("</small>")[0]
        assert PASSWORD not in answer.text
        assert not is_logged_in(client)
        assert client.post(address, data=NEW).status_code == 303

    def test_a_form_without_fields_is_refused(self, browser):
        assert browser().post(invite()).status_code == 422
        assert names() == []

    @pytest.mark.parametrize("name", HOSTILE)
    def test_hostile_names_are_text_or_refused(self, browser, carol, name):
        client, address = browser(), invite(is_admin=True)
        answer = client.post(address, data={**NEW, "username": name})
        assert answer.status_code == (303 if name.isprintable() else 422)
        for text in (answer.text, client.get("/").text, client.get("/admin/users").text):
            assert "<script>alert" not in text
            assert "49" not in text.partition("Welcome")[2].partition("!")[0]
        with db.connection_context():
            assert accounts.find("carol").is_admin

    def test_it_runs_out_after_7_days(self, browser, frozen_clock):
        address = invite()
        frozen_clock.move(7 * DAY)
        for answer in (browser().get(address), browser().post(address, data=NEW)):
            assert answer.status_code == 404
            assert NO_LONGER in answer.text

    def test_whoever_is_logged_in_is_told_so(self, page):
        address = invite()
        answer = page.get(address)
        assert answer.status_code == 200
        assert "You are already logged in" in answer.text
        assert "<b><bdi>alice</bdi></b>" in answer.text
        assert page.post(address, data=NEW).status_code == 409
        assert names() == ["alice"]
        page.post("/logout")
        assert page.post(address, data=NEW).status_code == 303

    def test_a_form_of_another_site_creates_nothing(self, app):
        client = app.test_client()
        address = invite()
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}, {}):
            assert client.post(address, data=NEW, headers=headers).status_code == 403
        assert names() == []
        # As a browser on plain http at home sends it.
        home = {"Origin": "http://localhost"}
        assert client.post(address, data=NEW, headers=home).status_code == 303


class TestReset:
    def test_a_new_password_logs_in_here_and_out_everywhere_else(self, browser, page, alice):
        assert page.get("/").status_code == 200
        client, address = browser(), reset_of(alice)
        text = client.get(address).text
        assert "Choose a new password" in text
        assert "<bdi>alice</bdi>" in text
        answer = client.post(address, data={"password": OTHER})
        assert (answer.status_code, answer.location) == (303, "/")
        assert "Password changed." in client.get("/").text
        assert not is_logged_in(page)
        with db.connection_context():
            assert accounts.log_in("alice", OTHER)
            assert not accounts.log_in("alice", PASSWORD)

    def test_it_takes_the_place_of_another_log_in_of_this_browser(self, page, bob):
        page.post(reset_of(bob), data={"password": OTHER})
        assert "bob@example.org" in page.get("/account").text

    def test_looking_at_it_does_not_use_it_up_and_using_it_does(self, browser, alice):
        address = reset_of(alice)
        assert browser().get(address).status_code == 200
        assert browser().head(address).status_code == 200
        assert browser().post(address, data={"password": "short"}).status_code == 422
        assert browser().post(address, data={"password": OTHER}).status_code == 303
        answer = browser().post(address, data={"password": PASSWORD})
        assert answer.status_code == 404
        assert NO_LONGER in answer.text
        with db.connection_context():
            assert accounts.log_in("alice", OTHER)

    def test_what_is_wrong_is_said_at_the_field(self, browser, alice):
        answer = browser().post(reset_of(alice), data={"password": "short"})
        said = answer.text.partition('id="wrong-password"')[2].partition("</small>")[0]
        assert "A password has 8 to 500 characters." in said

    def test_it_ends_with_a_new_password_and_with_the_account(self, browser, page, alice, bob):
        alices, bobs = reset_of(alice), reset_of(bob)
        page.post("/account/password", data={"current": PASSWORD, "new": OTHER})
        with db.connection_context():
            accounts.change(bob, is_active=False)
        for address in (alices, bobs):
            assert browser().get(address).status_code == 404
            assert browser().post(address, data={"password": PASSWORD}).status_code == 404

    def test_it_runs_out_after_24_hours(self, browser, alice, frozen_clock):
        address = reset_of(alice)
        frozen_clock.move(DAY)
        assert browser().get(address).status_code == 404


class TestGuessing:
    @pytest.mark.parametrize("kind", ["invite", "reset"])
    def test_it_is_slow(self, browser, alice, moving_clock, kind):
        client = browser()
        good = invite() if kind == "invite" else reset_of(alice)
        statuses = [client.get(f"/{kind}/guess{number}").status_code for number in range(12)]
        assert statuses == [404] * 10 + [429] * 2
        answer = client.get(good)
        assert answer.status_code == 429
        assert "Too many failed attempts. Try again in 15 minutes." in answer.text
        assert 0 < int(answer.headers["Retry-After"]) <= 15 * MINUTE
        assert client.post(good, data={**NEW, "password": OTHER}).status_code == 429
        moving_clock.move(15 * MINUTE + 1)
        assert client.get(good).status_code == 200

    def test_it_locks_nobody_out_of_another_network_or_of_the_log_in(self, browser, alice):
        stranger, good = browser(), invite()
        for number in range(11):
            stranger.get(f"/invite/guess{number}")
        form = {"email": "alice", "password": PASSWORD}
        assert stranger.post("/login", data=form).status_code == 303
        other = {"REMOTE_ADDR": "192.0.2.7"}
        assert browser().get(good, environ_base=other).status_code == 200

    @pytest.mark.parametrize("token", ["x", "x" * 5000, "%00", "%FF%FE", "..%5c..", "<b>", "é"])
    def test_any_token_is_answered_alike(self, browser, token):
        for kind in ("invite", "reset"):
            answer = browser().get(f"/{kind}/{token}")
            assert answer.status_code == 404
            assert NO_LONGER in answer.text

    def test_a_link_of_one_kind_is_none_of_the_other(self, browser, alice):
        invited, reset = invite(), reset_of(alice)
        assert browser().get(invited.replace("invite", "reset")).status_code == 404
        assert browser().get(reset.replace("reset", "invite")).status_code == 404
        assert links() == 2


def test_no_cache_keeps_a_page_and_no_other_site_is_told_its_address(browser, alice):
    for address in (invite(), reset_of(alice), "/invite/guess"):
        headers = browser().get(address).headers
        assert headers["Cache-Control"] == "no-store"
        # Not no-referrer: browsers would then send no origin with the form, and without https
        # nothing else says that it came from here.
        assert headers["Referrer-Policy"] == "same-origin"


def test_the_log_names_who_came_and_never_a_token(browser, alice, lines):
    addresses = [invite(), reset_of(alice)]
    browser().post(addresses[0], data=NEW)
    browser().post(addresses[1], data={"password": OTHER})
    for address in addresses:
        browser().get(address)
    log = "\n".join(lines())
    with db.connection_context():
        dora = User.get(User.username == "dora")
    assert f"invite.accepted admin=False by={dora.id}" in log
    assert f"password.reset by={alice.id}" in log
    assert log.count("link.refused") == 2
    for address in addresses:
        token = address.rpartition("/")[2]
        assert token not in log
        assert account_links.digest_of(token) not in log
    assert "dora@example.org" not in log
