"""What was written before a migration is the same after it, and after going back."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import connection

from apps.records.models import Change, Origin, Record
from apps.records.services import history, records
from apps.records.services.upsert import upsert
from apps.tenants.principals import Actor

pytestmark = pytest.mark.django_db(transaction=True)
USER = Actor("user", "ada@example.com", "Ada")
COLUMNS = (
    "id, organization_id, dataset_id, record_id, origin_id, operation, version, before, created_at, undone_by"
)


@pytest.fixture
def migrate():
    yield lambda target: call_command("migrate", "records", target, verbosity=0)
    call_command("migrate", verbosity=0)


def stored(table):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {COLUMNS} FROM {table} ORDER BY id")
        return cursor.fetchall()


def test_creations_move_into_their_records_and_back(clients, actor, migrate):
    upsert(
        dataset=clients, rows=[{"external_id": f"C-{n}", "name": f"Old {n}"} for n in range(4)], actor=actor
    )
    records.update(record=Record.objects.get(key="C-0"), values={"name": "New 0"}, actor=USER)
    history.undo(origin=Origin.objects.get(ref=actor.ref), actor=USER)
    whole = stored("records_changes")
    assert sorted(row[5] for row in whole) == ["created"] * 4 + ["deleted"] * 3 + ["updated"]
    assert sorted(row[5] for row in stored("records_change")) == ["deleted"] * 3 + ["updated"]

    migrate("0005")
    assert stored("records_change") == whole

    migrate("0006")
    assert stored("records_changes") == whole
    made = Change.objects.filter(operation="created")
    assert {c.after["name"] for c in made} == {f"Old {n}" for n in range(4)}
    assert {c.undone_by is None for c in made.filter(record__key="C-0")} == {True}
