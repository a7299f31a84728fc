"""The log: one line an event, and never a secret."""

import logging
import re

import pytest
from peewee import DatabaseError

from mm import config, log
from mm.services import accounts
from mm.services.backup import backups
from mm.services.enrichment import pauses
from tests.support.libraries import many, put

LINE = re.compile(r"\d{4}-\d\d-\d\dT\S+ (DEBUG|INFO|WARNING|ERROR) \S+( \S+=\S.*)?")


@pytest.fixture
def lines(capsys):
    """What was written to standard error since the test began, line by line."""
    log.start(config.Config(tmdb_api_key="0123456789abcdef", log_level="INFO"))
    return lambda: capsys.readouterr().err.splitlines()


def test_an_event_is_one_line_of_time_level_event_and_fields(lines):
    log.info("backup.made", user="42", bytes=2048, took=1.23456)
    [line] = lines()
    assert LINE.fullmatch(line)
    assert line.endswith(" INFO backup.made user=42 bytes=2048 took=1.235")


def test_a_value_cannot_begin_another_line_or_field(lines):
    log.warning("file.refused", name='a b="c"\n2026 INFO forged')
    [line] = lines()
    assert line.endswith(r'name="a b=\"c\"\n2026 INFO forged"')


def test_what_went_wrong_unexpectedly_has_a_code_and_its_traceback(lines):
    try:
        raise ZeroDivisionError("api_key=0123456789abcdef and Bearer eyJhbGciOi.J9")
    except ZeroDivisionError as error:
        code = log.unexpected("job.failed", error, kind="backup")
    first, *told = lines()
    assert first.endswith(f" ERROR job.failed code={code} kind=backup")
    assert all(line.startswith("    ") for line in told)
    assert told[-1] == "    ZeroDivisionError: api_key=[hidden] and Bearer [hidden]"


def test_a_damaged_database_is_no_bug_and_needs_no_traceback(lines):
    with log.isolated("all_users.left_out", user="1"):
        raise DatabaseError("database disk image is malformed")
    first, *told = lines()
    assert " ERROR all_users.left_out " in first
    assert told == ["    database disk image is malformed"]


def test_a_secret_is_hidden_wherever_it_stands(lines):
    log.error("odd", text="x0123456789abcdefx")
    assert "0123456789abcdef" not in "".join(lines())


def test_only_the_chosen_level_and_above_are_written(lines):
    log.start(config.Config(log_level="WARNING"))
    log.info("quiet")
    log.warning("loud")
    assert [line.split()[2] for line in lines()] == ["loud"]
    log.start(config.Config())


def test_a_level_that_is_none_is_refused_by_name():
    with pytest.raises(config.ConfigError, match="MM_LOG_LEVEL is 'chatty'"):
        config.from_environ({"MM_LOG_LEVEL": "chatty"})


def test_a_problem_that_is_raised_on_is_logged_once_under_one_code(lines):
    library = logging.getLogger("some.library")
    log.adopt("some.library", config.Config())
    error = ValueError("odd")
    code = log.unexpected("job.failed", error)
    assert log.unexpected("task.failed", error) == code
    library.error("Unhandled exception", exc_info=error)
    events = [line for line in lines() if not line.startswith(" ")]
    assert len(events) == 1


def test_what_a_library_warns_of_is_a_line_of_ours_and_what_it_chats_is_none(lines):
    library = logging.getLogger("some.library")
    log.adopt("some.library", config.Config())
    library.info("Executing task 1")
    library.warning("Worker 1 died")
    [line] = lines()
    assert LINE.fullmatch(line)
    assert line.endswith(' WARNING some.library message="Worker 1 died"')


def test_the_command_line_logs_errors_only(lines):
    with log.only_errors():
        log.warning("quiet")
        log.error("loud")
    log.info("again")
    assert [line.split()[2] for line in lines()] == ["loud", "again"]


@pytest.fixture
def events(database, lines):
    """events(): what was logged, without the times and what differs each time."""
    return lambda: [re.sub(r"^\S+ | seconds=\S+| bytes=\S+", "", line) for line in lines()]


def test_every_change_to_backups_is_a_line(frozen_clock, alice, events):
    put(alice, many(3))
    made = backups.create(alice)
    backups.verify(alice, made.filename)
    backups.delete(alice, made.filename)
    where = f"user={alice.id} file={made.filename}"
    assert events() == [
        f"INFO backup.made {where} films=3",
        f"INFO backup.checked {where}",
        f"INFO backup.deleted {where}",
    ]


def test_a_pruned_backup_is_a_line_with_the_reason(frozen_clock, alice, events):
    put(alice, many(3))
    safety = backups.create(alice, "before-import")
    frozen_clock.move(8 * 86400)
    backups.create(alice)
    pruned = [event for event in events() if "backup.pruned" in event]
    assert len(pruned) == 1
    where = f"user={alice.id} file={safety.filename}"
    assert pruned[0].startswith(f"INFO backup.pruned {where} reason=")


def test_a_deleted_account_is_a_line_without_its_name(alice, events):
    accounts.remove(alice)
    assert events() == [f"INFO account.deleted user={alice.id}"]


def test_a_pause_of_a_provider_is_a_line_without_its_key(settings, database, lines):
    key = "0123456789abcdef"
    log.start(config.use(config.Config(data_dir=settings.data_dir, tmdb_api_key=key)))
    pauses.pause("tmdb", "TMDB said api_key=0123456789abcdef is too fast", 60)
    pauses.stop("tmdb", "the key is wrong")
    pauses.lift_stops()
    said = lines()
    assert [line.split()[1:3] for line in said] == [
        ["WARNING", "provider.paused"],
        ["WARNING", "provider.stopped"],
        ["INFO", "provider.tried_again"],
    ]
    assert "0123456789abcdef" not in "".join(said)
