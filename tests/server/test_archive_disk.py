"""Archives on a disk that is full, or fills up while one is made or received."""

import pytest

from mm import config, disk, files
from mm.database import db
from mm.errors import NoRoomError
from mm.services.server import archive_files, archive_limits, archive_uploads, archives
from tests.backup.test_disk import fill, settings, small_disk  # noqa: F401
from tests.support.libraries import many, put

MB = 10**6


@pytest.fixture
def library(alice):
    with db.connection_context():
        put(alice, many(1000))
        yield


def require_nothing_left():
    assert list(config.current.tmp_dir.iterdir()) == []
    assert [path.name for path in archive_files.folder().iterdir() if path.name[0] == "."] == []


def test_on_a_full_disk_archives_are_listed_tested_later_and_deleted(library, fill):  # noqa: F811
    entry = archives.create()
    fill(MB)
    assert [each.state for each in archives.listing()] == ["verified"]
    assert archives.room().free <= MB
    for act in (archives.create, archives.request):
        with pytest.raises(NoRoomError, match=r"^Not enough disk space: .* needed, .* free\.$"):
            act()
    with pytest.raises(NoRoomError):
        archives.verify(entry.timestamp)
    # It is not called damaged because there was no room for its test.
    assert [each.state for each in archives.listing()] == ["verified"]
    archives.sweep()
    archives.prune_held()
    require_nothing_left()
    fill()
    archives.delete(entry.timestamp)
    assert archives.listing() == []


def test_a_disk_that_fills_up_while_an_archive_is_made_leaves_nothing_of_it(
    library,
    fill,  # noqa: F811
    monkeypatch,
):
    earlier = archives.create()
    monkeypatch.setattr(archive_limits, "require_one", lambda *parts: None)
    monkeypatch.setattr(files, "require_room", lambda *room: None)
    size = earlier.contents.database_size_bytes
    # In the copy of the database, and in the ZIP file.
    for left in (0, size // 2, size + earlier.size_bytes // 2):
        fill(left)
        with pytest.raises(NoRoomError, match="Not enough disk space"):
            archives.create()
        require_nothing_left()
        assert [each.timestamp for each in archives.listing()] == [earlier.timestamp]
    fill(4 * size)
    assert archives.verify(archives.create().timestamp).state == "verified"


def test_an_upload_ends_before_the_disk_is_full(library, fill, monkeypatch):  # noqa: F811
    monkeypatch.setattr(archive_uploads, "LOOK_EVERY", MB // 4)
    fill(2 * MB)
    with archive_uploads.receiving() as upload:
        with pytest.raises(NoRoomError, match=r"^Not enough disk space: .* needed, .* free\.$"):
            send(upload, 3 * MB)
        assert MB < upload.path.stat().st_size < 2 * MB
        assert disk.free_bytes(config.current.tmp_dir) > 0.1 * MB
    assert list(config.current.tmp_dir.iterdir()) == []


def send(upload, size):
    for _ in range(0, size, MB // 10):
        upload.write(bytes(MB // 10))
