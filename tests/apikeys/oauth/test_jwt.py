"""JSON Web Tokens for people: `auth/token`, `/refresh`, `/revoke`, and what forgers try."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from jwcrypto import jwk

from apps.apikeys.models import SigningKey, TokenFamily
from apps.apikeys.services import bearers, sessions, signing
from apps.audit.models import AuditEntry
from apps.tenants.models import Organization, User
from apps.tenants.principals import SYSTEM
from apps.tenants.services import organizations
from tests.apikeys.oauth.conftest import Asking, calls
from tests.people import PASSWORD, member, signed_in

RECORDS = "/api/v1/records/clients"


def ask(path: str = "", client: Client | None = None, **values: Any) -> Any:
    return (client or Client()).post(f"/api/v1/auth/token{path}", values, "application/json")


def tokens_of(user: User, **values: Any) -> dict[str, Any]:
    answer = ask(email=user.email, password=PASSWORD, **values)
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


def test_a_person_signs_in(owner: User, acme: Organization) -> None:
    answer = ask(email=owner.email.upper(), password=PASSWORD)
    assert answer.headers["Cache-Control"] == "no-store"
    tokens = answer.json()
    assert tokens["organization"] == acme.public_id
    assert tokens["expires_in"] == 900
    claims = signing.read(tokens["access_token"], typ="at+jwt")
    assert claims is not None
    assert claims["aud"] == f"{settings.HUB_BASE_URL}/api"
    assert claims["exp"] - claims["iat"] == 900
    assert calls(tokens["access_token"], RECORDS).status_code == 200
    assert AuditEntry.objects.get(action="token.issued").actor_ref == owner.email

    again = ask("/refresh", refresh_token=tokens["refresh_token"]).json()
    assert calls(again["access_token"], RECORDS).status_code == 200
    assert ask("/revoke", token=again["refresh_token"]).status_code == 204
    for pair in (tokens, again):
        assert calls(pair["access_token"], RECORDS).status_code == 401
    assert ask("/refresh", refresh_token=again["refresh_token"]).status_code == 401


def test_scopes_follow_the_role(acme: Organization) -> None:
    auditor = member(acme, "auditor")
    tokens = tokens_of(auditor)
    assert tokens["scope"] == "*:read"
    assert calls(tokens["access_token"], RECORDS).status_code == 200
    refused = Client().post(
        RECORDS, {}, "application/json", headers={"Authorization": f"Bearer {tokens['access_token']}"}
    )
    assert refused.status_code == 403
    narrow = tokens_of(auditor, scopes=["datasets:read"])
    assert calls(narrow["access_token"], RECORDS).status_code == 403
    assert ask(email=auditor.email, password=PASSWORD, scopes=["records:write"]).status_code == 403
    organizations.admit(organization=acme, user=auditor, role="staff")
    bearers.forget_all()
    assert calls(tokens["access_token"], "/api/v1/webhooks").status_code == 403


def test_who_is_in_several_organizations_names_one(
    owner: User, acme: Organization, globex: Organization
) -> None:
    organizations.admit(organization=globex, user=owner, role="staff")
    answer = ask(email=owner.email, password=PASSWORD)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/organization"
    tokens = tokens_of(owner, organization="globex")
    assert tokens["organization"] == globex.public_id
    assert ask(email=owner.email, password=PASSWORD, organization="nowhere").status_code == 422


def test_from_the_session(owner: User) -> None:
    assert ask(client=signed_in(owner)).status_code == 200
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(owner)
    assert ask(client=strict).status_code == 403
    assert ask().status_code == 401


@pytest.mark.parametrize(
    ("email", "password"),
    [("owner@acme.example", "wrong"), ("nobody@acme.example", PASSWORD), ("\x00", PASSWORD), ("", "")],
)
def test_wrong_credentials_are_told_alike(owner: User, email: str, password: str) -> None:
    answer = ask(email=email, password=password)
    assert answer.status_code in (400, 401, 422)
    if answer.status_code == 401:
        assert answer.json()["code"] == "invalid_grant"


def test_guessing_runs_out_and_being_right_does_not(owner: User, acme: Organization) -> None:
    other = member(acme, "admin")
    for _ in range(12):
        tokens_of(owner)
    answers = [ask(email=owner.email, password=f"wrong {n}").status_code for n in range(10)]
    assert answers[0] == 401
    assert answers[-1] == 429
    refused = ask(email=owner.email.upper(), password=PASSWORD)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert tokens_of(other)


def test_a_password_given_out_by_somebody_else_signs_nobody_in(owner: User) -> None:
    owner.must_change_password = True
    owner.save()
    assert ask(email=owner.email, password=PASSWORD).status_code == 401


def test_an_old_refresh_token_ends_the_family(owner: User) -> None:
    first = tokens_of(owner)
    second = ask("/refresh", refresh_token=first["refresh_token"]).json()
    assert calls(second["access_token"], RECORDS).status_code == 200
    assert ask("/refresh", refresh_token=first["refresh_token"]).status_code == 401
    assert calls(second["access_token"], RECORDS).status_code == 401
    assert ask("/refresh", refresh_token=second["refresh_token"]).status_code == 401
    assert AuditEntry.objects.filter(action="token.reused").count() == 1


def test_a_made_up_refresh_token_ends_nothing(owner: User) -> None:
    tokens = tokens_of(owner)
    family = TokenFamily.objects.get()
    forged = base64.urlsafe_b64encode(family.pk.bytes + (0).to_bytes(4, "big") + bytes(32)).decode()
    for text in (
        f"jrt_{forged.rstrip('=')}",
        "jrt_",
        "jrt_x",
        tokens["refresh_token"][:-2] + "AA",
        "x" * 199,
    ):
        assert ask("/refresh", refresh_token=text).status_code == 401
        assert ask("/revoke", token=text).status_code == 204
    assert calls(tokens["access_token"], RECORDS).status_code == 200
    assert ask("/refresh", refresh_token=tokens["refresh_token"]).status_code == 200


def test_an_inactive_person_gets_nothing_more(owner: User) -> None:
    tokens = tokens_of(owner)
    owner.is_active = False
    owner.save()
    bearers.forget_all()
    assert calls(tokens["access_token"], RECORDS).status_code == 401
    assert ask("/refresh", refresh_token=tokens["refresh_token"]).status_code == 401
    assert ask(email=owner.email, password=PASSWORD).status_code == 401


# Forgeries.


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return f"{_b64(json.dumps(header).encode())}.{_b64(json.dumps(claims).encode())}"


@pytest.fixture
def real(owner: User) -> tuple[dict[str, Any], str, str]:
    """The claims of a good token, its text, and its key's id."""
    text = tokens_of(owner)["access_token"]
    claims = signing.read(text, typ="at+jwt")
    assert claims is not None
    return claims, text, SigningKey.objects.get().kid


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
def test_alg_none_is_refused(real: tuple[dict[str, Any], str, str], alg: str) -> None:
    claims, text, kid = real
    body = _unsigned({"alg": alg, "typ": "at+jwt", "kid": kid}, claims)
    signature = text.rpartition(".")[2]
    for forged in (f"{body}.", f"{body}.{signature}", body):
        assert calls(forged, RECORDS).status_code == 401


