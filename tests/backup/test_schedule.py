"""What is due: nights, missed nights, failures and their retries, with a clock that tests move."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from mm import clock, config, files, locks, models, tasks
from mm.database import db
from mm.errors import NoRoomError
from mm.models import Job, User
from mm.services import health, heartbeat, jobs, portable
from mm.services.backup import backups, nightly, retention, schedule, state
from mm.services.backup import files as backup_files
from tests.conftest import put_in_force
from tests.support.libraries import many, put, reload

pytestmark = pytest.mark.usefixtures("database", "frozen_clock")
MINUTE, HOUR, DAY = 60, 3600, 86400
NIGHTLY = ["recheck", "tidying", "all-users"]


def run_due():
    """What the worker does in a minute: look, and do what was found."""
    for job in schedule.due_jobs():
        if job.kind != "recheck":
            jobs.run(job.id, *tasks.WORK[job.kind])


def look():
    """The jobs that are due now, but for those of the server's own."""
    return [job for job in schedule.due_jobs() if job.kind not in NIGHTLY]


def switch_on(user):
    nightly.enable(user, True)
    Job.delete().execute()


def scheduled(user):
    return sorted(entry.filename for entry in backups.listing(user.id) if entry.kind == "scheduled")


def use_zone(monkeypatch, zone, **values):
    settings = config.Config(data_dir=config.current.data_dir, timezone=zone, **values)
    put_in_force(monkeypatch, settings)


def at(text, zone="UTC"):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.slow
def test_twenty_nights_leave_the_files_of_the_last_fifteen_days_with_their_reasons(
    alice, frozen_clock
):
    switch_on(alice)
    put(alice, many(30))
    frozen_clock.moment = at("2026-03-02T03:00")
    for night in range(20):
        if night % 3 == 0:
            put(alice, many(1, start=100 + night))
        run_due()
        frozen_clock.move(DAY)
    frozen_clock.move(-DAY)
    listed = backups.listing(alice.id)
    assert [entry.filename for entry in listed] == [
        f"2026-03-{day:02}.json" for day in range(21, 6, -1)
    ]
    assert [entry.kept_because for entry in (listed[0], listed[-1])] == [
        "Kept until 4 Apr",
        "Kept until 21 Mar",
    ]
    assert {entry.state for entry in listed} == {"verified"}


def test_a_backup_is_made_once_a_night(alice, frozen_clock):
    switch_on(alice)
    frozen_clock.moment = at("2026-03-02T03:00")
    run_due()
    first = reload(alice).last_completed_at
    for _ in range(5):
        frozen_clock.move(MINUTE)
        run_due()
    assert reload(alice).last_completed_at == first
    assert Job.select().where(Job.kind == "backup").count() == 1


def test_a_missed_night_is_caught_up_at_the_first_look(alice, frozen_clock):
    switch_on(alice)
    frozen_clock.moment = at("2026-03-02T03:00")
    run_due()
    frozen_clock.moment = at("2026-03-05T17:23")
    run_due()
    assert scheduled(alice) == ["2026-03-02.json", "2026-03-05.json"]
    assert schedule.next_run(reload(alice)) == at("2026-03-06T03:00")


def test_a_user_without_automatic_backups_is_not_backed_up(alice, frozen_clock):
    put(alice, many(3))
    frozen_clock.move(3 * DAY)
    run_due()
    assert backups.listing(alice.id) == []
    assert schedule.next_run(alice) is None
    assert state.of(alice).state.name == "none"
    assert state.alarm(alice) is None


def test_switching_on_makes_a_first_backup_at_once(alice):
    job = nightly.enable(alice, True)
    jobs.run(job.id, nightly.run, nightly.failed)
    assert scheduled(alice) == ["2026-03-01.json"]
    assert nightly.enable(reload(alice), True) is None


def test_one_failure_does_not_stop_the_others(alice, bob, frozen_clock, monkeypatch):
    switch_on(alice)
    switch_on(bob)
    put(alice, many(3))
    dump = portable.dump

    def broken(user_id, *scratch, **more):
        if user_id == alice.id:
            raise NoRoomError("Not enough disk space: 9 MB needed, 0 MB free.")
        return dump(user_id, *scratch, **more)

    monkeypatch.setattr(portable, "dump", broken)
    frozen_clock.moment = at("2026-03-02T03:00")
    run_due()
    assert (scheduled(alice), scheduled(bob)) == ([], ["2026-03-02.json"])


