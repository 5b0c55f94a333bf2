"""Payme (Paycom): Basic authentication with the merchant's key.

Source: developer.help.paycom.uz, "Merchant API".
"""

from __future__ import annotations

import base64
import binascii
import hmac

from apps.webhooks.errors import SignatureInvalid
from apps.webhooks.inbound.messages import Keys, Message, Proof

LOGIN = b"Paycom:"


def verify(message: Message, keys: Keys) -> Proof:
    """Raises SignatureInvalid."""
    secrets = keys.required()
    scheme, _, text = message.header("Authorization").partition(" ")
    try:
        given = base64.b64decode(text.strip().encode("ascii"), validate=True)
    except (ValueError, binascii.Error):
        given = b""
    found = False
    for secret in secrets:
        found |= hmac.compare_digest(LOGIN + secret.encode(), given)
    if scheme.lower() != "basic" or not found:
        raise SignatureInvalid("The key in the header Authorization is not the one that is set here.")
    return Proof()
