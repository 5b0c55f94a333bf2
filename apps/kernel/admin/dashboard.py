"""The home page is made of what the apps register in `AppConfig.ready()`.

    from apps.kernel.admin import dashboard
    dashboard.cards.register(dashboard.Card("deliveries", section="charts", order=20, build=…, template=…))

A card's `build(request)` returns its template's context, or None where it has nothing to say to this user
(no right, no URL). It runs a fixed number of queries, whatever the size of the tables: count with a cap,
aggregate over a window, list with a limit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils.safestring import SafeString

from apps.kernel.admin.access import allows, organization_of
from apps.kernel.registry import Registry

log = logging.getLogger(__name__)

SECTIONS = ("health", "attention", "today", "charts", "more")

BROKEN = "This could not be loaded; the log says why."

KPI = "hub/cards/kpi.html"
TABLE = "hub/cards/table.html"
CHART = "hub/cards/chart.html"
LIST = "hub/cards/list.html"


@dataclass(frozen=True)
class Card:
    """One card. `section`: health (a row of numbers), attention (late and failing), today, charts, more.

    Templates that exist: KPI (`title, value, note, tone, href, spark`), TABLE (`title, headers, rows, href,
    empty`), CHART (`title, chart, href, note`), LIST (`title, items=[{title, text, tone, href, when}], empty,
    href`). `scope` hides the card from whoever may not read it.
    """

    name: str
    section: str
    order: int
    build: Callable[[HttpRequest], Mapping[str, Any] | None]
    template: str = KPI
    scope: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Problem:
    """Something late or failing, for the list “Needs attention”. `tone`: bad, warn or busy."""

    title: str
    text: str
    href: str = ""
    tone: str = "bad"
    when: Any = None


@dataclass(frozen=True)
class Attention:
    """A source of problems: `find(request)` returns at most a handful, the worst first."""

    name: str
    find: Callable[[HttpRequest], list[Problem]]
    scope: str = ""


@dataclass(frozen=True)
class Step:
    """One of the first steps of a new organization. `done(request)` is one cheap query."""

    name: str
    order: int
    title: str
    text: str
    icon: str
    url: str  # the name of a URL, with its query after a “?”
    done: Callable[[HttpRequest], bool]
    scope: str = ""


@dataclass(frozen=True)
class QuickAction:
    """A button on the home page."""

    name: str
    order: int
    title: str
    icon: str
    url: str
    scope: str = ""


Linked = TypeVar("Linked", Step, QuickAction)

cards: Registry[Card] = Registry("Dashboard card")
attention: Registry[Attention] = Registry("Dashboard attention")
steps: Registry[Step] = Registry("First step")
quick_actions: Registry[QuickAction] = Registry("Quick action")


def resolve(url: str) -> str:
    """The address of a named URL (`admin:jobs_job_add?kind=import`), or nothing where it does not exist."""
    name, _, query = url.partition("?")
    try:
        return reverse(name) + (f"?{query}" if query else "")
    except NoReverseMatch:
        return ""


def _visible(request: HttpRequest, scope: str) -> bool:
    return not scope or allows(request, scope)


def _reachable(request: HttpRequest, items: Iterable[Linked]) -> list[tuple[Linked, str]]:
    """What the role permits and some app provides, in order, each address once."""
    found: dict[str, Linked] = {}
    for item in sorted(items, key=lambda item: item.order):
        href = resolve(item.url)
        if href and _visible(request, item.scope):
            found.setdefault(href, item)
    return [(item, href) for href, item in found.items()]


@dataclass(frozen=True)
class Rendered:
    name: str
    html: SafeString
    wide: bool


def _rendered(card: Card, template: str, context: Mapping[str, Any], request: HttpRequest) -> SafeString:
    return render_to_string(template, {"card": card, **context}, request=request)


def _problems_of(request: HttpRequest) -> list[Problem]:
    """The worst first. A source that fails is itself a problem, and hides no other."""
    found: list[Problem] = []
    for source in attention:
        if not _visible(request, source.scope):
            continue
        try:
            found += source.find(request)
        except Exception:
            log.exception("The source %s of the home page's problems failed", source.name)
            found.append(Problem(f"{source.name.capitalize()}: unknown", BROKEN))
    return sorted(found, key=lambda p: {"bad": 0, "warn": 1}.get(p.tone, 2))


def _cards_of(request: HttpRequest) -> dict[str, list[Rendered]]:
    found: dict[str, list[Rendered]] = {section: [] for section in SECTIONS}
    for card in sorted(cards, key=lambda c: (c.order, c.name)):
        if not _visible(request, card.scope):
            continue
        try:
            context = card.build(request)
            html = None if context is None else _rendered(card, card.template, context, request)
        except Exception:
            log.exception("The card %s of the home page could not be built", card.name)
            html = _rendered(
                card, KPI, {"title": card.name, "value": "–", "note": BROKEN, "tone": "bad"}, request
            )
        if html is not None:
            found.setdefault(card.section, []).append(Rendered(card.name, html, card.wide))
    return found


def home(request: HttpRequest) -> dict[str, Any]:
    """The context of the home page."""
    if organization_of(request) is None:
        return {}
    shown_steps = [
        {"title": s.title, "text": s.text, "icon": s.icon, "href": href, "done": s.done(request)}
        for s, href in _reachable(request, steps)
    ]
    problems = _problems_of(request)
    return {
        "sections": _cards_of(request),
        "problems": problems[:12],
        "more_problems": max(0, len(problems) - 12),
        "steps": shown_steps,
        "steps_done": sum(1 for s in shown_steps if s["done"]),
        "is_new": bool(shown_steps) and not any(s["done"] for s in shown_steps),
        "has_steps_left": any(not s["done"] for s in shown_steps),
        "quick_actions": [
            {"title": a.title, "icon": a.icon, "href": href} for a, href in _reachable(request, quick_actions)
        ],
    }
