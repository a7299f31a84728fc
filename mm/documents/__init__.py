"""The v2 backup document and every JSON body, as msgspec Structs: one definition for validation and the API schema.

Times are float Unix seconds, UTC.
"""

# ruff: noqa: F401
from mm.documents.accounts import (
    Account,
    AccountChange,
    AdminCredentials,
    Credentials,
    LogIn,
    ManagedAccount,
    NewAccount,
    PasswordChange,
    RemovedAccount,
    Token,
)
from mm.documents.backups import BackupEntry, BackupHealth, BackupKind, BackupList, BackupSettings, Sidecar
from mm.documents.enrichment import EnrichmentProgress
from mm.documents.external import CacheInfo, OmdbData, Refreshed, SearchResult, TmdbData, Updated
from mm.documents.portable import (
    VERSION,
    Change,
    Conflicts,
    Counts,
    Document,
    ImportResult,
    Kind,
    ListEntry,
    MovieEntry,
    Outcome,
    PersonEntry,
    PlanView,
    Problem,
    Status,
    Vote,
    WatchEntry,
)
from mm.documents.server import ErrorDetail, FieldProblem, Health, ValidationDetail
