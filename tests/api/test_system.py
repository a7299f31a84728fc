"""/api/v1/system: archives of the whole server and its restore. What an archive holds, and how a
restore goes, is tested with services/server."""

import io
import zipfile

import pytest

from mm import config, maintenance, tasks
from mm.errors import UnavailableError
from mm.models import Job
from mm.services import jobs, settings
from mm.services.server import archive_files, archives, databases
from tests.conftest import put_in_force

SYSTEM = "/api/v1/system"
BACKUP, LIST, RESTORE = f"{SYSTEM}/backup", f"{SYSTEM}/backup/list", f"{SYSTEM}/restore"
SCHEDULE, VALIDATE, UPLOAD = f"{BACKUP}/schedule", f"{BACKUP}/validate", f"{BACKUP}/upload"


@pytest.fixture
def admin(as_user, carol):
    """A client of the API that sends an administrator's token."""
    return as_user(carol)


@pytest.fixture
def archive(app):
    """The timestamp of a verified archive."""
    return archives.create().timestamp


def run(job_id):
    job = Job.get_by_id(job_id)
    tasks.run_job.call_local(job.id, job.kind)


def read(timestamp):
    return archive_files.path_of(timestamp).read_bytes()


def form(body, **fields):
    return {"data": {"file": (io.BytesIO(body), "an archive.zip"), **fields}}


def listed(admin):
    return [entry["timestamp"] for entry in admin.get(LIST).json["archives"]]


class TestCreate:
    def test_the_address_of_the_archive_is_known_before_it_is_made(self, admin):
        begun = admin.post(BACKUP)
        assert begun.status_code == 202
        assert admin.get(begun.json["download_url"]).status_code == 404
        run(begun.json["job"])
        answer = admin.get(begun.json["download_url"], buffered=True)
        assert answer.status_code == 200
        assert begun.json["timestamp"] in answer.headers["Content-Disposition"]
        assert zipfile.ZipFile(io.BytesIO(answer.data)).testzip() is None

    def test_the_job_tells_how_it_goes_and_how_it_ended(self, admin):
        begun = admin.post(BACKUP).json
        address = f"{SYSTEM}/jobs/{begun['job']}"
        waits = admin.get(address).json
        assert (waits["kind"], waits["state"], waits["result"]) == ("archive", "queued", None)
        run(begun["job"])
        done = admin.get(address).json
        assert done["state"] == "done"
        assert done["done"] == done["total"]
        assert done["result"]["timestamp"] == begun["timestamp"]

    def test_what_it_holds_can_be_chosen(self, admin):
        sent = {"include_database": False, "include_settings": True, "include_secrets": True}
        run(admin.post(BACKUP, json=sent).json["job"])
        [entry] = admin.get(LIST).json["archives"]
        assert entry["contents"]["has_database"] is False
        assert entry["contents"]["settings_count"] > 20

    def test_one_of_nothing_is_422(self, admin):
        sent = {"include_database": False, "include_settings": False}
        answer = admin.post(BACKUP, json=sent)
        assert answer.status_code == 422
        assert answer.json["detail"].startswith("Choose what the archive is to hold")

    def test_it_is_kept_unless_the_request_says_otherwise(self, admin):
        run(admin.post(BACKUP).json["job"])
        run(admin.post(BACKUP, json={"keep": False}).json["job"])
        newest, oldest = admin.get(LIST).json["archives"]
        assert oldest["expires_at"] is None
        assert newest["expires_at"] == pytest.approx(newest["verified_at"] + 3600, abs=60)

    def test_a_second_one_is_refused_while_one_is_queued(self, admin):
        admin.post(BACKUP)
        answer = admin.post(BACKUP)
        assert answer.status_code == 409
        assert "An archive of the server" in answer.json["detail"]

    def test_a_full_disk_is_507_and_nothing_is_queued(self, admin, monkeypatch):
        monkeypatch.setattr("shutil.disk_usage", lambda _: (10**9, 10**9, 1000))
        monkeypatch.setattr("mm.disk.free_bytes", lambda _: 1000, raising=False)
        answer = admin.post(BACKUP)
        assert answer.status_code == 507
        assert answer.json["detail"].startswith("Not enough disk space: ")
        assert Job.select().count() == 0

    def test_more_than_six_an_hour_are_429_with_the_time_to_wait(self, admin):
        for _ in range(6):
            run(admin.post(BACKUP).json["job"])
        answer = admin.post(BACKUP)
        assert answer.status_code == 429
        assert 0 < int(answer.headers["Retry-After"]) <= 3600

    @pytest.mark.parametrize("sent", [{"keep": "no"}, {"include_posters": 1}, []])
    def test_a_body_of_the_wrong_shape_is_422(self, admin, sent):
        assert admin.post(BACKUP, json=sent).status_code == 422
        assert Job.select().count() == 0


