from __future__ import annotations

import time
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.kernel.redaction import is_secret_name, redact_text, redact_url

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
PEM = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\nAgEGCCqG\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        # our own formats
        (f"key sk_live_0123456789{'a' * 49} used", "key sk_live_*** used"),
        (f"sk_test_{'A1' * 25}", "sk_test_***"),
        (f"pk_{'A1' * 25}.", "pk_***."),
        (f"rk_live_{'A1_' * 12}", "rk_live_***"),
        ("secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "secret whsec_***"),
        (
            "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
            "whsk_***",
        ),
        # those of others
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "ghp_***"),
        ("xoxb-1234567890-abcdefghij", "xoxb-***"),
        ("SG.abcdefghijklmnopqrst.abcdefghijklmnopqrstuvwxyz", "SG.***"),
        (f"token {JWT}!", "token ***!"),
        (f"before {PEM} after", "before *** after"),
        (PEM[:60], "***"),
        (PEM.replace("PRIVATE", "RSA PRIVATE"), "***"),
        # credentials of HTTP
        ("Authorization: Bearer abc", "Authorization: ***"),
        ("sent Bearer abcdef-123 to it", "sent Bearer *** to it"),
        ("sent bearer ABCDEF to it", "sent bearer *** to it"),
        ("Basic dXNlcjpwYXNzd29yZA==", "Basic ***"),
        (
            "Proxy-Authorization: Digest username=x, response=y\r\nNext: z",
            "Proxy-Authorization: ***\r\nNext: z",
        ),
        ("Cookie: a=b; c=d\nAccept: x", "Cookie: ***\nAccept: x"),
        ("x-api-key: abc def", "x-api-key: ***"),
        ("X-Hub-Signature: sha1=abc", "X-Hub-Signature: ***"),
        # URLs
        (
            "GET https://h/x?api_key=abc&page=2&token=zz HTTP/1.1",
            "GET https://h/x?api_key=***&page=2&token=*** HTTP/1.1",
        ),
        ("https://h/cb?code=abc&state=def&x=1", "https://h/cb?code=***&state=***&x=1"),
        ("https://h/#access_token=abc&expires_in=5", "https://h/#access_token=***&expires_in=5"),
        ("https://h/?X-Amz-Signature=abc&X-Amz-Date=1", "https://h/?X-Amz-Signature=***&X-Amz-Date=1"),
        ("postgres://hub:s3cr3t@db:5432/hub", "postgres://***@db:5432/hub"),
        ("redis://:s3cr3t@127.0.0.1:6379/0", "redis://***@127.0.0.1:6379/0"),
        ("https://token@github.com/a/b.git", "https://***@github.com/a/b.git"),
        ("amqp://u:p@ss@h//", "amqp://***@h//"),
        # names and values
        ("password=hunter2 user=ann", "password=*** user=ann"),
        ("{'password': 'x y', 'a': 1}", "{'password': '***', 'a': 1}"),
        ('{"client_secret": "a\\"b", "n": 1}', '{"client_secret": "***", "n": 1}'),
        (r'"{\"apiKey\": \"abc\", \"n\": 1}"', r'"{\"apiKey\": \"***\", \"n\": 1}"'),
        ("[('X-Api-Key', 'abc'), ('Accept', '*/*')]", "[('X-Api-Key', '***'), ('Accept', '*/*')]"),
        ("{b'authorization': b'abc'}", "{b'authorization': b'***'}"),
        ("Credentials(api_token='abc', name='x')", "Credentials(api_token='***', name='x')"),
        ("connect(host='h', password='p', dbname='d')", "connect(host='h', password='***', dbname='d')"),
        ("refresh_token=abc&grant_type=refresh_token", "refresh_token=***&grant_type=refresh_token"),
    ],
)
def test_secrets_in_texts_are_masked(text: str, clean: str):
    assert redact_text(text) == clean
    assert redact_text(clean) == clean


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Delivery del_01hv7x8q9abcdefghjkmnpqr of https://hooks.example.com/in?page=2 answered 500 in 132 ms",
        "token_type=bearer expires_in=900",
        "Invalid bearer token",
        "Basic authentication is off; use Bearer authentication",
        "The token expired: sign in again",
        "risk_assessment_for_everyone task_description_of_something",
        "monkey=banana keyboard=qwerty primary_key=5 idempotency_key=abc",
        "https://example.com:8443/a@b?x=y@z",
        "mail to ann@example.com",
        "password is required",
        "{'password': None, 'secret': '', 'has_token': True}",
        "password_changed_at=2026-01-01 token_url=https://h/t",
        "12:30:15 eyJ is how tokens start",
    ],
)
def test_ordinary_texts_stay(text: str):
    assert redact_text(text) == text


