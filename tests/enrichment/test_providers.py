"""The clients of TMDB and OMDb against a real server with every fault that the real ones have
shown."""

import gzip
import json
import logging
import threading
import time
from datetime import UTC
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
import requests
from requests.exceptions import ConnectionError as NoConnection

from mm import clock
from mm.providers import client, limits, omdb, tmdb
from mm.providers.client import NotFoundError, OverLimitError, TemporaryError, WrongKeyError
from tests.support import standin as stand

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def slept(monkeypatch):
    """Seconds of each wait between two tries, instead of waiting."""
    waits = []
    monkeypatch.setattr(client, "sleep", waits.append)
    return waits


@pytest.fixture
def limiter():
    return limits.RateLimiter(2000, ceiling=2000)


@pytest.fixture
def film(standin, limiter, slept):
    """Looks a film up at TMDB."""
    account = tmdb.Account(KEY, f"{standin.url}/3/", "de-DE", limiter)
    return lambda imdb_id=stand.FILM_IDS[0]: tmdb.look_up(account, imdb_id)


@pytest.fixture
def ratings(standin, limiter, slept):
    """Looks a film up at OMDb."""
    account = omdb.Account(KEY, f"{standin.url}/omdb/", limiter)
    return lambda imdb_id=stand.FILM_IDS[0]: omdb.look_up(account, imdb_id)


# TMDB.


def test_a_film_is_found_by_its_imdb_id_with_credits_in_two_requests(film, standin):
    body = film()

    assert (body["title"], body["media_type"]) == ("The Lighthouse Keeper's Tax Return", "movie")
    assert body["credits"]["cast"][0]["name"] == "Omar Quist"
    assert standin.tmdb.asked == [f"/3/find/{stand.FILM_IDS[0]}", "/3/movie/5000"]


def test_a_series_is_looked_up_as_tv(film):
    assert film(stand.SERIES_ID)["media_type"] == "tv"
    assert film(stand.SERIES_ID)["number_of_seasons"] == 3


@pytest.mark.parametrize(
    "imdb_id, reason",
    [
        (stand.EPISODE_ID, "an episode of a series"),
        (stand.SEASON_ID, "a season of a series"),
        (stand.PERSON_ID, "a person"),
        (stand.UNKNOWN_ID, "has no film or series"),
    ],
)
def test_what_is_neither_film_nor_series_is_not_found_and_the_reason_says_what_it_is(
    film, imdb_id, reason
):
    with pytest.raises(NotFoundError, match=reason):
        film(imdb_id)


def test_a_film_that_tmdb_lists_but_does_not_have_is_not_found(film, monkeypatch):
    monkeypatch.setattr(stand, "FOUND", {stand.UNKNOWN_ID: {"movie_results": [{"id": 1}]}})

    with pytest.raises(NotFoundError, match="404: The resource you requested could not be found"):
        film(stand.UNKNOWN_ID)


@pytest.mark.parametrize("key, sent", [(KEY, "api_key"), ("eyJhbGciOi.J9", "Authorization")])
def test_a_v3_key_goes_in_the_query_and_a_read_token_in_the_header(monkeypatch, limiter, key, sent):
    seen = {}

    def record(_session, url, params, headers, timeout, stream):
        seen.update(params=params, headers=headers, timeout=timeout)
        raise NoConnection

    monkeypatch.setattr(requests.Session, "get", record)
    account = tmdb.Account(key, "http://127.0.0.1:9/3", "de-DE", limiter, tries=1)
    with pytest.raises(TemporaryError):
        tmdb.look_up(account, stand.FILM_IDS[0])

    assert [
        name
        for name in ("api_key", "Authorization")
        if name in {**seen["params"], **seen["headers"]}
    ] == [sent]
    assert seen["params"]["language"] == "de-DE"
    assert seen["timeout"] == (client.CONNECT_SECONDS, client.READ_SECONDS)


