"""After the first account: keys, backups, IMDb's catalogue, then the first film."""

import re
from dataclasses import replace

import pytest
from msgspec import structs

from mm import config, stored_settings
from mm.database import db
from mm.models import Job, User
from mm.schemas import ArchiveSchedule
from mm.services import settings as server_settings
from mm.services.backup import nightly
from mm.services.catalogue import updates
from mm.services.server import archive_schedule, databases

KEY = "a-right-key-of-some-length"
EVERYTHING = {
    "library": "1",
    "archives": "1",
    "backup_time": "04:30",
    "timezone": "Europe/Berlin",
}


@pytest.fixture
def settings(tmp_path, standin):
    """Without keys; the providers are the stand-in."""
    environ = {**standin.environ, "MM_DATA_DIR": str(tmp_path / "data")}
    return config.from_environ(environ)


@pytest.fixture
def admin(app, carol):
    """Carol's browser, logged in."""
    client = app.test_client()
    client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    with client.session_transaction() as session:
        session["_user_id"] = carol.get_id()
    return client


def finish(client, **fields):
    return client.post("/admin/begin/schedule", data=fields)


def archives():
    with db.connection_context():
        return server_settings.archives()


def user(account):
    with db.connection_context():
        return User.get_by_id(account.id)


def ticked(text):
    words = " ".join(text.split())
    return [name for name in ("library", "archives") if f'name="{name}" value="1" checked' in words]


# Keys.


def test_keys_are_saved_and_lead_on_to_the_backups(admin):
    text = admin.get("/admin/begin/keys").text
    assert re.search(r'aria-current="step"\s*>\s*Keys', text)
    answer = admin.post("/admin/begin/keys", data={"tmdb_api_key": KEY, "omdb_api_key": ""})
    assert (answer.status_code, answer.location) == (303, "/admin/begin/schedule")
    assert (config.current.tmdb_api_key, config.current.omdb_api_key) == (KEY, "")
    text = admin.get("/admin/begin/keys").text
    assert KEY not in text
    assert server_settings.MASK in text


def test_keys_can_be_left_for_later_and_the_page_says_what_works_without(admin):
    text = admin.get("/admin/begin/keys").text
    assert "Skip for now" in text
    assert 'href="/admin/begin/schedule"' in text
    text = " ".join(text.split())
    assert "without keys, search and titles come from IMDb’s catalogue" in text
    assert "IMDb ID" not in text


@pytest.mark.parametrize("javascript", [True, False])
def test_a_test_of_a_key_says_what_the_provider_answers_and_stores_nothing(
    admin, standin, javascript
):
    headers = {"HX-Request": "true", "HX-Request-Type": "partial"} if javascript else {}
    sent = {"tmdb_api_key": KEY, "omdb_api_key": "half-a-key"}
    answer = admin.post("/admin/begin/keys/tmdb/test", data=sent, headers=headers)
    assert answer.status_code == 200
    assert "key-test-tmdb" in answer.text
    assert ("<form" in answer.text) != javascript
    if not javascript:
        assert 'value="half-a-key"' in answer.text
    assert stored_settings.read() == {}


def test_a_test_of_no_provider_is_not_found(admin):
    assert admin.post("/admin/begin/keys/imdb/test").status_code == 404


def test_a_key_of_spaces_is_refused_at_its_field(admin):
    answer = admin.post("/admin/begin/keys", data={"tmdb_api_key": "  ", "omdb_api_key": KEY})
    assert answer.status_code == 422
    assert server_settings.BLANK_KEY in answer.text
    assert stored_settings.read() == {}


# Backups.


def test_both_kinds_of_backup_are_offered_already_ticked(admin, frozen_clock):
    text = admin.get("/admin/begin/schedule").text
    assert ticked(text) == ["library", "archives"]
    assert "data-zone" in text
    assert "Back up my library every night" in text
    assert "Keep an archive of the whole server" in text


def test_continue_sets_everything_and_leads_to_the_catalogue(admin, carol, frozen_clock):
    answer = finish(admin, **EVERYTHING)
    assert (answer.status_code, answer.location) == (303, "/admin/begin/catalogue")
    assert "Your library is backed up every night at 04:30 (Europe/Berlin)" in (
        admin.get("/admin/begin/catalogue").text
    )
    assert user(carol).backup_enabled
    # Time to add the first films before the first backup.
    assert user(carol).next_try_at == frozen_clock.moment + nightly.FIRST_FILMS_SECONDS
    assert archives().enabled
    assert (config.current.backup_time, config.current.timezone) == ("04:30", "Europe/Berlin")
    assert "data-zone" not in admin.get("/admin/begin/schedule").text


