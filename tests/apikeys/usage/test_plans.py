"""However many buckets there are, usage is read by an index: the rows of its span alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.apikeys.usage import selectors
from apps.apikeys.usage.selectors import GROUPS, Narrowed
from apps.tenants.models import Organization

KEY, ENDPOINT = ("key", "0" * 32), ("GET", "/records/{dataset}")
NARROWED = {
    "everything": Narrowed(),
    "a caller": Narrowed(KEY),
    "an endpoint": Narrowed(None, ENDPOINT),
    "both": Narrowed(KEY, ENDPOINT),
}
READERS: dict[str, Callable[[Organization], Any]] = {
    **{
        f"series of {name}, {span}": lambda o, n=narrowed, s=span: selectors.series(
            o, selectors.span_of(s), n
        )
        for name, narrowed in NARROWED.items()
        for span in ("6h", "7d", "90d")
    },
    **{
        f"{by} of {name}": lambda o, n=narrowed, by=by: selectors.ranking(o, selectors.span_of("30d"), by, n)
        for name, narrowed in NARROWED.items()
        for by in GROUPS
    },
    "the life of a key": lambda o: selectors.lifetime(o, KEY),
    "addresses": lambda o: selectors.distinct_addresses(o, selectors.span_of("7d"), KEY),
    "requests of a key": lambda o: selectors.requests_of(o, KEY),
    "requests": lambda o: selectors.requests_of(o),
    "refused requests": lambda o: selectors.refused_requests(o),
}


def _plan(sql: str) -> str:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Of few rows the planner would read all, index or none.
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute(f"EXPLAIN {sql}")
        else:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        return "\n".join(str(row) for row in cursor.fetchall())


@pytest.mark.parametrize("name", READERS)
def test_usage_is_read_by_an_index(name: str, acme: Organization) -> None:
    with CaptureQueriesContext(connection) as asked:
        READERS[name](acme)
    found = [query["sql"] for query in asked if "usage" in query["sql"] or "requestlog" in query["sql"]]
    assert found
    for sql in found:
        plan = _plan(sql)
        assert "SCAN apikeys_" not in plan, plan
        assert "Seq Scan on apikeys_" not in plan, plan
        assert "usage_" in plan or "requestlog_" in plan, plan
