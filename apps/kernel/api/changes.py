"""Changes between revisions of the API, applied outside the views.

A view knows the newest revision only. What an older one looks like is made from it: the parser takes a body
up, the renderer takes an answer down, and so for query parameters, errors and the OpenAPI document. Changes
are declared in the apps' `api/changes.py`:

    changes.register(
        Rename(id="job-error-detail", since="v2@2026-11-15", title="…", old="message", new="detail",
               answers={"GET jobs/{id}/errors": ("data/*",)}, schemas=("Error",))
    )

Operations are named by method and address as in the documentation, places in a body by names and `*` for
every item of a list; the empty place is the body itself. What an operation does not need costs it nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import orjson
from django.http import QueryDict

from apps.kernel.api import renderers
from apps.kernel.api.versions import Revision, versions
from apps.kernel.errors import BadRequest, FieldError, HubError, InvalidInput

Places = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What became different in a revision. The base class changes nothing: it tells of what is new."""

    id: str
    since: str  # the first revision that has it, such as v2@2026-11-15
    title: str
    description: str = ""
    breaking: bool = True
    # Where, in answers and in bodies: operation → places.
    answers: Places = field(default_factory=dict)
    bodies: Places = field(default_factory=dict)
    # Components of the newest OpenAPI document that it is about.
    schemas: tuple[str, ...] = ()

    @property
    def operations(self) -> list[str]:
        return sorted({*self.answers, *self.bodies})

    def down(self, found: dict[str, Any]) -> None:
        """Make one place of an answer what it was, in place."""

    def up(self, found: dict[str, Any], pointer: str) -> None:
        """Make one place of a body what it is now, in place. Raises InvalidInput with pointers."""

    def query_up(self, query: QueryDict) -> None:
        """Make query parameters what they are now, in place. Raises BadRequest."""

    def problem_down(self, document: dict[str, Any]) -> None:
        """Make a problem document name what the caller knows, in place."""

    def schema_down(self, schema: dict[str, Any], schemas: dict[str, Any]) -> None:
        """Make one component what it was, in place."""

    def operation_down(self, operation: dict[str, Any]) -> None:
        """Make the description of an operation what it was, in place."""


@dataclass(frozen=True, kw_only=True)
class Rename(Change):
    """A property has another name, in answers, bodies, `?fields=`, `?ordering=` and errors."""

    old: str
    new: str

    def down(self, found: dict[str, Any]) -> None:
        if self.new in found:
            _rebuild(found, ((self.old if name == self.new else name, found[name]) for name in list(found)))

    def up(self, found: dict[str, Any], pointer: str) -> None:
        if self.new in found:
            detail = f"There is no field “{self.new}” here. Its name is “{self.old}”."
            raise InvalidInput(detail, errors=[FieldError(f"{pointer}/{self.new}", "unknown_field", detail)])
        if self.old in found:
            found[self.new] = found.pop(self.old)

    def query_up(self, query: QueryDict) -> None:
        if "fields" in query:
            names = [name.strip() for name in str(query["fields"]).split(",")]
            if self.new in names:
                detail = f"There is no field “{self.new}” here. Its name is “{self.old}”."
                raise BadRequest(
                    detail, errors=[FieldError("?fields", "unknown_field", detail)], code="unknown_field"
                )
            query["fields"] = ",".join(self.new if name == self.old else name for name in names)
        ordering = str(query.get("ordering", ""))
        if ordering.removeprefix("-") == self.old:
            query["ordering"] = ordering.replace(self.old, self.new)

    def problem_down(self, document: dict[str, Any]) -> None:
        document["detail"] = self._told(document["detail"])
        for error in document.get("errors", ()):
            error["detail"] = self._told(error["detail"])
            error["pointer"] = re.sub(
                rf"(^|/)({re.escape(self.new)})(?=/|$)", rf"\1{self.old}", error["pointer"]
            )

    def _told(self, text: str) -> str:
        """Sentences name fields in pointers, in quotation marks, and in lists of what there is."""
        name = re.escape(self.new)
        text = re.sub(rf"(?<=“){name}(?=”)|(?<=/){name}(?=[:/ ])", self.old, text)
        head, listed, tail = text.partition("Fields: ")
        return head + listed + re.sub(rf"\b{name}\b", self.old, tail)

    def schema_down(self, schema: dict[str, Any], schemas: dict[str, Any]) -> None:
        properties = schema.get("properties", {})
        if self.new in properties:
            _rebuild(
                properties,
                sorted((self.old if name == self.new else name, value) for name, value in properties.items()),
            )
        if self.new in schema.get("required", ()):
            schema["required"] = sorted(self.old if name == self.new else name for name in schema["required"])

    def operation_down(self, operation: dict[str, Any]) -> None:
        if "description" in operation:
            operation["description"] = operation["description"].replace(f"`{self.new}`", f"`{self.old}`")


@dataclass(frozen=True, kw_only=True)
class Gather(Change):
    """Properties that stood side by side are together in one object."""

    into: str
    names: tuple[str, ...]

    def down(self, found: dict[str, Any]) -> None:
        inner = found.get(self.into)
        if isinstance(inner, dict):
            _rebuild(
                found,
                (
                    pair
                    for name, value in list(found.items())
                    for pair in (inner.items() if name == self.into else ((name, value),))
                ),
            )

    def schema_down(self, schema: dict[str, Any], schemas: dict[str, Any]) -> None:
        properties = schema.get("properties", {})
        inner = properties.pop(self.into, None)
        if inner is None:
            return
        if "allOf" in inner:
            inner = inner["allOf"][0]
        if "$ref" in inner:
            inner = schemas.pop(inner["$ref"].rpartition("/")[2])
        _rebuild(properties, sorted({**properties, **inner["properties"]}.items()))
        if self.into in schema.get("required", ()):
            required = {*schema["required"], *inner.get("required", ())} - {self.into}
            schema["required"] = sorted(required)


