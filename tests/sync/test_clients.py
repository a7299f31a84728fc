"""Whole sessions of the existing clients, with a real server, worker
and HTTP stand-in."""

import contextlib
import time
from urllib.parse import quote

import pytest
import requests

from tests.support import processes
from tests.support import standin as stand
from tests.support.phones import Phone, queue, require_rules, server_library

pytestmark = [pytest.mark.processes, pytest.mark.slow]
PASSWORD = "correct horse battery"
FILM, SECOND = stand.FILM_IDS[0], stand.FILM_IDS[5]
TITLE = stand.FILMS[0][0]
PATIENCE = 30


class Client:
    """`ask` returns the body and insists on the status."""

    def __init__(self, server):
        self.url = server.url
        self.session = requests.Session()
        token = self.ask(
            "POST", "/api/auth/login", json={"email": "a@example.org", "password": PASSWORD}
        )
        self.session.headers["Authorization"] = f"Bearer {token['access_token']}"

    def ask(self, method, path, status=200, **sent):
        answer = self.session.request(method, self.url + path, timeout=30, **sent)
        assert answer.status_code == status, (method, path, answer.text)
        return answer.json() if answer.content else None

    def __call__(self, method, path, json):
        return self.ask(method, path, json=json)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        standin = stack.enter_context(stand.running())
        keys = {"TMDB_API_KEY": "standin-tmdb-key", "OMDB_API_KEY": "standin-omdb-key"}
        data_dir = tmp_path_factory.mktemp("clients") / "data"
        server = stack.enter_context(processes.running(data_dir, **standin.environ, **keys))
        server.environment["MM_PASSWORD"] = PASSWORD
        made = server.flask("user", "create", "a@example.org", "alice")
        assert made.returncode == 0, made.stderr
        server.start("web", "worker")
        yield server


@pytest.fixture
def client(server):
    return Client(server)


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("It did not happen in time.")


@pytest.fixture
def enriched(server):
    """enriched(): wait until the worker has looked up all films; until then two
    answers in a row may rightly differ."""
    waiting = """
        select imdb_id from title where 'stub' in (tmdb_state, omdb_state)
            and imdb_id in (select imdb_id from movie)
        union all
        select id from job where kind = 'enrich' and state in ('queued', 'running')
    """
    return lambda: wait_for(lambda: not server.query(waiting))


def test_the_ios_client_works(client):
    """Adds by recommendation with bodies of its own, names people by `person`,
    votes in words, sends whole numbers."""
    client.ask("GET", "/api/auth/me")
    client.ask("GET", "/api/movies")
    quick = {row["quick_key"]: row["name"] for row in client.ask("GET", "/api/people")}
    assert set(quick) >= {"youtube", "oscar", "random_person", "google"}

    [hit] = client.ask("GET", "/api/external/tmdb/search?q=lighthouse")
    details = client.ask("GET", f"/api/external/tmdb/movie/{hit['id']}")
    ratings = client.ask("GET", f"/api/external/omdb/movie/{details['imdbId']}")
    body = {
        "people": ["Mum", quick["oscar"]],
        "vote_type": "upvote",
        "tmdb_data": details,
        "omdb_data": ratings,
        "media_type": "movie",
    }
    votes = client.ask("POST", f"/api/movies/{FILM}/recommendations/bulk", 201, json=body)
    assert [vote["person"] for vote in votes] == ["Mum", quick["oscar"]]
    shown = client.ask("GET", f"/api/movies/{FILM}")
    assert (shown["tmdb_data"]["title"], shown["omdb_data"]["rtRating"]) == (TITLE, 81)

    body = {
        "person": "Dad",
        "vote_type": "downvote",
        "tmdb_data": None,
        "omdb_data": None,
        "media_type": None,
    }
    client.ask("POST", f"/api/movies/{FILM}/recommendations", 201, json=body)
    client.ask("DELETE", f"/api/movies/{FILM}/recommendations/{quote('Oscar Winner/Nominee')}", 204)
    watched = client.ask(
        "PUT", f"/api/movies/{FILM}/watch", json={"date_watched": 1_771_000_000, "my_rating": 8}
    )
    assert (watched["my_rating"], watched["date_watched"]) == (8, 1_771_000_000)
    client.ask(
        "PUT", f"/api/movies/{FILM}/status", json={"status": "deleted", "custom_list_id": None}
    )
    client.ask("PUT", f"/api/movies/{FILM}/status", json={"status": "toWatch"})

    client.ask(
        "POST", "/api/people", 201, json={"name": "Aunt", "is_trusted": True, "color": "#0a84ff"}
    )
    client.ask("PUT", "/api/people/Aunt", json={"emoji": None})
    client.ask("PUT", "/api/people/Aunt", json={"name": "Auntie"})
    assert client.ask("GET", "/api/people/Mum/stats")["movies"][0]["imdb_id"] == FILM
    client.ask("DELETE", "/api/people/Auntie", 204)

    for kind in ("coming_soon", "now_playing", "popular", "top_rated", "trending"):
        client.ask(
            "GET", f"/api/external/tmdb/discover/list?kind={kind}&region=US&days=30&time_window=day"
        )
    assert client.ask("GET", "/api/external/tmdb/discover/genre?q=comedy")
    assert client.ask("GET", "/api/external/tmdb/discover/person?q=Kofi%20Mars&role=director")

    exported = client.ask("GET", "/api/backup/export")
    result = client.ask("POST", "/api/backup/import", json=exported)
    assert (result["success"], result["errors"], result["imported_counts"]["movies"]) == (
        True,
        [],
        0,
    )
    assert client.ask("POST", f"/api/movies/{FILM}/refresh", json={})["updated"] == {
        "tmdb": True,
        "omdb": True,
    }
    client.ask("PUT", "/api/backup/settings", json={"backup_enabled": True})
    wait_for(lambda: client.ask("GET", "/api/backup/list")["backups"])


