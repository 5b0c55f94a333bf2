"""Event types that an organization declares itself, and publishing by them."""

from __future__ import annotations

import time

import pytest
from django.urls import reverse

from apps.events.models import Event, OwnEventType
from apps.events.services.schemas import TooComplex, Unresolvable, problems_in
from tests.events.test_admin import acme, owner  # noqa: F401
from tests.events.test_api import api  # noqa: F401

TYPES, EVENTS = "/api/v1/event-types", "/api/v1/events"
SCHEMA = {
    "type": "object",
    "required": ["order"],
    "properties": {"order": {"type": "integer"}, "sku": {"type": "string", "pattern": "^[A-Z]-[0-9]+$"}},
}
DECLARED = {
    "name": "order.shipped",
    "description": "An order left the house.",
    "group": "Shop",
    "schema": SCHEMA,
    "sample": {"order": 7, "sku": "A-1"},
}


def test_declared_published_and_checked(api):  # noqa: F811
    made = api.post(TYPES, DECLARED, format="json")
    assert made.status_code == 201, made.content
    assert made.json() == {**DECLARED, "version": 1, "own": True}
    assert api.get(f"{TYPES}/order.shipped").json() == made.json()
    assert [one["name"] for one in api.get(f"{TYPES}?own=true").json()["data"]] == ["order.shipped"]
    assert api.post(TYPES, DECLARED, format="json").status_code == 409

    good = api.post(EVENTS, {"type": "order.shipped", "data": {"order": 1}}, format="json")
    assert (good.status_code, good.json()["version"]) == (201, 1)
    wrong = api.post(EVENTS, {"type": "order.shipped", "data": {"order": "1", "sku": "a"}}, format="json")
    assert wrong.status_code == 422
    assert {one["pointer"] for one in wrong.json()["errors"]} == {"/data/order", "/data/sku"}
    assert Event.objects.filter(type="order.shipped").count() == 1


def test_another_schema_is_another_version(api):  # noqa: F811
    api.post(TYPES, DECLARED, format="json")
    path = f"{TYPES}/order.shipped"
    assert api.patch(path, {"description": "Left."}, format="json").json()["version"] == 1
    stricter = {**SCHEMA, "required": ["order", "sku"]}
    assert api.patch(path, {"schema": stricter}, format="json").json()["version"] == 2
    assert [one["version"] for one in api.get(f"{path}/versions").json()["data"]] == [2, 1]

    body = {"type": "order.shipped", "data": {"order": 1}}
    assert api.post(EVENTS, body, format="json").status_code == 422
    old = api.post(EVENTS, {**body, "version": 1}, format="json")
    assert (old.status_code, old.json()["version"]) == (201, 1)
    unknown = api.post(EVENTS, {**body, "version": 3}, format="json")
    assert unknown.json()["errors"][0]["pointer"] == "/version"

    api.patch(path, {"is_active": False}, format="json")
    assert api.post(EVENTS, {**body, "version": 1}, format="json").status_code == 422
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404
    assert not OwnEventType.objects.exists()


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"name": "shipped"}, "/name"),
        ({"name": "Order.shipped"}, "/name"),
        ({"name": "webhook.mine"}, "/name"),
        ({"name": "clients.mine"}, "/name"),
        ({"schema": {"type": "nonsense"}}, "/schema/type"),
        ({"schema": {"$ref": "http://169.254.169.254/x"}}, "/schema"),
        ({"schema": {"$ref": "#/$defs/none"}, "sample": {"a": 1}}, "/schema"),
        ({"schema": {"$ref": "file:///etc/passwd"}}, "/schema"),
        ({"schema": {"properties": {"a": {"pattern": "(a+)+$"}}}}, "/schema"),
        ({"sample": {"order": "x"}}, "/sample/order"),
        ({"sample": {"order": 1, "text": "x" * 70_000}}, "/sample"),
    ],
)
def test_wrong_declarations_are_refused(api, change, pointer):  # noqa: F811
    answer = api.post(TYPES, {**DECLARED, **change}, format="json")
    assert answer.status_code == 422, answer.content
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert not OwnEventType.objects.exists()


def test_schemas_that_explode_end():
    bomb = {"$defs": {"n0": {"type": "integer"}}, "$ref": "#/$defs/n30"}
    for n in range(30):
        both = [{"$ref": f"#/$defs/n{n}"}, {"$ref": f"#/$defs/n{n}"}]
        bomb["$defs"][f"n{n + 1}"] = {"anyOf": both}
    begun = time.monotonic()
    with pytest.raises(TooComplex):
        problems_in(bomb, "x", "")
    with pytest.raises((TooComplex, Unresolvable)):
        problems_in({"$ref": "#"}, {}, "")
    assert problems_in({"uniqueItems": True}, [[n] for n in range(50_000)], "") == []
    assert problems_in({"uniqueItems": True}, [[1], [1]], "")[0].code == "uniqueItems"
    assert time.monotonic() - begun < 60


def test_declared_in_the_admin(owner, acme):  # noqa: F811
    answer = owner.post(
        reverse("admin:events_owneventtype_add"),
        {
            "name": "order.shipped", "description": "", "group": "Shop", "is_active": "on",
            "schema": '{"type": "object"}', "sample": '{"order": 7}',
        },
    )  # fmt: skip
    assert answer.status_code == 302, answer.content
    row = OwnEventType.objects.get(organization=acme)
    assert row.sample == {"order": 7}
    owner.post(
        reverse("admin:events_owneventtype_change", args=[row.public_id]),
        {"description": "New", "group": "Shop", "is_active": "on", "schema": "", "sample": ""},
    )
    row.refresh_from_db()
    assert (row.version, row.schema, row.description) == (2, {}, "New")
    assert "order.shipped" in owner.get(reverse("admin:events_types")).content.decode()
