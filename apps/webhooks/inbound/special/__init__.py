"""Schemes that are more than an HMAC in a header: code by the name that a scheme's `kind` gives."""

from __future__ import annotations

from collections.abc import Callable

from apps.webhooks.inbound.messages import Keys, Message, Proof
from apps.webhooks.inbound.special import adobe, click, payme, paypal, sendgrid, standard, twilio

Verifier = Callable[[Message, Keys], Proof]

VERIFIERS: dict[str, Verifier] = {
    "standard": standard.verify,
    "twilio": twilio.verify,
    "sendgrid": sendgrid.verify,
    "adobe": adobe.verify,
    "paypal": paypal.verify,
    "payme": payme.verify,
    "click": click.verify,
}
