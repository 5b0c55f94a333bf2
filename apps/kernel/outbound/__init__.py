"""The only HTTP client of the hub: blocking (`request`, `Outbound`) and asyncio (`aio.AsyncOutbound`)."""

from apps.kernel.outbound.client import Outbound, OutboundStream, connect, request, shared
from apps.kernel.outbound.errors import (
    OutboundBlocked,
    OutboundConnectionFailed,
    OutboundError,
    OutboundProtocolError,
    OutboundTimeout,
    OutboundTooLarge,
)
from apps.kernel.outbound.policy import (
    OutboundPolicy,
    check_spelled,
    check_url,
    default_policy,
    is_public,
    resolve,
)
from apps.kernel.outbound.response import OutboundResponse

__all__ = [
    "Outbound",
    "OutboundBlocked",
    "OutboundConnectionFailed",
    "OutboundError",
    "OutboundPolicy",
    "OutboundProtocolError",
    "OutboundResponse",
    "OutboundStream",
    "OutboundTimeout",
    "OutboundTooLarge",
    "check_spelled",
    "check_url",
    "connect",
    "default_policy",
    "is_public",
    "request",
    "resolve",
    "shared",
]
