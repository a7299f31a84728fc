"""One user's backup files: written whole, test-restored, told the truth about, and never lost."""

import json
import os
import shutil
import signal
import stat
import subprocess
import threading
import time

import msgspec
import pytest

from mm import files, locks, models
from mm.database import db
from mm.errors import InvalidError, NoRoomError, NotFoundError, UnavailableError
from mm.models import Movie, User
from mm.schemas import FORMAT, Sidecar
from mm.services import portable
from mm.services.backup import backups, imports, nightly, recheck, state, verification
from mm.services.backup import files as backup_files
from tests.support.libraries import (
    as_before,
    as_bytes,
    document,
    export,
    film,
    hard_document,
    many,
    put,
    reload,
)

pytestmark = pytest.mark.usefixtures("database", "frozen_clock")
DAY = 86400


def folder(user):
    return backup_files.folder_of(user.id)


def names(user):
    return {entry.filename for entry in backups.listing(user.id)}


def sidecar(user, filename):
    return msgspec.json.decode((folder(user) / f"{filename}.meta.json").read_bytes(), type=Sidecar)


def edit_sidecar(user, filename, **values):
    path = folder(user) / filename
    changed = msgspec.structs.replace(backup_files.read_sidecar(path), **values)
    backup_files.write_sidecar(path, changed)


def test_a_backup_is_the_export_with_a_sidecar_that_sha256sum_confirms(alice):
    put(alice, hard_document())
    entry = backups.create(alice)
    path = folder(alice) / entry.filename
    assert path.read_bytes() == export(alice, exported_at=entry.created_at)
    written = subprocess.run(
        ["sha256sum", str(path)], capture_output=True, text=True, check=True
    ).stdout
    assert written.startswith(entry.sha256)
    assert (entry.kind, entry.state, entry.counts.movies) == ("manual", "verified", 8)
    assert entry.filename == "2026-03-01T12-00-00-manual.json"


def test_files_and_folders_can_be_read_by_their_owner_only(alice):
    path = folder(alice) / backups.create(alice).filename
    modes = {
        stat.S_IMODE(os.stat(each).st_mode) for each in (path, backup_files.sidecar_path(path))
    }
    assert modes == {0o600}
    assert stat.S_IMODE(folder(alice).stat().st_mode) == 0o700


def test_a_second_backup_in_the_same_second_gets_a_number(alice):
    assert [backups.create(alice).filename for _ in range(3)] == [
        "2026-03-01T12-00-00-manual.json",
        "2026-03-01T12-00-00-manual-2.json",
        "2026-03-01T12-00-00-manual-3.json",
    ]


def test_a_backup_that_cannot_be_verified_is_not_kept_and_spoils_nothing(alice, monkeypatch):
    put(alice, many(5))
    good = nightly.run_scheduled(alice.id)
    monkeypatch.setattr(verification, "problem_of", lambda *args: "a bad block")
    put(alice, many(1, start=9))
    with pytest.raises(UnavailableError, match="a bad block"):
        backups.create(alice)
    assert names(alice) == {good.filename}
    assert sorted(os.listdir(folder(alice))) == [good.filename, f"{good.filename}.meta.json"]


def test_a_backup_is_read_back_from_the_disk_before_it_counts(alice, monkeypatch):
    """What reached the disk is checked, not what was meant to."""
    put(alice, many(5))
    write = files.write
    monkeypatch.setattr(files, "write", lambda path, data: write(path, data[:-1] + b" "))
    with pytest.raises(UnavailableError, match="its content was changed or damaged"):
        backups.create(alice)
    assert names(alice) == set()


def test_rows_that_the_export_misses_are_noticed(alice, monkeypatch):
    put(alice, many(5))
    dump = backups.portable.dump

    def forgetful(*args, **kwargs):
        library = dump(*args, **kwargs)
        library.movies.pop()
        return library

    monkeypatch.setattr(backups.portable, "dump", forgetful)
    with pytest.raises(UnavailableError, match="films, people or lists are missing"):
        backups.create(alice)


