"""/api/v1/export and /api/v1/import: people, lists, views and settings as small files."""

import json

import pytest

from mm import locks, tasks
from mm.database import db
from mm.services.backup import backups, undoing
from mm.services.collections import envelope
from mm.services.library import people
from tests.support.libraries import export

KINDS = ["people", "lists", "views", "settings"]
ALL = {"export_all": True}


@pytest.fixture
def cast(alice, bob):
    """Alice has Eve, who is trusted, and Finn; Bob has an Eve of his own."""
    with db.connection_context():
        eve = people.create(alice.id, "Eve", is_trusted=True, emoji="🦊")
        people.create(alice.id, "Finn")
        people.create(bob.id, "EVE")
    return eve


def file_of(*items, kind="people", **metadata):
    metadata = {"version": "1.0.0", "mm_version": "0.2.0", "export_type": kind} | metadata
    return {"metadata": {"item_count": len(items)} | metadata, "items": list(items)}


def library(user):
    with db.connection_context():
        return export(user)


def names(user):
    with db.connection_context():
        return [each.name for each in people.listing(user.id) if not each.quick_key]


class TestExport:
    def test_it_is_a_private_file_of_todays_date(self, as_user, alice, cast, frozen_clock):
        answer = as_user(alice).post("/api/v1/export/people", json=ALL)
        assert answer.status_code == 200
        assert answer.mimetype == "application/json"
        name = "people-export-2026-03-01.json"
        assert answer.headers["Content-Disposition"] == f"attachment; filename={name}"
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert answer.json == {
            "metadata": {
                "version": "1.0.0",
                "mm_version": envelope.__version__,
                "export_type": "people",
                "exported_at": "2026-03-01T12:00:00Z",
                "item_count": 2,
            },
            "items": [
                {"name": "Eve", "is_trusted": True, "color": cast.color, "emoji": "🦊"},
                {"name": "Finn", "is_trusted": False, "color": cast.color, "emoji": None},
            ],
        }

    def test_some_are_chosen_by_id(self, as_user, alice, cast):
        answer = as_user(alice).post("/api/v1/export/people", json={"ids": [cast.id, str(cast.id)]})
        assert [item["name"] for item in answer.json["items"]] == ["Eve"]

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("body", [{}, {"ids": []}, {"ids": [], "export_all": False}])
    def test_nothing_chosen_is_422(self, as_user, alice, kind, body):
        answer = as_user(alice).post(f"/api/v1/export/{kind}", json=body)
        assert answer.status_code == 422
        assert answer.json == {"detail": "Please select at least one item to export"}

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("unknown", [10**9, "nothing", ""])
    def test_an_unknown_id_is_404(self, as_user, alice, cast, kind, unknown):
        answer = as_user(alice).post(f"/api/v1/export/{kind}", json={"ids": [unknown]})
        assert answer.status_code == 404

    def test_somebody_elses_id_is_404(self, as_user, bob, cast):
        answer = as_user(bob).post("/api/v1/export/people", json={"ids": [cast.id]})
        assert answer.status_code == 404

    @pytest.mark.parametrize("body", [{"ids": "all"}, {"ids": [{}]}, {"export_all": "yes"}, []])
    def test_a_body_of_another_shape_is_422_with_its_place(self, as_user, alice, body):
        answer = as_user(alice).post("/api/v1/export/people", json=body)
        assert answer.status_code == 422
        assert answer.json["detail"][0]["msg"]


@pytest.mark.parametrize("kind", ["movies", "People", "", "people/x"])
@pytest.mark.parametrize("address", ["export/{}", "import/{}", "import/{}/preview"])
def test_another_type_is_404(as_user, alice, kind, address):
    answer = as_user(alice).post(f"/api/v1/{address.format(kind)}", json=ALL)
    assert answer.status_code == 404
    assert answer.json["detail"]


