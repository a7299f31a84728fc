"""The whole data folder on a small disk that fills up: reading goes on, and the words are true."""

import gc
import io
import json
import os
import subprocess
import sys

import msgspec
import pytest
import requests
from peewee import DatabaseError

from mm import config, disk
from mm.database import db
from mm.errors import NoRoomError
from mm.models import Job, Movie, Person
from mm.services import jobs, portable
from mm.services.backup import backups, imports, safety, uploads
from mm.services.collections import envelope, importing, plans
from mm.services.library import lists
from tests.conftest import PASSWORD
from tests.support import processes
from tests.support.libraries import as_bytes, document, export, film, many, put
from tests.support.processes import BIN, running

MIB = 2**20


@pytest.fixture
def small_disk(tmp_path):
    """An empty data folder on a disk of 16 MB."""
    target = tmp_path / "data"
    target.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(target)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a file system is not allowed here")
    yield target
    subprocess.run(["umount", "-l", str(target)], check=True)


@pytest.fixture
def settings(small_disk):
    return config.Config(data_dir=small_disk)


@pytest.fixture
def fill(small_disk):
    """fill(bytes): leave no more than so many bytes free."""

    def fill(left=0):
        ballast = small_disk / "ballast"
        ballast.unlink(missing_ok=True)
        size = disk.free_bytes(small_disk) - left
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
        assert disk.free_bytes(small_disk) <= left

    return fill


@pytest.fixture
def library(alice):
    """Alice's: 200 films and a backup of them."""
    with db.connection_context():
        put(alice, many(200))
        return backups.create(alice)


# Reading, and making room.


def test_a_full_disk_still_shows_pages_lists_exports_and_downloads(
    page, as_user, alice, library, fill
):
    fill()
    for address in (
        "/",
        "/backup",
        "/backup/export",
        f"/backup/files/{library.filename}",
        "/people",
        "/lists",
    ):
        assert status(page.get(address)) == 200, address
    api = as_user(alice)
    for address in ("/api/movies", "/api/sync", "/api/backup/export", "/api/backup/list"):
        assert status(api.get(address)) == 200, address


def status(answer):
    """Once all of it is read."""
    answer.get_data()
    answer.close()
    return answer.status_code


def test_one_can_log_in_while_the_disk_is_full(client, alice, library, fill):
    fill()
    client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    form = {"email": "alice@example.org", "password": PASSWORD}
    assert client.post("/login", data=form).status_code == 303
    assert client.get("/backup").status_code == 200
    assert client.post("/api/auth/login", json=form).status_code == 200


def test_a_backup_can_be_deleted_while_the_disk_is_full_and_then_there_is_room(
    page, library, fill, small_disk
):
    fill()
    assert page.post(f"/backup/files/{library.filename}/delete").status_code == 303
    assert disk.free_bytes(small_disk) > 0
    assert page.get("/backup").status_code == 200


def test_the_database_is_kept_open_between_requests(app, alice, small_disk):
    """Its log is deleted with the last connection, and on a full disk it cannot be made again."""
    assert db.is_closed()
    assert (small_disk / "mm.db-wal").exists()
    db.obj.release()
    assert not (small_disk / "mm.db-wal").exists()


# Writing.


def test_a_write_says_that_the_disk_is_full_on_the_page_and_in_the_api(
    page, as_user, alice, library, fill
):
    fill()
    answer = page.post(
        "/lists", data={"name": "Rainy days " * 8, "color": "#ff0000", "icon": "star"}
    )
    assert answer.status_code == 507
    assert "disk is full" in answer.text
    for method, address, body in (
        ("post", "/api/lists", {"name": "x" * 90}),
        ("post", "/api/backup/create", None),
        ("post", "/api/backup/import", document([film(9)])),
    ):
        answer = getattr(as_user(alice), method)(address, json=body)
        assert answer.status_code == 507, (address, answer.text)
        assert "disk" in answer.json["detail"]


# The framework leaves its half-written file to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_upload_that_finds_no_room_on_its_way_in_is_no_room_on_page_and_api(
    page, as_user, alice, library, fill
):
    """It is spooled to the data folder before anybody looks at it."""
    fill()
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="library.json"\r\n\r\n'
    form = {
        "data": head + b" " * 700_000 + b"\r\n--x--\r\n",
        "content_type": "multipart/form-data; boundary=x",
    }
    answer = page.post("/backup/import", **form)
    assert (answer.status_code, "disk is full" in answer.text) == (507, True)
    answer = as_user(alice).post("/api/backup/import", **form)
    assert (answer.status_code, "disk is full" in answer.text) == (507, True)
    gc.collect()


@pytest.mark.slow
def test_the_error_of_a_full_disk_is_not_hidden_by_that_of_the_rollback(app, alice, library, fill):
    """SQLite ends the transaction itself; rolling it back then fails with an error of its own."""
    fill()
    with db.connection_context():
        with pytest.raises(disk.DiskFullError, match="disk is full"), db.atomic():
            put_many_lists(alice, 1000)
        with pytest.raises(disk.DiskFullError, match="disk is full"), db.atomic(), db.atomic():
            put_many_lists(alice, 1000)
        assert lists.listing(alice.id) == []
    fill(4 * MIB)
    with db.connection_context():
        lists.create(alice.id, "Rainy days", "#ff0000", "star")


