"""Rows that are recognized by their marks come to the same as rows that are mapped."""

from __future__ import annotations

import datetime as dt
import math
import random

import pytest
from django.db import connection, transaction

from apps.events.catalog import Subscriber, subscribers
from apps.records.mapping import MappingSpec, compile_mapping
from apps.records.models import Change, Record
from apps.records.selectors import dataset_of
from apps.records.services import history, intake, records
from apps.records.services.datasets import change, define
from apps.records.services.marks import Glance, Marker, recognized
from apps.records.services.upsert import Mode, upsert
from apps.tenants.principals import Actor
from apps.tenants.services import organizations

COLUMNS = ("external_id", "name", "city", "credit_limit", "since")
BATCH = 5


def table(count, **changed):
    """Rows by key; `changed` holds other names for some."""
    return [
        [f"C-{n:03d}", changed.get(f"C_{n:03d}", f"Client {n}"), "Gent", f"{n}.50", "2026-01-02"]
        for n in range(count)
    ]


def load(dataset, rows, ref="1", **settings):
    settings = {"columns": COLUMNS, "batch_size": BATCH, **settings}
    return upsert(dataset=dataset, rows=rows, actor=Actor("job", f"JOB-{ref}", "file.csv"), **settings)


def counts(result):
    return (result.created, result.updated, result.unchanged, result.restored, result.failed)


def known(dataset, rows, mapping=None, overwrite=True, timezone="UTC", columns=COLUMNS):
    mapper = compile_mapping(dataset.fields, mapping, columns=columns, timezone=timezone)
    marker = Marker.of(dataset, mapper, timezone, overwrite=overwrite)
    return recognized(dataset, Glance(marker.keys(rows), marker.marks(rows)))


def test_a_second_load_maps_the_rows_of_two_batches_and_recognizes_the_others(clients, monkeypatch):
    rows = table(40)
    load(clients, rows)
    seen = []

    def counted(dataset, glance):
        same = recognized(dataset, glance)
        seen.append(sum(same))
        return same

    monkeypatch.setattr(intake, "recognized", counted)
    result = load(clients, rows, "2")

    assert counts(result) == (0, 0, 40, 0, 0)
    assert sum(seen) >= 30
    seen.clear()
    # Written by hand, they hold the same and bear no mark: after one look nobody looks again.
    for record in Record.objects.all():
        city = record.data["city"]
        for value in ("Lyon", city):
            records.update(record=record, values={"city": value}, actor=Actor("user", "7", "Ada"))
    assert counts(load(clients, rows, "3")) == (0, 0, 40, 0, 0)
    assert 1 <= len(seen) <= 2
    assert sum(seen) == 0


def test_what_was_written_from_a_row_is_recognized_and_nothing_else(clients):
    rows = table(3)
    load(clients, rows)
    assert known(clients, rows) == [True] * 3

    other = [rows[0], [*rows[1][:2], "Lyon", *rows[1][3:]], ["C-900", *rows[2][1:]]]
    assert known(clients, other) == [True, False, False]
    assert known(clients, rows, overwrite=False) == [False] * 3
    assert known(clients, rows, timezone="Asia/Tokyo") == [False] * 3
    renamed = MappingSpec.from_dict(
        {"fields": [{"target": name, "source": f"@column:{name}"} for name in COLUMNS]}
    )
    assert known(clients, rows, mapping=renamed) == [False] * 3
    swapped = tuple(reversed(COLUMNS))
    assert known(clients, [row[::-1] for row in rows], columns=swapped) == [False] * 3


def test_who_writes_otherwise_takes_the_mark_away(clients, actor):
    rows = table(4)
    load(clients, rows)
    first, second, third, _ = Record.objects.order_by("key")
    records.update(record=first, values={"city": "Lyon"}, actor=actor)
    records.delete(dataset=clients, ids=[second.pk], actor=actor)
    records.update(record=third, values={"city": "Lyon"}, actor=actor)
    history.undo_change(change=Change.objects.filter(record=third).first(), actor=actor)

    # What was taken back holds what the row says, but was not written from it.
    assert known(clients, rows) == [False, False, False, True]
    assert counts(load(clients, rows)) == (0, 1, 2, 1, 0)
    assert set(Record.objects.values_list("deleted_at", flat=True)) == {None}
    assert {record.data["city"] for record in Record.objects.all()} == {"Gent"}


