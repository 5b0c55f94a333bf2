"""Payme and Click: the conversations of their documents, word for word, and what must not be paid."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connections

from apps.connectors.models import Integration
from apps.events.models import Event
from apps.kernel.errors import InvalidInput
from apps.records import selectors
from apps.records.models import Record
from apps.records.services import records
from apps.webhooks.models import InboundWebhook, MerchantTransaction
from apps.webhooks.services.inbound.merchants import payme
from tests.webhooks.inbound.conftest import ADA, receiver_of, send, work
from tests.webhooks.inbound.providers import click_form

pytestmark = pytest.mark.django_db
Shop = Callable[..., Integration]
MERCHANT = {
    "dataset": "orders",
    "account": "order_id",
    "amount": "total",
    "status": "status",
    "payable": ["open"],
    "paid": "paid",
    "refunded": "refunded",
}
TIYIN = 500_000  # 5,000.00 soums


@pytest.fixture
def order(organization: Any) -> Callable[..., Record]:
    """Adds an order."""

    def add(
        number: str = "A-1", total: str = "5000.00", currency: str = "UZS", status: str = "open"
    ) -> Record:
        values = {"number": number, "status": status, "total": {"amount": total, "currency": currency}}
        return records.create(dataset=selectors.dataset_of(organization, "orders"), values=values, actor=ADA)

    return add


def status_of(record: Record) -> str:
    record.refresh_from_db()
    return str(record.data["status"])


def call(method: str, code: str = "payme", request_id: int = 1, **params: Any) -> Any:
    """One JSON-RPC call of Payme: the result, or the error's code."""
    answer = send(code, {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}, "payme")
    assert answer.status_code == 200
    content = answer.json()
    assert (content["jsonrpc"], content["id"]) == ("2.0", request_id)
    return content["result"] if "result" in content else content["error"]["code"]


def created(
    external: str = "5305e3bab097f420a62ced0b", number: str = "A-1", amount: int = TIYIN, **more: Any
) -> Any:
    import time

    given = {
        "id": external,
        "time": int(time.time() * 1000),
        "amount": amount,
        "account": {"order_id": number},
    }
    return call("CreateTransaction", **{**given, **more})


@pytest.fixture
def register(shop: Shop) -> Integration:
    return shop("payme", code="payme", options={"merchant": MERCHANT})


def test_a_payment_of_payme_from_the_check_to_the_statement(register: Integration, order: Any) -> None:
    record = order()
    assert call("CheckPerformTransaction", amount=TIYIN, account={"order_id": "A-1"}) == {"allow": True}
    made = created()
    row = MerchantTransaction.objects.get()
    assert made == {"create_time": row.create_time, "transaction": row.public_id, "state": 1}
    assert created() == made  # the same call again
    assert status_of(record) == "open"
    done = call("PerformTransaction", id=row.external_id)
    row.refresh_from_db()
    assert done == {"transaction": row.public_id, "perform_time": row.perform_time, "state": 2}
    assert row.perform_time >= row.create_time
    assert call("PerformTransaction", id=row.external_id) == done
    assert status_of(record) == "paid"
    assert call("CheckTransaction", id=row.external_id) == {
        "create_time": row.create_time,
        "perform_time": row.perform_time,
        "cancel_time": 0,
        "transaction": row.public_id,
        "state": 2,
        "reason": None,
    }
    statement = call("GetStatement", **{"from": row.provider_time, "to": row.provider_time})
    [entry] = statement["transactions"]
    assert entry["id"] == row.external_id
    assert (entry["amount"], entry["account"], entry["state"]) == (TIYIN, {"order_id": "A-1"}, 2)
    empty = call("GetStatement", **{"from": row.provider_time + 1, "to": row.provider_time + 9})
    assert empty == {"transactions": []}
    gone = call("CancelTransaction", id=row.external_id, reason=5)
    row.refresh_from_db()
    assert gone == {"transaction": row.public_id, "cancel_time": row.cancel_time, "state": -2}
    assert call("CancelTransaction", id=row.external_id, reason=3) == gone
    assert call("CheckTransaction", id=row.external_id)["reason"] == 5
    assert status_of(record) == "refunded"
    assert call("PerformTransaction", id=row.external_id) == payme.CANNOT_PERFORM
    assert created() == payme.CANNOT_PERFORM


