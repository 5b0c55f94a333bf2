"""The states of integrations and syncs, and which may follow which."""

from __future__ import annotations

from django.db import models

from apps.kernel.states import transitions


class IntegrationStatus(models.TextChoices):
    PENDING_SETUP = "pending_setup", "Pending setup"
    TESTING = "testing", "Testing"
    ACTIVE = "active", "Active"
    INACTIVE = "inactive", "Paused"
    ERROR = "error", "Error"
    DISCONNECTED = "disconnected", "Disconnected"


_S = IntegrationStatus
INTEGRATION = transitions(
    {
        _S.PENDING_SETUP: [_S.TESTING, _S.ACTIVE, _S.INACTIVE, _S.ERROR, _S.DISCONNECTED],
        _S.TESTING: [_S.PENDING_SETUP, _S.ACTIVE, _S.INACTIVE, _S.ERROR, _S.DISCONNECTED],
        _S.ACTIVE: [_S.INACTIVE, _S.ERROR, _S.DISCONNECTED, _S.PENDING_SETUP, _S.TESTING],
        _S.INACTIVE: [_S.ACTIVE, _S.ERROR, _S.DISCONNECTED, _S.PENDING_SETUP, _S.TESTING],
        _S.ERROR: [_S.ACTIVE, _S.INACTIVE, _S.DISCONNECTED, _S.PENDING_SETUP, _S.TESTING],
        _S.DISCONNECTED: [_S.ACTIVE, _S.PENDING_SETUP, _S.TESTING],
    }
)


class ConnectionMethod(models.TextChoices):
    OAUTH2 = "oauth2", "OAuth 2.0"
    API_KEY = "api_key", "API key"
    BASIC = "basic", "User name and password"
    TOKEN = "token", "Token"
    SAML = "saml", "SAML"
    CUSTOM = "custom", "Custom"


class Environment(models.TextChoices):
    PRODUCTION = "production", "Production"
    SANDBOX = "sandbox", "Sandbox"
    STAGING = "staging", "Staging"
    DEVELOPMENT = "development", "Development"


class Direction(models.TextChoices):
    INBOUND = "inbound", "From the provider"
    OUTBOUND = "outbound", "To the provider"
    BIDIRECTIONAL = "bidirectional", "Both ways"
    NONE = "none", "Not at all"


class HealthStatus(models.TextChoices):
    HEALTHY = "healthy", "Healthy"
    DEGRADED = "degraded", "Degraded"
    DOWN = "down", "Down"
    UNKNOWN = "unknown", "Unknown"


class ConnectionAction(models.TextChoices):
    CREATED = "created", "Created"
    UPDATED = "updated", "Settings changed"
    TESTED = "tested", "Tested"
    CONNECTED = "connected", "Connected"
    DISCONNECTED = "disconnected", "Disconnected"
    PAUSED = "paused", "Paused"
    RESUMED = "resumed", "Resumed"
    AUTHORIZED = "authorized", "Authorized"
    TOKEN_REFRESHED = "token_refreshed", "Token refreshed"
    FAILED = "failed", "Failed"
    RECOVERED = "recovered", "Recovered"
    REMOVED = "removed", "Removed"


class SyncType(models.TextChoices):
    FULL = "full", "Full"
    INCREMENTAL = "incremental", "Incremental"
    PULL = "pull", "Pull"
    PUSH = "push", "Push"
    BIDIRECTIONAL = "bidirectional", "Both ways"


class SyncMode(models.TextChoices):
    FULL = "full", "Everything"
    INCREMENTAL = "incremental", "Changes only"


class SyncTrigger(models.TextChoices):
    MANUAL = "manual", "By hand"
    SCHEDULED = "scheduled", "By schedule"
    API = "api", "By API"
    WEBHOOK = "webhook", "By webhook"


class SyncStatus(models.TextChoices):
    PENDING = "pending", "Waiting"
    RUNNING = "running", "Running"
    COMPLETED = "completed", "Completed"
    PARTIAL = "partial", "Completed with errors"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


LIVE = (SyncStatus.PENDING, SyncStatus.RUNNING)

_J = SyncStatus
SYNC = transitions(
    {
        _J.PENDING: [_J.RUNNING, _J.CANCELLED, _J.FAILED],
        _J.RUNNING: [_J.PENDING, _J.COMPLETED, _J.PARTIAL, _J.FAILED, _J.CANCELLED],
    }
)


class SyncErrorStatus(models.TextChoices):
    OPEN = "open", "Open"
    RESOLVED = "resolved", "Resolved"
    IGNORED = "ignored", "Ignored"


SYNC_ERROR = transitions(
    {
        SyncErrorStatus.OPEN: [SyncErrorStatus.RESOLVED, SyncErrorStatus.IGNORED],
        SyncErrorStatus.IGNORED: [SyncErrorStatus.OPEN, SyncErrorStatus.RESOLVED],
    }
)