def test_a_wrong_tmdb_key_is_not_tried_again(film, standin, slept):
    standin.tmdb.fault = "wrong_key"

    with pytest.raises(WrongKeyError, match="TMDB rejected the key: Invalid API key"):
        film()
    assert (len(standin.tmdb.asked), slept) == (1, [])


@pytest.mark.parametrize(
    "fault, reason",
    [
        ("error", "TMDB answered with 500"),
        ("html", "answered with 200, and not with JSON"),
        ("list", "answered with 200, and not with JSON"),
        ("invalid_json", "not with JSON"),
        ("truncated", "broke off in the middle"),
    ],
)
def test_a_temporary_failure_is_tried_four_times_with_growing_waits(
    film, standin, slept, fault, reason
):
    standin.tmdb.fault = fault

    with pytest.raises(TemporaryError, match=reason):
        film()
    assert len(standin.tmdb.asked) == 4
    factors = [wait / backoff for wait, backoff in zip(slept, (1, 2, 4), strict=True)]
    assert [int(factor) for factor in factors] == [1, 1, 1]


@pytest.mark.parametrize("fault", ["error", "html", "truncated", "busy"])
def test_a_failure_that_ends_before_the_last_try_costs_only_time(film, standin, fault, monkeypatch):
    monkeypatch.setattr(limits.RateLimiter, "hold_back", lambda *_: None)
    standin.tmdb.fault, standin.tmdb.times = fault, 3

    assert film()["title"] == "The Lighthouse Keeper's Tax Return"


def test_a_server_that_does_not_answer_is_a_time_out(film, standin, monkeypatch):
    monkeypatch.setattr(client, "READ_SECONDS", 0.1)
    standin.tmdb.fault = "hang"

    with pytest.raises(TemporaryError, match=r"TMDB did not answer in time\."):
        film()
    assert len(standin.tmdb.asked) == 4


def test_a_server_that_is_down_is_temporary_and_the_key_stays_out_of_the_message(
    limiter, slept, caplog
):
    with pytest.raises(TemporaryError, match="could not be reached") as caught:
        tmdb.look_up(tmdb.Account(KEY, "http://127.0.0.1:9/3", "en-US", limiter), stand.FILM_IDS[0])

    assert KEY not in str(caught.value)
    assert caught.value.__context__ is None


def test_no_log_shows_a_key_at_any_level(film, ratings, standin, caplog):
    caplog.set_level(logging.DEBUG)
    standin.omdb.fault = "wrong_key"
    film()
    with pytest.raises(WrongKeyError) as caught:
        ratings()

    assert "api_key=…" in caplog.text
    assert KEY not in caplog.text + str(caught.value)


@pytest.mark.parametrize("fault", ["hang", "trickle"])
def test_a_look_up_ends_at_its_deadline_however_the_provider_stalls(
    standin, limiter, fault, monkeypatch
):
    monkeypatch.setattr(client, "DEADLINE_MARGIN_SECONDS", 0)
    standin.tmdb.fault = fault
    began = time.monotonic()
    account = tmdb.Account(KEY, f"{standin.url}/3", "en-US", limiter, 2, began + 0.4)

    with pytest.raises(TemporaryError, match=r"TMDB did not answer in time\.") as caught:
        tmdb.look_up(account, stand.FILM_IDS[0])
    assert caught.value.silent
    assert 0.3 < time.monotonic() - began < 4
    assert len(standin.tmdb.asked) == 1


@pytest.mark.slow
def test_a_trickling_answer_ends_for_the_worker_too(film, standin, monkeypatch):
    monkeypatch.setattr(client, "WHOLE_SECONDS", 0.2)
    standin.tmdb.fault = "trickle"

    with pytest.raises(TemporaryError, match=r"TMDB did not answer in time\."):
        film()


def test_no_wait_between_two_tries_goes_past_the_deadline(standin, limiter, slept):
    standin.tmdb.fault, standin.tmdb.retry_after = "busy", "7"
    account = tmdb.Account(KEY, f"{standin.url}/3", "en-US", limiter, 4, time.monotonic() + 5)

    with pytest.raises(TemporaryError, match="Too many requests") as caught:
        tmdb.look_up(account, stand.FILM_IDS[0])
    assert (caught.value.retry_after, slept, len(standin.tmdb.asked)) == (7, [], 1)


