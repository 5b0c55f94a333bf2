"""A small API on the base classes, as an app would have it."""

from __future__ import annotations

from typing import Any

from django.urls import include, path, re_path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.kernel.api.handlers import api_not_found
from apps.kernel.api.permissions import PUBLIC
from apps.kernel.api.routers import HubRouter
from apps.kernel.api.serializers import StrictSerializer
from apps.kernel.api.views import HubAPIView, HubViewSet, Parameter
from apps.kernel.errors import RateLimited, TransientError
from apps.tenants.models import Project


class ProjectSerializer(serializers.Serializer[Project]):
    id = serializers.CharField(source="public_id")
    name = serializers.CharField()
    description = serializers.CharField()


class Tag(StrictSerializer):
    label = serializers.CharField(max_length=5)


class NewProject(StrictSerializer):
    name = serializers.CharField(max_length=20)
    tags = Tag(many=True, required=False)


class ProjectViewSet(HubViewSet):
    model = Project
    serializer_class = ProjectSerializer
    scopes = {"list": "projects:read", "retrieve": "projects:read", "create": "projects:write"}
    inputs = {"create": NewProject}
    query_parameters = {
        "list": [
            Parameter("active", type="boolean", column="is_active"),
            Parameter("since", type="date-time", column="created_at__gte"),
            Parameter("least", type="integer"),
        ]
    }
    ordering_fields = {"name": "name", "description": "description"}
    search_fields = ("name",)

    def create(self, request: Request) -> Response:
        name = self.validated()["name"]
        if name == "boom":
            raise RuntimeError("the secret is hunter2")
        if name == "busy":
            raise TransientError("The other side is busy.")
        if name == "limit":
            raise RateLimited("Too much.", retry_after=7)
        project = Project.objects.create(
            organization=self.organization, name=name, slug=f"p{Project.objects.count()}"
        )
        return self.answer(project, status=201)

    def undeclared(self, request: Request) -> Response:
        raise AssertionError("nobody gets here")


class OpenView(HubAPIView):
    scopes = {"get": PUBLIC}

    def get(self, request: Request) -> Response:
        return Response({"version": request.version})


class PinView(HubAPIView):
    scopes = {"get": "projects:read"}

    def get(self, request: Request) -> Response:
        return Response({"version": request.version})


class EchoView(HubAPIView):
    scopes = {"post": "projects:write"}
    max_body_bytes = 1000

    def post(self, request: Request) -> Response:
        return Response({"body": request.data})


router = HubRouter()
router.register("projects", ProjectViewSet, basename="project")
routes: list[Any] = [
    *router.urls,
    path("undeclared", ProjectViewSet.as_view({"post": "undeclared"})),
    path("open", OpenView.as_view()),
    path("pin", PinView.as_view()),
    path("echo", EchoView.as_view()),
]
urlpatterns = [
    re_path(r"^api/(?P<version>v[0-9]+)/", include(routes)),
    path("api/", include(routes)),
    re_path(r"^api/.*$", api_not_found),
]
handler400 = "apps.kernel.api.handlers.bad_request"
handler404 = "apps.kernel.api.handlers.page_not_found"
handler500 = "apps.kernel.api.handlers.server_error"
