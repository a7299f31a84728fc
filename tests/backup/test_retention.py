"""Which backups stay: the pure function, day by day."""

import functools
from datetime import UTC, date, datetime, timedelta

import pytest

from mm.schemas import BackupEntry, Counts
from mm.services.backup.retention import BEFORE_A_PAUSE, FROM_THE_FUTURE, Policy, choose

TODAY = date(2026, 3, 20)
NOW = datetime(2026, 3, 20, 3, tzinfo=UTC).timestamp()
DAY = 86400


def backup(filename, kind="scheduled", age=0.0, state="verified", **values):
    return BackupEntry(
        filename=filename,
        kind=kind,
        created_at=NOW - age * DAY,
        size_bytes=1,
        counts=Counts(1, 1, 1),
        sha256="0",
        verified_at=NOW if state == "verified" else None,
        state=state,
        **values,
    )


def nightly(count, state="verified"):
    return [
        backup(f"{TODAY - timedelta(days=age)}.json", age=age, state=state) for age in range(count)
    ]


def kept(backups, policy=Policy()):
    return {
        decision.filename: decision.reason for decision in run(backups, policy) if decision.keep
    }


def run(backups, policy=Policy(), today=TODAY, now=NOW):
    return choose(backups, policy, today, now)


def after_all_runs(backups, policy=Policy(), today=TODAY, now=NOW):
    """What is left when no run deletes any more."""
    backups = list(backups)
    while dropped := {each.filename for each in run(backups, policy, today, now) if not each.keep}:
        backups = [backup for backup in backups if backup.filename not in dropped]
    return [backup.filename for backup in backups]


def moved(days):
    """`today` and `now` of a clock that is so many days ahead."""
    return TODAY + timedelta(days=days), NOW + days * DAY


def made_at(days, kind="scheduled", **values):
    """A backup of a clock that is so many days ahead."""
    day = TODAY + timedelta(days=days)
    name = f"{day}.json" if kind == "scheduled" else f"{day}T10-00-00-{kind}.json"
    return backup(name, kind, age=-days, **values)


def test_after_the_run_of_a_day_the_files_of_that_day_and_fourteen_before_stay():
    names = kept(nightly(16))
    assert sorted(names) == sorted(f"{TODAY - timedelta(days=age)}.json" for age in range(15))
    last_day = TODAY + timedelta(days=14)
    assert names[f"{TODAY}.json"] == f"Kept until {last_day.day} {last_day:%b}"


def test_a_run_deletes_three_files_at_most_and_the_oldest_first():
    decisions = run(nightly(20))
    dropped = [decision.filename for decision in decisions if not decision.keep]
    assert sorted(dropped) == [f"{TODAY - timedelta(days=age)}.json" for age in (19, 18, 17)]
    waiting = {decision.reason for decision in decisions if decision.filename == "2026-03-04.json"}
    assert waiting == {"To be deleted: at most 3 files go in one night"}
    assert len(after_all_runs(nightly(20))) == 15


def test_age_alone_never_deletes():
    """There have to be as many newer good ones as the days that are kept."""
    assert len(kept([backup("2026-01-01.json", age=78), *nightly(14)])) == 15
    assert "2026-01-01.json" not in after_all_runs(
        [backup("2026-01-01.json", age=78), *nightly(15)]
    )


def test_what_failed_its_check_does_not_make_an_old_one_superfluous():
    old = backup("2026-03-01.json", age=19)
    assert old.filename not in after_all_runs([old, *nightly(15)])
    damaged = backup("2026-03-18.json", age=2, state="damaged")
    others = [entry for entry in nightly(15) if entry.filename != damaged.filename]
    assert old.filename in after_all_runs([old, damaged, *others])


@pytest.mark.parametrize("days_ahead", [20, 58, 400])
@pytest.mark.parametrize("nights", [1, 2, 3, 14])
def test_nights_of_a_clock_that_is_ahead_delete_nothing(days_ahead, nights):
    backups = nightly(15)
    for night in range(nights):
        backups.append(made_at(days_ahead + night))
        today, now = moved(days_ahead + night)
        assert len(after_all_runs(backups, today=today, now=now)) == len(backups)


