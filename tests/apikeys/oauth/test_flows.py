"""The flows as they should go."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from apps.apikeys.models import AccessToken, Consent, TokenFamily
from apps.apikeys.services import signing
from apps.audit.models import AuditEntry
from apps.tenants.models import Organization, User
from tests.apikeys.oauth.conftest import CALLBACK, DEVICE_GRANT, Asking, Register, calls, returned
from tests.people import member, signed_in


def test_a_person_allows_and_the_application_works_in_their_name(asking: Asking) -> None:
    page = asking.browser.get(asking.address())
    text = page.content.decode()
    assert page.status_code == 200
    for words in ("Shop Sync", "Acme", "See records of every kind", "app.example.com"):
        assert words in text
    assert "no-store" in page.headers["Cache-Control"]
    assert "form-action 'self' https://app.example.com" in page.headers["Content-Security-Policy"]

    back = asking.allow()
    assert back["state"] == "st-1"
    answer = asking.exchange(back["code"])
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    tokens = answer.json()
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == 900
    assert tokens["scope"] == "records:read"

    assert calls(tokens["access_token"], "/api/v1/records/clients").status_code == 200
    assert calls(tokens["access_token"], "/api/v1/datasets").status_code == 403
    again = asking.refresh(tokens["refresh_token"]).json()
    assert again["access_token"] != tokens["access_token"]
    assert calls(again["access_token"], "/api/v1/records/clients").status_code == 200


def test_what_was_allowed_is_remembered_and_audited(asking: Asking, owner: User) -> None:
    asking.allow()
    consent = Consent.objects.get()
    assert consent.scopes == ["records:read"]
    entry = AuditEntry.objects.get(action="application.authorized")
    assert entry.actor_ref == owner.email
    assert entry.object_ref == asking.application.client_id

    at_once = asking.browser.get(asking.address(state="st-2"))
    assert at_once.status_code == 302
    assert returned(at_once)["state"] == "st-2"
    assert asking.browser.get(asking.address(prompt="consent")).status_code == 200
    assert asking.browser.get(asking.address(scope="records:read records:write")).status_code == 200


def test_who_declines_is_sent_back_with_it(asking: Asking) -> None:
    answer = asking.browser.post(asking.address(), {"decision": "deny"})
    back = returned(answer)
    assert back["error"] == "access_denied"
    assert back["state"] == "st-1"
    assert "code" not in back


def test_a_stranger_signs_in_first(asking: Asking) -> None:
    answer = Client().get(asking.address())
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/admin/login/?next=%2Foauth%2Fauthorize%3F")
    silent = Client().get(asking.address(prompt="none"))
    assert returned(silent)["error"] == "login_required"


def test_silent_questions(asking: Asking) -> None:
    assert returned(asking.browser.get(asking.address(prompt="none")))["error"] == "consent_required"
    asking.allow()
    assert "code" in returned(asking.browser.get(asking.address(prompt="none")))


def test_a_person_of_two_organizations_chooses(
    register: Register, acme: Organization, globex: Organization, owner: User
) -> None:
    from apps.tenants.services import organizations

    organizations.admit(organization=globex, user=owner, role="staff")
    asking = Asking(register(shared=True, scopes=["records:read", "webhooks:read"]), signed_in(owner))
    wanted = {"scope": "records:read webhooks:read"}
    page = asking.browser.get(asking.address(**wanted, organization=globex.slug)).content.decode()
    assert '<option value="globex" selected>' in page
    assert "your role does not hold" in page

    tokens = asking.exchange(asking.code(organization=globex, **wanted)).json()
    assert tokens["scope"] == "records:read"
    token = AccessToken.objects.get()
    assert token.organization == globex
    about = asking.post("/oauth/introspect", token=tokens["access_token"]).json()
    assert about["organization"] == globex.public_id


def test_wildcards_shrink_to_the_role(register: Register, acme: Organization) -> None:
    auditor = member(acme, "auditor")
    asking = Asking(register(scopes=["*:*"]), signed_in(auditor))
    assert asking.signed_in(scope="records:* jobs:read")["scope"] == "jobs:read records:read"


def test_an_application_for_itself(asking: Asking) -> None:
    answer = asking.token(grant_type="client_credentials", scope="datasets:read")
    assert answer.status_code == 200
    tokens = answer.json()
    assert "refresh_token" not in tokens
    assert tokens["scope"] == "datasets:read"
    assert calls(tokens["access_token"]).status_code == 200
    assert calls(tokens["access_token"], "/api/v1/records/clients").status_code == 403
    everything = asking.token(grant_type="client_credentials").json()
    assert set(everything["scope"].split()) == set(asking.application.scopes)


def test_a_device(asking: Asking, owner: User) -> None:
    begun = asking.post("/oauth/device-authorization", scope="records:read openid").json()
    assert begun["verification_uri"].endswith("/oauth/device")
    poll = {"grant_type": DEVICE_GRANT, "device_code": begun["device_code"]}
    assert asking.token(**poll).json()["error"] == "authorization_pending"
    assert asking.token(**poll).json()["error"] == "slow_down"

    browser = signed_in(owner)
    typed = begun["user_code"].lower().replace("-", " ")
    page = browser.post("/oauth/device", {"user_code": typed})
    assert page.status_code == 200
    assert begun["user_code"] in page.content.decode()
    done = browser.post(
        "/oauth/device", {"user_code": begun["user_code"], "decision": "allow", "organization": "acme"}
    )
    assert done.status_code == 200
    answer = asking.token(**poll)
    assert answer.status_code == 200, answer.content
    tokens = answer.json()
    assert calls(tokens["access_token"], "/api/v1/records/clients").status_code == 200
    assert "refresh_token" in tokens
    assert "id_token" in tokens
    assert asking.token(**poll).json()["error"] == "invalid_grant"
    assert TokenFamily.objects.get().origin == "device"


def test_a_device_that_is_declined(asking: Asking, owner: User) -> None:
    begun = asking.post("/oauth/device-authorization").json()
    browser = signed_in(owner)
    browser.post("/oauth/device", {"user_code": begun["user_code"], "decision": "deny"})
    answer = asking.token(grant_type=DEVICE_GRANT, device_code=begun["device_code"])
    assert answer.json()["error"] == "access_denied"


def test_who_signed_in(asking: Asking, owner: User) -> None:
    owner.first_name, owner.last_name = "Olivia", "Ono"
    owner.save()
    tokens = asking.signed_in(scope="openid profile email", nonce="n-1")
    claims = signing.read(tokens["id_token"], typ="JWT")
    assert claims is not None
    assert claims["aud"] == asking.application.client_id
    assert claims["nonce"] == "n-1"
    assert claims["iss"] == settings.HUB_BASE_URL
    assert claims["name"] == "Olivia Ono"
    assert claims["email"] == owner.email
    assert str(owner.pk) != claims["sub"]
    told = calls(tokens["access_token"], "/oauth/userinfo").json()
    assert told["sub"] == claims["sub"]
    assert told["email"] == owner.email


def test_introspection_and_revocation(asking: Asking) -> None:
    tokens = asking.signed_in()
    for name, kind in (("access_token", "Bearer"), ("refresh_token", "refresh_token")):
        about = asking.post("/oauth/introspect", token=tokens[name]).json()
        assert about["active"] is True
        assert about["token_type"] == kind
        assert about["client_id"] == asking.application.client_id
        assert about["scope"] == "records:read"
    assert asking.post("/oauth/introspect", token="rubbish").json() == {"active": False}

    path = "/api/v1/records/clients"
    assert calls(tokens["access_token"], path).status_code == 200
    assert asking.post("/oauth/revoke", token=tokens["refresh_token"]).status_code == 200
    assert calls(tokens["access_token"], path).status_code == 401
    assert asking.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert asking.post("/oauth/introspect", token=tokens["access_token"]).json() == {"active": False}


@pytest.mark.parametrize("where", ["oauth-authorization-server", "openid-configuration"])
def test_metadata(where: str, client: Client) -> None:
    told = client.get(f"/.well-known/{where}").json()
    assert told["issuer"] == settings.HUB_BASE_URL
    assert told["authorization_response_iss_parameter_supported"] is True
    assert told["code_challenge_methods_supported"] == ["S256"]
    assert told["response_types_supported"] == ["code"]
    for name in ("introspection", "revocation", "device_authorization", "token", "authorization", "userinfo"):
        address = told[f"{name}_endpoint"].removeprefix(settings.HUB_BASE_URL)
        assert client.options(address).status_code != 404


@pytest.mark.django_db
def test_the_key_set(client: Client) -> None:
    keys = client.get("/.well-known/jwks.json").json()["keys"]
    assert len(keys) == 1
    assert keys[0]["alg"] == "RS256"
    assert keys[0]["use"] == "sig"
    assert not {"d", "p", "q", "dp", "dq", "qi"} & set(keys[0])


def test_errors_of_the_api_are_problems(asking: Asking) -> None:
    answer = calls("oat_" + "x" * 43)
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "invalid_token"
    challenge = answer.headers["WWW-Authenticate"]
    assert challenge.startswith('Bearer realm="Integration Hub", error="invalid_token"')
    nobody = Client().get("/api/v1/datasets")
    assert nobody.headers["WWW-Authenticate"] == 'Bearer realm="Integration Hub"'
    tokens: dict[str, Any] = asking.token(grant_type="client_credentials", scope="datasets:read").json()
    forbidden = calls(tokens["access_token"], "/api/v1/records/clients")
    assert 'error="insufficient_scope", scope="records:read"' in forbidden.headers["WWW-Authenticate"]
    assert CALLBACK not in forbidden.content.decode()
