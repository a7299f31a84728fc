"""When a provider may not be asked: no key, a wrong key, its daily limit, an outage.

Kept in settings, so that a restart changes nothing: `provider.tmdb` and `provider.omdb`
hold {reason, since, paused_until (null: until the key is changed), key (a digest),
reserve, limit (OMDb's daily one at that time)}; `omdb.calls` holds {day, counts}, the
counts by the key's digest.
"""

import functools
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mm import clock, config, log, models
from mm.dates import PLAIN, Style

NAMES = {"tmdb": "TMDB", "omdb": "OMDb"}
PROVIDERS = tuple(NAMES)
# After midnight UTC, when OMDb's day begins; five minutes for the difference of two clocks.
OMDB_RESUMES = timedelta(days=1, minutes=5)
# Calls a day that the worker leaves for look-ups that somebody waits for.
OMDB_RESERVED = 50
# No answer of a provider pauses it for longer than this.
LONGEST = 86400
# A pause that began this far in the future was made while the clock was wrong.
CLOCK_TOLERANCE = 600
ADDS = {
    "tmdb": "titles, years, genres, cast and posters",
    "omdb": "the ratings of IMDb, Rotten Tomatoes and Metacritic",
}
# Read by administrators, too.
WHERE = "Administrators can enter it on Server\N{NO-BREAK SPACE}›\N{NO-BREAK SPACE}Providers."
WITH_CATALOGUE = "Titles are from IMDb’s catalogue. A TMDB key would add posters, plots and cast."
WITHOUT_KEY = {
    provider: f"No {name} key is set. It adds {ADDS[provider]}. {WHERE}"
    for provider, name in NAMES.items()
}


def key(provider: str) -> str:
    return {"tmdb": config.current.tmdb_api_key, "omdb": config.current.omdb_api_key}[provider]


def url(provider: str) -> str:
    return {"tmdb": config.current.tmdb_base_url, "omdb": config.current.omdb_base_url}[provider]


def account(provider: str) -> tuple[str, str]:
    """Whom the provider is asked as: its address, and the key's digest."""
    return url(provider), digest(key(provider))


def askable() -> set[str]:
    """The providers that have a key and are not paused."""
    paused = in_force()
    return {provider for provider in PROVIDERS if key(provider) and provider not in paused}


def in_force() -> dict[str, dict]:
    """The setting of each provider that is paused now. A pause ends with its time, with a new
    key, or with a higher limit where only the reserve was left."""
    now = clock.now()
    paused = {}
    for provider in PROVIDERS:
        pause = models.setting(f"provider.{provider}")
        if not pause or pause["key"] != digest(key(provider)):
            continue
        limit = config.current.omdb_daily_limit
        if pause.get("reserve") and pause.get("limit", limit) < limit:
            continue
        until = pause["paused_until"]
        latest = now + LONGEST + 2 * CLOCK_TOLERANCE
        was_made_ahead = pause["since"] > now + CLOCK_TOLERANCE or (until or 0) > latest
        if not was_made_ahead and (until is None or now < until):
            paused[provider] = pause
    return paused


def refusal(provider: str) -> str | None:
    """Why a user cannot be served by this provider now. A pause that only keeps OMDb's
    reserve from the worker does not count: the reserve is for users."""
    pause = in_force().get(provider)
    if pause and not pause.get("reserve"):
        return _notice(provider, pause)
    limit = config.current.omdb_daily_limit
    if provider == "omdb" and omdb_calls() >= limit:
        return f"OMDb's {limit:,} calls for today are used up. Try again tomorrow."
    return None


def stop(provider: str, reason: str, used: str | None = None) -> None:
    """Until the key is changed, or an administrator asks for another try. `used`, here and below:
    the key that was asked with, where another one may be in force by now."""
    _put(provider, reason, None, used)


def pause(provider: str, reason: str, seconds: float, used: str | None = None) -> None:
    _put(provider, reason, clock.now() + min(seconds, LONGEST), used)


