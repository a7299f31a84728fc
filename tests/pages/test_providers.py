"""Server, Providers: keys, their test, the pace, the language of titles."""

import time

import pytest

from mm import clock, config, models, stored_settings
from mm.database import db
from mm.models import Title
from mm.services import settings as server_settings
from mm.services.enrichment import language, lookup_slots, lookups, pauses
from mm.services.enrichment import queue as enrichment_queue
from mm.services.enrichment.lookup_slots import silent_providers
from tests.support.libraries import document, film, put

KEY = "a-right-key-of-some-length"


@pytest.fixture
def settings(tmp_path, standin):
    """Without keys; the providers are the stand-in."""
    environ = {**standin.environ, "MM_DATA_DIR": str(tmp_path / "data")}
    return config.from_environ(environ)


@pytest.fixture
def admin(app, carol):
    client = app.test_client()
    client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    with client.session_transaction() as session:
        session["_user_id"] = carol.get_id()
    return client


@pytest.fixture
def fixed(app):
    """The environment sets TMDB's key and pace."""
    given = frozenset(["TMDB_API_KEY", "TMDB_PACE"])
    config.use(config.replace(config.base, tmdb_api_key=KEY, tmdb_pace=5, given=given))


def save(admin, provider="tmdb", **fields):
    return admin.post(f"/admin/providers/{provider}", data=fields)


def ask(admin, provider="tmdb", javascript=True, **fields):
    headers = {"HX-Request": "true", "HX-Request-Type": "partial"} if javascript else {}
    return admin.post(f"/admin/providers/{provider}/test", data=fields, headers=headers)


def test_a_key_that_is_saved_is_in_force_at_once_and_shown_masked(admin):
    answer = save(admin, tmdb_api_key=f"  {KEY} ", tmdb_pace="20")
    assert answer.status_code == 303
    assert (config.current.tmdb_api_key, config.current.tmdb_pace) == (KEY, 20)
    text = admin.get("/admin/providers").text
    assert KEY not in text
    assert f"{server_settings.MASK}ngth" in text
    assert stored_settings.read() == {"TMDB_API_KEY": KEY, "TMDB_PACE": "20"}


def test_a_masked_key_that_comes_back_is_kept_and_an_empty_field_removes_it(admin):
    save(admin, tmdb_api_key=KEY)
    save(admin, tmdb_api_key=server_settings.masked(KEY), tmdb_pace="3")
    assert (config.current.tmdb_api_key, config.current.tmdb_pace) == (KEY, 3)
    save(admin, tmdb_api_key="", tmdb_pace="3")
    assert config.current.tmdb_api_key == ""
    assert "No key" in admin.get("/admin/providers").text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"tmdb_api_key": "   "}, server_settings.BLANK_KEY),
        ({"tmdb_api_key": "two words"}, "a key has no spaces"),
        ({"tmdb_api_key": "k" * 2000}, server_settings.LONG_KEY),
        ({"tmdb_api_key": KEY, "tmdb_pace": "37"}, "write a whole number from 1 to 36"),
    ],
)
def test_what_cannot_be_saved_is_said_at_its_field_and_nothing_changes(admin, fields, said):
    answer = save(admin, **fields)
    assert answer.status_code == 422
    assert said in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert stored_settings.read() == {}


def test_what_the_environment_sets_is_shown_and_cannot_be_changed(admin, fixed):
    text = admin.get("/admin/providers").text
    assert "Set in the environment (TMDB_API_KEY)." in text
    assert "Set in the environment (TMDB_PACE)." in text
    assert KEY not in text
    save(admin, tmdb_api_key="another-key", tmdb_pace="9")
    assert (config.current.tmdb_api_key, config.current.tmdb_pace) == (KEY, 5)


@pytest.mark.parametrize("javascript", [True, False])
def test_a_key_is_tested_before_it_is_saved(admin, standin, javascript):
    answer = ask(admin, javascript=javascript, tmdb_api_key=KEY)
    assert "TMDB accepted the key." in answer.text
    assert standin.tmdb.asked == ["/3/configuration"]
    assert config.current.tmdb_api_key == ""
    answer = ask(admin, javascript=javascript, tmdb_api_key="bad")
    assert "TMDB rejected the key: Invalid API key: You must be granted a valid key" in answer.text


