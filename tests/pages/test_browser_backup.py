"""Data & Backup as somebody at home uses it: a real browser, a real server, a real worker."""

import json

import pytest
from playwright.sync_api import Page, expect

from mm.database import db
from mm.services import accounts
from tests.conftest import PASSWORD
from tests.support import standin as providers
from tests.support.processes import running

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.slow]

ALICE = "alice@example.org"
FILMS = providers.FILM_IDS[:12]
STARTED = 1_600_000_000.0


def document(films=FILMS, **values):
    movies = [
        {
            "imdb_id": imdb_id,
            "last_modified": STARTED,
            "watch_history": {"date_watched": STARTED, "my_rating": 8.5},
        }
        for imdb_id in films
    ]
    return {
        "version": 2,
        "exported_at": STARTED,
        "movies": movies,
        "people": [],
        "lists": [],
        **values,
    }


@pytest.fixture
def a_file(tmp_path):
    """a_file(content) -> its path; a document or any text."""

    def write(content):
        path = tmp_path / "library.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


@pytest.fixture
def server(tmp_path, standin):
    """Web and worker with the stand-in for the providers behind them, and Alice's account."""
    keys = {"TMDB_API_KEY": "standin-tmdb-key", "OMDB_API_KEY": "standin-omdb-key"}
    with running(tmp_path / "data", **standin.environ, **keys) as server:
        with db.connection_context():
            accounts.create(ALICE, "alice", PASSWORD)
        server.start("web", "worker")
        yield server


def heading(page: Page, words: str):
    return page.get_by_role("heading", name=words, exact=True)


def button(page: Page, words: str):
    return page.get_by_role("button", name=words)


def import_file(page: Page, url: str, path) -> None:
    page.goto(f"{url}/backup")
    choose(page, path)
    confirm_without_nights(page)
    expect(heading(page, "Import finished")).to_be_visible()


def choose(page: Page, path) -> None:
    """With htmx there, choosing sends the file; before that the form would only be sent by its
    button."""
    expect(page.locator("form[hx-post='/backup/import'][data-htmx-powered]")).to_be_attached()
    page.locator("#import input[type=file]").set_input_files(path)
    expect(heading(page, "Import library.json?")).to_be_visible()


def confirm_without_nights(page: Page) -> None:
    """So that no backup begins by itself in the middle of a test."""
    page.get_by_label("Back up my library every night").uncheck()
    page.locator("#confirm").click()


def open_menu(page: Page, number=0) -> None:
    page.locator(".sheet--menu summary").nth(number).click()


def films_in_library(server) -> int:
    return server.query("select count(*) from movie")[0][0]


@pytest.mark.parametrize(("size", "scheme"), [("phone", "light"), ("desk", "dark")])
def test_a_library_goes_in_is_filled_is_backed_up_and_comes_back(
    server, visit, a_file, size, scheme
):
    visitor = visit(size, scheme)
    page = visitor.page
    visitor.log_in(server.url, ALICE, PASSWORD)
    expect(heading(page, "Your library is empty")).to_be_visible()

    page.get_by_label("Back up my library every night").uncheck()
    button(page, "Import a library").click()
    choose(page, a_file(document()))
    expect(page.locator(".plan__sentence")).to_contain_text("12 films are new")
    assert films_in_library(server) == 0
    page.locator("#confirm").click()
    expect(heading(page, "Import finished")).to_be_visible()

    page.get_by_role("link", name="See your library").click()
    filled = page.get_by_role("listitem").filter(has_text="Moonquake")
    # Where details were still being fetched, the page is from before.
    expect(filled.or_(page.get_by_text("Fetching details")).first).to_be_visible()
    expect(filled).to_contain_text("8.5")

    page.get_by_role("link", name="Data & Backup").click()
    button(page, "Back up now").click()
    expect(page.locator("#toasts")).to_contain_text("Backed up and verified: 12 films.")
    expect(heading(page, "Backed up by hand only")).to_be_visible()
    expect(page.locator(".history__row")).to_have_count(2)
    page.reload()
    expect(page.locator("#job")).to_be_hidden()

    open_menu(page)
    button(page, "Verify the backup").click()
    expect(page.locator("#toasts")).to_contain_text("The backup can be restored: 12 films.")

    server.query("delete from movie where imdb_id in (?, ?)", *FILMS[:2])
    button(page, "Restore the backup").click()
    expect(page.locator(".plan__sentence")).to_contain_text("2 films come back, 10 are the same")
    page.locator("#confirm").click()
    expect(heading(page, "Restore finished")).to_be_visible()
    assert films_in_library(server) == 12

    page.get_by_role("link", name="Data & Backup").first.click()
    expect(page.locator(".history__row").filter(has_text="Before a restore")).to_contain_text(
        "10 films"
    )


def test_every_page_works_without_javascript(server, visit, a_file):
    visitor = visit(javascript=False)
    page = visitor.page
    visitor.log_in(server.url, ALICE, PASSWORD)
    page.goto(f"{server.url}/backup")
    page.locator("#import input[type=file]").set_input_files(a_file(document()))
    button(page, "Import Library").click()
    page.get_by_role("radio", name="Keep mine").check()
    button(page, "Update the plan").click()
    expect(page.get_by_role("radio", name="Keep mine")).to_be_checked()
    confirm_without_nights(page)
    expect(heading(page, "Import finished")).to_be_visible()

    page.goto(f"{server.url}/backup")
    button(page, "Back up now").click()
    expect(page.locator("#toasts")).to_contain_text("Backed up and verified")
    # Without scripts the page loads itself again while something runs, and takes a click along.
    page.goto(f"{server.url}/backup")
    page.get_by_role("switch", name="Automatic backup").click()
    expect(page.get_by_role("switch", name="Automatic backup")).to_be_checked()
    expect(page.locator("#toasts")).to_contain_text("Automatic backups are on")

    open_menu(page)
    page.get_by_role("link", name="Delete the backup").last.click()
    expect(heading(page, "Delete this backup?")).to_be_visible()
    button(page, "Delete backup").click()
    expect(page.locator("#toasts")).to_contain_text("Backup deleted.")
    button(page, "Log out").click()
    expect(button(page, "Log in")).to_be_visible()


