"""A user's settings as items of a file. They are no part of a library: taking them makes no backup
and is no write of it. An address, a key or a password is never among them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

import msgspec

from mm import dates
from mm.dates import PLAIN, Style
from mm.errors import NotFoundError
from mm.models import User
from mm.schemas import SettingItem
from mm.services import date_style, validation
from mm.services.backup import policies
from mm.services.backup.retention import Policy
from mm.services.collections.items import Choice, Entry, Here, listed
from mm.services.library import browse, usual
from mm.services.library.changes import Write
from mm.services.library.usual import Usual
from mm.services.validation import FieldError, one_of, required

NOUN, NOUNS = "setting", "settings"
NAMES_REPEAT = False
CAN_RENAME = False
IN_LIBRARY = False
# A date that tells which number is the month.
EXAMPLE = date(2026, 3, 31)
DELETED_LATER = ": older backups are deleted after the next verified one"

Value = Mapping[str, Any]


class Setting(NamedTuple):
    """One that files have. Its values are objects with the keys of `default`; `read` raises
    FieldError for one that cannot be used. `label`: what the pages call it; `said`: a value in a
    few words; `changes`: what the second value changes in the first, each in words."""

    label: str
    default: Value
    of: Callable[[str], Value]
    read: Callable[[Value], Value]
    save: Callable[[str, Value], None]
    said: Callable[[Value], str]
    changes: Callable[[Value, Value], list[str]]


def choices(user_id: str) -> list[Choice]:
    return [
        Choice(name, setting.label, setting.said(setting.of(user_id)))
        for name, setting in SETTINGS.items()
    ]


def export(user_id: str, ids: Sequence[int | str] | None) -> list[SettingItem]:
    """Also those that were never changed."""
    wanted = set(SETTINGS) if ids is None else {str(each) for each in ids}
    if unknown := wanted - SETTINGS.keys():
        raise NotFoundError(f"There is no setting called {min(unknown)}.")
    return [
        SettingItem(name, dict(setting.of(user_id)))
        for name, setting in SETTINGS.items()
        if name in wanted
    ]


def read(item: dict) -> Entry:
    name = validation.name(item.get("name"))
    setting = SETTINGS.get(name.lower())
    if setting is None:
        raise FieldError("name", "there is no such setting")
    given = item.get("value")
    if not isinstance(given, dict):
        raise FieldError("value", f"expected an object with {' and '.join(setting.default)}")
    values = setting.read(given)
    return Entry(name.lower(), values, _unknown([key for key in given if key not in values]))


def here(user_id: str) -> list[Here]:
    """Those that were changed: the others are nobody's choice yet."""
    now = {name: setting.of(user_id) for name, setting in SETTINGS.items()}
    return [
        Here(name, name, value) for name, value in now.items() if value != SETTINGS[name].default
    ]


def look_at(user_id: str, entries: Sequence[Entry]) -> None:
    """Says what changes where the user has chosen nothing yet; the rest is in `differences`."""
    for entry in entries:
        setting = SETTINGS[entry.name]
        if setting.of(user_id) == setting.default:
            entry.notes += setting.changes(setting.default, entry.values)


def differences(entry: Entry, here: Here) -> list[str]:
    return SETTINGS[entry.name].changes(here.row, entry.values)


def create(change: Write, entries: Sequence[Entry]) -> list[int | str]:
    for entry in entries:
        SETTINGS[entry.name].save(change.user_id, entry.values)
    return [entry.name for entry in entries]


def overwrite(change: Write, pairs: Sequence[tuple[Entry, Here]]) -> None:
    create(change, [entry for entry, _ in pairs])


def _unknown(keys: Sequence[str]) -> list[str]:
    if not keys:
        return []
    is_one = len(keys) == 1
    verb, it = ("is", "it") if is_one else ("are", "them")
    return [f"{listed(keys)} {verb} not known here: taken without {it}"]


# Retention.


