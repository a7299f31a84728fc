"""What the pages show of the catalogue: what it needs, how far an update is, and what is in use."""

from dataclasses import dataclass

from flask import request

from mm import clock
from mm.routes.contexts import progress_context
from mm.routes.filters import percent
from mm.schemas import CatalogueChoice
from mm.services import heartbeat, jobs
from mm.services.catalogue import downloads, store, updates

# The parts that may be left out, named as the fields of `CatalogueChoice`.
OPTIONS = ("akas", "directors", "adult")
# How long a byte of the datasets takes: to download over a usual connection, and to read.
SECONDS_A_BYTE = 1 / 3e6 + 1 / 4e6


@dataclass(frozen=True)
class Needs:
    """What a catalogue needs: a download, disk space when it is finished, and minutes."""

    download: str
    disk: str
    minutes: int


def needs_context(chosen: CatalogueChoice) -> dict:
    """For `admin/_catalogue_needs.html`."""
    names = downloads.names(chosen)
    size = downloads.size_of(names)
    minutes = max(1, round(size * SECONDS_A_BYTE / 60))
    return {"needs": Needs(_about(size), _about(downloads.disk_of(names)), minutes)}


def choice_context(chosen: CatalogueChoice | None) -> dict:
    """For `admin/_catalogue_choice.html`. `chosen`: what is ticked."""
    chosen = chosen or ticked({})
    base = downloads.size_of(downloads.names(ticked({})))
    more = {
        option: _about(downloads.size_of(downloads.names(ticked({option: "1"}))) - base)
        for option in OPTIONS
    }
    return {"chosen": chosen, "more": more, **needs_context(chosen)}


def card_context() -> dict:
    """For `admin/_catalogue.html`."""
    status = updates.status()
    context = progress_context(status.job) if status.job else {"job": None, "late": False}
    is_updating = bool(status.job) or status.is_busy
    is_due = status.next_at is not None and status.next_at <= clock.now()
    return {
        **context,
        **choice_context(status.choice),
        "catalogue": status,
        "updating": is_updating,
        # Chosen, and the worker has yet to begin.
        "waiting": is_due and not is_updating,
        "worker_is_late": heartbeat.worker_is_late(),
    }


def fetching() -> str | None:
    """How far the first catalogue is, for everybody who wants to search; None if there already is
    one, or none is being fetched."""
    if store.is_there() or not (job := jobs.active(updates.KIND)):
        return None
    doing, _, _ = job.message.partition(":")
    verb = "built" if job.message and doing not in downloads.DOING.values() else "fetched"
    share = f": {percent(job.done, job.total)}" if job.total else ""
    return f"The catalogue is being {verb}{share}"


def ticked(given) -> CatalogueChoice:
    """The options of a form."""
    return CatalogueChoice(clock.now(), **{option: option in given for option in OPTIONS})


def _about(size_bytes: int) -> str:
    """ "220 MB", on one line: rounded, because the exact size is not known before."""
    tens = round(size_bytes / 10**7)
    number, unit = (f"{tens * 10}", "MB") if tens < 100 else (f"{tens / 100:.1f}", "GB")
    return f"{number}\N{NO-BREAK SPACE}{unit}"


def typed() -> CatalogueChoice:
    return ticked(request.values)
