"""`/oauth-applications`: external apps that get tokens by OAuth2."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.apikeys.models import Application
from apps.apikeys.services import applications
from apps.kernel.api.serializers import StrictSerializer
from apps.kernel.api.views import HubViewSet, Parameter
from apps.kernel.errors import NotFound

_TYPES = (("confidential", "Confidential"), ("public", "Public"))


def _texts(help_text: str, length: int = 60) -> serializers.ListField:
    return serializers.ListField(
        child=serializers.CharField(max_length=length), required=False, max_length=100, help_text=help_text
    )


class _Fields(StrictSerializer):
    name = serializers.CharField(max_length=120, help_text="What people see when they are asked.")
    description = serializers.CharField(required=False, allow_blank=True, max_length=1000)
    homepage = serializers.CharField(required=False, allow_blank=True, max_length=300)
    flows = serializers.ListField(
        child=serializers.ChoiceField(Application.Flow.choices),
        required=False,
        min_length=1,
        max_length=3,
        help_text="The ways in which it gets tokens.",
    )
    redirect_uris = serializers.ListField(
        child=serializers.CharField(max_length=500),
        required=False,
        max_length=20,
        help_text="Where people are sent back to, compared letter by letter; at 127.0.0.1 the port is free.",
    )
    scopes = _texts("The most that its tokens may be given, such as `records:read`.")
    allowed_origins = _texts(
        "Web pages that may ask for tokens and call the API by script, such as https://a.example.com.", 200
    )
    shared = serializers.BooleanField(
        required=False, help_text="Members of other organizations may authorize it for their data."
    )
    api_version = serializers.CharField(
        required=False, allow_blank=True, max_length=20, help_text="Version of addresses that name none."
    )


class NewApplicationSerializer(_Fields):
    """What an application is registered with. Without `flows`: authorization_code."""

    client_type = serializers.ChoiceField(
        _TYPES, default="confidential", help_text="Public ones cannot keep a secret, and have none."
    )


class ApplicationChangeSerializer(_Fields):
    name = serializers.CharField(max_length=120, required=False)
    is_active = serializers.BooleanField(required=False, help_text="false ends every token of it at once.")


class RotationSerializer(StrictSerializer):
    overlap_seconds = serializers.IntegerField(
        required=False,
        default=int(applications.DEFAULT_OVERLAP.total_seconds()),
        min_value=0,
        max_value=int(applications.LONGEST_OVERLAP.total_seconds()),
        help_text="How long the old secret counts beside the new one.",
    )


class OAuthApplicationSerializer(serializers.Serializer[Application]):
    """An application, without its secret."""

    id = serializers.CharField(source="client_id", read_only=True)
    client_id = serializers.CharField(read_only=True)
    name = serializers.CharField(read_only=True)
    description = serializers.CharField(read_only=True)
    homepage = serializers.CharField(read_only=True)
    client_type = serializers.ChoiceField(_TYPES, read_only=True)
    flows = serializers.ListField(child=serializers.ChoiceField(Application.Flow.choices), read_only=True)
    redirect_uris = serializers.ListField(
        source="registered_uris", child=serializers.CharField(), read_only=True
    )
    scopes = serializers.ListField(child=serializers.CharField(), read_only=True)
    allowed_origins = serializers.ListField(source="origins", child=serializers.CharField(), read_only=True)
    shared = serializers.BooleanField(read_only=True)
    api_version = serializers.CharField(read_only=True)
    is_active = serializers.BooleanField(read_only=True)
    secret_hint = serializers.CharField(
        read_only=True, help_text="The end of the secret, to recognize it by."
    )
    secret_rotated_at = serializers.DateTimeField(read_only=True, allow_null=True)
    previous_secret_until = serializers.DateTimeField(read_only=True, allow_null=True)
    created_by = serializers.CharField(read_only=True)
    created_at = serializers.DateTimeField(source="created", read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)


class IssuedApplicationSerializer(OAuthApplicationSerializer):
    """An application with its new secret, which is shown this once."""

    client_secret = serializers.CharField(
        read_only=True,
        allow_null=True,
        help_text="Keep it now: it is never shown again. Public ones have none.",
    )


class ApplicationViewSet(HubViewSet):
    """External apps that get tokens by OAuth2."""

    model = Application
    serializer_class = OAuthApplicationSerializer
    scopes = {
        "list": "applications:read",
        "retrieve": "applications:read",
        "create": "applications:write",
        "partial_update": "applications:write",
        "destroy": "applications:delete",
        "rotate_secret": "applications:write",
    }
    inputs = {
        "create": NewApplicationSerializer,
        "partial_update": ApplicationChangeSerializer,
        "rotate_secret": RotationSerializer,
    }
    outputs = {
        "create": (201, IssuedApplicationSerializer),
        "rotate_secret": IssuedApplicationSerializer,
    }
    query_parameters = {
        "list": [
            Parameter("is_active", "Only active or only stopped ones.", "boolean", column="is_active"),
            Parameter(
                "client_type", "Only of this type.", choices=("confidential", "public"), column="client_type"
            ),
        ]
    }
    ordering_fields = {"created_at": "id", "name": "name"}
    search_fields = ("name", "client_id")

    def get_object(self) -> Any:
        ref = self.kwargs[self.lookup_url_kwarg]
        found = None
        if "\x00" not in ref and len(ref) <= 255:
            found = self.get_queryset().select_related("organization").filter(client_id=ref).first()
        if found is None:
            raise NotFound(f"There is no OAuth application “{ref[:60]}”.")
        return found

    def create(self, request: Request) -> Response:
        """Register an application

        The answer holds the client secret, this once. It may ask for at most the scopes that the caller has.
        """
        values = self.validated()
        public = values.pop("client_type") == Application.CLIENT_PUBLIC
        issued = applications.create(
            organization=self.organization, actor=self.actor, by=self.principal, public=public, **values
        )
        response = self._issued(issued, 201)
        front = self.request.path.partition("/oauth-applications")[0]
        response.headers["Location"] = f"{front}/oauth-applications/{issued.application.client_id}"
        return response

    def partial_update(self, request: Request, id: str) -> Response:
        """Change an application

        Fewer scopes count at once, also for tokens that it has. `is_active: false` ends all of them.
        """
        application, values = self.get_object(), self.validated(partial=True)
        self.check_if_match(application)
        changed = applications.change(application=application, actor=self.actor, by=self.principal, **values)
        return self.answer(changed)

    def destroy(self, request: Request, id: str) -> Response:
        """Delete an application with all its tokens and consents"""
        application = self.get_object()
        self.check_if_match(application)
        applications.delete(application=application, actor=self.actor, by=self.principal)
        return Response(status=204)

    @action(detail=True, methods=["post"], url_path="rotate-secret")
    def rotate_secret(self, request: Request, id: str) -> Response:
        """Give an application a new secret

        The answer holds it, this once. With `overlap_seconds` the old one counts for that long beside it.
        """
        overlap = timedelta(seconds=self.validated()["overlap_seconds"])
        issued = applications.rotate_secret(
            application=self.get_object(), actor=self.actor, by=self.principal, overlap=overlap
        )
        return self._issued(issued, 200)

    def _issued(self, issued: applications.IssuedApplication, status: int) -> Response:
        data: dict[str, Any] = {
            **self.represent(issued.application),
            "client_secret": issued.secret or None,
        }
        return Response(data, status=status, headers={"Cache-Control": "no-store"})
