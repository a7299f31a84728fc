"""How safe a user's library is: one state, one sentence and one action, the same on the card of
Data & Backup, on Account, in the banner of every page, in the API, and for administrators.

`verdict` decides, and reads nothing. The rest finds out what it decides from.
"""

from collections.abc import Collection, Iterable, Iterator
from datetime import tzinfo
from typing import NamedTuple

from peewee import ValuesList, fn

from mm import clock, config, models, spoken
from mm.database import chunks
from mm.dates import PLAIN, Style
from mm.errors import UnavailableError
from mm.models import CustomList, Job, Movie, Person, SavedView, Tombstone, User
from mm.schemas import BackupAction, BackupEntry, BackupHealth, BackupMood, BackupState
from mm.services import heartbeat, jobs
from mm.services.backup import backups, ledger, schedule
from mm.services.backup import files as backup_files
from mm.services.backup.files import folder_of
from mm.spoken import plural

# Two values each, and SQLite takes 32,766 in a statement.
BATCH = 1000
NO_WORKER = "the server’s background worker, which isn’t running"


class Facts(NamedTuple):
    """`has_content`: somebody entered something, or some copy holds films. `copied_at` and
    `tested_at`: of the newest verified copy of any kind, `copied_films` in it. `other_copies`: how
    many files are not verified. `failed_at`: when the last attempt failed, where no copy came after
    it; None with `failed` where nobody noted when. `waits_since`: since when there has been no
    automatic backup. `is_running`: one is being made or is queued."""

    films: int = 0
    has_content: bool = True
    copied_at: float | None = None
    copied_films: int = 0
    tested_at: float | None = None
    other_copies: int = 0
    changes: int | None = 0
    failed: bool = False
    failed_at: float | None = None
    enabled: bool = False
    waits_since: float = 0
    next_run: float | None = None
    is_running: bool = False
    worker_is_late: bool = False


# Deciding.


def verdict(facts: Facts, now: float, zone: tzinfo, style: Style = PLAIN) -> BackupState:
    """The first that holds."""
    if not facts.has_content:
        line = "Import a library, or add a film."
        return BackupState("empty", "plain", "Nothing to back up yet", line, "import")
    if facts.copied_at is None:
        return _none(facts, now, zone, style)
    if facts.failed:
        return _failed(facts, facts.copied_at, now, zone, style)
    if not facts.enabled:
        last = spoken.ago(facts.copied_at, now, zone, style)
        line = f"Last copy {last}; {_changes(facts.changes)} since."
        return BackupState("off", "warn", "Backed up by hand only", line, "turn_on")
    if facts.copied_at < now - schedule.OVERDUE_AFTER:
        return _overdue(facts, facts.copied_at, now, zone, style)
    if facts.changes != 0:
        line = _behind(facts, now, zone, style)
        headline = f"Backed up {_when(facts.copied_at, now, zone, style)}"
        return BackupState("behind", "good", headline, line, "back_up")
    tested = _at(facts.tested_at or facts.copied_at, now, zone, style)
    line = f"{plural(facts.copied_films, 'film')}, test-restored {tested}."
    return BackupState("good", "good", "Everything is backed up", line)


def _none(facts: Facts, now: float, zone: tzinfo, style: Style) -> BackupState:
    headline = "No good backup" if facts.other_copies else "Not backed up yet"
    line = "Your people and lists exist only here."
    if facts.films:
        exist = "exists" if facts.films == 1 else "exist"
        line = f"{plural(facts.films, 'film')} {exist} only here."
    late = facts.failed or facts.waits_since < now - schedule.OVERDUE_AFTER
    if facts.is_running:
        line += " A backup is being made."
    elif facts.next_run is not None:
        line += " " + _next(facts, now, zone, style, "A backup is made")
    alarm = facts.enabled and late and not facts.is_running
    action: BackupAction | None = None if facts.is_running else "back_up"
    mood: BackupMood = "bad" if facts.other_copies else "warn"
    return BackupState("none", mood, headline, line, action, alarm)


