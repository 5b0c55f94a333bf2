"""Twilio: HMAC-SHA1 of the address and the sorted form, or of an address that holds the body's hash.

Source: twilio.com/docs/usage/security, "Validating requests are coming from Twilio".
"""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import parse_qs, urlsplit, urlunsplit

from apps.webhooks.errors import SignatureInvalid
from apps.webhooks.inbound.hmacs import decode
from apps.webhooks.inbound.messages import Keys, Message, Proof, form_of

HEADER = "X-Twilio-Signature"
FORM = "application/x-www-form-urlencoded"


def verify(message: Message, keys: Keys) -> Proof:
    """Raises SignatureInvalid."""
    secrets = keys.required()
    text = message.header(HEADER)
    given = decode(text, "base64")
    signed_form = b""
    if message.content_type == FORM:
        values: dict[str, set[str]] = {}
        for name, value in form_of(message.body):
            values.setdefault(name, set()).add(value)
        signed_form = "".join(
            name + value for name in sorted(values) for value in sorted(values[name])
        ).encode()
    elif message.body or "bodySHA256" in message.query:
        _check_hash(message)
    found = False
    for secret in secrets:
        for one in message.urls:
            for url in _with_and_without_port(one):
                right = hmac.digest(secret.encode(), url.encode() + signed_form, "sha1")
                found |= hmac.compare_digest(right, given)
    if not found:
        raise SignatureInvalid("The signature does not match the address and the form.")
    return Proof(signature=text)


def _check_hash(message: Message) -> None:
    """A body that is no form is protected by its SHA-256 in the signed address."""
    right = hashlib.sha256(message.body).hexdigest()
    given = parse_qs(message.query, errors="replace", max_num_fields=1000).get("bodySHA256", [])
    if len(given) != 1 or not hmac.compare_digest(
        right.encode(), given[0].lower().encode("utf-8", "replace")
    ):
        raise SignatureInvalid("The address does not hold the SHA-256 of the body (bodySHA256).")


def _with_and_without_port(url: str) -> list[str]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    default = {"https": 443, "http": 80}.get(parts.scheme)
    if parts.port is None:
        return [url, urlunsplit(parts._replace(netloc=f"{host}:{default}"))]
    return [url, urlunsplit(parts._replace(netloc=host))]
