"""The audit log in the admin: to read, to filter, never to change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from apps.audit.models import AuditEntry
from apps.audit.services import entries
from apps.tenants.models import Organization, Project
from apps.tenants.principals import SYSTEM, Actor
from apps.tenants.services import organizations
from tests.people import member, signed_in

LIST = "/admin/audit/auditentry/"
ADA = Actor("user", "ada@example.com", "Ada Lovelace", ip="192.0.2.7")


@pytest.fixture
def acme(db: None) -> Organization:
    return organizations.create(name="Acme")


@pytest.fixture
def auditor(acme: Organization) -> Client:
    return signed_in(member(acme, "auditor"))


@pytest.fixture
def entry(acme: Organization) -> AuditEntry:
    project = Project.objects.create(organization=acme, name="North", slug="north")
    entries.record(organization=acme, actor=SYSTEM, action="backup.finished")
    return entries.record(
        organization=acme,
        actor=ADA,
        action="project.updated",
        target=project,
        changes={"name": ["Old name", "North"], "api_token": ["abc-secret", "def-secret"]},
    )


def count(page: str) -> int:
    return page.count("data-row ")


def test_it_says_who_did_what_to_which_object_from_where(auditor: Client, entry: AuditEntry) -> None:
    page = auditor.get(LIST).content.decode()

    assert count(page) == 2
    for text in (
        "Ada Lovelace",
        "ada@example.com",
        "Project updated",
        "North",
        entry.object_ref,
        "192.0.2.7",
    ):
        assert text in page


def test_an_entry_shows_the_difference_and_no_secret(auditor: Client, entry: AuditEntry) -> None:
    page = auditor.get(f"{LIST}{entry.public_id}/change/").content.decode()

    assert '<span class="hub-diff-old">Old name</span>' in page
    assert '<span class="hub-diff-new">North</span>' in page
    assert entry.hash in page
    assert "-secret" not in page


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("who=user:ada@example.com", 1),
        ("who=user:nobody@example.com", 0),
        ("who=system:", 1),
        ("action=backup.finished", 1),
        ("object_type=project", 1),
        ("at_from=2020-01-01", 2),
        ("at_to=2020-01-01", 0),
        ("at_from=nonsense", 0),
    ],
)
def test_filters(auditor: Client, entry: AuditEntry, query: str, rows: int) -> None:
    assert count(auditor.get(f"{LIST}?{query}").content.decode()) == rows


def test_the_exact_object_is_found(auditor: Client, entry: AuditEntry) -> None:
    assert count(auditor.get(f"{LIST}?q={entry.object_ref}").content.decode()) == 1
    assert count(auditor.get(f"{LIST}?q={entry.object_ref[:-1]}").content.decode()) == 0


def test_filter_choices_are_those_of_the_organization(auditor: Client, entry: AuditEntry) -> None:
    other = organizations.create(name="Globex")
    entries.record(organization=other, actor=Actor("user", "eve@example.com"), action="secret.deed")

    page = auditor.get(LIST).content.decode()

    assert "ada@example.com" in page
    assert "eve@example.com" not in page
    assert "secret.deed" not in page
    assert auditor.get(f"{LIST}?changes__contains=secret").status_code == 400


def test_nobody_changes_or_deletes_an_entry(acme: Organization, entry: AuditEntry) -> None:
    operator = signed_in(member(acme, "owner", email="op@example.com", is_superuser=True))
    before = list(AuditEntry.objects.values())

    assert operator.get(f"{LIST}add/").status_code == 403
    assert operator.post(f"{LIST}{entry.public_id}/change/", {"action": "x"}).status_code == 403
    assert operator.post(f"{LIST}{entry.public_id}/delete/", {"post": "yes"}).status_code == 403
    operator.post(LIST, {"action": "delete_selected", "index": "0", "_selected_action": entry.public_id})

    assert list(AuditEntry.objects.values()) == before


def test_staff_do_not_read_it(acme: Organization, entry: AuditEntry) -> None:
    client = signed_in(member(acme, "staff"))

    assert client.get(LIST).status_code == 403
    assert client.get(f"{LIST}{entry.public_id}/change/").status_code == 403


def test_an_objects_history_page_reads_the_audit_log(acme: Organization, entry: AuditEntry) -> None:
    owner = signed_in(member(acme, "owner"))
    project = Project.objects.get()

    page = owner.get(reverse("admin:tenants_project_history", args=[project.public_id])).content.decode()

    assert "Project updated" in page
    assert "Ada Lovelace" in page
    assert '<span class="hub-diff-old">Old name</span>' in page


def test_changing_ones_password_is_written_down(acme: Organization) -> None:
    owner = signed_in(member(acme, "owner"))

    owner.post(
        "/admin/password_change/",
        {
            "old_password": "correct-horse-battery",
            "new_password1": "a-new-long-phrase",
            "new_password2": "a-new-long-phrase",
        },
    )

    entry = AuditEntry.objects.latest("id")
    assert (entry.action, entry.actor_ref) == ("user.password_changed", "owner@acme.example")
    assert entry.changes == {}


def test_the_list_says_whether_the_log_is_intact(
    auditor: Client, entry: AuditEntry, settings: Any, tmp_path: Path
) -> None:
    settings.HUB_HOME = tmp_path
    assert "Not verified yet" in auditor.get(LIST).content.decode()
    page = auditor.post(f"{LIST}verify/", follow=True).content.decode()
    assert "Intact" in page
    assert "all is as it was written" in page

    with connection.cursor() as cursor:
        cursor.execute("UPDATE audit_auditentry SET action = 'x' WHERE sequence = 2")
    page = auditor.post(f"{LIST}verify/", follow=True).content.decode()
    assert "Broken" in page
    assert "Entry 2 (x) is not as the hub wrote it." in page
    assert "The audit log is broken" in auditor.get("/admin/").content.decode()
    assert auditor.get(f"{LIST}verify/").status_code == 302


@pytest.mark.parametrize("format", ["csv", "ndjson"])
def test_what_is_filtered_can_be_taken_away(auditor: Client, entry: AuditEntry, format: str) -> None:
    other = organizations.create(name="Globex")
    entries.record(organization=other, actor=ADA, action="secret.deed")
    response = auditor.get(f"{LIST}export/{format}/?who=user:ada@example.com")
    text = response.getvalue().decode()  # type: ignore[attr-defined]
    assert "attachment" in response["Content-Disposition"]
    assert "project.updated" in text
    assert "backup.finished" not in text
    assert "secret.deed" not in text
    assert "abc-secret" not in text
    assert AuditEntry.objects.filter(action="audit.exported").count() == 1
    assert auditor.get(f"{LIST}export/exe/").status_code == 404


def test_staff_neither_verify_nor_export(acme: Organization, entry: AuditEntry) -> None:
    client = signed_in(member(acme, "staff"))
    assert client.post(f"{LIST}verify/").status_code == 403
    assert client.get(f"{LIST}export/csv/").status_code == 403
