"""The set-up of a server without an account: who may, and what its pages do."""

import io
import json
import threading
from dataclasses import replace

import pytest

from mm import config
from mm.database import db
from mm.models import Job, Movie, User
from mm.services import accounts
from mm.services.backup import backups
from mm.services.library import movies
from mm.services.server import archives, restore_state
from mm.services.server.first_run import code, kept, outcome
from tests.conftest import PASSWORD

ACCOUNT = {"username": "ann", "email": "ann@example.org", "password": PASSWORD}
LIBRARY = {
    "version": 2,
    "exported_at": 1772366400.0,
    "movies": [
        {"imdb_id": "tt0111161", "title": "The Shawshank Redemption"},
        {"imdb_id": "tt0068646"},
        {"imdb_id": "wrong", "title": "No film"},
    ],
}
EVERY_ROUTE = (
    "/setup",
    "/setup/code",
    "/setup/file",
    "/setup/offer",
    "/setup/found",
    "/setup/none",
)
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")


@pytest.fixture
def browser(client):
    """On the server's own machine."""
    client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    return client


@pytest.fixture
def far(app):
    """far(): a browser on another machine, each time a new one."""

    def elsewhere():
        browser = app.test_client()
        browser.environ_base.update(
            HTTP_SEC_FETCH_SITE="same-origin",
            REMOTE_ADDR="192.168.1.20",
        )
        return browser

    return elsewhere


@pytest.fixture
def the_code(app):
    return code.ensure()


def users():
    with db.connection_context():
        return list(User.select().order_by(User.username))


def send(browser, data, name="films.json", **more):
    if not isinstance(data, bytes):
        data = json.dumps(data).encode()
    return browser.post("/setup/file", data={"file": (io.BytesIO(data), name)}, **more)


def choice():
    return kept.waiting().id


def confirm(browser, **typed):
    return browser.post("/setup/found", data={"choice": choice(), **typed})


# Who may.


@pytest.mark.parametrize("page", ["/", "/login", "/admin", "/backup", "/account"])
def test_every_page_leads_to_the_set_up_while_nobody_has_an_account(browser, page):
    answer = browser.get(page)
    assert (answer.status_code, answer.location) == (303, "/setup")


def test_forms_and_fragments_lead_there_too(browser):
    assert browser.post("/login", data={"email": "a"}).location == "/setup"
    answer = browser.get("/counts", headers={"HX-Request-Type": "partial"})
    assert answer.headers["HX-Redirect"] == "/setup"


@pytest.mark.parametrize(
    ("page", "status"),
    [
        ("/api/health", 200),
        ("/static/favicon.svg", 200),
        ("/docs", 200),
        ("/restored/none", 404),
        ("/welcome/none", 404),
        ("/no-such-page", 404),
    ],
)
def test_what_needs_no_account_does_not(browser, page, status):
    with browser.get(page) as answer:
        assert answer.status_code == status


def test_on_the_machine_itself_it_opens_unasked(browser):
    answer = browser.get("/setup")
    assert "Create the administrator" in answer.text
    assert not config.current.setup_code_file.exists()


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000"])
@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_it_knows_the_machine_itself_by_each_of_its_names(browser, host, peer):
    answer = browser.get("/setup", headers={"Host": host}, environ_base={"REMOTE_ADDR": peer})
    assert "Create the administrator" in answer.text


