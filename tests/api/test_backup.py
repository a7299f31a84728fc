"""/api/backup: export, import, and one's own backup files. What a document may hold is tested with
portable."""

import dataclasses
import hashlib
import io
import json

import pytest

from mm import config, locks, models
from mm.models import Job, Title, User
from mm.services.backup import backups, large_files
from mm.services.backup.files import sidecar_path
from tests.conftest import put_in_force

LIBRARY = {
    "version": 2,
    "exported_at": 1771000000.0,
    "movies": [
        {
            "imdb_id": "tt0111161",
            "status": "watched",
            "last_modified": 1771000000.0,
            "recommendations": [
                {"person_name": "Zoë / Bob", "date_recommended": 1770000000.0, "vote_type": True}
            ],
            "watch_history": {"date_watched": 1770500000.0, "my_rating": 8.5},
        },
        {"imdb_id": "tt0068646", "last_modified": 1771000000.0},
    ],
    "people": [],
    "lists": [{"id": "l1", "name": "Favourites"}],
}
EXPORT, IMPORT, LIST = "/api/backup/export", "/api/backup/import", "/api/backup/list"


def exported(speaker):
    document = speaker.get(EXPORT).json
    del document["exported_at"]
    return document


def made(speaker):
    return speaker.post("/api/backup/create").json["filename"]


class TestExport:
    def test_it_is_a_v2_document_with_todays_date_in_its_file_name(
        self, as_user, alice, frozen_clock
    ):
        answer = as_user(alice).get(EXPORT)
        assert answer.status_code == 200
        assert answer.mimetype == "application/json"
        name = "moviemanager-export-2026-03-01.json"
        assert answer.headers["Content-Disposition"] == f"attachment; filename={name}"
        assert answer.json["version"] == 2
        assert [person["quick_key"] for person in answer.json["people"]].count(None) == 0

    def test_the_date_is_that_of_the_servers_time_zone(
        self, as_user, alice, frozen_clock, monkeypatch
    ):
        monkeypatch.setattr(
            config, "current", config.Config(config.current.data_dir, timezone="Pacific/Kiritimati")
        )
        assert "2026-03-02" in as_user(alice).get(EXPORT).headers["Content-Disposition"]

    def test_an_export_imported_by_another_account_exports_the_same(self, as_user, alice, bob):
        as_user(alice).post(IMPORT, json=LIBRARY)
        document = as_user(alice).get(EXPORT).data
        as_user(bob).post(IMPORT, data=document, content_type="application/json")
        assert exported(as_user(bob)) == exported(as_user(alice))


