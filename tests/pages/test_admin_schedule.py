"""Server, Schedule and Limits: what they show, what they save, and what they refuse."""

from dataclasses import replace

import pytest

from mm import config, locks, models, stored_settings
from mm.database import db
from mm.models import User
from mm.services.backup import nightly, schedule
from mm.services.server import archive_schedule, databases

PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
def admin(app, carol):
    """Carol's browser, logged in."""
    client = app.test_client()
    client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    with client.session_transaction() as session:
        session["_user_id"] = carol.get_id()
    return client


def fix(**values):
    """The environment sets these variables."""
    fields = {config.VARIABLES[name]: value for name, value in values.items()}
    config.use(replace(config.base, **fields, given=frozenset(values)))


def save(client, time="03:00", zone="UTC"):
    return client.post("/admin/schedule", data={"backup_time": time, "timezone": zone})


@pytest.mark.parametrize("page", ["providers", "schedule", "limits"])
def test_each_page_says_that_the_file_of_settings_cannot_be_read(admin, page):
    said = stored_settings.UNREADABLE
    assert said not in admin.get(f"/admin/{page}").text
    config.base.settings_file.write_text("{")
    answer = admin.get(f"/admin/{page}")
    assert answer.status_code == 200
    assert said in answer.text


# Schedule.


def test_the_page_says_when_the_next_backups_are_made_and_for_how_many_accounts(
    admin, alice, bob, frozen_clock
):
    with db.connection_context():
        nightly.enable(alice, True)
    text = admin.get("/admin/schedule").text
    assert "tomorrow at 03:00" in text
    assert "On for 1 of 3 accounts" in text
    assert "12:00 in UTC" in text
    assert "One time for all users; cron expressions aren’t accepted." in text
    assert 'href="/admin#archive-schedule"' in text


def test_common_zones_come_first_with_the_time_there_and_each_zone_stands_there_once(
    admin, frozen_clock
):
    text = admin.get("/admin/schedule").text
    assert "Europe/Berlin (13:00)" in text
    assert text.index("Europe/Berlin (") < text.index("<option>Africa/Abidjan")
    assert text.count("Europe/Berlin") == 2, "its value and its words"
    assert text.count(" selected") == 1


def test_another_time_and_zone_are_in_force_at_once_and_stay(admin, frozen_clock):
    answer = save(admin, "21:30", "Europe/Berlin")
    assert (answer.status_code, answer.location) == (303, "/admin/schedule")
    assert (config.current.backup_time, config.current.timezone) == ("21:30", "Europe/Berlin")
    assert stored_settings.read() == {"BACKUP_TIME": "21:30", "TZ": "Europe/Berlin"}
    text = admin.get("/admin/schedule").text
    assert "every night at 21:30 (Europe/Berlin)" in text
    assert "tonight at 21:30" in text
    assert "13:00 in Europe/Berlin" in text
    with db.connection_context():
        # Half past eight in the evening, UTC.
        assert schedule.next_slot(frozen_clock.moment) == frozen_clock.moment + 8.5 * 3600


@pytest.mark.parametrize("time", ["0 3 * * *", "25:00", "03:60", "three", "-1:00", "03:00:00:00"])
def test_what_is_no_time_of_day_is_refused_at_its_field_and_nothing_is_changed(admin, time):
    answer = save(admin, time, "Europe/Berlin")
    assert answer.status_code == 422
    assert "Time: write a time of day such as 03:00." in answer.text
    assert f'value="{time}"' in answer.text
    assert '<option value="Europe/Berlin" selected' in " ".join(answer.text.split())
    assert (config.current.backup_time, config.current.timezone) == ("03:00", "UTC")
    assert not config.base.settings_file.exists()


@pytest.mark.parametrize("zone", ["Europe/Bielefeld", "../etc/passwd", "<b>", "x" * 2000, "\0"])
def test_an_unknown_zone_is_refused_at_its_field(admin, zone):
    answer = save(admin, "04:00", zone)
    assert answer.status_code == 422
    assert "Time zone: choose a time zone such as Europe/Berlin." in answer.text
    assert (config.current.backup_time, config.current.timezone) == ("03:00", "UTC")


def test_a_zone_by_an_old_name_that_is_in_force_stays_chosen(admin):
    fix(TZ="CET")
    assert '<option value="CET" selected' in " ".join(admin.get("/admin/schedule").text.split())


def test_what_the_environment_sets_cannot_be_changed_and_says_so(admin):
    fix(TZ="Europe/Berlin", BACKUP_TIME="3:00")
    text = admin.get("/admin/schedule").text
    assert "Set in the environment (BACKUP_TIME, TZ)." in text
    assert text.count(" disabled") == 3
    assert 'value="03:00"' in text
    save(admin, "21:00", "Asia/Tokyo")
    assert (config.current.backup_time, config.current.timezone) == ("3:00", "Europe/Berlin")


def test_one_of_the_two_can_be_changed_where_the_environment_sets_the_other(admin):
    fix(TZ="Europe/Berlin")
    admin.post("/admin/schedule", data={"backup_time": "21:00"})
    assert (config.current.backup_time, config.current.timezone) == ("21:00", "Europe/Berlin")