@pytest.mark.slow
def test_a_night_whose_disk_is_full_is_tried_again_after_15_minutes_and_an_hour_and_says_so(
    alice, frozen_clock, monkeypatch
):
    switch_on(alice)
    put(alice, many(3))
    tried = []

    def full(folder, size):
        tried.append(frozen_clock.moment)
        raise NoRoomError("Not enough disk space: 9 MB needed, 0 MB free.")

    start = frozen_clock.moment = at("2026-03-02T03:00")
    with monkeypatch.context() as patched:
        patched.setattr(files, "require_room", full)
        # What was due earlier in ten minutes without a look would be tried at the next one.
        for minute in (*range(80), *range(80, 24 * 60, 10), *range(24 * 60, 25 * 60)):
            frozen_clock.moment = start + minute * MINUTE
            run_due()
        frozen_clock.move(MINUTE)
        assert [moment - start for moment in tried] == [
            0,
            15 * MINUTE,
            75 * MINUTE,
            DAY,
            DAY + 15 * MINUTE,
        ]
        health = state.of(reload(alice))
        assert "Not enough disk space" in health.last_error
        assert health.state.alarm
    frozen_clock.move(HOUR)
    run_due()
    assert scheduled(alice) == ["2026-03-03.json"]
    assert state.of(reload(alice)).last_error is None


def test_a_library_in_use_waits_for_the_next_minute_and_is_no_failure(alice, frozen_clock):
    switch_on(alice)
    put(alice, many(3))
    frozen_clock.moment = at("2026-03-02T03:00")
    with locks.hold(f"library-{alice.id}"):
        run_due()
    assert reload(alice).last_error is None
    frozen_clock.move(2 * MINUTE)
    [job] = [job for job in jobs.waiting_for_a_worker() if job.kind == "backup"]
    jobs.run(job.id, nightly.run, nightly.failed)
    assert scheduled(alice) == ["2026-03-02.json"]


def test_the_schedule_keeps_the_servers_own_time_through_both_changes_of_clocks(monkeypatch):
    use_zone(monkeypatch, "Europe/Berlin", backup_time="02:30")
    assert schedule.next_slot(at("2026-03-28T12:00", "Europe/Berlin")) == at(
        "2026-03-29T03:30", "Europe/Berlin"
    )
    assert schedule.next_slot(at("2026-10-24T12:00", "Europe/Berlin")) == at(
        "2026-10-25T02:30", "Europe/Berlin"
    )
    assert schedule.last_slot(at("2026-10-25T12:00", "Europe/Berlin")) == at(
        "2026-10-25T02:30", "Europe/Berlin"
    )


def test_a_file_carries_the_date_of_the_servers_zone(alice, frozen_clock, monkeypatch):
    use_zone(monkeypatch, "Pacific/Auckland")
    switch_on(alice)
    frozen_clock.moment = at("2026-03-02T15:00")
    run_due()
    assert scheduled(alice) == ["2026-03-03.json"]


def test_a_time_that_moves_over_now_makes_no_second_backup_of_this_day(
    alice, frozen_clock, monkeypatch
):
    switch_on(alice)
    put(alice, many(3))
    frozen_clock.moment = at("2026-03-02T03:00")
    run_due()
    for now, time in (("12:00", "11:00"), ("12:30", "12:31"), ("13:00", "20:00")):
        frozen_clock.moment = at(f"2026-03-02T{now}")
        put(alice, many(3, start=int(now[:2]) * 10))
        use_zone(monkeypatch, "UTC", backup_time=time)
        frozen_clock.moment = max(frozen_clock.moment, at(f"2026-03-02T{time}"))
        run_due()
        run_due()
    assert [entry.filename for entry in backups.listing(alice.id)] == ["2026-03-02.json"]
    assert schedule.next_run(reload(alice)) == at("2026-03-03T20:00")
    frozen_clock.moment = at("2026-03-03T20:00")
    run_due()
    assert scheduled(alice) == ["2026-03-02.json", "2026-03-03.json"]


