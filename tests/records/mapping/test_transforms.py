"""Transforms: each does what its example says, and says what is wrong with what it cannot use."""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.records.fields import ValueProblem
from apps.records.mapping import TRANSFORMS, PipeRefused, Transform, read_pipe
from apps.records.mapping.steps import build_step
from apps.records.mapping.transforms import Role


def run(pipe: str, value: Any, row: Any = None, table: dict[str, Any] | None = None) -> Any:
    """The value after the whole pipe, as the compiled mapping would run it."""
    for step in read_pipe(pipe):
        apply = build_step(step, None, table=table)
        if value is None and not step.transform.takes_null:
            continue
        value = apply(value, row or {}) if step.transform.role is Role.ROW else apply(value)
    return value


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=list(TRANSFORMS))
def test_the_example_of_a_transform_is_true(transform: Transform) -> None:
    pipe, value, result = transform.example
    table = {value: result} if transform.role is Role.LOOKUP else None
    assert run(pipe, value, table=table) == result
    assert transform.doc.endswith(".")
    assert all(parameter.doc.endswith(".") and parameter.name != "name" for parameter in transform.parameters)


@pytest.mark.parametrize(
    ("pipe", "value", "result"),
    [
        ("number('en')", "1,234.50", "1234.50"),
        ("number('en')", "1234567", "1234567"),
        ("number('en')", " (12.5) ", "-12.5"),
        ("number('en')", "12-", "-12"),
        ("number('en')", "\u221212", "-12"),
        ("number('en')", ".5", "0.5"),
        ("number('de')", "1.234.567,89", "1234567.89"),
        ("number('de')", "1.234", "1234"),
        ("number('fr')", "1\u202f234,5", "1234.5"),
        ("number('fr')", "1\u00a0234\u00a0567", "1234567"),
        ("number('ch')", "1'234.50", "1234.50"),
        ("number('ch')", "1’234", "1234"),
        ("number('in')", "1,23,45,678.9", "12345678.9"),
        ("number(decimal=',', thousands='')", "1234,5", "1234.5"),
        ("number(percent=true)", "12.5 %", "0.125"),
        ("number(percent=true)", "12", "12"),
        ("number", 12.5, "12.5"),
        ("number", "  ", None),
        ("date('%d.%m.%Y', '%Y/%m/%d')", "2024/03/17", "2024-03-17"),
        ("date('%d.%m.%y')", "17.03.24", "2024-03-17"),
        ("date('%d %b %Y')", dt.date(2024, 3, 17), dt.date(2024, 3, 17)),
        ("datetime('%d.%m.%Y %H:%M')", "17.03.2024 12:30", "2024-03-17T12:30:00"),
        ("datetime('%d.%m.%Y %H:%M %z')", "17.03.2024 12:30 +0200", "2024-03-17T10:30:00Z"),
        ("datetime(['%d.%m.%Y', '%Y'], timezone='UTC')", "2024", "2024-01-01T00:00:00Z"),
        ("iso_date", "2024-03-17T23:30:00Z", "2024-03-17"),
        ("epoch", "1710678896.5", "2024-03-17T12:34:56.500000Z"),
        ("epoch", 0, "1970-01-01T00:00:00Z"),
        ("boolean(true=['ja', 'x'], false='nein')", "NEIN", False),
        ("boolean", "on", True),
        ("split", "a, b ,c", ["a", "b", "c"]),
        ("split(';', -1)", "a;b", "b"),
        ("split(';', 5)", "a;b", None),
        ("split(trim=false)", "a, b", ["a", " b"]),
        ("split | first", "a,b", "a"),
        ("last", [], None),
        ("nth(-1)", [1, 2], 2),
        ("join('-')", "alone", "alone"),
        ("map({'ja': true, 'nein': false}, ignore_case=true)", "JA", True),
        ("map({'1': 'one'}, keep=true)", 2, 2),
        ("map({'1': 'one'}, else='many')", 1, "one"),
        ("map({'1': 'one'})", " ", None),
        ("null_if", "N/A", None),
        ("null_if", "\\N", None),
        ("null_if('x') | default('y')", "X", "y"),
        ("default(0)", None, 0),
        ("default(0)", "0", "0"),
        ("regex_replace('[^0-9]+')", "a1b22", "122"),
        ("extract('([A-Z]+)-([0-9]+)', 2)", "no AB-12", "12"),
        ("extract('x')", "abc", None),
        ("title", "ÉCOLE d'art", "École D'art"),
        ("slug('_')", "Straße & Söhne", "strae_sohne"),
        ("strip_html", "a<br>b <!-- <b> --><script>x<y</script>c &lt;d&gt; 1 < 2", "a b c <d> 1 < 2"),
        ("strip_html", "a <b unclosed", "a <b unclosed"),
        ("collapse_spaces", "a\u00a0 \t b", "a b"),
        ("substring(-2)", "abcd", "cd"),
        ("zfill(5)", "-42", "-0042"),
        ("zfill(5)", 42.0, "00042"),
        ("pad_left(4)", "", ""),
        ("prefix('x')", " ", " "),
        ("phone_digits", "call", None),
        ("multiply(1.19)", "100", "119.00"),
        ("multiply(0.1)", 0.1, "0.01"),
        ("divide(3, 4)", "1", "0.3333"),
        ("divide(4)", "1", "0.25"),
        ("divide(1)", "100", "100"),
        ("round(2)", "2.675", "2.68"),
        ("round(0, 'half_even')", "2.5", "2"),
        ("round(1, mode='down')", "-2.59", "-2.5"),
        ("negate", "0", "0"),
        ("abs | round", "-0.4", "0"),
        ("integer", 12.0, 12),
        ("length", None, None),
        ("country", "usa", "US"),
        ("country", "österreich", "AT"),
        ("country", "Cote d'Ivoire", "CI"),
        ("json_dump", "Ä", '"Ä"'),
        ("json_parse | json_dump", '{"b":1,"a":[true]}', '{"a":[true],"b":1}'),
        ("upper", None, None),
    ],
)  # fmt: skip
def test_a_pipe_turns_a_value_into_another(pipe: str, value: Any, result: Any) -> None:
    made = run(pipe, value)
    assert made == result
    assert type(made) is type(result)


