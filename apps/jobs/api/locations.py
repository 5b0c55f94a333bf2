"""`/file-locations`: places where files lie."""

from __future__ import annotations

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.jobs import selectors
from apps.jobs.api import schedule_serializers as wire
from apps.jobs.models import FileLocation
from apps.jobs.schedule_statuses import LocationKind
from apps.jobs.services import locations
from apps.kernel.api import etag
from apps.kernel.api.views import HubViewSet, Parameter


class FileLocationViewSet(HubViewSet):
    """Places that files are fetched from and delivered to."""

    model = FileLocation
    serializer_class = wire.LocationSerializer
    scopes = {
        "list": "locations:read",
        "retrieve": "locations:read",
        "create": "locations:write",
        "partial_update": "locations:write",
        "destroy": "locations:delete",
        "test": "locations:write",
    }
    inputs = {"create": wire.NewLocationSerializer, "partial_update": wire.LocationChangeSerializer}
    outputs = {"create": (201, wire.LocationSerializer), "test": wire.LocationTestSerializer}
    query_parameters = {
        "list": [
            Parameter("kind", "Only of this kind.", choices=tuple(LocationKind.values), column="kind"),
        ]
    }
    search_fields = ("name",)

    def get_queryset(self) -> QuerySet[FileLocation]:
        return selectors.locations_of(self.organization)

    def create(self, request: Request) -> Response:
        """Name a place"""
        values = self.validated()
        place = locations.create(organization=self.organization, actor=self.actor, **values)
        headers = {"Location": f"{request.path}/{place.public_id}", "ETag": etag.etag_of(place)}
        return Response(self.represent(place), status=201, headers=headers)

    def partial_update(self, request: Request, id: str) -> Response:
        """Change a place

        Secrets that are left out stay, unless the place leads elsewhere now.
        """
        place = self.get_object()
        self.check_if_match(place)
        values = self.validated(partial=True)
        return self.answer(locations.update(location=place, actor=self.actor, **values))

    def destroy(self, request: Request, id: str) -> Response:
        """Forget a place

        Refused while schedules use it.
        """
        place = self.get_object()
        self.check_if_match(place)
        locations.delete(location=place, actor=self.actor)
        return Response(status=204)

    @action(detail=True, methods=["post"])
    def test(self, request: Request, id: str) -> Response:
        """Test whether the hub gets in"""
        passed, detail = locations.test(location=self.get_object(), actor=self.actor)
        return Response({"passed": passed, "detail": detail})
