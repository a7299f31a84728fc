"""Server, Users: all accounts, invitations, links for a new password, and what nobody may do: leave
the server without an administrator."""

import html
import re

import pytest
from playhouse.test_utils import count_queries

from mm import config
from mm.clock import DAY
from mm.database import db
from mm.models import AccountLink, User
from mm.services import account_links, accounts
from mm.services.backup import backups
from mm.services.library import lists
from tests.conftest import PASSWORD
from tests.support.libraries import document, film, many, put

PARTIAL = {"HX-Request-Type": "partial"}
LAST = "This is the last active administrator. Make another account an administrator first."


@pytest.fixture
def admin(app, carol):
    """Carol's browser, logged in."""
    client = app.test_client()
    client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    with client.session_transaction() as session:
        session["_user_id"] = carol.get_id()
    return client


def make_admin(user):
    with db.connection_context():
        accounts.change(user, is_admin=True)


def shown_link(text):
    return html.unescape(re.search(r'<input value="([^"]+)" readonly', text)[1])


def path_of(link):
    return link.removeprefix("http://localhost")


def fresh(user):
    with db.connection_context():
        return User.get_or_none(User.id == user.id)


def invites():
    with db.connection_context():
        return account_links.open_invites()


class TestTheList:
    def test_each_account_is_a_row(self, admin, alice, bob, frozen_clock):
        with db.connection_context():
            put(alice, document([film(1), film(2)]))
            backups.create(alice)
            accounts.change(bob, is_active=False)
        text = admin.get("/admin/users").text
        assert "3 accounts" in text
        for user in (alice, bob):
            assert f"<strong><bdi>{user.username}</bdi></strong>" in text
            assert user.email in text
        assert "2 films" in text
        assert "Backed up" in text
        assert text.count("No backup yet") == 2
        assert text.count("Deactivated") == 1
        assert text.count("<bdi>Administrator</bdi>") == 1
        assert "carol</bdi></strong> (you)" in text

    def test_nothing_of_a_library_is_shown(self, admin, alice):
        with db.connection_context():
            put(alice, document([film(1)]))
            lists.create(alice.id, "Her secret list")
        for address in ("/admin/users", f"/admin/users/{alice.id}/delete"):
            text = admin.get(address).text
            assert "Her secret list" not in text
            assert "tt0000001" not in text

    def test_more_than_a_hundred_are_paged(self, admin, alice, bob, monkeypatch):
        monkeypatch.setattr("mm.routes.admin_users.PAGE_SIZE", 2)
        first, second = admin.get("/admin/users").text, admin.get("/admin/users?page=2").text
        assert "Page 1 of 2" in first
        assert "alice@example.org" in first
        assert "alice@example.org" not in second
        assert "carol</bdi></strong> (you)" in second
        assert "Page 2 of 2" in admin.get("/admin/users?page=99").text
        assert admin.get("/admin/users?page=x").status_code == 200

    def test_an_action_stays_on_its_page(self, admin, alice, bob, monkeypatch):
        monkeypatch.setattr("mm.routes.admin_users.PAGE_SIZE", 1)
        address = f"/admin/users/{bob.id}/role?page=2"
        assert f'action="{address}"' in admin.get("/admin/users?page=2").text
        answer = admin.post(address, data={"admin": "1"})
        assert answer.location == "/admin/users?page=2"
        text = admin.post(address, data={"admin": "0"}, headers=PARTIAL).text
        assert "Page 2 of 3" in text
        assert 'href="/admin/users?page=3"' in text

    def test_more_accounts_cost_no_more_queries(self, admin, alice, bob):
        def cost():
            with count_queries() as counter:
                admin.get("/admin/users")
            return counter.count

        admin.get("/admin/users")
        few = cost()
        with db.connection_context():
            for number in range(8):
                put(accounts.create(f"{number}@example.org", f"n{number}", PASSWORD), many(3))
        assert cost() <= few

    @pytest.mark.parametrize("name", ["<script>x</script>", "'\" onclick=x", "{{ 7 }}", "💥" * 100])
    def test_hostile_names_are_text(self, admin, name):
        with db.connection_context():
            user = accounts.create("x@example.org", name, PASSWORD)
        for address in ("/admin/users", f"/admin/users/{user.id}/delete"):
            text = admin.get(address).text
            assert "<script>x" not in text
            assert '" onclick' not in text
            assert name in html.unescape(text)


