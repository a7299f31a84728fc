"""The pages of the library and of a film, without a browser."""

import contextlib
import json
import re
import sqlite3
import time
from dataclasses import replace

import pytest
from playhouse.test_utils import count_queries

from mm import config, models, tasks
from mm.models import Movie, Person, SavedView, Title, Watch
from mm.services.backup import imports
from mm.services.library import film_details, lists, movies, people, saved_views, usual
from mm.services.library.usual import Usual
from tests.conftest import PASSWORD
from tests.support import catalogue
from tests.support.libraries import T, document, film, hint, many, put, seen

PARTIAL = {
    "HX-Request": "true",
    "HX-Request-Type": "partial",
    "HX-Current-URL": "http://localhost/?status=watched",
}
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
FILM = "tt0000001"
FURTHER = re.compile(r'class="load-more"\s+hx-get="([^"]+)"')


@pytest.fixture
def page(client, alice):
    """Alice's browser: page.get(…), page.post(…)."""
    client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    client.post("/login", data={"email": alice.email, "password": PASSWORD})
    return client


@pytest.fixture
def alices_films(alice):
    imports.import_bytes(alice, json.dumps(many(130)).encode())
    return alice


@pytest.fixture
def alices_film(alice):
    movies.add(alice.id, FILM)
    Title.update(title="Alien", tmdb_state="ready", year=1979).execute()
    return alice


def database_dump():
    with contextlib.closing(sqlite3.connect(config.current.data_dir / "mm.db")) as reader:
        return list(reader.iterdump())


def cards(text):
    return [int(number) for number in re.findall(r'id="c-tt(\d+)"', text)]


# The library.


def test_an_empty_library_says_the_next_step(page):
    text = page.get("/").text
    assert "Your library is empty" in text
    assert "Add a film" in text
    assert "Import a library" in text


def test_scrolling_shows_each_film_once_and_then_ends(page, alices_films):
    found, address = [], "/?status=all"
    while address:
        text = page.get(address, headers=PARTIAL).text
        found += cards(text)
        match = FURTHER.search(text)
        address = match and match[1].replace("&amp;", "&")
    assert sorted(found) == list(range(1, 131))


def test_marking_films_while_scrolling_skips_none(page, alices_films):
    found, address = [], "/"
    while address:
        text = page.get(address, headers=PARTIAL).text
        here = cards(text)
        found += here
        match = FURTHER.search(text)
        address = match and match[1].replace("&amp;", "&")
        marked = [f"tt{number:07}" for number in here[:5]]
        page.post("/selection", data={"do": "status:watched", "film": marked, "back": "/"})
    # Every second one of the 130 is watched from the start.
    assert found == list(range(130, 0, -2))


def test_the_further_films_can_be_asked_for_without_scripts(page, alices_films):
    first = page.get("/?status=all").text
    further = page.get(FURTHER.search(first)[1].replace("&amp;", "&")).text
    assert "<html" in further
    assert not set(cards(first)) & set(cards(further))
    assert len(cards(further)) == 60


def test_an_address_of_an_earlier_version_goes_on_by_places(page, alices_films):
    by_number = page.get("/?status=all&offset=60", headers=PARTIAL).text
    first = page.get("/?status=all", headers=PARTIAL).text
    by_place = page.get(FURTHER.search(first)[1].replace("&amp;", "&"), headers=PARTIAL).text
    assert by_number == by_place


def test_what_is_scrolled_to_has_cards_and_nothing_else(page, alices_films):
    text = page.get("/?status=all&offset=60", headers=PARTIAL).text
    assert text.lstrip().startswith('<li class="film-card"')
    assert "tabs" not in text
    assert "<html" in page.get("/?status=all&offset=60").text


@pytest.mark.parametrize(
    "query",
    [
        "after=",
        "after=x",
        "after=%00",
        "after=W10",
        "after=" + "W" * 3000,
        "after=W10&offset=60",
        "q=" + "a%20" * 86,
        "offset=-1",
        "offset=99999999999999999999",
        "offset=x",
        "status=nonsense",
        "list=x",
        "person=99",
        "decade=199",
        "rating=x",
        "sort=x",
        "q=%00",
        "q=" + "a" * 3000,
        "genre=%22",
        "filters=1&person=0",
        "size=%ff",
    ],
)
def test_nonsense_in_the_address_is_no_error(page, alices_films, query):
    assert page.get(f"/?{query}").status_code == 200
    assert page.get(f"/?{query}", headers=PARTIAL).status_code == 200


def test_a_form_gets_the_address_without_what_is_empty(page, alices_films):
    asked = {**PARTIAL, "HX-Source": "form#view"}
    answer = page.get(
        "/?q=tt0000002&status=toWatch&list=&genre=&sort=added&filters=1", headers=asked
    )
    assert answer.headers["HX-Replace-Url"] == "/?status=toWatch&q=tt0000002"
    assert cards(answer.text) == [2]
    assert "HX-Replace-Url" not in page.get("/?q=x", headers=PARTIAL).headers