def test_a_corrupt_file_is_found_named_and_not_restored(alice):
    entry = backups.create(alice)
    path = folder(alice) / entry.filename
    path.write_bytes(path.read_bytes().replace(b"Google", b"Goggle"))
    checked = backups.verify(alice, entry.filename)
    assert (checked.state, checked.verified_at) == ("damaged", None)
    assert "sha256" in checked.problem
    with pytest.raises(InvalidError, match="damaged"):
        backup_files.read(alice.id, entry.filename)
    assert any(entry.filename in notice for notice in state.of(alice).notices)


def test_a_file_of_another_size_is_damaged_at_sight(alice):
    entry = backups.create(alice)
    with (folder(alice) / entry.filename).open("ab") as file:
        file.write(b"\n")
    assert backups.listing(alice.id)[0].state == "damaged"


def test_a_file_without_a_sidecar_is_unverified_until_it_is_tested(alice):
    put(alice, hard_document())
    entry = backups.create(alice)
    backup_files.sidecar_path(folder(alice) / entry.filename).unlink()
    listed = backups.listing(alice.id)[0]
    assert (listed.state, listed.verified_at, listed.counts) == ("unverified", None, None)
    checked = backups.verify(alice, entry.filename)
    assert (checked.state, checked.counts.movies) == ("verified", 8)


def test_a_file_whose_sidecar_cannot_be_read_is_unverified(alice):
    entry = backups.create(alice)
    backup_files.sidecar_path(folder(alice) / entry.filename).write_text('{"kind": "manual"')
    assert backups.listing(alice.id)[0].state == "unverified"


def test_a_sidecar_whose_file_is_gone_says_so_and_can_be_removed(alice):
    entry = backups.create(alice)
    (folder(alice) / entry.filename).unlink()
    listed = backups.listing(alice.id)[0]
    assert (listed.state, listed.problem) == (
        "damaged",
        "the file is gone; only its description is left",
    )
    backups.delete(alice, entry.filename)
    assert os.listdir(folder(alice)) == []


def test_foreign_files_are_listed_and_left_alone(alice):
    backups.create(alice)
    (folder(alice) / "holiday.jpg").write_bytes(b"x")
    (folder(alice) / "2026-13-01T00-00-00-other.json").write_bytes(b"{}")
    foreign = [entry for entry in backups.listing(alice.id) if entry.state == "foreign"]
    assert {entry.filename for entry in foreign} == {
        "holiday.jpg",
        "2026-13-01T00-00-00-other.json",
    }
    for entry in foreign:
        for verb in (backups.path_of, lambda user_id, name: backups.delete(alice, name)):
            with pytest.raises(NotFoundError):
                verb(alice.id, entry.filename)
    backups.prune(alice)
    assert (folder(alice) / "holiday.jpg").exists()


@pytest.mark.parametrize("target", ["/etc/passwd", "sidecar", "folder"])
def test_symbolic_links_are_foreign_and_never_followed(alice, bob, target):
    backups.create(alice)
    theirs = folder(bob) / backups.create(bob).filename
    link = folder(alice) / "2026-01-01.json"
    link.symlink_to(
        {"/etc/passwd": "/etc/passwd", "sidecar": theirs, "folder": folder(bob)}[target]
    )
    assert [entry.state for entry in backups.listing(alice.id) if entry.filename == link.name] == [
        "foreign"
    ]
    for verb in (backups.verify, backups.delete):
        with pytest.raises(NotFoundError):
            verb(alice, link.name)
    assert theirs.exists()


@pytest.mark.parametrize(
    "name",
    [
        "../mm.db",
        "..",
        ".",
        "",
        "/etc/passwd",
        "2026-01-01.json/../../x",
        "2026-01-01.json\0",
        "2026-01-01.json\n",
        "2026-01-01.json.meta.json",
        "%2e%2e",
        "..\\x",
        ".tmp-0",
    ],
)
def test_a_name_that_does_not_parse_cannot_be_read_verified_or_deleted(alice, name):
    backups.create(alice)
    for verb in (backups.verify, backups.delete):
        with pytest.raises(NotFoundError, match="Backup file not found"):
            verb(alice, name)
    with pytest.raises(NotFoundError):
        backup_files.read(alice.id, name)


def test_no_user_can_reach_the_backups_of_another(alice, bob):
    entry = backups.create(alice)
    with pytest.raises(NotFoundError):
        backup_files.read(bob.id, entry.filename)


