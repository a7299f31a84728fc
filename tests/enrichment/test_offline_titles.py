"""Titles that the catalogue describes: at once and for thousands, until TMDB or OMDb does."""

import msgspec
import pytest
from playhouse.test_utils import count_queries

from mm import config, models
from mm.database import db
from mm.models import Movie, Title, TitleJson
from mm.services import jobs
from mm.services.backup import imports
from mm.services.catalogue import updates
from mm.services.enrichment import offline_titles, runner, title_json
from mm.services.enrichment import queue as enrichment_queue
from mm.services.library import movies, serializers
from mm.services.sync import feed
from tests.support import catalogue
from tests.support.catalogue import film
from tests.support.enriching import hold
from tests.support.libraries import as_bytes, document
from tests.support.libraries import film as row

MATRIX, TOY_STORY, UNKNOWN = "tt0133093", "tt0114709", "tt7654321"
TMDB = {"id": 603, "title": "Matrix", "original_title": "The Matrix", "media_type": "movie"}
OMDB = {"Title": "The Matrix", "Type": "movie", "imdbRating": "8.6", "imdbVotes": "2,000,001"}


def matrix(**values):
    """The Matrix as another catalogue has it."""
    known = {"title": "The Matrix", "year": 1999, "votes": 2_100_000, "rating": 8.7}
    lists = {"genres": ["Action", "Sci-Fi"], "directors": ["Lana Wachowski", "Lilly Wachowski"]}
    return film(133093, **(known | {"runtime": 136} | lists | values))


def shown(user, imdb_id=MATRIX):
    return msgspec.json.decode(msgspec.json.encode(serializers.movie_view(user.id, imdb_id)))


def stamps(user):
    films = Movie.select().where(Movie.user == user.id)
    return {film.imdb_id: (film.updated_at, film.last_modified) for film in films}


# Filling.


def test_a_title_without_a_description_gets_all_that_the_catalogue_knows(alice, database):
    catalogue.put()
    hold(alice, MATRIX, UNKNOWN)
    assert offline_titles.fill_new() == 1
    title = Title.get_by_id(MATRIX)
    assert (title.source, title.title, title.original_title) == ("imdb", "The Matrix", None)
    assert (title.media_type, title.year, title.runtime) == ("movie", 1999, 136)
    assert title.genres == ["Action", "Sci-Fi"]
    assert title.directors == ["Lana Wachowski", "Lilly Wachowski"]
    assert (title.imdb_rating, title.imdb_votes) == (8.7, 2_100_000)
    assert "lilly wachowski" in title.search_text
    assert (title.tmdb_state, title.omdb_state) == ("stub", "stub")
    assert Title.get_by_id(UNKNOWN).source is None
    assert offline_titles.fill_new() == 0


def test_phones_are_told_and_the_dates_of_the_users_own_changes_stay(alice, bob, database):
    hold(alice, MATRIX, TOY_STORY, UNKNOWN)
    hold(bob, MATRIX)
    before = stamps(alice)
    catalogue.put()
    seen = feed.newest(alice.id)
    offline_titles.fill_new()
    assert feed.newest(alice.id) > seen
    assert feed.newest(bob.id) > seen
    after = stamps(alice)
    assert after[UNKNOWN] == before[UNKNOWN]
    assert after[MATRIX][0] > before[MATRIX][0]
    assert after[MATRIX][1] == before[MATRIX][1]
    own = [movie.updated_at for movie in Movie.select().where(Movie.user == alice.id)]
    assert len(set(own)) == len(own)


def test_without_a_catalogue_nothing_is_asked_of_the_database(alice, database):
    hold(alice, MATRIX)
    with count_queries() as counter:
        assert offline_titles.fill_new() == 0
        assert offline_titles.fill([MATRIX]) == []
    assert counter.count == 0


def test_a_damaged_catalogue_keeps_nobody_from_adding_a_film(alice, database, lines):
    config.current.catalogue_file.write_bytes(b"<html>No such page" * 1000)
    movies.add(alice.id, MATRIX)
    assert Title.get_by_id(MATRIX).title is None
    assert any("catalogue" in line for line in lines())


def test_a_catalogue_of_another_version_is_no_error_either(alice, database):
    catalogue.put()
    with config.current.catalogue_file.open("wb") as file:
        file.write(b"")
    movies.add(alice.id, MATRIX)
    assert Title.get_by_id(MATRIX).title is None


