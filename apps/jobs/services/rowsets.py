"""Many row numbers in little room: sorted, as differences, compressed."""

from __future__ import annotations

import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator

CHUNK = 65_536


def pack(numbers: Iterable[int]) -> bytes:
    """Each number once, in order. A million of them that lie regularly take some kilobytes."""
    ordered = sorted(set(numbers))
    differences = array("Q", (now - before for before, now in zip([0, *ordered], ordered, strict=False)))
    if sys.byteorder == "big":
        differences.byteswap()
    return zlib.compress(differences.tobytes(), 6)


def unpack(packed: bytes | memoryview) -> Iterator[int]:
    """The numbers in order, some thousands in memory at a time."""
    stream = zlib.decompressobj()
    number, rest, waiting = 0, b"", bytes(packed)
    while waiting or rest:
        data = rest + stream.decompress(waiting, CHUNK)
        waiting = stream.unconsumed_tail
        whole = len(data) - len(data) % 8
        rest = data[whole:]
        differences = array("Q")
        differences.frombytes(data[:whole])
        if sys.byteorder == "big":
            differences.byteswap()
        for difference in differences:
            number += difference
            yield number
        if not data:
            return
