"""Noticing that a walk through pages goes in circles, with two remembered hashes instead of all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

Trail = dict[str, Any]


def fingerprint(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return blake2b(text.encode(), digest_size=8).hexdigest()


def step(trail: Trail | None, position: Any) -> tuple[Trail, bool]:
    """The trail after `position`, and whether the walk is known to repeat itself.

    Brent's cycle detection: a remembered position moves forward at powers of two, so any cycle, however
    long, is noticed after at most a few times its length.
    """
    mark = fingerprint(position)
    if trail is None:
        return {"mark": mark, "power": 1, "steps": 0}, False
    if trail["mark"] == mark:
        return trail, True
    steps = trail["steps"] + 1
    if steps == trail["power"]:
        return {"mark": mark, "power": trail["power"] * 2, "steps": 0}, False
    return {**trail, "steps": steps}, False


def of_rows(ids: Sequence[Any]) -> str | None:
    """The fingerprint of a page by its rows' ids; None if there is nothing to tell pages apart by."""
    return fingerprint(list(ids)) if ids and all(i is not None for i in ids) else None
