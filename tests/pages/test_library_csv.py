"""The library as CSV: what a spreadsheet gets, and the link to it."""

import contextlib
import csv
import gzip
import io
import json
import re
import sqlite3
from html import unescape

import pytest

from mm import config, maintenance, streaming
from mm.database import db
from mm.models import Movie, Title
from mm.services.backup import imports
from mm.services.library import bulk, lists, movies, people, saved_views, table
from tests.conftest import PASSWORD
from tests.support.libraries import document, film, many, person, put, vote

LINK = re.compile(r'href="(/library\.csv[^"]*)"')
PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}
FORMULAS = (
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "  =1",
    "\u00a0=1",
    "\u200b=1",
    "\ufeff@a",
    "＝1",
    "＋1",
    "－1",
    " ＠a",
    '=HYPERLINK("http://example.org","x")',
)
TEXTS = ("plain", "a=1", "3 - 1", "'quoted'", "“=”", "1", "", "👩‍🚀")


@pytest.fixture
def page(client, alice):
    client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    client.post("/login", data={"email": alice.email, "password": PASSWORD})
    return client


@pytest.fixture
def alices_films(alice):
    imports.import_bytes(alice, json.dumps(many(130)).encode())
    return alice


def rows_of(answer):
    """As Python's csv reads them, by column."""
    text = answer.data.decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def link_of(answer):
    found = LINK.findall(answer.text)
    return unescape(found[0]) if found else None


def test_it_is_a_file_for_a_spreadsheet(page, alices_films, frozen_clock):
    answer = page.get("/library.csv?status=all")
    assert answer.content_type == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="library-2026-03-01.csv"'
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert answer.data.startswith(b"\xef\xbb\xbfTitle,Original title,Year,")
    assert answer.data.endswith(b"\r\n")
    assert answer.data.count(b"\n") == answer.data.count(b"\r\n") == 131
    assert list(rows_of(answer)[0]) == list(table.COLUMNS)


def test_a_note_with_quotes_and_lines_stays_as_it_is(page, alice):
    note = 'He said "no, never";\nthen, later,\r\nyes. 👩‍🚀'
    put(alice, document([film(1, note=note)]))
    answer = page.get("/library.csv")
    assert rows_of(answer)[0]["My note"] == note
    assert '"He said ""no, never"";' in answer.text


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_is_taken_for_a_formula(page, alice, text):
    """Titles, notes and names may come from a stranger's file."""
    for name in ("Ann", "Ben"):
        people.create(alice.id, name)
    movies.add(alice.id, "tt0000001")
    rows = lists.create(alice.id, "Later")
    bulk.put_on_list(alice.id, ["tt0000001"], rows.id)
    put(
        alice,
        document(
            [film(2, note=text, recommendations=[vote("Ann"), vote("Ben", up=False)])],
            [person("Ann"), person("Ben")],
        ),
    )
    with db.atomic():
        for statement in (
            "UPDATE person SET name = ? || name",
            "UPDATE custom_list SET name = ? || name",
        ):
            db.execute_sql(statement, (text,))
        Title.update(
            title=text, original_title=text, genres=[text, "Drama"], directors=[text, "Ann"]
        ).execute()
        Movie.update(note=text).execute()
    columns = ("Title", "Original title", "Genres", "Directors", "My note")
    by_id = {row["IMDb ID"]: row for row in rows_of(page.get("/library.csv?status=all"))}
    assert {by_id["tt0000002"][name][:2] for name in columns} == {f"'{text[0]}"}
    assert by_id["tt0000002"]["Recommended by"] == f"'{text}Ann"
    assert by_id["tt0000002"]["Said to skip it"] == f"'{text}Ben"
    assert by_id["tt0000001"]["Lists"] == f"'{text}Later"


@pytest.mark.parametrize("text", TEXTS)
def test_other_texts_stay_as_they_are(page, alice, text):
    movies.add(alice.id, "tt0000001")
    Title.update(title=text).execute()
    assert rows_of(page.get("/library.csv"))[0]["Title"] == text


@pytest.mark.parametrize("query", ["q=nothing+has+this", "status=deleted", "list=another-user-s"])
def test_without_films_it_has_only_its_header(page, alice, query):
    answer = page.get(f"/library.csv?{query}")
    assert answer.status_code == 200
    assert answer.data.decode("utf-8-sig") == ",".join(table.COLUMNS) + "\r\n"


