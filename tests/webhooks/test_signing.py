"""Standard Webhooks 1.0.0: the published vectors, the reference library as oracle, and every kind of
nonsense.
"""

from __future__ import annotations

import base64
import random
import time
from datetime import UTC, datetime

import pytest
import standardwebhooks

from apps.webhooks import signing
from apps.webhooks.errors import SecretInvalid, SignatureInvalid

VECTORS = [
    (
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
    (
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        1649367553,
        b'{"email":"test@example.com","username":"test_user"}',
        "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    ),
    (
        "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
    ),
]


@pytest.mark.parametrize(("secret", "message_id", "timestamp", "body", "signature"), VECTORS)
def test_the_published_vectors(secret, message_id, timestamp, body, signature):
    headers = signing.headers_for(message_id=message_id, timestamp=timestamp, body=body, secrets=[secret])

    assert headers["webhook-signature"] == signature
    signing.verify(headers=headers, body=body, secrets=[secret], now=timestamp)


def test_the_reference_library_accepts_ours_and_ours_accepts_its():
    secret = signing.generate_secret()
    now = int(time.time())
    body = '{"name":"Zoë"}'.encode()
    reference = standardwebhooks.Webhook(secret)

    ours = signing.headers_for(message_id="evt_1", timestamp=now, body=body, secrets=[secret])
    assert reference.verify(body, ours) == {"name": "Zoë"}

    theirs = reference.sign("evt_1", datetime.fromtimestamp(now, UTC), body.decode())
    signing.verify(headers=ours | {"webhook-signature": theirs}, body=body, secrets=[secret])


def test_a_public_key_verifies_what_its_private_key_signed():
    private, public = signing.generate_key_pair()
    headers = signing.headers_for(message_id="m", timestamp=1000, body=b"{}", secrets=[private])

    signing.verify(headers=headers, body=b"{}", secrets=[public], now=1000)
    assert signing.public_key_of(private) == public
    with pytest.raises(SignatureInvalid):
        signing.verify(headers=headers, body=b"{} ", secrets=[public], now=1000)


def test_during_a_rotation_either_secret_verifies():
    old, new = signing.generate_secret(), signing.generate_secret()
    headers = signing.headers_for(message_id="m", timestamp=1000, body=b"{}", secrets=[new, old])

    assert headers["webhook-signature"].count("v1,") == 2
    signing.verify(headers=headers, body=b"{}", secrets=[old], now=1000)
    signing.verify(headers=headers, body=b"{}", secrets=[new], now=1000)
    with pytest.raises(SignatureInvalid):
        signing.verify(headers=headers, body=b"{}", secrets=[signing.generate_secret()], now=1000)


SECRET = VECTORS[0][0]
GOOD = signing.headers_for(message_id="msg_1", timestamp=1000, body=b"{}", secrets=[SECRET])


def refused(headers, body=b"{}", now=1000.0):
    with pytest.raises(SignatureInvalid):
        signing.verify(headers=headers, body=body, secrets=[SECRET], now=now)


def test_header_names_in_any_case_and_the_older_svix_names():
    signing.verify(
        headers={name.upper(): value for name, value in GOOD.items()}, body=b"{}", secrets=[SECRET], now=1000
    )
    signing.verify(
        headers={name.replace("webhook", "svix"): value for name, value in GOOD.items()},
        body=b"{}",
        secrets=[SECRET],
        now=1000,
    )


@pytest.mark.parametrize("moment", [1000 - 300, 1000 + 300])
def test_within_five_minutes_it_is_fresh(moment):
    signing.verify(headers=GOOD, body=b"{}", secrets=[SECRET], now=moment)


@pytest.mark.parametrize("moment", [1000 - 301, 1000 + 301, 0, 10**12])
def test_late_and_early_messages_are_refused(moment):
    refused(GOOD, now=moment)


@pytest.mark.parametrize(
    "timestamp",
    ["1000.7", " 1000", "1000 ", "+1000", "1_000", "١٠٠٠", "0x3e8", "", "nan", "9" * 400, "-1000"],
)
def test_a_timestamp_is_whole_seconds_and_nothing_else(timestamp):
    refused(GOOD | {"webhook-timestamp": timestamp})


@pytest.mark.parametrize(
    "signature",
    [
        "", "v1", "v1,", ",", "v1,!!!", "v2," + GOOD["webhook-signature"][3:], GOOD["webhook-signature"][3:],
        GOOD["webhook-signature"][:-4], GOOD["webhook-signature"].replace("v1,", "v1a,"), "v1,\ud800",
        "v1,ü==",
        "v1," + base64.b64encode(b"x" * 32).decode(), " ".join(["v1,AAAA"] * 500),
    ],
)  # fmt: skip
def test_wrong_signatures_are_refused(signature):
    refused(GOOD | {"webhook-signature": signature})


def test_a_signature_is_for_its_id_its_time_and_its_body():
    refused(GOOD | {"webhook-id": "msg_2"})
    refused(GOOD | {"webhook-timestamp": "1001"})
    refused(GOOD, body=b"{ }")
    refused({name: value for name, value in GOOD.items() if name != "webhook-id"})


def test_the_parts_cannot_be_shifted_into_one_another():
    """`a.1000.{}` must not be read as the message `a.1000` with another time and body."""
    signed = signing.headers_for(message_id="a", timestamp=1000, body=b"1000.{}", secrets=[SECRET])

    refused(signed | {"webhook-id": "a.1000"}, body=b"{}")


def test_conflicting_headers_are_refused():
    refused(GOOD | {"Webhook-Id": "msg_2"})


def test_ten_thousand_absurd_headers_give_nothing_but_our_error():
    rng = random.Random(7)
    pieces = [
        "v1",
        "v1a",
        ",",
        " ",
        ".",
        "=",
        "AAAA",
        "\x00",
        "\ud800",
        "é",
        "9" * 40,
        "-",
        "e9",
        GOOD["webhook-id"],
    ]
    names = list(GOOD)

    def absurd():
        kind = rng.randrange(8)
        if kind == 0:
            return None
        if kind == 1:
            return rng.choice([5, 1.5, b"v1,AAAA", [], {}, object(), float("nan")])
        if kind == 2:
            return GOOD[rng.choice(names)][: rng.randrange(20)]
        return "".join(rng.choice(pieces) for _ in range(rng.randrange(30)))

    for _ in range(10_000):
        headers = dict(GOOD)
        name = rng.choice(names)
        headers[name] = absurd()
        if headers[name] == GOOD[name]:
            continue
        if rng.random() < 0.2:
            headers[rng.choice([1, None, "", "webhook-id\n"])] = "x"
        refused(headers)


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "secret", "whsec_" + base64.b64encode(b"x" * 23).decode(), "whsec_%%%", "whsec_ü",
     "whsec_" + base64.b64encode(b"x" * 65).decode(), "whsk_AAAA", "whpk_AAAA"],
)  # fmt: skip
def test_bad_secrets_are_refused_without_being_repeated(secret):
    with pytest.raises(SecretInvalid) as refusal:
        signing.check_secret(secret)
    assert not secret or len(secret) < 8 or secret not in str(refusal.value)


def test_the_older_header():
    header = signing.legacy_signature(timestamp=1000, body=b"{}", secrets=[SECRET])

    signing.verify_legacy(header=header, body=b"{}", secrets=[SECRET], now=1000)
    for wrong in (
        header.replace("t=1000", "t=1001"),
        header[:-1],
        "",
        None,
        "t=1000",
        "v1=aa",
        "t=1,t=1,v1=\ud800",
    ):
        with pytest.raises(SignatureInvalid):
            signing.verify_legacy(header=wrong, body=b"{}", secrets=[SECRET], now=1000)
    with pytest.raises(SignatureInvalid):
        signing.verify_legacy(header=header, body=b"{}", secrets=[SECRET], now=2000)
