"""Providers that want a business answer at once: the merchant's side of Payme and of Click."""

from __future__ import annotations

from typing import Protocol

from apps.webhooks.inbound.messages import Message
from apps.webhooks.models import InboundReceiver
from apps.webhooks.services.inbound.merchants import click, payme
from apps.webhooks.services.inbound.merchants.orders import Outcome, problems


class Desk(Protocol):
    """Answers one provider's requests. What was not authorized, and what it asks, are both answered with
    HTTP 200.
    """

    def unauthorized(self, message: Message) -> bytes: ...

    def answer(self, receiver: InboundReceiver, message: Message) -> Outcome: ...


DESKS: dict[str, Desk] = {"payme": payme.DESK, "click": click.DESK}

__all__ = ["DESKS", "Desk", "Outcome", "problems"]