@pytest.mark.parametrize(
    "query", ["status=none", "sort=%00", "offset=-1", "decade=12&genre=", "person=9" * 30, "q=%FF"]
)
def test_nonsense_in_the_address_is_no_error(page, alices_films, query):
    assert page.get(f"/library.csv?{query}").status_code == 200


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Best of: 2020", "filename=library-Best-of-2020-2026-03-01.csv"),
        ("../../etc/passwd", "filename=library-etc-passwd-2026-03-01.csv"),
        (
            "Élise 🎃",
            "filename=library-Elise--2026-03-01.csv; "
            "filename*=UTF-8''library-%C3%89lise-%F0%9F%8E%83-2026-03-01.csv",
        ),
        ('"; x="\\', "filename=library-x=-2026-03-01.csv"),
        ("gpj\u202ecsv", "filename=library-gpjcsv-2026-03-01.csv"),
        ("...", "filename=library-2026-03-01.csv"),
        ("a" * 500, f"filename=library-{'a' * 60}-2026-03-01.csv"),
    ],
)
def test_the_file_of_a_list_or_a_view_is_called_after_it(page, alice, frozen_clock, name, expected):
    row = lists.create(alice.id, name)
    saved_views.create(alice.id, name, {"q": "storm", "status": "all"})
    for query in (f"list={row.id}", "status=all&q=storm"):
        answer = page.get(f"/library.csv?{query}")
        assert answer.headers["Content-Disposition"].replace('"', "") == f"attachment; {expected}"


def test_a_long_table_is_sent_in_pieces_and_is_the_same(page, alices_films, monkeypatch):
    whole = page.get("/library.csv?status=all").data
    monkeypatch.setattr(streaming, "STREAM_FROM", 1000)
    monkeypatch.setattr(table, "BATCH_SIZE", 20)
    plain, packed = (
        page.get("/library.csv?status=all", headers={"Accept-Encoding": encoding}, buffered=True)
        for encoding in ("identity", "gzip")
    )
    assert "Content-Length" not in plain.headers
    assert plain.data == gzip.decompress(packed.data) == whole


def test_a_long_table_that_breaks_off_is_in_the_log(page, alices_films, monkeypatch, caplog):
    monkeypatch.setattr(streaming, "STREAM_FROM", 1000)
    monkeypatch.setattr(table, "BATCH_SIZE", 20)
    answer = page.get("/library.csv?status=all")
    assert answer.is_streamed
    with contextlib.closing(sqlite3.connect(config.current.data_dir / "mm.db")) as other:
        [version] = other.execute("PRAGMA user_version").fetchone()
        other.execute(f"PRAGMA user_version = {version + 1}")
    with pytest.raises(maintenance.RestoredError):
        b"".join(answer.iter_encoded())
    assert "answer.broke_off" in caplog.text
    assert db.is_closed()
    db.connect()


def test_the_link_follows_the_tab_the_search_the_filters_and_the_sort(page, alices_films):
    row = lists.create(alices_films.id, "Later")
    bulk.put_on_list(alices_films.id, ["tt0000002", "tt0000003"], row.id)
    for query in (
        "status=all&sort=title&filters=1",
        "status=all&rating=5&not_kind=tv&not_genre=Drama&not_genre=War",
        f"list={row.id}&sort=order",
        "status=all&filters=1&kind=movie",
    ):
        for headers in ({}, PARTIAL):
            answer = page.get(f"/?{query}", headers=headers)
            found = re.findall(r'id="c-(tt\d+)"', answer.text)
            link = link_of(answer)
            assert found, query
            ids = [film["IMDb ID"] for film in rows_of(page.get(link))]
            assert ids[: len(found)] == found


def test_there_is_no_link_without_films_and_none_before_films_are_chosen(page, alices_films):
    assert link_of(page.get("/?q=nothing+has+this")) is None
    assert link_of(page.get("/?status=all")) is None
    assert link_of(page.get("/?status=all&filters=1")) == "/library.csv?status=all"


def test_from_a_list_with_films_one_goes_to_share_it(page, alices_films):
    row = lists.create(alices_films.id, "Later")
    address = f"/lists/{row.id}/share"
    assert address not in page.get(f"/?list={row.id}").text
    bulk.put_on_list(alices_films.id, ["tt0000002"], row.id)
    assert address in page.get(f"/?list={row.id}").text
    assert page.get(address).status_code == 200
