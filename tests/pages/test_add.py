"""Adding a film, without a browser: what is found, where it goes, and what cannot be added."""

import re

import pytest
from playhouse.test_utils import count_queries

from mm import config
from mm.models import Movie, Person
from mm.providers import limits
from mm.services.enrichment import interactive
from mm.services.library import lists, movies, people
from tests.conftest import put_in_force
from tests.support.libraries import document, film, many, person, put, vote
from tests.support.standin import FILM_IDS, SERIES_ID, UNKNOWN_ID

PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}
FIRST, TITLE = FILM_IDS[0], "The Lighthouse Keeper's Tax Return"
OURS = {"movie": 5000}


@pytest.fixture
def settings(tmp_path, standin):
    return config.Config(data_dir=tmp_path / "data", **standin.config())


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """The pace is tested where the look-ups are."""
    monkeypatch.setattr(limits, "tmdb_interactive", limits.RateLimiter(1000, 1000))


@pytest.fixture
def without_key(monkeypatch):
    put_in_force(monkeypatch, config.Config(data_dir=config.current.data_dir))


def add(page, headers=None, **form):
    return page.post("/add", data={**OURS, "where": "toWatch", **form}, headers=headers)


def the_film(imdb_id=FIRST):
    return Movie.get(Movie.title == imdb_id)


def voters(movie):
    return {(vote.person.name, vote.vote_type) for vote in movie.recommendations}


# Searching.


def test_a_search_finds_films_and_series_and_no_people(page):
    answer = page.get("/add?q=in", headers=PARTIAL).text
    assert "Meanwhile, in Accounting" in answer
    assert "Borrowed" not in answer
    assert "Dora Fenn" not in page.get("/add?q=fenn").text


def test_what_is_in_the_library_is_marked_with_where_it_is(page, alice):
    favourites = lists.create(alice.id, "Favourites")
    add(page)
    assert "To watch</bdi>" in page.get("/add?q=lighthouse").text
    movies.set_status(alice.id, FIRST, "custom", favourites.id)
    assert "Favourites</bdi>" in page.get("/add?q=lighthouse").text


def test_a_series_is_not_marked_for_a_film_of_the_same_number(page, alice):
    add(page)
    movies.find(alice.id, FIRST).title.__class__.update(tmdb_id=7001).execute()
    assert "To watch</bdi>" not in page.get("/add?q=meanwhile").text


@pytest.mark.parametrize(
    "address",
    [
        FIRST,
        f" {FIRST.upper()} ",
        f"https://www.imdb.com/title/{FIRST}/?ref_=x",
        "https://m.themoviedb.org/movie/5000-the-lh",
    ],
)
def test_an_address_or_an_id_finds_its_film(page, address):
    answer = page.get("/add", query_string={"q": address}, headers=PARTIAL).text
    assert answer.count('class="film-row"') == 1
    assert "Lighthouse" in answer


def test_the_posters_of_what_was_found_come_from_this_server(page):
    answer = page.get("/add?q=lighthouse").text
    [poster] = set(re.findall(r'src="(/posters/[^"]+)"', answer))
    assert page.get(poster, buffered=True).content_type == "image/png"
    assert page.get("/posters/w154/other.png").status_code == 404


@pytest.mark.parametrize("fault", ["error", "html", "truncated", "wrong_key"])
def test_a_provider_that_is_down_is_said_and_the_words_stay(page, standin, fault, monkeypatch):
    monkeypatch.setattr(interactive, "TRIES", 1)
    standin.tmdb.fault = fault
    answer = page.get("/add?q=lighthouse <b>")
    assert answer.status_code == 200
    assert "isn’t working right now" in answer.text
    assert 'value="lighthouse &lt;b&gt;"' in answer.text


@pytest.mark.parametrize("text", ["\0", "a" * 5000, "<script>", "%", "tt", "🎬"])
def test_whatever_is_searched_for_is_shown_as_text(page, text):
    answer = page.get("/add", query_string={"q": text})
    assert answer.status_code == 200
    assert "<script>" not in answer.text


