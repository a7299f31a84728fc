"""Titles that TMDB or OMDb does not have: what administrators are told of them, another try, and
the film at TMDB that is asked for instead."""

import pytest

from mm import clock
from mm.database import db
from mm.errors import InvalidError, NotFoundError, UnavailableError
from mm.models import Movie, Title, TitleJson, TmdbLink
from mm.providers.tmdb import Link
from mm.services.enrichment import lookups, pauses, refresh, stuck
from mm.services.enrichment import queue as enrichment_queue
from mm.services.enrichment import runner as enrichment_runner
from tests.support import standin as stand
from tests.support.enriching import (  # noqa: F401
    DAY,
    FILM,
    HOUR,
    brisk,
    brisk_lookups,
    change,
    hold,
    run,
    settings,
    states,
)

UNKNOWN = stand.UNKNOWN_ID
# TMDB's own numbers of FILM and of the series.
NUMBER, SERIES_NUMBER = 5000, 7001
pytestmark = pytest.mark.usefixtures("brisk_lookups")


def lost(alice, *imdb_ids):
    """Alice holds these, and neither provider has them."""
    hold(alice, *(imdb_ids or [UNKNOWN]))
    run()


def link_and_run(text=str(NUMBER)):
    stuck.link(UNKNOWN, text)
    return run()


# What is listed.


def test_each_title_says_what_is_wrong_at_which_provider_and_when_it_is_tried_again(
    alice, frozen_clock
):
    lost(alice, stand.EPISODE_ID)
    frozen_clock.move(DAY)

    [entry] = stuck.listing().entries
    at_tmdb, at_omdb = entry.troubles
    assert (entry.imdb_id, entry.title, entry.link) == (stand.EPISODE_ID, None, None)
    assert (at_tmdb.provider, at_tmdb.state) == ("tmdb", "missing")
    assert "episode" in at_tmdb.reason
    assert at_tmdb.asked_at == clock.now() - DAY
    assert at_tmdb.next_try == clock.now() + 29 * DAY
    assert at_omdb.provider == "omdb"


def test_a_failed_one_tells_how_often_it_was_tried(alice, standin, frozen_clock):
    hold(alice, FILM)
    standin.tmdb.fault = "error"
    run()
    frozen_clock.move(HOUR)
    run()

    [entry] = stuck.listing("tmdb-failed").entries
    [trouble] = entry.troubles
    assert (trouble.attempts, trouble.asked_at) == (2, clock.now())
    assert trouble.next_try == clock.now() + 4 * HOUR
    # OMDb has it, and says what it is called.
    assert entry.title == "The Lighthouse Keeper's Tax Return"


def test_filled_titles_and_those_that_no_library_holds_are_not_listed(alice):
    lost(alice, FILM, UNKNOWN)
    assert [entry.imdb_id for entry in stuck.listing().entries] == [UNKNOWN]
    Movie.delete().execute()
    assert stuck.listing().entries == []
    with pytest.raises(NotFoundError):
        stuck.get(UNKNOWN)


def test_they_are_counted_by_provider_and_problem(alice):
    lost(alice, FILM, UNKNOWN, stand.EPISODE_ID, stand.OMDB_ONLY_ID)
    stuck.link(UNKNOWN, str(NUMBER))

    page = stuck.listing("tmdb-missing")
    assert page.counts == {
        "all": 3,
        "tmdb-missing": 3,
        "tmdb-failed": 0,
        "omdb-missing": 2,
        "omdb-failed": 0,
        "chosen": 1,
    }
    assert [entry.imdb_id for entry in stuck.listing("chosen").entries] == [UNKNOWN]
    assert stuck.listing("nonsense").show == "all"


def test_two_users_who_hold_it_are_one_row(alice, bob):
    hold(bob, UNKNOWN)
    lost(alice)
    assert stuck.listing().counts["all"] == len(stuck.listing().entries) == 1


