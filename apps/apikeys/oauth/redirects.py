"""Addresses that a browser is sent back to: which may be registered, and which is the registered one."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

# RFC 8252 §7.3: on the way back to a program on the same machine the port is free, nothing else.
_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|\[::1\]|localhost)(?::[0-9]{1,5})?(/[^#\s]*)?")
_PRIVATE_SCHEME = re.compile(r"[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+")
_FORBIDDEN = re.compile(r"[\s\x00-\x1f\x7f\\#<>\"'`{}|^*]")
LONGEST = 500


def is_registered(uri: str, registered: list[str]) -> bool:
    """Whether it is one of them, character by character; of a loopback address only the port may differ."""
    if uri in registered:
        return True
    asked = _LOOPBACK.fullmatch(uri)
    if asked is None or _FORBIDDEN.search(uri):
        return False
    return any(
        known.groups() == asked.groups() for text in registered if (known := _LOOPBACK.fullmatch(text))
    )


def mistake_in(uri: str, *, public: bool) -> str | None:
    """Why an address cannot be registered, as a sentence, or None."""
    if len(uri) > LONGEST:
        return f"A redirect address has at most {LONGEST} characters."
    if _FORBIDDEN.search(uri):
        return "A redirect address is written out in full, without fragment, wildcard, space or quotes."
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return "This is not an address."
    if "@" in parts.netloc or port == 0:
        return "A redirect address holds neither a user name nor port 0."
    if any(segment in (".", "..") for segment in parts.path.split("/")):
        return "A redirect address is written without “.” and “..”."
    if parts.scheme == "https":
        return None if parts.hostname else "This address names no host."
    if parts.scheme == "http":
        if _LOOPBACK.fullmatch(uri):
            return None
        return "Use https; http only for programs on the person's own machine (127.0.0.1, [::1], localhost)."
    if not public:
        return "Use https: an own scheme is for applications on phones and desks, which are public ones."
    if _PRIVATE_SCHEME.fullmatch(parts.scheme):
        return None
    return "An own scheme is a domain name reversed, such as com.example.app:/callback."


def leaves_machine(uri: str) -> bool:
    """Whether it goes to a web site, which nobody else can listen at."""
    return uri.startswith("https://")
