"""What a user does with films: each verb is one write, done whole or not at all."""

import pytest
from msgspec import UNSET
from playhouse.test_utils import count_queries

from mm import clock
from mm.database import db
from mm.errors import InvalidError, NotFoundError
from mm.models import Movie, Person, Recommendation, Title, Tombstone, Watch
from mm.services.library import lists, movies, people
from tests.support.libraries import exported, reload

FILM, OTHER = "tt0111161", "tt0068646"
HOUR, DAY = 3600, 86400
pytestmark = pytest.mark.usefixtures("frozen_clock", "database")


@pytest.fixture
def film(alice):
    return movies.add(alice.id, FILM)


def watch(date, rating, note=None, day_known=True):
    return {"date_watched": date, "my_rating": rating, "note": note, "day_known": day_known}


def entry(user, imdb_id=FILM):
    return exported(user)["movies"][imdb_id]


def names(user, imdb_id=FILM):
    return [vote["person_name"] for vote in entry(user, imdb_id)["recommendations"]]


def marks(user, imdb_id=FILM):
    movie = movies.find(user.id, imdb_id)
    return movie.last_modified, movie.updated_at, reload(user).library_version


class TestAdding:
    def test_a_film_is_added_with_its_recommenders_and_waits_at_the_head_of_the_queue(self, alice):
        movies.add(alice.id, FILM, "movie", recommenders=["Bob", "BOB", "Random Person"])

        assert (
            entry(alice).items()
            >= {"status": "toWatch", "media_type": "movie", "date_added": clock.now()}.items()
        )
        assert names(alice) == ["Bob", "Random Person"]
        assert Title.get_by_id(FILM).wanted_at == clock.now()

    @pytest.mark.parametrize("imdb_id", ["TT0111161", "  tt0111161 ", "Tt0111161\n"])
    def test_an_imdb_id_may_be_in_upper_case_or_have_spaces(self, alice, imdb_id):
        assert movies.add(alice.id, imdb_id).imdb_id == FILM
        assert movies.find(alice.id, imdb_id).imdb_id == FILM

    @pytest.mark.parametrize(
        "imdb_id", ["", "tt12", "nm0000246", "0111161", "tt0111161x", "tt٠١١١١٦١٠", None, 7, "\0"]
    )
    def test_an_invalid_imdb_id_is_refused_and_never_found(self, alice, imdb_id):
        with pytest.raises(InvalidError) as raised:
            movies.add(alice.id, imdb_id)
        assert raised.value.errors[0].path == "imdb_id"
        with pytest.raises(NotFoundError, match=r"^Movie not found$"):
            movies.find(alice.id, imdb_id)
        assert reload(alice).library_version == 0

    def test_adding_a_film_again_adds_the_recommenders_and_keeps_the_rest(self, alice, film):
        movies.watch(alice.id, FILM, my_rating=7)
        movies.add(alice.id, FILM, recommenders=["Eve"])
        assert entry(alice)["status"] == "watched"
        assert names(alice) == ["Eve"]

    @pytest.mark.parametrize("seen, status", [(True, "watched"), (False, "toWatch")])
    @pytest.mark.parametrize(
        "verb", [movies.add, lambda user_id, film: movies.recommend(user_id, film, "Eve")]
    )
    def test_a_film_of_status_deleted_comes_back(self, alice, film, verb, seen, status):
        if seen:
            movies.watch(alice.id, FILM)
        movies.set_status(alice.id, FILM, "deleted")
        verb(alice.id, FILM)
        assert entry(alice)["status"] == status

    def test_a_bad_recommender_leaves_nothing_behind(self, alice):
        with pytest.raises(InvalidError) as raised:
            movies.add(alice.id, FILM, recommenders=["Bob", " "])
        assert [problem.path for problem in raised.value.errors] == ["recommenders[1]"]
        assert not Movie.select().exists()
        assert not Person.select().where(Person.name == "Bob").exists()
        assert not Title.select().exists()

    def test_a_film_can_be_added_to_a_list(self, alice):
        favourites = lists.create(alice.id, "Favourites")
        movies.add(alice.id, FILM, status="custom", custom_list_id=favourites.id)
        assert entry(alice)["custom_list_id"] == favourites.id

    def test_two_users_may_have_the_same_film_independently(self, alice, bob, film):
        movies.add(bob.id, FILM, recommenders=["Alice"])
        movies.delete(bob.id, FILM)
        assert names(alice) == []
        assert not exported(bob)["movies"]


