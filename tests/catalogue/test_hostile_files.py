"""Files and settings that somebody else put there: in the folder of the datasets, in the place of
the catalogue, and what an archive says was chosen."""

import contextlib
import os
import sqlite3

import pytest

from mm import config, models
from mm.database import db
from mm.errors import UnavailableError
from mm.services.catalogue import downloads, search, store, updates
from mm.services.enrichment import offline_lookups
from tests.support import catalogue

OTHERS = ("photo.jpg", "title.basics.csv", "notes/letter.txt")


def test_only_what_the_server_put_there_is_swept(app, tmp_path):
    """The folder may be a link to a larger disk, with other things on it."""
    place = tmp_path / "large-disk"
    for name in (*OTHERS, "title.akas.tsv.gz", "title.akas.tsv.gz.json", ".tmp-0123456789abcdef"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(b"x")
    config.current.datasets_dir.symlink_to(place)

    downloads.clear()

    assert config.current.datasets_dir.is_symlink()
    there = sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())
    assert there == sorted(OTHERS)


def test_a_link_or_a_pipe_with_a_datasets_name_is_not_followed(
    app, datasets, tmp_path, monkeypatch
):
    monkeypatch.setattr(downloads, "WHILE_BUILDING", 0)
    config.use(config.Config(config.current.data_dir, imdb_datasets_url=datasets.url))
    folder, mine = config.current.datasets_dir, tmp_path / "mine"
    folder.mkdir()
    mine.write_bytes(b"mine")
    (folder / "title.ratings.tsv.gz.part").symlink_to(mine)
    os.mkfifo(folder / "title.ratings.tsv.gz.json")

    downloads.fetch(["title.ratings"], {}, lambda *_: None, lambda: False)

    assert mine.read_bytes() == b"mine"


def damaged(statement):
    path = catalogue.put()
    database = sqlite3.connect(path)
    with database:
        database.executescript(statement)
    database.close()


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE film",
        "DROP TABLE search",
        "DROP TABLE about",
        "DELETE FROM about",
        "UPDATE about SET json = '[]'",
        "UPDATE about SET json = x'ff'",
        "PRAGMA user_version = 99",
        "ALTER TABLE film RENAME COLUMN rating TO other",
    ],
)
def test_a_catalogue_of_another_make_costs_no_page_and_is_built_again(app, statement):
    damaged(statement)
    with db.connection_context():
        models.put_setting(updates.CHOICE, {"chosen_at": 1.0})
        for use in (updates.in_use, updates.status, updates.problem):
            use()
        store.films_by_id(["tt0133093"])
        offline_lookups.find("tt0133093")
        for text in ("matrix", "the ma"):
            offline_lookups.search(text)
            with contextlib.suppress(UnavailableError):
                search.search(text)
        if "about" in statement or "version" in statement:
            assert updates.start_if_due() is not None


@pytest.mark.parametrize(
    "value", [[], "x", 5, {"chosen_at": "x"}, {"chosen_at": 1, "akas": "yes"}, {"akas": True}]
)
def test_a_choice_that_cannot_be_read_is_none(app, value):
    with db.connection_context():
        models.put_setting(updates.CHOICE, value)
        assert updates.choice() is None
        assert updates.start_if_due() is None
        updates.status()
