"""The language of titles, changed in the pages."""

from mm import config
from mm.services import settings
from mm.services.enrichment import queue

VARIABLE = "TMDB_LANGUAGE"
# Those in which TMDB has most titles, by their own names. It takes any other, too.
COMMON = {
    "cs-CZ": "Čeština",
    "da-DK": "Dansk",
    "de-DE": "Deutsch",
    "en-US": "English",
    "es-ES": "Español",
    "es-MX": "Español (Latinoamérica)",
    "fr-FR": "Français",
    "it-IT": "Italiano",
    "hu-HU": "Magyar",
    "nl-NL": "Nederlands",
    "no-NO": "Norsk",
    "pl-PL": "Polski",
    "pt-BR": "Português (Brasil)",
    "pt-PT": "Português (Portugal)",
    "ro-RO": "Română",
    "fi-FI": "Suomi",
    "sv-SE": "Svenska",
    "tr-TR": "Türkçe",
    "el-GR": "Ελληνικά",
    "ru-RU": "Русский",
    "uk-UA": "Українська",
    "he-IL": "עברית",
    "ar-SA": "العربية",
    "ja-JP": "日本語",
    "zh-CN": "中文（简体）",
    "zh-TW": "中文（繁體）",
    "ko-KR": "한국어",
}


def change(text: str, again: bool) -> bool:
    """Put the language in force; whether it is another one now. `again`: look all titles up again;
    else only new ones get it, and others when they are next refreshed. Raises what
    `settings.save` raises."""
    is_usable = settings.problem_of(VARIABLE, text) is None
    if is_usable and not again:
        # First: the worker compares the languages at any time.
        queue.keep_titles(text.strip() or config.base.tmdb_language)
    changed = bool(settings.save({VARIABLE: text}))
    if changed and again:
        queue.renew_all()
    elif changed:
        queue.check_language()
    return changed