@pytest.mark.parametrize("days_ahead", [20, 58, 400])
def test_backups_made_by_hand_while_the_clock_is_ahead_delete_nothing(days_ahead):
    today, now = moved(days_ahead)
    by_hand = [
        backup(f"{today}T03-00-{number:02}-manual.json", "manual", -days_ahead)
        for number in range(20)
    ]
    safety = backup("2026-03-19T10-00-00-before-import.json", "before-import", 1)
    everything = [*nightly(15), safety, *by_hand]
    assert len(after_all_runs(everything, today=today, now=now)) == len(everything)


@pytest.mark.parametrize("days_ahead", [20, 58, 400])
def test_files_of_the_future_are_kept_with_a_reason_and_count_for_nothing(days_ahead):
    """Once the clock is right again: they take no places, and push nothing out."""
    future = [made_at(days_ahead + night) for night in range(3)]
    backups = [*nightly(15), *future]
    reasons = kept(backups)
    assert len(reasons) == 18
    assert {reasons[entry.filename] for entry in future} == {FROM_THE_FUTURE}
    # Without them it would stay too: there are only 14 newer ones.
    assert "2026-01-01.json" in after_all_runs(
        [backup("2026-01-01.json", age=78), *nightly(14), *future]
    )


def test_safety_copies_and_damaged_files_of_the_future_are_kept_with_the_reason():
    future = [made_at(400, "before-import"), made_at(401, state="damaged")]
    assert {kept([*nightly(3), *future])[entry.filename] for entry in future} == {FROM_THE_FUTURE}


def test_after_a_long_pause_the_older_ones_go_when_fifteen_days_have_a_backup_again():
    """The server was off for months, or its clock was wrong: it takes 15 nights to be sure."""
    before = [backup(f"2025-12-{day}.json", age=110 - day) for day in range(10, 30)]
    reasons = kept([*nightly(14), *before])
    assert len(reasons) == 34
    assert {reasons[entry.filename] for entry in before} == {BEFORE_A_PAUSE}
    assert sorted(after_all_runs([*nightly(15), *before])) == sorted(
        entry.filename for entry in nightly(15)
    )


def test_a_machine_that_is_on_once_a_week_keeps_fifteen_backups():
    weekly = [
        backup(f"{TODAY - timedelta(days=7 * week)}.json", age=7 * week) for week in range(30)
    ]
    assert len(after_all_runs(weekly)) == 15


@pytest.mark.parametrize("age, stays", [(13.9, True), (14.1, False)])
def test_what_failed_goes_after_fourteen_days(age, stays):
    day = TODAY - timedelta(days=int(age))
    damaged = backup(f"{day}.json", age=age, state="damaged", rotten=True)
    assert (damaged.filename in kept([damaged, *nightly(13)])) is stays


@pytest.mark.parametrize("newer, stays", [(1, True), (14, True), (15, False)])
def test_what_failed_with_the_bytes_that_were_written_is_kept_like_a_good_one(newer, stays):
    """The fault may be the program's, and mended in its next version."""
    damaged = backup("2026-03-01.json", age=19, state="damaged")
    assert (damaged.filename in after_all_runs([damaged, *nightly(newer)])) is stays


# Weeks, months and years.


def days_of(names):
    return sorted(name.removesuffix(".json") for name in names)


YEARS_OF_NIGHTS = nightly(1000)


@pytest.mark.parametrize(
    "policy, days",
    [
        # TODAY is a Friday; the 15th was a Sunday.
        (Policy(0, weekly=3), "03-18 03-19 03-20 03-15 03-08"),
        (Policy(0, weekly=1), "03-18 03-19 03-20"),
        (Policy(0, monthly=3), "03-18 03-19 03-20 02-28 01-31"),
        (Policy(0, yearly=1), "03-18 03-19 03-20"),
        (Policy(0), "03-18 03-19 03-20"),
        (Policy(3), "03-17 03-18 03-19 03-20"),
        (Policy(1), "03-18 03-19 03-20"),
        (Policy(3, weekly=2), "03-15 03-17 03-18 03-19 03-20"),
        (Policy(7, weekly=2), "03-13 03-14 03-15 03-16 03-17 03-18 03-19 03-20"),
        (Policy(1, weekly=2, monthly=3), "01-31 02-28 03-15 03-18 03-19 03-20"),
    ],
)
def test_the_newest_of_each_period_stays_and_always_the_three_newest(policy, days):
    expected = sorted(f"2026-{day}" for day in days.split())
    assert days_of(after_all_runs(YEARS_OF_NIGHTS[:100], policy)) == expected


