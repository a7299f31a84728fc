"""Fetching and updating the catalogue: what was chosen, when it is due, and the swap.

Nothing is fetched before an administrator has asked for it. From then on it is updated every week,
unless it was made from files. The catalogue in use stays until a new one has been built and
checked.
"""

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import structs

from mm import clock, config, files, locks, log, maintenance, models
from mm.clock import DAY, HOUR
from mm.database import db
from mm.errors import (
    ConflictError,
    NoRoomError,
    NotFoundError,
    UnavailableError,
    UserError,
)
from mm.models import Job, Setting
from mm.schemas import CatalogueAbout, CatalogueChoice
from mm.services import jobs
from mm.services.catalogue import building, checking, downloads, store
from mm.services.catalogue.downloads import Progress

KIND = "catalogue"
LOCK = "catalogue"
# Settings: the choice; when IMDb was last asked with success; [updates that were begun since, when
# the next one may begin]. The last two tell of this server, and stay when it is restored.
CHOICE = "catalogue"
CHECKED = "catalogue.checked"
TRIED = "catalogue.tried"
WEEK = 7 * DAY
RETRY_AFTER = (HOUR, 4 * HOUR, DAY)
# Beyond this age a catalogue, which should be updated every week, is reported as a problem.
OLD_SECONDS = 3 * WEEK
# A time further in the future than this was written while the clock was wrong.
AHEAD = DAY
# How often progress is saved, and the choice is read again.
LOOK_SECONDS = 1
# How long `remove` waits until a running update has noticed.
END_SECONDS = 20
BUSY = "The catalogue is already being updated."
NO_CHOICE = "Nobody has asked for the catalogue yet."
READ_ONLY = (
    "The data folder cannot be written to: its disk is read-only, or it belongs to another user."
)
STAYS = "The current catalogue stays in use."


class NotChosenError(NotFoundError):
    """Nobody asked for a catalogue, or no longer."""


class UpdateFailedError(UnavailableError):
    """The catalogue in use stays, which the message says after the reason."""


class Status(NamedTuple):
    """`about`: of the catalogue in use. `job`: the update that is queued or runs. `is_busy`: an
    update runs, perhaps in a terminal. `as_of`: the last time at which IMDb had nothing newer.
    `problem`: why the last update failed, with `failed_at`. `next_at`: when the next one is
    due."""

    choice: CatalogueChoice | None
    about: CatalogueAbout | None
    size_bytes: int
    job: Job | None
    is_busy: bool
    as_of: float | None
    problem: str
    failed_at: float | None
    next_at: float | None


def status() -> Status:
    about, job = in_use(), jobs.active(KIND)
    failed = None if job else _last_failure()
    return Status(
        choice=choice(),
        about=about,
        size_bytes=config.current.catalogue_file.stat().st_size if about else 0,
        job=job,
        is_busy=locks.is_held(LOCK),
        as_of=max(about.built_at, _checked_at() or 0) if about else None,
        problem=failed.message if failed else "",
        failed_at=failed.finished_at if failed else None,
        next_at=_due_at(clock.now()),
    )


def choice() -> CatalogueChoice | None:
    """What an administrator asked for; None where nobody did, or it cannot be read."""
    stored = models.setting(CHOICE)
    if stored is not None:
        try:
            return msgspec.convert(stored, CatalogueChoice)
        except msgspec.ValidationError:
            return None
    # A catalogue that was kept when an older database was restored is updated as before.
    about = in_use()
    return about.choice if about else None


def choose(
    akas: bool, directors: bool, adult: bool, is_renewed: bool | None = None
) -> CatalogueChoice:
    """Save what an administrator asked for after seeing the terms. `is_renewed`: None leaves it as
    it was."""
    if is_renewed is None:
        before = choice()
        is_renewed = before.is_renewed if before else True
    chosen = CatalogueChoice(clock.now(), akas, directors, adult, is_renewed)
    _put_choice(chosen)
    return chosen


def in_use() -> CatalogueAbout | None:
    """What the catalogue says of itself; None where there is none that this version can search."""
    try:
        with store.reading() as connection:
            return store.about(connection)
    except (UnavailableError, msgspec.DecodeError):
        return None


def start() -> Job:
    """A queued update, for the caller to enqueue. Raises ConflictError while there is another, and
    NotFoundError where nothing was chosen."""
    if choice() is None:
        raise NotChosenError(NO_CHOICE)
    if locks.is_held(LOCK) or not (job := jobs.create_unless_active(KIND)):
        raise ConflictError(BUSY)
    return job


def start_if_due() -> Job | None:
    """A queued update, for the caller to enqueue; None while nothing is due."""
    now = clock.now()
    due_at = _due_at(now)
    if due_at is None or due_at > now or locks.is_held(LOCK):
        return None
    return jobs.create_unless_active(KIND)


