"""Who is let in as whom: sessions, tokens, limits on failed log-ins, and forms from other sites."""

import base64
import dataclasses
import itertools
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from types import SimpleNamespace

import jwt
import limits.storage.memory
import pytest
from peewee import OperationalError

from mm import auth, clock, config, login_limits, maintenance, models
from mm.database import connect, db
from mm.services import accounts
from tests.conftest import PASSWORD, put_in_force

OURS = {"Sec-Fetch-Site": "same-origin"}
WRONG = "wrong horse battery"
DAY = 86400


def page_log_in(client, email="alice@example.org", password=PASSWORD, **form):
    return client.post("/login", data={"email": email, "password": password, **form}, headers=OURS)


def api_log_in(client, email="alice@example.org", password=PASSWORD, **options):
    return client.post("/api/auth/login", json={"email": email, "password": password}, **options)


def bearer(client, **credentials):
    return {"Authorization": f"Bearer {api_log_in(client, **credentials).json['access_token']}"}


def sees_pages(client):
    return client.get("/login").status_code == 303


def sees_api(client, headers):
    return client.get("/api/auth/me", headers=headers).status_code == 200


@pytest.fixture
def moving_clock(frozen_clock, monkeypatch):
    """Also moves the limiter, which keeps its own time."""
    monkeypatch.setattr(limits.storage.memory, "time", SimpleNamespace(time=frozen_clock))
    return frozen_clock


def set_config(monkeypatch, **changes):
    put_in_force(monkeypatch, dataclasses.replace(config.current, **changes))


