"""The database comes to the current schema by a command, whole or not at all."""

import shutil
import subprocess
import sys

import pytest
from peewee import OperationalError

from mm import config, models, schema
from mm.database import connect, db
from mm.services.backup import policies
from mm.services.backup.retention import Policy

LIST_INDEXES = (
    "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name <> 'schema_migration' "
    "AND name NOT LIKE 'sqlite_%'"
)
MIGRATIONS = [
    "0001_first_tables",
    "0002_rankings_and_marks",
    "0003_notes_and_several_lists",
    "0004_retention",
    "0005_links",
    "0006_sources",
    "0007_list_shares",
]


@pytest.fixture
def folder(tmp_path):
    """A data directory with a database that has no tables."""
    settings = config.use(config.Config(data_dir=tmp_path / "data"))
    config.prepare(settings)
    connect(settings.database)
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


def shape(database):
    """Columns with types, nulls and defaults, foreign keys, and indexes: a column that was added
    later stands at another place in the table's text than in the model."""
    found = {}
    for table in database.get_tables():
        columns = database.execute_sql(f'PRAGMA table_info("{table}")').fetchall()
        keys = database.execute_sql(f'PRAGMA foreign_key_list("{table}")').fetchall()
        found[table] = ({row[1:] for row in columns}, {row[2:] for row in keys})
    found.pop("schema_migration", None)
    return found, {tuple(row) for row in database.execute_sql(LIST_INDEXES)}


def test_the_migrations_make_what_the_models_say(folder):
    schema.upgrade()
    scratch = models.scratch()
    with db.connection_context():
        migrated = shape(db)
    assert migrated == shape(scratch)
    scratch.close()


def test_an_upgrade_is_done_once(folder):
    assert schema.upgrade() == MIGRATIONS
    assert schema.upgrade() == []
    schema.require_current()


def test_a_database_that_needs_an_upgrade_says_which_command_to_run(folder):
    with pytest.raises(schema.SchemaError, match="flask --app mm upgrade"):
        schema.require_current()


def test_accounts_of_the_first_version_keep_their_backups_as_they_did(
    folder, tmp_path, monkeypatch
):
    """Those of 14 days, and none of weeks, months and years."""
    first = schema.MIGRATIONS / "0001_first_tables.py"
    with monkeypatch.context() as older:
        migrations(tmp_path, older, keep=False, **{first.stem: first.read_text()})
        assert schema.upgrade() == MIGRATIONS[:1]
    values = {"id": "u", "email": "a@example.org", "email_key": "a@example.org"}
    values |= {"username": "a", "username_key": "a", "password_hash": "", "created_at": 1.6e9}
    values |= {"is_active": True, "is_admin": False, "backup_enabled": True}
    values |= {"token_version": 0, "library_version": 7, "failed_tries": 0}
    with db.connection_context():
        marks = ", ".join("?" * len(values))
        db.execute_sql(
            f'INSERT INTO "user" ({", ".join(values)}) VALUES ({marks})',
            [*values.values()],
        )
    assert schema.upgrade() == MIGRATIONS[1:]
    with db.connection_context():
        [user] = models.User.select()
        assert policies.of(user) == Policy(daily=14, weekly=0, monthly=0, yearly=0)
        assert (user.username, user.library_version, user.backup_enabled) == ("a", 7, True)


def test_a_failing_migration_leaves_the_database_as_it_was(folder, tmp_path, monkeypatch):
    schema.upgrade()
    statements = ("CREATE TABLE half (a)", "nonsense")
    lines = [f"    db.execute_sql({statement!r})" for statement in statements]
    bad = "\n".join(["def up(migrator, db):", *lines, ""])
    migrations(tmp_path, monkeypatch, **{"9999_bad": bad})
    with pytest.raises(OperationalError):
        schema.upgrade()
    with db.connection_context():
        assert "half" not in db.get_tables()
        assert schema.pending() == ["9999_bad"]


def test_a_database_of_a_newer_version_is_refused_by_name(folder, tmp_path, monkeypatch):
    schema.upgrade()
    migrations(
        tmp_path, monkeypatch, keep=False, **{"0001_other": "def up(migrator, db):\n    pass\n"}
    )
    for action in (schema.upgrade, schema.require_current):
        with pytest.raises(
            schema.SchemaError, match=r"newer version of Movie Manager \(0001_first_tables"
        ):
            action()


@pytest.mark.slow
def test_wsgi_refuses_to_start_while_an_upgrade_is_pending(folder):
    environment = {"MM_DATA_DIR": str(folder), "PATH": "/usr/bin:/bin"}
    started = subprocess.run(
        [sys.executable, "-c", "import wsgi"],
        cwd=config.ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    # The exit code after which gunicorn does not try again.
    assert started.returncode == 3
    assert "flask --app mm upgrade" in started.stderr
    assert "Traceback" not in started.stderr


@pytest.mark.slow
def test_three_upgrades_at_once_make_one_database(folder):
    environment = {"MM_DATA_DIR": str(folder), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "flask", "--app", "mm", "upgrade"]
    started = [
        subprocess.Popen(
            command, cwd=config.ROOT, env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    said = [process.communicate()[0].splitlines() for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    schemas = sorted(line for lines in said for line in lines if line.startswith("Schema: "))
    assert schemas == [f"Schema: applied {', '.join(MIGRATIONS)}", *["Schema: up to date"] * 2]
    schema.require_current()