def put_many_lists(user, count):
    for number in range(count):
        lists.create(user.id, f"{number} " + "x" * 80, "#ff0000", "star")


def test_a_job_that_meets_a_full_disk_says_so(app, alice, library, fill):
    def work(job):
        fill()
        try:
            put_many_lists(alice, 1000)
        finally:
            fill(4 * MIB)

    with db.connection_context():
        job = jobs.create("backup", alice.id)
        jobs.run(job.id, work)
        job = Job.get_by_id(job.id)
        assert (job.state, job.message) == ("failed", disk.FULL)


def test_a_file_error_of_a_full_disk_in_a_job_says_so(app, alice, small_disk, fill):
    def work(job):
        fill()
        try:
            (small_disk / "x").write_bytes(b"x" * MIB)
        finally:
            fill(4 * MIB)

    with db.connection_context():
        job = jobs.create("backup", alice.id)
        jobs.run(job.id, work)
        assert Job.get_by_id(job.id).message == disk.FULL


# Imports.


@pytest.mark.slow
def test_an_import_is_refused_before_it_writes_or_done_at_every_level_of_the_disk(
    app, alice, library, fill
):
    """Nothing in between, and no try leaves another safety backup behind."""
    data = as_bytes(many(3000, start=1000))
    outcomes = []
    with db.connection_context():
        before = export(alice)
        for free in range(MIB, 9 * MIB, MIB):
            fill(free)
            try:
                imports.import_bytes(alice, data)
            except NoRoomError:
                assert export(alice) == before
                assert kinds(alice) == ["manual"]
                outcomes.append("refused")
            else:
                assert Movie.select().count() == 3200
                outcomes.append("done")
                break
    assert outcomes[0] == "refused"
    assert outcomes[-1] == "done"


@pytest.mark.slow
def test_an_import_that_runs_out_of_room_takes_its_safety_backup_back(
    app, alice, library, fill, monkeypatch
):
    monkeypatch.setattr(safety, "DATABASE_ROOM", 0)
    apply = portable.apply

    def apply_on_a_full_disk(plan, **scratch):
        if not scratch:
            fill()
        return apply(plan, **scratch)

    monkeypatch.setattr(portable, "apply", apply_on_a_full_disk)
    data = as_bytes(many(2000, start=1000))
    with db.connection_context():
        for _ in range(3):
            fill(4 * MIB)
            with pytest.raises(NoRoomError, match="disk is full"):
                imports.import_bytes(alice, data)
        assert kinds(alice) == ["manual"]
        fill(7 * MIB)
        job = uploads.receive(alice, io.BytesIO(data))
        job = imports.confirm(job, imports.prepare(job).plan_id)
        fill(4 * MIB)
        with pytest.raises(jobs.UnconfirmedError, match="disk is full"):
            imports.run(Job.get_by_id(job.id))
        assert kinds(alice) == ["manual"]
        assert Movie.select().count() == 200


