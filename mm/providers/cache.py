"""What providers answered, kept for a while, so that opening the same page twice asks once."""

import contextlib
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Any

from mm import clock


class Cache:
    """At most `size` values for `seconds` each; the one asked for longest ago goes first. Threads
    share it."""

    def __init__(self, size: int, seconds: float):
        self.size = size
        self.seconds = seconds
        self._values: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()
        self._guard = threading.Lock()

    def __len__(self) -> int:
        with self._guard:
            self._drop_old()
            return len(self._values)

    def get(self, key: Hashable) -> Any:
        """The value, or None."""
        with self._guard:
            self._drop_old()
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][1]

    def put(self, key: Hashable, value: Any) -> None:
        with self._guard:
            self._values[key] = (clock.now() + self.seconds, value)
            self._values.move_to_end(key)
            while len(self._values) > self.size:
                self._values.popitem(last=False)

    def fetch(self, key: Hashable, ask: Callable[[], Any]) -> Any:
        """The value, from `ask` where it is not here. A failure is not kept."""
        value = self.get(key)
        if value is None:
            value = ask()
            self.put(key, value)
        return value

    def clear(self) -> None:
        with self._guard:
            self._values.clear()

    def _drop_old(self) -> None:
        """Also what was put in while the clock was ahead."""
        now = clock.now()
        kept = self._values.items()
        for key in [key for key, (until, _) in kept if not now < until <= now + self.seconds]:
            del self._values[key]


class Turns:
    """One thread at a time for each key."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._users: Counter = Counter()

    @contextlib.contextmanager
    def take(self, key: Hashable, seconds: float = -1) -> Iterator[None]:
        """Raises TimeoutError where the turn does not come within so many seconds; -1: never."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
            self._users[key] += 1
        try:
            if not lock.acquire(timeout=seconds):
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
