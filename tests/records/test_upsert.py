"""The one door in: what it writes, what it leaves alone, what it refuses."""

from __future__ import annotations

import pytest

from apps.events.catalog import Subscriber, subscribers
from apps.events.models import Event
from apps.records.mapping import MappingSpec
from apps.records.models import Change, Link, Record
from apps.records.selectors import count, dataset_of
from apps.records.services.datasets import define
from apps.records.services.upsert import LinkSource, Mode, UpsertStopped, upsert
from apps.tenants.principals import Actor

ADA = {"external_id": "C-1", "name": "Ada Lovelace Ltd", "status": "active", "credit_limit": "100.50"}
BOB = {"external_id": "C-2", "name": "Bob & Sons", "email": "bob@example.com"}


def keys(dataset):
    return sorted(Record.objects.filter(dataset=dataset, deleted_at=None).values_list("key", flat=True))


def test_new_rows_become_records_with_changes(clients, actor):
    result = upsert(dataset=clients, rows=[ADA, BOB], actor=actor)

    assert (result.rows, result.created, result.failed) == (2, 2, 0)
    ada = Record.objects.get(dataset=clients, key="C-1")
    assert ada.data == ADA
    assert (ada.version, ada.organization_id) == (1, clients.organization_id)
    change = Change.objects.get(record=ada)
    assert (change.operation, change.before, change.after) == ("created", None, ADA)
    assert (change.origin.kind, change.origin.ref) == ("job", "JOB-2026-00001")
    assert count(clients) == 2


def test_a_second_load_writes_only_what_changed(clients, actor):
    upsert(dataset=clients, rows=[ADA, BOB], actor=actor)
    before = Record.objects.get(key="C-1").updated_at

    result = upsert(dataset=clients, rows=[ADA, {**BOB, "name": "Bob & Daughters"}], actor=actor)

    assert (result.created, result.updated, result.unchanged) == (0, 1, 1)
    assert Record.objects.get(key="C-1").updated_at == before
    bob = Record.objects.get(key="C-2")
    assert (bob.data["name"], bob.version) == ("Bob & Daughters", 2)
    change = Change.objects.filter(record=bob).first()
    assert (change.operation, change.before, change.after) == (
        "updated", {"name": "Bob & Sons"}, {"name": "Bob & Daughters"},
    )  # fmt: skip


def test_absent_fields_stay_and_blank_ones_are_removed(clients, actor):
    upsert(dataset=clients, rows=[{**BOB, "city": "Gent", "phone": "+32 9 123 45 67"}], actor=actor)

    upsert(dataset=clients, rows=[{"external_id": "C-2", "phone": ""}], actor=actor)

    bob = Record.objects.get(key="C-2")
    assert bob.data == {**BOB, "city": "Gent"}
    assert Change.objects.filter(record=bob).first().after == {"phone": None}


def test_filling_blanks_only_keeps_what_is_there(clients, actor):
    upsert(dataset=clients, rows=[BOB], actor=actor)

    upsert(dataset=clients, rows=[{**BOB, "name": "Other", "city": "Gent"}], actor=actor, overwrite=False)

    assert Record.objects.get(key="C-2").data == {**BOB, "city": "Gent"}


def test_every_wrong_value_is_named_and_the_row_left_out(clients, actor):
    wrong = {
        "external_id": "C-3",
        "name": "",
        "email": "nobody",
        "credit_limit": "1.234,5x",
        "since": "tomorrow",
    }

    result = upsert(dataset=clients, rows=[ADA, wrong, BOB], actor=actor)

    assert (result.created, result.failed) == (2, 1)
    assert {(p.row, p.field, p.code) for p in result.problems} == {
        (2, "name", "required"),
        (2, "email", "not_an_email"),
        (2, "credit_limit", "not_a_number"),
        (2, "since", "not_a_date"),
    }
    assert keys(clients) == ["C-1", "C-2"]


@pytest.mark.parametrize(
    ("mode", "created", "updated", "failed", "codes"),
    [
        (Mode.CREATE, 1, 0, 1, {"already_exists"}),
        (Mode.UPDATE, 0, 1, 1, {"not_found"}),
        (Mode.UPSERT, 1, 1, 0, set()),
    ],
)
def test_modes(clients, actor, mode, created, updated, failed, codes):
    upsert(dataset=clients, rows=[ADA], actor=actor)

    result = upsert(dataset=clients, rows=[{**ADA, "name": "Ada"}, BOB], actor=actor, mode=mode)

    assert (result.created, result.updated, result.failed) == (created, updated, failed)
    assert {p.code for p in result.problems} == codes


def test_replace_all_removes_what_no_row_named(clients, actor):
    upsert(dataset=clients, rows=[ADA, BOB, {"external_id": "C-9", "name": "Gone"}], actor=actor)

    result = upsert(dataset=clients, rows=[ADA], actor=actor, mode=Mode.REPLACE, batch_size=1)

    assert (result.deleted, result.unchanged) == (2, 1)
    assert keys(clients) == ["C-1"]
    gone = Record.objects.get(dataset=clients, key="C-9")
    assert gone.deleted_at is not None
    assert Change.objects.filter(record=gone).first().before == {"external_id": "C-9", "name": "Gone"}
    assert count(clients) == 1


