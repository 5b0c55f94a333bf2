"""After a full run, no key, token or secret stands in clear in database, cache, logs or the admin's history.

`STEPS` are what is done; each returns the secrets that it saw. Whoever adds a kind of credential adds a step.
"""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

import paramiko
import pytest
from django.core import mail
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from apps.apikeys import signing as signatures
from apps.apikeys.models import APIKey, Application, SigningKey
from apps.apikeys.services import alerts, bearers, keys, rotation, signing, usage
from apps.apikeys.services.applications import IssuedApplication
from apps.connectors.services import integrations
from apps.jobs.models import FileLocation, Job, JobDelivery, JobSchedule, ScheduleRun
from apps.jobs.services import deliveries, schedule_runs, work
from apps.tenants.models import Organization, User
from apps.tenants.principals import SYSTEM
from apps.tenants.services import organizations
from tests.apikeys.oauth.conftest import CALLBACK, DEVICE_GRANT, Asking, calls
from tests.apikeys.test_admin import form
from tests.dumps import dump
from tests.people import PASSWORD, member, signed_in


class Run:
    """An organization, its owner in a browser, and an unrestricted key."""

    def __init__(self, organization: Organization) -> None:
        self.organization = organization
        self.owner: User = member(organization, "owner")
        self.browser: Client = signed_in(self.owner)
        issued = keys.create(
            organization=organization, name="run", actor=SYSTEM, scopes=["*:*"],
            permissions=keys.ALL_PERMISSIONS, never_expires=True,
        )  # fmt: skip
        self.key = issued.secret

    def api(self, **headers: str) -> APIClient:
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {self.key}", **headers)
        return client


def _keys_over_the_api(run: Run) -> Iterable[str]:
    body = {"name": "made", "scopes": ["records:read"]}
    first = run.api(HTTP_IDEMPOTENCY_KEY="one-two-three").post("/api/v1/api-keys", body, format="json")
    again = run.api(HTTP_IDEMPOTENCY_KEY="one-two-three").post("/api/v1/api-keys", body, format="json")
    assert first.status_code == again.status_code == 201
    rotated = run.api().post(f"/api/v1/api-keys/{first.json()['id']}/rotate", {}, format="json")
    return [run.key, first.json()["key"], rotated.json()["key"]]


def _keys_where_they_must_not_be(run: Run) -> Iterable[str]:
    issued = keys.create(
        organization=run.organization, name="exposed", actor=SYSTEM, scopes=["*:*"], never_expires=True
    )
    run.api().get(f"/api/v1/api-keys?key={issued.secret}")
    run.api().get(f"/api/v1/api-keys/{issued.secret}")
    run.api(HTTP_USER_AGENT=f"x {issued.secret}", HTTP_REFERER=f"https://x/?k={issued.secret}").get(
        "/api/v1/api-keys"
    )
    run.api(HTTP_X_REQUEST_ID=issued.secret).get("/api/v1/api-keys")
    run.api().patch("/api/v1/api-keys/nothing", {issued.secret: issued.secret}, format="json")
    Client().get("/api/v1/api-keys", HTTP_X_API_KEY=issued.secret[:-1] + "x")
    return [issued.secret]


def _keys_in_the_admin(run: Run) -> Iterable[str]:
    values = form(name="by hand", access="everything", chosen="")
    answer = run.browser.post("/admin/apikeys/apikey/add/", values)
    assert answer.status_code == 200
    secret: str = answer.context["secret"]
    return [secret]


def _passwords(run: Run) -> Iterable[str]:
    new = "a-brand-new-long-phrase-9471"
    run.browser.post(
        "/admin/password_change/",
        {"old_password": PASSWORD, "new_password1": new, "new_password2": new},
    )
    Client().post("/admin/login/", {"username": run.owner.email, "password": "wrong-password-5512"})
    return [new, PASSWORD, "wrong-password-5512"]


