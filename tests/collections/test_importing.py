"""An import of a collection: safe, undoable, and exactly what was confirmed. What each kind makes
of its items is tested with that kind."""

import io
import json
import threading
from types import SimpleNamespace

import msgspec
import pytest

from mm import clock, config, locks, tasks
from mm.database import db
from mm.errors import (
    ConflictError,
    InvalidError,
    NoRoomError,
    NotFoundError,
    UnavailableError,
    UnusableFileError,
)
from mm.models import Job, User
from mm.schemas import CollectionResult
from mm.services import jobs
from mm.services.backup import backups, history, imports, large_files, safety, undoing, uploads
from mm.services.collections import envelope, importing, plans
from mm.services.library import people
from tests.support import restores
from tests.support.libraries import as_bytes, document, export, film, hard_document, put, reload

# Two items of each kind; the first is of a name that is here.
ITEMS = {
    "people": [{"name": "Eve", "is_trusted": True, "emoji": "🦊"}, {"name": "Finn"}],
    "lists": [
        {"name": "Rainy days", "films": [{"imdb_id": "tt0111161"}]},
        {"name": "Sunny days", "films": [{"imdb_id": "tt0000001", "note": "Short"}]},
    ],
    "views": [
        {"name": "Unseen", "filters": {"status": "toWatch"}},
        {"name": "Seen", "filters": {"status": "watched"}},
    ],
}
# Those that are imported into the library.
KINDS = ["people", "lists", "views"]


def file_of(kind="people", items=None, **metadata):
    items = ITEMS[kind] if items is None else items
    metadata = {
        "version": "1.0.0",
        "mm_version": "0.2.0",
        "export_type": kind,
        "item_count": len(items),
    } | metadata
    return json.dumps({"metadata": metadata, "items": items}).encode()


def at_once(user, kind="people", bulk=None, **values):
    return importing.at_once(user, envelope.read(kind, file_of(kind)), None, bulk, **values)


def received(user, kind="people", **values):
    return importing.receive(user, kind, io.BytesIO(file_of(kind, **values)), "C:\\theirs.json")


def confirmed(user, kind="people"):
    job = received(user, kind)
    return importing.confirm(job, plans.digest(importing.planned(job)))


def run(job):
    jobs.run(job.id, *tasks.WORK["collection"])
    return Job.get_by_id(job.id)


def names(user):
    return {each.name for each in people.listing(user.id)}


def kept():
    return sorted(path.name for path in config.current.tmp_dir.iterdir())


def make_first_of_each(user):
    """Something of the name of the first item of each kind."""
    for kind in KINDS:
        items = [ITEMS[kind][0] | {"color": "#111111"}]
        importing.at_once(user, envelope.read(kind, file_of(kind, items)))


@pytest.fixture
def library(alice, database, frozen_clock):
    """Alice's, with films, lists and people; as it was an hour ago."""
    put(alice, hard_document())
    make_first_of_each(alice)
    frozen_clock.move(8 * clock.DAY)
    return export(alice)


@pytest.fixture
def phone(alice, monkeypatch):
    """phone.add("Ann", …): each is added right before a collection is written, unless the import
    holds the database."""
    apply, waiting = importing._apply, []

    def apply_after_a_write(*arguments):
        if waiting and not db.in_transaction():
            people.create(alice.id, waiting.pop(0))
        return apply(*arguments)

    monkeypatch.setattr(importing, "_apply", apply_after_a_write)
    return SimpleNamespace(add=lambda *added: waiting.extend(added))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bulk", [None, "rename", "overwrite"])
class TestUndo:
    def test_an_import_at_once_is_undone_exactly(self, alice, library, kind, bulk):
        result = at_once(alice, kind, bulk)
        assert result.imported == 1
        assert export(alice) != library
        [undoable] = undoing.available(reload(alice))
        assert undoable.filename == result.safety_backup
        undoing.at_once(reload(alice))
        assert export(alice) == library

    def test_one_of_the_pages_is_undone_exactly(self, alice, library, kind, bulk):
        job = received(alice, kind)
        plan = importing.choose(job, {}, bulk)
        job = run(importing.confirm(job, plans.digest(plan)))
        assert (job.state, job.result["imported"]) == ("done", 1)
        assert kept() == []
        undoing.at_once(reload(alice), job.result["safety_backup"])
        assert export(alice) == library


