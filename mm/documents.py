"""The v2 backup document and every JSON body, as msgspec Structs: one definition for validation and the API schema.

Times are float Unix seconds, UTC.
"""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

VERSION = 2

Status = Literal["toWatch", "watched", "custom", "deleted"]
Conflicts = Literal["overwrite", "newest", "skip"]
BackupKind = Literal["scheduled", "manual", "before-import", "before-restore", "uploaded"]
Kind = Literal["person", "list", "movie", "vote", "watch"]
Outcome = Literal["new", "changed", "same", "kept", "rejected", "removed"]


# The v2 document as we write it. Key order is the order of the fields.


class Vote(Struct):
    person_name: str
    date_recommended: float
    vote_type: bool


class WatchEntry(Struct):
    date_watched: float
    my_rating: float | None


class MovieEntry(Struct):
    """`watches` only where a film was watched more than once, oldest first; `watch_history` is the last of them."""

    imdb_id: str
    media_type: str | None
    status: Status
    custom_list_id: str | None
    date_added: float
    last_modified: float
    recommendations: list[Vote]
    watch_history: WatchEntry | None
    watches: list[WatchEntry] | UnsetType = UNSET


class PersonEntry(Struct):
    name: str
    is_trusted: bool
    color: str
    emoji: str | None
    quick_key: str | None
    last_modified: float


class ListEntry(Struct):
    id: str
    name: str
    color: str
    icon: str
    position: int
    created_at: float
    last_modified: float


class Document(Struct):
    version: int
    exported_at: float
    movies: list[MovieEntry]
    people: list[PersonEntry]
    lists: list[ListEntry]


class Counts(Struct):
    movies: int
    people: int
    lists: int


# What an import would do, and did.


class Problem(Struct):
    """`path` points into the file, as in movies[3].watch_history.my_rating."""

    path: str
    reason: str


class Change(Struct):
    """What happens to one row. `label` is for people; `fields` maps a name to [from, to]; `reason` says why a row is
    kept or rejected."""

    kind: Kind
    outcome: Outcome
    label: str
    fields: dict[str, list] = {}
    reason: str | None = None
    path: str | None = None


class PlanView(Struct):
    """The plan in words and numbers: `counts[kind][outcome]`, and a row for each change that is not `same`."""

    mode: Literal["merge"]
    conflicts: Conflicts
    library_version: int
    counts: dict[str, dict[str, int]]
    changes: list[Change]
    errors: list[Problem]
    warnings: list[str]


class ImportResult(Struct):
    success: bool
    movies_imported: int
    people_imported: int
    lists_imported: int
    imported_counts: Counts
    imdb_ids_needing_enrichment: list[str]
    errors: list[Problem]
    warnings: list[str]
    safety_backup: str | None


# Backups.


class Sidecar(Struct, omit_defaults=True):
    """NAME.meta.json beside a backup file. `sha256` is of the file. `verified_at` is null where the last test restore
    failed, and `problem` then says why."""

    kind: BackupKind
    created_at: float
    size_bytes: int
    sha256: str
    counts: Counts
    mm_version: str
    library_version: int | None = None
    verified_at: float | None = None
    problem: str | None = None
    pinned: bool = False
    kept_because: str | None = None
    unchanged_since: float | None = None
    links: int = 0


class BackupEntry(Struct):
    """One file of the list. `state`: `verified` by a test restore; `damaged`, with the problem; `unverified`, its
    sidecar is missing or unreadable, or it was never test-restored; `foreign`, not a backup of ours."""

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


class BackupHealth(Struct):
    """`overdue`: automatic backups are on and the last good one is older than two periods."""

    enabled: bool
    last_good: BackupEntry | None
    next_run: float | None
    last_error: str | None
    overdue: bool
    notices: list[str]


class BackupList(Struct):
    backups: list[BackupEntry]
    last_good: float | None
    next_run: float | None
    last_error: str | None


class BackupSettings(Struct):
    backup_enabled: bool


# Enrichment.


class EnrichmentProgress(Struct):
    """Of one user's films: `ready` + `waiting` + `missing` + `failed` = `total`, by their TMDB state. `notices` says
    what is paused and until when, in words."""

    total: int
    ready: int
    waiting: int
    missing: int
    failed: int
    notices: list[str]


# Accounts and log-ins.


class Account(Struct):
    id: str
    email: str
    username: str
    created_at: float
    is_active: bool


class ManagedAccount(Struct):
    """An account as administrators see it."""

    id: str
    email: str
    username: str
    created_at: float
    is_active: bool
    is_admin: bool
    backup_enabled: bool


class Credentials(Struct):
    email: str
    password: str


class AdminCredentials(Struct):
    """`token` is the server's ADMIN_TOKEN."""

    token: str


class Token(Struct):
    access_token: str
    token_type: Literal["bearer"] = "bearer"


class LogIn(Struct):
    access_token: str
    user: Account
    token_type: Literal["bearer"] = "bearer"


class NewAccount(Struct):
    email: str
    username: str
    password: str


class AccountChange(Struct):
    """What is left out or null stays."""

    is_active: bool | None = None
    is_admin: bool | None = None
    password: str | None = None


class RemovedAccount(Struct):
    """`backups`: the folder on the server in which the account's backups stay, or null where it had none."""

    backups: str | None


class PasswordChange(Struct):
    current: str
    new: str


# Health and errors.


class Health(Struct):
    """`degraded`: something in `problems` needs looking at, and requests are served."""

    status: Literal["healthy", "degraded"]
    timestamp: float
    database: Literal["ok"]
    worker: Literal["ok", "late"]
    last_backup: float | None
    problems: list[str]


class ErrorDetail(Struct):
    detail: str


class FieldProblem(Struct):
    """`loc` leads to the field, as in ["movies", 3, "status"]; empty for the body as a whole."""

    loc: list[str | int]
    msg: str
    type: str


class ValidationDetail(Struct):
    detail: list[FieldProblem]
