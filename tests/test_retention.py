"""Which backups stay: the pure function, day by day."""

from datetime import UTC, date, datetime, timedelta

import pytest

from mm.documents import BackupEntry, Counts
from mm.services.retention import Policy, choose

TODAY = date(2026, 3, 20)
NOW = datetime(2026, 3, 20, 3, tzinfo=UTC).timestamp()
DAY = 86400


def backup(filename, kind="scheduled", age=0.0, state="verified", **values):
    return BackupEntry(
        filename=filename, kind=kind, created_at=NOW - age * DAY, size_bytes=1, counts=Counts(1, 1, 1), sha256="0",
        verified_at=NOW if state == "verified" else None, state=state, **values,
    )  # fmt: skip


def nightly(count, state="verified"):
    return [backup(f"{TODAY - timedelta(days=age)}.json", age=age, state=state) for age in range(count)]


def kept(backups, policy=Policy()):
    return {decision.filename: decision.reason for decision in choose(backups, policy, TODAY, NOW) if decision.keep}


def test_after_the_run_of_a_day_the_files_of_that_day_and_fourteen_before_stay():
    names = kept(nightly(20))
    assert sorted(names) == sorted(f"{TODAY - timedelta(days=age)}.json" for age in range(15))
    assert set(names.values()) == {"one of the last 15 days"}


def test_the_three_newest_verified_stay_however_old():
    old = [backup(f"2026-02-0{day}.json", age=47 - day) for day in range(1, 6)]
    assert kept(old) == {f"2026-02-0{day}.json": "one of the 3 newest verified" for day in (3, 4, 5)}


def test_what_failed_its_check_is_not_one_of_the_newest_verified():
    old = [backup("2026-02-01.json", age=47), backup("2026-02-02.json", age=46, state="damaged")]
    assert list(kept(old)) == ["2026-02-01.json"]


def test_a_clock_that_jumped_far_ahead_deletes_nothing():
    """Or a server that was off for months: ages say nothing then."""
    jumped = [backup("2026-03-20.json"), *(backup(f"2025-12-{day}.json", age=100 - day) for day in range(10, 30))]
    assert len(kept(jumped)) == 21
    assert len(kept([backup("2026-03-19.json", age=1), *jumped])) < 21


@pytest.mark.parametrize("age, stays", [(13.9, True), (14.1, False)])
def test_what_failed_goes_after_fourteen_days(age, stays):
    day = TODAY - timedelta(days=int(age))
    assert bool(kept([backup(f"{day}.json", age=age, state="damaged")])) is stays


@pytest.mark.parametrize("kind", ["before-import", "before-restore"])
@pytest.mark.parametrize("age, stays", [(6.9, True), (7.1, False)])
def test_safety_copies_go_after_seven_days(kind, age, stays):
    assert bool(kept([backup(f"2026-03-13T10-00-00-{kind}.json", kind, age)])) is stays


@pytest.mark.parametrize(
    "entry",
    [
        backup("2020-01-01T00-00-00-manual.json", "manual", 2000),
        backup("2020-01-01T00-00-00-manual-2.json", "manual", 2000, state="damaged"),
        backup("2020-01-01T00-00-00-uploaded.json", "uploaded", 2000),
        backup("2020-01-01.json", age=2000, pinned=True, state="damaged"),
        BackupEntry("2020-01-01.json", "scheduled", NOW - 2000 * DAY, 1, None, None, None, "unverified"),
        BackupEntry("notes.txt", None, NOW - 2000 * DAY, 1, None, None, None, "foreign"),
    ],
    ids=lambda entry: f"{entry.filename} {entry.state}",
)
def test_what_people_made_or_pinned_and_what_is_not_known_is_never_dropped(entry):
    assert kept([entry, *nightly(20)])[entry.filename]


def test_a_shorter_policy_drops_more():
    assert len(kept(nightly(20), Policy(daily=6))) == 7


def test_every_file_has_a_reason_either_way():
    backups = [*nightly(20), *nightly(20, "damaged"), backup("x", "before-import", 9)]
    assert all(decision.reason for decision in choose(backups, Policy(), TODAY, NOW))
