"""Who may do what: every route for nobody, for Alice, who owns the things, for Bob, and for Carol,
who is an administrator.

A new route fails here until the table has a row for it: the status that each of the four must get,
and what is sent.
"""

import io
import itertools
import json
import re
from dataclasses import dataclass, field

import pytest

from mm import auth, clock, config, create_app, models, schema
from mm.database import db
from mm.models import Job, Title
from mm.schemas import Before
from mm.services import account_links, accounts, jobs
from mm.services.backup import backups, imports, quotas, uploads
from mm.services.backup import files as backup_files
from mm.services.collections import envelope, importing
from mm.services.library import bulk, lists, movies, people, rankings, saved_views, shares
from mm.services.server import archive_files, archives
from tests.conftest import PASSWORD
from tests.support.standin import picture

ALICE, BOB, CAROL = "alice@example.org", "bob@example.org", "carol@example.org"
OURS = {"Sec-Fetch-Site": "same-origin"}
numbers = itertools.count(1)
COLLECTIONS = "<any(people, lists, views, settings):kind>"
A_COLLECTION = {
    "metadata": {"version": "1.0.0", "export_type": "people"},
    "items": [{"name": "Ann"}],
}
LIBRARY = {"version": 2, "movies": [{"imdb_id": "tt0111161"}]}


@dataclass(frozen=True)
class Row:
    """`sent`: keyword arguments of the test client; a function is called for each request."""

    nobody: int
    alice: int
    bob: int
    carol: int
    sent: dict = field(default_factory=dict)


def everybody(status, **sent):
    return Row(status, status, status, status, sent)


def own_library(status, **sent):
    """Every user is answered about their own library."""
    return Row(LOG_IN_FIRST, status, status, status, sent)


def only_alice(status, **sent):
    """The path names something of Alice's. For others, administrators too, it does not exist."""
    return Row(LOG_IN_FIRST, status, 404, 404, sent)


def only_administrators(status, **sent):
    return Row(LOG_IN_FIRST, 403, 403, status, sent)


# Not logged in: a 401 of the API, a redirect of a page to the log-in.
LOG_IN_FIRST = -1
# What pages answer to a form.
REDIRECT = 303

