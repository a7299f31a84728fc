"""Archives of the whole server on the page Server, and the restore of one, without a browser."""

import io
import json
import re
import zipfile

import pytest

from mm import clock, config, maintenance, tasks
from mm.database import db
from mm.models import Job, Movie
from mm.schemas import ArchiveSchedule
from mm.services import jobs, settings
from mm.services.server import archive_files, archives, databases
from tests.support.libraries import document, film, put

PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
def admin(app, carol):
    """Carol's browser, logged in."""
    client = app.test_client()
    client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    with client.session_transaction() as session:
        session["_user_id"] = carol.get_id()
    return client


@pytest.fixture
def films(alice):
    with db.connection_context():
        put(alice, document([film(1), film(2), film(3)]))


@pytest.fixture
def archive(app, carol, films):
    """Made by hand, to stay, with alice, carol and three films."""
    return make()


def make(**options):
    with db.connection_context():
        return archives.create(**options)


def work(kind):
    """Do the job of this kind that waits for the worker."""
    with db.connection_context():
        job = jobs.active(kind)
        jobs.run(job.id, *tasks.WORK[kind])
        return Job.get_by_id(job.id)


def path_of(entry):
    return archive_files.path_of(entry.timestamp)


def flip_a_byte(entry):
    path = path_of(entry)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


# The section.


def test_without_archives_the_section_says_what_one_is_and_how_much_room_it_needs(admin):
    text = admin.get("/admin").text
    assert "Everything on this server in one file" in text
    assert "back on another machine in ten minutes" in text
    assert "No archives yet" in text
    assert re.search(r"takes up to [\d.]+ [kM]B; [\d.]+ GB are free", text)
    assert "Switched off: archives are only made by hand." in text


def test_an_archive_is_a_row_with_its_contents_and_why_it_stays(admin, archive):
    text = admin.get("/admin").text
    assert "Made by hand" in text
    assert re.search(r"2 accounts, 3 films and settings</p>", text)
    assert "version 0.2.0" in text
    assert "Kept until you delete it" in text
    assert "Verified" in text


def test_many_archives_are_all_in_the_list_the_newest_first(admin, frozen_clock, archive):
    for _ in range(3):
        frozen_clock.move(60)
        make(kind="scheduled")
    text = admin.get("/admin").text
    assert text.count("history__row ") == 4
    assert text.index("<strong>Automatic") < text.index("Made by hand")
    assert "one of the 7 newest scheduled" in text


def test_a_damaged_archive_says_so_and_can_only_be_deleted_or_saved_with_a_warning(admin, archive):
    path_of(archive).write_bytes(path_of(archive).read_bytes()[:-100])
    text = admin.get("/admin").text
    assert "Damaged" in text
    assert "the file is incomplete" in text.lower()
    assert f"/admin/archives/{archive.timestamp}/restore" not in text
    warning = admin.get(f"/admin/archives/{archive.timestamp}").text
    assert "This archive is damaged" in warning
    with admin.get(f"/admin/archives/{archive.timestamp}?anyway=1") as answer:
        assert answer.mimetype == "application/zip"


def test_a_running_job_is_shown_with_its_progress(admin, app):
    with db.connection_context():
        job = jobs.create("archive", params={"kind": "manual"})
        Job.update(
            state="running", done=40, total=118, message="Copying", started_at=clock.now()
        ).execute()
    text = admin.get("/admin").text
    assert "Making an archive of the server…" in text
    assert "40 of 118 MB" in text
    assert f'hx-get="/admin/archives/jobs/{job.id}"' in text
    assert '<meta http-equiv="refresh"' in text


def test_with_postgresql_the_section_says_what_to_do_instead(admin, monkeypatch):
    monkeypatch.setattr(databases, "is_sqlite", lambda: False)
    text = admin.get("/admin").text
    assert "Archives of the whole server need SQLite" in text
    assert "pg_dump" in text
    assert "Back up now" not in text


# Making one.


def test_back_up_now_ends_in_a_link_that_downloads_by_itself(admin, films):
    answer = admin.post("/admin/archives", data={"settings": "1"}, headers=PARTIAL)
    job_id = re.search(r"/admin/archives/jobs/([\w-]+)", answer.text)[1]
    assert answer.headers["HX-Replace-Url"] == f"/admin?job={job_id}"
    job = work("archive")
    answer = admin.get(f"/admin/archives/jobs/{job_id}", headers=PARTIAL)
    assert "The archive is ready" in answer.text
    assert "It holds everybody’s password hashes: keep it somewhere safe." in answer.text
    assert "archives" in json.loads(answer.headers["HX-Trigger"])
    link = re.search(r'href="([^"]+)" download data-download="([^"]+)"', answer.text)
    assert link[2] == job_id
    with admin.get(link[1]) as downloaded:
        assert downloaded.headers["Cache-Control"] == "private, no-store"
        assert f"{job.result['timestamp']}.zip" in downloaded.headers["Content-Disposition"]
        names = zipfile.ZipFile(io.BytesIO(downloaded.data)).namelist()
    assert names == ["metadata.json", "database.db", "settings.json"]


