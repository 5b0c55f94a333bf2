"""Click's SHOP-API: Prepare (action 0) and Complete (action 1). Every answer is HTTP 200 with an error of
its own.

Source: docs.click.uz, "Click-API: request" and "Click-API: error". Amounts are in soums; the number that
Complete brings back as merchant_prepare_id is the transaction's serial.
"""

from __future__ import annotations

import time
from typing import Any

from django.db import IntegrityError, transaction

from apps.kernel import safejson
from apps.kernel.errors import HubError
from apps.kernel.states import move
from apps.webhooks.errors import SignatureInvalid
from apps.webhooks.inbound.messages import Message, form_of
from apps.webhooks.inbound_statuses import TRANSACTION_TRANSITIONS, TransactionStatus
from apps.webhooks.models import InboundReceiver, MerchantTransaction
from apps.webhooks.services.inbound.merchants.orders import (
    Busy,
    NoOrder,
    NotPayable,
    Orders,
    Outcome,
    WrongAmount,
    minor,
)

PREPARE, COMPLETE = "0", "1"
SUCCESS, SIGN, AMOUNT, ACTION, PAID, NO_USER, NO_TRANSACTION, NOT_UPDATED, BAD, CANCELLED = (
    0, -1, -2, -3, -4, -5, -6, -7, -8, -9,
)  # fmt: skip
_NOTES = {
    SUCCESS: "Success",
    SIGN: "SIGN CHECK FAILED!",
    AMOUNT: "Incorrect parameter amount",
    ACTION: "Action not found",
    PAID: "Already paid",
    NO_USER: "User does not exist",
    NO_TRANSACTION: "Transaction does not exist",
    NOT_UPDATED: "Failed to update user",
    BAD: "Error in request from click",
    CANCELLED: "Transaction cancelled",
}
_NEEDED = ("click_trans_id", "service_id", "merchant_trans_id", "amount", "action", "sign_time")


class ClickError(Exception):
    """An error in Click's words."""

    def __init__(self, code: int) -> None:
        super().__init__(_NOTES[code])
        self.code = code


class Desk:
    """See `merchants.Desk`."""

    def unauthorized(self, message: Message) -> bytes:
        return safejson.dumps_canonical(_answer(_fields(message), SIGN))

    def answer(self, receiver: InboundReceiver, message: Message) -> Outcome:
        fields = _fields(message)
        cashier = Cashier(receiver, fields)
        try:
            response = _answer(fields, SUCCESS, **cashier.do())
        except ClickError as error:
            response = _answer(fields, error.code)
        name = {PREPARE: "Prepare", COMPLETE: "Complete"}.get(fields.get("action", ""), "Unknown")
        return Outcome(
            safejson.dumps_canonical(response),
            response,
            f"click.{name}",
            fields.get("click_trans_id", "")[:100],
            cashier.changed,
        )


DESK = Desk()


