"""Trying a move to another version before it is made: what was asked for lately, asked again in both.

Only GETs are repeated, inside the hub, with the right to read and nothing else; whatever they might write is
rolled back. Queries are not kept in the request log, so addresses are repeated without.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from io import BytesIO
from typing import Any

import orjson
from django.core.handlers.wsgi import WSGIRequest
from django.db import transaction
from django.urls import Resolver404, resolve
from django.utils import timezone

from apps.apikeys.models import RequestLog
from apps.kernel.api.changes import Change, changes, template_of
from apps.kernel.api.versions import Revision, canonical_path, versions
from apps.kernel.errors import NotFound
from apps.tenants.models import Organization
from apps.tenants.principals import Actor, Principal

MOST = 50
MOST_DIFFERENCES = 40
LOOKED_AT = 2000  # lines of the request log
SINCE = timedelta(days=14)
ACTOR = Actor("system", "rehearsal", "Rehearsal of another version")


@dataclass(frozen=True)
class Difference:
    """One place of the answers that is not alike. `place` is a JSON pointer with * for items of lists."""

    place: str
    kind: str  # gone, new, changed
    before: str = ""
    after: str = ""


@dataclass
class Comparison:
    """One address in both revisions."""

    path: str
    operation: str
    before: int
    after: int
    differences: list[Difference] = field(default_factory=list)
    explained_by: list[Change] = field(default_factory=list)

    @property
    def is_same(self) -> bool:
        return self.before == self.after and not self.differences

    @property
    def is_unexplained(self) -> bool:
        """Different, though no declared change speaks of the operation."""
        return not self.is_same and not self.explained_by


@dataclass
class Rehearsal:
    start: Revision
    end: Revision
    comparisons: list[Comparison] = field(default_factory=list)

    @property
    def different(self) -> list[Comparison]:
        return [one for one in self.comparisons if not one.is_same]


def revision_named(name: str) -> Revision:
    """The revision of `v2` (its default one) or `v2@2026-11-15`. Raises NotFound."""
    found = versions.default_of(name) if versions.get(name) else versions.revision(name)
    if found is None:
        known = ", ".join(one.name for one in versions.revisions())
        raise NotFound(f"There is no version “{name[:40]}”. There are {known}.")
    return found


def sampled_paths(
    organization: Organization, version: str, *, subject: tuple[str, str] | None = None, most: int = MOST
) -> list[str]:
    """Addresses (without their version) that were read lately: the newest of each operation first."""
    rows = RequestLog.objects.filter(
        organization=organization,
        version=version,
        method="GET",
        status__lt=300,
        at__gte=timezone.now() - SINCE,
    )
    if subject is not None:
        rows = rows.filter(subject_kind=subject[0], subject_id=subject[1])
    by_route: dict[str, list[str]] = {}
    for path, route in rows.order_by("-id").values_list("path", "route")[:LOOKED_AT]:
        short = canonical_path(path)
        found = by_route.setdefault(route, [])
        if short not in found:
            found.append(short)
    chosen: list[str] = []
    while len(chosen) < most and any(by_route.values()):
        for found in by_route.values():
            if found and len(chosen) < most:
                chosen.append(found.pop(0))
    return chosen


def rehearse(
    *, organization: Organization, start: Revision, end: Revision, paths: Sequence[str]
) -> Rehearsal:
    """Ask for each address in both revisions and tell what differs. Changes nothing."""
    made = Rehearsal(start, end)
    for path in paths:
        short = canonical_path(path).removeprefix("/api/")
        compared = _compare(organization, start, end, short)
        if compared is not None:
            made.comparisons.append(compared)
    return made


def _compare(organization: Organization, start: Revision, end: Revision, path: str) -> Comparison | None:
    once = _ask(organization, start, path)
    if once is None:
        return None
    again, other = _ask(organization, start, path), _ask(organization, end, path)
    assert again is not None
    if other is None:
        return Comparison(f"/api/{path}", once[2], once[0], 404)
    # What differs between two calls of the same revision says nothing: moments, ages, counters.
    restless = {one.place for one in _differences(once[1], again[1])}
    found: dict[tuple[str, str], Difference] = {}
    for one in _differences(once[1], other[1]):
        if one.place not in restless:
            found.setdefault((one.place, one.kind), one)
    operation = once[2]
    low, high = sorted((start.index, end.index))
    speaking = [
        change
        for change in changes.all()
        if operation in change.operations
        and low < getattr(versions.revision(change.since), "index", -1) <= high
    ]
    return Comparison(
        f"/api/{path}",
        operation,
        once[0],
        other[0],
        sorted(found.values(), key=lambda one: (one.place, one.kind))[:MOST_DIFFERENCES],
        speaking,
    )


def _ask(organization: Organization, revision: Revision, path: str) -> tuple[int, Any, str] | None:
    """Status, JSON and operation of a GET; None where no operation of the API answers."""
    address = f"/api/{revision.version}/{path.partition('?')[0]}"
    try:
        match = resolve(address)
    except Resolver404:
        return None
    if not hasattr(match.func, "cls"):
        return None
    request: Any = WSGIRequest(
        {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": address,
            "QUERY_STRING": path.partition("?")[2],
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "wsgi.input": BytesIO(),
            "wsgi.url_scheme": "http",
        }
    )
    request.resolver_match = match
    request.hub_revision = revision
    request._force_auth_user = None
    request._force_auth_token = Principal(organization, ACTOR, frozenset({"*:read"}))
    with transaction.atomic():
        response: Any = match.func(request, *match.args, **match.kwargs)
        if hasattr(response, "render"):
            response.render()
        transaction.set_rollback(True)
    operation = f"GET {template_of(match.route)}"
    if response.streaming or "json" not in response.headers.get("Content-Type", ""):
        return response.status_code, None, operation
    return response.status_code, orjson.loads(response.content), operation


def _differences(before: Any, after: Any, place: str = "") -> Iterator[Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in before.items():
            if name not in after:
                yield Difference(f"{place}/{name}", "gone", _short(value))
            else:
                yield from _differences(value, after[name], f"{place}/{name}")
        for name, value in after.items():
            if name not in before:
                yield Difference(f"{place}/{name}", "new", "", _short(value))
    elif isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            yield Difference(place or "/", "changed", f"{len(before)} items", f"{len(after)} items")
        for one, other in zip(before, after, strict=False):
            yield from _differences(one, other, f"{place}/*")
    elif before != after and not _same_page(before, after):
        yield Difference(place or "/", "changed", _short(before), _short(after))


def _same_page(before: Any, after: Any) -> bool:
    """Links to pages name the version they are of."""
    if not (isinstance(before, str) and isinstance(after, str)):
        return False
    for spec in versions.all():
        before, after = (text.replace(f"/api/{spec.name}/", "/api/") for text in (before, after))
    return before == after


def _short(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}…"
