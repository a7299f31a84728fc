"""settings.json: what administrators change in the pages, for web, worker and commands alike."""

import errno
import itertools
import json
import multiprocessing
import os
import signal
import stat
import time

import pytest

from mm import config, files, log, stored_settings, tasks
from mm.database import db
from mm.errors import InvalidError, NoRoomError, UnavailableError
from mm.services import health, settings

KEY = "0123456789abcdef0123456789abcdef"
numbers = itertools.count()


@pytest.fixture
def path(app):
    return config.current.settings_file


def written(path, **texts):
    """As another process writes it: whole, under the same name."""
    draft = path.with_name(f"draft-{next(numbers)}")
    draft.write_text(json.dumps({"version": 1, "settings": texts}))
    draft.rename(path)


def child(work):
    """Do it in another process; its exit code, or minus the signal that ended it."""
    if not db.is_closed():
        db.close()
    db.obj.release()
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    return process.exitcode


def problems_of(**typed):
    with pytest.raises(InvalidError) as caught:
        settings.save(typed)
    return {problem.path: problem.reason for problem in caught.value.errors}


def test_a_change_of_another_process_is_in_force_at_the_next_request(client, path):
    client.get("/login")
    assert child(lambda: stored_settings.write({"OMDB_DAILY_LIMIT": "7"})) == 0
    assert config.current.omdb_daily_limit == 1000
    client.get("/login")
    assert config.current.omdb_daily_limit == 7


def test_a_change_of_another_process_is_in_force_at_the_next_task(path, monkeypatch):
    written(path, OMDB_DAILY_LIMIT="8")
    seen = []
    monkeypatch.setattr(tasks.jobs, "run", lambda *_: seen.append(config.current.omdb_daily_limit))
    tasks.run_job.call_local("no-such-job", "backup")
    assert seen == [8]


def test_the_environment_goes_before_what_is_stored(path):
    config.use(config.from_environ({"TZ": "Asia/Tokyo", "MM_DATA_DIR": str(path.parent)}))
    written(path, TZ="Europe/Berlin", OMDB_PACE="3")
    stored_settings.refresh()
    assert (config.current.timezone, config.current.omdb_pace) == ("Asia/Tokyo", 3)
    assert settings.save({"TZ": "Europe/Paris", "OMDB_PACE": "4"}) == {"OMDB_PACE"}
    assert stored_settings.read() == {"TZ": "Europe/Berlin", "OMDB_PACE": "4"}
    assert settings.shown("TZ").is_fixed
    assert settings.source_of("OMDB_PACE") == "setting"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("TZ", "Nowhere/Town"),
        ("BACKUP_TIME", "25:00"),
        ("OMDB_PACE", "11"),
        ("MM_ARCHIVE_MAX", "much"),
        ("DATABASE_URL", "sqlite:////tmp/other.db"),
        ("UNKNOWN", "1"),
    ],
)
def test_a_value_that_cannot_be_used_costs_only_itself(path, lines, name, text):
    written(path, **{name: text, "OMDB_DAILY_LIMIT": "9"})
    stored_settings.refresh()
    assert config.current.omdb_daily_limit == 9
    assert config.current.stored == {"OMDB_DAILY_LIMIT"}
    assert config.current.database == config.base.database
    is_changeable = name in config.CHANGEABLE
    assert any(f"settings.left_out names={name}" in line for line in lines()) == is_changeable


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"\xff\xfe",
        b'{"version": 1, "settings": []}',
        b'{"version": 1, "settings": {"TZ": 5}}',
        b"[" * 50_000,
        b'{"version": 1, "settings": {}}' + b" " * 2**20 + b"x",
    ],
)
def test_a_damaged_file_leaves_the_environment_in_force_and_is_named(client, path, lines, body):
    stored_settings.write({"OMDB_DAILY_LIMIT": "9"})
    path.write_bytes(body)
    assert client.get("/setup").status_code == 200
    assert config.current.omdb_daily_limit == 1000
    with db.connection_context():
        assert stored_settings.UNREADABLE in health.check()["problems"]
    assert [line for line in lines() if "settings.unreadable" in line]
    with pytest.raises(UnavailableError, match="Repair it, or delete it"):
        settings.save({"OMDB_DAILY_LIMIT": "10"})
    assert path.read_bytes() == body
    path.unlink()
    settings.save({"OMDB_DAILY_LIMIT": "10"})
    assert (config.current.omdb_daily_limit, stored_settings.fault()) == (10, None)


