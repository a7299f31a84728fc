"""The history on Data & Backup in a real browser: its menu by keyboard, and adding a file."""

import pytest
from playwright.sync_api import Page, expect

from mm.database import db
from mm.services import accounts
from tests.conftest import PASSWORD
from tests.support.libraries import as_bytes, document, film, many, put
from tests.support.processes import running

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.slow]

ALICE = "alice@example.org"


@pytest.fixture
def a_file(tmp_path):
    """a_file(content) -> its path."""

    def write(content):
        path = tmp_path / "library.json"
        path.write_bytes(content)
        return path

    return write


@pytest.fixture
def server(tmp_path):
    """Web and worker, and Alice's account with three films."""
    with running(tmp_path / "data") as server:
        with db.connection_context():
            put(accounts.create(ALICE, "alice", PASSWORD), document([film(1), film(2), film(3)]))
        server.start("web", "worker")
        yield server


def heading(page: Page, words: str):
    return page.get_by_role("heading", name=words, exact=True)


def button(page: Page, words: str):
    return page.get_by_role("button", name=words)


def test_the_menu_of_a_backup_works_with_the_keyboard_alone(server, visit):
    visitor = visit()
    page = visitor.page
    visitor.log_in(server.url, ALICE, PASSWORD)
    page.goto(f"{server.url}/backup")
    button(page, "Back up now").click()
    row = page.locator(".history__row").filter(has_text="Made by hand")
    menu = row.locator("summary")
    menu.focus()
    page.keyboard.press("Enter")
    expect(button(page, "Verify the backup")).to_be_visible()
    assert visitor.accessibility_faults() == []
    page.keyboard.press("Escape")
    expect(button(page, "Verify the backup")).to_be_hidden()
    expect(menu).to_be_focused()

    page.keyboard.press("Enter")
    for _ in range(4):
        page.keyboard.press("Tab")
    expect(button(page, "Pin the backup")).to_be_focused()
    page.keyboard.press("Enter")
    expect(row).to_contain_text("Pinned: kept until you unpin it")
    expect(row.locator("summary")).to_be_focused()

    page.keyboard.press("Enter")
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(heading(page, "What changed")).to_be_visible()
    expect(page.get_by_text("Nothing is different")).to_be_visible()
    assert visitor.accessibility_faults() == []


@pytest.mark.parametrize("javascript", [True, False])
def test_a_backup_file_is_added_and_what_is_none_is_told_at_the_field(
    server, visit, a_file, javascript
):
    visitor = visit("phone", javascript=javascript)
    visitor.allowed.append("422")
    visitor.log_in(server.url, ALICE, PASSWORD)
    page = visitor.page
    page.goto(f"{server.url}/backup")

    def add(content):
        if javascript:
            powered = page.locator("form[hx-post='/backup/upload'][data-htmx-powered]")
            expect(powered).to_be_attached()
        page.locator("#upload input[type=file]").set_input_files(a_file(content))
        if not javascript:
            button(page, "Add to my backups").click()

    add(b"Date,Name,Year,Letterboxd URI\n")
    expect(page.locator("#upload-problem")).to_contain_text("Letterboxd")
    add(as_bytes(many(5)))
    expect(page.locator("#toasts")).to_contain_text("Added to your backups")
    expect(page.locator(".history__row")).to_contain_text("Uploaded")
    assert server.query("select count(*) from movie") == [(3,)]
