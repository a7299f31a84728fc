"""How often, and how many at once, may try to log in.

Failures are counted by the network they come from and by the account they aim at. Checking a
password is slow by design, so only a few are checked at once and few may wait for that: however
many log in, most of the server's threads stay free for everybody else.
"""

import contextlib
import math
import re
import threading
from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address, ip_network

from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerMinute
from limits.strategies import MovingWindowRateLimiter

from mm import clock
from mm.errors import TooManyRequestsError, UserError

FAILED = RateLimitItemPerMinute(10, 15)
# Of all networks together: strangers could otherwise keep an account closed with ten tries.
FAILED_ANYWHERE = RateLimitItemPerMinute(50, 15)
SUCCEEDED = RateLimitItemPerMinute(60, 15)
# A network from which somebody logged in to the account.
KNOWN = RateLimitItemPerDay(1, 30)
AT_ONCE = 2
WAITING = 4
WAIT_SECONDS = 2
UNKNOWN_NETWORK = "unknown"
WITH_PORT = re.compile(r"\[(?P<v6>[^\]]*)\](:\d+)?|(?P<v4>[\d.]+):\d+")

_places = threading.BoundedSemaphore(AT_ONCE + WAITING)
_checking = threading.BoundedSemaphore(AT_ONCE)
_lock = threading.Lock()
# Checks that have not ended, by the limit that they would count for.
_unfinished: Counter[tuple] = Counter()


@contextlib.contextmanager
def counted(limiter: MovingWindowRateLimiter, account: str, network: str) -> Iterator[None]:
    """Check a password in this block; a UserError in it is a failure.

    Raises TooManyRequestsError after 10 failures of the network, after 50 at the account (unless somebody has
    logged in to it from this network within 30 days), after 60 log-ins of the account, all within
    15 minutes; and where too many are logging in at the same moment.
    """
    limits: list[tuple] = [(FAILED, f"address {network}"), (SUCCEEDED, account)]
    if limiter.test(KNOWN, account, network):
        limits.append((FAILED_ANYWHERE, account))
    _require_attempts_left(limiter, limits)
    with _place(), _unfinished_check(limiter, limits):
        try:
            yield
        except UserError:
            limiter.hit(FAILED, f"address {network}")
            limiter.hit(FAILED_ANYWHERE, account)
            raise
        limiter.hit(SUCCEEDED, account)
        limiter.hit(KNOWN, account, network)


def network_of(address: str | None) -> str:
    """The IPv4 address, or the /64 of an IPv6 address: whoever has one of its addresses has them
    all. A proxy may have added a port; what is no address at all is one network."""
    text = (address or "").strip()
    if found := WITH_PORT.fullmatch(text):
        text = found["v6"] or found["v4"] or ""
    try:
        ip = ip_address(text.partition("%")[0])
    except ValueError:
        return UNKNOWN_NETWORK
    if not isinstance(ip, IPv6Address):
        return str(ip)
    # A server that listens on [::] sees IPv4 clients as ::ffff:1.2.3.4.
    return str(ip.ipv4_mapped or ip_network((int(ip), 64), strict=False))


@contextlib.contextmanager
def _place() -> Iterator[None]:
    """One of the AT_ONCE; raises TooManyRequestsError where too many wait for one, or where it takes long."""
    if not _places.acquire(blocking=False):
        raise _busy()
    try:
        if not _checking.acquire(timeout=WAIT_SECONDS):
            raise _busy()
        try:
            yield
        finally:
            _checking.release()
    finally:
        _places.release()


@contextlib.contextmanager
def _unfinished_check(limiter: MovingWindowRateLimiter, limits: list[tuple]) -> Iterator[None]:
    """Count it as a failure until it has ended: else parallel ones would all be let in before the
    first failure is counted."""
    with _lock:
        _require_attempts_left(limiter, limits)
        for item, key in limits:
            if not limiter.test(item, key, cost=1 + _unfinished[item, key]):
                raise _busy()
        _unfinished.update(limits)
    try:
        yield
    finally:
        with _lock:
            _unfinished.subtract(limits)
            for limit in limits:
                if not _unfinished[limit]:
                    del _unfinished[limit]


def _require_attempts_left(limiter: MovingWindowRateLimiter, limits: list[tuple]) -> None:
    for item, key in limits:
        if not limiter.test(item, key):
            raise _too_many(limiter, item, key)


def _too_many(
    limiter: MovingWindowRateLimiter, item: RateLimitItem, key: str
) -> TooManyRequestsError:
    seconds = math.ceil(limiter.get_window_stats(item, key).reset_time - clock.now())
    seconds = min(max(1, seconds), item.get_expiry())
    minutes = math.ceil(seconds / 60)
    what = "log-ins" if item is SUCCEEDED else "failed log-ins"
    words = f"Too many {what}. Try again in {minutes} minute{'s' * (minutes > 1)}."
    return TooManyRequestsError(words, seconds)


def _busy() -> TooManyRequestsError:
    return TooManyRequestsError(
        "Too many people are logging in right now. Try again in a few seconds.", 2
    )