class Changes:
    """The declared changes, oldest first."""

    def __init__(self) -> None:
        self._changes: dict[str, Change] = {}

    def register(self, *found: Change) -> None:
        for change in found:
            if versions.revision(change.since) is None or "@" not in change.since:
                raise ValueError(f"Change {change.id}: there is no revision {change.since}.")
            if change.id in self._changes:
                raise ValueError(f"Change {change.id} is declared twice.")
            self._changes[change.id] = change
        pending.cache_clear()

    def all(self) -> list[Change]:
        return sorted(self._changes.values(), key=lambda change: (_index(change), change.id))

    def since(self, revision: Revision) -> list[Change]:
        """What a revision does not have yet, oldest first."""
        return [change for change in self.all() if _index(change) > revision.index]

    def in_version(self, name: str) -> list[Change]:
        """What became different in a version and its revisions, oldest first."""
        return [change for change in self.all() if change.since.startswith(f"{name}@")]


changes = Changes()


def _index(change: Change) -> int:
    found = versions.revision(change.since)
    return -1 if found is None else found.index


@cache
def pending(index: int, operation: str) -> tuple[Change, ...]:
    """What a revision does not have yet in one operation, oldest first."""
    return tuple(
        change
        for change in changes.all()
        if _index(change) > index and (operation in change.answers or operation in change.bodies)
    )


_GROUP = re.compile(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)")
_CONVERTER = re.compile(r"<(?:\w+:)?(\w+)>")
_SYNTAX = re.compile(r"[\^$]|\\Z")


@cache
def template_of(route: str) -> str:
    """The address of a route as documented, without `/api/` and version: `jobs/{id}/errors`."""
    text = _CONVERTER.sub(r"{\1}", _GROUP.sub(r"{\1}", route))
    return _SYNTAX.sub("", text).removeprefix("api/").removeprefix("{version}/")


def operation_of(request: Any) -> str:
    """The operation that a request calls, such as `GET jobs/{id}/errors`; HEAD counts as GET."""
    match = getattr(getattr(request, "_request", request), "resolver_match", None)
    method = "GET" if request.method == "HEAD" else str(request.method)
    return f"{method} {template_of(match.route) if match else ''}"


def _pending_for(request: Any) -> tuple[Change, ...]:
    revision = getattr(request, "revision", None)
    if revision is None or revision.index == len(versions.revisions()) - 1:
        return ()
    return pending(revision.index, operation_of(request))


def body_up(request: Any, body: Any) -> Any:
    """A body as the newest revision would send it. Raises InvalidInput."""
    for change in _pending_for(request):
        for place in change.bodies.get(operation_of(request), ()):
            for pointer, found in places(body, place):
                with _in_the_callers_words(request):
                    change.up(found, pointer)
    return body


@contextmanager
def _in_the_callers_words(request: Any) -> Iterator[None]:
    """What a change refuses is told in the names of the caller's revision already."""
    try:
        yield
    except HubError:
        request.told = True
        raise


def query_up(request: Any) -> QueryDict:
    """The query parameters as the newest revision would send them. Raises BadRequest."""
    query: QueryDict = request.query_params
    found = _pending_for(request)
    if not found or not query:
        return query
    query = query.copy()
    for change in found:
        with _in_the_callers_words(request):
            change.query_up(query)
    return query


def answer_down(request: Any, data: Any, status: int) -> Any:
    """An answer's data as the request's revision has it. The given data stay as they are."""
    found = _pending_for(request)
    if not found or data is None:
        return data
    made = orjson.loads(renderers.dumps(data))  # plain JSON of one's own
    operation = operation_of(request)
    for change in reversed(found):
        if status >= 400:
            if not getattr(request, "told", False):
                change.problem_down(made)
            continue
        for place in change.answers.get(operation, ()):
            for _, inner in places(made, place):
                change.down(inner)
    return made


def document_down(document: dict[str, Any], revision: Revision) -> None:
    """Make the newest OpenAPI document that of a revision, in place."""
    schemas = document["components"]["schemas"]
    for change in reversed(changes.since(revision)):
        for name in change.schemas:
            change.schema_down(schemas[name], schemas)
        for path, item in document["paths"].items():
            for method, operation in item.items():
                if f"{method.upper()} {path.removeprefix(f'/api/{revision.version}/')}" in change.operations:
                    change.operation_down(operation)


def places(body: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects at a place of a body, each with its JSON pointer. What is not there is left out."""
    yield from _walk(body, place.split("/") if place else [], "")


def _walk(value: Any, steps: list[str], pointer: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if not steps:
        if isinstance(value, dict):
            yield pointer, value
    elif steps[0] == "*":
        if isinstance(value, list):
            for number, item in enumerate(value):
                yield from _walk(item, steps[1:], f"{pointer}/{number}")
    elif isinstance(value, dict) and steps[0] in value:
        yield from _walk(value[steps[0]], steps[1:], f"{pointer}/{steps[0]}")


def _rebuild(target: dict[str, Any], pairs: Iterable[tuple[str, Any]]) -> None:
    """Give a dictionary other contents, in their order."""
    fresh = dict(pairs)
    target.clear()
    target.update(fresh)


__all__ = ["Change", "Changes", "Gather", "Rename", "answer_down", "body_up", "changes", "query_up"]
