"""Settings from one household in another: each is checked as its page would check it, nothing of
the library is touched, and no backup is deleted at once."""

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from mm import dates
from mm.dates import PLAIN, Style
from mm.errors import ConflictError, NotFoundError
from mm.models import Job, User, UserSetting
from mm.services import date_style
from mm.services.backup import backups, policies
from mm.services.backup.retention import Policy
from mm.services.collections import envelope, importing, plans, settings
from mm.services.library import browse, usual
from mm.services.library.usual import Usual
from tests.support.libraries import fresh_account, reload

KEEP = {"keep_daily": 7, "keep_weekly": 8, "keep_monthly": 0, "keep_yearly": 0}
RETENTION = {"name": "retention", "value": KEEP}
DATES = {"name": "dates", "value": {"format": "iso", "language": "de"}}
LIBRARY = {"name": "library", "value": {"size": "l", "sort": "title"}}
LATER = "older backups are deleted after the next verified one"


def items_of(user, ids=None):
    return msgspec.to_builtins(settings.export(user.id, ids))


def file_of(*items):
    collection = envelope.written("settings", [])
    collection.items = list(items)
    collection.metadata.item_count = len(items)
    return envelope.read("settings", envelope.encode(collection))


def taken(user, *items, bulk=None):
    return importing.at_once(user, file_of(*items), None, bulk)


def planned(user, *items, bulk=None):
    return plans.preview(plans.plan(user.id, file_of(*items), None, bulk)).items


def choose_others(user):
    policies.save(user, Policy(daily=14, monthly=12))
    date_style.choose(user.id, Style("day_dots", "fr"))
    usual.choose(user.id, Usual("s", "imdb"))


def test_settings_are_exported_whether_they_were_changed_or_not(alice, bob):
    assert items_of(alice) == [
        {
            "name": "retention",
            "value": {"keep_daily": 14, "keep_weekly": 0, "keep_monthly": 0, "keep_yearly": 0},
        },
        {"name": "dates", "value": {"format": "day_month", "language": "en"}},
        {"name": "library", "value": {"size": "m", "sort": "added"}},
    ]
    choose_others(bob)
    assert items_of(bob, ["library", "dates"]) == [
        {"name": "dates", "value": {"format": "day_dots", "language": "fr"}},
        {"name": "library", "value": {"size": "s", "sort": "imdb"}},
    ]
    with pytest.raises(NotFoundError, match="There is no setting called password"):
        settings.export(bob.id, ["dates", "password"])


def test_what_can_be_exported_tells_what_each_setting_says(alice):
    choose_others(alice)
    assert [choice[:3] for choice in settings.choices(alice.id)] == [
        ("retention", "How long backups are kept", "14 days and 12 months"),
        ("dates", "Dates", "31.03.2026, Français"),
        ("library", "Library", "small posters, sorted by IMDb rating"),
    ]


def test_settings_come_back_the_same_from_another_household(alice, bob):
    choose_others(alice)
    result = taken(bob, *items_of(alice))
    assert (result.imported, result.errors) == (3, 0)
    assert [(item.name, item.id) for item in result.imported_items] == [
        ("retention", "retention"),
        ("dates", "dates"),
        ("library", "library"),
    ]
    assert items_of(bob) == items_of(alice)
    assert policies.of(reload(bob)) == Policy(daily=14, monthly=12)


def test_a_setting_that_was_changed_here_is_kept_unless_it_is_overwritten(alice):
    choose_others(alice)
    result = taken(alice, RETENTION, DATES, LIBRARY)
    assert (result.skipped, result.imported) == (3, 0)
    assert date_style.of(alice.id) == Style("day_dots", "fr")
    result = taken(alice, RETENTION, DATES, LIBRARY, bulk="overwrite")
    assert result.overwritten == 3
    assert policies.of(reload(alice)) == Policy(daily=7, weekly=8)
    assert date_style.of(alice.id) == Style("iso", "de")
    assert usual.of(alice.id) == Usual("l", "title")


