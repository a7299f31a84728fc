"""Titles being filled: the queue, its order, what each answer makes of a title, pauses, and what
the page shows."""

import threading

import pytest
from peewee import OperationalError

from mm import clock, locks, log, models
from mm.database import db, insert_rows
from mm.models import Job, Movie, Title, User
from mm.providers import client
from mm.services import jobs
from mm.services.enrichment import queue as enrichment_queue
from mm.services.enrichment import runner as enrichment_runner
from mm.services.library import movies
from tests.support import standin as stand
from tests.support.enriching import DAY, FILM, HOUR, brisk, change, hold, run, settings, states  # noqa: F401

# What an answer makes of a title.


def test_a_film_gets_its_title_and_its_ratings(alice):
    hold(alice, FILM)

    assert run() == {"tmdb_ready": 1, "omdb_ready": 1}
    title = Title.get_by_id(FILM)
    assert (title.title, title.year, title.runtime) == (
        "The Lighthouse Keeper's Tax Return",
        1994,
        101,
    )
    assert (title.imdb_rating, title.rotten_tomatoes, title.metacritic) == (8.1, 81, 81)
    assert title.tmdb_body["vote_count"] == 120
    assert title.omdb_body["imdbVotes"] == "1,204"
    assert title.tmdb_fetched_at == title.omdb_fetched_at == clock.now()
    assert title.tmdb_retry_at == clock.now() + 150 * DAY


def test_an_episode_and_an_unknown_id_are_missing_with_their_reasons(alice):
    hold(alice, stand.EPISODE_ID, stand.UNKNOWN_ID)
    run()

    reasons = {title.imdb_id: title.tmdb_reason for title in Title.select()}
    assert "episode" in reasons[stand.EPISODE_ID]
    assert "TMDB has no film" in reasons[stand.UNKNOWN_ID]
    assert {title.tmdb_state for title in Title.select()} == {"missing"}
    assert {title.tmdb_retry_at for title in Title.select()} == {clock.now() + 30 * DAY}


def test_one_run_settles_every_kind_of_title(alice, standin):
    hold(
        alice,
        *stand.FILM_IDS,
        stand.SERIES_ID,
        stand.EPISODE_ID,
        stand.EMPTY_ID,
        stand.OMDB_ONLY_ID,
    )

    counts = run()
    assert (counts["tmdb_ready"], counts["tmdb_missing"]) == (len(stand.FILM_IDS) + 2, 2)
    assert (counts["omdb_ready"], counts["omdb_missing"]) == (len(stand.FILM_IDS) + 1, 3)
    assert standin.asked_twice() == []
    assert not enrichment_runner.anything_due()


def test_a_film_that_only_omdb_knows_is_described_by_omdb(alice):
    hold(alice, stand.OMDB_ONLY_ID)
    run()

    title = Title.get_by_id(stand.OMDB_ONLY_ID)
    assert (title.title, title.year, title.tmdb_state) == ("Somewhere a Kettle", 1949, "missing")
    assert title.search_text == "somewhere a kettle vera lindqvist edmund thorne short"


def test_tmdbs_description_replaces_that_of_omdb(alice):
    hold(alice, FILM)
    change(tmdb_api_key="")
    run()
    assert Title.get_by_id(FILM).title == "The Lighthouse Keeper's Tax Return"
    assert Title.get_by_id(FILM).tmdb_id is None

    change(tmdb_api_key="standin-tmdb-key")
    run()
    assert Title.get_by_id(FILM).tmdb_id == 5000


