"""From "so much of a limit is used" to telling the key's people."""

from __future__ import annotations

import threading
import time

from django.utils import timezone

from apps.apikeys.limiter.plans import ONE
from apps.apikeys.principals import Subject
from apps.apikeys.services import alerts
from apps.kernel.background import enqueue

_DAY = 86400
_MOST = 20_000
_lock = threading.Lock()
_passed_on: dict[tuple[str, str], tuple[int, float]] = {}


def notice(subject: Subject, window: str, share: float) -> None:
    """Pass a share on to a worker, each step once a day: on the request's thread nothing is looked up.

    A ring that is lost is made up for by the next step.
    """
    if subject.kind != "key":
        return
    name, day = (subject.id, window), int(time.time() // _DAY)
    percent = round(share * 100)
    with _lock:
        most, of_day = _passed_on.get(name, (0, day))
        if of_day == day and percent <= most:
            return
        if len(_passed_on) >= _MOST:
            _passed_on.clear()
        _passed_on[name] = (percent, day)
    enqueue("apikeys.notice_share", subject.id, window, percent, queue="maintenance")


def tell(*, group: str, window: str, percent: int) -> bool:
    """Tell a key's people, once a day for each window, if the share is what they chose or more."""
    key = alerts.newest_of(group)
    if key is None or percent < key.usage_threshold:
        return False
    used = "all" if percent >= 100 else f"{percent}%"
    return alerts.notify(
        key,
        alerts.Kind.HIGH_USAGE,
        f"{key} has used {used} of the calls that it may make in {ONE[window]}.",
        window=f"{window}:{timezone.now():%Y-%m-%d}",
        data={"limit": window, "percent": percent},
    )


def forget_all() -> None:
    """Pass every step on anew (tests)."""
    _passed_on.clear()
