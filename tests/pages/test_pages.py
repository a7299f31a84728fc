"""The pages without a browser: who sees them, what a fragment gets, what a failure looks like."""

import io
import json
import re

import pytest
from peewee import DatabaseError, IntegrityError, InterfaceError, OperationalError

from mm import htmx, tasks
from mm.models import Job, Movie, Title, User
from mm.services import jobs
from mm.services.backup import backups, imports, large_files, stored_plans, uploads
from mm.services.library import movies, people, rankings
from tests.conftest import PASSWORD
from tests.support import libraries
from tests.support.libraries import custom_list, film, put
from tests.support.libraries import document as document_of

PARTIAL = {
    "HX-Request": "true",
    "HX-Request-Type": "partial",
    "HX-Current-URL": "http://localhost/backup?job=1",
}
OURS = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def page(client, alice):
    """Alice's browser: page.get(…), page.post(…)."""
    client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    answer = client.post("/login", data={"email": alice.email, "password": PASSWORD})
    assert answer.status_code == 303
    return client


def document(count):
    movies = [
        {"imdb_id": f"tt{number:07}", "last_modified": 1.6e9 + number}
        for number in range(1, count + 1)
    ]
    movies[0]["watch_history"] = {"date_watched": 1.6e9, "my_rating": 8.5}
    return json.dumps({"version": 2, "exported_at": 1.7e9, "movies": movies}).encode()


@pytest.fixture
def alices_films(alice):
    imports.import_bytes(alice, document(130))
    return alice


@pytest.fixture
def alices_backup(alices_films):
    return backups.create(alices_films)


# Log-in.


@pytest.mark.parametrize(
    "address",
    ["/", "/enrichment", "/backup", "/backup/health", "/backup/history", "/backup/export"],
)
def test_a_page_leads_to_the_log_in_and_remembers_where_one_was_going(client, alice, address):
    answer = client.get(address)
    assert answer.status_code == 303
    assert answer.location == f"/login?next={address}"


def test_the_log_in_leads_on_to_where_one_was_going(client, alice):
    form = {"email": "ALICE@example.org", "password": PASSWORD, "next": "/backup?job=7"}
    assert client.post("/login", data=form, headers=OURS).location == "/backup?job=7"


