"""What providers answered, kept for a while, so that opening the same page twice asks once."""

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from typing import Any

from cachetools import TTLCache

from mm import clock


class Cache:
    """At most `size` values for `seconds` each; the least recently used goes first. Threads share
    it."""

    def __init__(self, size: int, seconds: float):
        self.size = size
        self.seconds = seconds
        # Looked up at each call, so that tests can move the clock.
        self._values: TTLCache = TTLCache(size, seconds, timer=lambda: clock.monotonic())
        self._lock = threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            return len(self._values)

    def get(self, key: Hashable) -> Any:
        """The value, or None."""
        with self._lock:
            return self._values.get(key)

    def put(self, key: Hashable, value: Any) -> None:
        with self._lock:
            self._values[key] = value

    def fetch(self, key: Hashable, load: Callable[[], Any]) -> Any:
        """The value, from `load` where it is not cached. A failure is not cached."""
        value = self.get(key)
        if value is None:
            value = load()
            self.put(key, value)
        return value

    def clear(self) -> None:
        with self._lock:
            self._values.clear()


class KeyedLock:
    """A lock for each key, forgotten when nobody holds it or waits for it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._users: Counter = Counter()

    @contextlib.contextmanager
    def hold(self, key: Hashable, timeout: float = -1) -> Iterator[None]:
        """Raises TimeoutError after `timeout` seconds of waiting; -1 waits for ever."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
            self._users[key] += 1
        try:
            if not lock.acquire(timeout=timeout):
                raise TimeoutError
            try:
                yield
            finally:
                lock.release()
        finally:
            with self._guard:
                self._users[key] -= 1
                if not self._users[key]:
                    del self._users[key], self._locks[key]