def test_a_setting_cannot_be_renamed(alice):
    choose_others(alice)
    result = taken(alice, DATES, LIBRARY, bulk="rename")
    wrong = "a setting cannot be renamed: skip or overwrite it"
    assert [error.error for error in result.error_details] == [wrong] * 2
    assert usual.of(alice.id) == Usual("s", "imdb")


def test_what_an_overwrite_changes_is_said_in_words(alice):
    choose_others(alice)
    retention, dates, library = planned(alice, RETENTION, DATES, LIBRARY)
    assert retention.differences == [
        f"keeps 7 days instead of 14: {LATER}",
        "keeps 8 weeks instead of none",
        f"keeps no months instead of 12: {LATER}",
    ]
    assert dates.differences == [
        "format: 31.03.2026 → 2026-03-31",
        "names of months and days: Français → Deutsch",
    ]
    assert library.differences == ["posters: Small → Large", "sort by: IMDb rating → Title"]
    assert [item.notes for item in (retention, dates, library)] == [[], [], []]
    same = planned(alice, *items_of(alice), bulk="overwrite")
    assert [(item.differences, item.notes) for item in same] == [([], [])] * 3


def test_where_nothing_was_chosen_yet_a_note_says_what_changes(alice):
    retention, dates, library = planned(alice, RETENTION, DATES, LIBRARY)
    assert {item.outcome for item in (retention, dates, library)} == {"imported"}
    assert retention.notes == [
        f"keeps 7 days instead of 14: {LATER}",
        "keeps 8 weeks instead of none",
    ]
    assert dates.notes[0] == "format: 31 March 2026 → 2026-03-31"
    assert library.notes == ["posters: Medium → Large", "sort by: Added → Title"]


def test_importing_settings_makes_no_backup_and_is_no_write_of_the_library(alice):
    before = reload(alice).library_version
    result = taken(alice, RETENTION, DATES, LIBRARY)
    assert result.safety_backup is None
    assert reload(alice).library_version == before
    assert backups.listing(alice.id) == []
    assert Job.select().count() == 0


def test_keeping_fewer_backups_deletes_none_at_once(alice):
    made = [backups.create(alice, "scheduled").filename for _ in range(2)]
    nothing = {"keep_daily": 0, "keep_weekly": 0, "keep_monthly": 0, "keep_yearly": 0}
    taken(alice, {"name": "retention", "value": nothing})
    assert policies.of(reload(alice)) == Policy(0, 0, 0, 0)
    assert {entry.filename for entry in backups.listing(alice.id)} == set(made)


def test_settings_that_were_changed_after_a_preview_are_not_overwritten_unseen(alice):
    choose_others(alice)
    seen = plans.digest(plans.plan(alice.id, file_of(LIBRARY), None, "overwrite"))
    usual.choose(alice.id, Usual("m", "year"))
    with pytest.raises(ConflictError):
        importing.at_once(alice, file_of(LIBRARY), None, "overwrite", agreed=seen)
    assert usual.of(alice.id) == Usual("m", "year")


@pytest.mark.parametrize(
    ("item", "error"),
    [
        ({"name": "tmdb_api_key", "value": {"key": "x"}}, "name: there is no such setting"),
        ({"name": "", "value": {}}, "name: is missing or empty"),
        ({"name": 7, "value": {}}, "name: expected text, found a number"),
        ({"name": "dates"}, "value: expected an object with format and language"),
        ({"name": "dates", "value": ["iso"]}, "value: expected an object with format and language"),
        ({"name": "dates", "value": {"format": "iso"}}, "language: is missing"),
        (
            {"name": "dates", "value": {"format": "stardate", "language": "de"}},
            "format: unknown format 'stardate'",
        ),
        (
            {"name": "dates", "value": {"format": "iso", "language": ["de"]}},
            "language: expected text, found a list",
        ),
        ({"name": "library", "value": {"size": "l", "sort": "order"}}, "sort: unknown sort"),
        ({"name": "library", "value": {"size": "xl", "sort": "title"}}, "size: unknown size 'xl'"),
        ({"name": "retention", "value": {"keep_daily": 7}}, "keep_weekly: is missing"),
        (
            {"name": "retention", "value": KEEP | {"keep_daily": 367}},
            "keep_daily: can be 0 to 366 days",
        ),
        (
            {"name": "retention", "value": KEEP | {"keep_weekly": -1}},
            "keep_weekly: can be 0 to 260 weeks",
        ),
        (
            {"name": "retention", "value": KEEP | {"keep_daily": True}},
            "keep_daily: expected a whole number, found true or false",
        ),
        (
            {"name": "retention", "value": KEEP | {"keep_daily": 2.5}},
            "keep_daily: 2.5 is not a whole number",
        ),
        (
            {"name": "retention", "value": KEEP | {"keep_daily": 1e300}},
            "keep_daily: is not a usable number",
        ),
        ("dates", "expected an object"),
    ],
)
def test_a_setting_that_cannot_be_used_is_an_error_and_costs_no_other(alice, item, error):
    result = taken(alice, item, {"name": "Library", "value": LIBRARY["value"]})
    [wrong] = result.error_details
    assert wrong.error.startswith(error)
    assert (result.imported, usual.of(alice.id)) == (1, Usual("l", "title"))
    assert (date_style.of(alice.id), policies.of(reload(alice))) == (PLAIN, Policy())


