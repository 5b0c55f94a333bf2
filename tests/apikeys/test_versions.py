"""Versions of the API: rows beside the code, deprecation, the end, features, pins of organizations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from rest_framework.test import APIClient

from apps.apikeys.models import ApiVersion
from apps.apikeys.services import api_versions
from apps.apikeys.tasks import mark_versions
from apps.audit.models import AuditEntry
from apps.kernel.errors import InvalidInput
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM
from tests.apikeys.conftest import Issue, client_of

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _clean(db: None) -> Iterator[None]:
    api_versions.forget()
    yield
    api_versions._states = {}


Decide = Callable[..., ApiVersion]


@pytest.fixture
def decide(django_capture_on_commit_callbacks: Any) -> Decide:
    def decide(name: str = "v1", **values: Any) -> ApiVersion:
        with django_capture_on_commit_callbacks(execute=True):
            return api_versions.change(version=ApiVersion.objects.get(version=name), actor=SYSTEM, **values)

    return decide


@pytest.fixture
def client(acme: Organization, issue: Issue) -> APIClient:
    return client_of(issue(acme).secret)


def test_every_version_has_a_row_at_its_newest_revision() -> None:
    rows = {row.version: row for row in ApiVersion.objects.all()}
    assert set(rows) == {"v1", "v2"}
    assert rows["v2"].default_revision == date(2026, 11, 22)
    assert api_versions.sync() == []
    assert api_versions.disagreements() == []


def test_a_hub_whose_rows_and_code_disagree_does_not_start() -> None:
    ApiVersion.objects.filter(version="v2").update(default_revision=date(2026, 11, 16))
    ApiVersion.objects.filter(version="v1").update(flags={"time_travel": True})
    ApiVersion.objects.create(version="v7")
    wrong = api_versions.disagreements()
    assert len(wrong) == 3
    with pytest.raises(CommandError, match="2026-11-16"):
        call_command("prepare", "--no-owner")
    ApiVersion.objects.filter(version="v1").delete()
    assert "v1 has no row" in " ".join(api_versions.disagreements())


def test_the_list_of_versions_is_for_everybody() -> None:
    for path in ("/api/versions", "/api/v1/versions", "/api/v2/versions"):
        answer = APIClient().get(path)
        assert answer.status_code == 200
        old, new = answer.json()["data"]
        assert (old["version"], old["status"], old["is_default"], old["successor"]) == (
            "v1", "active", True, "v2",
        )  # fmt: skip
        assert (new["is_newest"], new["successor"]) == (True, None)
        assert {one["name"] for one in new["features"]} - {one["name"] for one in old["features"]} == {
            "revision_header"
        }
    assert APIClient().get("/api/versions/v2").json()["revisions"] == ["2026-11-15", "2026-11-22"]
    changed = APIClient().get("/api/versions/v2/changes").json()["data"]
    assert "bulk-counts" in {one["id"] for one in changed}
    assert all(one["operations"] for one in changed)
    assert APIClient().get("/api/versions/v9/changes").status_code == 404
    assert APIClient().get("/api/versions/v9").status_code == 404


ANYTHING = [
    ("get", "/api/v1/datasets", 200),
    ("get", "/api/v1/datasets/nothing", 404),
    ("get", "/api/v1/datasets?nonsense=1", 400),
    ("post", "/api/v1/datasets", 422),
    ("put", "/api/v1/datasets", 405),
    ("get", "/api/v1/no/such/address", 404),
    ("get", "/api/datasets", 200),
]


@pytest.mark.parametrize(("method", "path", "status"), ANYTHING)
def test_a_deprecated_version_says_so_in_every_answer(
    client: APIClient, decide: Decide, method: str, path: str, status: int
) -> None:
    since = datetime(2026, 11, 20, tzinfo=UTC)
    decide(deprecated_at=since, sunset_at=since + timedelta(days=365 * 50))
    answer = getattr(client, method)(path, {} if method != "get" else None, format="json")
    assert answer.status_code == status
    assert answer["Deprecation"] == f"@{int(since.timestamp())}"
    assert parsedate_to_datetime(answer["Sunset"]) == since + timedelta(days=365 * 50)
    for rel in ("deprecation", "sunset", "successor-version"):
        assert f'rel="{rel}"' in answer["Link"]
    assert "Deprecation" not in client.get("/api/v2/datasets")


def test_strangers_are_told_too(decide: Decide) -> None:
    decide(deprecated_at=timezone.now())
    answer = APIClient().get("/api/v1/datasets")
    assert answer.status_code == 401
    assert "Deprecation" in answer
    assert "Sunset" not in answer
    assert "Deprecation" not in APIClient().get("/api/changelog")


def test_a_version_past_its_end_answers_410(
    client: APIClient, decide: Decide, acme: Organization, issue: Issue
) -> None:
    decide(deprecated_at=timezone.now() - 2 * DAY, sunset_at=timezone.now() - DAY)
    for method, path, _ in ANYTHING[:5]:
        answer = getattr(client, method)(path, {} if method != "get" else None, format="json")
        assert answer.status_code == 410, path
        assert answer["Content-Type"] == "application/problem+json"
        assert answer.json()["code"] == "version_sunset"
        assert "v2" in answer.json()["detail"]
        assert "Sunset" in answer
    assert APIClient().get("/api/v1/datasets").status_code == 410
    assert APIClient().get("/api/v1/versions").status_code == 200
    # Who names no version gets the oldest that is left; who is pinned to the ended one is told.
    assert client.get("/api/datasets")["API-Version"] == "v2"
    pinned = client_of(issue(acme, api_version="v1").secret)
    assert pinned.get("/api/datasets").status_code == 410
    assert pinned.get("/api/v2/datasets").status_code == 200


def test_the_end_comes_to_the_second(client: APIClient, decide: Decide, monkeypatch: Any) -> None:
    decide(deprecated_at=timezone.now(), sunset_at=timezone.now() + timedelta(hours=1))
    assert client.get("/api/v1/datasets").status_code == 200
    from apps.kernel.api import versions as module

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(hours=2)

    monkeypatch.setattr(module, "datetime", Later)
    assert client.get("/api/v1/datasets").status_code == 410


def test_an_end_can_be_put_off(client: APIClient, decide: Decide) -> None:
    row = decide(deprecated_at=timezone.now() - 2 * DAY, sunset_at=timezone.now() - DAY)
    assert row.status == "sunset"
    assert decide(sunset_at=timezone.now() + DAY).status == "deprecated"
    assert client.get("/api/v1/datasets").status_code == 200
    assert decide(sunset_at=None, deprecated_at=None).status == "active"
    assert "Deprecation" not in client.get("/api/v1/datasets")


def test_status_follows_the_moments_by_a_task() -> None:
    ApiVersion.objects.filter(version="v1").update(deprecated_at=timezone.now() - DAY)
    mark_versions()
    assert ApiVersion.objects.get(version="v1").status == "deprecated"
    assert AuditEntry.objects.filter(action="api_version.deprecated").count() == 1
    mark_versions()
    assert AuditEntry.objects.filter(action="api_version.deprecated").count() == 1


def test_what_makes_no_sense_is_refused(decide: Decide) -> None:
    now = timezone.now()
    for name, values, pointer in (
        ("v2", {"deprecated_at": now}, "/deprecated_at"),
        ("v1", {"deprecated_at": now, "sunset_at": now - DAY}, "/sunset_at"),
        ("v1", {"successor": "v1"}, "/successor"),
        ("v1", {"successor": "v9"}, "/successor"),
        ("v2", {"default_revision": date(2026, 11, 16)}, "/default_revision"),
        ("v1", {"flags": {"time_travel": True}}, "/flags"),
        ("v1", {"flags": {"bulk_replace": "no"}}, "/flags"),
        ("v1", {"flags": ["bulk_replace"]}, "/flags"),
    ):
        with pytest.raises(InvalidInput) as refused:
            decide(name, **values)
        assert [error.pointer for error in refused.value.errors] == [pointer]
    assert not AuditEntry.objects.filter(action="api_version.updated").exists()


def test_changes_are_audited(decide: Decide) -> None:
    decide(flags={"bulk_replace": False})
    entry = AuditEntry.objects.get(action="api_version.updated")
    assert entry.changes == {"flags": [{}, {"bulk_replace": False}]}
    decide(flags={"bulk_replace": False})
    assert AuditEntry.objects.filter(action="api_version.updated").count() == 1


def test_a_feature_is_switched_per_version(client: APIClient, decide: Decide) -> None:
    decide(flags={"bulk_replace": False, "event_publishing": False})
    rows = [{"external_id": "C-1", "name": "Ada"}]
    path = "records/clients/bulk?mode=replace&dry_run=true"
    refused = client.post(f"/api/v1/{path}", rows, format="json")
    assert (refused.status_code, refused.json()["code"]) == (403, "feature_off")
    assert client.post(f"/api/v2/{path}", rows, format="json").status_code == 200
    assert client.post("/api/v1/events", {}, format="json").json()["code"] == "feature_off"
    assert client.post("/api/v2/events", {}, format="json").status_code == 422
    told = {one["name"]: one["enabled"] for one in client.get("/api/versions/v1").json()["features"]}
    assert told == {"bulk_replace": False, "event_publishing": False}


def test_the_default_revision_is_what_the_operator_chose(client: APIClient, decide: Decide) -> None:
    assert client.get("/api/v2/datasets")["API-Revision"] == "2026-11-22"
    decide("v2", default_revision=date(2026, 11, 15))
    assert client.get("/api/v2/datasets")["API-Revision"] == "2026-11-15"


def test_an_organization_pins_the_keys_that_have_no_pin(acme: Organization, issue: Issue) -> None:
    acme.api_version = "v2@2026-11-15"
    acme.save()
    answer = client_of(issue(acme).secret).get("/api/datasets")
    assert (answer["API-Version"], answer["API-Revision"]) == ("v2", "2026-11-15")
    own = client_of(issue(acme, api_version="v1").secret)
    assert own.get("/api/datasets")["API-Version"] == "v1"
    assert own.get("/api/v2/datasets")["API-Revision"] == "2026-11-15"


def test_a_warm_call_asks_nothing_about_versions(client: APIClient, django_assert_num_queries: Any) -> None:
    client.get("/api/v1/connectors")
    with django_assert_num_queries(0):
        client.get("/api/v1/connectors")
        client.get("/api/v2/connectors")


def test_a_database_that_does_not_answer_leaves_what_was_known(decide: Decide, monkeypatch: Any) -> None:
    from django.db import OperationalError

    decide(deprecated_at=timezone.now())
    api_versions.states()

    def broken() -> Any:
        raise OperationalError("gone")

    monkeypatch.setattr(ApiVersion.objects, "all", broken)
    api_versions.forget()
    assert api_versions.states()["v1"].deprecated_at is not None