class TestImport:
    def test_the_answer_says_what_was_done(self, as_user, alice):
        answer = as_user(alice).post(IMPORT, json=LIBRARY)
        assert answer.status_code == 200
        assert answer.json["success"] is True
        assert (answer.json["movies_imported"], answer.json["lists_imported"]) == (2, 1)
        assert answer.json["imported_counts"].keys() == {"movies", "people", "lists"}
        assert sorted(answer.json["imdb_ids_needing_enrichment"]) == ["tt0068646", "tt0111161"]
        assert answer.json["errors"] == []
        assert answer.json["safety_backup"] is None

    @pytest.mark.parametrize(
        "mimetype", ["application/json", "text/plain", "application/octet-stream", ""]
    )
    def test_a_body_of_any_content_type_is_accepted(self, as_user, alice, mimetype):
        body = b"\xef\xbb\xbf" + json.dumps(LIBRARY).encode()
        answer = as_user(alice).post(IMPORT, data=body, headers={"Content-Type": mimetype})
        assert answer.json["movies_imported"] == 2

    def test_a_form_may_send_the_document_as_its_file(self, as_user, alice):
        form = {"file": (io.BytesIO(json.dumps(LIBRARY).encode()), "my library.json")}
        assert as_user(alice).post(IMPORT, data=form).json["movies_imported"] == 2

    @pytest.mark.parametrize(
        "form", [{"library": (io.BytesIO(b"{}"), "x.json")}, {"file": "{}"}, {}]
    )
    def test_a_form_without_a_file_is_refused_with_an_explanation(self, as_user, alice, form):
        answer = as_user(alice).post(IMPORT, data=form, content_type="multipart/form-data")
        assert answer.status_code == 422
        assert "`file`" in answer.json["detail"]

    def test_a_dry_run_answers_the_plan_and_writes_nothing(self, as_user, alice):
        before = exported(as_user(alice))
        answer = as_user(alice).post(f"{IMPORT}?dry_run=1&conflicts=newest", json=LIBRARY)
        assert answer.status_code == 200
        assert answer.json["counts"]["movie"]["new"] == 2
        assert (answer.json["mode"], answer.json["conflicts"]) == ("merge", "newest")
        assert exported(as_user(alice)) == before
        assert not Title.select().exists()

    @pytest.mark.parametrize(
        "conflicts, status",
        [("overwrite", "toWatch"), ("newest", "watched"), ("skip", "watched"), (None, "toWatch")],
    )
    def test_conflicts_are_resolved_as_requested(self, as_user, alice, conflicts, status):
        as_user(alice).post(IMPORT, json=LIBRARY)
        older = {
            "version": 2,
            "movies": [
                {"imdb_id": "tt0111161", "status": "toWatch", "last_modified": 1500000000.0}
            ],
        }
        answer = as_user(alice).post(
            IMPORT, json=older, query_string={"conflicts": conflicts} if conflicts else {}
        )
        assert answer.status_code == 200
        assert models.Movie.get(models.Movie.title == "tt0111161").status == status

    def test_an_existing_library_is_backed_up_before_the_import(self, as_user, alice):
        as_user(alice).post(IMPORT, json=LIBRARY)
        change = {"version": 2, "movies": [{"imdb_id": "tt0133093"}]}
        safety = as_user(alice).post(IMPORT, json=change).json["safety_backup"]
        assert safety.endswith("-before-import.json")
        assert safety in [entry["filename"] for entry in as_user(alice).get(LIST).json["backups"]]

    def test_rejected_rows_are_listed_with_their_reasons(self, as_user, alice):
        rows = [{"imdb_id": "tt0111161"}, {"imdb_id": "../../etc"}]
        answer = as_user(alice).post(IMPORT, json={"version": 2, "movies": rows})
        assert answer.json["movies_imported"] == 1
        reason = "'../../etc' is not an IMDb title ID"
        assert answer.json["errors"] == [f"movies[1].imdb_id: {reason}"]
        assert answer.json["problems"] == [
            {"path": "movies[1].imdb_id", "reason": reason, "row": 2}
        ]

    @pytest.mark.parametrize(
        "body, words",
        [
            (b"", "This file is empty"),
            (b"PK\x03\x04 and so on", "Unpack it first"),
            (b"Date,Name,Year,Letterboxd URI\n2020-01-01,Heat,1995,x", "a Letterboxd export"),
            (b"Dear diary", "can’t be read"),
            (b'{"version": 2, "movies": [{"imdb_id": "tt0111161"', "can’t be read"),
            (b'{"version": 2, "exported_at": NaN, "movies": []}', "can’t be read"),
            (b'{"version": 2, "exported_at": 1e999, "movies": []}', "can’t be read"),
            (b'{"version": 2, "movies": [{"imdb_id": "\xff"}]}', "can’t be read"),
            (b"[" * 100_000, "can’t be read"),
            (b"[]", "isn’t a Movie Manager export"),
            (b"null", "isn’t a Movie Manager export"),
            (b'{"version": 3, "movies": []}', "made by a newer version: 3"),
            (b'{"hello": "world"}', "isn’t a Movie Manager export"),
            (b'{"version": 2, "kind": "server", "users": []}', "all libraries of a server"),
            (b'{"version": 2, "movies": [{"imdb_id": "x"}]}', "problem: movies[0].imdb_id"),
        ],
    )
    def test_an_unusable_document_is_refused_and_nothing_is_written(
        self, as_user, alice, body, words
    ):
        before = exported(as_user(alice))
        answer = as_user(alice).post(IMPORT, data=body, content_type="application/json")
        assert answer.status_code == 422
        assert words in answer.json["detail"]
        assert exported(as_user(alice)) == before

    @pytest.mark.parametrize("path", [IMPORT, "/api/backup/restore/x.json"])
    @pytest.mark.parametrize(
        "query, loc",
        [
            ("conflicts=mine", "conflicts"),
            ("dry_run=maybe", "dry_run"),
            ("dry_run=1&dry_run=0", "dry_run"),
        ],
    )
    def test_unknown_options_are_refused(self, as_user, alice, path, query, loc):
        answer = as_user(alice).post(f"{path}?{query}", json=LIBRARY)
        assert answer.status_code == 422
        assert answer.json["detail"][0]["loc"] == [loc]

    @pytest.mark.parametrize("path", [IMPORT, "/api/backup/restore/x.json"])
    @pytest.mark.parametrize("mode", ["mirror", ""])
    def test_an_unknown_mode_is_refused(self, as_user, alice, path, mode):
        answer = as_user(alice).post(f"{path}?mode={mode}", json=LIBRARY)
        assert answer.status_code == 422
        assert answer.json["detail"][0]["loc"] == ["mode"]

    def test_a_merge_is_the_default_and_says_so(self, as_user, alice):
        as_user(alice).post(IMPORT, json={"movies": [{"imdb_id": "tt0000009"}]})
        answer = as_user(alice).post(IMPORT, json=LIBRARY).json
        none = {"movies": 0, "people": 0, "lists": 0}
        assert (answer["mode"], answer["removed_counts"]) == ("merge", none)
        assert as_user(alice).post(f"{IMPORT}?dry_run=1", json=LIBRARY).json["mode"] == "merge"

    def test_a_replace_says_what_it_removed(self, as_user, alice):
        mine = {"movies": [{"imdb_id": "tt0000009"}], "people": [{"name": "Zoe"}], "lists": []}
        as_user(alice).post(IMPORT, json=mine)
        plan = as_user(alice).post(f"{IMPORT}?mode=replace&dry_run=1", json=LIBRARY).json
        assert (plan["mode"], plan["counts"]["movie"]["removed"]) == ("replace", 1)
        answer = as_user(alice).post(f"{IMPORT}?mode=replace", json=LIBRARY).json
        assert (answer["success"], answer["mode"]) == (True, "replace")
        assert answer["removed_counts"] == {"movies": 1, "people": 1, "lists": 0}
        ids = {row["imdb_id"] for row in exported(as_user(alice))["movies"]}
        assert ids == {row["imdb_id"] for row in LIBRARY["movies"]}

    @pytest.mark.parametrize("mimetype", ["application/json", "multipart/form-data; boundary=x"])
    @pytest.mark.parametrize("query", ["", "?dry_run=1"])
    def test_a_large_file_is_refused_before_it_has_arrived_when_it_gets_no_turn(
        self, as_user, alice, monkeypatch, mimetype, query
    ):
        class Unread(io.RawIOBase):
            def readinto(self, buffer):
                raise AssertionError("read")

        monkeypatch.setitem(large_files.waiting, alice.id, 1)
        body = {"wsgi.input": Unread(), "CONTENT_LENGTH": str(large_files.LARGE_FILE)}
        speaker = as_user(alice)
        answer = speaker.post(IMPORT + query, content_type=mimetype, environ_overrides=body)
        words = "Another import is being read. Try again in a minute."
        assert (answer.status_code, answer.json) == (503, {"detail": words})
        assert speaker.post(IMPORT + query, json=LIBRARY).status_code == 200

    @pytest.mark.parametrize("mimetype", ["application/json", "multipart/form-data; boundary=X"])
    def test_65_mib_are_too_large(self, as_user, alice, mimetype):
        answer = as_user(alice).post(IMPORT, data=b" " * (65 * 2**20), content_type=mimetype)
        assert answer.status_code == 413
        assert "64 M" in answer.json["detail"]

    def test_a_byte_over_64_mib_is_too_large(self, as_user, alice):
        answer = as_user(alice).post(
            IMPORT, data=b" " * (64 * 2**20 + 1), content_type="application/json"
        )
        assert answer.status_code == 413
        assert "64 M" in answer.json["detail"]

    def test_titles_are_looked_up_right_after_the_import(self, as_user, alice):
        as_user(alice).post(IMPORT, json=LIBRARY)
        assert Job.select().where(Job.kind == "enrich").count() <= 1
        assert Title.select().where(Title.tmdb_state == "stub").count() == 2