TABLE = {
    "GET /static/<path:filename>": everybody(200),
    "GET /docs": everybody(200),
    "GET /docs/openapi.json": everybody(200),
    "GET /style": everybody(404),
    # Pages
    "GET /login": Row(200, REDIRECT, REDIRECT, REDIRECT),
    "POST /login": everybody(REDIRECT, data={"email": ALICE, "password": PASSWORD}),
    "POST /logout": everybody(REDIRECT),
    "GET /invite/<token>": everybody(200),
    # With nothing typed; whoever has an account is told so.
    "POST /invite/<token>": Row(422, 409, 409, 409),
    "GET /reset/<token>": everybody(200),
    "POST /reset/<token>": everybody(422),
    "GET /": own_library(200),
    "GET /enrichment": own_library(REDIRECT),
    "GET /counts": own_library(REDIRECT),
    "GET /library.csv": own_library(200),
    "GET /posters/<size>/<file>": own_library(200),
    "POST /selection": own_library(
        REDIRECT, data=lambda: {"do": "status:watched", "film": "tt0111161", "back": "/"}
    ),
    "GET /movies/<imdb_id>": only_alice(200),
    "GET /movies/<imdb_id>/about": only_alice(REDIRECT),
    "GET /movies/<imdb_id>/card": own_library(REDIRECT),
    "POST /movies/<imdb_id>/want": only_alice(REDIRECT),
    "POST /movies/<imdb_id>/status": only_alice(REDIRECT, data={"to": "watched"}),
    "POST /movies/<imdb_id>/watch": only_alice(REDIRECT, data={"my_rating": "7"}),
    "POST /movies/<imdb_id>/unwatch": only_alice(REDIRECT),
    "POST /movies/<imdb_id>/note": only_alice(REDIRECT, data={"note": "Lent by Maria."}),
    "POST /movies/<imdb_id>/lists": only_alice(REDIRECT, data=lambda: {"list": a_list()}),
    "POST /movies/<imdb_id>/votes": only_alice(REDIRECT, data={"person": "Eve"}),
    "POST /movies/<imdb_id>/votes/<int:person_id>/delete": only_alice(REDIRECT),
    "POST /movies/<imdb_id>/refresh": only_alice(503),
    "POST /movies/<imdb_id>/delete": only_alice(REDIRECT),
    "POST /views": own_library(
        REDIRECT, data=lambda: {"name": f"View {next(numbers)}", "view": "q=a"}
    ),
    "GET /views/<view_id>": only_alice(200),
    "POST /views/<view_id>": only_alice(REDIRECT, data=lambda: {"name": f"View {next(numbers)}"}),
    "POST /views/<view_id>/delete": only_alice(REDIRECT),
    "GET /backup": own_library(200),
    "GET /backup/health": own_library(REDIRECT),
    "GET /backup/history": own_library(REDIRECT),
    "POST /backup/auto": own_library(REDIRECT, data={"enabled": "1"}),
    "GET /backup/retention": own_library(200, query_string={"keep_daily": "7 days"}),
    "POST /backup/retention": own_library(REDIRECT, data={"keep_daily": "14 days"}),
    "POST /backup/begin": own_library(REDIRECT, data={"nightly_offered": "1", "go": "add"}),
    "POST /backup/now": own_library(REDIRECT),
    "GET /backup/export": own_library(200),
    "POST /backup/upload": own_library(REDIRECT, data=lambda: {"file": a_file()}),
    "POST /backup/undo": only_alice(REDIRECT, data=lambda: {"filename": a_safety_copy()}),
    "GET /backup/files/<filename>": only_alice(200),
    "GET /backup/files/<filename>/compare": only_alice(200),
    "POST /backup/files/<filename>/verify": only_alice(REDIRECT),
    "POST /backup/files/<filename>/restore": only_alice(REDIRECT),
    "POST /backup/files/<filename>/pin": only_alice(REDIRECT, data={"pinned": "1"}),
    "GET /backup/files/<filename>/delete": only_alice(200),
    "POST /backup/files/<filename>/delete": only_alice(REDIRECT),
    "POST /backup/import": own_library(REDIRECT, data=lambda: {"file": a_file()}),
    "GET /backup/import/<job_id>": only_alice(200),
    "POST /backup/import/<job_id>": only_alice(REDIRECT, data={"mode": "replace"}),
    "GET /backup/import/<job_id>/rows": only_alice(REDIRECT, query_string={"group": "movie-new"}),
    "GET /backup/import/<job_id>/left-out.<form>": only_alice(200),
    "POST /backup/import/<job_id>/confirm": only_alice(
        REDIRECT, data=lambda: {"plan": the_waiting_plan()}
    ),
    "POST /backup/import/<job_id>/discard": only_alice(REDIRECT),
    "GET /backup/jobs/<job_id>": only_alice(200),
    "GET /backup/jobs/<job_id>/left-out": only_alice(200),
    "GET /backup/jobs/<job_id>/left-out.<form>": only_alice(200),
    "POST /undo/<token>": own_library(REDIRECT),
    "GET /add": own_library(200),
    "GET /add/catalogue": own_library(REDIRECT),
    "GET /add/pick": own_library(200, query_string={"imdb": "tt0111161"}),
    "POST /add": own_library(REDIRECT, data={"imdb": "tt0111161", "where": "toWatch"}),
    "GET /people": own_library(200),
    "POST /people": own_library(REDIRECT, data=lambda: {"name": f"Person {next(numbers)}"}),
    "GET /people/<int:person_id>": only_alice(200),
    "POST /people/<int:person_id>": only_alice(
        REDIRECT, data=lambda: {"name": f"Person {next(numbers)}"}
    ),
    "POST /people/<int:person_id>/trust": only_alice(REDIRECT, data={"trusted": "1"}),
    "POST /people/<int:person_id>/delete": only_alice(REDIRECT),
    "GET /lists": own_library(200),
    "POST /lists": own_library(REDIRECT, data={"name": "Favourites"}),
    "POST /lists/order/all": own_library(REDIRECT, data={"id": "none"}),
    "GET /lists/<list_id>": only_alice(200),
    "POST /lists/<list_id>": only_alice(REDIRECT, data={"name": "Others"}),
    "POST /lists/<list_id>/move": only_alice(REDIRECT, data={"to": "up"}),
    "POST /lists/<list_id>/delete": only_alice(REDIRECT),
    "GET /lists/<list_id>/share": only_alice(200),
    "POST /lists/<list_id>/share": only_alice(REDIRECT, data={"until": "2098-12-31"}),
    # Whoever has the link, with an account or without one.
    "GET /shared/<token>": everybody(200),
    "GET /shared/<token>/posters/<size>/<file>": everybody(200),
    "GET /shared/<token>/list.json": everybody(200),
    "POST /shared/<token>/add": own_library(REDIRECT),
    "GET /collections/<any(people, lists, views, settings):kind>": own_library(200),
    "POST /collections/<any(people, lists, views, settings):kind>/export": own_library(
        200, data={"export_all": "1"}
    ),
    "POST /collections/<any(people, lists, views, settings):kind>/import": own_library(
        REDIRECT, data=lambda: {"file": a_collection()}
    ),
    "GET /collections/<any(people, lists, views, settings):kind>/import/<job_id>": only_alice(200),
    "POST /collections/<any(people, lists, views, settings):kind>/import/<job_id>": only_alice(
        REDIRECT, data={"all": "skip"}
    ),
    "GET /account": own_library(200),
    "POST /account/name": own_library(REDIRECT, data=lambda: {"username": f"name{next(numbers)}"}),
    # Accepted, it would change the address with which the others of this table log in.
    "POST /account/email": own_library(422, data={"email": "", "email_password": PASSWORD}),
    "POST /account/library": own_library(REDIRECT, data={"size": "l", "sort": "title"}),
    "POST /account/dates": own_library(REDIRECT, data={"format": "iso", "language": "de"}),
    "POST /account/password": own_library(REDIRECT, data={"current": PASSWORD, "new": PASSWORD}),
    "POST /account/end-sessions": own_library(REDIRECT),
    "GET /admin": only_administrators(200),
    "GET /admin/users": only_administrators(200),
    "POST /admin/users/invites": only_administrators(200),
    "POST /admin/users/invites/<digest>/revoke": only_administrators(REDIRECT),
    "POST /admin/users/<user_id>/reset-link": only_administrators(200),
    "POST /admin/users/<user_id>/role": only_administrators(REDIRECT, data={"admin": "1"}),
    "POST /admin/users/<user_id>/active": only_administrators(REDIRECT),
    "GET /admin/users/<user_id>/delete": only_administrators(200),
    # Without the name.
    "POST /admin/users/<user_id>/delete": only_administrators(422),
    "GET /admin/providers": only_administrators(200),
    "POST /admin/providers/<provider>": only_administrators(REDIRECT),
    "POST /admin/providers/<provider>/test": only_administrators(200),
    "POST /admin/providers/<provider>/try-again": only_administrators(REDIRECT),
    "POST /admin/providers/language": only_administrators(REDIRECT),
    "GET /admin/titles": only_administrators(200),
    "POST /admin/titles/retry": only_administrators(REDIRECT),
    "GET /admin/titles/<imdb_id>": only_administrators(200),
    "POST /admin/titles/<imdb_id>/retry": only_administrators(REDIRECT),
    # This server has no key for TMDB.
    "POST /admin/titles/<imdb_id>/link": only_administrators(503, data={"tmdb": "550"}),
    "POST /admin/titles/<imdb_id>/unlink": only_administrators(REDIRECT),
    "GET /admin/schedule": only_administrators(200),
    "POST /admin/schedule": only_administrators(REDIRECT, data={"backup_time": "04:00"}),
    "GET /admin/limits": only_administrators(200),
    "POST /admin/limits": only_administrators(REDIRECT, data={"archive_max": "30 GB"}),
    "GET /admin/catalogue": only_administrators(REDIRECT),
    "GET /admin/catalogue/needs": only_administrators(REDIRECT),
    "POST /admin/catalogue/update": only_administrators(REDIRECT, data={"chosen": "1"}),
    "POST /admin/catalogue/options": only_administrators(REDIRECT, data={"akas": "1"}),
    "GET /admin/catalogue/remove": only_administrators(200),
    "POST /admin/catalogue/remove": only_administrators(REDIRECT),
    "GET /admin/begin/keys": only_administrators(200),
    "POST /admin/begin/keys": only_administrators(REDIRECT, data={"omdb_api_key": ""}),
    "POST /admin/begin/keys/<provider>/test": only_administrators(200),
    "GET /admin/begin/schedule": only_administrators(200),
    "POST /admin/begin/schedule": only_administrators(REDIRECT, data={"library": "1"}),
    "GET /admin/begin/catalogue": only_administrators(200),
    "POST /admin/begin/catalogue": only_administrators(REDIRECT),
    "GET /admin/jobs": only_administrators(200),
    "GET /admin/archives": only_administrators(REDIRECT),
    "POST /admin/archives": only_administrators(REDIRECT),
    "GET /admin/archives/room": only_administrators(REDIRECT),
    "GET /admin/archives/all-users": only_administrators(200),
    "GET /admin/archives/jobs/<job_id>": only_administrators(REDIRECT),
    "POST /admin/archives/upload": only_administrators(422, data={"x": "no file"}),
    "POST /admin/archives/schedule": only_administrators(
        REDIRECT, data={"time": "04:00", "days": "mon", "keep_last": "7"}
    ),
    "GET /admin/archives/<timestamp>": only_administrators(200),
    "POST /admin/archives/<timestamp>/check": only_administrators(REDIRECT),
    "POST /admin/archives/<timestamp>/pin": only_administrators(REDIRECT, data={"pinned": "1"}),
    "GET /admin/archives/<timestamp>/delete": only_administrators(200),
    "POST /admin/archives/<timestamp>/delete": only_administrators(REDIRECT),
    "GET /admin/archives/<timestamp>/restore": only_administrators(200),
    # Without the word.
    "POST /admin/archives/<timestamp>/restore": only_administrators(422),
    "GET /restored/<token>": everybody(404),
    "GET /setup": everybody(404),
    "POST /setup": everybody(404),
    "POST /setup/code": everybody(404),
    "POST /setup/file": everybody(404),
    "POST /setup/offer": everybody(404),
    "GET /setup/found": everybody(404),
    "POST /setup/found": everybody(404),
    "GET /welcome/<token>": everybody(404),
    # API
    "GET /api/health": everybody(200),
    "POST /api/auth/login": everybody(200, json={"email": ALICE, "password": PASSWORD}),
    "POST /api/auth/admin/login": everybody(200, json={"token": "open sesame"}),
    "GET /api/auth/me": own_library(200),
    "POST /api/auth/logout-all": own_library(204),
    "PUT /api/auth/password": own_library(200, json={"current": PASSWORD, "new": PASSWORD}),
    "GET /api/auth/admin/users": only_administrators(200),
    "POST /api/auth/admin/users": only_administrators(201, json=lambda: a_new_account()),
    "PUT /api/auth/admin/users/<user_id>": only_administrators(200, json={"is_active": False}),
    "DELETE /api/auth/admin/users/<user_id>": only_administrators(200),
    "GET /api/movies": own_library(200),
    "POST /api/movies": own_library(201, json={"imdb_id": "tt0111161"}),
    "GET /api/movies/<imdb_id>": only_alice(200),
    "DELETE /api/movies/<imdb_id>": only_alice(204),
    "POST /api/movies/<imdb_id>/recommendations": own_library(201, json={"person": "Eve"}),
    "POST /api/movies/<imdb_id>/recommendations/bulk": own_library(201, json={"people": ["Eve"]}),
    "DELETE /api/movies/<imdb_id>/recommendations/<name:person>": only_alice(204),
    "PUT /api/movies/<imdb_id>/watch": own_library(200, json={}),
    "DELETE /api/movies/<imdb_id>/watch": only_alice(204),
    "PUT /api/movies/<imdb_id>/status": only_alice(200, json={"status": "watched"}),
    "PUT /api/movies/<imdb_id>/note": only_alice(200, json={"note": "Ask Eve"}),
    "GET /api/people": own_library(200),
    "POST /api/people": own_library(201, json=lambda: {"name": f"Person {next(numbers)}"}),
    "PUT /api/people/<name:name>": only_alice(200, json={}),
    "DELETE /api/people/<name:name>": only_alice(204),
    "GET /api/people/<name:name>/stats": only_alice(200),
    "GET /api/lists": own_library(200),
    "POST /api/lists": own_library(201, json={"name": "Favourites"}),
    "GET /api/lists/<list_id>": only_alice(200),
    "PUT /api/lists/<list_id>": only_alice(200, json={}),
    "DELETE /api/lists/<list_id>": only_alice(204),
    "GET /api/lists/<list_id>/movies": only_alice(200),
    "PUT /api/lists/<list_id>/movies/<imdb_id>": only_alice(204),
    "DELETE /api/lists/<list_id>/movies/<imdb_id>": only_alice(204),
    "PUT /api/lists/<list_id>/order": only_alice(204, json={"imdb_ids": ["tt0111161"]}),
    "GET /api/views": own_library(200),
    "POST /api/views": own_library(201, json=lambda: {"name": f"View {next(numbers)}"}),
    "PUT /api/views/<view_id>": only_alice(200, json={"filters": {"q": "b"}}),
    "DELETE /api/views/<view_id>": only_alice(204),
    "GET /api/ranking": own_library(200),
    "GET /api/ranking/unranked": own_library(200),
    "POST /api/ranking/insert": only_alice(201, json=lambda: a_place()),
    "DELETE /api/ranking/<imdb_id>": only_alice(204),
    "POST /api/movies/<imdb_id>/refresh": only_alice(503),
    "GET /api/movies/<imdb_id>/refresh": only_alice(503),
    "GET /api/sync": own_library(200),
    "GET /api/sync/changes": own_library(200),
    "POST /api/sync": own_library(200, json=lambda: an_action()),
    "POST /api/sync/batch": own_library(200, json=lambda: {"actions": [an_action()]}),
    # This server has no keys for the providers.
    "GET /api/external/tmdb/search": own_library(503, query_string={"q": "x"}),
    "GET /api/external/tmdb/movie/<int(signed=True):tmdb_id>": own_library(503),
    "GET /api/external/tmdb/tv/<int(signed=True):tmdb_id>": own_library(503),
    "GET /api/external/tmdb/discover/genre": own_library(503, query_string={"q": "x"}),
    "GET /api/external/tmdb/discover/person": own_library(503, query_string={"q": "x"}),
    "GET /api/external/tmdb/discover/list": own_library(503, query_string={"kind": "popular"}),
    "GET /api/external/omdb/movie/<imdb_id>": own_library(503),
    "GET /api/external/cache/info": own_library(200),
    "GET /api/backup/export": own_library(200),
    "POST /api/backup/import": own_library(200, json=LIBRARY),
    "GET /api/backup/settings": own_library(200),
    "PUT /api/backup/settings": own_library(200, json={"backup_enabled": True}),
    "GET /api/backup/list": own_library(200),
    "POST /api/backup/create": own_library(201),
    "POST /api/backup/upload": own_library(201, data=lambda: {"file": a_file()}),
    "POST /api/backup/verify/<path:filename>": only_alice(200),
    "GET /api/backup/download/<path:filename>": only_alice(200),
    "POST /api/backup/restore/<path:filename>": only_alice(200),
    "POST /api/backup/undo": only_alice(200, json=lambda: {"filename": something_to_undo()}),
    "PUT /api/backup/pin/<path:filename>": only_alice(200, json={"pinned": True}),
    "DELETE /api/backup/<path:filename>": only_alice(204),
    f"POST /api/v1/export/{COLLECTIONS}": own_library(200, json={"export_all": True}),
    f"POST /api/v1/import/{COLLECTIONS}/preview": own_library(200, json=A_COLLECTION),
    f"POST /api/v1/import/{COLLECTIONS}": own_library(200, json=A_COLLECTION),
    "POST /api/v1/system/backup": only_administrators(202, json=lambda: an_idle_server()),
    "GET /api/v1/system/backup/list": only_administrators(200),
    "GET /api/v1/system/backup/<timestamp>/download": only_administrators(200),
    "POST /api/v1/system/backup/validate": only_administrators(
        200, data=lambda: {"file": an_archive_file()}
    ),
    "POST /api/v1/system/backup/upload": only_administrators(
        201, data=lambda: {"file": an_archive_file()}
    ),
    "PUT /api/v1/system/backup/<timestamp>/pin": only_administrators(200, json={"pinned": True}),
    "POST /api/v1/system/backup/<timestamp>/verify": only_administrators(
        202, data=lambda: an_idle_server()
    ),
    "DELETE /api/v1/system/backup/<timestamp>": only_administrators(204),
    "POST /api/v1/system/restore": only_administrators(
        202, json=lambda: {"timestamp": an_archive(), "confirm": True, **an_idle_server()}
    ),
    # Whoever knows the address may: a restore ends every log-in.
    "GET /api/v1/system/restored/<token>": everybody(404),
    "GET /api/v1/system/backup/schedule": only_administrators(200),
    "PUT /api/v1/system/backup/schedule": only_administrators(200, json={"keep_last": 3}),
    "GET /api/v1/system/jobs/<job_id>": only_administrators(200),
}
NEEDS_LOG_IN = [key for key, row in TABLE.items() if row.nobody == LOG_IN_FIRST]
API = [key for key in NEEDS_LOG_IN if " /api/" in key]
PAGES = [key for key in NEEDS_LOG_IN if " /api/" not in key]
FORMS = [key for key in TABLE if " /api/" not in key and not key.startswith("GET ")]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    # Alice gets a new backup for each row about one.
    folder = tmp_path_factory.mktemp("access")
    app = create_app(
        config.Config(data_dir=folder, admin_token="open sesame", manual_backups_max=0)
    )
    app.testing = True
    schema.upgrade()
    for name, email in {"alice": ALICE, "bob": BOB, "carol": CAROL}.items():
        accounts.create(email, name, PASSWORD, is_admin=name == "carol")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(quotas, "MOST_AN_HOUR", 10_000)
        yield app
    db.close()


