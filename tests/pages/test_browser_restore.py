"""Going back to a backup in a real browser: the plan is read, a row is left out, it is done, undone
and done again; with the mouse, and with the keyboard alone.

MM_TEST_FILMS sets how large the library is; each part of the damage grows with it.
"""

import json
import os

import pytest
from playwright.sync_api import Page, expect

from mm.database import db
from mm.services import accounts
from mm.services.backup import backups, imports
from tests.conftest import PASSWORD
from tests.support.libraries import document, film, person, seen, vote
from tests.support.processes import running

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.slow]

FILMS = int(os.environ.get("MM_TEST_FILMS", "60"))
# Of each 2,698 films: recommended by the one who is deleted, moved to deleted, rated wrong.
RECOMMENDED, DELETED, RATED = FILMS * 300 // 2698, FILMS * 500 // 2698, max(2, FILMS * 50 // 2698)
KEPT = "tt0000001"


def library():
    """Of Ann's recommendations, and ratings from 1 to 10."""
    films = []
    for number in range(1, FILMS + 1):
        row = seen(number, rating=number % 10 + 1, title=f"Film {number}", year=1990)
        if number > FILMS - RECOMMENDED:
            row["recommendations"] = [vote("Ann")]
        films.append(row)
    return document(films, people=[person("Ann"), person("Ben")])


@pytest.fixture
def server(tmp_path):
    """A library, its backup, and then what somebody did to it at noon."""
    with running(tmp_path / "data") as server:
        with db.connection_context():
            alice = accounts.create("alice@example.org", "alice", PASSWORD)
            imports.import_bytes(alice, json.dumps(library()).encode())
            backups.create(alice)
        server.query("delete from recommendation")
        server.query("delete from person where name = 'Ann'")
        server.query(f"update movie set status = 'deleted' where id <= {DELETED}")
        server.query(
            "update watch set my_rating = 1.5 where movie_id in "
            f"(select id from movie where id > {DELETED} order by id limit {RATED})"
        )
        server.query("update user set library_version = library_version + 1")
        server.query("update user set backup_enabled = 0")
        server.start("web", "worker")
        yield server


def state(server):
    """What a restore has to bring back."""
    return (
        server.query("select imdb_id, status from movie order by imdb_id"),
        server.query("select movie_id, my_rating from watch order by movie_id, date_watched"),
        server.query("select name from person where quick_key is null order by name"),
        server.query("select count(*) from recommendation"),
    )


def heading(page: Page, name, **values):
    return page.get_by_role("heading", name=name, **values)


def open_plan(page: Page, server) -> None:
    page.goto(f"{server.url}/backup")
    page.get_by_role("button", name="Restore the backup").first.click()
    expect(heading(page, "Restore today’s backup?")).to_be_visible()


def undo(page: Page) -> None:
    """From the page of the result."""
    page.get_by_role("button", name="Undo this").click()
    expect(heading(page, "Undo the", exact=False)).to_be_visible()
    page.locator("#confirm").click()
    expect(heading(page, "Undone")).to_be_visible()


@pytest.mark.parametrize(("size", "scheme"), [("phone", "dark"), ("desk", "light")])
def test_a_wrecked_library_comes_back_but_for_the_row_left_out_and_is_undone_and_redone(
    server, visit, size, scheme
):
    wrecked = state(server)
    visitor = visit(size, scheme)
    page = visitor.page
    visitor.log_in(server.url, "alice", PASSWORD)
    open_plan(page, server)
    changed = DELETED + RATED + RECOMMENDED
    expect(page.locator(".plan__sentence")).to_contain_text(f"{changed:,} films change")
    expect(page.locator(".plan__sentence")).to_contain_text("1 person comes back")
    assert visitor.accessibility_faults() == []

    group = page.locator("#movie-changed")
    if group.get_attribute("open") is None:
        page.locator("#movie-changed > summary").click()
    row = group.get_by_role("checkbox", name="Change Film 1", exact=True)
    expect(row).to_be_checked()
    row.uncheck()
    expect(heading(page, "1 row left out by you")).to_be_visible()
    expect(page.locator(".plan__sentence")).to_contain_text(f"{changed - 1:,} films change")
    # Where it stands now, the focus is on it still.
    expect(page.get_by_role("checkbox", name="Take Film 1", exact=True)).to_be_focused()
    assert visitor.accessibility_faults() == []

    page.locator("#confirm").click()
    expect(heading(page, "Restore finished")).to_be_visible()
    gone_back = state(server)
    assert dict(gone_back[0])[KEPT] == "deleted"
    assert {status for imdb_id, status in gone_back[0] if imdb_id != KEPT} == {"watched"}
    assert gone_back[2:] == ([("Ann",), ("Ben",)], [(RECOMMENDED,)])

    undo(page)
    assert state(server) == wrecked
    undo(page)
    assert state(server) == gone_back


