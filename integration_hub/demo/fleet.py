"""The fleet system of Meridian Car Hire: its rows, as a pure function of the clock.

Nothing is stored: what a row says at a moment follows from its number and from the moment when the demo
began. So the system can be stopped and started at will, and has always something new to tell: about three
rows change every minute.
"""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from integration_hub.demo.source import Airport, Car, airports, cars

Row = dict[str, Any]

HISTORY = timedelta(days=14)  # how much had happened before the demo began
RENTAL_EVERY = timedelta(seconds=90)
LOCATION_EVERY = timedelta(minutes=4)
POSITION_EVERY = timedelta(hours=1)  # of one shuttle
LONGEST = timedelta(days=15)  # from a booking to its last change
MISTYPED = 977  # one rental in so many names a station that does not exist

BUSY = (
    "ATL", "LAX", "ORD", "DFW", "DEN", "JFK", "SFO", "SEA", "LAS", "MCO", "CLT", "EWR", "PHX", "IAH",
    "MIA", "BOS", "MSP", "FLL", "DTW", "PHL", "LGA", "BWI", "SLC", "SAN", "IAD", "DCA", "MDW", "TPA",
    "PDX", "HNL", "STL", "HOU", "AUS", "OAK", "MSY", "RDU", "SJC", "SNA", "MCI", "SMF", "SJU", "SAT",
    "RSW", "IND", "CLE", "PIT", "CVG", "CMH", "PBI", "JAX",
)  # fmt: skip
FIRST_NAMES = (
    "Ada", "Amir", "Anna", "Ben", "Carla", "Chen", "Dana", "David", "Elena", "Emma", "Fatima", "Felix",
    "Grace", "Hana", "Henry", "Ines", "Ivan", "Jack", "Jana", "Joao", "Julia", "Kai", "Karim", "Lara",
    "Leo", "Lin", "Lucia", "Maria", "Marco", "Mei", "Mila", "Nadia", "Noah", "Nora", "Olga", "Omar",
    "Paul", "Priya", "Rosa", "Sam", "Sara", "Sofia", "Tariq", "Tom", "Uma", "Vera", "Viktor", "Wanda",
    "Yusuf", "Zoe",
)  # fmt: skip
LAST_NAMES = (
    "Abbott", "Almeida", "Bauer", "Bianchi", "Brooks", "Campbell", "Castillo", "Chen", "Cohen", "Cruz",
    "Diaz", "Dubois", "Evans", "Fischer", "Flores", "Foster", "Garcia", "Gupta", "Haddad", "Hansen",
    "Hughes", "Ivanova", "Jensen", "Johnson", "Kaya", "Khan", "Kim", "Kowalski", "Larsen", "Lee", "Lopez",
    "Marino", "Meyer", "Miller", "Moreau", "Murphy", "Nguyen", "Novak", "Okafor", "Olsen", "Park",
    "Patel", "Petrov", "Quinn", "Reyes", "Rossi", "Santos", "Sato", "Silva", "Singh", "Smith", "Suzuki",
    "Taylor", "Torres", "Turner", "Walker", "Wang", "Weber", "Wilson", "Wood", "Yilmaz", "Young",
)  # fmt: skip
HOURS = ("05:00-23:00", "06:00-22:00", "06:30-21:30", "07:00-20:00", "08:00-18:00", "24 hours")


@dataclass(frozen=True, slots=True)
class Booking:
    """What never changes about a rental."""

    number: int
    station: str
    car: Car
    driver: str
    days: int
    payment: str
    booked: datetime
    picked_up: datetime
    returned: datetime
    invoiced: datetime
    cancelled: bool


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def shuttle_airports() -> list[Airport]:
    by_code = {airport.code: airport for airport in airports()}
    return [by_code[code] for code in BUSY[:12] if code in by_code]


