"""A list that is shared in a real browser: by its owner, to somebody without an account, and to
somebody with another one."""

import pytest
from playwright.sync_api import expect

from mm.database import db
from mm.models import ListShare, Title
from mm.services import accounts
from mm.services.library import bulk, lists, movies, shares
from tests.conftest import PASSWORD
from tests.pages.test_browser_users import faults
from tests.support.processes import running

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.slow]

WAYS = {
    "desk": {"size": "desk"},
    "desk, dark": {"size": "desk", "scheme": "dark"},
    "phone": {"size": "phone"},
    "phone, dark": {"size": "phone", "scheme": "dark"},
    "no JavaScript": {"size": "phone", "javascript": False},
}
ALICE, BOB = "alice@example.org", "bob@example.org"
NAME = "Films for long winter evenings"
ENDED = "This list isn’t shared here any more."


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shares") / "data"
    with running(folder) as server:
        with db.connection_context():
            for name, email in {"alice": ALICE, "bob": BOB}.items():
                accounts.create(email, name, PASSWORD)
        server.start("web")
        yield server


@pytest.fixture(params=WAYS)
def way(request):
    return WAYS[request.param]


@pytest.fixture
def winter(server):
    """A list of three films, not shared yet."""
    with db.connection_context():
        alice = accounts.find("alice")
        for row in lists.listing(alice.id):
            lists.delete(alice.id, row.id)
        made = lists.create(alice.id, NAME, color="#1864ab", icon="moon", description="With tea.")
        ids = [f"tt000000{number}" for number in (1, 2, 3)]
        for imdb_id, title in zip(ids, ("Stalker", "Solaris", "Mirror"), strict=True):
            movies.add(alice.id, imdb_id)
            Title.update(title=title, year=1972, runtime=160, imdb_rating=8.1).where(
                Title.imdb_id == imdb_id
            ).execute()
        bulk.put_on_list(alice.id, ids, made.id)
        return made


def share(row, **values):
    with db.connection_context():
        return shares.share(row.user_id, row.id, **values).token


def test_a_list_is_shared_opened_without_an_account_and_revoked(server, visit, way, winter):
    mine = visit(**way)
    mine.log_in(server.url, ALICE, PASSWORD)
    mine.page.goto(f"{server.url}/lists/{winter.id}")
    mine.page.get_by_role("link", name="Share", exact=True).click()
    mine.page.get_by_label("Also show the description").check()
    mine.page.get_by_role("button", name="Create link").click()
    expect(mine.page.get_by_role("heading", name="This list is shared")).to_be_visible()
    assert faults(mine, way) == []
    link = mine.page.get_by_label("Link", exact=True).input_value()
    if way.get("javascript", True):
        mine.page.get_by_role("button", name="Copy").click()
        expect(mine.page.locator(".toast", has_text="Copied.")).to_be_visible()

    theirs = visit(**way)
    theirs.page.goto(link)
    expect(theirs.page.get_by_role("heading", name=NAME)).to_be_visible()
    expect(theirs.page.get_by_text("A list by alice")).to_be_visible()
    expect(theirs.page.get_by_text("With tea.")).to_be_visible()
    films = theirs.page.get_by_role("list", name="Films")
    assert films.get_by_role("heading").all_inner_texts() == ["Stalker", "Solaris", "Mirror"]
    assert theirs.page.locator("nav").count() == 0
    assert theirs.page.locator("script").count() == 0
    assert faults(theirs, way) == []
    with theirs.page.expect_download() as download:
        theirs.page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename.startswith("lists-export-")

    mine.page.get_by_role("button", name="Revoke").click()
    expect(mine.page.locator(".toast", has_text="Link revoked.")).to_be_visible()
    expect(mine.page.get_by_role("button", name="Create link")).to_be_visible()
    theirs.allowed.append("404")
    theirs.page.goto(link)
    expect(theirs.page.get_by_text(ENDED)).to_be_visible()
    assert faults(theirs, way) == []


def test_a_link_whose_last_day_has_passed_shows_nothing(server, visit, way, winter):
    token = share(winter)
    visitor = visit(**way)
    visitor.page.goto(f"{server.url}/shared/{token}")
    expect(visitor.page.get_by_role("heading", name=NAME)).to_be_visible()
    with db.connection_context():
        ListShare.update(expires_at=1_700_000_000.0).where(ListShare.token == token).execute()
    visitor.allowed.append("404")
    visitor.page.reload()
    expect(visitor.page.get_by_text(ENDED)).to_be_visible()
    expect(visitor.page.get_by_text(NAME)).to_have_count(0)


def test_on_paper_there_are_the_films_and_no_buttons(server, visit, way, winter):
    visitor = visit(**way)
    visitor.page.goto(f"{server.url}/shared/{share(winter)}")
    for number in (1, 2):
        expect(visitor.page.get_by_text("Mirror")).to_be_visible()
        visitor.page.emulate_media(media="print")
        expect(visitor.page.get_by_role("heading", name=NAME)).to_be_visible()
        expect(visitor.page.get_by_text("Mirror")).to_be_visible()
        expect(visitor.page.get_by_role("link", name="Download")).to_be_hidden()
        head = visitor.page.locator("h1")
        assert head.evaluate("head => getComputedStyle(head).color") == "rgb(0, 0, 0)"
        visitor.page.emulate_media(media="screen")
        if number == 1:
            visitor.page.get_by_role("link", name="Print view").click()
            expect(visitor.page.get_by_role("link", name="With posters")).to_be_visible()
            assert faults(visitor, way) == []


def test_somebody_logs_in_and_adds_the_list_to_their_library(server, visit, way, winter):
    token = share(winter)
    visitor = visit(**way)
    visitor.page.goto(f"{server.url}/shared/{token}")
    visitor.page.get_by_role("link", name="Log in to add it to your library").click()
    visitor.page.get_by_label("Email or username").fill(BOB)
    visitor.page.get_by_label("Password").fill(PASSWORD)
    visitor.page.get_by_role("button", name="Log in").click()
    expect(visitor.page.get_by_role("heading", name=NAME)).to_be_visible()
    assert faults(visitor, way) == []
    visitor.page.get_by_role("button", name="Add to my library").click()
    visitor.page.wait_for_url("**/collections/lists/import/*")
    expect(visitor.page.get_by_text(NAME).first).to_be_visible()
