"""What the kinds of collections have in common: an item of a file, and what is here already."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from msgspec import Struct

from mm.services.collections.envelope import SHOWN_MAX
from mm.services.library.changes import Write

# So many names are said in one sentence.
NAMED_MAX = 3


class Choice(NamedTuple):
    """Something that can be exported. `detail`: a few words about it, such as "12 films"; `row`:
    what its face or its mark is drawn from, where it has one."""

    id: int | str
    name: str
    detail: str
    row: Any = None


class Entry(Struct):
    """An item of a file that can be used. `values`: a struct of its kind, checked; `notes`: what of
    the item was left out, and why; `overwrites`: mine that it is taken in place of, None where it
    is new, or not taken."""

    name: str
    values: Any
    notes: list[str] = []
    overwrites: "Here | None" = None


class Here(Struct):
    """Something of this user's that a file may meet by its name. `row`: what its kind needs to
    compare and to overwrite it. `protected`: why it cannot be overwritten."""

    id: int | str
    name: str
    row: Any
    protected: str | None = None


class Kind(Protocol):
    """What a module of this package must have; everything is about one user.

    `NOUN`, `NOUNS`: what one and several are called. `NAMES_REPEAT`: two may have the same name.
    `CAN_RENAME`: one of the file may be taken under another name. `IN_LIBRARY`: they are a part of
    the library, which is backed up before it is changed, and counts its writes.
    """

    NOUN: str
    NOUNS: str
    NAMES_REPEAT: bool
    CAN_RENAME: bool
    IN_LIBRARY: bool

    def choices(self, user_id: str) -> list[Choice]:
        """What can be exported, in the order of its page."""
        ...

    def export(self, user_id: str, ids: Sequence[int | str] | None) -> Sequence[Struct]:
        """These, or all of them, as items of a file. Raises NotFoundError for an unknown id."""
        ...

    def read(self, item: dict) -> Entry:
        """Raises FieldError for an item that cannot be used."""
        ...

    def here(self, user_id: str) -> list[Here]:
        """All of this user's, in a fixed order."""
        ...

    def look_at(self, user_id: str, entries: Sequence[Entry]) -> None:
        """Add to the notes of these entries, which are about to be taken, what happens besides
        themselves: films that are added, people who are missing. May change their values to what
        can be taken. Raises InvalidError where the library has no room for them."""
        ...

    def differences(self, entry: Entry, here: Here) -> list[str]:
        """What overwriting `here` with it changes, each in words; empty for two that are equal."""
        ...

    def create(self, change: Write, entries: Sequence[Entry]) -> list[int | str]:
        """Their ids. Each `name` is free. Inside the transaction of the import."""
        ...

    def overwrite(self, change: Write, pairs: Sequence[tuple[Entry, Here]]) -> None:
        """Give each of mine the values of the file; it keeps its id. As `create`."""
        ...


def quoted(text: str) -> str:
    """What a file says, in quotation marks, short and on one line."""
    printable = "".join(filter(str.isprintable, text))
    return f"“{printable[:SHOWN_MAX]}{'…' if len(printable) > SHOWN_MAX else ''}”"


def listed(texts: Sequence[str]) -> str:
    """Such as “Ben”, “Zoe” and “Kim”; of more than NAMED_MAX, the number of the others."""
    shown = [quoted(text) for text in texts[:NAMED_MAX]]
    if len(texts) > NAMED_MAX:
        shown.append(f"{len(texts) - NAMED_MAX:,} more")
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