KEPT = {"keep_daily": 14, "keep_weekly": 0, "keep_monthly": 0, "keep_yearly": 0}
SETTINGS = "/api/backup/settings"


class TestSettings:
    def test_switching_on_makes_a_first_backup(self, as_user, alice):
        assert as_user(alice).get(SETTINGS).json == {"backup_enabled": False, **KEPT}
        answer = as_user(alice).put(SETTINGS, json={"backup_enabled": True})
        assert answer.json == {"backup_enabled": True, **KEPT}
        assert as_user(alice).get(SETTINGS).json == {"backup_enabled": True, **KEPT}
        assert [job.kind for job in Job.select().where(Job.user == alice.id)] == ["backup"]
        assert as_user(alice).get(LIST).json["next_run"] is not None

    def test_switching_off_is_stored(self, as_user, alice):
        User.update(backup_enabled=True).execute()
        as_user(alice).put(SETTINGS, json={"backup_enabled": False})
        assert as_user(alice).get(SETTINGS).json == {"backup_enabled": False, **KEPT}
        assert as_user(alice).get(LIST).json["next_run"] is None

    @pytest.mark.parametrize("value", [None, 1, "true", "yes"])
    def test_only_true_and_false_are_accepted(self, as_user, alice, value):
        answer = as_user(alice).put(SETTINGS, json={"backup_enabled": value})
        assert answer.json["detail"][0]["loc"] == ["backup_enabled"]

    def test_what_is_left_out_stays_as_it_is(self, as_user, alice, bob):
        User.update(backup_enabled=True).execute()
        answer = as_user(alice).put(SETTINGS, json={"keep_weekly": 8, "keep_yearly": 100})
        expected = {**KEPT, "backup_enabled": True, "keep_weekly": 8, "keep_yearly": 100}
        assert (answer.status_code, answer.json) == (200, expected)
        assert as_user(alice).put(SETTINGS, json={"keep_daily": 0}).json["keep_weekly"] == 8
        assert as_user(alice).put(SETTINGS, json={}).json == {**expected, "keep_daily": 0}
        assert as_user(bob).get(SETTINGS).json == {"backup_enabled": True, **KEPT}

    @pytest.mark.parametrize(
        "field, value",
        [
            ("keep_daily", 367),
            ("keep_weekly", 261),
            ("keep_monthly", 241),
            ("keep_yearly", 101),
            ("keep_daily", -1),
            ("keep_daily", None),
            ("keep_daily", "14"),
            ("keep_daily", 1.5),
            ("keep_daily", True),
            ("keep_daily", 10**30),
        ],
    )
    def test_a_count_out_of_range_is_refused_and_changes_nothing(
        self, as_user, alice, field, value
    ):
        answer = as_user(alice).put(SETTINGS, json={"backup_enabled": True, field: value})
        assert answer.status_code == 422
        assert answer.json["detail"][0]["loc"] == [field]
        assert as_user(alice).get(SETTINGS).json == {"backup_enabled": False, **KEPT}