def test_a_time_that_moves_from_later_to_earlier_today_is_caught_up_at_once(
    alice, frozen_clock, monkeypatch
):
    switch_on(alice)
    use_zone(monkeypatch, "UTC", backup_time="23:00")
    frozen_clock.moment = at("2026-03-02T23:00")
    run_due()
    frozen_clock.moment = at("2026-03-03T12:00")
    assert look() == []
    use_zone(monkeypatch, "UTC", backup_time="04:00")
    run_due()
    assert scheduled(alice) == ["2026-03-02.json", "2026-03-03.json"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "hour"),
    [
        (("UTC", "03:00"), ("America/Los_Angeles", "03:00"), 80),
        (("UTC", "03:00"), ("Pacific/Auckland", "03:00"), 70),
        (("Pacific/Auckland", "03:00"), ("America/Los_Angeles", "23:59"), 63),
        (("America/Los_Angeles", "23:59"), ("Pacific/Kiritimati", "00:01"), 72),
    ],
)
def test_a_change_of_the_zone_leaves_no_change_unsaved_for_two_days(
    alice, frozen_clock, monkeypatch, old, new, hour
):
    switch_on(alice)
    start = at("2026-03-02T00:59")
    for passed in range(7 * 24):
        zone, time = old if passed < hour else new
        use_zone(monkeypatch, zone, backup_time=time)
        frozen_clock.moment = start + passed * HOUR
        if passed % 8 == 0:
            put(alice, many(1, start=500 + passed))
        run_due()
        if passed > 48:
            newest = max(entry.created_at for entry in backups.listing(alice.id))
            assert frozen_clock.moment - newest < 2 * DAY
    # Those of the seven days, and the one or two that the change brings or takes.
    assert 6 <= len(scheduled(alice)) <= 9


def test_a_file_of_this_day_that_a_change_of_the_zone_made_old_is_set_aside_and_not_replaced(
    alice, frozen_clock, monkeypatch
):
    switch_on(alice)
    put(alice, many(3))
    use_zone(monkeypatch, "Pacific/Auckland")
    frozen_clock.moment = at("2026-03-05T03:00", "Pacific/Auckland")
    run_due()
    before = (backup_files.folder_of(alice.id) / "2026-03-05.json").read_bytes()
    use_zone(monkeypatch, "America/Los_Angeles", backup_time="23:59")
    put(alice, many(2, start=50))
    frozen_clock.moment = at("2026-03-05T23:59", "America/Los_Angeles")
    run_due()
    tonight, aside = sorted(backups.listing(alice.id), key=lambda entry: entry.kind, reverse=True)
    assert (tonight.filename, tonight.counts.movies) == ("2026-03-05.json", 5)
    assert (aside.kind, aside.state) == ("manual", "verified")
    assert (backup_files.folder_of(alice.id) / aside.filename).read_bytes() == before


def test_a_backup_older_than_two_days_is_overdue(alice, frozen_clock):
    switch_on(alice)
    put(alice, many(3))
    run_due()
    frozen_clock.move(2 * DAY)
    assert state.alarm(reload(alice)) is None
    frozen_clock.move(1)
    assert state.alarm(reload(alice)).name == "overdue"
    backups.create(reload(alice))
    assert state.alarm(reload(alice)) is None


def test_a_worker_that_was_not_seen_for_two_and_a_half_minutes_is_late(frozen_clock):
    assert heartbeat.worker_is_late()
    heartbeat.beat()
    assert not heartbeat.worker_is_late()
    frozen_clock.move(151)
    assert health.check()["worker"] == "late"
    assert health.check()["status"] == "degraded"


def test_health_names_how_many_accounts_are_late(alice, bob, frozen_clock):
    for user in (alice, bob):
        switch_on(user)
    heartbeat.beat()
    assert health.check()["problems"] == []
    frozen_clock.move(3 * DAY)
    assert "2 accounts" in health.check()["problems"][1]
    User.update(last_completed_at=frozen_clock.moment).execute()
    assert health.check()["last_backup"] == frozen_clock.moment


def test_a_check_of_old_backups_a_tidying_and_an_export_of_all_are_due_once_a_night(frozen_clock):
    assert [job.kind for job in schedule.due_jobs()] == NIGHTLY
    frozen_clock.move(MINUTE)
    assert schedule.due_jobs() == []
    frozen_clock.move(DAY)
    assert [job.kind for job in schedule.due_jobs()] == NIGHTLY


