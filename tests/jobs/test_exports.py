"""What an export holds, in every format; what it keeps consistent, and what it keeps to itself."""

from __future__ import annotations

import csv
import gzip
import io
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree

import pdfplumber
import pytest
import pyzipper
from django.db import connection, connections
from openpyxl import load_workbook

from apps.audit.models import AuditEntry
from apps.jobs.formats import open_table
from apps.jobs.models import Job, JobArtifact
from apps.jobs.services import control, downloads, exports, exports_run, work
from apps.kernel.errors import HubError, InvalidInput, RaceLost
from apps.kernel.snapshots import snapshot
from apps.records import reading, selectors
from apps.records.models import Dataset, Record
from apps.records.services import datasets, records
from apps.records.services.upsert import upsert
from apps.tenants.models import Organization
from apps.tenants.services import organizations
from tests.jobs.conftest import ADA, configured, run, work_on

ROWS = [
    {"external_id": "A", "name": "Ann & Söhne <GmbH>", "status": "lead", "credit_limit": "-5.00",
     "since": "2024-02-29", "tags": ["vip", "new"], "notes": "=cmd()"},
    {"external_id": "B", "name": "Bob\nand \"Co\"", "status": "active", "credit_limit": "12345678901234.50",
     "since": "1899-01-01", "tags": ["new"], "phone": "+4930123456"},
    {"external_id": "00C", "name": "Ωμέγα, Дом; 'quoted'", "status": "active", "email": "c@example.com"},
]  # fmt: skip


@pytest.fixture
def filled(clients: Dataset) -> Dataset:
    put(clients, ROWS)
    return clients


def put(dataset: Dataset, rows: list[dict[str, Any]]) -> None:
    result = upsert(dataset=dataset, rows=rows, actor=ADA)
    assert result.failed == 0, result.problems


def ordered(dataset: Dataset, **settings: Any) -> Job:
    return exports.create(organization=dataset.organization, dataset=dataset, actor=ADA, **settings)


def exported(dataset: Dataset, **settings: Any) -> tuple[Job, bytes]:
    job = work_on(ordered(dataset, **settings))
    assert job.status == "completed", job.status_reason
    return job, content_of(job)


def content_of(job: Job) -> bytes:
    with downloads.open_artifact(downloads.output_of(job)) as file:
        return bytes(file.read())


def lines_of(content: bytes, **options: Any) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig")), **options))


def keys_of(dataset: Dataset, **settings: Any) -> list[str]:
    _, content = exported(dataset, format="ndjson", columns=["external_id"], **settings)
    return [json.loads(line)["external_id"] for line in content.splitlines()]


# --- which records


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"status": "active"}, ["00C", "B"]),
        ({"status__in": "lead,active", "name__startswith": "ann"}, ["A"]),
        ({"since__gte": "2024-01-01"}, ["A"]),  # no index answers this one
        ({"since__lt": "2024-01-01"}, ["B"]),
        ({"since__isnull": "true"}, ["00C"]),
        ({"credit_limit__gt": "0"}, ["B"]),
        ({"notes": "=CMD()"}, ["A"]),
        ({"name__contains": "gmbh"}, ["A"]),
        ({"status__ne": "active"}, ["A"]),
        ({"tags": "new"}, ["A", "B"]),
        ({"tags__in": "vip,other"}, ["A"]),
        ({"tags__ne": "new"}, ["00C"]),
        ({"created_since": "2020-01-01", "updated_since": "2020-01-01T00:00:00Z"}, ["00C", "A", "B"]),
        ({"created_before": "2020-01-01"}, []),
        ({"updated_before": "2020-01-01T00:00:00Z"}, []),
        ({"created_since": "2999-01-01"}, []),
    ],
)  # fmt: skip
def test_filters_reach_every_field(filled, filters, found) -> None:
    assert keys_of(filled, filters=filters, ordering="external_id") == found


