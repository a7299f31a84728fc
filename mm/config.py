"""Settings from the environment, read once; every path is derived from the data directory."""

import contextlib
import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

ROOT = Path(__file__).resolve().parent.parent
SECRET_BYTES = 32
DRAFT_OF_KEY = re.compile(r"secret_key\.[0-9a-f]{8}")
POSTGRES = ("postgres", "postgresql")
# In MM_BACKUP_DIR: shows that its disk is mounted.
MARK = ".moviemanager"
SIZE = re.compile(r"(\d{1,9})\s*(MB|GB)", re.IGNORECASE | re.ASCII)
ADDRESSES = "it takes sqlite:///path or postgresql://user:password@host/name"
UNITS = {"MB": 10**6, "GB": 10**9}
# An extra, which requirements.txt names for the tests.
PSYCOPG = "psycopg[binary]==3.3.9"
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
WholeNumber = Annotated[int, msgspec.Meta(ge=0)]


class ConfigError(Exception):
    """A variable that cannot be used; the message names it and says what it takes."""


@dataclass(frozen=True)
class Config:
    """One attribute a variable of the README's table; the default is the default there."""

    data_dir: Path = ROOT / "data"
    backup_dir: Path | None = None
    database_url: str = ""
    huey_url: str = ""
    # gunicorn.conf.py reads it itself, before there is an app.
    bind: str = "127.0.0.1:8000"
    timezone: str = "UTC"
    backup_time: str = "03:00"
    manual_backups_max: WholeNumber = 50
    manual_backups_mb: WholeNumber = 1000
    backup_by_default: bool = False
    archive_max: str = "20 GB"
    admin_token: str = ""
    cors_origins: tuple[str, ...] = ()
    trusted_proxies: WholeNumber = 0
    tmdb_api_key: str = ""
    tmdb_base_url: str = "https://api.themoviedb.org/3"
    tmdb_image_url: str = "https://image.tmdb.org/t/p"
    tmdb_language: str = "en-US"
    tmdb_pace: Annotated[int, msgspec.Meta(ge=1, le=36)] = 36
    omdb_api_key: str = ""
    omdb_base_url: str = "https://www.omdbapi.com/"
    omdb_daily_limit: WholeNumber = 1000
    omdb_pace: Annotated[int, msgspec.Meta(ge=1, le=10)] = 10
    imdb_datasets_url: str = "https://datasets.imdbws.com"
    log_level: LogLevel = "INFO"
    allow_root: bool = False
    # The names of the VARIABLES that were set; the others have their defaults.
    given: frozenset[str] = field(default=frozenset(), compare=False)
    # The names of those that an administrator changed in the pages: mm/stored_settings.
    stored: frozenset[str] = field(default=frozenset(), compare=False)

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir / 'mm.db'}"

    @property
    def queue_file(self) -> Path:
        return self.data_dir / "queue.db"

    @property
    def backups_dir(self) -> Path:
        return self.backup_dir or self.data_dir / "backups"

    @property
    def archives_dir(self) -> Path:
        """Archives of the whole server."""
        return self.backups_dir / "server"

    @property
    def startup_dir(self) -> Path:
        """Copies of the database and of all libraries, made when the server starts."""
        return self.backups_dir / "startup"

    @property
    def archive_max_bytes(self) -> int:
        return size_bytes(self.archive_max)

    @property
    def posters_dir(self) -> Path:
        return self.data_dir / "posters"

    @property
    def tmp_dir(self) -> Path:
        return self.data_dir / "tmp"

    @property
    def catalogue_file(self) -> Path:
        """Films and series of IMDb's datasets, which any server can fetch again: in no backup."""
        return self.data_dir / "catalogue.db"

    @property
    def datasets_dir(self) -> Path:
        """The datasets while they are fetched and read."""
        return self.data_dir / "datasets"

    @property
    def locks_dir(self) -> Path:
        return self.data_dir / "locks"

    @property
    def settings_file(self) -> Path:
        """What administrators changed in the pages: mm/stored_settings."""
        return self.data_dir / "settings.json"

    @property
    def setup_code_file(self) -> Path:
        """Exists while there is no account: who may create the first one."""
        return self.data_dir / "setup_code"

    @property
    def maintenance_file(self) -> Path:
        """Exists while the whole server is restored."""
        return self.data_dir / "maintenance"

    def secret_key(self) -> str:
        """Made on first use. Linked into place, so that web and worker starting together read one
        whole key."""
        path = self.data_dir / "secret_key"
        if not path.exists():
            draft = path.with_name(f"secret_key.{secrets.token_hex(4)}")
            with os.fdopen(
                os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w"
            ) as file:
                file.write(secrets.token_hex(SECRET_BYTES))
                file.flush()
                os.fsync(file.fileno())
            # Another process was quicker, and may have swept this draft already.
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                os.link(draft, path)
        # Of this start, and of others that were killed.
        for draft in self.data_dir.glob("secret_key.*"):
            if DRAFT_OF_KEY.fullmatch(draft.name) and draft.is_file():
                draft.unlink(missing_ok=True)
        key = path.read_text().strip()
        if len(key) < SECRET_BYTES:
            raise ConfigError(
                f"{path} is damaged. Delete it and start again: everybody has to log in anew."
            )
        return key


