"""The user's own note, lists and watches on the page of a film, without a browser."""

import json
import re

import pytest
from playhouse.test_utils import count_queries

from mm.models import Movie, Title, Watch
from mm.services.library import lists, movies
from tests.support import catalogue
from tests.support.libraries import T

PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}
HOSTILE = "</textarea><script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
FILM = "tt0000001"
ADDRESS = f"/movies/{FILM}"
MATRIX = "tt0133093"
TOO_LONG = "ö" * 10_001


@pytest.fixture
def alices_film(alice):
    movies.add(alice.id, FILM)
    Title.update(title="Alien", tmdb_state="ready", year=1979).execute()
    return alice


@pytest.fixture
def places(alices_film):
    """The ids of three lists."""
    return [lists.create(alices_film.id, name).id for name in ("Winter", "Kids", "Flight")]


def toast_of(answer):
    return json.loads(answer.headers["HX-Trigger"])["toast"]


def names_of_lists():
    return [row.name for row in lists.of_film(Movie.get())]


def undo_in(text):
    return re.search(r'action="(/undo/[^"]+)"', text)[1]


def ticked(text):
    """The values of the ticked boxes of the lists."""
    return re.findall(r'name="list" value="([^"]+)" checked', text)


def typed_into(text, field):
    return re.search(rf'<textarea id="{field}"[^>]*>([^<]*)</textarea>', text)[1]


# Where its details are from.


def test_a_film_of_the_catalogue_says_so_and_shows_how_many_voted(page, alice):
    catalogue.put()
    movies.add(alice.id, MATRIX)
    text = " ".join(page.get(f"/movies/{MATRIX}").text.split())
    for part in ("The Matrix", "1999", "Lana Wachowski", "2,100,000 votes"):
        assert part in text
    assert "From IMDb’s catalogue. A TMDB key adds the poster, plot and cast." in text
    assert "No title" not in text
    Title.update(source="tmdb", tmdb_state="ready").execute()
    assert "From IMDb’s catalogue" not in page.get(f"/movies/{MATRIX}").text


def test_a_film_that_the_catalogue_lacks_says_so(page, alices_film):
    catalogue.put()
    Title.update(title=None, tmdb_state="stub").execute()
    text = " ".join(page.get(ADDRESS).text.split())
    assert "this server has no TMDB key, and IMDb’s catalogue doesn’t have this film." in text


# The note.


def test_a_note_is_kept_and_can_be_taken_back(page, alices_film):
    assert (
        page.post(f"{ADDRESS}/note", data={"note": " Lent by Maria.\r\nTwice. "}).status_code == 303
    )
    assert Movie.get().note == "Lent by Maria.\nTwice."
    text = page.get(ADDRESS).text
    assert "Note saved." in text
    assert typed_into(text, "own-note") == "Lent by Maria. Twice."
    page.post(undo_in(text))
    assert Movie.get().note is None


def test_an_empty_note_removes_it(page, alices_film):
    movies.set_note(alices_film.id, FILM, "Lent by Maria.")
    answer = page.post(f"{ADDRESS}/note", data={"note": " \r\n "}, headers=PARTIAL)
    assert toast_of(answer)["message"] == "Note removed."
    assert toast_of(answer)["undo"].startswith("/undo/")
    assert Movie.get().note is None


@pytest.mark.parametrize(
    ("note", "said"),
    [
        (TOO_LONG, "Note: longer than 10,000 characters."),
        ("a\0b", "Note: holds a NUL character."),
    ],
)
def test_a_note_that_cannot_be_is_refused_at_its_field_and_what_was_typed_stays(
    page, alices_film, note, said
):
    movies.set_note(alices_film.id, FILM, "Lent by Maria.")
    for headers in ({}, PARTIAL):
        answer = page.post(f"{ADDRESS}/note", data={"note": note}, headers=headers)
        assert answer.status_code == 422
        assert said in answer.text
        assert typed_into(answer.text, "own-note") == note
        assert 'aria-invalid="true" aria-describedby="wrong-note"' in answer.text
    assert Movie.get().note == "Lent by Maria."


def test_line_ends_that_a_browser_doubles_do_not_count(page, alices_film):
    lines = "line\r\n" * 2_000
    assert page.post(f"{ADDRESS}/note", data={"note": lines}).status_code == 303
    assert len(Movie.get().note) == 9_999


def test_notes_and_names_of_lists_are_text_everywhere(page, alices_film):
    place = lists.create(alices_film.id, HOSTILE, description=HOSTILE)
    page.post(f"{ADDRESS}/note", data={"note": HOSTILE})
    page.post(f"{ADDRESS}/lists", data={"list": place.id})
    page.post(f"{ADDRESS}/watch", data={"date_watched": "2026-02-01", "note": HOSTILE})
    for address in (ADDRESS, "/lists", f"/lists/{place.id}"):
        text = page.get(address).text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "&lt;script&gt;alert(1)" in text


# Its lists.


