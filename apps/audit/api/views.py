"""`/security/audit-log`: to read, to search, to take away."""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.audit.models import AuditEntry
from apps.audit.services import entries, export, verification
from apps.kernel.api.views import HubAPIView, HubViewSet, Parameter

SCOPE = "audit:read"
FILTERS = (
    Parameter("action", "Only this deed, such as `api_key.revoked`.", column="action"),
    Parameter(
        "actor_kind",
        "Only by this kind of actor.",
        choices=("user", "api_key", "application", "job", "integration", "command", "system"),
        column="actor_kind",
    ),
    Parameter("actor", "Only by this actor: an email address, or a key's number.", column="actor_ref"),
    Parameter("object_type", "Only about this kind of object, such as `apikey`.", column="object_type"),
    Parameter("object", "Only about this object: its number or id.", column="object_ref"),
    Parameter("request_id", "Only what this request did.", column="request_id"),
    Parameter("from", "Not before this moment.", type="date-time", column="at__gte"),
    Parameter("to", "Before this moment.", type="date-time", column="at__lt"),
)


class AuditEntrySerializer(serializers.Serializer[AuditEntry]):
    """Who did what, when, from where, and what it was before and after."""

    id = serializers.CharField(source="public_id")
    sequence = serializers.IntegerField(help_text="Its place in the organization's chain.")
    at = serializers.DateTimeField()
    action = serializers.CharField()
    actor_kind = serializers.CharField()
    actor = serializers.CharField(source="actor_ref")
    actor_name = serializers.CharField(source="actor_label")
    ip = serializers.CharField(allow_null=True)
    request_id = serializers.CharField()
    object_type = serializers.CharField()
    object = serializers.CharField(source="object_ref")
    object_name = serializers.CharField(source="object_label")
    changes = serializers.DictField(help_text="Each changed field as `[before, after]`; secrets are masked.")
    hash = serializers.CharField(help_text="The entry's seal; it covers the entry before it.")


class AuditLogViewSet(HubViewSet):
    model = AuditEntry
    serializer_class = AuditEntrySerializer
    scopes = {"list": SCOPE, "retrieve": SCOPE}
    query_parameters = {"list": FILTERS}
    search_fields = ("action", "actor_ref", "actor_label", "object_ref", "object_label")
    ordering_fields = {"at": "id"}


class AuditLogFileView(HubAPIView):
    media_types = {"get": ("text/csv", "application/x-ndjson")}
    scopes = {"get": SCOPE}
    model = AuditEntry
    sparse = False
    query_parameters = (
        Parameter("format", "The form of the file.", choices=tuple(export.FORMATS), default="csv"),
        *FILTERS,
    )

    def get(self, request: Request) -> StreamingHttpResponse:
        """Download the audit log

        All entries that the filters leave, newest first, as CSV or as one JSON object a line.
        """
        rows = self.filter_queryset(self.get_queryset())
        entries.exported(organization=self.organization, actor=self.actor, format=self.parameters["format"])
        return export.response(rows, self.parameters["format"])


class ProblemSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    sequence = serializers.IntegerField(help_text="The first entry that it concerns.")
    detail = serializers.CharField()


class VerificationSerializer(serializers.Serializer[Any]):
    """What the last verification said."""

    entries = serializers.IntegerField(source="length")
    verified_at = serializers.DateTimeField(source="checked_at", allow_null=True)
    verified_to = serializers.IntegerField(source="checked_to")
    intact = serializers.BooleanField(allow_null=True, help_text="Null until it has been verified.")
    problems = ProblemSerializer(many=True)


class AuditVerificationView(HubAPIView):
    scopes = {"get": SCOPE, "post": "audit:manage"}
    serializer_class = VerificationSerializer
    sparse = False

    def get(self, request: Request) -> Response:
        """Tell whether the audit log is intact

        As the last verification found it; one runs every hour, and a whole one every night.
        """
        return Response(VerificationSerializer(self._head()).data)

    def post(self, request: Request) -> Response:
        """Verify the audit log now

        A log of more than 20,000 entries from the last anchor on; the whole of it every night.
        """
        verification.verify_now(self.organization)
        return Response(VerificationSerializer(self._head()).data)

    def _head(self) -> Any:
        return verification.status_of(self.organization) or {
            "length": 0, "checked_at": None, "checked_to": 0, "intact": None, "problems": [],
        }  # fmt: skip
