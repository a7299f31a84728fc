"""Seats for look-ups that somebody waits for: few at once, shared by the users."""

import threading
import time

import pytest

from mm import config
from mm.errors import UnavailableError
from mm.providers import client
from mm.services.enrichment import lookup_slots, lookups


@pytest.fixture
def table():
    return lookup_slots.Seats()


@pytest.fixture
def waiting(table):
    """waiting("alice", …): somebody who waits for a seat, in a thread; the answer is filled in."""
    threads = []

    def start(user_id, seconds=5, search=None):
        got = []
        take = lambda: got.append(table.take(user_id, seconds, search))  # noqa: E731
        before = set(table._queue)
        thread = threading.Thread(target=take)
        thread.start()
        threads.append(thread)
        while not got and not set(table._queue) - before:
            time.sleep(0.001)
        return got

    yield start
    while any(thread.is_alive() for thread in threads):
        for user_id in list(table._seated.elements()):
            table.leave(user_id)
        time.sleep(0.001)


def wait_for(got):
    deadline = time.monotonic() + 5
    while not got and time.monotonic() < deadline:
        time.sleep(0.001)
    return got


def test_one_user_leaves_seats_for_the_others(table):
    assert [table.take("alice", 0) for _ in range(3)] == [True, True, False]
    assert [table.take("bob", 0) for _ in range(3)] == [True, True, False]
    assert not table.take("carol", 0)


def test_who_waits_gets_the_seat_that_is_left(table, waiting):
    for _ in range(2):
        table.take("alice", 0)
    got = waiting("alice")
    table.leave("alice")
    assert wait_for(got) == [True]


def test_nobody_waits_for_longer_than_they_may(table):
    for _ in range(2):
        table.take("alice", 0)
    began = time.monotonic()
    assert not table.take("alice", 0.05)
    assert 0.04 < time.monotonic() - began < 4


def test_only_a_few_wait_and_the_others_are_refused_at_once(table, waiting):
    for user_id in ("alice", "alice", "bob", "bob"):
        table.take(user_id, 0)
    for _ in range(lookup_slots.WAITING_PER_USER):
        waiting("alice")
    began = time.monotonic()
    assert not table.take("alice", 5)
    for _ in range(lookup_slots.WAITING - lookup_slots.WAITING_PER_USER):
        waiting("bob")
    assert not table.take("carol", 5)
    assert time.monotonic() - began < 4


def test_a_seat_goes_to_whoever_waits_for_it_longest(table, waiting):
    for _ in range(2):
        table.take("alice", 0)
    for _ in range(4):
        first, second = waiting("alice"), waiting("alice")
        table.leave("alice")
        assert wait_for(first) == [True]
        assert not second
        table.leave("alice")
        assert wait_for(second) == [True]


def test_who_comes_later_does_not_pass_those_who_wait(table, waiting):
    for user_id in ("alice", "alice", "bob", "bob"):
        table.take(user_id, 0)
    first = waiting("carol")
    with table._change:
        # Carol's thread has not woken yet.
        table.leave("bob")
        assert not table._is_next(lookup_slots._Place("dora", None))
    assert wait_for(first) == [True]


def test_who_has_both_seats_holds_up_nobody_who_has_none(table, waiting):
    for _ in range(2):
        table.take("alice", 0)
    waiting("alice")
    assert table.take("bob", 0)


def test_a_typed_search_finds_room_however_many_it_overtakes(table, waiting):
    for _ in range(2):
        table.take("alice", 0)
    for _ in range(lookup_slots.WAITING_PER_USER - 1):
        waiting("alice")
    older = [waiting("alice", search=number) for number in range(5)]
    newest = waiting("alice", search="ab")
    assert [wait_for(got) for got in older] == [[False]] * 5
    assert not newest


def test_a_newer_search_takes_the_place_of_one_that_still_waits(table, waiting):
    for _ in range(2):
        table.take("alice", 0)
    first, details = waiting("alice", search="a"), waiting("alice")
    second = waiting("alice", search="ab")
    assert wait_for(first) == [False]
    assert not second
    table.leave("alice")
    table.leave("alice")
    assert (wait_for(second), wait_for(details)) == ([True], [True])


def test_the_search_of_another_user_takes_nobodys_place(table, waiting):
    for user_id in ("alice", "alice", "bob", "bob"):
        table.take(user_id, 0)
    first = waiting("alice", search="a")
    waiting("bob", search="b")
    table.leave("alice")
    assert wait_for(first) == [True]


class TestLookUps:
    @pytest.fixture
    def settings(self, tmp_path, standin):
        return config.Config(data_dir=tmp_path / "data", **standin.config())

    @pytest.fixture(autouse=True)
    def fresh(self, database, monkeypatch, table):
        monkeypatch.setattr(lookup_slots, "seats", table)
        lookups.cache.clear()
        lookup_slots.silence.clear()

    def test_a_look_up_without_a_seat_says_so_and_leaves_nothing_behind(
        self, table, standin, monkeypatch
    ):
        for _ in range(2):
            table.take("alice", 0)
        words = r"TMDB is slow right now\. Try again in a minute\."
        with monkeypatch.context() as no_time_to_wait:
            no_time_to_wait.setattr(lookup_slots, "WHOLE_SECONDS", client.FAIR_SECONDS)
            with pytest.raises(UnavailableError, match=words):
                lookups.search("umbrella", user_id="alice")
        assert standin.tmdb.asked == []
        table.leave("alice")
        assert lookups.search("umbrella", user_id="alice")
        assert table._seated == {"alice": 1}

    def test_a_seat_is_given_back_after_a_failure(self, table, standin, monkeypatch):
        monkeypatch.setattr("mm.providers.client.sleep", lambda _: None)
        standin.tmdb.fault = "error"
        with pytest.raises(Exception, match="500"):
            lookups.movie(5000, "alice")
        assert table._seated.total() == 0

    def test_what_is_in_the_cache_needs_no_seat(self, table):
        lookups.search("umbrella", user_id="alice")
        for _ in range(2):
            table.take("alice", 0)
        assert lookups.search("umbrella", user_id="alice")
