"""Add, People, Lists and Account in a real browser: each flow with the CDN and without it, and with
JavaScript off."""

import pytest
from playwright.sync_api import expect

from mm import models
from mm.database import db
from mm.models import Movie, Person
from mm.services import accounts
from mm.services.library import lists, movies, people
from tests.conftest import PASSWORD
from tests.support import standin as providers
from tests.support.processes import running

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.slow]

WAYS = {
    "desk": {"size": "desk"},
    "phone, dark": {"size": "phone", "scheme": "dark"},
    "no CDN": {"size": "phone", "cdn": False},
    "no JavaScript": {"size": "phone", "javascript": False},
}
TITLE = "Nine Ways to Boil an Egg"
IMDB_ID = providers.FILM_IDS[1]


@pytest.fixture(scope="module")
def tmdb():
    with providers.running() as standin:
        yield standin


@pytest.fixture(scope="module")
def server(tmdb, tmp_path_factory):
    folder = tmp_path_factory.mktemp("places") / "data"
    with running(folder, TMDB_API_KEY="key", **tmdb.environ) as server:
        server.start("web")
        yield server


@pytest.fixture
def alice(server):
    """A new one for each test, with Zoe and two lists."""
    with db.connection_context():
        number = models.User.select().count()
        alice = accounts.create(f"alice{number}@example.org", f"alice{number}", PASSWORD)
        people.create(alice.id, "Zoe", emoji="🎸")
        for name in ("Winter", "Children"):
            lists.create(alice.id, name)
    return alice


@pytest.fixture(params=WAYS)
def visitor(request, server, alice, visit):
    visitor = visit(**WAYS[request.param])
    visitor.scripted = WAYS[request.param].get("javascript", True)
    visitor.let_in(server.url, alice.email, PASSWORD)
    yield visitor
    if visitor.scripted:
        assert visitor.accessibility_faults() == []


def go(visitor, server, path):
    """And wait for htmx, which may load late."""
    visitor.page.goto(server.url + path)
    if visitor.scripted and visitor.page.locator("[hx-get], [hx-post]").count():
        expect(visitor.page.locator("[data-htmx-powered]").first).to_be_attached()


def search(visitor, server, text):
    go(visitor, server, "/add")
    visitor.page.get_by_role("searchbox").fill(text)
    if not visitor.scripted:
        visitor.page.get_by_role("button", name="Search").click()


def chip(page, name):
    return page.locator("label.chip").filter(has_text=name)


def said(page, words):
    toast = page.locator(".toast").filter(has_text=words)
    expect(toast).to_be_visible()
    return toast


def in_database(function):
    with db.connection_context():
        return function()


def test_a_film_is_found_added_undone_and_added_again(visitor, server, alice):
    page = visitor.page
    search(visitor, server, "boil")
    for attempt in range(2):
        page.get_by_role("link", name=TITLE).click()
        chip(page, "Zoe").click()
        page.get_by_label("Someone new").fill("Bob")
        chip(page, "Watched").click()
        page.locator(".rating-field label").filter(has_text="8").click()
        page.get_by_role("button", name="Add to library").click()
        toast = said(page, f"Added “{TITLE}” to Watched.")
        expect(page.locator(".film-row").filter(has_text=TITLE)).to_contain_text("Watched")
        if attempt == 0:
            toast.get_by_role("button", name="Undo").click()
            said(page, "Undone.")
            expect(page.locator(".film-row").filter(has_text=TITLE)).not_to_contain_text("Watched")
            expect(page.get_by_role("searchbox")).to_have_value("boil")
    movie = in_database(lambda: movies.find(alice.id, IMDB_ID))
    with db.connection_context():
        assert {vote.person.name for vote in movie.recommendations} == {"Zoe", "Bob"}
        assert [watch.my_rating for watch in movie.watches] == [8]