def test_without_javascript_what_was_typed_stays_in_its_field(admin):
    text = ask(admin, javascript=False, tmdb_api_key="bad", tmdb_pace="7").text
    assert 'value="bad"' in text
    assert 'value="7"' in text
    assert "no-store" in ask(admin, javascript=False, tmdb_api_key="bad").headers["Cache-Control"]


def test_a_masked_field_tests_the_key_that_is_stored(admin, standin):
    save(admin, tmdb_api_key="bad")
    masked = server_settings.shown("TMDB_API_KEY").text
    assert "rejected" in ask(admin, tmdb_api_key=masked).text
    save(admin, tmdb_api_key=KEY)
    answer = ask(admin, javascript=False, tmdb_api_key=server_settings.masked(KEY))
    assert "accepted" in answer.text
    assert KEY not in answer.text


def test_a_test_without_a_key_asks_nobody(admin, standin):
    assert "Enter a key first." in ask(admin, tmdb_api_key="").text
    assert "These are only spaces" in ask(admin, tmdb_api_key="  ").text
    assert ask(admin, "imdb", tmdb_api_key=KEY).status_code == 404
    assert standin.tmdb.asked == []


def test_a_test_of_omdbs_key_is_one_call_and_counted_for_that_key(admin, standin):
    save(admin, "omdb", omdb_api_key=KEY)
    assert "OMDb accepted the key." in ask(admin, "omdb", omdb_api_key="another-key").text
    with db.connection_context():
        assert pauses.omdb_calls() == 0
    ask(admin, "omdb", omdb_api_key=server_settings.masked(KEY))
    assert len(standin.omdb.asked) == 2
    assert "Today: 1 call used, 999 left of 1,000." in " ".join(
        admin.get("/admin/providers").text.split()
    )
    save(admin, "omdb", omdb_api_key="another-key")
    with db.connection_context():
        assert pauses.omdb_calls() == 1


def test_a_key_whose_calls_are_used_up_is_a_right_one(admin, standin):
    standin.omdb.fault = "over_quota"
    text = ask(admin, "omdb", omdb_api_key=KEY).text
    assert "OMDb says: Request limit reached! The key is right" in text


@pytest.mark.parametrize(
    ("provider", "fault", "seconds"),
    [("tmdb", "hang", 8), ("tmdb", "trickle", 2), ("omdb", "hang", 2), ("omdb", "trickle", 2)],
)
@pytest.mark.slow
def test_a_provider_that_hangs_is_said_within_eight_seconds(
    admin, standin, provider, fault, seconds, monkeypatch
):
    """The eight of the program once; the others show the same in less."""
    assert lookup_slots.DEADLINE_SECONDS == 8
    monkeypatch.setattr(lookup_slots, "DEADLINE_SECONDS", seconds)
    getattr(standin, provider).fault = fault
    started = time.monotonic()
    answer = ask(admin, provider, **{f"{provider}_api_key": KEY})
    assert time.monotonic() - started < seconds + 0.5
    assert "did not answer in time. Try again in a minute." in answer.text


@pytest.mark.parametrize("fault", ["echo", "html", "list", "truncated", "error", "busy"])
@pytest.mark.parametrize("provider", ["tmdb", "omdb"])
def test_no_answer_brings_the_key_into_a_page_or_the_log(admin, standin, provider, fault, lines):
    getattr(standin, provider).fault = fault
    answer = ask(admin, provider, **{f"{provider}_api_key": KEY})
    assert answer.status_code == 200
    assert 'class="key-test"' in answer.text
    assert KEY not in answer.text
    assert KEY not in "\n".join(lines())


def test_a_provider_that_stopped_says_why_and_is_tried_again(admin, standin):
    save(admin, tmdb_api_key="bad")
    with db.connection_context():
        pauses.stop("tmdb", "TMDB rejected the key: Invalid API key.")
    text = admin.get("/admin/providers").text
    assert "Stopped" in text
    assert "TMDB rejected the key: Invalid API key." in text
    assert admin.post("/admin/providers/tmdb/try-again").status_code == 303
    with db.connection_context():
        assert pauses.in_force() == {}
    assert admin.post("/admin/providers/imdb/try-again").status_code == 404


