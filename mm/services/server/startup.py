"""What `flask --app mm upgrade` does before web and worker start: no migration begins without a way
back."""

from collections.abc import Callable, Iterator
from pathlib import Path

from mm import config, disk, log, schema, starting
from mm.clock import MINUTE
from mm.database import db
from mm.errors import UnavailableError
from mm.locks import BusyError, wait_for
from mm.models import User
from mm.services import problems
from mm.services.backup import files as backup_files
from mm.services.server import all_users, archive_files, databases, restore, startup_copies
from mm.services.server.first_run import offers as offers_on_disk
from mm.services.server.startup_copies import StartupCopy
from mm.spoken import plural

Say = Callable[[str], None]
WAIT_SECONDS = 10 * MINUTE
STILL_RUNNING = (
    "Another start has been upgrading the database for 10 minutes. Wait until it has ended, or end "
    "it, then start again."
)
NO_WAY_BACK = (
    "The database needs an upgrade ({}), and no copy of it can be made first: {}. Nothing was "
    "changed. {}"
)
MAKE_ROOM = "Make room, or name a folder on another disk in MM_BACKUP_DIR, then start again."
PUT_BACK = (
    "Stop server and worker, and put the last good copy back: flask --app mm restore-startup. The "
    "damaged file is set aside, not deleted."
)
# What listens on all addresses is found on this one.
LOOPBACK = "127.0.0.1"
EVERYWHERE = ("", "0.0.0.0", "[::]")  # noqa: S104
START_AGAIN = "Start again when that is mended."
COPY_PROBLEM = "startup.copy"
EXPORT_PROBLEM = "startup.export"


def run(say: Say) -> None:
    """Tells each step in one line. Raises UserError and SchemaError where the server must not be
    started, and what the database raises where it cannot be opened."""
    say(f"Data folder: {config.current.data_dir}")
    try:
        with wait_for("upgrade", WAIT_SECONDS):
            if sentence := restore.recover():
                say(sentence)
            had_database = not databases.is_sqlite() or databases.live_path().exists()
            with db.connection_context():
                schema.refuse_newer()
                copy = _copy_before(schema.pending(), say)
                _migrate(copy, say)
                _export(say)
                say("Ready.")
                for line in offers(had_database):
                    say(line)
    except BusyError as error:
        raise UnavailableError(STILL_RUNNING) from error


def offers(had_database: bool) -> list[str]:
    """Where there is no account: the newest of each kind of backup, and what brings it back."""
    found = [] if User.select().exists() else list(_backups())
    if not found:
        return []
    what = "The database holds no account" if had_database else "There was no database"
    return [
        "",
        f"{what}, but there are backups. Nothing in their folder was changed.",
        f"Open {address()} in a browser: they are offered there. By hand:",
        *found,
    ]


def address() -> str:
    """Where a browser on this machine finds the server."""
    host, _, port = config.current.bind.rpartition(":")
    if not port.isdecimal():
        return "the address of the server"
    return f"http://{LOOPBACK if host in EVERYWHERE else host}:{port}"


def _copy_before(pending: list[str], say: Say) -> StartupCopy | None:
    """The newest copy. Raises UnavailableError where a migration is pending and none can be
    made."""
    if not databases.is_sqlite():
        say("Copy of the database: none with PostgreSQL, use pg_dump")
        return None
    if not _has_accounts():
        say("Copy of the database: not needed, there is no account yet")
        return None
    if not pending and not startup_copies.is_due():
        _say_not_needed(last := startup_copies.newest(), say)
        return last
    with log.caught() as attempt:
        copy, is_new = startup_copies.make()
        if is_new:
            say(f"Copy of the database: {copy.name} ({disk.megabytes(copy.size_bytes)})")
        else:
            _say_not_needed(copy, say, "which holds the same")
        problems.clear(COPY_PROBLEM)
        return copy
    why, what_to_do = _why_no_copy(attempt.error)
    if pending:
        raise UnavailableError(NO_WAY_BACK.format(", ".join(pending), why, what_to_do))
    say(f"Warning: no copy of the database could be made: {why}. {what_to_do}")
    _remember(COPY_PROBLEM, "No copy of the database could be made at the last start.")
    return startup_copies.newest()