def _failed(facts: Facts, copied_at: float, now: float, zone: tzinfo, style: Style) -> BackupState:
    line = f"The one from {_from(copied_at, now, zone, style)} is fine."
    if facts.is_running:
        line += " Trying again now."
    elif facts.next_run is not None:
        line += " " + _next(facts, now, zone, style, "Trying again")
    headline = f"{_whose(facts.failed_at, now, zone, style)} failed"
    action: BackupAction | None = None if facts.is_running else "try_again"
    return BackupState("failed", "bad", headline, line, action, alarm=facts.enabled)


def _overdue(facts: Facts, copied_at: float, now: float, zone: tzinfo, style: Style) -> BackupState:
    headline = f"No backup since {spoken.past_day(copied_at, now, zone, style)}"
    if facts.changes is None:
        line = "What changed since then is in no backup."
    elif facts.changes:
        are = "is" if facts.changes == 1 else "are"
        line = f"{plural(facts.changes, 'change')} {are} in no backup."
    else:
        line = "Nothing changed since then, but the nightly backups have stopped."
    if facts.worker_is_late:
        line += f" They wait for {NO_WORKER}."
    return BackupState("overdue", "bad", headline, line, "back_up", alarm=True)


def _behind(facts: Facts, now: float, zone: tzinfo, style: Style) -> str:
    one = facts.changes == 1
    since, they = f"{_changes(facts.changes)} since; ", "it is" if one else "they are"
    if facts.changes is None:
        since, they = "What changed since ", "is"
    if facts.is_running:
        return f"{since}{they} being saved now."
    if facts.worker_is_late or facts.next_run is None:
        wait = "waits" if one or facts.changes is None else "wait"
        subject = "" if facts.changes is None else "it " if one else "they "
        return f"{since}{subject}{wait} for {NO_WORKER}."
    return f"{since}{they} saved {spoken.due(facts.next_run, now, zone, style)}."


def _next(facts: Facts, now: float, zone: tzinfo, style: Style, what: str) -> str:
    if facts.worker_is_late or facts.next_run is None:
        return f"The next one waits for {NO_WORKER}."
    return f"{what} {spoken.due(facts.next_run, now, zone, style)}."


def _changes(count: int | None) -> str:
    if count is None:
        return "nobody knows what changed"
    return plural(count, "change") if count else "nothing changed"


def _whose(moment: float | None, now: float, zone: tzinfo, style: Style) -> str:
    """Such as "Last night’s backup", "Friday’s backup", "The backup of 3 March"."""
    if moment is None:
        return "The last backup"
    if spoken.is_last_night(moment, now, zone):
        return "Last night’s backup"
    day = spoken.past_day(moment, now, zone, style)
    return f"The backup of {day}" if spoken.is_date(day) else f"{day[0].upper()}{day[1:]}’s backup"


def _from(moment: float, now: float, zone: tzinfo, style: Style) -> str:
    """Such as "last night", "today at 09:00", "Thursday"."""
    if spoken.is_last_night(moment, now, zone):
        return "last night"
    day = spoken.past_day(moment, now, zone, style)
    return f"{day} at {clock.local(moment, zone):%H:%M}" if day == "today" else day


def _when(moment: float, now: float, zone: tzinfo, style: Style) -> str:
    """As `_from`, after a verb: "on Thursday"."""
    day = _from(moment, now, zone, style)
    return day if day.startswith(("last", "today", "yesterday")) else f"on {day}"


def _at(moment: float, now: float, zone: tzinfo, style: Style) -> str:
    """Such as "today at 03:01", "on Thursday at 03:01", "on 3 March"."""
    day = spoken.past_day(moment, now, zone, style)
    if spoken.is_date(day):
        return f"on {day}"
    on = "" if day in ("today", "yesterday") else "on "
    return f"{on}{day} at {clock.local(moment, zone):%H:%M}"


# Finding out.


class Library(NamedTuple):
    """What the database tells of one user's library and backups. `entered`: that there is anything
    beside films and the quick recommenders as they were born."""

    films: int
    entered: bool
    is_running: bool
    remembered: ledger.Remembered


