"""settings.json of an archive: the configuration in force, and what another server's lacks here."""

import json

import msgspec
import pytest

from mm import config, models, stored_settings
from mm.schemas import ArchiveSchedule, SettingsFile, SettingValue
from mm.services import settings as server_settings
from mm.services.server import effective

KEY = "eyJ" + "0123456789abcdef" * 15
GOOD_SCHEDULE = {"enabled": True, "time": "05:30", "days": ["mon"], "keep_last": 3}


@pytest.fixture
def settings(settings, monkeypatch):
    given = {"TMDB_API_KEY": KEY, "TZ": "Europe/Berlin", "MM_DATA_DIR": str(settings.data_dir)}
    return config.from_environ(given)


def values_of(secrets=False):
    return json.loads(json_of(effective.settings_file(secrets)))["settings"]


def json_of(file):
    return msgspec.json.encode(file)


def from_environment(**values):
    return SettingsFile(
        1, {name: SettingValue("environment", value) for name, value in values.items()}
    )


def told(file):
    return {row.name: row.text for row in effective.differences(file)}


def written(tmp_path, settings):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"version": 1, "settings": settings}))
    return path


def test_every_variable_and_setting_is_there_with_where_it_comes_from(database):
    values = values_of()
    assert set(values) == {*config.VARIABLES, "server.archives"}
    assert values["TZ"] == {"from": "environment", "value": "Europe/Berlin"}
    assert values["BACKUP_TIME"] == {"from": "default", "value": "03:00"}
    assert values["server.archives"]["from"] == "default"
    server_settings.put_archives(ArchiveSchedule(enabled=True, keep_last=2))
    assert values_of()["server.archives"]["from"] == "setting"
    assert values_of()["server.archives"]["value"]["keep_last"] == 2


def test_a_secret_only_says_whether_it_is_set_unless_it_is_asked_for(database):
    assert values_of()["TMDB_API_KEY"] == {"from": "environment", "set": True}
    assert values_of()["ADMIN_TOKEN"] == {"from": "default", "set": False}
    assert KEY not in json_of(effective.settings_file()).decode()
    assert values_of(secrets=True)["TMDB_API_KEY"]["value"] == KEY
    assert "value" not in values_of(secrets=True)["ADMIN_TOKEN"]


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://mm:hunter22@db/mm",
        "postgresql://db/mm?user=mm&password=hunter22",
        "postgresql://:hunter22@db/mm",
        "https://proxy.example/3?api_key=hunter22",
    ],
)
def test_an_address_with_a_password_is_a_secret(database, address):
    config.use(config.Config(database_url=address, given=frozenset(["DATABASE_URL"])))
    assert values_of()["DATABASE_URL"] == {"from": "environment", "set": True}
    assert values_of(secrets=True)["DATABASE_URL"]["value"] == address


def test_what_the_other_server_had_and_this_one_lacks_is_told_in_words(database):
    file = from_environment(TZ="Asia/Tokyo", OMDB_DAILY_LIMIT=500, MM_BIND="0.0.0.0:80")
    file.settings["OMDB_API_KEY"] = SettingValue("environment", set=True)
    assert told(file) == {
        "MM_BIND": "MM_BIND was 0.0.0.0:80 there; here it is 127.0.0.1:8000.",
        "TZ": "TZ was Asia/Tokyo there; here it is Europe/Berlin.",
        "OMDB_API_KEY": "OMDB_API_KEY was set there; enter it here on Server › Providers.",
    }


def test_what_pages_may_change_is_filled_in_where_this_environment_does_not_set_it(database):
    file = from_environment(TZ="Asia/Tokyo", OMDB_DAILY_LIMIT=500, OMDB_API_KEY="a-key-of-omdb")
    file.settings["BACKUP_TIME"] = SettingValue("setting", "04:15")
    file.settings["MM_ARCHIVE_MAX"] = SettingValue("default", "7 GB")
    file.settings["TMDB_LANGUAGE"] = SettingValue("setting", "no language")
    file.settings["CORS_ORIGINS"] = SettingValue("environment", ["https://a.example"])
    assert effective.put(file) == 3
    now = config.current
    assert (now.omdb_daily_limit, now.omdb_api_key) == (500, "a-key-of-omdb")
    assert (now.backup_time, now.timezone) == ("04:15", "Europe/Berlin")
    assert (now.archive_max, now.tmdb_language, now.cors_origins) == ("20 GB", "en-US", ())
    assert set(told(file)) == {"TZ", "TMDB_LANGUAGE", "CORS_ORIGINS"}


def test_what_was_stored_is_named_so_and_a_key_of_it_only_where_it_is_asked_for(database):
    stored_settings.write({"OMDB_API_KEY": "a-key-of-omdb", "OMDB_DAILY_LIMIT": "700"})
    assert values_of()["OMDB_DAILY_LIMIT"] == {"from": "setting", "value": 700}
    assert values_of()["OMDB_API_KEY"] == {"from": "setting", "set": True}
    assert "a-key-of-omdb" not in json_of(effective.settings_file()).decode()
    assert values_of(secrets=True)["OMDB_API_KEY"]["value"] == "a-key-of-omdb"


