"""The history: backups, imports, restores and undos in one table, each once and true."""

import contextlib
import io
import time

import pytest

from mm import clock, described_files, tasks
from mm.database import db
from mm.errors import TooLargeError, UnusableFileError
from mm.models import Job
from mm.schemas import Before, Counts, Sidecar
from mm.services import jobs
from mm.services.backup import adding, backups, comparing, history, imports, uploads
from mm.services.backup import files as backup_files
from mm.services.portable import FILE_MAX
from tests.support.libraries import as_bytes, document, export, film, many, person, put, reload

DAY = 86400


@pytest.fixture
def service(database, frozen_clock):
    """The open database, at noon on a Sunday."""


def rows(user, number=1):
    return history.page(user, number).rows


def titles(user):
    return [row.title for row in rows(user)]


def imported(user, library, name="library.json"):
    """An import as a page does it; its job, which has ended."""
    job = uploads.receive(user, io.BytesIO(as_bytes(library)), name)
    job = imports.confirm(job, imports.prepare(job).plan_id)
    jobs.run(job.id, *tasks.WORK["import"])
    return Job.get_by_id(job.id)


def described(user, filename, before):
    """Write down what a safety copy was made before."""
    path = backup_files.folder_of(user.id) / filename
    sidecar = backup_files.read_sidecar(path)
    sidecar.before = before
    backup_files.write_sidecar(path, sidecar)


def a_safety_copy(user, before, kind="before-import"):
    filename = backups.create(user, kind).filename
    described(user, filename, before)
    return filename


def before(action="import", mode="merge", source="library.json", films=46, done=True):
    now = clock.now()
    return Before(action, mode, source, now, films, now if done else None)


def test_backups_and_imports_stand_in_one_table_the_newest_first(service, alice, frozen_clock):
    put(alice, many(3))
    backups.create(alice)
    frozen_clock.move(60)
    job = imported(alice, many(5, start=100))
    frozen_clock.move(60)
    backups.create(alice)
    listed = rows(alice)
    assert [row.title for row in listed] == [
        "Made by hand",
        "Import of library.json",
        "Before an import",
        "Made by hand",
    ]
    assert listed[1].run.job_id == job.id
    assert listed[1].run.films == 5
    assert [row.backup is None for row in listed] == [False, True, False, False]


def test_an_import_is_listed_once_though_its_safety_copy_tells_of_it_too(
    service, alice, frozen_clock
):
    put(alice, many(3))
    job = imported(alice, many(5, start=100))
    copy = job.result["safety_backup"]
    assert titles(alice) == ["Import of library.json", "Before an import"]
    [run] = [row.run for row in rows(alice) if row.run]
    assert (run.job_id, run.safety_copy) == (job.id, copy)
    Job.delete().execute()
    [run] = [row.run for row in rows(alice) if row.run]
    assert (run.job_id, run.films, run.safety_copy) == (None, 5, copy)
    assert "Import of library.json" in titles(alice)


def test_what_never_wrote_the_library_is_not_listed_as_done(service, alice):
    put(alice, many(3))
    a_safety_copy(alice, before(done=False))
    assert titles(alice) == ["Before an import"]


def test_a_failed_import_is_listed_with_its_reason_and_without_undo(service, alice, frozen_clock):
    put(alice, many(3))
    job = jobs.create("import", alice.id, {"source": "library.json"})
    frozen_clock.move(5)
    Job.update(started_at=clock.now(), starts=1).where(Job.id == job.id).execute()
    # It was killed after the copy and before the library was written.
    a_safety_copy(alice, before())
    frozen_clock.move(5)
    jobs.fail(Job.get_by_id(job.id), "Something went wrong (code 7KXQ2).")
    [run] = [row.run for row in rows(alice) if row.run]
    assert (run.failed, run.safety_copy) == ("Something went wrong (code 7KXQ2).", None)