@pytest.mark.parametrize("header", [b"[" * 5000, b'{"a":' * 1400, b"[1]", b"1", b"\xff", b""])
def test_a_header_that_is_none(real: tuple[dict[str, Any], str, str], header: bytes) -> None:
    _, text, _ = real
    assert calls(f"{_b64(header)}.{text.partition('.')[2]}", RECORDS).status_code == 401


def test_the_public_key_is_no_shared_secret(real: tuple[dict[str, Any], str, str]) -> None:
    claims, _, kid = real
    key = jwk.JWK(**SigningKey.objects.get().public_jwk)
    pem = key.export_to_pem()
    for secret in (pem, pem.strip(), json.dumps(SigningKey.objects.get().public_jwk).encode(), b""):
        for alg, digest in (("HS256", hashlib.sha256), ("HS512", hashlib.sha512), ("RS256", hashlib.sha256)):
            body = _unsigned({"alg": alg, "typ": "at+jwt", "kid": kid}, claims)
            forged = f"{body}.{_b64(hmac.digest(secret, body.encode(), digest))}"
            assert calls(forged, RECORDS).status_code == 401


def test_a_key_that_comes_along_is_not_used(real: tuple[dict[str, Any], str, str]) -> None:
    claims, _, kid = real
    mine = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = json.loads(jwk.JWK.from_pyca(mine.public_key()).export_public())
    more = [
        {},
        {"jwk": public},
        {"jku": "https://evil.example/jwks.json"},
        {"x5u": "https://evil.example/x5u"},
        {"x5c": ["AAAA"]},
        {"crit": ["exp"], "exp": 1},
        {"kid": "../../../../dev/null"},
        {"kid": ""},
        {"kid": None},
        {"kid": ["a"]},
        {"kid": "x' OR '1'='1"},
        {"b64": False},
    ]
    for header in more:
        body = _unsigned({"alg": "RS256", "typ": "at+jwt", "kid": kid, **header}, claims)
        signature = mine.sign(body.encode(), padding.PKCS1v15(), SHA256())
        assert calls(f"{body}.{_b64(signature)}", RECORDS).status_code == 401


