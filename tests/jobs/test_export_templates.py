"""Exports that are kept under a name: ordered again, used by schedules, forgotten."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from apps.audit.models import AuditEntry
from apps.jobs.models import ExportTemplate, Job, JobSchedule
from apps.jobs.services import downloads, export_templates, schedule_runs, schedules, work
from apps.kernel.errors import Conflict, InvalidInput
from apps.records.services import records
from apps.tenants.services import organizations
from tests.jobs.conftest import ADA
from tests.jobs.schedules.test_api import client_of, post
from tests.people import member, signed_in

pytestmark = pytest.mark.django_db
OPTIONS = {"format": "ndjson", "columns": ["name"], "filters": {"status": "active"}, "ordering": "-name"}


@pytest.fixture(autouse=True)
def _clients(clients: Any) -> None:
    for key, name, status in (("1", "Ada", "active"), ("2", "Bob", "lead"), ("3", "Cid", "active")):
        values = {"external_id": key, "name": name, "status": status}
        records.create(dataset=clients, values=values, actor=ADA)


def text_of(job: Job) -> str:
    assert work.take(job_id=job.pk)
    with downloads.open_artifact(downloads.output_of(job)) as file:
        return file.read().decode("utf-8-sig")


def test_over_the_api_it_is_kept_changed_ordered_and_forgotten(organization: Any) -> None:
    client = client_of(organization)
    body = {"name": "Active ones", "dataset": "clients", "options": OPTIONS}
    made = post(client, "export-templates", body)
    assert (made["options"]["format"], made["options"]["filters"]) == ("ndjson", {"status": "active"})
    again = client.post("/api/v1/export-templates", body, format="json")
    assert (again.status_code, again.json()["errors"][0]["pointer"]) == (422, "/name")
    order = {"dataset": "clients", "template": made["id"]}
    number = post(client, "export", order, 202)["id"]
    assert text_of(Job.objects.get(number=number)) == '{"name":"Cid"}\n{"name":"Ada"}\n'
    number = post(client, "export", {**order, "format": "csv", "bom": False}, 202)["id"]
    assert text_of(Job.objects.get(number=number)) == "name\r\nCid\r\nAda\r\n"
    wrong = client.post("/api/v1/export", {**order, "dataset": "orders"}, format="json")
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/template")

    address = f"/api/v1/export-templates/{made['id']}"
    assert client.patch(address, {"name": "All"}, format="json").json()["name"] == "All"
    bad = client.patch(address, {"options": {"columns": ["nonsense"]}}, format="json")
    assert bad.status_code == 422
    stranger = client_of(organizations.create(name="Other"))
    assert stranger.get(address).status_code == 404
    assert stranger.post("/api/v1/export", order, format="json").status_code == 422
    assert client.get("/api/v1/export-templates?dataset=clients").json()["data"][0]["id"] == made["id"]
    assert client.delete(address).status_code == 204
    assert [*AuditEntry.objects.filter(action__startswith="export_template").values_list("action", flat=True)]


def test_a_schedule_exports_as_the_template_says_when_it_runs(organization: Any, clients: Any) -> None:
    template = export_templates.create(
        organization=organization, dataset=clients, name="Active", options=OPTIONS, actor=ADA
    )
    schedule = schedules.create(
        organization=organization, actor=ADA, job_type="export", dataset=clients, name="Nightly",
        schedule_type="interval", interval_minutes=60, export_template=template,
    )  # fmt: skip
    export_templates.update(template=template, actor=ADA, options={**OPTIONS, "columns": ["external_id"]})
    JobSchedule.objects.update(next_run_at=timezone.now() - dt.timedelta(minutes=1))
    assert schedule_runs.start_due() == 1
    assert schedule_runs.take(run_id=schedule.runs.get().pk)
    assert text_of(Job.objects.get()) == '{"external_id":"3"}\n{"external_id":"1"}\n'
    with pytest.raises(Conflict, match="Schedules use"):
        export_templates.delete(template=template, actor=ADA)
    assert ExportTemplate.objects.count() == 1
    assert not AuditEntry.objects.filter(action="export_template.deleted").exists()


def test_a_schedule_takes_no_template_of_another_dataset(organization: Any, clients: Any) -> None:
    from apps.records.selectors import dataset_of

    template = export_templates.create(
        organization=organization, dataset=clients, name="Active", options=OPTIONS, actor=ADA
    )
    with pytest.raises(InvalidInput) as caught:
        schedules.create(
            organization=organization, actor=ADA, job_type="export",
            dataset=dataset_of(organization, "orders"), name="Nightly", schedule_type="interval",
            interval_minutes=60, export_template=template,
        )  # fmt: skip
    assert caught.value.errors[0].pointer == "/export_template"


def test_the_form_of_an_export_keeps_a_template_and_begins_with_it(organization: Any, clients: Any) -> None:
    owner = signed_in(member(organization, "owner"))
    page = f"{reverse('admin:jobs_export_new')}?dataset=clients"
    values = {
        "columns": ["name"], "format": "xlsx", "delimiter": ",", "encoding": "utf-8", "name": "For the boss",
        "where-status": "active", "sort-0": "-name", "header-name": "Company", "_template": "1",
    }  # fmt: skip
    assert "Give the template a name." in owner.post(page, {**values, "name": ""}).content.decode()
    kept = owner.post(page, values)
    template = ExportTemplate.objects.get()
    assert kept.url.endswith(f"template={template.public_id}")
    assert (template.name, template.options["format"], template.options["headers"]) == (
        "For the boss", "xlsx", {"name": "Company"},
    )  # fmt: skip
    assert template.options["filters"] == {"status": "active"}
    owner.post(page, {**values, "format": "csv"})
    assert ExportTemplate.objects.get().options["format"] == "csv"
    shown = owner.get(kept.url)
    assert shown.context["which"]["where-status"].value() == "active"
    assert shown.context["how"]["format"].value() == "csv"
    assert [column.name for column in shown.context["columns"] if column.chosen] == ["name"]
    assert "For the boss" in owner.get(reverse("admin:jobs_jobschedule_add")).content.decode()
    forget = reverse("admin:jobs_export_template_delete", args=[template.public_id])
    for role in ("auditor", "staff"):
        assert signed_in(member(organization, role)).post(forget).status_code == 403
    assert owner.get(forget).status_code == 405
    assert owner.post(forget).status_code == 302
    assert Job.objects.count() == ExportTemplate.objects.count() == 0


def test_the_list_of_records_offers_files_to_fill_in(organization: Any) -> None:
    owner = signed_in(member(organization, "owner"))
    page = owner.get(reverse("admin:data_list", args=["clients"])).content.decode()
    for kind in ("xlsx", "csv"):
        address = reverse("admin:jobs_import_template", args=["clients", kind])
        assert address in page
        assert owner.get(address).status_code == 200
