"""Slots for look-ups that somebody waits for: few at once, shared fairly among the users."""

import threading
import time

import pytest

from mm import config
from mm.errors import UnavailableError
from mm.providers import client
from mm.services.enrichment import lookup_slots, lookups


@pytest.fixture
def slots():
    return lookup_slots.LookUpSlots()


@pytest.fixture
def waiting(slots):
    """waiting("alice", …): a thread that waits for a slot; returns a list that gets its answer."""
    threads = []

    def start(user_id, seconds=5, search=None):
        answer = []
        take = lambda: answer.append(slots.acquire(user_id, seconds, search))  # noqa: E731
        before = set(slots._waiters)
        thread = threading.Thread(target=take)
        thread.start()
        threads.append(thread)
        while not answer and not set(slots._waiters) - before:
            time.sleep(0.001)
        return answer

    yield start
    while any(thread.is_alive() for thread in threads):
        for user_id in list(slots._taken.elements()):
            slots.release(user_id)
        time.sleep(0.001)


def wait_for(answer):
    deadline = time.monotonic() + 5
    while not answer and time.monotonic() < deadline:
        time.sleep(0.001)
    return answer


def test_one_user_cannot_take_all_slots(slots):
    assert [slots.acquire("alice", 0) for _ in range(3)] == [True, True, False]
    assert [slots.acquire("bob", 0) for _ in range(3)] == [True, True, False]
    assert not slots.acquire("carol", 0)


def test_a_waiting_look_up_gets_the_slot_that_is_released(slots, waiting):
    for _ in range(2):
        slots.acquire("alice", 0)
    answer = waiting("alice")
    slots.release("alice")
    assert wait_for(answer) == [True]


def test_the_wait_for_a_slot_ends_in_time(slots):
    for _ in range(2):
        slots.acquire("alice", 0)
    began = time.monotonic()
    assert not slots.acquire("alice", 0.05)
    assert 0.04 < time.monotonic() - began < 4


def test_only_a_few_may_wait_and_the_others_are_refused_at_once(slots, waiting):
    for user_id in ("alice", "alice", "bob", "bob"):
        slots.acquire(user_id, 0)
    for _ in range(lookup_slots.WAITING_PER_USER):
        waiting("alice")
    began = time.monotonic()
    assert not slots.acquire("alice", 5)
    for _ in range(lookup_slots.WAITING - lookup_slots.WAITING_PER_USER):
        waiting("bob")
    assert not slots.acquire("carol", 5)
    assert time.monotonic() - began < 4


def test_slots_are_given_first_come_first_served(slots, waiting):
    for _ in range(2):
        slots.acquire("alice", 0)
    for _ in range(4):
        first, second = waiting("alice"), waiting("alice")
        slots.release("alice")
        assert wait_for(first) == [True]
        assert not second
        slots.release("alice")
        assert wait_for(second) == [True]


def test_a_newcomer_does_not_overtake_a_waiting_look_up(slots, waiting):
    for user_id in ("alice", "alice", "bob", "bob"):
        slots.acquire(user_id, 0)
    first = waiting("carol")
    slots.release("bob")
    assert not slots.acquire("dora", 0)
    assert wait_for(first) == [True]


def test_a_user_whose_slots_are_taken_does_not_hold_up_other_users(slots, waiting):
    for _ in range(2):
        slots.acquire("alice", 0)
    waiting("alice")
    assert slots.acquire("bob", 0)


def test_a_newer_search_may_wait_although_its_predecessors_fill_the_queue(slots, waiting):
    for _ in range(2):
        slots.acquire("alice", 0)
    for _ in range(lookup_slots.WAITING_PER_USER - 1):
        waiting("alice")
    older = [waiting("alice", search=number) for number in range(5)]
    newest = waiting("alice", search="ab")
    assert [wait_for(answer) for answer in older] == [[False]] * 5
    assert not newest


def test_a_newer_search_ends_the_wait_of_an_older_one_of_the_same_user(slots, waiting):
    for _ in range(2):
        slots.acquire("alice", 0)
    first, details = waiting("alice", search="a"), waiting("alice")
    second = waiting("alice", search="ab")
    assert wait_for(first) == [False]
    assert not second
    slots.release("alice")
    slots.release("alice")
    assert (wait_for(second), wait_for(details)) == ([True], [True])


def test_a_search_does_not_end_the_wait_of_another_users_search(slots, waiting):
    for user_id in ("alice", "alice", "bob", "bob"):
        slots.acquire(user_id, 0)
    first = waiting("alice", search="a")
    waiting("bob", search="b")
    slots.release("alice")
    assert wait_for(first) == [True]


class TestLookUps:
    @pytest.fixture
    def settings(self, tmp_path, standin):
        return config.Config(data_dir=tmp_path / "data", **standin.config())

    @pytest.fixture(autouse=True)
    def fresh(self, database, monkeypatch, slots):
        monkeypatch.setattr(lookup_slots, "slots", slots)
        lookups.cache.clear()
        lookup_slots.silent_providers.clear()

    def test_a_look_up_without_a_slot_says_so_and_leaves_nothing_behind(
        self, slots, standin, monkeypatch
    ):
        for _ in range(2):
            slots.acquire("alice", 0)
        words = r"TMDB is slow right now\. Try again in a minute\."
        with monkeypatch.context() as no_time_to_wait:
            no_time_to_wait.setattr(
                lookup_slots, "DEADLINE_SECONDS", client.DEADLINE_MARGIN_SECONDS
            )
            with pytest.raises(UnavailableError, match=words):
                lookups.search("umbrella", user_id="alice")
        assert standin.tmdb.asked == []
        slots.release("alice")
        assert lookups.search("umbrella", user_id="alice")
        assert slots._taken == {"alice": 1}

    def test_a_slot_is_released_after_a_failure(self, slots, standin, monkeypatch):
        monkeypatch.setattr("mm.providers.client.sleep", lambda _: None)
        standin.tmdb.fault = "error"
        with pytest.raises(Exception, match="500"):
            lookups.movie(5000, "alice")
        assert slots._taken.total() == 0

    def test_an_answer_from_the_cache_needs_no_slot(self, slots):
        lookups.search("umbrella", user_id="alice")
        for _ in range(2):
            slots.acquire("alice", 0)
        assert lookups.search("umbrella", user_id="alice")
