"""Account: name, password, the end of all log-ins, and the page itself."""

import re

import pytest

from mm.models import User
from mm.services import accounts
from mm.services.backup import backups
from mm.services.library import movies
from tests.conftest import PASSWORD

NEW = "a quite different phrase"


@pytest.fixture
def elsewhere(app, alice):
    """Another device of Alice's."""
    other = app.test_client()
    other.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    other.post("/login", data={"email": alice.email, "password": PASSWORD, "remember": "1"})
    return other


def is_logged_in(client):
    return client.get("/account").status_code == 200


def change(page, current=PASSWORD, new=NEW):
    return page.post("/account/password", data={"current": current, "new": new})


def test_the_name_is_changed(page, alice):
    assert page.post("/account/name", data={"username": " Ada "}).location == "/account"
    assert User.get_by_id(alice.id).username == "Ada"
    assert "Name changed to Ada." in page.get("/account").text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "1 to 100"),
        ("a" * 101, "1 to 100"),
        ("a@b", "no @"),
        ("BOB", "already taken"),
        ("a\nb", "printable"),
    ],
)
def test_a_name_that_cannot_be_used_is_said_at_its_field(page, alice, bob, name, said):
    answer = page.post("/account/name", data={"username": name})
    assert answer.status_code == 422
    assert said in answer.text
    assert 'aria-describedby="wrong-username"' in answer.text
    assert User.get_by_id(alice.id).username == "alice"


def test_ones_own_name_may_be_written_otherwise(page, alice):
    page.post("/account/name", data={"username": "ALICE"})
    assert User.get_by_id(alice.id).username == "ALICE"


def test_a_new_password_ends_every_other_log_in_and_keeps_this_one(page, alice, elsewhere):
    assert is_logged_in(elsewhere)
    assert change(page).location == "/account"
    assert is_logged_in(page)
    assert not is_logged_in(elsewhere)
    assert accounts.log_in(alice.email, NEW)


def test_a_log_in_for_30_days_stays_one(elsewhere):
    assert "Expires" in change(elsewhere).headers["Set-Cookie"]


def test_a_new_password_needs_the_old_one_and_eight_characters(page, alice):
    answer = change(page, current="wrong password")
    assert (answer.status_code, "The current password is incorrect" in answer.text) == (422, True)
    assert "wrong password" not in answer.text
    answer = change(page, new="short")
    assert (answer.status_code, "8 to 500 characters" in answer.text) == (422, True)
    assert accounts.log_in(alice.email, PASSWORD)


def test_guessing_the_old_password_is_held_up(page):
    for _ in range(10):
        change(page, current="wrong password")
    answer = change(page)
    assert (answer.status_code, "Retry-After" in answer.headers) == (429, True)
    assert "Too many" in answer.text


def test_logging_out_everywhere_ends_every_log_in(page, elsewhere):
    assert page.post("/account/end-sessions").location == "/login"
    assert not is_logged_in(page)
    assert not is_logged_in(elsewhere)


def test_the_page_tells_of_the_last_good_backup(page, alice):
    shown = page.get("/account").text
    assert "Nothing to back up yet." in shown
    assert 'href="/backup"' in shown
    movies.add(alice.id, "tt0000001")
    backups.create(alice)
    shown = re.sub(r"\s+", " ", page.get("/account").text)
    assert "Backed up by hand only." in shown
    assert "Last copy just now; nothing changed since." in shown


def test_the_page_names_tmdb_as_its_terms_ask(page):
    shown = page.get("/account").text
    assert (
        "This product uses TMDB and the TMDB APIs but is not endorsed, certified, or otherwise "
        "approved by TMDB" in shown
    )
    assert 'alt="TMDB"' in shown


@pytest.mark.parametrize(
    "file", ["manifest.webmanifest", "icon-192.png", "icon-512.png", "tmdb.svg"]
)
def test_what_a_phone_needs_to_install_it_is_served(client, file):
    answer = client.get(f"/static/{file}", buffered=True)
    assert answer.status_code == 200
    assert len(answer.data) < 20_000
