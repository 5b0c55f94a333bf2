"""A spreadsheet's way in: upload, proposal, check, import, what is left."""

from __future__ import annotations

import datetime as dt
import io

import pytest
import xlsxwriter

from apps.events.models import Event
from apps.jobs.formats import FormatError, open_table
from apps.jobs.models import Job, JobArtifact, JobError, RememberedMapping
from apps.jobs.services import control, imports, storage, uploads
from apps.kernel.errors import InvalidInput, RaceLost, TooLarge
from apps.records import selectors
from apps.records.models import Change, Record
from tests.jobs.conftest import ADA, checked, configured, run

GOOD = "Client id,Company,E-Mail,Status\nC1,Northwind,info@northwind.example,active\nC2,Contoso,,lead\n"
MIXED = (
    "external_id,name,email,status\n"
    "C1,Northwind,info@northwind.example,active\n"
    "C2,Contoso,nonsense,lead\n"
    "C3,Fabrikam,f@fabrikam.example\n"
    "C4,Adventure,,asleep\n"
    "C5,Litware,l@litware.example,lead\n"
)


def names(dataset) -> dict[str, str]:
    return {record.key: record.data["name"] for record in selectors.live(dataset)}


def read(artifact: JobArtifact) -> list[list[str]]:
    with storage.opened(artifact.file_path) as file:
        table = open_table(io.BytesIO(file.read()))
        return [table.names, *[list(row.values) for row in table.rows]]


def test_a_file_goes_in_as_proposed(upload, clients) -> None:
    job = upload(
        "external_id;Company name;E-mail;Status\nC1;Nordwind Käse;info@n.example;active\n".encode("cp1252")
    )
    assert (job.encoding, job.delimiter, job.header_row) == ("cp1252", ";", 1)
    assert job.number.startswith("JOB-")
    proposal = imports.propose(job=job)
    assert [(c.column, c.target) for c in proposal.columns] == [
        ("external_id", "external_id"),
        ("Company name", "name"),
        ("E-mail", "email"),
        ("Status", "status"),
    ]

    job = run(configured(job))

    assert job.status == "completed"
    assert (job.created_count, job.failed_records, job.processed_records, job.total_records) == (1, 0, 1, 1)
    assert job.percent_complete == 100
    assert job.success_rate == 100.0
    record = Record.objects.get(dataset=clients)
    assert record.data["name"] == "Nordwind Käse"
    change = Change.objects.get(record=record)
    assert (change.origin.kind, change.origin.ref) == ("job", job.number)
    assert job.origin == change.origin
    event = Event.objects.get(type="job.completed")
    assert (event.subject, event.data["created_count"]) == (job.number, 1)


def test_wrong_rows_are_left_out_and_told_exactly(upload, clients) -> None:
    job = run(configured(upload(MIXED)))

    assert job.status == "completed"
    assert (job.created_count, job.failed_records, job.successful_records, job.error_count) == (2, 3, 2, 3)
    assert names(clients) == {"C1": "Northwind", "C5": "Litware"}
    found = [(e.row, e.line, e.column, e.field, e.value, e.code) for e in JobError.objects.filter(job=job)]
    assert found == [
        (2, 3, "email", "email", "nonsense", "not_an_email"),
        (3, 4, "status", "status", "", "missing_cell"),
        (4, 5, "status", "status", "asleep", "not_a_choice"),
    ]
    rejected = read(job.artifacts.get(kind="rejected"))
    assert rejected[0] == ["external_id", "name", "email", "status", "_row", "_errors"]
    assert [row[:5] for row in rejected[1:]] == [
        ["C2", "Contoso", "nonsense", "lead", "2"],
        ["C3", "Fabrikam", "f@fabrikam.example", "", "3"],
        ["C4", "Adventure", "", "asleep", "4"],
    ]
    assert "nonsense" in rejected[1][5]
    errors = read(job.artifacts.get(kind="errors"))
    assert [row[:6] for row in errors[1:]] == [
        ["2", "3", "email", "email", "nonsense", "not_an_email"],
        ["3", "4", "status", "status", "", "missing_cell"],
        ["4", "5", "status", "status", "asleep", "not_a_choice"],
    ]


