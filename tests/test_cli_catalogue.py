"""`flask --app mm catalogue …`: without a worker, and with the same consent as in the pages."""

from dataclasses import replace

import humanize
import pytest

from mm import config, locks
from mm.database import db
from mm.models import Title
from mm.schemas import CatalogueChoice
from mm.services import problems
from mm.services.catalogue import downloads, store, updates
from tests.support import datasets as standins
from tests.support.datasets import datasets_fixture  # noqa: F401
from tests.support.libraries import put


@pytest.fixture
def run(app, datasets):
    """run("status") -> (exit code, what it printed). IMDb's host is the stand-in."""
    config.use(replace(config.current, imdb_datasets_url=datasets.url))
    runner = app.test_cli_runner()

    def run(*arguments, typed=""):
        ended = runner.invoke(args=["catalogue", *arguments], input=typed)
        return ended.exit_code, ended.output

    return run


def test_it_tells_the_terms_and_what_it_takes_and_asks_first(run, datasets):
    code, said = run("update", typed="n\n")
    assert code == 1
    names = downloads.names(CatalogueChoice(0))
    sizes = (downloads.size_of(names), downloads.disk_of(names))
    taken = [humanize.naturalsize(size) for size in sizes]
    for words in ("personal and non-commercial use", "Used with permission", *taken):
        assert words in said
    assert datasets.asked == []
    assert not store.is_there()
    code, said = run("update", typed="y\n")
    assert code == 0
    assert "24 films and 4 series can be searched now." in said
    assert "Reading titles" in said


def test_once_chosen_it_does_not_ask_and_keeps_the_options(run, datasets):
    assert run("update", "--directors", "--yes")[0] == 0
    code, said = run("update")
    assert (code, "IMDb has nothing newer." in said) == (0, True)
    code, said = run("update", "--adult")
    assert "25 films and 4 series" in said
    with db.connection_context():
        chosen = updates.choice()
    assert (chosen.akas, chosen.directors, chosen.adult) == (False, True, True)
    run("update", "--no-directors")
    with db.connection_context():
        assert not updates.choice().directors


def test_from_a_folder_nothing_is_asked_of_the_network(run, datasets, tmp_path):
    standins.write_files(tmp_path / "files")
    code, said = run("update", "--from", str(tmp_path / "files"), "--yes")
    assert (code, "24 films" in said) == (0, True)
    assert "it is not updated automatically" in said
    assert datasets.asked == []


def test_a_catalogue_made_from_files_is_updated_weekly_once_it_was_fetched(run, tmp_path):
    standins.write_files(tmp_path / "files")
    run("update", "--from", str(tmp_path / "files"), "--yes")
    _, said = run("status")
    assert "Made from files 20" in said
    assert "It is not updated automatically." in said
    assert "Next update" not in said
    assert run("update")[0] == 0
    _, said = run("status")
    assert "Next update" in said
    run("update", "--from", str(tmp_path / "files"))
    assert "Next update" not in run("status")[1]


def test_files_in_the_folder_of_the_downloads_itself_stay(run):
    paths = standins.write_files(config.current.datasets_dir).values()
    assert run("update", "--from", str(config.current.datasets_dir), "--yes")[0] == 0
    with db.connection_context():
        updates.sweep()
    assert all(path.is_file() for path in paths)
    assert run("remove", "--yes")[0] == 0
    assert all(path.is_file() for path in paths)


def test_titles_of_libraries_are_filled(run, alice):
    with db.connection_context():
        put(alice, {"version": 2, "movies": [{"imdb_id": "tt0114709"}]})
    run("update", "--yes")
    with db.connection_context():
        title = Title.get_by_id("tt0114709")
    assert (title.title, title.year, title.source) == ("Toy Story", 1995, "imdb")


def test_status_says_what_is_in_use_and_tells_its_absence_by_the_exit_code(run):
    code, said = run("status")
    assert (code, said) == (1, "There is no catalogue.\n")
    run("update", "--yes", "--akas")
    code, said = run("status")
    assert code == 0
    for words in ("24 films and 4 series", "As of 20", "titles in other languages", "Next update"):
        assert words in said


def test_a_failure_is_one_line_and_a_success_takes_the_problem_away(run, datasets):
    run("update", "--yes")
    datasets.fault("portal")
    code, said = run("update")
    assert code == 1
    assert "The current catalogue stays in use." in said
    datasets.heal()
    with db.connection_context():
        problems.put("job.catalogue", "The update of the catalogue failed.")
    run("update")
    with db.connection_context():
        assert problems.texts() == []


def test_while_another_updates_it_the_second_says_so(run):
    with locks.hold(updates.LOCK):
        code, said = run("update", "--yes")
    assert (code, "already being updated" in said) == (1, True)


def test_remove_asks_first(run):
    run("update", "--yes")
    code, said = run("remove", typed="n\n")
    assert (code, "no longer search by title" in said) == (1, True)
    assert store.is_there()
    assert run("remove", "--yes")[0] == 0
    assert not store.is_there()
    assert run("status")[0] == 1
