"""Between the nested form of endpoints in the API and the flat names of their fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.kernel.errors import FieldError, InvalidInput
from apps.kernel.redaction import MASK, is_secret_name
from apps.webhooks.models import WebhookEndpoint
from apps.webhooks.statuses import AuthType

# Group in the API → its names there → names of the fields.
GROUPS: dict[str, dict[str, str]] = {
    "delivery_settings": {
        name: name
        for name in (
            "timeout", "retry_attempts", "retry_intervals", "retry_on_status", "ordering", "max_concurrency",
            "batch_delivery", "batch_size", "batch_window",
        )
    },
    "payload_config": {
        "format": "payload_format",
        "include_full_payload": "include_full_payload",
        "include_metadata": "include_metadata",
        "include_timestamp": "include_timestamp",
        "custom_template": "custom_template",
        "custom_content_type": "custom_content_type",
    },
    "rate_limits": {"per_second": "rate_limit_per_second", "per_minute": "rate_limit_per_minute"},
    "security": {
        name: name for name in ("ip_allow_list", "validate_ssl", "sign_payload", "signature_header")
    },
    "health": {"max_consecutive_failures": "max_consecutive_failures"},
}  # fmt: skip
_POINTERS = {field: f"/{group}/{name}" for group, names in GROUPS.items() for name, field in names.items()}
# The parts of an authentication that are no secrets.
_OPEN_PARTS = frozenset({"username", "header", "token_url", "client_id", "scope", "audience", "client_auth"})


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """The services' names for validated input."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name in GROUPS:
            found |= value  # the serializers of the groups name the fields already
        else:
            found[name] = value
    return found


def nested(error: InvalidInput) -> InvalidInput:
    """The same refusal with pointers into the caller's input."""
    moved = []
    for one in error.errors:
        field, slash, rest = one.pointer.removeprefix("/").partition("/")
        pointer = _POINTERS.get(field, f"/{field}") + slash + rest
        moved.append(FieldError(pointer, one.code, one.detail))
    return InvalidInput(error.detail, errors=moved, code=error.code)


def shown_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """An endpoint's own headers, the secret ones masked."""
    return {name: MASK if is_secret_name(name) else value for name, value in headers.items()}


def shown_auth(config: Mapping[str, Any]) -> dict[str, Any]:
    """An endpoint's authentication, its secrets masked."""
    return {
        name: dict.fromkeys(value, MASK)
        if isinstance(value, Mapping)
        else value
        if name in _OPEN_PARTS
        else MASK
        for name, value in config.items()
    }


def kept_secrets(values: dict[str, Any], endpoint: WebhookEndpoint) -> dict[str, Any]:
    """`values` where a mask stands for what is stored: whoever sends back what was read changes nothing."""
    values = dict(values)
    if values.get("url") == endpoint.url_shown:
        values["url"] = endpoint.url
    if isinstance(values.get("headers"), Mapping):
        values["headers"] = _unmasked(values["headers"], endpoint.headers)
    config = values.get("auth_config")
    if isinstance(config, Mapping) and values.get("auth_type", endpoint.auth_type) == endpoint.auth_type:
        old = endpoint.auth_config
        config = _unmasked(config, old)
        if endpoint.auth_type == AuthType.CUSTOM and isinstance(config.get("headers"), Mapping):
            config["headers"] = _unmasked(config["headers"], old.get("headers", {}))
        values["auth_config"] = config
    return values


def _unmasked(given: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: stored[name] if value == MASK and name in stored else value for name, value in given.items()
    }