def _webhooks(run: Run) -> Iterable[str]:
    """Secrets that the hub makes and such as are brought along, before and after a rotation."""
    found: list[str] = []
    for kind in ("hmac", "ed25519"):
        body = {
            "name": f"hook {kind}", "url": "https://8.8.8.8/hook?token=adr_5b1f9c77e0d24a8d",
            "events": ["*"], "secret_kind": kind,
            "auth_type": "bearer", "auth_config": {"token": f"receivers-own-{kind}-83641"},
            "headers": {"X-Api-Key": f"header-secret-{kind}-90713"},
        }  # fmt: skip
        made = run.api(HTTP_IDEMPOTENCY_KEY=f"hook-{kind}").post("/api/v1/webhooks", body, format="json")
        assert made.status_code == 201, made.json()
        rotated = run.api().post(
            f"/api/v1/webhooks/{made.json()['id']}/rotate-secret", {"kind": kind}, format="json"
        )
        assert rotated.status_code == 201, rotated.json()
        found += [made.json()["secret"], rotated.json()["secret"]]
        found += [f"receivers-own-{kind}-83641", f"header-secret-{kind}-90713"]
    brought = "whsec_" + base64.b64encode(b"0123456789abcdef-0123456789abcde").decode()
    body = {"name": "mine", "url": "https://8.8.8.8/mine", "events": ["*"], "secret": brought}
    assert run.api().post("/api/v1/webhooks", body, format="json").status_code == 201
    found += [brought, "adr_5b1f9c77e0d24a8d"]
    return [*found, *(text.partition("_")[2] for text in found if text.startswith(("whsec_", "whsk_")))]


def _inbound(run: Run) -> Iterable[str]:
    """What an integration is reached with, and what its provider signs with, before and after a change."""
    first, second = "inbound-secret-one-55102", "inbound-secret-two-66218"
    password = "providers-password-77310"
    integration = integrations.create(
        organization=run.organization, actor=SYSTEM, connector="rest",
        values={
            "name": "Shop", "code": "shop", "auth_mode": "basic",
            "config": {"base_url": "https://shop.example.com", "streams": []},
        },
        credentials={"username": "shop", "password": password}, webhook_secret=first,
    )  # fmt: skip
    address = f"/api/v1/integrations/{integration.number}/inbound"
    for secret in (first, second):
        answer = run.api().patch(address, {"scheme": "generic", "secret": secret}, format="json")
        assert answer.status_code == 200, answer.json()
    wrong = Client().post(
        "/api/v1/webhooks/receive/shop", b"{}", content_type="application/json",
        HTTP_X_WEBHOOK_SIGNATURE=first, HTTP_AUTHORIZATION=f"Bearer {second}",
    )  # fmt: skip
    assert wrong.status_code == 401, wrong.content
    return [first, second, password]


def _oauth(run: Run) -> Iterable[str]:
    """An application's secrets, and the codes and tokens of each flow: used, refreshed, misused."""
    body = {
        "name": "Shop Sync", "flows": ["authorization_code", "client_credentials", "device_code"],
        "redirect_uris": [CALLBACK], "scopes": ["records:read", "datasets:read"],
    }  # fmt: skip
    made = run.api(HTTP_IDEMPOTENCY_KEY="app-one").post("/api/v1/oauth-applications", body, format="json")
    assert made.status_code == 201, made.json()
    client_id, first_secret = made.json()["client_id"], made.json()["client_secret"]
    rotated = run.api().post(
        f"/api/v1/oauth-applications/{client_id}/rotate-secret", {"overlap_seconds": 60}, format="json"
    )
    secret = rotated.json()["client_secret"]
    application = Application.objects.get(client_id=client_id)
    asking = Asking(IssuedApplication(application, secret), run.browser)
    code = asking.code(scope="records:read")
    tokens = asking.exchange(code).json()
    again = asking.refresh(tokens["refresh_token"]).json()
    alone = asking.token(grant_type="client_credentials").json()
    begun = asking.post("/oauth/device-authorization", scope="records:read").json()
    run.browser.get(f"/oauth/device?user_code={begun['user_code']}")
    decision = {"user_code": begun["user_code"], "decision": "allow", "organization": run.organization.slug}
    assert run.browser.post("/oauth/device", decision).status_code == 200
    device = asking.token(grant_type=DEVICE_GRANT, device_code=begun["device_code"]).json()
    unused = asking.post("/oauth/device-authorization", scope="records:read").json()
    for token in (again["access_token"], alone["access_token"]):
        assert calls(token).status_code in (200, 403)
        asking.post("/oauth/introspect", token=token)
        # Where tokens must not be: in an address, as a name, spoilt.
        run.api().get(f"/api/v1/datasets?access_token={token}")
        run.api(HTTP_X_REQUEST_ID=token).get(f"/api/v1/oauth-applications/{token}")
        calls(token[:-1] + "x")
    # A code and a refresh token used twice end their families, and are told of in the audit log.
    asking.exchange(code)
    asking.refresh(tokens["refresh_token"])
    asking.token(grant_type="client_credentials", client_secret=f"{secret}x")
    return [
        first_secret, secret, code, begun["device_code"], begun["user_code"], unused["device_code"],
        unused["user_code"], asking.verifier, alone["access_token"],
        *(found[name] for found in (tokens, again, device) for name in ("access_token", "refresh_token")),
    ]  # fmt: skip


