"""Bringing everybody back from an export of all libraries: what comes, what is named instead, and
what refuses the whole file."""

import gzip
import json
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from mm import clock, config, disk, models, stored_settings
from mm.database import connect, db
from mm.errors import ConflictError, InvalidError, NoRoomError
from mm.models import Job, Movie, Person, Title, User
from mm.schemas import ArchiveSchedule
from mm.services import accounts, portable, settings
from mm.services.backup import policies
from mm.services.server import all_users
from mm.services.server.first_run import all_users_file, all_users_import
from mm.services.sync import feed
from tests.conftest import PASSWORD, QUICK_HASH, migrated
from tests.support import whole_server
from tests.support.libraries import document, film, many, seen

AT = 1_770_000_000.0
BOM = b"\xef\xbb\xbf"


def row(name, *movies, **values):
    """An account of the file."""
    number = sum(name.encode())
    return {
        "id": f"{number:08d}-0000-4000-8000-000000000000",
        "username": name,
        "email": f"{name}@example.org",
        "password_hash": QUICK_HASH(PASSWORD),
        "is_admin": False,
        "is_active": True,
        "created_at": AT - number,
        "backup_enabled": True,
        "retention": {"daily": 7, "weekly": 1, "monthly": 2, "yearly": 3},
        "library": document(list(movies)),
        **values,
    }


def export(*users, **values):
    head = {"version": 2, "kind": "server", "exported_at": AT, "settings": {}}
    return {**head, "users": list(users), "left_out": [], **values}


def in_lines(content):
    """As the server writes it."""
    content = dict(content)
    users, left_out = content.pop("users"), content.pop("left_out")
    rows = ",\n".join(json.dumps(each) for each in users)
    return f'{json.dumps(content)[:-1]},"users":[\n{rows}\n],"left_out":{json.dumps(left_out)}}}\n'


@pytest.fixture
def path(tmp_path):
    return tmp_path / "all.json"


@pytest.fixture
def put(path):
    """put(content): the file holds it, as bytes, as text or in lines."""

    def put(content):
        text = content if isinstance(content, str | bytes) else in_lines(content)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return put


@pytest.fixture
def take(put):
    return lambda *users, **values: all_users_import.take_over(put(export(*users, **values)))


def names():
    return [user.username for user in accounts.listing()]


def nothing_was_changed():
    tables = (User, Person, Movie, Title)
    return not any(table.select().exists() for table in tables) and not models.epoch()


def test_of_a_name_as_long_as_a_book_only_the_beginning_is_repeated(app, take):
    with db.connection_context():
        too_long = row("bob", username="b" * 10**6), row("cai", email="c" * 10**6)
        taken = take(row("ann"), *too_long)
    assert [len(text) < 600 for text in taken.left_out] == [True, True]


