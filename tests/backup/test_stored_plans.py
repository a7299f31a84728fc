"""The plan that was shown is kept, and it is the one that is done."""

import io
import os
import stat
import time

import msgspec
import pytest

from mm import config, files, models
from mm.database import db
from mm.errors import ConflictError, NotFoundError
from mm.models import Job, Movie, Title
from mm.services import jobs, portable
from mm.services.backup import backups, imports, stored_plans, uploads
from mm.services.backup import files as backup_files
from mm.services.library import lists, movies, people
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
    vote,
)

pytestmark = pytest.mark.usefixtures("database", "frozen_clock")


def upload(user, library, name=None):
    return uploads.receive(user, io.BytesIO(as_bytes(library)), name)


def run(job):
    jobs.run(job.id, imports.run, imports.failed)
    return Job.get_by_id(job.id)


def paths(job):
    return {suffix: uploads.path_of(job, suffix) for suffix in (".json", *uploads.PLAN_SUFFIXES)}


def as_plain(plan):
    """All that a plan holds, whatever its structs are called."""
    return msgspec.msgpack.decode(portable.pack(plan))


@pytest.mark.parametrize("mode", ["merge", "replace"])
def test_a_plan_comes_back_as_it_was_stored(alice, mode):
    put(alice, document([seen(1), film(2), film(900)], people=[person("Zoe")]))
    job = upload(alice, hard_document())
    imports.prepare(job, mode)
    incoming = portable.read(as_bytes(hard_document()))
    plan = portable.plan(alice.id, incoming, mode=mode)
    assert as_plain(stored_plans.load(job)) == as_plain(plan)


def test_a_stored_plan_does_what_the_plan_does(alice, bob):
    for user in (alice, bob):
        put(user, document([seen(1), film(2, note="Mine")], lists=[custom_list("a")]))
    job = upload(alice, hard_document())
    imports.prepare(job)
    portable.apply(stored_plans.load(job))
    put(bob, hard_document())
    assert exported(alice) == exported(bob)


def test_a_file_without_a_time_means_the_same_when_it_is_confirmed_a_day_later(alice, frozen_clock):
    """What has no last_modified is from when the file was made, or else from now: then that is
    when its plan was made."""
    file = document([film(1)])
    del file["exported_at"], file["movies"][0]["last_modified"]
    job, planned_at = upload(alice, file), frozen_clock.moment
    plan = imports.prepare(job)
    frozen_clock.move(3600)
    run(imports.confirm(job, plan.plan_id))
    assert Movie.get().last_modified == planned_at


def test_only_its_owner_may_read_the_files_and_they_go_with_the_job(alice):
    job = upload(alice, many(3))
    plan = imports.prepare(job)
    for path in paths(job).values():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    run(imports.confirm(job, plan.plan_id))
    assert os.listdir(config.current.tmp_dir) == []


@pytest.mark.parametrize("end", ["cancelled", "replaced", "swept", "failed"])
def test_a_plan_goes_with_its_file(alice, frozen_clock, end):
    job = upload(alice, many(3))
    imports.prepare(job)
    old = list(paths(job).values())
    if end == "cancelled":
        uploads.discard(job)
    elif end == "replaced":
        upload(alice, many(4))
    elif end == "failed":
        uploads.queue(job, job.params)
        old[0].write_bytes(b"{}")
        assert run(job).state == "failed"
    else:
        frozen_clock.move(2 * 86400)
        os.utime(old[0], (0, 0))
        uploads.sweep()
    assert not any(path.exists() for path in old)