def test_a_library_from_the_future_is_kept_too_when_the_clock_was_set_back(alice, frozen_clock):
    """A machine without a clock of its own wakes up in the past."""
    put(alice, hard_document())
    before = export(alice)
    frozen_clock.move(-5 * 365 * DAY)
    entry = backups.create(alice)
    assert entry.state == "verified"
    Movie.delete().execute()
    imports.restore_backup(alice, entry.filename)
    assert export(alice) == before


# Nights.


def test_an_unchanged_library_costs_a_link(alice, frozen_clock):
    put(alice, many(5))
    first = nightly.run_scheduled(alice.id)
    frozen_clock.move(DAY)
    second = nightly.run_scheduled(alice.id)
    assert os.path.samefile(folder(alice) / first.filename, folder(alice) / second.filename)
    assert second.unchanged_since == first.created_at
    assert (second.state, second.created_at) == ("verified", frozen_clock.moment)


def test_a_change_makes_a_new_file(alice, frozen_clock):
    first = nightly.run_scheduled(alice.id)
    frozen_clock.move(DAY)
    put(alice, many(1))
    second = nightly.run_scheduled(alice.id)
    assert first.sha256 != second.sha256
    assert second.unchanged_since is None


def test_after_seven_links_a_fresh_file_is_written(alice, frozen_clock):
    for _ in range(9):
        nightly.run_scheduled(alice.id)
        frozen_clock.move(DAY)
    inodes = [
        (folder(alice) / entry.filename).stat().st_ino for entry in backups.listing(alice.id)[::-1]
    ]
    assert len(set(inodes[:8])) == 1
    assert inodes[8] != inodes[7]


def test_a_file_that_rotted_is_not_linked_but_written_again_and_marked_damaged(alice, frozen_clock):
    put(alice, many(5))
    first = nightly.run_scheduled(alice.id)
    path = folder(alice) / first.filename
    data = path.read_bytes()
    path.write_bytes(data.replace(b"tt0000003", b"tt0000009"))
    frozen_clock.move(DAY)
    second = nightly.run_scheduled(alice.id)
    assert second.state == "verified"
    assert (folder(alice) / second.filename).read_bytes()[-100:] == data[-100:]
    damaged = next(entry for entry in backups.listing(alice.id) if entry.filename == first.filename)
    assert damaged.state == "damaged"
    assert any("damaged" in notice for notice in state.of(reload(alice)).notices)


def test_a_database_that_was_brought_back_never_passes_for_unchanged(alice, frozen_clock):
    """Its library_version may be one that a backup of another past also had."""
    put(alice, many(5))
    before = reload(alice)
    frozen_clock.move(DAY)
    put(alice, document([film(90)]))
    nightly.run_scheduled(alice.id)
    frozen_clock.move(DAY)
    # As restoring mm.db from before that night would leave it, with one other write since.
    Movie.delete().where(Movie.user == alice.id).execute()
    User.update(library_version=before.library_version + 1, last_completed_at=None).execute()
    entry = nightly.run_scheduled(alice.id)
    assert (entry.counts.movies, entry.unchanged_since) == (0, None)


def test_where_links_fail_the_file_is_copied(alice, frozen_clock, monkeypatch):
    first = nightly.run_scheduled(alice.id)
    frozen_clock.move(DAY)
    monkeypatch.setattr(
        os, "link", lambda *args: (_ for _ in ()).throw(OSError(95, "Operation not supported"))
    )
    second = nightly.run_scheduled(alice.id)
    assert not os.path.samefile(folder(alice) / first.filename, folder(alice) / second.filename)
    assert (folder(alice) / second.filename).read_bytes() == (
        folder(alice) / first.filename
    ).read_bytes()
    assert backups.verify(alice, second.filename).state == "verified"


def test_the_schedule_never_replaces_a_verified_file_of_that_day(alice):
    put(alice, many(5))
    first = nightly.run_scheduled(alice.id)
    put(alice, many(5, start=50))
    assert nightly.run_scheduled(alice.id).sha256 == first.sha256


def test_the_schedule_does_replace_a_damaged_file_of_that_day(alice):
    put(alice, many(5))
    first = nightly.run_scheduled(alice.id)
    (folder(alice) / first.filename).write_bytes(b"{}")
    again = nightly.run_scheduled(alice.id)
    assert (again.filename, again.state, again.sha256) == (first.filename, "verified", first.sha256)