class TestHistory:
    def test_it_names_the_import_once_with_its_undo(self, alice, library):
        job = run(confirmed(alice))
        rows = [row for row in history.page(reload(alice)).rows if row.run]
        assert rows[0].title == "Import of theirs.json"
        assert rows[0].run.safety_copy == job.result["safety_backup"]
        assert [row.title for row in rows].count("Import of theirs.json") == 1

    def test_a_waiting_collection_is_no_plan_of_data_and_backup(self, alice, library):
        job = received(alice)
        assert history.waiting(alice.id) is None
        with pytest.raises(NotFoundError):
            uploads.find(job.id, alice.id)

    def test_an_import_into_an_empty_library_needs_no_copy_and_hides_no_earlier_one(
        self, alice, database
    ):
        """An undo would otherwise take back what was done before it, and more than was asked."""
        put(alice, document([film(1)]))
        imports.import_bytes(reload(alice), as_bytes(document([film(2)])))
        empty = document()
        imports.import_bytes(reload(alice), as_bytes(empty), mode="replace")
        assert safety.is_empty(reload(alice))
        assert at_once(reload(alice)).safety_backup is None
        with pytest.raises(NotFoundError, match="went into an empty library"):
            undoing.at_once(reload(alice))


class TestNothingTaken:
    def test_an_import_that_takes_nothing_leaves_no_backup_and_no_write(self, alice, library):
        version = reload(alice).library_version
        items = [{"name": "Eve"}, {"name": "Max", "color": "blue"}]
        result = importing.at_once(alice, envelope.read("people", file_of(items=items)))
        assert (result.skipped, result.errors, result.safety_backup) == (1, 1, None)
        assert reload(alice).library_version == version
        assert undoing.available(reload(alice)) == []

    @pytest.mark.parametrize("resolutions, bulk", [({"Eve": "keep"}, None), ({}, "keep")])
    def test_an_unknown_resolution_changes_nothing(self, alice, library, resolutions, bulk):
        received_file = envelope.read("people", file_of())
        with pytest.raises(InvalidError, match="unknown resolution: keep"):
            importing.at_once(alice, received_file, resolutions, bulk)
        job = received(alice)
        with pytest.raises(InvalidError, match="unknown resolution: keep"):
            importing.choose(job, resolutions, bulk)
        assert "resolutions" not in Job.get_by_id(job.id).params
        assert export(alice) == library