def test_what_put_has_changed_can_be_put_back(database, tmp_path):
    stored_settings.write({"OMDB_DAILY_LIMIT": "700"})
    effective.keep_for_later(tmp_path)
    file = from_environment(OMDB_DAILY_LIMIT=500, OMDB_API_KEY="a-key-of-omdb")
    file.settings["server.archives"] = SettingValue("setting", GOOD_SCHEDULE)
    effective.put(file)
    # As a restore that was killed in between does.
    effective.keep_for_later(tmp_path)
    effective.put_back(tmp_path, rows=True)
    assert stored_settings.read() == {"OMDB_DAILY_LIMIT": "700"}
    assert config.current.omdb_daily_limit == 700
    assert models.setting("server.archives") is None


def test_where_no_settings_were_stored_none_are_put_back(database, tmp_path):
    effective.keep_for_later(tmp_path)
    effective.put(from_environment(OMDB_DAILY_LIMIT=500))
    effective.put_back(tmp_path, rows=False)
    assert not config.current.settings_file.exists()
    assert config.current.omdb_daily_limit == 1000


def test_what_is_the_same_on_both_servers_or_was_a_default_there_is_not_told(database):
    file = effective.settings_file(secrets=True)
    assert told(file) == {}
    file.settings["TZ"] = SettingValue("default", "UTC")
    assert told(file) == {}


def test_the_places_of_the_machine_are_told_only_where_this_one_has_none_of_its_own(database):
    file = from_environment(MM_DATA_DIR="/srv/mm", MM_BACKUP_DIR="/mnt/nas", MM_ALLOW_ROOT=True)
    assert told(file) == {
        "MM_BACKUP_DIR": "MM_BACKUP_DIR was /mnt/nas there; here it is not set.",
        "MM_ALLOW_ROOT": "MM_ALLOW_ROOT was 1 there; here it is 0.",
    }


def test_a_secret_that_the_file_brings_is_named_but_never_shown(database):
    file = from_environment(
        TMDB_API_KEY="another key", ADMIN_TOKEN="a long token", OMDB_BASE_URL="https://a:b@c/"
    )
    texts = told(file)
    assert set(texts) == {"TMDB_API_KEY", "ADMIN_TOKEN", "OMDB_BASE_URL"}
    assert "settings.json holds it" in texts["ADMIN_TOKEN"]
    shown = " ".join(texts.values())
    assert [text for text in ("another key", "a long token", "a:b") if text in shown] == []


@pytest.mark.parametrize(
    "row",
    [
        {"from": "environment", "value": {"a": "b"}},
        {"from": "environment", "value": "Nowhere/Town"},
        {"from": "environment", "value": "../../etc/passwd"},
        {"from": "environment", "value": "x" * 300},
        {"from": "environment", "value": "x" * 3000},
        {"from": "environment", "value": "a\x00b"},
        {"from": "environment", "value": [["UTC"]]},
        {"from": "environment", "value": 10**30},
        {"from": "the moon", "value": "UTC"},
        "UTC",
        None,
    ],
)
def test_a_value_that_cannot_be_used_is_left_out_with_a_warning(database, tmp_path, row):
    good = {"from": "environment", "value": 7}
    path = written(tmp_path, {"TZ": row, "OMDB_DAILY_LIMIT": good})
    file, warnings = effective.read(path)
    assert set(file.settings) == {"OMDB_DAILY_LIMIT"}
    assert warnings == [f"{effective.LEFT_OUT}TZ."]


def test_a_name_that_this_version_does_not_know_is_left_out_with_a_warning(database, tmp_path):
    row = {"from": "environment", "value": "1"}
    file, warnings = effective.read(written(tmp_path, {"LD_PRELOAD": row, "server.epoch": row}))
    assert file.settings == {}
    assert warnings == [f"{effective.LEFT_OUT}unknown ones."]
    assert effective.put(file) == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"settings": []}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"settings": {}' + b" " * 2**20 + b"}",
    ],
)
def test_a_file_that_is_no_settings_at_all_is_left_out_with_a_warning(database, tmp_path, body):
    path = tmp_path / "settings.json"
    path.write_bytes(body)
    file, warnings = effective.read(path)
    assert (file.settings, warnings) == ({}, [effective.UNREADABLE])


def test_the_file_of_one_server_is_read_whole_by_another(database, tmp_path):
    made = effective.settings_file(secrets=True)
    path = tmp_path / "settings.json"
    path.write_bytes(json_of(made))
    assert effective.read(path) == (made, [])


def test_only_what_was_set_on_the_other_server_is_put_into_the_table(database):
    default = SettingsFile(1, {"server.archives": SettingValue("default", GOOD_SCHEDULE)})
    assert effective.put(default) == 0
    assert models.setting("server.archives") is None
    file = SettingsFile(1, {"server.archives": SettingValue("setting", GOOD_SCHEDULE)})
    assert effective.put(file) == 1
    assert server_settings.archives() == ArchiveSchedule(True, "05:30", ["mon"], 3)


@pytest.mark.parametrize(
    "change",
    [
        {"time": "99:99"},
        {"time": "05:30\n"},
        {"days": ["someday"]},
        {"keep_last": -1},
        {"keep_last": "7"},
        {"keep_last": 10**30},
        {"enabled": 1},
    ],
)
def test_a_setting_with_a_bad_value_is_never_stored(database, change):
    value = SettingValue("setting", GOOD_SCHEDULE | change)
    assert effective.put(SettingsFile(1, {"server.archives": value})) == 0
    assert models.setting("server.archives") is None
    assert effective.put(SettingsFile(1, {"server.archives": SettingValue("setting")})) == 0
