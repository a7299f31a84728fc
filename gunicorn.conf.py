"""How gunicorn serves `wsgi:app`; it reads this file by itself in the folder it is started in."""

import os

bind = os.environ.get("MM_BIND") or "127.0.0.1:8000"
# Log-in limits, caches and the providers' pace are kept in the one process.
worker_class = "gthread"
workers = 1
# What may hold a thread for seconds is limited, so that some are always left for everybody's pages:
#   12 connections that listen for news   (mm/api/live.py)
#   12 look-ups at TMDB and OMDb          (mm/services/enrichment/lookup_slots.py)
#   12 posters from the image host        (mm/services/enrichment/posters.py)
#    6 checks of passwords                (mm/login_limits.py)
#   42, and 6 are left. Connections take half of them at most where fewer threads are set.
threads = 48
limit_request_line = 8190
# It would be written into the home folder.
control_socket_disable = True
# Only the application decides whom X-Forwarded-* may come from: MM_TRUSTED_PROXIES.
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}


def post_worker_init(worker):
    """Open connections end with the worker, and take at most half of its threads."""
    from mm.api import live

    live.serve_in(worker, worker.cfg.threads)
