"""`/export-templates`."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.jobs import selectors
from apps.jobs.api.schedule_serializers import ExportOptionsSerializer
from apps.jobs.models import ExportTemplate
from apps.jobs.services import export_templates
from apps.kernel.api import etag
from apps.kernel.api.keyset import Order
from apps.kernel.api.serializers import StrictSerializer
from apps.kernel.api.views import HubViewSet, Parameter
from apps.records.selectors import dataset_of


class TemplateChangeSerializer(StrictSerializer):
    """What to change of an export template; `options` are replaced as a whole."""

    name = serializers.CharField(max_length=120, required=False)
    options = ExportOptionsSerializer(required=False)


class NewTemplateSerializer(TemplateChangeSerializer):
    """An export under a name."""

    name = serializers.CharField(max_length=120)
    dataset = serializers.CharField(max_length=60, help_text="The dataset's slug.")
    options = ExportOptionsSerializer()


class ExportTemplateSerializer(serializers.Serializer[ExportTemplate]):
    """What an export was once decided to be."""

    id = serializers.CharField(source="public_id", read_only=True)
    name = serializers.CharField()
    dataset = serializers.CharField(source="dataset.slug")
    options = serializers.JSONField()
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class ExportTemplateViewSet(HubViewSet):
    """Exports under a name, to be ordered again (`template` of `POST /export`) and used by schedules."""

    model = ExportTemplate
    serializer_class = ExportTemplateSerializer
    scopes = {
        "list": "jobs:read",
        "retrieve": "jobs:read",
        "create": "jobs:write",
        "partial_update": "jobs:write",
        "destroy": "jobs:delete",
    }
    inputs = {"create": NewTemplateSerializer, "partial_update": TemplateChangeSerializer}
    outputs = {"create": (201, ExportTemplateSerializer)}
    query_parameters = {"list": [Parameter("dataset", "The dataset's slug.", column="dataset__slug")]}
    search_fields = ("name",)

    def get_queryset(self) -> QuerySet[ExportTemplate]:
        return selectors.export_templates_of(self.organization)

    def create(self, request: Request) -> Response:
        """Keep an export under a name"""
        values: dict[str, Any] = self.validated()
        dataset = dataset_of(self.organization, values.pop("dataset"))
        template = export_templates.create(
            organization=self.organization, dataset=dataset, actor=self.actor, **values
        )
        headers = {"Location": f"{request.path}/{template.public_id}", "ETag": etag.etag_of(template)}
        return Response(self.represent(template), status=201, headers=headers)

    def partial_update(self, request: Request, id: str) -> Response:
        """Change an export template"""
        template = self.get_object()
        self.check_if_match(template)
        values = self.validated(partial=True)
        return self.answer(export_templates.update(template=template, actor=self.actor, **values))

    def destroy(self, request: Request, id: str) -> Response:
        """Forget an export template

        Refused while schedules use it.
        """
        template = self.get_object()
        self.check_if_match(template)
        export_templates.delete(template=template, actor=self.actor)
        return Response(status=204)

    def order_of(self) -> Any:
        return Order("id", True)
