"""`flask --app mm …`: the same services, in a terminal."""

import json
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from mm import config
from mm.database import db
from mm.models import Movie, User
from mm.services import account_links, accounts, portable
from mm.services.backup import backups, imports, nightly
from mm.services.backup import files as backup_files
from tests.conftest import PASSWORD
from tests.support.libraries import (
    T,
    as_bytes,
    custom_list,
    document,
    export,
    exported,
    film,
    hard_document,
    many,
    person,
    put,
    seen,
    vote,
)
from tests.support.processes import running

DAY = 86400


@pytest.fixture
def run(app, monkeypatch):
    """Run a command; its exit code must be the one expected, and what it printed comes back."""
    runner = app.test_cli_runner()
    monkeypatch.setenv("MM_PASSWORD", PASSWORD)

    def run(*arguments, exit_code=0, **values):
        result = runner.invoke(args=arguments, **values)
        assert result.exit_code == exit_code, result.output
        return result.output

    return run


def services(function, *arguments, **values):
    with db.connection_context():
        return function(*arguments, **values)


def test_the_set_up_is_announced_until_the_first_account_is_made_and_listed(run):
    said = run("upgrade")
    assert "Open http://127.0.0.1:8000 in a browser to set up Movie Manager." in said
    code = config.current.setup_code_file.read_text()
    assert f"    {code}\n" in said
    assert code in run("upgrade")
    run("user", "create", "dora@example.org", "dora", "--admin")
    assert "to set up" not in run("upgrade")
    assert not config.current.setup_code_file.exists()
    listed = run("user", "list")
    assert "  dora <dora@example.org> admin no backup yet" in listed
    assert listed.startswith(services(accounts.find, "dora").id)


def test_a_database_that_may_only_be_read_is_one_line(run, database):
    db.obj.execute_sql("PRAGMA query_only = 1")
    said = run("user", "invite", exit_code=1)
    assert said.startswith("Error: The database may only be read.")
    assert said.count("\n") == 1


def test_where_there_is_an_admin_token_no_code_is_made(run):
    config.use(replace(config.current, admin_token="secret"))
    said = run("upgrade")
    assert "It asks for the ADMIN_TOKEN of this server." in said
    assert not config.current.setup_code_file.exists()
    assert "secret" not in said


def test_an_account_twice_is_one_line_and_exit_code_1(run):
    said = run("user", "create", "dora@example.org", "dora")
    assert "flask --app mm user promote dora" in said
    assert (
        run("user", "create", "DORA@example.org", "x", exit_code=1)
        == "Error: Email already registered\n"
    )


def test_a_password_is_changed_and_ends_every_session(run, alice):
    run("user", "password", "alice")
    with db.connection_context():
        assert User.get_by_id(alice.id).token_version == alice.token_version + 1


def test_an_invitation_is_made_listed_and_revoked(run):
    printed = run("user", "invite", "--admin", "--note", "Grandma")
    address, _, words = printed.partition("\n")
    assert address.startswith("http://127.0.0.1:8000/invite/")
    assert "It works once, within 7 days." in words
    assert "at another address" in words
    token = address.rpartition("/")[2]
    assert services(account_links.find, token, "invite").is_admin
    [line] = run("user", "invites").splitlines()
    assert line.endswith("admin Grandma")
    assert token not in line
    invite_id = line.split()[0]
    for wrong in ("", invite_id[:4], "f" * 64, "%"):
        assert "No open invitation" in run("user", "revoke", wrong, exit_code=1)
    assert "revoked" in run("user", "revoke", invite_id)
    assert run("user", "invites") == ""


def test_a_note_that_cannot_be_one_is_one_line_and_exit_code_1(run):
    printed = run("user", "invite", "--note", "x" * 101, exit_code=1)
    assert printed == "Error: A note has at most 100 printable characters.\n"
    assert run("user", "invites") == ""


