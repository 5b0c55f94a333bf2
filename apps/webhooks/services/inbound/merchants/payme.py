"""Payme's Merchant API: the hub is the JSON-RPC 2.0 server of one cash register. Every answer is HTTP 200.

Source: developer.help.paycom.uz, "Protocol" and "Methods of Merchant API". Amounts are in tiyin, times in
milliseconds, and every method may come again with the same parameters and must then answer the same.
"""

from __future__ import annotations

import time
from typing import Any, NoReturn

from django.db import IntegrityError, transaction

from apps.kernel import safejson
from apps.kernel.errors import HubError
from apps.kernel.states import move
from apps.webhooks.inbound.messages import Message
from apps.webhooks.inbound_statuses import TRANSACTION_TRANSITIONS, TransactionStatus
from apps.webhooks.models import InboundReceiver, MerchantTransaction
from apps.webhooks.services.inbound.merchants.orders import (
    Busy,
    NoOrder,
    NotPayable,
    Orders,
    Outcome,
    WrongAmount,
)

TIMEOUT_MS = 12 * 3600 * 1000
REASON_TIMEOUT = 4
MAX_STATEMENT = 10_000

PARSE_ERROR, INVALID_REQUEST, NO_METHOD = -32700, -32600, -32601
FORBIDDEN, SYSTEM = -32504, -32400
WRONG_AMOUNT, NO_TRANSACTION, CANNOT_CANCEL, CANNOT_PERFORM = -31001, -31003, -31007, -31008
NO_ACCOUNT, ACCOUNT_CLOSED, ACCOUNT_BUSY = -31050, -31051, -31052

_TEXTS = {
    PARSE_ERROR: ("Ошибка парсинга JSON.", "JSON xatosi.", "The JSON cannot be parsed."),
    INVALID_REQUEST: ("Неверный запрос.", "Noto‘g‘ri so‘rov.", "The request is not valid."),
    NO_METHOD: ("Метод не найден.", "Metod topilmadi.", "There is no such method."),
    FORBIDDEN: ("Недостаточно привилегий.", "Huquqlar yetarli emas.", "Not authorized."),
    SYSTEM: ("Системная ошибка.", "Tizim xatosi.", "System error."),
    WRONG_AMOUNT: ("Неверная сумма.", "Summa noto‘g‘ri.", "The amount is not the order's."),
    NO_TRANSACTION: ("Транзакция не найдена.", "Tranzaksiya topilmadi.", "There is no such transaction."),
    CANNOT_CANCEL: (
        "Заказ выполнен, отменить нельзя.",
        "Buyurtma bajarilgan, bekor qilib bo‘lmaydi.",
        "The order is fulfilled and cannot be cancelled.",
    ),
    CANNOT_PERFORM: (
        "Невозможно выполнить операцию.",
        "Amalni bajarib bo‘lmaydi.",
        "The operation cannot be performed.",
    ),
    NO_ACCOUNT: ("Заказ не найден.", "Buyurtma topilmadi.", "There is no such order."),
    ACCOUNT_CLOSED: (
        "Заказ недоступен для оплаты.",
        "Buyurtma uchun to‘lov qilib bo‘lmaydi.",
        "The order cannot be paid now.",
    ),
    ACCOUNT_BUSY: (
        "Заказ ожидает другой оплаты.",
        "Buyurtma boshqa to‘lovni kutmoqda.",
        "Another payment of the order is under way.",
    ),
}


class PaymeError(Exception):
    """An error in Payme's words."""

    def __init__(self, code: int, data: str | None = None) -> None:
        super().__init__(str(code))
        self.code = code
        self.data = data

    def as_dict(self) -> dict[str, Any]:
        ru, uz, en = _TEXTS[self.code]
        error: dict[str, Any] = {"code": self.code, "message": {"ru": ru, "uz": uz, "en": en}}
        if self.data is not None:
            error["data"] = self.data
        return error


