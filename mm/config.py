"""Settings from the environment, read once; every path is derived from the data directory."""

import contextlib
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

ROOT = Path(__file__).resolve().parent.parent
SECRET_BYTES = 32
DRAFT_OF_KEY = re.compile(r"secret_key\.[0-9a-f]{8}")
POSTGRES = ("postgres", "postgresql")
# An extra, which requirements.txt names for the tests.
PSYCOPG = "psycopg[binary]==3.3.9"
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class ConfigError(Exception):
    """A variable that cannot be used; the message names it and says what it takes."""


@dataclass(frozen=True)
class Config:
    """One attribute a variable of the README's table; the default is the default there."""

    data_dir: Path = ROOT / "data"
    database_url: str = ""
    huey_url: str = ""
    timezone: str = "UTC"
    backup_time: str = "03:00"
    admin_token: str = ""
    cors_origins: tuple[str, ...] = ()
    trusted_proxies: int = 0
    tmdb_api_key: str = ""
    tmdb_base_url: str = "https://api.themoviedb.org/3"
    tmdb_image_url: str = "https://image.tmdb.org/t/p"
    tmdb_language: str = "en-US"
    omdb_api_key: str = ""
    omdb_base_url: str = "https://www.omdbapi.com/"
    omdb_daily_limit: int = 1000
    log_level: str = "INFO"
    allow_root: bool = False

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
        return self.data_dir / "backups"

    @property
    def posters_dir(self) -> Path:
        return self.data_dir / "posters"

    @property
    def tmp_dir(self) -> Path:
        return self.data_dir / "tmp"

    @property
    def locks_dir(self) -> Path:
        return self.data_dir / "locks"

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


def from_environ(environ: Mapping[str, str] | None = None) -> Config:
    """Raises ConfigError for a value that cannot be used."""
    env = os.environ if environ is None else environ
    text = {
        "database_url": "DATABASE_URL",
        "huey_url": "HUEY_URL",
        "timezone": "TZ",
        "backup_time": "BACKUP_TIME",
        "admin_token": "ADMIN_TOKEN",
        "tmdb_api_key": "TMDB_API_KEY",
        "tmdb_base_url": "TMDB_BASE_URL",
        "tmdb_image_url": "TMDB_IMAGE_URL",
        "tmdb_language": "TMDB_LANGUAGE",
        "omdb_api_key": "OMDB_API_KEY",
        "omdb_base_url": "OMDB_BASE_URL",
        "log_level": "MM_LOG_LEVEL",
    }
    values: dict = {
        field: env[name].strip() for field, name in text.items() if env.get(name, "").strip()
    }
    values |= {
        field: _whole_number(env, name)
        for field, name in {
            "trusted_proxies": "MM_TRUSTED_PROXIES",
            "omdb_daily_limit": "OMDB_DAILY_LIMIT",
        }.items()
        if env.get(name)
    }
    values["allow_root"] = env.get("MM_ALLOW_ROOT", "").strip() == "1"
    if env.get("MM_DATA_DIR"):
        values["data_dir"] = Path(env["MM_DATA_DIR"]).expanduser().resolve()
    if env.get("CORS_ORIGINS"):
        values["cors_origins"] = tuple(
            filter(None, (part.strip() for part in env["CORS_ORIGINS"].split(",")))
        )
    config = Config(**values)
    for name, url in {"DATABASE_URL": config.database_url, "HUEY_URL": config.huey_url}.items():
        _check_address(name, url)
    _check_zone(config)
    _check_log_level(config)
    backup_minutes(config.backup_time)
    return config


def backup_minutes(text: str) -> tuple[int, int]:
    """ "03:00" -> (3, 0)."""
    hour, _, minute = text.partition(":")
    if hour.isdecimal() and minute.isdecimal() and int(hour) < 24 and int(minute) < 60:
        return int(hour), int(minute)
    raise ConfigError(f"BACKUP_TIME is {text!r}: it takes a time of day such as 03:00")


def prepare(config: Config) -> None:
    """Make the data directory and what it must hold; only the owner may enter, and read what is
    written there."""
    os.umask(0o077)
    for folder in (
        config.data_dir,
        config.backups_dir,
        config.posters_dir,
        config.tmp_dir,
        config.locks_dir,
    ):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Where the web framework spools uploads.
    tempfile.tempdir = str(config.tmp_dir)


def _whole_number(env: Mapping[str, str], name: str) -> int:
    if env[name].strip().isdecimal():
        return int(env[name])
    raise ConfigError(f"{name} is {env[name]!r}: it takes a whole number")


def _check_zone(config: Config) -> None:
    try:
        _ = config.zone
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(
            f"TZ is {config.timezone!r}: it takes a name such as Europe/Berlin"
        ) from error


def _check_address(name: str, url: str) -> None:
    """Never names the address itself, which may hold a password."""
    scheme, separator, _ = url.partition("://")
    if separator and scheme not in ("sqlite", *POSTGRES):
        takes = "it takes sqlite:///path or postgresql://user:password@host/name"
        raise ConfigError(f"{name} begins with {scheme}://: {takes}")
    if separator and scheme in POSTGRES:
        try:
            import psycopg  # noqa: F401
        except ImportError as error:
            raise ConfigError(
                f'{name} names PostgreSQL, which needs psycopg: .venv/bin/pip install "{PSYCOPG}"'
            ) from error


def _check_log_level(config: Config) -> None:
    if config.log_level not in LOG_LEVELS:
        raise ConfigError(
            f"MM_LOG_LEVEL is {config.log_level!r}: it takes one of {', '.join(LOG_LEVELS)}"
        )


current = Config()


def use(config: Config) -> Config:
    """Make `config` the one in force in this process."""
    global current
    current = config
    return config
