"""Taking a webhook in: verify the raw bytes, store one row, answer. Everything else happens later.

The statements of the way of an accepted message: the integration by its code, its receiver, one INSERT.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F

from apps.events import inbound
from apps.events.inbound import Source
from apps.kernel import ids
from apps.kernel.background import enqueue
from apps.kernel.errors import NotFound
from apps.kernel.redaction import MASK, is_secret_name, redact_text
from apps.webhooks.errors import SignatureInvalid
from apps.webhooks.inbound import handshakes, reading, schemes
from apps.webhooks.inbound.messages import Keys, Message, Proof
from apps.webhooks.inbound.scheme import MAX_BYTES, Scheme
from apps.webhooks.models import InboundReceiver, InboundWebhook
from apps.webhooks.services.inbound import counting, merchants, receivers

logger = logging.getLogger(__name__)

TASK = "webhooks.inbound_drain"
PATH = "/api/v1/webhooks/receive/"
OTHER_PATH = "/api/webhooks/receive/"
# A worker lingers for longer than this after its last find, so that a bell for each message is not needed.
BELL_EVERY = 0.5
# Signatures are no secrets: they are worth nothing without the key, and they are the proof.
_SHOWN = ("signature", "-sig", "hmac")
# A shorter secret would tear holes into texts that happen to hold it.
_SHORTEST = 8
KEPT_HEADERS = 60


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the provider."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """A request to an address, before its body is read."""

    method: str
    query: str
    headers: Mapping[str, str]
    remote_ip: str | None
    read: Callable[[int], bytes | None]  # the body up to so many bytes; None if there is more


def receive(code: str, call: Call) -> Reply:
    """Take one call in. Raises NotFound if nobody is behind the address, TransientError if it should come
    again.
    """
    found = inbound.by_code(code) if len(code) <= 60 and "\x00" not in code else None
    if found is None or found[1].state == "closed":
        raise _unknown()
    source = found[1]
    receiver = receivers.of(source)
    scheme = schemes.resolved(receiver.scheme, receiver.options) if receiver.enabled else None
    if scheme is None:
        raise _unknown()
    if call.method != "POST" and not handshakes.is_asked_by(scheme, call.method):
        raise NotFound("This address takes POST requests.")
    body = call.read(min(scheme.max_bytes, MAX_BYTES))
    if body is None:
        counting.count(receiver, "too_large")
        return _too_large(scheme)
    message = Message(
        method=call.method,
        urls=_urls(source, receiver, call.query),
        headers=call.headers,
        body=body,
        received_at=time.time(),
        query=call.query,
    )
    keys = Keys(receivers.live_secrets(receiver, source), receiver.options)
    if scheme.accepted.business:
        return _business(scheme, receiver, message, keys, call)
    return _plain(scheme, receiver, message, keys, call)


def _unknown() -> NotFound:
    return NotFound("Nothing is received at this address.")


def _too_large(scheme: Scheme) -> Reply:
    return Reply(413, b"The body is larger than %d bytes.\n" % scheme.max_bytes)


def _urls(source: Source, receiver: InboundReceiver, query: str) -> tuple[str, ...]:
    """The public addresses, as they are configured: what the request says about its host counts for
    nothing.
    """
    base = str(settings.HUB_BASE_URL).rstrip("/")
    own = receiver.options.get("public_url")
    plain = [str(own)] if own else [source.url, f"{base}{OTHER_PATH}{source.code}"]
    return tuple(f"{url}?{query}" if query else url for url in plain)


def _plain(scheme: Scheme, receiver: InboundReceiver, message: Message, keys: Keys, call: Call) -> Reply:
    reader = reading.Reader(message)
    unsigned = handshakes.reply_to(scheme, reader, keys, signed=False)
    if unsigned is not None:
        return _echoing(scheme, message, Reply(unsigned.status, unsigned.body, unsigned.content_type))
    try:
        proof = schemes.verify(scheme, message, keys)
    except SignatureInvalid as error:
        counting.reject(
            receiver,
            reason=error.detail,
            remote_ip=call.remote_ip,
            headers=kept_headers(message.headers, keys.secrets),
            body=message.body,
        )
        refused = scheme.refused
        if refused is not None:
            return Reply(refused.status, refused.body.encode(), refused.content_type)
        return Reply(401, b"The signature is not valid.\n")
    asked = handshakes.reply_to(scheme, reader, keys, signed=True)
    if asked is not None:
        return _echoing(scheme, message, Reply(asked.status, asked.body, asked.content_type))
    if message.method != "POST":
        raise NotFound("This address takes POST requests.")
    store(scheme=scheme, receiver=receiver, reader=reader, proof=proof, call=call, secrets=keys.secrets)
    answer = scheme.accepted
    return _echoing(scheme, message, Reply(answer.status, answer.body.encode(), answer.content_type))


def _business(scheme: Scheme, receiver: InboundReceiver, message: Message, keys: Keys, call: Call) -> Reply:
    """A synchronous answer in the provider's own words; what it changed, and its row, in one transaction."""
    desk = merchants.DESKS[scheme.accepted.business]
    try:
        proof = schemes.verify(scheme, message, keys) if message.method == "POST" else None
    except SignatureInvalid as error:
        counting.reject(
            receiver,
            reason=error.detail,
            remote_ip=call.remote_ip,
            headers=kept_headers(message.headers, keys.secrets),
            body=message.body,
        )
        return Reply(200, desk.unauthorized(message), "application/json; charset=utf-8")
    if proof is None:
        raise NotFound("This address takes POST requests.")
    with transaction.atomic():
        outcome = desk.answer(receiver, message)
        store(
            scheme=scheme,
            receiver=receiver,
            reader=reading.Reader(message),
            proof=proof,
            call=call,
            event_type=outcome.event_type,
            external_id=outcome.external_id,
            response=outcome.response,
            done="" if outcome.changed else "Answered at once; nothing was changed by it.",
            secrets=keys.secrets,
        )
    return Reply(200, outcome.body, "application/json; charset=utf-8")