def _say_not_needed(copy: StartupCopy | None, say: Say, more: str = "") -> None:
    if copy:
        moment = startup_copies.spoken_moment(copy.made_at)
        remark = f", {more}" if more else ""
        say(f"Copy of the database: not needed, the last one is from {moment}{remark}")


def _why_no_copy(error: Exception | None) -> tuple[str, str]:
    why = starting.reason(error) if error else ""
    if "damaged" in why:
        return why, PUT_BACK
    return why, MAKE_ROOM if "disk" in why.lower() else START_AGAIN


def _migrate(copy: StartupCopy | None, say: Say) -> None:
    before = schema.pending()
    with log.caught() as attempt:
        schema.upgrade_held()
    if attempt.error is None:
        say(f"Schema: applied {', '.join(before)}" if before else "Schema: up to date")
        return
    left = before
    with log.caught():
        left = schema.pending()
    failed = left[0] if left else "its end"
    lines = [f"The upgrade failed at {failed}: {starting.reason(attempt.error)}."]
    applied = [name for name in before if name not in left]
    if applied:
        lines.append(f"Before it, {', '.join(applied)} succeeded; {failed} changed nothing.")
    else:
        lines.append("The database is as it was.")
    if copy:
        lines.append(
            f"The copy made before is {copy.name}. To go back to the version you had, put its code "
            f"in place after: flask --app mm restore-startup {copy.name}"
        )
    raise schema.SchemaError("\n".join(lines)) from attempt.error


def _export(say: Say) -> None:
    with log.caught() as attempt:
        export = all_users.write_latest()
    if attempt.error:
        why = starting.reason(attempt.error)
        log.warning("all_users.failed", reason=why)
        say(f"JSON export failed (non-critical, continuing): {why}")
        _remember(EXPORT_PROBLEM, "The export of all libraries failed at the last start.")
        return
    _forget(EXPORT_PROBLEM)
    if export is None:
        say("JSON export: not needed, there is no account yet")
        return
    held = f"{plural(export.users, 'user')}, {plural(export.films, 'film')}"
    say(f"JSON export: {export.filename} ({held})")
    if export.left_out:
        names = ", ".join(export.left_out)
        say(f"Warning: the export lacks {names}. The log has the reason.")


def _has_accounts() -> bool:
    """Of a database of any schema."""
    return db.table_exists("user") and bool(db.execute_sql('SELECT 1 FROM "user"').fetchone())


def _remember(part: str, text: str) -> None:
    """For health. A database of an older schema, or on a full disk, cannot keep it; then the line
    on the terminal must do."""
    with log.caught():
        problems.put(part, text)


def _forget(part: str) -> None:
    with log.caught():
        problems.clear(part)


def _backups() -> Iterator[str]:
    archives = sorted(
        config.current.archives_dir.glob(f"{archive_files.PREFIX}*{archive_files.SUFFIX}")
    )
    if archives:
        yield f"An archive of the whole server: {archives[-1].name}"
        yield f"    flask --app mm server-backup restore {archives[-1]}"
    if copy := startup_copies.newest():
        yield f"A copy of the database: {copy.words()}"
        yield f"    flask --app mm restore-startup {copy.name}"
    latest = config.current.startup_dir / all_users.LATEST
    if latest.is_file():
        yield f"All accounts and libraries in one file: {latest}"
        yield f"    flask --app mm import-all {latest}"
    if (old := offers_on_disk.original_path()).is_file():
        yield f"The database of the original Movie Manager: {old}"
        yield f"    flask --app mm adopt {old} --admin NAME"
    folders = [folder for folder in _folders() if backup_files.USER_ID.fullmatch(folder.name)]
    named = [(folder, name) for folder in folders if (name := _newest_name(folder))]
    if named:
        folder, name = max(named, key=lambda pair: pair[1])
        yield f"Backups of {plural(len(named), 'account')}, the newest: {folder / name}"
        yield "    flask --app mm user create EMAIL NAME --admin"
        yield f"    flask --app mm import --user NAME {folder / name}"


def _folders() -> list[Path]:
    folder = config.current.backups_dir
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def _newest_name(folder: Path) -> str | None:
    names = [path.name for path in folder.iterdir() if backup_files.kind_of(path.name)]
    return max(names, default=None)
