"""Signed calls: who has only seen a key on its way cannot use it.

    Hub-Signature: t=1763798400,n=5f2b9c0e1d7a4c33,v1=<64 hexadecimal digits>

`v1` is the HMAC-SHA256, keyed with the key's signing secret as text, of these lines joined by "\\n":

    v1, t, n, METHOD, path (percent-decoded), query string (as sent), SHA-256 of the body in hexadecimal

`t` is the time in seconds since 1970, within five minutes of the hub's; `n` is 8 to 64 letters, digits, "-"
or "_" that this key has not used within that time. Plain Python, no Django.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

from apps.apikeys.errors import SignatureRefused
from apps.apikeys.key_format import BASE62

HEADER = "Hub-Signature"
TOLERANCE = 300  # seconds, to either side
EMPTY = hashlib.sha256(b"").hexdigest()

# Begins like a key, so that whatever masks keys in logs masks it, too.
PREFIX = "sk_sign_"
_LENGTH = 43
_FORM = re.compile(r"t=([0-9]{1,12}),n=([A-Za-z0-9_-]{8,64}),v1=([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Signature:
    """What the header says."""

    moment: int
    nonce: str
    digest: str


def generate_secret() -> str:
    """A new signing secret, 256 bits."""
    return PREFIX + "".join(secrets.choice(BASE62) for _ in range(_LENGTH))


def parse(header: str) -> Signature:
    """Raises SignatureRefused for anything else than the one form."""
    match = _FORM.fullmatch(header.strip().replace(", ", ","))
    if match is None:
        raise SignatureRefused(
            f"{HEADER} must read t=<seconds since 1970>,n=<8 to 64 random characters>,v1=<64 hexadecimal "
            "digits>."
        )
    return Signature(int(match[1]), match[2], match[3])


def digest(
    secret: str, *, moment: int, nonce: str, method: str, path: str, query: str = "", body: str = EMPTY
) -> str:
    """The value of `v1`. `body` is the SHA-256 of the body in hexadecimal."""
    text = "\n".join(("v1", str(moment), nonce, method, path, query, body))
    return hmac.new(secret.encode(), text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def header_for(
    secret: str, *, moment: int, nonce: str, method: str, path: str, query: str = "", body: bytes = b""
) -> str:
    """The header's value for a call, as a client makes it."""
    found = digest(
        secret,
        moment=moment,
        nonce=nonce,
        method=method,
        path=path,
        query=query,
        body=hashlib.sha256(body).hexdigest(),
    )
    return f"t={moment},n={nonce},v1={found}"


def check_moment(signature: Signature, *, now: float) -> None:
    """Raises SignatureRefused for a signature from another time."""
    off = signature.moment - now
    if abs(off) > TOLERANCE:
        raise SignatureRefused(
            f"The signature is {abs(off):.0f} seconds {'ahead of' if off > 0 else 'behind'} the hub's clock; "
            f"at most {TOLERANCE} are allowed. Sign each call anew, and set the clock.",
            code="signature_expired",
        )
