"""The plan that a user looks at, kept in data/tmp beside the file it was made of.

`JOB.plan` is the plan itself: what is confirmed is read back from it and never computed again.
`JOB.rows` is what the page shows of it: a line of JSON for each row, then for each kind and
outcome where its lines begin, then the summary. The job's params have the digests of both files,
so that neither can be swapped.
"""

import contextlib
import hashlib
import os
import stat
import struct
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec
from msgspec import Struct

from mm import clock, files, locks
from mm.database import db
from mm.errors import ConflictError, NotFoundError
from mm.models import Job
from mm.schemas import Change, Conflicts, Mode
from mm.services import portable
from mm.services.backup import quotas, uploads
from mm.services.portable import Plan

GONE = "The plan is no longer there, or it was changed since you saw it. Open it again."
# How long a second tab waits until the first one's plan is written.
WAIT_SECONDS = 30
# At the end of JOB.rows: where the groups begin, and where the summary does.
END = struct.Struct("<QQ")
Counts = dict[str, dict[str, int]]


class PlanSummary(Struct):
    """A stored plan but for its rows. `plan_id` names exactly this plan. `conflicts` is the rule of
    a merge; where the plan is a replace, that of the merge beside it. `rejected` has each reason
    with how often it was met. `other_counts` are of the other mode, with the same rule; where that
    is refused they are null, and `other_problem` says why. `since`: what was done after what an
    undo takes back, null where it is nothing, or no undo. `exported_at`: when the file was made."""

    plan_id: str
    mode: Mode
    conflicts: Conflicts
    library_version: int
    counts: Counts
    writes: bool
    rejected: list[tuple[str, int]]
    warnings: list[str]
    exported_at: float | None
    made_at: float
    other_counts: Counts | None = None
    other_problem: str | None = None
    since: str | None = None


class _Group(Struct):
    """Where the offsets of a group's lines stand in the file, and how many there are."""

    kind: str
    outcome: str
    at: int
    count: int


_CHANGE = msgspec.json.Decoder(Change)
_GROUPS = msgspec.json.Decoder(list[_Group])
_SUMMARY = msgspec.json.Decoder(PlanSummary)


@contextlib.contextmanager
def settled(job: Job) -> Iterator[None]:
    """Nobody stores another plan of the job meanwhile. Raises BusyError where that takes long."""
    with locks.wait_for(f"plan-{job.id}", WAIT_SECONDS):
        yield


def store(job: Job, plan: Plan, **more: Any) -> PlanSummary:
    """Keep the plan in place of an earlier one. `more`: fields of the summary that the plan itself
    does not tell. Raises ConflictError where the job has been confirmed or cancelled meanwhile, and
    NoRoomError."""
    packed = portable.pack(plan)
    digest = files.digest(packed)
    summary = _summary(plan, digest[:32], **more)
    # An import leaves the reserve to the nightly backups, as its file does.
    require_room = quotas.require_reserve if job.kind == "import" else files.require_room
    require_room(uploads.path_of(job).parent, 2 * len(packed))
    with settled(job), contextlib.ExitStack() as drafts:
        # Another tab may have confirmed or cancelled it since `job` was read.
        if not Job.select().where((Job.id == job.id) & (Job.state == job.state)).exists():
            raise ConflictError(uploads.NOT_WAITING)
        names = [drafts.enter_context(files.draft(uploads.path_of(job).parent)) for _ in range(2)]
        files.write(names[0], packed)
        rows_digest = _write_rows(names[1], plan, summary)
        kept = {"id": summary.plan_id, "sha256": digest, "rows": rows_digest}
        os.replace(names[0], uploads.path_of(job, ".plan"))
        os.replace(names[1], uploads.path_of(job, ".rows"))
        choice = {
            "plan": kept,
            "mode": plan.mode,
            "conflicts": summary.conflicts,
            "library_version": plan.library_version,
        }
        job.params = {**job.params, **choice}
        with db.atomic():
            Job.update(params=job.params).where(Job.id == job.id).execute()
    return summary


def load(job: Job) -> Plan:
    """The plan that was shown. Raises NotFoundError when it is gone or not the one that was
    stored."""
    kept = job.params.get("plan", {})
    try:
        packed = uploads.path_of(job, ".plan").read_bytes()
        if files.digest(packed) != kept.get("sha256"):
            raise NotFoundError(GONE)
        # A server that was updated since may plan otherwise.
        return portable.unpack(packed)
    except (OSError, ValueError) as error:
        raise NotFoundError(GONE) from error


