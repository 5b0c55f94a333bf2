"""API keys on the wire."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from apps.apikeys.api.limits import RateLimitsSerializer, inner_limits
from apps.apikeys.models import APIKey
from apps.apikeys.services.keys import DEFAULT_PERMISSIONS
from apps.apikeys.services.rotation import DEFAULT_OVERLAP, LONGEST_OVERLAP
from apps.apikeys.statuses import KeyStatus
from apps.kernel.api.serializers import StrictSerializer


def _list(help_text: str) -> serializers.ListField:
    return serializers.ListField(
        child=serializers.CharField(max_length=200), required=False, max_length=100, help_text=help_text
    )


class PermissionsSerializer(StrictSerializer):
    """A call needs its scope and the permission that the scope's action stands for; others need `admin`."""

    read = serializers.BooleanField(required=False)
    write = serializers.BooleanField(required=False)
    delete = serializers.BooleanField(required=False)
    admin = serializers.BooleanField(required=False)


class SecuritySerializer(StrictSerializer):
    """From where a key may be used. A list that is empty restricts nothing."""

    ip_whitelist = _list("Addresses and CIDRs that may use the key, such as 192.0.2.0/24.")
    ip_blacklist = _list("Addresses and CIDRs that may not.")
    allowed_origins = _list("Values of the Origin header, such as https://shop.example.com.")
    allowed_referers = _list("Hosts (*.example.com) or beginnings of addresses in the Referer header.")
    allowed_user_agents = _list("Patterns of the User-Agent header, such as MyApp/*.")
    require_https = serializers.BooleanField(required=False)
    max_request_size = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=2**31 - 1, help_text="Bytes of a body."
    )
    signature_required = serializers.BooleanField(
        required=False,
        help_text="Each call carries a `Hub-Signature`. A key that has no signing secret yet gets one from "
        "`POST /api-keys/{id}/signing-secret`.",
    )


class RotationPolicySerializer(StrictSerializer):
    """Automatic rotation. The successor waits to be collected with `POST /api-keys/current/collect`."""

    every_days = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=3650, help_text="null: only by hand."
    )
    overlap_seconds = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=int(LONGEST_OVERLAP.total_seconds()),
        help_text="How long the old key still works after an automatic rotation.",
    )


class RotationPolicyStateSerializer(RotationPolicySerializer):
    enabled = serializers.BooleanField(read_only=True)
    next_rotation_at = serializers.DateTimeField(read_only=True, allow_null=True)


class AlertsSerializer(StrictSerializer):
    """Of what somebody is told, by event and mail."""

    notify_on_high_usage = serializers.BooleanField(required=False)
    usage_threshold = serializers.IntegerField(
        required=False, min_value=50, max_value=100, help_text="Percent of a limit, in steps of 5."
    )
    notify_on_suspicious_activity = serializers.BooleanField(required=False)
    notify_on_expiration = serializers.BooleanField(
        required=False, help_text="30, 7 and 1 day before the end, and at automatic rotations."
    )
    alert_emails = serializers.ListField(
        child=serializers.EmailField(max_length=200),
        required=False,
        max_length=20,
        help_text="Empty: the organization's owners and administrators.",
    )


class _KeyFields(StrictSerializer):
    name = serializers.CharField(max_length=120, help_text="What the key is for.")
    description = serializers.CharField(required=False, allow_blank=True, max_length=2000)
    scopes = serializers.ListField(
        child=serializers.CharField(max_length=60),
        max_length=100,
        help_text="`resource:action`, such as `records:read`; `*` stands for every resource or action.",
    )
    permissions = PermissionsSerializer(required=False)
    allowed_resources = _list("Ids or datasets of which a call's address must name one.")
    allowed_endpoints = _list("Such as `GET /records/*`.")
    security = SecuritySerializer(required=False)
    rotation_policy = RotationPolicySerializer(required=False)
    alerts = AlertsSerializer(required=False)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)
    never_expires = serializers.BooleanField(required=False)
    api_version = serializers.CharField(
        required=False, allow_blank=True, max_length=20, help_text="Version of addresses that name none."
    )


class NewKeySerializer(_KeyFields):
    """What a key is created with. Without `expires_at` it lives as long as the hub's setting says."""

    key_type = serializers.ChoiceField(APIKey.Type.choices, default=APIKey.Type.SECRET)
    environment = serializers.ChoiceField(APIKey.Environment.choices, default=APIKey.Environment.PRODUCTION)
    rate_limits = RateLimitsSerializer(
        required=False, help_text="Limits of its own, as at `/api-keys/{id}/rate-limits`."
    )