class TestInvitations:
    def test_one_is_shown_once_as_the_address_that_the_administrator_uses(self, admin, lines):
        answer = admin.post("/admin/users/invites", data={"note": "Grandma", "is_admin": "1"})
        link = shown_link(answer.text)
        assert link.startswith("http://localhost/invite/")
        assert "It works once, within 7 days." in answer.text
        assert answer.headers["Cache-Control"] == "no-store"
        again = admin.get("/admin/users").text
        assert link not in again
        assert "Grandma" in again
        assert invites()[0].is_admin
        assert admin.application.test_client().get(path_of(link)).status_code == 200
        log = "\n".join(lines())
        assert "invite.made admin=True by=" in log
        assert path_of(link) not in log

    def test_under_another_name_of_the_server_the_link_has_that_name(self, admin, carol):
        home = "https://films.example.org"
        with admin.session_transaction(base_url=home) as session:
            session["_user_id"] = carol.get_id()
        answer = admin.post("/admin/users/invites", base_url=home)
        assert shown_link(answer.text).startswith(f"{home}/invite/")

    def test_a_note_that_cannot_be_one_is_said_at_its_field(self, admin):
        data = {"note": "x" * 101, "is_admin": "1"}
        answer = admin.post("/admin/users/invites", data=data)
        assert answer.status_code == 422
        said = answer.text.partition('id="wrong-note"')[2]
        assert "A note has at most 100 printable characters." in said
        assert "x" * 101 in answer.text
        assert invites() == []

    def test_one_can_be_revoked(self, admin, lines):
        link = shown_link(admin.post("/admin/users/invites", data={"note": "Uncle Joe"}).text)
        address = re.search(r'action="([^"]+/revoke[^"]*)"', admin.get("/admin/users").text)[1]
        answer = admin.post(address)
        assert (answer.status_code, answer.location) == (303, "/admin/users")
        text = admin.get("/admin/users").text
        assert "Invitation revoked." in text
        assert "Uncle Joe" not in text
        assert admin.application.test_client().get(path_of(link)).status_code == 404
        assert "invite.revoked by=" in "\n".join(lines())
        again = admin.post(address)
        assert again.status_code == 404
        assert "was used or revoked already" in again.text

    def test_one_that_ran_out_is_not_listed(self, admin, frozen_clock):
        admin.post("/admin/users/invites", data={"note": "Uncle Joe"})
        assert "Uncle Joe" in admin.get("/admin/users").text
        frozen_clock.move(7 * DAY)
        assert "Uncle Joe" not in admin.get("/admin/users").text

    def test_with_htmx_only_the_part_that_changes_is_sent(self, admin):
        answer = admin.post("/admin/users/invites", data={"note": "Uncle Joe"}, headers=PARTIAL)
        assert answer.text.startswith('<div id="users"')
        assert shown_link(answer.text)


class TestResetLinks:
    def test_one_is_shown_once_and_replaces_the_older_one(self, admin, alice, lines):
        address = f"/admin/users/{alice.id}/reset-link"
        older, answer = shown_link(admin.post(address).text), admin.post(address)
        newer = shown_link(answer.text)
        assert "It works once, within 24 hours" in answer.text
        assert "<bdi>alice</bdi>" in answer.text
        assert newer not in admin.get("/admin/users").text
        client = admin.application.test_client()
        assert client.get(path_of(older)).status_code == 404
        assert client.get(path_of(newer)).status_code == 200
        log = "\n".join(lines())
        assert f"reset_link.made user={alice.id} by=" in log
        assert path_of(newer) not in log

    def test_a_deactivated_account_gets_none(self, admin, alice):
        with db.connection_context():
            accounts.change(alice, is_active=False)
        assert (
            "reset-link"
            not in admin.get("/admin/users").text.partition("alice@")[2].partition("carol@")[0]
        )
        answer = admin.post(f"/admin/users/{alice.id}/reset-link")
        assert answer.status_code == 409
        assert "This account is deactivated. Activate it first." in answer.text

    def test_an_unknown_account_is_not_found(self, admin):
        for action in ("reset-link", "role", "active", "delete"):
            assert admin.post(f"/admin/users/none/{action}").status_code == 404
        assert admin.get("/admin/users/none/delete").status_code == 404


