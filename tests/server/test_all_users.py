"""The export of all libraries: what is in it, what it never replaces, and when it is made."""

import json
import re

import pytest

import mm
from mm import clock, config, files
from mm.errors import InvalidError
from mm.models import User
from mm.services import accounts, health, heartbeat, jobs, portable, problems
from mm.services.backup import schedule
from mm.services.server import all_users, startup_copies
from tests.support.libraries import many, put

pytestmark = pytest.mark.usefixtures("database", "frozen_clock")
DAY = 86400


@pytest.fixture
def folder(settings):
    return settings.backups_dir / "startup"


def read(path):
    return json.loads(path.read_bytes())


def dated(folder):
    return sorted(path.name for path in folder.glob("backup_2*.json"))


def break_export_of(monkeypatch, user):
    dump = portable.dump

    def broken(user_id, *rest, **more):
        if user_id == user.id:
            raise ValueError("a row that cannot be read")
        return dump(user_id, *rest, **more)

    monkeypatch.setattr(portable, "dump", broken)


def test_each_account_is_in_it_with_what_it_needs_to_come_back(alice, bob, carol, folder):
    put(alice, many(3))
    accounts.change(bob, is_active=False)
    export = all_users.write_latest()
    assert (export.users, export.films, export.left_out) == (3, 3, [])
    path = folder / "backup_latest.json"
    found = read(path)
    assert (found["version"], found["kind"], found["exported_at"]) == (2, "server", clock.now())
    assert found["app_version"] == mm.__version__
    rows = {row["username"]: row for row in found["users"]}
    assert rows["alice"]["library"] == json.loads(portable.encode(portable.dump(alice.id)))
    assert rows["alice"]["password_hash"] == alice.password_hash
    assert rows["alice"]["id"] == alice.id
    assert rows["alice"]["retention"] == {"daily": 14, "weekly": 0, "monthly": 0, "yearly": 0}
    assert [rows[name]["is_admin"] for name in ("alice", "bob", "carol")] == [False, False, True]
    assert [rows[name]["is_active"] for name in ("alice", "bob", "carol")] == [True, False, True]
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_unchanged_server_gets_no_second_dated_file(alice, folder, frozen_clock):
    all_users.write_latest()
    frozen_clock.move(DAY)
    all_users.write_latest()
    assert dated(folder) == ["backup_2026-03-01T12-00-00.json"]
    assert read(folder / "backup_latest.json")["exported_at"] == clock.now()
    put(alice, many(1))
    all_users.write_latest()
    assert len(dated(folder)) == 2


def test_the_last_five_dated_files_stay(alice, folder, frozen_clock):
    for number in range(8):
        put(alice, many(1, start=number))
        frozen_clock.move(DAY)
        all_users.write_latest()
    assert dated(folder) == [f"backup_2026-03-0{day}T12-00-00.json" for day in range(5, 10)]
    (folder / "backup_mine.json").write_bytes(b"{}")
    all_users.write_latest()
    assert (folder / "backup_mine.json").exists()


def test_a_server_without_accounts_replaces_nothing(alice, folder):
    all_users.write_latest()
    before = (folder / "backup_latest.json").read_bytes()
    accounts.remove(alice)
    assert all_users.write_latest() is None
    assert (folder / "backup_latest.json").read_bytes() == before


def test_a_library_that_cannot_be_exported_costs_that_account_only(
    alice, bob, folder, monkeypatch, lines
):
    put(bob, many(2))
    break_export_of(monkeypatch, alice)
    export = all_users.write_latest()
    assert (export.users, export.films, export.left_out) == (1, 2, ["alice"])
    assert [row["username"] for row in read(folder / "backup_latest.json")["users"]] == ["bob"]
    [line] = [line for line in lines() if " all_users.left_out " in line]
    assert f"user={alice.id}" in line
    heartbeat.beat()
    assert health.check()["problems"] == [
        "The export of all libraries leaves out 1 account. The log says why."
    ]
    monkeypatch.undo()
    all_users.write_latest()
    assert problems.texts() == []


def test_an_export_that_lacks_an_account_never_replaces_a_complete_one(
    alice, bob, folder, monkeypatch, frozen_clock
):
    for number in range(5):
        put(bob, many(1, start=number))
        frozen_clock.move(60)
        all_users.write_latest()
    complete = {path: path.read_bytes() for path in folder.iterdir()}
    assert len(complete) == 6
    break_export_of(monkeypatch, alice)
    for number in range(7):
        put(bob, many(1, start=100 + number))
        frozen_clock.move(60)
        export = all_users.write_latest()
    assert {path: path.read_bytes() for path in complete} == complete
    assert re.fullmatch(r"backup_2026-\S+-incomplete\.json", export.filename)
    assert len(list(folder.glob("*-incomplete.json"))) == 5
    with pytest.raises(all_users.ConflictError, match="was not replaced"):
        all_users.write(folder / "backup_latest.json")