@pytest.fixture(scope="module")
def admin_token(server):
    """One for all rows: there are more of them than log-ins in a quarter of an hour."""
    answer = server.test_client().post("/api/auth/admin/login", json={"token": "open sesame"})
    return answer.json["access_token"]


def test_every_route_has_a_row_and_every_row_a_route(server):
    rules = list(server.url_map.iter_rules())
    routes = {
        f"{method} {rule.rule}"
        for rule in rules
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if not rule.websocket
    }
    assert routes == set(TABLE)
    # test_live.py shows with real connections who may listen.
    assert {rule.rule for rule in rules if rule.websocket} == {"/ws/sync"}


@pytest.mark.parametrize("key", TABLE)
def test_each_user_gets_the_status_in_the_table(server, key):
    row, path = TABLE[key], path_of(key)
    # Alice last: if another were let in, what she asks for would be gone.
    for email, expected in (
        (None, row.nobody),
        (BOB, row.bob),
        (CAROL, row.carol),
        (ALICE, row.alice),
    ):
        answer = send(client_of(server, key, email), key, path)
        assert_status(answer, expected, key, email)


@pytest.mark.parametrize("key", API)
def test_the_api_does_not_accept_a_session(server, key):
    answer = send(client_with_session(server, CAROL), key, path_of(key))
    assert_status(answer, LOG_IN_FIRST, key, "by session")


