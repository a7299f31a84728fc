"""gunicorn.conf.py with short deadlines, for GUNICORN_CMD_ARGS="-c python:tests.hurried"."""

from mm import bodies
from mm.config import ROOT

exec(compile((ROOT / "gunicorn.conf.py").read_text(), "gunicorn.conf.py", "exec"))
bodies.GRACE_SECONDS = 1
