"""Conditions on the data of events."""

from __future__ import annotations

import pytest

from apps.webhooks.filters import FilterInvalid, compile_filter
from tests.webhooks.conftest import publish, run

ORDER = {
    "status": "paid",
    "total": "120.50",
    "count": 3,
    "gift": True,
    "note": None,
    "at": "2026-03-01T09:30:00+01:00",
    "tags": ["urgent", "eu-west"],
    "customer": {"country": "UZ", "emails": ["ada@example.com"]},
    "lines": [{"sku": "A-1", "qty": 2}, {"sku": "B-22", "qty": 10}],
}


@pytest.mark.parametrize(
    ("source", "fits"),
    [
        ({}, True),
        ({"status": "paid"}, True),
        ({"status": {"eq": "open"}}, False),
        ({"status": {"ne": "open"}}, True),
        ({"missing": {"ne": "open"}}, True),
        ({"missing": {"eq": None}}, False),
        ({"note": None}, True),
        ({"total": {"gt": 100}}, True),
        ({"total": {"gte": "120.5"}}, True),
        ({"total": {"lt": 120.5}}, False),
        ({"total": {"lte": 120.5}}, True),
        ({"total": 120.5}, True),
        ({"count": {"gt": 2, "lt": 4}}, True),
        ({"gift": 1}, False),
        ({"gift": True}, True),
        ({"at": {"gt": "2026-03-01T08:00:00Z"}}, True),
        ({"at": {"gt": "2026-03-01T09:00:00Z"}}, False),
        ({"status": {"in": ["open", "paid"]}}, True),
        ({"status": ["open", "paid"]}, True),
        ({"status": {"nin": ["open", "paid"]}}, False),
        ({"count": {"in": [3]}}, True),
        ({"tags": "urgent"}, True),
        ({"tags": {"nin": ["late"]}}, True),
        ({"tags": {"startswith": "eu-"}}, True),
        ({"customer.country": {"regex": "^U[A-Z]$"}}, True),
        ({"status": {"regex": "aid"}}, True),
        ({"lines.sku": "B-22"}, True),
        ({"lines.0.sku": "B-22"}, False),
        ({"lines.1.qty": {"gte": 10}}, True),
        ({"customer.emails": {"startswith": "ada@"}}, True),
        ({"customer": {"exists": True}}, True),
        ({"note": {"exists": True}}, False),
        ({"nothing.there": {"exists": False}}, True),
        ({"lines": {"exists": True}}, True),
        ({"or": [{"status": "open"}, {"count": 3}]}, True),
        ({"and": [{"status": "paid"}, {"count": 4}]}, False),
        ({"not": {"status": "paid"}}, False),
        ({"not": {"or": [{"status": "open"}, {"not": {"gift": True}}]}}, True),
        ({"status": "paid", "count": 4}, False),
    ],
)
def test_what_fits(source, fits):
    assert compile_filter(source)(ORDER) is fits


@pytest.mark.parametrize(
    ("source", "pointer"),
    [
        ([], ""),
        ({"a": {"like": 1}}, "/a/like"),
        ({"a": {}}, "/a"),
        ({"a..b": 1}, "/a..b"),
        ({"a": {"in": "x"}}, "/a/in"),
        ({"a": {"in": []}}, "/a/in"),
        ({"a": {"in": list(range(501))}}, "/a/in"),
        ({"a": {"gt": True}}, "/a/gt"),
        ({"a": {"gt": None}}, "/a/gt"),
        ({"a": {"exists": "yes"}}, "/a/exists"),
        ({"a": {"startswith": ""}}, "/a/startswith"),
        ({"a": {"regex": "(a+)+$"}}, "/a/regex"),
        ({"a": {"regex": "(?<=x)y"}}, "/a/regex"),
        ({"a": {"regex": "["}}, "/a/regex"),
        ({"a": {"eq": {"x": 1}}}, "/a/eq"),
        ({"or": {}}, "/or"),
        ({"or": [1]}, "/or/0"),
        ({"or": []}, "/or"),
        ({f"a{n}": 1 for n in range(101)}, "/a100/eq"),
    ],
)
def test_what_is_no_filter(source, pointer):
    with pytest.raises(FilterInvalid) as told:
        compile_filter(source)
    assert told.value.errors[0].pointer == pointer


def test_depth_is_bounded():
    source = {"a": 1}
    for _ in range(2000):
        source = {"not": source}
    with pytest.raises(FilterInvalid, match="deep"):
        compile_filter(source)


def test_long_texts_and_wide_lists_cost_little():
    slow = compile_filter({"tags": {"regex": "x.*y.*z"}})
    assert slow({"tags": ["x" * 100_000]}) is False
    assert slow({"tags": ["x" * 150] * 100_000}) is False
    deep = compile_filter({"a.a.a.a.a.a": 1})
    wide = {"a": 1}
    for _ in range(5):
        wide = {"a": [wide] * 12}
    assert deep(wide) is True


def test_only_events_that_fit_become_deliveries(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url, event_filters={"total": {"gte": 100}, "not": {"country": "DE"}})

    publish(organization, total=99, country="UZ")
    wanted = publish(organization, total="100.00", country="UZ")
    publish(organization, total=500, country="DE")
    run()

    assert receiver.ids == [wanted.public_id]
    assert endpoint.deliveries.count() == 1
