"""The configuration in force, as settings.json of an archive holds it: each variable and each
setting of the server with where its value comes from.

A settings.json may come from anywhere: what this version does not know or cannot use is left out.
"""

import os
import re
from pathlib import Path
from typing import Any

import msgspec

from mm import config, files, log, models, stored_settings
from mm.database import db
from mm.models import Setting
from mm.schemas import ArchiveSchedule, SettingDifference, SettingsFile, SettingValue
from mm.services import settings
from mm.services.settings import Source, text_of

VERSION = 1
FILE_MAX = 2**20
# TMDB's read tokens have more than 200 characters.
TEXT_MAX = 1000
SECRETS = ("TMDB_API_KEY", "OMDB_API_KEY", "ADMIN_TOKEN")
# Where a machine keeps its things, which another machine has its own answers to.
PLACES = ("MM_DATA_DIR", "MM_BACKUP_DIR", "MM_BIND", "DATABASE_URL", "HUEY_URL", "MM_ALLOW_ROOT")
# The settings of the table that belong into the file, and what each holds.
SETTINGS: dict[str, Any] = {settings.ARCHIVES: ArchiveSchedule}
IN_QUERY = re.compile(r"(key|token|password)=", re.IGNORECASE)
# Of what `put` changes, as it was before.
KEPT_FILE, KEPT_ROWS = "settings.before.json", "settings.rows.json"
UNREADABLE = "The settings in the archive cannot be read. They were left out."
LEFT_OUT = "Settings that this version cannot use were left out: "


def settings_file(secrets: bool = False) -> SettingsFile:
    """With the values of secrets only if asked for: else `set` says whether there is one."""
    values = {name: _variable(name, secrets) for name in config.VARIABLES}
    stored = {row.key for row in Setting.select(Setting.key).where(Setting.key << list(SETTINGS))}
    for key, kind in SETTINGS.items():
        value = msgspec.convert(models.setting(key, {}), kind)
        source: Source = "setting" if key in stored else "default"
        values[key] = SettingValue(source, msgspec.to_builtins(value))
    return SettingsFile(VERSION, values)