class TestDownload:
    def test_it_is_the_file_and_no_cache_keeps_it(self, admin, archive):
        answer = admin.get(f"{BACKUP}/{archive}/download", buffered=True)
        assert answer.data == read(archive)
        assert answer.mimetype == "application/zip"
        assert answer.headers["Cache-Control"] == "private, no-store"
        name = f"moviemanager-backup-{archive}.zip"
        assert answer.headers["Content-Disposition"] == f"attachment; filename={name}"

    def test_a_download_that_broke_off_goes_on_where_it_was(self, admin, archive):
        def ask(**headers):
            return admin.get(f"{BACKUP}/{archive}/download", headers=headers, buffered=True)

        etag = ask(Range="bytes=0-99").headers["ETag"]
        rest = ask(**{"Range": "bytes=100-", "If-Range": etag})
        assert rest.status_code == 206
        assert rest.data == read(archive)[100:]
        assert ask(Range="bytes=99999999999-").status_code == 416
        assert ask(**{"If-None-Match": etag}).status_code == 304

    @pytest.mark.parametrize(
        "timestamp",
        ["2020-01-01-00-00-00", "%2e%2e", "list", "2020-01-01-00-00-00.zip", "x" * 300],
    )
    def test_a_timestamp_that_is_none_of_ours_is_404(self, admin, archive, timestamp):
        assert admin.get(f"{BACKUP}/{timestamp}/download").status_code == 404
        assert admin.delete(f"{BACKUP}/{timestamp}").status_code in (404, 405)
        assert admin.post(f"{BACKUP}/{timestamp}/verify").status_code == 404
        pinned = admin.put(f"{BACKUP}/{timestamp}/pin", json={"pinned": True})
        assert pinned.status_code == 404
        assert listed(admin) == [archive]


class TestList:
    def test_it_is_newest_first_and_names_what_is_damaged(self, admin, archive):
        newer = archives.create().timestamp
        with archive_files.path_of(archive).open("r+b") as file:
            file.truncate(100)
        entries = admin.get(LIST).json["archives"]
        assert [entry["timestamp"] for entry in entries] == [newer, archive]
        assert [entry["state"] for entry in entries] == ["verified", "damaged"]
        assert entries[1]["problem"]

    def test_an_archive_is_pinned_tested_and_deleted(self, admin, archive):
        pinned = admin.put(f"{BACKUP}/{archive}/pin", json={"pinned": True})
        assert pinned.json["pinned"] is True
        assert admin.put(f"{BACKUP}/{archive}/pin", json={"pinned": "1"}).status_code == 422
        begun = admin.post(f"{BACKUP}/{archive}/verify")
        assert begun.status_code == 202
        run(begun.json["job"])
        assert admin.get(f"{SYSTEM}/jobs/{begun.json['job']}").json["state"] == "done"
        assert admin.delete(f"{BACKUP}/{archive}").status_code == 204
        assert listed(admin) == []

    def test_a_lock_that_is_not_had_in_time_is_503(self, admin, archive, monkeypatch):
        def in_use(*_):
            raise UnavailableError("Cannot backup while database is in use")

        monkeypatch.setattr(archives, "delete", in_use)
        answer = admin.delete(f"{BACKUP}/{archive}")
        assert answer.status_code == 503
        assert answer.json == {"detail": "Cannot backup while database is in use"}


