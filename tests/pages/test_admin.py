"""Server: what administrators see of everybody's backups, and what they do not."""

import pytest
from playhouse.test_utils import count_queries

from mm.database import db
from mm.models import Title
from mm.services import heartbeat, problems
from mm.services.backup import backups
from mm.services.backup import files as backup_files
from tests.support.libraries import document, film, many, person, put


@pytest.fixture
def admin(app, carol):
    """Carol's browser, logged in."""
    client = app.test_client()
    client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    with client.session_transaction() as session:
        session["_user_id"] = carol.get_id()
    return client


@pytest.fixture
def saved(alice, frozen_clock):
    """Alice's library, with a backup of it."""
    with db.connection_context():
        put(alice, document([film(1)], [person("Grandma")]))
        return backups.create(alice)


def test_each_account_is_a_row_with_its_state_in_words(admin, saved, bob):
    text = admin.get("/admin").text
    assert "Backed up by hand only" in text
    assert "Last copy just now" in text
    assert text.count("Nothing to back up yet") == 2
    assert "0 of 3 accounts" in text


def test_nothing_of_a_library_is_shown(admin, saved, alice):
    with db.connection_context():
        Title.update(title="Her secret film").execute()
    text = admin.get("/admin").text
    for private in ("Her secret film", "tt0000001", "Grandma", saved.filename):
        assert private not in text
    assert alice.id not in text


def test_a_damaged_backup_is_counted(admin, saved, alice):
    path = backup_files.folder_of(alice.id) / saved.filename
    path.write_bytes(path.read_bytes()[:-10])
    text = admin.get("/admin").text
    assert "No good backup" in text
    assert '<td class="table__number">1</td>' in text.partition("No good backup")[2]


def test_the_worker_and_what_is_wrong_are_named(admin, frozen_clock):
    text = admin.get("/admin").text
    assert "Never seen" in text
    assert "No worker has been seen" in text
    with db.connection_context():
        heartbeat.beat()
    frozen_clock.move(30)
    text = admin.get("/admin").text
    assert "Everything is running" in text
    assert "Running, seen" in text
    with db.connection_context():
        problems.put("x", "Deleting old uploads does not work.")
    frozen_clock.move(600)
    text = admin.get("/admin").text
    assert "2 things need attention" in text
    assert "Deleting old uploads does not work." in text
    assert "Last seen" in text


def test_only_administrators_find_the_way_there(admin, page):
    assert 'href="/admin"' in admin.get("/").text
    assert 'href="/admin"' not in page.get("/").text
    assert page.get("/admin").status_code == 403


def test_many_accounts_are_paged(admin, alice, bob, monkeypatch):
    monkeypatch.setattr("mm.routes.admin.PAGE_SIZE", 2)
    assert "Page 1 of 2" in admin.get("/admin").text
    assert admin.get("/admin?page=2").text.count('scope="row"') == 1
    assert admin.get("/admin?page=99").status_code == 200


def test_more_accounts_cost_no_more_queries(admin, alice, bob, frozen_clock):
    def cost():
        with count_queries() as counter:
            admin.get("/admin")
        return counter.count

    admin.get("/admin")
    few = cost()
    with db.connection_context():
        for user in (alice, bob):
            put(user, many(3))
            backups.create(user)
    # What changed since a copy takes three queries for all of them.
    assert cost() <= few + 3 <= 30
