"""What apps prepare for organizations, new and old."""

from __future__ import annotations

from apps.records.models import Dataset
from apps.tenants.services import organizations


def test_an_upgrade_gives_old_organizations_what_new_ones_have(db):
    organization = organizations.create(name="Northwind")
    Dataset.objects.filter(organization=organization, slug__in=["orders", "tasks"]).delete()
    kept = Dataset.objects.get(organization=organization, slug="clients")

    assert organizations.prepare_all() >= 1

    slugs = set(Dataset.objects.filter(organization=organization).values_list("slug", flat=True))
    assert {"orders", "tasks", "clients"} <= slugs
    assert Dataset.objects.get(organization=organization, slug="clients").pk == kept.pk