def _json_web_tokens(run: Run) -> Iterable[str]:
    """The tokens of people: given, refreshed, used twice, revoked. Of a JWT, its signature is the secret."""
    found: list[str] = []
    body = {"email": run.owner.email, "password": PASSWORD}
    for end in ("refresh", "revoke"):
        answer = APIClient().post("/api/v1/auth/token", body, format="json")
        assert answer.status_code == 200, answer.json()
        tokens = [answer.json()]
        assert calls(tokens[0]["access_token"]).status_code == 200
        next_one = APIClient().post(
            "/api/v1/auth/token/refresh", {"refresh_token": tokens[0]["refresh_token"]}, format="json"
        )
        tokens.append(next_one.json())
        if end == "refresh":
            APIClient().post(
                "/api/v1/auth/token/refresh", {"refresh_token": tokens[0]["refresh_token"]}, format="json"
            )
        else:
            APIClient().post("/api/v1/auth/token/revoke", {"token": tokens[1]["access_token"]}, format="json")
        for pair in tokens:
            calls(pair["access_token"])
            run.api().get(f"/api/v1/datasets?jwt={pair['access_token']}")
            found += [pair["access_token"], pair["access_token"].rpartition(".")[2], pair["refresh_token"]]
    pem = SigningKey.objects.latest("signs_from").private_pem
    return [*found, *pem.splitlines()[1:-1]]


def _signing_secrets(run: Run) -> Iterable[str]:
    """A key whose calls are signed, its signing secret made anew, and that of its successor."""
    body = {"name": "signed", "scopes": ["records:read"], "security": {"signature_required": True}}
    made = run.api(HTTP_IDEMPOTENCY_KEY="signed").post("/api/v1/api-keys", body, format="json")
    assert made.status_code == 201, made.json()
    anew = run.api().post(f"/api/v1/api-keys/{made.json()['id']}/signing-secret", {}, format="json")
    next_key = run.api().post(f"/api/v1/api-keys/{made.json()['id']}/rotate", {}, format="json")
    secrets = [made.json()["signing_secret"], anew.json()["signing_secret"]]
    secrets.append(next_key.json()["signing_secret"] or secrets[-1])
    path = "/api/v1/datasets"
    header = signatures.header_for(secrets[1], moment=1, nonce="a-nonce-1", method="GET", path=path)
    Client().get(path, headers={"Authorization": f"Bearer {made.json()['key']}", "Hub-Signature": header})
    return [made.json()["key"], next_key.json()["key"], *secrets]


