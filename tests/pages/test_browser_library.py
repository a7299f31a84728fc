"""The library and a film in a real browser: phone and desk, light and dark, the CDN there and not,
without scripts."""

import itertools

import pytest
from playwright.sync_api import expect

from mm.database import db, fold
from mm.models import Movie, Title, User
from mm.services import accounts
from mm.services.library import lists, movies, people
from tests.conftest import PASSWORD
from tests.support import standin as stand
from tests.support.libraries import many, put
from tests.support.processes import running

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.slow]

LOOKS = [
    ("phone", "light", True),
    ("phone", "dark", False),
    ("desk", "dark", True),
    ("desk", "light", False),
]
RIGHT_TO_LEFT = "جدایی نادر از سیمین"
names = itertools.count(1)


@pytest.fixture(scope="module")
def pictures():
    with stand.running() as standin:
        yield standin


@pytest.fixture(scope="module")
def server(tmp_path_factory, pictures):
    """Web only: titles are written straight into the database."""
    with running(
        tmp_path_factory.mktemp("library") / "data", **pictures.environ, TMDB_API_KEY="key"
    ) as server:
        server.start("web")
        yield server


@pytest.fixture
def user(server):
    """With 130 films: 65 to watch, 65 watched; some with titles and posters, one that was not
    looked up."""
    number = next(names)
    with db.connection_context():
        user = accounts.create(f"user{number}@example.org", f"user{number}", PASSWORD)
        put(user, many(130))
        for at, (title, year, _, director, cast, genres, _) in enumerate(stand.FILMS):
            _describe(2 * at + 2, title, year, director, cast, genres)
        _describe(60, RIGHT_TO_LEFT, 2011, "Asghar", "Leila", "Drama")
        lists.create(user.id, "Film club")
        people.create(user.id, "Maya", True, "#d9480f", "🦊")
        movies.recommend(user.id, "tt0000002", "Maya")
        movies.recommend(user.id, "tt0000004", "Maya")
        yield user


def _describe(number, title, year, director, cast, genres):
    text = fold(f"{title} {director} {cast} {genres}")
    poster = f"/{title.encode().hex()[:20]}.png" if number % 6 else None
    columns = {
        "title": title,
        "year": year,
        "directors": [director],
        "cast": cast.split(", "),
        "search_text": text,
        "genres": genres.split(", "),
        "poster_path": poster,
        "tmdb_state": "ready",
    }
    Title.update(columns).where(Title.imdb_id == f"tt{number:07}").execute()


def status_of(user, imdb_id):
    with db.connection_context():
        return Movie.get((Movie.user == user.id) & (Movie.title == imdb_id)).status


def wait_for_htmx(page):
    """Until then a select changes nothing; a person takes longer to reach it."""
    expect(page.locator("#view[data-htmx-powered]")).to_be_attached()


def card_ids(page):
    return films(page).evaluate_all("cards => cards.map(card => card.id)")


def films(page):
    return page.locator(".film-card")


def open_library(visit, server, user, *look):
    visitor = visit(*look)
    visitor.log_in(server.url, user.email, PASSWORD)
    return visitor


@pytest.mark.parametrize("look", LOOKS)
def test_a_library_is_searched_filtered_sorted_and_scrolled(server, user, visit, look):
    visitor = open_library(visit, server, user, *look)
    page = visitor.page
    expect(films(page)).to_have_count(60)
    page.locator(".load-more").scroll_into_view_if_needed()
    expect(films(page)).to_have_count(65)
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("umbrella")
    expect(films(page)).to_have_count(1)
    expect(page.get_by_role("searchbox")).to_be_focused()
    expect(page).to_have_url(f"{server.url}/?status=toWatch&q=umbrella")
    expect(page.locator("#tabs a[aria-current]")).to_contain_text("1")
    page.reload()
    expect(page.get_by_role("heading", name="The Third Umbrella")).to_be_visible()
    page.get_by_role("link", name="“umbrella”").click()
    expect(films(page)).to_have_count(60)
    wait_for_htmx(page)
    page.locator("#filters-button").click()
    page.get_by_label("Genre").select_option("Drama")
    expect(page.locator("a.chip", has_text="Drama")).to_be_visible()
    expect(page.get_by_role("heading", name=RIGHT_TO_LEFT)).to_be_visible()
    page.get_by_label("Sort by").select_option("title")
    expect(page).to_have_url(f"{server.url}/?status=toWatch&genre=Drama&sort=title")
    expect(page.locator(".film-card h2").first).to_have_text("Straße ohne Ende")
    page.get_by_label("View name").fill("Dramas")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".chip--split", has_text="Dramas")).to_be_visible()
    assert visitor.accessibility_faults() == []