def _policy_of(user_id: str) -> Value:
    return _of_policy(policies.of(User.get_by_id(user_id)))


def _of_policy(policy: Policy) -> Value:
    return {f"keep_{kind}": count for kind, count in msgspec.structs.asdict(policy).items()}


def _policy(value: Value) -> Policy:
    """Raises FieldError."""
    counts: dict[str, Any] = {kind: value.get(f"keep_{kind}") for kind in policies.UNITS}
    return policies.changed(Policy(), **counts)


def _save_policy(user_id: str, value: Value) -> None:
    policies.save(User.get_by_id(user_id), _policy(value))


def _policy_changes(mine: Value, theirs: Value) -> list[str]:
    """Fewer backups are kept only from the next verified one on, so each line says it."""
    words = []
    for kind, unit in policies.UNITS.items():
        old, new = mine[f"keep_{kind}"], theirs[f"keep_{kind}"]
        if old != new:
            counted = policies.counted(kind, new) if new else f"no {unit}s"
            instead = f"keeps {counted} instead of {f'{old:,}' if old else 'none'}"
            words.append(instead + (DELETED_LATER if new < old else ""))
    return words


# Dates.


def _style_of(user_id: str) -> Value:
    return _of_style(date_style.of(user_id))


def _of_style(style: Style) -> Value:
    return {"format": style.format, "language": style.language}


def _read_style(value: Value) -> Value:
    return {
        "format": required(one_of(value.get("format"), "format", tuple(dates.FORMATS)), "format"),
        "language": required(
            one_of(value.get("language"), "language", tuple(dates.LANGUAGES)), "language"
        ),
    }


def _style_said(value: Value) -> str:
    return f"{Style(**value).long(EXAMPLE)}, {dates.LANGUAGES[value['language']]}"


def _style_changes(mine: Value, theirs: Value) -> list[str]:
    words = []
    if mine["format"] != theirs["format"]:
        old, new = Style(**mine).long(EXAMPLE), Style(**theirs).long(EXAMPLE)
        words.append(f"format: {old} → {new}")
    if mine["language"] != theirs["language"]:
        old, new = (dates.LANGUAGES[value["language"]] for value in (mine, theirs))
        words.append(f"names of months and days: {old} → {new}")
    return words


# Library.


def _usual_of(user_id: str) -> Value:
    return usual.of(user_id)._asdict()


def _read_usual(value: Value) -> Value:
    return {
        "size": required(one_of(value.get("size"), "size", browse.SIZES), "size"),
        "sort": required(one_of(value.get("sort"), "sort", browse.SORTS), "sort"),
    }


def _usual_changes(mine: Value, theirs: Value) -> list[str]:
    return [
        f"{label}: {labels[mine[key]]} → {labels[theirs[key]]}"
        for key, label, labels in (
            ("size", "posters", browse.SIZE_LABELS),
            ("sort", "sort by", browse.SORT_LABELS),
        )
        if mine[key] != theirs[key]
    ]


# By the names that they have in a file, in the order in which they are shown.
SETTINGS = {
    "retention": Setting(
        label="How long backups are kept",
        default=_of_policy(Policy()),
        of=_policy_of,
        read=lambda value: _of_policy(_policy(value)),
        save=_save_policy,
        said=lambda value: policies.words(_policy(value)),
        changes=_policy_changes,
    ),
    "dates": Setting(
        label="Dates",
        default=_of_style(PLAIN),
        of=_style_of,
        read=_read_style,
        save=lambda user_id, value: date_style.choose(user_id, Style(**value)),
        said=_style_said,
        changes=_style_changes,
    ),
    "library": Setting(
        label="Library",
        default=Usual()._asdict(),
        of=_usual_of,
        read=_read_usual,
        save=lambda user_id, value: usual.choose(user_id, Usual(**value)),
        said=lambda value: usual.words(Usual(**value)),
        changes=_usual_changes,
    ),
}
