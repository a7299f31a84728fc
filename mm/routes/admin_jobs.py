"""Server, Jobs: what the whole server does in the background, and how it ended.

Whose work it is and how many films it wrote may be seen here; what is in a library and what its
files are called may not. So the reasons that users read are shown only where they are about the
server.
"""

import re

from flask import Blueprint, Response, request

from mm import auth, disk, htmx, spoken
from mm.models import Job
from mm.routes.contexts import progress_context
from mm.services import heartbeat, jobs
from mm.services.server import staging

# So many of what is queued are shown.
WAITING_SHOWN = 5
ARTICLE = re.compile(r"^(An?|The) ")
LOG_CODE = re.compile(r"(?:Ask whoever runs this server )?\(details in the log, code (\w+)\)")
STATES = {
    "waiting": ("To be confirmed", "plain"),
    "done": ("Done", "good"),
    "failed": ("Failed", "bad"),
}
IN_MEGABYTES = (*jobs.OF_THE_SERVER, "archives")
# Jobs of several steps, each from 0 to 100 %: the time left cannot be estimated.
IN_PERCENT = ("catalogue",)
# Reasons that say nothing of a library, by how they begin.
GENERAL = (jobs.GIVEN_UP, staging.ENDED, "Not enough disk space", disk.FULL)
# The counts of a result, in the order in which they are told: one of them, several, and what
# follows.
COUNTED = {
    "movies_imported": ("film", "films", ""),
    "people_imported": ("person", "people", ""),
    "lists_imported": ("list", "lists", ""),
    "imported": ("item", "items", " imported"),
    "renamed": ("item", "items", " renamed"),
    "overwritten": ("item", "items", " overwritten"),
    "users": ("account", "accounts", ""),
    "films": ("film", "films", ""),
    "series": ("series", "series", ""),
    "renewed": ("title", "titles", " renewed"),
    "filled": ("title", "titles", " filled"),
    "movies": ("film", "films", ""),
    "linked": ("library", "libraries", " without a change"),
    "tmdb_ready": ("title", "titles", " from TMDB"),
    "tmdb_missing": ("title", "titles", " not at TMDB"),
    "tmdb_failed": ("title", "titles", " failed at TMDB"),
    "omdb_ready": ("title", "titles", " from OMDb"),
    "omdb_missing": ("title", "titles", " not at OMDb"),
    "omdb_failed": ("title", "titles", " failed at OMDb"),
    "fetched": ("poster", "posters", " fetched"),
    "absent": ("poster", "posters", " not there"),
    "checked": ("backup", "backups", " checked"),
    "damaged": ("backup", "backups", " damaged"),
    "failed": ("backup", "backups", " not checked"),
}

bp = Blueprint("admin_jobs", __name__, url_prefix="/admin/jobs")


@bp.get("")
@auth.admin_required
def index() -> Response:
    under_way, queued = jobs.under_way(WAITING_SHOWN)
    ended = jobs.ended(request.args.get("page", 1, type=int))
    return htmx.render(
        "admin/jobs.html",
        "admin/_jobs.html",
        under_way=[_running(job) for job in under_way],
        more=queued - sum(job.state == "queued" for job in under_way),
        late=bool(queued) and heartbeat.worker_is_late(),
        ended=[_ended(job, ended.results.get(job.id, {})) for job in ended.jobs],
        number=ended.number,
        pages=ended.pages,
    )


def _running(job: Job) -> dict:
    """What it does now is said of the server's own work: of users' the kind says enough."""
    context = progress_context(job)
    message = "" if job.user_id else context["reason"]
    unit = " MB" if job.kind in IN_MEGABYTES else ""
    in_percent = job.kind in IN_PERCENT
    left = None if in_percent else context["left"]
    return {
        **_line(job),
        "left": left,
        "message": message,
        "unit": unit,
        "in_percent": in_percent,
    }


def _ended(job: Job, result: dict) -> dict:
    label, mood = STATES.get(job.state, (job.state, "plain"))
    outcome = _reason(job) if job.state == "failed" else _outcome(job, result)
    return {**_line(job), "label": label, "mood": mood, "outcome": outcome}


def _line(job: Job) -> dict:
    noun = ARTICLE.sub("", jobs.KINDS[job.kind].noun)
    took = job.finished_at - job.started_at if job.finished_at and job.started_at else None
    return {
        "job": job,
        "what": noun[0].upper() + noun[1:],
        "username": job.user.username if job.user_id else None,
        "took": took,
    }


def _outcome(job: Job, result: dict) -> str:
    """A file that was found damaged, else the counts."""
    if result.get("problem") or result.get("state") == "damaged":
        return "The file is damaged."
    parts = []
    for name, (one, several, after) in COUNTED.items():
        value = result.get(name)
        # The damaged ones are listed by their names.
        count = len(value) if isinstance(value, list) else value
        if isinstance(count, int) and count:
            parts.append(spoken.plural(count, one, several) + after)
    return ", ".join(parts)


def _reason(job: Job) -> str:
    """What failed, and what to do."""
    if code := LOG_CODE.search(job.message):
        return f"Something went wrong on the server. The log has the details (code {code[1]})."
    if not job.user_id or job.message.startswith(GENERAL):
        return job.message
    return f"{job.user.username} can see why on their Data & Backup page."