def test_what_payme_may_not_pay(register: Integration, order: Any) -> None:
    order()
    order("A-2", status="paid")
    order("A-3", currency="USD")
    order("A-4", total="0.00")
    check = "CheckPerformTransaction"
    for number, amount, code in (
        ("A-1", TIYIN - 1, payme.WRONG_AMOUNT),
        ("A-1", -TIYIN, payme.WRONG_AMOUNT),
        ("A-2", TIYIN, payme.ACCOUNT_CLOSED),
        ("A-3", TIYIN, payme.WRONG_AMOUNT),
        ("A-4", 0, payme.WRONG_AMOUNT),
        ("nothing", TIYIN, payme.NO_ACCOUNT),
        ("", TIYIN, payme.NO_ACCOUNT),
        (None, TIYIN, payme.NO_ACCOUNT),
        ({"a": 1}, TIYIN, payme.NO_ACCOUNT),
        ("x" * 5000, TIYIN, payme.INVALID_REQUEST),
    ):
        assert call(check, amount=amount, account={"order_id": number}) == code
        assert created(number=number, amount=amount) == code  # type: ignore[arg-type]
    for params in (
        {"account": {"order_id": "A-1"}},
        {"amount": "500000", "account": {"order_id": "A-1"}},
        {"amount": 500000.0, "account": {"order_id": "A-1"}},
        {"amount": True, "account": {"order_id": "A-1"}},
        {"amount": TIYIN, "account": "A-1"},
    ):
        assert call(check, **params) == payme.INVALID_REQUEST
    assert not MerchantTransaction.objects.exists()


def test_an_order_is_paid_once(register: Integration, order: Any) -> None:
    record = order()
    created("first")
    assert created("second") == payme.ACCOUNT_BUSY
    assert call("CheckPerformTransaction", amount=TIYIN, account={"order_id": "A-1"}) == payme.ACCOUNT_BUSY
    assert call("CancelTransaction", id="first", reason=3)["state"] == -1
    assert status_of(record) == "open"
    assert created("second")["state"] == 1
    call("PerformTransaction", id="second")
    assert created("third") == payme.ACCOUNT_CLOSED
    assert MerchantTransaction.objects.count() == 2


def test_payme_forgets_a_payment_after_twelve_hours(register: Integration, order: Any) -> None:
    record = order()
    created()
    past = MerchantTransaction.objects.get().create_time - payme.TIMEOUT_MS
    MerchantTransaction.objects.update(create_time=past)
    assert call("PerformTransaction", id="5305e3bab097f420a62ced0b") == payme.CANNOT_PERFORM
    found = call("CheckTransaction", id="5305e3bab097f420a62ced0b")
    assert (found["state"], found["reason"]) == (-1, 4)
    assert status_of(record) == "open"
    assert created("late", time=past) == payme.CANNOT_PERFORM
    assert created("next")["state"] == 1
    MerchantTransaction.objects.filter(external_id="next").update(create_time=past)
    assert created("next") == payme.CANNOT_PERFORM
    assert call("CheckTransaction", id="next")["state"] == -1


def test_what_was_paid_stays_paid_where_nothing_says_how_to_take_it_back(shop: Shop, order: Any) -> None:
    record = order()
    merchant = {name: value for name, value in MERCHANT.items() if name != "refunded"}
    shop("payme", code="payme", options={"merchant": merchant})
    created("one")
    call("PerformTransaction", id="one")
    assert call("CancelTransaction", id="one", reason=5) == payme.CANNOT_CANCEL
    assert status_of(record) == "paid"
    assert call("CheckTransaction", id="one")["state"] == 2


