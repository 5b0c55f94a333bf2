"""What became different in the API of webhooks."""

from __future__ import annotations

from apps.kernel.api.changes import Rename, changes

changes.register(
    Rename(
        id="webhook-secret-overlap",
        since="v2@2026-11-15",
        title="Rotating a webhook's secret takes `overlap_seconds`",
        description="It was called `keep_for`; rotating an API key has always taken `overlap_seconds`.",
        old="keep_for",
        new="overlap_seconds",
        bodies={"POST webhooks/{id}/rotate-secret": ("",)},
        schemas=("RotateRequest",),
    ),
    Rename(
        id="delivery-attempt-count",
        since="v2@2026-11-22",
        title="A delivery counts its tries in `attempt_count`",
        description="It was called `attempts`, as the list of the tries at `deliveries/{id}/attempts` is.",
        old="attempts",
        new="attempt_count",
        answers={
            "GET deliveries": ("data/*",),
            "GET deliveries/{id}": ("",),
            "POST deliveries/{id}/retry": ("",),
            "POST deliveries/{id}/cancel": ("",),
            "GET webhooks/{id}": ("recent_deliveries/*",),
            "GET webhooks/{id}/deliveries": ("data/*",),
            "GET webhooks/{id}/logs": ("data/*",),
        },
        schemas=("Delivery", "DeliveryDetail"),
    ),
)
