"""Data & Backup when something is wrong: what the page, the API and the night say."""

import json
import os
import re

import pytest

from mm import locks, models
from mm.database import db
from mm.models import Job, Movie
from mm.services import jobs
from mm.services.backup import backups, nightly, policies, recheck, schedule
from mm.services.backup import files as backup_files
from mm.services.backup.retention import Policy
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
        assert "can’t be reached (Permission denied)" in answer.text
        assert closed not in answer.text
    codes = [
        record.fields["code"] for record in caplog.records if record.msg == "backup_folder.failed"
    ]
    assert codes[-1] in answer.text
    assert len(codes) == 4


def test_the_account_page_works_beside_a_folder_that_may_not_be_read(closed, alice, page):
    answer = page.get("/account")
    assert answer.status_code == 200
    assert "can’t be reached (Permission denied)" in answer.text
    assert "There is no good backup" not in answer.text
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
    assert "overdue" in answer.text
    with db.connection_context():
        backups.sweep()


def test_a_night_in_a_folder_that_may_not_be_read_fails_with_the_same_words(closed, alice):
    with db.connection_context():
        job = nightly.enable(alice, True)
        jobs.run(job.id, nightly.run, nightly.failed)
        said = reload(alice).last_error
        assert "can’t be reached (Permission denied)" in said
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
    assert "The last backup failed" in page.get("/backup").text
    with db.connection_context():
        backups.create(alice)
        user = reload(alice)
        assert (user.last_error, user.failed_tries) == (None, 0)
        assert schedule.next_run(user) == models.clock.now(), "the night is made up for at once"
    text = page.get("/backup").text
    assert "The last backup failed" not in text
    assert "Not enough disk space" not in text
    assert "Your library is safe" in text


def test_a_failed_night_is_no_longer_shown_when_automatic_backups_are_switched_off(failed, page):
    page.post("/backup/auto", data={"enabled": "0"})
    text = page.get("/backup").text
    assert "Backed up, automatic backups are off" in text
    assert "Not enough disk space" not in text


def test_switching_on_what_is_on_hides_no_failure(failed, page, as_user, alice):
    as_user(alice).put("/api/backup/settings", json={"backup_enabled": True})
    assert "The last backup failed" in page.get("/backup").text


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


# How long backups are kept.

FORM = {"keep_daily": "0", "keep_weekly": "2", "keep_monthly": "none", "keep_yearly": ""}


@pytest.fixture
def nights(alice, frozen_clock):
    """Eight nights, 1 to 8 March 2026: a Sunday to the next."""
    with db.connection_context():
        put(alice, many(3))
        for _ in range(8):
            nightly.run_scheduled(alice.id)
            frozen_clock.move(DAY)


def names(alice):
    with db.connection_context():
        return sorted(entry.filename for entry in backups.listing(alice.id))


def march(*days):
    return [f"2026-03-{day:02}.json" for day in days]


def test_the_switch_says_what_is_kept(alice, page):
    said = "Saves your library daily on the server ({} retained)".format
    assert said("14 days") in words(page.get("/backup"))
    with db.connection_context():
        policies.save(alice, Policy(7, 4, 12, 1))
    assert said("7 days, 4 weeks, 12 months and 1 year") in words(page.get("/backup"))
    with db.connection_context():
        policies.save(alice, Policy(0))
    assert said("the 3 newest") in words(page.get("/backup"))


def test_the_preview_names_what_goes_and_changes_nothing(alice, page, nights):
    text = words(page.get("/backup/retention", query_string=FORM))
    assert "4 backups will no longer be kept." in text
    assert "They are deleted in the next nights, at most 3 each night." in text
    for day in (2, 3, 4, 5):
        assert f"{day} Mar 2026, 12:00 · Automatic · 3 films" in text
    assert "Delete these 4 now" in text
    assert names(alice) == march(*range(1, 9))
    assert "14 days retained" in words(page.get("/backup"))


def test_a_preview_of_one_backup_speaks_of_one(page, nights):
    form = {"keep_daily": "4 days", "keep_weekly": "2 weeks", "keep_monthly": "0"}
    text = words(page.get("/backup/retention", query_string=form))
    assert "2 backups will no longer be kept. They are deleted the next night." in text
    text = words(page.get("/backup/retention", query_string={**form, "keep_daily": "5 days"}))
    assert "1 backup will no longer be kept. It is deleted the next night." in text
    assert "Delete it now" in text


def test_a_preview_of_a_policy_that_keeps_them_all_says_so(alice, page, nights):
    text = words(page.get("/backup/retention", query_string={"keep_daily": "2 weeks"}))
    assert "No backup is deleted by this." in text
    assert "Delete these" not in text


def test_a_policy_is_saved_and_deletes_nothing_at_once(alice, page, nights, frozen_clock):
    answer = page.post("/backup/retention", data=FORM)
    assert (answer.status_code, answer.location) == (303, "/backup")
    text = words(page.get("/backup"))
    assert "Saved: 2 weeks kept." in text
    assert "(2 weeks retained)" in text
    assert text.count("To be deleted next: older than the backups that are kept") == 3
    assert text.count("To be deleted: at most 3 files go in one night") == 1
    assert names(alice) == march(*range(1, 9))
    with db.connection_context():
        nightly.run_scheduled(alice.id)
    # A Monday: three files went, the oldest first, and that of the week before last is one.
    assert names(alice) == march(4, 5, 6, 7, 8, 9)


