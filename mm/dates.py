"""How dates look: in a format and with the names of months and days in a language, both chosen by
who reads them. What stands around a date, "on" or "yesterday", is English as the pages are."""

import re
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import NamedTuple

from babel import Locale
from babel.dates import format_date

# By code, each by its own name.
LANGUAGES = {
    "id": "Bahasa Indonesia",
    "ca": "Català",
    "cs": "Čeština",
    "da": "Dansk",
    "de": "Deutsch",
    "en": "English",
    "es": "Español",
    "fr": "Français",
    "hr": "Hrvatski",
    "it": "Italiano",
    "hu": "Magyar",
    "nl": "Nederlands",
    "nb": "Norsk bokmål",
    "pl": "Polski",
    "pt": "Português",
    "ro": "Română",
    "sk": "Slovenčina",
    "fi": "Suomi",
    "sv": "Svenska",
    "tr": "Türkçe",
    "el": "Ελληνικά",
    "ru": "Русский",
    "uk": "Українська",
    "ja": "日本語",
    "zh": "简体中文",
    "ko": "한국어",
}


class Patterns(NamedTuple):
    """In the letters of Unicode's CLDR. `yearless`: for a day of which the year is clear."""

    short: str
    long: str
    yearless: str
    short_weekday: str
    long_weekday: str


def _numbers(pattern: str) -> Patterns:
    # Without its year, 03/04 would be a riddle.
    return Patterns(pattern, pattern, pattern, f"EEE {pattern}", f"EEEE {pattern}")


FORMATS = {
    "day_month": Patterns("d MMM y", "d MMMM y", "d MMMM", "EEE d MMM y", "EEEE d MMMM y"),
    "month_day": Patterns("MMM d, y", "MMMM d, y", "MMMM d", "EEE, MMM d, y", "EEEE, MMMM d, y"),
    "day_slashes": _numbers("dd/MM/yyyy"),
    "month_slashes": _numbers("MM/dd/yyyy"),
    "day_dots": _numbers("dd.MM.yyyy"),
    "iso": _numbers("yyyy-MM-dd"),
}


@dataclass(frozen=True)
class Style:
    """A key of FORMATS and one of LANGUAGES."""

    format: str = "day_month"
    language: str = "en"

    def short(self, day: date) -> str:
        """Such as "3 Mar 2026"."""
        return format_date(day, self._patterns.short, self.language)

    def long(self, day: date) -> str:
        """Such as "3 March 2026"."""
        return format_date(day, self._patterns.long, self.language)

    def yearless(self, day: date) -> str:
        """Such as "3 March"."""
        return format_date(day, self._patterns.yearless, self.language)

    def short_weekday(self, day: date) -> str:
        """Such as "Tue 3 Mar 2026"."""
        return format_date(day, self._patterns.short_weekday, self.language)

    def medium_weekday(self, day: date) -> str:
        """Such as "Tuesday 3 Mar 2026"."""
        pattern = re.sub("E+|c+", "EEEE", self._patterns.short_weekday)
        return format_date(day, pattern, self.language)

    def long_weekday(self, day: date) -> str:
        """Such as "Tuesday 3 March 2026"."""
        return format_date(day, self._patterns.long_weekday, self.language)

    @property
    def _patterns(self) -> Patterns:
        # Other languages have a way of their own to write "3 March 2026": "3. März 2026".
        if self.format == "day_month" and self.language != "en":
            return _of_language(self.language)
        return FORMATS[self.format]


PLAIN = Style()


@cache
def _of_language(language: str) -> Patterns:
    locale = Locale.parse(language)
    skeletons = locale.datetime_skeletons
    return Patterns(
        short=skeletons["yMMMd"].pattern,
        long=locale.date_formats["long"].pattern,
        yearless=skeletons["MMMMd"].pattern,
        short_weekday=skeletons["yMMMEd"].pattern,
        long_weekday=locale.date_formats["full"].pattern,
    )
