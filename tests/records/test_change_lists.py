"""Lists of changes are read from indexes in their order, however many there are: nothing is sorted."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.records import selectors
from apps.records.models import Change, Origin
from apps.records.services import records
from apps.records.services.upsert import upsert
from apps.tenants.principals import Actor

USER = Actor("user", "ada@example.com", "Ada")


@pytest.fixture
def changed(clients, actor):
    """Twenty clients made, five changed, three deleted."""
    rows = [{"external_id": f"C-{n:02}", "name": f"Old {n}"} for n in range(20)]
    upsert(dataset=clients, rows=rows, actor=actor)
    upsert(dataset=clients, rows=[{**row, "name": "New"} for row in rows[:5]], actor=USER)
    gone = list(clients.records.filter(key__gte="C-17").values_list("pk", flat=True))
    records.delete(dataset=clients, ids=gone, actor=USER)
    return clients


def plan_of(read):
    """How the database answers the one statement of `read`, were its tables large."""
    with CaptureQueriesContext(connection) as queries:
        read()
    [query] = [q["sql"] for q in queries if q["sql"].startswith("SELECT")]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            for way in ("seqscan", "bitmapscan", "sort"):
                cursor.execute(f"SET LOCAL enable_{way} TO off")
            cursor.execute(f"EXPLAIN {query}")
        else:
            cursor.execute(f"EXPLAIN QUERY PLAN {query}")
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


def test_the_newest_changes_of_datasets_are_creations_and_later_ones_together(changed, organization):
    contacts = selectors.dataset_of(organization, "contacts")
    upsert(dataset=contacts, rows=[{"external_id": "P-1", "name": "Eve"}], actor=USER)

    newest = selectors.latest_changes([changed.pk, contacts.pk], 10)

    operations = [Change.objects.get(pk=pk).operation for pk in newest]
    assert operations == ["created", *["deleted"] * 3, *["updated"] * 5, *["created"] * 2]


def test_an_origins_changes_are_its_creations_and_its_later_ones(changed, actor):
    made = Change.objects.filter(origin=Origin.objects.get(ref=actor.ref))
    later = Change.objects.filter(origin=Origin.objects.get(ref=USER.ref))

    assert (made.count(), later.count()) == (20, 8)
    assert {change.record_id for change in made} >= {change.record_id for change in later}


@pytest.mark.parametrize("each", [2, 50])
def test_the_newest_of_a_dataset_are_not_sorted(changed, each):
    plan = plan_of(lambda: selectors.latest_changes([changed.pk], each))

    assert "sort" not in plan.lower().replace("sort key", ""), plan
    assert "temp b-tree" not in plan.lower(), plan


def test_a_page_of_a_datasets_changes_is_not_sorted(changed):
    plan = plan_of(lambda: list(Change.objects.filter(dataset_id=changed.pk).order_by("-id")[:10]))

    assert "sort" not in plan.lower().replace("sort key", ""), plan
    assert "temp b-tree" not in plan.lower(), plan
