"""The same token, twice at the same time: never two live chains."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, connections

from apps.apikeys.models import AccessToken, DeviceGrant, RefreshToken, TokenFamily
from apps.tenants.models import Organization, User
from apps.tenants.services import organizations
from tests.apikeys.oauth.conftest import DEVICE_GRANT, Asking, Register, calls
from tests.apikeys.oauth.test_jwt import RECORDS, ask, tokens_of
from tests.people import member, signed_in

pytestmark = pytest.mark.django_db(transaction=True)
THREADS = 4


@pytest.fixture
def acme(transactional_db: None) -> Organization:
    return organizations.create(name="Acme")


@pytest.fixture
def owner(acme: Organization) -> User:
    return member(acme, "owner")


@pytest.fixture(autouse=True)
def _connections() -> Iterator[None]:
    yield
    connections.close_all()


def together(deed: Callable[[], Any]) -> list[Any]:
    """What the deed gives to several threads that begin at one moment."""
    gate = threading.Barrier(THREADS)
    found: list[Any] = []

    def run() -> None:
        gate.wait()
        try:
            found.append(deed())
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == THREADS
    return found


def test_a_refresh_token_at_once(asking: Asking) -> None:
    first = asking.signed_in()
    answers = together(lambda: asking.refresh(first["refresh_token"]))
    won = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(won) <= 1
    assert all(answer.status_code in (200, 400) for answer in answers)
    # Somebody came second, so nobody is left in.
    assert TokenFamily.objects.get().ended_at is not None
    for tokens in [first, *won]:
        assert calls(tokens["access_token"], RECORDS).status_code == 401
        assert asking.refresh(tokens["refresh_token"]).status_code == 400


def test_refreshing_while_an_old_token_comes_back(asking: Asking) -> None:
    first = asking.signed_in()
    second = asking.refresh(first["refresh_token"]).json()
    texts = iter([first["refresh_token"], second["refresh_token"]] * THREADS)
    answers = together(lambda: asking.refresh(next(texts)))
    for tokens in [second, *(answer.json() for answer in answers if answer.status_code == 200)]:
        assert calls(tokens["access_token"], RECORDS).status_code == 401
        assert asking.refresh(tokens["refresh_token"]).status_code == 400


def test_a_code_at_once(asking: Asking) -> None:
    code = asking.code()
    answers = together(lambda: asking.exchange(code))
    won = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(won) <= 1
    assert AccessToken.objects.count() == RefreshToken.objects.count() <= 1
    for tokens in won:
        assert calls(tokens["access_token"], RECORDS).status_code == 401


def test_a_device_code_at_once(asking: Asking, owner: User) -> None:
    begun = asking.post("/oauth/device-authorization").json()
    form = {"user_code": begun["user_code"], "decision": "allow", "organization": "acme"}
    signed_in(owner).post("/oauth/device", form)
    assert DeviceGrant.objects.get().status == DeviceGrant.AUTHORIZED
    answers = together(lambda: asking.token(grant_type=DEVICE_GRANT, device_code=begun["device_code"]))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * (THREADS - 1)
    assert AccessToken.objects.count() == 1


def test_a_json_web_token_at_once(owner: User) -> None:
    first = tokens_of(owner)
    answers = together(lambda: ask("/refresh", refresh_token=first["refresh_token"]))
    won = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(won) <= 1
    assert all(answer.status_code in (200, 401) for answer in answers)
    for tokens in [first, *won]:
        assert calls(tokens["access_token"], RECORDS).status_code == 401
        assert ask("/refresh", refresh_token=tokens["refresh_token"]).status_code == 401


def test_ending_while_refreshing(asking: Asking, register: Register) -> None:
    first = asking.signed_in()
    turns = iter(["refresh", "revoke"] * THREADS)

    def deed() -> Any:
        if next(turns) == "refresh":
            return asking.refresh(first["refresh_token"])
        return asking.post("/oauth/revoke", token=first["refresh_token"])

    answers = together(deed)
    for answer in answers:
        if b"refresh_token" in answer.content:
            tokens = answer.json()
            assert calls(tokens["access_token"], RECORDS).status_code == 401
            assert asking.refresh(tokens["refresh_token"]).status_code == 400
