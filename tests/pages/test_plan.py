"""The page of a plan: what it says, what one decides there, and what is left out."""

import csv
import io
import json
import re

import pytest

from mm import tasks
from mm.models import Job, Movie, Person, Title
from mm.services.backup import backups, imports, large_files, stored_plans, undoing, uploads
from mm.services.library import movies
from tests.support import catalogue
from tests.support.libraries import as_bytes, document, film, person, put, seen, vote

PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}
EVIL = "<script>alert(1)</script>"


def words(answer):
    """What is read on the page, with single spaces."""
    text = re.sub(r"<(script|style|template).*?</\1>", " ", answer.text, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def upload(page, *films, **values):
    """The address of the plan of a file with these films."""
    file = (io.BytesIO(as_bytes(document(films, **values))), "from Paul.json")
    answer = page.post("/backup/import", data={"file": file})
    assert answer.status_code == 303
    return answer.location


def job_of(address):
    return Job.get_by_id(address.split("?")[0].rsplit("/", 1)[1])


def confirmed(page, address, **form):
    """Confirm the plan that is shown, and let the worker do it."""
    job = job_of(address)
    form = {"plan": stored_plans.summary(job).plan_id, **form}
    answer = page.post(f"{address}/confirm", data=form)
    assert answer.status_code == 303
    tasks.run_job.call_local(job.id, job.kind)
    return page.get(answer.location)


def in_library(alice):
    rows = Movie.select(Movie.title).where(Movie.user == alice).order_by(Movie.title)
    return [int(imdb_id[2:]) for (imdb_id,) in rows.tuples()]


@pytest.fixture
def wrecked(alice, page):
    """A backup of films 1 to 4; since then 2 is gone, 3 is rated 3, and 5 and 6 are new."""
    put(alice, document([seen(n, rating=9) for n in range(1, 5)]))
    entry = backups.create(alice)
    movies.delete(alice.id, "tt0000002")
    movies.rate(alice.id, "tt0000003", 3)
    for number in (5, 6):
        movies.add(alice.id, f"tt{number:07d}")
    return entry


def restore(page, entry):
    return page.post(f"/backup/files/{entry.filename}/restore").location


# What it says.


def test_a_restore_is_named_by_its_day_and_goes_back_by_default(page, wrecked, alice):
    text = words(page.get(restore(page, wrecked)))
    assert "Restore today’s backup?" in text
    assert "4 films · test-restored just now" in text
    assert "1 film comes back, 1 changes, 2 go, 2 are the same." in text
    assert "Go back to this backup" in text
    assert "2 films are removed" in text


def test_each_mode_shows_its_own_numbers_beside_the_other(page, wrecked):
    text = words(page.get(restore(page, wrecked)))
    replace, merge = text.split("Only bring back what is missing")[:2]
    assert "1 film comes back" in replace
    assert "2 films are removed" in replace
    assert "1 film comes back" in merge
    assert "2 other films of yours stay" in merge


def test_going_back_makes_the_library_what_it_was(page, wrecked, alice):
    address = restore(page, wrecked)
    page.get(address)
    confirmed(page, address)
    assert in_library(alice) == [1, 2, 3, 4]


def test_bringing_back_what_is_missing_removes_nothing_and_says_restored_nowhere(
    page, wrecked, alice
):
    address = restore(page, wrecked)
    page.get(address)
    page.post(address, data={"mode": "merge"})
    text = words(page.get(address))
    assert "Bring back what is missing" in text
    text += words(confirmed(page, address))
    assert in_library(alice) == [1, 2, 3, 4, 5, 6]
    assert "What was missing is back" in text
    for word in ("restored.", "Restore finished", "Restoring"):
        assert word not in text


def test_an_import_is_named_by_its_file_and_adds_by_default(page, alice):
    put(alice, document([film(1)]))
    text = words(page.get(upload(page, film(1), film(2))))
    assert "Import from Paul.json?" in text
    assert "Exported" in text
    assert "1 film is new, 1 is the same." in text
    assert "Nothing of yours is removed." in text
    assert "Import 1 film" in text


def test_a_changed_rating_stands_in_the_row_of_its_film(page, wrecked):
    address = restore(page, wrecked)
    text = words(page.get(f"{address}?open=movie-changed"))
    assert re.search(r"tt0000003 (changed .{,60})?rating 3 → becomes 9", text)


def test_a_plan_that_changes_nothing_offers_done(page, alice):
    put(alice, document([film(1)]))
    text = page.get(upload(page, film(1))).text
    assert "Nothing would change." in text
    assert ">Done</button>" in text
    assert 'id="confirm"' not in text


def test_a_plan_of_which_nothing_is_left_says_that_the_rest_is_there(page, alice):
    put(alice, document([film(1)]))
    address = upload(page, film(1), film(2))
    page.get(address)
    page.post(address, data={"row": "movie:tt0000002"})
    text = page.get(address).text
    assert "Your library already has the rest. Nothing would change." in text
    assert 'id="movie-kept"' not in text


def test_titles_and_notes_of_a_file_are_text(page, alice):
    films = [film(1, title=EVIL, note=EVIL), film(2, imdb_id="x", title=EVIL)]
    people = [person(EVIL), person("Bob", color=EVIL)]
    address = upload(page, *films, people=people)
    names = [f"{kind}-{outcome}" for kind in ("movie", "person") for outcome in ("new", "rejected")]
    for text in (
        page.get(address, query_string={"open": names}).text,
        page.get(f"{address}/rows?group=movie-new", headers=PARTIAL).text,
    ):
        assert EVIL not in text
        assert "&lt;script&gt;" in text


# Groups and pages.


def test_a_large_group_is_closed_and_its_rows_come_by_the_hundred(page, alice):
    address = upload(page, *[film(n) for n in range(1, 251)])
    assert 'name="take"' not in page.get(address).text
    first = page.get(f"{address}/rows?group=movie-new", headers=PARTIAL).text
    assert first.count('name="take"') == 100
    assert "Show 100 more" in first
    group = {"group": "movie-new:200-300", "from": 0}
    last = page.get(f"{address}/rows", query_string=group, headers=PARTIAL).text
    assert last.count('name="take"') == 50
    assert "more</a>" not in last


def test_without_javascript_the_same_rows_are_reached_by_links(page, alice):
    address = upload(page, *[film(n) for n in range(1, 251)])
    (link,) = re.findall(r'<p class="plan-group__rows"><a href="([^"]+)"', page.get(address).text)
    text = page.get(link.replace("&amp;", "&")).text
    assert text.count('name="take"') == 100
    (more,) = re.findall(r'<a href="([^"]+)"[^>]*>Show 100 more', text)
    text = page.get(more.replace("&amp;", "&")).text
    assert 'value="movie:tt0000150"' in text
    assert "Show the 100 before" in text


def test_open_groups_stay_open_when_the_rule_changes(page, alice):
    put(alice, document([seen(n, rating=2) for n in range(1, 31)]))
    address = upload(page, *[seen(n, rating=9) for n in range(1, 31)])
    form = {"mode": "merge", "conflicts": "skip", "open": ["none", "movie-kept:0-100"]}
    page.get(address)
    text = page.post(address, data=form, headers=PARTIAL).text
    assert re.search(r'id="movie-kept"[^>]* open', text)
    form["open"] = ["none"]
    assert not re.search(r"<details[^>]* open", page.post(address, data=form, headers=PARTIAL).text)


# Rows in and out.


def test_a_row_that_is_unticked_stays_as_it_is_and_can_be_ticked_again(page, wrecked, alice):
    address = restore(page, wrecked)
    page.get(address)
    rows = ["movie:tt0000005", "movie:tt0000006"]
    page.post(address, data={"mode": "replace", "row": rows, "take": rows[:1]})
    text = words(page.get(address))
    assert "1 row left out by you" in text
    assert "1 film comes back, 1 changes, 1 goes" in text
    page.post(address, data={"mode": "replace", "row": rows[1:], "take": rows[1:]})
    assert "left out by you" not in words(page.get(address))
    page.post(address, data={"mode": "replace", "row": rows, "take": rows[:1]})
    confirmed(page, address)
    assert in_library(alice) == [1, 2, 3, 4, 6]


def test_a_new_row_that_is_left_out_is_not_taken(page, alice):
    address = upload(page, film(1), film(2))
    page.get(address)
    page.post(address, data={"row": "movie:tt0000002"})
    assert "1 row left out by you" in words(page.get(address))
    confirmed(page, address)
    assert in_library(alice) == [1]


def test_who_unticks_and_confirms_at_once_is_shown_the_new_plan_first(page, alice):
    """Without JavaScript one form holds both."""
    address = upload(page, film(1), film(2))
    page.get(address)
    form = {"plan": stored_plans.summary(job_of(address)).plan_id, "row": "movie:tt0000002"}
    answer = page.post(f"{address}/confirm", data=form)
    assert answer.status_code == 200
    assert "Your choices changed the plan." in answer.text
    assert job_of(address).state == "waiting"
    confirmed(page, address, row="movie:tt0000002")
    assert in_library(alice) == [1]


# What cannot be read.


def bad_films(count=11):
    return [seen(n, rating=11, title=f"Film {n}") for n in range(2, 2 + count)]


def test_equal_problems_are_grouped_and_each_row_names_its_film_and_place(page, alice):
    text = words(page.get(upload(page, film(1), *bad_films())))
    assert "1 film is new, 11 cannot be read." in text
    assert "11 × rating: 11 is above 10" in text
    assert "Film 7 row 7" in text
    assert "movies[6]" not in text


def test_a_rating_is_mended_in_place(page, alice):
    address = upload(page, film(1), *bad_films(2))
    path = "movies[1].watch_history.my_rating"
    assert f'name="fix:{path}"' in page.get(address).text
    page.post(address, data={f"fix:{path}": "9,5"})
    text = words(page.get(address))
    assert "2 films are new, 1 cannot be read." in text
    assert "Film, row 2: rating 9.5" in text
    confirmed(page, address)
    assert in_library(alice) == [1, 2]
    assert [row.my_rating for row in movies.find(alice.id, "tt0000002").watches] == [9.5]


def test_a_film_is_given_by_its_imdb_address_a_colour_a_name_and_a_day_by_themselves(page, alice):
    films = [film(1), film(2, imdb_id="x"), seen(3, date="long ago")]
    people = [person("Bob", color="reddish"), person("")]
    address = upload(page, *films, people=people)
    page.get(address)
    form = {
        "fix:movies[1].imdb_id": "https://www.imdb.com/title/tt0000007/",
        "fix:movies[2].watch_history.date_watched": "2024-05-01",
        "fix:people[0].color": "#0a84ff",
        "fix:people[1].name": "Ann",
    }
    page.post(address, data=form)
    assert "cannot be read" not in words(page.get(address))
    confirmed(page, address)
    assert in_library(alice) == [1, 3, 7]
    named = {row.name for row in Person.select().where(Person.user == alice)}
    assert {"Bob", "Ann"} <= named


def test_what_is_still_wrong_is_told_again_and_can_be_taken_back(page, alice):
    address = upload(page, film(1), *bad_films(1))
    path = "movies[1].watch_history.my_rating"
    page.get(address)
    page.post(address, data={f"fix:{path}": "12"})
    text = page.get(address).text
    assert "rating: 12 is above 10" in text
    assert 'value="12' in text
    page.post(address, data={"unfix": path})
    assert "rating: 11 is above 10" in page.get(address).text


def test_rows_without_a_name_stop_going_back_until_they_are_left_out(page, alice):
    put(alice, document([film(5)]))
    address = upload(page, film(1), film(2, imdb_id="x"))
    page.get(address)
    answer = page.post(address, data={"mode": "replace"})
    assert answer.status_code == 422
    assert "Go back without these rows" in answer.text
    assert re.search(r'value="merge" +checked', answer.text)
    page.post(address, data={"without": "nameless"})
    assert "1 film is new, 1 goes, 1 cannot be read." in words(page.get(address))
    confirmed(page, address)
    assert in_library(alice) == [1]


def test_what_is_left_out_comes_as_a_harmless_table_and_as_json(page, alice):
    titles = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "Heat"]
    bad = [seen(n + 2, rating=11, title=title) for n, title in enumerate(titles)]
    address = upload(page, film(1), *bad, people=[person("=cmd()", color="x")])
    page.get(address)
    page.post(address, data={"row": "movie:tt0000001"})
    answer = page.get(f"{address}/left-out.csv")
    assert answer.headers["Content-Disposition"].endswith(".csv")
    rows = list(csv.DictReader(io.StringIO(answer.get_data(as_text=True).lstrip("\ufeff"))))
    assert len(rows) == 9
    for row in rows:
        for cell in row.values():
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert rows[-1]["row"] or rows[0]["problem"]
    found = {row["name"]: row["problem"] for row in rows}
    assert found["'=1+1"] == found["Heat"] == "rating: 11 is above 10"
    kept = page.get(f"{address}/left-out.json").json
    assert {"film", "person"} == {row["what"] for row in kept}
    assert page.get(f"{address}/left-out.xml").status_code == 404


