"""What callers send."""

from __future__ import annotations

from rest_framework import serializers

from apps.connectors.services.checking import MAX_INTERVAL
from apps.connectors.statuses import Direction, Environment, SyncMode
from apps.kernel.api.serializers import PublicIdField, StrictSerializer

_LIMIT = 2**31 - 1


class SyncSettingsInput(StrictSerializer):
    """When and in which direction an integration syncs. An interval or a crontab, not both."""

    enabled = serializers.BooleanField(required=False)
    direction = serializers.ChoiceField(Direction.choices, required=False)
    auto_sync = serializers.BooleanField(
        required=False, help_text="Sync by the schedule, without being asked."
    )
    interval_minutes = serializers.IntegerField(
        required=False, min_value=0, max_value=MAX_INTERVAL, help_text="0: not by interval."
    )
    crontab = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=100,
        help_text="Minute, hour, day, month, weekday; the organization's time zone: `*/15 8-18 * * mon-fri`.",
    )
    sync_on_create = serializers.BooleanField(required=False)
    sync_on_update = serializers.BooleanField(required=False)
    sync_on_delete = serializers.BooleanField(required=False)


def _limit() -> serializers.IntegerField:
    return serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=_LIMIT,
        help_text="null: what the connector knows.",
    )


class RateLimitsInput(StrictSerializer):
    """Calls to the provider, counted over all workers."""

    requests_per_minute = _limit()
    requests_per_hour = _limit()
    requests_per_day = _limit()


class StreamInput(StrictSerializer):
    """How one stream is used."""

    name = serializers.CharField(max_length=60)
    dataset = serializers.CharField(
        max_length=60, required=False, help_text="The dataset that its records become; else the connector's."
    )
    mapping = PublicIdField(
        required=False,
        allow_null=True,
        allow_blank=True,
        help_text="A saved mapping; else the connector's own.",
    )
    enabled = serializers.BooleanField(required=False)
    mode = serializers.ChoiceField(SyncMode.choices, required=False)
    delete_missing = serializers.BooleanField(
        required=False, help_text="After a full sync, delete records that the provider no longer has."
    )
    delete_limit_percent = serializers.IntegerField(required=False, min_value=0, max_value=100)


class _Fields(StrictSerializer):
    display_name = serializers.CharField(max_length=120, required=False, allow_blank=True)
    description = serializers.CharField(max_length=10_000, required=False, allow_blank=True)
    project = PublicIdField(required=False, allow_null=True)
    environment = serializers.ChoiceField(Environment.choices, required=False)
    auth_mode = serializers.CharField(
        max_length=40, required=False, help_text="One of the connector's ways to authenticate."
    )
    credentials = serializers.DictField(
        child=serializers.CharField(
            allow_null=True, allow_blank=True, trim_whitespace=False, max_length=20_000
        ),
        required=False,
        write_only=True,
        help_text="Never shown again. What is left out stays as it is; null removes one.",
    )
    webhook_secret = serializers.CharField(
        required=False, allow_null=True, allow_blank=True, write_only=True, max_length=1000
    )
    config = serializers.DictField(
        required=False, help_text="Fits the `config_schema` of the connector (see `connectors/{slug}`)."
    )
    metadata = serializers.DictField(required=False, help_text="Anything that your programs want to note.")
    sync_settings = SyncSettingsInput(required=False)
    rate_limits = RateLimitsInput(required=False)
    streams = StreamInput(many=True, required=False, help_text="Streams that are left out are turned off.")


class NewIntegrationInput(_Fields):
    """An integration to set up. It works after `connect`."""

    connector = serializers.CharField(max_length=60, help_text="A slug of the catalog.")
    name = serializers.CharField(max_length=120)
    code = serializers.SlugField(
        max_length=60, required=False, help_text="Unique in the hub; part of the address of inbound webhooks."
    )


class IntegrationInput(_Fields):
    """All settings: what is left out falls back to its default, but for credentials."""

    name = serializers.CharField(max_length=120)
    code = serializers.SlugField(max_length=60, required=False)


class SyncInput(StrictSerializer):
    """A sync to start now."""

    streams = serializers.ListField(
        child=serializers.CharField(max_length=60),
        required=False,
        max_length=200,
        help_text="All that are on.",
    )
    mode = serializers.ChoiceField(SyncMode.choices, required=False, help_text="Instead of the streams' own.")
    direction = serializers.ChoiceField(Direction.choices, required=False)
    metadata = serializers.DictField(required=False, help_text="What you want to note about it.")


class NothingInput(StrictSerializer):
    """No body is needed."""
