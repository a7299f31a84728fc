"""Films on lists: on as many as one likes, in an order of one's own, and what that means for their
status."""

import pytest
from playhouse.test_utils import count_queries

from mm import clock
from mm.errors import InvalidError, NotFoundError
from mm.models import CustomList, ListFilm, Movie, Person
from mm.services import validation
from mm.services.library import bulk, lists, movies, rankings
from tests.support.libraries import exported, reload

ONE, TWO, THREE = FILMS = [f"tt{number:07}" for number in (1, 2, 3)]
pytestmark = pytest.mark.usefixtures("frozen_clock", "database")


@pytest.fixture
def home(alice, frozen_clock):
    """Three films to watch, and three empty lists."""
    for imdb_id in FILMS:
        movies.add(alice.id, imdb_id)
    for list_id in ("a", "b", "c"):
        lists.create(alice.id, list_id, list_id=list_id)
    frozen_clock.move(60)
    return alice


def stand(user, imdb_id=ONE):
    row = exported(user)["movies"][imdb_id]
    return row["status"], row["custom_list_id"]


def lists_of(user, imdb_id=ONE):
    return [row.id for row in lists.of_film(movies.find(user.id, imdb_id))]


def shown(user, list_id="a"):
    """What the list shows: its films in order, with its notes."""
    details = lists.details(lists.find(user.id, list_id))
    return [(film.imdb_id, film.note) for film in details.films]


def order(user, list_id="a"):
    return [imdb_id for imdb_id, _ in shown(user, list_id)]


def last_modified(user):
    films = {movie.imdb_id: movie.last_modified for movie in Movie.select()}
    return films, {row.id: row.last_modified for row in CustomList.select()}


def put(user, list_id, *imdb_ids):
    for imdb_id in imdb_ids:
        movies.add_to_list(user.id, imdb_id, list_id)


class TestBeingOnLists:
    def test_a_film_is_on_several_lists_and_keeps_its_status(self, home):
        movies.watch(home.id, ONE)
        put(home, "b", ONE)
        put(home, "a", ONE)
        assert lists_of(home) == ["a", "b"]
        assert stand(home) == ("watched", None)

    def test_films_stand_in_the_order_in_which_they_were_put_there(self, home):
        put(home, "a", TWO, THREE, ONE)
        put(home, "a", TWO)
        assert order(home) == [TWO, THREE, ONE]

    def test_the_note_of_a_film_on_a_list_stays_until_another_is_given(self, home):
        movies.add_to_list(home.id, ONE, "a", " First of\r\nthe evening ")
        put(home, "a", ONE)
        assert shown(home) == [(ONE, "First of\nthe evening")]
        movies.add_to_list(home.id, ONE, "a", None)
        assert shown(home) == [(ONE, None)]

    def test_a_film_that_is_taken_off_and_put_back_is_the_last_one(self, home):
        put(home, "a", *FILMS)
        movies.remove_from_list(home.id, ONE, "a")
        put(home, "a", ONE)
        assert order(home) == [TWO, THREE, ONE]

    def test_films_that_are_not_named_follow_in_the_order_they_had(self, home):
        put(home, "a", *FILMS)
        lists.reorder_films(home.id, "a", [THREE, "tt9999999", THREE])
        assert order(home) == [THREE, ONE, TWO]

    @pytest.mark.parametrize("verb", [movies.add_to_list, movies.remove_from_list])
    def test_an_unknown_film_or_list_is_not_found(self, home, bob, verb):
        lists.create(bob.id, "Bob's", list_id="his")
        for imdb_id, list_id in (("tt9999999", "a"), (ONE, "his"), (ONE, "none")):
            with pytest.raises(NotFoundError):
                verb(home.id, imdb_id, list_id)

    def test_being_on_a_list_changes_what_is_sent_and_not_when_it_was_modified(self, home):
        put(home, "b", ONE, TWO)
        for verb in (
            lambda: movies.add_to_list(home.id, ONE, "a", "Note"),
            lambda: movies.set_lists(home.id, ONE, ["a", "b", "c"]),
            lambda: lists.reorder_films(home.id, "b", [TWO, ONE]),
            lambda: movies.remove_from_list(home.id, ONE, "b"),
        ):
            modified, version = last_modified(home), reload(home).library_version
            sent = {row.id: row.updated_at for row in CustomList.select()}
            verb()
            assert last_modified(home) == modified
            assert reload(home).library_version == version + 1
            now = {row.id: row.updated_at for row in CustomList.select()}
            assert any(now[list_id] > sent[list_id] for list_id in sent)

    def test_the_film_is_sent_again_with_the_lists_it_is_on(self, home):
        before = movies.find(home.id, ONE).updated_at
        put(home, "a", ONE)
        on_it = movies.find(home.id, ONE).updated_at
        movies.remove_from_list(home.id, ONE, "a")
        assert before < on_it < movies.find(home.id, ONE).updated_at

    def test_the_lists_of_a_library_hold_so_many_films_altogether(self, home, bob, monkeypatch):
        monkeypatch.setattr(validation, "LIST_FILMS_MAX", 3)
        put(home, "a", *FILMS)
        version = reload(home).library_version
        for act in (
            lambda: put(home, "b", ONE),
            lambda: movies.set_lists(home.id, ONE, ["a", "b"]),
            lambda: bulk.put_on_list(home.id, [ONE], "b"),
        ):
            with pytest.raises(InvalidError, match="can hold 3 films altogether"):
                act()
        assert reload(home).library_version == version
        put(home, "a", ONE)
        movies.add(bob.id, ONE, status="custom", custom_list_id=lists.create(bob.id, "Mine").id)


