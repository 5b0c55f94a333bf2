"""Spreadsheets as colleagues send them: mostly right."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any

import xlsxwriter

from integration_hub.demo.fleet import BUSY, FIRST_NAMES, LAST_NAMES
from integration_hub.demo.source import Car, cars

PRICE_LIST_COLUMNS = (
    "SKU", "Name", "Brand", "Category", "Status", "Price", "Stock", "Weight (kg)", "Released", "Description",
)  # fmt: skip
# Line of the price list → what somebody typed into a column of it.
_SLIPS: dict[int, tuple[str, str]] = {
    9: ("Price", "on request"),
    17: ("Weight (kg)", "heavy"),
    42: ("Released", "1970-02-30"),
    58: ("Stock", "three"),
    77: ("Name", ""),
    101: ("Status", "aktive"),
    140: ("Price", "12,90 EURO"),
    163: ("SKU", ""),
    208: ("Released", "spring 73"),
    251: ("Weight (kg)", "-1"),
    302: ("Stock", "2 or 3"),
    388: ("Status", "sold?"),
}


def price_list() -> bytes:
    """All car models as a CSV file, with a dozen wrong cells."""
    rows = []
    for number, car in enumerate(cars(), start=1):
        row = dict(zip(PRICE_LIST_COLUMNS, _priced(car), strict=True))
        if number in _SLIPS:
            column, typed = _SLIPS[number]
            row[column] = typed
        rows.append(list(row.values()))
    return _csv(PRICE_LIST_COLUMNS, rows)


def _priced(car: Car) -> tuple[Any, ...]:
    chance = random.Random(f"price {car.sku}")  # noqa: S311  made-up data
    size = {3: "Compact", 4: "Compact", 5: "Mid-size", 6: "Mid-size", 8: "Full-size"}[car.cylinders]
    power = f"{car.horsepower} hp, " if car.horsepower else ""
    return (
        car.sku,
        car.name,
        car.make,
        size,
        "active" if chance.random() < 0.85 else "discontinued",
        f"{car.daily_rate} USD",
        chance.randint(1, 14),
        car.kilograms,
        f"{car.year}-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}",
        f"{car.cylinders} cylinders, {power}built in {car.origin}.",
    )


def summer_prices() -> bytes:
    """Forty prices that somebody raised tenfold, and that were taken back."""
    chosen = random.Random("summer").sample(cars(), 40)  # noqa: S311  made-up data
    return _csv(("SKU", "Price"), [(car.sku, f"{car.daily_rate * 10} USD") for car in chosen])


def managers() -> bytes:
    """The managers of the busy stations, as an Excel workbook."""
    columns = (
        "ID",
        "First name",
        "Last name",
        "Full name",
        "E-mail",
        "Phone",
        "Job title",
        "Station",
        "Newsletter",
    )
    rows: list[Sequence[Any]] = []
    for number, code in enumerate(BUSY, start=1):
        chance = random.Random(f"manager {code}")  # noqa: S311  made-up data
        first, last = chance.choice(FIRST_NAMES), chance.choice(LAST_NAMES)
        rows.append(
            (
                f"M{number:03d}",
                first,
                last,
                f"{first} {last}",
                f"{first}.{last}@meridian.example".lower(),
                f"+1 {chance.randint(201, 989)} 555 {chance.randint(100, 199):04d}",
                "Station manager",
                code,
                chance.choice(("yes", "no")),
            )
        )
    return _xlsx("Managers", columns, rows)


def damages() -> bytes:
    """Damage reports of a quarter: the file that waits to be looked at."""
    columns = ("Ref", "Title", "Client", "Status", "Priority", "Assigned to", "Opened on", "Budget")
    kinds = (
        "Scratched door",
        "Cracked windscreen",
        "Flat tyre",
        "Dented bumper",
        "Broken mirror",
        "Stained seat",
    )
    rows: list[Sequence[Any]] = []
    for number in range(1, 61):
        chance = random.Random(f"damage {number}")  # noqa: S311  made-up data
        car = chance.choice(cars())
        opened = date(2026, 7, 1) + timedelta(days=chance.randint(0, 90))
        rows.append(
            (
                f"DMG-{number:04d}",
                f"{chance.choice(kinds)}: {car.name}",
                chance.choice(BUSY),
                chance.choice(("open", "in progress", "on hold", "closed")) if number != 23 else "lost",
                chance.choice(("low", "normal", "high")),
                "workshop@meridian.example",
                f"{opened:%m/%d/%Y}" if number != 41 else "yesterday",
                f"{chance.randint(60, 900)} USD",
            )
        )
    return _csv(columns, rows, delimiter=";")


def manuals() -> bytes:
    """Documents of which one has no title: with “all or nothing”, none is imported."""
    rows = [
        (
            f"DOC-{n:03d}",
            f"Handbook {car.name}" if n != 12 else "",
            "Handbooks",
            f"https://files.meridian.example/{car.sku}.pdf",
        )
        for n, car in enumerate(cars()[:40], start=1)
    ]
    return _csv(("ID", "Title", "Category", "URL"), rows)


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Any]], delimiter: str = ",") -> bytes:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerow(columns)
    writer.writerows(rows)
    return file.getvalue().encode("utf-8")


def _xlsx(sheet_name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file, {"in_memory": True})
    sheet = book.add_worksheet(sheet_name)
    bold = book.add_format({"bold": True})
    sheet.write_row(0, 0, columns, bold)
    for number, row in enumerate(rows, start=1):
        sheet.write_row(number, 0, row)
    sheet.freeze_panes(1, 0)
    book.close()
    return file.getvalue()