def test_after_the_import_it_can_still_be_downloaded(page, alice):
    address = upload(page, film(1), *bad_films(2))
    page.get(address)
    text = words(confirmed(page, address))
    assert "2 rows couldn’t be read." in text
    assert "2 × rating: 11 is above 10" in text
    job = job_of(address)
    answer = page.get(f"/backup/jobs/{job.id}/left-out.csv").get_data(as_text=True)
    rows = list(csv.DictReader(io.StringIO(answer.lstrip("\ufeff"))))
    assert [(row["what"], row["row"]) for row in rows] == [("Film", "2"), ("Film", "3")]


# When it is no longer so.


def test_a_plan_over_which_something_changed_names_it_and_shows_the_new_one(page, wrecked, alice):
    address = restore(page, wrecked)
    page.get(address)
    form = {"plan": stored_plans.summary(job_of(address)).plan_id}
    movies.add(alice.id, "tt0000009")
    answer = page.post(f"{address}/confirm", data=form)
    assert answer.status_code == 409
    text = words(answer)
    assert "tt0000009 changed since this plan was made" in text
    assert "3 go" in text
    confirmed(page, address)
    assert in_library(alice) == [1, 2, 3, 4]


def test_a_plan_that_is_opened_again_after_a_change_is_made_anew_and_says_so(page, wrecked, alice):
    address = restore(page, wrecked)
    page.get(address)
    movies.add(alice.id, "tt0000009")
    text = words(page.get(address))
    assert "Your library changed since this plan was made. This is the new plan." in text
    assert "3 go" in text