class TestMarks:
    """Each verb counts as one write, with a later updated_at and the user's own
    time."""

    VERBS = {
        "add": lambda user_id, at: movies.add(user_id, FILM, recommenders=["Bob"], at=at),
        "set_status": lambda user_id, at: movies.set_status(user_id, FILM, "watched", at=at),
        "watch": lambda user_id, at: movies.watch(user_id, FILM, at=at),
        "rate": lambda user_id, at: movies.rate(user_id, FILM, 3, at=at),
        "unwatch": lambda user_id, at: movies.unwatch(user_id, FILM, at=at),
        "recommend": lambda user_id, at: movies.recommend(user_id, FILM, "Eve", at=at),
        "recommend_many": lambda user_id, at: movies.recommend_many(
            user_id, FILM, ["Eve", "Zoe"], at=at
        ),
        "unrecommend": lambda user_id, at: movies.unrecommend(
            user_id, FILM, people.find(user_id, "Kim").id, at=at
        ),
    }

    @pytest.fixture(autouse=True)
    def in_use(self, frozen_clock, alice):
        movies.add(alice.id, FILM, recommenders=["Kim"])
        movies.watch(alice.id, FILM)
        frozen_clock.move(DAY)

    @pytest.mark.parametrize("verb", VERBS)
    def test_each_verb_counts_as_one_write_and_marks_the_film(self, alice, verb):
        _, updated_at, version = marks(alice)
        self.VERBS[verb](alice.id, None)
        assert marks(alice) == (clock.now(), pytest.approx(clock.now(), abs=1e-3), version + 1)
        assert marks(alice)[1] > updated_at

    @pytest.mark.parametrize("verb", VERBS)
    def test_the_clients_time_becomes_last_modified_but_not_updated_at(self, alice, verb):
        _, updated_at, _ = marks(alice)
        self.VERBS[verb](alice.id, clock.now() - HOUR)
        assert marks(alice)[0] == clock.now() - HOUR
        assert marks(alice)[1] > updated_at

    def test_a_slow_clock_never_moves_last_modified_back(self, alice):
        movies.set_status(alice.id, FILM, "toWatch")
        movies.set_status(alice.id, FILM, "watched", at=clock.now() - 0.9)
        assert marks(alice)[0] == clock.now()

    def test_a_time_in_the_future_is_taken_as_now(self, alice):
        movies.set_status(alice.id, FILM, "watched", at=clock.now() + DAY)
        assert marks(alice)[0] == clock.now()

    def test_several_verbs_in_an_outer_transaction_are_rolled_back_together(self, alice):
        before = exported(alice)

        def both():
            with db.atomic():
                movies.recommend(alice.id, FILM, "Eve")
                movies.delete(alice.id, OTHER)

        with pytest.raises(NotFoundError):
            both()
        assert exported(alice) == before

    def test_a_failed_verb_in_an_outer_transaction_rolls_back_only_itself(self, alice):
        with db.atomic():
            movies.recommend(alice.id, FILM, "Eve")
            with pytest.raises(InvalidError):
                movies.recommend_many(alice.id, FILM, ["Zoe", "."])
        assert names(alice) == ["Eve", "Kim"]


