"""What a server without an account knows of files: what they are, which of them waits, what lies
on the disk, what came of one; and the code that whoever sets it up types."""

import json
import os
import signal
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from peewee import fn

from mm import clock, config
from mm.database import db
from mm.errors import ConflictError, InvalidError, NotFoundError, TooLargeError, UnusableFileError
from mm.models import Movie, Person, User
from mm.schemas import Problem
from mm.schemas.first_run import Found, TakenOver, TakenUser
from mm.services import accounts
from mm.services.backup import backups
from mm.services.library import movies
from mm.services.server import all_users, archive_files, archives
from mm.services.server.first_run import code, confirming, found, kept, library, offers, outcome
from mm.services.sync import feed
from tests.conftest import PASSWORD
from tests.support.libraries import as_bytes, document, many
from tests.support.original import make_original

ACCOUNT = {"email": "ann@example.org", "username": "ann", "password": PASSWORD}
FOUND = Found("library", "a.json", None, "somebody", 1, 0)


@pytest.fixture
def file(tmp_path):
    """file(data, name): its path."""

    def write(data, name="file"):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
        return path

    return write


def empty():
    User.delete().execute()
    accounts._forget_that_any_exist()


@pytest.fixture
def left(database):
    """What two users and their films left on the disk of a server that is empty now: their ids."""
    ids = []
    for name in ("ann", "bob"):
        user = accounts.create(f"{name}@example.org", name, PASSWORD, is_admin=name == "ann")
        movies.add(user.id, "tt0111161")
        backups.create(user)
        ids.append(user.id)
    archives.create("manual")
    all_users.write_latest()
    empty()
    return ids


# The code.


def test_the_code_is_three_groups_that_stay_and_only_the_owner_reads(app):
    text = code.ensure()
    assert [len(group) for group in text.split("-")] == [4, 4, 4]
    assert not set("01ILOS5B8Z2") & set(text)
    assert code.ensure() == text
    assert stat.S_IMODE(config.current.setup_code_file.stat().st_mode) == 0o600


def test_the_code_is_read_as_people_type_it(app):
    text = code.ensure()
    for typed in (text, text.lower(), text.replace("-", ""), f" {text.replace('-', ' ')}\n"):
        assert code.matches(typed)
    for typed in ("", "-", text[:-1], f"{text}A", "ÄÖÜ", "\ud800", "\0"):
        assert not code.matches(typed)


@pytest.mark.parametrize("text", ["", "ABC", "0000-0000-0000", "\x00" * 14])
def test_a_damaged_code_is_none_and_makes_room_for_another(app, text):
    config.current.setup_code_file.write_text(text)
    assert not code.matches(text)
    assert code.matches(code.ensure())


def test_without_a_file_nothing_is_the_code(app):
    assert not code.matches("")
    code.forget()


# Who is here.


def test_whether_anybody_has_an_account_is_asked_until_somebody_has(database):
    assert not accounts.exist()
    accounts.create_first(**ACCOUNT)
    assert accounts.exist()
    assert User.get().is_admin


def test_the_first_account_is_only_the_first(database, bob):
    with pytest.raises(ConflictError):
        accounts.create_first(**ACCOUNT)
    assert [user.username for user in User.select()] == ["bob"]


# What a file is.


def test_a_library_is_known_by_its_content_whatever_it_is_called(database, file):
    path = file(as_bytes(document(**many(12))))
    told = found.look_at(path, "films.txt")
    assert (told.kind, told.source, told.films) == ("library", "films.txt", 12)


def test_an_archive_names_its_version_and_how_much_it_holds(left, file):
    path = archive_files.folder() / archive_files.entries()[0].filename
    told = found.look_at(path, path.name)
    assert (told.kind, told.users_count, told.films) == ("archive", 2, 2)
    assert told.made_by.startswith("Movie Manager 0.")
    brought = found.look_at(file(path.read_bytes()), "from-home.zip")
    assert (brought.kind, brought.users_count, brought.films) == ("archive", 2, 2)
    assert brought.made_at


def test_an_archive_without_accounts_could_not_be_logged_in_to(database, file):
    accounts.create(**ACCOUNT)
    entry = archives.create("manual", database=False)
    with pytest.raises(UnusableFileError, match="no accounts"):
        found.look_at(archive_files.folder() / entry.filename, entry.filename)


