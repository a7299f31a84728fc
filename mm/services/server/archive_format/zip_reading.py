"""Reads ZIP files that may have been made to do harm.

The list of members (the central directory) is read with limits of our own and compared with what
stands before each member; sizes that the file declares reserve no memory. Python's zipfile would
read a list of any length at once, and believes it.
"""

import os
import stat
import struct
from collections.abc import Generator, Iterator
from typing import BinaryIO, NamedTuple

from isal import isal_zlib
from isal.igzip_lib import IsalError

from mm.errors import InvalidError
from mm.services.server.archive_format import member_names

CORRUPTED = "Backup file is corrupted: "
MEMBERS_MAX = 200_000
DIRECTORY_MAX = 64 * 2**20
PIECE = 2**20
# Less than PIECE: what does not get used of it is copied for the next step.
PACKED_PIECE = 2**18
STORED, DEFLATED, AES = 0, 8, 99
ENCRYPTED_FLAGS = 0x0001 | 0x0040 | 0x2000
DESCRIPTOR_FLAG, UTF8_FLAG = 0x0008, 0x0800
# Deflate cannot make more than 1,032 bytes of one.
RATIO_MAX = 1032
FULL_16, FULL_32 = 0xFFFF, 0xFFFFFFFF
# APPNOTE.TXT of PKWARE, sections 4.3.7 to 4.3.16.
LOCAL = struct.Struct("<4s5H3L2H")
CENTRAL = struct.Struct("<4s6H3L5H2L")
END = struct.Struct("<4s4H2LH")
END_64 = struct.Struct("<4sQ2H2L4Q")
LOCATOR_64 = struct.Struct("<4sLQL")
COMMENT_MAX = 0xFFFF


class Entry(NamedTuple):
    """A member of a ZIP. `start`: where its bytes begin in the file, `packed` of them; `size`: how
    many they say to become."""

    name: str
    method: int
    crc: int
    packed: int
    size: int
    start: int


class _Listed(NamedTuple):
    raw_name: bytes
    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int


def corrupted(why: str) -> InvalidError:
    return InvalidError(f"{CORRUPTED}{why}.")


def entries(file: BinaryIO) -> list[Entry]:
    """All members, folders included, in the order of their bytes. Raises InvalidError for what is
    no ZIP, is cut off, encrypted or packed by an unknown method, holds a link or a device, a name
    that leads elsewhere or comes twice, and where two members share bytes."""
    count, start, size = _find_directory(file)
    listed = sorted(_listed(_at(file, start, size), count), key=lambda row: row.offset)
    if fault := member_names.fault_of_all([row.name for row in listed]):
        raise corrupted(fault)
    found = []
    free_from = 0
    for row in listed:
        if row.offset < free_from:
            raise corrupted(f"{row.name} shares bytes with another member")
        if row.offset > start:
            raise corrupted(f"{row.name} is cut off")
        data = _start_of_data(file, row)
        free_from = data + row.packed
        if free_from > start:
            raise corrupted(f"{row.name} is cut off")
        found.append(Entry(row.name, row.method, row.crc, row.packed, row.size, data))
    return found


def read(file: BinaryIO, entry: Entry) -> Generator[bytes, None, None]:
    """Its unpacked bytes, a piece of at most PIECE bytes at a time, and never more than it says.
    Raises InvalidError where they are damaged, more, or fewer."""
    crc = produced = 0
    for piece in _unpacked(file, entry):
        produced += len(piece)
        if produced > entry.size:
            raise corrupted(f"{entry.name} unpacks to more than its size")
        crc = isal_zlib.crc32(piece, crc)
        yield piece
    if produced != entry.size or crc != entry.crc:
        raise corrupted(f"{entry.name} is damaged")


def _find_directory(file: BinaryIO) -> tuple[int, int, int]:
    """How many members are listed, where their list begins, and its size in bytes."""
    length = os.fstat(file.fileno()).st_size
    begin = max(0, length - END.size - COMMENT_MAX)
    tail = _at(file, begin, length - begin)
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) - place < END.size:
        raise corrupted("it is not a ZIP file, or its end is missing")
    _, disk, other, on_disk, count, size, start, comment = END.unpack_from(tail, place)
    end = begin + place
    if end + END.size + comment != length:
        raise corrupted("its end is damaged")
    if end >= LOCATOR_64.size and (
        locator := _at(file, end - LOCATOR_64.size, LOCATOR_64.size)
    ).startswith(b"PK\x06\x07"):
        small = (disk, other, on_disk, count, size, start)
        end, *large = _large_end(file, end, locator)
        limits = (FULL_16,) * 4 + (FULL_32,) * 2
        if any(a not in (b, limit) for a, b, limit in zip(small, large, limits, strict=True)):
            raise corrupted("its two ends differ")
        disk, other, on_disk, count, size, start = large
    if disk or other or on_disk != count:
        raise corrupted("it is one part of several")
    if count > MEMBERS_MAX or size > DIRECTORY_MAX:
        raise corrupted(f"it has more than {MEMBERS_MAX:,} members")
    if start + size != end:
        raise corrupted("its list of members is damaged")
    return count, start, size