def test_the_copy_of_htmx_serves_when_the_cdn_is_cut_off(server, visit, a_file):
    visitor = visit(cdn=False)
    visitor.log_in(server.url, ALICE, PASSWORD)
    import_file(visitor.page, server.url, a_file(document()))
    visitor.page.goto(f"{server.url}/backup")
    button(visitor.page, "Back up now").click()
    expect(visitor.page.locator("#toasts")).to_contain_text("Backed up and verified")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("not a library", "can’t be read"),
        (json.dumps(document(version=3)), "newer version: 3"),
        (json.dumps({"version": 2, "movies": [{"imdb_id": "../../etc"}]}), "not an IMDb title ID"),
    ],
)
def test_a_bad_file_shows_its_message_and_changes_nothing(server, visit, a_file, content, words):
    visitor = visit()
    visitor.allowed.append("422")
    visitor.log_in(server.url, ALICE, PASSWORD)
    page = visitor.page
    page.goto(f"{server.url}/backup")
    expect(page.locator("form[hx-post='/backup/import'][data-htmx-powered]")).to_be_attached()
    page.locator("#import input[type=file]").set_input_files(a_file(content))
    expect(page.locator("#import-problem")).to_contain_text(words)
    expect(page.locator(".toast--bad")).to_have_count(0)
    assert films_in_library(server) == 0
    assert server.query("select count(*) from job where kind = 'import'") == [(0,)]


def test_what_was_left_out_is_shown_and_can_be_downloaded(server, visit, a_file):
    content = document()
    content["movies"][3]["watch_history"]["my_rating"] = 11
    visitor = visit("phone")
    visitor.log_in(server.url, ALICE, PASSWORD)
    page = visitor.page
    page.goto(f"{server.url}/backup")
    choose(page, a_file(content))
    expect(page.locator(".plan__sentence")).to_contain_text("1 cannot be read")
    expect(page.locator("#movie-rejected")).to_contain_text("rating: 11 is above 10")
    page.locator("#confirm").click()
    # The plan has such a link too, and the page that follows it would break its download off.
    expect(heading(page, "Import finished")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="JSON").click()
    left_out = json.loads(download.value.path().read_text())
    assert left_out[0]["path"] == "movies[3].watch_history.my_rating"


def test_a_plan_that_is_out_of_date_is_drawn_again(server, visit, a_file):
    visitor = visit()
    visitor.allowed.append("409")
    visitor.log_in(server.url, ALICE, PASSWORD)
    page = visitor.page
    page.goto(f"{server.url}/backup")
    choose(page, a_file(document()))
    server.query("update user set library_version = library_version + 1")
    page.locator("#confirm").click()
    expect(page.get_by_role("alert")).to_contain_text("changed since this plan was made")
    expect(page.locator("#plan [role=alert]")).to_be_focused()
    assert films_in_library(server) == 0
    page.locator("#confirm").click()
    expect(heading(page, "Import finished")).to_be_visible()


def test_an_expired_log_in_leads_to_the_log_in_and_back(server, visit):
    visitor = visit()
    visitor.allowed.append("401")
    visitor.log_in(server.url, ALICE, PASSWORD)
    page = visitor.page
    page.goto(f"{server.url}/backup")
    expect(page.locator("form[hx-post='/backup/now'][data-htmx-powered]")).to_be_attached()
    server.query("update user set token_version = token_version + 1")
    button(page, "Back up now").click()
    page.get_by_label("Email or username").fill(ALICE)
    page.get_by_label("Password").fill(PASSWORD)
    button(page, "Log in").click()
    expect(heading(page, "Data & Backup")).to_be_visible()


def test_work_waits_aloud_while_no_worker_runs_and_goes_on_when_one_does(server, visit):
    server.kill("worker")
    server.query("update setting set value = '0' where key = 'worker_seen_at'")
    visitor = visit("phone", "dark")
    visitor.log_in(server.url, ALICE, PASSWORD)
    page = visitor.page
    page.goto(f"{server.url}/backup")
    button(page, "Back up now").click()
    expect(page.get_by_role("alert")).to_contain_text("the background worker isn’t running")
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("the background worker isn’t running")
    server.start("worker")
    expect(page.locator("#toasts")).to_contain_text("Backed up and verified")


def test_the_export_is_readable_and_comes_with_its_date(server, visit, a_file):
    visitor = visit()
    visitor.log_in(server.url, ALICE, PASSWORD)
    import_file(visitor.page, server.url, a_file(document()))
    visitor.page.goto(f"{server.url}/backup")
    with visitor.page.expect_download() as download:
        visitor.page.get_by_role("link", name="Export Library").click()
    assert download.value.suggested_filename.startswith("moviemanager-export-20")
    text = download.value.path().read_text()
    assert text.startswith('{\n  "version": 2')
    assert [movie["imdb_id"] for movie in json.loads(text)["movies"]] == sorted(FILMS)
