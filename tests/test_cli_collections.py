"""`flask --app mm collection …`: people, lists, views and settings as files, in a terminal."""

import json
import stat

import pytest

from mm import config
from mm.database import db
from mm.services.backup import backups, undoing
from mm.services.collections import envelope, plans
from mm.services.library import people
from tests.support.libraries import export, hard_document, put

FILE = "people-export-2026-03-01.json"
USER = ("--user", "alice")


@pytest.fixture
def run(app, alice, tmp_path, monkeypatch, frozen_clock):
    """Run `collection …` in a folder of its own; its exit code must be the one expected, and what
    it printed comes back."""
    runner = app.test_cli_runner()
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def run(*arguments, exit_code=0, **values):
        result = runner.invoke(args=["collection", *arguments], **values)
        assert result.exit_code == exit_code, result.output
        return result.output

    run.folder = folder
    run.runner = runner
    return run


@pytest.fixture
def cast(alice, bob):
    """Alice has Eve, who is trusted, and Finn; Bob has an Eve of his own."""
    with db.connection_context():
        people.create(alice.id, "Eve", is_trusted=True, emoji="🦊")
        people.create(alice.id, "Finn")
        people.create(bob.id, "EVE")


def names(user):
    with db.connection_context():
        return [each.name for each in people.listing(user.id) if not each.quick_key]


def library(user):
    with db.connection_context():
        return export(user)


def file_of(run, *items, **metadata):
    path = run.folder / "theirs.json"
    metadata = {"version": "1.0.0", "export_type": "people", "item_count": len(items)} | metadata
    path.write_text(json.dumps({"metadata": metadata, "items": list(items)}))
    return str(path)


class TestExport:
    def test_all_go_to_a_file_of_todays_date_that_only_its_owner_may_read(self, run, cast):
        assert run("export", "people", *USER) == f"Exported 2 people to {FILE}\n"
        path = run.folder / FILE
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with db.connection_context():
            received = envelope.read("people", path.read_bytes())
        assert [item["name"] for item in received.items] == ["Eve", "Finn"]
        assert [other.name for other in run.folder.iterdir()] == [FILE]

    def test_one_is_found_by_its_name_whatever_its_case(self, run, cast):
        said = run("export", "people", *USER, "--name", "eve", "mine.json")
        assert said == "Exported 1 person to mine.json\n"
        assert json.loads((run.folder / "mine.json").read_text())["items"][0]["name"] == "Eve"

    def test_a_name_that_is_not_there_is_one_line_and_writes_nothing(self, run, cast):
        said = run("export", "people", *USER, "--name", "Eve", "--name", "Max", exit_code=1)
        assert said == "Error: There is no person named Max.\n"
        assert list(run.folder.iterdir()) == []

    def test_it_goes_to_standard_output(self, run, cast):
        document = json.loads(run("export", "people", *USER, "-"))
        assert document["metadata"]["item_count"] == 2

    @pytest.mark.parametrize("answer, content", [("n\n", "mine"), ("", "mine"), ("y\n", None)])
    def test_a_file_is_overwritten_only_after_a_question(self, run, cast, answer, content):
        (run.folder / FILE).write_text("mine")
        said = run("export", "people", *USER, exit_code=0 if content is None else 1, input=answer)
        assert f"{FILE} exists. Overwrite it?" in said
        assert ((run.folder / FILE).read_text() == "mine") == (content == "mine")

    def test_with_force_nobody_is_asked(self, run, cast):
        (run.folder / FILE).write_text("mine")
        assert run("export", "people", *USER, "--force") == f"Exported 2 people to {FILE}\n"
        assert stat.S_IMODE((run.folder / FILE).stat().st_mode) == 0o600

    def test_a_folder_that_is_not_there_is_one_line(self, run, cast):
        said = run("export", "people", *USER, "nowhere/mine.json", exit_code=1)
        assert "nowhere/mine.json" in said
        assert "No such file or directory" in said
        assert list(run.folder.iterdir()) == []

    def test_another_kind_names_those_there_are(self, run):
        assert "'people', 'lists', 'views', 'settings'" in run(
            "export", "films", *USER, exit_code=2
        )