def test_after_adding_the_search_takes_the_next_title(server, alice, visit):
    visitor = visit("phone")
    visitor.scripted = True
    visitor.let_in(server.url, alice.email, PASSWORD)
    search(visitor, server, "boil")
    visitor.page.get_by_role("link", name=TITLE).click()
    visitor.page.get_by_role("button", name="Add to library").click()
    said(visitor.page, "to To watch.")
    visitor.page.keyboard.type("umbrella")
    expect(visitor.page.get_by_role("link", name="The Third Umbrella")).to_be_visible()
    expect(visitor.page.get_by_role("searchbox")).to_have_value("umbrella")
    expect(visitor.page).to_have_url(f"{server.url}/add?q=umbrella")


def test_what_cannot_be_used_is_said_and_what_was_typed_stays(visitor, server, alice):
    visitor.allowed.append("422")
    page = visitor.page
    search(visitor, server, "boil")
    page.get_by_role("link", name=TITLE).click()
    chip(page, "Zoe").click()
    page.get_by_label("Someone new").fill("..")
    page.get_by_role("button", name="Add to library").click()
    expect(page.get_by_text("cannot be a name")).to_be_visible()
    expect(chip(page, "Zoe").locator("input")).to_be_checked()
    expect(page.get_by_label("Someone new")).to_have_value("..")


def test_a_provider_that_is_down_is_said_and_the_words_stay(visitor, server, tmdb):
    tmdb.tmdb.fault = "wrong_key"
    try:
        search(visitor, server, f"tomorrow {visitor.scripted} {len(tmdb.tmdb.asked)}")
        expect(visitor.page.get_by_role("alert")).to_contain_text("isn’t working right now")
        expect(visitor.page.get_by_role("searchbox")).to_have_value(
            visitor.page.get_by_role("searchbox").input_value()
        )
    finally:
        tmdb.tmdb.fault = ""
        server.query("delete from setting where key like 'provider.%'")


