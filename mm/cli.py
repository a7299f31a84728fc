"""`flask --app mm …`: the same services as the pages and the worker. A UserError is printed as one
line, with exit code 1."""

import functools
import json
import sys
from pathlib import Path

import click
from flask import Flask
from flask.cli import AppGroup

from mm import clock, config, disk, log, schema, starting, tasks
from mm.database import db, is_busy
from mm.errors import NotFoundError, UserError
from mm.models import Job, Movie, User
from mm.schemas import BackupEntry, Change, ImportResult, Mode
from mm.services import account_links, accounts, jobs, portable
from mm.services.backup import adding, backups, imports, policies, state, undoing
from mm.services.enrichment import queue as enrichment_queue
from mm.services.enrichment import runner as enrichment_runner

# So many characters of its digest name an invitation.
INVITE_ID = 8
NO_ADMINISTRATOR = "Nobody is an administrator yet. To become one: flask --app mm user promote {}"
user_group = AppGroup("user", help="Accounts.")
backup_group = AppGroup("backup", help="One user's backup files.")
user_option = click.option("--user", "name", required=True, help="Email address or username.")
conflicts_option = click.option(
    "--conflicts",
    type=click.Choice(["overwrite", "newest", "skip"]),
    default="overwrite",
    show_default=True,
    help="What a merge does with rows that are in both.",
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
MODES = click.Choice(["merge", "replace"])
MODE_HELP = (
    "merge: nothing is removed. replace: the library becomes what the file says, and the rest is "
    "removed."
)
rows_option = click.option("--rows", is_flag=True, help="With --dry-run: list every row.")
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Say what would be done, and change nothing."
)


def init_app(app: Flask) -> None:
    for command in (user_group, backup_group, export, import_file, enrich_command):
        app.cli.add_command(command)


def command(function):
    """Open the database for a command, and print a UserError as one line."""

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        is_opened = False
        try:
            schema.require_current()
            is_opened = True
            with db.connection_context(), log.only_errors():
                return function(*args, **kwargs)
        except (UserError, schema.SchemaError) as error:
            raise click.ClickException(str(error)) from error
        except starting.DATABASE_ERRORS as error:
            # What cannot be foreseen keeps its traceback.
            is_usable = not (disk.is_damaged(error) or disk.is_read_only(error) or is_busy(error))
            if is_opened and is_usable:
                raise
            raise click.ClickException(starting.sentence(error)) from error

    return wrapped


@user_group.command("create")
@click.argument("email")
@click.argument("username")
@click.option("--admin", is_flag=True, help="May manage the server.")
@click.password_option(envvar="MM_PASSWORD", help="Asked for, or from MM_PASSWORD.")
@command
def user_create(email: str, username: str, admin: bool, password: str) -> None:
    """Create an account with the four quick recommenders."""
    user = accounts.create(email, username, password, is_admin=admin)
    click.echo(f"Created the account {user.username} <{user.email}>.")
    if not accounts.has_administrator():
        click.echo(NO_ADMINISTRATOR.format(user.username), err=True)


@user_group.command("password")
@click.argument("name")
@click.password_option(envvar="MM_PASSWORD", help="Asked for, or from MM_PASSWORD.")
@command
def user_password(name: str, password: str) -> None:
    """Set a new password; every session and token of the account ends."""
    accounts.set_password(accounts.find(name), password)
    click.echo("The password is changed, and every session of the account has ended.")


@user_group.command("deactivate")
@click.argument("name")
@command
def user_deactivate(name: str) -> None:
    """Let nobody log in to the account; every session and token of it ends. Its library stays."""
    user = accounts.change(accounts.find(name), is_active=False)
    click.echo(f"{user.username} is deactivated, and every session of the account has ended.")


@user_group.command("activate")
@click.argument("name")
@command
def user_activate(name: str) -> None:
    """Let a deactivated account log in again."""
    user = accounts.change(accounts.find(name), is_active=True)
    click.echo(f"{user.username} is active.")


@user_group.command("promote")
@click.argument("name")
@command
def user_promote(name: str) -> None:
    """Make the account an administrator, who may manage the server."""
    user = accounts.change(accounts.find(name), is_admin=True)
    click.echo(f"{user.username} is an administrator.")


@user_group.command("demote")
@click.argument("name")
@command
def user_demote(name: str) -> None:
    """Make an administrator an ordinary account."""
    user = accounts.change(accounts.find(name), is_admin=False)
    click.echo(f"{user.username} is no longer an administrator.")


