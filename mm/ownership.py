"""Whose data it is: what a command that root gives would write, the server could not read."""

import contextlib
import os
import pwd
import shlex
import sys

import click

from mm.config import Config

ROOT = 0


def require(config: Config) -> None:
    """Refuses a command that root gives where the database, or before there is one the data folder,
    belongs to somebody else. A server that is started as root may do as it likes, and
    MM_ALLOW_ROOT says that it is: as in a container whose data folder is one of the host.

    To become the owner instead would be kinder, but the owner may not be able to read root's
    Python, or the file that root names on the command line.
    """
    if click.get_current_context(silent=True) is None or os.geteuid() != ROOT:
        return
    if config.allow_root:
        return
    owner = _owner(config)
    if owner not in (None, ROOT):
        name = _name(owner)
        command = shlex.join(["sudo", "-u", name, *sys.argv])
        raise click.ClickException(
            f"You are root, and the data folder belongs to {name}, who could not read what is "
            f"written now. Where the server itself runs as root, as in a container, set "
            f"MM_ALLOW_ROOT=1. Else give the command as {name}: {command}"
        )


def _owner(config: Config) -> int | None:
    for path in (config.data_dir / "mm.db", config.data_dir):
        with contextlib.suppress(FileNotFoundError):
            return path.stat().st_uid
    return None


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"