def test_the_backup_before_a_large_drop_is_pinned_and_the_page_says_so(alice, frozen_clock):
    put(alice, many(40))
    before = nightly.run_scheduled(alice.id)
    Movie.delete().where(Movie.id > 15).execute()
    models.touch_library(db.obj, alice.id)
    frozen_clock.move(DAY)
    nightly.run_scheduled(alice.id)
    entry = next(entry for entry in backups.listing(alice.id) if entry.filename == before.filename)
    assert (entry.pinned, entry.kept_because) == (True, "last before a large drop")
    assert "under half of its 40 films" in state.of(alice).notices[0]


def test_a_small_library_may_shrink_without_an_alarm(alice, frozen_clock):
    put(alice, many(19))
    nightly.run_scheduled(alice.id)
    Movie.delete().execute()
    models.touch_library(db.obj, alice.id)
    frozen_clock.move(DAY)
    nightly.run_scheduled(alice.id)
    assert not any(entry.pinned for entry in backups.listing(alice.id))


def test_the_larger_backup_is_pinned_before_the_smaller_one_is_published(
    alice, frozen_clock, monkeypatch
):
    class Killed(BaseException):
        pass

    def kill(*args):
        raise Killed

    put(alice, many(40))
    before = nightly.run_scheduled(alice.id)
    Movie.delete().where(Movie.id > 15).execute()
    models.touch_library(db.obj, alice.id)
    frozen_clock.move(DAY)
    with monkeypatch.context() as patched:
        patched.setattr(backup_files, "publish", kill)
        with pytest.raises(Killed):
            nightly.run_scheduled(alice.id)
    assert sidecar(alice, before.filename).pinned


@pytest.mark.parametrize("step", [1, 2])
def test_a_publication_killed_half_way_is_completed_or_undone_by_the_sweep(
    alice, monkeypatch, step
):
    class Killed(BaseException):
        pass

    replace, calls = os.replace, []

    def kill_at_step(source, target):
        calls.append(target)
        if len(calls) > step:
            raise Killed
        replace(source, target)

    put(alice, many(5))
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", kill_at_step)
        with pytest.raises(Killed):
            backups.create(alice)
    backups.sweep()
    assert [entry.state for entry in backups.listing(alice.id)] == (
        ["verified"] if step == 2 else []
    )
    assert not [name for name in os.listdir(folder(alice)) if name.startswith(".")]


def test_a_file_of_this_day_without_a_sidecar_is_set_aside_and_not_overwritten(alice):
    put(alice, many(5))
    first = nightly.run_scheduled(alice.id)
    backup_files.sidecar_path(folder(alice) / first.filename).unlink()
    Movie.delete().execute()
    again = nightly.run_scheduled(alice.id)
    assert (again.filename, again.counts.movies) == (first.filename, 0)
    aside = next(entry for entry in backups.listing(alice.id) if entry.state == "unverified")
    assert backups.verify(alice, aside.filename).counts.movies == 5


@pytest.mark.slow
def test_a_file_that_somebody_removed_does_not_stop_the_nights(alice, frozen_clock):
    put(alice, many(5))
    first = nightly.run_scheduled(alice.id)
    (folder(alice) / first.filename).unlink()
    for number in range(20):
        frozen_clock.move(DAY)
        put(alice, many(1, start=50 + number))
        nightly.run_scheduled(alice.id)
    assert len(backups.listing(alice.id)) == 15


def test_a_file_named_after_a_day_that_never_was_is_foreign(alice):
    entry = backups.create(alice)
    shutil.copy(folder(alice) / entry.filename, folder(alice) / "2026-02-30.json")
    assert {item.filename: item.state for item in backups.listing(alice.id)}[
        "2026-02-30.json"
    ] == "foreign"
    with pytest.raises(NotFoundError):
        backups.verify(alice, "2026-02-30.json")
    assert nightly.run_scheduled(alice.id).state == "verified"


@pytest.fixture
def unreadable(monkeypatch):
    """unreadable(path): reading it gives an input/output error, as from a bad block."""
    bad, opened = set(), open

    def open_or_fail(file, *args, **kwargs):
        if str(file) in bad and "r" in (args[0] if args else kwargs.get("mode", "r")):
            raise OSError(5, "Input/output error")
        return opened(file, *args, **kwargs)

    monkeypatch.setattr("io.open", open_or_fail)
    return lambda path: bad.add(str(path))


