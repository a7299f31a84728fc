"""Keys, backups and the catalogue after the first account, and the pages Schedule and Limits, in a
browser."""

import contextlib
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import expect

from mm.database import db
from mm.services import accounts
from tests.conftest import PASSWORD
from tests.support import standin as providers
from tests.support.processes import running

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.slow]

CAROL = "carol@example.org"
PAGES = (
    "/admin/begin/keys",
    "/admin/begin/schedule",
    "/admin/begin/catalogue",
    "/admin/schedule",
    "/admin/limits",
)


@contextlib.contextmanager
def carols(folder, standin):
    """Without keys; the providers are the stand-in."""
    with running(folder / "data", **standin.environ) as server:
        with db.connection_context():
            accounts.create(CAROL, "carol", PASSWORD, is_admin=True)
        server.start("web")
        yield server


@pytest.fixture
def server(tmp_path, standin):
    with carols(tmp_path, standin) as server:
        yield server


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """For tests that only look."""
    with (
        providers.running() as standin,
        carols(tmp_path_factory.mktemp("begin"), standin) as server,
    ):
        yield server


def live_in(page, zone):
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setTimezoneOverride", {"timezoneId": zone})


def test_three_clicks_lead_from_the_first_account_to_the_first_film(server, visit):
    visitor = visit("phone")
    visitor.log_in(server.url, CAROL, PASSWORD)
    page = visitor.page
    live_in(page, "Asia/Tokyo")
    page.goto(f"{server.url}/admin/begin/keys")
    page.get_by_role("link", name="Skip for now").click()
    expect(page.get_by_label("Time zone")).to_have_value("Asia/Tokyo")
    expect(page.get_by_label("Back up my library every night")).to_be_checked()
    expect(page.get_by_label("Keep an archive of the whole server")).to_be_checked()
    page.get_by_role("button", name="Continue").click()
    expect(page).to_have_url(f"{server.url}/admin/begin/catalogue")
    expect(page.locator("#toasts")).to_contain_text("every night at 03:00 (Asia/Tokyo)")
    page.get_by_role("link", name="Skip for now").click()
    expect(page).to_have_url(f"{server.url}/add")
    # What was chosen stays, wherever the next browser is.
    abroad = visit("desk")
    abroad.log_in(server.url, CAROL, PASSWORD)
    live_in(abroad.page, "Europe/Paris")
    abroad.page.goto(f"{server.url}/admin/begin/schedule")
    expect(abroad.page.get_by_label("Time zone")).to_have_value("Asia/Tokyo")


def test_a_key_is_tested_then_saved_with_the_enter_key(server, standin, visit):
    visitor = visit("desk")
    visitor.log_in(server.url, CAROL, PASSWORD)
    page = visitor.page
    page.goto(f"{server.url}/admin/begin/keys")
    field = page.get_by_label("TMDB key")
    field.fill("a-right-key-of-some-length")
    page.locator("button[data-htmx-powered]", has_text="Test key").first.click()
    expect(page.locator("#key-test-tmdb .note")).to_be_visible()
    expect(page.locator("#key-test-omdb .note")).to_have_count(0)
    field.press("Enter")
    expect(page).to_have_url(f"{server.url}/admin/begin/schedule")
    page.get_by_role("link", name="Back").click()
    expect(field).to_have_value("••••••••ngth")


def test_it_works_without_javascript(server, visit):
    visitor = visit("desk", javascript=False)
    visitor.log_in(server.url, CAROL, PASSWORD)
    page = visitor.page
    page.goto(f"{server.url}/admin/begin/keys")
    page.get_by_label("OMDb key").fill("half-a-key")
    page.get_by_role("button", name="Test key").last.click()
    expect(page.locator("#key-test-omdb .note")).to_be_visible()
    expect(page.get_by_label("OMDb key")).to_have_value("half-a-key")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_label("Time zone")).to_have_value("UTC")
    page.get_by_label("Time zone").select_option("Pacific/Auckland")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("button", name="Get the catalogue")).to_be_visible()
    page.get_by_role("link", name="Skip for now").click()
    expect(page).to_have_url(f"{server.url}/add")
    page.goto(f"{server.url}/admin/schedule")
    expect(page.locator("main")).to_contain_text("in Pacific/Auckland")
    # In the hour before, the page would say how many minutes are left.
    later = datetime.now(ZoneInfo("Pacific/Auckland")) + timedelta(hours=12)
    page.get_by_label("Time", exact=True).fill(f"{later:%H:%M}")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("main")).to_contain_text(f"at {later:%H:%M}")


@pytest.mark.parametrize("size", ["phone", "desk"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_and_everybody_can_use_it(untouched, visit, size, scheme):
    visitor = visit(size, scheme)
    visitor.log_in(untouched.url, CAROL, PASSWORD)
    page = visitor.page
    for path in PAGES:
        page.goto(f"{untouched.url}{path}")
        assert visitor.accessibility_faults() == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
