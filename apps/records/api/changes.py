"""What became different in the API of records."""

from __future__ import annotations

from apps.kernel.api.changes import Gather, changes

changes.register(
    Gather(
        id="bulk-counts",
        since="v2@2026-11-15",
        title="A bulk write counts in `counts`",
        description="`rows`, `created`, `updated`, `unchanged`, `restored`, `deleted` and `failed` stood "
        "beside `origin` and `errors`.",
        into="counts",
        names=("rows", "created", "updated", "unchanged", "restored", "deleted", "failed"),
        answers={"POST records/{dataset}/bulk": ("",)},
        schemas=("BulkResult",),
    )
)
