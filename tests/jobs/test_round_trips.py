"""What is exported and imported again into an empty dataset is the same: every format and type of field."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.base import ContentFile

from apps.jobs.services import downloads, exports, uploads, work
from apps.records.fields import FIELD_TYPES
from apps.records.models import Dataset, Record
from apps.records.selectors import dataset_of
from apps.records.services import datasets
from apps.records.services.upsert import upsert
from apps.tenants.models import Organization
from apps.tenants.services import organizations
from tests.jobs.conftest import ADA, configured, run

pytestmark = pytest.mark.django_db

FIELDS: list[dict[str, Any]] = [
    {"name": "code", "type": "text", "required": True, "unique": True},
    {"name": "whole_number", "type": "integer"},
    {"name": "exact_number", "type": "decimal", "decimal_places": 4},
    {"name": "price", "type": "money"},
    {"name": "is_open", "type": "boolean"},
    {"name": "details", "type": "json"},
    {"name": "notes", "type": "text"},
    {"name": "client", "type": "reference", "reference": "clients"},
    {"name": "email", "type": "email"},
    {"name": "homepage", "type": "url"},
    {"name": "phone", "type": "phone"},
    {"name": "stage", "type": "choice", "choices": [["new", "New one"], ["won", "Won, at last"]]},
    {"name": "day", "type": "date"},
    {"name": "moment", "type": "datetime"},
]
NESTED: list[Any] = [
    {"a": {"b": [1, {"c": None}]}, "amount": 1.5, "naïve": "ü"}, {"amount": "1", "currency": "EUR"},
    ["x", 2, [True, None]], [], {}, "plain text", {"deep.er": {"": 0}},
]  # fmt: skip
NUMBERS = [0, -1, 7, 9_007_199_254_740_993, -9_223_372_036_854_775_808, 42, 1_000_000]
TEXTS = [
    "=1+1", "'=quoted", "00501", 'a "quoted", one', "two\nlines", " 1e5", "NULL",
]  # fmt: skip
MOMENTS = [
    "2026-03-29T01:30:00Z", "1999-12-31T23:59:59.123456Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z",
    "1890-01-01T00:00:00Z", "2038-01-19T03:14:08Z", "2026-01-01T00:00:00Z",
]  # fmt: skip


def row(n: int) -> dict[str, Any]:
    return {
        "code": f"0{n}",
        "whole_number": NUMBERS[n],
        "exact_number": ["0.0001", "-12345678901234567890.5", "1.5", "0", "-0.25", "1000", "7.1"][n],
        "price": {"amount": ["12.30", "-5", "0.1", "1e3", "7", "99999999.99", "3"][n], "currency": "EUR"},
        "is_open": bool(n % 2),
        "details": NESTED[n],
        "notes": TEXTS[n],
        "client": f"C{n}",
        "email": f"ada+{n}@example.com",
        "homepage": f"https://example.com/?a={n}&b=%20",
        "phone": f"+4930123450{n}",
        "stage": ["new", "won"][n % 2],
        "day": [
            "2026-02-28",
            "1900-02-28",
            "1899-12-31",
            "2026-03-04",
            "2024-02-29",
            "9999-12-31",
            "0001-01-01",
        ][n],
        "moment": MOMENTS[n],
    }


ROWS = [*(row(n) for n in range(len(TEXTS))), {"code": "empty"}]


def things_of(organization: Organization) -> Dataset:
    """An empty dataset with all types of fields, and the clients that its references name."""
    clients = [{"external_id": f"C{n}", "name": f"Client {n}"} for n in range(len(TEXTS))]
    upsert(dataset=dataset_of(organization, "clients"), rows=clients, actor=ADA)
    return datasets.define(
        organization=organization, slug="things", name="Things", key_field="code", title_field="code",
        fields=FIELDS, actor=ADA,
    )  # fmt: skip


def stored(dataset: Dataset) -> dict[str, Any]:
    rows = Record.objects.filter(dataset=dataset, deleted_at=None)
    return {
        data["code"]: {name: value for name, value in data.items() if value is not None}
        for data in rows.values_list("data", flat=True)
    }


def test_every_type_of_field_is_here() -> None:
    assert {*FIELD_TYPES} == {field["type"] for field in FIELDS}


@pytest.mark.parametrize(
    ("format", "settings"),
    [
        ("csv", {}),
        ("csv", {"compression": "zip", "include_audit_trail": True}),
        ("csv", {"delimiter": ";", "encoding": "utf-16", "quote_all": True, "labels": True}),
        ("xlsx", {}),
        ("xlsx", {"labels": True}),
        ("json", {}),
        ("json", {"labels": True, "compression": "zip"}),
        ("ndjson", {"compression": "gzip"}),
        ("xml", {}),
    ],
)
def test_what_comes_back_is_what_was_exported(format: str, settings: dict[str, Any]) -> None:
    there, here = (organizations.create(name=name) for name in ("There", "Here"))
    source, target = things_of(there), things_of(here)
    made = upsert(dataset=source, rows=ROWS, actor=ADA)
    assert [f"{p.row} {p.field}: {p.message}" for p in made.problems] == []
    assert made.created == len(ROWS)
    job = exports.create(organization=there, dataset=source, actor=ADA, format=format, **settings)
    assert work.take(job_id=job.pk)
    output = downloads.output_of(job)
    with downloads.open_artifact(output) as file:
        content = ContentFile(file.read(), name=output.filename)

    again = run(configured(uploads.receive(organization=here, dataset=target, file=content, actor=ADA)))

    assert (again.status, again.failed_records, again.created_count) == ("completed", 0, len(ROWS))
    assert stored(target) == stored(source)
