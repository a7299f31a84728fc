"""Limits for look-ups that somebody waits for: few at once, not for long, and none at
a provider that does not answer.

A look-up holds one of the server's threads. Without these limits a user who types in
the search field while TMDB hangs would hold all of them, and nobody else could open a
page. gunicorn.conf.py adds up what may be held.
"""

import threading
import time
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass

from mm import caches, clock
from mm.errors import UnavailableError
from mm.providers import client

AT_ONCE = 4
PER_USER = 2
# So many wait for a slot until their deadline; any more are refused at once. The older
# clients refresh six films at the same time, so one user may wait with six.
WAITING = 8
WAITING_PER_USER = 6
# For a whole look-up: waiting for a slot and for the pace, every try and every request.
DEADLINE_SECONDS = 8
# How long a provider that did not answer is left alone; then one look-up tries it again.
SILENT_SECONDS = 60


@dataclass(eq=False)
class _Waiter:
    """`search` identifies a search, and is None for any other look-up. `superseded`:
    the same user has started a newer search."""

    user_id: str
    search: object
    superseded: bool = False


class LookUpSlots:
    """At most AT_ONCE slots, and PER_USER for one user. User "" has no limit of its own.

    Slots are given first come, first served, but a user whose own slots are all
    taken lets the others go first.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken: Counter[str] = Counter()
        self._waiters: list[_Waiter] = []

    def acquire(self, user_id: str, seconds: float, search: object = None) -> bool:
        """Wait up to `seconds` for a slot; whether one was given. `search`: a value
        that identifies this search; a newer search of the same user ends its wait."""
        waiter = _Waiter(user_id, search)
        with self._changed:
            if search is not None:
                for older in self._waiters:
                    if older.user_id == user_id and older.search not in (None, search):
                        older.superseded = True
                self._changed.notify_all()
            if not self._may_wait(user_id):
                return False
            self._waiters.append(waiter)
            try:
                self._changed.wait_for(lambda: waiter.superseded or self._is_next(waiter), seconds)
                if waiter.superseded or not self._is_next(waiter):
                    return False
                self._taken[user_id] += 1
                return True
            finally:
                self._waiters.remove(waiter)
                # There may be a slot for the next one too.
                self._changed.notify_all()

    def release(self, user_id: str) -> None:
        with self._changed:
            self._taken -= Counter({user_id: 1})
            self._changed.notify_all()

    def _may_wait(self, user_id: str) -> bool:
        """True when a slot is free for this user at once, or not too many are waiting already."""
        waiting = [waiter for waiter in self._waiters if not waiter.superseded]
        if self._has_room(user_id) and not any(map(self._could_start, waiting)):
            return True
        by_same_user = sum(waiter.user_id == user_id != "" for waiter in waiting)
        return len(waiting) < WAITING and by_same_user < WAITING_PER_USER

    def _is_next(self, waiter: _Waiter) -> bool:
        return next(filter(self._could_start, self._waiters), None) is waiter

    def _could_start(self, waiter: _Waiter) -> bool:
        return not waiter.superseded and self._has_room(waiter.user_id)

    def _has_room(self, user_id: str) -> bool:
        taken_by_user = self._taken[user_id] if user_id else 0
        return self._taken.total() < AT_ONCE and taken_by_user < PER_USER


class SilentProviders:
    """Providers that did not answer lately, each with a message for users. `account`: the address
    and the key they were asked with, so that a new key is tried at once."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._silent: dict[Hashable, tuple[float, str]] = {}

    def message(self, account: Hashable) -> str | None:
        """The message while the provider is left alone, else None."""
        with self._guard:
            until, message = self._silent.get(account, (0, ""))
            return message if self._is_current(until) else None

    def claim_retry(self, account: Hashable) -> str | None:
        """As `message`; but once the provider has been left alone for long enough, None
        for one caller, who may try it. The others get the message until `forget`."""
        with self._guard:
            if account not in self._silent:
                return None
            until, message = self._silent[account]
            if self._is_current(until):
                return message
            self._silent[account] = (clock.now() + SILENT_SECONDS, message)
            return None

    def remember(self, account: Hashable, message: str) -> None:
        with self._guard:
            self._silent[account] = (clock.now() + SILENT_SECONDS, message)

    def forget(self, account: Hashable) -> None:
        with self._guard:
            self._silent.pop(account, None)

    def clear(self) -> None:
        with self._guard:
            self._silent.clear()

    @staticmethod
    def _is_current(until: float) -> bool:
        # One that ends later than it possibly can was remembered while the clock was ahead.
        now = clock.now()
        return now < until <= now + SILENT_SECONDS


slots = LookUpSlots()
silent_providers = SilentProviders()
caches.register(silent_providers.clear)


class LookUp:
    """One look-up of one or several requests, as a context manager.

    It takes a slot before its first request and keeps it to the end; answers from the
    cache need none. `deadline`, in time.monotonic() seconds, is for all of it.
    """

    def __init__(self, user_id: str = "", is_search: bool = False):
        self.deadline = time.monotonic() + DEADLINE_SECONDS
        self._user_id = user_id
        self._search = self if is_search else None
        self._has_slot = False

    def __enter__(self) -> "LookUp":
        return self

    def __exit__(self, *_) -> None:
        if self._has_slot:
            slots.release(self._user_id)

    def acquire_slot(self, provider: str) -> None:
        """Raises UnavailableError when none is free in time. `provider`: its name, for
        the message."""
        if not self._has_slot:
            seconds = max(0.0, self.seconds_left() - client.DEADLINE_MARGIN_SECONDS)
            if not slots.acquire(self._user_id, seconds, self._search):
                raise UnavailableError(client.slow(provider))
            self._has_slot = True

    def seconds_left(self) -> float:
        return max(0.0, self.deadline - time.monotonic())
