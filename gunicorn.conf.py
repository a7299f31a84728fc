"""How gunicorn serves `wsgi:app`. It reads this file from the folder in which it is started."""

import os

bind = os.environ.get("MM_BIND") or "127.0.0.1:8000"
# One process, because log-in limits, caches and rate limits of the providers are kept in memory.
worker_class = "gthread"
workers = 1
# What may hold a thread for seconds is limited, so that some threads are always free for pages:
#   12 WebSocket connections         (mm/api/live.py: CONNECTIONS)
#   12 look-ups at TMDB and OMDb     (mm/services/enrichment/lookup_slots.py: AT_ONCE and WAITING)
#   12 posters from the image host   (mm/services/enrichment/posters.py: AT_ONCE and WAITING)
#    6 checks of passwords           (mm/login_limits.py: AT_ONCE and WAITING)
#    2 uploads of archives           (mm/services/server/archive_uploads.py: AT_ONCE)
#    3 long shared lists, whole      (mm/services/library/shares.py: 1 and WAITING)
# That makes 47, and 5 are left. With fewer threads, connections take at most half of them.
threads = 52
limit_request_line = 8190
# Its socket would be written into the home folder.
control_socket_disable = True
# Only the application decides whom X-Forwarded-* may come from: MM_TRUSTED_PROXIES.
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}


def post_worker_init(worker):
    """So that open WebSockets end with the worker, and take at most half of its threads."""
    from mm.api import live

    live.serve_in(worker, worker.cfg.threads)
