"""Parsers of configuration values: text in, a typed value out.

Each raises ValueError with a clause that completes the sentence "<NAME> …", such as
"must be a whole number, not 'ten'". None of them repeats a value that may hold a password.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit
from zoneinfo import ZoneInfo

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off"}
KEY_BYTES = 32


def boolean(text: str) -> bool:
    if text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise ValueError(f"must be true or false, not {text!r}")


def whole(lowest: int, highest: int) -> Callable[[str], int]:
    """Parser of a whole number within bounds, both included."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d{1,18}", text):
            raise ValueError(f"must be a whole number, not {text!r}")
        number = int(text)
        if not lowest <= number <= highest:
            raise ValueError(f"must be between {lowest} and {highest}, not {number}")
        return number

    return parse


def positive_number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"must be a number, not {text!r}") from None
    if not 1 <= number <= 100:
        raise ValueError(f"must be between 1 and 100, not {text}")
    return number


def one_of(*choices: str) -> Callable[[str], str]:
    """Parser of one word out of `choices`, whatever its case."""

    def parse(text: str) -> str:
        for choice in choices:
            if text.lower() == choice.lower():
                return choice
        raise ValueError(f"must be one of {', '.join(choices)}, not {text!r}")

    return parse


def words(text: str) -> tuple[str, ...]:
    """Comma-separated words."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Comma-separated CIDRs; a single address is a network of one."""
    found = []
    for word in words(text):
        try:
            found.append(ip_network(word))
        except ValueError:
            raise ValueError(
                f"must list networks such as 10.0.0.0/8 or fd00::/8, separated by commas; {word!r} is none"
            ) from None
    return tuple(found)


def directory(text: str) -> Path:
    return Path(text).expanduser().absolute()


def time_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"must be a time zone such as Europe/Berlin or UTC, not {text!r}") from None
    return text


def host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:_-]+", text):
        raise ValueError(f"must be an address or a host name such as 127.0.0.1, not {text!r}")
    return text


def key_prefix(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9]{0,9}_?", text):
        raise ValueError(f"must be one to ten small letters or digits, such as sk_, not {text!r}")
    return text.removesuffix("_") + "_"


def bucket(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", text):
        raise ValueError(f"must be the name of an S3 bucket, not {text!r}")
    return text


def secret(text: str) -> str:
    return text


def base_url(text: str) -> str:
    """Scheme, host and port at which people reach the hub; no path."""
    parts = _split(text, ("http", "https"), "http://127.0.0.1:8000 or https://hub.example.com")
    if not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
        raise ValueError("must be only a scheme, a host and a port, such as https://hub.example.com")
    return text.rstrip("/")


def origins(text: str) -> tuple[str, ...]:
    """Origins of web pages, with commas between them; * for every one."""
    found = words(text)
    for origin in found:
        if origin != "*":
            parts = _split(origin, ("http", "https"), "https://app.example.com")
            if not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment:
                raise ValueError(f"must be origins, such as https://app.example.com, not {origin!r}")
    return tuple(origin.rstrip("/").lower() for origin in found)


@dataclass(frozen=True)
class Database:
    """Where the rows are. `options` are libpq's words, such as sslmode."""

    engine: str
    name: str
    host: str = ""
    port: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    pgbouncer: bool = False
    options: tuple[tuple[str, str], ...] = ()


LIBPQ_OPTIONS = frozenset(
    {
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "sslcrl",
        "channel_binding",
        "gssencmode",
        "target_session_attrs",
    }
)


def database(text: str) -> Database:
    """postgresql://user:password@host:5432/name?sslmode=require&pgbouncer=true, or sqlite:///path."""
    example = "postgresql://user:password@host:5432/name or sqlite:///path/to/file"
    parts = _split(text, ("postgresql", "postgres", "sqlite"), example)
    if parts.scheme == "sqlite":
        if parts.netloc or parts.path in ("", "/"):
            raise ValueError(f"must name a file after three slashes, as in {example}")
        # Four slashes mean an absolute path, as in SQLAlchemy; three a path from the working directory.
        return Database(engine="sqlite", name=str(directory(unquote(parts.path[1:]))))
    if parts.path in ("", "/"):
        raise ValueError(f"must name a database after the host, as in {example}")
    query = dict(parse_qsl(parts.query))
    pgbouncer = boolean(query.pop("pgbouncer", "false"))
    # libpq's own way to name a socket's folder: postgresql:///name?host=/run/postgresql
    place = query.pop("host", parts.hostname or "")
    unknown = sorted(set(query) - LIBPQ_OPTIONS)
    if unknown:
        raise ValueError(
            f"has the unknown option {unknown[0]!r}; known are {', '.join(sorted(LIBPQ_OPTIONS))}"
        )
    return Database(
        engine="postgresql",
        name=unquote(parts.path[1:]),
        host=place,
        port=str(parts.port or ""),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        pgbouncer=pgbouncer,
        options=tuple(sorted(query.items())),
    )


def redis_url(text: str) -> str:
    parts = _split(text, ("redis", "rediss"), "redis://127.0.0.1:6379/0")
    if not parts.hostname:
        raise ValueError("must name a host, as in redis://127.0.0.1:6379/0")
    return text


def broker_url(text: str) -> str:
    example = "redis://127.0.0.1:6379/0 or amqp://user:password@127.0.0.1:5672//"
    parts = _split(text, ("redis", "rediss", "amqp", "amqps"), example)
    if not parts.hostname:
        raise ValueError(f"must name a host, as in {example}")
    return text


@dataclass(frozen=True)
class Storage:
    """Where files are: a folder, or a bucket with a prefix."""

    kind: str
    folder: Path | None = None
    bucket: str = ""
    prefix: str = ""
    endpoint_url: str = ""
    region: str = ""
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)


