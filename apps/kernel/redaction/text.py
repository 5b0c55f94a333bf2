"""Masks secrets inside free text: log lines, messages of exceptions, bodies, URLs."""

from __future__ import annotations

import base64
import re
from functools import lru_cache
from urllib.parse import unquote, urlsplit, urlunsplit

from django.conf import settings

from apps.kernel.redaction.names import is_secret_name, is_secret_parameter

MASK = "***"

# Every pattern starts at a literal or a boundary and is bounded or linear, since texts come from strangers.
_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z)", re.S
)
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*){1,3}")
_PREFIXED = re.compile(
    r"\b((?:sk|pk|rk)_(?:live_|test_)?)[A-Za-z0-9_]{12,}"
    r"|\b((?:oat|ort|oac|odc|ocs|jrt)_)[A-Za-z0-9_-]{20,}"
    r"|\b(wh(?:sec|sk)_)[A-Za-z0-9+/_-]{6,}={0,2}"
    r"|\b(gh[opusr]_)[A-Za-z0-9]{20,}"
    r"|\b(github_pat_)\w{20,}"
    r"|\b(xox[abeoprs]-)[A-Za-z0-9-]{10,}"
    r"|\b(shp(?:at|ca|pa|ss)_)[0-9a-fA-F]{20,}"
    r"|\b(SG\.)[\w-]{16,}\.[\w-]{16,}"
)
_SCHEME = re.compile(r"\b(bearer|basic|negotiate)(\s{1,4})([A-Za-z0-9._~+/-]{6,}={0,2})(?![\w=])", re.I)
_PROSE = frozenset(
    {
        "access",
        "authentication",
        "authorization",
        "auth",
        "credential",
        "credentials",
        "scheme",
        "token",
        "tokens",
    }
)
_ABSENT = frozenset({"None", "null", "true", "false", "True", "False", "''", '""', "b''", 'b""', MASK})
_USERINFO = re.compile(r"(://)[^/\s\"'<>?#]*@")
_PARAMETER = re.compile(r"([?&;#])([\w.%~\[\]-]{1,80})=([^&\s#\"'<>]*)")
_HEADER_LINE = re.compile(
    r"\b((?:proxy-)?authorization|(?:set-)?cookie|x-[a-z-]{0,30}(?:key|token|secret|signature))(\s{0,2}:\s{0,2})"
    r"([^\r\n]+)",
    re.I,
)
_ASSIGNMENT = re.compile(
    r"(?<![\w.-])"
    r"([\w.-]{0,40}?(?:passw|passphrase|pwd|secret|token|key|authorization|cookie|credential|signature|jwt|otp)"
    r"[\w.-]{0,40})"
    r"(\"\s{0,3}[:,]\s{0,3}|'\s{0,3}[:,]\s{0,3}|\\\"\s{0,3}:\s{0,3}|\s{0,3}=>?\s{0,3})"
    r"(b?\\\"[^\"\\]*\\\"|b?\"(?:[^\"\\]|\\.)*\"?|b?'(?:[^'\\]|\\.)*'?|[^\s,;&\"'<>)}\]]+)",
    re.I | re.S,
)


def redact_text(text: str) -> str:
    """`text` with everything masked that has the form of a secret."""
    if len(text) < 6:
        return text
    if "PRIVATE KEY-----" in text:
        text = _PEM.sub(MASK, text)
    if "eyJ" in text:
        text = _JWT.sub(MASK, text)
    text = _own_keys().sub(_keep_prefix, text) if "_" in text else text
    text = _PREFIXED.sub(_keep_prefix, text)
    if ":" in text:
        text = _USERINFO.sub(rf"\1{MASK}@", text)
        text = _HEADER_LINE.sub(_header_line, text)
    text = _SCHEME.sub(_scheme, text)
    if "=" in text:
        text = _PARAMETER.sub(_parameter, text)
    return _ASSIGNMENT.sub(_assignment, text)


def redact_url(url: str) -> str:
    """A URL without its credentials and secret parameters; what cannot be parsed is redacted as text."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return redact_text(url)
    host = parts.netloc.rpartition("@")
    netloc = f"{MASK}@{host[2]}" if host[1] else parts.netloc
    clean = urlunsplit((parts.scheme, netloc, parts.path, _query(parts.query), _query(parts.fragment)))
    return redact_text(clean)


def _query(query: str) -> str:
    if "=" not in query:
        return query
    pairs = []
    for pair in query.split("&"):
        name, equals, value = pair.partition("=")
        if equals and value and is_secret_parameter(unquote(name)):
            pair = f"{name}={MASK}"
        pairs.append(pair)
    return "&".join(pairs)


def _keep_prefix(match: re.Match[str]) -> str:
    return next((group for group in match.groups() if group), "") + MASK


def _scheme(match: re.Match[str]) -> str:
    scheme, space, value = match.groups()
    if value.lower().rstrip(".") in _PROSE:
        return match[0]
    if scheme.lower() == "basic" and not _is_basic(value):
        return match[0]
    return f"{scheme}{space}{MASK}"


def _is_basic(value: str) -> bool:
    try:
        return b":" in base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except ValueError:
        return False


def _parameter(match: re.Match[str]) -> str:
    mark, name, value = match.groups()
    return f"{mark}{name}={MASK}" if value and is_secret_parameter(unquote(name)) else match[0]


def _header_line(match: re.Match[str]) -> str:
    return f"{match[1]}{match[2]}{MASK}"


def _assignment(match: re.Match[str]) -> str:
    name, separator, value = match.groups()
    if not is_secret_name(name) or value in _ABSENT:
        return match[0]
    start = re.match(r"b?\\?[\"']|", value)
    opening = start[0] if start else ""
    closing = opening.lstrip("b") if opening and value.endswith(opening.lstrip("b")) else ""
    return f"{name}{separator}{opening}{MASK}{closing}"


def _own_keys() -> re.Pattern[str]:
    return _own_pattern(str(getattr(settings, "API_KEY_PREFIX", None) or "sk_"))


@lru_cache(maxsize=8)
def _own_pattern(prefix: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z0-9])({re.escape(prefix)}(?:live_|test_)?)[A-Za-z0-9_]{{12,}}")
