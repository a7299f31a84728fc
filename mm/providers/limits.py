"""Rate limits of the providers: requests evenly spaced, and never more than a ceiling within any
one second."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator

# A little over the second in which providers count.
WINDOW_SECONDS = 1.002
POLL_SECONDS = 0.01


class NoSlotError(Exception):
    """There is no slot before the deadline."""


class RateLimiter:
    """`per_second` requests, evenly spaced. `ceiling`: the most that the provider may count within
    any one second.

    Spacing alone does not bound what the provider counts: after a stall on either side, requests
    that left one by one arrive together. The provider counts a request some time between its start
    and its answer, so a request starts only while fewer than `ceiling` others are in flight or were
    answered within the last second.
    """

    def __init__(self, per_second: float, ceiling: int):
        self.started = 0
        self._reported = 0
        self._gap = 1 / per_second
        self._ceiling = self._highest = ceiling
        self._turnstile = threading.Lock()
        self._state = threading.Lock()
        self._sent_away = threading.Event()
        self._last_slot = 0.0
        self._held_until = 0.0
        self._in_flight = 0
        self._answered: deque[float] = deque()

    @contextlib.contextmanager
    def slot(self, deadline: float | None = None) -> Iterator[None]:
        """Wait for the next slot; the request is in flight until the block ends.

        Raises NoSlotError when there is none before the deadline, which is of time.monotonic(), and
        when those who wait are sent away.
        """
        sent_away = self._sent_away
        # One thread waits for the slot and the others wait for that thread, so that not all of them
        # wake for each slot.
        timeout = -1 if deadline is None else max(0, deadline - time.monotonic())
        if not self._turnstile.acquire(timeout=timeout):
            raise NoSlotError
        try:
            while True:
                if sent_away.is_set():
                    raise NoSlotError
                if (delay := self._start()) <= 0:
                    break
                if deadline is not None and time.monotonic() + delay > deadline:
                    raise NoSlotError
                sent_away.wait(delay)
        finally:
            self._turnstile.release()
        try:
            yield
        finally:
            with self._state:
                self._in_flight -= 1
                self._answered.append(time.monotonic())

    def hold_back(self, seconds: float) -> None:
        """Start no request for so long, because the provider answered 429."""
        with self._state:
            self._held_until = max(self._held_until, time.monotonic() + seconds)

    def send_away(self) -> None:
        """End the wait of all who wait now, whose requests nobody needs any more."""
        self._sent_away.set()
        self._sent_away = threading.Event()

    def set_pace(self, per_second: float) -> None:
        """From the next slot on. The ceiling follows a slower pace."""
        with self._state:
            self._gap = 1 / per_second
            self._ceiling = min(self._highest, int(per_second) + 1)

    def newly_started(self) -> int:
        """Requests started since the last call, by any thread."""
        with self._state:
            reported, self._reported = self._reported, self.started
            return self.started - reported

    def _start(self) -> float:
        """Take a slot and return 0 or less, or return the seconds until the next attempt."""
        with self._state:
            now = time.monotonic()
            while self._answered and self._answered[0] <= now - WINDOW_SECONDS:
                self._answered.popleft()
            if self._in_flight + len(self._answered) < self._ceiling:
                free_at = now
            elif self._answered:
                free_at = self._answered[0] + WINDOW_SECONDS
            else:
                free_at = now + POLL_SECONDS
            delay = max(self._last_slot + self._gap, self._held_until, free_at) - now
            if delay <= 0:
                # Lateness is made up for by one slot at most, so that there are no bursts.
                self._last_slot = max(self._last_slot + self._gap, now - self._gap)
                self._in_flight += 1
                self.started += 1
            return delay


# TMDB allows about 40 requests a second and 20 connections to one address. The worker and the web
# server do not see each other's requests, so their two ceilings together must not pass 40.
CONNECTIONS = 20
tmdb_worker = RateLimiter(36, ceiling=37)
tmdb_interactive = RateLimiter(4, ceiling=3)
# OMDb states no rate, only a number of requests a day.
omdb_worker = RateLimiter(10, ceiling=12)
omdb_interactive = RateLimiter(4, ceiling=4)
omdb_test = RateLimiter(2, ceiling=2)
# The image host states no limit; the worker is gentle, because nobody waits for it.
posters_worker = RateLimiter(8, ceiling=8)
posters_interactive = RateLimiter(40, ceiling=40)
