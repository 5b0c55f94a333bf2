"""From where and to where a key works, and that a key gives away no more than it has of that."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.apikeys.models import APIKey, RateLimit
from apps.apikeys.restrictions import _matches, _refers
from apps.apikeys.services import applications, ceilings, limits
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM
from tests.apikeys.conftest import Issue, client_of
from tests.apikeys.test_api import KEYS, problem


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("Shop/*", "Shop/2.1", True),
        ("Shop/*", "shop/2.1", False),
        ("Shop", "Shop", True),
        ("Shop", "Shop/2", False),
        ("*", "", True),
        ("**", "a\nb", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "a-c-b", False),
        ("*ab*bc*", "abc", False),
        ("*ab*bc*", "abbc", True),
        ("*.example.com", "www.example.com", True),
        ("*.example.com", "example.com.evil.net", False),
        ("/records/*", "/records/", True),
        ("/a.c", "/abc", False),
    ],
)
def test_patterns(pattern: str, text: str, expected: bool) -> None:
    assert _matches(pattern, text) is expected


def test_a_pattern_does_not_stop_the_process(acme: Organization, issue: Issue) -> None:
    """A regular expression of such a pattern would go back and forth for hours."""
    nasty = "*a" * 90 + "b"
    client = client_of(issue(acme, allowed_user_agents=[nasty], allowed_referers=[nasty]).secret)
    problem(client.get(KEYS, HTTP_REFERER="https://" + "a" * 4000), 403, "referer_not_allowed")
    referer = "https://" + "a" * 400 + "b"
    problem(client.get(KEYS, HTTP_REFERER=referer, HTTP_USER_AGENT="a" * 4000), 403, "user_agent_not_allowed")
    client = client_of(issue(acme, allowed_endpoints=["GET /" + nasty]).secret)
    problem(client.get(f"{KEYS}/{'a' * 2000}"), 403, "endpoint_not_allowed")


@pytest.mark.parametrize(
    ("allowed", "referer", "expected"),
    [
        ("https://a.example/*", "https://a.example/cart?x=1", True),
        ("https://a.example/shop/*", "https://a.example/shop", True),
        ("https://a.example/shop/*", "https://a.example/shopping", False),
        ("https://a.example*", "https://a.example.evil.net/", False),
        ("https://a.example/*", "https://b.example/?https://a.example/x", False),
        ("*.example", "http://[x", False),
        ("https://a.example", "http://[x", False),
    ],
)
def test_referers(allowed: str, referer: str, expected: bool) -> None:
    assert _refers(referer, [allowed]) is expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("allowed_origins", "https://["),
        ("allowed_referers", "https://["),
        ("allowed_referers", "https://*.example.com/"),
    ],
)
def test_addresses_that_are_none(acme: Organization, issue: Issue, name: str, value: str) -> None:
    body = {"name": "x", "scopes": ["records:read"], "security": {name: [value]}}
    refused = problem(client_of(issue(acme).secret).post(KEYS, body, format="json"), 422, "invalid")
    assert refused["errors"][0]["pointer"] == f"/security/{name}/0"


def test_a_key_gives_its_restrictions_on(acme: Organization, issue: Issue) -> None:
    held = {"ip_blacklist": ["10.0.0.0/8", "2001:db8::/32"], "max_request_size": 5000}
    client = client_of(issue(acme, **held).secret)

    def create(**security: Any) -> Any:
        body = {"name": "x", "scopes": ["records:read"], "security": {**held, **security}}
        return client.post(KEYS, body, format="json")

    for weaker in (
        {"ip_blacklist": []},
        {"ip_blacklist": ["10.0.0.0/8"]},
        {"ip_blacklist": ["10.0.0.0/9", "2001:db8::/32"]},
        {"max_request_size": None},
        {"max_request_size": 5001},
    ):
        problem(create(**weaker), 403, "scope_not_held")
    assert create().status_code == 201
    assert create(ip_blacklist=["0.0.0.0/0", "::/0"], max_request_size=100).status_code == 201
    assert APIKey.objects.count() == 3


@pytest.mark.parametrize(
    "held", [{"ip_blacklist": ["10.0.0.0/8"]}, {"max_request_size": 5000}, {"allowed_resources": ["clients"]}]
)
def test_a_restricted_key_makes_no_application(
    acme: Organization, issue: Issue, held: dict[str, Any]
) -> None:
    assert ceilings.of_key(issue(acme, **held).key).is_restricted
    assert ceilings.of_key(issue(acme, signature_required=True).key).is_restricted
    assert not ceilings.of_key(issue(acme).key).is_restricted
    body = {"name": "Shop", "redirect_uris": ["https://shop.example.com/cb"], "scopes": ["records:read"]}
    client = client_of(issue(acme, **held).secret)
    refused = client.post("/api/v1/oauth-applications", body, format="json")
    problem(refused, 403, "resource_not_allowed" if "allowed_resources" in held else "scope_not_held")


def test_a_program_limits_and_stops_no_mightier_key(acme: Organization, issue: Issue) -> None:
    """Else whoever got the least of keys could hold up the owner's with a limit of one call a day."""
    mighty, least = issue(acme), issue(acme, scopes=["api-keys:*", "records:read"])
    peer = issue(acme, scopes=["records:read"])
    program = applications.create(
        organization=acme, actor=SYSTEM, name="Shop", scopes=["api-keys:*", "records:read"], redirect_uris=[],
        flows=["client_credentials"], by=None,
    )  # fmt: skip
    asked = client_of("")
    asked.credentials()
    token = asked.post(
        "/oauth/token",
        f"grant_type=client_credentials&client_id={program.application.client_id}&client_secret={program.secret}",
        content_type="application/x-www-form-urlencoded",
    ).json()["access_token"]
    for secret in (least.secret, token):
        client = client_of(secret)
        for path in (
            f"{KEYS}/{mighty.key.number}/rate-limits",
            f"/api/v1/security/rate-limits/{mighty.key.number}",
        ):
            assert client.get(path).status_code == 200
            problem(client.put(path, {"requests_per_day": 1}, format="json"), 403, "scope_not_held")
        for act in ("suspend", "revoke"):
            problem(
                client.post(f"{KEYS}/{mighty.key.number}/{act}", {}, format="json"), 403, "scope_not_held"
            )
        path = f"{KEYS}/{peer.key.number}/rate-limits"
        assert client.put(path, {"requests_per_day": 10}, format="json").status_code == 200
    assert [rule.subject_id for rule in RateLimit.objects.all()] == [peer.key.group.hex]
    mighty.key.refresh_from_db()
    assert mighty.key.is_active


