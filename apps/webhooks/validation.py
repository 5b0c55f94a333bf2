"""What an endpoint's settings may be.

Pure, but for the look-up of the URL's name; every refusal is a sentence.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from django.core.exceptions import ValidationError

from apps.events.selectors import types_of
from apps.events.services.publications import OWN
from apps.kernel.errors import FieldError, HubError
from apps.kernel.outbound import check_url, default_policy, prepare, resolve
from apps.kernel.redaction import MASK
from apps.tenants.models import Organization
from apps.webhooks import signing
from apps.webhooks.errors import SecretInvalid
from apps.webhooks.filters import FilterInvalid, compile_filter
from apps.webhooks.models import WebhookEndpoint
from apps.webhooks.services.requests import narrowed
from apps.webhooks.statuses import AuthType, PayloadFormat
from apps.webhooks.templating import CONTENT_TYPES, TemplateInvalid, compile_template

MAX_PATTERNS = 100
MAX_HEADERS = 50
MAX_HEADER_BYTES = 8 * 1024
MAX_INTERVALS = 50
LONGEST_INTERVAL = 7 * 86_400

_PATTERN = re.compile(r"\*|[a-z0-9][a-z0-9_-]*(\.[a-z0-9][a-z0-9_-]*)*(\.\*)?", re.ASCII)
# Ours: a message with two of one of these would be ambiguous or forged.
_RESERVED = re.compile(
    r"(webhook|svix)-(id|timestamp|signature)|content-type|content-encoding", re.I | re.ASCII
)

_AUTH_FIELDS: dict[str, tuple[str, ...]] = {
    AuthType.NONE: (),
    AuthType.BEARER: ("token",),
    AuthType.BASIC: ("username", "password"),
    AuthType.API_KEY: ("key",),
    AuthType.OAUTH2: ("token_url", "client_id", "client_secret"),
    AuthType.CUSTOM: ("headers",),
}
_AUTH_OPTIONAL: dict[str, tuple[str, ...]] = {
    AuthType.API_KEY: ("header",),
    AuthType.OAUTH2: ("scope", "audience", "client_auth"),
}
_CLIENT_AUTH = ("basic", "body")


def problems(endpoint: WebhookEndpoint, *, fields: Iterable[str] | None = None) -> list[FieldError]:
    """Everything that is wrong with an unsaved endpoint, each with a pointer to its field.

    `fields` are those to look at; all of them if None. The name in the URL is not looked up here.
    """
    wanted = None if fields is None else set(fields)
    found: list[FieldError] = []
    try:
        endpoint.clean_fields(
            exclude=None
            if wanted is None
            else {f.name for f in endpoint._meta.fields if f.name not in wanted}
        )
    except ValidationError as error:
        for name, errors in error.error_dict.items():
            for one in errors:
                found.append(FieldError(f"/{name}", one.code or "invalid", " ".join(one.messages)))
    if wanted is not None:
        wanted |= {also for name, also in _ALSO.items() if name in wanted}
        if wanted & {"payload_format", "custom_content_type"}:
            wanted.add("batch_delivery")
    for name, check in _CHECKS.items():
        if wanted is None or name in wanted:
            found += check(endpoint)
    return found


def url_problems(endpoint: WebhookEndpoint) -> list[FieldError]:
    """Whether the URL may be called: looks its name up, so never inside a transaction."""
    policy = default_policy()
    try:
        target = check_url(endpoint.url or "", policy, allow_http=endpoint.organization.allow_http or None)
        resolve(target.host, target.port, policy)
    except HubError as error:
        return [FieldError("/url", error.code, error.detail)]
    found = token_url_problems(endpoint)
    if found:
        return found
    if any(_networks(endpoint)):
        return []  # told where the settings are checked
    try:
        resolve(target.host, target.port, narrowed(policy, endpoint.ip_allow_list))
    except HubError:
        return [
            FieldError(
                "/ip_allow_list",
                "address_not_listed",
                f"{target.host} leads to an address outside of the IP allow list.",
            )
        ]
    return []


def token_url_problems(endpoint: WebhookEndpoint) -> list[FieldError]:
    """Whether the token URL may be called; looks its name up, too."""
    if endpoint.auth_type != AuthType.OAUTH2:
        return []
    policy = default_policy()
    try:
        url = str(endpoint.auth_config.get("token_url", ""))
        target = check_url(url, policy, allow_http=endpoint.organization.allow_http or None)
        resolve(target.host, target.port, policy)
    except HubError as error:
        return [FieldError("/auth_config/token_url", error.code, error.detail)]
    return []


def _events(endpoint: WebhookEndpoint) -> Iterator[FieldError]:
    patterns = endpoint.events
    if not isinstance(patterns, list) or not patterns:
        yield FieldError("/events", "required", "Choose at least one event type, or * for all of them.")
        return
    if len(patterns) > MAX_PATTERNS:
        yield FieldError("/events", "too_many", f"At most {MAX_PATTERNS} event types; use wildcards.")
        return
    known = known_types(endpoint.organization)
    for n, pattern in enumerate(patterns):
        if not is_pattern(pattern):
            yield FieldError(
                f"/events/{n}",
                "event_type",
                "An event type reads like invoice.updated, a wildcard like invoice.* or *.",
            )
        elif "*" not in pattern and pattern not in known and not pattern.startswith(OWN):
            yield FieldError(f"/events/{n}", "unknown_event_type", f"There is no event type {pattern}.")


def is_pattern(pattern: object) -> bool:
    """Whether it reads like an event type or a wildcard of them."""
    return isinstance(pattern, str) and len(pattern) <= 100 and bool(_PATTERN.fullmatch(pattern))


def known_types(organization: Organization) -> set[str]:
    """The event types that the organization may see: those of the house, of its datasets and its own."""
    return {declared.name for declared in types_of(organization)}


def _filters(endpoint: WebhookEndpoint) -> Iterator[FieldError]:
    try:
        if endpoint.event_filters:
            compile_filter(endpoint.event_filters)
        elif not isinstance(endpoint.event_filters, dict):
            yield FieldError("/event_filters", "type", "Filters are an object: a path, and what it must be.")
    except FilterInvalid as error:
        for one in error.errors:
            yield FieldError(f"/event_filters{one.pointer}", one.code, one.detail)


def _template(endpoint: WebhookEndpoint) -> Iterator[FieldError]:
    """A template must be understood."""
    if endpoint.payload_format != PayloadFormat.CUSTOM:
        return
    try:
        compile_template(endpoint.custom_template, endpoint.custom_content_type)
    except TemplateInvalid as error:
        yield FieldError("/custom_template", "template", str(error))


def _batch(endpoint: WebhookEndpoint) -> Iterator[FieldError]:
    if not endpoint.batch_delivery:
        return
    plain = (CONTENT_TYPES[0], CONTENT_TYPES[2])  # JSON and text can be put one after another
    custom = endpoint.payload_format == PayloadFormat.CUSTOM and endpoint.custom_content_type not in plain
    if endpoint.payload_format == PayloadFormat.FORM or custom:
        yield FieldError(
            "/batch_delivery", "format", "Batches are JSON or XML, or of a template that makes JSON or text."
        )


def _tls(endpoint: WebhookEndpoint) -> Iterator[FieldError]:
    """Certificates are verified, but where unencrypted HTTP is allowed, too."""
    if not endpoint.validate_ssl and not (endpoint.organization.allow_http or default_policy().allow_http):
        yield FieldError(
            "/validate_ssl",
            "required",
            "TLS certificates are verified. Only an organization that allows unencrypted HTTP may switch "
            "that off.",
        )


def _headers(endpoint: WebhookEndpoint) -> Iterator[FieldError]:
    yield from header_problems(endpoint.headers, "/headers")


def header_problems(headers: Any, pointer: str) -> Iterator[FieldError]:
    """What is wrong with headers that somebody gives: names, values, and what only the hub may set."""
    if not isinstance(headers, Mapping) or any(not isinstance(v, str) for v in headers.values()):
        yield FieldError(pointer, "type", "Headers are an object of texts.")
        return
    if len(headers) > MAX_HEADERS:
        yield FieldError(pointer, "too_many", f"At most {MAX_HEADERS} headers.")
    if sum(len(name) + len(value) for name, value in headers.items()) > MAX_HEADER_BYTES:
        yield FieldError(pointer, "too_large", f"At most {MAX_HEADER_BYTES:,} characters of headers.")
    seen: set[str] = set()
    for name, value in headers.items():
        here = f"{pointer}/{str(name)[:60].replace('~', '~0').replace('/', '~1')}"
        if name.lower() in seen:
            yield FieldError(here, "header_invalid", f"The header {name[:60]!r} is given twice.")
        seen.add(name.lower())
        if _RESERVED.fullmatch(name):
            yield FieldError(
                here, "header_invalid", f"The header {name!r} is set by the hub and cannot be given."
            )
            continue
        try:
            prepare.check_headers({name: value}, None)
            value.encode("latin-1")
        except UnicodeEncodeError:
            yield FieldError(
                here, "header_invalid", f"The header {name[:60]!r} has characters beyond Latin-1."
            )
        except HubError as error:
            yield FieldError(here, "header_invalid", error.detail)


def _auth(endpoint: WebhookEndpoint) -> Iterator[FieldError]:
    config = endpoint.auth_config
    if not isinstance(config, Mapping):
        yield FieldError("/auth_config", "type", "The authentication's settings are an object.")
        return
    needed = _AUTH_FIELDS.get(endpoint.auth_type, ())
    optional = _AUTH_OPTIONAL.get(endpoint.auth_type, ())
    taken = " and ".join((*needed, *optional)) or "no settings"
    for name in config:
        if name not in needed and name not in optional:
            yield FieldError(
                f"/auth_config/{str(name)[:60]}",
                "unknown",
                f"{endpoint.get_auth_type_display()} takes {taken}.",
            )
    for name in needed:
        value = config.get(name)
        if name == "headers":
            if not isinstance(value, Mapping) or not value:
                yield FieldError("/auth_config/headers", "required", "Give at least one header.")
            else:
                yield from header_problems(value, "/auth_config/headers")
        elif not isinstance(value, str) or not value:
            yield FieldError(f"/auth_config/{name}", "required", f"Give the {name}.")
        else:
            yield from _sendable(value, f"/auth_config/{name}", name)
    if endpoint.auth_type == AuthType.BASIC and ":" in str(config.get("username", "")):
        yield FieldError("/auth_config/username", "invalid", "A user name has no colon (RFC 7617).")
    for name in ("scope", "audience"):
        if name in optional and config.get(name):
            yield from _sendable(str(config[name]), f"/auth_config/{name}", name)
    if "client_auth" in config and config["client_auth"] not in _CLIENT_AUTH:
        yield FieldError("/auth_config/client_auth", "invalid", f"One of {', '.join(_CLIENT_AUTH)}.")
    if "header" in optional and "header" in config:
        yield from header_problems({str(config["header"]): "x"}, "/auth_config/header")


def _sendable(value: str, pointer: str, name: str) -> Iterator[FieldError]:
    if len(value) > MAX_HEADER_BYTES or not value.isprintable() or not value.isascii():
        yield FieldError(
            pointer, "invalid", f"The {name} has characters that no header can carry, or too many."
        )


def _numbers(name: str, *, low: float, high: float, most: int, whole: bool, what: str) -> Any:
    def check(endpoint: WebhookEndpoint) -> Iterator[FieldError]:
        values = getattr(endpoint, name)
        if not isinstance(values, list) or len(values) > most:
            yield FieldError(f"/{name}", "type", f"A list of at most {most} {what}.")
            return
        for n, value in enumerate(values):
            good = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
            if not good or not low <= value <= high:
                yield FieldError(f"/{name}/{n}", "out_of_range", f"From {low:g} to {high:g}.")

    return check


def _networks(endpoint: WebhookEndpoint) -> Iterator[FieldError]:
    networks = endpoint.ip_allow_list
    if not isinstance(networks, list) or len(networks) > 100:
        yield FieldError("/ip_allow_list", "type", "A list of at most 100 networks.")
        return
    for n, text in enumerate(networks):
        try:
            if not isinstance(text, str):
                raise ValueError
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            yield FieldError(
                f"/ip_allow_list/{n}", "network", "A network reads like 203.0.113.0/24 or 2001:db8::/48."
            )


def _signature_header(endpoint: WebhookEndpoint) -> Iterator[FieldError]:
    if endpoint.signature_header:
        yield from header_problems({endpoint.signature_header: "x"}, "/signature_header")


def _secret(endpoint: WebhookEndpoint) -> Iterator[FieldError]:
    try:
        signing.check_secret(endpoint.secret)
    except SecretInvalid as error:
        yield FieldError("/secret", error.code, error.detail)


def _url(endpoint: WebhookEndpoint) -> Iterator[FieldError]:
    if not isinstance(endpoint.url, str) or not endpoint.url:
        yield FieldError("/url", "required", "Give the address that events are sent to.")
    elif len(endpoint.url) > 2000:
        yield FieldError("/url", "too_long", "An address has at most 2,000 characters.")
    elif MASK in endpoint.url:
        yield FieldError(
            "/url", "masked", f"The address has {MASK} in it where a key is: write it out whole."
        )


_CHECKS: dict[str, Callable[[WebhookEndpoint], Iterator[FieldError]]] = {
    "events": _events,
    "event_filters": _filters,
    "headers": _headers,
    "auth_config": _auth,
    "retry_intervals": _numbers(
        "retry_intervals", low=0.1, high=LONGEST_INTERVAL, most=MAX_INTERVALS, whole=False, what="seconds"
    ),
    "retry_on_status": _numbers(
        "retry_on_status", low=100, high=599, most=100, whole=True, what="HTTP statuses"
    ),
    "ip_allow_list": _networks,
    "signature_header": _signature_header,
    "secret": _secret,
    "batch_delivery": _batch,
    "custom_template": _template,
    "validate_ssl": _tls,
    "url": _url,
}
# What is looked at again when another field changes.
_ALSO = {
    "auth_type": "auth_config",
    "payload_format": "custom_template",
    "custom_content_type": "custom_template",
}
