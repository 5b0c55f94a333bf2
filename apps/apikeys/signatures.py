"""The check of a call's signature, for keys that ask for one."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Any

from rest_framework.request import Request

from apps.apikeys import signing
from apps.apikeys.errors import SignatureRefused
from apps.apikeys.models import APIKey
from apps.apikeys.services import nonces
from apps.kernel.api import bodies


def check_signature(key: APIKey, request: Request, view: Any) -> None:
    """Raises SignatureRefused unless the call carries a right signature that was not used before.

    The body is read for it, up to what the view accepts, and stays readable.
    """
    inner: Any = request._request
    # Asked again within one call, as something about the key may have changed: by then the nonce is used.
    if inner.__dict__.get("hub_signed_with") == (key.pk, key.signing_secret):
        return
    meta = request.META
    header = meta.get("HTTP_HUB_SIGNATURE", "")
    if not header:
        raise SignatureRefused(
            f"Calls with this key must be signed: send the header {signing.HEADER}.",
            code="signature_required",
        )
    signature = signing.parse(header)
    signing.check_moment(signature, now=time.time())
    digest = hashlib.sha256()
    for chunk in bodies.chunks(request, limit=bodies.limit_of(view)):
        digest.update(chunk)
    wanted = signing.digest(
        key.signing_secret or "",
        moment=signature.moment,
        nonce=signature.nonce,
        method=request.method or "",
        path=_path(meta),
        query=meta.get("QUERY_STRING", ""),
        body=digest.hexdigest(),
    )
    if not key.signing_secret or not hmac.compare_digest(wanted, signature.digest):
        raise SignatureRefused(
            "The signature does not match the call. Sign method, path, query string and body exactly as they "
            "are sent, with this key's signing secret."
        )
    # Only now: a stranger's guess must not use up a nonce.
    if not nonces.is_new(key.group.hex, signature.nonce):
        raise SignatureRefused(
            "This signature was used before. Sign each call with a new nonce.", code="signature_replayed"
        )
    inner.hub_signed_with = (key.pk, key.signing_secret)


def _path(meta: Any) -> str:
    """The path as it was sent, percent-decoded. WSGI hands its bytes over as Latin-1."""
    text: str = meta.get("SCRIPT_NAME", "") + meta.get("PATH_INFO", "")
    try:
        return text.encode("latin-1").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text