def test_failures_are_retried_after_one_hour_four_hours_a_day_and_then_weekly(
    alice, standin, frozen_clock
):
    hold(alice, FILM)
    standin.tmdb.fault = "error"
    waits = []
    for _ in range(5):
        run()
        title = Title.get_by_id(FILM)
        waits.append(title.tmdb_retry_at - clock.now())
        frozen_clock.move(waits[-1] - 1)
        assert not enrichment_queue.all_due("tmdb").exists()
        frozen_clock.move(1)
        assert enrichment_queue.all_due("tmdb").exists()

    assert waits == [HOUR, 4 * HOUR, DAY, 7 * DAY, 7 * DAY]
    assert (title.tmdb_state, title.tmdb_attempts, title.tmdb_reason) == (
        "failed",
        5,
        "TMDB answered with 500.",
    )
    standin.tmdb.fault = ""
    run()
    title = Title.get_by_id(FILM)
    assert (title.tmdb_state, title.tmdb_attempts, title.tmdb_reason) == ("ready", 0, None)


@pytest.mark.parametrize("fault", ["error", "html", "list", "invalid_json", "truncated"])
def test_a_film_that_fails_does_not_keep_others_from_being_filled(alice, standin, fault):
    hold(alice, *stand.FILM_IDS[:4])
    standin.tmdb.fault, standin.tmdb.only = fault, stand.FILM_IDS[2]
    run()

    assert [states(imdb_id)[0] for imdb_id in stand.FILM_IDS[:4]] == [
        "ready",
        "ready",
        "failed",
        "ready",
    ]


def test_a_time_out_is_a_failure_with_its_reason(alice, standin, monkeypatch):
    monkeypatch.setattr(client, "READ_SECONDS", 0.1)
    hold(alice, FILM)
    standin.tmdb.fault = standin.omdb.fault = "hang"
    run()

    assert states() == ("failed", "failed")
    assert Title.get_by_id(FILM).tmdb_reason == "TMDB did not answer in time."


def test_invalid_json_from_omdb_means_no_ratings_and_no_failure(alice, standin):
    hold(alice, FILM)
    standin.omdb.fault = "invalid_json"
    run()

    assert states() == ("ready", "missing")
    assert Title.get_by_id(FILM).imdb_rating is None


def test_a_filled_title_stays_filled_when_its_refresh_fails(alice, standin, frozen_clock):
    hold(alice, FILM)
    run()
    frozen_clock.move(151 * DAY)
    standin.tmdb.fault = "error"
    run()

    title = Title.get_by_id(FILM)
    assert (title.tmdb_state, title.title) == ("ready", "The Lighthouse Keeper's Tax Return")
    assert title.tmdb_retry_at == clock.now() + HOUR


def test_filling_a_title_changes_updated_at_of_its_films_and_no_user_data(alice, bob):
    hold(alice, FILM)
    hold(bob, FILM, status="deleted")
    before = list(Movie.select(Movie.updated_at, Movie.last_modified).order_by(Movie.id).tuples())
    versions = [user.library_version for user in User.select()]
    run()

    after = list(Movie.select(Movie.updated_at, Movie.last_modified).order_by(Movie.id).tuples())
    assert all(new[0] > old[0] and new[1] == old[1] for new, old in zip(after, before, strict=True))
    assert [user.library_version for user in User.select()] == versions


def test_a_film_of_two_users_is_fetched_once(alice, bob, standin):
    hold(alice, FILM)
    hold(bob, FILM)
    run()

    assert (len(standin.tmdb.asked), len(standin.omdb.asked)) == (2, 1)


def test_a_title_that_no_library_holds_is_not_looked_up(alice, standin):
    models.ensure_titles(db.obj, [FILM])

    assert not enrichment_runner.anything_due()
    assert run() == {}
    assert standin.tmdb.asked == []


# The order.


@pytest.mark.slow
def test_one_import_of_200_thousand_does_not_keep_the_others_waiting(alice, bob):
    ids = [f"tt{number:08}" for number in range(200_000)]
    now = clock.now()
    fields = [
        Movie.user,
        Movie.title,
        Movie.status,
        Movie.date_added,
        Movie.last_modified,
        Movie.updated_at,
    ]
    with db.atomic():
        models.ensure_titles(db.obj, ids)
        insert_rows(
            db.obj, fields, ((alice.id, imdb_id, "toWatch", now, now, now) for imdb_id in ids)
        )
    hold(bob, *stand.FILM_IDS[:3])

    head = [title.imdb_id for title in enrichment_queue.first("tmdb", 8, ())]
    assert head == [
        ids[0],
        FILM,
        ids[1],
        stand.FILM_IDS[1],
        ids[2],
        stand.FILM_IDS[2],
        ids[3],
        ids[4],
    ]