def run(job: Job, must_stop: Callable[[], bool]) -> dict:
    """The work of a job of kind catalogue. Returns what `update` returns; nothing where the choice
    was taken back in the meantime."""
    try:
        return update(_shown_on(job), must_stop)
    except NotChosenError:
        return {}


def update(progress: Progress, must_stop: Callable[[], bool], folder: Path | None = None) -> dict:
    """Build the chosen catalogue and put it into use. `folder`: where the datasets are, if they
    are not to be downloaded; they stay there, and the catalogue is then not updated automatically
    until it has been downloaded once.

    Returns {"films": …, "series": …}, or {"unchanged": True} where IMDb has nothing newer. Raises
    locks.BusyError during another update, jobs.StoppedError once it `must_stop` or the choice is
    taken back, and the errors of fetching, building and checking; then the one in use stays.
    """
    with locks.hold(LOCK, BUSY), _saying_what_stays():
        _refuse_folder()
        chosen = structs.replace(_noted_choice(), is_renewed=folder is None)
        tries, _ = _tries()
        _put_tries(tries + 1)
        stops = _or_taken_back(must_stop)
        try:
            about = _update_held(chosen, progress, stops, folder)
            downloads.clear()
        except jobs.StoppedError:
            _put_tries(tries)
            raise
        _put_success(chosen.is_renewed)
    if about is None:
        return {"unchanged": True}
    log.info("catalogue.updated", films=about.films, series=about.series)
    return {"films": about.films, "series": about.series}


def remove() -> None:
    """Delete the catalogue and the choice; titles that were filled in from it stay. Stops an update
    that is running. Raises locks.BusyError if that takes too long."""
    _refuse_folder()
    # First, because without a setting it would tell the choice.
    config.current.catalogue_file.unlink(missing_ok=True)
    _forget()
    with locks.wait_for(LOCK, END_SECONDS):
        # Again: the update may have noted how it went.
        _forget()
        config.current.catalogue_file.unlink(missing_ok=True)
        _sweep_held(keep_downloads=False)
    log.info("catalogue.removed")


def sweep() -> None:
    """Delete what killed processes left, unless an update is running. Downloads stay while they are
    needed: the next update continues with them."""
    is_needed = bool(jobs.active(KIND)) or (choice() is not None and _tries()[0] > 0)
    if _draft().exists() or (downloads.left() and not is_needed):
        with contextlib.suppress(locks.BusyError), locks.hold(LOCK):
            _sweep_held(keep_downloads=is_needed)


def problem() -> str | None:
    """A sentence where the catalogue is much older than it should be. One that was made from files
    may have any age."""
    if (about := in_use()) is None:
        return None
    chosen = choice()
    if chosen is None or not chosen.is_renewed:
        return None
    as_of = max(about.built_at, _checked_at() or 0)
    days = int((clock.now() - as_of) / DAY)
    if days * DAY <= OLD_SECONDS:
        return None
    return f"The catalogue of films is {days} days old. Server › Providers says why."


def _forget() -> None:
    with db.atomic():
        Setting.delete().where(Setting.key << (CHOICE, CHECKED, TRIED)).execute()


def _update_held(
    chosen: CatalogueChoice, progress: Progress, must_stop: Callable[[], bool], folder: Path | None
) -> CatalogueAbout | None:
    names = downloads.names(chosen)
    if folder:
        return _put_into_use(_files_in(folder, names), chosen, {}, progress, must_stop)
    about = in_use()
    known = about.etags if about and _is_as(about.choice, chosen) else {}
    fetched = downloads.fetch(names, known, _in_megabytes(progress), must_stop)
    if fetched is None:
        return None
    sources = {name: dataset.path for name, dataset in fetched.items()}
    etags = {name: dataset.etag for name, dataset in fetched.items()}
    try:
        return _put_into_use(sources, chosen, etags, progress, must_stop)
    except building.UnreadableError as error:
        # So that the next try downloads it again.
        downloads.discard(error.name)
        raise
    except NoRoomError:
        # Libraries are written on the same disk, and need room sooner than this.
        downloads.clear()
        raise


def _put_into_use(
    sources: Mapping[str, Path],
    chosen: CatalogueChoice,
    etags: dict[str, str],
    progress: Progress,
    must_stop: Callable[[], bool],
) -> CatalogueAbout:
    draft, target = _draft(), config.current.catalogue_file
    draft.unlink(missing_ok=True)
    try:
        about = building.build(sources, draft, chosen, etags, progress, must_stop)
        progress("Checking the catalogue", 0, 0)
        checking.check(draft, target if in_use() else None, must_stop)
        if must_stop():
            raise jobs.StoppedError
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    files.sync_folder(target.parent)
    return about


def _refuse_folder() -> None:
    """Raises UnavailableError, before anything is fetched that could not be put there."""
    target = config.current.catalogue_file
    if target.is_dir():
        raise UnavailableError(f"{target} is a folder. Delete it: the catalogue belongs there.")