def test_a_file_that_cannot_be_read_is_noted_and_the_night_makes_a_new_one(
    alice, frozen_clock, unreadable
):
    put(alice, many(5))
    first = nightly.run_scheduled(alice.id)
    unreadable(folder(alice) / first.filename)
    frozen_clock.move(DAY)
    second = nightly.run_scheduled(alice.id)
    assert (second.state, second.unchanged_since) == ("verified", None)
    damaged = next(entry for entry in backups.listing(alice.id) if entry.filename == first.filename)
    assert (
        damaged.problem == f"it can’t be read (details in the log, code {damaged.problem[-6:-1]})"
    )


def test_a_file_that_cannot_be_read_does_not_keep_the_others_from_their_check(
    alice, frozen_clock, unreadable
):
    for number in range(14):
        put(alice, many(1, start=number + 1))
        made = nightly.run_scheduled(alice.id)
        frozen_clock.move(DAY)
        if number == 0:
            unreadable(folder(alice) / made.filename)
    job = models.Job.create(kind="recheck")
    damaged = [f"{alice.id}/2026-03-01.json"]
    assert recheck.run(job) == {"checked": 2, "damaged": damaged, "failed": 0}


def test_what_is_found_damaged_is_damaged_under_each_of_its_dates(alice, frozen_clock):
    put(alice, many(5))
    for _ in range(4):
        last = nightly.run_scheduled(alice.id)
        frozen_clock.move(DAY)
    path = folder(alice) / last.filename
    with path.open("r+b") as file:
        file.write(b"[")
    assert backups.verify(alice, last.filename).state == "damaged"
    assert {entry.state for entry in backups.listing(alice.id)} == {"damaged"}
    assert state.of(alice).last_good is None


def test_a_file_that_was_only_found_never_passes_for_what_the_database_holds(alice, frozen_clock):
    put(alice, document([film(1)]))
    frozen_clock.move(DAY)
    put(alice, document([film(2)]))
    nightly.run_scheduled(alice.id)
    # mm.db comes back from before that night; the run of the day finds its file, and two other
    # edits reach its version.
    version = reload(alice).library_version
    Movie.delete().execute()
    User.update(library_version=version - 2, last_completed_at=None, saved_version=None).execute()
    frozen_clock.move(3600)
    nightly.run_scheduled(alice.id)
    put(alice, document([film(3)]))
    put(alice, document([film(4)]))
    assert reload(alice).library_version == version
    frozen_clock.move(DAY)
    entry = nightly.run_scheduled(alice.id)
    assert entry.unchanged_since is None
    assert b"tt0000004" in (folder(alice) / entry.filename).read_bytes()


def test_safety_copies_go_with_the_next_backup_though_nothing_is_scheduled(alice, frozen_clock):
    put(alice, many(5))
    imports.import_bytes(alice, as_bytes(document([film(90)])))
    frozen_clock.move(8 * DAY)
    backups.create(alice)
    assert [entry.kind for entry in backups.listing(alice.id)] == ["manual"]


def test_a_library_too_large_for_an_upload_is_backed_up_and_restored_all_the_same(
    alice, monkeypatch
):
    monkeypatch.setattr("mm.services.validation.FILE_MAX", 1000)
    plan = portable.plan(alice.id, portable.read(as_bytes(many(50)), trusted=True))
    portable.apply(plan)
    entry = backups.create(alice)
    Movie.delete().execute()
    assert imports.restore_backup(alice, entry.filename).movies_imported == 50


def test_leftovers_of_a_killed_process_are_never_listed_and_swept(alice):
    entry = backups.create(alice)
    (folder(alice) / ".tmp-0123456789abcdef").write_bytes(b'{"half":')
    assert names(alice) == {entry.filename}
    backups.sweep()
    assert sorted(os.listdir(folder(alice))) == [entry.filename, f"{entry.filename}.meta.json"]


