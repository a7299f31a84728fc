"""Every page on a phone and on a desk, light and dark: nothing sticks out, and fingers hit what
they aim at."""

import json

import pytest
from playwright.sync_api import expect

from mm.database import db
from mm.models import Title
from mm.services import accounts, jobs
from mm.services.backup import backups, imports, uploads
from mm.services.backup import files as backup_files
from mm.services.library import people
from tests.conftest import PASSWORD
from tests.support.browser import CDN
from tests.support.processes import running

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.slow]

LONG = (
    "Night of the Day of the Dawn of the Son of the Bride of the Return of the Revenge of the "
    "Terror, "
) * 3
UNBROKEN = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 2
RIGHT_TO_LEFT = "جدایی نادر از سیمین"
TITLES = (LONG, UNBROKEN, RIGHT_TO_LEFT, "夜の自転車", "<b>Bold</b> & 'quoted'")
VIEWS = [(size, scheme) for size in ("phone", "desk") for scheme in ("light", "dark")]
TARGET_PX = 44
RAIL_PX, MARGIN_PX = 232, 40
LEFT_EDGE = """() => Math.min(...[...document.querySelectorAll('main > *')]
  .filter((element) => element.checkVisibility() && !element.matches('.visually-hidden'))
  .map((element) => element.getBoundingClientRect().left))"""
# What a finger cannot hit: visible, alone in its line, and smaller than 44 px.
SMALL_TARGETS = """(least) => [...document.querySelectorAll(
    'button, a.button, .shell__nav a, .tabs a, summary, .choice, .chip'
  )]
  .filter((element) => element.checkVisibility() && !element.matches('.switch'))
  .filter((element) => element.getBoundingClientRect().height < least - 0.5)
  .map((element) => element.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Web only: nothing that is queued here is ever done."""
    with running(tmp_path_factory.mktemp("pages") / "data") as server:
        server.start("web")
        yield server


@pytest.fixture(scope="module")
def addresses(server):
    """Alice has a bit of everything; each page of hers by name."""
    with db.connection_context():
        alice = accounts.create("alice@example.org", "alice", PASSWORD)
        imports.import_bytes(alice, json.dumps(_library()).encode())
        for number, title in enumerate(TITLES):
            values = {
                "title": title,
                "year": 1999,
                "directors": [title, title],
                "genres": [title],
                "tmdb_state": "ready",
            }
            Title.update(values).where(Title.imdb_id == f"tt{9000 + number:07}").execute()
        entry = backups.create(alice)
        folder = backup_files.folder_of(alice.id)
        (folder / f"{UNBROKEN}.json").write_text("{}")
        (folder / "2026-01-02.json").write_text("{}")
        plan = uploads.copy_backup(alice, entry.filename)
        job = jobs.create("backup", alice.id, {"kind": "manual"})
        failed = jobs.create("import", alice.id)
        jobs.fail(failed, LONG)
    return {
        "library": "/",
        "page 2": "/?offset=60",
        "filters": "/?filters=1&q=a",
        "film": "/movies/tt0009000",
        "backup": f"/backup?job={failed.id}",
        "delete": f"/backup/files/{entry.filename}/delete",
        "plan": f"/backup/import/{plan.id}",
        "waiting": f"/backup/jobs/{job.id}",
        "add": "/add",
        "pick": "/add/pick?imdb=tt0009000",
        "people": "/people",
        "person": f"/people/{people.find(alice.id, UNBROKEN).id}",
        "lists": "/lists",
        "list": "/lists/a-list",
        "account": "/account",
        "error": "/nowhere",
        "log-in": "/login",
    }


def _library():
    movies = [
        {"imdb_id": f"tt{9000 + number:07}", "last_modified": 1.6e9 - number}
        for number in range(130)
    ]
    movies[1]["watch_history"] = {"date_watched": 1.6e9, "my_rating": 10}
    movies[2] |= {"status": "custom", "custom_list_id": "a-list"}
    people = [{"name": UNBROKEN}, {"name": "<script>alert(1)</script>"}]
    lists = [{"id": "a-list", "name": UNBROKEN}]
    return {"version": 2, "exported_at": 1.7e9, "movies": movies, "people": people, "lists": lists}


@pytest.mark.parametrize(("size", "scheme"), VIEWS)
def test_no_page_sticks_out_and_every_target_is_large_enough(
    server, addresses, visit, size, scheme
):
    visitor = visit(size, scheme)
    visitor.allowed.append("404")
    visitor.log_in(server.url, "alice@example.org", PASSWORD)
    wrong = {name: _faults(visitor, server.url + address) for name, address in addresses.items()}
    assert {name: faults for name, faults in wrong.items() if faults} == {}


def _faults(visitor, address):
    page = visitor.page
    page.goto(address)
    beyond = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    headings = page.locator("h1").count()
    faults = page.evaluate(SMALL_TARGETS, TARGET_PX) + visitor.accessibility_faults()
    return (
        faults
        + [f"{beyond} px beyond the edge"] * (beyond > 0)
        + [f"{headings} h1"] * (headings != 1)
    )


def test_every_page_of_a_desk_begins_at_the_same_left_edge(server, addresses, visit):
    visitor = visit("desk")
    visitor.log_in(server.url, "alice@example.org", PASSWORD)
    edges = {}
    for name in addresses.keys() - {"error", "log-in"}:
        visitor.page.goto(server.url + addresses[name])
        edges[name] = visitor.page.evaluate(LEFT_EDGE)
    assert set(edges.values()) == {RAIL_PX + MARGIN_PX}, edges


def test_titles_are_text_and_never_markup(server, addresses, visit):
    visitor = visit("phone")
    visitor.log_in(server.url, "alice@example.org", PASSWORD)
    expect(visitor.page.get_by_role("heading", name="<b>Bold</b> & 'quoted'")).to_be_visible()
    assert visitor.page.locator(".film-grid b:text('Bold')").count() == 0


def test_a_file_of_65_mib_is_refused_before_it_is_sent(server, addresses, visit, tmp_path):
    large = tmp_path / "large.json"
    with large.open("wb") as file:
        file.truncate(65 * 2**20)
    visitor = visit()
    visitor.log_in(server.url, "alice@example.org", PASSWORD)
    visitor.page.goto(f"{server.url}/backup")
    visitor.page.locator("#import input[type=file]").set_input_files(large)
    expect(visitor.page.locator("#import-problem")).to_contain_text("the 64 MB limit")


def test_the_page_waits_three_seconds_at_most_for_a_cdn_that_hangs(server, addresses, visit):
    visitor = visit()
    held = []
    visitor.log_in(server.url, "alice@example.org", PASSWORD)
    visitor.page.route(CDN, lambda route: held.append(route))
    visitor.page.goto(f"{server.url}/backup", wait_until="domcontentloaded")
    expect(visitor.page.locator("form[hx-post='/backup/now'][data-htmx-powered]")).to_be_attached()
    assert held


def test_the_keyboard_reaches_the_content_and_every_place(server, addresses, visit):
    visitor = visit()
    page = visitor.page
    visitor.log_in(server.url, "alice@example.org", PASSWORD)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Library", exact=True)).to_be_focused()
    for name in ("Add", "People", "Lists", "Data & Backup"):
        page.keyboard.press("Tab")
        expect(
            page.locator(".shell__nav").get_by_role("link", name=name, exact=True)
        ).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Data & Backup", exact=True)).to_be_visible()
