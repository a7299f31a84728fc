"""Saved views from one household in another: their people and lists are met by name, and what is
missing or unknown there is said, and left out."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mm.errors import InvalidError, NotFoundError
from mm.models import SavedView, User
from mm.services import validation
from mm.services.collections import envelope, importing, plans, views
from mm.services.library import browse, lists, people, saved_views
from tests.support.libraries import fresh_account

FILTERS = {"genre": ["Crime", "Drama"], "not_kind": "tv", "sort": "year", "size": "l"}


def items_of(user, ids=None):
    return msgspec.to_builtins(views.export(user.id, ids))


def file_of(*items):
    """A file as it is received, with whatever items."""
    collection = envelope.written("views", [])
    collection.items = list(items)
    collection.metadata.item_count = len(items)
    return envelope.read("views", envelope.encode(collection))


def view(name="Mine", position=0, **filters):
    return {"name": name, "filters": filters, "position": position}


def taken(user, *items, bulk=None):
    return importing.at_once(user, file_of(*items), None, bulk)


def planned(user, *items, bulk=None):
    return plans.preview(plans.plan(user.id, file_of(*items), None, bulk)).items


def notes(user, **filters):
    [item] = planned(user, view(**filters))
    return item.notes


def stored(user):
    """By name."""
    return {row.name: row.filters for row in saved_views.listing(user.id)}


def test_people_and_lists_travel_by_name_and_arrive_with_the_ids_of_there(alice, bob):
    for user in (alice, bob):
        # So that the ids differ.
        people.create(user.id, f"Only {user.username}")
        people.create(user.id, "Zoë")
        lists.create(user.id, "Film noir")
    zoe, club = people.find(alice.id, "Zoë"), lists.listing(alice.id)[0]
    filters = FILTERS | {"not_person": str(zoe.id), "list": club.id, "sort": "order"}
    saved_views.create(alice.id, "Dark", filters)
    [item] = items_of(alice)
    assert item["filters"] == filters | {"not_person": "Zoë", "list": "Film noir"}
    taken(bob, item)
    theirs = {
        "not_person": str(people.find(bob.id, "zoë").id),
        "list": lists.listing(bob.id)[0].id,
    }
    assert stored(bob) == {"Dark": filters | theirs}
    assert items_of(bob) == items_of(alice)


def test_what_was_deleted_here_is_left_out_of_an_export(alice):
    ann, ben = (people.create(alice.id, name) for name in ("Ann", "Ben"))
    club = lists.create(alice.id, "Club")
    both = {"person": [str(ann.id), str(ben.id)], "not_person": str(ben.id), "q": "x"}
    saved_views.create(alice.id, "Both", both)
    saved_views.create(alice.id, "Club", {"list": club.id, "sort": "order"})
    people.delete(alice.id, ben.id)
    lists.delete(alice.id, club.id)
    first, second = items_of(alice)
    assert first["filters"] == {"person": "Ann", "q": "x"}
    assert second["filters"] == {}


def test_chosen_views_are_exported_in_their_own_order_and_count_from_zero(alice):
    one, _, three = (saved_views.create(alice.id, name, {}) for name in ("One", "Two", "Three"))
    found = items_of(alice, [three.id, one.id])
    assert [(item["name"], item["position"]) for item in found] == [("One", 0), ("Three", 1)]
    with pytest.raises(NotFoundError, match="There is no view with the id nobody"):
        views.export(alice.id, [one.id, "nobody"])


def test_the_views_of_others_cannot_be_exported(alice, bob):
    theirs = saved_views.create(bob.id, "Theirs", {})
    with pytest.raises(NotFoundError):
        views.export(alice.id, [theirs.id])
    assert (views.choices(alice.id), items_of(alice)) == ([], [])


def test_what_can_be_exported_tells_how_many_filters_each_view_has(alice):
    saved_views.create(alice.id, "Everything", {"status": "all"})
    saved_views.create(alice.id, "Good", {"rating": "8", "genre": ["Crime", "Drama"]})
    found = [(choice.name, choice.detail) for choice in views.choices(alice.id)]
    assert found == [("Everything", ""), ("Good", "3 filters")]


@pytest.mark.parametrize(
    ("filters", "note", "kept"),
    [
        (
            {"person": "Ben", "q": "x"},
            "“Ben” is not among your people: taken without this filter",
            {"q": "x"},
        ),
        (
            {"person": ["Ann", "Ben", "Cy"]},
            "“Ben” and “Cy” are not among your people: taken without them",
            {"person": "Ann"},
        ),
        (
            {"not_person": ["B", "C", "D", "E", "F"]},
            "“B”, “C”, “D” and 2 more are not among your people: taken without this filter",
            {},
        ),
        (
            {"not_list": ["Club", "Gone"]},
            "“Gone” is not among your lists: taken without it",
            {"not_list": "Club"},
        ),
        (
            {"mood": "dark", "kind": "tv"},
            "“mood” is not a filter of this library: taken without it",
            {"kind": "tv"},
        ),
        (
            {"genre": ["Crime", "x" * 201]},
            f"“{'x' * 40}…” cannot be used as “genre”: taken without it",
            {"genre": "Crime"},
        ),
        (
            {"kind": ["film", "tv"]},
            "“film” cannot be used as “kind”: taken without it",
            {"kind": "tv"},
        ),
        ({"size": "xl"}, "“xl” cannot be used as “size”: taken without this filter", {}),
        (
            {"genre": [str(number) for number in range(10_000)], "trusted": "1"},
            "“genre”: more than 30 values: taken without this filter",
            {"trusted": "1"},
        ),
        (
            {"rating": 8, "trusted": "1"},
            "“rating”: expected text, found a number: taken without this filter",
            {"trusted": "1"},
        ),
        (
            {"genre": {"is": "Crime"}},
            "“genre”: expected text, found an object: taken without this filter",
            {},
        ),
        (
            {"genre": ["Crime", 7]},
            "“genre”: expected text, found a number: taken without this filter",
            {},
        ),
        (
            {"q": "a\0b"},
            "“q”: holds a NUL character: taken without this filter",
            {},
        ),
        (
            {"sort": "order"},
            "“order” cannot be used as “sort”: taken without this filter",
            {},
        ),
    ],
)
def test_what_cannot_be_used_here_is_said_and_the_view_taken_without_it(alice, filters, note, kept):
    ann, club = people.create(alice.id, "Ann"), lists.create(alice.id, "Club")
    ids = {"Ann": str(ann.id), "Club": club.id}
    assert notes(alice, **filters) == [note]
    result = taken(alice, view(**filters))
    assert (result.imported, result.errors) == (1, 0)
    assert stored(alice) == {"Mine": {name: ids.get(value, value) for name, value in kept.items()}}


def test_a_list_that_is_missing_takes_its_order_along(alice):
    assert notes(alice, list="Gone", sort="order") == [
        "“Gone” is not among your lists: taken without this filter",
        "“order” cannot be used as “sort”: taken without this filter",
    ]


def test_the_number_of_a_person_in_a_file_is_only_a_name(alice):
    ann = people.create(alice.id, "Ann")
    assert notes(alice, person=str(ann.id)) == [
        f"“{ann.id}” is not among your people: taken without this filter"
    ]


def test_the_people_and_lists_of_others_are_not_found(alice, bob):
    people.create(bob.id, "Ben")
    lists.create(bob.id, "Club")
    assert len(notes(alice, person="Ben", list="Club")) == 2


def test_of_lists_with_the_same_name_the_first_is_taken_and_that_is_said(alice):
    later = lists.create(alice.id, "Noir", position=5)
    first = lists.create(alice.id, "NOIR", position=2)
    expected = ["You have 2 lists called “noir”: taken with the first of them"]
    assert notes(alice, list="noir") == expected
    taken(alice, view(list="noir", not_list="Noir"))
    assert stored(alice)["Mine"] == {"list": first.id, "not_list": first.id}
    assert later.id != first.id


@pytest.mark.parametrize(
    ("item", "error"),
    [
        (view(**{f"f{number}": "x" for number in range(31)}), "filters: more than 30 filters"),
        ({"name": "Mine", "filters": ["x"]}, "filters: expected an object, found a list"),
        ({"name": "Mine", "filters": "q=x"}, "filters: expected an object, found text"),
        ({"name": "Mine", "filters": {"x" * 501: "1"}}, "filters: longer than 500 characters"),
        ({"name": "Mine", "filters": {}, "position": "1"}, "position: expected a whole number"),
        ({"name": "Mine", "filters": {}, "position": 1e12}, "position: 1e+12 is too large"),
        ({"name": " ", "filters": {}}, "name: is missing or empty"),
        ({"name": ["Mine"], "filters": {}}, "name: expected text, found a list"),
        ({"name": "a\nb", "filters": {}}, "name: holds a line end"),
        ("Mine", "expected an object"),
    ],
)
def test_an_item_that_is_no_view_is_an_error_and_costs_no_other(alice, item, error):
    result = taken(alice, item, view("Other", q="x"))
    [wrong] = result.error_details
    assert wrong.error.startswith(error)
    assert stored(alice) == {"Other": {"q": "x"}}


def test_a_view_without_filters_or_position_is_one_of_the_whole_library(alice):
    taken(alice, {"name": "All"}, {"name": "Also", "filters": None})
    assert stored(alice) == {"All": {}, "Also": {}}


def test_new_views_follow_mine_in_the_order_of_their_positions(alice):
    saved_views.create(alice.id, "Mine", {}, position=7)
    taken(alice, {"name": "Last"}, view("Third", 9), view("First", -2), view("Second", 3))
    rows = saved_views.listing(alice.id)
    expected = [("Mine", 7), ("First", 8), ("Second", 9), ("Third", 10), ("Last", 11)]
    assert [(row.name, row.position) for row in rows] == expected
    assert len({row.updated_at for row in rows}) == 5


@pytest.mark.parametrize("bulk", ["skip", "rename", "overwrite"])
def test_a_name_that_is_here_is_treated_as_chosen(alice, bulk, frozen_clock):
    mine = saved_views.create(alice.id, "Dark", {"genre": "Crime"}, position=3)
    saved_views.create(alice.id, "Light", {})
    frozen_clock.move(60)
    result = taken(alice, view("DARK", genre="Horror"), bulk=bulk)
    assert result.total_items == 1
    row = SavedView.get_by_id(mine.pk)
    assert (row.id, row.position) == (mine.id, 3)
    assert (row.last_modified > mine.last_modified) == (bulk == "overwrite")
    assert (row.updated_at > mine.updated_at) == (bulk == "overwrite")
    assert (
        stored(alice)
        == {
            "skip": {"Dark": {"genre": "Crime"}, "Light": {}},
            "rename": {"Dark": {"genre": "Crime"}, "Light": {}, "DARK (1)": {"genre": "Horror"}},
            "overwrite": {"DARK": {"genre": "Horror"}, "Light": {}},
        }[bulk]
    )


def test_a_full_library_takes_its_own_views_again_and_no_other(alice, monkeypatch):
    for number in range(4):
        saved_views.create(alice.id, f"View {number}", FILTERS)
    monkeypatch.setattr(validation, "FILMS_MAX", 4)
    assert taken(alice, *items_of(alice), bulk="overwrite").overwritten == 4
    with pytest.raises(InvalidError, match="A library can hold 4 saved views"):
        planned(alice, view("Another"))


def test_a_name_twice_in_a_file_is_an_error(alice):
    result = taken(alice, view("Dark", q="1"), view("dark", q="2"))
    assert [error.error for error in result.error_details] == ["the file has this name twice"]
    assert stored(alice) == {"Dark": {"q": "1"}}


def test_what_an_overwrite_changes_is_said_in_words(alice):
    ann = people.create(alice.id, "Ann")
    club = lists.create(alice.id, "Club")
    mine = {"person": str(ann.id), "kind": "tv", "q": "x", "sort": "year", "not_list": club.id}
    saved_views.create(alice.id, "Mine", mine)
    theirs = {"status": "all", "kind": "movie", "decade": ["1970", "1980"], "trusted": "1"}
    [item] = planned(alice, view(**theirs, sort="title", size="l", person="Ben", rating="7"))
    assert item.outcome == "skipped"
    assert item.differences == [
        "tab: none → All",
        "search: “x” → none",
        "kind: Series → Films",
        "decade: none → 1970s, 1980s",
        "recommended by: Ann → none",
        "trusted people only: none → yes",
        "my rating, at least: none → 7",
        "sort by: Year → Title",
        "posters: Medium → Large",
        "not list: Club → none",
    ]


def test_views_that_are_equal_have_no_differences(alice):
    ann = people.create(alice.id, "Ann")
    saved_views.create(alice.id, "Mine", FILTERS | {"person": str(ann.id)})
    for bulk in ("skip", "overwrite"):
        [item] = planned(alice, *items_of(alice), bulk=bulk)
        assert (item.differences, item.notes) == ([], [])


def test_a_view_of_mine_that_an_older_file_left_here_is_compared_as_it_is_shown(alice):
    SavedView.create(
        user=alice.id,
        name="Old",
        filters={"mood": "dark", "person": "12345", "sort": "order"},
        last_modified=1.0,
        updated_at=1.0,
    )
    [item] = planned(alice, view("Old"))
    assert item.differences == ["recommended by: a deleted person → none"]
    assert items_of(alice) == [view("Old")]


def test_a_hundred_views_with_hostile_names_come_back_the_same(alice, bob):
    hostile = ["<script>alert(1)</script>", "=1+1", "‮evil", "'; DROP TABLE x", "👩‍👩‍👧"]
    for user in (alice, bob):
        for name in hostile:
            people.create(user.id, name)
            lists.create(user.id, name)
    named = [str(people.find(alice.id, name).id) for name in hostile]
    for number in range(100):
        shown = {"person": named, "q": hostile[number % 5]}
        saved_views.create(alice.id, f"{hostile[number % 5]} {number}", shown)
    before = items_of(alice)
    assert before[0]["filters"]["person"] == sorted(hostile)
    assert taken(bob, *before).imported == 100
    assert items_of(bob) == before


# What holds for any file.

texts = st.sampled_from(
    [
        "Ann",
        "ann",
        "Ben",
        "Club",
        "Crime",
        "movie",
        "tv",
        "all",
        "order",
        "title",
        "l",
        "1",
        "8",
        "",
    ]
) | st.text(st.characters(exclude_categories=("Cs",)), max_size=5)
filter_values = texts | st.lists(texts, max_size=4) | st.integers() | st.none()
any_filters = st.dictionaries(st.sampled_from([*browse.ALLOWED, "mood"]), filter_values, max_size=8)
any_views = st.fixed_dictionaries(
    {"name": st.sampled_from(["One", "one", "Two", "Three (1)", "", "Three"])},
    optional={"filters": any_filters, "position": st.none() | st.integers(-3, 9)},
)
few = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@few
@given(
    mine=st.lists(any_views, max_size=3),
    file=st.lists(any_views, max_size=5),
    bulk=st.sampled_from(plans.RESOLUTIONS),
)
def test_a_preview_is_what_then_happens_and_all_that_is_stored_can_be_used(
    database, mine, file, bulk
):
    User.delete().execute()
    user = fresh_account("one")
    people.create(user.id, "Ann")
    lists.create(user.id, "Club")
    plans.apply(plans.plan(user.id, file_of(*mine)))
    before = {row.id: row for row in saved_views.listing(user.id)}
    plan = plans.plan(user.id, file_of(*file), None, bulk)
    preview = plans.preview(plan)
    result = plans.apply(plan)
    outcomes = [item.outcome for item in preview.items]
    counts = (result.imported, result.skipped, result.overwritten, result.renamed, result.errors)
    kinds = ("imported", "skipped", "overwritten", "renamed", "error")
    assert counts == tuple(outcomes.count(kind) for kind in kinds)
    after = {row.id: row for row in saved_views.listing(user.id)}
    assert len(after) == len(before) + result.imported + result.renamed
    for row in after.values():
        assert saved_views._checked(user.id, row.filters) == row.filters
    changed = {item.existing_id for item in preview.items if item.outcome == "overwritten"}
    for view_id, row in before.items():
        assert after[view_id].position == row.position
        if view_id not in changed:
            assert (after[view_id].name, after[view_id].filters) == (row.name, row.filters)
    again = plans.preview(plans.plan(user.id, file_of(*file), None, "overwrite"))
    for item, outcome in zip(again.items, outcomes, strict=True):
        if outcome in ("imported", "overwritten"):
            assert item.differences == []


@few
@given(mine=st.lists(any_views, max_size=6))
def test_views_come_back_the_same_from_another_household(database, mine):
    User.delete().execute()
    accounts = [fresh_account(name) for name in ("one", "two")]
    for user in accounts:
        people.create(user.id, "Ann")
        lists.create(user.id, "Club")
    one, two = accounts
    plans.apply(plans.plan(one.id, file_of(*mine)))
    exported = items_of(one)
    plan = plans.plan(two.id, file_of(*exported))
    assert [item.notes for item in plans.preview(plan).items] == [[]] * len(exported)
    plans.apply(plan)
    assert items_of(two) == exported


def test_a_library_that_is_full_of_views_takes_its_own_again(alice, monkeypatch):
    taken(alice, *(view(str(number)) for number in range(4)))
    # As many as the quick recommenders.
    monkeypatch.setattr(validation, "FILMS_MAX", 4)
    assert taken(alice, view("1", q="alien"), bulk="overwrite").overwritten == 1
    with pytest.raises(InvalidError, match="A library can hold 4 saved views"):
        taken(alice, view("4"))
