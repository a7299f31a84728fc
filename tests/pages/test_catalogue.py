"""The catalogue on Server › Providers: offered, fetched, updated, changed and removed."""

import re
from dataclasses import replace

import pytest

from mm import clock, config, models, tasks
from mm.database import db
from mm.models import Job
from mm.schemas import CatalogueChoice
from mm.services import heartbeat, jobs
from mm.services.catalogue import downloads, updates
from tests.support import catalogue
from tests.support import datasets as standins
from tests.support.datasets import datasets_fixture  # noqa: F401

CHOSEN = {"chosen": "1"}
HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
def admin(app, carol):
    client = app.test_client()
    client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    with client.session_transaction() as session:
        session["_user_id"] = carol.get_id()
    return client


@pytest.fixture
def worker(app, datasets):
    """worker(): does what is queued. IMDb's host is the stand-in."""
    config.use(replace(config.current, imdb_datasets_url=datasets.url))

    def work():
        with db.connection_context():
            queued = list(Job.select().where(Job.state == "queued"))
        for job in queued:
            tasks.run_job.call_local(job.id, job.kind)

    return work


def card(admin):
    """Its words."""
    text = admin.get("/admin/providers").text
    found = re.search(r'<article[^>]*id="catalogue".*?</article>', text, re.DOTALL)
    return " ".join(found[0].split())


def tens(size_bytes):
    """Megabytes as the page tells them."""
    return round(size_bytes / 10**7) * 10


def found_jobs():
    with db.connection_context():
        return [f"{job.kind} {job.state}" for job in Job.select().order_by(Job.created_at)]


def test_the_card_first_says_what_it_offers_and_needs_and_the_terms(admin):
    text = card(admin)
    names = downloads.names(CatalogueChoice(0))
    for words in (
        "Search by title without a key",
        f"downloads <strong>{tens(downloads.size_of(names))} MB</strong>",
        f"up to <strong>{tens(downloads.disk_of(names))} MB</strong> of disk space",
        "about 2 minutes",
        "for personal and non-commercial use",
        "Used with permission.",
        "Get the catalogue",
    ):
        assert words in text
    assert found_jobs() == []


def test_what_it_takes_follows_the_options(admin):
    answer = admin.get("/admin/catalogue/needs?akas=1&directors=1", headers=HTMX)
    assert "1.1 GB" in answer.text
    assert admin.get("/admin/catalogue/needs").location == "/admin/providers#catalogue"


def test_get_the_catalogue_fetches_it_and_the_card_says_what_is_there(admin, worker):
    answer = admin.post("/admin/catalogue/update", data=CHOSEN)
    assert answer.location == "/admin/providers#catalogue"
    assert "The catalogue is being fetched." in admin.get("/account").text
    assert "Waiting to start" in card(admin)
    worker()
    text = card(admin)
    assert "28 films and series" in text
    assert re.search(r"Next update <time[^>]*>on .* at \d\d:\d\d</time>", text)
    assert "Update now" in text


def test_update_now_leaves_the_options_as_they_are(admin, worker):
    admin.post("/admin/catalogue/update", data={**CHOSEN, "directors": "1"})
    worker()
    admin.post("/admin/catalogue/update")
    worker()
    with db.connection_context():
        assert updates.choice().directors
        assert [job.result for job in Job.select().order_by(Job.created_at)][1] == {
            "unchanged": True
        }


def test_pressed_twice_the_second_is_told_that_it_is_being_updated(admin):
    for _ in range(2):
        assert admin.post("/admin/catalogue/update", data=CHOSEN).status_code == 303
    assert "The catalogue is already being updated." in admin.get("/account").text
    assert found_jobs() == ["catalogue queued"]


def test_other_options_fetch_another_and_the_same_ones_nothing(admin, worker):
    admin.post("/admin/catalogue/update", data=CHOSEN)
    worker()
    admin.post("/admin/catalogue/options")
    assert "Nothing has changed." in admin.get("/account").text
    admin.post("/admin/catalogue/options", data={"adult": "1"})
    worker()
    assert "29 films and series" in card(admin)


