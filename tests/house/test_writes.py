"""Every operation that changes something: it leaves a trace, has one effect per Idempotency-Key, and objects
that people edit refuse a change of what is no longer there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from apps.apikeys.services import usage, verified
from apps.audit.models import AuditEntry
from apps.events.models import Event
from apps.records.models import Change
from apps.tenants.services import organizations
from tests.house.calls import CALLS, FOR_PEOPLE, World
from tests.house.test_api import OPERATIONS, PUBLIC_ADDRESSES, Operation
from tests.webhooks.receiver import receiving

# What changes nothing that anybody could ask about later.
READS = {"POST webhooks/{id}/preview", "POST security/audit-log/verification"}
# What is a row of its own, which says who made it, and never changes.
OWN_TRACE: dict[str, Any] = {
    "POST events": Event,
    "POST records/{dataset}": Change,
    "POST records/{dataset}/bulk": Change,
    "PUT records/{dataset}/{id}": Change,
    "PATCH records/{dataset}/{id}": Change,
    "DELETE records/{dataset}/{id}": Change,
}
WRITES = [o for o in OPERATIONS if o.method != "get" and o.address not in PUBLIC_ADDRESSES]


@pytest.fixture
def world(db: None, settings: Any) -> Iterator[World]:
    settings.HUB_OUTBOUND_ALLOW = ["127.0.0.0/8"]
    settings.HUB_ALLOW_HTTP = True
    verified.forget_all()
    usage.forget_all()
    with receiving() as receiver:
        yield World(organizations.create(name="Acme"), receiver)
    verified.forget_all()


def test_every_operation_that_changes_something_is_in_the_table() -> None:
    assert {str(operation) for operation in WRITES} == set(CALLS)


@pytest.mark.parametrize("operation", WRITES, ids=str)
def test_a_change_leaves_a_trace_of_who_made_it(operation: Operation, world: World) -> None:
    address, body = CALLS[str(operation)](world)
    trace = OWN_TRACE.get(str(operation), AuditEntry)
    known = set(trace.objects.values_list("pk", flat=True))

    answer = world.send(operation.method, address, body)

    assert answer.status_code in (200, 201, 202, 204), answer.content
    new = [row for row in trace.objects.all() if row.pk not in known]
    if str(operation) in READS:
        return
    assert new, f"{operation} left no trace"
    if trace is AuditEntry:
        kind = "user" if address in FOR_PEOPLE else "api_key"
        told = [row for row in new if (row.actor_kind, row.request_id) == (kind, answer["X-Request-ID"])]
        assert told, [(row.action, row.actor_kind, row.request_id) for row in new]
        assert all(row.ip for row in told)
    elif trace is Change:
        assert {row.origin.kind for row in new} == {"api_key"}


@pytest.mark.parametrize("operation", [o for o in WRITES if o.method == "post"], ids=str)
def test_a_post_has_one_effect_for_each_idempotency_key(operation: Operation, world: World) -> None:
    address, body = CALLS[str(operation)](world)
    key = {"HTTP_IDEMPOTENCY_KEY": "the-same-call"}
    fixed = body() if callable(body) else body

    def send(values: Any) -> Any:
        if callable(body):
            fixed["file"].seek(0)
            return world.client().post(f"/api/v1/{address}", values, format="multipart", **key)
        return world.send("post", address, values, **key)

    first = send(fixed)
    assert first.status_code in (200, 201, 202, 204), first.content
    assert "Idempotent-Replayed" not in first
    entries = AuditEntry.objects.count()
    again = send(fixed)
    assert again["Idempotent-Replayed"] == "true", again.content
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert AuditEntry.objects.count() == entries

    other = send([*fixed, {}] if isinstance(fixed, list) else {**(fixed or {}), "nonsense": 1})
    assert other.status_code == 422, other.content
    assert other.json()["code"] == "idempotency_key_reused"


@pytest.mark.parametrize("operation", [o for o in WRITES if o.method in ("put", "patch")], ids=str)
def test_what_people_edit_has_an_etag_and_refuses_a_stale_one(operation: Operation, world: World) -> None:
    address, body = CALLS[str(operation)](world)
    read = world.send("get", address)
    assert read.status_code == 200
    tag = read["ETag"]
    assert world.send("get", address)["ETag"] == tag
    assert world.send("get", address, HTTP_IF_NONE_MATCH=tag).status_code in (200, 304)

    stale = world.send(operation.method, address, body, HTTP_IF_MATCH='"another"')
    assert stale.status_code == 412, stale.content
    assert stale["Content-Type"] == "application/problem+json"
    assert world.send("get", address)["ETag"] == tag

    changed = world.send(operation.method, address, body, HTTP_IF_MATCH=tag)
    assert changed.status_code == 200, changed.content
    assert changed["ETag"] != tag
    assert world.send("get", address)["ETag"] == changed["ETag"]
    late = world.send(operation.method, address, body, HTTP_IF_MATCH=tag)
    assert late.status_code == 412