@pytest.mark.parametrize("step", ["replace", "unlink", "sync"])
def test_a_deletion_killed_half_way_is_finished_by_the_sweep_or_leaves_the_file(
    alice, monkeypatch, step
):
    class Killed(BaseException):
        pass

    def kill(*args, **kwargs):
        raise Killed

    entry = backups.create(alice)
    with monkeypatch.context() as patched:
        target = {
            "replace": (os, "replace"),
            "unlink": (type(folder(alice)), "unlink"),
            "sync": (files, "sync_folder"),
        }
        patched.setattr(*target[step], kill)
        with pytest.raises(Killed):
            backups.delete(alice, entry.filename)
    backups.sweep()
    left = backups.listing(alice.id)
    assert [item.state for item in left] == (["verified"] if step == "replace" else [])
    assert not [name for name in os.listdir(folder(alice)) if name.startswith(".")]


def test_a_second_backup_at_once_is_refused_and_names_what_runs(alice):
    taken, done = threading.Event(), threading.Event()

    def hold():
        with locks.hold(f"library-{alice.id}"):
            taken.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait(10)
    with pytest.raises(locks.BusyError, match="of your library is running") as busy:
        backups.create(alice)
    done.set()
    thread.join()
    assert busy.value.status == 409
    assert backups.create(alice).state == "verified"


def test_a_deletion_waits_for_the_backup_that_is_just_being_made(alice):
    filename = backups.create(alice).filename
    taken = threading.Event()

    def hold():
        with locks.hold(f"library-{alice.id}"):
            taken.set()
            time.sleep(0.3)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait(10)
    backups.delete(alice, filename)
    thread.join()
    assert backups.listing(alice.id) == []


# What others may leave in the folder.


@pytest.fixture
def in_time():
    """Fails a test that hangs after some seconds."""

    def too_late(*args):
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, too_late)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def leave_pipe(path):
    os.mkfifo(path)


def leave_sparse_file(path):
    with path.open("wb") as file:
        file.truncate(3 * 2**30)


def leave_device(path):
    path.symlink_to("/dev/zero")


def leave_link(path):
    path.symlink_to("/etc/passwd")


def leave_folder(path):
    path.mkdir()


LEFT = [leave_pipe, leave_sparse_file, leave_device, leave_link, leave_folder]


@pytest.mark.parametrize("leave", LEFT, ids=lambda leave: leave.__name__)
def test_a_strange_sidecar_neither_hangs_nor_fails_the_listing_a_backup_or_a_night(
    alice, in_time, leave
):
    entry = backups.create(alice)
    meta = backup_files.sidecar_path(folder(alice) / entry.filename)
    meta.unlink()
    leave(meta)
    leave(folder(alice) / "2026-01-01.json.meta.json")
    listed = {each.filename: each.state for each in backups.listing(alice.id)}
    assert listed[entry.filename] == "unverified"
    assert backups.create(alice).state == "verified"
    assert nightly.run_scheduled(alice.id).state == "verified"
    backups.delete(alice, entry.filename)
    assert not (folder(alice) / entry.filename).exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "leave", [*LEFT, None], ids=lambda leave: leave.__name__ if leave else "file"
)
@pytest.mark.parametrize("prefix", [".publishing-", ".tmp-", ".deleting-"])
def test_strange_leftovers_neither_hang_nor_fail_a_backup_or_the_start(
    alice, in_time, leave, prefix
):
    backups.create(alice)
    holiday = folder(alice) / "holiday.jpg"
    holiday.write_bytes(b"x")
    for name in ("x", "0123456789abcdef", "2026-01-01.json", "holiday.jpg"):
        (leave or (lambda path: path.write_bytes(b"{}")))(folder(alice) / f"{prefix}{name}")
    assert backups.create(alice).state == "verified"
    assert nightly.run_scheduled(alice.id).state == "verified"
    backups.sweep()
    assert holiday.exists()
    assert "verified" in {each.state for each in backups.listing(alice.id)}


