"""Cursor pagination: stable under inserts, the same cost at any depth, in both directions.

An answer is `{"data": […], "next": url or null, "previous": url or null}`. `?limit=` is 50 unless told, at
most 200. The cursor is opaque, signed, and bound to organization, path and ordering.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.http import QueryDict
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from apps.kernel.api.cursors import Cursor, decode, encode
from apps.kernel.api.keyset import Order, fetch, position_of
from apps.kernel.api.parameters import Parameter
from apps.kernel.api.versions import canonical_path
from apps.kernel.errors import BadRequest, FieldError

DEFAULT_LIMIT = 50
MAX_LIMIT = 200

LIMIT = Parameter(
    "limit", f"How many objects at most (1 to {MAX_LIMIT}).", type="integer", default=DEFAULT_LIMIT
)
CURSOR = Parameter("cursor", "Where to go on: from `next` or `previous` of an earlier answer.")
ORDERING = Parameter("ordering", "The field to sort by; with a minus sign in front, descending.")


class HubCursorPagination(BasePagination):
    """See the module. The view's `order_of(request)` gives the order, else it is newest first."""

    def __init__(self) -> None:
        self.next: str | None = None
        self.previous: str | None = None

    def paginate_queryset(  # type: ignore[override]
        self, queryset: models.QuerySet[Any], request: Request, view: Any = None
    ) -> list[Any]:
        order_of = getattr(view, "order_of", None)
        order = order_of() if order_of is not None else Order()
        limit = read_limit(request.query_params.get("limit"))
        caller = getattr(request, "auth", None)
        organization = getattr(getattr(caller, "organization", None), "pk", "")
        scope = f"{organization} {canonical_path(request.path)} {order}"
        text = request.query_params.get("cursor")
        cursor = decode(text, scope=scope) if text else None
        backwards = cursor is not None and cursor.backwards

        rows = fetch(queryset, order, cursor.position if cursor else None, limit + 1, backwards=backwards)
        more = len(rows) > limit
        rows = rows[:limit]
        if backwards:
            rows.reverse()
        has_next = backwards or more
        has_previous = more if backwards else cursor is not None
        if rows:
            first, last = position_of(rows[0], order), position_of(rows[-1], order)
        elif cursor is not None:
            first = last = cursor.position
        else:
            return rows
        if has_next:
            self.next = _link(request, encode(Cursor(last), scope=scope))
        if has_previous:
            self.previous = _link(request, encode(Cursor(first, backwards=True), scope=scope))
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"data": data, "next": self.next, "previous": self.previous})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {
            "type": ["string", "null"],
            "format": "uri",
            "description": "Address of the page, or null if there is none.",
        }
        return {
            "type": "object",
            "required": ["data", "next", "previous"],
            "properties": {"data": schema, "next": link, "previous": link},
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return []  # declared by the view, with all others


def read_limit(text: str | None) -> int:
    """The page size that was asked for. Raises BadRequest outside 1 to 200."""
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 1 <= int(text) <= MAX_LIMIT):
        detail = f"“limit” must be a whole number from 1 to {MAX_LIMIT}."
        raise BadRequest(detail, errors=[FieldError("?limit", "invalid", detail)], code="invalid")
    return int(text)


def _link(request: Request, cursor: str) -> str:
    """The absolute address of this list with another cursor."""
    query: QueryDict = request.query_params.copy()
    query["cursor"] = cursor
    return request.build_absolute_uri(f"{request.path}?{query.urlencode()}")
