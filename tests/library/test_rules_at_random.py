"""Whatever is done to a library, in whatever order, and taken back or not: its rules hold."""

import json
import random

import pytest

from mm.errors import ConflictError, NotFoundError
from mm.models import ListFilm, Movie, Person, Ranking, Recommendation
from mm.services.library import bulk, lists, movies, people, rankings, undo
from tests.support.libraries import T, export, reload

FILMS = [f"tt{number:07}" for number in range(1, 7)]
LISTS = ["list-1", "list-2", "list-3"]
STEPS = 250


@pytest.fixture
def home(frozen_clock, alice):
    people.create(alice.id, "Zoe")
    for number, imdb_id in enumerate(FILMS):
        movies.add(alice.id, imdb_id, recommenders=["Eve"] if number % 2 else ["Kim", "Eve"])
        if number % 2:
            movies.watch(alice.id, imdb_id, T + number, 7.5)
    for list_id in LISTS:
        lists.create(alice.id, list_id, list_id=list_id)
    return alice


class Acts:
    """Each method does one thing to a film, a list or several films that chance picks."""

    def __init__(self, user, chance):
        self.user, self.chance = user.id, chance

    def some(self, things):
        return self.chance.sample(things, self.chance.randint(1, len(things)))

    def note(self):
        return self.chance.choice([None, "Funny", "Again\nand again"])

    def set_status(self, imdb_id, list_id):
        status = self.chance.choice(["toWatch", "watched", "custom", "deleted"])
        movies.set_status(self.user, imdb_id, status, list_id)

    def watch(self, imdb_id, list_id):
        day_known = self.chance.random() < 0.5
        movies.watch(self.user, imdb_id, my_rating=6, note=self.note(), day_known=day_known)

    def unwatch(self, imdb_id, list_id):
        movies.unwatch(self.user, imdb_id)

    def rank(self, imdb_id, list_id):
        for film in rankings.unranked(self.user):
            rankings.insert(self.user, film.imdb_id, self.chance.randint(1, 6), True)

    def recommend(self, imdb_id, list_id):
        movies.recommend(self.user, imdb_id, "Zoe")

    def set_note(self, imdb_id, list_id):
        movies.set_note(self.user, imdb_id, self.note())

    def add_to_list(self, imdb_id, list_id):
        movies.add_to_list(self.user, imdb_id, list_id, self.note())

    def remove_from_list(self, imdb_id, list_id):
        movies.remove_from_list(self.user, imdb_id, list_id)

    def set_lists(self, imdb_id, list_id):
        movies.set_lists(self.user, imdb_id, self.some(LISTS)[1:])

    def delete(self, imdb_id, list_id):
        movies.delete(self.user, imdb_id)

    def reorder_films(self, imdb_id, list_id):
        lists.reorder_films(self.user, list_id, self.some(FILMS))

    def delete_list(self, imdb_id, list_id):
        lists.delete(self.user, list_id)

    def put_on_list(self, imdb_id, list_id):
        bulk.put_on_list(self.user, self.some(FILMS), list_id)

    def move_many(self, imdb_id, list_id):
        bulk.set_status(self.user, self.some(FILMS), self.chance.choice(bulk.STATUSES))

    def recommend_many(self, imdb_id, list_id):
        bulk.recommend(self.user, self.some(FILMS), "Kim")

    def delete_many(self, imdb_id, list_id):
        bulk.delete(self.user, self.some(FILMS)[:2])


ACTS = [name for name in vars(Acts) if name[:2] != "__" and name not in ("some", "note")]
OF_MANY = {"rank", "put_on_list", "move_many", "recommend_many", "delete_many"}
OF_A_LIST = {"reorder_films", "delete_list"}
# They change which films are on a list and nothing else, unless a film's status goes with it.
MEMBERSHIP = {"add_to_list", "remove_from_list", "set_lists", "reorder_films"}