class TestSessions:
    def test_the_right_password_opens_the_pages_and_a_wrong_one_does_not(self, client, alice):
        assert page_log_in(client, password=WRONG).status_code == 401
        assert not sees_pages(client)
        assert page_log_in(client).status_code == 303
        assert sees_pages(client)

    def test_the_user_name_opens_it_as_well_on_pages_and_api(self, client, alice):
        assert page_log_in(client, email=" Alice ").status_code == 303
        assert api_log_in(client, email="alice").json["user"]["id"] == alice.id
        assert api_log_in(client, email="alice", password=WRONG).status_code == 401

    def test_an_address_is_found_in_any_case_and_with_spaces_around(self, client, alice):
        assert page_log_in(client, email=" ALICE@Example.ORG ").status_code == 303

    def test_logging_out_ends_the_session(self, client, alice):
        page_log_in(client)
        client.post("/logout", headers=OURS)
        assert not sees_pages(client)

    def test_a_copy_of_the_cookie_is_worth_nothing_after_logging_out(self, app, client, alice):
        page_log_in(client, remember="on")
        copy, other = app.test_client(), app.test_client()
        copy.set_cookie("mm_session", client.get_cookie("mm_session").value)
        page_log_in(other)
        assert sees_pages(copy)
        client.post("/logout", headers=OURS)
        assert not sees_pages(copy)
        assert sees_pages(other)

    def test_logging_out_clears_the_cookie_though_the_database_takes_no_mark(
        self, client, alice, monkeypatch, lines
    ):
        def refuse(key):
            raise OperationalError("database is locked")

        page_log_in(client)
        monkeypatch.setattr(accounts, "end_session", refuse)
        answer = client.post("/logout", headers=OURS)
        assert (answer.status_code, answer.location) == (303, "/login")
        assert not sees_pages(client)
        [line] = [line for line in lines() if " session.not_ended " in line]
        assert " ERROR " in line

    def test_logging_out_clears_the_cookie_though_the_database_does_not_answer(
        self, client, alice, tmp_path, settings
    ):
        page_log_in(client)
        connect(f"sqlite:///{tmp_path}/nowhere/mm.db")
        assert client.post("/logout", headers=OURS).status_code == 303
        connect(settings.database)
        assert not sees_pages(client)

    def test_an_ended_session_gets_no_new_cookie(self, app, client, alice):
        page_log_in(client, remember="on")
        copy = app.test_client()
        copy.set_cookie("mm_session", client.get_cookie("mm_session").value)
        client.post("/logout", headers=OURS)
        copy.get("/login")
        assert copy.get_cookie("mm_session") is None

    def test_a_session_without_a_key_from_before_goes_on(self, client, alice):
        with client.session_transaction() as session:
            session["_user_id"] = alice.get_id()
        assert sees_pages(client)
        assert client.post("/logout", headers=OURS).status_code == 303
        assert not sees_pages(client)

    def test_a_session_is_loaded_with_one_query(self, client, alice, monkeypatch):
        page_log_in(client)
        asked, execute = [], db.obj.execute_sql

        def count(sql, *arguments, **options):
            asked.append(sql)
            return execute(sql, *arguments, **options)

        monkeypatch.setattr(db.obj, "execute_sql", count)
        assert sees_pages(client)
        assert len(asked) == 1

    def test_ended_sessions_are_forgotten_when_their_cookies_have_expired(
        self,
        client,
        alice,
        frozen_clock,
    ):
        page_log_in(client)
        client.post("/logout", headers=OURS)
        frozen_clock.move(30 * DAY - 1)
        accounts.sweep()
        assert models.EndedSession.select().count() == 1
        frozen_clock.move(2)
        accounts.sweep()
        assert models.EndedSession.select().count() == 0

    def test_the_cookie_is_hidden_from_scripts_and_other_sites_and_ends_with_the_browser(
        self, client, alice
    ):
        cookie = page_log_in(client).headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "Secure" not in cookie
        assert "Expires" not in cookie

    def test_a_remembered_log_in_is_kept_for_30_days(self, client, alice):
        page_log_in(client, remember="on")
        kept = client.get_cookie("mm_session").expires.timestamp() - clock.now()
        assert 29.9 * DAY < kept < 30.1 * DAY

    def test_a_cookie_given_over_https_is_never_sent_without_it(self, client, alice):
        form = {"email": "alice@example.org", "password": PASSWORD, "remember": "on"}
        answer = client.post("/login", data=form, headers=OURS, base_url="https://movies.example")
        assert "Secure" in answer.headers["Set-Cookie"]

    def test_a_session_ends_when_the_token_version_is_raised(self, client, alice):
        page_log_in(client, remember="on")
        accounts.end_sessions(alice)
        assert not sees_pages(client)

    def test_a_session_ends_when_the_account_is_deactivated(self, client, alice):
        page_log_in(client)
        models.User.update(is_active=False).execute()
        assert not sees_pages(client)
        assert page_log_in(client).status_code == 401

    @pytest.mark.parametrize("cookie", ["", "x", "x|y", "é|é", '"\\303\\251|\\377"', "a.b.c"])
    def test_a_cookie_of_somebody_elses_making_is_nobody(self, client, alice, cookie):
        raw = f"mm_session={cookie}; remember_token={cookie}".encode().decode("latin-1")
        assert client.get("/login", environ_overrides={"HTTP_COOKIE": raw}).status_code == 200

    def test_logging_in_ends_the_session_that_was_there(self, client, alice, bob):
        page_log_in(client)
        with client.session_transaction() as session:
            session["of"] = "alice"
        page_log_in(client, email="bob@example.org")
        with client.session_transaction() as session:
            assert session["_user_id"].startswith(bob.id)
            assert "of" not in session

    def test_a_password_is_compared_to_its_last_character(self, client, alice):
        longest = "x" * accounts.PASSWORD_MAX
        accounts.set_password(alice, longest)
        assert page_log_in(client, password=longest + "x").status_code == 401
        assert page_log_in(client, password=longest).status_code == 303


