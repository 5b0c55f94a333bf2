"""The shared counters went, and came back: told once at both ends, whichever processes noticed."""

from __future__ import annotations

import logging
import threading

from django.conf import settings
from django.db import IntegrityError, close_old_connections, connection, transaction
from django.utils import timezone

from apps.apikeys.models import LimitOutage
from apps.audit.services import entries
from apps.events.services import outbox
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM

logger = logging.getLogger("hub.limits")

BEGAN, ENDED = "rate_limits.degraded", "rate_limits.restored"
_MOST_ORGANIZATIONS = 1000


def notice(began: bool) -> None:
    """Tell of it on a thread of its own: the call that noticed goes on."""
    threading.Thread(target=_note, args=(began,), name="limits-outage", daemon=True).start()


def _note(did_begin: bool) -> None:
    close_old_connections()
    try:
        if did_begin:
            began()
        else:
            ended()
    except Exception:
        logger.exception("An outage of the limits could not be noted.")
    finally:
        connection.close()


def began() -> LimitOutage | None:
    """Note that the shared counters cannot be reached; None if another process has noted it."""
    policy: str = settings.LIMITS_WHEN_DOWN
    try:
        with transaction.atomic():
            outage = LimitOutage.objects.create(began_at=timezone.now(), policy=policy)
            _tell(BEGAN, outage)
    except IntegrityError:
        return None
    logger.error("The limits are not counted for all processes until Redis is back (policy: %s).", policy)
    return outage


def ended() -> bool:
    """Note that they can be reached again; False if another process has noted it."""
    outage = LimitOutage.objects.filter(is_over=False).first()
    if outage is None:
        return False
    outage.ended_at = timezone.now()
    with transaction.atomic():
        mine = LimitOutage.objects.filter(pk=outage.pk, is_over=False)
        if not mine.update(is_over=True, ended_at=outage.ended_at):
            return False
        _tell(ENDED, outage)
    logger.warning("The limits are counted for all processes again.")
    return True


def _tell(name: str, outage: LimitOutage) -> None:
    changes = {"policy": ["", outage.policy], "began_at": ["", outage.began_at]}
    data = {"policy": outage.policy, "began_at": outage.began_at, "ended_at": outage.ended_at}
    if outage.ended_at is not None:
        changes["ended_at"] = ["", outage.ended_at]
    # An installation's matter: the chain that belongs to no organization, and an event for each of them.
    entries.record(organization=None, actor=SYSTEM, action=name, target=outage, changes=changes)
    for organization in Organization.objects.filter(is_active=True).order_by("pk")[:_MOST_ORGANIZATIONS]:
        outbox.publish(organization=organization, type=name, data=data)
