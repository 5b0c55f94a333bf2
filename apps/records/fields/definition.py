"""What a field of a dataset is: its name, its type and what its values must satisfy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from decimal import Decimal
from typing import Any

from apps.kernel.errors import FieldError, InvalidInput

Bound = int | str | Decimal
"""A minimum or maximum: a number for number types, an ISO 8601 text for dates and times."""


@dataclass(frozen=True, slots=True)
class Field:
    """One typed field of a dataset. `type` names an entry of `apps.records.fields.FIELD_TYPES`.

    `minimum` and `maximum` bound numbers, amounts of money, dates and times; `min_length` and `max_length`
    count characters. `choices` are pairs of stored value and label. `reference` is the slug of the dataset
    whose record keys a reference holds. `currency` fixes the currency of a money field. `format` is one more
    accepted way of writing: a strptime format for dates and times, a country calling code such as `+49` for
    phone numbers. The values of a `sensitive` field never appear in messages.
    """

    name: str
    type: str
    label: str = ""
    required: bool = False
    unique: bool = False
    indexed: bool = False
    max_length: int | None = None
    min_length: int | None = None
    minimum: Bound | None = None
    maximum: Bound | None = None
    max_digits: int | None = None
    decimal_places: int | None = None
    pattern: str | None = None
    choices: tuple[tuple[str, str], ...] = ()
    reference: str | None = None
    reference_field: str | None = None
    currency: str | None = None
    default: Any = None
    help: str = ""
    synonyms: tuple[str, ...] = ()
    format: str | None = None
    sensitive: bool = False

    @property
    def title(self) -> str:
        """The label, or the name made readable."""
        return self.label or self.name.replace("_", " ").capitalize()


_TEXTS = {"name", "type", "label", "help"}
_OPTIONAL_TEXTS = {"pattern", "reference", "reference_field", "currency", "format"}
_FLAGS = {"required", "unique", "indexed", "sensitive"}
_COUNTS = {"max_length", "min_length", "max_digits", "decimal_places"}
_DEFAULTS = {f.name: f.default for f in fields(Field) if f.default is not MISSING}


def to_dict(field: Field) -> dict[str, Any]:
    """The field as JSON data, without what is left at its default."""
    data: dict[str, Any] = {}
    for attribute in fields(Field):
        value = getattr(field, attribute.name)
        if attribute.name in _DEFAULTS and value == _DEFAULTS[attribute.name]:
            continue
        if attribute.name == "choices":
            value = [[choice, label] for choice, label in value]
        elif isinstance(value, tuple):
            value = list(value)
        elif isinstance(value, Decimal):
            value = format(value, "f")
        data[attribute.name] = value
    return data


def from_dict(data: Mapping[str, Any], *, pointer: str = "") -> Field:
    """The field that `to_dict` wrote, or a person typed. Raises InvalidInput that names every wrong entry.

    Only the shape is checked here; whether the definition makes sense is `validate_definition`'s question.
    """
    if not isinstance(data, Mapping):
        raise InvalidInput(
            "A field is an object with a name and a type.",
            errors=[FieldError(pointer, "not_an_object", "A field is an object with a name and a type.")],
        )
    errors: list[FieldError] = []
    values: dict[str, Any] = {}
    known = {f.name for f in fields(Field)}
    for key, value in data.items():
        if key not in known:
            errors.append(
                FieldError(f"{pointer}/{escape(str(key))}", "unknown_option", f"“{key}” is no field option.")
            )
            continue
        try:
            values[key] = _option(key, value)
        except ValueError as problem:
            errors.append(FieldError(f"{pointer}/{key}", "invalid_option", f"“{key}” {problem}."))
    for key in ("name", "type"):
        if key not in data:
            errors.append(FieldError(f"{pointer}/{key}", "required", f"A field needs a {key}."))
    if errors:
        raise InvalidInput(errors[0].detail, errors=errors)
    return Field(**values)


def escape(token: str) -> str:
    """A name as one token of an RFC 6901 JSON pointer."""
    return token.replace("~", "~0").replace("/", "~1")


def _option(key: str, value: Any) -> Any:
    if key == "default":
        return value
    if key in _FLAGS:
        if not isinstance(value, bool):
            raise ValueError("must be true or false")
        return value
    if key in _TEXTS or key in _OPTIONAL_TEXTS:
        if value is None and key in _OPTIONAL_TEXTS:
            return None
        if not isinstance(value, str):
            raise ValueError("must be a text")
        return value
    if value is None:
        return _DEFAULTS[key]
    if key in _COUNTS:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("must be a whole number")
        return value
    if key in ("minimum", "maximum"):
        return _bound(value)
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError("must be a list")
    if key == "choices":
        return tuple(_choice(item) for item in value)
    if not all(isinstance(item, str) for item in value):
        raise ValueError("must be a list of texts")
    return tuple(value)


def _bound(value: Any) -> Bound:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError("must be a number, or a date or time as text")
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, Decimal) and not value.is_finite():
        raise ValueError("must be a finite number")
    return value


def _choice(item: Any) -> tuple[str, str]:
    if isinstance(item, str):
        return item, item
    if isinstance(item, Sequence) and len(item) == 2 and all(isinstance(part, str) for part in item):
        return item[0], item[1]
    raise ValueError("must be a list of texts or of [value, label] pairs")
