"""How far a restore of the whole server is: a file of its own, because the restore replaces the
table of jobs too. It outlives a killed process, and holds what is needed to go on from there."""

import hashlib
import hmac
import json
import secrets
import time
from pathlib import Path

import msgspec
from msgspec import Struct

from mm import clock, config, files, log
from mm.models import Job
from mm.schemas import RestoreState

# Between two writes of mere progress.
PROGRESS_SECONDS = 0.5
TOKEN_BYTES = 24


class RestoreRecord(Struct, omit_defaults=True):
    """The file. `has_…`: the parts that were asked for, and once the archive is checked those that
    it has. `version`: the database's user_version once it is loaded. `rows` of each table of the
    staged database, whose file is then as `staged` says: its size and its modification time."""

    id: str
    path: str
    shown: RestoreState
    token_sha256: str = ""
    job_id: str | None = None
    has_database: bool = True
    has_posters: bool = True
    has_settings: bool = True
    version: int | None = None
    rows: dict[str, int] = {}
    staged: tuple[int, int] | None = None

    @property
    def folder(self) -> Path:
        return config.current.tmp_dir / f"restore-{self.id}"

    @property
    def database(self) -> Path:
        return self.folder / "database.db"


class Reporter:
    """Keeps the record of a restore that runs, and tells `say` of each step's beginning."""

    def __init__(self, record: RestoreRecord, say=None):
        self.record = record
        self._say = say
        self._written_at = 0.0

    def begin(self, step: str, message: str) -> None:
        shown = self.record.shown
        shown.step, shown.message, shown.done, shown.total = step, message, 0, 0
        write(self.record)
        log.info("restore.step", step=step)
        if self._say:
            self._say(message)

    def progress(self, done: int, total: int, message: str) -> None:
        shown = self.record.shown
        shown.done, shown.total, shown.message = done, total, message
        if time.monotonic() - self._written_at >= PROGRESS_SECONDS:
            write(self.record)
            self._written_at = time.monotonic()

    def warn(self, text: str) -> None:
        if text not in self.record.shown.warnings:
            self.record.shown.warnings = [*self.record.shown.warnings, text]


def new(path: Path, archive: str, database: bool, posters: bool, settings: bool) -> RestoreRecord:
    shown = RestoreState("queued", archive, started_at=clock.now())
    return RestoreRecord(
        secrets.token_hex(8),
        str(path),
        shown,
        has_database=database,
        has_posters=posters,
        has_settings=settings,
    )


def give_token(record: RestoreRecord) -> str:
    """The secret of the address under which the outcome is shown without a log-in."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    record.token_sha256 = hashlib.sha256(token.encode()).hexdigest()
    return token


def is_of(record: RestoreRecord, token: str) -> bool:
    given = hashlib.sha256(token.encode()).hexdigest()
    return bool(record.token_sha256) and hmac.compare_digest(given, record.token_sha256)


def path_of_file() -> Path:
    return config.current.data_dir / "restore.json"


def read() -> RestoreRecord | None:
    """The last restore; None where there was none."""
    try:
        return msgspec.json.decode(path_of_file().read_bytes(), type=RestoreRecord)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        log.error("restore.state_unreadable", reason=str(error))
        return None


def write(record: RestoreRecord) -> None:
    files.replace(path_of_file(), msgspec.json.encode(record))


def own_job(record: RestoreRecord) -> dict | None:
    """The row of the restore's job, as it is stored."""
    if record.job_id is None:
        return None
    names = [field.column_name for field in Job._meta.sorted_fields]
    row = dict.fromkeys(names)
    row.update(
        id=record.job_id,
        kind="server-restore",
        state="running",
        done=0,
        total=0,
        message="",
        params=json.dumps({"timestamp": record.shown.archive}),
        starts=1,
        created_at=record.shown.started_at,
        started_at=record.shown.started_at,
    )
    return row


def posters_of(record: RestoreRecord) -> tuple[Path, Path, Path]:
    """Those of the archive, those that were replaced, and those in use."""
    return record.folder / "posters", record.folder / "posters.old", config.current.posters_dir
