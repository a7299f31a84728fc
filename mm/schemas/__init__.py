"""The v2 backup document and every JSON body, as msgspec Structs: one definition for validation and
the API schema.

Times are float Unix seconds, UTC.
"""

# ruff: noqa: F401
from mm.schemas.accounts import (
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
from mm.schemas.archives import (
    ArchiveContents,
    ArchiveEntry,
    ArchiveKind,
    ArchiveList,
    ArchiveRequest,
    ArchiveRoom,
    ArchiveSchedule,
    ArchiveScheduleChange,
    ArchiveScheduleView,
    ArchiveSidecar,
    ArchiveValidation,
    BegunArchive,
    BegunCheck,
    BegunRestore,
    Member,
    Metadata,
    RestoreState,
    ServerJob,
    ServerRestore,
    SettingDifference,
    SettingsFile,
    SettingValue,
    Weekday,
)
from mm.schemas.backups import (
    Action,
    BackupAction,
    BackupEntry,
    BackupHealth,
    BackupKind,
    BackupList,
    BackupMood,
    BackupOverview,
    BackupSettings,
    BackupSettingsChange,
    BackupState,
    Before,
    PinChange,
    Sidecar,
    Undoable,
    UndoRequest,
)
from mm.schemas.catalogue import CatalogueAbout, CatalogueChoice
from mm.schemas.collections import (
    COLLECTION_VERSION,
    CollectedFilm,
    Collection,
    CollectionConflict,
    CollectionExport,
    CollectionImport,
    CollectionKind,
    CollectionMetadata,
    CollectionPreview,
    CollectionResult,
    ImportedItem,
    ItemError,
    ItemOutcome,
    ListItem,
    PersonItem,
    PlannedItem,
    Resolution,
    SettingItem,
    ViewItem,
)
from mm.schemas.enrichment import EnrichmentProgress
from mm.schemas.external import CacheInfo, OmdbData, Refreshed, SearchResult, TmdbData, Updated
from mm.schemas.lists import (
    FilmOrder,
    ListChange,
    ListDetails,
    ListedFilmChange,
    ListView,
    NewList,
)
from mm.schemas.movies import (
    MovieFilters,
    MovieView,
    NewMovie,
    NewRecommendation,
    NewRecommendations,
    NoteChange,
    RecommendationView,
    Sort,
    StatusChange,
    StatusView,
    UnratedMovieView,
    VoteType,
    WatchChange,
    WatchView,
)
from mm.schemas.people import NewPerson, PersonChange, PersonStats, PersonView
from mm.schemas.portable import (
    FORMAT,
    VERSION,
    Change,
    Conflicts,
    Counts,
    Document,
    FilterValue,
    ImportResult,
    Kind,
    ListedFilm,
    ListEntry,
    Mode,
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
from mm.schemas.rankings import NewRanking, RankingView, UnrankedView
from mm.schemas.server import ErrorDetail, FieldProblem, Health, ValidationDetail
from mm.schemas.sync import (
    ACTIONS_MAX,
    ChangesQuery,
    Feed,
    SinceQuery,
    SyncAction,
    SyncAnswer,
    SyncAnswers,
    SyncBatch,
)
from mm.schemas.types import NAMES_MAX
from mm.schemas.views import LibraryView, NewView, ViewChange
