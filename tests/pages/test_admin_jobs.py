"""Server, Jobs: what runs and what has ended, of everybody, and nothing of what is in a library."""

import io
import json

import pytest
from playhouse.test_utils import count_queries

from mm import clock, disk, tasks
from mm.database import db
from mm.errors import UserError
from mm.models import Job
from mm.services import heartbeat, jobs
from mm.services.backup import imports, uploads
from tests.support.libraries import as_bytes, document, film, many, person, put

PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}
FILE = "Grandma's films.json"


@pytest.fixture
def admin(app, carol, frozen_clock):
    """Carol's browser, logged in."""
    client = app.test_client()
    client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    with client.session_transaction() as session:
        session["_user_id"] = carol.get_id()
    return client


def words(answer):
    return " ".join(answer.text.split())


def add(kind, user=None, **values):
    """A job's row as it may be found."""
    times = {"created_at": clock.now() - 60, "started_at": clock.now() - 60}
    if values.get("state") in ("done", "failed"):
        times["finished_at"] = clock.now()
    with db.connection_context():
        return Job.create(kind=kind, user=user, **{**times, **values})


def do(job):
    with db.connection_context():
        jobs.run(job.id, *tasks.WORK[job.kind])
        return Job.get_by_id(job.id)


def test_before_anything_has_run_the_page_says_what_will_be_there(admin):
    text = admin.get("/admin/jobs").text
    assert "Nothing has run yet" in text
    assert "hx-trigger" not in text.partition("<main")[2]


def test_a_job_that_ended_says_whose_it_was_how_long_it_took_and_what_came_of_it(admin, alice):
    with db.connection_context():
        put(alice, many(3))
        job = jobs.create("backup", alice.id, {"kind": "manual"})
    assert do(job).state == "done"
    add("enrich", state="done", result={"tmdb_ready": 1204, "tmdb_missing": 1})
    add("recheck", state="done", result={"checked": 12, "damaged": ["u/2026-01-02.json"]})
    text = words(admin.get("/admin/jobs"))
    assert "Backup" in text
    assert "<bdi>alice</bdi>" in text
    assert "1,204 titles from TMDB, 1 title not at TMDB" in text
    assert "12 backups checked, 1 backup damaged" in text
    assert "2026-01-02.json" not in text
    assert text.count("<small>for") == 1
    assert "a minute" in text


def test_what_runs_shows_how_far_it_is_and_asks_again_by_itself(admin, alice):
    add("enrich", state="running", done=30, total=120, message="30 from TMDB")
    add("import", alice, state="running", done=1, total=4, message="Comparing it with your library")
    add("backup", alice, state="queued", started_at=None)
    answer = admin.get("/admin/jobs", headers=PARTIAL)
    assert not answer.text.startswith("<!doctype")
    text = words(answer)
    assert 'hx-get="/admin/jobs"' in text
    assert 'value="30" max="120"' in text
    assert "30 from TMDB" in text
    assert "3 minutes left" in text
    assert "Import for <bdi>alice</bdi>" in text
    assert "step 1 of 4" in text
    assert "Waiting to start, queued" in text
    # It is nobody's library who reads this.
    assert "your library" not in text
    # Without JavaScript.
    assert 'http-equiv="refresh"' in admin.get("/admin/jobs").text


def test_a_night_of_thousands_does_not_fill_the_page(admin, alice):
    with db.connection_context():
        jobs.create_many("backup", [alice.id] * 2000, {"kind": "scheduled"})
    text = words(admin.get("/admin/jobs"))
    assert text.count("Waiting to start, queued") == 5
    assert "1,995 more waiting to start" in text


def test_a_worker_that_does_not_run_is_named(admin, alice):
    add("backup", alice, state="queued", started_at=None)
    assert "worker isn’t running" in words(admin.get("/admin/jobs"))
    with db.connection_context():
        heartbeat.beat()
    assert "worker isn’t running" not in words(admin.get("/admin/jobs"))


# What is private.