def test_the_rejected_rows_can_be_corrected_and_uploaded_again(upload, clients) -> None:
    job = run(configured(upload(MIXED)))
    with storage.opened(job.artifacts.get(kind="rejected").file_path) as file:
        corrected = file.read().decode("utf-8-sig").replace("nonsense", "ok@contoso.example")
    again = upload(corrected, "rejected.csv")

    targets = {c.column: c.target for c in imports.propose(job=again).columns}
    assert (targets["_row"], targets["_errors"], targets["email"]) == ("", "", "email")
    again = run(configured(again))

    assert (again.created_count, again.failed_records) == (2, 1)  # C4 is still asleep
    assert sorted(names(clients)) == ["C1", "C2", "C3", "C5"]


def test_a_check_tells_what_would_happen_and_changes_nothing(upload, clients) -> None:
    run(configured(upload("external_id,name,status\nC1,Northwind,lead\nC5,Litware,lead\n")))
    before = list(Record.objects.values_list("id", "version", "content_hash"))
    changes = Change.objects.count()

    job = checked(configured(upload(MIXED)))

    assert job.status == "pending"
    assert job.checked_at is not None
    report = job.report
    assert (report["rows"], report["good"], report["wrong"]) == (5, 2, 3)
    assert (report["created"], report["updated"], report["unchanged"]) == (0, 2, 0)
    assert [(g["code"], g["column"], g["count"]) for g in report["groups"]] == [
        ("not_an_email", "email", 1),
        ("missing_cell", "status", 1),
        ("not_a_choice", "status", 1),
    ]
    sample = report["samples"][0]
    assert (sample["operation"], sample["key"]) == ("updated", "C1")
    assert {"field": "status", "label": "Status", "before": "Lead", "after": "Active"} in sample["fields"]
    assert list(Record.objects.values_list("id", "version", "content_hash")) == before
    assert Change.objects.count() == changes

    job = run(job)
    assert (job.created_count, job.updated_count, job.unchanged_count, job.failed_records) == (0, 2, 0, 3)


def test_the_same_file_again_changes_nothing(upload, clients) -> None:
    run(configured(upload(GOOD.replace("Client id", "external_id"))))
    again = run(configured(upload(GOOD.replace("Client id", "external_id"))))

    assert (again.created_count, again.updated_count, again.unchanged_count) == (0, 0, 2)
    assert again.skipped_records == 2
    assert Change.objects.count() == 2


def test_a_matched_header_is_remembered_for_the_organization(upload, clients) -> None:
    job = upload("Nr,Gegenüber\nC1,Northwind\n")
    assert {c.column: c.target for c in imports.propose(job=job).columns}["Gegenüber"] == ""
    imports.configure(
        job=job,
        actor=ADA,
        mapping={
            "fields": [
                {"target": "external_id", "source": "Nr"},
                {"target": "name", "source": "Gegenüber", "transforms": "upper"},
            ]
        },
    )
    run(job)

    proposal = imports.propose(job=upload("GEGENÜBER;nr\nContoso;C2\n"))
    assert proposal.how == "suggested"  # the columns are written otherwise, so the mapping does not fit
    proposal = imports.propose(job=upload("Gegenüber;Nr\nContoso;C2\n"))
    assert proposal.how == "remembered"
    assert {c.column: c.target for c in proposal.columns} == {"Gegenüber": "name", "Nr": "external_id"}
    assert RememberedMapping.objects.get().uses == 1


def test_columns_with_the_same_header_are_for_a_person_to_tell_apart(upload) -> None:
    proposal = imports.propose(job=upload("external_id,name,Name \nC1,Northwind,NW\n"))
    assert [c.target for c in proposal.columns] == ["external_id", "", ""]