@pytest.mark.parametrize(
    ("pipe", "value", "code"),
    [
        ("number('en')", "1.234,5", "not_a_number"),
        ("number('en')", "1,23", "not_a_number"),
        ("number('en')", "1,2345", "not_a_number"),
        ("number('de')", "1234.5", "not_a_number"),
        ("number('de')", "12.34", "not_a_number"),
        ("number('ch')", "1'234’567", "not_a_number"),
        ("number('in')", "123,456", "not_a_number"),
        ("number", "NaN", "not_a_number"),
        ("number", "--5", "not_a_number"),
        ("number", "٣", "not_a_number"),
        ("number", "12%", "not_a_number"),
        ("number", "9" * 200, "not_a_number"),
        ("number", True, "transform_failed"),
        ("number", float("inf"), "transform_failed"),
        ("date('%d.%m.%Y')", "31.02.2024", "not_a_date"),
        ("date('%d.%m.%Y')", "2024-03-17", "not_a_date"),
        ("datetime('%d.%m.%Y')", "x", "not_a_datetime"),
        ("iso_date", "17.03.2024", "not_a_date"),
        ("epoch", "1e30", "transform_failed"),
        ("epoch", "soon", "transform_failed"),
        ("boolean", "ja", "not_a_boolean"),
        ("integer", "12.5", "not_an_integer"),
        ("map({'a': 'b'})", "c", "not_mapped"),
        ("country", "Atlantis", "not_a_country"),
        ("json_parse", "{", "not_json"),
        ("upper", ["a"], "not_text"),
        ("first", {"a": 1}, "transform_failed"),
        ("multiply(2)", "x", "transform_failed"),
        ("extract('[a-z]+[0-9]')", "a" * 3000, "transform_failed"),
    ],
)
def test_what_a_transform_cannot_use_is_refused_with_a_code(pipe: str, value: Any, code: str) -> None:
    with pytest.raises(ValueProblem) as caught:
        run(pipe, value)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "pipe",
    [
        "replace('')",
        "split('')",
        "nth(0)",
        "number('xx')",
        "number(decimal=',,')",
        "number(decimal=',', thousands=',')",
        "date('17.03.2024')",
        "date('%d %d')",
        "date('%Q')",
        "datetime('%Y', 'Mars/Olympus')",
        "epoch('h')",
        "divide(0)",
        "round(19)",
        "round(1, 'sideways')",
        "regex_replace('(a+)+b')",
        r"regex_replace('a', '\\2')",
        "extract('(a)', 2)",
        "pad_left(5, 'ab')",
        "zfill(5000)",
        "currency('EURO')",
        "map({})",
        "lookup('clients', 'email', missing='ignore')",
    ],
)
def test_parameters_that_make_no_sense_are_refused_before_any_row_is_read(pipe: str) -> None:
    (step,) = read_pipe(pipe)
    with pytest.raises(ValueError, match=r"\w+.*\."):
        build_step(step, None)