def test_a_leftover_that_cannot_be_removed_costs_only_itself(alice, monkeypatch, caplog):
    backups.create(alice)
    stuck, other = (folder(alice) / f".tmp-{digit * 16}" for digit in "01")
    for path in (stuck, other):
        path.write_bytes(b"x")
    unlink = type(stuck).unlink

    def refuse(path, **kwargs):
        if path == stuck:
            raise PermissionError(1, "Operation not permitted")
        unlink(path, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(type(stuck), "unlink", refuse)
        backups.sweep()
    assert (stuck.exists(), other.exists()) == (True, False)
    assert "leftover.not_removed" in caplog.text


@pytest.mark.parametrize("moment", [1e300, -1e300, -1.0])
def test_a_file_whose_sidecar_has_an_impossible_time_is_unverified(alice, moment):
    entry = backups.create(alice)
    meta = backup_files.sidecar_path(folder(alice) / entry.filename)
    known = json.loads(meta.read_bytes())
    meta.write_text(json.dumps({**known, "created_at": moment}))
    assert backups.listing(alice.id)[0].state == "unverified"


def test_a_name_too_long_for_the_disk_is_not_found(alice):
    with pytest.raises(NotFoundError):
        backups.verify(alice, f"2026-03-01T12-00-00-manual-{'9' * 300}.json")


def test_a_deletion_that_was_killed_half_way_is_listed_as_done(alice, monkeypatch):
    """Before any sweep: the file is noted for deletion, and nobody may restore it any more."""

    class Killed(BaseException):
        pass

    def kill(*args, **kwargs):
        raise Killed

    entry = backups.create(alice)
    with monkeypatch.context() as patched:
        patched.setattr(type(folder(alice)), "unlink", kill)
        with pytest.raises(Killed):
            backups.delete(alice, entry.filename)
    assert (folder(alice) / entry.filename).exists()
    assert backups.listing(alice.id) == []
    with pytest.raises(NotFoundError):
        backup_files.read(alice.id, entry.filename)


def test_the_memorys_copy_is_dropped_before_a_backup_is_read_back(alice, monkeypatch):
    calls = []
    advise, read = os.posix_fadvise, files.digest
    monkeypatch.setattr(os, "posix_fadvise", lambda *args: (calls.append(args[3]), advise(*args)))
    monkeypatch.setattr(files, "digest", lambda data: (calls.append("read"), read(data))[1])
    backups.create(alice)
    # The digest of what is to be written, then that of what the disk has.
    assert calls[:3] == ["read", os.POSIX_FADV_DONTNEED, "read"]


def test_the_first_backup_of_an_account_waits_until_the_disk_knows_its_folder(alice, monkeypatch):
    synced, sync = [], files.sync_folder
    monkeypatch.setattr(files, "sync_folder", lambda path: (synced.append(path), sync(path)))
    backups.create(alice)
    assert synced[0] == folder(alice).parent


# A disk that fills up.


@pytest.fixture
def small_disk(app, settings):
    """The backups folder on a file system of 2 MB."""
    target = settings.backups_dir
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(target)], capture_output=True
    )
    if made.returncode:
        pytest.skip("mounting a file system is not allowed here")
    yield target
    subprocess.run(["umount", "-l", str(target)], check=True)


def test_a_disk_that_is_full_refuses_before_it_writes(small_disk, alice):
    good = backups.create(alice)
    (small_disk / "ballast").write_bytes(b"x" * 1_500_000)
    with pytest.raises(NoRoomError, match=r"1\.0 MB needed, 0\.\d MB free") as refused:
        backups.create(alice)
    assert refused.value.status == 507
    assert names(alice) == {good.filename}


@pytest.mark.slow
def test_a_disk_that_fills_up_while_a_backup_is_written_leaves_what_was_there(
    small_disk, alice, monkeypatch
):
    put(alice, many(20_000))
    good = document([film(1)])
    path = folder(alice) / "2026-02-01T00-00-00-manual.json"
    path.parent.mkdir()
    path.write_bytes(as_bytes(good))
    monkeypatch.setattr(files, "require_room", lambda *args: None)
    with pytest.raises(NoRoomError, match="Not enough disk space"):
        backups.create(alice)
    assert os.listdir(folder(alice)) == [path.name]
    assert path.read_bytes() == as_bytes(good)


# Checking old ones again.


def test_a_seventh_of_the_distinct_contents_is_due_each_night_the_longest_unchecked_first(
    alice, frozen_clock
):
    for number in range(8):
        put(alice, many(1, start=number + 1))
        nightly.run_scheduled(alice.id)
        frozen_clock.move(DAY)
    nightly.run_scheduled(alice.id)
    due = recheck.due(alice.id)
    assert [entry.filename for entry in due] == ["2026-03-01.json", "2026-03-02.json"]
    backups.verify(alice, "2026-03-01.json")
    assert [entry.filename for entry in recheck.due(alice.id)] == [
        "2026-03-02.json",
        "2026-03-03.json",
    ]


