"""Backups that older versions wrote are listed, verified and restored, for as long as they are
kept. The files are the real ones, in tests/fixtures."""

import json

import pytest

import mm
from mm import models
from mm.errors import InvalidError
from mm.schemas import FORMAT
from mm.services import portable
from mm.services.backup import backups, imports, recheck, retention, verification
from mm.services.backup import files as backup_files
from tests.support import older
from tests.support.libraries import export, put, reload

pytestmark = pytest.mark.usefixtures("database", "frozen_clock")
DAY = 86400
FILMS, PEOPLE, LISTS = 12, 9, 3


@pytest.fixture(params=older.VERSIONS)
def version(request):
    return request.param


@pytest.fixture
def names(alice, version):
    """Of the backups of that version, among Alice's own."""
    return older.copy_backups(version, alice.id)


def path_of(user, name):
    return backup_files.folder_of(user.id) / name


def sidecar_of(user, name):
    return backup_files.read_sidecar(path_of(user, name))


def written(user, name):
    return json.loads(path_of(user, name).read_bytes())


def test_they_are_listed_and_verified(alice, names):
    assert {entry.state for entry in backups.listing(alice.id)} == {"verified"}
    for name in names:
        checked = backups.verify(alice, name)
        assert (checked.state, checked.problem, checked.rotten) == ("verified", None, False)
        counts = checked.counts
        assert (counts.movies, counts.people, counts.lists) == (FILMS, PEOPLE, LISTS)
    job = models.Job.create(kind="recheck")
    assert recheck.run(job)["damaged"] == []


def test_a_check_leaves_what_the_sidecar_says_of_the_file(alice, names):
    before = sidecar_of(alice, names[0])
    backups.verify(alice, names[0])
    after = sidecar_of(alice, names[0])
    for value in ("kind", "created_at", "sha256", "counts", "mm_version", "format"):
        assert getattr(after, value) == getattr(before, value), value


@pytest.mark.parametrize("mm_version", ["0.1.0", mm.__version__])
@pytest.mark.parametrize("written_as", [None, 1, 2, FORMAT, FORMAT + 1])
def test_they_are_verified_whatever_their_sidecars_say_of_their_format(
    alice, names, lines, written_as, mm_version
):
    """The wrong mark costs a line in the log and a second check."""
    name = names[0]
    sidecar = sidecar_of(alice, name)
    sidecar.format, sidecar.mm_version = written_as, mm_version
    backup_files.write_sidecar(path_of(alice, name), sidecar)
    assert backups.verify(alice, name).state == "verified"
    assert any("backup.differs" in line for line in lines()) == (written_as == FORMAT)


def test_one_without_its_sidecar_is_verified_too(alice, names):
    backup_files.sidecar_path(path_of(alice, names[0])).unlink()
    assert backups.verify(alice, names[0]).state == "verified"


def test_a_changed_byte_is_found(alice, names):
    path = path_of(alice, names[0])
    data = path.read_bytes()
    place = data.index(b"tt0000004") + 8
    path.write_bytes(data[:place] + b"3" + data[place + 1 :])
    checked = backups.verify(alice, names[0])
    assert (checked.state, checked.rotten) == ("damaged", True)
    assert "sha256" in checked.problem
    with pytest.raises(InvalidError, match="damaged"):
        imports.restore_backup(alice, names[0])


def test_they_restore_into_an_empty_account_with_all_that_they_hold(alice, names):
    result = imports.restore_backup(alice, names[0])
    assert (result.errors, result.warnings) == ([], [])
    assert (result.movies_imported, result.lists_imported) == (FILMS, LISTS)
    then, now = written(alice, names[0]), json.loads(export(alice))
    for rows in ("movies", "people", "lists", "views", "rankings"):
        if rows in then:
            assert restricted(now[rows], then[rows]) == then[rows], rows


def restricted(new, old):
    """The keys that the older row has, at each depth."""
    if isinstance(old, dict):
        return {key: restricted(new[key], old[key]) for key in old}
    if isinstance(old, list):
        assert len(new) == len(old)
        return [restricted(*pair) for pair in zip(new, old, strict=True)]
    return new


def test_a_second_restore_changes_nothing(alice, names):
    imports.restore_backup(alice, names[0])
    before, library_version = export(alice), reload(alice).library_version
    plan = imports.plan_backup(alice, names[0])
    assert {outcome for kind in portable.view(plan).counts.values() for outcome in kind} == {"same"}
    imports.restore_backup(alice, names[0])
    assert export(alice) == before
    assert reload(alice).library_version == library_version


def test_what_was_restored_goes_through_another_account_unchanged(alice, bob, names):
    imports.restore_backup(alice, names[0])
    put(bob, json.loads(export(alice)))
    assert export(bob) == export(alice)


def test_a_downloaded_one_is_imported_as_it_is_restored(alice, bob, names):
    imports.restore_backup(alice, names[0])
    result = imports.import_bytes(bob, path_of(alice, names[0]).read_bytes())
    assert (result.errors, result.warnings) == ([], [])
    assert export(bob) == export(alice)


def test_a_check_that_is_wrong_about_them_does_not_let_them_be_deleted(
    alice, names, frozen_clock, monkeypatch
):
    """The bytes are what was written: only a changed byte makes a file worth less."""
    with monkeypatch.context() as wrong:
        wrong.setattr(verification, "problem_of", lambda *args: verification.DIFFERS)
        assert backups.verify(alice, names[0]).state == "damaged"
    for days in (retention.FAILED_DAYS + 1, 2, 2):
        frozen_clock.move(days * DAY)
        backups.create(alice)
    assert path_of(alice, names[0]).exists()
    assert backups.verify(alice, names[0]).state == "verified"