def test_a_film_is_put_on_several_lists_at_once(page, alices_film, places):
    answer = page.post(f"{ADDRESS}/lists", data={"list": places[:2]}, headers=PARTIAL)
    assert toast_of(answer)["message"] == "On 2 lists now."
    assert "film" in json.loads(answer.headers["HX-Trigger"])
    assert ticked(answer.text) == places[:2]
    assert (names_of_lists(), Movie.get().status) == (["Winter", "Kids"], "toWatch")
    page.post(f"{ADDRESS}/lists", data={"list": places[1:]})
    assert names_of_lists() == ["Kids", "Flight"]
    page.post(f"{ADDRESS}/lists")
    assert "On no list now." in page.get(ADDRESS).text
    assert names_of_lists() == []


def test_what_was_done_to_the_lists_is_undone(page, alices_film, places):
    page.post(f"{ADDRESS}/lists", data={"list": places[:2]})
    page.post(undo_in(page.get(ADDRESS).text))
    assert names_of_lists() == []


def test_a_film_that_leaves_the_list_of_its_status_is_said_to_move(page, alices_film, places):
    page.post(f"{ADDRESS}/status", data={"to": f"list:{places[0]}"})
    answer = page.post(f"{ADDRESS}/lists", data={"list": places[2]}, headers=PARTIAL)
    assert toast_of(answer)["message"] == "On 1 list now. Moved to Flight."
    answer = page.post(f"{ADDRESS}/lists", headers=PARTIAL)
    assert toast_of(answer)["message"] == "On no list now. Moved to To watch."
    assert Movie.get().status == "toWatch"


def test_moving_a_film_to_a_list_ticks_it_there(page, alices_film, places):
    for place in places[:2]:
        page.post(f"{ADDRESS}/status", data={"to": f"list:{place}"})
        assert ticked(page.get(ADDRESS).text) == [place]


def test_a_list_that_is_gone_or_of_somebody_else_is_ignored(page, alices_film, places, bob):
    theirs = lists.create(bob.id, "Theirs").id
    lists.delete(alices_film.id, places[2])
    page.post(f"{ADDRESS}/lists", data={"list": [places[0], places[2], theirs, "", "/"]})
    assert names_of_lists() == ["Winter"]


def test_without_lists_the_page_leads_to_making_one(page, alices_film):
    text = page.get(ADDRESS).text
    assert '<a href="/lists">Make a list</a>' in text
    assert 'name="list"' not in text


def test_each_tick_is_sent_at_once_and_by_a_button_without_a_script(page, alices_film, places):
    text = page.get(ADDRESS).text
    assert 'hx-trigger="change, submit"' in text
    assert re.search(r"<noscript><button[^>]*>Save lists</button></noscript>", text)


# Its watches.


def test_a_watch_has_a_note(page, alices_film):
    form = {"date_watched": "2026-02-01", "my_rating": "8", "note": "Better the second time."}
    page.post(f"{ADDRESS}/watch", data=form)
    assert Watch.get().note == "Better the second time."
    text = page.get(ADDRESS).text
    assert 'class="diary-row__note" dir="auto">Better the second time.<' in text
    assert typed_into(text, "watch-note") == "Better the second time."
    # The stars send no note.
    page.post(f"{ADDRESS}/watch", data={"my_rating": "9"})
    assert (Watch.get().my_rating, Watch.get().note) == (9, "Better the second time.")
    page.post(f"{ADDRESS}/watch", data={**form, "note": ""})
    assert Watch.get().note is None


@pytest.mark.parametrize("again", [{}, {"again": "1"}])
def test_a_note_on_a_watch_that_is_too_long_is_refused_and_stays_in_its_form(
    page, alices_film, again
):
    movies.watch(alices_film.id, FILM, T, 5)
    form = {"date_watched": "2026-02-14", "my_rating": "7", "note": TOO_LONG, **again}
    answer = page.post(f"{ADDRESS}/watch", data=form)
    assert answer.status_code == 422
    assert "Note: longer than 10,000 characters" in answer.text
    filled, empty = ("again-note", "watch-note") if again else ("watch-note", "again-note")
    assert typed_into(answer.text, filled) == TOO_LONG
    assert typed_into(answer.text, empty) == ""
    assert answer.text.count('value="2026-02-14"') == 1
    [watch] = Watch.select()
    assert (watch.my_rating, watch.note) == (5, None)


def test_a_watch_of_an_unknown_day_is_some_day(page, alices_film):
    form = {"date_watched": "2026-02-01", "day_unknown": "1", "my_rating": "8"}
    page.post(f"{ADDRESS}/watch", data=form)
    [watch] = Watch.select()
    assert (watch.day_known, watch.my_rating) == (False, 8)
    text = page.get(ADDRESS).text
    assert "Watched some day" in text
    assert '<span class="diary-row__day">some day</span>' in text
    assert 'aria-label="Remove the watch of some day"' in text
    assert "Watched on" not in text
    page.post(f"{ADDRESS}/watch", data={"again": "1", **form})
    assert "Watched 2 times<" in page.get(ADDRESS).text


