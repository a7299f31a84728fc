"""Refuses commands that root gives for somebody else's data: the server could not read the files
that they write."""

import os
import pwd
import shlex
import sys

import click

from mm.config import Config

ROOT = 0


def require(config: Config) -> None:
    """Raises ClickException for a command that root gives while the database, or the data folder
    before there is one, belongs to somebody else. MM_ALLOW_ROOT says that the server itself runs as
    root, as in a container with a data folder of the host.

    Switching to the owner would be kinder, but the owner may not be able to read root's Python, or
    the file that root named on the command line.
    """
    is_command = click.get_current_context(silent=True) is not None
    if not is_command or os.geteuid() != ROOT or config.allow_root:
        return
    database = config.data_dir / "mm.db"
    path = database if database.exists() else config.data_dir
    if not path.exists() or path.stat().st_uid == ROOT:
        return
    owner = path.stat().st_uid
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"#{owner}"
    command = shlex.join(["sudo", "-u", name, *sys.argv])
    raise click.ClickException(
        f"You are root, but the data folder belongs to {name}, who could not read what this "
        "command writes. If the server itself runs as root, as in a container, set "
        f"MM_ALLOW_ROOT=1. Otherwise run the command as {name}: {command}"
    )
