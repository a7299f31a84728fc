"""Saved views of the library."""

import pytest

from mm.errors import ConflictError, InvalidError, NotFoundError
from mm.models import SavedView
from mm.services.library import browse, lists, people, saved_views
from tests.support.libraries import reload

UNSEEN = {"status": "toWatch", "q": "a&b=ü", "trusted": "1"}


def reload_view(row):
    return SavedView.get_by_id(row.pk)


@pytest.fixture
def saved(alice, database):
    return saved_views.create(alice.id, "  Unseen ", UNSEEN)


def test_a_view_is_stored_as_the_parameters_of_its_address(alice, saved):
    [stored] = saved_views.listing(alice.id)
    assert (stored.name, stored.position) == ("Unseen", 0)
    assert stored.filters == UNSEEN
    assert browse.parse(stored.filters).params() == UNSEEN


def test_each_write_is_counted_and_a_new_view_is_the_last(alice, saved):
    assert saved_views.create(alice.id, "Later", {}).position == 1
    saved_views.change(alice.id, saved.id, {"name": "Sooner"})
    saved_views.remove(alice.id, saved.id)
    assert reload(alice).library_version == 4
    assert [view.name for view in saved_views.listing(alice.id)] == ["Later"]


def test_a_view_may_have_several_values_and_exclusions(alice, saved):
    maya = people.create(alice.id, "Maya")
    club = lists.create(alice.id, "Club")
    filters = {
        "genre": ["Drama", "Crime"],
        "not_person": [str(maya.id)],
        "list": club.id,
        "sort": "order",
    }
    created = saved_views.create(alice.id, "Club", filters, position=7)
    assert created.filters == {
        "genre": ["Crime", "Drama"],
        "list": club.id,
        "not_person": str(maya.id),
        "sort": "order",
    }
    assert (reload_view(created).filters, created.position) == (created.filters, 7)
    assert saved_views.view(created).filters == created.filters
    assert saved_views.view(created).user_id == alice.id


def test_what_is_changed_is_replaced_and_the_rest_stays(alice, saved, frozen_clock):
    saved_views.change(alice.id, saved.id, {"filters": {"q": "x"}, "name": None})
    assert (reload_view(saved).filters, reload_view(saved).name) == ({"q": "x"}, "Unseen")
    saved_views.change(alice.id, saved.id, {"position": 4, "name": "Seen"})
    changed = reload_view(saved)
    assert (changed.filters, changed.name, changed.position) == ({"q": "x"}, "Seen", 4)
    assert changed.updated_at > saved.updated_at
    assert saved_views.change(alice.id, saved.id, {"filters": {}}).filters == {}


@pytest.mark.parametrize(
    ("filters", "reason"),
    [
        ({"tag": "x"}, "filters.tag: the library has no such filter"),
        ({"decade": "1995"}, "filters.decade: “1995” cannot be used here"),
        ({"genre": ["Drama", "a/\t" + "b" * 300]}, "cannot be used here"),
        ({"status": ["toWatch", "watched"]}, "filters.status: “watched” cannot be used here"),
        ({"sort": "order"}, "filters.sort: “order” cannot be used here"),
        ({"person": "99"}, "there is no person with the id 99"),
        ({"not_person": ["99"]}, "there is no person with the id 99"),
        ({"list": "gone"}, "there is no list with the id gone"),
        ({"not_list": "gone"}, "there is no list with the id gone"),
        ({"genre": 5}, "genre"),
        ("text", "filters"),
    ],
)
def test_filters_that_cannot_be_used_are_refused_and_not_dropped(alice, saved, filters, reason):
    with pytest.raises(InvalidError, match=reason):
        saved_views.create(alice.id, "Other", filters)
    with pytest.raises(InvalidError, match=reason):
        saved_views.change(alice.id, saved.id, {"filters": filters})
    assert reload(alice).library_version == 1
    assert reload_view(saved).filters == UNSEEN


def test_the_people_and_lists_of_another_user_cannot_be_named(alice, bob, saved):
    maya, club = people.create(bob.id, "Maya"), lists.create(bob.id, "Club")
    for filters in ({"person": str(maya.id)}, {"list": club.id}):
        with pytest.raises(InvalidError, match="there is no"):
            saved_views.create(alice.id, "Theirs", filters)


def test_empty_values_and_defaults_are_not_stored(alice, database):
    filters = {"q": "", "genre": [], "sort": "added", "size": "m", "kind": " tv "}
    assert saved_views.create(alice.id, "Series", filters).filters == {"kind": "tv"}


@pytest.mark.parametrize("name", ["", "  ", "..", "a" * 501, "a\0b"])
def test_an_invalid_name_is_refused(alice, saved, name):
    with pytest.raises(InvalidError):
        saved_views.create(alice.id, name, UNSEEN)
    with pytest.raises(InvalidError):
        saved_views.change(alice.id, saved.id, {"name": name})
    assert reload(alice).library_version == 1


def test_a_name_can_be_used_once_whatever_its_case(alice, bob, saved):
    with pytest.raises(ConflictError):
        saved_views.create(alice.id, "UNSEEN", UNSEEN)
    other = saved_views.create(alice.id, "Other", UNSEEN)
    with pytest.raises(ConflictError):
        saved_views.change(alice.id, other.id, {"name": "unseen"})
    changed = saved_views.change(alice.id, saved.id, {"name": "UNSEEN"})
    assert changed.name == "UNSEEN"
    assert saved_views.create(bob.id, "Unseen", UNSEEN).position == 0


def test_the_view_of_another_user_is_not_found(bob, saved):
    for act in (
        lambda: saved_views.find(bob.id, saved.id),
        lambda: saved_views.change(bob.id, saved.id, {"name": "Mine"}),
        lambda: saved_views.remove(bob.id, saved.id),
    ):
        with pytest.raises(NotFoundError):
            act()
    assert SavedView.get().name == "Unseen"


def test_a_view_of_somebody_who_is_gone_can_be_sent_back_as_it_came(alice):
    eve = people.create(alice.id, "Eve")
    saved = saved_views.create(alice.id, "Hers", {"person": str(eve.id)})
    people.delete(alice.id, eve.id)
    as_served = saved_views.view(saved_views.find(alice.id, saved.id))
    sent = {"name": "Eve’s", "filters": as_served.filters, "position": 3}
    assert saved_views.change(alice.id, saved.id, sent).name == "Eve’s"
