"""Opaque signed cursors: a position in a list, valid for one organization, path and order only."""

from __future__ import annotations

import base64
import binascii
import datetime
import decimal
import hashlib
import hmac
import uuid
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
from django.conf import settings

from apps.kernel.api.keyset import Position
from apps.kernel.errors import BadRequest, FieldError

_SIGNATURE = 16
_LONGEST = 1024


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position, and whether the page lies before it."""

    position: Position
    backwards: bool = False


def encode(cursor: Cursor, *, scope: str) -> str:
    """The cursor as text. `scope` names the organization, path and order that it is for."""
    value, pk = cursor.position
    body = orjson.dumps([int(cursor.backwards), *_dump(value), *_dump(pk)])
    return base64.urlsafe_b64encode(_sign(body, scope) + body).rstrip(b"=").decode()


def decode(text: str, *, scope: str) -> Cursor:
    """The cursor of a text. Raises BadRequest if it is not one of this scope."""
    try:
        if len(text) > _LONGEST:
            raise ValueError("too long")
        data = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        signature, body = data[:_SIGNATURE], data[_SIGNATURE:]
        if not hmac.compare_digest(signature, _sign(body, scope)):
            raise ValueError("wrong signature")
        backwards, value_type, value, pk_type, pk = orjson.loads(body)
    except (ValueError, binascii.Error):
        raise BadRequest(
            "The cursor is not valid here. Take `next` or `previous` from an answer of this list with the "
            "same ordering, or start again without a cursor.",
            errors=[FieldError("?cursor", "invalid_cursor", "Not a cursor of this list.")],
            code="invalid_cursor",
        ) from None
    return Cursor((_load(value_type, value), _load(pk_type, pk)), bool(backwards))


def _sign(body: bytes, scope: str) -> bytes:
    return hmac.digest(_key(settings.SECRET_KEY), scope.encode() + b"\0" + body, "sha256")[:_SIGNATURE]


@lru_cache(maxsize=2)
def _key(secret: str) -> bytes:
    return hashlib.sha256(b"apps.kernel.api.cursors" + secret.encode()).digest()


def _dump(value: Any) -> tuple[str, Any]:
    if isinstance(value, uuid.UUID):
        return "u", value.hex
    if isinstance(value, datetime.datetime):
        return "t", value.isoformat()
    if isinstance(value, datetime.date):
        return "d", value.isoformat()
    if isinstance(value, decimal.Decimal):
        return "n", str(value)
    return "v", value


def _load(kind: str, value: Any) -> Any:
    if kind == "u":
        return uuid.UUID(hex=value)
    if kind == "t":
        return datetime.datetime.fromisoformat(value)
    if kind == "d":
        return datetime.date.fromisoformat(value)
    if kind == "n":
        return decimal.Decimal(value)
    return value
