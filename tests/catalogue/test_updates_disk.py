"""An update of the catalogue on a small disk that fills up."""

import pytest

from mm import config, disk
from mm.errors import UserError
from mm.services.catalogue import updates
from tests.backup.test_disk import fill, small_disk  # noqa: F401
from tests.support import datasets as standins
from tests.support.datasets import datasets_fixture  # noqa: F401

FILMS = 20_000


@pytest.fixture
def settings(small_disk, datasets):  # noqa: F811
    return config.Config(data_dir=small_disk, imdb_datasets_url=datasets.url)


@pytest.fixture
def first(database, datasets, monkeypatch):
    """The catalogue in use; of what comes next there is no room for more than the downloads."""
    monkeypatch.setattr(updates.downloads.files, "require_room", lambda *_: None)
    updates.choose(akas=False, directors=False, adult=False)
    update()
    made = [
        standins.title(f"tt{8_000_000 + number:07}", f"Made Up {number}", 1990, rating=5, votes=9)
        for number in range(FILMS)
    ]
    datasets.put(standins.rows_of([*standins._titles(), *made]))


def update():
    return updates.update(lambda *_: None, lambda: False)


def names():
    found = config.current.data_dir.rglob("*")
    return [path.name for path in found if path.name.startswith(("catalogue", "title."))]


@pytest.mark.parametrize("left", [2**21, 3 * 2**20])
def test_a_disk_that_fills_up_during_the_build_has_its_room_again(first, fill, left):  # noqa: F811
    fill(left)
    with pytest.raises(UserError, match=r"The current catalogue stays in use\."):
        update()
    # Libraries are written on the same disk, and need room sooner than this.
    assert names() == ["catalogue.db"]
    assert disk.free_bytes(config.current.data_dir) >= left - 2**17
    (config.current.data_dir / "ballast").unlink()
    assert update()["films"] > FILMS


def test_a_folder_in_the_place_of_the_catalogue_is_named_before_anything_is_fetched(
    database, datasets, monkeypatch
):
    monkeypatch.setattr(updates.downloads.files, "require_room", lambda *_: None)
    config.current.catalogue_file.mkdir()
    updates.choose(akas=False, directors=False, adult=False)
    for ask in (update, updates.remove):
        with pytest.raises(UserError, match="is a folder"):
            ask()
    assert datasets.asked == []
    config.current.catalogue_file.rmdir()
    updates.remove()
    updates.choose(akas=False, directors=False, adult=False)
    assert update()["films"]
