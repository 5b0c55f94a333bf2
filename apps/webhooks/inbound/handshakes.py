"""Questions by which providers check an address, answered as the scheme's facts say."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from apps.kernel.safejson import dumps_canonical
from apps.webhooks.inbound.messages import MAX_HEADER, Keys
from apps.webhooks.inbound.reading import Reader, search
from apps.webhooks.inbound.scheme import Handshake, Scheme


@dataclass(frozen=True, slots=True)
class Reply:
    """What the provider gets to read."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain"


def reply_to(scheme: Scheme, reader: Reader, keys: Keys, *, signed: bool) -> Reply | None:
    """The answer to a handshake; None if the message is none, or none of this sort."""
    for handshake in scheme.handshakes:
        if handshake.signed == signed and handshake.method == reader.message.method:
            found = _value(handshake, reader, keys)
            if found is not None:
                return _reply(scheme, handshake, found)
    return None


def is_asked_by(scheme: Scheme, method: str) -> bool:
    """Whether the scheme has handshakes by this HTTP method."""
    return any(handshake.method == method for handshake in scheme.handshakes)


def _value(handshake: Handshake, reader: Reader, keys: Keys) -> str | None:
    query: Mapping[str, list[str]] = {}
    if handshake.query or handshake.token_query:
        query = parse_qs(reader.message.query, keep_blank_values=True, errors="replace", max_num_fields=1000)
    if handshake.token_query:
        expected = str(keys.options.get("verify_token") or "")
        given = query.get(handshake.token_query, [""])[0]
        if not expected or not hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace")):
            return None
    if handshake.query:
        return query.get(handshake.query, [None])[0]
    if handshake.header:
        return reader.message.headers.get(handshake.header.lower())
    if handshake.path and search(handshake.path, reader.payload) == handshake.equals:
        return str(search(handshake.echo, reader.payload)) if handshake.echo else ""
    return None


def _reply(scheme: Scheme, handshake: Handshake, value: str) -> Reply:
    value = value[:MAX_HEADER]
    if handshake.as_field:
        return Reply(body=dumps_canonical({handshake.as_field: value}), content_type="application/json")
    # Text, never HTML: a stranger chooses what is echoed.
    return Reply(body=value.encode("utf-8", "replace"), content_type="text/plain; charset=utf-8")
