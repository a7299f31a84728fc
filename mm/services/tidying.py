"""What nobody needs any more is deleted once a night: titles that no library holds, their posters,
and log-ins that were ended long ago."""

from mm.models import Job
from mm.services import accounts, problems
from mm.services.enrichment import posters
from mm.services.enrichment import queue as enrichment_queue

# part -> what health calls it, and the work. Posters after titles: theirs may be the last.
PARTS = {
    "tidy.titles": ("Deleting titles that no library holds", enrichment_queue.sweep),
    "tidy.posters": ("Deleting posters of no title", posters.sweep),
    "tidy.sessions": ("Forgetting ended log-ins", accounts.sweep),
}


def run(_job: Job) -> dict:
    """The work of a job of kind tidying. One part that fails is named by health, and the others are
    done."""
    for part, (what, work) in PARTS.items():
        problems.attempt(part, what, work)
    return {}
