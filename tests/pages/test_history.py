"""The history on Data & Backup: what each line offers, comparing, adding a file, and a plan that
waits."""

import io
import re

import pytest
from playhouse.test_utils import count_queries

from mm import tasks
from mm.database import db
from mm.models import Job
from mm.services import jobs
from mm.services.backup import backups, imports, uploads
from mm.services.backup import files as backup_files
from tests.support.libraries import as_bytes, document, export, film, many, put, reload
from tests.support.markup import squeezed

PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
def made(alice, frozen_clock):
    """A backup of Alice's, of three films."""
    with db.connection_context():
        put(alice, document([film(number) for number in (1, 2, 3)]))
        return backups.create(alice)


@pytest.fixture
def imported(alice, made, frozen_clock):
    """An import with two rows that could not be used; its job, which is done."""
    frozen_clock.move(60)
    rows = [film(100), film(101, status="seen"), film(102, status="seen")]
    with db.connection_context():
        job = uploads.receive(alice, io.BytesIO(as_bytes(document(rows))), "library.json")
        job = imports.confirm(job, imports.prepare(job).plan_id)
        jobs.run(job.id, *tasks.WORK["import"])
        return Job.get_by_id(job.id)


def row_of(text, words):
    """The line of the history that holds `words`."""
    rows = re.findall(r"<tr class=\"history__row.*?</tr>", text)
    return next(row for row in rows if words in row)


def test_an_import_is_found_again_with_its_result_what_was_left_out_and_undo(page, imported):
    row = row_of(page.get("/backup").text, "Import of library.json")
    assert "1 film written" in row
    assert "Left out (2)" in row
    assert f"/backup/jobs/{imported.id}/left-out" in row
    result = page.get(f"/backup/jobs/{imported.id}").text
    assert "<h1>Import of library.json</h1>" in result
    assert "Written: 1 film." in result
    assert "Undo this import…" in result
    for text in (row, result):
        assert f'value="{imported.result["safety_backup"]}"' in text
        assert "estored" not in text


def test_undo_leads_to_a_plan_and_changes_nothing_yet(page, alice, imported):
    version = reload(alice).library_version
    answer = page.post("/backup/undo", data={"filename": imported.result["safety_backup"]})
    assert answer.status_code == 303
    assert page.get(answer.location).status_code == 200
    assert reload(alice).library_version == version


def test_without_anything_to_undo_the_answer_is_404(page, made):
    assert page.post("/backup/undo", data={"filename": made.filename}).status_code == 404


def test_a_failed_import_says_why_and_offers_no_undo(page, alice, made):
    with db.connection_context():
        job = jobs.create("import", alice.id, {"source": "<b>.json"})
        jobs.fail(job, "It could not be done (details in the log, code 7KXQ2).")
    row = row_of(page.get("/backup").text, "Import of &lt;b&gt;.json")
    assert "code 7KXQ2" in row
    assert "Failed" in row
    assert "Undo" not in row


def test_a_plan_that_somebody_walked_away_from_is_on_top_until_it_is_discarded(page, alice, made):
    file = {"file": (io.BytesIO(as_bytes(many(3))), "library.json")}
    plan = page.post("/backup/import", data=file).location
    text = page.get("/backup").text
    assert "library.json waits for you" in text
    assert "tomorrow at 12:00" in text
    assert f'href="{plan}">Continue</a>' in text
    assert text.index("waits for you") < text.index('id="health"')
    page.post(f"{plan}/discard")
    assert "waits for you" not in page.get("/backup").text


def test_a_damaged_backup_offers_deleting_and_warns_before_a_download(page, alice, made):
    path = backup_files.folder_of(alice.id) / made.filename
    path.write_bytes(path.read_bytes()[:100])
    row = row_of(page.get("/backup").text, made.filename)
    assert "The file is incomplete" in row
    assert "Restore…" not in row
    assert "Delete…" in row
    answer = page.get(f"/backup/files/{made.filename}")
    assert answer.mimetype == "text/html"
    assert "This backup is damaged" in answer.text
    answer = page.get(f"/backup/files/{made.filename}?anyway=1")
    assert len(answer.get_data()) == 100
    answer.close()


def test_an_unknown_file_has_its_name_one_sentence_and_nothing_to_do(page, alice, made):
    (backup_files.folder_of(alice.id) / "photos.zip").write_bytes(b"zip")
    text = page.get("/backup").text
    row = row_of(text, "photos.zip")
    assert row.count("Not a Movie Manager backup") == 1
    assert "<button" not in row
    assert "<a " not in row
    assert "<p>1 backup</p>" in text


