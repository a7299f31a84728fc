"""The settings of the server that are kept in the database, and where each value comes from."""

import msgspec

from mm import models
from mm.database import db
from mm.schemas import ArchiveSchedule

# Keys of the table `setting`. What else it holds are marks of the program.
ARCHIVES = "server.archives"


def archives() -> ArchiveSchedule:
    return msgspec.convert(models.setting(ARCHIVES, {}), ArchiveSchedule)


def put_archives(schedule: ArchiveSchedule) -> None:
    with db.atomic():
        models.put_setting(ARCHIVES, msgspec.to_builtins(schedule))