def test_what_is_not_ticked_stays_off_and_is_not_offered_again(admin, carol):
    finish(admin, backup_time="03:00", timezone="UTC")
    assert not user(carol).backup_enabled
    assert not archives().enabled
    assert ticked(admin.get("/admin/begin/schedule").text) == []
    assert "Back up my library every night" not in admin.get("/").text


def test_sent_twice_it_changes_nothing_more(admin, carol, frozen_clock):
    finish(admin, **EVERYTHING)
    before = (user(carol).__data__, config.base.settings_file.read_bytes())
    frozen_clock.move(60)
    assert finish(admin, **EVERYTHING).status_code == 303
    assert (user(carol).__data__, config.base.settings_file.read_bytes()) == before
    assert Job.select().count() == 0


def test_it_can_be_opened_later_and_shows_and_changes_how_things_are(admin, carol):
    finish(admin, **EVERYTHING)
    finish(admin, backup_time="05:00", timezone="UTC", archives="1")
    assert not user(carol).backup_enabled
    text = admin.get("/admin/begin/schedule").text
    assert ticked(text) == ["archives"]
    assert 'value="05:00"' in text
    finish(admin, **EVERYTHING)
    assert user(carol).backup_enabled
    with db.connection_context():
        assert [job.kind for job in Job.select()] == ["backup"]


def test_a_schedule_of_archives_that_is_there_keeps_its_days_and_posters(admin):
    mine = ArchiveSchedule(enabled=False, days=["sun"], include_posters=True, keep_last=3)
    with db.connection_context():
        archive_schedule.save(mine)
    finish(admin, **EVERYTHING)
    assert archives() == structs.replace(mine, enabled=True)


def test_a_time_that_is_none_is_refused_with_what_was_ticked_and_nothing_is_changed(admin, carol):
    answer = finish(admin, **{**EVERYTHING, "backup_time": "0 3 * * *", "library": ""})
    assert answer.status_code == 422
    assert "Time: write a time of day such as 03:00." in answer.text
    assert ticked(answer.text) == ["library", "archives"]
    answer = finish(admin, timezone="Nowhere", backup_time="03:00")
    assert ticked(answer.text) == []
    assert not user(carol).backup_enabled
    assert not archives().enabled
    assert stored_settings.read() == {}


def test_a_time_and_a_zone_of_the_environment_stay(admin):
    values = {"timezone": "Asia/Tokyo", "backup_time": "02:00"}
    config.use(replace(config.base, **values, given=frozenset(["TZ", "BACKUP_TIME"])))
    text = admin.get("/admin/begin/schedule").text
    assert "Set in the environment (BACKUP_TIME, TZ)." in text
    assert "data-zone" not in text
    finish(admin, **EVERYTHING)
    assert (config.current.backup_time, config.current.timezone) == ("02:00", "Asia/Tokyo")


def test_with_postgresql_archives_are_not_offered(admin, carol, monkeypatch):
    monkeypatch.setattr(databases, "is_sqlite", lambda: False)
    assert "Keep an archive" not in admin.get("/admin/begin/schedule").text
    assert finish(admin, **EVERYTHING).location == "/admin/begin/catalogue"
    assert user(carol).backup_enabled
    assert not archives().enabled


# The catalogue.


def test_the_catalogue_is_offered_with_its_terms_and_its_needs(admin):
    text = " ".join(admin.get("/admin/begin/catalogue").text.split())
    assert re.search(r'aria-current="step"\s*>\s*Titles', text)
    assert "IMDb’s data is for personal and non-commercial use" in text
    assert "Information courtesy of IMDb (<a" in text
    assert "Used with permission." in text
    assert re.search(r"downloads <strong>\d+ MB</strong>", text)
    assert re.search(r"<strong>\d+ MB</strong> of disk space", text)
    assert re.search(r"about \d+ minutes", text)
    assert 'href="/add">Skip for now' in text
    with db.connection_context():
        assert updates.choice() is None


def test_nothing_is_fetched_until_somebody_asks_for_it(admin):
    admin.get("/admin/begin/catalogue")
    with db.connection_context():
        assert updates.start_if_due() is None
        assert Job.select().count() == 0


def test_get_the_catalogue_starts_it_and_leads_to_the_first_film(admin):
    answer = admin.post("/admin/begin/catalogue", data={"chosen": "1", "akas": "1"})
    assert (answer.status_code, answer.location) == (303, "/add")
    assert "The catalogue is being fetched" in admin.get("/add").text
    with db.connection_context():
        chosen = updates.choice()
        assert (chosen.akas, chosen.directors, chosen.adult) == (True, False, False)
        assert [(job.kind, job.state) for job in Job.select()] == [("catalogue", "queued")]


def test_no_step_is_for_users(page):
    for path in ("/admin/begin/keys", "/admin/begin/schedule", "/admin/begin/catalogue"):
        assert page.get(path).status_code == 403
        assert page.post(path).status_code == 403