def test_without_keep_an_archive_goes_an_hour_later_and_says_so(admin, films):
    admin.post("/admin/archives", data={"settings": "1"})
    work("archive")
    text = admin.get("/admin").text
    assert "To be downloaded; deleted <time" in text
    with db.connection_context():
        [entry] = archives.listing()
    assert entry.expires_at == pytest.approx(clock.now() + 3600, abs=30)


def test_the_ticks_of_the_form_are_what_the_job_does(admin, app):
    admin.post("/admin/archives", data={"posters": "1", "secrets": "1", "keep": "1"})
    with db.connection_context():
        params = jobs.active("archive").params
    given = {name: params[name] for name in ("posters", "settings", "database", "secrets", "keep")}
    assert given == {
        "posters": True,
        "settings": False,
        "database": True,
        "secrets": True,
        "keep": True,
    }


def test_a_second_one_at_the_same_time_is_refused_in_words(admin, app):
    admin.post("/admin/archives", data={})
    answer = admin.post("/admin/archives", data={}, headers=PARTIAL)
    assert answer.status_code == 409
    assert answer.headers["HX-Reswap"] == "none"
    assert (
        "An archive of the server" in json.loads(answer.headers["HX-Trigger"])["toast"]["message"]
    )
    assert admin.post("/admin/archives", data={}).status_code == 409


def test_a_failed_archive_says_why(admin, app):
    with db.connection_context():
        job = jobs.create("archive", params={"kind": "manual"})
        jobs.fail(job, "Not enough disk space: 200 MB needed, 3 MB free.")
    text = admin.get(f"/admin?job={job.id}").text
    assert "The archive failed" in text
    assert "Not enough disk space: 200 MB needed, 3 MB free." in text


def test_a_job_that_is_gone_does_not_hide_the_page(admin):
    assert admin.get("/admin?job=none").status_code == 200


def test_an_archive_without_a_description_is_tested_before_it_is_restored(admin, archive):
    address = f"/admin/archives/{archive.timestamp}"
    path_of(archive).with_name(f"{path_of(archive).name}.meta.json").unlink()
    text = admin.get("/admin").text
    assert "Not verified" in text
    assert "its description is missing" in text.lower()
    assert f"{address}/restore" not in text
    assert "Nobody knows what it holds: test it first." in admin.get(f"{address}/restore").text
    admin.post(f"{address}/check")
    work("archive-check")
    assert f"{address}/restore" in admin.get("/admin").text


# What can be done with one.


def test_a_download_is_taken_up_where_it_was_interrupted(admin, archive):
    whole = path_of(archive).read_bytes()
    address = f"/admin/archives/{archive.timestamp}"
    with admin.get(address, headers={"Range": "bytes=100-"}) as answer:
        assert answer.status_code == 206
        assert answer.data == whole[100:]


def test_a_test_finds_a_flipped_byte(admin, archive):
    flip_a_byte(archive)
    admin.post(f"/admin/archives/{archive.timestamp}/check", data={})
    job = work("archive-check")
    text = admin.get(f"/admin?job={job.id}").text
    assert "The test restore failed" in text
    assert "the sha256 differs" in text


def test_a_good_test_says_so(admin, archive):
    answer = admin.post(f"/admin/archives/{archive.timestamp}/check", data={}, headers=PARTIAL)
    assert "Testing the archive…" in answer.text
    job = work("archive-check")
    text = admin.get(f"/admin/archives/jobs/{job.id}", headers=PARTIAL).text
    assert "The archive can be restored" in text
    assert "data-download" not in text


def test_an_archive_is_pinned_and_unpinned(admin, archive):
    address = f"/admin/archives/{archive.timestamp}/pin"
    answer = admin.post(address, data={"pinned": "1"}, headers=PARTIAL)
    assert "Unpin the archive" in answer.text
    assert "Pinned" in answer.text
    answer = admin.post(address, data={"pinned": "0"}, headers=PARTIAL)
    assert "Unpin the archive" not in answer.text


def test_deleting_asks_first_and_says_what_is_left(admin, archive):
    address = f"/admin/archives/{archive.timestamp}/delete"
    text = admin.get(address).text
    assert "Delete this archive?" in text
    assert "No other verified archive is on this server." in text
    assert archives_listed() == [archive.timestamp]
    assert admin.post(address).location == "/admin"
    assert archives_listed() == []
    assert admin.get(address).status_code == 404


