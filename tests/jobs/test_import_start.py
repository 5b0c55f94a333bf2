"""Where the rows of an import come from, as staff choose it on the first step."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from apps.jobs.models import Job
from apps.tenants.models import Organization
from apps.tenants.roles import Role
from tests.jobs.test_admin import signed_in, text_of

URL = "/admin/jobs/import/"
SCRIPT = {"X-Requested-With": "XMLHttpRequest"}


@pytest.fixture
def staff(organization: Organization) -> Client:
    return signed_in(organization, Role.ADMIN)


def preview(job: Job) -> tuple[list[str], list[list[str]]]:
    return [c["name"] for c in job.preview["columns"]], [row["cells"] for row in job.preview["rows"]]


def test_rows_copied_from_a_spreadsheet_are_pasted(staff) -> None:
    rows = 'Kundennr.\tFirma\r\nK-1\tNorthwind\r\nK-2\t"Zwei\r\nZeilen; ""so"""\r\n'
    answer = staff.post(URL, {"dataset": "clients", "source": "paste", "rows": rows})
    assert answer.status_code == 302
    job = Job.objects.get()
    assert (job.original_name, job.delimiter, job.total_records) == ("Pasted rows.tsv", "\t", 2)
    assert preview(job) == (["Kundennr.", "Firma"], [["K-1", "Northwind"], ["K-2", 'Zwei\nZeilen; "so"']])
    assert job.artifacts.get().filename == "Pasted rows.tsv"


def test_pasted_text_may_be_csv_json_or_xml(staff) -> None:
    for rows, kind in (
        ("a;b\n1;2\n", "csv"),
        ('[{"a": 1}, {"a": 2}]', "json"),
        ("<rows><row><a>1</a></row><row><a>2</a></row></rows>", "xml"),
    ):
        staff.post(URL, {"dataset": "clients", "source": "paste", "rows": rows})
        job = Job.objects.order_by("-id")[0]
        assert (job.file_type, job.original_name) == (kind, f"Pasted rows.{kind}")
        assert not any("is called" in notice for notice in job.preview["notices"])


def test_the_script_sends_pasted_rows_as_a_file(staff) -> None:
    file = SimpleUploadedFile("Pasted rows", b"a,b\n1,2\n")
    answer = staff.post(URL, {"dataset": "clients", "source": "paste", "rows": file}, headers=SCRIPT)
    job = Job.objects.get()
    assert answer.json() == {"location": f"/admin/jobs/import/{job.number}/file/"}
    assert preview(job) == (["a", "b"], [["1", "2"]])


def test_what_cannot_be_taken_is_said_where_it_was_entered(staff, settings) -> None:
    settings.HUB_IMPORT_MAX_BYTES = 20
    for given, said in (
        ({"source": "paste", "rows": " \n"}, "Paste some rows first"),
        ({"source": "paste", "rows": "a,b\n" * 10}, "The file is larger than"),
        ({"source": "paste", "rows": "<html>x</html>"}, "is a web page"),
        ({"source": "address"}, "Enter the address first."),
        ({"source": "address", "url": "https://127.0.0.1/x.csv"}, "leads to an address that is not public"),
        ({}, "Choose a file first."),
    ):
        page = text_of(staff.post(URL, {"dataset": "clients", **given}))
        assert said in page.replace("&#x27;", "'"), given
        answer = staff.post(URL, {"dataset": "clients", **given}, headers=SCRIPT)
        assert answer.status_code == 422
        assert said in answer.json()["error"]
    assert not Job.objects.exists()


def test_places_are_only_for_those_who_may_see_them(staff, organization) -> None:
    assert "No place is known yet." in text_of(staff.get(URL))
    assert staff.get(f"{URL}place/").status_code == 403
    clerk = signed_in(organization, email="clerk@example.com")
    assert 'value="place"' not in text_of(clerk.get(URL))
    assert clerk.post(f"{URL}place/", {"place": "loc_x"}).status_code == 403
    given = {"dataset": "clients", "source": "place", "place": "loc_nonsense", "path": "a.csv"}
    answer = clerk.post(URL, given, headers=SCRIPT)
    assert "Select a valid choice" in answer.json()["error"]
