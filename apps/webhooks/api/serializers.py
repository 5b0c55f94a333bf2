"""Endpoints, deliveries and attempts on the wire."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from apps.events.models import Event
from apps.kernel import ids
from apps.kernel.api.serializers import PublicIdField, StrictSerializer
from apps.webhooks import selectors
from apps.webhooks.api.shapes import shown_auth, shown_headers
from apps.webhooks.events import TEST
from apps.webhooks.models import Delivery, DeliveryAttempt, WebhookEndpoint
from apps.webhooks.services.endpoints import KEEP_OLD_SECRET, LONGEST_KEEP
from apps.webhooks.statuses import (
    AuthType,
    Cause,
    DeliveryStatus,
    EndpointStatus,
    HealthStatus,
    Method,
    Ordering,
    PayloadFormat,
    SecretKind,
)
from apps.webhooks.templating import CONTENT_TYPES


def _numbers(child: serializers.Field[Any, Any, Any, Any], help_text: str) -> serializers.ListField:
    return serializers.ListField(child=child, required=False, max_length=100, help_text=help_text)


class DeliverySettingsSerializer(StrictSerializer):
    """How deliveries are sent, and tried again."""

    timeout = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=60,
        help_text="Seconds; null: the hub's setting.",
    )
    retry_attempts = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=0,
        max_value=50,
        help_text="null: as the schedule has steps.",
    )
    retry_intervals = _numbers(
        serializers.FloatField(), "Seconds before each retry; empty: the hub's schedule, 5 s to 24 h."
    )
    retry_on_status = _numbers(
        serializers.IntegerField(), "HTTP statuses worth a retry; empty: all that are not 2xx."
    )
    ordering = serializers.ChoiceField(
        Ordering.choices, required=False, help_text="fifo: one after another per ordering key."
    )
    max_concurrency = serializers.IntegerField(required=False, min_value=1, max_value=500)
    batch_delivery = serializers.BooleanField(required=False)
    batch_size = serializers.IntegerField(required=False, min_value=1, max_value=1000)
    batch_window = serializers.IntegerField(required=False, min_value=1, max_value=3600, help_text="Seconds.")


class PayloadConfigSerializer(StrictSerializer):
    """What is sent."""

    format = serializers.ChoiceField(PayloadFormat.choices, required=False, source="payload_format")
    include_full_payload = serializers.BooleanField(
        required=False, help_text="false: only the id of the object that the event is about."
    )
    include_metadata = serializers.BooleanField(required=False)
    include_timestamp = serializers.BooleanField(required=False)
    custom_template = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=32 * 1024,
        trim_whitespace=False,
        help_text="For the format `custom`: text with `{{ data.name }}`, `{% if … %}`, `{% for … in … %}`.",
    )
    custom_content_type = serializers.ChoiceField(CONTENT_TYPES, required=False)


class RateLimitsSerializer(StrictSerializer):
    """How many requests at most; null: no limit."""

    per_second = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=10_000, source="rate_limit_per_second"
    )
    per_minute = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=100_000, source="rate_limit_per_minute"
    )


class SecuritySerializer(StrictSerializer):
    """How the receiver is checked, and how it can check the hub."""

    ip_allow_list = serializers.ListField(
        child=serializers.CharField(max_length=50),
        required=False,
        max_length=100,
        help_text="Networks (CIDR) that the URL's name may lead to; empty: any that the hub may call.",
    )
    validate_ssl = serializers.BooleanField(required=False)
    sign_payload = serializers.BooleanField(required=False)
    signature_header = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=100,
        help_text="Name of an additional header `t=…,v1=…`, such as X-Webhook-Signature.",
    )


class HealthInputSerializer(StrictSerializer):
    max_consecutive_failures = serializers.IntegerField(required=False, min_value=1, max_value=100_000)


class HealthSerializer(serializers.Serializer[WebhookEndpoint]):
    """How the endpoint does."""

    status = serializers.ChoiceField(HealthStatus.choices, source="health_status", read_only=True)
    is_healthy = serializers.BooleanField(read_only=True)
    consecutive_failures = serializers.IntegerField(read_only=True)
    max_consecutive_failures = serializers.IntegerField(read_only=True)
    first_failure_at = serializers.DateTimeField(read_only=True, allow_null=True)
    paused_at = serializers.DateTimeField(read_only=True, allow_null=True)
    paused_by = serializers.CharField(read_only=True)
    pause_reason = serializers.CharField(read_only=True)
    next_probe_at = serializers.DateTimeField(read_only=True, allow_null=True)


class NewEndpointSerializer(StrictSerializer):
    """What an endpoint is created with."""

    name = serializers.CharField(max_length=120)
    description = serializers.CharField(required=False, allow_blank=True, max_length=5000)
    url = serializers.CharField(max_length=2000)
    method = serializers.ChoiceField(Method.choices, required=False)
    events = serializers.ListField(
        child=serializers.CharField(max_length=100), help_text="Event types or wildcards: `invoice.*`, `*`."
    )
    event_filters = serializers.DictField(
        required=False,
        help_text='Conditions on the data: `{"record.status": "paid", "record.total": {"gte": 100}}`; with '
        "eq ne gt gte lt lte in nin exists startswith regex, and with and or not.",
    )
    headers = serializers.DictField(child=serializers.CharField(allow_blank=True), required=False)
    auth_type = serializers.ChoiceField(AuthType.choices, required=False)
    auth_config = serializers.DictField(
        required=False,
        help_text="bearer: token; basic: username, password; api_key: key and header; oauth2: token_url, "
        "client_id, client_secret and scope, audience, client_auth (basic, body); custom: headers.",
    )
    delivery_settings = DeliverySettingsSerializer(required=False)
    payload_config = PayloadConfigSerializer(required=False)
    rate_limits = RateLimitsSerializer(required=False)
    security = SecuritySerializer(required=False)
    health = HealthInputSerializer(required=False)
    project = PublicIdField(required=False, allow_null=True)
    secret = serializers.CharField(
        required=False, max_length=200, help_text="`whsec_…` or `whsk_…`; without it the hub makes one."
    )
    secret_kind = serializers.ChoiceField(
        SecretKind.choices, required=False, help_text="Which kind of secret the hub makes."
    )
    status = serializers.ChoiceField(
        [EndpointStatus.ACTIVE, EndpointStatus.TESTING, EndpointStatus.INACTIVE], required=False
    )


class EndpointChangeSerializer(NewEndpointSerializer):
    """What may be changed. A secret is changed by rotating it."""

    secret = None  # type: ignore[assignment]
    secret_kind = None  # type: ignore[assignment]
    status = serializers.ChoiceField(
        [EndpointStatus.ACTIVE, EndpointStatus.INACTIVE], required=False, help_text="Switches it on or off."
    )


class EndpointSerializer(serializers.Serializer[WebhookEndpoint]):
    """An endpoint, without its secrets."""

    id = serializers.CharField(source="number", read_only=True)
    name = serializers.CharField(read_only=True)
    description = serializers.CharField(read_only=True)
    project = serializers.SerializerMethodField()
    url = serializers.CharField(
        source="url_shown",
        read_only=True,
        help_text="Keys in it masked; sent back as it is, nothing changes.",
    )
    method = serializers.ChoiceField(Method.choices, read_only=True)
    events = serializers.ListField(child=serializers.CharField(), read_only=True)
    event_filters = serializers.DictField(read_only=True)
    status = serializers.ChoiceField(EndpointStatus.choices, read_only=True)
    is_active = serializers.BooleanField(read_only=True)
    headers = serializers.SerializerMethodField()
    auth_type = serializers.ChoiceField(AuthType.choices, read_only=True)
    auth_config = serializers.SerializerMethodField()
    delivery_settings = DeliverySettingsSerializer(source="*", read_only=True)
    payload_config = PayloadConfigSerializer(source="*", read_only=True)
    rate_limits = RateLimitsSerializer(source="*", read_only=True)
    security = SecuritySerializer(source="*", read_only=True)
    health = HealthSerializer(source="*", read_only=True)
    public_key = serializers.CharField(
        read_only=True, help_text="`whpk_…`: verifies what an ed25519 secret signs; empty with any other."
    )
    created_by = serializers.CharField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)

    def get_project(self, endpoint: WebhookEndpoint) -> str | None:
        return endpoint.project.public_id if endpoint.project else None

    def get_headers(self, endpoint: WebhookEndpoint) -> dict[str, str]:
        return shown_headers(endpoint.headers)

    def get_auth_config(self, endpoint: WebhookEndpoint) -> dict[str, Any]:
        return shown_auth(endpoint.auth_config)


class StatisticsSerializer(serializers.Serializer[Any]):
    """Sums since a time. Times in milliseconds, rates in per cent; tests are not counted."""

    since = serializers.DateTimeField(read_only=True)
    total_deliveries = serializers.IntegerField(read_only=True)
    successful_deliveries = serializers.IntegerField(read_only=True)
    failed_deliveries = serializers.IntegerField(read_only=True)
    waiting_deliveries = serializers.IntegerField(read_only=True)
    last_delivery_at = serializers.DateTimeField(read_only=True, allow_null=True)
    last_success_at = serializers.DateTimeField(read_only=True, allow_null=True)
    last_failure_at = serializers.DateTimeField(read_only=True, allow_null=True)
    average_response_time = serializers.IntegerField(read_only=True, allow_null=True)
    total_retries = serializers.IntegerField(read_only=True)
    success_rate = serializers.FloatField(read_only=True, allow_null=True)
    days_since_last_delivery = serializers.IntegerField(read_only=True, allow_null=True)


class OrganizationStatisticsSerializer(StatisticsSerializer):
    """The sums over all endpoints, and how many endpoints there are of each kind."""

    endpoints = serializers.IntegerField(read_only=True)
    by_status = serializers.DictField(child=serializers.IntegerField(), read_only=True)
    by_health = serializers.DictField(child=serializers.IntegerField(), read_only=True)


class DeliverySerializer(serializers.Serializer[Delivery]):
    """One message owed to one endpoint."""

    id = serializers.CharField(source="public_id", read_only=True)
    webhook = serializers.CharField(source="endpoint.number", read_only=True)
    event = serializers.SerializerMethodField()
    event_type = serializers.CharField(read_only=True)
    cause = serializers.ChoiceField(Cause.choices, read_only=True)
    status = serializers.ChoiceField(DeliveryStatus.choices, read_only=True)
    attempt_count = serializers.IntegerField(source="attempts", read_only=True)
    items = serializers.IntegerField(read_only=True, help_text="Events in a batch; 0: no batch.")
    next_attempt_at = serializers.SerializerMethodField()
    last_status = serializers.IntegerField(read_only=True, allow_null=True)
    last_error = serializers.CharField(read_only=True)
    ordering_key = serializers.CharField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    delivered_at = serializers.DateTimeField(read_only=True, allow_null=True)

    def get_event(self, delivery: Delivery) -> str | None:
        return ids.public(Event.PREFIX, delivery.event_id) if delivery.event_id else None

    def get_next_attempt_at(self, delivery: Delivery) -> str | None:
        held = delivery.endpoint.status == EndpointStatus.PAUSED
        at = delivery.next_attempt_at if delivery.is_open and not held else None
        return None if at is None else at.isoformat().replace("+00:00", "Z")


class EndpointDetailSerializer(EndpointSerializer):
    """An endpoint with its numbers of the last 30 days and its last ten deliveries."""

    statistics = serializers.SerializerMethodField()
    recent_deliveries = serializers.SerializerMethodField()

    def get_statistics(self, endpoint: WebhookEndpoint) -> dict[str, Any]:
        return dict(StatisticsSerializer(selectors.statistics_of([endpoint.pk])).data)

    def get_recent_deliveries(self, endpoint: WebhookEndpoint) -> list[dict[str, Any]]:
        recent = selectors.recent_deliveries(endpoint)
        for delivery in recent:
            delivery.endpoint = endpoint
        return [dict(DeliverySerializer(delivery).data) for delivery in recent]


class CreatedEndpointSerializer(EndpointSerializer):
    """A new endpoint with its signing secret, which is shown this once."""

    secret = serializers.CharField(read_only=True, help_text="Keep it now: it is never shown again.")


class SecretSerializer(serializers.Serializer[Any]):
    secret = serializers.CharField(read_only=True, help_text="Keep it now: it is never shown again.")
    public_key = serializers.CharField(
        read_only=True, help_text="What receivers verify ed25519 signatures with; else empty."
    )
    old_secret_ends_at = serializers.DateTimeField(read_only=True)


class AttemptSerializer(serializers.Serializer[DeliveryAttempt]):
    """One HTTP try."""

    id = serializers.CharField(source="public_id", read_only=True)
    number = serializers.IntegerField(read_only=True)
    succeeded = serializers.BooleanField(read_only=True)
    started_at = serializers.DateTimeField(read_only=True)
    finished_at = serializers.DateTimeField(read_only=True, allow_null=True)
    duration_ms = serializers.IntegerField(read_only=True, allow_null=True)
    status_code = serializers.IntegerField(read_only=True, allow_null=True)
    error_code = serializers.CharField(read_only=True)
    error = serializers.CharField(read_only=True)
    request_headers = serializers.DictField(read_only=True, help_text="As sent, secrets masked.")
    response_headers = serializers.DictField(read_only=True)
    response_body = serializers.CharField(read_only=True, help_text="The first 16 KiB.")


class DeliveryDetailSerializer(DeliverySerializer):
    """A delivery with the exact bytes of its message."""

    content_type = serializers.CharField(source="kept_payload.content_type", read_only=True, default="")
    body = serializers.SerializerMethodField()
    forgotten = serializers.BooleanField(
        source="is_forgotten",
        read_only=True,
        help_text="Whether the hub has the message no more: it was expunged, or its time was over.",
    )

    def get_body(self, delivery: Delivery) -> str:
        return delivery.body.decode("utf-8", "replace")


class ExpungeSerializer(StrictSerializer):
    reason = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=300, help_text="For the audit log."
    )


class ExpungedSerializer(serializers.Serializer[Any]):
    deliveries = serializers.IntegerField(
        read_only=True, help_text="How many deliveries had a message made of the same data."
    )


class TestResultSerializer(AttemptSerializer):
    """The one try of a test message."""

    __test__ = False  # not a test of ours
    delivery = serializers.CharField(source="delivery.public_id", read_only=True)


class TestSerializer(StrictSerializer):
    __test__ = False
    event_type = serializers.CharField(required=False, default=TEST, max_length=100)
    data = serializers.DictField(  # type: ignore[assignment]
        required=False, help_text="Instead of the type's sample."
    )


class PreviewInputSerializer(StrictSerializer):
    """Which past event to show, and settings to try out without saving them."""

    event = serializers.CharField(
        required=False,
        allow_blank=True,
        default="",
        max_length=60,
        help_text="`evt_…`; without it the last event that the endpoint listens for, else a sample.",
    )
    event_filters = serializers.DictField(required=False)
    payload_config = PayloadConfigSerializer(required=False)


class PreviewSerializer(serializers.Serializer[Any]):
    """A message as the endpoint would get it."""

    event = serializers.CharField(read_only=True)
    event_type = serializers.CharField(read_only=True)
    is_sample = serializers.BooleanField(read_only=True)
    wanted = serializers.BooleanField(
        read_only=True, help_text="Whether its event types and filters let it through."
    )
    content_type = serializers.CharField(read_only=True)
    body = serializers.CharField(read_only=True)


class PauseSerializer(StrictSerializer):
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=300)


class RotateSerializer(StrictSerializer):
    kind = serializers.ChoiceField(SecretKind.choices, required=False, default=SecretKind.HMAC)
    secret = serializers.CharField(required=False, default="", max_length=200)
    overlap_seconds = serializers.IntegerField(
        required=False,
        default=int(KEEP_OLD_SECRET.total_seconds()),
        min_value=0,
        max_value=int(LONGEST_KEEP.total_seconds()),
        help_text="Seconds for which the old secret signs too.",
    )
