"""A dry run leaves the database as it was: all rows, all sequences."""

from __future__ import annotations

import pytest

from apps.events.catalog import Subscriber, subscribers
from apps.records.models import Origin
from apps.records.selectors import dataset_of
from apps.records.services import history
from apps.records.services.upsert import LinkSource, Mode, upsert
from apps.tenants.principals import Actor
from apps.tenants.services import organizations
from tests.dumps import dump

ROWS = [
    {"external_id": "1", "name": "Ada", "email": "ada@example.com", "role": "owner"},
    {"external_id": "2", "name": "Bob", "email": "bob@example.com"},
    {"external_id": "2", "name": "Bob again", "email": "bob2@example.com"},
    {"external_id": "3", "name": "", "email": "nobody"},
]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("mode", list(Mode))
def test_nothing_is_left_of_a_dry_run(mode, actor):
    people = dataset_of(organizations.create(name="Northwind"), "users")
    upsert(
        dataset=people,
        rows=[{**ROWS[0], "name": "Ada before"}, {"external_id": "9", "name": "Old", "email": "o@x.de"}],
        actor=actor,
    )
    subscribers.register(Subscriber("test-ear", wants=lambda org: ["*"], take=print))
    try:
        before = dump()
        result = upsert(
            dataset=people,
            rows=ROWS,
            actor=Actor("job", "JOB-2026-00009", "a new writer"),
            mode=mode,
            dry_run=True,
            batch_size=2,
            link=None if mode is Mode.REPLACE else LinkSource("INT-2026-00001", "people", "external_id"),
        )
        assert dump() == before
    finally:
        subscribers._items.pop("test-ear")
    assert result.failed >= 1
    assert result.created + result.updated > 0


@pytest.mark.django_db(transaction=True)
def test_nothing_is_left_of_a_foretold_undo(actor):
    people = dataset_of(organizations.create(name="Northwind"), "users")
    upsert(dataset=people, rows=ROWS[:2], actor=actor)
    before = dump()

    foretold = history.undo(origin=Origin.objects.get(), actor=actor, dry_run=True)

    assert foretold.reverted == 2
    assert dump() == before
