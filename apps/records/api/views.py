"""`/datasets`, `/mappings` and `/records/origins`: what records there are, and who wrote them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.kernel.api.parameters import Parameter
from apps.kernel.api.views import HubViewSet
from apps.kernel.errors import FieldError, InvalidInput, NotFound
from apps.records import selectors
from apps.records.api import representations
from apps.records.api.serializers import (
    DatasetChangeSerializer,
    DatasetSerializer,
    MappingChangeSerializer,
    MappingSerializer,
    NewDatasetSerializer,
    NewMappingSerializer,
    OriginSerializer,
    UndoRequestSerializer,
    UndoResultSerializer,
)
from apps.records.models import Dataset, Mapping, Origin, Record
from apps.records.services import datasets, mappings, undoing


class DatasetViewSet(HubViewSet):
    """What kinds of records there are."""

    serializer_class = DatasetSerializer
    scopes = {
        "list": "datasets:read",
        "retrieve": "datasets:read",
        "json_schema": "datasets:read",
        "create": "datasets:write",
        "partial_update": "datasets:write",
        "destroy": "datasets:delete",
    }
    inputs = {"create": NewDatasetSerializer, "partial_update": DatasetChangeSerializer}
    outputs = {"create": (201, DatasetSerializer)}
    query_parameters = {
        "list": [
            Parameter("kind", "Built-in or custom ones only.", choices=("builtin", "custom"), column="kind")
        ]
    }
    ordering_fields = ("name",)
    ordering = "name"

    def list(self, request: Request) -> Response:
        """List the datasets"""
        counts = selectors.counts(self.organization)
        rows = selectors.datasets_of(self.organization)
        return self.page(rows, lambda row: representations.dataset(row, int(counts.get(row.pk) or 0)))

    def retrieve(self, request: Request, id: str) -> Response:
        """Get a dataset with its fields"""
        return self._answer(self.get_object())

    def create(self, request: Request) -> Response:
        """Define a custom dataset"""
        values = self.validated()
        dataset = datasets.define(organization=self.organization, actor=self.actor, **values)
        response = self._answer(dataset, status=201)
        response["Location"] = f"{request.path}/{dataset.slug}"
        return response

    def partial_update(self, request: Request, id: str) -> Response:
        """Change a custom dataset

        `fields` is the whole new list of field definitions.
        """
        dataset, values = self.get_object(), self.validated(partial=True)
        self.check_if_match(dataset)
        return self._answer(datasets.change(dataset=dataset, actor=self.actor, **values))

    def destroy(self, request: Request, id: str) -> Response:
        """Take a custom dataset out of use

        Its records stay in the database, but are no longer reached.
        """
        dataset = self.get_object()
        self.check_if_match(dataset)
        datasets.archive(dataset=dataset, actor=self.actor)
        return Response(status=204)

    @extend_schema(
        responses={(200, "application/schema+json"): {"type": "object", "additionalProperties": {}}}
    )
    @action(detail=True, methods=["get"], url_path="schema")
    def json_schema(self, request: Request, id: str) -> Response:
        """Get the JSON Schema of a dataset's records"""
        return Response(selectors.json_schema_of(self.get_object()), content_type="application/schema+json")

    def get_object(self) -> Dataset:
        return selectors.dataset_of(self.organization, self.kwargs["id"])

    def _answer(self, dataset: Dataset, *, status: int = 200) -> Response:
        count = selectors.count(dataset)
        return self.answer(dataset, status=status, render=lambda row: representations.dataset(row, count))


class MappingViewSet(HubViewSet):
    """Reusable mappings from a source's fields to a dataset's."""

    model = Mapping
    serializer_class = MappingSerializer
    scopes = {
        "list": "mappings:read",
        "retrieve": "mappings:read",
        "create": "mappings:write",
        "partial_update": "mappings:write",
        "destroy": "mappings:delete",
    }
    inputs = {"create": NewMappingSerializer, "partial_update": MappingChangeSerializer}
    outputs = {"create": (201, MappingSerializer)}
    query_parameters = {"list": [Parameter("dataset", "Of this dataset only.", column="dataset__slug")]}
    ordering_fields = ("name",)
    ordering = "name"
    search_fields = ("name",)

    def get_queryset(self) -> Any:
        return super().get_queryset().select_related("dataset__organization", "organization")

    def represent(self, obj: Any, render: Any = None) -> Any:
        return super().represent(obj, render or representations.mapping)

    def create(self, request: Request) -> Response:
        """Save a mapping"""
        values = self.validated()
        values["dataset"] = self._dataset(values["dataset"])
        mapping = mappings.save(organization=self.organization, actor=self.actor, **values)
        response = self.answer(mapping, status=201)
        response["Location"] = f"{request.path}/{mapping.public_id}"
        return response

    def partial_update(self, request: Request, id: str) -> Response:
        """Change a mapping"""
        mapping, changed = self.get_object(), self.validated(partial=True)
        self.check_if_match(mapping)
        present = {
            name: getattr(mapping, name) for name in ("name", "description", "spec", "columns", "dataset")
        }
        values = {**present, **changed}
        return self.answer(
            mappings.save(organization=self.organization, actor=self.actor, mapping=mapping, **values)
        )

    def destroy(self, request: Request, id: str) -> Response:
        """Delete a mapping"""
        mapping = self.get_object()
        self.check_if_match(mapping)
        mappings.remove(mapping=mapping, actor=self.actor)
        return Response(status=204)

    def _dataset(self, slug: str) -> Dataset:
        try:
            return selectors.dataset_of(self.organization, slug)
        except NotFound as exc:
            raise InvalidInput(errors=[FieldError("/dataset", "unknown_dataset", exc.detail)]) from exc


class OriginViewSet(HubViewSet):
    """Who wrote records. Everything that an origin wrote can be taken back."""

    model = Origin
    serializer_class = OriginSerializer
    scopes = {"list": "records:read", "retrieve": "records:read", "undo": "records:write"}
    inputs = {"undo": UndoRequestSerializer}
    outputs = {"undo": UndoResultSerializer}
    query_parameters = {"list": [Parameter("kind", "Such as job, sync, api_key or user.", column="kind")]}

    def represent(self, obj: Any, render: Any = None) -> Any:
        return super().represent(obj, render or representations.origin)

    @action(detail=True, methods=["post"])
    def undo(self, request: Request, id: str) -> Response:
        """Take back everything that an origin wrote

        Records that somebody else changed later stay as they are and are listed in `conflicts`. What is too
        much for one request goes on in the background: `in_background` is true then, and asking again tells
        how far it is.
        """
        origin = self.get_object()
        dry_run = self.validated()["dry_run"]
        result = undoing.undo(origin=origin, actor=self.actor, dry_run=dry_run)
        conflicts = [
            {"record": Record(id=item.record_id).public_id, "key": item.key, "reason": item.reason}
            for item in result.conflicts
        ]
        return Response(
            {
                "dry_run": dry_run,
                "reverted": result.reverted,
                "refused": result.refused,
                "in_background": result.in_background,
                "total": result.total if result.in_background else result.reverted + result.refused,
                "conflicts": conflicts,
            }
        )