def test_years_keep_their_last_night():
    decisions = choose(YEARS_OF_NIGHTS, Policy(0, yearly=9), TODAY, NOW, most=1000)
    left = days_of(decision.filename for decision in decisions if decision.keep)
    assert left == [
        "2023-12-31",
        "2024-12-31",
        "2025-12-31",
        "2026-03-18",
        "2026-03-19",
        *left[-1:],
    ]


def test_only_periods_that_have_a_backup_count():
    """The server was off for two months: the weeks before are still the last ones."""
    before = [backup(f"2026-01-{day:02}.json", age=79 - day) for day in range(1, 15)]
    left = days_of(after_all_runs([*nightly(3), *before], Policy(0, weekly=3)))
    assert left == ["2026-01-11", "2026-01-14", "2026-03-18", "2026-03-19", "2026-03-20"]


@pytest.mark.parametrize(
    "policy, day, reason",
    [
        (Policy(), "2026-03-20", "Kept until 3 Apr"),
        (Policy(2), "2026-03-18", "Kept until 20 Mar"),
        # Of a week, month or year that has ended: until enough others follow.
        (Policy(2, weekly=3), "2026-03-15", "Kept until 29 Mar: newest of its week"),
        (Policy(2, weekly=3), "2026-03-08", "Kept until 22 Mar: newest of its week"),
        (Policy(2, monthly=2), "2026-02-28", "Kept until 31 Mar: newest of its month"),
        (Policy(2, yearly=2), "2025-12-31", "Kept until 31 Dec: newest of its year"),
        (Policy(2, yearly=5), "2025-12-31", "Kept until 31 Dec 2029: newest of its year"),
        (Policy(2, 3, 3, 3), "2026-02-28", "Kept until 30 Apr: newest of its month"),
        # The later of two dates.
        (Policy(9, weekly=2), "2026-03-15", "Kept until 24 Mar"),
        (Policy(3, weekly=5), "2026-03-15", "Kept until 12 Apr: newest of its week"),
        # Tomorrow's replaces it.
        (Policy(0, weekly=3), "2026-03-20", "Kept: newest of its week so far"),
        (Policy(0, monthly=3), "2026-03-20", "Kept: newest of its month so far"),
        (Policy(0, weekly=3), "2026-03-19", "Kept: one of the 3 newest verified backups"),
        (Policy(0), "2026-03-20", "Kept: one of the 3 newest verified backups"),
    ],
)
def test_the_reason_says_until_when_and_why(policy, day, reason):
    assert kept(YEARS_OF_NIGHTS[:100], policy)[f"{day}.json"] == reason


@pytest.mark.parametrize("policy", [Policy(2, 3), Policy(0, 0, 4), Policy(1, 2, 2, 2), Policy(5)])
def test_a_date_that_was_promised_is_kept_to_the_day(policy):
    """With a backup each night: a date may be put off, as for the newest of a week that turns out
    to be that of its month, and is never brought forward."""
    files, promised, gone = nightly(40), {}, {}
    for ahead in range(150):
        today, now = moved(ahead)
        if ahead:
            files.append(made_at(ahead))
        for each in run(files, policy, today, now):
            words = each.reason.removeprefix("Kept until ").split(":")[0]
            if each.keep and each.reason.startswith("Kept until ") and ahead > 20:
                year = "" if len(words.split()) == 3 else f" {today.year}"
                day = datetime.strptime(words + year, "%d %b %Y").date()
                promised.setdefault(each.filename, set()).add(day)
            if not each.keep:
                gone[each.filename] = today
        files = [each for each in files if each.filename not in gone]
    told = {name: max(promised[name]) for name in gone if name in promised}
    assert len(told) >= 3
    assert {name: day for name, day in told.items() if day >= gone[name]} == {}


def test_a_damaged_newest_leaves_its_period_to_the_one_before():
    files = nightly(40)
    sunday = next(each for each in files if each.filename == "2026-03-15.json")
    sunday.state, sunday.rotten = "damaged", True
    names = after_all_runs(files, Policy(0, weekly=3))
    assert {"2026-03-14.json", "2026-03-08.json"} < set(names)


def test_a_failed_newest_with_the_bytes_that_were_written_stays_beside_the_one_before():
    """Another version of the program may restore it."""
    files = nightly(40)
    sunday = next(each for each in files if each.filename == "2026-03-15.json")
    sunday.state = "damaged"
    names = after_all_runs(files, Policy(0, weekly=3))
    assert {"2026-03-15.json", "2026-03-14.json", "2026-03-08.json"} < set(names)


