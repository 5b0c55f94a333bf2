"""Signatures of messages: Standard Webhooks 1.0.0, symmetric and ed25519, and an optional older header.

The signed bytes are `{id}.{timestamp}.{body}`. Secrets are texts with a prefix that tells their kind:
`whsec_` (HMAC-SHA256, 24 to 64 bytes in base64), `whsk_` (ed25519, signs) and `whpk_` (ed25519, verifies).
Several live secrets give several signatures in one header, separated by spaces, so that a receiver that
knows any of them is content while a secret is being rotated. Source: standardwebhooks.com, version 1.0.0.

`verify` raises SignatureInvalid and nothing else, whatever it is fed. Plain Python, no Django.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets as random
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from apps.webhooks.errors import SecretInvalid, SignatureInvalid

SYMMETRIC, PRIVATE, PUBLIC = "whsec_", "whsk_", "whpk_"
TOLERANCE = 300  # seconds, to either side
ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER = "webhook-id", "webhook-timestamp", "webhook-signature"

_SYMMETRIC_BYTES = range(24, 65)
_GENERATED_BYTES = 32
_SEED_BYTES = 32
_MAX_HEADER = 8192
_MAX_SIGNATURES = 64
# No dot: `a.1` signed at 2 must not read as `a` signed at 1 over a body that starts with `2.`.
_ID = re.compile(r"[!-\-/-~]{1,256}", re.ASCII)
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_REFUSED = "The signature headers of the message are missing, malformed, too old or do not match its body."


def generate_secret() -> str:
    """A new symmetric secret: `whsec_` and 32 random bytes in base64."""
    return SYMMETRIC + base64.b64encode(random.token_bytes(_GENERATED_BYTES)).decode()


def generate_key_pair() -> tuple[str, str]:
    """A new ed25519 pair: the private `whsk_…` that signs and the public `whpk_…` that receivers hold."""
    private = Ed25519PrivateKey.generate()
    seed, public = private.private_bytes_raw(), private.public_key().public_bytes_raw()
    return (
        PRIVATE + base64.b64encode(seed + public).decode(),
        PUBLIC + base64.b64encode(public).decode(),
    )


def public_key_of(secret: str) -> str:
    """The `whpk_…` that verifies what the `whsk_…` signs. Raises SecretInvalid."""
    key = _key(secret)
    if not isinstance(key, Ed25519PrivateKey):
        raise SecretInvalid(f"Only a {PRIVATE} secret has a public key.")
    return PUBLIC + base64.b64encode(key.public_key().public_bytes_raw()).decode()


def check_secret(secret: str) -> None:
    """Raise SecretInvalid unless `secret` can sign (`whsec_…` or `whsk_…`)."""
    if isinstance(_key(secret), Ed25519PublicKey):
        raise SecretInvalid(f"A {PUBLIC} key only verifies; signing needs {SYMMETRIC} or {PRIVATE}.")


def _decode(text: str) -> bytes:
    try:
        raw = text.encode("ascii")
        return base64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        raise SecretInvalid("The part of the signing secret after its prefix is not base64.") from None


@lru_cache(maxsize=4096)
def _key(secret: str) -> bytes | Ed25519PrivateKey | Ed25519PublicKey:
    """The key in a secret's text. Raises SecretInvalid, which never repeats the secret."""
    if secret.startswith(SYMMETRIC):
        raw = _decode(secret[len(SYMMETRIC) :])
        if len(raw) not in _SYMMETRIC_BYTES:
            raise SecretInvalid(
                f"A {SYMMETRIC} secret holds {_SYMMETRIC_BYTES.start} to {_SYMMETRIC_BYTES.stop - 1} bytes "
                f"in base64; this one holds {len(raw)}."
            )
        return raw
    if secret.startswith(PRIVATE):
        raw = _decode(secret[len(PRIVATE) :])
        if len(raw) not in (_SEED_BYTES, 2 * _SEED_BYTES):
            raise SecretInvalid(f"A {PRIVATE} secret holds an ed25519 key of 32 or 64 bytes in base64.")
        return Ed25519PrivateKey.from_private_bytes(raw[:_SEED_BYTES])
    if secret.startswith(PUBLIC):
        raw = _decode(secret[len(PUBLIC) :])
        if len(raw) != _SEED_BYTES:
            raise SecretInvalid(f"A {PUBLIC} key holds 32 bytes in base64.")
        return Ed25519PublicKey.from_public_bytes(raw)
    raise SecretInvalid(f"A signing secret starts with {SYMMETRIC} or {PRIVATE}.")


def sign(*, message_id: str, timestamp: int, body: bytes, secrets: Sequence[str]) -> str:
    """The value of `webhook-signature`: one signature per secret. Raises SecretInvalid."""
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    return " ".join(_signature(_key(secret), signed) for secret in secrets)


def _signature(key: bytes | Ed25519PrivateKey | Ed25519PublicKey, signed: bytes) -> str:
    if isinstance(key, bytes):
        return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    if isinstance(key, Ed25519PrivateKey):
        return "v1a," + base64.b64encode(key.sign(signed)).decode()
    raise SecretInvalid(f"A {PUBLIC} key only verifies; signing needs {SYMMETRIC} or {PRIVATE}.")