def test_a_link_for_a_new_password_is_printed(run, alice):
    printed = run("user", "reset-link", "alice")
    address, _, words = printed.partition("\n")
    assert "It works once, within 24 hours." in words
    token = address.rpartition("/reset/")[2]
    assert services(account_links.use_reset, token, "another good password") == alice
    assert "No account has the name" in run("user", "reset-link", "nobody", exit_code=1)
    run("user", "create", "dora@example.org", "dora", "--admin")
    run("user", "deactivate", "alice")
    assert "Activate it first" in run("user", "reset-link", "alice", exit_code=1)


def test_a_deactivated_account_cannot_log_in_until_it_is_activated(run, alice):
    assert "alice is deactivated" in run("user", "deactivate", "alice")
    assert services(accounts.log_in, "alice", PASSWORD) is None
    assert services(accounts.get, alice.id).token_version == alice.token_version + 1
    assert "alice <alice@example.org> inactive" in run("user", "list")
    run("user", "activate", "alice")
    assert services(accounts.log_in, "alice", PASSWORD) == alice


def test_an_administrator_is_made_and_unmade(run, alice, carol):
    assert run("user", "promote", "alice") == "alice is an administrator.\n"
    run("user", "demote", "carol")
    admins = [user.username for user in services(accounts.listing) if user.is_admin]
    assert admins == ["alice"]


@pytest.mark.parametrize("arguments", [("demote",), ("deactivate",), ("delete", "--yes")])
def test_the_last_administrator_stays_one(run, carol, arguments):
    said = run("user", *arguments, "carol", exit_code=1)
    assert said.startswith("Error: This is the last active administrator.")
    assert services(accounts.get, carol.id).is_admin


def test_an_account_is_deleted_after_a_question_and_its_backups_stay(run, alice, bob):
    services(put, alice, document([film(1), film(2)]))
    run("backup", "create", "--user", "alice")
    question = "Delete the account alice <alice@example.org> and its library (2 films)?"
    assert question in run("user", "delete", "alice", exit_code=1, input="n\n")
    assert [user.username for user in services(accounts.listing)] == ["alice", "bob"]

    folder = config.current.backups_dir / alice.id
    assert f"Its backups stay in {folder}" in run("user", "delete", "alice", input="y\n")
    assert [user.username for user in services(accounts.listing)] == ["bob"]
    assert any(folder.iterdir())


def test_an_account_is_deleted_without_a_question_where_that_is_asked_for(run, alice):
    assert run("user", "delete", "alice", "--yes") == "Deleted the account alice.\n"
    assert services(User.select().count) == 0


def test_an_unknown_account_is_named(run):
    assert "No account has the name or email address 'nobody'" in run(
        "export", "--user", "nobody", exit_code=1
    )


def test_a_library_goes_out_and_in_again(run, alice, bob, tmp_path):
    services(put, alice, hard_document())
    file = tmp_path / "library.json"
    run("export", "--user", "alice", str(file))
    said = run("import", "--user", "bob@example.org", str(file))
    assert "Imported 8 films" in said
    assert services(export, bob) == services(export, alice)


def test_an_export_to_standard_output_is_a_document(run, alice):
    services(put, alice, document([film(1)]))
    assert json.loads(run("export", "--user", "alice"))["movies"][0]["imdb_id"] == "tt0000001"


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(run, alice, tmp_path):
    file = tmp_path / "library.json"
    file.write_bytes(as_bytes(document([film(1), {"imdb_id": "../../etc"}])))
    said = run("import", "--user", "alice", "--dry-run", str(file))
    assert "movie: 1 new, 1 rejected" in said
    assert "left out: movies[1].imdb_id" in said
    assert services(Movie.select().count) == 0


