"""The import and the export as staff see them."""

from __future__ import annotations

import io
import re
from typing import Any

import openpyxl
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.jobs.formats import open_table
from apps.jobs.models import Cause, Correction, Job, JobDelivery, JobError
from apps.jobs.services import deliveries, exports, imports, work
from apps.records import selectors
from apps.records.models import Mapping
from apps.records.services import records
from apps.tenants.models import Organization, User
from apps.tenants.roles import Role
from apps.tenants.services import organizations
from tests.jobs.conftest import ADA, checked, configured, run, work_on

FILE = """external_id;Firma;email;status
C1;Northwind;info@n.example;active
C2;Contoso;nonsense;lead
C3;Fabrikam;;
"""
SCRIPT = "<script>alert(1)</script>"
HOSTILE = (
    f'external_id,name,"{SCRIPT}"\n"{SCRIPT}","<img src=x onerror=alert(1)>","</script>{SCRIPT}"\nC2,,x\n'
)


def signed_in(organization: Organization, role: str = Role.STAFF, email: str = "staff@example.com") -> Client:
    user = User.objects.create_user(email, "correct horse battery")
    organizations.admit(organization=organization, user=user, role=role)
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def staff(organization: Organization) -> Client:
    return signed_in(organization)


def text_of(response: Any) -> str:
    assert response.status_code == 200, response.headers.get("Location", response.content[:500])
    return str(response.content.decode())


def sent(client: Client, content: str = FILE, name: str = "kunden.csv", **headers: str) -> Any:
    file = SimpleUploadedFile(name, content.encode())
    return client.post("/admin/jobs/import/", {"dataset": "clients", "import_file": file}, headers=headers)


def matched(job: Job, **changed: str) -> dict[str, str]:
    """What the page of the columns sends."""
    data = {
        "mode": "upsert",
        "on_error": "skip",
        "overwrite_existing": "on",
        "preserve_ids": "on",
        "timezone": "UTC",
        "batch_size": "5000",
    }
    for index, suggestion in enumerate(imports.propose(job=job).columns):
        data[f"c{index}-target"] = suggestion.target
    return data | changed


def test_a_spreadsheet_goes_in_step_by_step(staff, organization, clients) -> None:
    page = text_of(staff.get("/admin/jobs/import/?dataset=clients"))
    assert '<option value="clients" selected>' in page

    answer = sent(staff)
    job = Job.objects.get()
    assert answer.headers["Location"] == reverse("admin:jobs_import_file", args=[job.number])
    page = text_of(staff.get(answer.headers["Location"]))
    assert "Firma" in page
    assert "Northwind" in page
    assert '<option value=";" selected>' in page

    columns = reverse("admin:jobs_import_columns", args=[job.number])
    page = text_of(staff.get(columns))
    assert "100 % sure" in page
    answer = staff.post(columns, matched(job, **{"c1-target": "name", "c1-transforms": "upper"}))
    assert answer.headers["Location"] == reverse("admin:jobs_import_check", args=[job.number])
    job.refresh_from_db()
    assert job.status == "validating"
    assert "data-progress-url" in text_of(staff.get(answer.headers["Location"]))

    assert work.take(job_id=job.pk)
    page = text_of(staff.get(answer.headers["Location"]))
    assert "Import 2 rows, leave 1 out" in page
    assert "“nonsense”" in page
    assert selectors.live(clients).count() == 0

    answer = staff.post(answer.headers["Location"], {})
    assert answer.headers["Location"] == reverse("admin:jobs_job_change", args=[job.number])
    progress = staff.get(f"/admin/jobs/job/{job.number}/progress/").json()
    assert (progress["active"], progress["status"]) == (True, "processing")
    assert work.take(job_id=job.pk)
    progress = staff.get(f"/admin/jobs/job/{job.number}/progress/").json()
    assert (progress["active"], progress["percent"]) == (False, 100.0)

    page = text_of(staff.get(answer.headers["Location"]))
    assert "2 created, 1 left out." in page
    assert "not_an_email" in page
    file = staff.get(reverse("admin:jobs_job_file", args=[job.number, "rejected"]))
    table = open_table(io.BytesIO(b"".join(file.streaming_content)))
    assert [list(row.values)[:4] for row in table.rows] == [["C2", "Contoso", "nonsense", "lead"]]
    assert sorted(r.data["name"] for r in selectors.live(clients)) == ["FABRIKAM", "NORTHWIND"]

    undo = reverse("admin:jobs_job_undo", args=[job.number])
    assert "2 changes will be taken back" in text_of(staff.get(undo))
    assert selectors.live(clients).count() == 2
    staff.post(undo, {"_confirmed": "1"})
    assert selectors.live(clients).count() == 0
    job.refresh_from_db()
    assert job.undone_at is not None
    assert "Undone" in text_of(staff.get("/admin/jobs/job/"))


