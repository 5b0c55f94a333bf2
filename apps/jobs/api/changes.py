"""What became different in the API of jobs."""

from __future__ import annotations

from apps.kernel.api.changes import Rename, changes

changes.register(
    Rename(
        id="job-error-detail",
        since="v2@2026-11-15",
        title="An error of a job says what is wrong in `detail`",
        description="It was called `message`; problems and bulk writes have always said `detail`.",
        old="message",
        new="detail",
        answers={"GET jobs/{id}/errors": ("data/*",)},
        schemas=("Error",),
    )
)
