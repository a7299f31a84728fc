"""The page of lists, without a browser."""

import re

import pytest
from playhouse.test_utils import count_queries

from mm.models import CustomList
from mm.services.library import lists, movies
from tests.support.libraries import custom_list, document, film, put, seen

PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
def three(alice):
    """Ids by place; the first list holds one film that was watched and two that were not."""
    names = ["Winter", "Children", "Flight"]
    rows = [custom_list(f"list-{n}", name, position=n) for n, name in enumerate(names)]
    put(alice, document([seen(1), film(2), film(3)], [], rows))
    for number in (1, 2, 3):
        movies.set_status(alice.id, f"tt000000{number}", "custom", "list-0")
    return [row["id"] for row in rows]


def order(alice):
    return [row.name for row in lists.listing(alice.id)]


def undo_in(answer):
    return re.search(r'action="(/undo/[^"]+)"', answer.text)[1]


def test_a_list_is_made_with_colour_and_icon_and_comes_last(page, alice, three):
    assert (
        page.post("/lists", data={"name": " New ", "color": "#1864ab", "icon": "moon"}).location
        == "/lists"
    )
    made = lists.listing(alice.id)[-1]
    assert (made.name, made.color, made.icon, made.position) == ("New", "#1864ab", "moon", 3)


def test_sending_the_form_twice_makes_one_list(page, alice):
    form = {
        "name": "New",
        "id": re.search(r'name="id" value="([^"]+)"', page.get("/lists").text)[1],
    }
    for _ in range(2):
        assert page.post("/lists", data=form).location == "/lists"
    assert order(alice) == ["New"]


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"name": " "}, "Name: is missing or empty"),
        ({"name": "a" * 501}, "Name: longer than 500 characters"),
        ({"name": "<script>", "color": "red"}, "Colour:"),
        ({"name": "New", "icon": "a" * 501}, "Icon: longer"),
        ({"name": "New", "description": "a" * 10_001}, "Description: longer than 10,000"),
    ],
)
def test_what_cannot_be_used_is_said_at_its_field_and_what_was_typed_stays(
    page, alice, three, form, said
):
    for address in ("/lists", "/lists/list-1"):
        answer = page.post(address, data=form)
        assert answer.status_code == 422
        assert said in answer.text
        assert f'value="{form["name"].replace("<", "&lt;").replace(">", "&gt;")}"' in answer.text
        assert f">{form.get('description', '')}</textarea>" in answer.text
        assert answer.text.count('class="field-error"') == 1
    assert order(alice) == ["Winter", "Children", "Flight"]


def test_a_list_has_a_description(page, alice, three):
    words = "When it snows.\r\nLong ones are welcome."
    page.post("/lists", data={"name": "New", "description": words})
    made = lists.listing(alice.id)[-1]
    assert made.description == "When it snows.\nLong ones are welcome."
    assert 'dir="auto">When it snows. Long ones are welcome.</small>' in page.get("/lists").text
    address = f"/lists/{made.id}"
    assert ">When it snows. Long ones are welcome.</textarea>" in page.get(address).text
    # The form of an earlier version has no such field.
    page.post(address, data={"name": "Newer"})
    assert lists.find(alice.id, made.id).description == made.description
    assert "List “Newer” saved." in page.get("/lists").text
    page.post(address, data={"name": "Newer", "description": " "})
    assert lists.find(alice.id, made.id).description is None
    page.post(undo_in(page.get("/lists")))
    assert lists.find(alice.id, made.id).description == made.description


def test_the_films_of_a_list_are_those_on_it_whatever_their_status(page, alice, three):
    for imdb_id in ("tt0000001", "tt0000002"):
        movies.add_to_list(alice.id, imdb_id, "list-1")
    movies.set_status(alice.id, "tt0000001", "watched")
    text = page.get("/lists").text
    assert re.findall(r"<small>(\d films?)</small>", text) == ["3 films", "2 films", "0 films"]
    movies.set_status(alice.id, "tt0000002", "deleted")
    text = page.get("/lists").text
    assert re.findall(r"<small>(\d films?)</small>", text) == ["2 films", "1 film", "0 films"]
    assert "1 film</a>" in page.get("/lists/list-1").text


def test_a_list_is_renamed_and_that_can_be_undone(page, alice, three):
    page.post("/lists/list-1", data={"name": "Kids", "color": "#1864ab", "icon": "ghost"})
    assert order(alice) == ["Winter", "Kids", "Flight"]
    page.post(undo_in(page.get("/lists")))
    assert order(alice) == ["Winter", "Children", "Flight"]


def test_the_page_says_where_the_films_go_and_there_they_go(page, alice, three):
    assert "1 moves to Watched, 2 move back to To watch." in page.get("/lists/list-0").text
    assert "This list is empty. Nothing else changes." in page.get("/lists/list-1").text
    page.post("/lists/list-0/delete")
    assert [movies.find(alice.id, f"tt000000{n}").status for n in (1, 2, 3)] == [
        "watched",
        "toWatch",
        "toWatch",
    ]
    page.post(undo_in(page.get("/lists")))
    assert movies.find(alice.id, "tt0000002").custom_list.name == "Winter"
    assert order(alice) == ["Winter", "Children", "Flight"]