class TestCounts:
    """Only people whose movie_count changed are marked as changed, and
    never by the user."""

    VERBS = {
        "a vote": (lambda user_id: movies.recommend(user_id, OTHER, "Eve"), {"Eve"}),
        "an unvote": (
            lambda user_id: movies.unrecommend(user_id, FILM, people.find(user_id, "Kim").id),
            {"Kim"},
        ),
        "a film deleted": (lambda user_id: movies.delete(user_id, FILM), {"Eve", "Kim"}),
        "status deleted": (
            lambda user_id: movies.set_status(user_id, FILM, "deleted"),
            {"Eve", "Kim"},
        ),
        "another vote": (lambda user_id: movies.recommend(user_id, FILM, "Eve", False), set()),
        "a watch": (lambda user_id: movies.watch(user_id, FILM), set()),
    }

    @pytest.fixture(autouse=True)
    def in_use(self, alice, frozen_clock):
        movies.add(alice.id, FILM, recommenders=["Eve", "Kim"])
        people.create(alice.id, "Zoe")
        frozen_clock.move(DAY)

    @pytest.mark.parametrize("verb", VERBS)
    def test_people_whose_count_changed_are_marked_as_changed(self, alice, verb):
        act, expected = self.VERBS[verb]
        before = {person.id: person for person in Person.select()}
        act(alice.id)
        after = list(Person.select())
        assert {
            person.name for person in after if person.updated_at > before[person.id].updated_at
        } == expected
        assert all(person.last_modified == before[person.id].last_modified for person in after)

    def test_a_film_that_comes_back_is_counted_again(self, alice):
        movies.set_status(alice.id, FILM, "deleted")
        before = people.find(alice.id, "Kim").updated_at
        movies.recommend(alice.id, FILM, "Eve")
        assert people.find(alice.id, "Kim").updated_at > before


