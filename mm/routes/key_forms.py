"""The fields for the providers' keys, wherever they stand: testing what is typed, and saving it.

The fields are named as those of `Config`; `admin/_key.html` shows them."""

from dataclasses import dataclass

from flask import abort, request

from mm import auth, config, tasks
from mm.routes import setting_fields
from mm.services import settings
from mm.services.enrichment import keys, pauses
from mm.services.settings import Shown

KEYS = {"tmdb": "TMDB_API_KEY", "omdb": "OMDB_API_KEY"}
NO_KEY = "Enter a key first."


@dataclass(frozen=True)
class KeyCard:
    """What `admin/_key.html` shows of one provider's key. `text`: what stands in its field; never
    a stored key. `result`: what a test that was just made has found."""

    provider: str
    shown: Shown
    text: str
    result: keys.KeyTest | None = None

    @property
    def name(self) -> str:
        return pauses.NAMES[self.provider]

    @property
    def adds(self) -> str:
        return pauses.ADDS[self.provider]

    @property
    def field(self) -> str:
        return config.VARIABLES[self.shown.name]


def card(provider: str, result: keys.KeyTest | None = None) -> KeyCard:
    """What was typed stays in the field, until it is saved."""
    shown = settings.shown(KEYS[provider])
    field = config.VARIABLES[shown.name]
    typed = request.form.get(field, shown.text).strip()
    is_stored = shown.is_fixed or typed == pauses.key(provider)
    return KeyCard(provider, shown, shown.text if is_stored else typed, result)


def test_typed(provider: str) -> keys.KeyTest:
    """Test the key that was typed; where the field is masked or fixed, the one in force."""
    if provider not in KEYS:
        abort(404)
    shown = settings.shown(KEYS[provider])
    typed = request.form.get(config.VARIABLES[shown.name], settings.MASK)
    is_kept = shown.is_fixed or typed.startswith(settings.MASK)
    if not is_kept and (reason := settings.problem_of(shown.name, typed)):
        return keys.KeyTest(False, f"{reason[0].upper()}{reason[1:]}.")
    key = pauses.key(provider) if is_kept else typed.strip()
    if not key:
        return keys.KeyTest(False, NO_KEY)
    return keys.test(provider, key)


def save_typed(*names: str) -> set[str]:
    """Store what the form has of these variables, and start the look-ups that it makes possible.
    Returns the variables that changed. Raises what `settings.save` raises."""
    changed = settings.save(setting_fields.typed(names))
    if changed:
        auth.log_action("settings.changed", names=", ".join(sorted(changed)))
        tasks.start_enrichment()
    return changed