def require_unchanged(job: Job) -> None:
    """Raises NotFoundError where plan or rows are not those that were stored."""
    kept = job.params.get("plan", {})
    for suffix, name in ((".plan", "sha256"), (".rows", "rows")):
        path = uploads.path_of(job, suffix)
        if not files.is_file(path) or files.sha256(path) != kept.get(name):
            raise NotFoundError(GONE)


# What the page shows. Each raises NotFoundError as `load` does.


def summary(job: Job) -> PlanSummary:
    with _opened(job) as file:
        found = _read_summary(file)
    if found.plan_id != job.params.get("plan", {}).get("id"):
        raise NotFoundError(GONE)
    return found


def rows(job: Job, kind: str, outcome: str, offset: int = 0, limit: int = 50) -> list[Change]:
    """The rows of one kind and outcome, a page of them; quick however many there are."""
    with _opened(job) as file:
        group = next((g for g in _groups(file) if (g.kind, g.outcome) == (kind, outcome)), None)
        if group is None:
            return []
        first, last = max(offset, 0), min(max(offset, 0) + limit, group.count)
        file.seek(group.at + 8 * first)
        found = array("Q", file.read(8 * max(last - first, 0)))
        return [_row_at(file, place) for place in found]


def all_rows(job: Job) -> Iterator[Change]:
    """Every row, in the order of the plan."""
    with _opened(job) as file:
        left, _ = _ends(file)
        file.seek(0)
        while left > 0:
            line = file.readline()
            left -= len(line) or left
            yield _CHANGE.decode(line)


def _summary(plan: Plan, plan_id: str, **more: Any) -> PlanSummary:
    reasons = Counter(problem.reason for problem in plan.errors)
    fields: dict[str, Any] = {"conflicts": plan.conflicts, "exported_at": None, **more}
    return PlanSummary(
        plan_id=plan_id,
        mode=plan.mode,
        library_version=plan.library_version,
        counts=portable.count(plan),
        writes=not plan.is_empty(),
        rejected=reasons.most_common(),
        warnings=plan.warnings,
        made_at=clock.now(),
        **fields,
    )


def _write_rows(path: Path, plan: Plan, summary: PlanSummary) -> str:
    """Returns the sha256 of the file."""
    offsets: dict[tuple[str, str], array] = defaultdict(lambda: array("Q"))
    digest, place = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:

        def write(data: bytes) -> None:
            nonlocal place
            file.write(data)
            digest.update(data)
            place += len(data)

        for change in portable.changes(plan):
            offsets[change.kind, change.outcome].append(place)
            write(msgspec.json.encode(change) + b"\n")
        lines_end, groups = place, []
        for (kind, outcome), places in offsets.items():
            groups.append(_Group(kind, outcome, place, len(places)))
            write(places.tobytes())
        groups_at = place
        write(msgspec.json.encode(groups) + b"\n")
        write(msgspec.json.encode(summary) + b"\n")
        write(END.pack(lines_end, groups_at))
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


@contextlib.contextmanager
def _opened(job: Job) -> Iterator[IO[bytes]]:
    """Whatever is wrong with the file, somebody else has written to it."""
    try:
        descriptor = os.open(
            uploads.path_of(job, ".rows"), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        )
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise NotFoundError(GONE)
            yield file
    except (OSError, ValueError, struct.error) as error:
        raise NotFoundError(GONE) from error


def _ends(file: IO[bytes]) -> tuple[int, int]:
    """Where the rows end, and where the groups are described."""
    file.seek(-END.size, os.SEEK_END)
    return END.unpack(file.read())


def _groups(file: IO[bytes]) -> list[_Group]:
    file.seek(_ends(file)[1])
    return _GROUPS.decode(file.readline())


def _read_summary(file: IO[bytes]) -> PlanSummary:
    file.seek(_ends(file)[1])
    file.readline()
    return _SUMMARY.decode(file.readline())


def _row_at(file: IO[bytes], place: int) -> Change:
    file.seek(place)
    return _CHANGE.decode(file.readline())
