"""Which names the members of an archive may have, on whatever system it is unpacked."""

import unicodedata

NAME_MAX_BYTES = 500
PART_MAX_BYTES = 255


def fault_of(name: str) -> str | None:
    """Why no member of an archive may have this name; None for one that is all right."""
    parts = name.removesuffix("/").split("/")
    if not name.isprintable() or "\\" in name or ":" in name:
        return "it has characters that are not allowed"
    if {"", ".", ".."} & set(parts):
        return "it leads elsewhere"
    sizes = [len(part.encode()) for part in parts]
    if max(sizes) > PART_MAX_BYTES or len(name.encode()) > NAME_MAX_BYTES:
        return "it is too long"
    return None


def folded(name: str) -> str:
    """Equal for names that some file system takes for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def fault_of_all(names: list[str]) -> str | None:
    """What keeps these from lying in one folder; None for nothing. Names of folders end with /."""
    keys = [folded(name.removesuffix("/")) for name in names]
    seen: set[str] = set()
    for name, key in zip(names, keys, strict=True):
        if key in seen:
            return f"{name} is there twice"
        seen.add(key)
    files = {key for name, key in zip(names, keys, strict=True) if not name.endswith("/")}
    for name, key in zip(names, keys, strict=True):
        parts = key.split("/")
        if any("/".join(parts[:depth]) in files for depth in range(1, len(parts))):
            return f"{name} lies in what is not a folder"
    return None