def test_a_stub_is_shown_by_its_imdb_id_and_why(page, alices_films):
    Title.update(tmdb_state="missing").where(Title.imdb_id == "tt0000130").execute()
    text = page.get("/").text
    assert "tt0000130" in text
    assert "Not on TMDB" in text
    assert "No details yet" in text


def test_nothing_found_leads_to_where_it_is(page, alices_films):
    text = page.get("/?status=toWatch&q=tt0000001").text
    assert "No matches" in text
    assert "/?status=watched&amp;q=tt0000001" in text
    assert "/add?q=zzz" in page.get("/?q=zzz").text


def test_a_chip_takes_its_filter_off(page, alices_films):
    text = page.get("/?status=toWatch&genre=Drama&decade=1990").text
    assert 'href="/?status=toWatch&amp;decade=1990"' in text
    assert 'href="/?status=toWatch&amp;genre=Drama"' in text


def test_each_value_of_a_filter_has_a_chip_that_takes_it_off_alone(page, alices_films):
    maya, club = people.create(alices_films.id, "Maya"), lists.create(alices_films.id, "Club")
    address = f"genre=Crime&genre=Drama&not_kind=tv&not_genre=Horror&not_person={maya.id}"
    text = page.get(f"/?status=all&{address}&not_decade=1990&not_list={club.id}").text
    for label in ("Crime", "Drama", "not Horror", "not Series", "not from Maya", "not 1990s"):
        assert f"<bdi>{label}</bdi>" in text
    assert "<bdi>not on Club</bdi>" in text
    for gone in ("genre=Crime", "not_genre=Horror"):
        rest = address.replace(f"{gone}&", "").replace("&", "&amp;")
        rest = rest.replace("&amp;not_person", "&amp;not_decade=1990&amp;not_person")
        assert f'href="/?status=all&amp;{rest}&amp;not_list={club.id}"' in text
    assert "<bdi>not on a deleted list</bdi>" in page.get("/?not_list=gone").text


def test_a_select_sets_one_value_and_the_others_stay_with_the_form(page, alices_films):
    address = "genre=Crime&genre=Drama&genre=Odd&not_genre=Horror&not_person=7"
    Title.update(genres=["Crime", "Drama"]).execute()
    hidden = re.compile(r'<input type="hidden" name="((?:not_)?(?:genre|person))" value="([^"]*)"')
    text = page.get(f"/?filters=1&status=all&{address}").text
    assert 'value="Crime" selected' in re.sub(r"\s+", " ", text)
    kept = [("genre", "Drama"), ("genre", "Odd"), ("not_genre", "Horror"), ("not_person", "7")]
    assert hidden.findall(text) == kept
    closed = page.get(f"/?status=all&{address}").text
    assert hidden.findall(closed) == [("genre", "Crime"), *kept]


def test_films_are_found_by_repeated_parameters_and_so_are_the_next_ones(page, alices_films):
    Title.update(genres=["Drama"]).where(Title.imdb_id <= "tt0000070").execute()
    Title.update(genres=["Crime"]).where(Title.imdb_id > "tt0000100").execute()
    text = page.get("/?status=all&genre=Drama&genre=Crime").text
    further = page.get(FURTHER.search(text)[1].replace("&amp;", "&"), headers=PARTIAL).text
    assert len({*cards(text), *cards(further)}) == 100


# What it opens with.

ALPHABET = {"tt0000001": "Zulu", "tt0000002": "Alien", "tt0000003": "Metropolis"}


@pytest.fixture
def by_title(alice):
    """Alice's library of three films, which opens with large posters by title."""
    for imdb_id, title in ALPHABET.items():
        movies.add(alice.id, imdb_id)
        theirs = {"title": title, "search_text": title.lower(), "tmdb_state": "ready"}
        Title.update(**theirs).where(Title.imdb_id == imdb_id).execute()
    usual.choose(alice.id, Usual("l", "title"))
    return alice


def shown_as(text):
    """The size, the order, and the films."""
    [size] = re.findall(r"film-grid--(\w)", text)
    sort = re.search(r'<select name="sort".*?<option value="(\w+)" selected', text, re.DOTALL)[1]
    return size, sort, cards(text)


def test_the_library_opens_as_its_user_has_chosen(page, by_title, bob):
    assert shown_as(page.get("/").text) == ("l", "title", [2, 3, 1])
    usual.choose(by_title.id, Usual("s", "added"))
    usual.choose(bob.id, Usual("l", "year"))
    assert shown_as(page.get("/").text) == ("s", "added", [3, 2, 1])


