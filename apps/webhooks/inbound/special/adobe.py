"""Adobe Acrobat Sign: no signature. The client id is on a list, and is echoed; the address itself is the
secret.

Source: opensource.adobe.com/acrobat-sign, "Verify intent of webhook URL".
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from apps.webhooks.errors import SignatureInvalid
from apps.webhooks.inbound.messages import Keys, Message, Proof

HEADER = "X-AdobeSign-ClientId"


def verify(message: Message, keys: Keys) -> Proof:
    """Raises SignatureInvalid unless the client id is one of `options.client_ids`, or the secret."""
    given = message.header(HEADER)
    allowed: Iterable[str] = [*(keys.options.get("client_ids") or ()), *keys.secrets]
    found = False
    for one in allowed:
        found |= hmac.compare_digest(str(one).encode(), given.encode("utf-8", "replace"))
    if not found:
        raise SignatureInvalid("The client id is not on the list of this address.")
    return Proof(signature=given)