@pytest.mark.parametrize("key", PAGES)
def test_a_page_does_not_accept_a_token(server, key):
    answer = send(client_with_token(server, CAROL), key, path_of(key))
    assert_status(answer, LOG_IN_FIRST, key, "by token")


@pytest.mark.parametrize("key", API)
def test_the_admin_token_allows_administration_and_opens_no_library(server, admin_token, key):
    client = server.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {admin_token}"
    row = TABLE[key]
    expected = row.carol if row.alice == 403 else 403
    assert_status(send(client, key, path_of(key)), expected, key, "by admin token")


@pytest.mark.parametrize("key", TABLE)
def test_an_invitation_opens_no_other_page(server, key):
    """Whoever holds one is nobody everywhere else, wherever they put its token."""
    token, client = an_invite(), server.test_client()
    assert client.get(f"/invite/{token}").status_code == 200
    client.set_cookie("mm_session", token)
    headers = {**OURS, "Authorization": f"Bearer {token}", "Referer": f"/invite/{token}"}
    answer = send(client, key, path_of(key), headers)
    assert_status(answer, TABLE[key].nobody, key, "invited")


@pytest.mark.parametrize("key", TABLE)
def test_a_link_to_a_list_opens_no_other_page(server, key):
    """Who has one, and no account, is nobody everywhere else, wherever they put its token."""
    token, client = a_share(), server.test_client()
    assert client.get(f"/shared/{token}").status_code == 200
    client.set_cookie("mm_session", token)
    headers = {**OURS, "Authorization": f"Bearer {token}", "Referer": f"/shared/{token}"}
    answer = send(client, key, path_of(key), headers)
    assert_status(answer, TABLE[key].nobody, key, "with a link")