def test_without_a_key_the_page_says_what_one_would_add(page, without_key):
    assert "an administrator enters a key on Server › Providers" in page.get("/add").text
    assert "Searching by title needs a TMDB key" in page.get("/add?q=lighthouse").text


# Adding.


def test_a_film_is_added_with_who_recommended_it_and_a_new_one_among_them(page, alice):
    zoe = people.create(alice.id, "Zoe")
    youtube = people.find(alice.id, "Random YouTube Video")
    answer = add(page, person=[zoe.id, youtube.id], new_person=" Bob ", q="light")
    assert answer.location == "/add?q=light"
    assert voters(the_film()) == {("Zoe", True), ("Random YouTube Video", True), ("Bob", True)}
    shown = page.get(answer.location).text
    assert "Added “The Lighthouse Keeper&#39;s Tax Return” to To watch." in shown
    assert f'href="/movies/{FIRST}"' in shown


def test_the_title_is_there_at_once(page):
    add(page)
    assert the_film().title.title == TITLE


def test_the_undo_of_the_toast_takes_it_out_again(page):
    answer = page.get(add(page).location)
    assert page.post(re.search(r'action="(/undo/[^"]+)"', answer.text)[1]).status_code == 303
    assert Movie.select().count() == 0


def test_a_fragment_gets_its_row_and_the_toast(page):
    answer = add(page, PARTIAL)
    assert answer.text.lstrip().startswith('<li class="film-row">')
    assert "To watch</bdi>" in answer.text
    assert {"toast", "added"} <= set(answer.headers["HX-Trigger"].replace('"', " ").split())


def test_sending_the_form_twice_makes_one_film_and_one_watch(page):
    for _ in range(2):
        add(page, where="watched", rating="8", date_watched="2026-02-01", new_person="Bob")
    [watch] = the_film().watches
    assert watch.my_rating == 8
    assert Person.select().where(Person.name == "Bob").count() == 1


def test_a_watched_film_brings_its_rating_and_its_day(page, settings):
    add(page, where="watched", rating="7", date_watched="2020-05-04")
    assert the_film().status == "watched"
    assert [(w.my_rating, w.date_watched) for w in the_film().watches] == [(7, 1588593600)]


def test_a_rating_without_a_day_is_of_today_and_neither_means_nobody_knows_when(page):
    add(page, where="watched", rating="7")
    assert [watch.my_rating for watch in the_film().watches] == [7]
    page.post("/add", data={"movie": 5001, "where": "watched"})
    assert the_film(FILM_IDS[1]).status == "watched"
    assert not list(the_film(FILM_IDS[1]).watches)


def test_a_film_goes_on_a_list(page, alice):
    favourites = lists.create(alice.id, "Favourites")
    add(page, where=f"list:{favourites.id}")
    assert the_film().custom_list == favourites


def test_a_film_goes_on_a_list_that_is_made_for_it_and_both_are_undone(page, alice):
    form = {"where": "new-list", "new_list": "Winter", "list_id": "made-up"}
    add(page, **form)
    add(page, **form)
    assert [row.name for row in lists.listing(alice.id)] == ["Winter"]
    assert the_film().custom_list.id == "made-up"
    movies.delete(alice.id, FIRST)
    lists.delete(alice.id, "made-up")
    shown = page.get(add(page, **form).location).text
    page.post(re.findall(r'action="(/undo/[^"]+)"', shown)[-1])
    assert lists.listing(alice.id) == []
    assert Movie.select().count() == 0


def test_a_film_that_is_there_stays_where_it_is_and_gets_its_recommenders(page, alice):
    movies.add(alice.id, FIRST)
    movies.watch(alice.id, FIRST, "2020-05-04", 9.0)
    assert "Already in your library" in page.get("/add/pick?movie=5000").text
    add(page, where="", new_person="Bob")
    assert (the_film().status, voters(the_film())) == ("watched", {("Bob", True)})
    assert the_film().watches.count() == 1


def test_a_series_is_added_by_its_own_id(page):
    page.post("/add", data={"tv": 7001, "where": "toWatch"})
    assert the_film(SERIES_ID).title.media_type == "tv"