def test_replace_all_removes_nothing_when_a_row_was_wrong(clients, actor):
    upsert(dataset=clients, rows=[ADA, BOB], actor=actor)

    result = upsert(dataset=clients, rows=[{**ADA, "email": "x"}], actor=actor, mode=Mode.REPLACE)

    assert (result.deleted, result.deletion_skipped, result.failed) == (0, True, 1)
    assert keys(clients) == ["C-1", "C-2"]


def test_a_key_twice_in_one_file_is_applied_in_order(clients, actor):
    result = upsert(
        dataset=clients, rows=[ADA, {**ADA, "name": "Second"}, {**ADA, "name": "Third"}], actor=actor
    )

    assert (result.created, result.updated) == (1, 2)
    record = Record.objects.get(key="C-1")
    assert (record.data["name"], record.version) == ("Third", 3)


def test_a_deleted_record_comes_back_with_its_history(clients, actor):
    upsert(dataset=clients, rows=[ADA, BOB], actor=actor)
    upsert(dataset=clients, rows=[BOB], actor=actor, mode=Mode.REPLACE)

    result = upsert(dataset=clients, rows=[ADA], actor=actor)

    assert result.restored == 1
    ada = Record.objects.get(key="C-1")
    assert (ada.deleted_at, ada.version) == (None, 3)
    assert [c.operation for c in Change.objects.filter(record=ada)] == ["restored", "deleted", "created"]
    assert count(clients) == 2


def test_stopping_on_an_error_leaves_its_batch_unwritten(clients, actor):
    rows = [ADA, BOB, {"external_id": "C-3", "name": "C", "email": "x"}, {"external_id": "C-4", "name": "D"}]

    with pytest.raises(UpsertStopped) as stopped:
        upsert(dataset=clients, rows=rows, actor=actor, stop_on_error=True, batch_size=2)

    assert [p.row for p in stopped.value.outcome.problems] == [3]
    assert keys(clients) == ["C-1", "C-2"]


def test_a_batch_and_its_checkpoint_are_one_transaction(clients, actor):
    seen = []

    def checkpoint(outcome):
        seen.append(outcome.last_row)
        if outcome.first_row == 3:
            raise RuntimeError("killed between the rows and the checkpoint")

    rows = [{"external_id": f"C-{n}", "name": f"Client {n}"} for n in range(1, 7)]
    with pytest.raises(RuntimeError, match="killed"):
        upsert(dataset=clients, rows=rows, actor=actor, batch_size=2, on_batch=checkpoint)

    assert seen == [2, 4]
    assert keys(clients) == ["C-1", "C-2"]
    assert Change.objects.count() == 2


def test_unique_values_are_unique(organization, actor):
    people = dataset_of(organization, "users")
    upsert(dataset=people, rows=[{"external_id": "1", "name": "A", "email": "a@example.com"}], actor=actor)

    result = upsert(
        dataset=people,
        rows=[
            {"external_id": "2", "name": "B", "email": "A@example.com".replace("A", "a")},
            {"external_id": "3", "name": "C", "email": "c@example.com"},
            {"external_id": "4", "name": "D", "email": "c@example.com"},
            {"external_id": "1", "name": "A2", "email": "a@example.com"},
        ],
        actor=actor,
    )

    assert [(p.row, p.field, p.code) for p in result.problems] == [
        (1, "email", "not_unique"),
        (3, "email", "not_unique"),
    ]
    assert (result.created, result.updated, result.failed) == (1, 1, 2)


def test_a_reference_must_lead_somewhere(organization, clients, actor):
    contacts = dataset_of(organization, "contacts")
    upsert(dataset=clients, rows=[ADA], actor=actor)

    result = upsert(
        dataset=contacts,
        rows=[
            {"external_id": "P-1", "name": "Ada", "client": "C-1"},
            {"external_id": "P-2", "name": "Eve", "client": "C-404"},
        ],
        actor=actor,
    )

    assert (result.created, result.failed) == (1, 1)
    assert [(p.row, p.field, p.code, p.value) for p in result.problems] == [
        (2, "client", "unknown_reference", "C-404")
    ]


def test_a_dry_run_foretells_and_writes_nothing(clients, actor):
    upsert(dataset=clients, rows=[ADA], actor=actor)
    rows = [{**ADA, "name": "New name"}, BOB, {**BOB, "city": "Gent"}, {"external_id": "C-3", "name": ""}]

    foretold = upsert(dataset=clients, rows=rows, actor=Actor("job", "JOB-2"), dry_run=True, batch_size=2)

    assert keys(clients) == ["C-1"]
    assert Change.objects.count() == 1
    real = upsert(dataset=clients, rows=rows, actor=Actor("job", "JOB-2"), batch_size=2)
    numbers = ("rows", "created", "updated", "unchanged", "restored", "deleted", "failed")
    assert (
        [getattr(foretold, n) for n in numbers]
        == [getattr(real, n) for n in numbers]
        == [4, 1, 2, 0, 0, 0, 1]
    )


