"""The pages that export people, lists, views and settings, and import them, without a browser."""

import io
import json
import re

import msgspec
import pytest

from mm import locks
from mm.database import db
from mm.errors import TooLargeError
from mm.models import Job, Person
from mm.routes import collection_pages, collections
from mm.services import jobs
from mm.services.backup import large_files, uploads
from mm.services.collections import envelope, importing, plans
from mm.services.library import people
from tests.support.libraries import as_bytes, many

PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}
PEOPLE = "/collections/people"


def a_file(*items, kind="people", **metadata):
    """A collection with these items, written by this program."""
    file = msgspec.to_builtins(envelope.written(kind, []))
    file["items"] = [item if isinstance(item, dict) else {"name": item} for item in items]
    file["metadata"] |= {"item_count": len(items), **metadata}
    return json.dumps(file).encode()


def upload(page, data, kind="people", name="people.json", **sent):
    form = {"file": (io.BytesIO(data), name)} if data is not None else {}
    return page.post(f"/collections/{kind}/import", data=form, **sent)


def digest_in(text):
    return re.search(r'name="plan" value="([^"]+)"', text)[1]


def names(user):
    with db.connection_context():
        return [row.name for row in people.listing(user.id) if not row.quick_key]


def words(answer):
    """The text of a page, in one line."""
    return " ".join(re.sub(r"<[^>]*>", " ", answer.text).split())


@pytest.fixture
def eve(alice):
    with db.connection_context():
        return people.create(alice.id, "Eve", color="#111111", emoji="🦊")


# Export


def test_who_has_nobody_is_told_the_next_step(page):
    answer = page.get(PEOPLE)
    assert "No people to export yet" in answer.text
    assert 'href="/people"' in answer.text
    assert "Select All" not in answer.text


def test_quick_recommenders_are_not_offered(page, eve):
    text = page.get(PEOPLE).text
    assert "Select All (1 item)" in text
    assert re.findall(r'name="ids"\s+value="(\d+)"', text) == [str(eve.id)]


def test_the_chosen_are_exported_to_a_file_named_by_the_date(page, alice, eve, frozen_clock):
    with db.connection_context():
        people.create(alice.id, "Finn")
    answer = page.post(f"{PEOPLE}/export", data={"ids": [str(eve.id)]})
    assert answer.status_code == 200
    assert "people-export-2026-03-01.json" in answer.headers["Content-Disposition"]
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert [item["name"] for item in answer.json["items"]] == ["Eve"]
    assert answer.json["metadata"]["export_type"] == "people"


def test_select_all_exports_all_without_a_single_tick(page, alice, eve):
    with db.connection_context():
        people.create(alice.id, "Finn")
    answer = page.post(f"{PEOPLE}/export", data={"export_all": "1"})
    assert sorted(item["name"] for item in answer.json["items"]) == ["Eve", "Finn"]


def test_an_export_of_nothing_says_what_to_do(page, eve):
    answer = page.post(f"{PEOPLE}/export")
    assert answer.status_code == 422
    assert "Please select at least one item to export" in answer.text
    assert 'role="alert"' in answer.text


def test_somebody_who_was_deleted_since_cannot_be_exported_and_the_rest_stays_ticked(page, eve):
    answer = page.post(f"{PEOPLE}/export", data={"ids": [str(eve.id), "999999"]})
    assert answer.status_code == 404
    assert "There is no person with the id 999999." in answer.text
    assert re.search(rf'value="{eve.id}"\s+autocomplete="off"\s+checked', answer.text)


def test_an_export_that_no_import_would_take_is_refused_and_the_ticks_stay(page, eve, monkeypatch):
    monkeypatch.setattr(envelope, "ITEMS_MAX", 0)
    answer = page.post(f"{PEOPLE}/export", data={"ids": [str(eve.id)]})
    assert answer.status_code == 422
    assert "Choose fewer" in answer.text
    assert re.search(rf'value="{eve.id}"\s+autocomplete="off"\s+checked', answer.text)


def test_a_kind_that_there_is_not_is_not_found(page):
    assert page.get("/collections/films").status_code == 404
    assert page.post("/collections/films/export").status_code == 404


# What cannot be imported


