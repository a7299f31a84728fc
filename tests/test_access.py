"""Who may do what: every route × nobody, Alice whose things they are, Bob, Carol who administers.

A new route fails here until it has a row. A row is the status that each of the four must get, and
what is sent.
"""

import io
import itertools
import json
import re
from dataclasses import dataclass, field

import pytest

from mm import auth, config, create_app, models, schema
from mm.database import db
from mm.models import Job
from mm.services import accounts
from mm.services.backup import backups, quotas, uploads
from mm.services.library import browse, lists, movies, people, rankings, saved_views
from tests.conftest import PASSWORD
from tests.support.standin import picture

ALICE, BOB, CAROL = "alice@example.org", "bob@example.org", "carol@example.org"
OURS = {"Sec-Fetch-Site": "same-origin"}
numbers = itertools.count(1)
LIBRARY = {"version": 2, "movies": [{"imdb_id": "tt0111161"}]}


@dataclass(frozen=True)
class Row:
    nobody: int
    alice: int
    bob: int
    carol: int
    sent: dict = field(default_factory=dict)


def all_alike(status, **sent):
    return Row(status, status, status, status, sent)


def own(status, **sent):
    """Each is answered about the own library."""
    return Row(LOG_IN, status, status, status, sent)


def alices(status, **sent):
    """The path names something of Alice's; to others, administrators included, it does not exist."""
    return Row(LOG_IN, status, 404, 404, sent)


def administrators(status, **sent):
    return Row(LOG_IN, 403, 403, status, sent)


# Not logged in: 401 from the API, the way to the log-in from a page.
LOG_IN = -1
# Pages lead on after a form.
ON = 303

