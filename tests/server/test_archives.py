"""Archives of the whole server: made, listed, tested, pinned, deleted, and what is left of them."""

import json
import os
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from mm import clock, config, described_files, disk, files, locks, tasks
from mm.clock import DAY, HOUR
from mm.errors import (
    ConflictError,
    InvalidError,
    NoRoomError,
    NotFoundError,
    TooManyRequestsError,
    UnavailableError,
)
from mm.models import Job
from mm.schemas import ArchiveContents, ArchiveEntry, ArchiveSchedule
from mm.services import health, jobs, problems, settings
from mm.services.enrichment import runner as enrichment_runner
from mm.services.server import archive_files, archive_lock, archive_retention, archives, databases
from tests.support.libraries import many, put

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def folder(database):
    folder = config.current.archives_dir
    files.make_folder(folder)
    return folder


def path_of(entry):
    return archive_files.folder() / entry.filename


def change(entry, **values):
    sidecar = archive_files.read_sidecar(path_of(entry))
    for name, value in values.items():
        setattr(sidecar, name, value)
    archive_files.write_sidecar(path_of(entry), sidecar)


def names():
    return [entry.filename for entry in archives.listing()]


def flip_a_byte(path, at=-200):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


# Names.


@pytest.mark.parametrize(
    "name",
    [
        "moviemanager-backup-2026-03-01-12-00-00.zip",
        "moviemanager-backup-2026-03-01-12-00-00-2.zip",
        "moviemanager-backup-2024-02-29-23-59-59-999.zip",
    ],
)
def test_these_are_names_of_archives(name):
    timestamp = archive_files.timestamp_of(name)
    assert archive_files.filename_of(timestamp) == name


@pytest.mark.parametrize(
    "name",
    [
        "moviemanager-backup-2026-03-01-12-00-00-1.zip",
        "moviemanager-backup-2026-03-01-12-00-00-02.zip",
        "moviemanager-backup-2026-02-30-12-00-00.zip",
        "moviemanager-backup-2026-03-01-24-00-00.zip",
        "moviemanager-backup-0000-01-01-00-00-00.zip",
        "moviemanager-backup-2026-03-01-12-00-00.zip\n",
        "moviemanager-backup-2026-03-01-12-00-00.ZIP",
        "moviemanager-backup-٢٠٢٦-03-01-12-00-00.zip",
        "moviemanager-backup-../../mm-03-01-12-00-00.zip",
        "moviemanager-backup-.zip",
        ".zip",
        "",
        "2026-03-01-12-00-00",
    ],
)
def test_these_are_none(name):
    assert archive_files.timestamp_of(name) is None


def test_the_second_archive_of_a_second_gets_a_two_and_the_name_is_in_utc(frozen_clock):
    assert archives.create(kind="scheduled").timestamp == "2026-03-01-12-00-00"
    assert archives.create(kind="scheduled").timestamp == "2026-03-01-12-00-00-2"
    assert archives.create(kind="scheduled").timestamp == "2026-03-01-12-00-00-3"
    with zipfile.ZipFile(path_of(archives.listing()[0])) as archive:
        metadata = json.loads(archive.read("metadata.json"))
    assert metadata["timestamp"] == archives.listing()[0].timestamp


@pytest.mark.parametrize("timestamp", ["../../mm", "2026-03-01-12-00-00/../x", "", "x" * 300])
def test_what_is_no_timestamp_can_neither_be_read_nor_deleted(folder, timestamp):
    for act in (archive_files.path_of, archives.delete, archives.verify, archives.request_check):
        with pytest.raises(NotFoundError, match="Archive not found"):
            act(timestamp)


