"""Finding facts in a message: its payload, its event's id and type."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import jmespath

from apps.kernel import safejson
from apps.kernel.errors import HubError
from apps.webhooks.errors import SignatureInvalid
from apps.webhooks.inbound.messages import Message, Proof, form_of
from apps.webhooks.inbound.scheme import Place, Scheme

MAX_ID = 190
MAX_TYPE = 190
FORM = "application/x-www-form-urlencoded"
_NOT_READ = object()


class Reader:
    """A message's facts; its body is read once, and only if something asks for it."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self._payload: Any = _NOT_READ

    @property
    def payload(self) -> Any:
        """The body's JSON, or its form as an object; None if it is neither."""
        if self._payload is _NOT_READ:
            self._payload = payload_of(self.message.body, self.message.content_type)
        return self._payload

    def first(self, places: Sequence[Place]) -> str:
        """The first value that is there, as text."""
        for place in places:
            value = self._value(place)
            if value not in (None, "", False) and not isinstance(value, (dict, list)):
                return str(value).replace("\x00", "")
        return ""

    def _value(self, place: Place) -> Any:
        if place.header:
            return self.message.headers.get(place.header.lower())
        if place.form:
            return self.payload.get(place.form) if isinstance(self.payload, dict) else None
        return search(place.path, self.payload)


def search(path: str, value: Any) -> Any:
    """What a JMESPath expression finds; None where it does not fit the value."""
    if value is None:
        return None
    try:
        return jmespath.search(path, value)
    except (
        Exception
    ):  # types that a function does not take, depth, and whatever a hostile payload makes of it
        return None


def payload_of(body: bytes, content_type: str) -> Any:
    """The JSON or form in a body; None if there is none that the hub can hold."""
    if not body:
        return None
    try:
        if content_type == FORM:
            return dict(form_of(body))
        return safejson.loads(body, max_bytes=max(len(body), 1))
    except (HubError, SignatureInvalid):
        return None


def event_id(scheme: Scheme, reader: Reader) -> str:
    """The provider's id of the event, cut to what the column takes by hashing the rest; empty if it has
    none.
    """
    found = reader.first(scheme.event_id)
    if len(found) > MAX_ID:
        return "sha256:" + hashlib.sha256(found.encode("utf-8", "surrogatepass")).hexdigest()
    return found


def event_type(scheme: Scheme, reader: Reader) -> str:
    """The provider's name of the kind of event; empty if it has none."""
    return reader.first(scheme.event_type)[:MAX_TYPE]


def dedupe_key(external_id: str, message: Message, proof: Proof) -> str:
    """Equal for messages that tell the same event: by its id, else by what was signed, time included."""
    digest = hashlib.sha256()
    if external_id:
        digest.update(b"id\x00" + external_id.encode("utf-8", "surrogatepass"))
    else:
        digest.update(
            f"{proof.timestamp}\x00{proof.message_id}\x00{message.query}\x00".encode("utf-8", "replace")
        )
        digest.update(message.body)
    return digest.hexdigest()
