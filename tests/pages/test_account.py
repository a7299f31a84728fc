"""Account: name, email, password, how dates look, what the library opens with, the end of all
log-ins, and the page itself."""

import re

import pytest

from mm.dates import Style
from mm.models import User
from mm.services import accounts, date_style
from mm.services.backup import backups
from mm.services.library import movies, usual
from mm.services.library.usual import Usual
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


def change_email(page, email, password=PASSWORD):
    return page.post("/account/email", data={"email": email, "email_password": password})


def options(text, name):
    """What can be chosen there, by value."""
    [field] = re.findall(rf'<select name="{name}".*?</select>', text, re.DOTALL)
    return dict(re.findall(r'<option value="(\w+)"[^>]*>([^<]*)</option>', field))


def chosen(text, *names):
    """The values that are chosen there."""
    return [
        value
        for name in names
        for field in re.findall(rf'<select name="{name}".*?</select>', text, re.DOTALL)
        for value in re.findall(r'<option value="(\w+)"[^>]* selected', field)
    ]


def test_the_name_is_changed(page, alice):
    assert page.post("/account/name", data={"username": " Ada "}).location == "/account"
    assert User.get_by_id(alice.id).username == "Ada"
    assert "Username changed to Ada." in page.get("/account").text


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


def test_the_email_address_is_changed_and_every_log_in_stays(page, alice, elsewhere):
    assert change_email(page, " Ada@Example.ORG ").location == "/account"
    user = User.get_by_id(alice.id)
    assert (user.email, user.email_key) == ("Ada@Example.ORG", "ada@example.org")
    assert "Email address changed to Ada@Example.ORG." in page.get("/account").text
    assert is_logged_in(elsewhere)
    assert accounts.log_in("ada@example.org", PASSWORD)
    assert not accounts.log_in("alice@example.org", PASSWORD)


def test_ones_own_email_address_may_be_written_otherwise(page, alice):
    change_email(page, "ALICE@example.org")
    assert User.get_by_id(alice.id).email == "ALICE@example.org"


@pytest.mark.parametrize(
    ("email", "said"),
    [
        ("", "is not an email address"),
        ("nobody", "is not an email address"),
        ("a b@example.org", "is not an email address"),
        ("a@" + "b" * 253, "is not an email address"),
        ("BOB@example.org", "Email already registered"),
        ("alice@example.org", "This is your email address already."),
    ],
)
def test_an_email_address_that_cannot_be_used_is_said_at_its_field(page, alice, bob, email, said):
    answer = change_email(page, email)
    assert answer.status_code == 422
    assert said in answer.text
    assert 'aria-describedby="wrong-email"' in answer.text
    assert User.get_by_id(alice.id).email == "alice@example.org"


def test_a_new_email_address_needs_the_password(page, alice):
    for password in ("wrong password", "", "x" * 600):
        answer = change_email(page, "ada@example.org", password)
        assert answer.status_code == 422
        assert "The current password is incorrect" in answer.text
        assert 'aria-describedby="wrong-email_password"' in answer.text
        # What was typed stays, but for the password.
        assert 'value="ada@example.org"' in answer.text
        assert "wrong password" not in answer.text
    assert User.get_by_id(alice.id).email == "alice@example.org"


def test_guessing_the_password_is_held_up_for_the_email_address_as_well(page, alice):
    for _ in range(5):
        change(page, current="wrong password")
        change_email(page, "ada@example.org", "wrong password")
    answer = change_email(page, "ada@example.org")
    assert (answer.status_code, "Retry-After" in answer.headers) == (429, True)
    assert "Too many" in answer.text
    assert User.get_by_id(alice.id).email == "alice@example.org"


def test_how_dates_look_is_chosen(page, alice, frozen_clock):
    answer = page.post("/account/dates", data={"format": "day_month", "language": "de"})
    assert answer.location == "/account"
    assert date_style.of(alice.id) == Style("day_month", "de")
    shown = page.get("/account").text
    assert "Dates now look like this: 1. März 2026." in shown
    assert options(shown, "format") == {
        "day_month": "1. März 2026",
        "month_day": "März 1, 2026",
        "day_slashes": "01/03/2026 (day first)",
        "month_slashes": "03/01/2026 (month first)",
        "day_dots": "01.03.2026",
        "iso": "2026-03-01",
    }
    assert options(shown, "language")["de"] == "Deutsch"
    assert chosen(shown, "format", "language") == ["day_month", "de"]