TABLE = {
    "GET /static/<path:filename>": all_alike(200),
    "GET /docs": all_alike(200),
    "GET /docs/openapi.json": all_alike(200),
    "GET /style": all_alike(404),
    # Pages
    "GET /login": Row(200, ON, ON, ON),
    "POST /login": all_alike(ON, data={"email": ALICE, "password": PASSWORD}),
    "POST /logout": all_alike(ON),
    "GET /": own(200),
    "GET /enrichment": own(ON),
    "GET /counts": own(ON),
    "GET /posters/<size>/<file>": own(200),
    "POST /selection": own(
        ON, data=lambda: {"do": "status:watched", "film": "tt0111161", "back": "/"}
    ),
    "GET /movies/<imdb_id>": alices(200),
    "GET /movies/<imdb_id>/about": alices(ON),
    "GET /movies/<imdb_id>/card": own(ON),
    "POST /movies/<imdb_id>/want": alices(ON),
    "POST /movies/<imdb_id>/status": alices(ON, data={"to": "watched"}),
    "POST /movies/<imdb_id>/watch": alices(ON, data={"my_rating": "7"}),
    "POST /movies/<imdb_id>/unwatch": alices(ON),
    "POST /movies/<imdb_id>/votes": alices(ON, data={"person": "Eve"}),
    "POST /movies/<imdb_id>/votes/<int:person_id>/delete": alices(ON),
    "POST /movies/<imdb_id>/refresh": alices(503),
    "POST /movies/<imdb_id>/delete": alices(ON),
    "POST /views": own(ON, data=lambda: {"name": f"View {next(numbers)}", "view": "q=a"}),
    "GET /views/<view_id>": alices(200),
    "POST /views/<view_id>": alices(ON, data=lambda: {"name": f"View {next(numbers)}"}),
    "POST /views/<view_id>/delete": alices(ON),
    "GET /backup": own(200),
    "GET /backup/health": own(ON),
    "GET /backup/history": own(ON),
    "POST /backup/auto": own(ON, data={"enabled": "1"}),
    "POST /backup/now": own(ON),
    "GET /backup/export": own(200),
    "GET /backup/files/<filename>": alices(200),
    "POST /backup/files/<filename>/verify": alices(ON),
    "POST /backup/files/<filename>/restore": alices(ON),
    "GET /backup/files/<filename>/delete": alices(200),
    "POST /backup/files/<filename>/delete": alices(ON),
    "POST /backup/import": own(
        ON, data=lambda: {"file": (io.BytesIO(json.dumps(LIBRARY).encode()), "x.json")}
    ),
    "GET /backup/import/<job_id>": alices(200),
    "POST /backup/import/<job_id>/confirm": alices(
        ON, data=lambda: {"library_version": library_version(ALICE)}
    ),
    "POST /backup/import/<job_id>/discard": alices(ON),
    "GET /backup/jobs/<job_id>": alices(200),
    "GET /backup/jobs/<job_id>/left-out": alices(200),
    "POST /undo/<token>": own(ON),
    "GET /add": own(200),
    "GET /add/pick": own(200, query_string={"imdb": "tt0111161"}),
    "POST /add": own(ON, data={"imdb": "tt0111161", "where": "toWatch"}),
    "GET /people": own(200),
    "POST /people": own(ON, data=lambda: {"name": f"Person {next(numbers)}"}),
    "GET /people/<int:person_id>": alices(200),
    "POST /people/<int:person_id>": alices(ON, data=lambda: {"name": f"Person {next(numbers)}"}),
    "POST /people/<int:person_id>/trust": alices(ON, data={"trusted": "1"}),
    "POST /people/<int:person_id>/delete": alices(ON),
    "GET /lists": own(200),
    "POST /lists": own(ON, data={"name": "Favourites"}),
    "POST /lists/order/all": own(ON, data={"id": "none"}),
    "GET /lists/<list_id>": alices(200),
    "POST /lists/<list_id>": alices(ON, data={"name": "Others"}),
    "POST /lists/<list_id>/move": alices(ON, data={"to": "up"}),
    "POST /lists/<list_id>/delete": alices(ON),
    "GET /account": own(200),
    "POST /account/name": own(ON, data=lambda: {"username": f"name{next(numbers)}"}),
    "POST /account/password": own(ON, data={"current": PASSWORD, "new": PASSWORD}),
    "POST /account/end-sessions": own(ON),
    # API
    "GET /api/health": all_alike(200),
    "POST /api/auth/login": all_alike(200, json={"email": ALICE, "password": PASSWORD}),
    "POST /api/auth/admin/login": all_alike(200, json={"token": "open sesame"}),
    "GET /api/auth/me": own(200),
    "POST /api/auth/logout-all": own(204),
    "PUT /api/auth/password": own(200, json={"current": PASSWORD, "new": PASSWORD}),
    "GET /api/auth/admin/users": administrators(200),
    "POST /api/auth/admin/users": administrators(201, json=lambda: a_new_account()),
    "PUT /api/auth/admin/users/<user_id>": administrators(200, json={"is_active": False}),
    "DELETE /api/auth/admin/users/<user_id>": administrators(200),
    "GET /api/movies": own(200),
    "POST /api/movies": own(201, json={"imdb_id": "tt0111161"}),
    "GET /api/movies/<imdb_id>": alices(200),
    "DELETE /api/movies/<imdb_id>": alices(204),
    "POST /api/movies/<imdb_id>/recommendations": own(201, json={"person": "Eve"}),
    "POST /api/movies/<imdb_id>/recommendations/bulk": own(201, json={"people": ["Eve"]}),
    "DELETE /api/movies/<imdb_id>/recommendations/<name:person>": alices(204),
    "PUT /api/movies/<imdb_id>/watch": own(200, json={}),
    "DELETE /api/movies/<imdb_id>/watch": alices(204),
    "PUT /api/movies/<imdb_id>/status": alices(200, json={"status": "watched"}),
    "GET /api/people": own(200),
    "POST /api/people": own(201, json=lambda: {"name": f"Person {next(numbers)}"}),
    "PUT /api/people/<name:name>": alices(200, json={}),
    "DELETE /api/people/<name:name>": alices(204),
    "GET /api/people/<name:name>/stats": alices(200),
    "GET /api/lists": own(200),
    "POST /api/lists": own(201, json={"name": "Favourites"}),
    "GET /api/lists/<list_id>": alices(200),
    "PUT /api/lists/<list_id>": alices(200, json={}),
    "DELETE /api/lists/<list_id>": alices(204),
    "GET /api/lists/<list_id>/movies": alices(200),
    "GET /api/ranking": own(200),
    "GET /api/ranking/unranked": own(200),
    "POST /api/ranking/insert": alices(201, json=lambda: a_place()),
    "DELETE /api/ranking/<imdb_id>": alices(204),
    "POST /api/movies/<imdb_id>/refresh": alices(503),
    "GET /api/movies/<imdb_id>/refresh": alices(503),
    "GET /api/sync": own(200),
    "GET /api/sync/changes": own(200),
    "POST /api/sync": own(200, json=lambda: an_action()),
    "POST /api/sync/batch": own(200, json=lambda: {"actions": [an_action()]}),
    # This server has no keys for the providers.
    "GET /api/external/tmdb/search": own(503, query_string={"q": "x"}),
    "GET /api/external/tmdb/movie/<int:tmdb_id>": own(503),
    "GET /api/external/tmdb/tv/<int:tmdb_id>": own(503),
    "GET /api/external/tmdb/discover/genre": own(503, query_string={"q": "x"}),
    "GET /api/external/tmdb/discover/person": own(503, query_string={"q": "x"}),
    "GET /api/external/tmdb/discover/list": own(503, query_string={"kind": "popular"}),
    "GET /api/external/omdb/movie/<imdb_id>": own(503),
    "GET /api/external/cache/info": own(200),
    "GET /api/backup/export": own(200),
    "POST /api/backup/import": own(200, json=LIBRARY),
    "GET /api/backup/settings": own(200),
    "PUT /api/backup/settings": own(200, json={"backup_enabled": True}),
    "GET /api/backup/list": own(200),
    "POST /api/backup/create": own(201),
    "POST /api/backup/verify/<path:filename>": alices(200),
    "GET /api/backup/download/<path:filename>": alices(200),
    "POST /api/backup/restore/<path:filename>": alices(200),
    "DELETE /api/backup/<path:filename>": alices(204),
}
NEEDS_LOG_IN = [key for key, row in TABLE.items() if row.nobody == LOG_IN]
API = [key for key in NEEDS_LOG_IN if " /api/" in key]
PAGES = [key for key in NEEDS_LOG_IN if " /api/" not in key]
FORMS = [key for key in TABLE if " /api/" not in key and not key.startswith("GET ")]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    app = create_app(
        config.Config(data_dir=tmp_path_factory.mktemp("access"), admin_token="open sesame")
    )
    app.testing = True
    schema.upgrade()
    for name, email in {"alice": ALICE, "bob": BOB, "carol": CAROL}.items():
        accounts.create(email, name, PASSWORD, is_admin=name == "carol")
    with pytest.MonkeyPatch.context() as patched:
        # Alice gets a new backup for each question about one.
        patched.setattr(quotas, "MOST_AN_HOUR", 10_000)
        patched.setattr(quotas, "MOST_FILES", 10_000)
        yield app
    db.close()