def test_a_plan_whose_file_is_gone_says_what_to_do(page, alice):
    address = upload(page, film(1))
    uploads.delete(job_of(address))
    answer = page.get(address)
    assert answer.status_code == 404
    assert "Upload it again" in words(answer)
    assert 'href="/backup#import"' in answer.text


def test_a_plan_of_which_a_day_has_passed_says_what_to_do(page, alice, frozen_clock):
    address = upload(page, film(1))
    page.get(address)
    frozen_clock.move(86_401)
    uploads.sweep()
    answer = page.get(address)
    assert answer.status_code == 404
    assert "24 hours" in words(answer)


def test_an_undo_says_of_what_it_is_and_names_what_was_done_since(page, wrecked, alice):
    address = restore(page, wrecked)
    page.get(address)
    confirmed(page, address)
    movies.add(alice.id, "tt0000009")
    undo = undoing.request(alice)
    text = words(page.get(f"/backup/import/{undo.id}"))
    assert "Undo the restore?" in text
    assert "Your library as it was before: Before a restore backup" not in text
    assert "tt0000009 changed since then. That is undone too." in text
    confirmed(page, f"/backup/import/{undo.id}")
    assert in_library(alice) == [1, 3, 4, 5, 6]


# Files that are none.


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "This file is empty."),
        (b"Date,Name,Year,Letterboxd URI,Rating\n", "This looks like a Letterboxd export."),
        (b"PK\x03\x04 rest", "This is a ZIP file."),
        (b"not a library", "can’t be read"),
        (b'{"some": "json"}', "isn’t a Movie Manager export"),
    ],
)
@pytest.mark.parametrize("headers", [{}, PARTIAL])
def test_a_file_that_is_no_library_is_told_under_the_field(page, alice, content, said, headers):
    file = {"file": (io.BytesIO(content), "x")}
    answer = page.post("/backup/import", data=file, headers=headers)
    assert answer.status_code == 422
    assert re.search(r'id="import-problem"[^>]*data-problem>', answer.text)
    assert said in words(answer)
    assert "toast" not in answer.headers.get("HX-Trigger", "")
    assert ("<html" in answer.text) == (not headers)


