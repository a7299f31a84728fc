"""Archives of the whole server: ZIP files with the database, posters and settings.

Members: metadata.json (a Metadata) first, then database.db, settings.json (a SettingsFile) and
posters/….
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

# Of the ZIP's members and their meaning. A reader refuses a higher one.
ARCHIVE_VERSION = 1
ArchiveKind = Literal["scheduled", "manual", "before-restore", "uploaded"]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
TIME_OF_DAY = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
ARCHIVE_TIME = "04:00"
ARCHIVES_KEPT = 7
ARCHIVES_KEPT_MAX = 1000


class Member(Struct):
    """`sha256` of the unpacked bytes."""

    size_bytes: int
    sha256: str


class Metadata(Struct, omit_defaults=True):
    """metadata.json. `timestamp` as in the file's name, UTC; `version` the ARCHIVE_VERSION;
    `schema` the name of the last migration that was applied; `rows` of each table; `members` all
    but metadata.json itself. The parts that were left out have no member and count 0."""

    timestamp: str
    created_at: float
    version: int
    app_version: str
    schema: str
    members: dict[str, Member]
    database_size_bytes: int = 0
    posters_count: int = 0
    posters_size_bytes: int = 0
    settings_count: int = 0
    rows: dict[str, int] = {}
    has_secrets: bool = False


class SettingValue(Struct, omit_defaults=True, rename={"source": "from"}):
    """`from` is `source` here, a name that Python has not taken. A secret has no `value` unless
    secrets were asked for: then `set` says whether there is one."""

    source: Literal["default", "environment", "setting"]
    value: Any = UNSET
    set: bool | UnsetType = UNSET


class SettingsFile(Struct):
    """settings.json: the effective configuration, by the name of the variable or setting."""

    version: int
    settings: dict[str, SettingValue]


class SettingDifference(Struct):
    """A setting that the server of an archive had and this one lacks, in words."""

    name: str
    text: str


class ArchiveContents(Struct):
    """What an archive holds. Tables and folders that were left out count 0."""

    has_database: bool
    users: int
    movies: int
    database_size_bytes: int
    posters_count: int
    posters_size_bytes: int
    settings_count: int
    has_secrets: bool = False


class ArchiveSidecar(Struct, omit_defaults=True):
    """NAME.zip.meta.json beside an archive. `sha256` is of the ZIP. `app_version` made the archive,
    `mm_version` put it into this folder. `verified_at` is null where the last test restore failed,
    and `problem` then says why; `rotten`: because its bytes are no longer those that were written.
    `expires_at`: it is deleted then."""

    kind: ArchiveKind
    created_at: float
    size_bytes: int
    sha256: str
    contents: ArchiveContents
    app_version: str
    schema: str
    mm_version: str
    verified_at: float | None = None
    problem: str | None = None
    rotten: bool = False
    pinned: bool = False
    expires_at: float | None = None


class ArchiveEntry(Struct):
    """One archive of the list. `timestamp` is its id, empty for a foreign file. `state` as of a
    BackupEntry. `kept_because`: why it stays, and until when."""

    timestamp: str
    filename: str
    kind: ArchiveKind | None
    created_at: float | None
    size_bytes: int
    state: Literal["verified", "unverified", "damaged", "foreign"]
    contents: ArchiveContents | None = None
    app_version: str | None = None
    sha256: str | None = None
    verified_at: float | None = None
    problem: str | None = None
    rotten: bool = False
    pinned: bool = False
    expires_at: float | None = None
    kept_because: str | None = None


class ArchiveRoom(Struct):
    """In bytes: what an archive of everything would need at most while it is made, what is free on
    that disk, and how much of the first is posters."""

    needed: int
    free: int
    posters: int


class ArchiveSchedule(Struct):
    """Archives made by themselves. `time`: HH:MM in the server's time zone. `keep_last`: the newest
    scheduled ones that stay; 0 keeps all."""

    enabled: bool = False
    time: Annotated[str, Meta(pattern=TIME_OF_DAY, max_length=5)] = ARCHIVE_TIME
    days: Annotated[list[Weekday], Meta(max_length=7)] = field(
        default_factory=lambda: list(WEEKDAYS)
    )
    keep_last: Annotated[int, Meta(ge=0, le=ARCHIVES_KEPT_MAX)] = ARCHIVES_KEPT
    include_posters: bool = False


class RestoreState(Struct, omit_defaults=True):
    """How far the last restore of the whole server is, and how it ended. `step` is one of
    services/server/restore_steps; `done` of `total` bytes or rows of that step. `message`: what is
    done now, or how it ended. `archive` and `safety` are timestamps of archives; an archive that is
    not in the list has its file's name. `users` and `movies` are those of the restored database."""

    state: Literal["queued", "running", "done", "failed"]
    archive: str
    started_at: float
    step: str = "check"
    done: int = 0
    total: int = 0
    message: str = ""
    finished_at: float | None = None
    differences: list[SettingDifference] = []
    warnings: list[str] = []
    users: int = 0
    movies: int = 0
    safety: str | None = None


class ArchiveValidation(Struct):
    """What a test restore of an uploaded archive found; nothing of it was kept. `warnings` do not
    keep it from being restored."""

    valid: bool
    message: str
    app_version: str | None
    backup_timestamp: str | None
    warnings: list[str]
    contents: ArchiveContents | None
