"""TLS contexts, shared by both clients."""

from __future__ import annotations

import os
import ssl
from functools import lru_cache

import certifi


@lru_cache(maxsize=2)
def context(*, verify: bool) -> ssl.SSLContext:
    """A client context. It trusts the system's authorities (SSL_CERT_FILE, SSL_CERT_DIR), else certifi's."""
    made = ssl.create_default_context()
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    elif not _system_authorities():
        made.load_verify_locations(certifi.where())
    made.set_alpn_protocols(["http/1.1"])
    return made


def _system_authorities() -> bool:
    paths = ssl.get_default_verify_paths()
    return bool(
        (paths.cafile and os.path.getsize(paths.cafile)) or (paths.capath and os.listdir(paths.capath))
    )


def explain(exc: BaseException) -> str:
    """What is wrong with a TLS connection, in words that name no secret."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {exc.verify_message or 'verification failed'}"
    reason = getattr(exc, "reason", None)
    return f"no TLS connection: {str(reason).replace('_', ' ').lower()}" if reason else "no TLS connection"