class KeyChangeSerializer(_KeyFields):
    """What may be changed. Scopes and permissions can be taken away, never added."""

    name = serializers.CharField(max_length=120, required=False)
    scopes = serializers.ListField(child=serializers.CharField(max_length=60), max_length=100, required=False)


class RotationSerializer(StrictSerializer):
    overlap_seconds = serializers.IntegerField(
        required=False,
        default=int(DEFAULT_OVERLAP.total_seconds()),
        min_value=0,
        max_value=int(LONGEST_OVERLAP.total_seconds()),
        help_text="How long the old key still works.",
    )


class ReasonSerializer(StrictSerializer):
    reason = serializers.CharField(required=False, allow_blank=True, max_length=200, default="")


class KeySerializer(serializers.Serializer[APIKey]):
    """A key, without its secret."""

    id = serializers.CharField(source="number", read_only=True)
    name = serializers.CharField(read_only=True)
    description = serializers.CharField(read_only=True)
    prefix = serializers.CharField(read_only=True, help_text="The beginning of the key.")
    key_type = serializers.ChoiceField(APIKey.Type.choices, read_only=True)
    environment = serializers.ChoiceField(APIKey.Environment.choices, read_only=True)
    status = serializers.SerializerMethodField()
    is_active = serializers.BooleanField(read_only=True, help_text="Whether it lets its holder in now.")
    is_expired = serializers.BooleanField(read_only=True)
    waiting = serializers.BooleanField(
        source="is_waiting",
        read_only=True,
        help_text="Whether it was made by an automatic rotation and waits to be collected.",
    )
    group = serializers.UUIDField(read_only=True, help_text="Shared by a key and its successors.")
    scopes = serializers.ListField(child=serializers.CharField(), read_only=True)
    permissions = PermissionsSerializer(read_only=True)
    allowed_resources = serializers.ListField(child=serializers.CharField(), read_only=True)
    allowed_endpoints = serializers.ListField(child=serializers.CharField(), read_only=True)
    security = SecuritySerializer(read_only=True)
    rotation_policy = RotationPolicyStateSerializer(read_only=True)
    alerts = AlertsSerializer(read_only=True)
    api_version = serializers.CharField(read_only=True)
    expires_at = serializers.DateTimeField(read_only=True, allow_null=True)
    never_expires = serializers.BooleanField(read_only=True)
    days_until_expiration = serializers.IntegerField(read_only=True, allow_null=True)
    last_used_at = serializers.DateTimeField(read_only=True, allow_null=True)
    last_rotated_at = serializers.DateTimeField(read_only=True, allow_null=True)
    collected_at = serializers.DateTimeField(read_only=True, allow_null=True)
    revoked_at = serializers.DateTimeField(read_only=True, allow_null=True)
    revoke_reason = serializers.CharField(read_only=True)
    exposed_at = serializers.DateTimeField(
        read_only=True, allow_null=True, help_text="When the key was seen in an address: rotate it."
    )
    created_by = serializers.CharField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)

    def get_status(self, key: APIKey) -> str:
        # Its life may have ended a moment before the task marks it.
        return KeyStatus.EXPIRED if key.status == KeyStatus.ACTIVE and key.is_expired else key.status


class IssuedKeySerializer(KeySerializer):
    """A new key with its secret, which is shown this once."""

    key = serializers.CharField(read_only=True, help_text="The key. Keep it now: it is never shown again.")
    signing_secret = serializers.CharField(
        read_only=True,
        allow_null=True,
        help_text="With `signature_required`: what its calls are signed with. Never shown again either.",
    )


class SigningSecretSerializer(KeySerializer):
    """A key with its new signing secret, which is shown this once."""

    signing_secret = serializers.CharField(read_only=True)


def attributes(values: dict[str, Any]) -> dict[str, Any]:
    """The services' names for validated input: `security`, `alerts` and `rotation_policy` are flat there."""
    values = dict(values)
    values |= values.pop("security", {})
    values |= values.pop("alerts", {})
    policy = values.pop("rotation_policy", {})
    names = {"every_days": "rotate_every_days", "overlap_seconds": "rotation_overlap"}
    return values | {names[name]: value for name, value in policy.items()}


def new_key_attributes(values: dict[str, Any]) -> dict[str, Any]:
    values = attributes(values)
    public = values["key_type"] == APIKey.Type.PUBLIC
    usual = {**DEFAULT_PERMISSIONS, "write": not public}
    values["permissions"] = {**usual, **values.get("permissions", {})}
    if "rate_limits" in values:
        values["rate_limits"] = inner_limits(values["rate_limits"])
    return values
