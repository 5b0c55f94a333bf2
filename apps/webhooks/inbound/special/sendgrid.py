"""SendGrid's event webhook: ECDSA P-256 with SHA-256 over the timestamp and the body.

The secret is the verification key that SendGrid shows: a public key (SubjectPublicKeyInfo) in base64 or PEM.
Source: docs.sendgrid.com, "Event Webhook security features".
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from apps.webhooks.errors import SignatureInvalid
from apps.webhooks.inbound.hmacs import decode
from apps.webhooks.inbound.messages import Keys, Message, Proof

SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"
# The provider signs the time but states no tolerance; its retries go on for a day with the first signature.
TOLERANCE = 24 * 3600 + 300
_STAMP = re.compile(r"[0-9]{1,12}", re.ASCII)


def verify(message: Message, keys: Keys) -> Proof:
    """Raises SignatureInvalid."""
    public = [_key(secret) for secret in keys.required()]
    text = message.header(SIGNATURE)
    given = decode(text, "base64")
    stamp = message.header(TIMESTAMP)
    if not _STAMP.fullmatch(stamp):
        raise SignatureInvalid("The signed timestamp is malformed.")
    if abs(message.received_at - int(stamp)) > int(keys.options.get("tolerance") or TOLERANCE):
        raise SignatureInvalid("The signed timestamp is too old or ahead.")
    for key in public:
        try:
            key.verify(given, stamp.encode() + message.body, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            continue
        return Proof(signature=text, timestamp=stamp)
    raise SignatureInvalid("The signature does not match the body.")


@lru_cache(maxsize=256)
def _key(text: str) -> ec.EllipticCurvePublicKey:
    lines = [line for line in text.strip().splitlines() if not line.startswith("-----")]
    try:
        found = load_der_public_key(base64.b64decode("".join(lines), validate=True))
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        raise SignatureInvalid("The verification key that is set for this address is not a key.") from None
    if not isinstance(found, ec.EllipticCurvePublicKey):
        raise SignatureInvalid("The verification key that is set for this address is not an ECDSA key.")
    return found
