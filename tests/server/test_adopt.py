"""The original's app.db moves in: everybody with the old password, and every row there or named."""

import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from mm import config
from mm.database import db
from mm.errors import ConflictError, InvalidError, UnusableFileError
from mm.models import Movie, Setting, User
from mm.services import accounts, portable
from mm.services.backup import backups, quotas, verification
from mm.services.backup import files as backup_files
from mm.services.server.first_run import adopt, code, original, original_backups
from tests.support.original import make_original

OURS = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "elsewhere" / "app.db"
    path.parent.mkdir()
    return path


@pytest.fixture
def folder(file):
    """Of the original's backups."""
    return file.parent / "backups"


@pytest.fixture
def connected(app):
    with db.connection_context():
        yield app


@pytest.fixture
def run(app):
    """Run `adopt …`; its exit code must be the one expected, and what it printed comes back."""
    runner = app.test_cli_runner()

    def run(*arguments, exit_code=0, **values):
        result = runner.invoke(args=("adopt", *map(str, arguments)), **values)
        assert result.exit_code == exit_code, result.output
        return result.output

    return run


def changed(file, *statements):
    """The file after these statements."""
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def everything():
    """Every row of every table, as text."""
    tables = sorted(db.obj.get_tables())
    return {
        table: [repr(row) for row in db.obj.execute_sql(f'SELECT * FROM "{table}"')]
        for table in tables
    }


def all_said(taken):
    problems = [f"{row.path}: {row.reason}" for user in taken.users for row in user.problems]
    warnings = [text for user in taken.users for text in user.warnings]
    return [*taken.left_out, *taken.warnings, *problems, *warnings]


def row_of(entry, names):
    """The named values of an entry of a document."""
    return {name: getattr(entry, name) for name in names}


def plain_movie(movie):
    """As tests/support/original has it: without what the original did not know."""
    row = row_of(
        movie,
        (
            "imdb_id",
            "title",
            "year",
            "media_type",
            "status",
            "custom_list_id",
            "date_added",
            "last_modified",
        ),
    )
    names = ("person_name", "date_recommended", "vote_type")
    row["recommendations"] = [row_of(vote, names) for vote in movie.recommendations]
    watch = movie.watch_history
    row["watch_history"] = row_of(watch, ("date_watched", "my_rating")) if watch else None
    return row


# Everybody, and every row.


@pytest.mark.parametrize("version", ["head", "0bb39be"])
def test_every_row_of_everybody_comes_along(connected, file, folder, version):
    made = make_original(file, version)
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    found = original.inspect(file, "app.db", folder)
    assert (found.kind, found.users_count, found.backups) == ("original", 3, 9)
    assert found.made_by.endswith("with rankings") == (version == "head")
    taken = adopt.adopt(file, admin="user1", backups=folder)
    assert all_said(taken) == []
    assert [user.films for user in taken.users] == [user.films for user in found.users]
    for user_id, user in made["users"].items():
        document, library = portable.dump(user_id), user["library"]
        assert [plain_movie(movie) for movie in document.movies] == library["movies"]
        expected = sorted(library["people"], key=lambda person: person["name"])
        names = expected[0].keys()
        people = [row_of(person, names) for person in document.people]
        assert [person for person in people if person["name"] not in NOT_THERE] == expected
        names = library["lists"][0].keys()
        assert [row_of(each, names) for each in document.lists] == library["lists"]
        rankings = [
            row_of(row, ("imdb_id", "liked", "ranked_at", "position")) for row in document.rankings
        ]
        key = ("liked", "position")
        assert sorted(rankings, key=lambda row: [row[name] for name in key]) == sorted(
            library["rankings"], key=lambda row: [row[name] for name in key]
        )
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before
    assert sorted(path.name for path in file.parent.iterdir()) == ["app.db", "backups"]


# Of the four quick recommenders those that the original of the tests does not have.
NOT_THERE = {"Random Person", "Google Search"}


