"""The filters of templates: what may be done with a value after `|`. Each result is bounded in size."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from urllib.parse import quote

from apps.webhooks.filters import number_of
from apps.webhooks.templating.errors import TemplateFailed
from apps.webhooks.templating.scope import check_size


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter and how many arguments it takes."""

    apply: Callable[..., Any]
    least: int = 0
    most: int = 0

    @property
    def takes(self) -> str:
        if self.most == 0:
            return "nothing after it"
        low = str(self.least) if self.least == self.most else f"{self.least} to {self.most}"
        return f"{low} {'value' if self.most == 1 else 'values'} after a colon"


def text_of(value: Any) -> str:
    """A value as text: nothing for null, JSON for lists and objects."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, Mapping)):
        return json_of(value)
    return str(value)


def json_of(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)


def _default(value: Any, other: Any) -> Any:
    return other if value is None or value == "" else value


def _join(value: Any, separator: Any = ", ") -> str:
    if not isinstance(value, list):
        return text_of(value)
    texts = [text_of(one) for one in value[:100_000]]
    between = text_of(separator)
    check_size(sum(map(len, texts)) + len(between) * len(texts))
    return between.join(texts)


def _size(value: Any) -> int:
    return len(value) if isinstance(value, (str, list, Mapping)) else 0


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, (str, list)) and value else None


def _last(value: Any) -> Any:
    return value[-1] if isinstance(value, (str, list)) and value else None


def _round(value: Any, places: Any = 0) -> Any:
    number = number_of(value)
    if number is None:
        return value
    if not isinstance(places, int) or not 0 <= places <= 12 or abs(number.adjusted()) > 20:
        raise TemplateFailed("“round” takes 0 to 12 places, of numbers of up to 20 digits.")
    # As text: a float would bring back the digits that were rounded away.
    return str(number.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP))


def _truncate(value: Any, length: Any = 100) -> str:
    text = text_of(value)
    most = length if isinstance(length, int) and length > 0 else 100
    return text if len(text) <= most else text[: most - 1] + "…"


def _replace(value: Any, old: Any, new: Any = "") -> str:
    text, before, after = text_of(value), text_of(old), text_of(new)
    if not before:
        return text
    check_size(len(text) + text.count(before) * max(len(after) - len(before), 0))
    return text.replace(before, after)


def _quoted(value: Any) -> str:
    return quote(text_of(value), safe="")


FILTERS: dict[str, Filter] = {
    "upper": Filter(lambda value: text_of(value).upper()),
    "lower": Filter(lambda value: text_of(value).lower()),
    "trim": Filter(lambda value: text_of(value).strip()),
    "text": Filter(text_of),
    "json": Filter(json_of),
    "default": Filter(_default, 1, 1),
    "join": Filter(_join, 0, 1),
    "size": Filter(_size),
    "first": Filter(_first),
    "last": Filter(_last),
    "round": Filter(_round, 0, 1),
    "truncate": Filter(_truncate, 0, 1),
    "replace": Filter(_replace, 1, 2),
    "urlencode": Filter(_quoted),
}
