"""Clients that others wrote, against the hub at a real port: authlib and requests-oauthlib."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from authlib.integrations.httpx_client import OAuth2Client
from django.conf import LazySettings
from django.test import Client
from joserfc import jwt
from joserfc.jwk import KeySet
from oauthlib.oauth2 import BackendApplicationClient
from requests_oauthlib import OAuth2Session

from apps.tenants.models import Organization, User
from apps.tenants.services import organizations
from tests.apikeys.oauth.conftest import CALLBACK, Register
from tests.people import member, signed_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def acme(transactional_db: None) -> Organization:
    return organizations.create(name="Acme")


@pytest.fixture
def hub(live_server: Any, settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> str:
    settings.HUB_BASE_URL = live_server.url
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    return str(live_server.url)


def consent(browser: Client, address: str) -> str:
    """What the person's browser is sent back to."""
    parts = urlsplit(address)
    path = f"{parts.path}?{parts.query}"
    assert browser.get(path).status_code == 200
    answer = browser.post(path, {"decision": "allow", "organization": "acme"})
    assert answer.status_code == 303
    return str(answer.headers["Location"])


@pytest.fixture
def person(acme: Organization) -> User:
    return member(acme, "owner")


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_authlib(hub: str, register: Register, person: User, method: str) -> None:
    issued = register()
    told = httpx.get(f"{hub}/.well-known/oauth-authorization-server").json()
    assert told["issuer"] == hub
    client = OAuth2Client(
        client_id=issued.application.client_id,
        client_secret=issued.secret,
        token_endpoint_auth_method=method,
        scope="openid profile email records:read",
        redirect_uri=CALLBACK,
        code_challenge_method="S256",
        token_endpoint=told["token_endpoint"],
    )
    verifier = "v" * 64
    address, state = client.create_authorization_url(
        told["authorization_endpoint"], code_verifier=verifier, nonce="n-1"
    )
    back = consent(signed_in(person), address)
    token = client.fetch_token(
        told["token_endpoint"], authorization_response=back, state=state, code_verifier=verifier
    )
    keys = httpx.get(told["jwks_uri"]).json()
    claims = jwt.decode(token["id_token"], KeySet.import_key_set(keys), algorithms=["RS256"]).claims
    jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": hub},
        aud={"essential": True, "value": issued.application.client_id},
        nonce={"essential": True, "value": "n-1"},
        exp={"essential": True},
    ).validate(claims)
    assert client.get(told["userinfo_endpoint"]).json()["sub"] == claims["sub"]
    assert client.get(f"{hub}/api/v1/records/clients").status_code == 200

    old = token["access_token"]
    new = client.refresh_token(told["token_endpoint"], refresh_token=token["refresh_token"])
    assert new["access_token"] != old
    about = client.introspect_token(told["introspection_endpoint"], token=new["access_token"]).json()
    assert about["active"] is True
    assert client.revoke_token(told["revocation_endpoint"], token=new["refresh_token"]).status_code == 200
    assert (
        httpx.get(
            f"{hub}/api/v1/records/clients", headers={"Authorization": f"Bearer {new['access_token']}"}
        ).status_code
        == 401
    )


def test_authlib_for_itself(hub: str, register: Register) -> None:
    issued = register()
    client = OAuth2Client(issued.application.client_id, issued.secret, scope="datasets:read")
    client.fetch_token(f"{hub}/oauth/token", grant_type="client_credentials")
    assert client.get(f"{hub}/api/v1/datasets").status_code == 200


def test_authlib_at_a_public_application(hub: str, register: Register, person: User) -> None:
    issued = register(public=True, redirect_uris=["http://127.0.0.1/cb"])
    client = OAuth2Client(
        client_id=issued.application.client_id,
        token_endpoint_auth_method="none",
        scope="records:read",
        redirect_uri="http://127.0.0.1:51234/cb",
        code_challenge_method="S256",
    )
    address, state = client.create_authorization_url(f"{hub}/oauth/authorize", code_verifier="w" * 64)
    back = consent(signed_in(person), address)
    assert back.startswith("http://127.0.0.1:51234/cb?")
    token = client.fetch_token(
        f"{hub}/oauth/token", authorization_response=back, state=state, code_verifier="w" * 64
    )
    assert client.get(f"{hub}/api/v1/records/clients").status_code == 200
    assert client.refresh_token(f"{hub}/oauth/token", refresh_token=token["refresh_token"])["access_token"]


def test_requests_oauthlib(hub: str, register: Register, person: User) -> None:
    issued = register()
    session = OAuth2Session(
        issued.application.client_id, redirect_uri=CALLBACK, scope=["records:read"], pkce="S256"
    )
    address, _ = session.authorization_url(f"{hub}/oauth/authorize")
    back = consent(signed_in(person), address)
    token = session.fetch_token(
        f"{hub}/oauth/token", authorization_response=back, client_secret=issued.secret
    )
    assert session.get(f"{hub}/api/v1/records/clients").status_code == 200
    session.refresh_token(
        f"{hub}/oauth/token",
        refresh_token=token["refresh_token"],
        client_id=issued.application.client_id,
        client_secret=issued.secret,
    )
    assert session.get(f"{hub}/api/v1/records/clients").status_code == 200


def test_requests_oauthlib_for_itself(hub: str, register: Register) -> None:
    issued = register()
    client = BackendApplicationClient(client_id=issued.application.client_id, scope=["datasets:read"])
    session = OAuth2Session(client=client)
    session.fetch_token(f"{hub}/oauth/token", client_secret=issued.secret)
    assert session.get(f"{hub}/api/v1/datasets").status_code == 200
