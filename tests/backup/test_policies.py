"""How many backups are kept: as people type it, and as it is said to them."""

import pytest

from mm.errors import InvalidError
from mm.services.backup import policies
from mm.services.backup.retention import Policy
from tests.support.libraries import reload


@pytest.mark.parametrize(
    "kind, text, count",
    [
        ("daily", "14", 14),
        ("daily", " 14 days ", 14),
        ("daily", "1 day", 1),
        ("daily", "14days", 14),
        ("daily", "2 Weeks", 14),
        ("daily", "3 months", 93),
        ("daily", "1 year", 366),
        ("weekly", "8 weeks", 8),
        ("weekly", "1 month", 5),
        ("weekly", "2 years", 106),
        ("monthly", "12 months", 12),
        ("monthly", "5 years", 60),
        ("yearly", "100", 100),
        ("yearly", "1 year", 1),
        *((kind, text, 0) for kind in policies.UNITS for text in ("", "0", "none", "No")),
    ],
)
def test_what_people_type_is_understood(kind, text, count):
    assert policies.parse(kind, text) == count


@pytest.mark.parametrize(
    "kind, text, words",
    [
        ("daily", "fourteen", "write a number of days, such as 14, 14 days or 2 weeks"),
        ("daily", "-1", "write a number of days, such as 14, 14 days or 2 weeks"),
        ("daily", "1.5", "write a number of days, such as 14, 14 days or 2 weeks"),
        ("daily", "14 days 2 weeks", "write a number of days, such as 14, 14 days or 2 weeks"),
        ("daily", "٣", "write a number of days, such as 14, 14 days or 2 weeks"),
        ("weekly", "14 days", "write a number of weeks, such as 4, 4 weeks or none"),
        ("yearly", "12 months", "write a number of years, such as 4, 4 years or none"),
        ("daily", "2 years", "can be 0 to 366 days"),
        ("weekly", "261", "can be 0 to 260 weeks"),
        ("monthly", "21 years", "can be 0 to 240 months"),
        ("yearly", "999999", "can be 0 to 100 years"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(kind, text, words):
    with pytest.raises(InvalidError) as refused:
        policies.parse(kind, text)
    [problem] = refused.value.errors
    assert (problem.path, problem.reason) == (f"keep_{kind}", words)


@pytest.mark.parametrize(
    "policy, words",
    [
        (Policy(), "14 days"),
        (Policy(1), "1 day"),
        (Policy(14, 8), "14 days and 8 weeks"),
        (Policy(7, 4, 12, 1), "7 days, 4 weeks, 12 months and 1 year"),
        (Policy(0, monthly=6), "6 months"),
        (Policy(0), "the 3 newest"),
    ],
)
def test_a_policy_is_said_in_words_that_can_be_typed_again(policy, words):
    assert policies.words(policy) == words
    again = {kind: policies.parse(kind, text) for kind, text in policies.texts(policy).items()}
    assert Policy(**again) == policy


@pytest.mark.parametrize("count", [-1, 367, 1.5, "14", None, True])
def test_a_count_out_of_range_is_not_taken(count):
    with pytest.raises(InvalidError, match="keep_daily"):
        policies.changed(Policy(), daily=count)


def test_a_policy_is_kept_for_its_user_alone(database, alice, bob):
    policies.save(alice, Policy(3, 2, 1, 0))
    assert policies.of(reload(alice)) == policies.of_id(alice.id) == Policy(3, 2, 1, 0)
    assert policies.of(reload(bob)) == Policy()
    assert policies.of_id("00000000-0000-0000-0000-000000000000") == Policy()