def test_the_page_of_an_upload_answers_scripts_with_json(staff) -> None:
    answer = sent(staff, **{"X-Requested-With": "XMLHttpRequest"})
    assert answer.json() == {"location": f"/admin/jobs/import/{Job.objects.get().number}/file/"}
    answer = sent(staff, "<html>", **{"X-Requested-With": "XMLHttpRequest"})
    assert answer.status_code == 422
    assert "is a web page" in answer.json()["error"]
    assert Job.objects.count() == 1


def test_the_file_can_be_read_in_another_way(staff, upload) -> None:
    job = upload("a;b|c\n1;2|3\n")
    url = reverse("admin:jobs_import_file", args=[job.number])
    answer = staff.post(url, {"encoding": "utf-8", "delimiter": "|", "header_row": "1"})
    assert answer.status_code == 302
    job.refresh_from_db()
    assert [column["name"] for column in job.preview["columns"]] == ["a;b", "c"]
    assert "less than or equal to" in text_of(staff.post(url, {"delimiter": ";", "header_row": "99999999"}))
    page = text_of(staff.post(url, {"encoding": "utf-8", "delimiter": ";", "header_row": "40"}))
    assert "ends before line 40" in page


def test_another_sheet_has_a_header_of_its_own(staff, upload) -> None:
    book = openpyxl.Workbook()
    for name, rows in (("One", [["a", "b"], [1, 2]]), ("Two", [["Title"], [], ["c", "d", "e"], [3, 4, 5]])):
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    job = upload(file.getvalue(), "book.xlsx")
    url = reverse("admin:jobs_import_file", args=[job.number])
    staff.post(url, {"sheet": "Two", "header_row": str(job.header_row)})
    job.refresh_from_db()
    assert (job.sheet, job.header_row) == ("Two", 3)
    staff.post(url, {"sheet": "Two", "header_row": "4"})
    job.refresh_from_db()
    assert (job.sheet, job.header_row) == ("Two", 4)


def test_what_is_wrong_with_a_matching_stands_at_its_row(staff, upload) -> None:
    job = upload(FILE)
    url = reverse("admin:jobs_import_columns", args=[job.number])
    page = text_of(staff.post(url, matched(job, **{"c1-target": "name", "c1-transforms": "explode"})))
    assert "There is no transform “explode”." in page
    page = text_of(staff.post(url, matched(job, **{"c0-target": ""})))
    assert "“External id” tells the records apart: choose the column that holds it." in page
    page = text_of(staff.post(url, matched(job, batch_size="0")))
    assert "greater than or equal to 1" in page
    job.refresh_from_db()
    assert (job.status, job.configured_at) == ("pending", None)


def test_fields_without_a_column_get_a_fixed_value_and_the_mapping_a_name(staff, upload, clients) -> None:
    job = upload("external_id,name\nC1,Northwind\n")
    url = reverse("admin:jobs_import_columns", args=[job.number])
    staff.post(url, matched(job, **{"f-status-value": "lead", "save_as": "Leads of the fair"}))
    job.refresh_from_db()
    assert {"target": "status", "constant": "lead"} in job.field_mapping["fields"]
    mapping = Mapping.objects.get(name="Leads of the fair")
    assert mapping.columns == ["external_id", "name"]
    other = upload("external_id,name\nC2,Contoso\n")
    page = text_of(
        staff.get(reverse("admin:jobs_import_columns", args=[other.number]) + f"?mapping={mapping.public_id}")
    )
    assert 'name="f-status-value" value="lead"' in page


