"""The settings of the server that administrators change: variables of the configuration, which
`stored_settings` keeps, and the schedule of archives, which is in the database.

In force they are read in one place, `config.current`, by web, worker and commands alike.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from mm import config, models, stored_settings
from mm.database import db
from mm.errors import InvalidError
from mm.schemas import ArchiveSchedule, Problem

# Keys of the table `setting`. What else it holds are marks of the program.
ARCHIVES = "server.archives"
Source = Literal["default", "environment", "setting"]
SECRETS = config.KEYS
# What stands in a field instead of a secret; a value that begins with it means: keep what is there.
MASK = "••••••••"
SHOWN_OF_SECRET = 4
# Of shorter secrets nothing is shown.
SHOWN_FROM = 16
TEXT_MAX = 1000
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Z]{2})?", re.ASCII)
NUMBER = re.compile(r"[0-9]{1,9}")
# What is wrong with a value, to stand at its field.
WORDS = {
    "TZ": "choose a time zone such as Europe/Berlin",
    "BACKUP_TIME": "write a time of day such as 03:00",
    "MM_ARCHIVE_MAX": "write a size such as 500 MB or 20 GB",
    "TMDB_LANGUAGE": "write a language such as en-US or de-DE",
    "TMDB_PACE": "write a whole number from 1 to 36",
    "OMDB_PACE": "write a whole number from 1 to 10",
}
WHOLE_NUMBER = "write a whole number"
BLANK_KEY = "these are only spaces: enter the key, or leave the field empty"
BROKEN_KEY = "a key has no spaces, line breaks or special characters"
LONG_KEY = "this is longer than any key"


@dataclass(frozen=True)
class Shown:
    """A setting as its field shows it. `text` is the value, or MASK and the end of a secret; empty
    where there is none."""

    name: str
    text: str
    source: Source

    @property
    def is_fixed(self) -> bool:
        """Set in the environment, which a page cannot change."""
        return self.source == "environment"


def archives() -> ArchiveSchedule:
    return msgspec.convert(models.setting(ARCHIVES, {}), ArchiveSchedule)


def put_archives(schedule: ArchiveSchedule) -> None:
    with db.atomic():
        models.put_setting(ARCHIVES, msgspec.to_builtins(schedule))


def shown(name: str) -> Shown:
    """The setting of this variable, one of `config.CHANGEABLE`."""
    text = text_of(getattr(config.current, config.VARIABLES[name]))
    return Shown(name, masked(text) if name in SECRETS else text, source_of(name))


def source_of(name: str) -> Source:
    """Where the value of a variable that is in force comes from."""
    if name in config.base.given:
        return "environment"
    return "setting" if name in config.current.stored else "default"


def save(typed: Mapping[str, str]) -> set[str]:
    """Store what was typed, by variable, and put it in force, here and in the other processes.
    Returns the variables whose value is another one now. What the environment sets and a masked
    secret stay as they are; an empty text means the default.

    Raises InvalidError, whose problems are at the fields of `Config`; then nothing is stored. And
    what `stored_settings.write` raises.
    """
    problems, texts = [], {}
    for name, text in typed.items():
        if source_of(name) == "environment" or (name in SECRETS and text.startswith(MASK)):
            continue
        if reason := problem_of(name, text):
            problems.append(Problem(config.VARIABLES[name], reason))
        texts[name] = text.strip() or None
    if problems:
        raise InvalidError(problems[0].reason, problems)
    before = {name: getattr(config.current, config.VARIABLES[name]) for name in texts}
    stored_settings.write(texts)
    return {
        name
        for name, value in before.items()
        if getattr(config.current, config.VARIABLES[name]) != value
    }


def problem_of(name: str, text: str) -> str | None:
    """Why the variable cannot have this value, to stand at its field; None where it can."""
    stripped = text.strip()
    if name in SECRETS:
        if text and not stripped:
            return BLANK_KEY
        if len(stripped) > TEXT_MAX:
            return LONG_KEY
        usable = stripped.isascii() and stripped.isprintable() and " " not in stripped
        return None if usable else BROKEN_KEY
    if not stripped:
        return None
    words = WORDS.get(name, WHOLE_NUMBER)
    if len(stripped) > TEXT_MAX or not stripped.isprintable():
        return words
    if name == "TMDB_LANGUAGE" and not LANGUAGE.fullmatch(stripped):
        return words
    if words == WHOLE_NUMBER and not NUMBER.fullmatch(stripped):
        return words
    try:
        value = config.parse(name, stripped)
    except config.ConfigError:
        return words
    # It would refuse every archive, those made here too.
    if name == "MM_ARCHIVE_MAX" and not config.size_bytes(value):
        return words
    return None


def masked(secret: str) -> str:
    if not secret:
        return ""
    return MASK + (secret[-SHOWN_OF_SECRET:] if len(secret) >= SHOWN_FROM else "")


def text_of(value: object) -> str:
    """A value as one would write it into the environment."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