def of(user: User, style: Style = PLAIN) -> BackupHealth:
    """`style`: of the dates in its sentences. Raises UnavailableError where the folder of the
    backups may not be read."""
    entries = backups.listing(user.id)
    last_good = _newest_copy(entries)
    changes = count_changes([(user, last_good)])[user.id]
    late = heartbeat.worker_is_late()
    library = libraries([user])[user.id]
    return health_of(user, entries, last_good, changes, library, late, style)


def alarm(user: User, style: Style = PLAIN) -> BackupState | None:
    """What every page of the user says. Looks into the folder only where the last automatic backup
    failed or is old."""
    is_late = schedule.is_overdue(user.last_completed_at or 0)
    if not user.backup_enabled or not (user.last_error or is_late):
        return None
    try:
        state = of(user, style).state
    except UnavailableError:
        # This is asked for every page, and the page of the backups says what is wrong.
        headline = backups.UNREACHABLE.rstrip(".")
        return BackupState("unreachable", "bad", headline, "", alarm=True)
    return state if state.alarm else None


def health_of(
    user: User,
    entries: list[BackupEntry],
    last_good: BackupEntry | None,
    changes: int | None,
    library: Library,
    worker_is_late: bool,
    style: Style = PLAIN,
) -> BackupHealth:
    """`entries` of the user's folder, `last_good` of them the newest copy."""
    next_run = schedule.next_run(user)
    failure, chosen_at = library.remembered
    copied_at = last_good.created_at if last_good else None
    if failure and copied_at and failure.at and failure.at < copied_at:
        failure = None
    verified = [entry for entry in entries if entry.state == "verified"]
    facts = Facts(
        films=library.films,
        has_content=bool(library.films or library.entered or any(map(_films_in, verified))),
        copied_at=copied_at,
        copied_films=_films_in(last_good) if last_good else 0,
        tested_at=last_good.verified_at if last_good else None,
        other_copies=sum(entry.state in ("damaged", "unverified") for entry in entries),
        changes=changes,
        failed=failure is not None,
        failed_at=failure.at if failure else None,
        enabled=user.backup_enabled,
        waits_since=_latest_past(user.last_completed_at, chosen_at, user.created_at),
        next_run=next_run,
        is_running=library.is_running,
        worker_is_late=worker_is_late,
    )
    return BackupHealth(
        enabled=user.backup_enabled,
        films=library.films,
        last_good=last_good,
        changes=changes,
        next_run=next_run,
        last_error=failure.message if failure else None,
        state=verdict(facts, clock.now(), config.current.zone, style),
        notices=list(_notices(entries)),
    )


def _latest_past(*moments: float | None) -> float:
    """A time in the future was written while the clock was wrong, and says nothing."""
    latest = clock.now() + clock.DAY
    return max((moment for moment in moments if moment and moment <= latest), default=0)


def newest_copies(
    users: Iterable[User], entries: dict[str, list[BackupEntry]]
) -> list[tuple[User, BackupEntry | None]]:
    return [(user, _newest_copy(entries.get(user.id, []))) for user in users]


def _newest_copy(entries: Iterable[BackupEntry]) -> BackupEntry | None:
    """A safety copy is one too: what came after it is counted. An uploaded file is not: it holds
    what somebody brought. One from the future says nothing about its age."""
    copies = (
        entry
        for entry in entries
        if entry.kind != "uploaded" and backups.is_verified_and_past(entry)
    )
    return max(copies, key=lambda entry: (entry.created_at or 0, entry.filename), default=None)


def _films_in(entry: BackupEntry) -> int:
    return entry.counts.movies if entry.counts else 0


def _notices(entries: list[BackupEntry]) -> Iterator[str]:
    for entry in entries:
        if entry.kept_because == backups.BEFORE_DROP and entry.counts:
            yield (
                f"The backup after {entry.filename} held under half of its "
                f"{entry.counts.movies:,} films. It is pinned, so that it stays until you "
                "unpin or delete it."
            )
        if entry.state == "damaged":
            yield f"{entry.filename} is damaged: {entry.problem}."