def _automatic_rotation(run: Run) -> Iterable[str]:
    """A successor that a policy made: one collected over the API, one that waits yet."""
    found: list[str] = []
    for number in (1, 2):
        issued = keys.create(
            organization=run.organization, name=f"turning {number}", actor=SYSTEM, scopes=["records:read"],
            rotate_every_days=30, rotation_overlap=3600,
        )  # fmt: skip
        APIKey.objects.filter(pk=issued.key.pk).update(next_rotation_at=timezone.now())
        assert rotation.rotate_due() == 1
        found.append(issued.secret)
        waiting = APIKey.objects.get(group=issued.key.group, waiting_secret__isnull=False)
        text = waiting.waiting_secret
        assert text
        assert keys.verify(text) == waiting
        if number == 1:
            caller = APIClient()
            caller.credentials(HTTP_AUTHORIZATION=f"Bearer {issued.secret}")
            collected = caller.post("/api/v1/api-keys/current/collect").json()["key"]
            assert collected == text
        found.append(text)
    alerts.send_due()
    found_in_mail = [m for m in mail.outbox if any(text in f"{m.subject} {m.body}" for text in found)]
    assert found_in_mail == []
    return found


def _places_and_schedules(run: Run) -> Iterable[str]:
    """What lets the hub into servers, before and after a change; an archive's password."""
    pem = paramiko.ECDSAKey.generate()
    text = io.StringIO()
    pem.write_private_key(text, password="phrase-of-the-key-40917")
    places = {
        "sftp": {
            "host": "127.0.0.1", "port": 9, "username": "courier", "secret": "sftp-password-11873",
            "private_key": text.getvalue(), "passphrase": "phrase-of-the-key-40917",
        },
        "s3": {
            "bucket": "files", "endpoint_url": "https://127.0.0.1:9", "username": "AKIDEXAMPLE",
            "secret": "s3-secret-key-20846",
        },
        "https": {"base_url": "https://127.0.0.1:9/files", "secret": "bearer-of-the-place-30591"},
    }  # fmt: skip
    found = ["phrase-of-the-key-40917", *(line for line in text.getvalue().splitlines() if len(line) == 64)]
    numbers: dict[str, str] = {}
    for kind, values in places.items():
        body = {"name": f"Place {kind}", "kind": kind, **values}
        made = run.api(HTTP_IDEMPOTENCY_KEY=f"place-{kind}").post(
            "/api/v1/file-locations", body, format="json"
        )
        assert made.status_code == 201, made.json()
        address = f"/api/v1/file-locations/{made.json()['id']}"
        numbers[kind] = made.json()["id"]
        changed = run.api().patch(address, {"secret": f"changed-{kind}-51077"}, format="json")
        assert changed.status_code == 200, changed.json()
        tested = run.api().post(f"{address}/test", {}, format="json")
        assert tested.json().get("passed") is False, tested.json()
        # Where a secret must not be: in the wrong field, in an address.
        run.api().patch(address, {"port": values["secret"], "nonsense": values["secret"]}, format="json")
        found += [str(values["secret"]), f"changed-{kind}-51077"]
    schedule = {
        "name": "Nightly", "job_type": "export", "dataset": "clients", "schedule_type": "interval",
        "interval_minutes": 60, "destinations": [{"kind": "location", "location": numbers["sftp"]}],
        "notifications": {"webhook_url": "https://8.8.8.8/hook?token=adr_77c0e4b2915d44aa"},
    }  # fmt: skip
    made = run.api(HTTP_IDEMPOTENCY_KEY="nightly").post("/api/v1/job-schedules", schedule, format="json")
    assert made.status_code == 201, made.json()
    assert run.api().post(f"/api/v1/job-schedules/{made.json()['id']}/run").status_code == 202
    ordered = run.api(HTTP_IDEMPOTENCY_KEY="archive").post(
        "/api/v1/export", {"dataset": "clients", "password": "password-of-the-zip-61348"}, format="json"
    )
    assert ordered.status_code == 202, ordered.json()
    fetched = run.api().post(
        "/api/v1/import/fetch",
        {"dataset": "clients", "url": "https://127.0.0.1:9/x.csv?key=fetch-token-70215"},
        format="json",
    )
    assert fetched.status_code == 202, fetched.json()
    for scheduled in ScheduleRun.objects.all():
        schedule_runs.take(run_id=scheduled.pk)
    for job in Job.objects.all():
        work.take(job_id=job.pk)
    for delivery in JobDelivery.objects.all():
        deliveries.attempt(delivery_id=delivery.pk)
    assert JobDelivery.objects.exclude(last_error="").exists()
    return [*found, "adr_77c0e4b2915d44aa", "password-of-the-zip-61348", "fetch-token-70215"]


