"""Every form of the admin that adds or changes something leaves the one right entry in the audit log: who,
what, before and after, and nothing of a secret."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from importlib import import_module
from typing import Any

import pytest
from django.db import models
from django.test import Client

from apps.apikeys.models import APIKey, ApiVersion, Application, RateLimit
from apps.audit.models import AuditEntry
from apps.connectors.models import Integration
from apps.events.models import OwnEventType
from apps.jobs.models import FileLocation, Job, JobSchedule
from apps.records.models import Dataset, Mapping, Record
from apps.tenants.models import Membership, Organization, Project
from apps.tenants.services import organizations
from apps.webhooks.models import InboundReceiver, Replay, WebhookEndpoint
from tests.house.test_admin import REGISTERED, _quoted, address, label, registered
from tests.people import member, signed_in
from tests.records.admin.test_definitions import PLATE, VEHICLES, rows

SECRETS = ("pa55-word-secret", "t0psecret-header")


class _Form(HTMLParser):
    """The fields of a page's form as a browser would send them back untouched."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.data: dict[str, Any] = {}
        self._select: str | None = None
        self._first: str | None = None
        self._text: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        name = found.get("name")
        if tag == "input" and name and found.get("type") not in ("submit", "button", "file"):
            if found.get("type") in ("checkbox", "radio"):
                if "checked" in found:
                    self._add(name, found.get("value") or "on")
            else:
                self._add(name, found.get("value") or "")
        elif tag == "select":
            self._select, self._first = name, None if "multiple" in found else ""
        elif tag == "option" and self._select:
            value = found.get("value") or ""
            if "selected" in found:
                self._add(self._select, value)
            elif self._first == "":
                self._first = value
        elif tag == "textarea" and name:
            self._text = name
            self.data[name] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "select" and self._select:
            # A browser shows, and sends, the first choice where none is chosen.
            if self._first is not None:
                self.data.setdefault(self._select, self._first)
            self._select = None
        elif tag == "textarea":
            self._text = None

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self.data[self._text] = (self.data[self._text] + data).removeprefix("\n")

    def _add(self, name: str, value: str) -> None:
        if name in self.data:
            before = self.data[name]
            self.data[name] = [*before, value] if isinstance(before, list) else [before, value]
        else:
            self.data[name] = value


@dataclass(frozen=True)
class Case:
    """What is typed into a form, the entry that it leaves, and what that tells: field → [before, after]."""

    typed: dict[str, Any]
    action: str
    changes: dict[str, Any] = field(default_factory=dict)
    whole: bool = False  # what is typed is all that is sent: rows that scripts add are not in the page


ROWS = {**rows(PLATE), "key_field": "0", "title_field": "0"}
ADDED: dict[type[models.Model], Case] = {
    APIKey: Case(
        {"name": "Shop", "access": "chosen", "chosen": ["records:read"], "can_read": "on"}, "api_key.created"
    ),
    Application: Case(
        {"name": "Shop", "flows": ["client_credentials"], "scopes": "records:read"}, "application.created"
    ),
    RateLimit: Case({"subject_kind": "organization", "per_minute": "60"}, "rate_limit.changed"),
    OwnEventType: Case(
        {"name": "custom.paid", "schema": '{"type": "object"}', "sample": "{}", "is_active": "on"},
        "event_type.created",
    ),
    Membership: Case({"email": "new@acme.example", "role": "staff"}, "member.invited"),
    Project: Case({"name": "North", "slug": "north", "is_active": "on"}, "project.created"),
    WebhookEndpoint: Case(
        {
            "name": "Orders", "url": "http://127.0.0.1:9/hook", "events": "custom.*", "start": "active",
            "auth_type": "basic", "auth_username": "ada", "auth_secret": SECRETS[0],
            "custom_headers": f"X-Api-Token: {SECRETS[1]}",
        },
        "webhook.created",
    ),
    Dataset: Case({**VEHICLES, **ROWS}, "dataset.created", whole=True),
    FileLocation: Case(
        {
            "name": "Vault", "kind": "https", "base_url": "https://files.example.com/",
            "username": "ada", "secret": SECRETS[0],
        },
        "file_location.created",
        {"kind": ["", "https"]},
    ),
}  # fmt: skip
CHANGED: dict[type[models.Model], Case] = {
    APIKey: Case({"description": "For the till"}, "api_key.changed", {"description": ["", "For the till"]}),
    Application: Case({"name": "Till"}, "application.updated", {"name": ["Shop", "Till"]}),
    RateLimit: Case({"per_minute": "30"}, "rate_limit.changed"),
    OwnEventType: Case({"description": "Paid"}, "event_type.updated", {"description": ["", "Paid"]}),
    Membership: Case({"role": "developer"}, "member.changed", {"role": ["staff", "developer"]}),
    Project: Case({"name": "South"}, "project.updated", {"name": ["North", "South"]}),
    WebhookEndpoint: Case({"name": "Bills"}, "webhook.updated", {"name": ["Orders", "Bills"]}),
    Dataset: Case({**VEHICLES, **ROWS, "name": "Cars"}, "dataset.changed", whole=True),
    FileLocation: Case({"name": "Safe"}, "file_location.updated", {"name": ["Vault", "Safe"]}),
}
# What is added or changed on pages of its own, and the tests that walk them.
PAGES = "tests.house.test_admin_pages"
ELSEWHERE: dict[type[models.Model], str] = {
    Integration: f"{PAGES}:test_a_connection",
    Mapping: f"{PAGES}:test_a_mapping",
    Record: f"{PAGES}:test_a_record",
    InboundReceiver: f"{PAGES}:test_an_inbound_address",
    Job: f"{PAGES}:test_an_order_of_an_export",
    JobSchedule: f"{PAGES}:test_a_schedule",
    Replay: f"{PAGES}:test_sending_again",
    ApiVersion: f"{PAGES}:test_a_version_of_the_api",
    Organization: f"{PAGES}:test_an_organization",
}