class TestChangedBetween:
    def test_at_once_with_another_preview_agreed_nothing_is_written(self, alice, library):
        agreed = plans.digest(plans.plan(alice.id, envelope.read("people", file_of())))
        people.create(alice.id, "finn")
        before = export(alice)
        with pytest.raises(ConflictError, match="changed since this preview was made"):
            at_once(reload(alice), agreed=agreed)
        assert export(alice) == before
        assert undoing.available(reload(alice)) == []

    def test_a_change_that_the_preview_does_not_show_is_in_nobodys_way(self, alice, library):
        agreed = plans.digest(plans.plan(alice.id, envelope.read("people", file_of())))
        people.create(alice.id, "Someone else")
        assert at_once(reload(alice), agreed=agreed).imported == 1

    def test_a_confirmation_of_another_preview_is_refused_and_the_file_waits(self, alice, library):
        job = received(alice)
        agreed = plans.digest(importing.planned(job))
        people.create(alice.id, "finn")
        with pytest.raises(ConflictError, match="Check it, then confirm again"):
            importing.confirm(job, agreed)
        assert uploads.is_waiting(job)
        again = importing.confirm(job, plans.digest(importing.planned(job)))
        assert run(again).result["skipped"] == 2

    def test_a_change_after_the_confirmation_gives_it_back_to_its_user(self, alice, library):
        job = confirmed(alice)
        people.create(alice.id, "finn")
        before = export(alice)
        job = run(job)
        assert (job.state, job.message) == ("waiting", importing.CHANGED_SINCE)
        assert export(alice) == before
        assert undoing.available(reload(alice)) == []
        job = run(importing.confirm(job, plans.digest(importing.planned(job))))
        assert (job.state, job.result["skipped"]) == ("done", 2)

    def test_where_a_newer_file_waits_it_has_failed(self, alice, library):
        """Each user has one waiting file."""
        job = confirmed(alice)
        newer = received(alice)
        people.create(alice.id, "finn")
        job = run(job)
        assert job.state == "failed"
        assert job.message.endswith("A newer upload has replaced it.")
        assert kept() == [f"{newer.id}.json"]

    def test_a_write_right_before_the_import_is_planned_in(self, alice, library, phone):
        """Without a preview that was agreed to, what is here by then decides."""
        phone.add("finn")
        result = at_once(reload(alice))
        assert (result.skipped, result.imported, result.safety_backup) == (2, 0, None)
        assert {"Finn", "finn"} & names(alice) == {"finn"}
        assert [entry.kind for entry in backups.listing(alice.id)] == []

    def test_somebody_who_writes_all_the_time_waits_for_the_import(self, alice, library, phone):
        phone.add(*(f"Phone {number}" for number in range(9)))
        result = at_once(reload(alice))
        assert (result.skipped, result.imported) == (1, 1)
        assert {"Finn", "Phone 0", "Phone 1"} < names(alice)
        [entry] = backups.listing(alice.id)
        assert (entry.filename, entry.state) == (result.safety_backup, "verified")
        undoing.at_once(reload(alice))
        assert {"Finn", "Phone 0", "Phone 1"} - names(alice) == {"Finn"}

    def test_choices_for_a_file_that_waits_no_longer_are_refused(self, alice, library):
        job = received(alice)
        importing.confirm(job, plans.digest(importing.planned(job)))
        with pytest.raises(ConflictError, match="already confirmed"):
            importing.choose(job, {"Eve": "rename"})
        assert run(job).result["renamed"] == 0


class TestAtTheSameTime:
    def test_while_something_else_works_on_the_library_it_is_refused(self, alice, library):
        job = received(alice)
        agreed = plans.digest(importing.planned(job))
        with backups.holding(alice.id):
            with pytest.raises(locks.BusyError, match="Try again when it has finished"):
                at_once(alice)
            with pytest.raises(locks.BusyError):
                importing.confirm(job, agreed)
        assert uploads.is_waiting(job)
        assert export(alice) == library

    def test_a_second_one_is_not_confirmed_while_the_first_waits_for_its_turn(self, alice, library):
        first = confirmed(alice)
        second = received(alice)
        with pytest.raises(locks.BusyError, match="waiting for its turn"):
            importing.confirm(second, plans.digest(importing.planned(second)))
        assert run(first).state == "done"
        assert uploads.is_waiting(second)

    def test_a_job_that_finds_the_library_in_use_goes_back_to_the_queue(self, alice, library):
        job = confirmed(alice)
        with backups.holding(alice.id):
            assert jobs.run(job.id, *tasks.WORK["collection"])
        assert Job.get_by_id(job.id).state == "queued"
        assert run(job).state == "done"

    def test_delivered_twice_it_is_done_once(self, alice, library):
        job = confirmed(alice)
        assert run(job).state == "done"
        version = reload(alice).library_version
        after = export(alice)
        assert run(job).state == "done"
        assert reload(alice).library_version == version
        assert export(alice) == after