class TestSurfaces:
    def test_the_api_takes_no_session(self, client, alice):
        page_log_in(client, remember="on")
        assert client.get("/api/auth/me").status_code == 401

    def test_a_page_takes_no_token(self, client, alice):
        headers = bearer(client)
        assert client.get("/login", headers=headers).status_code == 200

    def test_a_token_counts_beside_another_accounts_session(self, client, alice, bob):
        page_log_in(client, remember="on")
        client.set_cookie("remember_token", f"{alice.get_id()}|forged")
        answer = client.get("/api/auth/me", headers=bearer(client, email="bob@example.org"))
        assert answer.json["email"] == "bob@example.org"

    def test_a_request_to_the_api_sets_no_cookie(self, client, alice):
        answer = api_log_in(client)
        assert "Set-Cookie" not in answer.headers

    def test_a_page_sends_who_is_nobody_to_the_log_in_and_back(self, client, alice):
        answer = client.get("/backup?job=1")
        assert answer.status_code in (302, 303)
        assert answer.location == "/login?next=/backup?job%3D1"

    def test_a_fragment_sends_its_page_to_the_log_in(self, client, alice):
        htmx = {
            "HX-Request": "true",
            "HX-Request-Type": "partial",
            "HX-Current-URL": "http://localhost/backup",
        }
        answer = client.get("/backup/history", headers=htmx)
        assert answer.status_code == 401
        assert answer.headers["HX-Redirect"] == "/login?next=/backup"

    @pytest.mark.parametrize("path", ["/api/auth/me", "/backup"])
    def test_a_database_that_does_not_answer_is_not_a_bad_log_in(
        self, client, alice, tmp_path, path
    ):
        headers = bearer(client)
        page_log_in(client)
        connect(f"sqlite:///{tmp_path}/nowhere/mm.db")
        assert client.get(path, headers=headers).status_code == 503


class TestTokens:
    def test_a_token_is_good_for_30_days(self, client, alice, frozen_clock):
        headers = bearer(client)
        frozen_clock.move(30 * DAY - 1)
        assert sees_api(client, headers)
        frozen_clock.move(2)
        assert not sees_api(client, headers)

    def test_a_token_ends_when_the_token_version_is_raised(self, client, alice):
        headers = bearer(client)
        accounts.set_password(alice, "another horse")
        assert not sees_api(client, headers)

    def test_a_token_ends_when_the_account_is_deactivated_or_removed(self, client, alice, bob):
        of_alice, of_bob = bearer(client), bearer(client, email="bob@example.org")
        models.User.update(is_active=False).where(models.User.id == alice.id).execute()
        accounts.remove(bob)
        assert not sees_api(client, of_alice)
        assert not sees_api(client, of_bob)

    def test_a_token_of_another_server_is_refused(self, app, client, alice):
        claims = {"sub": alice.id, "ver": 0, "exp": 4102444800}
        forged = [
            jwt.encode(claims, "k" * 64, algorithm="HS256"),
            jwt.encode(claims, None, algorithm="none"),
            jwt.encode(claims, app.config["SECRET_KEY"], algorithm="HS384"),
        ]
        assert not any(sees_api(client, {"Authorization": f"Bearer {token}"}) for token in forged)

    @pytest.mark.parametrize("missing", ["sub", "ver", "exp"])
    def test_a_token_without_one_of_its_claims_is_refused(self, app, client, alice, missing):
        claims = {"sub": alice.id, "ver": 0, "exp": 4102444800}
        del claims[missing]
        token = jwt.encode(claims, app.config["SECRET_KEY"], algorithm="HS256")
        assert not sees_api(client, {"Authorization": f"Bearer {token}"})

    @pytest.mark.parametrize(
        "header", ["", "Bearer", "Bearer ", "Bearer x", "Basic YTpi", "Bearer é.é.é"]
    )
    def test_what_is_no_token_is_not_authenticated(self, client, header):
        answer = client.get(
            "/api/auth/me", headers={"Authorization": header.encode().decode("latin-1")}
        )
        assert answer.status_code == 401
        assert answer.json == {"detail": "Not authenticated"}
        assert answer.headers["WWW-Authenticate"] == "Bearer"

    def test_a_token_whose_header_is_nested_without_end_is_refused(self, client):
        header = base64.urlsafe_b64encode(b'{"alg":' + b"[" * 50_000).decode().rstrip("=")
        assert not sees_api(client, {"Authorization": f"Bearer {header}.e30.x"})

    def test_the_word_bearer_is_taken_in_any_case(self, client, alice):
        token = bearer(client)["Authorization"].split()[1]
        assert sees_api(client, {"Authorization": f"bearer {token}"})


