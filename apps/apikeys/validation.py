"""What makes a key's settings sensible, with a pointer for each mistake."""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import ip_network
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils import timezone

from apps.apikeys.models import APIKey
from apps.apikeys.scopes import mistake_in
from apps.kernel.api.versions import versions
from apps.kernel.errors import FieldError, InvalidInput

_ENDPOINT = re.compile(r"(?:(?:GET|POST|PUT|PATCH|DELETE|\*) )?/[^\s?#]{0,200}")
_LONGEST_LIST = 100
_LONGEST_ENTRY = 200
_MOST_EMAILS = 20
_LONGEST_PERIOD = 3650  # days


def clean(key: APIKey, *, new: bool = False, held: Collection[str] = ()) -> None:
    """Bring lists into one form. `held` are the scopes that it had before.

    Raises InvalidInput with all mistakes at once.
    """
    errors: list[FieldError] = []

    def wrong(pointer: str, code: str, detail: str) -> None:
        errors.append(FieldError(pointer, code, detail))

    key.name = key.name.strip()
    if not key.name:
        wrong("/name", "required", "The key needs a name that says what it is for.")
    elif len(key.name) > 120 or "\x00" in key.name:
        wrong("/name", "invalid", "The name has at most 120 characters.")
    if key.key_type not in APIKey.Type.values:
        wrong("/key_type", "invalid_choice", f"One of {', '.join(APIKey.Type.values)}.")
    if key.environment not in APIKey.Environment.values:
        wrong("/environment", "invalid_choice", f"One of {', '.join(APIKey.Environment.values)}.")
    for n, scope in enumerate(key.scopes):
        if mistake := mistake_in(scope, held):
            wrong(f"/scopes/{n}", "invalid", mistake)
    if not errors:
        key.scopes = sorted(set(key.scopes))
        _clean_type(key, wrong)
    if key.expires_at is not None and (new or key.is_active) and key.expires_at <= timezone.now():
        wrong("/expires_at", "in_the_past", "The expiry lies in the past.")
    if key.api_version and (mistake := versions.check_pin(key.api_version)):
        wrong("/api_version", "invalid_choice", mistake)
    if key.max_request_size is not None and not 0 < key.max_request_size < 2**31:
        wrong("/security/max_request_size", "out_of_range", "A number of bytes above zero.")
    if key.signature_required and not new and not key.signing_secret:
        wrong(
            "/security/signature_required",
            "no_signing_secret",
            "Make a signing secret for the key first: that also asks for signed calls.",
        )
    _clean_alerts(key, wrong)
    _clean_rotation(key, wrong)
    for name in ("ip_whitelist", "ip_blacklist"):
        setattr(key, name, _networks(getattr(key, name), f"/security/{name}", wrong))
    for name, pointer in (
        ("allowed_resources", "/allowed_resources"),
        ("allowed_endpoints", "/allowed_endpoints"),
        ("allowed_origins", "/security/allowed_origins"),
        ("allowed_referers", "/security/allowed_referers"),
        ("allowed_user_agents", "/security/allowed_user_agents"),
    ):
        setattr(key, name, _texts(getattr(key, name), pointer, wrong))
    for n, endpoint in enumerate(key.allowed_endpoints):
        if not _ENDPOINT.fullmatch(endpoint):
            wrong(
                f"/allowed_endpoints/{n}",
                "invalid",
                "An endpoint is a method and a path, such as GET /records/*.",
            )
    for n, origin in enumerate(key.allowed_origins):
        parts = _split(origin)
        if (
            parts is None
            or parts.scheme not in ("http", "https")
            or not parts.netloc
            or parts.path
            or parts.query
        ):
            wrong(
                f"/security/allowed_origins/{n}",
                "invalid",
                "An origin is scheme and host, such as https://example.com.",
            )
    for n, referer in enumerate(key.allowed_referers):
        if "//" in referer and (_split(referer) is None or "*" in referer.rstrip("*")):
            wrong(
                f"/security/allowed_referers/{n}",
                "invalid",
                "A referer is a host, such as *.example.com, or the front of an address, such as "
                "https://example.com/shop/*.",
            )
    if errors:
        raise InvalidInput(" ".join(error.detail for error in errors[:3]), errors=errors)


def _split(address: str) -> SplitResult | None:
    try:
        return urlsplit(address)
    except ValueError:  # http://[
        return None


def _clean_type(key: APIKey, wrong: Any) -> None:
    if key.key_type == APIKey.Type.PUBLIC:
        if any(not scope.endswith(":read") for scope in key.scopes):
            wrong(
                "/scopes",
                "not_for_public",
                "A public key is seen by everybody: it may have scopes to read only.",
            )
        if key.can_write or key.can_delete or key.can_admin:
            wrong("/permissions", "not_for_public", "A public key is seen by everybody: it may read only.")
    elif key.key_type == APIKey.Type.RESTRICTED and {"*:*", "admin:*"} & set(key.scopes):
        wrong("/scopes", "not_restricted", "A restricted key names its scopes; it cannot have all of them.")


def _clean_alerts(key: APIKey, wrong: Any) -> None:
    if not 50 <= key.usage_threshold <= 100:
        wrong("/alerts/usage_threshold", "out_of_range", "A percentage from 50 to 100.")
    key.alert_emails = _texts(key.alert_emails, "/alerts/alert_emails", wrong)
    if len(key.alert_emails) > _MOST_EMAILS:
        wrong("/alerts/alert_emails", "too_many", f"At most {_MOST_EMAILS} addresses.")
    for n, address in enumerate(key.alert_emails):
        try:
            validate_email(address)
        except ValidationError:
            wrong(f"/alerts/alert_emails/{n}", "invalid", f"“{address}” is not an e-mail address.")


def _clean_rotation(key: APIKey, wrong: Any) -> None:
    days = key.rotate_every_days
    if days is not None and not 1 <= days <= _LONGEST_PERIOD:
        wrong("/rotation_policy/every_days", "out_of_range", f"1 to {_LONGEST_PERIOD} days.")
    elif days is not None and key.rotation_overlap >= days * 86400:
        wrong(
            "/rotation_policy/overlap_seconds",
            "too_long",
            "The old key must end before the next rotation: choose a shorter overlap.",
        )
    if not 0 <= key.rotation_overlap <= 30 * 86400:
        wrong("/rotation_policy/overlap_seconds", "out_of_range", "0 seconds to 30 days.")


def _texts(values: Any, pointer: str, wrong: Any) -> list[str]:
    if not isinstance(values, list) or len(values) > _LONGEST_LIST:
        wrong(pointer, "invalid", f"A list of at most {_LONGEST_LIST} texts.")
        return []
    found = []
    for n, value in enumerate(values):
        if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST_ENTRY or "\x00" in value:
            wrong(f"{pointer}/{n}", "invalid", f"A text of at most {_LONGEST_ENTRY} characters.")
        elif value.strip() not in found:
            found.append(value.strip())
    return found


def _networks(values: Any, pointer: str, wrong: Any) -> list[str]:
    found = []
    for n, value in enumerate(_texts(values, pointer, wrong)):
        try:
            network = ip_network(value, strict=False)
        except ValueError:
            wrong(f"{pointer}/{n}", "invalid", f"“{value}” is neither an IP address nor a CIDR.")
            continue
        mapped = getattr(network.network_address, "ipv4_mapped", None)
        if mapped is not None and network.prefixlen >= 96:
            network = ip_network(f"{mapped}/{network.prefixlen - 96}", strict=False)
        text = str(network)
        if text not in found:
            found.append(text)
    return found