class TestWatching:
    def test_a_first_watch_is_now_and_unrated(self, alice, film):
        movies.watch(alice.id, FILM)
        assert entry(alice)["watch_history"] == watch(clock.now(), None)
        assert entry(alice)["status"] == "watched"

    def test_a_new_rating_keeps_the_date_and_a_new_date_keeps_the_rating(
        self, alice, film, frozen_clock
    ):
        seen_at = clock.now()
        movies.watch(alice.id, FILM, my_rating=7.5)
        frozen_clock.move(DAY)
        movies.watch(alice.id, FILM, my_rating=8)
        assert entry(alice)["watch_history"] == watch(seen_at, 8)
        movies.watch(alice.id, FILM, date_watched=1e9)
        assert entry(alice)["watch_history"] == watch(1e9, 8)
        assert Watch.select().count() == 1

    def test_none_clears_a_rating(self, alice, film):
        movies.watch(alice.id, FILM, my_rating=7.5)
        movies.watch(alice.id, FILM, my_rating=None)
        assert entry(alice)["watch_history"]["my_rating"] is None

    def test_again_adds_a_watch_and_the_latest_is_shown(self, alice, film):
        movies.watch(alice.id, FILM, 1e9, 5)
        movies.watch(alice.id, FILM, 1.1e9, 9, again=True)
        movies.watch(alice.id, FILM, 0.9e9, again=True)
        assert [watch["date_watched"] for watch in entry(alice)["watches"]] == [0.9e9, 1e9, 1.1e9]
        assert entry(alice)["watch_history"] == watch(1.1e9, 9)

    @pytest.mark.parametrize("rating, left", [(UNSET, 9), (3, 3)])
    def test_a_watch_moved_onto_the_date_of_another_is_merged_with_it(
        self, alice, film, rating, left
    ):
        movies.watch(alice.id, FILM, 1e9, 5)
        movies.watch(alice.id, FILM, 1.1e9, 9, again=True)
        movies.watch(alice.id, FILM, 1e9, rating)
        assert entry(alice)["watch_history"] == watch(1e9, left)
        assert Watch.select().count() == 1

    @pytest.mark.parametrize("rating, left", [(UNSET, 5), (None, None)])
    def test_an_unrated_watch_takes_the_rating_of_the_watch_it_is_merged_with(
        self, alice, film, rating, left
    ):
        movies.watch(alice.id, FILM, 1e9, 5)
        movies.watch(alice.id, FILM, 1.1e9, again=True)
        movies.watch(alice.id, FILM, 1e9, rating)
        assert [(row.date_watched, row.my_rating) for row in Watch.select()] == [(1e9, left)]

    def test_a_second_watch_of_the_same_moment_is_not_added(self, alice, film):
        movies.watch(alice.id, FILM, 1e9, 5)
        movies.watch(alice.id, FILM, 1e9, again=True)
        assert [(row.date_watched, row.my_rating) for row in Watch.select()] == [(1e9, 5)]

    def test_a_note_and_an_unknown_day_stay_until_others_are_given(self, alice, film):
        movies.watch(alice.id, FILM, note=" In the rain\r\nwith Eve ", day_known=False)
        told = watch(clock.now(), None, "In the rain\nwith Eve", False)
        assert entry(alice)["watch_history"] == told
        movies.watch(alice.id, FILM, my_rating=8)
        assert entry(alice)["watch_history"] == told | {"my_rating": 8}
        movies.watch(alice.id, FILM, note=" ", day_known=True)
        assert entry(alice)["watch_history"] == watch(clock.now(), 8)

    def test_one_more_watch_has_no_note_and_a_known_day(self, alice, film, frozen_clock):
        movies.watch(alice.id, FILM, note="In the rain", day_known=False)
        frozen_clock.move(DAY)
        movies.watch(alice.id, FILM, again=True)
        assert entry(alice)["watch_history"] == watch(clock.now(), None)

    def test_whoever_names_the_day_of_a_watch_knows_it(self, alice, film):
        movies.watch(alice.id, FILM, my_rating=7, note="In the rain", day_known=False)
        movies.watch(alice.id, FILM, 1e9)
        assert entry(alice)["watch_history"] == watch(1e9, 7, "In the rain")

    @pytest.mark.parametrize("note, left", [(UNSET, "Second"), ("Third", "Third"), (None, None)])
    def test_a_watch_takes_its_note_along_when_it_is_merged_with_another(
        self, alice, film, note, left
    ):
        movies.watch(alice.id, FILM, 1e9, note="First")
        movies.watch(alice.id, FILM, 1.1e9, again=True, note="Second")
        movies.watch(alice.id, FILM, 1e9, note=note)
        assert entry(alice)["watch_history"] == watch(1e9, None, left)

    @pytest.mark.parametrize("note", ["x" * 10_001, "\0", 7])
    def test_a_note_that_cannot_be_kept_is_refused(self, alice, film, note):
        for verb in (
            lambda: movies.watch(alice.id, FILM, note=note),
            lambda: movies.set_note(alice.id, FILM, note),
        ):
            with pytest.raises(InvalidError, match="note"):
                verb()
        assert entry(alice).items() >= {"note": None, "watch_history": None}.items()

    def test_milliseconds_and_dates_without_a_time_are_understood(self, alice, film):
        assert movies.watch(alice.id, FILM, 1.1e12).date_watched == 1.1e9
        assert movies.watch(alice.id, FILM, "2026-01-31").date_watched == 1769860800.0

    @pytest.mark.parametrize("rating", [0, 0.9, 10.1, -1, float("nan"), True, "8"])
    def test_a_rating_is_from_1_to_10(self, alice, film, rating):
        with pytest.raises(InvalidError, match="my_rating"):
            movies.watch(alice.id, FILM, my_rating=rating)
        assert not Watch.select().exists()

    @pytest.mark.parametrize("moment", [float("nan"), float("inf"), -1e13, 1e18, "yesterday", True])
    def test_an_invalid_date_is_refused(self, alice, film, moment):
        with pytest.raises(InvalidError, match="date_watched"):
            movies.watch(alice.id, FILM, moment)

    @pytest.mark.parametrize("status", ["toWatch", "deleted", "custom"])
    def test_a_film_that_is_not_watched_gets_one_more_watch(
        self, alice, film, frozen_clock, status
    ):
        """Otherwise marking it as watched would overwrite the rating of years ago."""
        movies.watch(alice.id, FILM, 1e9, 9)
        favourites = lists.create(alice.id, "Again")
        movies.set_status(alice.id, FILM, status, favourites.id)
        movies.watch(alice.id, FILM, my_rating=None)
        assert entry(alice)["watches"] == [
            watch(1e9, 9),
            watch(clock.now(), None),
        ]
        movies.watch(alice.id, FILM, my_rating=7)
        assert [row.my_rating for row in Watch.select().order_by(Watch.date_watched)] == [9, 7]

    def test_the_latest_watch_is_changed_whatever_the_status_when_again_is_false(self, alice, film):
        movies.watch(alice.id, FILM, 1e9, 9)
        movies.set_status(alice.id, FILM, "toWatch")
        movies.watch(alice.id, FILM, my_rating=7, again=False)
        assert [(row.date_watched, row.my_rating) for row in Watch.select()] == [(1e9, 7)]

    def test_watching_a_film_outside_the_library_adds_it(self, alice):
        movies.watch(alice.id, f" {OTHER.upper()}", 1e9, 8)
        added = entry(alice, OTHER)
        assert (added["status"], added["date_added"]) == ("watched", clock.now())
        with pytest.raises(NotFoundError, match=r"^Movie not found$"):
            movies.watch(alice.id, "nonsense")

    def test_a_watched_film_no_longer_has_its_status_with_a_list(self, alice, film):
        movies.set_status(alice.id, FILM, "custom", lists.create(alice.id, "Favourites").id)
        movies.watch(alice.id, FILM)
        assert entry(alice).items() >= {"status": "watched", "custom_list_id": None}.items()

    def test_removing_the_only_watch_makes_the_film_to_watch_again(self, alice, film):
        movies.watch(alice.id, FILM, 1e9)
        movies.watch(alice.id, FILM, 1.1e9, again=True)
        movies.unwatch(alice.id, FILM)
        assert entry(alice).items() >= {"status": "watched"}.items()
        assert entry(alice)["watch_history"]["date_watched"] == 1e9
        movies.unwatch(alice.id, FILM)
        assert entry(alice).items() >= {"status": "toWatch", "watch_history": None}.items()
        with pytest.raises(NotFoundError):
            movies.unwatch(alice.id, FILM)

    def test_a_watch_is_removed_by_its_date(self, alice, film):
        movies.watch(alice.id, FILM, 1e9)
        movies.watch(alice.id, FILM, 1.1e9, again=True)
        movies.unwatch(alice.id, FILM, 1e9)
        assert [row.date_watched for row in Watch.select()] == [1.1e9]
        with pytest.raises(NotFoundError):
            movies.unwatch(alice.id, FILM, 1e9)

    def test_a_film_watched_on_no_known_day_can_be_unwatched_too(self, alice, film):
        movies.set_status(alice.id, FILM, "watched")
        movies.unwatch(alice.id, FILM)
        assert entry(alice)["status"] == "toWatch"

    def test_a_film_on_a_list_stays_on_it_when_its_watch_is_removed(self, alice, film):
        movies.watch(alice.id, FILM)
        movies.set_status(alice.id, FILM, "custom", lists.create(alice.id, "Favourites").id)
        movies.unwatch(alice.id, FILM)
        assert entry(alice)["status"] == "custom"

    def test_a_film_without_a_watch_cannot_be_rated(self, alice, film):
        with pytest.raises(NotFoundError):
            movies.rate(alice.id, FILM, 8)


