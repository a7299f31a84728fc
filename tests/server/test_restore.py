"""An archive of the whole server brings back every row, poster and setting; what cannot be restored
leaves everything as it was."""

import contextlib
import hashlib
import itertools
import json
import shutil
import sqlite3
import stat
import threading
import zipfile

import pytest

from mm import clock, config, disk, locks, maintenance, models, stored_settings, tasks
from mm.clock import DAY
from mm.database import db
from mm.errors import ConflictError, InvalidError, NoRoomError, NotFoundError, UserError
from mm.models import (
    AccountLink,
    Job,
    ListShare,
    Movie,
    Person,
    Setting,
    TmdbLink,
    Tombstone,
    UndoStep,
    User,
)
from mm.schemas import ArchiveSchedule
from mm.services import account_links, accounts, heartbeat, jobs, settings
from mm.services.catalogue import store, updates
from mm.services.library import lists, shares
from mm.services.server import (
    archive_files,
    archives,
    databases,
    live_database,
    restore,
    restore_state,
    restore_steps,
)
from tests.support import catalogue
from tests.support.archived import poster_files, put_poster, rows
from tests.support.libraries import export, many, put


@pytest.fixture
def database(app):
    """Opened by the first query, and closed by each request."""
    return db.obj


@pytest.fixture
def library(database, alice, bob):
    put(alice, many(40, 2))
    put(bob, many(10, 1, start=20))
    put_poster("a.jpg")
    return database


@pytest.fixture
def archive(library):
    return archives.create("manual", posters=True)


def change_everything(alice, bob):
    """What a server may have become since the archive."""
    put(alice, many(25, 2, start=100))
    accounts.remove(bob)
    accounts.create("dora@example.org", "dora", "correct horse battery")
    put_poster("a.jpg", b"other")
    put_poster("b.jpg")


def do(job):
    """As the worker does it."""
    tasks.run_job.call_local(job.id, job.kind)
    db.obj.accept_restored()
    return Job.get_by_id(job.id)


def no_traces():
    assert not maintenance.is_on()
    assert not locks.is_held("server")
    assert list(config.current.tmp_dir.glob("restore-*")) == []
    assert list(config.current.tmp_dir.glob("archive-*")) == []


@pytest.fixture(autouse=True)
def in_a_thread_of_its_own(monkeypatch):
    """The worker's thread has a connection of its own."""
    real = tasks.run_job.call_local

    def in_thread(*args):
        errors = []

        def work():
            try:
                real(*args)
            except RuntimeError as error:
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]

    monkeypatch.setattr(tasks.run_job, "call_local", in_thread)


def test_every_row_and_poster_is_as_it_was_when_the_archive_was_made(archive, alice, bob):
    before, posters, exported = rows(), poster_files(), export(alice)
    change_everything(alice, bob)
    job, token = restore.request(archive.timestamp)
    job = do(job)
    assert job.state == "done", job.message
    assert rows() == before
    assert poster_files() == posters
    assert export(alice) == exported
    shown = restore.outcome(token)
    assert (shown.state, shown.step) == ("done", "finish")
    assert (shown.users, shown.movies) == (2, 50)
    assert shown.archive == archive.timestamp
    assert restore.outcome("another") is None
    assert job.result["safety"] == shown.safety
    no_traces()


def test_no_invitation_or_link_for_a_password_outlives_a_restore(library, alice):
    """Neither those of the archive nor those of today."""
    account_links.invite("Of the archive")
    account_links.reset(alice)
    archive = archives.create("manual")
    account_links.invite("Of today")
    job, _token = restore.request(archive.timestamp)
    assert do(job).state == "done"
    assert AccountLink.select().count() == 0
    assert User.select().count() == 2


def test_links_to_lists_outlive_a_restore_unless_they_were_revoked_since(library, alice, bob):
    """Those of an account that this server does not know are of another server."""
    kept, revoked, of_bob = (
        lists.create(user.id, name)
        for user, name in ((alice, "Kept"), (alice, "Revoked"), (bob, "Bob’s"))
    )
    tokens = {row.name: shares.share(row.user_id, row.id).token for row in (kept, revoked, of_bob)}
    archive = archives.create("manual")
    shares.revoke(alice.id, revoked.id)
    of_today = shares.share(alice.id, revoked.id).token
    accounts.remove(bob)
    job, _token = restore.request(archive.timestamp)
    assert do(job).state == "done"
    assert {row.token for row in ListShare.select()} == {tokens["Kept"], tokens["Bob’s"]}
    for token in (tokens["Revoked"], of_today):
        with pytest.raises(NotFoundError):
            shares.find(token)


