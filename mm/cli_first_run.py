"""`flask --app mm adopt` and `import-all`: a household comes from the original Movie Manager, or
from a server that was lost."""

import sys
from pathlib import Path

import click
from flask import Flask

from mm import clock, config, tasks
from mm.cli import command, dry_run_option, plain, yes_option
from mm.errors import ConflictError, InvalidError
from mm.schemas.first_run import Found, TakenOver, TakenUser
from mm.services import accounts
from mm.services.server.first_run import adopt, all_users_import, code, original
from mm.spoken import plural

DONE = (
    "Everybody logs in with the password they had; phones log in again. Titles and posters are "
    "looked up anew."
)
WHO = "The original has no administrator: say with --admin NAME who becomes one."


def init_app(app: Flask) -> None:
    for each in (adopt_command, import_all):
        app.cli.add_command(each)


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
    _say_found(found)
    if backups:
        click.echo(f"{backups}: {plural(found.backups, 'backup')}")
    else:
        click.echo("There is no backups folder beside it; name one with --backups.")
    names = [] if admin else _to_choose_from(found)
    if names and yes and not dry_run:
        raise InvalidError(WHO)
    if not dry_run and not yes:
        click.confirm("Import them?", abort=True)
        if names:
            question = "Which of them becomes an administrator?"
            admin = click.prompt(question, type=click.Choice(names))
    taken = adopt.adopt(file, admin=admin, backups=backups, dry_run=dry_run)
    _say_adopted(taken, dry_run)
    if names and dry_run:
        click.echo(WHO)
    if not dry_run:
        tasks.start_enrichment()
        if taken.users:
            code.forget()
            click.echo(DONE)
    sys.exit(len(taken.users) < found.users_count)


@click.command("import-all")
@click.option("--no-settings", is_flag=True, help="Leave the settings of this server as they are.")
@yes_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@command
def import_all(file: Path, no_settings: bool, yes: bool) -> None:
    """Bring all accounts and libraries of FILE, which export-all wrote, to this server, which must
    have no account. Everybody logs in with the password they had."""
    if accounts.exist():
        raise ConflictError(all_users_import.HAS_ACCOUNTS)
    _say_found(all_users_import.inspect(file, file.name))
    if not yes:
        click.confirm("Import these accounts and their libraries?", abort=True)
    taken = all_users_import.take_over(file, settings=not no_settings)
    code.forget()
    tasks.start_enrichment()
    _say_brought(taken)


def _say_found(found: Found) -> None:
    when = ""
    if found.made_at is not None:
        verb = "last changed" if found.kind == "original" else "made"
        when = f", {verb} {clock.local(found.made_at, config.current.zone):%Y-%m-%d %H:%M}"
    click.echo(f"{plain(found.source)}: {found.made_by}{when}")
    click.echo(f"It holds {plural(found.users_count, 'user')} and {plural(found.films, 'film')}:")
    for user in found.users:
        role = ", administrator" if user.is_admin else ""
        films = plural(user.films, "film")
        click.echo(plain(f"  {user.username} <{user.email}>, {films}{role}"))
    for warning in found.warnings:
        click.echo(f"warning: {plain(warning)}", err=True)


def _to_choose_from(found: Found) -> list[str]:
    """The names, where there is no administrator yet and a choice."""
    if accounts.has_administrator() or len(found.users) < 2:
        return []
    return [user.username for user in found.users]


def _say_adopted(taken: TakenOver, dry_run: bool) -> None:
    if dry_run:
        click.echo("With --dry-run nothing was changed.")
    if taken.users:
        click.echo("These would be imported:" if dry_run else "Imported:")
    else:
        click.echo("Nobody would be imported." if dry_run else "Nobody was imported.")
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


def _say_brought(taken: TakenOver) -> None:
    """Ends with exit code 1 where anything was left out."""
    films = sum(user.films for user in taken.users)
    click.echo(f"{plural(len(taken.users), 'user')} and {plural(films, 'film')} are here now.")
    warnings, left_out = list(taken.warnings), list(taken.left_out)
    for user in taken.users:
        warnings += (f"{user.username}: {text}" for text in user.warnings)
        left_out += (f"{user.username}: {row.path}: {row.reason}" for row in user.problems)
    for text in warnings:
        click.echo(f"warning: {plain(text)}", err=True)
    if taken.differences:
        click.echo("The old server had these settings, and this one lacks them or has others:")
        for difference in taken.differences:
            click.echo(f"  {difference.text}")
    for text in left_out:
        click.echo(f"left out: {plain(text)}", err=True)
    if left_out:
        sys.exit(1)