@pytest.mark.parametrize(
    "path",
    ["/shared/{}/posters/w342/kept.png", "/posters/w342/kept.png", "/lists/{}", "/invite/{}"],
)
def test_a_link_to_a_list_opens_nothing_of_another(server, path):
    """The poster is that of a film on another list of the same owner, which has a link too."""
    a_share()
    token = shares.share(user(ALICE).id, a_list()).token
    client = server.test_client()
    assert client.get(f"/shared/{token}").status_code == 200
    answer = client.get(path.format(token), headers={"Referer": f"/shared/{token}"})
    assert answer.status_code in (302, REDIRECT, 404)
    assert not answer.is_json
    assert answer.mimetype == "text/html"


@pytest.mark.parametrize("key", FORMS)
def test_a_form_from_another_site_is_refused(server, key):
    answer = send(
        client_with_session(server, ALICE), key, path_of(key), {"Sec-Fetch-Site": "cross-site"}
    )
    assert answer.status_code == 403


def path_of(key):
    """The route's path, with something of Alice's in place of each parameter."""
    examples = {
        "tmdb_id": lambda: "550",
        "filename": a_backup,
        "job_id": a_job_of_the_server
        if "archives" in key or "system" in key
        else a_job_of_alices(key),
        "timestamp": an_archive,
        "user_id": an_account,
        "imdb_id": a_film_for(key),
        "kind": lambda: "people",
        "person": lambda: "Zoe",
        "name": a_person,
        "provider": lambda: "tmdb",
        "size": lambda: "w342",
        "file": a_poster,
        "list_id": a_list,
        "token": a_link(key),
        "digest": lambda: account_links.digest_of(an_invite()),
        "form": lambda: "csv",
        "person_id": zoes_id if "votes" in key else a_persons_id,
        "view_id": a_view,
    }
    if key.endswith("/static/<path:filename>"):
        return "/static/vendor/pico.min.css"
    return re.sub(
        r"<(?:\w+(?:\(.*?\))?:)?(\w+)>",
        lambda match: str(examples[match[1]]()),
        key.partition(" ")[2],
    )


