"""The public data behind the demo: airports and cars of the package vega_datasets (MIT), read as files.

The package itself is never imported, for that would need pandas.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "vega_datasets"

# How the data of 1983 spells them, and what they are called.
_MAKES = {
    "amc": "AMC",
    "bmw": "BMW",
    "capri": "Mercury",
    "chevroelt": "Chevrolet",
    "chevy": "Chevrolet",
    "hi": "International Harvester",
    "maxda": "Mazda",
    "mercedes": "Mercedes-Benz",
    "mercedes-benz": "Mercedes-Benz",
    "toyouta": "Toyota",
    "triumph": "Triumph",
    "vokswagen": "Volkswagen",
    "volkswagen": "Volkswagen",
    "vw": "Volkswagen",
}
KILOGRAMS_PER_POUND = Decimal("0.45359237")


class MissingData(Exception):
    """The package with the data is not installed."""


@dataclass(frozen=True, slots=True)
class Airport:
    code: str
    name: str
    city: str
    state: str
    country: str
    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class Car:
    """One model; `daily_rate` in US dollars is ours, from its power and age."""

    sku: str
    name: str
    make: str
    year: int
    origin: str
    cylinders: int
    horsepower: int | None
    pounds: int
    daily_rate: Decimal

    @property
    def kilograms(self) -> Decimal:
        return (self.pounds * KILOGRAMS_PER_POUND).quantize(Decimal("0.1"))


def folder() -> Path:
    """Where the data files lie. Raises MissingData."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingData(
            f"The demo's data (the package {PACKAGE}) are not installed: run `make demo`, which does it, or "
            "`.venv/bin/uv pip install --no-deps -r requirements-demo.txt`."
        )
    return Path(spec.submodule_search_locations[0]) / "_data"


@lru_cache(maxsize=1)
def airports() -> tuple[Airport, ...]:
    """All 3,376 airports of the file, in its order."""
    with (folder() / "airports.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Airport(
                code=row["iata"],
                name=row["name"].strip(),
                city=row["city"].strip(),
                state=row["state"].strip(),
                country=row["country"].strip(),
                latitude=float(row["latitude"]),
                longitude=float(row["longitude"]),
            )
            for row in csv.DictReader(file)
        )


@lru_cache(maxsize=1)
def cars() -> tuple[Car, ...]:
    """All 406 models of the file, in its order."""
    rows = json.loads((folder() / "cars.json").read_text(encoding="utf-8"))
    return tuple(_car(number, row) for number, row in enumerate(rows, start=1))


def _car(number: int, row: dict[str, object]) -> Car:
    words = str(row["Name"]).split()
    year = int(str(row["Year"])[:4])
    power = row["Horsepower"]
    horsepower = int(power) if isinstance(power, int | float) else None
    make = _MAKES.get(words[0], words[0].capitalize())
    model = " ".join(word.upper() if any(map(str.isdigit, word)) else word.title() for word in words[1:])
    rate = Decimal(35) + Decimal(horsepower or 90) / 4 + Decimal(1983 - year)
    return Car(
        sku=f"MC-{year % 100}-{number:03d}",
        name=f"{make} {model} ({year})".replace("  ", " "),
        make=make,
        year=year,
        origin=str(row["Origin"]),
        cylinders=int(str(row["Cylinders"])),
        horsepower=horsepower,
        pounds=int(str(row["Weight_in_lbs"])),
        daily_rate=rate.quantize(Decimal(1)) - Decimal("0.10"),
    )