def read(path: Path) -> tuple[SettingsFile, list[str]]:
    """A settings.json from anywhere, without what cannot be used, and warnings that say so."""
    with path.open("rb") as file:
        body = file.read(FILE_MAX + 1)
    try:
        if len(body) > FILE_MAX:
            raise msgspec.ValidationError("longer than any settings")
        found = msgspec.json.decode(body, type=dict[str, Any])
        rows = msgspec.convert(found.get("settings"), dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        log.warning("settings.unreadable", reason=type(error).__name__)
        return SettingsFile(VERSION, {}), [UNREADABLE]
    return checked(rows)


def checked(rows: dict[str, Any]) -> tuple[SettingsFile, list[str]]:
    """The settings that a file from anywhere holds, without what cannot be used, and warnings that
    say so."""
    usable, left_out = {}, set()
    for name, row in rows.items():
        value = _usable(name, row)
        if value is None:
            left_out.add(name if name in {*config.VARIABLES, *SETTINGS} else "unknown ones")
        else:
            usable[name] = value
    if not left_out:
        return SettingsFile(VERSION, usable), []
    names = ", ".join(sorted(left_out))
    log.warning("settings.left_out", names=names)
    return SettingsFile(VERSION, usable), [f"{LEFT_OUT}{names}."]


def differences(file: SettingsFile) -> list[SettingDifference]:
    """What the file's server had set and this one, once the file is `put`, lacks or has otherwise.
    Never names the value of a secret."""
    filled_in = _usable_variables(file)
    known = [name for name in config.VARIABLES if name in file.settings and name not in filled_in]
    told = [(name, _difference(name, file.settings[name])) for name in known]
    return [SettingDifference(name, text) for name, text in told if text]


def usable_settings(file: SettingsFile) -> dict[str, Any]:
    """The values of the table's settings that the file brings, ready to be stored."""
    usable = {}
    for key, kind in SETTINGS.items():
        given = file.settings.get(key)
        if given is None or given.source != "setting":
            continue
        try:
            usable[key] = msgspec.to_builtins(msgspec.convert(given.value, kind))
        except msgspec.ValidationError as error:
            log.warning("settings.left_out", names=key, reason=str(error))
    return usable


def put(file: SettingsFile) -> int:
    """Store the settings that the file brings, and what it says of the variables that pages may
    change and that this environment does not set; how many. Raises what `stored_settings.write`
    raises."""
    usable, variables = usable_settings(file), _usable_variables(file)
    with db.atomic():
        for key, value in usable.items():
            models.put_setting(key, value)
    if variables:
        stored_settings.write(variables)
    return len(usable) + len(variables)


def require_puttable(file: SettingsFile) -> None:
    """Raises UnavailableError where `put` would, because settings.json here is damaged."""
    if _usable_variables(file):
        stored_settings.read()


def keep_for_later(folder: Path) -> None:
    """What `put` is about to change, for `put_back`. Done again, it keeps what it has."""
    if (folder / KEPT_FILE).exists():
        return
    values = {key: models.setting(key) for key in SETTINGS}
    rows = {key: value for key, value in values.items() if value is not None}
    path = folder / KEPT_ROWS
    path.unlink(missing_ok=True)
    files.write(path, msgspec.json.encode(rows))
    # Last: where it is, both are.
    stored_settings.keep_copy(folder / KEPT_FILE)


def put_back(folder: Path, rows: bool) -> None:
    """Undo a `put`, if there was one. `rows`: in the table too, whose database is the same."""
    if not (folder / KEPT_FILE).exists():
        return
    if rows:
        kept = msgspec.json.decode((folder / KEPT_ROWS).read_bytes(), type=dict[str, Any])
        with db.atomic():
            Setting.delete().where(Setting.key << list(SETTINGS)).execute()
            for key, value in kept.items():
                models.put_setting(key, value)
    stored_settings.put_back(folder / KEPT_FILE)


def keep_replaced_keys(folder: Path) -> Path | None:
    """After a `put` that has replaced a key: settings.json as it was before, beside the one of now,
    since no archive that was not asked for holds a key. Done again, it is the same file. Raises
    NoRoomError."""
    kept = folder / KEPT_FILE
    if not kept.exists() or not kept.stat().st_size:
        return None
    before, now = stored_settings.read(kept), stored_settings.read()
    if all(before.get(name) in (None, now.get(name)) for name in config.KEYS):
        return None
    path = config.current.settings_file.with_name(f"settings.before-{folder.name}.json")
    with files.draft(path.parent) as draft:
        files.write(draft, kept.read_bytes())
        os.replace(draft, path)
        files.sync_folder(path.parent)
    return path


def _usable_variables(file: SettingsFile) -> dict[str, str]:
    """The variables that `put` fills in."""
    usable = {}
    for name in config.CHANGEABLE:
        there = file.settings.get(name)
        if there is None or there.source == "default" or name in config.base.given:
            continue
        text = None if there.value is msgspec.UNSET else _usable_text(name, there.value)
        if text and settings.problem_of(name, text) is None:
            usable[name] = text
    return usable


def _variable(name: str, secrets: bool) -> SettingValue:
    value = getattr(config.current, config.VARIABLES[name])
    source = settings.source_of(name)
    if not _is_secret(name, text_of(value)):
        plain = list(value) if isinstance(value, tuple) else value
        return SettingValue(source, str(value) if isinstance(value, Path) else plain)
    if secrets and value:
        return SettingValue(source, value, set=True)
    return SettingValue(source, set=bool(value))


def _difference(name: str, there: SettingValue) -> str | None:
    is_place_of_ours = name in PLACES and name in config.current.given
    if there.source == "default" or is_place_of_ours:
        return None
    here = text_of(getattr(config.current, config.VARIABLES[name]))
    text = None if there.value is msgspec.UNSET else _usable_text(name, there.value)
    if name in SECRETS or there.set or (text and _is_secret(name, text)):
        return _difference_of_secret(name, there.set is True or bool(text), text, here)
    if not text or text == here:
        return None
    return f"{name} was {text} there; here it is {here or 'not set'}."


def _difference_of_secret(name: str, was_set: bool, text: str | None, here: str) -> str | None:
    where = " The archive’s settings.json holds it." if text else ""
    if was_set and not here:
        enter = "enter it here on Server › Providers" if name in config.KEYS else "set it here, too"
        return f"{name} was set there; {enter}.{where}"
    if text and text != here:
        return f"{name} is not the same as it was there.{where}"
    return None


def _usable(name: str, row: Any) -> SettingValue | None:
    try:
        value = msgspec.convert(row, SettingValue)
        if name in SETTINGS:
            msgspec.convert(value.value, SETTINGS[name])
            return value
    except msgspec.ValidationError:
        return None
    has_value = value.value not in (msgspec.UNSET, None, "")
    is_known = name in config.VARIABLES
    if not is_known or (has_value and _usable_text(name, value.value) is None):
        return None
    return value


def _usable_text(name: str, value: Any) -> str | None:
    """The value as one would write it into the environment; None where it could not be used."""
    parts = value if isinstance(value, list) else [value]
    if not all(isinstance(part, str | int) for part in parts):
        return None
    text = text_of(value)
    if len(text) > TEXT_MAX or not text.isprintable():
        return None
    if name in PLACES:
        return text
    try:
        return text_of(config.parse(name, text))
    except config.ConfigError:
        return None


def _is_secret(name: str, text: str) -> bool:
    """An address may hold a password: scheme://user:password@host, or ?password=."""
    user = text.partition("://")[2].rpartition("@")[0]
    return name in SECRETS or ":" in user or IN_QUERY.search(text) is not None
