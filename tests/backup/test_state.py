"""The state of a user's backups: what it says in each case, and that it is true."""

import dataclasses
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from playhouse.test_utils import count_queries

from mm import config, tasks
from mm.database import db
from mm.errors import NoRoomError, UnavailableError
from mm.models import Movie, Title, User
from mm.services import heartbeat, jobs, portable
from mm.services.backup import backups, imports, nightly, overview, schedule, state
from mm.services.backup import files as backup_files
from mm.services.library import lists, movies, people
from tests.conftest import put_in_force
from tests.support.libraries import as_bytes, many, put, reload

MINUTE, HOUR, DAY = 60, 3600, 86400


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


# Friday.
NOW = at("2026-03-06T10:00")
LAST_NIGHT = at("2026-03-06T03:00")
TONIGHT = at("2026-03-07T03:00")
GOOD = {
    "films": 2698,
    "copied_at": LAST_NIGHT,
    "copied_films": 2698,
    "tested_at": at("2026-03-06T03:01"),
    "enabled": True,
    "next_run": TONIGHT,
}


def facts(**changed):
    return state.Facts(**{**GOOD, **changed})


# what is so, the name and mood of the state, its headline, its line, and its action
TABLE = {
    "everything is as it should be": (
        {},
        ("good", "good", "Everything is backed up"),
        "2,698 films, test-restored today at 03:01.",
        None,
    ),
    "a test restore of some days ago": (
        {"tested_at": at("2026-03-03T03:01")},
        ("good", "good", "Everything is backed up"),
        "2,698 films, test-restored on Tuesday at 03:01.",
        None,
    ),
    "changes since last night": (
        {"changes": 46},
        ("behind", "good", "Backed up last night"),
        "46 changes since; they are saved tomorrow at 03:00.",
        "back_up",
    ),
    "one change since a backup of this morning": (
        {"changes": 1, "copied_at": at("2026-03-06T09:05")},
        ("behind", "good", "Backed up today at 09:05"),
        "1 change since; it is saved tomorrow at 03:00.",
        "back_up",
    ),
    "changes that nobody can count": (
        {"changes": None},
        ("behind", "good", "Backed up last night"),
        "What changed since is saved tomorrow at 03:00.",
        "back_up",
    ),
    "changes that no worker saves": (
        {"changes": 46, "worker_is_late": True},
        ("behind", "good", "Backed up last night"),
        "46 changes since; they wait for the server’s background worker, which isn’t running.",
        "back_up",
    ),
    "changes that are being saved": (
        {"changes": 46, "is_running": True},
        ("behind", "good", "Backed up last night"),
        "46 changes since; they are being saved now.",
        "back_up",
    ),
    "a copy exactly two days old": (
        {"copied_at": NOW - 2 * DAY, "changes": 46},
        ("behind", "good", "Backed up on Wednesday"),
        "46 changes since; they are saved tomorrow at 03:00.",
        "back_up",
    ),
    "a copy one second older": (
        {"copied_at": NOW - 2 * DAY - 1, "changes": 46},
        ("overdue", "bad", "No backup since Wednesday"),
        "46 changes are in no backup.",
        "back_up",
    ),
    "an old copy of a library that did not change": (
        {"copied_at": at("2026-03-03T03:00")},
        ("overdue", "bad", "No backup since Tuesday"),
        "Nothing changed since then, but the nightly backups have stopped.",
        "back_up",
    ),
    "an old copy, and no worker": (
        {"copied_at": at("2026-02-20T03:00"), "changes": 1, "worker_is_late": True},
        ("overdue", "bad", "No backup since 20 February"),
        "1 change is in no backup. They wait for the server’s background worker, "
        "which isn’t running.",
        "back_up",
    ),
    "automatic backups off": (
        {
            "enabled": False,
            "next_run": None,
            "changes": 46,
            "copied_at": NOW - 3 * DAY,
        },
        ("off", "warn", "Backed up by hand only"),
        "Last copy 3 days ago; 46 changes since.",
        "turn_on",
    ),
    "automatic backups off, and nothing changed": (
        {"enabled": False, "next_run": None, "copied_at": NOW - 90 * DAY},
        ("off", "warn", "Backed up by hand only"),
        "Last copy 6 Dec 2025; nothing changed since.",
        "turn_on",
    ),
    "a night that failed": (
        {
            "copied_at": at("2026-03-05T03:00"),
            "failed": True,
            "failed_at": LAST_NIGHT,
            "next_run": at("2026-03-06T10:15"),
        },
        ("failed", "bad", "Last night’s backup failed"),
        "The one from yesterday is fine. Trying again in 15 minutes.",
        "try_again",
    ),
    "a failure of two days ago": (
        {
            "copied_at": at("2026-03-03T03:00"),
            "failed": True,
            "failed_at": at("2026-03-04T04:15"),
        },
        ("failed", "bad", "Wednesday’s backup failed"),
        "The one from Tuesday is fine. Trying again tomorrow at 03:00.",
        "try_again",
    ),
    "a failure of long ago": (
        {"copied_at": at("2025-12-24T03:00"), "failed": True, "failed_at": at("2026-01-01T03:00")},
        ("failed", "bad", "The backup of 1 January failed"),
        "The one from 24 December 2025 is fine. Trying again tomorrow at 03:00.",
        "try_again",
    ),
    "a failure without a date, of an earlier version": (
        {"failed": True},
        ("failed", "bad", "The last backup failed"),
        "The one from last night is fine. Trying again tomorrow at 03:00.",
        "try_again",
    ),
    "a backup by hand that failed after a good one of the same day": (
        {
            "copied_at": at("2026-03-06T09:00"),
            "failed": True,
            "failed_at": at("2026-03-06T09:30"),
            "enabled": False,
            "next_run": None,
        },
        ("failed", "bad", "Today’s backup failed"),
        "The one from today at 09:00 is fine.",
        "try_again",
    ),
    "a failure that is tried again now": (
        {"failed": True, "failed_at": NOW - DAY, "copied_at": NOW - 2 * DAY, "is_running": True},
        ("failed", "bad", "Yesterday’s backup failed"),
        "The one from Wednesday is fine. Trying again now.",
        None,
    ),
    "a failure that no worker can try again": (
        {
            "failed": True,
            "failed_at": NOW - DAY,
            "copied_at": NOW - 2 * DAY,
            "worker_is_late": True,
        },
        ("failed", "bad", "Yesterday’s backup failed"),
        "The one from Wednesday is fine. The next one waits for the server’s background worker, "
        "which isn’t running.",
        "try_again",
    ),
    "no copy at all": (
        {"copied_at": None, "enabled": False, "next_run": None},
        ("none", "warn", "Not backed up yet"),
        "2,698 films exist only here.",
        "back_up",
    ),
    "no copy of one film": (
        {"films": 1, "copied_at": None, "enabled": False, "next_run": None},
        ("none", "warn", "Not backed up yet"),
        "1 film exists only here.",
        "back_up",
    ),
    "no copy of people and lists": (
        {"films": 0, "copied_at": None, "enabled": False, "next_run": None},
        ("none", "warn", "Not backed up yet"),
        "Your people and lists exist only here.",
        "back_up",
    ),
    "the first copy is on its way": (
        {"copied_at": None, "is_running": True},
        ("none", "warn", "Not backed up yet"),
        "2,698 films exist only here. A backup is being made.",
        None,
    ),
    "the first copy is due": (
        {"copied_at": None, "next_run": NOW + 12 * MINUTE},
        ("none", "warn", "Not backed up yet"),
        "2,698 films exist only here. A backup is made in 12 minutes.",
        "back_up",
    ),
    "only damaged copies": (
        {"copied_at": None, "other_copies": 2, "enabled": False, "next_run": None},
        ("none", "bad", "No good backup"),
        "2,698 films exist only here.",
        "back_up",
    ),
    "nothing to save": (
        {"films": 0, "has_content": False, "copied_at": None, "failed": True},
        ("empty", "plain", "Nothing to back up yet"),
        "Import a library, or add a film.",
        "import",
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_the_first_condition_that_holds_says_what_is_so(case):
    changed, (name, mood, headline), line, action = TABLE[case]
    found = state.verdict(facts(**changed), NOW, UTC)
    assert (found.name, found.mood, found.headline) == (name, mood, headline)
    assert (found.line, found.action) == (line, action)


def test_the_conditions_are_asked_in_their_order():
    """Each of these holds for the one before, too."""
    everything = {
        "films": 0,
        "has_content": False,
        "copied_at": None,
        "failed": True,
        "enabled": False,
        "changes": 46,
    }
    then = [
        ("empty", {}),
        ("none", {"has_content": True}),
        ("failed", {"copied_at": NOW - 9 * DAY}),
        ("off", {"failed": False}),
        ("overdue", {"enabled": True}),
        ("behind", {"copied_at": LAST_NIGHT}),
        ("good", {"changes": 0}),
    ]
    for name, changed in then:
        everything |= changed
        assert state.verdict(facts(**everything), NOW, UTC).name == name


@pytest.mark.parametrize(
    ("changed", "is_alarm"),
    [
        ({}, False),
        ({"changes": 46}, False),
        ({"copied_at": NOW - 3 * DAY}, True),
        ({"failed": True}, True),
        ({"failed": True, "enabled": False}, False),
        ({"copied_at": NOW - 30 * DAY, "enabled": False}, False),
        ({"copied_at": None, "waits_since": NOW - DAY}, False),
        ({"copied_at": None, "waits_since": NOW - 3 * DAY}, True),
        ({"copied_at": None, "waits_since": NOW - DAY, "failed": True}, True),
        ({"copied_at": None, "waits_since": NOW - 3 * DAY, "is_running": True}, False),
        ({"copied_at": None, "waits_since": NOW - 3 * DAY, "enabled": False}, False),
    ],
)
def test_every_page_warns_who_wants_automatic_backups_and_has_none(changed, is_alarm):
    assert state.verdict(facts(**changed), NOW, UTC).alarm == is_alarm


def test_days_are_those_of_the_servers_zone():
    auckland = ZoneInfo("Pacific/Auckland")
    found = state.verdict(facts(changes=2, copied_at=at("2026-03-05T14:30")), NOW, auckland)
    assert found.headline == "Backed up last night"


# With a real library.


@pytest.fixture
def running_worker(database, frozen_clock):
    frozen_clock.moment = NOW
    heartbeat.beat()


@pytest.mark.usefixtures("running_worker")
class TestOfALibrary:
    def test_an_import_counts_its_films_and_a_rating_counts_once(
        self, alice, frozen_clock, monkeypatch
    ):
        apply = portable.apply

        def apply_after_its_safety_copy(*args, **more):
            frozen_clock.move(1)
            return apply(*args, **more)

        monkeypatch.setattr(portable, "apply", apply_after_its_safety_copy)
        backed_up(alice, frozen_clock)
        frozen_clock.move(MINUTE)
        assert changes(alice) == 0
        imports.import_bytes(reload(alice), as_bytes(many(46, start=100)))
        frozen_clock.move(1)
        # The import's own safety copy is newer than the one by hand.
        assert state.of(reload(alice)).last_good.kind == "before-import"
        assert changes(alice) == 46
        frozen_clock.move(MINUTE)
        backups.create(reload(alice))
        frozen_clock.move(MINUTE)
        for rating in (7, 8, 9):
            movies.watch(alice.id, "tt0000001", my_rating=rating)
        assert changes(alice) == 3
        assert line(alice) == "Last copy a minute ago; 3 changes since."

    def test_what_is_no_film_is_counted_too_and_what_is_deleted(self, alice, frozen_clock):
        backed_up(alice, frozen_clock)
        frozen_clock.move(MINUTE)
        lists.create(alice.id, "Favourites")
        people.create(alice.id, "Eve")
        assert changes(alice) == 2
        for number in range(5):
            movies.delete(alice.id, f"tt000000{number + 1}")
        assert changes(alice) == 7

    def test_a_look_up_of_titles_changes_nothing(self, alice, frozen_clock):
        backed_up(alice, frozen_clock)
        frozen_clock.move(MINUTE)
        Movie.update(updated_at=frozen_clock.moment).execute()
        Title.update(title="Heat").execute()
        assert changes(alice) == 0

    def test_a_database_from_before_the_copy_is_not_taken_for_the_same(self, alice, frozen_clock):
        backed_up(alice, frozen_clock)
        version = reload(alice).library_version
        frozen_clock.move(MINUTE)
        User.update(library_version=version - 1).execute()
        movies.add(alice.id, "tt0999999")
        assert reload(alice).library_version == version
        assert changes(alice) == 1

    def test_a_copy_of_an_unknown_version_is_never_called_everything(self, alice, frozen_clock):
        entry = backed_up(alice, frozen_clock)
        path = backups.path_of(alice.id, entry.filename)
        sidecar = backup_files.read_sidecar(path)
        sidecar.library_version = None
        backup_files.write_sidecar(path, sidecar)
        assert state.of(alice).changes is None
        assert state.of(alice).state.line.endswith("nobody knows what changed since.")

    def test_an_uploaded_file_is_no_copy_of_the_library(self, alice, frozen_clock):
        entry = backed_up(alice, frozen_clock)
        folder = backup_files.folder_of(alice.id)
        for name in (entry.filename, f"{entry.filename}.meta.json"):
            path = folder / name
            path.rename(folder / name.replace("manual", "uploaded"))
        path = folder / entry.filename.replace("manual", "uploaded")
        sidecar = backup_files.read_sidecar(path)
        sidecar.kind = "uploaded"
        backup_files.write_sidecar(path, sidecar)
        assert state.of(alice).state.name == "none"

    def test_a_library_that_was_emptied_still_has_its_backups(self, alice, frozen_clock):
        backed_up(alice, frozen_clock)
        frozen_clock.move(MINUTE)
        for film in Movie.select():
            movies.delete(alice.id, film.imdb_id)
        assert state.of(reload(alice)).state.name == "off"
        assert changes(alice) == 20

    def test_a_new_account_has_nothing_to_back_up(self, alice):
        assert state.of(alice).state.name == "empty"
        lists.create(alice.id, "Favourites")
        assert state.of(reload(alice)).state.line == "Your people and lists exist only here."

    def test_a_failure_of_any_kind_is_told_until_a_copy_of_any_kind_is_good(
        self, alice, frozen_clock, monkeypatch
    ):
        backed_up(alice, frozen_clock)
        frozen_clock.move(HOUR)
        with monkeypatch.context() as patched:
            patched.setattr(portable, "dump", no_room)
            with pytest.raises(NoRoomError):
                backups.create(reload(alice))
        health = state.of(reload(alice))
        assert health.state.headline == "Today’s backup failed"
        assert health.last_error == "Not enough disk space: 9 MB needed, 0 MB free."
        frozen_clock.move(HOUR)
        imports.import_bytes(reload(alice), as_bytes(many(3, start=100)))
        health = state.of(reload(alice))
        assert (health.state.name, health.last_error) == ("off", None)

    def test_an_import_whose_safety_copy_fails_is_told(self, alice, frozen_clock, monkeypatch):
        backed_up(alice, frozen_clock)
        frozen_clock.move(HOUR)
        monkeypatch.setattr(backups, "_problem", lambda *args: "films are missing from it")
        with pytest.raises(UnavailableError, match="failed its test"):
            imports.import_bytes(reload(alice), as_bytes(many(3, start=100)))
        health = state.of(reload(alice))
        assert health.state.headline == "Today’s backup failed"
        assert "films are missing" in health.last_error

    def test_a_refusal_is_no_failed_backup(self, alice, frozen_clock, monkeypatch):
        backed_up(alice, frozen_clock)
        limited = dataclasses.replace(config.current, manual_backups_max=1)
        put_in_force(monkeypatch, limited)
        with pytest.raises(NoRoomError):
            backups.create(reload(alice))
        assert state.of(reload(alice)).last_error is None

    def test_the_words_of_an_older_version_are_not_shown(self, alice):
        put(alice, many(3))
        backups.create(alice)
        User.update(last_error="Unexpected error: FileExistsError: '/srv/mm/backups'").execute()
        health = state.of(reload(alice))
        assert health.state.headline == "The last backup failed"
        assert "/srv" not in health.last_error

    def test_it_costs_few_queries(self, alice, frozen_clock):
        backed_up(alice, frozen_clock)
        with count_queries() as counter:
            state.of(alice)
        assert counter.count <= 8
        with count_queries() as counter:
            assert state.alarm(alice) is None
        assert counter.count == 0


def backed_up(user, frozen_clock, films=20):
    put(user, many(films))
    frozen_clock.move(1)
    return backups.create(user)


def changes(user):
    return state.of(reload(user)).changes


def line(user):
    return state.of(reload(user)).state.line


def no_room(*args, **more):
    raise NoRoomError("Not enough disk space: 9 MB needed, 0 MB free.")


# Thirty nights.

FAILING = {4, 9, 10, 11, 17, 23, 24, 25, 26}


@pytest.mark.slow
@pytest.mark.usefixtures("running_worker")
def test_the_sentence_is_right_on_each_of_thirty_days_with_failing_nights(
    alice, frozen_clock, monkeypatch
):
    """A film is added each noon; nights fail with all of their tries. It is read at 10:00."""
    put(alice, many(20))
    first = nightly.enable(alice, True)
    jobs.run(first.id, *tasks.WORK["backup"])
    last_good = frozen_clock.moment
    for day in range(1, 31):
        frozen_clock.moment = NOW + (day - 1) * DAY + 2 * HOUR
        put(alice, many(1, start=1000 + day))
        with monkeypatch.context() as patched:
            if day in FAILING:
                patched.setattr(portable, "dump", no_room)
            night = NOW + day * DAY - 7 * HOUR
            for minutes in (0, 15, 75):
                frozen_clock.moment = night + minutes * MINUTE
                run_due()
        if day not in FAILING:
            last_good = night
        frozen_clock.moment = NOW + day * DAY
        heartbeat.beat()
        health = state.of(reload(alice))
        assert health.last_good.created_at == last_good
        assert_true(health, frozen_clock.moment, last_good, day in FAILING)
        assert (state.alarm(reload(alice)) is not None) == (day in FAILING)


def assert_true(health, now, last_good, failed):
    found = health.state
    if not failed:
        assert found.headline == "Everything is backed up"
        assert found.line == f"{health.films} films, test-restored today at 03:00."
        return
    nights = round((now - 7 * HOUR - last_good) / DAY)
    day = f"{datetime.fromtimestamp(last_good, UTC):%A}" if nights > 1 else "yesterday"
    assert health.changes == nights
    assert found.headline == "Last night’s backup failed"
    assert found.line == f"The one from {day} is fine. Trying again tomorrow at 03:00."
    assert health.last_error == "Not enough disk space: 9 MB needed, 0 MB free."


def run_due():
    for job in schedule.due_jobs():
        if job.kind in ("backup", "unchanged"):
            jobs.run(job.id, *tasks.WORK[job.kind])


# Everybody, for administrators.


@pytest.mark.usefixtures("running_worker")
def test_everybody_is_listed_with_who_needs_attention_first(
    alice, bob, carol, frozen_clock, monkeypatch
):
    put(alice, many(20))
    put(bob, many(3))
    first = nightly.enable(bob, True)
    jobs.run(first.id, *tasks.WORK["backup"])
    frozen_clock.move(DAY)
    with monkeypatch.context() as patched:
        patched.setattr(portable, "dump", no_room)
        put(bob, many(1, start=50))
        run_due()
    rows = overview.of_everybody()
    assert [(row.username, row.state.name) for row in rows] == [
        ("bob", "failed"),
        ("alice", "none"),
        ("carol", "empty"),
    ]
    [bobs, alices, _] = rows
    assert (bobs.films, bobs.enabled, bobs.failed, bobs.damaged) == (4, True, 1, 0)
    assert bobs.size_bytes > 1000
    assert (alices.films, alices.last_good, alices.size_bytes) == (20, None, 0)


@pytest.mark.usefixtures("running_worker")
def test_everybodys_state_is_what_they_see_themselves(alice, bob, frozen_clock):
    for user, films in ((alice, 20), (bob, 7)):
        backed_up(user, frozen_clock, films)
    frozen_clock.move(HOUR)
    put(bob, many(3, start=100))
    movies.delete(bob.id, "tt0000001")
    frozen_clock.move(1)
    rows = {row.username: row.state for row in overview.of_everybody()}
    assert rows["alice"] == state.of(reload(alice)).state
    assert rows["bob"] == state.of(reload(bob)).state
    assert rows["bob"].line == "Last copy an hour ago; 4 changes since."


@pytest.mark.usefixtures("running_worker")
def test_a_folder_that_cannot_be_read_costs_its_own_row_only(alice, bob, monkeypatch):
    put(bob, many(3))
    backups.create(bob)
    entries = backup_files.entries

    def refuse(user_id):
        if user_id == alice.id:
            raise PermissionError(13, "Permission denied", f"/srv/backups/{user_id}")
        return entries(user_id)

    monkeypatch.setattr(backup_files, "entries", refuse)
    rows = overview.of_everybody()
    assert [(row.username, row.state.name) for row in rows] == [
        ("alice", "unreachable"),
        ("bob", "off"),
    ]
    assert rows[0].state.line.startswith("Your backups can’t be reached. Ask")


@pytest.mark.usefixtures("running_worker")
def test_a_thousand_accounts_cost_as_many_queries_as_a_few(alice):
    columns = {**alice.__data__}
    users = [
        {
            **columns,
            "id": f"00000000-0000-4000-8000-{number:012}",
            "email_key": f"{number}@example.org",
            "username_key": f"user{number}",
        }
        for number in range(1000)
    ]
    with db.atomic():
        User.insert_many(users).execute()
    with count_queries() as counter:
        assert len(overview.of_everybody()) == 1001
    assert counter.count <= 30