def test_what_a_link_shows_and_how_long_stays_as_it_was_chosen_last(library, alice, frozen_clock):
    """A restore shows nobody again what its owner has since hidden."""
    until = str(clock.today(config.current.zone))
    open_until, with_notes, narrowed = (lists.create(alice.id, name) for name in "abc")
    shares.share(alice.id, open_until.id)
    shares.share(alice.id, with_notes.id, shows_notes=True)
    shares.share(alice.id, narrowed.id, until)
    archive = archives.create("manual")
    ended = shares.share(alice.id, open_until.id, until).token
    without = shares.share(alice.id, with_notes.id).token
    longer = shares.share(alice.id, narrowed.id, shows_notes=True).token
    job, _token = restore.request(archive.timestamp)
    assert do(job).state == "done"
    assert not shares.find(without).shows_notes
    assert shares.find(longer).shows_notes
    frozen_clock.move(2 * clock.DAY)
    assert shares.find(longer).expires_at is None
    with pytest.raises(NotFoundError):
        shares.find(ended)


def test_nobody_knows_what_was_revoked_in_a_database_that_cannot_be_read(
    library, alice, monkeypatch, tmp_path
):
    shares.share(alice.id, lists.create(alice.id, "Shared").id)
    kept = live_database.kept()
    assert len(kept.shares) == 1
    damaged = tmp_path / "damaged.db"
    monkeypatch.setattr(live_database, "live_path", lambda: damaged)
    # On a new server nothing was revoked.
    assert live_database.kept().shares == {}
    damaged.write_bytes(b"no database" * 1000)
    assert live_database.kept().shares is None


def test_links_made_since_the_archive_are_back_when_the_restore_fails(
    archive, alice, bob, monkeypatch
):
    token = shares.share(alice.id, lists.create(alice.id, "Shared").id).token
    test_a_failure_after_the_load_brings_everything_back(archive, alice, bob, monkeypatch)
    assert [row.token for row in ListShare.select()] == [token]


def test_what_was_chosen_at_tmdb_comes_back(library):
    imdb_id = "tt0000001"
    TmdbLink.create(title=imdb_id, tmdb_id=550, media_type="movie")
    archive = archives.create("manual")
    TmdbLink.update(tmdb_id=551).execute()
    job, _ = restore.request(archive.timestamp)
    assert do(job).state == "done"
    assert TmdbLink.get_by_id(imdb_id).tmdb_id == 550


def test_the_safety_archive_brings_back_what_the_restore_replaced(archive, alice, bob):
    change_everything(alice, bob)
    replaced, posters = rows(), poster_files()
    job, token = restore.request(archive.timestamp)
    do(job)
    safety = restore.outcome(token).safety
    assert archive_files.entry(archive_files.path_of(safety)).kind == "before-restore"
    job, _ = restore.request(safety)
    assert do(job).state == "done"
    assert rows() == replaced
    assert poster_files() == posters


def test_the_address_of_the_outcome_is_good_for_a_week(archive, frozen_clock):
    job, token = restore.request(archive.timestamp)
    do(job)
    frozen_clock.move(7 * DAY - 60)
    assert restore.outcome(token).state == "done"
    frozen_clock.move(120)
    assert restore.outcome(token) is None


def test_sessions_and_tokens_end_and_old_passwords_work(archive, alice, bob, as_user, client):
    old = as_user(alice)
    User.update(token_version=7).where(User.id == alice.id).execute()
    accounts.set_password(bob, "another password")
    job, _ = restore.request(archive.timestamp)
    do(job)
    assert User.get_by_id(alice.id).token_version == 8
    assert User.get_by_id(bob.id).token_version > 0
    assert old.get("/api/movies").status_code == 401
    answer = client.post(
        "/api/auth/login", json={"email": "bob@example.org", "password": "correct horse battery"}
    )
    assert answer.status_code == 200


