"""Where the tests keep their files: in memory where there is room, because waiting for the disk at
each commit takes most of the time; and never in the developer's own data folder."""

import os
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 4 * 2**30:
    tempfile.tempdir = str(MEMORY)
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
# Of this run; removed at its end.
RUN_FOLDER = tempfile.TemporaryDirectory(prefix="mm-tests-")
os.environ["MM_DATA_DIR"] = f"{RUN_FOLDER.name}/data"
