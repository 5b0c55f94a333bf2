"""Ordering that past messages are sent again, with the same ids and bytes, and steering the order's course.

`replaying` works it off.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.audit.services import entries
from apps.kernel.background import enqueue
from apps.kernel.errors import Conflict, FieldError, InvalidInput, RaceLost
from apps.kernel.states import move
from apps.tenants.models import Organization
from apps.tenants.principals import Actor
from apps.tenants.services import numbers
from apps.webhooks.choices import COUNTED_EVENTS, PAGE, SELECTABLE, Choice, Counted
from apps.webhooks.models import Replay, WebhookEndpoint
from apps.webhooks.services import fifo, pausing
from apps.webhooks.services.intake import hears
from apps.webhooks.statuses import REPLAY_TRANSITIONS, UNFINISHED, Chosen, ReplayStatus
from apps.webhooks.validation import MAX_PATTERNS, is_pattern

MAX_SELECTED = 1000


def choose(
    *,
    organization: Organization,
    what: str,
    endpoint: WebhookEndpoint | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    statuses: Sequence[str] = (),
    event_types: Sequence[str] = (),
    delivery_ids: Sequence[UUID] = (),
) -> Choice:
    """What is meant, checked. Raises InvalidInput with a pointer per field, and EndpointNotSending."""
    now = timezone.now()
    end = min(until or now, now)
    found = []
    if what not in Chosen.values:
        found.append(FieldError("/what", "invalid", f"One of {', '.join(Chosen.values)}."))
    elif what != Chosen.SELECTED and (endpoint is None or since is None):
        found.append(FieldError("/since", "required", "Say since when."))
    if since is not None and since >= end:
        found.append(FieldError("/since", "out_of_range", "since must lie before until, and in the past."))
    unknown = [one for one in statuses if one not in SELECTABLE]
    if unknown:
        found.append(FieldError("/status", "invalid", f"Each is one of {', '.join(SELECTABLE)}."))
    for n, pattern in enumerate(event_types):
        if not is_pattern(pattern):
            told = f"{pattern[:60]!r} is no event type and no wildcard such as invoice.*."
            found.append(FieldError(f"/event_types/{n}", "invalid", told))
    if len(event_types) > MAX_PATTERNS:
        found.append(FieldError("/event_types", "too_many", f"At most {MAX_PATTERNS}; use wildcards."))
    if len(delivery_ids) > MAX_SELECTED:
        told = f"At most {MAX_SELECTED:,} at once; name a state and a time instead."
        found.append(FieldError("/ids", "too_many", told))
    if found:
        raise InvalidInput(errors=found)
    if endpoint is not None:
        pausing.refuse_unless_sending(endpoint)
    return Choice(
        organization_id=organization.pk,
        endpoint=endpoint,
        what=what,
        since=since,
        until=end,
        statuses=list(statuses),
        event_types=list(event_types),
        delivery_ids=list(delivery_ids),
    )


def count(choice: Choice, *, at_most: int | None = COUNTED_EVENTS) -> Counted:
    """What a replay would send again. Looks at `at_most` events for those that were missed."""
    total = choice.counted_deliveries()
    after, looked = None, 0
    while events := choice.event_page(after):
        assert choice.endpoint is not None
        total.missing += len(choice.missed([event for event in events if hears(choice.endpoint, event)]))
        after, looked = events[-1].pk, looked + len(events)
        if len(events) < PAGE:
            break
        if at_most is not None and looked >= at_most:
            total.is_exact = False
            break
    return total


def order(*, organization: Organization, choice: Choice, actor: Actor) -> Replay:
    """Have what is chosen sent again in the background.

    Raises Conflict while another replay of the endpoint's past is under way: two would send things twice.
    """
    counted = count(choice)
    with transaction.atomic():
        if choice.endpoint is not None and choice.what != Chosen.SELECTED:
            fifo.lock_endpoints({choice.endpoint.pk})
            under_way = Replay.objects.filter(endpoint=choice.endpoint, status__in=UNFINISHED)
            known = under_way.exclude(what=Chosen.SELECTED).first()
            if known is not None:
                raise Conflict(
                    f"{known} is {known.get_status_display().lower()}: wait until it has ended, or cancel it."
                )
        made = Replay.objects.create(
            organization=organization,
            number=numbers.assign(organization=organization, prefix="RPL"),
            endpoint=choice.endpoint,
            what=choice.what,
            statuses=list(choice.statuses),
            event_types=list(choice.event_types),
            delivery_ids=[str(pk) for pk in choice.delivery_ids],
            since=choice.since,
            until=choice.until,
            total=counted.total if counted.is_exact else None,
            failed=counted.failed,
            delivered=counted.delivered,
            missing=counted.missing,
            waiting=counted.waiting,
            actor_kind=actor.kind,
            actor_ref=actor.ref,
            actor_label=actor.label,
        )
        entries.record(
            organization=organization,
            actor=actor,
            action="webhook.replayed",
            target=choice.endpoint or made,
            changes={
                "replay": ["", made.number],
                "since": ["", choice.since],
                "what": ["", str(choice.what)],
                "deliveries": [0, counted.total],
            },
        )
        enqueue("webhooks.replay", str(made.pk), queue="jobs")
    return made


def choice_of(replay: Replay) -> Choice:
    """What an order means."""
    return Choice(
        organization_id=replay.organization_id,
        endpoint=replay.endpoint,
        what=replay.what,
        since=replay.since,
        until=replay.until,
        statuses=replay.statuses,
        event_types=replay.event_types,
        delivery_ids=[UUID(text) for text in replay.delivery_ids],
    )


@transaction.atomic
def pause(*, replay: Replay, actor: Actor) -> Replay:
    """Owe no more after the page at hand; `resume` goes on there. Raises RaceLost if it is not running."""
    _steer(replay, ReplayStatus.PAUSED, actor, "paused")
    return replay


@transaction.atomic
def resume(*, replay: Replay, actor: Actor) -> Replay:
    """Go on where it was paused, or where it failed. Raises RaceLost, EndpointNotSending."""
    if replay.status == ReplayStatus.RUNNING:
        raise RaceLost(f"{replay} is running.")
    if replay.endpoint is not None:
        pausing.refuse_unless_sending(replay.endpoint)
    _steer(replay, ReplayStatus.RUNNING, actor, "resumed", attempts=0, status_reason="", completed_at=None)
    enqueue("webhooks.replay", str(replay.pk), queue="jobs")
    return replay


@transaction.atomic
def cancel(*, replay: Replay, actor: Actor) -> Replay:
    """Stop for good after the page at hand. What is owed by then is sent. Raises RaceLost if it has ended."""
    _steer(replay, ReplayStatus.CANCELLED, actor, "cancelled", completed_at=timezone.now())
    return replay


def _steer(replay: Replay, to: str, actor: Actor, action: str, **also: Any) -> None:
    before = replay.status
    move(replay, to, REPLAY_TRANSITIONS, **also)
    entries.record(
        organization=replay.organization,
        actor=actor,
        action=f"replay.{action}",
        target=replay,
        changes={"status": [before, replay.status], "sent": [None, replay.sent]},
    )
