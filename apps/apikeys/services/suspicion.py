"""Whether a key is used as it was not before. Looked at once a minute, from what usage has written.

Nothing is done to the key: an alarm that could lock its owner out would be a weapon. Its people are told.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from ipaddress import IPv4Address, ip_network
from uuid import UUID

from django.db.models import Q, Sum
from django.utils import timezone

from apps.apikeys.models import APIKey, KeyNetwork
from apps.apikeys.models.usage import Grain, Level, RequestLog, SubjectKind, UsageBucket
from apps.apikeys.services import alerts
from apps.kernel import ids
from apps.kernel.api.addresses import parse_address

# So many answers 401 and 403 to one key within five minutes are no typing error.
REFUSALS = 25
# Networks of a key's first day are its usual ones.
LEARNING = timedelta(days=1)
MOST_NETWORKS = 500
# What is looked back at: more than a minute, because usage is written a little later.
_BACK = timedelta(minutes=3)
_MOST_ROWS = 20_000


def look() -> int:
    """Look at the last minutes; returns how many alerts were told."""
    now = timezone.now()
    return _refusals(now) + _recent_requests(now)


def _refusals(now: datetime) -> int:
    """Keys that were refused again and again."""
    start = datetime.fromtimestamp(int((now - _BACK).timestamp()) // 300 * 300, tz=now.tzinfo)
    many = (
        UsageBucket.objects.filter(
            level=Level.SUBJECT,
            grain=Grain.MINUTES,
            starts_at__gte=start,
            subject_kind=SubjectKind.KEY,
            refused__gt=0,
        )
        .order_by()
        .values("subject_id", "starts_at")
        .annotate(sum=Sum("refused"))
        .filter(sum__gte=REFUSALS)
    )
    told = 0
    for row in many[:200]:
        key = _key_of(row["subject_id"])
        if key is not None:
            told += alerts.notify(
                key,
                alerts.Kind.SUSPICIOUS,
                f"{row['sum']:,} calls with {key} were refused within 5 minutes.",
                window=f"refusals:{row['starts_at']:%Y-%m-%dT%H}",
                data={"reason": "refusals", "count": row["sum"]},
            )
    return told


def _recent_requests(now: datetime) -> int:
    """New networks, and keys that are used although they have ended."""
    rows = RequestLog.objects.filter(
        id__gte=ids.floor_of(now - _BACK), subject_kind=SubjectKind.KEY
    ).values_list("subject_id", "ip", "status", "code")
    seen: dict[str, set[str]] = defaultdict(set)
    ended: dict[str, str] = {}
    for group, ip, status, code in rows.order_by("-id")[:_MOST_ROWS]:
        if status < 400 and ip:
            seen[group].add(network_of(ip))
        elif code == "invalid_key":
            ended.setdefault(group, ip or "an unknown address")
    told = 0
    for group, networks in seen.items():
        told += _networks(UUID(group), networks, now)
    for group, ip in ended.items():
        told += _ended(group, ip)
    return told


def _networks(group: UUID, networks: set[str], now: datetime) -> int:
    known = dict(KeyNetwork.objects.filter(group=group).values_list("network", "first_seen_at"))
    new = sorted(networks - set(known))
    if not new or len(known) >= MOST_NETWORKS:
        return 0
    KeyNetwork.objects.bulk_create(
        [KeyNetwork(group=group, network=network, first_seen_at=now) for network in new],
        ignore_conflicts=True,
    )
    if not known or now - min(known.values()) < LEARNING:
        return 0
    key = _key_of(group)
    if key is None:
        return 0
    return alerts.notify(
        key,
        alerts.Kind.SUSPICIOUS,
        f"{key} was used from a network that it was not used from before: {', '.join(new[:5])}.",
        window=f"network:{now:%Y-%m-%d}",
        data={"reason": "new_network", "networks": new[:20]},
    )


def _ended(group: str, ip: str) -> int:
    key = _key_of(group)
    if key is None:
        return 0
    old = (
        APIKey.objects.filter(group=key.group)
        .filter(Q(status__in=["revoked", "expired", "suspended"]) | Q(expires_at__lte=timezone.now()))
        .order_by("-id")
        .first()
    )
    if old is None:
        return 0
    what = "is suspended" if old.status == "suspended" else "has ended"
    return alerts.notify(
        key,
        alerts.Kind.SUSPICIOUS,
        f"{old} {what}, but somebody still calls with it, last from {ip}.",
        window=f"ended:{old.number}:{timezone.now():%Y-%m-%d}",
        data={"reason": "used_after_end", "key": old.number, "ip": ip},
    )


def network_of(ip: str) -> str:
    """The /24 of an IPv4 address, the /48 of an IPv6 address."""
    address = parse_address(ip)
    if address is None:
        return ip
    bits = 24 if isinstance(address, IPv4Address) else 48
    return str(ip_network(f"{address}/{bits}", strict=False))


def _key_of(group: UUID | str) -> APIKey | None:
    return alerts.newest_of(group) or APIKey.objects.filter(group=group).order_by("-id").first()