def test_samples_follow_the_matching(staff, upload) -> None:
    job = upload("external_id,day\nC1,31.12.2025\nC2,nonsense\n")
    url = reverse("admin:jobs_import_sample", args=[job.number])

    def seen(**data: str) -> Any:
        return staff.post(url, {"column": "day", "target": "since", **data}).json()

    assert "is not a date" in seen()["values"][0]["problem"]
    values = seen(transforms="date('%d.%m.%Y')")["values"]
    assert values[0] == {"given": "31.12.2025", "becomes": "2025-12-31"}
    assert "problem" in values[1]
    assert "no transform" in seen(transforms="explode")["error"]
    assert seen(target="nope") == {"values": []}
    assert staff.get(url).status_code == 403


def test_jobs_of_others_do_not_exist(upload, clients) -> None:
    job = run(configured(upload(FILE.replace("Firma", "name"))))
    waiting = checked(configured(upload(FILE.replace("Firma", "name"))))
    stranger = signed_in(organizations.create(name="Globex"), Role.OWNER, "boss@globex.example")
    assert job.number not in text_of(stranger.get("/admin/jobs/job/"))
    paths = [
        reverse("admin:jobs_job_change", args=[job.number]),
        reverse("admin:jobs_job_file", args=[job.number, "rejected"]),
        reverse("admin:jobs_job_file", args=[job.number, "source"]),
        f"/admin/jobs/job/{job.number}/progress/",
        *[
            reverse(f"admin:jobs_import{step}", args=[waiting.number])
            for step in ("", "_file", "_columns", "_check")
        ],
    ]
    for path in paths:
        answer = stranger.get(path)
        assert answer.status_code == 404 or answer.headers.get("Location") == "/admin/", path
    for path in (
        reverse("admin:jobs_import_check", args=[waiting.number]),
        reverse("admin:jobs_import_columns", args=[waiting.number]),
        reverse("admin:jobs_import_file", args=[waiting.number]),
        reverse("admin:jobs_import_sample", args=[waiting.number]),
        reverse("admin:jobs_job_undo", args=[job.number]),
        reverse("admin:jobs_job_cancel", args=[waiting.number]),
    ):
        answer = stranger.post(path, {"_confirmed": "1"})
        assert answer.status_code == 404 or answer.headers.get("Location") == "/admin/", path
    answer = stranger.post(
        "/admin/jobs/import/",
        {"dataset": str(clients.pk), "import_file": SimpleUploadedFile("a.csv", b"a\n1\n")},
    )
    assert answer.status_code == 200
    assert Job.objects.count() == 2
    waiting.refresh_from_db()
    assert waiting.status == "pending"
    assert selectors.live(clients).count() == 2


def test_an_auditor_looks_and_does_nothing(organization, upload, clients) -> None:
    job = checked(configured(upload(FILE.replace("Firma", "name"))))
    auditor = signed_in(organization, Role.AUDITOR, "auditor@example.com")
    assert job.number in text_of(auditor.get("/admin/jobs/job/"))
    page = text_of(auditor.get(reverse("admin:jobs_job_change", args=[job.number])))
    assert "/cancel/" not in page
    assert auditor.get("/admin/jobs/import/").status_code == 403
    assert auditor.post(reverse("admin:jobs_import_check", args=[job.number])).status_code == 403
    assert (
        auditor.post(reverse("admin:jobs_job_cancel", args=[job.number]), {"_confirmed": "1"}).status_code
        == 403
    )
    assert auditor.get("/admin/jobs/export/?dataset=clients").status_code == 403
    job.refresh_from_db()
    assert job.status == "pending"