def storage(text: str) -> Storage:
    """file:///path, or s3://bucket/prefix?endpoint_url=…&region=… (keys come from AWS's own variables)."""
    example = "file:///srv/hub/files or s3://bucket/prefix?region=eu-central-1"
    parts = _split(text, ("file", "s3"), example)
    if parts.scheme == "file":
        if parts.netloc or parts.path in ("", "/"):
            raise ValueError(f"must name an absolute folder after three slashes, as in {example}")
        return Storage(kind="file", folder=Path(unquote(parts.path)))
    query = dict(parse_qsl(parts.query))
    endpoint, region = query.pop("endpoint_url", ""), query.pop("region", "")
    if query:
        raise ValueError(f"has the unknown option {min(query)!r}; known are endpoint_url and region")
    if endpoint:
        _split(endpoint, ("http", "https"), "endpoint_url=https://minio.example.com")
    return Storage(
        kind="s3",
        bucket=bucket(parts.hostname or ""),
        prefix=unquote(parts.path).strip("/"),
        endpoint_url=endpoint,
        region=region,
        access_key=unquote(parts.username or ""),
        secret_key=unquote(parts.password or ""),
    )


@dataclass(frozen=True)
class Email:
    """How mail leaves: an SMTP server, the console, or files in a folder."""

    kind: str
    host: str = ""
    port: int = 0
    user: str = ""
    password: str = field(default="", repr=False)
    starttls: bool = False
    tls: bool = False
    sender: str = "Integration Hub <hub@localhost>"
    folder: Path | None = None


def email(text: str) -> Email:
    """smtp://user:password@host:587?from=…, smtps://…:465, console:// or file:///folder."""
    example = "smtp://user:password@mail.example.com:587?from=hub@example.com, console:// or file:///folder"
    parts = _split(text, ("smtp", "smtps", "console", "file"), example)
    query = dict(parse_qsl(parts.query))
    sender = query.pop("from", Email.sender)
    starttls = boolean(query.pop("starttls", "true" if parts.port == 587 else "false"))
    if query:
        raise ValueError(f"has the unknown option {min(query)!r}; known are from and starttls")
    if parts.scheme == "console":
        return Email(kind="console", sender=sender)
    if parts.scheme == "file":
        if parts.netloc or parts.path in ("", "/"):
            raise ValueError(f"must name an absolute folder after three slashes, as in {example}")
        return Email(kind="file", folder=Path(unquote(parts.path)), sender=sender)
    if not parts.hostname:
        raise ValueError(f"must name a mail server, as in {example}")
    secure = parts.scheme == "smtps"
    return Email(
        kind="smtp",
        host=parts.hostname,
        port=parts.port or (465 if secure else 25),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        starttls=starttls and not secure,
        tls=secure,
        sender=sender,
    )


def keys(text: str) -> str:
    """`id:base64,id:base64` of 32 bytes each; the first is the active one."""
    named: dict[str, bytes] = {}
    for word in words(text):
        name, colon, encoded = word.partition(":")
        try:
            if not colon or not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name):
                raise ValueError
            value = base64.b64decode(encoded, validate=True)
        except ValueError:  # binascii.Error is one, too
            raise ValueError("must look like k2:<base64 of 32 bytes>,k1:<base64 of 32 bytes>") from None
        if name in named:
            raise ValueError(f"names the key {name!r} twice")
        if len(value) != KEY_BYTES:
            raise ValueError(f"holds the key {name!r} of {len(value)} bytes; a key has {KEY_BYTES}")
        named[name] = value
    if not named:
        raise ValueError("holds no key")
    return text


def _split(text: str, schemes: tuple[str, ...], example: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  raises ValueError on a port that is none
    except ValueError:
        raise ValueError(f"must be an address such as {example}") from None
    if parts.scheme not in schemes:
        raise ValueError(f"must be an address such as {example}")
    return parts
