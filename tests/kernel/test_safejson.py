from __future__ import annotations

import contextlib
import json
import time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.kernel.errors import InvalidInput, TooLarge
from apps.kernel.safejson import dumps_canonical, loads

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)


@given(values)
def test_any_storable_value_comes_back(value: Any):
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only)
        assert loads(text) == value
        assert loads(text.encode()) == value


@given(st.binary(max_size=100))
def test_rubbish_raises_nothing_but_invalid_input(data: bytes):
    with contextlib.suppress(InvalidInput):
        loads(data)


@given(st.text(max_size=100))
def test_texts_raise_nothing_but_invalid_input(text: str):
    with contextlib.suppress(InvalidInput):
        loads(text)


def test_whole_numbers_keep_their_digits():
    number = 12345678901234567890123456789
    assert loads(str(number)) == number
    assert loads(f'{{"id": {number}, "n": -{number}}}') == {"id": number, "n": -number}
    assert loads("18446744073709551616") == 2**64
    assert loads('"1234567890123456789012345"') == "1234567890123456789012345"


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 1}',
        '{"a": {"b": 1, "c": [], "b": 2}}',
        '[{"x": 1}, {"a": "\\"", "a": ""}]',
        '{"a": "\\u0022", "a": 1}',
        '{"a": "\\u0022\\u0022", "b": 1, "b": 2}',
        '{"\\u0061": 1, "a": 2}',
        '{"": 1, "": 2}',
    ],
)
def test_names_given_twice_are_refused_where_asked(text: str):
    loads(text)
    with pytest.raises(InvalidInput) as refused:
        loads(text, unique_names=True)
    assert refused.value.code == "duplicate_name"


@given(values)
def test_names_given_once_are_never_refused(value: Any):
    for text in (
        json.dumps(value),
        json.dumps(value, ensure_ascii=False),
        json.dumps(value).replace("'", "\\u0022"),
    ):
        with contextlib.suppress(InvalidInput):
            plain = loads(text, max_depth=10_000)
            assert loads(text, max_depth=10_000, unique_names=True) == plain


def test_of_duplicate_keys_the_last_counts():
    assert loads('{"a": 1, "a": 2}') == {"a": 2}
    assert loads('{"a": 1, "a": 12345678901234567890123}') == {"a": 12345678901234567890123}


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", "invalid_json", "line 1, column 1"),
        (b"{", "invalid_json", "not valid JSON at line 1, column"),
        (b'{"a": 1,}', "invalid_json", "not valid JSON"),
        (b"{'a': 1}", "invalid_json", "not valid JSON"),
        (b"[1] x", "invalid_json", "not valid JSON"),
        (b"NaN", "invalid_json", "not valid JSON"),
        (b"[Infinity]", "invalid_json", "not valid JSON"),
        (b"-Infinity", "invalid_json", "not valid JSON"),
        (b"[1e999]", "invalid_json", "a number beyond 1.8e308"),
        (b"[-1e999]", "invalid_json", "a number beyond 1.8e308"),
        (b'"\xff"', "invalid_utf8", "not valid UTF-8 at byte 1"),
        (b'"\xed\xa0\x80"', "invalid_utf8", "not valid UTF-8 at byte 1"),
        (b"\xef\xbb\xbf{}", "invalid_json", "not valid JSON"),
        ('{"a": 1}'.encode("utf-16"), "invalid_utf8", "not valid UTF-8"),
        (b'"\\ud800"', "invalid_json", "half of a surrogate pair"),
        (b'"\\udc00x"', "invalid_json", "half of a surrogate pair"),
        (b'["\\ud83d\\ud83d"]', "invalid_json", "half of a surrogate pair"),
        ('"\ud800"', "invalid_json", "half of a surrogate pair"),
        (b'"\x00"', "invalid_json", "not valid JSON"),
        (b'"\\u0000"', "nul_character", "U+0000"),
        (b'{"a\\u0000": 1}', "nul_character", "U+0000"),
        (b'"\\\\\\u0000"', "nul_character", "U+0000"),
        (b'"\\n\\u0000"', "nul_character", "U+0000"),
        (b"1" * 5000, "invalid_json", "a number beyond 1.8e308"),
        (b"[-" + b"1" * 310 + b"]", "invalid_json", "a number beyond 1.8e308"),
    ],
)
def test_what_is_refused_is_said_clearly(data: Any, code: str, words: str):
    with pytest.raises(InvalidInput) as caught:
        loads(data)
    assert caught.value.code == code
    assert words in caught.value.detail