@pytest.mark.slow
def test_thousands_are_paged(alice):
    hold(alice, *(f"tt{number:07}" for number in range(1, 3001)))
    Title.update(tmdb_state="missing", tmdb_retry_at=clock.now() + DAY).execute()

    first, last = stuck.listing(), stuck.listing(number=999)
    assert (first.counts["all"], first.pages, len(first.entries)) == (3000, 60, 50)
    assert (first.entries[0].imdb_id, last.entries[-1].imdb_id) == ("tt0000001", "tt0003000")
    assert last.number == 60


def test_titles_that_wait_for_a_provider_without_a_key_are_counted(alice):
    hold(alice, FILM, UNKNOWN)
    change(tmdb_api_key="")
    page = stuck.listing()
    assert page.waiting == {"tmdb": 2}
    assert "No TMDB key" in page.notices[0]


# Another try.


def test_try_again_makes_a_missing_title_due_and_first(alice):
    lost(alice, UNKNOWN, stand.EPISODE_ID)
    assert not enrichment_runner.anything_due()
    stuck.retry(stand.EPISODE_ID)

    assert [title.imdb_id for title in enrichment_queue.first("tmdb", 9, ())] == [stand.EPISODE_ID]
    assert [title.imdb_id for title in enrichment_queue.first("omdb", 9, ())] == [stand.EPISODE_ID]
    assert stuck.get(stand.EPISODE_ID).troubles[0].asked_at is None


def test_try_again_asks_a_provider_that_refused_the_key(alice):
    lost(alice)
    pauses.stop("tmdb", "TMDB rejected the key")
    stuck.retry(UNKNOWN)
    assert "tmdb" in pauses.askable()


def test_try_all_again_keeps_to_what_is_listed(alice):
    lost(alice, UNKNOWN, stand.EPISODE_ID, stand.OMDB_ONLY_ID)

    assert stuck.retry_all("tmdb-missing") == 3
    assert enrichment_queue.all_due("tmdb").count() == 3
    assert enrichment_queue.all_due("omdb").count() == 0
    assert stuck.retry_all() == 3
    assert enrichment_queue.all_due("omdb").count() == 2


# What is typed.


@pytest.mark.parametrize(
    "text",
    [
        "5000",
        " 5000 ",
        "https://www.themoviedb.org/movie/5000-the-lighthouse-keeper-s-tax-return",
        "http://themoviedb.org/movie/5000?language=de-DE",
        "www.themoviedb.org/movie/5000/cast",
        "movie/5000",
    ],
)
def test_a_number_or_an_address_finds_the_film(text):
    found = stuck.find(text)
    assert (found.link, found.imdb_id) == (Link("movie", NUMBER), FILM)
    assert (found.title, found.year) == ("The Lighthouse Keeper's Tax Return", 1994)
    assert found.poster == f"/{FILM}.png"


def test_the_address_of_a_season_finds_its_series():
    found = stuck.find("https://www.themoviedb.org/tv/7001-meanwhile/season/2")
    assert (found.link, found.title) == (Link("tv", SERIES_NUMBER), stand.SERIES["name"])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Type the number"),
        ("fight club", "neither a number"),
        ("https://example.org/movie/5000", "neither a number"),
        ("https://www.themoviedb.org/collection/10", "neither a number"),
        ("movie/../account/5000", "neither a number"),
        ("movie/5000abc", "neither a number"),
        ("https://www.themoviedb.org/person/287-brad-pitt", "page of a person"),
        ("tt0137523", "IMDb ID"),
        ("https://www.imdb.com/title/tt0137523/", "IMDb ID"),
        ("0", "no number 0"),
        ("9" * 400, "no number 9"),
        ("0" * 19 + "1" * 20, "no number 0"),
        ("0" * 19 + "1" * 5000, "no number 0"),
        ("٥٠٠٠", "neither a number"),
    ],
)
def test_another_text_is_refused_at_the_field(text, why, standin):
    with pytest.raises(InvalidError) as refused:
        stuck.find(text)
    assert why in refused.value.message
    assert [problem.path for problem in refused.value.errors] == ["tmdb"]
    assert standin.tmdb.asked == []


