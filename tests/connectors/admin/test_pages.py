"""Connecting a system, watching it, and mending it, in the admin."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.audit.models import AuditEntry
from apps.connectors.models import Integration, IntegrationLog, SyncError, SyncJob
from apps.connectors.services import running
from apps.tenants.services import organizations
from tests.connectors.shop import MAPPING, TOKEN, customer
from tests.people import member, signed_in

LISTS = ("integration", "syncjob", "syncerror", "integrationlog")


def text_of(response):
    """What a person reads."""
    html = response.content.decode()
    return " ".join(re.sub(r"<(script|style)[^>]*>.*?</\1>|<[^>]+>", " ", html, flags=re.S).split())


def page(model, ref, view="change"):
    return reverse(f"admin:connectors_{model}_{view}", args=[ref])


def filled(peer, **more):
    """The connection form as a person fills it in."""
    return {
        "name": "Shop",
        "description": "",
        "code": "",
        "environment": "production",
        "auth_mode": "bearer",
        "config__base_url": peer.url,
        "config__test_path": "/me",
        "config__auth__in": "header",
        "config__auth__name": "X-API-Key",
        "config__auth__prefix": "",
        "credential__bearer__token": TOKEN,
        "schedule": "15",
        "sync_direction": "inbound",
        "sync_enabled": "on",
        "streams-TOTAL_FORMS": "1",
        "streams-INITIAL_FORMS": "0",
        "streams-0-name": "customers",
        "streams-0-path": "/cursor/customers",
        "streams-0-records_path": "results",
        "streams-0-remote_id": "id",
        "streams-0-kind": "cursor",
        "streams-0-p_param": "after",
        "streams-0-p_next_path": "paging.next.after",
        "streams-0-p_size_param": "limit",
        "streams-0-p_size": "10",
        "streams-0-cursor_path": "updated_at",
        "streams-0-since_name": "updated_since",
        "streams-0-since_in": "query",
        "streams-0-since_format": "iso",
        "streams-0-since_op": "gte",
        "streams-0-dataset": "clients",
        "streams-0-mode": "incremental",
        "streams-0-enabled": "on",
        "streams-0-inline_mapping": '{"fields": [{"target": "external_id", "source": "id"}, '
        '{"target": "name", "source": "name"}, {"target": "email", "source": "email"}]}',
        **more,
    }


def test_the_catalog_shows_cards_and_is_searched(browser):
    url = reverse("admin:connectors_catalog")

    everything = text_of(browser.get(url))
    assert "REST API" in everything
    assert "HubSpot" in everything
    found = text_of(browser.get(url, {"q": "marketing"}))
    assert "HubSpot" in found
    assert "Any system with a JSON API" not in found
    assert "Nothing found" in text_of(browser.get(url, {"q": "zzz"}))


def test_from_the_catalog_to_synced_records(browser, organization, peer):
    form = browser.get(reverse("admin:connectors_connect", args=["rest"]))
    assert "Base URL" in text_of(form)
    assert "What you need" in text_of(form)

    saved = browser.post(reverse("admin:connectors_connect", args=["rest"]), filled(peer), follow=True)

    row = Integration.objects.get()
    assert saved.redirect_chain == [(page("integration", row.number), 302)]
    assert "Saved. The connection works" in text_of(saved)
    assert (row.status, row.test_passed, row.sync_interval_minutes) == ("pending_setup", True, 15)
    assert row.config["streams"][0] == {
        "name": "customers",
        "request": {"path": "/cursor/customers", "method": "GET"},
        "remote_id": "id",
        "records_path": "results",
        "paginate": {
            "kind": "cursor",
            "param": "after",
            "next_path": "paging.next.after",
            "size_param": "limit",
            "size": 10,
        },
        "incremental": {
            "cursor_path": "updated_at",
            "name": "updated_since",
            "in": "query",
            "format": "iso",
            "op": "gte",
            "lookback": 0,
        },
        "dataset": "clients",
        "mapping": MAPPING,
    }

    active = browser.post(page("integration", row.number, "activate"), {"_confirmed": "1"}, follow=True)
    assert "“Shop” is active." in text_of(active)

    started = browser.post(page("integration", row.number, "sync_now"), {"_confirmed": "1"}, follow=True)
    job = SyncJob.objects.get()
    assert started.redirect_chain[-1] == (page("syncjob", job.number), 302)
    progress = browser.get(page("syncjob", job.number, "progress")).json()
    assert (progress["active"], progress["percent"]) == (True, None)

    running.run(job_id=job.pk)
    progress = browser.get(page("syncjob", job.number, "progress")).json()
    assert (progress["active"], progress["percent"], progress["text"]) == (False, 100.0, "25 of 25 rows")
    seen = text_of(browser.get(page("syncjob", job.number)))
    assert "records created" in seen
    overview = text_of(browser.get(page("integration", row.number)))
    assert "Every 15 minutes" in overview
    assert "2026-01-01T10:25:00Z" in overview
    actions = set(AuditEntry.objects.values_list("action", flat=True))
    assert actions >= {"integration.created", "integration.tested", "integration.connected", "sync.requested"}


def test_wrong_input_is_marked_at_its_field_and_nothing_is_saved(browser, peer):
    wrong = filled(
        peer,
        config__base_url="ftp://shop",
        schedule="crontab",
        crontab="61 * * * *",
        **{"streams-0-p_next_path": "", "streams-0-dataset": ""},
    )

    answer = browser.post(reverse("admin:connectors_connect", args=["rest"]), wrong)

    assert answer.status_code == 200
    form, rows = answer.context["form"], answer.context["rows"]
    assert list(form.errors) == ["config__base_url", "crontab"]
    assert "“61” is not a valid minute." in text_of(answer)
    assert Integration.objects.count() == 0

    answer = browser.post(
        reverse("admin:connectors_connect", args=["rest"]), filled(peer, **{"streams-0-p_next_path": ""})
    )
    rows = answer.context["rows"]
    assert rows[0].non_field_errors() or rows[0].errors
    assert "needs one of: next_path, last_row_path" in text_of(answer)
    assert Integration.objects.count() == 0


def test_settings_keep_credentials_that_are_left_empty(browser, connect, peer):
    row = connect()
    url = page("integration", row.number, "edit")

    shown = browser.get(url)
    assert TOKEN not in shown.content.decode()
    assert "Stored. Leave it empty to keep it." in text_of(shown)
    initial = shown.context["rows"][0].initial
    assert (initial["kind"], initial["p_param"], initial["cursor_path"]) == ("cursor", "after", "updated_at")

    browser.post(url, filled(peer, name="Store", credential__bearer__token="", _save="1"))

    row.refresh_from_db()
    assert (row.name, row.credentials) == ("Store", {"token": TOKEN})
    assert row.status == "active"

    browser.post(url, filled(peer, name="Store", credential__bearer__token="another-token", _save="1"))
    row.refresh_from_db()
    assert (row.credentials, row.status) == ({"token": "another-token"}, "pending_setup")


def test_a_failed_test_is_told_and_does_not_activate(browser, peer):
    url = reverse("admin:connectors_connect", args=["rest"])
    saved = browser.post(url, filled(peer, credential__bearer__token="wrong-token"), follow=True)
    row = Integration.objects.get()

    assert "Saved, but the test failed. The provider refused the credentials (HTTP 401)." in text_of(saved)
    refused = browser.post(page("integration", row.number, "activate"), {"_confirmed": "1"}, follow=True)
    assert "Shop was not activated." in text_of(refused)
    row.refresh_from_db()
    assert row.status == "pending_setup"


def test_catalog_streams_go_to_datasets(browser):
    url = reverse("admin:connectors_connect", args=["hubspot"])
    shown = browser.get(url)
    assert "People in the CRM." in text_of(shown)
    form = {
        "name": "CRM",
        "environment": "production",
        "auth_mode": "bearer",
        "credential__bearer__token": "pat-na1-0000-1111",
        "schedule": "",
        "sync_direction": "inbound",
        "sync_enabled": "on",
        "_save": "1",
        "streams-TOTAL_FORMS": "2",
        "streams-INITIAL_FORMS": "2",
        "streams-0-name": "contacts",
        "streams-0-dataset": "contacts",
        "streams-0-mode": "full",
        "streams-0-enabled": "on",
        "streams-1-name": "companies",
        "streams-1-dataset": "",
        "streams-1-mode": "full",
    }

    answer = browser.post(url, form)

    assert answer.status_code == 302, answer.context["form"].errors
    row = Integration.objects.get()
    assert (row.type, row.auto_sync) == ("crm", False)
    assert [(use.name, use.dataset.slug, use.enabled) for use in row.streams.all()] == [
        ("contacts", "contacts", True)
    ]


def test_rows_that_were_refused_are_mended(browser, connect, sync, peer, organization):
    peer.collections["customers"][2] = customer(3, email="nowhere")
    row = connect()
    job = sync(row)
    error = SyncError.objects.get()

    assert "1 row could not be taken over" in text_of(browser.get(page("integration", row.number)))
    assert "nowhere" in text_of(browser.get(page("syncerror", error.public_id)))
    listed = browser.get(reverse("admin:connectors_syncerror_changelist"), {"job__id__exact": str(job.pk)})
    assert "3" in text_of(listed)
    again = browser.post(page("syncerror", error.public_id, "retry"), {"_confirmed": "1"}, follow=True)
    assert "1 row still cannot be taken over." in text_of(again)
    SyncError.objects.update(row=customer(3))
    good = browser.post(page("syncerror", error.public_id, "retry"), {"_confirmed": "1"}, follow=True)
    assert "1 row was taken over." in text_of(good)
    error.refresh_from_db()
    assert error.status == "resolved"


@pytest.mark.parametrize(
    ("deed", "status"), [("pause", "inactive"), ("disconnect", "disconnected"), ("remove", "disconnected")]
)
def test_damage_is_confirmed_first(browser, connect, deed, status):
    row = connect()
    url = page("integration", row.number, deed)

    asked = browser.get(url)
    assert "?" in text_of(asked)
    row.refresh_from_db()
    assert row.status == "active"
    browser.post(url, {"_confirmed": "1"})
    row.refresh_from_db()
    assert row.status == status


def test_no_page_shows_a_credential(browser, connect, sync, peer):
    peer.fault("status", path="/cursor", after=1, times=1, status=401, body={"message": f"Bad {TOKEN}"})
    row = connect()
    job = sync(row)
    assert job.status == "failed"
    log = IntegrationLog.objects.order_by("-id").first()

    urls = [reverse(f"admin:connectors_{name}_changelist") for name in LISTS]
    urls += [
        page("integration", row.number),
        page("integration", row.number, "edit"),
        page("integration", row.number, "history"),
        page("syncjob", job.number),
        page("integrationlog", log.public_id),
        reverse("admin:index"),
    ]
    for url in urls:
        answer = browser.get(url)
        assert answer.status_code == 200, url
        assert TOKEN not in answer.content.decode(), url


def test_what_was_stored_does_not_run(browser, connect, sync, peer):
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    peer.collections["customers"][2] = customer(3, email=evil)
    peer.fault("status", path="/me", after=1, status=500, body={"message": evil})
    row = connect(name=evil[:100])
    sync(row)
    browser.post(page("integration", row.number, "test_now"), {"_confirmed": "1"})
    error, log = SyncError.objects.get(), IntegrationLog.objects.order_by("-id").first()

    for url in (
        page("integration", row.number),
        page("integration", row.number, "edit"),
        page("syncerror", error.public_id),
        page("integrationlog", log.public_id),
        reverse("admin:connectors_integration_changelist"),
        reverse("admin:connectors_syncerror_changelist"),
        reverse("admin:index"),
    ):
        html = browser.get(url).content.decode()
        assert "<script>alert" not in html, url
        assert "<img src=x" not in html, url


def test_a_stranger_finds_nothing(connect, sync, peer):
    peer.collections["customers"][2] = customer(3, email="nowhere")
    row = connect()
    job = sync(row)
    error, log = SyncError.objects.get(), IntegrationLog.objects.first()
    stranger = signed_in(member(organizations.create(name="Southwind"), "owner"))

    for url in (
        page("integration", row.number),
        page("integration", row.number, "edit"),
        page("syncjob", job.number),
        page("syncjob", job.number, "progress"),
        page("syncerror", error.public_id),
        page("integrationlog", log.public_id),
    ):
        answer = stranger.get(url)
        assert answer.status_code in (302, 404), url
        assert "Shop" not in answer.content.decode()
    stranger.get(reverse("admin:index"))  # where it is told that what it asked for does not exist
    for name in LISTS:
        listed = text_of(stranger.get(reverse(f"admin:connectors_{name}_changelist")))
        assert "Shop" not in listed
        assert row.number not in listed
    for deed in ("sync_now", "activate", "test_now", "pause", "disconnect", "remove"):
        stranger.post(page("integration", row.number, deed), {"_confirmed": "1"})
    row.refresh_from_db()
    assert (row.status, row.removed_at) == ("active", None)
    assert SyncJob.objects.count() == 1


@pytest.mark.parametrize("role", ["auditor", "staff", "developer"])
def test_who_may_only_look_changes_nothing(connect, organization, role, peer):
    row = connect()
    reader = signed_in(member(organization, role))

    assert reader.get(page("integration", row.number)).status_code == 200
    assert reader.get(page("integration", row.number, "edit")).status_code == 403
    assert reader.get(reverse("admin:connectors_connect", args=["rest"])).status_code == 403
    for deed in ("sync_now", "activate", "test_now", "pause", "disconnect", "remove"):
        assert reader.post(page("integration", row.number, deed), {"_confirmed": "1"}).status_code == 403, (
            deed
        )
    row.refresh_from_db()
    assert row.status == "active"
    assert SyncJob.objects.count() == 0


@pytest.mark.parametrize("name", LISTS)
def test_lists_cost_the_same_for_one_row_and_for_many(browser, connect, sync, peer, name):
    def queries():
        with CaptureQueriesContext(connection) as found:
            assert browser.get(reverse(f"admin:connectors_{name}_changelist")).status_code == 200
        return len(found)

    peer.collections["customers"][2] = customer(3, email="nowhere")
    sync(connect())
    queries()
    one = queries()
    for number in range(4):
        row = connect(name=f"Shop {number}")
        sync(row)
        sync(row, mode="full")

    assert queries() == one


@pytest.mark.parametrize("name", LISTS)
def test_empty_lists_say_what_would_be_there(browser, name):
    shown = text_of(browser.get(reverse(f"admin:connectors_{name}_changelist")))

    assert "yet" in shown or "No row was refused" in shown