def test_no_token_of_an_account_that_was_deleted_since_is_valid_again(archive, bob, as_user):
    accounts.set_password(bob, "another password")
    stolen = as_user(User.get_by_id(bob.id))
    assert stolen.get("/api/movies").status_code == 200
    accounts.remove(bob)
    job, _ = restore.request(archive.timestamp)
    assert do(job).state == "done"
    assert stolen.get("/api/movies").status_code == 401


def test_posters_that_pages_fetch_meanwhile_are_no_hindrance(archive, monkeypatch):
    before = poster_files()
    put_poster("b.jpg")
    real, fetched = shutil.rmtree, []

    def rmtree(path, **more):
        real(path, **more)
        if path == config.current.posters_dir and len(fetched) < 3:
            fetched.append(put_poster("c.jpg"))

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    job, _ = restore.request(archive.timestamp)
    assert do(job).state == "done"
    assert len(fetched) == 3
    assert poster_files() == before


def test_what_tells_of_this_server_stays(archive, alice):
    heartbeat.beat()
    live = {
        "provider.tmdb": {"reason": "x", "key": "another", "since": 1.0, "paused_until": None},
        "omdb.calls": {"count": 3, "day": "2026-01-01", "key": "another"},
        "rechecked_at": 5.0,
        "problem.recheck": {"text": "Old backups could not be checked."},
        "archives.last": 9,
    }
    for key, value in live.items():
        models.put_setting(key, value)
    seen_at = heartbeat.last_beat()
    job, _ = restore.request(archive.timestamp)
    do(job)
    assert {key: models.setting(key) for key in live} == live
    assert heartbeat.last_beat() == seen_at


def test_of_the_catalogue_only_the_choice_is_in_an_archive(library):
    chosen = updates.choose(akas=True, directors=False, adult=False)
    models.put_setting(updates.CHECKED, clock.now())
    catalogue.put()
    archive = archives.create()
    with zipfile.ZipFile(archive_files.path_of(archive.timestamp)) as file:
        assert file.namelist() == ["metadata.json", "database.db", "settings.json"]
    updates.remove()
    job, _ = restore.request(archive.timestamp)
    assert do(job).state == "done"
    assert updates.choice() == chosen
    assert not store.is_there()
    # Not what was true of another server: it is fetched at once.
    assert updates.start_if_due()


def test_what_the_archive_tells_of_its_server_is_left_out(library, alice):
    models.put_setting("problem.recheck", {"text": "Something of then."})
    archive = archives.create()
    Setting.delete().where(Setting.key == "problem.recheck").execute()
    job, _ = restore.request(archive.timestamp)
    do(job)
    assert models.setting("problem.recheck") is None


def test_settings_are_restored_only_if_chosen(library):
    settings.put_archives(ArchiveSchedule(enabled=True, keep_last=3))
    archive = archives.create()
    settings.put_archives(ArchiveSchedule(keep_last=5))
    job, _ = restore.request(archive.timestamp, settings=False)
    do(job)
    assert settings.archives().keep_last == 5
    job, _ = restore.request(archive.timestamp)
    do(job)
    assert settings.archives().keep_last == 3


def test_settings_that_cannot_be_written_beside_a_damaged_file_are_said_before_anything_is_done(
    library, alice, bob
):
    stored_settings.write({"OMDB_DAILY_LIMIT": "500"})
    archive = archives.create("manual", posters=True)
    change_everything(alice, bob)
    config.current.settings_file.write_text("{")
    before = rows()
    job, _ = restore.request(archive.timestamp)
    assert do(job).state == "failed"
    shown = restore_state.read().shown
    assert (shown.step, shown.message) == ("check", stored_settings.UNREADABLE)
    assert rows() == before
    assert config.current.settings_file.read_text() == "{"
    job, _ = restore.request(archive.timestamp, settings=False)
    assert do(job).state == "done"


def test_a_key_that_an_archive_replaces_is_kept_beside_the_settings(library):
    """No archive holds it: the one that is made before a restore has no keys."""
    stored_settings.write({"TMDB_API_KEY": "the-key-of-the-archive"})
    archive = archives.create(secrets=True)
    stored_settings.write({"TMDB_API_KEY": "the-key-of-now", "OMDB_API_KEY": "another-one"})
    job, _ = restore.request(archive.timestamp)
    do(job)
    assert config.current.tmdb_api_key == "the-key-of-the-archive"
    [kept] = config.current.data_dir.glob("settings.before-*.json")
    texts = stored_settings.read(kept)
    assert texts == {"TMDB_API_KEY": "the-key-of-now", "OMDB_API_KEY": "another-one"}
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    [warning] = restore_state.read().shown.warnings
    assert str(kept) in warning
    assert "the-key" not in warning
    # The same ones again replace nothing.
    job, _ = restore.request(archive.timestamp)
    do(job)
    assert [kept] == list(config.current.data_dir.glob("settings.before-*.json"))