def a_link(key):
    if "/invite/" in key:
        return an_invite
    if "/shared/" in key:
        return a_share
    return a_reset_link if "/reset/" in key else lambda: "none"


def a_share():
    """Of a list whose one film has the poster that is kept here."""
    imdb_id, list_id = a_watched_film(), a_list()
    Title.update(poster_path=f"/{a_poster()}").where(Title.imdb_id == imdb_id).execute()
    bulk.put_on_list(user(ALICE).id, [imdb_id], list_id)
    return shares.share(user(ALICE).id, list_id).token


def an_invite():
    return account_links.invite()


def a_reset_link():
    return account_links.reset(user(ALICE))


def a_backup():
    return backups.create(user(ALICE)).filename


def an_archive_file():
    return archive_files.path_of(an_archive()).open("rb"), "an archive.zip"


def an_idle_server():
    """An empty body, for what is refused while other work on the server is queued."""
    Job.delete().where(Job.kind.in_(jobs.OF_THE_SERVER)).execute()
    return {}


def a_file():
    return io.BytesIO(json.dumps(LIBRARY).encode()), "x.json"


def a_safety_copy():
    owner = user(ALICE)
    filename = backups.create(owner, "before-import").filename
    path = backup_files.folder_of(owner.id) / filename
    sidecar = backup_files.read_sidecar(path)
    sidecar.before = Before("import", "merge", "x.json", clock.now(), 1, clock.now())
    backup_files.write_sidecar(path, sidecar)
    return filename