# Each variable, and the field it sets.
VARIABLES = {
    "MM_DATA_DIR": "data_dir",
    "MM_BACKUP_DIR": "backup_dir",
    "DATABASE_URL": "database_url",
    "HUEY_URL": "huey_url",
    "MM_BIND": "bind",
    "TZ": "timezone",
    "BACKUP_TIME": "backup_time",
    "MANUAL_BACKUPS_MAX": "manual_backups_max",
    "MANUAL_BACKUPS_MB": "manual_backups_mb",
    "BACKUP_BY_DEFAULT": "backup_by_default",
    "MM_ARCHIVE_MAX": "archive_max",
    "ADMIN_TOKEN": "admin_token",
    "CORS_ORIGINS": "cors_origins",
    "MM_TRUSTED_PROXIES": "trusted_proxies",
    "TMDB_API_KEY": "tmdb_api_key",
    "TMDB_BASE_URL": "tmdb_base_url",
    "TMDB_IMAGE_URL": "tmdb_image_url",
    "TMDB_LANGUAGE": "tmdb_language",
    "TMDB_PACE": "tmdb_pace",
    "OMDB_API_KEY": "omdb_api_key",
    "OMDB_BASE_URL": "omdb_base_url",
    "OMDB_DAILY_LIMIT": "omdb_daily_limit",
    "OMDB_PACE": "omdb_pace",
    "IMDB_DATASETS_URL": "imdb_datasets_url",
    "MM_LOG_LEVEL": "log_level",
    "MM_ALLOW_ROOT": "allow_root",
}
# Those that administrators may change in the pages, where the environment does not set them.
CHANGEABLE = (
    "TZ",
    "BACKUP_TIME",
    "BACKUP_BY_DEFAULT",
    "MANUAL_BACKUPS_MAX",
    "MANUAL_BACKUPS_MB",
    "MM_ARCHIVE_MAX",
    "TMDB_API_KEY",
    "TMDB_LANGUAGE",
    "TMDB_PACE",
    "OMDB_API_KEY",
    "OMDB_DAILY_LIMIT",
    "OMDB_PACE",
)
# Those of them that nobody may see.
KEYS = ("TMDB_API_KEY", "OMDB_API_KEY")
# What to say of a value that has another form than the variable takes.
TAKES = {
    "MM_LOG_LEVEL": f"one of {', '.join(get_args(LogLevel))}",
    "TMDB_PACE": "a whole number from 1 to 36",
    "OMDB_PACE": "a whole number from 1 to 10",
}


def from_environ(environ: Mapping[str, str] | None = None) -> Config:
    """Raises ConfigError for a value that cannot be used."""
    env = os.environ if environ is None else environ
    texts = {name: env.get(name, "").strip() for name in VARIABLES}
    values: dict = {VARIABLES[name]: text for name, text in texts.items() if text}
    values["cors_origins"] = re.findall(r"[^,\s]+", texts["CORS_ORIGINS"])
    for folder in ("data_dir", "backup_dir"):
        if folder in values:
            values[folder] = Path(values[folder]).expanduser().resolve()
    for name in ("BACKUP_BY_DEFAULT", "MM_ALLOW_ROOT"):
        values[VARIABLES[name]] = texts[name] == "1"
    values["given"] = frozenset(name for name, text in texts.items() if text)
    try:
        config = msgspec.convert(values, Config, strict=False)
    except msgspec.ValidationError as error:
        name = next(name for name, field in VARIABLES.items() if f"$.{field}`" in str(error))
        takes = TAKES.get(name, "a whole number")
        raise ConfigError(f"{name} is {texts[name]!r}: it takes {takes}") from error
    for name in ("DATABASE_URL", "HUEY_URL"):
        _check_address(name, texts[name])
    try:
        _ = config.zone
    except (ZoneInfoNotFoundError, ValueError) as error:
        takes = "a name such as Europe/Berlin"
        raise ConfigError(f"TZ is {config.timezone!r}: it takes {takes}") from error
    backup_minutes(config.backup_time)
    size_bytes(config.archive_max)
    return config


