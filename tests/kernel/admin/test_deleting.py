"""Deleting asks first, counts what goes along, and says what is in the way."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import escape

from apps.connectors.models import Integration
from apps.kernel.admin.dependants import counted, dependants_of
from apps.records.models import Dataset, Mapping
from apps.tenants.models import Membership, Organization, Project
from apps.tenants.services import organizations
from tests.house.samples import Maker
from tests.people import member, signed_in


@pytest.fixture
def acme(db: None) -> Organization:
    return organizations.create(name="Acme")


@pytest.fixture
def owner(acme: Organization) -> Client:
    return signed_in(member(acme, "owner"))


@pytest.fixture
def project(acme: Organization) -> Project:
    return Project.objects.create(organization=acme, name="North", slug="north")


def delete_url(project: Project) -> str:
    return reverse("admin:tenants_project_delete", args=[project.public_id])


def use(acme: Organization, project: Project, name: str) -> Any:
    made = Maker(acme)
    made._made[Dataset] = Dataset.objects.get(organization=acme, slug="clients")
    return made.make(Integration, name=name, project=project)


def test_what_is_used_is_kept_and_its_users_are_named(
    owner: Client, acme: Organization, project: Project
) -> None:
    used = use(acme, project, "Shop")

    page = owner.get(delete_url(project)).content.decode()
    assert "“North” cannot be deleted" in page
    assert "1 integration" in page
    assert escape(str(used)) in page
    assert str(used) not in page
    owner.post(delete_url(project), {"post": "yes"})
    assert Project.objects.filter(pk=project.pk).exists()


def test_ticked_rows_are_deleted_after_a_page_that_asks(
    owner: Client, acme: Organization, project: Project
) -> None:
    kept = Project.objects.create(organization=acme, name="South", slug="south")
    page = reverse("admin:tenants_project_changelist")
    ticked = {"action": "delete_selected", "index": "0", "_selected_action": project.public_id}

    asked = owner.post(page, ticked).content.decode()
    assert "Delete 1 project?" in asked
    assert f'value="{project.public_id}"' in asked
    assert Project.objects.count() == 2

    owner.post(page, {**ticked, "post": "yes"})
    assert list(Project.objects.all()) == [kept]


def test_dependants_are_counted_not_loaded(acme: Organization) -> None:
    for n in range(30):
        member(acme, "staff", email=f"p{n}@example.com")

    with CaptureQueriesContext(connection) as queries:
        found = dependants_of(Organization.objects.filter(pk=acme.pk))

    assert "30 memberships" in found.taken
    assert any(line.endswith(" datasets") for line in found.blocking)
    assert len(found.examples) <= 8
    assert not any('"tenants_user"."email"' in q["sql"] for q in queries.captured_queries)


def test_counts_are_spoken() -> None:
    assert counted(Membership, 1) == "1 membership"
    assert counted(Mapping, 1204) == "1,204 mappings"
    assert counted(Mapping, 10_001) == "10,000+ mappings"
