"""The set-up in a real browser, with web and worker, from an empty folder: an administrator, and
files that are brought. test_browser_first_run.py has what else can be brought."""

import json

import pytest
from playwright.sync_api import Page, expect

from mm.database import db
from mm.models import User
from mm.services import accounts
from mm.services.library import movies
from mm.services.server import all_users
from tests.conftest import PASSWORD
from tests.support.original import make_original
from tests.support.processes import running

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.slow]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The export of all libraries of a server with one user."""
    folder = tmp_path_factory.mktemp("exported")
    with running(folder / "data"):
        with db.connection_context():
            movies.add(accounts.create("bob@example.org", "bob", PASSWORD).id, "tt1000000")
            all_users.write(folder / "all.json")
        db.obj.release()
    return folder / "all.json"


@pytest.fixture
def server(tmp_path):
    """Nobody has an account here."""
    with running(tmp_path / "data") as server:
        server.start("web", "worker")
        yield server


def bring(page: Page, server, path):
    page.goto(server.url)
    expect(page.get_by_role("heading", name="I already have data")).to_be_visible()
    page.locator("input[type=file]").set_input_files(path)


def log_in(page: Page, name, password):
    page.get_by_role("link", name="Log in").click()
    page.get_by_label("Email or username").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Library", exact=True)).to_be_visible()


def films_of(server, name):
    return server.query(
        "select count(*) from movie join user on user.id = user_id where username = ?", name
    )[0][0]


@pytest.mark.parametrize("javascript", [True, False])
def test_from_nothing_to_the_first_film_in_less_than_ten_clicks(server, visit, javascript):
    visitor = visit(javascript=javascript)
    page, clicks = visitor.page, 0
    page.goto(server.url)
    page.get_by_label("Username").fill("ann")
    page.get_by_label("Email").fill("ann@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    for button in ("Create account", "Continue"):
        page.get_by_role("button", name=button).click()
        clicks += 1
    expect(page.get_by_label("Back up my library")).to_be_checked()
    page.locator("main button").last.click()
    clicks += 1
    expect(page).to_have_url(f"{server.url}/admin/begin/catalogue")
    page.get_by_role("link", name="Skip for now").click()
    clicks += 1
    expect(page).to_have_url(f"{server.url}/add")
    assert clicks < 10
    assert page.goto(f"{server.url}/setup").status == 404
    visitor.allowed.append("404")


def test_an_uploaded_database_of_the_original_comes(server, visit, tmp_path):
    made = make_original(tmp_path / "app.db")
    page = visit().page
    bring(page, server, tmp_path / "app.db")
    page.get_by_label("user1").check()
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_role("heading", name="The libraries have been imported")).to_be_visible()
    for user in made["users"].values():
        page.goto(f"{server.url}/")
        page.get_by_label("Email or username").fill(user["username"])
        page.get_by_label("Password").fill(user["password"])
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="Library", exact=True)).to_be_visible()
        page.get_by_role("button", name="Log out").click()
    assert server.query("select username from user where is_admin") == [("user1",)]


def test_one_users_file_comes_by_its_page(server, visit, tmp_path):
    films = [{"imdb_id": f"tt{1000000 + number}"} for number in range(40)]
    (tmp_path / "a.json").write_text(json.dumps({"version": 2, "movies": films}))
    page = visit().page
    bring(page, server, tmp_path / "a.json")
    expect(page.get_by_role("heading", name="Create your account")).to_be_visible()
    page.get_by_label("Username").fill("ann")
    page.get_by_label("Email").fill("ann@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_role("heading", name="Your library has been imported")).to_be_visible()
    log_in(page, "ann", PASSWORD)
    assert films_of(server, "ann") == 40


def test_a_wrong_file_is_said_at_the_field_and_another_may_follow(
    server, visit, tmp_path, exported
):
    (tmp_path / "wrong.json").write_text('{"version": 2, "movies": [')
    visitor = visit()
    visitor.allowed.append("422")
    bring(visitor.page, server, tmp_path / "wrong.json")
    expect(
        visitor.page.get_by_text("Invalid JSON file. Please select a valid backup file.")
    ).to_be_visible()
    visitor.page.locator("input[type=file]").set_input_files(exported)
    expect(visitor.page.get_by_text("An export of all users")).to_be_visible()
    with db.connection_context():
        assert not User.select().exists()