def test_who_waits_for_the_next_night_after_failures_waits_for_it_at_its_new_time(
    admin, alice, frozen_clock
):
    later = frozen_clock.moment + 15 * 3600
    with db.connection_context():
        User.update(next_try_at=later).where(User.id == alice.id).execute()
        models.put_setting(archive_schedule.FAILED, [0, later + 3600])
    save(admin, "14:00")
    with db.connection_context():
        assert User.get_by_id(alice.id).next_try_at == frozen_clock.moment + 2 * 3600
        assert models.setting(archive_schedule.FAILED) == [0, later + 3600]
    save(admin, "14:00", "America/New_York")
    with db.connection_context():
        tries, again = models.setting(archive_schedule.FAILED)
    # Four o'clock in the night there is nine in UTC; it is seven in the morning there.
    assert (tries, again) == (0, later + 3600)
    save(admin, "14:00", "Asia/Tokyo")
    with db.connection_context():
        tries, again = models.setting(archive_schedule.FAILED)
    # In Tokyo it is nine in the evening.
    assert (tries, again) == (0, frozen_clock.moment + 7 * 3600)


def test_a_file_of_settings_that_cannot_be_read_is_named_and_what_was_typed_stays(admin):
    config.base.settings_file.write_text("{")
    answer = save(admin, "21:00")
    assert answer.status_code == 503
    assert "cannot be read" in answer.text
    assert 'value="21:00"' in answer.text
    assert config.base.settings_file.read_text() == "{"


@pytest.mark.parametrize("page", ["/admin/schedule", "/admin/limits", "/admin/providers/tmdb"])
def test_settings_that_somebody_else_saves_just_now_are_said_so(admin, page, monkeypatch):
    monkeypatch.setattr(stored_settings, "WAIT_SECONDS", 0)
    sent = {"backup_time": "21:00", "manual_backups_max": "7", "tmdb_pace": "7"}
    with locks.hold("settings"):
        answer = admin.post(page, data=sent)
    assert answer.status_code == 409
    assert "This is already running." in answer.text


def test_with_postgresql_the_page_does_not_speak_of_the_archives_schedule(admin, monkeypatch):
    monkeypatch.setattr(databases, "is_sqlite", lambda: False)
    text = admin.get("/admin/schedule").text
    assert "Archives of the whole server need SQLite." in text
    assert "archive-schedule" not in text


# Limits.


def test_limits_are_shown_with_their_defaults_and_what_nought_means(admin):
    text = admin.get("/admin/limits").text
    for words in ("Default: 50.", "Default: 1000.", "Default: 20 GB.", "0 means no limit."):
        assert words in text


def test_limits_that_are_saved_are_in_force_at_once(admin):
    sent = {"manual_backups_max": "7", "manual_backups_mb": "0", "archive_max": "500 mb"}
    answer = admin.post("/admin/limits", data={**sent, "backup_by_default": "1"})
    assert (answer.status_code, answer.location) == (303, "/admin/limits")
    now = config.current
    assert (now.manual_backups_max, now.manual_backups_mb, now.backup_by_default) == (7, 0, True)
    assert now.archive_max_bytes == 500 * 10**6
    text = admin.get("/admin/limits").text
    assert "Saved. It takes effect at once." in text
    assert 'value="7"' in text
    assert " checked" in text
    admin.post("/admin/limits", data=sent)
    assert not config.current.backup_by_default


@pytest.mark.parametrize(
    ("field", "text", "reason"),
    [
        ("manual_backups_max", "-1", "How many: write a whole number."),
        ("manual_backups_max", "ten", "How many: write a whole number."),
        ("manual_backups_mb", "1.5", "Size in MB: write a whole number."),
        ("archive_max", "20", "Largest archive: write a size such as 500 MB or 20 GB."),
        ("archive_max", "0 GB", "Largest archive: write a size such as 500 MB or 20 GB."),
    ],
)
def test_a_limit_that_is_none_is_refused_at_its_field_and_nothing_is_changed(
    admin, field, text, reason
):
    sent = {"manual_backups_max": "7", "manual_backups_mb": "8", "archive_max": "9 GB"}
    answer = admin.post("/admin/limits", data={**sent, field: text, "backup_by_default": "1"})
    assert answer.status_code == 422
    assert reason in answer.text
    assert f'value="{text}"' in answer.text
    assert " checked" in answer.text
    assert config.current == config.base
    assert not config.base.settings_file.exists()


def test_an_empty_limit_is_the_default(admin):
    admin.post("/admin/limits", data={"manual_backups_max": "7"})
    admin.post("/admin/limits", data={"manual_backups_max": " "})
    assert config.current.manual_backups_max == 50


def test_limits_that_the_environment_sets_cannot_be_changed_and_say_so(admin):
    fix(MANUAL_BACKUPS_MAX=3, BACKUP_BY_DEFAULT=True)
    text = admin.get("/admin/limits").text
    assert "Set in the environment (MANUAL_BACKUPS_MAX)." in text
    assert "Set in the environment (BACKUP_BY_DEFAULT)." in text
    assert text.count(" disabled") == 2
    admin.post("/admin/limits", data={"manual_backups_max": "9"})
    assert (config.current.manual_backups_max, config.current.backup_by_default) == (3, True)
