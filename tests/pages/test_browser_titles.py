"""A title that TMDB does not know, until an administrator chooses its film there: in a real
browser, from a real server and worker, with and without JavaScript."""

import pytest
from playwright.sync_api import expect

from mm.database import db
from mm.services import accounts
from tests.conftest import PASSWORD
from tests.support.libraries import document, film, put
from tests.support.processes import running

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.slow]

ALICE, BOB = "alice@example.org", "bob@example.org"
LOST, TITLE = "tt0000001", "The Lighthouse Keeper's Tax Return"
TOO_WIDE = "() => document.documentElement.scrollWidth > innerWidth"


@pytest.fixture
def server(tmp_path, standin):
    keys = {"TMDB_API_KEY": "standin-tmdb-key", "OMDB_API_KEY": "standin-omdb-key"}
    with running(tmp_path / "data", **standin.environ, **keys) as server:
        with db.connection_context():
            accounts.create(ALICE, "alice", PASSWORD, is_admin=True)
            put(accounts.create(BOB, "bob", PASSWORD), document([film(1)]))
        server.start("web", "worker")
        yield server


@pytest.mark.parametrize(
    ("size", "scheme", "javascript"), [("phone", "dark", True), ("desk", "light", False)]
)
def test_a_film_chosen_at_tmdb_shows_its_title_to_the_user_who_has_it(
    server, visit, size, scheme, javascript
):
    visitor = visit(size, scheme, javascript=javascript)
    # What TMDB does not have is a 404 of the page too.
    visitor.allowed.append("404")
    page = visitor.page

    def look():
        assert not page.evaluate(TOO_WIDE)
        assert not javascript or visitor.accessibility_faults() == []

    visitor.log_in(server.url, ALICE, PASSWORD)
    page.goto(f"{server.url}/admin/titles")
    # The worker finds out that TMDB does not have it.
    for _ in range(120):
        if page.get_by_text(f"{LOST} at IMDb").count():
            break
        page.wait_for_timeout(1000)
        page.reload()
    expect(page.get_by_text("TMDB has no film or series with this IMDb ID.")).to_be_visible()
    look()

    page.get_by_role("link", name=f"Choose {LOST} at TMDB").click()
    page.get_by_label("Address at TMDB").fill("424242")
    page.get_by_role("button", name="Look up").click()
    expect(page.get_by_text("TMDB has no film with the number 424242.")).to_be_visible()
    look()
    page.get_by_label("Address at TMDB").fill(
        "https://www.themoviedb.org/movie/5000-the-lighthouse"
    )
    page.get_by_role("button", name="Look up").click()
    expect(page.get_by_text(f"{TITLE} (1994)")).to_be_visible()
    expect(page.get_by_text("TMDB says that its IMDb ID is")).to_be_visible()
    look()
    page.get_by_role("button", name="Use this film").click()
    expect(page.get_by_text(f"Saved. {TITLE} is being fetched.")).to_be_visible()
    expect(page.get_by_role("link", name="Film 5000 at TMDB")).to_be_visible()
    look()

    page.goto(f"{server.url}/admin/jobs")
    expect(page.get_by_text("Look-up of titles").first).to_be_visible()
    look()

    other = visit(size, scheme)
    other.log_in(server.url, BOB, PASSWORD)
    for _ in range(60):
        other.page.goto(f"{server.url}/movies/{LOST}")
        if other.page.get_by_role("heading", name=TITLE).count():
            break
        other.page.wait_for_timeout(1000)
    expect(other.page.get_by_role("heading", name=TITLE).first).to_be_visible()
