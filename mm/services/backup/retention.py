"""Which backups stay: a pure function with a reason for each file.

The clock may be wrong, so age alone deletes nothing: there must be as many newer good backups as
days that are kept, and they must not follow a long pause. For a safety copy one is enough. Weeks,
months and years count only when they have a backup: time alone pushes none of them out.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from msgspec import Struct

from mm.clock import DAY
from mm.schemas import BackupEntry

FAILED_DAYS = 14
SAFETY_DAYS = 7
SAFETY_MOST = 20
# Between two backups: the server was off, or its clock is wrong.
PAUSE_DAYS = 14
MOST_A_RUN = 3
# Verified scheduled backups that stay whatever the policy says.
NEWEST = 3
# A date so far ahead is shown with its year.
YEAR_FROM_DAYS = 300
FROM_THE_FUTURE = (
    "Kept: dated in the future, because the clock was wrong when it was made. "
    "Delete it if you don’t need it."
)
BEFORE_A_PAUSE = (
    f"Kept until there are enough newer backups: for over {PAUSE_DAYS} days there were none, "
    "or the clock is wrong"
)
TOO_FEW_NEWER = "Kept until there are enough newer verified backups"
LATER = f"To be deleted: at most {MOST_A_RUN} files go in one night"
LAST_WAY_BACK = "Kept: there is no newer backup"
SAFETY_DOUBT = (
    f"Kept until {SAFETY_DAYS} days have a newer backup: for over {PAUSE_DAYS} days there were "
    "none, or the clock is wrong"
)
ONE_OF_THE_NEWEST = f"Kept: one of the {NEWEST} newest verified backups"
PINNED = "Pinned: kept until you unpin it"
NO_LONGER = "older than the backups that are kept"
TOO_MANY = f"one of more than {SAFETY_MOST} safety copies"
SAFETY_KINDS = ("before-import", "before-restore")


class Policy(Struct, frozen=True):
    """Which scheduled backups stay. `daily`: those of so many days before the day of the run, and
    that day's. `weekly`, `monthly`, `yearly`: the newest of each of the last so many weeks, months
    and years that have one. 0: none of that kind."""

    daily: int = 14
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0


class Period(NamedTuple):
    """`number` counts the weeks, months or years since the year 1; `first` is the first day of the
    one with that number."""

    noun: str
    number: Callable[[date], int]
    first: Callable[[int], date]


# Weeks begin on Monday, as the first day of the calendar did.
PERIODS = {
    "weekly": Period(
        "week",
        lambda day: (day.toordinal() - 1) // 7,
        lambda number: date.fromordinal(number * 7 + 1),
    ),
    "monthly": Period(
        "month",
        lambda day: day.year * 12 + day.month - 1,
        lambda number: date(number // 12, number % 12 + 1, 1),
    ),
    "yearly": Period("year", lambda day: day.year, lambda number: date(number, 1, 1)),
}


class Stay(NamedTuple):
    """Through the day `until`; None while the period goes on, for its next backup replaces this
    one. `noun`: the newest of its week, month or year."""

    until: date | None
    noun: str


class Decision(Struct, frozen=True):
    filename: str
    keep: bool
    reason: str


def choose(
    backups: Iterable[BackupEntry],
    policy: Policy,
    today: date,
    now: float,
    most: int = MOST_A_RUN,
) -> list[Decision]:
    """`today` is the day of the run in the schedule's time zone. Scheduled files carry their day in
    their name. `most`: so many files go at most."""
    backups = list(backups)
    good = [
        backup
        for backup in backups
        if backup.state == "verified" and not _is_dated_ahead(backup, today, now)
    ]
    counted = _since_the_last_pause(good, now)
    run = _Run(
        policy=policy,
        today=today,
        now=now,
        since=_moment(counted[-1]) if counted else float("inf"),
        # A nightly backup and those made by hand on one day show one day.
        days=len({datetime.fromtimestamp(_moment(each), UTC).date() for each in counted}),
        nights=[each.filename for each in reversed(_nightly(counted))],
        newest={each.filename for each in _nightly(good)[:NEWEST]},
        periods=_newest_of_periods(backups, policy, today, now),
    )
    moments = sorted(map(_moment, good))
    # The oldest of the safety copies beyond SAFETY_MOST, but never the first one of
    # the last day: a program that imports again and again must not push out what
    # was there before it began.
    safety = [each for each in backups if each.kind in SAFETY_KINDS]
    copies = [each for each in safety if not _always_kept(each, now)]
    copies.sort(key=lambda each: (_moment(each), each.filename))
    first = next((each for each in copies if _moment(each) > now - DAY), None)
    others = [each.filename for each in copies if each is not first]
    too_many = set(others[: max(len(copies) - SAFETY_MOST, 0)])
    decisions = [
        _decide_safety(backup, today, now, moments, too_many)
        if backup.kind in SAFETY_KINDS
        else _decide(backup, run)
        for backup in backups
    ]
    # The oldest go first; names begin with the date.
    dropped = sorted(decision.filename for decision in decisions if not decision.keep)
    later = set(dropped[most:])
    return [
        Decision(decision.filename, True, LATER) if decision.filename in later else decision
        for decision in decisions
    ]


def is_from_the_future(created_at: float | None, now: float) -> bool:
    """By more than a change of time zone or a clock that runs a little fast can explain."""
    return created_at is not None and created_at > now + DAY


def _is_dated_ahead(backup: BackupEntry, today: date, now: float) -> bool:
    """By its time, or by a name that somebody gave it."""
    named_ahead = backup.kind == "scheduled" and _day_of(backup) > today + timedelta(days=1)
    return named_ahead or is_from_the_future(backup.created_at, now)


def _since_the_last_pause(good: list[BackupEntry], now: float) -> list[BackupEntry]:
    """The good backups that show by their number that time has really passed, newest first."""
    lasting = [backup for backup in good if backup.kind not in SAFETY_KINDS]
    counted: list[BackupEntry] = []
    later = now
    for backup in sorted(lasting, key=_moment, reverse=True):
        if _moment(backup) < later - PAUSE_DAYS * DAY:
            break
        counted.append(backup)
        later = _moment(backup)
    return counted


def _moment(backup: BackupEntry) -> float:
    return backup.created_at or 0


class _Run(Struct, frozen=True):
    """What the decision on a scheduled backup needs to know of the others. Of the good ones since
    the last pause: `since`, when the first was made, inf where there is none; `days`, on how many
    days; `nights`, the names of the scheduled ones in order. `newest`: the names of those that
    always stay. `periods`: see `_newest_of_periods`."""

    policy: Policy
    today: date
    now: float
    since: float
    days: int
    nights: list[str]
    newest: set[str]
    periods: dict[str, Stay]


def _nightly(backups: list[BackupEntry]) -> list[BackupEntry]:
    """The scheduled ones, newest first: their names are their days."""
    nightly = (each for each in backups if each.kind == "scheduled")
    return sorted(nightly, key=lambda each: each.filename, reverse=True)


def _newest_of_periods(
    backups: list[BackupEntry], policy: Policy, today: date, now: float
) -> dict[str, Stay]:
    """The names of the newest of each week, month and year that the policy keeps.

    A file that failed its test with the bytes that were written may be good for the next version of
    the program: it stays beside the newest verified one of its period.
    """
    candidates = [
        backup
        for backup in _nightly(backups)
        if backup.sha256 is not None
        and not backup.rotten
        and not _is_dated_ahead(backup, today, now)
    ]
    verified = [backup for backup in candidates if backup.state == "verified"]
    stays: dict[str, Stay] = {}
    for kind, period in PERIODS.items():
        for some in (candidates, verified):
            for name, stay in _newest_of(period, getattr(policy, kind), some, today).items():
                stays[name] = max(stays.get(name, stay), stay, key=_last_day)
    return stays


def _newest_of(
    period: Period, most: int, backups: list[BackupEntry], today: date
) -> dict[str, Stay]:
    """`backups`: newest first."""
    newest: dict[int, str] = {}
    for backup in backups:
        newest.setdefault(period.number(_day_of(backup)), backup.filename)
    now = period.number(today)
    # The next one that a backup can begin.
    following = max([number + 1 for number in newest if number >= now], default=now)
    stays: dict[str, Stay] = {}
    for newer, (number, name) in enumerate([*newest.items()][:most]):
        pushed_out_on = period.first(following + most - newer - 1)
        until = max(pushed_out_on - timedelta(days=1), today) if number < now else None
        stays[name] = Stay(until, period.noun)
    return stays


def _last_day(stay: Stay) -> date:
    return stay.until or date.min


def _day_of(backup: BackupEntry) -> date:
    return date.fromisoformat(backup.filename[:10])


def _decide(backup: BackupEntry, run: _Run) -> Decision:
    if reason := _always_kept(backup, run.now) or _kept_by_policy(backup, run):
        return Decision(backup.filename, True, reason)
    # It is old by the clock: is that borne out by the backups that came after it?
    enough = max(run.policy.daily + 1, NEWEST)
    newer = len(run.nights) - bisect_right(run.nights, backup.filename)
    if backup.filename in run.newest:
        return Decision(backup.filename, True, ONE_OF_THE_NEWEST)
    if _moment(backup) < run.since - PAUSE_DAYS * DAY and run.days < enough:
        return Decision(backup.filename, True, BEFORE_A_PAUSE)
    if not backup.rotten and newer < enough:
        return Decision(backup.filename, True, TOO_FEW_NEWER)
    return Decision(backup.filename, False, "damaged and old" if backup.rotten else NO_LONGER)


def _kept_by_policy(backup: BackupEntry, run: _Run) -> str | None:
    if backup.rotten:
        moment = _moment(backup)
        is_new = run.now - moment <= FAILED_DAYS * DAY
        return _kept_until(moment, FAILED_DAYS, run.today) if is_new else None
    kept_for = timedelta(days=run.policy.daily)
    # Somebody may have named a file after the last day there is.
    day = min(_day_of(backup), date.max - kept_for)
    by_age = day + kept_for if run.policy.daily and day >= run.today - kept_for else None
    newest = run.periods.get(backup.filename)
    if newest and newest.until and newest.until > (by_age or date.min):
        return f"{_until(newest.until, run.today)}: newest of its {newest.noun}"
    if by_age:
        return _until(by_age, run.today)
    return f"Kept: newest of its {newest.noun} so far" if newest else None


def _decide_safety(
    backup: BackupEntry, today: date, now: float, moments: list[float], too_many: set[str]
) -> Decision:
    """`moments`: of all good backups, the oldest first. `too_many`: the names of the
    copies beyond SAFETY_MOST."""
    moment = _moment(backup)
    if reason := _always_kept(backup, now):
        return Decision(backup.filename, True, reason)
    if backup.filename in too_many:
        return Decision(backup.filename, False, TOO_MANY)
    if now - moment <= SAFETY_DAYS * DAY:
        return Decision(backup.filename, True, _kept_until(moment, SAFETY_DAYS, today))
    # It is old by the clock. It may go when something newer was made without a long
    # pause between, or on so many days that time has surely passed: a clock alone
    # never takes the last way back.
    newer = moments[bisect_right(moments, moment) :]
    if not newer:
        return Decision(backup.filename, True, LAST_WAY_BACK)
    days = {datetime.fromtimestamp(each, UTC).date() for each in newer}
    steps = pairwise([moment, *newer, now])
    paused = any(later - earlier > PAUSE_DAYS * DAY for earlier, later in steps)
    if paused and len(days) < SAFETY_DAYS:
        return Decision(backup.filename, True, SAFETY_DOUBT)
    return Decision(backup.filename, False, f"safety copy older than {SAFETY_DAYS} days")


def _always_kept(backup: BackupEntry, now: float) -> str | None:
    if backup.pinned:
        return backup.kept_because or PINNED
    if backup.state == "foreign" or backup.sha256 is None or backup.created_at is None:
        return "Kept: not recognised"
    if is_from_the_future(backup.created_at, now):
        return FROM_THE_FUTURE
    if backup.kind in ("manual", "uploaded"):
        return "Kept until you delete it"
    return None


def _kept_until(moment: float, days: int, today: date) -> str:
    return _until(datetime.fromtimestamp(moment, UTC).date() + timedelta(days=days), today)


def _until(day: date, today: date) -> str:
    year = f" {day.year}" if (day - today).days > YEAR_FROM_DAYS else ""
    return f"Kept until {day.day} {day:%b}{year}"
