"""The catalogue is in no archive of a server: a restored one fetches it by itself, or goes on with
the one that it has."""

import contextlib
import time
import zipfile

import pytest

from mm.database import db
from mm.services import accounts
from mm.services.catalogue import store, updates
from tests.support import datasets as standins
from tests.support import whole_server
from tests.support.processes import running
from tests.support.whole_server import Api

pytestmark = [pytest.mark.slow, pytest.mark.processes]
FILMS = 30
# The worker looks each minute for what is due.
PATIENCE = 150


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Of a server with a catalogue that has directors."""
    folder = tmp_path_factory.mktemp("old")
    with standins.running() as host, running(folder / "data", **environ(host)) as server:
        with db.connection_context():
            whole_server.fill(FILMS)
            updates.choose(akas=False, directors=True, adult=False)
        assert server.flask("catalogue", "update").returncode == 0
        assert (server.data_dir / "catalogue.db").exists()
        server.start("web", "worker")
        api = Api(server.url, "ann", f"{whole_server.PASSWORD} of ann")
        entry = api.archive(include_posters=True)
        path = folder / entry["filename"]
        path.write_bytes(api.ask("GET", f"/v1/system/backup/{entry['timestamp']}/download"))
        yield path


@pytest.fixture
def host():
    with standins.running() as host:
        yield host


@pytest.fixture
def server(tmp_path, host):
    """Another server, with nothing but its administrator."""
    with running(tmp_path / "data", **environ(host)) as server:
        with db.connection_context():
            accounts.create("dana@example.org", "dana", whole_server.PASSWORD, is_admin=True)
        yield server


def environ(host):
    """IMDb's host is the stand-in."""
    return {"IMDB_DATASETS_URL": host.url}


def restore(server, archive):
    server.start("web", "worker")
    with archive.open("rb") as file:
        accepted = Api(server.url, "dana").restore(file=(archive.name, file))
    assert whole_server.outcome(accepted, server.url)["state"] == "done"


def wait_for_a_catalogue():
    """What it says of itself."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if about := updates.in_use():
            return about
        time.sleep(0.2)
    raise AssertionError("It was not fetched.")


def inode_of(server):
    return (server.data_dir / "catalogue.db").stat().st_ino


def test_the_archive_holds_the_choice_and_no_catalogue(archive):
    with contextlib.closing(zipfile.ZipFile(archive)) as members:
        names = members.namelist()
    assert names
    assert not [name for name in names if "catalogue" in name or "dataset" in name]


def test_a_new_server_fetches_the_catalogue_by_itself(archive, server, host):
    restore(server, archive)
    about = wait_for_a_catalogue()
    assert about.choice.directors
    assert about.films > 20
    with store.reading() as connection:
        [film] = store.find(connection, ["tt0114709"]).values()
    assert film.directors == ["John Lasseter"]
    assert {name for name, _, _ in host.asked} >= {"title.crew", "name.basics"}


def test_a_server_that_has_the_same_one_goes_on_with_it(archive, server, host):
    with db.connection_context():
        updates.choose(akas=False, directors=True, adult=False)
    assert server.flask("catalogue", "update").returncode == 0
    before, asked = inode_of(server), len(host.asked)
    restore(server, archive)
    with db.connection_context():
        assert updates.choice().directors
        assert updates.status().next_at > time.time() + 86400
    assert inode_of(server) == before
    assert len(host.asked) == asked
