"""Providers, as far as a signature goes: each signs by its own documentation, with nothing of the hub's
code.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

SECRET = "the-secret-of-the-provider-0123456789"
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
URL = "https://hub.example.com/api/v1/webhooks/receive/shop"


def _mac(secret: str, data: bytes, name: str = "sha256") -> bytes:
    return hmac.new(secret.encode(), data, getattr(hashlib, name)).digest()


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def stripe(body: bytes, now: int, secret: str = SECRET, url: str = URL) -> dict[str, str]:
    return {"Stripe-Signature": f"t={now},v1={_mac(secret, b'%d.%b' % (now, body)).hex()}"}


def github(body: bytes, now: int, secret: str = SECRET, url: str = URL) -> dict[str, str]:
    digest = hashlib.sha256(body).hexdigest()[:32]
    return {
        "X-Hub-Signature-256": "sha256=" + _mac(secret, body).hex(),
        "X-GitHub-Delivery": digest,
        "X-GitHub-Event": "push",
    }


def shopify(body: bytes, now: int, secret: str = SECRET, url: str = URL) -> dict[str, str]:
    return {
        "X-Shopify-Hmac-SHA256": _b64(_mac(secret, body)),
        "X-Shopify-Topic": "orders/create",
        "X-Shopify-Event-Id": hashlib.sha256(body).hexdigest()[:32],
    }


def slack(body: bytes, now: int, secret: str = SECRET, url: str = URL) -> dict[str, str]:
    return {
        "X-Slack-Signature": "v0=" + _mac(secret, b"v0:%d:%b" % (now, body)).hex(),
        "X-Slack-Request-Timestamp": str(now),
    }


def xero(body: bytes, now: int, secret: str = SECRET, url: str = URL) -> dict[str, str]:
    return {"x-xero-signature": _b64(_mac(secret, body))}


def quickbooks(body: bytes, now: int, secret: str = SECRET, url: str = URL) -> dict[str, str]:
    return {"intuit-signature": _b64(_mac(secret, body))}


def docusign(body: bytes, now: int, secret: str = SECRET, url: str = URL) -> dict[str, str]:
    return {
        "X-DocuSign-Signature-1": _b64(_mac("another key of the account", body)),
        "X-DocuSign-Signature-2": _b64(_mac(secret, body)),
    }


def hubspot(body: bytes, now: int, secret: str = SECRET, url: str = URL) -> dict[str, str]:
    stamp = now * 1000
    return {
        "X-HubSpot-Signature-v3": _b64(_mac(secret, b"POST%b%b%d" % (url.encode(), body, stamp))),
        "X-HubSpot-Request-Timestamp": str(stamp),
    }


def square(body: bytes, now: int, secret: str = SECRET, url: str = URL) -> dict[str, str]:
    return {"x-square-hmacsha256-signature": _b64(_mac(secret, url.encode() + body))}


def meta(body: bytes, now: int, secret: str = SECRET, url: str = URL) -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + _mac(secret, body).hex()}


def generic(body: bytes, now: int, secret: str = SECRET, url: str = URL) -> dict[str, str]:
    return {"X-Signature": _mac(secret, body).hex()}


def twilio(body: bytes, now: int, secret: str = SECRET, url: str = URL) -> dict[str, str]:
    """A body that is no form: the address must hold its hash."""
    return {"X-Twilio-Signature": _b64(_mac(secret, url.encode(), "sha1"))}


def standard(body: bytes, now: int, secret: str = STANDARD_SECRET, url: str = URL) -> dict[str, str]:
    message_id = "msg_" + hashlib.sha256(body).hexdigest()[:20]
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b"%b.%d.%b" % (message_id.encode(), now, body)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(now),
        "webhook-signature": "v1," + _b64(hmac.new(key, signed, hashlib.sha256).digest()),
    }


def payme(body: bytes, now: int, secret: str = SECRET, url: str = URL) -> dict[str, str]:
    return {"Authorization": "Basic " + _b64(b"Paycom:" + secret.encode())}


def click_form(secret: str = SECRET, **fields: Any) -> dict[str, str]:
    """A form of Click with its sign_string."""
    form = {
        "click_trans_id": "1001",
        "service_id": "7",
        "click_paydoc_id": "55",
        "merchant_trans_id": "A-1",
        "amount": "1000.00",
        "action": "0",
        "error": "0",
        "error_note": "Success",
        "sign_time": "2026-01-31 10:00:00",
        **{name: str(value) for name, value in fields.items()},
    }
    signed = form["click_trans_id"] + form["service_id"] + secret + form["merchant_trans_id"]
    if form["action"] == "1":
        signed += form.get("merchant_prepare_id", "")
    signed += form["amount"] + form["action"] + form["sign_time"]
    form.setdefault("sign_string", hashlib.md5(signed.encode()).hexdigest())
    return form


Signer = Callable[..., dict[str, str]]
TIMED: dict[str, Signer] = {"stripe": stripe, "slack": slack, "hubspot": hubspot, "standard": standard}
UNTIMED: dict[str, Signer] = {
    "github": github,
    "shopify": shopify,
    "xero": xero,
    "quickbooks": quickbooks,
    "docusign": docusign,
    "square": square,
    "meta": meta,
    "generic": generic,
    "payme": payme,
}
SIGNERS = {**TIMED, **UNTIMED}


def secret_of(scheme: str) -> str:
    return STANDARD_SECRET if scheme == "standard" else SECRET


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def meta_names(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers as Django's test client takes them."""
    return {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
