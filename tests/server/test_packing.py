"""An archive is a plain ZIP that describes itself, and what is in it comes out again."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import zipfile
from contextlib import closing
from dataclasses import replace

import msgspec
import pytest

import mm
from mm import config, disk, files, schema
from mm.database import db
from mm.errors import InvalidError, NoRoomError, TooLargeError
from mm.schemas import Metadata, SettingsFile
from mm.services.server import databases
from mm.services.server.archive_format import packing, unpacking
from tests.server import archives
from tests.support import older

pytestmark = [pytest.mark.sqlite, pytest.mark.usefixtures("scratch_is_empty")]
OLDER = "Backup from older version, may have issues"
# An archive of a large database and its check, in a process of their own; prints the peak of its
# memory, in MB, less what it had before.
MEMORY = """
import resource, sys
from pathlib import Path
from mm import config
from mm.database import connect
from mm.services.server.archive_format import packing, unpacking

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

connect(config.use(config.from_environ()).database)
before = peak()
target = Path(sys.argv[1])
packing.make(target, database=True, posters=True, settings=None, timestamp="x", created_at=1.7e9)
unpacking.check(target)
print(peak() - before)
"""


def tables_of(path):
    return older.tables(path)


def test_an_archive_is_a_zip_that_any_program_opens_with_its_description_first(archive):
    with zipfile.ZipFile(archive) as file:
        assert file.testzip() is None
        names = ["metadata.json", "database.db", "settings.json", "posters/w342/one.jpg"]
        assert file.namelist() == names
    if shutil.which("unzip"):
        subprocess.run(["unzip", "-qq", "-t", archive], check=True)
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600


def test_the_answer_is_the_description_in_it_and_the_digest_and_size_of_the_file(server, tmp_path):
    target = tmp_path / "archive.zip"
    metadata, sha256, size = archives.make(target)
    assert (sha256, size) == (files.sha256(target), target.stat().st_size)
    members = archives.members_of(target)
    assert msgspec.json.decode(members["metadata.json"], type=Metadata) == metadata
    described = archives.described_by(members)
    assert described == msgspec.to_builtins(metadata)
    assert metadata.timestamp == "2026-03-01-12-00-00"
    assert (metadata.app_version, metadata.schema) == (mm.__version__, schema.names()[-1])
    assert (metadata.rows["user"], metadata.rows["title"], metadata.rows["movie"]) == (2, 50, 0)
    assert (metadata.posters_count, metadata.settings_count) == (1, 1)


def test_all_that_was_packed_comes_out(server, archive, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    checked = unpacking.unpack(archive, folder)
    assert (checked.warnings, checked.migrations) == ([], [])
    assert tables_of(folder / "database.db") == tables_of(server.data_dir / "mm.db")
    assert (folder / "posters" / "w342" / "one.jpg").read_bytes() == archives.JPEG
    settings = msgspec.json.decode((folder / "settings.json").read_bytes(), type=SettingsFile)
    assert settings == archives.SETTINGS
    assert unpacking.check(archive) == checked


@pytest.mark.parametrize("part", ["database", "posters", "settings"])
def test_only_the_chosen_parts_are_unpacked(archive, tmp_path, part):
    folder = tmp_path / "out"
    folder.mkdir()
    chosen = dict.fromkeys(("database", "posters", "settings"), False) | {part: True}
    unpacking.unpack(archive, folder, **chosen)
    names = {"database": "database.db", "posters": "posters", "settings": "settings.json"}
    assert [path.name for path in folder.iterdir()] == [names[part]]


@pytest.mark.parametrize("part", ["database", "posters", "settings"])
def test_a_part_that_was_left_out_is_no_error(server, tmp_path, part):
    target = tmp_path / "archive.zip"
    left_out = {"database": False, "posters": False, "settings": None}
    metadata, _, _ = archives.make(target, **{part: left_out[part]})
    assert unpacking.check(target).metadata == metadata
    assert unpacking.metadata_of(target) == metadata


def test_an_archive_of_nothing_but_settings_is_read(server, tmp_path):
    target = tmp_path / "archive.zip"
    archives.make(target, database=False, posters=False)
    assert list(archives.members_of(target)) == ["metadata.json", "settings.json"]
    unpacking.check(target)


def test_rows_written_while_it_is_made_are_all_in_it_or_not_at_all(server, tmp_path):
    done = threading.Event()

    def write():
        with closing(sqlite3.connect(server.data_dir / "mm.db", timeout=10)) as database:
            number = 0
            while not done.is_set():
                number += 1
                for key in ("a", "b"):
                    database.execute("REPLACE INTO setting VALUES (?, ?)", (key, number))
                database.commit()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            target = tmp_path / f"{number}.zip"
            archives.make(target, posters=False)
            folder = tmp_path / str(number)
            folder.mkdir()
            unpacking.unpack(target, folder)
            settings = dict(tables_of(folder / "database.db")["setting"][1])
            assert settings.get("a") == settings.get("b")
    finally:
        done.set()
        writer.join()


# Posters.


def test_only_pictures_that_can_be_restored_are_packed(server, tmp_path, caplog):
    posters = server.posters_dir
    (posters / "w342" / ".tmp-0123456789abcdef").write_bytes(b"a draft")
    (posters / "w342" / "link.jpg").symlink_to(posters / "w342" / "one.jpg")
    (posters / "linked").symlink_to(posters / "w342")
    archives.add_poster("w342/a\\b.jpg")
    archives.add_poster("w342/ONE.jpg")
    archives.add_poster("w500/é.png", b"")
    (posters / "w342" / os.fsdecode(b"\xff.jpg")).write_bytes(b"x")
    os.mkfifo(posters / "w342" / "pipe.jpg")
    target = tmp_path / "archive.zip"
    metadata, _, _ = archives.make(target, database=False)
    # Of two that differ only in case, one.
    names = {"posters/w342/ONE.jpg", "posters/w500/é.png"}
    assert {name for name in metadata.members if name.startswith("posters/")} == names
    assert caplog.text.count("archive.poster_left_out") == 3
    unpacking.check(target)


def test_a_poster_that_cannot_be_read_costs_that_poster(server, tmp_path, monkeypatch, caplog):
    archives.add_poster("w342/two.jpg")
    describe = packing._describe

    def fail(name, path, meter):
        if name.endswith("one.jpg"):
            raise OSError(5, "Input/output error")
        return describe(name, path, meter)

    monkeypatch.setattr(packing, "_describe", fail)
    metadata, _, _ = archives.make(tmp_path / "archive.zip")
    assert "posters/w342/one.jpg" not in metadata.members
    assert "posters/w342/two.jpg" in metadata.members
    assert "archive.poster_left_out" in caplog.text


def test_where_links_fail_posters_are_copied(server, tmp_path, monkeypatch):
    def fail(*_args, **_more):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", fail)
    target = tmp_path / "archive.zip"
    archives.make(target)
    assert archives.members_of(target)["posters/w342/one.jpg"] == archives.JPEG


def test_a_poster_deleted_or_fetched_again_meanwhile_is_packed_as_it_was(
    server, tmp_path, monkeypatch
):
    pack = packing.pack
    path = server.posters_dir / "w342" / "one.jpg"

    def change_and_pack(*args):
        draft = path.with_name("draft")
        draft.write_bytes(b"another")
        os.replace(draft, path)
        return pack(*args)

    monkeypatch.setattr(packing, "pack", change_and_pack)
    target = tmp_path / "archive.zip"
    archives.make(target)
    assert archives.members_of(target)["posters/w342/one.jpg"] == archives.JPEG


def test_a_server_without_a_posters_folder_is_packed(server, tmp_path):
    shutil.rmtree(server.posters_dir)
    assert archives.make(tmp_path / "archive.zip")[0].posters_count == 0


# What goes wrong while it is made leaves nothing.


def test_a_damaged_database_is_said_and_nothing_is_left(server, tmp_path):
    db.close()
    path = server.data_dir / "mm.db"
    data = bytearray(path.read_bytes())
    data[8192:] = b"\xaa" * (len(data) - 8192)
    path.write_bytes(data)
    with pytest.raises(InvalidError, match=r"^The database is damaged: "):
        archives.make(tmp_path / "archive.zip")
    assert not (tmp_path / "archive.zip").exists()


def test_a_fault_that_the_checks_find_while_it_is_packed_is_said(server, tmp_path, monkeypatch):
    monkeypatch.setattr(databases, "fault_of", lambda _path: "row 1 missing from index i")
    with pytest.raises(InvalidError, match="row 1 missing from index i"):
        archives.make(tmp_path / "archive.zip")
    assert not (tmp_path / "archive.zip").exists()


def test_what_the_disk_changed_after_the_writing_is_found(server, tmp_path, monkeypatch):
    pack = packing.pack

    def pack_and_damage(*args):
        result = pack(*args)
        target = tmp_path / "archive.zip"
        data = bytearray(target.read_bytes())
        data[data.index(archives.JPEG) + 1000] ^= 1
        target.write_bytes(data)
        return result

    monkeypatch.setattr(packing, "pack", pack_and_damage)
    with pytest.raises(InvalidError, match=r"^Backup file is corrupted: "):
        archives.make(tmp_path / "archive.zip")
    assert not (tmp_path / "archive.zip").exists()


def test_without_room_nothing_is_begun(server, tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "free_bytes", lambda _folder: 1000)
    with pytest.raises(NoRoomError, match=r"^Not enough disk space: .* needed, 0.0 MB free"):
        archives.make(tmp_path / "archive.zip")
    assert not (tmp_path / "archive.zip").exists()


@pytest.mark.parametrize("last", ["Copying the database", "Reading", "Packing", "Reading back"])
def test_a_job_that_is_stopped_meanwhile_leaves_nothing(server, tmp_path, monkeypatch, last):
    monkeypatch.setattr("mm.services.server.archive_format.pipeline.REPORT_SECONDS", 0)

    def stop(_done, _total, message):
        if message == last:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        archives.make(tmp_path / "archive.zip", progress=stop)
    assert not (tmp_path / "archive.zip").exists()


def test_progress_is_told_by_the_caller_of_it(server, tmp_path, monkeypatch):
    """A connection of the database belongs to one thread."""
    monkeypatch.setattr("mm.services.server.archive_format.pipeline.REPORT_SECONDS", 0)
    steps = []
    archives.make(
        tmp_path / "archive.zip",
        progress=lambda *step: steps.append((threading.current_thread(), *step)),
    )
    assert {step[0] for step in steps} == {threading.current_thread()}
    messages = list(dict.fromkeys(step[3] for step in steps))
    assert messages == ["Copying the database", "Reading", "Packing", "Reading back"]
    assert [step[1] for step in steps] == sorted(step[1] for step in steps)
    assert steps[-1][1] == steps[-1][2]


def test_what_could_not_be_restored_is_not_made(server, tmp_path):
    config.use(replace(server, archive_max="0 MB"))
    with pytest.raises(TooLargeError, match=r"MM_ARCHIVE_MAX permits 0.0 MB"):
        archives.make(tmp_path / "archive.zip")


def test_a_file_that_is_there_already_stays(server, archive):
    data = archive.read_bytes()
    with pytest.raises(FileExistsError):
        archives.make(archive)
    assert archive.read_bytes() == data


def test_a_database_without_tables_or_without_a_file_is_said(server, tmp_path):
    db.close()
    path = server.data_dir / "mm.db"
    for leftover in server.data_dir.glob("mm.db*"):
        leftover.unlink()
    with pytest.raises(InvalidError, match="is not there"):
        archives.make(tmp_path / "archive.zip")
    sqlite3.connect(path).close()
    path.touch()
    with pytest.raises(InvalidError, match="it has no tables of Movie Manager"):
        archives.make(tmp_path / "archive.zip")


@pytest.mark.parametrize("moment", [0.0, -5.0, 1e11])
def test_a_clock_that_is_wrong_keeps_nobody_from_an_archive(server, tmp_path, moment):
    target = tmp_path / "archive.zip"
    packing.make(
        target, database=True, posters=False, settings=None, timestamp="x", created_at=moment
    )
    assert unpacking.check(target).metadata.created_at == moment


# Sizes.


def test_an_archive_with_the_64_bit_extension_is_a_zip_too(server, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "SMALL_BYTES", 0)
    target = tmp_path / "archive.zip"
    archives.make(target)
    assert zipfile.ZipFile(target).testzip() is None
    if shutil.which("unzip"):
        subprocess.run(["unzip", "-qq", "-t", target], check=True)
    unpacking.check(target)


@pytest.mark.slow
def test_memory_stays_flat(server, tmp_path):
    """100 MB of a database that packs badly, and a poster of 50 MB."""
    with closing(sqlite3.connect(server.data_dir / "mm.db")) as database:
        database.execute("PRAGMA foreign_keys = 0")
        for number in range(100):
            row = (f"tt9{number:06d}", os.urandom(10**6).hex()[: 10**6])
            database.execute("INSERT INTO title_json (imdb_id, version) VALUES (?, ?)", row)
            database.execute(
                'INSERT INTO title (imdb_id, genres, directors, "cast", search_text, tmdb_state, '
                "tmdb_attempts, omdb_state, omdb_attempts) "
                "VALUES (?, '[]', '[]', '[]', '', 'stub', 0, 'stub', 0)",
                row[:1],
            )
        database.commit()
    archives.add_poster("w780/large.jpg", os.urandom(50 * 10**6))
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, tmp_path / "archive.zip"],
        cwd=config.ROOT,
        env={"MM_DATA_DIR": str(server.data_dir), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 60


# Of older versions.


@pytest.mark.parametrize("version", older.VERSIONS)
def test_an_older_database_is_brought_to_the_current_schema(archive, tmp_path, version):
    members = archives.members_of(archive)
    path = older.database_of(version)
    members["database.db"] = path.read_bytes()
    applied = databases.migrations_of(path)
    rows = databases.rows_of(path)
    archives.write(archive, members, {"schema": applied[-1], "rows": rows, "app_version": version})
    checked = unpacking.check(archive)
    assert checked.warnings == [OLDER]
    assert applied + checked.migrations == schema.names()
    folder = tmp_path / "out"
    folder.mkdir()
    assert unpacking.unpack(archive, folder) == checked
    assert databases.migrations_of(folder / "database.db") == schema.names()
    assert databases.fault_of(folder / "database.db") is None
    assert tables_of(folder / "database.db")["watch"][1] != []


def test_another_version_with_the_same_schema_is_read_without_a_word(archive):
    archives.write(archive, archives.members_of(archive), {"app_version": "0.9.9"})
    assert unpacking.check(archive).warnings == []