@pytest.mark.parametrize("query", ["status=all", "q=a", "genre=", "sort=added", "size=m", "x=y"])
def test_an_address_with_a_query_shows_what_it_says(page, by_title, query):
    assert shown_as(page.get(f"/?{query}").text)[:2] == ("m", "added")


def test_from_what_it_opens_with_each_size_and_order_can_be_chosen(page, by_title):
    text = page.get("/").text
    switch = re.search(r'class="segments".*?</nav>', text, re.DOTALL)[0]
    addresses = [address.replace("&amp;", "&") for address in re.findall(r'href="(.+?)"', switch)]
    assert [shown_as(page.get(address).text)[:2] for address in addresses] == [
        ("s", "title"),
        ("m", "title"),
        ("l", "title"),
    ]
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="(\w*)">', text))
    fields.pop("film", None)
    sent = fields | {"q": "", "sort": "added"}
    assert shown_as(page.get("/", query_string=sent).text) == ("l", "added", [3, 2, 1])
    [medium] = [address for address in addresses if "size" not in address]
    changed = medium.replace("sort=title", "sort=added")
    answer = page.get(changed, headers=PARTIAL | {"HX-Source": "form#view"})
    assert shown_as(page.get(answer.headers["HX-Replace-Url"]).text)[:2] == ("m", "added")


def test_what_it_opens_with_stays_while_one_looks_around(page, by_title):
    lists.create(by_title.id, "Club")
    text = page.get("/").text
    tabs = re.search(r"data-tabs.*?</nav>", text, re.DOTALL)[0]
    addresses = [address.replace("&amp;", "&") for address in re.findall(r'href="(.+?)"', tabs)]
    assert len(addresses) == 4
    assert all("size=l" in address and "sort=title" in address for address in addresses)


def test_clearing_the_filters_leaves_the_size_and_the_order(page, by_title):
    text = page.get("/?status=all&size=l&sort=title&q=a&kind=movie&not_genre=Drama").text
    chips = re.sub(r"</?(span|bdi)[^>]*>", "", text)
    [cleared] = re.findall(r'href="([^"]+)"[^>]*>\s*Clear all', chips)
    assert cleared.replace("&amp;", "&") == "/?status=all&sort=title&size=l"


def test_a_view_looks_as_it_was_saved_whatever_the_library_opens_with(page, by_title):
    saved_views.create(by_title.id, "Newest first", {"sort": "added", "size": "m"})
    text = page.get("/").text
    chip = re.search(r'aria-label="Saved views".*?</nav>', text, re.DOTALL)[0]
    address = re.search(r'href="(.+?)"', chip)[1].replace("&amp;", "&")
    assert shown_as(page.get(address).text) == ("m", "added", [3, 2, 1])
    [view] = saved_views.listing(by_title.id)
    assert page.post(f"/views/{view.id}", data={"name": "Newest"}).location == address
    sent = {"name": "Also", "view": "sort=added"}
    assert page.post("/views", data=sent).location == address


def test_opening_the_library_writes_nothing(page, by_title):
    before = database_dump()
    page.get("/")
    assert database_dump() == before


def test_a_list_can_be_sorted_in_its_own_order_and_nothing_else_can(page, alice):
    club = lists.create(alice.id, "Club")
    for number in (3, 1, 2):
        movies.add(alice.id, f"tt000000{number}")
        movies.add_to_list(alice.id, f"tt000000{number}", club.id)
    text = page.get(f"/?list={club.id}&sort=order").text
    assert cards(text) == [3, 1, 2]
    assert "List order" in text
    assert f"/?list={club.id}&amp;sort=order" in text
    # The other tabs do not take it along.
    assert 'href="/?status=all"' in text
    assert "List order" not in page.get("/?status=all&sort=order").text


def test_the_counts_alone_are_a_fragment(page, alices_films):
    text = page.get("/counts?status=watched", headers=PARTIAL).text
    assert text.lstrip().startswith('<nav id="tabs"')
    assert re.findall(r"</b> <span>(\d+)", text) == ["65", "65", "130"]
    assert page.get("/counts?status=watched").location == "/?status=watched"


def test_a_film_moved_from_one_list_to_another_no_longer_stands_in_the_first(page, alice):
    first, second = lists.create(alice.id, "First"), lists.create(alice.id, "Second")
    movies.add(alice.id, FILM, status="custom", custom_list_id=first.id)
    address = f"/movies/{FILM}/card?list={first.id}"
    assert 'class="film-card"' in page.get(address, headers=PARTIAL).text
    page.post(f"/movies/{FILM}/status", data={"to": f"list:{second.id}"}, headers=PARTIAL)
    text = page.get(address, headers=PARTIAL).text
    assert 'class="film-card film-card--moved"' in text
    assert "<em>Second</em>" in text
    elsewhere = f"/movies/{FILM}/card?list={second.id}"
    assert 'class="film-card"' in page.get(elsewhere, headers=PARTIAL).text
    assert 'class="film-card"' in page.get(f"/movies/{FILM}/card?status=all", headers=PARTIAL).text


