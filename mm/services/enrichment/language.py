"""The language of titles, changed in the pages."""

from mm import config
from mm.services import settings
from mm.services.enrichment import queue

VARIABLE = "TMDB_LANGUAGE"


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
