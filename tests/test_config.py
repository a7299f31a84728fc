"""The configuration: what variables of the environment become, and how a wrong one is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from mm import config


def test_without_variables_everything_has_its_default():
    assert config.from_environ({}) == config.Config()


def test_each_kind_of_variable_is_read():
    settings = config.from_environ(
        {
            "MM_DATA_DIR": "~/films",
            "TZ": "Europe/Berlin",
            "BACKUP_TIME": "4:30",
            "BACKUP_BY_DEFAULT": "1",
            "MM_TRUSTED_PROXIES": " 2 ",
            "OMDB_DAILY_LIMIT": "100000",
            "CORS_ORIGINS": "https://a.example, https://b.example,",
            "TMDB_API_KEY": " key ",
            "MM_LOG_LEVEL": "DEBUG",
            "MM_ALLOW_ROOT": "1",
            "SOMETHING_ELSE": "ignored",
        }
    )
    assert settings == config.Config(
        data_dir=Path.home() / "films",
        timezone="Europe/Berlin",
        backup_time="4:30",
        backup_by_default=True,
        trusted_proxies=2,
        omdb_daily_limit=100_000,
        cors_origins=("https://a.example", "https://b.example"),
        tmdb_api_key="key",
        log_level="DEBUG",
        allow_root=True,
    )
    assert str(settings.zone) == "Europe/Berlin"


def test_an_empty_variable_is_one_that_is_not_set():
    names = ("MM_DATA_DIR", "TZ", "MM_TRUSTED_PROXIES", "CORS_ORIGINS", "MM_LOG_LEVEL")
    assert config.from_environ(dict.fromkeys(names, "")) == config.Config()


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("MM_TRUSTED_PROXIES", "one", "MM_TRUSTED_PROXIES is 'one': it takes a whole number"),
        ("OMDB_DAILY_LIMIT", "-1", "OMDB_DAILY_LIMIT is '-1': it takes a whole number"),
        ("BACKUP_TIME", "25:00", "BACKUP_TIME is '25:00': it takes a time of day such as 03:00"),
        ("TZ", "Mars/Base", "TZ is 'Mars/Base': it takes a name such as Europe/Berlin"),
        (
            "MM_LOG_LEVEL",
            "chatty",
            "MM_LOG_LEVEL is 'chatty': it takes one of DEBUG, INFO, WARNING, ERROR",
        ),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_in_plain_words(name, text, message):
    with pytest.raises(config.ConfigError) as refused:
        config.from_environ({name: text})
    assert str(refused.value) == message


def test_a_damaged_secret_key_is_refused_and_says_what_to_do(tmp_path):
    (tmp_path / "secret_key").write_text("short")
    with pytest.raises(config.ConfigError, match=r"is damaged\. Delete it and start again"):
        config.Config(data_dir=tmp_path).secret_key()


def test_the_secret_key_is_made_once_and_drafts_of_killed_starts_are_removed(tmp_path):
    settings = config.Config(data_dir=tmp_path)
    (tmp_path / "secret_key.0123abcd").write_text("half")
    key = settings.secret_key()
    assert len(key) == 2 * config.SECRET_BYTES
    assert settings.secret_key() == key
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600


class TestBackupDir:
    def prepared(self, tmp_path):
        settings = config.Config(data_dir=tmp_path / "data", backup_dir=tmp_path / "disk")
        config.prepare(settings)
        return settings

    def test_a_disk_that_is_not_mounted_is_noticed_instead_of_filled(self, tmp_path):
        settings = self.prepared(tmp_path)
        assert config.is_backup_dir_there(settings)
        self.prepared(tmp_path)
        settings.backup_dir.rename(tmp_path / "elsewhere")
        settings.backup_dir.mkdir()
        assert not config.is_backup_dir_there(settings)
        with pytest.raises(config.ConfigError, match="its disk is probably not mounted"):
            self.prepared(tmp_path)
        assert list(settings.backup_dir.iterdir()) == []

    def test_one_can_begin_anew_in_an_empty_folder_or_take_another_one(self, tmp_path):
        settings = self.prepared(tmp_path)
        (settings.backup_dir / config.MARK).unlink()
        (settings.data_dir / "backup_dir").unlink()
        self.prepared(tmp_path)
        config.prepare(replace(settings, backup_dir=tmp_path / "another"))
        self.prepared(tmp_path)