def test_a_link_and_a_folder_with_the_name_of_an_archive_are_foreign_and_left_alone(folder):
    target = config.current.data_dir / "mm.db"
    (folder / "moviemanager-backup-2026-03-01-12-00-00.zip").symlink_to(target)
    (folder / "moviemanager-backup-2026-03-01-12-00-01.zip").mkdir()
    (folder / "notes.txt").write_text("mine")
    assert [(entry.state, entry.timestamp) for entry in archives.listing()] == [("foreign", "")] * 3
    for timestamp in ("2026-03-01-12-00-00", "2026-03-01-12-00-01"):
        with pytest.raises(NotFoundError):
            archives.delete(timestamp)
    archives.sweep()
    assert len(list(folder.iterdir())) == 3
    assert target.exists()


# Making.


def test_an_archive_holds_what_was_chosen_and_is_verified_and_only_its_owner_may_read_it(alice):
    put(alice, many(5))
    entry = archives.create()
    assert (entry.kind, entry.state, entry.expires_at) == ("manual", "verified", None)
    assert (entry.contents.users, entry.contents.movies) == (1, 5)
    assert entry.contents.has_database
    assert entry.contents.settings_count > 0
    assert entry.contents.posters_count == 0
    assert path_of(entry).stat().st_mode & 0o777 == 0o600
    assert described_files.sidecar_path(path_of(entry)).stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(path_of(entry)) as archive:
        assert archive.namelist() == ["metadata.json", "database.db", "settings.json"]
    assert list(config.current.tmp_dir.iterdir()) == []
    assert files.sha256(path_of(entry)) == entry.sha256


def test_posters_are_in_it_when_they_were_asked_for():
    poster = config.current.posters_dir / "w342" / "a.jpg"
    poster.parent.mkdir()
    poster.write_bytes(b"\xff\xd8\xffpicture")
    assert archives.room().posters == len(b"\xff\xd8\xffpicture")
    contents = archives.create(posters=True, database=False).contents
    assert (contents.has_database, contents.posters_count) == (False, 1)


def test_an_archive_of_nothing_is_refused():
    with pytest.raises(InvalidError, match="Choose what the archive"):
        archives.create(database=False, posters=False, settings=False)
    with pytest.raises(InvalidError, match="Choose what the archive"):
        archives.request(database=False, posters=False, settings=False)


def test_six_archives_an_hour_may_be_made_by_hand_and_the_schedule_is_not_counted(frozen_clock):
    archives.create(kind="scheduled")
    for _ in range(6):
        archives.create(database=False)
        frozen_clock.move(1)
    for make in (archives.create, archives.request):
        with pytest.raises(TooManyRequestsError, match="6 archives were made") as refused:
            make()
        assert 0 < refused.value.retry_after <= HOUR
    archives.create(kind="scheduled")
    archives.create(kind="before-restore")
    frozen_clock.move(HOUR)
    archives.create()


def test_without_room_nothing_is_begun_and_it_is_said_in_megabytes(monkeypatch):
    monkeypatch.setattr(disk, "free_bytes", lambda folder: 1_100_000)
    words = r"^Not enough disk space: [\d.]+ MB needed, 1.1 MB free\.$"
    for make in (archives.create, archives.request):
        with pytest.raises(NoRoomError, match=words):
            make()
    assert archives.room().free == 1_100_000
    assert archives.listing() == []
    assert Job.select().count() == 0


def test_the_room_it_needs_is_that_of_a_copy_and_a_file_in_which_nothing_got_smaller(alice):
    put(alice, many(300))
    live = databases.live_path()
    size = live.stat().st_size + live.with_name("mm.db-wal").stat().st_size
    assert archives.room().needed == 2 * size


def test_while_others_work_with_the_archives_it_says_so_after_a_while(monkeypatch):
    entry = archives.create()
    monkeypatch.setattr(archive_lock, "WAITS_SHORTLY_SECONDS", 0.1)
    with locks.hold("server"):
        with (
            pytest.raises(UnavailableError, match=r"^Cannot backup while database is in use$"),
            archives.holding(seconds=0.2),
        ):
            pass
        with pytest.raises(ConflictError, match="is running"):
            archives.delete(entry.timestamp)
        with pytest.raises(ConflictError, match="is running"):
            archives.pin(entry.timestamp, True)
        # Nothing is lost by a look meanwhile.
        archives.sweep()
    assert len(names()) == 1


