"""Server, Titles: what administrators see of titles that no provider has, and the film at TMDB that
they choose instead."""

import dataclasses

import pytest
from playhouse.test_utils import count_queries

from mm import clock, config, models
from mm.database import db
from mm.dates import Style
from mm.models import Job, Movie, Title, TmdbLink
from mm.providers import limits
from mm.services import date_style, jobs
from mm.services.enrichment import interactive, lookup_slots, pauses
from mm.services.enrichment import runner as enrichment_runner
from tests.support.libraries import document, film, many, person, put
from tests.support.standin import FILM_IDS, SERIES

LOST = "tt0000001"
NUMBER, TITLE = 5000, "The Lighthouse Keeper&#39;s Tax Return"
PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
def settings(tmp_path, standin):
    return config.Config(data_dir=tmp_path / "data", **standin.config())


@pytest.fixture(autouse=True)
def quick(monkeypatch, frozen_clock):
    """The pace is tested where the look-ups are."""
    for name in ("tmdb_interactive", "tmdb_worker", "omdb_worker"):
        monkeypatch.setattr(limits, name, limits.RateLimiter(2000, 2000))
    interactive.cache.clear()
    lookup_slots.silent_providers.clear()


@pytest.fixture
def admin(app, carol):
    """Carol's browser, logged in."""
    client = app.test_client()
    client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    with client.session_transaction() as session:
        session["_user_id"] = carol.get_id()
    return client


@pytest.fixture
def lost(alice):
    """Alice's film, which neither provider has."""
    with db.connection_context():
        put(alice, document([film(1, title="My secret holiday film")], [person("Grandma")]))
    look_up()
    return LOST


def look_up():
    """As the worker does it."""
    with db.connection_context():
        job = jobs.active("enrich") or jobs.create("enrich")
        jobs.run(job.id, enrichment_runner.run)


def title():
    with db.connection_context():
        return Title.get_by_id(LOST)


def links():
    with db.connection_context():
        return [(link.tmdb_id, link.media_type) for link in TmdbLink.select()]


# The list.


def test_a_title_that_is_stuck_says_why_and_when_it_is_tried_again(admin, lost):
    text = admin.get("/admin/titles").text
    assert "TMDB has no film or series with this IMDb ID." in text
    assert f'href="https://www.imdb.com/title/{LOST}/"' in text
    assert "Asked" in text
    assert "on 31 March at" in text
    assert "All 1" in text


def test_neither_its_owner_nor_what_they_call_it_is_shown(admin, lost):
    for address in ("/admin/titles", f"/admin/titles/{LOST}"):
        text = admin.get(address).text
        for private in ("secret holiday", "Grandma", "alice"):
            assert private not in text


def test_where_nothing_is_stuck_the_page_says_so(admin):
    text = admin.get("/admin/titles").text
    assert "No title is stuck" in text
    assert "Try" not in text


def test_a_provider_that_may_not_be_asked_is_named_with_what_waits(admin, alice):
    with db.connection_context():
        put(alice, many(3))
    config.use(dataclasses.replace(config.current, tmdb_api_key=""))
    text = admin.get("/admin/titles").text
    assert "No TMDB key is set" in text
    assert "3 titles will be looked up at TMDB" in " ".join(text.split())


def test_until_when_a_provider_is_paused_is_written_as_the_reader_chose(admin, carol):
    with db.connection_context():
        pauses.pause("tmdb", "TMDB is down.", 3600)
        date_style.choose(carol.id, Style("iso", "en"))
        until = clock.local(clock.now() + 3600, config.current.zone)
    assert f"paused until {until:%Y-%m-%d}, " in admin.get("/admin/titles").text


def test_thousands_are_paged_with_few_queries(admin, alice):
    with db.connection_context():
        put(alice, many(1200))
        Title.update(tmdb_state="missing", tmdb_retry_at=2e9).execute()
    admin.get("/admin/titles")
    with count_queries() as counter:
        text = admin.get("/admin/titles?page=24&show=tmdb-missing").text
    assert "Page 24 of 24" in text
    assert "/admin/titles?show=tmdb-missing&amp;page=23" in text
    assert "retry?show=&" not in admin.get("/admin/titles").text
    assert text.count('class="stuck"') == 50
    assert counter.count < 20
    for odd in ("page=x", "page=-1", "page=99999999999999999999", "show=x"):
        assert admin.get(f"/admin/titles?{odd}").status_code == 200


# Another try.


def test_try_again_puts_it_first_and_wakes_the_worker(admin, lost):
    answer = admin.post(f"/admin/titles/{LOST}/retry?show=tmdb-missing&page=2", headers=PARTIAL)
    assert f'id="title-{LOST}"' in answer.text
    assert "It will be tried again soon." in answer.text
    assert answer.headers["HX-Replace-Url"] == "/admin/titles?show=tmdb-missing&page=2"
    with db.connection_context():
        assert jobs.active("enrich")

    # Without htmx.
    answer = admin.post(f"/admin/titles/{LOST}/retry?show=tmdb-missing")
    assert answer.location == "/admin/titles?show=tmdb-missing"
    assert admin.post("/admin/titles/tt7777777/retry").status_code == 404


def test_try_all_again(admin, lost):
    answer = admin.post("/admin/titles/retry", data={"show": "tmdb-missing"})
    assert answer.location == "/admin/titles?show=tmdb-missing"
    assert "1 title will be looked up again." in admin.get(answer.location).text
    assert admin.post("/admin/titles/retry", data={"show": "x" * 99}).status_code == 303


# Choosing.


