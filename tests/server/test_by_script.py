"""What the README tells scripts to do, with real servers: what one archives, another restores."""

import time

import pytest
import requests

from tests.conftest import PASSWORD
from tests.support.processes import running

pytestmark = pytest.mark.processes
ADMIN_TOKEN = "open sesame"
SYSTEM = "/api/v1/system"
SECONDS = 60


def test_a_script_moves_a_server_to_another_machine(tmp_path):
    body, name = made_on_one_server(tmp_path / "one")
    with running(tmp_path / "other" / "data", ADMIN_TOKEN=ADMIN_TOKEN) as server:
        server.start("web", "worker")
        script = logged_in(server)
        answer = script.post(f"{server.url}{SYSTEM}/restore", files={"file": (name, body)})
        assert answer.status_code == 400
        answer = script.post(
            f"{server.url}{SYSTEM}/restore",
            files={"file": (name, body)},
            data={"confirm": "true"},
        )
        assert answer.status_code == 202
        ended = wait_for(server.url + answer.json()["outcome_url"])
        assert (ended["state"], ended["users"]) == ("done", 1)
        [difference] = ended["differences"]
        assert (
            difference["text"]
            == "CORS_ORIGINS was https://films.example.org there; here it is not set."
        )
        assert script.get(f"{server.url}{SYSTEM}/backup/list").status_code == 401
        sent = {"email": "alice@example.org", "password": PASSWORD}
        assert requests.post(f"{server.url}/api/auth/login", json=sent, timeout=SECONDS).ok


def made_on_one_server(folder):
    """(the bytes of an archive, its file name). It was downloaded in two parts."""
    environment = {"ADMIN_TOKEN": ADMIN_TOKEN, "CORS_ORIGINS": "https://films.example.org"}
    with running(folder / "data", TZ="Europe/Berlin", **environment) as server:
        server.start("web", "worker")
        script = logged_in(server)
        new = {"email": "alice@example.org", "username": "alice", "password": PASSWORD}
        assert script.post(f"{server.url}/api/auth/admin/users", json=new).status_code == 201
        begun = script.post(f"{server.url}{SYSTEM}/backup").json()
        made = wait_for(f"{server.url}{SYSTEM}/jobs/{begun['job']}", script)
        assert made["state"] == "done"
        address = server.url + begun["download_url"]
        parts = [
            script.get(address, headers={"Range": wanted})
            for wanted in ("bytes=0-999", "bytes=1000-")
        ]
        assert [part.status_code for part in parts] == [206, 206]
        name = f"moviemanager-backup-{begun['timestamp']}.zip"
        assert name in parts[0].headers["Content-Disposition"]
        return b"".join(part.content for part in parts), name


def logged_in(server):
    script = requests.Session()
    answer = script.post(f"{server.url}/api/auth/admin/login", json={"token": ADMIN_TOKEN})
    script.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return script


def wait_for(address, script=requests):
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        found = script.get(address, timeout=SECONDS).json()
        if found["state"] in ("done", "failed"):
            return found
        time.sleep(0.05)
    raise AssertionError(f"still {found}")
