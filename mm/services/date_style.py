"""How each user wants dates to look, among their settings."""

from mm import dates
from mm.dates import PLAIN, Style
from mm.errors import InvalidError
from mm.schemas import Problem
from mm.services import user_settings

KEY = "dates"


def of(user_id: str) -> Style:
    """What is stored and unknown here, as another version may have written it, counts as not
    chosen."""
    stored = user_settings.get(user_id, KEY)
    if not isinstance(stored, dict):
        return PLAIN
    chosen, language = str(stored.get("format")), str(stored.get("language"))
    return Style(
        chosen if chosen in dates.FORMATS else PLAIN.format,
        language if language in dates.LANGUAGES else PLAIN.language,
    )


def choose(user_id: str, style: Style) -> None:
    """Raises InvalidError, with problems at `format` and `language`."""
    problems = []
    if style.format not in dates.FORMATS:
        problems.append(Problem("format", "Choose one of these formats."))
    if style.language not in dates.LANGUAGES:
        problems.append(Problem("language", "Choose one of these languages."))
    if problems:
        raise InvalidError(problems[0].reason, problems)
    user_settings.put(user_id, KEY, {"format": style.format, "language": style.language})
