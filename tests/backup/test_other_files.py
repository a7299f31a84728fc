"""Who chooses a file of another program is told what it is; nothing of it is kept."""

import gzip
import io
import os
import zipfile

import pytest

from mm import config
from mm.errors import InvalidError, NotFoundError, TooLargeError
from mm.models import Job
from mm.services.backup import backups, imports, other_files, uploads
from tests.support.libraries import as_bytes, many, put

pytestmark = pytest.mark.usefixtures("database", "frozen_clock")


def zipped(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "Date,Name,Year,Letterboxd URI\n")
    return buffer.getvalue()


FILES = {
    "nothing": (b"", other_files.EMPTY),
    "spaces": (b" \n\t", other_files.EMPTY),
    "a byte order mark": (b"\xef\xbb\xbf", other_files.EMPTY),
    "zeros": (b"\0" * 100, other_files.EMPTY),
    "a ZIP with an export": (zipped("moviemanager-export.json"), other_files.ZIP),
    "an empty ZIP": (zipped(), other_files.ZIP),
    "a ZIP of Letterboxd": (
        zipped("diary.csv", "ratings.csv", "watched.csv"),
        other_files.LETTERBOXD,
    ),
    "an archive of a server": (zipped("metadata.json", "database.db"), other_files.SERVER),
    "a gzip": (gzip.compress(as_bytes(many(1))), other_files.COMPRESSED),
    "the diary of Letterboxd": (
        b"Date,Name,Year,Letterboxd URI,Rating\r\n2020-01-01,Heat,1995,https://boxd.it/x,4.5\r\n",
        other_files.LETTERBOXD,
    ),
    "a list of Letterboxd": (
        b"\xef\xbb\xbfLetterboxd list export v7\nDate,Name,Tags,URL,Description\n",
        other_files.LETTERBOXD,
    ),
    "the ratings of IMDb": (
        b"Const,Your Rating,Date Rated,Title\ntt0113277,9,2020-01-01,Heat\n",
        other_files.IMDB,
    ),
    "a table": (b"title;year;rating\nHeat;1995;9\n", other_files.CSV),
    "a web page": (b"<!DOCTYPE html><title>Heat</title>", other_files.WEB_PAGE),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_program_is_named(alice, name):
    data, words = FILES[name]
    for refused in (
        lambda: uploads.receive(alice, io.BytesIO(data)),
        lambda: imports.import_bytes(alice, data),
        lambda: imports.plan_bytes(alice, data),
    ):
        with pytest.raises(InvalidError) as error:
            refused()
        assert (error.value.status, error.value.message) == (422, words)
    assert os.listdir(config.current.tmp_dir) == []
    assert Job.select().count() == 0


@pytest.mark.parametrize(
    "data",
    [b'{"movies": [{"imdb_id": "tt0000001", ', b'["a", "b", "c"]', b"Dear diary,\n,,", b"{}"],
)
def test_of_any_other_file_it_is_said_what_is_wrong_with_it(alice, data):
    with pytest.raises(InvalidError) as error:
        imports.import_bytes(alice, data)
    named = {words for _, words in FILES.values()}
    assert error.value.message not in named


def test_65_mib_are_too_large(alice):
    data = as_bytes(many(1)) + b" " * (65 * 2**20)
    for refused in (
        lambda: uploads.receive(alice, io.BytesIO(data)),
        lambda: imports.import_bytes(alice, data),
    ):
        with pytest.raises(TooLargeError, match="64 MB") as error:
            refused()
        assert error.value.status == 413
    assert os.listdir(config.current.tmp_dir) == []


def test_another_users_backup_does_not_exist(alice, bob):
    put(alice, many(3))
    filename = backups.create(alice).filename
    for refused in (
        lambda: uploads.copy_backup(bob, filename),
        lambda: imports.restore_backup(bob, filename),
        lambda: imports.plan_backup(bob, filename, mode="replace"),
    ):
        with pytest.raises(NotFoundError, match="Backup file not found"):
            refused()
