"""Archives of the whole server as they are downloaded, and as they arrive in a request: as a form's
file or as the body itself, written straight to the disk, at most MM_ARCHIVE_MAX, and not bound by
the limit of other bodies."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from flask import Response, request, send_file
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.wsgi import get_input_stream

from mm import auth, config
from mm.errors import InvalidError, NotFoundError, TooLargeError
from mm.services.server import archive_files, archive_uploads

# The part of a form that is the file.
FIELD = "file"
# What a form has besides its file.
FORM_MAX = 2**20
FORM_PARTS = 50
RAW = ("application/zip", "application/x-zip-compressed", "application/octet-stream")
PIECE = 2**18
NO_FILE = "Choose an archive first: a file moviemanager-backup-….zip, in the field “file”."
ONE_FILE = "Send one file at a time."
NOT_A_FORM = "The form with the file could not be read. Send it again."


class Received(NamedTuple):
    """`path` is None where no file was sent. `form` has the other fields. `name`: what the file is
    called on the sender's machine."""

    path: Path | None
    form: MultiDict[str, str]
    name: str = ""


def download(timestamp: str) -> Response:
    """The file, in parts too where a download is taken up again. Raises NotFoundError."""
    path = archive_files.path_of(timestamp)
    try:
        response = send_file(path, "application/zip", as_attachment=True, download_name=path.name)
    except FileNotFoundError as error:  # deleted since it was listed
        raise NotFoundError(archive_files.NOT_FOUND) from error
    response.headers["Cache-Control"] = "private, no-store"
    if request.method == "GET" and not request.range:
        auth.log_action("archive.downloaded", archive=timestamp)
    return response


@contextlib.contextmanager
def received() -> Iterator[Received]:
    """The archive that this request sends, whole; its file is gone at the end of the block unless
    the block moved it. Reads nothing before, so guards come first.

    Raises TooLargeError, NoRoomError and ConflictError; and what mm/request_bodies.py raises.
    """
    most = config.current.archive_max_bytes
    announced = request.content_length or 0
    if announced > most + FORM_MAX:
        raise TooLargeError(archive_uploads.too_large())
    with archive_uploads.receiving(min(announced, most)) as upload:
        try:
            has_file, form, name = _read(upload)
        except RequestEntityTooLarge as error:
            raise TooLargeError(archive_uploads.too_large()) from error
        upload.flush()
        yield Received(upload.path if has_file else None, form, name)


def _read(upload: archive_uploads.Upload) -> tuple[bool, MultiDict[str, str], str]:
    """Whether there was a file, the other fields, and its name."""
    most = config.current.archive_max_bytes + FORM_MAX
    if request.mimetype not in (*RAW, "multipart/form-data"):
        # Of other forms the parser reads all into memory, however much that is.
        most = FORM_MAX
    stream = get_input_stream(request.environ, max_content_length=most)
    if request.mimetype in RAW:
        while piece := stream.read(PIECE):
            upload.write(piece)
        return upload.received > 0, MultiDict(), ""

    opened: list[IO[bytes]] = []

    def place(
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        # A browser sends a field without a chosen file as an empty one without a name.
        if not filename:
            return _Nothing()
        if opened:
            raise InvalidError(ONE_FILE)
        opened.append(upload)
        return upload

    parser = FormDataParser(
        stream_factory=place,
        max_form_memory_size=FORM_MAX,
        max_form_parts=FORM_PARTS,
        silent=False,
    )
    try:
        _, form, files = parser.parse(
            stream, request.mimetype, request.content_length, request.mimetype_params
        )
    except ValueError as error:
        raise InvalidError(NOT_A_FORM) from error
    name = (files[FIELD].filename or "") if FIELD in files else ""
    return bool(name), form, name


class _Nothing(io.BytesIO):
    """Keeps nothing of what is written to it."""

    def write(self, data) -> int:
        return len(data)