def test_a_key_limits_no_mightier_application(acme: Organization, issue: Issue) -> None:
    program = applications.create(
        organization=acme, actor=SYSTEM, name="Shop", scopes=["records:*"], redirect_uris=[],
        flows=["client_credentials"], by=None,
    )  # fmt: skip
    path = f"/api/v1/oauth-applications/{program.application.client_id}/rate-limits"
    least = client_of(issue(acme, scopes=["applications:*"]).secret)
    problem(least.put(path, {"requests_per_day": 1}, format="json"), 403, "scope_not_held")
    assert client_of(issue(acme).secret).put(path, {"requests_per_day": 9}, format="json").status_code == 200


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
def test_an_address_that_is_none_is_a_problem(acme: Organization, issue: Issue, method: str) -> None:
    """Also for programs, which send no CSRF token."""
    client = client_of(issue(acme).secret)
    client.handler.enforce_csrf_checks = True
    for path in ("/api/v1/nowhere", f"{KEYS}/KEY-1/nowhere", "/api/nowhere"):
        problem(getattr(client, method)(path), 404, "not_found")


def test_a_key_does_not_call_more_by_making_keys(acme: Organization, issue: Issue) -> None:
    may = dict.fromkeys(("read", "write", "delete", "admin"), True)
    maker = issue(acme, scopes=["api-keys:*"], permissions=may)
    limits.put(target=limits.of_key(maker.key), actor=SYSTEM, whole={"per_minute": 5, "enabled": True})
    made = client_of(maker.secret).post(
        KEYS, {"name": "Child", "scopes": ["api-keys:*"], "permissions": may}, format="json"
    )
    assert made.status_code == 201
    child = client_of(made.json()["key"])
    answer = child.get(f"{KEYS}/{made.json()['id']}/rate-limits").json()
    assert answer["requests_per_minute"] == 5
    raised = child.put(f"{KEYS}/{maker.key.number}/rate-limits", {"requests_per_minute": 500}, format="json")
    problem(raised, 403, "own_limits")
    assert RateLimit.objects.get(subject_id=maker.key.group.hex).per_minute == 5
    lowered = child.put(f"{KEYS}/{maker.key.number}/rate-limits", {"requests_per_minute": 4}, format="json")
    assert lowered.status_code == 200


def test_a_key_makes_none_that_outlives_it(acme: Organization, issue: Issue) -> None:
    end = timezone.now() + timedelta(days=3)
    maker = issue(acme, scopes=["api-keys:*"], expires_at=end)
    client = client_of(maker.secret)
    for life in ({"never_expires": True}, {"expires_at": (end + timedelta(days=1)).isoformat()}):
        answer = client.post(KEYS, {"name": "Child", "scopes": ["api-keys:read"], **life}, format="json")
        assert answer.status_code == 403, answer.json()
    made = client.post(KEYS, {"name": "Child", "scopes": ["api-keys:read"]}, format="json")
    assert APIKey.objects.get(number=made.json()["id"]).expires_at == end


def test_an_expired_key_stays_expired(acme: Organization, issue: Issue) -> None:
    old = issue(acme).key
    APIKey.objects.filter(pk=old.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    client = client_of(issue(acme, scopes=["*:*"]).secret)
    later = (timezone.now() + timedelta(days=1)).isoformat()
    for values in ({"expires_at": later}, {"expires_at": None}, {"never_expires": True}):
        answer = client.patch(f"{KEYS}/{old.number}", values, format="json")
        assert answer.status_code == 409, answer.json()
    old.refresh_from_db()
    assert old.is_expired