def test_html_in_cells_never_runs(staff, upload) -> None:
    job = upload(HOSTILE, f"{SCRIPT}.csv")
    assert SCRIPT not in text_of(staff.get(reverse("admin:jobs_import_file", args=[job.number])))
    assert SCRIPT not in text_of(staff.get(reverse("admin:jobs_import_columns", args=[job.number])))
    job = checked(configured(job))
    assert SCRIPT not in text_of(staff.get(reverse("admin:jobs_import_check", args=[job.number])))
    job = run(job)
    assert job.created_count == 1
    assert JobError.objects.filter(job=job).exists()
    for path in (reverse("admin:jobs_job_change", args=[job.number]), "/admin/jobs/job/", "/admin/"):
        page = text_of(staff.get(path))
        assert SCRIPT not in page
        assert "onerror=alert" not in page.replace("&lt;img src=x onerror=alert(1)&gt;", "")


def test_pages_stay_small_whatever_the_file(staff, upload) -> None:
    wide = ",".join(f"column number {n} with a rather long name" for n in range(1500))
    row = ",".join("a value that is long enough to matter, really".replace(",", ";") for _ in range(1500))
    job = upload(f"external_id,name,{wide}\n" + f"C1,A,{row}\n" * 60)
    for step in ("file", "columns"):
        page = text_of(staff.get(reverse(f"admin:jobs_import_{step}", args=[job.number])))
        assert len(page) < 300_000, step
    assert "1402 more columns are not shown" in page

    long = upload("external_id,name,notes\n" + f"C1,A,{'x' * 900_000}\n" * 20)
    for step in ("file", "columns"):
        assert len(text_of(staff.get(reverse(f"admin:jobs_import_{step}", args=[long.number])))) < 300_000

    bad = checked(configured(upload("external_id,name,email\n" + f"C1,{'n' * 300},{'x' * 5000}\n" * 3000)))
    assert len(text_of(staff.get(reverse("admin:jobs_import_check", args=[bad.number])))) < 300_000
    bad = configured(bad, validate_before_import=False)
    bad = run(bad)
    assert len(text_of(staff.get(reverse("admin:jobs_job_change", args=[bad.number])))) < 300_000


def test_the_list_says_what_to_do_when_empty_and_finds_what_is_there(staff, upload) -> None:
    assert "No imports or exports yet" in text_of(staff.get("/admin/jobs/job/"))
    job = run(configured(upload(FILE.replace("Firma", "name"))))
    page = text_of(staff.get("/admin/jobs/job/"))
    assert job.number in page
    assert "Completed with errors" in page
    assert job.number in text_of(staff.get(f"/admin/jobs/job/?q={job.number}"))
    assert job.number not in text_of(staff.get("/admin/jobs/job/?job_type__exact=export"))


def test_errors_can_be_looked_through(staff, upload) -> None:
    lines = "".join(f"C{n},Name {n},bad{n},{'asleep' if n % 2 else 'lead'}\n" for n in range(120))
    job = run(configured(upload("external_id,name,email,status\n" + lines + "C999,Good,,lead\n")))
    url = reverse("admin:jobs_job_change", args=[job.number])
    assert "page 1 of 4" in text_of(staff.get(url))
    page = text_of(staff.get(f"{url}?code=not_a_choice&field=status"))
    assert "page 1 of 2" in page
    assert len(re.findall(r"hub-mono hub-muted\">not_a_choice", page)) == 50


EXPORT = {
    "format": "csv",
    "columns": ["external_id", "name"],
    "delimiter": ",",
    "encoding": "utf-8",
    "bom": "on",
}


