"""The page of a list that is shown by a link, and the owner's page of the link, without a
browser."""

import json
import re

import pytest
from playhouse.test_utils import count_queries

from mm import auth, config
from mm.models import ListFilm, ListShare, Title
from mm.services import accounts
from mm.services.library import bulk, lists, movies, people, shares
from tests.support.libraries import document, film, put, seen
from tests.support.standin import picture

HOSTILE = "<script>alert(1)</script>\u202e{{ 7*7 }}"


@pytest.fixture
def winter(alice):
    """Two films, one of them with a poster that is kept here."""
    put(alice, document([film(1, title="Stalker", year=1979, note="My own note."), seen(2)]))
    made = lists.create(alice.id, "Winter", color="#1864ab", description="For long evenings.")
    bulk.put_on_list(alice.id, ["tt0000001", "tt0000002"], made.id)
    Title.update(title="Solaris", year=1972, imdb_rating=8.0, poster_path="/kept.png").where(
        Title.imdb_id == "tt0000002"
    ).execute()
    ListFilm.update(note="With snow.").where(ListFilm.custom_list == made).execute()
    people.create(alice.id, "Zoe")
    movies.recommend(alice.id, "tt0000001", "Zoe")
    folder = config.current.posters_dir / "w342"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kept.png").write_bytes(picture("kept"))
    return made


@pytest.fixture
def stranger(app):
    client = app.test_client()
    client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    return client


def share(row, **values):
    return f"/shared/{shares.share(row.user_id, row.id, **values).token}"


