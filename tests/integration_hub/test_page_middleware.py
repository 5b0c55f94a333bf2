"""Calls with credentials of their own pass by what serves sessions; everybody else does not."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import Client, RequestFactory
from rest_framework.test import APIClient

from apps.apikeys.services import keys
from apps.tenants.principals import SYSTEM
from apps.tenants.services import organizations
from integration_hub.page_middleware import is_keyed
from tests.people import member

PATH = "/api/v1/api-keys"
COOKIE = settings.SESSION_COOKIE_NAME


@pytest.mark.parametrize(
    ("path", "headers", "keyed"),
    [
        (PATH, {"HTTP_AUTHORIZATION": "Bearer x"}, True),
        (PATH, {"HTTP_X_API_KEY": "x"}, True),
        (PATH, {"HTTP_AUTHORIZATION": "Bearer x", "HTTP_COOKIE": "theme=dark"}, True),
        (PATH, {"HTTP_AUTHORIZATION": "Bearer x", "HTTP_COOKIE": f"a=b; {COOKIE}=abc"}, False),
        (PATH, {"HTTP_COOKIE": f"{COOKIE}=abc"}, False),
        (PATH, {}, False),
        ("/admin/", {"HTTP_AUTHORIZATION": "Bearer x"}, False),
        ("/oauth/token", {"HTTP_AUTHORIZATION": "Basic x"}, False),
    ],
)
def test_who_passes_by(path: str, headers: dict[str, str], keyed: bool) -> None:
    assert is_keyed(RequestFactory().get(path, **headers)) is keyed  # type: ignore[arg-type]


def test_a_header_does_not_open_the_way_past_the_csrf_check(db: None) -> None:
    """Whoever has a session is checked as before, whatever header is added."""
    user = member(organizations.create(name="Acme"))
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    body = {"name": "X", "scopes": []}
    assert client.post(PATH, body, "application/json").status_code == 403
    added = client.post(PATH, body, "application/json", headers={"X-API-Key": "nonsense"})
    assert added.status_code in (401, 403)
    assert client.post("/admin/logout/", headers={"Authorization": "Bearer x"}).status_code == 403
    assert get_user_model().objects.count() == 1


def test_a_keyed_call_has_no_session_and_sets_no_cookie(db: None) -> None:
    organization = organizations.create(name="Acme")
    issued = keys.create(organization=organization, name="t", actor=SYSTEM, scopes=["api-keys:read"])
    response: Any = APIClient().get(PATH, headers={"Authorization": f"Bearer {issued.secret}"})
    assert response.status_code == 200
    assert not hasattr(response.wsgi_request, "session")
    assert not response.cookies
    assert response["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in response["Content-Security-Policy"]


def test_a_stranger_with_a_header_is_refused_like_any_other(db: None) -> None:
    for path in (PATH, "/api/v1/records/clients", "/api/v1/nothing", "/api/docs"):
        response = APIClient(raise_request_exception=False).get(path, headers={"Authorization": "Basic eDp5"})
        assert response.status_code in (200, 401, 404)
