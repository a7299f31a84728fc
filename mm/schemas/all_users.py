"""One account of the export of all libraries."""

from msgspec import Struct

from mm.schemas.portable import Document

# What tells such a file from one user's library.
KIND = "server"


class ServerUser(Struct):
    """`retention`: how many daily, weekly, monthly and yearly backups stay."""

    id: str
    username: str
    email: str
    password_hash: str
    is_admin: bool
    is_active: bool
    created_at: float
    backup_enabled: bool
    retention: dict[str, int]
    library: Document
