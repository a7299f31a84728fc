"""People: difficult names, quick recommenders, and what a change means for their
films."""

import pytest

from mm import clock
from mm.errors import ConflictError, InvalidError, NotFoundError, UserError
from mm.models import QUICK_RECOMMENDERS, Movie, Person, Recommendation, Tombstone
from mm.services.library import movies, people, serializers
from tests.support.libraries import HARD_NAMES, T, exported, reload

FILM = "tt0111161"
pytestmark = pytest.mark.usefixtures("frozen_clock", "database")


@pytest.fixture
def eve(alice):
    return people.create(alice.id, "Eve", emoji="🎬")


def names(user):
    return [person.name for person in people.listing(user.id)]


class TestCreating:
    @pytest.mark.parametrize("name", HARD_NAMES)
    def test_a_name_is_stored_as_given_and_found_again(self, alice, name):
        created = people.create(alice.id, name)
        assert created.name == name
        assert people.find(alice.id, name) == created

    def test_names_that_are_hard_to_tell_apart_are_different_people(self, alice):
        created = {people.create(alice.id, name).id for name in HARD_NAMES}
        assert {people.find(alice.id, name).id for name in HARD_NAMES} == created
        assert len(created) == len(HARD_NAMES)

    def test_a_person_is_created_with_defaults_in_one_write(self, alice):
        created = people.create(alice.id, "Eve")
        assert (created.is_trusted, created.color, created.emoji, created.quick_key) == (
            False,
            "#0a84ff",
            None,
            None,
        )
        assert created.last_modified == clock.now()
        assert reload(alice).library_version == 1

    @pytest.mark.parametrize("name", ["Eve", "EVE", " eve "])
    def test_a_name_in_use_is_refused_whatever_its_case(self, alice, eve, name):
        with pytest.raises(ConflictError, match="Person already exists"):
            people.create(alice.id, name)

    def test_another_user_may_have_the_same_name(self, bob, eve):
        assert people.create(bob.id, "Eve").id != eve.id

    @pytest.mark.parametrize(
        "name",
        [
            "",
            " ",
            ".",
            "..",
            "a" * 501,
            "a\0b",
            "a\nb",
            "a\tb",
            "a\x7fb",
            "a\x85b",
            "a\u2028b",
            None,
            7,
        ],
    )
    def test_an_invalid_name_is_refused(self, alice, name):
        with pytest.raises(InvalidError, match="name"):
            people.create(alice.id, name)

    @pytest.mark.parametrize(
        "details", [{"color": "red"}, {"color": "#12345"}, {"emoji": "x" * 501}]
    )
    def test_an_invalid_detail_is_refused_with_its_field(self, alice, details):
        with pytest.raises(InvalidError) as raised:
            people.create(alice.id, "Eve", **details)
        assert [problem.path for problem in raised.value.errors] == list(details)


class TestFinding:
    def test_a_name_that_is_a_number_is_not_an_id(self, alice, eve):
        with pytest.raises(NotFoundError):
            people.find(alice.id, str(eve.id))
        bond = people.create(alice.id, str(eve.id))
        assert people.find(alice.id, str(eve.id)) == bond

    def test_a_name_is_looked_up_before_an_id(self, alice, eve):
        assert people.by_name_or_id(alice.id, str(eve.id)) == eve
        bond = people.create(alice.id, str(eve.id))
        assert people.by_name_or_id(alice.id, str(eve.id)) == bond

    def test_an_id_must_be_written_exactly(self, alice, eve):
        assert people.by_id(alice.id, str(eve.id)) == eve
        for text in (f"0{eve.id}", f" {eve.id}", f"+{eve.id}", f"{eve.id}.0"):
            with pytest.raises(NotFoundError):
                people.by_id(alice.id, text)

    @pytest.mark.parametrize(
        "text", ["Nobody", "", ".", "\0", "-1", "0", "9" * 400, "١", "1.0", "a" * 600]
    )
    def test_an_unknown_name_or_id_is_not_found(self, alice, text):
        for look in (people.find, people.by_name_or_id):
            with pytest.raises(NotFoundError, match="Person not found"):
                look(alice.id, text)

    def test_another_users_person_is_not_found_by_name_or_id(self, bob, eve):
        for text in (eve.name, str(eve.id)):
            with pytest.raises(NotFoundError):
                people.by_name_or_id(bob.id, text)