def test_a_damaged_database_is_not_kept_as_a_good_archive(monkeypatch):
    monkeypatch.setattr(databases, "fault_of", lambda path: "row 5 missing from index")
    with pytest.raises(InvalidError, match="row 5 missing"):
        archives.create()
    assert list(config.current.archives_dir.iterdir()) == []
    assert list(config.current.tmp_dir.iterdir()) == []


def test_an_archive_is_named_in_the_log_with_its_size_and_time(lines):
    entry = archives.create()
    [line] = [line for line in lines() if "archive.made" in line]
    assert f"file={entry.filename} bytes={entry.size_bytes} seconds=" in line


# On another disk.


@pytest.fixture
def elsewhere(database):
    """MM_BACKUP_DIR on another file system than the data."""
    device = config.current.data_dir.stat().st_dev
    folders = (Path(folder) for folder in ("/dev/shm", "/var/tmp"))
    found = [each for each in folders if each.is_dir() and each.stat().st_dev != device]
    if not found:
        pytest.skip("there is no other file system here")
    with tempfile.TemporaryDirectory(dir=found[0]) as folder:
        config.use(replace(config.current, backup_dir=Path(folder)))
        yield Path(folder)


def test_archives_lie_on_another_disk_where_that_was_set(elsewhere, alice):
    entry = archives.create()
    assert path_of(entry).parent == elsewhere / "server"
    assert archives.verify(entry.timestamp).state == "verified"
    assert not (config.current.data_dir / "backups" / "server").exists()
    archives.delete(entry.timestamp)
    assert list((elsewhere / "server").iterdir()) == []


def test_the_room_of_both_disks_counts(elsewhere, monkeypatch, alice):
    live = databases.live_path()
    size = live.stat().st_size + live.with_name("mm.db-wal").stat().st_size
    free = {elsewhere / "server": 10**9, config.current.tmp_dir: 10**8}
    monkeypatch.setattr(disk, "free_bytes", free.__getitem__)
    assert (archives.room().needed, archives.room().free) == (size, 10**8)
    free[elsewhere / "server"] = 10**5
    assert archives.room().free == 10**5
    with pytest.raises(NoRoomError, match=r"0\.1 MB free"):
        archives.create()


# Testing again.


def test_a_flipped_byte_makes_it_damaged_and_health_names_it_and_it_is_not_deleted_at_once():
    entry = archives.create()
    flip_a_byte(path_of(entry))
    assert archives.listing()[0].state == "verified"
    found = archives.verify(entry.timestamp)
    assert (found.state, found.rotten, found.verified_at) == ("damaged", True, None)
    assert "sha256 differs" in found.problem
    assert "1 archive of the server is damaged." in health.check()["problems"]
    with pytest.raises(InvalidError, match="is damaged"):
        archives.pin(entry.timestamp, True)
    archives.prune_held()
    assert names() == [entry.filename]


def test_a_truncated_or_longer_one_is_damaged_without_a_test():
    for change_file, words in (
        (lambda path: os.truncate(path, 1000), "incomplete"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "was changed"),
        (lambda path: path.unlink(), "the file is gone"),
    ):
        entry = archives.create(kind="scheduled")
        change_file(path_of(entry))
        [found] = [each for each in archives.listing() if each.timestamp == entry.timestamp]
        assert found.state == "damaged"
        assert words in found.problem
        archives.delete(entry.timestamp)
    assert names() == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"\xff\xfe",
        b'{"kind": "manual"',
        b"[" * 100_000,
        b" " * (2**20 + 1),
    ],
)
def test_a_sidecar_that_cannot_be_read_leaves_an_archive_that_a_test_describes_anew(content):
    entry = archives.create()
    described_files.sidecar_path(path_of(entry)).write_bytes(content)
    [listed] = archives.listing()
    assert (listed.state, listed.kind, listed.kept_because) == (
        "unverified",
        None,
        "Kept: not recognised",
    )
    found = archives.verify(entry.timestamp)
    assert (found.state, found.kind, found.contents) == ("verified", "uploaded", entry.contents)


