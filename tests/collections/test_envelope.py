"""The envelope of a collection: what is read, what is refused and in which words; nothing that a
file may hold is more than the program can take."""

import contextlib
import json

import pytest

from mm import __version__
from mm.errors import InvalidError, TooLargeError, UnusableFileError
from mm.models import CustomList, Person
from mm.services.collections import envelope, exporting, importing, plans
from mm.services.library import people
from tests.support.libraries import export

KINDS = ("people", "lists")
DEEP = "[" * 900 + "]" * 900


def file_of(items, kind="people", **values):
    metadata = {
        "version": "1.0.0",
        "mm_version": __version__,
        "export_type": kind,
        "exported_at": "2026-03-01T12:00:00Z",
        "item_count": len(items),
    }
    return {"metadata": metadata | values, "items": items}


def data_of(items, kind="people", **values):
    return json.dumps(file_of(items, kind, **values)).encode()


class TestWriting:
    def test_it_says_who_wrote_it_when_and_how_much_it_holds(self, alice, database, frozen_clock):
        people.create(alice.id, "Eve", emoji="🦊")
        collection = envelope.written("people", plans.KINDS["people"].export(alice.id, None))
        file = json.loads(envelope.encode(collection))
        assert file["metadata"] == file_of([0])["metadata"]
        assert [row["name"] for row in file["items"]] == ["Eve"]
        assert envelope.file_name("people") == "people-export-2026-03-01.json"

    def test_one_that_would_be_too_large_with_indentation_is_written_without(self, monkeypatch):
        collection = envelope.written("people", [])
        pretty = envelope.encode(collection)
        monkeypatch.setattr(envelope, "FILE_MAX", len(pretty) - 1)
        assert envelope.read("people", envelope.encode(collection)).items == []

    @pytest.mark.parametrize(
        "limit, value",
        [("ITEMS_MAX", 2), ("FILE_MAX", 200), ("BRACKETS_MAX", 4), ("COMMAS_MAX", 5)],
    )
    def test_what_no_import_would_take_is_not_written(self, alice, monkeypatch, limit, value):
        """So nobody learns only in the other household that their file is of no use."""
        for name in ("Eve", "Ben", "Zoe"):
            people.create(alice.id, name)
        whole = exporting.export(alice.id, "people", [], export_all=True).data
        monkeypatch.setattr(envelope, limit, value)
        with pytest.raises((UnusableFileError, TooLargeError)):
            envelope.read("people", whole)
        with pytest.raises(InvalidError, match="Choose fewer"):
            exporting.export(alice.id, "people", [], export_all=True)


class TestReading:
    def test_it_may_begin_with_a_byte_order_mark(self):
        received = envelope.read("people", b"\xef\xbb\xbf" + data_of([{"name": "Eve"}]))
        assert (received.version_warning, received.warnings) == (None, [])

    @pytest.mark.parametrize(
        "data, message",
        [
            (b"", "This file is empty"),
            (b" \r\n\0", "This file is empty"),
            (b"\xef\xbb\xbf", "This file is empty"),
            (b"\xff\xfe{", "it has no JSON"),
            (b"{", "This file can’t be read"),
            (b'{"metadata": NaN}', "This file can’t be read"),
            (b"[" * 100_000, "nested too deeply"),
            (b"[" * 300_000, "more brackets or commas"),
            (b"[1" + b",1" * 1_300_000 + b"]", "more brackets or commas"),
            (b"[]", "it has no `metadata` and `items`"),
            (b'"people"', "it has no `metadata` and `items`"),
            (b"{}", "it has no `metadata`"),
            (b'{"metadata": [], "items": []}', "it has no `metadata`"),
            (b'{"version": 2, "movies": []}', "Import it on Data & Backup"),
        ],
    )
    def test_what_is_no_collection_is_refused_in_one_sentence(self, data, message):
        with pytest.raises(UnusableFileError, match=message):
            envelope.read("people", data)

    @pytest.mark.parametrize(
        "values, message",
        [
            ({"export_type": "lists"}, "export type mismatch: lists (expected people)"),
            ({"export_type": None}, "export type mismatch: none (expected people)"),
            ({"export_type": ["people"]}, "export type mismatch: a list (expected people)"),
            ({"export_type": "a\nb\u202e"}, "export type mismatch: ab (expected people)"),
            ({"export_type": ""}, "export type mismatch: nothing (expected people)"),
            ({"version": "2.0.0"}, "unsupported export version: 2.0.0 (expected 1.0.0)"),
            ({"version": 1}, "unsupported export version: 1 (expected 1.0.0)"),
            ({"version": {}}, "unsupported export version: an object (expected 1.0.0)"),
            (
                {"version": "9" * 5000},
                f"unsupported export version: {'9' * envelope.SHOWN_MAX} (expected 1.0.0)",
            ),
        ],
    )
    def test_another_type_or_version_is_named(self, values, message):
        with pytest.raises(UnusableFileError) as raised:
            envelope.read("people", data_of([], **values))
        assert raised.value.message == message

    @pytest.mark.parametrize("items", [None, {}, "x", 3])
    def test_items_have_to_be_a_list(self, items):
        file = file_of([]) | {"items": items}
        with pytest.raises(UnusableFileError, match="no list of `items`"):
            envelope.opened("people", file)

    @pytest.mark.parametrize(
        "said, shown", [(3, "3"), ("1", "1"), (True, "True"), (-1, "-1"), ([1], "a list")]
    )
    def test_a_wrong_count_is_a_warning(self, said, shown):
        received = envelope.read("people", data_of([{"name": "Eve"}], item_count=said))
        assert received.warnings == [
            f"The file says that it has {shown} items, and it has 1. It may be incomplete."
        ]

    def test_a_missing_count_is_a_warning(self):
        [warning] = envelope.read("people", data_of([], item_count=None)).warnings
        assert warning == "The file does not say how many items it has. It may be incomplete."

    @pytest.mark.parametrize(
        "theirs, shown",
        [("9.9", "Movie Manager 9.9"), (None, "an unknown version"), (7, "Movie Manager 7")],
    )
    def test_another_version_of_the_program_is_a_warning(self, theirs, shown):
        received = envelope.read("people", data_of([], mm_version=theirs))
        assert shown in received.version_warning
        assert __version__ in received.version_warning

    def test_half_a_character_is_mended_and_said(self):
        data = data_of([{"name": "Eve EMOJI"}]).replace(b"EMOJI", rb"\ud83e")
        received = envelope.read("people", data)
        assert received.items == [{"name": "Eve \ufffd"}]
        assert received.warnings == ["Broken characters that became \ufffd: 1"]

    def test_limits_of_size_and_number_are_named(self, monkeypatch):
        monkeypatch.setattr(envelope, "ITEMS_MAX", 2)
        with pytest.raises(UnusableFileError, match="has 3 people; the limit is 2"):
            envelope.read("people", data_of([1, 2, 3]))
        monkeypatch.setattr(envelope, "FILE_MAX", 10)
        with pytest.raises(TooLargeError, match="Nothing was changed"):
            envelope.read("people", data_of([]))