FROM_ELSEWHERE = {
    "another peer": {"REMOTE_ADDR": "192.168.1.20"},
    "a peer without an address": {"REMOTE_ADDR": ""},
    "X-Forwarded-For": {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
    "X-Forwarded-Host": {"HTTP_X_FORWARDED_HOST": "localhost"},
    "an empty X-Forwarded-Proto": {"HTTP_X_FORWARDED_PROTO": ""},
    "Forwarded": {"HTTP_FORWARDED": "for=127.0.0.1"},
    "Via": {"HTTP_VIA": "1.1 cache"},
    "X-Forwarded": {"HTTP_X_FORWARDED": "for=1.2.3.4"},
    "X-Original-Host": {"HTTP_X_ORIGINAL_HOST": "films.example.org"},
    "CF-Connecting-IP": {"HTTP_CF_CONNECTING_IP": "1.2.3.4"},
    "True-Client-IP": {"HTTP_TRUE_CLIENT_IP": "1.2.3.4"},
    # What nginx sends that is told only where to pass requests on to.
    "HTTP/1.0": {"SERVER_PROTOCOL": "HTTP/1.0"},
    "a connection that closes": {"HTTP_CONNECTION": "close"},
    "a connection for WebSockets": {"HTTP_CONNECTION": "upgrade"},
    "X-Real-IP": {"HTTP_X_REAL_IP": "127.0.0.1"},
}


@pytest.mark.parametrize("environ", FROM_ELSEWHERE.values(), ids=FROM_ELSEWHERE)
def test_everybody_else_is_asked_for_the_code(browser, environ):
    shown = browser.get("/setup", environ_overrides=environ).text
    assert "Set-up code" in shown
    assert str(config.current.setup_code_file) in shown
    assert "Create the administrator" not in shown
    assert code.ensure() not in shown
    for address in ("/setup", "/setup/file", "/setup/offer", "/setup/found"):
        answer = browser.post(address, data=ACCOUNT, environ_overrides=environ)
        assert (answer.status_code, answer.location) == (303, "/setup")
    assert browser.get("/setup/found", environ_overrides=environ).location == "/setup"
    assert users() == []


@pytest.mark.parametrize(
    "host",
    ["films.example", "192.168.1.2:8000", "localhost.evil.example", "evil.example:127.0.0.1"],
)
def test_under_another_name_it_asks_too(browser, host):
    shown = browser.get("/setup", headers={"Host": host})
    assert "Create the administrator" not in shown.text
    assert shown.status_code == 400 or "Set-up code" in shown.text
    assert browser.post("/setup", data=ACCOUNT, headers={"Host": host}).status_code != 200
    assert users() == []


@pytest.mark.parametrize("host", ["x" * 64, "x" * 3000, "x..y"])
@pytest.mark.parametrize("address", ["/setup", "/login", "/setup/file", "/static/favicon.svg"])
def test_a_host_that_can_be_none_is_the_senders_error(browser, lines, host, address):
    for method in ("GET", "POST"):
        answer = browser.open(address, method=method, headers={"Host": host})
        assert answer.status_code == 400
    assert [line for line in lines() if "ERROR" in line] == []


def test_a_server_behind_a_proxy_that_it_knows_always_asks(browser):
    config.use(replace(config.current, trusted_proxies=1))
    assert "Set-up code" in browser.get("/setup").text


def test_the_right_code_opens_it_for_this_browser_alone(far, the_code):
    browser = far()
    answer = browser.post("/setup/code", data={"code": f" {the_code.lower().replace('-', '')} "})
    assert (answer.status_code, answer.location) == (303, "/setup")
    assert "Create the administrator" in browser.get("/setup").text
    assert "Set-up code" in far().get("/setup").text
    assert browser.post("/setup", data=ACCOUNT).status_code == 303
    assert [user.username for user in users()] == ["ann"]


def test_the_answer_of_an_old_code_is_worth_nothing(far, the_code):
    browser = far()
    browser.post("/setup/code", data={"code": the_code})
    code.forget()
    assert "Set-up code" in browser.get("/setup").text


def test_a_wrong_code_is_said_and_logged_and_too_many_are_held_up(far, the_code, lines):
    browser = far()
    answer = browser.post("/setup/code", data={"code": "AAAA-AAAA-AAAA"})
    assert (answer.status_code, "That isn’t the code." in answer.text) == (422, True)
    assert any("login.refused" in line and "setup" in line for line in lines())
    for _ in range(9):
        browser.post("/setup/code", data={"code": ""})
    answer = browser.post("/setup/code", data={"code": the_code})
    assert (answer.status_code, "Retry-After" in answer.headers) == (429, True)
    assert "Set-up code" in browser.get("/setup").text


def test_with_an_admin_token_it_asks_for_that_everywhere(browser, the_code):
    config.use(replace(config.current, admin_token="open sesame"))
    shown = browser.get("/setup").text
    assert "Admin token" in shown
    assert "open sesame" not in shown
    assert browser.post("/setup/code", data={"code": the_code}).status_code == 422
    assert browser.post("/setup/code", data={"code": "Open Sesame"}).status_code == 422
    assert browser.post("/setup/code", data={"code": "open sesame"}).location == "/setup"
    assert "Create the administrator" in browser.get("/setup").text


def test_a_form_of_another_site_is_refused(browser):
    answer = browser.post("/setup", data=ACCOUNT, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert users() == []


@pytest.mark.parametrize("address", EVERY_ROUTE)
def test_once_there_is_an_account_there_is_no_set_up(browser, alice, the_code, address):
    for method in METHODS:
        assert browser.open(address, method=method).status_code == 404, method
    assert not config.current.setup_code_file.exists()


def test_for_who_is_logged_in_there_is_none_either(page):
    assert page.get("/setup").status_code == 404


# The administrator.


def test_the_administrator_is_created_and_logged_in(browser):
    answer = browser.post("/setup", data=ACCOUNT)
    assert (answer.status_code, answer.location) == (303, "/admin/begin/keys")
    [user] = users()
    assert (user.username, user.email, user.is_admin) == ("ann", "ann@example.org", True)
    assert browser.get("/admin").status_code == 200
    assert browser.get("/setup").status_code == 404


@pytest.mark.parametrize(
    ("typed", "field", "said"),
    [
        ({"username": ""}, "username", "1 to 100"),
        ({"username": "a@b"}, "username", "no @"),
        ({"email": "nobody"}, "email", "not an email address"),
        ({"password": "short"}, "password", "8 to 500"),
    ],
)
def test_what_cannot_be_used_is_said_at_its_field(browser, typed, field, said):
    answer = browser.post("/setup", data={**ACCOUNT, **typed})
    assert answer.status_code == 422
    assert said in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert PASSWORD not in answer.text
    assert users() == []


def test_posted_twice_at_once_makes_one_administrator(app):
    together, answers = threading.Barrier(2), []

    def post(name):
        browser = app.test_client()
        browser.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
        together.wait()
        sent = {**ACCOUNT, "username": name, "email": f"{name}@example.org"}
        answers.append(browser.post("/setup", data=sent).status_code)

    posts = [threading.Thread(target=post, args=(name,)) for name in ("ann", "bob")]
    for thread in posts:
        thread.start()
    for thread in posts:
        thread.join()
    assert len(users()) == 1
    assert min(answers) == 303
    assert max(answers) in (404, 409)


def test_who_comes_a_moment_late_gets_a_page_that_says_so(browser, monkeypatch):
    browser.post("/setup", data=ACCOUNT)
    monkeypatch.setattr(accounts, "exist", lambda: False)
    answer = browser.post("/setup", data={**ACCOUNT, "username": "bob"})
    assert answer.status_code == 409
    assert "Somebody has just set up this server" in answer.text
    assert [user.username for user in users()] == ["ann"]


# Files.


@pytest.mark.parametrize(
    ("data", "name", "said"),
    [
        (b"", "films.json", "This file is empty."),
        (b"\n\n", "films.json", "This file is empty."),
        (b'{"version": 2, "movies": [', "a.json", "Please select a valid backup file."),
        (b"<html>", "a.json", "Please select a valid backup file."),
        (b'{"version": 9, "movies": []}', "a.json", "newer version"),
        (b"\x89PNG\r\n\x1a\n1234", "a.png", "a picture"),
        (b"const,your rating,date rated\n1,2,3", "ratings.csv", "IMDb"),
        (b"random words", "a.txt", "This isn’t a Movie Manager file."),
        (b"PK\x03\x04watched.csv watchlist.csv diary.csv", "l.zip", "Letterboxd"),
        (b"PK\x03\x04 photos", "photos.zip", "ZIP"),
    ],
)
def test_a_file_that_cannot_be_used_is_said_at_the_field(browser, data, name, said):
    answer = send(browser, data, name)
    assert answer.status_code == 422
    assert said in answer.text
    assert 'id="setup-file"' in answer.text
    assert not kept.folder().exists()


def test_a_file_that_cannot_be_used_only_draws_its_field_anew(browser):
    answer = send(browser, b"", headers={"HX-Request-Type": "partial"})
    assert "This file is empty." in answer.text
    assert "<html" not in answer.text


def test_no_file_is_no_file(browser):
    answer = browser.post("/setup/file", data={"x": "y"})
    assert (answer.status_code, "Choose a file first." in answer.text) == (422, True)


def test_our_own_database_is_no_file_to_bring(browser, settings):
    with db.connection_context():
        db.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    answer = send(browser, (settings.data_dir / "mm.db").read_bytes(), "mm.db")
    assert answer.status_code == 422
    assert users() == []


def test_a_file_larger_than_an_archive_may_be_is_refused(browser):
    config.use(replace(config.current, archive_max="1 MB"))
    data = b"PK\x03\x04" + bytes(3_000_000)
    answer = browser.post("/setup/file", data=data, content_type="application/zip")
    assert (answer.status_code, "MM_ARCHIVE_MAX" in answer.text) == (413, True)


def test_one_library_is_told_of_before_anything_happens(browser):
    answer = send(browser, LIBRARY)
    assert (answer.status_code, answer.location) == (303, "/setup/found")
    shown = browser.get("/setup/found").text
    assert "One user’s library" in shown
    assert "films.json" in shown
    assert "Sun 1 Mar 2026" in shown
    assert "1 problem in its rows. You’ll see each of them after the import." in shown
    assert users() == []


def test_one_library_becomes_the_administrators_and_bad_rows_are_named(browser):
    send(browser, LIBRARY)
    answer = confirm(browser, **ACCOUNT)
    assert answer.location.startswith("/welcome/")
    shown = browser.get(answer.location)
    assert shown.headers["Referrer-Policy"] == "no-referrer"
    assert "No film (movies[2].imdb_id)" in shown.text
    [user] = users()
    assert user.is_admin
    with db.connection_context():
        assert Movie.select().where(Movie.user == user).count() == 2
        assert accounts.log_in("ann", PASSWORD)
    assert not kept.folder().exists()
    assert browser.get("/setup").status_code == 404
    assert browser.get("/").location == "/login?next=/"


def test_what_is_wrong_with_the_account_of_a_library_is_said_and_nothing_is_written(browser):
    send(browser, LIBRARY)
    answer = confirm(browser, **{**ACCOUNT, "password": "short"})
    assert (answer.status_code, "8 to 500" in answer.text) == (422, True)
    assert 'value="ann@example.org"' in answer.text
    assert users() == []
    assert confirm(browser, **ACCOUNT).status_code == 303


def test_only_the_file_that_was_looked_at_is_confirmed(browser):
    send(browser, LIBRARY)
    first = choice()
    send(browser, {**LIBRARY, "movies": []} | {"people": [{"name": "Eve"}]})
    answer = browser.post("/setup/found", data={"choice": first, **ACCOUNT})
    assert answer.status_code == 409
    assert "Another file was chosen in the meantime." in answer.text
    assert users() == []
    assert len(list(kept.folder().iterdir())) == 2


def test_a_file_that_is_gone_leads_back(browser):
    send(browser, LIBRARY)
    kept.waiting().file.unlink()
    answer = browser.get("/setup/found")
    assert answer.location == "/setup"
    assert "The file is gone." in browser.get("/setup").text


def test_while_somebody_takes_over_a_file_another_one_waits(browser):
    from mm import locks

    send(browser, LIBRARY)
    with locks.hold("setup"):
        answer = confirm(browser, **ACCOUNT)
    assert answer.status_code == 409
    assert "Somebody else is setting up the server" in answer.text
    assert users() == []


# An archive.


@pytest.fixture
def archive(app):
    """Of a server with two users; this one is empty again."""
    with db.connection_context():
        for name in ("alice", "bob"):
            user = accounts.create(f"{name}@example.org", name, PASSWORD, is_admin=name == "alice")
            movies.add(user.id, "tt0111161")
        entry = archives.create("manual")
        User.delete().execute()
    accounts._forget_that_any_exist()
    return entry


def test_an_archive_is_told_of_and_restored_by_a_job(browser, archive):
    path = config.current.archives_dir / archive.filename
    data = path.read_bytes()
    archives_left = list(config.current.archives_dir.iterdir())
    for each in archives_left:
        each.unlink()
    assert send(browser, data, "from-home.zip").location == "/setup/found"
    shown = browser.get("/setup/found").text
    assert "An archive of a whole server" in shown
    assert "Everybody logs in with the password they had at the time." in shown
    answer = confirm(browser)
    assert answer.location.startswith("/restored/")
    assert "Restoring the server" in browser.get(answer.location).text
    assert not kept.folder().exists()
    with db.connection_context():
        job = Job.get(Job.kind == "server-restore")
        assert restore_state.read().job_id == job.id


# What lies on the disk.


def test_what_lies_on_the_disk_is_offered_and_taken_without_an_upload(browser, archive):
    shown = browser.get("/setup").text
    assert "Archive of the whole server" in shown
    assert "2 users, 2 films" in shown
    answer = browser.post("/setup/offer", data={"offer": "archive"})
    assert answer.location == "/setup/found"
    assert confirm(browser).location.startswith("/restored/")
    assert (config.current.archives_dir / archive.filename).is_file()


def test_a_users_own_backup_becomes_the_administrators_with_its_history(browser):
    with db.connection_context():
        user = accounts.create("old@example.org", "old", PASSWORD)
        movies.add(user.id, "tt0111161")
        backup = backups.create(user)
        User.delete().execute()
    accounts._forget_that_any_exist()
    assert "Backup of one library" in browser.get("/setup").text
    assert browser.post("/setup/offer", data={"offer": user.id}).location == "/setup/found"
    assert confirm(browser, **ACCOUNT).location.startswith("/welcome/")
    [new] = users()
    assert new.id == user.id
    browser.post("/login", data={"email": "ann", "password": PASSWORD})
    assert backup.filename in browser.get("/backup").text


def test_an_offer_that_is_gone_is_said(browser):
    answer = browser.post("/setup/offer", data={"offer": "archive"})
    assert (answer.status_code, "This file is gone." in answer.text) == (404, True)


def test_an_offer_that_cannot_be_used_is_said_beside_it(browser):
    latest = config.current.startup_dir / "backup_latest.json"
    latest.parent.mkdir(parents=True)
    latest.write_text("{")
    answer = browser.post("/setup/offer", data={"offer": "all-users"})
    assert answer.status_code == 422
    assert "Please select a valid backup file." in answer.text


def test_after_taking_over_keys_and_backups_are_one_log_in_away(browser):
    send(browser, LIBRARY)
    assert 'href="/admin/begin/keys"' in browser.get(confirm(browser, **ACCOUNT).location).text
    answer = browser.get("/admin/begin/keys")
    assert answer.location == "/login?next=/admin/begin/keys"
    name = {"email": ACCOUNT["email"], "password": ACCOUNT["password"], "next": "/admin/begin/keys"}
    assert browser.post(answer.location, data=name).location == "/admin/begin/keys"


def test_the_outcome_is_for_whoever_has_its_address(browser):
    send(browser, LIBRARY)
    address = confirm(browser, **ACCOUNT).location
    assert browser.get(address).status_code == 200
    assert browser.get(address + "x").status_code == 404
    token = address.rpartition("/")[2]
    assert token.encode() not in (config.current.data_dir / "first_run.json").read_bytes()
    assert outcome.read(token).users[0].films == 2
