"""An import, a restore or an undo is taken back, for 7 days, by the copy from right before it."""

import io
import json

import pytest

from mm.clock import DAY
from mm.errors import ConflictError, NotFoundError
from mm.models import Job, Movie
from mm.services import jobs, portable, user_settings
from mm.services.backup import (
    adding,
    backups,
    imports,
    ledger,
    safety,
    stored_plans,
    undoing,
    uploads,
)
from mm.services.backup import files as backup_files
from mm.services.library import lists, movies, people, undo
from tests.support.libraries import (
    as_bytes,
    custom_list,
    document,
    export,
    film,
    hard_document,
    many,
    person,
    put,
    ranking,
    seen,
)

pytestmark = pytest.mark.usefixtures("database", "frozen_clock")


@pytest.fixture
def imported(alice, frozen_clock):
    """A library that an import has changed, an hour ago; as it was before, and the result."""
    put(alice, document([seen(1), film(2, note="Mine")], people=[person("Ann")]))
    before = export(alice)
    result = imports.import_bytes(alice, as_bytes(hard_document()), source="C:\\films\\mine.json")
    frozen_clock.move(3600)
    return before, result


def path_of(user, filename):
    return backup_files.folder_of(user.id) / filename


def run(job):
    jobs.run(job.id, imports.run, imports.failed)
    return Job.get_by_id(job.id)


def test_an_undo_brings_exactly_the_library_from_before(alice, imported):
    before, result = imported
    after = export(alice)
    undone = undoing.at_once(alice)
    assert export(alice) == before
    assert (undone.success, undone.mode) == (True, "replace")
    redone = undoing.at_once(alice)
    assert export(alice) == after
    assert len({result.safety_backup, undone.safety_backup, redone.safety_backup}) == 3


def test_a_restore_and_a_replace_are_undone_as_well(alice):
    put(alice, hard_document())
    entry = backups.create(alice)
    put(alice, document([seen(1), film(900)], lists=[custom_list("new", "New")]))
    before = export(alice)
    imports.restore_backup(alice, entry.filename, mode="replace")
    assert export(alice) != before
    undoing.at_once(alice)
    assert export(alice) == before


def test_what_can_be_undone_is_listed_with_what_it_was(alice, imported, frozen_clock):
    _, result = imported
    frozen_clock.move(60)
    undone = undoing.at_once(alice)
    newest, first = undoing.available(alice)
    assert (newest.action, newest.mode, newest.source) == (
        "undo",
        "replace",
        result.safety_backup,
    )
    assert (first.filename, first.action, first.mode, first.source) == (
        result.safety_backup,
        "import",
        "merge",
        "mine.json",
    )
    assert newest.filename == undone.safety_backup
    assert first.films == result.movies_imported
    assert first.until == first.at + 7 * DAY


def test_an_undo_of_what_is_not_the_last_goes_back_over_what_came_after(alice, imported):
    before, result = imported
    imports.import_bytes(alice, as_bytes(many(3, start=800)))
    undoing.at_once(alice, result.safety_backup)
    assert export(alice) == before


@pytest.mark.parametrize(
    "later, named",
    [
        (lambda user: None, None),
        (lambda user: movies.add(user.id, "tt0000700"), "tt0000700"),
        (lambda user: people.create(user.id, "Zoe"), "Zoe"),
        (lambda user: lists.create(user.id, "Rainy days"), "Rainy days"),
        (lambda user: put(user, many(4, start=700)), "tt0000703, tt0000702 and 2 more"),
    ],
)
def test_an_undo_names_what_was_done_since(alice, imported, later, named):
    later(alice)
    expected = [f"{named} changed since then. That is undone too."] if named else []
    assert undoing.plan(alice).warnings == expected
    job = undoing.request(alice)
    assert stored_plans.summary(job).since == (expected[0] if named else None)
    uploads.discard(job)
    assert undoing.at_once(alice).warnings == expected


def test_a_dry_run_changes_nothing(alice, imported):
    after, files = export(alice), len(backups.listing(alice.id))
    plan = undoing.plan(alice)
    assert plan.mode == "replace"
    assert portable.count(plan)["movie"]["removed"] > 0
    assert export(alice) == after
    assert len(backups.listing(alice.id)) == files


def test_on_a_page_an_undo_waits_with_its_plan_for_its_user(alice, imported):
    before, result = imported
    job = undoing.request(alice)
    summary = stored_plans.summary(job)
    assert (job.kind, job.state, summary.mode) == ("undo", "waiting", "replace")
    assert job.params["undone"]["source"] == "mine.json"
    done = run(imports.confirm(job, summary.plan_id))
    assert (done.state, done.result["mode"]) == ("done", "replace")
    assert export(alice) == before
    assert undoing.available(alice)[0].filename == done.result["safety_backup"]
    assert undoing.available(alice)[1].filename == result.safety_backup