class TestNotes:
    def test_a_note_keeps_its_lines_and_a_blank_one_is_none(self, alice, film):
        movies.set_note(alice.id, FILM, "  Bring\r\n\r\ncake ")
        assert entry(alice)["note"] == "Bring\n\ncake"
        movies.set_note(alice.id, FILM, " \n")
        assert entry(alice)["note"] is None

    def test_a_note_is_a_change_of_the_film(self, alice, film, frozen_clock):
        before = marks(alice)
        frozen_clock.move(DAY)
        movies.set_note(alice.id, FILM, "Cake")
        now = marks(alice)
        assert (now[0], now[2]) == (clock.now(), before[2] + 1)
        assert now[1] > before[1]


class TestStatus:
    def test_the_status_custom_needs_a_list_of_the_user(self, alice, bob, film):
        with pytest.raises(InvalidError, match="custom_list_id"):
            movies.set_status(alice.id, FILM, "custom")
        with pytest.raises(NotFoundError, match=r"^List not found$"):
            movies.set_status(alice.id, FILM, "custom", lists.create(bob.id, "Bob's").id)
        assert entry(alice)["status"] == "toWatch"

    def test_a_film_on_a_list_may_be_set_to_custom_again_without_naming_the_list(self, alice, film):
        favourites = lists.create(alice.id, "Favourites")
        movies.set_status(alice.id, FILM, "custom", favourites.id)
        movies.set_status(alice.id, FILM, "custom")
        assert entry(alice)["custom_list_id"] == favourites.id

    @pytest.mark.parametrize("status", ["toWatch", "watched", "deleted"])
    def test_with_every_other_status_it_has_no_list_of_its_status(self, alice, film, status):
        favourites = lists.create(alice.id, "Favourites")
        movies.set_status(alice.id, FILM, "custom", favourites.id)
        movies.set_status(alice.id, FILM, status, favourites.id)
        assert entry(alice).items() >= {"status": status, "custom_list_id": None}.items()

    @pytest.mark.parametrize("status", ["", "seen", "Watched", None, 1])
    def test_an_unknown_status_is_refused(self, alice, film, status):
        with pytest.raises(InvalidError, match="status"):
            movies.set_status(alice.id, FILM, status)