def test_an_export_is_ordered_downloaded_and_repeated(staff, upload) -> None:
    run(configured(upload("external_id,name,status\nA,Ann,lead\nB,Bob,active\n")))
    assert "Clients" in text_of(staff.get("/admin/jobs/export/"))
    url = "/admin/jobs/export/?dataset=clients"
    page = text_of(staff.get(url))
    assert "<b>2</b> records" in page
    assert "None yet." in page
    order = {**EXPORT, "where-status": "active", "place-name": "1", "place-external_id": "2",
             "header-name": "Firm", "labels": "on", "sort-0": "-name", "name": "Active ones"}  # fmt: skip
    answer = staff.post(url, order)
    job = Job.objects.get(job_type="export")
    assert answer.headers["Location"] == reverse("admin:jobs_job_change", args=[job.number])
    assert work.take(job_id=job.pk)
    page = text_of(staff.get(answer.headers["Location"]))
    assert "1 row exported." in page
    file = staff.get(reverse("admin:jobs_job_file", args=[job.number, "output"]))
    assert b"".join(file.streaming_content) == b"\xef\xbb\xbfFirm,External id\r\nBob,B\r\n"
    link = re.search(r"http://testserver(/api/export/[^\"<]+token=[^\"<]+)", page)
    assert link is not None
    assert Client().get(link[1].replace("&amp;", "&")).status_code == 200

    again = text_of(staff.get(f"/admin/jobs/export/?like={job.number}"))
    assert "Active ones" in again
    assert "<b>1</b> record, 2 columns" in again
    assert 'value="-name" selected' in again
    assert 'name="header-name" value="Firm"' in again


def test_the_preview_follows_the_form_and_says_what_is_wrong(staff, upload) -> None:
    run(configured(upload("external_id,name,status\nA,<b>Ann</b>,lead\nB,Bob,active\n")))
    url = "/admin/jobs/export/preview/?dataset=clients"
    page = text_of(staff.post(url, {**EXPORT, "field-0": "name", "lookup-0": "contains", "value-0": "ANN"}))
    assert "<b>1</b> record, 2 columns" in page
    assert "&lt;b&gt;Ann&lt;/b&gt;" in page
    assert "No record is like this" in text_of(staff.post(url, {**EXPORT, "created_to": "2001-01-01"}))
    page = text_of(staff.post(url, {**EXPORT, "field-0": "since", "lookup-0": "gte", "value-0": "soon"}))
    assert "hub-notice-bad" in page
    assert staff.get(url).status_code == 404
    assert Job.objects.filter(job_type="export").count() == 0


def test_an_export_that_cannot_be_is_explained_and_not_ordered(staff, clients) -> None:
    url = "/admin/jobs/export/?dataset=clients"
    assert "Choose at least one column." in text_of(staff.post(url, {**EXPORT, "columns": []}))
    assert "8 to 128 characters" in text_of(staff.post(url, {**EXPORT, "password": "short"}))
    assert "is no field of" in text_of(staff.post(url, {**EXPORT, "columns": ["nope"]}))
    assert Job.objects.count() == 0


def test_a_list_of_records_is_exported_as_it_is_seen(staff, upload) -> None:
    run(configured(upload("external_id,name,status\nA,Ann,lead\nB,Bob,active\nC,Cid,active\n")))
    page = text_of(staff.get("/admin/data/clients/?status=active&o=-1"))
    link = re.search(r'href="(/admin/jobs/export/[^"]+)"[^>]*>choose columns', page)
    assert link is not None
    begun = text_of(staff.get(link[1].replace("&amp;", "&")))
    assert "<b>2</b> records" in begun
    assert '<option value="active" selected' in begun
    assert 'value="-name" selected' in begun


def test_exports_of_others_cannot_be_repeated(staff, organization) -> None:
    other = organizations.create(name="Globex")
    theirs = exports.create(organization=other, dataset=selectors.dataset_of(other, "clients"), actor=ADA)
    Job.objects.filter(pk=theirs.pk).update(number="JOB-2026-09999")
    assert staff.get("/admin/jobs/export/?like=JOB-2026-09999").status_code == 404
    assert staff.get("/admin/jobs/export/?dataset=nothing").status_code == 404


def test_the_number_of_queries_does_not_grow_with_the_list(staff, upload) -> None:
    upload(FILE)
    staff.get("/admin/jobs/job/")
    with CaptureQueriesContext(connection) as one:
        text_of(staff.get("/admin/jobs/job/"))
    for _ in range(5):
        upload(FILE)
    with CaptureQueriesContext(connection) as six:
        text_of(staff.get("/admin/jobs/job/"))
    assert len(six) == len(one)