def test_titles_that_were_just_opened_come_first_the_newest_before_the_others(alice):
    hold(alice, *stand.FILM_IDS[:5])
    for imdb_id, wanted_at in ((stand.FILM_IDS[3], 100), (stand.FILM_IDS[4], 200)):
        Title.update(wanted_at=wanted_at).where(Title.imdb_id == imdb_id).execute()

    head = [title.imdb_id for title in enrichment_queue.first("tmdb", 3, ())]
    assert head == [stand.FILM_IDS[4], stand.FILM_IDS[3], FILM]
    others = enrichment_queue.first("tmdb", 9, (stand.FILM_IDS[4],), prioritized_only=True)
    assert [title.imdb_id for title in others] == [stand.FILM_IDS[3]]


def test_a_title_opened_during_a_run_overtakes_those_read_ahead(alice, standin, monkeypatch):
    monkeypatch.setattr(enrichment_runner, "DISPATCHED", 2)
    monkeypatch.setattr(enrichment_runner, "THREADS", {"tmdb": 1, "omdb": 1})
    hold(alice, *stand.FILM_IDS)
    last = stand.FILM_IDS[-1]
    fill = enrichment_queue.fill

    def fill_and_open_another(provider, imdb_id, body):
        enrichment_queue.prioritize(last)
        fill(provider, imdb_id, body)

    monkeypatch.setattr(enrichment_queue, "fill", fill_and_open_another)
    run()

    finds = [path for path in standin.tmdb.asked if "find" in path]
    assert finds.index(f"/3/find/{last}") < 6
    assert (len(finds), standin.asked_twice()) == (len(stand.FILM_IDS), [])


# Another language, and everything again.


def start():
    job = enrichment_runner.start_if_due()
    return job and jobs.run(job.id, enrichment_runner.run)


def test_after_a_change_of_language_every_title_is_looked_up_again_behind_the_new_ones(
    alice, bob, standin, frozen_clock, monkeypatch
):
    monkeypatch.setattr(enrichment_runner, "THREADS", {"tmdb": 1, "omdb": 1})
    movies.add(alice.id, FILM)
    hold(alice, *stand.FILM_IDS[1:4])
    start()
    assert enrichment_runner.start_if_due() is None
    frozen_clock.move(DAY)
    change(tmdb_language="de-DE")
    hold(bob, stand.FILM_IDS[5])
    asked, calls = len(standin.tmdb.asked), len(standin.omdb.asked)
    start()

    finds = [path for path in standin.tmdb.asked[asked:] if "find" in path]
    assert finds[0] == f"/3/find/{stand.FILM_IDS[5]}"
    assert {path[-9:] for path in finds} == {*stand.FILM_IDS[:4], stand.FILM_IDS[5]}
    assert len(finds) == 5
    # OMDb has one language, and few calls a day.
    assert len(standin.omdb.asked) == calls + 1
    assert Title.get_by_id(FILM).tmdb_fetched_at == clock.now()
    assert enrichment_runner.start_if_due() is None


def test_a_title_whose_renewal_fails_stays_filled_and_is_retried_later(
    alice, standin, frozen_clock
):
    hold(alice, FILM)
    start()
    frozen_clock.move(DAY)
    change(tmdb_language="de-DE")
    standin.tmdb.fault = "error"
    start()
    title = Title.get_by_id(FILM)
    assert (title.tmdb_state, title.tmdb_retry_at) == ("ready", clock.now() + HOUR)
    assert enrichment_runner.start_if_due() is None

    standin.tmdb.fault = ""
    frozen_clock.move(HOUR)
    start()
    assert Title.get_by_id(FILM).tmdb_fetched_at == clock.now()


