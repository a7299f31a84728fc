"""Keys that are entered while web and worker run, as the Procfile starts them: both know them
within a second."""

import time

import pytest
import requests

from mm import models
from mm.database import db, insert_rows
from mm.models import Movie
from mm.services import accounts
from tests.support import processes
from tests.support import standin as stand

pytestmark = [pytest.mark.processes, pytest.mark.slow]
PASSWORD = "correct horse battery"
RIGHT, OTHER = "a-right-key-of-tmdb", "another-key-of-tmdb"
PATIENCE = 30
# What is asked of the server, and a moment for a machine that does other things, too.
SOON = 1.5


class Admin:
    """An administrator's browser."""

    def __init__(self, url):
        self.url = url
        self.session = requests.Session()
        self.session.headers["Sec-Fetch-Site"] = "same-origin"
        self.post("/login", email="ann", password=PASSWORD)

    def post(self, path, **data):
        answer = self.session.post(f"{self.url}{path}", data=data, allow_redirects=False)
        assert answer.status_code == 303, answer.text
        return time.monotonic()

    def search(self, text="Moonquake"):
        return self.session.get(f"{self.url}/add", params={"q": text}).text


@pytest.fixture
def server(tmp_path, standin):
    """Both run, and no key is set."""
    with processes.running(tmp_path / "data", **standin.environ) as server:
        with db.connection_context():
            user = accounts.create("ann@example.org", "ann", PASSWORD, is_admin=True)
            models.ensure_titles(db.obj, stand.FILM_IDS)
            fields = [
                Movie.user,
                Movie.title,
                Movie.status,
                Movie.date_added,
                Movie.last_modified,
                Movie.updated_at,
            ]
            rows = ((user.id, imdb_id, "toWatch", 1.0, 1.0, 1.0) for imdb_id in stand.FILM_IDS)
            insert_rows(db.obj, fields, rows)
        db.obj.close()
        server.start("web", "worker")
        yield server


@pytest.fixture
def admin(server):
    return Admin(server.url)


def seconds_until(condition, since):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if condition():
            return time.monotonic() - since
        time.sleep(0.01)
    raise AssertionError("It did not happen.")


def ready(server):
    [(count,)] = server.query("select count(*) from title where tmdb_state = 'ready'")
    return count


def stopped(server):
    rows = server.query("select value from setting where key = 'provider.tmdb'")
    return bool(rows) and "rejected the key" in rows[0][0]


def test_a_wrong_and_then_a_right_key_are_known_to_both_within_a_second(server, admin, standin):
    assert standin.tmdb.asked == []
    # Long enough without work for the worker to look for tasks as seldom as it ever does.
    time.sleep(6)
    saved = admin.post("/admin/providers/tmdb", tmdb_api_key="bad")
    assert seconds_until(lambda: standin.tmdb.asked, saved) < SOON
    assert seconds_until(lambda: stopped(server), saved) < SOON + 1
    assert "TMDB was stopped" in admin.search()

    time.sleep(6)
    asked = len(standin.tmdb.asked)
    saved = admin.post("/admin/providers/tmdb", tmdb_api_key=RIGHT)
    assert "Moonquake" in admin.search()
    assert seconds_until(lambda: len(standin.tmdb.asked) > asked + 2, saved) < SOON
    seconds_until(lambda: ready(server) == len(stand.FILM_IDS), saved)
    for name in ("web", "worker"):
        assert RIGHT not in server.log(name).read_text()


def test_a_key_that_changes_in_the_middle_of_the_work_is_used_within_a_second(
    server, admin, standin
):
    standin.tmdb.latency = 1.0
    admin.post("/admin/providers/tmdb", tmdb_api_key="bad-to-be", tmdb_pace="2")
    seconds_until(lambda: len(standin.tmdb.asked) >= 3, time.monotonic())
    saved = admin.post("/admin/providers/tmdb", tmdb_api_key=OTHER, tmdb_pace="36")
    asked = len(standin.tmdb.asked)
    # Two a second before: so many at once are asked at the new pace.
    assert seconds_until(lambda: len(standin.tmdb.asked) >= asked + 8, saved) < SOON
    standin.tmdb.latency = 0
    seconds_until(lambda: ready(server) == len(stand.FILM_IDS), saved)
    assert "enrichment.account_changed" in server.log("worker").read_text()
    assert [server.query("select count(*) from job where kind = 'enrich'")[0][0]] == [1]