@pytest.mark.parametrize(
    "target", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_the_log_in_never_leads_off_the_site(client, alice, target):
    form = {"email": alice.email, "password": PASSWORD, "next": target}
    assert client.post("/login", data=form, headers=OURS).location == "/"


def test_a_wrong_password_keeps_the_address_and_says_so(client, alice):
    answer = client.post("/login", data={"email": alice.email, "password": "wrong"}, headers=OURS)
    assert answer.status_code == 401
    assert "Incorrect email or password" in answer.text
    assert 'value="alice@example.org"' in answer.text
    assert "wrong" not in answer.text


def test_remember_me_keeps_the_cookie_for_30_days(client, alice):
    form = {"email": alice.email, "password": PASSWORD}
    assert "Expires" not in client.post("/login", data=form, headers=OURS).headers["Set-Cookie"]
    assert (
        "Expires"
        in client.post("/login", data=form | {"remember": "1"}, headers=OURS).headers["Set-Cookie"]
    )


def test_logging_out_ends_the_session(page):
    assert page.post("/logout").location == "/login"
    assert page.get("/").location == "/login?next=/"


def test_the_log_in_page_is_skipped_by_who_is_logged_in(page):
    assert page.get("/login?next=/backup").location == "/backup"


# The protocol between page and htmx.


def test_one_address_gives_the_page_or_its_fragment(page, alices_films):
    whole, part = page.get("/"), page.get("/", headers=PARTIAL)
    assert "<html" in whole.text
    assert "<html" not in part.text
    assert part.text.lstrip().startswith('<div id="browse"')
    assert "HX-Request-Type" in whole.headers["Vary"]
    assert "HX-Request-Type" in part.headers["Vary"]


def test_a_fragment_asked_for_as_a_page_leads_to_its_page(page):
    assert page.get("/backup/health").location == "/backup"
    assert page.get("/enrichment").location == "/"


def test_a_boosted_request_and_a_history_restore_get_the_page(page):
    assert "<html" in page.get("/", headers={"HX-Request": "true", "HX-Request-Type": "full"}).text
    assert "<html" in page.get("/", headers={"HX-History-Restore-Request": "true"}).text


def test_a_form_leads_on_by_redirect_or_by_header(page, alices_backup):
    address = f"/backup/files/{alices_backup.filename}/restore"
    assert page.post(address).status_code == 303
    answer = page.post(address, headers=PARTIAL)
    assert answer.status_code == 204
    assert answer.headers["HX-Redirect"].startswith("/backup/import/")


def test_a_toast_survives_the_redirect_that_follows_it(page, alices_backup):
    page.post(f"/backup/files/{alices_backup.filename}/delete", headers=PARTIAL)
    assert "Backup deleted." in page.get("/backup").text
    assert "Backup deleted." not in page.get("/backup").text


LONGEST = "👩‍🚀" * 166


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("/movies/tt0000001/votes", {"person": LONGEST}),
        ("/movies/tt0000001/votes/{person}/delete", {}),
        ("/movies/tt0000001/status", {"to": "list:long"}),
        ("/movies/tt0000001/delete", {}),
        ("/movies/tt0000001/status", {"to": LONGEST}),
        ("/movies/tt0000001/watch", {"my_rating": LONGEST}),
        ("/people/{person}/trust", {"trusted": "1"}),
        ("/people", {"name": LONGEST}),
        ("/people/{person}", {"name": f"x{LONGEST}"}),
        ("/people/{person}/delete", {}),
        ("/lists", {"name": LONGEST}),
        ("/lists/long", {"name": f"x{LONGEST}"}),
        ("/lists/long/delete", {}),
        ("/selection", {"do": "list:long", "film": "tt0000001"}),
        ("/selection", {"do": "recommend", "person": LONGEST, "film": ["tt0000001", "tt0000009"]}),
        ("/selection", {"do": "recommend", "person": f"{LONGEST}x" * 9, "film": "tt0000001"}),
        ("/views", {"name": LONGEST, "view": "q=a"}),
        ("/add", {"imdb": "tt0000001", "where": "list:long"}),
    ],
)
def test_no_name_makes_the_headers_of_an_answer_too_long(page, alice, address, form):
    """A proxy refuses an answer with headers over 4 KB, though what was asked for is done."""
    put(alice, document_of([film()], [], [custom_list("long", LONGEST)]))
    Title.update(title=LONGEST).execute()
    person = people.create(alice.id, f"{LONGEST}s").id
    movies.recommend(alice.id, "tt0000001", person)
    for headers in (PARTIAL, {}):
        answer = page.post(address.format(person=person), data=form, headers=headers)
        assert sum(len(name) + len(value) + 4 for name, value in answer.headers) < 4096
        if toast := json.loads(answer.headers.get("HX-Trigger", "{}")).get("toast"):
            assert len(toast["message"]) < 500


def test_a_failure_of_any_length_fits_in_the_headers(app):
    with app.test_request_context(headers=PARTIAL):
        answer = htmx.refuse(f"{'🚀' * 3000} is called so already.", 409)
        assert len(answer.headers["HX-Trigger"]) < 4000
        assert "…" in json.loads(answer.headers["HX-Trigger"])["toast"]["message"]


def test_a_toast_cuts_a_name_and_not_what_happened_to_it(page, alice):
    person = people.create(alice.id, "N" * 500).id
    answer = page.post(f"/people/{person}/trust", data={"trusted": "1"}, headers=PARTIAL)
    said = json.loads(answer.headers["HX-Trigger"])["toast"]["message"]
    assert said == "N" * 79 + "… is now trusted."
    people.create(alice.id, "{kind} {0} {")
    brackets = people.find(alice.id, "{kind} {0} {").id
    answer = page.post(f"/people/{brackets}/trust", data={"trusted": "1"}, headers=PARTIAL)
    assert "{kind} {0} { is now trusted." in answer.headers["HX-Trigger"]


def test_an_expired_log_in_on_a_fragment_leads_back_to_its_page(page):
    User.update(token_version=User.token_version + 1).execute()
    answer = page.get("/backup/health", headers=PARTIAL)
    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == "/login?next=/backup?job%3D1"


# Failures.


