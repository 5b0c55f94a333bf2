"""The errors of this app."""

from __future__ import annotations

from apps.kernel.errors import Conflict, InvalidInput, TerminalError


class SignatureInvalid(TerminalError):
    """A signed message is not what it claims to be, whatever is wrong with its headers."""

    code = "signature_invalid"
    status = 401
    title = "The signature is not valid"


class SecretInvalid(InvalidInput):
    """A signing secret cannot be used as one."""

    code = "secret_invalid"
    title = "The signing secret is not valid"


class EndpointNotSending(Conflict):
    """The endpoint is switched off, so nothing can be sent to it."""

    code = "endpoint_not_sending"
    title = "The endpoint is not sending"
