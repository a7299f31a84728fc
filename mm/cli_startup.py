"""`flask --app mm upgrade`, and the copies and exports that it makes."""

import sys
from pathlib import Path

import click
from flask import Flask

from mm import clock, config, log, schema, starting, tasks
from mm.cli import command, plain, yes_option
from mm.database import db
from mm.errors import ConflictError, NotFoundError, UserError
from mm.models import User
from mm.schemas.first_run import Found, TakenOver
from mm.services import accounts, health
from mm.services.server import all_users, startup, startup_copies, startup_restore
from mm.services.server.first_run import all_users_import, code
from mm.spoken import plural

OPEN = "Open {} in a browser to set up Movie Manager."
BY_CODE = (
    "On another machine, or through a proxy, it asks for this code, which is also in {}:\n    {}"
)
BY_TOKEN = "It asks for the ADMIN_TOKEN of this server."


def init_app(app: Flask) -> None:
    for each in (upgrade, restore_startup, export_all, import_all):
        app.cli.add_command(each)


@click.command()
def upgrade() -> None:
    """Copy the database, bring it to the current schema, and export all libraries: what is done
    before each start of server and worker."""
    with log.only_errors():
        try:
            startup.run(click.echo)
        except (UserError, schema.SchemaError) as error:
            raise click.ClickException(str(error)) from error
        except (OSError, *starting.DATABASE_ERRORS) as error:
            raise click.ClickException(starting.sentence(error)) from error
        with db.connection_context():
            if accounts.exist():
                code.forget()
            else:
                _say_how_to_set_up()
            if problem := health.lost_accounts():
                click.echo(problem, err=True)


def _say_how_to_set_up() -> None:
    current = config.current
    click.echo(f"\n{OPEN.format(startup.address())}")
    if current.admin_token:
        click.echo(BY_TOKEN)
    else:
        click.echo(BY_CODE.format(current.setup_code_file, code.ensure()))


@click.command("restore-startup")
@click.option("--list", "only_list", is_flag=True, help="Name the copies, newest first.")
@yes_option
@click.argument("filename", required=False)
def restore_startup(filename: str | None, only_list: bool, yes: bool) -> None:
    """Put back a copy of the database that was made at a start. Server and worker must be stopped.

    FILENAME is one of --list; by default the newest made before the last upgrade, or where there
    was none since, the newest. The copy keeps its schema: to go back to an older version, put its
    code in place before anything is started.
    """
    try:
        if only_list:
            for copy in startup_copies.listing():
                click.echo(copy.words())
            return
        copy = startup_restore.choose(filename)
        if not yes:
            click.echo(copy.words())
            click.echo("What was saved since then will not be in the database any more.")
            click.confirm("Put this copy in place of the database?", abort=True)
        with log.only_errors():
            done = startup_restore.restore(copy)
    except UserError as error:
        raise click.ClickException(error.message) from error
    except (OSError, *starting.DATABASE_ERRORS) as error:
        raise click.ClickException(starting.sentence(error)) from error
    if done.recovered:
        click.echo(done.recovered)
    if done.before:
        click.echo(f"As it was before: {done.before}")
    for name in done.aside:
        click.echo(f"The damaged database was kept: {name}")
    click.echo(f"The database is the copy {copy.name}. Everybody logs in again.")
    if version := startup_restore.version_of(copy):
        click.echo(
            f"It has schema {copy.schema}. Now put the code of the version back that made it "
            f"({version}), then start: this version would upgrade it again."
        )
    else:
        click.echo("Now start server and worker again.")


@click.command("export-all")
@click.option("--include-secrets", is_flag=True, help="With the keys for TMDB and OMDb.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@command
def export_all(file: Path | None, include_secrets: bool) -> None:
    """Write all accounts and libraries into FILE (- for standard output), by default
    backup_latest.json among the start-up copies. It holds password hashes."""
    if str(file) == "-":
        export = all_users.write_to(sys.stdout.buffer.write, include_secrets)
    else:
        made = (
            all_users.write(file, include_secrets)
            if file
            else all_users.write_latest(include_secrets)
        )
        if made is None:
            raise NotFoundError(all_users.NO_ACCOUNT)
        export = made
        held = f"{plural(export.users, 'user')}, {plural(export.films, 'film')}"
        click.echo(f"{export.filename}: {held}")
    if export.left_out:
        names = ", ".join(export.left_out)
        click.echo(f"left out: {names}. The log has the reason.", err=True)
        sys.exit(1)


@click.command("import-all")
@click.option("--no-settings", is_flag=True, help="Leave the settings of this server as they are.")
@yes_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@command
def import_all(file: Path, no_settings: bool, yes: bool) -> None:
    """Bring all accounts and libraries of FILE, which export-all wrote, to this server, which must
    have no account. Everybody logs in with the password they had."""
    if User.select().exists():
        raise ConflictError(all_users_import.HAS_ACCOUNTS)
    _say_found(all_users_import.inspect(file, file.name))
    if not yes:
        click.confirm("Bring these accounts and their libraries to this server?", abort=True)
    taken = all_users_import.take_over(file, settings=not no_settings)
    tasks.start_enrichment()
    _say_taken(taken)


def _say_found(found: Found) -> None:
    when = ""
    if found.made_at is not None:
        when = f", made {clock.local(found.made_at, config.current.zone):%Y-%m-%d %H:%M}"
    click.echo(f"{plain(found.source)}: {found.made_by}{when}")
    click.echo(f"It holds {plural(found.users_count, 'user')} and {plural(found.films, 'film')}:")
    for user in found.users:
        role = ", administrator" if user.is_admin else ""
        films = plural(user.films, "film")
        click.echo(plain(f"  {user.username} <{user.email}>, {films}{role}"))
    for warning in found.warnings:
        click.echo(f"warning: {plain(warning)}", err=True)


def _say_taken(taken: TakenOver) -> None:
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
