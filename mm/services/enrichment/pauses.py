"""When a provider may not be asked: no key, a wrong key, its daily limit, an outage.

Kept in settings, so that a restart changes nothing: `provider.tmdb` and `provider.omdb` hold
{reason, since, paused_until (null: until the key is changed), key (a digest), reserve};
`omdb.calls` holds {day, count, key}.
"""

import hashlib
from datetime import UTC, datetime, timedelta

from mm import clock, config, log, models

NAMES = {"tmdb": "TMDB", "omdb": "OMDb"}
PROVIDERS = tuple(NAMES)
# OMDb counts by the day of UTC; five minutes for the difference of two clocks.
OMDB_RESUMES = timedelta(days=1, minutes=5)
# Calls a day that stay for look-ups of single films by hand.
OMDB_RESERVED = 50
# No answer of a provider stops it for longer than this.
LONGEST = 86400
# A pause made by so much in the future was made while the clock was wrong.
FUTURE = 600
WITHOUT_KEY = {
    "tmdb": "No TMDB key is set (TMDB_API_KEY). It adds titles, years, genres, cast and posters.",
    "omdb": (
        "No OMDb key is set (OMDB_API_KEY). It adds the ratings of IMDb, Rotten Tomatoes and "
        "Metacritic."
    ),
}


def key(provider: str) -> str:
    return {"tmdb": config.current.tmdb_api_key, "omdb": config.current.omdb_api_key}[provider]


def url(provider: str) -> str:
    return {"tmdb": config.current.tmdb_base_url, "omdb": config.current.omdb_base_url}[provider]


def askable() -> set[str]:
    """The providers that have a key and are not paused."""
    paused = in_force()
    return {provider for provider in PROVIDERS if key(provider) and provider not in paused}


def in_force() -> dict[str, dict]:
    """The setting of each provider that is paused now. A pause ends with its time, or with a new
    key."""
    pauses = {provider: models.setting(f"provider.{provider}") for provider in PROVIDERS}
    return {
        provider: pause for provider, pause in pauses.items() if pause and _holds(provider, pause)
    }


def refusal(provider: str) -> str | None:
    """Why somebody who waits cannot be served by this provider now. What only keeps OMDb's reserve
    from the worker is no reason: the reserve is for them."""
    pause = in_force().get(provider)
    if pause and not pause.get("reserve"):
        return _words(provider, pause)
    if provider == "omdb" and omdb_calls() >= config.current.omdb_daily_limit:
        limit = f"{config.current.omdb_daily_limit:,}"
        return f"OMDb's {limit} calls for today are used up. Try again tomorrow."
    return None


def stop(provider: str, reason: str) -> None:
    """Until the key is changed, or an administrator asks for another try."""
    _put(provider, reason, None)


def pause(provider: str, reason: str, seconds: float) -> None:
    _put(provider, reason, clock.now() + min(seconds, LONGEST))


def pause_until_next_day(provider: str, reason: str, reserve: bool = False) -> None:
    """Until 00:05 UTC. `reserve`: only the worker is to stop."""
    midnight = datetime.fromtimestamp(clock.now(), UTC).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    _put(provider, reason, (midnight + OMDB_RESUMES).timestamp(), reserve)


def lift_stops() -> None:
    """Let providers with a wrong key be asked once more; waits for a limit stay."""
    for provider, pause in in_force().items():
        if pause["paused_until"] is None:
            models.put_setting(f"provider.{provider}", None)
            log.info("provider.tried_again", provider=provider)


def omdb_calls() -> int:
    """Made with this key on this day of UTC."""
    calls = models.setting("omdb.calls") or {}
    return (
        calls["count"] if calls.get("day") == _day() and calls.get("key") == _digest("omdb") else 0
    )


def omdb_calls_left() -> int:
    """For the worker; what a page asks for has the reserve."""
    return config.current.omdb_daily_limit - OMDB_RESERVED - omdb_calls()


def count_omdb_calls(calls: int) -> None:
    """Call inside a transaction."""
    models.put_setting(
        "omdb.calls", {"day": _day(), "count": omdb_calls() + calls, "key": _digest("omdb")}
    )


def notices() -> list[str]:
    """For each provider that is not asked now: why, and until when, or what a key would add."""
    paused = in_force()
    texts = []
    for provider in PROVIDERS:
        if not key(provider):
            texts.append(WITHOUT_KEY[provider])
        elif provider in paused:
            texts.append(_words(provider, paused[provider]))
    return texts


def moment(seconds: float) -> str:
    """In the server's time zone, as in 2 March 2026, 00:05."""
    return f"{clock.local(seconds, config.current.zone):%-d %B %Y, %H:%M}"


def _words(provider: str, pause: dict) -> str:
    name, reason = NAMES[provider], pause["reason"].rstrip(".!")
    if pause["paused_until"] is None:
        since = moment(pause["since"])
        return f"{name} was stopped on {since}: {reason}. It continues once the key is changed."
    return f"{name} is paused until {moment(pause['paused_until'])}: {reason}."


def _holds(provider: str, pause: dict) -> bool:
    until, now = pause["paused_until"], clock.now()
    possible = pause["since"] <= now + FUTURE and (until or 0) <= now + LONGEST + 2 * FUTURE
    return possible and pause["key"] == _digest(provider) and (until is None or now < until)


def _put(provider: str, reason: str, until: float | None, reserve: bool = False) -> None:
    value = {
        "reason": reason,
        "since": clock.now(),
        "paused_until": until,
        "key": _digest(provider),
        "reserve": reserve,
    }
    models.put_setting(f"provider.{provider}", value)
    if until is None:
        log.warning("provider.stopped", provider=provider, reason=reason)
    else:
        resumes = clock.local(until, config.current.zone).isoformat(timespec="minutes")
        log.warning("provider.paused", provider=provider, until=resumes, reason=reason)


def _digest(provider: str) -> str:
    return hashlib.sha256(key(provider).encode()).hexdigest()[:16]


def _day() -> str:
    return f"{datetime.fromtimestamp(clock.now(), UTC):%Y-%m-%d}"