class TestFilesThatWait:
    @pytest.mark.parametrize(
        "data, error, sentence",
        [
            (b"", UnusableFileError, "This file is empty"),
            (file_of(export_type="lists"), UnusableFileError, r"mismatch: lists \(expected people"),
            (file_of(version="2.0.0"), UnusableFileError, "unsupported export version: 2.0.0"),
            (b" " * (envelope.FILE_MAX + 1), Exception, "larger than the 16 MB limit"),
        ],
    )
    def test_one_that_cannot_be_used_is_not_kept_and_replaces_nothing(
        self, alice, library, data, error, sentence
    ):
        job = received(alice)
        with pytest.raises(error, match=sentence):
            importing.receive(alice, "people", io.BytesIO(data))
        assert kept() == [f"{job.id}.json"]
        assert uploads.is_waiting(job)

    def test_it_is_its_users_and_of_its_kind(self, alice, bob, library):
        job = received(alice)
        assert importing.find(job.id, alice.id, "people") == job
        for user, kind in ((bob, "people"), (alice, "lists")):
            with pytest.raises(NotFoundError):
                importing.find(job.id, user.id, kind)

    def test_it_is_swept_after_a_day_and_one_that_has_ended_at_once(
        self, alice, library, frozen_clock
    ):
        done = run(confirmed(alice))
        path = uploads.path_of(done)
        path.write_bytes(b"{}")
        waiting = received(alice)
        uploads.sweep()
        assert kept() == [f"{waiting.id}.json"]
        frozen_clock.move(clock.DAY + 1)
        uploads.sweep()
        assert not Job.select().where(Job.id == waiting.id).exists()

    def test_a_file_that_is_gone_fails_with_a_reason(self, alice, library):
        job = confirmed(alice)
        uploads.delete(job)
        job = run(job)
        assert (job.state, job.message) == ("failed", uploads.GONE)
        assert export(alice) == library

    def test_one_that_was_exchanged_is_not_imported(self, alice, library):
        job = confirmed(alice)
        uploads.path_of(job).write_bytes(file_of(items=[{"name": "Mallory"}]))
        assert run(job).message == uploads.ANOTHER_FILE
        assert export(alice) == library

    def test_its_words_are_those_of_an_import(self):
        kind = jobs.KINDS["collection"]
        assert kind.noun == "An import of a collection"
        assert kind.words == jobs.KINDS["import"].words
        assert kind.is_awaited
        assert kind.adds_titles


def test_a_full_disk_gives_it_back_to_its_user(alice, library, monkeypatch):
    job = confirmed(alice)

    def full(*_):
        raise NoRoomError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(plans, "apply", full)
        job = run(job)
    assert job.state == "waiting"
    assert job.message == "The disk is full." + imports.NO_ROOM_YET
    assert export(alice) == library
    assert undoing.available(reload(alice)) == []
    job = run(importing.confirm(job, plans.digest(importing.planned(job))))
    assert job.state == "done"


class TestRestoreOfTheServer:
    @pytest.fixture
    def restore(self, app, alice, frozen_clock):
        def restore(path):
            frozen_clock.move(60)
            db.close()
            restores.restored(path)
            db.connect()

        db.connect()
        people.create(alice.id, "Eve")
        yield restore
        db.close()

    def test_one_that_waited_before_the_archive_is_over(self, alice, restore):
        job, before = received(alice), export(alice)
        agreed = plans.digest(importing.planned(job))
        restore(restores.archive())
        job = importing.find(job.id, alice.id, "people")
        assert job.state == "failed"
        assert job.message
        with pytest.raises(ConflictError, match="already confirmed or cancelled"):
            importing.confirm(job, agreed)
        assert export(alice) == before
        uploads.sweep()
        assert kept() == []

    def test_one_that_came_after_the_archive_is_gone(self, alice, restore):
        path = restores.archive()
        job = received(alice)
        restore(path)
        with pytest.raises(NotFoundError, match="Upload it again"):
            importing.find(job.id, alice.id, "people")
        assert run(confirmed(reload(alice))).state == "done"


