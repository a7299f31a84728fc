"""A stand-in for the host of IMDb's datasets: a real HTTP server on loopback with the five files of
a few films, and faults to switch on.

    python -m tests.support.datasets --port 9300 [--from FOLDER] \\
        [--fault '{"kind": "break", "after": 2000, "times": 1}']

`IMDB_DATASETS_URL` is its address with /datasets. FOLDER has files of another make, of any size.
GET /__stats__ tells what was asked.
"""

import argparse
import contextlib
import gzip
import hashlib
import json
import mmap
import re
import threading
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

HEADERS = {
    "title.basics": (
        "tconst titleType primaryTitle originalTitle isAdult startYear endYear runtimeMinutes "
        "genres"
    ),
    "title.ratings": "tconst averageRating numVotes",
    "title.akas": "titleId ordering title region language types attributes isOriginalTitle",
    "title.crew": "tconst directors writers",
    "name.basics": "nconst primaryName birthYear deathYear primaryProfession knownForTitles",
}
NAMES = tuple(HEADERS)
# id|type|title|original title|adult|year|end year|minutes|genres|rating|votes|directors|akas
# Empty is IMDb's \N; directors and akas are divided by semicolons.
TITLES = Path(__file__).parent.parent / "fixtures" / "imdb_titles.txt"
HTML = b"<!DOCTYPE html><html><title>Welcome</title><body>Log in to use this network</body></html>"
PIECE = 2**16
HANG_SECONDS = 120


def title(
    imdb_id,
    name,
    year=None,
    *,
    kind="movie",
    original_title=None,
    is_adult=0,
    end_year=None,
    runtime=None,
    genres=None,
    rating=None,
    votes=None,
    directors=(),
    akas=(),
):
    """A title for `rows_of`. `genres` is IMDb's text; directors and akas are lists of names."""
    basics = [imdb_id, kind, name, original_title or name, is_adult, year, end_year, runtime]
    return {
        "basics": [*basics, genres],
        "ratings": [imdb_id, rating, votes] if votes else None,
        "akas": [name, *akas],
        "directors": list(directors),
    }


def rows_of(titles):
    """The rows of all five datasets, by name, in the order of the ids as IMDb's are."""
    rows = {name: [] for name in NAMES}
    people = {}
    for each in sorted(titles, key=lambda each: each["basics"][0]):
        imdb_id, directors = each["basics"][0], []
        rows["title.basics"].append(each["basics"])
        if each["ratings"]:
            rows["title.ratings"].append(each["ratings"])
        for number, aka in enumerate(each["akas"], 1):
            kinds = ("original", None, 1) if number == 1 else ("imdbDisplay", None, 0)
            rows["title.akas"].append([imdb_id, number, aka, None, None, *kinds])
        for name in each["directors"]:
            directors.append(people.setdefault(name, f"nm{len(people) + 1:07}"))
        rows["title.crew"].append([imdb_id, ",".join(directors) or None, None])
    for name, nconst in people.items():
        rows["name.basics"].append([nconst, name, None, None, "director", None])
    return rows


def _titles():
    for line in TITLES.read_text().splitlines():
        imdb_id, kind, name, original, adult, year, end_year, runtime, *others = line.split("|")
        genres, rating, votes, directors, akas = others
        yield title(
            imdb_id,
            name,
            year,
            kind=kind,
            original_title=original,
            is_adult=adult,
            end_year=end_year,
            runtime=runtime,
            genres=genres,
            rating=rating,
            votes=votes,
            directors=filter(None, directors.split(";")),
            akas=filter(None, akas.split(";")),
        )


ROWS = rows_of(_titles())


def packed(header, rows):
    """A dataset in IMDb's form: a header line, tabs, \\N for nothing, no quoting, gzip."""
    lines = [
        header.split(),
        *(["\\N" if value in (None, "") else value for value in row] for row in rows),
    ]
    text = "".join("\t".join(map(str, line)) + "\n" for line in lines)
    return gzip.compress(text.encode(), 6, mtime=0)