def libraries(users: Collection[User]) -> dict[str, Library]:
    """By user id; six queries, however many users there are."""
    ids = [user.id for user in users]
    films = dict(
        Movie.select(Movie.user, fn.COUNT(Movie.id))
        .where(Movie.user.in_(ids))
        .group_by(Movie.user)
        .tuples()
    )
    active = (Job.kind == "backup") & Job.state.in_(jobs.ACTIVE) & Job.user.in_(ids)
    running = {user_id for (user_id,) in Job.select(Job.user).where(active).tuples()}
    entered = _with_more_than_films([user_id for user_id in ids if user_id not in films])
    remembered = ledger.of(users)
    return {
        user_id: Library(
            films.get(user_id, 0), user_id in entered, user_id in running, remembered[user_id]
        )
        for user_id in ids
    }


def _with_more_than_films(ids: list[str]) -> set[str]:
    if not ids:
        return set()
    changed = Person.quick_key.is_null() | (Person.last_modified != User.created_at)
    selects = (
        CustomList.select(CustomList.user).where(CustomList.user.in_(ids)),
        SavedView.select(SavedView.user).where(SavedView.user.in_(ids)),
        Person.select(Person.user).join(User).where(Person.user.in_(ids) & changed),
    )
    return {user_id for select in selects for (user_id,) in select.distinct().tuples()}


def count_changes(copies: list[tuple[User, BackupEntry | None]]) -> dict[str, int | None]:
    """How many changes each library has had since its copy: so many writes, or so many films that
    were changed or removed, whichever is more. A rating is one write and one film, an import of 46
    films one write and 46 films. None where neither can be told.

    Two queries for every thousand users, and one more.
    """
    films = dict.fromkeys((user.id for user, _ in copies), 0)
    epoch = models.epoch()
    since = [(user.id, entry.created_at or 0) for user, entry in copies if entry]
    for part in chunks(since, BATCH):
        for user_id, count in [*_changed_films(part), *_removed_films(part, epoch)]:
            films[user_id] += count
    counted: dict[str, int | None] = {}
    for user, entry in copies:
        saved = _version_of(user.id, entry) if entry else None
        if saved is not None:
            # A copy from before a restore of the whole server may hold what came after the archive.
            at_least = 1 if entry and (entry.created_at or 0) < epoch else 0
            counted[user.id] = max(abs(user.library_version - saved), films[user.id], at_least)
        else:
            counted[user.id] = films[user.id] or None
    return counted


# A mark from the future was made while the clock was wrong; the number of writes tells of such
# changes.


def _changed_films(since: list[tuple[str, float]]) -> Iterator[tuple[str, int]]:
    copy = ValuesList(since).cte("copy", columns=("user_id", "moment"))
    by_hand = (Movie.last_modified > copy.c.moment) | (Movie.imported_at > copy.c.moment)
    # `updated_at` has an index, but also moves when a title is looked up.
    past = (Movie.updated_at > copy.c.moment) & (Movie.updated_at <= clock.now())
    rows = Movie.select(Movie.user, fn.COUNT(Movie.id)).join(
        copy, on=(Movie.user == copy.c.user_id)
    )
    yield from rows.where(past & by_hand).group_by(Movie.user).with_cte(copy).tuples()


def _removed_films(since: list[tuple[str, float]], epoch: float) -> Iterator[tuple[str, int]]:
    copy = ValuesList(since).cte("copy", columns=("user_id", "moment"))
    past = (Tombstone.updated_at > copy.c.moment) & (Tombstone.updated_at <= clock.now())
    # A restore of the whole server may give deletions of long ago a new `updated_at`.
    past &= (copy.c.moment >= epoch) | (Tombstone.deleted_at > copy.c.moment)
    rows = Tombstone.select(Tombstone.user, fn.COUNT(Tombstone.key)).join(
        copy, on=(Tombstone.user == copy.c.user_id)
    )
    removed = past & (Tombstone.kind == "movie")
    yield from rows.where(removed).group_by(Tombstone.user).with_cte(copy).tuples()


def _version_of(user_id: str, entry: BackupEntry) -> int | None:
    sidecar = backup_files.read_sidecar(folder_of(user_id) / entry.filename)
    return sidecar.library_version if sidecar else None
