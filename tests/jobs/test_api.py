"""The staged import and the exports over the API."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from openpyxl import load_workbook
from rest_framework.test import APIClient

from apps.apikeys.services import keys, usage, verified
from apps.jobs.formats import open_table
from apps.jobs.models import Job, JobError
from apps.jobs.services import work
from apps.records import selectors
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM
from apps.tenants.services import organizations
from tests.jobs.conftest import configured, run

FILE = """external_id,name,email
C1,Northwind,info@northwind.example
C2,Contoso,nonsense
C3,=cmd(),c@example.com
"""


@pytest.fixture(autouse=True)
def _fresh_process() -> None:
    verified.forget_all()
    usage.forget_all()


def client_for(organization: Organization, *scopes: str) -> APIClient:
    issued = keys.create(
        organization=organization,
        name="test",
        actor=SYSTEM,
        scopes=list(scopes or ("*:*",)),
        permissions=keys.ALL_PERMISSIONS,
        never_expires=True,
    )
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {issued.secret}")
    return client


@pytest.fixture
def api(organization: Organization) -> APIClient:
    return client_for(organization)


@pytest.fixture
def stranger(db: None) -> APIClient:
    return client_for(organizations.create(name="Globex"))


def sent(api: APIClient, content: str = FILE, **fields: Any) -> Any:
    file = SimpleUploadedFile("clients.csv", content.encode())
    return api.post(
        "/api/v1/import/upload", {"file": file, "dataset": "clients", **fields}, format="multipart"
    )


def post(api: APIClient, path: str, body: dict[str, Any] | None = None) -> Any:
    return api.post(f"/api/v1/{path}", body or {}, format="json")


def body_of(response: Any) -> bytes:
    return b"".join(response.streaming_content)


def test_upload_validate_execute(api, organization, clients) -> None:
    uploaded = sent(api)
    assert uploaded.status_code == 201, uploaded.content
    job = uploaded.json()
    assert uploaded.headers["Location"] == f"/api/v1/jobs/{job['id']}"
    assert (job["status"], job["file"]["encoding"], job["file"]["delimiter"]) == ("pending", "utf-8", ",")
    assert [c["target"] for c in job["proposal"]["columns"]] == ["external_id", "name", "email"]
    assert job["preview"]["rows"][0]["cells"] == ["C1", "Northwind", "info@northwind.example"]

    answer = post(api, "import/validate", {"job": job["id"]})
    assert (answer.status_code, answer.json()["status"]) == (202, "validating")
    assert answer.headers["Location"] == f"/api/v1/import/{job['id']}/status"
    work.take(job_id=Job.objects.get().pk)
    report = api.get(answer.headers["Location"]).json()["report"]
    assert (report["created"], report["wrong"]) == (2, 1)
    assert selectors.live(clients).count() == 0

    answer = post(api, "import/execute", {"job": job["id"], "settings": {"mode": "create"}})
    assert (answer.status_code, answer.json()["status"]) == (202, "processing")
    work.take(job_id=Job.objects.get().pk)
    status = api.get(answer.headers["Location"]).json()
    assert (status["status"], status["is_complete"]) == ("completed", True)
    assert (status["progress"]["percent_complete"], status["results"]["created_count"]) == (100, 2)
    errors = api.get(f"/api/v1/jobs/{job['id']}/errors").json()["data"]
    assert [(e["row"], e["line"], e["column"], e["value"], e["code"]) for e in errors] == [
        (2, 3, "email", "nonsense", "not_an_email")
    ]
    file = api.get(f"/api/v1/jobs/{job['id']}/errors/file?kind=rejected")
    assert file.headers["Content-Disposition"].startswith("attachment")
    assert b"C2,Contoso,nonsense,2," in body_of(file)
    undone = post(api, f"jobs/{job['id']}/undo")
    assert undone.json() == {
        "reverted": 2, "refused": 0, "dry_run": False, "conflicts": [], "in_background": False, "total": 2
    }  # fmt: skip
    assert selectors.live(clients).count() == 0


def test_an_upload_that_is_no_table_is_a_problem_at_its_file(api) -> None:
    answer = sent(api, "%PDF-1.7 ...")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/file"
    assert "PDF" in answer.json()["detail"]
    assert sent(api, dataset="nothing").status_code == 404
    assert Job.objects.count() == 0


def test_a_mapping_that_does_not_fit_is_a_problem_at_its_place(api) -> None:
    number = sent(api).json()["id"]
    mapping = {"fields": [{"target": "nope", "source": "name"}]}
    answer = post(api, "import/execute", {"job": number, "mapping": mapping})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/mapping/fields/0/target"
    answer = post(api, "import/execute", {"job": number, "settings": {"speed": "high"}})
    assert answer.status_code == 422
    assert Job.objects.get().status == "pending"


def test_the_same_upload_with_one_key_makes_one_job(api) -> None:
    api.credentials(**{**api._credentials, "HTTP_IDEMPOTENCY_KEY": "once"})
    first, second = sent(api), sent(api)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] == second.json()["id"]
    assert Job.objects.count() == 1


def test_templates_can_be_filled_in_and_uploaded(api, clients) -> None:
    answer = api.get("/api/v1/import/templates/clients?format=csv")
    table = open_table(io.BytesIO(answer.content))
    assert table.names == [field.name for field in clients.fields]
    book = load_workbook(io.BytesIO(api.get("/api/v1/import/templates/clients").content))
    sheet = book["clients"]
    assert [cell.value for cell in sheet[1]] == table.names
    assert "company,person" in {rule.formula1.strip('"') for rule in sheet.data_validations.dataValidation}
    assert "Instructions" in book.sheetnames
    assert sheet["A1"].comment.text.startswith("External id: Text.")
    assert api.get("/api/v1/import/templates/nothing").status_code == 404


@pytest.mark.parametrize("slug", ["clients", "contacts", "products", "orders", "gps_data", "tasks", "cases"])
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_the_example_in_every_template_is_right(api, organization, upload, slug, kind) -> None:
    dataset = selectors.dataset_of(organization, slug)
    content = api.get(f"/api/v1/import/templates/{slug}?format={kind}").content
    job = run(configured(upload(content, f"t.{kind}", dataset=dataset)))
    assert (job.status, job.created_count, job.failed_records) == ("completed", 0, 0), job.status_reason
    # It is known as the example by its checked values, so each of them is right.
    assert (job.skipped_records, job.warning_count) == (1, 1)
    [told] = JobError.objects.filter(job=job)
    assert told.message == "This is the example row of the template; it is passed over."


def test_a_row_that_was_written_over_the_example_is_data(api, clients, upload) -> None:
    content = api.get("/api/v1/import/templates/clients?format=csv").content.decode("utf-8-sig")
    job = run(configured(upload(content.replace("ada@example.com", "eve@example.com"))))
    assert (job.status, job.created_count, job.skipped_records) == ("completed", 1, 0)


def test_a_template_offers_the_records_that_can_be_referred_to(api, organization, upload, clients) -> None:
    run(configured(upload("external_id,name\nC1,Northwind\nC2,Contoso\n")))
    book = load_workbook(io.BytesIO(api.get("/api/v1/import/templates/contacts").content))
    sheet = book["contacts"]
    column = next(cell.column_letter for cell in sheet[1] if cell.value == "client")
    [rule] = [r for r in sheet.data_validations.dataValidation if str(r.sqref).startswith(f"{column}2")]
    assert (rule.type, rule.formula1, bool(rule.showErrorMessage)) == ("list", '"C1,C2"', False)


def exported(api: APIClient, **body: Any) -> tuple[dict[str, Any], list[list[Any]]]:
    answer = post(api, "export", {"dataset": "clients", **body})
    assert answer.status_code == 202, answer.content
    work.take(job_id=Job.objects.get(number=answer.json()["id"]).pk)
    status = api.get(answer.headers["Location"]).json()
    file = APIClient().get(status["download_url"])
    assert file.status_code == 200, file
    table = open_table(io.BytesIO(body_of(file)))
    return status, [table.names, *[list(row.values) for row in table.rows]]


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_an_export_makes_formulas_harmless_and_comes_back_the_same(api, upload, clients, kind) -> None:
    rows = 'external_id,name,credit_limit,tags,notes\nC1,"=cmd()",-5,"[""a""]",+1\nC2,@x,1.50,,\'\'-dash\n'
    run(configured(upload(rows)))
    before = {record.key: record.data for record in selectors.live(clients)}
    answer = post(api, "export", {"dataset": "clients", "format": kind, "ordering": "external_id"})
    work.take(job_id=Job.objects.get(number=answer.json()["id"]).pk)
    data = body_of(api.get(f"/api/v1/export/{answer.json()['id']}/download"))
    if kind == "csv":
        assert b",'=cmd()," in data
        assert b",'@x," in data
        assert b",''-dash" in data
        assert b",-5.00," in data  # a number stays one
    else:
        sheet = load_workbook(io.BytesIO(data)).active
        assert {cell.data_type for row in sheet.iter_rows() for cell in row} <= {"s", "n"}
        assert sheet["B2"].value == "'=cmd()"
    again = run(configured(upload(data, f"back.{kind}")))
    assert (again.unchanged_count, again.updated_count, again.failed_records) == (2, 0, 0)
    assert {record.key: record.data for record in selectors.live(clients)} == before


def test_an_export_has_the_chosen_columns_rows_and_order(api, upload) -> None:
    run(configured(upload("external_id,name,status\nA,Ann,lead\nB,Bob,active\nC,Cid,active\n")))
    status, table = exported(
        api,
        filters={"status": "active"},
        columns=["name", "external_id"],
        ordering="-external_id",
        labels=True,
    )
    assert table == [["Name", "External id"], ["Cid", "C"], ["Bob", "B"]]
    assert (status["progress"]["processed_records"], status["output"]["rows"]) == (2, 2)


def test_what_an_export_does_not_know_is_refused(api) -> None:
    for body, pointer in (
        ({"columns": ["nope"]}, "/columns/0"),
        ({"format": "docx"}, "/format"),
        ({"filters": {"nope": "1"}}, "/nope"),
    ):
        answer = post(api, "export", {"dataset": "clients", **body})
        assert answer.status_code in (400, 422), body
        assert answer.json()["errors"][0]["pointer"] == pointer
    assert Job.objects.count() == 0


def test_a_download_link_opens_one_file_of_one_organization_for_a_while(
    api, stranger, upload, monkeypatch
) -> None:
    run(configured(upload(FILE)))
    status, _ = exported(api)
    other, _ = exported(api, name="another")
    link = status["download_url"]
    anyone = APIClient()
    assert anyone.get(link).status_code == 200
    assert anyone.get(link.replace(status["id"], other["id"])).status_code == 404
    assert anyone.get(link[:-3] + "AAA").status_code == 404
    assert anyone.get(link.partition("?")[0]).status_code == 401
    assert stranger.get(link.partition("?")[0]).status_code == 404
    job = Job.objects.get(number=status["id"])
    job.artifacts.update(expires_at=job.created_at)
    assert anyone.get(link).status_code == 404


def test_jobs_of_others_do_not_exist(api, stranger, upload, clients) -> None:
    job = run(configured(upload(FILE)))
    waiting = configured(upload(FILE))
    assert api.get(f"/api/v1/jobs/{job.number}").status_code == 200
    theirs = stranger.get("/api/v1/jobs").json()["data"]
    assert theirs == []
    for method, path, body in (
        ("get", f"jobs/{job.number}", None),
        ("get", f"jobs/{job.number}/errors", None),
        ("get", f"jobs/{job.number}/errors/file", None),
        ("get", f"import/{job.number}/status", None),
        ("post", f"jobs/{waiting.number}/start", {}),
        ("post", f"jobs/{waiting.number}/cancel", {}),
        ("post", f"jobs/{job.number}/undo", {}),
        ("post", "import/execute", {"job": waiting.number}),
        ("post", "import/validate", {"job": waiting.number}),
        ("get", f"export/{job.number}", None),
        ("get", f"export/{job.number}/download", None),
    ):
        answer = getattr(stranger, method)(f"/api/v1/{path}", body, format="json")
        assert answer.status_code == 404, (path, answer.content)
    waiting.refresh_from_db()
    assert waiting.status == "pending"
    assert selectors.live(clients).count() == 2


def test_a_job_does_not_lend_scopes(organization, upload) -> None:
    job = configured(upload(FILE))
    may_run_jobs = client_for(organization, "jobs:*")
    assert may_run_jobs.get(f"/api/v1/jobs/{job.number}").status_code == 200
    for path, body in (
        (f"jobs/{job.number}/start", {}),
        ("import/execute", {"job": job.number}),
        ("export", {"dataset": "clients"}),
    ):
        assert may_run_jobs.post(f"/api/v1/{path}", body, format="json").status_code == 403
    reads = client_for(organization, "jobs:read")
    assert reads.post(f"/api/v1/jobs/{job.number}/cancel", {}, format="json").status_code == 403
    job.refresh_from_db()
    assert job.status == "pending"
    assert Job.objects.count() == 1


def test_lists_filter_and_page(api, upload) -> None:
    for _ in range(3):
        run(configured(upload(FILE)))
    post(api, "export", {"dataset": "clients"})
    assert len(api.get("/api/v1/jobs?job_type=import&dataset=clients&status=completed").json()["data"]) == 3
    page = api.get("/api/v1/jobs?limit=2").json()
    assert len(page["data"]) == 2
    assert len(api.get(page["next"]).json()["data"]) == 2
    assert api.get("/api/v1/jobs?nope=1").status_code == 400


def test_deeds_answer_with_the_job_or_a_conflict(api, upload) -> None:
    job = configured(upload(FILE))
    answer = post(api, f"jobs/{job.number}/start")
    assert (answer.status_code, answer.headers["Location"]) == (202, f"/api/v1/jobs/{job.number}")
    assert post(api, f"jobs/{job.number}/start").status_code == 409
    assert post(api, f"jobs/{job.number}/pause").json()["status"] == "paused"
    assert post(api, f"jobs/{job.number}/resume").json()["status"] == "processing"
    assert (
        post(api, f"jobs/{job.number}/cancel", {"reason": "wrong file"}).json()["status_reason"]
        == "wrong file"
    )
    assert post(api, f"jobs/{job.number}/retry").status_code == 202
    assert post(api, f"jobs/{job.number}/undo").status_code == 409


def test_the_number_of_queries_does_not_grow_with_the_list(
    api, upload, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    for _ in range(4):
        upload(FILE)
    with django_assert_max_num_queries(12):
        assert len(api.get("/api/v1/jobs").json()["data"]) == 4