def _files_in(folder: Path, names: tuple[str, ...]) -> dict[str, Path]:
    """Raises NotFoundError."""
    paths = {name: folder / f"{name}.tsv.gz" for name in names}
    if missing := [path.name for path in paths.values() if not path.is_file()]:
        raise NotFoundError(f"{folder} does not hold {', '.join(missing)}.")
    return paths


def _draft() -> Path:
    target = config.current.catalogue_file
    return target.with_name(f"{target.name}.new")


def _sweep_held(keep_downloads: bool) -> None:
    draft = _draft()
    for path in (draft, draft.with_name(f"{draft.name}-journal")):
        path.unlink(missing_ok=True)
    if not keep_downloads:
        downloads.clear()


@contextlib.contextmanager
def _saying_what_stays() -> Iterator[None]:
    """Adds to the reason that the catalogue in use stays."""
    try:
        with _writable():
            yield
    except (NotChosenError, locks.BusyError, maintenance.MaintenanceError):
        raise
    except UserError as error:
        if not in_use():
            raise
        raise UpdateFailedError(f"{error.message} {STAYS}") from error


@contextlib.contextmanager
def _writable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in downloads.MAY_NOT_WRITE:
            raise
        raise UnavailableError(READ_ONLY) from error


def _is_as(choice: CatalogueChoice, other: CatalogueChoice) -> bool:
    """Whether the same goes into it."""
    same = {"chosen_at": other.chosen_at, "is_renewed": other.is_renewed}
    return structs.replace(choice, **same) == other


def _or_taken_back(must_stop: Callable[[], bool]) -> Callable[[], bool]:
    """Stop also when an administrator has removed the catalogue in the meantime."""
    looked_at = time.monotonic()

    def stops() -> bool:
        nonlocal looked_at
        if time.monotonic() - looked_at >= LOOK_SECONDS:
            looked_at = time.monotonic()
            if models.setting(CHOICE) is None:
                return True
        return must_stop()

    return stops


def _in_megabytes(progress: Progress) -> Progress:
    """For downloads: the message also says how many megabytes are there."""

    def show(what: str, done: int, total: int) -> None:
        progress(f"{what}: {done // 10**6:,} of {total // 10**6:,} MB", done, total)

    return show


def _shown_on(job: Job) -> Progress:
    """Progress on the job's row, in percent of what it does now, about once a second."""
    told_at = -math.inf

    def show(what: str, done: int, total: int) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= LOOK_SECONDS or not done:
            told_at = time.monotonic()
            jobs.progress(job, 100 * done // total if total else 0, 100 if total else 0, what)

    return show


def _due_at(now: float) -> float | None:
    """When the next update is due; None if nothing was chosen, or updates are not automatic."""
    chosen = choice()
    if chosen is None or not chosen.is_renewed:
        return None
    tries, again = _tries()
    if tries and again <= now + RETRY_AFTER[-1]:
        return again
    about, checked_at = in_use(), _checked_at()
    if about is None or not _is_as(about.choice, chosen):
        return now
    return now if checked_at is None or checked_at > now + AHEAD else checked_at + WEEK


def _noted_choice() -> CatalogueChoice:
    """One that outlived a restore is noted again, so that it can be taken back meanwhile. Raises
    NotFoundError."""
    # In one transaction, so that what is taken back meanwhile stays so.
    with db.atomic():
        if (chosen := choice()) is None:
            raise NotChosenError(NO_CHOICE)
        _put_choice(chosen)
    return chosen


def _checked_at() -> float | None:
    return models.setting(CHECKED)


def _put_choice(chosen: CatalogueChoice) -> None:
    with db.atomic():
        models.put_setting(CHOICE, msgspec.to_builtins(chosen))


def _tries() -> tuple[int, float]:
    """How many updates were begun since the last success, and when the next one may begin."""
    tries, again = models.setting(TRIED) or (0, 0.0)
    return tries, again


def _put_tries(tries: int) -> None:
    """Called before an update begins: one that kills its process counts as a failure too."""
    again = clock.now() + RETRY_AFTER[min(tries, len(RETRY_AFTER)) - 1]
    with db.atomic():
        models.put_setting(TRIED, [tries, again] if tries else None)


def _put_success(is_renewed: bool) -> None:
    with db.atomic():
        models.put_setting(CHECKED, clock.now())
        models.put_setting(TRIED, None)
        # Read again: it may have been changed in the meantime, or taken back.
        stored = models.setting(CHOICE)
        if stored is not None:
            models.put_setting(CHOICE, {**stored, "is_renewed": is_renewed})


def _last_failure() -> Job | None:
    """The last update, if it failed."""
    ended = Job.select().where((Job.kind == KIND) & Job.state.in_(("done", "failed")))
    last = ended.order_by(Job.finished_at.desc()).first()
    is_over = last is None or last.state == "done" or last.finished_at < (_checked_at() or 0)
    return None if is_over else last