def test_texts_are_put_together_from_the_row() -> None:
    row = {"first": "Ann", "last": " ", "n": 5, "address": {"city": "Bonn"}}
    assert run("concat('{first} {last}')", None, row) == "Ann "
    assert run("concat('{first}', '{last}', '{address.city}', separator=', ')", None, row) == "Ann, Bonn"
    assert run("concat('{{{}}}')", "x", row) == "{x}"
    assert run("concat('No. {n}')", None, row) == "No. 5"
    assert run("concat('No. {missing}')", None, row) is None
    assert run("coalesce('last', 'first')", None, row) == "Ann"
    assert run("coalesce('last', 'missing')", None, row) is None
    assert run("coalesce('first')", "here", row) == "here"


def test_money_takes_its_currency_from_the_row_or_a_code() -> None:
    assert run("currency('{cur}')", "5", {"cur": "usd"}) == {"amount": "5", "currency": "USD"}
    assert run("currency('{cur}')", "5", {}) == "5"
    assert run("currency('eur')", " ", {}) is None


def test_a_lookup_answers_from_its_table() -> None:
    table = {"ann@x.org": "C-1", "501": "C-2"}
    assert run("lookup('clients', 'email')", " ann@x.org ", table=table) == "C-1"
    assert run("lookup('clients', 'number')", 501.0, table=table) == "C-2"
    assert run("lookup('clients', 'email', 'null')", "bob@x.org", table=table) is None
    assert run("lookup('clients', 'email', missing='keep')", "bob@x.org", table=table) == "bob@x.org"
    with pytest.raises(ValueProblem) as caught:
        run("lookup('clients', 'email')", "bob@x.org", table=table)
    assert caught.value.code == "lookup_failed"
    assert caught.value.message == "“bob@x.org” is the email of no record in clients."


@pytest.mark.parametrize("text", ["<" * 200_000, "<!--" * 50_000, "<script" * 30_000, "<a" * 100_000])
def test_html_that_is_never_closed_takes_a_moment_only(text: str) -> None:
    started = time.perf_counter()
    run("strip_html", text)
    assert time.perf_counter() - started < 2


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.text()
    | st.dates()
    | st.datetimes()
    | st.from_regex(r"[0-9.,' ()%-]{1,12}", fullmatch=True),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=list(TRANSFORMS))
@settings(max_examples=60, deadline=None)
@given(value=_VALUES)
def test_a_transform_gives_a_value_or_a_reason_whatever_it_is_given(transform: Transform, value: Any) -> None:
    with contextlib.suppress(ValueProblem):
        run(transform.example[0], value)


def test_numbers_are_read_as_they_were_written_in_every_locale() -> None:
    @given(number=st.decimals(-(10**12), 10**12, allow_nan=False, allow_infinity=False, places=2))
    def read_back(number: Decimal) -> None:
        english = f"{number:,}"
        swapped = english.replace(",", "\0").replace(".", ",")
        for locale, mark in (("de", "."), ("fr", "\u202f")):
            assert Decimal(run(f"number('{locale}')", swapped.replace("\0", mark))) == number
        assert Decimal(run("number('en')", english)) == number
        assert Decimal(run("number('ch')", english.replace(",", "'"))) == number

    read_back()


def test_an_unknown_transform_is_refused() -> None:
    with pytest.raises(PipeRefused) as caught:
        read_pipe("trim | shout")
    assert (caught.value.code, caught.value.step) == ("unknown_transform", 1)
