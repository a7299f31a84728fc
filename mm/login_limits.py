"""Limits of log-in attempts, and of attempts at links that let somebody in.

Failures are counted for the network they come from and for the account. Checking a password is slow
by design, so few are checked at a time and few may wait for that: however many people log in, most
of the server's threads stay free for everybody else.
"""

import contextlib
import math
import re
import threading
from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address, ip_network

from limits import RateLimitItemPerDay, RateLimitItemPerMinute
from limits.strategies import MovingWindowRateLimiter

from mm import clock
from mm.errors import TooManyRequestsError, UnavailableError, UserError

FAILED = RateLimitItemPerMinute(10, 15)
# From all networks together. Higher, so that a stranger cannot lock an account with ten failures.
FAILED_ANYWHERE = RateLimitItemPerMinute(50, 15)
SUCCEEDED = RateLimitItemPerMinute(60, 15)
# Remembers what was guessed: the pictures of a page whose link was revoked are no further guesses.
GUESSED = RateLimitItemPerMinute(1, 15)
# Remembers a network from which somebody has logged in to the account.
KNOWN = RateLimitItemPerDay(1, 30)
# gunicorn.conf.py adds up what may hold its threads.
AT_ONCE = 2
WAITING = 4
WAIT_SECONDS = 2
UNKNOWN_NETWORK = "unknown"
WITH_PORT = re.compile(r"\[(?P<v6>[^\]]*)\](:\d+)?|(?P<v4>[\d.]+):\d+")

_admitted = threading.BoundedSemaphore(AT_ONCE + WAITING)
_checking = threading.BoundedSemaphore(AT_ONCE)
_lock = threading.Lock()
# Checks in progress, by the limits that they would count for.
_in_progress: Counter[tuple] = Counter()


@contextlib.contextmanager
def count_attempt(
    limiter: MovingWindowRateLimiter, account: str, network: str, what: str = "log-ins"
) -> Iterator[None]:
    """Check a password in this block; a UserError in it is a failure. `what` is attempted, in the
    words of the refusal.

    Raises TooManyRequestsError when, within 15 minutes, the network had 10 failures, the account 50
    (unless somebody has logged in to it from this network within 30 days) or 60 log-ins; and when
    too many people are logging in at the same moment.
    """
    limits: list[tuple] = [(FAILED, f"address {network}"), (SUCCEEDED, account)]
    if limiter.test(KNOWN, account, network):
        limits.append((FAILED_ANYWHERE, account))
    _require_attempts_left(limiter, limits, what)
    with _slot(), _check_in_progress(limiter, limits, what):
        try:
            yield
        except UnavailableError:
            # Nobody has looked at the password.
            raise
        except UserError:
            limiter.hit(FAILED, f"address {network}")
            limiter.hit(FAILED_ANYWHERE, account)
            raise
        limiter.hit(SUCCEEDED, account)
        limiter.hit(KNOWN, account, network)


def count_guess(limiter: MovingWindowRateLimiter, guess: str, network: str) -> None:
    """Count an address that leads nowhere; the same one again is no further guess. Raises
    TooManyRequestsError when the network had 10 of them within 15 minutes."""
    _require_attempts_left(limiter, [(FAILED, f"address {network}")], "attempts")
    if limiter.hit(GUESSED, guess, network):
        limiter.hit(FAILED, f"address {network}")


def network_of(address: str | None) -> str:
    """The IPv4 address, or the /64 of an IPv6 address, all of which usually belongs to one
    customer. A port that a proxy added is ignored; anything else is UNKNOWN_NETWORK."""
    text = (address or "").strip()
    if match := WITH_PORT.fullmatch(text):
        text = match["v6"] or match["v4"] or ""
    try:
        ip = ip_address(text.partition("%")[0])
    except ValueError:
        return UNKNOWN_NETWORK
    if not isinstance(ip, IPv6Address):
        return str(ip)
    # A server that listens on [::] sees IPv4 clients as ::ffff:1.2.3.4.
    return str(ip.ipv4_mapped or ip_network((int(ip), 64), strict=False))


@contextlib.contextmanager
def _slot() -> Iterator[None]:
    """One of AT_ONCE slots. Raises TooManyRequestsError when too many wait for one, or after
    WAIT_SECONDS."""
    if not _admitted.acquire(blocking=False):
        raise _busy()
    try:
        if not _checking.acquire(timeout=WAIT_SECONDS):
            raise _busy()
        try:
            yield
        finally:
            _checking.release()
    finally:
        _admitted.release()


@contextlib.contextmanager
def _check_in_progress(
    limiter: MovingWindowRateLimiter, limits: list[tuple], what: str
) -> Iterator[None]:
    """Counts as a failure until it ends, or parallel attempts would all be admitted before the
    first failure is counted."""
    with _lock:
        _require_attempts_left(limiter, limits, what)
        for item, key in limits:
            if not limiter.test(item, key, cost=1 + _in_progress[item, key]):
                raise _busy()
        _in_progress.update(limits)
    try:
        yield
    finally:
        with _lock:
            _in_progress.subtract(limits)
            for limit in limits:
                if not _in_progress[limit]:
                    del _in_progress[limit]


def _require_attempts_left(
    limiter: MovingWindowRateLimiter, limits: list[tuple], what: str
) -> None:
    for item, key in limits:
        if limiter.test(item, key):
            continue
        seconds = math.ceil(limiter.get_window_stats(item, key).reset_time - clock.now())
        seconds = min(max(1, seconds), item.get_expiry())
        minutes = math.ceil(seconds / clock.MINUTE)
        which = what if item is SUCCEEDED else f"failed {what}"
        message = f"Too many {which}. Try again in {minutes} minute{'s' * (minutes > 1)}."
        raise TooManyRequestsError(message, seconds)


def _busy() -> TooManyRequestsError:
    message = "Too many people are logging in right now. Try again in a few seconds."
    return TooManyRequestsError(message, WAIT_SECONDS)