class TestPreviewAndImport:
    def test_a_preview_says_what_happens_to_each_item_and_changes_nothing(self, run, cast, bob):
        run("export", "people", *USER)
        before = library(bob)
        arguments = ("people", "--user", "bob", FILE, "--conflicts", "overwrite")
        said = run("preview", *arguments)
        assert said.splitlines() == [
            "overwritten  Eve",
            "             name: EVE → Eve",
            "             becomes trusted",
            "             emoji: none → 🦊",
            "imported     Finn",
            "2 people: 1 new, 1 with a name that you have already",
        ]
        assert library(bob) == before
        dry = run(
            "import", "people", "--user", "bob", FILE, "--conflicts", "overwrite", "--dry-run"
        )
        assert dry == said
        assert library(bob) == before

    def test_an_import_shows_the_items_asks_and_says_how_to_undo_it(self, run, cast, bob):
        run("export", "people", *USER)
        before = library(bob)
        said = run("import", "people", "--user", "bob", FILE, input="y\n").splitlines()
        assert said[:4] == [
            "skipped      Eve",
            "             overwrite: name: EVE → Eve",
            "             overwrite: becomes trusted",
            "             overwrite: emoji: none → 🦊",
        ]
        assert "Import this for bob? [y/N]: y" in said
        with db.connection_context():
            [copy] = backups.listing(bob.id)
        assert said[-3:] == [
            "1 imported, 1 skipped, 0 overwritten, 0 renamed, 0 errors",
            f"As it was before: {copy.filename}",
            f"To undo this: flask --app mm backup undo --user bob {copy.filename}",
        ]
        assert names(bob) == ["EVE", "Finn"]
        undo = said[-1].partition("--app mm ")[2].split()
        assert run.runner.invoke(args=[*undo, "--yes"]).exit_code == 0
        assert library(bob) == before

    @pytest.mark.parametrize("answer", ["n\n", ""])
    def test_without_a_yes_nothing_is_imported(self, run, cast, bob, answer):
        run("export", "people", *USER)
        before = library(bob)
        run("import", "people", "--user", "bob", FILE, input=answer, exit_code=1)
        assert library(bob) == before
        with db.connection_context():
            assert backups.listing(bob.id) == []

    def test_one_item_is_resolved_unlike_the_others(self, run, cast, bob):
        run("export", "people", *USER)
        with db.connection_context():
            people.create(bob.id, "finn")
        arguments = ("--conflicts", "overwrite", "--resolve", "eve=rename", "--yes")
        said = run("import", "people", "--user", "bob", FILE, *arguments)
        assert "renamed      Eve → Eve (1)" in said
        assert "0 imported, 0 skipped, 1 overwritten, 1 renamed, 0 errors" in said
        assert names(bob) == ["EVE", "Eve (1)", "Finn"]

    def test_a_name_with_an_equals_sign_can_be_resolved(self, run, alice):
        with db.connection_context():
            people.create(alice.id, "a=b")
        path = file_of(run, {"name": "a=b"})
        said = run("import", "people", *USER, path, "--resolve", "a=b=rename", "--yes")
        assert "renamed      a=b → a=b (1)" in said

    @pytest.mark.parametrize("value", ["Eve", "Eve=keep", "=rename", ""])
    def test_an_unknown_resolution_says_what_is_expected(self, run, cast, bob, value):
        path = file_of(run, {"name": "Eve"})
        said = run(
            "import", "people", "--user", "bob", path, "--resolve", value, "--yes", exit_code=2
        )
        assert "NAME=skip, NAME=rename or NAME=overwrite" in said
        assert names(bob) == ["EVE"]

    def test_a_resolution_for_a_name_that_is_not_in_the_file_is_refused(self, run, cast, bob):
        path = file_of(run, {"name": "Max"})
        said = run(
            "import", "people", "--user", "bob", path, "--resolve", "Eve=rename", exit_code=2
        )
        assert "--resolve: the file has no Eve." in said
        assert names(bob) == ["EVE"]

    def test_what_cannot_be_used_is_named_and_the_rest_imported(self, run, alice):
        path = file_of(run, {"name": "Ann"}, {"name": "ANN"}, {"name": "Max", "color": "blue"}, 5)
        said = run("import", "people", *USER, path, "--yes")
        assert "error        ANN: the file has this name twice" in said
        assert "error        Max: color: 'blue' is not a colour like #0a84ff" in said
        assert "error        Item 4: expected an object" in said
        assert "1 imported, 0 skipped, 0 overwritten, 0 renamed, 3 errors" in said
        assert names(alice) == ["Ann"]

    def test_a_file_of_which_nothing_would_be_taken_asks_nothing(self, run, cast, alice):
        run("export", "people", *USER)
        said = run("import", "people", *USER, FILE)
        assert said.endswith("Nothing to import.\n")

    def test_warnings_are_said_before_the_question(self, run, alice):
        path = file_of(run, {"name": "Ann"}, item_count=7, mm_version="9.9\x1b[31m")
        said = run("import", "people", *USER, path, input="n\n", exit_code=1)
        assert "warning: This file was written by Movie Manager 9.9[31m" in said
        assert "it has 1" in said
        assert said.index("warning:") < said.index("Import this for alice?")

    def test_what_a_file_says_does_not_reach_the_terminal_as_it_is(self, run, alice):
        path = file_of(run, {"name": "\x1b[2JEve\n\u202egnp"})
        said = run("preview", "people", *USER, path)
        assert "\x1b" not in said
        assert "\u202e" not in said

    def test_the_file_may_come_from_standard_input(self, run, cast, bob):
        data = run("export", "people", *USER, "-")
        run("import", "people", "--user", "bob", "-", "--yes", input=data)
        assert names(bob) == ["EVE", "Finn"]
        with db.connection_context():
            [undoable] = undoing.available(bob)
        assert undoable.source is None

    @pytest.mark.parametrize(
        "content, sentence",
        [
            ("", "This file is empty."),
            ("{", "This file can’t be read"),
            ('{"version": 2, "movies": []}', "This file holds a whole library."),
            (
                '{"metadata": {"version": "1.0.0", "export_type": "lists"}, "items": []}',
                "export type mismatch: lists (expected people)",
            ),
            (
                '{"metadata": {"version": "2.0.0", "export_type": "people"}, "items": []}',
                "unsupported export version: 2.0.0 (expected 1.0.0)",
            ),
        ],
    )
    @pytest.mark.parametrize("name", ["preview", "import"])
    def test_a_file_that_cannot_be_used_is_one_line(self, run, alice, content, sentence, name):
        path = run.folder / "theirs.json"
        path.write_text(content)
        said = run(name, "people", *USER, str(path), exit_code=1)
        assert said.startswith(f"Error: {sentence}")
        assert said.count("\n") == 1

    def test_an_unknown_user_is_one_line(self, run, alice):
        path = file_of(run, {"name": "Ann"})
        assert run("import", "people", "--user", "nobody", path, exit_code=1).startswith("Error: ")

    def test_what_changed_while_the_question_was_asked_is_not_imported(
        self, run, cast, bob, monkeypatch
    ):
        run("export", "people", *USER)

        def answer_late(*_, **__):
            people.create(bob.id, "finn")

        monkeypatch.setattr("click.confirm", answer_late)
        said = run("import", "people", "--user", "bob", FILE, exit_code=1)
        assert "Error: Your library changed since this preview was made." in said
        assert names(bob) == ["EVE", "finn"]
        with db.connection_context():
            assert backups.listing(bob.id) == []
            assert undoing.available(bob) == []


