"""`flask --app mm collection …`: people, lists, views and settings of a user as small files."""

import shlex
from pathlib import Path
from typing import get_args

import click
from flask import Flask
from flask.cli import AppGroup

from mm import files, tasks
from mm.cli import command, dry_run_option, plain, user_option, yes_option
from mm.database import fold
from mm.errors import NotFoundError
from mm.models import User
from mm.schemas import CollectionKind, CollectionResult, PlannedItem
from mm.services import accounts
from mm.services.collections import envelope, exporting, importing, plans
from mm.services.collections.envelope import Received
from mm.services.collections.plans import CollectionPlan
from mm.spoken import plural

STANDARD_OUTPUT = "-"
# As the badges of the pages, in their order.
OUTCOMES = ("imported", "skipped", "overwritten", "renamed")
# Outcomes are printed in a column of this width.
WIDTH = 13
collection_group = AppGroup("collection", help="People, lists, views and settings as small files.")
kind_argument = click.argument("kind", type=click.Choice(get_args(CollectionKind)))
file_argument = click.argument("file", type=click.File("rb"))
existing_option = click.option(
    "--conflicts",
    type=click.Choice(plans.RESOLUTIONS),
    default="skip",
    show_default=True,
    help="What to do with items whose name you have already.",
)
resolve_option = click.option(
    "--resolve",
    "resolved",
    metavar="NAME=HOW",
    multiple=True,
    help="The same for one item, such as --resolve Eve=rename.",
)


def init_app(app: Flask) -> None:
    app.cli.add_command(collection_group)


@collection_group.command("export")
@kind_argument
@user_option
@click.option("--name", "names", multiple=True, help="Only this one; may be given several times.")
@click.option("--force", is_flag=True, help="Overwrite a file of that name without asking.")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@command
def export(
    kind: CollectionKind, name: str, names: tuple[str, ...], force: bool, file: Path | None
) -> None:
    """Write all of them, or those that --name names, to FILE (- for standard output), by default
    KIND-export-DATE.json in this folder."""
    user = accounts.find(name)
    ids = _ids(user, kind, names)
    made = exporting.export(user.id, kind, ids, export_all=not names)
    if str(file) == STANDARD_OUTPUT:
        with click.open_file(STANDARD_OUTPUT, "wb") as target:
            target.write(made.data)
        return
    path = file or Path(made.filename)
    if path.exists() and not force:
        click.confirm(f"{plain(str(path))} exists. Overwrite it?", abort=True)
    _write(path, made.data)
    click.echo(f"Exported {_counted(kind, made.item_count)} to {plain(str(path))}")


@collection_group.command("preview")
@kind_argument
@user_option
@existing_option
@resolve_option
@file_argument
@command
def preview(
    kind: CollectionKind, name: str, conflicts: str, resolved: tuple[str, ...], file
) -> None:
    """Say what an import of FILE (- for standard input) would do with each item, and change
    nothing."""
    user, received = accounts.find(name), _read(kind, file)
    _say_plan(_plan(user, received, _resolutions(resolved), conflicts))


@collection_group.command("import")
@kind_argument
@user_option
@existing_option
@resolve_option
@dry_run_option
@yes_option
@file_argument
@command
def import_file(
    kind: CollectionKind,
    name: str,
    conflicts: str,
    resolved: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    file,
) -> None:
    """Import the items of FILE (- for standard input): say what happens to each, ask, and do it. A
    safety backup of the library is made first; settings have none."""
    user, received, resolutions = accounts.find(name), _read(kind, file), _resolutions(resolved)
    plan = _plan(user, received, resolutions, conflicts)
    _say_plan(plan)
    if dry_run:
        return
    if plan.is_empty():
        click.echo("Nothing to import.")
        return
    if not yes:
        click.confirm(f"Import this for {user.username}?", abort=True)
    # Exactly what was printed, or nothing.
    agreed = plans.digest(plan)
    result = importing.at_once(user, received, resolutions, conflicts, _source(file), agreed)
    _say_result(user, result)
    tasks.start_enrichment()


