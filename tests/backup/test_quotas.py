"""What backups made by hand may take of the disk, and how fast they may be made."""

import dataclasses
from io import BytesIO

import pytest

from mm import config
from mm.database import db
from mm.errors import NoRoomError, TooManyRequestsError
from mm.models import Job
from mm.schemas import BackupEntry, Counts
from mm.services import jobs
from mm.services.backup import backups, imports, nightly, quotas, uploads
from mm.services.backup import files as backup_files
from tests.conftest import put_in_force
from tests.support.libraries import as_bytes, many, put

GB, MB = 10**9, 10**6


@pytest.fixture
def service(database, frozen_clock):
    return frozen_clock


def entries(count, kind="manual", size=1, age=100 * 86400, now=1772366400.0):
    return [
        BackupEntry(
            f"2025-01-01T00-00-00-{kind}-{n}.json",
            kind,
            now - age - n,
            size,
            Counts(1, 1, 1),
            "0",
            now,
            "verified",
        )
        for n in range(count)
    ]


@pytest.mark.parametrize(
    "disk, kept",
    [(1000 * GB, GB), (10 * GB, 500 * MB), (2 * GB, 200 * MB), (500 * MB, 100 * MB), (MB, MB // 5)],
)
def test_the_reserve_is_five_percent_within_limits_and_at_most_a_fifth_of_a_small_disk(disk, kept):
    assert quotas.reserve(disk) == kept


def test_fifty_backups_made_by_hand_are_the_most_and_the_oldest_is_named(frozen_clock):
    quotas.require([*entries(40), *entries(9, "uploaded"), *entries(60, "scheduled")])
    with pytest.raises(
        NoRoomError, match=r"the limit is 50.*21 November 2025: 2025-01-01T00-00-00-manual-49.json"
    ) as full:
        quotas.require(entries(50))
    assert full.value.status == 507


def test_a_gigabyte_of_backups_made_by_hand_is_the_most(frozen_clock):
    quotas.require(entries(10, size=99 * MB), 10 * MB)
    with pytest.raises(NoRoomError, match=r"take 990.0 MB; the limit is 1,000.0 MB"):
        quotas.require(entries(10, size=99 * MB), 11 * MB)


def test_both_limits_are_settings_and_0_is_none(frozen_clock, monkeypatch):
    def use(**values):
        put_in_force(monkeypatch, dataclasses.replace(config.current, **values))

    use(manual_backups_max=2, manual_backups_mb=5)
    with pytest.raises(
        NoRoomError, match=r"^You have 2 manual and uploaded backups; .* 2\. Delete"
    ):
        quotas.require(entries(2))
    with pytest.raises(NoRoomError, match=r"the limit is 5\.0 MB\. Delete one first\. The oldest"):
        quotas.require(entries(1, size=3 * MB), 3 * MB)
    use(manual_backups_max=0, manual_backups_mb=0)
    quotas.require(entries(500, size=GB), GB)


@pytest.mark.slow
def test_ten_an_hour_are_the_most_and_the_answer_says_when_to_try_again(service, alice):
    for _ in range(10):
        backups.create(alice)
        service.move(60)
    with pytest.raises(TooManyRequestsError, match="Try again in 50 minutes") as refused:
        backups.create(alice)
    assert refused.value.retry_after == 3000
    nightly.run_scheduled(alice.id)
    service.move(3001)
    assert backups.create(alice).state == "verified"


def test_page_and_api_answer_429_and_507_before_anything_is_queued(
    app, alice, page, as_user, monkeypatch
):
    with db.connection_context():
        backups.create(alice)
    monkeypatch.setattr(quotas, "MOST_AN_HOUR", 1)
    for answer in (page.post("/backup/now"), as_user(alice).post("/api/backup/create")):
        assert answer.status_code == 429
        assert 0 < int(answer.headers["Retry-After"]) <= 3600
    limited = dataclasses.replace(config.current, manual_backups_max=1)
    put_in_force(monkeypatch, limited)
    for answer in (page.post("/backup/now"), as_user(alice).post("/api/backup/create")):
        assert answer.status_code == 507
        assert "Delete one first" in answer.text
    with db.connection_context():
        assert not Job.select().exists()


def test_nightly_backups_and_safety_copies_may_use_the_reserve(service, alice, monkeypatch):
    put(alice, many(3))
    monkeypatch.setattr(quotas, "reserve", lambda total: total)
    with pytest.raises(NoRoomError, match="are kept for the nightly backups"):
        backups.create(alice)
    assert nightly.run_scheduled(alice.id).state == "verified"
    assert backups.create(alice, "before-import").state == "verified"


def test_an_import_leaves_the_reserve_alone_and_a_restore_may_use_it(
    app, alice, as_user, monkeypatch, frozen_clock
):
    with db.connection_context():
        put(alice, many(3))
        made = backups.create(alice)
        put(alice, many(5, start=10))
    monkeypatch.setattr(quotas, "reserve", lambda total: total)
    answer = as_user(alice).post("/api/backup/import", json=many(1, start=30))
    assert answer.status_code == 507
    assert "are kept for the nightly backups" in answer.json["detail"]
    with db.connection_context():
        assert [entry.filename for entry in backups.listing(alice.id)] == [made.filename]
        assert imports.restore_backup(alice, made.filename, "overwrite").success


def test_an_import_that_was_confirmed_on_the_page_leaves_the_reserve_alone_too(
    service, alice, monkeypatch
):
    put(alice, many(3))
    job = uploads.receive(alice, BytesIO(as_bytes(many(1, start=30))))
    confirmed = imports.confirm(job, imports.prepare(job, "merge", "overwrite").plan_id)
    monkeypatch.setattr(quotas, "reserve", lambda total: total)
    with pytest.raises(jobs.UnconfirmedError, match="are kept for the nightly backups"):
        imports.run(confirmed)
    assert backups.listing(alice.id) == []


@pytest.mark.slow
def test_sixty_imports_leave_twenty_safety_copies_the_first_one_among_them(service, alice):
    put(alice, many(3))
    names = []
    for number in range(60):
        names.append(
            imports.import_bytes(alice, as_bytes(many(1, start=10 + number))).safety_backup
        )
        service.move(2)
    left = [entry.filename for entry in backups.listing(alice.id)]
    assert left == [*reversed(names[-19:]), names[0]]


def test_files_of_a_clock_that_was_ahead_do_not_count_as_made_this_hour(service, alice):
    service.move(400 * 86400)
    for _ in range(10):
        backups.create(alice)
    service.move(-400 * 86400)
    assert backups.create(alice).state == "verified"
    assert backup_files.folder_of(alice.id).is_dir()