def test_what_is_offered_to_be_undone_ends_after_seven_days(service, alice, frozen_clock):
    put(alice, many(3))
    a_safety_copy(alice, before())
    assert [row.run.safety_copy is not None for row in rows(alice) if row.run] == [True]
    frozen_clock.move(8 * DAY)
    assert [row.run.safety_copy for row in rows(alice) if row.run] == [None]


@pytest.mark.parametrize(
    "told, title",
    [
        (before, "Import of library.json"),
        (lambda: before(source=None), "Import of a file"),
        (lambda: before("restore", "replace", "2026-02-27.json"), "Restore of Friday’s backup"),
        (lambda: before("restore", "merge", "2026-02-27.json"), "Merge of Friday’s backup"),
        (
            lambda: before("restore", "replace", "2026-01-03T10-00-00-manual.json"),
            "Restore of the backup of 3 January",
        ),
        (lambda: before("undo", "replace", "2026-03-01.json"), "Undo of a restore"),
    ],
)
def test_each_is_named_by_what_it_was_and_a_merge_is_never_a_restore(service, alice, told, title):
    put(alice, many(1))
    a_safety_copy(alice, told(), "before-restore")
    assert title in titles(alice)


def test_an_undo_names_what_it_undid(service, alice, frozen_clock):
    put(alice, many(1))
    copy = a_safety_copy(alice, before("import"))
    frozen_clock.move(60)
    a_safety_copy(alice, before("undo", "replace", copy), "before-restore")
    assert titles(alice)[:2] == ["Undo of the import of library.json", "Before an undo"]


def test_a_plan_that_waits_is_named_by_its_file_and_until_when_it_is_kept(service, alice):
    assert history.waiting(alice.id) is None
    uploads.receive(alice, io.BytesIO(as_bytes(many(2))), "C:\\temp\\library.json")
    waiting = history.waiting(alice.id)
    assert waiting.title == "library.json"
    assert waiting.until == clock.now() + DAY
    assert rows(alice) == []


def test_another_users_files_and_jobs_are_not_in_it(service, alice, bob):
    put(alice, many(2))
    imported(alice, many(1, start=50))
    uploads.receive(alice, io.BytesIO(as_bytes(many(2))), "library.json")
    assert rows(bob) == []
    assert history.waiting(bob.id) is None


def test_a_page_has_thirty_rows_and_a_number_that_is_out_of_range_the_nearest(service, alice):
    fill(alice, 65)
    assert [len(rows(alice, number)) for number in (1, 2, 3)] == [30, 30, 5]
    assert history.page(alice, 99).number == 3
    assert history.page(alice, -1).number == 1
    names = [row.backup.filename for number in (1, 2, 3) for row in rows(alice, number)]
    assert len(set(names)) == 65


def fill(user, count):
    """So many described files, made an hour apart."""
    folder = backup_files.folder_of(user.id)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        moment = clock.now() - 3600 * number
        path = folder / backup_files.name_for(folder, "manual", moment)
        path.write_bytes(b"{}")
        counts = Counts(1, 0, 0)
        sidecar = Sidecar("manual", moment, 2, "0" * 64, counts, "0.2.0", verified_at=moment)
        path.with_name(f"{path.name}.meta.json").write_bytes(described_files.encode(sidecar))


def test_a_thousand_files_are_described_by_one_reading_each_and_none_is_opened(
    service, alice, monkeypatch
):
    fill(alice, 1000)
    opened = []
    real = backup_files.read_sidecar
    monkeypatch.setattr(
        backup_files, "read_sidecar", lambda path: (opened.append(path.name), real(path))[1]
    )
    monkeypatch.setattr(backup_files, "read", None)
    begun = time.perf_counter()
    assert len(rows(alice, 2)) == 30
    seconds = time.perf_counter() - begun
    assert len(opened) == 1000
    assert seconds < 1.5, f"{seconds:.2f} s"


# Comparing.


