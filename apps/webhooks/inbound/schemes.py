"""The schemes that come with the hub: every file of `catalog/`, read when the hub starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from apps.kernel.registry import Registry
from apps.webhooks.inbound import hmacs
from apps.webhooks.inbound.messages import Keys, Message, Proof
from apps.webhooks.inbound.scheme import (
    MAX_BYTES,
    Scheme,
    SchemeError,
    hmac_of,
    parse,
    path_problem,
    places_of,
)
from apps.webhooks.inbound.special import VERIFIERS

CATALOG = Path(__file__).parent / "catalog"
GENERIC = "generic"
# What an administrator may set with any scheme.
COMMON = ("public_url",)

schemes: Registry[Scheme] = Registry("Inbound scheme")


def load(catalog: Path = CATALOG) -> None:
    """Register every file of the catalog. Raises SchemeError if one is wrong."""
    for path in sorted(catalog.glob("*.yaml")):
        scheme = parse(yaml.safe_load(path.read_text(encoding="utf-8")))
        if scheme.kind != "hmac" and scheme.kind not in VERIFIERS:
            raise SchemeError([("/verify/kind", f"There is no code for “{scheme.kind}”.")])
        if scheme.name not in schemes:
            schemes.register(scheme)


def default_for(connector: str) -> str:
    """The name of the scheme that a connector's provider signs by; empty if none is known."""
    for scheme in schemes:
        if connector in scheme.connectors or connector == scheme.name:
            return scheme.name
    return ""


def resolved(name: str, options: Mapping[str, Any]) -> Scheme | None:
    """The scheme as it is used by one receiver: the generic one with what its administrator stated."""
    scheme = schemes.get(name)
    if scheme is None or name != GENERIC:
        return scheme
    stated = {key: value for key, value in options.items() if key in scheme.options and key not in COMMON}
    facts = dict(stated.pop("verify", None) or {})
    given: dict[str, Any] = {}
    if facts:
        given["hmac"] = hmac_of(facts)
    for key in ("event_id", "event_type"):
        if stated.get(key):
            given[key] = places_of(stated[key], f"/{key}")
    for key in ("max_bytes", "deduplicate"):
        if key in stated:
            given[key] = stated[key]
    return replace(scheme, **given)


def option_problems(scheme: Scheme, options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with a receiver's options, as (pointer, sentence) pairs."""
    known = (*scheme.options, *COMMON)
    problems = [
        (f"/{name}", f"is not known for {scheme.title}; known are: {', '.join(known)}.")
        for name in options
        if name not in known
    ]
    url = options.get("public_url")
    if url is not None and not (
        isinstance(url, str) and url.startswith(("https://", "http://")) and len(url) < 500
    ):
        problems.append(("/public_url", "is the whole public address, beginning with https://."))
    for name in ("client_ids",):
        value = options.get(name)
        if value is not None and not (
            isinstance(value, list) and len(value) <= 50 and all(isinstance(v, str) and v for v in value)
        ):
            problems.append((f"/{name}", "is a list of at most 50 texts."))
    for name in ("webhook_id", "service_id", "verify_token"):
        value = options.get(name)
        if value is not None and not isinstance(value, (str, int)):
            problems.append((f"/{name}", "is text."))
    size = options.get("max_bytes")
    if size is not None and (
        isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MAX_BYTES
    ):
        problems.append(("/max_bytes", f"is a number of bytes up to {MAX_BYTES:,}."))
    if not isinstance(options.get("deduplicate", True), bool):
        problems.append(("/deduplicate", "is true or false."))
    if problems:
        return problems
    verify = options.get("verify")
    if verify is not None and not isinstance(verify, Mapping):
        return [("/verify", "is an object.")]
    try:
        resolved(scheme.name, options)
    except SchemeError as error:
        return error.problems
    except (TypeError, ValueError) as error:
        return [("", str(error)[:200])]
    return []


def verify(scheme: Scheme, message: Message, keys: Keys) -> Proof:
    """Prove where a message comes from. Raises SignatureInvalid, whatever it is fed.

    A scheme that must ask somebody first (PayPal's certificate) may raise a TransientError, too.
    """
    if scheme.hmac is not None:
        return hmacs.verify(scheme.hmac, message, keys)
    return VERIFIERS[scheme.kind](message, keys)


__all__ = [
    "GENERIC",
    "default_for",
    "load",
    "option_problems",
    "path_problem",
    "resolved",
    "schemes",
    "verify",
]
