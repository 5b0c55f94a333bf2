"""The OpenAPI documents against a running hub: what is documented is what is done.

Each operation is called with data that fit its description and with data that do not, made by Schemathesis
from a fixed seed. Nothing may answer 5xx, with a status, a content type or a body that the document does not
describe, or take what the document forbids. HUB_CONTRACT_EXAMPLES=50 does the same at length.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from django.apps import apps
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.errors import SchemathesisError
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from apps.apikeys.services import keys, usage, verified
from apps.kernel.api.docs import document
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM
from apps.tenants.services import organizations
from tests.house.samples import Maker

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
EXAMPLES = int(os.environ.get("HUB_CONTRACT_EXAMPLES", "3"))
SEED = 20261122
# What an address's first part is about, so that some calls meet an object that there is.
MODELS = {
    "jobs": "jobs.Job", "import": "jobs.Job", "export": "jobs.Job", "webhooks": "webhooks.WebhookEndpoint",
    "deliveries": "webhooks.Delivery", "integrations": "connectors.Integration", "events": "events.Event",
    "sync-jobs": "connectors.SyncJob", "integration-logs": "connectors.IntegrationLog",
    "mappings": "records.Mapping", "datasets": "records.Dataset",
}  # fmt: skip


@pytest.fixture
def hub(transactional_db: None, live_server: Any) -> Iterator[tuple[str, dict[str, str], dict[str, str]]]:
    """Its address, the headers of an unrestricted key, and a name of one object for each kind of address."""
    verified.forget_all()
    usage.forget_all()
    organization: Organization = organizations.create(name="Acme")
    issued = keys.create(
        organization=organization,
        name="contract",
        actor=SYSTEM,
        scopes=["*:*"],
        permissions=keys.ALL_PERMISSIONS,
        never_expires=True,
    )
    maker = Maker(organization)
    names = {}
    for first, label in MODELS.items():
        row: Any = maker.make(apps.get_model(label))
        names[first] = getattr(row, "number", None) or getattr(row, "slug", None) or row.public_id
    other = keys.create(organization=organization, name="other", actor=SYSTEM, scopes=["records:read"])
    names["api-keys"] = other.key.number
    yield live_server.url, {"Authorization": f"Bearer {issued.secret}"}, names
    verified.forget_all()


def operations(version: str) -> list[Any]:
    schema = schemathesis.openapi.from_dict(document(version))
    found = [result.ok() for result in schema.get_all_operations()]
    # What takes objects away comes last.
    return sorted(found, key=lambda one: (one.method.lower() == "delete", one.path, one.method))


class Session:
    """Calls operations of one version, and keeps what disagrees."""

    def __init__(self, hub: Any, version: str) -> None:
        self.address, self.headers, self.names = hub
        self.examples = EXAMPLES if version == "v2" else max(1, EXAMPLES // 2)
        self.http = requests.Session()
        self.called = 0
        self.disagreements: list[str] = []

    def exercise(self, operation: Any, mode: GenerationMode) -> None:
        """Some calls with data that fit (or, in negative mode, do not)."""
        first = operation.path.split("/")[3]

        @seed(SEED)
        @settings(
            max_examples=self.examples,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode), existing=st.booleans())
        def call(case: Any, existing: bool) -> None:
            if existing and mode is GenerationMode.POSITIVE and case.path_parameters:
                if "id" in case.path_parameters and first in self.names:
                    case.path_parameters["id"] = self.names[first]
                if "dataset" in case.path_parameters:
                    case.path_parameters["dataset"] = "clients"
            self.judge(case)

        # Some operations take nothing that could be wrong.
        with contextlib.suppress(Unsatisfiable, SchemathesisError):
            call()

    def judge(self, case: Any) -> None:
        response = case.call(base_url=self.address, headers=self.headers, session=self.http, timeout=30)
        self.called += 1
        try:
            case.validate_response(response, checks=CHECKS, headers=self.headers)
        except (Failure, FailureGroup) as wrong:
            for one in getattr(wrong, "exceptions", [wrong]):
                told = " ".join(f"{type(one).__name__}: {getattr(one, 'message', one)}".split())
                self.disagreements.append(
                    f"{case.method} {case.formatted_path} {case.query or ''} {str(case.body)[:200]} → "
                    f"{response.status_code} {response.content[:160]!r}: {told[:500]}"
                )


@pytest.mark.parametrize("version", ["v2", "v1"])
def test_what_is_documented_is_what_is_done(hub: Any, version: str) -> None:
    session = Session(hub, version)
    for operation in operations(version):
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            session.exercise(operation, mode)
    told = "\n".join(session.disagreements[:30])
    assert session.disagreements == [], f"{len(session.disagreements)} of {session.called}:\n{told}"
    assert session.called > 2 * session.examples * 60
    own = requests.get(f"{session.address}/api/v2/api-keys/current", headers=session.headers, timeout=30)
    assert own.status_code == 200
