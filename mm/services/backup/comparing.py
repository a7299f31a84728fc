"""What is different between two backups, or between a backup and the library as it is now."""

from itertools import islice

from msgspec import Struct

from mm.models import User
from mm.schemas import Change
from mm.services import portable
from mm.services.backup import files as backup_files
from mm.services.backup import large_files, verification
from mm.services.portable import Incoming

# Rows that are shown; two large libraries may differ in millions.
MOST_ROWS = 2000


class Comparison(Struct):
    """`counts[kind][outcome]` of all rows, and the first MOST_ROWS that are different: new is what
    only the newer one has, removed what only the older one has, fields go from older to newer.
    `more`: different rows that are not among `changes`."""

    counts: dict[str, dict[str, int]]
    changes: list[Change]
    more: int


def compare(user: User, older: str, newer: str | None) -> Comparison:
    """From the backup `older` to the backup `newer`, None for the library now. Writes nothing.
    Raises NotFoundError, InvalidError for a damaged file, and UnavailableError while another large
    file is read."""
    before = _read(user, older)
    # Under the owner's own id, by which the titles are found that only the server knows.
    with verification.restored_library(before, user.id) as scratch:
        del before
        plan = portable.plan(user.id, _read(user, newer), database=scratch, mode="replace")
    counts = portable.count(plan)
    changes = list(islice(portable.changes(plan), MOST_ROWS))
    different = sum(
        count for tally in counts.values() for outcome, count in tally.items() if outcome != "same"
    )
    return Comparison(counts, changes, max(0, different - len(changes)))


def _read(user: User, filename: str | None) -> Incoming:
    if filename is None:
        data = portable.encode(portable.dump(user.id))
    else:
        data = backup_files.read(user.id, filename)
    return large_files.read(data, user.id, trusted=True)