def test_a_date_in_the_future_takes_no_week_month_or_year():
    files = [*nightly(60), made_at(400), backup("2099-12-31.json")]
    expected = after_all_runs(nightly(60), Policy(0, 2, 2, 2))
    left = after_all_runs(files, Policy(0, 2, 2, 2))
    assert set(left) == {*expected, "2027-04-24.json", "2099-12-31.json"}


@pytest.mark.parametrize(
    "policy", [Policy(0, 8), Policy(0, 0, 12), Policy(14, 8, 12, 5), Policy(0)]
)
@pytest.mark.parametrize("nights", [1, 2])
def test_two_nights_of_a_clock_that_is_ahead_delete_nothing_whatever_the_policy(policy, nights):
    steady = after_all_runs(nightly(200), policy)
    files = [each for each in nightly(200) if each.filename in steady]
    before = {each.filename for each in files}
    for night in range(nights):
        files.append(made_at(400 + night))
        today, now = moved(400 + night)
        assert before <= set(after_all_runs(files, policy, today, now))


def test_the_owner_may_have_all_of_it_deleted_at_once():
    decisions = choose(nightly(20), Policy(3), TODAY, NOW, most=20)
    assert sum(not decision.keep for decision in decisions) == 16


def test_pinned_ones_stay_and_take_nothing_from_the_others():
    files = nightly(40)
    old = files[30]
    old.pinned = True
    names = after_all_runs(files, Policy(0, weekly=2))
    assert sorted(names) == sorted(
        [old.filename, "2026-03-15.json", *(each.filename for each in files[:3])]
    )
    assert kept(files)[old.filename] == "Pinned: kept until you unpin it"


# 400 days.


def promised(made, today, policy):
    """What must be there, told from everything that was ever made: written without the code that
    is tested."""
    days = sorted((day for day in made if made[day]), reverse=True)
    keep = set(days[:3])
    if policy.daily:
        keep |= {day for day in days if (today - day).days <= policy.daily}
    for form, most in (("%G-%V", policy.weekly), ("%Y-%m", policy.monthly), ("%Y", policy.yearly)):
        newest = {}
        for day in days:
            newest.setdefault(period_of(day, form), day)
        keep |= {newest[name] for name in sorted(newest, reverse=True)[:most]}
    return keep


@functools.cache
def period_of(day, form):
    """Asked some million times for the same 400 days."""
    return day.strftime(form)


FAILURES = {
    "none": lambda night: False,
    "every third night": lambda night: night % 3 == 0,
    "Sundays and ends of months": lambda night: night % 7 == 2 or night % 30 in (28, 29, 0),
    "ten days in each fifty": lambda night: night % 50 < 10,
    "a month in spring": lambda night: 100 <= night < 130,
    "almost always": lambda night: night % 12 != 0,
}


@pytest.mark.slow
@pytest.mark.parametrize("failures", FAILURES)
@pytest.mark.parametrize(
    "policy",
    [Policy(), Policy(0), Policy(3, 4), Policy(0, 6, 6), Policy(7, 4, 12, 3), Policy(0, 0, 0, 2)],
    ids=str,
)
def test_400_days_with_failures_keep_at_least_what_is_promised(policy, failures):
    """Each night fails or makes a file, and retention runs only after one that was made."""
    files, made = [], {}
    for night in range(400):
        back = night - 399
        today, now = moved(back)
        made[today] = not FAILURES[failures](night)
        if not made[today]:
            continue
        files.append(made_at(back))
        dropped = {each.filename for each in run(files, policy, today, now) if not each.keep}
        assert len(dropped) <= 3
        files = [each for each in files if each.filename not in dropped]
        there = {date.fromisoformat(each.filename[:10]) for each in files}
        assert promised(made, today, policy) <= there
    # And not everything, where nights came regularly.
    if failures == "none":
        assert there == promised(made, TODAY, policy)


# Safety copies.


def safety(age, kind="before-import", **values):
    moment = datetime.fromtimestamp(NOW - age * DAY, UTC)
    return backup(f"{moment:%Y-%m-%dT%H-%M-%S}-{kind}.json", kind, age, **values)


def by_hand(age, **values):
    return safety(age, "manual", **values)


@pytest.mark.parametrize("kind", ["before-import", "before-restore"])
@pytest.mark.parametrize("age, stays", [(6.9, True), (7.1, False)])
@pytest.mark.parametrize(
    "newer", [nightly(1), [safety(0.1)], [by_hand(3)]], ids=["nightly", "safety", "manual"]
)
def test_safety_copies_go_after_seven_days_when_there_is_something_newer(kind, age, stays, newer):
    copy = safety(age, kind)
    assert (copy.filename in kept([copy, *newer])) is stays