@pytest.fixture
def acme(db: None, settings: Any) -> Organization:
    settings.HUB_OUTBOUND_ALLOW, settings.HUB_ALLOW_HTTP = ["127.0.0.0/8"], True
    return organizations.create(name="Acme")


@pytest.fixture
def owner(acme: Organization) -> Client:
    return signed_in(member(acme, "owner"))


def opened(client: Client, path: str) -> dict[str, Any]:
    answer = client.get(path)
    assert answer.status_code == 200, (path, answer.status_code)
    return _Form(answer.content.decode()).data


def sent(client: Client, path: str, case: Case) -> list[AuditEntry]:
    """The entries that sending the form leaves."""
    data = {**({} if case.whole else opened(client, path)), **case.typed}
    known = set(AuditEntry.objects.values_list("pk", flat=True))
    answer = client.post(path, {name: value for name, value in data.items() if value is not None})
    assert answer.status_code in (200, 302), answer.status_code
    new = [entry for entry in AuditEntry.objects.order_by("id") if entry.pk not in known]
    assert new, _mistakes(answer)
    return new


def _mistakes(answer: Any) -> Any:
    context = answer.context or {}
    return (
        context["adminform"].form.errors
        if "adminform" in context
        else re.findall(r'class="[^"]*error[^"]*"[^>]*>([^<]+)', answer.content.decode())
    )


def right(entries: list[AuditEntry], case: Case, acme: Organization) -> AuditEntry:
    assert [entry.action for entry in entries] == [case.action]
    (entry,) = entries
    assert (entry.actor_kind, entry.actor_ref) == ("user", "owner@acme.example")
    assert entry.organization_id == acme.pk
    assert entry.ip == "127.0.0.1"
    assert entry.request_id
    assert entry.object_ref
    assert entry.object_label
    told = json.dumps(entry.changes)
    assert not any(secret in told for secret in SECRETS)
    for name, pair in case.changes.items():
        assert entry.changes[name] == pair
    return entry


def adding(model: type[models.Model]) -> str:
    return address(model, "add")


def test_every_form_of_the_admin_is_in_the_tables(owner: Client, acme: Organization) -> None:
    """What may be added by somebody who may do everything is in one table or the other."""
    for place in ELSEWHERE.values():
        module, _, name = place.partition(":")
        assert callable(getattr(import_module(module), name)), place
    operator = signed_in(member(acme, "owner", email="op@example.com", is_superuser=True))
    request = operator.get("/admin/").wsgi_request
    for model in REGISTERED:
        found = registered(model)
        if found.has_add_permission(request):
            assert model in ADDED or model in ELSEWHERE, f"Adding {label(model)} is not walked."
        if found.has_change_permission(request):
            assert model in CHANGED or model in ELSEWHERE, f"Changing {label(model)} is not walked."


@pytest.mark.parametrize("model", ADDED, ids=label)
def test_adding_and_changing_leave_one_entry_each(
    model: type[models.Model], owner: Client, acme: Organization
) -> None:
    known = set(model._base_manager.values_list("pk", flat=True))
    case = ADDED[model]
    entry = right(sent(owner, adding(model), case), case, acme)
    (row,) = [row for row in model._base_manager.all() if row.pk not in known]
    if "name" in entry.changes:
        assert case.typed["name"] in entry.changes["name"]

    path = address(model, "change", _quoted(registered(model), row))
    path = owner.get(path).headers.get("Location", path)  # some have a page of their own
    changed = right(sent(owner, path, CHANGED[model]), CHANGED[model], acme)
    assert changed.object_ref == entry.object_ref
    assert changed.changes

    # Sending a form in which nothing was changed is no deed.
    count = AuditEntry.objects.count()
    owner.post(path, CHANGED[model].typed if CHANGED[model].whole else opened(owner, path))
    assert AuditEntry.objects.count() == count


@pytest.mark.parametrize("model", ADDED, ids=label)
def test_what_is_refused_leaves_no_entry(
    model: type[models.Model], owner: Client, acme: Organization
) -> None:
    auditor = signed_in(member(acme, "auditor"))
    data = ADDED[model].typed
    count, rows_before = AuditEntry.objects.count(), model._base_manager.count()
    assert auditor.post(adding(model), data).status_code == 403
    assert (AuditEntry.objects.count(), model._base_manager.count()) == (count, rows_before)
