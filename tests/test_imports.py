"""Plan, confirm, apply: nothing is written before, and nothing is lost when it goes wrong."""

import io
import os

import pytest

from mm import config, models
from mm.errors import Conflict, Invalid, NoRoom, NotFound, TooLarge
from mm.models import Job, Movie
from mm.services import archive, backup_files, backups, imports, jobs, locks, portable
from tests.libraries import (
    T,
    as_bytes,
    document,
    export,
    exported,
    film,
    hard_document,
    many,
    person,
    put,
    reload,
    seen,
)

pytestmark = pytest.mark.usefixtures("database", "frozen_clock")


def upload(user, library):
    return imports.receive(user, io.BytesIO(as_bytes(library)))


def confirmed(user, library, conflicts="overwrite"):
    job = upload(user, library)
    return imports.confirm(job, conflicts, imports.preview(job, conflicts).library_version)


def run(job):
    jobs.run(job.id, imports.run)
    return Job.get_by_id(job.id)


def waiting_files():
    return sorted(os.listdir(config.current.tmp_dir))


def test_an_upload_is_planned_confirmed_and_applied(alice):
    job = upload(alice, many(30, 2))
    plan = imports.preview(job)
    assert plan.counts["movie"] == {"new": 30}
    assert Movie.select().count() == 0
    done = run(imports.confirm(job, "overwrite", plan.library_version))
    assert (done.state, done.result["movies_imported"], done.done, done.total) == ("done", 30, 4, 4)
    assert len(done.result["imdb_ids_needing_enrichment"]) == 30
    assert waiting_files() == []


def test_a_file_that_cannot_be_used_is_not_kept(alice):
    for data, error in ((b"nonsense", Invalid), (b" " * (64 * 2**20 + 1), TooLarge)):
        with pytest.raises(error):
            imports.receive(alice, io.BytesIO(data))
    assert waiting_files() == []
    assert Job.select().count() == 0


def test_a_plan_that_is_no_longer_true_is_refused_at_the_confirmation(alice):
    job = upload(alice, many(3))
    version = imports.preview(job).library_version
    put(alice, document([film(90)]))
    with pytest.raises(Conflict, match="has changed since"):
        imports.confirm(job, "overwrite", version)
    assert imports.preview(job).library_version == version + 1


def test_a_change_made_while_the_worker_reads_the_file_is_not_overwritten(alice, monkeypatch):
    """The plan that is done is the one that was confirmed."""
    put(alice, document([film(1)]))
    job = confirmed(alice, document([film(1)]))
    read = portable.read

    def read_slowly(data, own=False):
        patched.undo()
        put(alice, document([seen(1)]))
        return read(data, own)

    with monkeypatch.context() as patched:
        patched.setattr(portable, "read", read_slowly)
        assert "has changed since" in run(job).message
    assert exported(alice)["movies"]["tt0000001"]["status"] == "watched"


def test_a_plan_that_became_untrue_while_it_waited_for_the_worker_changes_nothing(alice):
    job = confirmed(alice, many(3))
    put(alice, document([film(90)]))
    before = export(alice)
    assert "has changed since" in run(job).message
    assert export(alice) == before


def test_an_import_into_a_library_makes_a_verified_safety_backup_first(alice):
    put(alice, hard_document())
    before = export(alice)
    result = imports.import_bytes(alice, as_bytes(many(3)))
    [safety] = backups.listing(alice.id)
    assert (result.safety_backup, safety.kind, safety.state) == (safety.filename, "before-import", "verified")
    assert portable.read(backup_files.read(alice.id, safety.filename)).films == portable.read(before).films


def test_an_import_into_an_empty_account_or_without_effect_needs_none(alice):
    assert imports.import_bytes(alice, as_bytes(many(3))).safety_backup is None
    assert imports.import_bytes(alice, export(alice)).safety_backup is None
    assert backups.listing(alice.id) == []


def test_without_room_for_the_safety_backup_nothing_is_changed(alice, monkeypatch):
    put(alice, many(3))
    before = export(alice)

    def full(*args):
        raise NoRoom("Not enough disk space: 2 MB needed, 1 MB free.")

    monkeypatch.setattr(archive, "require_room", full)
    with pytest.raises(NoRoom) as refused:
        imports.import_bytes(alice, as_bytes(hard_document()))
    assert refused.value.status == 507
    assert export(alice) == before


def test_a_phone_that_writes_meanwhile_makes_the_import_plan_anew(alice, monkeypatch):
    apply, calls = portable.apply, []

    def apply_late(plan, **scratch):
        if not scratch:
            calls.append(plan)
        if len(calls) == 1 and not scratch:
            apply(portable.plan(alice.id, portable.read(as_bytes(document([film(90)])))))
        apply(plan, **scratch)

    monkeypatch.setattr(portable, "apply", apply_late)
    result = imports.import_bytes(alice, as_bytes(many(3)))
    assert (len(calls), result.movies_imported) == (2, 3)
    assert len(exported(alice)["movies"]) == 4


def test_a_dry_run_shows_the_plan_and_writes_nothing(alice):
    plan = imports.import_bytes(alice, as_bytes(many(3)), dry_run=True)
    assert plan.counts["movie"] == {"new": 3}
    assert Movie.select().count() == 0


