"""Links that show a list to whoever has them."""

import json
from datetime import date

import pytest

from mm import clock, config
from mm.clock import DAY
from mm.errors import InvalidError, NotFoundError
from mm.models import Job, ListFilm, ListShare, Movie, Title, User
from mm.services import accounts, portable, tidying
from mm.services.library import bulk, lists, movies, shares, undo
from mm.services.server import all_users
from tests.support.libraries import custom_list, document, export, film, put, seen

WORDS = "See it in winter."


@pytest.fixture
def winter(alice):
    """A list of three films, with a description and a note on the first."""
    put(alice, document([film(1, title="Stalker", year=1979), seen(2), film(3)], [], []))
    made = lists.create(alice.id, "Winter", description="For long evenings.")
    bulk.put_on_list(alice.id, ["tt0000001", "tt0000002", "tt0000003"], made.id)
    first = ListFilm.get(custom_list=made, position=0)
    ListFilm.update(note=WORDS).where(ListFilm.id == first.id).execute()
    return made


def share(row, **values):
    return shares.share(row.user_id, row.id, **values)


def replace(user, library):
    read = portable.read(json.dumps(library).encode())
    portable.apply(portable.plan(user.id, read, mode="replace"))


def is_gone(token):
    with pytest.raises(NotFoundError, match="isn’t shared here any more"):
        shares.find(token)
    return True


class TestLinks:
    def test_a_list_has_one_link_and_its_address_cannot_be_guessed(self, winter):
        made = share(winter)
        assert len(made.token) == 32
        assert share(winter).token == made.token
        assert ListShare.select().count() == 1
        assert shares.find(made.token).custom_list == winter

    def test_what_it_shows_and_its_last_day_can_be_changed(self, winter):
        made = share(winter)
        today = clock.today(config.current.zone)
        changed = share(winter, until=str(today), shows_notes=True)
        assert (changed.token, changed.shows_notes) == (made.token, True)
        assert shares.last_day(changed) == today
        assert shares.last_day(share(winter)) is None

    def test_a_revoked_link_never_works_again_and_the_next_has_another_address(self, winter):
        made = share(winter)
        shares.revoke(winter.user_id, winter.id)
        assert is_gone(made.token)
        assert share(winter).token != made.token
        assert is_gone(made.token)

    def test_what_was_revoked_already_is_said(self, winter):
        with pytest.raises(NotFoundError, match="has no link"):
            shares.revoke(winter.user_id, winter.id)

    def test_it_works_until_its_last_day_is_over_in_the_servers_time_zone(
        self, winter, frozen_clock
    ):
        today = clock.today(config.current.zone)
        made = share(winter, until=str(today))
        frozen_clock.moment = made.expires_at - 1
        assert clock.today(config.current.zone) == today
        assert shares.find(made.token)
        frozen_clock.moment = made.expires_at
        assert clock.today(config.current.zone) > today
        assert is_gone(made.token)
        assert shares.of_list(winter) is None
        assert share(winter).token != made.token

    @pytest.mark.parametrize(
        ("until", "said"),
        [
            ("31.12.2030", "is not a date"),
            ("2030-02-30", "is not a date"),
            ("2001-01-01", "is in the past"),
            ("9999-12-31", "is too far away"),
        ],
    )
    def test_a_day_that_cannot_be_is_refused_and_changes_nothing(self, winter, until, said):
        made = share(winter, shows_notes=True)
        with pytest.raises(InvalidError, match=said) as refused:
            share(winter, until=until)
        assert [problem.path for problem in refused.value.errors] == ["until"]
        assert shares.find(made.token).shows_notes

    @pytest.mark.parametrize("token", ["", "x", "a" * 5000, "\0", "ä", "\ud800", "' OR 1=1 --"])
    def test_what_is_no_token_is_answered_like_a_link_that_has_ended(self, winter, token):
        share(winter)
        assert is_gone(token)

    def test_others_can_neither_make_nor_change_nor_revoke_it(self, winter, bob):
        made = share(winter)
        for verb in (shares.share, shares.revoke):
            with pytest.raises(NotFoundError, match="List not found"):
                verb(bob.id, winter.id)
        assert shares.find(made.token)

    def test_of_a_deactivated_account_it_shows_nothing_until_that_is_activated(self, winter):
        made = share(winter)
        owner = User.get_by_id(winter.user_id)
        accounts.change(owner, is_active=False)
        assert is_gone(made.token)
        accounts.change(owner, is_active=True)
        assert shares.find(made.token)

    def test_it_goes_with_its_account(self, winter, alice):
        share(winter)
        accounts.remove(alice)
        assert ListShare.select().count() == 0

    def test_it_ends_with_its_list_and_undo_does_not_bring_it_back(self, winter, alice):
        made = share(winter)
        with undo.step(alice.id, list_id=winter.id) as step:
            lists.delete(alice.id, winter.id)
        assert is_gone(made.token)
        undo.back(alice.id, step.token)
        assert shares.of_list(lists.find(alice.id, winter.id)) is None
        assert is_gone(made.token)

    def test_it_stays_when_its_list_is_changed_and_that_is_undone(self, winter, alice):
        made = share(winter)
        with undo.step(alice.id, list_id=winter.id) as step:
            lists.change(alice.id, winter.id, {"name": "Summer"})
        undo.back(alice.id, step.token)
        assert shares.find(made.token).custom_list.name == "Winter"

    def test_a_replacing_import_keeps_it_while_the_list_stays(self, winter, alice):
        made = share(winter)
        library = json.loads(export(alice))
        library["lists"][0]["name"] = "Snow"
        replace(alice, library)
        assert shares.find(made.token).custom_list.name == "Snow"
        replace(alice, {**library, "movies": [], "lists": [custom_list("other", "Other")]})
        assert is_gone(made.token)

    def test_making_one_is_no_change_of_the_library(self, winter, alice):
        before = User.get_by_id(alice.id).library_version
        share(winter)
        shares.revoke(alice.id, winter.id)
        assert User.get_by_id(alice.id).library_version == before

    def test_links_that_have_run_out_are_forgotten_at_night(self, winter, alice, frozen_clock):
        ended = share(winter, until=str(clock.today(config.current.zone)))
        stays = share(lists.create(alice.id, "Summer"))
        frozen_clock.moment += 2 * DAY
        tidying.run(Job())
        assert [row.token for row in ListShare.select()] == [stays.token]
        assert is_gone(ended.token)

    def test_no_export_holds_its_address(self, winter, alice):
        made, everybody = share(winter), []
        all_users.write_to(everybody.append, secrets=True)
        for data in (export(alice), b"".join(everybody)):
            assert b"Stalker" in data
            assert made.token.encode() not in data