def test_a_dry_run_with_rows_says_what_becomes_of_each(run, alice, tmp_path):
    mine = [seen(1, rating=4.0), film(2), film(4)]
    services(put, alice, document(mine, [person("Ann")], [custom_list("l1")]))
    file = tmp_path / "library.json"
    voted = film(3, recommendations=[vote("Ann")])
    rows = [film(1), seen(2, rating=7.5), voted, film(4), {"imdb_id": "x"}]
    people = [person("Ann", emoji="\x1b[31m🎬")]
    file.write_bytes(as_bytes(document(rows, people, [custom_list("l1", "Best\u202e")])))
    said = run("import", "--user", "alice", "--dry-run", "--rows", str(file)).splitlines()
    assert said[:7] == [
        r'person  changed  Ann  emoji: null -> "\u001b[31m🎬"',
        r'list  changed  l1  Best\u202e  name: "Favourites" -> "Best\u202e"',
        'movie  changed  tt0000001  status: "watched" -> "toWatch"',
        'movie  changed  tt0000002  status: "toWatch" -> "watched"',
        f"watch  new  tt0000002  date_watched: null -> {T}, my_rating: null -> 7.5",
        "movie  new  tt0000003",
        "vote  new  tt0000003  Ann · tt0000003",
    ]
    assert said[7].startswith("movie  rejected  movies[4].imdb_id  x  'x' is not an IMDb title ID")
    assert said[8] == "movie: 2 changed, 1 new, 1 same, 1 rejected"
    assert "tt0000004" not in "".join(said)
    assert services(Movie.select().count) == 3


def test_the_rows_of_a_restore_can_be_looked_at_too(run, alice):
    services(put, alice, many(2))
    entry = services(backups.create, alice)
    with db.connection_context():
        Movie.delete().execute()
    said = run("backup", "restore", "--user", "alice", "--dry-run", "--rows", entry.filename)
    assert "movie  new  tt0000001\n" in said


def test_rows_without_a_dry_run_are_refused(run, alice, tmp_path):
    file = tmp_path / "library.json"
    file.write_bytes(as_bytes(many(1)))
    said = run("import", "--user", "alice", "--rows", str(file), exit_code=2)
    assert "--rows goes with --dry-run" in said
    assert services(Movie.select().count) == 0


def test_a_bad_file_is_one_line_and_exit_code_1(run, alice, tmp_path):
    file = tmp_path / "library.json"
    file.write_text('{"version": 3, "movies": []}')
    said = run("import", "--user", "alice", str(file), exit_code=1)
    assert said == "Error: This file was made by a newer version: 3. This server reads up to 2.\n"


def test_backups_are_made_listed_verified_restored_and_pruned(run, alice):
    services(put, alice, many(5))
    assert "5 films" in run("backup", "create", "--user", "alice")
    [entry] = services(backups.listing, alice.id)
    assert f"{entry.filename}  " in run("backup", "list", "--user", "alice")
    assert "verified" in run("backup", "verify", "--user", "alice")
    with db.connection_context():
        Movie.delete().execute()
    assert "movie: 5 new" in run(
        "backup", "restore", "--user", "alice", "--dry-run", entry.filename
    )
    assert "Imported 5 films" in run(
        "backup", "restore", "--user", "alice", "--mode", "merge", entry.filename
    )
    assert f"keep  {entry.filename}  Kept until you delete it" in run(
        "backup", "prune", "--user", "alice", "--dry-run"
    )


