"""Money: an amount and the currency that it is in."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import Any, NamedTuple

from apps.records.fields.base import Bind, FieldType, Inline, check_characters, nullable, register
from apps.records.fields.currencies import MINOR_UNITS, SHARED_SYMBOLS, SYMBOLS
from apps.records.fields.definition import Field
from apps.records.fields.numbers import (
    MAX_DECIMALS,
    check_range,
    decimal_fast,
    decimal_pattern,
    decimal_sort_text,
    plain_decimal,
    scaled,
)
from apps.records.fields.problems import ValueProblem, refuse


class Amount(NamedTuple):
    """An amount of money to calculate with."""

    amount: Decimal
    currency: str


_WRITTEN = re.compile(
    r"(?P<before>[^\d\s.+-]{1,3})?\s*(?P<amount>[-+\d.eE]*\d\.?)\s*(?P<after>[^\d\s.+-]{1,3})?"
)


@register
class Money(FieldType):
    """`{"amount": "12.30", "currency": "EUR"}`; a number, where the field fixes the currency; or a text as
    "12.30 EUR" or "€12.30". The amount has the field's decimals, else at least those of its currency."""

    name = "money"
    label = "Money"

    def parse(self, value: Any, field: Field, *, timezone: dt.tzinfo = dt.UTC) -> dict[str, str]:
        amount, currency = self._split(value, field)
        currency = self._currency(currency, value, field)
        text = scaled(plain_decimal(amount, field), value, field, field.decimal_places)
        if field.decimal_places is None:
            text = scaled(_trimmed(text, MINOR_UNITS[currency]), value, field, None)
        if field.minimum is not None or field.maximum is not None:
            check_range(Decimal(text), value, field)
        return {"amount": text, "currency": currency}

    def _split(self, value: Any, field: Field) -> tuple[Any, str | None]:
        if isinstance(value, dict):
            if not {"amount"} <= value.keys() <= {"amount", "currency"} or value["amount"] in (None, ""):
                raise refuse(
                    "not_money",
                    value,
                    field,
                    'is not money; expected {"amount": "12.30", "currency": "EUR"}.',
                )
            currency = value.get("currency")
            if currency is not None and not isinstance(currency, str):
                raise refuse("not_a_currency", currency, field, "is not a currency code such as EUR.")
            return value["amount"], currency or None
        if isinstance(value, list | tuple):
            raise ValueProblem("not_money", "A list was given where an amount of money is expected.")
        if not isinstance(value, str):
            return value, None
        check_characters(value, field)
        text = value.strip()
        found = _WRITTEN.fullmatch(text) if len(text) <= 200 else None
        if found is None or (found["before"] and found["after"]):
            raise refuse(
                "not_money", value, field, "is not an amount of money; expected one such as 1250.75 EUR."
            )
        return found["amount"], found["before"] or found["after"]

    @staticmethod
    def _currency(given: str | None, value: Any, field: Field) -> str:
        code = given.strip().upper() if given else None
        if code in SHARED_SYMBOLS and field.currency in SHARED_SYMBOLS[code]:
            code = field.currency
        code = SYMBOLS.get(code, code) if code else field.currency
        if code is None:
            raise refuse("not_a_currency", value, field, "has no currency; expected one such as 12.30 EUR.")
        if code not in MINOR_UNITS:
            raise refuse("not_a_currency", given, field, "is not an ISO 4217 currency code such as EUR.")
        if field.currency is not None and code != field.currency:
            raise refuse("wrong_currency", value, field, f"is in {code}; expected {field.currency}.")
        return code

    def fast(self, field: Field, bind: Bind) -> Inline | None:
        if field.currency is None:
            return None
        places = MINOR_UNITS.get(field.currency) if field.decimal_places is None else field.decimal_places
        if places is None:
            return None
        return Inline(
            decimal_fast(field, places, bind), f'{{"amount": v, "currency": {bind(field.currency)}}}'
        )

    def to_python(self, value: Any) -> Amount | None:
        return None if value is None else Amount(Decimal(value["amount"]), value["currency"])

    def json_schema(self, field: Field) -> dict[str, Any]:
        currency: dict[str, Any] = {"type": "string", "pattern": "^[A-Z]{3}$"}
        if field.currency:
            currency = {"const": field.currency}
        schema = {
            "type": "object",
            "properties": {
                "amount": {"type": "string", "pattern": decimal_pattern(field.decimal_places)},
                "currency": currency,
            },
            "required": ["amount", "currency"],
            "additionalProperties": False,
        }
        return nullable(schema, field)

    def display(self, value: Any, field: Field | None = None) -> str:
        return "" if value is None else f"{value['amount']} {value['currency']}"

    def sort_text(self, value: Any, field: Field) -> str:
        return f"{decimal_sort_text(value['amount'])} {value['currency']}"


def _trimmed(text: str, places: int) -> str:
    """At least `places` decimals, and no zeros after them: one way to write one amount."""
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0").ljust(places, "0")[:MAX_DECIMALS]
    return f"{whole}.{fraction}" if fraction else whole