def test_accounts_stay_as_they_were(connected, file):
    made = make_original(file, films=3)
    changed(file, "UPDATE users SET is_active = 0 WHERE username = 'user2'")
    adopt.adopt(file, admin="USER0@example.org")
    for user_id, expected in made["users"].items():
        user = User.get_by_id(user_id)
        assert (user.username, user.email) == (expected["username"], expected["email"])
        assert (user.created_at, user.is_admin) == (
            expected["created_at"],
            expected["username"] == "user0",
        )
        assert user.backup_enabled == expected["backup_enabled"]
        is_active = expected["username"] != "user2"
        assert user.is_active == is_active
        for name in (expected["username"], expected["email"]):
            found = accounts.log_in(name, expected["password"])
            assert (found is not None) == is_active
        assert accounts.log_in(user.username, "wrong") is None
        assert ("$" in User.get_by_id(user_id).password_hash[64:65]) != is_active


def test_everybody_logs_in_with_the_old_password(run, app, file):
    made = make_original(file, films=1)
    run(file, "--yes", "--admin", "user0")
    for user in made["users"].values():
        for name in (user["email"], user["username"]):
            for password, status in (("wrong", 401), (user["password"], 200)):
                answer = app.test_client().post(
                    "/api/auth/login", json={"email": name, "password": password}
                )
                assert answer.status_code == status
        form = {"email": user["email"], "password": user["password"]}
        client = app.test_client()
        assert client.post("/login", data=form, headers=OURS).status_code == 303
        assert client.get("/").status_code == 200


@pytest.mark.parametrize("version", ["head", "0bb39be"])
def test_of_hostile_rows_each_is_there_or_named(connected, file, folder, version):
    made = make_original(file, version, films=20, hostile=True)
    said = all_said(adopt.adopt(file, admin="user0", backups=folder))
    unnamed = [name for name in made["named"] if not re.search(rf"{name}\b", "\n".join(said))]
    assert unnamed == []
    assert [text for text in said if "[" in text] == []
    films = {movie.imdb_id: movie for movie in portable.dump(next(iter(made["users"]))).movies}
    mine = {imdb_id for imdb_id in films if imdb_id.startswith("tt9")}
    assert mine == {f"tt90000{number:02d}" for number in (4, 6, 7, 8, 9, 10, 11, 12)}
    watch = films["tt9000007"].watch_history
    assert (watch.date_watched, watch.my_rating, watch.day_known) == (1_740_000_000.0, None, True)
    assert not films["tt9000008"].watch_history.day_known
    assert (films["tt9000009"].status, films["tt9000010"].status) == ("toWatch", "toWatch")
    assert [vote.vote_type for vote in films["tt9000011"].recommendations] == [True]
    assert [vote.person_name for vote in films["tt9000012"].recommendations] == ["Zoë"]
    # Nothing of the rows beside them has changed.
    library = next(iter(made["users"].values()))["library"]
    others = [plain_movie(movie) for imdb_id, movie in films.items() if imdb_id not in mine]
    assert others == library["movies"]


ODD = (
    None,
    "",
    " ",
    "x",
    "tt1234567",
    "\0",
    "a\nb",
    "é" * 600,
    b"",
    b"\xff\x00",
    0,
    1,
    2,
    -1,
    0.5,
    1e999,
    -1e300,
    2**62,
    "1e999",
    "2026-01-31",
    "null",
    "[1]",
    "{",
    '{"title": "\\ud800", "year": 1e999}',
    '{"title": {"a": 1}, "year": true}',
    '{"name": "Ok", "first_air_date": 7}',
    "[" * 100_000,
)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_whatever_stands_in_the_columns_each_row_is_there_or_named(connected, file, seed):
    made = make_original(file, users=2, films=30, seed=seed)
    chance = random.Random(seed)
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    for table, columns in original.TABLES.items():
        for (rowid,) in connection.execute(f"SELECT rowid FROM {table}").fetchall():
            if chance.random() < 0.4:
                column = chance.choice(columns)
                with contextlib.suppress(sqlite3.IntegrityError):
                    query = f"UPDATE {table} SET {column} = ? WHERE rowid = ?"
                    connection.execute(query, (chance.choice(ODD), rowid))
    connection.execute("UPDATE people SET name = CAST(X'61FF' AS TEXT) WHERE rowid = 3")
    connection.execute("UPDATE users SET is_active = 1")
    connection.commit()
    counts = {
        table: connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
        for table in original.TABLES
    }
    connection.close()
    [first, *_] = original.inspect(file, "app.db").users
    taken = adopt.adopt(file, admin=first.id)
    assert len(taken.users) == len(made["users"])
    said = [*taken.left_out, *(row.path for user in taken.users for row in user.problems)]
    documents = [portable.dump(user.id) for user in User.select()]
    here = {
        "movies": sum(len(each.movies) for each in documents),
        "people": sum(person.quick_key is None for each in documents for person in each.people),
        "custom_lists": sum(len(each.lists) for each in documents),
        "recommendations": sum(
            len(movie.recommendations) for each in documents for movie in each.movies
        ),
        "watch_history": sum(
            movie.watch_history is not None for each in documents for movie in each.movies
        ),
        "movie_rankings": sum(len(each.rankings) for each in documents),
    }
    warnings = [text for user in taken.users for text in user.warnings]
    for table, count in here.items():
        named = {text.split(" (")[0] for text in [*said, *warnings] if text.startswith(f"{table} ")}
        # A quick recommender that lost its key is a person like others.
        quick = 4 if table == "people" else 0
        assert count + quick + len(named) >= counts[table], table


