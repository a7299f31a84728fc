"""The README's section "When something broke": the commands of each paragraph are read from it and
run on a data folder that is broken in that way, and what was lost is back."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from mm import config
from tests.deployment.test_container import copied
from tests.support import whole_server
from tests.support.libraries import as_bytes, film, hard_document
from tests.support.whole_server import PASSWORD, files_of, rows_of

pytestmark = [pytest.mark.slow, pytest.mark.processes]
README = (config.ROOT / "README.md").read_text()
SECTION = README.partition("\n## When something broke\n")[2].partition("\n## ")[0]
VENV = Path(sys.executable).parent.parent
FIXTURE = config.ROOT / "tests/fixtures/0.1.0/mm.db"
KEY = "a-key-of-this-test"
CODE = ("Procfile", ".env.example", *copied())


@dataclass
class House:
    """A folder with the code, its `.env` and its `data/`, as the README tells to set it up."""

    folder: Path

    @property
    def data(self):
        return self.folder / "data"

    @property
    def database(self):
        return self.data / "mm.db"

    def run(self, commands, fails=False, answer="", **words):
        """Run lines of the README with their placeholders filled in; what they print. `answer` is
        typed where one asks."""
        for word, value in words.items():
            commands = [re.sub(rf"\b{word}\b", str(value), line) for line in commands]
        done = subprocess.run(
            ["sh", "-ec", "\n".join(commands)],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "MM_PASSWORD": PASSWORD, "LC_ALL": "C.UTF-8"},
            input=answer,
            capture_output=True,
            text=True,
            check=False,
        )
        assert bool(done.returncode) == fails, (commands, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def flask(self, line, **more):
        return self.run([f".venv/bin/flask --app mm {line}"], **more)

    def archive(self):
        [path] = sorted(self.data.glob("backups/server/*.zip"))
        return path.relative_to(self.folder)

    def account(self):
        """The id of the one account, which names its folder of backups."""
        [path] = [path for path in (self.data / "backups").iterdir() if len(path.name) == 36]
        return path.name

    def backups(self):
        """The account's backups made by hand, oldest first."""
        return sorted((self.data / "backups" / self.account()).glob("*-manual.json"))

    def library(self):
        """What an export gives."""
        found = json.loads(self.run([".venv/bin/flask --app mm export --user ann"]))
        return found | {"exported_at": None}


def paragraph(title):
    """Its blocks of commands: lists of lines."""
    start = re.search(rf"^\*\*{re.escape(title)}\*\*", SECTION, re.MULTILINE).end()
    text = re.split(r"^\*\*", SECTION[start:], maxsplit=1, flags=re.MULTILINE)[0]
    blocks = re.findall(r"(?:^    .+\n)+", text, re.MULTILINE)
    return [[line.strip() for line in block.splitlines()] for block in blocks]


def settle(folder):
    """The code and its environment, with no data yet."""
    for name in CODE:
        source = config.ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    (folder / ".venv").symlink_to(VENV)
    return House(folder)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Ann's server: her library, a backup of it, the copy of a start, and an archive."""
    house = settle(tmp_path_factory.mktemp("template"))
    (house.folder / ".env").write_text(f"TMDB_API_KEY={KEY}\n")
    house.flask("upgrade")
    settings = {"version": 1, "settings": {"BACKUP_TIME": "04:30"}}
    (house.data / "settings.json").write_text(json.dumps(settings))
    house.flask("user create ann@example.org ann --admin")
    (house.folder / "library.json").write_bytes(as_bytes(hard_document()))
    house.flask("import --user ann --yes library.json")
    house.flask("upgrade")
    house.flask("backup create --user ann")
    house.flask("server-backup create")
    return house


@pytest.fixture
def house(template, tmp_path):
    target = tmp_path / "movie-manager"
    subprocess.run(["cp", "-a", template.folder, target], check=True)
    return House(target)


def test_every_paragraph_is_tested():
    titles = re.findall(r"^\*\*(.+?)\*\*", SECTION, re.MULTILINE)
    assert titles == [
        "The database is damaged",
        "Table not found",
        "The database is locked",
        "The disk is full.",
        "Settings are lost",
        "The machine is lost.",
        "Moved to another machine.",
        "An upgrade went wrong.",
        "The administrator’s password is forgotten.",
        "A backup is marked damaged.",
        "The worker does not run",
    ]


