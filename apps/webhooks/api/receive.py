"""`/webhooks/receive/{code}`: the public door for providers. As little as possible happens in it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, UnreadablePostError
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from apps.kernel.api.addresses import client_ip
from apps.kernel.api.views import PUBLIC, HubAPIView
from apps.kernel.errors import BadRequest
from apps.webhooks.services.inbound.receiving import Call, receive

# Names that a WSGI server gives without the prefix of headers.
_BARE = {"CONTENT_TYPE": "content-type", "CONTENT_LENGTH": "content-length"}


class _Anything(BaseContentNegotiation):
    """Providers send all sorts of Accept headers, and get what they are known to want."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return JSONRenderer(), "application/json"

    def select_parser(self, request: Any, parsers: Any) -> None:
        return None


class ReceiveView(HubAPIView):
    """Where the webhooks of an integration's provider arrive."""

    scopes = {"post": PUBLIC, "get": PUBLIC}
    throttle_classes = ()
    parser_classes = ()
    content_negotiation_class = _Anything
    sparse = False

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        made = super().initialize_request(request, *args, **kwargs)
        # An Authorization header is for the provider's scheme here, and no key or token of the hub.
        made.authenticators = ()
        return made

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """No parameters are checked: addresses may hold what the provider likes."""
        self.format_kwarg = None
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(request)
        request.version, request.versioning_scheme = self.determine_version(request, *args, **self.kwargs)
        self.check_permissions(request)
        self.parameters = {}

    @extend_schema(request={"*/*": OpenApiTypes.BINARY}, responses={200: OpenApiTypes.STR})
    def post(self, request: Request, code: str) -> HttpResponse:
        """Receive a provider's webhook

        The body is verified as it is, by the scheme of the integration; answered at once; and worked off
        after.
        """
        return self._receive(request, code)

    @extend_schema(responses={200: OpenApiTypes.STR})
    def get(self, request: Request, code: str) -> HttpResponse:
        """Answer a provider that checks the address

        Only for providers that ask by GET; everybody else finds nothing here.
        """
        return self._receive(request, code)

    def _receive(self, request: Request, code: str) -> HttpResponse:
        plain = request._request
        meta = plain.META

        def read(limit: int) -> bytes | None:
            length = meta.get("CONTENT_LENGTH") or ""
            if length.isdigit() and int(length) > limit:
                return None
            try:
                body: bytes = plain.read(limit + 1)
            except UnreadablePostError:
                raise BadRequest("The body did not arrive whole.") from None
            return None if len(body) > limit else body

        headers = {
            name[5:].replace("_", "-").lower(): value
            for name, value in meta.items()
            if name.startswith("HTTP_")
        }
        headers |= {to: meta[name] for name, to in _BARE.items() if meta.get(name)}
        reply = receive(
            code,
            Call(
                method=plain.method or "",
                query=meta.get("QUERY_STRING", ""),
                headers=headers,
                remote_ip=client_ip(plain),
                read=read,
            ),
        )
        response = HttpResponse(reply.body, status=reply.status, content_type=reply.content_type)
        for name, value in reply.headers.items():
            response.headers[name] = value
        response.headers["Cache-Control"] = "no-store"
        # What is refused is counted and sampled; a flood of it is no flood of log lines.
        response._has_been_logged = True  # type: ignore[attr-defined]
        return response
