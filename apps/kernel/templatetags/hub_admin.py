"""What the admin's templates need: times, numbers, differences, the trail in the header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django import template
from django.contrib.admin import site
from django.template import Context
from django.urls import NoReverseMatch, reverse

from apps.kernel.admin import badges, display

register = template.Library()

register.filter("ago", display.ago)
register.filter("size", display.size)
register.filter("number", display.number)
register.filter("within", display.within)
register.filter("json_block", display.json_block)
register.filter("status_badge", badges.status_badge)
LONGEST = 4000


@register.filter
def ref(obj: Any, opts: Any) -> str:
    """How forms of the admin name an object."""
    return str(site._registry[opts.model].ref_of(obj))  # type: ignore[attr-defined]


def shown(value: Any) -> str | None:
    """A value of a difference as text; None stays None."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1, default=str)
    text = {"true": "yes", "false": "no"}.get(text, text) if isinstance(value, bool) else text
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


@register.inclusion_tag("hub/admin/changes_table.html")
def changes_table(changes: Mapping[str, Any], labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A table of `{field: [before, after]}`; anything else is shown as the value after."""
    rows = []
    for name, pair in changes.items():
        before, after = pair if isinstance(pair, (list, tuple)) and len(pair) == 2 else (None, pair)
        label = (labels or {}).get(name) or name.replace("_", " ").capitalize()
        rows.append({"label": label, "before": shown(before), "after": shown(after)})
    return {"rows": rows}


@register.inclusion_tag("hub/admin/trail.html", takes_context=True)
def trail(context: Context) -> dict[str, Any]:
    """The header: the list that a page belongs to, then the page. `hub_trail` in the context overrides it."""
    parts: list[dict[str, Any]] = list(context.get("hub_trail") or [])
    opts, title = context.get("opts"), context.get("title")
    if not parts and opts is not None:
        obj = context.get("original") or context.get("object")
        try:
            link = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
        except NoReverseMatch:
            link = ""
        registered = site._registry.get(opts.model)
        name = getattr(registered, "list_title", "") or opts.verbose_name_plural
        parts.append({"title": name, "link": link})
        if obj is not None and not isinstance(obj, str):
            parts.append({"title": str(obj)})
        elif context.get("cl") is None and title:
            parts.append({"title": title})
    if not parts:
        parts.append({"title": title or "Home"})
    return {"parts": parts}