def spoil(path, offset=None):
    """Overwrite some bytes, in the middle if nothing else is said."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 if offset is None else offset)
        file.write(b"\xff not what was written \x00" * 200)


@pytest.mark.parametrize("block, is_there", [(0, True), (0, False), (1, True)])
def test_a_damaged_or_missing_database_comes_back(house, block, is_there):
    before = rows_of(house.database)
    archive = house.archive()
    for path in house.data.glob("mm.db*"):
        spoil(path, offset=0) if is_there else path.unlink()
    commands = paragraph("The database is damaged")[block]
    house.run(commands, answer="y\n", FILE=archive)
    assert rows_of(house.database) == before
    if is_there:
        assert [path.name for path in house.data.rglob("mm.db*damaged*")], "nothing was set aside"


def test_what_a_nightly_backup_has_that_is_newer_comes_back_too(house):
    archive = house.archive()
    (house.folder / "more.json").write_bytes(as_bytes({"version": 2, "movies": [film(7000)]}))
    house.flask("import --user ann --yes more.json")
    house.flask("backup create --user ann")
    newer = house.library()
    newest = house.backups()[-1]
    house.database.unlink()
    first, _, last = paragraph("The database is damaged")
    house.run(first, answer="y\n", FILE=archive)
    assert house.library() != newer
    last = [line.replace("2026-03-02.json", newest.name) for line in last]
    house.run(last, answer="y\n", NAME="ann", ID=house.account())
    assert house.library() == newer


def test_a_database_of_an_older_version_gets_its_tables(house):
    shutil.rmtree(house.data)
    house.data.mkdir(mode=0o700)
    shutil.copy(FIXTURE, house.database)
    assert "needs an upgrade" in house.flask("user list", fails=True)
    [commands] = paragraph("Table not found")
    house.run(commands)
    assert "ann" in house.flask("user list")


def test_an_empty_database_beside_backups_says_what_there_is(house):
    for path in house.data.glob("mm.db*"):
        path.unlink()
    [commands] = paragraph("Table not found")
    said = house.run(commands)
    assert "restore-startup" in said
    assert f"server-backup restore {house.folder / house.archive()}" in said


HOLDS_THE_LOCK = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(300)
"""


def test_the_process_that_locks_the_database_is_found_and_ended(house):
    if not shutil.which("fuser"):
        pytest.skip("no fuser here: install Debian's package `psmisc`")
    command = [sys.executable, "-c", HOLDS_THE_LOCK, house.database]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "locked\n"
        [(find, end)] = paragraph("The database is locked")
        assert str(holder.pid) in house.run([find])
        house.run([end], PID=holder.pid)
        assert holder.wait(10) == -signal.SIGTERM
    finally:
        with contextlib.suppress(ProcessLookupError):
            holder.kill()
        holder.stdout.close()
        holder.wait()
    house.flask("user create bo@example.org bo")


def test_posters_make_room_on_a_full_disk(house, tmp_path):
    whole = rows_of(house.database)
    kept = tmp_path / "kept"
    house.data.rename(kept)
    house.data.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(house.data)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system is not allowed here")
    try:
        subprocess.run(["cp", "-a", f"{kept}/.", house.data], check=True)
        (house.data / "posters").mkdir(exist_ok=True)
        free = os.statvfs(house.data)
        with (house.data / "posters/ballast").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize)
        assert "full" in house.flask("user create bo@example.org bo", fails=True)
        [commands] = paragraph("The disk is full.")
        house.run(commands, NAME="ann")
        house.flask("user create bo@example.org bo")
        house.flask("user delete --yes bo")
        assert rows_of(house.database) == whole
    finally:
        subprocess.run(["umount", "-l", house.data], check=True)


def test_lost_settings_come_back_from_an_archive(house):
    if not shutil.which("unzip"):
        pytest.skip("no unzip here")
    (house.folder / ".env").unlink()
    (house.data / "settings.json").write_text('{"version": 1, "sett')
    [commands] = paragraph("Settings are lost")
    said = house.run(commands, answer="y\n", FILE=house.archive())
    assert '"TMDB_API_KEY"' in said
    assert KEY not in said
    stored = json.loads((house.data / "settings.json").read_bytes())
    assert stored["settings"] == {"BACKUP_TIME": "04:30"}