STEPS: list[Callable[[Run], Iterable[str]]] = [
    _keys_over_the_api,
    _keys_where_they_must_not_be,
    _keys_in_the_admin,
    _webhooks,
    _inbound,
    _oauth,
    _json_web_tokens,
    _signing_secrets,
    _automatic_rotation,
    _places_and_schedules,
    # The last: it ends the owner's sessions.
    _passwords,
]


def forms_of(secret: str) -> set[bytes]:
    """The ways in which a text may stand somewhere without being protected."""
    raw = secret.encode()
    whole = base64.b64encode(raw).rstrip(b"=")
    return {
        raw,
        raw.hex().encode(),
        whole,
        base64.urlsafe_b64encode(raw).rstrip(b"="),
        quote(secret, safe="").encode(),
    }


def _cached() -> bytes:
    """Everything in the cache, whichever it is."""
    inner: Any = getattr(cache, "_cache", None)
    if hasattr(inner, "get_client"):  # Redis
        client = inner.get_client()
        found = []
        for name in client.scan_iter("*"):
            kind = client.type(name)
            value = client.get(name) if kind == b"string" else client.dump(name)
            found.append(name + b" " + (value or b""))
        return b"\n".join(found)
    from integration_hub.runtime.sqlite_cache import SQLiteCache

    assert isinstance(
        cache._connections[cache._alias] if hasattr(cache, "_connections") else cache, SQLiteCache
    )
    from django.conf import settings

    with open(settings.CACHES["default"]["LOCATION"], "rb") as file:
        found_bytes = file.read()
    try:
        with open(f"{settings.CACHES['default']['LOCATION']}-wal", "rb") as file:
            found_bytes += file.read()
    except FileNotFoundError:
        pass
    return found_bytes


@pytest.mark.django_db
def test_no_secret_stands_anywhere_in_clear(caplog: pytest.LogCaptureFixture, settings: Any) -> None:
    settings.HUB_OUTBOUND_ALLOW = ["127.0.0.0/8"]  # where nobody listens
    caplog.set_level(logging.DEBUG)
    bearers.forget_all()
    signing.forget_all()
    run = Run(organizations.create(name="Acme"))
    secrets: set[str] = set()
    for step in STEPS:
        secrets.update(step(run))
    usage.flush()
    call_command("verify_audit", verbosity=0)

    browser = signed_in(User.objects.get(pk=run.owner.pk))
    pages = [
        browser.get(path).content
        for path in (
            "/admin/", "/admin/audit/auditentry/", "/admin/apikeys/requestlog/", "/admin/api-usage/",
            "/admin/apikeys/apikey/", "/admin/jobs/job/", "/admin/jobs/jobschedule/",
            "/admin/jobs/filelocation/", "/admin/webhooks/webhookendpoint/",
        )
    ]  # fmt: skip
    pages += [
        browser.get(f"/admin/jobs/{model._meta.model_name}/{row.public_id}/change/").content
        for model in (Job, JobSchedule, FileLocation)
        for row in model.objects.filter(organization=run.organization)
    ]
    answers = [
        run.api().get(f"/api/v1/{path}").content
        for path in ("file-locations", "job-schedules", "jobs", "job-deliveries", "events", "webhooks")
    ]
    from apps.audit.models import AuditEntry

    pages += [
        browser.get(f"/admin/audit/auditentry/{entry.public_id}/change/").content
        for entry in AuditEntry.objects.filter(organization=run.organization)
    ]
    places = {
        "database": dump().encode("utf-8", "surrogateescape"),
        "cache": _cached(),
        "logs": "\n".join(f"{r.getMessage()} {r.__dict__!r}" for r in caplog.records).encode(
            "utf-8", "replace"
        ),
        "admin": b"\n".join(pages),
        "API": b"\n".join(answers),
    }
    assert len(secrets) >= 60
    for name, content in places.items():
        shown = [secret[:12] for secret in secrets if any(form in content for form in forms_of(secret))]
        assert shown == [], f"{name} holds {len(shown)} secrets in clear"
