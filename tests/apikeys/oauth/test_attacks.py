"""What must not work."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.apikeys.models import AccessToken, Application, Consent, DeviceGrant, Grant, TokenFamily
from apps.apikeys.services import applications, bearers, consents
from apps.audit.models import AuditEntry
from apps.kernel.errors import InvalidInput
from apps.tenants.models import Membership, Organization, User
from apps.tenants.principals import SYSTEM
from tests.apikeys.oauth.conftest import CALLBACK, DEVICE_GRANT, Asking, Register, calls, returned
from tests.people import member, signed_in

RECORDS = "/api/v1/records/clients"

VARIATIONS = [
    "https://app.example.com/callback/",
    "https://app.example.com/callback?x=1",
    "https://app.example.com/callback?",
    "https://app.example.com/callback#f",
    "https://app.example.com/callback#",
    "https://app.example.com/Callback",
    "https://APP.example.com/callback",
    "https://app.example.com:443/callback",
    "https://app.example.com:8443/callback",
    "http://app.example.com/callback",
    "https://app.example.com/callback/../callback",
    "https://app.example.com/%63allback",
    "https://app.example.com/callback%00",
    "https://app.example.com/callback;a=1",
    "https://evil@app.example.com/callback",
    "https://app.example.com@evil.example/callback",
    "https://app.example.com.evil.example/callback",
    "https://evil.example/?https://app.example.com/callback",
    "https://app.example.com\\@evil.example/callback",
    "//app.example.com/callback",
    "/callback",
    "javascript:alert(1)",
    "http://127.0.0.1/callback",
    " https://app.example.com/callback",
    "https://app.example.com/callback ",
    "",
]


@pytest.mark.parametrize("uri", VARIATIONS)
def test_only_the_registered_address_is_gone_back_to(asking: Asking, uri: str) -> None:
    for method in (asking.browser.get, asking.browser.post):
        answer = method(asking.address(redirect_uri=uri), {"decision": "allow", "organization": "acme"})
        if method == asking.browser.get:
            answer = asking.browser.get(asking.address(redirect_uri=uri))
        if uri == "":  # left out: there is only one
            continue
        assert answer.status_code == 400, uri
        assert "Location" not in answer.headers
    assert not Grant.objects.exists() or uri == ""


@pytest.mark.parametrize(
    ("uri", "right"),
    [
        ("http://127.0.0.1:51004/cb", True),
        ("http://127.0.0.1/cb", True),
        ("http://[::1]:51004/cb", True),
        ("http://localhost:51004/cb", False),
        ("http://127.0.0.1:51004/cb2", False),
        ("http://127.0.0.1:51004/cb?x=1", False),
        ("http://127.0.0.1:51004/cb#x", False),
        ("https://127.0.0.1:51004/cb", False),
        ("http://127.0.0.1@evil.example:80/cb", False),
        ("http://127.0.0.1:x@evil.example/cb", False),
        ("http://127.0.0.2:51004/cb", False),
        ("http://127.0.0.1:51004", False),
    ],
)
def test_on_ones_own_machine_the_port_is_free(register: Register, owner: User, uri: str, right: bool) -> None:
    issued = register(public=True, redirect_uris=["http://127.0.0.1:9/cb", "http://[::1]/cb"])
    asking = Asking(issued, signed_in(owner))
    assert (asking.browser.get(asking.address(redirect_uri=uri)).status_code == 200) is right
    if right:
        code = asking.code(redirect_uri=uri)
        other = asking.exchange(code, redirect_uri="http://127.0.0.1:9/cb")
        assert other.status_code == 400  # the token endpoint wants the very one
        # Never unseen: another program could listen there.
        again = asking.browser.get(asking.address(redirect_uri=uri))
        assert again.status_code == 200


@pytest.mark.parametrize(
    "uri",
    [
        "http://app.example.com/cb",
        "https://app.example.com/cb#x",
        "https://*.example.com/cb",
        "https://user@app.example.com/cb",
        "https://app.example.com/../cb",
        "javascript:alert(1)",
        "data:text/html,x",
        "myapp:/cb",
        "https:///cb",
        "http://127.0.0.1.evil.example/cb",
        "https://app.example.com/cb\\x",
        "https://app.example.com:0/cb",
    ],
)
def test_unsafe_addresses_are_not_registered(register: Register, uri: str) -> None:
    with pytest.raises(InvalidInput):
        register(public=True, redirect_uris=[uri])


def test_schemes_of_ones_own_are_for_public_applications(register: Register) -> None:
    register(public=True, redirect_uris=["com.example.app:/cb"])
    with pytest.raises(InvalidInput):
        register(redirect_uris=["com.example.app:/cb"])


def test_a_code_that_comes_twice_ends_what_it_made(asking: Asking) -> None:
    code = asking.code()
    tokens = asking.exchange(code).json()
    assert calls(tokens["access_token"], RECORDS).status_code == 200
    again = asking.exchange(code)
    assert again.status_code == 400
    assert again.json()["error"] == "invalid_grant"
    assert calls(tokens["access_token"], RECORDS).status_code == 401
    assert asking.refresh(tokens["refresh_token"]).status_code == 400
    assert AuditEntry.objects.filter(action="token.reused").count() == 1


def test_a_code_lives_a_minute(asking: Asking) -> None:
    code = asking.code()
    Grant.objects.update(expires=timezone.now())
    assert asking.exchange(code).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "values",
    [
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge": None},
        {"code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": "s256"},
        {"code_challenge_method": "S512"},
        {"code_challenge": "short"},
        {"code_challenge": "x" * 129},
    ],
)
def test_pkce_is_not_talked_down(asking: Asking, values: dict[str, Any]) -> None:
    for answer in (
        asking.browser.get(asking.address(**values)),
        asking.browser.post(asking.address(**values), {"decision": "allow", "organization": "acme"}),
    ):
        assert returned(answer)["error"] == "invalid_request"
    assert not Grant.objects.exists()


@pytest.mark.parametrize("verifier", [None, "", "x" * 43, "challenge"])
def test_a_code_without_its_verifier_is_worth_nothing(asking: Asking, verifier: str | None) -> None:
    code = asking.code()
    told = asking.challenge if verifier == "challenge" else verifier
    assert asking.exchange(code, code_verifier=told).status_code == 400
    assert not AccessToken.objects.exists()


@pytest.mark.parametrize(
    "kind", ["token", "id_token", "code token", "code id_token", "code id_token token", "none", ""]
)
def test_there_is_no_implicit_or_hybrid_flow(asking: Asking, kind: str) -> None:
    answer = asking.browser.post(
        asking.address(response_type=kind), {"decision": "allow", "organization": "acme"}
    )
    assert returned(answer)["error"] in (
        "unsupported_response_type", "unauthorized_client", "invalid_request",
    )  # fmt: skip


@pytest.mark.parametrize(
    "kind", ["password", "implicit", "openid", "urn:ietf:params:oauth:grant-type:jwt-bearer"]
)
def test_there_is_no_password_grant(asking: Asking, owner: User, kind: str) -> None:
    answer = asking.token(grant_type=kind, username=owner.email, password="correct-horse-battery", code="x")
    assert answer.status_code == 400
    assert answer.json()["error"] in ("unsupported_grant_type", "unauthorized_client")


def test_a_refresh_token_is_good_once(asking: Asking) -> None:
    first = asking.signed_in()
    second = asking.refresh(first["refresh_token"]).json()
    third = asking.refresh(second["refresh_token"]).json()
    assert calls(third["access_token"], RECORDS).status_code == 200
    assert asking.refresh(first["refresh_token"]).json()["error"] == "invalid_grant"
    for tokens in (first, second, third):
        assert calls(tokens["access_token"], RECORDS).status_code == 401
        assert asking.refresh(tokens["refresh_token"]).status_code == 400
    assert TokenFamily.objects.get().end_reason == "An old token was used again"


def test_refreshing_never_widens(asking: Asking) -> None:
    tokens = asking.signed_in()
    answer = asking.refresh(tokens["refresh_token"], scope="records:read records:write")
    assert answer.json()["error"] == "invalid_scope"
    narrow = asking.signed_in(scope="records:read records:write")
    less = asking.refresh(narrow["refresh_token"], scope="records:read").json()
    assert less["scope"] == "records:read"
    more = asking.refresh(less["refresh_token"]).json()
    assert set(more["scope"].split()) == {"records:read", "records:write"}


def test_applications_do_not_mix(asking: Asking, register: Register) -> None:
    other = Asking(register(name="Other"), asking.browser, asking.verifier)
    code = asking.code()
    assert other.exchange(code).json()["error"] == "invalid_grant"
    tokens = asking.exchange(code).json()  # the attempt of another has not used it up
    assert other.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert other.post("/oauth/revoke", token=tokens["refresh_token"]).status_code == 200
    assert calls(tokens["access_token"], RECORDS).status_code == 200
    assert asking.refresh(tokens["refresh_token"]).status_code == 200

    begun = asking.post("/oauth/device-authorization").json()
    answer = other.token(grant_type=DEVICE_GRANT, device_code=begun["device_code"])
    assert answer.json()["error"] == "invalid_grant"


def test_introspection_is_for_ones_own_tokens(
    asking: Asking, register: Register, globex: Organization
) -> None:
    tokens = asking.signed_in()
    stranger = Asking(register(globex, name="Stranger"), asking.browser)
    for text in (tokens["access_token"], tokens["refresh_token"]):
        assert stranger.post("/oauth/introspect", token=text).json() == {"active": False}
    public = Asking(register(public=True), asking.browser)
    assert public.post("/oauth/introspect", token=tokens["access_token"]).status_code == 401


@pytest.mark.parametrize(
    "values",
    [
        {"client_secret": "wrong"},
        {"client_secret": None},
        {"client_secret": ""},
        {"client_id": "app_unknown"},
        {"client_id": "\x00"},
        {"client_id": None},
    ],
)
def test_who_is_not_the_client_gets_nothing(asking: Asking, values: dict[str, Any]) -> None:
    answer = asking.token(grant_type="client_credentials", **values)
    assert answer.status_code in (400, 401)
    assert "access_token" not in answer.content.decode()


def test_two_ways_of_proving_at_once_are_refused(asking: Asking) -> None:
    text = f"{asking.application.client_id}:{asking.issued.secret}"
    header = {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}
    form = {"content_type": "application/x-www-form-urlencoded", "headers": header}
    right = Client().post("/oauth/token", "grant_type=client_credentials", **form)
    assert right.status_code == 200
    both = Client().post(
        "/oauth/token", f"grant_type=client_credentials&client_secret={asking.issued.secret}", **form
    )
    assert both.status_code == 401
    assert both.headers["WWW-Authenticate"].startswith("Basic ")


def test_a_public_application_cannot_act_for_itself(register: Register, owner: User) -> None:
    public = Asking(register(public=True), signed_in(owner))
    answer = public.token(grant_type="client_credentials")
    assert answer.status_code == 401
    with pytest.raises(InvalidInput):
        register(public=True, flows=[Application.Flow.CLIENT_CREDENTIALS])
    assert public.signed_in()["access_token"]


def test_more_than_the_application_may_ask_for_is_refused(asking: Asking) -> None:
    for scope in ("records:delete", "*:*", "admin:*", "records:*", "nonsense", "records:read x:y"):
        assert returned(asking.browser.get(asking.address(scope=scope)))["error"] == "invalid_scope"
        assert asking.token(grant_type="client_credentials", scope=scope).json()["error"] == "invalid_scope"
    answer = asking.token(grant_type="client_credentials", scope="openid")
    assert answer.json()["error"] == "invalid_scope"


def test_a_foreign_organization(asking: Asking, register: Register, globex: Organization) -> None:
    answer = asking.browser.post(asking.address(), {"decision": "allow", "organization": globex.slug})
    assert answer.status_code == 404
    shared = Asking(register(shared=True), asking.browser)
    answer = shared.browser.post(shared.address(), {"decision": "allow", "organization": globex.slug})
    assert answer.status_code == 404
    outsider = Asking(asking.issued, signed_in(member(globex, "owner")))
    assert outsider.browser.get(outsider.address()).status_code == 403
    answer = outsider.browser.post(outsider.address(), {"decision": "allow", "organization": "acme"})
    assert returned(answer)["error"] == "access_denied"
    assert not Grant.objects.exists()


def test_consent_needs_the_form(asking: Asking) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(User.objects.get())
    answer = browser.post(asking.address(), {"decision": "allow", "organization": "acme"})
    assert answer.status_code == 403
    assert not Consent.objects.exists()


@pytest.mark.parametrize(
    "extra", ["&client_id=x", "&redirect_uri=https://evil.example", "&state=2", "&scope=a"]
)
def test_a_parameter_twice_is_refused(asking: Asking, extra: str) -> None:
    assert asking.browser.get(asking.address() + extra).status_code == 400


@pytest.mark.parametrize(
    "query", ["", "?client_id=%00", "?client_id=%ZZ", "?%FF=1", "?client_id=x&state=%C0%AF"]
)
def test_rubbish_is_answered_kindly(asking: Asking, query: str) -> None:
    assert asking.browser.get(f"/oauth/authorize{query}").status_code == 400


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("grant_type=client_credentials&grant_type=x", "application/x-www-form-urlencoded"),
        ("{}", "application/json"),
        ("grant_type=%00", "application/x-www-form-urlencoded"),
        ("grant_type=%FF%FE", "application/x-www-form-urlencoded"),
        ("a" * 70_000, "application/x-www-form-urlencoded"),
        ("", "application/x-www-form-urlencoded"),
        ("&".join(f"a{n}=1" for n in range(12_000)), "application/x-www-form-urlencoded"),
    ],
)
@pytest.mark.parametrize("path", ["token", "revoke", "introspect", "device-authorization"])
@pytest.mark.django_db
def test_rubbish_at_the_endpoints(path: str, body: str, kind: str) -> None:
    answer = Client().post(f"/oauth/{path}", body, content_type=kind)
    assert 400 <= answer.status_code < 500
    assert "error" in answer.json()


def test_tokens_do_not_belong_into_addresses(asking: Asking) -> None:
    tokens = asking.signed_in()
    answer = Client().get(f"{RECORDS}?access_token={tokens['access_token']}")
    assert answer.status_code in (400, 401)


# Who is stopped, is stopped at the next call.


@pytest.fixture
def warm(asking: Asking) -> tuple[Asking, str]:
    """A token that this process remembers."""
    token = asking.signed_in()["access_token"]
    assert calls(token, RECORDS).status_code == 200
    assert bearers.find(token) is not None
    return asking, token


def test_a_stopped_application(warm: tuple[Asking, str]) -> None:
    asking, token = warm
    applications.change(application=asking.application, actor=SYSTEM, is_active=False)
    assert calls(token, RECORDS).status_code == 401
    assert asking.token(grant_type="client_credentials").status_code == 401
    assert asking.browser.get(asking.address()).status_code == 400


def test_a_deleted_application(warm: tuple[Asking, str]) -> None:
    asking, token = warm
    applications.delete(application=asking.application, actor=SYSTEM)
    assert calls(token, RECORDS).status_code == 401


def test_an_application_with_fewer_scopes(warm: tuple[Asking, str]) -> None:
    asking, token = warm
    applications.change(application=asking.application, actor=SYSTEM, scopes=["datasets:read"])
    assert calls(token, RECORDS).status_code == 403


def test_a_consent_taken_back(warm: tuple[Asking, str]) -> None:
    asking, token = warm
    consents.withdraw(consent=Consent.objects.get(), actor=SYSTEM)
    assert calls(token, RECORDS).status_code == 401
    assert asking.browser.get(asking.address()).status_code == 200


def test_a_code_of_a_consent_taken_back(asking: Asking) -> None:
    code = asking.code()
    consents.withdraw(consent=Consent.objects.get(), actor=SYSTEM)
    assert asking.exchange(code).status_code == 400


def test_a_member_seen_off(warm: tuple[Asking, str], acme: Organization) -> None:
    from apps.tenants.services import members
    from tests.people import principal_of

    _, token = warm
    other = member(acme, "owner", "second@acme.example")
    membership = Membership.objects.get(user__email="owner@acme.example")
    by = principal_of(other, acme, "owner")
    members.change(by=by, membership=membership, role="staff", is_active=False)
    assert calls(token, RECORDS).status_code == 401


def test_a_member_with_less_rights(warm: tuple[Asking, str], acme: Organization) -> None:
    from apps.tenants.services import members
    from tests.people import principal_of

    asking, _ = warm
    token = asking.signed_in(scope="records:write")["access_token"]
    call = lambda: Client().post(  # noqa: E731
        RECORDS, {"data": {}}, "application/json", headers={"Authorization": f"Bearer {token}"}
    )
    assert call().status_code != 403
    other = member(acme, "owner", "second@acme.example")
    membership = Membership.objects.get(user__email="owner@acme.example")
    by = principal_of(other, acme, "owner")
    members.change(by=by, membership=membership, role="auditor", is_active=True)
    assert call().status_code == 403


def test_an_inactive_person(warm: tuple[Asking, str], owner: User) -> None:
    asking, token = warm
    owner.is_active = False
    owner.save()
    bearers.forget_all()  # another process, or five seconds later
    assert calls(token, RECORDS).status_code == 401
    assert asking.refresh("x").status_code == 400


def test_an_inactive_organization(warm: tuple[Asking, str], acme: Organization) -> None:
    asking, token = warm
    acme.is_active = False
    acme.save()
    bearers.forget_all()
    assert calls(token, RECORDS).status_code == 401
    assert asking.token(grant_type="client_credentials").status_code == 401


def test_the_end_is_exact(warm: tuple[Asking, str]) -> None:
    _, token = warm
    AccessToken.objects.update(expires=timezone.now() - timedelta(seconds=1))
    bearers.forget_all()
    assert calls(token, RECORDS).status_code == 401


# The device flow.


def test_wrong_codes_run_out(asking: Asking, owner: User) -> None:
    browser = signed_in(owner)
    for _ in range(10):
        assert browser.post("/oauth/device", {"user_code": "BBBB-BBBB"}).status_code == 400
    assert browser.post("/oauth/device", {"user_code": "BBBB-BBBB"}).status_code == 429


def test_a_device_is_decided_once(asking: Asking, owner: User) -> None:
    begun = asking.post("/oauth/device-authorization").json()
    browser = signed_in(owner)
    form = {"user_code": begun["user_code"], "decision": "deny", "organization": "acme"}
    assert browser.post("/oauth/device", form).status_code == 200
    form["decision"] = "allow"
    assert browser.post("/oauth/device", form).status_code == 400
    assert DeviceGrant.objects.get().status == DeviceGrant.DENIED


def test_a_device_code_runs_out(asking: Asking) -> None:
    begun = asking.post("/oauth/device-authorization").json()
    DeviceGrant.objects.update(expires=timezone.now())
    answer = asking.token(grant_type=DEVICE_GRANT, device_code=begun["device_code"])
    assert answer.json()["error"] == "expired_token"
    assert CALLBACK


def test_an_old_secret_counts_as_long_as_was_said(asking: Asking) -> None:
    old = asking.issued
    new = applications.rotate_secret(application=old.application, actor=SYSTEM, overlap=timedelta(hours=1))
    for secret in (old.secret, new.secret):
        assert asking.token(grant_type="client_credentials", client_secret=secret).status_code == 200
    Application.objects.update(previous_secret_until=timezone.now())
    assert asking.token(grant_type="client_credentials", client_secret=old.secret).status_code == 401
    newest = applications.rotate_secret(application=new.application, actor=SYSTEM)
    assert asking.token(grant_type="client_credentials", client_secret=new.secret).status_code == 401
    assert asking.token(grant_type="client_credentials", client_secret=newest.secret).status_code == 200
