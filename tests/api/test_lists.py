"""Lists over HTTP."""

import pytest
from playhouse.test_utils import count_queries

from mm.models import ListFilm
from mm.services.library import lists, movies
from tests.support.libraries import many, put
from tests.support.refusals import location

FILM, SECOND, THIRD = "tt0111161", "tt0068646", "tt0071562"
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
        "description",
    }
    assert (made.json["user_id"], made.json["icon"], made.json["position"]) == (
        alice.id,
        "heart",
        3,
    )
    address = f"{URL}/{made.json['id']}"
    changed = phone.put(address, json={"name": "Loved", "position": None})
    assert changed.json.items() >= {"name": "Loved", "position": 3, "color": "#ff0000"}.items()
    assert phone.get(address).json == {**changed.json, "films": []}
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


def test_a_description_is_given_changed_and_removed(phone):
    made = phone.post(URL, json={"name": "Best", "description": " For\r\nrainy days "}).json
    assert made["description"] == "For\nrainy days"
    address = f"{URL}/{made['id']}"
    assert phone.put(address, json={"name": "B"}).json["description"] == "For\nrainy days"
    assert phone.put(address, json={"description": "Short"}).json["description"] == "Short"
    assert phone.put(address, json={"description": None}).json["description"] == "Short"
    assert phone.put(address, json={"description": ""}).json["description"] is None


def on_list(phone, shelf):
    """[(imdb_id, note)], as both answers about its films agree."""
    films = phone.get(f"{URL}/{shelf['id']}").json["films"]
    listed = phone.get(f"{URL}/{shelf['id']}/movies").json
    assert [film["imdb_id"] for film in films] == [movie["imdb_id"] for movie in listed]
    return [(film["imdb_id"], film["note"]) for film in films]


def test_films_of_any_status_are_put_on_a_list_and_taken_off_it(phone, alice, shelf):
    movies.add(alice.id, FILM)
    movies.watch(alice.id, SECOND, my_rating=8)
    address = f"{URL}/{shelf['id']}/movies"
    # The body may be left out.
    assert phone.put(f"{address}/{FILM.upper()}").status_code == 204
    assert phone.put(f"{address}/{SECOND}", json={"note": " Last "}).status_code == 204
    assert on_list(phone, shelf) == [(FILM, None), (SECOND, "Last")]
    movie = phone.get(f"/api/movies/{SECOND}").json
    assert (movie["status"], movie["custom_list_id"]) == ("watched", None)
    assert movie["list_ids"] == [shelf["id"]]

    # Again: in its place, with its note.
    assert phone.put(f"{address}/{SECOND}", json={}).status_code == 204
    assert phone.put(f"{address}/{FILM}", json={"note": "First"}).status_code == 204
    assert on_list(phone, shelf) == [(FILM, "First"), (SECOND, "Last")]
    phone.put(f"{address}/{SECOND}", json={"note": None})
    assert on_list(phone, shelf)[1] == (SECOND, None)

    for _ in range(2):
        assert phone.delete(f"{address}/{FILM}").status_code == 204
    assert on_list(phone, shelf) == [(SECOND, None)]
    assert phone.get(f"/api/movies/{FILM}").json["list_ids"] == []


def test_a_list_is_put_in_order(phone, alice, shelf):
    for imdb_id in (FILM, SECOND, THIRD):
        movies.add(alice.id, imdb_id)
        movies.add_to_list(alice.id, imdb_id, shelf["id"], f"Note on {imdb_id}")
    address = f"{URL}/{shelf['id']}/order"
    order = ["tt9999999", THIRD, f" {FILM.upper()} ", THIRD]
    assert phone.put(address, json={"imdb_ids": order}).status_code == 204
    assert on_list(phone, shelf) == [(f, f"Note on {f}") for f in (THIRD, FILM, SECOND)]
    assert phone.put(address, json={"imdb_ids": []}).status_code == 204
    assert [film for film, _ in on_list(phone, shelf)] == [THIRD, FILM, SECOND]


def test_a_deleted_film_is_hidden_from_its_lists_until_it_comes_back(phone, alice, shelf):
    for imdb_id in (FILM, SECOND):
        movies.add(alice.id, imdb_id)
        movies.add_to_list(alice.id, imdb_id, shelf["id"])
    phone.put(f"/api/movies/{FILM}/status", json={"status": "deleted"})
    assert on_list(phone, shelf) == [(SECOND, None)]
    assert [row["imdb_id"] for row in phone.get(f"/api/movies?list={shelf['id']}").json] == [SECOND]
    phone.put(f"/api/movies/{FILM}/status", json={"status": "toWatch"})
    assert on_list(phone, shelf) == [(FILM, None), (SECOND, None)]


