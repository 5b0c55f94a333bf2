from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.kernel.crypto import hashing
from apps.kernel.crypto.hashing import PepperRing, get_peppers

RING = PepperRing.from_env(f"p1:{base64.b64encode(b'1' * 32).decode()}")


def test_the_digest_is_an_hmac_over_the_purpose_and_the_value():
    pepper_id, digest = RING.digest("sk_live_abc", purpose="api-key")

    assert pepper_id == "p1"
    assert digest == hmac.new(b"1" * 32, b"\x00\x07api-keysk_live_abc", hashlib.sha256).digest()


@given(st.text(), st.text())
def test_only_the_value_itself_verifies(value: str, other: str):
    pepper_id, digest = RING.digest(value, purpose="p")

    assert RING.verify(value, pepper_id, digest, "p")
    assert RING.verify(other, pepper_id, digest, "p") == (other == value)


def test_one_value_has_other_digests_for_other_purposes():
    pepper_id, digest = RING.digest("value", purpose="a")

    assert not RING.verify("value", pepper_id, digest, "b")
    assert RING.digest("bvalue", purpose="a")[1] != RING.digest("value", purpose="ab")[1]


def test_unknown_peppers_and_damaged_digests_verify_nothing():
    pepper_id, digest = RING.digest("value", purpose="a")

    assert not RING.verify("value", "p2", digest, "a")
    assert not RING.verify("value", pepper_id, digest[:-1], "a")
    assert not RING.verify("value", pepper_id, b"", "a")


def test_peppers_rotate_without_breaking_what_they_hashed(pepper_file: Path):
    old = hashing.digest("value", purpose="a")
    PepperRing.load(pepper_file).add_key()
    new = hashing.digest("value", purpose="a")

    assert (old[0], new[0]) == ("p1", "p2")
    assert hashing.verify("value", *old, "a")
    assert hashing.verify("value", *new, "a")


def test_a_digest_read_from_the_database_may_be_a_memoryview():
    pepper_id, digest = RING.digest("value", purpose="a")

    assert RING.verify("value", pepper_id, memoryview(digest), "a")  # type: ignore[arg-type]


def test_pepper_bytes_show_nowhere(pepper_file: Path):
    ring = get_peppers()

    assert repr(ring) == "<PepperRing active='p1' peppers=['p1']>"
    assert "=" not in repr(vars(ring)).replace("active=", "")
    with pytest.raises(TypeError):
        __import__("pickle").dumps(ring)