def test_a_sidecar_with_impossible_times_or_that_is_a_pipe_or_a_link_is_none():
    entry = archives.create()
    meta = described_files.sidecar_path(path_of(entry))
    good = json.loads(meta.read_bytes())
    meta.write_text(json.dumps({**good, "expires_at": 1e300}))
    assert archives.listing()[0].state == "unverified"
    meta.unlink()
    os.mkfifo(meta)
    assert {each.state for each in archives.listing()} == {"unverified", "foreign"}
    meta.unlink()
    meta.symlink_to("/dev/zero")
    assert {each.state for each in archives.listing()} == {"unverified", "foreign"}


def test_a_file_that_is_no_archive_is_refused_by_its_test_and_stays(folder):
    path = folder / "moviemanager-backup-2026-03-01-12-00-00.zip"
    path.write_bytes(b"not a ZIP")
    with pytest.raises(InvalidError, match=r"^Backup file is corrupted: "):
        archives.verify("2026-03-01-12-00-00")
    assert path.exists()


def test_each_night_the_archive_that_was_not_tested_for_longest_is_tested():
    entries = [archives.create(kind="scheduled") for _ in range(3)]
    for age, entry in zip((5, 9, 7), entries, strict=True):
        change(entry, verified_at=clock.now() - age * DAY)
    job = jobs.create("archives")
    tested = [archives.run_nightly(job)["timestamp"] for _ in range(3)]
    assert tested == [entries[index].timestamp for index in (1, 2, 0)]
    flip_a_byte(path_of(entries[1]))
    assert archives.run_nightly(job)["state"] == "damaged"
    # It is known now, and the others have their turn.
    assert archives.run_nightly(job)["timestamp"] == entries[2].timestamp


# What goes, and what stays.


def test_an_archive_to_be_downloaded_goes_an_hour_after_it_was_ready(frozen_clock):
    entry = archives.create(keep=False)
    stays = archives.create(keep=True)
    assert entry.expires_at == frozen_clock.moment + HOUR
    frozen_clock.move(HOUR - 1)
    archives.sweep()
    assert len(names()) == 2
    with path_of(entry).open("rb") as downloaded:
        frozen_clock.move(1)
        archives.sweep()
        assert names() == [stays.filename]
        # Whoever downloads it just now gets all of it.
        assert len(downloaded.read()) == entry.size_bytes


def test_pinning_keeps_what_was_to_go_and_the_pin_is_taken_off_again(frozen_clock):
    entry = archives.create(keep=False)
    assert archives.pin(entry.timestamp, True).kept_because == "Pinned: kept until you unpin it"
    frozen_clock.move(2 * HOUR)
    archives.sweep()
    assert archives.pin(entry.timestamp, False).kept_because == "Kept until you delete it"


def test_the_newest_scheduled_ones_stay_and_the_older_ones_go(frozen_clock):
    settings.put_archives(ArchiveSchedule(keep_last=2))
    made = []
    for _ in range(4):
        made.append(archives.create(kind="scheduled"))
        frozen_clock.move(DAY)
    assert names() == [made[3].filename, made[2].filename]
    assert archives.listing()[0].kept_because == "Kept: one of the 2 newest scheduled"
    settings.put_archives(ArchiveSchedule(keep_last=0))
    archives.create(kind="scheduled")
    assert len(names()) == 3


def make_entry(kind="scheduled", age=0.0, state="verified", **more):
    moment = 1772366400.0 - age * DAY
    values = {"rotten": state == "damaged", "sha256": "0" * 64, **more}
    return ArchiveEntry(f"{age}", f"{kind}-{age}-{state}", kind, moment, 10, state, **values)


