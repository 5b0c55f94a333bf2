from apps.apikeys.models.alerts import KeyAlert, KeyNetwork
from apps.apikeys.models.idempotency import IdempotencyRecord
from apps.apikeys.models.keys import APIKey
from apps.apikeys.models.limits import LimitOutage, RateLimit
from apps.apikeys.models.oauth import (
    AccessToken,
    Application,
    Consent,
    DeviceGrant,
    Grant,
    IDToken,
    RefreshToken,
    TokenFamily,
)
from apps.apikeys.models.signing import SigningKey
from apps.apikeys.models.usage import RequestLog, UsageAddresses, UsageBucket
from apps.apikeys.models.versions import ApiVersion

__all__ = [
    "APIKey",
    "AccessToken",
    "ApiVersion",
    "Application",
    "Consent",
    "DeviceGrant",
    "Grant",
    "IDToken",
    "IdempotencyRecord",
    "KeyAlert",
    "KeyNetwork",
    "LimitOutage",
    "RateLimit",
    "RefreshToken",
    "RequestLog",
    "SigningKey",
    "TokenFamily",
    "UsageAddresses",
    "UsageBucket",
]