def _signed(claims: dict[str, Any], typ: str = "at+jwt") -> str:
    return signing.sign(claims, typ=typ)


def test_only_access_tokens_for_this_api_let_in(
    real: tuple[dict[str, Any], str, str], asking: Asking
) -> None:
    claims, text, _ = real
    now = int(time.time())
    assert calls(_signed(claims), RECORDS).status_code == 200
    for change in (
        {"iss": "https://other.example"},
        {"aud": "https://other.example/api"},
        {"aud": [claims["aud"]]},
        {"exp": now - 1},
        {"exp": str(now + 100)},
        {"exp": True},
        {"exp": 1e400},
        {"nbf": now + 60},
        {"nbf": None},
        {"sid": "fam_00000000000000000000000000"},
        {"sid": None},
        {"sid": {"a": 1}},
    ):
        assert calls(_signed({**claims, **change}), RECORDS).status_code == 401, change
    assert calls(_signed(claims, "JWT"), RECORDS).status_code == 401
    assert calls(text[:-4] + "AAAA", RECORDS).status_code == 401
    assert calls(text + "." + text, RECORDS).status_code == 401
    assert calls("a.b.c", RECORDS).status_code == 401
    assert calls(f"eyJ{'A' * 9000}.a.b", RECORDS).status_code == 401
    # An id token tells who somebody is, and opens nothing.
    assert calls(asking.signed_in(scope="openid")["id_token"], RECORDS).status_code == 401


def test_a_family_of_oauth2_is_none_of_these(asking: Asking, real: tuple[dict[str, Any], str, str]) -> None:
    claims, _, _ = real
    asking.signed_in()
    family = TokenFamily.objects.get(application__isnull=False)
    assert calls(_signed({**claims, "sid": family.public_id}), RECORDS).status_code == 401


# Keys.


def test_keys_rotate_with_an_overlap(owner: User) -> None:
    before = tokens_of(owner)["access_token"]
    old = SigningKey.objects.get().kid
    call_command("rotate_signing_key", "--ahead", "3600", verbosity=0, stdout=open("/dev/null", "w"))  # noqa: SIM115
    shown = {key["kid"] for key in signing.key_set()["keys"]}
    assert len(shown) == 2
    assert (
        json.loads(base64.urlsafe_b64decode(tokens_of(owner)["access_token"].split(".")[0] + "=="))["kid"]
        == old
    )
    SigningKey.objects.exclude(kid=old).update(
        signs_from=SigningKey.objects.get(kid=old).signs_from + timedelta(microseconds=1)
    )
    signing.forget_all()
    after = tokens_of(owner)["access_token"]
    assert json.loads(base64.urlsafe_b64decode(after.split(".")[0] + "=="))["kid"] in shown - {old}
    for token in (before, after):
        assert calls(token, RECORDS).status_code == 200

    assert signing.drop(kid=old, actor=SYSTEM)
    bearers.forget_all()
    assert calls(before, RECORDS).status_code == 401
    assert calls(after, RECORDS).status_code == 200
    assert {key["kid"] for key in signing.key_set()["keys"]} == shown - {old}
    assert AuditEntry.objects.filter(action="signing_key.rotated").exists()


def test_a_key_id_can_be_given_to_the_command(
    owner: User, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No thumbprint that begins with a dash: `--drop` takes it for an option."""
    real, made = jwk.JWK.thumbprint, list[str]()

    def thumbprint(key: jwk.JWK) -> str:
        found: str = real(key)
        if found not in made:
            made.append(found)
        return f"-{found}" if made.index(found) < 2 else found

    monkeypatch.setattr(jwk.JWK, "thumbprint", thumbprint)
    kid = signing.rotate(actor=SYSTEM).kid
    assert kid == made[2]
    call_command("rotate_signing_key", "--drop", kid)
    assert capsys.readouterr().out.startswith(f"{kid} is believed no longer")


def test_a_key_is_stored_encrypted(owner: User) -> None:
    tokens_of(owner)
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT private_pem FROM apikeys_signingkey")
        stored = bytes(cursor.fetchone()[0])
    assert b"PRIVATE" not in stored
    pem = SigningKey.objects.get().private_pem.encode()
    assert isinstance(serialization.load_pem_private_key(pem, None), rsa.RSAPrivateKey)


def test_what_is_left_of_a_sign_in_is_no_secret(owner: User) -> None:
    tokens = tokens_of(owner)
    row = TokenFamily.objects.values().get()
    assert tokens["refresh_token"] not in str(row)
    assert tokens["refresh_token"][4:40] not in str(row)
    assert sessions.of_user(owner).count() == 1
