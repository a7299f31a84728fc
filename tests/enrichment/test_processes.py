"""A real consumer fills titles, and is killed and stopped while it does."""

import time

import pytest

from mm import models
from mm.database import db, insert_rows
from mm.models import Movie, User
from tests.support import processes
from tests.support import standin as stand

pytestmark = [pytest.mark.processes, pytest.mark.slow]
PATIENCE = 60


@pytest.fixture
def server(tmp_path, standin):
    """Not started; its providers are the stand-in, slow enough to be interrupted."""
    standin.tmdb.latency = 0.3
    keys = {"TMDB_API_KEY": "standin-tmdb-key", "OMDB_API_KEY": "standin-omdb-key"}
    with processes.running(tmp_path / "data", **standin.environ, **keys) as server:
        with db.connection_context():
            add_library()
        db.obj.close()
        yield server


def add_library():
    user = User.create(
        email="a@example.org",
        email_key="a@example.org",
        username="a",
        username_key="a",
        password_hash="",
    )
    models.ensure_titles(db.obj, stand.FILM_IDS)
    fields = [
        Movie.user,
        Movie.title,
        Movie.status,
        Movie.date_added,
        Movie.last_modified,
        Movie.updated_at,
    ]
    insert_rows(
        db.obj, fields, ((user.id, imdb_id, "toWatch", 1.0, 1.0, 1.0) for imdb_id in stand.FILM_IDS)
    )


def ready(server):
    return {
        imdb_id
        for (imdb_id,) in server.query("select imdb_id from title where tmdb_state = 'ready'")
    }


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("It did not happen within a minute.")


def asked_for(paths):
    return {path.rsplit("/", 1)[-1] for path in paths if "/find/" in path}


def test_a_killed_consumer_continues_where_it_stopped(server, standin):
    server.start("worker")
    wait_for(lambda: ready(server))
    server.kill("worker")
    done, asked = ready(server), len(standin.tmdb.asked)
    assert len(done) < len(stand.FILM_IDS)

    server.start("worker")
    wait_for(lambda: len(ready(server)) == len(stand.FILM_IDS))
    assert not asked_for(standin.tmdb.asked[asked:]) & done
    wait_for(lambda: server.query("select state from job where kind = 'enrich'") == [("done",)])
    assert standin.tmdb.peak <= 40


def test_a_stopped_consumer_exits_at_once_and_leaves_its_job_queued(server, standin):
    server.start("worker")
    wait_for(lambda: ready(server))
    server.stop("worker")
    done = ready(server)

    assert len(done) < len(stand.FILM_IDS)
    assert server.query("select state from job where kind = 'enrich'") == [("queued",)]
    assert "interrupting workers" not in server.log("worker").read_text()

    # A queued row is taken up again once it is a minute old.
    server.query("update job set created_at = created_at - 120")
    server.start("worker")
    wait_for(lambda: len(ready(server)) == len(stand.FILM_IDS))


def test_the_workers_log_never_contains_a_key(server, standin):
    standin.tmdb.fault, standin.tmdb.times = "error", 2
    standin.omdb.fault = "wrong_key"
    server.start("worker")
    wait_for(lambda: len(ready(server)) == len(stand.FILM_IDS))

    assert "standin-tmdb-key" not in server.log("worker").read_text()
    assert "standin-omdb-key" not in server.log("worker").read_text()