@pytest.mark.parametrize(
    ("data", "said", "status"),
    [
        (None, "Choose a file first", 422),
        (b"", "This file is empty", 422),
        (b"\xff\xfe", "it has no JSON", 422),
        (b"[1, 2]", "it has no `metadata` and `items`", 422),
        (a_file(kind="people", export_type="films"), "export type mismatch: films", 422),
        (a_file(version="2.0.0"), "unsupported export version: 2.0.0 (expected 1.0.0)", 422),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_at_its_field(page, data, said, status):
    answer = upload(page, data)
    assert (answer.status_code, said in answer.text) == (status, True)
    with db.connection_context():
        assert not Job.select().exists()


def test_a_file_that_is_too_large_is_refused(page, monkeypatch):
    monkeypatch.setattr(envelope, "FILE_MAX", 100)
    answer = upload(page, a_file(*["Eve"] * 50))
    assert answer.status_code == TooLargeError.status
    assert envelope.TOO_LARGE in answer.text


def test_a_body_that_is_far_too_large_is_refused_at_the_field(page, app, monkeypatch):
    monkeypatch.setitem(app.config, "MAX_CONTENT_LENGTH", 100)
    answer = upload(page, a_file("Eve"))
    assert (answer.status_code, envelope.TOO_LARGE in answer.text) == (413, True)


def test_a_file_of_another_kind_leads_to_the_page_that_takes_it(page):
    answer = upload(page, a_file(kind="settings"))
    assert answer.status_code == 422
    assert "export type mismatch: settings (expected people)" in answer.text
    assert "This file holds settings. Import it on Account ." in words(answer)
    assert 'href="/collections/settings"' in answer.text


def test_a_whole_library_leads_to_data_and_backup(page):
    answer = upload(page, as_bytes(many(1)))
    assert answer.status_code == 422
    assert 'href="/backup#import"' in answer.text


@pytest.mark.parametrize("kind", ["people", "lists", "views", "settings"])
@pytest.mark.parametrize("address", ["/backup/import", "/backup/upload"])
def test_data_and_backup_says_where_a_collection_belongs(page, kind, address):
    data = a_file(kind=kind) if kind == "views" else msgspec.json.format(a_file(kind=kind))
    answer = page.post(address, data={"file": (io.BytesIO(data), "x.json")})
    assert answer.status_code == 422
    place = collection_pages.PLACES[kind]
    assert f"This file holds {place.things}. Import it on {place.page}" in answer.text


# The preview


def test_the_preview_says_in_numbers_what_would_happen(page, eve):
    items = ["Finn", "EVE", {"name": ""}, {"name": "Gail", "color": "blue"}]
    answer = page.get(upload(page, a_file(*items, mm_version="0.9", item_count=9)).location)
    text = words(answer)
    assert "1 new, 1 already here, 2 cannot be used." in text
    assert "With these choices: 1 is imported, 1 is skipped, 2 cannot be used." in text
    assert "This file was written by Movie Manager 0.9" in text
    assert "The file says that it has 9 items, and it has 4." in text
    assert "Here: Eve" in text
    assert "Import 1 person" in text
    for button in ("Skip All", "Rename All", "Overwrite All"):
        assert button in text
    assert re.search(r'value="skip"\s+autocomplete="off"\s+checked', answer.text)


def test_a_colour_is_shown_as_itself_and_both_names_stand_once(page, eve):
    preview = page.get(upload(page, a_file({"name": "EVE", "color": "#1864ab"})).location)
    text = words(preview)
    assert "Here: Eve" in text
    assert "name: Eve" not in text
    assert '<circle cx="5" cy="5" r="5" fill="#1864ab"/>' in preview.text


def test_a_setting_is_called_what_the_pages_call_it(page):
    file = a_file({"name": "library", "value": {"size": "l", "sort": "title"}}, kind="settings")
    text = words(page.get(upload(page, file, "settings").location))
    assert "Library posters: Medium → Large" in text


def test_a_choice_is_kept_and_draws_the_preview_anew(page, eve):
    address = upload(page, a_file("Eve", "Finn")).location
    form = {"resolution-0": "rename"}
    answer = page.post(address, data=form, headers=PARTIAL)
    assert answer.text.lstrip().startswith('<section id="plan"')
    assert "Imported as Eve (1) ." in words(answer)
    assert "1 is imported, 1 is renamed" in words(page.get(address))
    assert page.post(address, data={"all": "overwrite"}).location == address
    assert "1 replaces yours" in words(page.get(address))


def test_an_unknown_choice_changes_nothing(page, eve):
    address = upload(page, a_file("Eve")).location
    for form in ({"resolution-0": "merge"}, {"all": "merge"}):
        answer = page.post(address, data=form)
        assert (answer.status_code, "unknown resolution: merge" in answer.text) == (422, True)
    assert "1 is skipped" in words(page.get(address))


def test_a_quick_recommender_cannot_be_chosen_to_be_overwritten(page, alice):
    address = upload(page, a_file("Random Person")).location
    answer = page.get(address)
    assert re.search(r'value="overwrite"\s+autocomplete="off"\s+disabled', answer.text)
    assert "Pinned recommenders cannot be overwritten." in answer.text
    page.post(address, data={"all": "overwrite"})
    assert "1 cannot be used." in words(page.get(address))


def test_a_long_file_shows_the_first_of_each_group_and_all_counts_for_the_rest(page, alice):
    many_names = [f"Person {n}" for n in range(1000)]
    address = upload(page, a_file(*many_names)).location
    answer = page.get(address)
    assert "And 800 more." in words(answer)
    assert len(answer.data) < 300_000
    page.post(address, data={"do": "confirm", "plan": digest_in(answer.text)})
    address = upload(page, a_file(*many_names)).location
    answer = page.get(address)
    assert "1,000 already here" in words(answer)
    assert len(answer.data) < 500_000
    page.post(address, data={"all": "rename"})
    answer = page.get(address)
    assert "1,000 are renamed" in words(answer)
    answer = page.post(address, data={"do": "confirm", "plan": digest_in(answer.text)})
    assert "1,000 renamed" in words(page.get(address))
    assert len(names(alice)) == 2000


# The import


def confirmed(page, address, **form):
    digest = digest_in(page.get(address).text)
    return page.post(address, data={"do": "confirm", "plan": digest, **form})


def test_an_import_is_done_at_once_and_tells_what_became_of_each(page, alice, eve):
    with db.connection_context():
        people.create(alice.id, "Finn")
        people.create(alice.id, "Gail")
    file = a_file("Eve", {"name": "Finn", "is_trusted": True}, "Gail", "Hugo", {"name": ""})
    address = upload(page, file).location
    page.post(address, data={"resolution-0": "rename", "resolution-1": "overwrite"})
    chosen = {"resolution-0": "rename", "resolution-1": "overwrite", "resolution-2": "skip"}
    answer = confirmed(page, address, **chosen)
    assert answer.location == address
    text = words(page.get(address))
    for badge in ("1 imported", "1 skipped", "1 overwritten", "1 renamed", "1 error"):
        assert badge in text
    assert "Eve is now Eve (1)" in text
    assert "name: is missing or empty" in text.casefold()
    assert "Undo this import…" in text
    assert 'href="/people"' in page.get(address).text
    assert sorted(names(alice)) == ["Eve", "Eve (1)", "Finn", "Gail", "Hugo"]
    with db.connection_context():
        assert people.find(alice.id, "Finn").is_trusted


def test_it_can_be_undone(page, alice, eve):
    address = upload(page, a_file("Finn")).location
    confirmed(page, address)
    filename = re.search(r'name="filename" value="([^"]+)"', page.get(address).text)[1]
    answer = page.post("/backup/undo", data={"filename": filename})
    assert page.get(answer.location).status_code == 200


def test_choosing_and_confirming_in_one_step_shows_the_new_preview_first(page, alice, eve):
    address = upload(page, a_file("Eve", "Finn")).location
    answer = confirmed(page, address, **{"resolution-0": "overwrite"})
    assert collections.CHOSEN_SINCE in answer.text
    assert names(alice) == ["Eve"]
    form = {"do": "confirm", "plan": digest_in(answer.text), "resolution-0": "overwrite"}
    page.post(address, data=form)
    assert "1 overwritten" in words(page.get(address))


def test_a_library_that_changed_since_shows_the_preview_again(page, alice, eve):
    address = upload(page, a_file("Eve", "Finn")).location
    digest = digest_in(page.get(address).text)
    with db.connection_context():
        people.create(alice.id, "Finn")
    answer = page.post(address, data={"do": "confirm", "plan": digest})
    assert (answer.status_code, importing.CHANGED_SINCE in answer.text) == (409, True)
    assert "2 already here" in words(answer)
    assert sorted(names(alice)) == ["Eve", "Finn"]


def test_an_import_beside_another_one_waits_for_its_user(page, alice, eve):
    address = upload(page, a_file("Finn")).location
    with locks.hold(f"library-{alice.id}"):
        answer = confirmed(page, address)
    assert answer.status_code == 409
    assert "Try again when it has finished." in answer.text
    assert confirmed(page, address).status_code == 303


def test_one_whose_process_died_is_said_to_go_on(page, alice, eve):
    address = upload(page, a_file("Finn")).location
    with db.connection_context():
        Job.update(state="running", started_at=0).execute()
    answer = page.get(address)
    assert "The import goes on in a moment." in answer.text
    assert 'hx-trigger="every 1s"' in answer.text
    assert '<meta http-equiv="refresh" content="3">' in answer.text
    assert page.get(address, headers=PARTIAL).text.lstrip().startswith("<section")


def test_one_that_meets_another_library_when_it_runs_waits_again_with_the_reason(page, alice):
    address = upload(page, a_file("Finn")).location
    with db.connection_context():
        job = importing.confirm(Job.get(), plans.digest(importing.planned(Job.get())))
        people.create(alice.id, "Finn")
        jobs.run(job.id, importing.run, importing.failed)
    answer = page.get(address)
    assert importing.CHANGED_SINCE in answer.text
    assert "1 already here" in words(answer)


def test_an_error_that_nobody_foresaw_is_told_on_the_page_of_the_import(
    page, alice, monkeypatch, caplog
):
    def fails(*_):
        raise ZeroDivisionError

    address = upload(page, a_file("Finn")).location
    digest = digest_in(page.get(address).text)
    monkeypatch.setattr(plans, "apply", fails)
    assert page.post(address, data={"do": "confirm", "plan": digest}).location == address
    text = words(page.get(address))
    assert "The import failed" in text
    assert "Nothing was written. Your people are as they were." in text
    assert names(alice) == []


def test_a_file_that_is_cancelled_is_gone(page, eve):
    address = upload(page, a_file("Finn")).location
    assert "people.json waits for you" in page.get(PEOPLE).text
    assert page.post(address, data={"do": "discard"}).location == PEOPLE
    assert "Nothing was changed." in page.get(PEOPLE).text
    answer = page.get(address)
    assert (answer.status_code, uploads.GONE in answer.text) == (404, True)
    assert "Choose a file again" in answer.text


def test_an_import_sent_twice_is_done_once(page, alice, eve):
    address = upload(page, a_file("Finn")).location
    digest = digest_in(page.get(address).text)
    for _ in range(2):
        answer = page.post(address, data={"do": "confirm", "plan": digest})
        assert answer.location == address
    assert page.post(address, data={"do": "discard"}).location == address
    assert sorted(names(alice)) == ["Eve", "Finn"]


def test_a_preview_is_not_shown_as_one_of_another_kind(page):
    address = upload(page, a_file("Finn")).location
    assert page.get(address.replace("people", "settings")).status_code == 404


def test_where_nothing_would_change_there_is_nothing_to_import(page, eve):
    answer = page.get(upload(page, a_file("Eve")).location)
    assert "Nothing changes with these choices." in answer.text
    assert 'id="confirm"' not in answer.text


def test_names_with_markup_in_them_are_only_text(page, alice):
    nasty = "<script>alert(1)</script>"
    address = upload(page, a_file(nasty, {"name": nasty + "2", "color": 3})).location
    assert "<script>alert" not in page.get(address).text
    confirmed(page, address)
    assert "<script>alert" not in page.get(address).text
    assert "<script>alert" not in page.get(PEOPLE).text
    with db.connection_context():
        assert Person.select().where(Person.name == nasty).exists()


def test_the_page_of_jobs_leads_to_that_of_the_import(page, alice):
    address = upload(page, a_file("Finn")).location
    confirmed(page, address)
    assert f'href="{address}"' in page.get(f"/backup/jobs/{address.rpartition('/')[2]}").text


def test_the_pages_of_the_things_themselves_lead_here(page, alice):
    assert 'href="/collections/people"' in page.get("/people").text
    assert 'href="/collections/lists"' in page.get("/lists").text
    assert 'href="/collections/settings"' in page.get("/account").text


# Large files


def test_a_large_file_is_imported_by_the_worker(page, alice, eve, monkeypatch):
    address = upload(page, a_file("Finn")).location
    monkeypatch.setattr(large_files, "LARGE_FILE", 1)
    assert confirmed(page, address).location == address
    assert Job.get().state == "queued"
    assert 'hx-trigger="every 1s"' in page.get(address).text
    jobs.run(Job.get().id, importing.run, importing.failed)
    assert "1 imported" in words(page.get(address))


def test_a_large_file_without_a_turn_is_refused_before_it_arrives(page, alice, monkeypatch):
    monkeypatch.setitem(large_files.waiting, alice.id, 1)
    body = {"wsgi.input": Unread(), "CONTENT_LENGTH": str(large_files.LARGE_FILE)}
    form = "multipart/form-data; boundary=x"
    answer = page.post(f"{PEOPLE}/import", content_type=form, environ_overrides=body)
    assert answer.status_code == 503
    assert "Another import is being read" in answer.text


class Unread(io.RawIOBase):
    """A body that nobody may read."""

    def readinto(self, buffer):
        raise AssertionError("read")