def test_a_genre_of_a_film_leads_to_the_films_of_that_genre(page, alices_films):
    Title.update(genres=["Komödie"], title="Sechs").where(Title.imdb_id == FILM).execute()
    link = re.search(r'href="(/\?[^"]*genre=[^"]+)"', page.get(f"/movies/{FILM}").text)[1]
    assert cards(page.get(link.replace("&amp;", "&")).text) == [1]


def test_hostile_values_are_text_everywhere(page, alice):
    row = seen(1, status="custom", custom_list_id="x", recommendations=[])
    library_of = document([row, film(2)], [], [{"id": "x", "name": HOSTILE}])
    put(alice, library_of)
    for imdb_id in (FILM, "tt0000002"):
        movies.recommend(alice.id, imdb_id, HOSTILE)
    names = {
        "title": HOSTILE,
        "original_title": "o",
        "genres": [HOSTILE],
        "directors": [HOSTILE],
        "cast": [HOSTILE],
        "overview": HOSTILE,
        "poster_path": f"/{HOSTILE}",
        "tmdb_state": "missing",
        "tmdb_reason": HOSTILE,
    }
    Title.update(names).execute()
    saved_views.create(alice.id, HOSTILE, {"q": HOSTILE})
    person = Person.get(Person.name == HOSTILE).id
    for address in (
        "/",
        "/?list=x",
        f"/?filters=1&q={HOSTILE}&genre={HOSTILE}&person={person}",
        f"/movies/{FILM}",
        f"/views/{SavedView.get().id}",
    ):
        text = page.get(address).text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "&lt;script&gt;alert(1)" in text


def test_a_view_from_a_file_may_hold_anything(page, alice):
    SavedView.create(
        user=alice.id,
        name="Odd",
        last_modified=T,
        updated_at=T,
        filters={"endpoint": "x", "_external": "1", "status": "watched", "sort": "nonsense"},
    )
    movies.add(alice.id, FILM)
    text = page.get("/").text
    assert 'href="/?status=watched"><svg' in text.replace(" >", ">")


def test_without_a_tmdb_key_the_library_says_what_a_key_would_add(page, alices_films):
    text = page.get("/").text
    assert "An administrator can enter it on Server&nbsp;›&nbsp;Providers" in text
    assert "IMDb’s catalogue" in text


def test_an_empty_library_says_how_films_are_found_by_their_titles(page, alice):
    assert "ask an administrator" in page.get("/").text
    models.User.update(is_admin=True).execute()
    assert 'href="/admin/providers#catalogue"' in page.get("/").text
    catalogue.put()
    assert "To search by title" not in page.get("/").text


def test_films_from_the_catalogue_show_no_warnings(page, alice):
    put(alice, document([film(133093), film(114709, title="My own title")]))
    catalogue.put()
    tasks.start_enrichment()
    text = page.get("/").text
    for part in ("The Matrix", "1999", "IMDb 8.7", "Toy Story"):
        assert part in text
    for alarm in ("needs", "need a free TMDB key", "No details yet", "Waiting", "data-stub"):
        assert alarm not in text
    assert cards(page.get("/?q=wachowski").text) == [133093]
    progress = page.get("/enrichment", headers=PARTIAL).text
    assert "2 of 2" in progress
    assert "waiting" not in progress


def test_a_card_from_the_catalogue_is_drawn_again_once_tmdb_was_asked(page, alice):
    catalogue.put()
    put(alice, {"version": 2, "movies": [{"imdb_id": "tt0133093", "status": "toWatch"}]})
    tasks.start_enrichment()
    assert "data-stub" not in page.get("/").text
    config.use(replace(config.current, tmdb_api_key="k"))
    assert 'data-stub="poster"' in page.get("/").text
    address = "/movies/tt0133093/card?waiting=poster"
    assert page.get(address, headers=PARTIAL).status_code == 204
    Title.update(tmdb_state="ready", poster_path="/matrix.jpg").execute()
    known = page.get(address, headers=PARTIAL).text
    assert "matrix.jpg" in known
    assert "data-stub" not in known


def test_films_that_the_catalogue_lacks_do_not_wait_for_ever(page, alice):
    catalogue.put()
    put(alice, document([film(133093), film(7654321)]))
    tasks.start_enrichment()
    progress = " ".join(page.get("/enrichment", headers=PARTIAL).text.split())
    assert "1 not in IMDb’s catalogue" in progress
    assert "waiting" not in progress
    assert "A TMDB key would add posters, plots and cast." in progress


