"""What a scheme is: the facts that a YAML file (or, for the generic scheme, an administrator) states."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

ALGORITHMS = ("sha256", "sha1", "sha512")
ENCODINGS = ("hex", "base64")
KEYS = ("text", "base64", "hex")
PARTS = ("timestamp", "id", "method", "url", "body")
UNITS = {"s": 1, "ms": 1000}
MAX_TOLERANCE = 24 * 3600
MAX_BYTES = 25 * 2**20

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_|~-]{1,100}", re.ASCII)
_TEMPLATE = re.compile(r"\{([a-z]*)\}")


class SchemeError(ValueError):
    """A statement is wrong: `problems` are (pointer, sentence) pairs."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{pointer}: {text}" for pointer, text in problems))
        self.problems = list(problems)


@dataclass(frozen=True, slots=True)
class Template:
    """A signed template, taken apart: literal bytes and names of parts in turn."""

    text: str
    parts: tuple[bytes | str, ...]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(part for part in self.parts if isinstance(part, str))

    @classmethod
    def parse(cls, text: str) -> Template:
        """Raises ValueError for an unknown part or a lone brace."""
        parts: list[bytes | str] = []
        at = 0
        for match in _TEMPLATE.finditer(text):
            if match[1] not in PARTS:
                raise ValueError(f"“{match[0]}” is not one of {', '.join(f'{{{name}}}' for name in PARTS)}.")
            parts += [text[at : match.start()].encode(), match[1]]
            at = match.end()
        parts.append(text[at:].encode())
        if "body" not in parts:
            raise ValueError("{body} is not in it, so the content would not be protected.")
        return cls(text, tuple(part for part in parts if part != b""))


@dataclass(frozen=True, slots=True)
class Hmac:
    """An HMAC in a header."""

    header: str
    algorithm: str = "sha256"
    encoding: str = "hex"
    prefix: str = ""
    key: str = "text"
    signed: Template = field(default_factory=lambda: Template.parse("{body}"))
    timestamp_header: str = ""
    timestamp_unit: str = "s"
    id_header: str = ""
    tolerance: int = 300
    # `header` holds `name=value` pairs: the names of the signature's and the timestamp's.
    pair: str = ""
    timestamp_pair: str = ""
    # `header-1`, `header-2` …: any of them counts.
    numbered: bool = False
    decode_url: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value is found: a header, a path (JMESPath) in the body's JSON, or a form field; in this
    order.
    """

    header: str = ""
    path: str = ""
    form: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to the provider. `business` names the code that answers at once, in its own words;
    `echo_header` is a header of the request that the answer repeats.
    """

    status: int = 200
    body: str = ""
    content_type: str = "text/plain"
    business: str = ""
    echo_header: str = ""


@dataclass(frozen=True, slots=True)
class Handshake:
    """A question by which a provider checks the address.

    It is one if the method fits and the query has `query`, or the header `header`, or the body's `path`
    equals `equals`. The answer holds the value of `query`, `header` or at `echo` (a path in the body): as
    text, or in a JSON object under `as_field`. `signed` ones are answered only when the message was
    verified; of the others, those with a `token_query` must bring the option `verify_token` in it.
    """

    method: str = "POST"
    query: str = ""
    header: str = ""
    token_query: str = ""
    path: str = ""
    equals: str = ""
    echo: str = ""
    as_field: str = ""
    signed: bool = True


@dataclass(frozen=True, slots=True)
class Scheme:
    """One way to prove where a webhook comes from, and where the facts are in it."""

    name: str
    title: str
    kind: str  # `hmac`, or the name of code in `special`
    hmac: Hmac | None = None
    docs: str = ""
    hint: str = ""
    secret_help: str = ""
    needs_secret: bool = True
    connectors: tuple[str, ...] = ()
    event_id: tuple[Place, ...] = ()
    event_type: tuple[Place, ...] = ()
    accepted: Answer = Answer()
    refused: Answer | None = None
    handshakes: tuple[Handshake, ...] = ()
    options: tuple[str, ...] = ()
    max_bytes: int = 5 * 2**20
    deduplicate: bool = True


