"""The database comes to the current schema by a command, whole or not at all."""

import shutil
import subprocess
import sys

import pytest
from peewee import OperationalError

from mm import config, models, schema
from mm.models import db

LIST_SCHEMA = (
    "SELECT type, name, sql FROM sqlite_schema WHERE tbl_name <> 'schema_migration' AND name NOT LIKE 'sqlite_%'"
)


@pytest.fixture
def folder(tmp_path):
    """A data directory with a database that has no tables."""
    settings = config.use(config.Config(data_dir=tmp_path / "data"))
    config.prepare(settings)
    models.connect(settings.database)
    yield settings.data_dir
    if not db.is_closed():
        db.close()


def migrations(tmp_path, monkeypatch, keep=True, **files):
    folder = tmp_path / "migrations"
    folder.mkdir()
    if keep:
        shutil.copytree(schema.MIGRATIONS, folder, dirs_exist_ok=True)
    for name, body in files.items():
        (folder / f"{name}.py").write_text(body)
    monkeypatch.setattr(schema, "MIGRATIONS", folder)


def test_the_migrations_make_what_the_models_say(folder):
    schema.upgrade()
    scratch = models.scratch()
    with db.connection_context():
        migrated = {tuple(row) for row in db.execute_sql(LIST_SCHEMA)}
    assert migrated == {tuple(row) for row in scratch.execute_sql(LIST_SCHEMA)}
    scratch.close()


def test_an_upgrade_is_done_once(folder):
    assert schema.upgrade() == ["0001_first_tables"]
    assert schema.upgrade() == []
    schema.require_current()


def test_a_database_that_needs_an_upgrade_says_which_command_to_run(folder):
    with pytest.raises(schema.SchemaError, match="flask --app mm upgrade"):
        schema.require_current()


def test_a_failing_migration_leaves_the_database_as_it_was(folder, tmp_path, monkeypatch):
    schema.upgrade()
    bad = "def up(migrator, db):\n    db.execute_sql('CREATE TABLE half (a)')\n    db.execute_sql('nonsense')\n"
    migrations(tmp_path, monkeypatch, **{"0002_bad": bad})
    with pytest.raises(OperationalError):
        schema.upgrade()
    with db.connection_context():
        assert "half" not in db.get_tables()
        assert schema.pending() == ["0002_bad"]


def test_a_database_of_a_newer_version_is_refused_by_name(folder, tmp_path, monkeypatch):
    schema.upgrade()
    migrations(tmp_path, monkeypatch, keep=False, **{"0001_other": "def up(migrator, db):\n    pass\n"})
    for action in (schema.upgrade, schema.require_current):
        with pytest.raises(schema.SchemaError, match=r"newer version of Movie Manager \(0001_first_tables\)"):
            action()


def test_wsgi_refuses_to_start_while_an_upgrade_is_pending(folder):
    environment = {"MM_DATA_DIR": str(folder), "PATH": "/usr/bin:/bin"}
    started = subprocess.run(
        [sys.executable, "-c", "import wsgi"], cwd=config.ROOT, env=environment, capture_output=True, text=True
    )
    assert started.returncode == 1
    assert "flask --app mm upgrade" in started.stderr
    assert "Traceback" not in started.stderr


@pytest.mark.slow
def test_three_upgrades_at_once_make_one_database(folder):
    environment = {"MM_DATA_DIR": str(folder), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "flask", "--app", "mm", "upgrade"]
    started = [
        subprocess.Popen(command, cwd=config.ROOT, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    said = [process.communicate()[0].splitlines()[0] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    assert sorted(said) == ["Applied 0001_first_tables.", *["The database is up to date."] * 2]
    schema.require_current()
