"""Orders that can be paid: records of a dataset that the receiver's options name, and what a payment does to
them.

    {"dataset": "orders", "account": "order_id", "amount": "total", "status": "status", "payable": ["open"],
     "paid": "paid", "refunded": "refunded", "currency": "UZS"}

`account` is the provider's name of the field that holds the order's key; `amount` and `status` are fields of
the dataset; an order in one of `payable` can be paid, becomes `paid`, and `refunded` when the payment is
taken back. Without `refunded`, what was paid cannot be cancelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from apps.kernel.errors import HubError
from apps.records import selectors
from apps.records.models import Dataset, Record
from apps.records.services import bulk, records
from apps.tenants.models import Organization
from apps.tenants.principals import Actor
from apps.webhooks.inbound_statuses import TransactionStatus
from apps.webhooks.models import InboundReceiver, MerchantTransaction

KNOWN = ("dataset", "account", "amount", "status", "payable", "paid", "refunded", "currency")
HELD = (TransactionStatus.CREATED, TransactionStatus.PERFORMED)
_AMOUNTS = ("money", "decimal", "integer")


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer; `changed` tells whether a payment was moved by it, so that routes have something to
    follow.
    """

    body: bytes
    response: Any
    event_type: str
    external_id: str
    changed: bool = False


class NoOrder(Exception):
    """There is no order of this key."""


class NotPayable(Exception):
    """The order is there, but cannot be paid now."""


class WrongAmount(Exception):
    """The amount is not the order's."""


class Busy(Exception):
    """Another transaction holds the order."""


@dataclass(frozen=True, slots=True)
class Order:
    """An order, found."""

    key: str
    record: Record
    amount: int  # in the smallest unit
    status: str


class Orders:
    """The orders of one receiver."""

    def __init__(self, receiver: InboundReceiver) -> None:
        self.receiver = receiver
        options = receiver.options.get("merchant") or {}
        self.dataset_slug = str(options.get("dataset", ""))
        self.account = str(options.get("account", "order_id"))
        self.amount = str(options.get("amount", "total"))
        self.status = str(options.get("status", "status"))
        self.payable = tuple(options.get("payable", ()))
        self.paid = str(options.get("paid", "paid"))
        self.refunded = str(options.get("refunded", ""))
        self.currency = str(options.get("currency", "UZS"))

    @property
    def dataset(self) -> Dataset:
        """Raises NoOrder if the dataset is gone."""
        try:
            return selectors.dataset_of(self.receiver.organization, self.dataset_slug)
        except HubError:
            raise NoOrder from None

    def lock(self) -> None:
        """Keep other writers of the orders away until the transaction ends: before any row of a payment is
        locked.
        """
        try:
            bulk.lock_dataset(self.dataset.pk)
        except NoOrder:
            return

    def find(self, key: Any) -> Order:
        """The order of this key. Raises NoOrder."""
        if isinstance(key, bool) or not isinstance(key, (str, int)) or not str(key) or len(str(key)) > 190:
            raise NoOrder
        text = str(key)
        if "\x00" in text:
            raise NoOrder
        dataset = self.dataset
        try:
            record = selectors.record_of(dataset, f"key:{text}")
        except HubError:
            raise NoOrder from None
        return Order(
            key=text,
            record=record,
            amount=self._minor(record.data.get(self.amount)),
            status=str(record.data.get(self.status) or ""),
        )

    def check(self, order: Order, amount: int) -> None:
        """Raises NotPayable, WrongAmount, Busy, in this order."""
        if self.payable and order.status not in self.payable:
            raise NotPayable
        if order.amount != amount or amount <= 0:
            raise WrongAmount
        if self.holders(order.key).exists():
            raise Busy

    def holders(self, key: str) -> Any:
        """Transactions of any provider that hold or have paid the order."""
        return MerchantTransaction.objects.filter(
            organization_id=self.receiver.organization_id,
            dataset=self.dataset_slug,
            order_key=key,
            status__in=HELD,
        )

    def mark(self, key: str, status: str) -> None:
        """Set the order's status. Raises NoOrder, or what the records refuse."""
        order = self.find(key)
        actor = Actor("integration", self.receiver.number, self.receiver.title)
        records.update(record=order.record, values={self.status: status}, actor=actor)

    def _minor(self, value: Any) -> int:
        """An amount in the smallest unit; -1 for one that is none, or in another currency."""
        try:
            if isinstance(value, Mapping):
                if value.get("currency") != self.currency:
                    return -1
                value = value["amount"]
            return minor(str(value))
        except (KeyError, ValueError):
            return -1


def minor(text: str) -> int:
    """Hundredths of an amount in text. Raises ValueError if it is none, or has a fraction of them."""
    try:
        scaled = Decimal(text) * 100
    except InvalidOperation:
        raise ValueError(text) from None
    if not scaled.is_finite() or scaled != scaled.to_integral_value() or abs(scaled) > 10**17:
        raise ValueError(text)
    return int(scaled)


def problems(organization: Organization, given: Any) -> list[tuple[str, str]]:
    """What is wrong with the option `merchant`, as (pointer, sentence) pairs."""
    if given is None:
        return [("", "says which dataset holds the orders, and which fields: see the guide.")]
    if not isinstance(given, dict):
        return [("", "is an object.")]
    found = [
        (f"/{name}", f"is not known; known are {', '.join(KNOWN)}.") for name in given if name not in KNOWN
    ]
    payable = given.get("payable", [])
    if not isinstance(payable, list) or not all(isinstance(one, str) for one in payable):
        found.append(("/payable", "is a list of statuses in which an order can be paid."))
    for name in (one for one in KNOWN if one != "payable"):
        if name in given and not isinstance(given[name], str):
            found.append((f"/{name}", "is text."))
    if found:
        return found
    try:
        dataset = selectors.dataset_of(organization, given.get("dataset", ""))
    except HubError:
        return [("/dataset", "names a dataset of this organization.")]
    if not dataset.key_field:
        found.append(("/dataset", "has no key field, by which an order could be found."))
    fields = dataset.fields_by_name
    amount = fields.get(given.get("amount", "total"))
    if amount is None or amount.type not in _AMOUNTS:
        found.append(("/amount", f"names a field of {dataset} that holds money or a number."))
    if given.get("status", "status") not in fields:
        found.append(("/status", f"names a field of {dataset}."))
    return found