def test_a_backup_that_kills_its_worker_each_time_is_reported_as_a_failure(alice, frozen_clock):
    switch_on(alice)
    put(alice, many(3))
    frozen_clock.moment = at("2026-03-02T03:00")
    [job] = look()
    Job.update(state="running", starts=jobs.STARTS).where(Job.id == job.id).execute()
    tasks.take_up_interrupted()
    assert "Gave up" in reload(alice).last_error
    assert schedule.next_run(reload(alice)) == frozen_clock.moment + 15 * MINUTE


@pytest.mark.slow
def test_a_clock_that_was_in_the_future_for_a_night_does_not_stop_the_schedule(alice, frozen_clock):
    switch_on(alice)
    put(alice, many(3))
    start = frozen_clock.moment = at("2026-03-02T03:00")
    for _ in range(20):
        run_due()
        run_due()
        frozen_clock.move(DAY)
    frozen_clock.moment = start + 70 * 365 * DAY
    run_due()
    assert len(scheduled(alice)) == 16
    frozen_clock.moment = start + 21 * DAY
    assert state.of(reload(alice)).last_good.filename == "2026-03-21.json"
    run_due()
    run_due()
    assert "2026-03-23.json" in scheduled(alice)
    assert schedule.next_run(reload(alice)) == at("2026-03-24T03:00")


@pytest.mark.slow
@pytest.mark.parametrize("nights_ahead", [1, 2, 3])
@pytest.mark.parametrize("days_ahead", [20, 58, 400])
def test_a_clock_that_is_ahead_for_some_nights_costs_no_good_backup(
    alice, frozen_clock, days_ahead, nights_ahead
):
    switch_on(alice)
    start = at("2026-03-02T03:00")
    for night in range(20):
        one_night(alice, frozen_clock, start + night * DAY, night)
    before = scheduled(alice)
    assert len(before) == 15
    for night in range(nights_ahead):
        ahead = start + (19 + days_ahead + night) * DAY
        one_night(alice, frozen_clock, ahead, 20 + night)
        backups.create(reload(alice))
    assert set(before) <= set(scheduled(alice))
    frozen_clock.moment = start + 19 * DAY + HOUR
    reasons = {entry.filename: entry.kept_because for entry in backups.listing(alice.id)}
    assert (
        len([name for name in reasons if reasons[name] == retention.FROM_THE_FUTURE])
        == nights_ahead * 2
    )
    for night in range(20, 40):
        right = start + night * DAY
        one_night(alice, frozen_clock, right, 30 + night)
        day = frozen_clock.moment
        last_days = {f"{clock.local(day - back * DAY, UTC):%Y-%m-%d}.json" for back in range(15)}
        found = {entry.filename: entry for entry in backups.listing(alice.id)}
        assert last_days <= set(found)
        assert found[min(last_days)].state == "verified"
        # Tonight's holds tonight's library, also where the wrong clock left a file of this date.
        newest = backup_files.folder_of(alice.id) / max(last_days)
        assert newest.read_bytes().count(b"imdb_id") == reload(alice).movies.count()
    real = [name for name in scheduled(alice) if name not in last_days and name < max(last_days)]
    assert real == [], "what is old goes as ever"


def one_night(user, frozen_clock, moment, number):
    """What the worker does at this moment, with a film added the day before."""
    frozen_clock.moment = moment
    put(user, many(1, start=500 + number))
    run_due()


def test_a_library_without_a_change_is_linked_also_beside_a_file_of_the_future(alice, frozen_clock):
    switch_on(alice)
    put(alice, many(3))
    start = frozen_clock.moment = at("2026-03-02T03:00")
    run_due()
    frozen_clock.moment = start + 400 * DAY
    run_due()
    for night in (1, 2):
        frozen_clock.moment = start + night * DAY
        # What cannot be settled with a link gets a task of its own at the next look.
        run_due()
        run_due()
    entries = {entry.filename: entry for entry in backups.listing(alice.id)}
    assert entries["2026-03-04.json"].unchanged_since == start + DAY


def test_the_clock_of_the_sync_feed_only_goes_forward(frozen_clock):
    first = models.next_update(db.obj)
    frozen_clock.move(-DAY)
    assert models.next_update(db.obj) > first