@pytest.mark.parametrize("suffix", uploads.PLAN_SUFFIXES)
def test_a_plan_that_was_swapped_is_not_done_but_made_anew(alice, bob, suffix):
    put(alice, document([film(900)]))
    job, other = upload(alice, many(3)), upload(bob, many(7))
    plan = imports.prepare(job)
    imports.prepare(other)
    paths(job)[suffix].write_bytes(paths(other)[suffix].read_bytes())
    before = export(alice)
    with pytest.raises(ConflictError, match="was gone or changed, so it was made anew"):
        imports.confirm(job, plan.plan_id)
    assert export(alice) == before
    again = stored_plans.summary(job)
    assert run(imports.confirm(job, again.plan_id)).result["movies_imported"] == 3


@pytest.mark.parametrize("fate", ["swapped", "gone", "of another version"])
def test_a_plan_that_is_lost_after_it_was_confirmed_is_shown_anew(alice, bob, fate):
    put(alice, document([film(900)]))
    job, other = upload(alice, many(3)), upload(bob, many(7))
    imports.prepare(other)
    queued = imports.confirm(job, imports.prepare(job).plan_id)
    path = paths(job)[".plan"]
    if fate == "swapped":
        path.write_bytes(paths(other)[".plan"].read_bytes())
    elif fate == "gone":
        path.unlink()
    else:
        path.write_bytes(msgspec.msgpack.encode({"steps": []}))
        kept = {**queued.params["plan"], "sha256": files.sha256(path)}
        queued = reload_with(queued, plan=kept)
    before = export(alice)
    waiting = run(queued)
    assert (waiting.state, waiting.message) == (
        "waiting",
        "The stored plan was gone or changed. Nothing was written. Review the new plan.",
    )
    assert export(alice) == before
    new = stored_plans.summary(waiting)
    assert run(imports.confirm(waiting, new.plan_id)).result["movies_imported"] == 3


def reload_with(job, **params):
    Job.update(params={**job.params, **params}).where(Job.id == job.id).execute()
    return Job.get_by_id(job.id)


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "noise", "folder"])
def test_rows_that_cannot_be_read_say_so(alice, damage):
    job = upload(alice, many(30))
    imports.prepare(job)
    path = paths(job)[".rows"]
    data = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "gone":
        path.write_bytes({"empty": b"", "cut": data[:-9], "noise": data[::-1]}[damage])
    for look in (
        lambda: stored_plans.summary(job),
        lambda: stored_plans.rows(job, "movie", "new"),
        lambda: list(stored_plans.all_rows(job)),
    ):
        with pytest.raises(NotFoundError, match="no longer there"):
            look()


def test_the_rows_of_a_plan_are_read_in_pages(alice):
    put(alice, document([film(1), film(2), film(900)]))
    file = document([seen(1), film(2), *many(30, start=10)["movies"], film(5, status="nowhere")])
    job = upload(alice, file)
    imports.prepare(job, "merge")
    changes = list(portable.changes(stored_plans.load(job)))
    assert list(stored_plans.all_rows(job)) == changes
    new = [change for change in changes if (change.kind, change.outcome) == ("movie", "new")]
    assert len(new) == 30
    pages = [stored_plans.rows(job, "movie", "new", offset, 7) for offset in range(0, 35, 7)]
    assert [change for page in pages for change in page] == new
    assert stored_plans.rows(job, "movie", "new", 30) == []
    assert stored_plans.rows(job, "movie", "removed") == []
    [rejected] = stored_plans.rows(job, "movie", "rejected")
    assert rejected.path == "movies[32].status"


def test_a_plan_without_a_row_has_none(alice):
    put(alice, many(3))
    job = upload(alice, many(3))
    summary = imports.prepare(job)
    assert (summary.writes, summary.counts["movie"]) == (False, {"same": 3})
    assert list(stored_plans.all_rows(job)) == []