def test_no_file_and_no_turn_are_told_there_too(page, alice, monkeypatch):
    assert "Choose a file first" in words(page.post("/backup/import"))
    monkeypatch.setattr(large_files, "LARGE_FILE", 1)
    monkeypatch.setitem(large_files.waiting, alice.id, 1)
    file = {"file": (io.BytesIO(as_bytes(document([film(1)]))), "x")}
    answer = page.post("/backup/import", data=file)
    assert answer.status_code == 503
    assert "Another import is being read" in words(answer)


def test_the_page_says_what_can_be_read(page, alice):
    text = words(page.get("/backup"))
    assert "What can be read: Movie Manager exports" in text
    assert "JSON files up to 64 MB." in text


def test_a_plan_with_votes_shows_who_recommended(page, alice):
    films = [film(1, recommendations=[vote("Alice")])]
    text = words(page.get(f"{upload(page, *films)}?open=movie-new"))
    assert "recommended by Alice" in text


def test_the_numbers_of_the_stored_plan_are_those_of_the_page(page, wrecked):
    address = restore(page, wrecked)
    page.get(address)
    summary = imports.shown(job_of(address))
    assert summary.counts["movie"] == {"new": 1, "changed": 1, "removed": 2, "same": 2}
    assert json.loads(page.get(f"{address}/left-out.json").text) == []


