"""Standard Webhooks 1.0.0, and Svix, which has other names for the same headers."""

from __future__ import annotations

from apps.webhooks import signing
from apps.webhooks.errors import SecretInvalid, SignatureInvalid
from apps.webhooks.inbound.messages import Keys, Message, Proof


def verify(message: Message, keys: Keys) -> Proof:
    """Raises SignatureInvalid."""
    try:
        signing.verify(
            headers=message.headers, body=message.body, secrets=keys.required(), now=message.received_at
        )
    except SecretInvalid as error:
        raise SignatureInvalid(f"The secret that is set for this address cannot be used: {error}") from None

    def value(part: str) -> str:
        return message.headers.get(f"webhook-{part}") or message.headers.get(f"svix-{part}") or ""

    return Proof(value("signature"), value("timestamp"), value("id"))