@pytest.mark.parametrize("kind", ["people", "lists", "views", "settings"])
def test_each_kind_travels_from_one_account_to_another(run, alice, bob, kind):
    with db.connection_context():
        put(alice, hard_document())
        count = len(plans.KINDS[kind].choices(alice.id))
    run("export", kind, *USER, "mine.json")
    to_bob = (kind, "--user", "bob", "mine.json", "--conflicts", "overwrite")
    previewed = run("preview", *to_bob)
    assert run("import", *to_bob, "--yes").startswith(previewed.splitlines()[0])
    run("export", kind, "--user", "bob", "theirs.json")
    mine, theirs = (
        json.loads((run.folder / name).read_text())["items"]
        for name in ("mine.json", "theirs.json")
    )
    assert len(mine) == count > 0
    with db.connection_context():
        pinned = {person.name for person in people.listing(bob.id) if person.quick_key}
    # A person of such a name is refused.
    expected = [item["name"] for item in mine if kind != "people" or item["name"] not in pinned]
    assert [item["name"] for item in theirs] == expected


def test_a_setting_is_exported_by_the_name_that_it_has_in_a_file(run, cast):
    run("export", "settings", *USER, "--name", "retention", "one.json")
    (item,) = json.loads((run.folder / "one.json").read_text())["items"]
    assert item["name"] == "retention"


def test_the_commands_need_no_request_and_leave_the_folder_of_the_server_alone(run, cast):
    run("export", "people", *USER)
    assert list(config.current.tmp_dir.iterdir()) == []