def test_a_long_history_is_turned_page_by_page_and_pinning_stays_there(page, alice, made):
    folder = backup_files.folder_of(alice.id)
    sidecar = backup_files.read_sidecar(folder / made.filename)
    for _ in range(35):
        sidecar.created_at -= 3600
        path = folder / backup_files.name_for(folder, "manual", sidecar.created_at)
        path.write_bytes((folder / made.filename).read_bytes())
        backup_files.write_sidecar(path, sidecar)
    first, second = page.get("/backup").text, page.get("/backup?page=2").text
    assert first.count("history__row--verified") == 30
    assert second.count("history__row--verified") == 6
    assert "Page 2 of 2" in second
    pin = re.search(r'hx-post="([^"]+/pin\?page=2)"', second)[1]
    answer = page.post(pin, data={"pinned": "1"}, headers=PARTIAL)
    assert "Page 2 of 2" in squeezed(answer.text)
    assert answer.headers["HX-Replace-Url"] == "/backup?page=2"


def test_a_page_of_the_history_asks_the_database_the_same_for_one_file_as_for_many(
    page, alice, made
):
    page.get("/backup/history", headers=PARTIAL)
    with count_queries() as few:
        page.get("/backup/history", headers=PARTIAL)
    folder = backup_files.folder_of(alice.id)
    sidecar = backup_files.read_sidecar(folder / made.filename)
    for _ in range(20):
        sidecar.created_at -= 3600
        path = folder / backup_files.name_for(folder, "manual", sidecar.created_at)
        path.write_bytes((folder / made.filename).read_bytes())
        backup_files.write_sidecar(path, sidecar)
    with count_queries() as most:
        page.get("/backup/history", headers=PARTIAL)
    assert most.count == few.count


def test_a_backup_is_compared_with_now_and_with_another(page, alice, made, frozen_clock):
    frozen_clock.move(60)
    with db.connection_context():
        put(alice, document([film(9, title="Heat", year=1995)]))
        later = backups.create(alice)
    text = page.get(f"/backup/files/{made.filename}/compare").text
    assert "your library as it is now" in text
    assert "Heat" in text
    for chosen, other in ((made, later), (later, made)):
        text = page.get(f"/backup/files/{chosen.filename}/compare?other={other.filename}").text
        assert "1 film added." in text
    assert "Confirm" not in text
    assert "Nothing is different" in page.get(f"/backup/files/{later.filename}/compare").text


@pytest.mark.parametrize("other", ["../../mm.db", "2026-01-01.json"])
def test_only_own_backups_are_compared(page, made, other):
    answer = page.get(f"/backup/files/{made.filename}/compare", query_string={"other": other})
    assert answer.status_code == 404


def send(page, content, name="file.json", **values):
    return page.post("/backup/upload", data={"file": (io.BytesIO(content), name)}, **values)


def test_a_file_from_elsewhere_is_added_and_shown(page, alice, bob, made):
    with db.connection_context():
        content = export(bob)
    answer = send(page, content)
    assert answer.location == "/backup"
    text = page.get("/backup").text
    assert "Added to your backups, and tested by restoring it." in text
    assert "Kept until you delete it" in row_of(text, "Uploaded")
    assert reload(alice).movies.count() == 3


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "This file is empty."),
        (b"PK\x03\x04", "This is a ZIP file."),
        (b"Date,Name,Year,Letterboxd URI\n", "This looks like a Letterboxd export."),
        (b'{"items": []}', "isn’t a Movie Manager export"),
    ],
)
def test_what_cannot_be_added_is_said_at_the_field(page, made, content, words):
    for headers in ({}, PARTIAL):
        answer = send(page, content, headers=headers)
        assert answer.status_code == 422
        text = squeezed(answer.text)
        assert words in text[text.index('id="upload-problem"') :]
        assert ("<html" in text) == (not headers)
    assert "Uploaded" not in page.get("/backup").text


def test_a_file_of_65_mib_is_refused_at_the_field(page, made):
    sent = {"CONTENT_LENGTH": str(65 * 2**20), "CONTENT_TYPE": "multipart/form-data; boundary=x"}
    answer = page.post("/backup/upload", headers=PARTIAL, environ_overrides=sent)
    assert answer.status_code == 413
    assert "64 MB" in answer.text


def test_a_backup_that_is_done_is_told_by_a_toast_and_needs_no_card(page, alice, made):
    with db.connection_context():
        job = jobs.create("backup", alice.id, {"kind": "manual"})
        jobs.run(job.id, *tasks.WORK["backup"])
    answer = page.get(f"/backup/jobs/{job.id}", headers=PARTIAL)
    assert "Backed up and verified: 3 films." in answer.headers["HX-Trigger"]
    assert "panel" not in answer.text
    assert page.get(f"/backup?job={job.id}").location == "/backup"
    assert "Backed up and verified: 3 films." in page.get("/backup").text
    assert "Backed up and verified" in page.get(f"/backup/jobs/{job.id}").text


def test_an_empty_library_is_offered_the_import_first(page, alice):
    text = page.get("/backup").text
    assert text.index("Import Library") < text.index("Export Library")
    with db.connection_context():
        put(alice, many(1))
    text = page.get("/backup").text
    assert text.index("Export Library") < text.index("Import Library")
