"""Data & Backup when something is wrong: what the page, the API and the night say."""

import io
import json
import os
import re
from pathlib import Path

import pytest

from mm import config, locks, models, tasks
from mm.database import db
from mm.errors import NoRoomError
from mm.models import Job, Movie
from mm.services import jobs
from mm.services.backup import backups, nightly, policies, recheck, schedule, uploads
from mm.services.backup import files as backup_files
from mm.services.backup.retention import Policy
from tests.support.libraries import as_bytes, many, put, reload

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


# What the system says, and what is told of it.

WRITING = "The server could not write the backup. Your earlier backups are safe."


@pytest.fixture
def blocked(alice, page):
    """Something else has the name of Alice's folder."""
    with db.connection_context():
        put(alice, many(3))
        path = backup_files.folder_of(alice.id)
    path.write_text("not a folder")
    return path


def assert_told(text, lines, path, sentence=WRITING):
    """A sentence and a code on the page; the path, under the same code, in the log."""
    told = re.search(
        rf"{sentence} Ask whoever runs this server \(details in the log, code (\w+)\)", text
    )
    assert told, text
    assert str(path) not in text
    assert str(path.parent) not in text
    assert "File exists" not in text
    assert "Error" not in text.partition("<main")[2]
    log = "\n".join(lines())
    [_, details] = log.split(f"code={told[1]}")
    assert "FileExistsError" in details
    assert str(path) in details


def test_a_backup_that_cannot_be_written_is_told_without_the_words_of_the_system(
    blocked, alice, page, lines
):
    shown = page.post("/backup/now").location
    with db.connection_context():
        jobs.run(Job.get().id, *tasks.WORK["backup"])
    for address in (shown, "/backup"):
        assert WRITING in page.get(address).text
    assert_told(page.get(shown).text, lines, blocked)


def test_so_is_a_night(blocked, alice, page, lines):
    page.post("/backup/auto", data={"enabled": "1"})
    with db.connection_context():
        jobs.run(Job.get().id, *tasks.WORK["backup"])
    assert_told(page.get("/backup").text, lines, blocked)


def test_so_is_a_backup_made_through_the_api(blocked, alice, as_user, lines):
    api = as_user(alice)
    answer = api.post("/api/backup/create")
    assert answer.status_code == 503
    assert_told(answer.json["detail"], lines, blocked)
    assert api.get("/api/backup/list").json["last_error"] == answer.json["detail"]


def test_so_is_the_safety_copy_of_an_import(blocked, alice, as_user, lines):
    answer = as_user(alice).post("/api/backup/import", json=many(5, start=100))
    assert answer.status_code == 503
    assert_told(answer.json["detail"], lines, blocked)
    with db.connection_context():
        assert reload(alice).movies.count() == 3


def plan_shown(page, address):
    return re.search(r'name="plan" value="(\w+)"', page.get(address).text)[1]


def test_so_is_an_import_whose_file_the_disk_cannot_read(alice, made, page, lines, monkeypatch):
    path = config.current.tmp_dir / "hidden.json"

    def refuse(job):
        raise FileExistsError(17, "File exists", str(path))

    plan = page.post("/backup/import", data={"file": (io.BytesIO(as_bytes(many(9))), "x.json")})
    form = {"plan": plan_shown(page, plan.location)}
    shown = page.post(f"{plan.location}/confirm", data=form).location
    monkeypatch.setattr(uploads, "data_of", refuse)
    with db.connection_context():
        jobs.run(shown.rsplit("/", 1)[1], *tasks.WORK["import"])
    sentence = "Something went wrong on the server. Your library was not changed."
    assert_told(page.get(shown).text, lines, path, sentence)


def test_a_file_that_the_disk_cannot_read_is_named_damaged_with_a_code(
    alice, made, page, lines, monkeypatch
):
    path = backup_files.folder_of(alice.id) / made.filename

    read = Path.read_bytes

    def refuse(self):
        if self == path:
            raise OSError(5, "Input/output error", str(self))
        return read(self)

    page.post(f"/backup/files/{made.filename}/verify")
    with monkeypatch.context() as patched, db.connection_context():
        patched.setattr(Path, "read_bytes", refuse)
        jobs.run(Job.get().id, *tasks.WORK["verify"])
    text = page.get("/backup").text
    code = re.search(r"can’t be read \(details in the log, code (\w+)\)", text)[1]
    assert "Input/output" not in text
    assert str(path) in "\n".join(lines()).split(f"code={code}")[1]


