"""Deletes once a night what nobody needs any more: titles that no library holds, their posters,
sessions that ended long ago, invitations that were not used in time, and links to lists that have
run out."""

from mm.models import Job
from mm.services import account_links, accounts, problems
from mm.services.enrichment import posters
from mm.services.enrichment import queue as enrichment_queue
from mm.services.library import shares

# part -> its name in the words of health, and the work. Posters after titles, because deleting a
# title may leave its poster without one.
PARTS = {
    "tidy.titles": ("Deleting titles that no library holds", enrichment_queue.sweep),
    "tidy.posters": ("Deleting posters of no title", posters.sweep),
    "tidy.sessions": ("Forgetting ended log-ins", accounts.sweep),
    "tidy.links": ("Forgetting invitations that have expired", account_links.sweep),
    "tidy.shares": ("Forgetting links to lists that have run out", shares.sweep),
}


def run(_job: Job) -> dict:
    """The work of a job of kind tidying. A part that fails is kept as a problem, and the others are
    done all the same."""
    for part, (what, work) in PARTS.items():
        problems.attempt(part, what, work)
    return {}