class TestUpload:
    def test_an_archive_is_tested_without_being_kept(self, admin, archive):
        answer = admin.post(VALIDATE, **form(read(archive)))
        assert answer.status_code == 200
        assert answer.json["valid"] is True
        assert answer.json["backup_timestamp"] == archive
        assert answer.json["contents"]["users"] == 1
        assert listed(admin) == [archive]
        assert work_folders() == []

    def test_one_that_is_damaged_is_told_so(self, admin, archive):
        body = bytearray(read(archive))
        body[len(body) // 2] ^= 1
        answer = admin.post(VALIDATE, **form(bytes(body)))
        assert answer.status_code == 200
        assert answer.json["valid"] is False
        assert answer.json["message"].startswith("Backup file is corrupted: ")

    @pytest.mark.parametrize("as_form", [True, False])
    def test_an_archive_is_added_to_the_list(self, admin, archive, as_form):
        body = read(archive)
        admin.delete(f"{BACKUP}/{archive}")
        raw = {"data": body, "content_type": "application/zip"}
        answer = admin.post(UPLOAD, **(form(body) if as_form else raw))
        assert answer.status_code == 201
        assert answer.json["kind"] == "uploaded"
        assert listed(admin) == [answer.json["timestamp"]]
        assert read(answer.json["timestamp"]) == body

    @pytest.mark.parametrize("path", [VALIDATE, UPLOAD])
    def test_a_request_without_a_file_is_422(self, admin, path):
        assert admin.post(path, data={"name": "x"}).status_code == 422
        assert admin.post(path).status_code == 422
        assert listed(admin) == []
        assert work_folders() == []

    @pytest.mark.parametrize("body", [b"", b"PK\x03\x04", b"{}", b"\x00" * 10_000])
    def test_what_is_no_archive_is_refused_and_not_kept(self, admin, body):
        answer = admin.post(UPLOAD, **form(body))
        assert answer.status_code == 422
        assert isinstance(answer.json["detail"], str)
        assert listed(admin) == []
        assert work_folders() == []

    def test_one_above_the_limit_is_413_and_names_it(self, admin, archive, monkeypatch):
        monkeypatch.setattr(
            config, "current", config.Config(config.current.data_dir, archive_max="0 MB")
        )
        answer = admin.post(UPLOAD, **form(read(archive)))
        assert answer.status_code == 413
        assert "MM_ARCHIVE_MAX" in answer.json["detail"]
        assert work_folders() == []

    def test_one_larger_than_any_import_may_be_is_taken(self, admin):
        """The limit of other uploads would be a 413."""
        zeros = b"\x00" * 65 * 2**20
        answer = admin.post(UPLOAD, data=zeros, content_type="application/zip")
        assert answer.status_code == 422


class TestRestore:
    def test_it_has_to_be_confirmed(self, admin, archive):
        sent = {"timestamp": archive}
        told = {"detail": "Restore will replace all data. Continue? Send confirm=true."}
        for how in ({"json": sent}, {"data": sent}, form(read(archive))):
            answer = admin.post(RESTORE, **how)
            assert (answer.status_code, answer.json) == (400, told)
        assert Job.select().where(Job.kind == "server-restore").count() == 0
        assert listed(admin) == [archive]

    @pytest.mark.parametrize("kind", ["json", "data"])
    def test_one_of_the_list_is_restored_and_its_outcome_needs_no_log_in(
        self, admin, client, archive, kind, bob
    ):
        sent = {"timestamp": archive, "confirm": True if kind == "json" else "true"}
        begun = admin.post(RESTORE, **{kind: sent})
        assert begun.status_code == 202
        assert client.get(begun.json["outcome_url"]).json["state"] == "queued"
        run(begun.json["job"])
        outcome = client.get(begun.json["outcome_url"]).json
        assert (outcome["state"], outcome["archive"]) == ("done", archive)
        assert admin.get(LIST).status_code == 401

    def test_it_ends_the_tokens_of_the_admin_token_too(
        self, admin, app, client, archive, monkeypatch
    ):
        settings = config.Config(config.current.data_dir, admin_token="open sesame")
        put_in_force(monkeypatch, settings)
        answer = client.post("/api/auth/admin/login", json={"token": "open sesame"})
        script = {"Authorization": f"Bearer {answer.json['access_token']}"}
        begun = client.post(RESTORE, json={"timestamp": archive, "confirm": True}, headers=script)
        assert begun.status_code == 202
        run(begun.json["job"])
        assert client.get(LIST, headers=script).status_code == 401

    def test_one_that_is_sent_along_is_restored(self, admin, client, archive):
        body = read(archive)
        admin.delete(f"{BACKUP}/{archive}")
        fields = {"confirm": "true", "restore_posters": "false"}
        begun = admin.post(RESTORE, **form(body, **fields))
        assert begun.status_code == 202
        run(begun.json["job"])
        assert client.get(begun.json["outcome_url"]).json["state"] == "done"

    def test_a_damaged_one_that_is_sent_along_is_422(self, admin, archive):
        answer = admin.post(RESTORE, **form(read(archive)[:-100], confirm="true"))
        assert answer.status_code == 422
        assert answer.json["detail"].startswith("Backup file is corrupted: ")
        assert listed(admin) == [archive]

    @pytest.mark.parametrize(
        "sent",
        [{}, {"timestamp": 7}, {"timestamp": ["a"]}, {"restore_database": "no"}, {"confirm": "1"}],
    )
    def test_a_request_of_the_wrong_shape_is_422(self, admin, archive, sent):
        assert admin.post(RESTORE, json={"confirm": True, **sent}).status_code == 422
        answer = admin.post(RESTORE, data="{", content_type="application/json")
        assert answer.status_code == 422

    def test_an_archive_that_is_not_there_is_404(self, admin, archive):
        sent = {"timestamp": "2020-01-01-00-00-00", "confirm": True}
        assert admin.post(RESTORE, json=sent).status_code == 404

    def test_a_restore_is_refused_while_an_archive_is_made(self, admin, archive):
        admin.post(BACKUP)
        answer = admin.post(RESTORE, json={"timestamp": archive, "confirm": True})
        assert answer.status_code == 409
        assert "An archive of the server" in answer.json["detail"]

    def test_one_that_is_sent_along_is_not_even_received_while_an_archive_is_made(
        self, admin, archive
    ):
        admin.post(BACKUP)
        answer = admin.post(RESTORE, **form(read(archive), confirm="true"))
        assert answer.status_code == 409
        assert listed(admin) == [archive]

    def test_an_address_that_nobody_was_given_is_404(self, client):
        assert client.get(f"{SYSTEM}/restored/made-up").status_code == 404

    def test_meanwhile_writes_are_told_when_to_try_again(self, admin, archive):
        config.current.maintenance_file.touch()
        answer = admin.post(BACKUP)
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == str(maintenance.RETRY_SECONDS)
        assert admin.get(LIST).status_code == 200


class TestPostgres:
    def test_archives_need_sqlite_and_what_copies_the_database_instead_is_named(
        self, admin, monkeypatch
    ):
        monkeypatch.setattr(databases, "is_sqlite", lambda: False)
        sent = {"timestamp": "2026-02-13-04-00-02", "confirm": True}
        for answer in (
            admin.post(BACKUP),
            admin.post(RESTORE, json=sent),
            admin.put(SCHEDULE, json={"enabled": True}),
        ):
            assert answer.status_code == 400
            assert "pg_dump" in answer.json["detail"]
        assert admin.get(LIST).json == {"archives": []}
        assert admin.get(SCHEDULE).status_code == 200


class TestSchedule:
    def test_it_is_off_until_it_is_switched_on(self, admin):
        answer = admin.get(SCHEDULE).json
        assert (answer["enabled"], answer["keep_last"], answer["next_run"]) == (False, 7, None)
        assert answer["room"].keys() == {"needed", "free", "posters"}
        answer = admin.put(SCHEDULE, json={"enabled": True, "time": "05:30", "keep_last": 0})
        assert answer.status_code == 200
        assert answer.json["next_run"]
        assert settings.archives().time == "05:30"

    def test_what_is_left_out_stays(self, admin):
        admin.put(SCHEDULE, json={"enabled": True, "days": ["sun"]})
        answer = admin.put(SCHEDULE, json={"keep_last": 3}).json
        assert (answer["enabled"], answer["days"], answer["keep_last"]) == (True, ["sun"], 3)

    @pytest.mark.parametrize(
        "sent",
        [
            {"time": "24:00"},
            {"time": "5:30"},
            {"time": "05:30\n"},
            {"days": ["someday"]},
            {"days": ["mon"] * 8},
            {"days": []},
            {"keep_last": -1},
            {"keep_last": 10**9},
            {"keep_last": None},
            {"enabled": "yes"},
        ],
    )
    def test_a_bad_value_is_422_and_changes_nothing(self, admin, sent):
        before = admin.get(SCHEDULE).json
        answer = admin.put(SCHEDULE, json={"enabled": True, **sent})
        assert answer.status_code == 422
        after = admin.get(SCHEDULE).json
        assert {**after, "room": None} == {**before, "room": None}


class TestJobs:
    def test_a_job_of_a_users_own_library_is_not_shown(self, admin, alice):
        theirs = jobs.create("import", alice.id)
        assert admin.get(f"{SYSTEM}/jobs/{theirs.id}").status_code == 404
        assert admin.get(f"{SYSTEM}/jobs/made-up").status_code == 404

    def test_a_user_is_refused_before_anything_is_received(self, as_user, alice):
        assert as_user(alice).get(LIST).status_code == 403
        assert as_user(alice).post(UPLOAD, **form(b"x" * 1000)).status_code == 403
        assert work_folders() == []


def work_folders():
    return [path.name for path in config.current.tmp_dir.glob("*-*")]