def test_the_react_client_works(client, enriched):
    """Adds films and votes by ids and booleans, keeps a queue, reads the feed in
    pages and replays a batch."""
    phone = Phone(client)
    phone.pull(limit=2)
    added = client.ask(
        "POST",
        "/api/movies",
        201,
        json={"tmdb_id": 5005, "media_type": "movie", "recommenders": ["Eve", "Zoë/Bob"]},
    )
    assert added["imdb_id"] == SECOND
    assert {vote["person_name"]: vote["vote_type"] for vote in added["recommendations"]} == {
        "Eve": True,
        "Zoë/Bob": True,
    }
    eve = next(
        vote["person_id"] for vote in added["recommendations"] if vote["person_name"] == "Eve"
    )
    body = {"person_id": eve, "vote_type": False, "date_recommended": 1_771_000_000_000}
    vote = client.ask("POST", f"/api/movies/{SECOND}/recommendations", 201, json=body)
    assert (vote["vote_type"], vote["date_recommended"]) == (False, 1_771_000_000)

    best = client.ask(
        "POST", "/api/lists", 201, json={"name": "Best", "color": "#ff0000", "icon": "star"}
    )
    status = {"status": "custom", "custom_list_id": best["id"]}
    assert (
        client.ask("PUT", f"/api/movies/{SECOND}/status", json=status)["custom_list_id"]
        == best["id"]
    )
    assert [row["imdb_id"] for row in client.ask("GET", f"/api/lists/{best['id']}/movies")] == [
        SECOND
    ]
    client.ask("PUT", f"/api/lists/{best['id']}", json={"name": "Very best"})
    assert (
        client.ask("PUT", f"/api/movies/{SECOND}/watch", json={"my_rating": 7.5})["my_rating"]
        == 7.5
    )
    enriched()
    phone.pull(limit=2)
    assert phone.library() == server_library(client)

    now = time.time()
    actions = [
        {
            "action": "addMovie",
            "data": {"imdb_id": stand.FILM_IDS[7], "recommender": "Eve"},
            "timestamp": now * 1000,
        },
        {
            "action": "markWatched",
            "data": {"imdb_id": stand.FILM_IDS[7], "rating": 9},
            "timestamp": now + 1,
        },
        {
            "action": "updateStatus",
            "data": {"imdb_id": SECOND, "status": "toWatch"},
            "timestamp": now - 3600,
        },
        {
            "action": "updatePersonTrust",
            "data": {"name": "Eve", "is_trusted": True},
            "timestamp": now,
            "id": "q-4",
        },
        {"action": "deleteList", "data": {"id": best["id"]}, "timestamp": now + 2},
    ]
    first = client.ask(
        "POST", "/api/sync/batch", json={"actions": actions, "client_timestamp": now}
    )
    assert [answer["success"] for answer in first["results"]] == [True, True, False, True, True]
    assert first["results"][2]["server_state"]["imdb_id"] == SECOND
    again = client.ask("POST", "/api/sync/batch", json={"actions": actions})
    # The film that the conflict shows has left the list that was deleted.
    assert first["results"][2]["server_state"]["list_ids"] == [best["id"]]
    assert again["results"][2].pop("server_state")["list_ids"] == []
    first["results"][2].pop("server_state")
    assert again["results"] == first["results"]
    enriched()
    phone.pull(limit=3)
    assert phone.library() == server_library(client)
    assert phone.movies[SECOND]["status"] == "watched"

    imported = {"version": 2, "movies": [{"imdb_id": imdb_id} for imdb_id in stand.FILM_IDS[10:16]]}
    needed = client.ask("POST", "/api/backup/import?conflicts=newest", json=imported)[
        "imdb_ids_needing_enrichment"
    ]
    assert needed == stand.FILM_IDS[10:16]
    for imdb_id in needed:
        assert client.ask("GET", f"/api/movies/{imdb_id}/refresh")["success"]
    enriched()
    phone.pull()
    assert all(row["tmdb_data"] for row in phone.movies.values())
    assert phone.library() == server_library(client)