def test_a_stop_ends_when_the_stored_key_passes_its_test(admin):
    save(admin, tmdb_api_key=KEY)
    with db.connection_context():
        pauses.stop("tmdb", "TMDB rejected the key.")
    ask(admin, tmdb_api_key=server_settings.masked(KEY))
    with db.connection_context():
        assert pauses.in_force() == {}


def test_a_higher_limit_ends_the_pause_that_kept_the_reserve(admin):
    save(admin, "omdb", omdb_api_key=KEY, omdb_daily_limit="100")
    with db.connection_context():
        pauses.pause_until_next_day("omdb", "used up", reserve=True)
        assert set(pauses.in_force()) == {"omdb"}
    save(admin, "omdb", omdb_api_key=server_settings.masked(KEY), omdb_daily_limit="500")
    with db.connection_context():
        assert pauses.in_force() == {}


def test_a_new_key_is_asked_though_the_provider_was_silent(admin, standin):
    save(admin, tmdb_api_key="one-key-of-tmdb")
    silent_providers.remember(pauses.account("tmdb"), "Silent.")
    save(admin, tmdb_api_key=KEY)
    with db.connection_context():
        assert lookups.search("Moonquake")


class TestLanguage:
    @pytest.fixture(autouse=True)
    def filled(self, admin, alice):
        """Alice's film, which TMDB has filled."""
        save(admin, tmdb_api_key=KEY)
        with db.connection_context():
            put(alice, document([film(1)], []))
            later = clock.now() + clock.DAY
            Title.update(tmdb_state="ready", tmdb_fetched_at=1.0, tmdb_retry_at=later).execute()
            enrichment_queue.check_language()

    def due(self):
        with db.connection_context():
            return enrichment_queue.all_due("tmdb").count()

    def test_a_new_one_offers_to_look_all_titles_up_again(self, admin):
        assert "Look up the 1 title again" in " ".join(admin.get("/admin/providers").text.split())
        admin.post("/admin/providers/language", data={"tmdb_language": "de-DE", "again": "1"})
        assert config.current.tmdb_language == "de-DE"
        assert self.due() == 1

    def test_without_the_tick_titles_stay_until_they_are_refreshed(self, admin):
        admin.post("/admin/providers/language", data={"tmdb_language": "de-DE"})
        assert config.current.tmdb_language == "de-DE"
        with db.connection_context():
            enrichment_queue.check_language()
        assert self.due() == 0
        # Only that one change was to be kept.
        admin.post("/admin/providers/language", data={"tmdb_language": "fr", "again": "1"})
        assert self.due() == 1

    def test_the_tick_stays_where_another_form_was_refused(self, admin):
        ticked = 'name="again" value="1" checked'
        answer = admin.post("/admin/providers/omdb", data={"omdb_daily_limit": "x"})
        assert ticked in " ".join(answer.text.split())
        answer = admin.post("/admin/providers/language", data={"tmdb_language": "Klingon!"})
        assert ticked not in " ".join(answer.text.split())

    def test_one_that_is_none_is_refused(self, admin):
        answer = admin.post("/admin/providers/language", data={"tmdb_language": "Klingon!"})
        assert answer.status_code == 422
        assert "write a language such as en-US" in answer.text
        with db.connection_context():
            assert models.setting(enrichment_queue.RENEWAL).get("kept") is None

    def test_a_language_that_changes_in_the_environment_renews_all_titles(self, admin):
        config.use(config.replace(config.base, tmdb_language="it-IT"))
        with db.connection_context():
            enrichment_queue.check_language()
        assert self.due() == 1


def test_the_common_languages_are_offered_and_each_can_be_saved(admin):
    text = admin.get("/admin/providers").text
    for code, called in language.COMMON.items():
        assert f'<option value="{code}">{called}</option>' in text
        assert server_settings.problem_of("TMDB_LANGUAGE", code) is None