def test_a_number_that_tmdb_does_not_have_is_said():
    with pytest.raises(NotFoundError, match=r"no film with the number 424242\. For a series"):
        stuck.find("424242")
    with pytest.raises(NotFoundError, match=r"no series with the number 424242\.$"):
        stuck.find("tv/424242")


def test_without_a_key_nothing_can_be_chosen(alice):
    lost(alice)
    change(tmdb_api_key="")
    with pytest.raises(UnavailableError, match="without a key"):
        stuck.link(UNKNOWN, str(NUMBER))
    assert TmdbLink.select().count() == 0


# The film that is asked for instead.


def test_the_chosen_film_fills_the_title_for_everybody_who_holds_it(alice, bob):
    hold(bob, UNKNOWN)
    lost(alice)
    before = Movie.get(Movie.user == bob).updated_at

    assert link_and_run() == {"tmdb_ready": 1}
    title = Title.get_by_id(UNKNOWN)
    assert (title.title, title.tmdb_id, title.tmdb_state) == (
        "The Lighthouse Keeper's Tax Return",
        NUMBER,
        "ready",
    )
    assert Movie.get(Movie.user == bob).updated_at > before
    # Phones know it by the id that is in the library.
    assert f'"imdbId":"{UNKNOWN}"' in TitleJson.get_by_id(UNKNOWN).tmdb
    assert stuck.get(UNKNOWN).link == Link("movie", NUMBER)


def test_a_series_can_be_chosen_and_later_something_else(alice):
    lost(alice)
    link_and_run("https://www.themoviedb.org/tv/7001")
    assert Title.get_by_id(UNKNOWN).media_type == "tv"

    stuck.link(UNKNOWN, str(NUMBER))
    # The first choice was wrong: nobody sees it any longer.
    assert Title.get_by_id(UNKNOWN).title is None
    run()
    assert Title.get_by_id(UNKNOWN).media_type == "movie"
    assert TmdbLink.select().count() == 1


def test_the_worker_asks_for_it_directly_and_before_all_others(alice, standin):
    lost(alice)
    hold(alice, *stand.FILM_IDS[1:4])
    stuck.link(UNKNOWN, str(NUMBER))

    [head, *_] = enrichment_queue.first("tmdb", 9, ())
    assert (head.imdb_id, head.link) == (UNKNOWN, Link("movie", NUMBER))
    standin.tmdb.asked.clear()
    run()
    assert f"/3/movie/{NUMBER}" in standin.tmdb.asked
    assert f"/3/find/{UNKNOWN}" not in standin.tmdb.asked


def test_a_user_who_refreshes_the_film_gets_the_chosen_one(alice):
    lost(alice)
    stuck.link(UNKNOWN, str(NUMBER))
    assert refresh.refresh_title(UNKNOWN, alice.id).tmdb
    assert Title.get_by_id(UNKNOWN).tmdb_id == NUMBER


def test_a_user_who_adds_it_sees_the_chosen_one_and_gets_it_at_once(alice):
    lost(alice)
    with db.atomic():
        TmdbLink.create(title=UNKNOWN, tmdb_id=NUMBER, media_type="movie")
        enrichment_queue.forget_tmdb(UNKNOWN)
    assert lookups.by_imdb_id(UNKNOWN)["id"] == NUMBER
    assert refresh.fill_from_cache(UNKNOWN)
    assert Title.get_by_id(UNKNOWN).tmdb_id == NUMBER


def test_what_tmdb_calls_by_that_id_does_not_fill_a_title_with_another_choice(alice):
    hold(alice, FILM)
    TmdbLink.create(title=FILM, tmdb_id=NUMBER + 1, media_type="movie")
    lookups.details(NUMBER, "movie")
    assert not refresh.fill_from_cache(FILM)