def a_collection():
    return io.BytesIO(envelope.encode(envelope.written("people", []))), "people.json"


def a_waiting_collection():
    return importing.receive(user(ALICE), "people", a_collection()[0]).id


def a_waiting_import():
    return uploads.receive(user(ALICE), io.BytesIO(json.dumps(LIBRARY).encode())).id


def a_job_with_rejected_rows():
    result = {"errors": [{"path": "movies[0]", "reason": "none"}]}
    return Job.create(kind="import", user=user(ALICE), state="done", result=result).id


def is_of_the_server(key):
    return "/admin/archives" in key or "/system/" in key


def a_job_of_alices(key):
    if "/collections/" in key:
        return a_waiting_collection
    return a_job_with_rejected_rows if "jobs/<job_id>/left-out" in key else a_waiting_import


def a_job_of_the_server():
    return Job.create(kind="archive", state="done", result={}).id


def an_archive():
    """Work of another row that waits would be in its way."""
    Job.delete().where(Job.kind.in_(jobs.OF_THE_SERVER)).execute()
    return archives.create("scheduled").timestamp


def a_film_for(key):
    if "titles" in key:
        return a_stuck_title
    return a_ranked_film if "ranking" in key else a_watched_film


def a_stuck_title():
    imdb_id = a_watched_film()
    Title.update(tmdb_state="missing").where(Title.imdb_id == imdb_id).execute()
    return imdb_id