def test_what_was_typed_is_looked_up_and_shown_before_anything_is_saved(admin, lost):
    text = admin.get(f"/admin/titles/{LOST}?tmdb=https://www.themoviedb.org/movie/5000-x").text
    assert TITLE in text
    assert "(1994)" in text
    poster = f"/posters/w154/{FILM_IDS[0]}.png"
    assert poster in text
    with admin.get(poster) as picture:
        assert picture.mimetype == "image/png"
    assert 'value="movie/5000"' in text
    # TMDB calls another IMDb id.
    assert "TMDB says that its IMDb ID is" in text
    assert FILM_IDS[0] in text
    assert links() == []


def test_an_id_that_is_the_same_needs_no_warning(admin, alice):
    with db.connection_context():
        put(alice, document([{**film(1), "imdb_id": FILM_IDS[0]}]))
        Title.update(tmdb_state="missing").execute()
    text = admin.get(f"/admin/titles/{FILM_IDS[0]}?tmdb=5000").text
    assert TITLE in text
    assert "TMDB says" not in text


def test_the_choice_reaches_the_users_who_hold_the_film(admin, page, lost):
    answer = admin.post(f"/admin/titles/{LOST}/link", data={"tmdb": "movie/5000"})
    assert answer.location == "/admin/titles?show=chosen"
    assert links() == [(NUMBER, "movie")]
    with db.connection_context():
        assert jobs.active("enrich")
    look_up()

    assert TITLE in page.get(f"/movies/{LOST}").text
    text = admin.get("/admin/titles?show=chosen").text
    assert TITLE in text
    assert 'href="https://www.themoviedb.org/movie/5000"' in text
    assert "No title is stuck" not in text


def test_nothing_that_an_administrator_typed_gets_into_a_library(admin, lost):
    with db.connection_context():
        before = [(row.hint_title, row.note) for row in Movie.select()]
    admin.post(f"/admin/titles/{LOST}/link", data={"tmdb": "movie/5000-<b>typed</b>"})
    look_up()
    with db.connection_context():
        assert [(row.hint_title, row.note) for row in Movie.select()] == before
        everything = " ".join(str(vars(row)) for row in (*Movie.select(), *Title.select()))
    assert "typed" not in everything


def test_a_choice_is_removed_again(admin, page, lost):
    admin.post(f"/admin/titles/{LOST}/link", data={"tmdb": "tv/7001"})
    look_up()
    assert title().title == SERIES["name"]
    assert "Remove the choice" in admin.get(f"/admin/titles/{LOST}").text

    answer = admin.post(f"/admin/titles/{LOST}/unlink")
    assert answer.location == "/admin/titles"
    assert links() == []
    assert SERIES["name"] not in page.get(f"/movies/{LOST}").text
    look_up()
    assert title().tmdb_state == "missing"


@pytest.mark.parametrize(
    ("typed", "status", "why"),
    [
        ("", 422, "Type the number of the film"),
        ("Fight Club", 422, "neither a number nor the address"),
        ("https://www.themoviedb.org/person/287-brad-pitt", 422, "page of a person"),
        ("tt0137523", 422, "This is an IMDb ID"),
        ("424242", 404, "TMDB has no film with the number 424242"),
        ("<script>", 422, "neither a number nor the address"),
    ],
)
@pytest.mark.parametrize("method", ["look up", "save"])
def test_what_cannot_be_used_is_said_at_the_field(admin, lost, method, typed, status, why):
    if method == "save":
        answer = admin.post(f"/admin/titles/{LOST}/link", data={"tmdb": typed})
    else:
        answer = admin.get(f"/admin/titles/{LOST}", query_string={"tmdb": typed})
    assert answer.status_code == status
    assert why in answer.text.partition('id="wrong-tmdb"')[2].partition("</small>")[0]
    assert "<script>" not in answer.text.partition("<main")[2]
    assert links() == []


@pytest.mark.slow
def test_a_provider_that_does_not_answer_is_said_at_the_field(admin, lost, standin, monkeypatch):
    monkeypatch.setattr(lookup_slots, "DEADLINE_SECONDS", 1.5)
    standin.tmdb.fault = "hang"
    answer = admin.get(f"/admin/titles/{LOST}?tmdb=5000")
    assert answer.status_code == 503
    assert "TMDB did not answer in time." in answer.text.partition('id="wrong-tmdb"')[2]
    assert 'value="5000"' in answer.text
    standin.tmdb.fault = ""


def test_a_key_that_tmdb_refuses_is_said_at_the_field(admin, lost, standin):
    standin.tmdb.fault = "wrong_key"
    answer = admin.get(f"/admin/titles/{LOST}?tmdb=5000")
    assert answer.status_code == 502
    assert 'id="wrong-tmdb"' in answer.text


def test_a_title_that_is_well_or_that_nobody_holds_has_no_page(admin, lost):
    with db.connection_context():
        models.ensure_titles(db.obj, [FILM_IDS[1]])
        Title.update(tmdb_state="missing").where(Title.imdb_id == FILM_IDS[1]).execute()
        Title.update(tmdb_state="ready", omdb_state="ready").where(Title.imdb_id == LOST).execute()
    for imdb_id in (LOST, FILM_IDS[1], "x" * 500):
        assert admin.get(f"/admin/titles/{imdb_id}").status_code == 404
        answer = admin.post(f"/admin/titles/{imdb_id}/link", data={"tmdb": "movie/5000"})
        assert answer.status_code == 404
    assert links() == []


def test_other_users_may_not(page, lost):
    assert page.get("/admin/titles").status_code == 403
    answer = page.post(f"/admin/titles/{LOST}/link", data={"tmdb": "movie/5000"})
    assert answer.status_code == 403
    assert links() == []
    with db.connection_context():
        assert not Job.select().where((Job.kind == "enrich") & (Job.state == "queued")).exists()
