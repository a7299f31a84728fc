"""Archives from another machine: received without a second copy, checked wholly, added once."""

import io
import json
import zipfile

import pytest
from werkzeug.exceptions import ClientDisconnected

from mm import archive_bodies, config
from mm.clock import DAY
from mm.errors import ConflictError, InvalidError, NoRoomError, TooLargeError
from mm.services.backup import uploads
from mm.services.server import archive_files, archive_uploads, archives
from tests.support.libraries import many, put

pytestmark = pytest.mark.usefixtures("database")
MIB = 2**20
# Of a form with a file, before its bytes.
HEAD = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'


@pytest.fixture
def archive(alice):
    """The bytes of an archive of a server with three films, which this one no longer has."""
    put(alice, many(3))
    entry = archives.create()
    data = (archive_files.folder() / entry.filename).read_bytes()
    archives.delete(entry.timestamp)
    return data


@pytest.fixture
def small(monkeypatch):
    """A limit of 1 MB."""
    config.use(config.Config(config.current.data_dir, archive_max="1 MB"))


def receive(data):
    with archive_uploads.receiving(len(data)) as upload:
        upload.write(data)
        return archive_uploads.add(upload.path)


def left():
    return [path.name for path in config.current.tmp_dir.iterdir()]


def listed():
    return [entry.timestamp for entry in archives.listing()]


# Adding.


def test_an_uploaded_archive_is_added_under_its_own_time_and_is_verified(archive, frozen_clock):
    entry = receive(archive)
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        metadata = json.loads(opened.read("metadata.json"))
    assert entry.timestamp == metadata["timestamp"]
    assert (entry.kind, entry.state, entry.created_at) == (
        "uploaded",
        "verified",
        metadata["created_at"],
    )
    assert entry.contents.movies == 3
    assert entry.kept_because == "Kept until you delete it"
    path = archive_files.path_of(entry.timestamp)
    assert path.read_bytes() == archive
    assert path.stat().st_mode & 0o777 == 0o600
    assert left() == []


def test_one_that_is_there_already_is_not_added_again(archive):
    first = receive(archive)
    assert receive(archive).timestamp == first.timestamp
    assert listed() == [first.timestamp]


def test_another_one_of_the_same_second_gets_a_two(archive, frozen_clock):
    made = archives.create(database=False)
    data = archive_files.path_of(made.timestamp).read_bytes()
    archives.delete(made.timestamp)
    other = archives.create()
    assert other.timestamp == made.timestamp
    assert receive(data).timestamp == f"{made.timestamp}-2"


def test_in_place_of_a_damaged_copy_the_good_one_is_added(archive):
    first = receive(archive)
    path = archive_files.path_of(first.timestamp)
    path.write_bytes(archive[:-1] + b"x")
    assert archives.verify(first.timestamp).state == "damaged"
    assert receive(archive).timestamp == f"{first.timestamp}-2"


@pytest.mark.parametrize("content", [b"", b"PK", b"{}", b"PK\x03\x04" + bytes(10_000)])
def test_what_is_no_archive_is_refused_and_nothing_of_it_stays(content):
    with pytest.raises(InvalidError, match=r"^Backup file is corrupted: "):
        receive(content)
    assert (listed(), left()) == ([], [])


