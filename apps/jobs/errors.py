"""What jobs refuse."""

from __future__ import annotations

from apps.kernel.errors import Conflict, TerminalError


class NotReady(Conflict):
    """The job lacks something that has to come first."""

    code = "not_ready"
    title = "The job is not ready for this"


class RunFailed(TerminalError):
    """The run ended before its end; what is told becomes the job's `status_reason`."""

    code = "run_failed"
    title = "The job failed"
