"""The catalogue as a whole: chosen, fetched, updated each week, refused if it is implausible, and
removed."""

import contextlib
import os
import threading
import time
from dataclasses import replace

import pytest

from mm import config, locks, maintenance, models, tasks
from mm.database import db
from mm.errors import ConflictError, NotFoundError, UserError
from mm.models import Job, Setting
from mm.services import health, jobs
from mm.services.catalogue import building, gathering, store, updates
from tests.support import datasets as standins
from tests.support.datasets import datasets_fixture  # noqa: F401

DAY = 86400


@pytest.fixture
def chosen(database, settings, datasets, frozen_clock):
    """An administrator asked for it; IMDb's host is the stand-in."""
    config.use(replace(config.current, imdb_datasets_url=datasets.url))
    return updates.choose(akas=False, directors=False, adult=False)


def never():
    return False


def quietly(what, done, total):
    pass


def update(must_stop=never, **more):
    return updates.update(quietly, must_stop, **more)


def titles(*imdb_ids):
    with store.reading() as connection:
        return {key: film.title for key, film in store.find(connection, imdb_ids).items()}


def left():
    """Of files that only an update needs."""
    folder = config.current.data_dir
    found = [path.name for path in folder.glob("catalogue.db?*")]
    return found + [path.name for path in config.current.datasets_dir.glob("*")]


def parts_of(name):
    """Its header and rows, with one row fewer."""
    return standins.HEADERS[name], standins.ROWS[name][:-1]


