"""Five states of a library's backups as its owner meets them: in a real browser, from a real server
and worker."""

import json
import time

import pytest
from playwright.sync_api import expect

from mm.database import db
from mm.models import User
from mm.services import accounts
from mm.services.backup import backups
from mm.services.backup import files as backup_files
from tests.conftest import PASSWORD
from tests.support.libraries import as_bytes, many, put
from tests.support.processes import running

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.slow]

ALICE = "alice@example.org"
DAY = 86400


@pytest.fixture
def server(tmp_path):
    with running(tmp_path / "data") as server:
        with db.connection_context():
            accounts.create(ALICE, "alice", PASSWORD, is_admin=True)
        server.start("web", "worker")
        yield server


def alice():
    return User.get(User.username == "alice")


def move_back(entry, days):
    """As if the backup had been made so many days earlier."""
    path = backups.path_of(alice().id, entry.filename)
    sidecar = backup_files.read_sidecar(path)
    sidecar.created_at -= days * DAY
    backup_files.write_sidecar(path, sidecar)


def films(count, start=1):
    with db.connection_context():
        put(alice(), many(count, start=start))


@pytest.mark.parametrize(("size", "scheme"), [("phone", "light"), ("desk", "dark")])
def test_the_card_says_what_is_so_from_an_empty_library_to_a_late_backup(
    server, visit, size, scheme
):
    visitor = visit(size, scheme)
    page = visitor.page
    headline = page.locator("#health-title")
    card = page.locator("#health")
    visitor.log_in(server.url, ALICE, PASSWORD)

    def look():
        page.goto(f"{server.url}/backup")
        assert visitor.accessibility_faults() == []

    # Empty. Nothing is switched on here.
    page.get_by_label("Back up my library every night").uncheck()
    page.get_by_role("button", name="Import a library").click()
    expect(headline).to_have_text("Nothing to back up yet")
    look()

    # Films, and no copy.
    films(20)
    look()
    expect(headline).to_have_text("Not backed up yet")
    expect(card).to_contain_text("20 films exist only here.")
    card.get_by_role("button", name="Back up now").click()

    # By hand only: the card follows without a reload.
    expect(headline).to_have_text("Backed up by hand only")
    expect(card).to_contain_text("nothing changed since")
    films(46, start=100)
    look()
    expect(card).to_contain_text("46 changes since.")
    page.get_by_role("button", name="Turn on automatic backups").click()

    # Everything is backed up.
    expect(headline).to_have_text("Everything is backed up")
    expect(card).to_contain_text("66 films, test-restored today at")
    look()

    # A failure, on every page until there is a good one.
    with db.connection_context():
        setting = json.dumps({"kind": "scheduled", "at": time.time()})
        User.update(last_error="Not enough disk space: 9 MB needed, 0 MB free.").execute()
        db.execute_sql(
            "insert into user_setting (user_id, key, value) values (?, 'backup.failed', ?)",
            (alice().id, setting),
        )
    page.goto(f"{server.url}/people")
    expect(page.get_by_role("alert")).to_contain_text("backup failed.")
    page.get_by_role("alert").get_by_role("link").click()
    expect(headline).to_contain_text("backup failed")
    expect(card).to_contain_text("Not enough disk space")
    assert visitor.accessibility_faults() == []
    card.get_by_role("button", name="Try again").click()
    expect(headline).to_have_text("Everything is backed up")
    page.goto(f"{server.url}/people")
    expect(page.get_by_role("alert")).to_have_count(0)

    # Late. The worker would catch up within a minute.
    server.kill("worker")
    with db.connection_context():
        for entry in backups.listing(alice().id):
            move_back(entry, 9)
        User.update(last_completed_at=User.last_completed_at - 9 * DAY).execute()
    films(2, start=500)
    look()
    expect(headline).to_contain_text("No backup since")
    expect(card).to_contain_text("changes are in no backup.")

    page.goto(f"{server.url}/admin")
    row = page.get_by_role("row").filter(has_text="alice")
    expect(row).to_contain_text("No backup since")
    expect(page.get_by_text("1 of 1 account")).to_be_visible()
    assert visitor.accessibility_faults() == []


def test_what_was_unticked_stays_so_when_the_plan_is_drawn_again(server, visit, tmp_path):
    file = tmp_path / "library.json"
    file.write_bytes(as_bytes(many(3)))
    visitor = visit()
    page = visitor.page
    visitor.log_in(server.url, ALICE, PASSWORD)
    page.goto(f"{server.url}/backup")
    expect(page.locator("form[hx-post='/backup/import'][data-htmx-powered]")).to_be_attached()
    page.locator("#import input[type=file]").set_input_files(file)
    offer = page.get_by_label("Back up my library every night")
    expect(offer).to_be_checked()
    offer.uncheck()
    with page.expect_response(lambda answer: answer.request.method == "POST"):
        page.get_by_role("radio", name="Keep mine").check()
    expect(page.get_by_role("radio", name="Keep mine")).to_be_checked()
    expect(offer).not_to_be_checked()
    page.locator("#confirm").click()
    expect(page.get_by_role("heading", name="Import finished")).to_be_visible()
    with db.connection_context():
        assert not alice().backup_enabled