def test_every_route_has_a_row_and_every_row_a_route(server):
    rules = list(server.url_map.iter_rules())
    routes = {
        f"{method} {rule.rule}"
        for rule in rules
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if not rule.websocket
    }
    assert routes == set(TABLE)
    # Who may listen is shown with real connections, in test_live.py.
    assert {rule.rule for rule in rules if rule.websocket} == {"/ws/sync"}


@pytest.mark.parametrize("key", TABLE)
def test_each_may_do_what_the_table_says(server, key):
    row, path = TABLE[key], path_for(key)
    # Alice last: had another been let in, what she asks for would be gone.
    for email, expected in (
        (None, row.nobody),
        (BOB, row.bob),
        (CAROL, row.carol),
        (ALICE, row.alice),
    ):
        answer = ask(speaker(server, key, email), key, path)
        check(answer, expected, key, email)


@pytest.mark.parametrize("key", API)
def test_the_api_takes_no_session(server, key):
    check(ask(with_session(server, CAROL), key, path_for(key)), LOG_IN, key, "by session")


@pytest.mark.parametrize("key", PAGES)
def test_a_page_takes_no_token(server, key):
    check(ask(with_token(server, CAROL), key, path_for(key)), LOG_IN, key, "by token")


@pytest.mark.parametrize("key", API)
def test_the_admin_token_opens_what_administrators_may_do_and_nobodys_library(server, key):
    client = server.test_client()
    token = client.post("/api/auth/admin/login", json={"token": "open sesame"}).json["access_token"]
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    row = TABLE[key]
    expected = row.carol if row.alice == 403 else 403
    check(ask(client, key, path_for(key)), expected, key, "by admin token")


