"""Two tabs of one user in a real browser: what one changes, the other shows by itself."""

import itertools

import pytest
import requests
from playwright.sync_api import expect

from mm.database import db
from mm.services import accounts
from mm.services.library import lists, movies, people
from tests.conftest import PASSWORD
from tests.support.libraries import many, put
from tests.support.processes import running

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.slow]

SOON = 3000
FIRST, NEW = "tt0000398", "tt9000001"
WATCHED = "tt0000399"
# As when another tab is brought to the front, which a headless browser does not do.
LOOK_AWAY = """(hidden) => {
  Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
names = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("live") / "data") as server:
        server.start("web")
        yield server


@pytest.fixture
def user(server):
    """With 400 films, of which 200 are to watch, one person and two lists."""
    number = next(names)
    with db.connection_context():
        user = accounts.create(f"user{number}@example.org", f"user{number}", PASSWORD)
        put(user, many(400))
        people.create(user.id, "Zoe", emoji="🎸")
        for name in ("Winter", "Children"):
            lists.create(user.id, name)
        yield user


class Tab:
    """One that listens already, or is not to."""

    def __init__(self, page, server):
        self.page, self.server = page, server
        self.sockets = []
        page.on("websocket", lambda opened: self.sockets.append(opened))

    def open(self, path, listens=True):
        if listens:
            with self.page.expect_websocket() as opened:
                self.page.goto(self.server.url + path)
            # What it has missed until now would be told at the start.
            self.page.wait_for_timeout(300)
            assert not opened.value.is_closed()
        else:
            self.page.goto(self.server.url + path)
        if self.page.locator("[hx-get], [hx-post]").count():
            expect(self.page.locator("[data-htmx-powered]").first).to_be_attached()
        return self.page

    def asked(self, action):
        """The addresses that the page asks for while `action` is done and 2.5 s after."""
        urls = []

        def note(request):
            urls.append(request.url.removeprefix(self.server.url))

        self.page.on("request", note)
        action()
        self.page.wait_for_timeout(2500)
        self.page.remove_listener("request", note)
        return [url for url in urls if not url.startswith("/static/")]


@pytest.fixture
def tabs(server, user, visit):
    """tabs(): another tab of the user's one browser."""
    visitor = visit()
    visitor.log_in(server.url, user.email, PASSWORD)

    def another(size=None):
        page = visitor.page.context.new_page()
        if size:
            page.set_viewport_size(size)
        page.on("pageerror", lambda error: visitor.errors.append(str(error)))
        page.on("console", lambda said: said.type == "error" and visitor.errors.append(said.text))
        return Tab(page, server)

    another.visitor = visitor
    visitor.page.goto("about:blank")
    return another


def shelf(page, name):
    return page.locator("#tabs a", has_text=name)


def notice(page):
    return page.locator("[data-news] button")


def test_a_film_that_is_added_rated_and_deleted_in_one_tab_shows_in_the_other(tabs):
    grid, film = tabs(), tabs({"width": 390, "height": 844})
    page = grid.open("/")
    page.evaluate("window.isSamePage = true")
    add = tabs().open(f"/add?q={NEW}", listens=False)
    add.get_by_role("link", name=NEW).click()
    add.get_by_role("button", name="Add to library").click()
    expect(page.locator(f"#c-{NEW}")).to_be_visible(timeout=SOON)
    expect(shelf(page, "To watch")).to_contain_text("201", timeout=SOON)
    other = film.open(f"/movies/{NEW}")
    page.locator(f"#c-{NEW} > a").click()
    panel = page.locator("#movie")
    expect(panel).to_be_visible()
    other.get_by_role("button", name="8 of 10").click()
    expect(panel.get_by_role("heading", name="My rating 8")).to_be_visible(timeout=SOON)
    expect(page.locator(f"#c-{NEW}")).to_have_count(0, timeout=SOON)
    expect(shelf(page, "Watched")).to_contain_text("201")
    other.get_by_role("button", name="Delete", exact=True).click()
    expect(panel.get_by_text("was deleted in another tab")).to_be_visible(timeout=SOON)
    other.get_by_role("button", name="Watched", exact=True).click()
    expect(panel.get_by_text("was deleted in another tab")).to_be_hidden(timeout=SOON)
    assert page.evaluate("window.isSamePage") is True