def test_a_person_is_made_edited_trusted_and_deleted_with_undo(visitor, server, alice):
    page = visitor.page
    go(visitor, server, "/people")
    page.get_by_text("Add a person").click()
    page.get_by_label("Name").fill("Bob")
    page.locator("label.chip").filter(has_text="🍿").click()
    page.get_by_role("button", name="Add", exact=True).click()
    said(page, "Bob added.")
    page.get_by_role("button", name="Trust Bob").click()
    expect(page.get_by_role("button", name="Trust Bob")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("link", name="Bob").click()
    page.get_by_text("Edit", exact=True).click()
    page.get_by_label("Name").fill("Rob")
    page.get_by_role("button", name="Save").click()
    said(page, "Rob saved.")
    page.get_by_text("Edit", exact=True).click()
    page.get_by_role("button", name="Delete").click()
    said(page, "Rob deleted.").get_by_role("button", name="Undo").click()
    said(page, "Undone.")
    rob = in_database(lambda: Person.get((Person.user == alice.id) & (Person.name == "Rob")))
    assert (rob.emoji, rob.is_trusted) == ("🍿", True)


def test_a_list_is_made_moved_renamed_and_deleted_with_undo(visitor, server, alice):
    page = visitor.page
    go(visitor, server, "/lists")
    page.get_by_text("New list").click()
    page.get_by_label("Name").fill("Flight")
    page.get_by_label("Description").fill("Short ones.")
    page.locator("label.swatches__icon").nth(5).click()
    page.get_by_role("button", name="Create list").click()
    said(page, "List “Flight” created.")
    page.get_by_role("button", name="Move Flight up").click()
    names = page.locator(".list-row strong")
    expect(names).to_have_text(["Winter", "Flight", "Children"])
    page.get_by_role("link", name="Edit Flight").click()
    page.get_by_label("Name").fill("Plane")
    page.get_by_role("button", name="Save").click()
    said(page, "List “Plane” saved.")
    page.get_by_role("link", name="Edit Plane").click()
    page.get_by_role("button", name="Delete list").click()
    said(page, "List “Plane” deleted.").get_by_role("button", name="Undo").click()
    said(page, "Undone.")
    expect(names).to_have_text(["Winter", "Plane", "Children"])


def test_a_film_gets_a_note_lists_and_a_watch_of_some_day(visitor, server, alice):
    page = visitor.page
    in_database(lambda: movies.add(alice.id, IMDB_ID))
    go(visitor, server, f"/movies/{IMDB_ID}")
    lists_of = page.get_by_role("region", name="Lists")
    winter = lists_of.get_by_label("Winter")
    if visitor.scripted:
        # What is typed and not saved yet outlasts what is done meanwhile.
        page.get_by_label("Your note").fill("Lent by Maria.")
        winter.check()
        said(page, "On 1 list now.")
        expect(winter).to_be_checked()
        expect(winter).to_be_focused()
    else:
        winter.check()
        lists_of.get_by_role("button", name="Save lists").click()
        said(page, "On 1 list now.")
        page.get_by_label("Your note").fill("Lent by Maria.")
    page.get_by_role("button", name="Save note").click()
    said(page, "Note saved.")
    page.get_by_text("Add the date you watched it").click()
    page.get_by_label("I don’t know when").check()
    page.get_by_label("Note", exact=True).fill("On a plane.")
    page.locator("#movie details").get_by_role("button", name="Watched").click()
    expect(page.get_by_text("Watched some day")).to_be_visible()
    expect(winter).to_be_checked()
    expect(page.get_by_label("Your note")).to_have_value("Lent by Maria.")


def test_notes_and_lists_are_undone(visitor, server, alice):
    page = visitor.page

    def film():
        movies.add(alice.id, IMDB_ID)
        movies.set_note(alice.id, IMDB_ID, "Lent by Maria.")

    in_database(film)
    go(visitor, server, f"/movies/{IMDB_ID}")
    page.get_by_label("Your note").fill("")
    page.get_by_role("button", name="Save note").click()
    said(page, "Note removed.").get_by_role("button", name="Undo").click()
    said(page, "Undone.")
    expect(page.get_by_label("Your note")).to_have_value("Lent by Maria.")
    go(visitor, server, f"/movies/{IMDB_ID}")
    children = page.get_by_role("region", name="Lists").get_by_label("Children")
    children.check()
    if not visitor.scripted:
        page.get_by_role("button", name="Save lists").click()
    said(page, "On 1 list now.").get_by_role("button", name="Undo").click()
    said(page, "Undone.")
    expect(children).not_to_be_checked()


def test_a_tick_beside_the_grid_is_saved_too(server, alice, visit):
    visitor = visit("desk")
    visitor.scripted = True
    visitor.let_in(server.url, alice.email, PASSWORD)
    in_database(lambda: movies.add(alice.id, IMDB_ID))
    go(visitor, server, "/")
    page = visitor.page
    page.locator(f"#c-{IMDB_ID} > a").click()
    page.locator("#film").get_by_label("Winter").check()
    said(page, "On 1 list now.")
    expect(page.locator(f"#c-{IMDB_ID}")).to_be_visible()


def test_lists_are_dragged_and_moved_by_the_keyboard(server, alice, visit):
    visitor = visit("desk")
    visitor.scripted = True
    visitor.let_in(server.url, alice.email, PASSWORD)
    go(visitor, server, "/lists")
    page = visitor.page
    names = page.locator(".list-row strong")
    expect(page.locator("#order[data-htmx-powered]")).to_be_attached()
    grip, target = (
        page.locator(".list-row__grip").nth(0).bounding_box(),
        page.locator(".list-row").nth(1).bounding_box(),
    )
    page.mouse.move(grip["x"] + 8, grip["y"] + 8)
    page.mouse.down()
    page.mouse.move(grip["x"] + 8, target["y"] + target["height"] - 2, steps=6)
    # What is dragged stands in its new place before the server knows of it.
    with page.expect_response("**/lists/order/all") as answer:
        page.mouse.up()
    assert answer.value.status == 200
    expect(names).to_have_text(["Children", "Winter"])
    page.reload()
    expect(names).to_have_text(["Children", "Winter"])
    expect(page.locator("[data-htmx-powered]").first).to_be_attached()
    page.get_by_role("button", name="Move Winter up").press("Enter")
    expect(names).to_have_text(["Winter", "Children"])
    expect(page.locator("button:focus")).to_have_count(1)


def test_name_email_dates_and_password_are_changed(visitor, server, alice):
    visitor.allowed.append("422")
    page = visitor.page
    go(visitor, server, "/account")
    page.get_by_label("Username", exact=True).fill("bad@name")
    page.get_by_role("button", name="Save username").click()
    expect(page.locator("#wrong-username")).to_contain_text("no @")
    expect(page.get_by_label("Username", exact=True)).to_have_value("bad@name")
    change = page.locator("#email")
    change.get_by_label("Email", exact=True).fill("new" + alice.email)
    change.get_by_label("Current password").fill("wrong password")
    change.get_by_role("button", name="Change email").click()
    expect(change.get_by_text("The current password is incorrect")).to_be_in_viewport()
    change.get_by_label("Current password").fill(PASSWORD)
    change.get_by_role("button", name="Change email").click()
    said(page, "Email address changed to new" + alice.email)
    page.get_by_label("Names of months and days").select_option("Deutsch")
    page.get_by_role("button", name="Save dates").click()
    said(page, "Dates now look like this:")
    expect(page.get_by_label("Names of months and days")).to_have_value("de")
    change = page.locator("#password")
    change.get_by_label("Current password").fill(PASSWORD)
    change.get_by_label("New password").fill(PASSWORD + "!")
    page.get_by_role("button", name="Change password").click()
    said(page, "Password changed.")
    page.get_by_role("button", name="Log out everywhere").click()
    expect(page.get_by_role("heading", name="Movie Manager")).to_be_visible()


def test_a_log_in_that_ran_out_leads_to_the_log_in_and_back(server, alice, visit):
    visitor = visit("phone")
    visitor.allowed.append("401")
    visitor.scripted = True
    visitor.log_in(server.url, alice.email, PASSWORD)
    go(visitor, server, "/add")
    visitor.page.context.clear_cookies()
    visitor.page.get_by_role("searchbox").fill("umbrella")
    expect(visitor.page.get_by_label("Password")).to_be_visible()
    visitor.page.get_by_label("Email or username").fill(alice.email)
    visitor.page.get_by_label("Password").fill(PASSWORD)
    visitor.page.get_by_role("button", name="Log in").click()
    expect(visitor.page.get_by_role("heading", name="Add a film")).to_be_visible()


def test_a_film_is_added_once_by_an_impatient_finger(server, alice, visit):
    visitor = visit("phone")
    visitor.scripted = True
    visitor.let_in(server.url, alice.email, PASSWORD)
    search(visitor, server, "boil")
    visitor.page.get_by_role("link", name=TITLE).click()
    visitor.page.get_by_role("button", name="Add to library").dblclick()
    said(visitor.page, "to To watch.")
    assert in_database(lambda: Movie.select().where(Movie.user == alice.id).count()) == 1


def test_a_key_leads_to_the_search_and_to_add(server, alice, visit):
    visitor = visit("desk")
    visitor.let_in(server.url, alice.email, PASSWORD)
    visitor.page.goto(f"{server.url}/people")
    visitor.page.keyboard.press("a")
    expect(visitor.page.get_by_role("heading", name="Add a film")).to_be_visible()
    # The browser gives it the focus a moment after the page is seen.
    expect(visitor.page.get_by_role("searchbox")).to_be_focused()
    visitor.page.keyboard.press("Escape")
    expect(visitor.page.get_by_role("searchbox")).not_to_be_focused()
    visitor.page.keyboard.press("/")
    expect(visitor.page.get_by_role("searchbox")).to_be_focused()