def test_other_fields_make_every_row_a_stranger(organization, actor):
    fields = [{"name": "code", "type": "text"}, {"name": "size", "type": "text"}]
    dataset = define(
        organization=organization, slug="parts", name="Parts", fields=fields, key_field="code", actor=actor
    )
    rows = [["A", "1"], ["B", "2"]]
    load(dataset, rows, columns=("code", "size"))
    assert known(dataset, rows, columns=("code", "size")) == [True, True]

    fields[1]["pattern"] = "[0-9]+"
    dataset = change(dataset=dataset, fields=fields, actor=actor)
    assert known(dataset, rows, columns=("code", "size")) == [False, False]


@pytest.mark.parametrize(
    ("one", "other"),
    [("1", 1), (1, 1.0), (True, 1), (None, ""), ("a\x1fb", "ab"), (None, math.nan), (math.inf, math.nan)],
)
def test_cells_that_are_not_the_same_have_not_the_same_mark(clients, one, other):
    mapper = compile_mapping(clients.fields, None, columns=COLUMNS)
    marker = Marker.of(clients, mapper, "UTC", overwrite=True)
    first, second = marker.marks([["C-1", one, "x", "1", ""], ["C-1", other, "x", "1", ""]])
    assert first != second or first == second == b""


def test_cells_without_an_exact_form_have_none_and_spoil_no_others(clients):
    mapper = compile_mapping(clients.fields, None, columns=COLUMNS)
    marker = Marker.of(clients, mapper, "UTC", overwrite=True)
    rows = [["C-1", "a"], ["C-2", dt.date(2026, 1, 2)], ["C-3", "\ud800"], ["C-4", math.nan], ["C-5", None]]
    assert [bool(mark) for mark in marker.marks(rows)] == [True, False, False, False, True]


def test_a_later_row_of_the_same_record_is_not_judged_by_what_was_there_before(clients):
    rows = table(20)
    load(clients, rows)
    # In the third batch, which is looked at by its marks: another name first, then what is stored already.
    again = [*rows[:10], ["C-012", "Changed", *rows[12][2:]], *rows[10:]]

    result = load(clients, again, "2")

    assert counts(result) == (0, 2, 19, 0, 0)
    assert Record.objects.get(key="C-012").data["name"] == "Client 12"
    assert Record.objects.get(key="C-012").version == 3


def test_wrong_rows_among_known_ones_are_named_by_their_numbers(clients):
    rows = table(20)
    load(clients, rows)
    rows[12] = ["C-012", "Client", "Gent", "much", "2026-01-02"]
    rows[17] = ["", "Client", "Gent", "1", "2026-01-02"]
    rows[18] = ["C-018", "too short"]

    result = load(clients, rows, "2")

    assert counts(result) == (0, 0, 17, 0, 3)
    found = [(problem.row, problem.field, problem.code) for problem in result.problems]
    assert [(row, field) for row, field, _ in found][:2] == [(13, "credit_limit"), (18, "external_id")]
    assert found[2][0] == 19


def test_examine_sees_every_row_in_order_and_may_leave_known_ones_out(clients):
    rows = table(60)
    load(clients, rows)
    for row in rows[25:45]:
        row[1] = "Changed"  # batches that are mapped ahead again after some that were not
    seen = []

    def examine(mapped):
        seen.extend(zip(mapped.rows, (values["external_id"] for values in mapped.values), strict=True))
        mapped.leave_out({number for number in mapped.rows if number in (14, 28)})

    result = load(clients, rows, "2", examine=examine)

    assert seen == [(n + 1, f"C-{n:03d}") for n in range(60)]
    assert counts(result) == (0, 19, 39, 0, 0)
    assert Record.objects.get(key="C-027").data["name"] == "Client 27"