class TestPins:
    def test_a_pinned_backup_says_so_until_it_is_unpinned(self, as_user, alice):
        name = made(as_user(alice))
        answer = as_user(alice).put(f"/api/backup/pin/{name}", json={"pinned": True})
        reason = "Pinned: kept until you unpin it"
        assert (answer.json["filename"], answer.json["pinned"]) == (name, True)
        assert answer.json["kept_because"] == reason
        [listed] = as_user(alice).get(LIST).json["backups"]
        assert listed == answer.json
        again = as_user(alice).put(f"/api/backup/pin/{name}", json={"pinned": False})
        assert (again.json["pinned"], again.json["kept_because"]) == (
            False,
            "Kept until you delete it",
        )

    def test_what_is_damaged_cannot_be_pinned_but_unpinned(self, as_user, alice):
        name = made(as_user(alice))
        url = f"/api/backup/pin/{name}"
        assert as_user(alice).put(url, json={"pinned": True}).status_code == 200
        backups.path_of(alice.id, name).write_bytes(b"{}")
        answer = as_user(alice).put(url, json={"pinned": True})
        assert answer.status_code == 422
        assert answer.json["detail"].startswith(f"{name} is damaged (the file is incomplete")
        assert as_user(alice).put(url, json={"pinned": False}).json["pinned"] is False
        assert as_user(alice).put(url, json={"pinned": True}).status_code == 422

    def test_what_was_never_tested_cannot_be_pinned(self, as_user, alice):
        name = made(as_user(alice))
        sidecar_path(backups.path_of(alice.id, name)).unlink()
        answer = as_user(alice).put(f"/api/backup/pin/{name}", json={"pinned": True})
        assert answer.status_code == 422
        assert answer.json["detail"] == f"{name} was never tested. Test it, then pin it."

    @pytest.mark.parametrize("body", [{}, {"pinned": 1}, {"pinned": None}, []])
    def test_only_true_and_false_are_accepted(self, as_user, alice, body):
        answer = as_user(alice).put(f"/api/backup/pin/{made(as_user(alice))}", json=body)
        assert answer.status_code == 422