def kept(*entries, keep_last=2):
    decisions = archive_retention.choose(entries, keep_last, 1772366400.0)
    assert [decision.filename for decision in decisions] == [each.filename for each in entries]
    return [decision.keep for decision in decisions]


def test_only_verified_newer_ones_let_a_scheduled_one_go():
    old = make_entry(age=9)
    assert kept(make_entry(age=1), make_entry(age=2), old) == [True, True, False]
    assert kept(make_entry(age=1), make_entry(age=2, state="damaged"), old) == [True] * 3
    assert kept(make_entry(age=1), make_entry(age=2, state="unverified"), old) == [True] * 3
    assert kept(make_entry(age=1), make_entry("manual", age=2), old) == [True] * 3
    assert kept(make_entry(age=1), make_entry(age=2, pinned=True), old) == [True] * 3
    # Of a clock that was ahead.
    assert kept(make_entry(age=1), make_entry(age=-2), old) == [True] * 3


def test_those_of_an_emptied_database_do_not_push_out_the_ones_before():
    def holding(age, users, movies):
        return make_entry(age=age, contents=ArchiveContents(True, users, movies, 0, 0, 0, 0, False))

    def kept_before(*newer):
        before = [holding(age, 3, 900) for age in (12, 11, 10)]
        return kept(*before, *newer)[:3]

    assert kept_before(holding(2, 3, 900), holding(1, 3, 900)) == [False] * 3
    assert kept_before(*(holding(age, 0, 0) for age in range(9))) == [False, True, True]
    assert kept_before(*(holding(age, 1, 900) for age in range(9))) == [False, True, True]
    assert kept_before(*(holding(age, 3, 449) for age in range(9))) == [False, True, True]
    assert kept_before(holding(9, 3, 900), *(holding(age, 3, 449) for age in range(9))) == [
        False,
        False,
        True,
    ]
    assert kept_before(*(holding(age, 2, 450) for age in range(9))) == [False] * 3


def test_archives_by_hand_stay_however_old_or_damaged_they_are():
    for kind in ("manual", "uploaded"):
        old = make_entry(kind, age=5000)
        assert kept(old, make_entry(kind, age=1)) == [True, True]
        assert kept(make_entry(kind, age=90, state="damaged"), make_entry(age=1)) == [True, True]


def test_the_newest_archive_from_before_a_restore_always_stays():
    entries = [make_entry("before-restore", age) for age in (40, 8, 6)]
    assert kept(*entries) == [False, False, True]
    assert kept(*entries[:2]) == [False, True]
    assert kept(make_entry("before-restore", 6), make_entry("before-restore", 1)) == [True, True]


def test_a_damaged_one_goes_after_two_weeks_but_only_when_there_is_a_good_newer_one():
    damaged = make_entry(age=15, state="damaged")
    assert kept(damaged, make_entry("manual", age=1)) == [False, True]
    assert kept(damaged, make_entry("manual", age=16)) == [True, True]
    assert kept(make_entry(age=13, state="damaged"), make_entry(age=1)) == [True, True]
    # It cannot be restored by this version of the program, and its bytes are as they were written.
    newer_version = make_entry(age=15, state="damaged", rotten=False)
    assert kept(newer_version, make_entry("manual", age=1)) == [True, True]


def test_what_nobody_knows_stays():
    for entry in (
        make_entry(age=100, pinned=True),
        make_entry(age=-3),
        make_entry(None, age=100, sha256=None, state="unverified"),
        make_entry(None, age=100, sha256=None, state="foreign"),
    ):
        assert kept(entry, make_entry(age=1), make_entry(age=2))[0]


def test_one_that_cannot_be_deleted_does_not_stop_the_others(frozen_clock, monkeypatch, lines):
    settings.put_archives(ArchiveSchedule(keep_last=0))
    made = []
    for _ in range(4):
        made.append(archives.create(kind="scheduled"))
        frozen_clock.move(1)
    real = archive_files.delete

    def stubborn(path):
        if path.name == made[0].filename:
            raise PermissionError(13, "Permission denied")
        real(path)

    monkeypatch.setattr(archive_files, "delete", stubborn)
    settings.put_archives(ArchiveSchedule(keep_last=1))
    archives.prune_held()
    assert names() == [made[3].filename, made[0].filename]
    assert any("archive.not_pruned" in line for line in lines())


