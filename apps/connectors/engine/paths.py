"""Finding values in answers by JMESPath (jmespath.org), compiled once; dotted names take a short cut."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*\Z")
Finder = Callable[[Any], Any]


def check(path: str) -> str | None:
    """What is wrong with an expression, or None."""
    try:
        compiled(path)
    except (JMESPathError, ValueError) as error:
        return " ".join(str(error).split())
    return None


@lru_cache(maxsize=4096)
def compiled(path: str) -> Finder:
    """The function that finds `path` in a value; None where it leads nowhere."""
    if path in ("", "@"):
        return lambda value: value
    if _PLAIN.match(path):
        names = path.split(".")
        if len(names) == 1:
            (name,) = names
            return lambda value: value.get(name) if isinstance(value, dict) else None

        def walk(value: Any) -> Any:
            for name in names:
                if not isinstance(value, dict):
                    return None
                value = value.get(name)
            return value

        return walk
    expression = jmespath.compile(path)

    def find(value: Any) -> Any:
        try:
            return expression.search(value)
        except JMESPathError:
            # A function applied to a type that it does not know: it leads nowhere.
            return None

    return find


def search(path: str, value: Any) -> Any:
    return compiled(path)(value)
