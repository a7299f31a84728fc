"""Dates as each user wants them: formats, languages, and the pages that show them."""

from datetime import UTC, date, datetime, timedelta

import pytest
from playhouse.test_utils import count_queries

from mm import dates, spoken
from mm.dates import PLAIN, Style
from mm.errors import InvalidError
from mm.models import User
from mm.services import date_style, user_settings
from mm.services.backup import backups, history, state
from mm.services.enrichment import pauses
from mm.services.library import movies, people

TUESDAY = date(2026, 3, 3)
GERMAN = Style("day_month", "de")
AMERICAN = Style("month_day", "en")
FORMATS = {
    "day_month": "3 March 2026",
    "month_day": "March 3, 2026",
    "day_slashes": "03/03/2026",
    "month_slashes": "03/03/2026",
    "day_dots": "03.03.2026",
    "iso": "2026-03-03",
}


@pytest.fixture
def some_films(alice, frozen_clock):
    """Twenty films that Zoe recommended to Alice and Alice watched, in the year before."""
    people.create(alice.id, "Zoe")
    for number in range(1, 21):
        imdb_id, day = f"tt{number:07d}", at(date(2025, 9, number))
        movies.add(alice.id, imdb_id)
        movies.watch(alice.id, imdb_id, date_watched=day)
        movies.recommend(alice.id, imdb_id, "Zoe", True, at=day)


def at(day):
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("name", dates.FORMATS)
def test_each_format_writes_a_date(name):
    assert Style(name).long(TUESDAY) == FORMATS[name]


def test_numbers_stand_in_the_order_of_the_format():
    day = date(2026, 11, 4)
    assert Style("day_slashes").short(day) == "04/11/2026"
    assert Style("month_slashes").short(day) == "11/04/2026"


def test_until_somebody_chooses_dates_are_english_on_every_day():
    for number in range(0, 40_000, 13):
        day = date(1930, 1, 1) + timedelta(number)
        assert PLAIN.short(day) == f"{day.day} {day:%b %Y}"
        assert PLAIN.long(day) == f"{day.day} {day:%B %Y}"
        assert PLAIN.yearless(day) == f"{day.day} {day:%B}"
        assert PLAIN.short_weekday(day) == f"{day:%a} {day.day} {day:%b %Y}"
        assert PLAIN.medium_weekday(day) == f"{day:%A} {day.day} {day:%b %Y}"
        assert PLAIN.long_weekday(day) == f"{day:%A} {day.day} {day:%B %Y}"


@pytest.mark.parametrize(
    ("language", "written"),
    [
        ("de", "Dienstag, 3. März 2026"),
        ("fr", "mardi 3 mars 2026"),
        ("es", "martes, 3 de marzo de 2026"),
        ("pl", "wtorek, 3 marca 2026"),
        ("fi", "tiistai 3. maaliskuuta 2026"),
        ("hu", "2026. március 3., kedd"),
        ("ja", "2026年3月3日火曜日"),
    ],
)
def test_a_date_in_words_is_written_as_its_language_does(language, written):
    assert Style("day_month", language).long_weekday(TUESDAY) == written


@pytest.mark.parametrize("language", dates.LANGUAGES)
@pytest.mark.parametrize("name", dates.FORMATS)
def test_every_format_has_the_day_in_every_language(name, language):
    style = Style(name, language)
    texts = (style.short, style.long, style.yearless, style.short_weekday, style.medium_weekday)
    for text in (*texts, style.long_weekday):
        assert "17" in text(date(2026, 4, 17))


def test_languages_are_offered_by_their_own_names_in_order():
    plain = str.maketrans("ČčçşńÇ", "CccsnC")
    names = [name.translate(plain) for name in dates.LANGUAGES.values()]
    assert names == sorted(names)


def test_words_stay_english_around_a_date_of_another_language():
    now, then = at(TUESDAY), at(date(2026, 1, 5))
    assert spoken.ago(then, now, UTC, GERMAN) == "5. Jan. 2026"
    assert spoken.ago(now - 3 * 86400, now, UTC, GERMAN) == "3 days ago"
    assert spoken.past_day(now - 86400, now, UTC, GERMAN) == "yesterday"
    assert spoken.past_day(then, now, UTC, GERMAN) == "5. Januar"
    assert spoken.due(now + 20 * 86400, now, UTC, GERMAN) == "on 23. März at 12:00"
    assert spoken.due(now + 3 * 86400, now, UTC, GERMAN) == "on Friday at 12:00"


def test_without_its_year_a_date_in_numbers_would_be_a_riddle():
    assert spoken.past_day(at(date(2026, 1, 5)), at(TUESDAY), UTC, Style("iso")) == "2026-01-05"


