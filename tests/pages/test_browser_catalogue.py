"""From a server without a key to titles: the catalogue is fetched, a film is found by typing, an
import has its titles at once, and a key that comes later adds details and posters."""

import json
import time

import pytest
from playwright.sync_api import expect

from mm.database import db
from mm.services import accounts
from tests.conftest import PASSWORD
from tests.support import datasets as standins
from tests.support.processes import running
from tests.support.standin import FILM_IDS, UNKNOWN_ID

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.slow]

CAROL = "carol@example.org"
KEY = "a-right-key-of-some-length"
LION = "tt0110357"
# This one TMDB's stand-in has too.
EGG = FILM_IDS[1]
EGG_TITLE = "Nine Ways to Boil an Egg"
IMPORTED = {
    LION: ("The Lion King", 1994, 8.5),
    "tt0903747": ("Breaking Bad", 2008, 9.5),
    "tt0211915": ("Amélie", 2001, 8.3),
    EGG: (EGG_TITLE, 2003, 6.4),
}
# Neither the catalogue nor TMDB has it.
NOBODYS = UNKNOWN_ID
# Seconds from the end of an import to its titles: what is promised for thousands of films.
TITLES_WITHIN = 1.0
# Until the import itself has ended, on a machine that does much beside.
TITLES_PATIENCE = 60


@pytest.fixture
def host():
    egg = standins.title(EGG, EGG_TITLE, 2003, genres="Comedy", rating=6.4, votes=120)
    rows = standins.rows_of([egg])
    with standins.running() as host:
        host.put({name: [*standins.ROWS[name], *more] for name, more in rows.items()})
        yield host


@pytest.fixture
def server(tmp_path, host, standin):
    """Without keys; IMDb, TMDB and OMDb are stand-ins."""
    environ = {**standin.environ, "IMDB_DATASETS_URL": host.url}
    with running(tmp_path / "data", **environ) as server:
        with db.connection_context():
            accounts.create(CAROL, "carol", PASSWORD, is_admin=True)
        server.start("web", "worker")
        yield server


