"""The states of endpoints and deliveries, and the ways between them."""

from __future__ import annotations

from django.db import models

from apps.kernel.states import transitions


class EndpointStatus(models.TextChoices):
    ACTIVE = "active", "Active"  # events become deliveries, deliveries are sent
    INACTIVE = "inactive", "Inactive"  # switched off: hears nothing
    PAUSED = "paused", "Paused"  # deliveries are written and held until it is resumed
    FAILED = "failed", "Failed"  # paused by itself for too long: given up, hears nothing
    TESTING = "testing", "Testing"  # being set up: gets test messages only


ENDPOINT_TRANSITIONS = transitions(
    {
        EndpointStatus.TESTING: [EndpointStatus.ACTIVE, EndpointStatus.INACTIVE],
        EndpointStatus.ACTIVE: [EndpointStatus.PAUSED, EndpointStatus.INACTIVE],
        EndpointStatus.PAUSED: [EndpointStatus.ACTIVE, EndpointStatus.INACTIVE, EndpointStatus.FAILED],
        EndpointStatus.INACTIVE: [EndpointStatus.ACTIVE],
        EndpointStatus.FAILED: [EndpointStatus.ACTIVE, EndpointStatus.INACTIVE],
    }
)

# Those whose events become deliveries.
LISTENING = (EndpointStatus.ACTIVE, EndpointStatus.PAUSED)


class DeliveryStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    DELIVERING = "delivering", "Delivering"
    RETRYING = "retrying", "Retrying"
    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


DELIVERY_TRANSITIONS = transitions(
    {
        DeliveryStatus.PENDING: [DeliveryStatus.DELIVERING, DeliveryStatus.CANCELLED],
        DeliveryStatus.RETRYING: [
            DeliveryStatus.DELIVERING,
            DeliveryStatus.CANCELLED,
            DeliveryStatus.PENDING,
        ],
        DeliveryStatus.DELIVERING: [
            DeliveryStatus.DELIVERED,
            DeliveryStatus.RETRYING,
            DeliveryStatus.FAILED,
        ],
        DeliveryStatus.FAILED: [DeliveryStatus.PENDING],
        DeliveryStatus.CANCELLED: [DeliveryStatus.PENDING],
        DeliveryStatus.DELIVERED: [],
    }
)

WAITING = (DeliveryStatus.PENDING, DeliveryStatus.RETRYING)
OPEN = (*WAITING, DeliveryStatus.DELIVERING)


class HealthStatus(models.TextChoices):
    UNKNOWN = "unknown", "Unknown"
    HEALTHY = "healthy", "Healthy"
    DEGRADED = "degraded", "Degraded"
    FAILING = "failing", "Failing"


class Method(models.TextChoices):
    POST = "POST", "POST"
    PUT = "PUT", "PUT"
    PATCH = "PATCH", "PATCH"


class AuthType(models.TextChoices):
    NONE = "none", "None"
    BEARER = "bearer", "Bearer token"
    BASIC = "basic", "Basic"
    API_KEY = "api_key", "API key in a header"
    OAUTH2 = "oauth2", "OAuth2 client credentials"
    CUSTOM = "custom", "Headers of its own"


class PayloadFormat(models.TextChoices):
    JSON = "json", "JSON"
    XML = "xml", "XML"
    FORM = "form", "Form data"
    CUSTOM = "custom", "Template of its own"


class SecretKind(models.TextChoices):
    HMAC = "hmac", "HMAC-SHA256"
    ED25519 = "ed25519", "ed25519"


class Ordering(models.TextChoices):
    NONE = "none", "As fast as possible"
    FIFO = "fifo", "One after another per ordering key"


class Cause(models.TextChoices):
    EVENT = "event", "Event"
    TEST = "test", "Test"
    REPLAY = "replay", "Replay"


class Chosen(models.TextChoices):
    """Which messages a replay sends again."""

    FAILED = "failed", "What failed or was cancelled"
    MISSING = "missing", "Events that were never owed to it"
    ALL = "all", "Everything, also what arrived"
    SELECTED = "selected", "Deliveries that were selected"


class ReplayStatus(models.TextChoices):
    """A replay that is running is due whenever nobody holds its lease."""

    RUNNING = "running", "Running"
    PAUSED = "paused", "Paused"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


REPLAY_TRANSITIONS = transitions(
    {
        ReplayStatus.RUNNING: [
            ReplayStatus.PAUSED,
            ReplayStatus.COMPLETED,
            ReplayStatus.FAILED,
            ReplayStatus.CANCELLED,
        ],
        ReplayStatus.PAUSED: [ReplayStatus.RUNNING, ReplayStatus.CANCELLED],
        ReplayStatus.FAILED: [ReplayStatus.RUNNING],
    }
)
UNFINISHED = (ReplayStatus.RUNNING, ReplayStatus.PAUSED)
