"""A mapping's specification: stored as JSON, checked against fields and columns before any row is read."""

from __future__ import annotations

from typing import Any

import pytest

from apps.kernel.errors import InvalidInput
from apps.records.fields import Field
from apps.records.mapping import FieldMapping, MappingSpec, Rule, Step, check

FIELDS = (
    Field("number", "text", required=True),
    Field("total", "decimal", decimal_places=2),
    Field("status", "choice", choices=(("open", "Open"), ("done", "Done"))),
    Field("due", "date"),
    Field("extra", "json"),
)
WHOLE = {
    "fields": [
        {"target": "number", "source": "@column:Invoice no.", "required": True},
        {
            "target": "total",
            "source": "amounts.total",
            "transforms": ["trim", {"name": "number", "locale": "de"}],
            "default": "0",
            "validation": [{"rule": "min", "value": "0"}],
        },
        {"target": "status", "constant": "Open"},
    ],
    "unmapped": "error",
}


def test_a_specification_survives_being_stored() -> None:
    read = MappingSpec.from_dict(WHOLE)
    assert read.to_dict() == WHOLE
    assert read.fields[1] == FieldMapping(
        "total",
        "amounts.total",
        (Step("trim"), Step("number", {"locale": "de"})),
        default="0",
        validation=(Rule("min", "0"),),
    )
    assert check(read, FIELDS) == []


def test_pipes_may_be_typed_as_text_and_rules_as_an_object() -> None:
    read = MappingSpec.from_dict(
        {"fields": [{"target": "total", "source": "a", "transforms": "trim | abs", "validation": {"max": 5}}]}
    )
    assert read.fields[0].transforms == (Step("trim"), Step("abs"))
    assert read.fields[0].validation == (Rule("max", 5),)


@pytest.mark.parametrize(
    ("data", "pointer", "code"),
    [
        ([], "/fields", "invalid_mapping"),
        ({"fields": "number"}, "/fields", "invalid_mapping"),
        ({"fields": [], "colour": 1}, "/colour", "unknown_option"),
        ({"fields": [], "unmapped": "drop"}, "/unmapped", "invalid_option"),
        ({"fields": ["number"]}, "/fields/0", "not_an_object"),
        ({"fields": [{"source": "a"}]}, "/fields/0/target", "required"),
        ({"fields": [{"target": "number", "sauce": "a"}]}, "/fields/0/sauce", "unknown_option"),
        ({"fields": [{"target": "number", "source": 5}]}, "/fields/0/source", "invalid_source"),
        ({"fields": [{"target": "number", "required": 1}]}, "/fields/0/required", "invalid_option"),
        ({"fields": [{"target": "a", "transforms": 5}]}, "/fields/0/transforms", "invalid_pipe"),
        ({"fields": [{"target": "a", "transforms": ["x"]}]}, "/fields/0/transforms/0", "unknown_transform"),
        (
            {"fields": [{"target": "a", "transforms": "trim|split(5)"}]},
            "/fields/0/transforms/1",
            "invalid_parameter",
        ),
        (
            {"fields": [{"target": "a", "validation": [{"rule": "min"}]}]},
            "/fields/0/validation/0",
            "invalid_rule",
        ),
    ],
)
def test_a_specification_of_the_wrong_shape_names_the_entry(data: Any, pointer: str, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        MappingSpec.from_dict(data)
    assert [(error.pointer, error.code) for error in caught.value.errors] == [(pointer, code)]


@pytest.mark.parametrize(
    ("item", "option", "code"),
    [
        ({"target": "colour", "source": "a"}, "target", "unknown_field"),
        ({"target": "number"}, "source", "required"),
        ({"target": "number", "source": "a", "constant": "b"}, "constant", "ambiguous_value"),
        ({"target": "number", "source": "a["}, "source", "invalid_source"),
        ({"target": "number", "source": "Invoice no."}, "source", "invalid_source"),
        (
            {"target": "number", "source": "a", "transforms": "concat('{a[}')"},
            "transforms/0",
            "invalid_source",
        ),
        (
            {"target": "number", "source": "a", "transforms": "trim|date('x')"},
            "transforms/1",
            "invalid_parameter",
        ),
        ({"target": "total", "source": "a", "default": "many"}, "default", "invalid_value"),
        ({"target": "status", "constant": "closed"}, "constant", "invalid_value"),
        ({"target": "total", "source": "a", "validation": {"min": "few"}}, "validation/0", "invalid_rule"),
        ({"target": "total", "source": "a", "validation": {"about": 5}}, "validation/0", "invalid_rule"),
        (
            {"target": "number", "source": "a", "validation": {"pattern": "(a+)+b"}},
            "validation/0",
            "invalid_rule",
        ),
        ({"target": "number", "source": "a", "validation": {"length": "5"}}, "validation/0", "invalid_rule"),
        ({"target": "number", "source": "a", "validation": {"in": []}}, "validation/0", "invalid_rule"),
        ({"target": "status", "source": "a", "validation": {"eq": "closed"}}, "validation/0", "invalid_rule"),
        ({"target": "extra", "source": "a", "validation": {"min": 1}}, "validation/0", "invalid_rule"),
    ],
)
def test_what_cannot_work_with_the_fields_is_named(item: dict[str, Any], option: str, code: str) -> None:
    errors = check(MappingSpec.from_dict({"fields": [{"target": "due", "source": "b"}, item]}), FIELDS)
    assert [(error.pointer, error.code) for error in errors] == [(f"/fields/1/{option}", code)]
    assert errors[0].detail.endswith(".")


def test_a_field_is_mapped_once_and_a_mapping_maps_something() -> None:
    twice = MappingSpec((FieldMapping("number", "a"), FieldMapping("number", "b")))
    assert [error.code for error in check(twice, FIELDS)] == ["duplicate_target"]
    assert [error.code for error in check(MappingSpec(), FIELDS)] == ["required"]


def test_with_columns_at_hand_the_sources_are_looked_for() -> None:
    columns = ["Invoice no.", "net", "net", "vat"]
    sound = MappingSpec(
        (FieldMapping("number", "Invoice no."), FieldMapping("total", "vat"), FieldMapping("extra", "[vat]"))
    )
    assert check(sound, FIELDS, columns) == []
    wrong = MappingSpec(
        (
            FieldMapping("number", "@column:No."),
            FieldMapping("total", "net"),
            FieldMapping("extra", "{n: gross, v: vat}"),
            FieldMapping("due", "vat", ("trim", {"name": "coalesce", "sources": "date"})),  # type: ignore[arg-type]
        )
    )
    assert [(error.pointer, error.code) for error in check(wrong, FIELDS, columns)] == [
        ("/fields/0/source", "unknown_column"),
        ("/fields/1/source", "ambiguous_column"),
        ("/fields/2/source", "unknown_column"),
        ("/fields/3/transforms/1", "unknown_column"),
    ]