def _echoing(scheme: Scheme, message: Message, reply: Reply) -> Reply:
    name = scheme.accepted.echo_header
    value = message.headers.get(name.lower(), "") if name else ""
    # A header may not break out of its line.
    if value and value.isprintable() and value.isascii():
        return Reply(reply.status, reply.body, reply.content_type, {name: value[:1000]})
    return reply


def store(
    *,
    scheme: Scheme,
    receiver: InboundReceiver,
    reader: reading.Reader,
    proof: Proof,
    call: Call,
    event_type: str | None = None,
    external_id: str | None = None,
    response: Any = None,
    done: str = "",
    secrets: Collection[str] = (),
) -> InboundWebhook | None:
    """Write the row and ring for a worker; None if the same event is there already.

    `done` says why nothing is left to do for it; `secrets` are masked wherever they stand.
    """
    message = reader.message
    external = reading.event_id(scheme, reader) if external_id is None else external_id
    now = datetime.fromtimestamp(message.received_at, UTC)
    row = InboundWebhook(
        id=ids.uuid7(),
        organization_id=receiver.organization_id,
        receiver=receiver,
        source=scheme.name,
        event_type=(reading.event_type(scheme, reader) if event_type is None else event_type)[:200],
        external_id=external[:200],
        method=message.method,
        query=redact_text(message.query)[:2000],
        headers=kept_headers(message.headers, secrets),
        content_type=message.headers.get("content-type", "")[:120].replace("\x00", ""),
        body=message.body,
        size=len(message.body),
        remote_ip=call.remote_ip,
        signature=without(secrets, proof.signature)[:1000],
        signature_verified=True,
        response=response,
        status="completed" if done else "pending",
        processed_at=now if done else None,
        error_message="",
        metadata={"note": done} if done else {},
        counted=bool(done),
        received_at=now,
        max_retries=receiver.max_retries,
        next_attempt_at=None if done else now,
    )
    row.dedupe_key = (
        reading.dedupe_key(external, message, proof)
        if scheme.deduplicate
        else hashlib.sha256(row.pk.bytes).hexdigest()
    )
    if not _insert(row):
        InboundWebhook.objects.filter(receiver=receiver, dedupe_key=row.dedupe_key).update(
            duplicates=F("duplicates") + 1
        )
        counting.count(receiver, "duplicates", at=now)
        return None
    if done:
        counting.count(receiver, "received", at=now)
    else:
        _bell.ring()
    return row


def _insert(row: InboundWebhook) -> bool:
    """One INSERT that does nothing where the unique constraint says that the event is there already."""
    fields = row._meta.local_concrete_fields
    names = ", ".join(f'"{field.column}"' for field in fields)
    values = [
        field.get_db_prep_save(field.pre_save(row, add=True), connection=connection) for field in fields
    ]
    places = ", ".join(["%s"] * len(fields))
    sql = f"""
        INSERT INTO "{row._meta.db_table}" ({names}) VALUES ({places}) ON CONFLICT DO NOTHING
    """  # noqa: S608 (names from the model)
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return bool(cursor.rowcount)


def without(secrets: Collection[str], text: str) -> str:
    """The text with these secrets masked: a provider set up wrongly sends its secret as a signature."""
    for secret in secrets:
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, MASK)
    return text


def kept_headers(headers: Mapping[str, str], secrets: Collection[str] = ()) -> dict[str, str]:
    """Headers as they are stored: secrets masked, at most KEPT_HEADERS, nothing that a database refuses."""
    kept = {}
    for name, value in list(headers.items())[:KEPT_HEADERS]:
        text = (
            without(secrets, str(value))[:2000].replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
        )
        signature = any(part in name for part in _SHOWN)
        secret = name in ("cookie", "authorization", "proxy-authorization") or is_secret_name(name)
        kept[name[:100]] = MASK if secret and not signature else text if signature else redact_text(text)
    return kept


class _Bell:
    """Rings at most every BELL_EVERY seconds for each process: one look finds all that is due."""

    def __init__(self) -> None:
        self._last = 0.0
        self._lock = threading.Lock()

    def ring(self) -> None:
        with self._lock:
            if time.monotonic() - self._last < BELL_EVERY:
                return
            self._last = time.monotonic()
        enqueue(TASK, queue="webhooks")


_bell = _Bell()

__all__ = ["Call", "Reply", "kept_headers", "receive", "store"]
