"""People over HTTP, and names that an address can hardly hold, over a real gunicorn."""

from urllib.parse import quote

import pytest
import requests

from mm import auth, create_app
from mm.config import Config
from mm.database import db
from mm.models import Person, User
from mm.services import accounts
from tests.conftest import PASSWORD
from tests.support.libraries import HARD_NAMES
from tests.support.processes import running
from tests.support.refusals import location

FILM = "tt0111161"
URL = "/api/people"
NAMES = (
    *HARD_NAMES,
    "stats",
    "x/stats",
    "/stats",
    "//",
    "//Bob",
    "Bob//",
    "a/../b",
    "./a",
    "%",
    "%41",
    "a?b#c",
    "a;b",
    "+",
    "a b",
    "🎬" * 500,
    "字" * 500,
    "\u202eright-to-left",
    "\\",
)


class TestPeople:
    def test_a_person_is_created_changed_and_deleted(self, phone, alice):
        made = phone.post(
            URL, json={"name": " Eve ", "is_trusted": True, "color": "#ABCDEF", "emoji": "🎬"}
        )
        assert made.status_code == 201
        assert (
            made.json.items()
            >= {
                "name": "Eve",
                "user_id": alice.id,
                "is_trusted": True,
                "color": "#ABCDEF",
                "emoji": "🎬",
                "quick_key": None,
                "movie_count": 0,
            }.items()
        )
        changed = phone.put(f"{URL}/EVE", json={"name": "Eva", "emoji": None})
        assert (
            changed.json.items()
            >= {"id": made.json["id"], "name": "Eva", "emoji": None, "is_trusted": True}.items()
        )
        assert phone.delete(f"{URL}/eva").status_code == 204
        answer = phone.put(f"{URL}/eva", json={})
        assert (answer.status_code, answer.json) == (404, {"detail": "Person not found"})

    def test_the_four_quick_recommenders_exist_and_cannot_be_deleted(self, phone):
        assert {person["quick_key"] for person in phone.get(URL).json} == {
            "youtube",
            "oscar",
            "random_person",
            "google",
        }
        answer = phone.delete(f"{URL}/Oscar Winner/Nominee")
        assert (answer.status_code, answer.json) == (
            400,
            {"detail": "Quick recommenders cannot be deleted"},
        )

    def test_a_quick_key_from_a_client_is_ignored(self, phone):
        made = phone.post(URL, json={"name": "Eve", "quick_key": "oscar"}).json
        changed = phone.put(f"{URL}/Eve", json={"quick_key": "google"}).json
        assert (made["quick_key"], changed["quick_key"]) == (None, None)

    @pytest.mark.parametrize("name", ["eve", "GOOGLE SEARCH"])
    def test_a_name_in_use_is_refused(self, phone, name):
        phone.post(URL, json={"name": "Eve"})
        phone.post(URL, json={"name": "Kim"})
        for answer in (
            phone.post(URL, json={"name": name}),
            phone.put(f"{URL}/Kim", json={"name": name}),
        ):
            assert (answer.status_code, answer.json) == (409, {"detail": "Person already exists"})

    @pytest.mark.parametrize(
        "body, loc",
        [
            ({}, []),
            ({"name": None}, ["name"]),
            ({"name": " "}, ["name"]),
            ({"name": ".."}, ["name"]),
            ({"name": "x" * 501}, ["name"]),
            ({"name": "E", "color": "red"}, ["color"]),
            ({"name": "a\0b"}, ["name"]),
            ({"name": "E", "is_trusted": "yes"}, ["is_trusted"]),
            ({"name": "E", "emoji": 7}, ["emoji"]),
        ],
    )
    def test_an_invalid_person_is_refused_with_the_field(self, phone, body, loc):
        answer = phone.post(URL, json=body)
        assert location(answer) == loc

    def test_stats_count_the_films_that_a_person_recommended(self, phone):
        phone.post("/api/movies", json={"imdb_id": FILM, "recommender": "Eve"})
        phone.put(f"/api/movies/{FILM}/watch", json={"my_rating": 7})
        stats = phone.get(f"{URL}/eve/stats").json
        assert stats.keys() == {
            "id",
            "name",
            "is_trusted",
            "total_movies",
            "watched_movies",
            "average_rating",
            "movies",
            "color",
            "emoji",
            "quick_key",
        }
        assert (stats["total_movies"], stats["watched_movies"], stats["average_rating"]) == (
            1,
            1,
            7,
        )
        assert stats["movies"] == [phone.get(f"/api/movies/{FILM}").json]

    def test_a_numeric_name_is_not_taken_for_an_id(self, phone):
        eve = phone.post(URL, json={"name": "Eve"}).json["id"]
        for name in (str(eve), f"00{eve}"):
            phone.post(URL, json={"name": name})
            assert phone.get(f"{URL}/{name}/stats").json["name"] == name
            assert phone.delete(f"{URL}/{name}").status_code == 204
            again = (
                phone.delete(f"{URL}/{name}"),
                phone.put(f"{URL}/{name}", json={}),
                phone.get(f"{URL}/{name}/stats"),
            )
            assert {answer.status_code for answer in again} == {404}
        assert phone.get(f"{URL}/Eve/stats").json["id"] == eve

    def test_an_id_of_another_user_is_not_found(self, phone, as_user, bob):
        theirs = as_user(bob).post(URL, json={"name": "Eve"}).json["id"]
        for answer in (
            phone.get(f"{URL}/{theirs}/stats"),
            phone.delete(f"{URL}/{theirs}"),
            phone.put(f"{URL}/Eve", json={}),
        ):
            assert (answer.status_code, answer.json) == (404, {"detail": "Person not found"})


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("names") / "data") as server:
        server.start("web")
        yield server


