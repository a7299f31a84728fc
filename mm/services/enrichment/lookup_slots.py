"""Look-ups that somebody waits for: few at once, not for long, none while a provider is silent.

Who waits for TMDB holds one of the server's threads. Without these limits one user who types while
TMDB hangs would hold all of them, and nobody else could open a page. gunicorn.conf.py adds up what
may be held.
"""

import threading
import time
from collections import Counter
from dataclasses import dataclass

from mm import clock
from mm.errors import UnavailableError
from mm.providers import client

AT_ONCE = 4
# So many of one user, so that the others find a seat.
PER_USER = 2
# These wait for a seat, until their deadline; whoever comes after them is refused at once. A client
# that asks for six films at once finds room for all of them.
WAITING = 8
WAITING_PER_USER = 6
# For the whole of a look-up: waiting for the seat and the pace, every try and every request.
WHOLE_SECONDS = 8
# A provider that did not answer is asked again by one look-up after so long.
SILENT_SECONDS = 60


@dataclass(eq=False)
class _Place:
    """In the queue. `search`: what tells this search from others, None for any other look-up."""

    user_id: str
    search: object
    gives_way: bool = False


class Seats:
    """Who may ask now, by user; "" stands for nobody in particular, and has no limit of its own.
    Seats are given in the order in which they were asked for, except that users whose own seats
    are taken let the others go first."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._seated: Counter[str] = Counter()
        self._queue: list[_Place] = []

    def take(self, user_id: str, seconds: float, search: object = None) -> bool:
        """Whether there was a seat within so many seconds. `search`: anything that tells this
        search from others; one that still waits gives way to a newer one of the same user."""
        place = _Place(user_id, search)
        with self._change:
            self._overtake(place)
            if not self._may_queue(place):
                return False
            self._queue.append(place)
            try:
                self._change.wait_for(lambda: place.gives_way or self._is_next(place), seconds)
                if place.gives_way or not self._is_next(place):
                    return False
                self._seated[user_id] += 1
                return True
            finally:
                self._queue.remove(place)
                # There may be a seat for the next one too.
                self._change.notify_all()

    def leave(self, user_id: str) -> None:
        with self._change:
            self._seated -= Counter({user_id: 1})
            self._change.notify_all()

    def _overtake(self, place: _Place) -> None:
        if place.search is None:
            return
        for older in self._queue:
            if older.user_id == place.user_id and older.search not in (None, place.search):
                older.gives_way = True
        self._change.notify_all()

    def _may_queue(self, place: _Place) -> bool:
        """Where there is no seat for it: whether it may wait for one."""
        waiting = [other for other in self._queue if not other.gives_way]
        if self._has_room(place.user_id) and not any(map(self._could_sit, waiting)):
            return True
        mine = sum(other.user_id == place.user_id != "" for other in waiting)
        return len(waiting) < WAITING and mine < WAITING_PER_USER

    def _is_next(self, place: _Place) -> bool:
        return next(filter(self._could_sit, self._queue), None) is place

    def _could_sit(self, place: _Place) -> bool:
        return not place.gives_way and self._has_room(place.user_id)

    def _has_room(self, user_id: str) -> bool:
        mine = self._seated[user_id] if user_id else 0
        return self._seated.total() < AT_ONCE and mine < PER_USER


def _holds(until: float) -> bool:
    """One that ends later than it can was begun while the clock was ahead."""
    now = clock.now()
    return now < until <= now + SILENT_SECONDS


class Silence:
    """Which providers, by their addresses, did not answer lately, and the words for who asks."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._known: dict[str, tuple[float, str]] = {}

    def words(self, url: str) -> str | None:
        with self._guard:
            until, words = self._known.get(url, (0, ""))
            return words if _holds(until) else None

    def claim(self, url: str) -> str | None:
        """As `words`; where the silence is over, the caller alone may try, and the others go on
        being refused until `forget`."""
        with self._guard:
            if url not in self._known:
                return None
            until, words = self._known[url]
            if _holds(until):
                return words
            self._known[url] = (clock.now() + SILENT_SECONDS, words)
            return None

    def remember(self, url: str, words: str) -> None:
        with self._guard:
            self._known[url] = (clock.now() + SILENT_SECONDS, words)

    def forget(self, url: str) -> None:
        with self._guard:
            self._known.pop(url, None)

    def clear(self) -> None:
        with self._guard:
            self._known.clear()


seats = Seats()
silence = Silence()


class LookUp:
    """One look-up, of one or several requests.

    It takes a seat before the first of them and keeps it to the end; what comes from the cache
    needs none. `deadline`, of time.monotonic(), is for all of it.
    """

    def __init__(self, user_id: str = "", is_search: bool = False):
        self.deadline = time.monotonic() + WHOLE_SECONDS
        self._user_id = user_id
        self._search = self if is_search else None
        self._is_seated = False

    def __enter__(self) -> "LookUp":
        return self

    def __exit__(self, *_) -> None:
        if self._is_seated:
            seats.leave(self._user_id)

    def sit(self, provider: str) -> None:
        """Raises UnavailableError where there is no seat. `provider`: its name, for the message."""
        if not self._is_seated:
            seconds = max(0.0, self.left() - client.FAIR_SECONDS)
            if not seats.take(self._user_id, seconds, self._search):
                raise UnavailableError(client.slow(provider))
            self._is_seated = True

    def left(self) -> float:
        """Seconds."""
        return max(0.0, self.deadline - time.monotonic())
