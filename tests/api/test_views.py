"""Saved views over HTTP."""

import json

import pytest

from mm.services.library import saved_views
from tests.support.libraries import export, put
from tests.support.refusals import location

URL = "/api/views"


@pytest.fixture
def unseen(phone):
    filters = {"status": "toWatch", "genre": ["Drama", "Crime"], "not_genre": "War"}
    return phone.post(URL, json={"name": "Unseen", "filters": filters}).json


def test_a_view_is_saved_changed_and_removed(phone, alice, unseen):
    assert unseen.keys() == {"id", "user_id", "name", "filters", "position", "last_modified"}
    assert unseen["user_id"] == alice.id
    # Several values of a filter are sorted.
    expected = {"genre": ["Crime", "Drama"], "not_genre": "War", "status": "toWatch"}
    assert unseen["filters"] == expected

    changed = phone.put(f"{URL}/{unseen['id']}", json={"name": "Not seen", "filters": None}).json
    assert (changed["name"], changed["filters"]) == ("Not seen", expected)
    changed = phone.put(f"{URL}/{unseen['id']}", json={"filters": {"q": "a"}, "position": 7}).json
    assert (changed["name"], changed["filters"], changed["position"]) == (
        "Not seen",
        {"q": "a"},
        7,
    )
    assert phone.get(URL).json == [changed]
    assert phone.delete(f"{URL}/{unseen['id']}").status_code == 204
    assert phone.get(URL).json == []


def test_a_single_value_is_kept_as_a_text(phone, unseen):
    filters = {"genre": ["Drama"], "decade": []}
    changed = phone.put(f"{URL}/{unseen['id']}", json={"filters": filters}).json
    assert changed["filters"]["genre"] == "Drama"


def test_views_are_sorted_by_position(phone):
    for name, position in (("Last", 9), ("First", -2)):
        phone.post(URL, json={"name": name, "position": position})
    phone.post(URL, json={"name": "After all"})
    shown = [(row["name"], row["position"]) for row in phone.get(URL).json]
    assert shown == [("First", -2), ("Last", 9), ("After all", 10)]


def test_a_view_of_the_api_is_in_the_export_and_comes_back(phone, alice, bob, as_user, unseen):
    put(bob, json.loads(export(alice)))
    [row] = as_user(bob).get(URL).json
    assert (row["name"], row["filters"]) == (unseen["name"], unseen["filters"])


def test_a_name_in_use_is_refused(phone, unseen):
    other = phone.post(URL, json={"name": "Other"}).json
    for answer in (
        phone.post(URL, json={"name": "UNSEEN"}),
        phone.put(f"{URL}/{other['id']}", json={"name": "unseen"}),
    ):
        assert answer.status_code == 409
        assert "already have a view with this name" in answer.json["detail"]


@pytest.mark.parametrize(
    "body, loc",
    [
        ({"name": ""}, ["name"]),
        ({"name": "x" * 501}, ["name"]),
        ({"name": 7}, ["name"]),
        ({"name": "V", "filters": {"genre": 7}}, ["filters"]),
        ({"name": "V", "filters": {"genre": "x" * 501}}, ["genre"]),
        ({"name": "V", "filters": {"genre": ["x"] * 31}}, ["genre"]),
        ({"name": "V", "filters": {f"f{n}": "x" for n in range(31)}}, ["filters"]),
        ({"name": "V", "position": 2**31}, ["position"]),
    ],
)
def test_an_invalid_view_is_refused_with_the_field(phone, unseen, body, loc):
    for answer in (phone.post(URL, json=body), phone.put(f"{URL}/{unseen['id']}", json=body)):
        assert location(answer) == loc
    assert phone.get(URL).json == [unseen]


def test_an_unknown_view_and_anothers_are_not_found(phone, as_user, alice, bob):
    theirs = saved_views.create(bob.id, "Theirs", {"q": "a"}).id
    for view_id in ("none", theirs):
        for answer in (
            phone.put(f"{URL}/{view_id}", json={}),
            phone.delete(f"{URL}/{view_id}"),
        ):
            assert answer.status_code == 404
            assert answer.json["detail"] == "This view no longer exists."
