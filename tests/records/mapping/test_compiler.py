"""Source rows become checked values: every wrong cell named, nothing shifted, nothing erased by accident."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Collection
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.kernel.errors import InvalidInput
from apps.records.fields import Field, ValueProblem, clean
from apps.records.mapping import (
    FieldMapping,
    MappingSpec,
    RowProblem,
    canonical_json,
    compile_mapping,
    content_hash,
)

FIELDS = (
    Field("number", "text", required=True, max_length=20),
    Field("total", "decimal", decimal_places=2),
    Field("paid", "boolean", default=False),
    Field("due", "date"),
)


def spec(*fields: dict[str, Any], **options: Any) -> MappingSpec:
    return MappingSpec.from_dict({"fields": list(fields), **options})


def test_rows_of_cells_become_values_by_position() -> None:
    mapper = compile_mapping(FIELDS, columns=["total", "number", "due", "paid"])
    batch = mapper.map_rows([["12.5", " A-1 ", "", "yes"], ("7", "A-2", "2024-03-17", "")], 5)
    assert batch.rows == [5, 6]
    assert batch.values == [
        {"number": "A-1", "total": "12.50", "due": None, "paid": True},
        {"number": "A-2", "total": "7.00", "due": "2024-03-17", "paid": False},
    ]
    assert batch.missing == [(), ()]
    assert batch.problems == []


def test_every_wrong_cell_of_a_row_is_named_and_the_other_rows_stand() -> None:
    mapper = compile_mapping(FIELDS, columns=["number", "total", "paid", "due"])
    batch = mapper.map_rows([["A-1", "1", "no", ""], ["", "1,5", "maybe", "soon"], ["A-3", "3", "", ""]])
    assert batch.rows == [1, 3]
    assert sorted(batch.problems) == [
        RowProblem(2, "due", "due", "soon", "not_a_date", "“soon” is not a date; expected YYYY-MM-DD."),
        RowProblem(2, "number", "number", "", "required", "Number is required."),
        RowProblem(
            2,
            "paid",
            "paid",
            "maybe",
            "not_a_boolean",
            "“maybe” is neither yes nor no; expected true or false.",
        ),
        RowProblem(
            2, "total", "total", "1,5", "not_a_number", "“1,5” is not a number; expected one such as 1250.75."
        ),
    ]


def test_a_row_with_cells_too_few_or_too_many_is_one_error_and_never_shifted() -> None:
    mapper = compile_mapping(FIELDS, columns=["number", "total"])
    batch = mapper.map_rows([["A-1"], ["A-2", "1", "x"], "A3", {"number": "A-4"}, None, ["A-5", "5"], []])
    assert batch.values == [{"number": "A-5", "total": "5.00"}]
    assert [(problem.row, problem.column, problem.code) for problem in batch.problems] == [
        (1, "total", "missing_cell"),
        (2, "", "extra_cell"),
        (3, "", "not_a_row"),
        (4, "", "not_a_row"),
        (5, "", "not_a_row"),
        (7, "number", "missing_cell"),
    ]
    assert batch.problems[0].message == (
        "The row has 1 cell, the header has 2; from “total” on they are missing."
    )


def test_other_kinds_of_rows_are_read_as_well() -> None:
    class Pair(NamedTuple):
        number: str
        total: str

    by_position = compile_mapping(FIELDS, columns=["number", "total"])
    assert by_position.map_row(Pair("A", "1"))[0] == {"number": "A", "total": "1.00"}
    assert compile_mapping(FIELDS).map_row(UserDict(number="A"))[0] == {"number": "A"}


def test_objects_tell_absent_from_blank() -> None:
    mapper = compile_mapping(FIELDS)
    batch = mapper.map_rows([{"number": "A-1"}, {"number": "A-2", "total": None, "paid": " "}, {"total": 1}])
    assert batch.values == [
        {"number": "A-1"},
        {"number": "A-2", "total": None, "paid": False},
        {"total": "1.00"},
    ]
    assert batch.missing == [(), (), ("number",)]
    assert batch.problems == []
    assert mapper.required == ("number",)
    assert mapper.defaults == {"paid": False}


def test_a_required_value_that_is_there_but_blank_is_refused() -> None:
    values, problems = compile_mapping(FIELDS).map_row({"number": " "}, 4)
    assert values is None
    assert problems == [RowProblem(4, "number", "number", " ", "required", "Number is required.")]


def test_unknown_names_and_rows_that_are_no_objects_are_refused() -> None:
    batch = compile_mapping(FIELDS).map_rows([{"number": "A", "colour": "red", 5: 1}, ["A"], "A", None])
    assert batch.values == []
    assert [(problem.row, problem.column, problem.code) for problem in batch.problems] == [
        (1, "colour", "unknown_field"),
        (1, "5", "unknown_field"),
        (2, "", "not_an_object"),
        (3, "", "not_an_object"),
        (4, "", "not_an_object"),
    ]


def test_columns_that_are_no_fields_or_come_twice_are_refused_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        compile_mapping(FIELDS, columns=["number", "colour", "number"])
    assert [(error.pointer, error.code) for error in caught.value.errors] == [
        ("/columns/1", "unknown_field"),
        ("/columns/2", "ambiguous_column"),
    ]


def test_required_fields_that_no_column_holds_are_missing_in_every_row() -> None:
    mapper = compile_mapping(FIELDS, columns=["total"])
    assert mapper.map_rows([["1"], ["2"]]).missing == [("number",), ("number",)]
    assert compile_mapping(FIELDS, columns=["total"], update_fields_only=True).map_rows([["1"]]).missing == [
        ()
    ]


def test_a_mapping_reads_paths_expressions_and_headers_with_spaces() -> None:
    mapped = spec(
        {"target": "number", "source": "@column:Invoice no."},
        {"target": "total", "source": "amounts.total"},
        {"target": "due", "source": "dates[?kind=='due'].at | [0]"},
        {"target": "paid", "constant": "yes"},
    )
    mapper = compile_mapping(FIELDS, mapped)
    row = {
        "Invoice no.": "A",
        "amounts": {"total": 5},
        "dates": [{"kind": "due", "at": "2024-03-17"}],
        "more": 1,
    }
    assert mapper.map_row(row)[0] == {"number": "A", "total": "5.00", "due": "2024-03-17", "paid": True}


@pytest.mark.parametrize(
    ("row", "values"),
    [
        ({}, {}),
        ({"amounts": None, "dates": None}, {"total": None, "due": None}),
        ({"amounts": {}, "dates": []}, {"due": None}),
        ({"amounts": {"total": ""}}, {"total": None}),
        ({"amounts": "none"}, {"total": None}),
    ],
)
def test_a_source_that_is_absent_erases_nothing(row: dict[str, Any], values: dict[str, Any]) -> None:
    mapped = spec({"target": "total", "source": "amounts.total"}, {"target": "due", "source": "dates[0].at"})
    assert compile_mapping(FIELDS[1:], mapped).map_row(row)[0] == values


def test_expressions_work_over_columns_too() -> None:
    mapped = spec(
        {"target": "number", "source": "join('-', [series, no])"},
        {"target": "total", "source": "net", "transforms": "number('de')"},
    )
    mapper = compile_mapping(FIELDS, mapped, columns=["no", "series", "net"])
    assert mapper.map_row(["5", "A", "1.234,5"])[0] == {"number": "A-5", "total": "1234.50"}


def test_an_expression_that_fails_is_an_error_of_its_field() -> None:
    mapper = compile_mapping(FIELDS, spec({"target": "number", "source": "join('-', parts)"}))
    values, problems = mapper.map_row({"parts": [1, 2]})
    assert values is None
    assert [(problem.field, problem.code) for problem in problems] == [("number", "source_failed")]


def test_a_failing_transform_is_named_with_the_original_value() -> None:
    mapped = spec(
        {
            "target": "number",
            "source": "no",
            "transforms": ["trim", {"name": "map", "values": {"a": "b"}}, "upper"],
        }
    )
    for columns, row in ((None, {"no": " z "}), (["no"], [" z "])):
        values, problems = compile_mapping(FIELDS, mapped, columns=columns).map_row(row, 3)
        assert values is None
        assert problems == [
            RowProblem(
                3, "number", "no", " z ", "not_mapped",
                "“z” is not among the values to replace (transform map).",
            )
        ]  # fmt: skip


def test_an_unforeseen_failure_of_a_transform_is_still_only_that_rows_error() -> None:
    mapper = compile_mapping(FIELDS, spec({"target": "number", "source": "no", "transforms": "upper"}))
    batch = mapper.map_rows([{"no": 10**5000}, {"no": object()}, {"no": "a"}])
    assert batch.values == [{"number": "A"}]
    assert [problem.row for problem in batch.problems] == [1, 2]


def test_sensitive_values_show_nowhere() -> None:
    fields = (Field("iban", "text", sensitive=True, pattern="[A-Z]{2}[0-9]{4}", max_length=10),)
    plain = compile_mapping(fields, columns=["iban"]).map_rows([["secret-1"], ["secret-2-that-is-long"]])
    piped = compile_mapping(
        fields, spec({"target": "iban", "source": "iban", "transforms": "number"}), columns=["iban"]
    ).map_rows([["secret-3"]])
    ruled = compile_mapping(
        fields,
        spec({"target": "iban", "source": "iban", "validation": [{"rule": "in", "value": ["DE1111"]}]}),
        columns=["iban"],
    ).map_rows([["DE9999"]])
    for problem in (*plain.problems, *piped.problems, *ruled.problems):
        assert problem.value == "***"
        assert "secret" not in problem.message
        assert "DE9999" not in problem.message
    assert len(plain.problems) + len(piped.problems) + len(ruled.problems) == 4


def test_the_value_of_a_problem_is_shortened_and_can_be_stored() -> None:
    mapper = compile_mapping(FIELDS, columns=["number"])
    (problem,) = mapper.map_rows([["\0" + "x" * 200]]).problems
    assert (problem.code, len(problem.value), "\0" in problem.value + problem.message) == (
        "nul_character", 80, False,
    )  # fmt: skip


def test_defaults_of_a_mapping_stand_in_for_blank_and_absent_sources() -> None:
    mapped = spec(
        {"target": "number", "source": "no"},
        {"target": "due", "source": "due", "default": "2030-01-01"},
        {"target": "paid", "source": "paid", "default": "on"},
    )
    mapper = compile_mapping(FIELDS, mapped)
    given_ = {"number": "A", "due": "2030-01-01", "paid": True}
    assert mapper.map_row({"no": "A"})[0] == given_
    assert mapper.map_row({"no": "A", "due": None, "paid": " "})[0] == given_
    partial = compile_mapping(FIELDS, mapped, update_fields_only=True)
    assert partial.map_row({"paid": None})[0] == {"paid": True}


def test_defaults_that_could_be_changed_are_not_shared_between_rows() -> None:
    fields = (Field("tags", "json", default=["new"]), Field("price", "money"), Field("a", "text"))
    mapped = spec(
        {"target": "tags", "source": "tags"},
        {"target": "price", "constant": "5 EUR"},
        {"target": "a", "source": "a"},
    )
    one, two = compile_mapping(fields, mapped).map_rows([{"tags": None}, {"tags": ""}]).values
    assert one == two == {"tags": ["new"], "price": {"amount": "5.00", "currency": "EUR"}}
    assert one["tags"] is not two["tags"]
    assert one["price"] is not two["price"]


def test_required_by_the_mapping_holds_for_updates_too() -> None:
    mapped = spec({"target": "number", "source": "no"}, {"target": "due", "source": "due", "required": True})
    batch = compile_mapping(FIELDS, mapped).map_rows([{"no": "A"}, {"no": "B", "due": ""}])
    assert [(problem.row, problem.field, problem.code) for problem in batch.problems] == [
        (1, "due", "required"),
        (2, "due", "required"),
    ]
    assert compile_mapping(FIELDS, mapped, update_fields_only=True).map_row({"no": "A"})[0] == {"number": "A"}


def test_transforms_that_make_values_from_nothing_run_for_absent_sources() -> None:
    mapped = spec(
        {"target": "number", "source": "no", "transforms": "coalesce('code', 'ref')"},
        {"target": "total", "source": "sum", "transforms": "default(0)"},
        {"target": "due", "transforms": "concat('{y}-{m}-01')"},
    )
    mapper = compile_mapping(FIELDS, mapped)
    assert mapper.map_row({"ref": "R", "y": 2024, "m": "05"})[0] == {
        "number": "R",
        "total": "0.00",
        "due": "2024-05-01",
    }
    assert mapper.map_rows([{}]).missing == [("number",)]
    assert mapper.map_rows([{"no": None}]).problems[0].code == "required"
    by_column = compile_mapping(FIELDS, mapped, columns=["no", "code", "ref", "sum", "y", "m"])
    assert by_column.map_row(["", "", "R", "", "2024", "05"])[0] == {
        "number": "R",
        "total": "0.00",
        "due": "2024-05-01",
    }


def test_rules_of_the_mapping_are_checked_on_canonical_values() -> None:
    rules: dict[str, list[dict[str, Any]]] = {
        "number": [
            {"rule": "pattern", "value": "[A-Z]-[0-9]+"},
            {"rule": "length", "value": {"min": 3, "max": 4}},
            {"rule": "not_in", "value": ["A-0"]},
        ],
        "total": [{"rule": "min", "value": 1}, {"rule": "max", "value": "9.5"}],
        "due": [{"rule": "max", "value": "2024-12-31"}],
        "paid": [{"rule": "eq", "value": "yes"}],
    }
    mapped = spec(*({"target": name, "source": name, "validation": rule} for name, rule in rules.items()))
    mapper = compile_mapping(FIELDS, mapped, columns=["number", "total", "due", "paid"])
    good = [["A-1", "9.50", "2024-12-31", "on"], ["B-12", "1", "", ""]]
    batch = mapper.map_rows([good[0], ["x", "0.99", "2025-01-01", "no"], ["A-0", "10", "", "1"]])
    assert batch.rows == [1]
    assert sorted((problem.row, problem.field, problem.code) for problem in batch.problems) == [
        (2, "due", "too_large"),
        (2, "number", "pattern_mismatch"),
        (2, "number", "too_short"),
        (2, "paid", "not_equal"),
        (2, "total", "too_small"),
        (3, "number", "not_allowed"),
        (3, "total", "too_large"),
    ]


def test_unmapped_columns_can_be_an_error() -> None:
    mapped = spec(
        {"target": "number", "source": "no", "transforms": "concat('{series}{}')"}, unmapped="error"
    )
    _, problems = compile_mapping(FIELDS, mapped).map_row({"no": "1", "series": "A", "note": "x"})
    assert [(problem.column, problem.code) for problem in problems] == [("note", "unmapped_column")]
    with pytest.raises(InvalidInput) as caught:
        compile_mapping(FIELDS, mapped, columns=["no", "series", "note"])
    assert [(error.pointer, error.code) for error in caught.value.errors] == [
        ("/columns/2", "unmapped_column")
    ]


def test_lookups_ask_once_per_batch_and_may_feed_each_other() -> None:
    fields = (*FIELDS, Field("client", "reference", reference="clients"), Field("owner", "text"))
    mapped = spec(
        {"target": "number", "source": "no"},
        {
            "target": "client",
            "source": "mail",
            "transforms": "lower | lookup('contacts', 'email') | lookup('clients', 'contact')",
        },
        {"target": "owner", "source": "owner", "transforms": "lookup('contacts', 'email', missing='null')"},
    )
    asked: list[tuple[str, str, list[str]]] = []

    def lookup(dataset: str, field: str, values: Collection[str]) -> dict[str, str]:
        asked.append((dataset, field, sorted(values)))
        known = {"contacts": {"ann@x.org": "K1", "bob@x.org": "K2"}, "clients": {"K1": "C1"}}
        return known[dataset]

    mapper = compile_mapping(fields, mapped)
    rows = [
        {"no": "1", "mail": "ANN@x.org", "owner": "bob@x.org"},
        {"no": "2", "mail": "bob@x.org"},
        {"no": "3", "mail": "eve@x.org", "owner": "eve@x.org"},
        "not a row",
        {"no": "5", "mail": None},
    ]
    batch = mapper.map_rows(iter(rows), lookup=lookup)
    assert asked == [
        ("contacts", "email", ["ann@x.org", "bob@x.org", "eve@x.org"]),
        ("clients", "contact", ["K1", "K2"]),
    ]
    assert batch.values == [
        {"number": "1", "client": "C1", "owner": "K2"},
        {"number": "5", "client": None},
    ]
    assert [(problem.row, problem.value, problem.code) for problem in batch.problems] == [
        (2, "bob@x.org", "lookup_failed"),
        (3, "eve@x.org", "lookup_failed"),
        (4, "", "not_an_object"),
    ]
    assert mapper.needs_lookup
    with pytest.raises(ValueError, match="pass `lookup`"):
        mapper.map_rows(rows)


def test_times_without_offset_are_taken_in_the_zone_of_the_mapping() -> None:
    fields = (Field("at", "datetime"),)
    rows = [["2024-07-01 12:00:00"], ["2024-07-01T12:00:00Z"]]
    values = compile_mapping(fields, columns=["at"], timezone="Europe/Berlin").map_rows(rows).values
    assert values == [{"at": "2024-07-01T10:00:00Z"}, {"at": "2024-07-01T12:00:00Z"}]
    with pytest.raises(InvalidInput, match="not a time zone"):
        compile_mapping(fields, timezone="Mars/Olympus")


def test_a_mapping_that_does_not_fit_is_refused_as_a_whole() -> None:
    with pytest.raises(InvalidInput) as caught:
        compile_mapping(
            FIELDS, spec({"target": "x", "source": "a"}, {"target": "due", "source": "b"}), columns=["a"]
        )
    assert [(error.pointer, error.code) for error in caught.value.errors] == [
        ("/fields/0/target", "unknown_field"),
        ("/fields/1/source", "unknown_column"),
    ]
    with pytest.raises(InvalidInput, match="default of “Due” does not fit"):
        compile_mapping((Field("due", "date", default="soon"),))


def test_nothing_that_a_person_wrote_becomes_code() -> None:
    nasty = "x'] + __import__('os').system('true') + row['"
    fields = (
        Field("a", "text", pattern="[a-z]{1,9}", default=nasty[:0]),
        Field("b", "choice", choices=((nasty, nasty),)),
        Field("c", "json"),
    )
    mapped = MappingSpec(
        (
            FieldMapping("a", f"@column:{nasty}"),
            FieldMapping("b", constant=nasty),
            FieldMapping("c", "d", default=[nasty]),
        )
    )
    for columns in (None, [nasty, "d"]):
        mapper = compile_mapping(fields, mapped, columns=columns)
        assert "import" not in mapper.source_code
        assert "[a-z]" not in mapper.source_code
        row: Any = {nasty: "ok"} if columns is None else ["ok", ""]
        assert mapper.map_row(row)[0] == {"a": "ok", "b": nasty, "c": [nasty]}


def test_equal_values_have_one_canonical_form_and_hash() -> None:
    by_name = compile_mapping(FIELDS).map_row({"total": 12.5, "number": "Ä-1", "due": "2024-03-17"})[0]
    mapper = compile_mapping(FIELDS, columns=["due", "number", "total"])
    by_position = mapper.map_row(["2024-03-17", "A\u0308-1", "12.500"])[0]
    expected = '{"due":"2024-03-17","number":"Ä-1","total":"12.50"}'.encode()
    assert canonical_json(by_name) == canonical_json(by_position) == expected
    assert canonical_json({"b": {"d": 1, "c": 2}, "a": None}) == b'{"a":null,"b":{"c":2,"d":1}}'
    assert content_hash(expected) == content_hash(canonical_json(by_name))
    assert len(content_hash(b"")) == 16
    assert content_hash(b"a") != content_hash(b"b")


MANY = (
    Field("a", "text", required=True, max_length=8),
    Field("b", "integer", minimum=0),
    Field("c", "decimal", decimal_places=2),
    Field("d", "date"),
    Field("e", "boolean", default=True),
    Field("f", "email", sensitive=True),
    Field("g", "choice", choices=(("x", "Ex"), ("y", "Why"))),
    Field("h", "money", currency="EUR"),
)
_cells = st.one_of(
    st.none(),
    st.text(max_size=10),
    st.integers(-5, 5),
    st.floats(),
    st.booleans(),
    st.sampled_from(["", " ", "12", "1.5", "2024-03-17", "yes", "a@b.co", "EX", "y", "5.00", "a\0", "Ä"]),
)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.lists(_cells, min_size=8, max_size=8), max_size=6))
def test_the_generated_function_does_what_reading_each_cell_by_itself_does(rows: list[list[Any]]) -> None:
    names = [field.name for field in MANY]
    expected: list[dict[str, Any]] = []
    wrong: set[tuple[int, str, str]] = set()
    for number, row in enumerate(rows, start=1):
        values: dict[str, Any] = {}
        for field, cell in zip(MANY, row, strict=True):
            try:
                values[field.name] = clean(cell, field)
            except ValueProblem as problem:
                wrong.add((number, field.name, problem.code))
        if len(values) == len(MANY):
            expected.append(values)
    identity = MappingSpec(tuple(FieldMapping(name, name) for name in names))
    for mapper, given_ in (
        (compile_mapping(MANY, columns=names), rows),
        (compile_mapping(MANY), [dict(zip(names, row, strict=True)) for row in rows]),
        (compile_mapping(MANY, identity, columns=names), rows),
        (compile_mapping(MANY, identity), [dict(zip(names, row, strict=True)) for row in rows]),
    ):
        batch = mapper.map_rows(given_)
        assert batch.values == expected
        assert len(batch.rows) == len(batch.missing) == len(expected)
        assert {(problem.row, problem.field, problem.code) for problem in batch.problems} == wrong
        assert len(batch.problems) == len(wrong)
