"""Whether a provider takes a key, in the provider's own words."""

import contextlib
from typing import NamedTuple

from mm import config
from mm.database import db
from mm.errors import UnavailableError
from mm.providers import client, limits, omdb, tmdb
from mm.services.enrichment import pauses
from mm.services.enrichment.lookup_slots import LookUp, silent_providers

# The Shawshank Redemption, which OMDb is sure to have.
KNOWN_TITLE = "tt0111161"
LATER = "Try again in a minute."
USED_UP = "The key is right, but its calls for today are used up."


class KeyTest(NamedTuple):
    """`message` never has the key in it."""

    ok: bool
    message: str


def test(provider: str, key: str) -> KeyTest:
    """One request with this key, stored or not, in lookup_slots.DEADLINE_SECONDS at most. It is
    sent whatever the provider is paused for. OMDb's counts towards the key's daily limit.

    Where the stored key is taken again, a stop for a wrong key ends.
    """
    name = pauses.NAMES[provider]
    try:
        with LookUp() as look_up:
            look_up.acquire_slot(name)
            (_ask_tmdb if provider == "tmdb" else _ask_omdb)(key, look_up.deadline)
    except client.OverLimitError as error:
        is_used_up = provider == "omdb" and error.retry_after is None
        return KeyTest(is_used_up, f"{error} {USED_UP}" if is_used_up else str(error))
    except client.TemporaryError as error:
        return KeyTest(False, f"{error} {LATER}" if error.silent else str(error))
    except client.Error as error:
        return KeyTest(False, str(error))
    except UnavailableError as error:
        return KeyTest(False, error.message)
    if key == pauses.key(provider):
        _go_on_with(provider)
    return KeyTest(True, f"{name} accepted the key.")


def _ask_tmdb(key: str, deadline: float) -> None:
    account = tmdb.Account(
        key=key,
        base_url=pauses.url("tmdb"),
        language=config.current.tmdb_language,
        limiter=limits.tmdb_interactive,
        tries=1,
        deadline=deadline,
    )
    tmdb.fetch(account, "/configuration")


def _ask_omdb(key: str, deadline: float) -> None:
    account = omdb.Account(
        key=key,
        base_url=pauses.url("omdb"),
        limiter=limits.omdb_test,
        tries=1,
        deadline=deadline,
    )
    try:
        # A title that it lacks is an answer to the key, too.
        with contextlib.suppress(client.NotFoundError):
            omdb.look_up(account, KNOWN_TITLE)
    finally:
        if calls := limits.omdb_test.newly_started():
            with db.atomic():
                pauses.count_omdb_calls(calls, key)


def _go_on_with(provider: str) -> None:
    silent_providers.forget(pauses.account(provider))
    pause = pauses.in_force().get(provider)
    if pause and pause["paused_until"] is None:
        pauses.lift(provider)