@pytest.mark.parametrize("seed", range(12))
def test_loads_come_to_the_same_with_and_without_marks(db, seed, monkeypatch):
    """Random loads and edits of two organizations: one's rows are recognized, the other's never."""
    chance = random.Random(seed)
    plain, marked = (dataset_of(organizations.create(name=name), "clients") for name in ("Plain", "Marked"))
    of = Marker.of
    rows = table(40)
    seen: list[int] = []

    def only_marked(dataset, *args, **settings):
        return of(dataset, *args, **settings) if dataset.pk == marked.pk else None

    def counted(dataset, glance):
        same = recognized(dataset, glance)
        seen.append(sum(same))
        return same

    monkeypatch.setattr(Marker, "of", only_marked)
    monkeypatch.setattr(intake, "recognized", counted)
    for turn in range(8):
        for _ in range(chance.randrange(4)):
            n = chance.randrange(len(rows))
            what = chance.randrange(6)
            if what == 0:
                rows[n] = [*rows[n][:3], chance.choice(["7", "x", "", "8,5"]), rows[n][4]]
            elif what == 1:
                rows.insert(chance.randrange(len(rows)), [rows[n][0], f"Twin {turn}", "", "1", ""])
            elif what == 2:
                rows[n] = ["", *rows[n][1:]]
            elif what == 3:
                rows.append([f"C-9{turn}{n:02d}", "New", None, "1", ""])
            elif what == 4:
                rows[n] = [*rows[n][:2], chance.choice(["Lyon", "", "Porto"]), *rows[n][3:]]
            else:
                del rows[n]
        by_hand = [
            (chance.choice(["delete", "city", "name"]), f"C-{chance.randrange(40):03d}")
            for _ in range(chance.randrange(3))
        ]
        mode = chance.choice([Mode.UPSERT, Mode.UPSERT, Mode.UPSERT, Mode.UPDATE, Mode.CREATE, Mode.REPLACE])
        settings = {"mode": mode, "overwrite": chance.random() < 0.8, "dry_run": chance.random() < 0.2}
        told = []
        for dataset in (plain, marked):
            actor = Actor("user", "7", "Ada")
            for what, key in by_hand:
                record = Record.objects.filter(dataset=dataset, key=key, deleted_at=None).first()
                if record is not None and what == "delete":
                    records.delete(dataset=dataset, ids=[record.pk], actor=actor)
                elif record is not None:
                    records.update(record=record, values={what: f"By hand {turn}"}, actor=actor)
            result = load(dataset, rows, str(turn), **settings)
            held = Record.objects.filter(dataset=dataset).order_by("key")
            told.append(
                (
                    counts(result),
                    result.deleted,
                    result.problems,
                    [(r.key, r.data, r.version, r.deleted_at is None) for r in held],
                )
            )
        assert told[0] == told[1], (seed, turn, settings)
    # Few, where the first rows changed in many turns.
    assert seen


@pytest.mark.django_db(transaction=True)
def test_only_commits_that_more_will_follow_do_not_wait_for_the_disk():
    """On PostgreSQL, and only where nobody is told of the commit."""
    dataset = dataset_of(organizations.create(name="Northwind"), "clients")
    statements = []

    def note(execute, sql, params, many, context):
        statements.append(sql)
        return execute(sql, params, many, context)

    def committed(rows, **settings):
        statements.clear()
        with connection.execute_wrapper(note):
            load(dataset, rows, **settings)
        asked = sum("synchronous_commit TO off" in sql for sql in statements)
        return asked, sum("pg_logical_emit_message" in sql for sql in statements)

    on_postgres = connection.vendor == "postgresql"
    assert committed(table(12)) == ((2, 0) if on_postgres else (0, 0))  # the last batch is not full
    assert committed(table(15, C_001="New")) == ((3, 1) if on_postgres else (0, 0))
    assert committed(table(15), dry_run=True)[0] == 0
    with transaction.atomic():
        assert committed(table(20)) == (0, 0)
    ear = Subscriber("test-ear", wants=lambda organization_id: ["clients.created"], take=lambda events: None)
    subscribers.register(ear)
    try:
        assert committed(table(25)) == ((4, 0) if on_postgres else (0, 0))  # only the last batch has news
    finally:
        subscribers._items.pop("test-ear")
    if on_postgres:
        with connection.cursor() as cursor:
            cursor.execute("SHOW synchronous_commit")
            assert cursor.fetchone() == ("on",)