class TestChanges:
    def test_an_account_becomes_an_administrator_and_an_ordinary_one(self, admin, alice, lines):
        address = f"/admin/users/{alice.id}/role"
        for _ in range(2):
            assert admin.post(address, data={"admin": "1"}).location == "/admin/users"
            assert fresh(alice).is_admin
        assert "alice is an administrator." in admin.get("/admin/users").text
        admin.post(address, data={"admin": "0"})
        assert not fresh(alice).is_admin
        log = "\n".join(lines())
        assert f"account.promoted user={alice.id} by=" in log
        assert f"account.demoted user={alice.id} by=" in log

    def test_an_account_is_deactivated_and_activated(self, admin, page, alice, lines):
        address = f"/admin/users/{alice.id}/active"
        admin.post(address, data={"active": "0"})
        assert not fresh(alice).is_active
        assert page.get("/").status_code == 303
        assert "alice is deactivated and was logged out" in admin.get("/admin/users").text
        admin.post(address, data={"active": "1"})
        assert fresh(alice).is_active
        assert page.get("/").status_code == 303
        log = "\n".join(lines())
        assert f"account.deactivated user={alice.id} by=" in log
        assert f"account.activated user={alice.id} by=" in log

    @pytest.mark.parametrize("headers", [{}, PARTIAL], ids=["plain", "htmx"])
    @pytest.mark.parametrize(
        ("action", "data"),
        [("role", {"admin": "0"}), ("active", {"active": "0"}), ("delete", {"confirm": "carol"})],
    )
    def test_the_last_administrator_stays_one(self, admin, carol, alice, headers, action, data):
        """A deactivated one beside them does not count."""
        make_admin(alice)
        with db.connection_context():
            accounts.change(alice, is_active=False)
        answer = admin.post(f"/admin/users/{carol.id}/{action}", data=data, headers=headers)
        assert answer.status_code == 409
        assert LAST in answer.text
        now = fresh(carol)
        assert now.is_admin
        assert now.is_active
        assert admin.get("/admin/users").status_code == 200

    def test_an_administrator_may_make_themselves_ordinary(self, admin, carol, alice):
        make_admin(alice)
        answer = admin.post(f"/admin/users/{carol.id}/role", data={"admin": "0"})
        assert (answer.status_code, answer.location) == (303, "/")
        assert "You are no longer an administrator." in admin.get("/").text
        assert admin.get("/admin/users").status_code == 403

    def test_an_administrator_may_deactivate_themselves(self, admin, carol, alice):
        make_admin(alice)
        answer = admin.post(f"/admin/users/{carol.id}/active", data={"active": "0"})
        assert (answer.status_code, answer.location) == (303, "/login")
        text = admin.get("/login").text
        assert "Another administrator can activate it again." in text
        assert not fresh(carol).is_active

    def test_with_htmx_they_are_led_away_too(self, admin, carol, alice):
        make_admin(alice)
        address = f"/admin/users/{carol.id}/role"
        answer = admin.post(address, data={"admin": "0"}, headers=PARTIAL)
        assert answer.headers["HX-Redirect"] == "/"


class TestDeleting:
    def test_the_page_says_what_will_be_lost_and_what_stays(self, admin, alice):
        with db.connection_context():
            put(alice, many(3))
            lists.create(alice.id, "One")
            backups.create(alice)
        text = admin.get(f"/admin/users/{alice.id}/delete").text
        assert "Delete this account?" in text
        assert "3 films" in text
        assert "1 list" in text
        assert str(config.current.backups_dir / alice.id) in text
        assert fresh(alice)

    @pytest.mark.parametrize("typed", ["", "Alice", "alice@example.org", "delete"])
    def test_without_the_name_nothing_is_deleted(self, admin, alice, typed):
        answer = admin.post(f"/admin/users/{alice.id}/delete", data={"confirm": typed})
        assert answer.status_code == 422
        said = answer.text.partition('id="wrong-confirm"')[2]
        assert "Type alice to delete this account." in said
        assert fresh(alice)

    def test_the_answer_names_the_folder_of_the_backups(self, admin, alice, bob, lines):
        with db.connection_context():
            backups.create(alice)
            account_links.reset(alice)
        answer = admin.post(f"/admin/users/{alice.id}/delete", data={"confirm": " alice "})
        assert answer.status_code == 200
        assert f"<code>{config.current.backups_dir / alice.id}</code>" in answer.text
        assert list((config.current.backups_dir / alice.id).iterdir())
        assert fresh(alice) is None
        assert fresh(bob)
        with db.connection_context():
            assert AccountLink.select().count() == 0
        assert f"account.removed user={alice.id} by=" in "\n".join(lines())
        assert admin.post(f"/admin/users/{alice.id}/delete").status_code == 404

    def test_an_account_without_backups_says_so(self, admin, alice):
        answer = admin.post(f"/admin/users/{alice.id}/delete", data={"confirm": "alice"})
        assert "It had no backups." in answer.text

    def test_an_administrator_may_delete_themselves(self, admin, carol, alice):
        make_admin(alice)
        assert "Delete your own account?" in admin.get(f"/admin/users/{carol.id}/delete").text
        answer = admin.post(f"/admin/users/{carol.id}/delete", data={"confirm": "carol"})
        assert answer.status_code == 200
        assert "Account deleted" in answer.text
        assert 'href="/login"' in answer.text
        assert admin.get("/").status_code == 303
        assert fresh(carol) is None


def test_others_can_do_none_of_it(page, alice, bob):
    for action in ("reset-link", "role", "active", "delete"):
        data = {"admin": "1", "active": "0", "confirm": "bob"}
        assert page.post(f"/admin/users/{bob.id}/{action}", data=data).status_code == 403
    assert page.post("/admin/users/invites").status_code == 403
    assert fresh(bob).is_active
    assert invites() == []