@pytest.mark.parametrize(
    ("mapping", "settings", "pointer"),
    [
        ({"fields": [{"target": "external_id", "source": "nope"}]}, {}, "/mapping/fields/0/source"),
        ({"fields": [{"target": "nope", "source": "name"}]}, {}, "/mapping/fields/0/target"),
        ({"fields": [{"target": "name", "source": "name"}]}, {}, "/mapping/fields"),
        (None, {"mode": "destroy"}, "/mode"),
        (None, {"batch_size": 0}, "/batch_size"),
        (None, {"timezone": "Mars/Base"}, "/timezone"),
        (None, {"stop_on_error": True, "skip_errors": True}, "/stop_on_error"),
        (None, {"preserve_ids": False}, "/preserve_ids"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(upload, mapping, settings, pointer) -> None:
    job = upload("external_id,name\nC1,Northwind\n")
    with pytest.raises(InvalidInput) as refused:
        imports.configure(job=job, actor=ADA, mapping=mapping, settings=imports.Settings(**settings))
    assert [error.pointer for error in refused.value.errors] == [pointer]
    job.refresh_from_db()
    assert (job.configured_at, job.mode, job.batch_size) == (None, "upsert", 5000)


def test_a_job_needs_its_columns_matched_before_it_starts(upload, clients) -> None:
    job = upload("external_id,name\nC1,Northwind\n")
    with pytest.raises(InvalidInput.__mro__[1], match="Match the columns"):
        imports.start(job=job, actor=ADA)
    assert Job.objects.get().status == "pending"
    assert names(clients) == {}


def test_a_started_job_starts_once(upload) -> None:
    job = configured(upload("external_id,name\nC1,Northwind\n"))
    twin = Job.objects.get(pk=job.pk)
    imports.start(job=job, actor=ADA)
    with pytest.raises(RaceLost):
        imports.start(job=twin, actor=ADA)


def test_stop_on_error_imports_nothing(upload, clients) -> None:
    job = run(configured(upload(MIXED), stop_on_error=True, skip_errors=False, batch_size=1))

    assert job.status == "failed"
    assert job.status_reason.startswith("Row 2 (line 3): “nonsense”")
    assert job.status_reason.endswith("Nothing was imported.")
    assert names(clients) == {}
    assert Change.objects.count() == 0
    assert [(e.row, e.code) for e in JobError.objects.filter(job=job)] == [(2, "not_an_email")]
    assert Event.objects.filter(type="job.failed").count() == 1


def test_a_file_in_which_every_row_is_wrong_is_not_imported(upload, clients) -> None:
    job = run(configured(upload("external_id,name,email\nC1,A,x\nC2,B,y\n")))
    assert job.status == "failed"
    assert "Every row of the file is wrong" in job.status_reason
    assert names(clients) == {}


def test_a_dry_run_job_completes_without_writing(upload, clients) -> None:
    job = run(configured(upload(MIXED), dry_run=True))
    assert job.status == "completed"
    assert (job.created_count, job.failed_records) == (2, 3)
    assert job.summary["message"].startswith("Dry run, nothing was changed")
    assert (names(clients), Change.objects.count()) == ({}, 0)


def test_rows_get_identifiers_of_their_own_where_those_of_the_file_are_not_kept(upload, clients) -> None:
    job = upload("name\nNorthwind\nContoso\n")
    imports.configure(
        job=job,
        actor=ADA,
        mapping={"fields": [{"target": "name", "source": "name"}]},
        settings=imports.Settings(mode="create", preserve_ids=False),
    )
    job = run(job)
    assert names(clients) == {f"{job.number}-1": "Northwind", f"{job.number}-2": "Contoso"}


def test_replace_deletes_what_the_file_does_not_name(upload, clients) -> None:
    run(configured(upload("external_id,name\nC1,Northwind\nC2,Contoso\n")))
    job = run(
        configured(upload("external_id,name\nC2,Contoso Ltd\nC3,Fabrikam\n"), mode="replace", batch_size=1)
    )
    assert (job.created_count, job.updated_count, job.deleted_count) == (1, 1, 1)
    assert names(clients) == {"C2": "Contoso Ltd", "C3": "Fabrikam"}


def test_replace_deletes_nothing_when_a_row_was_wrong(upload, clients) -> None:
    run(configured(upload("external_id,name\nC1,Northwind\nC2,Contoso\n")))
    job = run(configured(upload("external_id,name\nC2,Contoso Ltd\nC3\n"), mode="replace"))
    assert (job.updated_count, job.failed_records, job.deleted_count) == (1, 1, 0)
    assert sorted(names(clients)) == ["C1", "C2"]
    assert "Nothing was deleted, because some rows were wrong." in job.summary["details"]


def test_the_check_of_a_replacement_counts_what_would_vanish(upload, clients) -> None:
    run(configured(upload("external_id,name\nC1,Northwind\nC2,Contoso\n")))
    job = checked(configured(upload("external_id,name\nC2,Contoso\n"), mode="replace"))
    assert (job.report["deleted"], job.report["unchanged"]) == (1, 1)
    assert sorted(names(clients)) == ["C1", "C2"]


def test_undo_takes_back_all_but_what_others_changed_later(upload, clients) -> None:
    run(configured(upload("external_id,name\nC1,Northwind\n")))
    job = run(configured(upload("external_id,name\nC1,Northwind Traders\nC2,Contoso\nC3,Fabrikam\n")))
    run(configured(upload("external_id,name\nC3,Fabrikam Inc\n")))

    foretold = control.undo(job=job, actor=ADA, dry_run=True)
    assert (foretold.reverted, foretold.refused) == (2, 1)
    assert [conflict.key for conflict in foretold.conflicts] == ["C3"]
    assert names(clients) == {"C1": "Northwind Traders", "C2": "Contoso", "C3": "Fabrikam Inc"}

    result = control.undo(job=job, actor=ADA)
    assert (result.reverted, result.refused) == (2, 1)
    assert names(clients) == {"C1": "Northwind", "C3": "Fabrikam Inc"}
    job.refresh_from_db()
    assert job.summary["undo"]["reverted"] == 2


def test_after_an_undo_a_cancelled_job_runs_anew(upload, clients) -> None:
    job = run(configured(upload("external_id,name\nC1,Northwind\nC2,Contoso\n")))
    control.undo(job=job, actor=ADA)
    assert names(clients) == {}
    job.refresh_from_db()
    assert job.undone_at is not None


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.csv", b"", "empty_file"),
        ("a.csv", b"%PDF-1.7 ...", "damaged_file"),
        ("a.xlsx", b"<html><table>", "wrong_format"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "damaged_file"),
        ("a.xlsx", b"PK\x03\x04 nothing", "damaged_file"),
        ("a.csv", b"\x00\x01\x02\x03" * 100, "wrong_format"),
    ],
)
def test_what_is_no_table_is_refused_and_leaves_nothing(upload, name, content, code) -> None:
    with pytest.raises(InvalidInput) as refused:
        upload(content, name)
    assert refused.value.code == code
    assert Job.objects.count() == 0


def test_a_file_above_the_limit_is_refused(upload, settings) -> None:
    settings.HUB_IMPORT_MAX_BYTES = 20
    with pytest.raises(TooLarge):
        upload("external_id,name\nC1,Northwind\n")
    assert Job.objects.count() == 0


def test_reading_the_file_in_another_way_keeps_the_job(upload) -> None:
    job = upload("external_id;name\nC1;a|b\n")
    job = configured(job)
    job = uploads.reread(job=job, delimiter="|")
    assert [column["name"] for column in job.preview["columns"]] == ["external_id;name"]
    assert job.configured_at is None
    with pytest.raises(FormatError):
        uploads.reread(job=job, encoding="ebcdic")
    job.refresh_from_db()
    assert job.delimiter == "|"


def test_a_file_that_breaks_off_in_the_middle_is_told_by_the_check_and_imports_nothing(
    upload, clients
) -> None:
    broken = (
        "external_id,name\n" + "".join(f"C{n},Client {n}\n" for n in range(1, 301)) + 'C301,"open\nC302,x\n'
    )
    job = upload(broken)
    job = checked(configured(job, batch_size=10))
    assert job.status == "pending"
    assert job.report["failed"].startswith('A quote (") is opened on line 302 and never closed.')

    job = run(configured(upload(broken), batch_size=10))
    assert (job.status, job.processed_records) == ("failed", 0)
    assert "line 302" in job.status_reason
    assert names(clients) == {}


def test_a_text_in_mixed_encodings_is_shown_and_said(upload, clients) -> None:
    job = upload("external_id,name\nC1,Müllér\nC2,".encode() + "Käse\n".encode("cp1252"))
    assert job.preview["notices"][0].startswith(
        "The file is not UTF-8 throughout. Byte 33 on line 3 does not"
    )
    assert job.encoding == "iso-8859-1"


def test_what_was_imported_before_a_file_broke_off_is_kept_and_counted(upload, clients) -> None:
    broken = (
        "external_id,name\n" + "".join(f"C{n},Client {n}\n" for n in range(1, 301)) + 'C301,"open\nC302,x\n'
    )
    job = run(configured(upload(broken), batch_size=10, validate_before_import=False))
    assert job.status == "failed"
    assert job.created_count == job.processed_records == len(names(clients))
    assert control.undo(job=job, actor=ADA).reverted == job.created_count
    assert names(clients) == {}


def test_duplicates_inside_a_file_are_foretold_and_imported_alike(upload, clients) -> None:
    twice = "external_id,name\nC1,First\nC2,Other\nC1,Second\nC1,Second\n"
    job = checked(configured(upload(twice), batch_size=2))
    assert (job.report["created"], job.report["updated"], job.report["unchanged"]) == (2, 1, 1)
    job = run(job)
    assert (job.created_count, job.updated_count, job.unchanged_count) == (2, 1, 1)
    assert names(clients) == {"C1": "Second", "C2": "Other"}


@pytest.mark.parametrize("mode", ["create", "update", "upsert", "replace"])
def test_a_check_foretells_every_mode_exactly(upload, clients, mode) -> None:
    run(configured(upload("external_id,name,email\nC1,A,a@x.example\nC2,B,\nC3,C,\n")))
    file = "external_id,name,email\nC1,A,a@x.example\nC2,Bee,b@x.example\nC4,New,\n"
    job = checked(configured(upload(file), mode=mode, batch_size=2))
    foretold = {
        n: job.report[n] for n in ("created", "updated", "unchanged", "deleted", "wrong", "duplicates")
    }
    job = run(job)
    came = {n: getattr(job, f"{n}_count") for n in ("created", "updated", "unchanged", "deleted")}
    assert foretold == {**came, "wrong": job.failed_records, "duplicates": job.duplicate_count}
    expected = {
        "create": (1, 0, 0, 0, 2),
        "update": (0, 1, 1, 0, 1),
        "upsert": (1, 1, 1, 0, 0),
        "replace": (1, 1, 1, 1, 0),
    }[mode]
    assert (*came.values(), job.failed_records) == expected


def test_blanks_are_filled_and_values_kept_where_nothing_is_overwritten(upload, clients) -> None:
    run(configured(upload("external_id,name,city\nC1,Northwind,\n")))
    job = run(configured(upload("external_id,name,city\nC1,Other,Berlin\n"), overwrite_existing=False))
    assert job.updated_count == 1
    data = Record.objects.get(dataset=clients).data
    assert (data["name"], data["city"]) == ("Northwind", "Berlin")


def test_a_workbook_goes_in_with_its_types(upload, clients) -> None:
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file)
    sheet = book.add_worksheet("Kunden")
    sheet.write_row(0, 0, ["external_id", "name", "credit limit", "client since"])
    sheet.write_row(1, 0, [501, "Northwind", 12.5])
    sheet.write_datetime(1, 3, dt.date(2024, 3, 1), book.add_format({"num_format": "d.m.yyyy"}))
    sheet.write_row(2, 0, [502, "Contoso"])
    sheet.write_formula(2, 2, "=1/0", None, "#DIV/0!")
    book.close()
    job = run(configured(upload(file.getvalue(), "kunden.xlsx")))
    assert (job.file_type, job.sheet, job.created_count, job.failed_records) == ("xlsx", "Kunden", 1, 1)
    record = Record.objects.get(dataset=clients)
    assert (record.key, record.data["credit_limit"], record.data["since"]) == ("501", "12.50", "2024-03-01")
    error = JobError.objects.get(job=job)
    assert (error.line, error.column, error.value, error.code) == (
        3,
        "credit limit",
        "#DIV/0!",
        "excel_error",
    )
    assert job.artifacts.get(kind="rejected").format == "xlsx"
    assert [row[:3] for row in read(job.artifacts.get(kind="rejected"))[1:]] == [[502, "Contoso", "#DIV/0!"]]
