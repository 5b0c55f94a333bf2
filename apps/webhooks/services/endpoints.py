"""Creating, changing and removing endpoints, their secrets, and the test message."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.audit.services import entries
from apps.events.selectors import find_type
from apps.events.services.publications import MAX_BYTES, schema_problems
from apps.kernel import ids
from apps.kernel.errors import Conflict, FieldError, InvalidInput, TooLarge
from apps.kernel.leases import owner_name
from apps.tenants.models import Organization, Project
from apps.tenants.principals import Actor
from apps.tenants.services import numbers
from apps.webhooks import events as _events
from apps.webhooks import signing
from apps.webhooks.addresses import shown_url
from apps.webhooks.errors import EndpointNotSending
from apps.webhooks.models import Delivery, DeliveryAttempt, Payload, WebhookEndpoint
from apps.webhooks.models.endpoints import MAX_PREVIOUS_SECRETS
from apps.webhooks.payloads import Message, render
from apps.webhooks.services import claims, dispatch, pausing
from apps.webhooks.services.batches import wrapped_alone
from apps.webhooks.services.intake import style_of
from apps.webhooks.statuses import AuthType, Cause, EndpointStatus, PayloadFormat, SecretKind
from apps.webhooks.templating import TemplateFailed, TemplateInvalid
from apps.webhooks.validation import problems, url_problems

# What a caller may set, by create and update alike.
EDITABLE = (
    "name", "description", "url", "method", "events", "event_filters", "headers", "auth_type", "auth_config",
    "timeout", "retry_attempts", "retry_intervals", "retry_on_status", "ordering", "max_concurrency",
    "batch_delivery", "batch_size", "batch_window", "payload_format", "include_full_payload",
    "include_metadata",
    "include_timestamp", "custom_template", "custom_content_type", "rate_limit_per_second",
    "rate_limit_per_minute", "ip_allow_list",
    "validate_ssl", "sign_payload", "signature_header", "max_consecutive_failures", "project",
)  # fmt: skip
# Their values appear in no audit entry.
_HIDDEN = frozenset({"headers", "auth_config"})
# What leads to other systems: looked up when it changes.
_ADDRESSES = frozenset({"url", "ip_allow_list", "auth_type", "auth_config"})
_STARTS_AS = (EndpointStatus.ACTIVE, EndpointStatus.TESTING, EndpointStatus.INACTIVE)

KEEP_OLD_SECRET = timedelta(hours=24)
LONGEST_KEEP = timedelta(days=7)


def create(
    *,
    organization: Organization,
    actor: Actor,
    name: str,
    url: str,
    events: list[str],
    secret: str = "",
    secret_kind: str = SecretKind.HMAC,
    status: str = EndpointStatus.ACTIVE,
    looked_up: bool = False,
    **options: Any,
) -> WebhookEndpoint:
    """Create an endpoint; `options` are the fields of EDITABLE. Its `secret` can be read here, and never
    again.

    Looks the URL's name up, so call it outside of transactions; or call `url_problems` before, and say so
    with `looked_up`. Raises InvalidInput with a pointer per field.
    """
    endpoint = WebhookEndpoint(organization=organization, status=status, created_by=actor.label[:200])
    usual = settings.HUB.webhook_secret if secret_kind == SecretKind.HMAC else ""
    endpoint.secret = secret or usual or _fresh_secret(secret_kind)
    _assign(endpoint, {"name": name, "url": url, "events": events, **options})
    found = problems(endpoint, fields={*EDITABLE, "secret"})
    if status not in _STARTS_AS:
        found.append(FieldError("/status", "invalid", f"An endpoint starts as {', '.join(_STARTS_AS)}."))
    if not found and not looked_up:
        found = url_problems(endpoint)
    _refuse(found, "The endpoint was not created.")
    with transaction.atomic():
        endpoint.number = numbers.assign(organization=organization, prefix="WHK")
        endpoint.save(force_insert=True)
        entries.record(
            organization=organization,
            actor=actor,
            action="webhook.created",
            target=endpoint,
            changes={
                "url": ["", endpoint.url_shown],
                "events": [[], endpoint.events],
                "status": ["", endpoint.status],
            },
        )
        pausing.tell(endpoint, _events.ENDPOINT_CREATED)
    return endpoint


def update(
    *,
    endpoint: WebhookEndpoint,
    actor: Actor,
    expected_version: int | None = None,
    looked_up: bool = False,
    **values: Any,
) -> WebhookEndpoint:
    """Change the given fields of EDITABLE; what stays as it is counts as no change.

    Looks the URL's name up if it changes, as `create` does. Raises InvalidInput, and Conflict
    if `expected_version` is given and somebody changed the endpoint since.
    """
    before = {name: getattr(endpoint, name) for name in values if name in EDITABLE}
    shown_before = endpoint.url_shown
    draft = WebhookEndpoint.objects.select_related("organization").get(pk=endpoint.pk)
    _assign(draft, values)
    changed = [name for name in before if getattr(draft, name) != before[name]]
    found = problems(draft, fields=changed)
    if not found and not looked_up and _ADDRESSES & set(changed):
        found = url_problems(draft)
    _refuse(found, f"{endpoint} was not changed.")
    if not changed:
        return endpoint
    with transaction.atomic():
        rows = WebhookEndpoint.objects.kept().filter(pk=endpoint.pk).select_for_update(of=("self",))
        current = rows.values_list("version", flat=True).first()
        if current is None:
            raise Conflict(f"{endpoint} was removed meanwhile.")
        if current != (endpoint.version if expected_version is None else expected_version):
            raise Conflict(
                f"{endpoint} was changed by someone else meanwhile; load it again.", code="version_conflict"
            )
        draft.version = current + 1
        also = ["url_shown"] if "url" in changed else []
        draft.save(update_fields=[*changed, *also, "version", "updated_at"])
        entries.record(
            organization=endpoint.organization,
            actor=actor,
            action="webhook.updated",
            target=draft,
            changes={
                name: [shown_before, draft.url_shown]
                if name == "url"
                else _told(name, before[name], getattr(draft, name))
                for name in changed
            },
        )
        pausing.tell(draft, _events.ENDPOINT_UPDATED, changed=sorted(changed))
    for name in (*changed, "url_shown", "version", "updated_at"):
        setattr(endpoint, name, getattr(draft, name))
    return endpoint


def _fresh_secret(kind: str) -> str:
    return signing.generate_key_pair()[0] if kind == SecretKind.ED25519 else signing.generate_secret()


def _assign(endpoint: WebhookEndpoint, values: Mapping[str, Any]) -> None:
    unknown = sorted(set(values) - set(EDITABLE))
    if unknown:
        raise InvalidInput(
            "The endpoint has no such settings.",
            errors=[FieldError(f"/{name}", "unknown", f"There is no setting {name}.") for name in unknown],
        )
    project = values.get("project")
    if isinstance(project, Project) and project.organization_id != endpoint.organization_id:
        raise InvalidInput(errors=[FieldError("/project", "not_found", "There is no such project.")])
    for name, value in values.items():
        setattr(endpoint, name, value)
    if "url" in values:
        endpoint.url_shown = shown_url(str(endpoint.url))[:2000]
    if values.get("auth_type") == AuthType.NONE and "auth_config" not in values:
        endpoint.auth_config = {}


def _refuse(found: list[FieldError], detail: str) -> None:
    if found:
        raise InvalidInput(detail, errors=found)


def _told(name: str, before: Any, after: Any) -> list[Any]:
    if name in _HIDDEN:
        return ["(hidden)", "(changed)"]
    if name == "project":
        return [str(before or ""), str(after or "")]
    return [before, after]


def rotate_secret(
    *,
    endpoint: WebhookEndpoint,
    actor: Actor,
    keep_for: timedelta = KEEP_OLD_SECRET,
    secret: str = "",
    kind: str = SecretKind.HMAC,
) -> str:
    """Give the endpoint a new secret of a kind (or the given one) and return it; the old one signs too for
    `keep_for`.

    Raises InvalidInput for a bad secret or a time outside of 0 to 7 days, Conflict with 10 old secrets alive.
    """
    if not timedelta(0) <= keep_for <= LONGEST_KEEP:
        raise InvalidInput(
            errors=[FieldError("/keep_for", "out_of_range", "An old secret is kept from 0 to 7 days.")]
        )
    fresh = secret or _fresh_secret(kind)
    signing.check_secret(fresh)
    now = timezone.now()
    with transaction.atomic():
        row = WebhookEndpoint.objects.kept().select_for_update(of=("self",)).filter(pk=endpoint.pk).first()
        if row is None:
            raise Conflict(f"{endpoint} was removed.")
        alive = [old for old in row.previous_secrets if datetime.fromisoformat(old["expires_at"]) > now]
        if keep_for:
            if len(alive) >= MAX_PREVIOUS_SECRETS:
                raise Conflict(
                    f"{MAX_PREVIOUS_SECRETS} old secrets of {endpoint} are still alive: wait until one "
                    "expires, or rotate without keeping the old one."
                )
            alive.insert(0, {"secret": row.secret, "expires_at": (now + keep_for).isoformat()})
        row.secret, row.previous_secrets, row.version = fresh, alive, row.version + 1
        row.save(update_fields=["secret", "previous_secrets", "version", "updated_at"])
        entries.record(
            organization=endpoint.organization,
            actor=actor,
            action="webhook.secret_rotated",
            target=row,
            changes={"old_secret_ends": ["", (now + keep_for).isoformat()]},
        )
    endpoint.secret, endpoint.previous_secrets, endpoint.version = fresh, alive, row.version
    return fresh


@transaction.atomic
def remove(*, endpoint: WebhookEndpoint, actor: Actor) -> int:
    """Remove an endpoint: it hears nothing more, what waits is cancelled, its credentials are wiped.

    Its deliveries stay as history. Returns how many deliveries were cancelled. Raises Conflict if it is gone.
    """
    claims.hold()
    row = WebhookEndpoint.objects.kept().select_for_update(of=("self",)).filter(pk=endpoint.pk).first()
    if row is None:
        raise Conflict(f"{endpoint} was removed already.")
    row.removed_at = timezone.now()
    row.status, row.next_probe_at = EndpointStatus.INACTIVE, None
    row.secret, row.previous_secrets = signing.generate_secret(), []
    row.headers, row.auth_type, row.auth_config = {}, AuthType.NONE, {}
    row.url = row.url_shown
    row.version += 1
    row.save()
    cancelled = pausing.cancel_waiting(row)
    entries.record(
        organization=endpoint.organization,
        actor=actor,
        action="webhook.removed",
        target=row,
        changes={"url": [row.url_shown, ""], "cancelled_deliveries": [0, cancelled]},
    )
    pausing.tell(row, _events.ENDPOINT_REMOVED)
    endpoint.removed_at, endpoint.status = row.removed_at, row.status
    return cancelled


def send_test(
    *,
    endpoint: WebhookEndpoint,
    actor: Actor,
    event_type: str = _events.TEST,
    data: Mapping[str, Any] | None = None,
) -> DeliveryAttempt:
    """Send a sample message now, on the way that every message goes, and return the attempt.

    `event_type` is one of the catalog; `data` replaces its sample. Tests are never retried and do not count
    for the endpoint's health. It calls the receiver, so call it outside of transactions. Raises
    InvalidInput, EndpointNotSending for a removed endpoint.
    """
    if endpoint.removed_at is not None:
        raise EndpointNotSending(f"{endpoint} was removed.")
    declared = find_type(endpoint.organization, event_type)
    if declared is None:
        raise InvalidInput(
            errors=[FieldError("/event_type", "unknown_event_type", f"There is no event type {event_type}.")]
        )
    content = dict(declared.sample if data is None else data)
    if data is not None:
        wrong = schema_problems(declared, content)
        if wrong:
            raise InvalidInput(f"The data does not fit the schema of {event_type}.", errors=wrong)
    owner = owner_name()
    with transaction.atomic():  # owed and claimed at once: nothing is left over if this process ends here
        delivery = _owe_test(endpoint, event_type, declared.version, content)
        jobs = claims.claim(owner=owner, room=1, only=delivery.pk).jobs
    entries.record(
        organization=endpoint.organization,
        actor=actor,
        action="webhook.tested",
        target=endpoint,
        changes={"event_type": ["", event_type]},
    )
    dispatch.send_now(jobs, owner=owner)
    return DeliveryAttempt.objects.select_related("delivery").filter(delivery=delivery).latest("number")


def _owe_test(endpoint: WebhookEndpoint, event_type: str, version: int, data: Mapping[str, Any]) -> Delivery:
    now = timezone.now()
    message = Message(
        id=ids.public("evt", ids.uuid7()),
        type=event_type,
        occurred_at=now,
        data=data,
        subject=endpoint.number,
        version=version,
        organization=endpoint.organization.public_id,
    )
    try:
        content_type, body = render(message, style_of(endpoint))
    except (TemplateInvalid, TemplateFailed) as error:
        raise InvalidInput(f"The template cannot be filled with this message: {error}") from None
    message_id = message.id
    if endpoint.batch_delivery:
        custom = endpoint.payload_format == PayloadFormat.CUSTOM
        message_id, content_type, body = wrapped_alone(content_type, body, at=now, custom=custom)
    if len(body) > MAX_BYTES:
        raise TooLarge(f"The message has {len(body):,} bytes; at most {MAX_BYTES:,} are allowed.")
    payload = Payload.objects.create(
        organization=endpoint.organization, message_id=message_id, content_type=content_type, body=body
    )
    return Delivery.objects.create(
        organization=endpoint.organization,
        endpoint=endpoint,
        payload=payload,
        event_type=event_type,
        cause=Cause.TEST,
        # Never due for the dispatcher: it is sent by the one who asked.
        next_attempt_at=None,
    )