@user_group.command("delete")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@command
def user_delete(name: str, yes: bool) -> None:
    """Delete the account and its library for good. Its backups stay on the server."""
    user = accounts.find(name)
    if not yes:
        films = Movie.select().where(Movie.user == user.id, Movie.status != "deleted").count()
        library = "1 film" if films == 1 else f"{films:,} films"
        question = f"Delete the account {user.username} <{user.email}> and its library ({library})?"
        click.confirm(question, abort=True)
    folder = accounts.remove(user)
    click.echo(f"Deleted the account {user.username}.")
    if folder:
        click.echo(f"Its backups stay in {folder}")


@user_group.command("invite")
@click.option("--admin", is_flag=True, help="The new account may manage the server.")
@click.option("--note", default="", help="Whom it is for, for the list of invitations.")
@command
def user_invite(admin: bool, note: str) -> None:
    """Make a link that lets somebody create their own account, once, within 7 days."""
    _say_link("invite", account_links.invite(note, admin), "within 7 days")


@user_group.command("reset-link")
@click.argument("name")
@command
def user_reset_link(name: str) -> None:
    """Make a link that lets somebody set a new password, once, within 24 hours."""
    _say_link("reset", account_links.reset(accounts.find(name)), "within 24 hours")


@user_group.command("invites")
@command
def user_invites() -> None:
    """Every open invitation: its id, when it expires, and whom it is for."""
    for link in account_links.open_invites():
        until = clock.local(link.expires_at, config.current.zone)
        mark = "admin " * link.is_admin
        line = f"{link.digest[:INVITE_ID]}  until {until:%Y-%m-%d %H:%M} {mark}{link.note}"
        click.echo(plain(line.rstrip()))


@user_group.command("revoke")
@click.argument("invite_id")
@command
def user_revoke(invite_id: str) -> None:
    """Revoke an invitation, by its id from `user invites`."""
    digests = [link.digest for link in account_links.open_invites()]
    matching = [digest for digest in digests if digest.startswith(invite_id)]
    if len(matching) != 1 or len(invite_id) < INVITE_ID:
        raise NotFoundError(f"No open invitation has the id {invite_id!r}.")
    account_links.revoke(matching[0])
    click.echo("The invitation is revoked, and its link no longer works.")


@user_group.command("list")
@command
def user_list() -> None:
    """Every account: id, name, email address, what it may do, and its last good backup."""
    for user in User.select().order_by(User.username_key):
        marks = "admin " * user.is_admin + "inactive " * (not user.is_active)
        try:
            last_good = state.of(user).last_good
        except UserError as error:
            # An account whose backups cannot be read is still listed.
            backup = error.message
        else:
            backup = "no backup yet"
            if last_good:
                moment = clock.local(last_good.created_at or 0, config.current.zone)
                backup = f"last backup {moment:%Y-%m-%d %H:%M}"
        click.echo(f"{user.id}  {user.username} <{user.email}> {marks}{backup}")


@backup_group.command("create")
@user_option
@command
def backup_create(name: str) -> None:
    """Back the library up now."""
    click.echo(_line(backups.create(accounts.find(name))))


@backup_group.command("add")
@user_option
@click.argument("file", type=click.File("rb"))
@command
def backup_add(name: str, file) -> None:
    """Put FILE (- for standard input) among the backups, and test it; nothing of it is imported.
    Exit code 1 when its test fails."""
    user, data = accounts.find(name), file.read(portable.FILE_MAX + 1)
    entry = adding.add(user, data)
    click.echo(_line(entry))
    sys.exit(entry.state != "verified")


@backup_group.command("list")
@user_option
@command
def backup_list(name: str) -> None:
    """The backups, newest first, each with the reason why it is kept."""
    for entry in backups.listing(accounts.find(name).id):
        click.echo(_line(entry))


@backup_group.command("verify")
@user_option
@click.argument("filenames", nargs=-1)
@command
def backup_verify(name: str, filenames: tuple[str, ...]) -> None:
    """Test-restore the named backups, or all of them; exit code 1 when one is damaged."""
    user = accounts.find(name)
    ours = [entry.filename for entry in backups.listing(user.id) if entry.state != "foreign"]
    all_good = True
    for filename in filenames or ours:
        try:
            entry = backups.verify(user, filename)
        except UserError as error:
            # The others are checked all the same.
            click.echo(f"{filename}  {error.message}")
            all_good = False
        else:
            click.echo(_line(entry))
            all_good &= entry.state == "verified"
    sys.exit(not all_good)