def test_a_filled_title_that_was_just_opened_is_renewed_first(alice, frozen_clock):
    hold(alice, *stand.FILM_IDS[:3])
    enrichment_queue.prioritize(FILM)
    run()
    frozen_clock.move(DAY)
    enrichment_queue.renew_all()
    hold(alice, stand.FILM_IDS[4])
    enrichment_queue.prioritize(stand.FILM_IDS[2])

    head = [title.imdb_id for title in enrichment_queue.first("tmdb", 9, ())]
    assert head == [stand.FILM_IDS[2], stand.FILM_IDS[4], FILM, stand.FILM_IDS[1]]
    prioritized = enrichment_queue.first("tmdb", 9, (), prioritized_only=True)
    assert [title.imdb_id for title in prioritized] == [stand.FILM_IDS[2]]


def test_renewing_all_looks_up_every_filled_title_again(alice, standin, frozen_clock):
    hold(alice, *stand.FILM_IDS[:3], stand.UNKNOWN_ID)
    start()
    frozen_clock.move(DAY)
    assert enrichment_queue.renew_all() == 3
    asked = len(standin.tmdb.asked)
    start()
    assert len(standin.tmdb.asked) == asked + 6


# Progress and jobs.


def test_progress_counts_the_users_own_films_by_state(alice, bob, standin):
    hold(alice, *stand.FILM_IDS[:3], stand.EPISODE_ID)
    standin.tmdb.fault, standin.tmdb.only = "error", stand.FILM_IDS[1]
    run()
    hold(alice, stand.FILM_IDS[7])
    hold(bob, stand.FILM_IDS[8])

    progress = enrichment_runner.progress(alice.id)
    counts = (progress.total, progress.ready, progress.waiting, progress.missing, progress.failed)
    assert counts == (5, 2, 1, 1, 1)
    assert progress.notices == [
        "1 film not found on TMDB; next try on 31 March 2026, 12:00.",
        "The look-up of 1 film failed; next try on 1 March 2026, 13:00.",
    ]
    assert enrichment_runner.progress(bob.id).waiting == 1


def test_a_job_is_created_when_something_is_due_and_none_is_active(alice):
    assert enrichment_runner.start_if_due() is None
    hold(alice, FILM)
    job = enrichment_runner.start_if_due()

    assert (job.kind, job.state) == ("enrich", "queued")
    assert enrichment_runner.start_if_due() is None


def test_the_jobs_row_ends_with_what_was_done(alice):
    hold(alice, *stand.FILM_IDS)
    job = enrichment_runner.start_if_due()
    jobs.run(job.id, enrichment_runner.run)

    job = Job.get_by_id(job.id)
    number = len(stand.FILM_IDS)
    assert (job.state, job.done, job.total) == ("done", 2 * number, 2 * number)
    assert job.message == f"{number} from TMDB, {number} from OMDb"
    assert job.result == {"tmdb_ready": number, "omdb_ready": number}


def test_titles_queued_during_a_run_are_filled_by_the_same_run(alice, bob, monkeypatch):
    hold(alice, FILM)
    fill = enrichment_queue.fill
    arrivals = [stand.FILM_IDS[1:3]]

    def fill_and_add_more(provider, imdb_id, body):
        fill(provider, imdb_id, body)
        if arrivals:
            hold(bob, *arrivals.pop())

    monkeypatch.setattr(enrichment_queue, "fill", fill_and_add_more)
    assert run() == {"tmdb_ready": 3, "omdb_ready": 3}


def test_a_second_runner_is_refused(alice):
    with locks.hold("enrich"), pytest.raises(locks.BusyError):
        run()


