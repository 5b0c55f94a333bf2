"""Forms of the admin at addresses of their own, and such as only operators see: each deed leaves the right
entry, as `test_admin_forms` asks of the others."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.apikeys.models import ApiVersion
from apps.audit.models import AuditEntry
from apps.connectors.models import Integration
from apps.connectors.services import integrations
from apps.jobs.models import JobSchedule
from apps.records.models import Change, Dataset, Mapping, Record
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM
from apps.webhooks.models import Replay
from apps.webhooks.services import endpoints
from tests.connectors.admin.test_pages import filled
from tests.house.test_admin import address
from tests.house.test_admin_forms import SECRETS, Case, acme, opened, owner, right, sent
from tests.jobs.schedules.test_admin import form as schedule_form
from tests.jobs.test_admin import EXPORT
from tests.people import member, signed_in
from tests.records.admin.test_definitions import KEY, MAPPING, NAME, rows

__all__ = ["acme", "owner"]  # fixtures


def unchanged(client: Client, path: str, data: dict[str, Any] | None = None) -> bool:
    """Whether sending a form as it is opened leaves nothing."""
    count = AuditEntry.objects.count()
    client.post(path, opened(client, path) if data is None else data)
    return AuditEntry.objects.count() == count


@pytest.fixture
def operator(acme: Organization) -> Client:
    return signed_in(member(acme, "owner", email="operator@acme.example", is_superuser=True))


def test_a_mapping(owner: Client, acme: Organization) -> None:
    written = MAPPING | rows(KEY, NAME)
    add = f"{address(Mapping, 'add')}?dataset=clients"
    entry = right(
        sent(owner, add, Case(written, "mapping.created", whole=True)), Case({}, "mapping.created"), acme
    )
    assert entry.changes["name"] == ["", "CRM"]
    row = Mapping.objects.get()
    path = address(Mapping, "change", row.pk)
    path = owner.get(path).headers.get("Location", path)
    case = Case({**written, "name": "ERP"}, "mapping.changed", {"name": ["CRM", "ERP"]}, whole=True)
    right(sent(owner, path, case), case, acme)
    assert unchanged(owner, path, case.typed)


def test_a_schedule(owner: Client, acme: Organization) -> None:
    clients = Dataset.objects.get(organization=acme, slug="clients")
    case = Case(schedule_form(clients, mail_to="a@example.com"), "job_schedule.created", whole=True)
    entry = right(sent(owner, address(JobSchedule, "add"), case), case, acme)
    path = address(JobSchedule, "change", JobSchedule.objects.get().number)
    case = Case(
        {"crontab": "0 7 * * *"}, "job_schedule.updated", {"crontab": ["30 6 * * mon-fri", "0 7 * * *"]}
    )
    changed = right(sent(owner, path, case), case, acme)
    assert (changed.object_ref, list(changed.changes)) == (entry.object_ref, ["crontab"])
    assert unchanged(owner, path)


class _Nobody:
    """A provider that is not there: what is saved is saved, and the test of the connection fails."""

    url = "http://127.0.0.1:9"


def test_a_connection(owner: Client, acme: Organization) -> None:
    add = reverse("admin:connectors_connect", args=["rest"])
    secret = {"credential__bearer__token": SECRETS[0]}
    created, tested = sent(owner, add, Case(filled(_Nobody, **secret), "", whole=True))
    right([created], Case({}, "integration.created", {"name": ["", "Shop"]}), acme)
    right([tested], Case({}, "integration.tested"), acme)
    path = reverse("admin:connectors_integration_edit", args=[Integration.objects.get().number])
    new = {"name": "Store", "credential__bearer__token": SECRETS[1], "_save": "1"}
    changed, *more = sent(owner, path, Case(filled(_Nobody, **new), "", whole=True))
    right([changed], Case({}, "integration.updated", {"name": ["Shop", "Store"]}), acme)
    assert changed.changes["credentials.token"] == "***"  # that there is another, and not which
    assert {entry.action for entry in more} <= {"integration.tested"}


def test_an_inbound_address(owner: Client, acme: Organization) -> None:
    made = integrations.create(
        organization=acme, actor=SYSTEM, connector="rest",
        values={
            "name": "Shop", "code": "shop", "auth_mode": "none",
            "config": {"base_url": "https://shop.example.com", "streams": []},
        },
        credentials={}, webhook_secret="first-secret-4711",
    )  # fmt: skip
    path = owner.get(reverse("admin:webhooks_inbound_of", args=[made.number]), follow=True).redirect_chain[
        -1
    ][0]
    case = Case({"scheme": "stripe", "max_retries": "3", "secret": SECRETS[0]}, "inbound_receiver.updated")
    secret, settings = sorted(sent(owner, path, case), key=lambda entry: entry.action, reverse=True)
    right([secret], Case({}, "integration.updated", {"webhook_secret": "***"}), acme)
    entry = right([settings], case, acme)
    assert entry.changes["max_retries"][1] == 3
    assert entry.changes["scheme"][1] == "stripe"
    assert "first-secret-4711" not in json.dumps(entry.changes)
    assert unchanged(owner, path)


def test_a_version_of_the_api(operator: Client, owner: Client) -> None:
    path = address(ApiVersion, "change", ApiVersion.objects.get(version="v1").public_id)
    (entry,) = sent(operator, path, Case({"note": "Move on"}, ""))
    assert (entry.action, entry.actor_ref) == ("api_version.updated", "operator@acme.example")
    assert entry.changes == {"note": ["", "Move on"]}
    assert entry.organization_id is None  # the same for all of them
    assert unchanged(operator, path)
    assert unchanged(owner, path, {**opened(operator, path), "note": "Not yours"})
    assert ApiVersion.objects.get(version="v1").note == "Move on"


def test_an_organization(owner: Client, operator: Client, acme: Organization) -> None:
    path = address(Organization, "change", acme.public_id)
    case = Case({"timezone": "Europe/Berlin"}, "organization.updated", {"timezone": ["UTC", "Europe/Berlin"]})
    entry = right(sent(owner, path, case), case, acme)
    assert list(entry.changes) == ["timezone"]
    assert unchanged(owner, path)
    new = sent(operator, address(Organization, "add"), Case({"name": "Next"}, ""))
    found = Organization.objects.get(name="Next")
    (founded,) = [entry for entry in new if entry.action == "organization.founded"]
    assert (founded.organization_id, founded.actor_ref) == (found.pk, "operator@acme.example")
    assert founded.changes["name"] == ["", "Next"]


def test_an_order_of_an_export(owner: Client, acme: Organization) -> None:
    created, *more = sent(owner, "/admin/jobs/export/?dataset=clients", Case(EXPORT, "", whole=True))
    right([created], Case({}, "job.created"), acme)
    assert {entry.action for entry in more} <= {"job.started"}
    for entry in more:
        right([entry], Case({}, "job.started"), acme)


def test_sending_again(owner: Client, acme: Organization) -> None:
    endpoint = endpoints.create(
        organization=acme, actor=SYSTEM, name="Orders", url="http://127.0.0.1:9/hook", events=["*"]
    )
    path = reverse("admin:webhooks_webhookendpoint_replay_since", args=[endpoint.number])
    asked = {"since": "2020-01-01T00:00", "what": "all", "_counted": "1", "_confirmed": "1"}
    owner.post("/admin/data/clients/add/", {"value-external_id": "C-1", "value-name": "Ann"})
    case = Case(asked, "webhook.replayed", whole=True)
    entry = right(sent(owner, path, case), case, acme)
    assert entry.object_ref == endpoint.number
    assert Replay.objects.get().number in json.dumps(entry.changes)


def test_a_record(owner: Client, acme: Organization) -> None:
    """Of records the history is kept with them: who, when, before and after."""
    owner.post("/admin/data/clients/add/", {"value-external_id": "C-1", "value-name": "Ann"})
    record = Record.objects.get()
    path = f"/admin/data/clients/{record.public_id}/"
    owner.post(path, {**opened(owner, path), "value-name": "Anna"})
    created, changed = Change.objects.select_related("origin").order_by("id")
    assert {(one.origin.kind, one.origin.label) for one in (created, changed)} == {
        ("user", "owner@acme.example")
    }
    assert (changed.before["name"], changed.written["name"]) == ("Ann", "Anna")
