"""Plain HMACs in a header, as the scheme's facts say."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit

from apps.webhooks.errors import SignatureInvalid
from apps.webhooks.inbound.messages import Keys, Message, Proof
from apps.webhooks.inbound.scheme import UNITS, Hmac

MAX_SIGNATURES = 64
_TIMESTAMP = re.compile(r"[0-9]{1,13}", re.ASCII)
_ID = re.compile(r"[!-~]{1,256}", re.ASCII)
_NUMBERED = 20
# What HubSpot signs decoded in the query of an address.
_DECODED = {
    "%3A": ":", "%2F": "/", "%3F": "?", "%40": "@", "%21": "!", "%24": "$", "%27": "'", "%28": "(",
    "%29": ")", "%2A": "*", "%2C": ",", "%3B": ";",
}  # fmt: skip


def verify(facts: Hmac, message: Message, keys: Keys) -> Proof:
    """Check the message. Raises SignatureInvalid; every comparison takes constant time."""
    secrets = [key_of(secret, facts.key) for secret in keys.required()]
    given, pairs = _given(facts, message)
    timestamp = _timestamp(facts, message, pairs)
    message_id = ""
    if facts.id_header:
        message_id = message.header(facts.id_header)
        if not _ID.fullmatch(message_id):
            raise SignatureInvalid(f"The header {facts.id_header} is malformed.")
    right = [
        hmac.digest(secret, signed, facts.algorithm)
        for secret in secrets
        for signed in _signed(facts, message, timestamp, message_id)
    ]
    found = ""
    for text in given:
        value = decode(text, facts.encoding)
        for digest in right:
            if hmac.compare_digest(digest, value):
                found = text
    if not found:
        raise SignatureInvalid("The signature does not match the body.")
    return Proof(signature=found, timestamp=timestamp, message_id=message_id)


def _given(facts: Hmac, message: Message) -> tuple[list[str], dict[str, list[str]]]:
    """The signatures that the message carries, and the header's pairs if it has pairs."""
    if facts.numbered:
        names = [f"{facts.header}-{n}" for n in range(1, _NUMBERED + 1)]
        values = [message.header(name) for name in names if name.lower() in message.headers]
        if not values:
            raise SignatureInvalid(f"The header {facts.header}-1 is missing.")
        return values, {}
    value = message.header(facts.header)
    if facts.pair:
        pairs: dict[str, list[str]] = {}
        for part in value.split(",", MAX_SIGNATURES)[:MAX_SIGNATURES]:
            name, _, text = part.strip().partition("=")
            pairs.setdefault(name, []).append(text)
        signatures = pairs.get(facts.pair, [])
        if not signatures:
            raise SignatureInvalid(f"The header {facts.header} has no part {facts.pair}=.")
        return signatures, pairs
    if facts.prefix:
        if not value.startswith(facts.prefix):
            raise SignatureInvalid(f"The header {facts.header} does not start with {facts.prefix}")
        value = value[len(facts.prefix) :]
    return [value], {}


def _timestamp(facts: Hmac, message: Message, pairs: dict[str, list[str]]) -> str:
    if facts.timestamp_pair:
        found = pairs.get(facts.timestamp_pair, [])
        if len(found) != 1:
            raise SignatureInvalid(f"The header {facts.header} must have one part {facts.timestamp_pair}=.")
        text = found[0]
    elif facts.timestamp_header:
        text = message.header(facts.timestamp_header)
    else:
        return ""
    if not _TIMESTAMP.fullmatch(text):
        raise SignatureInvalid("The signed timestamp is malformed.")
    apart = message.received_at - int(text) / UNITS[facts.timestamp_unit]
    if abs(apart) > facts.tolerance:
        raise SignatureInvalid(
            f"The signed timestamp is {abs(apart):.0f} s {'old' if apart > 0 else 'ahead'}; "
            f"at most {facts.tolerance} s are allowed."
        )
    return text


def _signed(facts: Hmac, message: Message, timestamp: str, message_id: str) -> Iterable[bytes]:
    urls: Iterable[str] = ("",)
    if "url" in facts.signed.names:
        urls = [url for one in message.urls for url in _spellings(one, facts.decode_url)]
    for url in urls:
        values = {
            "timestamp": timestamp.encode(),
            "id": message_id.encode(),
            "method": message.method.encode(),
            "url": url.encode(),
            "body": message.body,
        }
        yield b"".join(part if isinstance(part, bytes) else values[part] for part in facts.signed.parts)


def _spellings(url: str, decoded: bool) -> list[str]:
    if not decoded or "%" not in url:
        return [url]
    parts = urlsplit(url)
    query = parts.query
    for code, sign in _DECODED.items():
        query = query.replace(code, sign).replace(code.lower(), sign)
    return [url, urlunsplit(parts._replace(query=query))]


def key_of(secret: str, kind: str) -> bytes:
    """The key in a secret's text. Raises SignatureInvalid, which never repeats the secret."""
    try:
        if kind == "base64":
            return base64.b64decode(secret.encode("ascii"), validate=True)
        if kind == "hex":
            return bytes.fromhex(secret)
        return secret.encode()
    except (ValueError, binascii.Error):
        raise SignatureInvalid(f"The secret that is set for this address is not {kind}.") from None


def decode(text: str, encoding: str) -> bytes:
    """The bytes of a signature. Raises SignatureInvalid."""
    try:
        if encoding == "hex":
            if len(text) > 256:
                raise ValueError
            return binascii.unhexlify(text.encode("ascii"))
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (ValueError, binascii.Error):
        raise SignatureInvalid("The signature is not in the expected encoding.") from None
