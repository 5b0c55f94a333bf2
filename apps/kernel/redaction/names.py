"""Which names announce a secret value: of fields, headers, parameters and variables."""

from __future__ import annotations

import re
from functools import lru_cache

_WORDS = frozenset(
    {
        "apikey",
        "authorization",
        "bearer",
        "cookie",
        "cookies",
        "credential",
        "credentials",
        "cvc",
        "cvv",
        "jwt",
        "otp",
        "passphrase",
        "passwd",
        "password",
        "passwords",
        "pepper",
        "peppers",
        "pwd",
        "secret",
        "secrets",
        "signature",
        "signatures",
        "token",
        "tokens",
        "totp",
    }
)
# Also where nothing parts the words: APIKEY, csrfmiddlewaretoken, clientsecret.
_STEMS = re.compile(
    r"passw(?:or)?d|passphrase|secret(?!ar)|api_?key|(?:private|access|signing|encryption|shared|master|auth|account)_?key"
    r"|(?:access|refresh|auth|session|bearer|id|csrf|csrfmiddleware)_?token|set_?cookie|session_?id\b|sessionid"
)
# What describes a secret is none: token_type, password_changed_at, signature_header, access_key_id.
_DESCRIPTIONS = frozenset(
    {
        "algorithm",
        "at",
        "count",
        "endpoint",
        "expires",
        "expiry",
        "field",
        "fields",
        "format",
        "header",
        "headers",
        "help",
        "hint",
        "id",
        "ids",
        "in",
        "label",
        "length",
        "lifetime",
        "limit",
        "method",
        "name",
        "names",
        "prefix",
        "required",
        "schema",
        "scheme",
        "status",
        "ttl",
        "type",
        "uri",
        "url",
        "used",
        "validators",
        "version",
    }
)
_QUERY = frozenset({"auth", "code", "key", "pass", "sig", "state"})
_SPLIT = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@lru_cache(maxsize=8192)
def is_secret_name(name: str) -> bool:
    """Whether a field, header or variable of this name holds a secret; case and separators do not matter."""
    words = [word for word in _SPLIT.sub(" ", name[:200]).lower().split() if not word.isdigit()]
    if not words:
        return False
    if "_".join(words) in ("session_id", "sessionid", "hub_session"):
        return True
    if len(words) > 1 and words[-1] in _DESCRIPTIONS:
        return False
    return not _WORDS.isdisjoint(words) or _STEMS.search("_".join(words)) is not None


def is_secret_parameter(name: str) -> bool:
    """As `is_secret_name`, for query strings, where `key`, `sig` and `code` are secrets, too."""
    return name.lower() in _QUERY or is_secret_name(name)