def a_watched_film():
    """With a vote by Zoe."""
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
    return saved_views.create(user(ALICE).id, f"View {next(numbers)}", {"q": "a"}).id


def a_poster():
    folder = config.current.posters_dir / "w342"
    folder.mkdir(exist_ok=True)
    (folder / "kept.png").write_bytes(picture("kept"))
    return "kept.png"


def an_account():
    return accounts.create(**a_new_account()).id


def a_new_account():
    name = f"dora{next(numbers)}"
    return {"email": f"{name}@example.org", "username": name, "password": PASSWORD}


def something_to_undo():
    films = [{"imdb_id": f"tt9{next(numbers):06d}"} for _ in range(2)]
    for row in films:
        file = json.dumps({"version": 2, "movies": [row]}).encode()
        done = imports.import_bytes(user(ALICE), file)
    return done.safety_backup


def the_waiting_plan():
    mine = (Job.state == "waiting") & (Job.user == user(ALICE))
    return imports.prepare(Job.get(mine)).plan_id


def user(email):
    return models.user_by_name(email)


def client_of(server, key, email):
    if email is None:
        return server.test_client()
    return (client_with_token if " /api/" in key else client_with_session)(server, email)


def client_with_token(server, email):
    client = server.test_client()
    with server.app_context():
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {auth.issue_token(user(email))}"
    return client


def client_with_session(server, email):
    client = server.test_client()
    with client.session_transaction() as session:
        session["_user_id"] = user(email).get_id()
    return client


def send(client, key, path, headers=OURS):
    # There is no worker to finish the jobs of earlier rows, and only one may be active at a time.
    Job.update(state="done").where(Job.state == "queued").execute()
    method = key.partition(" ")[0]
    sent = {name: value() if callable(value) else value for name, value in TABLE[key].sent.items()}
    return client.open(path, method=method, headers=headers, buffered=True, **sent)


def assert_status(answer, expected, key, email):
    if expected != LOG_IN_FIRST:
        assert answer.status_code == expected, (key, email)
    elif " /api/" in key:
        assert (answer.status_code, answer.json) == (401, {"detail": "Not authenticated"}), (
            key,
            email,
        )
    else:
        assert answer.location.startswith("/login?next="), (key, email)
