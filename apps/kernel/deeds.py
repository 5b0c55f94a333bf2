"""Deeds of the kernel's own commands, told to whoever writes the audit log: the audit app lies above."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_listeners: list[Callable[[str, Mapping[str, Any]], None]] = []


def listen(listener: Callable[[str, Mapping[str, Any]], None]) -> None:
    """Have `listener(action, changes)` called for each deed."""
    if listener not in _listeners:
        _listeners.append(listener)


def tell(action: str, changes: Mapping[str, Any]) -> None:
    """A command did something that belongs to no organization."""
    for listener in _listeners:
        listener(action, changes)