class TestFiles:
    def test_a_new_backup_is_verified_and_listed(self, as_user, alice):
        as_user(alice).post(IMPORT, json=LIBRARY)
        answer = as_user(alice).post("/api/backup/create")
        assert answer.status_code == 201
        entry = answer.json
        assert (
            entry.items()
            >= {"kind": "manual", "state": "verified", "pinned": False, "problem": None}.items()
        )
        assert entry["counts"] == {"movies": 2, "people": 5, "lists": 1}
        listed = as_user(alice).get(LIST).json
        assert listed["backups"] == [entry]
        assert listed["last_good"] == entry["created_at"]
        assert (listed["next_run"], listed["last_error"]) == (None, None)

    def test_a_download_is_the_file(self, as_user, alice):
        entry = as_user(alice).post("/api/backup/create").json
        answer = as_user(alice).get(f"/api/backup/download/{entry['filename']}", buffered=True)
        assert hashlib.sha256(answer.data).hexdigest() == entry["sha256"]
        assert answer.headers["Content-Disposition"] == f"attachment; filename={entry['filename']}"

    def test_a_download_supports_range_and_if_none_match(self, as_user, alice):
        url = f"/api/backup/download/{made(as_user(alice))}"
        whole = as_user(alice).get(url, buffered=True)
        tag = whole.headers["ETag"]
        rest = as_user(alice).get(
            url, headers={"Range": "bytes=100-", "If-Range": tag}, buffered=True
        )
        assert (rest.status_code, rest.data) == (206, whole.data[100:])
        assert (
            as_user(alice).get(url, headers={"If-None-Match": tag}, buffered=True).status_code
            == 304
        )

    def test_a_file_deleted_during_the_request_is_not_found(
        self, as_user, alice, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(backups, "path_of", lambda *_: tmp_path / "gone.json")
        assert as_user(alice).get("/api/backup/download/gone.json").json == {
            "detail": "Backup file not found"
        }

    def test_a_changed_file_fails_verification(self, as_user, alice):
        name = made(as_user(alice))
        path = backups.path_of(alice.id, name)
        path.write_bytes(path.read_bytes().replace(b"Google", b"Goggle"))
        entry = as_user(alice).post(f"/api/backup/verify/{name}").json
        assert entry["state"] == "damaged"
        assert entry["verified_at"] is None
        assert "sha256" in entry["problem"]
        assert as_user(alice).get(LIST).json["last_good"] is None
        assert as_user(alice).post(f"/api/backup/restore/{name}").status_code == 422

    def test_a_good_file_is_verified_again(self, frozen_clock, as_user, alice):
        name = made(as_user(alice))
        frozen_clock.move(60)
        assert (
            as_user(alice).post(f"/api/backup/verify/{name}").json["verified_at"]
            == frozen_clock.moment
        )

    def test_a_restore_brings_back_deleted_films_after_a_safety_backup(self, as_user, alice):
        as_user(alice).post(IMPORT, json=LIBRARY)
        before, name = exported(as_user(alice)), made(as_user(alice))
        models.Movie.delete().where(models.Movie.title == "tt0068646").execute()
        plan = as_user(alice).post(f"/api/backup/restore/{name}?dry_run=1").json
        assert plan["counts"]["movie"]["new"] == 1
        answer = as_user(alice).post(f"/api/backup/restore/{name}?mode=merge")
        assert (answer.json["errors"], answer.json["problems"]) == ([], [])
        assert answer.json["movies_imported"] >= 1
        assert answer.json["safety_backup"].endswith("-before-restore.json")
        assert exported(as_user(alice)) == before

    def test_an_undo_takes_the_last_import_back_and_another_one_brings_it_again(
        self, as_user, alice
    ):
        as_user(alice).post(IMPORT, json={"movies": [{"imdb_id": "tt0000009"}]})
        before = exported(as_user(alice))
        as_user(alice).post(IMPORT, json=LIBRARY)
        after = exported(as_user(alice))
        plan = as_user(alice).post("/api/backup/undo", json={"dry_run": True}).json
        assert (plan["mode"], plan["counts"]["movie"]["removed"]) == ("replace", 2)
        assert exported(as_user(alice)) == after
        undone = as_user(alice).post("/api/backup/undo").json
        assert (undone["mode"], undone["removed_counts"]["movies"]) == ("replace", 2)
        assert exported(as_user(alice)) == before
        name = undone["safety_backup"]
        assert as_user(alice).post("/api/backup/undo", json={"filename": name}).status_code == 200
        assert exported(as_user(alice)) == after

    def test_without_anything_to_undo_the_answer_says_so(self, as_user, alice):
        name = made(as_user(alice))
        for body, words in (
            ({}, "nothing to undo"),
            ({"filename": name}, "restore it"),
            ({"filename": "2026-01-01T00-00-00-before-import.json"}, "is gone"),
            ({"filename": "../mm.db"}, "Backup file not found"),
        ):
            answer = as_user(alice).post("/api/backup/undo", json=body)
            assert answer.status_code == 404
            assert words in answer.json["detail"]

    def test_a_deleted_file_is_gone(self, as_user, alice):
        name = made(as_user(alice))
        assert as_user(alice).delete(f"/api/backup/{name}").status_code == 204
        assert as_user(alice).get(LIST).json["backups"] == []
        assert as_user(alice).delete(f"/api/backup/{name}").json == {
            "detail": "Backup file not found"
        }

    @pytest.mark.parametrize(
        "name",
        [
            "2026-01-01.json",
            "../mm.db",
            "..%2f..%2fmm.db",
            "..",
            ".",
            "%00",
            "a/b/c",
            "/etc/passwd",
            "notes.txt",
            "2026-01-01T00-00-00-manual.json.meta.json",
            "é",
            "link.json",
            "2026-02-02.json",
            "x" * 5000,
        ],
    )
    def test_a_name_that_is_not_listed_is_not_found(self, as_user, alice, name):
        folder = config.current.backups_dir / alice.id
        made(as_user(alice))
        (folder / "notes.txt").write_text("mine")
        (folder / "2026-02-02.json").symlink_to(config.current.data_dir / "secret_key")
        for method, path in (
            ("GET", "download/"),
            ("POST", "verify/"),
            ("POST", "restore/"),
            ("PUT", "pin/"),
            ("DELETE", ""),
        ):
            body = {"json": {"pinned": True}} if method == "PUT" else {}
            answer = as_user(alice).open(f"/api/backup/{path}{name}", method=method, **body)
            assert answer.status_code in (404, 405)
            assert answer.status_code == 405 or answer.json["detail"] in (
                "Backup file not found",
                "Not found",
            )
        assert (folder / "notes.txt").exists()

    def test_another_users_file_is_not_found(self, as_user, alice, bob):
        name = made(as_user(alice))
        assert as_user(bob).get(f"/api/backup/download/{name}").json == {
            "detail": "Backup file not found"
        }

    def test_a_second_operation_is_refused_while_one_runs(self, as_user, alice, bob, monkeypatch):
        monkeypatch.setattr(backups, "DELETE_WAITS_SECONDS", 0)
        name = made(as_user(alice))
        with locks.hold(f"library-{alice.id}"):
            for method, path in (
                ("POST", "create"),
                ("POST", "import"),
                ("POST", f"restore/{name}"),
                ("POST", f"restore/{name}?mode=replace"),
                ("POST", f"verify/{name}"),
                ("PUT", f"pin/{name}"),
                ("DELETE", name),
            ):
                body = {"json": LIBRARY} if path == "import" else {}
                body = {"json": {"pinned": True}} if method == "PUT" else body
                answer = as_user(alice).open(f"/api/backup/{path}", method=method, **body)
                assert answer.status_code == 409
                assert "running" in answer.json["detail"]
            assert as_user(bob).post("/api/backup/create").status_code == 201


class TestUpload:
    def test_a_file_becomes_a_backup_and_nothing_of_it_is_imported(self, as_user, alice):
        file = (io.BytesIO(json.dumps(LIBRARY).encode()), "library.json")
        answer = as_user(alice).post("/api/backup/upload", data={"file": file})
        assert answer.status_code == 201
        entry = answer.json
        assert (entry["kind"], entry["state"], entry["problem"]) == ("uploaded", "verified", None)
        assert entry["counts"] == {"movies": 2, "people": 0, "lists": 1}
        assert as_user(alice).get(LIST).json["backups"] == [entry]
        assert exported(as_user(alice))["movies"] == []
        name = entry["filename"]
        restored = as_user(alice).post(f"/api/backup/restore/{name}")
        assert restored.json["movies_imported"] == 2

    def test_it_may_be_the_body_too(self, as_user, alice):
        answer = as_user(alice).post("/api/backup/upload", json=LIBRARY)
        assert (answer.status_code, answer.json["kind"]) == (201, "uploaded")

    def test_it_is_no_last_good_copy(self, as_user, alice):
        as_user(alice).post("/api/backup/upload", json=LIBRARY)
        assert as_user(alice).get(LIST).json["last_good"] is None

    @pytest.mark.parametrize(
        "body, words",
        [
            (b"", "empty"),
            (b"PK\x03\x04", "ZIP"),
            (b"Date,Name,Year,Letterboxd URI\n", "Letterboxd"),
            (b'{"hello": "world"}', "isn’t a Movie Manager export"),
            (b'{"version": 2, "movies": [{"imdb_id": "x"}]}', "problem: movies[0].imdb_id"),
        ],
    )
    def test_what_is_no_export_is_refused_and_nothing_is_kept(self, as_user, alice, body, words):
        file = (io.BytesIO(body), "library.json")
        answer = as_user(alice).post("/api/backup/upload", data={"file": file})
        assert answer.status_code == 422
        assert words in answer.json["detail"]
        assert as_user(alice).get(LIST).json["backups"] == []

    def test_too_many_are_refused_with_the_oldest_named(self, as_user, alice, monkeypatch):
        limited = dataclasses.replace(config.current, manual_backups_max=1)
        put_in_force(monkeypatch, limited)
        name = made(as_user(alice))
        answer = as_user(alice).post("/api/backup/upload", json=LIBRARY)
        assert answer.status_code == 507
        assert name in answer.json["detail"]

    def test_without_a_file_it_says_what_to_send(self, as_user, alice):
        answer = as_user(alice).post("/api/backup/upload", data={"other": "1"})
        assert answer.status_code == 422
        assert "field `file`" in answer.json["detail"]