def write_files(folder, rows=ROWS):
    """NAME.tsv.gz in `folder` for each dataset that `rows` has; returns the paths by name."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{name}.tsv.gz" for name in rows}
    for name, path in paths.items():
        path.write_bytes(packed(HEADERS[name], rows[name]))
    return paths


def etag_of(body):
    return f'"{hashlib.sha256(body).hexdigest()[:16]}"'


@dataclass
class Fault:
    """What goes wrong with the next `times` requests (None: with all) for `name` (empty: for any).

    kind     what happens; several may be given, with spaces between
    break    the connection ends after `after` bytes of the body
    stall    after so many bytes nothing more comes
    trickle  after so many bytes `piece` more every `seconds`
    truncated    the file itself ends after so many bytes, and its length says so
    broken_tail  the last bytes of the gzip are others
    columns  another header line
    html     a page, with status 200
    redirect_html, redirect, loop  the address of a page, as captive portals answer; another one of
             the file; its own
    error, busy, gone, portal  500; 503 with Retry-After: `seconds`; 404; 511
    no_etag, no_length, no_range, no_content_range, no_condition
             the host lacks what it says
    wrong_range, blind_range  another part than was asked; a part though If-Range did not match
    encoded  says that gzip is how it is sent, and not what it is
    huge     a Content-Length that no dataset has
    slow     the answer begins after `seconds`
    """

    kind: str
    name: str = ""
    after: int = 0
    seconds: float = 1
    piece: int = 1
    times: int | None = None

    def has(self, kind):
        return kind in self.kind.split()


class Standin:
    """Serves /datasets/NAME.tsv.gz. `asked`: (name, Range header, status) of each request;
    `sent`: bytes of bodies, by name."""

    def __init__(self, port=0):
        self.bodies = {}
        self.etags = {}
        self.asked = []
        self.sent = Counter()
        self.lock = threading.Lock()
        self.ending = threading.Event()
        self._faults = []
        handler = type("Handler", (_Handler,), {"standin": self})
        self.server = _Server(("127.0.0.1", port), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/datasets"
        self.put()

    def put(self, rows=ROWS):
        """The files of another day. What `rows` lacks stays as it is."""
        for name in rows:
            self.serve(name, packed(HEADERS[name], rows[name]))

    def serve(self, name, body, etag=None):
        with self.lock:
            self.bodies[name], self.etags[name] = body, etag or etag_of(body)

    def fault(self, kind, name="", **values):
        """Switch a fault on, behind those that are on."""
        with self.lock:
            self._faults.append(Fault(kind, name, **values))

    def heal(self):
        with self.lock:
            self._faults.clear()

    def forget(self):
        """Forget what was counted."""
        with self.lock:
            self.asked.clear()
            self.sent.clear()

    def take_fault(self, name):
        """The first fault that is for this request."""
        with self.lock:
            for fault in self._faults:
                if fault.name in ("", name) and fault.times != 0:
                    fault.times = fault.times and fault.times - 1
                    return fault
        return Fault("")


class _Server(ThreadingHTTPServer):
    request_queue_size = 64

    def handle_error(self, request, client_address):
        """Clients that gave up are a part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    standin: Standin

    def do_GET(self):
        if self.path == "/__stats__":
            stats = {"asked": self.standin.asked, "sent": self.standin.sent}
            return self._send(200, json.dumps(stats).encode(), {})
        if self.path == "/portal":
            return self._send(200, HTML, {"Content-Type": "text/html"})
        match = re.fullmatch(r"/datasets/([a-z.]+)\.tsv\.gz(\?moved)?", self.path)
        name = match and match[1]
        if name not in self.standin.bodies:
            return self._send(404, b"", {})
        fault = self.standin.take_fault(name)
        if fault.has("slow"):
            self.standin.ending.wait(fault.seconds)
        return self._refusal(name, fault) or self._dataset(name, fault)

    def _refusal(self, name, fault):
        """Answers with no dataset where the fault is of that kind; whether it was."""
        status, body, headers = {
            "html": (200, HTML, {"Content-Type": "text/html"}),
            "redirect_html": (302, b"", {"Location": "/portal"}),
            "redirect": (302, b"", {"Location": f"{self.path}?moved"}),
            "loop": (302, b"", {"Location": self.path}),
            "portal": (511, HTML, {"Content-Type": "text/html"}),
            "error": (500, b"", {}),
            "busy": (503, b"", {"Retry-After": f"{fault.seconds:g}"}),
            "gone": (404, b"", {}),
        }.get(fault.kind, (0, b"", {}))
        if status:
            self._send(status, body, headers, name=name)
        return status != 0

    def _dataset(self, name, fault):
        """Whole or from a byte on."""
        with self.standin.lock:
            body, etag = self.standin.bodies[name], self.standin.etags[name]
        headers = {} if fault.has("no_etag") else {"ETag": etag}
        is_known = headers and self.headers.get("If-None-Match") == etag
        if is_known and not fault.has("no_condition"):
            return self._send(304, b"", headers, name=name)
        if fault.has("encoded"):
            headers["Content-Encoding"] = "gzip"
        body = damaged(body, fault)
        first, last = self._range(len(body), etag, fault)
        if first >= len(body):
            headers["Content-Range"] = f"bytes */{len(body)}"
            return self._send(416, b"", headers, name=name)
        part = memoryview(body)[first : last + 1]
        status = 200
        if len(part) < len(body):
            status = 206
            if not fault.has("no_content_range"):
                headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
        if fault.has("wrong_range") and status == 206:
            part = memoryview(body)[: len(part)]
            headers["Content-Range"] = f"bytes 0-{len(part) - 1}/{len(body)}"
        return self._send(status, part, headers, fault, name)

    def _range(self, size, etag, fault):
        """The first and the last byte to send."""
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        is_same = fault.has("blind_range") or self.headers.get("If-Range", etag) == etag
        if not asked or not is_same or fault.has("no_range"):
            return 0, size - 1
        return int(asked[1]), min(int(asked[2] or size), size - 1)

    def _send(self, status, body, headers, fault=Fault(""), name=None):
        if name:
            with self.standin.lock:
                self.standin.asked.append((name, self.headers.get("Range"), status))
        self.send_response(status)
        length = 10**13 if fault.has("huge") else len(body)
        if fault.has("no_length"):
            self.close_connection = True
            headers = headers | {"Connection": "close"}
        elif status != 304:
            headers = headers | {"Content-Length": str(length)}
        for key, value in ({"Content-Type": "binary/octet-stream"} | headers).items():
            self.send_header(key, value)
        self.end_headers()
        stops = any(map(fault.has, ("break", "stall", "trickle")))
        whole = body[: fault.after] if stops else body
        self._write(whole, name)
        if fault.has("stall") and len(whole) < len(body):
            self.standin.ending.wait(HANG_SECONDS)
        if fault.has("trickle"):
            for start in range(fault.after, len(body), fault.piece):
                if self.standin.ending.wait(fault.seconds):
                    break
                self._write(body[start : start + fault.piece], name)
        if len(whole) < len(body) or length > len(body):
            self.close_connection = True

    def _write(self, data, name):
        for start in range(0, len(data), PIECE):
            piece = data[start : start + PIECE]
            with self.standin.lock:
                self.standin.sent[name] += len(piece)
            self.wfile.write(piece)

    def log_message(self, *args):
        pass


