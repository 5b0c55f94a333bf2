"""What arrived, and what its signature proved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from apps.webhooks.errors import SignatureInvalid

MAX_HEADER = 8192
MAX_FIELDS = 1000


@dataclass(frozen=True, slots=True)
class Message:
    """One request, as it came. `headers` have lower-case names.

    `urls` are the public addresses, query included, that a sender may have signed: made of the hub's
    configured address, never of what the request says about its host.
    """

    method: str
    urls: tuple[str, ...]
    headers: Mapping[str, str]
    body: bytes
    received_at: float
    query: str = ""

    def header(self, name: str) -> str:
        """A header that must be there, and be of sane length. Raises SignatureInvalid."""
        value = self.headers.get(name.lower())
        if not isinstance(value, str) or not value:
            raise SignatureInvalid(f"The header {name} is missing.")
        if len(value) > MAX_HEADER:
            raise SignatureInvalid(f"The header {name} is longer than {MAX_HEADER} characters.")
        return value

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Keys:
    """What a verification works with: the live secrets, the present one first, and the options."""

    secrets: tuple[str, ...] = field(default=(), repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)

    def required(self) -> Sequence[str]:
        """The secrets. Raises SignatureInvalid if there is none: nothing is ever believed without one."""
        if not self.secrets:
            raise SignatureInvalid("No secret is set for this address, so nothing can be verified.")
        return self.secrets


@dataclass(frozen=True, slots=True)
class Proof:
    """What was verified: the signature that counted, and the signed time and id where the scheme has them."""

    signature: str = ""
    timestamp: str = ""
    message_id: str = ""


def form_of(body: bytes) -> list[tuple[str, str]]:
    """The fields of an urlencoded body, in order. Raises SignatureInvalid for what is none."""
    try:
        return parse_qsl(
            body.decode("utf-8"),
            keep_blank_values=True,
            strict_parsing=False,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except (UnicodeDecodeError, ValueError):
        raise SignatureInvalid("The body is not a form of the usual encoding.") from None