def test_a_restore_goes_back_once_that_is_confirmed_and_can_be_undone(run, alice):
    services(put, alice, many(5))
    entry = services(backups.create, alice)
    services(put, alice, many(2, start=90))
    before = services(export, alice)
    restore = ("backup", "restore", "--user", "alice", entry.filename)
    assert "movie: 5 same, 2 removed" in run(*restore, "--dry-run")
    asked = run(*restore, input="n\n", exit_code=1)
    assert "movie: 5 same, 2 removed" in asked
    assert f"Make the library of alice what {entry.filename} holds?" in asked
    assert services(export, alice) == before
    assert "Removed 2 films, 0 people and 0 lists." in run(*restore, "--yes")
    assert len(services(exported, alice)["movies"]) == 5
    services(put, alice, many(1, start=80))
    undo = ("backup", "undo", "--user", "alice")
    said = run(*undo, "--dry-run", "--rows")
    assert "movie  removed  tt0000080" in said
    assert "warning: tt0000080 changed since then. That is undone too." in said
    asked = run(*undo, input="n\n", exit_code=1)
    assert "warning: tt0000080 changed since then. That is undone too." in asked
    assert "Make the library of alice what it was before that?" in asked
    assert "Imported 2 films" in run(*undo, input="y\n")
    assert services(export, alice) == before
    assert "Removed 2 films" in run(*undo, "--yes")


def test_an_import_may_replace_the_library(run, alice, tmp_path):
    services(put, alice, many(5))
    file = tmp_path / "library.json"
    file.write_bytes(as_bytes(many(2)))
    replace = ("import", "--user", "alice", "--mode", "replace", str(file))
    assert "what this file holds?" in run(*replace, input="n\n", exit_code=1)
    assert "Removed 3 films" in run(*replace, "--yes")
    [safety] = services(backups.listing, alice.id)
    assert safety.kind == "before-import"


def test_without_anything_to_undo_the_command_says_so(run, alice):
    assert "There is nothing to undo" in run("backup", "undo", "--user", "alice", exit_code=1)


def test_retention_is_said_changed_and_shown_before_it_is_changed(run, alice, frozen_clock):
    assert run("backup", "retention", "--user", "alice") == "Keeps 14 days.\n"
    for _ in range(6):
        services(nightly.run_scheduled, alice.id)
        frozen_clock.move(DAY)
    said = run("backup", "retention", "--user", "alice", "--daily", "0", "--dry-run")
    assert said.startswith("Would keep the 3 newest.\ndrop  2026-03-03.json")
    assert [line[6:21] for line in said.splitlines()[1:]] == [
        "2026-03-03.json",
        "2026-03-02.json",
        "2026-03-01.json",
    ]
    assert run("backup", "retention", "--user", "alice") == "Keeps 14 days.\n"
    run("backup", "retention", "--user", "alice", "--weekly", "8", "--daily", "2 weeks")
    said = run("backup", "retention", "--user", "alice", "--monthly", "1 year", "--yearly", "1")
    assert said == "Keeps 14 days, 8 weeks, 12 months and 1 year.\n"


@pytest.mark.parametrize(
    "option, text, words",
    [
        (
            "--daily",
            "a while",
            "keep_daily: write a number of days, such as 14, 14 days or 2 weeks",
        ),
        ("--daily", "367", "keep_daily: can be 0 to 366 days"),
        ("--weekly", "3 days", "keep_weekly: write a number of weeks, such as 4, 4 weeks or none"),
        ("--yearly", "-1", "keep_yearly: write a number of years"),
    ],
)
def test_a_retention_that_cannot_be_used_changes_nothing(run, alice, option, text, words):
    said = run("backup", "retention", "--user", "alice", f"{option}={text}", exit_code=1)
    assert said.startswith(f"Error: {words}")
    assert run("backup", "retention", "--user", "alice") == "Keeps 14 days.\n"


def test_a_dry_prune_says_why_each_file_stays_or_goes(run, alice, frozen_clock):
    for _ in range(6):
        services(nightly.run_scheduled, alice.id)
        frozen_clock.move(DAY)
    run("backup", "retention", "--user", "alice", "--daily", "none", "--weekly", "2")
    lines = run("backup", "prune", "--user", "alice", "--dry-run").splitlines()
    assert lines == [
        "keep  2026-03-01.json  Kept until 8 Mar: newest of its week",
        "drop  2026-03-02.json  older than the backups that are kept",
        "drop  2026-03-03.json  older than the backups that are kept",
        "keep  2026-03-04.json  Kept: one of the 3 newest verified backups",
        "keep  2026-03-05.json  Kept: one of the 3 newest verified backups",
        "keep  2026-03-06.json  Kept: newest of its week so far",
    ]
    assert run("backup", "prune", "--user", "alice").count("drop") == 2
    assert "drop" not in run("backup", "prune", "--user", "alice")