# Saved views.


def test_a_view_keeps_several_values_of_a_filter(page, alices_films):
    view = "status=all&genre=Crime&genre=Drama&not_genre=Horror"
    text = page.get(f"/?filters=1&{view}").text
    sent = re.search(r'name="view" value="([^"]+)"', text)[1].replace("&amp;", "&")
    assert page.post("/views", data={"name": "Both", "view": sent}).location == f"/?{view}"
    saved = SavedView.get()
    assert saved.filters["genre"] == ["Crime", "Drama"]
    text = page.get(f"/?{view}").text
    assert re.search(rf'href="/views/{saved.id}"', text)
    address = view.replace("&", "&amp;")
    assert f'href="/?{address}" aria-current="true"' in re.sub(r"\s+", " ", text)
    assert page.post(f"/views/{saved.id}", data={"name": "Two"}).location == f"/?{view}"
    assert page.get(f"/views/{saved.id}").status_code == 200


def test_a_view_of_a_deleted_person_is_not_saved(page, alices_films):
    answer = page.post("/views", data={"name": "Gone", "view": "person=99"})
    assert answer.status_code == 422
    assert "there is no person with the id 99" in answer.text
    assert not SavedView.select().exists()


def test_a_view_is_saved_renamed_and_deleted(page, alices_films):
    saved = page.post("/views", data={"name": "Old", "view": "status=toWatch&q=a%26b"})
    assert saved.location == "/?status=toWatch&q=a%26b"
    view_id = SavedView.get().id
    assert (
        page.post(f"/views/{view_id}", data={"name": "New"}).location == "/?status=toWatch&q=a%26b"
    )
    assert "New" in page.get("/").text
    assert page.post(f"/views/{view_id}/delete").location == "/"
    assert page.post(f"/views/{view_id}/delete").status_code == 404


# Several at once.


@pytest.mark.parametrize(
    ("do", "words"),
    [
        ("status:watched", "2 films moved to Watched."),
        ("status:deleted", "2 films moved to Deleted."),
        ("recommend", "2 films marked as recommended by Eve."),
        ("remove", "2 films deleted permanently."),
    ],
)
def test_several_films_are_changed_with_one_undo(page, alices_films, do, words):
    sent = {
        "do": do,
        "film": ["tt0000002", "tt0000004", "tt9999998"],
        "person": "Eve",
        "back": "/?status=toWatch",
    }
    assert page.post("/selection", data=sent).location == "/?status=toWatch"
    text = page.get("/?status=toWatch").text
    assert f"{words} 1 film was no longer there." in text
    token = re.search(r'action="(/undo/[^"]+)"', text)[1]
    page.post(token)
    assert {row.status for row in Movie.select().where(Movie.title.in_(sent["film"]))} == {
        "toWatch"
    }


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"do": "status:watched"},
        {"do": "status:custom", "film": FILM},
        {"do": "explode", "film": FILM},
        {"do": "list:none", "film": FILM},
        {"do": "recommend", "film": FILM, "person": " "},
        {"do": "status:watched", "film": "../../etc"},
    ],
)
def test_a_selection_that_cannot_be_done_changes_nothing(page, alices_films, sent):
    before = models.User.get_by_id(alices_films.id).library_version
    assert page.post("/selection", data=sent).status_code in (404, 422)
    assert models.User.get_by_id(alices_films.id).library_version == before


@pytest.mark.parametrize("back", ["https://evil.example", "//evil.example", ""])
def test_a_selection_never_leads_off_the_site(page, alices_films, back):
    sent = {"do": "status:watched", "film": FILM, "back": back}
    assert page.post("/selection", data=sent).location == "/"


# A film.


def test_a_film_is_a_page_or_stands_beside_the_grid(page, alices_film):
    whole, part = page.get(f"/movies/{FILM}"), page.get(f"/movies/{FILM}", headers=PARTIAL)
    assert whole.text.count("<h1") == 1
    assert part.text.lstrip().startswith('<article id="movie"')
    assert page.get("/movies/TT0000001").status_code == 200


def test_a_film_without_a_title_has_the_users_own_in_its_headings(page, alice):
    for imdb_id in (FILM, "tt0000002"):
        movies.add(alice.id, imdb_id)
    hint(alice, FILM, HOSTILE, 1932)
    text = page.get(f"/movies/{FILM}").text
    assert "<title>&lt;script&gt;alert(1)" in text
    assert "<h2><bdi>&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text
    assert "1932" in text
    assert "No poster or plot yet" in text
    nameless = page.get("/movies/tt0000002").text
    assert "<h2><bdi>tt0000002</bdi></h2>" in nameless
    assert "No title, poster or plot yet" in nameless
    assert HOSTILE.encode() not in page.get("/").data


