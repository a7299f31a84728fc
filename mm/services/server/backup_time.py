"""The time and the zone of everybody's nightly backups, and what an administrator decides about
backups right after the server was set up."""

from collections.abc import Mapping

from msgspec import structs

from mm.database import db
from mm.models import Job, User
from mm.services import settings
from mm.services.backup import nightly, schedule
from mm.services.server import archive_schedule, databases

VARIABLES = ("BACKUP_TIME", "TZ")


def save(texts: Mapping[str, str]) -> set[str]:
    """Put them in force, by variable; returns those that changed. Raises what `settings.save`
    raises."""
    changed = settings.save(texts)
    if changed:
        schedule.take_new_time()
    if "TZ" in changed:
        archive_schedule.take_new_zone()
    return changed


def offered(user: User) -> tuple[bool, bool]:
    """Whether to tick nightly backups of the library, and archives of the server: yes, until
    somebody has decided."""
    library = user.backup_enabled or nightly.is_undecided(user)
    if not databases.is_sqlite():
        return library, False
    return library, settings.archives().enabled or archive_schedule.is_undecided()


def begin(
    user: User, texts: Mapping[str, str], library: bool, archives: bool
) -> tuple[set[str], Job | None]:
    """Save the time and the zone, and switch the nightly backups of the user's library and the
    archives of the server on or off. Returns what changed of the first two, and a job to enqueue.
    Raises what `settings.save` raises; then nothing is changed."""
    changed = save(texts)
    with db.atomic():
        if databases.is_sqlite():
            wanted = structs.replace(settings.archives(), enabled=archives)
            if archive_schedule.is_undecided() or wanted != settings.archives():
                archive_schedule.save(wanted)
        if nightly.is_undecided(user):
            nightly.decide(user, library, nightly.FIRST_FILMS_SECONDS)
            return changed, None
        job = nightly.enable(user, library) if library != user.backup_enabled else None
    return changed, job