def test_cancelling_what_another_tab_has_confirmed_leads_to_it(page, alice):
    address = upload(page, film(1))
    page.get(address)
    job = job_of(address)
    page.post(f"{address}/confirm", data={"plan": stored_plans.summary(job).plan_id})
    assert page.post(f"{address}/discard").location == f"/backup/jobs/{job.id}"
    assert "Nothing was changed" not in page.get(f"/backup/jobs/{job.id}").text


def test_an_undo_goes_back_and_offers_nothing_else(page, wrecked, alice):
    address = restore(page, wrecked)
    page.get(address)
    confirmed(page, address)
    address = f"/backup/import/{undoing.request(alice).id}"
    assert "Only bring back what is missing" not in page.get(address).text
    page.post(address, data={"mode": "merge"})
    assert stored_plans.summary(job_of(address)).mode == "replace"


def test_a_film_that_was_left_out_is_no_film_of_mine_that_stays(page, alice):
    address = upload(page, film(1), film(2))
    page.get(address)
    page.post(address, data={"row": ["movie:tt0000002"]})
    assert "1 film is new, 1 is left out by you." in words(page.get(address))


@pytest.mark.parametrize("text", ["nan", "1e999"])
def test_a_rating_that_is_no_number_is_refused_as_one(page, alice, text):
    address = upload(page, seen(1, rating=11), film(2))
    answer = page.post(address, data={"fix:movies[0].watch_history.my_rating": text})
    assert answer.status_code == 303


def test_a_group_whose_rows_were_all_fetched_stays_so(page, alice):
    address = upload(page, *[film(number) for number in range(1, 151)])
    page.get(address)
    more = f"{address}/rows?group=movie-new:100-200&from=0"
    assert 'value="movie-new:0-150"' in page.get(more, headers=PARTIAL).text


# Titles.


def test_new_films_are_named_by_the_catalogue(alice, page):
    catalogue.put()
    put(alice, document([film(1)]))
    shown = words(
        page.get(upload(page, film(133093), film(114709, title="My Toys"), film(7654321)))
    )
    assert "The Matrix" in shown
    assert "Toy Story" in shown
    assert "tt7654321" in shown


def test_an_import_that_is_done_has_its_titles_and_says_once_what_a_key_would_add(alice, page):
    catalogue.put()
    address = upload(page, film(133093), film(7654321))
    page.get(address)
    done = words(confirmed(page, address))
    title = Title.get_by_id("tt0133093")
    assert (title.title, title.imdb_rating) == ("The Matrix", 8.7)
    assert "A TMDB key would add posters, plots and cast." in done
    assert "waiting" not in done