def pause_until_next_day(
    provider: str, reason: str, used: str | None = None, reserve: bool = False
) -> None:
    """Until 00:05 UTC. `reserve`: only the worker stops."""
    today = datetime.fromtimestamp(clock.now(), UTC)
    midnight = today.replace(hour=0, minute=0, second=0, microsecond=0)
    _put(provider, reason, (midnight + OMDB_RESUMES).timestamp(), used, reserve)


def lift_stops() -> None:
    """Let providers that refused their key be asked again; pauses for a limit stay."""
    for provider, pause in in_force().items():
        if pause["paused_until"] is None:
            lift(provider)


def lift(provider: str) -> None:
    """Let the provider be asked again, whatever it was paused for."""
    models.put_setting(f"provider.{provider}", None)
    log.info("provider.tried_again", provider=provider)


def omdb_calls() -> int:
    """Made with this key on this day of UTC."""
    return _omdb_counts().get(digest(key("omdb")), 0)


def omdb_calls_left() -> int:
    """For the worker, which leaves the reserve alone."""
    return config.current.omdb_daily_limit - OMDB_RESERVED - omdb_calls()


def count_omdb_calls(calls: int, used: str | None = None) -> None:
    """`used`: the key they were made with, where it is not the one in force. Call inside a
    transaction."""
    counts, name = _omdb_counts(), digest(key("omdb") if used is None else used)
    counts[name] = counts.get(name, 0) + calls
    models.put_setting("omdb.calls", {"day": _today(), "counts": counts})


def notices(style: Style = PLAIN) -> list[str]:
    """For each provider that is not asked now: why, and until when, or what a key would add.
    `style`: of the dates."""
    paused = in_force()
    texts = []
    for provider in PROVIDERS:
        if not key(provider):
            texts.append(WITHOUT_KEY[provider])
        elif provider in paused:
            texts.append(_notice(provider, paused[provider], style))
    return texts


def moment(seconds: float, style: Style = PLAIN) -> str:
    """In the server's time zone, as in 2 March 2026, 00:05."""
    local = clock.local(seconds, config.current.zone)
    return f"{style.long(local)}, {local:%H:%M}"


def _notice(provider: str, pause: dict, style: Style = PLAIN) -> str:
    name, reason = NAMES[provider], pause["reason"].rstrip(".!")
    if pause["paused_until"] is None:
        since = moment(pause["since"], style)
        return f"{name} was stopped on {since}: {reason}. It resumes when the key is changed."
    return f"{name} is paused until {moment(pause['paused_until'], style)}: {reason}."


def _put(
    provider: str, reason: str, until: float | None, used: str | None, reserve: bool = False
) -> None:
    value = {
        "reason": reason,
        "since": clock.now(),
        "paused_until": until,
        "key": digest(key(provider) if used is None else used),
        "reserve": reserve,
        "limit": config.current.omdb_daily_limit,
    }
    models.put_setting(f"provider.{provider}", value)
    if until is None:
        log.warning("provider.stopped", provider=provider, reason=reason)
    else:
        resumes = clock.local(until, config.current.zone).isoformat(timespec="minutes")
        log.warning("provider.paused", provider=provider, until=resumes, reason=reason)


def digest(key: str) -> str:
    """What is kept of a key in the database. Without the server's secret, which is not there,
    nobody can try out which key it is: OMDb's have eight characters."""
    return _digest(key, config.current.data_dir)


@functools.lru_cache(maxsize=16)
def _digest(key: str, data_dir: Path) -> str:
    """`data_dir`: where the secret lies, which is read once."""
    secret = config.current.secret_key().encode()
    return hmac.new(secret, f"provider key {key}".encode(), hashlib.sha256).hexdigest()[:16]


def _omdb_counts() -> dict[str, int]:
    calls = models.setting("omdb.calls") or {}
    return calls.get("counts", {}) if calls.get("day") == _today() else {}


def _today() -> str:
    return f"{datetime.fromtimestamp(clock.now(), UTC):%Y-%m-%d}"
