"""What connectors refuse, and why."""

from __future__ import annotations

from apps.kernel.errors import Conflict


class TestFailed(Conflict):
    """The connection was tested, and the test failed."""

    __test__ = False  # not a test class, whatever its name says to pytest
    code = "connection_test_failed"
    title = "The connection test failed"


class SyncRunning(Conflict):
    """The integration has a sync that is waiting or running."""

    code = "sync_running"
    title = "A sync of this integration is running"


class NotActive(Conflict):
    """The integration is not active."""

    code = "integration_not_active"
    title = "The integration is not active"