def test_people_and_lists_that_are_changed_in_one_tab_show_in_the_other(tabs, user):
    tabs.visitor.allowed.append("404")
    people_page, person_page, lists_page = tabs(), tabs(), tabs()
    [zoe] = [one for one in people.listing(user.id) if one.name == "Zoe"]
    people_page.open("/people")
    person_page.open(f"/people/{zoe.id}")
    lists_page.open("/lists")
    page = tabs().open("/people")
    page.get_by_text("Add a person").click()
    page.get_by_label("Name").fill("Bob")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(people_page.page.get_by_text("Bob", exact=True)).to_be_visible(timeout=SOON)
    movies.recommend(user.id, FIRST, "Zoe")
    expect(person_page.page.locator(".film-row")).to_have_count(1, timeout=SOON)
    lists.create(user.id, "Flight")
    expect(lists_page.page.locator(".list-row strong")).to_have_text(
        ["Winter", "Children", "Flight"], timeout=SOON
    )
    people.delete(user.id, zoe.id)
    expect(people_page.page.get_by_text("Zoe", exact=True)).to_have_count(0, timeout=SOON)
    expect(person_page.page.get_by_text("Person not found")).to_be_visible(timeout=SOON)


def test_what_is_typed_and_open_stays(tabs, user):
    search, form, film = tabs(), tabs(), tabs()
    search.open("/")
    search.page.keyboard.press("/")
    search.page.keyboard.type(NEW)
    expect(search.page).to_have_url(f"{search.server.url}/?status=toWatch&q={NEW}")
    form.open("/people")
    form.page.get_by_text("Add a person").click()
    form.page.get_by_label("Name").fill("Half a na")
    film.open(f"/movies/{FIRST}")
    film.page.get_by_label("Who", exact=True).fill("Somebo")
    film.page.locator("body").press("Escape")
    movies.add(user.id, NEW)
    movies.recommend(user.id, FIRST, "Eve")
    expect(shelf(search.page, "To watch")).to_contain_text("1", timeout=SOON)
    expect(notice(search.page)).to_be_visible(timeout=SOON)
    expect(search.page.get_by_role("searchbox")).to_be_focused()
    search.page.keyboard.type(" ")
    expect(search.page.locator(f"#c-{NEW}")).to_be_visible()
    expect(notice(search.page)).to_have_count(0)
    form.page.keyboard.type("me")
    expect(form.page.get_by_label("Name")).to_have_value("Half a name")
    expect(form.page.get_by_label("Name")).to_be_focused()
    expect(film.page.get_by_label("Who", exact=True)).to_have_value("Somebo")
    assert film.page.get_by_text("recommended this").count() == 0
    # Left without a word of one's own, it shows what came meanwhile.
    film.page.get_by_label("Who", exact=True).fill("")
    film.page.get_by_role("heading", name="Recommended by").click()
    expect(film.page.get_by_text("recommended this")).to_be_visible(timeout=SOON)


def test_a_selection_is_kept_while_its_cards_are_drawn_anew(tabs, user):
    page = tabs().open("/")
    page.locator(".toggle").click()
    for number in range(3):
        page.locator(".film-card__pick").nth(number).click()
    chosen = page.locator("[name=film]:checked")
    selected = chosen.evaluate_all("boxes => boxes.map(box => box.value)")
    movies.set_status(user.id, selected[0], "watched")
    expect(page.locator(f"#c-{selected[0]} em")).to_have_text("Watched", timeout=SOON)
    expect(notice(page)).to_be_visible()
    assert chosen.evaluate_all("boxes => boxes.map(box => box.value)") == selected
    expect(page.get_by_text("3 films selected")).to_be_visible()


def test_the_place_in_a_long_grid_is_kept_and_the_news_are_offered(tabs, user):
    page = tabs().open("/")
    for count in (60, 120, 180):
        expect(page.locator(".film-card")).to_have_count(count)
        if count < 180:
            page.locator(".load-more").scroll_into_view_if_needed()
    page.locator(".film-card").nth(150).scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    count = page.locator(".film-card").count()
    before = page.evaluate("scrollY")
    movies.add(user.id, NEW)
    expect(notice(page)).to_be_visible(timeout=SOON)
    expect(page.get_by_text("Your library changed elsewhere")).to_be_visible()
    assert page.locator(".film-card").count() == count
    assert page.evaluate("scrollY") == before
    notice(page).press("Enter")
    expect(page.locator(f"#c-{NEW}")).to_be_visible()
    expect(notice(page)).to_have_count(0)
    assert page.evaluate("scrollY") == 0


