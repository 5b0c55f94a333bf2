"""Signing in and other public doors: limits by address and account, which keep no owner out for long."""

from __future__ import annotations

import socket
import time
from types import SimpleNamespace
from typing import Any

import django_ratelimit.core
import pytest
from django.core.cache import caches
from django.test import Client

from apps.apikeys import limiter, public_limits, sign_in
from apps.apikeys.limiter.core import CLOSED, Limiter
from apps.apikeys.limiter.local import LocalStore
from apps.apikeys.limiter.remote import RedisStore
from apps.tenants.models import Organization, User
from apps.tenants.roles import Role
from apps.tenants.services import organizations

LOGIN = "/admin/login/"
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def _one_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """django-ratelimit counts in fixed windows: no test runs over the edge of one."""
    now = time.time()
    monkeypatch.setattr(django_ratelimit.core, "time", SimpleNamespace(time=lambda: now))


class Clock:
    now = 1_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The accounts' counters by a clock that is driven."""
    clock = Clock()
    limiter.use(Limiter(local=LocalStore(clock)))
    return clock


@pytest.fixture
def anna(acme: Organization) -> User:
    user = User.objects.create_user("anna@example.com", PASSWORD, is_staff=True)
    organizations.admit(organization=acme, user=user, role=Role.OWNER)
    return user


def attempt(client: Client, password: str, name: str = "anna@example.com", **meta: str) -> int:
    found: int = client.post(LOGIN, {"username": name, "password": password}, **meta).status_code
    return found


def test_an_address_that_guesses_is_refused_with_a_page(anna: User, clock: Clock) -> None:
    client = Client(REMOTE_ADDR="203.0.113.5")
    found = [attempt(client, "wrong", name=f"user{n}@example.com") for n in range(25)]
    assert found == [200] * 20 + [429] * 5
    answer = client.post(LOGIN, {"username": "x", "password": "y"}, HTTP_X_FORWARDED_FOR="198.51.100.1")
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) >= 1
    assert answer["Cache-Control"] == "no-store"
    assert "Too many attempts" in answer.content.decode()
    # The form itself can be looked at, and others are not concerned.
    assert client.get(LOGIN).status_code == 200
    assert attempt(Client(REMOTE_ADDR="203.0.113.6"), PASSWORD) == 302


def test_signing_in_rightly_costs_nothing(anna: User, clock: Clock) -> None:
    assert [attempt(Client(REMOTE_ADDR="203.0.113.5"), PASSWORD) for _ in range(30)] == [302] * 30


def test_one_account_is_guessed_at_a_few_times_from_one_place(anna: User, clock: Clock) -> None:
    stranger = Client(REMOTE_ADDR="203.0.113.5")
    most, seconds = sign_in.PLACE
    found = [attempt(stranger, "wrong") for _ in range(most + 3)]
    assert found == [200] * most + [429] * 3
    # Not even the right password gets in meanwhile, in capitals neither; from elsewhere it does.
    assert attempt(stranger, PASSWORD, name="ANNA@example.com ") == 429
    assert attempt(Client(REMOTE_ADDR="198.51.100.9"), PASSWORD) == 302
    clock.now += seconds * 1_000_000
    assert attempt(stranger, PASSWORD) == 302


def test_a_stranger_cannot_lock_the_owner_out(anna: User, clock: Clock) -> None:
    """From a browser that was used before, Anna gets in all the time; from a new one within minutes."""
    known = Client(REMOTE_ADDR="192.0.2.1")
    assert attempt(known, PASSWORD) == 302
    del known.cookies["hub_session"]
    cookie = known.cookies[sign_in.COOKIE]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    most, seconds = sign_in.ACCOUNT
    for n in range(most):
        attempt(Client(REMOTE_ADDR=f"203.0.113.{n}"), "wrong")
    assert attempt(Client(REMOTE_ADDR="198.51.100.1"), PASSWORD) == 429
    fresh = Client(REMOTE_ADDR="192.0.2.1")
    fresh.cookies[sign_in.COOKIE] = cookie.value
    assert attempt(fresh, PASSWORD) == 302
    for n in range(most):
        attempt(Client(REMOTE_ADDR=f"203.0.113.{n}"), "wrong")
    clock.now += seconds * 1_000_000
    assert attempt(Client(REMOTE_ADDR="198.51.100.1"), PASSWORD) == 302


def test_a_cookie_of_another_account_or_made_up_helps_nobody(anna: User, clock: Clock) -> None:
    from django.core import signing

    most, _ = sign_in.ACCOUNT
    for n in range(most):
        attempt(Client(REMOTE_ADDR=f"203.0.113.{n}"), "wrong")
    foreign = signing.dumps([sign_in._account("eve@example.com"), "abc"], salt="hub.sign-in.device")
    for value in ("nonsense", foreign, signing.dumps(["x"], salt="hub.sign-in.device"), "x" * 5000):
        client = Client(REMOTE_ADDR="198.51.100.1")
        client.cookies[sign_in.COOKIE] = value
        assert attempt(client, PASSWORD) == 429


def test_a_known_browser_guesses_only_a_few_times_too(anna: User, clock: Clock) -> None:
    known = Client(REMOTE_ADDR="192.0.2.1")
    attempt(known, PASSWORD)
    del known.cookies["hub_session"]
    most, _ = sign_in.DEVICE
    assert [attempt(known, "wrong") for _ in range(most + 2)] == [200] * most + [429] * 2


@pytest.mark.parametrize("path", ["/api/v1/auth/token", "/api/auth/token/refresh"])
def test_programs_get_a_problem(db: None, path: str) -> None:
    client = Client(REMOTE_ADDR="203.0.113.5")
    found = [client.post(path, {}, content_type="application/json").status_code for _ in range(61)]
    assert 429 not in found[:60]
    refused = client.post(path, {}, content_type="application/json")
    assert refused.status_code == 429
    assert refused["Content-Type"] == "application/problem+json"
    assert refused.json()["type"].endswith("#quota-exceeded")
    assert int(refused["Retry-After"]) >= 1


def test_oauth_clients_get_an_error_that_they_know(db: None) -> None:
    from django.test import RequestFactory

    answer = public_limits.refusal(RequestFactory().post("/oauth/token"), 12)
    assert (answer.status_code, answer["Retry-After"]) == (429, "12")
    import json

    assert json.loads(answer.content)["error"] == "temporarily_unavailable"
    page = public_limits.refusal(RequestFactory().get("/oauth/authorize", HTTP_ACCEPT="text/html,*/*"), 12)
    assert "text/html" in page["Content-Type"]


def test_doors_stay_limited_while_redis_is_away(anna: User, settings: Any) -> None:
    """Neither an error nor an open door: this process counts by itself, whatever the policy for keys is."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        gone = f"redis://127.0.0.1:{probe.getsockname()[1]}/0"
    settings.CACHES = {
        **settings.CACHES,
        "limits": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": gone},
    }
    assert caches["limits"] is not None
    public_limits._local.clear()
    limiter.use(Limiter(store=RedisStore(gone), when_down=CLOSED))
    client = Client(REMOTE_ADDR="203.0.113.77")
    found = [attempt(client, "wrong", name=f"user{n}@example.com") for n in range(23)]
    assert found == [200] * 20 + [429] * 3
    assert attempt(Client(REMOTE_ADDR="203.0.113.78"), PASSWORD) == 302
    public_limits._local.clear()