class TestVotes:
    def test_a_vote_creates_the_film_and_the_person(self, alice):
        vote = movies.recommend(alice.id, FILM, " Eve ", "downvote", 1e12, "tv")
        assert (vote.person.name, vote.vote_type, vote.date_recommended) == ("Eve", False, 1e9)
        assert entry(alice)["media_type"] == "tv"

    def test_a_second_vote_of_a_person_changes_the_first_and_keeps_its_date(
        self, alice, frozen_clock
    ):
        first = movies.recommend(alice.id, FILM, "Eve", False)
        frozen_clock.move(DAY)
        again = movies.recommend(alice.id, FILM, "EVE", True)
        assert (again.id, again.vote_type, again.date_recommended) == (
            first.id,
            True,
            first.date_recommended,
        )

    @pytest.mark.parametrize(
        "verb",
        [
            lambda user_id: movies.add(user_id, FILM, recommenders=["Eve", "New"]),
            lambda user_id: movies.recommend_many(user_id, FILM, ["Eve", "New"], None, 1e9),
        ],
    )
    def test_without_a_vote_type_an_old_vote_stays_and_a_new_one_is_up(self, alice, verb):
        movies.recommend(alice.id, FILM, "Eve", "downvote")
        verb(alice.id)
        votes = entry(alice)["recommendations"]
        assert {vote["person_name"]: vote["vote_type"] for vote in votes} == {
            "Eve": False,
            "New": True,
        }

    def test_a_changed_vote_leaves_a_deleted_film_deleted(self, alice):
        eve = movies.recommend(alice.id, FILM, "Eve").person
        movies.set_status(alice.id, FILM, "deleted")
        assert not movies.change_vote(alice.id, FILM, eve.id, False).vote_type
        assert entry(alice)["status"] == "deleted"
        movies.unrecommend(alice.id, FILM, eve.id)
        with pytest.raises(NotFoundError, match=r"^Recommendation not found$"):
            movies.change_vote(alice.id, FILM, eve.id, True)

    def test_a_vote_for_an_unknown_id_is_refused(self, alice, bob):
        eve, foreign = people.create(alice.id, "Eve"), people.create(bob.id, "Eve")
        assert movies.recommend(alice.id, FILM, eve.id).person == eve
        for person_id in (foreign.id, 0, -1, 2**40):
            with pytest.raises(NotFoundError, match=r"^Person not found$"):
                movies.recommend(alice.id, FILM, person_id)

    def test_several_people_vote_at_once_with_one_vote_each(self, alice):
        eve = people.create(alice.id, "Eve")
        votes = movies.recommend_many(alice.id, FILM, [eve.id, "Zoe", "eve", "ZOE"], "0")
        assert [(vote.person.name, vote.vote_type) for vote in votes] == [
            ("Eve", False),
            ("Zoe", False),
        ]
        with pytest.raises(NotFoundError):
            movies.recommend_many(alice.id, OTHER, ["New", 999_999])
        assert list(exported(alice)["movies"]) == [FILM]
        assert "New" not in exported(alice)["people"]

    def test_a_hundred_votes_take_no_more_queries_than_two(self, alice, frozen_clock):
        names = [f"Person {number}" for number in range(100)]
        counts = []
        for imdb_id, persons in ((FILM, names[:2]), (OTHER, names)):
            with count_queries() as counter:
                votes = movies.recommend_many(alice.id, imdb_id, persons)
                movies.add(alice.id, imdb_id, recommenders=persons)
            assert [vote.person.name for vote in votes] == persons
            assert {vote.movie.imdb_id for vote in votes} == {imdb_id}
            counts.append(counter.count)
        assert counts[1] <= counts[0] < 50

    @pytest.mark.parametrize(
        "verb",
        [
            movies.recommend_many,
            lambda user_id, film, names: movies.add(user_id, film, recommenders=names),
        ],
    )
    def test_more_than_a_hundred_names_at_once_are_refused(self, alice, verb):
        names = [f"Person {number}" for number in range(101)]
        with pytest.raises(InvalidError, match="names 101 people; the limit is 100 at once"):
            verb(alice.id, FILM, names)
        assert not Movie.select().exists()
        verb(alice.id, FILM, names[:100])
        assert Recommendation.select().count() == 100

    @pytest.mark.parametrize("value", ["maybe", 2, "", 1.5])
    def test_an_invalid_vote_is_refused(self, alice, value):
        with pytest.raises(InvalidError, match="vote_type"):
            movies.recommend(alice.id, FILM, "Eve", value)

    def test_a_vote_is_removed_once(self, alice):
        eve = movies.recommend(alice.id, FILM, "Eve").person
        bond = movies.recommend(alice.id, FILM, "007").person
        movies.unrecommend(alice.id, FILM, bond.id)
        assert names(alice) == ["Eve"]
        movies.unrecommend(alice.id, FILM, eve.id)
        assert names(alice) == []
        with pytest.raises(NotFoundError, match=r"^Recommendation not found$"):
            movies.unrecommend(alice.id, FILM, bond.id)
        with pytest.raises(NotFoundError, match=r"^Person not found$"):
            movies.unrecommend(alice.id, FILM, 999_999)