def test_marks_of_rows_are_new_dense_and_in_the_old_order(library, alice):
    for number in range(3):
        Tombstone.create(user=alice, kind="movie", key=str(number), deleted_at=1.0, updated_at=5.0)
    archive = archives.create()
    put(alice, many(3, start=400))

    def marks():
        tables = (Person, Movie, Tombstone, models.CustomList, models.SavedView)
        return {
            (table.__name__, row._pk): row.updated_at for table in tables for row in table.select()
        }

    newest = max(marks().values())
    job, _ = restore.request(archive.timestamp)
    clock_before = models.setting("clock")
    before = archived_marks(archive)
    do(job)
    after = marks()
    epoch = models.epoch()
    assert epoch > max(newest, clock_before)
    assert min(after.values()) > epoch
    assert max(after.values()) < models.setting("clock")
    assert max(after.values()) - epoch < len(after) * 2 * models.CLOCK_STEP
    assert set(after) == set(before)
    by_before = sorted(before, key=lambda row: before[row])
    for one, other in itertools.pairwise(by_before):
        assert (before[one] == before[other]) == (after[one] == after[other])
        assert after[one] <= after[other]


def archived_marks(archive):
    path = config.current.tmp_dir / "look.db"
    with zipfile.ZipFile(archive_files.path_of(archive.timestamp)) as zipped:
        path.write_bytes(zipped.read("database.db"))
    found = {}
    with contextlib.closing(sqlite3.connect(path)) as looked:
        for table, key in (
            (Person, "id"),
            (Movie, "id"),
            (models.CustomList, "pk"),
            (models.SavedView, "pk"),
            (Tombstone, "id"),
        ):
            name = table._meta.table_name
            for pk, mark in looked.execute(f"SELECT {key}, updated_at FROM {name}"):
                found[table.__name__, pk] = mark
    path.unlink()
    return found


def test_jobs_of_the_archive_are_ended_and_ten_minute_undos_are_gone(library, alice):
    queued = jobs.create("backup", alice.id, {"kind": "manual"})
    UndoStep.create(token="t", user=alice, rows={}, after="x", created_at=1.0)
    archive = archives.create()
    queued.delete_instance()
    job, _ = restore.request(archive.timestamp)
    do(job)
    assert Job.get_by_id(queued.id).state == "failed"
    assert "whole server was restored" in Job.get_by_id(queued.id).message
    assert UndoStep.select().count() == 0
    assert jobs.recover() == ([], [])


def test_the_same_job_delivered_twice_restores_once(archive, alice):
    job, token = restore.request(archive.timestamp)
    do(job)
    finished_at = restore.outcome(token).finished_at
    put(alice, many(2, start=700))
    do(job)
    assert restore.outcome(token).finished_at == finished_at
    assert Movie.get_or_none(Movie.title == "tt0000700")


def test_only_the_posters(archive, alice, bob, as_user):
    change_everything(alice, bob)
    before, client = rows(), as_user(alice)
    job, _ = restore.request(archive.timestamp, database=False, settings=False)
    do(job)
    assert rows() == before
    assert list(poster_files()) == ["w342/a.jpg"]
    assert client.get("/api/movies").status_code == 200


def test_without_posters_those_of_this_server_stay_and_missing_ones_are_looked_for(library, alice):
    archive = archives.create(posters=False)
    models.put_setting("posters.mark", [1.0, "tt0000001"])
    posters = poster_files()
    job, token = restore.request(archive.timestamp)
    do(job)
    assert poster_files() == posters
    assert models.setting("posters.mark") is None
    assert restore.outcome(token).warnings == []


def test_an_archive_without_a_database_restores_the_rest(library, alice, bob):
    archive = archives.create(database=False, posters=True)
    change_everything(alice, bob)
    before = rows()
    job, token = restore.request(archive.timestamp)
    assert do(job).state == "done"
    assert rows() == before
    assert list(poster_files()) == ["w342/a.jpg"]
    assert "The archive has no database" in restore.outcome(token).warnings[0]


