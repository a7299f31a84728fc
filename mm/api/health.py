from flask import Blueprint

from mm import clock
from mm.api.openapi import answers, api
from mm.schemas import Health
from mm.services import health as server

bp = Blueprint("health", __name__)


@bp.get("/health")
@api.validate(resp=answers(503, HTTP_200=Health), tags=["Health"], security=[])
def health():
    """Whether the server works.

    `degraded` for what needs looking at, such as a late worker, an old backup or little room on
    the disk; 503 only when the database cannot be read or written.
    """
    return Health(timestamp=clock.now(), **server.check())
