"""Types whose canonical form is a text: text, e-mail, URL, phone, choice, reference."""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
import unicodedata
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from apps.kernel.patterns import compile_pattern
from apps.records.fields.base import (
    MAX_TEXT,
    SORT_LENGTH,
    Bind,
    FieldType,
    Inline,
    nullable,
    register,
    text_of,
)
from apps.records.fields.definition import Field
from apps.records.fields.problems import refuse

_IS_TEXT = "v.__class__ is str"
KEY_LENGTH = 190
"""Characters of a record's key at most."""


def is_composed(text: str) -> bool:
    """Whether a text beyond ASCII can be stored as it is: in form C, and no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return unicodedata.is_normalized("NFC", text)


def _plain(bind: Bind) -> str:
    """The condition that `v` is a text which, without its outer white space, is clean already."""
    clean = f"(v.isascii() or {bind(is_composed)}(v))"
    return f"{_IS_TEXT} and (v := v.strip()) and {clean} and '\\0' not in v"


class Textual(FieldType):
    """What the text types share: length, pattern, sorting without regard to case."""

    max_length = MAX_TEXT

    def limit(self, field: Field) -> int:
        """Characters that the field takes at most."""
        return self.max_length if field.max_length is None else min(field.max_length, MAX_TEXT)

    def check(self, text: str, field: Field) -> str:
        """The text, if its length and pattern are right. Raises ValueProblem."""
        length = len(text)
        if length > self.limit(field):
            raise refuse(
                "too_long", text, field, f"has {length} characters; at most {self.limit(field)} are allowed."
            )
        if field.min_length is not None and length < field.min_length:
            raise refuse(
                "too_short", text, field, f"has {length} characters; at least {field.min_length} are needed."
            )
        if field.pattern is not None:
            check_pattern(text, field.pattern, field)
        return text

    def json_schema(self, field: Field) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "string"}
        if field.min_length is not None:
            schema["minLength"] = field.min_length
        if field.max_length is not None:
            schema["maxLength"] = field.max_length
        if field.pattern is not None:
            schema["pattern"] = f"^(?:{field.pattern})$"
        return nullable(schema, field)

    def sort_text(self, value: Any, field: Field) -> str:
        text: str = value
        if text.isascii():
            return text[:SORT_LENGTH].lower()
        return unicodedata.normalize("NFC", text[:SORT_LENGTH].casefold())[:SORT_LENGTH]


def check_pattern(text: str, pattern: str, field: Field) -> None:
    """Raises ValueProblem unless the whole text matches."""
    safe = compile_pattern(pattern)
    if len(text) > safe.max_input:
        raise refuse(
            "too_long",
            text,
            field,
            f"has {len(text)} characters; its pattern can be checked on at most {safe.max_input}.",
        )
    if safe.regex.fullmatch(text) is None:
        raise refuse("pattern_mismatch", text, field, f"does not match the pattern {pattern}.")


@register
class Text(Textual):
    name = "text"
    label = "Text"

    def parse(self, value: Any, field: Field, *, timezone: dt.tzinfo = dt.UTC) -> str:
        return self.check(text_of(value, field), field)

    def fast(self, field: Field, bind: Bind) -> Inline | None:
        condition = f"{_plain(bind)} and len(v) <= {int(self.limit(field))}"
        if field.min_length is not None:
            condition += f" and len(v) >= {int(field.min_length)}"
        if field.pattern is not None:
            safe = compile_pattern(field.pattern)
            condition += f" and len(v) <= {safe.max_input} and {bind(safe.regex.fullmatch)}(v)"
        return Inline(condition)


@register
class Reference(Textual):
    """The key of a record of another dataset. Whether that record exists is the store's question."""

    name = "reference"
    label = "Reference"
    max_length = KEY_LENGTH

    def parse(self, value: Any, field: Field, *, timezone: dt.tzinfo = dt.UTC) -> str:
        return self.check(text_of(value, field), field)

    def fast(self, field: Field, bind: Bind) -> Inline | None:
        if field.min_length is not None or field.pattern is not None:
            return None
        return Inline(f"{_plain(bind)} and len(v) <= {int(self.limit(field))}")

    def json_schema(self, field: Field) -> dict[str, Any]:
        schema = super().json_schema(field)
        if field.reference:
            schema["description"] = f"Key of a record of the dataset {field.reference}."
        return schema


