"""Numbers, sizes and times as the pages say them."""

from datetime import UTC, datetime

import pytest

from mm import config
from tests.conftest import put_in_force

MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.fixture
def words(app, monkeypatch):
    """On a server in Berlin. The routes can only be imported once there is an app: they reach the
    queue."""
    from mm.routes import filters

    put_in_force(monkeypatch, config.Config(timezone="Europe/Berlin"))
    # Nobody is logged in.
    with app.test_request_context():
        yield filters


@pytest.mark.parametrize(
    ("passed", "said"),
    [
        (0, "just now"),
        (59, "just now"),
        (60, "a minute ago"),
        (5 * MINUTE, "5 minutes ago"),
        (HOUR, "an hour ago"),
        (3 * HOUR, "3 hours ago"),
        (13.5 * HOUR, "yesterday"),
        (26 * HOUR, "yesterday"),
        (3 * DAY, "3 days ago"),
        (90 * DAY, "1 Dec 2025"),
        (-5, "just now"),
    ],
)
def test_the_past_is_said_by_its_distance(words, frozen_clock, passed, said):
    assert words.ago(frozen_clock.moment - passed) == said


@pytest.mark.parametrize(
    ("now", "then", "said"),
    [
        ("2026-03-01 12:00", "2026-03-01 12:00", "within a minute"),
        ("2026-03-01 12:00", "2026-03-01 12:15", "in 15 minutes"),
        ("2026-03-01 12:00", "2026-03-02 02:00", "tomorrow at 03:00"),
        ("2026-03-01 19:00", "2026-03-02 02:00", "tonight at 03:00"),
        ("2026-03-01 12:00", "2026-03-01 14:00", "today at 15:00"),
        ("2026-03-01 12:00", "2026-03-01 21:00", "tonight at 22:00"),
        ("2026-03-01 12:00", "2026-03-04 02:00", "on Wednesday at 03:00"),
        ("2026-03-01 12:00", "2026-03-20 02:00", "on 20 March at 03:00"),
    ],
)
def test_the_future_is_said_by_the_day_of_the_servers_zone(words, frozen_clock, now, then, said):
    frozen_clock.moment = datetime.fromisoformat(now).replace(tzinfo=UTC).timestamp()
    assert words.due(datetime.fromisoformat(then).replace(tzinfo=UTC).timestamp()) == said


def test_exact_times_name_their_zone(words, frozen_clock):
    assert words.exact(frozen_clock.moment) == "Sunday 1 March 2026, 13:00:00 CET"
    assert words.iso(frozen_clock.moment) == "2026-03-01T13:00:00+01:00"


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 Bytes"),
        (999, "999 Bytes"),
        (1000, "1.0 kB"),
        (61_234, "61.2 kB"),
        (2_500_000, "2.5 MB"),
    ],
)
def test_sizes_are_short(words, count, said):
    assert words.size(count) == said


def test_a_day_that_nobody_knows_is_some_day(words):
    assert words.day(1.6e9) == "13 Sep 2020"
    assert words.day(1.6e9, False) == "some day"


def test_counts_agree_with_their_noun(words):
    assert words.plural(1, "film") == "1 film"
    assert words.plural(1204, "film") == "1,204 films"
    assert words.plural(2, "person", "people") == "2 people"


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (None, "my_rating", "none"),
        (8.5, "my_rating", "8.5"),
        (True, "is_trusted", "yes"),
        (False, "vote_type", "down"),
        ("toWatch", "status", "To watch"),
        ("watched", "note", "watched"),
        ("a" * 10_000, "note", "a" * 200 + "…"),
        (False, "day_known", "no"),
        (1.6e9, "date_watched", "13 Sep 2020"),
        (3, "position", "3"),
    ],
)
def test_what_a_field_holds_is_said_in_words(words, content, name, said):
    assert words.value_label(content, name) == said