def test_a_film_moved_to_a_list_by_its_status_is_on_it_like_any_other(phone, alice, shelf):
    other = phone.post(URL, json={"name": "Other"}).json
    movies.add(alice.id, FILM)
    phone.put(f"{URL}/{other['id']}/movies/{FILM}")
    body = {"status": "custom", "custom_list_id": shelf["id"]}
    phone.put(f"/api/movies/{FILM}/status", json=body)
    movie = phone.get(f"/api/movies/{FILM}").json
    assert movie["custom_list_id"] == shelf["id"]
    assert set(movie["list_ids"]) == {shelf["id"], other["id"]}
    # Taken off it, the film goes to its next list, and from the last one back to where it was.
    phone.delete(f"{URL}/{shelf['id']}/movies/{FILM}")
    movie = phone.get(f"/api/movies/{FILM}").json
    assert (movie["status"], movie["custom_list_id"]) == ("custom", other["id"])
    phone.delete(f"{URL}/{other['id']}")
    movie = phone.get(f"/api/movies/{FILM}").json
    assert (movie["status"], movie["custom_list_id"], movie["list_ids"]) == ("toWatch", None, [])


@pytest.mark.parametrize(
    "path, body, loc",
    [
        (f"movies/{FILM}", {"note": "x" * 10_001}, ["note"]),
        (f"movies/{FILM}", {"note": 7}, ["note"]),
        ("order", {}, []),
        ("order", {"imdb_ids": FILM}, ["imdb_ids"]),
        ("order", {"imdb_ids": [FILM, 7]}, ["imdb_ids", 1]),
        ("order", {"imdb_ids": [FILM, "x"]}, ["imdb_id"]),
    ],
)
def test_what_cannot_be_done_with_a_list_is_refused_with_the_field(
    phone, alice, shelf, path, body, loc
):
    movies.add(alice.id, FILM)
    assert location(phone.put(f"{URL}/{shelf['id']}/{path}", json=body)) == loc
    assert on_list(phone, shelf) == []


@pytest.mark.parametrize("imdb_id", [FILM, "nonsense", "%00"])
def test_a_film_that_is_not_in_the_library_goes_on_no_list(phone, shelf, imdb_id):
    for method in ("PUT", "DELETE"):
        answer = phone.open(f"{URL}/{shelf['id']}/movies/{imdb_id}", method=method)
        assert (answer.status_code, answer.json["detail"]) == (404, "Movie not found")


def test_a_list_of_100_000_is_put_in_order_by_few_statements(phone, alice, shelf):
    put(alice, many(3000))
    films = [f"tt{number:07d}" for number in range(100_000, 0, -1)]
    pk = lists.find(alice.id, shelf["id"]).pk
    rows = [
        {"custom_list": pk, "movie": movies.find(alice.id, film), "position": place}
        for place, film in enumerate(films[-200:])
    ]
    ListFilm.insert_many(rows).execute()
    with count_queries() as counter:
        answer = phone.put(f"{URL}/{shelf['id']}/order", json={"imdb_ids": films[::-1]})
    assert answer.status_code == 204
    assert counter.count < 20
    assert [film for film, _ in on_list(phone, shelf)] == films[-200:][::-1]


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


# Every route of one list.
ROUTES = (
    ("GET", ""),
    ("PUT", ""),
    ("DELETE", ""),
    ("GET", "/movies"),
    ("PUT", f"/movies/{FILM}"),
    ("DELETE", f"/movies/{FILM}"),
    ("PUT", "/order"),
)


@pytest.mark.parametrize("list_id", ["none", "%00", "..", "%20", "x" * 3000])
def test_an_unknown_list_is_not_found(phone, list_id):
    phone.post("/api/movies", json={"imdb_id": FILM})
    for method, path in ROUTES:
        answer = phone.open(f"{URL}/{list_id}{path}", method=method, json={"imdb_ids": []})
        assert (answer.status_code, answer.json["detail"]) == (404, "List not found")


def test_another_users_list_is_not_found(as_user, bob, shelf):
    as_user(bob).post("/api/movies", json={"imdb_id": FILM})
    for method, path in ROUTES:
        answer = as_user(bob).open(
            f"{URL}/{shelf['id']}{path}", method=method, json={"imdb_ids": []}
        )
        assert (answer.status_code, answer.json["detail"]) == (404, "List not found")