class TestARoundTrip:
    """A server with everything it can hold, its disk lost but for the export."""

    @pytest.fixture
    def lost(self, app, path):
        stored_settings.write({"TZ": "Europe/Paris", "TMDB_API_KEY": "0123456789abcdef"})
        with db.connection_context():
            users = whole_server.fill(60)
            User.update(is_active=False).where(User.id == users[2].id).execute()
            policies.save(users[1], policies.changed(policies.of(users[1]), monthly=7))
            all_users.write(path, secrets=True)
            all_users.write(path.with_name("without.json"))
        return path

    @pytest.fixture
    def empty(self, lost, app, tmp_path):
        """The same app on another folder."""
        db.obj.release()
        new = config.Config(data_dir=tmp_path / "new")
        config.use(new)
        config.prepare(new)
        (new.data_dir / "mm.db").write_bytes(migrated().read_bytes())
        connect(new.database)
        yield lost
        db.obj.release()

    @staticmethod
    def accounts_of(path):
        users = json.loads(path.read_bytes())["users"]
        for each in users:
            each["library"].pop("exported_at")
        return [json.dumps(each) for each in users]

    def test_gives_the_same_accounts_and_libraries_byte_for_byte(self, empty, tmp_path):
        with db.connection_context():
            taken = all_users_import.take_over(empty)
            again = tmp_path / "again.json"
            all_users.write(again)
        assert self.accounts_of(again) == self.accounts_of(empty)
        assert (taken.left_out, taken.warnings, taken.differences) == ([], [], [])
        assert [(user.username, user.problems) for user in taken.users] == [
            (name, []) for name in ("ann", "bo", "cy")
        ]

    def test_lets_everybody_log_in_with_the_password_they_had(self, empty, app):
        with db.connection_context():
            all_users_import.take_over(empty)
        for name, status in (("ann", 200), ("bo", 200), ("cy", 401)):
            sent = {"email": name, "password": f"{PASSWORD} of {name}"}
            assert app.test_client().post("/api/auth/login", json=sent).status_code == status

    def test_brings_the_settings_of_the_server(self, empty):
        with db.connection_context():
            all_users_import.take_over(empty)
            expected = ArchiveSchedule(time="05:30", days=["sun"], keep_last=3)
            assert settings.archives() == expected
        assert (config.current.timezone, config.current.tmdb_api_key) == (
            "Europe/Paris",
            "0123456789abcdef",
        )

    def test_names_the_keys_that_the_file_does_not_hold(self, empty):
        with db.connection_context():
            taken = all_users_import.take_over(empty.with_name("without.json"))
        assert [each.name for each in taken.differences] == ["TMDB_API_KEY"]
        assert config.current.timezone == "Europe/Paris"
        assert config.current.tmdb_api_key == ""

    def test_never_changes_what_the_environment_says(self, empty):
        config.use(replace(config.current, timezone="Asia/Tokyo", given=frozenset({"TZ"})))
        with db.connection_context():
            taken = all_users_import.take_over(empty)
        assert config.current.timezone == "Asia/Tokyo"
        assert [each.text for each in taken.differences] == [
            "TZ was Europe/Paris there; here it is Asia/Tokyo."
        ]

    def test_leaves_them_as_they_are_where_it_is_asked_to(self, empty):
        with db.connection_context():
            before = (settings.archives(), config.current)
            all_users_import.take_over(empty, settings=False)
            assert (settings.archives(), config.current) == before

    def test_sends_phones_everything(self, empty):
        before = clock.now()
        with db.connection_context():
            all_users_import.take_over(empty)
            for user in accounts.listing():
                found = feed.everything_since(user.id, before)
                everything = feed.everything_since(user.id, 0)
                assert found.feed.reset
                assert len(found.film_ids) == len(everything.film_ids) > 0
                last = feed.newest(user.id)
                assert models.epoch() < last
                # Each poll repeats the row read last.
                later = feed.everything_since(user.id, last)
                assert not later.feed.reset
                assert len(later.film_ids) <= 1

    def test_gives_no_person_an_id_that_a_phone_may_know(self, empty):
        with db.connection_context():
            all_users_import.take_over(empty)
            first = Person.select().order_by(Person.id).first()
            assert first.id > models.epoch()

    def test_starts_looking_up_the_films(self, empty, app):
        config.use(config.Config(data_dir=config.current.data_dir, tmdb_api_key="a key"))
        result = app.test_cli_runner().invoke(args=["import-all", "--yes", str(empty)])
        assert result.exit_code == 0, result.output
        with db.connection_context():
            assert Job.select().where(Job.kind == "enrich").exists()
            assert not Title.select().where(Title.tmdb_state != "stub").exists()


