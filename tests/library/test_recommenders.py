"""Statistics of the people who recommend films."""

import pytest
from playhouse.test_utils import count_queries

from mm.services.library import people
from tests.support.libraries import T, custom_list, document, film, many, person, put, seen, vote


@pytest.fixture
def home(database, alice):
    """Bob recommended six films: three rated 9, 6.9 and 7, one watched but unrated,
    one not watched, and one deleted. He voted against one that was good. Zoe
    recommended nothing."""
    bob = [vote("Bob")]
    again = [{"date_watched": T - 9e6, "my_rating": 1.0}, {"date_watched": T, "my_rating": 9.0}]
    movies = [
        seen(1, rating=9.0, watches=again, recommendations=bob),
        seen(2, rating=6.9, recommendations=bob),
        seen(3, rating=7.0, status="custom", custom_list_id="list-1", recommendations=bob),
        seen(4, rating=None, recommendations=bob),
        film(5, recommendations=[vote("Bob", date=T + 5)]),
        seen(6, rating=10.0, status="deleted", recommendations=bob),
        seen(7, rating=10.0, recommendations=[vote("Bob", up=False)]),
        film(8, status="watched", recommendations=[vote("Ann", date=T + 9)]),
    ]
    put(alice, document(movies, [person("Zoe", is_trusted=True)], [custom_list()]))
    return alice


def stats_of(home, name):
    return people.stats(people.find(home.id, name))


def test_the_latest_ratings_of_recommended_films_count(home):
    bob = stats_of(home, "Bob")
    assert (bob.films, bob.watched, bob.rated, bob.hits) == (6, 4, 3, 2)
    assert bob.average == pytest.approx((9 + 6.9 + 7) / 3)


def test_a_film_watched_on_no_known_day_counts_as_watched(home):
    ann = stats_of(home, "Ann")
    assert (ann.films, ann.watched, ann.rated, ann.average) == (1, 1, 0, None)


def test_a_person_without_recommendations_has_no_average(home):
    assert stats_of(home, "Zoe")[1:] == (0, 0, 0, 0, None)


def test_people_with_the_most_films_come_first(home):
    names = [stats.person.name for stats in people.all_stats(home.id)]
    assert names[:2] == ["Bob", "Ann"]
    assert names[2:] == sorted(names[2:], key=str.casefold)
    assert len(names) == 7


def test_people_can_be_limited_to_trusted_or_quick_ones(home):
    assert [stats.person.name for stats in people.all_stats(home.id, "trusted")] == ["Zoe"]
    assert len(people.all_stats(home.id, "quick")) == 4


def test_the_films_of_a_person_come_with_their_vote_and_my_rating(home):
    bob = people.find(home.id, "Bob")
    films, following = people.voted_films(bob, 0, 10)
    assert following is None
    assert [row.imdb_id[-1] for row in films] == ["5", "1", "2", "3", "4", "7"]
    assert [row.my_rating for row in films] == [None, 9.0, 6.9, 7.0, None, 10.0]
    assert [row.is_up for row in films] == [True, True, True, True, True, False]
    assert films[3].list_name == "Favourites"
    assert people.voted_films(bob, 5, 10) == (films[5:], None)


def test_the_people_of_other_users_are_not_shown(home, bob):
    assert len(people.all_stats(bob.id)) == len(people.by_last_use(bob.id)) == 4


def test_stats_take_one_query_however_many_people_there_are(home):
    put(home, many(1000, votes_each=4, start=100))
    with count_queries() as counter:
        people.all_stats(home.id)
        people.by_last_use(home.id)
    assert counter.count == 2