class TestWhoeverHasTheLink:
    def test_sees_the_films_in_order_and_nothing_else_of_the_owner(self, stranger, winter, alice):
        answer = stranger.get(share(winter))
        assert answer.status_code == 200
        assert re.findall(r"<bdi>([^<]+)</bdi></h2>", answer.text) == ["Stalker", "Solaris"]
        assert "Winter" in answer.text
        assert "2 films" in answer.text
        assert alice.username in answer.text
        private = (alice.email, "Zoe", "My own note.", "8.5", "With snow.", "For long evenings.")
        assert [words for words in private if words in answer.text] == []

    def test_sees_notes_and_description_where_they_are_shown(self, stranger, winter):
        address = share(winter, shows_notes=True)
        for page in (address, f"{address}?view=print"):
            text = stranger.get(page).text
            assert text.count("With snow.") == 2
            assert "For long evenings." in text
            assert "My own note." not in text

    def test_gets_a_page_that_is_found_by_nobody_and_kept_nowhere(self, stranger, winter):
        address = share(winter)
        for path in ("", "/list.json", "/posters/w342/kept.png", "?view=print"):
            answer = stranger.get(address + path, buffered=True)
            assert answer.headers["X-Robots-Tag"] == "noindex, nofollow"
            assert answer.headers["Referrer-Policy"] == "same-origin"
            is_picture = "posters" in path
            assert ("no-store" in answer.headers["Cache-Control"]) is not is_picture
        text = stranger.get(address).text
        assert '<meta name="robots" content="noindex, nofollow">' in text
        assert text.count("<script") == 0
        assert "data-version" not in text
        assert "data-socket" not in text

    def test_sees_the_posters_of_that_list_alone(self, stranger, winter, alice):
        address = share(winter)
        shown = stranger.get(address).text
        assert f'src="{address}/posters/w342/kept.png"' in shown
        answer = stranger.get(f"{address}/posters/w342/kept.png", buffered=True)
        assert (answer.status_code, answer.mimetype) == (200, "image/png")
        other = share(lists.create(alice.id, "Other"))
        for path in (f"{other}/posters/w342/kept.png", f"{address}/posters/w780/kept.png"):
            assert stranger.get(path).status_code == 404
        assert stranger.get("/posters/w342/kept.png").location.startswith("/login")
        movies.set_status(alice.id, "tt0000002", "deleted")
        assert stranger.get(f"{address}/posters/w342/kept.png").status_code == 404

    def test_gets_the_file_with_notes_only_where_they_are_shown(self, stranger, winter):
        address = share(winter)
        answer = stranger.get(f"{address}/list.json")
        assert re.fullmatch(
            r"attachment; filename=lists-export-\d{4}-\d\d-\d\d\.json",
            answer.headers["Content-Disposition"],
        )
        file = json.loads(answer.data)
        assert (file["metadata"]["export_type"], file["metadata"]["item_count"]) == ("lists", 1)
        [row] = file["items"]
        assert (row["name"], row["description"]) == ("Winter", None)
        assert [each["imdb_id"] for each in row["films"]] == ["tt0000001", "tt0000002"]
        assert "With snow." not in answer.text
        assert share(winter, shows_notes=True) == address
        answer = stranger.get(f"{address}/list.json")
        assert json.loads(answer.data)["items"][0]["description"] == "For long evenings."
        assert answer.text.count("With snow.") == 2

    def test_logs_in_and_comes_back(self, stranger, winter):
        address = share(winter)
        log_in = f"/login?next={address}"
        assert f'href="{log_in}"' in stranger.get(address).text
        assert stranger.post(f"{address}/add").location == log_in

    def test_hostile_words_are_words(self, stranger, alice):
        put(alice, document([film(1, title=HOSTILE)]))
        made = lists.create(alice.id, HOSTILE, description=HOSTILE, icon="<b>")
        bulk.put_on_list(alice.id, ["tt0000001"], made.id)
        address = share(made, shows_notes=True)
        for page in (address, f"{address}?view=print"):
            text = stranger.get(page).text
            assert "<script" not in text
            assert "<b>" not in re.sub(r"<b><bdi>|<b>Movie Manager", "", text)
            assert "49" not in re.sub(r"/static/\S+", "", text)
            assert "<bdi>&lt;script&gt;" in text

    def test_reads_long_lists_page_by_page_and_prints_them_whole(
        self, stranger, alice, monkeypatch
    ):
        put(alice, document([film(number) for number in range(1, 8)]))
        made = lists.create(alice.id, "Long")
        bulk.put_on_list(alice.id, [f"tt000000{number}" for number in range(1, 8)], made.id)
        address = share(made)
        monkeypatch.setattr(shares, "PAGE_SIZE", 3)
        found = []
        for number in (1, 2, 3):
            text = stranger.get(f"{address}?page={number}").text
            assert f"Page {number} of 3" in text
            found += re.findall(r"<bdi>(tt\d+)</bdi>", text)
        assert found == [f"tt000000{number}" for number in range(1, 8)]
        assert "no films on this page" in stranger.get(f"{address}?page=9").text
        assert stranger.get(f"{address}?view=print").text.count("<li>") == 7
        for odd in ("page=-1", "page=x", "page=99999999999999999999"):
            assert stranger.get(f"{address}?{odd}").status_code == 200

    def test_prints_a_very_long_list_in_parts(self, stranger, winter, monkeypatch):
        address = f"{share(winter)}?view=print"
        monkeypatch.setattr(shares, "PRINT_SIZE", 1)
        first, second = stranger.get(address).text, stranger.get(f"{address}&page=2").text
        assert [name in first for name in ("Stalker", "Solaris", "Page 2 of 2")] == [1, 0, 1]
        assert [name in second for name in ("Stalker", "Solaris", "Page 3")] == [0, 1, 0]
        assert 'start="2"' in second

    def test_waits_for_a_turn_to_get_all_films_of_a_long_list(self, stranger, winter, monkeypatch):
        monkeypatch.setattr(shares, "TURN_SECONDS", 0)
        address = share(winter)
        whole = (f"{address}?view=print", f"{address}/list.json")
        with shares.turn:
            assert [stranger.get(path).status_code for path in whole] == [200, 200]
            monkeypatch.setattr(shares, "PAGE_SIZE", 1)
            for path in whole:
                answer = stranger.get(path)
                assert answer.status_code == 503
                assert "Others are opening a long list" in answer.text
            assert stranger.get(address).status_code == 200
        assert [stranger.get(path).status_code for path in whole] == [200, 200]

    def test_a_page_of_many_films_asks_no_more_than_one_of_few(self, stranger, alice):
        put(alice, document([film(number) for number in range(1, 101)]))
        one, many = lists.create(alice.id, "One"), lists.create(alice.id, "Many")
        bulk.put_on_list(alice.id, ["tt0000001"], one.id)
        bulk.put_on_list(alice.id, [f"tt{number:07d}" for number in range(1, 101)], many.id)
        counts = []
        for made in (one, many):
            address = share(made)
            stranger.get(address)
            with count_queries() as counted:
                assert stranger.get(address).status_code == 200
            counts.append(counted.count)
        assert counts[0] == counts[1] <= 4

    def test_an_empty_list_has_a_page_too(self, stranger, alice):
        text = stranger.get(share(lists.create(alice.id, "New"))).text
        assert "No films yet" in text
        assert "list.json" not in text


