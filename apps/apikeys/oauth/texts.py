"""What secrets of OAuth2 look like, and what is kept of them.

Each begins with a word of its own, so that logs mask it and scanners of leaked code find it. Random ones of
256 bits are kept as SHA-256 (as the toolkit looks them up); what a person types, and what proves a client,
as keyed hashes.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, Final

from apps.apikeys.key_format import BASE62
from apps.kernel.crypto import hashing

ACCESS: Final = "oat_"
REFRESH: Final = "ort_"
CODE: Final = "oac_"
DEVICE: Final = "odc_"
CLIENT_SECRET: Final = "ocs_"  # noqa: S105
JWT_REFRESH: Final = "jrt_"
_LENGTH = 43  # base62 characters for 256 bits
# RFC 8628 §6.1: no vowels, so no words; nothing that looks alike.
_READABLE = "BCDFGHJKLMNPQRSTVWXZ"
_USER_CODE = "oauth-user-code"


def new(prefix: str) -> str:
    """A new random secret."""
    return prefix + "".join(secrets.choice(BASE62) for _ in range(_LENGTH))


def access_token(request: Any, refresh_token: bool = False) -> str:
    """The toolkit's generator of access tokens."""
    return new(ACCESS)


def refresh_token(request: Any, refresh_token: bool = True) -> str:
    """The toolkit's generator of refresh tokens."""
    return new(REFRESH)


def checksum(text: str) -> str:
    """SHA-256 in hexadecimal, as the toolkit keeps tokens."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def new_user_code() -> str:
    """Eight letters that a person reads from a screen: `BCDF-GHJK`."""
    letters = "".join(secrets.choice(_READABLE) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"


def normal_user_code(text: str) -> str:
    """A typed code in the form that it was made in; whatever cannot be one comes back as it is."""
    letters = "".join(c for c in text.upper() if c.isalnum())
    return f"{letters[:4]}-{letters[4:]}" if len(letters) == 8 else letters[:40]


def user_code_names(text: str) -> list[str]:
    """What a code may have been kept as, with each pepper: so few letters are kept as keyed hashes only."""
    found = hashing.get_peppers().digests(normal_user_code(text), purpose=_USER_CODE)
    return [digest.hex() for digest in found]


def user_code_name(text: str) -> str:
    """What a new code is kept as."""
    return hashing.digest(normal_user_code(text), purpose=_USER_CODE)[1].hex()
