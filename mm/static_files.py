"""Static files: under names that change with their content, so that browsers keep them for good,
and compressed once. Their plain names work too, and are asked about each time.

A style sheet that imports others is sent as one: a phone asks once instead of thirty times. The
comments in our own scripts and style sheets stay here.
"""

import gzip
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from flask import Flask, Response, request
from werkzeug.exceptions import NotFound
from werkzeug.security import safe_join

from mm import config

FOLDER = config.ROOT / "static"
FOR_GOOD = "public, max-age=31536000, immutable"
HASH_LENGTH = 12
HASHED = re.compile(rf"^(.+)\.([0-9a-f]{{{HASH_LENGTH}}})(\.[^./]+)$")
# `@import "button.css";` in a line of its own.
IMPORT = re.compile(r'^@import "([^"]+)";$', re.MULTILINE)
# Comments that have their lines to themselves, so that nothing in quotes is taken for one.
SCRIPT_COMMENT = re.compile(r"^ *//.*\n", re.MULTILINE)
SHEET_COMMENT = re.compile(r"^ */\*.*?\*/\n", re.MULTILINE | re.DOTALL)
# Relative addresses in a style sheet.
REFERENCE = re.compile(r"""(url\(\s*["']?)([^"')#?:]+)""")
COMPRESSIBLE = ("text/", "application/javascript", "application/manifest", "image/svg")
mimetypes.add_type("application/manifest+json", ".webmanifest")


@dataclass(frozen=True)
class File:
    body: bytes
    # None where it is not worth it.
    compressed: bytes | None
    digest: str
    mimetype: str


def init_app(app: Flask) -> None:
    app.add_url_rule("/static/<path:filename>", "static", serve)
    app.url_defaults(_add_digest)


def serve(filename: str) -> Response:
    found = HASHED.match(filename)
    file = _file(found[1] + found[3]) if found else None
    # An old name, as a page has it that was made before an upgrade, gives what is there now.
    is_current = file is not None and found is not None and found[2] == file.digest
    file = file or _file(filename)
    if file is None:
        raise NotFound
    response = Response(file.body, mimetype=file.mimetype)
    if file.compressed:
        response.vary.add("Accept-Encoding")
        if request.accept_encodings["gzip"] > 0:
            response.set_data(file.compressed)
            response.headers["Content-Encoding"] = "gzip"
    # Weak, because it stands for the compressed form as well.
    response.set_etag(file.digest, weak=True)
    response.headers["Cache-Control"] = FOR_GOOD if is_current else "no-cache"
    response.make_conditional(request)
    return response


def hashed_name(filename: str) -> str:
    """`app.css` -> `app.0123456789ab.css`; a file that is not there keeps its name."""
    file = _file(filename)
    if file is None:
        return filename
    stem, dot, suffix = filename.rpartition(".")
    return f"{stem}.{file.digest}{dot}{suffix}" if dot else filename


def _add_digest(endpoint: str, values: dict) -> None:
    """For `url_for("static", filename=…)`."""
    if endpoint == "static" and "filename" in values:
        values["filename"] = hashed_name(values["filename"])


def _file(filename: str) -> File | None:
    path = safe_join(str(FOLDER), filename)
    if path is None or not (found := Path(path)).is_file():
        return None
    # Each page names the style sheet, which has thirty parts: each is looked at once.
    parts = (found, *_imported(found, found.stat().st_mtime_ns))
    states = tuple((state.st_mtime_ns, state.st_size) for state in map(Path.stat, parts))
    return _read(filename, parts, states)


@lru_cache(maxsize=256)
def _imported(path: Path, _mtime: int) -> tuple[Path, ...]:
    """The style sheets beside this one that it imports, in their order."""
    if path.suffix != ".css":
        return ()
    return tuple(path.with_name(name) for name in IMPORT.findall(path.read_text()))


@lru_cache(maxsize=256)
def _read(filename: str, parts: tuple[Path, ...], _states: tuple[tuple[int, int], ...]) -> File:
    """`parts`: the file, and after it the style sheets that it imports."""
    body = b"".join(part.read_bytes() for part in parts)
    mimetype = mimetypes.guess_type(filename)[0] or "application/octet-stream"
    folder = Path(filename).parent
    # What others wrote stays as it is: its comments hold the licence.
    is_ours = folder.parts[:1] != ("vendor",)
    if mimetype == "text/css":
        text = IMPORT.sub("", body.decode())
        text = SHEET_COMMENT.sub("", text) if is_ours else text
        body = _with_hashed_names(text, folder).encode()
    elif filename.endswith(".js") and is_ours:
        body = SCRIPT_COMMENT.sub("", body.decode()).encode()
    compressed = gzip.compress(body, mtime=0) if mimetype.startswith(COMPRESSIBLE) else None
    if compressed and len(compressed) >= len(body):
        compressed = None
    digest = hashlib.sha256(body).hexdigest()[:HASH_LENGTH]
    return File(body, compressed, digest, mimetype)


def _with_hashed_names(css: str, folder: Path) -> str:
    """Fonts and pictures that a style sheet asks for are kept for good as well."""

    def replace(found: re.Match) -> str:
        name = Path(hashed_name(str(folder / found[2]))).name
        return found[1] + found[2].removesuffix(Path(found[2]).name) + name

    return REFERENCE.sub(replace, css)
