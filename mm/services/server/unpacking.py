"""A stand-in: the check of archives."""

import hashlib
import re
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from mm.errors import InvalidError
from mm.schemas import Metadata
from mm.services.server import databases
from mm.services.server.packing import work_folder

Progress = Callable[[int, int, str], None] | None


class Checked(NamedTuple):
    metadata: Metadata
    warnings: list[str]
    migrations: list[str]


def check(path: Path, progress: Progress = None) -> Checked:
    work = work_folder()
    try:
        with zipfile.ZipFile(path) as archive:
            metadata = msgspec.json.decode(archive.read("metadata.json"), type=Metadata)
            for name, member in metadata.members.items():
                data = archive.read(name)
                if hashlib.sha256(data).hexdigest() != member.sha256:
                    raise InvalidError(f"Backup file is corrupted: {name} was changed.")
                if name == "database.db":
                    (work / "database.db").write_bytes(data)
                    if fault := databases.fault_of(work / "database.db"):
                        raise InvalidError(f"Backup file is corrupted: {fault}.")
            if progress:
                progress(1, 1, "Testing the archive")
            return Checked(metadata, [], [])
    except (zipfile.BadZipFile, KeyError, msgspec.DecodeError, sqlite3.Error, EOFError) as error:
        raise InvalidError(f"Backup file is corrupted: {error}.") from error
    except Exception as error:
        if re.search("zlib|compress", f"{error!r}"):
            raise InvalidError(f"Backup file is corrupted: {error}.") from error
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
