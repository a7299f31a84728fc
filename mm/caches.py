"""What this process keeps in memory beside the database, and forgets when the database is another
one: after a restore of the whole server, which any process may have done.

A restore raises the `user_version` of the database's file, which every new connection reads.
"""

import threading
from collections.abc import Callable, Hashable

_clears: list[Callable[[], None]] = []
_guard = threading.Lock()
_seen: Hashable = None


def register(clear: Callable[[], None]) -> None:
    """Call `clear` when another database is seen. It must be quick, safe from any thread and at any
    time, and not use the database."""
    _clears.append(clear)


def clear_if_restored(database: Hashable) -> None:
    """`database`: what names the present content, of a connection that was just opened."""
    global _seen
    if database == _seen:
        return
    with _guard:
        if database == _seen:
            return
        # A process that has seen none yet has kept nothing of another one.
        for clear in () if _seen is None else _clears:
            clear()
        _seen = database