def test_when_nobody_can_be_exported_nothing_is_written(alice, folder, monkeypatch):
    break_export_of(monkeypatch, alice)
    with pytest.raises(InvalidError, match="No library could be exported"):
        all_users.write_latest()
    assert list(folder.iterdir()) == []


def test_a_disk_that_returns_something_else_keeps_the_old_file(alice, folder, monkeypatch):
    all_users.write_latest()
    before = (folder / "backup_latest.json").read_bytes()
    put(alice, many(3))
    check = all_users._check

    def rotten(path, *rest):
        data = path.read_bytes()
        path.write_bytes(data.replace(b"alice", b"alicf", 1))
        check(path, *rest)

    monkeypatch.setattr(all_users, "_check", rotten)
    with pytest.raises(InvalidError, match="could not be read back"):
        all_users.write_latest()
    assert (folder / "backup_latest.json").read_bytes() == before
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_without_hard_links_the_dated_file_is_a_copy(alice, folder, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    all_users.write_latest()
    [name] = dated(folder)
    assert files.sha256(folder / name) == files.sha256(folder / "backup_latest.json")
    assert (folder / name).stat().st_mode & 0o777 == 0o600


def test_the_night_makes_one_and_tells_when_it_cannot(alice, folder, monkeypatch):
    from mm import tasks

    [job] = [job for job in schedule.due_jobs() if job.kind == "all-users"]
    assert not jobs.run(job.id, *tasks.WORK["all-users"])
    assert read(folder / "backup_latest.json")["users"][0]["username"] == "alice"
    assert schedule.due_jobs() == []
    break_export_of(monkeypatch, alice)
    jobs.run(jobs.create("all-users").id, *tasks.WORK["all-users"])
    assert any(
        "The nightly export of all libraries failed. No library" in text
        for text in problems.texts()
    )


# On the command line.


@pytest.fixture
def run(app):
    def command(*arguments, exit_code=0):
        result = app.test_cli_runner().invoke(args=arguments)
        assert result.exit_code == exit_code, result.output
        return result.stdout

    return command


def test_the_command_writes_the_latest_a_file_or_standard_output(run, alice, folder, tmp_path):
    assert run("export-all") == "backup_latest.json: 1 user, 0 films\n"
    target = tmp_path / "elsewhere" / "all.json"
    assert run("export-all", str(target)) == "all.json: 1 user, 0 films\n"
    assert target.stat().st_mode & 0o777 == 0o600
    printed = run("export-all", "-")
    for found in (json.loads(printed), read(target), read(folder / "backup_latest.json")):
        assert [row["username"] for row in found["users"]] == ["alice"]


def test_the_command_without_accounts_writes_nothing(run, folder, tmp_path):
    for arguments in ((), (str(tmp_path / "all.json"),), ("-",)):
        assert run("export-all", *arguments, exit_code=1) == ""
    assert not folder.exists()
    assert not (tmp_path / "all.json").exists()


def test_the_command_names_who_is_left_out_with_exit_code_1(run, alice, bob, monkeypatch, tmp_path):
    break_export_of(monkeypatch, alice)
    run("export-all", str(tmp_path / "all.json"), exit_code=1)
    assert [row["username"] for row in read(tmp_path / "all.json")["users"]] == ["bob"]


def test_a_start_whose_export_fails_goes_on_and_says_so(run, alice, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(all_users, "_write_checked", full)
        said = run("upgrade")
    assert "JSON export failed (non-critical, continuing): Not enough disk space" in said
    assert said.splitlines()[-1] == "Ready."
    assert problems.texts() == ["The export of all libraries failed at the last start."]
    run("upgrade")
    assert problems.texts() == []


def test_a_start_names_whom_the_export_lacks(run, alice, bob, monkeypatch):
    break_export_of(monkeypatch, alice)
    said = run("upgrade")
    assert "JSON export: backup_latest.json (1 user, 0 films)" in said
    assert "Warning: the export lacks alice. The log has the reason." in said


def test_one_library_at_a_time_is_in_memory(alice, bob, monkeypatch):
    """Each line is written before the next library is read."""
    asked = []
    dump = portable.dump
    monkeypatch.setattr(
        portable, "dump", lambda user_id, **more: asked.append(user_id) or dump(user_id, **more)
    )
    lines = all_users._lines(all_users.Export("x", clock.now()), False)
    next(lines)
    next(lines)
    assert asked == [alice.id]


def test_the_folder_of_copies_has_one_writer_at_a_time(alice, monkeypatch):
    monkeypatch.setattr(startup_copies, "WAIT_SECONDS", 0.1)
    with startup_copies.holding(), pytest.raises(startup_copies.locks.BusyError):
        all_users.write_latest()
    assert User.select().exists()
    assert config.current.startup_dir.is_dir()
