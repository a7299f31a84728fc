"""What a start does before web and worker run: the copy of the database, the upgrade, and going
back."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager

import pytest

from mm import clock, config, create_app, maintenance, schema
from mm.database import connect, db
from mm.services import accounts, health, jobs, problems
from mm.services.backup import backups
from mm.services.server import archives, databases, restore, restore_steps, startup_copies
from tests.support import older, postgres
from tests.support.processes import BIN, running

PASSWORD = "correct horse battery"
DAY = 86400
FAILING = "from peewee import *\n\n\ndef up(migrator, db):\n    raise RuntimeError('half-way')\n"


@pytest.fixture
def folder(tmp_path):
    settings = config.use(config.Config(data_dir=tmp_path / "data"))
    config.prepare(settings)
    yield settings.data_dir
    if not db.is_closed():
        db.close()


@pytest.fixture
def run(folder):
    """run("upgrade"): what the command printed."""
    runner = create_app(config.current).test_cli_runner()

    def command(*arguments, exit_code=0):
        result = runner.invoke(args=arguments)
        assert result.exit_code == exit_code, result.output
        db.obj.release()
        return result.output

    return command


@pytest.fixture
def first(folder, run):
    """The database of 0.1.0, with two accounts."""
    shutil.copyfile(older.database_of("0.1.0"), folder / "mm.db")
    return folder / "mm.db"


@pytest.fixture
def current(run, first):
    """The same, upgraded a while ago; no copies."""
    schema.upgrade()
    db.obj.release()
    return first


def copies():
    return [copy.name for copy in startup_copies.listing()]


def put_copy(name, source=None):
    target = config.current.startup_dir / name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source or older.database_of("0.1.0"), target)
    return target


def line(said, start):
    return next(text for text in said.splitlines() if text.startswith(start))


def change(path, sql, *values):
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(sql, values)


def damage(path):
    """In the middle: the file opens, and some of its pages are broken."""
    with path.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(os.urandom(4096 * 6))


@contextmanager
def migration(monkeypatch, tmp_path, text=FAILING):
    target = tmp_path / "migrations"
    shutil.copytree(schema.MIGRATIONS, target)
    (target / "9999_next.py").write_text(text)
    with monkeypatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", target)
        yield


# The lines of a start.


def test_a_first_start_tells_each_step_and_has_nothing_to_copy(run, folder):
    said = run("upgrade").splitlines()
    assert said[0] == f"Data folder: {folder}"
    assert said[1] == "Copy of the database: not needed, there is no account yet"
    assert said[2].startswith("Schema: applied 0001_first_tables, ")
    assert said[3] == "JSON export: not needed, there is no account yet"
    assert said[4] == "Ready."
    assert not config.current.startup_dir.exists()


def test_an_older_database_is_copied_as_it_was_before_it_is_upgraded(run, first):
    before = older.tables(first)
    said = run("upgrade").splitlines()
    [name] = copies()
    path = config.current.startup_dir / name
    assert said[1].startswith(f"Copy of the database: {name} (0.1 MB)")
    assert said[2].startswith("Schema: applied 0002_rankings_and_marks, 0003_")
    assert said[3] == "JSON export: backup_latest.json (2 users, 13 films)"
    assert said[4:] == ["Ready."]
    assert name.endswith("-0001.db")
    assert older.tables(path) == before
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_second_start_on_the_same_day_makes_no_second_copy(run, first):
    run("upgrade")
    said = run("upgrade")
    moment = startup_copies.spoken_moment(startup_copies.newest().made_at)
    assert f"Copy of the database: not needed, the last one is from {moment}" in said
    assert "Schema: up to date" in said
    assert len(copies()) == 1


def test_a_copy_older_than_a_day_is_followed_by_a_new_one(run, current, monkeypatch):
    run("upgrade")
    moment = time.time() + DAY + 60
    monkeypatch.setattr(clock, "now", lambda: moment)
    change(current, "UPDATE user SET library_version = library_version + 1")
    run("upgrade")
    assert len(copies()) == 2
    assert {name[-7:] for name in copies()} == {"0007.db"}


def test_a_server_that_starts_again_and_again_with_a_failing_upgrade_keeps_its_older_copies(
    run, current, monkeypatch, tmp_path
):
    put_copy("mm-2026-01-01T00-00-00-0003.db")
    with migration(monkeypatch, tmp_path):
        said = [run("upgrade", exit_code=1) for _ in range(8)]
    assert len(copies()) == 2
    assert "which holds the same" in said[7]


def test_the_last_five_copies_stay_and_the_newest_of_each_schema(run, current):
    for day in range(1, 9):
        put_copy(f"mm-2025-01-0{day}T00-00-00-0004.db")
    for name in ("mm-2024-01-01T00-00-00-0001.db", "mm-2024-01-02T00-00-00-0001.db"):
        put_copy(name)
    put_copy("mm-2024-05-02T00-00-00-0003.db")
    put_copy("somebody's.db")
    run("upgrade")
    kept = copies()
    assert kept[1:] == [
        *(f"mm-2025-01-0{day}T00-00-00-0004.db" for day in (8, 7, 6, 5)),
        "mm-2024-05-02T00-00-00-0003.db",
        "mm-2024-01-02T00-00-00-0001.db",
    ]
    assert (config.current.startup_dir / "somebody's.db").exists()


def test_copies_dated_in_the_future_neither_count_nor_go(run, current):
    put_copy("mm-2091-01-01T00-00-00-0004.db")
    run("upgrade")
    assert len(copies()) == 2


def test_drafts_of_killed_starts_are_removed(run, current):
    left = [config.current.startup_dir / f".tmp-0123456789abcdef{end}" for end in ("", "-journal")]
    config.current.startup_dir.mkdir()
    for path in left:
        path.write_bytes(b"half")
    run("upgrade")
    assert not any(path.exists() for path in left)


# No upgrade without a way back.


def test_without_room_for_the_copy_no_upgrade_begins(run, first, monkeypatch):
    before = older.tables(first)
    monkeypatch.setattr("mm.disk.free_bytes", lambda _: 10_000)
    said = run("upgrade", exit_code=1)
    assert "The database needs an upgrade (0002_rankings_and_marks, " in said
    assert "Not enough disk space: 1." in said
    assert "MM_BACKUP_DIR" in said
    assert older.tables(first) == before


def test_without_room_and_without_an_upgrade_the_start_goes_on_and_health_says_it(
    run, current, monkeypatch
):
    monkeypatch.setattr("mm.disk.free_bytes", lambda _: 10_000)
    said = run("upgrade")
    assert "Warning: no copy of the database could be made: Not enough disk space" in said
    assert "Ready." in said
    with db.connection_context():
        assert "No copy of the database could be made at the last start." in problems.texts()
    monkeypatch.undo()
    run("upgrade")
    with db.connection_context():
        assert problems.texts() == []


def test_a_database_with_broken_pages_is_not_upgraded_and_no_copy_of_it_is_kept(run, first):
    damage(first)
    said = run("upgrade", exit_code=1)
    assert "damaged" in said
    assert "flask --app mm server-backup list" in said
    assert "flask --app mm restore-startup" in said
    assert copies() == []


def test_broken_pages_without_an_upgrade_are_named_and_push_out_no_copy(run, current):
    for day in range(1, 6):
        put_copy(f"mm-2025-01-0{day}T00-00-00-0004.db")
    with closing(sqlite3.connect(current)) as database:
        [(page,)] = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'watch'")
        [(size,)] = database.execute("PRAGMA page_size")
    with current.open("r+b") as file:
        file.seek(size * (page - 1))
        file.write(os.urandom(size))
    said = run("upgrade")
    assert "Warning: no copy of the database could be made: the database is damaged" in said
    assert "Ready." in said
    assert len(copies()) == 5


@pytest.mark.parametrize(
    "error, words",
    [
        ("RuntimeError('half-way')", "RuntimeError: half-way"),
        ("OSError(28, 'No space left on device')", "the disk is full"),
        ("OperationalError('database is locked')", "the database is locked"),
        ("DatabaseError('database disk image is malformed')", "the database is damaged"),
    ],
)
def test_a_failing_migration_names_the_reason_the_copy_and_the_command_that_goes_back(
    run, current, monkeypatch, tmp_path, error, words
):
    text = (
        "from peewee import *\n\n\ndef up(migrator, db):\n"
        f"    db.execute_sql('CREATE TABLE half (a)')\n    raise {error}\n"
    )
    before = older.tables(current)
    with migration(monkeypatch, tmp_path, text):
        said = run("upgrade", exit_code=1)
    [name] = copies()
    assert f"The upgrade failed at 9999_next: {words}" in said
    assert "The database is as it was." in said
    assert f"flask --app mm restore-startup {name}" in said
    assert "Traceback" not in said
    assert older.tables(current) == before


def test_what_succeeded_before_a_failing_migration_is_named(run, first, monkeypatch, tmp_path):
    with migration(monkeypatch, tmp_path):
        said = run("upgrade", exit_code=1)
    assert "Before it, 0002_rankings_and_marks, 0003_notes_and_several_lists, 0004" in said
    assert "9999_next changed nothing." in said


@pytest.mark.slow
@pytest.mark.processes
def test_a_migration_that_meets_a_lock_says_so(folder, first):
    environment = {"MM_DATA_DIR": str(folder), "PATH": "/usr/bin:/bin"}
    hurry = (
        "import mm.database, sys; mm.database.BUSY_SECONDS = 0.2; import mm.starting;"
        "from mm import create_app; create_app().cli(['upgrade'], obj=None)"
    )
    with closing(sqlite3.connect(first)) as writer:
        writer.execute("PRAGMA journal_mode = wal")
        writer.execute("BEGIN IMMEDIATE")
        ended = subprocess.run(
            [sys.executable, "-c", hurry],
            cwd=config.ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )
    assert ended.returncode == 1
    assert "another program is writing to" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.fixture
def small_disk(tmp_path):
    target = tmp_path / "data"
    target.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(target)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a file system is not allowed here")
    yield target
    db.obj.release()
    subprocess.run(["umount", "-l", str(target)], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_up_during_the_upgrade_leaves_the_database_and_its_copy(
    small_disk, run, first, monkeypatch, tmp_path
):
    text = (
        "from peewee import *\n\n\ndef up(migrator, db):\n"
        "    db.execute_sql('CREATE TABLE half (a)')\n"
        "    for _ in range(20):\n"
        "        db.execute_sql('INSERT INTO half VALUES (randomblob(1000000))')\n"
    )
    schema.upgrade()
    db.obj.release()
    before = older.tables(first)
    with migration(monkeypatch, tmp_path, text):
        said = run("upgrade", exit_code=1)
    assert "the disk is full" in said
    assert older.tables(first) == before
    [name] = copies()
    assert databases.fault_of(config.current.startup_dir / name) is None
    assert run("upgrade").splitlines()[-1] == "Ready."


@pytest.mark.postgres
def test_with_postgresql_there_is_no_copy_but_an_export(tmp_path, postgres_url):
    settings = config.Config(data_dir=tmp_path / "data", database_url=postgres_url)
    runner = create_app(settings).test_cli_runner()
    with db.connection_context():
        postgres.empty(db.obj)
        accounts.create("ann@example.org", "ann", PASSWORD)
    said = runner.invoke(args=["upgrade"]).output
    assert "Copy of the database: none with PostgreSQL, use pg_dump" in said
    assert "JSON export: backup_latest.json (1 user, 0 films)" in said
    refused = runner.invoke(args=["restore-startup", "--yes"])
    assert refused.exit_code == 1
    assert "use pg_dump and pg_restore" in refused.output


# Two at once.


@pytest.mark.slow
@pytest.mark.processes
def test_two_starts_at_once_make_one_copy_and_one_upgrade(folder, first):
    command = [str(BIN / "flask"), "--app", "mm", "upgrade"]
    environment = {"MM_DATA_DIR": str(folder), "PATH": "/usr/bin:/bin"}
    both = [
        subprocess.Popen(
            command, cwd=config.ROOT, env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert len(copies()) == 1
    assert sorted("not needed, the last one is from" in each for each in said) == [False, True]
    assert sorted("Schema: up to date" in each for each in said) == [False, True]


# No database, and backups.


def test_a_lost_database_beside_backups_is_said_and_each_kind_is_offered(run, current):
    run("upgrade")
    db.obj.release()
    folder = config.current.backups_dir
    archive = folder / "server" / "moviemanager-backup-2026-01-01-00-00-00.zip"
    archive.parent.mkdir()
    archive.write_bytes(b"zip")
    with db.connection_context():
        ann = accounts.find("ann")
        backup = backups.create(ann)
    db.obj.release()
    for path in startup_copies.parts_of(current):
        path.unlink()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    said = run("upgrade")
    assert "There was no database, but there are backups." in said
    assert f"flask --app mm server-backup restore {archive}" in said
    assert f"flask --app mm restore-startup {copies()[0]}" in said
    assert f"flask --app mm import-all {folder / 'startup' / 'backup_latest.json'}" in said
    assert f"flask --app mm import --user NAME {folder / ann.id / backup.filename}" in said
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    again = run("upgrade")
    assert "The database holds no account, but there are backups." in again
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    run("restore-startup", "--yes")
    assert "ann" in run("user", "list")


# Going back.


def test_an_upgraded_database_goes_back_to_the_copy_and_only_its_marks_differ(run, first):
    before = older.tables(first)
    run("upgrade")
    old_copy = startup_copies.listing()[0]
    change(first, "UPDATE user SET token_version = 7 WHERE username = 'ann'")
    said = run("restore-startup", "--yes")
    assert f"The database is the copy {old_copy.name}." in said
    assert "(0.1.0)" in said
    assert databases.migrations_of(first) == ["0001_first_tables"]
    assert databases.fault_of(first) is None
    now = older.tables(first)
    assert now.keys() == before.keys()
    for table, (columns, rows) in before.items():
        new_columns, new_rows = now[table]
        assert new_columns == columns
        if table != "setting":
            assert [unmarked(columns, row) for row in new_rows] == [
                unmarked(columns, row) for row in rows
            ], table
    columns, users = now["user"]
    versions = {
        row[columns.index("username")]: row[columns.index("token_version")] for row in users
    }
    assert versions["ann"] == 8
    settings = dict(now["setting"][1])
    epoch = float(settings["epoch"])
    marks = marks_of(now)
    assert epoch > max(marks_of(before))
    assert epoch < min(marks)
    assert max(marks) < float(settings["clock"])
    assert order(now) == order(before)
    assert [name[-7:] for name in copies()] == ["0007.db", "0001.db"]
    run("upgrade")
    with db.connection_context():
        assert accounts.log_in("ann", older.PASSWORD)


def unmarked(columns, row):
    return [
        value
        for column, value in zip(columns, row, strict=True)
        if column not in ("updated_at", "token_version")
    ]


def marks_of(tables):
    return [
        row[columns.index("updated_at")]
        for columns, rows in tables.values()
        if "updated_at" in columns
        for row in rows
    ]


def order(tables):
    """The rows that clients know, by when they changed."""
    found = [
        (row[columns.index("updated_at")], table, row[0])
        for table, (columns, rows) in tables.items()
        if "updated_at" in columns
        for row in rows
    ]
    places = {mark: place for place, mark in enumerate(sorted({mark for mark, *_ in found}))}
    return sorted((places[mark], *rest) for mark, *rest in found)


def test_a_restored_copy_raises_the_number_by_which_processes_know_another_database(run, first):
    run("upgrade")
    change(first, "PRAGMA user_version = 41")
    run("restore-startup", "--yes")
    with closing(sqlite3.connect(first)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (42,)


def test_after_a_copy_is_put_back_no_id_of_a_person_is_used_again(run, current):
    """A phone may still send what it did with somebody who came after the copy."""
    run("upgrade")
    change(current, "UPDATE sqlite_sequence SET seq = 9000000000 WHERE name = 'person'")
    run("restore-startup", "--yes")
    with closing(sqlite3.connect(current)) as database:
        rows = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'person'")
        assert rows.fetchall() == [(9000000000,)]


def test_going_back_asks_first(run, current):
    run("upgrade")
    runner = create_app(config.current).test_cli_runner()
    before = older.tables(current)
    refused = runner.invoke(args=["restore-startup"], input="n\n")
    assert refused.exit_code == 1
    assert "Put this copy in place of the database?" in refused.output
    assert older.tables(current) == before


def test_without_a_name_the_newest_copy_before_the_last_upgrade_is_taken(run, current):
    put_copy("mm-2025-01-01T00-00-00-0001.db")
    put_copy("mm-2025-02-01T00-00-00-0001.db")
    run("upgrade")
    assert len(copies()) == 3
    said = run("restore-startup", "--yes")
    assert "The database is the copy mm-2025-02-01T00-00-00-0001.db" in said


def test_from_a_damaged_database_the_newest_copy_is_taken_not_one_before_the_upgrade(run, first):
    run("upgrade")
    put_copy("mm-2025-01-01T00-00-00-0001.db")
    newest = put_copy(f"mm-{time.gmtime().tm_year}-01-02T00-00-00-0004.db", first)
    for name in copies():
        if name not in (newest.name, "mm-2025-01-01T00-00-00-0001.db"):
            (newest.parent / name).unlink()
    damage(first)
    assert f"The database is the copy {newest.name}" in run("restore-startup", "--yes")


def test_going_back_can_be_undone_by_going_back_again(run, first):
    run("upgrade")
    upgraded = older.tables(first)["movie"][0]
    run("restore-startup", "--yes")
    said = run("restore-startup", "--yes")
    assert "-0007.db. Everybody logs in again." in said
    assert older.tables(first)["movie"][0] == upgraded


def test_the_copies_are_listed_with_date_schema_and_size(run, current):
    put_copy("mm-2025-01-01T10-20-30-0001.db")
    [said] = run("restore-startup", "--list").splitlines()
    assert said.split("  ") == [
        "mm-2025-01-01T10-20-30-0001.db",
        "2025-01-01 10:20 UTC",
        "schema 0001",
        "0.1 MB",
    ]


@pytest.mark.parametrize("name", ["../../mm.db", "mm-2025-01-01T00-00-00-0001.db", "x"])
def test_only_a_listed_copy_can_be_put_back(run, current, name):
    said = run("restore-startup", "--yes", name, exit_code=1)
    assert said.startswith("Error: There is no start-up copy")


def test_a_restore_that_was_interrupted_does_not_come_later_over_the_copy(run, current):
    run("upgrade")
    with db.connection_context():
        timestamp = archives.create(kind="scheduled").timestamp
        job, _ = restore.request(timestamp)
    db.obj.release()
    change(
        current, "UPDATE user SET username = 'anna', username_key = 'anna' WHERE username = 'ann'"
    )
    process = os.fork()
    if not process:
        try:
            restore_steps.FROM_LOAD = (lambda report: os.kill(os.getpid(), signal.SIGKILL),)
            with db.connection_context():
                jobs.run(job.id, restore.run)
        finally:
            os._exit(3)
    assert os.WIFSIGNALED(os.waitpid(process, 0)[1])
    assert maintenance.is_on()
    said = run("restore-startup", "--yes")
    assert restore.TAKEN_BACK in said
    assert not maintenance.is_on()
    run("upgrade")
    db.obj.release()
    assert "ann " in run("user", "list")
    assert len(copies()) == 2


def test_a_damaged_copy_is_refused_and_nothing_changes(run, current):
    damage(put_copy("mm-2025-01-01T00-00-00-0001.db"))
    before = older.tables(current)
    said = run("restore-startup", "--yes", exit_code=1)
    assert "mm-2025-01-01T00-00-00-0001.db is damaged" in said
    assert older.tables(current) == before


@pytest.mark.parametrize("how", ["no database", "broken pages", "missing", "a stale log"])
def test_a_damaged_or_missing_database_is_set_aside_and_replaced(run, current, how):
    run("upgrade")
    db.obj.release()
    before = older.tables(current)
    if how == "no database":
        current.write_bytes(b"garbage" * 5000)
    elif how == "broken pages":
        damage(current)
    elif how == "missing":
        current.unlink()
    else:
        # Of another database: SQLite would play it into whatever has that name.
        with closing(sqlite3.connect(current)) as writer:
            writer.execute("PRAGMA journal_mode = wal")
            writer.execute("UPDATE user SET username = 'stale'")
            writer.commit()
            log = current.with_name("mm.db-wal").read_bytes()
        current.unlink()
        current.with_name("mm.db-wal").write_bytes(log)
    run("restore-startup", "--yes")
    aside = [path for path in current.parent.iterdir() if ".damaged-" in path.name]
    assert bool(aside) == (how != "missing")
    now = older.tables(current)
    names = [row[now["user"][0].index("username")] for row in now["user"][1]]
    assert sorted(names) == ["ann", "ben"]
    assert len(now["movie"][1]) == len(before["movie"][1])
    assert databases.fault_of(current) is None


@pytest.mark.slow
@pytest.mark.processes
def test_nothing_is_put_back_while_server_or_worker_run(tmp_path):
    with running(tmp_path / "data") as server:
        server.environment["MM_PASSWORD"] = PASSWORD
        server.flask("user", "create", "ann@example.org", "ann")
        assert server.flask("upgrade").returncode == 0
        server.start("worker")
        refused = server.flask("restore-startup", "--yes")
        assert refused.returncode == 1
        assert "Stop both, then try again." in refused.stderr
        server.stop("worker")
        assert server.flask("restore-startup", "--yes").returncode == 0


# What keeps a start.


WEB = [str(BIN / "gunicorn"), "-b", "127.0.0.1:0", "wsgi:app"]
WORKER = [str(BIN / "huey_consumer"), "mm.tasks.huey"]
COMMANDS = {
    "upgrade": [str(BIN / "flask"), "--app", "mm", "upgrade"],
    "command": [str(BIN / "flask"), "--app", "mm", "user", "list"],
    "help": [str(BIN / "flask"), "--app", "mm", "--help"],
    "web": WEB,
    "worker": WORKER,
}
FAULTS = {
    "time": ({"BACKUP_TIME": "25:00"}, "BACKUP_TIME is '25:00': it takes a time of day"),
    "address": ({"DATABASE_URL": "films.db"}, "DATABASE_URL is no address: it takes sqlite:///"),
    "port": ({"DATABASE_URL": "postgresql://a:geheim@h:x/d"}, "DATABASE_URL has a port"),
    "folder": ({"DATABASE_URL": "sqlite:////nowhere/mm.db"}, "unable to open database file"),
    "damaged": ({}, "mm.db is damaged (file is not a database)"),
}


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize(
    "name, fault",
    [
        *(("upgrade", fault) for fault in FAULTS),
        *((name, fault) for name in ("command", "web", "worker") for fault in ("time", "damaged")),
        ("web", "folder"),
        ("help", "time"),
    ],
)
def test_whatever_keeps_a_start_is_one_plain_sentence(folder, name, fault):
    values, words = FAULTS[fault]
    if fault == "damaged":
        (folder / "mm.db").write_bytes(b"garbage" * 1000)
    environment = {"MM_DATA_DIR": str(folder), "PATH": "/usr/bin:/bin", **values}
    ended = subprocess.run(
        COMMANDS[name],
        cwd=config.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode != 0
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stderr.count(words) == 1
    assert "geheim" not in ended.stderr


def test_the_health_check_knows_nothing_of_a_good_start(run, current):
    run("upgrade")
    with db.connection_context():
        assert problems.texts() == []
        assert health.check()["database"] == "ok"


def test_a_database_of_a_newer_version_names_the_way_back(run, current):
    change(current, "INSERT INTO schema_migration (name, applied) VALUES ('9999_x', '2027-01-01')")
    said = run("upgrade", exit_code=1)
    assert "upgraded by a newer version of Movie Manager (9999_x)" in said
    assert "flask --app mm restore-startup" in said
    connect(config.current.database)
