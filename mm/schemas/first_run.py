"""What the first run finds in a file, and what came of taking it over."""

from typing import Literal

from msgspec import Struct, field

from mm.schemas.archives import SettingDifference
from mm.schemas.portable import Problem

# An archive of the whole server, the export of all libraries, one user's library, and the database
# of the original Movie Manager.
FoundKind = Literal["archive", "all-users", "library", "original"]


class FoundUser(Struct):
    """`films` without deleted ones."""

    id: str
    username: str
    email: str
    films: int
    is_admin: bool = False


class Found(Struct):
    """What a file holds, before anything of it is taken over. `made_by`: which program and version,
    in words. `users` is empty where the file is one user's library, and where an archive does not
    name them."""

    kind: FoundKind
    source: str
    made_at: float | None
    made_by: str
    users_count: int
    films: int
    users: list[FoundUser] = field(default_factory=list)
    # Files of the original's backups folder.
    backups: int = 0
    warnings: list[str] = field(default_factory=list)


class TakenUser(Struct):
    """`films` without deleted ones. `problems`: the rows
    of the user's library that were left out, or of which a value was. `backups`: how many files of
    the original's backups were copied in and verified."""

    username: str
    email: str
    films: int
    people: int = 0
    lists: int = 0
    rankings: int = 0
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    backups: int = 0


class TakenOver(Struct):
    """`left_out`: a sentence for each user, row or file that was not taken over and belongs to no
    one in `users`."""

    users: list[TakenUser] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    differences: list[SettingDifference] = field(default_factory=list)
