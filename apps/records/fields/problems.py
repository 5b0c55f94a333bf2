"""What is wrong with one value, said in a sentence that quotes it."""

from __future__ import annotations

from typing import Any

from apps.records.fields.definition import Field

SHOWN_LENGTH = 80
MASK = "***"
_VISIBLE = {code: 0x2400 + code for code in range(32)} | {0x7F: 0x2421}
"""Control characters as their pictures (Unicode block Control Pictures), so that messages can be stored."""


class ValueProblem(Exception):
    """A value is refused. `code` is stable and for programs; `message` is a sentence for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def shown(value: Any, *, sensitive: bool = False) -> str:
    """The value as messages and error lists show it: at most 80 characters, storable, masked if sensitive."""
    if value is None:
        return ""
    if sensitive:
        return MASK
    if isinstance(value, str):
        text = value
    else:
        try:
            text = str(value)
        except (ValueError, RecursionError):  # an integer of thousands of digits, a structure of such depth
            text = f"a very large {type(value).__name__}"
    if len(text) > SHOWN_LENGTH:
        text = text[: SHOWN_LENGTH - 1] + "…"
    return text.translate(_VISIBLE).encode("utf-8", "replace").decode()


def refuse(code: str, value: Any, field: Field, expected: str) -> ValueProblem:
    """A problem whose message is “value” followed by what was expected."""
    return ValueProblem(code, f"“{shown(value, sensitive=field.sensitive)}” {expected}")