class TestAdminToken:
    @pytest.fixture
    def settings(self, tmp_path):
        return config.Config(data_dir=tmp_path / "data", admin_token="open sesame")

    def log_in(self, client, token="open sesame", **options):
        return client.post("/api/auth/admin/login", json={"token": token}, **options)

    def headers(self, client):
        return {"Authorization": f"Bearer {self.log_in(client).json['access_token']}"}

    def test_it_opens_what_administrators_may_do(self, client, alice):
        answer = client.get("/api/auth/admin/users", headers=self.headers(client))
        assert [user["email"] for user in answer.json] == ["alice@example.org"]

    def test_it_has_no_library(self, client):
        headers = self.headers(client)
        for path in ("/api/auth/me", "/api/backup/export", "/api/backup/list"):
            assert client.get(path, headers=headers).status_code == 403

    def test_a_wrong_one_is_refused_and_counted(self, client):
        answers = [self.log_in(client, token="öpen") for _ in range(11)]
        assert answers[0].json == {"detail": "Invalid admin token"}
        assert [answer.status_code for answer in answers] == [401] * 10 + [429]

    def test_a_restore_of_the_server_in_between_is_no_failed_log_in(self, client, monkeypatch):
        def restored(*args):
            raise maintenance.RestoredError

        with monkeypatch.context() as during:
            during.setattr(accounts, "log_in", restored)
            for _ in range(11):
                assert api_log_in(client).status_code == 503
        assert api_log_in(client).status_code == 401

    def test_strangers_do_not_close_it_where_it_was_used_before(self, client):
        home, new = ({"environ_base": {"REMOTE_ADDR": ip}} for ip in ("192.0.2.7", "192.0.2.8"))
        assert self.log_in(client, **home).status_code == 200
        for number in range(50):
            stranger = {"REMOTE_ADDR": f"198.51.100.{number}"}
            assert self.log_in(client, token="guess", environ_base=stranger).status_code == 401
        assert self.log_in(client, **new).status_code == 429
        assert self.log_in(client, **home).status_code == 200

    def test_without_one_on_the_server_it_is_unavailable(self, client, monkeypatch):
        set_config(monkeypatch, admin_token="")
        assert self.log_in(client, token="").status_code == 503

    def test_it_is_good_for_12_hours(self, client, frozen_clock):
        headers = self.headers(client)
        frozen_clock.move(12 * 3600 - 1)
        assert client.get("/api/auth/admin/users", headers=headers).status_code == 200
        frozen_clock.move(2)
        assert client.get("/api/auth/admin/users", headers=headers).status_code == 401

    def test_it_ends_when_the_whole_server_is_restored(self, client, app):
        headers = self.headers(client)
        for epoch in (1_771_000_000.0, 1_771_000_000.5):
            with db.connection_context():
                models.put_setting(models.EPOCH, epoch)
            assert client.get("/api/auth/admin/users", headers=headers).status_code == 401
            headers = self.headers(client)
            assert client.get("/api/auth/admin/users", headers=headers).status_code == 200

    @pytest.mark.slow
    def test_it_is_not_called_wrong_while_the_database_does_not_answer(self, client, monkeypatch):
        headers = self.headers(client)

        def locked():
            raise OperationalError("database is locked")

        monkeypatch.setattr(models, "epoch", locked)
        answer = client.get("/api/auth/admin/users", headers=headers)
        assert (answer.status_code, self.log_in(client).status_code) == (503, 503)
        assert "does not answer" in answer.json["detail"]

    def test_it_ends_when_the_server_gets_another(self, client, monkeypatch):
        headers = self.headers(client)
        set_config(monkeypatch, admin_token="open barley")
        assert client.get("/api/auth/admin/users", headers=headers).status_code == 401