def damaged(body, fault):
    """The file as this fault leaves it."""
    if fault.has("truncated"):
        return body[: fault.after]
    if fault.has("broken_tail"):
        return bytes(body[:-6]) + bytes(byte ^ 0xFF for byte in body[-6:])
    if fault.has("columns"):
        _, rest = gzip.decompress(body).split(b"\n", 1)
        return gzip.compress(b"id\tname\tkind\n" + rest, 6, mtime=0)
    return body


@contextlib.contextmanager
def running(port=0):
    """A Standin that answers until the block ends."""
    standin = Standin(port)
    thread = threading.Thread(
        target=standin.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    )
    thread.start()
    try:
        yield standin
    finally:
        standin.ending.set()
        standin.server.shutdown()
        standin.server.server_close()
        thread.join()


@pytest.fixture(name="datasets")
def datasets_fixture():
    with running() as standin:
        yield standin


def serve_folder(standin, folder):
    """Its files, which need not fit into memory."""
    for path in folder.glob("*.tsv.gz"):
        with path.open("rb") as file:
            body = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        status = path.stat()
        etag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        standin.serve(path.name.removesuffix(".tsv.gz"), body, etag)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=9300)
    parser.add_argument("--from", dest="folder", type=Path)
    parser.add_argument(
        "--fault", type=json.loads, action="append", default=[], help="a Fault, as a JSON object"
    )
    args = parser.parse_args()
    with running(args.port) as standin:
        if args.folder:
            serve_folder(standin, args.folder)
        for fault in args.fault:
            standin.fault(**fault)
        print(f"IMDb's datasets on {standin.url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
