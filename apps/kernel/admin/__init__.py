"""The admin's toolbox: import from here. How to use it: README.md beside this file.

Names are resolved when first used, so that settings may name classes of this package before Django's models
are loaded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apps.kernel.admin import dashboard as dashboard
    from apps.kernel.admin.access import actor_of, allows, organization_of
    from apps.kernel.admin.badges import badge, status_badge, yes_no
    from apps.kernel.admin.base import HubModelAdmin, HubStackedInline, HubTabularInline
    from apps.kernel.admin.charts import Series, bar_chart, line_chart, sparkline, tracker
    from apps.kernel.admin.confirm import confirm_action
    from apps.kernel.admin.display import (
        ago,
        chips,
        definition_list,
        duration,
        email_link,
        empty,
        json_block,
        link,
        masked,
        milliseconds,
        mono,
        muted,
        number,
        size,
        text_block,
    )
    from apps.kernel.admin.filters import ScopedRelatedFilter, words_filter
    from apps.kernel.admin.paginator import BigTablePaginator, capped_count
    from apps.kernel.admin.progress import Progress, progress_bar
    from apps.kernel.admin.widgets import (
        JSONFormField,
        JSONTextarea,
        MonoTextarea,
        MonoTextInput,
        SecretInput,
    )

_WHERE: dict[str, str] = {
    **dict.fromkeys(("actor_of", "allows", "organization_of"), "access"),
    **dict.fromkeys(("badge", "status_badge", "yes_no"), "badges"),
    **dict.fromkeys(("HubModelAdmin", "HubStackedInline", "HubTabularInline"), "base"),
    **dict.fromkeys(("Series", "bar_chart", "line_chart", "sparkline", "tracker"), "charts"),
    "confirm_action": "confirm",
    **dict.fromkeys(
        [
            "ago",
            "chips",
            "definition_list",
            "duration",
            "email_link",
            "empty",
            "json_block",
            "link",
            "masked",
            "milliseconds",
            "mono",
            "muted",
            "number",
            "size",
            "text_block",
        ],
        "display",
    ),
    **dict.fromkeys(("ScopedRelatedFilter", "words_filter"), "filters"),
    **dict.fromkeys(("BigTablePaginator", "capped_count"), "paginator"),
    **dict.fromkeys(("Progress", "progress_bar"), "progress"),
    **dict.fromkeys(
        ("JSONFormField", "JSONTextarea", "MonoTextarea", "MonoTextInput", "SecretInput"), "widgets"
    ),
}

__all__ = [
    "BigTablePaginator",
    "HubModelAdmin",
    "HubStackedInline",
    "HubTabularInline",
    "JSONFormField",
    "JSONTextarea",
    "MonoTextInput",
    "MonoTextarea",
    "Progress",
    "ScopedRelatedFilter",
    "SecretInput",
    "Series",
    "actor_of",
    "ago",
    "allows",
    "badge",
    "bar_chart",
    "capped_count",
    "chips",
    "confirm_action",
    "dashboard",
    "definition_list",
    "duration",
    "email_link",
    "empty",
    "json_block",
    "line_chart",
    "link",
    "masked",
    "milliseconds",
    "mono",
    "muted",
    "number",
    "organization_of",
    "progress_bar",
    "size",
    "sparkline",
    "status_badge",
    "text_block",
    "tracker",
    "words_filter",
    "yes_no",
]


def __getattr__(name: str) -> Any:
    where = _WHERE.get(name)
    if where is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{where}"), name)