class Fleet:
    """The rows of the system that has run since `began`. `now` is its clock."""

    def __init__(self, began: datetime, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.began = began
        self.now = now
        self._slots: dict[int, list[int]] = {}
        self._counted = 0

    # --- rentals

    def rentals(self, after: int = -1, since: datetime | None = None) -> Iterator[tuple[int, Row]]:
        """(position, row) of the rentals beyond `after` that have changed since `since`."""
        now = self.now()
        first = 0 if since is None else self._ticks(since - LONGEST, RENTAL_EVERY)
        for number in range(max(after + 1, first, 0), self._ticks(now, RENTAL_EVERY)):
            row = _rental_row(booking(number, self.began + number * RENTAL_EVERY), now)
            if since is None or row["updated_at"] >= stamp(since):
                yield number, row

    def _ticks(self, moment: datetime, every: timedelta) -> int:
        """How many of something that happens every so often had happened until a moment."""
        return max(0, math.floor((moment - self.began) / every) + 1)

    # --- locations

    def locations(self, after: int = -1, since: datetime | None = None) -> Iterator[tuple[int, Row]]:
        """(position, row) of the stations beyond `after` that have changed since `since`."""
        now = self._ticks(self.now(), LOCATION_EVERY)
        self._count(now)
        for number, airport in enumerate(airports()[after + 1 :], start=after + 1):
            slots = self._slots.get(number, [])
            known = bisect.bisect_left(slots, now)
            slot = slots[known - 1] if known else -1
            changed = self.began + slot * LOCATION_EVERY if slot >= 0 else self.began - timedelta(days=1)
            if since is None or changed >= since.replace(microsecond=0):
                yield number, _location_row(number, airport, slot, changed)

    def _count(self, until: int) -> None:
        """Find out which station changed at each tick."""
        total = len(airports())
        for slot in range(self._counted, until):
            number = random.Random(f"location {slot}").randrange(total)  # noqa: S311  made-up data
            self._slots.setdefault(number, []).append(slot)
        self._counted = max(self._counted, until)

    # --- positions

    def positions(self, after: int = -1, since: datetime | None = None) -> Iterator[tuple[int, Row]]:
        """(position, row) of where the shuttles were: each reports once an hour, one after the other."""
        shuttles = shuttle_airports()
        every = POSITION_EVERY / len(shuttles)
        first = 0 if since is None else self._ticks(since, every) - 1
        for number in range(max(after + 1, first, 0), self._ticks(self.now(), every)):
            moment = self.began + number * every
            if since is None or moment >= since.replace(microsecond=0):
                yield number, _position_row(number, shuttles, moment)


@lru_cache(maxsize=200_000)
def booking(number: int, booked: datetime) -> Booking:
    """A rental, wholly decided by its number."""
    chance = random.Random(f"rental {number}")  # noqa: S311  made-up data
    station = chance.choice(BUSY) if chance.random() < 0.8 else chance.choice(airports()).code
    picked_up = booked + timedelta(minutes=chance.randint(20, 4 * 24 * 60))
    days = chance.choice((1, 1, 2, 2, 2, 3, 3, 4, 5, 7))
    returned = picked_up + timedelta(days=days, minutes=chance.randint(-300, 120))
    return Booking(
        number=number,
        station="Q" + station[:1] + "9" if number % MISTYPED == MISTYPED - 1 else station,
        car=chance.choice(cars()),
        driver=f"{chance.choice(FIRST_NAMES)} {chance.choice(LAST_NAMES)}",
        days=days,
        payment=chance.choice(("Visa", "Visa", "Mastercard", "Mastercard", "Amex", "Corporate account")),
        booked=booked,
        picked_up=picked_up,
        returned=returned,
        invoiced=returned + timedelta(minutes=chance.randint(5, 600)),
        cancelled=chance.random() < 0.06,
    )


def _rental_row(rental: Booking, now: datetime) -> Row:
    state, changed = "reserved", rental.booked
    if rental.cancelled and now >= rental.picked_up:
        state, changed = "cancelled", rental.picked_up
    elif not rental.cancelled:
        for name, moment in (
            ("out", rental.picked_up),
            ("returned", rental.returned),
            ("invoiced", rental.invoiced),
        ):
            if now >= moment:
                state, changed = name, moment
    net = rental.car.daily_rate * rental.days
    tax = (net * Decimal("0.0825")).quantize(Decimal("0.01"))
    return {
        "id": f"R-{rental.number:06d}",
        "station": rental.station,
        "state": state,
        "driver": {"name": rental.driver},
        "car": {"sku": rental.car.sku, "name": rental.car.name, "rate": str(rental.car.daily_rate)},
        "days": rental.days,
        "price": {"net": str(net), "tax": str(tax), "gross": str(net + tax), "currency": "USD"},
        "payment": rental.payment,
        "booked_at": stamp(rental.booked),
        "picked_up_at": stamp(rental.picked_up) if state in ("out", "returned", "invoiced") else None,
        "updated_at": stamp(changed),
    }


def _location_row(number: int, airport: Airport, slot: int, changed: datetime) -> Row:
    chance = random.Random(f"station {number} {slot}")  # noqa: S311  made-up data
    fixed = random.Random(f"station {number}")  # noqa: S311  made-up data
    busy = airport.code in BUSY
    state = "open" if busy or chance.random() < 0.9 else chance.choice(("closed", "seasonal"))
    return {
        "code": airport.code,
        "name": airport.name if "airport" in airport.name.lower() else f"{airport.name} Airport",
        "state": state,
        "desk": {
            "phone": f"+1 {fixed.randint(201, 989)} 555 {fixed.randint(100, 199):04d}",
            "email": f"{airport.code.lower()}@meridian.example",
            "hours": "24 hours" if busy and chance.random() < 0.5 else chance.choice(HOURS),
        },
        "address": {"city": airport.city, "region": airport.state, "country": airport.country},
        "opened_on": f"{fixed.randint(1974, 2024)}-{fixed.randint(1, 12):02d}-{fixed.randint(1, 28):02d}",
        "tags": ["hub"] if busy else [],
        "updated_at": stamp(changed),
    }


def _position_row(number: int, shuttles: list[Airport], moment: datetime) -> Row:
    chance = random.Random(f"position {number}")  # noqa: S311  made-up data
    index = number % len(shuttles)
    airport = shuttles[index]
    angle, away = chance.uniform(0, math.tau), chance.uniform(0.001, 0.03)
    parked = chance.random() < 0.25
    return {
        "id": f"P-{number:07d}",
        "device": f"SHUTTLE-{index + 1:02d} {airport.code}",
        "at": stamp(moment),
        "lat": round(airport.latitude + away * math.sin(angle), 6),
        "lon": round(airport.longitude + away * math.cos(angle), 6),
        "speed": 0 if parked else round(chance.uniform(8, 62), 1),
        "heading": round(math.degrees(angle) % 360, 1),
        "event": "parked" if parked else "moving",
        "updated_at": stamp(moment),
    }
