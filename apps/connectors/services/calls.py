"""Calling a provider: the engine's `send`, with the rate limits, the log and the counts around it."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from apps.connectors.engine.connection import Connection
from apps.connectors.engine.errors import EngineError, Kind
from apps.connectors.engine.http import Request, Response, without_query
from apps.connectors.models import CallCount, Integration, IntegrationLog, SyncJob
from apps.connectors.services import limits
from apps.kernel import outbound
from apps.kernel.errors import HubError
from apps.kernel.redaction import MASK, is_secret_name, redact, redact_text

MAX_ANSWER = 64 * 2**20
KEPT_BODY = 4096
_KEPT_HEADERS = ("content-type", "content-length", "date", "link", "retry-after", "x-request-id", "server")


class Caller:
    """`send` for one integration. Each call counts against its limits and leaves a line in its log."""

    def __init__(
        self, integration: Integration, connection: Connection, action: str, job: SyncJob | None = None
    ) -> None:
        self.integration = integration
        self.connection = connection
        self.action = action
        self.job = job

    def __call__(self, request: Request) -> Response:
        """Make the call. Raises EngineError if it is over a limit, not allowed, or gets no answer."""
        limits.take(self.integration)
        try:
            answer = outbound.request(
                request.method,
                request.url,
                headers=dict(request.headers),
                params=list(request.params),
                json=request.json,
                timeout=request.timeout or 30.0,
                connect_timeout=min(10.0, request.timeout or 10.0),
                max_bytes=MAX_ANSWER,
                allow_http=True if self.integration.organization.allow_http else None,
            )
        except HubError as error:
            message = self._masked(error.detail)
            self._log(request, None, message)
            raise EngineError(Kind.TRANSIENT if error.transient else Kind.FATAL, message) from None
        headers: dict[str, str] = {}
        for name, value in answer.headers.items():
            known = headers.get(name.lower())
            headers[name.lower()] = value if known is None else f"{known}, {value}"
        response = Response(answer.status, headers, answer.content, answer.elapsed_ms)
        self._log(request, response, "")
        return response

    def _masked(self, text: str) -> str:
        return redact_text(self.connection.hide(text))

    def _endpoint(self, request: Request) -> str:
        pairs = []
        for name, value in request.params:
            secret = name in request.secret_params or is_secret_name(name)
            pairs.append(f"{name}={MASK if secret else self._masked(value)}")
        base = self._masked(without_query(request.url))
        return (f"{base}?{'&'.join(pairs)}" if pairs else base)[:1000]

    def _body(self, content: bytes) -> dict[str, Any]:
        # Masked before it is cut: half a secret would not be recognized.
        text = self._masked(content[: KEPT_BODY * 2].decode("utf-8", "replace").replace("\x00", "\ufffd"))
        return {"body": text[:KEPT_BODY], "bytes": len(content), "cut": len(content) > KEPT_BODY}

    def _log(self, request: Request, response: Response | None, error: str) -> None:
        headers = {
            name: MASK if name.lower() in request.secret_headers else self._masked(value)
            for name, value in redact(dict(request.headers)).items()
        }
        asked: dict[str, Any] = {"headers": headers}
        if request.json is not None:
            asked["body"] = self._masked(str(redact(request.json)))[:KEPT_BODY]
        answered: dict[str, Any] = {}
        if response is not None:
            kept = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
            answered = {
                "headers": {n: self._masked(v) for n, v in kept.items()},
                **self._body(response.content),
            }
        ok = response is not None and response.ok
        size = len(response.content) if response else 0
        duration = response.elapsed_ms if response else 0
        with transaction.atomic():
            IntegrationLog.objects.create(
                organization_id=self.integration.organization_id,
                integration=self.integration,
                sync_job=self.job,
                action=self.action,
                method=request.method,
                endpoint=self._endpoint(request),
                ok=ok,
                status_code=response.status if response else None,
                duration_ms=response.elapsed_ms if response else None,
                bytes_received=size,
                request_data=asked,
                response_data=answered,
                error_message=error[:500],
                metadata={"attempt": self.job.attempts + 1} if self.job else {},
            )
            _count(self.integration, ok=ok, duration_ms=duration, size=size)


def _count(integration: Integration, *, ok: bool, duration_ms: int, size: int) -> None:
    """Add one call to the row of this hour."""
    now = timezone.now()
    hour = now.replace(minute=0, second=0, microsecond=0)
    more = {
        "requests": F("requests") + 1,
        "failures": F("failures") + (0 if ok else 1),
        "duration_ms": F("duration_ms") + duration_ms,
        "bytes_received": F("bytes_received") + size,
        "last_request_at": now,
    }
    rows = CallCount.objects.filter(integration=integration, hour=hour)
    if rows.update(**more):
        return
    try:
        with transaction.atomic():
            CallCount.objects.create(
                integration=integration,
                hour=hour,
                requests=1,
                failures=0 if ok else 1,
                duration_ms=duration_ms,
                bytes_received=size,
                last_request_at=now,
            )
    except IntegrityError:
        rows.update(**more)
