from apps.connectors.models.calls import CallCount, IntegrationLog, RateWindow
from apps.connectors.models.integrations import ConnectionEvent, Integration, IntegrationStream
from apps.connectors.models.syncs import SyncError, SyncJob, SyncStream

__all__ = [
    "CallCount",
    "ConnectionEvent",
    "Integration",
    "IntegrationLog",
    "IntegrationStream",
    "RateWindow",
    "SyncError",
    "SyncJob",
    "SyncStream",
]