def test_a_truncated_archive_says_why(left, file):
    data = (archive_files.folder() / archive_files.entries()[0].filename).read_bytes()
    with pytest.raises(UnusableFileError, match=r"(?i)corrupted|incomplete"):
        found.look_at(file(data[: len(data) // 2]), "a.zip")


def test_an_export_of_all_users_and_a_database_of_the_original_are_known(left, file, tmp_path):
    told = found.look_at(config.current.startup_dir / all_users.LATEST, all_users.LATEST)
    assert (told.kind, [user.username for user in told.users]) == ("all-users", ["ann", "bob"])
    make_original(tmp_path / "app.db", users=2, films=3)
    told = found.look_at(tmp_path / "app.db", "app.db")
    assert (told.kind, told.users_count) == ("original", 2)


@pytest.mark.parametrize("cut", [1, 100, 400])
def test_a_truncated_export_of_all_users_is_an_invalid_file(left, file, cut):
    data = (config.current.startup_dir / all_users.LATEST).read_bytes()
    with pytest.raises(UnusableFileError, match=r"Invalid JSON file\."):
        found.look_at(file(data[:cut]), "backup_latest.json")


def test_a_library_that_is_too_large_is_not_read(database, file, monkeypatch):
    monkeypatch.setattr("mm.services.portable.FILE_MAX", 10)
    with pytest.raises(TooLargeError):
        found.look_at(file(as_bytes(document(**many(2)))), "a.json")


# The file that waits.


def test_one_file_waits_until_another_one_is_chosen(app, file):
    first = kept.keep_upload(file(b"one"), FOUND)
    second = kept.keep_upload(file(b"two"), FOUND)
    assert kept.waiting().id == second.id
    assert not first.file.exists()
    assert stat.S_IMODE(kept.folder().stat().st_mode) == 0o700
    with pytest.raises(ConflictError):
        kept.waiting(first.id)


def test_choosing_what_lies_on_the_disk_leaves_it_there(app, file):
    path = file(b"on the disk")
    upload = kept.keep_upload(file(b"uploaded", "other"), FOUND)
    assert kept.keep_in_place(path, FOUND).file == path
    assert not upload.file.exists()
    kept.forget()
    assert path.read_bytes() == b"on the disk"
    with pytest.raises(NotFoundError):
        kept.waiting()


def test_a_file_waits_for_a_day(app, file, frozen_clock):
    kept.keep_upload(file(b"one"), FOUND)
    frozen_clock.move(86_000)
    kept.sweep()
    assert kept.waiting()
    frozen_clock.move(1000)
    with pytest.raises(NotFoundError):
        kept.waiting()
    kept.sweep()
    assert not kept.folder().exists()


@pytest.mark.parametrize("text", [b"", b"{", b"{}", b"\xff"])
def test_a_damaged_note_of_it_is_as_good_as_none(app, file, text):
    kept.keep_upload(file(b"one"), FOUND)
    (kept.folder() / "found.json").write_bytes(text)
    with pytest.raises(NotFoundError):
        kept.waiting()
    kept.sweep()


# What lies on the disk.


def test_an_empty_disk_offers_nothing(database):
    assert offers.listing() == []


def test_each_kind_is_offered_and_of_each_user_the_newest_good_backup(left, frozen_clock):
    place = offers.original_path()
    place.parent.mkdir()
    make_original(place, users=1, films=1, backups=1)
    bobs = config.current.backups_dir / left[1]
    for path in bobs.glob("*.json"):
        path.write_text("damaged")
    kinds = [(offer.kind, offer.what) for offer in offers.listing()]
    assert kinds == [
        ("archive", "2 users, 2 films"),
        ("all-users", ""),
        ("original", "with its backups"),
        ("library", "1 film"),
    ]
    assert offers.find(left[0]).user_id == left[0]
    assert found.backups_beside(place) == place.parent / "backups"
    with pytest.raises(NotFoundError):
        offers.find(left[1])


def test_a_damaged_archive_is_not_offered(left):
    for path in archive_files.folder().glob("*.zip"):
        path.write_bytes(b"damaged")
    assert "archive" not in [offer.kind for offer in offers.listing()]


# The outcome.


def test_the_outcome_is_at_its_address_for_a_week(app, frozen_clock):
    taken = TakenOver([TakenUser("ann", "ann@example.org", 3, problems=[Problem("a", "b")])])
    token = outcome.new_token()
    outcome.store(taken, token)
    assert outcome.read(token) == taken
    path = config.current.data_dir / "first_run.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token not in path.read_text()
    for other in ("", "x", token[:-1], f"{token}x"):
        with pytest.raises(NotFoundError):
            outcome.read(other)
    frozen_clock.move(7 * 86400 + 1)
    with pytest.raises(NotFoundError):
        outcome.read(token)
    outcome.sweep()
    assert not path.exists()


# Taking over.


def test_a_library_and_its_administrator_come_together_or_not_at_all(database, file):
    path = file(as_bytes(document(**many(5))))
    with pytest.raises(InvalidError):
        library.take_over(path, "a.json", "no address", "ann", PASSWORD)
    assert not User.select().exists()
    taken = library.take_over(path, "a.json", **ACCOUNT)
    assert [(user.username, user.films) for user in taken.users] == [("ann", 5)]
    with pytest.raises(ConflictError):
        library.take_over(path, "a.json", "bob@example.org", "bob", PASSWORD)
    assert (User.select().count(), Movie.select().count()) == (1, 5)


def test_a_file_larger_than_an_import_comes_where_this_server_wrote_it(left, monkeypatch):
    monkeypatch.setattr("mm.services.portable.FILE_MAX", 10)
    offer = offers.find(left[0])
    kept.keep_in_place(offer.path, found.look_at(offer.path, offer.path.name), offer.user_id)
    typed = {**ACCOUNT, "admin": ""}
    token = confirming.take_over(kept.waiting(), typed)
    assert outcome.read(token).users[0].films == 1
    assert User.get().id == left[0]


def test_everybody_of_the_original_comes_with_the_administrator_that_was_chosen(database, file):
    place = offers.original_path()
    place.parent.mkdir()
    made = make_original(place, users=2, films=4)
    told = found.look_at(place, "app.db")
    kept.keep_in_place(place, told)
    with pytest.raises(InvalidError) as refused:
        confirming.take_over(kept.waiting(), {**ACCOUNT, "admin": ""})
    assert refused.value.errors[0].path == "admin"
    assert not User.select().exists()
    chosen = told.users[1]
    confirming.take_over(kept.waiting(), {**ACCOUNT, "admin": chosen.id})
    assert [user.id for user in User.select().where(User.is_admin)] == [chosen.id]
    assert made
    assert all(accounts.log_in(f"user{number}", f"old pass {number}") for number in range(2))


def test_who_comes_back_from_a_backup_logs_in_again_and_phones_load_everything_anew(left, as_user):
    """The database is lost, the key of the server is not."""
    offer = offers.find(left[0])
    phone = as_user(User(id=left[0], token_version=0))
    known = clock.now()
    kept.keep_in_place(offer.path, found.look_at(offer.path, offer.path.name), offer.user_id)
    confirming.take_over(kept.waiting(), {**ACCOUNT, "admin": ""})
    assert User.get().id == left[0]
    assert feed.everything_since(left[0], known).feed.reset
    assert Person.select(fn.MIN(Person.id)).scalar() > known
    # Which opens a connection of its own.
    with ThreadPoolExecutor() as pool:
        assert pool.submit(phone.get, "/api/movies").result().status_code == 401


@pytest.mark.parametrize("kind", ["library", "all-users", "original"])
def test_nobody_comes_where_it_cannot_be_kept_who_came_and_what_was_left_out(left, file, kind):
    app_db = file(b"", "app.db")
    make_original(app_db, users=1, films=4)
    path = {
        "library": file(as_bytes(document(**many(5)))),
        "all-users": config.current.startup_dir / all_users.LATEST,
        "original": app_db,
    }[kind]
    kept.keep_in_place(path, found.look_at(path, path.name))
    in_the_way = config.current.data_dir / "first_run.json"
    in_the_way.mkdir()
    typed = {**ACCOUNT, "admin": "user0"}
    with pytest.raises(OSError):
        confirming.take_over(kept.waiting(), typed)
    assert not User.select().exists()
    assert not Movie.select().exists()
    in_the_way.rmdir()
    token = confirming.take_over(kept.waiting(), typed)
    assert len(outcome.read(token).users) == User.select().count() > 0


def test_what_came_of_the_settings_of_all_libraries_is_told_too(left):
    path = config.current.startup_dir / all_users.LATEST
    path.write_text(path.read_text().replace('"settings":{', '"settings":{"NEWER":7,', 1))
    kept.keep_in_place(path, found.look_at(path, path.name))
    told = outcome.read(confirming.take_over(kept.waiting(), {**ACCOUNT, "admin": ""}))
    assert "Settings that this version cannot use were left out: unknown ones." in told.warnings


@pytest.mark.processes
@pytest.mark.sqlite
def test_killed_at_any_statement_the_server_is_empty_and_can_be_set_up(app, file):
    """By a signal that no process outlives, in the middle of the take-over of one library."""
    path = file(as_bytes(document(**many(30, 2))))

    def take(last, count_into=None):
        """Dies at the statement of this number; 0: takes all back, and writes how many there
        were."""
        statements = 0

        def note(_sql):
            nonlocal statements
            statements += 1
            if statements == last:
                os.kill(os.getpid(), signal.SIGKILL)

        with db.connection_context():
            db.connection().set_trace_callback(note)
            with db.atomic() as all_of_it:
                library.take_over(path, "a.json", **ACCOUNT)
                if count_into:
                    all_of_it.rollback()
                    Path(count_into).write_text(str(statements))

    counted = path.with_name("count")
    assert not killed(lambda: take(0, counted))
    total = int(counted.read_text())
    for last in range(2, total, max(1, total // 8)):
        assert killed(lambda last=last: take(last))
        with db.connection_context():
            assert not accounts.exist()
            assert not Movie.select().exists()
    with db.connection_context():
        library.take_over(path, "a.json", **ACCOUNT)
        assert Movie.select().count() == 30


def killed(work):
    """Do it in a process of its own; whether that was killed."""
    if not db.is_closed():
        db.close()
    db.obj.release()
    process = os.fork()
    if not process:
        try:
            work()
        finally:
            os._exit(3)
    _, status = os.waitpid(process, 0)
    return os.WIFSIGNALED(status)
