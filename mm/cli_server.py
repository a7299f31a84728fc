"""`flask --app mm server-backup …`: archives of the whole server.

All but `create` work without a usable database: whoever needs a restore may have none.
"""

import contextlib
import functools
import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import click
from flask import Flask
from flask.cli import AppGroup
from peewee import DatabaseError, InterfaceError

from mm import clock, config, files, log
from mm.cli import command, yes_option
from mm.database import db
from mm.errors import ConflictError, NotFoundError, UserError
from mm.schemas import ArchiveContents, ArchiveEntry, RestoreState
from mm.services.server import (
    archive_files,
    archive_lock,
    archive_uploads,
    archives,
    databases,
    live_database,
    restore,
)
from mm.services.server.archive_format import unpacking
from mm.spoken import plural

REPLACES_ALL = "Restore will replace all data. Continue?"
NEXT_STEPS = (
    "Everybody has to log in again, with the password that they had in the archive. Where server "
    "and worker are stopped, start them: make run"
)
WHICH = "ARCHIVE is a file, or the timestamp of one in the list."
server_backup_group = AppGroup("server-backup", help="Archives of the whole server.")


def init_app(app: Flask) -> None:
    app.cli.add_command(server_backup_group)


def said(function: Callable) -> Callable:
    """Print a UserError as one line, with exit code 1. The database is not opened."""

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        try:
            with log.only_errors():
                return function(*args, **kwargs)
        except UserError as error:
            raise click.ClickException(error.message) from error

    return wrapped


@server_backup_group.command("create")
@click.option("--posters", is_flag=True, help="With the posters, which can be fetched again.")
@click.option("--no-settings", is_flag=True, help="Without settings.json.")
@click.option("--include-secrets", is_flag=True, help="With the keys for TMDB and OMDb.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also copy it to this file, which must not exist.",
)
@command
def create(posters: bool, no_settings: bool, include_secrets: bool, output: Path | None) -> None:
    """Make an archive and test it. It holds password hashes: keep it where only you can read it."""
    if output and output.exists():
        raise ConflictError(f"{output} is there already. Name another file.")
    if output and not output.absolute().parent.is_dir():
        raise NotFoundError(f"There is no folder {output.parent}.")
    made = archives.create(posters=posters, settings=not no_settings, secrets=include_secrets)
    click.echo(_line(made))
    if output:
        _copy(archive_files.path_of(made.timestamp), output)
        click.echo(f"Copied to {output}")


@server_backup_group.command("list")
@said
def list_archives() -> None:
    """The archives, newest first, each with what it holds and why it is kept."""
    databases.require_sqlite()
    for entry in _listing():
        click.echo(_line(entry))


@server_backup_group.command(
    "validate", help=f"Test-restore ARCHIVE. {WHICH} Exit code 1 when bad."
)
@click.argument("archive")
@said
def validate(archive: str) -> None:
    databases.require_sqlite()
    found = archive_uploads.validate(_path_of(archive))
    click.echo(found.message)
    if found.contents:
        click.echo(f"{found.backup_timestamp}  {_contents(found.contents)}")
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    sys.exit(not found.valid)


@server_backup_group.command(
    "restore",
    help=f"Make this server what ARCHIVE holds. {WHICH} What is here now is saved in an archive "
    "first, where it can still be read. Server and worker may go on running.",
)
@click.option("--no-database", is_flag=True, help="Leave accounts and libraries as they are.")
@click.option("--no-posters", is_flag=True, help="Leave the posters as they are.")
@click.option("--no-settings", is_flag=True, help="Leave the settings as they are.")
@yes_option
@click.argument("archive")
@said
def restore_archive(
    archive: str, no_database: bool, no_posters: bool, no_settings: bool, yes: bool
) -> None:
    databases.require_sqlite()
    path = _path_of(archive)
    contents = archive_files.contents_of(unpacking.metadata_of(path))
    click.echo(f"{path.name}  {_contents(contents)}")
    if not yes:
        click.confirm(REPLACES_ALL, abort=True)
    ended = restore.at_once(
        path,
        database=not no_database,
        posters=not no_posters,
        settings=not no_settings,
        progress=click.echo,
    )
    _say_ended(ended, has_database=contents.has_database and not no_database)


def _path_of(archive: str) -> Path:
    """Raises NotFoundError."""
    timestamp = archive_files.timestamp_of(archive) or archive
    if archive_files.is_there(timestamp):
        return archive_files.path_of(timestamp)
    path = Path(archive)
    if not path.is_file():
        raise NotFoundError(f"{archive} is no file, and no archive has this timestamp.")
    return path


def _listing() -> list[ArchiveEntry]:
    """Why each is kept is told by settings, so it is left out where the database is not usable."""
    if live_database.fault() is None:
        unusable = (DatabaseError, InterfaceError, sqlite3.Error)
        with contextlib.suppress(*unusable), db.connection_context():
            return archives.listing()
    with archive_lock.folder_in_reach():
        entries = archive_files.entries()
    return sorted(entries, key=lambda entry: entry.filename, reverse=True)


def _say_ended(ended: RestoreState, has_database: bool) -> None:
    for warning in ended.warnings:
        click.echo(f"warning: {warning}", err=True)
    if has_database:
        users, films = plural(ended.users, "account"), plural(ended.movies, "film")
        click.echo(f"Restored {users} and {films}.")
    else:
        click.echo("Restored.")
    if ended.safety:
        click.echo(f"As it was before: flask --app mm server-backup restore {ended.safety}")
    if ended.differences:
        click.echo("The old server had these settings, and this one lacks them or has others:")
        for difference in ended.differences:
            click.echo(f"  {difference.text}")
    if has_database:
        click.echo(NEXT_STEPS)


def _copy(source: Path, target: Path) -> None:
    """On the disk, whole and readable by its owner only, or not there at all."""
    folder = target.absolute().parent
    files.require_room(folder, source.stat().st_size)
    with files.draft(folder) as draft:
        files.copy(source, draft)
        os.replace(draft, target)
    files.sync_folder(folder)


def _line(entry: ArchiveEntry) -> str:
    made = clock.local(entry.created_at, config.current.zone) if entry.created_at else None
    parts = [
        entry.timestamp or entry.filename,
        f"{made:%Y-%m-%d %H:%M}" if made else None,
        entry.kind,
        f"{entry.size_bytes:,} bytes",
        _contents(entry.contents) if entry.contents else None,
        entry.state,
        entry.problem or entry.kept_because,
    ]
    return "  ".join(filter(None, parts))


def _contents(contents: ArchiveContents) -> str:
    parts = []
    if contents.has_database:
        parts += [plural(contents.users, "account"), plural(contents.movies, "film")]
    if contents.posters_count:
        parts.append(plural(contents.posters_count, "poster"))
    if contents.settings_count:
        parts.append("settings with keys" if contents.has_secrets else "settings")
    return ", ".join(parts)