def test_a_chosen_film_that_tmdb_has_no_more_is_said_so(alice):
    lost(alice)
    with db.atomic():
        TmdbLink.create(title=UNKNOWN, tmdb_id=424242, media_type="movie")
        enrichment_queue.forget_tmdb(UNKNOWN)

    assert run() == {"tmdb_missing": 1}
    reason = "TMDB has no film 424242, which an administrator chose for this title."
    assert stuck.get(UNKNOWN).troubles[0].reason == reason


def test_a_removed_choice_takes_its_film_out_and_asks_again(alice):
    lost(alice, UNKNOWN)
    link_and_run()
    stuck.unlink(UNKNOWN)

    title = Title.get_by_id(UNKNOWN)
    assert (title.title, title.tmdb_body, title.poster_path, title.search_text) == (
        None,
        None,
        None,
        "",
    )
    assert TitleJson.get_by_id(UNKNOWN).tmdb is None
    assert run() == {"tmdb_missing": 1}
    assert states(UNKNOWN) == ("missing", "missing")


def test_what_omdb_has_describes_it_again_after_a_choice_is_removed(alice):
    lost(alice, stand.OMDB_ONLY_ID)
    stuck.link(stand.OMDB_ONLY_ID, str(NUMBER))
    run()
    stuck.unlink(stand.OMDB_ONLY_ID)
    title = Title.get_by_id(stand.OMDB_ONLY_ID)
    assert (title.title, title.imdb_rating) == ("Somewhere a Kettle", 6.5)


def test_an_answer_to_the_question_before_the_choice_does_not_count(alice, standin, monkeypatch):
    """The worker is asking for the id while an administrator chooses."""
    lost(alice)
    stuck.retry(UNKNOWN)
    look_up = enrichment_runner.tmdb.look_up

    def slowly(account, imdb_id, link):
        if link is None:
            with db.connection_context(), db.atomic():
                TmdbLink.create(title=UNKNOWN, tmdb_id=NUMBER, media_type="movie")
        return look_up(account, imdb_id, link)

    monkeypatch.setattr(enrichment_runner.tmdb, "look_up", slowly)
    run()
    assert states(UNKNOWN) == ("ready", "missing")
    assert Title.get_by_id(UNKNOWN).tmdb_id == NUMBER


def test_nothing_is_chosen_for_a_title_that_nobody_holds_or_that_is_well(alice):
    lost(alice, FILM)
    for imdb_id in (UNKNOWN, FILM):
        with pytest.raises(NotFoundError, match="no longer stuck"):
            stuck.link(imdb_id, str(NUMBER))
    assert TmdbLink.select().count() == 0


def test_a_choice_goes_with_its_title(alice, frozen_clock):
    lost(alice)
    link_and_run()
    Movie.delete().execute()
    frozen_clock.move(40 * DAY)
    assert enrichment_queue.sweep() == 1
    assert TmdbLink.select().count() == 0


@pytest.mark.parametrize("imdb_id", [UNKNOWN, FILM])
def test_a_refresh_that_asked_before_the_choice_stores_nothing(alice, monkeypatch, imdb_id):
    hold(alice, imdb_id)
    change(omdb_api_key="")
    ask = refresh.interactive.tmdb_title

    def slowly(look_up, asked, deadline, link):
        with db.atomic():
            TmdbLink.create(title=asked, tmdb_id=NUMBER + 1, media_type="movie")
        return ask(look_up, asked, deadline, link)

    monkeypatch.setattr(refresh.interactive, "tmdb_title", slowly)
    with pytest.raises(UnavailableError, match="An administrator just changed"):
        refresh.refresh_title(imdb_id, alice.id)
    assert Title.get_by_id(imdb_id).tmdb_state == "stub"
    assert run() == {"tmdb_ready": 1}
    assert Title.get_by_id(imdb_id).tmdb_id == NUMBER + 1
