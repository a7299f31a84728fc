"""What is done when a restore of the whole server fails, or was killed before it began to load."""

import shutil

from mm import clock, files, log, maintenance
from mm.database import db
from mm.services.server import (
    archive_files,
    databases,
    effective,
    live_database,
    restore_state,
    staging,
)
from mm.services.server.archive_format import unpacking
from mm.services.server.restore_state import Reporter, RestoreRecord
from mm.services.server.restore_steps import UNSAVED, take_place

NOT_PUT_BACK = "What was there before could not be put back either: restore the safety archive."
INTERRUPTED = "The restore was interrupted before anything was changed."


def end_failed(report: Reporter, why: str) -> None:
    """Nothing more is done: users may write again, and who began it is told why it failed."""
    shown = report.record.shown
    # First, so that there is room for the rest.
    shutil.rmtree(report.record.folder, ignore_errors=True)
    maintenance.end()
    shown.state, shown.message, shown.finished_at = "failed", why, clock.now()
    restore_state.write(report.record)
    log.warning("restore.failed", archive=shown.archive, step=shown.step, why=why)


def put_back(report: Reporter, why: str) -> str:
    """After a failure from `load` on: what was there before, out of the safety archive. Returns
    what to say."""
    record = report.record
    is_loaded = record.has_database and live_database.user_version() == record.version
    with log.caught() as attempt:
        if is_loaded and record.shown.safety:
            _load_safety(record)
        effective.put_back(record.folder, rows=not is_loaded)
        _, old, live = restore_state.posters_of(record)
        if old.exists():
            take_place(old, live)
    if attempt.error:
        code = log.unexpected("restore.not_put_back", attempt.error)
        why = f"{why} {NOT_PUT_BACK} {log.pointer(code)}"
    elif is_loaded and not record.shown.safety:
        why = f"{why} {UNSAVED}"
    else:
        why = f"{why} What was there before the restore is back."
    db.obj.accept_restored()
    end_failed(report, why)
    return why


def _load_safety(record: RestoreRecord) -> None:
    folder = record.folder / "before"
    shutil.rmtree(folder, ignore_errors=True)
    record.database.unlink(missing_ok=True)
    files.make_folder(folder)
    safety = archive_files.path_of(record.shown.safety or "")
    unpacking.unpack(safety, folder, posters=False, settings=False)
    before = folder / "database.db"
    staging.fit_pages(before, live_database.page_size())
    job = restore_state.own_job(record)
    with databases.opened(before) as saved:
        # All that worked a moment ago: in the database in use they may be gone with what failed.
        shares = live_database.shares_in(saved)
    kept = live_database.kept()._replace(shares=shares)
    staging.keep_live_values(before, kept, job, True, True)
    live_database.load(before)
    db.obj.accept_restored()