def test_payme_gets_an_answer_to_everything(register: Integration) -> None:
    assert call("Nonsense") == payme.NO_METHOD
    for method in ("PerformTransaction", "CheckTransaction"):
        assert call(method, id="unknown") == payme.NO_TRANSACTION
    assert call("CancelTransaction", id="unknown", reason=1) == payme.NO_TRANSACTION
    assert call("CheckTransaction") == payme.INVALID_REQUEST
    assert call("GetStatement", **{"from": "a", "to": 1}) == payme.INVALID_REQUEST
    for body, code in (
        (b"{", payme.PARSE_ERROR),
        (b"[]", payme.INVALID_REQUEST),
        (b'{"method": 1, "params": {}}', payme.INVALID_REQUEST),
        (b'{"id": 4, "method": "CheckTransaction"}', payme.INVALID_REQUEST),
        (b"[" * 5000, payme.PARSE_ERROR),
        (b"", payme.PARSE_ERROR),
    ):
        answer = send("payme", body, "payme")
        assert (answer.status_code, answer.json()["error"]["code"]) == (200, code)
    texts = send("payme", b"{", "payme").json()["error"]["message"]
    assert set(texts) == {"ru", "uz", "en"}


def test_payme_without_its_key_gets_minus_32504(register: Integration, order: Any) -> None:
    order()
    body = {"jsonrpc": "2.0", "id": 9, "method": "CheckPerformTransaction", "params": {}}
    for headers in ({}, {"Authorization": "Basic UGF5Y29tOndyb25n"}):
        answer = send("payme", body, headers=headers)
        assert answer.status_code == 200
        assert answer.json()["error"]["code"] == -32504
        assert answer.json()["id"] == 9
    assert receiver_of(register).counts.get().rejected == 2
    assert not InboundWebhook.objects.exists()