def test_films_that_were_deleted_come_back_from_a_backup(alice):
    put(alice, document([seen(1), seen(2), film(3)]))
    entry = backups.create(alice)
    before = export(alice)
    Movie.update(status="deleted").where(Movie.title == "tt0000001").execute()
    Movie.delete().where(Movie.title == "tt0000002").execute()
    models.touch_library(models.db.obj, alice.id)
    result = imports.restore_backup(alice, entry.filename)
    assert result.movies_imported == 2
    assert export(alice) == before
    assert {item.kind for item in backups.listing(alice.id)} == {"manual", "before-restore"}
    assert backups.health(alice).last_good.kind == "manual"


def test_a_restore_is_offered_with_its_plan_first(alice):
    put(alice, many(3))
    entry = backups.create(alice)
    Movie.delete().execute()
    models.touch_library(models.db.obj, alice.id)
    job = imports.offer(reload(alice), entry.filename)
    plan = imports.preview(job)
    assert (job.kind, plan.counts["movie"]) == ("restore", {"new": 3})
    assert run(imports.confirm(job, "overwrite", plan.library_version)).result["movies_imported"] == 3


def test_a_damaged_backup_is_refused_before_anything_happens(alice):
    put(alice, many(3))
    entry = backups.create(alice)
    (backup_files.folder_of(alice.id) / entry.filename).write_bytes(as_bytes(many(1)))
    with pytest.raises(Invalid, match="damaged"):
        imports.restore_backup(alice, entry.filename)


def test_two_imports_at_once_the_second_is_409_and_the_first_unharmed(alice):
    with locks.hold(f"library-{alice.id}"):
        with pytest.raises(Conflict) as busy:
            imports.import_bytes(alice, as_bytes(many(3)))
        job = upload(alice, many(3))
        with pytest.raises(Conflict):
            imports.confirm(job, "overwrite", 0)
    assert busy.value.status == 409
    assert exported(alice)["movies"] == {}


def test_a_second_import_is_409_while_the_first_waits_for_the_worker(alice):
    second = upload(alice, many(3, start=50))
    confirmed(alice, many(3))
    with pytest.raises(Conflict, match="waiting for its turn"):
        imports.confirm(second, "overwrite", 0)
    with pytest.raises(Conflict):
        backups.request(alice, "backup", {"kind": "manual"})


def test_a_queued_import_waits_while_a_backup_runs(alice):
    job = confirmed(alice, many(3))
    with locks.hold(f"library-{alice.id}"):
        assert run(job).state == "queued"
    assert run(job).state == "done"


def test_a_worker_that_dies_right_after_the_import_does_not_do_it_twice(alice, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(*args, **kwargs):
        raise Killed

    job = confirmed(alice, many(3))
    with monkeypatch.context() as patched:
        patched.setattr(imports, "_file_of", kill_after(imports._file_of, 1, kill))
        with pytest.raises(Killed):
            jobs.run(job.id, imports.run)
    after = Job.get_by_id(job.id)
    assert (after.state, after.result["movies_imported"]) == ("done", 3)
    version = reload(alice).library_version
    assert jobs.recover() == ([], [])
    run(job)
    assert reload(alice).library_version == version


def kill_after(function, calls, kill):
    """The function, which kills the process after so many calls."""
    made = []

    def wrapped(*args):
        made.append(args)
        return function(*args) if len(made) <= calls else kill()

    return wrapped


@pytest.mark.parametrize("victim", ["_apply_people", "_apply_films", "_apply_votes", "_apply_watches"])
def test_an_import_killed_half_way_leaves_the_library_as_it_was(alice, monkeypatch, victim):
    class Killed(BaseException):
        pass

    def kill(*args):
        raise Killed

    put(alice, document([film(500)]))
    before, version = export(alice), reload(alice).library_version
    with monkeypatch.context() as patched:
        patched.setattr(f"mm.services.portable.applying.{victim}", kill)
        with pytest.raises(Killed):
            imports.import_bytes(alice, as_bytes(hard_document()))
    assert export(alice) == before
    assert reload(alice).library_version == version


def test_without_room_for_the_upload_nothing_waits(alice, monkeypatch):
    def full(*args):
        raise NoRoom("Not enough disk space: 2 MB needed, 1 MB free.")

    monkeypatch.setattr(archive, "require_room", full)
    with pytest.raises(NoRoom):
        upload(alice, many(3))
    assert Job.select().count() == 0


def test_a_changed_quick_recommender_is_something_to_lose(alice):
    put(alice, document(people=[person("My channel", quick_key="youtube", last_modified=T + 1)]))
    result = imports.import_bytes(alice, as_bytes(document(people=[person("Yours", quick_key="youtube")])))
    assert result.safety_backup is not None


def test_a_withdrawn_upload_is_gone(alice):
    job = upload(alice, many(3))
    imports.discard(job)
    assert waiting_files() == []
    with pytest.raises(NotFound):
        imports.preview(job)


def test_a_confirmation_counts_once(alice):
    job = upload(alice, many(3))
    imports.confirm(job, "overwrite", 0)
    with pytest.raises(Conflict, match="confirmed already"):
        imports.confirm(job, "overwrite", 0)


def test_uploads_that_nobody_confirms_are_swept_after_a_day(alice, frozen_clock, monkeypatch):
    kept, old = upload(alice, many(1)), upload(alice, many(1))
    Job.update(created_at=frozen_clock.moment - 90_000).where(Job.id == old.id).execute()
    os.utime(config.current.tmp_dir / f"{old.id}.json", (0, frozen_clock.moment - 90_000))
    imports.sweep()
    assert waiting_files() == [f"{kept.id}.json"]
    assert [job.id for job in Job.select()] == [kept.id]