def test_rows_of_a_remote_system_find_their_twin(clients, organization, actor):
    link = LinkSource("INT-2026-00001", "customers", remote_id="id", remote_version="meta.version")
    mapping = MappingSpec.from_dict(
        {"fields": [{"target": "external_id", "source": "number"}, {"target": "name", "source": "title"}]}
    )

    def pull(*rows):
        return upsert(dataset=clients, rows=rows, actor=actor, mapping=mapping, link=link)

    first = pull({"id": 7, "number": "A-7", "title": "Seven", "meta": {"version": "v1"}})
    renamed = pull({"id": 7, "number": "B-7", "title": "Seven", "meta": {"version": "v2"}})
    without = pull({"number": "X", "title": "Nobody"})

    assert (first.created, renamed.updated, renamed.created) == (1, 1, 0)
    assert keys(clients) == ["B-7"]
    tie = Link.objects.get()
    assert (tie.remote_id, tie.remote_version, tie.record.key) == ("7", "v2", "B-7")
    assert [(p.code, p.column) for p in without.problems] == [("remote_id_missing", "id")]


def test_events_are_written_only_where_somebody_listens(clients, organization, actor):
    upsert(dataset=clients, rows=[ADA], actor=actor)
    assert Event.objects.count() == 0
    ear = Subscriber(
        "test-ear", wants=lambda org: ["clients.updated"] if org == organization.pk else [], take=print
    )
    subscribers.register(ear)
    try:
        upsert(dataset=clients, rows=[{**ADA, "city": "Cork"}, BOB], actor=actor)
    finally:
        subscribers._items.pop("test-ear")

    event = Event.objects.get()
    assert (event.type, event.data["key"], event.data["changed"]) == ("clients.updated", "C-1", ["city"])
    assert event.data["record"] == {**ADA, "city": "Cork"}


def test_organizations_do_not_meet(clients, actor):
    from apps.tenants.services import organizations

    other = dataset_of(organizations.create(name="Other"), "clients")
    upsert(dataset=clients, rows=[ADA], actor=actor)

    result = upsert(dataset=other, rows=[{**ADA, "name": "Theirs"}], actor=actor)

    assert result.created == 1
    assert Record.objects.get(dataset=clients).data["name"] == "Ada Lovelace Ltd"


def test_a_custom_dataset_without_a_key_takes_every_row_as_new(organization, actor):
    notes = define(
        organization=organization,
        slug="notes",
        name="Notes",
        fields=[{"name": "text", "type": "text", "required": True}],
        actor=actor,
    )

    upsert(dataset=notes, rows=[{"text": "one"}, {"text": "one"}], actor=actor)

    assert Record.objects.filter(dataset=notes).count() == 2


def test_defaults_of_fields_are_kept_in_canonical_form(organization, actor):
    flags = define(
        organization=organization,
        slug="flags",
        name="Flags",
        fields=[
            {"name": "code", "type": "text", "required": True},
            {"name": "on", "type": "boolean", "default": "yes"},
        ],
        key_field="code",
        actor=actor,
    )

    upsert(
        dataset=flags, rows=[{"code": "a"}, {"code": "b", "on": "no"}, {"code": "c", "on": None}], actor=actor
    )

    data = {r.key: r.data.get("on") for r in Record.objects.filter(dataset=flags)}
    assert data == {"a": True, "b": False, "c": True}


def test_a_key_is_no_longer_than_its_index(organization, actor):
    things = define(
        organization=organization,
        slug="things",
        name="Things",
        fields=[
            {"name": "code", "type": "text", "required": True},
            {"name": "label", "type": "text", "unique": True},
        ],
        key_field="code",
        actor=actor,
    )
    long = "x" * 300

    result = upsert(
        dataset=things,
        rows=[{"code": long}, {"code": "a", "label": f"{long}1"}, {"code": "b", "label": f"{long}2"},
              {"code": "c", "label": f"{long}2"}],
        actor=actor,
    )  # fmt: skip

    assert [(p.row, p.field, p.code) for p in result.problems] == [
        (1, "code", "too_long"),
        (4, "label", "not_unique"),
    ]
    assert keys(things) == ["a", "b"]


def test_a_remote_id_is_never_cut(clients, actor):
    result = upsert(
        dataset=clients, rows=[{**ADA, "external_id": "x" * 120}], actor=actor,
        link=LinkSource("INT-2026-00001", "customers", remote_id="name"),
    )  # fmt: skip
    refused = upsert(
        dataset=clients, rows=[{**BOB, "notes": "y" * 191}], actor=actor,
        link=LinkSource("INT-2026-00001", "customers", remote_id="notes"),
    )  # fmt: skip

    assert result.created == 1
    assert [p.code for p in refused.problems] == ["remote_id_too_long"]
    assert Link.objects.count() == 1


def test_replacing_all_by_nothing_deletes_nothing(clients, actor):
    upsert(dataset=clients, rows=[ADA, BOB], actor=actor)

    result = upsert(dataset=clients, rows=[], actor=actor, mode=Mode.REPLACE)

    assert (result.deleted, result.deletion_skipped) == (0, True)
    assert keys(clients) == ["C-1", "C-2"]