def test_what_a_setting_has_besides_is_said_and_not_kept(alice):
    value = LIBRARY["value"] | {"mood": "dark", "key": "secret"}
    [item] = planned(alice, {"name": "library", "value": value})
    assert "“mood” and “key” are not known here: taken without them" in item.notes
    taken(alice, {"name": "library", "value": value})
    [row] = UserSetting.select().where(UserSetting.user == alice.id)
    assert msgspec.json.decode(row.value) == LIBRARY["value"]


def test_a_setting_twice_in_a_file_is_an_error(alice):
    result = taken(alice, LIBRARY, LIBRARY | {"name": "LIBRARY"})
    assert [error.error for error in result.error_details] == ["the file has this name twice"]


def test_an_unreadable_setting_of_another_version_counts_as_not_chosen(alice):
    for value in ('["l"]', '{"size": "xl", "sort": {}}', "null"):
        UserSetting.delete().execute()
        UserSetting.create(user=alice.id, key=usual.KEY, value=value)
        assert usual.of(alice.id) == Usual()


# What the cards of Account offer, and what no setting takes.
values = {
    "retention": st.fixed_dictionaries(
        dict.fromkeys(KEEP, st.sampled_from([0, 1, 7, 12, -1, 10**6]))
    ),
    "dates": st.fixed_dictionaries(
        {
            "format": st.sampled_from([*dates.FORMATS, "roman"]),
            "language": st.sampled_from([*dates.LANGUAGES, "la"]),
        }
    ),
    "library": st.fixed_dictionaries(
        {
            "size": st.sampled_from([*browse.SIZES, "huge"]),
            "sort": st.sampled_from([*browse.SORTS, "mood"]),
        }
    ),
}
files = st.fixed_dictionaries({}, optional=values).map(
    lambda given: [{"name": name, "value": value} for name, value in given.items()]
)


@examples(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(mine=files, theirs=files, bulk=st.sampled_from(["skip", "overwrite"]))
def test_a_preview_says_what_then_happens_and_settings_come_back_the_same(
    database, mine, theirs, bulk
):
    User.delete().execute()
    one, two = (fresh_account(name) for name in ("one", "two"))
    plans.apply(plans.plan(one.id, file_of(*mine)))
    before = {item["name"]: item["value"] for item in items_of(one)}
    plan = plans.plan(one.id, file_of(*theirs), None, bulk)
    seen, result = plans.preview(plan), plans.apply(plan)
    taken = {item.name for item in seen.items if item.outcome in plans.TAKEN}
    assert [done.name for done in result.imported_items] == [
        item.name for item in seen.items if item.name in taken
    ]
    given_values = {item["name"]: item["value"] for item in theirs}
    after = {item["name"]: item["value"] for item in items_of(one)}
    assert after == before | {name: given_values[name] for name in taken}
    for item in seen.items:
        changes = item.differences if item.existing_id else item.notes
        assert item.error or bool(changes) == (before[item.name] != given_values[item.name])
    plans.apply(plans.plan(two.id, file_of(*items_of(one))))
    assert items_of(two) == items_of(one)