def test_a_shut_down_stores_what_was_fetched_and_requeues_the_job(alice, standin, monkeypatch):
    monkeypatch.setattr(enrichment_runner, "stopping", threading.Event())
    monkeypatch.setattr(enrichment_runner, "DISPATCHED", 4)
    hold(alice, *stand.FILM_IDS)
    job = enrichment_runner.start_if_due()
    fill = enrichment_queue.fill

    def fill_and_stop(provider, imdb_id, body):
        fill(provider, imdb_id, body)
        enrichment_runner.stopping.set()

    monkeypatch.setattr(enrichment_queue, "fill", fill_and_stop)
    jobs.run(job.id, enrichment_runner.run)

    assert Job.get_by_id(job.id).state == "queued"
    done = Title.select().where(Title.tmdb_state == "ready").count()
    assert 0 < done < len(stand.FILM_IDS)


# What nobody expected.


@pytest.fixture
def logged_errors(monkeypatch):
    """The events that were logged as unexpected, with their errors."""
    events = []

    def unexpected(event, problem, **fields):
        events.append((event, type(problem)))
        return "AB234"

    monkeypatch.setattr(log, "unexpected", unexpected)
    return events


def test_an_answer_in_broken_utf_8_fails_only_its_film(alice, standin, logged_errors):
    hold(alice, *stand.FILM_IDS[:4])
    standin.tmdb.fault, standin.tmdb.only = "broken_utf8", "/movie/5001"

    assert run() == {"tmdb_ready": 3, "tmdb_failed": 1, "omdb_ready": 4}
    assert states(stand.FILM_IDS[1]) == ("failed", "ready")
    reason = Title.get_by_id(stand.FILM_IDS[1]).tmdb_reason
    assert reason == "TMDB answered with 200, and not with JSON."
    assert logged_errors == []


def test_an_unexpected_error_fails_only_its_film_and_is_logged_with_a_code(
    alice, logged_errors, monkeypatch
):
    look_up = enrichment_runner.tmdb.look_up

    def sometimes(account, imdb_id, link):
        return 1 / 0 if imdb_id == stand.FILM_IDS[1] else look_up(account, imdb_id, link)

    monkeypatch.setattr(enrichment_runner.tmdb, "look_up", sometimes)
    hold(alice, *stand.FILM_IDS[:4])

    assert run() == {"tmdb_ready": 3, "tmdb_failed": 1, "omdb_ready": 4}
    title = Title.get_by_id(stand.FILM_IDS[1])
    assert title.tmdb_reason == "Something went wrong (details in the log, code AB234)."
    assert title.tmdb_retry_at == clock.now() + HOUR
    assert logged_errors == [("title.look_up_failed", ZeroDivisionError)]
    assert not enrichment_runner.anything_due()


def test_an_answer_that_cannot_be_stored_fails_only_its_film(alice, logged_errors, monkeypatch):
    fill = enrichment_queue.fill

    def sometimes(provider, imdb_id, body):
        fill(provider, imdb_id, body)
        if imdb_id == stand.FILM_IDS[1]:
            raise ValueError

    monkeypatch.setattr(enrichment_queue, "fill", sometimes)
    hold(alice, *stand.FILM_IDS[:4])

    assert run() == {"tmdb_ready": 3, "tmdb_failed": 1, "omdb_ready": 3, "omdb_failed": 1}
    assert states(stand.FILM_IDS[1]) == ("failed", "failed")
    assert Title.get_by_id(stand.FILM_IDS[1]).title is None
    assert {event for event, _ in logged_errors} == {"title.not_stored"}


def test_an_error_of_the_database_fails_the_run_and_no_film(alice, monkeypatch):
    def locked(*_):
        raise OperationalError("database is locked")

    monkeypatch.setattr(enrichment_queue, "fill", locked)
    hold(alice, FILM)

    with pytest.raises(OperationalError):
        run()
    assert states() == ("stub", "stub")


def test_a_read_token_with_impossible_characters_stops_tmdb(alice):
    change(tmdb_api_key="eyJ€")
    hold(alice, FILM)
    run()

    assert states() == ("stub", "ready")
    assert "The TMDB key has invalid characters" in enrichment_runner.progress(alice.id).notices[0]
