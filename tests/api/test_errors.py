"""Every failure of the API has one shape and a true status, whatever is sent."""

import json
import re
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mm import config, models
from mm.database import connect
from mm.services import accounts
from mm.services.backup import backups
from tests.conftest import PASSWORD
from tests.support.processes import running

JSON = "application/json"
# Each route that takes a body: its method, path, and a body that would do.
BODIES = [
    ("POST", "/api/auth/login", {"email": "alice@example.org", "password": "a guess at it"}),
    ("POST", "/api/auth/admin/login", {"token": "a guess"}),
    ("PUT", "/api/auth/password", {"current": "a guess", "new": "another horse"}),
    (
        "POST",
        "/api/auth/admin/users",
        {"email": "d@example.org", "username": "d", "password": "another horse"},
    ),
    (
        "PUT",
        "/api/auth/admin/users/nobody",
        {"is_active": True, "is_admin": True, "password": "another horse"},
    ),
    ("PUT", "/api/backup/settings", {"backup_enabled": False}),
]
# Those in which most fields may be left out or null, or have several types.
LOOSE_BODIES = [
    ("POST", "/api/movies", {"imdb_id": "tt0111161"}),
    ("POST", "/api/movies/tt0111161/recommendations", {"person": "Eve", "vote_type": True}),
    ("POST", "/api/movies/tt0111161/recommendations/bulk", {"people": ["Eve"]}),
    ("PUT", "/api/movies/tt0111161/watch", {"my_rating": 8.5}),
    ("PUT", "/api/movies/tt0111161/status", {"status": "watched"}),
    ("POST", "/api/people", {"name": "Eve"}),
    ("PUT", "/api/people/Eve", {"name": "Eva"}),
    ("POST", "/api/lists", {"name": "Favourites"}),
    ("PUT", "/api/lists/none", {"name": "Favourites"}),
]
ALL_BODIES = [*BODIES, *LOOSE_BODIES]
NO_JSON = [
    b"",
    b"{",
    b"nonsense",
    b"{'a': 1}",
    b'{"KEY": NaN}',
    b'{"KEY": 1e999}',
    b'{"KEY": "\xff"}',
    b'"\\ud800"',
    b"[" * 100_000,
    b'{"x":' * 100_000,
    b"\xef\xbb\xbf{}",
    b"\x00",
]
FIELDS = [
    "email",
    "username",
    "password",
    "is_active",
    "is_admin",
    "token",
    "backup_enabled",
    "imdb_id",
    "tmdb_id",
    "status",
    "recommenders",
    "person",
    "person_ids",
    "people",
    "vote_type",
    "date_recommended",
    "date_watched",
    "my_rating",
    "name",
    "color",
    "emoji",
    "position",
    "x",
]
WRONG_TYPES = [None, 7, 7.5, True, "x", [], ["x"], {}, {"x": 1}]


@pytest.fixture
def carol_speaks(as_user, carol):
    return as_user(carol)


def assert_validation(answer):
    assert answer.status_code == 422
    for problem in answer.json["detail"]:
        assert problem.keys() == {"loc", "msg", "type"}
        assert problem["msg"]


