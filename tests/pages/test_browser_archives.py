"""From one machine to another in a browser: an archive is made and downloads by itself, is uploaded
on a second server and restored there, and everybody logs in with the password they had."""

import json

import pytest
from playwright.sync_api import expect

from mm.database import db
from mm.services import accounts
from tests.conftest import PASSWORD
from tests.support.libraries import many, put
from tests.support.processes import running

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.slow]

ALICE, CAROL, DAVE = "alice@example.org", "carol@example.org", "dave@example.org"
DAVES_PASSWORD = "another good password"


@pytest.fixture(scope="module")
def old_server(tmp_path_factory):
    """Alice's twelve films, the administrator Carol, and a key in the environment."""
    with running(tmp_path_factory.mktemp("old") / "data", TMDB_API_KEY="k" * 32) as server:
        with db.connection_context():
            accounts.create(CAROL, "carol", PASSWORD, is_admin=True)
            put(accounts.create(ALICE, "alice", PASSWORD), many(12))
        server.start("web", "worker")
        yield server


@pytest.fixture
def new_server(tmp_path):
    """Another machine, with Dave's account only."""
    with running(tmp_path / "data") as server:
        with db.connection_context():
            accounts.create(DAVE, "dave", DAVES_PASSWORD, is_admin=True)
        server.start("web", "worker")
        yield server


def heading(page, text):
    return page.get_by_role("heading", name=text, exact=True)


def test_a_server_moves_to_another_machine(old_server, new_server, visit, tmp_path):
    """Made on a desk, restored on a phone; each looks at what the other does."""
    desk, phone = visit("desk", "light"), visit("phone", "dark")
    archive = back_up(desk, old_server, tmp_path)
    phone.log_in(old_server.url, CAROL, PASSWORD)
    phone.page.goto(f"{old_server.url}/admin")
    expect(phone.page.locator("#archives")).to_contain_text("To be downloaded; deleted in")
    assert phone.accessibility_faults() == []

    for visitor in (desk, phone):
        visitor.log_in(new_server.url, DAVE, DAVES_PASSWORD)
        visitor.page.goto(f"{new_server.url}/admin")
    page = phone.page
    page.locator("#archive-upload[data-htmx-powered] input[type=file]").set_input_files(archive)
    expect(page.locator("#toasts")).to_contain_text("is in the list")
    page.get_by_role("link", name="Restore the archive").click()
    expect(heading(page, "Restore will replace all data. Continue?")).to_be_visible()
    desk.page.goto(page.url)
    assert desk.accessibility_faults() == []
    restore(phone)

    desk.page.goto(page.url)
    for visitor in (desk, phone):
        expect(heading(visitor.page, "The server is restored")).to_be_visible()
        expect(visitor.page.locator("#outcome")).to_contain_text("2 accounts with 12 films")
        expect(visitor.page.locator("#outcome")).to_contain_text("TMDB")
        assert visitor.accessibility_faults() == []

    # Nobody is logged in; who was on the old server has the password from there.
    page.get_by_role("link", name="Log in").click()
    page.get_by_label("Email or username").fill(CAROL)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(heading(page, "Library")).to_be_visible()
    page.goto(f"{new_server.url}/admin")
    expect(page.locator("#archives")).to_contain_text("Before a restore")
    names = new_server.query("select username from user order by username")
    assert names == [("alice",), ("carol",)]


def back_up(visitor, server, folder):
    """The archive that *Back up now* downloads by itself."""
    visitor.log_in(server.url, CAROL, PASSWORD)
    page = visitor.page
    page.goto(f"{server.url}/admin")
    expect(heading(page, "No archives yet")).to_be_visible()
    assert visitor.accessibility_faults() == []
    with page.expect_download() as downloaded:
        page.get_by_role("button", name="Back up now").click()
    archive = folder / downloaded.value.suggested_filename
    downloaded.value.save_as(archive)
    expect(heading(page, "The archive is ready")).to_be_visible()
    expect(page.locator("#archive-job")).to_contain_text("keep it somewhere safe")
    # The list follows without a reload; and a reload downloads nothing a second time.
    expect(page.locator("#archives")).to_contain_text("2 accounts, 12 films and settings")
    assert visitor.accessibility_faults() == []
    downloads = []
    page.on("download", lambda download: downloads.append(download))
    page.reload()
    expect(page.get_by_role("link", name="Download it")).to_be_visible()
    assert downloads == []
    return archive


def restore(visitor):
    """On its page: without the word nothing is done."""
    page = visitor.page
    visitor.allowed.append("422")
    page.get_by_label("Type restore to go on").fill("yes")
    page.get_by_role("button", name="Restore the server").click()
    expect(page.locator("#wrong-confirm")).to_have_text("Type the word restore to go on.")
    assert visitor.accessibility_faults() == []
    page.get_by_label("Type restore to go on").fill("restore")
    page.get_by_role("button", name="Restore the server").click()
    expect(page.locator("#outcome")).to_be_visible()


def test_without_javascript_an_archive_is_made_and_offered(old_server, visit):
    page = (visitor := visit(javascript=False)).page
    visitor.log_in(old_server.url, CAROL, PASSWORD)
    page.goto(f"{old_server.url}/admin")
    page.get_by_role("button", name="Back up now").click()
    expect(page.get_by_role("link", name="Download it")).to_be_visible()
    with page.expect_download() as downloaded:
        page.get_by_role("link", name="Download it").click()
    assert downloaded.value.suggested_filename.startswith("moviemanager-backup-")


def test_the_schedule_is_switched_on_in_place(old_server, visit):
    page = (visitor := visit("phone")).page
    visitor.log_in(old_server.url, CAROL, PASSWORD)
    page.goto(f"{old_server.url}/admin")
    expect(page.locator("form[hx-post$=schedule][data-htmx-powered]")).to_be_attached()
    page.get_by_label("Make archives automatically").check()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#archive-schedule")).to_contain_text("Next archive")
    [(kept,)] = old_server.query("select value from setting where key = 'server.archives'")
    assert json.loads(kept)["enabled"] is True
