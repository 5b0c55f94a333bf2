"""Signing and believing JSON Web Tokens with keys of the hub's own (RS256), which rotate with an overlap.

Only the algorithm and the keys named here count: what a token's header says about either is compared, never
followed. `typ` keeps access tokens and id tokens apart, which the same keys sign.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.db import IntegrityError, transaction
from django.utils import timezone
from jwcrypto import jwk, jws
from jwcrypto.common import JWException, base64url_decode

from apps.apikeys.models import SigningKey
from apps.audit.services import entries
from apps.tenants.principals import Actor

ALGORITHM = "RS256"
BITS = 2048
# What others may keep our key set for, and so how long a new key is shown before it signs.
PUBLISHED_AHEAD = timedelta(hours=1)
OVERLAP = timedelta(hours=24)
_RELOAD = 30.0
_LONGEST = 8192


@dataclass(frozen=True)
class _Key:
    kid: str
    signs_from: datetime
    believed_until: datetime | None
    public: dict[str, Any]
    row: SigningKey = field(repr=False)

    def secret(self) -> jwk.JWK:
        found = self.row.__dict__.get("_jwk")
        if found is None:
            found = self.row.__dict__["_jwk"] = jwk.JWK.from_pem(self.row.private_pem.encode())
        return found

    def open(self) -> jwk.JWK:
        found = self.row.__dict__.get("_public_jwk")
        if found is None:
            found = self.row.__dict__["_public_jwk"] = jwk.JWK(**self.public)
        return found


_lock = threading.Lock()
_loaded: tuple[float, list[_Key]] | None = None


def sign(claims: dict[str, Any], *, typ: str) -> str:
    """A compact JWS of the claims, signed by the key whose turn it is."""
    key = _signer()
    token = jws.JWS(json.dumps(claims, separators=(",", ":")).encode())
    header = {"alg": ALGORITHM, "kid": key.kid, "typ": typ}
    token.add_signature(key.secret(), alg=ALGORITHM, protected=json.dumps(header))
    return str(token.serialize(compact=True))


def read(text: str, *, typ: str) -> dict[str, Any] | None:
    """The claims of a token that one of our keys signed as this type, else None. Times are the caller's to
    check."""
    parts = text.split(".")
    if len(parts) != 3 or len(text) > _LONGEST:
        return None
    try:
        header = json.loads(base64url_decode(parts[0]))
    except (ValueError, TypeError, RecursionError):
        return None
    if not isinstance(header, dict) or header.get("alg") != ALGORITHM or header.get("typ") != typ:
        return None
    # Nothing that would bring a key along, or that we would have to understand.
    if not set(header) <= {"alg", "kid", "typ"}:
        return None
    key = _believed(header.get("kid"))
    if key is None:
        return None
    token = jws.JWS()
    token.allowed_algs = [ALGORITHM]
    try:
        token.deserialize(text, key.open(), alg=ALGORITHM)
        claims = json.loads(token.payload)
    except (JWException, ValueError, TypeError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None


def key_set() -> dict[str, Any]:
    """The public keys that are believed or will sign soon (RFC 7517)."""
    _signer()
    return {"keys": [key.public for key in _live(timezone.now())]}


def rotate(*, actor: Actor, ahead: timedelta = PUBLISHED_AHEAD, overlap: timedelta = OVERLAP) -> SigningKey:
    """Make a new key, which is published now and signs after `ahead`; the old ones are believed for `overlap`
    beyond that."""
    now = timezone.now()
    with transaction.atomic():
        key = _make(signs_from=now + ahead)
        SigningKey.objects.filter(believed_until=None).exclude(pk=key.pk).update(
            believed_until=now + ahead + overlap
        )
        entries.record(
            organization=None,
            actor=actor,
            action="signing_key.rotated",
            target=key,
            changes={"signs_from": ["", key.signs_from], "overlap": ["", str(overlap)]},
        )
    forget()
    return key


def drop(*, kid: str, actor: Actor) -> bool:
    """Believe a key no longer, from now on (its secret got out). Returns whether there was one."""
    now = timezone.now()
    with transaction.atomic():
        key = SigningKey.objects.select_for_update().filter(kid=kid).first()
        if key is None:
            return False
        SigningKey.objects.filter(pk=key.pk).update(believed_until=now)
        others = SigningKey.objects.exclude(pk=key.pk).exclude(believed_until__lte=now)
        if not others.filter(signs_from__lte=now).exists():
            waiting = others.order_by("signs_from").first()
            if waiting is not None:
                SigningKey.objects.filter(pk=waiting.pk).update(signs_from=now)
        entries.record(organization=None, actor=actor, action="signing_key.dropped", target=key)
    forget()
    return True


def forget_old() -> int:
    """Delete keys that nobody believes any more; returns how many."""
    return SigningKey.objects.filter(believed_until__lte=timezone.now() - timedelta(days=1)).delete()[0]


def forget() -> None:
    """Read the keys anew at the next need: now, and again when the running transaction commits."""
    forget_all()
    transaction.on_commit(forget_all)


def forget_all() -> None:
    """Read the keys anew at the next need."""
    global _loaded
    _loaded = None


def _make(*, signs_from: datetime) -> SigningKey:
    kid = "-"
    while kid.startswith("-"):  # one in 64: a command line would take it for an option
        secret = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
        pem = secret.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        key = jwk.JWK.from_pem(pem)
        kid = key.thumbprint()
    public = {**json.loads(key.export_public()), "kid": kid, "use": "sig", "alg": ALGORITHM}
    row = SigningKey(kid=kid, private_pem=pem.decode(), public_jwk=public, signs_from=signs_from)
    row.save(force_insert=True)
    return row


def _keys(*, fresh: bool = False) -> list[_Key]:
    global _loaded
    found = _loaded
    if found is not None and not fresh and time.monotonic() - found[0] < _RELOAD:
        return found[1]
    keys = [
        _Key(row.kid, row.signs_from, row.believed_until, row.public_jwk, row)
        for row in SigningKey.objects.order_by("signs_from")
    ]
    # What is already unsealed stays so.
    known = {key.kid: key for key in found[1]} if found is not None else {}
    for key in keys:
        if key.kid in known:
            for name in ("_jwk", "_public_jwk"):
                if name in known[key.kid].row.__dict__:
                    key.row.__dict__[name] = known[key.kid].row.__dict__[name]
    _loaded = (time.monotonic(), keys)
    return keys


def _live(now: datetime) -> list[_Key]:
    return [key for key in _keys() if key.believed_until is None or now < key.believed_until]


def _signer() -> _Key:
    """The latest key whose time to sign has come; the hub's first one is made here."""
    now = timezone.now()
    found = [key for key in _live(now) if key.signs_from <= now]
    if not found:
        with _lock:
            forget_all()
            found = [key for key in _live(now) if key.signs_from <= now]
            if not found:
                _make_first()
                found = [key for key in _live(timezone.now()) if key.signs_from <= timezone.now()]
    return found[-1]


def _make_first() -> None:
    """Several processes may be at it: each finds the others' keys, and all use the latest."""
    try:
        with transaction.atomic():
            _make(signs_from=timezone.now())
    except IntegrityError:
        pass
    forget()


_asked_anew = 0.0


def _believed(kid: Any) -> _Key | None:
    """The key of this id. An unknown one has the keys read anew, at most once a second."""
    global _asked_anew
    now = timezone.now()
    if not isinstance(kid, str):
        return None
    for fresh in (False, True):
        if fresh:
            if time.monotonic() - _asked_anew < 1.0:
                return None
            _asked_anew = time.monotonic()
        for key in _keys(fresh=fresh):
            if key.kid == kid:
                return key if key.believed_until is None or now < key.believed_until else None
    return None