def test_a_film_on_a_list_keeps_both_its_list_and_its_status(connected, file):
    made = make_original(file, users=1, films=2)
    [user] = made["users"].values()
    chosen = user["library"]["lists"][0]["id"]
    changed(
        file,
        f"UPDATE movie_status SET status = 'toWatch', custom_list_id = '{chosen}'",
        "DELETE FROM movie_rankings",
    )
    assert all_said(adopt.adopt(file)) == []
    document = portable.dump(user["id"])
    assert {movie.status for movie in document.movies} == {"toWatch"}
    [films] = [each.films for each in document.lists if each.id == chosen]
    assert [film.imdb_id for film in films] == [movie.imdb_id for movie in document.movies]


def test_a_film_without_a_row_of_its_status_is_watched_where_it_has_a_watch(connected, file):
    make_original(file, users=1, films=40)
    changed(file, "DELETE FROM movie_status")
    adopt.adopt(file)
    [user] = User.select()
    movies = portable.dump(user.id).movies
    assert {(movie.status, bool(movie.watch_history)) for movie in movies} == {
        ("watched", True),
        ("toWatch", False),
    }


# Accounts that cannot be as they were.


def test_of_a_name_as_long_as_a_book_only_the_beginning_is_repeated(connected, file):
    make_original(file, users=1, films=1)
    changed(file, f"UPDATE users SET username = '{'a' * 10**6}', email = '{'b' * 10**6}'")
    [warning, about_email] = original.inspect(file, "app.db").warnings
    assert "can’t be used here" in warning
    assert "isn’t an email address" in about_email
    assert max(len(warning), len(about_email)) < 600


@pytest.mark.parametrize("what", ["id", "email"])
def test_who_is_called_what_identifies_somebody_else_is_not_taken_for_them(connected, file, what):
    make_original(file, users=2, films=1)
    changed(
        file,
        "UPDATE users SET created_at = 1000 WHERE username = 'user1'",
        f"UPDATE users SET username = (SELECT {what} FROM users WHERE username = 'user0') "
        "WHERE username = 'user1'",
    )
    meant = next(one for one in original.inspect(file, "").users if one.username == "user0")
    adopt.adopt(file, admin=getattr(meant, what))
    assert [user.username for user in User.select().where(User.is_admin)] == ["user0"]


def test_twins_that_differ_by_case_both_come_and_are_named(connected, file):
    made = make_original(file, films=2)
    changed(
        file,
        "UPDATE users SET username = 'USER0', email = 'User0@Example.org' WHERE username = 'user2'",
    )
    taken = adopt.adopt(file, admin="user0")
    first, _, third = (User.get_by_id(user_id) for user_id in made["users"])
    assert (first.username, first.email) == ("user0", "user0@example.org")
    assert (third.username, third.email) == ("USER0-2", "User0+2@Example.org")
    assert accounts.log_in("USER0-2", "old pass 2").id == third.id
    [told] = [user for user in taken.users if user.username == "USER0-2"]
    assert len(told.warnings) == 2
    assert "The name USER0 is somebody else’s too" in told.warnings[0]