def test_a_changed_byte_is_found(archive):
    for at in range(0, len(archive), len(archive) // 12):
        changed = bytearray(archive)
        changed[at] ^= 0x10
        with archive_uploads.receiving() as upload:
            upload.write(changed)
            found = archive_uploads.validate(upload.path)
            if found.valid:
                # A byte that nothing reads, such as a date in the ZIP's list.
                continue
            with pytest.raises(InvalidError):
                archive_uploads.add(upload.path)
    assert left() == []


def test_it_is_copied_where_archives_lie_on_another_disk(archive, monkeypatch):
    def on_another_disk(self, target):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("pathlib.Path.rename", on_another_disk)
    entry = receive(archive)
    assert archive_files.path_of(entry.timestamp).read_bytes() == archive
    assert left() == []


def test_a_validated_archive_is_not_kept(archive):
    with archive_uploads.receiving() as upload:
        upload.write(archive)
        found = archive_uploads.validate(upload.path)
    assert (found.valid, found.message) == (True, "This archive can be restored.")
    assert found.contents.movies == 3
    assert found.backup_timestamp
    assert (listed(), left()) == ([], [])


def test_validating_rubbish_says_why(archive):
    with archive_uploads.receiving() as upload:
        upload.write(archive[: len(archive) // 2])
        found = archive_uploads.validate(upload.path)
    assert not found.valid
    assert found.message.startswith("Backup file is corrupted: ")
    assert found.contents is None


# Limits.


def test_what_is_larger_than_allowed_is_refused_before_and_while_it_arrives(small):
    words = r"an archive takes 1\.0 MB at most \(MM_ARCHIVE_MAX\)"
    with pytest.raises(TooLargeError, match=words):
        receive(bytes(1_000_001))
    with archive_uploads.receiving() as upload:
        upload.write(bytes(1_000_000))
        with pytest.raises(TooLargeError, match=words):
            upload.write(b"x")
    assert left() == []


def test_a_disk_that_gets_short_ends_it_before_it_is_full(monkeypatch):
    usage = archive_uploads.shutil.disk_usage(config.current.tmp_dir)
    short = usage._replace(free=150 * MIB, total=10**12)
    with archive_uploads.receiving() as upload:
        upload.write(bytes(MIB))
        monkeypatch.setattr(archive_uploads.shutil, "disk_usage", lambda folder: short)
        upload.write(bytes(20 * MIB))
        short = short._replace(free=50 * MIB)
        with pytest.raises(NoRoomError, match="Not enough disk space"):
            upload.write(bytes(20 * MIB))
        assert upload.path.stat().st_size == 21 * MIB
    with (
        pytest.raises(
            NoRoomError, match=r"^Not enough disk space: 100\.0 MB needed, 52\.4 MB free"
        ),
        archive_uploads.receiving(1),
    ):
        pytest.fail("it was begun")
    assert left() == []


def test_two_may_be_received_at_once_and_a_third_is_told_so():
    with archive_uploads.receiving(), archive_uploads.receiving():
        with pytest.raises(ConflictError, match="Other archives are being uploaded"):
            receive(b"x")
        # Nobody sweeps what is being received.
        archive_uploads.sweep()
        archives.sweep()
        assert len(left()) == 2
    assert left() == []


def test_what_a_killed_process_received_is_swept(archive):
    folder = config.current.tmp_dir / "upload-0123456789abcdef"
    folder.mkdir()
    (folder / "archive.zip").write_bytes(archive)
    (config.current.tmp_dir / "upload-of-somebody-else").mkdir()
    archive_uploads.sweep()
    assert left() == ["upload-of-somebody-else"]


def test_no_other_sweep_touches_an_upload(archive, frozen_clock):
    with archive_uploads.receiving() as upload:
        upload.write(archive)
        frozen_clock.move(30 * DAY)
        uploads.sweep()
        assert archive_uploads.add(upload.path).state == "verified"


# From a request.


@pytest.fixture
def posted(app, monkeypatch):
    """posted(…): what a request with this body brings: (bytes of the file or None, its form)."""
    # The end of a request closes the database, which the test has open.
    monkeypatch.setattr(app, "teardown_request_funcs", {})

    def post(**request):
        with (
            app.test_request_context("/", method="POST", **request),
            archive_bodies.received() as got,
        ):
            return got.path and got.path.read_bytes(), got.form.to_dict()

    return post


def test_a_form_brings_its_file_and_its_fields(posted, archive):
    fields = {"file": (io.BytesIO(archive), "a.zip"), "confirm": "true"}
    assert posted(data=fields) == (archive, {"confirm": "true"})
    assert left() == []


@pytest.mark.parametrize("kind", archive_bodies.RAW)
def test_the_archive_may_be_the_body_itself(posted, archive, kind):
    assert posted(data=archive, content_type=kind) == (archive, {})


def test_the_file_is_written_once_and_by_no_limit_of_other_bodies(posted, app, monkeypatch):
    app.config["MAX_CONTENT_LENGTH"], before = 1000, app.config["MAX_CONTENT_LENGTH"]
    try:
        data = bytes(100_000)
        assert posted(data={"file": (io.BytesIO(data), "a.zip")})[0] == data
        assert posted(data=data, content_type="application/zip")[0] == data
    finally:
        app.config["MAX_CONTENT_LENGTH"] = before


@pytest.mark.parametrize(
    "request_values",
    [
        {"data": {}},
        {"data": b"", "content_type": "application/zip"},
        {"data": b"[]", "content_type": "application/json"},
        {"data": {"confirm": "true"}},
        {"data": {"file": (io.BytesIO(b""), "")}, "content_type": "multipart/form-data"},
        {"data": {"other": (io.BytesIO(b"x"), "a.zip")}},
    ],
)
def test_without_a_file_there_is_none(posted, request_values):
    assert posted(**request_values)[0] is None
    assert left() == []


def test_a_form_without_a_file_is_fine_where_none_is_needed(posted):
    fields = {"timestamp": "2026-03-01-12-00-00"}
    assert posted(data=fields) == (None, fields)


def test_two_files_and_a_broken_form_are_refused(posted):
    two = {"file": [(io.BytesIO(b"a"), "a.zip"), (io.BytesIO(b"b"), "b.zip")]}
    with pytest.raises(InvalidError, match="one file at a time"):
        posted(data=two)
    with pytest.raises(InvalidError, match="could not be read"):
        posted(data=b"--x\r\nno", content_type="multipart/form-data; boundary=x")
    with pytest.raises(InvalidError, match="could not be read"):
        posted(data=b"x", content_type="multipart/form-data")
    assert left() == []


def test_an_archive_of_just_the_limit_fits_into_a_form(posted, small):
    kind = "multipart/form-data; boundary=x"
    data = bytes(1_000_000)
    assert posted(data=HEAD + data + b"\r\n--x--\r\n", content_type=kind)[0] == data
    with pytest.raises(TooLargeError):
        posted(data=HEAD + data + b"y\r\n--x--\r\n", content_type=kind)


class Unread(io.RawIOBase):
    def readinto(self, buffer):
        pytest.fail("the body was read")


def test_what_is_announced_too_large_is_refused_before_it_is_read(posted, small):
    environ = {"CONTENT_LENGTH": str(3 * 10**6), "wsgi.input": Unread()}
    with pytest.raises(TooLargeError, match="MM_ARCHIVE_MAX"):
        posted(environ_overrides=environ)


def test_one_that_is_too_large_without_saying_so_is_refused(posted, small):
    class Endless(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            buffer[:] = bytes(len(buffer))
            return len(buffer)

    for kind, head in (
        ("application/zip", b""),
        (
            "multipart/form-data; boundary=x",
            HEAD,
        ),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n',
        ),
    ):
        body = io.BufferedReader(_Chained(head, Endless()))
        with pytest.raises(TooLargeError, match="MM_ARCHIVE_MAX"):
            posted(
                environ_overrides={
                    "CONTENT_TYPE": kind,
                    "wsgi.input": body,
                    "wsgi.input_terminated": True,
                },
            )
        assert left() == []


def test_a_form_that_cannot_hold_a_file_is_not_read_into_memory(posted):
    """As curl sends a file when it is not told what it is."""
    kind = "application/x-www-form-urlencoded"
    with pytest.raises(TooLargeError):
        posted(data=bytes(archive_bodies.FORM_MAX + 1), content_type=kind)
    assert posted(data=b"confirm=true", content_type=kind) == (None, {"confirm": "true"})
    assert left() == []


class _Chained(io.RawIOBase):
    def __init__(self, head, rest):
        self.head, self.rest = io.BytesIO(head), rest

    def readable(self):
        return True

    def readinto(self, buffer):
        return self.head.readinto(buffer) or self.rest.readinto(buffer)


@pytest.mark.parametrize("kind", ["application/zip", "multipart/form-data; boundary=x"])
def test_one_that_is_cut_off_leaves_nothing(posted, kind):
    with pytest.raises(ClientDisconnected):
        posted(
            environ_overrides={
                "CONTENT_TYPE": kind,
                "wsgi.input": io.BytesIO(HEAD + b"abc"),
                "CONTENT_LENGTH": "5000",
            },
        )
    assert left() == []