def test_a_controlled_job_is_paused_and_goes_on(staff, upload) -> None:
    job = configured(upload(FILE.replace("Firma", "name")))
    imports.start(job=job, actor=ADA)
    page = text_of(staff.get(reverse("admin:jobs_job_change", args=[job.number])))
    assert "Waiting for a worker." in page
    for deed, status in (
        ("pause", "paused"),
        ("resume", "processing"),
        ("cancel", "cancelled"),
        ("retry", "processing"),
    ):
        staff.post(reverse(f"admin:jobs_job_{deed}", args=[job.number]), {"_confirmed": "1"})
        job.refresh_from_db()
        assert job.status == status


def test_wrong_cells_are_corrected_in_the_page_and_judged_at_once(staff, upload, clients) -> None:
    job = checked(configured(upload(FILE.replace("Firma", "name") + "C4;;four(at)n.example;\nC5;Five;x@;\n")))
    url = reverse("admin:jobs_import_check", args=[job.number])
    page = text_of(staff.get(url))
    assert "What is wrong, by cause" in page
    assert 'value="nonsense"' in page
    correct = reverse("admin:jobs_import_correct", args=[job.number])

    answer = staff.post(correct, {"row": "2", "column": "2", "value": "still wrong"}).json()
    assert [p["column"] for p in answer["row"]["problems"]] == [2]
    answer = staff.post(correct, {"row": "2", "column": "2", "value": "right@n.example"}).json()
    assert (answer["row"]["problems"], answer["corrections"]) == ([], 1)
    answer = staff.post(correct, {"row": "4", "column": "2", "value": "four@n.example"}).json()
    assert [p["message"] for p in answer["row"]["problems"]] == ["Name is required."]
    assert staff.post(correct, {"row": "5", "kind": "skip"}).json()["row"]["skipped"] is True
    assert staff.post(correct, {"row": "5", "kind": "undo"}).json()["row"]["skipped"] is False
    assert staff.post(correct, {"row": "4", "kind": "skip"}).json()["row"]["skipped"] is True
    assert staff.post(correct, {"row": "999", "column": "2", "value": "x"}).status_code == 422
    assert staff.post(correct, {"row": "x", "column": "77", "value": "x"}).status_code == 422

    page = text_of(staff.get(url))
    assert "The file was corrected since this check." in page
    assert 'value="right@n.example"' in page
    cause = Cause.objects.get(job=job, code="not_an_email")
    staff.post(
        reverse("admin:jobs_import_fix", args=[job.number]),
        {"cause": cause.public_id, "kind": "set", "value": "info@n.example"},
    )
    job = checked(job)
    assert (job.report["wrong"], job.report["skipped"], job.report["created"]) == (0, 1, 4)
    page = text_of(staff.get(url))
    assert "4 records are added to Clients." in page
    assert "It can be undone for 30 days." in page
    staff.post(reverse("admin:jobs_import_take_back", args=[job.number]), {})
    assert checked(job).report["wrong"] == 3


def test_values_are_matched_once_and_remembered(staff, upload, clients) -> None:
    content = "external_id,name,status\nC1,One,Aktiv\nC2,Two,Aktiv\nC3,Three,Kunde\nC4,Four,lead\n"
    job = checked(configured(upload(content)))
    cause = Cause.objects.get(job=job)
    page = text_of(staff.get(reverse("admin:jobs_import_check", args=[job.number])))
    assert "Say what these values mean" in page
    url = reverse("admin:jobs_import_values", args=[job.number])
    staff.post(url, {"cause": cause.public_id, "v0": "nonsense"})
    job.refresh_from_db()
    assert job.status == "pending"
    staff.post(url, {"cause": cause.public_id, "v0": "active", "v1": "-"})
    job = work_on(job)
    assert (job.report["wrong"], job.report["created"]) == (0, 4)
    run(job)
    assert selectors.live(clients).get(key="C1").data["status"] == "active"
    assert selectors.live(clients).get(key="C3").data.get("status") is None

    again = checked(configured(upload("external_id,name,status\nC9,Nine,Aktiv\n")))
    assert (again.report["wrong"], again.report["created"]) == (0, 1)


