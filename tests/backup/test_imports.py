"""Plan, confirm, apply: nothing is written before, and nothing is lost when it goes wrong."""

import contextlib
import errno
import io
import json
import os
import threading
import time

import pytest
from peewee import OperationalError

from mm import config, disk, files, locks, models, tasks
from mm.database import db, insert_rows
from mm.errors import (
    ConflictError,
    InvalidError,
    NoRoomError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
)
from mm.models import CustomList, Job, Movie, Person, Recommendation, Watch
from mm.services import jobs, portable
from mm.services.backup import (
    backups,
    history,
    imports,
    large_files,
    quotas,
    state,
    stored_plans,
    uploads,
    verification,
)
from mm.services.backup import files as backup_files
from mm.services.library import people
from tests.support.libraries import (
    T,
    as_bytes,
    custom_list,
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
    return uploads.receive(user, io.BytesIO(as_bytes(library)))


def planned(job, conflicts=None, mode=None):
    return imports.prepare(job, mode, conflicts)


def confirmed(user, library, conflicts="overwrite"):
    job = upload(user, library)
    return imports.confirm(job, planned(job, conflicts).plan_id)


def run(job):
    jobs.run(job.id, imports.run)
    return Job.get_by_id(job.id)


def waiting_files():
    """Without the plans: each has two files beside the file it was made of."""
    names = sorted(os.listdir(config.current.tmp_dir))
    plans = {name.rpartition(".")[0] for name in names if name.endswith((".plan", ".rows"))}
    assert plans <= {name.removesuffix(".json") for name in names if name.endswith(".json")}
    return [name for name in names if not name.endswith((".plan", ".rows"))]


def test_an_upload_is_planned_confirmed_and_applied(alice):
    job = upload(alice, many(30, 2))
    plan = planned(job)
    assert plan.counts["movie"] == {"new": 30}
    assert Movie.select().count() == 0
    done = run(imports.confirm(job, plan.plan_id))
    assert (done.state, done.result["movies_imported"], done.done, done.total) == ("done", 30, 4, 4)
    assert len(done.result["imdb_ids_needing_enrichment"]) == 30
    assert waiting_files() == []


def test_a_file_that_cannot_be_used_is_not_kept(alice):
    for data, error in ((b"nonsense", InvalidError), (b" " * (64 * 2**20 + 1), TooLargeError)):
        with pytest.raises(error):
            uploads.receive(alice, io.BytesIO(data))
    assert waiting_files() == []
    assert Job.select().count() == 0


def test_a_plan_that_is_no_longer_true_is_refused_at_the_confirmation(alice):
    job = upload(alice, many(3))
    plan = planned(job)
    put(alice, document([film(90, title="Heat")]))
    with pytest.raises(ConflictError, match=r"^Heat changed since this plan was made\."):
        imports.confirm(job, plan.plan_id)
    new = stored_plans.summary(job)
    assert new.library_version == plan.library_version + 1
    assert run(imports.confirm(job, new.plan_id)).state == "done"


def test_a_change_made_while_the_worker_reads_the_plan_is_not_overwritten(alice, monkeypatch):
    """The plan that is done is the one that was confirmed."""
    put(alice, document([film(1)]))
    job = confirmed(alice, document([film(1), film(2)]))
    load = stored_plans.load

    def load_slowly(job):
        patched.undo()
        put(alice, document([seen(1)]))
        return load(job)

    with monkeypatch.context() as patched:
        patched.setattr(stored_plans, "load", load_slowly)
        assert run(job).state == "waiting"
    assert exported(alice)["movies"]["tt0000001"]["status"] == "watched"


def test_a_plan_that_became_untrue_while_it_waited_for_the_worker_changes_nothing(alice):
    job = confirmed(alice, many(3))
    put(alice, document([film(90)]))
    before = export(alice)
    waiting = run(job)
    assert waiting.state == "waiting"
    assert "tt0000090 changed before this started" in waiting.message
    assert export(alice) == before


def test_what_came_back_can_be_confirmed_whatever_changes_still_arrive(alice):
    job = confirmed(alice, many(3), "skip")
    put(alice, document([film(90)]))
    waiting = run(job)
    stale = stored_plans.summary(waiting).plan_id
    put(alice, document([seen(1)]))
    with pytest.raises(ConflictError):
        imports.confirm(waiting, stale)
    queued = imports.confirm(waiting, stored_plans.summary(waiting).plan_id, anyway=True)
    put(alice, document([film(91)]))
    before = set(exported(alice)["movies"])
    done = run(queued)
    assert (done.state, done.result["movies_imported"]) == ("done", 2)
    assert imports.MORE_CHANGES in done.result["warnings"]
    assert exported(alice)["movies"]["tt0000001"]["status"] == "watched"
    assert films_in(alice, done.result["safety_backup"]) == before
    assert waiting_files() == []


def test_what_could_not_be_done_as_confirmed_can_be_confirmed_again(alice):
    job = confirmed(alice, many(3), "skip")
    put(alice, document([film(90)]))
    waiting = run(job)
    assert history.waiting(alice.id).job == waiting
    assert (waiting.params["conflicts"], waiting.starts, waiting.done) == ("skip", 0, 0)
    plan = planned(waiting, "overwrite")
    assert plan.counts["movie"] == {"new": 3}
    queued = imports.confirm(waiting, plan.plan_id)
    assert (queued.state, queued.message) == ("queued", "")
    assert run(queued).result["movies_imported"] == 3
    assert history.waiting(alice.id) is None
    assert waiting_files() == []


def test_an_import_into_a_library_makes_a_verified_safety_backup_first(alice):
    put(alice, hard_document())
    before = export(alice)
    result = imports.import_bytes(alice, as_bytes(many(3)))
    [safety] = backups.listing(alice.id)
    assert (result.safety_backup, safety.kind, safety.state) == (
        safety.filename,
        "before-import",
        "verified",
    )
    assert (
        portable.read(backup_files.read(alice.id, safety.filename)).films
        == portable.read(before).films
    )


def test_an_import_into_an_empty_account_or_without_effect_needs_none(alice):
    assert imports.import_bytes(alice, as_bytes(many(3))).safety_backup is None
    assert imports.import_bytes(alice, export(alice)).safety_backup is None
    assert backups.listing(alice.id) == []


def test_without_room_for_the_safety_backup_nothing_is_changed(alice, monkeypatch):
    put(alice, many(3))
    before = export(alice)

    def full(*args):
        raise NoRoomError("Not enough disk space: 2 MB needed, 1 MB free.")

    monkeypatch.setattr(files, "require_room", full)
    with pytest.raises(NoRoomError) as refused:
        imports.import_bytes(alice, as_bytes(hard_document()))
    assert refused.value.status == 507
    assert export(alice) == before


def test_an_import_is_planned_again_when_a_phone_writes_meanwhile(alice, monkeypatch):
    apply, tries = portable.apply, []

    def count(plan, **scratch):
        if not scratch and len(plan.films) == 3:
            tries.append(plan)
        apply(plan, **scratch)

    phone_writing(monkeypatch, alice)
    monkeypatch.setattr(portable, "apply", count)
    result = imports.import_bytes(alice, as_bytes(many(3)))
    assert (len(tries), result.movies_imported) == (2, 3)
    assert len(exported(alice)["movies"]) == 4


def phone_writing(monkeypatch, alice):
    """A phone that adds a film right before the first try to write."""
    result, films = portable.result, []

    def result_late(plan, safety_backup):
        if not films:
            films.append("tt0000090")
            put(alice, document([film(90)]))
        return result(plan, safety_backup)

    monkeypatch.setattr(portable, "result", result_late)
    return films


def films_in(alice, filename):
    return {row.imdb_id for row in portable.read(backup_files.read(alice.id, filename)).films}


def test_the_safety_backup_holds_what_a_phone_wrote_during_the_import(alice, monkeypatch):
    put(alice, many(3))
    written = phone_writing(monkeypatch, alice)
    result = imports.import_bytes(alice, as_bytes(many(2, start=50)))
    [safety] = backups.listing(alice.id)
    assert (result.safety_backup, safety.state) == (safety.filename, "verified")
    assert films_in(alice, safety.filename) == {"tt0000001", "tt0000002", "tt0000003", *written}


@pytest.fixture
def locked_out(alice, monkeypatch):
    """Alice's library, in which the import finds a change until nobody else may write; while they
    wait, the library changes no more, but it is not the one that was copied last."""
    put(alice, many(3))
    apply, plan_of, late = portable.apply, portable.plan, []

    def apply_late(plan, **scratch):
        if not scratch and len(late) < imports.TRIES:
            late.append(plan)
            raise ConflictError("changed")
        apply(plan, **scratch)

    def plan_late(user_id, *rest, **scratch):
        if "database" not in scratch and len(late) == imports.TRIES and user_id == alice.id:
            late.append(None)
            apply(plan_of(alice.id, portable.read(as_bytes(document([film(90)])))))
        return plan_of(user_id, *rest, **scratch)

    monkeypatch.setattr(portable, "apply", apply_late)
    monkeypatch.setattr(portable, "plan", plan_late)
    return alice


def test_the_safety_backup_of_a_locked_library_holds_the_last_change_too(locked_out, monkeypatch):
    restored_in, problem_of = [], verification.problem_of

    def watch(*arguments):
        restored_in.append(db.in_transaction())
        return problem_of(*arguments)

    monkeypatch.setattr(verification, "problem_of", watch)
    result = imports.import_bytes(locked_out, as_bytes(many(2, start=50)))
    [safety] = backups.listing(locked_out.id)
    assert (result.safety_backup, safety.state) == (safety.filename, "verified")
    assert "tt0000090" in films_in(locked_out, safety.filename)
    assert result.movies_imported == 2
    # Other writers wait for no test restore.
    assert restored_in == [False] * (imports.TRIES + 1)


def test_a_locked_import_that_is_killed_leaves_its_safety_backup(locked_out, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(*args):
        raise Killed

    monkeypatch.setattr(backups, "verify_held", kill)
    with pytest.raises(Killed):
        imports.import_bytes(locked_out, as_bytes(many(2, start=50)))
    assert len(exported(locked_out)["movies"]) == 6
    states = {entry.filename: entry.state for entry in backups.listing(locked_out.id)}
    [exact] = [name for name in states if "tt0000090" in films_in(locked_out, name)]
    assert states.pop(exact) == "unverified"
    assert list(states.values()) == ["verified"]


def test_a_locked_import_is_done_though_its_copy_cannot_be_verified(locked_out, monkeypatch):
    def broken(*args):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(backups, "verify_held", broken)
    result = imports.import_bytes(locked_out, as_bytes(many(2, start=50)))
    assert result.movies_imported == 2
    assert "tt0000090" in films_in(locked_out, result.safety_backup)
    assert "verified" in {entry.state for entry in backups.listing(locked_out.id)}


def test_a_dry_run_shows_the_plan_and_writes_nothing(alice):
    plan = imports.plan_bytes(alice, as_bytes(many(3)))
    assert portable.count(plan)["movie"] == {"new": 3}
    assert Movie.select().count() == 0


def test_films_that_were_deleted_come_back_from_a_backup(alice):
    put(alice, document([seen(1), seen(2), film(3)]))
    entry = backups.create(alice)
    before = export(alice)
    Movie.update(status="deleted").where(Movie.title == "tt0000001").execute()
    Movie.delete().where(Movie.title == "tt0000002").execute()
    models.touch_library(db.obj, alice.id)
    result = imports.restore_backup(alice, entry.filename)
    assert result.movies_imported == 2
    assert export(alice) == before
    assert {item.kind for item in backups.listing(alice.id)} == {"manual", "before-restore"}
    assert state.of(alice).last_good.kind == "manual"


def test_a_restore_is_offered_with_its_plan_first(alice):
    put(alice, many(3))
    entry = backups.create(alice)
    Movie.delete().execute()
    models.touch_library(db.obj, alice.id)
    job = uploads.copy_backup(reload(alice), entry.filename)
    plan = planned(job)
    assert (job.kind, plan.mode, plan.counts["movie"]) == ("restore", "replace", {"new": 3})
    assert plan.other_counts["movie"] == {"new": 3}
    assert run(imports.confirm(job, plan.plan_id)).result["movies_imported"] == 3


def test_a_damaged_backup_is_refused_before_anything_happens(alice):
    put(alice, many(3))
    entry = backups.create(alice)
    (backup_files.folder_of(alice.id) / entry.filename).write_bytes(as_bytes(many(1)))
    with pytest.raises(InvalidError, match="damaged"):
        imports.restore_backup(alice, entry.filename)


def test_two_imports_at_once_the_second_is_409_and_the_first_unharmed(alice):
    with locks.hold(f"library-{alice.id}"):
        with pytest.raises(ConflictError) as busy:
            imports.import_bytes(alice, as_bytes(many(3)))
        job = upload(alice, many(3))
        with pytest.raises(ConflictError):
            imports.confirm(job, planned(job).plan_id)
    assert busy.value.status == 409
    assert exported(alice)["movies"] == {}


def test_a_second_import_is_409_while_the_first_waits_for_the_worker(alice):
    confirmed(alice, many(3))
    second = upload(alice, many(3, start=50))
    with pytest.raises(ConflictError, match="waiting for its turn"):
        imports.confirm(second, planned(second).plan_id)
    with pytest.raises(ConflictError):
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
        patched.setattr(uploads, "delete", kill)
        with pytest.raises(Killed):
            jobs.run(job.id, imports.run)
    after = Job.get_by_id(job.id)
    assert (after.state, after.result["movies_imported"]) == ("done", 3)
    version = reload(alice).library_version
    assert jobs.recover() == ([], [])
    run(job)
    assert reload(alice).library_version == version


@pytest.mark.parametrize("table", [Person, Movie, Recommendation, Watch])
def test_an_import_killed_half_way_leaves_the_library_as_it_was(alice, monkeypatch, table):
    class Killed(BaseException):
        pass

    def insert_or_die(database, fields, rows):
        if fields[0].model is table and database is db.obj:
            raise Killed
        insert_rows(database, fields, rows)

    put(alice, document([film(500)]))
    before, version = export(alice), reload(alice).library_version
    with monkeypatch.context() as patched:
        patched.setattr("mm.services.portable.writer.insert_rows", insert_or_die)
        with pytest.raises(Killed):
            imports.import_bytes(alice, as_bytes(hard_document()))
    assert export(alice) == before
    assert reload(alice).library_version == version


def test_without_room_for_the_upload_nothing_waits(alice, monkeypatch):
    def full(*args):
        raise NoRoomError("Not enough disk space: 2 MB needed, 1 MB free.")

    monkeypatch.setattr(quotas, "require_reserve", full)
    with pytest.raises(NoRoomError):
        upload(alice, many(3))
    assert Job.select().count() == 0


def test_a_changed_quick_recommender_is_something_to_lose(alice):
    put(alice, document(people=[person("My channel", quick_key="youtube", last_modified=T + 1)]))
    result = imports.import_bytes(
        alice, as_bytes(document(people=[person("Yours", quick_key="youtube")]))
    )
    assert result.safety_backup is not None


def test_a_file_that_does_not_fit_leaves_neither_itself_nor_a_job(alice, monkeypatch):
    def full(path, data):
        path.write_bytes(data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    kept = upload(alice, many(1))
    monkeypatch.setattr(files, "write", full)
    with pytest.raises(NoRoomError):
        upload(alice, many(3))
    assert waiting_files() == [f"{kept.id}.json"]
    assert [job.id for job in Job.select()] == [kept.id]


@pytest.mark.sqlite
def test_a_database_that_is_full_leaves_no_file_behind(alice):
    """SQLite's own limit stands for the disk's."""
    kept = upload(alice, many(1))
    [[pages]] = db.execute_sql("PRAGMA page_count").fetchall()
    db.execute_sql(f"PRAGMA max_page_count = {pages}")
    Job.update(result="x" * 3000).execute()
    with contextlib.suppress(OperationalError):
        while True:
            Job.create(kind="backup", user=alice.id, result="x" * 3000)
    with pytest.raises((OperationalError, NoRoomError)):
        uploads.keep(alice, as_bytes(many(3)), "import", {"filename": "x" * 20_000})
    assert waiting_files() == [f"{kept.id}.json"]
    assert Job.select().where(Job.state == "waiting").count() == 1


def test_uploads_leave_room_for_the_database_and_the_backups_of_the_night(alice, monkeypatch):
    put(alice, many(3))
    entry = backups.create(alice)
    monkeypatch.setattr(disk, "free_bytes", lambda folder: 100 * 10**6)
    with pytest.raises(NoRoomError, match="Not enough disk space"):
        upload(alice, many(3))
    assert waiting_files() == []
    assert uploads.copy_backup(alice, entry.filename).state == "waiting"


def test_a_new_upload_takes_the_place_of_the_one_that_waits(alice, bob):
    other = upload(bob, many(1))
    first = upload(alice, many(1))
    put(alice, many(2))
    second = uploads.copy_backup(alice, backups.create(alice).filename)
    assert waiting_files() == sorted([f"{other.id}.json", f"{second.id}.json"])
    assert {job.id for job in Job.select()} == {other.id, second.id}
    third = upload(alice, many(4))
    assert waiting_files() == sorted([f"{other.id}.json", f"{third.id}.json"])
    with pytest.raises(ConflictError):
        imports.confirm(third, "another plan")
    with pytest.raises(NotFoundError):
        planned(first)


def test_a_file_that_cannot_be_used_does_not_take_the_place_of_the_one_that_waits(alice):
    kept = upload(alice, many(1))
    with pytest.raises(InvalidError):
        uploads.receive(alice, io.BytesIO(b"nonsense"))
    assert planned(kept).counts["movie"] == {"new": 1}


def test_an_import_that_waits_for_the_worker_is_not_replaced_by_a_new_upload(alice):
    job = confirmed(alice, many(3))
    upload(alice, many(1, start=50))
    assert run(job).state == "done"
    assert len(waiting_files()) == 1


def no_room(*args):
    raise NoRoomError("Not enough disk space: 2 MB needed, 1 MB free.")


def test_an_import_without_room_waits_until_there_is_room(alice, monkeypatch):
    put(alice, many(2))
    job = confirmed(alice, many(3, start=50))
    with monkeypatch.context() as patched:
        patched.setattr(files, "require_room", no_room)
        waiting = run(job)
    assert waiting.state == "waiting"
    assert waiting.message.startswith("Not enough disk space")
    assert "confirm" in waiting.message
    assert waiting_files() == [f"{job.id}.json"]
    assert run(imports.confirm(waiting, stored_plans.summary(waiting).plan_id)).state == "done"


def test_imports_without_room_do_not_pile_up(alice, monkeypatch):
    put(alice, many(2))
    monkeypatch.setattr(backups, "create_held", no_room)
    for number in range(3):
        run(confirmed(alice, many(3, start=50 + number)))
    assert len(waiting_files()) == 1
    assert Job.select().where(Job.state == "waiting").count() == 1


@pytest.mark.parametrize("reason", ["change", "room"])
def test_what_comes_back_while_a_newer_upload_waits_has_failed(alice, monkeypatch, reason):
    put(alice, many(2))
    job = confirmed(alice, many(3, start=50))
    newer = upload(alice, many(1, start=70))
    if reason == "change":
        put(alice, document([film(90)]))
    else:
        monkeypatch.setattr(backups, "create_held", no_room)
    jobs.run(job.id, *tasks.WORK["import"])
    failed = Job.get_by_id(job.id)
    assert failed.state == "failed"
    assert "A newer upload" in failed.message
    assert waiting_files() == [f"{newer.id}.json"]


def test_an_import_that_failed_leaves_no_file(alice, monkeypatch):
    job = confirmed(alice, many(3))

    def stumble(*args, **more):
        raise ZeroDivisionError

    monkeypatch.setattr(portable, "apply", stumble)
    with pytest.raises(ZeroDivisionError):
        jobs.run(job.id, *tasks.WORK["import"])
    assert Job.get_by_id(job.id).state == "failed"
    assert waiting_files() == []


def test_the_file_of_an_import_that_was_given_up_is_swept(alice):
    job = confirmed(alice, many(3))
    Job.update(state="running", starts=jobs.STARTS).where(Job.id == job.id).execute()
    jobs.recover()
    uploads.sweep()
    assert Job.get_by_id(job.id).state == "failed"
    assert waiting_files() == []


@pytest.mark.parametrize("gone", ["withdrawn", "replaced"])
def test_a_file_that_went_while_it_was_confirmed_is_a_conflict(alice, gone):
    job = upload(alice, many(3))
    uploads.discard(job) if gone == "withdrawn" else upload(alice, many(4))
    with pytest.raises(ConflictError, match="newer upload replaced it"):
        imports.confirm(job, "")


def test_a_waiting_file_that_was_swapped_is_not_imported(alice):
    job = confirmed(alice, many(3))
    (config.current.tmp_dir / f"{job.id}.json").write_bytes(as_bytes(many(7)))
    failed = run(job)
    assert failed.state == "failed"
    assert "no longer the one you uploaded" in failed.message
    assert Movie.select().count() == 0


def test_a_plan_is_not_made_of_a_file_that_was_swapped(alice):
    job = upload(alice, many(3))
    (config.current.tmp_dir / f"{job.id}.json").write_bytes(as_bytes(many(7)))
    with pytest.raises(InvalidError, match="Upload it again"):
        planned(job)


def test_an_import_that_changes_nothing_is_no_change_of_the_library(alice):
    put(alice, hard_document())
    alice = reload(alice)
    result = imports.import_bytes(alice, export(alice))
    assert (result.movies_imported, result.safety_backup) == (0, None)
    job = run(confirmed(alice, json.loads(export(alice))))
    assert job.state == "done"
    assert reload(alice).library_version == alice.library_version


def test_people_and_lists_know_when_an_import_wrote_them(alice, bob):
    """As films do: an action that was queued on a phone before says nothing about them."""
    lists = [custom_list("one"), custom_list("two", "Two")]
    put(alice, document(people=[person("Ann"), person("Ben")], lists=lists))
    first = {row.name: row.imported_at for row in [*Person.select(), *CustomList.select()]}
    assert None not in [first["Ann"], first["Ben"], first["Favourites"], first["Two"]]
    assert first["Google Search"] is None
    lists = [custom_list("one", icon="heart")]
    put(alice, document(people=[person("Ann", emoji="🎬")], lists=lists))
    second = {row.name: row.imported_at for row in [*Person.select(), *CustomList.select()]}
    assert second["Ann"] > first["Ann"]
    assert second["Favourites"] > first["Favourites"]
    assert (second["Ben"], second["Two"]) == (first["Ben"], first["Two"])


@pytest.mark.slow
def test_a_phone_that_writes_all_the_time_cannot_keep_an_import_out(app, alice):
    """Every 20 ms, where planning and the safety backup take longer than that."""
    with db.connection_context():
        put(alice, many(2000, 2))
    stop, written = threading.Event(), []

    def phone():
        with db.connection_context():
            while not stop.is_set():
                people.create(alice.id, f"Somebody {len(written)}")
                written.append(time.monotonic())
                time.sleep(0.02)

    writer = threading.Thread(target=phone)
    writer.start()
    try:
        with db.connection_context():
            result = imports.import_bytes(reload(alice), as_bytes(many(500, 2, start=9000)))
            stop.set()
            writer.join()
            [safety] = backups.listing(alice.id)
            assert safety.kind == "before-import"
            assert (result.movies_imported, result.safety_backup) == (500, safety.filename)
            assert len(exported(alice)["movies"]) == 2500
            names = exported(alice)["people"]
            assert sum(name.startswith("Somebody") for name in names) == len(written)
    finally:
        stop.set()
        writer.join()


LARGE = as_bytes(document([film(1)])) + b" " * large_files.LARGE_FILE


def test_large_files_are_read_one_at_a_time(alice, monkeypatch):
    monkeypatch.setattr(large_files, "TURN_SECONDS", 0.05)
    with large_files.turn:
        with pytest.raises(UnavailableError, match="Another import is being read") as refused:
            imports.plan_bytes(alice, LARGE)
        assert imports.import_bytes(alice, as_bytes(many(1))).movies_imported == 1
    assert refused.value.status == 503
    assert imports.import_bytes(alice, LARGE).success


def test_one_large_file_of_a_user_waits_and_two_in_all(app, alice, bob, carol):
    """The others are refused at once, so that they keep no thread of the server waiting."""
    waiting, refused = [], []

    def read(user):
        try:
            large_files.read(LARGE, user.id)
        except UnavailableError as error:
            refused.append((user, error.message))

    def wait_with(user, count):
        waiting.append(threading.Thread(target=read, args=[user]))
        waiting[-1].start()
        while large_files.waiting.total() < count:
            time.sleep(0.001)

    begun = time.monotonic()
    with large_files.turn:
        wait_with(alice, 1)
        read(alice)
        with pytest.raises(UnavailableError):
            large_files.require_turn(alice.id, len(LARGE))
        large_files.require_turn(bob.id, len(LARGE))
        wait_with(bob, 2)
        read(carol)
        large_files.require_turn(carol.id, large_files.LARGE_FILE - 1)
    for thread in waiting:
        thread.join()
    words = "Another import is being read. Try again in a minute."
    assert refused == [(alice, words), (carol, words)]
    assert large_files.waiting.total() == 0
    assert time.monotonic() - begun < large_files.TURN_SECONDS / 2


def test_a_withdrawn_upload_is_gone(alice):
    job = upload(alice, many(3))
    uploads.discard(job)
    assert waiting_files() == []
    with pytest.raises(NotFoundError):
        planned(job)


def test_a_confirmation_counts_once(alice):
    job = upload(alice, many(3))
    plan_id = planned(job).plan_id
    imports.confirm(job, plan_id)
    with pytest.raises(ConflictError, match="already confirmed"):
        imports.confirm(job, plan_id)


def test_uploads_that_nobody_confirms_are_swept_after_a_day(alice, bob, frozen_clock):
    kept, old = upload(alice, many(1)), upload(bob, many(1))
    Job.update(created_at=frozen_clock.moment - 90_000).where(Job.id == old.id).execute()
    os.utime(config.current.tmp_dir / f"{old.id}.json", (0, frozen_clock.moment - 90_000))
    uploads.sweep()
    assert waiting_files() == [f"{kept.id}.json"]
    assert [job.id for job in Job.select()] == [kept.id]
