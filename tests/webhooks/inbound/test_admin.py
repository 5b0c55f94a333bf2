"""The pages of inbound webhooks and addresses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.connectors.models import Integration
from apps.webhooks.models import InboundReceiver, InboundWebhook
from apps.webhooks.services.inbound import watching
from tests.people import hub_messages, member, signed_in
from tests.webhooks.inbound.conftest import only, receiver_of, send, work
from tests.webhooks.inbound.providers import SECRET

pytestmark = pytest.mark.django_db
Shop = Callable[..., Integration]
ATTACK = "<script>alert(1)</script>"


@pytest.fixture
def ada(organization: Any) -> Client:
    return signed_in(member(organization))


def test_the_page_of_a_webhook_shows_all_of_it_as_text(shop: Shop, ada: Client) -> None:
    shop("generic")
    send(
        "shop",
        {"id": ATTACK, "type": ATTACK},
        "generic",
        HTTP_X_SHOP=ATTACK,
        HTTP_AUTHORIZATION="Bearer abc123",
    )
    work()
    row = only()
    page = ada.get(reverse("admin:webhooks_inboundwebhook_change", args=[row.public_id]))
    html = page.content.decode()
    assert page.status_code == 200
    assert ATTACK not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "abc123" not in html
    assert "inbound.received" in html
    listed = ada.get(reverse("admin:webhooks_inboundwebhook_changelist")).content.decode()
    assert ATTACK not in listed
    assert "inbound.received" in listed


def test_a_failed_webhook_is_worked_off_again_and_deleted(shop: Shop, ada: Client) -> None:
    shop("generic")
    send("shop", {"id": "e1"}, "generic")
    address = reverse("admin:webhooks_inboundwebhook_changelist")
    tick = {"action": "reprocess", "_selected_action": str(only().pk), "_confirmed": "1"}
    waiting = ada.post(address, tick, follow=True)
    assert hub_messages(waiting) == ["What waits, or is worked off at this moment, was left alone."]
    InboundWebhook.objects.update(status="failed", next_attempt_at=None, error_message="It broke.")
    assert "It broke." in ada.get(address).content.decode()
    assert "It broke." in ada.get(f"{address}?status=failed").content.decode()
    assert "could not be worked off" in ada.get("/admin/").content.decode()
    done = ada.post(address, tick, follow=True)
    assert hub_messages(done) == ["It is worked off again."]
    work()
    assert only().status == "completed"
    gone = ada.post(
        reverse("admin:webhooks_inboundwebhook_delete", args=[only().public_id]), {"post": "yes"}, follow=True
    )
    assert gone.status_code == 200
    assert not InboundWebhook.objects.exists()
    assert "Nothing came in yet" in ada.get(address).content.decode()


def test_webhooks_are_found_by_the_providers_id(shop: Shop, ada: Client) -> None:
    shop("generic")
    for number in range(3):
        send("shop", {"id": f"e{number}"}, "generic")
    address = reverse("admin:webhooks_inboundwebhook_changelist")
    page = ada.get(f"{address}?q=e1")
    assert [row.external_id for row in page.context["cl"].result_list] == ["e1"]
    page = ada.get(f"{address}?q={InboundWebhook.objects.get(external_id='e2').public_id}")
    assert [row.external_id for row in page.context["cl"].result_list] == ["e2"]


def test_the_address_is_given_and_its_settings_are_changed(shop: Shop, ada: Client) -> None:
    integration = shop("shopify")
    of = reverse("admin:webhooks_inbound_of", args=[integration.number])
    shown = ada.get(
        reverse("admin:connectors_integration_change", args=[integration.number])
    ).content.decode()
    assert of in shown
    assert 'data-copy="https://hub.example.com/api/v1/webhooks/receive/shop"' in shown
    page = ada.get(of, follow=True)
    html = page.content.decode()
    assert 'data-copy="https://hub.example.com/api/v1/webhooks/receive/shop"' in html
    assert "To verify" in html
    assert SECRET not in html
    address = page.redirect_chain[-1][0]
    form = {
        "enabled": "on",
        "scheme": "stripe",
        "secret": "whsec_new",
        "options": "{}",
        "routes": '[{"match": ["*"], "effect": "event", "with": {"type": "custom.paid"}}]',
        "max_retries": "3",
        "silence_after_minutes": "60",
    }
    saved = ada.post(address, form, follow=True)
    assert saved.status_code == 200
    receiver = receiver_of(integration)
    assert (receiver.scheme, receiver.max_retries, receiver.silence_after_minutes) == ("stripe", 3, 60)
    integration.refresh_from_db()
    assert integration.webhook_secret == "whsec_new"
    assert send("shop", {"id": "evt_1"}, headers={"Stripe-Signature": ATTACK}).status_code == 401
    html = ada.get(address).content.decode()
    assert "has no part v1=" in html
    assert ATTACK not in html
    wrong = ada.post(address, {**form, "routes": '[{"match": ["*"], "effect": "exec"}]', "secret": ""})
    assert wrong.status_code == 200
    assert "0/effect: Is one of" in wrong.content.decode()
    assert receiver_of(integration).routes[0]["effect"] == "event"


def test_a_silent_address_is_told_on_the_home_page(shop: Shop, ada: Client) -> None:
    shop("generic", silence_after_minutes=1)
    send("shop", {"id": 1}, "generic")
    work()
    watching.watch(now=timezone.now() + timedelta(hours=1))
    assert "is not called any more" in ada.get("/admin/").content.decode()
    receiver = InboundReceiver.objects.get()
    page = ada.get(reverse("admin:webhooks_inboundreceiver_change", args=[receiver.number]))
    assert "Silent:" in page.content.decode()


def test_an_auditor_reads_and_changes_nothing(shop: Shop, organization: Any) -> None:
    integration = shop("generic")
    send("shop", {"id": 1}, "generic")
    work()
    auditor = signed_in(member(organization, "auditor"))
    assert auditor.get(reverse("admin:webhooks_inboundwebhook_changelist")).status_code == 200
    address = reverse("admin:webhooks_inboundreceiver_change", args=[receiver_of(integration).number])
    assert auditor.get(address).status_code == 200
    assert auditor.post(address, {"scheme": "stripe"}).status_code == 403
    assert receiver_of(integration).scheme == "generic"
