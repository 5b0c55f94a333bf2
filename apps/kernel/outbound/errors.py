"""What can go wrong with a call to another system. Messages name the host: no path, query or credentials."""

from __future__ import annotations

from apps.kernel.errors import HubError, TerminalError, TransientError


class OutboundError(HubError):
    """Base of all failures of outbound calls. HTTP statuses of the peer are answers, not failures."""

    code = "outbound_failed"
    status = 502
    title = "The other system could not be called"


class OutboundBlocked(OutboundError, TerminalError):
    """The address is not one that the hub may call (SSRF guard), or the URL is not one that it calls."""

    code = "address_blocked"
    status = 422
    title = "The address is not allowed"


class OutboundTooLarge(OutboundError, TerminalError):
    """The answer is larger than the caller wants to hold."""

    code = "answer_too_large"
    title = "The answer is too large"


class OutboundTimeout(OutboundError, TransientError):
    """The deadline passed: while resolving, connecting, waiting, or reading."""

    code = "timeout"
    status = 504
    title = "The other system did not answer in time"


class OutboundConnectionFailed(OutboundError, TransientError):
    """No connection, no name, no valid certificate, or a connection that broke."""

    code = "connection_failed"
    status = 502
    title = "The other system cannot be reached"


class OutboundProtocolError(OutboundError, TransientError):
    """The peer did not speak HTTP as it should."""

    code = "protocol_error"
    status = 502
    title = "The other system gave an answer that is not valid HTTP"