def test_films_that_are_elsewhere_too_are_said_to_stay_there_and_do(page, alice, three):
    first, second, third = (f"tt000000{n}" for n in (1, 2, 3))
    movies.set_status(alice.id, first, "watched")
    movies.add_to_list(alice.id, second, "list-1")
    text = page.get("/lists/list-0").text
    assert "Your films stay in your library: 1 moves back to To watch." in text
    assert "The other 2 are also on other lists, watched or to watch, and stay there." in text
    assert "1 film stays where it is: on other lists, watched or to watch." in (
        page.get("/lists/list-1").text
    )
    page.post("/lists/list-0/delete")
    places = [movies.find(alice.id, imdb_id) for imdb_id in (first, second, third)]
    assert [film.status for film in places] == ["watched", "custom", "toWatch"]
    assert places[1].custom_list.name == "Children"


def test_a_list_moves_up_and_down_and_stays_at_the_ends(page, alice, three):
    page.post("/lists/list-2/move", data={"to": "up"})
    assert order(alice) == ["Winter", "Flight", "Children"]
    page.post("/lists/list-0/move", data={"to": "down"})
    assert order(alice) == ["Flight", "Winter", "Children"]
    page.post("/lists/list-2/move", data={"to": "up"})
    page.post("/lists/list-1/move", data={"to": "down"})
    assert order(alice) == ["Flight", "Winter", "Children"]


def test_a_whole_order_is_taken_as_it_was_dragged(page, alice, three):
    dragged = {"id": ["list-2", "list-0", "list-1"]}
    answer = page.post("/lists/order/all", data=dragged, headers=PARTIAL)
    assert answer.text.lstrip().startswith('<div id="lists"')
    assert order(alice) == ["Flight", "Winter", "Children"]


@pytest.mark.parametrize("list_id", ["order", "all", "move"])
def test_a_list_from_a_file_is_edited_whatever_its_id(page, alice, list_id):
    other = custom_list("b", "Other", position=1)
    put(alice, document([], [], [custom_list(list_id, "Old"), other]))
    assert 'value="Old"' in page.get(f"/lists/{list_id}").text
    assert page.post(f"/lists/{list_id}", data={"name": "New"}).location == "/lists"
    assert order(alice) == ["New", "Other"]
    page.post(f"/lists/{list_id}/move", data={"to": "down"})
    assert order(alice) == ["Other", "New"]
    page.post("/lists/order/all", data={"id": [list_id, "b"]})
    assert order(alice) == ["New", "Other"]
    page.post(f"/lists/{list_id}/delete")
    assert order(alice) == ["Other"]


def test_a_page_of_an_earlier_version_can_still_put_lists_in_order(page, alice, three):
    page.post("/lists/order", data={"id": ["list-2", "list-0", "list-1"]})
    assert order(alice) == ["Flight", "Winter", "Children"]


def test_an_order_from_an_old_page_keeps_what_it_does_not_know(page, alice, three):
    page.post("/lists/order/all", data={"id": ["gone", "list-2", "list-2"]})
    assert order(alice) == ["Flight", "Winter", "Children"]


def test_only_lists_whose_place_changes_are_written(page, alice, three):
    before = {row.id: row.updated_at for row in CustomList.select()}
    page.post("/lists/order/all", data={"id": ["list-0", "list-2", "list-1"]})
    changed = {row.id for row in CustomList.select() if row.updated_at != before[row.id]}
    assert changed == {"list-1", "list-2"}


@pytest.mark.parametrize("verb", ["", "/move", "/delete"])
def test_a_list_deleted_in_another_tab_is_not_found(page, alice, three, verb):
    lists.delete(alice.id, "list-1")
    answer = page.post(f"/lists/list-1{verb}", data={"name": "x"})
    assert answer.status_code == 404
    assert "List not found" in answer.text


def test_an_icon_from_elsewhere_is_shown_or_a_star_and_survives_an_edit(page, alice):
    put(
        alice,
        document(
            [], [], [custom_list("a", "Heart", icon="❤"), custom_list("b", "Odd", icon="sf.symbol")]
        ),
    )
    shown = page.get("/lists").text
    assert ">❤</text>" in shown
    assert (
        'name="icon" value="sf.symbol" class="visually-hidden" checked' in page.get("/lists/b").text
    )


def test_the_page_asks_little_of_the_database(page, alice):
    put(
        alice,
        document([], [], [custom_list(f"list-{n}", f"List {n}", position=n) for n in range(60)]),
    )
    with count_queries() as counter:
        answer = page.get("/lists")
    assert counter.count <= 12
    assert len(answer.data) < 100_000