def test_what_no_account_can_have_here_is_replaced_and_told(connected, file):
    second = list(make_original(file, users=2, films=2)["users"])[1]
    tables = [table for table in original.TABLES if table != "users"]
    changed(
        file,
        "UPDATE users SET id = 'ONE', username = 'a@b', email = 'nobody', created_at = 'x', "
        "hashed_password = 'plain', is_active = NULL WHERE username = 'user1'",
        *(f"UPDATE {table} SET user_id = 'ONE' WHERE user_id = '{second}'" for table in tables),
    )
    taken = adopt.adopt(file, admin="user0")
    [user] = [user for user in taken.users if user.username != "user0"]
    assert (user.username, user.people, user.lists) == ("a-b", 8, 3)
    [row] = User.select().where(User.username == "a-b")
    assert backup_files.USER_ID.fullmatch(row.id)
    assert row.email == f"user-{row.id[:8]}@example.invalid"
    assert (row.is_active, accounts.log_in("a-b", "plain")) == (False, None)
    text = "\n".join(user.warnings)
    for words in (
        "the name 'a@b'",
        "'nobody' isn’t an email",
        "new id",
        "no password",
        "created_at",
    ):
        assert words in text


def test_somebody_active_becomes_the_administrator(connected, file):
    make_original(file, films=1)
    changed(file, "UPDATE users SET is_active = 0 WHERE username = 'user2'")
    for admin in (None, "user2", "nobody"):
        with pytest.raises(InvalidError) as caught:
            adopt.adopt(file, admin=admin)
        assert caught.value.errors[0].path == "admin"
    assert not User.select().exists()


def test_the_only_account_becomes_the_administrator_unasked(connected, file):
    make_original(file, users=1, films=1)
    adopt.adopt(file)
    assert User.get().is_admin


# All or nothing.


def test_a_dry_run_tells_the_same_and_changes_nothing(connected, file, folder):
    make_original(file, films=20, hostile=True)
    before = everything()
    rehearsed = adopt.adopt(file, backups=folder, dry_run=True)
    assert everything() == before
    assert not any(config.current.backups_dir.glob("*-*"))
    assert adopt.adopt(file, admin="user0", backups=folder) == rehearsed


def test_where_one_library_fails_nobody_comes(connected, file, monkeypatch):
    make_original(file, films=3)
    before = everything()
    applied, real = [], portable.apply

    def apply(plan):
        applied.append(plan.user_id)
        if len(applied) == 3:
            raise ConflictError("No.")
        real(plan)

    monkeypatch.setattr(portable, "apply", apply)
    with pytest.raises(ConflictError):
        adopt.adopt(file, admin="user0")
    assert everything() == before