def test_an_import_tells_how_much_and_not_what(admin, alice):
    incoming = document([film(1, title="Her secret film")], [person("Grandma")])
    incoming["movies"].append({"imdb_id": "nonsense of hers"})
    with db.connection_context():
        job = uploads.receive(alice, io.BytesIO(as_bytes(incoming)), FILE)
    text = words(admin.get("/admin/jobs"))
    assert "To be confirmed" in text
    with db.connection_context():
        imports.confirm(job, imports.prepare(job).plan_id)
    admin.get("/admin/jobs")
    ended = do(job)
    assert ended.state == "done", ended.message
    text = words(admin.get("/admin/jobs"))
    assert "1 film, 1 person" in text
    for private in ("secret", "Grandma", "nonsense", FILE, "tt0000001", alice.id, job.id):
        assert private not in text


@pytest.mark.parametrize("kind", ["import", "restore", "undo", "verify", "backup"])
def test_a_reason_that_may_speak_of_a_library_is_for_its_owner(admin, alice, kind):
    params = {"filename": FILE, "kind": "manual"}
    with db.connection_context():
        job = jobs.create(kind, alice.id, params)
        jobs.fail(job, f"“{FILE}” can’t be read: the list “Lovers” does not exist.")
    text = words(admin.get("/admin/jobs"))
    assert "alice can see why on their Data &amp; Backup page." in text
    assert "Grandma" not in text
    assert "Lovers" not in text


def test_a_reason_about_the_server_is_shown_with_what_to_do(admin, alice):
    with db.connection_context():
        for message in (
            disk.FULL,
            jobs.GIVEN_UP,
            "Not enough disk space: 9 MB needed, 0 MB free.",
            jobs.went_wrong("import", "AB234"),
        ):
            jobs.fail(jobs.create("import", alice.id), message)
        jobs.fail(jobs.create("archive"), "The folder of the archives can’t be read.")
    text = words(admin.get("/admin/jobs"))
    assert "disk is full" in text
    assert "Gave up" in text
    assert "9 MB needed" in text
    assert "The log has the details (code AB234)." in text
    assert "Your library was not changed" not in text
    assert "The folder of the archives can’t be read." in text


def test_whatever_services_say_of_a_users_job_is_not_shown(admin, alice, monkeypatch):
    """The reason of any job of a user, however it failed."""

    def fails(job):
        raise UserError("My film Heat is broken.")

    with db.connection_context():
        for kind in jobs.OF_A_USER:
            job = jobs.create(kind, alice.id, {"kind": "manual"})
            jobs.run(job.id, fails)
    assert "Heat" not in admin.get("/admin/jobs").text


# Pages.


def test_they_are_paged_and_more_cost_no_more_queries(admin, alice):
    for number in range(4):
        add("backup", alice, state="done", result={"filename": "x"}, created_at=number)
    admin.get("/admin/jobs")
    with count_queries() as few:
        admin.get("/admin/jobs")
    for number in range(61):
        add("import", alice, state="done", created_at=number, result={"movies_imported": number})
    with count_queries() as many_rows:
        text = admin.get("/admin/jobs").text
    assert many_rows.count == few.count
    assert "Page 1 of 3" in text
    assert admin.get("/admin/jobs?page=3").text.count('scope="row"') == 5
    for odd in ("x", "-1", "99999999999999999999"):
        assert admin.get(f"/admin/jobs?page={odd}").status_code == 200


def test_a_result_of_a_hundred_thousand_rows_is_not_read(admin, alice):
    problems = [{"path": f"movies[{n}]", "reason": "x" * 50, "row": n} for n in range(20_000)]
    result = {"movies_imported": 7, "people_imported": 0, "problems": problems}
    add("import", alice, state="done", result=json.loads(json.dumps(result)))
    text = words(admin.get("/admin/jobs"))
    assert "7 films" in text
    assert len(text) < 40_000


def test_results_that_other_versions_wrote_do_no_harm(admin, alice):
    add("backup", alice, state="done", result=None)
    add("enrich", state="done", result={"tmdb_ready": "many", "damaged": None})
    add("import", alice, state="done", result={})
    add("recheck", state="failed", message="")
    assert admin.get("/admin/jobs").status_code == 200


def test_other_users_may_not(page):
    assert page.get("/admin/jobs").status_code == 403