def test_the_keyboard_alone_goes_back(server, visit):
    visitor = visit()
    page = visitor.page
    visitor.log_in(server.url, "alice", PASSWORD)
    page.goto(f"{server.url}/backup")
    tab_to(page, "[aria-label^='Restore the backup']")
    page.keyboard.press("Enter")
    expect(heading(page, "Restore today’s backup?")).to_be_visible()

    tab_to(page, "#mode-replace")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#mode-merge")).to_be_checked()
    expect(page.locator("#mode-merge")).to_be_focused()
    expect(page.locator("#rule-skip")).to_be_checked()
    page.keyboard.press("ArrowUp")
    expect(page.locator("#mode-replace")).to_be_focused()
    expect(page.locator("#rule-skip")).to_have_count(0)

    tab_to(page, "[data-opens='movie-changed']")
    page.keyboard.press("Enter")
    expect(page.locator("#movie-changed-summary")).to_be_focused()
    expect(page.locator("#movie-changed table")).to_be_visible()
    tab_to(page, "#movie-changed [name=take]")
    page.keyboard.press("Space")
    expect(heading(page, "1 row left out by you")).to_be_visible()
    tab_to(page, "#confirm")
    page.keyboard.press("Enter")
    expect(heading(page, "Restore finished")).to_be_visible()


def tab_to(page: Page, selector: str) -> None:
    for _ in range(150):
        if page.evaluate("(wanted) => document.activeElement.matches(wanted)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"150 tabs do not reach {selector}")


def test_without_javascript_a_row_is_left_out_and_the_rest_comes_back(server, visit):
    page = (visitor := visit(javascript=False)).page
    visitor.log_in(server.url, "alice", PASSWORD)
    open_plan(page, server)
    if page.locator("#movie-changed[open]").count() == 0:
        page.get_by_role("link", name="films change").click()
    page.get_by_role("checkbox", name="Change Film 1", exact=True).uncheck()
    page.get_by_role("button", name="Update the plan").click()
    expect(heading(page, "1 row left out by you")).to_be_visible()
    expect(page.locator("#movie-changed")).to_have_attribute("open", "")
    page.locator("#confirm").click()
    expect(heading(page, "Restore finished")).to_be_visible()
    assert dict(state(server)[0])[KEPT] == "deleted"


def test_a_rating_is_typed_in_place_and_the_focus_stays(server, visit, tmp_path):
    films = [film(9001), *[seen(n, rating=11, title=f"Bad {n}") for n in (9002, 9003)]]
    path = tmp_path / "library.json"
    path.write_text(json.dumps(document(films)))
    page = (visitor := visit("phone")).page
    visitor.log_in(server.url, "alice", PASSWORD)
    page.goto(f"{server.url}/backup")
    expect(page.locator("form[hx-post='/backup/import'][data-htmx-powered]")).to_be_attached()
    page.locator("#import input[type=file]").set_input_files(path)
    expect(heading(page, "Import library.json?")).to_be_visible()
    expect(page.locator(".plan-reason")).to_have_text("2 × rating: 11 is above 10")
    field = page.get_by_label("Instead, for Bad 9002, row 2")
    field.fill("9")
    page.keyboard.press("Enter")
    expect(heading(page, "Typed by you")).to_be_visible()
    expect(page.locator(".plan__sentence")).to_contain_text("2 films are new, 1 cannot be read")
    assert page.url.endswith(waiting_address(server))
    assert visitor.accessibility_faults() == []


def waiting_address(server):
    (job_id,) = server.query("select id from job where state = 'waiting'")[0]
    return f"/backup/import/{job_id}"
