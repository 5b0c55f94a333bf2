"""Taking back: a whole origin, one change, and what stands in the way."""

from __future__ import annotations

import pytest

from apps.audit.models import AuditEntry
from apps.kernel.errors import Conflict
from apps.records.models import Change, Origin, Record
from apps.records.selectors import count, history_of
from apps.records.services import history, records
from apps.records.services.upsert import Mode, upsert
from apps.tenants.principals import Actor

USER = Actor("user", "ada@example.com", "Ada")
IMPORT = Actor("job", "JOB-2026-00002", "second.csv")


def data(dataset):
    return {r.key: r.data for r in Record.objects.filter(dataset=dataset, deleted_at=None)}


def rows(*names):
    return [{"external_id": f"C-{n}", "name": name} for n, name in enumerate(names, start=1)]


def test_an_import_is_taken_back_exactly(clients, actor):
    upsert(dataset=clients, rows=rows("Ada", "Bob", "Cyd"), actor=actor)
    before = data(clients)
    upsert(
        dataset=clients,
        rows=[{"external_id": "C-1", "name": "Ada 2", "city": "Gent"}, {"external_id": "C-9", "name": "New"}],
        actor=IMPORT,
        mode=Mode.REPLACE,
    )
    origin = Origin.objects.get(ref="JOB-2026-00002")

    foretold = history.undo(origin=origin, actor=USER, dry_run=True)
    assert set(data(clients)) == {"C-1", "C-9"}
    result = history.undo(origin=origin, actor=USER)

    assert (foretold.reverted, result.reverted, result.refused) == (4, 4, 0)
    assert data(clients) == before
    assert count(clients) == 3
    origin.refresh_from_db()
    assert origin.undone_at is not None
    assert AuditEntry.objects.get(action="records.undone").changes["reverted"] == [None, 4]


def test_records_changed_later_by_somebody_else_stay_and_are_listed(clients, actor):
    upsert(dataset=clients, rows=rows("Ada", "Bob"), actor=actor)
    upsert(dataset=clients, rows=rows("Ada 2", "Bob 2"), actor=IMPORT)
    records.update(record=Record.objects.get(key="C-1"), values={"city": "Cork"}, actor=USER)

    result = history.undo(origin=Origin.objects.get(ref="JOB-2026-00002"), actor=USER)

    assert (result.reverted, result.refused) == (1, 1)
    assert [(c.key, c.reason) for c in result.conflicts] == [
        ("C-1", "“C-1” was changed later by somebody else.")
    ]
    assert data(clients)["C-1"] == {"external_id": "C-1", "name": "Ada 2", "city": "Cork"}
    assert data(clients)["C-2"] == {"external_id": "C-2", "name": "Bob"}


def test_several_changes_of_one_origin_to_one_record_are_taken_back_together(clients, actor):
    upsert(dataset=clients, rows=rows("Ada"), actor=actor)
    upsert(dataset=clients, rows=rows("Ada 2"), actor=IMPORT)
    upsert(dataset=clients, rows=[{"external_id": "C-1", "name": "Ada 3", "city": "Cork"}], actor=IMPORT)

    result = history.undo(origin=Origin.objects.get(ref="JOB-2026-00002"), actor=USER)

    assert (result.reverted, result.refused) == (2, 0)
    assert data(clients)["C-1"] == {"external_id": "C-1", "name": "Ada"}


def test_an_undo_can_be_undone(clients, actor):
    upsert(dataset=clients, rows=rows("Ada"), actor=actor)
    upsert(dataset=clients, rows=rows("Ada 2", "Bob"), actor=IMPORT)
    history.undo(origin=Origin.objects.get(ref="JOB-2026-00002"), actor=USER)

    history.undo(origin=Origin.objects.get(kind="undo"), actor=USER)

    assert {key: d["name"] for key, d in data(clients).items()} == {"C-1": "Ada 2", "C-2": "Bob"}


def test_one_change_is_taken_back_only_while_it_is_the_latest(clients, actor):
    upsert(dataset=clients, rows=rows("Ada"), actor=actor)
    record = Record.objects.get(key="C-1")
    records.update(record=record, values={"city": "Gent"}, actor=USER)
    first = history_of(record)[0]
    records.update(record=record, values={"city": "Cork"}, actor=USER)

    with pytest.raises(Conflict, match="changed later"):
        history.undo_change(change=first, actor=USER)
    assert data(clients)["C-1"]["city"] == "Cork"

    history.undo_change(change=history_of(record)[0], actor=USER)
    assert data(clients)["C-1"]["city"] == "Gent"


def test_a_deleted_record_can_be_brought_back(clients, actor):
    upsert(dataset=clients, rows=rows("Ada", "Bob"), actor=actor)
    ada = Record.objects.get(key="C-1")
    assert records.delete(dataset=clients, ids=[ada.pk], actor=USER) == 1
    assert count(clients) == 1

    history.undo_change(change=Change.objects.get(record=ada, operation="deleted"), actor=USER)

    assert data(clients)["C-1"] == {"external_id": "C-1", "name": "Ada"}
    assert count(clients) == 2


def test_a_later_change_that_was_itself_taken_back_stands_in_nobodys_way(clients, actor):
    upsert(dataset=clients, rows=rows("Ada", "Bob"), actor=actor)
    upsert(dataset=clients, rows=rows("Ada 2", "Bob 2"), actor=IMPORT)
    upsert(dataset=clients, rows=rows("Ada 3"), actor=Actor("job", "JOB-2026-00003"))
    history.undo(origin=Origin.objects.get(ref="JOB-2026-00003"), actor=USER)

    result = history.undo(origin=Origin.objects.get(ref="JOB-2026-00002"), actor=USER)

    assert (result.reverted, result.refused) == (2, 0)
    assert {key: d["name"] for key, d in data(clients).items()} == {"C-1": "Ada", "C-2": "Bob"}


def test_a_later_change_that_stands_again_is_in_the_way_again(clients, actor):
    upsert(dataset=clients, rows=rows("Ada"), actor=actor)
    upsert(dataset=clients, rows=rows("Ada 2"), actor=IMPORT)
    upsert(dataset=clients, rows=rows("Ada 3"), actor=Actor("job", "JOB-2026-00003"))
    third = Origin.objects.get(ref="JOB-2026-00003")
    history.undo(origin=third, actor=USER)
    history.undo(origin=Origin.objects.get(kind="undo"), actor=USER)
    third.refresh_from_db()
    assert third.undone_at is None

    result = history.undo(origin=Origin.objects.get(ref="JOB-2026-00002"), actor=USER)

    assert (result.reverted, result.refused) == (0, 1)
    assert data(clients)["C-1"]["name"] == "Ada 3"
    assert history.undo(origin=third, actor=USER).reverted == 1
    assert data(clients)["C-1"]["name"] == "Ada 2"