def parse(document: Mapping[str, Any]) -> Scheme:
    """A scheme from a YAML document. Raises SchemeError."""
    known = {
        "name", "title", "verify", "docs", "hint", "secret", "connectors", "event_id", "event_type", "answer",
        "refused", "handshakes", "options", "max_bytes", "deduplicate",
    }  # fmt: skip
    problems = [(f"/{name}", "is not known here.") for name in document if name not in known]
    if problems:
        raise SchemeError(problems)
    verify = dict(document["verify"])
    kind = str(verify.pop("kind", "hmac"))
    secret = document.get("secret") or {}
    return Scheme(
        name=str(document["name"]),
        title=str(document["title"]),
        kind=kind,
        hmac=hmac_of(verify) if kind == "hmac" else None,
        docs=str(document.get("docs", "")),
        hint=str(document.get("hint", "")).strip(),
        secret_help=str(secret.get("help", "")).strip(),
        needs_secret=bool(secret.get("needed", True)),
        connectors=tuple(document.get("connectors", ())),
        event_id=places_of(document.get("event_id", ()), "/event_id"),
        event_type=places_of(document.get("event_type", ()), "/event_type"),
        accepted=Answer(**document.get("answer", {})),
        refused=Answer(**document["refused"]) if "refused" in document else None,
        handshakes=tuple(Handshake(**item) for item in document.get("handshakes", ())),
        options=tuple(document.get("options", ())),
        max_bytes=int(document.get("max_bytes", 5 * 2**20)),
        deduplicate=bool(document.get("deduplicate", True)),
    )


def hmac_of(given: Mapping[str, Any], pointer: str = "/verify") -> Hmac:
    """The facts of an HMAC scheme, checked. Raises SchemeError naming each wrong one."""
    problems = list(_hmac_problems(given, pointer))
    template = None
    try:
        template = Template.parse(str(given.get("signed", "{body}")))
    except ValueError as error:
        problems.append((f"{pointer}/signed", str(error)))
    if template is not None:
        if "timestamp" in template.names and not (
            given.get("timestamp_header") or given.get("timestamp_pair")
        ):
            problems.append((f"{pointer}/timestamp_header", "Say which header holds the signed timestamp."))
        if "id" in template.names and not given.get("id_header"):
            problems.append((f"{pointer}/id_header", "Say which header holds the signed id."))
        if given.get("timestamp_header") and "timestamp" not in template.names:
            problems.append((f"{pointer}/signed", "A timestamp that is not signed proves nothing."))
    if problems or template is None:
        raise SchemeError(problems)
    return Hmac(**{**given, "signed": template})


def _hmac_problems(given: Mapping[str, Any], pointer: str) -> Iterator[tuple[str, str]]:
    texts = ("header", "prefix", "timestamp_header", "id_header", "pair", "timestamp_pair", "signed")
    choices = {"algorithm": ALGORITHMS, "encoding": ENCODINGS, "key": KEYS, "timestamp_unit": tuple(UNITS)}
    for name, value in given.items():
        where = f"{pointer}/{name}"
        if name in choices:
            if value not in choices[name]:
                yield where, f"is one of {', '.join(choices[name])}."
        elif name in texts:
            if not isinstance(value, str) or len(value) > 200:
                yield where, "is text of at most 200 characters."
            elif name.endswith("header") and value and not _HEADER.fullmatch(value):
                yield where, "is not the name of a header."
        elif name == "tolerance":
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_TOLERANCE:
                yield where, f"is a number of seconds from 1 to {MAX_TOLERANCE:,}."
        elif name in ("numbered", "decode_url"):
            if not isinstance(value, bool):
                yield where, "is true or false."
        else:
            yield where, "is not known here."
    if not given.get("header"):
        yield f"{pointer}/header", "Say which header holds the signature."


def places_of(given: Any, pointer: str) -> tuple[Place, ...]:
    """Places from a list of objects, or from one. Raises SchemeError."""
    items = [given] if isinstance(given, Mapping) else given
    if not isinstance(items, (list, tuple)) or len(items) > 10:
        raise SchemeError([(pointer, "is a list of at most 10 places.")])
    found = []
    for number, item in enumerate(items):
        where = f"{pointer}/{number}"
        if not isinstance(item, Mapping) or len(item) != 1 or not set(item) <= {"header", "path", "form"}:
            raise SchemeError([(where, "names one of header, path, form.")])
        (name, value), *_ = item.items()
        if not isinstance(value, str) or not value or len(value) > 300:
            raise SchemeError([(f"{where}/{name}", "is text of at most 300 characters.")])
        if name == "path":
            problem = path_problem(value)
            if problem:
                raise SchemeError([(f"{where}/path", problem)])
        elif name == "header" and not _HEADER.fullmatch(value):
            raise SchemeError([(f"{where}/header", "is not the name of a header.")])
        found.append(Place(**{name: value}))
    return tuple(found)


def path_problem(text: str) -> str:
    """What is wrong with a JMESPath expression; empty if nothing is."""
    try:
        jmespath.compile(text)
    except (JMESPathError, RecursionError) as error:
        return f"is not a JMESPath expression: {str(error).splitlines()[0][:150]}"
    return ""
