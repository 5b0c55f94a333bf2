"""Signatures by scheme: vectors of the makers' own libraries and documents, and everything that must not
pass.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
from pathlib import Path
from typing import Any

import pytest

from apps.webhooks.errors import SignatureInvalid
from apps.webhooks.inbound import handshakes, reading, schemes
from apps.webhooks.inbound.messages import Keys, Message
from tests.webhooks.inbound import providers
from tests.webhooks.inbound.providers import SECRET, SIGNERS, TIMED, URL, as_json, secret_of

NOW = 1_700_000_000
VECTORS = json.loads(Path(__file__).with_name("vectors.json").read_text())
BODY = as_json({"id": "evt_1", "type": "order.paid", "amount": 12.5, "note": "Zoë"})


def message(
    body: bytes, headers: dict[str, str], *, now: float = NOW, query: str = "", method: str = "POST"
) -> Message:
    return Message(
        method=method,
        urls=(f"{URL}?{query}" if query else URL,),
        headers={name.lower(): value for name, value in headers.items()},
        body=body,
        received_at=now,
        query=query,
    )


def check(scheme: str, msg: Message, *secrets: str, **options: Any) -> Any:
    resolved = schemes.resolved(scheme, options)
    assert resolved is not None
    return schemes.verify(resolved, msg, Keys(secrets or (secret_of(scheme),), options))


def refused(scheme: str, msg: Message, *secrets: str, **options: Any) -> str:
    with pytest.raises(SignatureInvalid) as caught:
        check(scheme, msg, *secrets, **options)
    return caught.value.detail


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['scheme']}-{v['by']}")
def test_what_the_makers_libraries_sign_is_believed_and_read(vector: dict[str, Any]) -> None:
    msg = message(
        vector["body"].encode(), vector["headers"], now=vector["now"], query=vector.get("query", "")
    )
    check(vector["scheme"], msg, vector["secret"])
    scheme, reader = schemes.schemes[vector["scheme"]], reading.Reader(msg)
    assert reading.event_id(scheme, reader) == vector["event_id"]
    assert reading.event_type(scheme, reader) == vector["event_type"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['scheme']}-{v['by']}")
def test_a_changed_body_address_or_secret_is_refused(vector: dict[str, Any]) -> None:
    body, headers, now = vector["body"].encode(), vector["headers"], vector["now"]
    query, name = vector.get("query", ""), vector["scheme"]
    for changed in (body[:-1], body + b" ", body.replace(b"e", b"E", 1), b"", body[1:]):
        refused(name, message(changed, headers, now=now, query=query), vector["secret"])
    refused(
        name,
        message(body, headers, now=now, query=query),
        *([] if name == "sendgrid" else ["other"]) or ["x"],
    )
    with pytest.raises(SignatureInvalid):
        schemes.verify(schemes.schemes[name], message(body, headers, now=now, query=query), Keys(()))
    if name in ("twilio", "square", "hubspot"):
        refused(name, message(body, headers, now=now, query="a=b"), vector["secret"])


@pytest.mark.parametrize("name", sorted(SIGNERS))
def test_each_scheme_believes_its_provider_with_any_live_secret(name: str) -> None:
    headers = SIGNERS[name](BODY, NOW)
    check(name, message(BODY, headers))
    other = "whsec_" + base64.b64encode(b"o" * 32).decode() if name == "standard" else "other"
    check(name, message(BODY, headers), other, secret_of(name))
    refused(name, message(BODY, headers), other)


@pytest.mark.parametrize("name", sorted(TIMED))
def test_late_early_and_replayed_messages_are_refused(name: str) -> None:
    headers = TIMED[name](BODY, NOW)
    for moment in (NOW - 299, NOW, NOW + 299):
        check(name, message(BODY, headers, now=moment))
    for moment in (NOW - 302, NOW + 302, NOW + 86_400, 0.0):
        refused(name, message(BODY, headers, now=moment))


def test_a_header_may_hold_several_signatures_in_any_order() -> None:
    good = providers.stripe(BODY, NOW)["Stripe-Signature"]
    stamp, right = good.split(",")
    wrong = "v1=" + "0" * 64
    for value in (good, f"{right},{stamp}", f"{stamp},{wrong},{right}", f"{stamp},{right},{wrong},v0=zz"):
        check("stripe", message(BODY, {"Stripe-Signature": value}))
    for value in (
        right,
        stamp,
        f"{stamp},{wrong}",
        f"{stamp},{stamp},{right}",
        f"t={NOW}.0,{right}",
        f"t= {NOW},{right}",
        f"t=+{NOW},{right}",
        f"t=٣,{right}",
        f"{stamp},v1=",
        f"{stamp};{right}",
        good[:-1],
        good[:-2],
        f"{stamp},v0={right[3:]}",
        good * 200,
    ):
        refused("stripe", message(BODY, {"Stripe-Signature": value}))


def test_docusign_takes_any_of_its_numbered_headers() -> None:
    right = providers.docusign(BODY, NOW)["X-DocuSign-Signature-2"]
    for number in (1, 2, 7, 20):
        check("docusign", message(BODY, {f"X-DocuSign-Signature-{number}": right}))
    refused("docusign", message(BODY, {"X-DocuSign-Signature": right}))
    refused("docusign", message(BODY, {"X-DocuSign-Signature-21": right}))


def test_twilio_bodies_that_are_no_form_are_protected_by_their_hash() -> None:
    good = hashlib.sha256(BODY).hexdigest()
    url = f"{URL}?bodySHA256={good}"
    headers = {**providers.twilio(BODY, NOW, url=url), "Content-Type": "application/json"}
    check("twilio", message(BODY, headers, query=f"bodySHA256={good}"))
    refused("twilio", message(BODY + b" ", headers, query=f"bodySHA256={good}"))
    bare = {**providers.twilio(BODY, NOW), "Content-Type": "application/json"}
    refused("twilio", message(BODY, bare))
    # A form in disguise: signed as no form, sent as one.
    refused("twilio", message(b"a=b", {**headers, "Content-Type": "application/x-www-form-urlencoded"}))


def test_hubspot_signs_parts_of_the_query_decoded() -> None:
    signed = f"{URL}?q=a:b/c"
    headers = providers.hubspot(BODY, NOW, url=signed)
    check("hubspot", message(BODY, headers, query="q=a%3Ab%2Fc"))
    refused("hubspot", message(BODY, headers, query="q=a%3Ab%2Fd"))


def test_adobe_believes_listed_clients_only() -> None:
    msg = message(BODY, {"X-AdobeSign-ClientId": "CBJCH"})
    check("adobe_sign", msg, client_ids=["other", "CBJCH"])
    refused("adobe_sign", msg, client_ids=["other"])
    refused("adobe_sign", message(BODY, {}), client_ids=["CBJCH"])


def test_payme_believes_its_key_alone() -> None:
    check("payme", message(BODY, providers.payme(BODY, NOW)))
    for value in (
        "Basic " + base64.b64encode(b"Paycom:").decode(),
        "Basic " + base64.b64encode(b"paycom:" + SECRET.encode()).decode(),
        "Bearer " + base64.b64encode(b"Paycom:" + SECRET.encode()).decode(),
        "Basic Paycom:" + SECRET,
        "Basic",
        "Basic ===",
        "",
    ):
        refused("payme", message(BODY, {"Authorization": value}))


def _form(fields: dict[str, str]) -> bytes:
    from urllib.parse import urlencode

    return urlencode(fields).encode()


def test_click_hashes_fields_as_they_came() -> None:
    form = providers.click_form()
    check("click", message(_form(form), {}))
    for name in ("click_trans_id", "service_id", "merchant_trans_id", "amount", "action", "sign_time"):
        refused("click", message(_form({**form, name: form[name] + "0"}), {}))
    # 1000.00 and 1000 are one number and two texts.
    refused("click", message(_form({**form, "amount": "1000"}), {}))
    complete = providers.click_form(action=1, merchant_prepare_id=5)
    check("click", message(_form(complete), {}))
    refused("click", message(_form({**complete, "merchant_prepare_id": "6"}), {}))
    refused("click", message(_form(form) + b"&amount=1000.00", {}))


def test_the_generic_scheme_is_what_the_administrator_states() -> None:
    key = SECRET.encode()
    verify = {
        "header": "X-Sig",
        "algorithm": "sha512",
        "encoding": "base64",
        "prefix": "v9:",
        "signed": "{method}|{url}|{id}|{timestamp}|{body}",
        "timestamp_header": "X-Time",
        "timestamp_unit": "ms",
        "id_header": "X-Id",
        "tolerance": 60,
    }
    stamp = NOW * 1000
    signed = f"POST|{URL}|m-1|{stamp}|".encode() + BODY
    digest = base64.b64encode(hmac.new(key, signed, "sha512").digest()).decode()
    headers = {"X-Sig": f"v9:{digest}", "X-Time": str(stamp), "X-Id": "m-1"}
    proof = check("generic", message(BODY, headers), SECRET, verify=verify)
    assert (proof.message_id, proof.timestamp) == ("m-1", str(stamp))
    refused("generic", message(BODY, headers, now=NOW + 61), SECRET, verify=verify)
    refused("generic", message(BODY, {**headers, "X-Id": "m-2"}), SECRET, verify=verify)
    refused("generic", message(BODY, {**headers, "X-Id": "m 1"}), SECRET, verify=verify)
    refused("generic", message(BODY, {**headers, "X-Sig": digest}), SECRET, verify=verify)
    sha1 = {"header": "X-Sig", "algorithm": "sha1", "prefix": "sha1="}
    value = "sha1=" + hmac.new(key, BODY, "sha1").hexdigest()
    check("generic", message(BODY, {"X-Sig": value}), SECRET, verify=sha1)
    check("generic", message(BODY, {"X-Sig": value.upper().replace("SHA1", "sha1")}), SECRET, verify=sha1)
    for kind, secret in (("base64", base64.b64encode(key).decode()), ("hex", key.hex())):
        check("generic", message(BODY, {"X-Sig": value}), secret, verify={**sha1, "key": kind})
        assert SECRET not in refused(
            "generic", message(BODY, {"X-Sig": value}), "§", verify={**sha1, "key": kind}
        )


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"verify": {"signed": "{body}"}}, "/verify/header"),
        ({"verify": {"header": "X Y"}}, "/verify/header"),
        ({"verify": {"header": "X", "algorithm": "md5"}}, "/verify/algorithm"),
        ({"verify": {"header": "X", "signed": "{timestamp}"}}, "/verify/signed"),
        ({"verify": {"header": "X", "signed": "{timestamp}.{body}"}}, "/verify/timestamp_header"),
        ({"verify": {"header": "X", "timestamp_header": "T"}}, "/verify/signed"),
        ({"verify": {"header": "X", "signed": "{nonsense}{body}"}}, "/verify/signed"),
        ({"verify": {"header": "X", "tolerance": 0}}, "/verify/tolerance"),
        ({"verify": {"header": "X", "tolerance": True}}, "/verify/tolerance"),
        ({"verify": {"header": "X", "eval": "x"}}, "/verify/eval"),
        ({"verify": []}, "/verify"),
        ({"event_id": [{"path": "a["}]}, "/event_id/0/path"),
        ({"event_id": [{"path": "a", "header": "b"}]}, "/event_id/0"),
        ({"event_type": "x"}, "/event_type"),
        ({"max_bytes": 10**9}, "/max_bytes"),
        ({"client_ids": ["x"]}, "/client_ids"),
        ({"public_url": "javascript:alert(1)"}, "/public_url"),
    ],
)
def test_wrong_statements_about_the_generic_scheme_are_named(options: dict[str, Any], pointer: str) -> None:
    found = schemes.option_problems(schemes.schemes["generic"], options)
    assert pointer in [at for at, _ in found], found


def test_without_a_stated_timestamp_a_signature_is_over_the_body() -> None:
    assert schemes.option_problems(schemes.schemes["generic"], {"verify": {"header": "X-Sig"}}) == []
    assert schemes.option_problems(schemes.schemes["stripe"], {"verify": {"header": "X"}}) != []


def test_handshakes() -> None:
    def asked(name: str, msg: Message, *, signed: bool = True, **options: Any) -> Any:
        scheme = schemes.schemes[name]
        return handshakes.reply_to(scheme, reading.Reader(msg), Keys((SECRET,), options), signed=signed)

    slack = asked("slack", message(as_json({"type": "url_verification", "challenge": "3eZbr<b>"}), {}))
    assert json.loads(slack.body) == {"challenge": "3eZbr<b>"}
    assert asked("slack", message(as_json({"type": "event_callback", "event_id": "Ev1"}), {})) is None
    intent = as_json({"events": [], "firstEventSequence": 0, "lastEventSequence": 0, "entropy": "S0"})
    assert asked("xero", message(intent, {})).body == b""
    assert asked("xero", message(as_json({"events": [{"resourceId": "r"}]}), {})) is None
    assert asked("xero", message(b"[]", {})) is None
    adobe = asked("adobe_sign", message(b"", {"X-AdobeSign-ClientId": "CB"}, method="GET"))
    assert json.loads(adobe.body) == {"xAdobeSignClientId": "CB"}
    query = "hub.mode=subscribe&hub.challenge=77&hub.verify_token=tok"
    get = message(b"", {}, query=query, method="GET")
    assert asked("meta", get, signed=False, verify_token="tok").body == b"77"
    assert asked("meta", get, signed=False, verify_token="other") is None
    assert asked("meta", get, signed=False) is None


def test_quickbooks_speaks_two_shapes() -> None:
    scheme = schemes.schemes["quickbooks"]
    entity = {"name": "Customer", "id": "1", "operation": "Create", "lastUpdated": "2015-10-05T14:42:19-0700"}
    older = {"eventNotifications": [{"realmId": "1185883450", "dataChangeEvent": {"entities": [entity]}}]}
    newer = [
        {
            "specversion": "1.0",
            "id": "88cd52aa-33b6-4351-9aa4-47572edbd068",
            "source": "intuit.dsnBgbseACLLRZNxo2dfc4evmEJdxde58xeeYcZliOU=",
            "type": "qbo.invoice.created.v1",
            "time": "2025-09-10T21:31:25.179550Z",
            "intuitentityid": "1234",
            "intuitaccountid": "310687",
            "data": {},
        }
    ]
    for shape, event_id, event_type in (
        (older, "", "Customer.Create"),
        (newer, "88cd52aa-33b6-4351-9aa4-47572edbd068", "qbo.invoice.created.v1"),
    ):
        body = as_json(shape)
        msg = message(body, providers.quickbooks(body, NOW))
        check("quickbooks", msg)
        reader = reading.Reader(msg)
        assert reading.event_id(scheme, reader) == event_id
        assert reading.event_type(scheme, reader) == event_type


def test_ten_thousand_fuzzed_headers_give_only_our_error() -> None:
    rng = random.Random(7)
    pieces = [
        "", " ", ",", ";", "=", "t=", "v1=", "v1,", "v1a,", "sha256=", "v0=", "\x00", "\n", "\r\nX: y", "é",
        "٣", "𝟙",
        "\ud800", "%00", "9" * 400, "-1", "1e9", "NaN", "0x1", "==", "A" * 9000, "Basic ", "'", '"', "{body}",
        "whsec_",
        "https://api.paypal.com/v1/notifications/certs/../x", "https://evil.example/", "SHA256withRSA",
        "2026-01-01T00:00:00Z",
        str(NOW), str(NOW * 1000), "QUJD", "00ff", "[", "\\u0000",
    ]  # fmt: skip
    names = sorted({*SIGNERS, "twilio", "sendgrid", "adobe_sign", "paypal", "click", "payme"})
    wanted = {
        "twilio": ["x-twilio-signature", "content-type"],
        "sendgrid": ["x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp"],
        "adobe_sign": ["x-adobesign-clientid"],
        "paypal": [
            "paypal-auth-algo", "paypal-transmission-id", "paypal-transmission-time",
            "paypal-transmission-sig", "paypal-cert-url",
        ],
        "click": ["content-type"],
    }  # fmt: skip
    key = next(v["secret"] for v in VECTORS if v["scheme"] == "sendgrid")
    for round_ in range(10_000):
        name = names[round_ % len(names)]
        good = SIGNERS[name](BODY, NOW) if name in SIGNERS else dict.fromkeys(wanted[name], "x")
        headers = {
            header.lower(): _fuzzed(value, rng, pieces) if rng.random() < 0.9 else value
            for header, value in good.items()
            if rng.random() < 0.95
        }
        secret = key if name == "sendgrid" else secret_of(name)
        body = BODY if rng.random() < 0.5 else rng.choice(pieces).encode("utf-8", "replace")
        msg = Message(
            "POST", (URL,), headers, body, NOW, query=rng.choice(["", "bodySHA256=x", "%ff=%", "a&&&=;"])
        )
        try:
            schemes.verify(
                schemes.schemes[name],
                msg,
                Keys((secret,), {"webhook_id": "WH-1"} if name == "paypal" else {}),
            )
        except SignatureInvalid:
            continue
        # What passes must be what the provider would have signed.
        right = {k.lower(): v for k, v in SIGNERS[name](body, NOW).items()}
        assert body == BODY or name == "payme"
        assert any(headers.get(k, "").lower().find(v.lower()[-20:]) >= 0 for k, v in right.items()), (
            name,
            headers,
        )


def _fuzzed(value: str, rng: random.Random, pieces: list[str]) -> str:
    kind = rng.randrange(6)
    if kind == 0:
        return rng.choice(pieces)
    if kind == 1:
        return value[: rng.randrange(len(value) + 1)]
    if kind == 2:
        at = rng.randrange(len(value) + 1)
        return value[:at] + rng.choice(pieces) + value[at:]
    if kind == 3:
        letters = list(value)
        rng.shuffle(letters)
        return "".join(letters)
    if kind == 4:
        return value + rng.choice([",", " ", ";"]) + value
    return "".join(
        chr(rng.choice([rng.randrange(0x20), rng.randrange(0x20, 0x7F), rng.randrange(0x110000)]))
        for _ in range(rng.randrange(60))
    )


def test_every_file_of_the_catalog_is_a_scheme_with_a_hint() -> None:
    assert len(schemes.schemes) >= 18
    for scheme in schemes.schemes:
        assert scheme.hint, scheme.name
        assert scheme.docs.startswith("https://") or scheme.name == "generic"
    assert schemes.default_for("stripe") == "stripe"
    assert schemes.default_for("rest") == "generic"
    assert schemes.default_for("unheard-of") == ""


def test_payloads_that_cannot_be_read_are_no_payloads() -> None:
    for body in (b"", b"{", b"\xff\xfe", b"[" * 10_000, b'{"a": NaN}', b'"\\u0000"'):
        assert reading.payload_of(body, "application/json") is None
    assert reading.payload_of(b"a=1&b=%C3%A9", "application/x-www-form-urlencoded") == {"a": "1", "b": "é"}
    assert reading.search("a.b[", {"a": 1}) is None
    assert reading.search("join(',', a)", {"a": [1]}) is None