_EMAIL_FAST = re.compile(
    r"[A-Za-z0-9_+-]++(?:\.[A-Za-z0-9_+-]++)*+@(?:[a-z0-9]++(?:-++[a-z0-9]++)*+\.)++[a-z]{2,24}"
)
_BEYOND = r"[^\x00-\u02ff\s]"  # letters of other scripts together with their marks
_LOCAL = re.compile(
    rf"(?:[\w!#$%&'*+/=?^`{{|}}~-]|{_BEYOND})++(?:\.(?:[\w!#$%&'*+/=?^`{{|}}~-]|{_BEYOND})++)*+"
)
_LABEL = re.compile(rf"(?:[^\W_]|{_BEYOND})++(?:-++(?:[^\W_]|{_BEYOND})++)*+")


def valid_domain(domain: str, *, dotted: bool) -> bool:
    """Whether it is a DNS name (RFC 1035 lengths, RFC 5890 letters of any script)."""
    labels = domain.split(".")
    if len(domain) > 253 or (dotted and (len(labels) < 2 or labels[-1].isdigit())):
        return False
    return all(len(label) <= 63 and _LABEL.fullmatch(label) for label in labels)


@register
class Email(Textual):
    """An e-mail address as people write it (RFC 5321 without quoted local parts; RFC 6531 letters)."""

    name = "email"
    label = "E-mail"
    max_length = 254

    def parse(self, value: Any, field: Field, *, timezone: dt.tzinfo = dt.UTC) -> str:
        text = text_of(value, field)
        local, at, domain = text.rpartition("@")
        domain = unicodedata.normalize("NFC", domain.lower())
        if not at or len(local) > 64 or not _LOCAL.fullmatch(local) or not valid_domain(domain, dotted=True):
            raise refuse(
                "not_an_email", text, field, "is not an e-mail address; expected one such as ann@example.com."
            )
        return self.check(f"{local}@{domain}", field)

    def fast(self, field: Field, bind: Bind) -> Inline | None:
        if field.min_length is not None or field.pattern is not None:
            return None
        limit = min(64, self.limit(field))
        return Inline(f"{_IS_TEXT} and len(v) <= {int(limit)} and {bind(_EMAIL_FAST.fullmatch)}(v)")

    def json_schema(self, field: Field) -> dict[str, Any]:
        schema = super().json_schema(field)
        schema["format"] = "idn-email"
        return schema


# Canonical already: small letters, an ordinary host, a path, perhaps a query, nothing to cut off or to weigh.
_URL_FAST = re.compile(
    r"https?://(?:[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?\.){1,4}[a-z]{2,63}"
    r"/[A-Za-z0-9\-._~!$&'()*+,;=:@%/]*(?:\?[A-Za-z0-9\-._~!$&'()*+,;=:@%/]+)?"
)
_URL_BAD = re.compile(r"[\s\x00-\x1f\x7f\"<>\\^`{|}]")


@register
class Url(Textual):
    """An absolute http or https address (RFC 3986, RFC 3987). Scheme and host are lower-cased."""

    name = "url"
    label = "URL"
    max_length = 2048

    def parse(self, value: Any, field: Field, *, timezone: dt.tzinfo = dt.UTC) -> str:
        text = text_of(value, field)
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if host is None or _URL_BAD.search(text) or not self._valid_host(host) or port == 0:
            raise refuse(
                "not_a_url",
                text,
                field,
                "is not a URL; expected an address such as https://example.com/page.",
            )
        if parts.scheme not in ("http", "https"):
            raise refuse("not_a_url", text, field, "is not an http or https address.")
        userinfo, at, place = parts.netloc.rpartition("@")
        canonical = urlunsplit(
            (parts.scheme, userinfo + at + place.lower(), parts.path, parts.query, parts.fragment)
        )
        return self.check(canonical, field)

    def fast(self, field: Field, bind: Bind) -> Inline | None:
        if field.min_length is not None or field.pattern is not None:
            return None
        return Inline(f"{_IS_TEXT} and len(v) <= {int(self.limit(field))} and {bind(_URL_FAST.fullmatch)}(v)")

    @staticmethod
    def _valid_host(host: str) -> bool:
        if ":" not in host:
            return valid_domain(host.removesuffix("."), dotted=False)
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            return False
        return True

    def json_schema(self, field: Field) -> dict[str, Any]:
        schema = super().json_schema(field)
        schema["format"] = "iri"
        return schema


