"""The settings that administrators change in the pages: `settings.json` in the data folder, laid
over the defaults. What the environment sets goes before them.

{"version": 1, "settings": {VARIABLE: text}}, each text as it would stand in the environment. A file
and not a table: no copy of the database holds a key. Web, worker and commands look at the file
before each request and task, and in long work, so that a change is in force at once.
"""

import contextlib
import os
import threading
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from mm import config, files, locks, log
from mm.errors import UnavailableError

VERSION = 1
FILE_MAX = 2**20
WAIT_SECONDS = 10
# Where it is, the log says: health is for everybody.
UNREADABLE = (
    "The file settings.json in the data folder cannot be read, so only the settings of the "
    "environment are in force. Repair it, or delete it and enter the settings again."
)
_guard = threading.Lock()
_seen: Hashable = None
_fault: str | None = None


class _File(msgspec.Struct):
    version: int
    settings: dict[str, str]


def refresh() -> None:
    """Put in force what the file says now. Costs one look at its time stamp where nothing
    changed."""
    global _seen, _fault
    # Right after `config.use`, nothing is laid over the base.
    if _identity() == _seen and config.current is not config.base:
        return
    with _guard:
        # The file may be replaced once more while it is read.
        while (now := _identity()) != _seen or config.current is config.base:
            try:
                texts, _fault = read(), None
            except UnavailableError as error:
                texts, _fault = {}, error.message
                log.warning("settings.unreadable", file=str(config.base.settings_file))
            _protect(texts)
            usable = _usable(texts)
            values = {config.VARIABLES[name]: value for name, value in usable.items()}
            config.lay_over(values, usable)
            _seen = now


def fault() -> str | None:
    """Why the file cannot be read, in one sentence; None where it can, or is not there."""
    return _fault


def read(path: Path | None = None) -> dict[str, str]:
    """What the file says, by variable; that at `path` if it is another one. Raises UnavailableError
    where it cannot be read."""
    return msgspec.convert(_content(path or config.base.settings_file), _File).settings


def write(texts: Mapping[str, str | None]) -> None:
    """Store these settings beside the others, and put them in force; None takes one away. Raises
    UnavailableError where the file cannot be read, and NoRoomError; nothing is then changed."""
    _protect(texts)
    with _writing():
        found = _content(config.base.settings_file)
        stored = {**found["settings"], **texts}
        kept = {name: text for name, text in stored.items() if text is not None}
        _replace(msgspec.json.format(msgspec.json.encode({**found, "settings": kept})) + b"\n")
    refresh()


def keep_copy(target: Path) -> None:
    """Of the file as it is, readable or not, for `put_back`; an empty one where there is none."""
    with _writing():
        path = config.base.settings_file
        body = path.read_bytes() if path.exists() else b""
        with files.draft(target.parent) as draft:
            files.write(draft, body)
            os.replace(draft, target)
        files.sync_folder(target.parent)


def put_back(copy: Path) -> None:
    """Put in force what `keep_copy` has kept. Raises NoRoomError."""
    body = copy.read_bytes()
    with _writing():
        if body:
            _replace(body)
        else:
            config.base.settings_file.unlink(missing_ok=True)
    refresh()


def _content(path: Path) -> dict[str, Any]:
    """All of the file, of which this version may not know everything."""
    try:
        with path.open("rb") as file:
            body = file.read(FILE_MAX + 1)
        if len(body) > FILE_MAX:
            raise UnavailableError(UNREADABLE)
        found = msgspec.json.decode(body, type=dict[str, Any])
        msgspec.convert(found, _File)
    except FileNotFoundError:
        return {"version": VERSION, "settings": {}}
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnavailableError(UNREADABLE) from error
    return found


def _writing() -> contextlib.AbstractContextManager[None]:
    """Two who write wait for each other, so that both their changes are kept."""
    return locks.wait_for("settings", WAIT_SECONDS)


def _replace(body: bytes) -> None:
    path = config.base.settings_file
    with files.draft(path.parent) as draft:
        files.write(draft, body)
        os.replace(draft, path)
        files.sync_folder(path.parent)


def _protect(texts: Mapping[str, str | None]) -> None:
    """Before anything could write a key into the log."""
    log.protect(*(text for name in config.KEYS if (text := texts.get(name))))


def _usable(texts: Mapping[str, str]) -> dict[str, object]:
    """The values in force, by variable. One that cannot be used costs only itself."""
    usable = {}
    for name, text in texts.items():
        if name not in config.CHANGEABLE or name in config.base.given:
            continue
        try:
            parsed = config.from_environ({name: text})
        except (config.ConfigError, ValueError, OSError):
            log.warning("settings.left_out", names=name)
            continue
        usable[name] = getattr(parsed, config.VARIABLES[name])
    return usable


def _identity() -> Hashable:
    """Of the file as it is now."""
    path: Path = config.base.settings_file
    try:
        found = path.stat()
    except OSError as error:
        return (path, error.errno)
    return (path, found.st_ino, found.st_mtime_ns, found.st_size)
