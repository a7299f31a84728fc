"""Lists over HTTP."""

import pytest

from tests.support.refusals import location

FILM = "tt0111161"
URL = "/api/lists"


@pytest.fixture
def shelf(phone):
    return phone.post(URL, json={"name": "Favourites"}).json


def test_a_list_is_created_changed_and_deleted(phone, alice):
    made = phone.post(
        URL, json={"name": "Favourites", "color": "#ff0000", "icon": "heart", "position": 3}
    )
    assert made.status_code == 201
    assert made.json.keys() == {
        "id",
        "user_id",
        "name",
        "color",
        "icon",
        "position",
        "created_at",
        "last_modified",
    }
    assert (made.json["user_id"], made.json["icon"], made.json["position"]) == (
        alice.id,
        "heart",
        3,
    )
    address = f"{URL}/{made.json['id']}"
    changed = phone.put(address, json={"name": "Loved", "position": None})
    assert changed.json.items() >= {"name": "Loved", "position": 3, "color": "#ff0000"}.items()
    assert phone.get(address).json == changed.json
    assert phone.get(URL).json == [changed.json]
    assert phone.delete(address).status_code == 204
    answer = phone.get(address)
    assert (answer.status_code, answer.json) == (404, {"detail": "List not found"})


def test_lists_are_sorted_by_position(phone):
    for name, position in (("Last", 9), ("First", -2), ("Middle", 0)):
        phone.post(URL, json={"name": name, "position": position})
    phone.post(URL, json={"name": "After all"})
    assert [row["name"] for row in phone.get(URL).json] == ["First", "Middle", "Last", "After all"]


def test_films_of_a_deleted_list_become_watched_or_to_watch(phone, shelf):
    phone.post(
        "/api/movies", json={"imdb_id": FILM, "status": "custom", "custom_list_id": shelf["id"]}
    )
    assert [movie["imdb_id"] for movie in phone.get(f"{URL}/{shelf['id']}/movies").json] == [FILM]
    phone.delete(f"{URL}/{shelf['id']}")
    movie = phone.get(f"/api/movies/{FILM}").json
    assert (movie["status"], movie["custom_list_id"]) == ("toWatch", None)


def test_a_lists_films_are_not_sent_again_unchanged(phone, shelf):
    first = phone.get(f"{URL}/{shelf['id']}/movies")
    headers = {"If-None-Match": first.headers["ETag"]}
    assert phone.get(f"{URL}/{shelf['id']}/movies", headers=headers).status_code == 304
    phone.post(
        "/api/movies", json={"imdb_id": FILM, "status": "custom", "custom_list_id": shelf["id"]}
    )
    assert len(phone.get(f"{URL}/{shelf['id']}/movies", headers=headers).json) == 1


def test_the_server_assigns_the_id_of_a_list(phone):
    assert phone.post(URL, json={"name": "Favourites", "id": "mine"}).json["id"] != "mine"


@pytest.mark.parametrize(
    "body, loc",
    [
        ({}, []),
        ({"name": ""}, ["name"]),
        ({"name": 7}, ["name"]),
        ({"name": "x" * 501}, ["name"]),
        ({"name": "F", "color": "red"}, ["color"]),
        ({"name": "F", "icon": "i" * 501}, ["icon"]),
        ({"name": "F", "position": 1.5}, ["position"]),
        ({"name": "F", "position": 2**31}, ["position"]),
    ],
)
def test_an_invalid_list_is_refused_with_the_field(phone, shelf, body, loc):
    answers = [phone.post(URL, json=body)] + (
        [phone.put(f"{URL}/{shelf['id']}", json=body)] if loc else []
    )
    for answer in answers:
        assert location(answer) == loc
    assert phone.get(URL).json == [shelf]


@pytest.mark.parametrize("list_id", ["none", "%00", "..", "%20", "x" * 3000])
def test_an_unknown_list_is_not_found(phone, list_id):
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/movies")):
        answer = phone.open(f"{URL}/{list_id}{path}", method=method, json={})
        assert (answer.status_code, answer.json["detail"]) == (404, "List not found")


def test_another_users_list_is_not_found(as_user, bob, shelf):
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/movies")):
        answer = as_user(bob).open(f"{URL}/{shelf['id']}{path}", method=method, json={})
        assert (answer.status_code, answer.json["detail"]) == (404, "List not found")