def test_while_it_runs_the_card_asks_again_and_says_how_far_it_is(admin):
    admin.post("/admin/catalogue/update", data=CHOSEN)
    with db.connection_context():
        job = Job.get()
        Job.update(state="running", started_at=clock.now()).execute()
        jobs.progress(job, 40, 100, "Fetching titles: 85 of 215 MB")
        heartbeat.beat()
    text = card(admin)
    assert 'hx-get="/admin/catalogue"' in text
    assert "Fetching titles: 85 of 215 MB" in text
    assert "40 %" in text
    assert "isn’t running" not in text
    answer = admin.get("/admin/catalogue", headers=HTMX)
    assert answer.text.lstrip().startswith("<article")
    assert "40 %" in answer.text
    assert "40 %" in admin.get("/admin/jobs").text


def test_without_a_worker_it_says_what_it_waits_for(admin):
    admin.post("/admin/catalogue/update", data=CHOSEN)
    assert "the background worker isn’t running" in card(admin)


def test_a_failure_says_why_and_when_it_is_tried_again_and_that_the_old_one_stays(
    admin, worker, datasets
):
    admin.post("/admin/catalogue/update", data=CHOSEN)
    worker()
    datasets.fault("portal")
    admin.post("/admin/catalogue/update")
    worker()
    text = card(admin)
    assert "The last update failed" in text
    assert "The current catalogue stays in use." in text
    assert "It will be tried again" in text
    assert "28 films and series" in text
    datasets.heal()
    admin.post("/admin/catalogue/update")
    worker()
    assert "failed" not in card(admin)


def test_one_made_from_files_is_not_updated_automatically_and_update_now_fetches_it(
    admin, worker, tmp_path
):
    with db.connection_context():
        updates.choose(akas=False, directors=False, adult=False, is_renewed=False)
    text = card(admin)
    assert "It was made from files, so it is not fetched automatically." in text
    assert "Get it now" in text
    assert "Stop fetching" not in admin.get("/admin/catalogue/remove").text
    standins.write_files(tmp_path / "files")
    with db.connection_context():
        updates.update(lambda *_: None, lambda: False, tmp_path / "files")
    text = card(admin)
    assert re.search(r"made from files <time", text)
    assert "It is not updated automatically." in text
    assert "Next update" not in text
    admin.post("/admin/catalogue/update")
    worker()
    text = card(admin)
    assert "Next update" in text
    assert "made from files" not in text.lower()


def test_removing_says_what_is_lost_and_asks(admin, worker):
    admin.post("/admin/catalogue/update", data=CHOSEN)
    worker()
    text = " ".join(admin.get("/admin/catalogue/remove").text.split())
    assert "28 films and series will be deleted" in text
    assert "you can then no longer search by title" in text
    assert "Titles and ratings that it has already filled in stay." in text
    answer = admin.post("/admin/catalogue/remove")
    assert answer.location == "/admin/providers#catalogue"
    assert "Get the catalogue" in card(admin)
    assert not config.current.catalogue_file.exists()


def test_a_catalogue_kept_through_a_restore_is_shown(admin):
    catalogue.put()
    assert f"{len(catalogue.FILMS)} films and series" in card(admin)
    with db.connection_context():
        assert models.setting(updates.CHOICE) is None


def test_add_says_how_far_the_first_one_is_to_everybody(page, admin, worker):
    admin.post("/admin/catalogue/update", data=CHOSEN)
    with db.connection_context():
        jobs.progress(Job.get(), 40, 100, "Fetching titles: 85 of 215 MB")
    text = " ".join(page.get("/add").text.split())
    assert "The catalogue is being fetched: 40 %. Until it is ready, you can paste" in text
    with db.connection_context():
        jobs.progress(Job.get(), 5, 100, "Reading titles")
    assert "The catalogue is being built: 5 %" in page.get("/add/catalogue", headers=HTMX).text
    worker()
    answer = page.get("/add/catalogue", headers=HTMX)
    assert "you can search by title now" in answer.text
    assert "hx-get" not in answer.text
    assert "being" not in page.get("/add").text


def test_about_names_imdb(page):
    text = " ".join(page.get("/account").text.split())
    assert "Information courtesy of IMDb" in text
    assert "personal and non-commercial use" in text
