"""`{{ path | filter }}` in manifests: paths into a context and pure filters, never code.

A string that is one placeholder yields the value itself, whatever its type; otherwise text. A path that leads
nowhere is an error, unless the `default` filter follows.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from apps.connectors.engine import times
from apps.connectors.engine.errors import ConfigurationError

Context = Mapping[str, Any]

_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_-]+)*\Z")
_FILTER = re.compile(r"([a-z_][a-z0-9_]*)\s*(?:\((.*)\))?\Z", re.DOTALL)
_PIPES = re.compile(r"""\|(?=(?:[^"]*"[^"]*")*[^"]*\Z)""")


class TemplateError(ConfigurationError):
    """A template that cannot be understood, or a value that it needs and that is not there."""


class _Missing:
    def __init__(self, path: str) -> None:
        self.path = path


def _moment(value: Any) -> datetime:
    moment = times.parse(value)
    if moment is None:
        raise TemplateError(f"{value!r} is not a point in time.")
    return moment


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    if isinstance(value, datetime):
        return times.render(value, "iso")
    return str(value)


FILTERS: dict[str, Callable[..., Any]] = {
    "default": lambda value, other: other if value is None or value == "" else value,
    "iso": lambda value: times.render(_moment(value), "iso"),
    "date": lambda value: times.render(_moment(value), "date"),
    "epoch": lambda value: int(times.render(_moment(value), "epoch")),
    "epoch_ms": lambda value: int(times.render(_moment(value), "epoch_ms")),
    "b64": lambda value: base64.b64encode(_text(value).encode()).decode(),
    "urlencode": lambda value: quote(_text(value), safe=""),
    "join": lambda value, separator=",": separator.join(_text(v) for v in value or ()),
    "lower": lambda value: _text(value).lower(),
    "upper": lambda value: _text(value).upper(),
    "string": _text,
}

Step = tuple[str, tuple[Any, ...]]


@lru_cache(maxsize=2048)
def _expression(source: str) -> tuple[str, tuple[Step, ...]]:
    """The path and the filters of one placeholder."""
    path, *filters = (part.strip() for part in _PIPES.split(source))
    if not _PATH.match(path):
        raise TemplateError(f"“{path}” is not a path such as config.base_url.")
    steps: list[Step] = []
    for part in filters:
        match = _FILTER.match(part)
        if match is None or match[1] not in FILTERS:
            known = ", ".join(sorted(FILTERS))
            raise TemplateError(f"“{part}” is not a filter. There are: {known}.")
        try:
            arguments = tuple(json.loads(f"[{match[2]}]")) if match[2] else ()
        except ValueError:
            raise TemplateError(
                f'The arguments of “{part}” are not JSON values, such as default("x") or default(1).'
            ) from None
        steps.append((match[1], arguments))
    return path, tuple(steps)


def _lookup(path: str, context: Context) -> Any:
    value: Any = context
    for name in path.split("."):
        if isinstance(value, Mapping) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            return _Missing(path)
    return value


def _evaluate(source: str, context: Context) -> Any:
    path, steps = _expression(source)
    value = _lookup(path, context)
    for name, arguments in steps:
        if isinstance(value, _Missing):
            if name != "default":
                break
            value = None
        try:
            value = FILTERS[name](value, *arguments)
        except (TypeError, ValueError, OverflowError) as error:
            raise TemplateError(f"The filter “{name}” cannot be applied to {path}: {error}.") from None
    if isinstance(value, _Missing):
        raise TemplateError(f"{path} is needed but is not set.")
    return value


def paths(template: Any) -> set[str]:
    """Every path that a template (a string, or strings within lists and objects) refers to."""
    if isinstance(template, str):
        return {_expression(found.strip())[0] for found in _PLACEHOLDER.findall(template)}
    if isinstance(template, Mapping):
        return set().union(*(paths(value) for value in template.values())) if template else set()
    if isinstance(template, (list, tuple)):
        return set().union(*(paths(value) for value in template)) if template else set()
    return set()


def render(template: Any, context: Context) -> Any:
    """Fill in a template; lists and objects are filled in throughout. Raises TemplateError."""
    if isinstance(template, str):
        whole = _PLACEHOLDER.fullmatch(template.strip())
        if whole and "{{" not in whole[1]:
            return _evaluate(whole[1].strip(), context)
        return _PLACEHOLDER.sub(lambda found: _text(_evaluate(found[1].strip(), context)), template)
    if isinstance(template, Mapping):
        return {key: render(value, context) for key, value in template.items()}
    if isinstance(template, (list, tuple)):
        return [render(value, context) for value in template]
    return template


def text(template: Any, context: Context) -> str:
    """As `render`, as text: for headers and query parameters."""
    return _text(render(template, context))


def path(template: str, context: Context) -> str:
    """As `text` for a URL's path: what is filled in is percent-encoded, so that it stays one segment.

    A template that is one placeholder is taken as a whole path, as an administrator typed it.
    """
    if _PLACEHOLDER.fullmatch(template.strip()):
        return text(template, context)
    return _PLACEHOLDER.sub(
        lambda found: quote(_text(_evaluate(found[1].strip(), context)), safe=""), template
    )
