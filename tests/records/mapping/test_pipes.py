"""Pipes: one meaning, written as JSON or as text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.records.mapping import (
    TRANSFORMS,
    FieldMapping,
    PipeRefused,
    Step,
    Transform,
    pipe_to_list,
    pipe_to_text,
    read_pipe,
)
from apps.records.mapping.transforms import Parameter


def test_text_and_json_say_the_same() -> None:
    text = "trim | date('%d.%m.%Y', '%Y') | map({'a': [1, -2.5, null], \"b\": true}, else='x')"
    listed = [
        "trim",
        {"name": "date", "format": ["%d.%m.%Y", "%Y"]},
        {"name": "map", "values": {"a": [1, -2.5, None], "b": True}, "else": "x"},
    ]
    assert read_pipe(text) == read_pipe(listed)
    assert pipe_to_list(read_pipe(text)) == listed
    assert pipe_to_text(read_pipe(listed)) == (
        "trim | date(['%d.%m.%Y', '%Y']) | map({'a': [1, -2.5, null], 'b': true}, 'x')"
    )


@pytest.mark.parametrize("nothing", [None, "", "  ", []])
def test_nothing_is_the_empty_pipe(nothing: Any) -> None:
    assert read_pipe(nothing) == ()
    assert pipe_to_text(()) == ""


def test_names_and_places_of_arguments_may_be_mixed() -> None:
    assert read_pipe("split(';', trim=false)") == (Step("split", {"separator": ";", "trim": False}),)
    assert read_pipe("boolean(true=['ja'], false='nein')") == (
        Step("boolean", {"true": ["ja"], "false": "nein"}),
    )
    assert read_pipe("default(true)") == (Step("default", {"value": True}),)
    assert read_pipe(r"replace('it\'s', 'a\\b\n')") == (Step("replace", {"old": "it's", "new": "a\\b\n"}),)


def test_a_mapping_takes_either_form() -> None:
    assert FieldMapping("a", "b", "trim|upper").transforms == (Step("trim"), Step("upper"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given_", "code", "step"),
    [
        ("trim |", "invalid_pipe", 1),
        ("| trim", "invalid_pipe", 0),
        ("trim upper", "invalid_pipe", 0),
        ("trim(", "invalid_pipe", 0),
        ("split(',' 1)", "invalid_pipe", 0),
        ("split(',', 1, true, 5)", "invalid_pipe", 0),
        ("split(comma)", "invalid_pipe", 0),
        ("split('a)", "invalid_pipe", 0),
        ("split(separator='a', separator='b')", "invalid_pipe", 0),
        ("map({1: 'a'})", "invalid_pipe", 0),
        ("default(__import__('os'))", "invalid_pipe", 0),
        ("default(" + "[" * 50 + "]" * 50 + ")", "invalid_pipe", 0),
        ("shout", "unknown_transform", 0),
        ("shout('a')", "unknown_transform", 0),
        ("trim | split(colour='red')", "invalid_parameter", 1),
        ("split(5)", "invalid_parameter", 0),
        ("zfill(true)", "invalid_parameter", 0),
        ("zfill", "invalid_parameter", 0),
        ([5], "invalid_transform", 0),
        (["trim", {"format": "x"}], "invalid_transform", 1),
        ([{"name": "split", "separator": 5}], "invalid_parameter", 0),
        ("|".join(["trim"] * 31), "too_many_transforms", 30),
        ("x" * 20_001, "invalid_pipe", 0),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_place(given_: Any, code: str, step: int) -> None:
    with pytest.raises(PipeRefused) as caught:
        read_pipe(given_)
    assert (caught.value.code, caught.value.step) == (code, step)
    assert str(caught.value).endswith(".")


_texts = st.text(max_size=20)
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": _texts,
    "integer": st.integers(-(10**12), 10**12),
    "number": st.integers(-(10**12), 10**12) | st.floats(-1e6, 1e6, allow_subnormal=False),
    "boolean": st.booleans(),
    "map": st.dictionaries(_texts, _texts | st.none() | st.booleans(), max_size=3),
    "any": _texts | st.integers(-5, 5) | st.booleans() | st.lists(_texts, max_size=2),
}


def _parameter(parameter: Parameter) -> st.SearchStrategy[Any]:
    one = _VALUES[parameter.kind]
    return one | st.lists(one, min_size=1, max_size=3) if parameter.many or parameter.rest else one


def _step(transform: Transform) -> st.SearchStrategy[Step]:
    needed = {p.name: _parameter(p) for p in transform.parameters if p.required}
    others = {p.name: _parameter(p) for p in transform.parameters if not p.required}
    return st.fixed_dictionaries(needed, optional=others).map(lambda given_: Step(transform.name, given_))


@given(
    pipe=st.lists(st.sampled_from(list(TRANSFORMS.values())).flatmap(_step), min_size=1, max_size=4).map(
        tuple
    )
)
def test_every_pipe_survives_both_forms(pipe: tuple[Step, ...]) -> None:
    assert read_pipe(pipe_to_list(pipe)) == pipe
    assert read_pipe(pipe_to_text(pipe)) == pipe