def test_a_lost_machine_comes_back_from_an_archive(house, tmp_path):
    before, kept = rows_of(house.database), house.data / "backups"
    new = settle_beside(tmp_path)
    new.data.mkdir(mode=0o700)
    shutil.copytree(kept, new.data / "backups")
    archive = new.archive()
    first, _, _ = paragraph("The machine is lost.")
    said = new.run(first, answer="y\n", FILE=archive)
    assert rows_of(new.database) == before
    assert "TMDB" in said


def test_a_lost_machine_comes_back_from_the_export_of_all_libraries(house, tmp_path):
    library = house.library()
    new = settle_beside(tmp_path)
    new.data.mkdir(mode=0o700)
    shutil.copytree(house.data / "backups/startup", new.data / "backups/startup")
    new.flask("upgrade")
    _, commands, _ = paragraph("The machine is lost.")
    said = new.run(commands, answer="y\n")
    assert "1 user" in said
    assert new.library() == library
    assert new.flask("user list").split()[0] == house.account()


def test_a_lost_machine_comes_back_from_backups_of_accounts(house, tmp_path):
    library = house.library()
    new = settle_beside(tmp_path)
    new.data.mkdir(mode=0o700)
    shutil.copytree(house.data / "backups" / house.account(), new.data / "backups/kept")
    file = house.backups()[-1]
    new.flask("upgrade")
    _, _, last = paragraph("The machine is lost.")
    new.run(
        [line.replace("ID/2026-03-02.json", f"kept/{file.name}") for line in last], answer="y\n"
    )
    found = json.loads(new.run([".venv/bin/flask --app mm export --user you"]))
    assert found | {"exported_at": None} == library


def settle_beside(tmp_path):
    folder = tmp_path / "new"
    folder.mkdir()
    return settle(folder)


def test_a_server_moves_with_its_data_folder(house, tmp_path):
    if not shutil.which("rsync"):
        pytest.skip("no rsync here")
    new = settle_beside(tmp_path)
    [(copy, upgrade)] = paragraph("Moved to another machine.")
    house.run([copy.replace("new-machine:/srv/movie-manager/", f"{new.folder}/")])
    new.run([upgrade])
    assert rows_of(new.database) == rows_of(house.database)
    assert (new.data / "secret_key").read_bytes() == (house.data / "secret_key").read_bytes()
    for folder in ("server", house.account()):
        assert files_of(new.data / "backups" / folder) == files_of(house.data / "backups" / folder)


def test_an_upgrade_is_taken_back(house):
    shutil.rmtree(house.data)
    house.data.mkdir(mode=0o700)
    shutil.copy(FIXTURE, house.database)
    before = rows_of(house.database)
    house.flask("upgrade")
    assert rows_of(house.database) != before
    [commands] = paragraph("An upgrade went wrong.")
    house.run(commands, answer="y\n", NAME="ann")
    assert rows_of(house.database) == before
    assert json.loads((house.folder / "ann.json").read_bytes())["movies"]


def test_a_forgotten_password_is_set_anew(house):
    [commands] = paragraph("The administrator’s password is forgotten.")
    said = house.run(commands, NAME="ann")
    assert "ann@example.org" in said
    assert "session" in said


def test_a_damaged_backup_is_named_and_new_ones_are_made(house):
    archive, [backup] = house.archive(), house.backups()
    spoil(backup)
    spoil(house.folder / archive)
    [(create, verify, create_archive, validate)] = paragraph("A backup is marked damaged.")
    house.run([create], NAME="ann")
    assert backup.name in house.run([verify], fails=True, NAME="ann")
    house.run([create_archive])
    said = house.run([validate], fails=True, FILE=archive)
    assert "Backup file is corrupted" in said
    good = [path for path in house.data.glob("backups/server/*.zip") if path.name != archive.name]
    house.run([validate], FILE=good[0].relative_to(house.folder))
    assert whole_server.fault_of(house.database) == "ok"
