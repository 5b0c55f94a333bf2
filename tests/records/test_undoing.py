"""Taking back in the background: to the end, after a killed worker, once."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import transaction
from django.utils import timezone

from apps.audit.models import AuditEntry
from apps.kernel.leases import claim, fenced_update
from apps.records.models import Change, Origin, Record, Undoing
from apps.records.selectors import count, history_of
from apps.records.services import history, records, undoing
from apps.records.services.upsert import upsert
from apps.tenants.principals import Actor

USER = Actor("user", "ada@example.com", "Ada")
IMPORT = Actor("job", "JOB-2026-00009", "second.csv")


@pytest.fixture
def origin(clients, actor, monkeypatch):
    """An origin that changed three records and made four, with pages of two."""
    monkeypatch.setattr(undoing, "AT_ONCE", 3)
    monkeypatch.setattr(history, "PAGE", 2)
    upsert(dataset=clients, rows=rows(3, "Old"), actor=actor)
    upsert(dataset=clients, rows=rows(7, "New"), actor=IMPORT)
    return Origin.objects.get(ref=IMPORT.ref)


def rows(number, name):
    return [{"external_id": f"C-{n}", "name": f"{name} {n}"} for n in range(number)]


def names(dataset):
    return {r.key: r.data["name"] for r in Record.objects.filter(dataset=dataset, deleted_at=None)}


OLD = {"C-0": "Old 0", "C-1": "Old 1", "C-2": "Old 2"}


def test_much_is_taken_back_by_a_worker(clients, origin):
    result = undoing.undo(origin=origin, actor=USER)
    assert (result.in_background, result.total, result.reverted) == (True, 7, 0)
    assert len(names(clients)) == 7
    row = Undoing.objects.get()

    assert undoing.undo(origin=origin, actor=USER).total == 7
    assert Undoing.objects.count() == 1
    assert undoing.take(undoing_id=row.pk)

    row.refresh_from_db()
    origin.refresh_from_db()
    assert (row.reverted, row.refused, row.finished_at is None, row.lease_owner) == (7, 0, False, "")
    assert origin.undone_at is not None
    assert names(clients) == OLD
    assert count(clients) == 3
    assert AuditEntry.objects.get(action="records.undone").changes["reverted"] == [None, 7]
    assert not undoing.take(undoing_id=row.pk)


def test_after_a_killed_worker_another_goes_on_where_it_ended(clients, origin):
    undoing.undo(origin=origin, actor=USER)
    row = claim(Undoing.objects.all(), owner="killed", seconds=60)[0]
    result, undoers = undoing.result_of(row), {}
    with transaction.atomic():
        position = history.undo_page(origin, None, result, undoers)
        fenced_update(row, position=position, reverted=result.reverted)
    with transaction.atomic():  # the second page dies before it is settled
        history.undo_page(origin, position, result, undoers)
        transaction.set_rollback(True)
    assert not undoing.take(undoing_id=row.pk)
    Undoing.objects.update(lease_until=timezone.now() - dt.timedelta(seconds=1))

    assert undoing.sweep() == 1
    assert undoing.take(undoing_id=row.pk)

    row.refresh_from_db()
    assert (row.reverted, row.refused) == (7, 0)
    assert names(clients) == OLD
    assert Change.objects.filter(origin__kind="undo").count() == 7


def test_what_somebody_changed_later_is_counted_and_stays(clients, origin):
    records.update(record=Record.objects.get(key="C-1"), values={"city": "Cork"}, actor=USER)
    undoing.undo(origin=origin, actor=USER)

    undoing.take(undoing_id=Undoing.objects.get().pk)

    row = Undoing.objects.get()
    origin.refresh_from_db()
    assert (row.reverted, row.refused) == (6, 1)
    assert undoing.result_of(row).conflicts[0].key == "C-1"
    assert origin.undone_at is None
    assert names(clients) == OLD | {"C-1": "New 1"}


def test_what_a_creation_wrote_is_known_whatever_came_later(clients, actor):
    whole = {"external_id": "C-1", "name": "Ada", "city": "Gent", "tags": ["a", "b"]}
    upsert(dataset=clients, rows=[whole, {"external_id": "C-2", "name": "Bob"}], actor=actor)
    ada = Record.objects.get(key="C-1")
    records.update(record=ada, values={"name": "Ada 2", "city": None, "phone": "+32470000000"}, actor=USER)
    ada.refresh_from_db()
    records.update(record=ada, values={"city": "Cork", "tags": ["c"]}, actor=USER)
    records.delete(dataset=clients, ids=[ada.pk], actor=USER)
    upsert(dataset=clients, rows=[{"external_id": "C-1", "name": "Back"}], actor=IMPORT)
    ada.refresh_from_db()

    operations = [c.operation for c in history_of(ada)]
    assert operations == ["restored", "deleted", "updated", "updated", "created"]
    assert history_of(ada).last().after == whole
    assert Change.objects.get(pk=ada.pk).after == whole


def test_the_creations_of_one_list_are_worked_out_together(clients, actor, django_assert_max_num_queries):
    upsert(dataset=clients, rows=rows(6, "New"), actor=actor)
    upsert(dataset=clients, rows=rows(3, "Newer"), actor=USER)

    with django_assert_max_num_queries(3):
        made = {c.after["name"] for c in Change.objects.filter(operation="created")}

    assert made == {f"New {n}" for n in range(6)}