def test_a_backup_is_pinned_and_unpinned(run, alice):
    entry = services(backups.create, alice)
    said = run("backup", "pin", "--user", "alice", entry.filename)
    assert said.endswith("verified  Pinned: kept until you unpin it\n")
    assert "Pinned" in run("backup", "list", "--user", "alice")
    assert "Pinned" not in run("backup", "unpin", "--user", "alice", entry.filename)
    (backup_files.folder_of(alice.id) / entry.filename).write_bytes(b"{}")
    said = run("backup", "pin", "--user", "alice", entry.filename, exit_code=1)
    assert "is damaged" in said
    said = run("backup", "pin", "--user", "alice", "2020-01-01.json", exit_code=1)
    assert said == "Error: Backup file not found\n"


def test_verifying_a_damaged_backup_ends_with_exit_code_1(run, alice):
    entry = services(backups.create, alice)
    (backup_files.folder_of(alice.id) / entry.filename).write_bytes(b"{}")
    assert "damaged" in run("backup", "verify", "--user", "alice", entry.filename, exit_code=1)


def test_a_safety_backup_is_named(run, alice, tmp_path):
    services(put, alice, many(5))
    file = tmp_path / "library.json"
    file.write_bytes(as_bytes(document([film(90)])))
    assert "before-import.json" in run("import", "--user", "alice", str(file))


def test_enrichment_without_a_key_has_nothing_to_do(run, alice):
    services(imports.import_bytes, alice, as_bytes(many(3)))
    assert "Nothing is due" in run("enrich")
    assert "0 titles are due again" in run("enrich", "--retry-failed")
    assert "0 titles are looked up at TMDB again" in run("enrich", "--refresh-all")


def test_an_account_that_was_removed_comes_back_from_its_folder(run, alice):
    services(put, alice, hard_document())
    entry = services(backups.create, alice)
    before, path = services(export, alice), backup_files.folder_of(alice.id) / entry.filename
    with db.connection_context():
        User.delete().where(User.id == alice.id).execute()
    run("user", "create", "again@example.org", "again")
    run("import", "--user", "again", str(path))
    with db.connection_context():
        again = User.get(User.username == "again")
        assert (
            portable.encode(portable.dump(again.id, exported_at=json.loads(before)["exported_at"]))
            == before
        )


def test_a_database_that_needs_an_upgrade_says_so(tmp_path):
    from mm import config, create_app

    settings = config.Config(data_dir=tmp_path / "fresh")
    result = create_app(settings).test_cli_runner().invoke(args=["user", "list"])
    assert result.exit_code == 1
    assert "Run: flask --app mm upgrade" in result.output


# Given as root, where the server runs as somebody else.

SERVICE = 1001


@pytest.fixture
def service_data():
    """A server's data folder that belongs to another user of the system than root."""
    if os.geteuid() != 0:
        pytest.skip("only root can make files for somebody else")
    home = Path(tempfile.mkdtemp(prefix="mm-service-", dir="/tmp"))
    home.chmod(0o755)
    with running(home / "data") as server:
        server.environment["MM_PASSWORD"] = PASSWORD
        db.obj.release()
        give_to_service(home / "data")
        yield server
    shutil.rmtree(home)


def give_to_service(folder):
    for path in (folder, *folder.rglob("*")):
        os.chown(path, SERVICE, SERVICE)


def owners(folder):
    return {path.stat().st_uid for path in (folder, *folder.rglob("*"))}


