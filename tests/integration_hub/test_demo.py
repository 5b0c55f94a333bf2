"""The demo: what it fills the hub with, and that a second run only mends."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings

from apps.apikeys.models import APIKey
from apps.connectors.models import Integration, SyncJob
from apps.jobs.models import Job
from apps.kernel.outbound import default_policy
from apps.records.models import Change
from apps.records.selectors import count, dataset_of
from apps.tenants.models import Membership, Organization
from apps.webhooks.models import Delivery, WebhookEndpoint
from integration_hub.demo import source
from integration_hub.demo.fill import NotAllowed, fill
from integration_hub.demo.fleet import BUSY, Fleet, stamp
from integration_hub.demo.state import State

START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package with the public data, in its shape and with few rows."""
    folder = tmp_path / "vega_datasets" / "_data"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise ImportError('It is read, never imported.')")
    with (folder / "airports.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["iata", "name", "city", "state", "country", "latitude", "longitude"])
        writer.writerows([code, f"{code} International", "Town", "TX", "USA", 31.5, -89.2] for code in BUSY)
    cars = [
        {
            "Name": f"ford model {n}",
            "Horsepower": None if n == 7 else 60 + n,
            "Cylinders": 4,
            "Weight_in_lbs": 3000,
            "Year": f"{1970 + n % 13}-01-01",
            "Origin": "USA",
        }
        for n in range(400)
    ]
    (folder / "cars.json").write_text(json.dumps(cars))
    monkeypatch.syspath_prepend(str(tmp_path))
    _forget()
    yield
    _forget()


def _forget() -> None:
    source.airports.cache_clear()
    source.cars.cache_clear()


@pytest.fixture
def young(monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    """A fleet system that began two hours ago."""
    path = Path(django_settings.HUB_HOME) / "demo.json"
    environ = {"HUB_HOME": str(django_settings.HUB_HOME)}
    kept = json.loads(Path(State.prepare(environ).path).read_text())
    kept["began"] = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
    path.write_text(json.dumps(kept))
    state = State.load(environ)
    assert state is not None
    yield state
    path.unlink()


def test_the_demo_fills_the_hub_once_and_then_only_mends(
    transactional_db: None, young: State, settings: Any
) -> None:
    settings.HUB_OUTBOUND_ALLOW = ["127.0.0.1/32"]
    said: list[str] = []

    fill(said.append)

    company = Organization.objects.get(name="Meridian Car Hire")
    assert (company.currency, company.allow_http) == ("USD", True)
    assert sorted(Membership.objects.filter(organization=company).values_list("role", flat=True)) == [
        "admin", "auditor", "developer", "owner", "staff",
    ]  # fmt: skip
    assert dict(Integration.objects.filter(organization=company).values_list("name", "status")) == {
        "Fleet system": "active",
        "Staff directory": "error",
        "HubSpot marketing": "pending_setup",
    }
    assert count(dataset_of(company, "clients")) == len(BUSY)
    assert count(dataset_of(company, "orders")) >= 80
    assert count(dataset_of(company, "inspections")) == 180
    jobs = {job.name: job for job in Job.objects.filter(organization=company)}
    assert (jobs["Price list"].status, jobs["Price list"].failed_records) == ("completed", 12)
    assert jobs["Summer prices"].undone_at is not None
    assert jobs["Handbooks"].status == "failed"
    assert jobs["Damage reports Q3"].status == "pending"
    assert jobs["Damage reports Q3"].report["wrong"] == 2
    assert set(Delivery.objects.values_list("status", flat=True)) >= {"delivered", "pending", "cancelled"}
    assert {"active", "suspended", "revoked"} == set(APIKey.objects.values_list("status", flat=True))
    assert sum("mara.lindqvist@meridian.example" in line for line in said) == 1
    assert sum("sk_live_" in line for line in said) == 1

    before = numbers()
    said.clear()
    fill(said.append)

    assert numbers() == before
    assert "is here already" in said[0]
    assert not any("sk_live_" in line for line in said)
    assert not any("shown only now" in line for line in said)


def numbers() -> dict[str, int]:
    """How much there is of what people set up."""
    counted = (Organization, Membership, Integration, Job, WebhookEndpoint, APIKey)
    undone = SyncJob.objects.exclude(integration__name="Fleet system").count()
    edits = Change.objects.filter(origin__kind="user").count()
    return {model.__name__: model._default_manager.count() for model in counted} | {
        "syncs": undone,
        "edits": edits,
    }


def test_the_demo_wants_its_one_address_and_no_other(db: None, young: State) -> None:
    with pytest.raises(NotAllowed, match=r"HUB_OUTBOUND_ALLOW=127\.0\.0\.1/32"):
        fill(lambda line: None)

    assert not Organization.objects.exists()
    assert default_policy().allow == ()


def test_the_fleet_tells_the_same_story_at_every_start_and_goes_on_telling() -> None:
    now = START + timedelta(hours=10)
    first, second = Fleet(START, lambda: now), Fleet(START, lambda: now)
    assert list(first.rentals()) == list(second.rentals())
    assert list(first.locations()) == list(second.locations())
    assert list(first.positions()) == list(second.positions())

    known = dict(first.rentals())
    later = Fleet(START, lambda: now + timedelta(minutes=30))
    told = dict(later.rentals(since=now))
    assert len([number for number in told if number not in known]) == 20
    changed = {n: row for n, row in later.rentals() if row != known.get(n)}
    assert changed.items() <= told.items()
    assert all(stamp(now) <= row["updated_at"] for row in told.values())

    after = dict(later.rentals(after=100))
    assert min(after) == 101
