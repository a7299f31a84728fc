"""What a process keeps in memory is gone after a restore of the whole server, whichever process did
it."""

import pytest

from mm import caches, config
from mm.database import connect, db
from mm.services.enrichment import interactive, posters
from mm.services.enrichment.lookup_slots import silent_providers
from tests.support import restores
from tests.support.processes import running

URL = "https://image.example.org"


@pytest.fixture
def opened(app):
    """opened(): this process opens a connection, as each request and each job does."""

    def look():
        with db.connection_context():
            db.execute_sql("SELECT 1")

    look()
    return look


@pytest.fixture
def archived(opened):
    with db.connection_context():
        return restores.archive()


def fill():
    interactive.cache.put(("title", "tt0111161"), {"id": 278})
    silent_providers.remember(URL, "TMDB does not answer.")
    posters.allow({"a.jpg": "A"})
    posters._missing.put("a.jpg", True)
    posters._silent_hosts.put(URL, True)


def kept():
    return [
        interactive.cache.get(("title", "tt0111161")),
        silent_providers.message(URL),
        posters._allowed.get("a.jpg"),
        posters._missing.get("a.jpg"),
        posters._silent_hosts.get(URL),
    ]


@pytest.fixture(autouse=True)
def _as_before():
    yield
    for cache in (interactive.cache, silent_providers, posters._allowed, posters._missing):
        cache.clear()
    posters._silent_hosts.clear()


@pytest.mark.processes
def test_the_first_connection_after_a_restore_by_another_process_empties_every_cache(
    opened, archived
):
    fill()
    opened()
    with running(config.current.data_dir) as server:
        done = server.flask("server-backup", "restore", "--yes", str(archived))
    assert done.returncode == 0, done.stderr
    assert all(kept())
    opened()
    assert not any(kept())


def test_the_process_that_restores_empties_its_own(opened, archived):
    fill()
    restores.restored(archived)
    opened()
    assert not any(kept())


def test_a_cache_that_is_filled_after_the_restore_stays(opened, archived):
    restores.restored(archived)
    opened()
    fill()
    opened()
    assert all(kept())


def test_another_database_is_another_content(opened, archived, tmp_path):
    fill()
    connect(f"sqlite:///{tmp_path / 'other.db'}")
    with db.connection_context():
        db.execute_sql("SELECT 1")
    assert not any(kept())
    connect(config.current.database)


def test_each_restore_empties_the_caches_once(monkeypatch):
    cleared = []
    monkeypatch.setattr(caches, "_clears", [lambda: cleared.append(1)])
    monkeypatch.setattr(caches, "_seen", ("mm.db", 1))
    for database in (("mm.db", 1), ("mm.db", 2), ("mm.db", 2), ("mm.db", 3)):
        caches.clear_if_restored(database)
    assert len(cleared) == 2
