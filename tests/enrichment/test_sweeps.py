"""Sweeps: titles that no library holds any more, and posters that no title has."""

import os

import pytest

from mm import clock, config, models
from mm.database import IN_CHUNK, chunks, db
from mm.models import Movie, Title, User
from mm.services.enrichment import posters
from mm.services.enrichment import queue as enrichment_queue
from mm.services.library import movies, undo
from tests.support import standin as stand
from tests.support.enriching import DAY, FILM, brisk, hold, run, settings  # noqa: F401

OTHER = stand.FILM_IDS[1]


def title_ids():
    return {imdb_id for (imdb_id,) in Title.select(Title.imdb_id).tuples()}


def test_a_title_is_deleted_thirty_days_after_the_last_library_removed_it(alice, frozen_clock):
    movies.add(alice.id, FILM)
    movies.add(alice.id, OTHER)
    run()
    frozen_clock.move(100 * DAY)
    movies.delete(alice.id, FILM)

    frozen_clock.move(30 * DAY - 1)
    assert enrichment_queue.sweep() == 0
    frozen_clock.move(1)
    assert enrichment_queue.sweep() == 1
    assert title_ids() == {OTHER}
    assert enrichment_queue.sweep() == 0


def test_a_film_with_the_status_deleted_keeps_its_title(alice, frozen_clock):
    movies.add(alice.id, FILM, status="deleted")
    frozen_clock.move(1000 * DAY)
    assert enrichment_queue.sweep() == 0


def test_a_title_stays_while_another_user_has_it(alice, bob, frozen_clock):
    movies.add(alice.id, FILM)
    movies.add(bob.id, FILM)
    movies.delete(alice.id, FILM)
    frozen_clock.move(31 * DAY)
    assert enrichment_queue.sweep() == 0


def test_a_deletion_can_be_undone_after_a_sweep(alice, frozen_clock):
    movies.add(alice.id, FILM)
    frozen_clock.move(100 * DAY)
    with undo.step(alice.id, imdb_ids=[FILM]) as step:
        movies.delete(alice.id, FILM)
    enrichment_queue.sweep()
    undo.back(alice.id, step.token)
    assert Movie.get().imdb_id == FILM


def test_titles_of_a_removed_account_are_deleted_thirty_days_after_their_last_look_up(
    alice, frozen_clock
):
    hold(alice, FILM, OTHER)
    run()
    frozen_clock.move(10 * DAY)
    User.delete().where(User.id == alice.id).execute()
    assert enrichment_queue.sweep() == 0
    frozen_clock.move(20 * DAY + 1)
    assert enrichment_queue.sweep() == 2


def test_a_sweep_deletes_a_limited_number_of_titles(database, monkeypatch, frozen_clock):
    monkeypatch.setattr(enrichment_queue, "SWEEP_BATCH", 10)
    monkeypatch.setattr(enrichment_queue, "SWEEP_MAX", 25)
    with db.atomic():
        models.ensure_titles(db.obj, [f"tt{number:08}" for number in range(40)])
    assert [enrichment_queue.sweep() for _ in range(3)] == [25, 15, 0]


def test_a_film_that_is_added_during_a_sweep_keeps_its_title(alice, monkeypatch):
    models.ensure_titles(db.obj, [FILM, OTHER])
    real_chunks = chunks

    def add_meanwhile(keys, size=IN_CHUNK):
        monkeypatch.setattr(enrichment_queue, "chunks", real_chunks)
        movies.add(alice.id, FILM)
        return real_chunks(keys, size)

    monkeypatch.setattr(enrichment_queue, "chunks", add_meanwhile)
    assert enrichment_queue.sweep() == 1
    assert title_ids() == {FILM}


# Posters.


@pytest.fixture
def kept(database):
    """kept("w342", "x.png", days=2): a file that was written so long ago."""

    def put(size, name, days=2):
        path = config.current.posters_dir / size / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"picture")
        os.utime(path, (clock.now() - days * DAY,) * 2)
        return path

    return put


def test_only_posters_without_a_title_are_deleted(alice, kept):
    hold(alice, FILM)
    run()
    used = [kept(size, f"{FILM}.png") for size in ("w342", "w500")]
    unused = [kept(size, "gone.jpg") for size in ("w342", "w500")]
    assert posters.sweep() == 2
    assert [path.exists() for path in used + unused] == [True, True, False, False]


def test_the_poster_of_a_swept_title_is_deleted(alice, frozen_clock, kept):
    movies.add(alice.id, FILM)
    run()
    path = kept("w342", f"{FILM}.png")
    movies.delete(alice.id, FILM)
    frozen_clock.move(31 * DAY)
    assert (enrichment_queue.sweep(), posters.sweep()) == (1, 1)
    assert not path.exists()


def test_a_poster_of_the_last_day_is_kept_for_a_film_about_to_be_added(kept):
    path = kept("w342", "new.jpg", days=0.9)
    assert posters.sweep() == 0
    assert path.exists()


def test_drafts_are_deleted_and_foreign_files_are_left_alone(kept):
    draft = kept("w342", ".tmp-0123456789abcdef")
    foreign = [kept("w342", "README"), kept("w342", "a b.jpg"), kept("used", "old.jpg")]
    (config.current.posters_dir / "w342" / "@eaDir").mkdir()
    folder = config.current.posters_dir / "w342" / "folder.jpg"
    folder.mkdir()
    os.utime(folder, (0, 0))
    link = config.current.posters_dir / "w342" / "link.jpg"
    link.symlink_to("/etc/hostname")
    assert posters.sweep() == 1
    assert not draft.exists()
    assert all(path.exists() for path in (*foreign, folder))
    assert link.is_symlink()


def test_a_poster_that_cannot_be_deleted_is_logged_and_skipped(kept, monkeypatch):
    stuck, other = kept("w342", "stuck.jpg"), kept("w342", "other.jpg")
    unlink, lines = posters.Path.unlink, []

    def refuse(path, **values):
        if path == stuck:
            raise PermissionError
        unlink(path, **values)

    monkeypatch.setattr(posters.Path, "unlink", refuse)
    warn = lambda event, **fields: lines.append((event, fields))  # noqa: E731
    monkeypatch.setattr(posters.log, "warning", warn)
    assert posters.sweep() == 1
    assert (stuck.exists(), other.exists()) == (True, False)
    assert lines == [("poster.not_deleted", {"file": "stuck.jpg", "error": "PermissionError"})]


def test_sweeping_without_a_posters_folder_deletes_nothing(database):
    assert posters.sweep() == 0