_PHONE = re.compile(r"\+?[0-9]{3,15}")
_PHONE_FAST = re.compile(r"\+[1-9][0-9]{6,14}")
_EXTENSION = re.compile(r"\s*(?:;ext=|ext\.?|extension|x|#)\s*([0-9]{1,7})$", re.IGNORECASE)
_ZERO_IS_PART = {"+39", "+378", "+379"}  # Italy's numbers begin with their 0, also from abroad
_PHONE_MARKS = str.maketrans("", "", " \t\u00a0\u202f\u2009-‐‑‒–.()/[]")


@register
class Phone(Textual):
    """A phone number as "+" and digits (ITU-T E.164), an extension as ";ext=" (RFC 3966).

    `Field.format` is the country calling code for numbers without one ("+49"). Without it a national number
    is kept as its digits: no country is invented.
    """

    name = "phone"
    label = "Phone"
    max_length = 32

    def parse(self, value: Any, field: Field, *, timezone: dt.tzinfo = dt.UTC) -> str:
        text = text_of(value, field)
        number, extension = text.removeprefix("tel:"), ""
        if len(number) <= 64 and (found := _EXTENSION.search(number)):
            number, extension = number[: found.start()], f";ext={found[1]}"
        if "+" in number:
            number = number.replace("(0)", "")
        digits = number.translate(_PHONE_MARKS)
        if digits.startswith("00"):
            digits = "+" + digits[2:]
        elif field.format and not digits.startswith("+"):
            keeps_zero = field.format in _ZERO_IS_PART
            digits = field.format + (digits if keeps_zero else digits.removeprefix("0"))
        if (
            len(text) > 64
            or not _PHONE.fullmatch(digits)
            or (digits[0] == "+" and not _PHONE_FAST.fullmatch(digits))
        ):
            raise refuse(
                "not_a_phone", text, field, "is not a phone number; expected one such as +49 30 1234567."
            )
        return self.check(digits + extension, field)

    def fast(self, field: Field, bind: Bind) -> Inline | None:
        if field.min_length is not None or field.max_length is not None or field.pattern is not None:
            return None
        return Inline(f"{_IS_TEXT} and {bind(_PHONE_FAST.fullmatch)}(v)")


@lru_cache(maxsize=512)
def choice_values(choices: tuple[tuple[str, str], ...]) -> tuple[dict[str, str], dict[str, str]]:
    """Stored values by what is written exactly, and by value or label without regard to case."""
    exact = {label: value for value, label in choices} | {value: value for value, _ in choices}
    folded: dict[str, str] = {}
    for value, label in choices:
        folded.setdefault(label.strip().casefold(), value)
    for value, _ in choices:
        folded[value.strip().casefold()] = value
    return exact, folded


@register
class Choice(FieldType):
    """One of a few values, written as its value or its label."""

    name = "choice"
    label = "Choice"

    def parse(self, value: Any, field: Field, *, timezone: dt.tzinfo = dt.UTC) -> str:
        text = text_of(value, field)
        exact, folded = choice_values(field.choices)
        found = exact.get(text) or folded.get(text.casefold())
        if found is None:
            known = [choice for choice, _ in field.choices]
            listed = ", ".join(known[:8]) + (f" and {len(known) - 8} more" if len(known) > 8 else "")
            raise refuse("not_a_choice", text, field, f"is not one of: {listed}.")
        return found

    def fast(self, field: Field, bind: Bind) -> Inline | None:
        known = bind(choice_values(field.choices)[0])
        return Inline(f"{_IS_TEXT} and v in {known}", f"{known}[v]")

    def json_schema(self, field: Field) -> dict[str, Any]:
        return nullable({"type": "string", "enum": [value for value, _ in field.choices]}, field)

    def display(self, value: Any, field: Field | None = None) -> str:
        if value is None:
            return ""
        return dict(field.choices).get(value, str(value)) if field else str(value)

    def sort_text(self, value: Any, field: Field) -> str:
        return unicodedata.normalize("NFC", str(value)[:SORT_LENGTH].casefold())[:SORT_LENGTH]
