"""Hints: what a film is called while the server has no title for it."""

import pytest

from mm.models import Title
from mm.schemas import MovieFilters
from mm.services import portable
from mm.services.library import (
    browse,
    film_details,
    movies,
    people,
    rankings,
    serializers,
)
from tests.support.libraries import T, as_bytes, document, film, hint

ALIEN, HINTED, NAMELESS = "tt0000001", "tt0000002", "tt0000003"


@pytest.fixture
def alices(alice, database):
    """One film that the server knows, one with a hint, and one that nobody knows."""
    for number, imdb_id in enumerate((ALIEN, HINTED, NAMELESS)):
        movies.add(alice.id, imdb_id, at=T + number)
    known = {"title": "Alien", "year": 1979, "search_text": "alien ridley scott"}
    Title.update(known).where(Title.imdb_id == ALIEN).execute()
    hint(alice, ALIEN, "Das unheimliche Wesen", 1980)
    hint(alice, HINTED, "ÄRGER im Paradies", 1932)
    return alice


def found(user, **view):
    page = browse.page(user.id, browse.parse({"status": "all", **view}), 0, 60)
    return [card.imdb_id for card in page.cards]


def test_a_card_shows_the_hint_only_while_the_server_knows_no_better(alices):
    cards = {card.imdb_id: card for card in browse.page(alices.id, browse.DEFAULT, 0, 9).cards}
    shown = {key: (card.title, card.year, card.has_details) for key, card in cards.items()}
    assert shown == {
        ALIEN: ("Alien", 1979, True),
        HINTED: ("ÄRGER im Paradies", 1932, False),
        NAMELESS: (None, None, False),
    }


def test_each_part_of_a_hint_is_used_for_itself(alices):
    Title.update(title="Trouble in Paradise").where(Title.imdb_id == HINTED).execute()
    card = browse.card(alices.id, HINTED)
    assert (card.title, card.year, card.has_details) == ("Trouble in Paradise", 1932, True)


def test_nobody_else_sees_the_hint(alices, bob):
    movies.add(bob.id, HINTED)
    assert browse.card(bob.id, HINTED).title is None
    assert film_details.find(bob.id, HINTED).name == HINTED
    assert found(bob, q="paradies") == []


def test_a_search_finds_a_film_by_its_hint_whatever_the_case(alices):
    assert found(alices, q="ärger PARADIES") == [HINTED]
    assert found(alices, q="unheimliche") == [ALIEN]
    assert found(alices, q="unheimliche scott") == [ALIEN]


def test_a_search_finds_a_film_by_the_users_own_note(alices):
    movies.set_note(alices.id, HINTED, "Seen with MÜLLER\nin Kiel, 100 %")
    assert found(alices, q="müller kiel") == [HINTED]
    assert found(alices, q="100%") == []
    assert found(alices, q="paradies müller") == [HINTED]
    by_api = serializers.matching_ids(alices.id, MovieFilters(q="Müller"))
    assert by_api == [movies.find(alices.id, HINTED).id]
    movies.set_note(alices.id, HINTED, None)
    assert (found(alices, q="müller"), found(alices, q="paradies")) == ([], [HINTED])


def test_films_are_sorted_and_filtered_by_what_is_shown(alices):
    movies.add(alices.id, "tt0000004", at=T)
    hint(alices, "tt0000004", "aachen", 2001)
    by_title = ["tt0000004", ALIEN, HINTED, NAMELESS]
    by_year = ["tt0000004", ALIEN, HINTED, NAMELESS]
    assert found(alices, sort="title") == by_title
    assert found(alices, sort="year") == by_year
    for sort, order in (("title", by_title), ("year", by_year)):
        ids = serializers.matching_ids(alices.id, MovieFilters(sort=sort))
        assert ids == [movies.find(alices.id, imdb_id).id for imdb_id in order]
    assert found(alices, decade="1930") == [HINTED]
    assert found(alices, decade="1980") == []
    assert browse.facets(alices.id)[1] == [2000, 1970, 1930]


def test_scrolling_by_title_passes_each_hint_once(alices):
    seen, after = [], None
    while len(seen) < 4:
        page = browse.page(alices.id, browse.parse({"sort": "title"}), 0, 1, after)
        seen += [card.imdb_id for card in page.cards]
        if (after := page.end) is None:
            break
    assert seen == [ALIEN, HINTED, NAMELESS]


def test_the_page_of_a_person_shows_hints(alices):
    movies.recommend(alices.id, HINTED, "Eve")
    [voted], _ = people.voted_films(people.find(alices.id, "Eve"), 0, 9)
    assert (voted.title, voted.year) == ("ÄRGER im Paradies", 1932)


def test_a_ranking_shows_hints(alices):
    movies.watch(alices.id, HINTED, T)
    [waiting] = rankings.unranked(alices.id)
    assert (waiting.title, waiting.year) == ("ÄRGER im Paradies", "1932")
    ranked = rankings.insert(alices.id, HINTED, 1, True)
    assert (ranked.title, ranked.year) == ("ÄRGER im Paradies", "1932")
    assert rankings.listing(alices.id) == [ranked]


def test_a_plan_names_the_films_of_the_library_by_their_hints(alices):
    rows = [film(number, status="watched") for number in (1, 2, 3)]
    document_read = portable.read(as_bytes(document(rows)))
    plan = portable.plan(alices.id, document_read, "overwrite")
    labels = [row.label for row in portable.view(plan).changes if row.kind == "movie"]
    assert labels == ["Alien", "ÄRGER im Paradies", NAMELESS]
