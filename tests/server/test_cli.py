"""`flask --app mm server-backup …`, also where there is no usable database."""

import dataclasses
import stat
import zipfile

import pytest
import requests

from mm import config
from mm.database import db
from mm.models import Movie, User
from mm.services import accounts
from mm.services.library import movies
from mm.services.server import archive_files, archives
from tests.conftest import PASSWORD, put_in_force
from tests.support.processes import running

FILM, OTHER = "tt0111161", "tt0068646"
QUESTION = "Restore will replace all data. Continue?"


@pytest.fixture
def run(app):
    """Run `server-backup …`; its exit code must be the one expected, and what it printed comes
    back."""
    runner = app.test_cli_runner()

    def run(*arguments, exit_code=0, **values):
        result = runner.invoke(args=("server-backup", *map(str, arguments)), **values)
        assert result.exit_code == exit_code, result.output
        return result.output

    return run


@pytest.fixture
def library(app, alice):
    """Alice has one film."""
    with db.connection_context():
        movies.add(alice.id, FILM)
    return alice


def films(user):
    with db.connection_context():
        rows = Movie.select(Movie.title).where(Movie.user == user.id).tuples()
        return sorted(imdb_id for (imdb_id,) in rows)


def newest():
    return max(archive_files.entries(), key=lambda entry: entry.filename)


def test_an_archive_is_made_listed_and_copied(run, library, tmp_path):
    copy = tmp_path / "all.zip"
    made = run("create", "-o", copy)
    assert "1 account, 1 film, settings  verified" in made
    assert f"Copied to {copy}" in made
    assert copy.read_bytes() == archive_files.path_of(newest().timestamp).read_bytes()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    listed = run("list")
    assert newest().timestamp in listed
    assert "manual" in listed
    assert "is there already" in run("create", "-o", copy, exit_code=1)
    assert "There is no folder" in run("create", "-o", tmp_path / "no" / "all.zip", exit_code=1)
    assert len(archive_files.entries()) == 1


def test_what_goes_into_an_archive_is_chosen(run, library):
    poster = config.current.posters_dir / "w342" / "a.jpg"
    poster.parent.mkdir(parents=True)
    poster.write_bytes(b"\xff\xd8\xff" + bytes(50))
    made = run("create", "--posters", "--no-settings", "--include-secrets")
    assert "1 account, 1 film, 1 poster  verified" in made
    with zipfile.ZipFile(archive_files.path_of(newest().timestamp)) as archive:
        assert archive.namelist() == ["metadata.json", "database.db", "posters/w342/a.jpg"]


def test_a_good_archive_is_valid_by_its_timestamp_its_name_and_as_a_file(run, library, tmp_path):
    run("create", "-o", tmp_path / "all.zip")
    for name in (newest().timestamp, newest().filename, tmp_path / "all.zip"):
        answer = run("validate", name)
        assert "This archive can be restored." in answer
        assert "1 account, 1 film, settings" in answer


