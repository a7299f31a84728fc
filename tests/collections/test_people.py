"""People from one household in another: new, met by their names, and never as quick
recommenders."""

import msgspec
import pytest
from playhouse.test_utils import count_queries

from mm.services.collections import envelope, importing, people, plans
from mm.services.library import people as library_people


def file_of(user, kind="people", ids=None):
    """A collection of theirs, as the bytes that another household gets."""
    return envelope.encode(envelope.written(kind, plans.KINDS[kind].export(user.id, ids)))


def taken(user, data, kind="people", resolutions=None, bulk=None):
    return importing.at_once(user, envelope.read(kind, data), resolutions, bulk)


@pytest.mark.parametrize(
    "resolution, counts",
    [("skip", (1, 1, 0, 0)), ("rename", (1, 0, 1, 0)), ("overwrite", (1, 0, 0, 1))],
)
def test_a_name_that_is_here_is_treated_as_chosen(alice, bob, resolution, counts):
    library_people.create(alice.id, "Eve", is_trusted=True, color="#111111", emoji="🦊")
    library_people.create(alice.id, "Finn")
    library_people.create(bob.id, "EVE")
    result = taken(bob, file_of(alice), resolutions={"Eve": resolution})
    assert (result.imported, result.skipped, result.renamed, result.overwritten) == counts
    names = [person.name for person in library_people.listing(bob.id) if not person.quick_key]
    assert (
        names
        == {
            "skip": ["EVE", "Finn"],
            "rename": ["EVE", "Eve (1)", "Finn"],
            "overwrite": ["Eve", "Finn"],
        }[resolution]
    )


def test_of_a_renamed_one_the_preview_says_what_an_overwrite_would_change(alice, bob):
    library_people.create(alice.id, "Eve", is_trusted=True)
    library_people.create(bob.id, "EVE")
    received = envelope.read("people", file_of(alice))
    (item,) = plans.preview(plans.plan(bob.id, received, bulk_resolution="rename")).items
    assert item.new_name == "Eve (1)"
    assert item.differences == ["name: EVE → Eve", "becomes trusted"]


def test_quick_recommenders_are_neither_exported_nor_overwritten(alice, bob):
    assert people.export(alice.id, None) == []
    file = msgspec.json.decode(file_of(alice))
    file["items"] = [{"name": "Random Person", "quick_key": "random_person", "color": "#000000"}]
    file["metadata"]["item_count"] = 1
    result = taken(bob, msgspec.json.encode(file), bulk="overwrite")
    assert [error.item_name for error in result.error_details] == ["Random Person"]
    result = taken(bob, msgspec.json.encode(file), bulk="rename")
    assert [item.name for item in result.imported_items] == ["Random Person (1)"]
    assert library_people.find(bob.id, "Random Person (1)").quick_key is None


def test_the_number_of_queries_does_not_depend_on_the_number_of_people(alice, bob):
    counts = []
    for user, count in ((alice, 3), (bob, 300)):
        for number in range(count):
            library_people.create(user.id, f"Person {number}")
        items = [{"name": f"PERSON {number}", "color": "#123456"} for number in range(count)]
        metadata = {"version": "1.0.0", "export_type": "people", "item_count": count}
        received = envelope.opened("people", {"metadata": metadata, "items": items})
        with count_queries() as counter:
            plans.apply(plans.plan(user.id, received, None, "overwrite"))
        counts.append(counter.count)
    # One more gives each changed row its place in the feed.
    assert counts[1] <= counts[0] + 2