@pytest.mark.parametrize("key", FORMS)
def test_a_form_of_another_site_does_nothing(server, key):
    answer = ask(with_session(server, ALICE), key, path_for(key), {"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403


def path_for(key):
    """The route's path, with something of Alice's that fits in place of each <name>."""
    fitting = {
        "tmdb_id": lambda: "550",
        "filename": a_backup,
        "job_id": a_left_out_job if "left-out" in key else a_waiting_import,
        "user_id": a_bystander,
        "imdb_id": a_ranked_film if "ranking" in key else a_watched_film,
        "person": lambda: "Zoe",
        "name": a_person,
        "size": lambda: "w342",
        "file": a_poster,
        "list_id": a_list,
        "token": lambda: "none",
        "person_id": zoes_id if "votes" in key else a_persons_id,
        "view_id": a_view,
    }
    if key.endswith("/static/<path:filename>"):
        return "/static/vendor/pico.min.css"
    return re.sub(
        r"<(?:\w+:)?(\w+)>", lambda match: str(fitting[match[1]]()), key.partition(" ")[2]
    )


def a_backup():
    return backups.create(user(ALICE)).filename


def a_waiting_import():
    return uploads.receive(user(ALICE), io.BytesIO(json.dumps(LIBRARY).encode())).id


def a_left_out_job():
    result = {"errors": [{"path": "movies[0]", "reason": "none"}]}
    return Job.create(kind="import", user=user(ALICE), state="done", result=result).id


def a_watched_film():
    """With a vote of Zoe's."""
    imdb_id = f"tt{next(numbers):07d}"
    movies.add(user(ALICE).id, imdb_id, recommenders=["Zoe"])
    movies.watch(user(ALICE).id, imdb_id)
    return imdb_id


def a_ranked_film():
    imdb_id = a_watched_film()
    rankings.insert(user(ALICE).id, imdb_id, 1, True)
    return imdb_id


def a_place():
    return {"imdb_id": a_watched_film(), "position": 1, "liked": True}


def an_action():
    return {"action": "addPerson", "data": {"name": f"Person {next(numbers)}"}, "timestamp": 1.0}


def a_person():
    return people.create(user(ALICE).id, f"Person {next(numbers)}").name


def a_persons_id():
    return people.create(user(ALICE).id, f"Person {next(numbers)}").id


def a_list():
    return lists.create(user(ALICE).id, "Favourites").id


def zoes_id():
    return people.find(user(ALICE).id, "Zoe").id


def a_view():
    return saved_views.create(
        user(ALICE).id, f"View {next(numbers)}", browse.LibraryQuery(q="a")
    ).id


def a_poster():
    folder = config.current.posters_dir / "w342"
    folder.mkdir(exist_ok=True)
    (folder / "kept.png").write_bytes(picture("kept"))
    return "kept.png"


def a_bystander():
    return accounts.create(**a_new_account()).id


def a_new_account():
    name = f"dora{next(numbers)}"
    return {"email": f"{name}@example.org", "username": name, "password": PASSWORD}


def library_version(email):
    return user(email).library_version


def user(email):
    return models.user_by_name(email)


def speaker(server, key, email):
    if email is None:
        return server.test_client()
    return (with_token if " /api/" in key else with_session)(server, email)


def with_token(server, email):
    client = server.test_client()
    with server.app_context():
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {auth.issue_token(user(email))}"
    return client


def with_session(server, email):
    client = server.test_client()
    with client.session_transaction() as session:
        session["_user_id"] = user(email).get_id()
    return client


def ask(client, key, path, headers=OURS):
    # No worker is here to end what an earlier row has asked for, and one thing at a time is the
    # rule.
    Job.update(state="done").where(Job.state == "queued").execute()
    method = key.partition(" ")[0]
    sent = {name: value() if callable(value) else value for name, value in TABLE[key].sent.items()}
    return client.open(path, method=method, headers=headers, buffered=True, **sent)


def check(answer, expected, key, email):
    if expected != LOG_IN:
        assert answer.status_code == expected, (key, email)
    elif " /api/" in key:
        assert (answer.status_code, answer.json) == (401, {"detail": "Not authenticated"}), (
            key,
            email,
        )
    else:
        assert answer.location.startswith("/login?next="), (key, email)
