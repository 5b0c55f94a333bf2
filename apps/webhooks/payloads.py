"""Turning an event into the bytes of a message.

The envelope, in JSON:

    {"id": "evt_…", "type": "invoice.updated", "timestamp": "2026-03-01T09:30:00.123456Z", "data": {…}}

`id` is the `webhook-id` header. `metadata` (organization, subject, version) is added, `timestamp` left out
and `data` reduced to the object's id as the endpoint says. XML has the same elements under <event>, lists
as repeated <item>s; form data has one pair per value, named as in data[address][city].
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from xml.sax.saxutils import escape, quoteattr

import orjson

from apps.webhooks.statuses import PayloadFormat
from apps.webhooks.templating import compile_template

XML_HEAD = b'<?xml version="1.0" encoding="UTF-8"?>\n'
CONTENT_TYPES = {
    PayloadFormat.JSON: "application/json",
    PayloadFormat.XML: "application/xml; charset=utf-8",
    PayloadFormat.FORM: "application/x-www-form-urlencoded",
}


@dataclass(frozen=True, slots=True)
class Style:
    """How an endpoint wants its messages. Endpoints of equal style share one stored payload."""

    format: str = PayloadFormat.JSON
    full: bool = True
    metadata: bool = False
    timestamp: bool = True
    template: str = ""  # with the format custom
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """What is told, before it has a form."""

    id: str
    type: str
    occurred_at: datetime
    data: Mapping[str, Any]
    subject: str = ""
    version: int = 1
    organization: str = ""


def render(message: Message, style: Style) -> tuple[str, bytes]:
    """The content type and the exact bytes to store, sign and send.

    Raises TemplateInvalid or TemplateFailed for a style with a template.
    """
    envelope: dict[str, Any] = {"id": message.id, "type": message.type}
    if style.timestamp:
        envelope["timestamp"] = rfc3339(message.occurred_at)
    envelope["data"] = message.data if style.full else _reference(message)
    if style.metadata:
        envelope["metadata"] = {
            "organization": message.organization,
            "subject": message.subject,
            "version": message.version,
        }
    if style.format == PayloadFormat.CUSTOM:
        template = compile_template(style.template, style.content_type)
        return style.content_type, template.render(envelope)
    if style.format == PayloadFormat.XML:
        body = _xml(envelope)
    elif style.format == PayloadFormat.FORM:
        body = urlencode(list(_pairs(envelope, ""))).encode("ascii")
    else:
        body = to_json(envelope)
    return CONTENT_TYPES[PayloadFormat(style.format)], body


def wrap(parts: Sequence[tuple[str, bytes]], *, batch_id: str, at: datetime, bare: bool) -> tuple[str, bytes]:
    """The content type and bytes of a batch of rendered messages, all of one content type.

    JSON: {"id", "type": "batch", "timestamp", "data": [message, …]}, or the list alone if `bare` (what a
    template made); XML: <batch> with the messages; text: one after another.
    """
    content_type = parts[0][0]
    bodies = [body for _, body in parts]
    if content_type.startswith("application/json"):
        if bare:
            return content_type, b"[" + b",".join(bodies) + b"]"
        head = to_json({"id": batch_id, "type": "batch", "timestamp": rfc3339(at)})
        return content_type, head[:-1] + b',"data":[' + b",".join(bodies) + b"]}"
    if content_type.startswith("application/xml"):
        inner = b"".join(body.removeprefix(XML_HEAD) for body in bodies)
        return content_type, b"%b<batch><id>%b</id>%b</batch>" % (XML_HEAD, batch_id.encode(), inner)
    return content_type, b"\n".join(bodies)


def rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def to_json(value: Any) -> bytes:
    """UTF-8 JSON without spaces, keys in their order, whole numbers of any size."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str).encode()


def _reference(message: Message) -> dict[str, Any]:
    identity = message.data.get("id", message.subject)
    return {"id": identity} if identity else {}


_XML_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*", re.ASCII)
# What XML 1.0 cannot say at all (2.2): control characters, surrogates, U+FFFE and U+FFFF.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def _xml(envelope: Mapping[str, Any]) -> bytes:
    return XML_HEAD + "".join(_element("event", envelope)).encode()


def _element(name: str, value: Any) -> Iterator[str]:
    if _XML_NAME.fullmatch(name) and not name.lower().startswith("xml"):
        start, end = f"<{name}", f"</{name}>"
    else:
        start, end = f"<item key={quoteattr(_printable(name))}", "</item>"
    if value is None:
        yield start + "/>"
        return
    yield start + ">"
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _element(str(key), inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _element("item", inner)
    else:
        yield escape(_printable(_text(value)))
    yield end


def _pairs(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _pairs(inner, f"{name}[{key}]" if name else str(key))
    elif isinstance(value, (list, tuple)):
        for n, inner in enumerate(value):
            yield from _pairs(inner, f"{name}[{n}]")
    else:
        yield name, "" if value is None else _text(value)


def _printable(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