def test_until_it_is_chosen_dates_are_in_english(page, frozen_clock):
    shown = page.get("/account").text
    assert options(shown, "format")["day_month"] == "1 March 2026"
    assert chosen(shown, "format", "language") == ["day_month", "en"]


@pytest.mark.parametrize(
    ("sent", "wrong"),
    [
        ({"format": "stardate", "language": "de"}, "format"),
        ({"format": "iso", "language": "tlh"}, "language"),
        ({"format": "iso"}, "language"),
        ({}, "format"),
    ],
)
def test_an_unknown_format_or_language_is_said_at_its_field(page, alice, sent, wrong):
    date_style.choose(alice.id, Style("day_dots", "fr"))
    answer = page.post("/account/dates", data=sent)
    assert answer.status_code == 422
    assert f'aria-describedby="wrong-{wrong}"' in answer.text
    assert f"Choose one of these {wrong}s." in answer.text
    assert date_style.of(alice.id) == Style("day_dots", "fr")


def test_what_the_library_opens_with_is_chosen(page, alice):
    shown = page.get("/account").text
    assert options(shown, "size") == {"s": "Small", "m": "Medium", "l": "Large"}
    assert options(shown, "sort")["my_rating"] == "My rating"
    assert "order" not in options(shown, "sort")
    assert chosen(shown, "size", "sort") == ["m", "added"]
    answer = page.post("/account/library", data={"size": "l", "sort": "title"})
    assert answer.location == "/account"
    assert usual.of(alice.id) == Usual("l", "title")
    shown = page.get("/account").text
    assert "Your library now opens with large posters, sorted by Title." in shown
    assert chosen(shown, "size", "sort") == ["l", "title"]


@pytest.mark.parametrize(
    ("sent", "wrong"),
    [
        ({"size": "xl", "sort": "title"}, "size"),
        ({"size": "l", "sort": "order"}, "order"),
        ({"size": "l"}, "order"),
        ({}, "size"),
    ],
)
def test_an_unknown_size_or_order_is_said_at_its_field(page, alice, sent, wrong):
    usual.choose(alice.id, Usual("s", "year"))
    answer = page.post("/account/library", data=sent)
    assert answer.status_code == 422
    field = {"size": "size", "order": "sort"}[wrong]
    assert f'aria-describedby="wrong-{field}"' in answer.text
    assert f"Choose one of these {wrong}s." in answer.text
    assert usual.of(alice.id) == Usual("s", "year")


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


def test_only_an_administrator_is_led_to_the_server(page, alice):
    link = '<a class="button button--secondary" href="/admin">'
    assert link not in page.get("/account").text
    accounts.change(alice, is_admin=True)
    assert link in page.get("/account").text


def test_the_page_names_tmdb_as_its_terms_ask(page):
    shown = page.get("/account").text
    assert (
        "This product uses TMDB and the TMDB APIs but is not endorsed, certified, or otherwise "
        "approved by TMDB" in shown
    )
    assert 'alt="TMDB"' in shown


def test_tmdbs_logo_has_its_colours_and_nothing_that_runs(client):
    logo = client.get("/static/tmdb.svg", buffered=True).text
    assert [colour in logo for colour in ("#90cea1", "#3cbec9", "#00b3e5")] == [True] * 3
    assert "script" not in logo
    assert "href" not in logo


@pytest.mark.parametrize(
    "file", ["manifest.webmanifest", "icon-192.png", "icon-512.png", "tmdb.svg"]
)
def test_what_a_phone_needs_to_install_it_is_served(client, file):
    answer = client.get(f"/static/{file}", buffered=True)
    assert answer.status_code == 200
    assert len(answer.data) < 20_000
