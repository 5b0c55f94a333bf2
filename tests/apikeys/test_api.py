"""`/api/v1/api-keys`, and coming in with a key."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from apps.apikeys.models import APIKey
from apps.apikeys.services import keys
from apps.events.models import Event
from apps.tenants.models import Organization, User
from apps.tenants.principals import SYSTEM
from apps.tenants.roles import Role
from apps.tenants.services import organizations
from tests.apikeys.conftest import Issue, client_of

KEYS = "/api/v1/api-keys"


def problem(response: Any, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert (body["status"], body["code"]) == (status, code)
    assert body["request_id"] == response["X-Request-ID"]
    return body


def test_a_key_is_created_used_rotated_and_revoked(acme: Organization, issue: Issue) -> None:
    admin = client_of(issue(acme).secret)
    made = admin.post(
        KEYS,
        {"name": "Shop", "scopes": ["api-keys:read"], "security": {"ip_whitelist": ["127.0.0.0/8"]}},
        format="json",
    )
    assert made.status_code == 201, made.content
    body = made.json()
    assert made["Location"] == f"{KEYS}/{body['id']}"
    assert body["key"].startswith(body["prefix"] + "_")
    assert body["permissions"] == {"read": True, "write": True, "delete": False, "admin": False}
    assert body["security"]["ip_whitelist"] == ["127.0.0.0/8"]

    shop = client_of(body["key"])
    seen = shop.get(f"{KEYS}/{body['id']}")
    assert seen.status_code == 200
    assert "key" not in seen.json()
    assert seen.json()["status"] == "active"

    rotated = admin.post(f"{KEYS}/{body['id']}/rotate", {"overlap_seconds": 60}, format="json")
    assert rotated.status_code == 201
    successor = client_of(rotated.json()["key"])
    assert successor.get(KEYS).status_code == 200
    assert shop.get(KEYS).status_code == 200

    gone = admin.delete(f"{KEYS}/{rotated.json()['id']}")
    assert gone.status_code == 204
    problem(successor.get(KEYS), 401, "invalid_key")
    assert APIKey.objects.get(number=rotated.json()["id"]).status == "revoked"


def test_a_key_is_made_with_limits_of_its_own(
    acme: Organization, issue: Issue, django_capture_on_commit_callbacks: Any
) -> None:
    admin = client_of(issue(acme).secret)
    wanted = {"requests_per_minute": 2, "endpoints": [{"endpoint": "GET /datasets", "requests_per_hour": 5}]}
    new = {"name": "Shop", "scopes": ["api-keys:read"], "rate_limits": wanted}
    with django_capture_on_commit_callbacks(execute=True):
        made = admin.post(KEYS, new, format="json")
    assert made.status_code == 201, made.content
    shop = client_of(made.json()["key"])
    assert [shop.get(KEYS).status_code for _ in range(3)] == [200, 200, 429]
    told = admin.get(f"{KEYS}/{made.json()['id']}/rate-limits").json()
    assert told["requests_per_minute"] == 2
    assert [(item["name"], item["limit"]) for item in told["effective"] if item["source"] == "key"] == [
        ("minute", 2), ("hour GET /datasets", 5),
    ]  # fmt: skip
    wrong = {**new, "rate_limits": {"endpoints": [{"endpoint": "no path", "requests_per_hour": 5}]}}
    refused = problem(admin.post(KEYS, wrong, format="json"), 422, "invalid")
    assert [error["pointer"] for error in refused["errors"]] == ["/rate_limits/endpoints/0/endpoint"]
    assert APIKey.objects.count() == 2


def test_a_program_gives_no_more_calls_than_it_has(acme: Organization, issue: Issue) -> None:
    maker = issue(acme, rate_limits={"whole": {"per_minute": 10}})
    new = {"name": "Shop", "scopes": ["records:read"]}
    for numbers in ({"requests_per_minute": 11}, {"requests_per_hour": 5}, {"enabled": False}, {}):
        problem(
            client_of(maker.secret).post(KEYS, {**new, "rate_limits": numbers}, format="json"),
            403,
            "own_limits",
        )
    assert APIKey.objects.count() == 1
    less = {**new, "rate_limits": {"requests_per_minute": 9}}
    assert client_of(maker.secret).post(KEYS, less, format="json").status_code == 201


def test_a_key_is_taken_from_either_header(acme: Organization, issue: Issue) -> None:
    secret = issue(acme).secret
    assert APIClient().get(KEYS, HTTP_X_API_KEY=secret).status_code == 200
    assert APIClient().get(KEYS, HTTP_AUTHORIZATION=f"bearer {secret}").status_code == 200
    other = issue(acme).secret
    both = APIClient().get(KEYS, HTTP_X_API_KEY=secret, HTTP_AUTHORIZATION=f"Bearer {other}")
    problem(both, 401, "invalid_key")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer nonsense", "Basic YTpi", "Token abc"])
def test_nothing_and_nonsense_are_401_with_a_challenge(db: None, header: str) -> None:
    client = APIClient()
    if header:
        client.credentials(HTTP_AUTHORIZATION=header)
    response = client.get(KEYS)
    problem(response, 401, "invalid_token" if header.startswith("Bearer") else "unauthenticated")
    assert response["WWW-Authenticate"].startswith("Bearer ")


def test_wrong_keys_all_get_one_answer(acme: Organization, issue: Issue) -> None:
    from apps.apikeys import key_format

    right = issue(acme)
    unknown = key_format.generate(key_type="secret", environment="production").text
    body = right.secret[:-49] + "A" * 43
    wrong_secret = body + key_format.checksum(body)
    wrong_checksum = right.secret[:-1] + ("0" if right.secret[-1] != "0" else "1")
    suspended, revoked, expired = issue(acme), issue(acme), issue(acme)
    keys.suspend(key=suspended.key, actor=SYSTEM)
    keys.revoke(key=revoked.key, actor=SYSTEM)
    APIKey.objects.filter(pk=expired.key.pk).update(expires_at=timezone.now())

    answers = []
    for secret in (unknown, wrong_secret, wrong_checksum, suspended.secret, revoked.secret, expired.secret):
        body_ = problem(client_of(secret).get(KEYS), 401, "invalid_key")
        answers.append({name: value for name, value in body_.items() if name != "request_id"})
    assert all(answer == answers[0] for answer in answers)
    right.key.refresh_from_db()
    assert right.key.status == "active"
    assert client_of(right.secret).get(KEYS).status_code == 200


def test_a_warm_call_needs_no_sql_to_know_its_caller(
    acme: Organization, issue: Issue, django_assert_num_queries: Any
) -> None:
    client = client_of(issue(acme).secret)
    client.get(f"{KEYS}?limit=1")
    with django_assert_num_queries(1) as warm:
        client.get(f"{KEYS}?limit=1")
    assert "apikeys_apikey" in warm.captured_queries[0]["sql"]
    assert " WHERE " in warm.captured_queries[0]["sql"]


def test_revoking_is_obeyed_by_the_very_next_call(acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    client = client_of(issued.secret)
    assert client.get(KEYS).status_code == 200
    keys.revoke(key=issued.key, actor=SYSTEM)
    problem(client.get(KEYS), 401, "invalid_key")


def test_a_remembered_key_still_ends_at_its_very_second(
    acme: Organization, issue: Issue, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    end = timezone.now() + timedelta(seconds=2)
    client = client_of(issue(acme, expires_at=end).secret)
    assert client.get(KEYS).status_code == 200
    monkeypatch.setattr(time, "time", lambda: end.timestamp())
    monkeypatch.setattr(timezone, "now", lambda: end)
    problem(client.get(KEYS), 401, "invalid_key")


def test_a_key_in_the_address_is_refused_and_marked_as_exposed(acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    for name in ("api_key", "access_token", "q"):
        problem(APIClient().get(f"{KEYS}?{name}={issued.secret}"), 400, "key_in_query_string")
    problem(client_of(issued.secret).get(f"{KEYS}?api_key={issued.secret}"), 400, "key_in_query_string")
    issued.key.refresh_from_db()
    assert issued.key.exposed_at is not None
    assert Event.objects.filter(type="api_key.exposed").count() == 1


@pytest.mark.parametrize(
    ("scopes", "permissions", "method", "path", "status"),
    [
        (["api-keys:read"], {"read": True}, "get", "", 200),
        (["api-keys:*"], {"read": True}, "get", "", 200),
        (["*:read"], {"read": True}, "get", "", 200),
        (["records:*"], {"read": True}, "get", "", 403),
        ([], {"read": True}, "get", "", 403),
        (["*:*"], {"read": False}, "get", "", 403),
        (["*:read"], {"read": True, "write": True}, "post", "", 403),
        (["*:*"], {"read": True, "write": False}, "post", "", 403),
        (["*:*"], {"read": True, "write": True, "delete": False}, "delete", "/KEY-2026-00001", 403),
    ],
)
def test_scope_and_permission_must_both_agree(
    acme: Organization,
    issue: Issue,
    scopes: list[str],
    permissions: dict[str, bool],
    method: str,
    path: str,
    status: int,
) -> None:
    nothing = {"read": False, "write": False, "delete": False, "admin": False}
    client = client_of(issue(acme, scopes=scopes, permissions={**nothing, **permissions}).secret)
    response = getattr(client, method)(KEYS + path, format="json")
    assert response.status_code == status
    if status == 403:
        problem(response, 403, "insufficient_scope")
        assert APIKey.objects.count() == 1
        assert APIKey.objects.get().status == "active"


def test_what_belongs_to_another_organization_is_404(
    acme: Organization, globex: Organization, issue: Issue
) -> None:
    mine = client_of(issue(acme).secret)
    for _ in range(3):
        theirs = issue(globex)
    number = theirs.key.number
    assert APIKey.objects.filter(organization=acme, number=number).count() == 0
    calls = [
        mine.get(f"{KEYS}/{number}"),
        mine.patch(f"{KEYS}/{number}", {"name": "Mine"}, format="json"),
        mine.delete(f"{KEYS}/{number}"),
        *(mine.post(f"{KEYS}/{number}/{verb}") for verb in ("rotate", "revoke", "suspend", "resume")),
        mine.get(f"{KEYS}/{theirs.key.public_id}"),
        mine.get(f"{KEYS}/{theirs.key.pk}"),
    ]
    for call in calls:
        problem(call, 404, "not_found")
    theirs.key.refresh_from_db()
    assert (theirs.key.status, theirs.key.name) == ("active", "test")
    assert [row["id"] for row in mine.get(KEYS).json()["data"]] == [
        APIKey.objects.get(organization=acme).number
    ]


def test_a_cursor_of_another_organization_is_refused(
    acme: Organization, globex: Organization, issue: Issue
) -> None:
    theirs = client_of(issue(globex).secret)
    issue(globex)
    cursor = theirs.get(f"{KEYS}?limit=1").json()["next"].partition("cursor=")[2]
    mine = client_of(issue(acme).secret)
    problem(mine.get(f"{KEYS}?limit=1&cursor={cursor}"), 400, "invalid_cursor")


@pytest.mark.parametrize(
    "extra",
    [
        {"organization": "globex"},
        {"status": "active"},
        {"digest": "00"},
        {"public_part": "0123456789"},
        {"pepper_id": "p1"},
        {"signature_required": False},
        {"security": {"ip_whitelist": [], "digest": "x"}},
        {"permissions": {"read": True, "superuser": True}},
    ],
)
def test_unknown_and_internal_fields_are_refused(
    acme: Organization, issue: Issue, extra: dict[str, Any]
) -> None:
    client = client_of(issue(acme).secret)
    response = client.post(KEYS, {"name": "X", "scopes": ["records:read"], **extra}, format="json")
    body = problem(response, 422, "invalid")
    assert body["errors"][0]["code"] == "unknown_field"
    assert body["errors"][0]["pointer"].startswith(f"/{next(iter(extra))}")
    assert APIKey.objects.count() == 1
    number = APIKey.objects.get().number
    problem(client.patch(f"{KEYS}/{number}", extra, format="json"), 422, "invalid")


def test_a_key_cannot_raise_itself_or_others(acme: Organization, issue: Issue) -> None:
    weak = issue(
        acme,
        scopes=["api-keys:*", "records:read"],
        permissions={"read": True, "write": True, "delete": True},
        ip_whitelist=["127.0.0.0/8"],
    )
    strong = issue(acme)
    client = client_of(weak.secret)
    own, other = f"{KEYS}/{weak.key.number}", f"{KEYS}/{strong.key.number}"
    attacks = [
        client.patch(own, {"scopes": ["*:*"]}, format="json"),
        client.patch(own, {"scopes": ["api-keys:*", "records:write"]}, format="json"),
        client.patch(own, {"permissions": {"admin": True}}, format="json"),
        client.patch(own, {"security": {"ip_whitelist": []}}, format="json"),
        client.post(KEYS, {"name": "Up", "scopes": ["*:*"]}, format="json"),
        client.post(KEYS, {"name": "Up", "scopes": ["records:read"]}, format="json"),
        client.post(f"{other}/rotate"),
        client.patch(other, {"name": "Mine"}, format="json"),
        client.post(f"{other}/suspend", {}, format="json"),
        client.post(f"{other}/revoke", {}, format="json"),
    ]
    for attack in attacks:
        problem(attack, 403, "scope_not_held")
    assert APIKey.objects.count() == 2
    weak.key.refresh_from_db()
    assert (weak.key.scopes, weak.key.ip_whitelist) == (["api-keys:*", "records:read"], ["127.0.0.0/8"])
    strong.key.refresh_from_db()
    assert (strong.key.name, strong.key.last_rotated_at) == ("test", None)


def test_concurrent_edits_are_noticed(acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    client = client_of(issued.secret)
    address = f"{KEYS}/{issued.key.number}"
    first = client.get(address)["ETag"]
    assert client.patch(address, {"name": "One"}, format="json", HTTP_IF_MATCH=first).status_code == 200
    problem(
        client.patch(address, {"name": "Two"}, format="json", HTTP_IF_MATCH=first), 412, "precondition_failed"
    )
    now = client.get(address)
    assert now.json()["name"] == "One"
    assert client.get(address, HTTP_IF_NONE_MATCH=now["ETag"]).status_code == 304


class TestSources:
    def test_address_lists(self, acme: Organization, issue: Issue, settings: Any) -> None:
        secret = issue(
            acme, ip_whitelist=["192.0.2.0/24", "2001:db8::/32"], ip_blacklist=["192.0.2.66"]
        ).secret
        client = client_of(secret)

        def status(address: str, **headers: str) -> int:
            return int(client.get(KEYS, REMOTE_ADDR=address, **headers).status_code)

        assert status("192.0.2.1") == 200
        assert status("::ffff:192.0.2.1") == 200
        assert status("2001:db8::5") == 200
        assert status("192.0.2.66") == 403
        assert status("198.51.100.1") == 403
        assert status("198.51.100.1", HTTP_X_FORWARDED_FOR="192.0.2.1") == 403
        settings.HUB_TRUSTED_PROXIES = 1
        assert status("198.51.100.1", HTTP_X_FORWARDED_FOR="192.0.2.1") == 200
        assert status("198.51.100.1", HTTP_X_FORWARDED_FOR="192.0.2.1, 203.0.113.9") == 403
        problem(client.get(KEYS, REMOTE_ADDR="203.0.113.9"), 403, "ip_not_allowed")

    def test_https_origin_referer_and_user_agent(self, acme: Organization, issue: Issue) -> None:
        client = client_of(
            issue(
                acme,
                require_https=True,
                allowed_origins=["https://shop.example.com"],
                allowed_referers=["*.example.com"],
                allowed_user_agents=["Shop/*"],
            ).secret
        )
        right = {
            "HTTP_ORIGIN": "https://shop.example.com",
            "HTTP_REFERER": "https://shop.example.com/cart?x=1",
            "HTTP_USER_AGENT": "Shop/2.1",
        }
        assert client.get(KEYS, secure=True, **right).status_code == 200
        problem(client.get(KEYS, **right), 403, "https_required")
        for name, value, code in (
            ("HTTP_ORIGIN", "https://shop.example.com.evil.net", "origin_not_allowed"),
            ("HTTP_ORIGIN", "", "origin_not_allowed"),
            ("HTTP_REFERER", "https://evil.net/?.example.com", "referer_not_allowed"),
            ("HTTP_USER_AGENT", "curl/8", "user_agent_not_allowed"),
        ):
            problem(client.get(KEYS, secure=True, **{**right, name: value}), 403, code)

    def test_endpoints_and_resources(self, acme: Organization, issue: Issue) -> None:
        first = issue(acme)
        second = issue(acme, allowed_endpoints=["GET /api-keys/*"])
        client = client_of(second.secret)
        assert client.get(f"{KEYS}/{first.key.number}").status_code == 200
        assert client.get(f"/api/api-keys/{first.key.number}").status_code == 200
        problem(client.get(KEYS), 403, "endpoint_not_allowed")
        problem(client.post(f"{KEYS}/{first.key.number}/revoke"), 403, "endpoint_not_allowed")

        third = client_of(issue(acme, allowed_resources=[first.key.number]).secret)
        assert third.get(f"{KEYS}/{first.key.number}").status_code == 200
        problem(third.get(f"{KEYS}/{second.key.number}"), 403, "resource_not_allowed")
        problem(third.get(KEYS), 403, "resource_not_allowed")
        first.key.refresh_from_db()
        assert first.key.status == "active"

    def test_the_size_of_a_body(self, acme: Organization, issue: Issue) -> None:
        client = client_of(issue(acme, max_request_size=40).secret)
        problem(client.post(KEYS, {"name": "x" * 50, "scopes": []}, format="json"), 413, "too_large")
        assert APIKey.objects.count() == 1


class TestSession:
    @pytest.fixture
    def anna(self, acme: Organization) -> User:
        user = User.objects.create_user("anna@example.com", "a long password")
        organizations.admit(organization=acme, user=user, role=Role.DEVELOPER)
        return user

    def test_somebody_signed_in_acts_with_their_role(self, acme: Organization, anna: User) -> None:
        client = APIClient(enforce_csrf_checks=True)
        client.force_login(anna)
        assert client.get(KEYS).status_code == 200

        problem(
            client.post(KEYS, {"name": "X", "scopes": ["records:read"]}, format="json"), 403, "csrf_failed"
        )
        assert APIKey.objects.count() == 0

        client.cookies["hub_csrf"] = "a" * 32
        made = client.post(
            KEYS, {"name": "X", "scopes": ["records:read"]}, format="json", HTTP_X_CSRFTOKEN="a" * 32
        )
        assert made.status_code == 201, made.content
        assert APIKey.objects.get().organization == acme
        up = client.post(KEYS, {"name": "Up", "scopes": ["*:*"]}, format="json", HTTP_X_CSRFTOKEN="a" * 32)
        problem(up, 403, "scope_not_held")

    def test_without_a_membership_there_is_nothing(self, acme: Organization, issue: Issue) -> None:
        issue(acme)
        client = APIClient()
        client.force_login(User.objects.create_user("eve@example.com", "a long password"))
        problem(client.get(KEYS), 403, "no_organization")

    def test_credentials_in_a_header_go_before_the_session(
        self, anna: User, globex: Organization, issue: Issue
    ) -> None:
        client = APIClient()
        client.force_login(anna)
        problem(client.get(KEYS, HTTP_AUTHORIZATION="Bearer nonsense"), 401, "invalid_token")
        theirs = issue(globex)
        seen = client.get(KEYS, HTTP_AUTHORIZATION=f"Bearer {theirs.secret}").json()["data"]
        assert [row["id"] for row in seen] == [theirs.key.number]


def test_last_use_is_buffered_and_flushed_forward_only(
    acme: Organization, issue: Issue, django_assert_num_queries: Any
) -> None:
    from apps.apikeys.services import usage

    issued = issue(acme)
    before = timezone.now()
    client_of(issued.secret).get(KEYS)
    issued.key.refresh_from_db()
    assert issued.key.last_used_at is None
    assert usage.flush() == 1
    issued.key.refresh_from_db()
    assert issued.key.last_used_at is not None
    assert before <= issued.key.last_used_at <= timezone.now()
    assert usage.flush() == 0