def headers_for(*, message_id: str, timestamp: int, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """The three headers of a signed message."""
    return {
        ID_HEADER: message_id,
        TIMESTAMP_HEADER: str(timestamp),
        SIGNATURE_HEADER: sign(message_id=message_id, timestamp=timestamp, body=body, secrets=secrets),
    }


def legacy_signature(*, timestamp: int, body: bytes, secrets: Sequence[str]) -> str:
    """The older single header: `t=…,v1=…`, the hex HMAC-SHA256 of `{t}.{body}` for each symmetric secret.

    The key is the whole text of the secret, prefix included, as with Stripe: receivers paste what they see.
    """
    signed = b"%d.%b" % (timestamp, body)
    parts = [f"t={timestamp}"]
    parts += [
        "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        for secret in secrets
        if secret.startswith(SYMMETRIC)
    ]
    return ",".join(parts)


def verify(
    *,
    headers: Mapping[Any, Any],
    body: bytes,
    secrets: Iterable[str],
    now: float | None = None,
    tolerance: int = TOLERANCE,
) -> None:
    """Check a message against any of the secrets; header names in any case, also `svix-…`.

    Raises SignatureInvalid unless one of its signatures is right and it was signed within `tolerance`
    seconds of `now` (the clock). Every comparison takes constant time.
    """
    message_id = _header(headers, "id", _ID)
    stamp = _header(headers, "timestamp", _TIMESTAMP)
    given = _header(headers, "signature", None)
    if abs((time.time() if now is None else now) - int(stamp)) > tolerance:
        raise SignatureInvalid(_REFUSED)
    signed = b"%b.%b.%b" % (message_id.encode(), stamp.encode(), bytes(body))
    signatures = list(_signatures(given))
    if not any(_matches(_key(secret), signed, signatures) for secret in secrets):
        raise SignatureInvalid(_REFUSED)


def verify_legacy(
    *, header: Any, body: bytes, secrets: Iterable[str], now: float | None = None, tolerance: int = TOLERANCE
) -> None:
    """Check the older header `t=…,v1=…`. Raises SignatureInvalid."""
    if not isinstance(header, str) or len(header) > _MAX_HEADER:
        raise SignatureInvalid(_REFUSED)
    pairs = [part.strip().partition("=") for part in header.split(",", _MAX_SIGNATURES)]
    stamps = [value for name, _, value in pairs if name == "t"]
    if len(stamps) != 1 or not _TIMESTAMP.fullmatch(stamps[0]):
        raise SignatureInvalid(_REFUSED)
    if abs((time.time() if now is None else now) - int(stamps[0])) > tolerance:
        raise SignatureInvalid(_REFUSED)
    signed = b"%b.%b" % (stamps[0].encode(), bytes(body))
    given = [value.encode("utf-8", "surrogatepass") for name, _, value in pairs if name == "v1"]
    for secret in secrets:
        right = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode()
        if any(hmac.compare_digest(right, one) for one in given):
            return
    raise SignatureInvalid(_REFUSED)


def _header(headers: Mapping[Any, Any], part: str, shape: re.Pattern[str] | None) -> str:
    """The one value of `webhook-{part}` or `svix-{part}`."""
    try:
        pairs = [(str(name).lower(), value) for name, value in headers.items()]
    except Exception:
        raise SignatureInvalid(_REFUSED) from None
    found = [value for name, value in pairs if name == f"webhook-{part}"]
    found = found or [value for name, value in pairs if name == f"svix-{part}"]
    if len(found) != 1:
        raise SignatureInvalid(_REFUSED)
    value = found[0]
    if not isinstance(value, str) or not value or len(value) > _MAX_HEADER:
        raise SignatureInvalid(_REFUSED)
    if shape is not None and not shape.fullmatch(value):
        raise SignatureInvalid(_REFUSED)
    return value


def _signatures(header: str) -> Iterable[tuple[str, bytes]]:
    """The (version, bytes) pairs in the header; what cannot be read is passed over, as a future version."""
    for one in header.split(" ")[:_MAX_SIGNATURES]:
        version, comma, text = one.partition(",")
        if comma and version in ("v1", "v1a"):
            try:
                yield version, base64.b64decode(text.encode("ascii"), validate=True)
            except (UnicodeEncodeError, binascii.Error, ValueError):
                continue


def _matches(
    key: bytes | Ed25519PrivateKey | Ed25519PublicKey, signed: bytes, signatures: Sequence[tuple[str, bytes]]
) -> bool:
    if isinstance(key, bytes):
        right = hmac.digest(key, signed, "sha256")
        return any(hmac.compare_digest(right, given) for version, given in signatures if version == "v1")
    public = key.public_key() if isinstance(key, Ed25519PrivateKey) else key
    for version, given in signatures:
        if version == "v1a":
            try:
                public.verify(given, signed)
            except InvalidSignature:
                continue
            return True
    return False