class TestTheStatusCustom:
    def test_it_puts_the_film_on_its_list(self, home):
        movies.set_status(home.id, ONE, "custom", "a")
        assert (stand(home), lists_of(home)) == (("custom", "a"), ["a"])

    def test_another_list_takes_it_from_the_former_one_only(self, home):
        put(home, "c", ONE)
        movies.set_status(home.id, ONE, "custom", "a")
        movies.set_status(home.id, ONE, "custom", "b")
        assert (stand(home), lists_of(home)) == (("custom", "b"), ["b", "c"])

    def test_a_film_keeps_its_place_on_a_list_that_becomes_that_of_its_status(self, home):
        put(home, "a", *FILMS)
        movies.set_status(home.id, ONE, "custom", "a")
        assert order(home) == FILMS

    @pytest.mark.parametrize("status", ["toWatch", "watched", "deleted"])
    def test_every_other_status_leaves_the_film_on_its_lists(self, home, status):
        movies.set_status(home.id, ONE, "custom", "a")
        movies.set_status(home.id, ONE, status)
        assert (stand(home), lists_of(home)) == ((status, None), ["a"])

    def test_watching_leaves_the_film_on_its_lists(self, home):
        movies.set_status(home.id, ONE, "custom", "a")
        movies.watch(home.id, ONE)
        assert (stand(home), lists_of(home)) == (("watched", None), ["a"])

    def test_off_its_list_it_goes_to_the_first_of_its_other_lists(self, home):
        movies.set_status(home.id, ONE, "custom", "a")
        put(home, "b", ONE)
        put(home, "c", ONE)
        lists.reorder(home.id, ["c", "b", "a"])
        movies.remove_from_list(home.id, ONE, "a")
        assert stand(home) == ("custom", "c")
        assert movies.find(home.id, ONE).last_modified == clock.now()

    @pytest.mark.parametrize("is_seen, status", [(True, "watched"), (False, "toWatch")])
    def test_off_its_only_list_it_is_watched_if_it_was_and_else_to_watch(
        self, home, is_seen, status
    ):
        if is_seen:
            movies.watch(home.id, ONE)
        movies.set_status(home.id, ONE, "custom", "a")
        movies.remove_from_list(home.id, ONE, "a")
        assert stand(home) == (status, None)

    def test_off_a_list_that_is_not_that_of_its_status_it_keeps_its_status(self, home):
        movies.set_status(home.id, ONE, "custom", "a")
        put(home, "b", ONE)
        movies.remove_from_list(home.id, ONE, "b")
        assert (stand(home), lists_of(home)) == (("custom", "a"), ["a"])

    def test_a_deleted_list_leaves_its_films_to_their_other_lists(self, home):
        for imdb_id in (ONE, TWO):
            movies.set_status(home.id, imdb_id, "custom", "a")
        put(home, "b", ONE)
        lists.delete(home.id, "a")
        assert (stand(home), stand(home, TWO)) == (("custom", "b"), ("toWatch", None))
        assert lists_of(home) == ["b"]

    def test_a_list_tells_where_films_go_that_are_on_no_other(self, home):
        movies.watch(home.id, ONE)
        bulk.put_on_list(home.id, FILMS, "a")
        put(home, "b", THREE)
        assert lists.films_by_destination(home.id) == {"a": (1, 1), "b": (0, 0), "c": (0, 0)}

    def test_choosing_all_lists_of_a_film_takes_it_from_those_that_are_not_chosen(self, home):
        movies.set_status(home.id, ONE, "custom", "a")
        movies.set_lists(home.id, ONE, ["c", "b", "gone"])
        assert (stand(home), lists_of(home)) == (("custom", "b"), ["b", "c"])
        movies.set_lists(home.id, ONE, [])
        assert (stand(home), lists_of(home)) == (("toWatch", None), [])

    def test_choosing_the_lists_of_a_film_takes_as_many_queries_for_many_as_for_few(self, home):
        for number in range(40):
            lists.create(home.id, f"List {number}", list_id=f"l{number}")
        counts = []
        for imdb_id, number in ((ONE, 2), (TWO, 40)):
            with count_queries() as counter:
                movies.set_lists(home.id, imdb_id, [f"l{each}" for each in range(number)])
            counts.append(counter.count)
        assert counts[1] <= counts[0] < 40
        stamps = [row.updated_at for row in CustomList.select()]
        assert len(set(stamps)) == len(stamps)

    def test_several_films_join_a_list_in_the_order_in_which_they_were_selected(self, home):
        bulk.put_on_list(home.id, [THREE, ONE, TWO], "a")
        assert order(home) == [THREE, ONE, TWO]

    def test_several_films_leave_the_lists_of_their_status(self, home):
        movies.set_status(home.id, ONE, "custom", "a")
        movies.set_status(home.id, TWO, "custom", "b")
        put(home, "b", ONE)
        bulk.put_on_list(home.id, FILMS, "c")
        assert (order(home), order(home, "b"), order(home, "c")) == ([], [ONE], FILMS)