class Cashier:
    """One request of Click."""

    def __init__(self, receiver: InboundReceiver, fields: dict[str, str]) -> None:
        self.receiver = receiver
        self.fields = fields
        self.orders = Orders(receiver)
        self.changed = False
        self.now = int(time.time() * 1000)

    def do(self) -> dict[str, Any]:
        """Raises ClickError."""
        fields = self.fields
        if any(not fields.get(name) for name in _NEEDED) or len(fields["click_trans_id"]) > 100:
            raise ClickError(BAD)
        service = self.receiver.options.get("service_id")
        if service is not None and str(service) != fields["service_id"]:
            raise ClickError(BAD)
        if fields["action"] not in (PREPARE, COMPLETE):
            raise ClickError(ACTION)
        self.orders.lock()
        if fields["action"] == PREPARE:
            return {"merchant_prepare_id": self._prepare().serial}
        return {"merchant_confirm_id": self._complete().serial}

    def _amount(self) -> int:
        try:
            return minor(self.fields["amount"])
        except ValueError:
            raise ClickError(AMOUNT) from None

    def _failed(self) -> bool:
        """Whether Click says that the payment came to nothing."""
        try:
            return int(self.fields.get("error") or 0) < 0
        except ValueError:
            raise ClickError(BAD) from None

    def _prepare(self) -> MerchantTransaction:
        external = self.fields["click_trans_id"]
        found = self._find(external)
        if found is not None:
            self._same(found)
            if found.status == TransactionStatus.PERFORMED:
                raise ClickError(PAID)
            if found.status != TransactionStatus.CREATED:
                raise ClickError(CANCELLED)
            return found
        if self._failed():
            raise ClickError(CANCELLED)
        key, amount = self._order()
        try:
            with transaction.atomic():
                row = MerchantTransaction.objects.create(
                    organization_id=self.receiver.organization_id,
                    receiver=self.receiver,
                    external_id=external,
                    serial=time.time_ns() // 1000,
                    account={"merchant_trans_id": key},
                    order_key=key,
                    dataset=self.orders.dataset_slug,
                    amount=amount,
                    currency=self.orders.currency,
                    provider_time=self.now,
                    create_time=self.now,
                    metadata={"click_paydoc_id": self.fields.get("click_paydoc_id", "")[:100]},
                )
        except IntegrityError:  # the same call, or another payment of the order, a moment ago
            found = self._find(external)
            if found is None:
                raise ClickError(PAID) from None
            return found
        self.changed = True
        return row

    def _order(self) -> tuple[str, int]:
        amount = self._amount()
        try:
            order = self.orders.find(self.fields["merchant_trans_id"])
            self._release(order.key)
            self.orders.check(order, amount)
        except NoOrder:
            raise ClickError(NO_USER) from None
        except (NotPayable, Busy):
            raise ClickError(PAID) from None
        except WrongAmount:
            raise ClickError(AMOUNT) from None
        return order.key, amount

    def _release(self, key: str) -> None:
        """A payer who tries again: Click drops an unfinished payment without a word, so a new one replaces
        it.
        """
        for row in self.orders.holders(key).filter(receiver=self.receiver, status=TransactionStatus.CREATED):
            move(row, TransactionStatus.CANCELLED, TRANSACTION_TRANSITIONS, cancel_time=self.now)

    def _complete(self) -> MerchantTransaction:
        row = self._find(self.fields["click_trans_id"])
        if row is None or self.fields.get("merchant_prepare_id") != str(row.serial):
            raise ClickError(NO_TRANSACTION)
        self._same(row)
        if row.status == TransactionStatus.PERFORMED:
            raise ClickError(PAID)
        if row.status != TransactionStatus.CREATED:
            raise ClickError(CANCELLED)
        if self._failed():
            move(
                row,
                TransactionStatus.CANCELLED,
                TRANSACTION_TRANSITIONS,
                cancel_time=self.now,
                reason=int(self.fields["error"]),
            )
            self.changed = True
            raise ClickError(CANCELLED)
        try:
            with transaction.atomic():
                self.orders.mark(row.order_key, self.orders.paid)
                move(row, TransactionStatus.PERFORMED, TRANSACTION_TRANSITIONS, perform_time=self.now)
        except (NoOrder, HubError):
            raise ClickError(NOT_UPDATED) from None
        self.changed = True
        return row

    def _same(self, row: MerchantTransaction) -> None:
        """A known transaction must be told with the order and the amount that it was made with."""
        if self.fields["merchant_trans_id"] != row.order_key:
            raise ClickError(NO_TRANSACTION)
        if self._amount() != row.amount:
            raise ClickError(AMOUNT)

    def _find(self, external: str) -> MerchantTransaction | None:
        rows = MerchantTransaction.objects.filter(receiver=self.receiver, external_id=external)
        return rows.select_for_update(of=("self",)).first()


def _fields(message: Message) -> dict[str, str]:
    try:
        return {name: value.replace("\x00", "") for name, value in form_of(message.body)}
    except SignatureInvalid:
        return {}


def _answer(fields: dict[str, str], error: int, **more: Any) -> dict[str, Any]:
    """What Click reads. Its own ids go back as they came, numbers as numbers."""
    trans = fields.get("click_trans_id", "")[:100]
    number = int(trans) if trans.isascii() and trans.isdigit() and len(trans) <= 18 else trans
    return {
        "click_trans_id": number,
        "merchant_trans_id": fields.get("merchant_trans_id", "")[:190],
        **more,
        "error": error,
        "error_note": _NOTES[error],
    }