class TestBodies:
    @pytest.mark.parametrize("method, path, body", ALL_BODIES)
    def test_a_body_that_is_not_json_is_refused(self, carol_speaks, method, path, body):
        no_json = NO_JSON[1:] if path.endswith("/watch") else NO_JSON
        for data in (data.replace(b"KEY", next(iter(body)).encode()) for data in no_json):
            assert_validation(carol_speaks.open(path, method=method, data=data, content_type=JSON))

    @pytest.mark.parametrize("method, path, body", ALL_BODIES)
    def test_a_body_of_another_type_is_refused(self, carol_speaks, method, path, body):
        for value in (None, 7, "x", True, [], [body]):
            assert_validation(
                carol_speaks.open(path, method=method, data=json.dumps(value), content_type=JSON)
            )

    @pytest.mark.parametrize("method, path, body", BODIES)
    def test_a_field_of_another_type_is_refused_by_name(self, carol_speaks, method, path, body):
        for key, right in body.items():
            for wrong in (value for value in WRONG_TYPES if type(value) is not type(right)):
                if wrong is None and path.endswith("nobody"):
                    continue  # null stands for "as it is" there
                answer = carol_speaks.open(path, method=method, json=body | {key: wrong})
                assert_validation(answer)
                assert answer.json["detail"][0]["loc"] == [key]

    @pytest.mark.parametrize("method, path, body", BODIES[:4])
    def test_a_missing_field_is_named(self, carol_speaks, method, path, body):
        for key in body:
            rest = {name: value for name, value in body.items() if name != key}
            answer = carol_speaks.open(path, method=method, json=rest)
            assert_validation(answer)
            assert key in answer.json["detail"][0]["msg"]

    @pytest.mark.parametrize("method, path, body", ALL_BODIES)
    @pytest.mark.parametrize(
        "mimetype", ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"]
    )
    def test_a_body_of_another_media_type_is_refused(
        self, carol_speaks, method, path, body, mimetype
    ):
        data = body if "form" in mimetype else json.dumps(body)
        answer = carol_speaks.open(path, method=method, data=data, content_type=mimetype)
        assert answer.status_code == 415
        assert "application/json" in answer.json["detail"]

    @pytest.mark.parametrize("method, path, body", ALL_BODIES)
    def test_a_body_over_1_mib_is_too_large(self, carol_speaks, method, path, body):
        answer = carol_speaks.open(path, method=method, data=b" " * (2**20 + 1), content_type=JSON)
        assert answer.status_code == 413
        assert "1 MiB" in answer.json["detail"]

    @pytest.mark.parametrize("piece", [b'{"":0},', b"[],", b'"a",'])
    def test_a_queue_with_too_many_brackets_or_commas_is_refused_unread(self, carol_speaks, piece):
        start, end = b'{"actions": [], "x": [', b"0]}"
        body = start + piece * ((16 * 2**20 - 100) // len(piece)) + end
        answer = carol_speaks.post("/api/sync/batch", data=body, content_type=JSON)
        assert answer.status_code == 413
        assert "brackets" in answer.json["detail"]

    def test_other_media_types_of_json_are_accepted(self, client, alice):
        body = json.dumps({"email": "alice@example.org", "password": "wrong"})
        for mimetype in ("application/json; charset=utf-8", "application/problem+json"):
            answer = client.post("/api/auth/login", data=body, content_type=mimetype)
            assert answer.status_code == 401

    def test_a_refused_body_is_not_logged_as_an_error(self, client, caplog):
        client.post("/api/auth/login", json={})
        assert not caplog.records

    @settings(
        max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(
        body=st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(FIELDS), inner),
            max_leaves=8,
        )
    )
    @pytest.mark.slow
    def test_no_json_breaks_the_server(self, carol_speaks, body):
        for method, path, _ in ALL_BODIES:
            data = json.dumps(body).encode()
            answer = carol_speaks.open(path, method=method, data=data, content_type=JSON)
            assert answer.status_code in (200, 201, 400, 401, 404, 409, 422, 429, 503), (path, body)
            assert answer.status_code < 500 or re.search(
                "ADMIN_TOKEN|TMDB API key", answer.json["detail"]
            )


# What is asked for, and the sentence that answers it.
REFUSED_VALUES = [
    (
        "POST",
        "/api/auth/admin/users",
        {"email": "d@example.org", "username": "d", "password": "short"},
        "A password has 8 to 500 characters.",
    ),
    (
        "PUT",
        "/api/auth/admin/users/{carol}",
        {"password": "short"},
        "A password has 8 to 500 characters.",
    ),
    ("POST", "/api/people", {"name": "x" * 501}, "name: longer than 500 characters"),
    ("POST", "/api/people", {"name": "."}, "name: '.' cannot be a name"),
    (
        "POST",
        "/api/people",
        {"name": "Eve", "color": "red"},
        "color: 'red' is not a colour like #0a84ff",
    ),
    (
        "POST",
        "/api/lists",
        {"name": "Best", "color": "red"},
        "color: 'red' is not a colour like #0a84ff",
    ),
    ("POST", "/api/movies", {"imdb_id": "x"}, "imdb_id: 'x' is not an IMDb title ID"),
    ("POST", "/api/movies", {}, "imdb_id: is missing: send imdb_id or tmdb_id"),
    (
        "POST",
        "/api/movies/tt0111161/recommendations",
        {"person": "Eve", "vote_type": "sideways"},
        "vote_type: 'sideways' is not a vote (upvote or downvote)",
    ),
    ("GET", "/api/sync?since=nan", None, "since: is not a time"),
    (
        "POST",
        "/api/backup/import",
        {"version": 3, "movies": []},
        "This file was made by a newer version: 3. This server reads up to 2.",
    ),
    (
        "POST",
        "/api/backup/import?mode=replace",
        {},
        "This JSON file isn’t a Movie Manager export.",
    ),
]


