from __future__ import annotations

import pytest

from apps.connectors.services import integrations, lifecycle, running, syncs
from apps.tenants.principals import Actor
from apps.tenants.services import organizations
from tests.connectors.shop import CUSTOMERS, TOKEN, stream
from tests.peers.rest_peer import RestPeer, bearer


@pytest.fixture(autouse=True)
def _may_call_this_machine(settings):
    settings.HUB_OUTBOUND_ALLOW = ["127.0.0.0/8"]
    settings.HUB_ALLOW_HTTP = True


@pytest.fixture
def organization(db):
    return organizations.create(name="Northwind")


@pytest.fixture
def actor():
    return Actor("user", "ada@northwind.test", "Ada")


@pytest.fixture
def peer():
    with RestPeer({"customers": CUSTOMERS}, auth=bearer(TOKEN)) as server:
        yield server


@pytest.fixture
def connect(organization, actor, peer):
    """Sets up and activates an integration of the generic connector with these streams."""

    def make(*streams, active=True, credentials=None, config=None, **values):
        integration = integrations.create(
            organization=organization,
            actor=actor,
            connector="rest",
            values={
                "name": "Shop",
                "auth_mode": "bearer",
                "config": {
                    "base_url": peer.url,
                    "test_path": "/me",
                    "streams": list(streams) or [stream()],
                    **(config or {}),
                },
                **values,
            },
            credentials={"token": TOKEN} if credentials is None else credentials,
        )
        if active:
            lifecycle.connect(integration=integration, actor=actor)
        return integration

    return make


@pytest.fixture
def sync(actor):
    """Starts a sync and runs it to where it ends or has to wait."""

    def go(integration, **options):
        job = syncs.start(integration=integration, actor=actor, **options)
        running.run(job_id=job.pk)
        job.refresh_from_db()
        return job

    return go