def test_the_prefix_of_a_hub_with_its_own_is_known(settings):
    settings.API_KEY_PREFIX = "acme_"
    assert redact_text(f"key acme_live_{'Ab1' * 20}") == "key acme_live_***"
    assert redact_text("acme_corporation") == "acme_corporation"


@given(st.text(max_size=300))
def test_any_text_is_taken(text: str):
    assert isinstance(redact_text(text), str)
    assert isinstance(redact_url(text), str)


@given(st.text(st.characters(categories=["L", "N"]), min_size=8, max_size=40), st.integers(0, 9))
def test_a_secret_is_gone_whatever_surrounds_it(secret: str, form: int):
    forms = [
        "https://h/p?a=1&access_token={}",
        "https://user:{}@h/p",
        "password={}",
        '{{"client_secret": "{}"}}',
        "{{'refresh_token': '{}'}}",
        "Authorization: Bearer {}",
        "api_key={}&x=1",
        "Cookie: session={}",
        "('X-Api-Key', '{}')",
        "whsec_{}",
    ]
    if form == 9 and not secret.isascii():
        return
    text = forms[form].format(secret)
    if secret.lower() in text.replace(secret, "", 1).lower() or secret in ("password", "undefined"):
        return
    assert secret not in redact_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 2_000_000,
        "://" * 700_000,
        "eyJ-" * 500_000,
        "eyJaaaaa." * 200_000,
        "sk_" * 600_000,
        "password" * 250_000,
        "key." * 500_000,
        'token="' + "\\a" * 1_000_000,
        "-----BEGIN PRIVATE KEY-----" * 70_000,
        "-----BEGIN " * 150_000,
        "?a" * 1_000_000,
        "?a=" * 600_000,
        "authorization: " * 130_000,
        "bearer " * 280_000,
        "x-" * 1_000_000,
        "password= " * 200_000,
        "password: " * 200_000,
        "'password', " * 160_000,
        "a.b-" * 500_000 + "password",
        "whsec_a " * 200_000,
        " " * 2_000_000,
        "=" * 2_000_000,
    ],
)
def test_two_megabytes_of_anything_take_seconds_at_most(text: str):
    started = time.monotonic()
    redact_text(text)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://h.example/p?page=2", "https://h.example/p?page=2"),
        ("https://h.example/p?key=abc&page=2&sig=1", "https://h.example/p?key=***&page=2&sig=***"),
        ("https://h.example/p?API%5FKEY=abc", "https://h.example/p?API%5FKEY=***"),
        ("https://u:p@h.example:8443/p", "https://***@h.example:8443/p"),
        ("https://h.example/p#id_token=abc", "https://h.example/p#id_token=***"),
        ("https://h.example/?token=", "https://h.example/?token="),
        ("https://h.example/?a&token=b&c", "https://h.example/?a&token=***&c"),
        ("https://[::1/?token=abc", "https://[::1/?token=***"),
        ("", ""),
    ],
)
def test_urls_keep_what_is_no_secret(url: str, clean: str):
    assert redact_url(url) == clean


@given(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1))
def test_a_url_keeps_its_host(path: str):
    assert urlsplit(redact_url(f"https://u:p@h.example/{path}?token=x")).hostname == "h.example"


SECRETS = """
password Password PASSWORD user_password passwd pwd passphrase secret client_secret clientSecret ClientSecret
CLIENT-SECRET token access_token accessToken refresh-token next_page_token api_key apiKey api-key X-Api-Key
APIKEY authorization Proxy-Authorization cookie Set-Cookie cookies credentials credential signature
webhook-signature X-Hub-Signature-256 private_key privateKey aws_secret_access_key signing_key encryption_key
csrfmiddlewaretoken sessionid session_id jwt otp cvv pepper HTTP_AUTHORIZATION secret2 db.password
"""
OTHERS = """
name key keyboard monkey primary_key foreign_key idempotency_key token_type tokenType token_url token_endpoint
password_changed_at api_key_id aws_access_key_id signature_header secretary author authenticated compass
passport hash cookie_name secret_version passed id ---
"""


@pytest.mark.parametrize("name", SECRETS.split())
def test_names_of_secrets(name: str):
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["", *OTHERS.split()])
def test_names_of_other_things(name: str):
    assert not is_secret_name(name)
