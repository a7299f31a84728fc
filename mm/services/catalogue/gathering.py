"""What a build remembers of millions of rows: numbers in little memory, the rest on the disk."""

import functools
import os
import tempfile
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from mm.services.catalogue.dataset_files import UnreadableError

# A key and its value are one number of 64 bits.
KEY_BITS = 28
VALUE_BITS = 36
LOWEST_BITS = 2**VALUE_BITS - 1
# Keys that differ in these bits only lie together, and are sorted together: sorting takes five
# times the memory of what is sorted.
PART_BITS = 12
NONE: array = array("Q")
# Bytes that are read at once: most lines lie behind the one before.
PIECE = 4096
LONGEST = 2**20
# Several times as many as there are films: whatever is read takes no more memory than these.
MOST = 6_000_000


def require_few(name: str, count: int) -> None:
    """Raises UnreadableError where the dataset `name` has more than MOST of something."""
    if count >= MOST:
        raise UnreadableError(name, "it has more rows than there are films")


class NumberSet:
    """A bit for each number up to the highest in it."""

    def __init__(self) -> None:
        self.bits = bytearray()

    def add(self, number: int) -> bool:
        """Whether it is new."""
        byte, bit = number >> 3, 1 << (number & 7)
        if byte >= len(self.bits):
            self.bits.extend(bytes(byte + 2**16 - len(self.bits)))
        is_new = not self.bits[byte] & bit
        self.bits[byte] |= bit
        return is_new

    def __contains__(self, number: int) -> bool:
        byte = number >> 3
        return byte < len(self.bits) and bool(self.bits[byte] & (1 << (number & 7)))


class Numbers:
    """Values of VALUE_BITS by keys of KEY_BITS. To be sorted once, when all are put in."""

    def __init__(self, part_bits: int = PART_BITS) -> None:
        """With 0 each key is a part, whose values must be put in in their own order."""
        self.part_bits = part_bits
        self.parts: defaultdict[int, array] = defaultdict(functools.partial(array, "Q"))

    def put(self, key: int, value: int) -> None:
        """A key may be given more than once."""
        self.parts[key >> self.part_bits].append(key << VALUE_BITS | value)

    def __len__(self) -> int:
        return sum(map(len, self.parts.values()))

    def sort(self) -> None:
        for number in sorted(self.parts):
            # Taken out and put in again, so that the parts are in order too.
            part = self.parts.pop(number)
            self.parts[number] = array("Q", sorted(part)) if self.part_bits else part

    def first(self, key: int) -> int:
        """The lowest value of the key; 0 without one."""
        part = self.parts.get(key >> self.part_bits, NONE)
        place = bisect_left(part, key << VALUE_BITS)
        found = part[place] if place < len(part) else 0
        return found & LOWEST_BITS if found >> VALUE_BITS == key else 0

    def of(self, key: int) -> Iterator[int]:
        part = self.parts.get(key >> self.part_bits, NONE)
        place = bisect_left(part, key << VALUE_BITS)
        while place < len(part) and part[place] >> VALUE_BITS == key:
            yield part[place] & LOWEST_BITS
            place += 1

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """In the order of the keys; the values of one in their own order."""
        for part in self.parts.values():
            for number in part:
                yield number >> VALUE_BITS, number & LOWEST_BITS


class Shelf:
    """Lines by number, in a file without a name: a process that is killed leaves nothing."""

    def __init__(self, folder: Path, name: str, part_bits: int = PART_BITS):
        """`name`: of the dataset that it holds something of."""
        self.name = name
        self.count = 0
        self.file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self.size = 0
        self.places = Numbers(part_bits)
        self.piece, self.piece_at = b"", 0

    def put(self, key: int, line: bytes) -> None:
        """A line has no end of a line in it. What is longer than LONGEST is left out. Raises
        UnreadableError for more than MOST."""
        if len(line) > LONGEST:
            return
        require_few(self.name, self.count)
        self.count += 1
        self.file.write(line + b"\n")
        self.places.put(key, self.size)
        self.size += len(line) + 1

    def sort(self) -> None:
        """To be called once, when everything is put in."""
        self.file.flush()
        self.places.sort()

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """With their keys, in the order of these; those of one key as they were put in."""
        for key, place in self.places:
            yield key, self._line(place)

    def of(self, key: int) -> Iterator[bytes]:
        return map(self._line, self.places.of(key))

    def close(self) -> None:
        self.file.close()

    def _line(self, place: int) -> bytes:
        begin = place - self.piece_at
        end = self.piece.find(b"\n", begin) if begin >= 0 else -1
        size = PIECE
        while end < 0:
            begin, self.piece_at = 0, place
            self.piece = os.pread(self.file.fileno(), size, place)
            end = self.piece.find(b"\n")
            size *= 8
        return self.piece[begin:end]