DYING = """
import os, sys
from pathlib import Path
from mm import create_app, described_files, files
from mm.database import db
from mm.services import portable
from mm.services.server.first_run import adopt

module, name, count = sys.argv[2:]
module = {"portable": portable, "os": os, "files": files}[module]
real, calls = getattr(module, name), []

def dying(*arguments, **values):
    calls.append(1)
    if len(calls) == int(count):
        os._exit(9)
    return real(*arguments, **values)

create_app()
setattr(module, name, dying)
with db.connection_context():
    file = Path(sys.argv[1])
    adopt.adopt(file, admin="user0", backups=file.parent / "backups")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    [
        "portable apply 1",
        "portable apply 3",
        "files write 1",
        "files write 4",
        "os replace 4",
        "os replace 5",
        "os replace 6",
    ],
)
def test_killed_anywhere_it_leaves_nobody_and_the_next_attempt_completes_it(
    app, file, folder, place
):
    made = make_original(file, films=20)
    with db.connection_context():
        before = everything()
    ended = subprocess.run(
        [sys.executable, "-c", DYING, str(file), *place.split()],
        cwd=config.ROOT,
        env={**os.environ, "MM_DATA_DIR": str(config.current.data_dir), "MM_ALLOW_ROOT": "1"},
        check=False,
    )
    assert ended.returncode == 9
    with db.connection_context():
        assert everything() == before
        for user_id in made["users"]:
            assert {entry.state for entry in backup_files.entries(user_id)} <= {
                "verified",
                "unverified",
            }
        taken = adopt.adopt(file, admin="user0", backups=folder)
        assert all_said(taken) == []
        for user_id in made["users"]:
            assert [entry.state for entry in backup_files.entries(user_id)] == ["verified"] * 3
        assert not list(config.current.backups_dir.glob("*/.*"))


# A server that has accounts.


def test_who_has_a_taken_name_is_left_out_and_the_others_come(connected, file, alice):
    make_original(file, films=5)
    changed(
        file,
        "UPDATE users SET username = 'ALICE' WHERE username = 'user0'",
        f"UPDATE users SET email = '{alice.email.upper()}' WHERE username = 'user1'",
    )
    User.update(is_admin=True).where(User.id == alice.id).execute()
    with pytest.raises(InvalidError, match="Nobody who comes"):
        adopt.adopt(file, admin="ALICE")
    epoch = Setting.get_or_none(Setting.key == "epoch")
    taken = adopt.adopt(file)
    assert [user.username for user in taken.users] == ["user2"]
    assert "ALICE" in taken.left_out[0]
    assert "same name" in taken.left_out[0]
    assert "same email address" in taken.left_out[1]
    assert not User.get(User.username == "user2").is_admin
    assert Setting.get_or_none(Setting.key == "epoch") == epoch


def test_a_second_time_only_missing_backups_come(connected, file, folder):
    made = make_original(file, films=5)
    adopt.adopt(file, admin="user0", backups=folder)
    user_id = next(iter(made["users"]))
    kept = backups.listing(user_id)
    lost = backup_files.folder_of(user_id) / kept[0].filename
    lost.unlink()
    backup_files.sidecar_path(lost).unlink()
    Movie.delete().execute()
    taken = adopt.adopt(file, admin="user0", backups=folder)
    assert (taken.users, len(taken.left_out)) == ([], 3)
    assert "is here already" in taken.left_out[0]
    assert not Movie.select().exists()
    assert [entry.filename for entry in backups.listing(user_id)] == [
        entry.filename for entry in kept
    ]


# Backups.


def test_backups_come_under_our_names_tested_and_stay_until_deleted(connected, file, folder):
    made = make_original(file, films=20)
    adopt.adopt(file, admin="user0", backups=folder)
    for user_id, names in made["backups"].items():
        entries = sorted(backups.listing(user_id), key=lambda entry: entry.filename)
        assert [entry.filename for entry in entries] == [
            "2026-02-10T12-00-05-uploaded.json",
            "2026-02-11T12-00-05-uploaded.json",
            "2026-02-11T18-00-05-uploaded.json",
        ]
        assert {(entry.state, entry.kind) for entry in entries} == {("verified", "uploaded")}
        assert {entry.kept_because for entry in entries} == {"Kept until you delete it"}
        copied = {backup_files.read(user_id, entry.filename) for entry in entries}
        assert copied == {(folder / user_id / name).read_bytes() for name in names}
        quotas.require(backup_files.entries(user_id) * 100)
        assert [entry.counts.movies for entry in entries] == [5, 6, 7]


def test_a_backup_that_cannot_be_read_is_named_and_the_others_come(connected, file, folder):
    made = make_original(file, users=1, films=20)
    [user_id] = made["users"]
    mine = folder / user_id
    (mine / "2026-02-10.json").write_text("{")
    (mine / "notes.txt").write_text("mine")
    (mine / "2026-02-30.json").write_text("{}")
    (mine / "2026-02-13.json").symlink_to(mine / "2026-02-11.json")
    (folder / "somebody").mkdir()
    document = (mine / "2026-02-11.json").read_text().replace('"my_rating": ', '"my_rating": 1')
    (mine / "2026-02-14_07.json").write_text(document)
    taken = adopt.adopt(file, backups=folder)
    [user] = taken.users
    assert user.backups == 3
    text = "\n".join(all_said(taken))
    assert "The backup 2026-02-10.json can’t be read and was left where it is" in text
    assert (
        "3 files with other names were left out: 2026-02-13.json, 2026-02-30.json, notes.txt"
        in text
    )
    assert "The backup 2026-02-14_07.json came along, but a test restore failed" in text
    assert "The backups in somebody belong to nobody" in text
    assert {entry.state for entry in backups.listing(user_id)} == {"verified", "damaged"}


def test_a_folder_of_backups_that_may_not_be_read_is_told_before_anything_is_done(
    run, file, monkeypatch
):
    make_original(file, films=1)

    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    said = run(file, "--yes", "--admin", "user0", exit_code=1)
    assert "of the backups can’t be read: Permission denied" in said
    with db.connection_context():
        assert not User.select().exists()


def test_days_without_a_change_are_tested_once(connected, file, folder, monkeypatch):
    [user_id] = make_original(file, users=1, films=20, backups=1)["users"]
    [first] = (folder / user_id).iterdir()
    before = json.loads(first.read_text())
    for day in range(11, 20):
        changed_at = before["exported_at"] + (day - 10) * 86_400
        (folder / user_id / f"2026-02-{day}.json").write_text(
            json.dumps(before | {"exported_at": changed_at})
        )
    tests, real = [], verification.problem_of
    monkeypatch.setattr(
        verification, "problem_of", lambda *args, **values: tests.append(1) or real(*args, **values)
    )
    adopt.adopt(file, backups=folder)
    assert len(tests) == 1
    entries = backup_files.entries(user_id)
    assert [entry.state for entry in entries] == ["verified"] * 10


@pytest.mark.sqlite
@pytest.mark.parametrize("key", ["..", ".", "", "../backups", "a/b", b"x", None, 7, "a\0b"])
def test_an_id_leads_to_no_other_folder(folder, key):
    folder.mkdir(parents=True)
    (folder / "2026-02-10.json").write_text("{}")
    assert original_backups.count(folder, key) == 0


# Files that cannot be used.


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "empty"),
        (b"not a database at all", "isn’t an SQLite database"),
        (b"SQLite format 3\0" + b"\xff" * 4096, "damaged"),
    ],
)
def test_what_is_no_database_is_refused_in_words(connected, file, content, words):
    file.write_bytes(content)
    with pytest.raises(UnusableFileError, match=words):
        original.inspect(file, "app.db")
    assert file.read_bytes() == content


@pytest.mark.sqlite
def test_a_file_that_is_cut_off_is_refused(connected, file):
    make_original(file, films=50)
    whole = file.read_bytes()
    for share in (0.1, 0.5, 0.9):
        file.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(UnusableFileError, match="damaged or incomplete"):
            original.inspect(file, "app.db")


@pytest.mark.sqlite
def test_a_broken_page_is_refused(connected, file):
    make_original(file, films=50)
    content = bytearray(file.read_bytes())
    page = 4096 * 3
    content[page : page + 2000] = os.urandom(2000)
    file.write_bytes(content)
    with pytest.raises(UnusableFileError, match="damaged or incomplete"):
        original.inspect(file, "app.db")


@pytest.mark.sqlite
def test_a_missing_file_and_a_folder_are_refused(connected, file, tmp_path):
    for path in (file, tmp_path):
        with pytest.raises(UnusableFileError, match="can’t be read"):
            original.inspect(path, "app.db")


@pytest.mark.sqlite
def test_our_own_database_is_told_from_the_originals(connected, file):
    shutil.copy(config.current.data_dir / "mm.db", file)
    with pytest.raises(UnusableFileError, match=r"of this program.*archive"):
        original.inspect(file, "mm.db")


@pytest.mark.sqlite
def test_a_database_of_another_program_or_version_is_refused(connected, file):
    changed(file, "CREATE TABLE notes (text)")
    with pytest.raises(UnusableFileError, match="another program"):
        original.inspect(file, "app.db")
    changed(file, "CREATE TABLE users (id)", "CREATE TABLE movies (imdb_id)")
    with pytest.raises(UnusableFileError, match="has no column users"):
        original.inspect(file, "app.db")
    file.unlink()
    make_original(file, users=0)
    with pytest.raises(UnusableFileError, match="no accounts"):
        original.inspect(file, "app.db")
    changed(file, "DROP TABLE watch_history")
    with pytest.raises(UnusableFileError, match="has no table watch_history"):
        original.inspect(file, "app.db")


@pytest.mark.sqlite
def test_what_a_newer_version_holds_besides_is_named(connected, file):
    make_original(file, films=2)
    changed(
        file,
        "CREATE TABLE tags (name)",
        "INSERT INTO tags VALUES ('a'), ('b')",
        "CREATE TABLE empty (name)",
        "CREATE TABLE alembic_version (version_num)",
        "INSERT INTO alembic_version VALUES ('1')",
        "ALTER TABLE movies ADD COLUMN mood TEXT",
        "ALTER TABLE people ADD COLUMN unused TEXT",
        "UPDATE movies SET mood = 'good' WHERE imdb_id = 'tt1000000'",
    )
    said = [
        "The column movies.mood is not known here: 3 values left out.",
        "The table tags is not known here: 2 rows left out.",
    ]
    assert original.inspect(file, "app.db").warnings == said
    assert adopt.adopt(file, admin="user0").warnings == said


@pytest.mark.sqlite
def test_a_view_in_place_of_a_table_is_no_table(connected, file):
    make_original(file, films=1)
    changed(
        file,
        "ALTER TABLE people RENAME TO others",
        "CREATE VIEW people AS SELECT * FROM others",
    )
    with pytest.raises(UnusableFileError, match="has no table people"):
        original.inspect(file, "app.db")


@pytest.mark.sqlite
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_file_that_another_process_writes_is_refused_until_it_has_ended(connected, file, mode):
    make_original(file, films=2)
    code = (
        "import sqlite3, sys\n"
        f"c = sqlite3.connect({str(file)!r}, isolation_level=None)\n"
        f"c.execute('PRAGMA journal_mode = {mode}')\n"
        "c.execute('BEGIN IMMEDIATE')\n"
        "c.execute(\"UPDATE users SET username = 'changed' WHERE username = 'user0'\")\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "c.execute('COMMIT')\n"
        "print('done', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        with pytest.raises(UnusableFileError, match="is being written"):
            original.inspect(file, "app.db")
        print(file=process.stdin, flush=True)
        assert process.stdout.readline() == "done\n"
        # It runs, and has written: in WAL mode what is new is only in the log.
        beside = sorted(path.name for path in file.parent.iterdir())
        names = [user.username for user in original.inspect(file, "app.db").users]
        assert names == ["changed", "user1", "user2"]
        assert sorted(path.name for path in file.parent.iterdir()) == beside
        assert ("app.db-wal" in beside) == (mode == "wal")
        print(file=process.stdin, flush=True)
    assert not any(config.current.tmp_dir.glob("upload-*"))


def test_a_file_whose_log_may_have_been_left_behind_is_told_so(connected, file, tmp_path):
    """A browser sends one file, and a log beside it would hold the last changes."""
    make_original(file, users=1, films=2)
    assert original.inspect(file, "app.db").warnings == []
    writer = sqlite3.connect(file)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("UPDATE users SET username = 'changed'")
    writer.commit()
    alone = tmp_path / "alone.db"
    shutil.copy(file, alone)
    assert original.inspect(file, "app.db").warnings == []
    found = original.inspect(alone, "app.db")
    assert found.users[0].username == "user0"
    assert found.warnings == [original.WITHOUT_LOG]
    assert adopt.adopt(alone, dry_run=True).warnings == [original.WITHOUT_LOG]
    writer.close()


# The command.


def test_the_command_asks_does_and_tells(run, file, folder):
    make_original(file, films=20, hostile=True)
    with db.connection_context():
        code.ensure()
    said = run(file, input="y\nuser1\n")
    assert not config.current.setup_code_file.exists()
    assert "app.db: the original Movie Manager, with rankings, last changed 20" in said
    assert "It holds 3 users and " in said
    assert f"{folder}: 9 backups" in said
    assert "Which of them becomes an administrator? (user0, user1, user2)" in said
    assert "3 backups\n" in said
    assert "  watch_history row " in said
    assert "my_rating: 11 is above 10; it has no rating" in said
    assert "left out: movies row " in said
    with db.connection_context():
        assert User.get(User.is_admin).username == "user1"


def test_the_command_changes_nothing_when_dry_or_not_confirmed(run, file):
    make_original(file, films=2)
    assert "These would be imported:" in run(file, "--dry-run")
    run(file, input="n\n", exit_code=1)
    assert "--admin NAME" in run(file, "--dry-run")
    assert "--admin NAME" in run(file, "--yes", exit_code=1)
    with db.connection_context():
        assert not User.select().exists()


def test_the_command_ends_with_1_where_somebody_was_left_out(run, file):
    make_original(file, films=2)
    assert "Everybody logs in" in run(file, "--yes", "--admin", "user0")
    said = run(file, "--yes", exit_code=1)
    assert "left out: user0 is here already" in said
    assert "Nobody was imported." in said


def test_names_of_the_file_do_not_reach_the_terminal_as_they_are(run, file):
    make_original(file, films=1)
    changed(file, "UPDATE people SET name = 'a' || char(27) || '[2J' WHERE name = 'Person 1'")
    assert "\x1b" not in run(file, "--yes", "--admin", "user0")
