"""Backups, plans and undos after a restore of the whole server: the folder knows of what the
restored database does not, and a library may have the same number of writes again."""

import pytest

from mm import models
from mm.database import db
from mm.errors import ConflictError, NotFoundError
from mm.models import User
from mm.services.backup import backups, imports, nightly, state, undoing, uploads
from mm.services.backup import files as backup_files
from mm.services.library import movies
from tests.support import libraries, restores
from tests.support.libraries import as_bytes, document, film, seen

OTHER = "tt0068646"


@pytest.fixture
def archive(app):
    db.connect()
    yield restores.archive
    db.close()


@pytest.fixture
def restore(archive, frozen_clock):
    def load(archived):
        frozen_clock.move(60)
        db.close()
        restores.restored(archived)
        db.connect()
        frozen_clock.move(60)

    return load


def user_now(user):
    return User.get_by_id(user.id)


def set_version(user, version):
    User.update(library_version=version).where(User.id == user.id).execute()


@pytest.mark.parametrize("library", [document([seen(1)]), None])
def test_a_plan_from_before_is_refused_and_made_anew(archive, restore, alice, library):
    """Though the library has as many writes as then."""
    if library:
        libraries.put(alice, library)
    job = uploads.keep(user_now(alice), as_bytes(document([film(2)])), "import", {})
    old = imports.prepare(job)
    restore(archive())
    set_version(alice, old.library_version)
    models.Job.update(state=uploads.WAITING).where(models.Job.id == job.id).execute()
    job = models.Job.get_by_id(job.id)
    with pytest.raises(ConflictError, match="Your library changed since this plan was made"):
        imports.confirm(job, old.plan_id)
    new = imports.shown(models.Job.get_by_id(job.id))
    queued = imports.confirm(models.Job.get_by_id(job.id), new.plan_id)
    assert queued.state == "queued"


def test_a_file_of_this_night_from_before_does_not_pass_for_what_the_library_holds(
    archive, restore, alice, frozen_clock
):
    nightly.enable(alice, True)
    archived = archive()
    movies.add(alice.id, OTHER)
    made = nightly.run_scheduled(alice.id)
    version = user_now(alice).library_version
    restore(archived)
    movies.add(alice.id, "tt0111161")
    set_version(alice, version)
    backup = nightly.run_scheduled(alice.id)
    assert b"tt0111161" in backup_files.read(alice.id, backup.filename)
    texts = [backup_files.read(alice.id, entry.filename) for entry in backups.listing(alice.id)]
    assert any(OTHER.encode() in text for text in texts), "what was lost is still in a file"
    assert made.state == "verified"


def test_a_library_with_a_copy_from_before_is_not_said_to_be_backed_up(archive, restore, alice):
    libraries.put(alice, document([seen(1), film(2)]))
    movies.delete(alice.id, "tt0000002")
    archived = archive()
    backups.create(user_now(alice))
    version = user_now(alice).library_version
    assert state.of(user_now(alice)).changes == 0
    restore(archived)
    set_version(alice, version)
    assert state.of(user_now(alice)).changes == 1
    backups.create(user_now(alice))
    assert state.of(user_now(alice)).changes == 0


def test_an_import_after_the_archive_cannot_be_undone_because_it_is_not_there(
    archive, restore, alice
):
    libraries.put(alice, document([seen(1)]))
    archived = archive()
    result = imports.import_bytes(user_now(alice), as_bytes(document([film(2)])))
    assert undoing.available(user_now(alice))
    restore(archived)
    assert undoing.available(user_now(alice)) == []
    with pytest.raises(NotFoundError, match="There is nothing to undo"):
        undoing.plan(user_now(alice))
    with pytest.raises(NotFoundError, match="The whole server was restored since"):
        undoing.plan(user_now(alice), result.safety_backup)


def test_an_import_before_the_archive_can_still_be_undone(archive, restore, alice, frozen_clock):
    """And only what the user did since is named, not every restored row."""
    libraries.put(alice, document([seen(1), film(3), film(4)]))
    movies.delete(alice.id, "tt0000004")
    before = libraries.export(alice)
    frozen_clock.move(60)
    imports.import_bytes(user_now(alice), as_bytes(document([film(2)])))
    frozen_clock.move(60)
    restore(archive())
    assert len(undoing.available(user_now(alice))) == 1
    assert undoing.plan(user_now(alice)).warnings == []
    movies.set_note(alice.id, "tt0000003", "later")
    assert undoing.plan(user_now(alice)).warnings == [
        "tt0000003 changed since then. That is undone too."
    ]
    undoing.at_once(user_now(alice))
    assert libraries.export(alice) == before
