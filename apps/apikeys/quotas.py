"""Which limits hold for a call: the rules of an organization, and the plans that are made of them."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.conf import settings

from apps.apikeys.limiter import plans
from apps.apikeys.limiter.plans import WINDOWS, Counter, Plan
from apps.apikeys.models import RateLimit
from apps.apikeys.principals import Subject

# Seconds for which a process believes what it read; a change is seen at the next call, this is for lost news.
SECONDS = 5.0
_MOST_PLANS = 5000

INSTALLATION = "installation"
Limits = dict[str, int]


@dataclass(frozen=True, slots=True)
class Rule:
    """A RateLimit row, as far as calls care."""

    kind: str
    subject_id: str
    endpoint: str
    enabled: bool
    limits: Limits
    pattern: re.Pattern[str] | None

    def covers(self, method: str, path: str) -> bool:
        return self.pattern is not None and self.pattern.fullmatch(f"{method} {path}") is not None

    @property
    def specificity(self) -> tuple[bool, int, bool]:
        """The caller's own before everybody's, longer patterns before shorter, named methods before all."""
        literal = len(self.endpoint.replace("*", ""))
        return self.kind != RateLimit.For.ORGANIZATION, literal, not self.endpoint.startswith(("/", "*"))


@dataclass(frozen=True, slots=True)
class Effective:
    """One limit that holds for a caller, and the rule that says so."""

    counter: Counter
    source: str  # installation, organization, key, application
    endpoint: str = ""


@dataclass(eq=False)
class Rules:
    """All rules of an organization."""

    rules: list[Rule]
    read_at: float = field(default_factory=time.monotonic)
    _plans: dict[Any, Plan] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._whole = {(rule.kind, rule.subject_id): rule for rule in self.rules if not rule.endpoint}
        self._endpoints: dict[tuple[str, str], list[Rule]] = {}
        for rule in sorted(self.rules, key=lambda rule: rule.specificity):
            if rule.endpoint:
                self._endpoints.setdefault((rule.kind, rule.subject_id), []).append(rule)

    def plan_for(self, organization_id: UUID, subject: Subject, method: str, path: str) -> Plan:
        """What is counted for this call of this caller."""
        covering = (
            [rule for rule in self._for_endpoints(subject) if rule.covers(method, path)]
            if self._endpoints
            else ()
        )
        name = (subject, tuple((rule.kind, rule.endpoint) for rule in covering))
        found = self._plans.get(name)
        if found is None:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            effective = self.effective(organization_id, subject, covering)
            found = self._plans[name] = plans.plan(item.counter for item in effective)
        return found

    def effective(
        self, organization_id: UUID, subject: Subject, covering: Iterable[Rule] | None = None
    ) -> list[Effective]:
        """Every limit of a caller; without `covering` those of all endpoints that have some."""
        base = counter_base(organization_id, subject)
        limits, sources = self._of_subject(subject)
        found = [
            Effective(counter, sources[name]) for name, counter in _counters(base, base, limits, "", limits)
        ]
        if covering is None:
            for rule in self._for_endpoints(subject):
                found += self._of_endpoint(base, [rule], limits)
            return found
        return found + self._of_endpoint(base, list(covering), limits)

    def _of_subject(self, subject: Subject) -> tuple[Limits, dict[str, str]]:
        limits = {"hour": settings.API_RATE_LIMIT} if settings.API_RATE_LIMIT else {}
        sources = dict.fromkeys(limits, INSTALLATION)
        for name in ((RateLimit.For.ORGANIZATION, ""), (subject.kind, subject.id)):
            rule = self._whole.get(name)
            if rule is not None and rule.enabled:
                limits.update(rule.limits)
                sources.update(dict.fromkeys(rule.limits, str(rule.kind)))
            elif rule is not None:
                limits.clear()
        return limits, sources

    def _for_endpoints(self, subject: Subject) -> list[Rule]:
        """From the least to the most specific."""
        everybody = self._endpoints.get((RateLimit.For.ORGANIZATION, ""), [])
        return everybody + self._endpoints.get((subject.kind, subject.id), [])

    def _of_endpoint(self, base: str, covering: list[Rule], whole: Limits) -> list[Effective]:
        chosen: dict[str, Rule] = {}
        for rule in covering:
            if rule.enabled:
                chosen |= dict.fromkeys(rule.limits, rule)
            else:
                chosen.clear()
        found = []
        limits = {name: rule.limits[name] for name, rule in chosen.items()}
        for name, rule in chosen.items():
            key = f"{base}:{hashlib.blake2b(rule.endpoint.encode(), digest_size=8).hexdigest()}"
            paces = {**whole, **limits}
            ((_, counter),) = _counters(base, key, {name: limits[name]}, rule.endpoint, paces)
            found.append(Effective(counter, str(rule.kind), rule.endpoint))
        return sorted(found, key=lambda item: _ORDER.index(item.counter.name.partition(" ")[0]))


_ORDER = (*WINDOWS, "burst")


def _counters(
    home: str, base: str, limits: Limits, endpoint: str, paces: Limits
) -> list[tuple[str, Counter]]:
    found = []
    for name in _ORDER:
        if name not in limits:
            continue
        limit, key = limits[name], f"{base}:{name}"
        title = f"{name} {endpoint}" if endpoint else name
        if name in WINDOWS:
            counter = plans.window(title, key, limit, WINDOWS[name], home)
        else:
            counter = plans.burst(title, key, limit, _pace(limit, paces), home)
        found.append((name, counter))
    return found


def _pace(burst: int, limits: Limits) -> float:
    """Seconds in which one place of a burst is regained: the steady pace of the shortest window."""
    for name, seconds in WINDOWS.items():
        if name in limits:
            return seconds / limits[name]
    return 1 / burst


def counter_base(organization_id: UUID, subject: Subject) -> str:
    """Where a caller's calls are counted. A person is counted in each organization by themselves."""
    if subject.kind == "user":
        return f"user:{subject.id}:{organization_id.hex}"
    return f"{subject.kind}:{subject.id}"


# --- what this process remembers

_lock = threading.Lock()
_known: dict[UUID, Rules] = {}


def rules_of(organization_id: UUID) -> Rules:
    """The organization's rules; from memory for some seconds."""
    found = _known.get(organization_id)
    if found is None or time.monotonic() - found.read_at > SECONDS:
        found = read(organization_id)
        with _lock:
            if len(_known) >= 10_000:
                _known.clear()
            _known[organization_id] = found
    return found


def read(organization_id: UUID) -> Rules:
    """The organization's rules as they are stored now."""
    rows = RateLimit.objects.filter(organization_id=organization_id)
    return Rules(
        [
            Rule(
                row.subject_kind,
                row.subject_id,
                row.endpoint,
                row.enabled,
                row.limits,
                _pattern(row.endpoint) if row.endpoint else None,
            )
            for row in rows
        ]
    )


def forget_all() -> None:
    _known.clear()


def _pattern(endpoint: str) -> re.Pattern[str]:
    """`GET /records/*` as a pattern of “METHOD /path”; a path alone, or after *, covers every method."""
    verb, _, path = endpoint.rpartition(" ")
    method = "[A-Z]+" if verb in ("", "*") else re.escape(verb)
    return re.compile(f"{method} " + ".*".join(re.escape(part) for part in re.split(r"\*+", path)), re.DOTALL)