def test_a_payment_that_was_moved_follows_the_routes_and_a_question_does_not(
    register: Integration, order: Any
) -> None:
    order()
    call("CheckPerformTransaction", amount=TIYIN, account={"order_id": "A-1"})
    created("one")
    call("PerformTransaction", id="one")
    call("PerformTransaction", id="one")
    rows = list(InboundWebhook.objects.order_by("id"))
    assert [(row.event_type, row.status) for row in rows] == [
        ("payme.CheckPerformTransaction", "completed"),
        ("payme.CreateTransaction", "pending"),
        ("payme.PerformTransaction", "pending"),
        ("payme.PerformTransaction", "completed"),
    ]
    assert rows[2].response["result"]["state"] == 2
    assert rows[2].headers["authorization"] == "***"
    work()
    told = Event.objects.filter(type="inbound.received").order_by("id")
    assert [event.data["event_type"] for event in told] == [
        "payme.CreateTransaction",
        "payme.PerformTransaction",
    ]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"dataset": "nope"}, "/dataset"),
        ({"amount": "number"}, "/amount"),
        ({"status": "nope"}, "/status"),
        ({"payable": "open"}, "/payable"),
        ({"x": 1}, "/x"),
    ],
)
def test_wrong_statements_about_orders_are_named(shop: Shop, change: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        shop("payme", code="payme", options={"merchant": {**MERCHANT, **change}})
    assert [error.pointer for error in caught.value.errors] == [f"/options/merchant{pointer}"]


# --- Click


@pytest.fixture
def service(shop: Shop) -> Integration:
    return shop("click", code="click", options={"merchant": MERCHANT, "service_id": "7"})


def click(**fields: Any) -> dict[str, Any]:
    body = urlencode(click_form(**{"amount": "5000.00", **fields})).encode()
    answer = send("click", body, headers={}, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def test_a_payment_of_click_from_prepare_to_complete(service: Integration, order: Any) -> None:
    record = order()
    prepared = click()
    row = MerchantTransaction.objects.get()
    assert prepared == {
        "click_trans_id": 1001,
        "merchant_trans_id": "A-1",
        "merchant_prepare_id": row.serial,
        "error": 0,
        "error_note": "Success",
    }
    assert click() == prepared
    assert status_of(record) == "open"
    completed = click(action=1, merchant_prepare_id=row.serial)
    assert completed == {
        "click_trans_id": 1001,
        "merchant_trans_id": "A-1",
        "merchant_confirm_id": row.serial,
        "error": 0,
        "error_note": "Success",
    }
    assert status_of(record) == "paid"
    assert click(action=1, merchant_prepare_id=row.serial)["error"] == -4
    assert click()["error"] == -4
    assert click(click_trans_id=1002)["error"] == -4
    work()
    assert Event.objects.filter(type="inbound.received").count() == 2


def test_clicks_errors(service: Integration, order: Any) -> None:
    order()
    assert click(sign_string="0" * 32) == {
        "click_trans_id": 1001,
        "merchant_trans_id": "A-1",
        "error": -1,
        "error_note": "SIGN CHECK FAILED!",
    }
    assert click(secret="wrong")["error"] == -1
    assert click(amount="4999.99")["error"] == -2
    assert click(amount="NaN")["error"] == -2
    assert click(amount="5000.001")["error"] == -2
    assert click(action=2)["error"] == -3
    assert click(merchant_trans_id="nothing")["error"] == -5
    assert click(action=1, merchant_prepare_id=1)["error"] == -6
    assert click(service_id=8)["error"] == -8
    assert click(sign_time="")["error"] == -8
    assert not MerchantTransaction.objects.exists()
    prepared = click()
    assert click(action=1, merchant_prepare_id=prepared["merchant_prepare_id"] + 1)["error"] == -6
    assert click(action=1, merchant_prepare_id=prepared["merchant_prepare_id"], amount="1.00")["error"] == -2
    other = click(action=1, merchant_prepare_id=prepared["merchant_prepare_id"], merchant_trans_id="A-2")
    assert other["error"] == -6
    assert MerchantTransaction.objects.get().status == "created"


def test_a_payment_that_came_to_nothing_at_click_is_cancelled(service: Integration, order: Any) -> None:
    record = order()
    prepared = click()
    failed = click(action=1, merchant_prepare_id=prepared["merchant_prepare_id"], error=-5017)
    assert (failed["error"], failed["error_note"]) == (-9, "Transaction cancelled")
    row = MerchantTransaction.objects.get()
    assert (row.status, row.reason) == ("cancelled", -5017)
    assert click(action=1, merchant_prepare_id=prepared["merchant_prepare_id"])["error"] == -9
    assert status_of(record) == "open"
    # The payer tries again.
    assert click(click_trans_id=1002)["error"] == 0


def test_a_payer_who_left_and_comes_back_gets_a_new_payment(service: Integration, order: Any) -> None:
    order()
    first = click()
    second = click(click_trans_id=1002)
    assert second["error"] == 0
    assert click(action=1, merchant_prepare_id=first["merchant_prepare_id"])["error"] == -9
    done = click(click_trans_id=1002, action=1, merchant_prepare_id=second["merchant_prepare_id"])
    assert done["error"] == 0


def test_payme_and_click_do_not_sell_one_order_twice(
    register: Integration, service: Integration, order: Any
) -> None:
    record = order()
    created("one")
    assert click()["error"] == -4
    call("CancelTransaction", id="one", reason=3)
    prepared = click()
    assert prepared["error"] == 0
    assert created("two") == payme.ACCOUNT_BUSY
    click(action=1, merchant_prepare_id=prepared["merchant_prepare_id"])
    assert status_of(record) == "paid"


@pytest.mark.django_db(transaction=True)
def test_twenty_payments_of_one_order_at_once_make_one(shop: Shop, order: Any) -> None:
    shop("payme", code="payme", options={"merchant": MERCHANT})
    order()
    results: list[Any] = []

    def pay(number: int) -> None:
        try:
            results.append(created(f"t{number % 10}"))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=pay, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 20
    assert MerchantTransaction.objects.count() == 1
    assert sum(isinstance(result, dict) for result in results) == 2
    assert all(result == payme.ACCOUNT_BUSY for result in results if not isinstance(result, dict))
