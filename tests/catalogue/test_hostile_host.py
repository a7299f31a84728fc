"""Whatever a host of the datasets answers, a try ends, takes no more room than a dataset, and says
in plain words why. The host is a bare socket, because no HTTP server would send such answers."""

import socket
import threading
from contextlib import closing, suppress

import pytest

from mm import config, files
from mm.errors import UnavailableError
from mm.providers import imdb_datasets
from mm.services.catalogue import downloads
from tests.conftest import put_in_force

BASICS = "title.basics"
BODY = imdb_datasets.GZIP + b"x" * 98


@pytest.fixture
def brisk(monkeypatch):
    monkeypatch.setattr(imdb_datasets, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(downloads, "PAUSES", (0, 0))
    monkeypatch.setattr(downloads, "WHILE_BUILDING", 0)


@pytest.fixture
def host(app, monkeypatch, brisk):
    """host(answer, …): who sends these bytes, the last ones for ever after; with `rest`, those
    again and again until nobody listens. Returns the requests that come."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        put_in_force(monkeypatch, config.Config(config.current.data_dir, imdb_datasets_url=url))

        def host_of(*answers, rest=b""):
            requests = []
            args = (server, list(answers), rest, requests)
            threading.Thread(target=_serve, args=args, daemon=True).start()
            return requests

        yield host_of


def _serve(server, answers, rest, requests):
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection, suppress(OSError):
            requests.append(connection.recv(2**17).decode("latin-1"))
            connection.sendall(answers.pop(0) if len(answers) > 1 else answers[0])
            while rest:
                connection.sendall(rest)


def answer(status="200 OK", body=BODY, **headers):
    """`headers` with _ for -; without a length, where none is given, the end is the body's."""
    lines = [f"HTTP/1.1 {status}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def fetch(known=""):
    return downloads.fetch([BASICS], {BASICS: known}, lambda *_: None, lambda: False)


def left():
    folder = config.current.datasets_dir
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://[", "http://\x00/", "//", ""]
)
def test_a_redirect_to_what_is_no_web_address_is_refused(host, location):
    host(answer("302 Found", b"", Location=location))

    with pytest.raises(UnavailableError):
        fetch()
    assert left() == []


def test_an_absurd_length_is_reported(host):
    host(answer(Content_Length="9" * 5000))

    with pytest.raises(UnavailableError, match="sent more data than any dataset has"):
        fetch()


def test_a_whole_file_that_claims_to_be_a_part_is_looked_at_all_the_same(host):
    host(answer(body=b"", Content_Range="bytes 5-9/10"))

    with pytest.raises(UnavailableError, match="something other than a dataset"):
        fetch()


@pytest.mark.parametrize("etag", ['"a"\r\n b', '"' + "x" * 5000 + '"', '"\x01"'])
def test_an_etag_that_cannot_be_sent_back_counts_as_none(host, etag):
    host(answer(ETag=etag, Content_Length=len(BODY)))

    assert fetch()[BASICS].etag == ""


def test_more_than_was_announced_is_not_saved(host):
    told = {"ETag": '"a"', "Content_Range": "bytes 0-1/100"}
    more = {"ETag": '"a"', "Content_Range": "bytes 50-99/100"}
    head = answer("206 Partial Content", BODY[:2], **told)
    files.make_folder(config.current.datasets_dir)
    (config.current.datasets_dir / f"{BASICS}.tsv.gz.part").write_bytes(BODY[:50])
    origin = b'{"etag": "\\"a\\"", "size_bytes": 100}'
    (config.current.datasets_dir / f"{BASICS}.tsv.gz.json").write_bytes(origin)
    requests = host(head, answer("206 Partial Content", b"", **more), rest=bytes(2**16))

    with pytest.raises(UnavailableError, match="sent more data than any dataset has"):
        fetch()
    assert "Range: bytes=50-" in requests[1]
    assert left() == []


def test_a_body_without_end_and_length_ends_at_the_limit_and_leaves_nothing(host, monkeypatch):
    monkeypatch.setattr(imdb_datasets, "BYTES_MAX", 10**6)
    host(answer(), rest=bytes(2**16))

    with pytest.raises(UnavailableError, match="sent more data than any dataset has"):
        fetch()
    assert left() == []


@pytest.mark.parametrize(
    ("begin", "rest"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n"),
    ],
)
def test_an_answer_that_never_comes_to_the_point_ends(host, monkeypatch, begin, rest):
    monkeypatch.setattr(imdb_datasets, "NOTHING_SECONDS", 0.5)
    host(begin, rest=rest)

    with pytest.raises(UnavailableError, match=r"did not answer in time|something else"):
        fetch()


def test_a_line_without_end_takes_no_memory(host):
    host(b"HTTP/1.1 200 OK\r\nX: ", rest=b"x" * 2**16)

    with pytest.raises(UnavailableError):
        fetch()


def test_a_chunk_whose_length_has_no_end_takes_no_memory(host):
    host(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", rest=b"0" * 2**16)

    with pytest.raises(UnavailableError):
        fetch()


def test_nothing_of_the_answer_is_unpacked_on_the_way(host):
    """A host may call the file's own form an encoding, and a bomb too."""
    host(answer(ETag='"a"', Content_Encoding="gzip", Content_Length=len(BODY)))

    assert fetch()[BASICS].path.read_bytes() == BODY