@pytest.fixture
def gunicorn(server):
    """ask(method, path, json): Alice's, over real HTTP, the path sent as it is; her own people are
    removed before."""
    app = create_app(Config(data_dir=server.data_dir))
    with db.connection_context(), app.app_context():
        user = User.get_or_none(User.username == "alice") or accounts.create(
            "alice@example.org", "alice", PASSWORD
        )
        Person.delete().where(Person.quick_key.is_null()).execute()
        token = auth.issue_token(user)
    db.obj.close()
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"

    def ask(method, path, json=None):
        request = session.prepare_request(requests.Request(method, server.url, json=json))
        request.url = server.url + path
        answer = session.send(request, timeout=10, allow_redirects=False)
        assert answer.status_code < 300, (method, path, answer.text)
        return answer.json() if answer.content else None

    yield ask
    session.close()


def own_names(ask):
    return {person["name"] for person in ask("GET", URL) if not person["quick_key"]}


@pytest.mark.processes
class TestNamesInAddresses:
    """Whatever else a name looks like: its person is changed, voted for and removed, and nobody
    else."""

    @pytest.fixture(autouse=True)
    def everybody(self, gunicorn):
        for name in NAMES:
            gunicorn("POST", URL, {"name": name})

    def test_every_person_is_found_by_their_name(self, gunicorn):
        for name in NAMES:
            assert (
                gunicorn("PUT", f"{URL}/{quote(name, safe='')}", {"is_trusted": True})["name"]
                == name
            )
            assert gunicorn("GET", f"{URL}/{quote(name, safe='')}/stats")["name"] == name

    def test_slashes_may_be_sent_as_they_are(self, gunicorn):
        for name in NAMES:
            assert gunicorn("GET", f"{URL}/{quote(name)}/stats")["name"] == name

    def test_only_the_named_persons_vote_is_deleted(self, gunicorn):
        gunicorn("POST", f"/api/movies/{FILM}/recommendations/bulk", {"people": NAMES})
        left = set(NAMES)
        for name in NAMES:
            gunicorn("DELETE", f"/api/movies/{FILM}/recommendations/{quote(name, safe='')}")
            left.remove(name)
            votes = gunicorn("GET", f"/api/movies/{FILM}")["recommendations"]
            assert {vote["person_name"] for vote in votes} == left

    def test_only_the_named_person_is_deleted(self, gunicorn):
        left = set(NAMES)
        for name in NAMES:
            gunicorn("DELETE", f"{URL}/{quote(name, safe='')}")
            left.remove(name)
            assert own_names(gunicorn) == left
