"""Testing a connection: one cheap request, and a plain sentence about how it went."""

from __future__ import annotations

from dataclasses import dataclass

from apps.connectors.engine.connection import Connection
from apps.connectors.engine.errors import EngineError, Kind
from apps.connectors.engine.http import Send
from apps.connectors.engine.paths import search
from apps.connectors.engine.reader import answer_of


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """`reason` is empty when it went well; `identity` is who the provider thinks we are, where it says so."""

    ok: bool
    reason: str = ""
    kind: Kind | None = None
    status: int | None = None
    latency_ms: int | None = None
    identity: str = ""


def probe(connection: Connection, send: Send) -> ProbeResult:
    """Make the manifest's test request. Never raises for what the provider or the settings do wrong."""
    test = connection.manifest.test
    status = latency = None
    try:
        response = send(connection.authenticated(connection.request(test.request)))
        status, latency = response.status, response.elapsed_ms
        body = answer_of(connection, response)
    except EngineError as error:
        return ProbeResult(False, error.message, error.kind, error.status or status, latency)
    if test.path_exists and search(test.path_exists, body) is None:
        return ProbeResult(
            False,
            f"The provider answered, but without {test.path_exists}: this may not be the API that was meant. "
            "Check the base URL.",
            Kind.FATAL,
            status,
            latency,
        )
    identity = search(test.identity_path, body) if test.identity_path else None
    return ProbeResult(
        True, status=status, latency_ms=latency, identity=str(identity)[:200] if identity else ""
    )