def test_a_bad_archive_ends_validate_with_1_and_the_reason(run, library, tmp_path):
    path = tmp_path / "all.zip"
    run("create", "-o", path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert "Backup file is corrupted" in run("validate", path, exit_code=1)
    path.write_bytes(b"no archive")
    for command in (("validate", path), ("restore", "--yes", path)):
        assert "Backup file is corrupted" in run(*command, exit_code=1)
    assert "no archive has this timestamp" in run("validate", tmp_path / "none.zip", exit_code=1)
    assert films(library) == [FILM]


def test_a_restore_asks_and_a_no_changes_nothing(run, library):
    run("create")
    with db.connection_context():
        movies.add(library.id, OTHER)
    answer = run("restore", newest().timestamp, input="n\n", exit_code=1)
    assert QUESTION in answer
    assert films(library) == [OTHER, FILM]
    assert len(archive_files.entries()) == 1


def test_a_restore_says_its_steps_how_to_go_back_and_what_to_do_next(run, library):
    run("create")
    timestamp = newest().timestamp
    with db.connection_context():
        movies.add(library.id, OTHER)
    answer = run("restore", timestamp, input="y\n")
    assert films(library) == [FILM]
    safety = next(e for e in archive_files.entries() if e.kind == "before-restore")
    for said in (
        QUESTION,
        "Checking the archive",
        "Restored 1 account and 1 film.",
        f"As it was before: flask --app mm server-backup restore {safety.timestamp}",
        "Everybody has to log in again",
    ):
        assert said in answer
    run("restore", "--yes", safety.timestamp)
    assert films(library) == [OTHER, FILM]


def test_a_part_can_be_left_as_it_is(run, library):
    run("create")
    timestamp = newest().timestamp
    with db.connection_context():
        movies.add(library.id, OTHER)
    answer = run("restore", "--yes", "--no-database", timestamp)
    assert films(library) == [OTHER, FILM]
    assert "account and" not in answer
    assert "log in again" not in answer


def test_what_the_old_server_had_and_this_one_lacks_is_said(run, library, monkeypatch):
    here = config.current
    there = dataclasses.replace(here, tmdb_api_key="k", given=frozenset({"TMDB_API_KEY"}))
    put_in_force(monkeypatch, there)
    run("create")
    put_in_force(monkeypatch, here)
    answer = run("restore", "--yes", newest().timestamp)
    assert "TMDB_API_KEY was set there; enter it here on Server › Providers." in answer


@pytest.mark.parametrize("harm", ["missing", "no database", "half", "empty", "no tables"])
def test_list_validate_and_restore_work_without_a_usable_database(run, library, harm):
    """As on a machine that has nothing but the code and the archives."""
    run("create")
    timestamp = newest().timestamp
    db.obj.release()
    path = config.current.data_dir / "mm.db"
    size = path.stat().st_size
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    if harm == "missing":
        path.unlink()
    elif harm == "half":
        with path.open("r+b") as file:
            file.seek(size // 4)
            file.write(b"\xa5" * (size // 2))
    else:
        path.write_bytes(b"no database at all" * 500 if harm == "no database" else b"")
    if harm == "no tables":
        with db.connection_context():
            db.execute_sql("CREATE TABLE other (id)")
        db.obj.release()

    assert timestamp in run("list")
    assert "can be restored" in run("validate", timestamp)
    assert "Restored 1 account and 1 film." in run("restore", "--yes", timestamp)
    assert films(library) == [FILM]
    with db.connection_context():
        assert accounts.log_in("alice", PASSWORD)


def test_a_restore_while_another_one_runs_is_refused(run, library):
    run("create")
    timestamp = newest().timestamp
    with archives.holding():
        answer = run("restore", "--yes", timestamp, exit_code=1)
    assert "Try again when that has finished." in answer
    assert films(library) == [FILM]


@pytest.mark.processes
def test_an_archive_is_restored_on_another_machine_that_is_running(run, library, tmp_path):
    path = tmp_path / "all.zip"
    run("create", "-o", path)
    with running(tmp_path / "other") as server:
        server.start("web")
        done = server.flask("server-backup", "restore", "--yes", str(path))
        assert done.returncode == 0, done.stderr
        assert "Restored 1 account and 1 film." in done.stdout
        assert server.query("SELECT imdb_id FROM movie") == [(FILM,)]
        name = {"email": "alice@example.org", "password": PASSWORD}
        assert requests.post(f"{server.url}/api/auth/login", json=name, timeout=30).ok


def test_users_of_the_archive_are_all_that_is_left(run, library, bob):
    with db.connection_context():
        User.delete().where(User.id == bob.id).execute()
    run("create")
    timestamp = newest().timestamp
    with db.connection_context():
        accounts.create("dora@example.org", "dora", PASSWORD)
    run("restore", "--yes", timestamp)
    with db.connection_context():
        assert [user.username for user in User.select()] == ["alice"]
