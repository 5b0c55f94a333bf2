"""What must hold for any value at all: one canonical form, order kept, fast and slow path agree."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Any

import jsonschema
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.records.fields import (
    FIELD_TYPES,
    SORT_LENGTH,
    Field,
    ValueProblem,
    clean,
    display,
    json_schema,
    sort_text,
    to_python,
)

CHOICES = (("open", "Open"), ("in_progress", "In progress"), ("closed", "Closed"))
FIELDS = [
    Field("x", "text"),
    Field("x", "text", max_length=5, min_length=2, pattern="[a-zA-Z0-9é]+"),
    Field("x", "integer"),
    Field("x", "integer", minimum=-5, maximum="100.5"),
    Field("x", "decimal"),
    Field("x", "decimal", decimal_places=2),
    Field("x", "decimal", decimal_places=0, minimum=0),
    Field("x", "decimal", max_digits=5, decimal_places=3, minimum="-3.5", maximum=Decimal("9.5")),
    Field("x", "decimal", max_digits=6),
    Field("x", "money", currency="EUR"),
    Field("x", "money", currency="JPY", max_digits=5),
    Field("x", "money"),
    Field("x", "date"),
    Field("x", "date", minimum="1990-01-01", maximum="2100-01-01", format="%d.%m.%Y"),
    Field("x", "datetime"),
    Field("x", "boolean"),
    Field("x", "email"),
    Field("x", "url"),
    Field("x", "phone"),
    Field("x", "phone", format="+49"),
    Field("x", "choice", choices=CHOICES),
    Field("x", "reference", reference="clients"),
    Field("x", "json"),
]
IDS = [f"{number}-{field.type}" for number, field in enumerate(FIELDS)]

_near = st.one_of(
    st.from_regex(r"[+-]?[0-9]{0,22}(\.[0-9]{0,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.from_regex(r"-?[0-9]{1,3}\.[0-9]{2,3}", fullmatch=True),
    st.dates().map(str),
    st.from_regex(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(\.[0-9]+)?(Z|\+0[0-9]:00)?)?",
        fullmatch=True,
    ),
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.sampled_from(["yes", "TRUE", " off", "maybe", "Open", "in_PROGRESS", "{}", '{"a":1.5}', "[1,2"]),
    st.from_regex(r"[a-zA-Z0-9.+_-]{1,12}@[a-zA-Z0-9.-]{1,12}\.[a-z]{2,4}", fullmatch=True),
    st.from_regex(r"https?://[a-zA-Z0-9.-]{1,10}(:[0-9]{1,5})?(/[^\x00]{0,10})?", fullmatch=True),
    st.from_regex(r"(\+|00)?[0-9() -]{3,18}( ?x[0-9]{1,3})?", fullmatch=True),
    st.from_regex(r"-?[0-9]{1,6}(\.[0-9]{1,4})? ?(EUR|usd|JPY|€|XXX)?", fullmatch=True),
)  # fmt: skip
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(),
    st.text(),
    st.characters(),
    _near,
    st.dates(),
    st.datetimes(),
    st.datetimes(timezones=st.just(dt.UTC)),
)
ANYTHING = st.one_of(
    _scalars,
    st.recursive(
        _scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
        max_leaves=8,
    ),
    st.fixed_dictionaries({"amount": _scalars, "currency": st.sampled_from(["EUR", "jpy", "", None, "ZZZ"])}),
)


def read(value: Any, field: Field) -> Any:
    """The canonical value, or the code of the refusal as a one-tuple."""
    try:
        return clean(value, field)
    except ValueProblem as problem:
        problem.message.encode()
        return (problem.code,)


@pytest.mark.parametrize("field", FIELDS, ids=IDS)
@settings(max_examples=80, deadline=None)
@given(value=ANYTHING)
def test_every_value_is_either_refused_or_canonical_and_stays_so(field: Field, value: Any) -> None:
    first = read(value, field)
    if isinstance(first, tuple) or first is None:
        return
    stored = orjson.loads(orjson.dumps(first))
    assert stored == first
    assert read(stored, field) == first
    assert "\0" not in orjson.dumps(first).decode()
    display(first, field)
    to_python(first, field)
    if FIELD_TYPES[field.type].sortable:
        assert len(sort_text(first, field)) <= SORT_LENGTH
    optional, required = _validators(field)
    required.validate({"x": first})
    optional.validate({"x": first})
    optional.validate({"x": None})


@cache
def _validators(field: Field) -> list[Any]:
    """For the field as it is, and as a required one."""
    required = Field(**{**{name: getattr(field, name) for name in field.__slots__}, "required": True})
    schemas = [json_schema("things", [one]) for one in (field, required)]
    for schema in schemas:
        jsonschema.Draft202012Validator.check_schema(schema)
    return [jsonschema.Draft202012Validator(schema) for schema in schemas]


def fast_path(field: Field) -> Callable[[Any], tuple[bool, Any]]:
    """The field's inline fast path as a function: whether it took the value, and what it made of it."""
    namespace: dict[str, Any] = {}

    def bind(thing: object) -> str:
        name = f"g{len(namespace)}"
        namespace[name] = thing
        return name

    inline = FIELD_TYPES[field.type].fast(field, bind)
    if inline is None:
        return lambda value: (False, None)
    made = inline.convert or "v"
    source = f"def take(v):\n if {inline.condition}:\n  return True, {made}\n return False, None\n"
    exec(compile(source, "<fast>", "exec"), namespace)
    return namespace["take"]


