"""Where the tests keep their files: in memory where there is room, because waiting for the disk at
each commit takes most of the time; and never in the developer's own data folder."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")

# Servers that a test starts import this package too; they were told where their data is.
if "pytest" in sys.modules:
    # Each server and command would compile the whole program again: half a second of it.
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 4 * 2**30:
        tempfile.tempdir = str(MEMORY)
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
    # Of this run; removed at its end.
    RUN_FOLDER = tempfile.TemporaryDirectory(prefix="mm-tests-")
    os.environ["MM_DATA_DIR"] = f"{RUN_FOLDER.name}/data"
