"""An invitation and a link for a new password in a real browser, from the page of an administrator
to the library of whoever got the link."""

import pytest
from playwright.sync_api import expect

from mm.database import db
from mm.models import Movie
from mm.services import accounts
from tests.conftest import PASSWORD
from tests.pages.test_browser_pages import SMALL_TARGETS, TARGET_PX
from tests.support import standin as providers
from tests.support.processes import running

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.slow]

WAYS = {
    "desk": {"size": "desk"},
    "phone, dark": {"size": "phone", "scheme": "dark"},
    "no JavaScript": {"size": "phone", "javascript": False},
}
OTHER = "another good password"
TITLE = "Nine Ways to Boil an Egg"
IMDB_ID = providers.FILM_IDS[1]
CAROL = "carol@example.org"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("users") / "data"
    with (
        providers.running() as tmdb,
        running(folder, TMDB_API_KEY="key", **tmdb.environ) as server,
    ):
        with db.connection_context():
            accounts.create(CAROL, "carol", PASSWORD, is_admin=True)
        server.start("web")
        yield server


@pytest.fixture(params=WAYS)
def way(request):
    return WAYS[request.param]


@pytest.fixture
def admin(server, visit, way):
    """Carol, on the page of all accounts."""
    visitor = visit(**way)
    visitor.log_in(server.url, CAROL, PASSWORD)
    visitor.page.goto(f"{server.url}/admin/users")
    if way.get("javascript", True):
        expect(visitor.page.locator("form[data-htmx-powered]").first).to_be_attached()
    return visitor


@pytest.fixture
def newcomer(server):
    """The name of somebody who has no account yet."""
    with db.connection_context():
        return f"dora{len(accounts.listing())}"


def faults(visitor, way):
    # Where a form led to another page, its styles may still be on their way.
    visitor.page.wait_for_load_state()
    found = visitor.page.evaluate(SMALL_TARGETS, TARGET_PX)
    beyond = visitor.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    if way.get("javascript", True):
        found += visitor.accessibility_faults()
    return found + [f"{beyond} px beyond the edge"] * (beyond > 0)


def test_somebody_is_invited_creates_an_account_and_adds_a_film(
    server, admin, visit, way, newcomer
):
    page = admin.page
    page.get_by_label("Who it is for").fill(newcomer)
    page.get_by_role("button", name="Create invitation").click()
    expect(page.get_by_label("Link", exact=True)).to_be_focused()
    link = page.get_by_label("Link", exact=True).input_value()
    expect(page.get_by_label(f"Revoke the invitation for {newcomer}")).to_be_visible()
    assert faults(admin, way) == []
    if way.get("javascript", True):
        page.get_by_role("button", name="Copy").click()
        expect(page.locator(".toast")).to_contain_text("Copied.")

    theirs = visit(**way)
    theirs.page.goto(link)
    assert faults(theirs, way) == []
    theirs.page.get_by_label("Username").fill(newcomer)
    theirs.page.get_by_label("Email").fill(f"{newcomer}@example.org")
    theirs.page.get_by_label("Password").fill(PASSWORD)
    theirs.page.get_by_role("button", name="Create account").click()
    expect(theirs.page.locator(".toast")).to_contain_text(f"Welcome, {newcomer}!")
    theirs.page.goto(f"{server.url}/add?q=boil")
    theirs.page.get_by_role("link", name=TITLE).click()
    theirs.page.get_by_role("button", name="Add to library").click()
    expect(theirs.page.locator(".toast")).to_contain_text(f"Added “{TITLE}” to To watch.")
    with db.connection_context():
        user = accounts.find(newcomer)
        assert [film.imdb_id for film in Movie.select().where(Movie.user == user)] == [IMDB_ID]

    theirs.page.goto(f"{server.url}/account")
    theirs.page.get_by_role("button", name="Log out", exact=True).last.click()
    theirs.allowed.append("404")
    theirs.page.goto(link)
    expect(theirs.page.get_by_text("This link is no longer valid.")).to_be_visible()
    theirs.log_in(server.url, newcomer, PASSWORD)
    page.goto(f"{server.url}/admin/users")
    expect(page.get_by_label(f"Revoke the invitation for {newcomer}")).to_have_count(0)
    expect(page.get_by_role("row").filter(has_text=newcomer)).to_contain_text("1 film")


def test_a_forgotten_password_is_set_anew(server, admin, visit, way, newcomer):
    with db.connection_context():
        accounts.create(f"{newcomer}@example.org", newcomer, PASSWORD)
    page = admin.page
    page.reload()
    if way.get("javascript", True):
        expect(page.locator("form[data-htmx-powered]").first).to_be_attached()
    row = page.get_by_role("row").filter(has_text=newcomer)
    row.locator("summary").click()
    page.get_by_label(f"Link for a new password: {newcomer}").click()
    link = page.get_by_label("Link", exact=True).input_value()
    expect(page.get_by_text("It works once, within 24 hours")).to_be_visible()

    elsewhere = visit(**way)
    elsewhere.log_in(server.url, newcomer, PASSWORD)
    theirs = visit(**way)
    theirs.page.goto(link)
    assert faults(theirs, way) == []
    theirs.page.get_by_label("New password").fill(OTHER)
    theirs.page.get_by_role("button", name="Change password and log in").click()
    expect(theirs.page.locator(".toast")).to_contain_text("Password changed.")
    expect(theirs.page.get_by_role("heading", name="Library", exact=True)).to_be_visible()
    elsewhere.allowed.append("401")
    elsewhere.page.goto(f"{server.url}/account")
    expect(elsewhere.page).to_have_url(f"{server.url}/login?next=/account")


def test_a_menu_makes_an_administrator_and_refuses_to_take_the_last_one(
    server, admin, way, newcomer
):
    with db.connection_context():
        user = accounts.create(f"{newcomer}@example.org", newcomer, PASSWORD)
    page = admin.page
    admin.allowed.append("409")
    page.reload()
    if way.get("javascript", True):
        expect(page.locator("form[data-htmx-powered]").first).to_be_attached()
    page.get_by_role("row").filter(has_text=CAROL).locator("summary").click()
    page.get_by_label("Make ordinary user: carol").click()
    expect(page.get_by_role("alert")).to_contain_text("This is the last active administrator.")
    page.get_by_role("row").filter(has_text=newcomer).locator("summary").click()
    page.get_by_label(f"Make administrator: {newcomer}").click()
    expect(page.locator(".toast")).to_contain_text(f"{newcomer} is an administrator.")
    row = page.get_by_role("row").filter(has_text=newcomer)
    expect(row.locator(".badge")).to_have_text("Administrator")
    with db.connection_context():
        assert accounts.get(user.id).is_admin
        accounts.change(user, is_admin=False)
