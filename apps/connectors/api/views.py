"""`/connectors` and `/integrations`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.connectors import selectors
from apps.connectors.api import inputs, serializers, shapes
from apps.connectors.api.run_views import accepted
from apps.connectors.models import Integration
from apps.connectors.registry import connectors
from apps.connectors.services import integrations, lifecycle, syncs
from apps.connectors.statuses import (
    Environment,
    HealthStatus,
    IntegrationStatus,
    SyncTrigger,
)
from apps.kernel.api import etag
from apps.kernel.api.views import HubAPIView, HubViewSet, Parameter, paged
from apps.kernel.errors import FieldError, InvalidInput, NotFound
from apps.tenants.models import Project

_READ, _WRITE = "integrations:read", "integrations:write"


class ConnectorListView(HubAPIView):
    """The catalog."""

    scopes = {"get": _READ}
    serializer_class = serializers.ConnectorSerializer
    sparse = False
    whole_lists = ("get",)
    query_parameters = {
        "get": [
            Parameter("type", "Only connectors of this type."),
            Parameter("category", "Only connectors of this category."),
            Parameter("search", "Text in name, summary or keywords."),
        ]
    }

    def get(self, request: Request) -> Response:
        """List the catalog of connectors"""
        found = list(connectors)
        for name in ("type", "category"):
            if name in self.parameters:
                found = [item for item in found if getattr(item.manifest, name) == self.parameters[name]]
        text = self.parameters.get("search", "").lower()
        if text:
            found = [item for item in found if text in item.search_text]
        data = [serializers.ConnectorSerializer(item).data for item in found]
        return Response({"data": data, "next": None, "previous": None})


class ConnectorView(HubAPIView):
    """One entry of the catalog."""

    scopes = {"get": _READ}
    serializer_class = serializers.ConnectorDetailSerializer
    sparse = False

    def get(self, request: Request, slug: str) -> Response:
        """Get a connector, with its credentials, settings and streams"""
        found = connectors.get(slug)
        if found is None:
            raise NotFound(f"There is no connector “{slug[:60]}” in the catalog.")
        return Response(serializers.ConnectorDetailSerializer(found).data)


class IntegrationViewSet(HubViewSet):
    """Integrations: uses of connectors."""

    model = Integration
    serializer_class = serializers.IntegrationSerializer
    scopes = {
        "list": _READ,
        "retrieve": _READ,
        "create": _WRITE,
        "update": _WRITE,
        "partial_update": _WRITE,
        "destroy": "integrations:delete",
        "test": _WRITE,
        "connect": _WRITE,
        "disconnect": _WRITE,
        "pause": _WRITE,
        "sync": "syncs:write",
        "logs": _READ,
        "history": _READ,
        "health": _READ,
        "statistics": _READ,
        "all_statistics": _READ,
    }
    inputs = {
        "create": inputs.NewIntegrationInput,
        "update": inputs.IntegrationInput,
        "partial_update": inputs.IntegrationInput,
        "sync": inputs.SyncInput,
        "test": inputs.NothingInput,
        "connect": inputs.NothingInput,
        "disconnect": inputs.NothingInput,
        "pause": inputs.NothingInput,
    }
    outputs = {
        "create": (201, serializers.IntegrationDetailSerializer),
        "retrieve": serializers.IntegrationDetailSerializer,
        "update": serializers.IntegrationDetailSerializer,
        "partial_update": serializers.IntegrationDetailSerializer,
        "connect": serializers.IntegrationDetailSerializer,
        "disconnect": serializers.IntegrationDetailSerializer,
        "pause": serializers.IntegrationDetailSerializer,
        "test": serializers.TestResultSerializer,
        "sync": (202, serializers.SyncJobSerializer),
        "logs": serializers.LogSerializer,
        "history": serializers.ConnectionEventSerializer,
        "health": serializers.HealthSerializer,
        "statistics": serializers.StatisticsSerializer,
        "all_statistics": serializers.AllStatisticsSerializer,
    }
    query_parameters = {
        "list": [
            Parameter("type", "Only integrations of this type.", column="type"),
            Parameter("provider", "Only integrations of this provider.", column="provider__iexact"),
            Parameter("category", "Only integrations of this category.", column="category"),
            Parameter("connector", "Only integrations of this connector.", column="connector"),
            Parameter(
                "status",
                "Only integrations in this state.",
                choices=tuple(IntegrationStatus.values),
                column="status",
            ),
            Parameter(
                "health", "Only integrations of this health.", choices=tuple(HealthStatus.values),
                column="health_status",
            ),
            Parameter(
                "environment", "Only integrations of this environment.", choices=tuple(Environment.values),
                column="environment",
            ),
        ]
    }  # fmt: skip
    ordering_fields = {"created_at": "id", "name": "name"}
    search_fields = ("name", "number", "display_name", "code")
    # The provider is called while the caller waits.
    idempotency_lease = 180

    def get_queryset(self) -> QuerySet[Integration]:
        return selectors.integrations_of(self.organization)

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Get an integration, with its streams"""
        return self._detail(self.get_object())

    def create(self, request: Request) -> Response:
        """Set an integration up

        It is `pending_setup` until it is connected. Credentials are stored encrypted and are never answered.
        """
        values = shapes.flat(self.validated())
        connector = values.pop("connector")
        row = _checked(
            lambda: integrations.create(
                organization=self.organization, actor=self.actor, connector=connector, **self._values(values)
            )
        )
        headers = {"Location": f"{request.path}/{row.number}", "ETag": etag.etag_of(row)}
        return Response(self._data(row), status=201, headers=headers)

    def update(self, request: Request, id: str) -> Response:
        """Replace the settings of an integration

        What is left out falls back to its default; credentials that are left out stay.
        """
        row = self.get_object()
        self.check_if_match(row)
        values = shapes.flat(self.validated())
        defaults = {name: _default(row, name) for name in integrations.EDITABLE if name not in _KEPT}
        return self._changed(row, {**defaults, **values})

    def partial_update(self, request: Request, id: str) -> Response:
        """Change the settings of an integration

        After a change of the address or the credentials it has to be connected again.
        """
        row = self.get_object()
        self.check_if_match(row)
        return self._changed(row, shapes.flat(self.validated(partial=True)))

    def destroy(self, request: Request, id: str) -> Response:
        """Remove an integration

        Its credentials are wiped; its records, syncs and history stay. Refused while a sync is not finished.
        """
        row = self.get_object()
        self.check_if_match(row)
        integrations.remove(integration=row, actor=self.actor)
        return Response(status=204)

    @action(detail=True, methods=["post"])
    def test(self, request: Request, id: str) -> Response:
        """Test the connection

        A failed test is an answer, not an error: see `ok` and `reason`.
        """
        result = lifecycle.test_connection(integration=self.get_object(), actor=self.actor)
        return Response(serializers.TestResultSerializer(result).data)

    @action(detail=True, methods=["post"])
    def connect(self, request: Request, id: str) -> Response:
        """Test the connection and activate it

        Answers 409 with the reason if the test fails.
        """
        row = self.get_object()
        lifecycle.connect(integration=row, actor=self.actor)
        return self._detail(row)

    @action(detail=True, methods=["post"])
    def disconnect(self, request: Request, id: str) -> Response:
        """Disconnect; settings and credentials stay"""
        row = self.get_object()
        lifecycle.disconnect(integration=row, actor=self.actor)
        return self._detail(row)

    @action(detail=True, methods=["post"])
    def pause(self, request: Request, id: str) -> Response:
        """Pause until it is connected again"""
        row = self.get_object()
        lifecycle.pause(integration=row, actor=self.actor)
        return self._detail(row)

    @action(detail=True, methods=["post"])
    def sync(self, request: Request, id: str) -> Response:
        """Start a sync

        Answers 202 with the job; 409 while another sync of the integration is not finished.
        """
        row, given = self.get_object(), self.validated()
        job = syncs.start(integration=row, actor=self.actor, trigger=SyncTrigger.API, **given)
        return accepted(self, job)

    @action(detail=True, methods=["get"])
    @paged
    def logs(self, request: Request, id: str) -> Response:
        """List the calls of an integration"""
        rows = selectors.logs_of(self.organization).filter(integration=self.get_object())
        return self.page(rows, lambda row: serializers.LogSerializer(row).data)

    @action(detail=True, methods=["get"])
    @paged
    def history(self, request: Request, id: str) -> Response:
        """List what happened to the connection"""
        rows = selectors.history_of(self.get_object())
        return self.page(rows, lambda row: serializers.ConnectionEventSerializer(row).data)

    @action(detail=True, methods=["get"])
    def health(self, request: Request, id: str) -> Response:
        """Get the health of the connection"""
        return Response(serializers.HealthSerializer(selectors.health_of(self.get_object())).data)

    @action(detail=True, methods=["get"])
    def statistics(self, request: Request, id: str) -> Response:
        """Get what the integration has done"""
        return Response(serializers.StatisticsSerializer(selectors.statistics_of(self.get_object())).data)

    @action(detail=False, methods=["get"], url_path="statistics", url_name="all-statistics")
    def all_statistics(self, request: Request) -> Response:
        """Get how many integrations there are of each type, and how they are"""
        found = {"data": selectors.statistics_by_type(self.organization)}
        return Response(serializers.AllStatisticsSerializer(found).data)

    def _values(self, values: dict[str, Any]) -> dict[str, Any]:
        """The services' arguments of flat input."""
        extra: dict[str, Any] = {
            name: values.pop(name) for name in ("credentials", "webhook_secret") if name in values
        }
        if "webhook_secret" in extra:
            extra["webhook_secret"] = extra["webhook_secret"] or ""
        streams = shapes.streams(values.pop("streams", None))
        if "project" in values:
            values["project"] = self._project(values["project"])
        return {"values": values, "streams": streams, **extra}

    def _project(self, ref: str | None) -> Project | None:
        if not ref:
            return None
        pk = Project.parse_public_id(ref)
        found = Project.objects.filter(organization=self.organization, pk=pk).first() if pk else None
        if found is None:
            raise InvalidInput(errors=[FieldError("/project", "invalid", "There is no such project.")])
        return found

    def _changed(self, row: Integration, values: dict[str, Any]) -> Response:
        _checked(lambda: integrations.update(integration=row, actor=self.actor, **self._values(values)))
        return self._detail(self.get_queryset().get(pk=row.pk))

    def _data(self, row: Integration) -> dict[str, Any]:
        return dict(serializers.IntegrationDetailSerializer(row).data)

    def _detail(self, row: Integration) -> Response:
        return self.answer(row, render=self._data)


# What a PUT does not take back to a default.
_KEPT = frozenset({"name", "code", "auth_mode", "environment"})


def _default(row: Integration, name: str) -> Any:
    field: Any = row._meta.get_field(name)
    return field.get_default()


def _checked(call: Callable[[], Integration]) -> Integration:
    """The service's answer; its refusals point into the caller's input."""
    try:
        return call()
    except InvalidInput as error:
        raise shapes.nested(error) from error