@pytest.mark.usefixtures("database")
class TestAFile:
    def test_says_what_it_holds_before_anything_is_changed(self, put):
        ann = row("ann", film(1), seen(2), film(3, status="deleted"), is_admin=True)
        path = put(export(ann, row("bo"), left_out=["cy"]))
        found = all_users_import.inspect(path, "mine.json")
        assert (found.kind, found.source, found.made_at) == ("all-users", "mine.json", AT)
        assert found.made_by == "Movie Manager"
        assert (found.users_count, found.films) == (2, 2)
        told = [(each.username, each.email, each.films, each.is_admin) for each in found.users]
        assert told == [("ann", "ann@example.org", 2, True), ("bo", "bo@example.org", 0, False)]
        assert found.warnings == [
            "cy: the server could not export this library, so it is not in the file."
        ]
        assert nothing_was_changed()

    @pytest.mark.parametrize(
        "form",
        [
            in_lines,
            lambda content: BOM + in_lines(content).encode(),
            lambda content: in_lines(content).replace("\n", "\r\n"),
            json.dumps,
            lambda content: json.dumps(content, indent=4),
            lambda content: json.dumps(content, indent="\t", sort_keys=True),
            lambda content: json.dumps(dict(reversed(content.items()))),
            lambda content: "\n\n " + json.dumps(content, ensure_ascii=False, indent=1),
            # One account of the server's own lines, formatted by hand.
            lambda content: in_lines(content).replace('{"id": "00000213', '{\n"id": "00000213'),
        ],
    )
    def test_may_be_written_in_any_way(self, put, form):
        path = put(form(export(row("ann", film(1)), row("bo", film(2), film(3)))))
        with path.open("rb") as file:
            assert all_users_import.is_all_users(file.read(65_536))
        assert all_users_import.inspect(path, "x").films == 3
        taken = all_users_import.take_over(path)
        assert [(user.username, user.films) for user in taken.users] == [("ann", 1), ("bo", 2)]

    def test_of_ours_is_never_read_whole(self, put, monkeypatch):
        monkeypatch.setattr(all_users_file, "WHOLE_MAX", 10)
        all_users_import.take_over(put(export(row("ann", film(1)))))
        assert names() == ["ann"]

    def test_of_another_form_may_be_so_large_and_no_larger(self, put, monkeypatch):
        monkeypatch.setattr(all_users_file, "WHOLE_MAX", 10)
        with pytest.raises(InvalidError, match="larger than 128 MB and is not laid out"):
            all_users_import.take_over(put(json.dumps(export(row("ann", film(1))))))

    @pytest.mark.parametrize("form", [in_lines, json.dumps])
    def test_that_ends_anywhere_before_its_end_changes_nothing(self, put, form):
        text = form(export(row("ann", film(1), is_admin=True), row("bo", film(2)))).rstrip()
        lines = [index for index, char in enumerate(text) if char == "\n"]
        for end in {0, 1, 40, *lines, *range(45, len(text), 37), len(text) - 1}:
            with pytest.raises(InvalidError):
                all_users_import.inspect(put(text[:end]), "x")
            with pytest.raises(InvalidError):
                all_users_import.take_over(put(text[:end]))
            assert nothing_was_changed()

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ("", "This file is empty"),
            ("hello", "not an export of all libraries"),
            ("[]", "not an export of all libraries"),
            ("{}", "not an export of all libraries"),
            ("{not json", "can’t be read"),
            (b"{" + b"\xff" * 100, "can’t be read"),
            (b"\0" * 500, "This file is empty"),
            ("[" * 100_000, "can’t be read"),
            (gzip.compress(in_lines(export(row("ann"))).encode()), "This file is compressed"),
            (json.dumps(document([film(1)])), "not an export of all libraries"),
            (export(row("ann"), kind="other"), "not an export of all libraries"),
            (export(row("ann"), version=3), "newer version: 3. This server reads up to 2"),
            (export(row("ann"), version=1e300), "newer version"),
            (export(row("ann"), version=1), "version is 1"),
            (export(row("ann"), version="2"), "does not say which version"),
            (json.dumps(export(version=2, users={})), "not an export of all libraries"),
            (export(), "This file holds no accounts"),
            (json.dumps(export()), "This file holds no accounts"),
            (in_lines(export(row("ann"))) + "more", "can’t be read"),
        ],
    )
    def test_that_is_no_such_export_says_so_and_changes_nothing(self, put, content, reason):
        path = put(content)
        with pytest.raises(InvalidError, match=reason):
            all_users_import.inspect(path, "x")
        with pytest.raises(InvalidError, match=reason):
            all_users_import.take_over(path)
        assert nothing_was_changed()

    def test_of_one_library_is_not_taken_for_one_of_all(self):
        mine = json.dumps(document([film(1, note='"users": ["kind":"server"')]))
        assert not all_users_import.is_all_users(mine.encode())
        assert not all_users_import.is_all_users(b"SQLite format 3\0")

    def test_of_more_parts_than_any_honest_one_is_refused_unread(self, put):
        hostile = '{"version":2,"kind":"server","users":[' + "[]," * 4_000_001 + "1]}"
        with pytest.raises(InvalidError, match="more brackets or commas"):
            all_users_import.take_over(put(hostile))

    def test_of_more_accounts_than_any_server_has_is_refused(self, put, monkeypatch):
        monkeypatch.setattr(all_users_file, "ACCOUNTS_MAX", 2)
        path = put(export(row("ann"), row("bo"), row("cy")))
        for function in (
            lambda: all_users_import.inspect(path, "x"),
            lambda: all_users_import.take_over(path),
        ):
            with pytest.raises(InvalidError, match="more than 2 accounts"):
                function()
        assert nothing_was_changed()

    def test_names_whom_its_server_could_not_export(self, take):
        taken = take(row("ann"), left_out=["cy"])
        assert taken.left_out == [
            "cy: the server could not export this library, so it is not in the file."
        ]


