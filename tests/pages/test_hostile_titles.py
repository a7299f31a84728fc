"""Titles of the catalogue are text wherever they are shown: on pages, in toasts, in drawn posters
and in what is exported."""

import json
from xml.etree import ElementTree

import pytest

from mm import tasks
from mm.database import db
from mm.models import Movie, Title
from tests.support import catalogue

BREAKS_OUT = "</script></title></textarea>'\"><img src=x onerror=alert(1)>{{7*7}}${1}</style>"
FILM = catalogue.film(
    999,
    f"Zorro {BREAKS_OUT}",
    1998,
    90_000,
    7.1,
    original_title=f"Der Zorro {BREAKS_OUT}",
    runtime=100,
    genres=[f"Drama{BREAKS_OUT}"],
    directors=[f"Jane {BREAKS_OUT}"],
)
UNESCAPED = ("<img src=x", "</textarea>'", "49${1}")


@pytest.fixture
def page(page):
    catalogue.put([*catalogue.FILMS, FILM])
    return page


def require_text(answer):
    assert answer.status_code == 200, answer.status
    assert "Zorro" in answer.text
    for text in UNESCAPED:
        assert text not in answer.text


def test_what_is_found_picked_added_and_shown_is_text(page):
    require_text(page.get("/add?q=zorro"))
    require_text(page.get("/add/pick?imdb=tt0000999"))
    added = page.post("/add", data={"imdb": "tt0000999", "where": "toWatch", "q": "zorro"})
    assert added.status_code in (200, 302, 303)
    tasks.start_enrichment()
    with db.connection_context():
        assert Movie.select().count() == 1
    require_text(page.get("/add?q=zorro"))
    require_text(page.get("/"))
    require_text(page.get("/movies/tt0000999"))


def test_a_drawn_poster_is_a_picture_of_text(page):
    catalogue.put([catalogue.film(998, "<Zorro>", 1998, 9)])
    with db.connection_context():
        Title.create(imdb_id="tt0000998", title="<Zorro>", poster_path="/zorro.jpg")
    assert "zorro.jpg" in page.get("/add?q=zorro").text

    drawn = page.get("/posters/w185/zorro.jpg")
    assert drawn.mimetype == "image/svg+xml"
    assert ElementTree.fromstring(drawn.data)[-1].text == "<"


def test_the_toast_is_json_of_text(page):
    headers = {"HX-Request": "true", "HX-Request-Type": "partial"}
    answer = page.post("/add", data={"imdb": "tt0000999", "where": "toWatch"}, headers=headers)
    for header, value in answer.headers:
        if header.lower().startswith("hx-trigger"):
            json.loads(value)
    assert "<img src=x" not in answer.text