def half_of(rows):
    return {name: lines[: len(lines) // 2] for name, lines in rows.items()}


# When.


def test_nothing_is_due_until_somebody_asks(database, frozen_clock):
    assert updates.choice() is None
    assert updates.start_if_due() is None
    assert updates.status().next_at is None
    with pytest.raises(NotFoundError):
        updates.start()
    with pytest.raises(NotFoundError):
        update()


def test_what_was_asked_for_is_fetched_at_once_then_every_week(chosen, frozen_clock):
    assert updates.start_if_due().kind == "catalogue"
    assert updates.start_if_due() is None
    Job.delete().execute()
    update()
    assert updates.start_if_due() is None
    assert updates.status().next_at == frozen_clock.moment + 7 * DAY
    frozen_clock.move(7 * DAY)
    assert updates.start_if_due()


def test_a_catalogue_of_another_version_or_that_is_lost_is_fetched_at_once(
    chosen, monkeypatch, frozen_clock
):
    update()
    monkeypatch.setattr(store, "VERSION", store.VERSION + 1)
    assert updates.in_use() is None
    assert updates.start_if_due()
    Job.delete().execute()
    monkeypatch.undo()
    config.current.catalogue_file.unlink()
    assert updates.start_if_due()


def test_with_other_options_it_is_built_again(chosen, datasets):
    update()
    updates.choose(akas=False, directors=True, adult=True)
    assert updates.start_if_due()
    update()
    assert updates.in_use().choice.directors
    assert titles("tt9300006") == {"tt9300006": "For Grown-Ups Only"}


def test_a_failure_is_followed_by_a_try_in_an_hour_then_in_four_then_each_day(
    chosen, datasets, frozen_clock
):
    datasets.fault("gone")
    waits = []
    for _ in range(4):
        job = updates.start_if_due()
        jobs.run(job.id, lambda job: updates.run(job, never))
        assert Job.get_by_id(job.id).state == "failed"
        assert updates.start_if_due() is None
        wait = updates.status().next_at - frozen_clock.moment
        waits.append(wait)
        frozen_clock.move(wait)
    assert waits == [3600, 4 * 3600, DAY, DAY]
    datasets.heal()
    update()
    assert updates.status().next_at == frozen_clock.moment + 7 * DAY
    assert updates.status().problem == ""


def test_a_clock_that_was_ahead_costs_no_update(chosen, frozen_clock):
    update()
    frozen_clock.move(-30 * DAY)
    assert updates.start_if_due()


def test_a_restored_server_fetches_the_catalogue_that_its_archive_asks_for(chosen):
    update()
    assert updates.choice()
    config.current.catalogue_file.unlink()
    assert updates.start_if_due()


def test_a_catalogue_kept_through_a_restore_is_updated_as_before(chosen, frozen_clock):
    update()
    models.Setting.delete().where(models.Setting.key == updates.CHOICE).execute()
    assert updates.choice() == chosen
    frozen_clock.move(8 * DAY)
    assert updates.start_if_due()


# What.


def test_films_and_series_can_be_found_afterwards_and_nothing_else_is_left(chosen):
    assert update() == {"films": 24, "series": 4}
    assert titles("tt0114709", "tt0903747") == {
        "tt0114709": "Toy Story",
        "tt0903747": "Breaking Bad",
    }
    assert left() == []
    assert config.current.catalogue_file.stat().st_mode & 0o777 == 0o600
    status = updates.status()
    assert status.about.films == 24
    assert status.size_bytes == config.current.catalogue_file.stat().st_size
    assert status.as_of == status.about.built_at


def test_unchanged_datasets_are_not_downloaded_and_count_as_checked(chosen, datasets, frozen_clock):
    update()
    frozen_clock.move(7 * DAY)
    datasets.forget()
    before = os.stat(config.current.catalogue_file).st_ino
    assert update() == {"unchanged": True}
    assert sum(datasets.sent.values()) == 0
    assert os.stat(config.current.catalogue_file).st_ino == before
    assert updates.status().as_of == frozen_clock.moment
    assert updates.status().next_at == frozen_clock.moment + 7 * DAY


def test_from_a_folder_nothing_is_downloaded_or_deleted(chosen, datasets, tmp_path):
    folder = tmp_path / "files"
    paths = standins.write_files(folder)
    assert update(folder=folder)["films"] == 24
    assert datasets.asked == []
    assert all(path.is_file() for path in paths.values())


@pytest.mark.parametrize("kind", ["", "columns"])
def test_files_given_in_the_folder_for_downloads_stay_too(chosen, kind):
    folder = config.current.datasets_dir
    paths = standins.write_files(folder)
    if kind:
        damaged = standins.damaged(paths["title.basics"].read_bytes(), standins.Fault(kind))
        paths["title.basics"].write_bytes(damaged)
    with contextlib.suppress(building.UnreadableError):
        update(folder=folder)
    updates.sweep()
    updates.remove()
    assert all(path.is_file() for path in paths.values())


def test_a_catalogue_made_from_files_is_not_updated_automatically_and_may_have_any_age(
    chosen, tmp_path, frozen_clock
):
    standins.write_files(tmp_path / "files")
    update(folder=tmp_path / "files")
    frozen_clock.move(60 * DAY)
    assert updates.start_if_due() is None
    assert updates.status().next_at is None
    assert not any("catalogue" in text.lower() for text in health.check()["problems"])


def test_a_catalogue_made_from_files_is_updated_weekly_once_an_update_has_fetched_it(
    chosen, datasets, tmp_path, frozen_clock
):
    standins.write_files(tmp_path / "files")
    update(folder=tmp_path / "files")
    datasets.fault("gone", times=2)
    with pytest.raises(UserError):
        update()
    frozen_clock.move(DAY)
    assert updates.start_if_due() is None
    datasets.heal()
    update()
    assert updates.status().next_at == frozen_clock.moment + 7 * DAY
    frozen_clock.move(7 * DAY)
    assert updates.start_if_due()


def test_after_other_options_it_is_still_not_updated_automatically(chosen, tmp_path):
    standins.write_files(tmp_path / "files")
    update(folder=tmp_path / "files")
    updates.choose(akas=True, directors=False, adult=False)
    assert updates.start_if_due() is None


def test_from_a_folder_that_lacks_a_file_nothing_is_done(chosen, tmp_path):
    folder = tmp_path / "files"
    standins.write_files(folder)["title.ratings"].unlink()
    with pytest.raises(NotFoundError, match=r"title\.ratings\.tsv\.gz"):
        update(folder=folder)
    assert not store.is_there()


# What goes wrong.


def test_a_damaged_dataset_is_fetched_again_and_the_current_catalogue_stays(
    chosen, datasets, frozen_clock
):
    update()
    whole = datasets.bodies["title.basics"]
    datasets.serve("title.basics", whole[:-6] + bytes(byte ^ 0xFF for byte in whole[-6:]))
    with pytest.raises(UserError, match=r"title.basics.* The current catalogue stays in use\."):
        update()
    assert titles("tt0114709")
    assert "title.basics.tsv.gz" not in left()
    datasets.serve("title.basics", whole, '"another"')
    assert update()["films"] == 24
    assert left() == []


def test_with_half_of_its_rows_missing_it_is_refused_and_the_status_says_so(chosen, datasets):
    update()
    before = titles("tt0114709", "tt12345678")
    datasets.put(half_of(standins.ROWS))
    job = updates.start()
    jobs.run(job.id, lambda job: updates.run(job, never))
    assert titles("tt0114709", "tt12345678") == before
    status = updates.status()
    assert status.problem.endswith("The current catalogue stays in use.")
    assert status.about.films == 24
    assert not [name for name in left() if name.startswith("catalogue")]


def test_a_host_that_does_not_answer_leaves_the_one_in_use(chosen, datasets):
    update()
    datasets.fault("portal")
    with pytest.raises(UserError, match=r"The current catalogue stays in use\."):
        update()
    assert titles("tt0114709")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(chosen):
    config.current.data_dir.chmod(0o500)
    try:
        with pytest.raises(UserError, match="cannot be written"):
            update()
    finally:
        config.current.data_dir.chmod(0o700)


def test_a_disk_that_is_read_only_is_named(chosen, monkeypatch):
    def refused(*args):
        raise OSError(30, "Read-only file system")

    update()
    updates.choose(akas=False, directors=False, adult=True)
    monkeypatch.setattr(building, "build", refused)
    with pytest.raises(UserError, match=r"read-only.* The current catalogue stays in use\."):
        update()


def test_a_disk_that_is_full_leaves_the_one_in_use_and_nothing_else(chosen, monkeypatch):
    def fill(*args):
        raise OSError(28, "No space left on device")

    update()
    updates.choose(akas=False, directors=False, adult=True)
    monkeypatch.setattr(gathering.Shelf, "put", fill)
    with pytest.raises(UserError, match=r"disk space.* The current catalogue stays in use\."):
        update()
    assert titles("tt0114709")
    assert [name for name in left() if name.startswith("catalogue")] == []


# Two at once, and an end before the end.


def test_the_second_of_two_updates_is_told_about_the_first(chosen):
    updates.start()
    with pytest.raises(ConflictError, match="already being updated"):
        updates.start()
    Job.delete().execute()
    with locks.hold(updates.LOCK):
        for ask in (updates.start, update):
            with pytest.raises(ConflictError, match="already being updated"):
                ask()
        assert updates.status().is_busy
        assert updates.start_if_due() is None


def test_an_update_of_a_worker_that_ends_continues_later(chosen):
    with pytest.raises(jobs.StoppedError):
        update(must_stop=lambda: True)
    assert not store.is_there()
    assert updates.status().next_at <= time.time()
    assert update()["films"] == 24


def test_a_restore_of_the_server_ends_it(chosen):
    maintenance.begin("r")
    try:
        with pytest.raises(jobs.StoppedError):
            update(must_stop=tasks.enrichment_runner.must_stop)
    finally:
        maintenance.end()


def test_what_killed_processes_left_is_swept_and_downloads_stay_while_they_are_needed(chosen):
    draft = config.current.data_dir / "catalogue.db.new"
    part = config.current.datasets_dir / "title.basics.tsv.gz.part"
    config.current.datasets_dir.mkdir()
    for path in (draft, part):
        path.write_bytes(b"half")
    updates.start_if_due()
    with locks.hold(updates.LOCK):
        updates.sweep()
        assert draft.exists()
    updates.sweep()
    assert not draft.exists()
    assert part.exists()
    Job.delete().execute()
    updates.sweep()
    assert left() == []


def test_no_other_sweep_takes_the_catalogue_away(chosen):
    update()
    for part in ("sweep.uploads", "sweep.archives", "sweep.archive-uploads", "sweep.setup"):
        tasks.PARTS[part][1]()
    updates.sweep()
    assert titles("tt0114709")


def test_whoever_searches_during_a_swap_never_sees_an_error(chosen, datasets):
    update()
    failures, searches, end = [], [], threading.Event()

    def search():
        while not end.is_set():
            try:
                searches.append(titles("tt0114709")["tt0114709"])
            except Exception as error:  # noqa: BLE001
                failures.append(error)

    reader = threading.Thread(target=search)
    reader.start()
    for _ in range(5):
        updates.choose(akas=False, directors=False, adult=not updates.choice().adult)
        update()
    end.set()
    reader.join()
    assert failures == []
    assert len(searches) > 5


# Removed.


def test_after_removal_it_is_gone_and_not_fetched_again(chosen, frozen_clock):
    update()
    updates.remove()
    assert not store.is_there()
    assert updates.choice() is None
    frozen_clock.move(30 * DAY)
    assert updates.start_if_due() is None
    assert left() == []


def test_removing_ends_the_update_that_runs(chosen, datasets, monkeypatch):
    monkeypatch.setattr(updates, "LOOK_SECONDS", 0)
    datasets.fault("slow", seconds=0.5)
    job = updates.start()
    began = threading.Event()

    def work(job):
        began.set()
        return updates.run(job, never)

    def run():
        with db.connection_context():
            jobs.run(job.id, work)

    worker = threading.Thread(target=run)
    worker.start()
    assert began.wait(10)
    updates.remove()
    worker.join()
    assert not store.is_there()
    # What is back in the queue finds that nothing is asked for any more.
    jobs.run(job.id, lambda job: updates.run(job, never))
    assert Job.get_by_id(job.id).state == "done"
    assert not store.is_there()


def test_removing_also_ends_the_update_of_one_that_outlived_a_restore(
    chosen, datasets, monkeypatch
):
    """Only the catalogue itself still told what was chosen."""
    update()
    Setting.delete().execute()
    datasets.serve("title.basics", standins.packed(*parts_of("title.basics")))
    datasets.fault("stall", after=0)
    working, ended = threading.Event(), []

    def told(what, done, total):
        working.set()

    def run():
        with db.connection_context():
            try:
                updates.update(told, never)
            except jobs.StoppedError as error:
                ended.append(error)

    worker = threading.Thread(target=run)
    worker.start()
    assert working.wait(10)
    updates.remove()
    worker.join()
    assert ended
    assert updates.choice() is None
    assert not store.is_there()


# Health.


def test_health_names_a_failed_update_until_one_succeeds(chosen, datasets):
    datasets.fault("gone", times=2)
    tasks.run_job.call_local(updates.start().id, "catalogue")
    assert any("The update of the catalogue failed" in text for text in health.check()["problems"])
    datasets.heal()
    tasks.run_job.call_local(updates.start().id, "catalogue")
    assert not any("catalogue" in text for text in health.check()["problems"])


def test_health_names_a_catalogue_that_was_not_updated_for_three_weeks(chosen, frozen_clock):
    update()
    frozen_clock.move(21 * DAY)
    assert not any("days old" in text for text in health.check()["problems"])
    frozen_clock.move(DAY)
    assert any("22 days old" in text for text in health.check()["problems"])