def test_a_film_that_is_added_has_its_title_at_once(alice, database):
    catalogue.put()
    movies.add(alice.id, MATRIX)
    assert shown(alice)["tmdb_data"]["title"] == "The Matrix"
    movies.recommend(alice.id, TOY_STORY, "Bob")
    assert Title.get_by_id(TOY_STORY).title == "Toy Story"


def test_an_import_of_2000_films_has_its_titles_in_a_few_statements(alice, database):
    films = [film(number, f"Film {number}", 1950 + number % 70) for number in range(1, 2001)]
    catalogue.put(films)
    imports.import_bytes(alice, as_bytes(document([row(number) for number in range(1, 2001)])))
    with count_queries() as counter:
        assert offline_titles.fill_new() == 2000
    assert counter.count < 40
    assert Title.select().where(Title.source == "imdb").count() == 2000
    assert TitleJson.select().count() == 2000
    assert shown(alice, "tt0001234")["tmdb_data"]["title"] == "Film 1234"


# TMDB and OMDb go before it.


def test_what_tmdb_sends_takes_its_place_whole_and_the_rating_stays(alice, database):
    catalogue.put()
    movies.add(alice.id, MATRIX)
    with db.atomic():
        enrichment_queue.fill("tmdb", MATRIX, TMDB)
    title = Title.get_by_id(MATRIX)
    assert (title.source, title.title, title.directors) == ("tmdb", "Matrix", [])
    assert (title.imdb_rating, title.imdb_votes) == (8.7, 2_100_000)
    view = shown(alice)
    assert view["tmdb_data"]["tmdbId"] == 603
    assert view["omdb_data"]["imdbRating"] == 8.7
    with db.atomic():
        assert offline_titles.fill([MATRIX]) == []


def test_omdb_describes_it_and_what_omdb_lacks_stays(alice, database):
    catalogue.put([matrix(original_title="Matriks")])
    movies.add(alice.id, MATRIX)
    with db.atomic():
        enrichment_queue.fill("omdb", MATRIX, {**OMDB, "Runtime": "N/A", "Year": "2000"})
    title = Title.get_by_id(MATRIX)
    assert (title.source, title.original_title) == ("omdb", "Matriks")
    assert (title.year, title.runtime) == (2000, 136)
    assert (title.imdb_rating, title.imdb_votes) == (8.6, 2_000_001)
    assert "matriks" in title.search_text


def test_without_tmdbs_description_omdbs_or_the_catalogues_is_shown_again(alice, database):
    catalogue.put()
    hold(alice, MATRIX, TOY_STORY, UNKNOWN)
    with db.atomic():
        enrichment_queue.fill("omdb", TOY_STORY, {**OMDB, "Title": "Toy Story"})
        for imdb_id in (MATRIX, TOY_STORY, UNKNOWN):
            enrichment_queue.fill("tmdb", imdb_id, TMDB)
            enrichment_queue.forget_tmdb(imdb_id)
    found = {title.imdb_id: (title.source, title.title) for title in Title.select()}
    assert found == {
        MATRIX: ("imdb", "The Matrix"),
        TOY_STORY: ("omdb", "Toy Story"),
        UNKNOWN: (None, None),
    }
    assert Title.get_by_id(MATRIX).tmdb_state == "stub"


# What phones get.


def test_phones_find_the_title_where_they_read_tmdbs_and_the_rating_where_they_read_omdbs(
    alice, database
):
    catalogue.put()
    movies.add(alice.id, MATRIX)
    view = shown(alice)
    assert view["tmdb_data"] == {
        "tmdbId": None,
        "imdbId": MATRIX,
        "title": "The Matrix",
        "year": 1999,
        "mediaType": "movie",
        "poster": None,
        "posterSmall": None,
        "plot": None,
        "genres": ["Action", "Sci-Fi"],
        "cast": [],
        "director": "Lana Wachowski, Lilly Wachowski",
        "runtime": 136,
        "voteAverage": None,
        "voteCount": None,
    }
    assert view["omdb_data"]["imdbRating"] == 8.7
    others = {name: value for name, value in view["omdb_data"].items() if value}
    assert others == {"imdbId": MATRIX, "imdbRating": 8.7}


def test_a_film_without_a_rating_has_no_omdb_data(alice, database):
    catalogue.put()
    movies.add(alice.id, "tt9999999")
    assert shown(alice, "tt9999999")["omdb_data"] is None