# What killed processes leave.


def test_leftovers_of_killed_processes_go_and_what_was_published_is_completed(folder):
    entry = archives.create()
    meta = described_files.sidecar_path(path_of(entry))
    meta.rename(folder / (described_files.PUBLISHING + entry.filename))
    (folder / f"{files.DRAFT}{'0' * 16}").write_bytes(b"half")
    (folder / ".tmp-mine").write_bytes(b"of somebody else")
    gone = archives.create(database=False)
    os.replace(
        described_files.sidecar_path(path_of(gone)), described_files.deletion_marker(path_of(gone))
    )
    assert gone.filename not in names()
    work = config.current.tmp_dir / "archive-0123456789abcdef"
    work.mkdir()
    (work / "database.db").write_bytes(b"x")
    archives.sweep()
    assert [each.state for each in archives.listing()] == ["verified"]
    left = {path.name for path in folder.iterdir()}
    assert left == {entry.filename, f"{entry.filename}.meta.json", ".tmp-mine"}
    assert list(config.current.tmp_dir.iterdir()) == []


# Jobs.


def run(job):
    """As the worker does; the row afterwards."""
    tasks.run_job.call_local(job.id, job.kind)
    return Job.get_by_id(job.id)


def test_a_job_makes_the_archive_that_it_promised_and_says_how_far_it_is(alice):
    put(alice, many(3))
    asked = archives.request(keep=False)
    with pytest.raises(ConflictError, match=r"^An archive of the server is waiting for its turn"):
        archives.request()
    job = run(asked)
    assert (job.state, job.result) == ("done", {"timestamp": asked.params["timestamp"]})
    [entry] = archives.listing()
    assert entry.timestamp == job.result["timestamp"]
    assert entry.expires_at is not None
    checked = run(archives.request_check(entry.timestamp))
    assert checked.result == {"timestamp": entry.timestamp, "state": "verified", "problem": None}


def test_a_job_repeated_after_its_process_was_killed_does_not_make_a_second_one():
    job = archives.request()
    made = archives.run(job)
    # Killed before it could say so.
    Job.update(state="queued", starts=1).where(Job.id == job.id).execute()
    assert run(job).result == made
    assert len(names()) == 1


def test_two_jobs_of_the_same_second_have_two_names(frozen_clock):
    first = archives.new_job(archives.params("scheduled"))
    second = archives.new_job(archives.params("manual"))
    assert first.params["timestamp"] != second.params["timestamp"]
    assert {run(job).result["timestamp"] for job in (first, second)} == {
        first.params["timestamp"],
        second.params["timestamp"],
    }


def test_a_job_waits_while_somebody_works_with_the_archives():
    job = archives.request()
    with locks.hold("server"):
        assert run(job).state == "queued"
    Job.update(tried_at=None).execute()
    assert run(job).state == "done"


def test_the_failure_of_an_archive_is_told_on_its_job_and_leaves_nothing(monkeypatch):
    job = archives.request()
    monkeypatch.setattr(databases, "fault_of", lambda path: "page 3 is never used")
    job = run(job)
    assert (job.state, "page 3 is never used" in job.message) == ("failed", True)
    assert problems.texts() == []
    assert names() == []


def test_a_worker_that_is_asked_to_stop_takes_back_the_archive_and_makes_it_later(monkeypatch):
    job = archives.request()
    monkeypatch.setattr(enrichment_runner.stopping, "is_set", lambda: True)
    assert run(job).state == "queued"
    assert names() == []
    assert list(config.current.tmp_dir.iterdir()) == []
    monkeypatch.undo()
    assert run(job).state == "done"
