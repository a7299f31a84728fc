"""`flask --app mm adopt`: a household of the original Movie Manager moves in."""

import sys
from pathlib import Path

import click
from flask import Flask

from mm import clock, config, tasks
from mm.cli import command, dry_run_option, plain, yes_option
from mm.models import User
from mm.schemas.first_run import Found, TakenOver, TakenUser
from mm.services.server.first_run import adopt, code, original
from mm.spoken import plural

DONE = (
    "Everybody logs in with the password they had; phones log in again. Titles and posters are "
    "looked up anew."
)


def init_app(app: Flask) -> None:
    app.cli.add_command(adopt_command)


@click.command("adopt")
@click.option("--admin", help="Who becomes an administrator: a name or an email address of theirs.")
@click.option(
    "--backups",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="The original's backups; by default the backups folder beside the file, if there is one.",
)
@dry_run_option
@yes_option
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@command
def adopt_command(
    file: Path, admin: str | None, backups: Path | None, dry_run: bool, yes: bool
) -> None:
    """Import all accounts of the original Movie Manager from FILE, its app.db: with passwords,
    libraries and backups. FILE is not changed; stop the original first. Exit code 1 when somebody
    was left out."""
    beside = file.absolute().parent / "backups"
    backups = backups or (beside if beside.is_dir() else None)
    found = original.inspect(file, file.name, backups)
    _say_found(found, backups)
    if not dry_run and not yes:
        click.confirm("Import them?", abort=True)
        admin = admin or _asked_for(found)
    taken = adopt.adopt(file, admin=admin, backups=backups, dry_run=dry_run)
    _say(taken, dry_run)
    if not dry_run:
        tasks.start_enrichment()
        if taken.users:
            code.forget()
            click.echo(DONE)
    sys.exit(len(taken.users) < found.users_count)


def _say_found(found: Found, backups: Path | None) -> None:
    changed = clock.local(found.made_at, config.current.zone) if found.made_at else None
    last = f", last changed on {changed:%Y-%m-%d}" if changed else ""
    held = f"{plural(found.users_count, 'account')}, {plural(found.films, 'film')}"
    click.echo(f"{found.source}: {found.made_by}{last}: {held}")
    for user in found.users:
        films = plural(user.films, "film")
        click.echo(plain(f"  {user.username} <{user.email}>: {films}"))
    if backups:
        click.echo(f"{backups}: {plural(found.backups, 'backup')}")
    else:
        click.echo("There is no backups folder beside it; name one with --backups.")
    for warning in found.warnings:
        click.echo(plain(f"warning: {warning}"), err=True)


def _asked_for(found: Found) -> str | None:
    """Who becomes the first administrator, where there is none and a choice."""
    has_one = User.select().where(User.is_admin & User.is_active).exists()
    if has_one or len(found.users) < 2:
        return None
    names = click.Choice([user.username for user in found.users])
    return click.prompt("Which of them becomes an administrator?", type=names)


def _say(taken: TakenOver, dry_run: bool) -> None:
    click.echo(
        "Nothing was changed. Without --dry-run this would be imported:" if dry_run else "Imported:"
    )
    for user in taken.users:
        _say_user(user)
    for sentence in taken.left_out:
        click.echo(plain(f"left out: {sentence}"), err=True)


def _say_user(user: TakenUser) -> None:
    counts = [
        plural(user.films, "film"),
        plural(user.people, "person", "people"),
        plural(user.lists, "list"),
        plural(user.rankings, "ranked film"),
        plural(user.backups, "backup"),
    ]
    click.echo(plain(f"{user.username} <{user.email}>: {', '.join(counts)}"))
    for warning in user.warnings:
        click.echo(plain(f"  warning: {warning}"), err=True)
    for problem in user.problems:
        click.echo(plain(f"  {problem.path}: {problem.reason}"), err=True)
