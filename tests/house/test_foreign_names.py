"""Bodies and filters that name what belongs to another organization: as if there were no such thing.

Each name is given twice: one's own, which is taken, and the other organization's, which is not. Both are of
rows that look alike, so that whose they are is all that tells them apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from rest_framework.test import APIClient

from apps.apikeys.services import keys
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM
from apps.tenants.services import organizations
from tests.house.samples import Maker

HOOK = {"name": "W", "url": "https://93.184.216.34/x", "events": ["*"]}
HALF_HOURLY = {"name": "N", "dataset": "clients", "schedule_type": "interval", "interval_minutes": 30}
SENT, FETCHED = ({**HALF_HOURLY, "job_type": job_type} for job_type in ("export", "import"))
EXPORT = {"dataset": "clients", "format": "csv"}
EVERYTHING: dict[str, Any] = {
    "actor": SYSTEM, "scopes": ["*:*"], "permissions": keys.ALL_PERMISSIONS, "never_expires": True,
}  # fmt: skip
Ask = Callable[[Any, str], Any]


def _posted(address: str, body: dict[str, Any], name: str) -> Ask:
    """A POST whose body gives the reference as `name`."""
    return lambda c, ref: c.post(f"/api/v1/{address}", {**body, name: ref}, format="json")


def _to_a_place(c: Any, ref: str) -> Any:
    destination = {"kind": "location", "location": ref, "path": "x.csv"}
    return c.post("/api/v1/job-schedules", {**SENT, "destinations": [destination]}, format="json")


def _by_a_mapping(c: Any, ref: str) -> Any:
    body = {**FETCHED, "source": c.place, "mapping": ref}
    return c.post("/api/v1/job-schedules", body, format="json")


def _limited(c: Any, ref: str) -> Any:
    body = {"requests_per_minute": 5}
    return c.put(f"/api/v1/security/rate-limits/{ref}", body, format="json")


def _asked(address: str) -> Ask:
    return lambda c, ref: c.get(f"/api/v1/{address}={ref}")


CASES: dict[str, tuple[str, Ask]] = {
    "a webhook's project": ("tenants.Project", _posted("webhooks", HOOK, "project")),
    "a schedule's place": ("jobs.FileLocation", _posted("job-schedules", FETCHED, "source")),
    "a schedule's mapping": ("records.Mapping", _by_a_mapping),
    "a schedule's destination": ("jobs.FileLocation", _to_a_place),
    "a schedule's template": ("jobs.ExportTemplate", _posted("job-schedules", SENT, "export_template")),
    "an export's template": ("jobs.ExportTemplate", _posted("export", EXPORT, "template")),
    "a key's limits": ("apikeys.APIKey", _limited),
    "a key's usage": ("apikeys.APIKey", _asked("security/analytics?key")),
    "a key in the file of usage": ("apikeys.APIKey", _asked("security/analytics/file?key")),
    "an application's usage": ("apikeys.Application", _asked("security/analytics?application")),
}


@pytest.mark.parametrize("name", CASES)
def test_a_foreign_name_is_no_name(name: str, db: None) -> None:
    label, ask = CASES[name]
    model: Any = apps.get_model(label)
    acme, globex = (organizations.create(name=each) for each in ("Acme", "Globex"))
    client: Any = APIClient(raise_request_exception=False)
    issued = keys.create(organization=acme, name="mine", **EVERYTHING)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {issued.secret}")
    mine, theirs = (_row(each, model) for each in (acme, globex))
    client.place = _ref(_row(acme, apps.get_model("jobs.FileLocation")))
    own = ask(client, _ref(mine))
    assert own.status_code < 300, (own.status_code, own.content)
    before = _counts(globex)
    foreign = ask(client, _ref(theirs))
    assert foreign.status_code in (404, 422), (foreign.status_code, foreign.content)
    assert _counts(globex) == before


def _row(organization: Organization, model: Any) -> Any:
    if model._meta.label == "apikeys.APIKey":
        return keys.create(organization=organization, name="K", actor=SYSTEM).key
    values: dict[str, Any] = {}
    names = {field.name for field in model._meta.concrete_fields}
    if "dataset" in names:
        dataset = apps.get_model("records.Dataset").objects.get(organization=organization, slug="clients")
        values["dataset"] = dataset
    if model._meta.label == "jobs.ExportTemplate":
        values["options"] = {}
    return Maker(organization).make(model, **values)


def _ref(row: Any) -> str:
    # Not its number: those are counted in each organization, so both may have the same.
    return getattr(row, "client_id", "") or row.public_id


def _counts(organization: Organization) -> dict[str, int]:
    return {
        model._meta.label: model._base_manager.filter(organization=organization).count()
        for model in apps.get_models()
        if any(field.name == "organization" for field in model._meta.concrete_fields)
    }