@backup_group.command("restore")
@user_option
@click.option("--mode", type=MODES, default="replace", show_default=True, help=MODE_HELP)
@conflicts_option
@dry_run_option
@rows_option
@yes_option
@click.argument("filename")
@command
def backup_restore(
    name: str, filename: str, mode: Mode, conflicts, dry_run: bool, rows: bool, yes: bool
) -> None:
    """Go back to a backup, or with --mode merge only bring back what is missing. A safety backup is
    made first."""
    user, version = accounts.find(name), None
    if _is_dry(dry_run, rows):
        return _say_plan(imports.plan_backup(user, filename, conflicts, mode), rows)
    if mode == "replace" and not yes:
        plan = imports.plan_backup(user, filename, conflicts, mode)
        version = _confirmed(plan, f"Make the library of {user.username} what {filename} holds?")
    _say(imports.restore_backup(user, filename, conflicts, mode, version))
    tasks.start_enrichment()
    return None


@backup_group.command("undo")
@user_option
@dry_run_option
@rows_option
@yes_option
@click.argument("filename", required=False)
@command
def backup_undo(name: str, filename: str | None, dry_run: bool, rows: bool, yes: bool) -> None:
    """Take back the last import, restore or undo, or the one that FILENAME was made before. This
    can be undone, too."""
    user, version = accounts.find(name), None
    if _is_dry(dry_run, rows):
        return _say_plan(undoing.plan(user, filename), rows)
    if not yes:
        question = f"Make the library of {user.username} what it was before that?"
        version = _confirmed(undoing.plan(user, filename), question)
    _say(undoing.at_once(user, filename, version))
    tasks.start_enrichment()
    return None


@backup_group.command("prune")
@user_option
@dry_run_option
@command
def backup_prune(name: str, dry_run: bool) -> None:
    """Delete what retention no longer keeps, 3 files at most."""
    for decision in backups.prune(accounts.find(name), dry_run):
        click.echo(f"{'keep' if decision.keep else 'drop'}  {decision.filename}  {decision.reason}")


@backup_group.command("retention")
@user_option
@click.option("--daily", metavar="DAYS", help='Such as 14, "14 days" or "2 weeks"; 0 for none.')
@click.option("--weekly", metavar="WEEKS", help="Of so many weeks, the newest.")
@click.option("--monthly", metavar="MONTHS", help="Of so many months, the newest.")
@click.option("--yearly", metavar="YEARS", help="Of so many years, the newest.")
@dry_run_option
@command
def backup_retention(name: str, dry_run: bool, **typed: str | None) -> None:
    """Say how many scheduled backups are kept, or change it, and name those that are no longer."""
    user = accounts.find(name)
    counts = {kind: policies.parse(kind, text) for kind, text in typed.items() if text is not None}
    policy = policies.changed(policies.of(user), **counts)
    if not dry_run:
        policies.save(user, policy)
    click.echo(f"{'Would keep' if dry_run and counts else 'Keeps'} {policies.words(policy)}.")
    for entry in backups.no_longer_kept(user, policy):
        click.echo(f"drop  {_line(entry)}")


@backup_group.command("pin")
@user_option
@click.argument("filename")
@command
def backup_pin(name: str, filename: str) -> None:
    """Keep a backup until it is unpinned."""
    click.echo(_line(backups.pin(accounts.find(name), filename, True)))


@backup_group.command("unpin")
@user_option
@click.argument("filename")
@command
def backup_unpin(name: str, filename: str) -> None:
    """Leave a backup to retention again."""
    click.echo(_line(backups.pin(accounts.find(name), filename, False)))


@click.command()
@user_option
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), default="-")
@command
def export(name: str, file: Path) -> None:
    """Write the library to FILE, or to standard output."""
    data = portable.encode(portable.dump(accounts.find(name).id), indent=True)
    with click.open_file(str(file), "wb", atomic=str(file) != "-") as target:
        target.write(data)


@click.command("import")
@user_option
@click.option("--mode", type=MODES, default="merge", show_default=True, help=MODE_HELP)
@conflicts_option
@dry_run_option
@rows_option
@yes_option
@click.argument("file", type=click.File("rb"))
@command
def import_file(
    name: str, file, mode: Mode, conflicts, dry_run: bool, rows: bool, yes: bool
) -> None:
    """Take FILE (- for standard input) over into the library; a safety backup is made first."""
    user, data, version = accounts.find(name), file.read(portable.FILE_MAX + 1), None
    if _is_dry(dry_run, rows):
        return _say_plan(imports.plan_bytes(user, data, conflicts, mode), rows)
    if mode == "replace" and not yes:
        plan = imports.plan_bytes(user, data, conflicts, mode)
        version = _confirmed(plan, f"Make the library of {user.username} what this file holds?")
    _say(imports.import_bytes(user, data, conflicts, mode, file.name, version))
    tasks.start_enrichment()
    return None


