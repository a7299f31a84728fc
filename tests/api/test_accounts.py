"""/api/auth: logging in, one's own account, and everybody's for administrators."""

import pytest

from mm import config, models
from mm.services import accounts
from tests.conftest import PASSWORD

QUICK = {"youtube", "oscar", "random_person", "google"}


def log_in(client, email, password=PASSWORD):
    return client.post("/api/auth/login", json={"email": email, "password": password})


class TestOwnAccount:
    def test_a_log_in_answers_a_token_and_the_account(self, client, alice):
        answer = log_in(client, alice.email)
        assert answer.status_code == 200
        assert answer.json["token_type"] == "bearer"
        assert answer.json["user"] == {
            "id": alice.id,
            "email": "alice@example.org",
            "username": "alice",
            "created_at": alice.created_at,
            "is_active": True,
        }
        headers = {"Authorization": f"Bearer {answer.json['access_token']}"}
        assert client.get("/api/auth/me", headers=headers).json == answer.json["user"]

    def test_unknown_keys_are_ignored(self, client, alice):
        body = {"email": alice.email, "password": PASSWORD, "device": {"os": "iOS"}}
        assert client.post("/api/auth/login", json=body).status_code == 200

    def test_logging_out_everywhere_ends_every_token(self, as_user, alice):
        phone, tablet = as_user(alice), as_user(alice)
        answer = phone.post("/api/auth/logout-all")
        assert (answer.status_code, answer.data) == (204, b"")
        assert phone.get("/api/auth/me").status_code == 401
        assert tablet.get("/api/auth/me").status_code == 401

    def test_a_changed_password_ends_the_old_tokens_and_answers_a_new_one(
        self, client, as_user, alice
    ):
        old = as_user(alice)
        answer = old.put("/api/auth/password", json={"current": PASSWORD, "new": "another horse"})
        assert answer.status_code == 200
        assert old.get("/api/auth/me").status_code == 401
        headers = {"Authorization": f"Bearer {answer.json['access_token']}"}
        assert client.get("/api/auth/me", headers=headers).status_code == 200
        assert log_in(client, alice.email).status_code == 401
        assert log_in(client, alice.email, "another horse").status_code == 200

    def test_a_password_needs_the_current_one_and_eight_characters(self, as_user, alice):
        wrong = as_user(alice).put(
            "/api/auth/password", json={"current": "guess", "new": "another horse"}
        )
        assert (wrong.status_code, wrong.json) == (
            400,
            {"detail": "The current password is incorrect"},
        )
        short = as_user(alice).put(
            "/api/auth/password", json={"current": PASSWORD, "new": "1234567"}
        )
        words = "A password has 8 to 500 characters."
        assert (short.status_code, short.json) == (422, {"detail": words})


class TestManagingAccounts:
    URL = "/api/auth/admin/users"
    NEW = {"email": "dora@example.org", "username": "dora", "password": PASSWORD}

    def test_a_new_account_can_log_in_and_has_the_quick_recommenders(self, client, as_user, carol):
        answer = as_user(carol).post(self.URL, json=self.NEW)
        assert answer.status_code == 201
        assert (
            answer.json.items()
            >= {"email": "dora@example.org", "username": "dora", "is_active": True}.items()
        )
        assert "password_hash" not in answer.json
        assert log_in(client, "dora@example.org").status_code == 200
        people = models.Person.select().where(models.Person.user == answer.json["id"])
        assert {person.quick_key for person in people} == QUICK

    def test_a_new_account_may_be_an_administrator_from_the_start(self, as_user, carol):
        answer = as_user(carol).post(self.URL, json=self.NEW | {"is_admin": True})
        assert answer.json["is_admin"] is True
        assert as_user(models.user_by_name("dora")).get(self.URL).status_code == 200

    @pytest.mark.parametrize(
        "change, status, detail",
        [
            ({"email": "CAROL@example.org"}, 400, "Email already registered"),
            ({"username": "Carol"}, 400, "Username already taken"),
            ({"email": "dora"}, 422, "'dora' is not an email address."),
            ({"email": "dora@example.org\nBcc: x@y"}, 422, "is not an email address."),
            ({"password": "1234567"}, 422, "A password has 8 to 500 characters."),
            ({"password": "1" * 501}, 422, "A password has 8 to 500 characters."),
            ({"username": ""}, 422, "A username has 1 to 100 printable characters"),
            ({"username": "a@b"}, 422, "A username has 1 to 100 printable characters"),
        ],
    )
    def test_an_invalid_account_is_refused_with_the_reason(
        self, as_user, carol, change, status, detail
    ):
        answer = as_user(carol).post(self.URL, json=self.NEW | change)
        assert answer.status_code == status
        assert detail in answer.json["detail"]
        assert len(accounts.listing()) == 1

    def test_accounts_are_listed_oldest_first(self, as_user, alice, carol):
        users = as_user(carol).get(self.URL).json
        assert [(user["username"], user["is_admin"]) for user in users] == [
            ("alice", False),
            ("carol", True),
        ]

    def test_deactivating_ends_sessions_for_good(self, as_user, alice, carol):
        phone = as_user(alice)
        as_user(carol).put(f"{self.URL}/{alice.id}", json={"is_active": False})
        assert phone.get("/api/auth/me").status_code == 401
        answer = as_user(carol).put(f"{self.URL}/{alice.id}", json={"is_active": True})
        assert answer.json["is_active"] is True
        assert phone.get("/api/auth/me").status_code == 401

    def test_an_administrator_sets_a_password_and_makes_another_administrator(
        self, client, as_user, alice, carol
    ):
        change = {"password": "another horse", "is_admin": True, "is_active": None}
        assert as_user(carol).put(f"{self.URL}/{alice.id}", json=change).json["is_admin"] is True
        assert log_in(client, alice.email, "another horse").status_code == 200

    def test_a_refused_change_changes_nothing(self, client, as_user, carol):
        answer = as_user(carol).put(
            f"{self.URL}/{carol.id}", json={"password": "another horse", "is_admin": False}
        )
        assert answer.status_code == 409
        assert "last active administrator" in answer.json["detail"]
        assert log_in(client, carol.email).status_code == 200

    def test_removing_an_account_keeps_its_backups_and_says_where(self, as_user, alice, carol):
        as_user(alice).post("/api/backup/create")
        answer = as_user(carol).delete(f"{self.URL}/{alice.id}")
        folder = config.current.backups_dir / alice.id
        assert answer.json == {"backups": str(folder)}
        assert list(folder.glob("*-manual.json"))
        assert as_user(carol).get(f"{self.URL}").json[0]["username"] == "carol"
        assert not models.Person.select().where(models.Person.user == alice.id).exists()

    def test_removing_an_account_is_logged_with_who_did_it(self, as_user, alice, carol, capsys):
        as_user(carol).delete(f"{self.URL}/{alice.id}")
        assert f"account.removed user={alice.id} by={carol.id}" in capsys.readouterr().err

    def test_removing_an_account_without_backups_says_so(self, as_user, alice, carol):
        assert as_user(carol).delete(f"{self.URL}/{alice.id}").json == {"backups": None}

    @pytest.mark.parametrize("method", ["put", "delete"])
    def test_an_unknown_account_is_not_found(self, as_user, carol, method):
        answer = getattr(as_user(carol), method)(
            f"{self.URL}/nobody", **({"json": {}} if method == "put" else {})
        )
        assert (answer.status_code, answer.json) == (404, {"detail": "No account has this id."})