def parse(name: str, text: str) -> Any:
    """The value that the variable has with this text. Raises ConfigError."""
    try:
        return getattr(from_environ({name: text}), VARIABLES[name])
    except (OSError, ValueError) as error:
        raise ConfigError(f"{name} is {text!r}: it cannot be used") from error


def backup_minutes(text: str) -> tuple[int, int]:
    """ "03:00" -> (3, 0)."""
    hour, _, minute = text.partition(":")
    is_time = text.isascii() and hour.isdecimal() and minute.isdecimal()
    if is_time and int(hour) < 24 and int(minute) < 60:
        return int(hour), int(minute)
    raise ConfigError(f"BACKUP_TIME is {text!r}: it takes a time of day such as 03:00")


def size_bytes(text: str) -> int:
    """ "20 GB" -> 20,000,000,000."""
    if match := SIZE.fullmatch(text.strip()):
        return int(match[1]) * UNITS[match[2].upper()]
    raise ConfigError(f"MM_ARCHIVE_MAX is {text!r}: it takes a size such as 500 MB or 20 GB")


def prepare(config: Config) -> None:
    """Make the data directory and what it must hold; only the owner may enter, and read what is
    written there."""
    os.umask(0o077)
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if config.backup_dir:
        _mark_backup_dir(config.backup_dir, config.data_dir / "backup_dir")
    for folder in (
        config.backups_dir,
        config.posters_dir,
        config.tmp_dir,
        config.locks_dir,
    ):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Where the web framework spools uploads.
    tempfile.tempdir = str(config.tmp_dir)


def is_backup_dir_there(config: Config) -> bool:
    """Whether MM_BACKUP_DIR is the folder that was marked at the start, and not the empty one that
    is seen while its disk is not mounted. True where the variable is not set."""
    return config.backup_dir is None or (config.backup_dir / MARK).is_file()


def _mark_backup_dir(folder: Path, known: Path) -> None:
    """Raises ConfigError where the folder lacks the mark it once got."""
    if known.is_file() and known.read_text() == str(folder):
        if not (folder / MARK).is_file():
            raise ConfigError(
                f"MM_BACKUP_DIR is {folder}, but the backups that were there are gone: its disk is "
                f"probably not mounted. To begin anew in this folder, delete {known}."
            )
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (folder / MARK).is_file():
        (folder / MARK).write_text("Movie Manager keeps backups here. Do not delete this file.\n")
    known.write_text(str(folder))


def _check_address(name: str, url: str) -> None:
    """Never names the address itself, which may hold a password."""
    scheme, separator, rest = url.partition("://")
    if name == "DATABASE_URL" and url and not separator:
        raise ConfigError(f"{name} is no address: {ADDRESSES}")
    if separator and scheme not in ("sqlite", *POSTGRES):
        raise ConfigError(f"{name} begins with {scheme}://: {ADDRESSES}")
    if separator and scheme == "sqlite" and not rest.startswith("/"):
        raise ConfigError(f"{name} needs three slashes, or four for an absolute path: {ADDRESSES}")
    if separator and scheme in POSTGRES:
        try:
            _ = urlsplit(url).port
        except ValueError as error:
            raise ConfigError(f"{name} has a port that is no number: {ADDRESSES}") from error
    if separator and scheme in POSTGRES:
        try:
            import psycopg  # noqa: F401
        except ImportError as error:
            raise ConfigError(
                f'{name} names PostgreSQL, which needs psycopg: .venv/bin/pip install "{PSYCOPG}"'
            ) from error


# What the environment says, and what is in force: that, with the stored settings laid over it.
base = Config()
current = base


def use(config: Config) -> Config:
    """Make `config` the one in force in this process."""
    global base, current
    base = current = config
    return config


def lay_over(values: Mapping[str, Any], names: Iterable[str]) -> Config:
    """Put in force what the environment says with other `values`, by field; `names`: their
    variables."""
    global current
    current = replace(base, **values, stored=frozenset(names))
    return current