class TestDeleting:
    def test_a_deleted_film_is_gone_and_leaves_a_tombstone_until_it_is_added_again(
        self, alice, film
    ):
        movies.recommend(alice.id, FILM, "Eve")
        movies.watch(alice.id, FILM)
        movies.delete(alice.id, FILM, at=clock.now() - HOUR)

        assert not Recommendation.select().exists()
        assert not Watch.select().exists()
        tombstone = Tombstone.get()
        assert (tombstone.kind, tombstone.key, tombstone.deleted_at) == (
            "movie",
            FILM,
            clock.now() - HOUR,
        )
        movies.add(alice.id, FILM)
        assert not Tombstone.select().exists()

    def test_deleting_a_film_again_renews_its_tombstone(self, alice, film, frozen_clock):
        movies.delete(alice.id, FILM)
        first = Tombstone.get().updated_at
        movies.add(alice.id, FILM)
        movies.delete(alice.id, FILM)
        assert Tombstone.get().updated_at > first
        assert Tombstone.select().count() == 1

    @pytest.mark.parametrize(
        "verb",
        [
            movies.delete,
            movies.unwatch,
            lambda user_id, film: movies.set_status(user_id, film, "watched"),
            lambda user_id, film: movies.unrecommend(user_id, film, 1),
            lambda user_id, film: movies.rate(user_id, film, 5),
        ],
    )
    def test_another_users_film_is_not_found(self, alice, bob, film, verb):
        with pytest.raises(NotFoundError, match=r"^Movie not found$"):
            verb(bob.id, FILM)
        assert reload(bob).library_version == 0


def test_two_writes_in_one_transaction_get_different_marks(alice, film):
    with db.atomic():
        movies.recommend(alice.id, FILM, "Eve")
        movies.recommend(alice.id, OTHER, "Eve")
    assert len({movie.updated_at for movie in Movie.select()}) == 2
