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
from mm.documents.lists import ListChange, ListView, NewList
from mm.documents.movies import (
    MovieFilters,
    MovieView,
    NewMovie,
    NewRecommendation,
    NewRecommendations,
    PersonId,
    Rating,
    RecommendationView,
    Sort,
    StatusChange,
    StatusView,
    UnratedMovieView,
    VoteType,
    WatchChange,
    WatchView,
)
from mm.documents.people import NewPerson, PersonChange, PersonStats, PersonView
from mm.documents.portable import (
    FORMAT,
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
    RankingEntry,
    Status,
    ViewEntry,
    Vote,
    WatchEntry,
)
from mm.documents.rankings import NewRanking, RankingView, UnrankedView
from mm.documents.server import ErrorDetail, FieldProblem, Health, ValidationDetail
from mm.documents.sync import (
    ACTIONS_MAX,
    ChangesQuery,
    Feed,
    SinceQuery,
    SyncAction,
    SyncAnswer,
    SyncAnswers,
    SyncBatch,
)
from mm.documents.texts import NAMES_MAX
