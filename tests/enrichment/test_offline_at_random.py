"""What users own, and what TMDB and OMDb said, outlives whatever the catalogue does with titles."""

import random

import pytest

from mm import models
from mm.database import db
from mm.models import Movie, Setting, Title, TitleJson
from mm.services.catalogue import store
from mm.services.enrichment import offline_titles
from mm.services.enrichment import queue as enrichment_queue
from mm.services.sync import feed
from tests.support import catalogue
from tests.support.catalogue import film
from tests.support.enriching import hold

# Of a library: everything but when the server last told phones of it.
NOT_OWNED = {Title, TitleJson, Setting}
IDS = [f"tt{number:07}" for number in range(1, 41)]


def owned():
    rows = {}
    for table in models.TABLES:
        if table not in NOT_OWNED:
            fields = [field for field in table._meta.sorted_fields if field.name != "updated_at"]
            rows[table.__name__] = sorted(map(repr, table.select(*fields).tuples()))
    return rows


def another_catalogue(random):
    """Some of IDS, each with other words or votes than before."""
    wanted = random.sample(range(1, 41), 30)
    catalogue.put(
        [
            film(
                number,
                random.choice(["One", "Two", "Ünlü"]),
                random.choice([None, 1990]),
                random.choice([None, 10, 11]),
                random.choice([None, 6.5, 6.6]),
                kind=random.choice(["movie", "tv"]),
                genres=random.choice([None, ["Drama"]]),
            )
            for number in wanted
        ]
    )


def answer(random, imdb_id):
    """TMDB's or OMDb's."""
    with db.atomic():
        if random.random() < 0.5:
            body = {"id": 1, "title": f"TMDB's {imdb_id}", "overview": "Long", "media_type": "tv"}
            enrichment_queue.fill("tmdb", imdb_id, body)
        else:
            body = {"Title": f"OMDb's {imdb_id}", "Plot": "Long", "imdbRating": "9.9"}
            enrichment_queue.fill("omdb", imdb_id, body)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_catalogues_come_only_titles_change(alice, bob, database, seed):
    chance = random.Random(seed)
    hold(alice, *IDS)
    hold(bob, *IDS[:10])
    Movie.update(hint_title="My title", hint_year=1950, note="Mine").where(
        Movie.title << IDS[:5]
    ).execute()
    before = owned()
    newest = 0
    for _ in range(12):
        another_catalogue(chance)
        answer(chance, chance.choice(IDS))
        told = Title.select(Title.imdb_id, Title.tmdb_body, Title.omdb_body, Title.overview)
        bodies = sorted(map(repr, told.where(Title.source << ["tmdb", "omdb"]).tuples()))
        seen = {row.imdb_id: shown(row) for row in Title.select()}
        stamps = dict(Movie.select(Movie.title, Movie.updated_at).tuples())
        offline_titles.renew()
        assert owned() == before
        assert sorted(map(repr, told.where(Title.source << ["tmdb", "omdb"]).tuples())) == bodies
        after = dict(Movie.select(Movie.title, Movie.updated_at).tuples())
        changed = {row.imdb_id for row in Title.select() if shown(row) != seen[row.imdb_id]}
        assert {key for key in after if after[key] != stamps[key]} == changed
        assert all(after[key] > newest for key in changed)
        newest = max(feed.newest(alice.id), feed.newest(bob.id))
        assert offline_titles.renew() == 0
    for user in (alice, bob):
        own = [row.updated_at for row in Movie.select().where(Movie.user == user.id)]
        assert len(own) == len(set(own))


@pytest.mark.parametrize("work", [offline_titles.fill_new, offline_titles.renew])
def test_an_answer_that_comes_while_the_catalogue_is_read_stays(alice, monkeypatch, work):
    catalogue.put()
    hold(alice, "tt0133093", "tt0114709")
    Title.update(source="imdb", title="The Matrix").where(Title.imdb_id == "tt0133093").execute()
    read = store.films_by_id

    def read_slowly(imdb_ids):
        monkeypatch.setattr(store, "films_by_id", read)
        films = read(imdb_ids)
        for imdb_id in ("tt0133093", "tt0114709"):
            with db.atomic():
                body = {"Title": "OMDb's", "Plot": "Long", "imdbRating": "9.9"}
                enrichment_queue.fill("omdb", imdb_id, body)
                body = {"id": 1, "title": "TMDB's", "overview": "Long", "media_type": "movie"}
                enrichment_queue.fill("tmdb", imdb_id, body)
        return films

    monkeypatch.setattr(store, "films_by_id", read_slowly)
    work()
    for title in Title.select():
        assert (title.source, title.title, title.imdb_rating) == ("tmdb", "TMDB's", 9.9)


def shown(title):
    """What of a title somebody may see."""
    left_out = ("imdb_votes", "source")
    return {key: value for key, value in title.__data__.items() if key not in left_out}