@pytest.mark.parametrize("size", ["desk", "phone"])
def test_without_a_key_films_are_found_and_imports_have_titles(
    server, host, standin, visit, tmp_path, size
):
    visitor = visit(size, "light" if size == "desk" else "dark")
    visitor.log_in(server.url, CAROL, PASSWORD)
    page = visitor.page

    page.goto(f"{server.url}/admin/providers")
    card = page.locator("#catalogue")
    expect(card).to_contain_text("personal and non-commercial use")
    card.get_by_label("Titles in other languages").check()
    expect(page.locator("#catalogue-needs")).to_contain_text("700 MB")
    card.get_by_label("Titles in other languages").uncheck()
    expect(page.locator("#catalogue-needs")).to_contain_text("220 MB")
    assert visitor.accessibility_faults() == []
    assert host.asked == []

    # Slow enough to be looked at; it survives a reload.
    host.fault("slow", seconds=2, times=3)
    page.get_by_role("button", name="Get the catalogue").click()
    expect(card.get_by_role("progressbar")).to_be_visible()
    page.reload()
    expect(card.get_by_role("progressbar")).to_be_visible()
    assert visitor.accessibility_faults() == []
    page.goto(f"{server.url}/add")
    expect(page.get_by_role("main")).to_contain_text("The catalogue is being")
    expect(page.get_by_role("main")).to_contain_text("you can search by title now")

    page.get_by_role("searchbox").fill("toy")
    first = page.locator("#results li").first
    expect(first).to_contain_text("Toy Story")
    expect(first).to_contain_text("1995")
    page.goto(f"{server.url}/admin/providers")
    expect(card).to_contain_text("29 films and series")
    assert visitor.accessibility_faults() == []

    show_plan(page, server, tmp_path)
    assert visitor.accessibility_faults() == []
    import_it(page, server)
    page.goto(f"{server.url}/?tab=all")
    grid = page.locator("#grid")
    for imdb_id, (title, year, rating) in IMPORTED.items():
        card = grid.locator(f"li:has(a[href*='{imdb_id}'])")
        expect(card).to_contain_text(title)
        expect(card).to_contain_text(f"{year}IMDb {rating}")
        # The drawn one begins with the title's first letter.
        expect(card.locator(".poster")).to_have_text(title[0])
    expect(grid.locator(f"li:has(a[href*='{NOBODYS}'])")).to_contain_text("No details yet")
    assert LION not in grid.inner_text()
    assert visitor.accessibility_faults() == []
    page.goto(f"{server.url}/movies/{NOBODYS}")
    expect(page.locator("#about")).to_contain_text("IMDb’s catalogue doesn’t have this film")

    # Slow enough for the grid to be there before: its cards are drawn again by themselves.
    standin.tmdb.latency = 2
    page.goto(f"{server.url}/admin/providers")
    page.get_by_label("TMDB key").fill(KEY)
    page.locator("#tmdb").get_by_role("button", name="Save").click()
    page.goto(f"{server.url}/?tab=all")
    expect(grid.locator(f"li:has(a[href*='{EGG}']) img")).to_be_visible()
    page.goto(f"{server.url}/movies/{EGG}")
    about = page.locator("#about")
    expect(about.get_by_alt_text(f"Poster of {EGG_TITLE}")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("All about Nine Ways to Boil an Egg.")
    told = "SELECT source, title, tmdb_state FROM title WHERE imdb_id = ?"
    assert server.query(told, EGG) == [("tmdb", EGG_TITLE, "ready")]
    # What TMDB lacks keeps what the catalogue says.
    assert server.query(told, LION)[0][:2] == ("imdb", "The Lion King")
    page.goto(f"{server.url}/?tab=all")
    expect(grid).to_contain_text("The Lion King")


def show_plan(page, server, tmp_path):
    """Of a file without titles: it names the films."""
    path = tmp_path / "library.json"
    movies = [{"imdb_id": imdb_id, "status": "toWatch"} for imdb_id in [*IMPORTED, NOBODYS]]
    path.write_text(json.dumps({"version": 2, "movies": movies}))
    page.goto(f"{server.url}/backup")
    expect(page.locator("form[hx-post='/backup/import'][data-htmx-powered]")).to_be_attached()
    page.locator("#import input[type=file]").set_input_files(path)
    expect(page.get_by_role("heading", name="Import library.json?")).to_be_visible()
    page.locator("details.plan-group summary").first.click()
    for title, _, _ in IMPORTED.values():
        expect(page.locator(".plan-group__rows").first).to_contain_text(title)


def import_it(page, server):
    """Start it, and look at the titles until all are there."""
    page.get_by_label("Back up my library every night").uncheck()
    page.locator("#confirm").click()
    waited_from = time.monotonic()
    titles = "SELECT imdb_id, title, year, imdb_rating FROM title WHERE source = 'imdb'"
    while (found := {row[0]: row[1:] for row in server.query(titles)}) != IMPORTED:
        assert time.monotonic() - waited_from < TITLES_PATIENCE, found
        time.sleep(0.02)
    there_at = time.time()
    [(ended_at,)] = server.query("SELECT finished_at FROM job WHERE kind = 'import'")
    # Titles may be there before the job is noted as ended.
    assert ended_at is None or there_at - ended_at < TITLES_WITHIN
    expect(page.get_by_role("heading", name="Import finished")).to_be_visible()


def test_without_javascript_it_is_fetched_changed_and_removed(server, visit):
    visitor = visit("desk", javascript=False)
    visitor.log_in(server.url, CAROL, PASSWORD)
    page = visitor.page
    page.goto(f"{server.url}/admin/providers")
    page.get_by_role("button", name="Get the catalogue").click()
    # The page loads itself anew.
    expect(page.locator("#catalogue")).to_contain_text("29 films and series")
    page.get_by_text("Options").click()
    page.get_by_label("Adult titles").check()
    page.get_by_role("button", name="Save and update").click()
    expect(page.locator("#catalogue")).to_contain_text("30 films and series")
    page.get_by_role("link", name="Remove…").click()
    page.get_by_role("button", name="Remove the catalogue").click()
    expect(page.get_by_role("button", name="Get the catalogue")).to_be_visible()
