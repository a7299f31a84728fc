"""One user's backup files."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from mm.schemas.portable import Counts, Mode
from mm.schemas.types import KeepDaily, KeepMonthly, KeepWeekly, KeepYearly

BackupKind = Literal["scheduled", "manual", "before-import", "before-restore", "uploaded"]


Action = Literal["import", "restore", "undo"]


class Before(Struct, omit_defaults=True):
    """What a safety copy was made for: `source` is the name of the file that was taken over, null
    where nobody gave one; `films` so many films were added, changed or removed; `at` the copy was
    made, and `done_at` the library was written. Until then `done_at` is null."""

    action: Action
    mode: Mode
    source: str | None
    at: float
    films: int
    done_at: float | None = None


class Undoable(Struct):
    """An import, a restore or an undo that can be taken back: `filename` is the copy from right
    before it. `until`: when that copy is deleted."""

    filename: str
    action: Action
    mode: Mode
    source: str | None
    at: float
    films: int
    until: float


class Sidecar(Struct, omit_defaults=True):
    """NAME.meta.json beside a backup file. `sha256` is of the file. `verified_at` is null where the
    last test restore failed, and `problem` then says why. `rotten`: because the bytes are not those
    that were written. `format`: the FORMAT of the document. `before`: of a safety copy."""

    kind: BackupKind
    created_at: float
    size_bytes: int
    sha256: str
    counts: Counts
    mm_version: str
    format: int | None = None
    library_version: int | None = None
    verified_at: float | None = None
    problem: str | None = None
    rotten: bool = False
    pinned: bool = False
    kept_because: str | None = None
    unchanged_since: float | None = None
    links: int = 0
    before: Before | None = None


class BackupEntry(Struct):
    """One file of the list. `state`: `verified` by a test restore; `damaged`, with the problem;
    `unverified`, its sidecar is missing or unreadable, or it was never test-restored; `foreign`,
    not a backup of ours. `rotten`: damaged, and the bytes are not those that were written; where
    they are, another version of the program may be able to restore them. `kept_because`: why the
    file stays, and until when, or that it goes next. `before`: what a safety copy was made for."""

    filename: str
    kind: str | None
    created_at: float | None
    size_bytes: int
    counts: Counts | None
    sha256: str | None
    verified_at: float | None
    state: Literal["verified", "unverified", "damaged", "foreign"]
    problem: str | None = None
    pinned: bool = False
    kept_because: str | None = None
    unchanged_since: float | None = None
    rotten: bool = False
    before: Before | None = None


BackupMood = Literal["plain", "warn", "bad", "good"]
# What a state asks its user to do.
BackupAction = Literal["import", "back_up", "try_again", "turn_on"]


class BackupState(Struct):
    """How safe a library is, in words: a headline, one line, and what to do about it. `alarm`:
    every page of the user says so."""

    name: Literal["empty", "none", "failed", "off", "overdue", "behind", "good", "unreachable"]
    mood: BackupMood
    headline: str
    line: str
    action: BackupAction | None = None
    alarm: bool = False


class BackupHealth(Struct):
    """`last_good`: the newest verified copy of any kind but an uploaded one. `last_error`: why the
    last attempt of any kind failed, null where a good copy came after it. `changes` of the library
    since that copy, see `state.count_changes`; null where nobody can tell."""

    enabled: bool
    films: int
    last_good: BackupEntry | None
    changes: int | None
    next_run: float | None
    last_error: str | None
    state: BackupState
    notices: list[str]


class BackupOverview(Struct):
    """One account's backups as administrators see them. `failed`: backups in the last days;
    `size_bytes` on the disk."""

    username: str
    is_active: bool
    films: int
    enabled: bool
    last_good: float | None
    state: BackupState
    size_bytes: int
    failed: int
    damaged: int


class BackupList(Struct):
    backups: list[BackupEntry]
    last_good: float | None
    next_run: float | None
    last_error: str | None


class BackupSettings(Struct):
    """`keep_daily`: the scheduled backups of so many days stay; then the newest of each of so many
    weeks, months and years that have one. 0: none of that kind. The 3 newest always stay."""

    backup_enabled: bool
    keep_daily: KeepDaily
    keep_weekly: KeepWeekly
    keep_monthly: KeepMonthly
    keep_yearly: KeepYearly


class BackupSettingsChange(Struct):
    """Fields that are left out stay as they are."""

    backup_enabled: bool | UnsetType = UNSET
    keep_daily: KeepDaily | UnsetType = UNSET
    keep_weekly: KeepWeekly | UnsetType = UNSET
    keep_monthly: KeepMonthly | UnsetType = UNSET
    keep_yearly: KeepYearly | UnsetType = UNSET


class PinChange(Struct):
    pinned: bool


class UndoRequest(Struct):
    """`filename` is the safety copy to go back to, by default that of what was done last.
    `dry_run`: answer what would happen, and write nothing."""

    filename: str | None = None
    dry_run: bool = False