def test_a_look_up_without_a_slot_before_its_deadline_does_not_ask(standin):
    limiter = limits.RateLimiter(1, ceiling=1)
    limiter.hold_back(60)
    account = tmdb.Account(KEY, f"{standin.url}/3", "en-US", limiter, 2, time.monotonic() + 5)
    began = time.monotonic()

    with pytest.raises(
        client.NotAskedError, match=r"TMDB is slow right now\. Try again in a minute\."
    ):
        tmdb.look_up(account, stand.FILM_IDS[0])
    assert time.monotonic() - began < 4
    assert standin.tmdb.asked == []


def test_a_provider_is_not_asked_when_there_is_no_time_for_its_answer(standin, limiter):
    """It would be taken for silent, and left alone for a minute."""
    standin.tmdb.latency = 0.6
    account = tmdb.Account(KEY, f"{standin.url}/3", "en-US", limiter, 2, time.monotonic() + 0.3)
    with pytest.raises(client.NotAskedError, match="TMDB is slow right now"):
        tmdb.look_up(account, stand.FILM_IDS[0])
    assert standin.tmdb.asked == []


class _Raw(BaseHTTPRequestHandler):
    """Sends bytes in chunks, as the real ones do; complete, or broken off after them."""

    protocol_version = "HTTP/1.1"
    content, is_complete, status, headers_sent = b"", True, 200, {}

    def do_GET(self):
        self.send_response(self.status)
        for name, value in self.headers_sent.items():
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        for start in range(0, len(self.content), 1000):
            part = self.content[start : start + 1000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.flush()
        if self.is_complete:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *args):
        pass