@pytest.mark.slow
@pytest.mark.parametrize("database", [True, False], ids=["database", "empty folder"])
def test_a_command_that_root_gives_is_refused_before_it_writes_and_names_sudo(
    service_data, database
):
    """Its files would be root's: the server could not open the backup folder, or the database."""
    if not database:
        shutil.rmtree(service_data.data_dir)
        service_data.data_dir.mkdir()
        give_to_service(service_data.data_dir)
    before = sorted(service_data.data_dir.rglob("*"))
    for arguments in (("upgrade",), ("backup", "create", "--user", "alice")):
        ended = service_data.flask(*arguments)
        assert ended.returncode == 1
        assert f"sudo -u '#{SERVICE}' " in ended.stderr
        assert ended.stderr.strip().endswith(" ".join(arguments))
        assert "Traceback" not in ended.stderr
    assert sorted(service_data.data_dir.rglob("*")) == before
    assert owners(service_data.data_dir) == {SERVICE}


@pytest.mark.slow
def test_where_the_server_itself_runs_as_root_one_says_so_and_root_is_let_in(service_data):
    """A container with a folder of the host: the folder is somebody's, and there is no database
    yet."""
    shutil.rmtree(service_data.data_dir)
    service_data.data_dir.mkdir()
    give_to_service(service_data.data_dir)
    refused = service_data.flask("upgrade")
    assert refused.returncode == 1
    assert "MM_ALLOW_ROOT=1" in refused.stderr
    service_data.environment["MM_ALLOW_ROOT"] = "1"
    ended = service_data.flask("upgrade")
    assert ended.returncode == 0, ended.stderr
    assert (service_data.data_dir / "mm.db").stat().st_uid == 0


def test_only_a_one_allows_root():
    assert config.from_environ({"MM_ALLOW_ROOT": "1"}).allow_root
    assert not config.from_environ({"MM_ALLOW_ROOT": "0"}).allow_root
    assert not config.from_environ({}).allow_root


@pytest.mark.slow
def test_a_server_that_runs_as_root_keeps_its_files(service_data):
    """In a container: the folder is somebody's, the database is root's."""
    for path in service_data.data_dir.rglob("*"):
        os.chown(path, 0, 0)
    ended = service_data.flask("user", "create", "alice@example.org", "alice")
    assert ended.returncode == 0, ended.stderr
    assert (service_data.data_dir / "mm.db").stat().st_uid == 0


def test_drafts_of_the_secret_key_that_a_killed_start_left_are_removed(settings):
    config.prepare(settings)
    for name in ("secret_key.0a1b2c3d", "secret_key.backup"):
        (settings.data_dir / name).write_text("x")
    key = settings.secret_key()
    assert settings.secret_key() == key
    left = sorted(path.name for path in settings.data_dir.glob("secret_key*"))
    assert left == ["secret_key", "secret_key.backup"]


def test_a_file_is_added_to_the_backups_and_nothing_of_it_is_imported(run, alice, tmp_path):
    path = tmp_path / "library.json"
    path.write_bytes(as_bytes(many(3)))
    said = run("backup", "add", "--user", "alice", str(path))
    assert "-uploaded.json" in said
    assert "3 films  verified" in said
    assert "-uploaded.json" in run("backup", "list", "--user", "alice")
    with db.connection_context():
        assert alice.movies.count() == 0


def test_adding_a_file_whose_test_fails_ends_with_1_and_one_that_is_none_keeps_nothing(
    run, alice, tmp_path
):
    path = tmp_path / "library.json"
    path.write_bytes(as_bytes(document([film(1), film(2, status="seen")])))
    assert "damaged" in run("backup", "add", "--user", "alice", str(path), exit_code=1)
    path.write_bytes(b"PK\x03\x04")
    assert "ZIP" in run("backup", "add", "--user", "alice", str(path), exit_code=1)
    assert run("backup", "list", "--user", "alice").count("\n") == 1
