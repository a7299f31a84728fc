"""The HTTP client of IMDb's datasets: one try, which can be ended at any time."""

import threading
import time

import pytest

from mm import config
from mm.providers import client, imdb_datasets
from tests.conftest import put_in_force

NAME = "title.basics"


@pytest.fixture(autouse=True)
def host(datasets, monkeypatch):
    put_in_force(monkeypatch, config.Config(imdb_datasets_url=datasets.url + "/"))
    monkeypatch.setattr(imdb_datasets, "POLL_SECONDS", 0.02)


def opened(**options):
    return imdb_datasets.opened(NAME, lambda: None, **options)


def test_a_file_comes_whole_with_its_etag_and_size(datasets):
    body = datasets.bodies[NAME]
    with opened() as answer:
        assert answer[:4] == (200, datasets.etags[NAME], 0, len(body))
        assert b"".join(answer.parts) == body


def test_a_known_file_is_not_sent(datasets):
    with opened(known=datasets.etags[NAME]) as answer:
        assert answer.status == 304
    with opened(known='"another"') as answer:
        assert answer.status == 200


def test_a_part_comes_from_the_right_file(datasets):
    body, etag = datasets.bodies[NAME], datasets.etags[NAME]
    with opened(start=100, etag=etag) as answer:
        assert answer[:4] == (206, etag, 100, len(body))
        assert b"".join(answer.parts) == body[100:]
    with opened(start=100, etag='"another"') as answer:
        assert answer[:4] == (200, etag, 0, len(body))
    with opened(start=10**6, etag=etag) as answer:
        assert (answer.status, answer.size) == (416, len(body))


def test_a_part_that_does_not_say_which_one_it_is_is_refused(datasets):
    datasets.fault("no_content_range")

    with pytest.raises(client.Error, match="without saying which"), opened(start=100):
        pass


def test_a_file_that_ends_early_is_not_complete(datasets):
    datasets.fault("break", after=100)

    with opened() as answer, pytest.raises(client.TemporaryError, match="closed the connection"):
        b"".join(answer.parts)


def test_it_does_not_read_far_ahead_of_its_reader(datasets):
    datasets.serve(NAME, imdb_datasets.GZIP + bytes(50 * 2**20))

    with opened() as answer:
        next(answer.parts)
        time.sleep(0.3)
        assert datasets.sent[NAME] < 20 * 2**20


def test_the_thread_that_reads_ends_with_the_try(datasets):
    datasets.serve(NAME, imdb_datasets.GZIP + bytes(50 * 2**20))
    before = set(threading.enumerate())

    with opened() as answer:
        next(answer.parts)
        assert readers(before)
    deadline = time.monotonic() + 5
    while readers(before) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert readers(before) == []


def readers(before):
    """Threads of the client that were begun since."""
    return [
        thread
        for thread in set(threading.enumerate()) - before
        if getattr(thread, "_target", None) is imdb_datasets._get
    ]