@pytest.fixture
def raw():
    """raw(content=…, …) -> the address of a provider that answers so."""
    handler = type("Bound", (_Raw,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()

    def answering(**values):
        for name, value in values.items():
            setattr(handler, name, value)
        return f"http://127.0.0.1:{server.server_port}"

    yield answering
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_compressed_answer_in_chunks_is_read(raw, limiter):
    url = raw(headers_sent={"Content-Encoding": "gzip"})
    account = tmdb.Account(KEY, url, "en-US", limiter, tries=1)
    body = {"title": "Çılgın Köprü", "overview": "All about it. " * 500}
    content = gzip.compress(json.dumps(body).encode())
    raw(content=content)
    assert tmdb.fetch(account, "/movie/5000") == body
    for sent, ends in ((content, False), (content[:20], False), (b"no gzip at all", True)):
        raw(content=sent, is_complete=ends)
        with pytest.raises(TemporaryError, match=r"TMDB (broke off|answered with 200, and not)"):
            tmdb.fetch(account, "/movie/5000")


def test_an_endless_answer_is_not_read_to_its_end(film, monkeypatch):
    monkeypatch.setattr(client, "BYTES_MAX", 10)

    with pytest.raises(TemporaryError, match="TMDB answered with more than"):
        film()


def test_many_look_ups_share_a_connection(film, standin, caplog):
    caplog.set_level(logging.DEBUG, "urllib3")
    for imdb_id in stand.FILM_IDS[:5]:
        film(imdb_id)
    assert len(standin.tmdb.asked) == 10
    assert caplog.text.count("Starting new HTTP connection") <= 1


@pytest.mark.parametrize(
    "url",
    [f"http://{'a' * 64}.example/3", "http:///3", "tmdb.org/3", "http://x:port/3", "http://a..b"],
)
def test_an_address_that_cannot_be_used_is_reported_by_the_name_of_its_variable(
    limiter, slept, url
):
    with pytest.raises(
        TemporaryError, match="TMDB cannot be asked: TMDB_BASE_URL is no usable address"
    ):
        tmdb.look_up(tmdb.Account(KEY, url, "en-US", limiter), stand.FILM_IDS[0])
    with pytest.raises(
        TemporaryError, match="OMDb cannot be asked: OMDB_BASE_URL is no usable address"
    ):
        omdb.look_up(omdb.Account(KEY, url, limiter), stand.FILM_IDS[0])


def test_a_key_that_a_provider_repeats_is_hidden(standin, limiter, ratings):
    standin.tmdb.fault = standin.omdb.fault = "echo"
    token = "eyJhbGciOi.J9"
    for key in (KEY, token):
        account = tmdb.Account(key, f"{standin.url}/3", "en-US", limiter)
        with pytest.raises(NotFoundError, match="TMDB answered with 404: Refused: ") as caught:
            tmdb.look_up(account, stand.FILM_IDS[0])
        assert key not in str(caught.value)
    with pytest.raises(NotFoundError, match="OMDb says: Refused") as caught:
        ratings()
    assert KEY not in str(caught.value)
    assert client.reason(f"You sent {KEY}!", KEY) == "You sent [hidden]!"
    assert client.reason("x" * 190 + KEY, KEY) == "x" * 190 + "[hidden]"


# Being asked too often.


def test_a_429_with_retry_after_is_honoured_by_all_threads(
    film, standin, slept, limiter, monkeypatch
):
    held = []
    monkeypatch.setattr(limiter, "hold_back", held.append)
    standin.tmdb.fault, standin.tmdb.times, standin.tmdb.retry_after = "busy", 1, "7"

    film()
    assert 7 < slept[0] < 8
    assert held == slept


def test_a_429_without_retry_after_backs_off(film, standin, slept, limiter, monkeypatch):
    held = []
    monkeypatch.setattr(limiter, "hold_back", held.append)
    standin.tmdb.fault, standin.tmdb.times = "busy", 2

    film()
    assert 1 <= slept[0] <= 1.5
    assert 2 <= slept[1] <= 3
    assert held == slept


def test_a_429_that_does_not_end_is_over_the_limit_and_not_a_failure_of_the_film(
    film, standin, limiter, monkeypatch
):
    monkeypatch.setattr(limiter, "hold_back", lambda _: None)
    standin.tmdb.fault = "busy"

    with pytest.raises(OverLimitError) as caught:
        film()
    assert (caught.value.retry_after, len(standin.tmdb.asked)) == (client.PATIENCE_SECONDS, 4)


@pytest.mark.parametrize("fault", ["busy"])
def test_a_huge_retry_after_is_not_waited_for(film, standin, slept, fault):
    standin.tmdb.fault, standin.tmdb.retry_after = fault, "86400"

    with pytest.raises(OverLimitError) as caught:
        film()
    assert (caught.value.retry_after, slept) == (86400, [])


@pytest.mark.parametrize("header", ["", "soon", "-5", "1e999"])
def test_a_retry_after_that_is_nonsense_is_ignored(raw, limiter, header):
    assert retry_after(raw, limiter, header) is None


def test_retry_after_may_be_a_date(raw, limiter, frozen_clock):
    later = clock.local(clock.now() + 90, UTC)
    assert retry_after(raw, limiter, format_datetime(later, usegmt=True)) == 90


def retry_after(raw, limiter, header):
    url = raw(status=503, content=b"{}", headers_sent={"Retry-After": header})
    with pytest.raises(TemporaryError) as caught:
        tmdb.fetch(tmdb.Account(KEY, url, "en-US", limiter, tries=1), "/movie/5000")
    return caught.value.retry_after


# OMDb.


def test_ratings_are_found(ratings):
    assert ratings()["imdbRating"] == "8.1"


def test_a_film_that_omdb_does_not_know_is_not_found_although_the_status_is_200(ratings, standin):
    with pytest.raises(NotFoundError, match="Error getting data"):
        ratings(stand.UNKNOWN_ID)
    assert len(standin.omdb.asked) == 1


def test_the_daily_limit_and_a_wrong_key_are_told_apart(ratings, standin):
    standin.omdb.fault = "over_quota"
    with pytest.raises(OverLimitError, match="Request limit reached") as caught:
        ratings()
    assert caught.value.retry_after is None

    standin.omdb.fault = "wrong_key"
    with pytest.raises(WrongKeyError, match="Invalid API key"):
        ratings()
    assert len(standin.omdb.asked) == 2


def test_invalid_json_from_omdb_means_no_ratings(ratings, standin):
    standin.omdb.fault = "invalid_json"

    with pytest.raises(NotFoundError, match="can’t be read"):
        ratings()
    assert len(standin.omdb.asked) == 1


@pytest.mark.parametrize(
    "content",
    [
        b'{"Response":"True","imdbRating":NaN}',
        b'{"Title":"\\ud800"}',
        b"[" * 100_000,
        b"[1]",
        b'{"Response":"Tr',
    ],
)
def test_an_answer_that_could_not_be_stored_counts_as_unreadable(raw, limiter, content):
    with pytest.raises(NotFoundError, match="can’t be read"):
        omdb.look_up(omdb.Account(KEY, raw(content=content), limiter), stand.FILM_IDS[0])


def test_control_characters_in_omdb_strings_are_accepted(raw, limiter):
    url = raw(content=b'{"Response":"True","Plot":"one\ntwo"}')
    body = omdb.look_up(omdb.Account(KEY, url, limiter), stand.FILM_IDS[0])
    assert body["Plot"] == "one\ntwo"


@pytest.mark.parametrize(
    "fault, reason", [("html", "a page"), ("error", "500"), ("truncated", "broke off")]
)
def test_an_outage_of_omdb_is_temporary(ratings, standin, fault, reason):
    standin.omdb.fault = fault

    with pytest.raises(TemporaryError, match=reason):
        ratings()
    assert len(standin.omdb.asked) == 4


# The rate limit.


@pytest.mark.slow
def test_many_threads_together_keep_under_the_ceiling_of_each_second(standin):
    limiter = limits.RateLimiter(400, ceiling=30)
    account = omdb.Account(KEY, f"{standin.url}/omdb/", limiter)
    ids = [*stand.FILM_IDS, *stand.FILM_IDS, *stand.FILM_IDS[:12]]
    threads = [threading.Thread(target=omdb.look_up, args=(account, imdb_id)) for imdb_id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(standin.omdb.asked) == limiter.started == 60
    assert standin.omdb.peak <= 30


@pytest.fixture
def waiting(monkeypatch):
    """A monotonic clock, waiting.now, that moves only while somebody waits."""
    waiting = SimpleNamespace(now=100.0)

    def sleep(seconds):
        waiting.now += seconds

    monkeypatch.setattr(time, "monotonic", lambda: waiting.now)
    monkeypatch.setattr(threading.Event, "wait", lambda _, seconds: sleep(seconds))
    return waiting


def test_requests_that_hang_count_until_they_are_answered(waiting):
    """Those that left long ago may all arrive at the provider in the same second."""
    limiter = limits.RateLimiter(10, ceiling=3)
    hanging = [limiter.slot() for _ in range(3)]
    for request in hanging:
        request.__enter__()
        waiting.now += 60

    with pytest.raises(limits.NoSlotError), limiter.slot(deadline=waiting.now + 5):
        pass
    answered_at = waiting.now
    hanging[0].__exit__(None, None, None)
    with limiter.slot():
        assert waiting.now - answered_at == pytest.approx(limits.WINDOW_SECONDS)


def test_slots_are_evenly_spaced_and_lateness_is_made_up_by_one_slot_at_most(waiting):
    limiter = limits.RateLimiter(10, ceiling=100)

    def starts(count):
        began, moments = waiting.now, []
        for _ in range(count):
            with limiter.slot():
                moments.append(waiting.now - began)
        return moments

    assert starts(3) == pytest.approx([0, 0, 0.1])
    waiting.now += 50
    assert starts(5) == pytest.approx([0, 0, 0.1, 0.2, 0.3])


def test_holding_back_stops_every_start(waiting):
    limiter = limits.RateLimiter(10, ceiling=100)
    limiter.hold_back(5)
    with limiter.slot():
        assert waiting.now == pytest.approx(105)
