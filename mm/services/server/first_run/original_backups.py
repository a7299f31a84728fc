"""The original's backup files: `backups/USER_ID/2026-02-12.json` and `2026-02-12_14.json`.

Here they become backups of kind uploaded, named by their time: only their owner deletes those,
while nightly ones would soon be too old to stay. They do not count against what a user may keep by
hand.
"""

import os
import re
from collections.abc import Iterable
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, NamedTuple

import mm
from mm import clock, config, files, log
from mm.errors import TooLargeError, UnavailableError, UserError
from mm.schemas import Sidecar
from mm.services import portable, validation
from mm.services.backup import backups, verification
from mm.services.backup import files as backup_files
from mm.services.backup.quotas import FROM_THE_ORIGINAL
from mm.services.portable import Incoming
from mm.spoken import plural

NAME = re.compile(r"(?P<day>\d{4}-\d{2}-\d{2})(_(?P<hour>[01]\d|2[0-3]))?\.json", re.ASCII)
WRITTEN_AT = re.compile(rb'"exported_at"\s*:\s*[0-9.eE+-]+')
# A file is made at most so long before or after the time in its name, whatever the time zone.
NEAR_SECONDS = 1.5 * clock.DAY
SHOWN_NAMES = 5
WAIT_SECONDS = 10


class Copied(NamedTuple):
    """`total`: how many backups of the original are here now. `said`: a sentence for each file that
    is not, or that is and has errors."""

    total: int
    said: list[str]


def count(folder: Path | None, key: Any) -> int:
    """Of the user with this id in the original's database; `folder` is that of all users."""
    names, _ = _names(folder, key)
    return len(names)


def strangers(folder: Path | None, keys: Iterable[Any]) -> list[str]:
    """A sentence for each folder in it that belongs to none of these users."""
    if folder is None or not folder.is_dir():
        return []
    known = set(keys)
    names = [path.name for path in _inside(folder) if path.is_dir()]
    return [
        f"The backups in {name} belong to nobody in this file and were left where they are."
        for name in names
        if name not in known
    ]


def copy(folder: Path | None, key: Any, user_id: str, dry_run: bool = False) -> Copied:
    """Put each file among the backups of `user_id`, tested. What is there already stays; killed
    half-way, a second call does the rest. `dry_run`: only test them. Raises NoRoomError, BusyError,
    and UnavailableError where a folder may not be read or written."""
    names, others = _names(folder, key)
    if others:
        shown = ", ".join(others[:SHOWN_NAMES]) + (", …" if len(others) > SHOWN_NAMES else "")
        left = "was left" if len(others) == 1 else "were left"
        count = plural(len(others), "file")
        others = [f"In its backups folder {count} with other names {left} out: {shown}."]
    if not names:
        return Copied(0, others)
    taken, said = 0, list(others)
    source = _folder(folder, key)
    target = backup_files.folder_of(user_id)
    with backups.holding(user_id, WAIT_SECONDS):
        if not dry_run:
            files.make_folder(target)
            backup_files.sweep(target)
        tested: dict[str, str | None] = {}
        present = {entry.sha256 for entry in backup_files.entries(user_id)}
        for name in names:
            try:
                data, incoming = _read(source / name)
            except (UserError, OSError) as error:
                why = error.message if isinstance(error, UserError) else error.strerror
                said.append(f"The backup {name} can’t be read and was left where it is: {why}")
                continue
            taken += 1
            sha256 = files.digest(data)
            if sha256 in present:
                continue
            present.add(sha256)
            sidecar = _described(name, data, incoming, tested)
            if sidecar.problem:
                why = f"a test restore failed: {sidecar.problem}"
                said.append(f"The backup {name} came along, but {why}.")
            if not dry_run:
                _keep(target, data, sidecar)
    return Copied(taken, said)


def _read(path: Path) -> tuple[bytes, Incoming]:
    if path.stat().st_size > portable.FILE_MAX:
        raise TooLargeError(validation.TOO_LARGE)
    data = path.read_bytes()
    return data, portable.read(data)


def _described(
    name: str, data: bytes, incoming: Incoming, tested: dict[str, str | None]
) -> Sidecar:
    """With what a test restore says of it. On many days nothing changes, and a test takes a while:
    `tested` has what came of each content, without the time when it was written."""
    counts = verification.counts_of(incoming)
    content = files.digest(WRITTEN_AT.sub(b"", data, count=1))
    if content not in tested:
        tested[content] = verification.problem_of(data, counts, trusted=False, exact=False)
    problem = tested[content]
    return Sidecar(
        kind="uploaded",
        created_at=_made_at(name, incoming.exported_at),
        size_bytes=len(data),
        sha256=files.digest(data),
        counts=counts,
        mm_version=mm.__version__,
        verified_at=None if problem else clock.now(),
        problem=problem,
        kept_because=FROM_THE_ORIGINAL,
    )


def _keep(target: Path, data: bytes, sidecar: Sidecar) -> None:
    files.require_room(target, len(data))
    with files.draft(target) as temporary:
        files.write(temporary, data)
        if files.sha256(temporary) != sidecar.sha256:
            raise UnavailableError("The disk did not return what was written. It may be failing.")
        named = target / backup_files.name_for(target, "uploaded", sidecar.created_at)
        backup_files.publish(temporary, named, sidecar)
    log.info("backup.adopted", user=target.name, file=named.name, verified=sidecar.problem is None)


def _folder(folder: Path | None, key: Any) -> Path:
    """The user's. What an id holds must not lead elsewhere."""
    is_name = isinstance(key, str) and key not in ("", ".", "..") and Path(key).name == key
    return folder / key if folder and is_name and "\0" not in key else Path(os.devnull)


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        why = f"The folder {folder.name} of the backups can’t be read: {error.strerror}."
        raise UnavailableError(why) from error


def _names(folder: Path | None, key: Any) -> tuple[list[str], list[str]]:
    """The names of backups, the oldest first, and those of all else. Links are not followed."""
    place = _folder(folder, key)
    if place.is_symlink() or not place.is_dir():
        return [], []
    found = _inside(place)
    names = [path.name for path in found if files.is_file(path) and _moment(path.name) is not None]
    return names, [path.name for path in found if path.name not in names]


def _moment(name: str) -> float | None:
    """The time in a name: noon of a day, or the hour."""
    match = NAME.fullmatch(name)
    if not match:
        return None
    try:
        day = date.fromisoformat(match["day"])
    except ValueError:
        return None
    hour = time(int(match["hour"] or 12))
    moment = datetime.combine(day, hour, config.current.zone).timestamp()
    return moment if moment >= 0 else None


def _made_at(name: str, exported_at: float) -> float:
    moment = _moment(name) or 0.0
    return exported_at if abs(exported_at - moment) <= NEAR_SECONDS else moment
