"""Saved views of the library."""

import pytest

from mm.errors import ConflictError, InvalidError, NotFoundError
from mm.models import SavedView
from mm.services.library import browse, saved_views
from tests.support.libraries import reload

UNSEEN = {"status": "toWatch", "q": "a&b=ü", "trusted": "1"}


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
