"""Archives for tests: a whole one of a small server, and ones that were tampered with."""

import hashlib
import io
import json
import zipfile
from pathlib import Path

from mm import config
from mm.schemas import SettingsFile, SettingValue
from mm.services.server.archive_format import packing

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 20
SETTINGS = SettingsFile(1, {"TZ": SettingValue("environment", "Europe/Berlin")})
WHEN = {"timestamp": "2026-03-01-12-00-00", "created_at": 1772366400.0}


def add_poster(name="w342/one.jpg", content=JPEG):
    path = config.current.posters_dir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def make(target, database=True, posters=True, settings=SETTINGS, progress=None):
    return packing.make(
        target, database=database, posters=posters, settings=settings, progress=progress, **WHEN
    )


def members_of(path):
    """{name: bytes}, metadata.json included."""
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def write(target, members, metadata=None, method=zipfile.ZIP_DEFLATED):
    """A ZIP of these members. metadata.json describes them truly but for the keys of `metadata`."""
    described = described_by(members) | (metadata or {})
    with zipfile.ZipFile(target, "w", method) as file:
        file.writestr("metadata.json", json.dumps(described))
        for name, content in members.items():
            if name != "metadata.json":
                file.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return target


def described_by(members):
    """The metadata.json of `members`, with the sizes and digests of the others."""
    described = json.loads(members["metadata.json"])
    described["members"] = {
        name: {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in members.items()
        if name != "metadata.json"
    }
    pictures = [len(data) for name, data in members.items() if name.startswith("posters/")]
    described["posters_count"] = len(pictures)
    described["posters_size_bytes"] = sum(pictures)
    described["database_size_bytes"] = len(members.get("database.db", b""))
    if "settings.json" not in members:
        described["settings_count"] = 0
    return described


def zip_bytes(*members):
    """A ZIP of (name or ZipInfo, content), whatever they are."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for name, content in members:
            file.writestr(name, content)
    return data.getvalue()


def left_in(folder: Path):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