class TestDeletedFilms:
    def test_a_deleted_film_is_hidden_on_its_list_and_comes_back_to_its_place(self, home):
        put(home, "a", *FILMS)
        movies.set_status(home.id, TWO, "deleted")
        assert order(home) == [ONE, THREE]
        films = exported(home)["lists"]["a"]["films"]
        assert [film["imdb_id"] for film in films] == FILMS
        movies.set_status(home.id, TWO, "toWatch")
        assert order(home) == FILMS

    @pytest.mark.parametrize(
        "verb",
        [
            lambda user_id: movies.add_to_list(user_id, ONE, "a"),
            lambda user_id: movies.set_lists(user_id, ONE, ["a"]),
            lambda user_id: movies.set_status(user_id, ONE, "custom", "a"),
            lambda user_id: bulk.put_on_list(user_id, [ONE], "a"),
        ],
    )
    def test_a_deleted_film_that_is_put_on_a_list_is_back_and_counted_again(self, home, verb):
        movies.recommend(home.id, ONE, "Eve")
        movies.set_status(home.id, ONE, "deleted")
        before = Person.get(Person.name == "Eve").updated_at
        verb(home.id)
        assert order(home) == [ONE]
        assert stand(home)[0] != "deleted"
        assert Person.get(Person.name == "Eve").updated_at > before

    def test_a_deleted_film_that_is_taken_off_its_lists_stays_deleted(self, home):
        put(home, "a", ONE)
        movies.set_status(home.id, ONE, "deleted")
        movies.set_lists(home.id, ONE, [])
        assert (stand(home), lists_of(home)) == (("deleted", None), [])

    def test_a_film_that_leaves_the_library_leaves_its_lists(self, home):
        put(home, "a", *FILMS)
        movies.delete(home.id, ONE)
        bulk.delete(home.id, [TWO])
        assert order(home) == [THREE]
        assert ListFilm.select().count() == 1


@pytest.mark.parametrize(
    "verb",
    [
        lambda user_id: movies.set_status(user_id, ONE, "custom", "a"),
        lambda user_id: movies.add(user_id, ONE, status="custom", custom_list_id="a"),
        lambda user_id: bulk.put_on_list(user_id, [ONE], "a"),
    ],
)
def test_a_watched_film_that_gets_the_status_custom_leaves_the_ranking(home, verb):
    movies.watch(home.id, ONE)
    rankings.insert(home.id, ONE, 1, True)
    put(home, "b", ONE)
    assert len(rankings.listing(home.id)) == 1
    verb(home.id)
    assert rankings.listing(home.id) == []