def test_an_undo_that_met_a_change_comes_back_with_a_new_plan(alice, imported):
    job = undoing.request(alice)
    queued = imports.confirm(job, stored_plans.summary(job).plan_id)
    movies.add(alice.id, "tt0000700")
    waiting = run(queued)
    assert waiting.state == "waiting"
    assert waiting.message.startswith("tt0000700 changed before this started.")
    words = "tt0000700 changed since then. That is undone too."
    assert stored_plans.summary(waiting).since == words
    before, _ = imported
    run(imports.confirm(waiting, stored_plans.summary(waiting).plan_id))
    assert export(alice) == before


def test_nothing_that_was_done_is_nothing_to_undo(alice, bob, imported):
    with pytest.raises(NotFoundError, match="nothing to undo"):
        undoing.at_once(bob)
    with pytest.raises(NotFoundError, match="nothing to undo"):
        undoing.request(bob)


def test_an_import_that_changed_nothing_cannot_be_undone(alice, imported):
    imports.import_bytes(alice, export(alice))
    assert [undoable.action for undoable in undoing.available(alice)] == ["import"]


def test_after_seven_days_it_is_too_late(alice, imported, frozen_clock):
    _, result = imported
    frozen_clock.move(7 * DAY)
    assert undoing.available(alice) == []
    with pytest.raises(NotFoundError, match="nothing to undo"):
        undoing.at_once(alice)
    with pytest.raises(NotFoundError, match="more than 7 days"):
        undoing.at_once(alice, result.safety_backup)


