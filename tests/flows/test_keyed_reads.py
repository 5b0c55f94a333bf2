"""The third trip: a program reads records over HTTP with its key, page by page."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from apps.apikeys.services import keys, usage
from apps.records.models import Change
from apps.records.selectors import dataset_of
from apps.records.services import records
from apps.records.services.upsert import upsert
from apps.tenants.models import Organization
from apps.tenants.services import organizations
from tests.flows.conftest import ADA

pytestmark = pytest.mark.django_db(transaction=True)


def issue(organization: Organization, *scopes: str) -> keys.IssuedKey:
    return keys.create(organization=organization, name="Reader", actor=ADA, scopes=scopes)


def get(address: str, key: str, **options: Any) -> httpx.Response:
    return httpx.get(
        address, headers={"Authorization": f"Bearer {key}", **options.pop("headers", {})}, **options
    )


def test_a_key_reads_all_pages_and_nothing_else(organization: Organization, live_server: Any) -> None:
    clients = dataset_of(organization, "clients")
    upsert(
        dataset=clients,
        rows=[{"external_id": f"C{n:03d}", "name": f"Client {n}"} for n in range(1, 96)],
        actor=ADA,
    )
    theirs = organizations.create(name="Globex")
    upsert(
        dataset=dataset_of(theirs, "clients"),
        rows=[{"external_id": "G1", "name": "Secret"}],
        actor=ADA,
    )
    issued = issue(organization, "records:read")
    address = f"{live_server.url}/api/v1/records/clients"

    seen: list[str] = []
    following: str | None = f"{address}?limit=20"
    pages = 0
    while following:
        answer = get(following, issued.secret)
        assert answer.status_code == 200
        body = answer.json()
        seen += [row["external_id"] for row in body["data"]]
        following = body["next"]
        pages += 1
        # Rows that come and go meanwhile shift nothing.
        records.create(dataset=clients, values={"external_id": f"NEW{pages}", "name": "New"}, actor=ADA)
    assert pages == 5
    assert seen == [f"C{n:03d}" for n in range(95, 0, -1)]
    assert get(body["previous"], issued.secret).json()["data"][-1]["external_id"] == "C016"

    one = get(f"{address}/key:C007", issued.secret)
    assert one.json()["name"] == "Client 7"
    same = get(f"{address}/key:C007", issued.secret, headers={"If-None-Match": one.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    assert get(f"{address}/key:G1", issued.secret).status_code == 404
    assert get(f"{address}?name__startswith=Client 9&limit=50", issued.secret).json()["data"].__len__() == 7

    usage.flush()
    issued.key.refresh_from_db()
    assert issued.key.last_used_at is not None


def test_who_may_not_is_told_so_and_changes_nothing(organization: Organization, live_server: Any) -> None:
    address = f"{live_server.url}/api/v1/records/clients"
    reader, hooks = issue(organization, "records:read"), issue(organization, "webhooks:read")

    unknown = get(address, reader.secret[:-1] + ("A" if reader.secret[-1] != "A" else "B"))
    assert unknown.status_code == 401
    assert unknown.headers["content-type"] == "application/problem+json"
    assert "WWW-Authenticate" in unknown.headers
    assert get(address, hooks.secret).status_code == 403
    refused = httpx.post(
        address,
        json={"external_id": "X", "name": "X"},
        headers={"Authorization": f"Bearer {reader.secret}"},
    )
    assert refused.status_code == 403
    assert not Change.objects.exists()

    # The cursor of one organization opens nothing in another.
    upsert(
        dataset=dataset_of(organization, "clients"),
        rows=[{"external_id": f"C{n}", "name": "A"} for n in range(5)],
        actor=ADA,
    )
    following = get(f"{address}?limit=2", reader.secret).json()["next"]
    stranger = issue(organizations.create(name="Globex"), "records:read")
    assert get(following, stranger.secret).status_code == 400
    keys.revoke(key=reader.key, actor=ADA)
    assert get(address, reader.secret).status_code == 401
