"""The pages of people, without a browser."""

import re

import pytest
from playhouse.test_utils import count_queries

from mm.models import Person
from mm.services.library import movies, people
from tests.support.libraries import HARD_NAMES, T, document, film, many, person, put, vote

PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}
FILM = "tt0000001"


@pytest.fixture
def zoe(alice):
    movies.add(alice.id, FILM, recommenders=["Zoe"])
    return people.find(alice.id, "Zoe")


def undo_in(answer):
    return re.search(r'action="(/undo/[^"]+)"', answer.text)[1]


def test_somebody_new_has_a_name_a_colour_and_an_emoji(page, alice):
    form = {
        "name": " Bob ",
        "color": "#1864ab",
        "emoji": "🎬",
        "own_emoji": "🦆",
        "is_trusted": "1",
    }
    assert page.post("/people", data=form).location == "/people"
    bob = people.find(alice.id, "Bob")
    assert (bob.color, bob.emoji, bob.is_trusted) == ("#1864ab", "🦆", True)
    assert "Bob added." in page.get("/people").text


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"name": ""}, "Name: is missing or empty"),
        ({"name": "a" * 501}, "Name: longer than 500 characters"),
        ({"name": ".."}, "cannot be a name"),
        ({"name": "nul\0"}, "Name: holds a NUL character"),
        ({"name": "ZOE"}, "Name: you already have someone with this name"),
        ({"name": "Ann", "color": "red"}, "Colour:"),
        ({"name": "Ann", "own_emoji": "a" * 501}, "Emoji: longer"),
    ],
)
def test_what_cannot_be_used_is_said_at_its_field_and_what_was_typed_stays(
    page, alice, zoe, form, said
):
    for address in (
        "/people",
        "/people?page=2",
        "/people?page=99",
        f"/people/{people.find(alice.id, 'Random Person').id}",
    ):
        answer = page.post(address, data={"is_trusted": "1", **form})
        assert answer.status_code == 422
        assert said in answer.text
        assert f'value="{form["name"]}"' in answer.text
        assert re.search(r'name="is_trusted" value="1" checked', answer.text)
    assert Person.select().count() == 5


def test_names_are_text_and_never_markup(page, alice):
    put(alice, document([], [person(name) for name in HARD_NAMES]))
    answer = page.get("/people").text
    assert "<b>Bold" not in answer
    assert "&lt;b&gt;Bold" in answer
    for row in list(Person.select()):
        assert page.get(f"/people/{row.id}").status_code == 200


def test_an_edit_is_kept_and_can_be_undone(page, zoe):
    answer = page.post(f"/people/{zoe.id}", data={"name": "Zora", "color": "#1864ab"})
    assert answer.location == f"/people/{zoe.id}"
    shown = page.get(answer.location)
    assert "Zora saved." in shown.text
    page.post(undo_in(shown))
    assert Person.get_by_id(zoe.id).name == "Zoe"


def test_a_colour_and_an_emoji_of_a_file_survive_an_edit(page, alice):
    put(alice, document([], [person("Odd", color="#ABCDEF", emoji="👩‍🚀")]))
    odd = people.find(alice.id, "Odd")
    shown = page.get(f"/people/{odd.id}").text
    assert re.search(r'value="#ABCDEF" class="visually-hidden" checked', shown)
    assert 'name="own_emoji" value="👩‍🚀"' in shown


def test_the_star_is_set_to_what_it_shows_and_comes_back_as_a_fragment(page, zoe):
    for _ in range(2):
        answer = page.post(f"/people/{zoe.id}/trust", data={"trusted": "1"}, headers=PARTIAL)
        assert 'aria-pressed="true"' in answer.text
    assert Person.get_by_id(zoe.id).is_trusted
    assert page.post(f"/people/{zoe.id}/trust", data={"trusted": "0"}).location == "/people"
    assert not Person.get_by_id(zoe.id).is_trusted


def test_a_person_is_deleted_and_comes_back_with_their_votes(page, zoe):
    page.post(f"/people/{zoe.id}/delete")
    assert Person.get_or_none(Person.id == zoe.id) is None
    page.post(undo_in(page.get("/people")))
    assert Person.get_by_id(zoe.id).recommendations.count() == 1


