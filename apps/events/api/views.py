"""`/event-types` and `/events`: the catalog, what happened, and publishing one's own."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.events import selectors
from apps.events.api.serializers import (
    EventSerializer,
    EventTypeChangeSerializer,
    EventTypeSerializer,
    NewEventSerializer,
    NewEventTypeSerializer,
)
from apps.events.catalog import EventType
from apps.events.models import Event, OwnEventType
from apps.events.services import own_types, publications
from apps.kernel.api import etag
from apps.kernel.api.views import HubViewSet, Parameter


class EventTypeViewSet(HubViewSet):
    """What can happen: the types of events, with JSON Schemas and samples."""

    serializer_class = EventTypeSerializer
    scopes = {
        "list": "events:read",
        "retrieve": "events:read",
        "versions": "events:read",
        "create": "events:write",
        "partial_update": "events:write",
        "destroy": "events:delete",
    }
    inputs = {"create": NewEventTypeSerializer, "partial_update": EventTypeChangeSerializer}
    outputs = {"create": (201, EventTypeSerializer)}
    lookup_url_kwarg: ClassVar[str] = "name"  # type: ignore[misc]
    query_parameters = {
        "list": [
            Parameter("group", "Only types of this group, such as Webhooks."),
            Parameter("search", "Text in the name or the description."),
            Parameter("own", "Only types that the organization has declared itself.", type="boolean"),
        ]
    }

    @classmethod
    def is_list(cls, key: str) -> bool:
        return False  # the catalog is answered whole

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the types of events"""
        found = selectors.types_like(
            self.organization,
            group=self.parameters.get("group", ""),
            search=self.parameters.get("search", ""),
            own=self.parameters.get("own"),
        )
        return Response(
            {"data": [self.represent(declared) for declared in found], "next": None, "previous": None}
        )

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Read one type of event"""
        return self._shown(selectors.type_named(self.organization, self.kwargs["name"]))

    def create(self, request: Request) -> Response:
        """Declare a type of event of your own

        With a JSON Schema, what is published is checked against it.
        """
        row = own_types.create(organization=self.organization, actor=self.actor, **self.validated())
        response = self._shown(selectors.declared_by(row), status=201)
        response.headers["Location"] = f"{request.path}/{row.name}"
        return response

    def partial_update(self, request: Request, name: str) -> Response:
        """Change a type of your own

        Another schema is another version; the older ones stay, and events may still be published by them.
        """
        row = self._own(name)
        row = own_types.update(event_type=row, actor=self.actor, **self.validated(partial=True))
        return self._shown(selectors.declared_by(row))

    def destroy(self, request: Request, name: str) -> Response:
        """Remove a type of your own

        Events of this type stay as they are.
        """
        own_types.remove(event_type=self._own(name), actor=self.actor)
        return Response(status=204)

    def _own(self, name: str) -> OwnEventType:
        """Their own type of this name, if If-Match agrees."""
        row = selectors.own_type_of(self.organization, name)
        etag.check_tag(self.request, _tag(selectors.declared_by(row)))
        return row

    def _shown(self, declared: EventType, *, status: int = 200) -> Response:
        data = self.represent(declared)
        return etag.respond_tag(self.request, _tag(declared), data, status=status)

    @action(detail=True, methods=["get"])
    def versions(self, request: Request, name: str) -> Response:
        """List the versions of a type's schema, the newest first"""
        found = selectors.versions_of(self.organization, name)
        return Response({"data": [self.represent(one) for one in found], "next": None, "previous": None})


def _tag(declared: EventType) -> str:
    return etag.of_value(EventTypeSerializer(declared).data)


class EventViewSet(HubViewSet):
    """What happened, newest first."""

    model = Event
    serializer_class = EventSerializer
    scopes = {"list": "events:read", "retrieve": "events:read", "create": "events:write"}
    inputs = {"create": NewEventSerializer}
    outputs = {"create": (201, EventSerializer)}
    features = {"create": ("event_publishing",)}
    max_body_bytes = 512 * 1024
    query_parameters = {
        "list": [
            Parameter("type", "Only these types, separated by commas."),
            Parameter("subject", "Only events about the object with this public id."),
            Parameter("since", "Only events from this time on.", type="date-time"),
            Parameter("until", "Only events before this time.", type="date-time"),
        ]
    }

    def get_queryset(self) -> QuerySet[Event]:
        asked = self.parameters
        return selectors.events_of(
            self.organization,
            types=[name for name in asked.get("type", "").split(",") if name],
            subject=asked.get("subject", ""),
            since=asked.get("since"),
            until=asked.get("until"),
        )

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Read one event"""
        return Response(self.represent(selectors.event_of(self.organization, self.kwargs["id"])))

    def create(self, request: Request) -> Response:
        """Publish an event of your own

        Endpoints that are subscribed to its type get it. The type is one that you have declared, or any
        `custom.…`.
        """
        event = publications.publish_own(organization=self.organization, **self.validated())
        return Response(
            self.represent(event), status=201, headers={"Location": f"{request.path}/{event.public_id}"}
        )
