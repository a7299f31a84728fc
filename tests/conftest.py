"""A real SQLite file for each test, and a fixed cast: Alice owns, Bob has his own library, Carol
administers."""

import functools
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from werkzeug.security import generate_password_hash

from mm import auth, clock, config, create_app, log, schema, stored_settings
from mm.database import connect, db
from mm.services import accounts
from tests import RUN_FOLDER
from tests.support import markup, postgres
from tests.support.browser import chromium, visit  # noqa: F401
from tests.support.datasets import datasets_fixture  # noqa: F401
from tests.support.postgres import postgres_url  # noqa: F401
from tests.support.standin import standin_fixture  # noqa: F401

PASSWORD = "correct horse battery"
QUICK_HASH = functools.partial(generate_password_hash, method="pbkdf2:sha256:1")
DECOY = QUICK_HASH("decoy")
# What tests change without another app: it is read at the moment of use.
READ_WHEN_USED = (
    "data_dir",
    "database_url",
    "tmdb_base_url",
    "tmdb_image_url",
    "omdb_base_url",
    "imdb_datasets_url",
    *(config.VARIABLES[name] for name in config.CHANGEABLE),
)


def pytest_addoption(parser):
    parser.addoption("--cases", type=int, help="run only the first so many cases of each test")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """After -m, so that what it leaves out takes no place."""
    most = config.getoption("cases")
    if most is None:
        return
    counts, kept, left_out = Counter(), [], []
    for item in items:
        test = item.nodeid.partition("[")[0]
        counts[test] += 1
        (left_out if counts[test] > most else kept).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


def pytest_generate_tests(metafunc):
    postgres.repeat(metafunc)


def pytest_terminal_summary(terminalreporter):
    postgres.say_what_was_left_out(terminalreporter)


class Clock:
    """Stands still until it is moved."""

    def __init__(self, moment):
        self.moment = moment

    def __call__(self):
        return self.moment

    def move(self, seconds):
        self.moment += seconds


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch):
    """The real ones take a twelfth of a second each, by design."""
    monkeypatch.setattr(accounts, "generate_password_hash", QUICK_HASH)
    monkeypatch.setattr(accounts, "_decoy", lambda: DECOY)


@pytest.fixture
def frozen_clock(monkeypatch):
    """2026-03-01 12:00 UTC, until the test moves it."""
    frozen = Clock(1772366400.0)
    monkeypatch.setattr(clock, "now", frozen)
    monkeypatch.setattr(clock, "monotonic", frozen)
    return frozen


def put_in_force(monkeypatch, settings):
    """Until the end of the test, also for requests, which look at the stored settings again."""
    monkeypatch.setattr(config, "base", settings)
    monkeypatch.setattr(config, "current", settings)


@pytest.fixture
def settings(tmp_path):
    """The configuration of the test's server. Modules override it to change a variable."""
    return config.Config(data_dir=tmp_path / "data")


@functools.cache
def app_of_defaults():
    """Made once, because compiling its routes and templates takes a tenth of a second."""
    return create_app(config.Config(data_dir=Path(RUN_FOLDER.name, "app")))


@functools.cache
def migrated():
    """A database at the current schema, to copy."""
    settings = config.use(config.Config(data_dir=Path(RUN_FOLDER.name, "template")))
    config.prepare(settings)
    connect(settings.database)
    schema.upgrade()
    with db.connection_context():
        db.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return settings.data_dir / "mm.db"


@pytest.fixture
def engine(request):
    """The test's database: sqlite, or postgres where tests/support/postgres.py repeats it."""
    return getattr(request, "param", "sqlite")


@pytest.fixture
def app(settings, engine, request):
    """The app on the test's own data directory and database. Tests share one, unless they change
    what an app reads when it is made."""
    template = migrated()
    if engine == "postgres":
        settings = replace(settings, database_url=request.getfixturevalue("postgres_url"))
    defaults = config.Config()
    as_default = {name: getattr(defaults, name) for name in READ_WHEN_USED}
    if defaults == replace(settings, **as_default):
        app = app_of_defaults()
        app.extensions["failed_log_ins"].storage.reset()
        config.use(settings)
        config.prepare(settings)
        log.start(settings)
        # As in create_app: what a test puts in force after that stays so.
        stored_settings.refresh()
        connect(settings.database)
    else:
        app = create_app(settings)
    app.testing = True
    app.test_client_class = markup.Client
    if engine == "postgres":
        with db.connection_context():
            postgres.empty(db.obj)
    else:
        shutil.copy(template, settings.data_dir / "mm.db")
    yield app
    if not db.is_closed():
        db.close()


@pytest.fixture
def database(app):
    """The open database of `app`, for tests that call services."""
    with db.connection_context():
        yield db.obj


@pytest.fixture
def lines(app, settings, capsys):
    """lines(): what the log wrote since the test began, or since the last call."""
    log.start(settings)
    return lambda: capsys.readouterr().err.splitlines()


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
def page(client, alice):
    """Alice's browser, logged in: page.get(…), page.post(…)."""
    client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    with client.session_transaction() as session:
        session["_user_id"] = alice.get_id()
    return client


@pytest.fixture
def as_user(app):
    """as_user(alice): a client of the API that sends alice's token."""

    def client_of(user):
        client = app.test_client()
        with app.app_context():
            client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {auth.issue_token(user)}"
        return client

    return client_of


def _create(name, **values):
    with db.connection_context():
        return accounts.create(f"{name}@example.org", name, PASSWORD, **values)


@pytest.fixture
def alice(app):
    return _create("alice")


@pytest.fixture
def bob(app):
    return _create("bob")


@pytest.fixture
def carol(app):
    return _create("carol", is_admin=True)