class TestFailedLogIns:
    def fail(self, client, times, **options):
        return [api_log_in(client, password=WRONG, **options).status_code for _ in range(times)]

    def test_after_ten_even_the_right_password_waits_on_pages_and_api(
        self, client, alice, moving_clock
    ):
        assert self.fail(client, 5) == [401] * 5
        assert [page_log_in(client, password=WRONG).status_code for _ in range(5)] == [401] * 5
        for answer in (api_log_in(client), page_log_in(client)):
            assert answer.status_code == 429
            assert answer.headers["Retry-After"] == "900"

    def test_after_15_minutes_they_are_forgotten(self, client, alice, moving_clock):
        self.fail(client, 10)
        moving_clock.move(899)
        answer = api_log_in(client)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
        assert answer.json["detail"] == "Too many failed log-ins. Try again in 1 minute."
        moving_clock.move(2)
        assert api_log_in(client).status_code == 200

    def test_log_ins_that_succeed_are_counted_loosely(self, client, alice, bob):
        assert {api_log_in(client).status_code for _ in range(60)} == {200}
        answer = api_log_in(client)
        assert answer.status_code == 429
        assert answer.json["detail"].startswith("Too many log-ins. Try again in 15 minutes")
        assert api_log_in(client, email="bob@example.org").status_code == 200

    def test_one_address_is_stopped_for_all_accounts(self, client, alice, bob):
        self.fail(client, 10)
        assert api_log_in(client, email="bob@example.org").status_code == 429

    def guess_from_everywhere(self, client, times, **options):
        for number in range(times):
            self.fail(client, 1, environ_base={"REMOTE_ADDR": f"192.0.2.{number}"}, **options)

    def test_ten_guesses_of_strangers_do_not_close_an_account(self, client, alice):
        self.fail(client, 10, environ_base={"REMOTE_ADDR": "192.0.2.1"})
        assert api_log_in(client, environ_base={"REMOTE_ADDR": "192.0.2.99"}).status_code == 200

    def test_an_account_is_closed_for_all_addresses_after_fifty(self, client, alice):
        self.guess_from_everywhere(client, 50)
        assert api_log_in(client, environ_base={"REMOTE_ADDR": "192.0.2.99"}).status_code == 429

    @pytest.mark.slow
    def test_both_names_of_an_account_count_as_one(self, client, alice):
        self.guess_from_everywhere(client, 25)
        self.guess_from_everywhere(client, 25, email="ALICE")
        assert api_log_in(client, environ_base={"REMOTE_ADDR": "192.0.2.99"}).status_code == 429

    @pytest.mark.slow
    def test_where_its_owner_has_logged_in_before_an_account_stays_open(self, client, alice, bob):
        home = {"REMOTE_ADDR": "198.51.100.7"}
        assert api_log_in(client, environ_base=home).status_code == 200
        self.guess_from_everywhere(client, 50)
        assert api_log_in(client, environ_base=home).status_code == 200
        self.guess_from_everywhere(client, 50, email="bob")
        assert api_log_in(client, email="bob", environ_base=home).status_code == 429

    def test_an_unknown_account_is_stopped_in_the_same_way_and_words(self, client, alice):
        known, unknown = (
            api_log_in(client, password=WRONG),
            api_log_in(client, email="nobody@example.org"),
        )
        assert (known.status_code, known.json) == (unknown.status_code, unknown.json)
        assert unknown.json == {"detail": "Incorrect email or password"}

    def test_a_refusal_is_logged_without_what_was_typed(self, client, alice, capsys):
        self.fail(client, 1)
        self.fail(client, 1, email="nobody@example.org")
        known, unknown = capsys.readouterr().err.splitlines()
        assert known.endswith(f"WARNING login.refused user={alice.id} network=127.0.0.1")
        assert unknown.endswith("WARNING login.refused network=127.0.0.1")

    def test_an_unknown_account_costs_the_work_of_a_wrong_password(
        self, client, alice, monkeypatch
    ):
        checked = []
        monkeypatch.setattr(
            accounts, "check_password_hash", lambda stored, _: checked.append(stored.split("$")[0])
        )
        self.fail(client, 1)
        self.fail(client, 1, email="nobody@example.org")
        assert checked[0] == checked[1]

    def test_an_ipv6_network_is_one_address(self, client, alice):
        for last in range(10):
            self.fail(
                client,
                1,
                email=f"{last}@example.org",
                environ_base={"REMOTE_ADDR": f"2001:db8::{last:x}"},
            )
        assert api_log_in(client, environ_base={"REMOTE_ADDR": "2001:db8::ffff"}).status_code == 429
        assert (
            api_log_in(client, environ_base={"REMOTE_ADDR": "2001:db8:0:1::1"}).status_code == 200
        )

    def test_an_ipv4_client_is_itself_where_the_server_listens_on_ipv6(self, client, alice):
        self.fail(client, 10, environ_base={"REMOTE_ADDR": "::ffff:192.0.2.1"})
        neighbour = {"REMOTE_ADDR": "::ffff:192.0.2.2"}
        assert api_log_in(client, environ_base=neighbour).status_code == 200
        assert api_log_in(client, environ_base={"REMOTE_ADDR": "192.0.2.1"}).status_code == 429

    def test_sixty_at_once_are_counted_one_by_one(self, app, alice):
        """Who is told that too many are logging in at this moment tries again."""

        def guess(_):
            speaker = app.test_client()
            while "at this moment" in (answer := api_log_in(speaker, password=WRONG)).text:
                time.sleep(0.01)
            return answer.status_code

        with ThreadPoolExecutor(60) as threads:
            answers = list(threads.map(guess, range(60)))
        assert sorted(answers) == [401] * 10 + [429] * 50

    def test_no_more_than_six_are_in_it_and_the_rest_are_told_at_once(
        self,
        app,
        alice,
        monkeypatch,
    ):
        go_on, at_once, most = threading.Event(), [], []

        def slow(*_):
            at_once.append(1)
            most.append(len(at_once))
            go_on.wait(10)
            at_once.pop()
            return True

        monkeypatch.setattr(accounts, "check_password_hash", slow)
        with ThreadPoolExecutor(16) as threads:
            answers = [threads.submit(api_log_in, app.test_client()) for _ in range(16)]
            # Ten are answered while nobody has got through.
            refused = list(itertools.islice(as_completed(answers, timeout=10), 10))
            go_on.set()
        assert {answer.result().status_code for answer in refused} == {429}
        assert refused[0].result().headers["Retry-After"] == "2"
        assert sorted(answer.result().status_code for answer in answers) == [200] * 6 + [429] * 10
        assert max(most) == 2

    def test_a_forwarded_address_is_not_believed(self, client, alice):
        for last in range(10):
            self.fail(
                client,
                1,
                headers={"X-Forwarded-For": f"192.0.2.{last}"},
                email=f"{last}@example.org",
            )
        assert api_log_in(client, headers={"X-Forwarded-For": "192.0.2.99"}).status_code == 429

    def test_a_wrong_current_password_is_counted_too(self, client, alice):
        headers = bearer(client)
        change = {"current": WRONG, "new": "another horse"}
        answers = [
            client.put("/api/auth/password", json=change, headers=headers).status_code
            for _ in range(11)
        ]
        assert answers == [400] * 10 + [429]


