"""Idempotency-Key: the same call has one effect."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from apps.apikeys.models import APIKey, IdempotencyRecord
from apps.apikeys.services import idempotency as store
from apps.tenants.models import Organization, Project

PROJECTS = "/api/v1/projects"


def post(client: APIClient, name: str, key: str = "k-1", path: str = PROJECTS, **headers: Any) -> Any:
    return client.post(path, {"name": name}, format="json", HTTP_IDEMPOTENCY_KEY=key, **headers)


def test_the_same_call_is_answered_alike_and_done_once(client: APIClient) -> None:
    first = post(client, "One")
    again = post(client, "One")
    assert first.status_code == again.status_code == 201
    assert again.content == first.content
    assert again["ETag"] == first["ETag"]
    assert again["Content-Type"] == "application/json"
    assert "Idempotent-Replayed" not in first
    assert again["Idempotent-Replayed"] == "true"
    assert Project.objects.count() == 1


def test_the_unversioned_address_is_the_same_place(client: APIClient) -> None:
    post(client, "One")
    assert post(client, "One", path="/api/projects")["Idempotent-Replayed"] == "true"


def test_another_body_is_refused(client: APIClient) -> None:
    post(client, "One")
    other = post(client, "Two")
    assert other.status_code == 422
    assert other.json()["code"] == "idempotency_key_reused"
    assert Project.objects.count() == 1


def test_other_callers_and_places_have_keys_of_their_own(client: APIClient, acme: Organization) -> None:
    from tests.kernel.api.conftest import client_of

    post(client, "One")
    assert "Idempotent-Replayed" not in post(client_of(acme), "One")
    assert "Idempotent-Replayed" not in post(client, "One", path="/api/v1/echo")
    assert Project.objects.count() == 2


def test_refusals_are_kept_but_not_limits_and_failures(client: APIClient) -> None:
    for _ in range(2):
        response = post(client, "x" * 50, key="bad")
        assert response.status_code == 422
    assert response["Idempotent-Replayed"] == "true"
    assert response["Content-Type"] == "application/problem+json"
    for name, status in (("busy", 503), ("limit", 429), ("boom", 500)):
        for _ in range(2):
            response = post(client, name, key=name)
            assert response.status_code == status
            assert "Idempotent-Replayed" not in response
    assert IdempotencyRecord.objects.count() == 1


def test_while_one_runs_the_other_waits_outside(client: APIClient) -> None:
    post(client, "One")
    record = IdempotencyRecord.objects.get()
    IdempotencyRecord.objects.filter(pk=record.pk).update(status_code=None)
    response = post(client, "One")
    assert response.status_code == 409
    assert response.json()["code"] == "idempotency_in_flight"
    assert Project.objects.count() == 1


def test_a_crashed_call_frees_its_key_when_the_lease_ends(client: APIClient) -> None:
    post(client, "One")
    Project.objects.all().delete()
    past = timezone.now() - timedelta(seconds=1)
    IdempotencyRecord.objects.update(status_code=None, locked_until=past)
    response = post(client, "One")
    assert response.status_code == 201
    assert "Idempotent-Replayed" not in response
    assert Project.objects.count() == 1


def test_who_lost_the_lease_stores_nothing(acme: Organization) -> None:
    from apps.kernel.api.idempotency import Answer, Call

    call = Call(acme.pk, "api_key:K", "k", "POST", "/api/x", "f")
    shop = store.DatabaseStore()
    slow = shop.begin(call, lease=0)
    quick = shop.begin(call, lease=60)
    assert not isinstance(slow, Answer)
    assert not isinstance(quick, Answer)
    shop.finish(slow, Answer(201, b"slow"))
    shop.finish(quick, Answer(201, b"quick"))
    shop.release(slow)
    assert shop.begin(call, lease=60) == Answer(201, b"quick", {})


def test_after_a_day_the_key_is_free_again(client: APIClient) -> None:
    post(client, "One")
    IdempotencyRecord.objects.update(expires_at=timezone.now())
    assert post(client, "Two").status_code == 201
    assert IdempotencyRecord.objects.count() == 1
    IdempotencyRecord.objects.update(expires_at=timezone.now())
    assert store.forget_expired() == 1


@pytest.mark.parametrize("key", [" ", "é", "a" * 256, "with space", "tab\there"])
def test_a_key_is_visible_ascii(client: APIClient, key: str) -> None:
    response = post(client, "One", key=key)
    assert response.status_code == 400
    assert Project.objects.count() == 0


def test_the_body_can_still_be_read_and_is_still_limited(client: APIClient) -> None:
    big = client.post("/api/v1/echo", {"a": "x" * 2000}, format="json", HTTP_IDEMPOTENCY_KEY="big")
    assert big.status_code == 413
    fine = client.post("/api/v1/echo", {"a": "x"}, format="json", HTTP_IDEMPOTENCY_KEY="fine")
    assert fine.json() == {"body": {"a": "x"}}


def test_a_refused_caller_leaves_no_trace(acme: Organization) -> None:
    assert post(APIClient(), "One").status_code == 401
    assert IdempotencyRecord.objects.count() == 0


def test_a_new_keys_secret_is_kept_encrypted(client: APIClient, settings: Any) -> None:
    settings.ROOT_URLCONF = "integration_hub.urls"
    body = {"name": "Shop", "scopes": ["records:read"]}
    first = client.post("/api/v1/api-keys", body, format="json", HTTP_IDEMPOTENCY_KEY="one")
    again = client.post("/api/v1/api-keys", body, format="json", HTTP_IDEMPOTENCY_KEY="one")
    secret = first.json()["key"]
    assert again.json()["key"] == secret
    assert APIKey.objects.count() == 2
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM apikeys_idempotencyrecord")
        stored = str(
            [[bytes(v) if isinstance(v, memoryview) else v for v in row] for row in cursor.fetchall()]
        )
    assert secret not in stored
    assert secret.rsplit("_", 1)[1] not in stored


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_one_acts(acme: Organization) -> None:
    from tests.kernel.api.conftest import client_of

    client = client_of(acme)
    start, answers = threading.Barrier(6), []

    def call() -> None:
        try:
            start.wait(10)
            mine = APIClient()
            mine.credentials(**client._credentials)
            answers.append(post(mine, "One").status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert Project.objects.count() == 1
    assert sorted(set(answers)) in ([201], [201, 409])
    assert len(answers) == 6
