"""Settings of the admin's theme, read by settings.py; the sidebar is in admin_navigation.py."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _static(path: str) -> Any:
    def address(_: HttpRequest) -> str:
        return static(path)

    return address


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Integration Hub",
    "SITE_HEADER": "Integration Hub",
    "SITE_URL": None,
    "SITE_SYMBOL": "hub",
    "SITE_FAVICONS": [
        {"rel": "icon", "sizes": "any", "type": "image/svg+xml", "href": _static("hub/favicon.svg")},
    ],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": False,
    "BORDER_RADIUS": "7px",
    "STYLES": [_static("hub/hub.css")],
    "SCRIPTS": [_static("hub/hub.js")],
    "COLORS": {
        "primary": {
            "50": "oklch(98.4% .014 180.72)",
            "100": "oklch(95.3% .051 180.801)",
            "200": "oklch(91% .096 180.426)",
            "300": "oklch(85.5% .138 181.071)",
            "400": "oklch(77.7% .152 181.912)",
            "500": "oklch(66% .12 182.6)",
            "600": "oklch(55% .098 184.1)",
            "700": "oklch(49% .088 185.6)",
            "800": "oklch(43.7% .078 188.216)",
            "900": "oklch(38.6% .063 188.416)",
            "950": "oklch(27.7% .046 192.524)",
        },
    },
    "COMMAND": {"search_models": False, "show_history": False},
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "show_all_applications": False,
        "navigation": "integration_hub.admin_navigation.navigation",
    },
    "TABS": [],
    "ACCOUNT": {
        "navigation": [
            {"title": "Authorized apps", "link": reverse_lazy("admin:authorized_apps")},
            {"title": "Change password", "link": reverse_lazy("admin:password_change")},
        ],
    },
    "LOGIN": {"image": _static("hub/login.svg")},
}
