"""Rejected rows in the format one likes, in Excel with the wrong cells marked, corrected and sent again."""

from __future__ import annotations

import io

import openpyxl
import pytest
from django.urls import reverse

from apps.jobs.models import Job
from apps.jobs.services import downloads, imports, storage
from apps.kernel.errors import InvalidInput, NotFound
from apps.records.mapping.sources import COLUMN_PREFIX
from tests.jobs.conftest import ADA, checked, configured, run
from tests.jobs.test_admin import signed_in, text_of

FILE = (
    "Nummer;Firma;E-Mail;Seit;PLZ\n"
    "C1;Northwind;info@n.example;2024-02-01;01067\n"
    "C2;Contoso;nonsense;2024-02-30;00501\n"
    "C3;;;2024-02-03;\n"
    "C4;=cmd();x@y.example;gestern;1\n"
)


def imported(upload) -> Job:
    job = upload(FILE, "kunden.csv")
    targets = ("external_id", "name", "email", "since", "postcode")
    fields = [
        {"target": target, "source": f"{COLUMN_PREFIX}{column}"}
        for target, column in zip(targets, imports.column_names(job), strict=True)
    ]
    return imports.configure(job=job, actor=ADA, mapping={"fields": fields})


def book_of(job: Job) -> openpyxl.Workbook:
    artifact = downloads.problem_file(job, "rejected", "xlsx")
    assert artifact.filename == "kunden – rejected.xlsx"
    with storage.opened(artifact.file_path) as file:
        return openpyxl.load_workbook(io.BytesIO(file.read()))


def marked(sheet) -> dict[str, str]:
    return {
        cell.coordinate: cell.comment.text
        for row in sheet.iter_rows()
        for cell in row
        if cell.fill.fgColor.rgb == "FFFECACA"
    }


def test_wrong_cells_are_marked_and_the_corrected_file_matches_by_itself(upload) -> None:
    job = run(imported(upload))
    assert (job.created_count, job.failed_records) == (1, 3)
    book = book_of(job)
    sheet = book.active
    assert [cell.value for cell in sheet[1]] == [
        "Nummer",
        "Firma",
        "E-Mail",
        "Seit",
        "PLZ",
        "_row",
        "_errors",
    ]
    assert [cell.value for cell in sheet[2]][:6] == ["C2", "Contoso", "nonsense", "2024-02-30", "00501", 2]
    notes = marked(sheet)
    assert sorted(notes) == ["B3", "C2", "D2", "D4"]
    assert "nonsense" in notes["C2"]
    assert "required" in notes["B3"]
    assert sheet["B4"].value == "'=cmd()"
    assert sheet["E2"].number_format == "@"

    sheet["C2"], sheet["D2"], sheet["B3"], sheet["D4"] = "c@c.example", "2024-02-28", "Fabrikam", "2024-03-01"
    file = io.BytesIO()
    book.save(file)
    again = upload(file.getvalue(), "kunden – rejected.xlsx")
    assert imports.propose(job=again).how == "remembered"
    again = run(configured(again))
    assert (again.created_count, again.failed_records) == (3, 0)
    record = again.dataset.records.get(key="C4")
    assert record.data["name"] == "=cmd()"
    assert again.dataset.records.get(key="C2").data["postcode"] == "00501"


def test_both_formats_are_kept_and_go_with_the_next_check(upload, organization) -> None:
    job = checked(imported(upload))
    csv = downloads.problem_file(job, "rejected")
    assert csv.format == "csv"
    excel = downloads.problem_file(job, "rejected", "xlsx")
    assert downloads.problem_file(job, "rejected", "xlsx").pk == excel.pk
    assert downloads.problem_file(job, "rejected", "csv").pk == csv.pk
    assert downloads.problem_file(job, "rejected").pk == csv.pk
    assert downloads.problem_file(job, "errors", "xlsx").rows == 4
    job = checked(job)
    assert not storage.exists(excel.file_path)
    assert downloads.problem_file(job, "rejected", "xlsx").pk != excel.pk

    staff = signed_in(organization)
    page = text_of(staff.get(reverse("admin:jobs_import_check", args=[job.number])))
    assert "Excel, with the wrong cells marked" in page
    url = reverse("admin:jobs_job_file", args=[job.number, "rejected"])
    assert staff.get(url, {"format": "xlsx"}).headers["Content-Disposition"].endswith(".xlsx")
    assert staff.get(url, {"format": "csv"}).headers["Content-Disposition"].endswith(".csv")
    run(job)
    page = text_of(staff.get(reverse("admin:jobs_job_change", args=[job.number])))
    assert f"{url}?format=xlsx" in page


def test_what_is_not_wrong_or_not_kept_so_is_said(upload) -> None:
    job = run(configured(upload("external_id,name\nC1,Northwind\n")))
    with pytest.raises(NotFound, match="no row was wrong"):
        downloads.problem_file(job, "rejected", "xlsx")
    job = upload("external_id,name\nC2,Contoso\n")
    job = checked(configured(job, mode="replace"))
    with pytest.raises(InvalidInput, match="kept as CSV only"):
        downloads.file_of(job, "vanishing", "xlsx")