def test_a_card_with_a_title_of_the_user_still_waits_for_the_details(page, alice):
    movies.add(alice.id, FILM)
    hint(alice, FILM, "Alien", 1979)
    address = f"/movies/{FILM}/card?status=all"
    text = page.get(address, headers=PARTIAL).text
    for part in ("Alien", "1979", "No details yet", "data-stub"):
        assert part in text
    assert page.get(f"{address}&waiting=details", headers=PARTIAL).status_code == 204
    Title.update(title="Alien 2").execute()
    known = page.get(f"{address}&waiting=details", headers=PARTIAL).text
    assert "Alien 2" in known
    assert "data-stub" not in known


def test_a_film_watched_again_without_a_rating_shows_the_rating_given_last(page, alices_film):
    movies.watch(alices_film.id, FILM, T, 7.5)
    movies.watch(alices_film.id, FILM, T + 86400, again=True)
    text = page.get(f"/movies/{FILM}").text
    assert re.search(r"My rating\s+<b>7.5</b>", text)
    # The form changes the latest watch, and must not give it the rating of the one before.
    field, _ = re.findall(r'name="my_rating"\s+value="([^"]*)"\s+min', text)
    assert field == ""
    assert "★ 7.5" in page.get("/?status=all").text


@pytest.mark.parametrize("imdb_id", ["tt0000009", "x", "%2e%2e", "tt1", "nm0000001"])
def test_a_film_that_is_not_there_says_so(page, alices_film, imdb_id):
    answer = page.get(f"/movies/{imdb_id}")
    assert answer.status_code == 404
    assert page.post(f"/movies/{imdb_id}/status", data={"to": "watched"}).status_code == 404


def test_a_film_deleted_in_another_tab_leaves_the_page_as_it_is(page, alices_film):
    movies.delete(alices_film.id, FILM)
    for path, sent in (
        ("status", {"to": "watched"}),
        ("watch", {"my_rating": "8"}),
        ("votes", {"person": "Eve"}),
        ("delete", {}),
        ("refresh", {}),
        ("unwatch", {}),
    ):
        answer = page.post(f"/movies/{FILM}/{path}", data=sent, headers=PARTIAL)
        assert answer.status_code == 404, path
        assert answer.headers["HX-Reswap"] == "none"
    assert not Movie.select().exists()


def test_opening_a_film_writes_nothing(page, alices_films):
    before = database_dump()
    of_the_film = (f"/movies/{FILM}{part}" for part in ("", "/about", "/card"))
    for address in (*of_the_film, "/", "/counts"):
        for headers in ({}, PARTIAL):
            assert page.get(address, headers=headers).status_code in (200, 303)
    assert "no TMDB key" in page.get(f"/movies/{FILM}").text
    assert database_dump() == before


def test_the_page_of_a_stub_asks_for_its_details_to_be_fetched_next(page, alices_films):
    config.use(replace(config.current, tmdb_api_key="key"))
    ask = f'hx-post="/movies/{FILM}/want" hx-trigger="load"'
    assert ask in page.get(f"/movies/{FILM}").text
    assert page.post(f"/movies/{FILM}/want", headers=PARTIAL).status_code == 204
    assert page.post(f"/movies/{FILM}/want").location == f"/movies/{FILM}"
    assert [title.imdb_id for title in Title.select() if title.wanted_at] == [FILM]
    Title.update(tmdb_state="ready", wanted_at=None).execute()
    assert ask not in page.get(f"/movies/{FILM}").text
    page.post(f"/movies/{FILM}/want", headers=PARTIAL)
    assert Title.get_by_id(FILM).wanted_at is None


