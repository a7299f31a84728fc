"""`flask --app mm …`: the same services, in a terminal."""

import json

import pytest

from mm.models import Movie, User, db
from mm.services import backup_files, backups, imports, portable
from tests.conftest import PASSWORD
from tests.libraries import as_bytes, document, export, film, hard_document, many, put


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


def test_the_first_user_is_announced_made_and_listed(run):
    assert "There is no account yet" in run("upgrade")
    run("user", "create", "dora@example.org", "dora", "--admin")
    assert "There is no account yet" not in run("upgrade")
    assert "dora <dora@example.org> admin no backup yet" in run("user", "list")


def test_an_account_twice_is_one_line_and_exit_code_1(run):
    run("user", "create", "dora@example.org", "dora")
    assert run("user", "create", "DORA@example.org", "x", exit_code=1) == "Error: Email already registered\n"


def test_a_password_is_changed_and_ends_every_session(run, alice):
    run("user", "password", "alice")
    with db.connection_context():
        assert User.get_by_id(alice.id).token_version == alice.token_version + 1


def test_an_unknown_account_is_named(run):
    assert "No account has the name or e-mail address 'nobody'" in run("export", "--user", "nobody", exit_code=1)


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


def test_a_bad_file_is_one_line_and_exit_code_1(run, alice, tmp_path):
    file = tmp_path / "library.json"
    file.write_text('{"version": 3, "movies": []}')
    said = run("import", "--user", "alice", str(file), exit_code=1)
    assert said == "Error: The file was made by a newer version: 3. This server reads up to 2.\n"


def test_backups_are_made_listed_verified_restored_and_pruned(run, alice):
    services(put, alice, many(5))
    assert "5 films" in run("backup", "create", "--user", "alice")
    [entry] = services(backups.listing, alice.id)
    assert f"{entry.filename}  " in run("backup", "list", "--user", "alice")
    assert "verified" in run("backup", "verify", "--user", "alice")
    with db.connection_context():
        Movie.delete().execute()
    assert "movie: 5 new" in run("backup", "restore", "--user", "alice", "--dry-run", entry.filename)
    assert "Imported 5 films" in run("backup", "restore", "--user", "alice", entry.filename)
    assert f"keep  {entry.filename}  made by hand" in run("backup", "prune", "--user", "alice", "--dry-run")


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
        assert portable.encode(portable.dump(again.id, exported_at=json.loads(before)["exported_at"])) == before


def test_a_database_that_needs_an_upgrade_says_so(tmp_path):
    from mm import config, create_app

    settings = config.Config(data_dir=tmp_path / "fresh")
    result = create_app(settings).test_cli_runner().invoke(args=["user", "list"])
    assert result.exit_code == 1
    assert "Run: flask --app mm upgrade" in result.output
