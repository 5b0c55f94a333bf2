"""How many different addresses there were: exact up to 128, then estimated (HyperLogLog, about 2.3 %).

A sketch is bytes. Sketches merge: that of a day is the union of those of its hours, in whatever order they
were written, and adding an address twice changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from hashlib import blake2b

EXACT = 128
_WIDTH = 8  # bytes of one hash
_BITS = 11
_REGISTERS = 1 << _BITS
_LIST, _LOG = b"\x01", b"\x02"
_ALPHA = 0.7213 / (1 + 1.079 / _REGISTERS)

EMPTY = _LIST


def hash_of(address: str) -> bytes:
    """Eight bytes that stand for an address."""
    return blake2b(address.encode(), digest_size=_WIDTH, person=b"hub.usage.ip").digest()


def add(sketch: bytes, hashes: Iterable[bytes]) -> bytes:
    """The sketch with more addresses in it."""
    return merge([sketch, _pack(set(hashes))])


def merge(sketches: Iterable[bytes]) -> bytes:
    """The union."""
    exact: set[bytes] = set()
    registers: bytearray | None = None
    for sketch in sketches:
        kind, body = sketch[:1], sketch[1:]
        if kind == _LOG:
            registers = bytearray(body) if registers is None else bytearray(map(max, registers, body))
        elif kind == _LIST:
            exact.update(body[n : n + _WIDTH] for n in range(0, len(body), _WIDTH))
    if registers is None:
        return _pack(exact)
    _note(registers, exact)
    return _LOG + bytes(registers)


def count(sketch: bytes) -> int:
    """How many different addresses are in it."""
    kind, body = sketch[:1], sketch[1:]
    if kind != _LOG:
        return len(body) // _WIDTH
    estimate = _ALPHA * _REGISTERS * _REGISTERS / sum(2.0**-value for value in body)
    empty = body.count(0)
    if estimate <= 2.5 * _REGISTERS and empty:
        estimate = _REGISTERS * math.log(_REGISTERS / empty)
    return round(estimate)


def _pack(hashes: set[bytes]) -> bytes:
    if len(hashes) <= EXACT:
        return _LIST + b"".join(sorted(hashes))
    registers = bytearray(_REGISTERS)
    _note(registers, hashes)
    return _LOG + bytes(registers)


def _note(registers: bytearray, hashes: Iterable[bytes]) -> None:
    rest_bits = 8 * _WIDTH - _BITS
    for hashed in hashes:
        number = int.from_bytes(hashed, "big")
        place, rest = number >> rest_bits, number & ((1 << rest_bits) - 1)
        rank = rest_bits - rest.bit_length() + 1
        if rank > registers[place]:
            registers[place] = rank
