"""While the whole server is restored, reads go on and nobody writes; and nobody sees some rows from
before and some from after."""

import sqlite3
import threading

import pytest

from mm import auth, config, maintenance, models, tasks
from mm.database import db, snapshot
from mm.maintenance import MaintenanceError, RestoredError
from mm.models import Job, Movie, User
from mm.services import health, heartbeat, jobs, problems
from mm.services.enrichment import runner
from mm.services.library import browse
from mm.services.server import restore
from tests.support.libraries import many, put


@pytest.fixture
def under_maintenance(app):
    maintenance.begin("test")
    maintenance.close("test")
    yield
    maintenance.end()


def restore_elsewhere():
    """As another process does it."""
    other = sqlite3.connect(config.current.data_dir / "mm.db")
    other.execute(f"PRAGMA user_version = {other.execute('PRAGMA user_version').fetchone()[0] + 1}")
    other.commit()
    other.close()


def test_a_page_is_shown_and_a_form_is_refused_with_the_time_to_wait(page, under_maintenance):
    assert page.get("/").status_code == 200
    answer = page.post("/logout")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "10"
    assert "being restored" in answer.get_data(as_text=True)


def test_a_form_is_refused_in_words_also_where_the_restore_ends_meanwhile(
    page, under_maintenance, monkeypatch
):
    """The page that says so has to know who is logged in."""
    load, moments = auth._active_account, iter([restore_elsewhere])

    def active_account(*session):
        db.connect(reuse_if_open=True)
        next(moments, lambda: None)()
        return load(*session)

    monkeypatch.setattr(auth, "_active_account", active_account)
    answer = page.post("/logout")
    assert answer.status_code == 503
    assert "being restored" in answer.get_data(as_text=True)


def test_the_page_of_a_film_that_was_never_looked_up_is_shown(page, alice):
    """Although it would move the film up in the queue."""
    with db.connection_context():
        put(alice, many(1))
    maintenance.begin("test")
    maintenance.close("test")
    assert page.get("/movies/tt0000001").status_code == 200
    maintenance.end()


def test_the_api_reads_and_refuses_changes_before_it_asks_who_one_is(
    client, as_user, alice, under_maintenance
):
    assert as_user(alice).get("/api/movies").status_code == 200
    for answer in (
        client.post("/api/auth/login", json={}),
        as_user(alice).post("/api/auth/logout-all"),
        as_user(alice).post("/api/backup/import", data=b"x" * 100),
    ):
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "10"
        assert "being restored" in answer.get_json()["detail"]


def test_an_unknown_address_is_still_unknown(client, under_maintenance):
    assert client.post("/api/nothing").status_code == 404


def test_every_write_is_refused_and_leaves_no_transaction_open(database, alice, under_maintenance):
    with pytest.raises(MaintenanceError), db.atomic():
        raise AssertionError("not reached")
    with pytest.raises(MaintenanceError):
        User.update(username="x").execute()
    with pytest.raises(MaintenanceError):
        jobs.create("archive")
    assert not database.connection().in_transaction
    assert User.get().username == "alice"
    with maintenance.exempt(), db.atomic():
        User.update(username="alison").execute()
    assert User.get().username == "alison"


def test_what_runs_already_may_write_until_it_has_ended(database, alice):
    maintenance.begin("test")
    User.update(username="alison").execute()
    assert User.get().username == "alison"
    maintenance.end()
    assert not maintenance.is_on()


def test_a_file_made_by_hand_holds_writes_up_too(database, alice):
    config.current.maintenance_file.touch()
    with pytest.raises(MaintenanceError):
        User.update(username="x").execute()
    maintenance.end()


def test_a_file_that_cannot_be_read_holds_writes_up_and_health_names_the_way_out(database, alice):
    config.current.maintenance_file.mkdir()
    with pytest.raises(maintenance.MaintenanceError):
        put(alice, many(1))
    config.current.maintenance_file.rmdir()
    config.current.maintenance_file.touch()
    assert any("flask --app mm upgrade" in text for text in health.check()["problems"])
    restore.recover()
    assert not any("is being restored" in text for text in health.check()["problems"])
    put(alice, many(1))


def test_no_job_is_begun_and_it_is_still_to_be_done_afterwards(database, alice):
    job = jobs.create("tidying")
    maintenance.begin("test")
    assert jobs.run(job.id, lambda job: {}) is True
    assert Job.get_by_id(job.id).state == "queued"
    maintenance.end()
    assert jobs.run(job.id, lambda job: {}) is False
    assert Job.get_by_id(job.id).state == "done"


def test_a_tick_only_shows_that_the_worker_lives(database, alice, under_maintenance, monkeypatch):
    done = []
    parts = {part: (what, lambda part=part: done.append(part)) for part, (what, _) in PARTS.items()}
    monkeypatch.setattr(tasks, "PARTS", parts)
    # Somebody is at it: otherwise the tick would end what nobody does.
    monkeypatch.setattr(tasks.restore, "recover", lambda: None)
    thread = threading.Thread(target=tasks.tick.call_local)
    thread.start()
    thread.join()
    assert done == ["queue"]
    assert heartbeat.last_beat() is not None
    assert problems.texts() == []


PARTS = tasks.PARTS


def test_the_look_up_of_titles_stops_at_its_next_step(database):
    assert not runner.must_stop()
    maintenance.begin("test")
    assert runner.must_stop()
    maintenance.end()


def test_a_connection_from_before_a_restore_reads_and_writes_no_more(database, alice):
    assert User.select().count() == 1
    restore_elsewhere()
    for use in (
        lambda: User.select().count(),
        lambda: User.update(username="x").execute(),
        lambda: models.put_setting("x", 1),
    ):
        with pytest.raises(RestoredError):
            use()
    with pytest.raises(RestoredError), snapshot(database):
        raise AssertionError("not reached")
    assert not database.connection().in_transaction
    database.accept_restored()
    assert User.select().count() == 1


def test_a_transaction_goes_on_with_the_data_it_began_with(database, alice):
    put(alice, many(10))
    with snapshot(database):
        assert Movie.select().count() == 10
        restore_elsewhere()
        assert Movie.select().count() == 10
    with pytest.raises(RestoredError):
        Movie.select().count()


def test_each_thread_has_its_own_connection_and_its_own_beginning(database, alice):
    restore_elsewhere()
    counts = []

    def count():
        with db.connection_context():
            counts.append(User.select().count())

    thread = threading.Thread(target=count)
    thread.start()
    thread.join()
    assert counts == [1]


def test_a_request_after_a_restore_is_answered(page, alice):
    assert page.get("/").status_code == 200
    restore_elsewhere()
    assert page.get("/").status_code == 200


def test_a_request_in_the_middle_of_a_restore_is_told_to_come_again(page, alice, monkeypatch):
    real = browse.page

    def page_after_a_restore(*args):
        restore_elsewhere()
        return real(*args)

    monkeypatch.setattr(browse, "page", page_after_a_restore)
    answer = page.get("/")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
