"""Columns of a file that fit no field become fields of the organization's own dataset."""

from __future__ import annotations

import pytest
from django.urls import reverse

from apps.audit.models import AuditEntry
from apps.jobs.models import Job
from apps.jobs.services import new_fields, work
from apps.records import selectors
from apps.records.models import Dataset
from apps.records.services import datasets
from apps.tenants.roles import Role
from tests.jobs.conftest import ADA, run
from tests.jobs.test_admin import matched, signed_in, text_of

FILE = (
    "Nr;Größe (cm);Bemerkung;Geprüft am;Kunden-PLZ\n"
    "1;1,80;gut;13.02.2024;01067\n"
    "2;2,05;naja;14.02.2024;50667\n"
)


@pytest.fixture
def visits(organization) -> Dataset:
    return datasets.define(
        organization=organization,
        slug="visits",
        name="Visits",
        fields=[{"name": "nr", "type": "text", "label": "Nr"}, {"name": "note", "type": "text"}],
        key_field="nr",
        actor=ADA,
    )


@pytest.fixture
def developer(organization):
    return signed_in(organization, Role.DEVELOPER)


def columns_url(job: Job) -> str:
    return reverse("admin:jobs_import_columns", args=[job.number])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "", "-20"], "integer"),
        (["00501", "12"], "text"),
        (["12345678901234567", "1"], "text"),
        (["1.5", "2"], "decimal"),
        (["1.234,56", "0,5"], "decimal"),
        (["yes", "No"], "boolean"),
        (["1", "0"], "integer"),
        (["2024-02-01", "2024-12-31"], "date"),
        (["13.02.2024", "01.03.2024"], "date"),
        (["2024-02-01T10:00:00Z"], "datetime"),
        (["a@example.com"], "email"),
        (["https://example.com/x"], "url"),
        (["1", "two"], "text"),
        (["", " "], "text"),
    ],
)
def test_the_type_is_proposed_from_the_values(values, kind) -> None:
    assert new_fields.type_of(values) == kind


def test_names_are_identifiers_of_their_own() -> None:
    taken = {"groesse_cm"}
    assert new_fields.name_of("Größe (cm)", taken) == "groesse_cm_2"
    assert new_fields.name_of("ID", set()) == "id_2"
    assert new_fields.name_of("2. Straße", set()) == "field_2_strasse"
    assert new_fields.name_of("Имя", set()) == "field"
    assert len(new_fields.name_of("x" * 200, set())) == 60


def test_columns_are_added_as_fields_and_imported(developer, upload, visits) -> None:
    job = upload(FILE, dataset=visits)
    page = text_of(developer.get(columns_url(job)))
    assert 'value="Größe (cm)"' in page
    assert '<option value="decimal" selected>' in page
    given = matched(
        job,
        **{
            "c1-target": "+", "c1-type": "decimal", "c1-label": "Height",
            "c2-target": "note",
            "c3-target": "+", "c3-type": "date", "c3-label": "",
            "c4-target": "+", "c4-type": "text", "c4-label": "Postcode",
        },
    )  # fmt: skip
    answer = developer.post(columns_url(job), given)
    assert answer.status_code == 302
    assert work.take(job_id=job.pk)
    visits = Dataset.objects.get(pk=visits.pk)
    assert [(f.name, f.type, f.label) for f in visits.fields][2:] == [
        ("height", "decimal", "Height"),
        ("geprueft_am", "date", "Geprüft am"),
        ("postcode", "text", "Postcode"),
    ]
    job = Job.objects.get(pk=job.pk)
    assert (job.report["created"], job.report["wrong"]) == (2, 0)
    run(job)
    first = selectors.live(visits).get(key="1")
    assert first.data == {
        "nr": "1", "note": "gut", "height": "1.80", "geprueft_am": "2024-02-13", "postcode": "01067",
    }  # fmt: skip
    assert AuditEntry.objects.filter(action="dataset.changed").count() == 1


def test_the_sample_shows_what_the_new_field_would_hold(developer, upload, visits) -> None:
    job = upload(FILE, dataset=visits)
    url = reverse("admin:jobs_import_sample", args=[job.number])
    given = {"column": "Geprüft am", "target": "+", "type": "date", "propose": "1"}
    seen = developer.post(url, given).json()
    assert seen["transforms"] == "date('%d.%m.%Y')"
    assert seen["values"][0]["becomes"]
    assert seen["fitting"] == 2


def test_nothing_is_added_when_anything_is_wrong(developer, upload, visits) -> None:
    job = upload(FILE, dataset=visits)
    given = {"c1-target": "+", "c1-type": "decimal", "c0-target": ""}
    page = text_of(developer.post(columns_url(job), matched(job, **given)))
    assert "tells the records apart" in page
    page = text_of(developer.post(columns_url(job), matched(job, **{"c1-target": "+", "c1-type": "soup"})))
    assert "“soup” is no field type" in page
    assert '<option value="+" selected>' in page
    assert len(Dataset.objects.get(pk=visits.pk).fields) == 2


def test_who_may_not_define_datasets_is_not_offered_it_and_builtin_ones_say_why(
    organization, developer, upload, visits, clients
) -> None:
    job = upload(FILE, dataset=visits)
    clerk = signed_in(organization, email="clerk@example.com")
    assert "Add as a new field" not in text_of(clerk.get(columns_url(job)))
    given = matched(job, **{"c1-target": "+", "c1-type": "text"})
    assert clerk.post(columns_url(job), given).status_code == 403
    builtin = upload("external_id;Schuhgröße\n1;42\n")
    page = text_of(developer.get(columns_url(builtin)))
    assert "No field can be added to Clients: it is a built-in dataset" in page
    page = text_of(developer.post(columns_url(builtin), matched(builtin, **{"c1-target": "+"})))
    assert "is a built-in dataset" in page
    assert len(Dataset.objects.get(pk=visits.pk).fields) == 2
