"""A dataset of the organization's own, and what people changed by hand."""

from __future__ import annotations

import random
from datetime import date, timedelta
from typing import Any

from apps.kernel.errors import HubError
from apps.records import selectors
from apps.records.models import Change, Dataset
from apps.records.services import datasets, records
from apps.records.services.upsert import upsert
from integration_hub.demo.fleet import BUSY
from integration_hub.demo.source import cars
from integration_hub.demo.story import ADMIN, STAFF, Person, Story

SLUG = "inspections"
ROWS = 180
CHECKS = ("tyres", "brakes", "lights", "oil", "seat belts", "wipers")

FIELDS: list[dict[str, Any]] = [
    {"name": "number", "type": "text", "label": "Number", "required": True, "unique": True, "max_length": 20},
    {"name": "station", "type": "reference", "label": "Station", "reference": "clients", "indexed": True},
    {"name": "vehicle", "type": "reference", "label": "Vehicle", "reference": "products", "indexed": True},
    {"name": "inspected_on", "type": "date", "label": "Inspected on", "required": True, "indexed": True},
    {"name": "inspector", "type": "email", "label": "Inspector", "required": True},
    {"name": "mileage", "type": "integer", "label": "Mileage", "minimum": 0, "maximum": 900_000},
    {
        "name": "result",
        "type": "choice",
        "label": "Result",
        "indexed": True,
        "choices": [["passed", "Passed"], ["repair", "To be repaired"], ["failed", "Off the road"]],
    },
    {"name": "tread_mm", "type": "decimal", "label": "Tread in mm", "minimum": "0", "decimal_places": 1},
    {"name": "repair_cost", "type": "money", "label": "Cost of repair", "currency": "USD"},
    {"name": "washed", "type": "boolean", "label": "Washed", "default": False},
    {"name": "photos", "type": "url", "label": "Photos"},
    {"name": "checklist", "type": "json", "label": "Checklist"},
    {"name": "remarks", "type": "text", "label": "Remarks", "max_length": 2000},
]  # fmt: skip
REMARKS = (
    "Rattles above 50 mph.",
    "Left indicator slow.",
    "Smells of vanilla, wash again.",
    "Spare wheel missing.",
    "Hand brake travels too far.",
    "Windscreen chip, 4 mm, passenger side.",
)


def define(story: Story) -> None:
    """The dataset and its rows."""
    known = Dataset.objects.filter(organization=story.organization, slug=SLUG).first()
    dataset = known or datasets.define(
        organization=story.organization,
        slug=SLUG,
        name="Inspections",
        singular="Inspection",
        description="What the workshop found when a car came back.",
        fields=FIELDS,
        key_field="number",
        title_field="number",
        icon="construction",
        actor=story.actor(ADMIN),
    )
    if dataset.archived_at is None and not selectors.count(dataset):
        result = upsert(dataset=dataset, rows=list(map(_row, range(1, ROWS + 1))), actor=story.actor(ADMIN))
        story.say(f"{dataset.name}: {result.created} rows.")


def _row(number: int) -> dict[str, Any]:
    chance = random.Random(f"inspection {number}")  # noqa: S311  made-up data
    result = chance.choices(("passed", "repair", "failed"), (80, 16, 4))[0]
    # The price list has slips in these, so that they are no products.
    car = chance.choice([car for n, car in enumerate(cars(), start=1) if n % 10 == 5])
    return {
        "number": f"INS-{number:04d}",
        "station": chance.choice(BUSY),
        "vehicle": car.sku,
        "inspected_on": (date(2026, 8, 1) + timedelta(days=number * 110 // ROWS)).isoformat(),
        "inspector": chance.choice(("kim", "reyes", "novak")) + "@meridian.example",
        "mileage": chance.randint(4_000, 310_000),
        "result": result,
        "tread_mm": f"{chance.uniform(1.6, 8.5):.1f}",
        "repair_cost": f"{chance.randint(40, 1800)} USD" if result != "passed" else None,
        "washed": chance.random() < 0.7,
        "photos": f"https://photos.meridian.example/INS-{number:04d}" if result != "passed" else None,
        "checklist": {check: "ok" if chance.random() < 0.92 else "worn" for check in CHECKS},
        "remarks": chance.choice(REMARKS) if chance.random() < 0.4 else None,
    }


# (who, dataset, key, what they changed)
_EDITS: tuple[tuple[Person, str, str, dict[str, Any]], ...] = (
    (
        STAFF,
        SLUG,
        "INS-0172",
        {"result": "repair", "repair_cost": "240 USD", "remarks": "Exhaust hangs low."},
    ),
    (
        ADMIN,
        SLUG,
        "INS-0172",
        {"repair_cost": "185.50 USD", "remarks": "Exhaust hangs low. Quote from Novak."},
    ),
    (STAFF, SLUG, "INS-0178", {"washed": True, "mileage": 88_214}),
    (STAFF, "products", "MC-70-001", {"price": "79.90 USD", "stock": "4"}),
    (
        ADMIN,
        "products",
        "MC-70-001",
        {"description": "8 cylinders, 130 hp, built in USA. The star of the fleet."},
    ),
    (STAFF, "contacts", "M003", {"job_title": "Regional manager", "phone": "+1 312 555 0188"}),
    (ADMIN, "clients", "SFO", {"website": "https://meridian.example/stations/sfo", "credit_limit": "25000"}),
    (ADMIN, "clients", "ORD", {"website": "https://meridian.example/stations/ord", "credit_limit": "40000"}),
)


def edit(story: Story) -> None:
    """Changes by hand, so that histories have something to compare. Made once."""
    done = 0
    for person, slug, key, values in _EDITS:
        actor = story.actor(person)
        try:
            record = selectors.record_of(story.dataset(slug), f"key:{key}")
            edited = Change.objects.filter(record=record, origin__kind=actor.kind, origin__ref=actor.ref)
            if edited.filter(operation=Change.Operation.UPDATED).exists():
                continue
            records.update(record=record, values=values, actor=actor)
            done += 1
        except HubError as error:
            story.say(f"“{key}” of {slug} was left as it is: {error.detail}")
    if done:
        story.say(f"{done} records edited by hand; open INS-0172 and look at its history.")
