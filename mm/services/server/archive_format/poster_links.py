"""The posters as they are at one moment, for an archive."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from mm import config, disk, log
from mm.services.server.archive_format import member_names


def make(target: Path) -> None:
    """Links to all posters, copies where links fail: one that is deleted or fetched again meanwhile
    changes nothing. One that cannot be had costs that one."""
    source = config.current.posters_dir
    names: set[str] = set()
    for path in sorted(_regular_files(source)):
        name = f"{target.name}/{path.relative_to(source).as_posix()}"
        fault = member_names.fault_of(name)
        if fault is None and member_names.folded(name) in names:
            fault = "another differs only in case"
        if fault is None:
            try:
                _link(path, target.parent / name)
                names.add(member_names.folded(name))
            except FileNotFoundError:
                # Swept meanwhile.
                continue
            except OSError as error:
                if disk.is_full(error):
                    raise
                fault = type(error).__name__
        if fault:
            log.warning("archive.poster_left_out", file=ascii(path.name), reason=fault)


def _regular_files(folder: Path) -> Iterator[Path]:
    """Those of a folder and of its folders. No links, and nothing hidden, as drafts are."""
    try:
        with os.scandir(folder) as found:
            entries = [entry for entry in found if not entry.name.startswith(".")]
    except OSError as error:
        log.warning("archive.folder_left_out", folder=folder.name, reason=type(error).__name__)
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _regular_files(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.link(source, target, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target, follow_symlinks=False)