@pytest.mark.usefixtures("database")
class TestAnAccount:
    def test_comes_with_all_that_it_was(self, take):
        bo = row("bo", film(1), is_active=False, is_admin=True, backup_enabled=False)
        take(row("ann", is_admin=True), bo)
        user = accounts.find("bo")
        kept = ("id", "email", "created_at", "is_active", "is_admin", "backup_enabled")
        assert {name: getattr(user, name) for name in kept} == {name: bo[name] for name in kept}
        assert policies.texts(policies.of(user)) == {
            "daily": "7 days",
            "weekly": "1 week",
            "monthly": "2 months",
            "yearly": "3 years",
        }
        quick = Person.select().where((Person.user == user) & Person.quick_key.is_null(False))
        assert quick.count() == 4
        assert user.library_version == 1

    @pytest.mark.parametrize(
        ("wrong", "reason"),
        [
            ({"id": "../../etc"}, "The account 'bo': Its id is not one"),
            ({"id": None}, "The account 'bo': Its id is missing"),
            ({"id": 7}, "The account 'bo': id: expected text"),
            ({"email": "nobody"}, "The account 'bo': 'nobody' is not an email address"),
            ({"email": "ANN@example.org"}, "The account 'bo': The email address ANN@example.org"),
            ({"id": row("ann")["id"]}, "The account 'bo': Its id is already in use"),
            ({"username": "ANN"}, "The account 'ANN': The username is already in use"),
            ({"username": None}, "The account number 2: Its username is missing"),
            ({"username": "b\x1b[2J"}, r"The account 'b\x1b[2J': A username has"),
            ({"library": None}, "The account 'bo': This JSON file isn’t a Movie Manager export"),
            ({"library": []}, "The account 'bo': This JSON file isn’t a Movie Manager export"),
            ({"library": {"version": 9}}, "The account 'bo': This file was made by a newer"),
            (
                {"library": document([film(1, imdb_id="x")])},
                "The account 'bo': No row of this file can be used",
            ),
        ],
    )
    def test_that_cannot_be_one_is_named_and_the_others_come(self, take, wrong, reason):
        taken = take(row("ann", film(1)), row("bo", film(2)) | wrong, row("cy", film(3)))
        assert sorted(names()) == ["ann", "cy"]
        [sentence] = taken.left_out
        assert sentence.startswith(reason)
        assert Movie.select().count() == 2

    @pytest.mark.parametrize(
        "wrong",
        [
            {"id": "x"},
            {"email": "nobody"},
            {"username": ""},
            {"id": row("ann")["id"]},
            {"email": "ANN@example.org"},
            {"username": "ANN"},
        ],
    )
    def test_that_cannot_be_one_is_named_before_anything_is_taken_over(self, put, wrong):
        path = put(export(row("ann", film(1)), row("bo", film(2)) | wrong))
        found = all_users_import.inspect(path, "x")
        assert [user.username for user in found.users] == ["ann"]
        assert found.films == 1
        assert [warning.startswith("The account ") for warning in found.warnings] == [True]
        assert all_users_import.take_over(path).left_out != []

    @pytest.mark.parametrize("key", ["id", "email", "username", "library"])
    def test_without_what_it_needs_is_named(self, take, key):
        bo = row("bo")
        del bo[key]
        taken = take(row("ann"), bo)
        [sentence] = taken.left_out
        assert key in sentence
        assert names() == ["ann"]

    def test_without_the_rest_comes_and_is_told_about(self, take):
        bo = row("bo", film(1))
        bo = {key: bo[key] for key in ("id", "email", "username", "library")}
        taken = take(row("ann", is_admin=True), bo)
        user = accounts.find("bo")
        assert (user.is_active, user.is_admin, user.backup_enabled) == (True, False, True)
        assert policies.of(user) == policies.Policy()
        assert len(taken.users[1].warnings) == 6
        assert taken.left_out == []

    @pytest.mark.parametrize(
        "wrong",
        [
            {"created_at": 1e308},
            {"created_at": -1},
            {"created_at": "yesterday"},
            {"retention": {"daily": 10**12, "weekly": 0, "monthly": 0, "yearly": 0}},
            {"retention": {"daily": -1, "weekly": 0, "monthly": 0, "yearly": 0}},
            {"retention": [1, 2, 3]},
            {"retention": {"hourly": 3}},
            {"is_active": "yes"},
            {"backup_enabled": 10**30},
            {"password_hash": "scrypt:1048576:64:16$salt$" + "0" * 128},
            {"password_hash": "plain text"},
            {"password_hash": 12345},
        ],
    )
    def test_with_a_value_that_cannot_be_comes_without_it(self, put, wrong):
        bo = row("bo", film(1))
        text = in_lines(export(row("ann", is_admin=True), bo | wrong))
        taken = all_users_import.take_over(put(text))
        assert len(taken.users[1].warnings) == 1
        assert Movie.select().count() == 1

    def test_with_a_number_too_large_for_json_keeps_the_others(self, put):
        text = in_lines(export(row("ann"), row("bo"))).replace(
            f"{row('bo')['created_at']}", "1e999"
        )
        assert "1e999" in text
        all_users_import.take_over(put(text))
        assert "ann" in names()

    def test_with_a_hostile_hash_cannot_log_in_and_costs_no_time(self, take):
        hostile = "scrypt:1048576:64:16$salt$" + "0" * 128
        taken = take(row("ann", is_admin=True), row("bo", password_hash=hostile))
        begun = time.monotonic()
        assert accounts.log_in("bo", PASSWORD) is None
        assert time.monotonic() - begun < 2
        assert "password cannot be used" in taken.users[1].warnings[0]

    def test_names_each_row_of_its_library_that_is_left_out(self, take):
        taken = take(row("ann", film(1), film(2, status="dreamt"), film(3)))
        [ann] = taken.users
        assert ann.films == 2
        assert [problem.path for problem in ann.problems] == ["movies[1].status"]

    def test_that_meets_a_bug_is_named_with_the_code_in_the_log(self, take, monkeypatch, lines):
        apply = portable.apply

        def broken(plan, *rest):
            apply(plan, *rest)
            if any(step.imdb_id == "tt0000002" for step in plan.films):
                raise ZeroDivisionError

        monkeypatch.setattr(portable, "apply", broken)
        taken = take(row("ann", film(1)), row("bo", film(2)), row("cy", film(3)))
        assert sorted(names()) == ["ann", "cy"]
        [sentence] = taken.left_out
        assert sentence.startswith("The account number 2: Ask whoever runs this server")
        assert any("all_users.not_taken" in line for line in lines())

    def test_of_a_damaged_line_is_left_out_alone(self, put):
        text = in_lines(export(row("ann", film(1)), row("bo"), row("cy")))
        text = text.replace('"username": "bo"', '"username" "bo"')
        taken = all_users_import.take_over(put(text))
        assert sorted(names()) == ["ann", "cy"]
        [sentence] = taken.left_out
        assert sentence.startswith("The account number 2: This file can’t be read")

    def test_larger_than_a_library_may_be_is_left_out_alone(self, take, monkeypatch):
        monkeypatch.setattr(all_users_file, "ROW_MAX", 20_000)
        taken = take(row("ann", film(1)), row("bo", *many(200)["movies"]), row("cy", film(3)))
        assert sorted(names()) == ["ann", "cy"]
        [sentence] = taken.left_out
        assert sentence.startswith("The account number 2: It is larger than")


