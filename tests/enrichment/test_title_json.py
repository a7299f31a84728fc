"""The clients' JSON of a title is made once, and again when what it is made of changes."""

from dataclasses import replace

import msgspec
import pytest
from playhouse.test_utils import count_queries

from mm import config
from mm.database import db
from mm.models import Title, TitleJson
from mm.services.enrichment import queue as enrichment_queue
from mm.services.enrichment import title_json
from mm.services.library import movies, serializers

FILM = "tt0111161"
TMDB = {"id": 278, "title": "Heat", "media_type": "movie", "poster_path": "/heat.jpg"}


@pytest.fixture
def film(alice):
    movies.add(alice.id, FILM)
    with db.atomic():
        enrichment_queue.fill("tmdb", FILM, TMDB)


def shown(alice):
    return msgspec.json.decode(msgspec.json.encode(serializers.movie_view(alice.id, FILM)))


def test_it_is_built_when_a_title_is_filled(alice, film):
    [row] = TitleJson.select()
    assert row.omdb is None
    assert shown(alice)["tmdb_data"]["title"] == "Heat"
    with db.atomic():
        enrichment_queue.fill("omdb", FILM, {"imdbRating": "8.3"})
    assert shown(alice)["omdb_data"]["imdbRating"] == 8.3
    assert shown(alice)["tmdb_data"]["title"] == "Heat"


def test_a_title_without_it_is_shown_all_the_same_and_built_in_the_background(alice, film):
    before = shown(alice)
    TitleJson.delete().execute()
    assert shown(alice) == before
    assert TitleJson.select().count() == 0
    assert title_json.build_missing() == 1
    assert title_json.build_missing() == 0
    assert shown(alice) == before


def test_once_all_are_built_the_titles_are_not_searched_again(alice, film):
    assert title_json.build_missing() == 0
    with count_queries() as counter:
        assert title_json.build_missing() == 0
    assert len(counter.get_queries()) == 1


def test_it_is_rebuilt_when_the_address_of_posters_changes(alice, film):
    config.use(replace(config.current, tmdb_image_url="https://pictures.example/t"))
    assert shown(alice)["tmdb_data"]["poster"] == "https://pictures.example/t/w500/heat.jpg"
    assert title_json.build_missing() == 1
    assert TitleJson.select().count() == 1
    assert shown(alice)["tmdb_data"]["poster"] == "https://pictures.example/t/w500/heat.jpg"


def test_it_is_deleted_with_its_title(alice, film):
    movies.delete(alice.id, FILM)
    Title.delete().execute()
    assert TitleJson.select().count() == 0
