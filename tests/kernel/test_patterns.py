"""Patterns that people write run only if they cannot run for ever."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.kernel.patterns import MAX_INPUT, MIN_INPUT, PatternRefused, compile_pattern
from apps.records.fields import Field, ValueProblem, clean


@pytest.mark.parametrize(
    "pattern",
    [
        "[A-Z]{2}",
        r"^[A-Z]{3}-\d{4}$",
        r"\d{5}(-\d{4})?",
        "[a-z0-9]+(?:-[a-z0-9]+)*",
        "(DE|AT|CH)[0-9]+",
        r"\+?\d{1,3}[ -]?\d+",
        r".*@acme\.com",
        r"\S+@\S+\.\S+",
        "[0-9a-f]{64}",
        "(?i)yes|no",
        r"[^,]+(,[^,]+)*",
        r"(\d{3}\.){3}\d{3}",
        "a{0,500}",
    ],
)
def test_ordinary_patterns_are_taken(pattern: str) -> None:
    assert compile_pattern(pattern).max_input >= 100
    compile_pattern(pattern, search=True)


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+b",
        "(a*)*b",
        "(a|a)*b",
        "(a?){50}b",
        "(.*a){20}",
        r"(\w+\s?)*$",
        "([a-z]+)*[a-z]+!",
        "(a|b|ab)*c",
        "((a?)?)*b",
        "(a{1,9}){1,9}b",
        "(?i)(kx|\u212ax)*y",
        r"(\d-|[0-9]-)*x",
        "(x+x+)+y",
        "(?:a|aa){40}b",
        "a?" * 60 + "a" * 60,
        "(a|a)" * 40 + "b",
        "(a|)" * 40 + "a" * 40 + "b",
        ".*" * 8 + "x",
    ],
)
def test_patterns_that_could_run_for_ever_are_refused_before_they_run(pattern: str) -> None:
    with pytest.raises(PatternRefused):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(", "not a regular expression"),
        ("x" * 301, "longer than 300"),
        (r"(a)\1", "refers back"),
        ("(?=a)a", "looks ahead or behind"),
        ("(?<!a)b", "looks ahead or behind"),
        ("(?s).", "uses flags"),
        ("(?m:a)", "uses flags"),
        ("((a{50}){50}b){50}", "too large"),
    ],
)
def test_a_refused_pattern_says_why(pattern: str, said: str) -> None:
    with pytest.raises(PatternRefused, match=said):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    "pattern", [r"\S+@\S+\.\S+", r".*-.*-.*", r"[a-z]+(-[a-z]+)*", r"\d{1,8}\d{1,8}\d{1,8}x"]
)
def test_the_longest_text_a_pattern_is_given_takes_a_moment_only(pattern: str) -> None:
    safe = compile_pattern(pattern)
    started = time.perf_counter()
    for letter in "a1@-.":
        safe.regex.fullmatch(letter * (safe.max_input - 1) + "\n")
    assert time.perf_counter() - started < 1


def test_a_text_too_long_for_its_pattern_is_refused_not_tried() -> None:
    safe = compile_pattern(r"\S+@\S+\.\S+")
    assert MIN_INPUT <= safe.max_input < MAX_INPUT
    with pytest.raises(ValueProblem) as caught:
        clean("a" * (safe.max_input + 1), Field("x", "text", pattern=safe.source))
    assert caught.value.code == "too_long"


_atoms = st.sampled_from(["a", "b", "[ab]", ".", r"\d", "(a|b)", "(a|ab)", "(ab)", "(a?)", "(a|)"])
_repeats = st.sampled_from(["", "", "?", "*", "+", "{2}", "{0,3}", "{2,}", "*?", "*+"])


def _patterns() -> st.SearchStrategy[str]:
    piece = st.tuples(_atoms, _repeats).map("".join)
    sequence = st.lists(piece, min_size=1, max_size=4).map("".join)
    nested = st.tuples(sequence.map(lambda text: f"({text})"), _repeats).map("".join)
    return st.lists(nested | piece, min_size=1, max_size=4).map("".join)


@settings(max_examples=200, deadline=None)
@given(pattern=_patterns())
def test_whatever_is_accepted_ends_in_time_on_texts_made_to_defeat_it(pattern: str) -> None:
    try:
        safe = compile_pattern(pattern)
    except PatternRefused:
        re.compile(pattern)
        return
    length = min(safe.max_input, 2_000)
    started = time.perf_counter()
    for text in ("a" * length, "ab" * (length // 2), "a" * (length - 1) + "!", "1" * (length - 1) + "!"):
        safe.regex.fullmatch(text)
    assert time.perf_counter() - started < 2