class TestLinksThatShowNothing:
    def test_all_are_answered_alike(self, stranger, winter, alice):
        revoked = share(winter)
        shares.revoke(alice.id, winter.id)
        of_deleted = share(lists.create(alice.id, "Gone"))
        lists.delete(alice.id, lists.listing(alice.id)[-1].id)
        deactivated = share(winter)
        accounts.change(alice, is_active=False)
        answers = [
            stranger.get(address + path)
            for address in (revoked, of_deleted, deactivated, "/shared/never")
            for path in ("", "/list.json")
        ]
        assert {answer.status_code for answer in answers} == {404}
        assert len({answer.text for answer in answers}) == 1
        assert "isn’t shared here any more" in answers[0].text
        assert {answer.headers["X-Robots-Tag"] for answer in answers} == {"noindex, nofollow"}

    def test_guessing_ends_after_ten_and_log_ins_are_counted_by_themselves(
        self, stranger, winter, alice
    ):
        address = share(winter)
        for number in range(10):
            assert stranger.get(f"/shared/guess{number}").status_code == 404
        answer = stranger.get("/shared/guess10")
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) > 0
        assert "Too many failed attempts" in answer.text
        # Who has a real link is shown the list, whatever others on the same network tried.
        assert stranger.get(f"{address}/list.json").status_code == 200
        assert stranger.get("/login").status_code == 200
        with stranger.application.test_request_context():
            assert auth.attempt_log_in(alice.email, "correct horse battery") == alice

    def test_the_pictures_of_a_page_that_was_revoked_are_one_guess(self, stranger, winter, alice):
        address = share(winter)
        shares.revoke(alice.id, winter.id)
        for number in range(30):
            assert stranger.get(f"{address}/posters/w342/{number}.jpg").status_code == 404
        assert stranger.get(share(winter)).status_code == 200

    def test_their_addresses_are_not_in_the_log(self, stranger, winter, lines):
        token = share(winter).removeprefix("/shared/")
        stranger.get(f"/shared/{token}")
        stranger.get(f"/shared/{token}x")
        written = lines()
        assert any("link.refused" in line and "kind=share" in line for line in written)
        assert not any(token in line for line in written)


class TestTheOwner:
    def test_makes_a_link_sees_it_and_changes_it(self, page, winter):
        assert "Create link" in page.get(f"/lists/{winter.id}/share").text
        home = f"/lists/{winter.id}/share"
        assert page.post(home, data={"notes": "on", "until": "2098-01-31"}).location == home
        token = ListShare.get().token
        text = page.get(home).text
        assert f'value="http://localhost/shared/{token}"' in text
        assert 'value="2098-01-31"' in text
        assert "until the end of 31 Jan 2098" in text
        page.post(home, data={"until": ""})
        text = page.get(home).text
        assert "Saved. The link stays the same." in text
        assert "until you revoke it" in text
        assert not ListShare.get(token=token).shows_notes

    def test_revokes_it(self, page, winter):
        address, home = share(winter), f"/lists/{winter.id}/share"
        assert page.post(home, data={"do": "revoke"}).location == home
        assert "Link revoked." in page.get(home).text
        assert page.get(address).status_code == 404
        assert page.post(home, data={"do": "revoke"}).status_code == 404

    @pytest.mark.parametrize("until", ["tomorrow", "2001-01-01"])
    def test_a_wrong_day_is_said_at_its_field_and_what_was_typed_stays(self, page, winter, until):
        answer = page.post(f"/lists/{winter.id}/share", data={"until": until, "notes": "on"})
        assert answer.status_code == 422
        assert f'value="{until}"' in answer.text
        assert 'name="notes" checked' in answer.text
        assert answer.text.count('class="field-error"') == 1
        assert ListShare.select().count() == 0

    def test_finds_the_link_at_the_list_and_is_told_that_deleting_ends_it(self, page, winter):
        text = page.get(f"/lists/{winter.id}").text
        assert f'href="/lists/{winter.id}/share"' in text
        assert "ends for good" not in text
        share(winter)
        assert "ends for good, also if you undo this" in page.get(f"/lists/{winter.id}").text

    def test_is_led_from_the_link_to_their_own_list(self, page, winter):
        address = share(winter)
        text = page.get(address).text
        assert f'href="/?list={winter.id}"' in text
        assert "Add to my library" not in text
        assert page.post(f"{address}/add").location == f"/?list={winter.id}"


def test_somebody_else_takes_it_along_as_a_file_that_waits(page, bob, winter):
    address = share(winter)
    with page.session_transaction() as session:
        session["_user_id"] = bob.get_id()
    assert "Add to my library" in page.get(address).text
    preview = page.post(f"{address}/add").location
    assert re.fullmatch(r"/collections/lists/import/[\w-]+", preview)
    assert "List shared by alice" in page.get(preview).text
    assert lists.listing(bob.id) == []
    page.environ_base["HTTP_SEC_FETCH_SITE"] = "cross-site"
    assert page.post(f"{address}/add").status_code == 403