def compared(user, older, newer=None):
    result = comparing.compare(user, older.filename, newer.filename if newer else None)
    return {
        (change.kind, change.outcome, change.label, *change.fields) for change in result.changes
    }


def test_a_backup_is_compared_with_the_library_as_it_is_now(service, alice):
    put(alice, document([film(1, title="Heat"), film(2)], [person("Ada")]))
    older = backups.create(alice)
    as_it_was = export(alice)
    put(alice, document([film(1, status="deleted", last_modified=clock.now()), film(3)]))
    found = compared(alice, older)
    assert ("movie", "new", "tt0000003") in {change[:3] for change in found}
    assert ("movie", "changed", "Heat", "status") in {change[:4] for change in found}
    assert not any(change[1] == "rejected" for change in found)
    assert export(alice) != as_it_was


def test_two_backups_are_compared_and_nothing_is_written(service, alice, frozen_clock):
    put(alice, document([film(1), film(2)]))
    older = backups.create(alice)
    frozen_clock.move(60)
    put(alice, document([film(3)]))
    newer = backups.create(alice)
    as_it_was, version = export(alice), reload(alice).library_version
    found = compared(alice, older, newer)
    assert {change[:3] for change in found} == {("movie", "new", "tt0000003")}
    assert compared(alice, older, older) == set()
    assert (export(alice), reload(alice).library_version) == (as_it_was, version)


def test_what_a_later_backup_has_no_longer_is_removed(service, alice, frozen_clock):
    put(alice, document([film(1), film(2)]))
    larger = backups.create(alice)
    with db.atomic():
        alice.movies.where(alice.movies.model.imdb_id == "tt0000002").get().delete_instance()
    found = compared(alice, larger)
    assert {change[:3] for change in found} == {("movie", "removed", "tt0000002")}


def test_of_many_differences_the_first_are_shown_and_the_rest_counted(service, alice, monkeypatch):
    monkeypatch.setattr(comparing, "MOST_ROWS", 10)
    older = backups.create(alice)
    put(alice, document([film(number) for number in range(1, 26)]))
    result = comparing.compare(alice, older.filename, None)
    assert (len(result.changes), result.more) == (10, 15)
    assert result.counts["movie"]["new"] == 25


# Files from elsewhere.


def test_a_file_from_elsewhere_is_kept_and_tested_and_imports_nothing(service, alice, bob):
    put(bob, many(4))
    entry = adding.add(alice, export(bob))
    assert (entry.kind, entry.state, entry.counts.movies) == ("uploaded", "verified", 4)
    assert entry.kept_because == "Kept until you delete it"
    assert reload(alice).movies.count() == 0
    assert titles(alice) == ["Uploaded"]


def test_a_file_with_a_bad_row_is_kept_and_says_what_is_wrong_with_it(service, alice):
    entry = adding.add(alice, as_bytes(document([film(1), film(2, status="seen")])))
    assert entry.state == "damaged"
    assert not entry.rotten
    assert "movies[1].status" in entry.problem


@pytest.mark.parametrize(
    "data", [b"", b"PK\x03\x04rest", b"Date,Name,Year,Letterboxd URI\n", b'{"hello": 1}', b"[]"]
)
def test_what_is_no_export_is_refused_and_leaves_nothing(service, alice, data):
    with pytest.raises(UnusableFileError):
        adding.add(alice, data)
    folder = backup_files.folder_of(alice.id)
    assert not folder.exists() or list(folder.iterdir()) == []


def test_a_file_that_is_too_large_is_refused(service, alice):
    with pytest.raises(TooLargeError):
        adding.add(alice, b" " * (FILE_MAX + 1))


def test_a_file_from_elsewhere_is_there_whole_or_not_at_all(service, alice, monkeypatch):
    """The process dies at the moment when the draft gets its name."""

    def die(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(backup_files, "publish", die)
    with contextlib.suppress(KeyboardInterrupt):
        adding.add(alice, as_bytes(many(2)))
    assert rows(alice) == []