def test_the_day_of_a_watch_is_forgotten_and_remembered(page, alices_film):
    movies.watch(alices_film.id, FILM, T, 5)
    page.post(f"{ADDRESS}/watch", data={"date_watched": "2026-02-13", "day_unknown": "1"})
    [watch] = Watch.select()
    assert (watch.date_watched, watch.day_known) == (T, False)
    # Its form shows no date: one that comes was typed there, whether or not the box is ticked.
    assert 'name="date_watched" value=""' in page.get(ADDRESS).text
    page.post(f"{ADDRESS}/watch", data={"date_watched": "", "day_unknown": "1", "my_rating": "6"})
    assert (Watch.get().day_known, Watch.get().my_rating) == (False, 6)
    page.post(f"{ADDRESS}/watch", data={"date_watched": "2019-05-01", "day_unknown": "1"})
    assert "Watched on 1 May 2019" in page.get(ADDRESS).text
    assert Watch.get().day_known


@pytest.mark.parametrize("again", [{}, {"again": "1"}])
def test_a_watch_needs_a_day_or_not_to_know_it(page, alices_film, again):
    movies.watch(alices_film.id, FILM, T, 5)
    answer = page.post(f"{ADDRESS}/watch", data={"date_watched": " ", "my_rating": "7", **again})
    assert answer.status_code == 422
    assert "choose a date, or tick “I don’t know when”" in answer.text
    assert [watch.my_rating for watch in Watch.select()] == [5]


def test_watching_again_without_a_rating_keeps_the_one_that_was_given(page, alices_film):
    movies.watch(alices_film.id, FILM, T, 8.5)
    page.post(
        f"{ADDRESS}/watch", data={"again": "1", "date_watched": "2026-02-20", "note": "Tired."}
    )
    text = page.get(ADDRESS).text
    assert "My rating <b>8.5</b>" in text
    assert text.count("stars__half--lit") == 8
    again = {"again": "1", "date_watched": "2026-02-21", "my_rating": "6"}
    page.post(f"{ADDRESS}/watch", data=again)
    assert "My rating <b>6</b>" in page.get(ADDRESS).text


def test_another_watch_of_the_same_day_keeps_its_rating_and_note(page, alices_film):
    day = {"date_watched": "2026-02-20"}
    page.post(f"{ADDRESS}/watch", data={**day, "my_rating": "8", "note": "Great."})
    page.post(f"{ADDRESS}/watch", data={**day, "again": "1", "my_rating": "", "note": ""})
    [seen] = Watch.select()
    assert (seen.my_rating, seen.note) == (8, "Great.")


def test_a_watch_that_is_moved_to_the_day_of_another_keeps_what_either_has(page, alices_film):
    first = {"date_watched": "2026-02-10", "my_rating": "8", "note": "First."}
    page.post(f"{ADDRESS}/watch", data=first)
    empty = {"my_rating": "", "note": ""}
    page.post(f"{ADDRESS}/watch", data={"again": "1", "date_watched": "2026-02-12", **empty})
    page.post(f"{ADDRESS}/watch", data={"date_watched": "2026-02-10", **empty})
    [seen] = Watch.select()
    assert (seen.my_rating, seen.note) == (8, "First.")


# All of it.


def test_what_is_typed_into_another_form_outlasts_the_answer_of_this_one(page, alices_film, places):
    movies.watch(alices_film.id, FILM, T, 5)

    def kept(path, **sent):
        text = page.post(f"{ADDRESS}/{path}", data=sent, headers=PARTIAL).text
        return re.findall(r'<textarea id="([\w-]+)"[^>]* hx-preserve', text)

    everything = ["watch-note", "again-note", "own-note"]
    assert kept("status", to="watched") == everything
    assert kept("lists", list=places[0]) == everything
    assert kept("watch", my_rating="7") == everything
    assert kept("votes", person="..") == everything
    assert kept("note", note="x") == ["watch-note", "again-note"]
    assert kept("watch", my_rating="7", note="x", date_watched="2026-01-01") == everything[1:]
    # The form of the latest watch is that of another watch then.
    text = page.post(
        f"{ADDRESS}/watch",
        data={"again": "1", "note": "x", "date_watched": "2026-02-20"},
        headers=PARTIAL,
    ).text
    assert 'id="watch-note"' not in text
    assert "hx-preserve" not in page.get(ADDRESS, headers=PARTIAL).text


def test_a_film_deleted_in_another_tab_takes_no_note_and_no_list(page, alices_film, places):
    movies.delete(alices_film.id, FILM)
    for path, sent in (("note", {"note": "x"}), ("lists", {"list": places[0]})):
        answer = page.post(f"{ADDRESS}/{path}", data=sent, headers=PARTIAL)
        assert answer.status_code == 404
        assert answer.headers["HX-Reswap"] == "none"


def test_a_film_on_many_lists_asks_little_of_the_database(page, alices_film):
    ids = [lists.create(alices_film.id, f"List {number}").id for number in range(30)]
    page.post(f"{ADDRESS}/lists", data={"list": ids})
    for day in range(1, 20):
        movies.watch(alices_film.id, FILM, f"2025-01-{day:02}", again=True, note=f"Day {day}")
    with count_queries() as counter:
        text = page.get(ADDRESS).text
    assert len(ticked(text)) == 30
    assert counter.count <= 9