def test_a_film_without_an_imdb_id_is_refused_and_the_page_says_so_before(page):
    shown = page.get("/add/pick?movie=7002").text
    assert "This film has no IMDb ID yet" in shown
    assert "Add to library" not in shown
    answer = page.post("/add", data={"movie": 7002})
    assert (answer.status_code, Movie.select().count()) == (422, 0)


def test_without_a_key_an_imdb_id_is_added_as_a_stub(page, without_key):
    shown = page.get(f"/add/pick?imdb={FIRST}").text
    assert "It adds titles" in shown
    page.post("/add", data={"imdb": FIRST, "where": "toWatch"})
    assert the_film().title.tmdb_state == "stub"


def test_an_id_that_tmdb_does_not_know_can_be_added_all_the_same(page):
    assert "TMDB has no film" in page.get(f"/add/pick?imdb={UNKNOWN_ID}").text
    page.post("/add", data={"imdb": UNKNOWN_ID, "where": "toWatch"})
    assert the_film(UNKNOWN_ID)


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"new_person": "a" * 501}, "Name: longer than 500 characters"),
        ({"new_person": ".."}, "cannot be a name"),
        ({"where": "nowhere"}, "unknown status"),
        ({"where": "new-list", "list_id": "x", "new_list": " "}, "List: is missing or empty"),
        ({"where": "watched", "rating": "11"}, "11 is above 10"),
        ({"where": "watched", "rating": "nan"}, "Rating: is not a usable number"),
        ({"where": "watched", "date_watched": "yesterday"}, "Date:"),
    ],
)
def test_what_cannot_be_used_is_said_at_its_field_and_what_was_typed_stays(page, alice, form, said):
    zoe = people.create(alice.id, "<i>Zoe")
    answer = add(page, PARTIAL, person=zoe.id, **form)
    assert answer.status_code == 422
    assert said in answer.text
    assert re.search(rf'value="{zoe.id}" class="visually-hidden" checked', answer.text)
    assert "<i>Zoe" not in answer.text
    assert form.get("new_person", "") in answer.text
    assert Movie.select().count() == 0


def test_a_list_that_was_deleted_in_another_tab_is_said(page):
    answer = add(page, PARTIAL, where="list:gone")
    assert (answer.status_code, answer.headers["HX-Reswap"]) == (404, "none")
    assert "List not found" in answer.headers["HX-Trigger"]
    assert Movie.select().count() == 0


def test_a_person_who_was_deleted_in_another_tab_is_left_out(page):
    add(page, person=[4711], new_person="Bob")
    assert voters(the_film()) == {("Bob", True)}


def test_nothing_to_add_is_refused(page):
    assert page.post("/add", data={"where": "toWatch"}).status_code == 422
    assert page.get("/add/pick").status_code == 422


def test_a_log_in_that_ran_out_leads_to_the_log_in_and_back(client, alice):
    headers = {
        **PARTIAL,
        "HX-Current-URL": "http://localhost/add?q=bees",
        "Sec-Fetch-Site": "same-origin",
    }
    answer = client.post("/add", data=OURS, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == "/login?next=/add?q%3Dbees"


# Whom it offers.


def test_the_quick_four_come_first_and_then_who_recommended_last(page, alice):
    votes = [[vote("Old", date=1e9)], [vote("New", date=1.7e9), vote("Old", date=1e9)]]
    put(
        alice,
        document([film(n, recommendations=v) for n, v in enumerate(votes, 1)], [person("Never")]),
    )
    offered = re.findall(
        r"<span><bdi>([^<]+)</bdi></span></label>", page.get("/add/pick?movie=5000").text
    )
    quick = ["Random YouTube Video", "Oscar Winner/Nominee", "Random Person", "Google Search"]
    assert offered[:7] == [*quick, "New", "Old", "Never"]


def test_a_page_of_many_people_asks_little_of_the_database_and_weighs_little(page, alice):
    put(alice, many(2000, votes_each=3))
    put(alice, document([], [person(f"Somebody {number}") for number in range(200)]))
    page.get("/add/pick?movie=5000")
    for address in ("/add?q=in", "/add/pick?movie=5000"):
        with count_queries() as counter:
            answer = page.get(address)
        assert counter.count <= 12, address
        assert len(answer.data) < 100_000
