"""What is to be done for a webhook that came in: judged by its integration's state and its receiver's routes.

Nothing is written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from apps.events import inbound
from apps.events.inbound import Arrival, Effect, Source
from apps.webhooks.inbound_statuses import InboundStatus
from apps.webhooks.models import InboundReceiver, InboundWebhook
from apps.webhooks.services.inbound import routing

HELD_PAUSE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Verdict:
    status: str
    effects: list[dict[str, str]]
    code: str = ""
    message: str = ""
    pause: timedelta | None = None
    counted: bool = True  # whether it is one of the tries that `max_retries` limits


def verdict_at_once(source: Source | None) -> Verdict | None:
    """The verdict that the state of the integration gives by itself."""
    if source is None or source.state == "closed":
        return Verdict(
            InboundStatus.IGNORED, [], "no_source", "The integration is disconnected or was removed."
        )
    if source.state == "held":
        return Verdict(
            InboundStatus.PENDING,
            [],
            "held",
            "The integration is paused; this is worked off when it is resumed.",
            pause=HELD_PAUSE,
            counted=False,
        )
    return None


def no_route() -> Verdict:
    return Verdict(InboundStatus.IGNORED, [], "no_route", "No route wants this type of event.")


def route_name(route: Mapping[str, Any], number: int) -> str:
    return str(route.get("name") or f"{route['effect']} {number}")


def effect_note(route: str, effect: Effect, noted: Mapping[str, str]) -> dict[str, str]:
    return {"route": route, "effect": effect.name, **noted}


def arrival_of(
    row: InboundWebhook, receiver: InboundReceiver, source: Source | None, payload: Any
) -> Arrival:
    assert source is not None
    return Arrival(
        organization=receiver.organization,
        source=source,
        id=row.public_id,
        event_type=row.event_type,
        external_id=row.external_id,
        payload=payload,
        received_at=row.received_at,
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done for a webhook that may share a transaction: one effect, or a verdict at once."""

    verdict: Verdict | None = None
    route: str = ""
    effect: Effect | None = None
    given: Mapping[str, Any] | None = None
    payload: Any = None


def shared_plan(row: InboundWebhook, receiver: InboundReceiver, source: Source | None) -> Plan | None:
    """The plan, or None if the webhook is to have a transaction of its own."""
    verdict = verdict_at_once(source)
    if verdict is not None:
        return Plan(verdict) if verdict.status == InboundStatus.IGNORED else None
    payload = row.payload
    routes = routing.fitting(receiver.routes, row.event_type, payload)
    if not routes:
        return Plan(no_route())
    effect = inbound.effects.get(str(routes[0]["effect"]))
    if len(routes) > 1 or effect is None or effect.run_many is None:
        return None
    return Plan(None, route_name(routes[0], 1), effect, routes[0].get("with") or {}, payload)


def kind_of(item: tuple[InboundWebhook, Plan]) -> tuple[Any, str, str]:
    """Equal for webhooks that one call of an effect can serve."""
    row, plan = item
    return (
        row.receiver_id,
        plan.route,
        "" if plan.effect is None else f"{plan.effect.name} {sorted((plan.given or {}).items())}",
    )