def archives_listed():
    with db.connection_context():
        return [entry.timestamp for entry in archives.listing()]


@pytest.mark.parametrize("name", ["x", "2026-01-01", "2026-01-01-00-00-00", "..%2f..%2fmm.db"])
def test_what_is_no_archive_is_not_found(admin, name):
    for rest in ("", "/restore", "/delete"):
        assert admin.get(f"/admin/archives/{name}{rest}").status_code == 404


# Adding one.


def test_an_archive_from_elsewhere_is_tested_and_listed(admin, archive):
    content = path_of(archive).read_bytes()
    admin.post(f"/admin/archives/{archive.timestamp}/delete")
    for _ in ("new", "there already"):
        answer = admin.post(
            "/admin/archives/upload",
            data={"file": (io.BytesIO(content), "x.zip")},
            headers=PARTIAL,
        )
        assert answer.status_code == 200
        sent = json.loads(answer.headers["HX-Trigger"])
        assert "is in the list" in sent["toast"]["message"]
        assert "archives" in sent
        assert "<strong>Uploaded" in admin.get("/admin").text
        assert archives_listed() == [archive.timestamp]


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04" + b"\0" * 100])
def test_a_file_that_is_no_archive_is_refused_beside_the_field(admin, content):
    answer = admin.post(
        "/admin/archives/upload",
        data={"file": (io.BytesIO(content), "x.zip")},
        headers=PARTIAL,
    )
    assert answer.status_code == 422
    problem = re.search(r"<div data-words>(.*?)</div>", answer.text)[1]
    assert "Backup file is corrupted" in problem
    assert archives_listed() == []
    whole = admin.post("/admin/archives/upload", data={"file": (io.BytesIO(content), "x.zip")})
    assert "Add an archive" in whole.text
    assert whole.status_code == 422


def test_no_file_at_all_is_said_beside_the_field(admin):
    answer = admin.post("/admin/archives/upload", data={"x": "1"}, headers=PARTIAL)
    assert answer.status_code == 422
    assert "Choose an archive first" in answer.text


# The schedule.

GOOD = {
    "enabled": "1",
    "time": "05:30",
    "days": ["mon", "sat"],
    "keep_last": "12",
    "include_posters": "1",
}


def test_the_schedule_is_saved_and_the_next_run_is_named(admin, frozen_clock):
    answer = admin.post("/admin/archives/schedule", data=GOOD, headers=PARTIAL)
    assert answer.status_code == 200
    # The first one is made at once.
    assert "Next archive: <time" in answer.text
    assert "within a minute" in answer.text
    with db.connection_context():
        assert settings.archives() == ArchiveSchedule(True, "05:30", ["mon", "sat"], 12, True)
    answer = admin.post("/admin/archives/schedule", data=GOOD | {"enabled": []}, headers=PARTIAL)
    assert "Switched off" in answer.text


@pytest.mark.parametrize(
    ("field", "value"),
    [("keep_last", "many"), ("keep_last", "-1"), ("keep_last", "9999999"), ("time", "25:00")],
)
def test_a_schedule_that_cannot_be_is_refused_beside_the_field(admin, field, value):
    answer = admin.post("/admin/archives/schedule", data=GOOD | {field: value}, headers=PARTIAL)
    assert answer.status_code == 422
    assert f'aria-describedby="wrong-{field}"' in answer.text
    assert f'id="wrong-{field}"' in answer.text
    assert value in answer.text
    with db.connection_context():
        assert settings.archives() == ArchiveSchedule()


def test_a_schedule_without_a_day_is_refused(admin):
    answer = admin.post("/admin/archives/schedule", data=GOOD | {"days": []}, headers=PARTIAL)
    assert answer.status_code == 422
    assert 'id="wrong-days"' in answer.text


# The restore.

ALL = {"part": ["database", "posters", "settings"], "confirm": "restore"}


def test_the_form_says_what_the_archive_holds_and_what_it_replaces(admin, archive, alice):
    with db.connection_context():
        put(alice, document([film(n) for n in range(1, 9)]))
    text = admin.get(f"/admin/archives/{archive.timestamp}/restore").text
    assert "Restore will replace all data. Continue?" in text
    rows = re.findall(r'<th scope="row">(\w+)</th> <td[^>]*>(\d+)</td> <td[^>]*>(\d+)</td>', text)
    assert rows == [("Accounts", "2", "2"), ("Films", "8", "3")]
    assert "Everybody is logged out" in text
    assert "safety archive" in text
    assert "older version" not in text
    assert re.search(r'value="database" checked', text)
    # It was made without posters.
    assert re.search(r'value="posters" disabled', text)
    assert "Not in this archive; what is here stays" in text


