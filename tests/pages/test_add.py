"""Adding a film, without a browser: what is found, where it goes, and what cannot be added."""

import re

import pytest
from playhouse.test_utils import count_queries

from mm import config
from mm.models import Movie, Person, Title, User
from mm.providers import limits
from mm.services.enrichment import interactive
from mm.services.library import lists, movies, people
from tests.conftest import put_in_force
from tests.support import catalogue
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


def test_without_a_key_and_a_catalogue_the_page_says_how_to_get_either(page, without_key, alice):
    assert "IMDb’s catalogue or a TMDB key: ask an administrator" in page.get("/add").text
    assert "You can’t search by title yet" in page.get("/add?q=lighthouse").text
    User.update(is_admin=True).where(User.id == alice.id).execute()
    assert '/admin/providers#catalogue">get IMDb’s catalogue</a>' in page.get("/add").text


# Searching the catalogue.


def rows(page, text):
    """Of each result: its title, and what stands below it."""
    answer = page.get("/add", query_string={"q": text}, headers=PARTIAL).text
    texts = re.findall(r'class="row-text">(.*?)</span>\s*<span class="film-row', answer, re.DOTALL)
    return [re.sub(r"(\s|<[^>]+>)+", " ", text).strip() for text in texts]


def test_without_a_key_three_letters_find_the_film_without_warnings(page, without_key):
    catalogue.put()
    assert rows(page, "toy") == [
        "Toy Story 1995 IMDb 8.3 John Lasseter",
        "The Toy 1982 IMDb 5.9 Comedy",
    ]
    for address in ("/add", "/add?q=toy", "/add?q=nosuchfilm"):
        assert 'class="note' not in page.get(address).text
    assert "Titles from IMDb" in page.get("/add?q=toy").text
    assert "IMDb’s catalogue has no film or series called" in page.get("/add?q=nosuchfilm").text


def test_only_the_film_of_the_library_is_marked_and_not_the_other_hits(page, without_key):
    catalogue.put()
    page.post("/add", data={"imdb": "tt0078748", "where": "toWatch"})
    assert rows(page, "alien")[0].startswith("Alien 1979")
    assert page.get("/add?q=alien", headers=PARTIAL).text.count("To watch</bdi>") == 1


def test_a_hit_shows_its_original_title_and_that_it_is_a_series(page, without_key):
    catalogue.put()
    [amelie] = rows(page, "le fabuleux")
    assert amelie.startswith("Amélie 2001 IMDb 8.3 Le fabuleux destin d&#39;Amélie Poulain")
    assert rows(page, "breaking")[0].startswith("Breaking Bad 2008 Series IMDb 9.5")


def test_a_hit_is_picked_and_added_by_its_imdb_id(page, without_key):
    catalogue.put()
    [address] = re.findall(r'href="(/add/pick[^"]+)"', page.get("/add?q=reloaded").text)
    shown = page.get(address.replace("&amp;", "&")).text
    assert "The Matrix Reloaded" in shown
    assert "138 min" in shown
    assert "You can still add it by its ID" not in shown
    page.post("/add", data={"imdb": "tt0234215", "where": "toWatch"})
    assert the_film("tt0234215").status == "toWatch"
    assert "To watch" in page.get("/add?q=reloaded").text


@pytest.mark.parametrize("text", ["tt0133093", "https://m.imdb.com/title/tt0133093/reviews"])
def test_without_a_key_an_address_is_shown_with_its_title(page, without_key, text):
    catalogue.put()
    assert rows(page, text) == ["The Matrix 1999 IMDb 8.7 Lana Wachowski, Lilly Wachowski"]


def test_the_poster_of_a_film_that_somebody_has_is_shown(page, without_key):
    catalogue.put()
    Title.create(imdb_id="tt0114709", poster_path="/toys.png")
    assert "/posters/w154/toys.png" in page.get("/add?q=toy").text


@pytest.mark.parametrize("fault", ["error", "html", "wrong_key"])
def test_where_tmdb_does_not_answer_the_catalogue_does_and_it_is_said(
    page, standin, fault, monkeypatch
):
    monkeypatch.setattr(interactive, "TRIES", 1)
    catalogue.put()
    standin.tmdb.fault = fault
    answer = page.get("/add?q=alien 1979").text
    assert "TMDB isn’t answering right now" in answer
    assert "These results are from IMDb’s catalogue, without posters" in answer
    assert rows(page, "alien 1979") == ["Alien 1979 IMDb 8.5 Horror, Sci-Fi"]
    assert "Search isn’t working right now" in page.get("/add?q=nosuchfilm").text


def test_what_tmdb_does_not_find_is_looked_for_in_the_catalogue(page):
    catalogue.put()
    assert len(rows(page, "the lighthouse")) == 1
    assert rows(page, "reloaded") == ["The Matrix Reloaded 2003 IMDb 7.2 Action"]
    assert "isn’t answering" not in page.get("/add?q=reloaded").text


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


def test_without_a_key_a_tmdb_link_is_not_looked_for_as_a_title(page, without_key):
    catalogue.put()
    text = page.get("/add?q=https://www.themoviedb.org/movie/603").text
    assert "A TMDB link can’t be looked up without a TMDB key." in text
    assert "Nothing found" not in text


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
