"""A disk that gets full while an archive is made or unpacked: said, and nothing is left of it."""

import os
import sqlite3
import subprocess
from contextlib import closing

import pytest

from mm import config, disk, files
from mm.errors import NoRoomError
from mm.services.server.archive_format import unpacking
from tests.server import archives

pytestmark = [pytest.mark.sqlite, pytest.mark.usefixtures("scratch_is_empty")]
MB = 2**20


@pytest.fixture
def settings(tmp_path):
    """The data folder is a disk of 24 MB."""
    target = tmp_path / "data"
    target.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(target)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a file system is not allowed here")
    yield config.Config(data_dir=target)
    subprocess.run(["umount", "-l", str(target)], check=True)


@pytest.fixture
def large(server):
    """A server whose database has 4 MB that hardly pack."""
    with closing(sqlite3.connect(server.data_dir / "mm.db")) as database:
        for number in range(8):
            row = (f"noise.{number}", f'"{os.urandom(MB // 4).hex()}"')
            database.execute("INSERT INTO setting VALUES (?, ?)", row)
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return server


def leave(folder, size):
    """Fill the disk but for `size` bytes."""
    ballast = folder / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, disk.free_bytes(folder) - size)


# Too little for the copy of the database, for the ZIP beside it, and for its end.
@pytest.mark.parametrize("free", [MB, 3 * MB, 5 * MB, 6 * MB])
def test_while_it_is_made(large, monkeypatch, free):
    monkeypatch.setattr(files, "require_room", lambda *_args: None)
    leave(large.data_dir, free)
    target = large.data_dir / "archive.zip"
    with pytest.raises(NoRoomError, match="Not enough disk space: "):
        archives.make(target, posters=False)
    assert not target.exists()


@pytest.mark.parametrize("free", [MB // 2, 3 * MB])
def test_while_it_is_unpacked(large, tmp_path, monkeypatch, free):
    path = tmp_path / "archive.zip"
    archives.make(path)
    monkeypatch.setattr(files, "require_room", lambda *_args: None)
    leave(large.data_dir, free)
    folder = large.data_dir / "out"
    folder.mkdir()
    with pytest.raises(NoRoomError, match="Not enough disk space: "):
        unpacking.unpack(path, folder)
    assert archives.left_in(folder) == []
    with pytest.raises(NoRoomError, match="Not enough disk space: "):
        unpacking.check(path)


def test_with_room_it_is_made_and_read(large):
    path = large.data_dir / "archive.zip"
    archives.make(path)
    unpacking.check(path)