@pytest.mark.parametrize(
    "harm, words",
    [
        (lambda path: path.unlink(), "is gone"),
        (lambda path: (path.unlink(), backup_files.sidecar_path(path).unlink()), None),
        (lambda path: path.write_bytes(b"{}"), "is damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[::-1]), "is damaged"),
    ],
)
def test_a_safety_copy_that_is_gone_or_damaged_is_said_in_words(alice, imported, harm, words):
    _, result = imported
    after = export(alice)
    harm(path_of(alice, result.safety_backup))
    with pytest.raises(NotFoundError, match=words or "nothing to undo") as refused:
        undoing.at_once(alice)
    assert refused.value.status == 404
    with pytest.raises(NotFoundError, match=words or "is gone"):
        undoing.request(alice, result.safety_backup)
    assert export(alice) == after


def test_only_a_safety_copy_of_ones_own_can_be_named(alice, bob, imported):
    _, result = imported
    manual = backups.create(alice).filename
    for user, filename, words in (
        (alice, manual, "wasn’t made before an import or a restore"),
        (bob, result.safety_backup, "is gone"),
        (bob, manual, "Backup file not found"),
        (alice, "../../mm.db", "Backup file not found"),
        (alice, "2026-01-01.json", "Backup file not found"),
    ):
        with pytest.raises(NotFoundError, match=words):
            undoing.at_once(user, filename)


def test_a_safety_copy_of_an_older_version_does_not_say_what_it_was_made_for(alice, imported):
    _, result = imported
    meta = backup_files.sidecar_path(path_of(alice, result.safety_backup))
    described = json.loads(meta.read_text())
    del described["before"]
    meta.write_text(json.dumps(described))
    assert undoing.available(alice) == []
    with pytest.raises(NotFoundError, match="To go back to it, restore it"):
        undoing.at_once(alice, result.safety_backup)


def test_what_was_never_written_is_not_offered(alice, imported, monkeypatch):
    """The copy was made, and then the process died."""

    class Killed(BaseException):
        pass

    apply = portable.apply

    def kill(plan, **scratch):
        if not scratch:
            raise Killed
        apply(plan, **scratch)

    with monkeypatch.context() as patched:
        patched.setattr(portable, "apply", kill)
        with pytest.raises(Killed):
            imports.import_bytes(alice, as_bytes(many(3, start=800)))
    names = {entry.filename for entry in backups.listing(alice.id)}
    [offered] = undoing.available(alice)
    [unused] = names - {offered.filename}
    with pytest.raises(NotFoundError, match="was never done"):
        undoing.at_once(alice, unused)


def test_what_was_written_is_offered_though_the_process_died_right_after(
    alice, imported, monkeypatch
):
    class Killed(BaseException):
        pass

    def kill(*args):
        raise Killed

    before = export(alice)
    with monkeypatch.context() as patched:
        patched.setattr(safety, "complete", kill)
        with pytest.raises(Killed):
            imports.import_bytes(alice, as_bytes(many(3, start=800)))
    assert len(undoing.available(alice)) == 2
    undoing.at_once(alice)
    assert export(alice) == before


def test_an_undo_outlives_the_jobs_and_settings_of_the_database(alice, imported):
    """A restored server has other rows than the files tell."""
    before, _ = imported
    Job.delete().execute()
    user_settings.put(alice.id, ledger.WRITTEN, {})
    undoing.at_once(alice)
    assert export(alice) == before


def test_a_token_of_the_ten_minute_undo_finds_its_rows_changed(alice):
    put(alice, document([seen(1), film(2)], rankings=[ranking(1)]))
    imports.import_bytes(alice, as_bytes(document([film(3)])))
    with undo.step(alice.id, ["tt0000002"]) as step:
        movies.set_status(alice.id, "tt0000002", "watched")
    undoing.at_once(alice)
    with pytest.raises(ConflictError, match="changed again since"):
        undo.back(alice.id, step.token)


def test_two_undos_at_once_are_one(alice, imported):
    job = undoing.request(alice)
    imports.confirm(job, stored_plans.summary(job).plan_id)
    second = undoing.request(alice)
    with pytest.raises(ConflictError, match="waiting for its turn"):
        imports.confirm(second, stored_plans.summary(second).plan_id)
    assert run(job).state == "done"


def test_an_upload_keeps_the_name_of_its_file(alice):
    job = uploads.receive(alice, io.BytesIO(as_bytes(many(1))), "C:\\fakepath\\mine\x07.json")
    assert job.params["source"] == "mine.json"


# Only what was done last is taken back without a name.


def test_an_undo_without_a_name_does_not_reach_past_a_copy_that_is_gone(alice, imported):
    result = imports.import_bytes(alice, as_bytes(document([film(50)])))
    backups.delete(alice, result.safety_backup)
    after = export(alice)
    with pytest.raises(NotFoundError, match="from before the last import, restore or undo is gone"):
        undoing.at_once(alice)
    assert export(alice) == after
    undoing.at_once(alice, imported[1].safety_backup)
    assert export(alice) == imported[0]


def test_an_undo_without_a_name_does_not_reach_past_an_import_into_an_empty_library(
    alice, frozen_clock
):
    put(alice, document([seen(1)]))
    imports.import_bytes(alice, as_bytes(document([film(2)])))
    for imdb_id in ("tt0000001", "tt0000002"):
        movies.delete(alice.id, imdb_id)
    frozen_clock.move(3600)
    assert imports.import_bytes(alice, as_bytes(many(30, start=100))).safety_backup is None
    after = export(alice)
    with pytest.raises(NotFoundError, match="into an empty library"):
        undoing.at_once(alice)
    assert export(alice) == after


def test_confirms_that_wrote_nothing_push_no_copy_out(alice, imported, monkeypatch):
    create = backups.create_held

    def create_and_let_somebody_write(*values, **named):
        written = create(*values, **named)
        movies.set_note(alice.id, "tt0000001", written[0])
        return written

    for _ in range(3):
        job = uploads.receive(alice, io.BytesIO(as_bytes(document([film(50)]))))
        plan = imports.prepare(job, "replace")
        with monkeypatch.context() as patched:
            patched.setattr(backups, "create_held", create_and_let_somebody_write)
            assert run(imports.confirm(job, plan.plan_id)).state == "waiting"
    names = [entry.filename for entry in backups.listing(alice.id)]
    assert names == [imported[1].safety_backup]


@pytest.mark.slow
def test_the_copy_just_made_outlasts_a_clock_that_was_set_back(alice, frozen_clock):
    put(alice, document([seen(1)]))
    frozen_clock.move(0.9 * DAY)
    for number in range(21):
        imports.import_bytes(alice, as_bytes(document([film(100 + number)])))
        frozen_clock.move(60)
    frozen_clock.move(-0.95 * DAY)
    for number in range(3):
        result = imports.import_bytes(alice, as_bytes(document([film(200 + number)])))
        assert backup_files.is_there(alice.id, result.safety_backup)
        frozen_clock.move(60)


def test_times_of_an_uploaded_file_are_not_trusted_in_a_restore(alice):
    file = document([film(2, last_modified=7_000_000_000.0)])
    entry = adding.add(alice, as_bytes(file))
    imports.restore_backup(alice, entry.filename, mode="replace")
    assert Movie.get(Movie.user == alice.id).last_modified < 7_000_000_000