def test_a_manual_backup_that_failed_is_told_until_one_is_good(alice, made, page, frozen_clock):
    with db.connection_context():
        frozen_clock.move(DAY)
        job = jobs.create("backup", alice.id, {"kind": "manual"})
        jobs.run(job.id, refuse_room, nightly.failed)
    text = page.get("/backup").text
    assert "Today’s backup failed" in text
    assert "The one from yesterday is fine." in text
    assert "9 MB needed" in text
    with db.connection_context():
        frozen_clock.move(60)
        backups.create(alice)
    assert "backup failed" not in page.get("/backup").text


def refuse_room(job):
    raise NoRoomError("Not enough disk space: 9 MB needed, 0 MB free.")


# Automatic backups, offered already ticked.


def offered(text):
    return 'name="nightly"' in text


def test_the_empty_library_offers_automatic_backups_and_begins_with_them(alice, page):
    assert offered(page.get("/").text)
    form = {"nightly_offered": "1", "nightly": "1", "go": "import"}
    assert page.post("/backup/begin", data=form).location == "/backup#import"
    with db.connection_context():
        user = reload(alice)
        assert user.backup_enabled
        assert schedule.next_run(user) == pytest.approx(models.clock.now() + 15 * 60, abs=5)
        assert Job.select().count() == 0
    assert not offered(page.get("/").text)


def test_who_unticks_it_is_not_asked_again(alice, page):
    form = {"nightly_offered": "1", "go": "add"}
    assert page.post("/backup/begin", data=form).location == "/add"
    assert not reload(alice).backup_enabled
    assert not offered(page.get("/").text)
    page.post("/backup/begin", data={**form, "nightly": "1"})
    assert not reload(alice).backup_enabled
    plan = page.post("/backup/import", data=a_file()).location
    assert not offered(page.get(plan).text)


@pytest.mark.parametrize("surface", ["page", "api"])
def test_who_switched_them_off_by_hand_stays_off(alice, page, as_user, surface):
    for enabled in (True, False):
        if surface == "page":
            page.post("/backup/auto", data={"enabled": "1" if enabled else "0"})
        else:
            as_user(alice).put("/api/backup/settings", json={"backup_enabled": enabled})
    assert not offered(page.get("/").text)
    plan = page.post("/backup/import", data=a_file()).location
    assert not offered(page.get(plan).text)


def test_the_first_import_offers_them_and_backs_up_what_it_brought(alice, page):
    with db.connection_context():
        put(alice, many(3, start=100))
    plan = page.post("/backup/import", data=a_file()).location
    assert offered(page.get(plan).text)
    form = {"plan": plan_shown(page, plan), "nightly_offered": "1", "nightly": "1"}
    shown = page.post(f"{plan}/confirm", data=form).location
    assert reload(alice).backup_enabled
    with db.connection_context():
        jobs.run(shown.rsplit("/", 1)[1], *tasks.WORK["import"])
        due = [job for job in schedule.due_jobs() if job.kind == "backup"]
        assert [job.user_id for job in due] == [alice.id]


def test_a_confirmation_that_is_refused_switches_nothing_on(alice, page):
    plan = page.post("/backup/import", data=a_file()).location
    form = {"plan": "another", "nightly_offered": "1", "nightly": "1"}
    assert page.post(f"{plan}/confirm", data=form).status_code == 409
    assert not reload(alice).backup_enabled


def test_a_restore_offers_nothing(alice, made, page):
    plan = page.post(f"/backup/files/{made.filename}/restore").location
    assert not offered(page.get(plan).text)


def test_from_the_tenth_film_on_the_library_says_that_automatic_backups_are_off(alice, page):
    with db.connection_context():
        put(alice, many(9))
    assert "Automatic backups are off" not in page.get("/").text
    with db.connection_context():
        put(alice, many(1, start=100))
    assert "Automatic backups are off" in page.get("/").text
    page.post("/backup/auto", data={"enabled": "1"})
    assert page.get("/").text.count("Automatic backups are on") == 1  # the toast
    assert "Automatic backups are off" not in page.get("/").text


def a_file():
    return {"file": (io.BytesIO(as_bytes(many(5))), "library.json")}


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