def test_the_json_is_shown_before_it_is_built_and_built_in_the_background(alice, database):
    catalogue.put()
    movies.add(alice.id, MATRIX)
    before = shown(alice)
    TitleJson.delete().execute()
    models.put_setting(title_json.ALL_BUILT, None)
    assert shown(alice) == before
    assert title_json.build_missing() == 1
    assert shown(alice) == before


# After another catalogue took its place.


def test_a_new_catalogue_updates_its_own_titles_and_the_ratings_of_the_others(alice, database):
    catalogue.put()
    hold(alice, MATRIX, TOY_STORY, "tt0078748", "tt0090605")
    offline_titles.fill_new()
    with db.atomic():
        enrichment_queue.fill("tmdb", TOY_STORY, {**TMDB, "title": "Toy Story"})
        enrichment_queue.fill("omdb", "tt0078748", OMDB)
    before = stamps(alice)
    catalogue.put(
        [
            matrix(title="The Matrix!", rating=8.8),
            film(114709, "Another", 1995, 5, 1.5),
            film(78748, "Another", 1979, 5, 1.5),
        ]
    )
    assert offline_titles.renew() == 2
    found = {title.imdb_id: (title.title, title.imdb_rating) for title in Title.select()}
    assert found == {
        MATRIX: ("The Matrix!", 8.8),
        TOY_STORY: ("Toy Story", 1.5),
        "tt0078748": ("The Matrix", 8.6),
        # The catalogue lacks it by now.
        "tt0090605": ("Aliens", 8.4),
    }
    assert shown(alice)["tmdb_data"]["title"] == "The Matrix!"
    assert shown(alice, TOY_STORY)["omdb_data"]["imdbRating"] == 1.5
    after = stamps(alice)
    moved = {imdb_id for imdb_id in after if after[imdb_id] != before[imdb_id]}
    assert moved == {MATRIX, TOY_STORY}
    assert offline_titles.renew() == 0


def test_when_only_votes_change_phones_fetch_nothing(alice, database):
    catalogue.put()
    movies.add(alice.id, MATRIX)
    before = stamps(alice)
    catalogue.put([matrix(votes=2_100_001)])
    assert offline_titles.renew() == 1
    assert Title.get_by_id(MATRIX).imdb_votes == 2_100_001
    assert stamps(alice) == before


def test_titles_described_before_the_catalogue_get_its_rating(alice, database):
    hold(alice, MATRIX)
    with db.atomic():
        enrichment_queue.fill("tmdb", MATRIX, TMDB)
    catalogue.put()
    assert offline_titles.renew() == 1
    assert shown(alice)["omdb_data"]["imdbRating"] == 8.7


def test_an_update_that_was_stopped_is_continued_by_the_next(alice, database, monkeypatch):
    catalogue.put()
    hold(alice, MATRIX, TOY_STORY, "tt0078748")
    offline_titles.fill_new()
    catalogue.put([film(number, "Other", 2000, 7, 5.0) for number in (133093, 114709, 78748)])
    monkeypatch.setattr(offline_titles, "BATCH", 1)
    answers = iter((False, True))
    monkeypatch.setattr(runner, "must_stop", lambda: next(answers))
    with pytest.raises(jobs.StoppedError):
        offline_titles.renew()
    assert Title.select().where(Title.title == "Other").count() == 1
    monkeypatch.setattr(runner, "must_stop", lambda: False)
    assert offline_titles.renew() == 2


def test_the_job_builds_the_catalogue_and_then_fills_titles(alice, database, monkeypatch):
    hold(alice, MATRIX)

    def run(job, must_stop):
        catalogue.put()
        return {"films": 13, "series": 2}

    monkeypatch.setattr(updates, "run", run)
    assert offline_titles.update(jobs.create("catalogue")) == {"films": 13, "series": 2}
    assert Title.get_by_id(MATRIX).title == "The Matrix"


@pytest.mark.sqlite
def test_a_title_with_damaged_values_is_repaired_and_holds_up_no_other(alice, database):
    catalogue.put()
    hold(alice, MATRIX, TOY_STORY)
    offline_titles.fill_new()
    db.execute_sql("UPDATE title SET genres = 'nonsense', directors = 'null', year = 'x'")
    TitleJson.delete().execute()
    assert shown(alice)["tmdb_data"]["title"] == "The Matrix"
    assert offline_titles.renew() == 2
    assert Title.get_by_id(TOY_STORY).directors == ["John Lasseter"]
    assert shown(alice)["tmdb_data"]["genres"] == ["Action", "Sci-Fi"]