@pytest.mark.parametrize("method, path, body, sentence", REFUSED_VALUES)
def test_an_invalid_value_is_answered_with_one_sentence(
    carol_speaks,
    carol,
    method,
    path,
    body,
    sentence,
):
    """The web client shows a list as "[object Object]"."""
    answer = carol_speaks.open(path.format(carol=carol.id), method=method, json=body)
    assert (answer.status_code, answer.json) == (422, {"detail": sentence})


def test_an_import_without_one_usable_row_is_answered_with_one_sentence(carol_speaks):
    rows = [{"imdb_id": "x"}, {"imdb_id": "y"}]
    answer = carol_speaks.post("/api/backup/import", json={"version": 2, "movies": rows})
    assert answer.status_code == 422
    assert answer.json["detail"].startswith("No row of this file can be used. First of 2 problems:")


class TestShape:
    @pytest.mark.parametrize(
        "path", ["/api", "/api/", "/api/nothing", "/api//health", "/api/health/", "/api/ws/sync"]
    )
    def test_an_unknown_path_is_a_404_in_json(self, client, path):
        answer = client.get(path)
        assert (answer.status_code, answer.json) == (404, {"detail": "Not found"})

    def test_a_wrong_method_is_answered_with_the_allowed_ones(self, client):
        answer = client.patch("/api/auth/login")
        assert (answer.status_code, answer.json) == (405, {"detail": "Method not allowed"})
        assert "POST" in answer.headers["Allow"]

    def test_answers_may_not_be_cached(self, as_user, alice):
        for path in ("/api/auth/me", "/api/backup/export", "/api/backup/list"):
            kept = as_user(alice).get(path).headers["Cache-Control"]
            assert kept == ("private, no-store" if path.endswith("export") else "no-store")

    def test_a_path_outside_the_api_is_answered_as_a_page(self, client):
        assert client.get("/apinothing").mimetype == "text/html"

    def test_an_unexpected_error_is_reported_without_its_cause(
        self, app, as_user, alice, monkeypatch, caplog
    ):
        def break_down(user_id):
            raise ValueError("the secret cause")

        monkeypatch.setattr(backups, "listing", break_down)
        monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)
        answer = as_user(alice).get("/api/backup/list?q=secret")
        assert answer.status_code == 500
        code = re.fullmatch(r"Internal server error \(code (\w{5})\)", answer.json["detail"])[1]
        (told,) = caplog.records
        assert told.fields == {
            "code": code,
            "method": "GET",
            "route": "/api/backup/list",
            "user": alice.id,
        }
        assert "the secret cause" in caplog.text

    @pytest.mark.parametrize("method, path", [("POST", "/api/auth/login"), ("GET", "/api/health")])
    def test_a_database_that_does_not_answer_is_unavailable(self, client, tmp_path, method, path):
        connect(f"sqlite:///{tmp_path}/nowhere/mm.db")
        answer = client.open(path, method=method, json=BODIES[0][2] if method == "POST" else None)
        assert answer.status_code == 503
        assert re.search(r"database", answer.json["detail"])

    def test_a_database_that_is_no_database_is_unavailable(self, client, tmp_path):
        (tmp_path / "mm.db").write_bytes(b"not a database, but long enough to look like one" * 100)
        connect(f"sqlite:///{tmp_path}/mm.db")
        assert client.post("/api/auth/login", json=BODIES[0][2]).status_code == 503
        assert client.get("/api/health").status_code == 503

    def test_a_faulty_query_of_ours_is_a_500_and_not_a_503(self, app, as_user, alice, monkeypatch):
        monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)
        monkeypatch.setattr(backups, "listing", lambda _: models.Setting.create(key=None))
        assert as_user(alice).get("/api/backup/list").status_code == 500