class Desk:
    """See `merchants.Desk`."""

    def unauthorized(self, message: Message) -> bytes:
        return _body(_id_of(message.body), error=PaymeError(FORBIDDEN).as_dict())

    def answer(self, receiver: InboundReceiver, message: Message) -> Outcome:
        request_id: Any = None
        method = ""
        external = ""
        register = Register(receiver)
        try:
            call = _parsed(message.body)
            request_id = call.get("id")
            method = call["method"]
            params = call["params"]
            external = str(params.get("id", ""))[:100]
            result = register.do(method, params)
            body, response = _body(request_id, result=result), {"result": result}
            if method == "GetStatement":
                response = {"result": {"transactions": len(result["transactions"])}}
        except PaymeError as error:
            body, response = _body(request_id, error=error.as_dict()), {"error": {"code": error.code}}
        return Outcome(body, response, f"payme.{method}"[:200], external, register.changed)


DESK = Desk()


class Register:
    """One cash register: its transactions and orders, for one request."""

    def __init__(self, receiver: InboundReceiver) -> None:
        self.receiver = receiver
        self.orders = Orders(receiver)
        self.changed = False
        self.now = int(time.time() * 1000)

    def do(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Raises PaymeError."""
        handlers = {
            "CheckPerformTransaction": self.check_perform,
            "CreateTransaction": self.create,
            "PerformTransaction": self.perform,
            "CancelTransaction": self.cancel,
            "CheckTransaction": self.check,
            "GetStatement": self.statement,
        }
        handler = handlers.get(method)
        if handler is None:
            raise PaymeError(NO_METHOD, method[:100])
        if method in ("CreateTransaction", "PerformTransaction", "CancelTransaction"):
            self.orders.lock()
        return handler(params)

    def check_perform(self, params: dict[str, Any]) -> dict[str, Any]:
        self._order(params)
        return {"allow": True}

    def create(self, params: dict[str, Any]) -> dict[str, Any]:
        external, at = _text(params, "id"), _whole(params, "time")
        found = self._find(external)
        if found is not None:
            if found.status != TransactionStatus.CREATED or self._expired(found):
                raise PaymeError(CANNOT_PERFORM)
            return self._created(found)
        if self.now - at >= TIMEOUT_MS:
            raise PaymeError(CANNOT_PERFORM)
        order = self._order(params)
        try:
            with transaction.atomic():
                row = MerchantTransaction.objects.create(
                    organization_id=self.receiver.organization_id,
                    receiver=self.receiver,
                    external_id=external,
                    serial=time.time_ns() // 1000,
                    account=params["account"],
                    order_key=order,
                    dataset=self.orders.dataset_slug,
                    amount=params["amount"],
                    currency=self.orders.currency,
                    provider_time=at,
                    create_time=self.now,
                )
        except IntegrityError:  # the same call, or another payment of the order, a moment ago
            found = self._find(external)
            if found is None:
                raise PaymeError(ACCOUNT_BUSY, self.orders.account) from None
            return self._created(found)
        self.changed = True
        return self._created(row)

    def perform(self, params: dict[str, Any]) -> dict[str, Any]:
        row = self._known(params)
        if row.status == TransactionStatus.CREATED:
            if self._expired(row):
                raise PaymeError(CANNOT_PERFORM)
            self._mark(row, self.orders.paid)
            self._move(row, TransactionStatus.PERFORMED, perform_time=self.now)
        elif row.status != TransactionStatus.PERFORMED:
            raise PaymeError(CANNOT_PERFORM)
        return {"transaction": row.public_id, "perform_time": row.perform_time, "state": row.state}

    def cancel(self, params: dict[str, Any]) -> dict[str, Any]:
        row = self._known(params)
        reason = _whole(params, "reason")
        if row.status == TransactionStatus.CREATED:
            self._move(row, TransactionStatus.CANCELLED, cancel_time=self.now, reason=reason)
        elif row.status == TransactionStatus.PERFORMED:
            if not self.orders.refunded:
                raise PaymeError(CANNOT_CANCEL)
            self._mark(row, self.orders.refunded)
            self._move(row, TransactionStatus.REFUNDED, cancel_time=self.now, reason=reason)
        return {"transaction": row.public_id, "cancel_time": row.cancel_time, "state": row.state}

    def check(self, params: dict[str, Any]) -> dict[str, Any]:
        row = self._known(params)
        return {**self._times(row), "transaction": row.public_id, "state": row.state, "reason": row.reason}

    def statement(self, params: dict[str, Any]) -> dict[str, Any]:
        rows = MerchantTransaction.objects.filter(
            receiver=self.receiver,
            provider_time__gte=_whole(params, "from"),
            provider_time__lte=_whole(params, "to"),
        ).order_by("provider_time")[:MAX_STATEMENT]
        return {
            "transactions": [
                {
                    "id": row.external_id,
                    "time": row.provider_time,
                    "amount": row.amount,
                    "account": row.account,
                    **self._times(row),
                    "transaction": row.public_id,
                    "state": row.state,
                    "reason": row.reason,
                }
                for row in rows
            ]
        }

    # --- what the methods share

    def _order(self, params: dict[str, Any]) -> str:
        """The key of the order that the parameters mean, if it can be paid."""
        amount = _whole(params, "amount")
        account = params.get("account")
        if not isinstance(account, dict) or len(str(account)) > 4000:
            raise PaymeError(INVALID_REQUEST, "account")
        name = self.orders.account
        try:
            order = self.orders.find(account.get(name))
            self.orders.check(order, amount)
        except NoOrder:
            raise PaymeError(NO_ACCOUNT, name) from None
        except NotPayable:
            raise PaymeError(ACCOUNT_CLOSED, name) from None
        except WrongAmount:
            raise PaymeError(WRONG_AMOUNT) from None
        except Busy:
            raise PaymeError(ACCOUNT_BUSY, name) from None
        return order.key

    def _find(self, external: str) -> MerchantTransaction | None:
        """The transaction, locked until the answer is written."""
        rows = MerchantTransaction.objects.filter(receiver=self.receiver, external_id=external)
        return rows.select_for_update(of=("self",)).first()

    def _known(self, params: dict[str, Any]) -> MerchantTransaction:
        row = self._find(_text(params, "id"))
        if row is None:
            raise PaymeError(NO_TRANSACTION)
        return row

    def _expired(self, row: MerchantTransaction) -> bool:
        """Whether it waited for too long; it is cancelled then."""
        if self.now - row.create_time < TIMEOUT_MS:
            return False
        self._move(row, TransactionStatus.CANCELLED, cancel_time=self.now, reason=REASON_TIMEOUT)
        return True

    def _move(self, row: MerchantTransaction, to: str, **also: Any) -> None:
        move(row, to, TRANSACTION_TRANSITIONS, **also)
        self.changed = True

    def _mark(self, row: MerchantTransaction, status: str) -> None:
        try:
            self.orders.mark(row.order_key, status)
        except (NoOrder, HubError):
            raise PaymeError(CANNOT_PERFORM) from None

    def _created(self, row: MerchantTransaction) -> dict[str, Any]:
        return {"create_time": row.create_time, "transaction": row.public_id, "state": row.state}

    @staticmethod
    def _times(row: MerchantTransaction) -> dict[str, int]:
        return {
            "create_time": row.create_time,
            "perform_time": row.perform_time,
            "cancel_time": row.cancel_time,
        }


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        call = safejson.loads(body)
    except HubError:
        raise PaymeError(PARSE_ERROR) from None
    if not isinstance(call, dict) or not isinstance(call.get("method"), str):
        raise PaymeError(INVALID_REQUEST)
    if not isinstance(call.get("params"), dict):
        _invalid("params")
    return call


def _id_of(body: bytes) -> Any:
    try:
        call = safejson.loads(body)
    except HubError:
        return None
    found = call.get("id") if isinstance(call, dict) else None
    return found if isinstance(found, (str, int)) and not isinstance(found, bool) else None


def _text(params: dict[str, Any], name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 100:
        _invalid(name)
    return value


def _whole(params: dict[str, Any], name: str) -> int:
    value = params.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**53) < value < 2**53:
        _invalid(name)
    return value


def _invalid(name: str) -> NoReturn:
    raise PaymeError(INVALID_REQUEST, name)


def _body(request_id: Any, **content: Any) -> bytes:
    return safejson.dumps_canonical({"jsonrpc": "2.0", "id": request_id, **content})