@pytest.fixture
def renamed_meanwhile(alice, zoe, monkeypatch):
    """As the page is answered, another tab calls Zoe Zora, and somebody else gets her name."""
    found = people.by_id

    def look_up(user_id, person_id):
        monkeypatch.setattr(people, "by_id", found)
        person = found(user_id, person_id)
        people.change(user_id, zoe.id, {"name": "Zora"})
        other = people.create(user_id, "Zoe")
        movies.recommend(user_id, FILM, other.id)
        return person

    monkeypatch.setattr(people, "by_id", look_up)


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("/people/{}", {"name": "Changed", "color": "#1864ab"}),
        ("/people/{}/trust", {"trusted": "1"}),
        ("/people/{}/delete", {}),
        (f"/movies/{FILM}/votes/{{}}/delete", {}),
    ],
)
def test_a_page_changes_the_person_it_shows_and_not_who_has_their_name(
    page, alice, zoe, renamed_meanwhile, address, form
):
    assert page.post(address.format(zoe.id), data=form).status_code == 303
    other = people.find(alice.id, "Zoe")
    assert (other.id != zoe.id, other.is_trusted, other.recommendations.count()) == (True, False, 1)


def test_scrolling_shows_each_film_of_a_person_once_while_votes_go(page, alice):
    votes = {number: [vote("Busy", date=T + number // 10)] for number in range(1, 121)}
    put(alice, document([film(number, recommendations=votes[number]) for number in votes]))
    busy = people.find(alice.id, "Busy")
    found, address = [], f"/people/{busy.id}"
    while address:
        text = page.get(address, headers=PARTIAL).text
        here = re.findall(r'href="/movies/(tt\d+)"', text)
        found += here
        match = re.search(r'class="load-more"\s+hx-get="([^"]+)"', text)
        address = match and match[1].replace("&amp;", "&")
        movies.unrecommend(alice.id, here[0], busy.id)
        movies.unrecommend(alice.id, here[-1], busy.id)
    assert sorted(found) == [f"tt{number:07}" for number in range(1, 121)]


def test_a_place_that_is_none_shows_the_first_films(page, alice, zoe):
    for query in ("after=x", "after=W10", "page=1", "page=x"):
        assert FILM in page.get(f"/people/{zoe.id}?{query}").text
    text = page.get(f"/people/{zoe.id}?page=9").text
    assert "You’ve reached the end" in text


def test_a_quick_recommender_cannot_be_deleted_and_the_page_offers_no_button(page, alice):
    quick = people.find(alice.id, "Random Person")
    assert "/delete" not in page.get(f"/people/{quick.id}").text
    answer = page.post(f"/people/{quick.id}/delete")
    assert answer.status_code == 400
    assert "Quick recommenders cannot be deleted" in answer.text


def test_a_person_deleted_in_another_tab_is_not_found(page, alice, zoe):
    people.delete(alice.id, people.find(alice.id, "Zoe").id)
    for address in (f"/people/{zoe.id}", f"/people/{zoe.id}/trust", f"/people/{zoe.id}/delete"):
        assert page.post(address, data={"name": "Zora"}).status_code == 404
    assert page.post(f"/people/{zoe.id}/trust", headers=PARTIAL).headers["HX-Reswap"] == "none"


@pytest.mark.parametrize("show", ["all", "trusted", "quick", "nonsense"])
def test_people_can_be_narrowed(page, alice, zoe, show):
    people.change(alice.id, people.find(alice.id, "Zoe").id, {"is_trusted": True})
    shown = page.get("/people", query_string={"show": show}).text
    assert ("Zoe" in shown) == (show != "quick")
    assert ("Google Search" in shown) == (show != "trusted")


@pytest.mark.slow
def test_a_page_of_many_asks_little_of_the_database_and_weighs_little(page, alice):
    put(alice, many(3000, votes_each=3))
    put(alice, document([], [person(f"Somebody {number}") for number in range(600)]))
    busy = people.find(alice.id, "Person 3")
    for address in (
        "/people",
        "/people?page=2",
        "/people?page=99",
        f"/people/{busy.id}",
        f"/people/{busy.id}?page=3",
        f"/people/{busy.id}?page=-1",
    ):
        with count_queries() as counter:
            answer = page.get(address)
        assert counter.count <= 12, address
        assert len(answer.data) < 100_000, address