class TestChanging:
    def test_only_the_given_fields_change_and_only_an_emoji_is_cleared(self, alice, eve):
        people.change(alice.id, eve.id, {"is_trusted": True})
        people.change(alice.id, eve.id, {"name": None, "color": None, "is_trusted": None})
        found = people.find(alice.id, "Eve")
        assert (found.name, found.is_trusted, found.color, found.emoji) == (
            "Eve",
            True,
            "#0a84ff",
            "🎬",
        )
        people.change(alice.id, eve.id, {"emoji": None})
        assert people.find(alice.id, "Eve").emoji is None

    def test_a_quick_recommender_may_be_renamed_and_stays_quick(self, alice):
        people.change(
            alice.id,
            people.find(alice.id, "Random Person").id,
            {"name": "Somebody", "quick_key": "mine"},
        )
        assert people.find(alice.id, "Somebody").quick_key == "random_person"

    def test_a_name_may_change_its_case_but_not_become_another_persons(self, alice, eve):
        assert people.change(alice.id, eve.id, {"name": "EVE"}).name == "EVE"
        with pytest.raises(ConflictError, match="Person already exists"):
            people.change(alice.id, eve.id, {"name": "google search"})

    @pytest.mark.parametrize("change", [{"name": "Eva"}, {"color": "#112233"}, {"emoji": None}])
    def test_a_change_that_films_show_marks_the_films_as_changed(
        self, alice, eve, change, frozen_clock
    ):
        frozen_clock.move(120)
        movies.add(alice.id, FILM, recommenders=["Eve"])
        movies.add(alice.id, "tt0000001")
        before = {
            movie.imdb_id: (movie.updated_at, movie.last_modified) for movie in Movie.select()
        }
        people.change(alice.id, eve.id, change, at=clock.now() - 60)
        after = {movie.imdb_id: (movie.updated_at, movie.last_modified) for movie in Movie.select()}
        assert after[FILM][0] > before[FILM][0]
        assert after[FILM][1] == before[FILM][1]
        assert after["tt0000001"] == before["tt0000001"]
        assert Person.get_by_id(eve.id).last_modified == clock.now() - 60

    def test_a_slow_clock_never_moves_last_modified_back(self, alice, eve):
        changed = people.change(alice.id, eve.id, {"color": "#112233"}, at=clock.now() - 0.9)
        assert (changed.color, changed.last_modified) == ("#112233", eve.last_modified)

    def test_a_change_of_trust_does_not_mark_the_films(self, alice, eve):
        movies.add(alice.id, FILM, recommenders=["Eve"])
        before = Movie.get().updated_at
        people.change(alice.id, eve.id, {"is_trusted": True, "name": "Eve", "emoji": "🎬"})
        assert Movie.get().updated_at == before

    def test_another_users_person_cannot_be_changed(self, bob, eve):
        with pytest.raises(NotFoundError):
            people.change(bob.id, eve.id, {"name": "Mine"})


