"""`flask --app mm catalogue …`: fetch, show and remove IMDb's catalogue, without a worker."""

import sys
from pathlib import Path

import click
import humanize
import msgspec
from flask import Flask
from flask.cli import AppGroup

from mm import clock, config
from mm.cli import command, yes_option
from mm.schemas import CatalogueChoice
from mm.services import problems
from mm.services.catalogue import downloads, updates
from mm.services.catalogue.downloads import Progress
from mm.services.enrichment import offline_titles
from mm.spoken import plural

TERMS = (
    "IMDb's data is for personal and non-commercial use. Information courtesy of IMDb "
    "(https://www.imdb.com). Used with permission."
)
LOST = (
    "Without a TMDB key, you can then no longer search by title. Titles that it has already "
    "filled in stay."
)
catalogue_group = AppGroup(
    "catalogue", help="IMDb's films and series: search by title without a key."
)


def init_app(app: Flask) -> None:
    app.cli.add_command(catalogue_group)


@catalogue_group.command("update")
@click.option(
    "--from",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Use the files NAME.tsv.gz in this folder, and download nothing. They stay there, and the "
    "catalogue is not updated automatically.",
)
@click.option(
    "--akas/--no-akas", default=None, help="Also find films by titles in other languages."
)
@click.option("--directors/--no-directors", default=None, help="Show who directed a film.")
@click.option("--adult/--no-adult", default=None, help="Include titles that IMDb marks as adult.")
@yes_option
@command
def update(
    folder: Path | None,
    akas: bool | None,
    directors: bool | None,
    adult: bool | None,
    yes: bool,
) -> None:
    """Fetch the catalogue, or update it if IMDb has newer data. Options that are left out stay as
    they were chosen before."""
    before = updates.choice()
    wanted = _chosen(before, akas, directors, adult, is_renewed=folder is None)
    if before is None:
        _say_needs(wanted, folder)
        if not yes:
            click.confirm("Get the catalogue?", abort=True)
    if before is None or wanted != before:
        updates.choose(wanted.akas, wanted.directors, wanted.adult, wanted.is_renewed)
    made = updates.update(_in_terminal(), lambda: False, folder)
    if "unchanged" in made:
        click.echo("IMDb has nothing newer.")
    else:
        click.echo(f"{_counted(made['films'], made['series'])} can be searched now.")
    filled = offline_titles.renew()
    click.echo(f"{plural(filled, 'title')} in libraries filled in or updated.")
    problems.clear(f"job.{updates.KIND}")


@catalogue_group.command("status")
@command
def status() -> None:
    """Show the catalogue in use, and when it is next updated. The exit code is 1 if there is
    none."""
    found = updates.status()
    if found.about:
        size = humanize.naturalsize(found.size_bytes)
        click.echo(f"{_counted(found.about.films, found.about.series)}, {size}")
        made = "As of" if found.about.choice.is_renewed else "Made from files"
        click.echo(f"{made} {_moment(found.as_of)}")
        click.echo(f"With: {_options(found.about.choice)}")
    else:
        click.echo("There is no catalogue.")
    if found.is_busy or found.job:
        click.echo("It is being updated.")
    if found.problem:
        click.echo(f"The last update failed: {found.problem}", err=True)
    if found.next_at is not None:
        click.echo(f"Next update: {_moment(found.next_at)}")
    elif found.choice:
        click.echo("It is not updated automatically.")
    sys.exit(found.about is None)


@catalogue_group.command("remove")
@yes_option
@command
def remove(yes: bool) -> None:
    """Delete the catalogue and stop updating it."""
    if not yes:
        click.echo(LOST)
        click.confirm("Remove the catalogue?", abort=True)
    updates.remove()
    click.echo("Removed.")


def _chosen(
    before: CatalogueChoice | None,
    akas: bool | None,
    directors: bool | None,
    adult: bool | None,
    is_renewed: bool,
) -> CatalogueChoice:
    """What was chosen before, changed by the options given now. `is_renewed`: used if nothing was
    chosen before; an update that succeeds sets it again."""
    known = before or CatalogueChoice(clock.now(), is_renewed=is_renewed)
    options = {"akas": akas, "directors": directors, "adult": adult}
    given = {name: value for name, value in options.items() if value is not None}
    return msgspec.structs.replace(known, **given)


def _say_needs(wanted: CatalogueChoice, folder: Path | None) -> None:
    click.echo(TERMS)
    names = downloads.names(wanted)
    room = f"up to {humanize.naturalsize(downloads.disk_of(names))} of disk space"
    if folder:
        click.echo(f"This takes {room} and a few minutes.")
        click.echo("Made from files, it is not updated automatically.")
    else:
        size = humanize.naturalsize(downloads.size_of(names))
        click.echo(f"This downloads about {size}, and takes {room} and a few minutes.")
        click.echo("After that it is updated every week.")


def _in_terminal() -> Progress:
    """A line for each step; on a terminal it also shows how far the step is."""
    told = ""

    def show(what: str, done: int, total: int) -> None:
        nonlocal told
        doing = what.partition(":")[0]
        if sys.stdout.isatty():
            share = f" {100 * done // total} %" if total else ""
            end = "\n" if told and doing != told else ""
            click.echo(f"{end}\r{what}{share}\033[K", nl=False)
            if total and done >= total:
                click.echo()
                doing = ""
        elif doing != told:
            click.echo(doing)
        told = doing

    return show


def _counted(films: int, series: int) -> str:
    return f"{plural(films, 'film')} and {series:,} series"


def _options(choice: CatalogueChoice) -> str:
    named = {
        "titles in other languages": choice.akas,
        "directors": choice.directors,
        "adult titles": choice.adult,
    }
    return ", ".join(name for name, is_chosen in named.items() if is_chosen) or "no options"


def _moment(moment: float | None) -> str:
    return f"{clock.local(moment, config.current.zone):%Y-%m-%d %H:%M}" if moment else "never"