def test_a_ranking_is_built_and_survives_export_and_import(client):
    """The phone reads both lists beside the films, and shows no film where
    one of them fails."""
    one, two = stand.FILM_IDS[20:22]
    client.ask("POST", "/api/movies", 201, json={"imdb_id": one})
    client.ask("POST", "/api/movies", 201, json={"imdb_id": two})
    assert client.ask("GET", "/api/ranking") == []
    for imdb_id in (one, two):
        client.ask("PUT", f"/api/movies/{imdb_id}/watch", json={"my_rating": 8})
        body = {"imdb_id": imdb_id, "position": 1, "liked": True}
        assert client.ask("POST", "/api/ranking/insert", 201, json=body)["position"] == 1
    wait_for(lambda: client.ask("GET", f"/api/movies/{one}")["tmdb_data"])
    assert [row["imdb_id"] for row in client.ask("GET", "/api/ranking")] == [two, one]
    assert client.ask("GET", "/api/ranking")[1]["title"] == stand.FILMS[20][0]
    ranked = {two, one}
    unranked = {row["imdb_id"] for row in client.ask("GET", "/api/ranking/unranked")}
    assert not ranked & unranked

    exported = client.ask("GET", "/api/backup/export")
    client.ask("DELETE", f"/api/ranking/{two}", 204)
    client.ask("POST", "/api/backup/import", json=exported)
    assert [row["imdb_id"] for row in client.ask("GET", "/api/ranking")] == [two, one]


def test_names_with_slashes_reach_the_right_person(client):
    for name in ("/Bob", "Bob", "a/b/stats", "a//b", "x/", "100%", "%2F", "Ω 🎬"):
        client.ask("POST", "/api/people", 201, json={"name": name})
    for name in ("/Bob", "Bob", "a/b/stats", "a//b", "x/", "100%", "%2F", "Ω 🎬"):
        assert (
            client.ask("PUT", f"/api/people/{quote(name)}", json={"is_trusted": True})["name"]
            == name
        )
        assert client.ask("GET", f"/api/people/{quote(name)}/stats")["name"] == name
    client.ask("DELETE", "/api/people//Bob", 204)
    names = {row["name"] for row in client.ask("GET", "/api/people")}
    assert "Bob" in names
    assert "/Bob" not in names


