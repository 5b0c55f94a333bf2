"""The form of a key."""

from __future__ import annotations

import zlib

import pytest

from apps.apikeys import key_format
from apps.kernel.redaction import redact_text


def test_a_key_is_prefix_public_part_secret_and_checksum() -> None:
    new = key_format.generate(key_type="secret", environment="production")
    kind, environment, public_part, rest = new.text.split("_")
    assert (kind, environment, len(public_part), len(rest)) == ("sk", "live", 10, 49)
    assert new.prefix == f"sk_live_{public_part}"
    assert key_format.public_part(new.text) == public_part == new.public_part
    assert new.text not in repr(new)


@pytest.mark.parametrize(
    ("key_type", "environment", "family", "prefix"),
    [
        ("secret", "production", "sk_", "sk_live_"),
        ("public", "testing", "sk_", "pk_test_"),
        ("restricted", "sandbox", "sk_", "rk_sandbox_"),
        ("secret", "development", "acme_", "acme_sk_dev_"),
    ],
)
def test_type_environment_and_family_show_in_the_prefix(
    key_type: str, environment: str, family: str, prefix: str
) -> None:
    new = key_format.generate(key_type=key_type, environment=environment, family=family)
    assert new.text.startswith(prefix)
    assert key_format.public_part(new.text) == new.public_part


def test_every_single_wrong_character_is_noticed_without_any_look_up() -> None:
    text = key_format.generate(key_type="secret", environment="production").text
    for n, letter in enumerate(text):
        if letter == "_":
            continue
        other = "B" if letter == "A" else "A"
        assert key_format.public_part(text[:n] + other + text[n + 1 :]) is None


@pytest.mark.parametrize(
    "text",
    ["", "sk_live_", "sk_live_abc_def", "Bearer", "sk_live_0123456789_" + "x" * 49, "sk_live_é" + "x" * 70],
)
def test_rubbish_is_no_key(text: str) -> None:
    assert key_format.public_part(text) is None


def test_the_checksum_is_crc32_in_base62() -> None:
    body = "sk_live_0123456789_" + "a" * 43
    digits = key_format.checksum(body)
    number = 0
    for digit in digits:
        number = number * 62 + key_format.BASE62.index(digit)
    assert number == zlib.crc32(body.encode())


def test_logs_do_not_show_keys() -> None:
    for key_type in key_format.TYPES:
        for environment in key_format.ENVIRONMENTS:
            new = key_format.generate(key_type=key_type, environment=environment)
            assert new.text.split("_")[-1] not in redact_text(f"called with {new.text} today")
