"""Datasets on a small disk that fills up, or may not be written."""

import subprocess

import pytest

from mm import config, disk
from mm.errors import NoRoomError, UnavailableError
from mm.services.catalogue import downloads
from tests.backup.test_disk import fill, small_disk  # noqa: F401
from tests.catalogue.test_downloads import BASICS, RATINGS, blob, brisk, fetch, folder  # noqa: F401


@pytest.fixture
def settings(small_disk, datasets):  # noqa: F811
    return config.Config(data_dir=small_disk, imdb_datasets_url=datasets.url)


def test_one_that_fills_up_during_a_download_has_room_again(
    datasets,
    fill,  # noqa: F811
    lines,
    monkeypatch,
):
    datasets.serve(BASICS, blob(2**20))
    datasets.serve(RATINGS, blob(2**21))
    fill(left=2**21)
    monkeypatch.setattr(downloads.files, "require_room", lambda *_: None)

    with pytest.raises(NoRoomError, match=r"filled up .* About 223\.2 MB of free space are needed"):
        fetch(BASICS, RATINGS)

    assert folder() == []
    assert disk.free_bytes(config.current.data_dir) >= 2**21 - 2**14
    assert 'reason="disk full"' in lines()[-1]


def test_one_without_room_for_a_description_counts_as_full(
    datasets,
    fill,  # noqa: F811
    monkeypatch,
):
    fill(left=0)
    monkeypatch.setattr(downloads.files, "require_room", lambda *_: None)

    with pytest.raises(NoRoomError, match="filled up"):
        fetch()


def test_one_that_is_read_only_is_told_in_plain_words(datasets, small_disk, lines):  # noqa: F811
    config.current.datasets_dir.mkdir()
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(remount, check=True, capture_output=True)
    try:
        with pytest.raises(UnavailableError, match="Is its disk read-only"):
            fetch()
    finally:
        remount[2] = "remount,rw"
        subprocess.run(remount, check=True, capture_output=True)
    assert "datasets.failed" in lines()[-1]
    fetch()