class TestPreview:
    def test_it_says_what_would_be_done_and_writes_nothing(self, as_user, bob, cast):
        before = library(bob)
        body = {
            "export": file_of({"name": "Eve"}, {"name": "Ann"}, {"name": "ann"}, item_count=9),
            "resolutions": {"eve": "rename"},
        }
        answer = as_user(bob).post("/api/v1/import/people/preview", json=body)
        assert answer.status_code == 200
        said = answer.json
        assert (said["total_items"], said["new_items"]) == (3, 1)
        [conflict] = said["conflicts"]
        assert (conflict["import_name"], conflict["existing_name"]) == ("Eve", "EVE")
        assert conflict["resolution"] == "rename"
        assert said["errors"] == [{"item_name": "ann", "error": "the file has this name twice"}]
        assert said["version_warning"] is None
        assert "9" in said["warnings"][0]
        assert [item["outcome"] for item in said["items"]] == ["renamed", "imported", "error"]
        assert library(bob) == before

    @pytest.mark.parametrize("bulk", [None, "skip", "rename", "overwrite"])
    def test_an_import_does_what_its_preview_said(self, as_user, alice, bob, cast, bulk):
        file = as_user(alice).post("/api/v1/export/people", json=ALL).json
        body = {"export": file, "bulk_resolution": bulk}
        preview = as_user(bob).post("/api/v1/import/people/preview", json=body).json
        result = as_user(bob).post("/api/v1/import/people", json=body).json
        outcomes = [item["outcome"] for item in preview["items"]]
        for outcome in ("imported", "skipped", "overwritten", "renamed"):
            assert result[outcome] == outcomes.count(outcome)
        taken = [
            (item["name"], item["new_name"] or item["name"], item["outcome"])
            for item in preview["items"]
            if item["outcome"] != "skipped"
        ]
        assert taken == [
            (item["import_name"], item["name"], item["outcome"])
            for item in result["imported_items"]
        ]
        assert {item["name"] for item in result["imported_items"]} <= set(names(bob))