class TestFilms:
    def test_they_come_in_the_order_of_the_list_with_what_the_server_and_the_owner_know(
        self, winter, alice
    ):
        Title.update(
            title="Solaris", year=1972, poster_path="/s.jpg", runtime=167, imdb_rating=8.0
        ).where(Title.imdb_id == "tt0000002").execute()
        lists.reorder_films(alice.id, winter.id, ["tt0000002"])
        films = shares.films(share(winter))
        assert [row.imdb_id for row in films] == ["tt0000002", "tt0000001", "tt0000003"]
        assert films[0] == ("tt0000002", "Solaris", 1972, "movie", "/s.jpg", 167, 8.0, None)
        assert films[1][:4] == ("tt0000001", "Stalker", 1979, "movie")
        assert films[2].title is None

    def test_notes_come_only_where_they_are_shown(self, winter):
        assert [row.note for row in shares.films(share(winter))] == [None] * 3
        assert [row.note for row in shares.films(share(winter, shows_notes=True))] == [
            WORDS,
            None,
            None,
        ]

    def test_deleted_ones_are_left_out_and_have_no_poster(self, winter, alice):
        Title.update(poster_path="/s.jpg").where(Title.imdb_id == "tt0000002").execute()
        made = share(winter)
        shares.require_poster(made, "w342", "s.jpg")
        movies.set_status(alice.id, "tt0000002", "deleted")
        assert [row.imdb_id for row in shares.films(made)] == ["tt0000001", "tt0000003"]
        assert shares.count_films(made) == 2
        with pytest.raises(NotFoundError):
            shares.require_poster(made, "w342", "s.jpg")

    @pytest.mark.parametrize(
        ("size", "file"),
        [
            ("w342", "other.jpg"),
            ("w342", "elsewhere.jpg"),
            ("w342", "../s.jpg"),
            ("w342", "s.jpg\0"),
            ("w780", "s.jpg"),
            ("x", "s.jpg"),
        ],
    )
    def test_no_other_poster_and_no_other_size_is_shown(self, winter, alice, bob, size, file):
        put(bob, document([film(9)], [], []))
        movies.add(alice.id, "tt0000008")
        for imdb_id, path in {"2": "/s.jpg", "8": "/other.jpg", "9": "/elsewhere.jpg"}.items():
            Title.update(poster_path=path).where(Title.imdb_id == f"tt000000{imdb_id}").execute()
        with pytest.raises(NotFoundError, match="no such poster"):
            shares.require_poster(share(winter), size, file)

    def test_they_come_in_pages(self, winter, monkeypatch):
        monkeypatch.setattr(shares, "PAGE_SIZE", 2)
        made = share(winter)
        pages = [[row.imdb_id for row in shares.films(made, number)] for number in (1, 2, 3)]
        assert pages == [["tt0000001", "tt0000002"], ["tt0000003"], []]

    def test_the_same_film_of_another_user_says_nothing_here(self, winter, bob):
        put(bob, document([film(3, title="Bob’s own words")], [], []))
        assert Movie.select().where(Movie.user == bob.id).count() == 1
        assert [row.title for row in shares.films(share(winter))] == ["Stalker", None, None]


def test_the_last_day_counts_whatever_the_clocks_do_that_night(winter, frozen_clock):
    frozen_clock.moment = 1_792_000_000.0
    for day in ("2026-10-25", "2027-03-28", "2026-12-31"):
        assert shares.last_day(share(winter, until=day)) == date.fromisoformat(day)