def _ids(user: User, kind: CollectionKind, names: tuple[str, ...]) -> list[int | str]:
    """Two lists may have the same name: both are meant then. A setting is named as in its file."""
    of_name: dict[str, list[int | str]] = {}
    for choice in plans.KINDS[kind].choices(user.id) if names else ():
        known = str(choice.id) if kind == "settings" else choice.name
        of_name.setdefault(fold(known), []).append(choice.id)
    for name in names:
        if fold(name) not in of_name:
            raise NotFoundError(f"There is no {plans.KINDS[kind].NOUN} named {plain(name)}.")
    return [each for name in names for each in of_name[fold(name)]]


def _write(target: Path, data: bytes) -> None:
    try:
        # The folder is not made: its name may be a slip.
        target.parent.stat()
        files.replace(target, data)
    except OSError as error:
        raise click.FileError(str(target), error.strerror) from error


def _read(kind: CollectionKind, file) -> Received:
    return envelope.read(kind, file.read(envelope.FILE_MAX + 1))


def _source(file) -> str | None:
    """The file's name, for the history. Standard input has none."""
    name = getattr(file, "name", "<")
    return None if name.startswith("<") else name


def _resolutions(values: tuple[str, ...]) -> dict[str, str]:
    """By the item's name. The last "=" parts it from what to do: a name may have others."""
    parted = [value.rpartition("=") for value in values]
    for name, _, how in parted:
        if not name or how not in plans.RESOLUTIONS:
            raise click.UsageError("--resolve: NAME=skip, NAME=rename or NAME=overwrite.")
    return {name: how for name, _, how in parted}


def _plan(
    user: User, received: Received, resolutions: dict[str, str], conflicts: str
) -> CollectionPlan:
    plan = plans.plan(user.id, received, resolutions, conflicts)
    in_file = {fold(step.name) for step in plan.steps}
    for name in resolutions:
        if fold(name) not in in_file:
            raise click.UsageError(f"--resolve: the file has no {plain(name)}.")
    return plan


def _say_plan(plan: CollectionPlan) -> None:
    shown = plans.preview(plan)
    for item in shown.items:
        click.echo(plain(f"{item.outcome:{WIDTH}}{_named(item)}"))
        # Of the others, what an overwrite would change.
        before = "" if item.outcome == "overwritten" else "overwrite: "
        for line in (*(before + difference for difference in item.differences), *item.notes):
            click.echo(plain(" " * WIDTH + line))
    counted, known = _counted(plan.kind, shown.total_items), len(shown.conflicts)
    click.echo(f"{counted}: {shown.new_items:,} new, {known:,} with a name that you have already")
    _warn(shown.version_warning, shown.warnings)


def _named(item: PlannedItem) -> str:
    if item.error:
        return f"{item.name}: {item.error}"
    if item.new_name:
        return f"{item.name} → {item.new_name}"
    return item.name


def _say_result(user: User, result: CollectionResult) -> None:
    counts = [f"{getattr(result, outcome):,} {outcome}" for outcome in OUTCOMES]
    click.echo(", ".join([*counts, plural(result.errors, "error")]))
    if result.safety_backup:
        click.echo(f"As it was before: {result.safety_backup}")
        undo = ["backup", "undo", "--user", user.username, result.safety_backup]
        click.echo(f"To undo this: flask --app mm {shlex.join(undo)}")


def _warn(version_warning: str | None, warnings: list[str]) -> None:
    for warning in (*([version_warning] if version_warning else []), *warnings):
        click.echo(f"warning: {plain(warning)}", err=True)


def _counted(kind: CollectionKind, count: int) -> str:
    return plural(count, plans.KINDS[kind].NOUN, plans.KINDS[kind].NOUNS)
