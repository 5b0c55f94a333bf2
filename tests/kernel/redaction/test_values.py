from __future__ import annotations

import copy
import json
import pickle
from collections import OrderedDict, namedtuple
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.kernel.redaction import Secret, redact


def test_secrets_are_masked_and_the_rest_is_kept():
    value = {
        "user": "ann",
        "password": "p",
        "nested": [{"apiKey": "k", "token_type": "bearer", "token_url": "https://h/t?sig=1"}],
        "amount": Decimal("1.10"),
        "id": UUID(int=1),
        "text": "sent Bearer abcdef12",
        "body": b'{"client_secret": "x"}',
        "set": {"password=1"},
    }

    assert redact(value) == {
        "user": "ann",
        "password": "***",
        "nested": [{"apiKey": "***", "token_type": "bearer", "token_url": "https://h/t?sig=***"}],
        "amount": Decimal("1.10"),
        "id": UUID(int=1),
        "text": "sent Bearer ***",
        "body": b'{"client_secret": "***"}',
        "set": {"password=***"},
    }


def test_headers_are_masked_in_every_shape():
    assert redact([("Authorization", "Bearer x"), ("Accept", "*/*")]) == [
        ("Authorization", "***"),
        ("Accept", "*/*"),
    ]
    assert redact([["cookie", "a=b"], [b"X-Api-Key", b"k"]]) == [["cookie", "***"], [b"X-Api-Key", "***"]]
    assert redact({"Authorization": ["Basic x", "Basic y"], b"cookie": b"a=b"}) == {
        "Authorization": "***",
        b"cookie": "***",
    }
    assert redact([{"name": "X-Api-Key", "value": "k"}, {"key": "page", "value": "2"}]) == [
        {"name": "X-Api-Key", "value": "***"},
        {"key": "page", "value": "2"},
    ]


def test_absent_values_stay_visible():
    value = {
        "password": "",
        "token": None,
        "secret": False,
        "has_secret": True,
        "credentials": {},
        "api_key": b"",
    }
    assert redact(value) == value


def test_the_names_inside_of_credentials_are_kept_and_all_their_values_masked():
    assert redact({"credentials": {"user": "ann", "port": 5, "extra": {"a": [1]}, "none": None}}) == {
        "credentials": {"user": "***", "port": "***", "extra": {"a": "***"}, "none": None}
    }


def test_the_original_is_left_alone():
    value = {"password": "p", "list": [{"token": "t"}], "rows": ({"secret": "s"},)}
    before = copy.deepcopy(value)
    clean = redact(value)
    clean["list"][0]["added"] = 1

    assert value == before


def test_mappings_and_tuples_of_other_kinds():
    point = namedtuple("point", "name token")

    assert redact(OrderedDict(password="p", a=1)) == {"password": "***", "a": 1}
    assert redact(MappingProxyType({"password": "p"})) == {"password": "***"}
    assert redact((1, [2], "x")) == (1, [2], "x")
    assert isinstance(redact(point("a", "b")), point)
    assert redact({1: "a", None: "b", ("password",): "c"}) == {1: "a", None: "b", ("password",): "c"}


def test_endless_nesting_ends():
    loop: dict[str, Any] = {"a": 1}
    loop["self"] = loop
    deep: Any = "bottom"
    for _ in range(5000):
        deep = [deep]

    assert "***" in str(redact(loop))
    assert "***" in str(redact(deep))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(json_values)
def test_any_json_value_stays_json(value: Any):
    json.dumps(redact(value))


@given(json_values, st.sampled_from(["password", "apiKey", "X-Api-Key", "client_secret", "Cookie"]))
def test_a_secret_is_found_at_any_depth(value: Any, name: str):
    assert "s3cr3t-marker" not in json.dumps(redact({"a": [value, {"b": {name: "s3cr3t-marker"}}]}))


def test_a_secret_shows_only_when_it_is_revealed():
    secret = Secret("s3cr3t")

    assert [str(secret), repr(secret), f"{secret}", f"{secret:>20}", repr([secret])] == [
        "***",
        "***",
        "***",
        "***",
        "[***]",
    ]
    assert secret.reveal() == "s3cr3t"
    assert redact({"a": secret}) == {"a": "***"}
    assert (Secret("a") == Secret("a"), Secret("a") == Secret("b"), Secret("a") == "a") == (
        True,
        False,
        False,
    )
    assert (bool(Secret("")), bool(secret), len({Secret("a"), Secret("a")})) == (False, True, 1)
    assert not hasattr(secret, "__dict__")
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)
