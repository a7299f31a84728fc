"""A stand-in: archives through zipfile."""

import hashlib
import json
import os
import re
import secrets
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

import mm
from mm import clock, config, files
from mm.errors import InvalidError
from mm.schemas import ARCHIVE_VERSION, Member, Metadata
from mm.services.enrichment import posters as poster_files
from mm.services.server import databases

Progress = Callable[[int, int, str], None] | None


class Checked(NamedTuple):
    metadata: Metadata
    warnings: list[str]
    migrations: list[str]


def poster_paths() -> list[Path]:
    root = config.current.posters_dir
    return [
        path
        for size in poster_files.SIZES
        for path in sorted((root / size).glob("*"))
        if poster_files.NAME.fullmatch(path.name)
    ]


def make(
    target: Path,
    timestamp: str,
    *,
    database: bool = True,
    posters: bool = False,
    settings: bool = True,
    secrets: bool = False,
    progress: Progress = None,
) -> tuple[Metadata, str, int]:
    members, rows, schema = {}, {}, ""
    parts: dict[str, Path | bytes] = {}
    work = work_folder()
    try:
        if database:
            databases.copy(work / "database.db")
            rows = databases.rows_of(work / "database.db")
            schema = databases.migrations_of(work / "database.db")[-1]
            parts["database.db"] = work / "database.db"
        if settings:
            parts["settings.json"] = json.dumps({"version": 1, "settings": {}}).encode()
        if posters:
            for path in poster_paths():
                parts[f"posters/{path.parent.name}/{path.name}"] = path
        for name, part in parts.items():
            data = part if isinstance(part, bytes) else part.read_bytes()
            members[name] = Member(len(data), hashlib.sha256(data).hexdigest())
        poster_members = [member for name, member in members.items() if name[:2] == "po"]
        metadata = Metadata(
            timestamp, clock.now(), ARCHIVE_VERSION, mm.__version__, schema, members,
            database_size_bytes=members["database.db"].size_bytes if database else 0,
            posters_count=len(poster_members),
            posters_size_bytes=sum(member.size_bytes for member in poster_members),
            rows=rows, has_secrets=secrets,
        )  # fmt: skip
        with zipfile.ZipFile(target, "x", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("metadata.json", msgspec.json.encode(metadata))
            for done, (name, part) in enumerate(parts.items()):
                if progress:
                    progress(done, len(parts), "Packing")
                archive.writestr(name, part if isinstance(part, bytes) else part.read_bytes())
        with target.open("rb") as file:
            os.fsync(file.fileno())
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return metadata, files.sha256(target), target.stat().st_size


def work_folder() -> Path:
    work = config.current.tmp_dir / f"archive-{secrets.token_hex(8)}"
    work.mkdir(mode=0o700)
    return work


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