def test_corrections_of_others_and_by_auditors_are_refused(organization, upload) -> None:
    job = checked(configured(upload(FILE.replace("Firma", "name"))))
    cause = Cause.objects.get(job=job, code="not_an_email")
    stranger = signed_in(organizations.create(name="Globex"), Role.OWNER, "boss@globex.example")
    auditor = signed_in(organization, Role.AUDITOR, "auditor@example.com")
    for name in ("correct", "fix", "values", "take_back"):
        url = reverse(f"admin:jobs_import_{name}", args=[job.number])
        sent = {"row": "2", "kind": "skip", "cause": cause.public_id, "v0": "x"}
        assert stranger.post(url, sent).status_code == 404
        assert auditor.post(url, sent).status_code == 403
        assert auditor.get(url).status_code == 403
    assert Correction.objects.count() == 0


def test_dates_that_can_be_read_in_two_ways_are_asked_about(staff, upload, clients) -> None:
    job = upload("external_id,name,since\nC1,One,03/04/2024\nC2,Two,05/06/2024\n")
    url = reverse("admin:jobs_import_columns", args=[job.number])
    page = text_of(staff.get(url))
    assert "day/month/year</button>" in page
    assert "month/day/year</button>" in page
    page = text_of(staff.post(url, matched(job)))
    assert "Say how the values are written: day/month/year or month/day/year?" in page
    job.refresh_from_db()
    assert (job.status, job.configured_at) == ("pending", None)
    staff.post(url, matched(job, **{"c2-transforms": "date('%m/%d/%Y')", "c2-sure": "1"}))
    job = work_on(Job.objects.get(pk=job.pk))
    run(job)
    assert selectors.live(clients).get(key="C1").data["since"] == "2024-03-04"

    again = upload("external_id,name,since\nC3,Three,07/08/2024\n")  # such a file was decided about before
    assert (
        staff.post(
            reverse("admin:jobs_import_columns", args=[again.number]),
            matched(again, **{"c2-transforms": "date('%m/%d/%Y')", "c2-sure": "1"}),
        ).status_code
        == 302
    )


def test_choosing_a_field_proposes_how_its_values_are_read(staff, upload) -> None:
    job = upload("external_id,day\nC1,31.12.2025\nC2,\nC3,30.11.2025\nC4,bald\n")
    url = reverse("admin:jobs_import_sample", args=[job.number])
    seen = staff.post(url, {"column": "day", "target": "since", "propose": "1"}).json()
    assert seen["transforms"] == "date('%d.%m.%Y')"
    assert seen["rule"] == "dates as day.month.year"
    assert (seen["rows"], seen["filled"], seen["fitting"]) == (4, 3, 2)
    assert seen["values"][0] == {"given": "31.12.2025", "becomes": "2025-12-31"}
    assert "problem" in seen["values"][-1]


def test_a_column_is_known_from_other_files(upload, clients) -> None:
    first = upload("external_id;Geschäftspartner;x\nC1;One;1\n")
    spec = {"fields": [
        {"target": "external_id", "source": "external_id"},
        {"target": "name", "source": "Geschäftspartner", "transforms": "upper"},
    ]}  # fmt: skip
    run(imports.configure(job=first, actor=ADA, mapping=spec))
    proposal = imports.propose(job=upload("geschäftspartner,external_id,status\nTwo,C2,lead\n"))
    assert [(c.target, c.how) for c in proposal.columns] == [
        ("name", "remembered"),
        ("external_id", "exact"),
        ("status", "exact"),
    ]


def test_a_file_that_was_imported_before_is_told(staff, upload, clients) -> None:
    content = "external_id,name\nC1,One\n"
    first = run(configured(upload(content)))
    again = upload(content, "other-name.csv")
    page = text_of(staff.get(reverse("admin:jobs_import_file", args=[again.number])))
    assert "This very file was imported before" in page
    assert first.number in page
    other = upload("external_id,name\nC1,Two\n")
    assert "imported before" not in text_of(staff.get(reverse("admin:jobs_import_file", args=[other.number])))