def log_in_everywhere(connection, url):
    """The headers of who is logged in on the pages and in the API."""
    form = urlencode({"email": "alice", "password": PASSWORD})
    form_type = {"Content-Type": "application/x-www-form-urlencoded", "Origin": url}
    connection.request("POST", "/login", form, form_type)
    cookie = (answer := connection.getresponse()).headers["Set-Cookie"].partition(";")[0]
    answer.read()
    body = json.dumps({"email": "alice", "password": PASSWORD})
    connection.request("POST", "/api/auth/login", body, {"Content-Type": JSON})
    token = json.loads(connection.getresponse().read())["access_token"]
    return {"Cookie": cookie, "Authorization": f"Bearer {token}"}


@pytest.mark.processes
def test_the_connection_can_be_used_after_a_413(tmp_path):
    """Over a real gunicorn, which else resets it, and the client may never see why."""
    bodies = [("/api/people", JSON, 2), ("/backup/import", "multipart/form-data; boundary=x", 65)]
    with (
        running(tmp_path / "data") as server,
        closing(HTTPConnection("127.0.0.1", server.port, timeout=30)) as here,
    ):
        accounts.create("alice@example.org", "alice", PASSWORD)
        server.start("web")
        headers = {"Origin": server.url, **log_in_everywhere(here, server.url)}
        for path, mimetype, mib in bodies:
            here.request("POST", path, b" " * mib * 2**20, headers | {"Content-Type": mimetype})
            answer = here.getresponse()
            assert (answer.status, bool(answer.read())) == (413, True)
            # It makes no new one where the server has ended it.
            here.auto_open = False
            here.request("GET", "/api/health")
            answer = here.getresponse()
            assert (answer.status, bool(answer.read())) == (200, True)


class TestHealth:
    def test_a_server_without_a_worker_is_degraded_and_says_why(self, client):
        answer = client.get("/api/health")
        assert answer.status_code == 200
        assert answer.json["status"] == "degraded"
        assert (answer.json["database"], answer.json["worker"]) == ("ok", "late")
        assert len(answer.json["problems"]) == 1

    def test_a_server_whose_worker_was_just_seen_is_healthy(self, frozen_clock, app, client):
        models.put_setting("worker_seen_at", frozen_clock.moment - 100)
        assert client.get("/api/health").json == {
            "status": "healthy",
            "timestamp": frozen_clock.moment,
            "database": "ok",
            "worker": "ok",
            "last_backup": None,
            "problems": [],
        }


class TestOtherOrigins:
    ASKING = {"Origin": "https://app.example", "Access-Control-Request-Method": "PUT"}

    @pytest.fixture
    def settings(self, tmp_path):
        return config.Config(
            data_dir=tmp_path / "data", cors_origins=("https://app.example", "https://b.example")
        )

    def test_a_preflight_of_a_known_origin_is_allowed(self, client):
        answer = client.options("/api/backup/settings", headers=self.ASKING)
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
        assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]

    def test_an_answer_and_an_error_may_be_read_by_a_known_origin(self, client):
        for path in ("/api/health", "/api/auth/me", "/api/nothing"):
            answer = client.get(path, headers={"Origin": "https://b.example"})
            assert answer.headers["Access-Control-Allow-Origin"] == "https://b.example"
            assert "Origin" in answer.vary
            assert "Content-Disposition" in answer.headers["Access-Control-Expose-Headers"]

    @pytest.mark.parametrize(
        "origin", ["https://evil.example", "null", "https://app.example.evil", ""]
    )
    def test_an_unknown_origin_gets_no_cors_headers(self, client, origin):
        answer = client.get("/api/health", headers={"Origin": origin})
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Origin" in answer.vary

    def test_pages_get_no_cors_headers(self, client):
        answer = client.get("/login", headers={"Origin": "https://app.example"})
        assert "Access-Control-Allow-Origin" not in answer.headers

    def test_credentials_are_never_offered(self, client):
        assert (
            "Access-Control-Allow-Credentials"
            not in client.options("/api/health", headers=self.ASKING).headers
        )


def test_no_origin_is_allowed_by_default(client):
    answer = client.get("/api/health", headers={"Origin": "https://app.example"})
    assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]
