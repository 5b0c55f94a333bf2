"""`/records/{dataset}`: single records, their lists and their history."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.kernel.api.etag import PreconditionFailed
from apps.kernel.api.keyset import Order
from apps.kernel.api.parameters import Parameter, declare
from apps.kernel.api.problems import escape
from apps.kernel.api.views import HubViewSet, find, paged
from apps.kernel.errors import BadRequest, FieldError, InvalidInput, NotFound, RaceLost
from apps.records import selectors
from apps.records.api import representations
from apps.records.api.serializers import (
    RECORD_SCHEMA,
    VALUES_SCHEMA,
    ChangeSerializer,
)
from apps.records.models import SLOTS, Dataset, Record
from apps.records.services import records

_PAGE_OF_RECORDS = {
    "type": "object",
    "required": ["data", "next", "previous"],
    "properties": {
        "data": {"type": "array", "items": RECORD_SCHEMA},
        "next": {"type": ["string", "null"], "format": "uri"},
        "previous": {"type": ["string", "null"], "format": "uri"},
    },
}


@contextmanager
def _about_parameters() -> Iterator[None]:
    """The selectors point at names; here they are names of query parameters."""
    try:
        yield
    except BadRequest as exc:
        exc.errors = [replace(error, pointer=f"?{error.pointer.lstrip('/')}") for error in exc.errors]
        raise


_SINCE = "Only what was {} at or after this moment (RFC 3339)."


class RecordViewSet(HubViewSet):
    """The records of a dataset."""

    scopes = {
        "list": "records:read",
        "retrieve": "records:read",
        "changes": "records:read",
        "create": "records:write",
        "update": "records:write",
        "partial_update": "records:write",
        "destroy": "records:delete",
    }
    outputs = {"changes": ChangeSerializer}
    query_parameters = {
        "list": [
            Parameter("search", "The beginning of the key or of an indexed text."),
            Parameter("ordering", "A field to sort by; with a minus sign in front, descending."),
            Parameter("updated_since", _SINCE.format("changed"), type="date-time"),
            Parameter("created_since", _SINCE.format("created"), type="date-time"),
            Parameter("include_deleted", "Deleted records, too.", type="boolean", default=False),
        ]
    }
    path_parameters = {
        "dataset": "The dataset, such as clients.",
        "id": "The record's id, or `key:` and its key, such as `key:C-1001`.",
    }
    openapi_parameters = {
        "list": [
            {
                "name": "filters",
                "in": "query",
                "style": "form",
                "explode": True,
                "schema": {"type": "object", "additionalProperties": {"type": "string"}},
                "example": {},  # else pages to try calls in make up names of fields
                "description": "Indexed fields of the dataset: `name=…`, `name__gte=…`, and likewise "
                "`__lte`, `__gt`, `__lt`, `__in` (separated by commas) and `__startswith`.",
            }
        ]
    }

    @cached_property
    def dataset(self) -> Dataset:
        return selectors.dataset_of(self.organization, self.kwargs["dataset"])

    @extend_schema(responses={200: _PAGE_OF_RECORDS})
    def list(self, request: Request, dataset: str) -> Response:
        """List a dataset's records

        Newest first, unless told otherwise.
        """
        fixed = self.parameters_of("list")
        filters = {name: str(value) for name, value in request.query_params.items() if name not in fixed}
        for name in ("updated_since", "created_since"):
            if name in self.parameters:
                filters[name] = self.parameters[name].isoformat()
        with _about_parameters():
            rows = selectors.filtered(
                self.dataset,
                filters,
                search=self.parameters.get("search", ""),
                include_deleted=self.parameters["include_deleted"],
            )
        return self.page(rows, self._render, filtered=True)

    @extend_schema(responses={200: RECORD_SCHEMA})
    def retrieve(self, request: Request, dataset: str, id: str) -> Response:
        """Get a record"""
        return self.answer(self.get_object(), render=self._render)

    @extend_schema(request={"application/json": VALUES_SCHEMA}, responses={201: RECORD_SCHEMA})
    def create(self, request: Request, dataset: str) -> Response:
        """Add a record"""
        record = records.create(dataset=self.dataset, values=self._values(), actor=self.actor)
        response = self.answer(record, status=201, render=self._render)
        response["Location"] = f"{request.path}/{record.public_id}"
        return response

    @extend_schema(request={"application/json": VALUES_SCHEMA}, responses={200: RECORD_SCHEMA})
    def update(self, request: Request, dataset: str, id: str) -> Response:
        """Replace a record

        It will consist of exactly the given fields.
        """
        return self._save(records.replace)

    @extend_schema(request={"application/json": VALUES_SCHEMA}, responses={200: RECORD_SCHEMA})
    def partial_update(self, request: Request, dataset: str, id: str) -> Response:
        """Change some fields of a record

        null takes a value away.
        """
        return self._save(records.update)

    def destroy(self, request: Request, dataset: str, id: str) -> Response:
        """Delete a record

        It leaves a tombstone and its history; undo brings it back.
        """
        record = self.get_object()
        self.check_if_match(record)
        records.delete(dataset=self.dataset, ids=[record.pk], actor=self.actor)
        return Response(status=204)

    @paged
    def changes(self, request: Request, dataset: str, id: str) -> Response:
        """List a record's changes

        Newest first, with before and after, also of a deleted record.
        """
        ref = self.kwargs["id"]
        rows = Record.objects.filter(dataset=self.dataset)
        record = rows.filter(key=ref[4:]).first() if ref.startswith("key:") else find(rows, ref)
        if record is None:
            raise NotFound(f"There is no record “{ref[:120]}” in “{self.dataset.slug}”.")
        return self.page(selectors.history_of(record), representations.change, filtered=True)

    def get_object(self) -> Record:
        return selectors.record_of(self.dataset, self.kwargs["id"])

    def order_of(self) -> Order:
        if self.what != "list":
            return Order()
        with _about_parameters():
            order = Order.parse(selectors.order_columns(self.dataset, self.parameters.get("ordering", "")))
        # The slots of indexed fields hold an empty text where a record has no value.
        return replace(order, has_nulls=order.column not in SLOTS)

    def declared_parameters(self) -> dict[str, Parameter]:
        """The fixed ones, and the filters that the dataset's fields allow; `filtered` judges their values."""
        fixed = super().declared_parameters()
        if self.what != "list":
            return fixed
        names = set(selectors.filterable(self.dataset))
        asked = (name for name in self.request.query_params if name.partition("__")[0] in names)
        return fixed | declare(name for name in asked if name not in fixed)

    def also_allowed(self) -> str:
        if self.what != "list":
            return ""
        names = ", ".join(sorted(selectors.filterable(self.dataset)))
        return f"; and the indexed fields of “{self.dataset.slug}”: {names}"

    def known_fields(self) -> Any:
        if self.what == "changes":
            return super().known_fields()
        return (*representations.OWN_NAMES, *self.dataset.fields_by_name)

    def _render(self, row: Record) -> dict[str, Any]:
        return representations.record(row, self.dataset.slug)

    def _values(self) -> dict[str, Any]:
        """The fields in the body, without what a record carries besides: answers can be sent back."""
        body = self.request.data
        if not isinstance(body, dict):
            detail = "An object with the record's fields is expected."
            raise InvalidInput(detail, errors=[FieldError("", "not_an_object", detail)])
        unknown = [name for name in body if name not in self.dataset.fields_by_name and name not in _OWN]
        if unknown:
            allowed = ", ".join(self.dataset.fields_by_name)
            raise InvalidInput(
                f"“{self.dataset.slug}” has no such field. Its fields: {allowed}.",
                errors=[
                    FieldError(f"/{escape(name)}", "unknown_field", f"There is no field “{name[:60]}”.")
                    for name in unknown[:50]
                ],
            )
        return {name: value for name, value in body.items() if name in self.dataset.fields_by_name}

    def _save(self, verb: Any) -> Response:
        record, values = self.get_object(), self._values()
        expected = record.version if self.check_if_match(record) else None
        try:
            record = verb(record=record, values=values, actor=self.actor, expected_version=expected)
        except RaceLost as exc:
            raise PreconditionFailed(exc.detail) from exc
        return self.answer(record, render=self._render)


_OWN = frozenset(representations.OWN_NAMES)