def test_an_escaped_backslash_before_u0000_is_a_text():
    assert loads(b'"\\\\u0000"') == "\\u0000"
    assert loads(b'"\\\\\\\\u0000"') == "\\\\u0000"


def test_surrogate_pairs_are_characters():
    assert loads(b'"\\ud83d\\ude00"') == "😀"


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_depth_is_bounded_without_recursion(opening: bytes):
    closing = b"".join({b"[": b"]", b"{": b"}"}[bytes([c])] for c in reversed(opening) if c in b"[{")
    levels = 64 // len(closing)

    assert loads(opening * levels + b"1" + closing * levels)
    for count in (levels + 1, 500, 5_000, 1_000_000):
        data = opening * count + b"1" + closing * count
        with pytest.raises(InvalidInput) as caught:
            loads(data)
        assert caught.value.code == "too_deep"
    with pytest.raises(InvalidInput) as caught:
        loads(opening * 1_000_000)
    assert caught.value.code in ("too_deep", "invalid_json")


def test_brackets_in_texts_do_not_count_and_do_not_hide_depth():
    assert loads(json.dumps(["[" * 500, "{" * 500, '"[[\\"'])) == ["[" * 500, "{" * 500, '"[[\\"']
    hidden = b'["]",' * 100 + b"1" + b',"["]' * 100
    assert json.loads(hidden)
    with pytest.raises(InvalidInput) as caught:
        loads(hidden)
    assert caught.value.code == "too_deep"


brackets_and_quotes = st.recursive(
    st.text('[]{}"\\,:a', max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('[]"\\', max_size=2), inner, max_size=2)
    ),
    max_leaves=12,
)


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


@given(brackets_and_quotes, st.integers(0, 6))
def test_the_depth_is_counted_exactly_whatever_the_texts_hold(value: Any, limit: int):
    text = json.dumps(value)
    if depth_of(value) <= limit:
        assert loads(text, max_depth=limit) == value
    else:
        with pytest.raises(InvalidInput):
            loads(text, max_depth=limit)


def test_wide_is_not_deep():
    assert len(loads(b"[" + b"[],{}," * 100_000 + b"1]")) == 200_001


def test_the_depth_may_be_chosen():
    assert loads("[[1]]", max_depth=2) == [[1]]
    with pytest.raises(InvalidInput):
        loads("[[[1]]]", max_depth=2)


def test_too_many_bytes_are_refused_before_parsing():
    assert loads('"é"', max_bytes=4) == "é"
    with pytest.raises(TooLarge, match="at most 3 are allowed"):
        loads('"é"', max_bytes=3)
    with pytest.raises(TooLarge, match="10,485,760"):
        loads(b" " * (10 * 2**20 + 1))


@pytest.mark.parametrize(
    "data",
    [
        b'"' + b"\\" * 5_000_000,
        b'"' + b"\\\\" * 2_500_000 + b'"',
        b'["' + b'","' * 1_500_000 + b'"]',
        b"[" + b"0," * 2_500_000 + b"0]",
        b'{"a":' * 1_000_000,
        b'"' + b"\\u0000" * 800_000,
        b'"' + b"\\\\u0000" * 600_000 + b'"',
    ],
)
def test_no_text_of_five_megabytes_takes_long(data: bytes):
    started = time.monotonic()
    with contextlib.suppress(InvalidInput):
        loads(data)
    assert time.monotonic() - started < 5


def test_equal_values_have_equal_canonical_bytes():
    assert (
        dumps_canonical({"b": 1, "a": [1.5, "ü", None, True]}) == '{"a":[1.5,"ü",null,true],"b":1}'.encode()
    )
    assert dumps_canonical({"x": 1, "y": 2}) == dumps_canonical({"y": 2, "x": 1})
    assert dumps_canonical({"n": Decimal("1.10"), "id": UUID(int=1)}) == (
        b'{"id":"00000000-0000-0000-0000-000000000001","n":"1.10"}'
    )
    assert dumps_canonical([float("nan"), float("inf")]) == b"[null,null]"
    assert dumps_canonical({"b": 2**70, "a": Decimal("1.0")}) == b'{"a":"1.0","b":1180591620717411303424}'


@given(values)
def test_canonical_bytes_are_json(value: Any):
    assert loads(dumps_canonical(value), max_depth=10_000) == value


@pytest.mark.parametrize("value", [object(), {1, 2}, {1: "a"}, "\ud800"])
def test_what_json_cannot_tell_has_no_canonical_bytes(value: Any):
    with pytest.raises((TypeError, ValueError)):
        dumps_canonical(value)