@pytest.mark.parametrize(
    ("wanted", "pointer"),
    [
        ({"filters": {"nope": "1"}}, "/nope"),
        ({"filters": {"since__gte": "yesterday"}}, "/since__gte"),
        ({"filters": {"since__near": "2024-01-01"}}, "/since__near"),
        ({"filters": {"since__isnull": "maybe"}}, "/since__isnull"),
        ({"filters": {"created_since": "soon"}}, "/created_since"),
        ({"filters": {"created_since": "2026-02-30"}}, "/created_since"),
        ({"filters": {"tags__gte": "a"}}, "/tags__gte"),
        ({"ordering": "notes"}, "/ordering"),
        ({"columns": ["name", "client.name"]}, "/columns/1"),
        ({"columns": ["status.name"]}, "/columns/0"),
        ({"format": "docx"}, "/format"),
        ({"delimiter": ";;"}, "/delimiter"),
        ({"delimiter": "a"}, "/delimiter"),
        ({"encoding": "rot13"}, "/encoding"),
        ({"compression": "rar"}, "/compression"),
        ({"compression": "gzip", "include_audit_trail": True}, "/compression"),
        ({"compression": "gzip", "include_attachments": True}, "/compression"),
        ({"format": "pdf", "include_audit_trail": True}, "/include_audit_trail"),
        ({"password": "short"}, "/password"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_and_nothing_ordered(filled, wanted, pointer) -> None:
    with pytest.raises(HubError) as refused:
        ordered(filled, **wanted)
    assert refused.value.errors[0].pointer == pointer
    assert Job.objects.count() == 0
    assert not AuditEntry.objects.filter(action="job.created").exists()


def test_several_columns_sort(filled) -> None:
    put(filled, [{"external_id": "D", "name": "Zoe", "status": "lead"}])
    assert keys_of(filled, ordering="status,-name") == ["00C", "B", "D", "A"]
    assert keys_of(filled, ordering="-created_at") == ["D", "00C", "B", "A"]
    assert sorted(keys_of(filled, ordering="-updated_at,status")) == ["00C", "A", "B", "D"]


def test_deleted_records_go_out_on_request_only(filled) -> None:
    gone = Record.objects.get(key="A")
    records.delete(dataset=filled, ids=[gone.pk], actor=ADA)
    assert keys_of(filled, ordering="external_id") == ["00C", "B"]
    _, content = exported(filled, include_deleted=True, columns=["external_id"], ordering="external_id")
    table = lines_of(content)
    assert table[0] == ["external_id", "_deleted_at"]
    assert [row[0] for row in table[1:]] == ["00C", "A", "B"]
    assert [bool(row[1]) for row in table[1:]] == [False, True, False]


# --- what of them


def test_columns_have_their_order_and_labels(filled) -> None:
    _, content = exported(
        filled,
        columns=["status", "name"],
        headers={"status": "State"},
        labels=True,
        filters={"status": "lead"},
    )
    assert lines_of(content) == [["State", "Name"], ["lead", "Ann & Söhne <GmbH>"]]


def test_referenced_records_are_columns_read_in_bulk(filled, organization) -> None:
    contacts = selectors.dataset_of(organization, "contacts")
    people = [
        {"external_id": f"P{n}", "name": f"Person {n}", "client": ("A", "B", "gone")[n % 3]}
        for n in range(30)
    ]
    put(filled, [{"external_id": "gone", "name": "Gone"}])
    put(contacts, people)
    records.delete(dataset=filled, ids=[Record.objects.get(key="gone").pk], actor=ADA)
    _, content = exported(
        contacts, columns=["external_id", "client.status", "client.credit_limit"], ordering="external_id"
    )
    table = lines_of(content)
    assert table[0] == ["external_id", "client.status", "client.credit_limit"]
    assert table[1:3] == [["P0", "lead", "-5.00"], ["P1", "active", "12345678901234.50"]]
    assert ["P2", "", ""] in table
    _, content = exported(contacts, include_related=True, format="ndjson", filters={"client": "A"})
    assert {json.loads(line)["client.name"] for line in content.splitlines()} == {"Ann & Söhne <GmbH>"}


def test_the_number_of_statements_does_not_grow_with_the_rows(filled, organization, monkeypatch) -> None:
    from django.test.utils import CaptureQueriesContext

    contacts = selectors.dataset_of(organization, "contacts")
    counts = []
    for size in (10, 400):
        put(contacts, [{"external_id": f"P{n}", "name": "x", "client": "A"} for n in range(size)])
        job = ordered(contacts, include_related=True, include_audit_trail=True, format="json")
        with CaptureQueriesContext(connection) as queries:
            assert work_on(job).status == "completed"
        counts.append(len(queries))
    # Where the machine is slow, progress is written once more; a statement for each row were hundreds.
    assert counts[1] < counts[0] + 10


def test_metadata_says_who_the_record_is(filled) -> None:
    record = Record.objects.get(key="A")
    _, content = exported(filled, columns=["external_id"], include_metadata=True, filters={"status": "lead"})
    assert lines_of(content) == [
        ["external_id", "_id", "_version", "_created_at", "_updated_at"],
        ["A", record.public_id, "1", _z(record.created_at), _z(record.updated_at)],
    ]


def _z(moment: Any) -> str:
    return str(moment.isoformat().replace("+00:00", "Z"))


def test_the_history_is_nested_in_json_a_sheet_in_excel_and_a_file_with_csv(filled) -> None:
    put(filled, [{"external_id": "A", "status": "active"}])
    _, content = exported(
        filled, format="json", include_audit_trail=True, filters={"name__startswith": "ann"}
    )
    (record,) = json.loads(content)
    assert [(c["operation"], c["version"], c["by"]) for c in record["_changes"]] == [
        ("created", 1, "Ada Lovelace"),
        ("updated", 2, "Ada Lovelace"),
    ]
    assert record["_changes"][0]["after"]["status"] == "lead"
    assert record["_changes"][1]["before"] == {"status": "lead"}

    _, content = exported(filled, format="xlsx", include_audit_trail=True)
    book = load_workbook(io.BytesIO(content))
    assert book.sheetnames == ["Clients", "Changes"]
    rows = [[cell.value for cell in row] for row in book["Changes"].iter_rows()]
    assert rows[0][1:4] == ["Key", "Version", "What happened"]
    assert ["A", 2, "updated"] in [row[1:4] for row in rows]

    job, content = exported(filled, format="csv", include_audit_trail=True)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        assert names[1:] == ["clients-changes.csv", "manifest.json"]
        history = lines_of(archive.read("clients-changes.csv"))
        manifest = json.loads(archive.read("manifest.json"))
    assert ["A", "2", "updated"] in [row[1:4] for row in history]
    assert ["status", "lead", "active"] in [row[-3:] for row in history]
    assert (manifest["job"], manifest["rows"], manifest["files"][0]["name"]) == (job.number, 3, names[0])

    _, content = exported(filled, format="xml", include_audit_trail=True)
    tree = ElementTree.fromstring(content)
    assert len(tree.findall("record")) == 3
    assert len(tree.findall(".//_changes/change")) == 4


def test_attachments_are_the_files_that_the_hub_holds_for_the_records(upload, clients) -> None:
    run(configured(upload("external_id,name\nA,Ann\n", "../../etc/pass:wd.csv")))
    put(clients, [{"external_id": "B", "name": "Bob"}])
    job, content = exported(clients, include_attachments=True)
    assert downloads.output_of(job).filename.endswith(".zip")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        attached = [name for name in archive.namelist() if name.startswith("attachments/")]
        assert len(attached) == 1
        assert "/../" not in attached[0]
        assert ":" not in attached[0]
        assert archive.read(attached[0]) == b"external_id,name\nA,Ann\n"


def test_attachments_of_another_organization_stay_there(upload, clients, organization) -> None:
    run(configured(upload("external_id,name\nA,Ann\n")))
    digest = JobArtifact.objects.get(kind="source").sha256
    other = organizations.create(name="Globex")
    documents = selectors.dataset_of(other, "documents")
    put(documents, [{"external_id": "D", "title": "stolen", "sha256": digest}])
    _, content = exported(documents, include_attachments=True)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert [name for name in archive.namelist() if "attachments" in name] == []
    own = selectors.dataset_of(organization, "documents")
    put(own, [{"external_id": "D", "title": "mine", "sha256": digest}])
    _, content = exported(own, include_attachments=True)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert [name for name in archive.namelist() if "attachments" in name] == ["attachments/clients.csv"]


# --- in which form


def test_csv_is_written_as_asked(filled) -> None:
    chosen = {"columns": ["external_id", "credit_limit", "notes"], "ordering": "-external_id"}
    _, content = exported(filled, **chosen)
    assert content == (
        b"\xef\xbb\xbfexternal_id,credit_limit,notes\r\nB,12345678901234.50,\r\nA,-5.00,'=cmd()\r\n00C,,\r\n"
    )
    _, content = exported(filled, delimiter=";", quote_all=True, bom=False, **chosen)
    assert content.splitlines()[2] == b'"A";"-5.00";"\'=cmd()"'
    _, content = exported(filled, encoding="utf-16", **chosen)
    assert content.decode("utf-16").splitlines()[2] == "A,-5.00,'=cmd()"
    _, content = exported(filled, encoding="cp1252", columns=["name"], filters={"status": "lead"})
    assert content == "name\r\nAnn & Söhne <GmbH>\r\n".encode("cp1252")


def test_a_letter_that_an_encoding_lacks_is_no_question_mark(filled) -> None:
    job = work_on(ordered(filled, encoding="cp1252"))
    assert job.status == "failed"
    assert "cannot be written in Windows-1252" in job.status_reason
    assert job.artifacts.count() == 0


def test_excel_has_numbers_dates_and_nothing_that_runs(filled) -> None:
    put(filled, [{"external_id": "D", "name": "x_x000D_y", "notes": "tab\there"}])
    _, content = exported(filled, format="xlsx", ordering="external_id", columns=[
                          "external_id", "credit_limit", "since", "notes", "tags", "name"])  # fmt: skip
    sheet = load_workbook(io.BytesIO(content))["Clients"]
    rows = {row[0].value: row for row in sheet.iter_rows(min_row=2)}
    assert {cell.data_type for row in sheet.iter_rows() for cell in row} <= {"s", "n", "d", "inlineStr"}
    limit, since, notes, tags = rows["A"][1:5]
    assert (limit.value, limit.number_format) == (-5, "0.00")
    assert (str(since.value)[:10], since.number_format) == ("2024-02-29", "yyyy-mm-dd")
    assert (notes.value, tags.value) == ("'=cmd()", '["vip", "new"]')
    assert rows["B"][1].value == "12345678901234.50"  # more digits than Excel keeps
    assert rows["B"][2].value == "1899-01-01"  # a day that Excel does not count
    assert rows["00C"][0].value == "00C"
    assert sheet.freeze_panes == "A2"
    assert open_table(io.BytesIO(content)).names[:2] == ["external_id", "credit_limit"]


def test_excel_goes_on_on_another_sheet_when_one_is_full(filled, monkeypatch) -> None:
    monkeypatch.setattr("apps.jobs.formats.out_xlsx.MAX_ROWS", 3)
    _, content = exported(filled, format="xlsx", columns=["external_id"], ordering="external_id")
    book = load_workbook(io.BytesIO(content))
    assert book.sheetnames == ["Clients", "Clients 2"]
    assert [[c.value for c in row] for row in book["Clients"].iter_rows()] == [
        ["external_id"],
        ["00C"],
        ["A"],
    ]
    assert [[c.value for c in row] for row in book["Clients 2"].iter_rows()] == [["external_id"], ["B"]]


def test_xml_is_well_formed_whatever_the_text(filled) -> None:
    put(filled, [{"external_id": "X", "name": "]]> & \x01\x1f\ufffe", "notes": "line\r\nnext\ttab"}])
    job, content = exported(filled, format="xml", ordering="external_id")
    tree = ElementTree.fromstring(content)
    found = {r.findtext("external_id"): r for r in tree.findall("record")}
    assert found["A"].findtext("name") == "Ann & Söhne <GmbH>"
    assert found["X"].findtext("name") == "]]> & \ufffd\ufffd\ufffd"
    assert found["X"].findtext("notes") == "line\r\nnext\ttab"
    assert job.summary["details"] == ["3 characters that XML cannot hold were replaced by “\ufffd”."]


def test_json_holds_values_as_the_api_shows_them(filled) -> None:
    _, content = exported(filled, format="json", ordering="external_id")
    found = {row["external_id"]: row for row in json.loads(content)}
    assert found["A"]["tags"] == ["vip", "new"]
    assert found["A"]["credit_limit"] == "-5.00"
    assert found["00C"]["since"] is None
    assert list(found["A"]) == [field.name for field in filled.fields]
    _, content = exported(filled, format="json", filters={"status": "archived"})
    assert json.loads(content) == []


def test_a_pdf_shows_letters_of_all_europe_on_numbered_pages(filled) -> None:
    _, content = exported(
        filled, format="pdf", columns=["external_id", "name", "tags"], ordering="external_id"
    )
    with pdfplumber.open(io.BytesIO(content)) as document:
        text = document.pages[0].extract_text()
    assert content.startswith(b"%PDF-")
    assert "Ωμέγα, Дом; 'quoted'" in text
    assert "Ann & Söhne <GmbH>" in text
    assert "Page 1" in text


def test_a_pdf_of_too_many_rows_is_refused_with_another_way(filled, monkeypatch) -> None:
    monkeypatch.setattr("apps.jobs.services.exports_run.PDF_ROWS", 2)
    job = work_on(ordered(filled, format="pdf", columns=["name"]))
    assert job.status == "failed"
    assert job.status_reason == (
        "A PDF holds at most 2 rows, and these are 3. Filter what is exported, or choose Excel or CSV."
    )
    monkeypatch.setattr("apps.jobs.formats.out_pdf.MAX_ROWS", 1)
    job = work_on(ordered(filled, format="pdf", columns=["name"], filters={"tags": "new"}))
    assert job.status_reason.startswith("A PDF holds at most 1 rows.")
    assert JobArtifact.objects.count() == 0


@pytest.mark.parametrize("kind", ["csv", "xlsx", "json", "ndjson", "xml"])
def test_an_export_that_is_imported_again_changes_nothing(filled, upload, kind) -> None:
    put(filled, [{"external_id": "E", "name": "'-dash", "notes": "''+x\nline two", "phone": "+441632960961",
                  "website": "https://example.com/?a=1&b=2", "postcode": "00501"}])  # fmt: skip
    before = {record.key: record.data for record in selectors.live(filled)}
    _, content = exported(filled, format=kind)
    job = run(configured(upload(content, f"back.{kind}")))
    assert (job.status, job.unchanged_count, job.updated_count, job.failed_records) == ("completed", 4, 0, 0)
    assert {record.key: record.data for record in selectors.live(filled)} == before


@pytest.mark.parametrize("kind", ["csv", "xlsx", "xml"])
def test_every_type_comes_back_into_an_empty_dataset(organization, upload, kind) -> None:
    fields = [
        {"name": "code", "type": "text", "required": True, "unique": True},
        *(
            {"name": kind, "type": kind}
            for kind in ("integer", "decimal", "boolean", "date", "datetime", "money", "json", "url", "email")
        ),
    ]
    rows = [
        {"code": "007", "integer": 9007199254740993, "decimal": "1.50", "boolean": True, "date": "2026-10-25",
         "datetime": "2026-10-25T00:30:00Z", "money": {"amount": "-12.30", "currency": "EUR"},
         "json": {"a": [1, "=x"]}},
        {"code": "8", "integer": -5, "decimal": "0.000001", "boolean": False, "date": "0001-01-01",
         "datetime": "2026-06-01T10:00:00.5Z"},
        {"code": "=9", "integer": 0, "decimal": "12345678901234567890.12", "datetime": "1901-02-03T04:05:06Z",
         "email": "a@example.com"},
    ]  # fmt: skip
    organization.timezone = "Europe/Berlin"
    organization.save()
    made = [
        datasets.define(organization=organization, actor=ADA, slug=slug, name=slug, fields=fields,
                       key_field="code", title_field="code")
        for slug in ("origin", "target")
    ]  # fmt: skip
    put(made[0], rows)
    _, content = exported(made[0], format=kind)
    job = run(configured(upload(content, f"back.{kind}", dataset=made[1])))
    assert (job.created_count, job.failed_records) == (3, 0), job.summary
    there = {record.key: record.data for record in selectors.live(made[1])}
    here = {record.key: record.data for record in selectors.live(made[0])}
    assert _filled(there) == _filled(here)


def _filled(found: dict[Any, dict[str, Any]]) -> dict[Any, dict[str, Any]]:
    return {key: {k: v for k, v in data.items() if v is not None} for key, data in found.items()}


def test_values_of_an_earlier_definition_are_written_as_they_are(filled) -> None:
    Record.objects.filter(key="A").update(
        data={"external_id": "A", "name": 17, "tags": 5, "credit_limit": {"x": 1}}
    )
    for kind in ("csv", "xlsx", "json", "ndjson", "xml", "pdf"):
        job, content = exported(filled, format=kind, columns=["external_id", "name", "tags", "credit_limit"])
        assert job.processed_records == 3
        if kind == "csv":
            assert b'A,17,5,"{""x"": 1}"' in content


# --- packed


def test_gzip_and_zip(filled) -> None:
    job, content = exported(filled, compression="gzip", columns=["external_id"], ordering="external_id")
    assert lines_of(gzip.decompress(content))[1:] == [["00C"], ["A"], ["B"]]
    artifact = downloads.output_of(job)
    assert (artifact.mime_type, artifact.compression) == ("application/gzip", "gzip")
    assert artifact.filename.endswith(".csv.gz")
    job, content = exported(filled, compression="zip", format="ndjson")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist()[0].endswith(".ndjson")
        assert archive.testzip() is None


def test_a_password_encrypts_and_is_forgotten(filled, caplog) -> None:
    secret = "correct horse battery"
    job = ordered(filled, password=secret, format="xlsx")
    with connection.cursor() as cursor:
        cursor.execute("SELECT export_password FROM jobs_job")
        assert secret.encode() not in bytes(cursor.fetchone()[0])
    job = work_on(job)
    content = content_of(job)
    assert job.export_password is None
    with pyzipper.AESZipFile(io.BytesIO(content)) as archive:
        name = archive.namelist()[0]
        assert name.endswith(".xlsx")
        with pytest.raises(RuntimeError):
            archive.read(name)
        archive.setpassword(secret.encode())
        assert archive.read(name).startswith(b"PK")
    told = json.dumps(
        [list(AuditEntry.objects.values_list("changes", flat=True)), job.export_settings, job.summary]
    )
    assert secret not in told + caplog.text


@pytest.mark.parametrize("end", ["cancel", "fail"])
def test_a_password_is_forgotten_when_the_job_ends_otherwise(filled, end, monkeypatch) -> None:
    job = ordered(filled, password="correct horse", encoding="cp1252")
    if end == "cancel":
        control.cancel(job=job, actor=ADA)
    else:
        assert work_on(job).status == "failed"
    job.refresh_from_db()
    assert job.export_password is None
    with pytest.raises(HubError, match="was forgotten"):
        control.retry(job=job, actor=ADA)
    job.refresh_from_db()
    assert job.is_complete


# --- at one moment, and to the end


@pytest.mark.django_db(transaction=True)
def test_what_is_written_during_an_export_is_not_in_it(monkeypatch) -> None:
    clients = selectors.dataset_of(organizations.create(name="Northwind"), "clients")
    put(clients, [{"external_id": f"C{n}", "name": "before"} for n in range(50)])
    real = reading.pages

    def pages(selection: Any, **options: Any) -> Iterator[Any]:
        for n, page in enumerate(real(selection, **{**options, "size": 10})):
            yield page
            if n == 0:  # somebody changes, deletes and adds, over a connection of their own
                others = threading.Thread(target=_change, args=(clients.pk,))
                others.start()
                others.join()

    monkeypatch.setattr(reading, "pages", pages)
    job, content = exported(clients, format="json", ordering="external_id", include_audit_trail=True)
    found = json.loads(content)
    assert len(found) == 50
    assert {row["name"] for row in found} == {"before"}
    assert {len(row["_changes"]) for row in found} == {1}
    assert job.total_records == 50
    assert selectors.live(clients).filter(key="NEW").exists()
    assert not selectors.live(clients).filter(key="C49").exists()


def _change(pk: Any) -> None:
    try:
        clients = Dataset.objects.select_related("organization").get(pk=pk)
        put(clients, [{"external_id": f"C{n}", "name": "after"} for n in range(50)])
        put(clients, [{"external_id": "NEW", "name": "after"}])
        records.delete(dataset=clients, ids=[Record.objects.get(key="C49").pk], actor=ADA)
    finally:
        connections.close_all()


@pytest.mark.django_db(transaction=True)
def test_a_snapshot_writes_nothing_and_leaves_no_connection() -> None:
    organization = organizations.create(name="Northwind")
    before = set(connections)
    with snapshot() as using:
        assert using not in before
        assert Organization.objects.using(using).get().pk == organization.pk
        with pytest.raises(Exception, match=r"read-only|readonly"):
            Organization.objects.using(using).update(name="x")
    assert not hasattr(connections._connections, using)  # type: ignore[attr-defined]
    organization.refresh_from_db()
    assert organization.name == "Northwind"


def interrupted(monkeypatch: pytest.MonkeyPatch, deed: Callable[[Job], Any], job: Job) -> None:
    """Do something to the job between two of its pages, and look up after each."""
    monkeypatch.setattr(exports_run, "TOLD_EVERY", 0)
    real = reading.pages

    def pages(selection: Any, **options: Any) -> Iterator[Any]:
        for n, page in enumerate(real(selection, **{**options, "size": 1})):
            if n == 1:
                deed(Job.objects.get(pk=job.pk))
            yield page

    monkeypatch.setattr(reading, "pages", pages)
    work_on(job)
    monkeypatch.undo()
    job.refresh_from_db()


def test_a_paused_export_begins_anew_and_ends_whole(filled, monkeypatch) -> None:
    job = ordered(filled, columns=["external_id"], ordering="external_id", password="correct horse")
    interrupted(monkeypatch, lambda found: control.pause(job=found, actor=ADA), job)
    assert (job.status, job.artifacts.count(), job.processed_records) == ("paused", 0, 2)
    control.resume(job=job, actor=ADA)
    job = work_on(job)
    assert (job.status, job.processed_records) == ("completed", 3)


def test_a_cancelled_export_leaves_no_file(filled, monkeypatch) -> None:
    job = ordered(filled)
    interrupted(monkeypatch, lambda found: control.cancel(job=found, actor=ADA), job)
    assert (job.status, job.artifacts.count()) == ("cancelled", 0)
    with pytest.raises(RaceLost):
        control.pause(job=job, actor=ADA)


# --- out of the house


def test_each_download_is_one_entry_also_by_link(filled, client) -> None:
    job, content = exported(filled)
    token = downloads.link_token(downloads.output_of(job), ADA)
    answer = client.get(f"/api/v1/export/{job.number}/download", {"token": token}, REMOTE_ADDR="203.0.113.9")
    assert b"".join(answer.streaming_content) == content
    entry = AuditEntry.objects.get(action="job.downloaded")
    assert (entry.actor_kind, entry.actor_ref, entry.actor_label) == ("user", "1", "Signed link")
    assert entry.ip == "203.0.113.9"
    for wrong in (token[:-1] + ("A" if token[-1] != "A" else "B"), "x", "", token.replace(":", ".")):
        refused = client.get(f"/api/v1/export/{job.number}/download", {"token": wrong})
        assert refused.status_code in (401, 404)
    stale = downloads.link_token(downloads.output_of(job), ADA, seconds=-1)
    assert client.get(f"/api/v1/export/{job.number}/download", {"token": stale}).status_code == 404
    assert AuditEntry.objects.filter(action="job.downloaded").count() == 1


def test_a_dataset_of_others_is_not_exported(filled) -> None:
    other = organizations.create(name="Globex")
    with pytest.raises(InvalidInput):
        exports.create(organization=other, dataset=filled, actor=ADA)
    assert Job.objects.count() == 0


def test_a_column_that_is_gone_is_said(organization) -> None:
    fields = [
        {"name": "code", "type": "text", "required": True, "unique": True},
        {"name": "x", "type": "text"},
    ]
    made = datasets.define(organization=organization, actor=ADA, slug="things", name="Things", fields=fields,
                          key_field="code", title_field="code")  # fmt: skip
    job = ordered(made, columns=["code", "x"])
    Dataset.objects.filter(pk=made.pk).update(definition=fields[:1])
    assert work.take(job_id=job.pk)
    job.refresh_from_db()
    assert (job.status, job.status_reason) == ("failed", "“x” is no field of “things”.")