def _large_end(file: BinaryIO, end: int, locator: bytes) -> tuple[int, ...]:
    """The record of a ZIP beyond 4 GB or 65,535 members: where it begins, then disk, disk of the
    list, members on it, members, size of the list, start of the list."""
    place = end - LOCATOR_64.size - END_64.size
    if place < 0:
        raise corrupted("its end is damaged")
    mark, rest, _, _, disk, other, on_disk, count, size, start = END_64.unpack(
        _at(file, place, END_64.size)
    )
    is_ours = mark == b"PK\x06\x06" and rest == END_64.size - 12
    if not is_ours or LOCATOR_64.unpack(locator)[1:] != (0, place, 1):
        raise corrupted("its end is damaged")
    return place, disk, other, on_disk, count, size, start


def _listed(listing: bytes, count: int) -> Iterator[_Listed]:
    place = 0
    for _ in range(count):
        if len(listing) - place < CENTRAL.size:
            raise corrupted("its list of members is cut off")
        fields = CENTRAL.unpack_from(listing, place)
        mark, _, _, flags, method, _, _, crc, packed, size, *more = fields
        name_size, extra_size, comment_size, disk, _, attributes, offset = more
        place += CENTRAL.size
        raw_name = listing[place : place + name_size]
        extra = listing[place + name_size : place + name_size + extra_size]
        place += name_size + extra_size + comment_size
        if mark != b"PK\x01\x02" or place > len(listing) or disk:
            raise corrupted("its list of members is damaged")
        name = _name_of(raw_name, flags)
        packed, size, offset = _large_sizes(extra, packed, size, offset)
        _refuse_kind(name, flags, method, attributes >> 16)
        if size > packed * RATIO_MAX or (method == STORED and size != packed):
            raise corrupted(f"{name} gives an impossible size")
        yield _Listed(raw_name, name, flags, method, crc, packed, size, offset)
    if place != len(listing):
        raise corrupted("its list of members is damaged")


def _name_of(raw: bytes, flags: int) -> str:
    try:
        name = raw.decode("utf-8" if flags & UTF8_FLAG else "cp437")
    except UnicodeDecodeError as error:
        raise corrupted("a member’s name cannot be read") from error
    if fault := member_names.fault_of(name):
        raise corrupted(f"a member’s name is refused, {fault}: {name[:80]!r}")
    return name


def _large_sizes(extra: bytes, packed: int, size: int, offset: int) -> tuple[int, int, int]:
    """Those of the extra field of kind 1 in place of the ones that are full."""
    needed = sum(value == FULL_32 for value in (size, packed, offset))
    place = 0
    while needed and len(extra) - place >= 4:
        kind, length = struct.unpack_from("<HH", extra, place)
        if kind == 1 and min(length, len(extra) - place - 4) >= needed * 8:
            values = iter(struct.unpack_from(f"<{needed}Q", extra, place + 4))
            size, packed, offset = (
                next(values) if value == FULL_32 else value for value in (size, packed, offset)
            )
            return packed, size, offset
        place += 4 + length
    if needed:
        raise corrupted("its list of members is damaged")
    return packed, size, offset


def _refuse_kind(name: str, flags: int, method: int, mode: int) -> None:
    if flags & ENCRYPTED_FLAGS or method == AES:
        raise corrupted(f"{name} is encrypted")
    if method not in (STORED, DEFLATED):
        raise corrupted(f"{name} is packed by an unknown method ({method})")
    expected = stat.S_IFDIR if name.endswith("/") else stat.S_IFREG
    if stat.S_IFMT(mode) not in (0, expected):
        raise corrupted(f"{name} is a link or a device")


def _start_of_data(file: BinaryIO, row: _Listed) -> int:
    header = _at(file, row.offset, LOCAL.size)
    mark, _, flags, method, _, _, crc, packed, size, name_size, extra_size = LOCAL.unpack(header)
    raw_name = _at(file, row.offset + LOCAL.size, name_size)
    is_same = (mark, flags, method, raw_name) == (
        b"PK\x03\x04",
        row.flags,
        row.method,
        row.raw_name,
    )
    if not flags & DESCRIPTOR_FLAG:
        is_same &= crc == row.crc and packed in (row.packed, FULL_32)
        is_same &= size in (row.size, FULL_32)
    if not is_same:
        raise corrupted(f"{row.name} differs from the list of members")
    return row.offset + LOCAL.size + name_size + extra_size


def _unpacked(file: BinaryIO, entry: Entry) -> Iterator[bytes]:
    left = entry.packed
    file.seek(entry.start)
    if entry.method == STORED:
        while left and (piece := file.read(min(PIECE, left))):
            left -= len(piece)
            yield piece
        return
    inflate = isal_zlib.decompressobj(wbits=-15)
    while not inflate.eof:
        data = inflate.unconsumed_tail
        if not data and left:
            data = file.read(min(PACKED_PIECE, left))
            left -= len(data)
        try:
            piece = inflate.decompress(data, PIECE)
        except IsalError as error:  # type: ignore[misc]
            raise corrupted(f"{entry.name} is damaged") from error
        if piece:
            yield piece
        elif not data:
            raise corrupted(f"{entry.name} is cut off")
    if left or inflate.unused_data:
        raise corrupted(f"{entry.name} is damaged")


def _at(file: BinaryIO, place: int, size: int) -> bytes:
    file.seek(place)
    data = file.read(size)
    if len(data) != size:
        raise corrupted("it is cut off")
    return data