def test_an_archive_of_an_older_version_warns(admin, archive):
    path = path_of(archive)
    sidecar = archive_files.read_sidecar(path)
    sidecar.schema = "0001_initial"
    archive_files.write_sidecar(path, sidecar)
    text = admin.get(f"/admin/archives/{archive.timestamp}/restore").text
    assert "Backup from older version, may have issues" in text


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({**ALL, "confirm": ""}, "Type the word restore"),
        ({**ALL, "confirm": "yes"}, "Type the word restore"),
        ({"confirm": "restore"}, "Choose at least one part."),
    ],
)
def test_without_the_word_or_a_part_nothing_is_restored(admin, archive, form, words):
    answer = admin.post(f"/admin/archives/{archive.timestamp}/restore", data=form)
    assert answer.status_code == 422
    assert words in answer.text
    with db.connection_context():
        assert jobs.active("server-restore") is None


def test_a_restore_that_is_refused_says_why_on_its_page(admin, archive):
    admin.post("/admin/archives", data={})
    answer = admin.post(f"/admin/archives/{archive.timestamp}/restore", data=ALL)
    assert answer.status_code == 409
    assert "An archive of the server" in answer.text
    assert "Restore will replace all data. Continue?" in answer.text


def test_who_starts_a_restore_sees_its_outcome_without_a_log_in(admin, archive, client, alice):
    with db.connection_context():
        put(alice, document([film(n) for n in range(1, 9)]))
    answer = admin.post(
        f"/admin/archives/{archive.timestamp}/restore", data=ALL | {"confirm": " Restore "}
    )
    assert answer.status_code == 303
    address = answer.location
    assert re.fullmatch(r"/restored/[\w-]{20,}", address)

    waiting = client.get(address)
    assert "Restoring the server…" in waiting.text
    assert f'hx-get="{address}"' in waiting.text
    assert waiting.headers["Cache-Control"] == "no-store"
    assert waiting.headers["Referrer-Policy"] == "no-referrer"
    assert "log out" not in waiting.text.lower()
    # There is no worker in this test.
    assert "the background worker isn’t running" in waiting.text

    work("server-restore")
    outcome = client.get(address, headers=PARTIAL).text
    assert "The server is restored" in outcome
    # The administrator's next step, by the log-in.
    assert 'href="/admin/begin/keys"' in outcome
    assert "2 accounts with 3 films" in outcome
    assert "hx-get" not in outcome
    assert 'href="/login"' in outcome
    with db.connection_context():
        assert Movie.select().count() == 3
        [safety] = [entry for entry in archives.listing() if entry.kind == "before-restore"]
    assert safety.timestamp in outcome
    # Everybody's log-in has ended.
    assert admin.get("/admin").location.startswith("/login")


def test_nobody_else_finds_the_outcome(client, app):
    answer = client.get("/restored/none")
    assert answer.status_code == 404
    assert answer.headers["Cache-Control"] == "no-store"
    assert "There is no restore at this address." in answer.text


def test_while_the_server_is_restored_a_form_and_a_fragment_say_so_in_words(admin, archive):
    config.current.maintenance_file.touch()
    try:
        address = f"/admin/archives/{archive.timestamp}/pin"
        page = admin.post(address, data={"pinned": "1"})
        fragment = admin.post(address, data={"pinned": "1"}, headers=PARTIAL)
        assert admin.get("/admin").status_code == 200
    finally:
        config.current.maintenance_file.unlink()
    for answer in (page, fragment):
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
    assert maintenance.RESTORING in page.text
    assert "Not available" in page.text
    toast = json.loads(fragment.headers["HX-Trigger"])["toast"]
    assert (toast["message"], toast["kind"]) == (maintenance.RESTORING, "bad")
    assert fragment.headers["HX-Reswap"] == "none"


def test_only_administrators_may(page, archive):
    for address in ("/admin/archives", f"/admin/archives/{archive.timestamp}"):
        assert page.get(address).status_code == 403
    assert page.post(f"/admin/archives/{archive.timestamp}/restore", data=ALL).status_code == 403


def test_all_libraries_are_downloaded_as_one_file_that_leaves_nothing_behind(admin, films):
    assert "/admin/archives/all-users" in admin.get("/admin").text
    with admin.get("/admin/archives/all-users") as answer:
        assert "moviemanager-all-users-" in answer.headers["Content-Disposition"]
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert answer.content_length == len(answer.data)
        users = {user["username"]: user for user in json.loads(answer.data)["users"]}
    assert len(users["alice"]["library"]["movies"]) == 3
    assert "password_hash" in users["carol"]
    assert list(config.current.tmp_dir.iterdir()) == []
