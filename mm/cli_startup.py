"""`flask --app mm upgrade`, and the copies and exports that it makes."""

import sys
from pathlib import Path

import click
from flask import Flask

from mm import config, log, schema, starting
from mm.cli import command, yes_option
from mm.database import db
from mm.errors import NotFoundError, UserError
from mm.services import accounts, health
from mm.services.server import all_users, startup, startup_copies, startup_restore
from mm.services.server.first_run import code
from mm.spoken import plural

OPEN = "Open {} in a browser to set up Movie Manager."
BY_CODE = (
    "On another machine, or through a proxy, it asks for this code, which is also in {}:\n    {}"
)
BY_TOKEN = "It asks for the ADMIN_TOKEN of this server."


def init_app(app: Flask) -> None:
    for each in (upgrade, restore_startup, export_all):
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