def test_a_damaged_archive_is_refused_and_nothing_changes(archive, alice):
    path = archive_files.path_of(archive.timestamp)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    before = rows()
    job, token = restore.request(archive.timestamp)
    job = do(job)
    assert job.state == "failed"
    assert job.message.startswith("Backup file is corrupted: ")
    assert restore.outcome(token).message == job.message
    assert rows() == before
    assert archives.listing()[0].kind == "manual"
    no_traces()


def repacked(archive, name, **changes):
    """The archive with another metadata.json, or with other rows in its database."""
    path = archive_files.path_of(archive.timestamp)
    target = path.with_name(name)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as made:
        for member in source.namelist():
            data = source.read(member)
            if member == "metadata.json":
                data = json.dumps({**json.loads(data), **changes}).encode()
            made.writestr(member, data)
    return target


def test_an_archive_of_a_newer_version_is_refused(archive, alice):
    repacked(archive, "moviemanager-backup-2026-01-01-00-00-00.zip", version=2)
    with pytest.raises(InvalidError):
        restore.request("2026-01-01-00-00-00")
    assert restore_state.read() is None


def test_what_is_not_there_cannot_be_restored(library):
    with pytest.raises(NotFoundError):
        restore.request("2020-01-01-00-00-00")


def test_an_archive_that_is_gone_when_its_turn_comes_changes_nothing(archive, alice):
    put(alice, many(3, start=200))
    before = rows()
    job, _ = restore.request(archive.timestamp)
    archives.delete(archive.timestamp)
    job = do(job)
    assert (job.state, job.message) == ("failed", "The archive is gone, so nothing was changed.")
    assert rows() == before
    no_traces()


@pytest.mark.parametrize("hours", [-30, 2])
def test_nobody_is_surprised_by_a_restore_that_waited_for_the_worker(archive, alice, hours):
    job, token = restore.request(archive.timestamp)
    record = restore_state.read()
    record.shown.started_at -= hours * 3600
    restore_state.write(record)
    put(alice, many(3, start=200))
    before = rows()
    job = do(job)
    assert job.state == "failed"
    assert job.message.startswith("The worker was not running for over an hour")
    assert restore.outcome(token).state == "failed"
    assert rows() == before
    no_traces()


def test_posters_and_settings_are_on_the_disk_before_anything_is_replaced(archive, monkeypatch):
    synced = []
    monkeypatch.setattr("os.sync", lambda: synced.append(restore_state.read().shown.step))
    job, _ = restore.request(archive.timestamp)
    assert do(job).state == "done"
    assert synced == ["check"]


def test_two_at_once(archive):
    job, _ = restore.request(archive.timestamp)
    with pytest.raises(ConflictError, match="A restore of the whole server"):
        restore.request(archive.timestamp)
    assert restore_state.read().job_id == job.id
    with locks.hold("server"), pytest.raises(locks.BusyError):
        restore.at_once(archive_files.path_of(archive.timestamp))


def test_work_that_does_not_end_is_named_and_nothing_changes(archive, alice, monkeypatch):
    monkeypatch.setattr(restore_steps, "DRAIN_SECONDS", 0.3)
    running = jobs.create("import", alice.id)
    Job.update(state="running").where(Job.id == running.id).execute()
    job, _ = restore.request(archive.timestamp)
    before = rows()
    with locks.hold(f"job-{running.id}"):
        job = do(job)
    assert job.state == "failed"
    assert job.message.startswith("Cannot restore while database is in use: an import is running.")
    assert rows() == before
    assert len(archives.listing()) == 1
    no_traces()


def test_an_import_that_runs_is_waited_for(archive, alice):
    """And then it is part of the safety archive."""
    running = jobs.create("import", alice.id)
    Job.update(state="running").where(Job.id == running.id).execute()
    at_work, may_end = threading.Event(), threading.Event()

    def work():
        with db.connection_context(), locks.hold(f"job-{running.id}"):
            at_work.set()
            may_end.wait(5)
            put(alice, many(5, start=900))

    thread = threading.Thread(target=work)
    thread.start()
    at_work.wait(5)
    job, token = restore.request(archive.timestamp)
    threading.Timer(0.3, may_end.set).start()
    assert do(job).state == "done"
    thread.join()
    assert Movie.get_or_none(Movie.title == "tt0000900") is None
    job, _ = restore.request(restore.outcome(token).safety)
    do(job)
    assert Movie.get_or_none(Movie.title == "tt0000900")