def test_a_plan_that_does_not_fit_is_not_kept_and_the_file_can_be_planned_again(
    app, alice, library, fill
):
    data = as_bytes(many(3000, start=1000))
    with db.connection_context():
        fill(7 * MIB)
        job = uploads.receive(alice, io.BytesIO(data))
        fill(MIB // 4)
        with pytest.raises(NoRoomError):
            imports.prepare(job)
        kept = [path.suffix for path in config.current.tmp_dir.iterdir()]
        assert kept == [".json"]
        fill(7 * MIB)
        assert imports.prepare(job).counts["movie"] == {"new": 3000}


def collection_of(count):
    items = [{"name": f"Person {number} " + "x" * 150} for number in range(count)]
    return envelope.Received("people", items, None, [], len(msgspec.json.encode(items)))


@pytest.mark.slow
def test_a_collection_is_refused_before_it_writes_or_done_at_every_level_of_the_disk(
    app, alice, library, fill
):
    outcomes = []
    with db.connection_context():
        before = export(alice)
        for free in range(MIB, 12 * MIB, MIB):
            fill(free)
            try:
                importing.at_once(alice, collection_of(5000))
            except NoRoomError:
                assert export(alice) == before
                assert kinds(alice) == ["manual"]
                outcomes.append("refused")
            else:
                outcomes.append("done")
                break
        assert Person.select().count() == 5004
    assert outcomes[0] == "refused"
    assert outcomes[-1] == "done"


@pytest.mark.slow
def test_a_collection_that_runs_out_of_room_takes_its_safety_backup_back(
    app, as_user, alice, library, fill, monkeypatch
):
    monkeypatch.setattr(safety, "DATABASE_ROOM", 0)
    apply = plans.apply

    def apply_on_a_full_disk(*arguments):
        fill()
        return apply(*arguments)

    monkeypatch.setattr(plans, "apply", apply_on_a_full_disk)
    with db.connection_context():
        before = export(alice)
    metadata = {"version": "1.0.0", "export_type": "people"}
    file = {"metadata": metadata, "items": collection_of(5000).items}
    for _ in range(2):
        fill(5 * MIB)
        answer = as_user(alice).post("/api/v1/import/people", json={"export": file})
        assert answer.status_code == 507
        assert "disk is full" in answer.json["detail"]
    fill(5 * MIB)
    with db.connection_context():
        assert export(alice) == before
        assert kinds(alice) == ["manual"]
        data = json.dumps(file).encode()
        job = importing.receive(alice, "people", io.BytesIO(data))
        job = importing.confirm(job, plans.digest(importing.planned(job)))
        jobs.run(job.id, importing.run, importing.failed)
        job = Job.get_by_id(job.id)
        assert job.state == "waiting"
        assert job.message.endswith(imports.NO_ROOM_YET)
        assert kinds(alice) == ["manual"]
        fill(MIB // 4)
        with pytest.raises(NoRoomError):
            importing.receive(alice, "people", io.BytesIO(data))
        assert [path.name for path in config.current.tmp_dir.iterdir()] == [f"{job.id}.json"]


def kinds(user):
    return [entry.kind for entry in backups.listing(user.id)]


# Start.


@pytest.fixture
def environment(small_disk):
    with running(small_disk) as server:
        yield server.environment


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "-c", "import wsgi"],
        [sys.executable, "-c", "from mm import tasks; tasks.huey.create_consumer()"],
        [str(BIN / "flask"), "--app", "mm", "upgrade"],
        [str(BIN / "flask"), "--app", "mm", "user", "list"],
    ],
    ids=["web", "worker", "upgrade", "command"],
)
@pytest.mark.parametrize("first", [True, False], ids=["first start", "a later start"])
def test_on_a_full_disk_each_process_refuses_to_start_with_plain_words(
    environment, fill, command, first, small_disk
):
    if not first:
        subprocess.run(command, env=environment, cwd=config.ROOT, check=True, capture_output=True)
    db.obj.release()
    fill()
    ended = subprocess.run(
        command, env=environment, cwd=config.ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "disk" in ended.stderr
    assert "is full" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_what_is_no_full_disk_is_not_called_one(app):
    with db.connection_context(), pytest.raises(DatabaseError) as error:
        db.execute_sql("select * from nothing")
    assert not disk.is_full(error.value)
    assert not disk.is_full(PermissionError(13, "Permission denied"))


@pytest.mark.slow
@pytest.mark.processes
def test_a_running_server_on_a_full_disk_is_read_from_and_gets_room_by_deleting(small_disk, fill):
    with running(small_disk) as server:
        db.obj.release()
        server.environment["MM_PASSWORD"] = PASSWORD
        assert server.flask("user", "create", "alice@example.org", "alice").returncode == 0
        server.start("web", "worker")
        site = server.url
        browser = requests.Session()
        browser.headers["Sec-Fetch-Site"] = "same-origin"
        form = {"email": "alice@example.org", "password": PASSWORD}
        token = requests.post(f"{site}/api/auth/login", json=form, timeout=20).json()[
            "access_token"
        ]
        api = {"headers": {"Authorization": f"Bearer {token}"}, "timeout": 20}
        library = as_bytes(many(500))
        assert requests.post(f"{site}/api/backup/import", data=library, **api).status_code == 200
        made = requests.post(f"{site}/api/backup/create", **api).json()
        # As after a night without requests: nobody but the processes themselves has it open.
        fill()
        assert browser.post(f"{site}/login", data=form, timeout=20).url == f"{site}/"
        for address in ("/", "/backup", "/backup/export", f"/backup/files/{made['filename']}"):
            assert browser.get(f"{site}{address}", timeout=20).status_code == 200, address
        refused = browser.post(f"{site}/lists", data={"name": "x" * 90}, timeout=20)
        assert (refused.status_code, "disk is full" in refused.text) == (507, True)
        assert requests.post(f"{site}/api/backup/create", **api).status_code == 507
        # What a killed process leaves is enough for the next one.
        for name in ("web", "worker"):
            server.kill(name)
        server.start("web")
        listed = requests.get(f"{site}/api/backup/list", **api).json()["backups"]
        assert [entry["state"] for entry in listed] == ["verified"]
        gone = requests.delete(f"{site}/api/backup/{made['filename']}", **api)
        assert gone.status_code == 204
        assert disk.free_bytes(small_disk) > 0


@pytest.mark.slow
@pytest.mark.processes
def test_a_server_that_finds_the_disk_full_says_so_in_its_log_and_starts_when_there_is_room(
    small_disk, fill, monkeypatch
):
    with running(small_disk) as server:
        db.obj.release()
        fill()
        with monkeypatch.context() as patched:
            patched.setattr(processes, "READY_SECONDS", 4)
            with pytest.raises(AssertionError, match="did not start"):
                server.start("web")
        log = server.log("web").read_text()
        assert f"the disk of {small_disk} is full" in log
        assert "Traceback" not in log
        (small_disk / "ballast").unlink()
        # gunicorn tries again and again.
        server._wait_until_ready("web", 0)