class TestImport:
    def test_clients_find_these_keys_and_an_overwrite_keeps_the_id(self, as_user, alice, bob, cast):
        file = as_user(alice).post("/api/v1/export/people", json=ALL).json
        file["items"].append({"name": ""})
        body = {"export": file, "resolutions": {"Eve": "overwrite"}}
        preview = as_user(bob).post("/api/v1/import/people/preview", json=body).json
        assert preview.keys() >= {"total_items", "new_items", "version_warning"}
        with db.connection_context():
            mine = people.find(bob.id, "EVE").id
        assert preview["conflicts"] == [
            {
                "import_name": "Eve",
                "existing_id": mine,
                "existing_name": "EVE",
                "resolution": "overwrite",
            }
        ]
        [error] = preview["errors"]
        assert error.keys() == {"item_name", "error"}
        result = as_user(bob).post("/api/v1/import/people", json=body).json
        counts = ("total_items", "imported", "skipped", "overwritten", "renamed", "errors")
        assert [result[count] for count in counts] == [3, 1, 0, 1, 0, 1]
        assert result["error_details"] == [error]
        assert result["imported_items"][0] == {
            "import_name": "Eve",
            "name": "Eve",
            "id": mine,
            "outcome": "overwritten",
        }

    def test_it_can_be_undone(self, as_user, alice, bob, cast):
        before = library(bob)
        file = as_user(alice).post("/api/v1/export/people", json=ALL).json
        body = {"export": file, "bulk_resolution": "overwrite"}
        answer = as_user(bob).post("/api/v1/import/people", json=body)
        assert answer.status_code == 200
        assert (answer.json["imported"], answer.json["overwritten"]) == (1, 1)
        with db.connection_context():
            [undoable] = undoing.available(bob)
        assert answer.json["safety_backup"] == undoable.filename
        undone = as_user(bob).post("/api/backup/undo", json={"filename": undoable.filename})
        assert undone.status_code == 200
        assert library(bob) == before

    @pytest.mark.parametrize("address", ["import/people", "import/people/preview"])
    def test_the_file_alone_can_be_the_body(self, as_user, alice, bob, cast, address):
        file = as_user(alice).post("/api/v1/export/people", json=ALL).data
        answer = as_user(bob).post(f"/api/v1/{address}", data=file, content_type="application/json")
        assert answer.status_code == 200
        assert answer.json["total_items"] == 2

    @pytest.mark.parametrize(
        "body, sentence",
        [
            ({}, "Send the file as `export`, or the file alone as the body."),
            ({"version": 2, "movies": []}, "Send the file as `export`"),
            ({"items": []}, "it has no `metadata`"),
            ({"metadata": {"export_type": "people", "version": "1.0.0"}}, "list of `items`"),
            ({"export": {}}, "it has no `metadata`"),
            ({"export": {"version": 2, "movies": []}}, "This file holds a whole library."),
            (
                {"export": file_of(kind="lists")},
                "export type mismatch: lists (expected people)",
            ),
            (
                {"export": file_of(version="0.9")},
                "unsupported export version: 0.9 (expected 1.0.0)",
            ),
            (
                {"export": file_of({"name": "Ann"}), "resolutions": {"Zoe": "keep"}},
                "unknown resolution: keep (expected skip, rename or overwrite)",
            ),
            (
                {"export": file_of({"name": "Ann"}), "bulk_resolution": "merge"},
                "unknown resolution: merge (expected skip, rename or overwrite)",
            ),
            ({"export": file_of(*[{}] * 10_001)}, "10,001 people; the limit is 10,000"),
        ],
        ids=lambda value: value[:30] if isinstance(value, str) else "",
    )
    @pytest.mark.parametrize("address", ["import/people", "import/people/preview"])
    def test_what_cannot_be_used_is_one_sentence_and_changes_nothing(
        self, as_user, bob, cast, body, sentence, address
    ):
        before = library(bob)
        answer = as_user(bob).post(f"/api/v1/{address}", json=body)
        assert answer.status_code == 422
        assert sentence in answer.json["detail"]
        assert library(bob) == before
        with db.connection_context():
            assert backups.listing(bob.id) == []

    @pytest.mark.parametrize(
        "body", [{"export": []}, {"export": 5}, {"resolutions": ["skip"]}, {"items": {}}, "x"]
    )
    def test_a_body_of_another_shape_is_422_with_its_place(self, as_user, bob, body):
        answer = as_user(bob).post("/api/v1/import/people", json=body)
        assert answer.status_code == 422
        assert answer.json["detail"][0]["msg"]

    @pytest.mark.parametrize("content_type", ["text/plain", "multipart/form-data; boundary=x"])
    def test_what_is_no_json_is_415(self, as_user, bob, content_type):
        answer = as_user(bob).post("/api/v1/import/people", data="{}", content_type=content_type)
        assert answer.status_code == 415

    def test_a_body_may_have_16_mib(self, as_user, bob):
        body = json.dumps({"export": file_of({"name": "Ann"})}).encode()
        padded = body + b" " * (16 * 2**20 - len(body))
        speaker, form = as_user(bob), {"content_type": "application/json"}
        assert speaker.post("/api/v1/import/people", data=padded, **form).status_code == 200
        answer = speaker.post("/api/v1/import/people", data=padded + b" ", **form)
        assert answer.status_code == 413
        assert "a collection" in answer.json["detail"]

    def test_while_something_else_works_on_the_library_it_is_409(self, as_user, bob, cast):
        with locks.hold(f"library-{bob.id}"):
            answer = as_user(bob).post(
                "/api/v1/import/people", json={"export": file_of({"name": "Ann"})}
            )
        assert answer.status_code == 409
        assert names(bob) == ["EVE"]

    def test_new_titles_are_looked_up(self, as_user, bob, monkeypatch):
        started = []
        monkeypatch.setattr(tasks, "start_enrichment", lambda: started.append(True))
        body = {"export": file_of({"name": "Ann"})}
        assert as_user(bob).post("/api/v1/import/people", json=body).status_code == 200
        assert started == [True]
        as_user(bob).post("/api/v1/import/people/preview", json=body)
        assert started == [True]

    def test_hostile_names_stay_what_they_are(self, as_user, alice, bob):
        hostile = ["<script>alert(1)</script>", "=1+1", "../../etc/passwd", "‮gnp", "x" * 300]
        body = {"export": file_of(*({"name": name} for name in hostile))}
        result = as_user(alice).post("/api/v1/import/people", json=body).json
        assert result["imported"] + result["errors"] == len(hostile)
        file = as_user(alice).post("/api/v1/export/people", json=ALL).json
        again = as_user(bob).post("/api/v1/import/people", json={"export": file}).json
        assert again["imported"] == result["imported"]
        assert names(bob) == names(alice)