@click.command("enrich")
@click.option(
    "--retry-failed", is_flag=True, help="Try what failed now, without waiting for its next turn."
)
@click.option("--refresh-all", is_flag=True, help="Look all titles up at TMDB again, new first.")
@command
def enrich_command(retry_failed: bool, refresh_all: bool) -> None:
    """Fill titles from TMDB and OMDb until nothing is due, in this terminal."""
    if retry_failed:
        click.echo(f"{enrichment_runner.retry_failed():,} titles are due again.")
    if refresh_all:
        click.echo(f"{enrichment_queue.renew_all():,} titles are looked up at TMDB again.")
    job = enrichment_runner.start_if_due()
    if job is None:
        click.echo("Nothing is due, or the worker is at it already.")
        return
    jobs.run(job.id, enrichment_runner.run)
    ended = Job.get_by_id(job.id)
    for count in sorted((ended.result or {}).items()):
        click.echo("{}: {:,}".format(*count))
    if ended.state != "done":
        raise click.ClickException(ended.message or "It goes on where it stopped at the next run.")


def _say_link(path: str, token: str, how_long: str) -> None:
    click.echo(f"http://{config.current.bind}/{path}/{token}")
    click.echo(
        f"It works once, {how_long}. Where people reach this server at another address, put that "
        f"in place of http://{config.current.bind}.",
        err=True,
    )


def _is_dry(dry_run: bool, rows: bool) -> bool:
    if rows and not dry_run:
        raise click.UsageError("--rows goes with --dry-run.")
    return dry_run


def _confirmed(plan: portable.Plan, question: str) -> int:
    """Show the plan and ask. Returns the library's version that was agreed to; ends the command
    where it was not."""
    _say_plan(plan, rows=False)
    click.confirm(question, abort=True)
    return plan.library_version


def _say(outcome: ImportResult) -> None:
    click.echo(
        f"Imported {outcome.movies_imported:,} films, {outcome.people_imported:,} people and "
        f"{outcome.lists_imported:,} lists."
    )
    if outcome.mode == "replace":
        removed = outcome.removed_counts
        click.echo(
            f"Removed {removed.movies:,} films, {removed.people:,} people and "
            f"{removed.lists:,} lists."
        )
    if outcome.safety_backup:
        click.echo(f"As it was before: {outcome.safety_backup}")
    for warning in outcome.warnings:
        click.echo(f"warning: {plain(warning)}", err=True)
    for error in outcome.errors:
        click.echo(f"left out: {plain(error)}", err=True)


def _say_plan(plan: portable.Plan, rows: bool) -> None:
    """`rows`: also list each row that would change; one at a time, for there may be millions."""
    for change in portable.changes(plan) if rows else ():
        key = _said_key(change)
        label = change.label if change.label != key else None
        fields = []
        for name, values in change.fields.items():
            old, new = (json.dumps(value, ensure_ascii=False) for value in values)
            fields.append(f"{name}: {old} -> {new}")
        parts = [change.kind, change.outcome, key, label, change.reason, ", ".join(fields)]
        click.echo(plain("  ".join(part for part in parts if part)))
    for kind, counts in portable.count(plan).items():
        numbers = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        click.echo(f"{kind}: {numbers or 'none'}")
    for warning in plan.warnings:
        click.echo(f"warning: {plain(warning)}", err=True)
    for problem in () if rows else plan.errors:
        click.echo(f"left out: {plain(f'{problem.path}: {problem.reason}')}", err=True)


def _said_key(change: Change) -> str | None:
    """The imdb_id of a film, the id of a list, the place in the file of what was rejected."""
    if change.outcome == "rejected":
        return change.path
    if change.kind in ("person", "view"):
        return None
    first, _, last = change.key.partition("/")
    return last if change.kind == "list_film" else first


def plain(text: str) -> str:
    """`text` from a file, which must not move the cursor or colour the terminal."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _line(entry: BackupEntry) -> str:
    films = f"{entry.counts.movies:,} films" if entry.counts else "? films"
    remark = entry.problem or entry.kept_because or ""
    parts = [entry.filename, f"{entry.size_bytes:,} bytes", films, entry.state, remark]
    return "  ".join(filter(None, parts))
