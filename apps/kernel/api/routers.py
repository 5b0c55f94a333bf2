"""Routes without trailing slashes, whose ids are anything but a slash."""

from __future__ import annotations

from typing import Any

from rest_framework.routers import SimpleRouter


class HubRouter(SimpleRouter):
    """DRF's router in the hub's style: `integrations`, `integrations/INT-2026-00001`, `…/test`."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("trailing_slash", False)
        super().__init__(**kwargs)
