"""Integrations, syncs, calls and the catalog on the wire. Credentials are in none of them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from apps.connectors.api import shapes
from apps.connectors.engine import settings
from apps.connectors.models import ConnectionEvent, Integration, IntegrationLog, SyncError, SyncJob
from apps.connectors.registry import Connector

JSON = serializers.JSONField
Text = serializers.CharField
Moment = serializers.DateTimeField
Count = serializers.IntegerField


class ConnectorSerializer(serializers.Serializer[Connector]):
    """An entry of the catalog."""

    id = Text(source="name")
    name = Text(source="manifest.title")
    summary = Text(source="manifest.summary")
    provider = Text(source="manifest.provider")
    type = Text(source="manifest.type")
    category = Text(source="manifest.category")
    status = Text(source="manifest.status")
    version = Text(source="manifest.version")
    docs = Text(source="manifest.docs")
    features = serializers.SerializerMethodField()
    icon = Text(source="icon_uri", help_text="An SVG image as a data: URI.")

    def get_features(self, obj: Connector) -> dict[str, Any]:
        return features(obj)


class ConnectorDetailSerializer(ConnectorSerializer):
    """An entry of the catalog with all that is needed to set it up."""

    auth = serializers.SerializerMethodField()
    environments = serializers.SerializerMethodField()
    config_schema = serializers.SerializerMethodField()
    streams = serializers.SerializerMethodField()
    limits = serializers.SerializerMethodField()
    setup = Text(help_text="How to set it up at the provider, in Markdown.")

    def get_auth(self, obj: Connector) -> list[dict[str, Any]]:
        return [
            {
                "mode": mode.mode,
                "method": mode.method,
                "label": mode.label,
                "credentials": [
                    {
                        "name": credential.name,
                        "label": credential.label,
                        "secret": credential.secret,
                        "required": credential.required,
                        "help": credential.help,
                    }
                    for credential in mode.credentials
                ],
            }
            for mode in obj.manifest.auth
        ]

    def get_environments(self, obj: Connector) -> list[str]:
        return list(obj.manifest.base_urls)

    def get_config_schema(self, obj: Connector) -> dict[str, Any]:
        return settings.schema_of(obj.manifest)

    def get_streams(self, obj: Connector) -> list[dict[str, Any]]:
        return [
            {
                "name": stream.name,
                "label": stream.label,
                "description": stream.description,
                "dataset": stream.dataset or None,
                "incremental": stream.incremental is not None,
                "mapping": stream.mapping or None,
            }
            for stream in obj.manifest.streams
        ]

    def get_limits(self, obj: Connector) -> dict[str, int | None]:
        limits = obj.manifest.limits
        return {
            "requests_per_minute": limits.per_minute,
            "requests_per_hour": limits.per_hour,
            "requests_per_day": limits.per_day,
        }


def features(connector: Connector) -> dict[str, Any]:
    """What a connector can do, in the words of the source documents."""
    manifest = connector.manifest
    modes = {mode.mode for mode in manifest.auth}
    return {
        "supports_import": bool(manifest.streams) or manifest.custom_streams,
        "supports_export": False,
        "supports_webhooks": False,
        "supports_bulk_operations": False,
        "supports_real_time": False,
        "supports_oauth": any(mode.startswith("oauth2") for mode in modes),
        "custom_streams": manifest.custom_streams,
        "available_endpoints": [stream.name for stream in manifest.streams],
        "supported_operations": ["test", "read"],
    }


class StreamSerializer(serializers.Serializer[Any]):
    name = Text()
    dataset = Text(source="dataset.slug")
    mapping = serializers.SerializerMethodField()
    enabled = serializers.BooleanField()
    mode = Text()
    delete_missing = serializers.BooleanField()
    delete_limit_percent = Count()
    cursor = Text(allow_null=True)
    last_synced_at = Moment(allow_null=True)

    def get_mapping(self, obj: Any) -> str | None:
        return obj.mapping.public_id if obj.mapping else None


class IntegrationSerializer(serializers.Serializer[Integration]):
    """One use of a connector. Its credentials can be set, never read."""

    id = Text(source="number")
    integration_number = Text(source="number")
    name = Text()
    display_name = Text()
    description = Text()
    code = Text()
    connector = Text()
    provider = Text()
    type = Text()
    category = Text()
    project = serializers.SerializerMethodField()
    environment = Text()
    status = Text()
    connection_status_description = Text()
    connection_method = Text()
    auth_mode = Text()
    credentials_set = serializers.SerializerMethodField(help_text="Names of the credentials that are set.")
    has_webhook_secret = serializers.SerializerMethodField()
    webhook_url = Text()
    config = JSON()
    metadata = JSON()
    sync_settings = serializers.SerializerMethodField()
    rate_limits = serializers.SerializerMethodField()
    features = serializers.SerializerMethodField()
    health_status = Text()
    health_score = Count(allow_null=True)
    days_since_last_sync = Count(allow_null=True)
    last_error = Text()
    test_passed = serializers.BooleanField(allow_null=True)
    tested_at = Moment(allow_null=True)
    connected_at = Moment(allow_null=True)
    disconnected_at = Moment(allow_null=True)
    disconnected_by = Text()
    created_by = Text()
    last_modified_by = Text()
    created_at = Moment()
    updated_at = Moment()

    def get_project(self, obj: Integration) -> str | None:
        return obj.project.public_id if obj.project else None

    def get_credentials_set(self, obj: Integration) -> list[str]:
        return sorted(obj.credentials or {})

    def get_has_webhook_secret(self, obj: Integration) -> bool:
        return obj.webhook_secret is not None

    def get_sync_settings(self, obj: Integration) -> dict[str, Any]:
        return shapes.sync_settings(obj)

    def get_rate_limits(self, obj: Integration) -> dict[str, Any]:
        return shapes.rate_limits(obj)

    def get_features(self, obj: Integration) -> dict[str, Any] | None:
        entry = obj.catalog_entry
        return features(entry) if entry else None


class IntegrationDetailSerializer(IntegrationSerializer):
    """An integration with its streams."""

    streams = serializers.SerializerMethodField()

    def get_streams(self, obj: Integration) -> list[dict[str, Any]]:
        rows = obj.streams.select_related("dataset", "mapping")
        return list(StreamSerializer(rows, many=True).data)


class TestResultSerializer(serializers.Serializer[Any]):
    __test__ = False

    ok = serializers.BooleanField()
    reason = Text(help_text="Why it failed, in a sentence; empty if it did not.")
    kind = Text(allow_null=True)
    status_code = Count(source="status", allow_null=True)
    latency_ms = Count(allow_null=True)
    identity = Text(help_text="Who the provider takes us for, where it says so.")


class HealthSerializer(serializers.Serializer[Any]):
    status = Text()
    health_score = Count(allow_null=True, help_text="Successful calls of 7 days per hundred.")
    last_health_check = Moment(allow_null=True)
    response_time_ms = Count(allow_null=True)
    uptime = serializers.FloatField(allow_null=True, help_text="Passed checks of 7 days per hundred.")
    error_rate = serializers.FloatField(allow_null=True, help_text="Failed calls of 24 hours per hundred.")
    consecutive_failures = Count()
    consecutive_successes = Count()
    last_error = Text()
    last_error_at = Moment(allow_null=True)
    rate_limits = serializers.ListField(child=serializers.DictField())


class StatisticsSerializer(serializers.Serializer[Any]):
    total_requests = Count()
    successful_requests = Count()
    failed_requests = Count()
    success_rate = serializers.FloatField(allow_null=True)
    last_request_at = Moment(allow_null=True)
    average_response_time_ms = Count(allow_null=True)
    data_transferred_bytes = Count()
    records_synced = Count()
    syncs = serializers.DictField(child=Count())
    open_errors = Count()


class TypeStatisticsSerializer(serializers.Serializer[Any]):
    type = Text()
    total = Count()
    active = Count()
    in_error = Count()
    healthy = Count()
    last_sync_at = Moment(allow_null=True)


class AllStatisticsSerializer(serializers.Serializer[Any]):
    data = TypeStatisticsSerializer(many=True)  # type: ignore[assignment]


class ConnectionEventSerializer(serializers.Serializer[ConnectionEvent]):
    id = Text(source="public_id")
    action = Text()
    performed_by = Text()
    details = Text()
    data = JSON()  # type: ignore[assignment]
    created_at = Moment()


class LogSerializer(serializers.Serializer[IntegrationLog]):
    """One call to a provider, secrets masked, bodies cut."""

    id = Text(source="public_id")
    integration = Text(source="integration.number")
    sync_job = Text(source="sync_job.number", allow_null=True, default=None)
    action = Text()
    direction = Text()
    method = Text()
    endpoint = Text()
    ok = serializers.BooleanField()
    status_code = Count(allow_null=True)
    duration_ms = Count(allow_null=True)
    bytes_received = Count()
    error_message = Text()
    created_at = Moment()


class LogDetailSerializer(LogSerializer):
    request_data = JSON()
    response_data = JSON()
    metadata = JSON()


class SyncStreamSerializer(serializers.Serializer[Any]):
    name = Text()
    dataset = Text()
    mode = Text()
    status = Text()
    percent = Count()
    pages = Count()
    processed = Count()
    created = Count()
    updated = Count()
    unchanged = Count()
    deleted = Count()
    failed = Count()
    duplicates = Count()
    cursor_before = Text()
    cursor_after = Text()
    warning = Text()
    error_kind = Text()
    error_message = Text()
    started_at = Moment(allow_null=True)
    completed_at = Moment(allow_null=True)


class SyncJobSerializer(serializers.Serializer[SyncJob]):
    """One run of a sync."""

    id = Text(source="number")
    integration = Text(source="integration.number")
    type = Text()
    direction = Text()
    trigger = Text()
    status = Text()
    percent = Count()
    records_processed = Count(source="processed")
    records_created = Count(source="created")
    records_updated = Count(source="updated")
    records_unchanged = Count(source="unchanged")
    records_deleted = Count(source="deleted")
    records_failed = Count(source="failed")
    pages = Count()
    attempts = Count()
    error_kind = Text()
    error_message = Text()
    requested_by = Text()
    metadata = JSON()
    retry_of = Text(source="retry_of.number", allow_null=True, default=None)
    due_at = Moment()
    started_at = Moment(allow_null=True)
    completed_at = Moment(allow_null=True)
    created_at = Moment()
    streams = SyncStreamSerializer(many=True, source="streams.all")


class SyncErrorSerializer(serializers.Serializer[SyncError]):
    """A row that could not be taken over."""

    id = Text(source="public_id")
    stream = Text()
    remote_id = Text()
    code = Text()
    field = Text()
    message = Text()
    problems = JSON()
    row = JSON()
    status = Text()
    retryable = serializers.BooleanField()
    attempts = Count()
    created_at = Moment()
    last_seen_at = Moment()
    resolved_at = Moment(allow_null=True)
    resolved_by = Text()