def stands(user):
    """{imdb_id: (status, its list, last_modified)}."""
    rows = Movie.select(Movie.title, Movie.status, Movie.custom_list, Movie.last_modified)
    return {imdb_id: tuple(stand) for imdb_id, *stand in rows.where(Movie.user == user).tuples()}


def counts(user):
    """{name: (the number of their films as the API tells it, updated_at)}."""
    rows = people.listing(user.id)
    stamps = dict(Person.select(Person.id, Person.updated_at).tuples())
    return {row.name: (row.movie_count, stamps[row.id]) for row in rows}


def assert_rules_hold(user):
    entries = set(ListFilm.select(ListFilm.custom_list, ListFilm.movie).tuples())
    for film in Movie.select().where(Movie.user == user):
        assert (film.status == "custom") == (film.custom_list_pk is not None)
        if film.status == "custom":
            assert (film.custom_list_pk, film.id) in entries
    ranked = Movie.select().join(Ranking)
    assert {film.status for film in ranked} <= {"watched"}
    assert not Recommendation.select().where(Recommendation.movie.not_in(Movie.select())).exists()
    document = json.loads(export(user))
    known = {film["imdb_id"] for film in document["movies"]}
    on_lists = {row["id"]: [film["imdb_id"] for film in row["films"]] for row in document["lists"]}
    for films in on_lists.values():
        assert set(films) <= known
        assert len(set(films)) == len(films)
    for film in document["movies"]:
        if film["custom_list_id"] is not None:
            assert film["imdb_id"] in on_lists[film["custom_list_id"]]


@pytest.mark.slow
def test_the_rules_between_films_and_lists_hold_whatever_is_done(home, frozen_clock):
    chance = random.Random(2)
    acts, done, tokens, late = Acts(home, chance), set(), [], 0
    for _ in range(STEPS):
        frozen_clock.move(30)
        # What was deleted comes back at times, or nothing would be left.
        for imdb_id in sorted(set(FILMS) - stands(home).keys()):
            if chance.random() < 0.3:
                movies.add(home.id, imdb_id)
        for list_id in sorted(set(LISTS) - {row.id for row in lists.listing(home.id)}):
            if chance.random() < 0.3:
                lists.create(home.id, list_id, list_id=list_id)
        # Lists become longer by few of the acts, and shorter by most.
        name = chance.choice([*ACTS, *["add_to_list", "put_on_list", "reorder_films"] * 2])
        imdb_id, list_id = chance.choice(FILMS), chance.choice(LISTS)
        films = FILMS if name in OF_MANY else [imdb_id]
        of = {"list_id": list_id} if name in OF_A_LIST else {"imdb_ids": films}
        before, stood, counted = export(home), stands(home), counts(home)
        version = reload(home).library_version
        frozen_clock.move(30)
        try:
            with undo.step(home.id, **of) as step:
                getattr(acts, name)(imdb_id, list_id)
        except NotFoundError:
            assert export(home) == before
            assert reload(home).library_version == version
            continue
        assert_rules_hold(home)
        after = export(home)
        if after == before:
            assert step.token is None
            continue
        done.add(name)
        assert reload(home).library_version > version
        if name in MEMBERSHIP:
            for imdb_id, stand in stands(home).items():
                assert stand == stood[imdb_id] or stand[:2] != stood[imdb_id][:2]
        for person, (count, updated_at) in counts(home).items():
            if person in counted and count != counted[person][0]:
                assert updated_at > counted[person][1]
        if chance.random() < 0.5:
            undo.back(home.id, step.token)
            assert_rules_hold(home)
            assert export(home) == before
            assert reload(home).library_version > version + 1
        else:
            tokens.append(step.token)
        if tokens and chance.random() < 0.2:
            now, token = export(home), chance.choice(tokens)
            try:
                undo.back(home.id, token)
                late += 1
            except (ConflictError, NotFoundError):
                assert export(home) == now
            assert_rules_hold(home)
    assert done == set(ACTS)
    assert late