HOSTILE = [
    None,
    True,
    -1.5e300,
    2**64 - 1,
    "",
    "\0",
    "\u202eevil\u2028",
    "x" * 100_000,
    "<script>alert(1)</script>",
    "'; DROP TABLE person; --",
    [],
    [[]],
    {},
    {"name": {"name": "Eve"}},
    json.loads(DEEP),
]


@pytest.mark.usefixtures("database")
class TestHostileItems:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:20])
    def test_any_value_anywhere_costs_at_most_its_item(self, alice, kind, value):
        good = {"name": "Good", "films": []}
        film = {"imdb_id": "tt0000001"}
        fields = ("name", "is_trusted", "color", "emoji", "icon", "position", "description")
        items = [good, value]
        items += [{"name": f"N {name}", "films": []} | {name: value} for name in fields]
        items += [{"name": "Films", "films": value}, {"name": "A film", "films": [value]}]
        items += [
            {"name": f"Film {name}", "films": [film | {name: value}]}
            for name in ("imdb_id", "title", "year", "media_type", "note")
        ]
        received = envelope.read(kind, data_of(items, kind))
        seen = plans.preview(plans.plan(alice.id, received, bulk_resolution="overwrite"))
        assert seen.items[0].outcome == "imported"
        result = importing.at_once(alice, received, bulk_resolution="overwrite")
        assert result.errors == len(seen.errors)
        assert result.imported == sum(row.outcome == "imported" for row in seen.items)
        assert export(alice)

    @pytest.mark.parametrize("depth", range(900, 1000, 7))
    def test_no_depth_of_nesting_is_more_than_it_can_take(self, alice, depth):
        data = data_of(["DEEP"]).replace(b'"DEEP"', b"[" * depth + b"]" * depth)
        outcome = []
        with contextlib.suppress(UnusableFileError):
            outcome = importing.at_once(alice, envelope.read("people", data)).error_details
        assert [error.error for error in outcome] in ([], ["expected an object"])
        assert not Person.select().where(Person.quick_key.is_null()).exists()

    def test_names_that_differ_only_by_case_or_spaces_are_one_name(self, alice):
        rows = [{"name": name} for name in ("Straße", " STRASSE ", "e\u0301", "É")]
        seen = plans.preview(plans.plan(alice.id, envelope.opened("people", file_of(rows))))
        assert [row.outcome for row in seen.items] == ["imported", "error", "imported", "error"]
        assert {error.error for error in seen.errors} == {plans.TWICE}

    def test_lists_whose_names_differ_only_by_case_are_several_lists(self, alice):
        rows = [{"name": name, "films": []} for name in ("a", "A", " a")]
        importing.at_once(alice, envelope.opened("lists", file_of(rows, "lists")))
        assert [row.name for row in CustomList.select().order_by(CustomList.position)] == [
            "a",
            "A",
            "a",
        ]

    @pytest.mark.parametrize("where", ["bulk", "one"])
    def test_an_unknown_resolution_is_refused(self, alice, where):
        received = envelope.opened("people", file_of([{"name": "Eve"}]))
        ways = {
            "bulk": {"bulk_resolution": "re\nplace"},
            "one": {"resolutions": {"Nobody": "replace"}},
        }
        with pytest.raises(InvalidError, match="unknown resolution: replace"):
            importing.at_once(alice, received, **ways[where])
        assert not Person.select().where(Person.name == "Eve").exists()

    def test_thousands_of_long_names_are_renamed_without_trying_each_number_for_each(
        self, alice, monkeypatch
    ):
        names = [f"{'x' * 495}{number:05}" for number in range(3000)]
        rows = [{"name": name, "films": []} for name in names]
        importing.at_once(alice, envelope.opened("lists", file_of(rows, "lists")))
        calls = []
        monkeypatch.setattr(plans, "fold", lambda text: calls.append(0) or text.casefold())
        received = envelope.opened("lists", file_of(rows, "lists"))
        plan = plans.plan(alice.id, received, bulk_resolution="rename")
        assert len({step.entry.name for step in plan.steps}) == len(names)
        # Not once for each number that was given before.
        assert len(calls) < 20 * len(names)