def test_a_busy_database_holds_up_no_page_of_a_film(page, alices_films, monkeypatch):
    monkeypatch.setattr(movies, "PRIORITIZE_SECONDS", 0.1)
    page.get(f"/movies/{FILM}")
    with contextlib.closing(sqlite3.connect(config.current.data_dir / "mm.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        start = time.monotonic()
        assert page.get(f"/movies/{FILM}").status_code == 200
        assert page.post(f"/movies/{FILM}/want", headers=PARTIAL).status_code == 204
        assert time.monotonic() - start < 5
    assert Title.get_by_id(FILM).wanted_at is None
    assert page.post(f"/movies/{FILM}/status", data={"to": "watched"}).status_code == 303


def test_a_missing_title_says_why_and_when_it_is_tried_again(page, alices_films):
    Title.update(
        tmdb_state="missing", tmdb_reason="TMDB has it as an episode.", tmdb_retry_at=4e9
    ).execute()
    text = page.get(f"/movies/{FILM}").text
    assert "TMDB has it as an episode." in text
    assert "check again" in text


def test_a_film_moves_between_states_and_lists(page, alices_film):
    club = lists.create(alices_film.id, "Club")
    for to, status in (
        ("watched", "watched"),
        (f"list:{club.id}", "custom"),
        ("deleted", "deleted"),
        ("toWatch", "toWatch"),
    ):
        answer = page.post(f"/movies/{FILM}/status", data={"to": to}, headers=PARTIAL)
        assert Movie.get().status == status
        assert "film" in json.loads(answer.headers["HX-Trigger"])
        assert json.loads(answer.headers["HX-Trigger"])["toast"]["undo"].startswith("/undo/")
    assert page.post(f"/movies/{FILM}/status", data={"to": "list:none"}).status_code == 404
    assert page.post(f"/movies/{FILM}/status", data={"to": "custom"}).status_code == 422
    assert page.post(f"/movies/{FILM}/status").status_code == 422


def test_stars_rate_it_and_never_move_its_date(page, alices_film):
    movies.watch(alices_film.id, FILM, T, 5)
    page.post(f"/movies/{FILM}/watch", data={"my_rating": "9"})
    page.post(f"/movies/{FILM}/watch", data={"my_rating": "8,5", "date_watched": "2026-02-13"})
    [watch] = Watch.select()
    assert (watch.date_watched, watch.my_rating) == (T, 8.5)
    page.post(f"/movies/{FILM}/watch", data={"my_rating": "", "date_watched": "2026-02-14"})
    [watch] = Watch.select()
    assert watch.my_rating is None
    assert watch.date_watched != T


def test_stars_on_a_film_that_waits_to_be_seen_again_add_a_watch(page, alices_film):
    movies.watch(alices_film.id, FILM, T, 5)
    movies.set_status(alices_film.id, FILM, "toWatch")
    page.post(f"/movies/{FILM}/watch", data={"my_rating": "9"})
    ratings = [watch.my_rating for watch in Watch.select().order_by(Watch.date_watched)]
    assert (ratings, Movie.get().status) == ([5, 9], "watched")


def test_the_form_changes_the_watch_that_it_shows_whatever_the_status(page, alices_film):
    movies.watch(alices_film.id, FILM, T, 5)
    movies.set_status(alices_film.id, FILM, "toWatch")
    page.post(f"/movies/{FILM}/watch", data={"my_rating": "6", "date_watched": "2026-02-14"})
    assert [watch.my_rating for watch in Watch.select()] == [6]


def test_watching_again_adds_a_watch_and_a_double_submit_does_not_add_two(page, alices_film):
    movies.watch(alices_film.id, FILM, T, 5)
    for _ in range(2):
        page.post(f"/movies/{FILM}/watch", data={"again": "1", "date_watched": "2026-02-20"})
    assert [watch.my_rating for watch in Watch.select().order_by(Watch.date_watched)] == [5, None]
    text = page.get(f"/movies/{FILM}").text
    assert "Watched 2 times" in text
    page.post(f"/movies/{FILM}/unwatch", data={"date_watched": repr(T)})
    assert Watch.get().my_rating is None


@pytest.mark.parametrize("rating", ["11", "0", "x", "nan", "-3", "1e400"])
def test_a_rating_that_cannot_be_is_refused_at_its_field_and_kept(page, alices_film, rating):
    for headers in (PARTIAL, {}):
        answer = page.post(
            f"/movies/{FILM}/watch",
            data={"my_rating": rating, "date_watched": "2026-02-01"},
            headers=headers,
        )
        assert answer.status_code == 422
        assert 'role="alert"' in answer.text
        assert f'value="{rating}"' in answer.text
        assert 'value="2026-02-01"' in answer.text
    assert not Watch.select().exists()


def test_a_low_rating_asks_about_what_else_they_recommended(page, alices_film):
    for number, imdb_id in enumerate((FILM, "tt0000002", "tt0000003")):
        movies.recommend(alices_film.id, imdb_id, "Maya", date_recommended=T + number)
    maya = Person.get(Person.name == "Maya").id
    text = page.post(f"/movies/{FILM}/watch", data={"my_rating": "5"}, headers=PARTIAL).text
    assert f"/?status=toWatch&amp;person={maya}" in text
    assert "2 more films" in text
    assert (
        "Not for you"
        not in page.post(f"/movies/{FILM}/watch", data={"my_rating": "6"}, headers=PARTIAL).text
    )


def test_votes_come_and_go(page, alices_film):
    page.post(f"/movies/{FILM}/votes", data={"person": " Eve ", "vote": "down"})
    assert "said to skip it" in page.get(f"/movies/{FILM}").text
    page.post(f"/movies/{FILM}/votes", data={"person": "eve", "vote": "up"})
    assert "recommended this" in page.get(f"/movies/{FILM}").text
    # Named like the id of somebody else.
    eve = Person.get(Person.name == "Eve").id
    people.create(alices_film.id, str(eve))
    page.post(f"/movies/{FILM}/votes/{eve}/delete")
    assert "recommended it" not in page.get(f"/movies/{FILM}").text


@pytest.mark.parametrize("name", ["", "  ", "..", "a" * 501])
def test_a_name_that_cannot_be_is_refused_at_its_field_and_kept(page, alices_film, name):
    answer = page.post(
        f"/movies/{FILM}/votes", data={"person": name, "vote": "up"}, headers=PARTIAL
    )
    assert answer.status_code == 422
    assert 'id="vote-problem"' in answer.text
    assert f'value="{name.strip()}"' in answer.text or f'value="{name}"' in answer.text


def test_refreshing_without_a_key_says_so_and_changes_nothing(page, alices_film):
    answer = page.post(f"/movies/{FILM}/refresh", headers=PARTIAL)
    assert answer.status_code == 503
    assert "TMDB API key not configured" in answer.headers["HX-Trigger"]


def test_a_deleted_film_is_deleted_for_good_and_put_back(page, alices_film):
    page.post(f"/movies/{FILM}/status", data={"to": "deleted"})
    assert "Delete permanently" in page.get(f"/movies/{FILM}").text
    assert page.post(f"/movies/{FILM}/delete").location == "/"
    assert not Movie.select().exists()
    page.post(re.search(r'action="(/undo/[^"]+)"', page.get("/").text)[1])
    assert Movie.get().status == "deleted"


def test_a_log_in_that_ended_leads_from_a_film_back_to_its_page(page, alices_film):
    models.User.update(token_version=models.User.token_version + 1).execute()
    here = PARTIAL | {"HX-Current-URL": f"http://localhost/movies/{FILM}"}
    answer = page.post(f"/movies/{FILM}/watch", data={"my_rating": "8"}, headers=here)
    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == f"/login?next=/movies/{FILM}"
    assert not Watch.select().exists()


def test_who_else_recommended_what_is_asked_in_one_query(alices_film):
    for number in range(2, 40):
        names = [f"Person {number % 7}", f"Person {number % 5}"]
        movies.recommend_many(alices_film.id, f"tt{number:07}", names)
    voters = [f"Person {number}" for number in range(6)]
    movies.recommend_many(alices_film.id, FILM, [*voters, "Nobody else"])
    movies.recommend(alices_film.id, FILM, "Person 6", vote_type=False)
    movies.watch(alices_film.id, "tt0000002")
    film = film_details.find(alices_film.id, FILM)
    with count_queries() as counter:
        others = film_details.more_by_recommenders(alices_film.id, film)
    assert counter.count == 1
    found = {person.name: count for person, count in others}
    # The second film was watched.
    expected = [[m for m in range(3, 40) if n in (m % 7, m % 5)] for n in range(6)]
    assert found == {name: len(theirs) for name, theirs in zip(voters, expected, strict=True)}


# What it costs.


@pytest.mark.parametrize(
    "address",
    [
        "/",
        "/?status=all&q=a&genre=Drama&person=1&filters=1&rating=5",
        "/?offset=60",
        f"/movies/{FILM}",
        "/counts",
    ],
)
def test_no_page_takes_more_than_thirteen_queries(page, alices_films, address):
    for number in range(30):
        movies.recommend(alices_films.id, FILM, f"Person {number}")
        lists.create(alices_films.id, f"List {number}")
    Title.update(tmdb_state="failed").where(Title.imdb_id == "tt0000007").execute()
    with count_queries() as counter:
        page.get(address)
    assert counter.count <= 13


def test_a_page_weighs_less_than_100_kb(page, alices_films):
    for number in range(1, 131):
        movies.recommend(alices_films.id, f"tt{number:07}", f"Person with a long name {number % 7}")
    Title.update(
        title="A title of a rather usual length",
        year=1999,
        imdb_rating=7.1,
        poster_path="/abcdefghijkl.jpg",
        tmdb_state="ready",
    ).execute()
    assert len(page.get("/?status=all&filters=1").data) < 100_000
    assert len(page.get(f"/movies/{FILM}").data) < 100_000


def test_a_card_is_drawn_anew_only_once_its_details_are_there(page, alices_films):
    address = f"/movies/{FILM}/card?status=watched"
    assert page.get(f"{address}&waiting=details", headers=PARTIAL).status_code == 204
    assert 'class="film-card"' in page.get(address, headers=PARTIAL).text
    assert (
        'class="film-card film-card--moved"'
        in page.get(f"/movies/{FILM}/card?status=toWatch", headers=PARTIAL).text
    )
    Title.update(title="Alien").where(Title.imdb_id == FILM).execute()
    assert "Alien" in page.get(f"{address}&waiting=details", headers=PARTIAL).text