@pytest.mark.usefixtures("database")
class TestTheAdministrator:
    def test_is_the_oldest_active_account_where_the_file_names_none(self, take):
        taken = take(
            row("ann", created_at=AT - 9, is_active=False, is_admin=True),
            row("bo", created_at=AT - 7, password_hash="?"),
            row("cy", created_at=AT - 5),
            row("dan", created_at=AT - 1),
        )
        assert accounts.find("cy").is_admin
        assert not accounts.find("dan").is_admin
        assert taken.warnings == ["The file names no active administrator: cy is one now."]

    def test_is_made_active_where_nobody_is(self, take):
        taken = take(row("ann", created_at=AT - 9, is_active=False))
        user = accounts.find("ann")
        assert user.is_admin
        assert user.is_active
        assert taken.warnings == [
            "The file names no active administrator: ann is one now and is active again."
        ]

    def test_without_a_usable_password_makes_nobody_else_one(self, take):
        taken = take(row("ann", is_admin=True, password_hash="?"), row("bo"))
        assert not accounts.find("bo").is_admin
        [warning] = taken.warnings
        assert warning.endswith("flask --app mm user password ann")


@pytest.mark.usefixtures("database")
class TestAllOrNothing:
    def test_a_server_with_an_account_is_left_alone(self, take, alice):
        with pytest.raises(ConflictError, match="has accounts already"):
            take(row("ann", film(1)))
        assert names() == ["alice"]
        assert not models.epoch()

    def test_where_nobody_can_be_used_nothing_is_changed(self, take):
        with pytest.raises(InvalidError, match=r"No account .* The account 'ann': Its id"):
            take(row("ann", id="x"))
        assert nothing_was_changed()

    def test_a_disk_that_fills_up_half_way_leaves_an_empty_server(self, take, monkeypatch):
        apply = portable.apply

        def full(plan, *rest):
            apply(plan, *rest)
            if any(step.imdb_id == "tt0000002" for step in plan.films):
                raise disk.DiskFullError(disk.FULL)

        monkeypatch.setattr(portable, "apply", full)
        with pytest.raises(NoRoomError):
            take(row("ann", film(1)), row("bo", film(2)), row("cy", film(3)))
        assert nothing_was_changed()

    def test_what_is_left_out_of_the_latest_export_outlives_the_next_ones(self, put):
        text = in_lines(export(row("ann", film(1)), row("bo", id="x"))).encode()
        folder = config.current.startup_dir
        folder.mkdir(parents=True)
        latest = folder / all_users.LATEST
        latest.write_bytes(text)
        taken = all_users_import.take_over(latest)
        for number in range(7):
            User.update(created_at=AT + number).execute()
            all_users.write_latest()
        [kept] = folder.glob("left-out-*.json")
        assert kept.read_bytes() == text
        assert any(str(kept) in warning for warning in taken.warnings)

    def test_two_at_once_bring_everybody_once(self, put):
        path, outcomes = put(export(row("ann", film(1)), row("bo", film(2)))), []

        def bring():
            with db.connection_context():
                try:
                    outcomes.append(len(all_users_import.take_over(path).users))
                except ConflictError:
                    outcomes.append("refused")

        threads = [threading.Thread(target=bring) for _ in range(3)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert sorted(outcomes, key=str) == [2, "refused", "refused"]
        assert Movie.select().count() == 2

    def test_settings_that_cannot_be_stored_cost_nothing_else(self, take, monkeypatch):
        def refuse(*_):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(all_users_import.effective, "put", refuse)
        taken = take(row("ann", is_admin=True))
        assert names() == ["ann"]
        [warning] = taken.warnings
        assert warning.startswith("The settings of the file could not be filled in.")

    def test_settings_of_any_kind_cost_nothing_else(self, take):
        hostile = {"TZ": {"source": "setting", "value": "Nowhere"}, "x" * 500: [], "MM_BIND": 3}
        taken = take(row("ann", is_admin=True), settings=hostile)
        assert names() == ["ann"]
        [warning] = taken.warnings
        assert "TZ" in warning


# {where the process is killed: how many accounts are there afterwards}
KILLS = {
    "phones.begin_anew": 0,
    "accounts.add": 0,
    "portable.apply": 0,
    "_make_administrator": 0,
    "_fill_in_settings": 3,
}
KILLED = """
import os, signal, sys
from pathlib import Path
from mm import create_app
from mm.database import db
from mm.services.server.first_run import all_users_import

*place, name = sys.argv[2].split(".")
place = getattr(all_users_import, place[0]) if place else all_users_import
function = getattr(place, name)
calls = []

def killed(*args, **named):
    calls.append(1)
    done = function(*args, **named)
    if len(calls) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return done

setattr(place, name, killed)
create_app()
with db.connection_context():
    all_users_import.take_over(Path(sys.argv[1]))
"""


@pytest.mark.processes
@pytest.mark.parametrize("where", KILLS)
def test_killed_half_way_it_leaves_an_empty_server_which_takes_the_file(app, put, where):
    path = put(export(*(row(name, *many(300)["movies"]) for name in ("ann", "bo", "cy"))))
    call = "2" if where in ("accounts.add", "portable.apply") else "1"
    process = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), where, call],
        cwd=config.ROOT,
        env={"MM_DATA_DIR": str(config.current.data_dir), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    with db.connection_context():
        assert len(names()) == KILLS[where]
        if KILLS[where]:
            return
        assert nothing_was_changed()
        all_users_import.take_over(path)
        assert (len(names()), Movie.select().count()) == (3, 900)


class TestTheCommand:
    @pytest.fixture
    def run(self, app):
        def run(*arguments, exit_code=0, **more):
            result = app.test_cli_runner().invoke(args=["import-all", *arguments], **more)
            assert result.exit_code == exit_code, result.output
            return result

        return run

    def test_says_what_was_found_asks_and_does_it(self, run, put):
        rows = (row("ann", film(1), is_admin=True), row("bo", film(2), film(3)))
        path = put(export(*rows, app_version="1.2.3"))
        said = run(str(path), input="y\n").output
        assert "all.json: Movie Manager 1.2.3, made 2026-02-02 " in said
        assert "It holds 2 users and 3 films:" in said
        assert "  ann <ann@example.org>, 1 film, administrator" in said
        assert said.endswith("2 users and 3 films are here now.\n")

    def test_does_nothing_where_the_answer_is_no(self, run, put, app):
        run(str(put(export(row("ann")))), input="n\n", exit_code=1)
        with db.connection_context():
            assert nothing_was_changed()

    def test_names_what_is_left_out_with_exit_code_1(self, run, put):
        rows = (row("ann", film(1), film(2, status="?")), row("bo", id="x"))
        said = run(str(put(export(*rows))), "--yes", exit_code=1).stderr
        assert "left out: The account 'bo': Its id is not one" in said
        assert "left out: ann: movies[1].status:" in said
        assert "warning: The file names no active administrator: ann is one now." in said

    def test_refuses_a_server_with_accounts_before_it_reads(self, run, put, alice):
        said = run(str(put("not read")), "--yes", exit_code=1).stderr
        assert said == f"Error: {all_users_import.HAS_ACCOUNTS}\n"

    def test_refuses_another_file_in_one_line(self, run, put):
        assert run(str(put("{")), "--yes", exit_code=1).stderr.startswith("Error: This file can")

    def test_prints_nothing_that_moves_the_cursor(self, run, put):
        path = put(export(row("ann", film(1, status="\x1b[2J")), row("b\x1b[2J")))
        assert "\x1b" not in run(str(path), "--yes", exit_code=1).output