def test_the_summary_counts_both_modes_and_groups_equal_reasons(alice):
    put(alice, document([film(1), film(2), film(900)]))
    rows = [film(n, status="nowhere") for n in (5, 6, 7)]
    file = document([seen(1), film(2), film(3), *rows, film(8, date_added="soon")])
    file["tags"] = ["one"]
    job = upload(alice, file)
    summary = imports.prepare(job)
    assert (summary.mode, summary.conflicts, summary.exported_at) == ("merge", "overwrite", T)
    assert summary.counts["movie"] == {"changed": 1, "same": 1, "new": 1, "rejected": 4}
    assert summary.other_counts == imports.other_counts(job)
    assert summary.other_counts["movie"]["removed"] == 1
    assert [count for _, count in summary.rejected] == [3, 1]
    assert any("tags" in warning for warning in summary.warnings)
    other = imports.prepare(job, "replace")
    assert (other.counts, other.other_counts) == (summary.other_counts, summary.counts)
    assert stored_plans.summary(job) == other


def test_an_import_opens_with_merge_and_a_restore_with_replace(alice):
    put(alice, many(3))
    filename = backups.create(alice).filename
    plans = [
        imports.shown(upload(alice, many(1))),
        imports.shown(uploads.copy_backup(alice, filename)),
    ]
    assert [(plan.mode, plan.conflicts) for plan in plans] == [
        ("merge", "overwrite"),
        ("replace", "skip"),
    ]


def test_what_was_chosen_stays_chosen(alice):
    job = upload(alice, many(3))
    imports.prepare(job, "replace", "newest", left_out=["movie:tt0000001"])
    again = imports.prepare(Job.get_by_id(job.id))
    assert (again.mode, again.conflicts) == ("replace", "newest")
    assert Job.get_by_id(job.id).params["left_out"] == ["movie:tt0000001"]
    assert imports.shown(Job.get_by_id(job.id)) == again


def test_a_confirmation_of_another_plan_is_refused(alice):
    """Two tabs: one has chosen another mode since."""
    put(alice, document([film(900)]))
    job = upload(alice, many(3))
    first = imports.prepare(job)
    second = imports.prepare(job, "replace")
    with pytest.raises(ConflictError, match="Another plan was made"):
        imports.confirm(job, first.plan_id)
    assert stored_plans.summary(job) == second


def test_a_tab_that_lags_behind_does_not_change_what_was_confirmed(alice):
    job = upload(alice, many(3))
    behind = Job.get_by_id(job.id)
    queued = imports.confirm(job, imports.prepare(job).plan_id)
    with pytest.raises(ConflictError, match="already confirmed"):
        imports.prepare(behind, "replace")
    assert run(queued).result["mode"] == "merge"


def rate(*numbers):
    return lambda user: put(user, document([seen(number) for number in numbers]))


def remove(number):
    def removing(user):
        Title.update(title="Pi").where(Title.imdb_id == f"tt{number:07d}").execute()
        movies.delete(user.id, f"tt{number:07d}")

    return removing


@pytest.mark.parametrize(
    "change, named",
    [
        (rate(1), "Heat"),
        (rate(1, 2), "Alien and Heat"),
        (rate(1, 2, 3), "Brazil, Alien and Heat"),
        (rate(1, 2, 3, 4), "Ran, Brazil and 2 more"),
        (remove(5), "Pi"),
        (lambda user: people.create(user.id, "Zoe"), "Zoe"),
        (lambda user: lists.create(user.id, "Rainy days"), "Rainy days"),
    ],
)
def test_a_plan_that_is_no_longer_true_names_what_changed(alice, change, named):
    titles = ["Heat", "Alien", "Brazil", "Ran", "Pi"]
    put(alice, document([film(number, title=title) for number, title in enumerate(titles, 1)]))
    job = upload(alice, many(1, start=50))
    plan = imports.prepare(job)
    change(alice)
    with pytest.raises(ConflictError) as refused:
        imports.confirm(job, plan.plan_id)
    words = f"{named} changed since this plan was made. Review the new plan, then confirm."
    assert refused.value.message == words
    assert stored_plans.summary(job).library_version == reload(alice).library_version