def test_an_unknown_address_is_a_page_that_leads_back(page):
    answer = page.get("/nowhere")
    assert answer.status_code == 404
    assert "This page doesn’t exist." in answer.text
    assert 'href="/"' in answer.text


def test_a_failure_on_a_fragment_is_a_toast_and_swaps_nothing(page):
    answer = page.post("/backup/files/x.json/pin", headers=PARTIAL)
    assert answer.status_code == 404
    assert answer.headers["HX-Reswap"] == "none"
    assert "not found" in json.loads(answer.headers["HX-Trigger"])["toast"]["message"]
    assert answer.headers["HX-Trigger"].isascii()


def test_a_form_from_another_site_is_refused(page):
    answer = page.post("/backup/now", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert Job.select().count() == 0


def failing(monkeypatch, problem):
    def fail(user_id):
        raise problem

    monkeypatch.setattr(backups, "listing", fail)


def test_an_error_of_the_server_says_nothing_of_its_inside_but_its_code(
    page,
    app,
    alice,
    monkeypatch,
    caplog,
):
    app.testing = False
    failing(monkeypatch, RuntimeError("secret detail"))
    answer = page.get("/backup?x=secret")
    assert answer.status_code == 500
    assert "Something broke on the server" in answer.text
    assert "secret" not in answer.text
    (told,) = caplog.records
    code = told.fields.pop("code")
    assert told.fields == {"method": "GET", "route": "/backup", "user": alice.id}
    assert f"code {code}" in answer.text
    assert "secret detail" in caplog.text


def test_a_fragment_that_breaks_shows_the_code_as_a_toast(page, app, monkeypatch, caplog):
    app.testing = False
    failing(monkeypatch, RuntimeError("secret detail"))
    answer = page.get("/backup/history", headers=PARTIAL)
    assert answer.status_code == 500
    code = caplog.records[0].fields["code"]
    assert code in json.loads(answer.headers["HX-Trigger"])["toast"]["message"]


@pytest.mark.parametrize("kind", [OperationalError, InterfaceError, DatabaseError])
def test_a_database_that_does_not_answer_is_a_page_that_says_so(page, monkeypatch, caplog, kind):
    failing(monkeypatch, kind("database is locked"))
    answer = page.get("/backup")
    assert answer.status_code == 503
    assert "The database does not answer right now. Try again in a minute." in answer.text
    assert "locked" not in answer.text
    assert caplog.records[0].fields["problem"] == "database is locked"


def test_a_damaged_database_is_a_page_that_does_not_say_try_again(page, monkeypatch):
    failing(monkeypatch, DatabaseError("database disk image is malformed"))
    answer = page.get("/backup")
    assert answer.status_code == 503
    assert "The database is damaged." in answer.text
    assert "Try again" not in answer.text


def test_a_query_that_is_our_fault_is_an_unexpected_error(page, app, monkeypatch):
    app.testing = False
    failing(monkeypatch, IntegrityError("NOT NULL constraint failed: setting.value"))
    answer = page.get("/backup")
    assert answer.status_code == 500
    assert "NOT NULL" not in answer.text


def test_a_file_larger_than_64_mib_is_refused_with_its_limit(page):
    declared = {
        "CONTENT_LENGTH": str(65 * 2**20),
        "CONTENT_TYPE": "multipart/form-data; boundary=x",
    }
    answer = page.post("/backup/import", environ_overrides=declared)
    assert answer.status_code == 413
    assert "64 MB" in answer.text


@pytest.mark.parametrize("address", ["/", "/login", "/nowhere", "/static/css/app.css"])
def test_every_answer_carries_the_security_headers(page, address):
    with page.get(address) as answer:
        headers = answer.headers
    policy = headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    htmx = "https://cdn.jsdelivr.net/npm/htmx.org@4.0.1/dist/htmx.min.js"
    assert f"script-src 'self' {htmx};" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


def test_no_page_has_an_inline_script_or_style(page, alices_backup):
    for address in ("/", "/backup", "/nowhere"):
        text = page.get(address).text
        assert "style=" not in text
        assert "<style" not in text
        assert "onclick" not in text
        assert "<script>" not in text


# Data & Backup.


def test_the_files_and_jobs_of_another_are_not_found(client, alices_backup, bob):
    job = jobs.create("import", User.get(User.username == "alice").id)
    client.post("/login", data={"email": bob.email, "password": PASSWORD}, headers=OURS)
    address = f"/backup/files/{alices_backup.filename}"
    assert client.get(address).status_code == 404
    assert client.get(f"{address}/delete").status_code == 404
    for verb in ("verify", "restore", "delete"):
        assert client.post(f"{address}/{verb}", headers=OURS).status_code == 404
    assert client.get(f"/backup/jobs/{job.id}").status_code == 404
    assert client.get(f"/backup/import/{job.id}").status_code == 404
    assert client.post(f"/backup/import/{job.id}/confirm", headers=OURS).status_code == 404


@pytest.mark.parametrize(
    "name", ["..%2F..%2Fsecret_key", "%2e%2e", "2026-01-01.json.meta.json", "x.json"]
)
def test_only_a_listed_name_can_be_downloaded(page, alices_backup, name):
    assert page.get(f"/backup/files/{name}").status_code == 404


def test_a_get_changes_nothing(page, alices_backup):
    for verb in ("verify", "restore"):
        assert page.get(f"/backup/files/{alices_backup.filename}/{verb}").status_code == 405
    page.get(f"/backup/files/{alices_backup.filename}/delete")
    assert backups.path_of(User.get().id, alices_backup.filename).exists()


def test_deleting_the_last_verified_backup_warns(page, alices_backup):
    assert (
        "your only verified backup"
        in page.get(f"/backup/files/{alices_backup.filename}/delete").text
    )


def test_a_description_without_its_file_can_be_deleted_and_a_foreign_file_cannot(
    page, alice, alices_backup
):
    path = backups.path_of(alice.id, alices_backup.filename)
    path.unlink()
    (path.parent / "holiday.json").write_text("{}")
    address = f"/backup/files/{alices_backup.filename}/delete"
    assert "Delete this backup?" in page.get(address).text
    assert page.post(address).status_code == 303
    assert [entry.filename for entry in backups.listing(alice.id)] == ["holiday.json"]
    assert page.get("/backup/files/holiday.json/delete").status_code == 404
    assert page.post("/backup/files/holiday.json/delete").status_code == 404


def test_a_backup_that_is_late_is_said_on_every_page(page, alice):
    movies.add(alice.id, "tt0000001")
    assert "Not backed up yet" not in page.get("/").text
    User.update(backup_enabled=True, created_at=1.6e9).execute()
    assert "Not backed up yet" in page.get("/").text
    assert "Not backed up yet" in page.get("/backup").text


def test_the_health_card_says_what_failed(page, alice):
    User.update(
        backup_enabled=True, last_error="No room on the disk: 2 MB needed, 1 MB free."
    ).execute()
    assert "No room on the disk" in page.get("/backup").text


def test_switching_automatic_backups_on_makes_the_first_one(page, alice):
    answer = page.post("/backup/auto", data={"enabled": "1"})
    job = Job.get()
    assert answer.location == f"/backup?job={job.id}"
    assert (job.kind, job.params) == ("backup", {"kind": "scheduled"})
    assert "Automatic backups are on." in page.get("/backup").text


def shown_plan(address):
    """The id of the plan that this page shows."""
    return stored_plans.summary(Job.get_by_id(address.rsplit("/", 1)[1])).plan_id


def test_a_confirmed_import_that_met_a_change_can_be_looked_at_and_confirmed_again(page, alice):
    """All of it through the pages, and the worker's own function."""
    file = {"file": (io.BytesIO(document(3)), "library.json")}
    plan = page.post("/backup/import", data=file).location
    page.post(plan, data={"mode": "merge", "conflicts": "skip"})
    form = {"plan": shown_plan(plan)}
    job_page = page.post(f"{plan}/confirm", data=form).location
    movies.add(alice.id, "tt0099999")
    tasks.run_job.call_local(job_page.rsplit("/", 1)[1], "import")
    for address in (job_page, "/backup"):
        text = page.get(address).text
        assert "tt0099999 changed before this started" in text
        assert f'href="{plan}"' in text
        assert "every " not in text.partition('id="job"')[2].partition(">")[0]
    text = page.get(plan).text
    assert "tt0099999 changed before this started" in text
    assert re.search(r'value="skip" +checked', text)
    form = {"plan": shown_plan(plan)}
    assert page.post(f"{plan}/confirm", data=form).location == job_page
    tasks.run_job.call_local(job_page.rsplit("/", 1)[1], "import")
    assert "Import finished" in page.get(job_page).text
    assert Movie.select().where(Movie.user == alice.id).count() == 4
    assert "Waiting for you" not in page.get("/backup").text


def test_beside_a_phone_that_writes_all_the_time_the_second_confirmation_may_allow_it(page, alice):
    file = {"file": (io.BytesIO(document(3)), "library.json")}
    plan = page.post("/backup/import", data=file).location
    assert "even if my library changes again" not in page.get(plan).text
    movies.add(alice.id, "tt0099998")
    refused = page.post(f"{plan}/confirm", data={"plan": shown_plan(plan)})
    assert refused.status_code == 409
    assert "even if my library changes again" in refused.text
    movies.add(alice.id, "tt0099997")
    form = {"plan": shown_plan(plan), "anyway": "1"}
    job_page = page.post(f"{plan}/confirm", data=form).location
    movies.add(alice.id, "tt0099999")
    tasks.run_job.call_local(job_page.rsplit("/", 1)[1], "import")
    text = page.get(job_page).text
    assert "Import finished" in text
    assert "Your library changed again before this was imported" in text
    assert Movie.select().where(Movie.user == alice.id).count() == 6


def test_the_plan_of_a_file_whose_place_a_newer_upload_took_says_so(page, alice):
    first = uploads.receive(alice, io.BytesIO(document(3)))
    uploads.receive(alice, io.BytesIO(document(4)))
    for answer in (
        page.get(f"/backup/import/{first.id}"),
        page.post(f"/backup/import/{first.id}/confirm", data={"plan": "none"}),
        page.post(f"/backup/import/{first.id}/discard"),
    ):
        assert answer.status_code == 404
        assert "a newer upload replaced it" in answer.text


def test_a_large_upload_without_a_turn_is_refused_before_it_arrives(page, alice, monkeypatch):
    monkeypatch.setitem(large_files.waiting, alice.id, 1)
    body = {"wsgi.input": Unread(), "CONTENT_LENGTH": str(large_files.LARGE_FILE)}
    form = "multipart/form-data; boundary=x"
    answer = page.post("/backup/import", content_type=form, environ_overrides=body)
    assert answer.status_code == 503
    assert "Another import is being read" in answer.text


class Unread(io.RawIOBase):
    """A body that nobody may read."""

    def readinto(self, buffer):
        raise AssertionError("read")


def test_a_plan_that_nobody_has_confirmed_is_found_from_its_job(page, alice):
    job = uploads.receive(alice, io.BytesIO(document(3)))
    text = page.get(f"/backup/jobs/{job.id}").text
    assert "until you confirm" in text
    assert f'href="/backup/import/{job.id}"' in text


def test_a_plan_whose_file_was_swapped_says_so(page, alice):
    job = uploads.receive(alice, io.BytesIO(document(3)))
    uploads.path_of(job).write_bytes(document(7))
    answer = page.get(f"/backup/import/{job.id}")
    assert answer.status_code == 422
    assert "Upload it again" in answer.text


def test_what_was_left_out_is_listed_and_downloaded(page, alice):
    data = b'{"movies": [{"imdb_id": "tt0000001"}, {"imdb_id": "x"}]}'
    job = uploads.receive(alice, io.BytesIO(data))
    tasks.run_job.call_local(imports.confirm(job, imports.prepare(job).plan_id).id, "import")
    text = page.get(f"/backup/jobs/{job.id}").text
    assert "1 row couldn’t be read" in text
    assert "IMDb ID: &#39;x&#39; is not an IMDb title ID" in text
    rows = page.get(f"/backup/jobs/{job.id}/left-out").json
    assert [row["path"] for row in rows] == ["movies[1].imdb_id"]


def test_what_an_import_of_an_older_version_left_out_is_still_shown(page, alice):
    counts = {"movies": 1, "people": 0, "lists": 0}
    row = {"path": "movies[7]", "reason": "none"}
    result = {"imported_counts": counts, "warnings": [], "errors": [row]}
    job = Job.create(kind="import", user=alice, state="done", result=result)
    assert "1 row couldn’t be read" in page.get(f"/backup/jobs/{job.id}").text
    (kept,) = page.get(f"/backup/jobs/{job.id}/left-out").json
    assert row.items() <= kept.items()


def test_the_text_of_an_exception_that_an_older_version_kept_is_not_shown(page, alice):
    job = jobs.create("import", alice.id)
    jobs.fail(job, "Unexpected error: OSError: [Errno 17] File exists: '/srv/data/backups/x'")
    text = page.get(f"/backup/jobs/{job.id}").text
    assert "Something went wrong on the server" in text
    assert "Errno" not in text
    assert "/srv" not in text


def test_the_plan_of_a_file_of_equal_people_is_a_small_page(page, alice):
    people = b",".join([b'{"name": "Ann"}'] * 5_000)
    job = uploads.receive(alice, io.BytesIO(b'{"people": [%s]}' % people))
    text = page.get(f"/backup/import/{job.id}").text
    assert "And 4,989 more like the last one." in text
    assert len(text) < 60_000


def test_a_plan_shows_what_becomes_of_the_ranking(page, alice):
    places = [libraries.ranking(1), libraries.ranking(2, 2)]
    films = [libraries.seen(1), libraries.seen(2)]
    libraries.put(alice, libraries.document(films, rankings=places))
    swapped = [libraries.ranking(2), libraries.ranking(1, 2), libraries.ranking(9, 3)]
    file = libraries.as_bytes(libraries.document(films, rankings=swapped))
    job = uploads.receive(alice, io.BytesIO(file))
    text = page.get(f"/backup/import/{job.id}").text
    assert "Places in the ranking" in text
    assert "tt0000009 is in neither the file nor the library" in text
    page.post(
        f"/backup/import/{job.id}/confirm",
        data={"plan": shown_plan(f"/backup/import/{job.id}")},
    )
    imports.run(Job.get_by_id(job.id))
    assert [row.imdb_id for row in rankings.listing(alice.id)] == ["tt0000002", "tt0000001"]


def test_a_plan_that_was_confirmed_leads_to_its_job(page, alices_backup, alice):
    job = uploads.copy_backup(alice, alices_backup.filename)
    page.post(
        f"/backup/import/{job.id}/confirm",
        data={"plan": imports.prepare(job).plan_id},
    )
    assert page.get(f"/backup/import/{job.id}").location == f"/backup/jobs/{job.id}"


def test_a_cancelled_plan_leaves_nothing_behind(page, alices_backup, alice):
    job = uploads.copy_backup(alice, alices_backup.filename)
    page.post(f"/backup/import/{job.id}/discard")
    assert Job.get_or_none(Job.id == job.id) is None
    assert "Nothing was changed" in page.get("/backup").text


def test_the_export_is_indented_and_named_by_its_date(page, alices_films, frozen_clock):
    answer = page.get("/backup/export")
    assert (
        answer.headers["Content-Disposition"]
        == "attachment; filename=moviemanager-export-2026-03-01.json"
    )
    assert answer.text.startswith('{\n  "version": 2')


def test_a_failed_import_says_why_and_that_nothing_was_written(page, alice):
    job = jobs.create("import", alice.id)
    jobs.fail(job, "The library has changed since this plan was made.")
    text = page.get(f"/backup/jobs/{job.id}").text
    assert "The import failed" in text
    assert "The library has changed since" in text
    assert "Your library is unchanged" in text


def test_a_finished_job_wakes_the_history_and_asks_no_more(page, alice):
    job = jobs.create("backup", alice.id, {"kind": "manual"})
    assert "hx-get" in page.get(f"/backup/jobs/{job.id}", headers=PARTIAL).text
    jobs.fail(job, "No room.")
    answer = page.get(f"/backup/jobs/{job.id}", headers=PARTIAL)
    assert "hx-get" not in answer.text
    assert "backups" in json.loads(answer.headers["HX-Trigger"])


def test_without_a_tmdb_key_the_library_says_what_a_key_would_add(page, alices_films):
    text = page.get("/").text
    assert "An administrator can enter it on Server&nbsp;›&nbsp;Providers" in text
    assert "free TMDB key" in text
    assert "every 2s" not in text