class TestBehindAProxy:
    @pytest.fixture
    def settings(self, tmp_path):
        return config.Config(data_dir=tmp_path / "data", trusted_proxies=1)

    def test_the_address_the_proxy_saw_counts(self, client, alice):
        for last in range(10):
            forwarded = {"X-Forwarded-For": f"198.51.100.{last}, 192.0.2.1"}
            assert (
                api_log_in(client, email=f"{last}@example.org", headers=forwarded).status_code
                == 401
            )
        assert api_log_in(client, headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 429
        assert api_log_in(client, headers={"X-Forwarded-For": "192.0.2.2"}).status_code == 200

    def test_its_https_makes_the_cookie_secure_and_its_host_our_own(self, client, alice):
        forwarded = {
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "movies.example",
            "Origin": "https://movies.example",
        }
        form = {"email": "alice@example.org", "password": PASSWORD}
        answer = client.post("/login", data=form, headers=forwarded)
        assert answer.status_code == 303
        assert "Secure" in answer.headers["Set-Cookie"]

    @pytest.mark.parametrize(
        "address, network",
        [
            ("192.0.2.1:5555", "192.0.2.1"),
            ("[2001:db8::1]:99", "2001:db8::/64"),
            ("[2001:db8::1]", "2001:db8::/64"),
            ("fe80::1%eth0", "fe80::/64"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("non:sense", "unknown"),
            ("192.0.2.1:5555:1", "unknown"),
            ("_hidden", "unknown"),
            ("", "unknown"),
            (None, "unknown"),
        ],
    )
    def test_an_address_is_understood_with_a_port_and_nonsense_is_one_network(
        self,
        client,
        alice,
        address,
        network,
    ):
        assert login_limits.network_of(address) == network
        forwarded = {"X-Forwarded-For": address} if address else {}
        assert api_log_in(client, password=WRONG, headers=forwarded).status_code == 401


class TestForeignForms:
    @pytest.mark.parametrize(
        "headers, status",
        [
            ({"Sec-Fetch-Site": "same-origin"}, 303),
            ({"Sec-Fetch-Site": "none"}, 303),
            ({"Sec-Fetch-Site": "same-site"}, 403),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Sec-Fetch-Site": ""}, 403),
            ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"}, 403),
            ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, 303),
            ({"Origin": "http://localhost"}, 303),
            ({"Origin": "https://localhost"}, 403),
            ({"Origin": "http://localhost:8000"}, 403),
            ({"Origin": "http://localhost.evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Referer": "http://localhost/login"}, 403),
            ({"X-Forwarded-Host": "evil.example", "Origin": "http://evil.example"}, 403),
            ({}, 403),
        ],
    )
    def test_only_our_own_pages_may_log_in(self, client, alice, headers, status):
        form = {"email": "alice@example.org", "password": PASSWORD}
        assert client.post("/login", data=form, headers=headers).status_code == status

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
    def test_every_unsafe_method_is_checked_before_anything_else(self, client, method):
        assert client.open("/no/such/page", method=method).status_code == 403

    def test_the_api_has_no_cookie_to_be_misused(self, client, alice):
        assert api_log_in(client, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


class TestNext:
    @pytest.mark.parametrize(
        "path", ["/", "/backup", "/backup?job=1&x=%2F", "/movies/tt0111161#votes", "/ä"]
    )
    def test_a_path_of_this_site_is_followed(self, path):
        assert auth.local_path(path) == path

    @pytest.mark.parametrize(
        "target",
        [
            "",
            None,
            "//evil",
            "/\\evil",
            "\\/evil",
            "https://evil",
            "https:evil",
            "evil",
            "javascript:alert(1)",
            "/\t/evil",
            "/\n/evil",
            "\t//evil",
            " //evil",
            "///evil",
            "/\x00",
            "?x",
        ],
    )
    def test_anything_else_leads_to_the_start(self, target):
        assert auth.local_path(target) == "/"

    def test_the_log_in_leads_back(self, client, alice):
        assert page_log_in(client, next="/backup").location == "/backup"
        assert page_log_in(client, next="//evil").location == "/"


class TestSecrets:
    def test_neither_passwords_nor_tokens_are_logged(self, client, alice, caplog):
        caplog.set_level(logging.DEBUG)
        headers = bearer(client)
        api_log_in(client, password=WRONG)
        client.post("/api/auth/login", json={"email": 1, "password": WRONG})
        client.get("/api/backup/nothing", headers=headers)
        assert PASSWORD not in caplog.text
        assert WRONG not in caplog.text
        assert headers["Authorization"].split()[1] not in caplog.text