class TestDeleting:
    def test_a_deleted_persons_votes_go_and_their_films_are_marked_as_changed(self, alice, eve):
        movies.add(alice.id, FILM, recommenders=["Eve", "Kim"])
        before = Movie.get()
        people.delete(alice.id, eve.id)
        after = Movie.get()
        assert [vote.person.name for vote in Recommendation.select()] == ["Kim"]
        assert after.updated_at > before.updated_at
        assert after.last_modified == before.last_modified
        assert [(row.kind, row.key) for row in Tombstone.select()] == [("person", str(eve.id))]

    def test_the_id_of_a_deleted_person_is_never_given_again(self, alice, eve):
        people.delete(alice.id, eve.id)
        again = people.create(alice.id, "Zoe")
        deleted = {row.key for row in Tombstone.select()}
        assert str(again.id) not in deleted

    @pytest.mark.parametrize("name", [name for _, name, *_ in QUICK_RECOMMENDERS])
    def test_quick_recommenders_cannot_be_deleted(self, alice, name):
        with pytest.raises(UserError, match="Quick recommenders cannot be deleted"):
            people.delete(alice.id, people.find(alice.id, name).id)
        assert len(names(alice)) == 4

    def test_of_two_similar_names_the_right_person_is_deleted(self, alice):
        for name in ("/Bob", "Bob"):
            people.create(alice.id, name)
        people.delete(alice.id, people.find(alice.id, "/Bob").id)
        assert "Bob" in names(alice)
        assert "/Bob" not in names(alice)


class TestShowing:
    def test_people_are_listed_by_name_with_the_number_of_their_films(self, alice, eve):
        movies.add(alice.id, FILM, recommenders=["Eve"])
        movies.add(alice.id, "tt0000001", recommenders=["eve", "ann"])
        movies.add(alice.id, "tt0000002", recommenders=["Eve"])
        movies.set_status(alice.id, "tt0000002", "deleted")
        counts = {person.name: person.movie_count for person in people.listing(alice.id)}
        assert list(counts) == [
            "ann",
            "Eve",
            "Google Search",
            "Oscar Winner/Nominee",
            "Random Person",
            "Random YouTube Video",
        ]
        assert (counts["Eve"], counts["ann"], counts["Random Person"]) == (2, 1, 0)

    def test_stats_count_films_watches_and_ratings(self, alice, eve):
        for number, rating in enumerate((8, 5, None)):
            movies.add(alice.id, f"tt000000{number}", recommenders=["Eve"])
            movies.watch(alice.id, f"tt000000{number}", my_rating=rating)
        movies.recommend(alice.id, FILM, "Eve", "downvote")
        stats = serializers.person_stats(eve)
        assert (stats.total_movies, stats.watched_movies, stats.average_rating) == (4, 3, 6.5)
        assert len(serializers.ids_voted_by(eve)) == 4

    def test_a_film_watched_again_without_a_rating_keeps_its_rating(self, alice, eve):
        movies.add(alice.id, FILM, recommenders=["Eve"])
        movies.watch(alice.id, FILM, T, 8)
        movies.watch(alice.id, FILM, T + 86400, again=True)
        assert serializers.person_stats(eve).average_rating == 8
        numbers = people.stats(eve)
        assert (numbers.watched, numbers.rated, numbers.hits, numbers.average) == (1, 1, 1, 8)
        [film], _ = people.voted_films(eve, 0, 5)
        assert film.my_rating == 8

    def test_the_average_has_one_decimal(self, alice, eve):
        for number, rating in enumerate((7, 8, 8)):
            movies.add(alice.id, f"tt000000{number}", recommenders=["Eve"])
            movies.watch(alice.id, f"tt000000{number}", my_rating=rating)
        assert serializers.person_stats(eve).average_rating == 7.7

    def test_stats_of_a_person_without_films_are_empty(self, eve):
        stats = serializers.person_stats(eve)
        assert (stats.total_movies, stats.average_rating, stats.movies) == (0, None, [])

    def test_exports_have_the_people(self, alice, eve):
        assert exported(alice)["people"]["Eve"]["emoji"] == "🎬"


def test_the_numbers_of_a_person_who_was_just_deleted_are_not_found(alice):
    zoe = people.create(alice.id, "Zoe")
    people.delete(alice.id, zoe.id)
    with pytest.raises(NotFoundError, match="Person not found"):
        people.stats(zoe)
