"""Settings of the server as fields of forms, each under the name of its field of `Config`."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

from flask import request

from mm import config, stored_settings
from mm.services import settings

DEFAULTS = {field.name: field.default for field in fields(config.Config)}


@dataclass(frozen=True)
class Field:
    """`text` is what stands in it, `default` what is in force where nothing does. One that is fixed
    is set in the environment, by `variable`."""

    variable: str
    text: str
    default: str
    is_fixed: bool


def typed(variables: Iterable[str]) -> dict[str, str]:
    """What was sent, by variable."""
    names = {variable: config.VARIABLES[variable] for variable in variables}
    return {
        variable: request.form[name] for variable, name in names.items() if name in request.form
    }


def of(variables: Iterable[str], texts: dict[str, str] | None = None) -> dict[str, Field]:
    """By name. `texts`: what was typed, by variable, else what is in force."""
    return {config.VARIABLES[variable]: _of(variable, texts or {}) for variable in variables}


def fault() -> dict[str, str]:
    """What stands above the forms while settings.json cannot be read: they show the defaults."""
    said = stored_settings.fault()
    return {"": said} if said else {}


def _of(variable: str, texts: dict[str, str]) -> Field:
    shown = settings.shown(variable)
    text = shown.text if shown.is_fixed else texts.get(variable, shown.text)
    default = settings.text_of(DEFAULTS[config.VARIABLES[variable]])
    return Field(variable, text, default, shown.is_fixed)