@pytest.mark.parametrize("style", [Style("month_day"), Style("month_day", "tr"), Style("iso")])
def test_a_date_that_begins_with_its_month_is_not_taken_for_a_weekday(frozen_clock, style):
    named = history.name_of("2026-01-05.json", style)
    assert named == f"the backup of {style.yearless(date(2026, 1, 5))}"


def test_the_state_of_the_backups_says_dates_as_its_reader_wants_them():
    now = at(TUESDAY)
    facts = state.Facts(copied_at=now - 20 * 86400, enabled=True, changes=None)
    headlines = {
        style: state.verdict(facts, now, UTC, style).headline for style in (PLAIN, GERMAN, AMERICAN)
    }
    assert headlines == {
        PLAIN: "No backup since 11 February",
        GERMAN: "No backup since 11. Februar",
        AMERICAN: "No backup since February 11",
    }


def test_a_failed_backup_is_named_by_its_date():
    now = at(TUESDAY)
    facts = state.Facts(copied_at=now - 30 * 86400, failed=True, failed_at=now - 20 * 86400)
    assert state.verdict(facts, now, UTC, AMERICAN).headline == "The backup of February 11 failed"


def test_a_pause_of_a_provider_is_told_in_the_readers_format(database, frozen_clock, monkeypatch):
    monkeypatch.setattr(pauses, "key", lambda provider: "key")
    pauses.pause("tmdb", "Too many requests", 3600)
    assert "until 1 March 2026, 13:00:" in pauses.notices()[0]
    assert "until 2026-03-01, 13:00:" in pauses.notices(Style("iso"))[0]


def test_what_is_stored_and_unknown_counts_as_not_chosen(alice, database):
    stored = (
        {"format": "stardate", "language": "tlh"},
        {"format": ["iso"], "language": {}},
        {},
        "iso",
        None,
        [1],
    )
    for value in stored:
        user_settings.put(alice.id, "dates", value)
        assert date_style.of(alice.id) == PLAIN
    user_settings.put(alice.id, "dates", {"format": "iso", "language": "tlh"})
    assert date_style.of(alice.id) == Style("iso", "en")


def test_an_unknown_choice_is_refused_and_changes_nothing(alice, database):
    date_style.choose(alice.id, GERMAN)
    with pytest.raises(InvalidError) as caught:
        date_style.choose(alice.id, Style("stardate", "tlh"))
    assert [problem.path for problem in caught.value.errors] == ["format", "language"]
    assert date_style.of(alice.id) == GERMAN


def test_pages_show_dates_as_their_reader_chose(page, alice, bob, some_films):
    assert "Watched on 1 Sep 2025" in page.get("/movies/tt0000001").text
    date_style.choose(alice.id, GERMAN)
    shown = page.get("/movies/tt0000001").text
    assert "Watched on 1. Sept. 2025" in shown
    assert "Sonntag, 1. März 2026, 12:00:00 UTC" in shown
    assert date_style.of(bob.id) == PLAIN


def test_what_machines_read_stays_iso(page, alice, some_films):
    date_style.choose(alice.id, Style("month_slashes", "fr"))
    shown = page.get("/movies/tt0000001").text
    assert "09/01/2025" in shown
    assert 'value="2025-09-01"' in shown
    assert 'datetime="2025-09-01T12:00:00+00:00"' in shown


def test_a_page_reads_the_choice_once_however_many_dates_it_shows(page, alice, some_films):
    date_style.choose(alice.id, Style("iso"))
    zoe = people.find(alice.id, "Zoe")
    with count_queries() as counter:
        shown = page.get(f"/people/{zoe.id}").text
    assert shown.count("2025-09-") > 20
    reads = [query for query in counter.get_queries() if date_style.KEY in query.msg[1]]
    assert len(reads) == 1


def test_sentences_follow_the_choice_in_pages_only(page, alice, frozen_clock):
    movies.add(alice.id, "tt0000001")
    backups.create(alice)
    frozen_clock.move(40 * 86400)
    date_style.choose(alice.id, Style("iso", "de"))
    for path in ("/account", "/backup"):
        assert "Last copy 2026-03-01;" in page.get(path).text
    # As the API and the command line ask for it.
    assert state.of(alice).state.line.startswith("Last copy 1 Mar 2026;")


def test_titles_of_what_was_done_follow_the_choice(page, alice, frozen_clock):
    movies.add(alice.id, "tt0000001")
    made = backups.create(alice)
    frozen_clock.move(40 * 86400)
    date_style.choose(alice.id, AMERICAN)
    job = page.post(f"/backup/files/{made.filename}/restore").location
    shown = page.get(job).text
    assert "Restore the backup of March 1?" in shown
    assert "Sunday, Mar 1, 2026, 12:00" in shown


def test_a_choice_goes_with_its_account(alice, database):
    date_style.choose(alice.id, GERMAN)
    User.delete().where(User.id == alice.id).execute()
    assert date_style.of(alice.id) == PLAIN
