"""Identifiers: time-ordered UUIDs (RFC 9562, version 7) and the prefixed public form that is shown.

A public id is `<prefix>_<26 characters>`: the UUID in Crockford base32, lower case, so that a double click
takes it whole and it sorts by creation time. The UUID itself is the primary key and is never shown.
"""

from __future__ import annotations

import datetime as dt
import os
import threading
import time
import uuid

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES = {c: i for i, c in enumerate(_ALPHABET)}
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
_COUNTERS = [(0x7000 | n).to_bytes(2, "big") for n in range(4096)]
_VARIANT = bytes(0x80 | n & 0x3F for n in range(256))

_lock = threading.Lock()
_last = 0
_random = bytearray()
_position = 0


def uuid7() -> uuid.UUID:
    """A new time-ordered UUID; strictly increasing within this process.

    48 bits of milliseconds, then a 12-bit fraction of the millisecond as counter (RFC 9562 §6.2, method 3),
    then 62 random bits.
    """
    return uuid.UUID(int=uuid7_int())


def uuid7_int() -> int:
    """`uuid7` as a plain integer: for bulk writers, for which building UUID objects is the cost."""
    global _last, _random, _position
    with _lock:
        now = time.time_ns()
        stamp = ((now // 1_000_000) << 12) | ((now % 1_000_000) * 4096 // 1_000_000)
        if stamp <= _last:
            stamp = _last + 1
        _last = stamp
        if _position + 8 > len(_random):
            _random = bytearray(os.urandom(4096))
            _position = 0
        tail = int.from_bytes(_random[_position : _position + 8], "big")
        _position += 8
    return (
        ((stamp >> 12) << 80)
        | (7 << 76)
        | ((stamp & 0xFFF) << 64)
        | (0b10 << 62)
        | (tail & 0x3FFF_FFFF_FFFF_FFFF)
    )


def floor_of(moment: dt.datetime) -> uuid.UUID:
    """The smallest time-ordered UUID that can have been made at this (aware) moment or later."""
    return uuid.UUID(int=(max(0, int(moment.timestamp() * 1000)) << 80) | (7 << 76) | (0b10 << 62))


def encode(value: uuid.UUID | int) -> str:
    """The 26 Crockford base32 characters of a UUID."""
    n = value if isinstance(value, int) else value.int
    out = []
    for shift in range(120, -10, -10):
        out.append(_PAIRS[(n >> shift) & 0x3FF])
    return "".join(out)


def public(prefix: str, value: uuid.UUID | int) -> str:
    """The public form: `public("rec", id)` → `rec_01hv…`."""
    return f"{prefix}_{encode(value)}"


def parse(prefix: str, text: str) -> uuid.UUID | None:
    """The UUID of a public id, or None if `text` is not one with this prefix."""
    head, _, body = text.partition("_")
    if head != prefix or len(body) != 26:
        return None
    n = 0
    for c in body:
        v = _VALUES.get(c)
        if v is None:
            return None
        n = (n << 5) | v
    if n >> 128:
        return None
    return uuid.UUID(int=n)


def uuid7_hexes(count: int) -> list[str]:
    """`count` new time-ordered UUIDs as 32 hexadecimal digits each, increasing: for bulk writers."""
    return [value.hex() for value in uuid7_bytes(count)]


def uuid7_bytes(count: int) -> list[bytes]:
    """`count` new time-ordered UUIDs as 16 bytes each, increasing: for bulk writers."""
    global _last
    with _lock:
        now = time.time_ns()
        first = ((now // 1_000_000) << 12) | ((now % 1_000_000) * 4096 // 1_000_000)
        first = max(first, _last + 1)
        _last = first + count - 1
    noise = bytearray(os.urandom(8 * count))
    noise[::8] = noise[::8].translate(_VARIANT)
    tails = [noise[n : n + 8] for n in range(0, 8 * count, 8)]
    out: list[bytes] = []
    while len(out) < count:  # once per millisecond
        stamp = first + len(out)
        head = (stamp >> 12).to_bytes(6, "big")
        counters = _COUNTERS[stamp & 0xFFF :]
        out += [head + counter + tail for counter, tail in zip(counters, tails[len(out) :], strict=False)]
    return out


def _reset_after_fork() -> None:
    """A forked child must not repeat its parent's random bytes or share its held lock."""
    global _lock, _random, _position
    _lock = threading.Lock()
    _random = bytearray()
    _position = 0


os.register_at_fork(after_in_child=_reset_after_fork)