def test_the_owner_may_delete_all_of_it_now(alice, page, nights):
    form = {**FORM, "now": "1", "filename": march(2, 3, 4, 5)}
    page.post("/backup/retention", data=form)
    assert "4 backups deleted." in words(page.get("/backup"))
    assert names(alice) == march(1, 6, 7, 8)


@pytest.mark.parametrize(
    "confirmed, gone",
    [
        (march(3), march(3)),
        ([], []),
        # What the policy keeps stays, whoever names it, and so does another's.
        ([*march(1, 8), "../2026-03-03.json", "x"], []),
    ],
)
def test_only_what_was_shown_and_is_no_longer_kept_is_deleted_now(
    alice, page, nights, confirmed, gone
):
    page.post("/backup/retention", data={**FORM, "now": "1", "filename": confirmed})
    assert names(alice) == sorted({*march(*range(1, 9))} - {*gone})


@pytest.mark.parametrize("method", ["get", "post"])
def test_what_cannot_be_read_is_told_at_its_field_and_changes_nothing(alice, page, nights, method):
    form = {**FORM, "keep_daily": "a while", "keep_yearly": "101"}
    send = {"get": "query_string", "post": "data"}[method]
    answer = getattr(page, method)("/backup/retention", **{send: form})
    assert answer.status_code == 422
    text = words(answer)
    assert "Days: write a number of days, such as 14, 14 days or 2 weeks." in text
    assert "Years: can be 0 to 100 years." in text
    assert 'value="a while"' in answer.text
    assert "14 days retained" in words(page.get("/backup"))
    assert names(alice) == march(*range(1, 9))


def test_nothing_is_deleted_or_saved_while_a_backup_runs(alice, page, nights, monkeypatch):
    monkeypatch.setattr(backups, "DELETE_WAITS_SECONDS", 0)
    with locks.hold(f"library-{alice.id}"):
        answer = page.post("/backup/retention", data={**FORM, "now": "1", "filename": march(3)})
    assert answer.status_code == 409
    assert "14 days retained" in words(page.get("/backup"))
    assert names(alice) == march(*range(1, 9))


def test_htmx_gets_the_form_alone_and_the_other_parts_are_told(alice, page, nights):
    asked = {"HX-Request": "true", "HX-Request-Type": "partial"}
    text = page.get("/backup/retention", query_string=FORM, headers=asked).text
    assert text.lstrip().startswith('<section id="retention"')
    answer = page.post("/backup/retention", data=FORM, headers=asked)
    assert answer.text.lstrip().startswith('<section id="retention"')
    assert 'value="2 weeks"' in answer.text
    assert "backups" in json.loads(answer.headers["HX-Trigger"])


def test_a_policy_is_for_its_user_alone(alice, bob, page, nights):
    page.post("/backup/retention", data=FORM)
    with db.connection_context():
        assert policies.of(reload(bob)) == Policy()


def test_each_row_says_until_when_it_is_kept_and_can_be_pinned(alice, page, nights):
    assert "Kept until 15 Mar" in words(page.get("/backup"))
    address = f"/backup/files/{march(1)[0]}/pin"
    assert page.post(address, data={"pinned": "1"}).status_code == 303
    text = page.get("/backup").text
    assert "Pinned: it stays until you unpin it." in text
    assert "Pinned: kept until you unpin it" in text
    assert 'aria-label="Unpin the backup of Sunday 1 March 2026' in text
    page.post(address, data={"pinned": "0"})
    assert "kept until you unpin it" not in page.get("/backup").text


def test_a_damaged_backup_offers_no_pin_and_is_not_pinned(alice, made, page):
    with db.connection_context():
        backups.path_of(alice.id, made.filename).write_bytes(b"{}")
    assert "Pin the backup of" not in page.get("/backup").text
    answer = page.post(f"/backup/files/{made.filename}/pin", data={"pinned": "1"})
    assert answer.status_code == 422
    assert "is damaged" in words(answer)


def test_the_automatic_pin_of_a_large_drop_can_be_taken_off(alice, page, frozen_clock):
    with db.connection_context():
        put(alice, many(40))
        before = nightly.run_scheduled(alice.id)
        Movie.delete().where(Movie.id > 15).execute()
        models.touch_library(db.obj, alice.id)
        frozen_clock.move(DAY)
        nightly.run_scheduled(alice.id)
    assert "Last before a large drop" in page.get("/backup").text
    page.post(f"/backup/files/{before.filename}/pin", data={"pinned": "0"})
    text = page.get("/backup").text
    assert "arge drop" not in text
    assert "under half of its" not in text
    frozen_clock.move(DAY)
    with db.connection_context():
        nightly.run_scheduled(alice.id)
        assert not any(entry.pinned for entry in backups.listing(alice.id))


def test_what_the_nightly_check_finds_damaged_is_named_on_the_page(alice, made, page):
    path = backup_files.folder_of(alice.id) / made.filename
    path.write_bytes(path.read_bytes().replace(b'"version"', b'"Version"'))
    assert "is damaged" not in page.get("/backup").text
    with db.connection_context():
        recheck.run(Job.create(kind="recheck"))
    text = words(page.get("/backup"))
    assert f"{made.filename} is damaged: its content was changed or damaged" in text


def words(answer):
    """What is read on the page, with single spaces."""
    return " ".join(re.sub(r"<[^>]+>", " ", answer.text).split()).replace(" .", ".")