def test_a_recheck_finds_what_rotted_and_marks_every_link_of_it(alice, frozen_clock):
    put(alice, many(5))
    first = nightly.run_scheduled(alice.id)
    frozen_clock.move(DAY)
    nightly.run_scheduled(alice.id)
    path = folder(alice) / first.filename
    rotten = path.read_bytes().replace(b"tt0000003", b"tt0000009")
    with path.open("r+b") as file:
        file.write(rotten)
    job = models.Job.create(kind="recheck")
    assert len(recheck.run(job)["damaged"]) == 1
    assert [entry.state for entry in backups.listing(alice.id)] == ["damaged", "damaged"]


def write_otherwise(user, filename, **values):
    """As another version of the program would write the same library: intact, and not the same."""
    library = json.loads((folder(user) / filename).read_bytes())
    library["people"][0].pop("emoji")
    write_as(user, filename, library, **values)


def write_as(user, filename, library, **values):
    path = folder(user) / filename
    path.write_bytes(as_bytes(library))
    values |= {"sha256": files.sha256(path), "size_bytes": path.stat().st_size}
    edit_sidecar(user, filename, **values)


@pytest.mark.parametrize("written_as", [FORMAT, 1])
def test_an_intact_file_that_is_exported_otherwise_today_is_still_good(alice, lines, written_as):
    """Its format may have changed though nobody said so. Only this version's is worth a line."""
    entry = backups.create(alice)
    write_otherwise(alice, entry.filename, format=written_as, verified_at=None)
    assert backups.verify(alice, entry.filename).state == "verified"
    told = [line.partition("backup.differs ")[2] for line in lines() if "backup.differs" in line]
    expected = [f"user={alice.id} file={entry.filename} format={FORMAT}"]
    assert told == (expected if written_as == FORMAT else [])


def test_a_backup_of_the_version_before_is_good_as_long_as_all_of_it_comes_back(alice):
    put(alice, hard_document())
    entry = backups.create(alice)
    library = as_before(json.loads((folder(alice) / entry.filename).read_bytes()))
    write_as(alice, entry.filename, library, format=2, verified_at=None)
    assert backups.verify(alice, entry.filename).state == "verified"
    library["movies"][0]["status"] = "seen"
    write_as(alice, entry.filename, library, format=2)
    damaged = backups.verify(alice, entry.filename)
    assert (damaged.state, "1 rows can’t be restored" in damaged.problem) == ("damaged", True)


def test_an_intact_file_that_fails_its_check_is_not_deleted_for_that(
    alice, frozen_clock, monkeypatch
):
    put(alice, many(5))
    first = nightly.run_scheduled(alice.id)
    with monkeypatch.context() as wrong:
        wrong.setattr(verification, "problem_of", lambda *args: "rows can’t be restored")
        assert backups.verify(alice, first.filename).state == "damaged"
    for days in (10, 6):
        frozen_clock.move(days * DAY)
        backups.create(alice)
    assert first.filename in names(alice)
    # Bytes that changed are another matter.
    path = folder(alice) / first.filename
    path.write_bytes(path.read_bytes().replace(b"tt0000003", b"tt0000009"))
    backups.verify(alice, first.filename)
    frozen_clock.move(10)
    backups.create(alice)
    assert first.filename not in names(alice)


def test_an_intact_file_of_this_day_that_fails_its_check_is_set_aside(alice, monkeypatch):
    put(alice, many(5))
    first = nightly.run_scheduled(alice.id)
    with monkeypatch.context() as wrong:
        wrong.setattr(verification, "problem_of", lambda *args: "rows can’t be restored")
        backups.verify(alice, first.filename)
    put(alice, many(1, start=9))
    second = nightly.run_scheduled(alice.id)
    assert (second.filename, second.state) == (first.filename, "verified")
    assert {entry.sha256 for entry in backups.listing(alice.id)} == {first.sha256, second.sha256}


def test_a_new_backup_must_restore_to_the_same_bytes(alice, monkeypatch):
    put(alice, many(5))
    encode, written = portable.encode, []

    def encode_otherwise(document):
        written.append(encode(document))
        return written[-1] + b" " * (len(written) - 1)

    monkeypatch.setattr(portable, "encode", encode_otherwise)
    with pytest.raises(UnavailableError, match="a different library"):
        backups.create(alice)
