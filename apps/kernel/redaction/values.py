"""Masks secrets in structured values, and carries a secret so that it is not shown by accident."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any, NoReturn

from apps.kernel.redaction.names import is_secret_name
from apps.kernel.redaction.text import MASK, redact_text

_MAX_DEPTH = 40
_NAME_KEYS = ("name", "key", "header")


class Secret:
    """A text that shows as `***` wherever it is printed, logged or formatted; `reveal()` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("A Secret is not pickled.")


def redact(value: Any) -> Any:
    """A deep copy with the values of secret-looking names masked, and secrets masked inside of texts.

    Understands mappings, sequences, pairs of name and value, and `{"name": …, "value": …}` items. Absent
    values (None, empty) and booleans stay, so that it can be seen that there was no secret. Other objects
    are kept.
    """
    return _redact(value, 0)


def _redact(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return redact_text(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth > _MAX_DEPTH:
        return MASK
    if isinstance(value, Mapping):
        return _mapping(value, depth + 1)
    if isinstance(value, list | tuple):
        return _sequence(value, depth + 1)
    if isinstance(value, set | frozenset):
        return type(value)(_redact(item, depth + 1) for item in value)
    if isinstance(value, bytes | bytearray):
        return redact_text(bytes(value).decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    if isinstance(value, Secret):
        return MASK
    return value


def _mapping(value: Mapping[Any, Any], depth: int) -> dict[Any, Any]:
    result = {key: _named(_text(key), item, depth) for key, item in value.items()}
    if "value" in result:
        names = [value[key] for key in _NAME_KEYS if isinstance(value.get(key), str)]
        if any(is_secret_name(name) for name in names):
            result["value"] = _mask(value["value"])
    return result


def _sequence(value: list[Any] | tuple[Any, ...], depth: int) -> Any:
    if len(value) == 2 and isinstance(value[0], str | bytes) and is_secret_name(_text(value[0])):
        items = [value[0], _mask(value[1])]
    else:
        items = [_redact(item, depth) for item in value]
    if isinstance(value, tuple):
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    return items


def _named(name: str, value: Any, depth: int) -> Any:
    return _mask(value) if is_secret_name(name) else _redact(value, depth)


def _mask(value: Any) -> Any:
    if value is None or isinstance(value, bool) or (isinstance(value, str | bytes) and not value):
        return value
    if isinstance(value, Mapping):
        return {key: _mask(item) for key, item in value.items()}
    return MASK


def _text(name: Any) -> str:
    return name.decode("latin-1") if isinstance(name, bytes) else name if isinstance(name, str) else ""
