"""Routes: what a kind of inbound webhook causes. A list of objects in the receiver's settings.

    {"match": ["invoice.*"], "where": "data.amount > `0`", "effect": "sync", "with": {"streams":
    ["invoices"]}}

`match` are patterns of event types (`*` for all), `where` is an optional JMESPath condition on the payload,
and `effect` names something registered in `apps.events.inbound.effects`. Every route that fits is followed,
in order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from apps.events.inbound import effects
from apps.tenants.models import Organization
from apps.webhooks.inbound.reading import search
from apps.webhooks.inbound.scheme import path_problem

MAX_ROUTES = 50
DEFAULT: tuple[Mapping[str, Any], ...] = ({"match": ["*"], "effect": "event", "with": {}},)
_KNOWN = ("match", "where", "effect", "with", "name", "enabled")
_PATTERN = re.compile(r"[^\s\x00]{1,200}")


def fitting(routes: Sequence[Mapping[str, Any]], event_type: str, payload: Any) -> list[Mapping[str, Any]]:
    """The routes that a webhook follows."""
    return [
        route
        for route in routes
        if route.get("enabled", True)
        and any(_fits(pattern, event_type) for pattern in route["match"])
        and (not route.get("where") or bool(search(route["where"], payload)))
    ]


def _fits(pattern: str, event_type: str) -> bool:
    # Only stars: event types of providers hold brackets and question marks.
    return fnmatchcase(event_type, re.sub(r"([\[?])", r"[\1]", pattern))


def problems(organization: Organization, number: str, routes: Any) -> list[tuple[str, str]]:
    """What is wrong with a list of routes, as (pointer, sentence) pairs."""
    if not isinstance(routes, list) or len(routes) > MAX_ROUTES:
        return [("/routes", f"is a list of at most {MAX_ROUTES} routes.")]
    found: list[tuple[str, str]] = []
    for index, route in enumerate(routes):
        at = f"/routes/{index}"
        if not isinstance(route, dict):
            found.append((at, "is an object."))
            continue
        found += [
            (f"{at}/{name}", f"is not known; known are {', '.join(_KNOWN)}.")
            for name in route
            if name not in _KNOWN
        ]
        match = route.get("match")
        if not isinstance(match, list) or not match or len(match) > 50:
            found.append((f"{at}/match", 'is a list of event types, such as ["invoice.*"] or ["*"].'))
        elif not all(isinstance(one, str) and _PATTERN.fullmatch(one) for one in match):
            found.append((f"{at}/match", "holds texts of at most 200 characters without spaces."))
        where = route.get("where", "")
        if not isinstance(where, str) or len(where) > 500:
            found.append((f"{at}/where", "is text of at most 500 characters."))
        elif where and (problem := path_problem(where)):
            found.append((f"{at}/where", problem))
        if not isinstance(route.get("enabled", True), bool):
            found.append((f"{at}/enabled", "is true or false."))
        name = route.get("name", "")
        if not isinstance(name, str) or len(name) > 120:
            found.append((f"{at}/name", "is text of at most 120 characters."))
        effect = effects.get(str(route.get("effect", "")))
        parameters = route.get("with", {})
        if effect is None:
            found.append((f"{at}/effect", f"is one of: {', '.join(one.name for one in effects)}."))
        elif not isinstance(parameters, dict):
            found.append((f"{at}/with", "is an object."))
        else:
            found += [(f"{at}/with{p}", text) for p, text in effect.check(organization, number, parameters)]
    return found