def test_rules_and_limits_are_set_with_the_columns(staff, upload, clients) -> None:
    file = "external_id,name,status\nC1,Northwind,active\nC2,Al,lead\nC3,Contoso,lead\n"
    job = upload(file)
    columns = reverse("admin:jobs_import_columns", args=[job.number])
    rules = "warning: len(name) > 3  # Is that all of #{name}?\nname != 'Contoso # Ltd'\n"
    answer = staff.post(columns, matched(job, custom_rules="nobody > 1"))
    assert "Rule 1: There is no field “nobody”." in text_of(answer)
    answer = staff.post(columns, matched(job, on_error="limit"))
    assert "Say after how many wrong rows the import stops." in text_of(answer)
    job.refresh_from_db()
    assert (job.configured_at, job.validation_rules) == (None, {})
    sent_again = matched(job, custom_rules=rules, on_error="limit", max_errors="7", repeats="first")
    answer = staff.post(columns, {**sent_again, "unique_fields": ["email", "phone"]})
    assert answer.status_code == 302, answer.content
    job.refresh_from_db()
    assert (job.max_errors, job.repeats, job.skip_errors, job.stop_on_error) == (7, "first", True, False)
    assert job.validation_rules == {
        "unique_fields": ["email", "phone"],
        "custom_rules": [
            {"check": "len(name) > 3", "message": "Is that all of #{name}?", "severity": "warning"},
            {"check": "name != 'Contoso # Ltd'"},
        ],
    }
    work_on(job)
    page = text_of(staff.get(reverse("admin:jobs_import_check", args=[job.number])))
    assert "Is that all of #Al?" in page


def test_a_replacement_shows_what_it_would_delete_and_wants_a_yes(staff, upload, clients) -> None:
    def many(count: int) -> str:
        return "external_id,name\n" + "".join(f"C{n},Client {n}\n" for n in range(count))

    run(configured(upload(many(40))))
    job = checked(configured(upload(many(20)), mode="replace"))
    address = reverse("admin:jobs_import_check", args=[job.number])
    page = text_of(staff.get(address))
    assert "20 of 40 records of “Clients” would be deleted, more than the limit of 25 %." in page
    listed = staff.get(reverse("admin:jobs_job_file", args=[job.number, "vanishing"]))
    assert b"".join(listed.streaming_content).count(b"\n") == 21
    staff.post(address, {})
    job.refresh_from_db()
    assert job.status == "pending"
    staff.post(address, {"confirm_deletions": "1"})
    job = work_on(job)
    assert (job.status, job.deleted_count) == ("completed", 20)


def test_who_asks_is_mailed_when_the_import_is_done(staff, upload, mailoutbox) -> None:
    job = checked(configured(upload("external_id,name\nC1,Northwind\n")))
    url = reverse("admin:jobs_import_check", args=[job.number])
    assert "Mail me when it is done, at staff@example.com" in text_of(staff.get(url))
    staff.post(url, {"mail_me": "1"})
    work_on(job)
    for delivery in JobDelivery.objects.all():
        assert deliveries.attempt(delivery_id=delivery.pk)
    [mail] = mailoutbox
    assert mail.bcc == ["staff@example.com"]
    assert "1 created" in mail.body
    again = checked(configured(upload("external_id,name\nC2,Contoso\n")))
    staff.post(reverse("admin:jobs_import_check", args=[again.number]), {})
    work_on(again)
    assert JobDelivery.objects.count() == 1


def test_restored_records_are_told_apart_from_changed_ones(staff, upload, clients) -> None:
    run(configured(upload("external_id,name\nC1,Northwind\n")))
    records.delete(dataset=clients, ids=[selectors.live(clients).get(key="C1").pk], actor=ADA)
    job = checked(configured(upload("external_id,name\nC1,Northwind Ltd\n")))
    page = text_of(staff.get(reverse("admin:jobs_import_check", args=[job.number])))
    assert "1 deleted record is restored." in page
    assert "record is changed" not in page
