"""What imports learned can be looked at, searched and forgotten."""

from __future__ import annotations

import pytest
from django.urls import reverse

from apps.audit.models import AuditEntry
from apps.jobs.models import Cause, RememberedMapping
from apps.jobs.services import imports, meanings, remembered
from apps.tenants.roles import Role
from apps.tenants.services import organizations
from tests.jobs.conftest import ADA, checked, configured, run
from tests.jobs.test_admin import signed_in, text_of

FILE = "external_id;Größe;name;status\nC1;x;Northwind;Läuft\nC2;y;Contoso;Ruht\n"
LIST = "/admin/jobs/rememberedmapping/"


@pytest.fixture
def found(upload) -> RememberedMapping:
    job = checked(configured(upload(FILE)))
    cause = Cause.objects.get(job=job, field="status")
    job = meanings.match(job=job, actor=ADA, cause=cause, meant={"Läuft": "active", "Ruht": meanings.BLANK})
    run(job)
    return RememberedMapping.objects.get()


def page_of(found: RememberedMapping, view: str = "change") -> str:
    return reverse(f"admin:jobs_rememberedmapping_{view}", args=[found.public_id])


def test_it_is_listed_searched_and_shown(organization, found) -> None:
    staff = signed_in(organization)
    assert "external_id, Größe, name, status" in text_of(staff.get(LIST))
    for words, is_there in (("größe NAME", True), ("läuft", True), ("active", True), ("nothing", False)):
        page = text_of(staff.get(LIST, {"q": words}))
        assert ("external_id, Größe, name, status" in page) is is_there, words
    page = text_of(staff.get(page_of(found)))
    assert "Läuft" in page
    assert "(blank)" in page
    assert "Not imported: Größe" in page


def test_a_meaning_is_forgotten_and_the_next_file_asks_again(organization, found, upload) -> None:
    staff = signed_in(organization)
    given = {"target": "status", "value": "Läuft"}
    assert staff.post(page_of(found, "value"), given).status_code == 302
    assert [one.value for one in _meanings(found)] == ["Ruht"]
    job = checked(configured(upload(FILE.replace("Northwind", "Fabrikam"))))
    assert [cause.values for cause in Cause.objects.filter(job=job)] == [[["Läuft", 1]]]
    entry = AuditEntry.objects.get(action="remembered_mapping.changed")
    assert entry.changes == {"status: Läuft": ["active", None]}
    assert "is not replaced (any more)" in text_of(staff.post(page_of(found, "value"), given, follow=True))
    staff.post(page_of(found, "value"), {"target": "status", "value": "Ruht"})
    found.refresh_from_db()
    assert all("transforms" not in item for item in found.spec["fields"])


def _meanings(found: RememberedMapping):

    found.refresh_from_db()
    return list(remembered.meanings_of(found))


def test_a_matching_is_forgotten_with_an_entry(organization, found, upload) -> None:
    staff = signed_in(organization)
    assert imports.propose(job=upload(FILE)).how == "remembered"
    assert staff.post(page_of(found, "forget"), {"_confirmed": "1"}).status_code == 302
    assert not RememberedMapping.objects.exists()
    assert imports.propose(job=upload(FILE)).how == "suggested"
    entry = AuditEntry.objects.get(action="remembered_mapping.deleted")
    assert entry.changes["columns"][0] == ["external_id", "Größe", "name", "status"]


def test_auditors_look_only_and_others_see_nothing(organization, found) -> None:
    auditor = signed_in(organization, Role.AUDITOR)
    assert "Forget" not in text_of(auditor.get(page_of(found)))
    given = {"target": "status", "value": "Läuft"}
    assert auditor.post(page_of(found, "value"), given).status_code == 403
    assert auditor.post(page_of(found, "forget"), {"_confirmed": "1"}).status_code == 403
    stranger = signed_in(organizations.create(name="Contoso"), email="other@example.com")
    assert "Größe" not in text_of(stranger.get(LIST))
    assert stranger.get(page_of(found)).status_code == 302
    assert stranger.post(page_of(found, "value"), given).status_code == 404
    assert RememberedMapping.objects.count() == 1
