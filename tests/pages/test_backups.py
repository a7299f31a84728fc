"""Data & Backup when something is wrong: what the page, the API and the night say."""

import os

import pytest

from mm import models
from mm.database import db
from mm.models import Job
from mm.services import jobs
from mm.services.backup import backups, nightly, schedule
from mm.services.backup import files as backup_files
from tests.support.libraries import many, put, reload

DAY = 86400


@pytest.fixture
def made(alice, frozen_clock):
    """A backup of Alice's."""
    with db.connection_context():
        put(alice, many(3))
        return backups.create(alice)


# A folder that the server may not enter.


@pytest.fixture
def closed(alice, made, monkeypatch):
    """Alice's folder belongs to somebody else. By pretence, because root may do anything."""
    refused = str(backup_files.folder_of(alice.id))

    def refuse(real):
        def checked(path, *args, **kwargs):
            if str(path).startswith(refused):
                raise PermissionError(13, "Permission denied", str(path))
            return real(path, *args, **kwargs)

        return checked

    for name in ("scandir", "mkdir", "open", "listdir"):
        monkeypatch.setattr(os, name, refuse(getattr(os, name)))
    return refused


def test_a_folder_that_may_not_be_read_is_told_in_plain_words_with_a_code(
    closed, alice, page, as_user, caplog
):
    api = as_user(alice)
    for answer in (
        page.get("/backup"),
        page.post("/backup/now"),
        api.get("/api/backup/list"),
        api.post("/api/backup/create"),
    ):
        assert answer.status_code == 503
        assert "can’t be reached. Ask" in answer.text
        assert closed not in answer.text
    codes = [
        record.fields["code"] for record in caplog.records if record.msg == "backup_folder.failed"
    ]
    assert codes[-1] in answer.text
    assert len(codes) == 4


def test_the_account_page_works_beside_a_folder_that_may_not_be_read(closed, alice, page):
    answer = page.get("/account")
    assert answer.status_code == 200
    assert "can’t be reached. Ask" in answer.text
    assert "Not backed up yet" not in answer.text
    answer = page.post("/account/password", data={"current": "wrong", "new": "long enough 1"})
    assert (answer.status_code, "current password is incorrect" in answer.text) == (422, True)
    assert page.post("/account/end-sessions").location == "/login"
    assert page.get("/account").status_code == 303


def test_other_pages_only_warn_of_a_folder_that_may_not_be_read(closed, alice, page, frozen_clock):
    with db.connection_context():
        nightly.enable(alice, True)
    frozen_clock.move(3 * DAY)
    answer = page.get("/people")
    assert answer.status_code == 200
    assert "Your backups can’t be reached." in answer.text
    with db.connection_context():
        backups.sweep()


def test_a_night_in_a_folder_that_may_not_be_read_fails_with_the_same_words(closed, alice):
    with db.connection_context():
        job = nightly.enable(alice, True)
        jobs.run(job.id, nightly.run, nightly.failed)
        said = reload(alice).last_error
        assert "can’t be reached. Ask" in said
        assert Job.get_by_id(job.id).message == said


def test_a_sidecar_with_an_impossible_time_does_not_break_the_page(alice, made, page):
    path = backup_files.folder_of(alice.id) / made.filename
    with db.connection_context():
        sidecar = backup_files.read_sidecar(path)
        sidecar.created_at = 1e300
        backup_files.write_sidecar(path, sidecar)
    answer = page.get("/backup")
    assert (answer.status_code, "Not verified" in answer.text) == (200, True)


# The alarm after a failure.


@pytest.fixture
def failed(alice, made, frozen_clock):
    """Last night failed."""
    with db.connection_context():
        job = nightly.enable(alice, True)
        jobs.run(job.id, nightly.run, nightly.failed)
        frozen_clock.move(DAY)
        schedule.postpone(reload(alice), "Not enough disk space: 9 MB needed, 0 MB free.")


def test_a_failed_night_is_shown_until_a_backup_made_by_hand_is_good(failed, alice, page):
    assert "Today’s backup failed" in page.get("/backup").text
    with db.connection_context():
        backups.create(alice)
        user = reload(alice)
        assert (user.last_error, user.failed_tries) == (None, 0)
        assert schedule.next_run(user) == models.clock.now(), "the night is made up for at once"
    text = page.get("/backup").text
    assert "backup failed" not in text
    assert "Not enough disk space" not in text
    assert "Everything is backed up" in text


def test_a_failed_night_is_no_longer_shown_when_automatic_backups_are_switched_off(failed, page):
    page.post("/backup/auto", data={"enabled": "0"})
    text = page.get("/backup").text
    assert "Backed up by hand only" in text
    assert "Not enough disk space" not in text


def test_switching_on_what_is_on_hides_no_failure(failed, page, as_user, alice):
    as_user(alice).put("/api/backup/settings", json={"backup_enabled": True})
    assert "Today’s backup failed" in page.get("/backup").text


# Files that are for one user only.


def test_no_proxy_or_browser_may_keep_an_export_a_backup_or_what_was_left_out(
    alice, made, page, as_user
):
    with db.connection_context():
        job = jobs.create("import", alice.id)
        errors = [{"path": "movies[0]", "reason": "bad"}]
        Job.update(state="done", result={"errors": errors}).where(Job.id == job.id).execute()
    api = as_user(alice)
    for answer in (
        page.get("/backup/export"),
        page.get(f"/backup/files/{made.filename}"),
        page.get(f"/backup/jobs/{job.id}/left-out"),
        api.get("/api/backup/export"),
        api.get(f"/api/backup/download/{made.filename}"),
    ):
        answer.get_data()
        answer.close()
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "private, no-store"


# Two clicks.


def test_of_two_clicks_one_is_taken_and_the_other_is_told_the_truth(alice, made, page):
    assert page.post("/backup/now").status_code == 303
    second = page.post("/backup/now")
    assert second.status_code == 409
    assert "waiting for its turn" in second.text


def test_a_look_at_what_runs_stops_nobody_who_starts_meanwhile(alice, made, monkeypatch):
    """The worker starts a job just when somebody clicks."""
    active, started = jobs.active, []

    def start_meanwhile(*args):
        started.append(backups.create(alice).state)
        return active(*args)

    with db.connection_context():
        monkeypatch.setattr(jobs, "active", start_meanwhile)
        backups.require_idle(alice.id)
    assert set(started) == {"verified"}
