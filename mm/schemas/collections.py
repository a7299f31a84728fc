"""Portable collections: people, lists, saved views or settings as a small file, and what an import
of one would do and did."""

from typing import Any, Literal

from msgspec import Struct

from mm.schemas.portable import FilterValue

COLLECTION_VERSION = "1.0.0"
CollectionKind = Literal["people", "lists", "views", "settings"]
Resolution = Literal["skip", "rename", "overwrite"]
ItemOutcome = Literal["imported", "skipped", "overwritten", "renamed", "error"]


class PersonItem(Struct):
    name: str
    is_trusted: bool
    color: str
    emoji: str | None


class CollectedFilm(Struct, omit_defaults=True):
    """`title` and `year` make the file readable; `note` is the list's own on the film."""

    imdb_id: str
    title: str | None = None
    year: int | None = None
    media_type: str | None = None
    note: str | None = None


class ListItem(Struct):
    """`position` counts the lists of the file from 0; `films` in the list's own order."""

    name: str
    color: str
    icon: str
    position: int
    description: str | None
    films: list[CollectedFilm]


class ViewItem(Struct):
    """A person and a list stand in the filters by name. `position` as of a list."""

    name: str
    filters: dict[str, FilterValue]
    position: int


class SettingItem(Struct):
    """`name`: which setting; `value`: as that setting has it."""

    name: str
    value: dict[str, Any]


class CollectionMetadata(Struct):
    """`exported_at`: ISO 8601, UTC; `mm_version`: of the program that wrote it."""

    version: str
    mm_version: str
    export_type: CollectionKind
    exported_at: str
    item_count: int


class Collection(Struct):
    """The file. `items` are of the kind that `metadata.export_type` says."""

    metadata: CollectionMetadata
    items: list[dict[str, Any]]


class CollectionExport(Struct):
    """What to export: the items with these ids, or all of them. A person's id is a number, a list's
    and a view's a text, a setting's its name."""

    ids: list[int | str] = []
    export_all: bool = False


class CollectionImport(Struct):
    """`export`: the file. `resolutions`: by an item's name in the file, what to do where you have
    that name already: skip, rename or overwrite; `bulk_resolution` for all others, by default skip.
    Without `export`, the body itself is the file, with its `metadata` and `items`."""

    export: dict[str, Any] | None = None
    resolutions: dict[str, str] = {}
    bulk_resolution: str | None = None
    metadata: dict[str, Any] | None = None
    items: list[Any] | None = None


class CollectionConflict(Struct):
    """`resolution`: what an import with the same choices would do."""

    import_name: str
    existing_id: int | str
    existing_name: str
    resolution: Resolution


class ItemError(Struct):
    item_name: str
    error: str


class PlannedItem(Struct):
    """What happens to one item of the file. `new_name`: of a renamed one. `existing_id` and
    `existing_name`: of mine with that name. `differences`: what an overwrite changes, in words.
    `notes`: what else there is to say, such as films that are added."""

    name: str
    outcome: ItemOutcome
    new_name: str | None = None
    existing_id: int | str | None = None
    existing_name: str | None = None
    differences: list[str] = []
    notes: list[str] = []
    error: str | None = None


class CollectionPreview(Struct):
    """`new_items`: how many have a name that is not here yet. `items` in the file's order.
    `version_warning`: another version of the program wrote the file."""

    total_items: int
    new_items: int
    conflicts: list[CollectionConflict]
    errors: list[ItemError]
    version_warning: str | None
    warnings: list[str]
    items: list[PlannedItem]


class ImportedItem(Struct):
    """`name`: what it is called here."""

    import_name: str
    name: str
    id: int | str
    outcome: ItemOutcome


class CollectionResult(Struct):
    """How many items were treated how; together they are `total_items`. `safety_backup`: the name
    of the backup that was made before, with which the import can be undone."""

    total_items: int
    imported: int
    skipped: int
    overwritten: int
    renamed: int
    errors: int
    error_details: list[ItemError]
    imported_items: list[ImportedItem]
    version_warning: str | None
    warnings: list[str]
    safety_backup: str | None = None
