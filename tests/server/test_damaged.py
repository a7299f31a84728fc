"""A restore on a server whose database is damaged or missing, or whose disk fills up."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from mm import config, disk, maintenance
from mm.database import connect, db
from mm.errors import ConflictError, NoRoomError
from mm.models import Movie
from mm.services.server import archive_files, archives, live_database, restore
from mm.services.server.archive_format import packing
from tests.support.archived import poster_files, put_poster, rows
from tests.support.libraries import many, put


def quietly(path, **parts):
    return restore.at_once(path, **parts, progress=lambda text: None)


def database_file():
    return config.current.data_dir / "mm.db"


def stop():
    """As if no process had the database open."""
    if not db.is_closed():
        db.close()
    db.obj.release()


def set_aside():
    return sorted(
        path for path in config.current.data_dir.glob("mm.db.damaged-*") if path.suffix != ".zip"
    )


@pytest.fixture
def archive(app, alice, bob):
    """Of a server that has more now, and then lost its database."""
    with db.connection_context():
        put(alice, many(60, 2))
        put_poster("a.jpg")
        entry = archives.create(posters=True)
        path, saved = archive_files.path_of(entry.timestamp), rows()
        put(alice, many(20, 2, start=300))
    stop()
    yield path, saved
    stop()


def zeroed_header():
    with database_file().open("r+b") as file:
        file.write(b"\0" * 100)


def other_content():
    database_file().write_bytes(b"This is no database." * 1000)


def missing():
    database_file().unlink()


def cut_off():
    os.truncate(database_file(), 50)


UNUSABLE = [zeroed_header, other_content, missing, cut_off]


def garbage_in_the_middle():
    size = database_file().stat().st_size
    with database_file().open("r+b") as file:
        file.seek(2 * 4096)
        file.write(os.urandom(size - 4 * 4096))


def half_gone():
    os.truncate(database_file(), database_file().stat().st_size // 2 // 4096 * 4096)


def missing_log():
    for ending in ("-wal", "-shm"):
        database_file().with_name(f"mm.db{ending}").unlink(missing_ok=True)


def emptied():
    os.truncate(database_file(), 0)


@pytest.mark.parametrize("damage", UNUSABLE, ids=lambda damage: damage.__name__)
def test_a_database_that_cannot_be_opened_is_set_aside_and_replaced(archive, damage):
    path, saved = archive
    damage()
    damaged = database_file().read_bytes() if database_file().exists() else None
    shown = quietly(path)
    assert shown.state == "done"
    assert any("too damaged to be saved" in warning for warning in shown.warnings)
    assert shown.safety is None
    assert rows() == saved
    kept = [file.read_bytes() for file in set_aside()]
    assert kept == ([damaged] if damaged else [])
    assert not maintenance.is_on()
    with db.connection_context():
        assert db.execute_sql("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.fixture
def other_disk():
    device = config.current.data_dir.stat().st_dev
    folders = (Path(folder) for folder in ("/dev/shm", "/var/tmp"))
    found = [each for each in folders if each.is_dir() and each.stat().st_dev != device]
    if not found:
        pytest.skip("there is no other file system here")
    with tempfile.TemporaryDirectory(dir=found[0]) as folder:
        yield Path(folder)


@pytest.mark.parametrize("damage", [zeroed_header, missing], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("is_linked", [False, True], ids=["by its address", "by a link"])
def test_it_may_lie_on_another_disk(archive, other_disk, damage, is_linked):
    path, _ = archive
    damage()
    usual, there = database_file(), other_disk / "films.db"
    damaged = usual.read_bytes() if usual.exists() else None
    if damaged:
        shutil.move(usual, there)
    if is_linked:
        usual.symlink_to(there)
    else:
        connect(f"sqlite:///{there}")
    assert quietly(path).state == "done"
    with db.connection_context():
        assert Movie.select().count() == 60
    assert there.is_file()
    assert usual.is_symlink() == is_linked
    assert set_aside() == []
    kept = [each.read_bytes() for each in other_disk.glob("films.db.damaged-*")]
    assert kept == ([damaged] if damaged else [])


@pytest.mark.parametrize("damage", UNUSABLE, ids=lambda damage: damage.__name__)
def test_it_is_not_replaced_under_a_running_server(archive, damage):
    path, _ = archive
    damage()
    before = database_file().read_bytes() if database_file().exists() else None
    holder = os.open(config.current.locks_dir / "running.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(holder, fcntl.LOCK_SH)
    try:
        with pytest.raises(ConflictError, match="Stop the server, then run"):
            quietly(path)
    finally:
        os.close(holder)
    after = database_file().read_bytes() if database_file().exists() else None
    assert after == before
    assert not maintenance.is_on()


@pytest.mark.parametrize(
    "damage",
    [garbage_in_the_middle, half_gone, missing_log, emptied],
    ids=lambda damage: damage.__name__,
)
def test_a_damaged_database_is_replaced_while_the_server_runs(archive, damage):
    path, saved = archive
    damage()
    damaged = database_file().read_bytes()
    shown = quietly(path)
    assert shown.state == "done"
    assert rows() == saved
    assert live_database.damage() is None
    if damage is missing_log:
        assert shown.safety
    else:
        assert any("too damaged to be saved" in warning for warning in shown.warnings)
        assert damaged in [file.read_bytes() for file in set_aside()]


@pytest.fixture
def small_disk(tmp_path):
    """An empty data folder on a disk of 16 MB."""
    target = tmp_path / "small"
    target.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(target)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a file system is not allowed here")
    yield target
    subprocess.run(["umount", "-l", str(target)], check=True)


class TestOnASmallDisk:
    @pytest.fixture
    def settings(self, small_disk):
        return config.Config(data_dir=small_disk)

    @pytest.fixture
    def fill(self, small_disk):
        def fill(left):
            ballast = small_disk / "ballast"
            ballast.unlink(missing_ok=True)
            with ballast.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, disk.free_bytes(small_disk) - left)

        yield fill
        (small_disk / "ballast").unlink(missing_ok=True)

    def test_without_room_nothing_is_begun(self, archive, fill):
        path, _ = archive
        before = rows()
        fill(2**20)
        with pytest.raises(NoRoomError, match=r"Not enough disk space: .* needed, .* free"):
            quietly(path)
        assert rows() == before
        assert not maintenance.is_on()

    @pytest.mark.parametrize("step", ["unpack", "make", "keep_live_values", "load"])
    def test_a_disk_that_fills_up_in_the_middle_changes_nothing(
        self, archive, fill, step, monkeypatch
    ):
        path, _ = archive
        put_poster("b.jpg")
        before, posters = rows(), poster_files()
        place = {
            "unpack": restore.restore_steps.unpacking,
            "make": packing,
            "keep_live_values": restore.restore_steps.staging,
            "load": live_database,
        }[step]
        real = getattr(place, step)

        def fills_first(*args, **kwargs):
            monkeypatch.setattr(place, step, real)
            fill(8192)
            return real(*args, **kwargs)

        monkeypatch.setattr(place, step, fills_first)
        stop()
        with pytest.raises(NoRoomError):
            quietly(path)
        (config.current.data_dir / "ballast").unlink()
        assert rows() == before
        assert poster_files() == posters
        assert not maintenance.is_on()
        assert quietly(path).state == "done"