@pytest.mark.parametrize("field", FIELDS, ids=IDS)
def test_the_fast_path_takes_only_what_the_slow_path_takes_and_makes_the_same_of_it(field: Field) -> None:
    take = fast_path(field)

    @settings(max_examples=120, deadline=None)
    @given(value=ANYTHING)
    def agree(value: Any) -> None:
        taken, made = take(value)
        if taken:
            slow = read(value, field)
            assert made == slow
            assert type(made) is type(slow)

    agree()


@pytest.mark.parametrize(
    ("field", "clean_value"),
    [
        (Field("x", "text", max_length=20), "Alexandra"),
        (Field("x", "integer", minimum=0), "125"),
        (Field("x", "integer"), -5),
        (Field("x", "decimal", decimal_places=2, max_digits=8), "1250.75"),
        (Field("x", "decimal"), "-0.125"),
        (Field("x", "money", currency="EUR"), "12.30"),
        (Field("x", "date"), "2024-12-31"),
        (Field("x", "datetime"), "2024-12-31T23:59:59Z"),
        (Field("x", "boolean"), "Yes"),
        (Field("x", "email"), "ann.lee@mail.example.com"),
        (Field("x", "phone"), "+49301234567"),
        (Field("x", "choice", choices=CHOICES), "In progress"),
        (Field("x", "reference", reference="clients"), "C-1"),
    ],
)
def test_what_is_clean_already_takes_the_fast_path(field: Field, clean_value: Any) -> None:
    assert fast_path(field)(clean_value) == (True, clean(clean_value, field))


ORDERED: list[tuple[Field, st.SearchStrategy[Any], Callable[[Any], Any]]] = [
    (Field("x", "integer"), st.integers(-(2**63), 2**63 - 1), int),
    (
        Field("x", "decimal"),
        st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=8),
        Decimal,
    ),
    (
        Field("x", "decimal"),
        st.integers(-(10**47), 10**47).map(lambda number: Decimal(number).scaleb(-18)),
        Decimal,
    ),
    (Field("x", "date"), st.dates(), dt.date.fromisoformat),
    (Field("x", "datetime"), st.datetimes(timezones=st.just(dt.UTC)), dt.datetime.fromisoformat),
    (Field("x", "boolean"), st.booleans(), bool),
    (
        Field("x", "money", currency="EUR"),
        st.decimals(allow_nan=False, allow_infinity=False, min_value=-1000, max_value=1000, places=2),
        lambda value: Decimal(value["amount"]),
    ),
]


@pytest.mark.parametrize(("field", "values", "number"), ORDERED)
def test_the_order_of_sort_texts_is_the_order_of_values(
    field: Field, values: st.SearchStrategy[Any], number: Callable[[Any], Any]
) -> None:
    @settings(max_examples=120)
    @given(one=values, other=values)
    def ordered(one: Any, other: Any) -> None:
        a, b = clean(one, field), clean(other, field)
        left, right = sort_text(a, field), sort_text(b, field)
        assert (left < right) == (number(a) < number(b))
        assert (left == right) == (number(a) == number(b))

    ordered()
