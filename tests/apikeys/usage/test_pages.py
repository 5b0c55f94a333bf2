"""The dashboard, the request log and a key's activity."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.apikeys.models import RequestLog
from apps.apikeys.services import usage
from apps.apikeys.usage import counting, store
from apps.tenants.models import Organization
from tests.apikeys.conftest import Issue, client_of
from tests.apikeys.usage.test_counting import call
from tests.apikeys.usage.test_reading import past
from tests.people import member, signed_in

PAGE = "/admin/api-usage/"


@pytest.fixture
def owner(acme: Organization) -> Client:
    return signed_in(member(acme, "owner"))


def test_it_is_empty_and_says_so(owner: Client) -> None:
    page = owner.get(PAGE).content.decode()
    assert "No calls in this time" in page


def test_it_shows_what_was_called(
    acme: Organization, globex: Organization, issue: Issue, owner: Client
) -> None:
    shop = issue(acme, name="<b>shop</b>")
    past(acme, shop)
    past(globex, issue(globex, name="theirs"))
    for query in (
        "",
        "?range=1h",
        "?range=6h",
        "?range=7d",
        "?range=30d",
        "?range=90d",
        "?from=2026-01-01T00:00",
    ):
        page = owner.get(PAGE + query).content.decode()
        assert "theirs" not in page
        assert "<b>shop" not in page
    page = owner.get(f"{PAGE}?range=24h").content.decode()
    assert "&lt;b&gt;shop&lt;/b&gt;" in page
    assert "GET /y" in page
    narrowed = owner.get(f"{PAGE}?caller=key {shop.key.group.hex}&endpoint=GET /x").content.decode()
    assert "<strong>12</strong>" in narrowed


@pytest.mark.parametrize(
    "query",
    ["range=nonsense", "from=nonsense", "from=9999-01-01T00:00", "from=1800-01-01T00:00", "caller=x%00 y",
     "endpoint=GET /%00", "caller=key nothing", "from=2026-01-02T00:00&to=2026-01-01T00:00"],
)  # fmt: skip
def test_nonsense_in_the_address_is_no_error(owner: Client, query: str) -> None:
    assert owner.get(f"{PAGE}?{query}").status_code == 200


def test_the_file(acme: Organization, issue: Issue, owner: Client) -> None:
    past(acme, issue(acme, name="shop"))
    response: Any = owner.get(f"{PAGE}?range=7d&download=csv")
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert "shop (KEY-" in response.getvalue().decode()


def test_who_may_not_sees_nothing(acme: Organization) -> None:
    staff = signed_in(member(acme, "staff"))
    for path in (PAGE, f"{PAGE}?download=csv", "/admin/apikeys/requestlog/"):
        assert staff.get(path).status_code == 403


def test_strangers_are_shown_to_operators_and_single_tenants(
    acme: Organization, owner: Client, client: Client
) -> None:
    client.get("/api/v1/api-keys", HTTP_AUTHORIZATION="Bearer sk_live_wrong")
    usage.flush()
    assert "Attempts by nobody known" in owner.get(PAGE).content.decode()
    from apps.tenants.services import organizations

    organizations.create(name="Globex")
    assert "Attempts by nobody known" not in owner.get(PAGE).content.decode()


def test_a_thousand_callers_cost_the_same_statements(acme: Organization, owner: Client) -> None:
    counts = []
    for most in (5, 1000):
        collected = counting.Collected()
        for n in range(most):
            at = (timezone.now() - timedelta(hours=n % 20)).timestamp()
            collected.note(
                call(acme, at=at, subject_id=f"{n:032x}", route=f"/r{n % 60}", status=200 + n % 300)
            )
        store.write(collected)
        owner.get(PAGE)
        with CaptureQueriesContext(connection) as queries:
            owner.get(f"{PAGE}?range=24h")
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_a_keys_page_tells_of_its_activity(acme: Organization, issue: Issue, owner: Client) -> None:
    issued = issue(acme)
    address = f"/admin/apikeys/apikey/{issued.key.number}/change/"
    assert owner.get(address).status_code == 200
    client_of(issued.secret).get("/api/v1/api-keys")
    usage.flush()
    page = owner.get(address).content.decode()
    assert "GET /api/v1/api-keys" in page
    line = RequestLog.objects.get(subject_kind="key")
    assert owner.get(f"/admin/apikeys/requestlog/{line.public_id}/change/").status_code == 200