@pytest.mark.parametrize(
    "newer",
    [
        [],
        [backup("2026-03-19.json", age=1, state="damaged")],
        [made_at(400, "before-import"), made_at(401)],
        # After a pause, or while the clock is ahead: seven days of newer ones have yet to show that
        # time has passed.
        [safety(0.1)],
        [safety(age / 10) for age in range(15)],
        [backup(f"2026-03-{20 - age}.json", age=age) for age in range(6)],
    ],
    ids=["none", "damaged", "of the future", "one", "fifteen on two days", "six nights"],
)
def test_the_last_way_back_is_not_taken_by_a_clock_alone(newer):
    copy = safety(30)
    assert copy.filename in after_all_runs([copy, *newer])


def test_after_a_pause_a_safety_copy_goes_when_seven_days_have_something_newer():
    copy = safety(30)
    assert copy.filename not in after_all_runs([copy, *nightly(7)])
    assert copy.filename not in after_all_runs([copy, *(safety(age + 0.1) for age in range(7))])


def test_twenty_safety_copies_stay_at_most_and_the_first_of_a_day_is_one_of_them():
    """A program that imports again and again must not push out what was there before it began."""
    earlier = [safety(age) for age in (5, 4, 3)]
    burst = [safety(0.5 - minute / 1440) for minute in range(60)]
    left = after_all_runs([*earlier, *burst])
    assert left == [burst[0].filename, *(copy.filename for copy in burst[-19:])]
    assert after_all_runs([*earlier, *burst[:17]]) == [
        copy.filename for copy in [*earlier, *burst[:17]]
    ]


def test_pinned_safety_copies_and_those_of_the_future_take_no_places():
    future = [made_at(400 + n, "before-import") for n in range(10)]
    pinned = [safety(2 + n / 100, pinned=True) for n in range(10)]
    everything = [*pinned, *(safety(age / 100) for age in range(20)), *future]
    assert len(after_all_runs(everything)) == 40


@pytest.mark.parametrize("every, most", [(1, 8), (4, 3), (13, 2), (30, 8), (100, 5)])
def test_400_days_of_imports_without_nightly_backups_leave_few_safety_copies(every, most):
    """By hand, every so many days: what the user sees is days, not a hundred copies."""
    copies = []
    for day in range(0, 400, every):
        ago = 400 - day
        copies.append(safety(ago))
        today, now = TODAY - timedelta(days=ago), NOW - ago * DAY
        dropped = {each.filename for each in run(copies, today=today, now=now) if not each.keep}
        assert len(dropped) <= 3
        copies = [copy for copy in copies if copy.filename not in dropped]
        assert len(copies) <= most
    assert copies[-1].created_at == NOW - ago * DAY


@pytest.mark.parametrize(
    "entry",
    [
        backup("2020-01-01T00-00-00-manual.json", "manual", 2000),
        backup("2020-01-01T00-00-00-manual-2.json", "manual", 2000, state="damaged"),
        backup("2020-01-01T00-00-00-uploaded.json", "uploaded", 2000),
        backup("2020-01-01.json", age=2000, pinned=True, state="damaged"),
        BackupEntry(
            "2020-01-01.json", "scheduled", NOW - 2000 * DAY, 1, None, None, None, "unverified"
        ),
        BackupEntry("notes.txt", None, NOW - 2000 * DAY, 1, None, None, None, "foreign"),
    ],
    ids=lambda entry: f"{entry.filename} {entry.state}",
)
def test_manual_pinned_and_unknown_files_are_never_dropped(entry):
    assert kept([entry, *nightly(20)])[entry.filename]


def test_a_shorter_policy_drops_more():
    assert len(after_all_runs(nightly(20), Policy(daily=6))) == 7


def test_every_file_has_a_reason_either_way():
    backups = [*nightly(20), *nightly(20, "damaged"), backup("x", "before-import", 9)]
    assert all(decision.reason for decision in choose(backups, Policy(), TODAY, NOW))


def test_a_file_that_is_named_after_the_last_day_there_is_stays():
    reasons = kept([backup("9999-12-31.json"), *nightly(3)])
    assert reasons["9999-12-31.json"] == "Kept until 31 Dec 9999"
