"""Click: an MD5 over fields of the form, the secret among them. Fields are hashed as received, not as
numbers.

Source: docs.click.uz, "SHOP-API".
"""

from __future__ import annotations

import hashlib
import hmac

from apps.webhooks.errors import SignatureInvalid
from apps.webhooks.inbound.messages import Keys, Message, Proof, form_of

COMPLETE = "1"
_BEFORE = ("click_trans_id", "service_id")
_AFTER = ("merchant_trans_id",)
_LAST = ("amount", "action", "sign_time")


def verify(message: Message, keys: Keys) -> Proof:
    """Raises SignatureInvalid."""
    secrets = keys.required()
    pairs = form_of(message.body)
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise SignatureInvalid("A field is in the form twice.")
    given = fields.get("sign_string", "")
    found = False
    for secret in secrets:
        right = sign_string(fields, secret)
        found |= hmac.compare_digest(right.encode(), given.lower().encode("utf-8", "replace"))
    if not found:
        raise SignatureInvalid("The sign_string does not match the form.")
    return Proof(signature=given[:100])


def sign_string(fields: dict[str, str], secret: str) -> str:
    """MD5, in hexadecimal digits, of the signed fields."""
    prepared = ("merchant_prepare_id",) if fields.get("action") == COMPLETE else ()
    parts = [fields.get(name, "") for name in _BEFORE]
    parts += [secret]
    parts += [fields.get(name, "") for name in (*_AFTER, *prepared, *_LAST)]
    return hashlib.md5("".join(parts).encode(), usedforsecurity=False).hexdigest()
