"""The notification address of a job or schedule: told by the webhooks, signed and retried as usual."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.events.catalog import callbacks
from apps.kernel.errors import FieldError, InvalidInput
from apps.tenants.models import Organization
from apps.tenants.principals import Actor

WEBHOOK = "webhook"


def settled(organization: Organization, notifications: Mapping[str, Any], actor: Actor) -> dict[str, Any]:
    """Notifications with the name of an endpoint (`webhook`) in the place of an address (`webhook_url`).

    Call outside of transactions. Raises InvalidInput at `/notifications/webhook_url`.
    """
    found = {name: value for name, value in notifications.items() if name != "webhook_url"}
    url = str(notifications.get("webhook_url") or "").strip()
    if not url:
        return found
    callback = callbacks.get(WEBHOOK)
    if callback is None:
        detail = "This hub sends no webhooks."
        raise InvalidInput(detail, errors=[FieldError("/notifications/webhook_url", "unknown", detail)])
    try:
        found[WEBHOOK] = callback.ensure(organization, url, actor)
    except InvalidInput as error:
        detail = error.errors[0].detail if error.errors else error.detail
        code = error.errors[0].code if error.errors else error.code
        raise InvalidInput(detail, errors=[FieldError("/notifications/webhook_url", code, detail)]) from None
    return found