def test_a_writer_that_does_not_end_is_no_reason_to_wait_for_ever(archive, monkeypatch):
    monkeypatch.setattr(databases, "LOCK_SECONDS", 0.3)
    before = rows()
    writer = sqlite3.connect(config.current.data_dir / "mm.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    path = archive_files.path_of(archive.timestamp)
    try:
        with pytest.raises(UserError, match=live_database.IN_USE):
            restore.at_once(path, progress=lambda text: None)
    finally:
        writer.execute("ROLLBACK")
        writer.close()
    assert rows() == before
    no_traces()


def test_a_failure_after_the_load_brings_everything_back(archive, alice, bob, monkeypatch):
    change_everything(alice, bob)
    before, posters = rows(), poster_files()

    def fails(report):
        raise InvalidError("The restored database is damaged: so it seems.")

    steps = tuple(
        fails if step is restore_steps.verify else step for step in restore_steps.FROM_LOAD
    )
    monkeypatch.setattr(restore_steps, "FROM_LOAD", steps)
    job, token = restore.request(archive.timestamp)
    job = do(job)
    assert job.state == "failed"
    assert job.message.endswith("What was there before the restore is back.")
    assert restore.outcome(token).state == "failed"
    assert rows() == before
    assert poster_files() == posters
    no_traces()


def test_an_error_that_nobody_foresaw_has_a_code_and_changes_nothing(archive, monkeypatch):
    def fails(*args):
        raise RuntimeError("bug")

    monkeypatch.setattr(restore_steps.staging, "keep_live_values", fails)
    before = rows()
    job, _ = restore.request(archive.timestamp)
    job = do(job)
    assert job.state == "failed"
    assert "code" in job.message
    assert rows() == before
    no_traces()


def test_no_room_is_said_before_anything_is_done(archive, monkeypatch):
    monkeypatch.setattr(disk, "free_bytes", lambda folder: 10_000)
    with pytest.raises(NoRoomError, match=r"Not enough disk space: .* needed"):
        restore.request(archive.timestamp)


@pytest.mark.parametrize("fixture", ["0.1.0", "0.2.0-0002"])
def test_an_archive_of_an_older_version_is_upgraded(library, alice, fixture):
    """Made as that version would have: of its database."""
    archive = archives.create()
    older = config.current.tmp_dir / "older.db"
    shutil.copy(config.ROOT / "tests/fixtures" / fixture / "mm.db", older)
    path = archived_as_by_then(archive, older)
    shown = restore.at_once(path, progress=lambda text: None)
    db.obj.accept_restored()
    assert "Backup from older version, may have issues" in shown.warnings
    assert shown.users == User.select().count() > 0
    with contextlib.closing(sqlite3.connect(older)) as looked:
        names = {name for (name,) in looked.execute("SELECT username FROM user")}
    assert {user.username for user in User.select()} == names


def archived_as_by_then(archive, database):
    path = archive_files.path_of(archive.timestamp)
    target = path.with_name("moviemanager-backup-2025-01-01-00-00-00.zip")
    data = database.read_bytes()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as made:
        metadata = json.loads(source.read("metadata.json"))
        digest = hashlib.sha256(data).hexdigest()
        metadata["members"]["database.db"] = {"size_bytes": len(data), "sha256": digest}
        metadata["database_size_bytes"] = len(data)
        metadata["schema"] = databases.migrations_of(database)[-1]
        metadata["rows"] = databases.rows_of(database)
        made.writestr("metadata.json", json.dumps(metadata))
        made.writestr("database.db", data)
        made.writestr("settings.json", source.read("settings.json"))
    return target


@pytest.mark.parametrize("content", [b'"\xff"', b'{"x": ' + b"[" * 100_000, b"", b"[]"])
def test_a_damaged_record_of_the_last_restore_keeps_nobody_from_the_next(archive, content):
    restore_state.path_of_file().write_bytes(content)
    assert restore.recover() is None
    assert restore.outcome("x") is None
    job, _ = restore.request(archive.timestamp)
    assert do(job).state == "done"
