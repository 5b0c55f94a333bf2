"""Definitions of fields: stored as JSON, checked before any value is read by them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import jsonschema
import pytest

from apps.kernel.errors import InvalidInput
from apps.records.fields import Field, from_dict, json_schema, to_dict, validate_definition

FULL = Field(
    "price",
    "money",
    label="Price",
    required=True,
    unique=True,
    indexed=True,
    minimum=Decimal("0.5"),
    maximum=100,
    max_digits=10,
    decimal_places=2,
    currency="EUR",
    default="1.00",
    help="What it costs.",
    synonyms=("amount", "cost"),
    sensitive=True,
)


def test_a_field_survives_being_stored() -> None:
    status = Field("status", "choice", choices=(("open", "Open"), ("done", "Done")))
    assert to_dict(Field("name", "text")) == {"name": "name", "type": "text"}
    assert to_dict(status)["choices"] == [["open", "Open"], ["done", "Done"]]
    assert from_dict(to_dict(status)) == status
    stored = to_dict(FULL)
    assert stored["minimum"] == "0.5"
    assert to_dict(from_dict(stored)) == stored


def test_choices_may_be_given_as_plain_texts() -> None:
    read = from_dict({"name": "size", "type": "choice", "choices": ["S", ["M", "Medium"]]})
    assert read.choices == (("S", "S"), ("M", "Medium"))


@pytest.mark.parametrize(
    ("data", "pointer", "code"),
    [
        ("text", "", "not_an_object"),
        ({"type": "text"}, "/name", "required"),
        ({"name": "a", "type": "text", "colour": "red"}, "/colour", "unknown_option"),
        ({"name": "a", "type": "text", "a/b": 1}, "/a~1b", "unknown_option"),
        ({"name": "a", "type": "text", "required": "yes"}, "/required", "invalid_option"),
        ({"name": 5, "type": "text"}, "/name", "invalid_option"),
        ({"name": "a", "type": "text", "max_length": True}, "/max_length", "invalid_option"),
        ({"name": "a", "type": "integer", "minimum": [1]}, "/minimum", "invalid_option"),
        ({"name": "a", "type": "integer", "minimum": float("nan")}, "/minimum", "invalid_option"),
        ({"name": "a", "type": "choice", "choices": "abc"}, "/choices", "invalid_option"),
        ({"name": "a", "type": "choice", "choices": [["a", 1]]}, "/choices", "invalid_option"),
        ({"name": "a", "type": "text", "synonyms": [1]}, "/synonyms", "invalid_option"),
    ],
)
def test_a_definition_of_the_wrong_shape_names_the_entry(data: Any, pointer: str, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        from_dict(data)
    assert [(error.pointer, error.code) for error in caught.value.errors] == [(pointer, code)]


def test_a_sound_definition_has_no_errors() -> None:
    assert (
        validate_definition(
            [
                Field("number", "text", required=True, unique=True, pattern=r"INV-\d{4}", max_length=20),
                Field("status", "choice", choices=(("open", "Open"), ("done", "Done")), default="Open"),
                FULL,
                Field("client", "reference", reference="clients", indexed=True),
                Field("due", "date", minimum="2020-01-01", maximum="2030-12-31", format="%d.%m.%Y"),
                Field("seen", "datetime", minimum="2020-01-01T00:00:00Z"),
                Field("phone", "phone", format="+49"),
                Field("extra", "json", default={"a": 1}),
            ]
        )
        == []
    )


@pytest.mark.parametrize(
    ("field", "option", "code"),
    [
        (Field("Name", "text"), "name", "invalid_name"),
        (Field("a" * 61, "text"), "name", "invalid_name"),
        (Field("a__gte", "text"), "name", "invalid_name"),
        (Field("ordering", "text"), "name", "reserved_name"),
        (Field("a", "colour"), "type", "unknown_type"),
        (Field("a", "integer", max_length=5), "max_length", "not_applicable"),
        (Field("a", "text", minimum=5), "minimum", "not_applicable"),
        (Field("a", "text", max_length=0), "max_length", "out_of_range"),
        (Field("a", "text", min_length=5, max_length=4), "min_length", "range_empty"),
        (Field("a", "text", pattern="("), "pattern", "invalid_pattern"),
        (Field("a", "text", pattern="(a+)+b"), "pattern", "invalid_pattern"),
        (Field("a", "integer", minimum="x"), "minimum", "not_a_number"),
        (Field("a", "integer", minimum=5, maximum=4), "minimum", "range_empty"),
        (Field("a", "date", minimum="1.1.2024"), "minimum", "not_a_date"),
        (Field("a", "date", minimum="2024-01-01T00:00:00Z"), "minimum", "not_a_date"),
        (Field("a", "datetime", maximum=5), "maximum", "not_a_datetime"),
        (Field("a", "decimal", decimal_places=19), "decimal_places", "out_of_range"),
        (Field("a", "decimal", max_digits=2, decimal_places=3), "decimal_places", "range_empty"),
        (Field("a", "decimal", max_digits=0), "max_digits", "out_of_range"),
        (Field("a", "choice"), "choices", "required"),
        (Field("a", "choice", choices=((" a", "A"),)), "choices", "invalid_choice"),
        (Field("a", "choice", choices=(("a", "One"), ("b", "ONE"))), "choices", "duplicate_choice"),
        (Field("a", "text", choices=(("a", "A"),)), "choices", "not_applicable"),
        (Field("a", "reference"), "reference", "required"),
        (Field("a", "text", reference="clients"), "reference", "not_applicable"),
        (Field("a", "money", currency="EURO"), "currency", "not_a_currency"),
        (Field("a", "json", indexed=True), "indexed", "not_applicable"),
        (Field("a", "phone", format="49"), "format", "invalid_format"),
        (Field("a", "date", format="%H"), "format", "invalid_format"),
        (Field("a", "date", format="%d %d"), "format", "invalid_format"),
        (Field("a", "integer", default="many"), "default", "not_an_integer"),
    ],
)
def test_what_makes_no_sense_is_named(field: Field, option: str, code: str) -> None:
    errors = validate_definition([Field("first", "text"), field])
    assert [(error.pointer, error.code) for error in errors] == [(f"/fields/1/{option}", code)]
    assert errors[0].detail.endswith(".")


def test_the_limits_of_a_whole_definition_are_held() -> None:
    names = [Field(f"f{number}", "text", indexed=number < 7) for number in range(201)]
    codes = [error.code for error in validate_definition([*names, names[0]])]
    assert codes == ["too_many_fields", "too_many_indexed", "duplicate_name"]
    assert [error.code for error in validate_definition([])] == ["required"]


def test_the_schema_is_json_schema_and_says_what_is_needed() -> None:
    fields = [
        Field("number", "text", required=True, max_length=5, pattern=r"A\d+"),
        Field("status", "choice", choices=(("open", "Open"),)),
        Field("total", "money", currency="EUR", help="With tax."),
    ]
    schema = json_schema("orders", fields)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(
        {"number": "A12", "status": None, "total": {"amount": "1.00", "currency": "EUR"}}
    )
    for wrong in (
        {},
        {"number": None},
        {"number": "B12"},
        {"number": "A12345"},
        {"number": "A1", "status": "Open"},
        {"number": "A1", "total": {"amount": "1.00", "currency": "USD"}},
        {"number": "A1", "other": 1},
    ):
        assert not validator.is_valid(wrong)
    assert schema["properties"]["total"]["description"] == "With tax."