def test_two_phones_and_a_browser_end_with_the_same_lists(client, enriched):
    """The phones change lists, their order and notes offline; meanwhile somebody sits at a browser
    and imports an earlier export."""
    films = [f"tt91000{number}" for number in range(10, 20)]
    phones = {name: Phone(client) for name in "ab"}
    names = {name: f"l{number}" for number, name in enumerate(("Best", "Later", "Rainy"), 1)}
    now = time.time()
    adding = [
        {"action": "addList", "data": {"id": list_id, "name": name}, "timestamp": now - 9000}
        for name, list_id in names.items()
    ]
    assert all(answer["success"] for answer in phones["a"].send(adding))
    for turn in range(3):
        start = now - 3000 + turn * 1000
        queues = {
            name: [
                entry
                for entry in queue(10 * turn + seed, name, start, films, length=60)
                if entry["action"] not in ("deleteList", "addList")
            ]
            for seed, name in enumerate("ab")
        }
        exported = client.ask("GET", "/api/backup/export")
        phones["a"].send(queues["a"][:30])
        sit_at_a_browser(client, films, turn)
        phones["b"].send(queues["b"])
        client.ask("POST", "/api/backup/import", json=exported)
        phones["a"].send(queues["a"][30:])
        # A replay changes nothing.
        before = server_library(client)[4]
        phones["b"].send(queues["b"])
        assert server_library(client)[4] == before

        enriched()
        phones["a"].pull(limit=9)
        phones["b"].pull(limit=500)
        newcomer = Phone(client)
        newcomer.pull()
        libraries = [phone.library() for phone in (phones["a"], phones["b"], newcomer)]
        assert libraries == [server_library(client)] * 3
        require_rules(libraries[0])
    assert sum(map(len, libraries[0][4].values())) > 5
    assert any(film["note"] for films in libraries[0][4].values() for film in films)
    assert any(movie["note"] for movie in libraries[0][0].values())

    # Deleted by one, while the other puts films on it.
    deleting = {"action": "deleteList", "data": {"id": "l2"}, "timestamp": time.time()}
    putting = {
        "action": "addToList",
        "data": {"list_id": "l2", "imdb_id": films[0]},
        "timestamp": time.time() - 60,
    }
    assert phones["a"].send([deleting])[0]["success"]
    assert phones["b"].send([putting])[0]["conflict"]
    enriched()
    for phone in phones.values():
        phone.pull()
        assert phone.library() == server_library(client)
    assert "l2" not in phones["b"].listed


def test_two_phones_end_with_the_servers_library_after_a_replace_and_an_undo(client, enriched):
    """While the phones have changes of their own, somebody goes back to an earlier backup, takes
    that back, and does it once more."""
    films = [f"tt92000{number}" for number in range(10, 24)]
    phones = {name: Phone(client) for name in "ab"}
    now = time.time()
    phones["a"].send(queue(50, "a", now - 9000, films[:6], length=60))
    backup = client.ask("POST", "/api/backup/create", 201)["filename"]
    phones["a"].send(queue(51, "a", now - 6000, films, length=60))
    steps = (f"restore/{backup}?mode=replace", "undo", "undo")
    removed = 0
    for turn, step in enumerate(steps):
        start = now - 3000 + turn * 900
        queues = {
            name: queue(60 + 10 * turn + seed, name, start, films, length=60)
            for seed, name in enumerate("ab")
        }
        phones["a"].send(queues["a"][:30])
        # One knows what is about to go, the other one does not.
        enriched()
        phones["a"].pull()
        before = server_library(client)
        done = client.ask("POST", f"/api/backup/{step}")
        assert done["mode"] == "replace"
        assert server_library(client) != before
        removed += done["removed_counts"]["movies"]
        phones["b"].send(queues["b"])
        phones["a"].send(queues["a"][30:])

        enriched()
        phones["a"].pull(limit=9)
        phones["b"].pull(limit=500)
        newcomer = Phone(client)
        newcomer.pull()
        libraries = [phone.library() for phone in (phones["a"], phones["b"], newcomer)]
        assert libraries == [server_library(client)] * 3
        require_rules(libraries[0])
    assert removed > 3


def sit_at_a_browser(client, films, turn):
    """What the web pages do, by the routes that need no queue."""
    for imdb_id in films[turn : turn + 4]:
        client.ask("POST", "/api/movies", 201, json={"imdb_id": imdb_id})
        client.ask("PUT", f"/api/lists/l1/movies/{imdb_id}", 204, json={"note": f"Turn {turn}"})
        client.ask("PUT", f"/api/lists/l3/movies/{imdb_id}", 204)
    client.ask("PUT", "/api/lists/l1/order", 204, json={"imdb_ids": films[::-1]})
    client.ask("DELETE", f"/api/lists/l3/movies/{films[turn + 1]}", 204)
    client.ask("PUT", f"/api/movies/{films[turn]}/note", json={"note": f"Of turn {turn}"})
    custom = {"status": "custom", "custom_list_id": "l3"}
    client.ask("PUT", f"/api/movies/{films[turn + 2]}/status", json=custom)
    client.ask("PUT", f"/api/movies/{films[turn + 3]}/status", json={"status": "deleted"})
    view = {"name": f"Turn {turn}", "filters": {"genre": ["Crime", "Drama"]}}
    made = client.ask("POST", "/api/views", 201, json=view)
    client.ask("PUT", f"/api/views/{made['id']}", json={"name": f"Of turn {turn}"})
    if turn == 2:
        client.ask("DELETE", f"/api/views/{made['id']}", 204)
