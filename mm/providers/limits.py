"""The pace of requests to a provider: evenly spaced, and never more than a ceiling within any one
second."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator

# Slightly over the second that providers count in, for the last microseconds of a comparison.
WINDOW = 1.002
LOOK_AGAIN = 0.01


class NoSlotError(Exception):
    """There is no slot before the deadline."""


class RateLimiter:
    """`per_second` requests, evenly spaced; `ceiling` is what the provider can count in a second at
    the very worst.

    Spacing alone does not bound what the provider counts: a stall on either side lets requests that
    left one by one arrive together. Every request is counted by the provider between its start and
    its answer, so a request starts only while fewer than `ceiling` others are under way or were
    answered within the last second.
    """

    def __init__(self, per_second: float, ceiling: int):
        self.started = 0
        self._told = 0
        self._gap = 1 / per_second
        self._ceiling = ceiling
        self._turnstile = threading.Lock()
        self._state = threading.Lock()
        self._slot = 0.0
        self._held_until = 0.0
        self._under_way = 0
        self._answered: deque[float] = deque()

    @contextlib.contextmanager
    def turn(self, deadline: float | None = None) -> Iterator[None]:
        """Wait for the next slot; the request is under way until the block ends.

        Raises NoSlotError when there is none before the deadline, which is one of time.monotonic().
        """
        # One thread waits for the slot and the others for that thread, so that not all of them wake
        # for each slot.
        left = -1 if deadline is None else max(0, deadline - time.monotonic())
        if not self._turnstile.acquire(timeout=left):
            raise NoSlotError
        try:
            while (delay := self._start()) > 0:
                if deadline is not None and time.monotonic() + delay > deadline:
                    raise NoSlotError
                time.sleep(delay)
        finally:
            self._turnstile.release()
        try:
            yield
        finally:
            self._end()

    def hold_back(self, seconds: float) -> None:
        """Start nothing for so long: the provider said that it is asked too often."""
        with self._state:
            self._held_until = max(self._held_until, time.monotonic() + seconds)

    def newly_started(self) -> int:
        """Requests since the last call; each is told once, whichever thread asks."""
        with self._state:
            told, self._told = self._told, self.started
            return self.started - told

    def _start(self) -> float:
        """Take a slot and return 0 or less, or return the seconds until the next look."""
        with self._state:
            now = time.monotonic()
            delay = max(self._slot + self._gap, self._held_until, self._room_at(now)) - now
            if delay <= 0:
                # Lateness is made up by one slot at most: no bursts.
                self._slot = max(self._slot + self._gap, now - self._gap)
                self._under_way += 1
                self.started += 1
            return delay

    def _room_at(self, now: float) -> float:
        while self._answered and self._answered[0] <= now - WINDOW:
            self._answered.popleft()
        if self._under_way + len(self._answered) < self._ceiling:
            return now
        return self._answered[0] + WINDOW if self._answered else now + LOOK_AGAIN

    def _end(self) -> None:
        with self._state:
            self._under_way -= 1
            self._answered.append(time.monotonic())


# TMDB allows about 40 a second and 20 connections to one address. Worker and pages are two
# processes that do not see each other's requests, so it is the two ceilings that together must not
# pass 40.
CONNECTIONS = 20
tmdb_worker = RateLimiter(36, ceiling=37)
tmdb_interactive = RateLimiter(4, ceiling=3)
# OMDb names no rate, only a number of calls a day.
omdb_worker = RateLimiter(10, ceiling=12)
omdb_interactive = RateLimiter(4, ceiling=4)
# The image host names no limit: the worker, which nobody waits for, goes gently.
posters_worker = RateLimiter(8, ceiling=8)
posters_interactive = RateLimiter(40, ceiling=40)
