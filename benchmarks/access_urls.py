"""One answer, behind each of the checks that are compared."""

from __future__ import annotations

from typing import Any

from django.urls import include, path, re_path
from oauth2_provider.contrib.rest_framework import OAuth2Authentication
from oauth2_provider.oauth2_backends import OAuthLibCore
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauthlib.oauth2 import Server
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_api_key.permissions import HasAPIKey

from apps.kernel.api.views import HubAPIView

ANSWER = {"id": "rec_1", "name": "Company & Sons", "status": "active", "tags": ["a", "b"]}


class Bare(APIView):
    """A view of Django REST framework that checks nothing."""

    authentication_classes: Any = ()
    permission_classes: Any = ()
    renderer_classes = (JSONRenderer,)
    versioning_class = None
    throttle_classes: Any = ()

    def get(self, request: Request) -> Response:
        return Response(ANSWER)


class PeerKey(Bare):
    permission_classes = (HasAPIKey,)


class ToolkitAuthentication(OAuth2Authentication):
    """The toolkit's own check, with its own validator."""

    core = None

    def authenticate(self, request: Request) -> Any:
        if ToolkitAuthentication.core is None:
            ToolkitAuthentication.core = OAuthLibCore(Server(OAuth2Validator()))
        valid, found = self.core.verify_request(request, scopes=[])
        return (found.user or _Machine(), found.access_token) if valid else None


class _Machine:
    is_authenticated = True


class PeerBearer(Bare):
    authentication_classes = (ToolkitAuthentication,)
    permission_classes = (IsAuthenticated,)


class Ours(HubAPIView):
    """The same answer from a view of the hub, with everything that its base brings."""

    scopes = {"get": "records:read"}
    sparse = False

    def get(self, request: Request) -> Response:
        return Response(ANSWER)


urlpatterns = [
    path("bench/bare", Bare.as_view()),
    path("bench/peer-key", PeerKey.as_view()),
    path("bench/peer-bearer", PeerBearer.as_view()),
    re_path(r"^api/(?P<version>v[0-9]+)/bench$", Ours.as_view()),
    path("", include("integration_hub.urls")),
]

handler400 = "apps.kernel.api.handlers.bad_request"
handler403 = "apps.kernel.api.handlers.permission_denied"
handler404 = "apps.kernel.api.handlers.page_not_found"
handler500 = "apps.kernel.api.handlers.server_error"
