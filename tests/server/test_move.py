"""A whole server moves: an archive made on one machine, uploaded to and restored on another.

`MM_TEST_FILMS` sets the size of the libraries.
"""

import contextlib
import json
import os
import shutil

import pytest

from mm.database import db
from mm.services import accounts
from tests.support import whole_server
from tests.support.processes import running
from tests.support.whole_server import Api, files_of, rows_of

pytestmark = [pytest.mark.slow, pytest.mark.processes]
FILMS = int(os.environ.get("MM_TEST_FILMS", "400"))
TMDB_KEY = "a-key-that-only-the-old-server-has"
# Nobody listens there, so that no look-up leaves this machine.
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """The new server after the restore: its Server, its API before and the outcome, beside the old
    one's rows, posters and settings."""
    folder = tmp_path_factory.mktemp("move")
    old = make_old_server(folder / "old")
    with running(folder / "new" / "data") as server:
        with db.connection_context():
            accounts.create("dana@example.org", "dana", whole_server.PASSWORD, is_admin=True)
        server.start("web", "worker")
        before = Api(server.url, "dana")
        with old["archive"].open("rb") as file:
            accepted = before.restore(file=(old["archive"].name, file))
        found = whole_server.outcome(accepted, server.url)
        assert found["state"] == "done", found
        yield {"server": server, "before": before, "outcome": found, "old": old}


def make_old_server(folder):
    environment = {
        "TMDB_API_KEY": TMDB_KEY,
        "TMDB_BASE_URL": NOWHERE,
        "TMDB_IMAGE_URL": NOWHERE,
        "TZ": "Europe/Berlin",
    }
    with running(folder / "data", **environment) as server:
        with db.connection_context():
            whole_server.fill(FILMS)
        server.start("web", "worker")
        api = Api(server.url, "ann", f"{whole_server.PASSWORD} of ann")
        entry = api.archive(include_posters=True)
        assert entry["state"] == "verified"
        archive = folder / entry["filename"]
        with contextlib.closing(
            api.send("GET", f"/v1/system/backup/{entry['timestamp']}/download", stream=True)
        ) as answer:
            assert answer.status_code == 200
            with archive.open("wb") as target:
                shutil.copyfileobj(answer.raw, target)
        for name in ("web", "worker"):
            server.stop(name)
        return {
            "archive": archive,
            "rows": rows_of(server.data_dir / "mm.db"),
            "order": whole_server.order_of_changes(server.data_dir / "mm.db"),
            "posters": files_of(server.data_dir / "posters"),
        }


def test_all_users_log_in_with_their_passwords_and_find_their_libraries(moved):
    for name, films in (("ann", 8), ("bo", FILMS), ("cy", FILMS // 3)):
        api = Api(moved["server"].url, name, f"{whole_server.PASSWORD} of {name}")
        assert len(api.ask("GET", "/movies")) == films


def test_every_row_of_every_table_is_as_it_was(moved):
    rows = rows_of(moved["server"].data_dir / "mm.db")
    assert rows.keys() == moved["old"]["rows"].keys()
    for table, there in moved["old"]["rows"].items():
        assert rows[table] == there, table
        assert there or table in MAY_BE_EMPTY, f"{table} was empty before"


# Links end with a restore.
MAY_BE_EMPTY = ("account_link",)


def test_phones_are_sent_the_rows_in_the_order_they_had(moved):
    order = whole_server.order_of_changes(moved["server"].data_dir / "mm.db")
    assert order == moved["old"]["order"]


def test_every_poster_is_there_to_the_byte(moved):
    posters = moved["old"]["posters"]
    assert len(posters) >= FILMS
    assert files_of(moved["server"].data_dir / "posters") == posters


def test_the_database_is_sound(moved):
    assert whole_server.fault_of(moved["server"].data_dir / "mm.db") == "ok"


def test_what_only_the_environment_of_the_old_server_had_is_listed(moved):
    texts = {row["name"]: row["text"] for row in moved["outcome"]["differences"]}
    assert {"TMDB_API_KEY", "TMDB_BASE_URL"} <= texts.keys()
    assert TMDB_KEY not in str(moved["outcome"])


def test_what_pages_may_change_came_along(moved):
    stored = json.loads((moved["server"].data_dir / "settings.json").read_text())
    assert stored["settings"] == {"TZ": "Europe/Berlin"}
    assert "TZ" not in {row["name"] for row in moved["outcome"]["differences"]}


def test_the_account_of_the_new_server_is_gone_and_its_token_has_ended(moved):
    before, url = moved["before"], moved["server"].url
    assert before.send("GET", "/auth/me").status_code == 401
    again = Api(url).send(
        "POST", "/auth/login", json={"email": "dana", "password": whole_server.PASSWORD}
    )
    assert again.status_code == 401


def test_the_new_server_goes_on_by_itself(moved):
    api = Api(moved["server"].url, "ann", f"{whole_server.PASSWORD} of ann")
    api.ask("PUT", "/movies/tt0000001/note", json={"note": "Written on the new server."})
    assert api.archive()["state"] == "verified"
    assert whole_server.left_in_tmp(moved["server"].data_dir) == []
    assert not (moved["server"].data_dir / "maintenance").exists()
