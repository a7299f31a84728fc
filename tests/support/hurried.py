"""gunicorn.conf.py with short deadlines: GUNICORN_CMD_ARGS="-c python:tests.support.hurried"."""

from mm import request_bodies
from mm.config import ROOT

exec(compile((ROOT / "gunicorn.conf.py").read_text(), "gunicorn.conf.py", "exec"))
request_bodies.GRACE_SECONDS = 1
