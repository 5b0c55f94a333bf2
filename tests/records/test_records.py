"""Single records: the same checks, with pointers to the wrong fields."""

from __future__ import annotations

import pytest

from apps.kernel.errors import BadRequest, Conflict, InvalidInput, NotFound, RaceLost
from apps.records import selectors
from apps.records.models import Change, Record
from apps.records.services import records
from apps.records.services.upsert import upsert
from apps.tenants.principals import Actor
from apps.tenants.services import organizations

USER = Actor("user", "ada@example.com", "Ada")


def test_creating_checks_every_field(clients):
    with pytest.raises(InvalidInput) as refused:
        records.create(
            dataset=clients, values={"external_id": "C-1", "email": "x", "colour": "red"}, actor=USER
        )

    assert {(e.pointer, e.code) for e in refused.value.errors} >= {
        ("/email", "not_an_email"),
        ("/colour", "unknown_field"),
    }
    assert Record.objects.count() == 0


def test_a_required_field_that_is_missing_is_named(clients):
    with pytest.raises(InvalidInput) as refused:
        records.create(dataset=clients, values={"external_id": "C-1"}, actor=USER)

    assert [(e.pointer, e.code) for e in refused.value.errors] == [("/name", "required")]


def test_a_taken_key_is_a_conflict(clients):
    records.create(dataset=clients, values={"external_id": "C-1", "name": "Ada"}, actor=USER)

    with pytest.raises(Conflict, match="C-1"):
        records.create(dataset=clients, values={"external_id": "C-1", "name": "Bob"}, actor=USER)
    assert Record.objects.get().data["name"] == "Ada"


def test_updating_changes_the_given_fields_only(clients):
    record = records.create(
        dataset=clients, values={"external_id": "C-1", "name": "Ada", "city": "Gent"}, actor=USER
    )

    updated = records.update(
        record=record, values={"name": "Ada Ltd", "city": None}, actor=USER, expected_version=1
    )

    assert (updated.data, updated.version) == ({"external_id": "C-1", "name": "Ada Ltd"}, 2)


def test_replacing_removes_what_is_not_given(clients):
    record = records.create(
        dataset=clients, values={"external_id": "C-1", "name": "Ada", "city": "Gent"}, actor=USER
    )

    replaced = records.replace(record=record, values={"external_id": "C-1", "name": "Bob"}, actor=USER)

    assert replaced.data == {"external_id": "C-1", "name": "Bob"}


def test_an_edit_of_an_old_version_is_refused(clients):
    record = records.create(dataset=clients, values={"external_id": "C-1", "name": "Ada"}, actor=USER)
    records.update(record=record, values={"city": "Gent"}, actor=USER)

    with pytest.raises(RaceLost, match="version 2"):
        records.update(record=record, values={"city": "Cork"}, actor=USER, expected_version=1)
    assert Record.objects.get().data["city"] == "Gent"
    assert Change.objects.count() == 2


def test_filters_and_order_use_indexed_fields(clients, actor):
    names = ("Berta", "ada", "Émile", "Cyd")
    upsert(
        dataset=clients,
        rows=[
            {"external_id": f"C-{n}", "name": name, "status": "active" if n % 2 else "lead"}
            for n, name in enumerate(names)
        ],
        actor=actor,
    )

    def found(**kwargs):
        return [r.data["name"] for r in selectors.filtered(clients, **kwargs)]

    assert found(ordering="name") == ["ada", "Berta", "Cyd", "Émile"]
    assert found(filters={"status": "Active"}, ordering="external_id") == ["ada", "Cyd"]
    assert found(filters={"name__startswith": "BE"}) == ["Berta"]
    assert found(
        filters={"status__in": "active,lead", "external_id__gte": "C-2"}, ordering="external_id"
    ) == [
        "Émile",
        "Cyd",
    ]
    assert found(search="cy") == ["Cyd"]
    assert found(search="C-0") == ["Berta"]
    with pytest.raises(BadRequest, match="notes"):
        found(filters={"notes": "x"})
    with pytest.raises(BadRequest, match="status"):
        found(filters={"status": "purple"})
    with pytest.raises(BadRequest, match="notes"):
        found(ordering="notes")


def test_another_organizations_record_is_not_found(clients):
    other = selectors.dataset_of(organizations.create(name="Other"), "clients")
    record = records.create(dataset=clients, values={"external_id": "C-1", "name": "Ada"}, actor=USER)

    with pytest.raises(NotFound):
        selectors.record_of(other, record.public_id)
    with pytest.raises(NotFound):
        selectors.record_of(other, "key:C-1")
    assert records.delete(dataset=other, ids=[record.pk], actor=USER) == 0
    assert selectors.record_of(clients, record.public_id).pk == record.pk
