"""A stand-in: archives through zipfile."""

import hashlib
import os
import secrets
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec

import mm
from mm import config, files
from mm.schemas import Member, Metadata, SettingsFile
from mm.schemas.archives import ARCHIVE_VERSION
from mm.services.enrichment import posters as poster_files
from mm.services.server import databases

Progress = Callable[[int, int, str], None] | None


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
    *,
    database: bool,
    posters: bool,
    settings: SettingsFile | None,
    timestamp: str,
    created_at: float,
    has_secrets: bool = False,
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
            parts["settings.json"] = msgspec.json.encode(settings)
        if posters:
            for path in poster_paths():
                parts[f"posters/{path.parent.name}/{path.name}"] = path
        for name, part in parts.items():
            data = part if isinstance(part, bytes) else part.read_bytes()
            members[name] = Member(len(data), hashlib.sha256(data).hexdigest())
        poster_members = [member for name, member in members.items() if name[:2] == "po"]
        metadata = Metadata(
            timestamp, created_at, ARCHIVE_VERSION, mm.__version__, schema, members,
            database_size_bytes=members["database.db"].size_bytes if database else 0,
            posters_count=len(poster_members),
            posters_size_bytes=sum(member.size_bytes for member in poster_members),
            rows=rows, has_secrets=has_secrets,
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