def test_what_a_newer_version_has_put_into_the_file_stays_there(app, path):
    newer = {"version": 2, "settings": {"TZ": "Asia/Tokyo", "NEWER": "x"}, "more": [1]}
    path.write_text(json.dumps(newer))
    stored_settings.refresh()
    stored_settings.write({"TZ": "Europe/Berlin"})
    newer["settings"]["TZ"] = "Europe/Berlin"
    assert json.loads(path.read_text()) == newer
    assert config.current.timezone == "Europe/Berlin"


def test_a_folder_in_place_of_the_file_is_named_too(client, path):
    path.mkdir()
    assert client.get("/setup").status_code == 200
    assert stored_settings.fault() == stored_settings.UNREADABLE


def test_only_its_owner_may_read_it(path):
    stored_settings.write({"TMDB_API_KEY": KEY})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    os.umask(0)
    stored_settings.write({"OMDB_PACE": "3"})
    os.umask(0o077)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("step", ["write", "replace", "sync_folder"])
def test_killed_half_way_it_is_the_old_file_or_the_new_one(path, step, monkeypatch):
    stored_settings.write({"OMDB_DAILY_LIMIT": "5"})

    def half(self_or_path, *rest):
        if step == "write":
            # A half of it is on the disk.
            self_or_path.write_bytes(rest[0][:20])
        os.kill(os.getpid(), signal.SIGKILL)

    def work():
        monkeypatch.setattr(os if step == "replace" else files, step, half)
        stored_settings.write({"OMDB_DAILY_LIMIT": "6"})

    assert child(work) == -signal.SIGKILL
    stored_settings.refresh()
    expected = "6" if step == "sync_folder" else "5"
    assert stored_settings.read() == {"OMDB_DAILY_LIMIT": expected}
    # Its lock ended with the process.
    stored_settings.write({"OMDB_DAILY_LIMIT": "7"})
    assert config.current.omdb_daily_limit == 7


def test_of_two_that_write_at_once_both_changes_are_kept(path):
    def write_all(name, values):
        for value in values:
            stored_settings.write({name: str(value)})

    if not db.is_closed():
        db.close()
    db.obj.release()
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=write_all, args=(name, range(1, 9)))
        for name in ("OMDB_PACE", "TMDB_PACE", "OMDB_DAILY_LIMIT")
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert stored_settings.read() == {"OMDB_PACE": "8", "TMDB_PACE": "8", "OMDB_DAILY_LIMIT": "8"}


def test_on_a_full_disk_nothing_changes(path, monkeypatch):
    stored_settings.write({"OMDB_DAILY_LIMIT": "5"})
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "write", full)
    with pytest.raises(NoRoomError):
        settings.save({"OMDB_DAILY_LIMIT": "6", "TMDB_API_KEY": KEY})
    assert path.read_bytes() == before
    assert (config.current.omdb_daily_limit, config.current.tmdb_api_key) == (5, "")
    assert list(path.parent.glob(f"{files.DRAFT}*")) == []


def test_a_masked_secret_is_kept_and_an_empty_text_means_the_default(app):
    settings.save({"TMDB_API_KEY": f" {KEY}\n", "TZ": "Europe/Berlin"})
    assert config.current.tmdb_api_key == KEY
    assert settings.shown("TMDB_API_KEY").text == f"{settings.MASK}cdef"
    assert settings.save({"TMDB_API_KEY": settings.masked(KEY), "TZ": ""}) == {"TZ"}
    assert (config.current.tmdb_api_key, config.current.timezone) == (KEY, "UTC")
    assert settings.save({"TMDB_API_KEY": ""}) == {"TMDB_API_KEY"}
    assert stored_settings.read() == {}
    assert settings.shown("TMDB_API_KEY").text == ""