@pytest.mark.parametrize("look", LOOKS)
def test_a_film_is_opened_rated_voted_on_and_moved(server, user, visit, look):
    visitor = open_library(visit, server, user, *look)
    page = visitor.page
    page.goto(f"{server.url}/?q=egg")
    page.get_by_role("link", name="Nine Ways to Boil an Egg").click()
    movie = page.locator("#movie")
    expect(movie.get_by_role("heading", name="Nine Ways to Boil an Egg")).to_be_visible()
    expect(page).to_have_url(f"{server.url}/movies/tt0000004")
    movie.get_by_role("button", name="8 of 10").click()
    expect(movie.get_by_role("heading", name="My rating 8")).to_be_visible()
    expect(movie.get_by_role("button", name="Watched", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )
    movie.get_by_role("button", name="5 of 10").click()
    expect(movie.get_by_text("recommended 1 more film")).to_be_visible()
    movie.get_by_label("Who", exact=True).fill("Åsa <b>")
    movie.get_by_role("button", name="Says skip it").click()
    expect(movie.get_by_text("said to skip it")).to_be_visible()
    assert visitor.accessibility_faults() == []
    movie.get_by_role("button", name="Remove Åsa <b>").click()
    expect(movie.get_by_text("said to skip it")).to_have_count(0)
    movie.get_by_role("button", name="Film club").click()
    expect(movie.get_by_role("button", name="Film club")).to_have_attribute("aria-pressed", "true")
    assert status_of(user, "tt0000004") == "custom"
    movie.get_by_text("Watched on").click()
    movie.get_by_label("Rating, 1 to 10").first.fill("7.3")
    movie.get_by_label("Date").first.fill("2026-01-31")
    movie.get_by_role("button", name="Save watch").click()
    expect(movie.get_by_role("heading", name="My rating 7.3")).to_be_visible()
    expect(movie.get_by_text("Watched on 31 Jan 2026")).to_be_visible()
    movie.get_by_role("button", name="Delete", exact=True).click()
    expect(movie.get_by_role("button", name="Delete permanently")).to_be_visible()
    page.locator(".toast", has_text="Moved to Deleted").get_by_role("button", name="Undo").click()
    expect(
        page.locator("#movie").get_by_role("button", name="Watched", exact=True)
    ).to_have_attribute("aria-pressed", "true")


def test_on_a_desk_a_film_stands_beside_the_grid_and_changes_in_it(server, user, visit):
    page = open_library(visit, server, user).page
    page.goto(f"{server.url}/?q=egg")
    page.get_by_role("link", name="Nine Ways to Boil an Egg").click()
    expect(page.locator("#film #movie")).to_be_visible()
    page.locator("#movie").get_by_role("button", name="9 of 10").click()
    card = page.locator("#c-tt0000004")
    expect(card.get_by_text("★ 9")).to_be_visible()
    expect(card.locator("em")).to_have_text("Watched")
    expect(page.locator("#tabs a", has_text="To watch")).to_contain_text("0")
    page.keyboard.press("Escape")
    expect(page.locator("#movie")).to_have_count(0)
    expect(page).to_have_url(f"{server.url}/?status=toWatch&q=egg")
    expect(card.get_by_role("link")).to_be_focused()
    page.get_by_role("link", name="Nine Ways to Boil an Egg").click()
    expect(page).to_have_url(f"{server.url}/movies/tt0000004")
    page.go_back()
    expect(page.locator("#movie")).to_have_count(0)
    # Drawn anew, it is no longer on this shelf.
    expect(page.get_by_text("No matches")).to_be_visible()


@pytest.mark.parametrize("look", LOOKS)
def test_several_films_are_selected_and_put_back(server, user, visit, look):
    page = open_library(visit, server, user, *look).page
    page.locator(".toggle").click()
    for number in range(3):
        page.locator(".film-card__pick").nth(number).click()
    expect(page.get_by_text("3 films selected")).to_be_visible()
    expect(films(page)).to_have_count(60)
    page.locator(".selection-bar").get_by_text("To a list").click()
    page.locator(".selection-bar").get_by_role("button", name="Film club").click()
    expect(page.get_by_text("3 films moved to Film club.")).to_be_visible()
    expect(page.locator("#tabs a", has_text="Film club")).to_contain_text("3")
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(page.locator("#tabs a", has_text="To watch")).to_contain_text("65")


def test_films_that_are_marked_while_scrolling_hide_none(server, user, visit):
    page = open_library(visit, server, user).page
    expect(films(page)).to_have_count(60)
    for number in range(4):
        page.locator(".film-card__link").nth(number).click()
        name = page.locator(".film-card h2").nth(number).inner_text()
        expect(page.locator("#movie h2")).to_have_text(name)
        page.locator("#movie").get_by_role("button", name="Watched", exact=True).click()
        expect(page.locator(".film-card").nth(number).locator("em")).to_have_text("Watched")
    page.locator(".load-more").scroll_into_view_if_needed()
    expect(films(page)).to_have_count(65)
    expect(page.locator(".load-more")).to_have_count(0)
    assert len(set(card_ids(page))) == 65


def test_a_film_that_was_changed_is_redrawn_while_others_wait_for_their_details(
    server, user, visit
):
    """The answers about the others are held back until the film was changed."""
    page = open_library(visit, server, user).page
    held = []
    page.route("**/card?*waiting=details", lambda route: held.append(route))
    page.goto(f"{server.url}/")
    first = page.locator(".film-card:not([data-stub])").first
    # Not inner_text(), which is empty as long as the card is off the screen.
    name = first.locator("h2").text_content().strip()
    first.locator("a").click()
    expect(page.locator("#movie h2")).to_have_text(name)
    while not held:
        page.wait_for_timeout(50)
    page.locator("#movie").get_by_role("button", name="Watched", exact=True).click()
    expect(first.locator("em")).to_have_text("Watched")
    for route in held:
        route.fulfill(status=204)


def test_a_film_that_goes_down_in_the_order_does_not_stand_in_the_grid_twice(server, user, visit):
    page = open_library(visit, server, user).page
    page.goto(f"{server.url}/?status=watched&sort=my_rating")
    expect(films(page)).to_have_count(60)
    first = card_ids(page)[0]
    page.locator(".film-card__link").first.click()
    page.locator("#movie").get_by_role("button", name="1 of 10").click()
    expect(page.locator(".film-card").first.get_by_text("★ 1")).to_be_visible()
    page.locator(".load-more").scroll_into_view_if_needed()
    expect(page.locator(".load-more")).to_have_count(0)
    ids = card_ids(page)
    assert (ids[0], len(ids), len(set(ids))) == (first, 65, 65)


def test_the_grid_is_walked_with_the_arrows(server, user, visit):
    page = open_library(visit, server, user).page
    page.locator("body").press("ArrowDown")
    links = page.locator(".film-card__link")
    expect(links.nth(0)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(links.nth(1)).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    expect(links.nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#film #movie")).to_be_visible()
    page.keyboard.press("Escape")
    expect(links.nth(1)).to_be_focused()
    page.keyboard.press("a")
    expect(page).to_have_url(f"{server.url}/add")


def test_details_that_arrive_are_drawn_where_the_film_stands(server, user, visit):
    page = open_library(visit, server, user).page
    page.goto(f"{server.url}/?q=tt0000130")
    with page.expect_response("**/movies/tt0000130/want") as asked:
        page.locator("#c-tt0000130 > a").click()
    assert asked.value.status == 204
    expect(page.locator("#about").get_by_text("Fetching title")).to_be_visible()
    with db.connection_context():
        assert Title.get_by_id("tt0000130").wanted_at is not None
        _describe(130, "At Last", 2001, "A", "B", "Drama")
    expect(page.locator("#about").get_by_role("heading", name="At Last")).to_be_visible()
    expect(page.locator("#c-tt0000130").get_by_role("heading", name="At Last")).to_be_visible()


def test_an_expired_log_in_leads_to_the_log_in_and_back_to_the_film(server, user, visit):
    visitor = open_library(visit, server, user, "phone")
    visitor.allowed.append("401")
    page = visitor.page
    page.goto(f"{server.url}/movies/tt0000002")
    with db.connection_context():
        User.update(token_version=User.token_version + 1).where(User.id == user.id).execute()
    page.locator("#movie").get_by_role("button", name="8 of 10").click()
    page.get_by_label("Email or username").fill(user.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(f"{server.url}/movies/tt0000002")


def test_a_film_deleted_in_another_tab_is_told_and_stays_on_the_screen(server, user, visit):
    visitor = open_library(visit, server, user, "phone")
    visitor.allowed.append("404")
    page = visitor.page
    page.goto(f"{server.url}/movies/tt0000002")
    with db.connection_context():
        movies.delete(user.id, "tt0000002")
    page.locator("#movie").get_by_role("button", name="8 of 10").click()
    expect(page.get_by_text("in your library. It may")).to_be_visible()
    expect(page.locator("#movie")).to_be_visible()


def test_pictures_come_from_here_and_are_drawn_where_there_is_none(server, user, visit, pictures):
    page = open_library(visit, server, user).page
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{server.url}/?status=toWatch&sort=title")
    expect(page.locator(".poster img").first).to_have_js_property("naturalWidth", 2)
    expect(page.locator(".poster > span").first).to_be_visible()
    assert all(url.startswith((server.url, "https://cdn.jsdelivr.net/")) for url in asked)


def test_everything_works_without_scripts(server, user, visit):
    page = open_library(visit, server, user, "phone", "light", True, False).page
    page.get_by_role("link", name="More films").click()
    expect(films(page)).to_have_count(5)
    page.goto(server.url)
    page.get_by_role("searchbox").fill("umbrella")
    page.get_by_role("searchbox").press("Enter")
    expect(films(page)).to_have_count(1)
    page.get_by_role("link", name="The Third Umbrella").click()
    page.get_by_role("button", name="8 of 10").click()
    expect(page.get_by_role("heading", name="My rating 8")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="To watch")).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Who", exact=True).fill("Tom")
    page.get_by_role("button", name="Recommends it").click()
    expect(page.get_by_text("recommended this")).to_be_visible()
    page.get_by_role("link", name="Library").first.click()
    page.locator(".toggle").click()
    page.locator(".film-card__pick").nth(0).click()
    page.locator(".selection-bar").get_by_role("button", name="Watched", exact=True).click()
    expect(page.get_by_text("1 film moved to Watched.")).to_be_visible()
    page.locator("#filters-button").click()
    page.get_by_label("Genre").select_option("Drama")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator("a.chip", has_text="Drama")).to_be_visible()
    page.get_by_label("View name").fill("Dramas")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("link", name="Edit").click()
    page.get_by_role("button", name="Delete view").click()
    expect(page.locator(".chip--split")).to_have_count(0)


def test_enter_in_the_name_of_a_recommender_deletes_nothing(server, user, visit):
    with db.connection_context():
        movies.set_status(user.id, "tt0000002", "deleted")
    page = open_library(visit, server, user).page
    page.goto(f"{server.url}/?status=deleted")
    page.locator(".toggle").click()
    page.locator(".film-card__pick").first.click()
    page.locator(".selection-bar").get_by_text("Recommended by").first.click()
    page.get_by_placeholder("A name").fill("Tom")
    page.get_by_placeholder("A name").press("Enter")
    expect(page.get_by_text("1 film marked as recommended by Tom.")).to_be_visible()
    assert status_of(user, "tt0000002") == "toWatch"