class TestPages:
    """Data & Backup and the pages of jobs know of it."""

    def of(self, job):
        return f"/collections/people/import/{job.id}"

    @pytest.mark.parametrize("state", ["queued", "running"])
    def test_data_and_backup_shows_one_that_is_under_way(self, page, alice, state):
        with db.connection_context():
            job = confirmed(alice)
            Job.update(state=state, started_at=clock.now()).where(Job.id == job.id).execute()
        assert "Importing…" in page.get("/backup").text
        assert "Importing…" in page.get(f"/backup/jobs/{job.id}").text

    def test_one_that_is_done_leads_to_its_result_and_its_undo(self, page, alice):
        with db.connection_context():
            people.create(alice.id, "Zoe")
            items = [{"name": "Ann"}, {"name": "Max", "color": "blue"}]
            job = received(alice, items=items)
            job = run(importing.confirm(job, plans.digest(importing.planned(job))))
        assert job.result["errors"] == 1
        shown = page.get(f"/backup/jobs/{job.id}").text
        assert "Import finished" in shown
        assert "A copy from before this import is kept for 7 days." in shown
        assert "Undo this import…" in shown
        assert f'href="{self.of(job)}"' in shown
        assert page.get(f"/backup/jobs/{job.id}/left-out.csv").status_code == 404
        assert "Import of theirs.json" in page.get("/backup").text

    def test_one_that_waits_again_leads_to_its_preview(self, page, alice):
        with db.connection_context():
            job = confirmed(alice)
            people.create(alice.id, "finn")
            job = run(job)
        shown = page.get(f"/backup/jobs/{job.id}").text
        assert importing.CHANGED_SINCE in shown
        assert f'href="{self.of(job)}"' in shown
        assert page.get("/backup").status_code == 200

    def test_one_that_has_failed_says_that_nothing_was_written(self, page, alice):
        with db.connection_context():
            job = confirmed(alice)
            uploads.delete(job)
            run(job)
        shown = page.get(f"/backup/jobs/{job.id}").text
        assert "The import failed" in shown
        assert "Nothing was written." in shown

    def test_the_jobs_of_the_server_count_its_items_and_name_none(self, page, alice, carol):
        with db.connection_context():
            people.create(alice.id, "Eve")
            job = received(alice)
            plan = importing.choose(job, {}, "overwrite")
            run(importing.confirm(job, plans.digest(plan)))
            confirmed(alice)
            User.update(is_admin=True).where(User.id == alice.id).execute()
        shown = page.get("/admin/jobs").text
        assert "1 item imported, 1 item overwritten" in shown
        assert "Import of a collection" in shown
        assert "Finn" not in shown


def test_what_a_job_records_is_what_the_api_answers(alice, library):
    result = msgspec.convert(run(confirmed(alice)).result, CollectionResult)
    assert (result.imported, result.skipped, result.total_items) == (1, 1, 2)


class TestLargeFiles:
    """As whole libraries: one at a time."""

    def test_wait_for_their_turn_at_each_step(self, alice, monkeypatch):
        job = received(alice)
        monkeypatch.setattr(large_files, "LARGE_FILE", 1)
        monkeypatch.setattr(large_files, "TURN_SECONDS", 0.05)
        theirs = envelope.read("people", file_of())
        steps = [
            lambda: received(alice),
            lambda: importing.planned(job),
            lambda: importing.choose(job, {}, "rename"),
            lambda: importing.plan(alice.id, theirs),
            lambda: importing.at_once(alice, theirs),
        ]
        with large_files.turn:
            for step in steps:
                with pytest.raises(UnavailableError, match="Another import is being read"):
                    step()
        assert importing.chosen(Job.get()) == ({}, None)
        assert importing.at_once(alice, theirs).imported == 2

    def test_the_worker_has_the_patience_to_wait(self, alice, monkeypatch):
        job = confirmed(alice)
        monkeypatch.setattr(large_files, "LARGE_FILE", 1)
        monkeypatch.setattr(large_files, "TURN_SECONDS", 0)
        large_files.turn.acquire()
        threading.Timer(0.2, large_files.turn.release).start()
        jobs.run(job.id, importing.run, importing.failed)
        assert Job.get().state == "done"
