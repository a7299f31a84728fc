"""Three lists from one account into another, and people: in a real browser, from a real server,
with and without JavaScript."""

import json

import pytest
from playwright.sync_api import expect

from mm.database import db
from mm.services import accounts
from mm.services.library import lists, movies
from tests.conftest import PASSWORD
from tests.support.libraries import custom_list, document, film, put
from tests.support.processes import running

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.slow]

ALICE, BOB = "alice@example.org", "bob@example.org"
NAMES = ("Winter", "Children", "For the next flight")
TOO_WIDE = "() => document.documentElement.scrollWidth > innerWidth"


def three_lists(user, color, films):
    """One of these films on each."""
    rows = [
        custom_list(f"{user.username}-{n}", name, position=n, color=color)
        for n, name in enumerate(NAMES)
    ]
    put(user, document([film(number) for number in films], [], rows))
    for row, number in zip(rows, films, strict=True):
        movies.set_status(user.id, f"tt{number:07d}", "custom", row["id"])


@pytest.fixture
def server(tmp_path):
    with running(tmp_path / "data") as server:
        with db.connection_context():
            three_lists(accounts.create(ALICE, "alice", PASSWORD), "#1864ab", [1, 2, 3])
            three_lists(accounts.create(BOB, "bob", PASSWORD), "#c2255c", [4, 5, 6])
        server.start("web")
        yield server


def lists_of(email):
    """{name: (colour, the films on it)}"""
    with db.connection_context():
        user = accounts.User.get(accounts.User.email == email)
        return {
            row.name: (row.color, lists.film_counts(user.id)[row.id])
            for row in lists.listing(user.id)
        }


@pytest.mark.parametrize(
    ("size", "scheme", "javascript"),
    [("phone", "light", True), ("desk", "dark", True), ("phone", "dark", False)],
)
def test_three_lists_go_into_another_account_each_with_a_choice_of_its_own(
    server, visit, tmp_path, size, scheme, javascript
):
    visitor = visit(size, scheme, javascript=javascript)
    # What is refused is a 422 of the page too.
    visitor.allowed.append("422")
    page = visitor.page

    def look():
        # Before its style sheet has arrived, a page is as wide as it likes.
        page.wait_for_load_state()
        assert not page.evaluate(TOO_WIDE)
        assert not javascript or visitor.accessibility_faults() == []

    visitor.log_in(server.url, ALICE, PASSWORD)
    page.goto(f"{server.url}/lists")
    page.get_by_role("link", name="Export or import lists").click()
    page.get_by_role("button", name="Export", exact=True).click()
    expect(page.get_by_text("Please select at least one item to export")).to_be_visible()
    look()
    page.get_by_label("Select All (3 items)").check()
    if javascript:
        expect(page.get_by_role("checkbox", name="Winter")).to_be_checked()
        page.get_by_role("checkbox", name="Winter").uncheck()
        expect(page.get_by_label("Select All (3 items)")).not_to_be_checked()
        page.get_by_label("Select All (3 items)").check()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export", exact=True).click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert file.name.startswith("lists-export-")
    assert [item["name"] for item in json.loads(file.read_bytes())["items"]] == list(NAMES)
    # A second one, without a reload.
    expect(page.get_by_role("button", name="Export", exact=True)).to_be_enabled()

    page.context.clear_cookies()
    visitor.log_in(server.url, BOB, PASSWORD)
    page.goto(f"{server.url}/collections/people")
    page.locator("input[type=file]").set_input_files(file)
    if not javascript:
        page.get_by_role("button", name="Import").click()
    expect(page.get_by_text("export type mismatch: lists (expected people).")).to_be_visible()
    look()
    page.locator("#import").get_by_role("link", name="Lists").click()
    page.locator("input[type=file]").set_input_files(file)
    if not javascript:
        page.get_by_role("button", name="Import").click()

    expect(page.get_by_text("3 already here.", exact=True)).to_be_visible()
    expect(page.get_by_text("Nothing changes with these choices.")).to_be_visible()
    look()
    page.get_by_role("button", name="Rename All").click()
    expect(page.get_by_text("With these choices: 3 are renamed.", exact=True)).to_be_visible()
    choices = {"Winter": "Skip", "Children": "Rename", "For the next flight": "Overwrite"}
    for name, choice in choices.items():
        group = page.get_by_role("group", name=f"What to do with {name}")
        # The radio itself is hidden under its label.
        group.get_by_text(choice, exact=True).click()
        if javascript:
            expect(group.get_by_label(choice)).to_be_checked()
    if not javascript:
        page.get_by_role("button", name="Update the preview").click()
    said = "With these choices: 1 is renamed, 1 replaces yours, 1 is skipped."
    expect(page.get_by_text(said, exact=True)).to_be_visible()
    expect(page.get_by_text("Imported as Children (1).")).to_be_visible()
    expect(page.get_by_text("1 film to your library").first).to_be_visible()
    look()
    page.get_by_role("button", name="Import 2 lists").click()

    expect(page.get_by_role("heading", name="Import finished")).to_be_visible()
    for badge in ("0 imported", "1 skipped", "1 overwritten", "1 renamed", "0 errors"):
        expect(page.get_by_text(badge)).to_be_visible()
    expect(page.get_by_text("Children is now Children (1)")).to_be_visible()
    look()
    assert lists_of(BOB) == {
        "Winter": ("#c2255c", 1),
        "Children": ("#c2255c", 1),
        "For the next flight": ("#1864ab", 1),
        "Children (1)": ("#1864ab", 1),
    }
    page.get_by_role("button", name="Undo this import…").click()
    expect(page.get_by_role("heading", name="Undo", exact=False).first).to_be_visible()


def test_a_cancelled_import_changes_nothing(server, visit, tmp_path):
    visitor = visit("phone")
    page = visitor.page
    visitor.log_in(server.url, ALICE, PASSWORD)
    page.goto(f"{server.url}/account")
    page.get_by_label("Format").select_option(index=1)
    page.get_by_role("button", name="Save dates").click()
    expect(page.get_by_role("heading", name="Account")).to_be_visible()
    page.wait_for_load_state()
    page.goto(f"{server.url}/collections/settings")
    page.get_by_label("Select All").check()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export", exact=True).click()
    file = tmp_path / "settings.json"
    download.value.save_as(file)
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_role("button", name="Overwrite All").click()
    said = "With these choices: 2 are imported, 1 replaces yours."
    expect(page.get_by_text(said, exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Rename All")).to_have_count(0)
    assert visitor.accessibility_faults() == []
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Nothing was changed.")).to_be_visible()
    expect(page.get_by_role("heading", name="Export or import settings")).to_be_visible()