def test_of_a_short_key_nothing_is_shown(app):
    settings.save({"OMDB_API_KEY": "a1b2c3d4"})
    assert settings.shown("OMDB_API_KEY").text == settings.MASK


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("TMDB_API_KEY", "   ", settings.BLANK_KEY),
        ("TMDB_API_KEY", "abc\ndef", settings.BROKEN_KEY),
        ("TMDB_API_KEY", "abc def", settings.BROKEN_KEY),
        ("OMDB_API_KEY", "schlüssel", settings.BROKEN_KEY),
        ("OMDB_API_KEY", "a\x00b", settings.BROKEN_KEY),
        ("OMDB_API_KEY", "k" * 1001, settings.LONG_KEY),
        ("TZ", "Mars/Olympus", settings.WORDS["TZ"]),
        ("TZ", "../../etc/passwd", settings.WORDS["TZ"]),
        ("TZ", "U" * 5000, settings.WORDS["TZ"]),
        ("BACKUP_TIME", "24:00", settings.WORDS["BACKUP_TIME"]),
        ("BACKUP_TIME", "*/5 * * * *", settings.WORDS["BACKUP_TIME"]),
        ("BACKUP_TIME", "٠٣:٠٠", settings.WORDS["BACKUP_TIME"]),
        ("TMDB_LANGUAGE", "English", settings.WORDS["TMDB_LANGUAGE"]),
        ("TMDB_LANGUAGE", "en-US&x=1", settings.WORDS["TMDB_LANGUAGE"]),
        ("TMDB_PACE", "0", settings.WORDS["TMDB_PACE"]),
        ("TMDB_PACE", "37", settings.WORDS["TMDB_PACE"]),
        ("OMDB_PACE", "2.5", settings.WORDS["OMDB_PACE"]),
        ("OMDB_DAILY_LIMIT", "-1", settings.WHOLE_NUMBER),
        ("OMDB_DAILY_LIMIT", "many", settings.WHOLE_NUMBER),
        ("MANUAL_BACKUPS_MAX", "1e3", settings.WHOLE_NUMBER),
        ("MANUAL_BACKUPS_MB", "9" * 30, settings.WHOLE_NUMBER),
        ("MM_ARCHIVE_MAX", "20", settings.WORDS["MM_ARCHIVE_MAX"]),
    ],
)
def test_what_cannot_be_used_is_refused_at_its_field(app, name, text, said):
    assert problems_of(**{name: text, "BACKUP_BY_DEFAULT": "1"}) == {config.VARIABLES[name]: said}
    assert stored_settings.read() == {}
    assert config.current.backup_by_default is False


def test_all_that_is_wrong_is_told_at_once(app):
    assert set(problems_of(TZ="x", OMDB_PACE="x")) == {"timezone", "omdb_pace"}


def test_a_key_that_is_stored_later_is_hidden_in_the_log(app, path, lines):
    settings.save({"TMDB_API_KEY": KEY})
    log.info("test", text=f"asked with {KEY}")
    # Another process changes it.
    written(path, TMDB_API_KEY="another-key-of-tmdb", OMDB_API_KEY="two words")
    stored_settings.refresh()
    log.info("test", text="asked with another-key-of-tmdb, two words")
    text = "\n".join(lines())
    assert text.count(log.HIDDEN) == 3
    for secret in (KEY, "another-key-of-tmdb", "two words"):
        assert secret not in text


def test_an_error_on_the_way_shows_no_key(app, lines, monkeypatch):
    def fail(*_):
        raise RuntimeError(f"cannot write {KEY}")

    monkeypatch.setattr(files, "write", fail)
    with log.isolated("test.failed"):
        settings.save({"TMDB_API_KEY": KEY})
    text = "\n".join(lines())
    assert "RuntimeError" in text
    assert KEY not in text


def test_looking_for_a_change_takes_no_time(app):
    stored_settings.write({"OMDB_PACE": "3"})
    started = time.perf_counter()
    for _ in range(1000):
        stored_settings.refresh()
    assert time.perf_counter() - started < 0.5