def test_a_tabs_own_changes_come_back_without_a_trace(tabs):
    tab = tabs()
    page = tab.open("/")
    page.locator(f"#c-{FIRST} > a").scroll_into_view_if_needed()
    page.locator(f"#c-{FIRST} > a").click()
    movie = page.locator("#movie")
    expect(movie).to_be_visible()
    urls = tab.asked(lambda: movie.get_by_role("button", name="4 of 10").click())
    assert sorted(url.partition("?")[0] for url in urls) == [
        "/counts",
        f"/movies/{FIRST}/card",
        f"/movies/{FIRST}/watch",
    ]
    expect(movie.get_by_role("button", name="4 of 10")).to_be_focused()
    expect(page.locator(f"#c-{FIRST} em")).to_have_text("Watched")
    expect(notice(page)).to_have_count(0)
    movie.get_by_text("Watched on").click()
    movie.get_by_role("button", name="To watch", exact=True).click()
    page.wait_for_timeout(2500)
    expect(notice(page)).to_have_count(0)


def test_ones_own_star_leaves_the_page_as_it_is(tabs, user):
    [zoe] = [one for one in people.listing(user.id) if one.name == "Zoe"]
    tab = tabs()
    page = tab.open(f"/people/{zoe.id}")
    star = page.get_by_role("button", name="Trust Zoe")
    assert tab.asked(star.click) == [f"/people/{zoe.id}/trust"]
    expect(star).to_have_attribute("aria-pressed", "true")
    # The address in the bar has changed with it, and is not what is fetched.
    movies.recommend(user.id, FIRST, "Zoe")
    expect(page.locator(".film-row")).to_have_count(1, timeout=SOON)
    expect(star).to_have_attribute("aria-pressed", "true")


def test_an_open_part_stays_open_while_the_rest_is_drawn_anew(tabs, user):
    page = tabs().open(f"/movies/{WATCHED}")
    page.locator("#movie details summary").click()
    page.get_by_role("heading", name="Recommended by").click()
    movies.recommend(user.id, WATCHED, "Eve")
    expect(page.get_by_text("recommended this")).to_be_visible(timeout=SOON)
    expect(page.locator("#movie details")).to_have_attribute("open", "")


def test_a_hidden_tab_gives_its_connection_back_and_catches_up(tabs, user):
    tab = tabs()
    page = tab.open("/")
    page.evaluate(LOOK_AWAY, True)
    page.wait_for_timeout(500)
    assert tab.sockets[-1].is_closed()
    movies.add(user.id, NEW)
    page.wait_for_timeout(2000)
    assert page.locator(f"#c-{NEW}").count() == 0
    page.evaluate(LOOK_AWAY, False)
    expect(page.locator(f"#c-{NEW}")).to_be_visible(timeout=SOON)
    # Nothing happened meanwhile, nothing is asked for.
    page.evaluate(LOOK_AWAY, True)
    page.wait_for_timeout(300)
    assert tab.asked(lambda: page.evaluate(LOOK_AWAY, False)) == []
    assert not tab.sockets[-1].is_closed()


def test_what_another_user_changes_is_not_asked_for(tabs, server):
    other = accounts.create(f"other{next(names)}@example.org", f"other{next(names)}", PASSWORD)
    tab = tabs()
    tab.open("/")
    assert tab.asked(lambda: movies.add(other.id, NEW)) == []


def test_thirty_open_tabs_do_not_stop_the_site(tabs, server, user):
    tabs.visitor.allowed.append("WebSocket connection to")
    opened = [tabs() for _ in range(30)]
    for tab in opened:
        tab.page.goto(f"{server.url}/people")
    assert requests.get(f"{server.url}/api/health", timeout=2).status_code == 200
    people.create(user.id, "Somebody new")
    opened[0].page.wait_for_timeout(SOON)
    told = [tab for tab in opened if tab.page.get_by_text("Somebody new").count()]
    assert len(told) == 6
    last = opened[-1]
    assert last not in told
    last.page.reload()
    expect(last.page.get_by_text("Somebody new")).to_be_visible()
