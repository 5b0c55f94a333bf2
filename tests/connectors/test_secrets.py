"""A credential is in clear nowhere: not in the database, not in a log, not in what a caller gets."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

import pytest
from django.db import connection, connections

from apps.connectors.models import Integration
from apps.connectors.services import connections as joined
from apps.connectors.services import integrations, lifecycle, syncs
from apps.kernel.errors import HubError
from tests.connectors.shop import stream
from tests.peers.rest_peer import basic, query_key

KEY = "k3y-2f7a91c04be6d855+/="
PASSWORD = "pässwort 8d1f & mehr"
WEBHOOK = "whsec-0f4c2b9a7d"
PROOF = "aHViOnDDpHNzd29ydCA4ZDFmICYgbWVocg=="
SECRETS = [KEY, PASSWORD, WEBHOOK, PROOF, "k3y-2f7a91c04be6d855%2B%2F%3D", "8d1f"]


def dump():
    """Every value of every table, as text."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            for row in cursor.fetchall():
                for value in row:
                    if isinstance(value, (bytes, memoryview)):
                        value = bytes(value).decode("utf-8", "replace")
                    yield table, str(value)


def leaks(text):
    return [secret for secret in SECRETS if secret in text]


@pytest.mark.django_db(transaction=True)
def test_credentials_are_in_clear_nowhere(organization, actor, connect, sync, peer, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("django.db.backends").setLevel(logging.INFO)
    said = []

    # A key in the query, echoed by the provider in a link, in a header and in an error.
    peer.auth = query_key(KEY)
    peer.collections["customers"][0]["note"] = "no secret"
    linked = stream(
        name="linked",
        request={"path": "/body/customers"},
        records_path="value",
        paginate={"kind": "link_body", "next_path": "next", "size_param": "limit", "size": 9},
    )
    shop = connect(
        linked,
        auth_mode="api_key",
        credentials={"api_key": KEY},
        config={"auth": {"in": "query", "name": "api_key"}},
    )
    integrations.update(integration=shop, actor=actor, values={}, webhook_secret=WEBHOOK)
    assert sync(shop).status == "completed"
    assert any("api_key" in seen.query for seen in peer.requests if "start" in seen.query)
    peer.fault(
        "status", path="/body", status=500, times=1, body={"message": f"Bad key {KEY} in ?api_key={KEY}"}
    )
    said.append(sync(shop, mode="full").error_message)
    peer.fault("status", path="/body", status=401, times=1, body={"error": {"message": KEY}})
    job = shop.sync_jobs.first()
    syncs.cancel(job=job, actor=actor)
    said.append(sync(shop, mode="full").error_message)

    # A password, refused.
    peer.auth = basic("hub", PASSWORD)
    warehouse = connect(
        name="Warehouse",
        auth_mode="basic",
        credentials={"username": "hub", "password": PASSWORD},
        active=False,
    )
    assert lifecycle.test_connection(integration=warehouse, actor=actor).ok
    peer.fault("status", path="/me", status=403, body={"detail": f"hub:{PASSWORD} may not ({PROOF})"})
    said.append(lifecycle.test_connection(integration=warehouse, actor=actor).reason)
    said.append(repr(joined.resolve(warehouse)))
    said.append(repr(warehouse) + str(warehouse.__dict__))

    assert [leak for text in said for leak in leaks(text)] == []
    assert [(table, leak) for table, text in dump() for leak in leaks(text)] == []
    assert leaks(caplog.text) == []
    output = capfd.readouterr()
    assert leaks(output.out + output.err) == []
    assert Integration.objects.get(pk=shop.pk).credentials == {"api_key": KEY}
    if connection.vendor == "sqlite":
        name = connection.settings_dict["NAME"]
        connections.close_all()
        files = [Path(f"{name}{end}") for end in ("", "-wal")]
        content = b"".join(path.read_bytes() for path in files if path.exists())
        assert [secret for secret in SECRETS if secret.encode() in content] == []


def test_a_traceback_shows_no_credential(connect, actor, peer, monkeypatch):
    integration = connect(active=False)

    def explode(*args, **kwargs):
        raise RuntimeError("boom")

    monkeypatch.setattr("apps.connectors.services.calls.outbound.request", explode)
    try:
        lifecycle.test_connection(integration=integration, actor=actor)
    except (RuntimeError, HubError):
        text = traceback.format_exc()

    assert "boom" in text
    assert "tok-3f9a77c1d2e84b56" not in text


def test_every_column_that_may_hold_secrets_is_encrypted(connect):
    integration = connect(active=False)

    with connection.cursor() as cursor:
        cursor.execute("SELECT credentials FROM connectors_integration")
        (stored,) = cursor.fetchone()

    assert b"tok-" not in bytes(stored)
    assert integration.credentials["token"].startswith("tok-")