def test_what_was_only_looked_up_meanwhile_is_not_named(alice):
    put(alice, document([film(1, title="Heat"), film(2, title="Alien")]))
    job = upload(alice, many(1, start=50))
    plan = imports.prepare(job)
    put(alice, document([seen(1)]))
    with db.atomic():
        later = models.next_update(db.obj)
        Movie.update(updated_at=later).where(Movie.title == "tt0000002").execute()
    with pytest.raises(ConflictError, match=r"^Heat changed"):
        imports.confirm(job, plan.plan_id)


def test_the_worker_names_what_changed_too_and_makes_the_new_plan(alice):
    job = upload(alice, many(3))
    queued = imports.confirm(job, imports.prepare(job).plan_id)
    put(alice, document([film(2, title="Heat")]))
    waiting = run(queued)
    assert (waiting.state, waiting.message) == (
        "waiting",
        "Heat changed before this started. Nothing was written. Review the new plan.",
    )
    new = stored_plans.summary(waiting)
    assert (new.counts["movie"], new.library_version) == ({"new": 2, "same": 1}, 1)
    assert run(imports.confirm(waiting, new.plan_id)).state == "done"


def test_anyway_is_only_for_a_merge(alice):
    put(alice, document([film(900)]))
    job = upload(alice, many(3))
    plan = imports.prepare(job, "replace")
    put(alice, document([film(901)]))
    with pytest.raises(ConflictError, match="tt0000901 changed"):
        imports.confirm(job, plan.plan_id, anyway=True)
    queued = imports.confirm(job, stored_plans.summary(job).plan_id, anyway=True)
    put(alice, document([film(902)]))
    assert run(queued).state == "waiting"
    assert {"tt0000900", "tt0000901", "tt0000902"} == exported(alice)["movies"].keys()


@pytest.mark.parametrize("fate", ["deleted", "damaged"])
def test_a_backup_that_is_gone_by_the_confirmation_is_restored_from_its_copy(alice, fate):
    """The plan that was shown was made of a copy of it."""
    put(alice, many(3))
    entry = backups.create(alice)
    before = export(alice)
    put(alice, document([seen(1)]))
    job = uploads.copy_backup(reload(alice), entry.filename)
    plan = imports.prepare(job)
    if fate == "deleted":
        backups.delete(alice, entry.filename)
    else:
        (backup_files.folder_of(alice.id) / entry.filename).write_bytes(b"{}")
    assert run(imports.confirm(job, plan.plan_id)).state == "done"
    assert export(alice) == before


def test_of_two_restores_at_once_one_is_told_to_wait(alice):
    put(alice, many(3))
    entry = backups.create(alice)
    put(alice, document([seen(1)]))
    first = uploads.copy_backup(reload(alice), entry.filename)
    imports.confirm(first, imports.prepare(first).plan_id)
    second = uploads.copy_backup(reload(alice), entry.filename)
    plan = imports.prepare(second)
    with pytest.raises(ConflictError, match="waiting for its turn") as refused:
        imports.confirm(second, plan.plan_id)
    assert refused.value.status == 409
    assert run(first).state == "done"


@pytest.mark.slow
def test_one_plan_is_as_quick_to_open_as_another(alice):
    """The first page of a stored plan of 50,000 films with a vote and a watch each: the bound is
    150 ms of the server's time."""
    rows = [seen(n, recommendations=[vote("Ann")]) for n in range(1, 50_001)]
    job = upload(alice, document(rows, people=[person("Ann")]))
    imports.prepare(job)
    job = Job.get_by_id(job.id)
    begun = time.perf_counter()
    summary = stored_plans.summary(job)
    pages = [stored_plans.rows(job, kind, "new", 49_900) for kind in ("movie", "vote", "watch")]
    seconds = time.perf_counter() - begun
    assert summary.counts["movie"] == {"new": 50_000}
    assert [len(page) for page in pages] == [50, 50, 50]
    assert seconds < 0.15
