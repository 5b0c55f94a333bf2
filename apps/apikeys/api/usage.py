"""`/security`, `/security/analytics` and the usage of one key or application."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Count, Q
from django.http import StreamingHttpResponse
from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.apikeys.models import APIKey, Application
from apps.apikeys.models.usage import RequestLog
from apps.apikeys.statuses import KeyStatus
from apps.apikeys.usage import export, selectors
from apps.apikeys.usage.numbers import Numbers
from apps.apikeys.usage.selectors import Group, Narrowed, Span
from apps.audit.services import verification
from apps.kernel.api.views import HubAPIView, Parameter, find
from apps.kernel.errors import BadRequest, FieldError, NotFound

SCOPE = "api-keys:read"
_EXPIRING = timedelta(days=30)

SPAN = (
    Parameter(
        "range",
        "How far back from now; `from` and `to` go before it.",
        choices=tuple(selectors.RANGES),
        default="24h",
    ),
    Parameter("from", "The beginning of the span.", type="date-time"),
    Parameter("to", "The end of the span; now, unless given.", type="date-time"),
    Parameter(
        "bucket",
        "The length of a bucket. Five minutes are kept for 2 days, hours for 31, days for 400.",
        choices=tuple(selectors.BUCKETS),
    ),
)
NARROWING = (
    Parameter("key", "Only calls with this key, or one that it was rotated from or to: its number."),
    Parameter("application", "Only calls by this application: its client id."),
    Parameter("endpoint", "Only calls of this endpoint, such as `GET /records/{dataset}`."),
)
GROUPING = (
    Parameter(
        "group_by", "What to rank beside the series.", choices=tuple(selectors.GROUPS), default="endpoint"
    ),
    Parameter("limit", "How many groups at most (1 to 200).", type="integer", default=20),
)


class NumbersSerializer(serializers.Serializer[Any]):
    """What calls add up to. Percentiles come from a histogram; times are in milliseconds."""

    requests = serializers.IntegerField(source="count")
    successful = serializers.SerializerMethodField()
    failed = serializers.IntegerField(source="errors", help_text="Answers 400 and above.")
    server_errors = serializers.IntegerField(source="failures", help_text="Answers 500 and above.")
    rate_limited = serializers.IntegerField(source="limited", help_text="Answers 429.")
    unauthorized = serializers.IntegerField(source="refused", help_text="Answers 401 and 403.")
    by_status = serializers.SerializerMethodField()
    success_rate = serializers.FloatField(allow_null=True, help_text="Percent.")
    bytes_in = serializers.IntegerField()
    bytes_out = serializers.IntegerField()
    average_ms = serializers.FloatField(allow_null=True)
    p50_ms = serializers.SerializerMethodField()
    p95_ms = serializers.SerializerMethodField()
    p99_ms = serializers.SerializerMethodField()

    def get_successful(self, numbers: Numbers) -> int:
        return numbers.count - numbers.errors

    def get_by_status(self, numbers: Numbers) -> dict[str, int]:
        return {f"{kind}xx": count for kind, count in sorted(numbers.classes.items())}

    def get_p50_ms(self, numbers: Numbers) -> float | None:
        return numbers.percentile(0.5)

    def get_p95_ms(self, numbers: Numbers) -> float | None:
        return numbers.percentile(0.95)

    def get_p99_ms(self, numbers: Numbers) -> float | None:
        return numbers.percentile(0.99)


class PointSerializer(NumbersSerializer):
    at = serializers.DateTimeField(source="start", help_text="When the bucket begins.")

    def to_representation(self, instance: Any) -> Any:
        at = self.fields["at"].to_representation(instance.start)
        return {"at": at, **NumbersSerializer(instance.numbers).data}


class GroupSerializer(NumbersSerializer):
    key = serializers.CharField(help_text="What the line stands for.")
    name = serializers.CharField(help_text="What to call it.")
    last_at = serializers.DateTimeField(allow_null=True)

    def to_representation(self, instance: Group) -> Any:
        moment = self.fields["last_at"].to_representation(instance.last_at) if instance.last_at else None
        return {
            "key": " ".join(instance.key),
            "name": instance.label,
            "last_at": moment,
            **NumbersSerializer(instance.numbers).data,
        }


class SpanSerializer(serializers.Serializer[Any]):
    """The span that the numbers are of, in whole buckets."""

    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    bucket_seconds = serializers.IntegerField(source="grain")


class RequestSerializer(serializers.Serializer[RequestLog]):
    """One request. Of what was sent, only the path is kept."""

    id = serializers.CharField(source="public_id")
    at = serializers.DateTimeField()
    caller = serializers.CharField(source="label")
    method = serializers.CharField()
    path = serializers.CharField()
    version = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField(help_text="The problem's code, or empty.")
    duration_ms = serializers.FloatField(source="milliseconds")
    bytes_in = serializers.IntegerField()
    bytes_out = serializers.IntegerField()
    ip = serializers.CharField(allow_null=True)
    user_agent = serializers.CharField()
    request_id = serializers.CharField()


class AnalyticsSerializer(serializers.Serializer[Any]):
    span = SpanSerializer()
    distinct_ips = serializers.IntegerField(
        allow_null=True, help_text="Above 128 an estimate; null where an endpoint is chosen."
    )
    totals = NumbersSerializer()
    series = PointSerializer(many=True)
    group_by = serializers.CharField()
    groups = GroupSerializer(many=True)


class StatisticsSerializer(serializers.Serializer[Any]):
    """Since the first call."""

    total_requests = serializers.IntegerField(source="numbers.count")
    failed_requests = serializers.IntegerField(source="numbers.errors")
    rate_limited = serializers.IntegerField(source="numbers.limited")
    unauthorized_attempts = serializers.IntegerField(source="numbers.refused")
    average_response_ms = serializers.FloatField(source="numbers.average_ms", allow_null=True)
    bytes_in = serializers.IntegerField(source="numbers.bytes_in")
    bytes_out = serializers.IntegerField(source="numbers.bytes_out")
    success_rate = serializers.FloatField(source="numbers.success_rate", allow_null=True)
    first_used_at = serializers.DateTimeField(source="first_at", allow_null=True)
    last_used_at = serializers.DateTimeField(source="last_at", allow_null=True)
    requests_per_day = serializers.FloatField(source="a_day")
    unique_ips = serializers.IntegerField(source="addresses", help_text="Of the last 30 days.")
    endpoints_accessed = serializers.IntegerField(source="endpoints", help_text="Of the last 30 days.")


class CallerUsageSerializer(AnalyticsSerializer):
    statistics = StatisticsSerializer()
    recent_requests = RequestSerializer(many=True)


class KeyCountsSerializer(serializers.Serializer[Any]):
    active = serializers.IntegerField()
    suspended = serializers.IntegerField()
    expired = serializers.IntegerField()
    revoked = serializers.IntegerField()
    expiring_soon = serializers.IntegerField(help_text="Within 30 days.")
    exposed = serializers.IntegerField(help_text="Seen in an address and not yet ended: rotate them.")
    unrestricted = serializers.IntegerField(
        help_text="Active keys without an end and without any address list."
    )


class AuditStatusSerializer(serializers.Serializer[Any]):
    entries = serializers.IntegerField(source="length")
    verified_at = serializers.DateTimeField(source="checked_at", allow_null=True)
    intact = serializers.BooleanField(allow_null=True, help_text="Null until it has been verified.")


class OverviewSerializer(serializers.Serializer[Any]):
    api_keys = KeyCountsSerializer()
    applications = serializers.IntegerField()
    last_24_hours = NumbersSerializer()
    distinct_ips = serializers.IntegerField()
    top_callers = GroupSerializer(many=True)
    refused = RequestSerializer(many=True, help_text="The last calls that were refused with 401 or 403.")
    audit = AuditStatusSerializer(allow_null=True)


class UsageView(HubAPIView):
    """What the views below share: the span and what it is narrowed to."""

    sparse = False

    def span(self) -> Span:
        asked = self.parameters
        return selectors.span_of(
            asked.get("range"), start=asked.get("from"), end=asked.get("to"), bucket=asked.get("bucket")
        )

    def narrowed(self) -> Narrowed:
        asked = self.parameters
        key, application = asked.get("key"), asked.get("application")
        if key and application:
            detail = "Give “key” or “application”, not both."
            raise BadRequest(detail, errors=[FieldError("?application", "invalid", detail)], code="invalid")
        subject = None
        if key:
            subject = subject_of_key(find(APIKey.objects.filter(organization=self.organization), key))
        elif application:
            subject = ("application", self.application_of(application).client_id)
        return Narrowed(subject, endpoint_of(asked.get("endpoint")))

    def application_of(self, client_id: str) -> Application:
        rows = Application.objects.filter(organization=self.organization)
        found = rows.filter(client_id=client_id).first() if len(client_id) <= 120 else None
        if found is None:
            raise NotFound(f"There is no application “{client_id[:60]}”.")
        return found

    def analytics(self, span: Span, narrowed: Narrowed) -> dict[str, Any]:
        limit, by = self.parameters.get("limit", 20), self.parameters.get("group_by", "endpoint")
        if not 1 <= limit <= 200:
            detail = "“limit” must be a whole number from 1 to 200."
            raise BadRequest(detail, errors=[FieldError("?limit", "invalid", detail)], code="invalid")
        points = selectors.series(self.organization, span, narrowed)
        addresses = (
            None
            if narrowed.endpoint
            else selectors.distinct_addresses(self.organization, span, narrowed.subject)
        )
        return {
            "span": span,
            "distinct_ips": addresses,
            "totals": selectors.total(points),
            "series": points,
            "group_by": by,
            "groups": selectors.ranking(self.organization, span, by, narrowed, limit=limit),
        }


def subject_of_key(key: APIKey) -> tuple[str, str]:
    return ("key", key.group.hex)


def endpoint_of(text: str | None) -> tuple[str, str] | None:
    """`GET /records/{dataset}` as method and route. Raises BadRequest."""
    if not text:
        return None
    method, _, route = text.partition(" ")
    if not route.startswith("/") and not route.startswith("("):
        detail = "“endpoint” is a method and a path, such as “GET /records/{dataset}”."
        raise BadRequest(detail, errors=[FieldError("?endpoint", "invalid", detail)], code="invalid")
    return method.upper()[:8], route[:200]


class SecurityView(UsageView):
    scopes = {"get": SCOPE}
    serializer_class = OverviewSerializer
    query_parameters = ()

    def get(self, request: Request) -> Response:
        """Get the security overview

        Keys by state, the last 24 hours of the API, the last refused calls, and whether the audit log is
        intact.
        """
        organization = self.organization
        span = selectors.span_of("24h")
        data = {
            "api_keys": key_counts(organization),
            "applications": Application.objects.filter(organization=organization).count(),
            "last_24_hours": selectors.total(selectors.series(organization, span)),
            "distinct_ips": selectors.distinct_addresses(organization, span),
            "top_callers": selectors.ranking(organization, span, "key", limit=5),
            "refused": selectors.refused_requests(organization),
            "audit": verification.status_of(organization) if self.principal.allows("audit:read") else None,
        }
        return Response(OverviewSerializer(data).data)


def key_counts(organization: Any) -> dict[str, int]:
    """How many keys are in which state; one statement."""
    now = timezone.now()
    active = Q(status=KeyStatus.ACTIVE) & (Q(expires_at=None) | Q(expires_at__gt=now))
    return APIKey.objects.filter(organization=organization).aggregate(
        active=Count("pk", filter=active),
        suspended=Count("pk", filter=Q(status=KeyStatus.SUSPENDED)),
        expired=Count(
            "pk", filter=Q(status=KeyStatus.EXPIRED) | Q(status=KeyStatus.ACTIVE, expires_at__lte=now)
        ),
        revoked=Count("pk", filter=Q(status=KeyStatus.REVOKED)),
        expiring_soon=Count("pk", filter=active & Q(expires_at__lte=now + _EXPIRING)),
        exposed=Count("pk", filter=active & Q(exposed_at__isnull=False)),
        unrestricted=Count("pk", filter=active & Q(expires_at=None, ip_whitelist=[])),
    )


class AnalyticsView(UsageView):
    scopes = {"get": SCOPE}
    serializer_class = AnalyticsSerializer
    query_parameters = (*SPAN, *NARROWING, *GROUPING)

    def get(self, request: Request) -> Response:
        """Get usage analytics

        A series of buckets and a ranking, of everything or of one key, application or endpoint. What was
        called within the last few seconds may be missing.
        """
        return Response(AnalyticsSerializer(self.analytics(self.span(), self.narrowed())).data)


class AnalyticsFileView(UsageView):
    media_types = {"get": ("text/csv",)}
    scopes = {"get": SCOPE}
    query_parameters = (*SPAN, *NARROWING)

    def get(self, request: Request) -> StreamingHttpResponse:
        """Download usage analytics as CSV

        One line for each bucket, caller, endpoint, version and status class; in buckets of hours or days.
        """
        return export.response(self.organization, self.span(), self.narrowed())


class KeyUsageView(UsageView):
    scopes = {"get": SCOPE}
    serializer_class = CallerUsageSerializer
    query_parameters = (*SPAN, *GROUPING)

    def get(self, request: Request, id: str) -> Response:
        """Get the usage of a key

        Counted for the key and all that it was rotated from or to: statistics since the first call, a series,
        a ranking, and the last 20 requests.
        """
        key = find(APIKey.objects.filter(organization=self.organization), id)
        return self.usage_of(subject_of_key(key))

    def usage_of(self, subject: tuple[str, str]) -> Response:
        data = self.analytics(self.span(), Narrowed(subject)) | {
            "statistics": selectors.lifetime(self.organization, subject),
            "recent_requests": selectors.requests_of(self.organization, subject),
        }
        return Response(CallerUsageSerializer(data).data)


class ApplicationUsageView(KeyUsageView):
    def get(self, request: Request, id: str) -> Response:
        """Get the usage of an application

        Statistics since the first call, a series, a ranking, and the last 20 requests.
        """
        return self.usage_of(("application", self.application_of(id).client_id))
