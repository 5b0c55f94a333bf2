"""How an API key is written.

    sk_live_<public part: 10 base62>_<secret: 43 base62, 256 bits><CRC-32 of all before it: 6 base62>

Underscores only, so that a double click takes it whole. The checksum tells typing errors and rubbish from
keys without any look-up, and lets scanners decide offline. The setting API_KEY_PREFIX puts a word in front.
"""

from __future__ import annotations

import re
import secrets
import zlib
from dataclasses import dataclass, field

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PUBLIC_LENGTH, SECRET_LENGTH, CHECKSUM_LENGTH = 10, 43, 6

TYPES = {"secret": "sk", "public": "pk", "restricted": "rk"}
ENVIRONMENTS = {"production": "live", "sandbox": "sandbox", "development": "dev", "testing": "test"}

_SHAPE = r"(?:[a-z][a-z0-9]{0,9}_)?(?:sk|pk|rk)_(?:live|sandbox|dev|test)_([0-9A-Za-z]{10})_[0-9A-Za-z]{49}"
_KEY = re.compile(_SHAPE)
# What looks like one, whole or cut, wherever it stands.
ANYWHERE = re.compile(r"(?:sk|pk|rk)_(?:live|sandbox|dev|test)_[0-9A-Za-z]{10}_[0-9A-Za-z]{20,}")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made. `text` is the only copy there will be."""

    public_part: str
    prefix: str
    text: str = field(repr=False)


def generate(*, key_type: str, environment: str, family: str = "sk_") -> NewKey:
    """A new key from the operating system's randomness."""
    front = "" if family in ("", "sk_") else family
    public_part = _random(PUBLIC_LENGTH)
    prefix = f"{front}{TYPES[key_type]}_{ENVIRONMENTS[environment]}_{public_part}"
    body = f"{prefix}_{_random(SECRET_LENGTH)}"
    return NewKey(public_part, prefix, body + checksum(body))


def public_part(text: str) -> str | None:
    """The public part of a well-formed key whose checksum is right, else None."""
    match = _KEY.fullmatch(text)
    if match is None or checksum(text[:-CHECKSUM_LENGTH]) != text[-CHECKSUM_LENGTH:]:
        return None
    return match[1]


def looks_like_key(text: str) -> bool:
    return _KEY.fullmatch(text) is not None


def checksum(body: str) -> str:
    """CRC-32 (ISO 3309) in six base62 digits."""
    number = zlib.crc32(body.encode())
    digits = ""
    for _ in range(CHECKSUM_LENGTH):
        number, rest = divmod(number, 62)
        digits = BASE62[rest] + digits
    return digits


def _random(length: int) -> str:
    return "".join(secrets.choice(BASE62) for _ in range(length))
